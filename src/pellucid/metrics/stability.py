"""Whether importance stays the same over seeds, draws of noise, or small moves of the points."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.metrics.base import metric
from pellucid.metrics.bootstrap import Estimate, estimate
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
    values = rank_correlation_values(importances, ptr, clouds=clouds)
    return mean_over(values, ~values.isnan())


def rank_correlation_values(importances: Tensor, ptr: Tensor, *, clouds: Tensor | None = None) -> Tensor:
    """Mean Spearman rank correlation between pairs of draws in each cloud: what :func:`rank_correlation` averages.

    Args:
        importances: (draws, points), at least two draws.
        ptr: (clouds + 1,) offsets.
        clouds: (clouds,) bool, the clouds that count; None for all.

    Returns:
        (clouds,) float64 in [-1, 1]; NaN for clouds that do not count or have no pair of draws with a rank order.

    Raises:
        PellucidError: as :func:`rank_correlation`.

    Example:
        >>> draws = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 9.0]])
        >>> rank_correlation_values(draws, torch.tensor([0, 2, 3])).tolist()
        [-1.0, nan]
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
    return mean.clamp(-1, 1).where(counted & (valid > 1), float("nan"))


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
    values = jaccard_values(importances, ptr, m, clouds=clouds)
    return mean_over(values, ~values.isnan())


def jaccard_values(importances: Tensor, ptr: Tensor, m: int, *, clouds: Tensor | None = None) -> Tensor:
    """Mean Jaccard index of the m most important points between pairs of draws: what :func:`jaccard` averages.

    Args:
        importances: (draws, points), at least two draws.
        ptr: (clouds + 1,) offsets.
        m: Points taken from each cloud, at least 1.
        clouds: (clouds,) bool, the clouds that count; None for all.

    Returns:
        (clouds,) float64 in [0, 1]; NaN for clouds that do not count or have m points or fewer.

    Raises:
        PellucidError: as :func:`jaccard`.

    Example:
        >>> draws = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 9.0]])
        >>> jaccard_values(draws, torch.tensor([0, 2, 3]), 1).tolist()
        [0.0, nan]
    """
    draws, ptr, counted = _checked(importances, ptr, clouds)
    members = [top(values, ptr, m) for values in draws]
    total = torch.zeros(len(ptr) - 1, dtype=torch.float64)
    pairs = [(a, b) for i, a in enumerate(members) for b in members[:i]]
    for a, b in pairs:
        total += sums(torch.minimum(a, b), ptr) / sums(torch.maximum(a, b), ptr).clamp(min=1)
    return (total / len(pairs)).where(counted & (ptr.diff() > m), float("nan"))


def expected_jaccard(points: int, m: int) -> float:
    """Expected Jaccard index of two independent random sets of m points: the baseline of :func:`jaccard`.

    The overlap k is hypergeometric: sum_k C(m, k) C(n - m, m - k) / C(n, m) * k / (2m - k).

    Args:
        points: n, at least 0.
        m: Points in each set, at least 1; all n where there are fewer.

    Returns:
        In (0, 1]; NaN without points.

    Raises:
        PellucidError: if m < 1 or there are fewer than 0 points.

    Example:
        >>> round(expected_jaccard(4, 2), 4)  # one pair in six is the same, four share one point of three
        0.3889
    """
    if m < 1 or points < 0:
        raise PellucidError(f"expected m of at least 1 and no negative number of points, got {m} and {points}; take "
                            "more points")
    m = min(m, points)
    if m == 0:
        return float("nan")
    # whole numbers of any size, so that large clouds neither overflow nor lose digits
    return math.fsum(math.comb(m, k) * math.comb(points - m, m - k) / math.comb(points, m) * k / (2 * m - k)
                     for k in range(1, m + 1))


def across_seeds(importances: Tensor, ptr: Tensor, m: int, *, clouds: Tensor | None = None, level: float = 0.95,
                 draws: int = 1000, seed: int = 0) -> dict[str, Estimate]:
    """Agreement between the explanations of several seeds, with intervals over clouds and random baselines.

    Args:
        importances: (seeds, points), one row a trained model (or a draw of noise), at least two.
        ptr: (clouds + 1,) offsets.
        m: Points taken from each cloud for the Jaccard index, at least 1.
        clouds: (clouds,) bool, the clouds that count; None for all.
        level: Of the intervals, in (0, 1).
        draws: Resamples of the bootstrap over clouds, at least 1.
        seed: Of the resamples.

    Returns:
        ``"rank_correlation"`` (baseline 0) and ``"jaccard@m"`` (baseline :func:`expected_jaccard`); their numbers are
        NaN where no cloud is left.

    Raises:
        PellucidError: if shapes do not fit, an importance is not finite, there are fewer than two rows, or an option
            is out of its range.

    Example:
        >>> importances = torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0]])
        >>> result = across_seeds(importances, torch.tensor([0, 4]), 2)
        >>> {name: (round(e.value, 3), round(e.random, 3)) for name, e in result.items()}
        {'rank_correlation': (0.8, 0.0), 'jaccard@2': (0.333, 0.389)}
    """
    chance = {n: expected_jaccard(n, m) for n in set(ptr.diff().tolist())}
    return {
        "rank_correlation": estimate(rank_correlation_values(importances, ptr, clouds=clouds), 0.0, level=level,
                                     draws=draws, seed=seed),
        f"jaccard@{m}": estimate(jaccard_values(importances, ptr, m, clouds=clouds),
                                 [chance[n] for n in ptr.diff().tolist()], level=level, draws=draws, seed=seed),
    }


def _checked(importances: Tensor, ptr: Tensor, clouds: Tensor | None) -> tuple[list[Tensor], Tensor, Tensor]:
    if importances.ndim != 2 or len(importances) < 2:
        raise PellucidError(f"expected importances of shape (draws, points) with at least two draws, got "
                            f"{tuple(importances.shape)}; explain again with another seed")
    draws = [checked(values, ptr, clouds) for values in importances]
    return [values for values, _, _ in draws], *draws[0][1:]
