"""What each cloud's prediction loses as points leave it: the losses behind fidelity+ and fidelity-."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.metrics.ragged import batch_of, checked
from pellucid.metrics.removal import Predict, Removal, removal_order, whole_part

FRACTION = 0.2
"""Share of a cloud's points that counts as important."""
ALPHA_PLUS, ALPHA_MINUS = 0.1, 0.9
"""The authors' alpha_1 and alpha_2 of robust fidelity."""
SAMPLES = 50
"""Random removals that robust fidelity averages over, as in the authors' code."""


class Judge:
    """Losses of the clouds that have points, for orders in which the most important point is 0."""

    def __init__(self, predict: Predict, clouds: PointClouds, importance: Tensor, *, seed: int = 0, chunk: int = 512,
                 probability: bool = True, spread: float | None = None) -> None:
        if chunk < 1:
            raise PellucidError(f"expected at least 1 cloud in a chunk, got {chunk}; raise it")
        values, _, _ = checked(importance, clouds.ptr)
        self._full = clouds.sizes.cpu() > 0
        clouds = clouds.select(clouds.sizes > 0)  # points stay where they are, since nothing but empty clouds goes
        self.ptr, self.sizes = clouds.ptr.cpu(), clouds.sizes.cpu()
        self._batch, self._points = batch_of(self.ptr), len(values)
        self._seed, self._generator = seed, torch.Generator().manual_seed(seed)
        self._removal = Removal(predict, clouds, chunk=chunk, probability=probability, spread=spread
                                ) if len(clouds) else None
        self.turn = self._order(-values)

    def _order(self, values: Tensor) -> Tensor:
        return removal_order(values, self.ptr, torch.randperm(self._points, generator=self._generator))

    def random(self) -> Tensor:
        """(points,) another random order."""
        return self._order(torch.zeros(self._points))

    def counts(self, fraction: float, m: int | None) -> Tensor:
        """(clouds,) how many points are important."""
        if not 0 <= fraction <= 1 or (m is not None and m < 1):
            raise PellucidError(f"expected a fraction in [0, 1] and m of at least 1, got {fraction} and {m}; take more "
                                "points")
        return whole_part(self.sizes, fraction) if m is None else self.sizes.clamp(max=m)

    def plus(self, turn: Tensor, counts: Tensor) -> Tensor:
        """(clouds,) loss without the first points; the last one stays."""
        return self._loss(turn >= torch.minimum(counts, self.sizes - 1)[self._batch])

    def minus(self, turn: Tensor, counts: Tensor) -> Tensor:
        """(clouds,) loss with only the first points, of which there is one at least."""
        return self._loss(turn < counts.clamp(min=1)[self._batch])

    def robust_plus(self, turn: Tensor | None, counts: Tensor, alpha: float, samples: int) -> Tensor:
        """(clouds,) mean loss as each of the first points leaves by chance; without an order, of random ones."""
        last = torch.minimum(counts, self.sizes - 1)[self._batch]
        return self._robust(turn, alpha, samples, alpha == 1, lambda order, goes: (order >= last) | ~goes)

    def robust_minus(self, turn: Tensor | None, counts: Tensor, alpha: float, samples: int) -> Tensor:
        """(clouds,) mean loss as each but the first points stays by chance; without an order, of random ones."""
        last = counts.clamp(min=1)[self._batch]
        return self._robust(turn, alpha, samples, alpha == 0, lambda order, stays: (order < last) | stays)

    def _robust(self, turn: Tensor | None, alpha: float, samples: int, certain: bool,
                stays: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        if not 0 <= alpha <= 1 or samples < 1:
            raise PellucidError(f"expected alpha in [0, 1] and at least 1 sample, got {alpha} and {samples}; the "
                                f"authors take {ALPHA_PLUS} for plus, {ALPHA_MINUS} for minus, and {SAMPLES}")
        # an own generator, so that the removals are those of the method and of the baseline alike
        generator = torch.Generator().manual_seed(self._seed + 1)
        total = torch.zeros(len(self.sizes), dtype=torch.float64)
        samples = 1 if certain and turn is not None else samples  # all removals would be the same
        for _ in range(samples):
            hit = torch.rand(self._points, generator=generator) < alpha
            total += self._loss(stays(self.random() if turn is None else turn, hit))
        return total / samples

    def _loss(self, stays: Tensor) -> Tensor:
        if self._removal is None:
            return torch.zeros(0, dtype=torch.float64)
        return self._removal.whole - self._removal.after(stays)

    def spread(self, values: Tensor) -> Tensor:
        """(all clouds,) the values, and NaN for clouds without points."""
        out = torch.full(self._full.shape, float("nan"), dtype=torch.float64)
        out[self._full] = values
        return out


def plus_per_cloud(predict: Predict, clouds: PointClouds, importance: Tensor, *, fraction: float = FRACTION,
                   m: int | None = None, alpha: float = 1.0, samples: int = SAMPLES, seed: int = 0, chunk: int = 512,
                   probability: bool = True) -> Tensor:
    """Loss of each cloud's prediction without its important points.

    Args:
        predict: As in :func:`~.plus_minus.plus_minus`, and so are the options that are not listed.
        clouds: What to judge on.
        importance: (points,) the larger, the more important.
        fraction: Share of a cloud's points that is important, in [0, 1].
        m: Takes the m most important points of each cloud instead, at least 1.
        alpha: Chance of an important point to leave; below 1 that is robust fidelity.
        samples: Random removals that are averaged over where alpha < 1, at least 1.
        seed: Of the order among ties and of the removals.
        chunk: As in :func:`~.plus_minus.plus_minus`.
        probability: As in :func:`~.plus_minus.plus_minus`.

    Returns:
        (clouds,) float64 in [-1, 1] for probabilities; NaN for a cloud without points.

    Raises:
        PellucidError: as :func:`~.plus_minus.plus_minus`.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2, 2]), {"features": torch.tensor([[1.0], [0.0]])})
        >>> def predict(clouds):
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> plus_per_cloud(predict, clouds, torch.tensor([1.0, 0.0]), m=1).tolist()
        [1.0, nan]
    """
    judge = Judge(predict, clouds, importance, seed=seed, chunk=chunk, probability=probability)
    return judge.spread(judge.robust_plus(judge.turn, judge.counts(fraction, m), alpha, samples))


def minus_per_cloud(predict: Predict, clouds: PointClouds, importance: Tensor, *, fraction: float = FRACTION,
                    m: int | None = None, alpha: float = 0.0, samples: int = SAMPLES, seed: int = 0, chunk: int = 512,
                    probability: bool = True) -> Tensor:
    """Loss of each cloud's prediction with only its important points.

    Args:
        predict: As in :func:`~.plus_minus.plus_minus`, and so are the options that are not listed.
        clouds: What to judge on.
        importance: (points,) the larger, the more important.
        fraction: Share of a cloud's points that is important, in [0, 1].
        m: Takes the m most important points of each cloud instead, at least 1.
        alpha: Chance of an unimportant point to stay; above 0 that is robust fidelity.
        samples: Random removals that are averaged over where alpha > 0, at least 1.
        seed: Of the order among ties and of the removals.
        chunk: As in :func:`~.plus_minus.plus_minus`.
        probability: As in :func:`~.plus_minus.plus_minus`.

    Returns:
        (clouds,) float64 in [-1, 1] for probabilities; NaN for a cloud without points.

    Raises:
        PellucidError: as :func:`~.plus_minus.plus_minus`.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2, 2]), {"features": torch.tensor([[1.0], [0.0]])})
        >>> def predict(clouds):
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> minus_per_cloud(predict, clouds, torch.tensor([1.0, 0.0]), m=1).tolist()
        [0.0, nan]
    """
    judge = Judge(predict, clouds, importance, seed=seed, chunk=chunk, probability=probability)
    return judge.spread(judge.robust_minus(judge.turn, judge.counts(fraction, m), alpha, samples))
