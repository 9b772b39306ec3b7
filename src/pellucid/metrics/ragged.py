"""Ranks, top-m sets and sums within each cloud of a ragged batch, without a loop over clouds."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.errors import PellucidError


def checked(importance: Tensor, ptr: Tensor, clouds: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Importance in float64, offsets, and which clouds count, all on the CPU (not every accelerator has float64).

    Args:
        importance: (points,).
        ptr: (clouds + 1,) offsets.
        clouds: (clouds,) bool; None for all.

    Returns:
        importance: (points,) float64; ptr: (clouds + 1,); clouds: (clouds,) bool.

    Raises:
        PellucidError: if shapes do not fit or an importance is not finite.
    """
    ptr = ptr.cpu()
    points = int(ptr[-1])
    if importance.shape != (points,):
        raise PellucidError(f"expected importance of shape ({points},), got {tuple(importance.shape)}; give each point "
                            "one number")
    if not bool(importance.isfinite().all()):
        raise PellucidError("expected finite importance, got NaN or infinity; check the explanation")
    count = len(ptr) - 1
    if clouds is None:
        clouds = torch.ones(count, dtype=torch.bool)
    elif clouds.shape != (count,) or clouds.dtype != torch.bool:
        raise PellucidError(f"expected a bool mask of shape ({count},), got {tuple(clouds.shape)} {clouds.dtype}; say "
                            "of each cloud whether it counts")
    return importance.detach().cpu().double(), ptr, clouds.cpu()


def batch_of(ptr: Tensor) -> Tensor:
    """(points,) index of the cloud that each point belongs to."""
    return torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff())


def sums(values: Tensor, ptr: Tensor) -> Tensor:
    """Sums over each cloud.

    Args:
        values: (points,).
        ptr: (clouds + 1,) offsets.

    Returns:
        (clouds,) float64.

    Example:
        >>> sums(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 1, 1, 3])).tolist()
        [1.0, 0.0, 5.0]
    """
    total = torch.zeros(len(ptr) - 1, dtype=torch.float64, device=values.device)
    return total.index_add_(0, batch_of(ptr), values.double())


def ascending(values: Tensor, ptr: Tensor) -> Tensor:
    """(points,) places that sort the values within each cloud; ties keep their order."""
    order = torch.argsort(values, stable=True)
    return order[torch.argsort(batch_of(ptr)[order], stable=True)]


def average_ranks(values: Tensor, ptr: Tensor) -> Tensor:
    """Ranks within each cloud, from 1 for the smallest; equal values share the mean of their ranks.

    Args:
        values: (points,).
        ptr: (clouds + 1,) offsets.

    Returns:
        (points,) float64.

    Example:
        >>> average_ranks(torch.tensor([5.0, 1.0, 5.0, 2.0]), torch.tensor([0, 3, 4])).tolist()
        [2.5, 1.0, 2.5, 1.0]
    """
    ranks = torch.empty(len(values), dtype=torch.float64, device=values.device)
    if len(values) == 0:
        return ranks
    order, batch = ascending(values, ptr), batch_of(ptr)
    ordered = values[order]
    starts = torch.ones(len(values), dtype=torch.bool, device=values.device)
    starts[1:] = (ordered[1:] != ordered[:-1]) | batch.diff().bool()
    group = starts.cumsum(0) - 1
    counts = torch.bincount(group)
    mean = counts.cumsum(0) - (counts - 1) / 2.0
    ranks[order] = mean[group].to(torch.float64) - ptr[batch]
    return ranks


def top(values: Tensor, ptr: Tensor, m: int) -> Tensor:
    """Chance of each point to be among the m largest of its cloud when ties are broken at random.

    Without ties that is 1 or 0. All points of a cloud with fewer than m points are taken.

    Args:
        values: (points,).
        ptr: (clouds + 1,) offsets.
        m: At least 1.

    Returns:
        (points,) float64 in [0, 1].

    Raises:
        PellucidError: if m < 1.

    Example:
        >>> top(torch.tensor([3.0, 1.0, 1.0, 7.0]), torch.tensor([0, 3, 4]), 2).tolist()
        [1.0, 0.5, 0.5, 1.0]
    """
    if m < 1:
        raise PellucidError(f"expected m of at least 1, got {m}; take more points")
    if len(values) == 0:
        return torch.zeros(0, dtype=torch.float64, device=values.device)
    sizes, batch = ptr.diff(), batch_of(ptr)
    take = sizes.clamp(max=m)
    last = (ptr[1:] - take).clamp(max=len(values) - 1)  # in ascending order the m largest end each cloud
    limit = values[ascending(values, ptr)][last][batch]
    above, tied = values > limit, values == limit
    share = (take - sums(above, ptr)) / sums(tied, ptr).clamp(min=1)
    return above + tied * share[batch]


def mean_over(values: Tensor, clouds: Tensor) -> float:
    """Mean over the clouds that count; NaN where there are none."""
    return float(values[clouds].mean()) if bool(clouds.any()) else float("nan")
