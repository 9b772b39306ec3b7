"""What the important points do to a prediction, in its own unit: taken away, or made to look like others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.metrics.losses import ALPHA_PLUS
from pellucid.metrics.ragged import batch_of, sums
from pellucid.metrics.removal import Predict, removal_order, whole_part

SIZES = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares of a cloud's points that count as important, one after the other: nobody knows how large a reason is."""
DRAWS = 2
"""Random exchanges of each size, and random orders of the baseline."""

Exchanged = Callable[[Tensor, Tensor], Tensor]
"""(points,) bool, which points, and (points,) int64, whose looks they get -> (clouds,) predictions."""


@dataclass(frozen=True)
class Effect:
    """Effects of the important points of each cloud, in the unit of the prediction; means over sizes.

    Attributes:
        removed: (clouds,) they leave.
        in_distribution: (clouds,) they stay where they are and look like points of other samples, or (where points
            have no looks) a tenth of them leaves at a time.
    """

    removed: Tensor
    in_distribution: Tensor


class Effects:
    """Measures effects of many importances on the same clouds; the clean pass and all that is random are shared.

    For a cloud G, f what is predicted of it and S its most important points, 10 to 50 % of them:

        without a sign  |f(G) - f(G without S)|
        with a sign     f(G without S-) - f(G without S+)

    where S goes by |value|, S+ are its points above 0, said to raise f, and S- those below, said to lower it: so signs
    must be right, and points that pull in opposite directions do not cancel. Both are in the unit of f; an importance
    that knows nothing has the effect of random sets of the same size (:meth:`random`).

    A model never saw samples with holes, so what it says of them may be no more than surprise. In distribution, S is
    therefore not taken out: its points keep their places and neighbours and get the features of points drawn from all
    samples, so that sizes and shapes stay those of the data (the marginal distribution in place of a hole). Where
    there are no features to exchange, each point of S leaves by chance 0.1, so that few are missing at a time (Zheng et
    al. 2024).

    Args:
        predict: Clouds -> (clouds,) a number, e.g. a logit, or a regression in its unit.
        clouds: What to judge on.
        exchanged: Predictions with the looks of some points exchanged; None where there are none.
        sizes: Shares of the points that count as important.
        draws: Random exchanges of each size.
        seed: Of all that is random, the order of ties included.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 4]), {"features": torch.tensor([[1.0], [0.0], [0.0], [-1.0]])})
        >>> def predict(clouds):  # sum of the features
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> effects, x = Effects(predict, clouds, sizes=(0.5,)), clouds["features"][:, 0]
        >>> [float(effects.of(value, signed=signed).removed) for value, signed in ((x, True), (-x, True), (x.abs(), 0))]
        [2.0, -2.0, 0.0]

    Source: Samek et al. 2017 (removal by importance); Covert et al. 2021, Explaining by Removing (marginal
    distribution); Zheng et al. 2024, Towards Robust Fidelity, ICLR (few at a time). The signed form is ours.
    """

    def __init__(self, predict: Predict, clouds: PointClouds, exchanged: Exchanged | None = None, *,
                 sizes: Sequence[float] = SIZES, draws: int = DRAWS, seed: int = 0) -> None:
        self._predict, self._clouds, self._exchanged, self._draws = predict, clouds, exchanged, draws
        self._ptr, sizes_of = clouds.ptr.cpu(), clouds.sizes.cpu()
        self._batch = batch_of(self._ptr)
        self._whole = predict(clouds).double()
        # one point stays, so that there is a cloud to predict
        self._counts = [torch.minimum(whole_part(sizes_of, size).clamp(min=1), (sizes_of - 1).clamp(min=0))
                        for size in sizes]
        random = torch.Generator().manual_seed(seed)
        points = clouds.points
        self._orders = [torch.randperm(points, generator=random) for _ in range(1 + DRAWS)]
        self._donors = [torch.randint(max(points, 1), (points,), generator=random) for _ in range(draws)]
        self._leaves = [torch.rand(points, generator=random) < ALPHA_PLUS for _ in range(draws)]

    def of(self, importance: Tensor, *, signed: bool = False) -> Effect:
        """Effects of the points that an importance names.

        Args:
            importance: (points,) the larger, the more important; with a sign |value|.
            signed: Whether it has a sign.
        """
        values = importance.detach().cpu().double()
        turn = removal_order(-(values.abs() if signed else values), self._ptr, self._orders[0])
        return self._effect(turn, values if signed else None)

    def random(self) -> Effect:
        """Mean effect of random sets of the same sizes, whichever way they move the prediction."""
        nothing = torch.zeros(len(self._batch))
        found = [self._effect(removal_order(nothing, self._ptr, order), None) for order in self._orders[1:]]
        return Effect(torch.stack([e.removed for e in found]).mean(0),
                      torch.stack([e.in_distribution for e in found]).mean(0))

    def _effect(self, turn: Tensor, signs: Tensor | None) -> Effect:
        removed, kept = [], []
        for count in self._counts:
            chosen = turn < count[self._batch]
            removed.append(self._moved(chosen, signs, self._without))
            for draw in range(self._draws):
                kept.append(self._moved(chosen, signs, partial(self._inside, draw)))
        return Effect(torch.stack(removed).mean(0), torch.stack(kept).mean(0))

    def _moved(self, chosen: Tensor, signs: Tensor | None, change: Callable[[Tensor], Tensor]) -> Tensor:
        """(clouds,) by how much the prediction moves as some points are changed."""
        if signs is None:
            return (change(chosen) - self._whole).abs()
        return change(chosen & (signs < 0)) - change(chosen & (signs > 0))

    def _without(self, gone: Tensor) -> Tensor:
        """(clouds,) predictions without some points; clouds that lose none are not asked again."""
        lost = sums(gone.double(), self._ptr) > 0
        found = self._whole.clone()
        if bool(lost.any()):
            some = self._clouds.select(lost)
            found[lost] = self._predict(some.keep_points(~gone[lost[self._batch]])).double()
        return found

    def _inside(self, draw: int, chosen: Tensor) -> Tensor:
        """(clouds,) predictions with some points exchanged, or a few of them gone."""
        if self._exchanged is None:
            return self._without(chosen & self._leaves[draw])
        return self._exchanged(chosen, self._donors[draw]).double() if bool(chosen.any()) else self._whole
