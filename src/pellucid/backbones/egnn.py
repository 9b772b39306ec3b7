"""EGNN without coordinate updates (Satorras et al. 2021), as the LRI paper uses it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.backbones.base import Backbone, ResidualLayer, backbones, edge_map, message_sum, mlp
from pellucid.backbones.edges import Geometry
from pellucid.backbones.kernels import Norm, norm_relu_dropout_sum, sum_neighbors
from pellucid.neighbors import Neighbors


class EquivariantConv(ResidualLayer):
    """h_i + MLP([h_i, sum_j MLP([h_i, h_j, e_ij])]); e_ij sees the squared distance and kinks of the distance only.

    Each MLP is linear, batch norm, ReLU, dropout, linear. The message's last linear layer is taken after the sum,
    which is the same and k times cheaper; its bias counts once a message.

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
        self.out = nn.Linear(hidden, hidden)
        self.update = mlp([2 * hidden, hidden, hidden], p)

    def added(self, h: Tensor, where: Geometry, neighbors: Neighbors, weight: Tensor | None) -> Tensor:
        """See :meth:`ResidualLayer.added`."""
        own, other = self.message.weight.chunk(2, 1)
        target = nn.functional.linear(h, own, self.message.bias)
        message = message_sum(h @ other.t(), target, where, self.edge, neighbors)
        total = norm_relu_dropout_sum(message, self.norm, neighbors, weight, self.p)
        count = (neighbors.degree[:, None].to(total.dtype) if weight is None
                 else sum_neighbors(weight[..., None], None, neighbors))
        total = total @ self.out.weight.t() + count * self.out.bias
        return self.update(torch.cat([h, total], -1))  # type: ignore[no-any-return]


@backbones.register("egnn")
class EGNN(Backbone):
    """EGNN: messages see h_i, h_j and an embedding of the distance, sum, residual; coordinates are not updated."""

    sees_direction = False
    citation = "Satorras et al., E(n) Equivariant Graph Neural Networks, ICML 2021"

    def layer(self) -> nn.Module:
        """One equivariant convolution."""
        return EquivariantConv(self.hidden, self.edge_width, self.dropout)
