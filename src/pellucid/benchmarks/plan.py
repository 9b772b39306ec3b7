"""From an experiment to jobs, and from their results to its table."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pellucid.benchmarks.code import code_digest
from pellucid.benchmarks.experiments import Experiment, Scalar
from pellucid.benchmarks.job import Job
from pellucid.benchmarks.results import Cell, Choice, ResultTable
from pellucid.benchmarks.store import Record
from pellucid.datasets import AnnouncedDataset, PreparedDataset
from pellucid.errors import UnknownNameError
from pellucid.families import backbones, explainers, frames, methods, metrics, objectives, views
from pellucid.training import RunConfig
from pellucid.training.config import merge
from pellucid.training.data import data_digest
from pellucid.training.fit import warm_up_identity
from pellucid.training.presets import explainer_options, settings

PLAIN, NOISY, MASK = 2.8, 6.5, 40.0
"""Seconds per 100,000 points on one core, for a first estimate: a plain epoch, an epoch with an interpreter, and 100
steps of a mask (docs/results.md has the runs they come from)."""
Place = tuple[str, str, str]


def deciding(config: RunConfig) -> tuple[str, ...]:
    """The modules of what a configuration names: registries import them by name, so that no import leads to them.

    Example:
        >>> "pellucid.methods.lri_gaussian" in deciding(RunConfig.parse({"method": {"name": "lri-gaussian"}}))
        True
    """
    seen = {config.backbone.view, config.method.rule.view}
    own = config.method.options.get("frame"), config.method.options.get("relative")
    named = [methods[config.method.name], backbones[config.backbone.name], objectives[config.objective.name],
             *(views[name] for name in sorted(seen)), *(frames[str(name)] for name in own if name)]
    return tuple(dict.fromkeys(entry.__module__ for entry in named))


def judging() -> tuple[str, ...]:
    """What does the jobs, and the modules of all metrics, by which results are judged."""
    return ("pellucid.benchmarks.work", *sorted({metrics[name].__module__ for name in metrics}))


@dataclass
class MethodRow:
    """One method on one dataset and backbone: what the search compares, and one job for each seed of what it chose."""

    place: Place
    points: list[dict[str, Scalar]]
    search: list[Job] = field(default_factory=list)
    chosen: int | None = None
    final: dict[int, Job] = field(default_factory=dict)


class BenchPlan:
    """The jobs of an experiment, as :class:`pellucid.benchmarks.runner.Plan`.

    A search compares settings with the search seed, by the validation prediction alone; the best one runs with all
    seeds. Post-hoc explainers share the trained classifier of their backbone and seed, and trainings with the same
    warm-up share that.

    Args:
        experiment: What to run.
        preset: How thoroughly.
        data: The datasets by name; with those that are only announced the plan can be told, not run.
        chosen_backbones: Of the experiment; None for all.
        chosen_methods: Of the experiment; None for all.
        seeds: Instead of the preset's.
        artifacts: Folder for models, which all workers must see.
        device: Where jobs compute.

    Raises:
        PellucidError: for unknown names or settings that do not fit, before any work starts.
    """

    def __init__(self, experiment: Experiment, preset: str,
                 data: Mapping[str, PreparedDataset | AnnouncedDataset], *,
                 chosen_backbones: Sequence[str] | None = None, chosen_methods: Sequence[str] | None = None,
                 seeds: Sequence[int] | None = None, artifacts: str, device: str = "cpu") -> None:
        self.experiment, self.preset_name, self.preset = experiment, preset, experiment.preset(preset)
        self.seeds = tuple(self.preset.seeds if seeds is None else seeds)
        self.backbones = picked("backbone", experiment.backbones, chosen_backbones, backbones)
        self.methods = picked("method", experiment.all_methods, chosen_methods)
        self.artifacts, self.device = artifacts, device
        self._data = {name: self._about(name, prepared) for name, prepared in data.items()}
        self.unprepared = [name for name, one in data.items() if isinstance(one, AnnouncedDataset)]
        """Datasets that are only announced."""
        self.stored: set[str] = set()
        """Keys that the store has from before: what only they would need is not made again."""
        self.jobs: dict[str, Job] = {}
        self.uses: dict[str, set[str]] = defaultdict(set)
        """Key of what is shared -> keys of the jobs that use it."""
        self._configs: dict[str, RunConfig] = {}
        self.rows = [MethodRow((d, b, m), experiment.points(preset, d, m))
                     for d in self._data for b in self.backbones for m in self.methods]
        for row in self.rows:
            for point in row.points:
                job = self._job(row.place, point, self.preset.search_seed, len(row.points) > 1)
                if len(row.points) > 1:
                    row.search.append(job)
            if len(row.points) == 1:
                self._choose(row, 0)

    def left(self, results: Mapping[str, Record]) -> dict[Place, list[Job]]:
        """What is still to do for each row, shared classifiers and warm-ups with the first row that needs them.

        Of a row whose search has not ended, the runs to come are counted as those of its first setting.
        """
        seen = set(results)
        left: dict[Place, list[Job]] = {}
        wanted = {job.key: job for job in self.next(results)}
        for row in self.rows:
            final = row.final or {seed: self._job(row.place, row.points[0], seed, True) for seed in self._seeds(row)}
            jobs = []
            for job in [*row.search, *final.values()]:
                stack = [job]
                while stack:
                    job = stack.pop()
                    if job.key not in seen:
                        seen.add(job.key)
                        jobs.append(job)
                        stack += [self.jobs[need] for need in wanted.get(job.key, job).needs]
            left[row.place] = jobs
        return left

    @staticmethod
    def _about(name: str, prepared: PreparedDataset | AnnouncedDataset) -> dict[str, Any]:
        recipe = prepared.recipe
        if isinstance(prepared, AnnouncedDataset):  # no result in any store is of these
            return {"path": None, "digest": f"{name}, not prepared", "spec": None, "points": prepared.points}
        return {"path": str(prepared.path), "digest": data_digest(prepared.clouds),
                "spec": recipe.spec(prepared.clouds).document(), "points": prepared.clouds.points}

    # -- jobs ---------------------------------------------------------------------------------------------------
    def _job(self, place: Place, point: dict[str, Scalar], seed: int, searched: bool) -> Job:
        dataset, backbone, method = place
        variant = self.experiment.variant(method)
        over = self.experiment.over(self.preset_name, dataset, method, point)
        own = over.pop("explainer", {}).get("options", {})
        recipe = self.experiment.recipe(dataset)
        config = settings(recipe, variant.method, backbone, self.preset.settings, merge({"seed": seed}, over))
        tail = "".join(f" {name.split('.')[-1]}={value}" for name, value in point.items()) if searched else ""
        if variant.explainer is None:
            return self._train(dataset, config, f"{dataset} {backbone} {method}{tail} seed {seed}")
        runs = [self._train(dataset, config.model_copy(update={"seed": one}), f"{dataset} {backbone} {variant.method} "
                            f"seed {one}") for one in (self.seeds if variant.ensemble else (seed,))]
        options = {**explainer_options(recipe, variant.explainer, self.preset.settings, backbone), **own}
        explainer = explainers[variant.explainer]
        explainer(**options)  # refuses what does not fit, before any work starts
        about = self._data[dataset]
        needs = tuple(run.key for run in runs)
        identity = {"kind": "explain", "runs": needs, "explainer": variant.explainer, "options": options,
                    "seed": seed, "validate": searched}
        key = self._key(identity, about["digest"], *judging(), explainer.__module__)
        content = {**identity, "runs": [f"runs/{key}" for key in needs], "backbone": backbone, "data": about,
                   "artifacts": self.artifacts, "device": self.device}
        steps = options.get("steps", 0) * (about["points"] / 25 if not searched else about["points"] / 7)
        epochs = options.get("epochs", 0) * about["points"] * 0.8 * PLAIN
        estimate = 2 + len(runs) * (epochs + steps / 100 * MASK) / 1e5
        job = Job(key, f"{dataset} {backbone} {method}{tail} seed {seed}", content, needs, estimate=estimate)
        for need in needs:
            self.uses[need].add(key)
        return self.jobs.setdefault(key, job)

    def _train(self, dataset: str, config: RunConfig, label: str) -> Job:
        about = self._data[dataset]
        content = config.model_dump(mode="json", exclude={"preset"})
        key = self._key({"kind": "train", "config": content}, about["digest"], *judging(), *deciding(config))
        noisy = methods[config.method.name].supports.importance
        joint = config.training.epochs if noisy else 0
        rest = config.total_epochs - joint
        seconds = (joint * NOISY + rest * PLAIN) * about["points"] * 0.8 / 1e5
        job = Job(key, label, {"kind": "train", "config": config.model_dump(mode="json"), "folder": f"runs/{key}",
                               "warm_start": None, "data": about, "artifacts": self.artifacts, "device": self.device},
                  estimate=5 + seconds)
        self._configs[key] = config
        return self.jobs.setdefault(key, job)

    @staticmethod
    def _key(identity: dict[str, Any], digest: str, *modules: str) -> str:
        content = json.dumps({**identity, "data": digest, "code": code_digest(*modules)}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:24]

    # -- the plan -----------------------------------------------------------------------------------------------
    def next(self, results: Mapping[str, Record]) -> list[Job]:
        """All jobs that are wanted so far: those of the searches, then those of what they chose."""
        for row in self.rows:
            if row.chosen is None and all(job.key in results for job in row.search):
                scores = [_validation(results[job.key]) for job in row.search]
                ranked = [-math.inf if score is None else score for score in scores]
                self._choose(row, ranked.index(max(ranked)))
        wanted: dict[str, Job] = {}
        for row in self.rows:
            for job in [*row.search, *row.final.values()]:
                for need in (*job.needs, job.key):
                    wanted[need] = self.jobs[need]
        return self._with_warm_ups(wanted)

    def _choose(self, row: MethodRow, index: int) -> None:
        row.chosen = index
        row.final = {seed: self._job(row.place, row.points[index], seed, len(row.points) > 1)
                     for seed in self._seeds(row)}

    def _seeds(self, row: MethodRow) -> tuple[int, ...]:
        """Seeds of a row's values; an ensemble over them has one."""
        return self.seeds[:1] if self.experiment.variant(row.place[2]).ensemble else self.seeds

    def _with_warm_ups(self, wanted: dict[str, Job]) -> list[Job]:
        """Puts a warm-up that two or more trainings share before them."""
        groups: dict[tuple[str, str, int], list[str]] = defaultdict(list)
        plain: dict[tuple[str, str], list[str]] = defaultdict(list)
        for key in wanted:
            config = self._configs.get(key)
            if config is None:
                continue
            identity = (warm_up_identity(config), wanted[key].content["data"]["digest"])
            if config.training.warmup:
                groups[*identity, config.training.warmup].append(key)
            elif not methods[config.method.name].supports.importance:
                plain[identity].append(key)
        jobs: dict[str, Job] = {}
        for (warm_up, digest, epochs), keys in groups.items():
            sharing = keys + plain.pop((warm_up, digest), [])  # a plain run begins with any of its warm-ups
            if len(sharing) < 2 or all(key in self.stored for key in sharing):
                continue
            warm = self._warm_up(warm_up, epochs, self.jobs[keys[0]])
            jobs[warm.key] = warm
            for key in sharing:
                self.uses[warm.key].add(key)
                content = {**wanted[key].content, "warm_start": warm.content["folder"]}
                wanted[key] = self.jobs[key] = replace(wanted[key], content=content, needs=(warm.key,))
        # post-hoc explanations last: a killed benchmark has its models
        return [*jobs.values(), *sorted(wanted.values(), key=lambda job: job.content["kind"] == "explain")]

    def _warm_up(self, identity: str, epochs: int, like: Job) -> Job:
        about, config = like.content["data"], self._configs[like.key]
        key = self._key({"kind": "warm-up", "identity": identity, "epochs": epochs}, about["digest"], *judging(),
                        *deciding(config))
        dataset = like.label.split()[0]
        label = f"{dataset} {config.backbone.name} warm-up of {config.method.name} seed {config.seed}"
        content = {**like.content, "kind": "warm-up", "folder": f"runs/{key}", "warm_start": None}
        return self.jobs.setdefault(key, Job(key, label, content,
                                             estimate=3 + epochs * PLAIN * about["points"] * 0.8 / 1e5))

    # -- the table ----------------------------------------------------------------------------------------------
    def table(self, results: Mapping[str, Record], provenance: dict[str, Any] | None = None) -> ResultTable:
        """What is known so far, as a table."""
        cells, chosen = [], {}
        metrics = list(dict.fromkeys(m for name in self._data for m in self.experiment.datasets[name].all_metrics))
        for row in self.rows:
            dataset, backbone, method = row.place
            records = {seed: results[job.key] for seed, job in row.final.items() if job.key in results}
            failed = tuple((seed, record.reason or "") for seed, record in records.items() if record.status == "failed")
            for metric in self.experiment.datasets[dataset].all_metrics:
                known = {seed: _value(record, metric) for seed, record in records.items() if record.status == "done"}
                missing = tuple((seed, "the metric is undefined") for seed, value in known.items() if value is None)
                values = {seed: value for seed, value in known.items() if value is not None}
                cells.append(Cell(dataset, backbone, method, metric, tuple(values.values()), tuple(values),
                                  len(self._seeds(row)), self.experiment.published(dataset, backbone, method, metric),
                                  failed + missing))
            if row.search and row.chosen is not None:
                score = _validation(results.get(row.search[row.chosen].key))
                if score is not None:
                    chosen[row.place] = Choice(dict(row.points[row.chosen]), score, len(row.points))
        return ResultTable(self.experiment.name, self.experiment.title, self.experiment.source, self.preset_name,
                           tuple(cells), tuple(m for m in self.experiment.all_methods if m in self.methods),
                           tuple(self.backbones), tuple(metrics), chosen, provenance or {},
                           list(self.experiment.notes), self.experiment.labels)

    def costs(self, results: Mapping[str, Record]) -> dict[str, float]:
        """Seconds of computing, and those that sharing classifiers and warm-ups saved."""
        seconds = {key: results[key].seconds or 0.0 for key in results if results[key].status == "done"}
        saved = {"classifiers": 0.0, "warm-ups": 0.0}
        for key, users in self.uses.items():
            if key in seconds:
                kind = "warm-ups" if self.jobs[key].content["kind"] == "warm-up" else "classifiers"
                others = sum(user in seconds for user in users) - 1
                saved[kind] += max(others, 0) * seconds[key]
        return {"computing": round(sum(seconds.values()), 1),
                "saved by shared classifiers": round(saved["classifiers"], 1),
                "saved by shared warm-ups": round(saved["warm-ups"], 1)}

    def times(self, results: Mapping[str, Record]) -> dict[str, dict[str, float]]:
        """Mean seconds of each row's runs by backbone and method.

        A training counts with all its epochs, shared ones included; an explanation with fitting.
        """
        times: dict[str, dict[str, float]] = {}
        for row in self.rows:
            known = [results[job.key].result for job in row.final.values() if job.key in results]
            spent = [sum(v for part, v in result["seconds"].items() if part != "evaluation")
                     for result in known if result is not None]
            if spent:
                times.setdefault(" ".join(row.place[:2]), {})[row.place[2]] = round(sum(spent) / len(spent), 1)
        return times


