"""Ensembles against hand computation and SciPy; draws; the sentence."""

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr, zscore

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.explanations.ensemble import agreement, draws, ensemble
from pellucid.metrics.stability import jaccard
from pellucid.targets import Target, Targets


def clouds_of(sizes):
    points = sum(sizes)
    pos = torch.arange(3.0 * points).reshape(points, 3)
    names = [f"c{i}" for i in range(len(sizes))]
    return PointClouds(torch.tensor([0, *sizes]).cumsum(0), {"pos": pos}, text={"id": names})


def members_of(values, sizes, **changes):
    """One explanation a row of ``values``."""
    clouds = clouds_of(sizes)
    return [Explanation(clouds, torch.full((len(sizes), 1), 0.1 * k), torch.as_tensor(row).double(), **changes)
            for k, row in enumerate(values)]


@st.composite
def cases(draw, ties=True):
    sizes = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    count = draw(st.integers(2, 5))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    shape = (count, sum(sizes))
    return sizes, random.integers(0, 4, shape).astype(float) if ties else random.normal(size=shape)


def by_cloud(sizes):
    ends = np.cumsum([0, *sizes])
    return [slice(a, b) for a, b in itertools.pairwise(ends) if b > a]


@given(case=cases())
def test_ranks_spread_and_stability_against_scipy(case):
    sizes, values = case
    e = ensemble(members_of(values, sizes))
    for rows in by_cloud(sizes):
        n = rows.stop - rows.start
        ranks = np.stack([rankdata(row[rows]) for row in values])
        scaled = (ranks - 1) / (n - 1) if n > 1 else np.full((len(values), 1), 0.5)
        np.testing.assert_allclose(e.importance[rows], scaled.mean(0))
        np.testing.assert_allclose(e.columns["spread"][rows], scaled.std(0, ddof=1), atol=1e-12)
        by_chance = np.var(np.arange(n) / max(n - 1, 1)) or 1.0  # of one rank drawn at random
        np.testing.assert_allclose(e.columns["rank_stability"][rows], 1 - scaled.var(0, ddof=1) / by_chance, atol=1e-9)


@given(case=cases())
def test_z_scores_against_scipy(case):
    sizes, values = case
    e = ensemble(members_of(values, sizes), scale="z")
    for rows in by_cloud(sizes):
        z = np.stack([zscore(row[rows]) if (row[rows] != row[rows][0]).any() else 0 * row[rows] for row in values])
        np.testing.assert_allclose(e.importance[rows], z.mean(0), atol=1e-12)
        np.testing.assert_allclose(e.columns["spread"][rows], z.std(0, ddof=1), atol=1e-12)


@given(case=cases(ties=False))
def test_the_mean_of_rank_stability_is_the_mean_spearman_correlation(case):
    sizes, values = case
    e = ensemble(members_of(values, sizes))
    agreed = []
    for rows in by_cloud(sizes):
        if rows.stop - rows.start > 1:
            pairs = itertools.combinations(values[:, rows], 2)
            agreed.append(np.mean([spearmanr(a, b).statistic for a, b in pairs]))
            assert float(e.columns["rank_stability"][rows].mean()) == pytest.approx(agreed[-1], abs=1e-9)
    about = e.provenance["ensemble"]
    assert about["rank_correlation"] == (pytest.approx(np.mean(agreed)) if agreed else None)
    assert [r for r in about["rank_correlations"] if r is not None] == pytest.approx(agreed)


@given(case=cases(), scale=st.sampled_from(["ranks", "z", "none"]))
def test_the_order_of_the_members_and_their_units_do_not_matter(case, scale):
    sizes, values = case
    e = ensemble(members_of(values, sizes), scale=scale)
    turned = ensemble(members_of(values[::-1].copy(), sizes), scale=scale)
    torch.testing.assert_close(e.importance, turned.importance)
    torch.testing.assert_close(e.columns, turned.columns)
    if scale != "none":
        factor = np.arange(1, len(values) + 1)[:, None]
        other = ensemble(members_of(values * factor + 7, sizes), scale=scale)
        torch.testing.assert_close(e.importance, other.importance, atol=1e-9, rtol=0)
        torch.testing.assert_close(e.columns, other.columns, atol=1e-9, rtol=0)
    assert bool((e.columns["rank_stability"] <= 1 + 1e-9).all())
    assert bool((e.columns["rank_stability"] > -5).all())


