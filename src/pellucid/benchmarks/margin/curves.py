"""What a study's benchmark found: means with intervals over repetitions, a table for each metric."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t

from pellucid.benchmarks.margin.protocol import Measurement


@dataclass(frozen=True)
class Point:
    """The mean of some repetitions.

    Attributes:
        mean: Theirs.
        half: Half the width of its 95 % interval by Student's t; NaN for a single one.
        values: One a repetition.
    """

    mean: float
    half: float
    values: list[float]


def point(values: list[float]) -> Point:
    """The mean of values and its interval.

    Example:
        >>> result = point([1.0, 2.0, 3.0])
        >>> result.mean, round(result.half, 2)
        (2.0, 2.48)
    """
    n = len(values)
    half = float(t.ppf(0.975, n - 1)) * stdev(values) / math.sqrt(n) if n > 1 else math.nan
    return Point(fmean(values), half, values)


@dataclass
class Curves:
    """Numbers, pictures and findings of a benchmark; see :class:`pellucid.benchmarks.margin.Protocol`."""

    name: str
    title: str
    source: str
    claim: str
    axis: str
    preset: str
    rows: list[Measurement]
    pictures: dict[str, dict[str, Any]]
    notes: list[str]
    findings: list[str]
    failed: list[tuple[str, str]]
    planned: int
    shown: dict[str, list[float]]
    best: dict[str, str]
    provenance: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def points(self) -> dict[tuple[str, str, str, float], Point]:
        """(table, metric, method, x) -> its mean."""
        groups: dict[tuple[str, str, str, float], list[float]] = defaultdict(list)
        for row in sorted(self.rows, key=lambda row: row.repetition):
            groups[row.table, row.metric, row.method, row.x].append(row.value)
        return {place: point(values) for place, values in groups.items()}

    @cached_property
    def charts(self) -> dict[tuple[str, str], dict[str, dict[float, Point]]]:
        """(table, metric) -> method -> x -> its mean, all in the order in which they came."""
        out: dict[tuple[str, str], dict[str, dict[float, Point]]] = {}
        for (table, metric, method, x), mean in self.points.items():
            out.setdefault((table, metric), {}).setdefault(method, {})[x] = mean
        return out

    def columns(self, table: str, metric: str) -> list[float]:
        """The x that a table shows."""
        there = sorted({x for places in self.charts[table, metric].values() for x in places})
        chosen = [x for x in there if any(math.isclose(x, wanted) for wanted in self.shown.get(metric, there))]
        return chosen or there

    def winners(self, table: str, metric: str) -> dict[float, set[str]]:
        """X -> the methods with the best mean there; the oracle does not take part."""
        out = {}
        if metric in self.best:
            pick = max if self.best[metric] == "high" else min
            lines = {method: line for method, line in self.charts[table, metric].items() if method != "oracle"}
            for x in self.columns(table, metric):
                means = {method: round(line[x].mean, 4) for method, line in lines.items() if x in line}
                if means:
                    out[x] = {method for method, mean in means.items() if mean == pick(means.values())}
        return out

    def document(self) -> dict[str, Any]:
        """For JSON: every mean with its interval and values."""
        return {
            "benchmark": self.name, "title": self.title, "source": self.source, "claim": self.claim,
            "preset": self.preset, "axis": self.axis, "findings": self.findings, "notes": self.notes,
            "failed": [list(entry) for entry in self.failed], "provenance": self.provenance,
            "points": [{"table": table, "metric": metric, "method": method, "x": _json(x), "mean": _json(p.mean),
                        "half": _json(p.half), "values": [_json(v) for v in p.values]}
                       for (table, metric, method, x), p in self.points.items()],
        }  # fmt: skip


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None
