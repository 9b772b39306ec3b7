"""The page of an audit: what was found, and the samples themselves to judge it by."""

from __future__ import annotations

import html as html_
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.report.gallery import Looks
from pellucid.report.page import asset, embed, palette
from pellucid.report.tables import notes_list, number, provenance_table
from pellucid.report.words import Words

_BINS = 48
_CODED = 10
"""Classes that have a colour of their own; the others share one."""
_LISTED = 30
"""Classes that a table lists."""
_PAIRS = 12
"""Pairs of labels that a table lists."""
KEPT = 20_000
"""Samples of the ranking that the page itself carries."""


@dataclass(frozen=True)
class Gallery:
    """Samples to look at, in order.

    Attributes:
        title: A heading.
        lead: A sentence about them.
        samples: Their numbers.
    """

    title: str
    lead: str
    samples: Sequence[int]


@dataclass(frozen=True)
class AuditContent:
    """What the page shows.

    Attributes:
        title: Heading.
        subtitle: Below it.
        cards: Name, value and a line below each.
        meaning: What the score says, in a sentence.
        ids: (samples,) names.
        score: (samples,).
        ranking: (samples,) sample numbers, highest score first.
        label: (samples,) or None.
        suggested: (samples,) another opinion about the label, or None.
        galleries: Samples that are shown.
        neighbours: By shown sample, nearest first.
        kind: What samples look like.
        looks: By sample, see :func:`pellucid.report.gallery.looks`.
        typical: Whether rows have the median of their label.
        mapped: (points,) samples on the map.
        places: (points, 2) where they are.
        map_about: What the map's axes are.
        notes: What a reader should know.
        provenance: How it was made.
    """

    title: str
    subtitle: str
    cards: Sequence[tuple[str, str, str]]
    meaning: str
    ids: Sequence[str]
    score: NDArray[np.float64]
    ranking: NDArray[np.int64]
    label: NDArray[Any] | None
    suggested: NDArray[Any] | None
    galleries: Sequence[Gallery]
    neighbours: Mapping[int, Sequence[int]]
    kind: Looks
    looks: Mapping[int, Any]
    typical: bool
    mapped: NDArray[np.int64]
    places: NDArray[np.float64]
    map_about: str
    notes: Sequence[str] = ()
    provenance: dict[str, Any] = field(default_factory=dict)


def render(content: AuditContent) -> str:
    """The page as text: self-contained, and forbidden every connection.

    Args:
        content: What to show.
    """
    notes, provenance = notes_list(list(content.notes)), provenance_table(content.provenance)
    parts = {
        "title": html_.escape(content.title),
        "subtitle": html_.escape(content.subtitle),
        "cards": "".join(f'<div class="card"><div class="card-name">{html_.escape(name)}</div><div class="card-value">'
                         f'{html_.escape(value)}</div><div class="card-below">{html_.escape(below)}</div></div>'
                         for name, value, below in content.cards),
        "meaning": html_.escape(content.meaning),
        "map_about": html_.escape(content.map_about),
        "notes": f'<section id="notes"><h2>Notes</h2>{notes}</section>' if notes else "",
        "classes": _classes(content),
        "provenance": "<section id='provenance'><details><summary><h2>How it was made</h2><span class='quiet'>"
        f"columns, scaling, settings</span></summary>{provenance}</details></section>" if provenance else "",
        "style": asset("page.css") + asset("audit.css"),
        "code": asset("common.js") + asset("audit.js"),
        "content": embed(data(content)),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], asset("audit.html"))


def data(content: AuditContent) -> dict[str, Any]:
    """What the page's code draws, as JSON-able data."""
    place = np.empty(len(content.ranking), np.int64)
    place[content.ranking] = np.arange(len(place))
    shown = {i for gallery in content.galleries for i in gallery.samples}
    near = {j for i in shown for j in content.neighbours[i]}
    classes, code = _coded(content.label)
    several = [c for c in (content.label, content.suggested) if c is not None]
    words = sorted({*np.unique(np.concatenate([c.astype(str) for c in several])).tolist()}) if several else []
    word = {name: i for i, name in enumerate(words)}

    def named(values: NDArray[Any] | None, i: int) -> int | None:
        return None if values is None else word[str(values[i])]

    def about(i: int) -> list[Any]:
        return [content.ids[i], _round(content.score[i]), int(place[i]) + 1, named(content.label, i),
                named(content.suggested, i)]

    low, high, counts = _histogram(content.score, code, len(classes))
    points = content.mapped.tolist()
    first = content.ranking[:KEPT].tolist()
    return {
        "colours": palette(), "words": Words("feature", "sample").document(),
        "kind": content.kind, "typical": content.typical, "labels": words, "classes": classes, "samples": len(place),
        "code": [word_code(name, classes) for name in words],
        "about": {i: about(i) for i in sorted({*shown, *near, *points})},
        "galleries": [[g.title, g.lead, list(map(int, g.samples))] for g in content.galleries],
        "neighbours": {int(i): list(map(int, content.neighbours[i])) for i in shown},
        "looks": {int(i): _clean(look) for i, look in content.looks.items()},
        "map": {"samples": points, "x": [_round(v) for v in content.places[:, 0]],
                "y": [_round(v) for v in content.places[:, 1]]},
        "histogram": {"low": _round(low), "high": _round(high), "counts": counts},
        "ranking": [about(i) for i in first],
    }