def test_members_that_agree_are_certain():
    values = np.random.default_rng(0).normal(size=(1, 12)).repeat(3, 0)
    e = ensemble(members_of(values, [5, 7]), scale="none")
    torch.testing.assert_close(e.importance, torch.from_numpy(values[0]))
    torch.testing.assert_close(e.columns["spread"], torch.zeros(12).double())
    torch.testing.assert_close(e.columns["rank_stability"], torch.ones(12).double())
    assert e.provenance["ensemble"]["rank_correlation"] == pytest.approx(1)
    assert e.provenance["ensemble"]["jaccard@5"] == pytest.approx(1)


@pytest.mark.parametrize("members", [2, 5])
def test_random_rankings_have_a_stability_of_zero(members):
    random = np.random.default_rng(1)
    values = np.concatenate([random.normal(size=(members, 6)) for _ in range(4000)], 1)
    e = ensemble(members_of(values, [6] * 4000))
    stability = e.columns["rank_stability"].reshape(4000, 6).mean(0)
    assert stability.abs().max() < 0.06
    about = e.provenance["ensemble"]
    assert about["rank_correlation"] == pytest.approx(0, abs=0.02)
    assert about["jaccard@5"] == pytest.approx(about["jaccard@5_random"], abs=0.01)


def test_the_least_possible_stability():
    values = np.stack([np.arange(5.0), np.arange(5.0)[::-1]])
    for count in (1, 2):
        e = ensemble(members_of(np.concatenate([values] * count), [5]))
        expected = 1 - 3 * (5 - 1) / (5 + 1) * (2 * count) / (2 * count - 1)
        assert float(e.columns["rank_stability"][0]) == pytest.approx(expected)


def test_prediction_covariance_and_columns():
    clouds = clouds_of([2, 1])
    eye = torch.eye(3).expand(3, 3, 3)
    members = [Explanation(clouds, torch.tensor([[p], [0.5]]), torch.tensor([1.0, 2.0, 3.0]), covariance=s * eye,
                           columns={"existence": torch.full((3,), p), "kind": torch.tensor(kind),
                                    "subgraph": torch.tensor(kept), f"own {p}": torch.zeros(3)})
               for p, s, kind, kept in [(0.2, 1.0, [0, 2, 1], [True, False, False]),
                                        (0.4, 2.0, [1, 2, 1], [True, False, True]),
                                        (0.9, 6.0, [2, 1, 1], [True, True, False])]]
    e = ensemble(members)
    torch.testing.assert_close(e.prediction, torch.tensor([[0.5], [0.5]]))
    np.testing.assert_allclose(e.provenance["ensemble"]["prediction_spread"],
                               [[np.std([0.2, 0.4, 0.9], ddof=1)], [0]], atol=1e-7)
    torch.testing.assert_close(e.covariance, 3 * eye)
    torch.testing.assert_close(e.columns["existence"], torch.full((3,), 0.5))
    assert e.columns["kind"].tolist() == [0, 2, 1], "the most frequent; the smallest of those"
    assert e.columns["subgraph"].tolist() == [True, False, False]
    assert set(e.columns) == {"existence", "kind", "subgraph", "spread", "rank_stability"}
    assert set(e.columns) < set(e.table())
    one_without = [members[0], Explanation(clouds, torch.ones(2, 1), torch.zeros(3))]
    assert ensemble(one_without).covariance is None
    assert ensemble(one_without).importance_name == "mean rank (0 to 1) over 2 members of importance"


