"""Where neighbours are, and what the layers of a backbone see of it: distances, directions, features of given edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.neighbors import Neighbors


@dataclass(frozen=True)
class Geometry:
    """Where the neighbours are; (edges, ...) in place of (points, k, ...) where some places of the table are empty.

    Attributes:
        offset: (points, k, D) r_j - r_i.
        distance: (points, k, 1) its length.
        direction: (points, k, D) its unit vector; zero for the point itself and for duplicates.
    """

    offset: Tensor
    distance: Tensor
    direction: Tensor
    embedding: Tensor | None = None
    """(points, k, E) what the backbone makes of distance, direction and features of given edges; None before that, and
    where there is nothing to make it from."""
    mixing: Tensor | None = None
    """(W, E) of a backbone whose layers see W linear combinations of the embedding; see :attr:`EdgeBasis.mixing`."""

    @property
    def features(self) -> Tensor:
        """(points, k, 1 + D) edge features (paper, appendix B): distance and unit direction."""
        return torch.cat([self.distance, self.direction], -1)


def geometry(pos: Tensor, neighbors: Neighbors) -> Geometry:
    """Offsets, distances and directions of all neighbours; gradients stay finite for points in one place.

    Args:
        pos: (points, D).
        neighbors: The table.
    """
    offset = neighbors.gather(pos) - neighbors.spread(pos)
    squared = offset.square().sum(-1, keepdim=True)
    apart = squared > torch.finfo(squared.dtype).tiny
    distance = torch.where(apart, squared, 1).sqrt()
    direction = torch.where(apart, offset, 0) / distance
    return Geometry(offset, torch.where(apart, distance, 0), direction)


class EdgeBasis(nn.Module):
    """What the layers of a backbone see of each edge: ``forward(geometry)`` gives (points, k, width).

    Attributes:
        width: Numbers an edge that the layers see.
        direction: Whether the direction is among them; without it they do not change when a cloud is turned.
    """

    width: int
    direction: bool

    @property
    def mixing(self) -> Tensor | None:
        """(width, E) where ``forward`` gives E < width numbers an edge, of which the layers see linear combinations.

        A layer's weights times these are a small matrix, so that the combinations need not be written out once an edge.
        None where ``forward`` gives what the layers see.
        """
        return None


class EdgeEmbedding(EdgeBasis):
    """[ReLU(w d + b), d, direction], or [ReLU(w d + b), d^2]: the edge embedding that all layers of a backbone share.

    The kinks of the first part start spread over twice the typical distance, so that small differences of length are
    seen from the first step; the direction enters linearly.

    Args:
        dim: Number of coordinates.
        direction: Whether the direction is seen; without it the embedding does not change when a cloud is turned.
        kinks: Number of ReLU units on the distance.
    """

    def __init__(self, dim: int, direction: bool = True, kinks: int = 12) -> None:
        super().__init__()
        self.direction = direction
        slope = torch.full((kinks,), 4.0)
        slope[1::2] *= -1
        self.slope = nn.Parameter(slope)
        self.bias = nn.Parameter(-slope * torch.linspace(0, 2, kinks))
        self.width = kinks + 1 + (dim if direction else 0)

    def forward(self, where: Geometry) -> Tensor:
        """(points, k, width)."""
        rest = where.features if self.direction else where.distance.square()
        return torch.cat([torch.relu(where.distance * self.slope + self.bias), rest], -1)


class GivenEdges(nn.Module):
    """The features of given edges as vectors: an embedding of each category and a linear map of real ones, summed.

    Loops that were added have none, and get zeros.

    Args:
        category_sizes: Cardinality of each column of ``edge_categories``.
        feature_size: Columns of ``edge_features``.
        width: Of the vectors.
    """

    def __init__(self, category_sizes: Sequence[int], feature_size: int, width: int = 16) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size in category_sizes)
        self.features = nn.Linear(feature_size, width) if feature_size else None
        self.width = width

    def forward(self, clouds: PointClouds, neighbors: Neighbors) -> Tensor:
        """(points, k, width), or (edges, width) where some places of the table are empty.

        Raises:
            PellucidError: if the neighbourhoods are not those of given edges, or the features are not there.
        """
        rows = neighbors.edge_rows
        if rows is None:
            raise PellucidError("expected neighbourhoods of given edges, whose features the model was made for, got "
                                "others; set method.rule.kind to edges")
        parts = [table(clouds["edge_categories"][:, column].long()) for column, table in enumerate(self.embeddings)]
        if self.features is not None:
            parts.append(self.features(clouds["edge_features"]))
        each = torch.stack(parts).sum(0)
        padded = torch.cat([each, each.new_zeros(1, self.width)])
        found = nn.functional.embedding(torch.where(rows < 0, len(each), rows), padded, padding_idx=len(each))
        return found.view(*neighbors.index.shape, self.width) if neighbors.mask is None else found


class Gaussians(EdgeBasis):
    """Bumps exp(-(d - mu_k)^2 / 2 w^2) with mu_k = k w, evenly from 0 to a cutoff; the direction where it is asked for.

    Args:
        dim: Number of coordinates.
        direction: Whether the direction is seen.
        radial: Number of bumps, at least 2.
        cutoff: Place of the last one, in units of the length scale.
    """

    def __init__(self, dim: int, direction: bool, radial: int, cutoff: float) -> None:
        super().__init__()
        if radial < 2 or not 0 < cutoff < float("inf"):
            raise PellucidError(f"expected radial of at least 2 and a positive cutoff, got {radial} and {cutoff}")
        self.direction, self.radial, self.apart = direction, radial, cutoff / (radial - 1)
        self.width = radial + (dim if direction else 0)

    def forward(self, where: Geometry) -> Tensor:
        """(points, k, width)."""
        steps = where.distance / self.apart - torch.arange(self.radial, device=where.distance.device)
        bumps = (-0.5 * steps.square()).exp()
        return torch.cat([bumps, where.direction], -1) if self.direction else bumps


__all__ = ["EdgeBasis", "EdgeEmbedding", "Gaussians", "Geometry", "GivenEdges", "geometry"]
