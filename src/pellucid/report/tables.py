"""The parts of the report that are plain HTML: key numbers, metrics against the literature, provenance."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pellucid.report.content import PublishedCell, is_number
from pellucid.report.metric_names import VALUE_KEYS, better, readable
from pellucid.report.words import CLOUDS, Words

_KEY_NUMBERS = ("contributions.rank_correlation.value", "interpretation.roc_auc", "interpretation.roc_auc_per_cloud",
                "fidelity.deletion.auc")
_NO_METRICS = ("selected_epoch", "seconds", "stability.draws", "stability.jitter", "trust", "targets")
"""What ``metrics.json`` holds besides."""


@dataclass(frozen=True)
class MetricLine:
    """One metric: ours, the random baseline, and what was published."""

    path: str
    ours: float | None
    spread: float | None = None
    baseline: float | None = None
    published: list[PublishedCell] = field(default_factory=list)
    interval: tuple[float, float] | None = None
    name: str = field(default="", repr=False)
    about: str = field(default="", repr=False)
    better: str = field(default="", repr=False)


def number(value: float | None) -> str:
    """A number for people.

    Example:
        >>> number(0.98765), number(12), number(float("nan")), number(None)
        ('0.9877', '12', '–', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if float(value).is_integer() and not 0 < abs(value) < 2:
        return f"{int(value)}"
    return f"{value:.4f}" if 0.01 <= abs(value) < 10 else f"{value:.4g}"


def signed(value: float) -> str:
    """A difference for people, with a real minus sign."""
    return ("+" if value >= 0 else "−") + f"{abs(value):.4f}"


def for_reading(metrics: dict[str, Any]) -> dict[str, Any]:
    """Without what is no metric, and each random baseline and interval beside the number that it belongs to.

    A group's ``random`` that is a group itself gives baselines by name, to it and to the groups in it; its
    ``intervals`` give (low, high) by name. What is so already stays.

    Args:
        metrics: As in ``metrics.json``.

    Example:
        >>> for_reading({"odd": {"angle": 2.0, "random": {"angle": 45.0}}, "seconds": {"training": 9.0}})
        {'odd': {'angle': {'value': 2.0, 'low': None, 'high': None, 'random': 45.0}}}
    """
    predicted = metrics.get("prediction", {})
    several = len(predicted) > 1 and any("rmse" in own for own in predicted.values())

    def beside(group: dict[str, Any], path: str, given: dict[str, Any]) -> dict[str, Any]:
        own, intervals = group.get("random"), group.get("intervals")
        random = {**given, **own} if isinstance(own, dict) else given
        intervals = intervals if isinstance(intervals, dict) else {}
        made: dict[str, Any] = {}
        for name, value in group.items():
            if path + name in _NO_METRICS or (name in ("random", "intervals") and isinstance(value, dict)):
                continue
            if several and path + name == "stability.prediction_std":
                continue  # a mean over outputs whose units differ
            if isinstance(value, dict):
                made[name] = beside(value, f"{path}{name}.", random)
            elif isinstance(value, list | tuple):
                continue
            elif is_number(value) and (is_number(random.get(name)) or name in intervals):
                low, high = intervals.get(name, (None, None))
                made[name] = {"value": value, "low": low, "high": high, "random": random.get(name)}
            else:
                made[name] = value
        return made

    return beside(metrics, "", {})


def rows(metrics: dict[str, Any], published: list[PublishedCell], *, units: Mapping[str, str] | None = None,
         explained: str = "") -> list[MetricLine]:
    """Flattens nested metrics, with baselines and published numbers put beside them.

    Args:
        metrics: As in ``metrics.json``, or from :func:`for_reading`.
        published: Numbers to stand beside ours; of the families classification and regression, beside the first target.
        units: Of regressions, by target.
        explained: The target that fidelity is of; ``""`` for the first one.

    Example:
        >>> rows({"fidelity": {"deletion": {"auc": 0.2, "random": 0.5}}}, [])
        [MetricLine(path='fidelity.deletion.auc', ours=0.2, spread=None, baseline=0.5, published=[], interval=None)]
    """
    metrics = for_reading(metrics)
    predicted = metrics.get("prediction") or {}
    first = next(iter(predicted), "")
    asked = predicted.get(explained) or predicted.get(explained.rpartition("=")[0]) or predicted.get(first) or {}
    regression = "rmse" in asked
    cells: dict[str, list[PublishedCell]] = {}
    for cell in published:
        family, _, rest = cell.metric.partition(".")
        beside_first = first and family in ("classification", "regression") and family not in metrics
        cells.setdefault(f"prediction.{first}.{rest}" if beside_first else cell.metric, []).append(cell)
    out: list[MetricLine] = []

    def made(path: str, ours: float | None, spread: float | None, baseline: float | None,
             published: list[PublishedCell], interval: tuple[float, float] | None = None) -> MetricLine:
        name, about = readable(path, units=units, regression=regression)
        return MetricLine(path, ours, spread, baseline, published, interval, name, about, better(path, regression))

    def add(path: str, ours: float | None, spread: float | None, baseline: float | None,
            interval: tuple[float, float] | None = None) -> None:
        if baseline is None and path.split(".")[-1] in ("roc_auc", "roc_auc_per_cloud", "roc_auc_per_sample"):
            baseline = 0.5  # of any uninformed ranking, whatever the class balance
        out.append(made(path, ours, spread, baseline, cells.pop(path, []), interval))

    def walk(group: dict[str, Any], prefix: str) -> None:
        values = [key for key, value in group.items() if is_number(value) and key != "random"]
        for key, value in group.items():
            path = f"{prefix}{key}"
            if isinstance(value, dict):
                if is_number(value.get("mean")) and is_number(value.get("std")):
                    add(path, value["mean"], value["std"], value.get("random"))
                elif "low" in value and "high" in value:
                    known = is_number(value["low"]) and is_number(value["high"])
                    add(path, value["value"], None, value.get("random"),
                        (value["low"], value["high"]) if known else None)
                else:
                    walk(value, f"{path}.")
            elif not (values if key == "random" else key.endswith("_random") and key.removesuffix("_random") in values):
                baseline = group.get(f"{key}_random")
                if baseline is None and (key in VALUE_KEYS or len(values) == 1):
                    baseline = group.get("random")
                add(path, value, None, baseline if is_number(baseline) else None)

    walk(metrics, "")
    out += [made(path, None, None, None, left) for path, left in list(cells.items())]
    order = list(dict.fromkeys(row.path.split(".")[0] for row in out))
    return sorted(out, key=lambda row: order.index(row.path.split(".")[0]))


def key_numbers(table: list[MetricLine], words: Words = CLOUDS) -> str:
    """The cards in the header."""
    by_path = {row.path: row for row in table if row.ours is not None and math.isfinite(row.ours)}
    precisions = [path for path in by_path if re.search(r"precision_?(@|at_)", path)][:1]
    targets: dict[str, str] = {}  # the first that there is of each target: they are not averaged
    for metric in ("roc_auc", "rmse", "accuracy"):
        for path in by_path:
            if path.startswith("prediction.") and path.endswith(f".{metric}"):
                targets.setdefault(path.removesuffix(f".{metric}"), path)
    order = sorted(targets.values(), key=list(by_path).index)[:3]
    wanted = [*order, *_KEY_NUMBERS[:3], *precisions, *_KEY_NUMBERS[3:]]
    chosen = [by_path[path] for path in wanted if path in by_path][:6] or list(by_path.values())[:4]
    cards = []
    for row in chosen:
        below = []
        if row.published:
            below.append(f"published {_mean_std(row.published[0].mean, row.published[0].std)}")
        if row.baseline is not None:
            below.append(f"random {row.baseline:.3g}")
        cards.append(f'<div class="card" title="{html.escape(words.of(row.about))}">'
                     f'<div class="card-name">{html.escape(words.of(row.name))}{_arrow(row)}</div>'
                     f'<div class="card-value">{number(row.ours)}</div>'
                     f'<div class="card-below">{html.escape(" · ".join(below)) or "&nbsp;"}</div></div>')
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def metrics_table(table: list[MetricLine], words: Words = CLOUDS) -> str:
    """Ours, random and published, with bars and whiskers."""
    if not table:
        return ""
    any_published = any(row.published for row in table)
    any_baseline = any(row.baseline is not None for row in table)
    columns = 3 + any_published + any_baseline
    parts = ['<div class="scroll"><table class="metrics"><thead><tr><th>Metric</th><th class="num">Ours</th>',
             '<th class="num">Random</th>' if any_baseline else "",
             "<th>Published (mean ± std)</th>" if any_published else "",
             f"<th>{_legend(any_published, any_baseline)}</th>", "</tr></thead><tbody>"]
    group = None
    for row in table:
        head, _, rest = row.path.partition(".")
        if rest and head != group:
            title = head.replace("_", " ")
            parts.append(f'<tr class="group"><th colspan="{columns}" scope="rowgroup">'
                         f"{html.escape(title[:1].upper() + title[1:])}</th></tr>")
        group = head
        ours = number(row.ours) + (f' <span class="quiet">± {number(row.spread)}</span>' if row.spread else "")
        if row.interval:
            ours += f'<div class="quiet">{number(row.interval[0])} to {number(row.interval[1])}</div>'
        parts.append(f'<tr data-metric="{html.escape(row.path)}"><td>'
                     f"<div>{html.escape(words.of(row.name))}{_arrow(row)}</div>"
                     f'<div class="about">{html.escape(words.of(row.about)) or html.escape(row.path)}</div></td>'
                     f'<td class="num ours">{ours}</td>')
        if any_baseline:
            parts.append(f'<td class="num quiet">{number(row.baseline) if row.baseline is not None else ""}</td>')
        if any_published:
            parts.append(f"<td>{''.join(_cell(cell, row.ours) for cell in row.published)}</td>")
        parts.append(f'<td class="bar">{_bar(row)}</td></tr>')
    return "".join([*parts, "</tbody></table></div>"])


def _arrow(row: MetricLine) -> str:
    """Which way is better."""
    if not row.better:
        return ""
    return f' <span class="better" title="{row.better} is better">{"↑" if row.better == "higher" else "↓"}</span>'


def _mean_std(mean: float, std: float) -> str:
    return number(mean) + (f" ± {number(std)}" if math.isfinite(std) else "")


def _cell(cell: PublishedCell, ours: float | None) -> str:
    difference = ""
    if ours is not None and math.isfinite(ours):
        gap = ours - cell.mean
        sigmas = f" ({abs(gap) / cell.std:.1f} × its std)" if cell.std > 0 else ""
        difference = f"<div class='about'>ours is {signed(gap)}{sigmas}</div>"
    return (f'<div class="cell"><span class="published">{_mean_std(cell.mean, cell.std)}</span>'
            f'<div class="about">{html.escape(cell.source)}</div>{difference}</div>')


def _legend(published: bool, baseline: bool) -> str:
    items = ['<span class="key key-ours"></span>ours']
    if published:
        items.append('<span class="key key-published"></span>published ± std')
    if baseline:
        items.append('<span class="key key-random"></span>random')
    return f'<span class="legend">{" ".join(items)}</span>'


def _bar(row: MetricLine) -> str:
    """A bar from zero (so that its length is honest) with the published means and whiskers below it."""
    if row.ours is None and not row.published:
        return ""
    ends = [value for value in (row.ours, row.baseline, *(c.mean + (c.std if c.std > 0 else 0) for c in row.published))
            if value is not None and math.isfinite(value)]
    lows = [value for value in (row.ours, row.baseline, *(c.mean for c in row.published))
            if value is not None and math.isfinite(value)]
    unscaled = max(ends, default=0) > 1 or row.path.rpartition(".")[2] in ("mae", "rmse", "rmse_one_sided", "loss")
    if not lows or (not row.published and row.baseline is None and unscaled):
        return ""  # a count, a loss or an error alone has no scale to be drawn on
    low, high = min(0.0, *lows), (1.0 if max(ends) <= 1.0 else max(ends) * 1.05)
    width, margin = 280.0, 6.0
    height = 20 + 13 * len(row.published)

    def x(value: float) -> float:
        return margin + (width - 2 * margin) * min(max((value - low) / (high - low), 0.0), 1.0)

    parts = [f'<line class="axis" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{height - 1}" y2="{height - 1}"/>']
    if row.ours is not None and math.isfinite(row.ours):
        left, right = sorted((x(0.0), x(row.ours)))
        parts.append(f'<rect class="bar-ours" x="{left:.1f}" y="3" width="{max(right - left, 1):.1f}" height="11" '
                     f'rx="2"><title>ours {number(row.ours)}</title></rect>')
        whisker = row.interval
        if row.spread and math.isfinite(row.spread):
            whisker = row.ours - row.spread, row.ours + row.spread
        if whisker:
            a, b = map(x, whisker)
            parts.append(f'<path class="whisker-ours" d="M{a:.1f} 8.5H{b:.1f}M{a:.1f} 5v7M{b:.1f} 5v7"/>')
    for index, cell in enumerate(row.published):
        y, middle = 22.5 + 13 * index, x(cell.mean)
        std = cell.std if math.isfinite(cell.std) else 0.0
        a, b = x(cell.mean - std), x(cell.mean + std)
        parts.append(f'<g class="bar-published"><title>published {_mean_std(cell.mean, cell.std)}, '
                     f'{html.escape(cell.source)}</title>'
                     f'<path d="M{a:.1f} {y}H{b:.1f}M{a:.1f} {y - 4}v8M{b:.1f} {y - 4}v8"/>'
                     f'<circle cx="{middle:.1f}" cy="{y}" r="2.6"/></g>')
    if row.baseline is not None and math.isfinite(row.baseline):
        parts.append(f'<line class="bar-random" x1="{x(row.baseline):.1f}" x2="{x(row.baseline):.1f}" y1="0" '
                     f'y2="{height}"><title>random {number(row.baseline)}</title></line>')
    label = f"ours {number(row.ours)}, axis from {number(low)} to {number(high)}"
    return (f'<svg role="img" aria-label="{label}" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
            f'height="{height}">{"".join(parts)}</svg><div class="ends"><span>{low:.3g}</span>'
            f"<span>{high:.3g}</span></div>")


def provenance_table(provenance: dict[str, Any]) -> str:
    """Two columns, nested settings indented under their heading."""
    parts: list[str] = []

    def walk(group: dict[str, Any], depth: int) -> None:
        for key, value in group.items():
            if isinstance(value, list | tuple) and value and all(isinstance(entry, dict) for entry in value):
                value = dict(enumerate(value, 1))
            name = f'<th scope="row" style="padding-left:{12 + 18 * depth}px">{html.escape(str(key))}</th>'
            if isinstance(value, dict) and value:
                parts.append(f'<tr class="sub">{name}<td></td></tr>')
                walk(value, depth + 1)
            else:
                text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
                parts.append(f"<tr>{name}<td>{html.escape(text)}</td></tr>")

    walk(provenance, 0)
    table = f'<div class="scroll"><table class="provenance"><tbody>{"".join(parts)}</tbody></table></div>'
    return table if parts else ""


def trust_line(trust: Mapping[str, Any], words: Words = CLOUDS) -> str:
    """How far the page can be trusted, and what was considered behind a fold.

    Args:
        trust: As ``trust`` of :class:`~pellucid.report.content.ReportContent`.
        words: What the points and samples of the sentences are called.

    Example:
        >>> 'trust-no' in trust_line({"level": "no", "sentence": "Do not read it as an answer: it is noise."})
        True
    """
    if not trust:
        return ""

    def named(text: str) -> str:
        return html.escape(re.sub(r"\b(point|sample)s\b", lambda match: getattr(words, match[0]), text))

    head, _, why = trust["sentence"].partition(":")
    reasons = "".join(f"<li>{named(reason)}</li>" for reason in trust.get("reasons", ()))
    folded = f"<details><summary>What was looked at</summary><ul>{reasons}</ul></details>" if reasons else ""
    return (f'<div id="trust" class="trust trust-{trust["level"]}" role="note"><p><span class="trust-asks">Can this be '
            f'trusted?</span> <b>{named(head)}</b>{":" if why else ""}{named(why)}</p>{folded}</div>')


def notes_list(notes: list[str]) -> str:
    """Warnings and remarks."""
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if notes else ""
