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
    """

    logits: Tensor
    contributions: Tensor | None = None


class Readout(nn.Module):
    """The head of a model.

    ``pooled``: MLP(sum_v h_v), as in the LRI paper. ``additive``: bias + sum_v MLP(h_v), so that each point has its
    exact share of the output. ``pointwise``: MLP(h_v), an output a point.

    Args:
        width: Of the embeddings.
        outputs: Numbers to predict.
        dropout: Probability in the MLP.
        kind: See above.

    Raises:
        PellucidError: for an unknown kind.
    """

    def __init__(self, width: int, outputs: int, dropout: float, kind: ReadoutKind = "pooled") -> None:
        super().__init__()
        if kind not in get_args(ReadoutKind):
            raise PellucidError(f"expected a readout out of {', '.join(get_args(ReadoutKind))}, got {kind!r}")
        self.kind = kind
        self.head = mlp([width, 2 * width, width, outputs], dropout)
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
        each = self.head(h)
        if self.bias is None:
            return Answer(each)
        return Answer(segment_sum(each, clouds.ptr) + self.bias, each)
