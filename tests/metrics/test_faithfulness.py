import math

import numpy as np
import pytest
import torch
from ragged_cases import offsets

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.metrics import metrics
from pellucid.metrics.faithfulness import deletion, fidelity, insertion

FRACTIONS = (0.0, 0.25, 0.5, 0.75)


def clouds_of(sizes, seed=0):
    features = torch.rand(sum(sizes), 1, generator=torch.Generator().manual_seed(seed))
    return PointClouds(offsets(sizes), {"features": features, "pos": torch.zeros(sum(sizes), 3)})


def mean_feature(clouds):
    return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0]) / clouds.sizes


def largest_feature(clouds):
    return torch.zeros(len(clouds)).scatter_reduce(0, clouds.batch, clouds["features"][:, 0], "amax")


def test_curves_against_a_loop():
    sizes = [7, 1, 4, 10]
    clouds = clouds_of(sizes)
    importance = torch.randn(22, generator=torch.Generator().manual_seed(1))
    result = fidelity(mean_feature, clouds, importance)
    for curve, sign in ((result.deletion_curve, -1), (result.insertion_curve, 1)):
        for fraction, height in zip(result.fractions, curve, strict=True):
            expected = []
            for a, b in zip(clouds.ptr[:-1].tolist(), clouds.ptr[1:].tolist(), strict=True):
                x, w = clouds["features"][a:b, 0].numpy(), importance[a:b].numpy()
                gone = min(math.floor(round(fraction * 10) * (b - a) / 10), b - a - 1)
                p = x[np.argsort(sign * w)][gone:].mean()
                expected.append(p if x.mean() >= 0.5 else 1 - p)
            assert height == pytest.approx(np.mean(expected), abs=1e-6)
    assert result.deletion == pytest.approx(np.trapezoid(result.deletion_curve, result.fractions) / 0.9)
    assert result.insertion == pytest.approx(np.trapezoid(result.insertion_curve, result.fractions) / 0.9)
    assert result.clouds == 4


def test_truth_beats_chance_and_chance_beats_the_opposite():
    clouds = clouds_of([20] * 30)
    features = clouds["features"][:, 0]
    good, bad = (fidelity(largest_feature, clouds, sign * features) for sign in (1, -1))
    assert good.deletion < good.random < bad.deletion
    assert good.insertion == pytest.approx(float(largest_feature(clouds).mean()))
    assert good.insertion > good.random > bad.insertion
    assert good.random == bad.random  # the baseline knows nothing of the importance
    assert bad.deletion == pytest.approx(good.insertion)


def test_constant_importance_is_like_chance():
    clouds = clouds_of([12] * 200)
    clouds = clouds.replace(features=(clouds["features"].view(200, 12).argsort(1) == 0).float().view(-1, 1))
    result = fidelity(largest_feature, clouds, torch.ones(2400), draws=5)
    assert result.deletion == pytest.approx(result.random, abs=0.05)
    assert result.insertion == pytest.approx(result.random, abs=0.05)


def test_the_predicted_class_is_that_of_the_whole_cloud():
    clouds = PointClouds(offsets([4]), {"features": torch.tensor([[0.1], [0.1], [0.1], [0.1]])})
    assert fidelity(mean_feature, clouds, torch.arange(4.0)).deletion == pytest.approx(0.9)
    assert fidelity(mean_feature, clouds, torch.arange(4.0), probability=False).deletion == pytest.approx(0.1)


def test_of_a_regression_the_change_counts_in_units_of_the_spread():
    """Against a loop: |f - f(whole cloud)| / spread, whichever way the prediction goes."""
    sizes, spread = [7, 1, 4, 10], 0.25
    clouds = clouds_of(sizes)
    importance = torch.randn(22, generator=torch.Generator().manual_seed(1))

    def predict(clouds):
        return 30 + mean_feature(clouds)

    result = fidelity(predict, clouds, importance, probability=False, spread=spread)
    for curve, sign in ((result.deletion_curve, -1), (result.insertion_curve, 1)):
        for fraction, height in zip(result.fractions, curve, strict=True):
            expected = []
            for a, b in zip(clouds.ptr[:-1].tolist(), clouds.ptr[1:].tolist(), strict=True):
                x, w = clouds["features"][a:b, 0].numpy(), importance[a:b].numpy()
                gone = min(math.floor(round(fraction * 10) * (b - a) / 10), b - a - 1)
                expected.append(abs(x[np.argsort(sign * w)][gone:].mean() - x.mean()) / spread)
            assert height == pytest.approx(np.mean(expected), abs=1e-4)
    assert result.deletion_curve[0] == result.insertion_curve[0] == 0
    assert result.deletion == pytest.approx(np.trapezoid(result.deletion_curve, result.fractions) / 0.9)
    wide = fidelity(predict, clouds, importance, probability=False, spread=10 * spread)
    assert wide.deletion == pytest.approx(result.deletion / 10)
    upside_down = fidelity(lambda c: -predict(c), clouds, importance, probability=False, spread=spread)
    assert upside_down.deletion == pytest.approx(result.deletion)


