"""Shapley values against all subsets, and against the axioms that define them."""

import itertools
import math

import pytest
import torch
from explaining import ByHand, tiny_clouds, tiny_model, total
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explainers import explainers

NUMBERS = st.floats(-10, 10, allow_nan=False, width=32)


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def exact(value, count):
    """Shapley values of a game: ``value(tuple of players)``."""
    games = {s: value(s) for n in range(count + 1) for s in itertools.combinations(range(count), n)}
    values = []
    for player in range(count):
        others = [p for p in range(count) if p != player]
        values.append(sum((games[tuple(sorted((*s, player)))] - games[s]) / (count * math.comb(count - 1, n))
                          for n in range(count) for s in itertools.combinations(others, n)))
    return torch.tensor(values, dtype=torch.float64)


def game(table):
    """A model whose logit is the entry of a table for the set of points that are there, and the one cloud of it."""
    count = int(math.log2(len(table)))
    table = torch.as_tensor(table, dtype=torch.float64)
    model = ByHand(lambda pos, inputs, clouds: table[total(inputs[:, 0], clouds).long()])
    bits = torch.stack([2.0 ** torch.arange(count, dtype=torch.float64), torch.zeros(count)], 1)
    return model, PointClouds(torch.tensor([0, count]), {
        "pos": torch.randn(count, 3, generator=torch.Generator().manual_seed(0)).double(), "features": bits})


def explained(table, permutations=8, tolerance=0.0, seed=0):
    model, clouds = game(table)
    return explainers["shapley"](permutations, tolerance).explain(model, clouds, seed=seed)


def tables(count):
    return st.lists(NUMBERS, min_size=2**count, max_size=2**count)


@pytest.mark.parametrize("backbone", ["egnn", "dgcnn"])
def test_it_equals_all_subsets_within_its_error(backbone):
    clouds, model = tiny_clouds((8, 5, 1, 2)), tiny_model(backbone=backbone)
    got = explainers["shapley"](permutations=1600, tolerance=0.0).explain(model, clouds)
    for i in range(4):
        one = clouds.select(torch.tensor([i]))

        def value(players, one=one):
            some = one.keep_points(torch.isin(torch.arange(one.points), torch.tensor(players, dtype=torch.int64)))
            with torch.no_grad():
                return float(model.logits(some, model.neighbors(some)))

        rows = slice(int(clouds.ptr[i]), int(clouds.ptr[i + 1]))
        error = got.columns["std_error"][rows]
        off = (got.importance[rows] - exact(value, one.points)).abs()
        assert bool((off <= 4 * error + 1e-12).all())
        if one.points <= 2:
            assert float(error.max()) < 1e-12
        else:
            assert float(off.max()) < 0.05 * float(got.importance[rows].max() - got.importance[rows].min())


