"""Explanation functions: what a hypothesis says of each sample (MARGIN paper, sections 3 and 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics.pairwise import rbf_kernel

from pellucid.errors import PellucidError
from pellucid.margin.graph import Graph
from pellucid.margin.nearest import as_features

_ROWS = 4096
"""Samples that are looked at together."""


def as_labels(labels: ArrayLike, samples: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Labels of any kind (numbers, words, booleans) as class numbers.

    Args:
        labels: (samples,), or (samples, 1).
        samples: How many there must be.

    Returns:
        (samples,) class numbers, and the classes in order.

    Raises:
        PellucidError: for missing labels, another number of them, or a single class.
    """
    y = np.asarray(labels)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (samples,):
        raise PellucidError(f"expected a label for each of the {samples} samples, got shape {y.shape}")
    missing = np.array([v is None or v != v for v in y.tolist()])  # NaN differs from itself
    if missing.any():
        raise PellucidError(f"expected a label for each sample, got {int(missing.sum())} missing; leave those out")
    if y.dtype == object:
        y = y.astype(str)
    classes, number = np.unique(y, return_inverse=True)
    if len(classes) < 2:
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
    if y.dtype == object:
        y = y.astype(str)
    number = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    if (bad := classes[number] != y).any():
        raise PellucidError(f"expected labels that fit has seen, got {y[bad][0]!r}; fit again with all classes")
    return number.astype(np.int64)


def votes(graph: Graph, number: NDArray[np.int64], classes: int, weight: NDArray[np.float64] | None = None
          ) -> NDArray[np.float64]:
    """(samples, classes) share of each class among a sample's neighbours, by the weights of edges and of neighbours.

    Rows of samples without neighbours, or whose neighbours all weigh nothing, are zero.

    Args:
        graph: The graph.
        number: (samples,) class numbers.
        classes: How many there are.
        weight: (samples,) of each neighbour; None: one.
    """
    one_hot = np.zeros((graph.nodes, classes))
    one_hot[np.arange(graph.nodes), number] = 1 if weight is None else weight
    sums = graph.sums(one_hot)
    total = sums.sum(1, keepdims=True)
    out: NDArray[np.float64] = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    return out


def disagreement(graph: Graph, labels: ArrayLike, *, trust: int = 0) -> NDArray[np.float64]:
    """How many of a sample's neighbours have another label (eq. 3): 0 = none, 1 = all.

    f(i) = 1 - sum_j w_ij t_j [y_j = y_i] / sum_j w_ij t_j. In the paper w and t are one. With ``trust`` rounds (ours),
    t_j = 1 - f(j) of the round before: who disagrees with the own neighbours has less of a vote, so that wrong labels
    do not spoil what is said of the right ones around them.

    Args:
        graph: The graph.
        labels: (samples,) of any kind.
        trust: Rounds.

    Returns:
        (samples,) in [0, 1]; 0 for samples without neighbours.

    Example:
        >>> from pellucid.margin import Graph
        >>> path = Graph.from_matrix([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
        >>> disagreement(path, ["a", "b", "b"]).tolist()
        [1.0, 0.5, 0.0]
    """
    number, classes = as_labels(labels, graph.nodes)
    if isinstance(trust, bool) or not isinstance(trust, int | np.integer) or trust < 0:
        raise PellucidError(f"expected trust as a whole number of rounds, got {trust!r}")
    out: NDArray[np.float64] | None = None
    for _ in range(trust + 1):
        share = votes(graph, number, len(classes), None if out is None else 1 - out)
        said = share.sum(1) > 0
        now = np.where(said, 1 - share[np.arange(graph.nodes), number], 0 if out is None else out)
        out = now
    assert out is not None
    return out


