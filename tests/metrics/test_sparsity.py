import math

import numpy as np
import pytest
import torch
from hypothesis import given
from ragged_cases import batches, by_cloud, mean, offsets

from pellucid.errors import PellucidError
from pellucid.metrics.sparsity import gini


def pairwise(values):
    """The definition: mean absolute difference of all pairs over the mean, twice."""
    w = values.astype(np.float64)
    w = (w - w.min()) / (w.max() - w.min()) if w.max() > w.min() else np.zeros_like(w)
    n = len(w)
    return np.abs(w[:, None] - w[None]).sum() / (2 * (n * n - n) * w.mean()) if w.any() else 0.0


@given(batches())
def test_against_all_pairs(batch):
    values, _, ptr, clouds = batch
    reference = [pairwise(v) for (v,) in by_cloud(ptr, clouds, values) if len(v) > 1]
    assert gini(values, ptr, clouds=clouds) == pytest.approx(mean(reference), nan_ok=True)


def test_by_hand():
    assert gini(torch.tensor([0.0, 0.0, 5.0]), offsets([3])) == 1.0
    assert gini(torch.tensor([0.0, 1.0, 1.0]), offsets([3])) == pytest.approx(0.5)
    assert gini(torch.tensor([0.0, 0.5, 1.0]), offsets([3])) == pytest.approx(2 / 3)
    assert gini(torch.tensor([1.0, 2.0]), offsets([2])) == 1.0


def test_scale_shift_and_sign_of_the_method_do_not_matter():
    values = torch.randn(30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ptr = offsets([10, 20])
    for other in (values * 100, values - 50, values * 1e300, values * 1e-300):
        assert gini(other, ptr) == pytest.approx(gini(values, ptr), abs=1e-6)


def test_constant_zero_empty_and_one_point():
    assert gini(torch.zeros(4), offsets([4])) == gini(torch.full((4,), -3.0), offsets([4])) == 0.0
    assert math.isnan(gini(torch.zeros(0), offsets([])))
    assert math.isnan(gini(torch.zeros(0), offsets([0])))
    assert math.isnan(gini(torch.ones(2), offsets([1, 1])))
    assert gini(torch.tensor([5.0, 0.0, 0.0, 1.0]), offsets([1, 3, 0])) == 1.0


def test_mistakes_are_told():
    with pytest.raises(PellucidError, match="finite importance"):
        gini(torch.tensor([torch.inf]), offsets([1]))
