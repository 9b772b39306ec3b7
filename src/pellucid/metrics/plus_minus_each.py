"""Fidelity+ and fidelity- as one number each; :func:`pellucid.metrics.plus_minus.plus_minus` has them all at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.metrics.base import metric
from pellucid.metrics.losses import (
    ALPHA_MINUS,
    ALPHA_PLUS,
    FRACTION,
    SAMPLES,
    Judge,
    minus_per_cloud,
    plus_per_cloud,
)
from pellucid.metrics.removal import FRACTIONS, Predict, area, checked_fractions, whole_part


@metric("fidelity.plus")
def plus(predict: Predict, clouds: PointClouds, importance: Tensor, *, fraction: float = FRACTION,
         m: int | None = None, seed: int = 0) -> float:
    """Fidelity+: how far the predicted class's probability falls without the important points; higher is better.

    Args:
        predict: Clouds -> (clouds,) probability of class 1.
        clouds: What to judge on.
        importance: (points,) the larger, the more important.
        fraction: Share of a cloud's points that is important, in [0, 1].
        m: Takes the m most important points of each cloud instead, at least 1.
        seed: Of the order among ties.

    Returns:
        In [-1, 1]; compare it with ``plus_minus(...).plus.random``. NaN where no cloud has points.

    Raises:
        PellucidError: as :func:`~.plus_minus.plus_minus`, which also gives the interval and the baseline.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"features": torch.tensor([[1.0], [0.0]])})
        >>> def predict(clouds):
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> plus(predict, clouds, torch.tensor([1.0, 0.0]), m=1), plus(predict, clouds, torch.tensor([0.0, 1.0]), m=1)
        (1.0, 0.0)
    """
    return _mean(plus_per_cloud(predict, clouds, importance, fraction=fraction, m=m, seed=seed))


@metric("fidelity.minus")
def minus(predict: Predict, clouds: PointClouds, importance: Tensor, *, fraction: float = FRACTION,
          m: int | None = None, seed: int = 0) -> float:
    """Fidelity-: how far the predicted class's probability falls with only the important points; lower is better.

    Args:
        predict: Clouds -> (clouds,) probability of class 1.
        clouds: What to judge on.
        importance: (points,) the larger, the more important.
        fraction: Share of a cloud's points that is important, in [0, 1].
        m: Takes the m most important points of each cloud instead, at least 1.
        seed: Of the order among ties.

    Returns:
        In [-1, 1]; compare it with ``plus_minus(...).minus.random``. NaN where no cloud has points.

    Raises:
        PellucidError: as :func:`~.plus_minus.plus_minus`, which also gives the interval and the baseline.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"features": torch.tensor([[1.0], [0.0]])})
        >>> def predict(clouds):
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> minus(predict, clouds, torch.tensor([1.0, 0.0]), m=1), minus(predict, clouds, torch.tensor([0.0, 1.0]), m=1)
        (0.0, 1.0)
    """
    return _mean(minus_per_cloud(predict, clouds, importance, fraction=fraction, m=m, seed=seed))


@metric("fidelity.plus_area")
def plus_area(predict: Predict, clouds: PointClouds, importance: Tensor, *, fractions: Sequence[float] = FRACTIONS,
              seed: int = 0) -> float:
    """Mean of fidelity+ over fractions of important points: the area under its curve; higher is better.

    It is the mean prediction for the whole clouds minus ``fidelity.deletion``.

    Args:
        predict: Clouds -> (clouds,) probability of class 1.
        clouds: What to judge on.
        importance: (points,) the larger, the more important.
        fractions: Increasing fractions of important points in [0, 1].
        seed: Of the order among ties.

    Returns:
        In [-1, 1]; compare it with ``plus_minus(...).plus_area.random``. NaN where no cloud has points.

    Raises:
        PellucidError: as :func:`~.plus_minus.plus_minus`, which also gives the curve, the interval and the baseline.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"features": torch.tensor([[1.0], [0.0]])})
        >>> def predict(clouds):
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> plus_area(predict, clouds, torch.tensor([1.0, 0.0]), fractions=(0, 0.5))
        0.5
    """
    judge, fractions = Judge(predict, clouds, importance, seed=seed), checked_fractions(fractions)
    return _mean(area(torch.stack([judge.plus(judge.turn, whole_part(judge.sizes, f)) for f in fractions], 1),
                      fractions))


@metric("fidelity.minus_area")
def minus_area(predict: Predict, clouds: PointClouds, importance: Tensor, *, fractions: Sequence[float] = FRACTIONS,
               seed: int = 0) -> float:
    """Mean of fidelity- over fractions of important points: the area under its curve; lower is better.

    Args:
        predict: Clouds -> (clouds,) probability of class 1.
        clouds: What to judge on.
        importance: (points,) the larger, the more important.
        fractions: Increasing fractions of important points in [0, 1]; one point stays where they make none.
        seed: Of the order among ties.

    Returns:
        In [-1, 1]; compare it with ``plus_minus(...).minus_area.random``. NaN where no cloud has points.

    Raises:
        PellucidError: as :func:`~.plus_minus.plus_minus`, which also gives the curve, the interval and the baseline.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"features": torch.tensor([[1.0], [0.0]])})
        >>> def predict(clouds):
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> minus_area(predict, clouds, torch.tensor([0.0, 1.0]), fractions=(0.5, 1))
        0.5
    """
    judge, fractions = Judge(predict, clouds, importance, seed=seed), checked_fractions(fractions)
    return _mean(area(torch.stack([judge.minus(judge.turn, whole_part(judge.sizes, f)) for f in fractions], 1),
                      fractions))


@metric("fidelity.robust_plus")
def robust_plus(predict: Predict, clouds: PointClouds, importance: Tensor, *, fraction: float = FRACTION,
                m: int | None = None, alpha: float = ALPHA_PLUS, samples: int = SAMPLES, seed: int = 0) -> float:
    """Robust fidelity+: mean loss when each important point leaves by chance; higher is better.

    f(G) - E f(G without each point of S by chance alpha): few points leave at a time, so clouds stay like those that
    the model was trained on, and the number is small; only its ratio to the baseline says something.

    Args:
        predict: Clouds -> (clouds,) probability of class 1.
        clouds: What to judge on.
        importance: (points,) the larger, the more important.
        fraction: Share of a cloud's points that is important, in [0, 1].
        m: Takes the m most important points of each cloud instead, at least 1.
        alpha: The authors' alpha_1: chance of an important point to leave, in [0, 1].
        samples: Random removals that are averaged over, at least 1.
        seed: Of the removals and of the order among ties.

    Returns:
        In [-1, 1]; compare it with ``plus_minus(...).robust_plus.random``. NaN where no cloud has points.

    Raises:
        PellucidError: as :func:`~.plus_minus.plus_minus`, which also gives the interval and the baseline.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"features": torch.tensor([[1.0], [0.0]])})
        >>> def predict(clouds):
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> abs(robust_plus(predict, clouds, torch.tensor([1.0, 0.0]), m=1, samples=1000) - 0.1) < 0.03
        True

    Source: Zheng et al. 2024, Towards Robust Fidelity for Evaluating Explainability of Graph Neural Networks (ICLR);
    there edges are taken out.
    """
    return _mean(plus_per_cloud(predict, clouds, importance, fraction=fraction, m=m, alpha=alpha, samples=samples,
                                seed=seed))


@metric("fidelity.robust_minus")
def robust_minus(predict: Predict, clouds: PointClouds, importance: Tensor, *, fraction: float = FRACTION,
                 m: int | None = None, alpha: float = ALPHA_MINUS, samples: int = SAMPLES, seed: int = 0) -> float:
    """Robust fidelity-: mean loss when each unimportant point leaves by chance; lower is better.

    f(G) - E f(S and each other point by chance alpha). Note that alpha is the chance to *stay*, as in the paper.

    Args:
        predict: Clouds -> (clouds,) probability of class 1.
        clouds: What to judge on.
        importance: (points,) the larger, the more important.
        fraction: Share of a cloud's points that is important, in [0, 1].
        m: Takes the m most important points of each cloud instead, at least 1.
        alpha: The authors' alpha_2: chance of an unimportant point to stay, in [0, 1].
        samples: Random removals that are averaged over, at least 1.
        seed: Of the removals and of the order among ties.

    Returns:
        In [-1, 1]; compare it with ``plus_minus(...).robust_minus.random``. NaN where no cloud has points.

    Raises:
        PellucidError: as :func:`~.plus_minus.plus_minus`, which also gives the interval and the baseline.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"features": torch.tensor([[1.0], [0.0]])})
        >>> def predict(clouds):
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> robust_minus(predict, clouds, torch.tensor([1.0, 0.0]), m=1)
        0.0

    Source: Zheng et al. 2024, Towards Robust Fidelity for Evaluating Explainability of Graph Neural Networks (ICLR);
    there edges are taken out.
    """
    return _mean(minus_per_cloud(predict, clouds, importance, fraction=fraction, m=m, alpha=alpha, samples=samples,
                                 seed=seed))


def _mean(values: Tensor) -> float:
    return float(values[~values.isnan()].mean())  # of nothing: NaN
