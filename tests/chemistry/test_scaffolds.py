"""Tests of identity and scaffold: what a split keeps on one side."""

import pytest
from rdkit import Chem

from pellucid.chemistry.scaffolds import identity, scaffold


@pytest.mark.parametrize("smiles", ["C[C@@H](N)C(=O)O", "C[C@H](N)C(=O)O", "OC(=O)C(C)N", "CC([15NH2])C(O)=O",
                                    "C[CH](N)C(=O)[O:3][H]", "[2H]C(C)(N)C(=O)O", "[H]OC(=O)C(N)C([H])([H])[H]"])
def test_one_molecule_has_one_identity(smiles: str) -> None:
    assert identity(Chem.MolFromSmiles(smiles, sanitize=True)) == "CC(N)C(=O)O"


def test_others_have_others() -> None:
    found = {identity(Chem.MolFromSmiles(s)) for s in ("CC(=O)C", "CC(O)=C", "CC(=O)[O-]", "CC(=O)O", "[H][H]")}
    assert len(found) == 5


def test_cis_and_trans_are_one() -> None:
    assert identity(Chem.MolFromSmiles("F/C=C/F")) == identity(Chem.MolFromSmiles("F/C=C\\F")) == "FC=CF"


@pytest.mark.parametrize(("smiles", "expected"), [
    ("Cc1ccc(CCc2ccccn2)cc1", "c1ccc(CCc2ccccn2)cc1"), ("C[C@H]1CCCC[C@@H]1N", "C1CCCCC1"), ("O=C1CCCC1C", "O=C1CCCC1"),
    ("CCCC", "CCCC"), ("C/C=C/C", "CC=CC")])
def test_scaffolds(smiles: str, expected: str) -> None:
    assert scaffold(Chem.MolFromSmiles(smiles)) == expected
