import math

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from pellucid.errors import PellucidError
from pellucid.metrics.regression import mae, r2, rmse, rmse_one_sided, spearman

NAN = float("nan")
ALL = [rmse, mae, r2, spearman]


def test_against_formulas_with_missing_targets():
    random = np.random.default_rng(0)
    y, p = random.normal(size=50), np.round(random.normal(size=50), 1)  # rounded: ties
    holes = y.copy()
    holes[::7] = NAN
    y, q = y[~np.isnan(holes)], p[~np.isnan(holes)]
    assert rmse(holes, p) == pytest.approx(np.linalg.norm(y - q) / len(y) ** 0.5)
    assert mae(torch.tensor(holes), torch.tensor(p)) == pytest.approx(np.abs(y - q).mean())
    assert r2(holes, p) == pytest.approx(1 - ((y - q) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    assert spearman(holes, p) == pytest.approx(np.corrcoef(rankdata(y), rankdata(q))[0, 1])


@pytest.mark.parametrize("metric", ALL)
def test_nothing_known_is_undefined(metric):
    assert math.isnan(metric([], []))
    assert math.isnan(metric([NAN], [1.0]))


def test_constant_values():
    assert math.isnan(r2([1.0, 1.0], [1.0, 2.0]))
    assert math.isnan(r2([1.0], [1.0]))
    assert r2([0.0, 2.0], [1.0, 1.0]) == 0.0
    assert math.isnan(spearman([1.0, 1.0], [1.0, 2.0]))
    assert math.isnan(spearman([1.0, 2.0], [3.0, 3.0]))
    assert rmse([2.0], [2.0]) == mae([2.0], [2.0]) == 0.0


@pytest.mark.parametrize("metric", ALL)
def test_mistakes_are_told(metric):
    with pytest.raises(PellucidError, match="expected targets of shape"):
        metric([1.0, 2.0], [1.0])
    with pytest.raises(PellucidError, match=r"expected predictions of shape \(n,\)"):
        metric([1.0, 2.0], [[1.0], [2.0]])
    with pytest.raises(PellucidError, match="expected finite predictions"):
        metric([1.0, 2.0], [1.0, float("inf")])


def test_one_sided_error_by_hand():
    y, p = [1.0, 1.0, NAN, 1.0, 1.0, 1.0], [4.0, -1.0, 9.0, 4.0, -1.0, 1.5]
    bounds = [1, 1, 1, -1, -1, 0]
    assert rmse_one_sided(y, p, bounds) == pytest.approx(((2**2 + 3**2 + 0.5**2) / 5) ** 0.5)
    assert rmse_one_sided(y, p, [0] * 6) == rmse(y, p)
    assert math.isnan(rmse_one_sided([NAN], [1.0], [0]))
    with pytest.raises(PellucidError, match="expected censored of the shape of the targets"):
        rmse_one_sided(y, p, [0])
