"""Shows a table of results: Markdown, LaTeX, CSV, and an HTML page that needs nothing but a browser."""

from __future__ import annotations

import csv as csv_
import html as html_
import io
import json
import math
import re
from pathlib import Path

from pellucid.benchmarks.experiments import factor
from pellucid.benchmarks.results import Agreement, Cell, ResultTable, order_agreement
from pellucid.files import write_texts
from pellucid.report.charts import legend, panel, scale_of
from pellucid.report.markdown import md, md_list, md_table
from pellucid.report.page import asset
from pellucid.report.tables import notes_list, provenance_table, signed

_MARKS = "≈ ours within one published standard deviation of the published mean, ↑ above, ↓ below."
_LEGEND = ("Ours: mean ± standard deviation (n − 1) over the finished seeds; published: as printed; difference: ours "
           f"less published. {_MARKS}")
_ORDER = ("Kendall's τ between our order of the methods and the published one (1 = the same, −1 = reversed; the random "
          "row is left out). Listed are the pairs in another order whose published gap exceeds the larger of their two "
          "published standard deviations.")
_COLUMNS = ("experiment", "preset", "dataset", "backbone", "method", "metric", "mean", "std", "done", "planned",
            "seeds", "values", "published_mean", "published_std", "published_source", "difference", "within", "failed")
_TABLE = '<div class="scroll"><table class="results"><thead>{}</thead><tbody>{}</tbody></table></div>'
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "≈": r"$\approx$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "−": "$-$", "–": "--", "τ": r"$\tau$",
    "α": r"$\alpha$", "β": r"$\beta$", "σ": r"$\sigma$", "Σ": r"$\Sigma$", "≥": r"$\geq$", "≤": r"$\leq$",
}  # fmt: skip


def write(table: ResultTable, folder: Path) -> list[Path]:
    """Writes ``results.md``, ``.tex``, ``.csv``, ``.html`` and ``.json``.

    Args:
        table: Results, finished or in progress.
        folder: Made if it is not there; older results in it are replaced.

    Returns:
        The files.

    Raises:
        PellucidError: if one cannot be written; then none is replaced.
    """
    texts = {"md": markdown(table), "tex": latex(table), "csv": csv(table), "html": html(table),
             "json": json.dumps(table.document(), indent=2, allow_nan=False, default=str) + "\n"}
    return write_texts(Path(folder), {f"results.{ending}": text for ending, text in texts.items()})


