"""Graphs that are larger than one machine: shards of the index, of the queries and of the edges on a Ray cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import ray
import scipy.sparse as sp
from numpy.typing import NDArray

from pellucid.distributed import tasks
from pellucid.distributed.connection import connect
from pellucid.errors import PellucidError
from pellucid.margin.graph import Graph, Symmetry, Weights, check_edges
from pellucid.margin.inverted import Grouping, Ints
from pellucid.margin.nearest import as_features, measured_recall
from pellucid.progress import waiting

RETRIES = 3
"""How often a task begins again whose worker or node died."""


class ShardedGraph(Graph):
    """A graph whose edges lie in shards on a cluster; all filters and functions of this package work on it.

    Args:
        shards: References to the rows of each shard, as CSR, with their first node.
        edges: (shards + 1,) first node of each shard.
        about: How it was made.
    """

    _shards: list[Any]
    _edges: NDArray[np.int64]

    def __init__(self, shards: list[Any], edges: NDArray[np.int64], about: dict[str, Any]) -> None:
        # the base is frozen, and its weights are elsewhere
        object.__setattr__(self, "_shards", shards)
        object.__setattr__(self, "_edges", edges)
        object.__setattr__(self, "about", about)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return int(self._edges[-1])

    @cached_property
    def weights(self) -> sp.csr_array:
        """All weights, gathered into this process: only for graphs that fit."""
        return sp.csr_array(sp.vstack(ray.get(self._shards), format="csr"))

    @cached_property
    def in_degree(self) -> NDArray[np.float64]:
        """(nodes,) sum of the weights of each column."""
        sums: NDArray[np.float64] = np.sum(ray.get([_task(tasks.column_sums)(shard) for shard in self._shards]), axis=0)
        return sums

    @cached_property
    def heaviest(self) -> float:
        """The largest weight."""
        return float(max(ray.get([_task(tasks.heaviest)(shard) for shard in self._shards])))

    @cached_property
    def isolated(self) -> NDArray[np.bool_]:
        """(nodes,) whether a node hears nobody."""
        return np.concatenate(ray.get([_task(tasks.empty_rows)(shard) for shard in self._shards]))

    def sums(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        """W f, each shard its own rows."""
        f = ray.put(signal)
        return np.concatenate(ray.get([_task(tasks.product)(shard, f) for shard in self._shards]))


@contextlib.contextmanager
def ray_graph(features: str | Path, k: int = 20, *, address: str = "local", shards: int = 4,
              symmetry: Symmetry = "union", weights: Weights = "binary", recall: float = 0.96, seed: int = 0,
              cpus: int | None = None, memory: int = 2**30, progress: bool = False,
              watch: Callable[[str], None] | None = None) -> Iterator[ShardedGraph]:
    """The k-nearest-neighbour graph of a file of features, built by a Ray cluster.

    The neighbours are those of :func:`pellucid.margin.inverted.inverted_file`: the same groups, the same lists probed.
    A shard is the samples of some lists. Shards are built from blocks of the file, each answers the queries of the
    others for its own lists, and what they found is merged; then each shard of nodes gets its rows of the graph. A
    worker that dies loses its tasks only, which begin again elsewhere.

    Args:
        features: A ``.npy`` file of (samples, features) that all workers see; it is memory-mapped.
        k: Neighbours of a sample.
        address: Of a Ray cluster; ``"local"`` starts one here and ends it at the end.
        shards: Of the index and of the graph; at least as many as workers.
        symmetry: See :func:`pellucid.margin.knn_graph`.
        weights: See :func:`pellucid.margin.knn_graph`.
        recall: As in the inverted file.
        seed: As in the inverted file.
        cpus: Cores of a local cluster; None: the machine's.
        memory: Bytes of a local cluster's object store.
        progress: Whether to show bars on stderr.
        watch: Told of every stage that begins: ``"index"``, ``"neighbours"``, ``"graph"``.

    Yields:
        The graph, for studies and filters, until the block ends.

    Raises:
        PellucidError: for a file, a k or shards that cannot be used, or a cluster that does not answer.

    Example:
        >>> from pellucid.margin import WrongLabels
        >>> with ray_graph("features.npy", address="auto", shards=64) as graph:  # doctest: +SKIP
        ...     audit = WrongLabels().fit(graph, labels)
    """
    path = Path(features)
    try:
        x = as_features(np.load(path, mmap_mode="r"))
    except PellucidError:
        raise
    except (OSError, ValueError) as error:
        raise PellucidError(f"expected a .npy file of features at {path}, got none that can be read ({error}); write "
                            "it with numpy.save") from error
    if not 1 <= k < len(x):
        raise PellucidError(f"expected k from 1 to {len(x) - 1}, one less than the {len(x)} samples, got {k}")
    check_edges(symmetry, weights)
    tell = watch or (lambda stage: None)
    connect(address, cpus=cpus, memory=memory)
    try:
        with waiting(f"index of {len(x):,} samples", progress) as advance:
            tell("index")
            grouping = Grouping.of(x, k, recall=recall, seed=seed)
            if not 1 <= shards <= len(grouping.centroids):
                raise PellucidError(f"expected from 1 to {len(grouping.centroids)} shards, got {shards}")
            tables, order = _index(str(path.resolve()), len(x), grouping, shards, advance)
        with waiting(f"neighbours of {len(x):,} samples", progress) as advance:
            tell("neighbours")
            found = _neighbours(tables, k, order, advance)
        with waiting(f"graph of {len(x):,} samples", progress):
            tell("graph")
            graph, index = _graph(found, len(x), k, symmetry, weights)
        recalled = measured_recall(x, index, seed=seed)
        graph.about.update({"graph": "knn", "k": k, "symmetry": symmetry, "weights": weights, "metric": "euclidean",
                            "search": "approximate", "lists": len(grouping.centroids), "probes": grouping.probes,
                            "recall": recalled, "shards": shards})
        yield graph
    finally:
        ray.shutdown()


@cache
def _task(function: Callable[..., Any], returns: int = 1) -> Callable[..., Any]:
    """A function as a task of the cluster: called with values or references, it returns one reference, or several."""
    remote: Any = ray.remote(max_retries=RETRIES, num_returns=returns)(function)
    call: Callable[..., Any] = remote.remote
    return call


def _index(path: str, n: int, grouping: Grouping, shards: int, advance: Callable[[float, float], None]
           ) -> tuple[list[Any], Any]:
    """References to the tables of all shards, and to the order of all samples."""
    held = ray.put(grouping)
    blocks = np.linspace(0, n, max(shards, -(-n // (1 << 18))) + 1).astype(np.int64)
    parts = [_task(tasks.assigned)(path, int(a), int(b), held) for a, b in pairwise(blocks)]
    sizes = np.zeros(len(grouping.centroids), np.int64)
    for done, part in enumerate(parts, 1):
        sizes += ray.get(_task(tasks.counted)(part, len(sizes)))
        advance(done, len(parts) + 1)
    before = np.concatenate([[0], sizes.cumsum()])
    cuts = np.searchsorted(before, np.linspace(0, n, shards + 1)[1:-1])  # in whole lists, of about equal size
    cuts = np.concatenate([[0], cuts, [len(sizes)]])
    pieces = _shuffled(tasks.split, shards, [(part, cuts) for part in parts])
    tables = [_task(tasks.table)(path, held, before, cuts[s:s + 2], *pieces[s]) for s in range(shards)]
    return tables, _task(tasks.joined_order)(*tables)


def _shuffled(function: Callable[..., Any], shards: int, arguments: list[tuple[Any, ...]]) -> list[list[Any]]:
    """For each shard what ``function`` has for it in all calls."""
    calls = [_task(function, returns=shards)(*given) for given in arguments]
    return [[call if shards == 1 else call[s] for call in calls] for s in range(shards)]


def _neighbours(tables: list[Any], k: int, order: Any, advance: Callable[[float, float], None]) -> list[Any]:
    """References to (samples, neighbours, distances) of each shard of queries."""
    asked = [_task(tasks.own, returns=3)(table, k) for table in tables]
    found = []
    for table, (own, limit, queries) in zip(tables, asked, strict=True):
        others = [_task(tasks.others)(other, queries, limit) for other in tables]
        found.append(_task(tasks.merged)(k, order, table, queries, tables, own, *others))
    left = found
    while left:
        _, left = ray.wait(left, num_returns=1)
        advance(len(found) - len(left), len(found))
    return found


def _graph(found: list[Any], n: int, k: int, symmetry: Symmetry, weights: Weights) -> tuple[ShardedGraph, Ints]:
    """The graph in as many shards, of consecutive nodes; and all neighbours, for the measurement of recall."""
    shards = len(found)
    edges = np.linspace(0, n, shards + 1).astype(np.int64)
    reach, index = np.empty(n, np.float32), np.empty((n, k), np.int32)
    for samples, neighbours, distance in ray.get([_task(tasks.ends)(part) for part in found]):
        reach[samples], index[samples] = distance, neighbours
    held = ray.put(reach)
    pieces = _shuffled(tasks.edges_of, shards, [(part, held, edges, weights) for part in found])
    rows = [_task(tasks.rows)(int(edges[s]), int(edges[s + 1]), n, symmetry, *pieces[s]) for s in range(shards)]
    return ShardedGraph(rows, edges, {}), index