def test_the_error_is_neither_too_small_nor_too_large():
    table = torch.randn(2**6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    truth = exact(lambda s: float(table[sum(2**p for p in s)]), 6)
    runs = [explained(table, permutations=40, seed=seed) for seed in range(60)]
    z = torch.stack([(run.importance - truth) / run.columns["std_error"] for run in runs])
    assert abs(float(z.mean())) < 4 / math.sqrt(60 * 5)
    assert 0.8 < float(z.std()) < 1.3


def test_an_additive_model_is_exact_and_done_at_once():
    clouds = tiny_clouds((5, 1, 8))
    own = torch.sin(3 * clouds["features"].sum(1)) + clouds.pos.prod(1)
    model = ByHand(lambda pos, inputs, c: 7 + total(torch.sin(3 * inputs.sum(1)) + pos.prod(1), c))
    got = explainers["shapley"](permutations=400, tolerance=0.0).explain(model, clouds)
    close(got.importance, own)
    assert float(got.columns["std_error"].max()) < 1e-12
    assert got.provenance["converged"] == [True] * 3
    assert got.provenance["permutations"] == [16] * 3


@settings(max_examples=25)
@given(tables(4), st.integers(0, 100))
def test_efficiency(table, seed):
    got = explained(table, seed=seed)
    close(got.importance.sum(), torch.tensor(table[-1] - table[0], dtype=torch.float64), 1e-9)
    assert got.provenance["efficiency_gap"][0] == pytest.approx(0, abs=1e-9)


@settings(max_examples=25)
@given(tables(3), NUMBERS, st.integers(0, 100))
def test_a_dummy_gets_its_own_value_in_every_sample(table, alone, seed):
    got = explained([*table, *(v + alone for v in table)], seed=seed)
    assert float(got.importance[3]) == pytest.approx(alone, abs=1e-5)
    assert float(got.columns["std_error"][3]) == pytest.approx(0, abs=1e-5)


@settings(max_examples=15)
@given(tables(5))
def test_symmetric_points_get_the_same(table):
    """Points 0 and 1 are exchangeable: what matters is how many of them are there."""
    table = [table[s if s % 4 != 1 else s + 1] for s in range(32)]
    got = explained(table, permutations=200)
    off = abs(float(got.importance[0] - got.importance[1]))
    assert off <= 6 * float(got.columns["std_error"][:2].square().sum().sqrt()) + 1e-9


@settings(max_examples=25)
@given(tables(3), tables(3), st.integers(0, 100))
def test_values_of_a_sum_of_games_are_the_sum_of_the_values(one, other, seed):
    both = explained([a + b for a, b in zip(one, other, strict=True)], seed=seed)
    close(both.importance, explained(one, seed=seed).importance + explained(other, seed=seed).importance, 1e-9)


def test_a_cloud_that_has_converged_stops():
    clouds, model = tiny_clouds((8, 6, 9, 3)), tiny_model()
    explain = {t: explainers["shapley"](400, t).explain(model, clouds) for t in (0.0, 0.03, 0.3)}
    used = {t: torch.tensor(e.provenance["permutations"]) for t, e in explain.items()}
    assert used[0.0].tolist() == [400] * 4
    assert explain[0.0].provenance["converged"] == [False] * 4
    assert bool((used[0.3] <= used[0.03]).all())
    assert len(used[0.03].unique()) > 1, "each cloud for itself"
    assert int(used[0.3].max()) < 400
    for tolerance in (0.03, 0.3):
        facts = explain[tolerance].provenance
        for i in range(4):
            rows = slice(int(clouds.ptr[i]), int(clouds.ptr[i + 1]))
            values, error = explain[tolerance].importance[rows], explain[tolerance].columns["std_error"][rows]
            assert facts["max_std_error"][i] == pytest.approx(float(error.max()))
            met = float(error.max()) <= tolerance * float(values.max() - values.min())
            assert facts["converged"][i] == met
            assert met or facts["permutations"][i] == 400


def test_permutations_that_are_left_are_used_up():
    got = explained(torch.randn(16, generator=torch.Generator().manual_seed(0)).tolist(), permutations=22)
    assert got.provenance["permutations"] == [22]


def test_mean_and_error_are_those_of_all_pairs(monkeypatch):
    """Joined round by round, they are as if computed in one go."""
    table = torch.randn(2**5, generator=torch.Generator().manual_seed(2)).tolist()
    rounds = explained(table, permutations=44)
    monkeypatch.setattr("pellucid.explainers.shapley._ROUND", 22)
    once = explained(table, permutations=44)
    close(once.importance, rounds.importance)
    close(once.columns["std_error"], rounds.columns["std_error"])


@pytest.mark.parametrize(("options", "said"), [
    ({"permutations": 7}, "an even number of permutations, at least 4, got 7"), ({"permutations": 2}, "got 2"),
    ({"tolerance": -0.1}, "a tolerance of at least 0, got -0.1"), ({"tolerance": math.nan}, "got nan")])
def test_bad_options_are_refused(options, said):
    with pytest.raises(PellucidError, match=said):
        explainers["shapley"](**options)
