import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from residues import LIGAND, invented_complexes

from pellucid.clouds import PointClouds
from pellucid.commands.reporting import choose, report_explanation, samples_of
from pellucid.domains import domain_of
from pellucid.domains.complexes import CONTACTS, is_complex, residue_names, trace
from pellucid.errors import PellucidError
from pellucid.report import ReportContent
from pellucid.report.content import Sticks, Words
from pellucid.report.page import data, embed, render

COMPLEXES = Words("residue", "complex")


def complex_sample(explanation, i):
    return domain_of("complexes").sample(explanation, i)


def test_a_complex_is_its_residues_with_the_ligand_beside_them():
    explanation = invented_complexes(covariance=True)
    assert is_complex(explanation.clouds)
    sample = complex_sample(explanation, 1)
    clouds = explanation.clouds
    rows = slice(40, 46)
    assert sample.words == COMPLEXES
    assert (sample.name, sample.unit, sample.prediction, sample.target) == ("c1", "angstrom", 0.75, None)
    assert sample.labels == ["ASP", "GLY", "MSE"] * 2
    assert sample.texts == {"Chain": list("AAABBB"), "Number": list("123456")}
    assert sample.bonds == [(0, 1, 1.0), (1, 2, 1.0), (3, 4, 1.0), (4, 5, 1.0)]  # none from A to B
    np.testing.assert_allclose(sample.pos, clouds.pos[rows])
    np.testing.assert_allclose(sample.covariance, explanation.covariance[rows])
    np.testing.assert_allclose(sample.columns["distance"], clouds["distance"][rows])
    kinds = [CONTACTS[int(kind)] for kind in sample.columns["contact"]]
    for kind, bond, greasy in zip(kinds, clouds["hydrogen_bond"][rows], clouds["hydrophobic"][rows], strict=True):
        assert ("H-bond" in kind, "hydrophobic" in kind) == (bool(bond), bool(greasy))
    assert len(sample.sticks.labels) == 11
    np.testing.assert_allclose(sample.sticks.pos, clouds.partner.pos[11:])
    lengths = [np.linalg.norm(sample.sticks.pos[a] - sample.sticks.pos[b]) for a, b, _ in sample.sticks.bonds]
    assert len(lengths) == 11
    assert all(1.1 < length < 1.6 for length in lengths)  # of a molecule, not of atoms in another order
    assert "<svg" in sample.views["Ligand"]


def test_facts_are_counted():
    explanation = invented_complexes()
    rows = slice(0, 40)
    clouds, importance = explanation.clouds, explanation.importance[rows]
    truth = clouds["important"][rows]
    facts = complex_sample(explanation, 0).facts
    assert facts["Ligand"] == LIGAND
    assert facts["Residues"] == "40 in 2 chains"
    assert facts["Pocket"].startswith(f"{int(truth.sum())} residue")
    top = int(truth[importance.topk(20).indices].sum())
    pos = clouds.pos[rows].double()
    middle = int(truth[(pos - pos.mean(0)).norm(dim=1).topk(20, largest=False).indices].sum())
    assert facts["20 most important"] == (f"{top} in the pocket (by chance {int(truth.sum()) / 2:.1f}; of the 20 "
                                          f"nearest to the protein's centroid {middle})")
    bonds, greasy = (int(clouds[name][rows].sum()) for name in ("hydrogen_bond", "hydrophobic"))
    assert facts["Contacts"] == (f"{bonds} residue{'' if bonds == 1 else 's'} with hydrogen bonds, {greasy} with "
                                 f"hydrophobic contacts; the closest at {clouds['distance'][rows].min():.1f} Å")


def test_helices_and_strands_are_told_by_their_mean():
    explanation = invented_complexes()
    clouds = explanation.clouds
    element = torch.cat([torch.tensor([0] * 10 + [1] * 5 + [2] * 25), torch.zeros(6, dtype=torch.int64)])
    fields = {name: clouds[name] for name in clouds.names} | {"secondary_structure": element}
    names = ['["A:helix 1-10", "A:loop 11-15", "B:strand 16-40"]', '["A:loop 1-6"]']
    clouds = PointClouds(clouds.ptr, fields, text=clouds.text | {"secondary_structure_names": names},
                         partner=clouds.partner)
    importance = torch.cat([torch.full((10,), 0.25), torch.full((5,), 0.9), torch.full((25,), 0.5), torch.zeros(6)])
    explanation = replace(explanation, clouds=clouds, importance=importance)
    told = "Most important helices and strands"
    assert complex_sample(explanation, 0).facts[told] == "B:strand 16-40 (0.5), A:helix 1-10 (0.25)"
    assert complex_sample(explanation, 1).facts[told] == "none"


