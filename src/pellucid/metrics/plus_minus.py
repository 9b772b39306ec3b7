"""Fidelity+ and fidelity-: what the prediction loses without the important points, and with only them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.metrics.base import Array, as_array, metric
from pellucid.metrics.bootstrap import Estimate, bootstrap, estimate
from pellucid.metrics.losses import ALPHA_MINUS, ALPHA_PLUS, FRACTION, SAMPLES, Judge
from pellucid.metrics.removal import FRACTIONS, Predict, area, checked_fractions, whole_part


@dataclass(frozen=True)
class PlusMinus:
    """Fidelity+ and fidelity- with intervals over clouds and the baseline of random orders.

    Attributes:
        plus: Loss without the important points; higher is better.
        minus: Loss with only the important points; lower is better.
        characterization: Harmonic mean of the mean plus and 1 - the mean minus; higher is better.
        plus_area: Mean of plus over the fractions.
        minus_area: Mean of minus over the fractions.
        robust_plus: As plus, with a few of the important points taken out at random at a time.
        robust_minus: As minus, with a few of the unimportant points taken out at random at a time.
        fractions: Fractions of each cloud's points that count as important, for the curves.
        plus_curve: Plus at each fraction.
        minus_curve: Minus at each fraction.
        plus_random_curve: Plus of random orders at each fraction.
        minus_random_curve: Minus of random orders at each fraction.
        clouds: Clouds that were judged.
    """

    plus: Estimate
    minus: Estimate
    characterization: Estimate
    plus_area: Estimate
    minus_area: Estimate
    robust_plus: Estimate
    robust_minus: Estimate
    fractions: tuple[float, ...]
    plus_curve: tuple[float, ...]
    minus_curve: tuple[float, ...]
    plus_random_curve: tuple[float, ...]
    minus_random_curve: tuple[float, ...]
    clouds: int

    def as_dict(self) -> dict[str, dict[str, float]]:
        """The estimates by name, as in ``metrics.json``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value.as_dict() for name, value in values.items() if isinstance(value, Estimate)}


