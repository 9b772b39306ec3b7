"""Point Transformer (Zhao et al. 2021): vector attention over the neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.backbones.base import Backbone, Dropout, ResidualLayer, backbones
from pellucid.backbones.edges import Geometry
from pellucid.backbones.kernels import Norm, attend, edge_linear
from pellucid.neighbors import Neighbors


class VectorAttention(ResidualLayer):
    """h_i + MLP(sum_j softmax_j(Dropout(ReLU(BN(q_i - k_j + P(r_i - r_j))))) * (v_j + P'(r_i - r_j) + E e_ij)).

    The attention MLP's first linear layer is merged with those of q, k and P (a product of linear maps is one), so
    that nothing wider than the edge features is multiplied once an edge.

    Args:
        hidden: Width of the embeddings.
        dim: Number of coordinates.
        edge: Width of the edge embedding.
        p: Dropout probability.
    """

    def __init__(self, hidden: int, dim: int, edge: int, p: float) -> None:
        super().__init__()
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.value = nn.Linear(hidden, hidden, bias=False)
        self.position_logit = nn.Linear(dim, hidden, bias=False)
        self.position_value = nn.Linear(dim, hidden)
        self.edge_value = nn.Linear(edge, hidden, bias=False)
        self.norm = Norm(hidden)
        self.drop = Dropout(p)
        self.update = nn.Sequential(nn.Linear(hidden, hidden), Norm(hidden), nn.ReLU(), Dropout(p))

    def added(self, h: Tensor, where: Geometry, neighbors: Neighbors, weight: Tensor | None) -> Tensor:
        """See :meth:`ResidualLayer.added`."""
        assert where.embedding is not None
        logit = edge_linear(-self.key(h), self.query(h), -where.offset, self.position_logit.weight, neighbors)
        logit = self.drop(torch.relu(self.norm(logit)))
        edge = torch.cat([-where.offset, where.embedding], -1)
        by_edge = torch.cat([self.position_value.weight, self.edge_value.weight], 1)
        bias = self.position_value.bias.expand_as(h)
        value = edge_linear(self.value(h), bias, edge, by_edge, neighbors)
        return self.update(attend(logit, value, weight, neighbors))  # type: ignore[no-any-return]


@backbones.register("point_transformer")
class PointTransformer(Backbone):
    """Point Transformer: vector attention with an embedding of r_i - r_j, edge embedding in the value, residual."""

    needs_coordinates = True
    citation = "Zhao et al., Point Transformer, ICCV 2021"

    def layer(self) -> nn.Module:
        """One vector attention layer."""
        return VectorAttention(self.hidden, self.dim, self.edge_width, self.dropout)
