"""SchNet (Schütt et al. 2017): continuous-filter convolutions on Gaussians of the distance."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.backbones.base import Backbone, Dropout, ResidualLayer, backbones
from pellucid.backbones.edges import EdgeBasis, Gaussians, Geometry
from pellucid.backbones.kernels import sum_neighbors
from pellucid.neighbors import Neighbors


class ContinuousFilterConv(ResidualLayer):
    """h_i + U(ssp(V sum_j W(e_ij) f(d_ij) * A h_j)) with a filter network W; f falls smoothly to 0 at the cutoff."""

    def __init__(self, hidden: int, edge: int, cutoff: float, p: float) -> None:
        super().__init__()
        self.cutoff, self.drop, self.alone = cutoff, Dropout(p), nn.Linear(hidden, hidden, bias=False)
        self.filter, self.filter_out = nn.Linear(edge, hidden), nn.Linear(hidden, hidden)
        self.update, self.update_out = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)

    def added(self, h: Tensor, where: Geometry, neighbors: Neighbors, weight: Tensor | None) -> Tensor:
        """See :meth:`ResidualLayer.added`; ssp(x) = ln(e^x / 2 + 1 / 2)."""
        envelope = 0.5 + 0.5 * torch.cos(math.pi / self.cutoff * where.distance.clamp(max=self.cutoff))
        filters = self.filter_out(F.softplus(self.filter(where.embedding)) - math.log(2)) * envelope
        total = sum_neighbors(filters * neighbors.gather(self.alone(h)), weight, neighbors)
        return self.update_out(self.drop(F.softplus(self.update(total)) - math.log(2)))  # type: ignore[no-any-return]


@backbones.register("schnet")
class SchNet(Backbone):
    """SchNet: messages are h_j times a filter that a small network makes of Gaussians of the distance; sum, residual.

    Args:
        *shape: As for :class:`Backbone`.
        radial: Number of Gaussians.
        cutoff: Distance where messages end, in units of ``length_scale``.
        **common: As for :class:`Backbone`.
    """

    needs_coordinates, sees_direction = True, False
    citation = "Schütt et al., SchNet: A continuous-filter convolutional neural network, NeurIPS 2017"

    def __init__(self, *shape: Any, radial: int = 50, cutoff: float = 10.0, **common: Any) -> None:
        self.radial, self.cutoff = radial, cutoff
        super().__init__(*shape, **common)

    def edge_embedding(self, direction: bool) -> EdgeBasis:
        """See :meth:`Backbone.edge_embedding`."""
        return Gaussians(self.dim, direction, self.radial, self.cutoff)

    def layer(self) -> nn.Module:
        """One convolution."""
        return ContinuousFilterConv(self.hidden, self.edge_width, self.cutoff, self.dropout)
