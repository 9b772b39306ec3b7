"""Explanation functions: what a hypothesis says of each sample (MARGIN paper, sections 3 and 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pellucid.errors import PellucidError
from pellucid.margin.graph import Graph


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
