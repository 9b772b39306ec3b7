"""Groups of points (functional groups, residues, tracks) over a batch: what is shared within a group is kept once."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.neighbors import Bags


class Grouping:
    """A dense group index over a batch of clouds; groups are numbered in the order of their first points.

    Points of one cloud with the same id are one group; a point with id -1 is a group by itself, as are all points
    without a field. Both sums and their transposes run over bags, not by scatter: fast, and the same every time.

    Args:
        clouds: The batch.
        field: Name of the point-level int field with the ids; ``""`` leaves each point on its own, where
            :meth:`mean` and :meth:`spread` give back what they get.

    Attributes:
        index: (points,) int64 group of each point; None if each point is on its own.
        count: Number of groups.
        first: (groups,) int64 row of each group's first point, ascending.
        sizes: (groups,) int64 number of points of each group.

    Raises:
        PellucidError: if the clouds do not carry the field.

    Example:
        >>> two = PointClouds(torch.tensor([0, 3, 5]), {"group": torch.tensor([4, -1, 4, -1, 4])})
        >>> by = Grouping(two, "group")
        >>> by.index.tolist(), by.count, by.mean(torch.tensor([1.0, 2.0, 5.0, 7.0, 9.0])).tolist()
        ([0, 1, 0, 2, 3], 4, [3.0, 2.0, 7.0, 9.0])
    """

    def __init__(self, clouds: PointClouds, field: str = "") -> None:
        self.index: Tensor | None = None
        if not field:
            self.count, self.first = clouds.points, torch.arange(clouds.points, device=clouds.device)
            self.sizes = torch.ones_like(self.first)
            return
        ids, batch = clouds[field], clouds.batch
        order = torch.argsort(ids, stable=True)
        order = order[torch.argsort(batch[order], stable=True)]  # by cloud, then id, then place
        new = torch.ones_like(ids, dtype=torch.bool)
        new[1:] = (batch[order].diff() != 0) | (ids[order].diff() != 0) | (ids[order][1:] < 0)
        self.first, places = order[new].sort()
        self.count = len(places)
        rank = torch.empty_like(places)
        rank[places] = torch.arange(self.count, device=places.device)
        self.index = index = torch.empty_like(order)
        index[order] = rank[new.cumsum(0) - 1]
        self.sizes = torch.bincount(index, minlength=self.count)
        rows = torch.argsort(index, stable=True), self.sizes.cumsum(0) - self.sizes
        self._bags = Bags(lambda: index, lambda: rows)

    def of_clouds(self, clouds: PointClouds) -> Tensor:
        """(clouds,) number of groups of each cloud; groups lie in the order of the clouds."""
        return torch.bincount(clouds.batch[self.first], minlength=len(clouds))

    def sum(self, values: Tensor) -> Tensor:
        """(points, ...) -> (groups, ...): the sum over the points of each group."""
        if self.index is None:
            return values
        wide = values.to(torch.promote_types(values.dtype, torch.float32))  # half precision under autocast
        return self._bags.sum(wide)

    def mean(self, values: Tensor) -> Tensor:
        """(points, ...) -> (groups, ...): the average over the points of each group."""
        if self.index is None:
            return values
        total = self.sum(values)
        return total / self.sizes.to(total.dtype).view(-1, *[1] * (values.ndim - 1))

    def spread(self, values: Tensor) -> Tensor:
        """(groups, ...) -> (points, ...): each point gets what its group has, so that one draw serves all of them."""
        return values if self.index is None else self._bags.spread(values)


def refuse_groups(clouds: PointClouds, field: str) -> None:
    """Raises PellucidError unless the clouds carry ``field`` as one whole number from -1 a point."""
    if field not in clouds:
        raise PellucidError(f"expected a field {field!r} that groups the points, got only {', '.join(clouds.names)}; "
                            "add it, or name another")
    ids, declared = clouds[field], clouds.declared[field]
    if declared.level != "point" or declared.dtype != "int" or ids.ndim != 1:
        raise PellucidError(f"expected a whole number a point in {field!r}, got a {declared.level}-level "
                            f"{declared.dtype} field of shape {tuple(ids.shape)}; name another field")
    if len(ids) and int(ids.min()) < -1:
        raise PellucidError(f"expected group ids from -1 (a point on its own) in {field!r}, got {int(ids.min())}; "
                            "number the groups of each cloud from 0")
