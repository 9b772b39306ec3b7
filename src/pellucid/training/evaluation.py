"""What a trained model is worth: prediction and interpretation metrics of one split."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.explanation import Explanation, asking
from pellucid.explanations.ensemble import draws
from pellucid.methods import Method
from pellucid.metrics.base import measuring, metrics
from pellucid.metrics.faithfulness import fidelity
from pellucid.metrics.interpretation import per_cloud_roc_auc, pooled_roc_auc, precision_at
from pellucid.metrics.interpretation_estimates import interpretation_estimates
from pellucid.metrics.plus_minus import plus_minus
from pellucid.metrics.regression import rmse_one_sided
from pellucid.metrics.sanity import randomisation_test
from pellucid.metrics.sparsity import gini
from pellucid.metrics.stability import jaccard, rank_correlation
from pellucid.metrics.trust import trust
from pellucid.targets import Target, Targets
from pellucid.training.explaining import JITTER, explain_clouds
from pellucid.training.model import mean_neighbor_distance
from pellucid.training.predict import batches_of, prediction_of, run_over
from pellucid.training.removal_check import removal_check

DRAWS = 5
"""Draws over which stability is measured."""
ROBUST = 10
"""Draws of the robust fidelities."""
OTHERS = 100
"""Clouds at most on which trust in targets beyond the first is measured, evenly spaced."""


def prediction_metrics(targets: Targets, logits: Tensor, y: Tensor, censored: Tensor | None = None
                       ) -> dict[str, dict[str, float]]:
    """Metrics of the prediction of each target, by its name; NaN where a split has one class only.

    Args:
        targets: What is predicted.
        logits: (rows, outputs).
        y: (rows, targets), NaN where missing.
        censored: (rows, targets), which numbers are only bounds, see :meth:`Targets.loss`.

    Returns:
        Target -> metric -> value, in the target's unit: every registered metric of its kind, over known values. Of a
        regression with bounds also ``rmse_one_sided`` over all of them, and ``censored``, how many are bounds.
    """
    logits, y = logits.detach().cpu().double(), y.detach().cpu().double()
    bounds = torch.zeros_like(y) if censored is None else censored.detach().cpu().double()
    predictions = targets.predict(logits)
    result = {}
    for column, (target, start) in enumerate(zip(targets, targets.starts, strict=True)):
        known = ~y[:, column].isnan()
        bound = known & (bounds[:, column] != 0) & (target.kind == "regression")
        known = known & ~bound
        own, predicted = (x[known, start : start + target.outputs] for x in (logits, predictions))
        given = {"odds": own.squeeze(1), "prediction": predicted.squeeze(1)}
        if target.kind == "multiclass":
            itself = torch.eye(target.outputs, dtype=torch.bool)
            given = {"odds": own - own[:, None].masked_fill(itself, -torch.inf).logsumexp(-1), "prediction": predicted}
        result[target.name] = {name: float(measure(y[known, column], given[takes]))
                               for name, (measure, takes) in measuring(target.kind).items()}
        if bool(bound.any()):
            either = known | bound
            result[target.name] |= {
                "rmse_one_sided": rmse_one_sided(y[either, column], predictions[either, start], bounds[either, column]),
                "censored": float(bound.sum())}
    return result


def selection_score(targets: Targets, found: dict[str, dict[str, float]]) -> float:
    """The number that an epoch is chosen by, the higher, the better.

    Args:
        targets: What is predicted.
        found: From :func:`prediction_metrics`.

    Returns:
        Mean over targets of the ROC AUC (classes) or minus the RMSE in units of the target's spread (numbers; the
        one-sided one where some are bounds); targets for which that is undefined are left out; the worst possible where
        all are.
    """
    def score(target: Target) -> float:
        own = found[target.name]
        if target.kind != "regression":
            return own["roc_auc"]
        return -own.get("rmse_one_sided", own["rmse"]) / target.spread

    scores = [score(target) for target in targets]
    known = [score for score in scores if math.isfinite(score)]
    return sum(known) / len(known) if known else -math.inf


def evaluate_model(model: Method, clouds: PointClouds, *, target: str | int | None = None,
                   precision_at_m: tuple[int, ...] = (5, 8), seed: int = 0, quick: bool = False,
                   validation: PointClouds | None = None) -> tuple[dict[str, Any], Explanation | None]:
    """All metrics of one split.

    Args:
        model: In eval mode.
        clouds: The split.
        target: The output that interpretation and fidelity are of; None for the first target.
        precision_at_m: The m of the dataset's precision@m.
        seed: Of random baselines.
        quick: Leaves out intervals, fidelity, stability and the checks against shuffled weights and removal, which need
            many passes, and with them what is said of trust.
        validation: On which importance is checked against removal; None for ``clouds``.

    Returns:
        Nested metrics as in ``metrics.json``, and the explanation (None for a method without one).
    """
    batches = batches_of(model, clouds)
    output = run_over(model, batches)
    found: dict[str, Any] = {"prediction": prediction_metrics(model.targets, output.logits, clouds["y"],
                                                             clouds.get("censored"))}
    asked = model.targets.find(target)
    if not model.explains:
        return found | ({} if quick else {"trust": trust(found, target=asked.target.name).document()}), None
    whole = explain_clouds(model, clouds, target=target, batches=batches)
    explanation = whole.of(target)
    clouds, importance = explanation.clouds, explanation.importance
    judged = replace(explanation, importance=importance.abs()) if explanation.signed else explanation
    chosen = counted(asked.target, clouds, asked.column)
    if "important" in clouds:
        random = torch.rand(importance.shape, generator=torch.Generator().manual_seed(seed))
        found["interpretation"] = {**interpretation_metrics(clouds, judged.importance, precision_at_m, chosen),
                                   "random": interpretation_metrics(clouds, random, precision_at_m, chosen)}
    found |= measured_explanation(explanation, chosen, max(precision_at_m, default=1), seed)
    found["sparsity"] = {"gini": gini(judged.importance, clouds.ptr)}
    if not quick:
        if "important" in clouds:
            found["interpretation"]["intervals"] = {
                name: (known.low, known.high) for name, known in interpretation_estimates(
                    judged.importance, clouds["important"], clouds.ptr, m=precision_at_m, clouds=chosen,
                    seed=seed).items()}
        found |= _without_truth(model, explanation, asked.target, target, chosen, precision_at_m[0], seed,
                                validation=validation)
        found["trust"] = trust(found, target=asked.target.name).document()
        if target is None and len(model.targets) > 1:
            found["targets"] = _others(model, whole, found["prediction"], precision_at_m[0], seed)
    return found, whole


def _without_truth(model: Method, explanation: Explanation, target: Target, name: str | int | None,
                   chosen: Tensor | None, m: int, seed: int, *, areas_alone: bool = False,
                   validation: PointClouds | None = None) -> dict[str, Any]:
    """What stands in for a known truth: fidelity, removal, randomisation, and stability where there are coordinates."""
    found: dict[str, Any] = {}
    name = target.name if name is None else name  # contributions to other outputs need not be computed
    if target.level == "cloud":
        found["fidelity"] = _fidelity(model, explanation, target, chosen, seed, areas_alone=areas_alone)
        if validation is not None:
            explanation_there = explain_clouds(model, validation, target=name).of(name)
            column = model.targets.find(name).column
            found["removal"] = removal_check(model, explanation_there, seed=seed,
                                             chosen=counted(target, explanation_there.clouds, column))
        else:
            found["removal"] = removal_check(model, explanation, chosen=chosen, seed=seed)
    found["sanity"] = {"randomisation": _randomisation(model, explanation.clouds, name, chosen, seed)}
    if "pos" in explanation.clouds:
        found["stability"] = _stability(model, explanation, name, m, seed)
    return found


def _others(model: Method, whole: Explanation, prediction: dict[str, dict[str, float]], m: int, seed: int
            ) -> dict[str, Any]:
    """What trust in the importance for the targets beyond the first needs, and what it says, by the target's name."""
    found: dict[str, Any] = {}
    for column, target in enumerate(model.targets[1:], 1):
        chosen = counted(target, whole.clouds, column)
        places = torch.arange(len(whole.clouds)) if chosen is None else chosen.nonzero().squeeze(1)
        count = min(len(places), OTHERS)
        places = places[torch.arange(count) * len(places) // max(count, 1)]
        own: dict[str, Any] = {"sanity": {}}
        if len(places):
            explanation = explain_clouds(model, whole.clouds.select(places), target=target.name).of(target.name)
            own = _without_truth(model, explanation, target, target.name, None, m, seed, areas_alone=True)
        own["trust"] = trust({"prediction": prediction, **own}, target=target.name).document()
        found[target.name] = own
    return found


def measured_explanation(explanation: Explanation, clouds: Tensor | None, m: int, seed: int) -> dict[str, Any]:
    """What the registered metrics of whole explanations say, each that applies, by name.

    Args:
        explanation: Of one output.
        clouds: (clouds,) bool, those that count; None for all.
        m: Points of a cloud that count as chosen.
        seed: Of random baselines.
    """
    functions = {name: metrics[name] for name in metrics if getattr(metrics[name], "takes", "") == "explanation"}
    found = {name: f(explanation, clouds=clouds, m=m, seed=seed) for name, f in functions.items()}
    return {name: values for name, values in found.items() if values}


def counted(target: Target, clouds: PointClouds, column: int = 0) -> Tensor | None:
    """(clouds,) those whose ground truth counts: the positive ones of a binary target, None for all of another."""
    return clouds["y"][:, column] == 1 if target.kind == "binary" and target.level == "cloud" else None


def interpretation_metrics(clouds: PointClouds, importance: Tensor, precision_at_m: tuple[int, ...],
                           chosen: Tensor | None = None) -> dict[str, float]:
    """How well importance finds the points that are known to decide, over the clouds that count.

    Args:
        clouds: With ``important``.
        importance: (points,).
        precision_at_m: The m of precision@m.
        chosen: (clouds,) bool, those that count, see :func:`counted`; None for all.
    """
    truth = clouds["important"]
    return {
        "roc_auc": pooled_roc_auc(importance, truth, clouds.ptr, clouds=chosen),
        "roc_auc_per_cloud": per_cloud_roc_auc(importance, truth, clouds.ptr, clouds=chosen),
        **{f"precision@{m}": precision_at(importance, truth, clouds.ptr, m, clouds=chosen) for m in precision_at_m},
    }


def _fidelity(model: Method, explanation: Explanation, target: Target, chosen: Tensor | None, seed: int, *,
              areas_alone: bool = False) -> dict[str, Any]:
    """Of a class in probability; of a regression |change| in units of the target's spread."""
    clouds, importance = asking(explanation.clouds, explanation.explained), explanation.importance
    importance = importance.abs() if explanation.signed else importance
    if chosen is not None:  # as for the ground truth, only they have a reason to be found
        importance, clouds = importance[chosen[clouds.batch]], clouds.select(chosen)
    some, predict = clouds.without_text(), prediction_of(model)
    regression = target.kind == "regression"
    how: dict[str, Any] = {"probability": not regression, "spread": target.spread if regression else None}
    areas: dict[str, Any] = fidelity(predict, some, importance, seed=seed, **how).as_dict()
    if areas_alone:
        return areas
    return areas | plus_minus(predict, some, importance, seed=seed, samples=ROBUST, **how).as_dict()


def _randomisation(model: Method, clouds: PointClouds, target: str | int | None, chosen: Tensor | None, seed: int
                   ) -> dict[str, Any]:
    """The sanity check of Adebayo et al. 2018: importance must change when the model's weights are shuffled."""

    def explain(other: Method) -> Tensor:
        return explain_clouds(other, clouds, target=target).of(target).importance

    return randomisation_test(explain, model, clouds.ptr, clouds=chosen, seed=seed).whole.as_dict()


def _stability(model: Method, explanation: Explanation, target: str | int | None, m: int, seed: int) -> dict[str, Any]:
    """Agreement of importance and spread of the prediction over slightly moved clouds."""
    clouds = explanation.clouds
    jitter = JITTER * mean_neighbor_distance(clouds, model.rule)
    members = [explanation, *draws(lambda moved, s: explain_clouds(model, moved, target=target).of(target), clouds,
                                   DRAWS, jitter=jitter, seed=seed, start=1)]
    stacked = torch.stack([e.importance for e in members])
    scale = stacked.new_tensor(explanation.targets.scale())  # so that no different units are averaged
    return {
        "rank_correlation": rank_correlation(stacked, clouds.ptr),
        f"jaccard@{m}": jaccard(stacked, clouds.ptr, m),
        "prediction_std": float((torch.stack([e.prediction for e in members]).std(0) / scale).mean()),
        "draws": DRAWS,
        "jitter": jitter,
    }
