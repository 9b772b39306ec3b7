"""Places in a plane for the nodes of a graph that has none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, dijkstra, shortest_path

Floats = NDArray[np.float64]
PIVOTS = 50
"""Nodes whose distances to all others place a component at first."""
MOST_REFINED = 400
"""Nodes of a component up to which all distances are fitted; larger ones stay where the pivots put them."""
SWEEPS = 60
GAP = 1.5
"""Between components, in lengths of an edge."""


def layout(nodes: int, edges: Sequence[tuple[int, int]]) -> Floats:
    """Places of nodes such that distances in the plane are near those along edges: an edge is about 1 long.

    Each component is placed by pivots (classical scaling of the distances to :data:`PIVOTS` nodes), up to
    :data:`MOST_REFINED` nodes then by stress majorisation with weights 1 / d^2; components stand side by side, the
    largest first. The same graph always gets the same places.

    Args:
        nodes: Their number.
        edges: Pairs of different nodes.

    Returns:
        (nodes, 2).

    Source: Brandes and Pich 2006, Eigensolver methods for progressive multidimensional scaling of large data (pivots);
    Gansner, Koren and North 2004, Graph drawing by stress majorization.

    Example:
        >>> at = layout(3, [(0, 1), (1, 2)])
        >>> [round(float(np.linalg.norm(at[a] - at[b])), 3) for a, b in ((0, 1), (1, 2), (0, 2))]
        [1.0, 1.0, 2.0]
    """
    ends = np.array(list(edges), dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (nodes, nodes)).tocsr()
    _, member = connected_components(graph, directed=False)
    parts = sorted((np.flatnonzero(member == k) for k in np.unique(member)), key=len, reverse=True)
    at, corner, tall = np.zeros((nodes, 2)), np.zeros(2), 0.0
    wide = 0.0
    for part in parts:
        own = _component(graph[part][:, part])
        own -= own.min(0)
        size = own.max(0)
        wide = wide or max(float(size[0]), 1.2 * float(np.sqrt(nodes)))
        if corner[0] > 0 and corner[0] + size[0] > wide + 1e-9:  # the next row
            corner, tall = np.array([0.0, corner[1] + tall + GAP]), 0.0
        at[part] = own + corner
        corner, tall = np.array([corner[0] + size[0] + GAP, corner[1]]), max(tall, float(size[1]))
    return at - (at.min(0) + at.max(0)) / 2 if nodes else at


def _component(graph: coo_matrix) -> Floats:
    """Places of the nodes of a connected graph, its longer side along the first axis."""
    n = graph.shape[0]
    if n == 1:
        return np.zeros((1, 2))
    pivots, apart = [0], np.full(n, np.inf)
    rows = []
    for _ in range(min(PIVOTS, n)):  # each as far as can be from those before it
        row = dijkstra(graph, directed=False, unweighted=True, indices=pivots[-1])
        rows.append(row)
        apart = np.minimum(apart, row)
        pivots.append(int(apart.argmax()))
    squared = np.array(rows).T ** 2
    centred = squared - squared.mean(0) - squared.mean(1, keepdims=True) + squared.mean()
    left, values, _ = np.linalg.svd(-centred / 2, full_matrices=False)
    at = np.zeros((n, 2))
    own = left[:, :2] * np.sqrt(values[:2])
    at[:, : own.shape[1]] = own * np.where(own[np.abs(own).argmax(0), range(own.shape[1])] < 0, -1, 1)
    # nodes that are alike for all pivots must not lie on each other, nor all on one line
    at += 0.05 * np.random.default_rng(0).normal(size=at.shape)
    apart = np.linalg.norm(at[:, None] - at[pivots[:-1]][None], axis=2)
    at *= np.mean(rows) / max(float(apart.mean()), 1e-9)
    if n <= MOST_REFINED:
        at = _refined(at, shortest_path(graph, directed=False, unweighted=True))
    _, axes = np.linalg.eigh(np.cov(at.T))
    return np.asarray((at - at.mean(0)) @ axes[:, ::-1])


def _refined(at: Floats, distance: Floats) -> Floats:
    """Places that fit all distances better: sweeps of stress majorisation, each solving for all nodes at once."""
    weight = 1 / np.where(distance > 0, distance, 1) ** 2
    np.fill_diagonal(weight, 0)
    laplacian = np.diag(weight.sum(1)) - weight
    inverse = np.linalg.pinv(laplacian)
    for _ in range(SWEEPS):
        apart = np.linalg.norm(at[:, None] - at[None], axis=2)
        ratio = np.where(apart > 1e-9, weight * distance / np.where(apart > 1e-9, apart, 1), 0)
        moved = inverse @ (np.diag(ratio.sum(1)) - ratio) @ at
        if np.abs(moved - at).max() < 1e-4:
            return np.asarray(moved)
        at = moved
    return at
