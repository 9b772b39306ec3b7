import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged_cases import batches, by_cloud, mean, offsets
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from pellucid.errors import PellucidError
from pellucid.metrics import metrics
from pellucid.metrics.interpretation import adjusted_roc_auc, per_cloud_roc_auc, pooled_roc_auc, precision_at
from pellucid.metrics.ragged import average_ranks, sums, top

ALL = [pooled_roc_auc, per_cloud_roc_auc, lambda *a, **k: precision_at(*a, 2, **k)]


def expected_precision(values, truth, m):
    """The mean over all orders of the points, taken literally."""
    shares = []
    for order in itertools.permutations(range(len(values))):
        taken = sorted(order, key=lambda i: -values[i])[:m]  # stable: ties keep the order of the permutation
        shares.append(np.mean([truth[i] for i in taken]))
    return np.mean(shares)


@given(batches())
def test_roc_auc_against_scikit_learn(batch):
    values, truth, ptr, clouds = batch
    parts = list(by_cloud(ptr, clouds, values, truth))
    pooled = [np.concatenate([np.zeros(0), *(p[j] for p in parts)]) for j in (0, 1)]
    both = pooled[1].any() and not pooled[1].all()
    reference = roc_auc_score(pooled[1], pooled[0]) if both else math.nan
    assert pooled_roc_auc(values, truth, ptr, clouds=clouds) == pytest.approx(reference, nan_ok=True)
    areas = [roc_auc_score(t, v) for v, t in parts if t.any() and not t.all()]
    assert per_cloud_roc_auc(values, truth, ptr, clouds=clouds) == pytest.approx(mean(areas), nan_ok=True)


@given(batches(), st.integers(1, 4), st.integers(0, 99))
def test_adjusted_roc_auc_counts_pairs_of_one_stratum(batch, strata, seed):
    values, truth, ptr, clouds = batch
    by = torch.randint(0, 4, values.shape, generator=torch.Generator().manual_seed(seed)).double()
    shares = []
    for v, t, b in by_cloud(ptr, clouds, values, truth, by):
        stratum = np.empty(len(v), dtype=int)
        stratum[np.argsort(b, kind="stable")] = np.arange(len(v)) * strata // max(len(v), 1)
        pairs = [(v[i] > v[j]) + 0.5 * (v[i] == v[j]) for i in np.flatnonzero(t) for j in np.flatnonzero(~t)
                 if stratum[i] == stratum[j]]
        shares += [np.mean(pairs)] if pairs else []
    got = adjusted_roc_auc(values, truth, ptr, by, strata=strata, clouds=clouds)
    assert got == pytest.approx(mean(shares), nan_ok=True)
    if strata == 1:
        assert got == pytest.approx(per_cloud_roc_auc(values, truth, ptr, clouds=clouds), nan_ok=True)


def test_adjusted_roc_auc_sees_through_a_covariate():
    generator = torch.Generator().manual_seed(0)
    by = torch.rand(4000, generator=generator)
    truth = by + 0.3 * torch.rand(4000, generator=generator) > 0.6
    ptr = torch.tensor([0, 2000, 4000])
    assert per_cloud_roc_auc(by, truth, ptr) > 0.9
    noise = by + torch.rand(4000, generator=generator)  # knows the covariate alone
    assert per_cloud_roc_auc(noise, truth, ptr) > 0.7
    assert adjusted_roc_auc(noise, truth, ptr, by, strata=50) == pytest.approx(0.5, abs=0.06)
    assert metrics["interpretation.roc_auc_adjusted"] is adjusted_roc_auc
    with pytest.raises(PellucidError, match="at least 1 stratum, got 0"):
        adjusted_roc_auc(by, truth, ptr, by, strata=0)


@settings(max_examples=25)
@given(batches())
def test_precision_is_the_expectation_over_random_tie_breaking(batch):
    values, truth, ptr, clouds = batch
    if int(ptr.diff().max() if len(ptr) > 1 else 0) > 6:  # 6! orders at most
        values, truth, ptr, clouds = values[:6], truth[:6], offsets([min(6, len(values))]), None
    for m in (1, 2, 5):
        shares = [expected_precision(v, t, m) for v, t in by_cloud(ptr, clouds, values, truth) if 0 < t.sum() < len(t)]
        assert precision_at(values, truth, ptr, m, clouds=clouds) == pytest.approx(mean(shares), nan_ok=True)


