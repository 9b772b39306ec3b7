"""Collision events, and any other clouds that are no molecules, for the browser of the report."""

from __future__ import annotations

import html
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pellucid.clouds import PointClouds
from pellucid.explanation import Explanation
from pellucid.report.colours import TRUE_COLOUR, colour, hexadecimal
from pellucid.report.content import CLOUDS, EVENTS, Sample

Floats = NDArray[np.float64]
WIDE, HIGH, EDGE = 440, 380, 46
"""Size of a drawing in its own units, and the margin with the axes."""
TRACK, LAYER, INK = "#9aa1ac", "#eceef1", "#626c7c"
ELLIPSE = 0.045
"""Half of the long axis of a middling ellipse, as a share of the drawing's width."""


def event_sample(explanation: Explanation, i: int) -> Sample:
    """What the browser shows of one cloud: the 3D scene with true tracks, and flat views as drawings.

    Args:
        explanation: Of clouds with two or three coordinates.
        i: Place of the cloud.
    """
    data = explanation.clouds
    rows = slice(int(data.ptr[i]), int(data.ptr[i + 1]))
    pos = data.pos[rows].double().numpy()
    n, dim = pos.shape
    group = data["group"][rows].numpy() if "group" in data else np.full(n, -1)
    truth = data["important"][rows].numpy() if "important" in data and bool(data["important"][rows].any()) else None
    importance = explanation.importance[rows].double().numpy()
    sigma = explanation.covariance[rows].double().numpy() if explanation.covariance is not None else None
    columns = {name: column[rows].double().numpy() for name, column in explanation.columns.items()}
    if "layer" in data:
        columns["layer"] = data["layer"][rows].double().numpy()
    if "momentum" in data:
        columns["p_t"] = data["momentum"][rows, :2].double().norm(dim=1).numpy()
    if "features" in data:
        columns |= {f"feature_{c}": column.double().numpy() for c, column in enumerate(data["features"][rows].T)}
    target = explanation.truth(i)
    event = "layer" in data or "momentum" in data or data.unit("pos") == "mm"
    tracks = track_lines(pos, group)
    pad = ((0, 0), (0, 3 - dim))
    return Sample(
        name=data.text["id"][i] if "id" in data.text else f"{'event' if event else 'sample'} {i}",
        unit=data.unit("pos"), pos=np.pad(pos, pad), predicts=explanation.quantity(i),
        labels=[f"track {g}" if g >= 0 else "–" for g in group.tolist()],
        importance=importance, prediction=explanation.value(i),
        importance_name=explanation.importance_name,
        target=target,
        bonds=[(a, b, 1.0) for line in tracks for a, b in pairwise(line.tolist())],
        important=truth, covariance=None if sigma is None else np.pad(sigma, ((0, 0), (0, 3 - dim), (0, 3 - dim))),
        views=views(pos, data.unit("pos"), importance, tracks, truth, sigma, layers_of(data, rows)),
        columns=columns, words=EVENTS if event else CLOUDS)


def layers_of(data: PointClouds, rows: slice) -> NDArray[np.int64] | None:
    """(n,) the surface of each hit, where it is known."""
    return data["layer"][rows].numpy() if "layer" in data else None


