"""Ligands with their poses: what is read, and what is refused by name."""

import gzip

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem, rdPartialCharges

from pellucid.chemistry.ligands import conformer_at, read_ligand
from pellucid.chemistry.molecules import ATOM_TYPES
from pellucid.errors import PellucidError

AMIDE = "CC(=O)Nc1ccc(O)cc1"


def posed(smiles=AMIDE, hydrogens=True, shift=20.0):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=3)
    shape = mol.GetConformer()
    shape.SetPositions(shape.GetPositions() + shift)
    return mol if hydrogens else Chem.RemoveHs(mol)


@pytest.fixture
def write(tmp_path):
    def written(text, name="ligand.sdf"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path
    return written


@pytest.mark.parametrize("name", ["ligand.sdf", "ligand.mol", "ligand.sdf.gz"])
@pytest.mark.parametrize("hydrogens", [True, False])
def test_atoms_pose_and_charges(write, name, hydrogens):
    mol = posed(hydrogens=hydrogens)
    ligand = read_ligand(write(Chem.MolToMolBlock(mol) + "$$$$\n", name))
    heavy = [a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() > 1]
    np.testing.assert_allclose(ligand.pos, mol.GetConformer().GetPositions()[heavy], atol=1e-4)
    assert [ATOM_TYPES[t] for t in ligand.types] == [mol.GetAtomWithIdx(i).GetSymbol() for i in heavy]
    whole = Chem.AddHs(Chem.MolFromSmiles(AMIDE))
    rdPartialCharges.ComputeGasteigerCharges(whole)
    expected = [a.GetDoubleProp("_GasteigerCharge") for a in whole.GetAtoms() if a.GetAtomicNum() > 1]
    np.testing.assert_allclose(ligand.charges, expected, atol=1e-6)
    assert ligand.smiles == Chem.CanonSmiles(AMIDE)
    assert ligand.mol.GetNumAtoms() == len(heavy)
    assert ligand.mol_h.GetNumAtoms() == whole.GetNumAtoms()


def test_names(write):
    mol = posed()
    path = write(Chem.MolToMolBlock(mol), "1abc_ligand.sdf")
    assert read_ligand(path).name == "1abc_ligand"
    assert read_ligand(path, name="mine").name == "mine"
    mol.SetProp("_Name", "paracetamol")
    assert read_ligand(write(Chem.MolToMolBlock(mol))).name == "paracetamol"


def test_the_first_of_several(write):
    text = "".join(Chem.MolToMolBlock(posed(s)) + "$$$$\n" for s in ("CCO", "CCN"))
    assert read_ligand(write(text)).smiles == "CCO"


def test_mol2(write):
    path = write("""@<TRIPOS>MOLECULE
water and methane
 2 0 0 0 0
SMALL
NO_CHARGES

@<TRIPOS>ATOM
 1 O1 1.0 2.0 3.0 O.3 1 LIG 0.0
 2 C1 5.0 2.0 3.5 C.3 1 LIG 0.0
@<TRIPOS>BOND
""", "two.mol2")
    ligand = read_ligand(path)
    assert ligand.pos.tolist() == [[1, 2, 3], [5, 2, 3.5]]
    assert [ATOM_TYPES[t] for t in ligand.types] == ["O", "C"]


def test_a_conformer_at_the_pose():
    from pellucid.chemistry.ligands import Ligand

    mol = posed("CCCCc1ccccc1", hydrogens=False)
    pos = mol.GetConformer().GetPositions()
    ligand = Ligand("x", mol, Chem.AddHs(mol), pos, np.zeros(len(pos), dtype=np.int64), np.zeros(len(pos)), "")
    made = conformer_at(ligand, seed=1)
    assert made.shape == pos.shape
    assert np.linalg.norm(made.mean(0) - pos.mean(0)) < 1e-6  # the best superposition has one centre
    ring = [a.GetIdx() for a in mol.GetAtoms() if a.GetIsAromatic()]
    away = np.linalg.norm(made[ring][:, None] - made[ring], axis=-1)
    there = np.linalg.norm(pos[ring][:, None] - pos[ring], axis=-1)
    np.testing.assert_allclose(away, there, atol=0.1)  # a benzene whatever the chain does
    np.testing.assert_array_equal(made, conformer_at(ligand, seed=1))


FLAT = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
PENTAVALENT = Chem.MolToMolBlock(posed("CCCCC")).replace("  1  2  1  0", "  1  2  3  0").replace("  2  3  1  0",
                                                                                                 "  2  3  3  0")


@pytest.mark.parametrize(("text", "name", "message"), [
    ("", "a.sdf", "empty file"), ("junk\n", "a.sdf", "a.sdf"), ("junk\n", "a.mol2", "a.mol2"),
    (FLAT, "a.sdf", "flat drawing"), (PENTAVALENT, "a.sdf", "valence"), (FLAT, "a.pdb", "of kind .sdf, .mol, .mol2"),
    (Chem.MolToMolBlock(posed("[He]")), "a.sdf", "expected the elements"),
])
def test_what_cannot_be_read_is_named(write, text, name, message):
    path = write(text, name)
    with pytest.raises(PellucidError, match=message) as error:
        read_ligand(path)
    assert name in str(error.value)


def test_files_that_are_missing_or_cut_short(write, tmp_path):
    with pytest.raises(PellucidError, match="nothing there"):
        read_ligand(tmp_path / "none.sdf")
    path = write(Chem.MolToMolBlock(posed()), "cut.sdf.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(PellucidError, match=r"cut\.sdf\.gz"):
        read_ligand(path)
