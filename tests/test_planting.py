"""A planted rule says how well explainers find it."""

import itertools
import json
import re

import pytest
import torch

from pellucid.clouds import PointClouds
from pellucid.datasets import load_dataset
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.planting import Found, Planted, judged, limits, scores, trust

SMILES = ["C" * n + tail for n in range(3, 23) for tail in ("O", "N", "F", "Cl", "OC", "C(=O)N", "S", "Br")]


def clouds(**fields):
    ptr = torch.tensor([0, 3, 6])
    return PointClouds(ptr, {"y": torch.tensor([[1.0], [0.0]]), "important": torch.zeros(6, dtype=torch.bool),
                             "explanations": torch.zeros(6, dtype=torch.int64), **fields})


def test_what_is_judged_holds_the_rule_and_has_points_that_decide():
    import pellucid.datasets.rules  # noqa: F401 - declares the fields

    some = clouds(important=torch.tensor([1, 0, 0, 1, 0, 0]).bool())
    assert len(judged(some, 9)) == 1
    assert len(judged(clouds(important=torch.ones(6, dtype=torch.bool)), 9)) == 0  # nothing to rank


def test_scores_are_of_the_explanation_found_best_and_signed_for_sums():
    either = clouds(important=torch.tensor([1, 1, 0, 0, 0, 0]).bool(), explanations=torch.tensor([1, 2, 0, 0, 0, 0]))
    assert scores(either, torch.tensor([3.0, 1.0, 2.0, 0, 0, 0]))[0] == 1
    shares = clouds(contribution=torch.tensor([-1.0, 0.0, 2.0, 1.0, 2.0, 3.0]))
    assert scores(shares, torch.tensor([-5.0, 1.0, 9.0, 3.0, 2.0, 1.0])).tolist() == [1.0, -1.0]
    assert scores(shares, torch.ones(6)).tolist() == [0.0, 0.0]


def test_chance_and_the_most_are_those_of_the_score_itself():
    """Three sets are each right, so that luck finds one more often than not; and truth of sums has ties."""
    ptr = torch.tensor([0, 6])
    three = PointClouds(ptr, {"y": torch.ones(1, 1), "important": torch.tensor([1, 1, 1, 0, 0, 0]).bool(),
                              "explanations": torch.tensor([1, 2, 4, 0, 0, 0])})
    many = torch.rand(2000, 6, generator=torch.Generator().manual_seed(1))
    luck = sum(float(scores(three, one)[0]) for one in many) / 2000
    found = [limits(three, seed) for seed in range(30)]
    assert sum(chance for chance, _ in found) / 30 == pytest.approx(luck, abs=0.02)
    assert luck > 0.7
    assert {most for _, most in found} == {1.0}
    tied = PointClouds(ptr, {"y": torch.ones(1, 1), "important": torch.zeros(6, dtype=torch.bool),
                             "contribution": torch.tensor([0.0, 0, 0, 0, 1, 1])})
    best = max(float(scores(tied, torch.tensor(order).float())[0]) for order in itertools.permutations(range(6)))
    assert limits(tied)[1] == pytest.approx(best)
    assert best < 0.9


def told(tmp_path, *found, chance=0.5, most=1.0):
    return Planted("amide", "binary", tmp_path, {"erm": {"roc_auc": 0.99}},
                   tuple(Found(name, "erm", score, low, high, 90, True, 1.0) for name, score, low, high in found),
                   900, (), chance, most, {}).sentence


def test_the_sentence_says_what_is_not_told_apart_and_what_is_no_better_than_chance(tmp_path):
    one = told(tmp_path, ("shapley", 0.96, 0.95, 0.97), ("occlusion", 0.955, 0.94, 0.965), ("own", 0.9, 0.88, 0.92))
    assert one.startswith("shapley of erm finds the planted rule best (ROC AUC 0.960 over 90 molecules; chance has "
                          "0.500), which occlusion of erm may do as well; what the model says itself finds it with 0.9")
    none = told(tmp_path, ("random", 0.555, 0.495, 0.607), ("own", 0.401, 0.343, 0.466))
    assert none.startswith("None of them surely finds the planted rule better than chance: random of erm (ROC AUC 0.5")
    assert "finds it with 0.401, which is upside down. " in none
    lucky = told(tmp_path, ("occlusion", 0.65, 0.6, 0.7), chance=0.64, most=0.8)
    assert lucky.startswith("None of them surely")
    assert "0.650 of at most 0.800 over" in lucky


