"""Cross-validation: one run a fold, so that each sample is in the test part of one of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pellucid.api import fit
from pellucid.clouds import PointClouds
from pellucid.commands.data import AskedData
from pellucid.commands.reporting import means, report_folds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.files import digest, read_json, refuse_used, write_json
from pellucid.metrics.trust import trust
from pellucid.progress import say
from pellucid.training.explaining import explain_clouds
from pellucid.training.model import load_model

BEGUN = "folds.json"


@dataclass(frozen=True)
class Folds:
    """What came out of a cross-validation.

    Attributes:
        runs: The run folder of each fold.
        metrics: As in ``metrics.json``, with ``mean`` and ``std`` (divisor folds - 1) in place of each number; what is
            said of trust goes by the means.
        report: The page with the samples of all test parts, each explained by the run that did not learn from it.
    """

    runs: list[Path]
    metrics: dict[str, Any]
    report: Path


def cross_validate(data: Any, target: str | Sequence[str] | None = None, *, folds: int, out: str | Path,
                   dataset_options: dict[str, Any] | None = None, overwrite: bool = False, progress: bool = False,
                   **options: Any) -> Folds:
    """Trains a model for each fold and tells mean and deviation of what it is worth.

    Each molecule is in the test part of exactly one fold; molecules of one scaffold stay together. The same call goes
    on where it was interrupted: folds that are finished stay.

    Args:
        data: A table of molecules, as for :func:`pellucid.fit`.
        target: Columns that are predicted.
        folds: How many, at least 2.
        out: Folder for ``fold-1``, ``fold-2``, ..., ``folds.json`` with all metrics, and ``report.html``.
        dataset_options: As for :func:`pellucid.fit`.
        overwrite: Whether what is in ``out`` may be replaced.
        progress: Whether to show bars.
        **options: Further arguments of :func:`pellucid.fit`.

    Raises:
        PellucidError: for data that know no folds, or a folder with other things in it.

    Example:
        >>> import pellucid
        >>> found = pellucid.cross_validate("mine.csv", "logS", folds=5, out="runs/cv")  # doctest: +SKIP
        >>> found.metrics["prediction"]["logS"]["rmse"]  # doctest: +SKIP
        {'mean': 0.71, 'std': 0.05}
    """
    folder = Path(out)
    if not (folder / BEGUN).is_file():
        refuse_used(folder)  # before data are made
    own = {**(dataset_options or {}), "folds": folds}
    asked = [AskedData.of(data, target, {**own, "fold": fold}) for fold in range(folds)]
    if asked[0].prepared is not None:
        raise PellucidError("expected a table to divide into folds, got data that are divided already; give the table")
    prepared = [one.prepare(progress and i == 0) for i, one in enumerate(asked)]
    begun = {"folds": folds, "data": digest(prepared[0].provenance["key"]),
             "options": digest({name: str(value) for name, value in sorted(options.items())})}
    _claim(folder, begun, overwrite)
    runs, parts = [folder / f"fold-{fold + 1}" for fold in range(folds)], list[Explanation]()
    for fold, (run, one) in enumerate(zip(runs, prepared, strict=True)):
        if not (run / "metrics.json").is_file():
            say(f"fold {fold + 1} of {folds}", progress)
            fit(one, out=run, progress=progress, report=False, **options)
        parts.append(_explained(run, one.clouds.split("test"), fold))
    metrics = _judged(spread([read_json(run / "metrics.json") for run in runs]), parts[0].targets[0].name)
    write_json(folder / BEGUN, {**begun, "metrics": metrics})
    return Folds(runs, metrics, report_folds(folder, runs[0], _together(parts), metrics))


def _judged(metrics: dict[str, Any], first: str) -> dict[str, Any]:
    """Metrics of all folds with what their means say of trust in each target."""
    mean = means(metrics)
    found = {**metrics, "trust": trust(mean, target=first).document()}
    if "targets" in metrics:
        found["targets"] = {name: {**own, "trust": trust({"prediction": mean["prediction"], **means(own)},
                                                         target=name).document()}
                            for name, own in metrics["targets"].items()}
    return found


def _claim(folder: Path, begun: dict[str, Any], overwrite: bool) -> None:
    """Makes the folder, or finds that the same cross-validation was begun in it."""
    known = folder / BEGUN
    if known.is_file() and not overwrite and {name: read_json(known).get(name) for name in begun} != begun:
        raise PellucidError(f"expected the cross-validation that {folder} was begun with, got another; choose another "
                            "folder or pass --overwrite")
    if overwrite:
        for path in folder.glob("fold-*/metrics.json"):
            path.unlink()
    write_json(known, begun)


def _explained(run: Path, clouds: PointClouds, fold: int) -> Explanation:
    """The test part of a fold, with its number."""
    model, config, spec = load_model(run)
    about = {"config": config.model_dump(mode="json"), "spec": spec.document()}
    return explain_clouds(model, clouds.replace(text={"fold": [str(fold + 1)] * len(clouds)}), provenance=about)


def _together(parts: Sequence[Explanation]) -> Explanation:
    """Explanations of different clouds as one of all; baselines differ between models, so there is none."""
    def cat(values: list[torch.Tensor | None]) -> torch.Tensor | None:
        known = [v for v in values if v is not None]
        return torch.cat(known) if len(known) == len(values) else None

    first = parts[0]
    columns = {name: torch.cat([p.columns[name] for p in parts]) for name in first.columns}
    return replace(first, clouds=PointClouds.cat([p.clouds for p in parts]), columns=columns, baseline=None,
                   prediction=torch.cat([p.prediction for p in parts]),
                   importance=torch.cat([p.importance for p in parts]),
                   explained=torch.cat([p.explained for p in parts]),
                   covariance=cat([p.covariance for p in parts]), radius=cat([p.radius for p in parts]))


def spread(found: Sequence[Any]) -> Any:
    """Mean and standard deviation (divisor n - 1) of numbers that have the same place in nested dictionaries.

    Args:
        found: Dictionaries of one shape; what is no number in all of them is left out.

    Example:
        >>> spread([{"a": {"b": 1.0}, "text": "x"}, {"a": {"b": 3.0}, "text": "y"}])
        {'a': {'b': {'mean': 2.0, 'std': 1.4142135623730951}}}
    """
    made: dict[str, Any] = {}
    for name in found[0]:
        values = [one[name] for one in found if name in one]
        if len(values) < len(found):
            continue
        if all(isinstance(value, dict) for value in values):
            if inner := spread(values):
                made[name] = inner
        elif all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
            known = [float(value) for value in values if math.isfinite(value)]
            if known:
                made[name] = {"mean": statistics.fmean(known),
                              "std": statistics.stdev(known) if len(known) > 1 else math.nan}
    return made