def plus_minus(predict: Predict, clouds: PointClouds, importance: Tensor, *, fraction: float = FRACTION,
               m: int | None = None, fractions: Sequence[float] = FRACTIONS,
               alphas: tuple[float, float] = (ALPHA_PLUS, ALPHA_MINUS), samples: int = SAMPLES, draws: int = 3,
               seed: int = 0, chunk: int = 512, probability: bool = True,
               spread: float | None = None, level: float = 0.95, resamples: int = 1000) -> PlusMinus:
    """All of fidelity+ and fidelity- at once, with intervals and random baselines.

    For a cloud G whose most important points are S, and f the probability of the class that is predicted for G:

        plus  = f(G) - f(G without S)          robust plus  = f(G) - E f(G without each point of S by chance alpha_1)
        minus = f(G) - f(only S)               robust minus = f(G) - E f(S and each other point by chance alpha_2)

    alpha_1 = 1 and alpha_2 = 0 are plain plus and minus; the authors' 0.1 and 0.9 take out a tenth at a time, so that
    what the model sees stays like what it was trained on. The removal rule is that of :func:`~.faithfulness.fidelity`:
    points leave the cloud, and one point always stays. S has floor(fraction n) points; points of equal importance are
    in a random order that the seed fixes.

    Args:
        predict: Clouds -> (clouds,) probability of class 1 (or any number, with ``probability=False``).
        clouds: What to judge on; clouds without points are left out.
        importance: (points,) the larger, the more important.
        fraction: Share of a cloud's points that is important, in [0, 1].
        m: Takes the m most important points of each cloud instead, at least 1.
        fractions: Increasing fractions in [0, 1] for the curves, at least two.
        alphas: alpha_1, the chance of an important point to leave, and alpha_2, the chance of another one to stay.
        samples: Random removals that the robust variants and their baselines average over, at least 1.
        draws: Random orders that the other baselines are averaged over, at least 1.
        seed: Of all that is random.
        chunk: Clouds given to ``predict`` at a time, at least 1.
        probability: Whether f is the probability of the class predicted for the whole cloud (p where p >= 0.5, else
            1 - p); otherwise predictions are taken as they are, and losses have a sign.
        spread: With ``probability=False``: losses are |f - f(G)| / spread, changes in units of the target's spread.
        level: Of the intervals, in (0, 1).
        resamples: Of the bootstrap over clouds, at least 1.

    Returns:
        PlusMinus; its numbers are NaN where no cloud has points.

    Raises:
        PellucidError: if shapes do not fit, an importance is not finite, or an option is out of its range.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 4]), {"features": torch.tensor([[1.0], [0.0], [0.0], [0.0]])})
        >>> def predict(clouds):  # is there a point with feature 1?
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> result = plus_minus(predict, clouds, clouds["features"][:, 0], fraction=0.25)
        >>> result.plus.value, result.minus.value, result.characterization.value
        (1.0, 0.0, 1.0)

    Source: Amara et al. 2022 (GraphFramEx), probability form; Zheng et al. 2024 (Towards Robust Fidelity, ICLR).
    """
    fractions = checked_fractions(fractions)
    if draws < 1:
        raise PellucidError(f"expected at least 1 draw, got {draws}; raise it")
    judge = Judge(predict, clouds, importance, seed=seed, chunk=chunk, probability=probability, spread=spread)
    counts = judge.counts(fraction, m)
    random = [judge.random() for _ in range(draws)]

    def sure(values: Tensor, chance: Tensor) -> Estimate:
        return estimate(values, chance, level=level, draws=resamples, seed=seed)

    def both(loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """(fractions + 1, clouds) losses at the count and along the curve: the method's, and the random orders'."""
        sets = [counts, *(whole_part(judge.sizes, f) for f in fractions)]

        def along(turn: Tensor) -> Tensor:
            return torch.stack([loss(turn, count) for count in sets])

        return along(judge.turn), torch.stack([along(turn) for turn in random]).mean(0)

    plus, plus_random = both(judge.plus)
    minus, minus_random = both(judge.minus)
    robust_plus, robust_minus = (
        sure(loss(judge.turn, counts, alpha, samples), loss(None, counts, alpha, samples))
        for loss, alpha in zip((judge.robust_plus, judge.robust_minus), alphas, strict=True))

    def curve(losses: Tensor) -> tuple[float, ...]:
        return tuple(losses[1:].mean(1).tolist())

    return PlusMinus(
        sure(plus[0], plus_random[0]), sure(minus[0], minus_random[0]),
        _characterization(plus[0], minus[0], plus_random[0], minus_random[0], level, resamples, seed),
        sure(area(plus[1:].T, fractions), area(plus_random[1:].T, fractions)),
        sure(area(minus[1:].T, fractions), area(minus_random[1:].T, fractions)), robust_plus, robust_minus,
        fractions, curve(plus), curve(minus), curve(plus_random), curve(minus_random), len(judge.sizes))


@metric("fidelity.characterization")
def characterization(plus: float, minus: float, *, plus_weight: float = 0.5, minus_weight: float = 0.5) -> float:
    """Characterization score: weighted harmonic mean of fidelity+ and 1 - fidelity-; higher is better.

    (w+ + w-) / (w+ / plus + w- / (1 - minus)). A harmonic mean is one of numbers in [0, 1], so both are first brought
    there: an explanation whose removal *raises* the prediction scores 0.

    Args:
        plus: Mean fidelity+.
        minus: Mean fidelity-.
        plus_weight: w+, above 0.
        minus_weight: w-, above 0.

    Returns:
        In [0, 1], 0 where plus is 0 or minus is 1; NaN where either is NaN.

    Raises:
        PellucidError: if a weight is not above 0.

    Example:
        >>> characterization(0.6, 0.4), characterization(0.9, 1.0)
        (0.6, 0.0)

    Source: Amara et al. 2022, GraphFramEx.
    """
    if not (0 < plus_weight < math.inf and 0 < minus_weight < math.inf):
        raise PellucidError(f"expected weights above 0, got {plus_weight} and {minus_weight}; 0.5 and 0.5 are usual")
    return float(_harmonic(as_array(plus), as_array(minus), plus_weight, minus_weight))


def _harmonic(plus: Array, minus: Array, plus_weight: float = 0.5, minus_weight: float = 0.5) -> Array:
    a, b = plus.clip(0, 1), (1 - minus).clip(0, 1)
    bottom = as_array(plus_weight * b + minus_weight * a)
    bottom[bottom == 0] = 1  # both are 0, and so is the score
    return as_array((plus_weight + minus_weight) * a * b / bottom)


def _characterization(plus: Tensor, minus: Tensor, plus_random: Tensor, minus_random: Tensor, level: float,
                      resamples: int, seed: int) -> Estimate:
    if not len(plus):
        return Estimate(*[float("nan")] * 4)
    a, b = as_array(plus), as_array(minus)
    low, high = bootstrap(lambda places: _harmonic(a[places].mean(1), b[places].mean(1)), len(a), level=level,
                          draws=resamples, seed=seed)
    return Estimate(characterization(float(a.mean()), float(b.mean())), low, high,
                    characterization(float(plus_random.mean()), float(minus_random.mean())))
