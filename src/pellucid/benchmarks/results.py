"""Tables of results: what our runs gave beside what was published."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from scipy.stats import kendalltau

from pellucid.benchmarks.experiments import Published, factor, label
from pellucid.errors import PellucidError
from pellucid.files import json_ready

RANDOM = "random"
"""The row of the uninformed ranking: drawn as a line, and no method among those that are ordered."""


@dataclass(frozen=True)
class Cell:
    """One number of a table: a metric of a method on a dataset, over seeds.

    Attributes:
        dataset: Dataset name.
        backbone: Backbone name.
        method: Row of the table (method, explainer or variant).
        metric: Place in ``metrics.json``.
        values: One a finished seed.
        seeds: Of ``values``, in their order.
        planned: How many seeds there will be.
        published: What the paper has, if anything.
        failed: (seed, reason) of the seeds that failed.

    Raises:
        PellucidError: if values and seeds do not match, or a value is not finite.

    Example:
        >>> cell = Cell("synmol", "egnn", "gradgeo", "interpretation.roc_auc", (0.7, 0.8), (0, 1), 2,
        ...             Published("interpretation.roc_auc", 0.7349, 0.0523, "Table 2"))
        >>> round(cell.mean, 3), round(cell.std, 3), cell.within
        (0.75, 0.071, True)
    """

    dataset: str
    backbone: str
    method: str
    metric: str
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    planned: int
    published: Published | None = None
    failed: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        place = f"{self.dataset} {self.backbone} {self.method} {self.metric}"
        if len(self.values) != len(self.seeds) or not all(map(math.isfinite, self.values)):
            raise PellucidError(f"expected one finite value a seed for {place}, got {list(self.values)} for seeds "
                                f"{list(self.seeds)}; count a seed without a value as failed")
        seeds = [*self.seeds, *(seed for seed, _ in self.failed)]
        if len(set(seeds)) < len(seeds) or len(seeds) > self.planned:
            raise PellucidError(f"expected at most {self.planned} different seeds for {place}, got {seeds}; count "
                                "each seed once")

    @property
    def mean(self) -> float:
        """Over the finished seeds; NaN where there is none."""
        return statistics.fmean(self.values) if self.values else math.nan

    @property
    def std(self) -> float:
        """Over the finished seeds, with n - 1; NaN for fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else math.nan

    @property
    def difference(self) -> float:
        """Ours less the published mean; NaN where one of them is missing."""
        return self.mean - self.published.mean if self.published else math.nan

    @property
    def within(self) -> bool | None:
        """Whether the difference is at most one published standard deviation; None where that is unknown."""
        if self.published is None or math.isnan(self.difference) or math.isnan(self.published.std):
            return None
        return abs(self.difference) <= self.published.std + 1e-12  # 0.95 - 0.94 is not above 0.01

    @property
    def mark(self) -> str:
        """``≈`` within one published standard deviation, ``↑`` above it, ``↓`` below it, empty where unknown."""
        return "" if self.within is None else "≈" if self.within else "↑" if self.difference > 0 else "↓"


@dataclass(frozen=True)
class Choice:
    """What a search chose.

    Attributes:
        settings: Dotted place -> value.
        score: Of the validation prediction, by which it was chosen.
        tried: Number of settings compared.
    """

    settings: dict[str, Any]
    score: float
    tried: int = 1


