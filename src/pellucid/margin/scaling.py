"""Columns of different units brought to one scale, so that a distance means something."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError

SCALES = ("auto", "standard", "none")
COMPARABLE = 5.0
"""Columns of one family whose ranges differ by more than this, between their quartiles, are no vector."""


class Moments:
    """Mean, standard deviation and range of columns that come in blocks; missing and infinite values are left out.

    Args:
        columns: How many.

    Attributes:
        count: (columns,) values.
        mean: (columns,).
        low: (columns,) smallest value; infinity where there is none.
        high: (columns,) largest value; minus infinity where there is none.
        rows: Rows seen.

    Example:
        >>> moments = Moments(1)
        >>> moments.add(np.array([[1.0], [np.nan]])); moments.add(np.array([[3.0]]))
        >>> moments.std.tolist(), moments.rows, moments.count.tolist()
        ([1.0], 3, [2])
    """

    def __init__(self, columns: int) -> None:
        self.rows = 0
        self.count = np.zeros(columns, np.int64)
        self.mean = np.zeros(columns)
        self._squares = np.zeros(columns)
        self.low = np.full(columns, np.inf)
        self.high = np.full(columns, -np.inf)

    def add(self, block: NDArray[np.float64]) -> None:
        """Takes up a block, (rows, columns)."""
        finite = np.isfinite(block)
        gaps = not finite.all()
        self.rows += len(block)
        count = finite.sum(0)
        self.low = np.minimum(self.low, (np.where(finite, block, np.inf) if gaps else block).min(0, initial=np.inf))
        self.high = np.maximum(self.high, (np.where(finite, block, -np.inf) if gaps else block).max(0, initial=-np.inf))
        mean = (np.where(finite, block, 0) if gaps else block).sum(0) / np.maximum(count, 1)
        away = np.where(finite, block, mean) - mean if gaps else block - mean
        squares = np.einsum("ij,ij->j", away, away)
        total = np.maximum(self.count + count, 1)
        step = np.where(count > 0, mean - self.mean, 0)  # Chan, Golub and LeVeque (1979)
        self._squares += squares + step**2 * self.count * count / total
        self.mean = self.mean + step * count / total
        self.count += count

    @property
    def std(self) -> NDArray[np.float64]:
        """(columns,) standard deviation, divided by n."""
        return np.sqrt(self._squares / np.maximum(self.count, 1))


@dataclass(frozen=True)
class Scaling:
    """What is done to columns: (x - shift) / unit.

    Attributes:
        shift: (columns,).
        unit: (columns,), positive.
        about: One sentence for each group of columns.
    """

    shift: NDArray[np.float64]
    unit: NDArray[np.float64]
    about: list[str]

    def __call__(self, block: NDArray[np.float64]) -> NDArray[np.float32]:
        """(rows, columns) in single precision."""
        return ((block - self.shift) / self.unit).astype(np.float32)


def family_of(name: str) -> str:
    """What numbered columns have in common.

    Example:
        >>> family_of("pixel_3_12"), family_of("mean radius")
        ('pixel_#_#', 'mean radius')
    """
    return re.sub(r"\d+", "#", name)


def scaling(names: Sequence[str], sizes: Sequence[int], moments: Moments, scale: str = "auto", *,
            one_unit: bool = False) -> Scaling:
    """How to scale columns.

    ``auto``: a single column is standardised (mean 0, standard deviation 1). Numbered columns (x0, x1, ...) and the
    entries of a vector column are one vector if their ranges are comparable, and are divided by one number (the root
    of their mean variance); otherwise each is standardised. Comparable: the upper quartile of the ranges, largest less
    smallest value, is at most :data:`COMPARABLE` times the lower one, constant columns left out. Ranges and not
    standard deviations, because pixels at the border of an image have one unit with those in the middle but seldom
    any ink. A constant column becomes 0 where it is standardised.

    Args:
        names: Of the columns of the table.
        sizes: How many numbers each has: more than one for a vector.
        moments: Of all numbers, in the same order.
        scale: ``auto``, ``standard`` (each number by itself), or ``none``.
        one_unit: Whether all are known to have one unit, such as pixels.

    Raises:
        PellucidError: for an unknown scale.

    Example:
        >>> moments = Moments(3)
        >>> moments.add(np.array([[0.0, 0.0, 100.0], [2.0, 2.0, 300.0]]))
        >>> scaling(["x0", "x1", "weight"], [1, 1, 1], moments).unit.tolist()
        [1.0, 1.0, 100.0]
    """
    if scale not in SCALES:
        raise PellucidError(f"expected a scale out of {', '.join(SCALES)}, got {scale!r}")
    width = sum(sizes)
    if scale == "none":
        return Scaling(np.zeros(width), np.ones(width), ["no column was scaled"])
    std, reach = moments.std, moments.high - moments.low
    varies = (moments.count > 0) & (reach > 0)
    shift, unit = moments.mean.copy(), np.where(varies & (std > 0), std, 1.0)
    ends = np.cumsum(sizes)
    groups: dict[str, list[int]] = {}
    for name, size, end in zip(names, sizes, ends, strict=True):
        key = "all pixels" if one_unit else name if size > 1 else family_of(name)
        groups.setdefault(key, []).extend(range(end - size, end))
    about, single = [], []
    for key, columns in groups.items():
        own = np.array(columns)
        if scale == "standard" or (len(own) == 1 and not one_unit):
            single += columns
            continue
        ratio = _ratio(reach[own][varies[own]])
        what = f"{key} ({len(own)} numbers)"
        if not one_unit and ratio > COMPARABLE:
            about.append(f"{what}: each standardised (ranges differ {ratio:.3g}-fold between the quartiles)")
            continue
        common = float(np.sqrt(np.mean(np.square(std[own])))) or 1.0
        shift[own], unit[own] = 0.0, common
        why = "pixels have one unit" if one_unit else f"ranges differ {ratio:.3g}-fold between the quartiles"
        about.append(f"{what}: one vector, divided by {common:.4g} ({why})")
    if single:
        constant = int((~varies[single]).sum())
        about.append(f"{len(single)} single column{'s' * (len(single) > 1)}: each standardised"
                     + (f", {constant} of them constant and so left at 0" if constant else ""))
    return Scaling(shift, unit, about)


def _ratio(reach: NDArray[Any]) -> float:
    """Upper to lower quartile, each rounded to the value further out, so that two columns are compared too."""
    if not len(reach):
        return 1.0
    low, high = np.quantile(reach, 0.25, method="lower"), np.quantile(reach, 0.75, method="higher")
    return float(high / low)
