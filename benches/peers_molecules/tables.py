"""Markdown tables of records."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from .records import Record

FIRST = ("pellucid", "chemprop", "forest", "gin")
"""Order of columns; further names (settings tried on development tasks) follow."""


def tables(records: Sequence[Record]) -> str:
    """All tables that the records have something for.

    Raises:
        ValueError: if peers did not get the same rows, targets and parts in a task with a seed.
    """
    data: dict[tuple[str, int], str] = {}
    for each in records:
        key = each["task"], each["seed"]
        if data.setdefault(key, each["data"]) != each["data"]:
            raise ValueError(f"{each['task']}, seed {each['seed']}: the peers' rows differ; remove one side's records")
    parts = [_prediction([each for each in records if "explanation" not in each["metrics"]])]
    for title, start in (("Explanation where the truth is known", "truth-"), ("Development tasks", "dev-")):
        parts.append(_explanation(title, [each for each in records if each["task"].startswith(start)]))
    return "\n\n".join(part for part in (*parts, _about(records)) if part) + "\n"


def peers_in(records: Sequence[Record]) -> list[str]:
    names = {each["peer"] for each in records}
    return [*(name for name in FIRST if name in names), *sorted(names.difference(FIRST))]


def _prediction(records: Sequence[Record]) -> str:
    if not records:
        return ""
    peers, tasks = peers_in(records), list(dict.fromkeys(each["task"] for each in records))
    score = _grid(records, peers, tasks, lambda each: each["metrics"]["score"])
    kinds = {each["task"]: each["kind"] for each in records}
    several = {each["task"] for each in records if len(each["metrics"]["targets"]) > 1}
    lines = ["## Prediction", "", *_head(["set", "figure", *peers])]
    for task in tasks:
        figure = ("ROC AUC" if kinds[task] == "classification" else "RMSE / spread" if task in several else "RMSE")
        lines.append(_row([task, figure, *_cells(score[task], peers, higher=kinds[task] == "classification")]))
    lines.append(_row(["**mean rank**", "1 is best", *_ranks(score, peers, kinds)]))
    lines += ["", "Mean ± standard deviation over seeds; in brackets their number where another peer has more. "
              + _shared(score, peers)]
    lines += ["", "### Processor seconds", "", *_head(["set", *peers])]
    lines += _seconds(records, peers, tasks, "fit")
    lines += _endpoints(records, peers)
    return "\n".join(lines)


def _endpoints(records: Sequence[Record], peers: Sequence[str]) -> list[str]:
    """Error of each endpoint of regression sets, with the errors over exact values where there is a floor."""
    lines = ["", "### Errors of regression targets", "", *_head(["set: target", "figure", *peers])]
    found = False
    for task in dict.fromkeys(each["task"] for each in records if each["kind"] == "regression"):
        of = [each for each in records if each["task"] == task]
        for target in dict.fromkeys(name for each in of for name in each["metrics"]["targets"]):
            for figure, path in (("RMSE", ("rmse",)), ("MAE", ("mae",)), ("RMSE, exact values", ("exact", "rmse"))):
                grid = _grid(of, peers, [task], lambda each, t=target, p=path: _at(each["metrics"]["targets"], t, *p))
                if grid[task]:
                    found = True
                    lines.append(_row([f"{task}: {target}", figure, *_cells(grid[task], peers, higher=False)]))
    return lines if found else []


def _explanation(title: str, records: Sequence[Record]) -> str:
    if not records:
        return ""
    peers, tasks = peers_in(records), list(dict.fromkeys(each["task"] for each in records))
    lines = [f"## {title}"]
    for name, words in (("spearman", "signed Spearman"), ("roc_auc", "ROC AUC of the true atoms (rules)")):
        for few in (False, True):
            if few and "chemprop" not in peers:
                continue
            grid = _grid(records, peers, tasks, lambda each, n=name, f=few: _explained(each, n, records if f else None))
            shown = [task for task in tasks if grid[task]]
            if not shown:
                continue
            lines += ["", f"### Within-molecule {words}{', molecules that Chemprop explained' if few else ''}", "",
                      *_head(["task", *peers])]
            lines += [_row([task, *_cells(grid[task], peers, higher=True)]) for task in shown]
            lines.append(_row(["**mean over tasks that all have**", *_means(grid, peers)]))
            everywhere = [peer for peer in peers if all(peer in grid[task] for task in shown)]
            if everywhere != list(peers):
                means = dict(zip(everywhere, _means(grid, everywhere), strict=True))
                lines.append(_row([f"**mean over all {len(shown)} tasks**", *(means.get(peer, "") for peer in peers)]))
    lines += ["", "Standard errors over molecules, and their number:", "", *_head(["task, seed", *peers])]
    for task, seed in dict.fromkeys((each["task"], each["seed"]) for each in records):
        by_peer = {each["peer"]: each["metrics"]["explanation"]["spearman"] for each in records
                   if (each["task"], each["seed"]) == (task, seed)}
        lines.append(_row([f"{task}, {seed}", *(f"{by_peer[p]['error']:.3f} ({by_peer[p]['molecules']})"
                                                if p in by_peer else "" for p in peers)]))
    lines += ["", "### Prediction on these tasks (RMSE of contributions, ROC AUC of rules)", "",
              *_head(["task", *peers])]
    kinds = {each["task"]: each["kind"] for each in records}
    grid = _grid(records, peers, tasks, lambda each: each["metrics"]["score"])
    lines += [_row([task, *_cells(grid[task], peers, higher=kinds[task] == "classification")]) for task in tasks]
    lines += ["", "### Processor seconds of explaining", "", *_head(["task", *peers])]
    lines += _seconds(records, peers, tasks, "explain")
    return "\n".join(lines)


def _explained(each: Record, name: str, records: Sequence[Record] | None) -> float | None:
    """The mean over molecules; with ``records``, over those that Chemprop explained in the same task and seed."""
    scores = each["metrics"]["explanation"].get(name)
    if scores is None or not scores["molecules"]:
        return None
    if records is None:
        return scores["mean"]
    few = next((other["metrics"]["explanation"][name]["each"] for other in records if other["peer"] == "chemprop"
                and (other["task"], other["seed"]) == (each["task"], each["seed"])), [])
    chosen = [mine for mine, theirs in zip(scores["each"], few, strict=False) if None not in (mine, theirs)]
    return statistics.fmean(chosen) if chosen else None


Grid = dict[str, dict[str, dict[int, float]]]
"""Task -> peer -> seed -> figure."""


def _grid(records: Sequence[Record], peers: Sequence[str], tasks: Sequence[str],
          figure: Callable[[Record], float | None]) -> Grid:
    found: Grid = {task: {} for task in tasks}
    for each in records:
        value = figure(each) if each["peer"] in peers else None
        if value is not None and not np.isnan(value):
            found[each["task"]].setdefault(each["peer"], {})[each["seed"]] = value
    return found


def _common(row: dict[str, dict[int, float]], peers: Sequence[str]) -> list[int]:
    """Seeds that all peers have."""
    return sorted(set.intersection(*(set(row.get(peer, ())) for peer in peers)))


def _cells(row: dict[str, dict[int, float]], peers: Sequence[str], *, higher: bool) -> list[str]:
    means = {peer: statistics.fmean(row[peer].values()) for peer in peers if peer in row}
    best = (max if higher else min)(means.values(), default=None)
    most = max((len(seeds) for seeds in row.values()), default=0)
    cells = []
    for peer in peers:
        if peer not in means:
            cells.append("")
            continue
        values = list(row[peer].values())
        text = f"{means[peer]:.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")
        text = f"**{text}**" if means[peer] == best and len(means) > 1 else text
        cells.append(text + (f" ({len(values)})" if len(values) != most else ""))
    return cells


def mean_ranks(grid: Grid, peers: Sequence[str], kinds: dict[str, str]) -> dict[str, float]:
    """Of each peer, 1 is best, ties share; over the tasks and seeds that all peers have."""
    ranks = []
    for task, row in grid.items():
        seeds = _common(row, peers)
        if seeds:
            means = np.array([statistics.fmean(row[peer][seed] for seed in seeds) for peer in peers])
            ranks.append(rankdata(-means if kinds[task] == "classification" else means))
    return dict(zip(peers, np.mean(ranks, 0).tolist(), strict=True)) if ranks else {}


def _ranks(grid: Grid, peers: Sequence[str], kinds: dict[str, str]) -> list[str]:
    found = mean_ranks(grid, peers, kinds)
    return [f"{found[peer]:.2f}" if found else "" for peer in peers]


def _shared(grid: Grid, peers: Sequence[str]) -> str:
    tasks = [f"{task} ({len(_common(row, peers))})" for task, row in grid.items() if _common(row, peers)]
    return f"Ranks over the sets that all peers have, with their common seeds: {', '.join(tasks) or 'none yet'}."


def _means(grid: Grid, peers: Sequence[str]) -> list[str]:
    rows = [[statistics.fmean(row[peer][seed] for seed in seeds) for peer in peers]
            for row in grid.values() if peers and (seeds := _common(row, peers))]
    return [f"{value:.3f}" for value in np.mean(rows, 0)] if rows else [""] * len(peers)


def _seconds(records: Sequence[Record], peers: Sequence[str], tasks: Sequence[str], what: str) -> list[str]:
    """Rows of mean processor seconds a cell, their sum and the ratio to Chemprop over the cells that both have."""
    grid = _grid(records, peers, tasks, lambda each: each["processor_seconds"].get(what))
    lines = [_row([task, *(f"{statistics.fmean(grid[task][peer].values()):.0f}" if peer in grid[task] else ""
                           for peer in peers)]) for task in tasks]
    ratios = []
    for peer in peers:
        pairs = [(row[peer][seed], row["chemprop"][seed]) for row in grid.values()
                 if peer in row and "chemprop" in row for seed in _common(row, [peer, "chemprop"])]
        theirs = sum(chemprop for _, chemprop in pairs)
        ratios.append(f"{sum(mine for mine, _ in pairs) / theirs:.2f} ({len(pairs)} cells)" if theirs else "")
    return [*lines, _row(["**total / Chemprop's**", *ratios])]


def _about(records: Sequence[Record]) -> str:
    """What the figures depend on."""
    if not records:
        return "No records."
    dates = sorted(each["date"][:10] for each in records)
    versions = {peer: sorted({each["version"] for each in records if each["peer"] == peer})
                for peer in peers_in(records)}
    machines = sorted({f"{each['cpu']}, {each['cores']} cores, Python {each['python']}" for each in records})
    missing = sum(each["metrics"]["missing"] for each in records)
    lines = ["## How these were made", "", f"- {dates[0]} to {dates[-1]}; {'; '.join(machines)}; one thread a peer",
             f"- seeds {', '.join(str(seed) for seed in sorted({each['seed'] for each in records}))}",
             *(f"- {peer}: {'; '.join(found)}" for peer, found in versions.items()),
             f"- predictions that a peer did not give, replaced by the mean of training: {missing}"]
    lines += [f"- {peer}: `{next(each['command'] for each in records if each['peer'] == peer)}`"
              for peer in versions]
    return "\n".join(lines)


def _at(tree: Any, *names: str) -> float | None:
    for name in names:
        if name not in tree:
            return None
        tree = tree[name]
    return tree


def _head(names: Sequence[str]) -> list[str]:
    return [_row(names), "|" + " --- |" * len(names)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