def test_without_a_known_pocket_nothing_is_said_of_one():
    sample = complex_sample(invented_complexes(important=torch.zeros(46, dtype=torch.bool)), 0)
    assert sample.important is None
    assert "Pocket" not in sample.facts


def test_the_trace_breaks_at_gaps_and_between_chains():
    x = np.array([0, 3.8, 7.6, 12.2, 16.0, 19.8])
    pos = np.stack([x, np.zeros(6), np.zeros(6)], 1)
    assert trace(pos, list("AAAABB")) == [(0, 1, 1.0), (1, 2, 1.0), (4, 5, 1.0)]
    assert trace(pos[:1], ["A"]) == []


@pytest.mark.parametrize(("label", "expected"), [
    ("A:ASP25", ("A", "ASP", "25")), ("B:GLY27A", ("B", "GLY", "27A")), (":MSE-5", ("", "MSE", "-5")),
    ("AA-2:4HH12", ("AA-2", "4HH", "12")), ("A:A1CDE7", ("A", "A1CDE", "7")), ("a:b:SER1", ("a:b", "SER", "1")),
    ("odd", ("", "odd", ""))])
def test_labels_of_residues_are_taken_apart(label, expected):
    assert tuple(part[0] for part in residue_names([label])) == expected


def test_a_regression_predicts_a_pk():
    explanation = invented_complexes(task="regression", y=torch.tensor([[6.5], [float("nan")]]))
    first, second = samples_of(explanation, [0, 1])
    assert (first.prediction, first.predicts, first.target, second.target) == (7.25, "pK", 6.5, None)
    page = json.loads(embed(data(ReportContent("t", samples=[first]))))
    assert page["samples"][0]["predicts"] == "pK"
    assert page["samples"][0]["prediction"] == 7.25
    assert not first.probability
    with pytest.raises(PellucidError, match="sigmoid"):
        replace(first, predicts="P(binds)", probability=None)
    with pytest.raises(PellucidError, match="expected a number"):
        replace(first, prediction=float("inf"))


def test_of_a_regression_the_whole_range_and_the_largest_errors_are_shown():
    sizes = (3,) * 20
    y = torch.linspace(2, 11, 20)[torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    explanation = invented_complexes(sizes, task="regression", y=y[:, None])
    chosen = choose(explanation, 8)
    assert {int(y.argmin()), int(y.argmax())} <= set(chosen)
    assert set((y - 7.25).abs().topk(2).indices.tolist()) <= set(chosen)
    assert 6 <= len(chosen) <= 8


def test_the_page_speaks_of_residues_and_complexes(tmp_path):
    explanation = invented_complexes()
    page = report_explanation(tmp_path / "report.html", explanation, []).read_text(encoding="utf-8")
    assert "<h1>Which residues decided</h1>" in page
    frame = page.split("<script")[0] + page.split("</header>")[1].split("<script")[0]
    assert "one range for all complexes" in frame
    assert "molecule" not in frame
    content = json.loads(embed(data(ReportContent("t", samples=samples_of(explanation, [0])))))
    sticks = content["samples"][0]["sticks"]
    assert (len(sticks["pos"]), len(sticks["labels"]), len(sticks["bonds"])) == (11, 11, 11)
    assert content["columns"]["contact"]["kinds"] == list(CONTACTS)
    assert (content["words"]["points"], content["words"]["samples"]) == ("residues", "complexes")


def test_an_explanation_of_many_residues_is_cut_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.commands.reporting.BYTES", 1)
    page = report_explanation(tmp_path / "report.html", invented_complexes((40, 6, 6)), []).read_text(encoding="utf-8")
    assert "Shown are the first 1 of 3; explanation.parquet has all." in page


def test_ten_thousand_residues_are_a_small_page():
    text = render(ReportContent("t", samples=samples_of(invented_complexes((10_000,)), [0])))
    few = render(ReportContent("t", samples=samples_of(invented_complexes((10,)), [0])))
    assert len(text) - len(few) < 2_000_000


@pytest.mark.parametrize(("changes", "message"), [
    ({"pos": [[0, 0]]}, r"pos of ligand of shape \(n, 3\)"), ({"labels": ["C"]}, "2 labels of ligand"),
    ({"bonds": [(0, 2, 1.0)]}, "two of the 2 points of ligand"), ({"name": 1}, "text as the name")])
def test_bad_sticks_are_refused(changes, message):
    good = {"name": "ligand", "pos": [[0, 0, 0], [1.4, 0, 0]], "labels": ["C", "O"], "bonds": [(0, 1, 1.0)]}
    assert Sticks(**good).bonds == [(0, 1, 1.0)]
    with pytest.raises(PellucidError, match=message):
        Sticks(**{**good, **changes})
