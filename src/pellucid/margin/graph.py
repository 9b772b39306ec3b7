"""Weighted graphs over samples, as sparse matrices: what influence is measured on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from pellucid.errors import PellucidError
from pellucid.margin.nearest import Metric, Nearest, Search, as_features, nearest

Symmetry = Literal["union", "mutual", "directed"]
Weights = Literal["binary", "gaussian", "self-tuning"]
_ROWS = 1 << 20
"""Rows that one product handles at a time: a copy in float64 of all weights would be the largest thing in memory."""
_SMALL = 3000
"""Most samples of a beta-skeleton, whose cost grows with their cube."""


@dataclass(frozen=True)
class Graph:
    """A weighted graph: (nodes, nodes) weights, a row the neighbours that a node hears.

    Attributes:
        weights: W, not negative, sorted, without stored zeros.
        about: How it was made: search, metric, k, recall where it was measured.
    """

    weights: sp.csr_array
    about: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def from_matrix(matrix: ArrayLike | sp.sparray | sp.spmatrix, **about: Any) -> Graph:
        """A graph of a user's own matrix of weights, dense or sparse.

        Raises:
            PellucidError: if it is not square, or has weights that are negative or not finite.

        Example:
            >>> Graph.from_matrix([[0, 2], [2, 0]]).degree.tolist()
            [2.0, 2.0]
        """
        try:
            weights = sp.csr_array(matrix)
        except (TypeError, ValueError) as error:
            raise PellucidError(f"expected a matrix of weights, got {type(matrix).__name__}; give an array or a sparse "
                                "matrix of numbers") from error
        if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
            raise PellucidError(f"expected a square matrix of weights, got shape {weights.shape}; a row and a column "
                                "belong to one node")
        if weights.dtype.kind not in "fiub":
            raise PellucidError(f"expected a matrix of real numbers, got {weights.dtype}")
        if weights.dtype != np.float32:
            weights = weights.astype(np.float64)
        if not (np.isfinite(weights.data).all() and (weights.data >= 0).all()):
            raise PellucidError("expected weights that are finite and not negative, got others; a weight says how much "
                                "two nodes have in common")
        weights.sum_duplicates()
        weights.eliminate_zeros()
        return Graph(weights, about)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return int(self.weights.shape[0])

    @cached_property
    def degree(self) -> NDArray[np.float64]:
        """(nodes,) sum of the weights of each row."""
        return self.sums(np.ones((self.nodes, 1)))[:, 0]

    @cached_property
    def in_degree(self) -> NDArray[np.float64]:
        """(nodes,) sum of the weights of each column."""
        return np.bincount(self.weights.indices, weights=self.weights.data, minlength=self.nodes).astype(np.float64)

    @cached_property
    def heaviest(self) -> float:
        """The largest weight; 0 where there are no edges."""
        return float(self.weights.data.max(initial=0))

    @cached_property
    def isolated(self) -> NDArray[np.bool_]:
        """(nodes,) whether a node hears nobody."""
        return np.diff(self.weights.indptr) == 0  # type: ignore[no-any-return]

    @cached_property
    def symmetric(self) -> bool:
        """Whether the graph is undirected: W = W^T."""
        if "symmetry" in self.about:
            return bool(self.about["symmetry"] != "directed")
        return bool(abs(self.weights - self.weights.T).max() <= 1e-6 * max(abs(self.weights).max(), 1e-300))

    def sums(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        """W f.

        Args:
            signal: f, (nodes, columns).

        Returns:
            (nodes, columns).
        """
        w = self.weights
        if w.dtype == signal.dtype:
            return w @ signal  # type: ignore[no-any-return]
        out = np.empty_like(signal)
        for first in range(0, self.nodes, _ROWS):
            last = min(first + _ROWS, self.nodes)
            a, b = w.indptr[first], w.indptr[last]
            part = sp.csr_array((w.data[a:b], w.indices[a:b], w.indptr[first:last + 1] - a),
                                shape=(last - first, self.nodes))
            out[first:last] = part @ signal
        return out


def knn_graph(features: ArrayLike | sp.sparray | sp.spmatrix, k: int = 20, *, metric: Metric = "euclidean",
              symmetry: Symmetry = "union", weights: Weights = "binary", bandwidth: float | None = None,
              search: Search = "auto", seed: int = 0, threads: int | None = None, progress: bool = False) -> Graph:
    """The k-nearest-neighbour graph of samples (MARGIN paper, section 3).

    Args:
        features: (samples, features), dense or sparse; (samples, samples) distances for ``metric="precomputed"``.
        k: Neighbours of a sample, itself not counted; less than the number of samples.
        metric: See :func:`pellucid.margin.nearest`.
        symmetry: ``union``: an edge where either is among the other's nearest; ``mutual``: where both are;
            ``directed``: each hears its own k.
        weights: ``binary``: 1; ``gaussian``: exp(-d^2 / (2 h^2)) with one h; ``self-tuning``: exp(-d^2 / (h_i h_j))
            with h_i the distance to the k-th neighbour (Zelnik-Manor and Perona, 2004).
        bandwidth: h of ``gaussian``; None: the mean distance to the k-th neighbour.
        search: How neighbours are found; see :func:`pellucid.margin.nearest`.
        seed: Of an approximate search.
        threads: For the search; None: as many as the machine lets us use.
        progress: Whether to show a bar on stderr.

    Returns:
        The graph, in memory of the order of samples times k.

    Raises:
        PellucidError: for features that cannot be used, or a k that does not fit.

    Example:
        >>> graph = knn_graph([[0.0], [1.0], [2.5]], k=1)
        >>> graph.weights.toarray().tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    found = nearest(features, k, metric=metric, search=search, seed=seed, threads=threads, progress=progress)
    return graph_of(found, symmetry=symmetry, weights=weights, bandwidth=bandwidth)