def markdown(table: ResultTable) -> str:
    """GitHub's Markdown: a table a dataset, the order of the methods, what was chosen, failures, provenance.

    Args:
        table: Results.
    """
    lines = [f"# {md(table.title)}", "", f"{md(_subtitle(table))} {progress(table)}", "", _LEGEND]
    for dataset in table.datasets:
        metrics = table.metrics_of(dataset)
        heads = [head for metric in metrics for head in (table.label(metric), "published", "difference")]
        rows = [[table.label(backbone), table.label(method), _seeds(table, dataset, backbone, method),
                 *(text for metric in metrics for text in _texts(table.cell(dataset, backbone, method, metric)))]
                for backbone in table.backbones for method in table.rows_of(dataset, backbone)]
        lines += ["", f"## {md(table.label(dataset))}", "", *md_table(["Backbone", "Method", "Seeds", *heads], rows)]
        lines += ["", *(f"- ? {md(doubt)}" for doubt in _doubts(table, dataset))]
    if agreements := order_agreement(table):
        lines += ["", "## Order of the methods", "", _ORDER, "", *md_table(*_order(table, agreements))]
    if table.chosen:
        lines += ["", "## What the search chose", "", *md_table(*_chosen(table))]
    for title, entries in (("What failed", _failures(table)), ("Notes", table.notes)):
        if entries:
            lines += ["", f"## {title}", "", *(f"- {md(entry)}" for entry in entries)]
    if table.provenance:
        lines += ["", "## How it was made", "", *md_list(table.provenance)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def latex(table: ResultTable) -> str:
    """Tables for a paper, in percent or degrees; they need ``booktabs``.

    Args:
        table: Results.
    """
    return "\n".join(["% Made by pellucid; needs \\usepackage{booktabs}.",
                      *(_latex_table(table, dataset) for dataset in table.datasets)])


def csv(table: ResultTable) -> str:
    """One row a cell, numbers in full, empty where there is none.

    Several seeds or values in one field are separated by spaces; failures are JSON.

    Args:
        table: Results.
    """
    text = io.StringIO()
    writer = csv_.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for cell in table.cells:
        published = cell.published
        writer.writerow([table.name, table.preset, cell.dataset, cell.backbone, cell.method, cell.metric,
                         *map(_full, (cell.mean, cell.std)), len(cell.values), cell.planned,
                         " ".join(map(str, cell.seeds)), " ".join(map(_full, cell.values)),
                         *((_full(published.mean), _full(published.std), published.source) if published else [""] * 3),
                         _full(cell.difference), "" if cell.within is None else cell.within,
                         json.dumps(cell.failed) if cell.failed else ""])
    return text.getvalue()


def html(table: ResultTable) -> str:
    """The page: charts and a table for each dataset, and all that Markdown has.

    Args:
        table: Results.
    """
    agreements = order_agreement(table)
    failures = _failures(table)
    parts = {
        "title": _h(table.title),
        "subtitle": f"{_h(_subtitle(table))} {progress(table)}",
        "cards": _cards(table, agreements),
        "notes": f'<section id="notes"><h2>Notes</h2>{notes_list(table.notes)}</section>' if table.notes else "",
        "datasets": "".join(_dataset(table, dataset) for dataset in table.datasets),
        "order": _section("order", "Order of the methods", _ORDER, _html_table(*_order(table, agreements)))
        if agreements else "",
        "chosen": _section("chosen", "What the search chose", "By the validation prediction alone.",
                           _html_table(*_chosen(table))) if table.chosen else "",
        "failures": f'<section id="failures"><h2>What failed</h2>{notes_list(failures)}</section>' if failures else "",
        "provenance": f'<section id="provenance"><h2>How it was made</h2>{provenance_table(table.provenance)}</section>'
        if table.provenance else "",
        "style": asset("page.css") + asset("benchmark.css"),
    }
    # One pass, so that text put in is never searched for the names of other parts.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], asset("benchmark.html"))


def progress(table: ResultTable) -> str:
    """How far the runs are, in a sentence."""
    runs = {(c.dataset, c.backbone, c.method): c for c in table.cells}.values()
    planned, done, failed = (sum(map(count, runs)) for count in (
        lambda c: c.planned, lambda c: len(c.values), lambda c: len(c.failed)))
    sentence = f"{done} of {planned} runs are finished" + (f", {failed} failed" if failed else "")
    return sentence + ("." if done + failed == planned else "; the rest is to come.")


def _subtitle(table: ResultTable) -> str:
    return f"{table.name}, preset {table.preset}. Published: {table.source}."


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "–"


def _pm(mean: float, std: float) -> str:
    return _number(mean) + ("" if math.isnan(std) else f" ± {_number(std)}")


def _texts(cell: Cell | None) -> tuple[str, str, str]:
    """Ours, published, and the difference with its mark."""
    if cell is None:
        return "", "", ""
    published = cell.published
    return (_pm(cell.mean, cell.std),
            _pm(published.mean, published.std) + (" ?" if published.doubt else "") if published else "",
            "" if math.isnan(cell.difference) else f"{signed(cell.difference)} {cell.mark}".strip())


def _seeds(table: ResultTable, dataset: str, backbone: str, method: str) -> str:
    cells = [cell for metric in table.metrics_of(dataset) if (cell := table.cell(dataset, backbone, method, metric))]
    done, failed = min(len(cell.values) for cell in cells), max(len(cell.failed) for cell in cells)
    return f"{done} of {max(cell.planned for cell in cells)}" + (f", {failed} failed" if failed else "")


def _doubts(table: ResultTable, dataset: str) -> list[str]:
    return [cell.published.source for cell in table.cells
            if cell.dataset == dataset and cell.published and cell.published.doubt]


def _failures(table: ResultTable) -> list[str]:
    """One a run: its metrics fail together."""
    return list(dict.fromkeys(
        f"{table.label(cell.dataset)}, {table.label(cell.backbone)}, {table.label(cell.method)}, seed {seed}: {reason}"
        for cell in table.cells for seed, reason in cell.failed))


def _order(table: ResultTable, agreements: list[Agreement]) -> tuple[list[str], list[list[str]]]:
    return ["Dataset", "Metric", "Backbone", "Methods", "τ", "In another order"], [
        [table.label(a.dataset), table.label(a.metric), table.label(a.backbone), str(a.methods),
         "–" if math.isnan(a.tau) else f"{a.tau:.2f}".replace("-", "−"),
         "; ".join(f"{table.label(pair.better)} over {table.label(pair.worse)}: published {signed(pair.published)}, "
                   f"ours {signed(pair.ours)}" for pair in a.discordant) or "none"]
        for a in agreements]


def _chosen(table: ResultTable) -> tuple[list[str], list[list[str]]]:
    return ["Dataset", "Backbone", "Method", "Settings", "Validation", "Compared"], [
        [*map(table.label, place), ", ".join(f"{name} = {value}" for name, value in choice.settings.items()) or "–",
         _number(choice.score), str(choice.tried)] for place, choice in table.chosen.items()]


def _full(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else ""


# LaTeX

def _tex(text: str) -> str:
    """Escaped; what no usual font has becomes a question mark."""
    return "".join(_LATEX.get(c) or (c if ord(c) < 256 else "?") for c in " ".join(text.split()))


def _printed(metric: str, mean: float, std: float) -> str:
    if math.isnan(mean):
        return "--"
    scale = factor(metric)
    return f"${scale * mean:.2f}" + ("" if math.isnan(std) else rf" \pm {scale * std:.2f}") + "$"


def _latex_table(table: ResultTable, dataset: str) -> str:
    metrics = table.metrics_of(dataset)
    backbones = [b for b in table.backbones if table.rows_of(dataset, b)]
    width, here = len(metrics), {method for b in backbones for method in table.rows_of(dataset, b)}
    spans = " & ".join(rf"\multicolumn{{{width}}}{{c}}{{{_tex(table.label(b))}}}" for b in backbones)
    rules = " ".join(rf"\cmidrule(lr){{{2 + i * width}-{1 + (i + 1) * width}}}" for i in range(len(backbones)))
    lines = []
    for method in (method for method in table.methods if method in here):
        cells = [table.cell(dataset, b, method, metric) for b in backbones for metric in metrics]
        ours = ["" if c is None else _printed(c.metric, c.mean, c.std)
                + (f" ({len(c.values)}/{c.planned})" if len(c.values) < c.planned else "") for c in cells]
        lines.append(" & ".join([_tex(table.label(method)), *ours]) + r" \\")
        if any(c and c.published for c in cells):
            published = ["" if c is None or c.published is None else " ".join(filter(None, (
                _printed(c.metric, c.published.mean, c.published.std), "?" if c.published.doubt else "", _tex(c.mark))))
                for c in cells]
            lines.append(" & ".join([r"\quad published", *published]) + r" \\")
    unit = "in percent" if all(factor(metric) == 100 for metric in metrics) else "angles in degrees"
    caption = (f"{table.title} on {table.label(dataset)}, {unit}: mean ± standard deviation over seeds (preset "
               f"{table.preset}; in brackets how many seeds, where not all are finished). {_MARKS}")
    notes = [*_doubts(table, dataset), *(f for f in _failures(table) if f.startswith(f"{table.label(dataset)}, "))]
    return "\n".join([
        r"\begin{table}[t]", r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_tex(caption)} Published: {_tex(table.source)}.}}",
        rf"\begin{{tabular}}{{l{'c' * (width * len(backbones))}}}", r"\toprule",
        rf" & {spans} \\", rules,
        " & ".join(["Method", *(_tex(table.label(metric)) for metric in metrics * len(backbones))]) + r" \\",
        r"\midrule", *lines, r"\bottomrule", r"\end{tabular}",
        *(rf"\par {_tex(note)}" for note in notes), r"\end{table}", ""])


