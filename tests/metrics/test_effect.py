"""Effects of the important points, against loops over clouds."""

import torch

from pellucid.clouds import PointClouds
from pellucid.metrics.effect import Effects

SIZES = (5, 8, 1, 6)


def clouds_of(seed=0):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(sum(SIZES), 1, generator=random, dtype=torch.float64)
    return PointClouds(torch.tensor([0, *SIZES]).cumsum(0), {"features": x})


def predict(clouds):
    """The square of a sum, plus the sum: points act together."""
    total = torch.zeros(len(clouds), dtype=torch.float64).index_add(0, clouds.batch, clouds["features"][:, 0])
    return total.square() + total


def by_hand(x, importance, share, signed):
    count = min(max(int(share * len(x) + 1e-9), 1), len(x) - 1)
    order = torch.argsort(importance.abs() if signed else importance, descending=True)[:count]

    def without(places):
        total = x.sum() - x[places].sum()
        return total**2 + total

    if signed:
        return without(order[importance[order] < 0]) - without(order[importance[order] > 0])
    return (x.sum() ** 2 + x.sum() - without(order)).abs()


def test_removal_is_what_a_loop_gives():
    clouds = clouds_of()
    importance = torch.randn(clouds.points, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for signed in (False, True):
        found = Effects(predict, clouds, sizes=(0.2, 0.5)).of(importance, signed=signed).removed
        for i, rows in enumerate(zip(clouds.ptr[:-1].tolist(), clouds.ptr[1:].tolist(), strict=True)):
            x, own = clouds["features"][slice(*rows), 0], importance[slice(*rows)]
            expected = torch.stack([by_hand(x, own, share, signed) for share in (0.2, 0.5)]).mean()
            torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-12)


def test_exact_contributions_have_the_largest_effect_of_a_sum_and_turned_over_ones_the_least():
    clouds = clouds_of()
    x = clouds["features"][:, 0]

    def total(clouds):
        return torch.zeros(len(clouds), dtype=torch.float64).index_add(0, clouds.batch, clouds["features"][:, 0])

    effects = Effects(total, clouds)
    right, wrong, random = effects.of(x, signed=True), effects.of(-x, signed=True), effects.random()
    torch.testing.assert_close(right.removed, -wrong.removed)
    assert bool((right.removed >= random.removed - 1e-12).all())
    assert float(right.removed.mean()) > float(random.removed.mean())


def test_exchanged_points_get_the_looks_of_others_and_nothing_else_changes():
    clouds, seen = clouds_of(), []

    def exchanged(chosen, donors):
        seen.append((chosen, donors))
        mixed = torch.where(chosen[:, None], clouds["features"][donors], clouds["features"])
        return predict(clouds.replace(features=mixed))

    importance = torch.arange(float(clouds.points))
    effects = Effects(predict, clouds, exchanged, sizes=(0.5,), draws=2)
    first, second = effects.of(importance), effects.of(importance)
    assert torch.equal(first.in_distribution, second.in_distribution)  # the same exchanges for all
    assert len(seen) == 4
    chosen = seen[0][0]
    ends = zip(clouds.ptr[1:].tolist(), SIZES, strict=True)
    assert chosen.tolist() == [i >= end - n // 2 and n > 1 for end, n in ends for i in range(end - n, end)]
    assert not torch.equal(seen[0][1], seen[1][1])
    assert float(first.in_distribution[2]) == 0  # a cloud of one point keeps it


def test_without_looks_a_few_points_leave_at_a_time():
    clouds = PointClouds(torch.tensor([0, 1000]), {"features": torch.ones(1000, 1, dtype=torch.float64)})

    def count(clouds):
        return clouds.sizes.double()

    effect = Effects(count, clouds, sizes=(0.5,), draws=4).of(torch.rand(1000))
    assert float(effect.removed) == 500
    assert 30 < float(effect.in_distribution) < 70  # a tenth of 500
