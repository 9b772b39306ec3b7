"""Neighbourhoods of fixed degree: exact k nearest neighbours and radius graphs over many clouds at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.clouds import ragged_arange
from pellucid.errors import PellucidError

_BLOCK = 1 << 22
"""Entries of the largest block of distances held at a time on an accelerator (32 MB in float64)."""
_CPU_BLOCK = 1 << 18
"""The same on the CPU, where a block that stays in its cache is about twice as fast."""
_TREE = 400
"""Clouds with more points than this use a k-d tree when on the CPU."""
_TREE_DIMENSIONS = 8
"""With more coordinates than this a k-d tree is no better than all pairs."""


@dataclass(frozen=True)
class Bags:
    """Rows that lie in bags: the sum over each bag and its transpose. Each is the other's derivative, to any order.

    Both are fast and the same every time, which a scatter is not. The tables are asked for when they are needed.

    Attributes:
        index: Gives (rows,) int64, the bag of each row.
        order: Gives (rows,) int64, the rows sorted by bag, and (bags,) int64, where in that order each bag starts.
    """

    index: Callable[[], Tensor]
    order: Callable[[], tuple[Tensor, Tensor]]

    def sum(self, values: Tensor) -> Tensor:
        """(rows, ...) -> (bags, ...): the sum over the rows of each bag."""
        if torch.is_grad_enabled() and values.requires_grad:  # a Function costs as much as a small sum
            return _Sum.apply(values, self)  # type: ignore[no-any-return, no-untyped-call]
        return self._sum(values)

    def spread(self, values: Tensor) -> Tensor:
        """(bags, ...) -> (rows, ...): each row gets what its bag has."""
        if torch.is_grad_enabled() and values.requires_grad:
            return _Spread.apply(values, self)  # type: ignore[no-any-return, no-untyped-call]
        return values.index_select(0, self.index())

    def _sum(self, values: Tensor) -> Tensor:
        rows, starts = self.order()
        if values.numel() == 0:
            return values.new_zeros(len(starts), *values.shape[1:])
        if values.ndim == 2:
            return F.embedding_bag(rows, values, starts, mode="sum")
        return F.embedding_bag(rows, values.reshape(len(values), -1), starts, mode="sum").view(-1, *values.shape[1:])


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, bags: Bags) -> Tensor:
        ctx.bags = bags
        return bags.sum(values)  # not recorded here

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.bags.spread(grad), None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, bags: Bags) -> Tensor:
        ctx.bags = bags
        return bags.spread(values)  # not recorded here

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.bags.sum(grad), None


@dataclass(frozen=True)
class Neighbors:
    """For each point the places of its neighbours: a (points, k) table.

    Values of edges, as layers use them, are dense where all points have k neighbours: (points, k, F), so that
    aggregating is a plain sum. Otherwise they are a flat list of the edges that are there: (edges, F), sorted by point.
    A radius graph whose largest degree is six times the mean one costs no more for that.

    Attributes:
        index: (points, k) int64, rows of the flat tensors; where ``mask`` is False it is the point itself.
        mask: (points, k) bool, False where a point has fewer than k neighbours; None if all have k.
        edges: (points, k) int64 row of the given edge in the edge-level fields, -1 for a loop that was added and for an
            empty place; None where neighbourhoods are not those of given edges.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [3.0]])
        >>> knn(line, torch.tensor([0, 3]), k=1, loop=False).index.flatten().tolist()
        [1, 0, 1]
    """

    index: Tensor
    mask: Tensor | None = None
    edges: Tensor | None = None
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def k(self) -> int:
        """Neighbours a point, places without a neighbour included."""
        return self.index.shape[1]

    @property
    def degree(self) -> Tensor:
        """(points,) number of neighbours that are really there."""
        return self.mask.sum(1) if self.mask is not None else torch.full_like(self.index[:, 0], self.k)

    @property
    def sources(self) -> Tensor:
        """(edges,) the neighbour of each edge, sorted by the point that hears it. Computed once."""
        if "sources" not in self._cache:
            self._cache["sources"] = self.index.flatten() if self.mask is None else self.index[self.mask]
        return self._cache["sources"]  # type: ignore[no-any-return]

    @property
    def targets(self) -> Tensor:
        """(edges,) the point that hears each edge. Computed once."""
        if "targets" not in self._cache:
            points = torch.arange(len(self.index), device=self.index.device)
            self._cache["targets"] = torch.repeat_interleave(points, self.degree)
        return self._cache["targets"]  # type: ignore[no-any-return]

    @property
    def starts(self) -> Tensor:
        """(points,) the first edge of each point. Computed once."""
        if "starts" not in self._cache:
            degree = self.degree
            self._cache["starts"] = degree.cumsum(0) - degree
        return self._cache["starts"]  # type: ignore[no-any-return]

    @property
    def edge_rows(self) -> Tensor | None:
        """(edges,) row of each edge in the edge-level fields, in the order of ``sources``; see :attr:`edges`."""
        if self.edges is None or self.mask is None:
            return None if self.edges is None else self.edges.flatten()
        return self.edges[self.mask]

    def reverse(self) -> tuple[Tensor, Tensor]:
        """Who names point ``v`` as a neighbour: places in ``sources``, sorted by v, and where each v starts.

        Returns:
            places: (edges,) int64; starts: (points,) int64. Computed once.
        """
        if "reverse" not in self._cache:
            places = torch.argsort(self.sources.to(torch.int32), stable=True)
            counts = torch.bincount(self.sources, minlength=len(self.index))
            self._cache["reverse"] = (places, counts.cumsum(0) - counts)
        return self._cache["reverse"]  # type: ignore[no-any-return]

    @property
    def by_source(self) -> Bags:
        """The edges in bags of one neighbour each."""
        return Bags(lambda: self.sources, self.reverse)

    @property
    def by_target(self) -> Bags:
        """The edges in bags of one point that hears each."""
        return Bags(lambda: self.targets,
                    lambda: (torch.arange(len(self.sources), device=self.index.device), self.starts))

    def gather(self, values: Tensor) -> Tensor:
        """Values of the neighbours.

        Args:
            values: (points, F).

        Returns:
            (points, k, F), or (edges, F) where some places are empty. The backward pass is a sum over bags, not a
            scatter: fast, and the same every time.
        """
        found = self.by_source.spread(values)
        return found.view(*self.index.shape, values.shape[-1]) if self.mask is None else found

    def spread(self, values: Tensor) -> Tensor:
        """Values of the points that hear: (points, F) -> (points, 1, F), which broadcasts, or (edges, F)."""
        return values[:, None] if self.mask is None else self.by_target.spread(values)

    def at_edges(self, values: Tensor) -> Tensor:
        """A number for each place of the table as one for each edge: (points, k) -> the same, or (edges,).

        What has that shape already is returned as it is.
        """
        if self.mask is None or values.shape != self.mask.shape:
            return values
        return values[self.mask]

    def select(self, ptr: Tensor, clouds: Tensor, edge_ptr: Tensor | None = None) -> Neighbors:
        """The neighbourhoods of some clouds, renumbered as ``PointClouds.select(clouds)`` numbers their points.

        Args:
            ptr: (all clouds + 1,) offsets that ``index`` refers to.
            clouds: (n,) int64 places, or (all clouds,) bool mask.
            edge_ptr: (all clouds + 1,) offsets that ``edges`` refers to, where there are given edges.

        Raises:
            PellucidError: if there are given edges, and no offsets of theirs.
        """
        clouds = clouds.to(ptr.device)
        if clouds.dtype == torch.bool:
            clouds = clouds.nonzero().squeeze(1)
        sizes = ptr.diff()[clouds]
        starts = ptr[clouds]
        rows = ragged_arange(starts, sizes)
        shift = torch.repeat_interleave(sizes.cumsum(0) - sizes - starts, sizes)
        edges = self.edges
        if edges is not None:
            if edge_ptr is None:
                raise PellucidError("expected edge_ptr to select neighbourhoods of given edges, got none; pass that of "
                                    "the clouds")
            firsts = edge_ptr[clouds]
            fewer = edge_ptr.diff()[clouds].cumsum(0) - edge_ptr.diff()[clouds] - firsts
            edges = edges[rows]
            edges = torch.where(edges < 0, -1, edges + torch.repeat_interleave(fewer, sizes)[:, None])
        return Neighbors(self.index[rows] + shift[:, None], self.mask[rows] if self.mask is not None else None, edges)

    def to(self, device: torch.device | str) -> Neighbors:
        """Moves the tables."""
        return Neighbors(self.index.to(device), self.mask.to(device) if self.mask is not None else None,
                         self.edges.to(device) if self.edges is not None else None)

    def edge_index(self) -> Tensor:
        """(2, edges) in PyG's order: row 0 the neighbour (source), row 1 the point (target)."""
        return torch.stack([self.sources, self.targets])


