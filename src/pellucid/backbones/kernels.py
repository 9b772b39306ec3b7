"""The few operations that decide how long training takes, written to touch memory as rarely as possible.

Each has a plain PyTorch equivalent, stated in its docstring and used as reference by the tests.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pellucid.neighbors import Neighbors


class _EdgeLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: Tensor, target: Tensor, edge: Tensor, weight: Tensor, neighbors: Neighbors) -> Tensor:
        points, k = neighbors.index.shape
        ctx.neighbors = neighbors
        ctx.save_for_backward(edge, weight)
        out = source.index_select(0, neighbors.index.flatten())
        out.addmm_(edge.reshape(points * k, edge.shape[-1]), weight.t())
        return out.view(points, k, out.shape[-1]).add_(target[:, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        edge, weight = ctx.saved_tensors
        flat = grad.reshape(-1, grad.shape[-1])
        source = sum_to_sources(flat, ctx.neighbors) if ctx.needs_input_grad[0] else None
        target = grad.sum(1) if ctx.needs_input_grad[1] else None
        d_edge = (flat @ weight).view_as(edge) if ctx.needs_input_grad[2] else None
        d_weight = flat.t() @ edge.reshape(len(flat), edge.shape[-1]) if ctx.needs_input_grad[3] else None
        return source, target, d_edge, d_weight, None


def sum_to_sources(values: Tensor, neighbors: Neighbors) -> Tensor:
    """Sum over all places that name a point as neighbour: the transpose of ``gather``.

    Args:
        values: (points * k, F).
        neighbors: The table.

    Returns:
        (points, F).
    """
    places, starts = neighbors.reverse()
    if len(values) == 0:
        return values.new_zeros(len(starts), values.shape[-1])
    return F.embedding_bag(places, values, starts, mode="sum")


def edge_linear(source: Tensor, target: Tensor, edge: Tensor, weight: Tensor, neighbors: Neighbors) -> Tensor:
    """``source[j] + target[i] + weight @ edge[i, j]`` for each neighbour j of i.

    A linear layer on the concatenation [h_i, h_j - h_i, e_ij] is the sum of a product for each part, and the products
    for i and j are taken once a point instead of once an edge.

    Args:
        source: (points, F), what a point contributes as a neighbour.
        target: (points, F), what it contributes as the centre.
        edge: (points, k, E) edge features.
        weight: (F, E).
        neighbors: The table.

    Returns:
        (points, k, F).
    """
    return _EdgeLinear.apply(source, target, edge, weight, neighbors)  # type: ignore[no-any-return, no-untyped-call]


def keep_mask(shape: torch.Size, p: float, like: Tensor) -> Tensor:
    """A random 0/1 mask in the dtype of ``like``; each entry is 0 with probability round(256 p) / 256.

    On the CPU eight entries share one 64-bit draw: drawing one number for each entry took longer than all the rest of
    a layer.
    """
    if like.device.type != "cpu":
        return torch.rand(shape, device=like.device).ge_(round(256 * p) / 256).to(like.dtype)
    count = shape.numel()
    draws = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    return draws.view(torch.uint8)[:count].view(shape).ge(round(256 * p)).to(like.dtype)


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
    def forward(ctx: Any, values: Tensor, weight: Tensor | None, p: float, scale: float) -> Tensor:
        points, k, width = values.shape
        active = torch.relu(values)
        if p > 0:
            active.mul_(keep_mask(values.shape, p, values))
            scale *= 256 / (256 - round(256 * p))
        ctx.save_for_backward(active, weight)
        ctx.scale = scale
        if points == 0:
            return values.new_zeros(0, width)
        if weight is None:
            return active.sum(1).mul_(scale)
        starts = torch.arange(0, points * k, k, device=values.device)
        rows = torch.arange(points * k, device=values.device)
        flat = active.reshape(-1, width)
        return F.embedding_bag(rows, flat, starts, mode="sum", per_sample_weights=weight.flatten()).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        active, weight = ctx.saved_tensors
        grad = grad * ctx.scale
        spread = grad[:, None].expand_as(active) if weight is None else grad[:, None] * weight[..., None]
        d_weight = (active * grad[:, None]).sum(-1) if ctx.needs_input_grad[1] else None
        # what ReLU or dropout set to zero is zero in `active`, so one threshold undoes both
        return torch.ops.aten.threshold_backward(spread, active, 0.0), d_weight, None, None


def relu_dropout_sum(values: Tensor, weight: Tensor | None, p: float, training: bool, scale: float = 1.0) -> Tensor:
    """``scale * sum_j weight[i, j] * dropout(relu(values[i, j]))`` in three passes over the edges.

    Args:
        values: (points, k, F).
        weight: (points, k) or None for ones; zero where there is no neighbour.
        p: Dropout probability, rounded to 1/256.
        training: Whether dropout acts.
        scale: Constant factor, e.g. 1/k for a mean.

    Returns:
        (points, F).
    """
    return _ReluDropoutSum.apply(values, weight, p if training else 0.0, scale)  # type: ignore[no-any-return, no-untyped-call]


class Norm(nn.Module):
    """Batch normalisation over any leading dimensions that can leave out masked rows, and lets a single row pass.

    Args:
        width: Number of features F.
        momentum: Weight of the newest batch in the running statistics; None = plain average.
        eps: Added to the variance.
    """

    running_mean: Tensor
    running_var: Tensor
    batches: Tensor

    def __init__(self, width: int, momentum: float | None = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def reset(self) -> None:
        """Forgets the running statistics."""
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.batches.zero_()

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalises over all rows but the masked ones; a single row, which has no spread, is left as it is.

        Args:
            values: (..., F).
            mask: (...) bool, True for rows that are there; None if all are.

        Returns:
            The same shape; statistics of the batch in training, running ones otherwise.
        """
        mean, variance = self.running_mean, self.running_var
        flat = values.reshape(-1, values.shape[-1])
        if not self.training:
            return F.batch_norm(flat, mean, variance, self.weight, self.bias, False, 0.0, self.eps).view_as(values)
        if mask is None:
            if len(flat) < 2:
                return values * self.weight + self.bias
            self.batches += 1
            rate = self.momentum if self.momentum is not None else 1 / float(self.batches)
            return F.batch_norm(flat, mean, variance, self.weight, self.bias, True, rate, self.eps).view_as(values)
        real = mask.reshape(-1, 1).to(values.dtype)
        count = real.sum()
        spread = count > 1  # a tensor: looking at it would make the device wait
        batch_mean = (flat * real).sum(0) / count.clamp(min=1)
        batch_variance = ((flat - batch_mean).square() * real).sum(0) / count.clamp(min=1)
        with torch.no_grad():  # .data: an unmasked pass before this one has saved them for its backward, unused
            self.batches += spread
            step = spread.to(mean.dtype)
            step = step / self.batches.clamp(min=1) if self.momentum is None else step * self.momentum
            mean.data.lerp_(batch_mean, step)
            variance.data.lerp_(batch_variance * count / (count - 1).clamp(min=1), step)
        center = torch.where(spread, batch_mean, 0)
        scaled = (flat - center) * torch.where(spread, torch.rsqrt(batch_variance + self.eps), 1)
        return (scaled * self.weight + self.bias).view_as(values)


def segment_sum(values: Tensor, ptr: Tensor) -> Tensor:
    """Sum of the rows of each cloud.

    Args:
        values: (points, F).
        ptr: (clouds + 1,) offsets.

    Returns:
        (clouds, F), zeros for an empty cloud.
    """
    return _SegmentSum.apply(values, ptr)  # type: ignore[no-any-return, no-untyped-call]


class _SegmentSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, ptr: Tensor) -> Tensor:
        ctx.save_for_backward(ptr)
        if len(values) == 0:
            return values.new_zeros(len(ptr) - 1, values.shape[-1])
        rows = torch.arange(len(values), device=values.device)
        return F.embedding_bag(rows, values, ptr[:-1], mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (ptr,) = ctx.saved_tensors
        return torch.repeat_interleave(grad, ptr.diff(), dim=0), None
