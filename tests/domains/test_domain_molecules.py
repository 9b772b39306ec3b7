"""Molecules: what is read, how it is drawn, and their functional groups."""

import pytest
import torch

from pellucid.chemistry import encode_molecules, read_molecules
from pellucid.chemistry.preparation import SALT
from pellucid.domains import domain_of
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.report import depict
from pellucid.report.content import Words
from pellucid.targets import Target, Targets

MOLECULES = domain_of("molecules")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    path = tmp_path_factory.mktemp("smi") / "mine.smi"
    path.write_text("CC(=O)NC amide\nC1CC broken\nOCC ethanol\n")
    return MOLECULES.read(path)


def explained(clouds, **more):
    return Explanation(clouds, torch.full((len(clouds), 1), 0.75), torch.linspace(0, 1, clouds.points), "importance",
                       **more)


def test_what_cannot_be_read_is_told(given):
    assert given.clouds.sizes.tolist() == [5, 3]
    assert len(given.skipped) == 1
    assert given.skipped[0].startswith("line 2 (broken): ")
    assert MOLECULES.read(read_molecules("CCO")).clouds.sizes.tolist() == [3]
    with pytest.raises(PellucidError, match=r"expected a SMILES, a file, a frame, .* got int"):
        MOLECULES.read(3)
    with pytest.raises(PellucidError, match="expected no columns for a run on molecules, got trackml; leave it out"):
        MOLECULES.read("CCO", columns="trackml")


def test_a_sample_has_bonds_and_formulas(given):
    clouds = given.clouds.replace(important=torch.tensor([0, 1, 1, 1, 0, 0, 0, 0]).bool())
    first, second = (MOLECULES.sample(explained(clouds), i) for i in (0, 1))
    assert MOLECULES.words == first.words == Words("atom", "molecule")
    assert (MOLECULES.points, MOLECULES.samples) == ("atoms", "molecules")
    assert first.labels == ["C", "C", "O", "N", "C"]
    assert first.bonds == [(0, 1, 1.0), (1, 2, 2.0), (1, 3, 1.0), (3, 4, 1.0)]
    assert (first.unit, first.prediction, first.predicts, first.target) == ("angstrom", 0.75, "P(y)", None)
    assert "<svg" in first.svg
    assert (second.important, first.svg_truth) == (None, None)  # the page draws the truth in the same drawing
    assert first.facts == {"SMILES": "CC(=O)NC"}


def test_signed_importance_has_the_unit_of_its_target(given):
    targets = Targets((Target("toxic"), Target("logS", "regression", unit="log mol/L")))
    explanation = Explanation(given.clouds, torch.tensor([[0.5, -3.0]] * 2), torch.randn(8, 2), "contribution",
                              targets=targets, signed=True)
    first = MOLECULES.sample(explanation, 0)
    assert (first.signed, first.importance_name, first.importance_unit) == (True, "contribution", "log-odds")
    assert list(first.others) == ["logS (log mol/L)"]
    assert first.svg == depict("CC(=O)NC", first.importance, signed=True, title=given.clouds.text["id"][0])
    assert [(a.name, a.prediction, a.target) for a in first.answers] == [("P(toxic)", 0.5, None),
                                                                         ("logS (log mol/L)", -3.0, None)]
    sample = MOLECULES.sample(explanation.of("logS"), 0)
    assert (sample.importance_unit, sample.predicts) == ("log mol/L", "logS (log mol/L)")
    assert sample.prediction == -3.0
    assert sample.importance.tolist() == explanation.importance[:5, 1].double().tolist()


def test_functional_groups_are_made_on_demand(given):
    assert MOLECULES.grouped(given.clouds, "group") is given.clouds
    grouped = MOLECULES.grouped(given.clouds, "functional_group")
    assert "functional_group" in grouped
    assert MOLECULES.grouped(grouped, "functional_group") is grouped


def test_files_are_written_beside_it(given, tmp_path):
    written = MOLECULES.write(tmp_path, explained(given.clouds), None)
    assert [path.name for path in written] == ["molecules.sdf", "importance.csv", "importance.pml"]
    bare = type(given.clouds)(given.clouds.ptr, {"pos": given.clouds.pos})
    assert MOLECULES.write(tmp_path / "bare", explained(bare), None) == []


def test_the_users_columns_are_facts(given):
    clouds = type(given.clouds)(given.clouds.ptr, {name: given.clouds[name] for name in given.clouds.names}, text={
        **given.clouds.text, "values": ['{"batch": "7", "note": ""}', "no JSON"]}, units={"pos": "angstrom"})
    first, second = (MOLECULES.sample(explained(clouds), i) for i in (0, 1))
    assert first.facts == {"batch": "7", "SMILES": "CC(=O)NC"}
    assert list(second.facts) == ["SMILES"]


def test_graphs_without_coordinates_are_drawn_flat(given):
    texts = {name: given.clouds.text[name] for name in ("id", "smiles")}
    graph = type(given.clouds)(given.clouds.ptr, {"categories": given.clouds["categories"]}, text=texts)
    sample = MOLECULES.sample(explained(graph), 0)
    assert sample.unit == "angstrom"
    assert sample.pos[:, 2].tolist() == [0.0] * 5
    assert abs(sample.pos[:, 0]).max() > 1


def test_clouds_without_a_formula_are_drawn_as_points():
    clouds = encode_molecules(read_molecules("CCO")).clouds
    bare = type(clouds)(clouds.ptr, {name: clouds[name] for name in clouds.names}, units={"pos": "angstrom"})
    sample = MOLECULES.sample(explained(bare), 0)
    assert (sample.name, sample.labels, sample.svg) == ("molecule 0", ["0", "0", "2"], None)
    assert list(sample.views) == ["x – y", "x – z"]


def test_molecules_are_made_as_the_run_was_trained():
    full = {"features": "full", "fragments": "largest", "seed": 3}
    salt = read_molecules("[Na+].CC(=O)[O-]")
    made = MOLECULES.read(salt, options={**full, "geometry": "graph"})
    assert "pos" not in made.clouds
    assert made.clouds["categories"].shape == (4, 8)
    assert made.notes == [f"{SALT}: 1 (molecule-1 without [Na+])."]
    with pytest.raises(PellucidError, match="2 separate parts"):
        MOLECULES.read(salt)  # as SynMol, whose options do not speak of it
    sample = MOLECULES.sample(explained(made.clouds), 0)
    assert sample.labels == ["C", "C", "O", "O"]
    assert "<svg" in sample.svg


def test_conformers_of_a_molecule_are_explained_as_one():
    made = MOLECULES.read(read_molecules("CCCCO"), options={"conformers": 3}, seed=1)
    assert made.clouds.sizes.tolist() == [5, 5, 5]
    assert "means over 3 conformers" in made.notes[-1]
    explanation = explained(made.clouds)
    one = MOLECULES.gathered(explanation)
    assert one.clouds.sizes.tolist() == [5]
    assert torch.equal(one.clouds.pos, made.clouds.pos[:5])
    torch.testing.assert_close(one.importance, explanation.importance.view(3, 5).mean(0))
    torch.testing.assert_close(one.columns["spread"], explanation.importance.view(3, 5).std(0))
    single = explained(MOLECULES.read("CCO").clouds)
    assert MOLECULES.gathered(single) is single
    assert domain_of("clouds").gathered(explanation) is explanation
