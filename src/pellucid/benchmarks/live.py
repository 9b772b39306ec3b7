"""The table that fills in while a benchmark runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any, Self

from rich import live as rich_live
from rich.console import Console, Group
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pellucid.benchmarks.experiments import factor
from pellucid.benchmarks.job import Job
from pellucid.benchmarks.plan import BenchPlan, cost_group
from pellucid.benchmarks.results import Cell
from pellucid.benchmarks.runner import Event
from pellucid.benchmarks.store import Record
from pellucid.progress import console as plain

WORDS = {"cached": "from the store", "finished": "done", "failed": "failed", "retried": "begun again"}


class Live:
    """Follows a run: counts, the table so far, and the time left.

    On a terminal the table is drawn again at every event; elsewhere each event is one line.

    Args:
        plan: What runs.
        history: Cost group -> seconds of earlier runs.
        slots: Jobs at a time.
        show: Whether anything is printed (to stderr).
        console: Where to; None for stderr.
    """

    def __init__(self, plan: BenchPlan, history: Mapping[Hashable, float], slots: int, *, show: bool = True,
                 console: Console | None = None) -> None:
        self.plan, self.slots, self.show = plan, max(slots, 1), show
        self.history = dict(history)
        self.console = console or plain()
        self.results: dict[str, Record] = {}
        self.running: dict[str, float] = {}
        self._kinds: Counter[str] = Counter()
        self._estimated, self._took = 0.0, 0.0
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
                             console=self.console)
        self._task = self._bar.add_task("", total=1)
        self._live: rich_live.Live | None = None

    def __enter__(self) -> Self:
        if self.show and self.console.is_terminal:
            self._live = rich_live.Live(self._drawn(), console=self.console, refresh_per_second=2,
                                        get_renderable=self._drawn)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.update(self._drawn(), refresh=True)
            self._live.stop()
            self._live = None

    def watch(self, event: Event) -> None:
        """Takes an event in, as the runner's ``watch``."""
        job = event.job
        if event.kind == "started":
            self.running[job.key] = time.monotonic()
        else:
            self._kinds[event.kind] += 1
        if event.record is not None:
            self.results[job.key] = event.record
            self.running.pop(job.key, None)
            if event.kind == "finished" and event.record.seconds:
                self._estimated += self._guess(job)
                self._took += event.record.seconds
        if self.show and not self.console.is_terminal and event.kind != "started":
            took = f" in {event.record.seconds:.0f} s" if event.record and event.record.seconds else ""
            reason = f": {event.record.reason}" if event.record and event.record.status == "failed" else ""
            self.console.print(f"{job.label}: {WORDS[event.kind]}{took}{reason}; about {_time(self.seconds_left())} "
                               "left", markup=False, highlight=False, soft_wrap=True)

    def counts(self) -> dict[str, int]:
        """Jobs by how they ended, for the provenance."""
        return {WORDS[kind]: self._kinds[kind] for kind in WORDS}

    def estimate(self, job: Job) -> float:
        """Seconds that a job will take: the median of earlier ones, else the plan's guess as fast as it has proved."""
        known = self.history.get(cost_group(job.content))
        if known is not None:
            return known
        return self._guess(job) * (self._took / self._estimated if self._estimated else 1.0)

    @staticmethod
    def _guess(job: Job) -> float:
        return job.estimate or 60.0

    def seconds_left(self) -> float:
        """Of the wall clock, with all slots busy."""
        now = time.monotonic()
        left = 0.0
        for jobs in self.plan.left(self.results).values():
            for job in jobs:
                spent = now - self.running[job.key] if job.key in self.running else 0.0
                left += max(self.estimate(job) - spent, 1.0)
        return left / self.slots

    def outline(self, known: Mapping[str, Record]) -> dict[str, Any]:
        """The plan of a dry run.

        Returns:
            ``rows``: for each dataset, backbone and method, runs to do and estimated seconds of computing; ``runs``,
            ``from the store`` and ``seconds`` (wall clock) of all; ``unprepared``: datasets that must be made first,
            whose time is not in it.
        """
        self.results = dict(known)
        rows = [{"dataset": d, "backbone": b, "method": m, "runs": len(jobs),
                 "seconds": round(sum(map(self.estimate, jobs)))}
                for (d, b, m), jobs in self.plan.left(known).items()]
        return {"rows": rows, "runs": sum(row["runs"] for row in rows), "from the store": len(known),
                "slots": self.slots, "seconds": round(self.seconds_left()), "unprepared": self.plan.unprepared}

    # -- drawing ------------------------------------------------------------------------------------------------
    def _drawn(self) -> Group:
        table = self.plan.table(self.results)
        drawn = Table(title=Text(f"{table.name}, {table.preset}"), title_justify="left")
        drawn.add_column("")
        for dataset in table.datasets:
            for backbone in table.backbones:
                drawn.add_column(Text(f"{dataset}\n{table.label(backbone)}"), justify="right")
        for method in table.methods:
            cells = []
            for dataset in table.datasets:
                metric = table.metrics_of(dataset)[0]
                for backbone in table.backbones:
                    cell = table.cell(dataset, backbone, method, metric)
                    cells.append(Text() if cell is None else _cell_text(cell))
            drawn.add_row(Text(table.label(method)), *cells)
        left = self.plan.left(self.results)
        todo = sum(map(len, left.values()))
        done = len(self.results)
        names = ", ".join(self.plan.jobs[key].label for key in self.running if key in self.plan.jobs)
        self._bar.update(self._task, total=done + todo, completed=done,
                         description=f"about {_time(self.seconds_left())} left")
        return Group(drawn, Text(f"running: {names or 'nothing'}", style="dim"), self._bar)


def outline_table(outline: dict[str, Any]) -> Table:
    """What :meth:`Live.outline` says, for people."""
    total = (f"{outline['runs']} runs to do, {outline['from the store']} from the store, about "
             f"{_time(outline['seconds'])} with {outline['slots']} at a time")
    if outline["unprepared"]:
        total += (f"; not prepared yet: {', '.join(outline['unprepared'])} (sizes are estimates, and making them takes "
                  "time besides)")
    table = Table("dataset", "backbone", "method", "runs", "computing", title=Text(total), title_justify="left")
    for row in outline["rows"]:
        words = row["dataset"], row["backbone"], row["method"], str(row["runs"]), _time(row["seconds"])
        table.add_row(*map(Text, words))
    return table


def _cell_text(cell: Cell) -> Text:
    if not cell.values:
        return Text("failed", style="red") if cell.failed else Text(f"0/{cell.planned}", style="dim")
    scale = factor(cell.metric)
    text = Text(f"{scale * cell.mean:.2f}")
    if len(cell.values) > 1:
        text.append(f" ± {scale * cell.std:.2f}")
    if len(cell.values) < cell.planned:
        text.append(f" {len(cell.values)}/{cell.planned}", style="dim")
    return text.append(" !", style="red") if cell.failed else text


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
