"""Explanation functions: what a hypothesis says of each sample (MARGIN paper, sections 3 and 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics.pairwise import rbf_kernel

from pellucid.errors import PellucidError
from pellucid.margin.graph import Graph, Links
from pellucid.margin.nearest import as_features

_ROWS = 4096
"""Samples that are looked at together."""


def as_labels(labels: ArrayLike, samples: int, *, least: int = 2) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Labels of any kind (numbers, words, booleans) as class numbers.

    Args:
        labels: (samples,), or (samples, 1).
        samples: How many there must be.
        least: How many classes there must be.

    Returns:
        (samples,) class numbers, and the classes in order.

    Raises:
        PellucidError: for missing labels, another number of them, or too few classes.
    """
    y = np.asarray(labels)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (samples,):
        raise PellucidError(f"expected a label for each of the {samples} samples, got shape {y.shape}")
    # NaN differs from itself, and pandas' NA does not even say whether it does
    missing = np.array([v is None or type(v).__name__ == "NAType" or v != v for v in y.tolist()])
    if missing.any():
        raise PellucidError(f"expected a label for each sample, got {int(missing.sum())} missing; leave those out")
    if y.dtype == object:
        y = y.astype(str)
    classes, number = np.unique(y, return_inverse=True)
    if len(classes) < least:
        raise PellucidError(f"expected at least two classes, got only {classes[0]}; with one class no label can "
                            "disagree")
    if y.dtype.kind == "f" and len(classes) > max(20, samples // 2):
        raise PellucidError(f"expected labels of classes, got {len(classes)} different numbers for {samples} samples; "
                            "bin them into classes first")
    return number.astype(np.int64), classes


def known_labels(labels: ArrayLike | None, samples: int, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Labels of new samples as numbers of classes that are known.

    Args:
        labels: (samples,) or (samples, 1).
        samples: How many there must be.
        classes: The known ones, in order.

    Raises:
        PellucidError: for another number of labels, or classes that are not known.
    """
    y = np.asarray(labels)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (samples,):
        raise PellucidError(f"expected a label for each of the {samples} samples, got shape {y.shape}")
    if y.dtype == object or (classes.dtype.kind == "U" and y.dtype.kind != "U"):
        y = y.astype(str)
    number = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    if (bad := classes[number] != y).any():
        raise PellucidError(f"expected labels that fit has seen, got {y[bad].tolist()[0]!r}; fit again with all "
                            "classes")
    return number.astype(np.int64)


def disagreement(graph: Graph, labels: ArrayLike) -> NDArray[np.float64]:
    """How many of a sample's neighbours have another label (eq. 3): 0 = none, 1 = all.

    f(i) = 1 - sum_j w_ij [y_j = y_i] / sum_j w_ij. In the paper w is one.

    Args:
        graph: The graph.
        labels: (samples,) of any kind.

    Returns:
        (samples,) in [0, 1]; 0 for samples without neighbours.

    Example:
        >>> from pellucid.margin import Graph
        >>> path = Graph.from_matrix([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
        >>> disagreement(path, ["a", "b", "b"]).tolist()
        [1.0, 0.5, 0.0]
    """
    number, classes = as_labels(labels, graph.nodes)
    one_hot = np.zeros((graph.nodes, len(classes)))
    one_hot[np.arange(graph.nodes), number] = 1
    same = graph.sums(one_hot)[np.arange(graph.nodes), number]
    share = np.divide(same, graph.degree, out=np.ones(graph.nodes), where=~graph.isolated)
    out: NDArray[np.float64] = np.clip(1 - share, 0, 1)
    return out


def mean_discrepancy(graph: Graph, x: Any, labels: ArrayLike | None = None, *, gamma: float | None = None,
                     fourier: int = 0, seed: int = 0) -> NDArray[np.float64]:
    """What a sample adds to the distribution of all that are not its neighbours (MMD, eq. 2).

    f(i) = mean over X_i of k(x_i, .) + mean over X_i and x_i of k(x_i, .), where X_i are all samples but i and its
    neighbours and k is an RBF kernel; with labels all sums run over the samples of i's class ("local").

    Args:
        graph: The graph.
        x: (samples, features), dense or sparse.
        labels: (samples,) for the local function; None: global.
        gamma: Of the kernel; None: 1 / (features * variance).
        fourier: See :class:`MeanDiscrepancy`.
        seed: Of random features.

    Returns:
        (samples,), in [0, 2]; high where many samples are near.
    """
    x = as_features(x)
    number = None if labels is None else as_labels(labels, x.shape[0], least=1)[0]
    return MeanDiscrepancy(x, number, gamma=gamma, fourier=fourier, seed=seed).of(graph)


class MeanDiscrepancy:
    """The function of eq. 2 over some samples, of these and of new ones; see :func:`mean_discrepancy`.

    Args:
        x: (samples, features), dense or sparse.
        labels: (samples,) class numbers for the local function; None: global.
        gamma: Of the kernel; None: 1 / (features * variance).
        fourier: Random Fourier features (Rahimi and Recht, 2007) that stand for the kernel, half of them cosines and
            half sines: the work is linear in the samples then; 0: exact, quadratic in them, in memory of a block.
        seed: Of random features.

    Attributes:
        gamma: Of the kernel.

    Example:
        >>> from pellucid.margin import knn_graph
        >>> line = np.arange(5.0)[:, None]
        >>> MeanDiscrepancy(line, gamma=1.0).of(knn_graph(line, 1)).round(3).tolist()
        [0.261, 0.349, 0.364, 0.349, 0.261]
    """

    def __init__(self, x: Any, labels: NDArray[np.int64] | None = None, *, gamma: float | None = None, fourier: int = 0,
                 seed: int = 0) -> None:
        self._x = x
        self._labels = labels
        self._number = np.zeros(x.shape[0], np.int64) if labels is None else labels
        # far from the origin a difference of squares rounds away
        self._mean = 0.0 if sp.issparse(x) else np.asarray(x).mean(0, dtype=np.float64)
        self.gamma = _default_gamma(x) if gamma is None else gamma
        if not (np.isfinite(self.gamma) and self.gamma > 0):
            raise PellucidError(f"expected a positive gamma, got {self.gamma}")
        self._total: NDArray[np.float64] | None = None
        if fourier:
            normal = np.random.default_rng(seed).normal(size=(x.shape[1], max(1, fourier // 2)))
            self._direction = (normal * np.sqrt(2 * self.gamma)).astype(np.float32)
            total = np.zeros((int(self._number.max()) + 1, 2 * self._direction.shape[1]))
            for i in range(0, x.shape[0], _ROWS):
                c = self._number[i:i + _ROWS]
                one_hot = sp.csr_array((np.ones(len(c)), (c, np.arange(len(c)))), shape=(len(total), len(c)))
                total += one_hot @ self._waves(x[i:i + _ROWS]).astype(np.float64)
            self._total = total

    def of(self, graph: Graph) -> NDArray[np.float64]:
        """(samples,) the function of the samples themselves.

        Args:
            graph: Theirs, which says who is whose neighbour.
        """
        if self._x.shape[0] != graph.nodes:
            raise PellucidError(f"expected features of the graph's {graph.nodes} nodes, got {self._x.shape[0]} rows")
        near, count = self._near(graph.weights, self._x, self._number, own=False)
        size = np.bincount(self._number)[self._number]
        return _eq2(self.sums(self._x, self._number) - 1 - near, size - 1 - count)  # k(x_i, x_i) = 1

    def of_new(self, links: Links, x: Any, labels: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """(new samples,) the function of new samples, each as if it alone had come.

        Args:
            links: Their neighbours among the samples.
            x: (new samples, features).
            labels: (new samples,) class numbers for the local function.
        """
        number = np.zeros(x.shape[0], np.int64) if labels is None else labels
        near, count = self._near(links.weights, x, number, own=True)
        return _eq2(self.sums(x, number) - near, np.bincount(self._number)[number] - count)

    def sums(self, x: Any, number: NDArray[np.int64]) -> NDArray[np.float64]:
        """(rows,) sum of the kernel of each row of ``x`` over the samples of its class, itself included if it is one.

        Args:
            x: (rows, features).
            number: (rows,) class numbers.
        """
        out = np.zeros(x.shape[0])
        if self._total is not None:
            for i in range(0, len(out), _ROWS):
                waves = self._waves(x[i:i + _ROWS])
                out[i:i + _ROWS] = np.einsum("ij,ij->i", waves, self._total[number[i:i + _ROWS]])
            out /= self._direction.shape[1]
            return np.maximum(out, 0, out=out)
        for c in np.unique(number):
            among = self._centred(self._x if self._labels is None else self._x[np.flatnonzero(self._number == c)])
            rows = np.flatnonzero(number == c)
            step = max(1, (1 << 24) // among.shape[0])
            for i in range(0, len(rows), step):
                block = self._centred(x[rows[i:i + step]])
                out[rows[i:i + step]] = rbf_kernel(block, among, gamma=self.gamma).sum(1, dtype=np.float64)
        return out

    def _near(self, edges: sp.csr_array, x: Any, number: NDArray[np.int64], *, own: bool
              ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sum of the kernel over a row's neighbours of its own class, and their number; ``own``: loops count too."""
        n = x.shape[0]
        near, count = np.zeros(n), np.zeros(n)
        step = max(1, min(_ROWS, (1 << 24) * n // max(1, edges.nnz * x.shape[1])))
        for i in range(0, n, step):
            last = min(i + step, n)
            rows = np.repeat(np.arange(i, last), np.diff(edges.indptr[i:last + 1]))
            to = edges.indices[edges.indptr[i]:edges.indptr[last]]
            kept = number[rows] == self._number[to]
            if not own:
                kept &= rows != to
            rows, to = rows[kept], to[kept]
            apart = self._centred(x[rows]) - self._centred(self._x[to])
            square = apart.multiply(apart).sum(1) if sp.issparse(apart) else np.square(apart).sum(1, dtype=np.float64)
            value = np.exp(-self.gamma * np.asarray(square, dtype=np.float64))
            near[i:last] = np.bincount(rows - i, weights=value, minlength=last - i)
            count[i:last] = np.bincount(rows - i, minlength=last - i)
        return near, count

    def _centred(self, x: Any) -> Any:
        return x.astype(np.float32) if sp.issparse(x) else np.asarray(x - self._mean, dtype=np.float32)

    def _waves(self, x: Any) -> NDArray[np.float32]:
        angle = self._centred(x) @ self._direction
        return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


def _eq2(rest: NDArray[np.float64], others: NDArray[Any]) -> NDArray[np.float64]:
    """Eq. 2 by the sum of the kernel over X_i and how many these are."""
    rest = np.maximum(rest, 0)  # rounding, and random features, go below
    out: NDArray[np.float64] = np.divide(rest, others, out=np.zeros_like(rest), where=others > 0)
    out += (rest + 1) / (others + 1)
    return out


def _default_gamma(x: Any) -> float:
    size = x.shape[0] * x.shape[1]
    if sp.issparse(x):
        values = x.data.astype(np.float64)
        variance = float(np.square(values).sum() / size - (values.sum() / size)**2)
    else:
        centre = float(x.mean(dtype=np.float64))
        blocks = (np.square(x[i:i + _ROWS] - centre).sum(dtype=np.float64) for i in range(0, x.shape[0], _ROWS))
        variance = float(sum(blocks)) / size
    return 1 / (x.shape[1] * variance or 1.0)