def test_of_a_regression_truth_changes_more_than_chance():
    clouds = clouds_of([20] * 30)
    clouds = clouds.replace(features=(clouds["features"] - 0.5) ** 3)
    important = clouds["features"][:, 0].abs()
    total = lambda c: torch.zeros(len(c)).index_add(0, c.batch, c["features"][:, 0])  # noqa: E731
    good, bad = (fidelity(total, clouds, sign * important, probability=False, spread=0.1) for sign in (1, -1))
    assert good.insertion < good.random < bad.insertion, "higher is worse: what stays should change nothing"


@pytest.mark.parametrize(("probability", "spread"), [(True, 1.0), (False, 0.0), (False, -1.0), (False, float("nan"))])
def test_a_spread_that_makes_no_sense_is_told(probability, spread):
    with pytest.raises(PellucidError, match="expected a positive spread, of predictions that are no probabilities"):
        fidelity(mean_feature, clouds_of([3]), torch.zeros(3), probability=probability, spread=spread)


def test_nothing_is_changed_and_one_point_always_stays():
    seen = []

    def predict(clouds):
        assert not torch.is_grad_enabled()
        seen.append(clouds.sizes.tolist())
        return mean_feature(clouds)

    clouds = clouds_of([1, 2, 8])
    before = clouds["features"].clone()
    fidelity(predict, clouds, torch.arange(11.0), fractions=(0, 0.5, 1))
    assert torch.equal(clouds["features"], before)
    assert seen[0] == [1, 2, 8]
    # two curves and three random ones; the cloud of one point loses none, and is not asked again
    assert sorted(map(tuple, seen[1:])) == sorted([(1, 4), (1, 1)] * 5)


def test_fractions_are_not_lost_to_rounding():
    seen = set()

    def predict(clouds):
        seen.add(int(clouds.sizes[0]))
        return mean_feature(clouds)

    fidelity(predict, clouds_of([100]), torch.arange(100.0), fractions=[0, 0.29, 0.57, 0.58])
    assert seen == {100, 71, 43, 42}


def test_chunks_do_not_matter_and_the_seed_decides():
    clouds, importance = clouds_of([5, 9, 3, 1, 6]), torch.zeros(24)
    one = fidelity(mean_feature, clouds, importance, seed=3)
    assert fidelity(mean_feature, clouds, importance, seed=3, chunk=2) == one
    assert fidelity(mean_feature, clouds, importance, seed=4) != one


def test_empty_clouds_and_none_at_all():
    clouds = clouds_of([0, 3, 0])
    assert fidelity(mean_feature, clouds, torch.arange(3.0)).clouds == 1
    nothing = fidelity(mean_feature, clouds_of([0, 0]), torch.zeros(0))
    assert math.isnan(nothing.deletion)
    assert math.isnan(nothing.as_dict()["insertion"]["random"])
    assert math.isnan(fidelity(mean_feature, clouds, torch.arange(3.0), draws=1).random_std)


def test_dictionary_and_single_metrics():
    clouds, importance = clouds_of([6, 4]), torch.arange(10.0)
    result = fidelity(mean_feature, clouds, importance)
    assert result.as_dict() == {"deletion": {"auc": result.deletion, "random": result.random},
                                "insertion": {"auc": result.insertion, "random": result.random}}
    assert deletion(mean_feature, clouds, importance) == result.deletion
    assert insertion(mean_feature, clouds, importance) == result.insertion
    assert metrics["fidelity.deletion"] is deletion


@pytest.mark.parametrize(("options", "message"), [
    ({"fractions": [0.5]}, "at least two increasing fractions"),
    ({"fractions": [0.5, 0.1]}, "at least two increasing fractions"),
    ({"fractions": [0, 1.5]}, "at least two increasing fractions"),
    ({"draws": 0}, "at least 1 draw"),
    ({"chunk": 0}, "1 cloud in a chunk"),
])
def test_options_out_of_range_are_told(options, message):
    with pytest.raises(PellucidError, match=message):
        fidelity(mean_feature, clouds_of([3]), torch.zeros(3), **options)


def test_other_mistakes_are_told():
    with pytest.raises(PellucidError, match=r"importance of shape \(3,\)"):
        fidelity(mean_feature, clouds_of([3]), torch.zeros(2))
    with pytest.raises(PellucidError, match=r"predictions of shape \(1,\), got \(1, 1\)"):
        fidelity(lambda c: mean_feature(c)[:, None], clouds_of([3]), torch.zeros(3))
