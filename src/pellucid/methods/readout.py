"""From embeddings of points to what a model predicts: of a cloud at once, as a sum over points, or of each point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from pellucid.backbones.base import mlp
from pellucid.backbones.kernels import segment_sum
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError

ReadoutKind = Literal["pooled", "additive", "pointwise"]


@dataclass
class Answer:
    """What a readout says.

    Attributes:
        logits: (clouds, outputs), or (points, outputs) of a pointwise one.
        contributions: (points, outputs) whose sum over a cloud, with the bias, is its logits; None where there are
            none.
        partial: (clouds, outputs) each: the logits of the first level alone, of the first two, and so on, without that
            of all; none where there is one level.
    """

    logits: Tensor
    contributions: Tensor | None = None
    partial: tuple[Tensor, ...] = ()


class Readout(nn.Module):
    """The head of a model.

    ``pooled``: MLP(sum_v h_v), as in the LRI paper. ``additive``: bias + sum_v MLP(h_v) / n, so that each point has its
    exact share of the output. ``pointwise``: MLP(h_v), an output a point.

    n is the mean number of points of a sample, one number for all: with it a step of an optimizer moves a share by as
    little as it should, and training finds shares that it cannot tell apart from noise without.

    Where the embedding has several levels, what each layer knows, an additive readout reads each by itself: bias +
    sum_v (w_0 h_v0 + MLP_1(h_v1) + ... + MLP_L(h_vL)) / n. What the first levels say alone is trained too, so that
    deeper ones add only what shallower ones cannot know, and a share is put down to the point that it comes from.

    Args:
        width: Of the embeddings.
        outputs: Numbers to predict.
        dropout: Probability in the MLP.
        kind: See above.
        points: n.
        levels: How many embeddings lie side by side.

    Raises:
        PellucidError: for an unknown kind.
    """

    def __init__(self, width: int, outputs: int, dropout: float, kind: ReadoutKind = "pooled", points: float = 1.0,
                 levels: int = 1) -> None:
        super().__init__()
        if kind not in get_args(ReadoutKind):
            raise PellucidError(f"expected a readout out of {', '.join(get_args(ReadoutKind))}, got {kind!r}")
        self.kind, self.points = kind, points
        self.levels = levels if kind == "additive" else 1
        if self.levels == 1:
            self.head: nn.Module = mlp([width, 2 * width, width, outputs], dropout)
        else:
            own = width // levels
            deeper = [mlp([own, own, outputs], dropout) for _ in range(levels - 1)]
            self.head = nn.ModuleList([nn.Linear(own, outputs, bias=False), *deeper])
            for last in (self.head[0], *(part[-1] for part in deeper)):
                for parameter in last.parameters():  # nothing is said before it has been learned
                    nn.init.zeros_(parameter)
        self.bias = nn.Parameter(torch.zeros(outputs)) if kind == "additive" else None

    def forward(self, h: Tensor, clouds: PointClouds, partner: Tensor | None = None) -> Answer:
        """Reads embeddings.

        Args:
            h: (points, width).
            clouds: Whose points they are.
            partner: (clouds, width) that is added to what is pooled: the second clouds.

        Raises:
            PellucidError: for a partner and a readout that does not pool.
        """
        if self.kind == "pooled":
            pooled = segment_sum(h, clouds.ptr)
            return Answer(self.head(pooled if partner is None else pooled + partner))
        if partner is not None:
            raise PellucidError(f"expected a pooled readout for samples of two clouds, got {self.kind}")
        if self.bias is None:
            return Answer(self.head(h))
        if not isinstance(self.head, nn.ModuleList):
            each = self.head(h) / self.points
            return Answer(segment_sum(each, clouds.ptr) + self.bias, each)
        shares = [head(part) / self.points for head, part in zip(self.head, h.chunk(self.levels, 1), strict=True)]
        known: Tensor = self.bias
        partial = []
        for share in shares:
            known = known + segment_sum(share, clouds.ptr)
            partial.append(known)
        return Answer(partial.pop(), torch.stack(shares).sum(0), tuple(partial))
