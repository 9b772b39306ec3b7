"""``pellucid bench``: an experiment from the plan to its table."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pellucid.benchmarks.code import code_digest
from pellucid.benchmarks.engines import make_engine
from pellucid.benchmarks.experiments import Experiment, experiment
from pellucid.benchmarks.live import Live
from pellucid.benchmarks.margin import package
from pellucid.benchmarks.margin.curves import Curves
from pellucid.benchmarks.margin.plan import StudyPlan
from pellucid.benchmarks.margin.plan import execute as measure_part
from pellucid.benchmarks.plan import BenchPlan, cost_group, picked
from pellucid.benchmarks.results import ResultTable
from pellucid.benchmarks.runner import Event, run
from pellucid.benchmarks.store import Record, Store
from pellucid.benchmarks.work import execute
from pellucid.datasets import AnnouncedDataset, PreparedDataset, announce_dataset, load_dataset
from pellucid.errors import PellucidError
from pellucid.families import backbones as registered
from pellucid.files import digest, home, write_text
from pellucid.progress import waiting
from pellucid.report.benchmark import write
from pellucid.report.figure import draw, fit
from pellucid.report.studies import write as write_study
from pellucid.training.devices import pick_device


def bench(table: str, *, datasets: Sequence[str] | None = None, backbones: Sequence[str] | None = None,
          methods: Sequence[str] | None = None, preset: str = "standard", seeds: Sequence[int] | None = None,
          store: str | Path | None = None, artifacts: str | Path | None = None, out: str | Path | None = None,
          workers: int = 1, ray: str | None = None, device: str = "cpu",
          dataset_options: dict[str, Any] | None = None, retry_failed: bool = False, dry_run: bool = False,
          progress: bool = False, command: str = "") -> ResultTable | dict[str, Any]:
    """Runs a table of a paper, or goes on with it, and writes it with the published numbers beside ours.

    Args:
        table: An experiment, e.g. ``"lri-table2"``.
        datasets: Of the experiment; None for all that can be made here.
        backbones: Of the experiment, or any registered one, with the preset's common settings; None for all of it.
        methods: Of the experiment; None for all.
        preset: ``"paper"``, ``"standard"`` or ``"smoke"``.
        seeds: Instead of the preset's.
        store: SQLite file or PostgreSQL URL that has the results; None for the cache folder's own.
        artifacts: Folder for models, which all workers must see; None for one beside the store's default.
        out: Folder for ``results.md``, ``.tex``, ``.csv``, ``.html`` and ``.json``; None writes nothing.
        workers: Processes on this machine, one thread each.
        ray: Address of a Ray cluster, or ``"local"``, instead of processes.
        device: Where jobs compute.
        dataset_options: Options of the recipes, e.g. ``{"source": "logic8", "source_dir": "..."}``.
        retry_failed: Whether runs that failed before run again.
        dry_run: Return the plan with estimates instead; no data are made for it.
        progress: Whether to show a live table on stderr.
        command: Goes into the provenance.

    Returns:
        The table; or, for a dry run, the rows with their number of runs and estimated seconds.

    Raises:
        PellucidError: for unknown names, a store that is locked or damaged, or settings that do not fit; nothing has
            been computed then. A run that fails is recorded with its reason, and the others go on.

    Example:
        >>> from pellucid import bench
        >>> bench("lri-table2", datasets=["synmol"], preset="smoke", out="results")  # doctest: +SKIP
    """
    chosen = experiment(table)
    chosen.preset(preset)
    picked("backbone", chosen.backbones, backbones, registered)  # a wrong name is told before data are made
    picked("method", chosen.all_methods, methods)
    if workers < 1 or (seeds is not None and not seeds):
        raise PellucidError(f"expected at least one worker and one seed, got {workers} and {seeds}")
    pick_device(device)
    names = chosen.available(list(datasets) if datasets is not None else None, preset)
    default = home() / "bench"
    folder = Path(artifacts) if artifacts is not None else default
    with Store(store if store is not None else default / "results.sqlite") as results_store:
        data: dict[str, PreparedDataset] = {}
        announced: dict[str, PreparedDataset | AnnouncedDataset] = {}
        for name in names:
            recipe, options = chosen.recipe(name), {**(dataset_options or {}), **chosen.datasets[name].options}
            if dry_run:
                announced[name] = announce_dataset(recipe, **options)
            else:
                announced[name] = data[name] = load_dataset(recipe, progress=progress, **options)
        plan = BenchPlan(chosen, preset, announced, chosen_backbones=backbones, chosen_methods=methods, seeds=seeds,
                         artifacts=str(folder.resolve()), device=device)
        history = results_store.seconds_of(lambda record: cost_group(record.content))
        known = _known(plan, results_store, retry_failed)
        plan.stored = set(known)
        if dry_run:
            return Live(plan, history, workers).outline(known)
        with make_engine(workers, ray) as engine:
            started, at_a_time = time.perf_counter(), f"{engine.slots} {type(engine).__name__}"
            with Live(plan, history, engine.slots, show=progress) as live:
                records = run(plan, results_store, engine, execute, retry_failed=retry_failed, watch=live.watch)
        provenance = {
            "command": command or None, "date": time.strftime("%Y-%m-%d"), "machine": machine(),
            "workers": at_a_time, "wall seconds": round(time.perf_counter() - started, 1),
            "seconds": plan.costs(records), "seconds of a run": plan.times(records), "runs": live.counts(),
            "data": {name: {**_brief(prepared.provenance.get("key", {})), "clouds": len(prepared.clouds)}
                     for name, prepared in data.items()},
            "versions": {name: version(name) for name in ("pellucid", "torch")},
            "code": code_digest("pellucid.benchmarks.work"),
        }
        result = plan.table(records, provenance)
    pictures = _figure(chosen, result) if chosen.axis else {}
    if out is not None:
        write(result, Path(out))
        for name, picture in pictures.items():
            write_text(Path(out) / name, picture)
    return result


def bench_study(name: str, *, preset: str = "standard", source_dir: str | Path | None = None,
                store: str | Path | None = None, out: str | Path | None = None, workers: int = 1,
                ray: str | None = None, retry_failed: bool = False, dry_run: bool = False, progress: bool = False,
                command: str = "") -> Curves | dict[str, Any]:
    """Runs the benchmark of a study of the MARGIN paper, or goes on with it, and writes what it found.

    Args:
        name: E.g. ``"margin-labels"``.
        preset: One of the benchmark's: ``"standard"``, ``"smoke"``.
        source_dir: Folder with the data.
        store: As in :func:`bench`.
        out: Folder for ``results.md``, ``.csv``, ``.html``, ``.json`` and pictures; None writes nothing.
        workers: Processes on this machine, one thread each.
        ray: Address of a Ray cluster, or ``"local"``, instead of processes.
        retry_failed: Whether parts that failed before are measured again.
        dry_run: Return what would be measured instead.
        progress: Whether to show a bar on stderr.
        command: Goes into the provenance.

    Returns:
        The curves; or, for a dry run, the parts with whether the store has them.

    Raises:
        PellucidError: for unknown names, data or packages that are not there, or a store that is locked or damaged.
    """
    folder = None if source_dir is None else Path(source_dir).resolve()
    if workers < 1:
        raise PellucidError(f"expected at least one worker, got {workers}")
    plan = StudyPlan(name, preset, folder)
    for module in plan.protocol.needs:
        package(module)
    with Store(store if store is not None else home() / "bench" / "results.sqlite") as results_store:
        if dry_run:
            known = results_store.records([job.key for job in plan.jobs])
            return {job.label: known[job.key].status if job.key in known else "to do" for job in plan.jobs}
        with make_engine(workers, ray) as engine, waiting(name, progress) as advance:
            started, at_a_time, ended = time.perf_counter(), f"{engine.slots} {type(engine).__name__}", 0

            def watch(event: Event) -> None:
                nonlocal ended
                ended += event.record is not None
                advance(ended, len(plan.jobs))

            records = run(plan, results_store, engine, measure_part, retry_failed=retry_failed, watch=watch)
        provenance = {
            "command": command or None, "date": time.strftime("%Y-%m-%d"), "machine": machine(),
            "workers": at_a_time, "wall seconds": round(time.perf_counter() - started, 1),
            "seconds of the parts": round(sum(record.seconds or 0 for record in records.values()), 1),
            "settings": plan.protocol.presets[preset], "data (SHA-256)": plan.data,
            "versions": {one: version(one) for one in ("pellucid", "numpy", "scikit-learn", "torch")},
            "code": plan.code,
        }
    result = plan.curves(records, provenance)
    if out is not None:
        write_study(result, Path(out))
    return result


def _brief(key: dict[str, Any]) -> dict[str, Any]:
    """What decides a dataset, with whole detectors and cards by their names and a hash.

    Example:
        >>> _brief({"seed": 0, "cards": [{"name": "soft_qcd", "block": 2000}]})["cards"].partition(",")[0]
        'soft_qcd'
    """

    def named(value: Any) -> str | None:
        many = value if isinstance(value, list) else [value]
        if not many or not all(isinstance(part, dict) and "name" in part for part in many):
            return None
        return f"{', '.join(part['name'] for part in many)}, hash {digest(value)}"

    return {name: named(value) or value for name, value in key.items()}


def _figure(chosen: Experiment, result: ResultTable) -> dict[str, str]:
    """Pictures by file name of the first metric of each method and backbone against the experiment's axis.

    The fits go into the table's notes and provenance.
    """
    assert chosen.axis is not None
    pictures = {}
    for backbone in result.backbones:
        for method in result.methods:
            points = [(float(chosen.datasets[cell.dataset].options[chosen.axis.option] or 0), value)
                      for cell in result.cells if (cell.backbone, cell.method) == (backbone, method)
                      for value in cell.values]
            if not points:
                continue
            line, metric = fit(points), result.label(result.metrics[0])
            name = f"{chosen.name.rpartition('-')[2]}-{backbone}-{method}.svg"
            pictures[name] = draw(points, line, chosen.axis.label, metric)
            if line is not None:
                result.notes.append(f"{result.label(method)}, {result.label(backbone)}: "
                                    f"{line.sentence(chosen.axis.option, metric.lower())}.")
                result.provenance.setdefault("fit", {})[f"{backbone} {method}"] = line.document()
    return pictures


def machine() -> str:
    """Processor, cores and system in a few words."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def _known(plan: BenchPlan, store: Store, retry_failed: bool) -> Mapping[str, Record]:
    """What the store has of a plan, searches included whose results are all there."""
    known: dict[str, Record] = {}
    while True:
        keys = [job.key for job in plan.next(known) if job.key not in known]
        found = {key: record for key, record in store.records(keys).items()
                 if record.status == "done" or (record.status == "failed" and not retry_failed)}
        if not found:
            return known
        known |= found
