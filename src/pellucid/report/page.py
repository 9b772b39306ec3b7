"""Writes the report: one HTML file that needs nothing but a browser, online or not."""

from __future__ import annotations

import html
import json
import math
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pellucid.errors import PellucidError
from pellucid.files import write_text
from pellucid.report.colours import COLOUR_MAP, DIVERGING_MAP, FALSE_COLOUR, MARK_COLOUR, NO_VALUE, TRUE_COLOUR
from pellucid.report.columns import described
from pellucid.report.content import CLOUDS, Answer, ReportContent, Sample, Words, split_unit, unit_of
from pellucid.report.tables import key_numbers, metrics_table, notes_list, provenance_table, rows, trust_line
from pellucid.report.words import whole_look

_CODE = ("mesh.js", "common.js", "curves.js", "samples.js", "grid.js", "drawings.js", "scene.js", "points.js",
         "page.js")
_VALUES, _TRUTHS, _OTHER, _BY = "=value", "=truth", "=of ", "=by "
"""Columns that a sample does not bring as columns; no name of a target has an equals sign before all else."""


def write_report(path: Path, content: ReportContent) -> Path:
    """Writes a self-contained HTML report, whole or not at all.

    The page carries its data, its style, its code and plotly.js, and forbids itself every connection.

    Args:
        path: Where to write, ending in ``.html``.
        content: What to show.

    Returns:
        ``path``.

    Raises:
        PellucidError: if the path does not end in ``.html``, or cannot be written.

    Example:
        >>> import tempfile
        >>> sample = Sample("methanol", "angstrom", [[0, 0, 0], [1.4, 0, 0]], ["C", "O"], [0.1, 0.9], 0.8)
        >>> target = Path(tempfile.mkdtemp()) / "report.html"
        >>> write_report(target, ReportContent("Alcohols", samples=[sample])).stat().st_size > 1_000_000
        True
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise PellucidError(f"expected a path that ends in .html, got {path}; rename it")
    write_text(path, render(content))
    return path


def render(content: ReportContent) -> str:
    """The page as text.

    Example:
        >>> render(ReportContent("<Alcohols>")).count("<h1>&lt;Alcohols&gt;</h1>")
        1
    """
    table = rows(content.metrics, content.published, units=content.units, explained=content.explained)
    words = content.words or CLOUDS
    notes, metrics = notes_list(content.notes), metrics_table(table, words)
    provenance = provenance_table(content.provenance)
    parts = {
        "title": html.escape(content.title),
        "subtitle": f'<p class="subtitle">{html.escape(content.subtitle)}</p>' if content.subtitle else "",
        "trust": trust_line(content.trust, words),
        "body": " class=\"no-answer\"" if content.trust.get("level") == "no" else "",
        "notes": f'<section id="notes"><h2>Notes</h2>{notes}</section>' if notes else "",
        "read": f'<section id="read"><h2>How the data were read</h2>{notes_list(content.read)}</section>'
        if content.read else "",
        "metrics": f'<section id="metrics"><h2>How good is it</h2>{key_numbers(table, words)}'
        f"{_comparison(content)}{metrics}</section>"
        if metrics else "",
        "provenance": "<section id='provenance'><details><summary><h2>How it was made</h2><span class='quiet'>"
        f"settings, versions, data</span></summary>{provenance}</details></section>" if provenance else "",
        "style": asset("page.css") + asset("grid.css"),
        "plotly": _plotly(),
        "code": "".join(map(asset, _CODE)),
        "content": embed(data(content)),
    }
    # One pass, so that text put in is never searched for the names of other parts.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], _frame(content))


def data(content: ReportContent) -> dict[str, Any]:
    """What the page's code draws, as JSON-able data; NaN and infinities become ``None``."""
    words, samples = content.words or CLOUDS, content.samples
    look = samples[0].drawn if samples else whole_look(None)
    return {
        "colours": palette(),
        "columns": {**described(dict.fromkeys(name for sample in samples for name in sample.columns), words),
                    **_more_columns(samples, words)},
        "words": words.document(), "look": _worded(look, words),
        "history": _clean(content.history),
        "selected_epoch": content.selected_epoch,
        "published": [_clean({"metric": cell.metric, "mean": cell.mean, "std": cell.std, "source": cell.source})
                      for cell in content.published],
        "no_answer": content.trust.get("level") == "no",
        "samples": [_sample(sample) for sample in samples],
    }  # fmt: skip