def test_a_rule_in_ones_own_molecules(tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "home"))
    found = trust("'[OX2]'", {"smiles": SMILES}, out=tmp_path / "out", graph=True, by=("own", "occlusion", "gradgeo"),
                  preset="smoke", device="cpu", explained=5)
    told = json.loads((tmp_path / "out" / "trust.json").read_text())
    assert [one["name"] for one in told["found"]] == [one.name for one in found.found]
    assert {one.name for one in found.found if not one.trouble} == {"own", "occlusion"}
    assert "gradgeo" in {one.name for one in found.found if one.trouble}  # bonds alone have no coordinates
    assert found.sentence == told["sentence"]
    assert "finds the planted rule best (ROC AUC" in found.sentence
    page = (tmp_path / "out" / "erm" / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<h1>erm with gin on &#x27;\[OX2\]&#x27; in [^<]+</h1>", page)


def test_a_finished_run_of_the_same_rule_is_taken_again_and_absence_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "home"))
    how = {"out": tmp_path / "out", "graph": True, "by": ("own",), "preset": "smoke", "device": "cpu", "explained": 5}
    first = trust("'[OX2]'", {"smiles": SMILES}, **how)
    monkeypatch.setattr("pellucid.planting.fit", lambda *a, **k: pytest.fail("trained again"))
    again = trust("'[OX2]'", {"smiles": SMILES}, **how)
    assert again.found[0].score == first.found[0].score
    more = trust("'[OX2]'", {"smiles": SMILES}, **{**how, "by": ("occlusion",)})
    assert {one.name for one in more.found} == {"own", "occlusion"}  # nothing that was found is lost
    before = (tmp_path / "out" / "trust.json").read_bytes()
    with pytest.raises(PellucidError, match=r"expected a new folder, got what was found of '\[OX2\]' in .*--overwrite"):
        trust("amide", {"smiles": SMILES}, **how, methods=("lri-bernoulli",))
    assert (tmp_path / "out" / "trust.json").read_bytes() == before
    assert "which are few" in again.sentence
    with pytest.raises(PellucidError, match="what is absent decides without an atom"):
        trust("not '[OX2]'", {"smiles": SMILES}, **how)


def test_what_cannot_be_asked_is_refused_before_work_starts(tmp_path):
    with pytest.raises(UnknownNameError, match=r"did you mean .occlusion.. Known: .*, own, "):
        trust("amide", out=tmp_path / "out", by=("oclusion",))
    with pytest.raises(UnknownNameError, match="erm"):
        trust("amide", out=tmp_path / "out", methods=("emr",))
    with pytest.raises(PellucidError, match="cannot be read"):
        trust("amide and", out=tmp_path / "out")
    with pytest.raises(PellucidError, match=r"expected coordinates for lri-gaussian, got graphs without.*: erm, lri-b"):
        trust("amide", out=tmp_path / "out", methods=("erm", "lri-gaussian"), graph=True)
    with pytest.raises(PellucidError, match="expected a known preset of rules, got 'papre'"):
        trust("amide", out=tmp_path / "out", preset="papre")
    assert not (tmp_path / "out").exists()


def test_an_explainer_that_cannot_apply_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("pellucid.planting.fit", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(PellucidError, match=r"expected an explainer that applies, got none: expected coordinates for "
                                            r"Centroid.*; .* for GradGeo"):
        trust("'[OX2]'", {"smiles": SMILES}, out=tmp_path / "out", graph=True, by=("centroid", "gradgeo"),
              preset="smoke", device="cpu")
    assert not (tmp_path / "out").exists()


def test_what_is_left_out_of_a_table_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "home"))
    table = {"smiles": ["C(C", *SMILES, SMILES[9], "CC"]}
    data = load_dataset("rules", rule="'[OX2]'", source=table, size=500, geometry="graph")
    assert data.provenance["notes"][0].endswith(
        "left out: 1 cannot be read (such as 'C(C' at row 1), 7 have fewer than 5 atoms, 1 are there already")
    with pytest.raises(PellucidError, match=r"got 0 \(90 rows of .*: 90 cannot be read \(such as 'C\(C' at row 1"):
        load_dataset("rules", rule="'[OX2]'", source={"smiles": ["C(C"] * 90}, size=500, geometry="graph")
