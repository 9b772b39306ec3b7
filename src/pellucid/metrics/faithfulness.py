"""Whether the model really uses the points that are called important: deletion and insertion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.metrics.base import metric
from pellucid.metrics.ragged import checked
from pellucid.metrics.removal import FRACTIONS, Predict, Removal, area, checked_fractions, removal_order

__all__ = ["FRACTIONS", "Fidelity", "Predict", "deletion", "fidelity", "insertion"]


@dataclass(frozen=True)
class Fidelity:
    """Mean prediction as points are taken out, and the areas under these curves.

    Attributes:
        fractions: Fractions of each cloud's points that are taken out.
        deletion_curve: Mean prediction when the most important points go first; should fall early.
        insertion_curve: Mean prediction when only the most important points stay; should stay up.
        random_curve: Mean prediction when points go in random order: the baseline of both.
        deletion: Area under the deletion curve over the range of fractions; lower is better.
        insertion: Area under the insertion curve; higher is better.
        random: Area under the random curve: an uninformed importance scores this in both.
        random_std: Standard deviation of that area over the random orders; NaN for one order.
        clouds: Clouds that were judged.
    """

    fractions: tuple[float, ...]
    deletion_curve: tuple[float, ...]
    insertion_curve: tuple[float, ...]
    random_curve: tuple[float, ...]
    deletion: float
    insertion: float
    random: float
    random_std: float
    clouds: int

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Areas and their baseline, as in ``metrics.json``."""
        return {"deletion": {"auc": self.deletion, "random": self.random},
                "insertion": {"auc": self.insertion, "random": self.random}}


def fidelity(predict: Predict, clouds: PointClouds, importance: Tensor, *, fractions: Sequence[float] = FRACTIONS,
             draws: int = 3, seed: int = 0, chunk: int = 512, probability: bool = True,
             spread: float | None = None) -> Fidelity:
    """Deletion and insertion together, with random removal as the baseline beside them.

    One rule of removal: points leave the cloud (:meth:`PointClouds.keep_points`), and ``predict`` builds the
    neighbourhoods of what is left. At a fraction f, floor(f n) of a cloud's n points go, but one always stays.
    Points of equal importance go in a random order that the seed fixes, so constant importance scores as chance does.

    Args:
        predict: Clouds -> (clouds,) probability of class 1 (or any number, with ``probability=False``).
        clouds: What to judge on; clouds without points are left out.
        importance: (points,) the larger, the more important.
        fractions: Increasing fractions in [0, 1], at least two.
        draws: Random orders that the baseline is averaged over, at least 1.
        seed: Of the random orders.
        chunk: Clouds given to ``predict`` at a time, at least 1.
        probability: Whether curves show the probability of the class predicted for the whole cloud (p where
            p >= 0.5, else 1 - p); otherwise predictions are taken as they are.
        spread: With ``probability=False``: curves show |f - f(whole cloud)| / spread, the change in units of the
            target's spread. Deletion should then rise early (higher is better), insertion stay low (lower is better).

    Returns:
        Fidelity; its numbers are NaN where no cloud has points.

    Raises:
        PellucidError: if shapes do not fit, an importance is not finite, or an option is out of its range.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 4]), {"features": torch.tensor([[1.0], [0.0], [0.0], [0.0]])})
        >>> def predict(clouds):  # is there a point with feature 1?
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> result = fidelity(predict, clouds, clouds["features"][:, 0], fractions=(0, 0.25, 0.5, 0.75))
        >>> result.deletion_curve, result.insertion_curve
        ((1.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0))
    """
    fractions = checked_fractions(fractions)
    if draws < 1 or chunk < 1:
        raise PellucidError(f"expected at least 1 draw and 1 cloud in a chunk, got {draws} and {chunk}; raise them")
    values, _, _ = checked(importance, clouds.ptr)
    clouds = clouds.select(clouds.sizes > 0)  # points stay where they are, since nothing but empty clouds goes
    if len(clouds) == 0:
        nan = float("nan")
        none = (nan,) * len(fractions)
        return Fidelity(fractions, none, none, none, nan, nan, nan, nan, 0)
    generator = torch.Generator().manual_seed(seed)
    shuffles = [torch.randperm(clouds.points, generator=generator) for _ in range(draws)]
    removal = Removal(predict, clouds, chunk=chunk, probability=probability, spread=spread)

    def curve(values: Tensor, shuffle: Tensor) -> Tensor:
        turn = removal_order(values, removal.ptr, shuffle)
        mean = torch.stack([removal.after_fraction(turn, f).mean() for f in fractions])
        return mean if spread is None else mean.abs()

    deletion_curve, insertion_curve = curve(-values, shuffles[0]), curve(values, shuffles[0])
    random = torch.stack([curve(torch.zeros_like(values), s) for s in shuffles])
    spread = float(area(random, fractions).std()) if draws > 1 else float("nan")
    mean = random.mean(0)
    return Fidelity(fractions, tuple(deletion_curve.tolist()), tuple(insertion_curve.tolist()), tuple(mean.tolist()),
                    float(area(deletion_curve, fractions)), float(area(insertion_curve, fractions)),
                    float(area(mean, fractions)), spread, len(clouds))


@metric("fidelity.deletion")
def deletion(predict: Predict, clouds: PointClouds, importance: Tensor, *, fractions: Sequence[float] = FRACTIONS,
             seed: int = 0) -> float:
    """Area under the prediction as the most important points are taken out first; lower is better.

    Args:
        predict: Clouds -> (clouds,) probability of class 1.
        clouds: What to judge on.
        importance: (points,) the larger, the more important.
        fractions: Increasing fractions of the points in [0, 1].
        seed: Of the order among ties.

    Returns:
        In [0, 1]; compare it with ``fidelity(...).random``. NaN where no cloud has points.

    Raises:
        PellucidError: as :func:`fidelity`, which also gives the curves and the baseline.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"features": torch.tensor([[1.0], [0.0]])})
        >>> def predict(clouds):
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> deletion(predict, clouds, torch.tensor([1.0, 0.0]), fractions=(0, 0.5))
        0.5
    """
    return fidelity(predict, clouds, importance, fractions=fractions, draws=1, seed=seed).deletion


@metric("fidelity.insertion")
def insertion(predict: Predict, clouds: PointClouds, importance: Tensor, *, fractions: Sequence[float] = FRACTIONS,
              seed: int = 0) -> float:
    """Area under the prediction as only the most important points stay; higher is better.

    Args:
        predict: Clouds -> (clouds,) probability of class 1.
        clouds: What to judge on.
        importance: (points,) the larger, the more important.
        fractions: Increasing fractions of the points in [0, 1] that are taken out, the least important first.
        seed: Of the order among ties.

    Returns:
        In [0, 1]; compare it with ``fidelity(...).random``. NaN where no cloud has points.

    Raises:
        PellucidError: as :func:`fidelity`, which also gives the curves and the baseline.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"features": torch.tensor([[1.0], [0.0]])})
        >>> def predict(clouds):
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> insertion(predict, clouds, torch.tensor([1.0, 0.0]), fractions=(0, 0.5))
        1.0
    """
    return fidelity(predict, clouds, importance, fractions=fractions, draws=1, seed=seed).insertion