def palette() -> dict[str, Any]:
    """The colours that the page's code draws in."""
    return {"map": list(COLOUR_MAP), "diverging": list(DIVERGING_MAP), "none": NO_VALUE, "true": TRUE_COLOUR,
            "false": FALSE_COLOUR, "mark": MARK_COLOUR}


def _more_columns(samples: list[Sample], words: Words) -> dict[str, dict[str, Any]]:
    """What is said of predictions of points and of contributions to other outputs."""
    found: dict[str, dict[str, Any]] = {}
    quantities = list(dict.fromkeys(sample.predicts for sample in samples if sample.values is not None))
    plain: dict[str, Any] = {"about": "", "kinds": [], "colours": []}
    if quantities:
        label = quantities[0] if len(quantities) == 1 else "Prediction"
        found[_VALUES] = {**plain, "label": label, "about": f"{label} as predicted of each {words.point}."}
    if any(sample.truths is not None for sample in samples):
        unit = split_unit(quantities[0])[1] if len(quantities) == 1 else ""
        found[_TRUTHS] = {**plain, "label": f"Target ({unit})" if unit else "Target",
                          "about": f"The known answer of each {words.point}."}
    for name in dict.fromkeys(name for sample in samples for name in sample.others):
        found[_OTHER + name] = {**plain, "label": name, "signed": True, "unit": unit_of(name), "of": _bare(name),
                                "about": f"Contribution to {_bare(name)}."}
    for sample in samples:
        for side in sample.sides:
            found.setdefault(_BY + side.name, {
                **plain, "label": f"Importance by {side.name}", "signed": side.signed, "unit": side.unit,
                "of": _bare(sample.predicts),
                "about": words.of(side.about) or f"Importance of the {words.points} by {side.name}."})
    return found


def _bare(quantity: str) -> str:
    """A quantity without its unit."""
    return quantity if quantity.startswith("P(") else split_unit(quantity)[0]


def _worded(value: Any, words: Words) -> Any:
    """A look with its placeholders filled in."""
    if isinstance(value, dict):
        return {key: _worded(entry, words) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_worded(entry, words) for entry in value]
    return words.of(value) if isinstance(value, str) else value


def _frame(content: ReportContent) -> str:
    """The page's frame, whose visible text calls points and samples what they are."""
    words = content.words or CLOUDS
    safe = Words(*map(html.escape, (words.point, words.sample, words.points, words.samples)))
    return safe.of(asset("page.html"))


