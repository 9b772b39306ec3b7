"""DGCNN on a static graph (Wang et al. 2019), as the LRI paper uses it."""

from __future__ import annotations

from torch import Tensor, nn

from pellucid.backbones.base import Backbone, Geometry, backbones, edge_map, message_sum, mlp
from pellucid.backbones.kernels import Norm, norm_relu_dropout_sum
from pellucid.neighbors import Neighbors


class EdgeConv(nn.Module):
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

    def forward(self, h: Tensor, where: Geometry, neighbors: Neighbors, weight: Tensor | None) -> Tensor:
        """(points, hidden) -> (points, hidden)."""
        own, other = self.message.weight.chunk(2, 1)
        # W [h_i, h_j - h_i, e] = (W_own - W_other) h_i + W_other h_j + W_edge e
        target = nn.functional.linear(h, own - other, self.message.bias)
        message = message_sum(h @ other.t(), target, where, self.edge, neighbors)
        mean = norm_relu_dropout_sum(message, self.norm, neighbors, weight, self.p, 1 / neighbors.k)
        if neighbors.mask is not None:
            mean = mean * (neighbors.k / neighbors.degree.clamp(min=1)[:, None].to(mean.dtype))
        return h + self.update(mean)  # type: ignore[no-any-return]


@backbones.register("dgcnn")
class DGCNN(Backbone):
    """DGCNN: edge convolution on [h_i, h_j - h_i, distance and direction], mean, residual; static graph."""

    citation = "Wang et al., Dynamic Graph CNN for Learning on Point Clouds, ACM Trans. Graphics 38 (2019)"

    def layer(self) -> nn.Module:
        """One edge convolution."""
        return EdgeConv(self.hidden, self.edge_width, self.dropout)