def test_provenance_is_shared_where_it_is_alike():
    members = members_of([[1.0, 2.0], [2.0, 1.0]], [2])
    for seed, member in enumerate(members):
        member.provenance.update(run=f"runs/{seed}", config={"seed": seed, "method": {"name": "erm"}}, skipped=[])
    provenance = ensemble(members, m=1).provenance
    json.dumps(provenance, allow_nan=False)
    about = provenance.pop("ensemble")
    assert provenance == {"config": {"method": {"name": "erm"}}, "skipped": []}
    assert about["members"] == [{"run": f"runs/{i}", "config": {"seed": i}} for i in (0, 1)]
    assert about["jaccard@1"] == jaccard(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), torch.tensor([0, 2]), 1)
    assert about["jaccard@1_random"] == 0.5


def test_what_is_undefined_is_none():
    e = ensemble(members_of([[1.0], [2.0]], [1, 0]))
    assert e.importance.tolist() == [0.5]
    assert e.columns["rank_stability"].tolist() == [1.0]
    assert e.provenance["ensemble"]["rank_correlation"] is e.provenance["ensemble"]["jaccard@5"] is None
    assert "agree" not in agreement(e)
    empty = ensemble(members_of(np.zeros((2, 0)), [0]))
    assert len(empty.importance) == 0


def other_place(member):
    return member.clouds.replace(pos=member.clouds.pos + 1)


@pytest.mark.parametrize(("change", "options", "message"), [
    (lambda m: {"clouds": other_place(m)}, {}, "same clouds, got others in member 2"),
    (lambda m: {"prediction": torch.ones(2, 3)}, {}, r"shape \(2, 1\), got \(2, 3\) in member 2"),
    (lambda m: {"importance_name": "other"}, {"scale": "none"}, "one kind of importance"),
    (lambda m: {}, {"scale": "rank"}, "a scale out of ranks, z, none"),
])
def test_members_that_do_not_fit_are_refused(change, options, message):
    first, second = members_of([[1.0, 2, 3], [3.0, 2, 1]], [2, 1])
    entries = {k: getattr(second, k) for k in ("clouds", "prediction", "importance", "importance_name")}
    with pytest.raises(PellucidError, match=message):
        ensemble([first, Explanation(**{**entries, **change(second)})], **options)


def test_fewer_than_two_members_are_refused():
    with pytest.raises(PellucidError, match="at least two explanations, got 1"):
        ensemble(members_of([[1.0]], [1]))


def test_draws_move_all_but_the_first():
    clouds = clouds_of([3, 2])
    seen = []

    def explain(moved, seed):
        seen.append((seed, moved.pos - clouds.pos))
        return Explanation(moved, torch.ones(2, 1), moved.pos[:, 0])

    made = list(draws(explain, clouds, 40, jitter=0.3, seed=5))
    assert [seed for seed, _ in seen] == list(range(5, 45))
    assert all(e.clouds is clouds for e in made)
    assert not seen[0][1].any()
    assert float(torch.stack([moved for _, moved in seen[1:]]).std()) == pytest.approx(0.3, rel=0.1)
    again = list(draws(explain, clouds, 2, jitter=0.3, seed=5))
    torch.testing.assert_close(again[1].importance, made[1].importance)
    later = list(draws(explain, clouds, 2, jitter=0.3, seed=5, start=1))
    assert len(later) == 1
    torch.testing.assert_close(later[0].importance, made[1].importance)
    still = list(draws(explain, clouds, 2, jitter=0.0))
    torch.testing.assert_close(still[1].importance, clouds.pos[:, 0])
    for n, jitter in ((0, 0.1), (2, -1.0)):
        with pytest.raises(PellucidError, match="at least 1 draw"):
            list(draws(explain, clouds, n, jitter=jitter))