def embed(value: Any) -> str:
    r"""JSON that may stand inside a ``<script>`` element.

    Example:
        >>> embed({"name": "</script>"})
        '{"name":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _sample(sample: Sample) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": sample.name, "unit": sample.unit, "pos": _rounded(sample.pos), "labels": sample.labels,
        "bonds": [[i, j, order] for i, j, order in sample.bonds or []], "importance": _rounded(sample.importance),
        "importance_name": sample.importance_name,
        "important": None if sample.important is None else [int(true) for true in sample.important],
        "std": None, "axes": None, "prediction": _clean(sample.prediction), "target": _clean(sample.target),
        "svg": sample.svg, "svg_truth": sample.svg_truth, "views": sample.views, "facts": sample.facts,
        "predicts": sample.predicts, "quantity": sample.predicts if sample.probability else _bare(sample.predicts),
        "quantity_unit": "" if sample.probability else split_unit(sample.predicts)[1],
        "probability": sample.probability, "signed": sample.signed, "importance_unit": sample.importance_unit,
        "level": sample.level, "radius": None if sample.radius is None else _rounded(sample.radius),
        "noise_note": sample.noise_note, "texts": sample.texts,
        "sticks": None if sample.sticks is None else {
            "name": sample.sticks.name, "pos": _rounded(sample.sticks.pos), "labels": sample.sticks.labels,
            "bonds": [list(bond) for bond in sample.sticks.bonds]},
        "columns": {name: _rounded(values) for name, values in _columns(sample).items()},
        "answers": [_answer(answer, answer.probability) for answer in sample.answers]
        or [_answer(Answer(sample.predicts, sample.prediction, sample.target), bool(sample.probability))],
        "explainer": sample.explainer,
        "sides": [_clean({"name": side.name, "rank_correlation": side.rank_correlation, "overlap": side.overlap,
                          "most": side.most, "level": side.level, "about": side.about}) for side in sample.sides],
    }  # fmt: skip
    if sample.covariance is not None:
        variances, axes = np.linalg.eigh(sample.covariance)
        out["std"] = _rounded(np.sqrt(variances.clip(0))[:, ::-1])  # largest first
        out["axes"] = _rounded(axes.transpose(0, 2, 1)[:, ::-1])  # axes[point][k] belongs to std[point][k]
    return out


def _answer(answer: Answer, probability: bool) -> dict[str, Any]:
    return {"name": answer.name, "prediction": _clean(answer.prediction), "target": _clean(answer.target),
            "bound": answer.bound, "probability": probability,
            "quantity": answer.name if probability else _bare(answer.name),
            "unit": "" if probability else split_unit(answer.name)[1]}


def weight(sample: Sample) -> int:
    """Bytes that a sample takes of a page.

    Example:
        >>> weight(Sample("methanol", "angstrom", [[0, 0, 0], [1.4, 0, 0]], ["C", "O"], [0.1, 0.9], 0.8)) < 1000
        True
    """
    return len(embed(_sample(sample)).encode())


def _columns(sample: Sample) -> dict[str, ArrayLike]:
    """Predictions of points with their truth, contributions to other outputs, and the sample's own columns."""
    found: dict[str, ArrayLike] = {}
    for name, values in ((_VALUES, sample.values), (_TRUTHS, sample.truths)):
        if values is not None:
            found[name] = values
    return (found | {_OTHER + name: values for name, values in sample.others.items()}
            | {_BY + side.name: side.importance for side in sample.sides} | sample.columns)


def _rounded(values: ArrayLike) -> Any:
    """Nested lists with six significant digits, which is more than a screen shows, and a third of the size."""
    return _clean(np.asarray(values, dtype=float).tolist(), digits=6)


def _clean(value: Any, digits: int = 9) -> Any:
    if isinstance(value, dict):
        return {str(key): _clean(entry, digits) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(entry, digits) for entry in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    try:
        real = float(value)
    except (TypeError, ValueError):
        return str(value)
    return float(f"{real:.{digits}g}") if math.isfinite(real) else None


def _comparison(content: ReportContent) -> str:
    if not content.published:
        return ""
    return ('<p class="lead"><b class="ours">Ours</b> is this run. <b class="published">Published</b> numbers were '
            "copied from the source named beside them and were not measured here.</p>")


def asset(name: str) -> str:
    """The text of a file beside this module."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    found = find_spec("plotly")  # not imported, which takes longer than all the rest of the page
    places = found.submodule_search_locations if found is not None else None
    path = Path(places[0], "package_data", "plotly.min.js") if places else None
    if path is None or not path.is_file():
        raise PellucidError("expected plotly with its plotly.min.js, got none; pip install --force-reinstall plotly")
    return path.read_text(encoding="utf-8").replace("</script", "<\\/script")
