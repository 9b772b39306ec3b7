"""Columns, ensembles and subgraphs on the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import pellucid.domains.complexes  # noqa: F401 - registers its columns
from pellucid.chemistry.encoding import encode_molecules
from pellucid.chemistry.molecules import read_molecules
from pellucid.commands.reporting import report_explanation, samples_of
from pellucid.domains import domain_of
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.explanations.ensemble import ensemble
from pellucid.explanations.subgraph import subgraph
from pellucid.report import ReportContent, depict
from pellucid.report.colours import MARK_COLOUR
from pellucid.report.columns import Column, described, known_columns, register_column
from pellucid.report.page import data, embed
from pellucid.report.tables import provenance_table
from pellucid.report.words import Words


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    clouds = encode_molecules([r for s in ("CC(=O)NC", "CCCCCO") for r in read_molecules(s)]).clouds
    random = torch.Generator().manual_seed(0)
    members = [Explanation(clouds, torch.rand(2, 1, generator=random), torch.rand(clouds.points, generator=random),
                           "importance of a test", provenance={"seed": seed},
                           columns={"kind": torch.arange(clouds.points) % 3, "odd_number": torch.rand(clouds.points)})
               for seed in range(3)]
    return subgraph(ensemble(members), "top", m=2,
                    predict=lambda clouds: torch.full((len(clouds),), 0.25)).marked()


def test_samples_carry_columns_marks_and_facts(explanation: Explanation) -> None:
    first, second = samples_of(explanation, [0, 1], "molecules")
    assert list(first.columns) == ["kind", "odd_number", "spread", "rank_stability", "subgraph"]
    np.testing.assert_allclose(second.columns["spread"], explanation.columns["spread"][5:])
    kept = explanation.columns["subgraph"][:5].nonzero().squeeze(1).tolist()
    assert first.svg is not None
    assert [int(i) for i in re.findall(r"data-kept='1'[^>]*class='atom-(\d+)'", first.svg)] == kept
    assert first.facts["Subgraph"] == "2 of 5 atoms: the 2 most important points of each cloud"
    assert first.facts["Subgraph alone"] == "P(y) 0.250"
    assert re.fullmatch(r"0\.\d{3} ± 0\.\d{3}", first.facts["Prediction over members"])
    assert re.fullmatch(r"mean Spearman rank correlation -?\d\.\d\d \(random: 0\)", first.facts["Agreement of members"])


def test_the_page_says_what_the_ensemble_is(explanation: Explanation, tmp_path: Path) -> None:
    page = report_explanation(tmp_path / "report.html", explanation, [], "molecules").read_text(encoding="utf-8")
    assert "Importance is the mean over 3 explanations of ranks within each sample" in page
    assert "points with a mean Jaccard index of" in page
    assert '"mark":"#0b63ce"' in page


def test_the_page_carries_columns_and_what_they_mean(explanation: Explanation) -> None:
    content = json.loads(embed(data(ReportContent("t", samples=samples_of(explanation, [0, 1], "molecules")))))
    np.testing.assert_allclose(content["samples"][0]["columns"]["spread"], explanation.columns["spread"][:5], rtol=1e-5)
    assert content["samples"][0]["columns"]["kind"] == [0, 1, 2, 0, 1]
    assert content["columns"]["odd_number"] == {"label": "Odd number", "about": "", "kinds": [], "colours": []}
    assert content["columns"]["kind"]["kinds"] == ["neither", "existence", "location"]
    for column in known_columns().values():
        assert len(column.kinds) == len(column.colours)
        assert column.about.endswith(".")
    assert described([]) == {}


def test_what_importance_is_made_of_stands_beside_it(explanation: Explanation) -> None:
    points = explanation.clouds.points
    learned = Explanation(explanation.clouds, torch.rand(2, 1), torch.arange(points).float(), "both",
                          provenance={"config": {"method": {"name": "joint"}}, "trust": {"level": "no"}},
                          columns={"existence": torch.linspace(0, 1, points), "location": -torch.arange(points).float(),
                                   "kind": torch.zeros(points)})
    content = json.loads(embed(data(ReportContent("t", samples=samples_of(learned, [0, 1], "molecules")))))
    first = content["samples"][0]
    assert first["explainer"] == "own"
    assert [(side["name"], side["level"], side["rank_correlation"]) for side in first["sides"]] == [
        ("own:existence", "no", 1.0), ("own:location", "no", -1.0)]
    assert first["sides"][0]["about"].startswith("Probability with which the")
    assert content["columns"]["=by own:existence"]["about"] == (
        "Probability with which the atom is kept: near 1, the prediction needs it to be there.")
    asked = replace(learned, provenance={**learned.provenance, "column": "existence"})
    assert not samples_of(asked, [0], "molecules")[0].sides


def test_marked_atoms_are_outlined_and_their_bonds_thick() -> None:
    plain, svg = depict("CC(=O)N", [0, 1, 2, 3]), depict("CC(=O)N", [0, 1, 2, 3], marked=[0, 1, 1, 0])
    assert svg.count("data-kept") == 2
    assert svg.count(MARK_COLOUR) == 2
    thick = re.findall(r"<path class='bond-\d+ atom-(\d+) atom-(\d+)'[^>]*stroke-width:3.4px", svg)
    assert thick
    assert set(thick) == {("1", "2")}
    assert depict("CC(=O)N", [0, 1, 2, 3], marked=[False] * 4) == plain


def test_provenance_counts_the_members() -> None:
    page = provenance_table({"members": [{"run": "a"}, {"run": "b"}], "list": [1, 2]})
    assert re.findall(r">(\d)</th>", page) == ["1", "2"]
    assert "1, 2" in page


def test_columns_are_registered_once() -> None:
    column = Column("Charge (e)", "Partial charge of the {point}.")
    register_column("a_test_charge", column)
    register_column("a_test_charge", column)
    assert described(["a_test_charge"], Words("node", "graph"))["a_test_charge"]["about"] == (
        "Partial charge of the node.")
    for name in ("events", "complexes"):
        domain_of(name)
    assert {"layer", "contact", "p_t", "distance", "spread"} <= set(known_columns())
    with pytest.raises(PellucidError, match="new name"):
        register_column("a_test_charge", Column("Charge"))
    with pytest.raises(PellucidError, match="one colour"):
        register_column("a_test_kind", Column("Kind", kinds=("a", "b")))
