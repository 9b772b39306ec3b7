from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from rdkit import Chem

from pellucid.errors import PellucidError
from pellucid.report import colour, depict, depict_truth
from pellucid.report.colours import DIVERGING_MAP, TRUE_COLOUR, hexadecimal
from pellucid.report.depiction import INK


def disc_colours(svg: str) -> dict[int, str]:
    found = re.findall(r"<ellipse[^>]*class='atom-(\d+)'[^>]*fill:(#\w{6})", svg)
    return {int(atom): fill.lower() for atom, fill in found}


def test_atoms_keep_their_order() -> None:
    smiles = "OC(=O)c1ccccc1N"
    mol = Chem.MolFromSmiles(smiles)
    order = np.random.default_rng(0).permutation(mol.GetNumAtoms()).tolist()
    shuffled = Chem.RenumberAtoms(mol, order)
    importance = np.arange(mol.GetNumAtoms(), dtype=float)
    expected = {i: hexadecimal(c) for i, c in enumerate(colour(importance))}
    assert disc_colours(depict(smiles, importance)) == expected
    assert disc_colours(depict(shuffled, importance)) == expected
    symbols = {i for i, atom in enumerate(shuffled.GetAtoms()) if atom.GetSymbol() in "NO"}
    drawn = {int(i) for i in re.findall(r"<path class='atom-(\d+)'", depict(shuffled, importance))}
    assert drawn == symbols  # a letter is drawn at exactly the atoms that are not carbon


def test_the_molecule_is_not_changed_and_hydrogens_stay() -> None:
    mol = Chem.AddHs(Chem.MolFromSmiles("CO"))
    before = Chem.MolToMolBlock(mol)
    assert len(disc_colours(depict(mol, np.arange(6.0)))) == 6
    assert Chem.MolToMolBlock(mol) == before


def test_it_is_xml_and_its_title_is_escaped() -> None:
    svg = depict("CCO", [0, 1, 2], title="</title><script>alert('1')</script>")
    assert "<script" not in svg
    assert ElementTree.fromstring(svg).attrib["data-colours"] == "importance"
    assert "data-colours='fixed'" in depict("CCO", colours=[(1, 0, 0)] * 3)
    assert "<ellipse" not in depict("CCO")


def test_truth_has_two_colours() -> None:
    discs = disc_colours(depict_truth("CCO", [False, True, True]))
    assert discs[1] == discs[2] == TRUE_COLOUR != discs[0]


def test_symbols_on_dark_discs_are_white() -> None:
    assert "#FFFFFF" in depict("CO", [0.0, 1.0])
    assert "#FFFFFF" not in depict("CO", [1.0, 0.0])


def test_molecules_that_cannot_be_kekulised_are_drawn() -> None:
    mol = Chem.MolFromSmiles("c1cccc1", sanitize=False)
    mol.UpdatePropertyCache(strict=False)
    assert len(disc_colours(depict(mol, np.arange(5.0)))) == 5


@pytest.mark.parametrize(("molecule", "importance", "message"), [
    ("C1CC", [1.0], "does not parse"), ("CCO", [1.0], r"\(3,\), got \(1,\)"), (7, [1.0], "SMILES or an RDKit"),
    ("", [], "empty"),
])
def test_mistakes_are_told(molecule: object, importance: list[float], message: str) -> None:
    with pytest.raises(PellucidError, match=message):
        depict(molecule, importance)


def test_importance_and_colours_exclude_each_other() -> None:
    with pytest.raises(PellucidError, match="one of them"):
        depict("C", [1.0], colours=[(0, 0, 0)])


def test_signed_importance_is_red_above_zero_and_blue_below() -> None:
    svg = depict("CCO", [-2.0, 0.0, 1.0], signed=True, marked=[True, False, True])
    assert disc_colours(svg) == {0: DIVERGING_MAP[0], 1: DIVERGING_MAP[8], 2: DIVERGING_MAP[12]}
    assert svg.count("data-kept") == 2
    assert svg.count(INK) == 2  # an outline that no colour of the map is like
