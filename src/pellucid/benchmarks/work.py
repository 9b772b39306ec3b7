"""What a benchmark's jobs do: a warm-up, a training, or a post-hoc explanation of a trained model."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explainers import Explainer, explainers
from pellucid.explanations.ensemble import ensemble
from pellucid.files import json_ready, read_json
from pellucid.methods import Method
from pellucid.spec import DataSpec
from pellucid.targets import Targets
from pellucid.training import RunConfig, load_model, train
from pellucid.training.checkpoint import WARM_UP
from pellucid.training.data import data_digest
from pellucid.training.devices import pick_device
from pellucid.training.evaluation import (
    counted,
    interpretation_metrics,
    measured_explanation,
    prediction_metrics,
    selection_score,
)
from pellucid.training.fit import warm_up
from pellucid.training.predict import batches_of


def execute(content: dict[str, Any]) -> dict[str, Any]:
    """Does one job.

    Args:
        content: ``kind`` (``"warm-up"``, ``"train"`` or ``"explain"``), ``data`` (path, digest,
            spec), ``artifacts`` (the folder that all workers share),
            ``folder`` (the job's own in it), ``device``; ``config`` and ``warm_start`` for training; ``runs`` (of
            several, their explanations are one ensemble), ``explainer``, ``options``, ``seed`` and ``validate`` for
            explaining.

    Returns:
        ``metrics`` nested as in ``metrics.json``; ``validation``, the prediction score that a search goes by (None
        where there is none); ``seconds`` by part.

    Raises:
        PellucidError: if the job cannot be done, e.g. the loss is not finite.
    """
    kinds = {"warm-up": _warm_up, "train": _train, "explain": _explain}
    return kinds[content["kind"]](content)


def _warm_up(content: dict[str, Any]) -> dict[str, Any]:
    data = content["data"]
    started = time.perf_counter()
    warm_up(RunConfig.parse(content["config"]), _clouds(data["path"], data["digest"]), _folder(content),
            DataSpec.parse(data["spec"]), device=content["device"], progress=False)
    return {"metrics": {}, "validation": None, "seconds": {"training": time.perf_counter() - started}}


def _train(content: dict[str, Any]) -> dict[str, Any]:
    data, folder = content["data"], _folder(content)
    if not (folder / "metrics.json").is_file():  # else it was finished, but whoever did it could not say so
        start = Path(content["artifacts"], content["warm_start"], WARM_UP) if content["warm_start"] else None
        train(RunConfig.parse(content["config"]), _clouds(data["path"], data["digest"]), folder,
              DataSpec.parse(data["spec"]), device=content["device"], progress=False, quick=True,
              data_provenance={"path": data["path"]},
              warm_start=start if start is not None and start.is_file() else None)
    metrics, history = read_json(folder / "metrics.json"), read_json(folder / "history.json")
    return {"metrics": by_family(metrics, DataSpec.parse(data["spec"]).targets),
            "validation": history[metrics["selected_epoch"]]["val_score"],
            "seconds": metrics["seconds"]}


def by_family(metrics: dict[str, Any], targets: Targets) -> dict[str, Any]:
    """Metrics of a run with those of its first target under the name of their family, as tables name them.

    Example:
        >>> by_family({"prediction": {"y": {"roc_auc": 0.9}}}, Targets.of("binary"))["classification"]
        {'roc_auc': 0.9}
    """
    first = targets[0]
    family = "regression" if first.kind == "regression" else "classification"
    return {**metrics, family: metrics["prediction"][first.name]}


def _explain(content: dict[str, Any]) -> dict[str, Any]:
    data = content["data"]
    clouds, spec = _clouds(data["path"], data["digest"]), DataSpec.parse(data["spec"])
    test, members, seconds = clouds.split("test"), [], {"explaining": 0.0}
    for run in content["runs"]:
        model, _, _ = load_model(Path(content["artifacts"], run), pick_device(content["device"]))
        explainer = explainers[content["explainer"]](**content["options"])
        if explainer.trains:
            started = time.perf_counter()
            explainer.fit(model, clouds.split("train"), seed=content["seed"])
            seconds["training"] = seconds.get("training", 0.0) + time.perf_counter() - started
        started = time.perf_counter()
        chosen = counted(model.targets[0], test)
        judged = test if chosen is None else test.select(chosen)
        members.append(explainer.explain(model, judged, seed=content["seed"]))
        seconds["explaining"] += time.perf_counter() - started
    explanation = ensemble(members) if len(members) > 1 else members[0]
    metrics = {"interpretation": interpretation_metrics(judged, explanation.importance, spec.precision_at,
                                                        counted(model.targets[0], judged)),
               **measured_explanation(explanation, counted(model.targets[0], judged),
                                      max(spec.precision_at, default=1), content["seed"])}
    validation = None
    if content["validate"] and explainer.mask:
        validation = masked_score(model, explainer, clouds.split("val"), content["seed"])
    return dict(json_ready({"metrics": metrics, "validation": validation, "seconds": seconds}))


def masked_score(model: Method, explainer: Explainer, clouds: PointClouds, seed: int = 0) -> float:
    """Score of the prediction on clouds whose points are weighted by their mask: what a search may go by.

    Args:
        model: The trained model.
        explainer: One whose importance is a mask.
        clouds: The validation split.
        seed: Of the explainer.

    Returns:
        ROC AUC, or negative RMSE for regression.
    """
    mask = explainer.explain(model, clouds, seed=seed).importance
    batches = batches_of(model, clouds)
    parts, start = [], 0
    with torch.no_grad():
        for batch, neighbors in batches:
            weight = mask[start : start + batch.points].to(batch.device)
            parts.append(model.logits(batch, neighbors, point_weight=weight).cpu())
            start += batch.points
    found = prediction_metrics(model.targets, torch.cat(parts), clouds["y"], clouds.get("censored"))
    return selection_score(model.targets, found)


@lru_cache(maxsize=2)
def _clouds(path: str, digest: str) -> PointClouds:
    if not Path(path).is_file():
        raise PellucidError(f"expected the dataset in {path}, got nothing there; workers on other machines need the "
                            "same folders: put PELLUCID_HOME on a disk that all of them see")
    clouds, _ = PointClouds.load(Path(path))
    if data_digest(clouds) != digest:
        raise PellucidError(f"expected the data that the benchmark was planned for in {path}, got others; start it "
                            "again")
    return clouds


def _folder(content: dict[str, Any]) -> Path:
    return Path(content["artifacts"], content["folder"])
