"""How few points carry the importance."""

from __future__ import annotations

from torch import Tensor

from pellucid.metrics.base import metric
from pellucid.metrics.ragged import average_ranks, batch_of, checked, mean_over, sums


@metric("sparsity.gini")
def gini(importance: Tensor, ptr: Tensor, *, clouds: Tensor | None = None) -> float:
    """Gini coefficient of importance within each cloud, averaged: 1 = one point has it all, 0 = all have the same.

    Importance is first brought to [0, 1] within each cloud (minimum 0, maximum 1), since methods differ in scale and
    sign; then, for weights w in ascending order, G = sum_k (2k - n - 1) w_k / ((n - 1) sum w).

    Args:
        importance: (points,) the larger, the more important.
        ptr: (clouds + 1,) offsets.
        clouds: (clouds,) bool, the clouds that count; None for all. Clouds with fewer than two points are skipped.

    Returns:
        In [0, 1], 0 for constant importance; NaN where no cloud is left.

    Raises:
        PellucidError: if shapes do not fit or an importance is not finite.

    Example:
        >>> import torch
        >>> gini(torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.tensor([0, 4])), gini(torch.ones(3), torch.tensor([0, 3]))
        (1.0, 0.0)

    Source: Gini in a Bottleneck; the form with n - 1, which reaches 1, is the authors' of 2021.
    """
    values, ptr, counted = checked(importance, ptr, clouds)
    batch, sizes = batch_of(ptr), ptr.diff()
    low, high = (values.new_zeros(len(sizes)).scatter_reduce_(0, batch, values, how, include_self=False)
                 for how in ("amin", "amax"))
    spread = high - low
    # halved, since the difference of two large numbers of opposite sign may overflow
    weights = (values / 2 - low[batch] / 2) / (high / 2 - low / 2).where(spread > 0, 1)[batch]
    ranks = average_ranks(weights, ptr)  # equal weights may share their ranks: the sum is the same
    top = sums((2 * ranks - sizes[batch] - 1) * weights, ptr)
    bottom = (sizes - 1) * sums(weights, ptr)
    return mean_over((top / bottom.where(bottom > 0, 1)).clamp(0, 1), counted & (sizes > 1))
