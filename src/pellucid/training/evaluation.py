"""What a trained model is worth: prediction and interpretation metrics of one split."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.explanation import Explanation
from pellucid.explanations.ensemble import draws
from pellucid.methods import Method, Task
from pellucid.metrics.classification import accuracy, average_precision, roc_auc
from pellucid.metrics.directions import direction_metrics
from pellucid.metrics.faithfulness import fidelity
from pellucid.metrics.interpretation import per_cloud_roc_auc, pooled_roc_auc, precision_at
from pellucid.metrics.interpretation_estimates import interpretation_estimates
from pellucid.metrics.plus_minus import plus_minus
from pellucid.metrics.regression import mae, r2, rmse, spearman
from pellucid.metrics.sanity import randomisation_test
from pellucid.metrics.sparsity import gini
from pellucid.metrics.stability import jaccard, rank_correlation
from pellucid.training.explaining import JITTER, explain_clouds
from pellucid.training.model import mean_neighbor_distance
from pellucid.training.predict import batches_of, probability_of, run_over

DRAWS = 5
"""Draws over which stability is measured."""
ROBUST = 10
"""Draws of the robust fidelities."""


def prediction_metrics(task: Task, logits: Tensor, y: Tensor) -> dict[str, float]:
    """Metrics of the prediction, averaged over the targets; NaN where a split has one class only.

    Args:
        task: What is predicted.
        logits: (clouds, outputs).
        y: (clouds, targets), NaN where missing.
    """
    logits, y = logits.detach().cpu().double(), y.detach().cpu().double()
    prediction = task.predict(logits)
    # Ranked by log-odds: probabilities of a sure model are all 1 in floating point, and their order is lost.
    if task.kind == "multiclass":
        known = ~y[:, 0].isnan()
        own = torch.eye(logits.shape[1], dtype=torch.bool)
        odds = logits - logits[:, None].masked_fill(own, -torch.inf).logsumexp(-1)
        truth = y[known, 0].long()
        return {"roc_auc": roc_auc(truth, odds[known]), "accuracy": accuracy(truth, prediction[known])}
    functions: dict[str, tuple[Any, Tensor]] = {
        "roc_auc": (roc_auc, logits), "accuracy": (accuracy, prediction),
        "average_precision": (average_precision, logits)}
    if task.kind == "regression":
        functions = {name: (f, prediction) for name, f in (("rmse", rmse), ("mae", mae), ("r2", r2),
                                                           ("spearman", spearman))}
    return {name: _mean([float(f(y[:, t], score[:, t])) for t in range(y.shape[1])])
            for name, (f, score) in functions.items()}


def _mean(values: list[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return sum(known) / len(known) if known else math.nan


def selection_score(task: Task, metrics: dict[str, float]) -> float:
    """The number that the epoch is chosen by: ROC AUC, or negative RMSE; the worst possible if it is undefined."""
    score = -metrics["rmse"] if task.kind == "regression" else metrics["roc_auc"]
    return score if math.isfinite(score) else -math.inf


def evaluate_model(model: Method, clouds: PointClouds, *, precision_at_m: tuple[int, ...] = (5, 8), seed: int = 0,
                   quick: bool = False) -> tuple[dict[str, Any], Explanation | None]:
    """All metrics of one split.

    Args:
        model: In eval mode.
        clouds: The split.
        precision_at_m: The m of the dataset's precision@m.
        seed: Of noise and random baselines.
        quick: Leaves out intervals, fidelity, stability and the randomisation check, which need many passes.

    Returns:
        Nested metrics as in ``metrics.json``, and the explanation (None for a method without one).
    """
    batches = batches_of(model, clouds)
    output = run_over(model, batches, seed=seed)
    metrics: dict[str, Any] = {_family(model.task): prediction_metrics(model.task, output.logits, clouds["y"])}
    if not model.supports.importance:
        return metrics, None
    explanation = explain_clouds(model, clouds, seed=seed, batches=batches)
    clouds, importance = explanation.clouds, explanation.importance
    if "important" in clouds:
        random = torch.rand(importance.shape, generator=torch.Generator().manual_seed(seed))
        metrics["interpretation"] = {**interpretation_metrics(model.task, clouds, importance, precision_at_m),
                                     "random": interpretation_metrics(model.task, clouds, random, precision_at_m)}
    metrics |= directions_of(model.task, explanation, max(precision_at_m, default=1), seed)
    metrics["sparsity"] = {"gini": gini(importance, clouds.ptr)}
    if not quick:
        if "important" in clouds:
            metrics["interpretation"]["intervals"] = {
                name: (known.low, known.high) for name, known in interpretation_estimates(
                    importance, clouds["important"], clouds.ptr, m=precision_at_m, clouds=counted(model.task, clouds),
                    seed=seed).items()}
        metrics["fidelity"] = _fidelity(model, clouds, importance, seed)
        metrics["sanity"] = {"randomisation": _randomisation(model, clouds, seed)}
        metrics["stability"] = _stability(model, clouds, explanation, precision_at_m[0], seed)
    return metrics, explanation


def counted(task: Task, clouds: PointClouds) -> Tensor | None:
    """(clouds,) those whose ground truth counts: the positive ones of a binary task, None for all of another."""
    return clouds["y"][:, 0] == 1 if task.kind == "binary" else None


def interpretation_metrics(task: Task, clouds: PointClouds, importance: Tensor, precision_at_m: tuple[int, ...]
                           ) -> dict[str, float]:
    """How well importance finds the points that are known to decide, over the clouds that count.

    Args:
        task: What is predicted.
        clouds: With ``important``.
        importance: (points,).
        precision_at_m: The m of precision@m.
    """
    truth, chosen = clouds["important"], counted(task, clouds)
    return {
        "roc_auc": pooled_roc_auc(importance, truth, clouds.ptr, clouds=chosen),
        "roc_auc_per_cloud": per_cloud_roc_auc(importance, truth, clouds.ptr, clouds=chosen),
        **{f"precision@{m}": precision_at(importance, truth, clouds.ptr, m, clouds=chosen) for m in precision_at_m},
    }


def directions_of(task: Task, explanation: Explanation, m: int, seed: int = 0) -> dict[str, Any]:
    """Angles to the true momentum, as ``{"directions": ...}``; empty where there is no momentum or no direction.

    Args:
        task: What is predicted.
        explanation: With a covariance, or with columns ``gradient_x``, ``gradient_y`` (or ``direction_``).
        m: Points of a cloud among which the assisted selection takes its hits.
        seed: Of the random baseline.
    """
    clouds, columns = explanation.clouds, explanation.columns
    given = {name: clouds[name] for name in ("momentum", "important") if name in clouds}
    known: dict[str, Tensor] = {}
    if explanation.covariance is not None:
        known = {"covariance": explanation.covariance}
    for kind in ("gradient", "direction"):
        if not known and {f"{kind}_x", f"{kind}_y"} <= set(columns):
            known = {"axis": torch.stack([columns[f"{kind}_x"], columns[f"{kind}_y"]], 1)}
    if len(given) < 2 or not known or clouds.pos.shape[1] < 3:
        return {}
    chosen, important = counted(task, clouds), given["important"]
    if chosen is not None:
        important = important & chosen[clouds.batch]
    return {"directions": direction_metrics(given["momentum"], important, clouds.ptr, explanation.importance,
                                            pos=clouds.pos, m=m, seed=seed, **known)}


def _family(task: Task) -> str:
    return "regression" if task.kind == "regression" else "classification"


def _fidelity(model: Method, clouds: PointClouds, importance: Tensor, seed: int) -> dict[str, Any]:
    some, chosen = clouds, counted(model.task, clouds)
    if chosen is not None:  # as for the ground truth, only positive clouds have a reason to be found
        some = clouds.select(chosen)
        importance = importance[chosen[clouds.batch]]
    predict, some, probability = probability_of(model), some.without_text(), model.task.kind != "regression"
    areas = fidelity(predict, some, importance, seed=seed, probability=probability).as_dict()
    return areas | plus_minus(predict, some, importance, seed=seed, probability=probability, samples=ROBUST).as_dict()


def _randomisation(model: Method, clouds: PointClouds, seed: int) -> dict[str, Any]:
    """The sanity check of Adebayo et al. 2018: importance must change when the model's weights are shuffled."""

    def explain(other: Method) -> Tensor:
        return explain_clouds(other, clouds, seed=seed).importance

    return randomisation_test(explain, model, clouds.ptr, clouds=counted(model.task, clouds), seed=seed
                              ).whole.as_dict()


def _stability(model: Method, clouds: PointClouds, explanation: Explanation, m: int, seed: int) -> dict[str, Any]:
    """Agreement of the importance of slightly moved clouds, and spread of the prediction over draws of the noise."""
    jitter = JITTER * mean_neighbor_distance(clouds, model.rule)
    members = [explanation, *draws(lambda moved, s: explain_clouds(model, moved, seed=s), clouds, DRAWS, jitter=jitter,
                                   seed=seed, start=1)]
    stacked = torch.stack([e.importance for e in members])
    return {
        "rank_correlation": rank_correlation(stacked, clouds.ptr),
        f"jaccard@{m}": jaccard(stacked, clouds.ptr, m),
        "prediction_std": float(torch.stack([e.prediction for e in members]).std(0).mean()),
        "draws": DRAWS,
        "jitter": jitter,
    }