def picked(kind: str, known: Sequence[str], asked: Sequence[str] | None, more: Iterable[str] = ()) -> list[str]:
    """Those that are asked for, all if none is; an unknown name is refused with the near misses.

    Args:
        kind: What they are called in the message.
        known: Those of the experiment, in its order.
        asked: Names.
        more: Others that may be asked for besides, e.g. a registry.
    """
    if asked is None:
        return list(known)
    every = dict.fromkeys([*known, *more])
    for name in asked:
        if name not in every:
            raise UnknownNameError(kind, name, every)
    return [name for name in every if name in asked]


def _validation(record: Record | None) -> float | None:
    if record is None or record.result is None:
        return None
    score: float | None = record.result["validation"]
    return score


def _value(record: Record, metric: str) -> float | None:
    value: Any = (record.result or {})["metrics"]
    for part in metric.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return float(value) if isinstance(value, (int, float)) else None


def cost_group(content: dict[str, Any]) -> str | None:
    """Jobs that take about as long: the same but for the seed. None for what is no job of a table: a study's part."""
    if "digest" not in content.get("data", {}):
        return None
    parts = {name: content.get(name) for name in ("kind", "config", "explainer", "options", "validate", "device")}
    if parts["config"] is not None:
        parts["config"] = {**parts["config"], "seed": None}
    parts["backbone"] = content.get("backbone")
    return json.dumps([parts, content["data"]["digest"]], sort_keys=True)