def sum_to_sources(values: Tensor, neighbors: Neighbors) -> Tensor:
    """Sum over all edges that name a point as neighbour: the transpose of ``gather``.

    Args:
        values: (edges, F).
        neighbors: The table.

    Returns:
        (points, F).
    """
    return neighbors.by_source.sum(values)


def knn(pos: Tensor, ptr: Tensor, k: int, *, loop: bool = True) -> Neighbors:
    """Exact k nearest neighbours (Euclidean) within each cloud.

    Args:
        pos: (points, D) coordinates.
        ptr: (clouds + 1,) offsets.
        k: Neighbours a point, at least 1.
        loop: Whether a point is its own first neighbour (it then counts among the k, also among duplicates).

    Returns:
        Neighbors sorted by distance; points of clouds with too few points have masked places. Of points as far away the
        one that comes first in the cloud is the nearer one, whatever else is there (in clouds of more than 400 points
        on the CPU the one that a k-d tree finds first).

    Raises:
        PellucidError: if k < 1, pos and ptr do not fit, or a coordinate is not finite.

    Example:
        >>> knn(torch.zeros(2, 3), torch.tensor([0, 2]), k=3).mask.tolist()
        [[True, True, False], [True, True, False]]
    """
    if k < 1:
        raise PellucidError(f"expected k of at least 1, got {k}; ask for more neighbours")
    pos = _checked(pos)
    index, distance = _table(pos, k)
    for block in _blocks(ptr, pos):
        if isinstance(block, _Tree):
            block.knn(k, loop, index, distance)
            continue
        squared = block.squared_distances(loop)
        width = min(k, squared.shape[-1])
        found, place = _smallest(squared, width)
        index[block.rows, :width] = place + block.row_starts
        distance[block.rows, :width] = found
    return _masked(index, distance.isfinite())


