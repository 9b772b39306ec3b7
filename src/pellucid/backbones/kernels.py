"""The few operations that decide how long training takes, written to touch memory as rarely as possible.

Each has a plain PyTorch equivalent, stated in its docstring and used as reference by the tests.

All are differentiable more than once, so that a model can be trained on forces. What a backward pass takes over from
the forward pass is an input or an output of the function, even if nobody else sees that output: autograd then knows how
it came about, and nothing is computed twice. A backward pass that is not recorded, the usual one, reuses its memory.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.neighbors import Bags, Neighbors, sum_to_sources


class _EdgeLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: Tensor, target: Tensor, edge: Tensor, weight: Tensor, neighbors: Neighbors) -> Tensor:
        ctx.neighbors = neighbors
        ctx.save_for_backward(edge, weight)
        out = source.index_select(0, neighbors.sources)
        out.addmm_(edge.reshape(-1, edge.shape[-1]), weight.t())
        return out.view(*edge.shape[:-1], out.shape[-1]).add_(neighbors.spread(target))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        edge, weight = ctx.saved_tensors
        flat = grad.reshape(-1, grad.shape[-1])
        source = sum_to_sources(flat, ctx.neighbors) if ctx.needs_input_grad[0] else None
        target = sum_neighbors(grad, None, ctx.neighbors) if ctx.needs_input_grad[1] else None
        d_edge = (flat @ weight).view_as(edge) if ctx.needs_input_grad[2] else None
        d_weight = flat.t() @ edge.reshape(len(flat), edge.shape[-1]) if ctx.needs_input_grad[3] else None
        return source, target, d_edge, d_weight, None


def edge_linear(source: Tensor, target: Tensor, edge: Tensor, weight: Tensor, neighbors: Neighbors) -> Tensor:
    """``source[j] + target[i] + weight @ edge[i, j]`` for each neighbour j of i.

    A linear layer on the concatenation [h_i, h_j - h_i, e_ij] is the sum of a product for each part, and the products
    for i and j are taken once a point instead of once an edge.

    Args:
        source: (points, F), what a point contributes as a neighbour.
        target: (points, F), what it contributes as the centre.
        edge: (points, k, E) edge features; here and below (edges, E) where some places of the table are empty.
        weight: (F, E).
        neighbors: The table.

    Returns:
        (points, k, F).
    """
    source, target, edge, weight = same_dtype(source, target, edge, weight)
    return _EdgeLinear.apply(source, target, edge, weight, neighbors)  # type: ignore[no-any-return, no-untyped-call]


def same_dtype(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in the widest of their dtypes, at least float32: under autocast some are in half precision."""
    widest = functools.reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)
    return tuple(t.to(widest) for t in tensors)


def keep_mask(shape: torch.Size, p: float, like: Tensor) -> Tensor:
    """A random 0/1 mask in the dtype of ``like``; each entry is 0 with probability round(256 p) / 256.

    On the CPU eight entries share one 64-bit draw: drawing one number for each entry took longer than all the rest of
    a layer.
    """
    if like.device.type != "cpu":
        return torch.rand(shape, device=like.device).ge_(round(256 * p) / 256).to(like.dtype)
    count = shape.numel()
    draws = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    keep = torch.empty(shape, dtype=like.dtype)  # written directly: a bool mask would have to be converted
    return torch.ge(draws.view(torch.uint8)[:count].view(shape), round(256 * p), out=keep)


def dropout(values: Tensor, p: float, training: bool) -> Tensor:
    """Dropout (as ``torch.nn.functional.dropout``) with p rounded to 1/256.

    Args:
        values: Any shape.
        p: Probability of dropping, in [0, 1).
        training: Does nothing when False.
    """
    if not training or p == 0:
        return values
    return values * keep_mask(values.shape, p, values).mul_(256 / (256 - round(256 * p)))


class _ReluDropoutSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor | None, neighbors: Neighbors, p: float, scale: float
                ) -> tuple[Tensor, Tensor]:
        active = torch.relu(values)
        out, ctx.scale = _drop_and_sum(active, weight, neighbors, p, scale)
        ctx.neighbors = neighbors
        ctx.save_for_backward(active, weight)
        ctx.set_materialize_grads(False)
        return out, active

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, d_active: Tensor | None) -> tuple[Tensor | None, ...]:
        active, weight = ctx.saved_tensors
        undone = _undo_drop_and_sum(ctx, grad, d_active, active, weight, ctx.needs_input_grad[1])
        return *undone, None, None, None


