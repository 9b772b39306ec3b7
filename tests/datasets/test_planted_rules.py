"""Rules planted in molecules: labels and atoms are what RDKit says, whatever the geometry."""

import numpy as np
import pytest
from rdkit import Chem

from pellucid.chemistry.encoding import molecule_of
from pellucid.datasets.base import load_dataset
from pellucid.datasets.rules import LEAST, SHARES, named_rules, read_rule
from pellucid.errors import PellucidError, UnknownNameError


@pytest.fixture
def table(house, short_list):
    return {"smiles": short_list, "id": [f"m{i}" for i in range(len(short_list))]}


def matched(mol, smarts):
    return {i for match in mol.GetSubstructMatches(Chem.MolFromSmarts(smarts)) for i in match}


def test_labels_and_atoms_are_those_of_the_rule(table):
    data = load_dataset("rules", rule="'[CX3]=O' and not '[F,Cl,Br]'", source=table, geometry="graph")
    clouds = data.clouds
    assert len(clouds) > 150
    for i in range(len(clouds)):
        mol = molecule_of(clouds, i)
        holds = bool(matched(mol, "[CX3]=O")) and not matched(mol, "[F,Cl,Br]")
        marked = clouds["important"][clouds.ptr[i]:clouds.ptr[i + 1]].nonzero().flatten().tolist()
        assert clouds["y"][i, 0] == holds
        assert set(marked) == (matched(mol, "[CX3]=O") if holds else set())
    assert data.recipe.targets[0].kind == "binary"
    shares = np.bincount(clouds["split"].numpy()) / len(clouds)
    assert np.abs(shares - SHARES).max() < 0.02
    assert f"holds for {int(clouds['y'].sum()):,} of" in data.provenance["labels"][0]


def test_explanations_are_told_apart_by_bits(table):
    clouds = load_dataset("rules", rule="count('[CH3]') >= 2", source=table, geometry="graph").clouds
    for i in clouds["y"][:, 0].nonzero().flatten().tolist():
        bits = clouds["explanations"][clouds.ptr[i]:clouds.ptr[i + 1]]
        methyls = sorted(matched(molecule_of(clouds, i), "[CH3]"))
        told = {tuple((bits >> k & 1).nonzero().flatten().tolist()) for k in range(62) if bool((bits >> k & 1).any())}
        assert told == {(a, b) for a in methyls for b in methyls if a < b}


def test_contributions_of_a_sum_add_up_to_the_label(table):
    clouds = load_dataset("rules", rule="logp - 0.5 * count('[CH3]')", source=table, geometry="graph").clouds
    total = np.add.reduceat(clouds["contribution"].numpy(), clouds.ptr[:-1].numpy())
    assert np.allclose(total, clouds["y"][:, 0].numpy(), atol=1e-4)


def test_distances_are_those_of_the_points_that_the_model_sees(table):
    rule = "distance('[CX3]=O', 'c1ccccc1') < 4.5"
    some = {name: column[::2] for name, column in table.items()}
    clouds = load_dataset("rules", rule="'[CX3]=O'", source=some, processes=1).clouds  # the same conformers
    for i in range(len(clouds)):
        mol = molecule_of(clouds, i)
        place = {pattern: [clouds.pos[[int(clouds.ptr[i]) + a for a in m]].double().mean(0)
                           for m in mol.GetSubstructMatches(Chem.MolFromSmarts(pattern))]
                 for pattern in ("[CX3]=O", "c1ccccc1")}
        near = any(float((a - b).norm()) < 4.5 for a in place["[CX3]=O"] for b in place["c1ccccc1"])
        assert read_rule(rule).of(mol).label == near


def test_stereo_that_is_not_given_is_drawn_so_that_the_rule_is_about_something(tiny_wheel):
    chiral = "chirality('[CX4;H1]') == 'R'"
    made = [load_dataset("rules", rule=chiral, size=120, seed=seed, processes=1) for seed in (0, 0)]
    clouds = made[0].clouds
    labels = [dict(Chem.FindMolChiralCenters(molecule_of(clouds, i), useLegacyImplementation=False)).values()
              for i in range(len(clouds))]
    assert {float(y) for y in clouds["y"]} == {0.0, 1.0}
    assert made[0].clouds.text["smiles"] == made[1].clouds.text["smiles"]
    assert any("R" in own for own in labels)
    assert all(("R" in own) for own, y in zip(labels, clouds["y"][:, 0].tolist(), strict=True) if y)


def test_zinc_is_drawn_with_both_classes_equally_often_and_the_same_again(tiny_wheel):
    clouds = load_dataset("rules", rule="'[OX2]'", size=120, geometry="graph").clouds
    assert len(clouds) == 120
    assert abs(float(clouds["y"].mean()) - 0.5) < 0.01
    assert clouds.text["id"][0].startswith("moses-train-")


@pytest.mark.parametrize(("options", "why"), [
    ({"rule": None}, "expected a rule"), ({"rule": "'[U]'"}, f"at least {LEAST} of"),
    ({"rule": "2 * count('[U]')"}, "differs"),
    ({"rule": "distance('O', 'N') < 3", "geometry": "graph"}, "geometry 3d"),
    ({"rule": "distance('[U]', 'N') < 3"}, "that hold"), ({"rule": "amide", "size": 3}, "whole number from"),
    ({"rule": "amide", "source": None, "smiles": "smiles"}, "with a source alone")])
def test_what_cannot_be_planted_is_refused(table, options, why):
    with pytest.raises(PellucidError, match=why):
        load_dataset("rules", **{"source": table, "geometry": "3d", "processes": 1, **options})


def test_a_name_with_a_slip_gets_the_near_one():
    with pytest.raises(UnknownNameError, match="rule-one-urea"):
        read_rule("rule-one-uria")
    assert len(named_rules()) == 32
