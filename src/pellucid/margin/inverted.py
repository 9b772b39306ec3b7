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
from typing import Any

import faiss
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pellucid.datasets.base import usable_cores
from pellucid.errors import PellucidError
from pellucid.progress import waiting

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

_SAMPLE = 1000
"""Samples whose exact neighbours decide how many lists are probed."""
_TRAINING = 64
"""Samples for each centroid that it is found from."""
_MOST = 96
"""Most lists that are probed."""
_TILE = 1 << 19
"""Products held at a time by one thread: 2 MB, which stay in its cache."""
_CHUNK = 1 << 19
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
        recall: Share of the true neighbours to find. It decides ``probes``, by the exact neighbours of 1,000 samples.
        lists: Number of groups; None: 4 sqrt(samples).
        probes: Groups that are searched; None: as many as ``recall`` needs, at most 96.
        seed: Of the samples that centroids and probes are found from.
        threads: None: as many as the machine lets us use.
        progress: Whether to show a bar on stderr.

    Returns:
        (samples, k) rows, nearest first; (samples, k) distances; and the number of lists and of probes.
    """
    n = len(x)
    threads = threads or usable_cores()
    lists = lists or max(1, min(round(4 * math.sqrt(n)), n // 8))
    if not 1 <= lists <= n:
        raise PellucidError(f"expected from 1 to {n} lists, got {lists}")
    if not 0 < recall < 1:
        raise PellucidError(f"expected a recall between 0 and 1, got {recall}; search=\"exact\" finds all")
    rng = np.random.default_rng(seed)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        with threadpool_limits(threads), waiting(f"grouping {n:,} samples", progress) as advance:
            centre = np.asarray(x[:: max(1, n // 100_000)], dtype=np.float64).mean(0).astype(np.float32)
            centroids = _centroids(x, centre, lists, rng)
            most = min(probes or _MOST, lists)
            nearest_lists = _assign(x, centre, centroids, 1 if probes is None else most, advance)
            if probes is None:
                probes = _probes(x, centre, centroids, nearest_lists[:, 0], k, recall, rng)
                if probes > 1:
                    nearest_lists = _assign(x, centre, centroids, probes, advance)
    finally:
        faiss.omp_set_num_threads(before)
    table = _Table.of(x, centre, nearest_lists, lists)
    index, distance = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool, \
            waiting(f"neighbours of {n:,} samples", progress) as advance:
        for first, last in table.chunks():
            rows, (found, length) = table.order[first:last], table.answer(first, last, k, pool.map)
            index[rows], distance[rows] = found, length
            advance(last, n)
    return index, distance, {"lists": lists, "probes": probes}


@dataclass(frozen=True)
class _Table:
    """Samples in the order of their lists.

    Attributes:
        order: (samples,) which sample stands at each place.
        starts: (lists + 1,) first place of each list.
        rows: (samples, features + 1): the sample, and minus half its squared length.
        probed: (samples, probes) lists to search, the sample's own first.
    """

    order: Ints
    starts: NDArray[np.int64]
    rows: Floats
    probed: Ints

    @staticmethod
    def of(x: NDArray[Any], centre: Floats, probed: Ints, lists: int) -> _Table:
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
        return _Table(order, starts, rows, probed[order])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Places of about equally many queries, in whole lists."""
        n = len(self.order)
        cuts = np.unique(self.starts[np.searchsorted(self.starts, np.arange(_CHUNK, n, _CHUNK))])
        edges = np.unique([0, *cuts.tolist(), n])
        return zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)

    def answer(self, first: int, last: int, k: int, run: Callable[..., Iterator[Any]]) -> tuple[Ints, Floats]:
        """Neighbours of the queries at places ``first`` to ``last``, as sample numbers and distances."""
        limit = np.full(last - first, -np.inf, np.float32)
        own = np.unique(self.probed[first:last, 0])
        found = list(run(lambda number: self._own(int(number), first, k, limit), own))
        others = self.probed[first:last, 1:]
        asked = np.argsort(others.ravel(), kind="stable")
        ends = np.searchsorted(others.ravel()[asked], np.arange(len(self.starts)))
        queries = (asked // max(others.shape[1], 1)).astype(np.int32)
        wanted = np.flatnonzero((np.diff(ends) > 0) & (np.diff(self.starts) > 0))
        found += run(lambda number: self._other(int(number), first, queries[ends[number]:ends[number + 1]], limit),
                     wanted)
        query, place, score = (np.concatenate(part) for part in zip(*found, strict=True))
        return self._best(first, last, k, query, place, score)

    def _own(self, number: int, first: int, k: int, limit: Floats) -> tuple[Ints, Ints, Floats]:
        """Candidates of a list's members in their own list; fills in ``limit``, the k-th best score of each."""
        a, b = self.starts[number], self.starts[number + 1]
        parts = []
        step = max(1, _TILE // (b - a))
        for i in range(a, b, step):
            j = min(i + step, b)
            score = self._scores(slice(i, j), a, b)
            score[np.arange(j - i), np.arange(i - a, j - a)] = -np.inf
            if b - a > k:
                limit[i - first:j - first] = np.partition(score, b - a - k, axis=1)[:, b - a - k]
            parts.append(_passing(score >= limit[i - first:j - first, None], score, np.arange(i - first, j - first), a))
        return _joined(parts)

    def _other(self, number: int, first: int, queries: Ints, limit: Floats) -> tuple[Ints, Ints, Floats]:
        """Candidates in a list for queries of other lists: those that beat their limit."""
        a, b = self.starts[number], self.starts[number + 1]
        parts = []
        step = max(1, _TILE // (b - a))
        for i in range(0, len(queries), step):
            some = queries[i:i + step]
            score = self._scores(first + some, a, b)
            parts.append(_passing(score > limit[some, None], score, some, a))
        return _joined(parts)

    def _scores(self, queries: Any, a: int, b: int) -> Floats:
        """Scores q . r - |r|^2 / 2 of queries and the members of a list: the larger, the nearer."""
        left = np.array(self.rows[queries])
        left[:, -1] = 1
        return left @ self.rows[a:b].T

    def _best(self, first: int, last: int, k: int, query: Ints, place: Ints, score: Floats) -> tuple[Ints, Floats]:
        count = last - first
        table = sp.coo_array((score, (query, place)), shape=(count, len(self.order))).tocsr()
        index, distance = np.empty((count, k), np.int32), np.empty((count, k), np.float32)
        starts, held = table.indptr, np.diff(table.indptr)
        few = np.flatnonzero(held < k)
        order = np.argsort(held, kind="stable")  # rows of about the same length together
        order = order[len(few):]
        step = 4096
        for i in range(0, len(order), step):
            rows = order[i:i + step]
            width = int(held[rows[-1]])
            column = np.arange(width)
            there = column < held[rows, None]
            at = np.where(there, starts[rows, None] + column, 0)
            value = np.where(there, table.data[at], -np.inf)
            if width > k:
                top = np.argpartition(value, width - k, axis=1)[:, width - k:]
                at, value = np.take_along_axis(at, top, 1), np.take_along_axis(value, top, 1)
            turn = np.argsort(-value, axis=1, kind="stable")
            at, value = np.take_along_axis(at, turn, 1), np.take_along_axis(value, turn, 1)
            index[rows] = self.order[table.indices[at]]
            distance[rows] = _distance(value, self.rows[first + rows, -1])
        for i in range(0, len(few), 256):  # lists so small that k neighbours are not in them: all samples are searched
            rows = few[i:i + 256]
            value = self._scores(first + rows, 0, len(self.order))
            value[np.arange(len(rows)), first + rows] = -np.inf
            top = np.argsort(-value, axis=1, kind="stable")[:, :k]
            index[rows] = self.order[top]
            distance[rows] = _distance(np.take_along_axis(value, top, 1), self.rows[first + rows, -1])
        return index, distance


def _distance(score: Floats, half: Floats) -> Floats:
    """Distances |q - r| out of q . r - |r|^2 / 2 and -|q|^2 / 2."""
    return np.sqrt(np.maximum(-2 * (score + half[:, None]), 0))  # type: ignore[no-any-return]


def _passing(mask: NDArray[np.bool_], score: Floats, queries: NDArray[Any], a: int) -> tuple[Ints, Ints, Floats]:
    at = np.flatnonzero(mask)
    row, column = np.divmod(at.astype(np.int32), np.int32(mask.shape[1]))
    return queries[row].astype(np.int32), column + np.int32(a), score.ravel()[at]


def _joined(parts: list[tuple[Ints, Ints, Floats]]) -> tuple[Ints, Ints, Floats]:
    query, place, score = (np.concatenate(part) for part in zip(*parts, strict=True))
    return query, place, score


def _blocks(x: NDArray[Any], centre: Floats) -> Iterator[tuple[int, Floats]]:
    for first in range(0, len(x), _READ):
        yield first, np.asarray(x[first:first + _READ], dtype=np.float32) - centre


def _centroids(x: NDArray[Any], centre: Floats, lists: int, rng: np.random.Generator) -> Floats:
    rows = np.sort(rng.choice(len(x), min(_TRAINING * lists, len(x)), replace=False))
    sample = np.ascontiguousarray(x[rows], dtype=np.float32) - centre
    work = faiss.Clustering(x.shape[1], lists)
    work.niter, work.min_points_per_centroid, work.max_points_per_centroid = 8, 1, _TRAINING
    work.seed = int(rng.integers(2**31))
    work.train(sample, faiss.IndexFlatL2(x.shape[1]))
    return faiss.vector_to_array(work.centroids).reshape(lists, -1)


def _assign(x: NDArray[Any], centre: Floats, centroids: Floats, count: int, advance: Callable[[float, float], None]
            ) -> Ints:
    """(samples, count) the lists whose centroids are nearest, nearest first."""
    flat = faiss.IndexFlatL2(x.shape[1])
    flat.add(centroids)
    out = np.empty((len(x), count), np.int32)
    for first, part in _blocks(x, centre):
        out[first:first + len(part)] = flat.search(part, count)[1]
        advance(first + len(part), len(x))
    return out


def _probes(x: NDArray[Any], centre: Floats, centroids: Floats, own: Ints, k: int, recall: float,
            rng: np.random.Generator) -> int:
    """The fewest lists in which the wanted share of a sample's true neighbours lies."""
    rows = np.sort(rng.choice(len(x), min(_SAMPLE, len(x)), replace=False))
    query = np.ascontiguousarray(x[rows], dtype=np.float32) - centre
    best_d = np.full((len(rows), k + 1), np.inf, np.float32)
    best_i = np.full((len(rows), k + 1), -1, np.int64)
    for first, part in _blocks(x, centre):
        d, i = faiss.knn(query, part, min(k + 1, len(part)))
        d, i = np.concatenate([best_d, d], 1), np.concatenate([best_i, i + first], 1)
        keep = np.argsort(d, axis=1, kind="stable")[:, :k + 1]
        best_d, best_i = np.take_along_axis(d, keep, 1), np.take_along_axis(i, keep, 1)
    flat = faiss.IndexFlatL2(x.shape[1])
    flat.add(centroids)
    probed = flat.search(query, min(_MOST, len(centroids)))[1]
    rank = (own[best_i][:, :, None] == probed[:, None]).argmax(2)
    rank[~(own[best_i][:, :, None] == probed[:, None]).any(2)] = probed.shape[1] - 1
    true = best_i != rows[:, None]
    return int(np.quantile(rank[true], recall, method="higher")) + 1