def signed_number(value: float) -> str:
    """A number for people, with a real minus sign."""
    return number(value).replace("-", "−")


def word_code(name: str, classes: Sequence[str]) -> int:
    """Which colour a label has: its place among the classes, or the last for all others."""
    return classes.index(name) if name in classes else max(len(classes) - 1, 0)


def _coded(label: NDArray[Any] | None) -> tuple[list[str], NDArray[np.int64]]:
    """Classes with a colour of their own, in order; where there are too many, the largest ones and ``others``."""
    if label is None:
        return [], np.empty(0, np.int64)
    names, code, counts = np.unique(label, return_inverse=True, return_counts=True)
    if len(names) <= _CODED:
        return [str(name) for name in names], code.astype(np.int64)
    own = np.sort(np.argsort(-counts, kind="stable")[:_CODED - 1])
    to = np.full(len(names), len(own))
    to[own] = np.arange(len(own))
    return [*(str(name) for name in names[own]), "others"], to[code]


def _histogram(score: NDArray[np.float64], code: NDArray[np.int64], classes: int
               ) -> tuple[float, float, list[list[int]]]:
    """Ends, and a row of counts for each class, or one row."""
    low, high = float(score.min()), float(score.max())
    high = high if high > low else low + 1
    bins = np.minimum(((score - low) / (high - low) * _BINS).astype(np.int64), _BINS - 1)
    if not classes:
        return low, high, [np.bincount(bins, minlength=_BINS).tolist()]
    counts = np.bincount(code * _BINS + bins, minlength=classes * _BINS)
    return low, high, counts.reshape(classes, _BINS).tolist()


def _classes(content: AuditContent) -> str:
    """A table of the classes, and one of which label is taken for which."""
    if content.label is None:
        return ""
    label = content.label.astype(str)
    names, code = np.unique(label, return_inverse=True)
    first = content.ranking[:len(content.galleries[0].samples)]
    top = np.bincount(code[np.asarray(first, int)], minlength=len(names))
    other = None if content.suggested is None else content.suggested.astype(str) != label
    heads = ["Label", "Samples", "Median score", f"In the first {len(first)}"]
    rows = [[names[c], f"{(code == c).sum():,}", signed_number(float(np.median(content.score[code == c]))),
             str(top[c])] for c in range(len(names))]
    order = np.argsort(-top, kind="stable")
    pairs = ""
    if other is not None:
        heads.append("Another label suggested")
        doubted = np.bincount(code[other], minlength=len(names))
        for c, row in enumerate(rows):
            row.append(f"{doubted[c]:,} ({doubted[c] / (code == c).sum():.1%})")
        order = np.argsort(-doubted, kind="stable")
        assert content.suggested is not None
        found, counts = np.unique(np.stack([label[other], content.suggested.astype(str)[other]]), axis=1,
                                  return_counts=True)
        most = np.argsort(-counts, kind="stable")[:_PAIRS]
        pairs = _table("Which label for which, most often", ["Label", "Suggested", "Samples"],
                       [[*found[:, j], f"{counts[j]:,}"] for j in most], 2) if len(most) else ""
    more = f'<p class="quiet hint">Shown are {_LISTED} of {len(names):,}.</p>' if len(names) > _LISTED else ""
    table = _table("The classes", heads, [rows[c] for c in order[:_LISTED]], 1)
    return f'<section id="classes"><h2>By label</h2><div class="pair">{table}{pairs}</div>{more}</section>'


def _table(title: str, heads: list[str], rows: list[list[str]], words: int) -> str:
    """The first columns are words, the others numbers."""
    def row(cells: list[str], tag: str) -> str:
        kinds = [f"<{tag}>" if at < words else f'<{tag} class="num">' for at in range(len(cells))]
        return "<tr>" + "".join(f"{kind}{html_.escape(str(cell))}</{tag}>"
                                for kind, cell in zip(kinds, cells, strict=True)) + "</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return (f'<div><h3>{title}</h3><div class="scroll"><table class="plain"><thead>{row(heads, "th")}</thead>'
            f"<tbody>{body}</tbody></table></div></div>")


def _round(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _clean(look: Any) -> Any:
    if isinstance(look, list):
        return [[name, *map(_round, values)] for name, *values in look]
    return look
