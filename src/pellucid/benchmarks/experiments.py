"""The papers' tables as experiments, one YAML each: what is run, what is searched, and what was published.

``experiments/lri-table2.yaml`` shows the layout; ``lri-table3.yaml`` that of a table whose columns are one recipe with
several options.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pellucid.datasets import datasets
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.training.config import RunConfig, merge

LABELS = {
    "dgcnn": "DGCNN", "point_transformer": "Point Transformer", "egnn": "EGNN",
    "actstrack": "ActsTrack", "tau3mu": "Tau3Mu", "synmol": "SynMol", "plbind": "PLBind",
    "random": "Random", "erm": "ERM", "gradgeo": "GradGeo", "bernmask": "BernMask", "bernmask-p": "BernMask-P",
    "pointmask": "PointMask", "gradgam": "GradGAM", "lri-bernoulli": "LRI-Bernoulli", "lri-gaussian": "LRI-Gaussian",
    "joint": "Joint", "integrated-gradients": "Integrated Gradients", "centroid": "Centroid",
    "density": "Density",
    "interpretation.roc_auc": "ROC AUC", "classification.roc_auc": "Classification AUC",
    "directions.angle": "Angle, median of all hits (°)", "directions.angle_assisted": "Angle, mean, assisted (°)",
    "directions.angle_assisted_events": "Angle, assisted, of events (°)",
    "directions.deviation_ratio": "Ratio of deviations", "directions.eigen_ratio": "Eigen-ratio",
    "directions.eigen_ratio_events": "Eigen-ratio, of events",
    "directions.radial.angle": "Angle of the radius (°)",
}  # fmt: skip
_NUMBER = r"(\d+(?:\.\d+)?)"
_DOUBT = " (doubtful: "
_PRINTED = re.compile(rf"{_NUMBER}(?: ± {_NUMBER})?")

Scalar = bool | int | float | str
Setting = Scalar | dict[str, Scalar]
"""A value, or one for each dataset."""
Choices = list[Scalar | dict[str, Scalar]]
"""Values to choose from; a mapping sets several settings at once."""


def label(name: str) -> str:
    """How the papers write a name.

    Example:
        >>> label("point_transformer"), label("interpretation.precision@5"), label("mine")
        ('Point Transformer', 'Prec@5', 'mine')
    """
    return LABELS.get(name) or re.sub(r"^interpretation\.precision@", "Prec@", name)


def factor(metric: str) -> float:
    """By what a number is multiplied where the tables print it: 100 for shares, 1 for angles in degrees.

    Example:
        >>> factor("interpretation.roc_auc"), factor("directions.angle")
        (100.0, 1.0)
    """
    return 1.0 if metric.startswith("directions.") else 100.0


@dataclass(frozen=True)
class Published:
    """One cell of a table in the paper.

    Attributes:
        metric: Place in ``metrics.json``, e.g. ``"interpretation.roc_auc"``.
        mean: In [0, 1] where the paper prints percent; as printed for angles.
        std: Standard deviation over seeds, same scale; NaN where none is printed.
        source: Where it stands, and what is doubtful about our reading of it.
    """

    metric: str
    mean: float
    std: float
    source: str

    @property
    def doubt(self) -> str:
        """What is doubtful about it; empty if nothing is."""
        return self.source.partition(_DOUBT)[2].removesuffix(")")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TableColumn(_Strict):
    """A column of the table: a dataset, and what is measured on it.

    Attributes:
        metrics: In the order of the published cells.
        extra_metrics: Further ones, of which nothing is published.
        recipe: Registered dataset; None for the column's own name.
        options: Of the recipe.
        label: How the column is written; None for the usual name.
    """

    metrics: tuple[str, ...]
    extra_metrics: tuple[str, ...] = ()
    recipe: str | None = None
    options: dict[str, Scalar | None] = Field(default_factory=dict)
    label: str | None = None

    @property
    def all_metrics(self) -> tuple[str, ...]:
        """Those of the paper, then ours."""
        return self.metrics + self.extra_metrics


class Axis(_Strict):
    """An option of the datasets that a metric is fitted against: the experiment has a figure.

    Attributes:
        option: Of the recipe.
        label: Of the axis, with its unit.
    """

    option: str
    label: str


class Variant(_Strict):
    """What stands behind a row: a method with settings of its own, or an explainer of a trained method.

    Attributes:
        method: That is trained.
        explainer: Of the trained model; None for the importance that it learned.
        ensemble: Whether the explanations of the models of all seeds are one, the mean of their ranks: one value.
        label: How the row is written; None for the usual name.
        over: Settings of its own.
    """

    method: str
    explainer: str | None = None
    ensemble: bool = False
    label: str | None = None
    over: dict[str, Setting] = Field(default_factory=dict)


class Preset(_Strict):
    """How thoroughly an experiment is run.

    Attributes:
        settings: Preset of the dataset's settings.
        seeds: Of the runs whose mean and deviation are reported.
        search_seed: Of the runs that the search compares.
        over: Settings laid over those of every method.
        grid: Method -> setting -> values to search, or the name of an experiment whose grid it is.
        datasets: Columns that are run where none are asked for; None for all that can be made.
    """

    settings: str
    seeds: tuple[int, ...] = Field(min_length=1)
    search_seed: int = Field(0, ge=0)
    over: dict[str, Setting] = Field(default_factory=dict)
    grid: str | dict[str, dict[str, Choices | dict[str, Choices]]] = Field(default_factory=dict)
    datasets: tuple[str, ...] | None = None


class Experiment(_Strict):
    """One table of a paper. Settings have dotted places, as with ``--set``; ``explainer.*`` goes to the explainer.

    Example:
        >>> table = experiment("lri-table2")
        >>> len(table.points("paper", "synmol", "lri-gaussian")), table.published("synmol", "egnn", "gradgam",
        ...     "interpretation.roc_auc").mean
        (12, 0.57)
    """

    name: str
    title: str
    source: str
    """The paper, and after the last comma its table."""
    backbones: tuple[str, ...]
    methods: tuple[str, ...]
    extra_methods: tuple[str, ...] = ()
    variants: dict[str, Variant] = Field(default_factory=dict)
    datasets: dict[str, TableColumn]
    presets: dict[str, Preset]
    axis: Axis | None = None
    doubts: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    printed: dict[str, dict[str, dict[str, list[str | float]]]] = Field(default_factory=dict, alias="published")

    @property
    def all_methods(self) -> tuple[str, ...]:
        """The paper's in its order, then ours."""
        return self.methods + self.extra_methods

    @property
    def labels(self) -> dict[str, str]:
        """Readable names of methods that have one of their own here."""
        named = {name: variant.label for name, variant in self.variants.items()}
        named |= {name: column.label for name, column in self.datasets.items()}
        return {name: text for name, text in named.items() if text}

    def recipe(self, dataset: str) -> str:
        """The registered dataset behind a column."""
        column: TableColumn = self._known("dataset", dataset, self.datasets)
        return column.recipe or dataset

    @cached_property
    def cells(self) -> dict[tuple[str, str, str, str], Published]:
        """All published cells by dataset, backbone, method and metric.

        Raises:
            PellucidError: if a cell is not what the tables print, or stands at an unknown place.
        """
        cells = {}
        for dataset, rows in self.printed.items():
            metrics = self._known("dataset", dataset, self.datasets).metrics
            for method, row in rows.items():
                self._known("method", method, dict.fromkeys(self.methods))
                for backbone, entries in row.items():
                    self._known("backbone", backbone, dict.fromkeys(self.backbones))
                    if len(entries) != len(metrics):
                        raise PellucidError(f"expected {len(metrics)} published numbers for {dataset} {method} "
                                            f"{backbone} in {self.name}, got {len(entries)}; give one a metric")
                    for metric, entry in zip(metrics, entries, strict=True):
                        cells[dataset, backbone, method, metric] = self._read(dataset, backbone, method, metric, entry)
        return cells

    def _read(self, dataset: str, backbone: str, method: str, metric: str, entry: str | float) -> Published:
        match = _PRINTED.fullmatch(str(entry))
        if match is None:
            raise PellucidError(f"expected a published number like '72.10 ± 9.66' in {self.name}, got {entry!r} for "
                                f"{dataset} {method} {backbone} {metric}; copy it as printed")
        names = (*(self.labels.get(name, label(name)) for name in (dataset, method)), label(backbone), label(metric))
        doubt = self.doubts.get(f"{dataset} {method} {backbone} {metric}")
        # Divided as decimals: 99.02 / 100 must be 0.9902.
        power = -round(math.log10(factor(metric)))
        mean, std = (float("nan") if text is None else float(f"{text}e{power}") for text in match.groups())
        paper, _, table = self.source.rpartition(", ")
        return Published(metric, mean, std, f"{table}, {', '.join(names)}, {paper}"
                         + (f"{_DOUBT}{doubt})" if doubt else ""))

    def _known(self, kind: str, name: str, known: dict[str, Any]) -> Any:
        if name not in known:
            raise UnknownNameError(f"{kind} of {self.name}", name, known)
        return known[name]

    @model_validator(mode="after")
    def _check(self) -> Self:
        places = {f"{dataset} {method} {backbone} {metric}" for dataset, backbone, method, metric in self.cells}
        for place in self.doubts:
            if place not in places:
                raise PellucidError(f"expected a doubt about a published cell of {self.name}, got one about {place!r}; "
                                    "write DATASET METHOD BACKBONE METRIC")
        everything = dict.fromkeys(self.all_methods)
        for name, variant in self.variants.items():
            self._known("method", name, everything)
            self._check_settings(variant.over)
            if variant.ensemble and variant.explainer is None:
                raise PellucidError(f"expected an explainer for the ensemble {name} of {self.name}, got none; name one")
        for preset in self.presets.values():
            for name in preset.datasets or ():
                self._known("dataset", name, self.datasets)
            if len(set(preset.seeds)) < len(preset.seeds) or min(preset.seeds) < 0:
                raise PellucidError(f"expected different seeds >= 0 in {self.name}, got {list(preset.seeds)}")
            self._check_settings(preset.over)
            for method, axes in ({} if isinstance(preset.grid, str) else preset.grid).items():
                self._known("method", method, everything)
                for axis, choices in axes.items():
                    self._check_axis(axis, choices)
        return self

    def _check_axis(self, axis: str, choices: Choices | dict[str, Choices]) -> None:
        if isinstance(choices, dict):
            self._check_each_dataset(axis, choices)
        for values in choices.values() if isinstance(choices, dict) else [choices]:
            if not values:
                raise PellucidError(f"expected values to search for {axis} in {self.name}, got none; leave it out")
            for value in values:
                for place, entry in (value if isinstance(value, dict) else {axis: value}).items():
                    _check_setting(place, entry)

    def _check_settings(self, settings: dict[str, Setting]) -> None:
        for place, entry in settings.items():
            if isinstance(entry, dict):
                self._check_each_dataset(place, entry)
            for value in entry.values() if isinstance(entry, dict) else [entry]:
                _check_setting(place, value)

    def _check_each_dataset(self, place: str, values: dict[str, Any]) -> None:
        if set(values) != set(self.datasets):
            raise PellucidError(f"expected {place} in {self.name} for each of {', '.join(self.datasets)}, got it for "
                                f"{', '.join(values)}; give one value or list a dataset")

    def variant(self, method: str) -> Variant:
        """What stands behind a row.

        Raises:
            UnknownNameError: for a row that the table has not.
        """
        self._known("method", method, dict.fromkeys(self.all_methods))
        return self.variants.get(method) or Variant(method=method)

    def preset(self, name: str) -> Preset:
        """A preset.

        Raises:
            UnknownNameError: for a preset that the experiment has not.
        """
        preset: Preset = self._known("preset", name, self.presets)
        return preset

    def available(self, asked: list[str] | None = None, preset: str | None = None) -> list[str]:
        """The datasets to run: those asked for, or the preset's, or all that can be made.

        Args:
            asked: Names; None = the preset's that can be made without a folder of the user's.
            preset: Its choice of datasets.

        Raises:
            PellucidError: if one that is asked for has only its published numbers here.
        """
        chosen = self.preset(preset).datasets if preset is not None else None
        here = [name for name in self.datasets if self.recipe(name) in datasets]
        for name in asked or []:
            self._known("dataset", name, self.datasets)
            if name not in here:
                raise PellucidError(f"expected a dataset that is here, got {name!r}, of which {self.name} has only the "
                                    f"published numbers so far; use {' or '.join(here) or 'another experiment'}")
        if asked is not None:
            return list(dict.fromkeys(asked))
        return [name for name in here
                if (chosen is None or name in chosen) and not datasets[self.recipe(name)].from_folder]

    def points(self, preset: str, dataset: str, method: str) -> list[dict[str, Scalar]]:
        """The settings that the search compares, each as dotted place -> value; one empty point if none.

        Args:
            preset: A preset.
            dataset: A dataset of the experiment.
            method: A row of the table.

        Raises:
            UnknownNameError: for a name that the experiment has not.
        """
        self.variant(method)
        self._known("dataset", dataset, self.datasets)
        grid = self.preset(preset).grid
        while isinstance(grid, str):
            grid = experiment(grid).preset(preset).grid
        axes = []
        for axis, choices in grid.get(method, {}).items():
            values = choices[dataset] if isinstance(choices, dict) else choices
            axes.append([value if isinstance(value, dict) else {axis: value} for value in values])
        return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*axes)]

    def over(self, preset: str, dataset: str, method: str, point: dict[str, Scalar] | None = None) -> dict[str, Any]:
        """What is laid over the settings of the preset: the row's own, then the preset's, then the grid point's.

        Args:
            preset: A preset.
            dataset: A dataset of the experiment.
            method: A row of the table.
            point: One of :meth:`points`.

        Returns:
            Nested settings for :func:`pellucid.training.presets`; ``explainer`` is no part of them: take it out.

        Example:
            >>> experiment("lri-table6").over("standard", "synmol", "without-reconstruction")["method"]
            {'scale': 5, 'options': {'relative': '', 'beta': 0.01, 'graph_reconstruction': False}}
        """
        self._known("dataset", dataset, self.datasets)
        settings: dict[str, Setting] = {**self.variant(method).over, **self.preset(preset).over, **(point or {})}
        return nested({place: value[dataset] if isinstance(value, dict) else value
                       for place, value in settings.items()})

    def published(self, dataset: str, backbone: str, method: str, metric: str) -> Published | None:
        """A published cell, or None where the paper has none."""
        return self.cells.get((dataset, backbone, method, metric))


