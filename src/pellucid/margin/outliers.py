"""Which samples are odd or attacked: rarer than what is around them (MARGIN paper, section 5.5)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.metrics.pairwise import euclidean_distances

from pellucid.errors import PellucidError
from pellucid.margin.base import Study, studies
from pellucid.margin.filters import influence
from pellucid.margin.functions import MeanDiscrepancy, as_labels, known_labels
from pellucid.margin.graph import Graph, Links, Symmetry, Weights
from pellucid.margin.nearest import Metric, Search, in_metric

Function = Literal["distance", "density", "mmd"]
FUNCTIONS: tuple[Function, ...] = ("distance", "density", "mmd")
Variant = Literal["trusted", "signed", "energy", "function", "listing"]
VARIANTS: tuple[Variant, ...] = ("trusted", "signed", "energy", "function", "listing")
_CELLS = 1 << 24
"""Distances that are held at a time."""


@studies.register("outliers")
class Outliers(Study):
    """Ranks samples by how odd they are among those around them.

    f says how rare a sample is; high = rare:

    - ``distance`` (ours): log(r + s), with r the distance to the k-th neighbour and s the median of all r: no spacing
      much finer than the usual one counts, so that duplicates do no harm. Linear in the samples.
    - ``density``: minus the :func:`log_density` of the sample among the others, of its class where classes are given
      (Feinman et al., 2017). Quadratic in the samples.
    - ``mmd``: minus what the sample adds to all that are not its k nearest neighbours, eq. 2
      (:func:`pellucid.margin.functions.mean_discrepancy`), of its class where classes are given. Quadratic.

    Variants of the score, with A f the mean of f over the neighbours:

    - ``trusted`` (ours): f - A f, where a neighbour j counts t_j = the share of samples that are rarer than j, so that
      odd samples beside one another do not hide one another. Without neighbours, all samples are asked.
    - ``signed`` (ours): f - A f.
    - ``energy``: (f - A f)^2, the paper's Algorithm 1: unusually common samples come first as well.
    - ``function``: f, without a graph.
    - ``listing``: the code at the end of the paper.

    Features should be on comparable scales: a distance sums over them.

    Args:
        n_neighbors: k. Groups of up to k odd samples are found; larger ones look like a cluster.
        function: f; see above.
        variant: See above.
        bandwidth: h of the density; None: the median distance to the k-th neighbour.
        metric: Of the features; see :func:`pellucid.margin.nearest`. ``precomputed`` allows ``distance`` only.
        weights: Of edges; see :func:`pellucid.margin.knn_graph`. Weights that fall with the distance leave an outlier
            to its own kind.
        symmetry: Of the graph.
        search: How neighbours are found.
        random_state: Of an approximate search.
        n_jobs: Threads; None: as many as the machine lets us use.
        verbose: Whether to show bars.

    Attributes:
        influence_: (samples,) the score.
        ranking_: (samples,) samples, oddest first.
        function_: (samples,) f.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> zeros_and_a_seven = X[y == 0].copy()
        >>> zeros_and_a_seven[42] = X[y == 7][0]
        >>> int(Outliers().fit(zeros_and_a_seven).ranking_[0])
        42
    """

    def __init__(self, n_neighbors: int = 20, *, function: Function = "distance", variant: Variant = "trusted",
                 bandwidth: float | None = None, metric: Metric = "euclidean", weights: Weights = "binary",
                 symmetry: Symmetry = "union", search: Search = "auto", random_state: int = 0,
                 n_jobs: int | None = None, verbose: bool = False) -> None:
        self.n_neighbors = n_neighbors
        self.function = function
        self.variant = variant
        self.bandwidth = bandwidth
        self.metric = metric
        self.weights = weights
        self.symmetry = symmetry
        self.search = search
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _score(self, graph: Graph, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        if self.function not in FUNCTIONS:
            raise PellucidError(f"expected a function out of {', '.join(FUNCTIONS)}, got {self.function!r}")
        if self.variant not in VARIANTS:
            raise PellucidError(f"expected a variant out of {', '.join(VARIANTS)}, got {self.variant!r}")
        if self._reach is None:
            raise PellucidError("expected features for Outliers, got a graph, which does not say how far samples are "
                                "from one another; pass features")
        if self.function != "distance" and self.metric == "precomputed":
            raise PellucidError(f"expected features for the function {self.function}, got distances; use "
                                "function=\"distance\"")
        apart = self._reach[self._reach > 0]
        self._spacing = float(np.median(apart)) if len(apart) else 1.0
        self._labels = self.classes_ = None
        if y is not None and self.function != "distance":
            self._labels, self.classes_ = as_labels(y, graph.nodes, least=1)
        if self.function == "distance":
            f = self._rarity(self._reach)
        elif self.function == "density":
            f = -log_density(self._space(X), bandwidth=self._width(), labels=self._labels)
        else:
            space = self._space(X)
            self._discrepancy = MeanDiscrepancy(space, self._labels)
            f = -self._discrepancy.of(_own_neighbours(graph, space, self.n_neighbors))
        self.function_ = f
        if self.variant == "function":
            return f
        return trusted_influence(graph, f) if self.variant == "trusted" else influence(graph, f, mode=self.variant)

    def _score_new(self, links: Links, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        if self.variant == "listing":
            raise PellucidError("expected a variant that scores new samples, got listing, which divides by the maximum "
                                "over all samples; use energy")
        number = None
        if self._labels is not None:
            if y is None:
                raise PellucidError("expected classes of the new samples, as in fit, got none; call "
                                    "score_samples(X, y)")
            assert self.classes_ is not None
            number = known_labels(y, X.shape[0], self.classes_)
        if self.function == "distance":
            f = self._rarity(links.found.distance[:, -1])
        elif self.function == "density":
            f = -log_density(self._space(self._features), self._space(X), bandwidth=self._width(),
                             labels=self._labels, query_labels=number)
        else:
            f = -self._discrepancy.of_new(links, self._space(X), number)
        if self.variant == "function":
            return f
        if self.variant == "trusted":
            votes = _votes(self.function_)
            return f - _heard(links.weights.astype(np.float64) @ votes, votes)
        above: NDArray[np.float64] = f - links.mean(self.function_)
        return above if self.variant == "signed" else np.square(above)

    def _rarity(self, reach: NDArray[np.float32]) -> NDArray[np.float64]:
        out: NDArray[np.float64] = np.log(reach.astype(np.float64) + self._spacing)
        return out

    def _width(self) -> float:
        return self._spacing if self.bandwidth is None else self.bandwidth

    def _space(self, X: Any) -> NDArray[Any]:
        """The vectors whose Euclidean distance the metric is."""
        out: NDArray[Any] = in_metric(X.toarray() if sp.issparse(X) else X, self.metric)
        return out


def trusted_influence(graph: Graph, rarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much rarer a sample is than its neighbours, by those of them that are not rare themselves (ours).

    I(i) = f(i) - sum_j w_ij t_j f(j) / sum_j w_ij t_j, where t_j in (0, 1) is the share of all samples that are rarer
    than j. A node without neighbours is compared with all.

    Args:
        graph: The graph.
        rarity: f, (nodes,), high = rare.

    Returns:
        (nodes,), high = rare for where it is.

    Example:
        >>> import numpy as np
        >>> path = Graph.from_matrix([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
        >>> trusted_influence(path, np.array([0.0, 3.0, 0.0])).tolist()
        [-3.0, 3.0, -3.0]
    """
    votes = _votes(rarity)
    return rarity - _heard(graph.sums(votes), votes)


