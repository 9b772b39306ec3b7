"""GIN (Xu et al. 2019), and GINE with features of edges (Hu et al. 2020): sums that tell multisets apart."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.backbones.base import Backbone, backbones, edge_map, message_sum, mlp, weights_of_others
from pellucid.backbones.edges import Geometry
from pellucid.backbones.kernels import sum_neighbors
from pellucid.neighbors import Neighbors


class IsomorphismConv(nn.Module):
    """MLP((1 + eps) h_i + sum_j h_j), with an edge embedding MLP((1 + eps) h_i + sum_j ReLU(h_j + E e_ij)).

    The MLP is linear, batch norm, ReLU, dropout, twice; eps is learned, from 0. A point is no neighbour of its own,
    whether the table names it or not.

    Args:
        hidden: Width of the embeddings.
        edge: Width of the edge embedding; 0 for none.
        p: Dropout probability.
    """

    def __init__(self, hidden: int, edge: int, p: float) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(()))
        self.edge = edge_map(edge, hidden)
        self.update = mlp([hidden, hidden, hidden], p, plain_last=False)

    def forward(self, h: Tensor, where: Geometry, neighbors: Neighbors, weight: Tensor | None) -> Tensor:
        """(points, hidden) -> (points, hidden)."""
        message = message_sum(h, None, where, self.edge, neighbors)
        if self.edge is not None:
            message = torch.relu(message)
        weight = weights_of_others(weight, neighbors, h)
        total = sum_neighbors(message, weight, neighbors)
        if not len(message):
            total = total + 0 * weight.sum()  # explainers ask for the gradient of weights, also where there are none
        return self.update((1 + self.eps) * h + total)  # type: ignore[no-any-return]


@backbones.register("gin")
class GIN(Backbone):
    """GIN, with features of edges GINE: a sum over neighbours and an MLP; sees who is linked and no place.

    It differs from the papers in that categories and features are embedded first, that the embedding of edges is shared
    by the layers but for a linear map in each, and that the last layer alone is read out, not the sum over all layers.

    Example:
        >>> from pellucid.clouds import PointClouds
        >>> from pellucid.edges import given_edges
        >>> chain = PointClouds(torch.tensor([0, 3]), {"features": torch.eye(3), "edge_features": torch.ones(2, 1),
        ...     "edge_index": torch.tensor([[0, 1], [1, 2]])}, edge_ptr=torch.tensor([0, 2]))
        >>> GIN(0, (), 3, hidden=8, layers=2, edge_feature_size=1)(chain, given_edges(chain)).scalars.shape
        torch.Size([3, 8])
    """

    sees_direction = False
    sees_distance = False
    citation = ("Xu et al., How Powerful are Graph Neural Networks?, ICLR 2019; with features of edges Hu et al., "
                "Strategies for Pre-training Graph Neural Networks, ICLR 2020")

    def layer(self) -> nn.Module:
        """One layer."""
        return IsomorphismConv(self.hidden, self.edge_width, self.dropout)
