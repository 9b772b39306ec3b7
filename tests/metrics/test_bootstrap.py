import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pellucid.errors import PellucidError
from pellucid.metrics import bootstrap as module
from pellucid.metrics.bootstrap import Estimate, bootstrap, defined, estimate, interval

NAN = float("nan")


def scipy_interval(values, statistic=np.mean, *, level, draws, seed):
    result = stats.bootstrap((values,), statistic, method="percentile", confidence_level=level, n_resamples=draws,
                             rng=np.random.default_rng(seed))
    return tuple(result.confidence_interval)


@pytest.mark.parametrize(("n", "level", "draws", "seed"), [(2, 0.9, 50, 0), (30, 0.95, 999, 3), (160, 0.5, 1000, 1)])
def test_interval_is_scipys_with_the_same_resamples(n, level, draws, seed):
    values = np.random.default_rng(9).beta(2, 1, n)
    ours = interval(values, level=level, draws=draws, seed=seed)
    assert ours == pytest.approx(scipy_interval(values, level=level, draws=draws, seed=seed), abs=1e-12)


def test_interval_is_close_to_scipys_with_other_resamples():
    values = np.random.default_rng(1).normal(size=200)
    other = scipy_interval(values, level=0.95, draws=20000, seed=77)
    assert interval(values, draws=20000) == pytest.approx(other, abs=0.01)
    normal = stats.norm.interval(0.95, values.mean(), values.std() / math.sqrt(200))
    assert interval(values, draws=20000) == pytest.approx(normal, abs=0.01)


def test_any_statistic_against_scipy():
    values = np.random.default_rng(2).exponential(size=40)
    ours = bootstrap(lambda places: np.median(values[places], 1), 40, draws=500, seed=5)
    assert ours == pytest.approx(scipy_interval(values, np.median, level=0.95, draws=500, seed=5), abs=1e-12)


def test_blocks_do_not_change_what_is_drawn(monkeypatch):
    values = np.random.default_rng(3).random(23)
    whole = interval(values, draws=101, seed=2)
    for block in (1, 23 * 7, 10**9):
        monkeypatch.setattr(module, "BLOCK", block)
        assert interval(values, draws=101, seed=2) == whole
        assert bootstrap(lambda places: values[places].mean(1), 23, draws=101, seed=2, width=500) == whole


@given(st.lists(st.floats(-100, 100) | st.just(NAN), max_size=12), st.floats(0.1, 5), st.floats(-50, 50))
def test_interval_moves_with_the_values_and_ignores_undefined_ones(values, scale, shift):
    known = [v for v in values if not math.isnan(v)]
    low, high = interval(values, draws=60)
    if len(known) < 2:
        assert math.isnan(low)
        assert math.isnan(high)
        return
    assert min(known) - 1e-9 <= low <= high <= max(known) + 1e-9
    assert interval(known, draws=60) == (low, high)
    moved = interval([scale * v + shift for v in values], draws=60)
    assert moved == pytest.approx((scale * low + shift, scale * high + shift), abs=1e-9)
    inner = interval(values, draws=60, level=0.5)
    assert low <= inner[0] <= inner[1] <= high


def test_undefined_resamples_are_left_out():
    def statistic(places):
        return np.where(places[:, 0] == 0, NAN, places[:, 0])

    low, high = bootstrap(statistic, 3, draws=200)
    assert (low, high) == (1.0, 2.0)
    assert all(math.isnan(end) for end in bootstrap(lambda places: np.full(len(places), NAN), 3))


def test_estimates():
    values = torch.tensor([0.5, NAN, 1.0, 0.0], dtype=torch.float64)
    result = estimate(values, torch.tensor([0.1, 0.9, 0.2, 0.3]), draws=100, seed=1)
    assert (result.value, result.random) == (pytest.approx(0.5), pytest.approx(0.2))
    assert (result.low, result.high) == interval([0.5, 1.0, 0.0], draws=100, seed=1)
    assert estimate(values, 0.4).random == 0.4
    assert result.as_dict() == {"value": result.value, "low": result.low, "high": result.high, "random": result.random}
    assert list(Estimate(1, 2, 3, 4).as_dict()) == ["value", "low", "high", "random"]
    for nothing in ([], [NAN]):
        assert all(math.isnan(v) for v in estimate(nothing, 0.5).as_dict().values())
    one = estimate([0.5], 0.25)
    assert (one.value, one.random) == (0.5, 0.25)
    assert math.isnan(one.low)  # one cloud says nothing of others
    assert defined(values).tolist() == [0.5, 1.0, 0.0]


@pytest.mark.parametrize(("values", "options", "message"), [
    ([[0.1, 0.2]], {}, r"values of shape \(clouds,\)"),
    ([0.1, math.inf], {}, "with 1 infinite"),
    ([0.1, 0.2], {"level": 1.0}, r"level in \(0, 1\)"),
    ([0.1, 0.2], {"level": 95}, r"level in \(0, 1\)"),
    ([0.1, 0.2], {"draws": 0}, "at least 1 draw"),
])
def test_mistakes_are_told(values, options, message):
    with pytest.raises(PellucidError, match=message):
        interval(values, **options)
