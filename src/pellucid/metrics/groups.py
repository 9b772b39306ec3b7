"""Whether importance finds the groups (functional groups, residues, tracks) that are known to decide."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.metrics.base import metric
from pellucid.metrics.interpretation import precision_at, precision_values
from pellucid.metrics.ragged import batch_of, checked


@metric("interpretation.group_precision@m")
def group_precision_at(importance: Tensor, important: Tensor, group: Tensor, ptr: Tensor, m: int, *,
                       share: float = 0.5, clouds: Tensor | None = None) -> float:
    """Share of a cloud's m most important groups that truly are important, averaged over clouds.

    A group is as important as its points are on average, and truly important where at least ``share`` of its points
    are. Ties and clouds with fewer than m groups are treated as in :func:`~.interpretation.precision_at`.

    Args:
        importance: (points,) the larger, the more important.
        important: (points,) bool ground truth.
        group: (points,) int64 group of each point, unique within its cloud; -1 for none.
        ptr: (clouds + 1,) offsets.
        m: Groups taken from each cloud, at least 1.
        share: Of a group's points that make it important, in (0, 1].
        clouds: (clouds,) bool, the clouds that count; None for all. Clouds with only important or only unimportant
            groups, or with none, are skipped.

    Returns:
        In [0, 1]; a random ranking scores the clouds' mean share of important groups. NaN where no cloud is left.

    Raises:
        PellucidError: if shapes do not fit, an importance is not finite, m < 1 or the share is out of its range.

    Example:
        >>> importance = torch.tensor([0.9, 0.7, 0.5, 0.6, 1.0])
        >>> important = torch.tensor([True, True, False, False, False])
        >>> group_precision_at(importance, important, torch.tensor([0, 0, 1, 1, -1]), torch.tensor([0, 5]), 1)
        1.0
    """
    _, _, counted = checked(importance, ptr, clouds)
    return precision_at(*groups_of(importance, important, group, ptr, share=share), m, clouds=counted)


def group_precision_values(importance: Tensor, important: Tensor, group: Tensor, ptr: Tensor, m: int, *,
                           share: float = 0.5, clouds: Tensor | None = None) -> Tensor:
    """The groups' precision@m of each cloud: what :func:`group_precision_at` averages.

    Args:
        importance: (points,) the larger, the more important.
        important: (points,) bool ground truth.
        group: (points,) int64 group of each point, unique within its cloud; -1 for none.
        ptr: (clouds + 1,) offsets.
        m: Groups taken from each cloud, at least 1.
        share: Of a group's points that make it important, in (0, 1].
        clouds: (clouds,) bool, the clouds that count; None for all.

    Returns:
        (clouds,) float64 in [0, 1]; NaN for clouds that do not count or whose groups are all alike.

    Raises:
        PellucidError: as :func:`group_precision_at`.

    Example:
        >>> truth, group = torch.tensor([True, False]), torch.tensor([4, 2])
        >>> group_precision_values(torch.tensor([1.0, 0.0]), truth, group, torch.tensor([0, 2]), 1).tolist()
        [1.0]
    """
    _, _, counted = checked(importance, ptr, clouds)
    return precision_values(*groups_of(importance, important, group, ptr, share=share), m, clouds=counted)


def groups_of(importance: Tensor, important: Tensor, group: Tensor, ptr: Tensor, *,
              share: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """The groups of clouds as if they were points.

    Args:
        importance: (points,) the larger, the more important.
        important: (points,) bool ground truth.
        group: (points,) int64 group of each point, unique within its cloud; -1 for none.
        ptr: (clouds + 1,) offsets.
        share: Of a group's points that make it important, in (0, 1].

    Returns:
        importance: (groups,) float64, the mean; important: (groups,) bool; ptr: (clouds + 1,) offsets of the groups,
        which are ordered by their number within each cloud.

    Raises:
        PellucidError: if shapes do not fit, an importance is not finite, or the share is out of its range.

    Example:
        >>> truth, group = torch.tensor([True, False, False]), torch.tensor([7, 7, 0])
        >>> [t.tolist() for t in groups_of(torch.tensor([1.0, 0.0, 2.0]), truth, group, torch.tensor([0, 3]))]
        [[2.0, 0.5], [False, True], [0, 2]]
    """
    values, ptr, _ = checked(importance, ptr)
    if important.shape != importance.shape or important.dtype != torch.bool:
        raise PellucidError(f"expected ground truth of shape {tuple(importance.shape)} bool, got "
                            f"{tuple(important.shape)} {important.dtype}; say of each point whether it is important")
    if group.shape != importance.shape or group.dtype != torch.int64 or bool((group < -1).any()):
        raise PellucidError(f"expected groups of shape {tuple(importance.shape)} int64 from -1 on, got "
                            f"{tuple(group.shape)} {group.dtype}; number the groups of each cloud, -1 for none")
    if not 0 < share <= 1:
        raise PellucidError(f"expected a share in (0, 1], got {share}; 0.5 is half of a group's points")
    # in ascending order, so that sums, and with them ties, do not depend on the order of points
    order = torch.argsort(values)
    order = order[group.cpu()[order] >= 0]
    values, truth, batch = values[order], important.cpu()[order], batch_of(ptr)[order]
    _, small = np.unique(group.cpu()[order].numpy(), return_inverse=True)  # any int64 is a group's number
    unique, place = np.unique(batch.numpy() * (len(small) + 1) + small, return_inverse=True)
    keys, number = torch.from_numpy(unique), torch.from_numpy(place)
    low = values.new_zeros(len(keys)).scatter_reduce_(0, number, values, "amin", include_self=False)
    sizes = torch.bincount(number, minlength=len(keys))
    # from the least one up, so that the mean of equal numbers is that number
    mean = low + values.new_zeros(len(keys)).index_add_(0, number, values - low[number]) / sizes
    hits = torch.bincount(number[truth], minlength=len(keys))
    owner = torch.div(keys, len(order) + 1, rounding_mode="floor")
    counts = torch.bincount(owner, minlength=len(ptr) - 1)
    return mean, hits >= share * sizes - 1e-9, torch.cat([ptr.new_zeros(1), counts.cumsum(0)])