def graph_of(found: Nearest, *, symmetry: Symmetry = "union", weights: Weights = "binary",
             bandwidth: float | None = None) -> Graph:
    """The graph of neighbours that were found before; see :func:`knn_graph`."""
    check_edges(symmetry, weights)
    n, k = found.index.shape
    reach = found.distance[:, -1]
    values = _weighed(found, reach, weights, bandwidth)
    order = np.argsort(found.index, axis=1)
    index = np.take_along_axis(found.index, order, 1).ravel()
    values = np.take_along_axis(values, order, 1).ravel()
    starts = np.arange(n + 1, dtype=np.int32 if n * k < 2**31 else np.int64) * k
    matrix = sp.csr_array((values, index, starts), shape=(n, n))
    if symmetry == "union":
        matrix = matrix.maximum(matrix.T.tocsr())
    elif symmetry == "mutual":
        matrix = matrix.minimum(matrix.T.tocsr())
    matrix = sp.csr_array(matrix)
    matrix.eliminate_zeros()
    return Graph(matrix, {"graph": "knn", "k": k, "symmetry": symmetry, "weights": weights, **found.about})


@dataclass(frozen=True)
class Links:
    """How new samples hang on to those of a graph.

    Attributes:
        weights: (new samples, nodes), a row the neighbours that a new sample hears.
        found: Their neighbours and distances.
    """

    weights: sp.csr_array
    found: Nearest

    def mean(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        """(new samples, ...) weighted mean of a signal over the neighbours.

        Args:
            signal: (nodes,) or (nodes, columns).
        """
        total = np.asarray(self.weights.sum(axis=1), dtype=np.float64).reshape(-1, *[1] * (signal.ndim - 1))
        sums: NDArray[np.float64] = self.weights.astype(np.float64) @ signal
        return np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)


def links_of(found: Nearest, reach: NDArray[np.float32], *, weights: Weights = "binary",
             bandwidth: float | None = None) -> Links:
    """Links of new samples to their nearest nodes, weighed as the edges of the graph are; see :func:`knn_graph`.

    Args:
        found: Nodes that are nearest to each new sample.
        reach: (nodes,) distance of each node to its own k-th neighbour.
        weights: As in the graph.
        bandwidth: As in the graph; None: the mean of ``reach``.
    """
    m, k = found.index.shape
    values = _weighed(found, reach, weights, bandwidth)
    matrix = sp.csr_array((values.ravel(), found.index.ravel(), np.arange(m + 1) * k), shape=(m, len(reach)))
    return Links(matrix, found)


def epsilon_graph(features: ArrayLike, radius: float, *, weights: Literal["binary", "gaussian"] = "binary",
                  bandwidth: float | None = None) -> Graph:
    """All pairs within a distance, for small data: memory grows with the number of pairs.

    Args:
        features: (samples, features).
        radius: Largest distance of neighbours.
        weights: ``binary``: 1; ``gaussian``: exp(-d^2 / (2 h^2)).
        bandwidth: h; None: half the radius.
    """
    x = as_features(features)
    if not (np.isfinite(radius) and radius > 0):
        raise PellucidError(f"expected a positive radius, got {radius}")
    pairs = cKDTree(x).query_pairs(radius, output_type="ndarray")
    distance = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1)
    value = np.ones(len(pairs)) if weights == "binary" else np.exp(-distance**2 / (2 * (bandwidth or radius / 2)**2))
    return _undirected(pairs, value, len(x), graph="epsilon", radius=radius, weights=weights)


