"""How predictions and explanations are judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

Array = NDArray[np.float64]


def prediction_metrics(kind: str, targets: Sequence[str], predicted: Array, values: Array, train: Array,
                       floors: dict[str, float]) -> dict[str, Any]:
    """Of the test part, over what was measured.

    Args:
        kind: ``"regression"`` or ``"classification"``.
        targets: Names.
        predicted: (tested, targets), in the targets' units or the probability of class 1. NaN where a peer gave
            nothing: it gets the mean of the training part, and their number is told.
        values: (tested, targets), NaN where nothing was measured.
        train: (trained, targets): its mean and spread.
        floors: Targets whose smallest value means "at most this": errors over the other values are given as well.

    Returns:
        ``score``, the one figure to compare by: mean ROC AUC over the targets, or the mean RMSE; with several
        regression targets the mean of RMSE / standard deviation of training (units may differ). Beside it all the
        parts. Targets without two classes, or without any value, in the test part are left out and listed.
    """
    missing = int(np.isnan(predicted).any(1).sum())
    predicted = np.where(np.isnan(predicted), np.nanmean(train, 0), predicted)
    by_target, left_out = {}, []
    for i, name in enumerate(targets):
        known = ~np.isnan(values[:, i])
        truth, guess = values[known, i], predicted[known, i]
        if not len(truth) or (kind == "classification" and len(np.unique(truth)) < 2):
            left_out.append(name)
        elif kind == "classification":
            by_target[name] = {"roc_auc": float(roc_auc_score(truth, guess)), "tested": len(truth)}
        else:
            by_target[name] = {**_errors(guess, truth), "spread": float(np.nanstd(train[:, i])), "tested": len(truth)}
            if name in floors:
                exact = truth > floors[name] + 1e-9
                by_target[name]["exact"] = {**_errors(guess[exact], truth[exact]), "tested": int(exact.sum())}
    found: dict[str, Any] = {"targets": by_target, "left_out": left_out, "missing": missing}
    if kind == "classification":
        found["roc_auc"] = found["score"] = _mean([each["roc_auc"] for each in by_target.values()])
        return found
    found["rmse"], found["mae"] = (_mean([each[name] for each in by_target.values()]) for name in ("rmse", "mae"))
    found["relative_rmse"] = _mean([each["rmse"] / each["spread"] for each in by_target.values()])
    if floors:
        found["relative_rmse_exact"] = _mean([each.get("exact", each)["rmse"] / each["spread"]
                                              for each in by_target.values()])
    found["score"] = found["rmse"] if len(targets) == 1 else found["relative_rmse"]
    return found


def _errors(guess: Array, truth: Array) -> dict[str, float]:
    if not len(truth):
        return {"rmse": math.nan, "mae": math.nan}
    return {"rmse": float(np.sqrt(np.mean((guess - truth) ** 2))), "mae": float(np.abs(guess - truth).mean())}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def signed_spearman(importance: Array, truth: Array) -> float:
    """Rank correlation within a molecule, ties at their mean rank; 0 for an importance that orders nothing.

    NaN where the truth is the same for all atoms: such a molecule has no answer.
    """
    if np.ptp(truth) == 0:
        return math.nan
    if np.ptp(importance) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(importance), rankdata(truth))[0, 1])


def atom_auc(importance: Array, truth: Array) -> float:
    """ROC AUC of the true atoms within a molecule; NaN where all or none of its atoms are true."""
    if truth.all() or not truth.any():
        return math.nan
    return float(roc_auc_score(truth.astype(bool), importance))


def explanation_metrics(kind: str, importance: Sequence[Array | None], truth: Sequence[Array]) -> dict[str, Any]:
    """Mean within-molecule figures with their standard errors over molecules.

    Args:
        kind: ``"classification"`` for rules (true atoms: ROC AUC and Spearman), ``"regression"`` for contributions
            (Spearman alone: where "important" begins would be a choice).
        importance: Of each molecule's atoms, signed; None where the peer explained nothing.
        truth: 0 and 1, or the true contributions, alike.
    """
    found: dict[str, Any] = {"missing": sum(each is None for each in importance)}
    for name, score in {"spearman": signed_spearman, "roc_auc": atom_auc}.items():
        if name == "roc_auc" and kind == "regression":
            continue
        scores = [math.nan if given is None else score(given, right)
                  for given, right in zip(importance, truth, strict=True)]
        known = [each for each in scores if not math.isnan(each)]
        found[name] = {"mean": _mean(known), "molecules": len(known), "error":
                       float(np.std(known, ddof=1) / math.sqrt(len(known))) if len(known) > 1 else math.nan,
                       "each": [None if math.isnan(each) else round(each, 4) for each in scores]}
    return found