def kernel_sums(x: Any, gamma: float, labels: NDArray[np.int64] | None = None, *, fourier: int = 0, seed: int = 0
                ) -> NDArray[np.float64]:
    """Sum over all samples (of the same class) of exp(-gamma |x_i - x_j|^2), for each i, itself included.

    Args:
        x: (samples, features).
        gamma: Of the kernel.
        labels: (samples,) class numbers; None: all samples count.
        fourier: Random Fourier features (Rahimi and Recht, 2007) that stand for the kernel: the work is linear in the
            samples then; 0: exact, quadratic in them, in memory of a block.
        seed: Of those features.

    Returns:
        (samples,).
    """
    x = np.asarray(x, dtype=np.float32)
    number = np.zeros(len(x), np.int64) if labels is None else labels
    out = np.empty(len(x))
    if fourier:
        rng = np.random.default_rng(seed)
        direction = (rng.normal(size=(x.shape[1], fourier)) * np.sqrt(2 * gamma)).astype(np.float32)
        phase = rng.uniform(0, 2 * np.pi, fourier).astype(np.float32)
        total = np.zeros((int(number.max()) + 1, fourier))
        for i in range(0, len(x), _ROWS):
            np.add.at(total, number[i:i + _ROWS], np.cos(x[i:i + _ROWS] @ direction + phase))
        for i in range(0, len(x), _ROWS):
            wave = np.cos(x[i:i + _ROWS] @ direction + phase)
            out[i:i + _ROWS] = 2 / fourier * np.einsum("ij,ij->i", wave, total[number[i:i + _ROWS]])
        return out
    for c in np.unique(number):
        rows = np.flatnonzero(number == c)
        part = x[rows]
        step = max(1, (1 << 24) // len(part))
        for i in range(0, len(part), step):
            out[rows[i:i + step]] = rbf_kernel(part[i:i + step], part, gamma=gamma).sum(1, dtype=np.float64)
    return out


def mean_discrepancy(graph: Graph, x: Any, labels: ArrayLike | None = None, *, gamma: float | None = None,
                     fourier: int = 0, seed: int = 0) -> NDArray[np.float64]:
    """What a sample adds to the distribution of all that are not its neighbours (MMD, eq. 2).

    f(i) = mean over X_i of k(x_i, .) + mean over X_i and x_i of k(x_i, .), where X_i are all samples but i and its
    neighbours and k is an RBF kernel; with labels all sums run over the samples of i's class ("local").

    Args:
        graph: The graph.
        x: (samples, features).
        labels: (samples,) for the local function; None: global.
        gamma: Of the kernel; None: 1 / (features * variance).
        fourier: See :func:`kernel_sums`.
        seed: Of random features.

    Returns:
        (samples,), in [0, 2]; high where many samples are near.
    """
    x = np.asarray(as_features(x), dtype=np.float32)
    if len(x) != graph.nodes:
        raise PellucidError(f"expected features of the graph's {graph.nodes} nodes, got {len(x)} rows")
    number = None if labels is None else as_labels(labels, len(x))[0]
    if gamma is None:
        gamma = 1 / (x.shape[1] * float(x.var(dtype=np.float64)) or 1.0)
    if not (np.isfinite(gamma) and gamma > 0):
        raise PellucidError(f"expected a positive gamma, got {gamma}")
    total = kernel_sums(x, gamma, number, fourier=fourier, seed=seed)
    size = np.full(len(x), float(len(x))) if number is None else np.bincount(number)[number].astype(np.float64)
    near, count = np.zeros(len(x)), np.zeros(len(x))
    w = graph.weights
    for i in range(0, len(x), _ROWS):
        rows = np.repeat(np.arange(i, min(i + _ROWS, len(x))), np.diff(w.indptr[i:i + _ROWS + 1]))
        to = w.indices[w.indptr[i]:w.indptr[min(i + _ROWS, len(x))]]
        if number is not None:
            same = number[rows] == number[to]
            rows, to = rows[same], to[same]
        rows, to = rows[rows != to], to[rows != to]
        value = np.exp(-gamma * np.square(x[rows] - x[to]).sum(1, dtype=np.float64))
        near += np.bincount(rows, weights=value, minlength=len(x))
        count += np.bincount(rows, minlength=len(x))
    rest = total - 1 - near  # over X_i; k(x_i, x_i) = 1
    others = size - 1 - count
    out: NDArray[np.float64] = np.divide(rest, others, out=np.zeros_like(rest), where=others > 0)
    return out + (rest + 1) / (others + 1)
