"""A planted rule says how well explainers find it."""

import json
import re

import pytest
import torch

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.planting import judged, scores, trust

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