def _drop_and_sum(active: Tensor, weight: Tensor | None, neighbors: Neighbors, p: float, scale: float
                  ) -> tuple[Tensor, float]:
    """Drops entries of ``active`` in place; the weighted sum over neighbours, and the factor that it was scaled by."""
    if p > 0:
        active.mul_(keep_mask(active.shape, p, active))
        scale *= 256 / (256 - round(256 * p))
    return sum_neighbors(active, weight, neighbors).mul_(scale), scale


def _undo_drop_and_sum(ctx: Any, grad: Tensor | None, d_active: Tensor | None, active: Tensor, weight: Tensor | None,
                       weigh: bool) -> tuple[Tensor, Tensor | None]:
    """Gradients of ReLU, dropout and sum with respect to what went in and the weights; one block of memory for both."""
    block = _block(active)
    spread = _at_edges(grad if grad is None else grad * ctx.scale, active, ctx.neighbors)
    d_weight = torch.mul(active, spread, out=block).sum(-1) if weigh else None
    if weight is not None:
        spread = torch.mul(spread, weight[..., None], out=block)
    if d_active is not None:
        spread = torch.add(spread, d_active, out=block)
    spread = spread.expand_as(active)
    # what ReLU or dropout set to zero is zero in `active`, so one threshold undoes both
    if block is None:
        return torch.ops.aten.threshold_backward(spread, active.detach(), 0.0), d_weight
    return torch.ops.aten.threshold_backward.grad_input(spread, active, 0.0, grad_input=block), d_weight


def _block(like: Tensor) -> Tensor | None:
    """Memory for one result after the other of a backward pass; None where it is recorded and each needs its own."""
    return None if torch.is_grad_enabled() else torch.empty_like(like)


def _at_edges(grad: Tensor | None, like: Tensor, neighbors: Neighbors) -> Tensor:
    """The gradient of a sum over neighbours at each edge; zeros where nothing came from the sum."""
    return torch.zeros_like(like) if grad is None else neighbors.spread(grad)


def sum_neighbors(values: Tensor, weight: Tensor | None, neighbors: Neighbors) -> Tensor:
    """``sum_j weight[i, j] * values[i, j]``: (points, k, F) -> (points, F)."""
    points, width = len(neighbors.index), values.shape[-1]
    if values.numel() == 0:
        nothing = values.sum() if weight is None else values.sum() + weight.sum()
        return values.new_zeros(points, width) + nothing  # zeros whose gradient is known
    if weight is None and neighbors.mask is None:
        return values.sum(1)
    if weight is None:
        return neighbors.by_target.sum(values)
    values, weight = same_dtype(values, weight)
    if torch.is_grad_enabled():
        return _WeightedSum.apply(values, weight, neighbors)  # type: ignore[no-any-return, no-untyped-call]
    rows, starts = neighbors.by_target.order()
    return F.embedding_bag(rows, values.reshape(-1, width), starts, mode="sum", per_sample_weights=weight.flatten())


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, neighbors: Neighbors) -> Tensor:
        ctx.neighbors = neighbors
        ctx.save_for_backward(values, weight)
        return sum_neighbors(values, weight, neighbors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        values, weight = ctx.saved_tensors
        grad = ctx.neighbors.spread(grad)
        d_weight = (values * grad).sum(-1) if ctx.needs_input_grad[1] else None
        return grad * weight[..., None], d_weight, None


def relu_dropout_sum(values: Tensor, weight: Tensor | None, neighbors: Neighbors, p: float, training: bool,
                     scale: float = 1.0) -> Tensor:
    """``scale * sum_j weight[i, j] * dropout(relu(values[i, j]))`` in three passes over the edges.

    Args:
        values: (points, k, F).
        weight: (points, k) or None for ones.
        neighbors: The table.
        p: Dropout probability, rounded to 1/256.
        training: Whether dropout acts.
        scale: Constant factor, e.g. 1/k for a mean.

    Returns:
        (points, F).
    """
    return _ReluDropoutSum.apply(  # type: ignore[no-any-return, no-untyped-call]
        values, weight, neighbors, p if training else 0.0, scale)[0]


class _NormReluDropoutSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor,
                weight: Tensor | None, neighbors: Neighbors, p: float, scale: float, rate: float, eps: float
                ) -> tuple[Tensor, Tensor]:
        flat = values.view(-1, values.shape[-1])
        active, batch_mean, batch_scale = torch.native_batch_norm(flat, gamma, beta, mean, variance, True, rate, eps)
        active = active.relu_().view_as(values)
        out, ctx.scale = _drop_and_sum(active, weight, neighbors, p, scale)
        ctx.save_for_backward(values, active, gamma, batch_mean, batch_scale, weight)
        ctx.neighbors, ctx.eps = neighbors, eps
        ctx.set_materialize_grads(False)
        return out, active

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, d_active: Tensor | None) -> tuple[Tensor | None, ...]:
        values, active, gamma, batch_mean, batch_scale, weight = ctx.saved_tensors
        spread, d_weight = _undo_drop_and_sum(ctx, grad, d_active, active, weight, ctx.needs_input_grad[5])
        # its own derivative takes the statistics as functions of the batch, and touches no running ones
        flat = values.view(-1, values.shape[-1])
        d_values, d_gamma, d_beta = torch.ops.aten.native_batch_norm_backward(
            spread.view_as(flat), flat, gamma, None, None, batch_mean, batch_scale, True, ctx.eps, [True, True, True])
        return d_values.view_as(values), d_gamma, d_beta, None, None, d_weight, None, None, None, None, None