@dataclass(frozen=True)
class ResultTable:
    """A table of results.

    Attributes:
        name: Of the experiment.
        title: What it shows.
        source: Where the published numbers stand.
        preset: How thoroughly it was run.
        cells: All numbers, those to come included.
        methods: Rows in their order; names without cells are left out.
        backbones: In their order.
        metrics: Columns in their order; each dataset shows those that it has cells of.
        chosen: (dataset, backbone, method) -> what the search chose.
        provenance: How it was made, as nested as need be.
        notes: Remarks for readers.
        labels: Readable names that are this table's own.

    Raises:
        PellucidError: if a cell stands twice, or at a place that is not in the order of the table.
    """

    name: str
    title: str
    source: str
    preset: str
    cells: tuple[Cell, ...]
    methods: tuple[str, ...]
    backbones: tuple[str, ...]
    metrics: tuple[str, ...]
    chosen: dict[tuple[str, str, str], Choice] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self._by_place) < len(self.cells):
            raise PellucidError(f"expected each cell of {self.name} once, got {len(self.cells)} for "
                                f"{len(self._by_place)} places; leave the repeated ones out")
        for cell in self.cells:
            if (cell.method not in self.methods or cell.backbone not in self.backbones
                    or cell.metric not in self.metrics):
                raise PellucidError(f"expected cells of the methods, backbones and metrics of {self.name}, got "
                                    f"{cell.method} {cell.backbone} {cell.metric}; add it to the order of the table")

    @cached_property
    def _by_place(self) -> dict[tuple[str, str, str, str], Cell]:
        return {(c.dataset, c.backbone, c.method, c.metric): c for c in self.cells}

    @property
    def datasets(self) -> list[str]:
        """In the order of their first cells."""
        return list(dict.fromkeys(cell.dataset for cell in self.cells))

    def metrics_of(self, dataset: str) -> list[str]:
        """The columns that a dataset has."""
        here = {cell.metric for cell in self.cells if cell.dataset == dataset}
        return [metric for metric in self.metrics if metric in here]

    def rows_of(self, dataset: str, backbone: str) -> list[str]:
        """The methods that a dataset and backbone have cells of."""
        here = {cell.method for cell in self.cells if (cell.dataset, cell.backbone) == (dataset, backbone)}
        return [method for method in self.methods if method in here]

    def cell(self, dataset: str, backbone: str, method: str, metric: str) -> Cell | None:
        """The cell at a place, or None."""
        return self._by_place.get((dataset, backbone, method, metric))

    def label(self, name: str) -> str:
        """How a name is written for readers."""
        return self.labels.get(name, label(name))

    def document(self) -> dict[str, Any]:
        """All of it such that JSON can hold it; NaN becomes None."""
        cells = [asdict(cell) | {"mean": cell.mean, "std": cell.std, "difference": cell.difference,
                                 "within": cell.within} for cell in self.cells]
        content = {"name": self.name, "title": self.title, "source": self.source, "preset": self.preset,
                   "methods": self.methods, "backbones": self.backbones, "metrics": self.metrics,
                   "labels": {name: self.label(name) for name in (*self.methods, *self.backbones, *self.metrics,
                                                                  *self.datasets)},
                   "cells": cells,
                   "chosen": [{"dataset": d, "backbone": b, "method": m, **asdict(choice)}
                              for (d, b, m), choice in self.chosen.items()],
                   "order": [asdict(agreement) for agreement in order_agreement(self)],
                   "notes": self.notes, "provenance": self.provenance}
        document: dict[str, Any] = json_ready(content)
        return document


@dataclass(frozen=True)
class Discordance:
    """Two methods whose order is not the published one, although the published gap is larger than either deviation.

    Attributes:
        better: The better one as published.
        worse: The worse one as published.
        published: Published mean of ``better`` less that of ``worse``.
        ours: The same of our means: zero or negative.
    """

    better: str
    worse: str
    published: float
    ours: float


@dataclass(frozen=True)
class Agreement:
    """How far our order of methods agrees with the published one.

    Attributes:
        dataset: Dataset name.
        backbone: Backbone name.
        metric: Metric.
        methods: How many methods have both numbers.
        tau: Kendall's tau-b: 1 = the same order, -1 = the reverse; NaN where all are equal.
        discordant: Pairs in another order that the published deviations do not explain.
    """

    dataset: str
    backbone: str
    metric: str
    methods: int
    tau: float
    discordant: tuple[Discordance, ...]


def order_agreement(table: ResultTable) -> list[Agreement]:
    """Compares our order of methods with the published one.

    The random row is no method and is left out; so are places with fewer than two methods that have both numbers.

    Args:
        table: Results.

    Returns:
        One entry a dataset, metric and backbone.
    """
    found = []
    for dataset in table.datasets:
        for metric in table.metrics_of(dataset):
            if factor(metric) != 100:  # of an angle, less is better, and hardly two methods have one
                continue
            for backbone in table.backbones:
                pairs = [(cell.method, cell.mean, cell.published) for method in table.methods if method != RANDOM
                         and (cell := table.cell(dataset, backbone, method, metric)) and cell.values and cell.published]
                if len(pairs) > 1:
                    tau = kendalltau([mean for _, mean, _ in pairs], [cell.mean for _, _, cell in pairs]).statistic
                    found.append(Agreement(dataset, backbone, metric, len(pairs), float(tau), _discordant(pairs)))
    return found


def _discordant(pairs: list[tuple[str, float, Published]]) -> tuple[Discordance, ...]:
    found = []
    for better, our_better, high in pairs:
        for worse, our_worse, low in pairs:
            stds = [std for std in (high.std, low.std) if not math.isnan(std)]
            if high.mean - low.mean > max(stds, default=0.0) and our_better <= our_worse:
                found.append(Discordance(better, worse, high.mean - low.mean, our_better - our_worse))
    return tuple(sorted(found, key=lambda pair: -pair.published))