def track_lines(pos: Floats, group: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows of each true track, from the inside out; tracks of one hit are left out.

    Example:
        >>> [line.tolist() for line in track_lines(np.array([[3.0, 0], [1, 0], [2, 0]]), np.array([0, 0, -1]))]
        [[1, 0]]
    """
    away = np.linalg.norm(pos, axis=1)
    lines = [np.flatnonzero(group == g) for g in np.unique(group[group >= 0])]
    return [line[np.argsort(away[line], kind="stable")] for line in lines if len(line) > 1]


def views(pos: Floats, unit: str, importance: Floats, tracks: list[NDArray[np.int64]],
          truth: NDArray[np.bool_] | None, sigma: Floats | None, layer: NDArray[np.int64] | None) -> dict[str, str]:
    """Flat drawings by caption: x-y and r-z of three coordinates, the plane itself of two.

    Args:
        pos: (n, 2 or 3).
        unit: Of the coordinates; with two and none they are called eta and phi.
        importance: (n,).
        tracks: Rows of each.
        truth: (n,) bool.
        sigma: (n, D, D) covariance of the noise.
        layer: (n,) surfaces.
    """
    tones = [hexadecimal(c) for c in colour(importance)]
    if pos.shape[1] == 2:
        axes = ("eta", "phi (rad)") if unit == "" else (f"x ({unit})", f"y ({unit})")
        svg, note = _plane(pos, axes, tones, tracks, truth, sigma, layer, equal=False, circles=False)
        return {f"{axes[0]} – {axes[1]}{note}": svg}
    r = np.hypot(pos[:, 0], pos[:, 1])
    side = np.where(pos[:, 1] >= 0, 1.0, -1.0)
    for line in tracks:  # a track stays on one side
        side[line] = side[line[-1]]
    across = np.zeros((len(pos), 2, 3))  # d(z, signed r) / d(x, y, z)
    across[:, 0, 2] = 1
    across[:, 1, :2] = side[:, None] * pos[:, :2] / np.maximum(r, 1e-9)[:, None]
    flat = None if sigma is None else sigma[:, :2, :2]
    along = None if sigma is None else across @ sigma @ across.transpose(0, 2, 1)
    xy, note_xy = _plane(pos[:, :2], (f"x ({unit})", f"y ({unit})"), tones, tracks, truth, flat, layer, equal=True,
                         circles=True)
    rz, note_rz = _plane(np.stack([pos[:, 2], side * r], 1), (f"z ({unit})", f"r ({unit}), signed as y"), tones,
                         tracks, truth, along, layer, equal=False, circles=False)
    return {f"x – y{note_xy}": xy, f"r – z{note_rz}": rz}


def _plane(at: Floats, names: tuple[str, str], tones: list[str], tracks: list[NDArray[np.int64]],
           truth: NDArray[np.bool_] | None, sigma: Floats | None, layer: NDArray[np.int64] | None, *, equal: bool,
           circles: bool) -> tuple[str, str]:
    """One drawing, and what its caption says of the ellipses."""
    reach = np.abs(at).max(0) * 1.08 + 1e-9
    low, high = (-reach, reach) if (at < 0).any() else (np.zeros(2), reach)
    low = np.where((at < 0).any(0), -reach, 0.0)
    if equal:
        low, high = np.full(2, -reach.max()), np.full(2, reach.max())
    wide, tall = (HIGH, HIGH) if equal else (WIDE, HIGH)
    scale = np.array([(wide - EDGE) / (high[0] - low[0]), (tall - EDGE) / (high[1] - low[1])])

    def place(points: Floats) -> Floats:
        return np.stack([EDGE + (points[..., 0] - low[0]) * scale[0],
                         tall - EDGE - (points[..., 1] - low[1]) * scale[1]], -1)
    dots = place(at)
    parts = [f'<rect x="{EDGE}" y="0" width="{wide - EDGE}" height="{tall - EDGE}" fill="none" stroke="#d5d8dd"/>']
    if layer is not None and circles:
        for number in np.unique(layer):
            r = np.hypot(*at[layer == number].T)
            if r.max() - r.min() < 0.01 * reach.max():
                centre = place(np.zeros(2))
                parts.append(f'<ellipse cx="{centre[0]:.1f}" cy="{centre[1]:.1f}" rx="{r.mean() * scale[0]:.1f}" '
                             f'ry="{r.mean() * scale[1]:.1f}" fill="none" stroke="{LAYER}"/>')
    for line in tracks:
        signal = truth is not None and bool(truth[line].all())
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in dots[line])
        parts.append(f'<path class="track" d="{path}" fill="none" stroke="{TRUE_COLOUR if signal else TRACK}" '
                     f'stroke-width="{1.6 if signal else 0.8}"/>')
    note = ""
    if sigma is not None:
        variances, axes = np.linalg.eigh(sigma * scale[:, None] * scale)  # of the drawing
        lengths = np.sqrt(variances.clip(0))
        factor = _nice(ELLIPSE * wide / max(float(np.median(lengths[:, 1])), 1e-12))
        for dot, length, axis, tone in zip(dots, lengths * factor, axes, tones, strict=True):
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
        parts.append(f'<ellipse class="atom-{n}" data-outlined="1" cx="{x:.1f}" cy="{y:.1f}" rx="3.6" ry="3.6" '
                     f'fill="{tones[n]}"{ring}/>')
    parts += _axis(low, high, names, wide, tall, scale)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" data-colours="importance" '
            f'font-family="sans-serif" font-size="11">{"".join(parts)}</svg>', note)


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
            f'</text><text x="{EDGE + 6}" y="14" fill="{INK}">{html.escape(names[1])}</text>']


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers of a range.

    Example:
        >>> _ticks(-1050.0, 1050.0)
        [-1000.0, -500.0, 0.0, 500.0, 1000.0]
    """
    step = _nice((high - low) / 5)
    first = np.ceil(low / step)
    return [float(k * step) for k in np.arange(first, np.floor(high / step) + 1)]


def _nice(value: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten.

    Example:
        >>> _nice(37.0), _nice(0.16)
        (50.0, 0.2)
    """
    power = 10.0 ** np.floor(np.log10(value))
    best = min((1.0, 2.0, 5.0, 10.0), key=lambda m: abs(np.log(m * power / value)))
    return float(f"{best * power:.3g}")
