"""The one rule by which fidelity takes points out of clouds, and what a model then predicts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.metrics.ragged import batch_of, sums

Predict = Callable[[PointClouds], Tensor]

FRACTIONS = tuple(i / 10 for i in range(10))
"""Fractions of the points that are taken out: 0, 0.1, ..., 0.9."""


class Removal:
    """What a model predicts for clouds whose points leave them.

    Points leave the cloud (:meth:`PointClouds.keep_points`), and ``predict`` builds the neighbourhoods of what is left.

    Args:
        predict: Clouds -> (clouds,) probability of class 1 (or any number, with ``probability=False``).
        clouds: None of them empty.
        chunk: Clouds given to ``predict`` at a time, at least 1.
        probability: Whether to give the probability of the class predicted for the whole cloud (p where p >= 0.5,
            else 1 - p); otherwise predictions are taken as they are.
        spread: With ``probability=False``: predictions count as -|f - f(whole cloud)| / spread, so that any change is a
            loss, in units of the target's spread; None to take them as they are.

    Attributes:
        ptr: (clouds + 1,) offsets, on the CPU.
        sizes: (clouds,) points of each cloud, on the CPU.
        whole: (clouds,) float64, the prediction for the whole clouds; 0 where changes count.

    Raises:
        PellucidError: if ``predict`` does not return one number for each cloud.
    """

    def __init__(self, predict: Predict, clouds: PointClouds, *, chunk: int, probability: bool,
                 spread: float | None = None) -> None:
        if spread is not None and (probability or not spread > 0):
            raise PellucidError(f"expected a positive spread, of predictions that are no probabilities, got {spread}")
        self._predict, self._clouds, self._chunk = predict, clouds, chunk
        self.ptr, self.sizes = clouds.ptr.cpu(), clouds.sizes.cpu()
        raw = _predictions(predict, clouds, chunk)
        self._flip = (raw < 0.5) if probability else torch.zeros_like(raw, dtype=torch.bool)
        self._raw, self._spread = raw, spread
        self.whole = torch.zeros_like(raw) if spread is not None else torch.where(self._flip, 1 - raw, raw)

    def after(self, stays: Tensor) -> Tensor:
        """(clouds,) float64 predictions after only some points, (points,) bool, have stayed: one a cloud at least."""
        lost = sums((~stays).double(), self.ptr) > 0
        if not bool(lost.any()):
            return self.whole
        some, kept = self._clouds, stays
        if not bool(lost.all()):  # of the others the prediction is known
            some, kept = some.select(lost), stays[lost[batch_of(self.ptr)]]
        predicted = self._raw.clone()
        predicted[lost] = _predictions(self._predict, some.keep_points(kept), self._chunk)
        if self._spread is not None:
            return -(predicted - self._raw).abs() / self._spread
        return torch.where(self._flip, 1 - predicted, predicted)

    def after_fraction(self, turn: Tensor, fraction: float) -> Tensor:
        """(clouds,) predictions after a fraction of the points has left by turn; one point always stays."""
        gone = torch.minimum(whole_part(self.sizes, fraction), self.sizes - 1)
        return self.after(turn >= gone[batch_of(self.ptr)])


def removal_order(values: Tensor, ptr: Tensor, shuffle: Tensor) -> Tensor:
    """(points,) when a point leaves its cloud: 0 first; the smallest value first, ties by the shuffle.

    Example:
        >>> removal_order(torch.tensor([3.0, 1.0, 2.0, 0.0]), torch.tensor([0, 3, 4]), torch.arange(4)).tolist()
        [2, 0, 1, 0]
    """
    batch = batch_of(ptr)
    order = shuffle[torch.argsort(values[shuffle], stable=True)]
    order = order[torch.argsort(batch[order], stable=True)]
    turn = torch.empty_like(order)
    turn[order] = torch.arange(len(order)) - ptr[batch]
    return turn


def whole_part(sizes: Tensor, fraction: float) -> Tensor:
    """(clouds,) floor(fraction * size).

    Example:
        >>> whole_part(torch.tensor([100, 7]), 0.29).tolist()
        [29, 2]
    """
    # the small addition keeps products such as 0.29 * 100 from being rounded down to 28
    return (sizes.double() * fraction + 1e-9).floor().long()


def checked_fractions(fractions: Sequence[float]) -> tuple[float, ...]:
    """The fractions as floats.

    Raises:
        PellucidError: if they are fewer than two, do not increase or leave [0, 1].
    """
    fractions = tuple(float(f) for f in fractions)
    if len(fractions) < 2 or not all(0 <= a < b <= 1 for a, b in itertools.pairwise(fractions)):
        raise PellucidError(f"expected at least two increasing fractions in [0, 1], got {list(fractions)}; sort them")
    return fractions


def area(heights: Tensor, fractions: Sequence[float]) -> Tensor:
    """Mean height of curves: the area under them over the range of fractions.

    Args:
        heights: (..., fractions).
        fractions: Increasing.

    Returns:
        (...) float64.

    Example:
        >>> float(area(torch.tensor([1.0, 0.0]), (0.0, 0.5)))
        0.5
    """
    span = torch.tensor(fractions, dtype=torch.float64)
    return torch.trapezoid(heights, span) / (span[-1] - span[0])


@torch.no_grad()
def _predictions(predict: Predict, clouds: PointClouds, chunk: int) -> Tensor:
    """(clouds,) float64 predictions on the CPU, a chunk of clouds at a time."""
    parts = []
    for start in range(0, len(clouds), chunk):
        places = torch.arange(start, min(start + chunk, len(clouds)), device=clouds.device)
        part = predict(clouds.select(places))
        if part.shape != places.shape:
            raise PellucidError(f"expected predictions of shape ({len(places)},), got {tuple(part.shape)}; return one "
                                "number for each cloud")
        parts.append(part.cpu().double())
    return torch.cat(parts)
