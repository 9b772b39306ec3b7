"""The parts of the report that are plain HTML: key numbers, metrics against the literature, provenance."""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass, field
from typing import Any

from pellucid.report.content import MOLECULES, PublishedCell, Words, is_number

ABOUT: dict[str, tuple[str, str]] = {
    "roc_auc": ("ROC AUC", "chance that a random positive sample is ranked above a random negative one"),
    "average_precision": ("Average precision", "area under the precision-recall curve"),
    "accuracy": ("Accuracy", "share of right answers"),
    "balanced_accuracy": ("Balanced accuracy", "mean share of right answers over the classes"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "brier": ("Brier score", "mean squared error of the probability; lower is better"),
    "ece": ("Calibration error", "gap between stated and observed probability; lower is better"),
    "log_loss": ("Log loss", "negative log-likelihood of the right answers; lower is better"),
    "loss": ("Loss", "what training minimises; lower is better"),
    "mae": ("Mean absolute error", "in the unit of the target; lower is better"),
    "rmse": ("Root mean squared error", "in the unit of the target; lower is better"),
    "interpretation.roc_auc": (
        "Interpretation ROC AUC", "chance that a truly important atom is ranked above an unimportant one, all samples "
        "pooled"),
    "interpretation.roc_auc_per_cloud": (
        "Interpretation ROC AUC, per sample", "the same within each sample, then averaged: no comparison across "
        "samples"),
    "interpretation.average_precision": (
        "Interpretation average precision", "area under the precision-recall curve of finding the important atoms"),
    "classification.roc_auc": (
        "Classification ROC AUC", "chance that a random positive sample is scored above a random negative one"),
    "deletion.auc": (
        "Deletion", "area under the prediction as the most important atoms are taken away first; lower is better"),
    "insertion.auc": ("Insertion", "area under the prediction as the most important atoms are put in first"),
    "directions.angle": (
        "Angle to the velocity (°)", "between the long axis of the noise (or the gradient) and the true velocity in "
        "x-y: median over all important atoms"),
    "directions.angle_mean": ("Angle to the velocity, mean (°)", "the same, averaged"),
    "directions.angle_assisted": (
        "Angle to the velocity, assisted mean (°)", "over important atoms that are ranked high: a choice that knows "
        "the ground truth, as the LRI paper makes one"),
    "directions.eigen_ratio": (
        "Eigen-ratio", "short to long axis of the noise in x-y, median over all important atoms; 1 is round"),
    "directions.radial.angle": (
        "Angle of the radius (°)", "what the line from the beam to the atom gives without any model: median"),
    "directions.radial.angle_mean": ("Angle of the radius, mean (°)", "the same, averaged"),
    "sparsity.gini": ("Gini", "0: all atoms equally important, 1: one atom alone"),
    "rank_correlation": (
        "Rank correlation", "agreement of the importance when the atoms are moved a little; 1 is the same order"),
    "prediction_std": ("Spread of the prediction", "standard deviation over small moves and draws of the noise"),
    "plus": ("Fidelity+", "how far the prediction falls without the most important fifth of the atoms"),
    "minus": (
        "Fidelity−", "how far the prediction falls with only the most important fifth of the atoms; lower is better"),
    "plus_area": ("Fidelity+, area", "the same over all fractions"),
    "minus_area": ("Fidelity−, area", "the same over all fractions; lower is better"),
    "characterization": ("Characterization", "harmonic mean of fidelity+ and 1 − fidelity−"),
    "robust_plus": (
        "Robust fidelity+", "a tenth of the important atoms taken away at random, so that samples stay like real ones"),
    "robust_minus": (
        "Robust fidelity−", "a tenth of the unimportant atoms taken away at random; lower is better"),
    "randomisation": (
        "Randomised model", "rank correlation with the importance from a model with shuffled weights; near random is "
        "right: the explanation hangs on what was learned"),
    "comprehensiveness": ("Comprehensiveness", "how far the prediction falls without the important atoms"),
    "sufficiency": (
        "Sufficiency", "how far the prediction falls with only the important atoms; lower is better"),
}
_KEY_NUMBERS = ("classification.roc_auc", "interpretation.roc_auc", "interpretation.roc_auc_per_cloud",
                "fidelity.deletion.auc", "classification.accuracy")
_VALUE_KEYS = ("auc", "value", "mean")


@dataclass(frozen=True)
class Row:
    """One metric: ours, the random baseline, and what was published."""

    path: str
    ours: float | None
    spread: float | None = None
    baseline: float | None = None
    published: list[PublishedCell] = field(default_factory=list)
    interval: tuple[float, float] | None = None


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


def readable(path: str) -> tuple[str, str]:
    """Readable name and one-line explanation of a metric.

    Example:
        >>> readable("interpretation.precision@5")[0]
        'Precision @ 5'
        >>> readable("test.odd_number")
        ('Odd number', '')
    """
    parts = path.split(".")
    for start in range(len(parts)):  # the most specific entry wins
        tail = ".".join(parts[start:])
        if tail in ABOUT:
            return ABOUT[tail]
    at_k = re.fullmatch(r"(precision|recall|hit|jaccard)_?(?:@|at_)(\w+)", parts[-1])
    if at_k:
        kind, k = at_k.groups()
        about = {"precision": f"share of the {k} most important atoms of a sample that truly are",
                 "recall": f"share of the truly important atoms found among the {k} most important",
                 "hit": f"share of samples with a truly important atom among the top {k}",
                 "jaccard": f"overlap (Jaccard) of the {k} most important atoms when the atoms are moved a little",
                 }[kind]
        return f"{kind.capitalize()} @ {k}", about
    words = parts[-2:] if parts[-1] in _VALUE_KEYS and len(parts) > 1 else parts[-1:]
    name = ", ".join(word.replace("_", " ").strip() for word in words)
    name = re.sub(r"\b(auc|roc|mae|rmse|ece)\b", lambda match: match.group().upper(), name)
    return (name[:1].upper() + name[1:]) or path, ""


def rows(metrics: dict[str, Any], published: list[PublishedCell]) -> list[Row]:
    """Flattens nested metrics, with baselines and published numbers put beside them.

    Example:
        >>> rows({"fidelity": {"deletion": {"auc": 0.2, "random": 0.5}}}, [])
        [Row(path='fidelity.deletion.auc', ours=0.2, spread=None, baseline=0.5, published=[], interval=None)]
    """
    cells: dict[str, list[PublishedCell]] = {}
    for cell in published:
        cells.setdefault(cell.metric, []).append(cell)
    out: list[Row] = []

    def add(path: str, ours: float | None, spread: float | None, baseline: float | None,
            interval: tuple[float, float] | None = None) -> None:
        if baseline is None and path.split(".")[-1] in ("roc_auc", "roc_auc_per_cloud", "roc_auc_per_sample"):
            baseline = 0.5  # of any uninformed ranking, whatever the class balance
        out.append(Row(path, ours, spread, baseline, cells.pop(path, []), interval))

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
                if baseline is None and (key in _VALUE_KEYS or len(values) == 1):
                    baseline = group.get("random")
                add(path, value, None, baseline if is_number(baseline) else None)

    walk(metrics, "")
    out += [Row(path, None, published=left) for path, left in list(cells.items())]
    order = list(dict.fromkeys(row.path.split(".")[0] for row in out))
    return sorted(out, key=lambda row: order.index(row.path.split(".")[0]))


def key_numbers(table: list[Row], words: Words = MOLECULES) -> str:
    """The cards in the header."""
    by_path = {row.path: row for row in table if row.ours is not None and math.isfinite(row.ours)}
    precisions = [path for path in by_path if re.search(r"precision_?(@|at_)", path)][:1]
    wanted = [*_KEY_NUMBERS[:3], *precisions, *_KEY_NUMBERS[3:]]
    chosen = [by_path[path] for path in wanted if path in by_path][:5] or list(by_path.values())[:4]
    cards = []
    for row in chosen:
        name, about = readable(row.path)
        below = []
        if row.published:
            below.append(f"published {_mean_std(row.published[0].mean, row.published[0].std)}")
        if row.baseline is not None:
            below.append(f"random {row.baseline:.3g}")
        cards.append(f'<div class="card" title="{html.escape(words.of(about))}">'
                     f'<div class="card-name">{html.escape(name)}</div>'
                     f'<div class="card-value">{number(row.ours)}</div>'
                     f'<div class="card-below">{html.escape(" · ".join(below)) or "&nbsp;"}</div></div>')
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def metrics_table(table: list[Row], words: Words = MOLECULES) -> str:
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
        name, about = readable(row.path)
        ours = number(row.ours) + (f' <span class="quiet">± {number(row.spread)}</span>' if row.spread else "")
        if row.interval:
            ours += f'<div class="quiet">{number(row.interval[0])} to {number(row.interval[1])}</div>'
        parts.append(f'<tr data-metric="{html.escape(row.path)}"><td><div>{html.escape(name)}</div>'
                     f'<div class="about">{html.escape(words.of(about)) or html.escape(row.path)}</div></td>'
                     f'<td class="num ours">{ours}</td>')
        if any_baseline:
            parts.append(f'<td class="num quiet">{number(row.baseline) if row.baseline is not None else ""}</td>')
        if any_published:
            parts.append(f"<td>{''.join(_cell(cell, row.ours) for cell in row.published)}</td>")
        parts.append(f'<td class="bar">{_bar(row)}</td></tr>')
    return "".join([*parts, "</tbody></table></div>"])


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


def _bar(row: Row) -> str:
    """A bar from zero (so that its length is honest) with the published means and whiskers below it."""
    if row.ours is None and not row.published:
        return ""
    ends = [value for value in (row.ours, row.baseline, *(c.mean + (c.std if c.std > 0 else 0) for c in row.published))
            if value is not None and math.isfinite(value)]
    lows = [value for value in (row.ours, row.baseline, *(c.mean for c in row.published))
            if value is not None and math.isfinite(value)]
    if not lows or (not row.published and row.baseline is None and max(ends) > 1):
        return ""  # a count or a loss alone has no scale to be drawn on
    low, high = min(0.0, *lows), (1.0 if max(ends) <= 1.0 and min(lows) >= 0 else max(*ends, 1e-9) * 1.05)
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


def notes_list(notes: list[str]) -> str:
    """Warnings and remarks."""
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if notes else ""