def test_the_sentence_says_what_was_joined():
    e = ensemble(members_of([[1.0, 2, 3], [1.0, 3, 2]], [3]), m=2)
    assert agreement(e) == (
        "Importance is the mean over 2 explanations of ranks within each sample (0 = least, 1 = most important); ± is "
        "the standard deviation over them. Pairs agree with a mean Spearman rank correlation of 0.50 (random: 0) and "
        "share their 2 most important points with a mean Jaccard index of 1.00 (random: 0.56).")
    assert agreement(members_of([[1.0]], [1])[0]) is None
    for entries, words in (({"runs": 2, "draws": 1}, "over 2 runs of"), ({"runs": 1, "draws": 5}, "over 5 draws of"),
                           ({"runs": 2, "draws": 3}, "over 3 draws of each of 2 runs of")):
        e.provenance["ensemble"].update(entries)
        assert words in agreement(e)


# -- targets, signs and radii -------------------------------------------------------------------------------------
MIXED = Targets((Target("logS", "regression", unit="log mol/L"),
                 Target("colour", "multiclass", classes=("red", "blue")), Target("toxic")))


def of_mixed(seed=0, **changes):
    clouds = clouds_of([4, 3])
    random = torch.Generator().manual_seed(seed)
    values = {"targets": MIXED, "prediction": torch.rand(2, 4, generator=random),
              "importance": torch.randn(7, 4, generator=random), "signed": True}
    return Explanation(clouds, **{**values, **changes})


@pytest.mark.parametrize("scale", ["ranks", "z", "none"])
@pytest.mark.parametrize("name", ["logS", "toxic", "colour=blue"])
def test_the_output_that_is_explained_stays(name, scale):
    members = [of_mixed(seed) for seed in range(3)]
    e = ensemble([m.of(name) for m in members], scale=scale)
    assert e.targets == MIXED
    assert e.explained.tolist() == [MIXED.names.index(name)] * 2
    assert e.quantity(0) == MIXED.quantities[MIXED.names.index(name)]
    assert not e.shared
    assert e.signed == (scale == "none")
    own = torch.stack([m.of(name).importance for m in members])
    if scale == "none":
        torch.testing.assert_close(e.importance, own.mean(0))
    else:
        sizes = ensemble([Explanation(m.clouds, m.prediction, m.of(name).strength(), targets=MIXED) for m in members],
                         scale=scale)
        torch.testing.assert_close(e.importance, sizes.importance)
        torch.testing.assert_close(e.columns["rank_stability"], sizes.columns["rank_stability"])


def test_of_members_with_all_outputs_the_first_is_joined():
    members = [of_mixed(seed) for seed in range(3)]
    assert torch.equal(ensemble(members).importance, ensemble([m.of("logS") for m in members]).importance)


def test_members_that_explain_other_targets_are_refused():
    for other in (of_mixed(1).of("toxic"), of_mixed(1, targets=Targets.of("binary", 4)).of(0)):
        with pytest.raises(PellucidError, match="explanations of the same target, got another in member 2"):
            ensemble([of_mixed(0).of("logS"), other])


def test_where_members_predict_different_classes_the_mean_prediction_names_one():
    first = of_mixed(prediction=torch.tensor([[0.0, 0.9, 0.1, 0.5], [0.0, 0.3, 0.7, 0.5]])).of("colour")
    second = of_mixed(1, prediction=torch.tensor([[0.0, 0.4, 0.6, 0.5], [0.0, 0.2, 0.8, 0.5]])).of("colour")
    assert first.explained.tolist() == [1, 2]
    assert second.explained.tolist() == [2, 2]
    assert ensemble([first, second]).explained.tolist() == [1, 2]


def test_the_radius_is_that_of_a_draw_from_a_member():
    radii = torch.rand(3, 7, generator=torch.Generator().manual_seed(0))
    members = [of_mixed(k, radius=r).of("logS") for k, r in enumerate(radii)]
    torch.testing.assert_close(ensemble(members).radius, radii.square().mean(0).sqrt())
    assert ensemble([*members, of_mixed(5).of("logS")]).radius is None
