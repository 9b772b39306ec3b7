"""Line charts, dot charts, histograms and grids of images as SVG, for the studies' benchmarks."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

from pellucid.benchmarks.margin.curves import Point
from pellucid.report.charts import round_step

WIDE, HIGH, LEFT, BOTTOM, TOP = 620, 400, 64, 56, 26
OURS = ("#6d2a91", "#c22275", "#ef7f45", "#e0a458", "#8c6bb1")
OTHERS = ("#0f8f83", "#0b63ce", "#3a3f4b", "#7a9a01", "#00a0c6", "#9c6644", "#5b8c5a", "#4f6d8f")
QUIET = {"random": "#8a93a2", "oracle": "#b9bec7"}
Line = Mapping[float, Point]


def _is_ours(method: str) -> bool:
    return method.startswith("MARGIN")


def colours(methods: list[str]) -> dict[str, str]:
    """A colour for each method: warm ones for ours, cool ones for others, grey for the ends of the scale.

    Example:
        >>> colours(["MARGIN", "random"])
        {'MARGIN': '#6d2a91', 'random': '#8a93a2'}
    """
    ours, others = 0, 0
    out = {}
    for method in methods:
        if method in QUIET:
            out[method] = QUIET[method]
        elif _is_ours(method):
            out[method] = OURS[ours % len(OURS)]
            ours += 1
        else:
            out[method] = OTHERS[others % len(OTHERS)]
            others += 1
    return out


def chart(lines: Mapping[str, Line], x_label: str, y_label: str, title: str = "") -> str:
    """Curves over x with 95 % bands; dots with whiskers where there is but one x.

    Args:
        lines: Method -> x -> mean.
        x_label: With its unit.
        y_label: The metric.
        title: Above it.
    """
    xs = sorted({x for line in lines.values() for x in line})
    return _curves(lines, xs, x_label, y_label, title) if len(xs) > 1 else _dots(lines, y_label, title)


def _axis(values: list[float]) -> tuple[float, float, float]:
    """Ends at round numbers, and the step between ticks; shares end at 0 and 1."""
    low, high = min(values), max(values)
    margin = 0.03 * (high - low) or 0.05
    step = round_step((high - low + 2 * margin) / 1.5)
    ends = math.floor((low - margin) / step) * step, math.ceil((high + margin) / step) * step
    if low >= 0 and high <= 1:
        ends = max(ends[0], 0.0), min(ends[1], 1.0)
    return *ends, step


def _reached(lines: Mapping[str, Line]) -> list[float]:
    """Ends of all intervals; those of shares within 0 and 1."""
    points = [p for line in lines.values() for p in line.values()]
    share = all(0 <= p.mean <= 1 for p in points)
    return [min(max(v, 0.0), 1.0) if share else v for p in points for v in _edges(p)]


def _ticks(low: float, high: float, step: float) -> list[float]:
    return [float(f"{low + i * step:.6g}") for i in range(round((high - low) / step) + 1)]


def _edges(p: Point) -> tuple[float, float]:
    half = 0.0 if math.isnan(p.half) else p.half
    return p.mean - half, p.mean + half


def _curves(lines: Mapping[str, Line], xs: list[float], x_label: str, y_label: str, title: str) -> str:
    told = {m: line for m, line in lines.items() if m != "random"} or lines  # far below, it would squeeze the others
    low, high, step = _axis(_reached(told))
    log = xs[0] > 0 and xs[-1] / xs[0] > 30

    def across(x: float) -> float:
        share = math.log(x / xs[0]) / math.log(xs[-1] / xs[0]) if log else (x - xs[0]) / (xs[-1] - xs[0])
        return LEFT + (WIDE - LEFT - 20) * share

    def up(y: float) -> float:
        return HIGH - BOTTOM - (HIGH - BOTTOM - TOP) * (min(max(y, low), high) - low) / (high - low)

    def label(method: str) -> str:
        outside = [p.mean for p in lines[method].values() if not low <= p.mean <= high]
        return method + (" (partly off the axis)" if outside else "")

    parts = [f'<path d="M{LEFT} {up(y):.1f}H{WIDE - 20}" stroke="#e2e5ea"/><text x="{LEFT - 8}" y="{up(y) + 4:.1f}" '
             f'text-anchor="end">{y:g}</text>' for y in _ticks(low, high, step)]
    last = -math.inf
    for x in xs if log or len(xs) <= 12 else _ticks(*_axis(xs)):
        if xs[0] <= x <= xs[-1] and across(x) - last > 34:
            last = across(x)
            parts.append(f'<path d="M{last:.1f} {HIGH - BOTTOM}v5" stroke="#626c7c"/><text x="{last:.1f}" '
                         f'y="{HIGH - BOTTOM + 19}" text-anchor="middle">{x:g}</text>')
    paint = colours(list(lines))
    for method in sorted(lines, key=_is_ours):  # ours above the others
        line = [(x, p) for x, p in sorted(lines[method].items()) if low <= p.mean <= high]
        if not line:
            continue
        edge = [(across(x), up(_edges(p)[0])) for x, p in line] + [(across(x), up(_edges(p)[1])) for x, p in line[::-1]]
        if any(p.half > 0 for _, p in line):
            parts.append(f'<path d="M{_path(edge)}Z" fill="{paint[method]}" opacity=".12"/>')
        dash = ' stroke-dasharray="5 4"' if method in QUIET else ""
        width = 2.4 if _is_ours(method) else 1.6
        middle = _path([(across(x), up(p.mean)) for x, p in line])
        parts.append(f'<path d="M{middle}" fill="none" stroke="{paint[method]}" stroke-width="{width}"{dash}>'
                     f"<title>{html.escape(method)}</title></path>")
    columns = 2 if max(len(label(method)) for method in lines) <= 34 else 1
    rows = math.ceil(len(lines) / columns)
    for i, method in enumerate(lines):
        x, y = LEFT + (i % columns) * (WIDE - LEFT) / 2, HIGH + 8 + 18 * (i // columns)
        parts.append(f'<path d="M{x} {y}h22" stroke="{paint[method]}" stroke-width="3"/>'
                     f'<text x="{x + 28}" y="{y + 4}">{html.escape(label(method))}</text>')
    parts += [f'<text x="{WIDE - 20}" y="{HIGH - 16}" text-anchor="end">{html.escape(x_label)}</text>',
              f'<text x="{LEFT}" y="15">{html.escape(y_label)}{_tail(title)}</text>']
    return _svg(WIDE, HIGH + 12 + 18 * rows, parts)


def _dots(lines: Mapping[str, Line], y_label: str, title: str) -> str:
    low, high, step = _axis(_reached(lines))
    left = min(30 + 7 * max(map(len, lines)), 340)
    bottom = TOP + 26 * len(lines)

    def across(value: float) -> float:
        return left + (WIDE - left - 60) * (value - low) / (high - low)

    parts = [f'<path d="M{across(v):.1f} {TOP}V{bottom}" stroke="#e2e5ea"/><text x="{across(v):.1f}" y="{bottom + 18}" '
             f'text-anchor="middle">{v:g}</text>' for v in _ticks(low, high, step)]
    paint = colours(list(lines))
    for i, (method, line) in enumerate(lines.items()):
        y, p = TOP + 26 * i + 13, next(iter(line.values()))
        a, b = _edges(p)
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{html.escape(method)}</text>'
                     f'<path d="M{across(a):.1f} {y}H{across(b):.1f}" stroke="{paint[method]}" stroke-width="2"/>'
                     f'<circle cx="{across(p.mean):.1f}" cy="{y}" r="5" fill="{paint[method]}"/>'
                     f'<text x="{WIDE - 8}" y="{y + 4}" text-anchor="end">{p.mean:.3f}</text>')
    parts.append(f'<text x="10" y="15">{html.escape(y_label)}{_tail(title)}</text>')
    return _svg(WIDE, bottom + 30, parts)


def picture(content: Mapping[str, Any]) -> str:
    """A picture of a benchmark; see :class:`pellucid.benchmarks.margin.Measured`."""
    return _grid(content) if content["kind"] == "grid" else _histogram(content)


def _grid(content: Mapping[str, Any]) -> str:
    rows, columns = content.get("rows") or [""] * len(content["images"]), content.get("columns") or []
    size = content.get("size", 96)
    left, top = (20 + 7 * max(map(len, rows)) if any(rows) else 8), (46 if columns else 28)
    wide = left + (size + 6) * max(len(row) for row in content["images"]) + 4
    parts = [f'<text x="8" y="17">{html.escape(content["title"])}</text>']
    parts += [f'<text x="{left + (size + 6) * j + size / 2}" y="38" text-anchor="middle">{html.escape(name)}</text>'
              for j, name in enumerate(columns)]
    for i, (name, row) in enumerate(zip(rows, content["images"], strict=True)):
        y = top + (size + 6) * i
        parts.append(f'<text x="8" y="{y + size / 2}">{html.escape(name)}</text>')
        parts += [f'<image x="{left + (size + 6) * j}" y="{y}" width="{size}" height="{size}" '
                  f'href="data:image/png;base64,{image}"/>' for j, image in enumerate(row) if image]
    return _svg(wide, top + (size + 6) * len(rows) + 4, parts)


def _histogram(content: Mapping[str, Any]) -> str:
    edges = content["edges"]
    shares = {name: [n / max(sum(counts), 1) for n in counts] for name, counts in content["counts"].items()}
    high = max(max(share) for share in shares.values()) or 1.0
    wide, tall = max(420, 20 + 8 * len(content["title"])), 260

    def across(x: float) -> float:
        return 16 + (wide - 32) * float((x - edges[0]) / ((edges[-1] - edges[0]) or 1))

    paint = dict(zip(shares, ("#0f8f83", "#c22275", *OTHERS), strict=False))
    parts = [f'<text x="8" y="16">{html.escape(content["title"])}</text>']
    for i, (name, share) in enumerate(shares.items()):
        corners = [(across(edges[0]), float(tall - 40))]
        for j, value in enumerate(share):
            y = tall - 40 - (tall - 90) * value / high
            corners += [(across(edges[j]), y), (across(edges[j + 1]), y)]
        corners.append((across(edges[-1]), float(tall - 40)))
        parts.append(f'<path d="M{_path(corners)}Z" fill="{paint[name]}" fill-opacity=".3" stroke="{paint[name]}"/>'
                     f'<text x="{16 + i * 150}" y="36" fill="{paint[name]}">{html.escape(name)}</text>')
    low, top, step = _axis([edges[0], edges[-1]])
    parts += [f'<text x="{across(v):.1f}" y="{tall - 22}" text-anchor="middle">{v:g}</text>'
              for v in _ticks(low, top, step) if edges[0] <= v <= edges[-1]]
    parts.append(f'<text x="{wide - 16}" y="{tall - 5}" text-anchor="end">{html.escape(content["x"])}</text>')
    return _svg(wide, tall, parts)


def _tail(title: str) -> str:
    return f" — {html.escape(title)}" if title else ""


def _path(corners: list[tuple[float, float]]) -> str:
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)


def _svg(wide: float, high: float, parts: list[str]) -> str:
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high:.0f}" font-family="sans-serif" '
            f'font-size="13" fill="#1a2230"><rect width="{wide:.0f}" height="{high:.0f}" fill="#fff"/>{"".join(parts)}'
            "</svg>\n")