def norm_relu_dropout_sum(values: Tensor, norm: Norm, neighbors: Neighbors, weight: Tensor | None, p: float,
                          scale: float = 1.0) -> Tensor:
    """``relu_dropout_sum(norm(values), weight, neighbors, p, norm.training, scale)`` with half the blocks of memory.

    Args:
        values: (points, k, F).
        norm: Batch normalisation over the edges; its mode decides whether dropout acts.
        neighbors: The table.
        weight: (points, k) or None.
        p: Dropout probability.
        scale: Constant factor.

    Returns:
        (points, F).
    """
    if not norm.training or len(neighbors.sources) < 2:
        return relu_dropout_sum(norm(values), weight, neighbors, p, norm.training, scale)
    return _NormReluDropoutSum.apply(  # type: ignore[no-any-return, no-untyped-call]
        values, norm.weight, norm.bias, *norm.statistics[:2], weight, neighbors, p, scale, norm.count(), norm.eps)[0]


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, values: Tensor, weight: Tensor | None, neighbors: Neighbors
                ) -> tuple[Tensor, Tensor]:
        attention = _softmax(logits, neighbors)
        message = attention * values
        ctx.neighbors = neighbors
        ctx.save_for_backward(attention, values, message if ctx.needs_input_grad[2] else None, weight)
        ctx.set_materialize_grads(False)
        return sum_neighbors(message, weight, neighbors), attention

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, d_attention: Tensor | None) -> tuple[Tensor | None, ...]:
        attention, values, message, weight = ctx.saved_tensors
        block = _block(attention)
        spread = _at_edges(grad, attention, ctx.neighbors)
        d_weight = None
        if message is not None:
            message = attention * values if block is None else message
            d_weight = torch.mul(message, spread, out=block).sum(-1)
        if weight is not None:
            spread = torch.mul(spread, weight[..., None], out=block)
        d_values = spread * attention
        spread = torch.mul(spread, values, out=block)
        if d_attention is not None:
            spread = torch.add(spread, d_attention, out=block)
        return _undo_softmax(spread, attention, ctx.neighbors), d_values, d_weight, None


def _softmax(logits: Tensor, neighbors: Neighbors) -> Tensor:
    """Softmax over the neighbours of each point."""
    if neighbors.mask is None:
        return torch.softmax(logits, 1)
    if len(logits) == 0:
        return logits.clone()
    rows = torch.arange(len(logits), device=logits.device)
    largest = F.embedding_bag(rows, logits, neighbors.starts, mode="max")
    raised = (logits - neighbors.spread(largest)).exp_()
    return raised.div_(neighbors.spread(sum_neighbors(raised, None, neighbors)))