# HTML

def _h(text: str) -> str:
    return html_.escape(text)


def _section(name: str, title: str, lead: str, body: str) -> str:
    return f'<section id="{name}"><h2>{title}</h2><p class="lead">{lead}</p>{body}</section>'


def _html_table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{_h(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f'<td class="wrap">{_h(text)}</td>' for text in row) + "</tr>" for row in rows)
    return _TABLE.format(f"<tr>{head}</tr>", body)


def _cards(table: ResultTable, agreements: list[Agreement]) -> str:
    judged = [cell for cell in table.cells if cell.within is not None]
    taus = [a.tau for a in agreements if not math.isnan(a.tau)]
    cards = []
    if judged:
        count = {mark: sum(cell.mark == mark for cell in judged) for mark in "≈↑↓"}
        cards.append(("Within one published deviation ≈", f"{count['≈']} of {len(judged)}",
                      f"{count['↑']} above ↑ · {count['↓']} below ↓"))
    if taus:
        cards.append(("Same order of methods, mean τ", f"{sum(taus) / len(taus):.2f}".replace("-", "−"),
                      f"{min(taus):.2f} to {max(taus):.2f} over {len(taus)} comparisons".replace("-", "−")))
    runs = {(c.dataset, c.backbone, c.method): c for c in table.cells}.values()
    failed = sum(len(c.failed) for c in runs)
    cards.append(("Runs finished", f"{sum(len(c.values) for c in runs)} of {sum(c.planned for c in runs)}",
                  f"{failed} failed" if failed else "none failed"))
    return '<div class="cards">' + "".join(
        f'<div class="card"><div class="card-name">{name}</div><div class="card-value">{value}</div>'
        f'<div class="card-below">{below}</div></div>' for name, value, below in cards) + "</div>"


