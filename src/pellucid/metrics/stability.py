"""Whether importance stays the same over seeds, draws of noise, or small moves of the points."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.metrics.base import metric
from pellucid.metrics.ragged import average_ranks, batch_of, checked, mean_over, sums, top


@metric("stability.rank_correlation")
def rank_correlation(importances: Tensor, ptr: Tensor, *, clouds: Tensor | None = None) -> float:
    """Mean Spearman rank correlation between pairs of draws, within each cloud, then averaged over clouds.

    A draw that is constant in a cloud has no rank order there: its pairs are left out, and so are clouds without a
    pair (all clouds of one point).

    Args:
        importances: (draws, points), at least two draws.
        ptr: (clouds + 1,) offsets.
        clouds: (clouds,) bool, the clouds that count; None for all.

    Returns:
        In [-1, 1], 1 = always the same order; NaN where no pair is left.

    Raises:
        PellucidError: if shapes do not fit, an importance is not finite, or there are fewer than two draws.

    Example:
        >>> round(rank_correlation(torch.tensor([[1.0, 2.0, 3.0], [1.0, 3.0, 9.0]]), torch.tensor([0, 3])), 6)
        1.0
    """
    draws, ptr, counted = _checked(importances, ptr, clouds)
    batch = batch_of(ptr)
    total = torch.zeros(len(batch), dtype=torch.float64)
    valid = torch.zeros(len(ptr) - 1, dtype=torch.float64)
    for values in draws:
        ranks = average_ranks(values, ptr) - ((ptr.diff() + 1) / 2.0)[batch]
        squared = sums(ranks.square(), ptr)
        valid += squared > 0
        total += ranks / squared.where(squared > 0, 1).sqrt()[batch]
    # with unit vectors z of the v draws: |sum z|^2 = v + the sum over ordered pairs of their correlations
    mean = (sums(total.square(), ptr) - valid) / (valid * (valid - 1)).clamp(min=1)
    return mean_over(mean.clamp(-1, 1), counted & (valid > 1))


@metric("stability.jaccard")
def jaccard(importances: Tensor, ptr: Tensor, m: int, *, clouds: Tensor | None = None) -> float:
    """Mean Jaccard index of the m most important points between pairs of draws, averaged over clouds.

    Points tied for the last places are members in part (their chance under random tie-breaking), and the index is
    sum(min) / sum(max), which is the usual one where there are no ties. Clouds with m points or fewer are skipped:
    there every draw takes all points.

    Args:
        importances: (draws, points), at least two draws.
        ptr: (clouds + 1,) offsets.
        m: Points taken from each cloud, at least 1.
        clouds: (clouds,) bool, the clouds that count; None for all.

    Returns:
        In [0, 1], 1 = always the same points; NaN where no cloud is left.

    Raises:
        PellucidError: if shapes do not fit, an importance is not finite, m < 1 or there are fewer than two draws.

    Example:
        >>> round(jaccard(torch.tensor([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0]]), torch.tensor([0, 3]), 2), 6)
        0.333333
    """
    draws, ptr, counted = _checked(importances, ptr, clouds)
    members = [top(values, ptr, m) for values in draws]
    total = torch.zeros(len(ptr) - 1, dtype=torch.float64)
    pairs = [(a, b) for i, a in enumerate(members) for b in members[:i]]
    for a, b in pairs:
        total += sums(torch.minimum(a, b), ptr) / sums(torch.maximum(a, b), ptr).clamp(min=1)
    return mean_over(total / len(pairs), counted & (ptr.diff() > m))


def _checked(importances: Tensor, ptr: Tensor, clouds: Tensor | None) -> tuple[list[Tensor], Tensor, Tensor]:
    if importances.ndim != 2 or len(importances) < 2:
        raise PellucidError(f"expected importances of shape (draws, points) with at least two draws, got "
                            f"{tuple(importances.shape)}; explain again with another seed")
    draws = [checked(values, ptr, clouds) for values in importances]
    return [values for values, _, _ in draws], *draws[0][1:]
