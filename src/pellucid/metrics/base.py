"""The registry of metrics, and how their arguments are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.families import metrics as metrics
from pellucid.targets import Kind

Array: TypeAlias = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])


Takes = Literal["", "odds", "prediction", "explanation"]


def metric(name: str, *, kinds: tuple[Kind, ...] = (), takes: Takes = "") -> Callable[[Function], Function]:
    """Decorator that registers a metric and leaves its type as it is.

    Args:
        name: ``family.metric``, e.g. ``"sparsity.gini"``.
        kinds: Kinds of targets whose prediction it measures; then every evaluation calls it as ``f(y, score)`` for each
            such target.
        takes: What ``score`` is: ``"prediction"`` (probabilities or values), or ``"odds"`` (log-odds, whose order
            is kept where probabilities of a sure model are all 1 in floating point). ``"explanation"``: every
            evaluation calls it as ``f(explanation, clouds=(clouds,) bool or None, m=int, seed=int)``, and keeps the
            dictionary that it returns, unless that is empty because it does not apply.

    Example:
        >>> from pellucid.metrics import metrics
        >>> metrics["regression.mae"]([0.0, 1.0], [0.0, 3.0])
        1.0
    """

    def add(function: Function) -> Function:
        function.kinds, function.takes = kinds, takes  # type: ignore[attr-defined]
        metrics.register(name)(function)
        return function

    return add


def measuring(kind: Kind) -> dict[str, tuple[Callable[..., Any], Takes]]:
    """Short name -> metric of the prediction of a kind of target, and what it takes.

    Example:
        >>> sorted(measuring("regression"))
        ['mae', 'r2', 'rmse', 'spearman']
    """
    found: dict[str, Any] = {name: metrics[name] for name in metrics}
    return {name.rpartition(".")[2]: (function, function.takes) for name, function in found.items()
            if kind in getattr(function, "kinds", ())}


def as_array(values: Any) -> Array:
    """A NumPy array of numbers in float64, bools and integers included, from a tensor, an array or a list."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.double().numpy() if values.dtype == torch.bfloat16 else values.numpy()
    return np.asarray(values, dtype=np.float64)


def known_pairs(y_true: Any, score: Any) -> tuple[Array, Array]:
    """Targets and predictions where the target is known (not NaN).

    Args:
        y_true: (n,), NaN where missing.
        score: (n,) or (n, classes).

    Raises:
        PellucidError: if the lengths differ or a prediction of a known target is not finite.
    """
    truth, predicted = as_array(y_true), as_array(score)
    if truth.ndim != 1 or predicted.ndim not in (1, 2) or len(truth) != len(predicted):
        raise PellucidError(f"expected targets of shape (n,) and scores of shape (n,) or (n, classes), got "
                            f"{truth.shape} and {predicted.shape}; pass one column of targets at a time")
    known = ~np.isnan(truth)
    truth, predicted = truth[known], predicted[known]
    if not np.isfinite(predicted).all():
        raise PellucidError("expected finite predictions, got NaN or infinity; the model has diverged: lower the "
                            "learning rate or check the data")
    return truth, predicted
