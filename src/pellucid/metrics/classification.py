"""How well classes are predicted: scikit-learn's metrics, with missing targets and undefined values handled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from pellucid.errors import PellucidError
from pellucid.metrics.base import Array, known_pairs, metric


@metric("classification.roc_auc", kinds=("binary", "multiclass"), takes="odds")
def roc_auc(y_true: Any, score: Any) -> float:
    """Area under the ROC curve: chance that a random positive is scored above a random negative (ties: half).

    Args:
        y_true: (n,) 0/1, or class numbers; NaN where missing (left out).
        score: (n,) the larger, the more positive; or (n, classes), then the mean over the classes one-vs-rest that
            have both members and non-members.

    Returns:
        In [0, 1]; NaN where only one class is present.

    Raises:
        PellucidError: if shapes or classes do not fit, or a score is not finite.

    Example:
        >>> roc_auc([0, 0, 1, float("nan")], [0.1, 0.4, 0.3, 0.9])
        0.5
    """
    return _one_vs_rest(roc_auc_score, y_true, score)


@metric("classification.average_precision", kinds=("binary",), takes="odds")
def average_precision(y_true: Any, score: Any) -> float:
    """Average precision: area under the precision-recall curve, without interpolation.

    Args:
        y_true: (n,) 0/1, or class numbers; NaN where missing (left out).
        score: (n,), or (n, classes) for the mean over the classes one-vs-rest.

    Returns:
        In [0, 1]; NaN where only one class is present.

    Raises:
        PellucidError: if shapes or classes do not fit, or a score is not finite.

    Example:
        >>> average_precision([0, 1, 1], [0.2, 0.1, 0.3])
        0.8333333333333333
    """
    return _one_vs_rest(average_precision_score, y_true, score)


@metric("classification.accuracy", kinds=("binary", "multiclass"), takes="prediction")
def accuracy(y_true: Any, score: Any) -> float:
    """Accuracy: share of right answers.

    Args:
        y_true: (n,) 0/1, or class numbers; NaN where missing (left out).
        score: (n,) probability of class 1, which is the answer from 0.5 on; or (n, classes), where the largest wins.

    Returns:
        In [0, 1]; NaN without a known target.

    Raises:
        PellucidError: if shapes or classes do not fit, or a score is not finite.

    Example:
        >>> accuracy([0, 1, 1, 0], [0.2, 0.5, 0.1, 0.4])
        0.75
    """
    truth, predicted = _checked(y_true, score)
    answers = predicted.argmax(1) if predicted.ndim == 2 else predicted >= 0.5
    return float((answers == truth).mean()) if len(truth) else float("nan")


def _checked(y_true: Any, score: Any) -> tuple[Array, Array]:
    truth, predicted = known_pairs(y_true, score)
    classes = predicted.shape[1] if predicted.ndim == 2 else 2
    if not np.isin(truth, np.arange(classes)).all():
        raise PellucidError(f"expected classes from 0 to {classes - 1}, got {np.unique(truth)[:5].tolist()}; number "
                            "the classes or give scores of shape (n, classes)")
    return truth, predicted


def _one_vs_rest(function: Callable[[Array, Array], float], y_true: Any, score: Any) -> float:
    truth, predicted = _checked(y_true, score)
    columns = predicted.T if predicted.ndim == 2 else [predicted]
    members = [truth == c for c in range(len(columns))] if predicted.ndim == 2 else [truth == 1]
    values = [function(m, column) for m, column in zip(members, columns, strict=True) if m.any() and not m.all()]
    return float(np.mean(values)) if values else float("nan")
