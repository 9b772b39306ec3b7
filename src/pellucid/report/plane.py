"""Flat drawings of points in a plane: coloured by importance, with lines, ellipses of noise, rings and axes."""

from __future__ import annotations

import html

import numpy as np
from numpy.typing import NDArray

from pellucid.report.colours import TRUE_COLOUR, colour, hexadecimal

Floats = NDArray[np.float64]
WIDE, HIGH, EDGE = 440, 380, 46
"""Size of a drawing in its own units, and the margin with the axes."""
LINE, RING, INK = "#9aa1ac", "#eceef1", "#626c7c"
ELLIPSE = 0.045
"""Half of the long axis of a middling ellipse, as a share of the drawing's width."""


def tones(importance: Floats, signed: bool = False) -> list[str]:
    """The colour of each point, as the report's other views have it."""
    return [hexadecimal(c) for c in colour(importance, signed=signed)]


def plane(at: Floats, names: tuple[str, str] | None, colours: list[str], lines: list[NDArray[np.int64]],
          truth: NDArray[np.bool_] | None = None, sigma: Floats | None = None, *,
          rings: NDArray[np.int64] | None = None, equal: bool = False, origin: bool = False) -> tuple[str, str]:
    """One drawing.

    Args:
        at: (n, 2) places, n at least 1.
        names: Of the axes, with their units; None draws no axes.
        colours: n.
        lines: Rows of the points that each line joins.
        truth: (n,) bool: which points truly decide; they get a rim, and lines between them another colour.
        sigma: (n, 2, 2) covariance of the noise, drawn as ellipses.
        rings: (n,) which ring a point lies on; those about the origin are drawn.
        equal: Whether both axes have one scale.
        origin: Whether the drawing reaches as far on either side of the origin; otherwise it fits the points.

    Returns:
        SVG in which point i has the class ``point-i``, and what a caption must say of the ellipses.

    Example:
        >>> at, line = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([0, 1])
        >>> svg, note = plane(at, ("x", "y"), ["#000000", "#ffffff"], [line])
        >>> svg.count("<ellipse"), note
        (2, '')
    """
    low, high = _limits(at, equal, origin)
    reach = np.abs(at).max(0) * 1.08 + 1e-9
    wide, tall = (HIGH, HIGH) if equal else (WIDE, HIGH)
    scale = np.array([(wide - EDGE) / (high[0] - low[0]), (tall - EDGE) / (high[1] - low[1])])

    def place(points: Floats) -> Floats:
        return np.stack([EDGE + (points[..., 0] - low[0]) * scale[0],
                         tall - EDGE - (points[..., 1] - low[1]) * scale[1]], -1)
    dots = place(at)
    parts = []
    if names is not None:
        parts.append(f'<rect x="{EDGE}" y="0" width="{wide - EDGE}" height="{tall - EDGE}" fill="none" '
                     'stroke="#d5d8dd"/>')
    if rings is not None:
        for number in np.unique(rings):
            r = np.hypot(*at[rings == number].T)
            if r.max() - r.min() < 0.01 * reach.max():
                centre = place(np.zeros(2))
                parts.append(f'<ellipse cx="{centre[0]:.1f}" cy="{centre[1]:.1f}" rx="{r.mean() * scale[0]:.1f}" '
                             f'ry="{r.mean() * scale[1]:.1f}" fill="none" stroke="{RING}"/>')
    for line in lines:
        signal = truth is not None and bool(truth[line].all())
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in dots[line])
        parts.append(f'<path class="line" d="{path}" fill="none" stroke="{TRUE_COLOUR if signal else LINE}" '
                     f'stroke-width="{1.6 if signal else 0.8}"/>')
    note = ""
    if sigma is not None:
        variances, axes = np.linalg.eigh(sigma * scale[:, None] * scale)  # of the drawing
        lengths = np.sqrt(variances.clip(0))
        factor = nice(ELLIPSE * wide / max(float(np.median(lengths[:, 1])), 1e-12))
        for dot, length, axis, tone in zip(dots, lengths * factor, axes, colours, strict=True):
            angle = np.degrees(np.arctan2(-axis[1, 1], axis[0, 1]))
            x, y = dot
            parts.append(f'<g transform="translate({x:.1f} {y:.1f}) rotate({angle:.1f})"><path d="M{-length[1]:.1f} 0A'
                         f'{length[1]:.1f} {max(length[0], 0.4):.1f} 0 1 0 {length[1]:.1f} 0A{length[1]:.1f} '
                         f'{max(length[0], 0.4):.1f} 0 1 0 {-length[1]:.1f} 0M{-length[1]:.1f} 0H{length[1]:.1f}" '
                         f'fill="none" stroke="{tone}" stroke-width="0.9"/></g>')
        note = f"; ellipses at {factor:g} × the standard deviation of the noise, with their long axis"
    for n in np.argsort(-np.arange(len(dots))):
        x, y = dots[n]
        ring = f' stroke="{TRUE_COLOUR}" stroke-width="1.6"' if truth is not None and truth[n] else ' stroke="#fff"'
        parts.append(f'<ellipse class="point-{n}" data-outlined="1" cx="{x:.1f}" cy="{y:.1f}" rx="3.6" ry="3.6" '
                     f'fill="{colours[n]}"{ring}/>')
    if names is not None:
        parts += _axis(low, high, names, wide, tall, scale)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" data-colours="importance" '
            f'font-family="sans-serif" font-size="11">{"".join(parts)}</svg>', note)