def radius(pos: Tensor, ptr: Tensor, r: float, *, loop: bool = False) -> Neighbors:
    """All neighbours within a distance r (inclusive) in each cloud, nearest first.

    Args:
        pos: (points, D) coordinates.
        ptr: (clouds + 1,) offsets.
        r: Radius, in the unit of pos, not negative.
        loop: Whether a point counts as its own neighbour.

    Returns:
        Neighbors with k = the largest degree found (at least 1); empty neighbourhoods are fully masked.

    Raises:
        PellucidError: if r is negative, pos and ptr do not fit, or a coordinate is not finite.

    Example:
        >>> radius(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 3]), 1.0).degree.tolist()
        [1, 1, 0]
    """
    if not r >= 0:
        raise PellucidError(f"expected a radius of at least 0, got {r}; choose one in the unit of the coordinates")
    pos = _checked(pos)
    r = torch.tensor(r, dtype=pos.dtype).item()  # a float32 distance is compared with the radius as float32 has it
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for block in _blocks(ptr, pos):
        if isinstance(block, _Tree):
            parts.append(block.radius(r, loop))
            continue
        squared = block.squared_distances(loop)
        near = (squared <= r * r) & squared.isfinite()
        width = max(1, int(near.sum(-1).max()) if near.numel() else 1)
        found, place = squared.masked_fill(~near, torch.inf).topk(min(width, squared.shape[-1]), -1, largest=False)
        parts.append((block.rows, place + block.row_starts, found))
    width = max([1, *(p[1].shape[1] for p in parts)])
    index, distance = _table(pos, width)
    for rows, places, found in parts:
        index[rows, : places.shape[1]] = places
        distance[rows, : places.shape[1]] = found
    return _masked(index, distance.isfinite())