def beta_skeleton(features: ArrayLike, beta: float = 1.0) -> Graph:
    """The lune-based beta-skeleton, for small data: an edge where no third sample lies in the lune of two.

    The lune of p and q is the intersection of two balls of radius beta d(p, q) / 2 around p + (q - p) beta / 2 and
    q + (p - q) beta / 2. beta = 1 is the Gabriel graph, beta = 2 the relative neighbourhood graph (Kirkpatrick and
    Radke, 1985). The work is of the order of samples cubed.

    Args:
        features: (samples, features), at most 3,000 samples.
        beta: From 1 to 2.

    Example:
        >>> beta_skeleton([[0.0, 0.0], [1.0, 0.1], [2.0, 0.0]]).weights.toarray().tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    x = as_features(features)
    if not 1 <= beta <= 2:
        raise PellucidError(f"expected beta from 1 to 2, got {beta}")
    if len(x) > _SMALL:
        raise PellucidError(f"expected at most {_SMALL} samples for a beta-skeleton, got {len(x)}; use knn_graph")
    d2 = cdist(x, x, "sqeuclidean")
    pairs = []
    for i in range(len(x) - 1):
        # |r - p - (q - p) beta / 2|^2 by the three distances alone, for all q > i and all r
        pq, pr, qr = d2[i, i + 1:, None], d2[i][None], d2[i + 1:]
        limit = beta**2 / 4 * pq * (1 - 1e-12)
        along = beta / 2
        first = (1 - along) * pr + along * qr - along * (1 - along) * pq
        second = (1 - along) * qr + along * pr - along * (1 - along) * pq
        inside = (np.maximum(first, second) < limit) & (pq > 0)
        inside[:, i] = False
        inside[np.arange(len(inside)), np.arange(i + 1, len(x))] = False
        pairs.append(np.stack(np.broadcast_arrays(i, i + 1 + np.flatnonzero(~inside.any(1))), 1))
    every = np.concatenate(pairs) if pairs else np.zeros((0, 2), dtype=np.int64)
    return _undirected(every, np.ones(len(every)), len(x), graph="beta-skeleton", beta=beta)


def _undirected(pairs: NDArray[np.int64], value: NDArray[np.float64], nodes: int, **about: Any) -> Graph:
    half = sp.csr_array((value, (pairs[:, 0], pairs[:, 1])), shape=(nodes, nodes))
    return Graph(sp.csr_array(half + half.T), {**about, "symmetry": "union"})


def check_edges(symmetry: Symmetry, weights: Weights) -> None:
    """Raises PellucidError for a symmetry or weights that are not known."""
    if symmetry not in ("union", "mutual", "directed"):
        raise PellucidError(f"expected symmetry as union, mutual or directed, got {symmetry!r}")
    if weights not in ("binary", "gaussian", "self-tuning"):
        raise PellucidError(f"expected weights as binary, gaussian or self-tuning, got {weights!r}")


def _weighed(found: Nearest, reach: NDArray[np.float32], weights: Weights, bandwidth: float | None
             ) -> NDArray[np.float32]:
    if bandwidth is not None and not (math.isfinite(bandwidth) and bandwidth > 0):
        raise PellucidError(f"expected a positive bandwidth, got {bandwidth}")
    h = float(reach.mean()) if bandwidth is None else bandwidth
    return weigh(found.distance, found.distance[:, -1], reach[found.index], weights, h)


def weigh(distance: NDArray[np.float32], own: NDArray[np.float32], other: NDArray[np.float32], weights: Weights,
          bandwidth: float) -> NDArray[np.float32]:
    """(samples, k) weights of edges; see :func:`knn_graph`.

    Args:
        distance: (samples, k).
        own: (samples,) distance of each sample to its k-th neighbour.
        other: (samples, k) that of its neighbours.
        weights: How.
        bandwidth: h of ``gaussian``.
    """
    if weights == "binary":
        return np.ones_like(distance)
    h: Any = 2 * (bandwidth or 1.0)**2 if weights == "gaussian" else own[:, None] * other
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(distance > 0, distance**2 / h, 0)
    # far neighbours keep a weight above zero: they are neighbours
    return np.exp(-np.minimum(ratio, 80)).astype(np.float32)