def _dataset(table: ResultTable, dataset: str) -> str:
    charts = []
    for metric in table.metrics_of(dataset):
        scale = scale_of(table, dataset, metric)
        panels = "".join(panel(table, dataset, backbone, metric, scale) for backbone in table.backbones
                         if table.rows_of(dataset, backbone))
        note = "" if scale.bars else ' <span class="about">the axis does not begin at zero: points, not bars</span>'
        charts.append(f'<h3>{_h(table.label(metric))}{note}</h3><div class="panels">{panels}</div>')
    doubts = "".join(f'<p class="about doubts">? {_h(doubt)}</p>' for doubt in _doubts(table, dataset))
    return (f'<section id="{_h(dataset)}"><h2>{_h(table.label(dataset))}</h2>{legend(table, dataset)}{"".join(charts)}'
            f'<h3>All numbers</h3><p class="about">{_LEGEND}</p>{_numbers(table, dataset)}{doubts}</section>')


def _numbers(table: ResultTable, dataset: str) -> str:
    metrics = table.metrics_of(dataset)
    top = "".join(f'<th colspan="3" class="first" scope="colgroup">{_h(table.label(m))}</th>' for m in metrics)
    heads = '<th class="num first">ours</th><th class="num">published</th><th class="num">difference</th>'
    parts = []
    for backbone in table.backbones:
        if rows := table.rows_of(dataset, backbone):
            parts.append(f'<tr class="group"><th colspan="{2 + 3 * len(metrics)}" scope="rowgroup">'
                         f"{_h(table.label(backbone))}</th></tr>")
        for method in rows:
            parts.append(f'<tr><th scope="row">{_h(table.label(method))}</th>'
                         f"<td>{_h(_seeds(table, dataset, backbone, method))}</td>")
            for metric in metrics:
                cell = table.cell(dataset, backbone, method, metric)
                ours, published, difference = _texts(cell)
                mean, _, std = ours.partition(" ")
                source = f' title="{_h(cell.published.source)}"' if cell and cell.published else ""
                parts.append(f'<td class="num ours first">{mean} <span class="quiet">{std}</span></td>'
                             f'<td class="num"{source}>{published}</td><td class="num">{difference}</td>')
            parts.append("</tr>")
    return _TABLE.format(f'<tr><th rowspan="2">Method</th><th rowspan="2">Seeds</th>{top}</tr>'
                         f"<tr>{heads * len(metrics)}</tr>", "".join(parts))
