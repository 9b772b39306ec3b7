"""How sure a mean over clouds is: percentile bootstrap intervals, and what a metric is reported with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pellucid.errors import PellucidError
from pellucid.metrics.base import Array, as_array

BLOCK = 2**22
"""Numbers that the resamples in work may take at a time: 32 MiB."""


@dataclass(frozen=True)
class Estimate:
    """A metric with its confidence interval and its random baseline.

    Attributes:
        value: The metric.
        low: Lower end of the interval.
        high: Upper end of the interval.
        random: What an uninformed importance scores.

    Example:
        >>> Estimate(0.9, 0.8, 0.95, 0.5).as_dict()
        {'value': 0.9, 'low': 0.8, 'high': 0.95, 'random': 0.5}
    """

    value: float
    low: float
    high: float
    random: float

    def as_dict(self) -> dict[str, float]:
        """The four numbers, as in ``metrics.json``."""
        return asdict(self)


def interval(values: Any, *, level: float = 0.95, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over clouds.

    Clouds are drawn with replacement, as many as there are; the ends are quantiles of the means. It says how much the
    mean would differ for other clouds of the same kind; nothing of other seeds of the training.

    Args:
        values: (clouds,) the metric of each cloud; NaN where it is undefined (left out).
        level: Share of the means between the ends, in (0, 1).
        draws: Resamples, at least 1.
        seed: Of the resamples.

    Returns:
        Lower and upper end; NaN for fewer than two defined values.

    Raises:
        PellucidError: if the values are not (clouds,), one is infinite, or an option is out of its range.

    Example:
        >>> interval([0.0, 1.0, 1.0, 1.0, float("nan")])
        (0.25, 1.0)
    """
    known = defined(values)
    return bootstrap(lambda places: known[places].mean(1), len(known), level=level, draws=draws, seed=seed)


def estimate(values: Any, random: Any, *, level: float = 0.95, draws: int = 1000, seed: int = 0) -> Estimate:
    """Mean of a metric over clouds, with its interval and its baseline.

    Args:
        values: (clouds,), NaN where undefined (left out).
        random: What chance scores: one number, or (clouds,), averaged over the clouds whose value is defined.
        level: As in :func:`interval`.
        draws: As in :func:`interval`.
        seed: As in :func:`interval`.

    Returns:
        Estimate; its numbers are NaN where no value is defined.

    Raises:
        PellucidError: as :func:`interval`.

    Example:
        >>> result = estimate([0.5, 1.0], [0.25, 0.75])
        >>> result.value, result.random
        (0.75, 0.5)
    """
    known, chance = defined(values), as_array(random)
    if chance.ndim:
        chance = defined(chance[~np.isnan(as_array(values))])
    if not len(known):
        return Estimate(*[float("nan")] * 4)
    low, high = interval(known, level=level, draws=draws, seed=seed)
    return Estimate(float(known.mean()), low, high, float(chance.mean()) if chance.size else float("nan"))


def bootstrap(statistic: Callable[[Array], Array], clouds: int, *, level: float = 0.95, draws: int = 1000,
              seed: int = 0, width: int | None = None) -> tuple[float, float]:
    """Percentile bootstrap interval of any statistic of clouds.

    Args:
        statistic: (rows, clouds) places of the clouds of each resample -> (rows,) values, NaN where undefined (those
            resamples are left out).
        clouds: Clouds there are.
        level: Share of the values between the ends, in (0, 1).
        draws: Resamples, at least 1.
        seed: Of the resamples.
        width: Numbers that the statistic holds for a resample, so that memory stays small; None for one a cloud.

    Returns:
        Lower and upper end; NaN for fewer than two clouds, of which nothing can be said.

    Raises:
        PellucidError: if an option is out of its range.

    Example:
        >>> import numpy as np
        >>> sizes = np.array([1.0, 2.0, 9.0])
        >>> bootstrap(lambda places: np.median(sizes[places], 1), 3)
        (1.0, 9.0)
    """
    if not 0 < level < 1 or draws < 1:
        raise PellucidError(f"expected a level in (0, 1) and at least 1 draw, got {level} and {draws}; 0.95 and 1000 "
                            "are usual")
    if clouds < 2:
        return float("nan"), float("nan")
    values = np.concatenate([statistic(places) for places in _resamples(clouds, draws, seed, width or clouds)])
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def defined(values: Any) -> Array:
    """The values that are not NaN, checked.

    Raises:
        PellucidError: if the values are not (clouds,), or one is infinite.

    Example:
        >>> defined([1.0, float("nan")]).tolist()
        [1.0]
    """
    array = as_array(values)
    if array.ndim != 1 or np.isinf(array).any():
        raise PellucidError(f"expected values of shape (clouds,), finite or NaN, got shape {array.shape} with "
                            f"{int(np.isinf(array).sum())} infinite; give each cloud one number")
    return array[~np.isnan(array)]


def _resamples(clouds: int, draws: int, seed: int, width: int) -> Iterator[Array]:
    """(rows, clouds) places in blocks; their size does not change what is drawn."""
    generator, rows = np.random.default_rng(seed), max(1, BLOCK // max(width, clouds))
    for start in range(0, draws, rows):
        yield generator.integers(0, clouds, (min(rows, draws - start), clouds))
