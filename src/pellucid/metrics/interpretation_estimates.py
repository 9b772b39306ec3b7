"""Interpretation metrics with intervals over clouds and the baseline of a random ranking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.metrics.base import Array
from pellucid.metrics.bootstrap import Estimate, bootstrap, estimate
from pellucid.metrics.groups import group_precision_values, groups_of
from pellucid.metrics.interpretation import pooled_roc_auc, precision_values, roc_auc_values
from pellucid.metrics.ragged import batch_of, checked, sums


def interpretation_estimates(importance: Tensor, important: Tensor, ptr: Tensor, *, m: Sequence[int] = (5, 8),
                             group: Tensor | None = None, group_m: Sequence[int] = (1,), share: float = 0.5,
                             clouds: Tensor | None = None, level: float = 0.95, draws: int = 1000,
                             seed: int = 0) -> dict[str, Estimate]:
    """All interpretation metrics, each with its interval over clouds and its exact random baseline.

    A random ranking has a ROC AUC of 0.5, and a precision@m of the share of important points (or groups) of the cloud.

    Args:
        importance: (points,) the larger, the more important.
        important: (points,) bool ground truth.
        ptr: (clouds + 1,) offsets.
        m: Of precision@m.
        group: (points,) int64 as in :func:`~.groups.group_precision_at`; None leaves groups out.
        group_m: Of the groups' precision@m.
        share: Of a group's points that make it important.
        clouds: (clouds,) bool, the clouds that count (the papers: the positive ones); None for all.
        level: Of the intervals, in (0, 1).
        draws: Resamples of the bootstrap over clouds, at least 1.
        seed: Of the resamples.

    Returns:
        ``"roc_auc"``, ``"roc_auc_per_cloud"``, ``"precision@5"``, ...,  ``"group_precision@1"``, ...; NaN where no
        cloud is left.

    Raises:
        PellucidError: if shapes do not fit, an importance is not finite, or an option is out of its range.

    Example:
        >>> importance, important = torch.tensor([3.0, 2.0, 1.0, 0.0]), torch.tensor([True, False, True, False])
        >>> result = interpretation_estimates(importance, important, torch.tensor([0, 2, 4]), m=(1,))
        >>> {name: (estimate.value, estimate.random) for name, estimate in result.items()}
        {'roc_auc': (0.75, 0.5), 'roc_auc_per_cloud': (1.0, 0.5), 'precision@1': (1.0, 0.5)}
    """

    def sure(values: Tensor, chance: Tensor | float) -> Estimate:
        return estimate(values, chance, level=level, draws=draws, seed=seed)

    pooled = pooled_roc_auc(importance, important, ptr, clouds=clouds)
    low, high = pooled_roc_auc_interval(importance, important, ptr, clouds=clouds, level=level, draws=draws, seed=seed)
    result = {"roc_auc": Estimate(pooled, low, high, float("nan") if np.isnan(pooled) else 0.5),
              "roc_auc_per_cloud": sure(roc_auc_values(importance, important, ptr, clouds=clouds), 0.5)}
    for count in m:
        result[f"precision@{count}"] = sure(precision_values(importance, important, ptr, count, clouds=clouds),
                                            _share(important.cpu(), ptr.cpu()))
    if group is not None:
        _, truth, group_ptr = groups_of(importance, important, group, ptr, share=share)
        for count in group_m:
            values = group_precision_values(importance, important, group, ptr, count, share=share, clouds=clouds)
            result[f"group_precision@{count}"] = sure(values, _share(truth, group_ptr))
    return result


def pooled_roc_auc_interval(importance: Tensor, important: Tensor, ptr: Tensor, *, clouds: Tensor | None = None,
                            level: float = 0.95, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the pooled ROC AUC; whole clouds are drawn, since their points are not free.

    Args:
        importance: (points,) the larger, the more important.
        important: (points,) bool ground truth.
        ptr: (clouds + 1,) offsets.
        clouds: (clouds,) bool, the clouds that count; None for all.
        level: Of the interval, in (0, 1).
        draws: Resamples, at least 1; those with points of one class only are left out.
        seed: Of the resamples.

    Returns:
        Lower and upper end in [0, 1]; NaN for fewer than two clouds, or where no resample has a ROC AUC.

    Raises:
        PellucidError: if shapes do not fit, an importance is not finite, or an option is out of its range.

    Example:
        >>> importance, important = torch.tensor([3.0, 2.0, 1.0, 0.0]), torch.tensor([True, False, True, False])
        >>> pooled_roc_auc_interval(importance, important, torch.tensor([0, 2, 4]), draws=200)
        (0.75, 1.0)
    """
    values, ptr, counted = checked(importance, ptr, clouds)
    if important.shape != importance.shape or important.dtype != torch.bool:
        raise PellucidError(f"expected ground truth of shape {tuple(importance.shape)} bool, got "
                            f"{tuple(important.shape)} {important.dtype}; say of each point whether it is important")
    rows = counted[batch_of(ptr)]
    order = torch.argsort(values[rows])
    ordered = values[rows][order].numpy()
    truth = important.cpu()[rows][order].numpy()
    owner = batch_of(torch.cat([ptr.new_zeros(1), ptr.diff()[counted].cumsum(0)]))[order].numpy()
    count = int(counted.sum())
    last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]  # of each run of equal values

    def areas(places: Array) -> Array:
        rows = len(places)
        flat = places + count * np.arange(rows)[:, None]
        times = np.bincount(flat.ravel(), minlength=rows * count).reshape(rows, count)[:, owner].astype(np.float64)
        # points, each as often as its cloud was drawn: for each value, those of both classes up to it
        positive, negative = ((times * of_class).cumsum(1)[:, last] for of_class in (truth, ~truth))
        won = np.diff(positive, prepend=0) * (negative - np.diff(negative, prepend=0) / 2)
        pairs = positive[:, -1:] * negative[:, -1:]
        total: Array = won.sum(1, keepdims=True) / np.where(pairs > 0, pairs, np.nan)
        return total.reshape(-1) if len(ordered) else np.full(rows, np.nan)

    return bootstrap(areas, count, level=level, draws=draws, seed=seed, width=4 * len(ordered))


def _share(truth: Tensor, ptr: Tensor) -> Tensor:
    """(clouds,) share of important members: what a random order finds among any number of first ones."""
    return sums(truth, ptr) / ptr.diff()
