"""How well numbers are predicted; targets that are NaN are left out."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import r2_score

from pellucid.errors import PellucidError
from pellucid.metrics.base import Array, as_array, known_pairs, metric


@metric("regression.rmse", kinds=("regression",), takes="prediction")
def rmse(y_true: Any, prediction: Any) -> float:
    """Root mean squared error, in the unit of the target.

    Args:
        y_true: (n,), NaN where missing.
        prediction: (n,).

    Returns:
        At least 0; NaN without a known target.

    Raises:
        PellucidError: if shapes differ or a prediction is not finite.

    Example:
        >>> rmse([0.0, 0.0], [3.0, -3.0])
        3.0
    """
    truth, predicted = _checked(y_true, prediction)
    return float(np.sqrt(np.mean((predicted - truth) ** 2))) if len(truth) else float("nan")


@metric("regression.mae", kinds=("regression",), takes="prediction")
def mae(y_true: Any, prediction: Any) -> float:
    """Mean absolute error, in the unit of the target.

    Args:
        y_true: (n,), NaN where missing.
        prediction: (n,).

    Returns:
        At least 0; NaN without a known target.

    Raises:
        PellucidError: if shapes differ or a prediction is not finite.

    Example:
        >>> mae([0.0, 0.0], [3.0, -1.0])
        2.0
    """
    truth, predicted = _checked(y_true, prediction)
    return float(np.abs(predicted - truth).mean()) if len(truth) else float("nan")


@metric("regression.r2", kinds=("regression",), takes="prediction")
def r2(y_true: Any, prediction: Any) -> float:
    """Coefficient of determination: share of the target's variance that is predicted.

    Args:
        y_true: (n,), NaN where missing.
        prediction: (n,).

    Returns:
        At most 1; NaN where the known targets are all equal (or fewer than two).

    Raises:
        PellucidError: if shapes differ or a prediction is not finite.

    Example:
        >>> r2([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
        0.0
    """
    truth, predicted = _checked(y_true, prediction)
    return float(r2_score(truth, predicted)) if _varies(truth) else float("nan")


@metric("regression.spearman", kinds=("regression",), takes="prediction")
def spearman(y_true: Any, prediction: Any) -> float:
    """Spearman's rank correlation of prediction and target (average ranks on ties).

    Args:
        y_true: (n,), NaN where missing.
        prediction: (n,).

    Returns:
        In [-1, 1]; NaN where either is constant (or has fewer than two values).

    Raises:
        PellucidError: if shapes differ or a prediction is not finite.

    Example:
        >>> round(spearman([1.0, 2.0, 3.0], [1.0, 10.0, 100.0]), 6)
        1.0
    """
    truth, predicted = _checked(y_true, prediction)
    if not (_varies(truth) and _varies(predicted)):
        return float("nan")
    return float(spearmanr(truth, predicted).statistic)


@metric("regression.rmse_one_sided")
def rmse_one_sided(y_true: Any, prediction: Any, censored: Any) -> float:
    """Root mean squared error where some values are only bounds, of which a prediction beyond them is no error.

    Args:
        y_true: (n,), NaN where missing.
        prediction: (n,).
        censored: (n,) 0 for a known value, +1 where the true value is at least it, -1 where at most.

    Returns:
        At least 0, in the unit of the target; NaN without a value.

    Raises:
        PellucidError: if shapes differ or a prediction is not finite.

    Example:
        >>> rmse_one_sided([1.0, 1.0, 1.0, 1.0], [3.0, 3.0, 1.0, 1.0], [1, -1, 0, 0])
        1.0
    """
    truth, predicted = _checked(y_true, prediction)
    bounds = as_array(censored)
    if bounds.shape != as_array(y_true).shape:
        raise PellucidError(f"expected censored of the shape of the targets, got {bounds.shape}; give each a number")
    off = predicted - truth
    off[off * bounds[~np.isnan(as_array(y_true))] > 0] = 0
    return float(np.sqrt(np.mean(off**2))) if len(off) else float("nan")


def _checked(y_true: Any, prediction: Any) -> tuple[Array, Array]:
    truth, predicted = known_pairs(y_true, prediction)
    if predicted.ndim != 1:
        raise PellucidError(f"expected predictions of shape (n,), got {predicted.shape}; pass one target at a time")
    return truth, predicted


def _varies(values: Array) -> bool:
    return len(values) > 1 and bool((values != values[0]).any())
