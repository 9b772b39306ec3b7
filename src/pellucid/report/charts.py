"""Charts of a table of results as SVG: ours with every seed, against what was published."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

from pellucid.benchmarks.results import RANDOM, Cell, ResultTable

_WIDTH, _LEFT, _RIGHT, _MARK = 480.0, 144.0, 440.0, 461.0
_TOP, _ROW, _LETTERS = 18.0, 29.0, 20
_ZOOM = 0.8  # where everything is above it, bars from zero would all look the same


@dataclass(frozen=True)
class Scale:
    """The axis that the panels of one metric share.

    Attributes:
        low: Left end.
        high: Right end.
        step: Between ticks.
        bars: Whether it begins at zero, so that the length of a bar is honest.
    """

    low: float
    high: float
    step: float
    bars: bool

    def x(self, value: float) -> float:
        """Where a value is drawn; beyond the axis, its end."""
        share = (value - self.low) / (self.high - self.low)
        return _LEFT + (_RIGHT - _LEFT) * min(max(share, 0.0), 1.0)

    def holds(self, value: float) -> bool:
        """Whether a value is on the axis."""
        return self.low <= value <= self.high


def scale_of(table: ResultTable, dataset: str, metric: str) -> Scale:
    """An axis for all backbones: from zero, or from close below the lowest value where all are high.

    Args:
        table: Results.
        dataset: A dataset of the table.
        metric: A metric of that dataset.
    """
    cells = [c for c in table.cells if (c.dataset, c.metric) == (dataset, metric) and c.method != RANDOM]
    values = [v for c in cells for v in (*c.values, *((c.published.mean,) if c.published else ()))]
    ends = [end for c in cells for mean, std in _pairs(c) if not math.isnan(std) for end in (mean - std, mean + std)]
    if values and min(values) >= _ZOOM and max(values) <= 1:
        low, high = max(min(values + ends), 0.0), min(max(values + ends), 1.0)
        step = round_step(high - low)
        return Scale(math.floor(low / step - 0.25) * step, min(math.ceil(high / step) * step, 1.0), step, bars=False)
    high = max([1.0, *values])
    step = 0.25 if high == 1 else round_step(high)
    return Scale(min(0.0, *values, 0.0), math.ceil(high / step) * step, step, bars=True)


def round_step(span: float) -> float:
    """About four ticks at round numbers."""
    rough = max(span, 1e-3) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough)


def _pairs(cell: Cell) -> list[tuple[float, float]]:
    return [(cell.mean, cell.std), *([(cell.published.mean, cell.published.std)] if cell.published else [])]


def legend(table: ResultTable, dataset: str) -> str:
    """What the signs of the panels mean."""
    scales = [scale_of(table, dataset, metric) for metric in table.metrics_of(dataset)]
    bar = "bar" if all(scale.bars for scale in scales) else "bar or point"
    items = [("bar", f"ours ({bar}: mean, whisker: ± std)"), ("seed", "one seed"),
             ("published", "published mean ± std"), ("band", "within one published std")]
    if any(cell.dataset == dataset and cell.method == RANDOM for cell in table.cells):
        items.append(("random", "random"))
    keys = "".join(f'<span><span class="key key-{key}"></span>{text}</span> ' for key, text in items)
    return f'<p class="legend">{keys}<span>≈ within</span> <span>↑ above</span> <span>↓ below</span></p>'


def panel(table: ResultTable, dataset: str, backbone: str, metric: str, scale: Scale) -> str:
    """One backbone's methods, one below the other.

    Args:
        table: Results.
        dataset: A dataset of the table.
        backbone: A backbone of the table.
        metric: A metric of that dataset.
        scale: The axis.
    """
    methods = [m for m in table.rows_of(dataset, backbone) if m != RANDOM]
    bottom = _TOP + _ROW * len(methods) + 4
    parts = []
    for index in range(round((scale.high - scale.low) / scale.step) + 1):
        value = scale.low + index * scale.step
        x = scale.x(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>'
                     f'<text class="small middle" x="{x:.1f}" y="{bottom + 14}">{float(f"{value:.6g}"):g}</text>')
    for index, method in enumerate(methods):
        y = _TOP + _ROW * index + 3
        if index:
            parts.append(f'<line class="row" x1="4" x2="{_WIDTH - 4}" y1="{y - 1}" y2="{y - 1}"/>')
        cell = table.cell(dataset, backbone, method, metric)
        status = _status(cell)
        name = table.label(method)
        short = name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
        parts.append(f'<text class="end" x="{_LEFT - 8}" y="{y + (12 if status else 17)}">{html.escape(short)}'
                     f"<title>{html.escape(name)}</title></text>")
        if status:
            parts.append(f'<text class="small end" x="{_LEFT - 8}" y="{y + 24}">{status}</text>')
        if cell:
            parts.append(_drawn(cell, y, scale))
    parts.append(_random(table.cell(dataset, backbone, RANDOM, metric), bottom, scale))
    name = f"{table.label(metric)} with {table.label(backbone)} on {table.label(dataset)}; numbers in the table below"
    return (f'<div class="panel"><h4>{html.escape(table.label(backbone))}</h4>'
            f'<svg role="img" aria-label="{html.escape(name)}" viewBox="0 0 {_WIDTH:.0f} {bottom + 20:.0f}">'
            f"{''.join(parts)}</svg></div>")


def _status(cell: Cell | None) -> str:
    """What is missing, in few words."""
    if cell is None:
        return "not run"
    if cell.failed:
        return f"{len(cell.values)} of {cell.planned}, {len(cell.failed)} failed"
    return f"{len(cell.values)} of {cell.planned} seeds" if len(cell.values) < cell.planned else ""


def _drawn(cell: Cell, y: float, scale: Scale) -> str:
    parts, middle = [], y + 8.5
    published = cell.published
    if published and not math.isnan(published.std):
        a, b = scale.x(published.mean - published.std), scale.x(published.mean + published.std)
        parts.append(f'<rect class="band" x="{a:.1f}" y="{y + 1}" width="{max(b - a, 1):.1f}" height="{_ROW - 4}"/>')
    if cell.values:
        x = scale.x(cell.mean)
        parts.append(f"<g><title>{html.escape(_spoken('ours', cell.mean, cell.std))}; seeds "
                     f"{', '.join(f'{s}: {v:.4f}' for s, v in zip(cell.seeds, cell.values, strict=True))}</title>")
        if scale.bars:
            left, right = sorted((scale.x(0.0), x))
            parts.append(f'<rect class="length" x="{left:.1f}" y="{y + 3}" width="{right - left:.1f}" height="11"/>'
                         f'<path class="tip" d="M{x:.1f} {y + 3}v11"/>')
        parts.append(_whisker("whisker", cell.mean, cell.std, middle, scale))
        if not scale.bars:
            parts.append(f'<circle class="mean" cx="{x:.1f}" cy="{middle}" r="4.5"/>')
        for index, value in enumerate(cell.values):  # staggered, so that equal seeds can be counted
            offset = (index - (len(cell.values) - 1) / 2) * min(2.2, 9 / len(cell.values))
            parts.append(f'<circle class="seed" cx="{scale.x(value):.1f}" cy="{middle + offset:.1f}" r="2.1"/>')
        parts.append("</g>")
    if published:
        x, line = scale.x(published.mean), y + 20.5
        parts.append(f"<g><title>{html.escape(_spoken('published', published.mean, published.std))}, "
                     f"{html.escape(published.source)}</title>"
                     f"{_whisker('published', published.mean, published.std, line, scale)}"
                     f'<path class="diamond" d="M{x - 3.6:.1f} {line}l3.6 -3.6l3.6 3.6l-3.6 3.6z"/></g>')
    return "".join([*parts, f'<text class="mark" x="{_MARK}" y="{y + 17}">{cell.mark}</text>' if cell.mark else ""])


def _spoken(who: str, mean: float, std: float) -> str:
    return f"{who} {mean:.4f}" + ("" if math.isnan(std) else f" ± {std:.4f}")


def _whisker(kind: str, mean: float, std: float, y: float, scale: Scale) -> str:
    """A line with caps; an end beyond the axis has no cap."""
    if math.isnan(std):
        return ""
    caps = "".join(f"M{scale.x(end):.1f} {y - 3.5}v7" for end in (mean - std, mean + std) if scale.holds(end))
    return f'<path class="{kind}" d="M{scale.x(mean - std):.1f} {y}H{scale.x(mean + std):.1f}{caps}"/>'


def _random(cell: Cell | None, bottom: float, scale: Scale) -> str:
    """The line of the uninformed ranking: ours where it was measured, else the published one."""
    if cell is None or not (cell.values or cell.published):
        return ""
    value = cell.mean if cell.values or cell.published is None else cell.published.mean
    if not scale.holds(value):
        return f'<text class="small" x="{_LEFT}" y="12">random {value:.2f} is left of the axis</text>'
    x, half = scale.x(value), 32  # of the text's width
    return (f'<line class="random" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 2}" y2="{bottom}"/>'
            f'<text class="small middle" x="{min(max(x, _LEFT + half), _RIGHT - half):.1f}" y="12">random {value:.2f}'
            "</text>")
