"""Shows what a study's benchmark found: Markdown, CSV, JSON, pictures and an HTML page."""

from __future__ import annotations

import csv as csv_
import html as html_
import io
import json
import math
import re
from pathlib import Path

from pellucid.benchmarks.margin.curves import Curves, Point
from pellucid.files import write_texts
from pellucid.report.lines import chart, picture
from pellucid.report.markdown import md, md_list, md_table
from pellucid.report.page import asset
from pellucid.report.tables import notes_list, provenance_table

_LEGEND = ("Means over repetitions ± half the width of their 95 % interval (Student's t); the best of a column in "
           "bold, the oracle aside.")


def write(curves: Curves, folder: Path) -> list[Path]:
    """Writes ``results.md``, ``.csv``, ``.json``, ``.html`` and an SVG for each chart and picture.

    Args:
        curves: Results, finished or in progress.
        folder: Made if it is not there; older results in it are replaced.

    Returns:
        The files.

    Raises:
        PellucidError: if one cannot be written; then none is replaced.
    """
    texts = {"results.md": markdown(curves), "results.csv": csv(curves), "results.html": html(curves),
             "results.json": json.dumps(curves.document(), indent=2, allow_nan=False, default=str) + "\n",
             **drawings(curves)}
    return write_texts(Path(folder), texts)


def drawings(curves: Curves) -> dict[str, str]:
    """File name -> SVG of all charts and pictures."""
    out = {f"{_slug(f'{table} {metric}')}.svg": chart(lines, curves.axis, metric, table)
           for (table, metric), lines in curves.charts.items()}
    return out | {f"{_slug(name)}.svg": picture(content) for name, content in curves.pictures.items()}


def markdown(curves: Curves) -> str:
    """GitHub's Markdown: the claim, findings, a table for each metric, failures, provenance."""
    lines = [f"# {md(curves.title)}", "", f"{md(_subtitle(curves))}", "", f"The paper ({md(curves.source)}): "
             f"{md(curves.claim)}", "", _LEGEND]
    if curves.findings:
        lines += ["", "## What was found", "", *(f"- {md(text)}" for text in curves.findings)]
    for table, metric in curves.charts:
        heads, rows = _cells(curves, table, metric)
        text = [[md(method), *(f"**{cell}**" if best else cell for cell, best in cells)] for method, cells in rows]
        lines += ["", f"## {md(table)}: {md(metric)}", "", *md_table(heads, [])[:2],
                  *(f"| {' | '.join(row)} |" for row in text)]
    for title, entries in (("What failed", [f"{label}: {reason}" for label, reason in curves.failed]),
                           ("Notes", curves.notes)):
        if entries:
            lines += ["", f"## {title}", "", *(f"- {md(entry)}" for entry in entries)]
    lines += ["", "## How it was made", "", *md_list(curves.provenance)]
    return "\n".join(lines).rstrip() + "\n"


def csv(curves: Curves) -> str:
    """One line a mean, numbers in full."""
    text = io.StringIO()
    writer = csv_.writer(text, lineterminator="\n")
    writer.writerow(("benchmark", "preset", "table", "metric", "method", "x", "mean", "half_95", "repetitions",
                     "values"))
    for (table, metric, method, x), p in curves.points.items():
        writer.writerow((curves.name, curves.preset, table, metric, method, repr(x), repr(p.mean),
                         "" if math.isnan(p.half) else repr(p.half), len(p.values), " ".join(map(repr, p.values))))
    return text.getvalue()


def html(curves: Curves) -> str:
    """The page: charts, tables and pictures."""
    sections = []
    for table in dict.fromkeys(table for table, _ in curves.charts):
        body = []
        for metric in (metric for name, metric in curves.charts if name == table):
            heads, rows = _cells(curves, table, metric)
            head = "".join(f'<th class="{"num" if i else ""}">{html_.escape(text)}</th>'
                           for i, text in enumerate(heads))
            cells = "".join(
                f'<tr><th scope="row">{html_.escape(method)}</th>' + "".join(
                    f'<td class="num">{f"<b>{cell}</b>" if best else cell}</td>' for cell, best in row) + "</tr>"
                for method, row in rows)
            body.append(f'<div class="panel">{chart(curves.charts[table, metric], curves.axis, metric)}</div>'
                        f'<div class="scroll"><table class="results"><thead><tr>{head}</tr></thead><tbody>{cells}'
                        "</tbody></table></div>")
        sections.append(f'<section><h2>{html_.escape(table)}</h2>{"".join(body)}</section>')
    if curves.pictures:
        shown = "".join(f'<div class="panel">{picture(content)}</div>' for content in curves.pictures.values())
        sections.append(f'<section id="pictures"><h2>Pictures</h2><div class="panels">{shown}</div></section>')
    failures = [f"{label}: {reason}" for label, reason in curves.failed]
    parts = {
        "title": html_.escape(curves.title), "subtitle": html_.escape(_subtitle(curves)), "cards": "",
        "notes": f'<section id="notes"><h2>What was found</h2><p class="lead">The paper '
                 f"({html_.escape(curves.source)}): {html_.escape(curves.claim)}</p>{notes_list(curves.findings)}"
                 "</section>",
        "datasets": f'<p class="lead">{_LEGEND}</p>{"".join(sections)}', "order": "",
        "chosen": f"<section><h2>Notes</h2>{notes_list(curves.notes)}</section>" if curves.notes else "",
        "failures": f'<section id="failures"><h2>What failed</h2>{notes_list(failures)}</section>' if failures else "",
        "provenance": f'<section id="provenance"><h2>How it was made</h2>{provenance_table(curves.provenance)}'
                      "</section>",
        "style": asset("page.css") + asset("benchmark.css") + ".panel text { fill: inherit; font: inherit; }",
    }  # fmt: skip
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], asset("benchmark.html"))


def _subtitle(curves: Curves) -> str:
    failed = f", {len(curves.failed)} failed" if curves.failed else ""
    return f"{curves.name}, preset {curves.preset}, {curves.planned} parts{failed}."


def _cells(curves: Curves, table: str, metric: str) -> tuple[list[str], list[tuple[str, list[tuple[str, bool]]]]]:
    """Heads, and for each method its cells with whether they are the best of their column."""
    lines = curves.charts[table, metric]
    columns, best = curves.columns(table, metric), curves.winners(table, metric)
    heads = ["Method", *(f"{x:g}" for x in columns)] if len(columns) > 1 else ["Method", metric]
    return heads, [(method, [(_cell(line.get(x)), method in best.get(x, ())) for x in columns])
                   for method, line in lines.items()]


def _cell(p: Point | None) -> str:
    if p is None or math.isnan(p.mean):
        return "–"
    return f"{p.mean:.3f}" + ("" if math.isnan(p.half) else f" ± {p.half:.3f}")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
