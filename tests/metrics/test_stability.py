import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged_cases import batches, by_cloud, mean, offsets
from scipy.stats import hypergeom, spearmanr

from pellucid.errors import PellucidError
from pellucid.metrics.bootstrap import interval
from pellucid.metrics.stability import (
    across_seeds,
    expected_jaccard,
    jaccard,
    jaccard_values,
    rank_correlation,
    rank_correlation_values,
)


def repeated(values, draws, seed):
    """Draws around the values; rounded ones have ties, and some clouds may become constant."""
    noise = np.random.default_rng(seed).integers(-1, 2, (draws, len(values)))
    return torch.stack([values + torch.from_numpy(n).float() for n in noise])


@given(batch=batches(), draws=st.integers(2, 4), seed=st.integers(0, 99))
def test_rank_correlation_against_scipy(batch, draws, seed):
    values, _, ptr, clouds = batch
    importances = repeated(values, draws, seed)
    reference = []
    for (v,) in by_cloud(ptr, clouds, importances):
        varied = [d for d in v if len(d) and (d != d[0]).any()]
        pairs = [spearmanr(a, b).statistic for i, a in enumerate(varied) for b in varied[:i]]
        reference += [np.mean(pairs)] if pairs else []
    assert rank_correlation(importances, ptr, clouds=clouds) == pytest.approx(mean(reference), nan_ok=True)


@given(batch=batches(), draws=st.integers(2, 4), m=st.integers(1, 4), seed=st.integers(0, 99))
def test_jaccard_against_sets(batch, draws, m, seed):
    values, _, ptr, clouds = batch
    noise = np.random.default_rng(seed).normal(size=(draws, len(values)))
    importances = values + torch.from_numpy(noise)  # no ties
    reference = []
    for (v,) in by_cloud(ptr, clouds, importances):
        if v.shape[1] > m:
            tops = [set(np.argsort(-d)[:m].tolist()) for d in v]
            reference.append(np.mean([len(a & b) / len(a | b) for i, a in enumerate(tops) for b in tops[:i]]))
    assert jaccard(importances, ptr, m, clouds=clouds) == pytest.approx(mean(reference), nan_ok=True)


def test_same_opposite_and_tied():
    up = torch.arange(5.0)
    assert rank_correlation(torch.stack([up, up * 3]), offsets([5])) == pytest.approx(1.0)
    assert rank_correlation(torch.stack([up, -up]), offsets([5])) == pytest.approx(-1.0)
    assert jaccard(torch.stack([up, up * 3]), offsets([5]), 2) == 1.0
    assert jaccard(torch.stack([up, -up]), offsets([5]), 2) == 0.0
    assert jaccard(torch.zeros(2, 5), offsets([5]), 2) == 1.0
    # one draw is sure of the first two of four points, the other of none: sum min = 1, sum max = 3
    assert jaccard(torch.tensor([[2.0, 2.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]), offsets([4]), 2) == pytest.approx(1 / 3)


def test_undefined_is_nan():
    for values, sizes in ((torch.zeros(2, 0), []), (torch.zeros(2, 0), [0]), (torch.ones(2, 2), [1, 1])):
        assert math.isnan(rank_correlation(values, offsets(sizes)))
        assert math.isnan(jaccard(values, offsets(sizes), 1))
    assert math.isnan(rank_correlation(torch.ones(3, 4), offsets([4])))
    assert math.isnan(jaccard(torch.rand(2, 3), offsets([3]), 3))


@pytest.mark.parametrize("values", [torch.zeros(3), torch.zeros(1, 3)])
def test_one_draw_is_too_few(values):
    with pytest.raises(PellucidError, match="at least two draws"):
        rank_correlation(values, offsets([3]))
    with pytest.raises(PellucidError, match="at least two draws"):
        jaccard(values, offsets([3]), 1)


def test_wrong_number_of_points():
    with pytest.raises(PellucidError, match=r"importance of shape \(3,\)"):
        rank_correlation(torch.zeros(2, 4), offsets([3]))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (4, 2), (5, 3), (21, 5), (21, 8), (500, 200)])
def test_expected_jaccard_against_scipy(n, m):
    k = np.arange(m + 1)
    assert expected_jaccard(n, m) == pytest.approx(float((hypergeom(n, m, m).pmf(k) * k / (2 * m - k)).sum()))


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60))
def test_expected_jaccard_grows_with_the_share_of_points(n, m):
    value = expected_jaccard(n, m)
    assert 0 < value <= 1
    assert (value == 1) == (m >= n)
    assert expected_jaccard(n + 1, m) <= value + 1e-12
    assert expected_jaccard(n, m + 1) >= value - 1e-12


def test_expected_jaccard_by_simulation_and_of_nothing():
    random = torch.rand(6, 20 * 3000, generator=torch.Generator().manual_seed(0))
    assert jaccard(random, offsets([20] * 3000), 6) == pytest.approx(expected_jaccard(20, 6), abs=0.002)
    assert math.isnan(expected_jaccard(0, 3))
    assert 0 < expected_jaccard(5000, 1000) < 1
    for n, m in ((3, 0), (-1, 1)):
        with pytest.raises(PellucidError, match="m of at least 1"):
            expected_jaccard(n, m)


@settings(max_examples=30)
@given(batch=batches(), seeds=st.integers(2, 4), m=st.integers(1, 3))
def test_across_seeds_is_the_metrics_with_intervals_and_baselines(batch, seeds, m):
    values, _, ptr, clouds = batch
    importances = repeated(values, seeds, 5)
    result = across_seeds(importances, ptr, m, clouds=clouds, level=0.8, draws=30, seed=2)
    correlation, overlap = result["rank_correlation"], result[f"jaccard@{m}"]
    assert correlation.value == pytest.approx(rank_correlation(importances, ptr, clouds=clouds), nan_ok=True)
    assert overlap.value == pytest.approx(jaccard(importances, ptr, m, clouds=clouds), nan_ok=True)
    each = jaccard_values(importances, ptr, m, clouds=clouds)
    assert (overlap.low, overlap.high) == pytest.approx(interval(each, level=0.8, draws=30, seed=2), nan_ok=True)
    counted = ~each.isnan()
    chance = [expected_jaccard(n, m) for n in ptr.diff()[counted].tolist()]
    assert overlap.random == pytest.approx(mean(chance), nan_ok=True)
    assert bool((rank_correlation_values(importances, ptr, clouds=clouds).isnan() | (ptr.diff() > 1)).all())
    assert math.isnan(correlation.value) or correlation.random == 0


def test_independent_seeds_are_like_the_baseline():
    importances = torch.rand(4, 15 * 100, generator=torch.Generator().manual_seed(3))
    for estimate in across_seeds(importances, offsets([15] * 100), 4).values():
        assert estimate.low - 0.01 < estimate.random < estimate.high + 0.01
        assert estimate.value == pytest.approx(estimate.random, abs=0.03)