@given(batches())
def test_ranks_and_sums_against_scipy(batch):
    values, truth, ptr, _ = batch
    ranks = average_ranks(values, ptr)
    for v, r in by_cloud(ptr, None, values, ranks):
        assert r.tolist() == rankdata(v).tolist()
    assert sums(truth, ptr).tolist() == [t.sum() for (t,) in by_cloud(ptr, None, truth)]
    taken = sums(top(values, ptr, 3), ptr)
    torch.testing.assert_close(taken, ptr.diff().clamp(max=3).double())


def test_by_hand():
    importance = torch.tensor([0.9, 0.8, 0.1, 0.2, 0.3])
    important = torch.tensor([True, False, True, False, True])
    ptr = offsets([3, 2])
    assert per_cloud_roc_auc(importance, important, ptr) == pytest.approx((0.5 + 1.0) / 2)
    assert pooled_roc_auc(importance, important, ptr) == pytest.approx(3 / 6)
    assert precision_at(importance, important, ptr, 2) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert precision_at(importance, important, ptr, 1) == 1.0


def test_fewer_than_m_points_are_all_taken():
    assert precision_at(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, False, True]), offsets([3]), 8) == (
        pytest.approx(2 / 3))


def test_constant_importance_scores_as_chance():
    truth = torch.tensor([True, False, False, False, True, False])
    for sizes in ([6], [4, 2]):
        values, ptr = torch.full((6,), -7.0), offsets(sizes)
        assert pooled_roc_auc(values, truth, ptr) == per_cloud_roc_auc(values, truth, ptr) == 0.5
    assert precision_at(torch.zeros(6), truth, offsets([6]), 3) == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", ALL)
def test_undefined_is_nan(metric):
    nothing = torch.zeros(0)
    assert math.isnan(metric(nothing, nothing.bool(), offsets([])))
    assert math.isnan(metric(nothing, nothing.bool(), offsets([0, 0])))
    for truth in ([True], [False]):  # one point
        assert math.isnan(metric(torch.ones(1), torch.tensor(truth), offsets([1])))
    for value in (True, False):  # one class
        assert math.isnan(metric(torch.arange(3.0), torch.full((3,), value), offsets([1, 2])))
    both = torch.tensor([True, False])
    assert math.isnan(metric(torch.arange(2.0), both, offsets([2]), clouds=torch.tensor([False])))


def test_one_point_clouds_still_pool():
    assert pooled_roc_auc(torch.tensor([0.1, 0.2]), torch.tensor([False, True]), offsets([1, 1])) == 1.0


def test_order_of_points_does_not_matter():
    random = np.random.default_rng(0)
    values, truth = torch.from_numpy(random.integers(0, 3, 40)).float(), torch.from_numpy(random.random(40) < 0.3)
    order = torch.from_numpy(random.permutation(40))
    for metric in ALL:
        assert metric(values, truth, offsets([40])) == pytest.approx(metric(values[order], truth[order], offsets([40])))


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize(("importance", "important", "clouds", "message"), [
    (torch.zeros(2), torch.ones(3, dtype=torch.bool), None, r"importance of shape \(3,\)"),
    (torch.zeros(3, 1), torch.ones(3, dtype=torch.bool), None, r"importance of shape \(3,\)"),
    (torch.tensor([0.0, torch.nan, 1.0]), torch.ones(3, dtype=torch.bool), None, "finite importance"),
    (torch.zeros(3), torch.ones(2, dtype=torch.bool), None, "ground truth of shape"),
    (torch.zeros(3), torch.ones(3), None, "ground truth of shape"),
    (torch.zeros(3), torch.ones(3, dtype=torch.bool), torch.tensor([True, False]), r"mask of shape \(1,\)"),
    (torch.zeros(3), torch.ones(3, dtype=torch.bool), torch.tensor([1]), r"mask of shape \(1,\)"),
])
def test_mistakes_are_told(metric, importance, important, clouds, message):
    with pytest.raises(PellucidError, match=message):
        metric(importance, important, offsets([3]), clouds=clouds)


def test_m_of_nothing_is_told():
    with pytest.raises(PellucidError, match="m of at least 1, got 0"):
        precision_at(torch.zeros(2), torch.tensor([True, False]), offsets([2]), 0)
