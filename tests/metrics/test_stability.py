import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged_cases import batches, by_cloud, mean, offsets
from scipy.stats import spearmanr

from pellucid.errors import PellucidError
from pellucid.metrics.stability import jaccard, rank_correlation


def repeated(values, draws, seed):
    """Draws around the values; rounded ones have ties, and some clouds may become constant."""
    noise = np.random.default_rng(seed).integers(-1, 2, (draws, len(values)))
    return torch.stack([values + torch.from_numpy(n).float() for n in noise])


@settings(deadline=None, derandomize=True)
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


@settings(deadline=None, derandomize=True)
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
