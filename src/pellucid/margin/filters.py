"""Filters of signals on graphs, and the influence of a node: how much it differs from what its neighbours say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from pellucid.errors import PellucidError
from pellucid.margin.graph import Graph

Operator = Literal["adjacency", "normalised", "transition", "laplacian"]
"""Graph shift operators of section 4 of the MARGIN paper; see :func:`shift`."""
OPERATORS: tuple[Operator, ...] = ("adjacency", "normalised", "transition", "laplacian")
Mode = Literal["energy", "magnitude", "signed", "listing"]
"""What is made of the filtered signal; see :func:`influence`."""
MODES: tuple[Mode, ...] = ("energy", "magnitude", "signed", "listing")
Response = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Frequency -> gain, for frequencies in [0, 2]."""


def shift(graph: Graph, signal: NDArray[np.float64], operator: Operator = "transition") -> NDArray[np.float64]:
    """A f, with the graph shift operator A of section 4.

    ``adjacency``: W. ``normalised``: D^-1/2 W D^-1/2. ``transition``: D^-1 W, the weighted mean over the neighbours.
    ``laplacian``: L = I - D^-1/2 W D^-1/2. Rows of nodes without neighbours are zero in all four.

    Args:
        graph: The graph.
        signal: f, (nodes, columns).
        operator: See above.

    Returns:
        (nodes, columns).
    """
    if operator not in OPERATORS:
        raise PellucidError(f"expected an operator out of {', '.join(OPERATORS)}, got {operator!r}")
    if operator == "adjacency":
        return graph.sums(signal)
    if operator == "transition":
        return _power(graph.degree, -1.0)[:, None] * graph.sums(signal)
    root = _power(graph.degree, -0.5)[:, None]
    other = root if graph.symmetric else _power(graph.in_degree, -0.5)[:, None]
    smooth = root * graph.sums(other * signal)
    return smooth if operator == "normalised" else np.where(graph.degree[:, None] > 0, signal, 0) - smooth


def high_pass(graph: Graph, signal: ArrayLike, *, operator: Operator = "transition", hops: int = 1
              ) -> NDArray[np.float64]:
    """The high-pass filter f - A^p f (Algorithm 1, line 3), with p hops; zero at nodes without neighbours.

    With ``operator="laplacian"`` this is the text of the paper to the letter, and a low-pass filter for p = 1, since L
    itself is a high-pass one; the others are what is meant.

    Args:
        graph: The graph.
        signal: (nodes,), or (nodes, ...) with one signal a column.
        operator: A; see :func:`shift`.
        hops: p, at least 1.

    Returns:
        Shape of ``signal``.
    """
    f = _signal(graph, signal)
    _whole("hops", hops)
    smooth = f.reshape(len(f), -1)
    for _ in range(hops):
        smooth = shift(graph, smooth, operator)
    out: NDArray[np.float64] = f - smooth.reshape(f.shape)
    out[graph.isolated] = 0
    return out


def influence(graph: Graph, signal: ArrayLike, *, operator: Operator = "transition", hops: int = 1,
              mode: Mode = "energy", batched: bool = False) -> NDArray[np.float64]:
    """The influence of each node on a signal: how far it is from what its neighbours say (paper, section 4).

    - ``energy``: I(i) = ||f(i) - (A^p f)(i)||^2, Algorithm 1.
    - ``magnitude``: the norm itself. The order is that of ``energy``.
    - ``signed``: f(i) - (A^p f)(i): above the neighbours is not below them (ours; scalar signals).
    - ``listing``: the authors' code: |f - (A^p f) / M| over its maximum, where A = D^-1/2 W D^-1/2 with D the number of
      neighbours, a loop counting twice, and M the number of positive entries in the row of A^p. ``operator`` does not
      matter.

    Nodes without neighbours have an influence of 0: nothing says what they should be.

    Args:
        graph: The graph.
        signal: (nodes,), or (nodes, d) for a signal of vectors.
        operator: A; see :func:`shift`.
        hops: p, at least 1.
        mode: See above.
        batched: The second axis holds signals that have nothing to do with each other: (nodes, signals), or
            (nodes, signals, d) for signals of vectors.

    Returns:
        (nodes,), or (nodes, signals) when batched.

    Example:
        >>> from pellucid.margin import Graph, influence
        >>> path = Graph.from_matrix([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
        >>> influence(path, [0.0, 1.0, 0.0]).tolist()
        [1.0, 1.0, 1.0]
    """
    if mode not in MODES:
        raise PellucidError(f"expected a mode out of {', '.join(MODES)}, got {mode!r}")
    f = _signal(graph, signal)
    most = 3 if batched else 2
    if f.ndim > most or (batched and f.ndim == 1):
        raise PellucidError(f"expected a signal of shape (nodes{', signals' if batched else ''}) or (nodes, "
                            f"{'signals, ' if batched else ''}d), got {f.shape}")
    vectors = f.ndim == most
    if mode == "signed":
        if vectors and f.shape[-1] > 1:
            raise PellucidError(f"expected a scalar signal for the mode signed, got {f.shape[-1]} numbers a node; "
                                "vectors have no sign: use energy, or batched for signals of their own")
        return high_pass(graph, f[..., 0] if vectors else f, operator=operator, hops=hops)
    filtered = _listing(graph, f, hops) if mode == "listing" else high_pass(graph, f, operator=operator, hops=hops)
    out = np.linalg.norm(filtered, axis=-1) if vectors else np.abs(filtered)
    if mode == "energy":
        return np.square(out)
    if mode == "listing":
        top = out.max(axis=0, initial=0.0)
        return out / np.where(top > 0, top, 1)
    return out


