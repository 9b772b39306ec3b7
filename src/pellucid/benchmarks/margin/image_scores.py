"""How good a map of important pixels is: deletion, insertion and pointing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Model = Callable[[NDArray[Any]], NDArray[Any]]
GREY = 127
BLUR = 10.0
"""Pixels: the standard deviation of the Gaussian that insertion starts from."""
_BATCH = 4


def exchange(model: Model, start: NDArray[np.uint8], end: NDArray[np.uint8], values: NDArray[np.float64], target: int,
             steps: int = 28, *, seed: int = 0) -> NDArray[np.float64]:
    """The class probability while pixels go from ``start`` to ``end``, the highest first, ties in random order.

    Args:
        model: Probabilities of (photos, height, width, 3).
        start: (height, width, 3).
        end: (height, width, 3).
        values: (height, width) the map.
        target: The class.
        steps: From no pixel to all; 28 are of 1,792 pixels each in a photo of 224 x 224.
        seed: Of the order of ties.

    Returns:
        (steps + 1,) from no pixel to all.
    """
    order = np.lexsort((np.random.default_rng(seed).random(values.size), -values.ravel()))
    rank = np.empty(values.size, np.int64)
    rank[order] = np.arange(values.size)
    rank = rank.reshape(*values.shape, 1)
    out = []
    for first in range(0, steps + 1, _BATCH):
        upto = [round(step * values.size / steps) for step in range(first, min(first + _BATCH, steps + 1))]
        out.append(model(np.stack([np.where(rank < n, end, start) for n in upto]))[:, target])
    return np.concatenate(out).astype(np.float64)


def deletion(model: Model, photo: NDArray[np.uint8], values: NDArray[np.float64], target: int, steps: int = 28
             ) -> float:
    """Area under the class probability while the highest pixels turn grey (Petsiuk et al., 2018); low is good."""
    return area(exchange(model, photo, np.full_like(photo, GREY), values, target, steps))


def insertion(model: Model, photo: NDArray[np.uint8], values: NDArray[np.float64], target: int, steps: int = 28
              ) -> float:
    """Area under the class probability while the highest pixels of a blurred photo turn sharp; high is good."""
    blurred = np.rint(gaussian_filter(photo.astype(np.float64), (BLUR, BLUR, 0))).astype(np.uint8)
    return area(exchange(model, blurred, photo, values, target, steps))


def area(curve: NDArray[np.float64]) -> float:
    """Area under a curve over [0, 1], by trapezoids.

    Example:
        >>> area(np.array([0.0, 1.0, 1.0]))
        0.75
    """
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def pointing(values: NDArray[np.float64], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """How much of a map lies where it should, after Böhle et al., 2021, and Zhang et al., 2016.

    Args:
        values: (height, width); what is negative counts nothing.
        inside: (height, width) where it should lie.

    Returns:
        The share of the map inside, by chance where the map is empty; and the share of its highest pixels inside.

    Example:
        >>> pointing(np.array([[3.0, 1.0]]), np.array([[True, False]]))
        (0.75, 1.0)
    """
    positive = np.maximum(values, 0)
    total = positive.sum()
    share = float(positive[inside].sum() / total) if total > 0 else float(inside.mean())
    return share, float(inside[values == values.max()].mean())