def _checked(pos: Tensor) -> Tensor:
    pos = pos.detach()
    if pos.ndim != 2 or not pos.dtype.is_floating_point:
        raise PellucidError(f"expected real coordinates of shape (points, D), got {tuple(pos.shape)} {pos.dtype}; "
                            "reshape or convert them")
    if not bool(pos.isfinite().all()):
        row = int((~pos.isfinite().all(1)).nonzero()[0])
        raise PellucidError(f"expected finite coordinates, got NaN or infinity at point {row}; mend or drop that cloud")
    return pos


def _table(pos: Tensor, k: int) -> tuple[Tensor, Tensor]:
    index = torch.arange(len(pos), device=pos.device)[:, None].repeat(1, k)
    return index, pos.new_full((len(pos), k), torch.inf)


def _smallest(squared: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The smallest entries of each row and their places; of equal ones the first, which ``topk`` does not promise."""
    found, place = squared.topk(min(width + 1, squared.shape[-1]), dim=-1, largest=False)
    tied = ((found[:, 1:] == found[:, :-1]) & found[:, 1:].isfinite()).any(1).nonzero().squeeze(1)
    found, place = found[:, :width], place[:, :width]
    if len(tied):
        values, order = squared[tied].sort(dim=-1, stable=True)
        found, place = found.index_copy(0, tied, values[:, :width]), place.index_copy(0, tied, order[:, :width])
    return found, place


def _masked(index: Tensor, mask: Tensor) -> Neighbors:
    if bool(mask.all()):
        return Neighbors(index)
    own = torch.arange(len(index), device=index.device)[:, None]
    return Neighbors(torch.where(mask, index, own), mask)


class _Dense:
    """Some clouds (or some rows of one large cloud), padded to one size."""

    def __init__(self, pos: Tensor, starts: Tensor, sizes: Tensor, first: int, last: int | None) -> None:
        self.width = int(sizes.max())
        slots = torch.arange(self.width, device=pos.device)
        self.inside = slots < sizes[:, None]
        places = torch.where(self.inside, starts[:, None] + slots, 0)
        self.points = pos[places]
        self.first, self.last = first, self.width if last is None else min(last, self.width)
        height = self.last - self.first
        self.at = self.inside[:, self.first : self.last].flatten().nonzero().squeeze(1)
        self.rows = places[:, self.first : self.last].flatten()[self.at]
        self.row_starts = starts[self.at // height, None]

    def squared_distances(self, loop: bool) -> Tensor:
        """(rows, width); padding is infinite, the point itself -1 (first) or infinite (left out)."""
        some = self.points[:, self.first : self.last]
        squared = some.new_zeros(len(some), some.shape[1], self.width)
        for d in range(some.shape[-1]):  # differences, not the Gram matrix: exact for points close together
            difference = some[:, :, None, d] - self.points[:, None, :, d]
            squared.addcmul_(difference, difference)
        squared.masked_fill_(~self.inside[:, None, :], torch.inf)
        squared.diagonal(self.first, 1, 2).fill_(-1.0 if loop else torch.inf)
        squared = squared.flatten(0, 1)
        return squared if len(self.at) == len(squared) else squared.index_select(0, self.at)


class _Tree:
    """One large cloud on the CPU: SciPy's k-d tree is exact and far faster than all pairs."""

    def __init__(self, pos: Tensor, start: int) -> None:
        from scipy.spatial import cKDTree  # slow to import, and only large clouds need it

        self.tree: Any = cKDTree(pos.cpu().double().numpy())
        self.start, self.size, self.dtype = start, len(pos), pos.dtype
        self.rows = torch.arange(start, start + self.size)

    def knn(self, k: int, loop: bool, index: Tensor, distance: Tensor) -> None:
        width = min(k + 1, self.size)
        found, place = self.tree.query(self.tree.data, np.arange(1, width + 1))
        own = place == np.arange(self.size)[:, None]
        own[~own.any(1), -1] = True  # among many duplicates the point itself may be missing: it takes the last place
        order = np.argsort(np.where(own, -1.0 if loop else np.inf, found), axis=1, kind="stable")
        place[own] = np.nonzero(own)[0]
        found[own] = 0.0
        take = order[:, : min(k, width if loop else width - 1)]
        index[self.rows, : take.shape[1]] = torch.from_numpy(np.take_along_axis(place, take, 1)) + self.start
        distance[self.rows, : take.shape[1]] = torch.from_numpy(np.take_along_axis(found, take, 1)).to(self.dtype)

    def radius(self, r: float, loop: bool) -> tuple[Tensor, Tensor, Tensor]:
        pairs = self.tree.query_pairs(r, output_type="ndarray")
        source = np.concatenate([pairs[:, 0], pairs[:, 1], *([np.arange(self.size)] if loop else [])])
        target = np.concatenate([pairs[:, 1], pairs[:, 0], *([np.arange(self.size)] if loop else [])])
        found = np.linalg.norm(self.tree.data[source] - self.tree.data[target], axis=1)
        order = np.lexsort((target, np.where(source == target, -1.0, found), source))
        source, target, found = source[order], target[order], found[order]
        counts = np.bincount(source, minlength=self.size)
        column = np.arange(len(source)) - np.repeat(counts.cumsum() - counts, counts)
        width = max(1, int(counts.max(initial=1)))
        index = np.repeat(np.arange(self.size)[:, None], width, 1)
        distance = np.full((self.size, width), np.inf)
        index[source, column], distance[source, column] = target, found
        return self.rows, torch.from_numpy(index) + self.start, torch.from_numpy(distance).to(self.dtype)


def _blocks(ptr: Tensor, pos: Tensor) -> Iterator[_Dense | _Tree]:
    """Cuts the clouds into blocks of similar size whose distances fit in memory."""
    sizes = ptr.diff()
    order = torch.argsort(sizes, stable=True)
    ordered = sizes[order].tolist()
    if sum(ordered) != len(pos):
        raise PellucidError(f"expected {sum(ordered)} points as ptr says, got {len(pos)} rows of coordinates; pass the "
                            "ptr of the same clouds")
    cpu = pos.device.type == "cpu"
    block, tree = (_CPU_BLOCK, _TREE) if cpu else (_BLOCK, None)
    if pos.shape[1] > _TREE_DIMENSIONS:
        tree = None
    at = 0
    while at < len(ordered):
        if ordered[at] == 0:
            at += 1
            continue
        if tree is not None and ordered[at] > tree:
            start = int(ptr[order[at]])
            yield _Tree(pos[start : start + ordered[at]], start)
            at += 1
            continue
        end = at + 1
        while (end < len(ordered) and (tree is None or ordered[end] <= tree) and ordered[end] <= 2 * ordered[at] + 32
               and (end + 1 - at) * ordered[end] ** 2 <= block):
            end += 1
        group, largest = order[at:end], ordered[end - 1]
        if end - at == 1 and largest**2 > block:
            step = max(1, block // largest)
            for first in range(0, largest, step):
                yield _Dense(pos, ptr[group], sizes[group], first, first + step)
        else:
            yield _Dense(pos, ptr[group], sizes[group], 0, None)
        at = end