def band(low: float, high: float) -> Response:
    """The response that passes frequencies of the normalised Laplacian from ``low`` to ``high``, within [0, 2].

    Example:
        >>> band(0.5, 2)(np.array([0.2, 1.0])).tolist()
        [0.0, 1.0]
    """
    if not 0 <= low < high <= 2:
        raise PellucidError(f"expected 0 <= low < high <= 2, got {low} and {high}; the frequencies of a graph end at 2")
    return lambda frequency: ((frequency >= low) & (frequency <= high)).astype(np.float64)


def chebyshev(graph: Graph, signal: ArrayLike, response: Response, *, order: int = 30, damping: bool = True
              ) -> NDArray[np.float64]:
    """g(L) f for any response g, without eigenvectors: a Chebyshev expansion in the normalised Laplacian L.

    g(L) is approximated by a polynomial of the given order on [0, 2], so that a node hears others within ``order``
    hops and the cost is ``order`` products of a sparse matrix and the signal. Shuman et al., The emerging field of
    signal processing on graphs, 2013; Di Napoli et al., Efficient estimation of eigenvalue counts, 2016 (damping).

    Args:
        graph: An undirected graph.
        signal: (nodes,) or (nodes, ...).
        response: g; see :func:`band`.
        order: Of the polynomial, at least 1.
        damping: Jackson's damping, against ringing at the edges of a band.

    Returns:
        Shape of ``signal``; zero at nodes without neighbours, whose frequency is not defined.
    """
    if not graph.symmetric:
        raise PellucidError("expected an undirected graph for a response in frequency, got a directed one; build it "
                            "with symmetry=\"union\"")
    _whole("order", order)
    f = _signal(graph, signal)
    angle = np.pi * (np.arange(order + 1) + 0.5) / (order + 1)
    gain = np.asarray(response(1 - np.cos(angle)), dtype=np.float64)  # L = I - A has the frequency 1 - x where A has x
    degree = np.arange(order + 1)
    c = 2 / (order + 1) * np.cos(degree[:, None] * angle) @ gain
    c[0] /= 2
    if damping:
        c *= _jackson(order)
    flat = f.reshape(len(f), -1)
    before, now = flat, shift(graph, flat, "normalised")
    out = c[0] * before + c[1] * now
    for weight in c[2:]:
        before, now = now, 2 * shift(graph, now, "normalised") - before
        out += weight * now
    out[graph.isolated] = 0
    return out.reshape(f.shape)  # type: ignore[no-any-return]


def _jackson(order: int) -> NDArray[np.float64]:
    n, j = order + 2, np.arange(order + 1)
    turn = np.pi / n
    out: NDArray[np.float64] = ((n - j) * np.cos(j * turn) + np.sin(j * turn) / np.tan(turn)) / n
    return out


def _listing(graph: Graph, f: NDArray[np.float64], hops: int) -> NDArray[np.float64]:
    """The filter f - (P f) / M of the paper's code, P = (D^-1/2 W D^-1/2)^p, D and M counting entries."""
    _whole("hops", hops)
    w = graph.weights
    rows = np.repeat(np.arange(graph.nodes), np.diff(w.indptr))
    count = np.diff(w.indptr) + np.bincount(rows[rows == w.indices], minlength=graph.nodes)
    root = sp.diags_array(_power(count.astype(np.float64), -0.5))
    operator = sp.csr_array(root @ w.astype(np.float64) @ root)
    power = operator
    for _ in range(hops - 1):
        power = sp.csr_array(power @ operator)
    reached = np.asarray((power > 0).sum(axis=1), dtype=np.float64)
    smooth = (power @ f.reshape(len(f), -1)) / np.where(reached > 0, reached, 1)[:, None]
    out: NDArray[np.float64] = f - smooth.reshape(f.shape)
    out[graph.isolated] = 0
    return out


def _power(values: NDArray[Any], exponent: float) -> NDArray[np.float64]:
    out: NDArray[np.float64] = np.zeros(len(values))
    np.power(values, exponent, out=out, where=values > 0)
    return out


def _signal(graph: Graph, signal: ArrayLike) -> NDArray[np.float64]:
    try:
        f = np.array(signal, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PellucidError(f"expected numbers as a signal, got {type(signal).__name__} that has others") from error
    if f.ndim == 0 or len(f) != graph.nodes:
        raise PellucidError(f"expected a signal with a row for each of the {graph.nodes} nodes, got shape {f.shape}")
    if not np.isfinite(f).all():
        raise PellucidError(f"expected finite numbers as a signal, got {int((~np.isfinite(f)).sum())} that are not")
    return f


def _whole(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise PellucidError(f"expected {name} as a whole number of at least 1, got {value!r}")
