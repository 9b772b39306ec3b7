"""GCN (Kipf & Welling 2017): the mean over neighbours, symmetrically normalised."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.backbones.base import Backbone, Dropout, backbones, edge_map, message_sum, weights_of_others
from pellucid.backbones.edges import Geometry
from pellucid.backbones.kernels import sum_neighbors
from pellucid.neighbors import Neighbors


class GraphConv(nn.Module):
    """Dropout(ReLU(D^-1/2 (A + I) D^-1/2 (H W) + b)); with an edge embedding W h_j + E e_ij in place of W h_j.

    A holds the weights of the messages, and D their sums with the 1 of I. A point hears itself once, with weight 1,
    whether the table names it or not.

    Args:
        hidden: Width of the embeddings.
        edge: Width of the edge embedding; 0 for none.
        p: Dropout probability.
    """

    def __init__(self, hidden: int, edge: int, p: float) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, hidden, bias=False)
        self.edge = edge_map(edge, hidden)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.drop = Dropout(p)

    def forward(self, h: Tensor, where: Geometry, neighbors: Neighbors, weight: Tensor | None) -> Tensor:
        """(points, hidden) -> (points, hidden)."""
        own = self.linear(h)
        weight = weights_of_others(weight, neighbors, h)
        scale = (1 + _total(weight, neighbors))[:, None].rsqrt()
        message = message_sum(own, None, where, self.edge, neighbors)
        total = sum_neighbors(message, weight * neighbors.gather(scale).squeeze(-1), neighbors)
        return self.drop(torch.relu(scale * (total + scale * own) + self.bias))  # type: ignore[no-any-return]


def _total(weight: Tensor, neighbors: Neighbors) -> Tensor:
    """(points,) sum over neighbours."""
    if neighbors.mask is not None:
        weight = torch.zeros_like(neighbors.mask, dtype=weight.dtype).masked_scatter(neighbors.mask, weight)
    return weight.sum(1)


@backbones.register("gcn")
class GCN(Backbone):
    """GCN: the symmetrically normalised sum over neighbours and the point itself; sees who is linked and no place.

    As in the paper there is neither batch norm nor a residual connection. It differs in that categories and features
    are embedded first, that every layer ends in ReLU and dropout (the readout follows), and in the edge term of
    :class:`GraphConv`, which is not there without features of edges.

    Example:
        >>> from pellucid.clouds import PointClouds
        >>> from pellucid.edges import given_edges
        >>> chain = PointClouds(torch.tensor([0, 3]), {"features": torch.eye(3), "edge_index":
        ...     torch.tensor([[0, 1], [1, 2]])}, edge_ptr=torch.tensor([0, 2]))
        >>> GCN(0, (), 3, hidden=8, layers=2)(chain, given_edges(chain)).scalars.shape
        torch.Size([3, 8])
    """

    sees_direction = False
    sees_distance = False
    citation = "Kipf & Welling, Semi-Supervised Classification with Graph Convolutional Networks, ICLR 2017"

    def layer(self) -> nn.Module:
        """One graph convolution."""
        return GraphConv(self.hidden, self.edge_width, self.dropout)