def log_density(samples: NDArray[Any], queries: NDArray[Any] | None = None, *, bandwidth: float,
                labels: NDArray[np.int64] | None = None, query_labels: NDArray[np.int64] | None = None
                ) -> NDArray[np.float64]:
    """The log of the kernel density of samples, a density in the class where classes are given (Feinman et al., 2017).

    log p(x) = log mean_j exp(-|x - x_j|^2 / (2 h^2)), over the samples j of x's class; finite however far x is.
    Feinman, Curtin, Shintre and Gardner, Detecting Adversarial Samples from Artifacts, 2017, whose sigma^2 is 2 h^2.

    Args:
        samples: (samples, features).
        queries: (queries, features); None: the samples themselves, each among the others.
        bandwidth: h.
        labels: (samples,) class numbers; None: all are one class.
        query_labels: (queries,) class numbers.

    Returns:
        (queries,) or (samples,), at most 0; the lowest of all for a sample that is alone in its class.

    Raises:
        PellucidError: for a bandwidth that is not positive.

    Example:
        >>> import numpy as np
        >>> log_density(np.array([[0.0], [2.0]]), np.array([[1.0]]), bandwidth=0.5).tolist()
        [-2.0]
    """
    if isinstance(bandwidth, bool) or not (np.isfinite(bandwidth) and bandwidth > 0):
        raise PellucidError(f"expected a positive bandwidth, got {bandwidth!r}")
    own = queries is None
    asked = samples if queries is None else queries
    number = np.zeros(len(samples), np.int64) if labels is None else labels
    wanted = number if own else np.zeros(len(asked), np.int64) if query_labels is None else query_labels
    out = np.full(len(asked), -np.inf)
    for c in np.unique(wanted):
        who, base = np.flatnonzero(wanted == c), samples[number == c]
        count = len(base) - own
        if count == 0:
            continue
        step = max(1, _CELLS // len(base))
        for i in range(0, len(who), step):
            rows = who[i:i + step]
            power = euclidean_distances(asked[rows], base, squared=True).astype(np.float64) / (-2 * bandwidth**2)
            if own:
                power[np.arange(len(rows)), np.arange(i, i + len(rows))] = -np.inf
            top = power.max(1)
            power -= top[:, None]
            out[rows] = np.minimum(top + np.log(np.exp(power, out=power).sum(1)) - np.log(count), 0)
    said = np.isfinite(out)
    return np.where(said, out, out[said].min(initial=0.0))


def _own_neighbours(graph: Graph, x: NDArray[Any], k: int) -> Graph:
    """The graph with the k nearest neighbours of each node: among duplicates, some are neighbours of thousands."""
    w = graph.weights
    rows = np.repeat(np.arange(graph.nodes), np.diff(w.indptr))
    distance = np.empty(len(rows))
    step = max(1, _CELLS // x.shape[1])
    for i in range(0, len(rows), step):
        distance[i:i + step] = np.square(x[rows[i:i + step]] - x[w.indices[i:i + step]]).sum(1)
    near = np.lexsort((distance, rows))[np.arange(len(rows)) - w.indptr[rows] < k]
    return Graph(sp.csr_array((np.ones(len(near)), (rows[near], w.indices[near])), shape=w.shape),
                 {"symmetry": "directed"})


def _votes(rarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """(samples, 2) what each says, times its trust, and its trust."""
    trust = 1 - (rankdata(rarity) - 0.5) / len(rarity)
    return np.stack([trust * rarity, trust], 1)


def _heard(sums: NDArray[np.float64], votes: NDArray[np.float64]) -> NDArray[np.float64]:
    """What neighbours say, from (samples, 2) sums of their votes; what all say, where there are none."""
    said, trust = votes.sum(0)
    out: NDArray[np.float64] = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), said / trust),
                                         where=sums[:, 1] > 0)
    return out
