"""Tests of scaffolds: what a split keeps on one side."""

import pytest
from rdkit import Chem

from pellucid.chemistry.scaffolds import scaffold


@pytest.mark.parametrize(("smiles", "expected"), [
    ("Cc1ccc(CCc2ccccn2)cc1", "c1ccc(CCc2ccccn2)cc1"), ("C[C@H]1CCCC[C@@H]1N", "C1CCCCC1"), ("O=C1CCCC1C", "O=C1CCCC1"),
    ("[13CH3]c1ccc([2H])cc1", "c1ccccc1"), ("CCCC", "CCCC"), ("C/C=C/C", "CC=CC")])
def test_scaffolds(smiles: str, expected: str) -> None:
    assert scaffold(Chem.MolFromSmiles(smiles)) == expected


def test_acyclic_molecules_are_groups_of_their_own_and_copies_one() -> None:
    found = [scaffold(Chem.MolFromSmiles(s)) for s in ("CCO", "CCN", "OCC", "C[C@H](N)O", "C[C@@H](N)O", "[13CH3]CO")]
    assert len(set(found)) == 3