def nested(settings: dict[str, Scalar]) -> dict[str, Any]:
    """Dotted places as nested dictionaries.

    Example:
        >>> nested({"method.scale": 5, "method.options.beta": 0.1})
        {'method': {'scale': 5, 'options': {'beta': 0.1}}}
    """
    result: dict[str, Any] = {}
    for place, value in settings.items():
        entry: Any = value
        for key in reversed(place.split(".")):
            entry = {key: entry}
        result = merge(result, entry)
    return result


def _check_setting(place: str, value: Scalar) -> None:
    if not re.fullmatch(r"explainer\.options\.\w+", place):
        RunConfig.parse(nested({place: value}))


def load(place: Path | Traversable) -> Experiment:
    """Reads an experiment.

    Args:
        place: A YAML file.

    Raises:
        PellucidError: one sentence that names the first wrong entry.
    """
    try:
        content = yaml.safe_load(place.read_text(encoding="utf-8"))
        return Experiment.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PellucidError(f"expected an experiment as YAML in {place}, got {' '.join(str(error).split())}; check "
                            "the file") from error
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, PellucidError):
            raise cause from None
        raise PellucidError(f"expected a valid experiment in {place.name}, got {first.get('input')!r} in "
                            f"{'.'.join(map(str, first['loc']))!r} ({first['msg']}); see lri-table2.yaml") from None


