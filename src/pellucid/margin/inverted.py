"""Approximate nearest neighbours of all samples by all samples: an inverted file that is read list by list.

Libraries look up one query after another. Here every query is in the base as well, so that all queries of one list
are answered at once: their distances to its members are one matrix product, and since each query knows its k-th best
distance from its own list, few of them pass and have to be looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import faiss
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pellucid.cores import usable_cores
from pellucid.errors import PellucidError
from pellucid.progress import waiting

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Keys = NDArray[np.uint64]
Run = Callable[..., Iterator[Any]]
"""``map``, or that of a pool of threads."""
NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)
"""A key that stands for no sample."""

_SAMPLE = 500
"""Samples whose exact neighbours decide how many lists are probed."""
_TRAINING = 64
"""Samples for each centroid that it is found from."""
_MOST = 96
"""Most lists that are probed."""
_TILE = 1 << 19
"""Products held at a time by one thread: 2 MB, which stay in its cache."""
_CHUNK = 1 << 18
"""Queries that are answered together: what is found for them is held in memory."""
_READ = 1 << 18
"""Rows that are read from the features at a time."""


def inverted_file(x: NDArray[Any], k: int, *, recall: float = 0.96, lists: int | None = None, probes: int | None = None,
                  seed: int = 0, threads: int | None = None, progress: bool = False
                  ) -> tuple[Ints, Floats, dict[str, Any]]:
    """The k nearest neighbours of each sample in Euclidean distance, found in the lists nearest to it.

    Samples are grouped around centroids (k-means on a sample of them); a query is compared with the members of the
    ``probes`` groups whose centroids are nearest to it.

    Args:
        x: (samples, features), in memory or memory-mapped.
        k: Neighbours, the sample itself not counted.
        recall: Share of the true neighbours to find. It decides ``probes``, by the exact neighbours of 500 samples.
        lists: Number of groups; None: 2 sqrt(samples).
        probes: Groups that are searched; None: as many as ``recall`` needs, at most 96.
        seed: Of the samples that centroids and probes are found from.
        threads: None: as many as the machine lets us use.
        progress: Whether to show a bar on stderr.

    Returns:
        (samples, k) rows, nearest first; (samples, k) distances; and the number of lists and of probes.
    """
    n = len(x)
    threads = threads or usable_cores()
    with waiting(f"grouping {n:,} samples", progress) as advance:
        grouping = Grouping.of(x, k, recall=recall, lists=lists, probes=probes, seed=seed, threads=threads)
        table = Table.of(x, grouping.centre, _assign(x, grouping, threads, advance), len(grouping.centroids))
    index, distance = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool, \
            waiting(f"neighbours of {n:,} samples", progress) as advance:
        for first, last in table.chunks():
            rows, (found, length) = table.order[first:last], table.answer(first, last, k, pool.map)
            index[rows], distance[rows] = found, length
            advance(last, n)
    return index, distance, {"lists": len(grouping.centroids), "probes": grouping.probes}


@dataclass(frozen=True)
class Grouping:
    """Where samples belong; see :func:`inverted_file`.

    Attributes:
        centre: (features,) what is taken from all samples, so that differences do not round away.
        centroids: (lists, features), of centred samples.
        probes: Lists that are searched.
    """

    centre: Floats
    centroids: Floats
    probes: int

    @staticmethod
    def of(x: NDArray[Any], k: int, *, recall: float = 0.96, lists: int | None = None, probes: int | None = None,
           seed: int = 0, threads: int | None = None) -> Grouping:
        """Finds centroids, and how many lists to search; arguments as those of :func:`inverted_file`."""
        n = len(x)
        threads = threads or usable_cores()
        lists = lists or max(1, min(round(2 * math.sqrt(n)), n // 8))
        if not 1 <= lists <= n:
            raise PellucidError(f"expected from 1 to {n} lists, got {lists}")
        if not 0 < recall < 1:
            raise PellucidError(f"expected a recall between 0 and 1, got {recall}; search=\"exact\" finds all")
        rng = np.random.default_rng(seed)
        centre = np.asarray(x[:: max(1, n // 100_000)], dtype=np.float64).mean(0).astype(np.float32)
        centroids = _centroids(x, centre, lists, rng, threads)
        if probes is None:
            probes = _probes(x, centre, centroids, k, recall, rng, threads)
        return Grouping(centre, centroids, min(probes, lists))


def exact_neighbors(x: NDArray[Any], rows: NDArray[np.int64], k: int, *, threads: int | None = None
                    ) -> NDArray[np.int64]:
    """The true k nearest neighbours of a few samples among all, themselves left out.

    Args:
        x: (samples, features), in memory or memory-mapped; read once, block by block.
        rows: (few,) which samples.
        k: Neighbours.
        threads: None: as many as the machine lets us use.

    Returns:
        (few, k) sample numbers, nearest first.
    """
    return exact_among(x, x[rows], k, own=rows, threads=threads)[0]


def exact_among(x: NDArray[Any], queries: NDArray[Any], k: int, *, own: NDArray[np.int64] | None = None,
                threads: int | None = None) -> tuple[NDArray[np.int64], Floats]:
    """The true k nearest samples for each of a few queries.

    Args:
        x: (samples, features), in memory or memory-mapped; read once, block by block.
        queries: (queries, features).
        k: Neighbours.
        own: (queries,) the sample that each query is, which is left out; None: none of them.
        threads: None: as many as the machine lets us use.

    Returns:
        (queries, k) sample numbers, nearest first, and distances.
    """
    centre = np.asarray(queries, dtype=np.float64).mean(0).astype(np.float32)
    query = np.asarray(queries, dtype=np.float32) - centre
    best = np.full((len(query), k), NOTHING)
    half = -0.5 * np.einsum("ij,ij->i", query, query)
    with threadpool_limits(1), ThreadPoolExecutor(threads or usable_cores()) as pool:
        groups = np.array_split(np.arange(len(query)), 4 * (threads or usable_cores()))
        for first, part in _blocks(x, centre):
            bias = -0.5 * np.einsum("ij,ij->i", part, part)

            def look(some: NDArray[np.int64], first: int = first, part: Floats = part, bias: Floats = bias) -> None:
                for start in range(0, len(part), 4096):
                    stop = min(start + 4096, len(part))
                    score = query[some] @ part[start:stop].T + bias[start:stop]
                    if own is not None:
                        at = own[some] - first - start
                        inside = np.flatnonzero((at >= 0) & (at < stop - start))
                        score[inside, at[inside]] = -np.inf
                    worst = lengths(best[some, -1])
                    limit = np.where(np.isfinite(worst), -0.5 * worst**2 - half[some], -np.inf).astype(np.float32)
                    here = np.arange(len(some), dtype=np.int32)
                    passed = _passing(score > limit[:, None], score, here, first + start, half[some])
                    held, starts = grouped(*passed, len(some))
                    for i, (a, b) in enumerate(pairwise(starts)):
                        if b > a:
                            best[some[i]] = np.sort(np.concatenate([best[some[i]], held[a:b]]))[:k]

            list(pool.map(look, (g for g in groups if len(g))))
    return places(best).astype(np.int64), lengths(best)


@dataclass(frozen=True)
class Table:
    """Samples in the order of their lists; all of them, or those of some lists: a shard.

    Attributes:
        order: (samples,) which sample stands at each place.
        starts: (lists + 1,) first place of each list; those of other shards are empty.
        rows: (samples, features + 1): the sample, and minus half its squared length.
        half: (samples,) the last column once more, where it can be read without the others.
        probed: (samples, probes) lists to search, the sample's own first.
        base: Samples in the shards before it: what a place is more when all are counted.
    """

    order: Ints
    starts: NDArray[np.int64]
    rows: Floats
    half: Floats
    probed: Ints
    base: int = 0

    @staticmethod
    def of(x: NDArray[Any], centre: Floats, probed: Ints, lists: int) -> Table:
        """A table of all samples."""
        own = probed[:, 0]
        order = np.argsort(own, kind="stable").astype(np.int32)
        starts = np.concatenate([[0], np.bincount(own, minlength=lists).cumsum()])
        place = np.empty_like(order)
        place[order] = np.arange(len(order), dtype=np.int32)
        rows = np.empty((len(x), x.shape[1] + 1), np.float32)
        for first, part in _blocks(x, centre):
            to = place[first:first + len(part)]
            rows[to, :-1] = part
            rows[to, -1] = -0.5 * np.einsum("ij,ij->i", part, part)
        return Table(order, starts, rows, rows[:, -1].copy(), probed[order])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Places of about equally many queries, in whole lists."""
        n = len(self.order)
        cuts = np.unique(self.starts[np.searchsorted(self.starts, np.arange(_CHUNK, n, _CHUNK))])
        edges = np.unique([0, *cuts.tolist(), n])
        return zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)

    def answer(self, first: int, last: int, k: int, run: Run) -> tuple[Ints, Floats]:
        """Neighbours of the queries at places ``first`` to ``last``, as sample numbers and distances."""
        own, limit = self.own(first, last, k, run)
        held, starts = grouped(*joined([own, self.others(self.queries(first, last), limit, run)]), last - first)
        out, few = best_of(held, starts, k, run)
        if len(few):
            out[few] = self.every(self.queries(first, last).some(few), k)
        return self.order[places(out)], lengths(out)

    def queries(self, first: int, last: int) -> Queries:
        """What other tables must know of the samples at some places to answer them."""
        return Queries(self.rows[first:last], self.half[first:last], self.probed[first:last],
                       np.arange(self.base + first, self.base + last))

    def own(self, first: int, last: int, k: int, run: Run) -> tuple[tuple[Keys, Ints], Floats]:
        """Candidates of samples in their own lists, and the k-th best score of each, which others must beat."""
        limit = np.full(last - first, np.finfo(np.float32).min)  # above -inf, the score of a sample with itself
        numbers = np.unique(self.probed[first:last, 0])
        return joined(list(run(lambda number: self._own(int(number), first, k, limit), numbers))), limit

    def others(self, asking: Queries, limit: Floats, run: Run) -> tuple[Keys, Ints]:
        """Candidates in all lists here but the queries' own that beat their limit."""
        probed = asking.probed[:, 1:]
        number = np.repeat(np.arange(len(probed), dtype=np.int32), probed.shape[1])
        queries, ends = grouped(number, probed.ravel(), len(self.starts) - 1)
        wanted = np.flatnonzero((np.diff(ends) > 0) & (np.diff(self.starts) > 0))
        return joined(list(run(lambda number: self._other(int(number), asking, queries[ends[number]:ends[number + 1]],
                                                           limit), wanted)))

    def every(self, asking: Queries, k: int) -> Keys:
        """(queries, k) keys of the nearest among all samples here, the query itself left out."""
        here = np.arange(self.base, self.base + len(self.order), dtype=np.int32)
        out = np.full((len(asking.place), k), NOTHING)
        for i in range(0, len(out), 64):
            some = slice(i, i + 64)
            score = self._scores(asking.rows[some], 0, len(self.order))
            keys = _keys(here, score, asking.half[some, None])
            keys[here == asking.place[some, None]] = NOTHING
            out[some, :min(k, len(here))] = np.sort(keys, axis=1)[:, :k]
        return out

    def _own(self, number: int, first: int, k: int, limit: Floats) -> tuple[Keys, Ints]:
        """Candidates of a list's members in their own list; fills in ``limit``, the k-th best score of each."""
        a, b = self.starts[number], self.starts[number + 1]
        parts = []
        step = max(1, _TILE // (b - a))
        for i in range(a, b, step):
            j = min(i + step, b)
            score = self._scores(self.rows[i:j], a, b)
            score[np.arange(j - i), np.arange(i - a, j - a)] = -np.inf
            if b - a > k:
                limit[i - first:j - first] = np.partition(score, b - a - k, axis=1)[:, b - a - k]
            some = np.arange(i - first, j - first, dtype=np.int32)
            parts.append(_passing(score >= limit[some, None], score, some, self.base + a, self.half[first:]))
        return joined(parts)

    def _other(self, number: int, asking: Queries, queries: Ints, limit: Floats) -> tuple[Keys, Ints]:
        """Candidates in a list for queries of other lists: those that beat their limit."""
        a, b = self.starts[number], self.starts[number + 1]
        parts = []
        step = max(1, _TILE // (b - a))
        for i in range(0, len(queries), step):
            some = queries[i:i + step]
            score = self._scores(asking.rows[some], a, b)
            parts.append(_passing(score > limit[some, None], score, some, self.base + a, asking.half))
        return joined(parts)

    def _scores(self, queries: Floats, a: int, b: int) -> Floats:
        """Scores q . r - |r|^2 / 2 of queries and the members of a list: the larger, the nearer."""
        left = np.array(queries)
        left[:, -1] = 1
        return left @ self.rows[a:b].T


@dataclass(frozen=True)
class Queries:
    """Samples as others see them that look for their neighbours; see :class:`Table`.

    Attributes:
        rows: (queries, features + 1).
        half: (queries,).
        probed: (queries, probes).
        place: (queries,) among all samples.
    """

    rows: Floats
    half: Floats
    probed: Ints
    place: NDArray[np.int64]

    def some(self, which: NDArray[Any]) -> Queries:
        """A few of them."""
        return Queries(self.rows[which], self.half[which], self.probed[which], self.place[which])


def best_of(held: Keys, starts: NDArray[Any], k: int, run: Run) -> tuple[Keys, NDArray[np.int64]]:
    """The k nearest of what was found for each query: keys ``held[starts[i]:starts[i + 1]]``.

    Returns:
        (queries, k) keys, and the queries for which there are fewer than k, whose rows are not filled in.
    """
    out = np.empty((len(starts) - 1, k), np.uint64)
    count = np.diff(starts)
    few = np.flatnonzero(count < k)
    order = np.argsort(count, kind="stable")[len(few):]  # rows of about the same length together

    def choose(start: int) -> None:
        rows = order[start:start + 4096]
        column = np.arange(count[rows[-1]])
        at = np.minimum(starts[rows, None] + column, len(held) - 1)
        value = np.where(column < count[rows, None], held[at], NOTHING)
        if value.shape[1] > k:
            value = np.partition(value, k - 1, axis=1)[:, :k]
        out[rows] = np.sort(value, axis=1)

    list(run(choose, range(0, len(order), 4096)))
    return out, few


def _keys(place: Ints, score: Floats, half: Floats) -> Keys:
    """One number for each candidate that sorts by distance: its bits, then those of the place.

    The squared distance is |q - r|^2 = -2 (score + half) with the score q . r - |r|^2 / 2 and half = -|q|^2 / 2.
    """
    squared: Floats = np.maximum(-2 * (score + half), 0).astype(np.float32)  # a float >= 0 sorts as its bits do
    return squared.view(np.uint32).astype(np.uint64) << np.uint64(32) | place.astype(np.uint64)


def places(keys: Keys) -> Ints:
    """Places out of keys."""
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.int32)


def lengths(keys: Keys) -> Floats:
    """Distances out of keys; NaN for a key that stands for nothing."""
    return np.sqrt((keys >> np.uint64(32)).astype(np.uint32).view(np.float32))


def grouped(values: NDArray[Any], group: Ints, groups: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Values sorted by their group, stably, and where each group starts: a counting sort, by SciPy's C loops."""
    row = sp.csr_array((values, group, np.array([0, len(values)])), shape=(1, groups)).tocsc()
    return row.data, row.indptr


def _passing(mask: NDArray[np.bool_], score: Floats, queries: Ints, a: int, half: Floats) -> tuple[Keys, Ints]:
    """Keys of the places ``a + column`` where the mask is set, and the queries that they are for."""
    at = np.flatnonzero(mask)
    row, column = np.divmod(at.astype(np.int32), np.int32(mask.shape[1]))
    query = queries[row]
    return _keys(column + np.int32(a), score.ravel()[at], half[query]), query


def joined(parts: list[tuple[Keys, Ints]]) -> tuple[Keys, Ints]:
    """Candidates and their queries, one after the other."""
    if not parts:
        return np.empty(0, np.uint64), np.empty(0, np.int32)
    keys, queries = zip(*parts, strict=True)
    return np.concatenate(keys), np.concatenate(queries)


def _blocks(x: NDArray[Any], centre: Floats) -> Iterator[tuple[int, Floats]]:
    for first in range(0, len(x), _READ):
        yield first, np.asarray(x[first:first + _READ], dtype=np.float32) - centre


def _centroids(x: NDArray[Any], centre: Floats, lists: int, rng: np.random.Generator, threads: int) -> Floats:
    rows = np.sort(rng.choice(len(x), min(_TRAINING * lists, len(x)), replace=False))
    sample = np.ascontiguousarray(x[rows], dtype=np.float32) - centre
    work = faiss.Clustering(x.shape[1], lists)
    work.niter, work.min_points_per_centroid, work.max_points_per_centroid = 6, 1, _TRAINING
    work.seed = int(rng.integers(2**31))
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            work.train(sample, faiss.IndexFlatL2(x.shape[1]))
    finally:
        faiss.omp_set_num_threads(before)
    return faiss.vector_to_array(work.centroids).reshape(lists, -1)


def nearest_lists(part: Floats, centroids: Floats, count: int) -> Ints:
    """(rows, count) the lists whose centroids are nearest, nearest first."""
    distance = -2 * (part @ centroids.T) + np.einsum("ij,ij->i", centroids, centroids)
    if count == 1:
        nearest: Ints = distance.argmin(1)[:, None].astype(np.int32)
        return nearest
    limit = np.partition(distance, count - 1, axis=1)[:, count - 1:count]  # vectorised; argpartition is not
    at = np.flatnonzero(distance <= limit)
    if len(at) == len(part) * count:
        top = (at % len(centroids)).reshape(len(part), count)
    else:  # centroids at the same distance
        top = np.argpartition(distance, count - 1, axis=1)[:, :count]
    turn = np.argsort(np.take_along_axis(distance, top, 1), axis=1)
    out: Ints = np.take_along_axis(top, turn, 1).astype(np.int32)
    return out


def _assign(x: NDArray[Any], grouping: Grouping, threads: int, advance: Callable[[float, float], None]) -> Ints:
    out = np.empty((len(x), grouping.probes), np.int32)
    step = max(1, 4 * _TILE // len(grouping.centroids))
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for first, part in _blocks(x, grouping.centre):
            def fill(i: int, first: int = first, part: Floats = part) -> None:
                some = part[i:i + step]  # the last of a block is shorter
                out[first + i:first + i + len(some)] = nearest_lists(some, grouping.centroids, grouping.probes)

            list(pool.map(fill, range(0, len(part), step)))
            advance(first + len(part), len(x))
    return out


def _probes(x: NDArray[Any], centre: Floats, centroids: Floats, k: int, recall: float, rng: np.random.Generator,
            threads: int) -> int:
    """The fewest lists in which the wanted share of a sample's true neighbours lies."""
    rows = np.sort(rng.choice(len(x), min(_SAMPLE, len(x)), replace=False))
    true = exact_neighbors(x, rows, k, threads=threads)
    flat = np.unique(true)
    own = nearest_lists(np.asarray(x[flat], dtype=np.float32) - centre, centroids, 1)[:, 0]
    lists = own[np.searchsorted(flat, true)]
    probed = nearest_lists(np.asarray(x[rows], dtype=np.float32) - centre, centroids, min(_MOST, len(centroids)))
    same = lists[:, :, None] == probed[:, None]
    rank = np.where(same.any(2), same.argmax(2), probed.shape[1] - 1)
    return int(np.quantile(rank, recall, method="higher")) + 1
