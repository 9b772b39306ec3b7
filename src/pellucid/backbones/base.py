"""What every backbone is: points in, point embeddings out; weights and noise come as arguments."""

from __future__ import annotations

import inspect
import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from pellucid import families
from pellucid.backbones.edges import EdgeBasis, EdgeEmbedding, Geometry, GivenEdges, geometry
from pellucid.backbones.kernels import Norm, dropout, edge_linear, same_dtype
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.neighbors import Neighbors
from pellucid.registry import Registry
from pellucid.views import check_view, seen, views

backbones: Registry[type[Backbone]] = families.backbones


@dataclass(frozen=True)
class Embedding:
    """What a backbone makes of each point.

    Attributes:
        scalars: (points, F); see :attr:`Backbone.directions` for what turning a cloud does to them.
        vectors: (points, V, D) that turn with the cloud, of an equivariant backbone; None for the others.
    """

    scalars: Tensor
    vectors: Tensor | None = None
    added: Tensor | None = None
    """(points, hidden) what the last layer added to what came before it, of a backbone of :class:`ResidualLayer`."""


Directions = Literal["none", "coordinates", "equivariant"]
"""What a backbone knows of directions; see :attr:`Backbone.directions`."""


class Dropout(nn.Module):
    """Dropout whose random numbers are cheap on the CPU (see :func:`pellucid.backbones.kernels.dropout`)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p <= 0.99:
            raise PellucidError(f"expected dropout from 0 to 0.99, got {p}; choose a smaller probability")
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """Drops entries in training."""
        return dropout(values, self.p, self.training)


def edge_map(edge: int, hidden: int) -> nn.Linear | None:
    """The layer that a message sees the edge embedding through; None where there is none.

    Args:
        edge: Width of the edge embedding.
        hidden: Width of the messages.
    """
    return nn.Linear(edge, hidden, bias=False) if edge else None


def message_sum(source: Tensor, target: Tensor | None, where: Geometry, edge: nn.Linear | None, neighbors: Neighbors
                ) -> Tensor:
    """``source[j] + target[i] + W e_ij`` for each neighbour j of i; see :func:`pellucid.backbones.kernels.edge_linear`.

    Args:
        source: (points, F).
        target: (points, F); None for zeros.
        where: With the edge embedding.
        edge: W, from :func:`edge_map`.
        neighbors: The table.

    Returns:
        (points, k, F).
    """
    if edge is None:
        return neighbors.gather(source) if target is None else (
            neighbors.gather(source) + neighbors.spread(target))
    assert where.embedding is not None
    target = torch.zeros_like(source) if target is None else target
    return edge_linear(source, target, where.embedding, edge.weight, neighbors)


def weights_of_others(weight: Tensor | None, neighbors: Neighbors, like: Tensor) -> Tensor:
    """Weights of the messages, and 0 for what a point says to itself: for layers that hear it in another way.

    Args:
        weight: (points, k) or (edges,); None for ones.
        neighbors: The table.
        like: Gives the dtype.

    Returns:
        (points, k), or (edges,) where some places of the table are empty.
    """
    if neighbors.mask is None:
        other = neighbors.index != torch.arange(len(neighbors.index), device=like.device)[:, None]
    else:
        other = neighbors.sources != neighbors.targets
    return other.to(like.dtype) if weight is None else torch.where(other, weight, 0)


def mlp(widths: Sequence[int], p: float, *, plain_last: bool = True) -> nn.Sequential:
    """Linear, batch norm, ReLU, dropout for each width; the last layer is only linear when ``plain_last``.

    Args:
        widths: Input, hidden and output widths.
        p: Dropout probability.
        plain_last: Whether the last layer is linear alone.
    """
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(a, b))
        if i < len(widths) - 2 or not plain_last:
            layers += [Norm(b), nn.ReLU(), Dropout(p)]
    return nn.Sequential(*layers)


class ResidualLayer(nn.Module, ABC):
    """A layer h -> h + added(h), of which the part that it adds can be read by itself (Grad-CAM does)."""

    @abstractmethod
    def added(self, h: Tensor, where: Geometry, neighbors: Neighbors, weight: Tensor | None) -> Tensor:
        """(points, hidden) -> (points, hidden) what the layer adds."""

    def joined(self, h: Tensor, added: Tensor) -> Tensor:
        """(points, hidden) what goes on: the sum, unless the layer does more with it."""
        return h + added

    def forward(self, h: Tensor, where: Geometry, neighbors: Neighbors, weight: Tensor | None) -> Tensor:
        """(points, hidden) -> (points, hidden)."""
        return self.joined(h, self.added(h, where, neighbors, weight))


class Backbone(nn.Module, ABC):
    """Base of all backbones: an encoder of points whose neighbourhoods are given.

    Args:
        dim: Number of coordinates D.
        category_sizes: Cardinality of each column of ``categories``.
        feature_size: Columns of ``features``.
        hidden: Width of the embeddings.
        layers: Number of message-passing layers.
        dropout: Probability in every MLP layer.
        length_scale: Lengths are divided by it before the network sees them, so that the unit does not matter.
        view: As what coordinates are seen, e.g. as directions from the origin; see :func:`pellucid.views.seen`.
        coordinates: Whether coordinates, so placed, are features of the points too (paper, E.2); an embedding is then
            neither invariant to translations nor to rotations.
        edge_directions: Whether layers see directions to neighbours where the backbone by itself sees distances alone
            (EGNN, as the paper has it on ActsTrack), or nothing of coordinates (GCN, GIN); it is not invariant to
            rotations then.
        edge_category_sizes: Cardinality of each column of ``edge_categories``; for neighbourhoods of given edges.
        edge_feature_size: Columns of ``edge_features``; likewise.
        read_all: Whether scalars are what each layer knows, side by side from the input to the last layer, and not the
            last layer alone (jumping knowledge, Xu et al., ICML 2018). What a point is by itself then need not pass
            through its neighbours, so that contributions of points stay where they come from.
        nested: With ``read_all``, the share of clouds that are read in training to a random depth alone, the rest of
            the scalars being 0 (nested dropout, Rippel et al., ICML 2014), so that what can be known of a point without
            its neighbours, or near ones, is read there; an MLP of each point by itself is read too, then.

    Raises:
        PellucidError: if these do not go together.
    """

    citation: ClassVar[str]
    needs_coordinates: ClassVar[bool] = False
    """Whether it makes no sense for graphs without coordinates (``dim = 0``)."""
    sees_distance: ClassVar[bool] = True
    """Whether layers see distances to neighbours; where not, they see nothing of coordinates."""
    sees_direction: ClassVar[bool] = True
    """Whether layers see the direction to a neighbour besides the distance."""
    equivariant: ClassVar[bool] = False
    """Whether :attr:`Embedding.vectors` are there and turn with the cloud, and scalars do not change."""
    vector_width: int = 0
    """How many vectors a point has in :attr:`Embedding.vectors`; 0 for a backbone without."""

    def __init__(self, dim: int = 3, category_sizes: Sequence[int] = (), feature_size: int = 0, *, hidden: int = 64,
                 layers: int = 4, dropout: float = 0.2, length_scale: float = 1.0, view: str = "plain",
                 coordinates: bool = False, edge_directions: bool = False, edge_category_sizes: Sequence[int] = (),
                 edge_feature_size: int = 0, read_all: bool = False, nested: float = 0.0) -> None:
        super().__init__()
        if hidden < 1 or layers < 1:
            raise PellucidError(f"expected at least one layer of width 1, got layers={layers}, hidden={hidden}")
        Dropout(dropout)  # refuses a probability that cannot be used
        if not length_scale > 0:
            raise PellucidError(f"expected a positive length_scale, got {length_scale}")
        if dim == 0 and self.needs_coordinates:
            raise PellucidError(f"expected coordinates for {type(self).__name__}, got graphs without; choose a "
                                "backbone that needs none: gcn, gin, dgcnn or egnn")
        if dim == 0 and (coordinates or edge_directions or view != "plain"):
            raise PellucidError("expected coordinates to see, got graphs without; leave view, coordinates and "
                                "edge_directions as they are")
        self.dim, self.hidden, self.dropout, self.length_scale = dim, hidden, dropout, length_scale
        check_view(view, dim)
        self.view = view
        self.embeddings = nn.ModuleList(nn.Embedding(size, hidden) for size in category_sizes)
        self.features = nn.Linear(feature_size, hidden) if feature_size else None
        if not category_sizes and not feature_size:
            self.constant = nn.Parameter(torch.randn(hidden))  # a dummy feature of ones, as on ActsTrack
        self.coordinates = nn.Linear(dim, hidden, bias=False) if coordinates else None
        sees = dim > 0 and (self.sees_distance or edge_directions)
        self.edges = self.edge_embedding(self.sees_direction or edge_directions) if sees else None
        self.given = (GivenEdges(edge_category_sizes, edge_feature_size) if edge_category_sizes or edge_feature_size
                      else None)
        self.edge_width = sum(part.width for part in (self.edges, self.given) if part is not None)
        """Width of the edge embedding that the layers see."""
        self.layers = nn.ModuleList(self.layer() for _ in range(layers))
        if (nested and not read_all) or not 0 <= nested <= 1:
            raise PellucidError(f"expected nested from 0 to 1, and above 0 with read_all alone, got {nested}")
        self.nested = nested
        self.alone = mlp([hidden, hidden, hidden], dropout, plain_last=False) if nested else None
        self.levels = layers + 1 + bool(nested) if read_all else 1
        """How many embeddings of width ``hidden`` lie side by side in the scalars."""

    @classmethod
    def option_names(cls) -> set[str]:
        """Options of this backbone alone: arguments that the base does not have."""
        own, base = (inspect.signature(kind.__init__).parameters for kind in (cls, Backbone))
        return {name for name, p in own.items() if p.kind is p.KEYWORD_ONLY and name not in base}

    @property
    def width(self) -> int:
        """Of the scalars."""
        return self.hidden * self.levels

    @property
    def directions(self) -> Directions:
        """What it knows of directions: how scalars change when a cloud is turned about the origin.

        ``"none"``: they do not, so nothing that is read from them can point anywhere. ``"coordinates"``: layers see
        offsets in the axes of the coordinates, so that scalars change in no simple way, and directions read from them
        are told in those axes. ``"equivariant"``: scalars do not change, and vectors turn with the cloud.
        """
        seen_directions = self.edges is not None and self.edges.direction
        if self.coordinates is not None or seen_directions or (self.edges is not None and not views[self.view].turns):
            return "coordinates"
        return "equivariant" if self.equivariant else "none"

    @property
    def sees_coordinates(self) -> bool:
        """Whether embeddings depend on coordinates, besides through who neighbours are."""
        return self.edges is not None or self.coordinates is not None

    def place(self, pos: Tensor) -> Tensor:
        """(points, D) coordinates as the layers see them, but for the length scale."""
        return seen(pos, self.view)

    def edge_embedding(self, direction: bool) -> EdgeBasis:
        """What layers see of distance and direction; a backbone with a basis of its own gives it here.

        Args:
            direction: Whether the direction is to be seen.
        """
        return EdgeEmbedding(self.dim, direction)

    @abstractmethod
    def layer(self) -> nn.Module:
        """One message-passing layer: ``layer(h, geometry, neighbors, weight) -> h``, best a :class:`ResidualLayer`."""

    @property
    def residual(self) -> bool:
        """Whether :attr:`Embedding.added` is there; a backbone with a forward pass of its own says so itself."""
        return type(self).forward is Backbone.forward and isinstance(self.layers[-1], ResidualLayer)

    def encode(self, clouds: PointClouds) -> Tensor:
        """(points, hidden) embedding of the categories and features alone."""
        h: Tensor | None = None
        if len(self.embeddings):
            categories = clouds["categories"].long()  # any width of integer is taken
            for column, table in enumerate(self.embeddings):
                part = table(categories[:, column])
                h = part if h is None else h + part
        if self.features is not None:
            part = self.features(clouds["features"])
            h = part if h is None else h + part
        return self.constant.expand(clouds.points, -1) if h is None else h

    def forward(
        self,
        clouds: PointClouds,
        neighbors: Neighbors,
        *,
        pos: Tensor | None = None,
        inputs: Tensor | None = None,
        edge_weight: Tensor | None = None,
        point_weight: Tensor | None = None,
    ) -> Embedding:
        """Embeds points.

        Args:
            clouds: The clouds.
            neighbors: Whom each point hears.
            pos: (points, D) coordinates to use in place of ``clouds.pos``, e.g. perturbed ones.
            inputs: (points, hidden) to use in place of :meth:`encode`, e.g. with some entries taken away.
            edge_weight: (points, k) factor of each message (the paper's phi), or one for each edge.
            point_weight: (points,) existence of each point in [0, 1]; a message from u to v is multiplied by
                ``point_weight[u] * point_weight[v]`` (paper, appendix D).

        Returns:
            The embedding, with scalars of width :attr:`width`.
        """
        placed = self.place(clouds.pos if pos is None else pos) if self.sees_coordinates else None
        where = self._where(clouds, neighbors, placed)
        weight = None if edge_weight is None else neighbors.at_edges(edge_weight)
        if point_weight is not None:
            pair = (neighbors.gather(point_weight[:, None]) * neighbors.spread(point_weight[:, None])).squeeze(-1)
            weight = pair if weight is None else weight * pair
        h = self.encode(clouds) if inputs is None else inputs
        if self.coordinates is not None:
            h = h + self.coordinates(placed)
        levels, added = [h] if self.alone is None else [h, self.alone(h)], None
        for layer in self.layers:
            if isinstance(layer, ResidualLayer):
                added = layer.added(h, where, neighbors, weight)
                h = layer.joined(h, added)
            else:
                h, added = layer(h, where, neighbors, weight), None
            if self.levels > 1:  # otherwise nothing is kept that nobody reads
                levels.append(h)
        if self.nested and self.training:
            levels = self._to_some_depth(levels, clouds)
        return Embedding(h if self.levels == 1 else torch.cat(same_dtype(*levels), 1), added=added)

    def _to_some_depth(self, levels: list[Tensor], clouds: PointClouds) -> list[Tensor]:
        """Levels of which those behind a layer that is drawn for each cloud are 0; of the others nothing is."""
        count = len(self.layers)
        depth = torch.randint(0, count, (len(clouds),), device=clouds.device)
        depth = torch.where(torch.rand(len(clouds), device=clouds.device) < self.nested, depth, count)[clouds.batch]
        first = len(levels) - count
        return levels[:first] + [level * (depth > k)[:, None] for k, level in enumerate(levels[first:])]

    def _where(self, clouds: PointClouds, neighbors: Neighbors, placed: Tensor | None) -> Geometry:
        """Where neighbours are, and the edge embedding; without columns where layers see nothing of coordinates."""
        parts: list[Tensor] = []
        mixing = None
        if self.edges is not None and placed is not None:
            where = geometry(placed / self.length_scale, neighbors)
            parts.append(self.edges(where))
            mixing = self.edges.mixing
        else:
            shape = neighbors.index.shape if neighbors.mask is None else neighbors.sources.shape
            nothing = torch.zeros(*shape, 0, device=clouds.device)
            where = Geometry(nothing, nothing, nothing)
        if self.given is not None:
            parts.append(self.given(clouds, neighbors))
            if mixing is not None:
                mixing = torch.block_diag(mixing, torch.eye(self.given.width).to(mixing))  # type: ignore[no-untyped-call]
        if not parts:
            return where
        return replace(where, embedding=parts[0] if len(parts) == 1 else torch.cat(same_dtype(*parts), -1),
                       mixing=mixing)


__all__ = ["Backbone", "Directions", "Dropout", "Embedding", "ResidualLayer", "backbones", "mlp"]
