"""Which samples are typical and which are odd: prototypes and criticisms (MARGIN paper, section 5.1)."""

from __future__ import annotations

import heapq
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from pellucid.errors import PellucidError
from pellucid.margin.base import Study, studies
from pellucid.margin.filters import influence
from pellucid.margin.functions import MeanDiscrepancy, as_labels, known_labels
from pellucid.margin.graph import Graph, Links, Symmetry, Weights
from pellucid.margin.nearest import MANY, Metric, Search, in_metric
from pellucid.progress import waiting

Variant = Literal["below", "energy", "listing", "function"]
VARIANTS: tuple[Variant, ...] = ("below", "energy", "listing", "function")
Choice = Literal["cover", "low-influence"]
CHOICES: tuple[Choice, ...] = ("cover", "low-influence")
FOURIER = 4096
"""Random features that ``fourier="auto"`` takes where exact sums would take too long."""
_ROWS = 4096


@studies.register("prototypes")
class Prototypes(Study):
    """Ranks samples by how odd they are (criticisms), and picks prototypes that stand for all others.

    The function f is the mean discrepancy of eq. 2: high where many samples are near. ``global`` needs no labels;
    ``local`` compares samples of the same class only.

    Variants of the score, A f being the mean over the neighbours:

    - ``below`` (ours): A f - f. An odd sample has less around it than its neighbours have; one that has more is no
      criticism.
    - ``energy``: (f - A f)^2, the paper's Algorithm 1.
    - ``listing``: the code at the end of the paper.
    - ``function``: -f, without the graph.

    Choices of prototypes:

    - ``cover`` (ours): see :func:`cover`. Each prototype is the sample that says most of what no earlier one has said,
      where a sample speaks for its neighbours by the weights of their edges. Copies speak as one and come last. For the
      local function a sample speaks for its own class only, and the class with the largest share that nobody speaks for
      is next.
    - ``low-influence``: the paper's: samples whose energy is low, by f, highest first; then the others.

    Args:
        n_neighbors: k.
        function: ``global`` or ``local``.
        variant: See above.
        choice: See above.
        threshold: Share of the samples whose energy counts as low, in (0, 1]; for ``low-influence`` alone.
        gamma: Of the kernel exp(-gamma d^2); None: 1 / (features * variance).
        fourier: Random Fourier features that stand for the kernel; 0: exact, in time quadratic in the samples;
            ``auto``: 0 up to 30,000 samples, then 4,096.
        metric: Of the features, for graph and kernel; see :func:`pellucid.margin.nearest`. Not ``precomputed``.
        weights: Of edges; see :func:`pellucid.margin.knn_graph`.
        symmetry: Of the graph.
        search: How neighbours are found.
        random_state: Of an approximate search and of random features.
        n_jobs: Threads; None: as many as the machine lets us use.
        verbose: Whether to show bars.

    Attributes:
        influence_: (samples,) the score.
        ranking_: (samples,) samples, criticisms first.
        function_: (samples,) f, in [0, 2].
        prototypes_: (samples,) samples in order of choice: the first m are m prototypes.
        gamma_: Of the kernel.
        classes_: For the local function, the labels in order.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> audit = Prototypes(function="local").fit(X, y)
        >>> sorted(y[audit.prototypes_[:10]].tolist())  # one of each digit
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        >>> odd = audit.ranking_[:10]
        >>> bool(audit.function_[odd].mean() < audit.function_.mean())
        True
    """

    def __init__(self, n_neighbors: int = 25, *, function: Literal["global", "local"] = "global",
                 variant: Variant = "below", choice: Choice = "cover", threshold: float = 0.5,
                 gamma: float | None = None, fourier: int | Literal["auto"] = "auto", metric: Metric = "euclidean",
                 weights: Weights = "self-tuning", symmetry: Symmetry = "union", search: Search = "auto",
                 random_state: int = 0, n_jobs: int | None = None, verbose: bool = False) -> None:
        self.n_neighbors = n_neighbors
        self.function = function
        self.variant = variant
        self.choice = choice
        self.threshold = threshold
        self.gamma = gamma
        self.fourier = fourier
        self.metric = metric
        self.weights = weights
        self.symmetry = symmetry
        self.search = search
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _score(self, graph: Graph, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        self._check(X)
        n, number = graph.nodes, None
        if self.function == "local":
            if y is None:
                raise PellucidError("expected labels for the local function, got none; call fit(X, y), or take "
                                    "function=\"global\"")
            number, self.classes_ = as_labels(y, n, least=1)
        x = in_metric(X, self.metric)
        fourier = FOURIER * (n > MANY) if self.fourier == "auto" else self.fourier
        with waiting(f"mean discrepancy of {n:,} samples", self.verbose), threadpool_limits(self.n_jobs):
            self._discrepancy = MeanDiscrepancy(x, number, gamma=self.gamma, fourier=fourier, seed=self.random_state)
            self.function_ = self._discrepancy.of(graph)
        self.gamma_ = self._discrepancy.gamma
        if self.choice == "cover":
            with waiting(f"prototypes of {n:,} samples", self.verbose):
                self.prototypes_ = _representatives(graph, x, number, self.function_)
        else:
            energy = influence(graph, self.function_)
            high = energy > np.quantile(energy, self.threshold)
            self.prototypes_ = np.lexsort((-self.function_, high))
        if self.variant == "below":
            return -influence(graph, self.function_, mode="signed")
        return -self.function_ if self.variant == "function" else influence(graph, self.function_, mode=self.variant)

    def _score_new(self, links: Links, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        if self.variant == "listing":
            raise PellucidError("expected a variant that scores new samples, got listing, which divides by the maximum "
                                "over all samples; use energy")
        f = self._function_of(links, X, y)
        if self.variant == "function":
            return -f
        below = links.mean(self.function_) - f
        return below if self.variant == "below" else np.square(below)

    def _function_of(self, links: Links, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        """(new samples,) f of new samples among the fitted ones."""
        number = None
        if self.function == "local":
            if y is None:
                raise PellucidError("expected labels of the new samples for the local function, got none; call "
                                    "score_samples(X, y)")
            number = known_labels(y, X.shape[0], self.classes_)
        with threadpool_limits(self.n_jobs):
            return self._discrepancy.of_new(links, in_metric(X, self.metric), number)

    def _check(self, x: Any) -> None:
        for name, known in (("function", ("global", "local")), ("variant", VARIANTS), ("choice", CHOICES)):
            if getattr(self, name) not in known:
                raise PellucidError(f"expected a {name} out of {', '.join(known)}, got {getattr(self, name)!r}")
        if not 0 < self.threshold <= 1:
            raise PellucidError(f"expected a threshold above 0 and up to 1, got {self.threshold!r}")
        whole = isinstance(self.fourier, int | np.integer) and not isinstance(self.fourier, bool) and self.fourier >= 0
        if not (whole or self.fourier == "auto"):
            raise PellucidError(f"expected fourier as a number of random features or \"auto\", got {self.fourier!r}")
        if x is None or self.metric == "precomputed":
            got = "a graph alone" if x is None else "distances"
            raise PellucidError(f"expected features, got {got}; the mean discrepancy is a function of features")


def cover(weights: sp.csr_array, voice: ArrayLike | None = None, tie: ArrayLike | None = None
          ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Orders nodes so that the first m, for any m, speak for as much of the graph as a greedy choice can.

    Facility location: m nodes S are worth sum_j v_j max over i in S of w_ij, and each next node is the one that adds
    most. No choice of m nodes is worth more than 1 / (1 - 1/e) times as much (Nemhauser, Wolsey and Fisher, 1978).
    Gains only shrink, so that an old one is an upper bound and few are computed anew (Minoux, 1978). Once every node is
    spoken for in full, as happens early where all weights are equal, the nodes that are left start over.

    Args:
        weights: (nodes, nodes), not negative: what row i says of column j. Of itself a node says as much as the largest
            weight of the graph, whatever the diagonal has.
        voice: (nodes,) v, positive; None: one.
        tie: (nodes,) which of equal gains is first: the highest, then the lowest number.

    Returns:
        (nodes,) all nodes in order, and (nodes,) the share of the voices nobody has spoken for after each; it goes on
        below 0 where nodes start over.

    Example:
        >>> star = np.zeros((5, 5))
        >>> star[2, :2] = star[:2, 2] = star[3, 4] = star[4, 3] = 1  # 0 - 2 - 1 and 3 - 4
        >>> order, left = cover(sp.csr_array(star))
        >>> order.tolist(), left.round(1).tolist()
        ([2, 3, 0, 4, 1], [0.4, 0.0, -0.4, -0.8, -1.0])
    """
    n = weights.shape[0]
    v = np.ones(n) if voice is None else np.asarray(voice, dtype=np.float64)
    second = np.zeros(n) if tie is None else -np.asarray(tie, dtype=np.float64)
    own = float(weights.max()) if weights.nnz else 1.0
    w = sp.csr_array(weights - sp.diags_array(weights.diagonal()) + sp.diags_array(np.full(n, own)))
    starts, to, value = w.indptr.tolist(), w.indices, w.data.astype(np.float64)
    worth = own * v.sum()
    order: list[int] = []
    left: list[float] = []
    rest = np.arange(n)
    turn = 0
    while len(rest):
        best, said = np.zeros(n), 0.0
        gains = w @ v
        heap = list(zip((-gains[rest]).tolist(), second[rest].tolist(), rest.tolist(), strict=True))
        heapq.heapify(heap)
        while heap:
            bound, key, i = heap[0]
            a, b = starts[i], starts[i + 1]
            seen, row = to[a:b], value[a:b]
            more = np.maximum(row - best[seen], 0)
            gain = float(more @ v[seen])
            if gain < -bound * (1 - 1e-12):
                heapq.heapreplace(heap, (-gain, key, i))
                continue
            if gain <= 0:
                break
            heapq.heappop(heap)
            best[seen] += more
            said += gain
            order.append(i)
            left.append(1 - turn - said / worth)
        rest = np.sort(np.array([i for _, _, i in heap], dtype=np.int64))
        turn += 1
    return np.array(order, dtype=np.int64), np.array(left)


def _representatives(graph: Graph, x: Any, number: NDArray[np.int64] | None, f: NDArray[np.float64]
                     ) -> NDArray[np.int64]:
    """All samples in the order of :func:`cover`, one copy of each first; see :class:`Prototypes`."""
    n = graph.nodes
    kind = np.zeros(n, np.int64) if number is None else number
    group = _copies(x, kind)
    groups = int(group.max()) + 1
    first = np.unique(group, return_index=True)[1]
    w = graph.weights if graph.symmetric else sp.csr_array(graph.weights.T)  # who speaks to whom: hearing turned round
    rows = np.repeat(np.arange(n), np.diff(w.indptr))
    kept = kind[rows] == kind[w.indices]
    between = _largest(group[rows[kept]], group[w.indices[kept]], w.data[kept], groups)
    voice = np.bincount(group).astype(np.float64)
    lines = []
    for c in np.unique(kind):
        members = np.flatnonzero(kind[first] == c)
        order, left = cover(between[members][:, members], voice[members], f[first[members]])
        lines.append((members[order].tolist(), left.tolist()))
    place = np.empty(groups, np.int64)
    place[_by_need(lines)] = np.arange(groups)
    by_group = np.argsort(group, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(group))[:-1]])
    copy = np.empty(n, np.int64)
    copy[by_group] = np.arange(n) - starts[group[by_group]]
    return np.lexsort((place[group], copy))


def _by_need(lines: list[tuple[list[int], list[float]]]) -> list[int]:
    """Merges the orders of several classes: next is the class with the largest share that nobody speaks for."""
    out = []
    heap = [(-1.0, -len(order), c, 0) for c, (order, _) in enumerate(lines)]
    heapq.heapify(heap)
    while heap:
        _, size, c, i = heapq.heappop(heap)
        order, left = lines[c]
        out.append(order[i])
        if i + 1 < len(order):
            heapq.heappush(heap, (-left[i], size, c, i + 1))
    return out


def _largest(rows: NDArray[Any], columns: NDArray[Any], values: NDArray[Any], n: int) -> sp.csr_array:
    """(n, n) with the largest of the values of each place; places on the diagonal are left out."""
    kept = rows != columns
    rows, columns, values = rows[kept], columns[kept], values[kept]
    order = np.lexsort((columns, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    new = np.ones(len(rows), bool)
    new[1:] = (np.diff(rows) != 0) | (np.diff(columns) != 0)
    begin = np.flatnonzero(new)
    most = np.maximum.reduceat(values, begin) if len(begin) else values
    return sp.csr_array((most, (rows[begin], columns[begin])), shape=(n, n))


def _copies(x: Any, kind: NDArray[np.int64]) -> NDArray[np.int64]:
    """(samples,) number of the group of equal samples of the same kind, in the order in which they come."""
    seen: dict[bytes, int] = {}
    out = np.empty(len(kind), np.int64)
    if sp.issparse(x):
        x = sp.csr_array(x, copy=True)
        x.sum_duplicates()
        x.eliminate_zeros()
        rows = (x.indices[a:b].tobytes() + x.data[a:b].tobytes() for a, b in pairwise(x.indptr.tolist()))
    else:
        blocks = (np.ascontiguousarray(x[i:i + _ROWS] + 0) for i in range(0, len(kind), _ROWS))  # -0 becomes 0
        rows = (row.tobytes() for block in blocks for row in block)
    for i, (row, c) in enumerate(zip(rows, kind.tolist(), strict=True)):
        key = blake2b(row + c.to_bytes(8, "little"), digest_size=16).digest()
        out[i] = seen.setdefault(key, len(seen))
    return out
