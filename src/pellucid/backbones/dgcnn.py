"""DGCNN on a static graph (Wang et al. 2019), as the LRI paper uses it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pellucid.backbones.base import Backbone, Dropout, ResidualLayer, backbones, edge_map, message_sum, mlp
from pellucid.backbones.edges import EdgeBasis, Geometry
from pellucid.backbones.kernels import Norm, edge_linear, norm_relu_dropout_sum, sum_neighbors
from pellucid.errors import PellucidError
from pellucid.neighbors import Neighbors

FORMS = ("compact", "release")
"""Forms of the layers of DGCNN."""


class EdgeConv(ResidualLayer):
    """h_i + MLP(mean_j MLP([h_i, h_j - h_i, e_ij])).

    Each MLP is linear, batch norm, ReLU, dropout. The mean runs over the real neighbours of a point.

    Args:
        hidden: Width of the embeddings.
        edge: Width of the edge embedding.
        p: Dropout probability.
    """

    def __init__(self, hidden: int, edge: int, p: float) -> None:
        super().__init__()
        self.p = p
        self.message = nn.Linear(2 * hidden, hidden)
        self.edge = edge_map(edge, hidden)  # its own fan-in, so that geometry is not drowned at the start
        self.norm = Norm(hidden)
        self.update = mlp([hidden, hidden, hidden], p)

    def added(self, h: Tensor, where: Geometry, neighbors: Neighbors, weight: Tensor | None) -> Tensor:
        """See :meth:`ResidualLayer.added`."""
        own, other = self.message.weight.chunk(2, 1)
        # W [h_i, h_j - h_i, e] = (W_own - W_other) h_i + W_other h_j + W_edge e
        target = nn.functional.linear(h, own - other, self.message.bias)
        message = message_sum(h @ other.t(), target, where, self.edge, neighbors)
        mean = norm_relu_dropout_sum(message, self.norm, neighbors, weight, self.p, 1 / neighbors.k)
        if neighbors.mask is not None:
            mean = mean * (neighbors.k / neighbors.degree.clamp(min=1)[:, None].to(mean.dtype))
        return self.update(mean)  # type: ignore[no-any-return]


class ReleaseEdgeConv(ResidualLayer):
    """Dropout(h_i + ReLU(BN(W mean_j MLP([h_i, h_j - h_i, e_ij])))), the layer of the authors' release of LRI.

    The MLP is linear to twice the width, batch norm, ReLU, linear; dropout acts on what goes on, not within. The mean
    runs over the real neighbours of a point. The MLP's last linear layer is taken after the mean, which is the same and
    k times cheaper; its bias counts with the mean weight of a message.

    Args:
        hidden: Width of the embeddings.
        edge: Width of the edge embedding.
        p: Dropout probability.
    """

    def __init__(self, hidden: int, edge: int, p: float) -> None:
        super().__init__()
        self.message = nn.Linear(2 * hidden + edge, 2 * hidden)
        self.inner = Norm(2 * hidden)
        self.out = nn.Linear(2 * hidden, hidden)
        self.post = nn.Linear(hidden, hidden)
        self.norm = Norm(hidden)
        self.drop = Dropout(p)

    def added(self, h: Tensor, where: Geometry, neighbors: Neighbors, weight: Tensor | None) -> Tensor:
        """See :meth:`ResidualLayer.added`."""
        width = h.shape[1]
        own, other, edge = self.message.weight.tensor_split((width, 2 * width), 1)
        target = nn.functional.linear(h, own - other, self.message.bias)
        source = h @ other.t()
        if where.mixing is not None:
            edge = edge @ where.mixing
        message = (neighbors.gather(source) + neighbors.spread(target) if where.embedding is None else
                   edge_linear(source, target, where.embedding, edge, neighbors))
        total = norm_relu_dropout_sum(message, self.inner, neighbors, weight, 0.0)
        degree = neighbors.degree[:, None].to(total.dtype)
        count = degree if weight is None else sum_neighbors(weight[..., None], None, neighbors)
        mean = (total @ self.out.weight.t() + count * self.out.bias) / degree.clamp(min=1)
        return torch.relu(self.norm(self.post(mean)))

    def joined(self, h: Tensor, added: Tensor) -> Tensor:
        """See :meth:`ResidualLayer.joined`."""
        return self.drop(h + added)  # type: ignore[no-any-return]


class LinearEdges(EdgeBasis):
    """Two linear maps of distance and direction, one after the other, as in the authors' release of LRI.

    Together they are one map of distance, direction and 1, which layers multiply into their weights (:attr:`mixing`).

    Args:
        dim: Number of coordinates.
        direction: Whether the direction is seen.
        width: Of the embedding.
    """

    def __init__(self, dim: int, direction: bool, width: int) -> None:
        super().__init__()
        self.direction, self.width = direction, width
        self.maps = nn.Sequential(nn.Linear(1 + dim if direction else 1, width), nn.Linear(width, width))

    @property
    def mixing(self) -> Tensor:
        """(width, 2 + D) or, without direction, (width, 2)."""
        first, second = (linear for linear in self.maps if isinstance(linear, nn.Linear))
        return torch.cat([second.weight @ first.weight, second(first.bias)[:, None]], 1)

    def forward(self, where: Geometry) -> Tensor:
        """(points, k, 2 + D) distance, direction and 1, or (points, k, 2) distance and 1."""
        parts = [where.distance, where.direction] if self.direction else [where.distance]
        return torch.cat([*parts, torch.ones_like(where.distance)], -1)


@backbones.register("dgcnn")
class DGCNN(Backbone):
    """DGCNN: edge convolution on [h_i, h_j - h_i, distance and direction], mean, residual; static graph.

    Args:
        *shape: As for :class:`Backbone`.
        form: ``"compact"``: :class:`EdgeConv`, 71,424 parameters in four layers of width 64. ``"release"``, as in the
            authors' release of LRI: :class:`ReleaseEdgeConv` on :class:`LinearEdges`, 150,016.
        **common: As for :class:`Backbone`.
    """

    citation = "Wang et al., Dynamic Graph CNN for Learning on Point Clouds, ACM Trans. Graphics 38 (2019)"

    def __init__(self, *shape: Any, form: str = "compact", **common: Any) -> None:
        if form not in FORMS:
            raise PellucidError(f"expected form to be {' or '.join(FORMS)}, got {form!r}")
        self.form = form
        super().__init__(*shape, **common)

    def edge_embedding(self, direction: bool) -> EdgeBasis:
        """See :meth:`Backbone.edge_embedding`."""
        if self.form == "compact":
            return super().edge_embedding(direction)
        return LinearEdges(self.dim, direction, self.hidden)

    def layer(self) -> nn.Module:
        """One edge convolution."""
        made = EdgeConv if self.form == "compact" else ReleaseEdgeConv
        return made(self.hidden, self.edge_width, self.dropout)
