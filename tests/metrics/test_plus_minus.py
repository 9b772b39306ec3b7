import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged_cases import offsets
from torch_geometric.explain.metric import characterization_score

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.metrics import metrics
from pellucid.metrics.bootstrap import bootstrap, interval
from pellucid.metrics.faithfulness import fidelity
from pellucid.metrics.losses import minus_per_cloud, plus_per_cloud
from pellucid.metrics.plus_minus import characterization, plus_minus
from pellucid.metrics.plus_minus_each import minus, minus_area, plus, plus_area, robust_minus, robust_plus

NAN = float("nan")
SIZES = [7, 1, 4, 10, 2]


def clouds_of(sizes, seed=0):
    features = torch.rand(sum(sizes), 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return PointClouds(offsets(sizes), {"features": features, "pos": torch.zeros(sum(sizes), 3)})


def importance_of(points, seed=1):
    return torch.randn(points, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def predict(clouds):
    """A probability that is not linear in the points, and depends on how many there are."""
    total = torch.zeros(len(clouds), dtype=torch.float64).index_add(0, clouds.batch, clouds["features"][:, 0] - 0.45)
    return torch.sigmoid(3 * total)


def by_hand(x):
    """(flipped where the whole is of class 0) what ``predict`` gives for a part of one cloud."""
    return 1 / (1 + np.exp(-3 * (np.asarray(x) - 0.45).sum()))


def parts(clouds, importance):
    """Each cloud's features, the most important point first, and f: part -> probability of the predicted class."""
    for a, b in itertools.pairwise(clouds.ptr.tolist()):
        x = clouds["features"][a:b, 0].numpy()[np.argsort(-importance[a:b].numpy())]
        if len(x):
            yield x, (by_hand if by_hand(x) >= 0.5 else lambda part: 1 - by_hand(part))


def counts(n, fraction, m):
    return min(m, n) if m is not None else math.floor(round(fraction * 100) * n / 100)


@pytest.mark.parametrize(("fraction", "m"), [(0.2, None), (0.0, None), (0.29, None), (1.0, None), (0.5, 3), (0.5, 99)])
def test_plus_and_minus_against_a_loop(fraction, m):
    clouds, importance = clouds_of(SIZES), importance_of(sum(SIZES))
    expected_plus, expected_minus = [], []
    for x, f in parts(clouds, importance):
        k = counts(len(x), fraction, m)
        expected_plus.append(f(x) - f(x[min(k, len(x) - 1):]))  # one point always stays
        expected_minus.append(f(x) - f(x[: max(k, 1)]))
    ours = [function(predict, clouds, importance, fraction=fraction, m=m).tolist()
            for function in (plus_per_cloud, minus_per_cloud)]
    assert ours[0] == pytest.approx(expected_plus, abs=1e-12)
    assert ours[1] == pytest.approx(expected_minus, abs=1e-12)
    assert plus(predict, clouds, importance, fraction=fraction, m=m) == pytest.approx(np.mean(expected_plus))
    assert minus(predict, clouds, importance, fraction=fraction, m=m) == pytest.approx(np.mean(expected_minus))


@pytest.mark.parametrize("sign", [1, -1])
def test_of_a_regression_losses_are_changes_in_units_of_the_spread(sign):
    clouds, importance = clouds_of(SIZES), importance_of(sum(SIZES))

    def number(clouds):
        total = torch.zeros(len(clouds), dtype=torch.float64).index_add(0, clouds.batch, clouds["features"][:, 0])
        return sign * (20 + 3 * total)

    result = plus_minus(number, clouds, importance, fraction=0.3, samples=2, draws=1, resamples=20, probability=False,
                        spread=1.5)
    expected_plus, expected_minus = [], []
    for a, b in itertools.pairwise(clouds.ptr.tolist()):
        x = clouds["features"][a:b, 0].numpy()[np.argsort(-importance[a:b].numpy())]
        k = counts(len(x), 0.3, None)
        expected_plus.append(abs(3 * (x[min(k, len(x) - 1):].sum() - x.sum())) / 1.5)
        expected_minus.append(abs(3 * (x[: max(k, 1)].sum() - x.sum())) / 1.5)
    assert result.plus.value == pytest.approx(np.mean(expected_plus))
    assert result.minus.value == pytest.approx(np.mean(expected_minus))
    assert min(result.plus_curve + result.minus_curve) >= 0
    assert result.robust_plus.value >= 0
    assert result.robust_minus.value >= 0


def test_areas_are_those_of_deletion_and_insertion():
    clouds, importance = clouds_of([10, 20, 10]), importance_of(40)
    old = fidelity(predict, clouds, importance, draws=1)
    whole = old.deletion_curve[0]
    assert plus_area(predict, clouds, importance) == pytest.approx(whole - old.deletion)
    # f n important points stay where (1 - f) n points leave; only f = 0 is not on insertion's curve
    result = plus_minus(predict, clouds, importance, samples=1)
    assert result.minus_curve[1:] == pytest.approx([whole - p for p in old.insertion_curve[:0:-1]])
    assert minus_area(predict, clouds, importance, fractions=result.fractions[1:]) == pytest.approx(
        np.trapezoid(result.minus_curve[1:], result.fractions[1:]) / 0.8)
    assert result.plus_curve == pytest.approx([whole - p for p in old.deletion_curve])


def test_everything_at_once_is_the_single_metrics():
    clouds, importance = clouds_of([0, *SIZES, 0]), importance_of(sum(SIZES))
    result = plus_minus(predict, clouds, importance, m=2, samples=4, seed=3, level=0.8, resamples=200)
    single = {"plus": plus, "minus": minus, "robust_plus": robust_plus, "robust_minus": robust_minus}
    for name, function in single.items():
        options = {"m": 2, "seed": 3} | ({"samples": 4} if "robust" in name else {})
        assert getattr(result, name).value == pytest.approx(function(predict, clouds, importance, **options))
    assert result.plus_area.value == pytest.approx(plus_area(predict, clouds, importance, seed=3))
    assert result.minus_area.value == pytest.approx(minus_area(predict, clouds, importance, seed=3))
    assert result.characterization.value == characterization(result.plus.value, result.minus.value)
    values = plus_per_cloud(predict, clouds, importance, m=2, seed=3)
    assert values.isnan().tolist() == [True, *[False] * 5, True]
    assert (result.plus.low, result.plus.high) == interval(values, level=0.8, draws=200, seed=3)
    a, b = (f(predict, clouds, importance, m=2)[1:-1].numpy() for f in (plus_per_cloud, minus_per_cloud))
    ends = bootstrap(lambda places: np.array([characterization(a[row].mean(), b[row].mean()) for row in places]), 5,
                     level=0.8, draws=200, seed=3)
    assert (result.characterization.low, result.characterization.high) == pytest.approx(ends)
    assert result.clouds == 5
    assert sorted(result.as_dict()) == ["characterization", "minus", "minus_area", "plus", "plus_area", "robust_minus",
                                        "robust_plus"]
    assert result.as_dict()["minus"] == result.minus.as_dict()


@pytest.mark.slow
def test_robust_fidelity_is_the_expectation_over_all_subsets():
    clouds, importance = clouds_of([6, 5]), importance_of(11)
    expected_plus, expected_minus = [], []
    for x, f in parts(clouds, importance):
        k, n = 3, len(x)

        def expectation(fixed, loose, chance, f=f):
            """Over the points that stay, each by chance."""
            return sum(math.prod(chance if s else 1 - chance for s in stay) * f([*fixed, *loose[np.array(stay)]])
                       for stay in itertools.product([True, False], repeat=len(loose)))

        expected_plus.append(f(x) - expectation(x[k:], x[:k], 1 - 0.3))
        expected_minus.append(f(x) - expectation(x[:k], x[k:], 0.6))
        assert n > k
    options = {"m": 3, "samples": 4000, "seed": 2}
    assert plus_per_cloud(predict, clouds, importance, alpha=0.3, **options).tolist() == (
        pytest.approx(expected_plus, abs=0.015))
    assert minus_per_cloud(predict, clouds, importance, alpha=0.6, **options).tolist() == (
        pytest.approx(expected_minus, abs=0.015))


def test_robust_fidelity_at_its_ends_is_the_plain_one_or_nothing():
    clouds, importance = clouds_of(SIZES), importance_of(sum(SIZES))
    plain = plus(predict, clouds, importance), minus(predict, clouds, importance)
    assert robust_plus(predict, clouds, importance, alpha=1.0, samples=3) == pytest.approx(plain[0])
    assert robust_minus(predict, clouds, importance, alpha=0.0, samples=3) == pytest.approx(plain[1])
    assert robust_plus(predict, clouds, importance, alpha=0.0) == 0
    assert robust_minus(predict, clouds, importance, alpha=1.0) == 0


def test_robust_fidelity_keeps_nearly_all_points():
    shares = []

    def watching(clouds):
        shares.append(1 - (20 * len(clouds) - clouds.points) / 1000)  # clouds that keep all are not asked again
        return predict(clouds)

    clouds, importance = clouds_of([20] * 50), importance_of(1000)
    robust_plus(watching, clouds, importance)
    assert shares.pop(0) == 1
    assert np.mean(shares) == pytest.approx(1 - 0.1 * 0.2, abs=0.003)
    shares.clear()
    robust_minus(watching, clouds, importance)
    assert np.mean(shares[1:]) == pytest.approx(1 - 0.1 * 0.8, abs=0.005)
    assert len(shares) == 51


def test_truth_beats_chance_and_the_baseline_is_known():
    """A probability that is linear in the points loses what the random set holds of it."""
    clouds = clouds_of([10] * 60)
    share = clouds["features"][:, 0] / 10

    def linear(clouds):
        return torch.zeros(len(clouds), dtype=torch.float64).index_add(0, clouds.batch, clouds["features"][:, 0] / 10)

    mean = float(share.sum()) / 60
    options = {"fraction": 0.3, "draws": 40, "samples": 60, "probability": False}
    good, bad = (plus_minus(linear, clouds, sign * share, **options) for sign in (1, -1))
    assert good.plus.random == pytest.approx(0.3 * mean, rel=0.03)
    assert good.minus.random == pytest.approx(0.7 * mean, rel=0.03)
    assert good.robust_plus.random == pytest.approx(0.1 * 0.3 * mean, rel=0.1)
    assert good.robust_minus.random == pytest.approx(0.1 * 0.7 * mean, rel=0.1)
    assert good.plus_area.random == pytest.approx(0.45 * mean, rel=0.03)
    for name in ("plus", "plus_area", "robust_plus"):
        assert getattr(good, name).low > getattr(good, name).random > getattr(bad, name).high
    for name in ("minus", "minus_area", "robust_minus"):
        assert getattr(good, name).high < getattr(good, name).random < getattr(bad, name).low
    assert good.characterization.low > good.characterization.random > bad.characterization.high


def test_constant_importance_is_like_chance():
    result = plus_minus(predict, clouds_of([12] * 200), torch.ones(2400), draws=8, samples=10)
    for name in ("plus", "minus", "plus_area", "minus_area", "robust_plus", "robust_minus"):
        value = getattr(result, name)
        assert value.value == pytest.approx(value.random, abs=0.04), name
        assert value.low - 0.01 < value.random < value.high + 0.01, name


@settings(max_examples=20)
@given(st.lists(st.sampled_from([0, 1, 2, 5, 9]), min_size=1, max_size=5), st.integers(0, 10**6), st.floats(0, 1))
def test_only_the_order_of_importance_matters(sizes, seed, fraction):
    clouds, importance = clouds_of(sizes, seed), importance_of(sum(sizes), seed + 1)
    options = {"fraction": fraction}
    for function in (plus_per_cloud, minus_per_cloud):
        values = function(predict, clouds, importance, **options)
        assert values.isnan().tolist() == [size == 0 for size in sizes]
        known = values[~values.isnan()]
        assert bool((known.abs() <= 1).all())
        grown = function(predict, clouds, (2 * importance).exp() - 5, seed=9, chunk=2, **options)
        torch.testing.assert_close(grown, values, equal_nan=True, rtol=0, atol=1e-12)
        # points in another order within their clouds, and clouds in the opposite order
        random = torch.Generator().manual_seed(seed)
        order = torch.cat([a + torch.randperm(n, generator=random) for a, n in zip(clouds.ptr.tolist(), sizes,
                                                                                  strict=False)])
        mixed = clouds.replace(features=clouds["features"][order])
        torch.testing.assert_close(function(predict, mixed, importance[order], **options), values, equal_nan=True,
                                   rtol=0, atol=1e-12)
        back = torch.arange(len(sizes)).flip(0)
        rows = torch.cat([torch.arange(clouds.ptr[i], clouds.ptr[i + 1]) for i in back.tolist()])
        torch.testing.assert_close(function(predict, clouds.select(back), importance[rows], **options), values.flip(0),
                                   equal_nan=True, rtol=0, atol=1e-12)


@given(st.floats(0.01, 1), st.floats(0, 0.99), st.floats(0.01, 0.99))
def test_characterization_against_pytorch_geometric(a, b, weight):
    reference = characterization_score(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64),
                                       weight, 1 - weight) if weight + (1 - weight) == 1 else None
    if reference is not None:
        ours = characterization(a, b, plus_weight=weight, minus_weight=1 - weight)
        assert ours == pytest.approx(float(reference))
        assert characterization(a, b, plus_weight=3 * weight, minus_weight=3 - 3 * weight) == pytest.approx(ours)
    assert characterization(a, b) == pytest.approx(float(characterization_score(torch.tensor(a), torch.tensor(b))),
                                                   rel=1e-5)


def test_characterization_at_its_ends():
    assert characterization(1, 0) == 1
    assert characterization(0, 0) == characterization(1, 1) == characterization(0, 1) == 0
    assert characterization(-0.2, 0.3) == 0
    assert characterization(0.5, -0.3) == pytest.approx(2 / 3)  # 1 - minus is at most 1
    assert math.isnan(characterization(NAN, 0.5))
    assert math.isnan(characterization(0.5, NAN))
    for weights in ((0, 1), (1, -1), (NAN, 1), (math.inf, 1)):
        with pytest.raises(PellucidError, match="weights above 0"):
            characterization(0.5, 0.5, plus_weight=weights[0], minus_weight=weights[1])


def test_seed_and_chunks():
    clouds, importance = clouds_of(SIZES), torch.zeros(sum(SIZES))
    one = plus_minus(predict, clouds, importance, seed=3, samples=5)
    assert plus_minus(predict, clouds, importance, seed=3, samples=5, chunk=2) == one
    assert plus_minus(predict, clouds, importance, seed=4, samples=5) != one


def test_no_cloud_with_points():
    result = plus_minus(predict, clouds_of([0, 0]), torch.zeros(0))
    assert all(math.isnan(v) for values in result.as_dict().values() for v in values.values())
    assert all(math.isnan(v) for v in result.plus_random_curve)
    assert result.clouds == 0
    for name in ("plus", "minus", "plus_area", "minus_area", "robust_plus", "robust_minus"):
        assert math.isnan(metrics[f"fidelity.{name}"](predict, clouds_of([0]), torch.zeros(0)))
    assert plus_per_cloud(predict, clouds_of([0, 0]), torch.zeros(0)).isnan().tolist() == [True, True]


def test_registered_under_their_names():
    names = ["fidelity.plus", "fidelity.minus", "fidelity.plus_area", "fidelity.minus_area", "fidelity.robust_plus",
             "fidelity.robust_minus", "fidelity.characterization"]
    assert [metrics[name] for name in names] == [plus, minus, plus_area, minus_area, robust_plus, robust_minus,
                                                 characterization]


@pytest.mark.parametrize(("options", "message"), [
    ({"fraction": 1.5}, r"fraction in \[0, 1\]"),
    ({"m": 0}, "m of at least 1"),
    ({"fractions": [0.5]}, "at least two increasing fractions"),
    ({"alphas": (1.2, 0.9)}, r"alpha in \[0, 1\]"),
    ({"alphas": (0.1, -0.9)}, r"alpha in \[0, 1\]"),
    ({"samples": 0}, "at least 1 sample"),
    ({"draws": 0}, "at least 1 draw"),
    ({"chunk": 0}, "1 cloud in a chunk"),
    ({"level": 2}, r"level in \(0, 1\)"),
    ({"resamples": 0}, "at least 1 draw"),
])
def test_options_out_of_range_are_told(options, message):
    with pytest.raises(PellucidError, match=message):
        plus_minus(predict, clouds_of([3, 2]), torch.zeros(5), **options)


def test_importance_that_does_not_fit_is_told():
    with pytest.raises(PellucidError, match=r"importance of shape \(3,\)"):
        plus(predict, clouds_of([3]), torch.zeros(2))
    with pytest.raises(PellucidError, match="finite importance"):
        minus(predict, clouds_of([3]), torch.tensor([0.0, NAN, 1.0]))
