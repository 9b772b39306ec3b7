"""From embeddings of points to what a model predicts: of a cloud at once, as a sum over points, or of each point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from pellucid.backbones.base import mlp
from pellucid.backbones.kernels import segment_sum
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError

ReadoutKind = Literal["pooled", "additive", "interacting", "pointwise"]
CloudReadoutKind = Literal["pooled", "additive", "interacting"]
"""Those for targets of clouds."""


@dataclass
class Answer:
    """What a readout says.

    Attributes:
        logits: (clouds, outputs), or (points, outputs) of a pointwise one.
        contributions: (points, outputs) whose sum over a cloud, with the bias, is its logits; None where there are
            none.
    """

    logits: Tensor
    contributions: Tensor | None = None


class Interactions(nn.Module):
    """g(s) = w s / n + MLP(s) of the sum s = sum_v h_v, and what each point adds to it; the MLP has one hidden layer.

    A point's share is h_v times the mean slope of g on the straight way from no points to all of them: integrated
    gradients (Sundararajan et al., ICML 2017), which for a function of a sum are Aumann and Shapley's (Values of
    Non-Atomic Games, 1974) and add up to g(s) - g(0). On that way the input of a hidden unit changes linearly, so that
    its ReLU is open for a part of it that can be written down, and nothing is approximated.

    Args:
        width: Of the embeddings.
        outputs: Numbers that g gives; all 0 before it is trained.
        dropout: Probability in the MLP.
        points: n; see :class:`Readout`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> g, h = Interactions(4, 1, 0.0).eval(), torch.randn(3, 4)
        >>> _ = nn.init.normal_(g.last.weight)
        >>> ends = g(torch.stack([torch.zeros(4), h.sum(0)]))
        >>> torch.allclose(g.shares(h, torch.tensor([0, 3])).sum(0), ends[1] - ends[0], atol=1e-6)
        True
    """

    def __init__(self, width: int, outputs: int, dropout: float, points: float = 1.0) -> None:
        super().__init__()
        self.points = points
        self.linear = nn.Linear(width, outputs, bias=False)
        self.first, *middle, self.last = cast(Sequence[nn.Linear], mlp([width, width, outputs], dropout))
        self.middle = nn.Sequential(*middle)
        _silence(self.linear)
        _silence(self.last)

    def forward(self, pooled: Tensor) -> Tensor:
        """(clouds, width) sums -> (clouds, outputs)."""
        linear: Tensor = self.linear(pooled / self.points)
        together: Tensor = self.last(self.middle(self.first(pooled)))
        return linear + together

    def baseline(self) -> Tensor:
        """(outputs,) g(0); in eval mode."""
        nothing: Tensor = self(self.first.weight.new_zeros(1, self.first.in_features))
        return nothing[0]

    def shares(self, h: Tensor, ptr: Tensor) -> Tensor:
        """What each point adds; in eval mode.

        Args:
            h: (points, width).
            ptr: (clouds + 1,) where the points of each cloud begin.

        Returns:
            (points, outputs).
        """
        norm = self.middle[0]  # affine in eval mode
        slope = norm(torch.ones_like(self.first.bias)[None]) - norm(torch.zeros_like(self.first.bias)[None])
        start, end = norm(self.first.bias[None]), norm(self.first(segment_sum(h, ptr)))
        above = start.relu() + end.relu()
        part = above / (above + (-start).relu() + (-end).relu()).clamp_min(torch.finfo(h.dtype).tiny)
        each = nn.functional.linear(h, self.first.weight) * slope * part.repeat_interleave(ptr.diff(), 0)
        linear: Tensor = self.linear(h / self.points)
        return linear + nn.functional.linear(each, self.last.weight)


def _silence(layer: nn.Module) -> None:
    """Nothing is said before it has been learned."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class Readout(nn.Module):
    """The head of a model.

    ``pooled``: MLP(sum_v h_v), as in the LRI paper. ``additive``: bias + sum_v MLP(h_v) / n, so that each point has its
    exact share of the output. ``interacting``: w sum_v h_v / n + MLP(sum_v h_v), so that points can do together what no
    sum can say, and each has an exact share all the same: :class:`Interactions`. ``pointwise``: MLP(h_v), an output a
    point.

    n is the mean number of points of a sample, one number for all: with it a step of an optimizer moves a share by as
    little as it should, and training finds shares that it cannot tell apart from noise without.

    Args:
        width: Of the embeddings.
        outputs: Numbers to predict.
        dropout: Probability in the MLP.
        kind: See above.
        points: n.

    Raises:
        PellucidError: for an unknown kind.
    """

    def __init__(self, width: int, outputs: int, dropout: float, kind: ReadoutKind = "pooled", points: float = 1.0
                 ) -> None:
        super().__init__()
        if kind not in get_args(ReadoutKind):
            raise PellucidError(f"expected a readout out of {', '.join(get_args(ReadoutKind))}, got {kind!r}")
        self.kind, self.points = kind, points
        self.head = (Interactions(width, outputs, dropout, points) if kind == "interacting" else
                     mlp([width, 2 * width, width, outputs], dropout))
        self.bias = nn.Parameter(torch.zeros(outputs)) if kind == "additive" else None

    @property
    def adds_up(self) -> bool:
        """Whether each point has an exact share of each output."""
        return self.kind in ("additive", "interacting")

    def baseline(self) -> Tensor | None:
        """(outputs,) what the shares are added to, the logits of a cloud without points; None where there are none."""
        return self.head.baseline() if isinstance(self.head, Interactions) else self.bias

    def forward(self, h: Tensor, clouds: PointClouds, partner: Tensor | None = None, *, shares: bool = False,
                weight: Tensor | None = None) -> Answer:
        """Reads embeddings.

        Args:
            h: (points, width).
            clouds: Whose points they are.
            partner: (clouds, width) that is added to what is pooled: the second clouds.
            shares: Whether contributions are wanted, where they cost something; in eval mode.
            weight: (points,) how much of each point's term in the sum over points is there; None for all of it.

        Raises:
            PellucidError: for a partner and a readout that does not pool.
        """
        if weight is not None and self.kind != "additive":
            h = h * weight[:, None]
        if self.kind == "pooled":
            pooled = segment_sum(h, clouds.ptr)
            return Answer(self.head(pooled if partner is None else pooled + partner))
        if partner is not None:
            raise PellucidError(f"expected a pooled readout for samples of two clouds, got {self.kind}")
        if isinstance(self.head, Interactions):
            return Answer(self.head(segment_sum(h, clouds.ptr)), self.head.shares(h, clouds.ptr) if shares else None)
        if self.bias is None:
            return Answer(self.head(h))
        each = self.head(h) / self.points
        if weight is not None:
            each = each * weight[:, None]
        return Answer(segment_sum(each, clouds.ptr) + self.bias, each)
