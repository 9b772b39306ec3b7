import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from ragged_cases import batches, offsets
from sklearn.metrics import roc_auc_score

from pellucid.errors import PellucidError
from pellucid.metrics import bootstrap as module
from pellucid.metrics.bootstrap import interval
from pellucid.metrics.groups import group_precision_at
from pellucid.metrics.interpretation import (
    per_cloud_roc_auc,
    pooled_roc_auc,
    precision_at,
    precision_values,
    roc_auc_values,
)
from pellucid.metrics.interpretation_estimates import interpretation_estimates, pooled_roc_auc_interval


def case(sizes, seed=0, ties=True):
    random = np.random.default_rng(seed)
    n = sum(sizes)
    truth = random.random(n) < 0.3
    values = random.normal(size=n) + truth
    return torch.from_numpy(np.round(values) if ties else values), torch.from_numpy(truth), offsets(sizes)


@settings(max_examples=30)
@given(batches())
def test_pooled_interval_against_scikit_learn_on_the_same_resamples(batch):
    values, truth, ptr, clouds = batch
    chosen = [i for i in range(len(ptr) - 1) if clouds is None or clouds[i]]
    ends = ptr.tolist()
    areas = []
    places = np.random.default_rng(4).integers(0, max(len(chosen), 1), (40, len(chosen)))
    for row in places:
        points = np.concatenate([np.zeros(0, int), *(np.arange(ends[chosen[i]], ends[chosen[i] + 1]) for i in row)])
        t, v = truth.numpy()[points], values.numpy()[points]
        areas += [roc_auc_score(t, v)] if t.any() and not t.all() else []
    reference = np.quantile(areas, [0.05, 0.95]).tolist() if areas and len(chosen) > 1 else [math.nan] * 2
    ours = pooled_roc_auc_interval(values, truth, ptr, clouds=clouds, level=0.9, draws=40, seed=4)
    assert list(ours) == pytest.approx(reference, nan_ok=True)


def test_pooled_interval_holds_the_value_and_blocks_do_not_matter(monkeypatch):
    values, truth, ptr = case([21] * 40)
    low, high = pooled_roc_auc_interval(values, truth, ptr, draws=300)
    assert low < pooled_roc_auc(values, truth, ptr) < high
    assert 0.02 < high - low < 0.2
    monkeypatch.setattr(module, "BLOCK", 5000)
    assert pooled_roc_auc_interval(values, truth, ptr, draws=300) == (low, high)


def test_clouds_are_drawn_not_points():
    """One cloud repeated: its points tell no more than it does."""
    values, truth, _ = case([30], ties=False)
    low, high = pooled_roc_auc_interval(values.repeat(8), truth.repeat(8), offsets([30] * 8), draws=50)
    assert low == pytest.approx(high) == pytest.approx(pooled_roc_auc(values, truth, offsets([30])))


@settings(max_examples=30)
@given(batches())
def test_estimates_are_the_metrics_with_exact_baselines(batch):
    values, truth, ptr, clouds = batch
    group = torch.arange(len(values)) % 3
    result = interpretation_estimates(values, truth, ptr, m=(1, 3), group=group, clouds=clouds, draws=20, seed=1)
    assert list(result) == ["roc_auc", "roc_auc_per_cloud", "precision@1", "precision@3", "group_precision@1"]
    nothing = torch.zeros(len(values))  # ties are broken at random: what a random ranking is expected to find
    functions = {"roc_auc": pooled_roc_auc, "roc_auc_per_cloud": per_cloud_roc_auc,
                 "precision@1": lambda v, t, p, **k: precision_at(v, t, p, 1, **k),
                 "precision@3": lambda v, t, p, **k: precision_at(v, t, p, 3, **k),
                 "group_precision@1": lambda v, t, p, **k: group_precision_at(v, t, group, p, 1, **k)}
    for name, function in functions.items():
        assert result[name].value == pytest.approx(function(values, truth, ptr, clouds=clouds), nan_ok=True)
        assert result[name].random == pytest.approx(function(nothing, truth, ptr, clouds=clouds), nan_ok=True)
    each = roc_auc_values(values, truth, ptr, clouds=clouds)
    assert (result["roc_auc_per_cloud"].low, result["roc_auc_per_cloud"].high) == (
        pytest.approx(interval(each, draws=20, seed=1), nan_ok=True))


def test_the_baseline_is_that_of_random_rankings():
    _, truth, ptr = case([21] * 30)
    random = torch.Generator().manual_seed(0)
    drawn = [precision_at(torch.rand(630, generator=random), truth, ptr, 5) for _ in range(200)]
    result = interpretation_estimates(torch.rand(630, generator=random), truth, ptr, draws=200)
    assert result["precision@5"].random == pytest.approx(np.mean(drawn), abs=0.01)
    assert result["precision@5"].low < result["precision@5"].random < result["precision@5"].high


def test_values_per_cloud():
    values, truth = torch.tensor([3.0, 2.0, 1.0, 1.0]), torch.tensor([True, False, True, True])
    ptr = offsets([3, 1, 0])
    assert roc_auc_values(values, truth, ptr).tolist() == pytest.approx([0.5, math.nan, math.nan], nan_ok=True)
    assert precision_values(values, truth, ptr, 2).tolist() == pytest.approx([0.5, math.nan, math.nan], nan_ok=True)
    none = torch.zeros(3, dtype=torch.bool)
    assert bool(roc_auc_values(values, truth, ptr, clouds=none).isnan().all())


@pytest.mark.parametrize(("options", "message"), [({"level": 0}, "level in"), ({"draws": 0}, "at least 1 draw"),
                                                  ({"m": (0,)}, "m of at least 1")])
def test_options_out_of_range_are_told(options, message):
    with pytest.raises(PellucidError, match=message):
        interpretation_estimates(*case([5, 5]), **options)


def test_shapes_that_do_not_fit_are_told():
    values, truth, ptr = case([5, 5])
    with pytest.raises(PellucidError, match="ground truth of shape"):
        pooled_roc_auc_interval(values, truth.float(), ptr)
    with pytest.raises(PellucidError, match=r"importance of shape \(10,\)"):
        pooled_roc_auc_interval(values[1:], truth, ptr)