def _limits(at: Floats, equal: bool, origin: bool) -> tuple[Floats, Floats]:
    """The lowest and highest values of both axes."""
    if origin:
        reach = np.abs(at).max(0) * 1.08 + 1e-9
        if equal:
            return np.full(2, -reach.max()), np.full(2, reach.max())
        return np.where((at < 0).any(0), -reach, 0.0), reach
    low, high = at.min(0), at.max(0)
    middle, half = (low + high) / 2, (high - low) / 2
    half = np.maximum(half, 0.01 * half.max())  # points on a line
    half = np.full(2, half.max()) if equal else half
    half = np.where(half > 0, 1.08 * half, 1.0)  # one point
    return middle - half, middle + half


def _axis(low: Floats, high: Floats, names: tuple[str, str], wide: int, tall: int, scale: Floats) -> list[str]:
    """Numbers and names of both axes."""
    parts = []
    for t in _ticks(low[0], high[0]):
        x = EDGE + (t - low[0]) * scale[0]
        parts.append(f'<text x="{x:.0f}" y="{tall - EDGE + 14}" text-anchor="middle" fill="{INK}">{t:g}</text>')
    for t in _ticks(low[1], high[1]):
        y = tall - EDGE - (t - low[1]) * scale[1]
        parts.append(f'<text x="{EDGE - 5}" y="{y + 4:.0f}" text-anchor="end" fill="{INK}">{t:g}</text>')
    return [*parts, f'<text x="{wide}" y="{tall - EDGE + 32}" text-anchor="end" fill="{INK}">{html.escape(names[0])}'
            f'</text><text transform="translate(10 0) rotate(-90)" text-anchor="end" fill="{INK}">'
            f"{html.escape(names[1])}</text>"]


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers of a range.

    Example:
        >>> _ticks(-1050.0, 1050.0)
        [-1000.0, -500.0, 0.0, 500.0, 1000.0]
    """
    step = nice((high - low) / 5)
    first = np.ceil(low / step)
    return [float(k * step) for k in np.arange(first, np.floor(high / step) + 1)]


def nice(value: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten.

    Example:
        >>> nice(37.0), nice(0.16)
        (50.0, 0.2)
    """
    power = 10.0 ** np.floor(np.log10(value))
    best = min((1.0, 2.0, 5.0, 10.0), key=lambda m: abs(np.log(m * power / value)))
    return float(f"{best * power:.3g}")
