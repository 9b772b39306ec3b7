"""Whether importance finds the points that are known to decide (LRI, section 5: ROC AUC and precision@m)."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.metrics.base import metric
from pellucid.metrics.ragged import average_ranks, batch_of, checked, mean_over, sums, top


@metric("interpretation.roc_auc")
def pooled_roc_auc(importance: Tensor, important: Tensor, ptr: Tensor, *, clouds: Tensor | None = None) -> float:
    """ROC AUC over the points of all clouds together, as in the LRI paper.

    It compares points of different clouds, so importance must mean the same in all of them.

    Args:
        importance: (points,) the larger, the more important.
        important: (points,) bool ground truth.
        ptr: (clouds + 1,) offsets.
        clouds: (clouds,) bool, the clouds that count (the papers: the positive ones); None for all.

    Returns:
        In [0, 1], 0.5 for constant importance; NaN where the points are all important or all not.

    Raises:
        PellucidError: if shapes do not fit or an importance is not finite.

    Example:
        >>> pooled_roc_auc(torch.tensor([0.9, 0.1, 0.5]), torch.tensor([True, False, True]), torch.tensor([0, 2, 3]))
        1.0
    """
    values, truth, ptr, counted = _checked(importance, important, ptr, clouds)
    rows = counted[batch_of(ptr)]
    values, truth = values[rows], truth[rows]
    area, defined = _areas(values, truth, torch.tensor([0, len(values)]))
    return mean_over(area, defined)


@metric("interpretation.roc_auc_per_cloud")
def per_cloud_roc_auc(importance: Tensor, important: Tensor, ptr: Tensor, *, clouds: Tensor | None = None) -> float:
    """ROC AUC within each cloud, averaged: the honest number for a user with one sample.

    Args:
        importance: (points,) the larger, the more important.
        important: (points,) bool ground truth.
        ptr: (clouds + 1,) offsets.
        clouds: (clouds,) bool, the clouds that count; None for all. Clouds with only important or only unimportant
            points are skipped.

    Returns:
        In [0, 1], 0.5 for constant importance; NaN where no cloud is left.

    Raises:
        PellucidError: if shapes do not fit or an importance is not finite.

    Example:
        >>> importance, important = torch.tensor([0.9, 0.1, 0.5]), torch.tensor([True, False, True])
        >>> per_cloud_roc_auc(importance, important, torch.tensor([0, 2, 3]))
        1.0
    """
    return _mean(roc_auc_values(importance, important, ptr, clouds=clouds))


@metric("interpretation.roc_auc_adjusted")
def adjusted_roc_auc(importance: Tensor, important: Tensor, ptr: Tensor, by: Tensor, *, strata: int = 5,
                     clouds: Tensor | None = None) -> float:
    """ROC AUC of points that are alike in a covariate, averaged over clouds: what importance knows beyond it.

    Where the truth goes with something that needs no model, such as the nearness to the middle of the cloud, any
    importance that goes with it too scores well. Here each cloud is cut into strata of equally many points by the
    covariate, and only pairs within a stratum are compared: the covariate-adjusted area (Janes & Pepe, Biometrika 96,
    371 (2009)), each stratum weighted by its pairs of an important and an unimportant point.

    Args:
        importance: (points,) the larger, the more important.
        important: (points,) bool ground truth.
        ptr: (clouds + 1,) offsets.
        by: (points,) the covariate.
        strata: Of each cloud, at least 1; the more, the less of the covariate is left within one.
        clouds: (clouds,) bool, the clouds that count; None for all. Clouds without such a pair are skipped.

    Returns:
        In [0, 1], 0.5 for constant importance; NaN where no cloud is left.

    Raises:
        PellucidError: if shapes do not fit, a number is not finite, or strata < 1.

    Example:
        >>> truth, middle = torch.tensor([True, False, True, False]), torch.tensor([4.0, 3.0, 2.0, 1.0])
        >>> adjusted_roc_auc(torch.tensor([3.0, 4.0, 1.0, 2.0]), truth, torch.tensor([0, 4]), middle, strata=2)
        0.0
    """
    if strata < 1:
        raise PellucidError(f"expected at least 1 stratum, got {strata}")
    values, truth, ptr, counted = _checked(importance, important, ptr, clouds)
    covariate = checked(by, ptr, clouds)[0]
    sizes, batch = ptr.diff(), batch_of(ptr)
    order = torch.argsort(covariate, stable=True)
    order = order[torch.argsort(batch[order], stable=True)]
    place = torch.arange(len(order)) - ptr[batch]  # of the sorted points within their clouds
    stratum = batch * strata + place * strata // sizes[batch]
    inner = torch.bincount(stratum, minlength=strata * len(sizes)).cumsum(0)
    inner = torch.cat([inner.new_zeros(1), inner])
    area, _ = _areas(values[order], truth[order], inner)
    positive = sums(truth[order], inner)
    pairs = (positive * (inner.diff() - positive)).view(len(sizes), strata)
    total = pairs.sum(1)
    return mean_over((area.view_as(pairs) * pairs).sum(1) / total.clamp(min=1), counted & (total > 0))


@metric("interpretation.precision@m")
def precision_at(importance: Tensor, important: Tensor, ptr: Tensor, m: int, *, clouds: Tensor | None = None) -> float:
    """Share of a cloud's m most important points that truly are important, averaged over clouds.

    A cloud with fewer than m points has all of them taken, and the share is of the points taken. Where points are
    tied for the last places, the value is the expectation over breaking ties at random, so the order of points never
    matters and constant importance scores what chance does.

    Args:
        importance: (points,) the larger, the more important.
        important: (points,) bool ground truth.
        ptr: (clouds + 1,) offsets.
        m: Points taken from each cloud, at least 1.
        clouds: (clouds,) bool, the clouds that count; None for all. Clouds with only important or only unimportant
            points are skipped.

    Returns:
        In [0, 1]; NaN where no cloud is left.

    Raises:
        PellucidError: if shapes do not fit, an importance is not finite, or m < 1.

    Example:
        >>> precision_at(torch.tensor([3.0, 2.0, 1.0]), torch.tensor([True, False, True]), torch.tensor([0, 3]), 2)
        0.5
    """
    return _mean(precision_values(importance, important, ptr, m, clouds=clouds))


def roc_auc_values(importance: Tensor, important: Tensor, ptr: Tensor, *, clouds: Tensor | None = None) -> Tensor:
    """ROC AUC within each cloud: what :func:`per_cloud_roc_auc` averages.

    Args:
        importance: (points,) the larger, the more important.
        important: (points,) bool ground truth.
        ptr: (clouds + 1,) offsets.
        clouds: (clouds,) bool, the clouds that count; None for all.

    Returns:
        (clouds,) float64 in [0, 1]; NaN for clouds that do not count or have points of one class only.

    Raises:
        PellucidError: as :func:`per_cloud_roc_auc`.

    Example:
        >>> truth = torch.tensor([True, False, True])
        >>> roc_auc_values(torch.tensor([0.9, 0.1, 0.5]), truth, torch.tensor([0, 2, 3])).tolist()
        [1.0, nan]
    """
    values, truth, ptr, counted = _checked(importance, important, ptr, clouds)
    area, defined = _areas(values, truth, ptr)
    return area.where(defined & counted, float("nan"))


def best_explanation_values(importance: Tensor, important: Tensor, explanations: Tensor, ptr: Tensor, *,
                            clouds: Tensor | None = None) -> Tensor:
    """ROC AUC within each cloud against the explanation that importance finds best.

    Where several explanations are enough by themselves, each of them is a right answer, and so are all of them together
    (Sanchez-Lengeling et al., NeurIPS 2020).

    Args:
        importance: (points,) the larger, the more important.
        important: (points,) bool, the points of all explanations together.
        explanations: (points,) int, bit k says that a point belongs to explanation k of its cloud.
        ptr: (clouds + 1,) offsets.
        clouds: (clouds,) bool, the clouds that count; None for all.

    Returns:
        (clouds,) float64 in [0, 1]; NaN for clouds that do not count, or of which all points or none are important.

    Raises:
        PellucidError: as :func:`per_cloud_roc_auc`.

    Example:
        >>> either = torch.tensor([1, 2, 0])  # the first point, or the second
        >>> best_explanation_values(torch.tensor([0.9, 0.1, 0.5]), either > 0, either, torch.tensor([0, 3])).tolist()
        [1.0]
    """
    best = roc_auc_values(importance, important, ptr, clouds=clouds)
    for k in range(62):
        own = (explanations >> k & 1).bool()
        if not bool(own.any()):
            break
        best = torch.fmax(best, roc_auc_values(importance, own, ptr, clouds=clouds)).where(~best.isnan(), best)
    return best


def precision_values(importance: Tensor, important: Tensor, ptr: Tensor, m: int, *,
                     clouds: Tensor | None = None) -> Tensor:
    """Precision@m of each cloud: what :func:`precision_at` averages.

    Args:
        importance: (points,) the larger, the more important.
        important: (points,) bool ground truth.
        ptr: (clouds + 1,) offsets.
        m: Points taken from each cloud, at least 1.
        clouds: (clouds,) bool, the clouds that count; None for all.

    Returns:
        (clouds,) float64 in [0, 1]; NaN for clouds that do not count or have points of one class only.

    Raises:
        PellucidError: as :func:`precision_at`.

    Example:
        >>> truth = torch.tensor([True, False, True])
        >>> precision_values(torch.tensor([0.9, 0.1, 0.5]), truth, torch.tensor([0, 2, 3]), 1).tolist()
        [1.0, nan]
    """
    values, truth, ptr, counted = _checked(importance, important, ptr, clouds)
    hits, sizes = sums(top(values, ptr, m) * truth, ptr), ptr.diff()
    return (hits / sizes.clamp(min=1, max=m)).where(counted & _mixed(truth, ptr), float("nan"))


def _mean(values: Tensor) -> float:
    return mean_over(values, ~values.isnan())


def _checked(importance: Tensor, important: Tensor, ptr: Tensor,
             clouds: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    values, ptr, counted = checked(importance, ptr, clouds)
    if important.shape != importance.shape or important.dtype != torch.bool:
        raise PellucidError(f"expected ground truth of shape {tuple(importance.shape)} bool, got "
                            f"{tuple(important.shape)} {important.dtype}; say of each point whether it is important")
    return values, important.cpu(), ptr, counted


def _mixed(truth: Tensor, ptr: Tensor) -> Tensor:
    positive = sums(truth, ptr)
    return (positive > 0) & (positive < ptr.diff())


def _areas(values: Tensor, truth: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Area of each cloud from the Mann-Whitney rank sum, and where it is defined."""
    positive = sums(truth, ptr)
    pairs = positive * (ptr.diff() - positive)
    above = sums(average_ranks(values, ptr) * truth, ptr) - positive * (positive + 1) / 2
    return above / pairs.clamp(min=1), pairs > 0