def experiments() -> list[str]:
    """Names of all experiments."""
    return sorted(place.name.removesuffix(".yaml") for place in (files("pellucid.benchmarks") / "experiments").iterdir()
                  if place.name.endswith(".yaml"))


@cache
def experiment(name: str) -> Experiment:
    """An experiment by name.

    Raises:
        UnknownNameError: for an unknown name; the message lists what exists.

    Example:
        >>> experiment("lri-table4").methods
        ('erm', 'lri-bernoulli', 'lri-gaussian')
    """
    if name not in experiments():
        raise UnknownNameError("experiment", name, experiments())
    return load(files("pellucid.benchmarks") / "experiments" / f"{name}.yaml")


def published(dataset: str, method: str, backbone: str, options: Mapping[str, Any], targets: Sequence[str]
              ) -> list[Published]:
    """All published cells of one dataset, method and backbone; empty where the papers have none.

    Numbers stand only beside data that are those of a paper or were made as those: the recipe says by which options
    one knows them (:attr:`pellucid.datasets.base.Dataset.as_published`). Where a run does not know the options, as of
    clouds that a user made, or has other targets than the recipe, there are none.

    Args:
        dataset: Registered name.
        method: Of the run.
        backbone: Of the run.
        options: What the dataset was made of: the key of its provenance.
        targets: Names of what the run predicts.

    Example:
        >>> len(published("synmol", "lri-gaussian", "egnn", {"source": "zinc"}, ["alkane and carbonyl"]))
        4
        >>> published("synmol", "lri-gaussian", "egnn", {}, ["my own"])
        []
    """
    found = [cell for name in experiments() for place, cell in experiment(name).cells.items()
             if place[:3] == (dataset, backbone, method)]
    if not found or dataset not in datasets:
        return []
    recipe = datasets[dataset]
    known = options and all(options.get(name) in values for name, values in recipe.as_published.items())
    return found if known and list(targets) == [target.name for target in recipe().targets] else []
