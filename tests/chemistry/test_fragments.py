import pytest
from rdkit import Chem

from pellucid.chemistry import FRAGMENTS, matched_atoms
from pellucid.errors import PellucidError


@pytest.mark.parametrize(
    ("smiles", "fragment", "atoms"),
    [
        ("CC(=O)c1ccccc1", "carbonyl", {1, 2}),
        ("OC(=O)CC(=O)N", "carbonyl", {1, 2, 4, 5}),
        ("CCC", "alkane", {0, 1, 2}),
        ("CCCC", "alkane", {0, 1, 2, 3}),
        ("COC", "alkane", {0, 1, 2}),  # the pattern is not limited to carbon
        ("CC", "alkane", set()),
        ("CC(C)C", "alkane", set()),  # branched
        ("C1CCCCC1", "alkane", set()),  # ring
        ("O=C=O", "carbonyl", set()),  # two neighbours only
    ],
)
def test_matches(smiles, fragment, atoms):
    mol = Chem.MolFromSmiles(smiles)
    assert matched_atoms(mol, fragment) == atoms
    assert matched_atoms(mol, FRAGMENTS[fragment].smarts) == atoms


def test_more_than_a_thousand_matches_are_all_found():
    mol = Chem.MolFromSmiles("C" * 1200)
    assert len(matched_atoms(mol, "alkane")) == 1200


@pytest.mark.parametrize("smarts", ["[CX3", "alkan", ""])
def test_a_bad_pattern_is_named(smarts, capfd):
    with pytest.raises(PellucidError, match="expected a SMARTS pattern or one of alkane, carbonyl"):
        matched_atoms(Chem.MolFromSmiles("C"), smarts)
    assert capfd.readouterr().err == ""
