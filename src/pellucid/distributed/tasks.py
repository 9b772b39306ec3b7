"""What workers of a cluster do to build a graph: functions of their arguments alone, so that they may begin again."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import ray
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pellucid.margin.graph import Symmetry, Weights, weigh
from pellucid.margin.inverted import (
    NOTHING,
    Floats,
    Grouping,
    Ints,
    Keys,
    Queries,
    Table,
    best_of,
    grouped,
    joined,
    lengths,
    nearest_lists,
    places,
)

Edges = tuple[NDArray[np.int64], NDArray[np.int64], Floats]
"""Rows, columns, weights."""


def assigned(path: str, first: int, last: int, grouping: Grouping) -> tuple[int, Ints]:
    """First row of a block of the file, and the lists to probe for each of its rows."""
    x = np.load(path, mmap_mode="r")
    out = np.empty((last - first, grouping.probes), np.int32)
    step = max(1, (1 << 21) // len(grouping.centroids))
    with threadpool_limits(1):
        for i in range(first, last, step):
            part = np.asarray(x[i:min(i + step, last)], dtype=np.float32) - grouping.centre
            out[i - first:i - first + len(part)] = nearest_lists(part, grouping.centroids, grouping.probes)
    return first, out


def counted(assigned: tuple[int, Ints], lists: int) -> NDArray[np.int64]:
    """(lists,) members of each list in a block."""
    return np.bincount(assigned[1][:, 0], minlength=lists)


def split(assigned: tuple[int, Ints], cuts: NDArray[np.int64]) -> Any:
    """(samples, lists to probe) for each shard."""
    first, probed = assigned
    shard = np.searchsorted(cuts, probed[:, 0], side="right") - 1
    parts = [(first + np.flatnonzero(shard == s), probed[shard == s]) for s in range(len(cuts) - 1)]
    return parts if len(parts) > 1 else parts[0]


def table(path: str, grouping: Grouping, before: NDArray[np.int64], lists: NDArray[np.int64],
           *pieces: tuple[NDArray[np.int64], Ints]) -> Table:
    """The table of a shard, out of what all blocks have for it."""
    x = np.load(path, mmap_mode="r")
    samples = np.concatenate([samples for samples, _ in pieces])
    probed = np.concatenate([probed for _, probed in pieces])
    turn = np.argsort(probed[:, 0], kind="stable")
    samples, probed = samples[turn].astype(np.int32), probed[turn]
    starts = np.clip(before, before[lists[0]], before[lists[1]]) - before[lists[0]]
    rows = np.empty((len(samples), x.shape[1] + 1), np.float32)
    back = np.argsort(samples, kind="stable")  # the file is read from its beginning to its end
    for i in range(0, len(back), 1 << 16):
        some = back[i:i + (1 << 16)]
        rows[some, :-1] = np.asarray(x[samples[some]], dtype=np.float32) - grouping.centre
    rows[:, -1] = -0.5 * np.einsum("ij,ij->i", rows[:, :-1], rows[:, :-1])
    return Table(samples, starts, rows, rows[:, -1].copy(), probed, int(before[lists[0]]))


def joined_order(*tables: Table) -> Ints:
    """Which sample stands at each place of all shards."""
    return np.concatenate([table.order for table in tables])


def own(table: Table, k: int) -> tuple[Any, Floats, Queries]:
    """Candidates of samples in their own lists, the limits that others must beat, and the samples as queries."""
    n = len(table.order)
    with threadpool_limits(1):
        candidates, limit = table.own(0, n, k, map)
    return candidates, limit, table.queries(0, n)


def others(table: Table, asking: Queries, limit: Floats) -> tuple[Keys, Ints]:
    """Candidates in a shard for the queries of another one, or its own."""
    with threadpool_limits(1):
        return table.others(asking, limit, map)


def merged(k: int, order: Ints, table: Table, asking: Queries, tables: list[Any], *parts: tuple[Keys, Ints]
            ) -> tuple[Ints, Ints, Floats]:
    """(samples, neighbours, distances) of a shard's queries."""
    held, starts = grouped(*joined(list(parts)), len(asking.place))
    best, few = best_of(held, starts, k, map)
    if len(few):  # lists so small that k neighbours are not in those that were probed: all samples are searched
        some = asking.some(few)
        every = np.full((len(few), k), NOTHING)
        for other in tables:
            every = np.sort(np.concatenate([every, ray.get(other).every(some, k)], axis=1), axis=1)[:, :k]
        best[few] = every
    return table.order, order[places(best)], lengths(best)


def ends(found: tuple[Ints, Ints, Floats]) -> tuple[Ints, Ints, Floats]:
    """(samples, neighbours, distances to the k-th of them)."""
    return found[0], found[1], found[2][:, -1]


def edges_of(found: tuple[Ints, Ints, Floats], reach: Floats, edges: NDArray[np.int64], weights: Weights) -> Any:
    """For each shard of nodes: its outgoing edges, and the incoming ones turned around."""
    samples, index, distance = found
    value = weigh(distance, reach[samples], reach[index], weights, float(reach.mean()))
    row = np.repeat(samples.astype(np.int64), index.shape[1])
    column, weight = index.ravel().astype(np.int64), value.ravel()
    parts = []
    for a, b in pairwise(edges):
        out, into = (row >= a) & (row < b), (column >= a) & (column < b)
        parts.append(((row[out], column[out], weight[out]), (column[into], row[into], weight[into])))
    return parts if len(parts) > 1 else parts[0]


def rows(first: int, last: int, n: int, symmetry: Symmetry, *pieces: tuple[Edges, Edges]) -> sp.csr_array:
    """(last - first, n) rows of the graph."""
    def matrix(which: int) -> sp.csr_array:
        row, column, weight = (np.concatenate([piece[which][i] for piece in pieces]) for i in range(3))
        return sp.csr_array((weight, (row - first, column)), shape=(last - first, n))

    out = matrix(0)
    if symmetry == "union":
        out = out.maximum(matrix(1))
    elif symmetry == "mutual":
        out = out.minimum(matrix(1))
    out = sp.csr_array(out)
    out.sort_indices()
    out.eliminate_zeros()
    return out


def product(rows: sp.csr_array, signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """W f of some rows."""
    return rows.astype(np.float64) @ signal  # type: ignore[no-any-return]


def column_sums(rows: sp.csr_array) -> NDArray[np.float64]:
    """(n,) sums of the columns of some rows."""
    return np.bincount(rows.indices, weights=rows.data, minlength=rows.shape[1]).astype(np.float64)


def empty_rows(rows: sp.csr_array) -> NDArray[np.bool_]:
    """Which rows have no entry."""
    return np.diff(rows.indptr) == 0  # type: ignore[no-any-return]


def heaviest(rows: sp.csr_array) -> float:
    """The largest weight of some rows."""
    return float(rows.data.max(initial=0))