def _undo_softmax(grad: Tensor, attention: Tensor, neighbors: Neighbors) -> Tensor:
    if neighbors.mask is None:
        return torch.ops.aten._softmax_backward_data(grad, attention, 1, attention.dtype)  # type: ignore[no-any-return]
    product = grad * attention
    return product.addcmul_(attention, neighbors.spread(sum_neighbors(product, None, neighbors)), value=-1)


def attend(logits: Tensor, values: Tensor, weight: Tensor | None, neighbors: Neighbors) -> Tensor:
    """``sum_j weight[i, j] * softmax_j(logits[i, j]) * values[i, j]``: vector attention, a weight for each feature.

    Args:
        logits: (points, k, F).
        values: (points, k, F).
        weight: (points, k) or None.
        neighbors: The table.

    Returns:
        (points, F).
    """
    return _Attend.apply(logits, values, weight, neighbors)[0]  # type: ignore[no-any-return, no-untyped-call]


class Norm(nn.Module):
    """Batch normalisation over any leading dimensions that lets a single row pass.

    Where clean and perturbed clouds pass through the same layers, :meth:`split` keeps running statistics of each: in
    training each batch is normalised by its own, so their average would fit neither (Xie et al., Adversarial Examples
    Improve Image Recognition, CVPR 2020). :func:`perturbed` says which ones a pass uses.

    Args:
        width: Number of features F.
        momentum: Weight of the newest batch in the running statistics; None = plain average.
        eps: Added to the variance.
    """

    running_mean: Tensor
    running_var: Tensor
    batches: Tensor
    second_running_mean: Tensor
    second_running_var: Tensor
    second_batches: Tensor

    def __init__(self, width: int, momentum: float | None = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.second = False

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """As it began."""
        self.weight.fill_(1)
        for values in (self.bias, *self.buffers()):
            values.zero_()
        for name, values in self.named_buffers():
            if name.endswith("running_var"):
                values.fill_(1)

    def split(self) -> None:
        """Adds running statistics for perturbed clouds."""
        for name in ("running_mean", "running_var", "batches"):
            self.register_buffer(f"second_{name}", getattr(self, name).clone())

    @property
    def statistics(self) -> tuple[Tensor, Tensor, Tensor]:
        """Running mean, running variance and number of batches that are in use."""
        if self.second:
            return self.second_running_mean, self.second_running_var, self.second_batches
        return self.running_mean, self.running_var, self.batches

    def reset(self) -> None:
        """Forgets all running statistics."""
        for name, buffer in self.named_buffers():
            buffer.fill_(1 if name.endswith("running_var") else 0)

    def count(self) -> float:
        """Counts a batch; its weight in the running statistics."""
        batches = self.statistics[2]
        batches += 1
        return self.momentum if self.momentum is not None else 1 / float(batches)

    def forward(self, values: Tensor) -> Tensor:
        """Normalises over all rows; a single row, which has no spread, is left as it is.

        Args:
            values: (..., F).

        Returns:
            The same shape; statistics of the batch in training, running ones otherwise.
        """
        mean, variance, _ = self.statistics
        flat = values.reshape(-1, values.shape[-1])
        if not self.training:
            return F.batch_norm(flat, mean, variance, self.weight, self.bias, False, 0.0, self.eps).view_as(values)
        if len(flat) < 2:
            return values * self.weight + self.bias
        rate = self.count()
        return F.batch_norm(flat, mean, variance, self.weight, self.bias, True, rate, self.eps).view_as(values)


@contextlib.contextmanager
def perturbed(module: nn.Module) -> Iterator[None]:
    """A pass over perturbed clouds: norms that were split use their second statistics inside."""
    norms = [m for m in module.modules() if isinstance(m, Norm) and "second_batches" in m._buffers]
    for norm in norms:
        norm.second = True
    try:
        yield
    finally:
        for norm in norms:
            norm.second = False


def segment_sum(values: Tensor, ptr: Tensor) -> Tensor:
    """Sum of the rows of each cloud.

    Args:
        values: (points, F).
        ptr: (clouds + 1,) offsets.

    Returns:
        (clouds, F), zeros for an empty cloud.
    """
    clouds = Bags(lambda: torch.repeat_interleave(ptr.diff()),
                  lambda: (torch.arange(len(values), device=values.device), ptr[:-1]))
    return clouds.sum(*same_dtype(values))
