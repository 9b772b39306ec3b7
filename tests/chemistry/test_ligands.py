"""Ligands with their poses: what is read, and what is refused by name."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem, rdPartialCharges
from scipy.spatial.transform import Rotation

from pellucid.chemistry.conformers import ConformerError
from pellucid.chemistry.ligands import conformer_at, read_ligand
from pellucid.chemistry.molecules import ATOM_TYPES
from pellucid.errors import PellucidError

SHARED = Path(__file__).parents[2] / "../shared/data/plbind"
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


def test_mol2_with_aromatic_bonds_and_stereo(write):
    # [NH3+][C@@H](C)c1ccncc1 with its hydrogens; SYBYL types ar and am are RDKit's to understand
    mol = posed("C[C@H]([NH3+])c1ccncc1")
    kinds = {"C": "C.3", "N": "N.4", "H": "H"}
    atoms = [f"{a.GetIdx() + 1} {a.GetSymbol()}{a.GetIdx() + 1} {x:.4f} {y:.4f} {z:.4f} "
             f"{a.GetSymbol() + '.ar' if a.GetIsAromatic() else kinds[a.GetSymbol()]} 1 LIG 0.0"
             for a, (x, y, z) in zip(mol.GetAtoms(), mol.GetConformer().GetPositions(), strict=True)]
    bonds = [f"{b.GetIdx() + 1} {b.GetBeginAtomIdx() + 1} {b.GetEndAtomIdx() + 1} {'ar' if b.GetIsAromatic() else 1}"
             for b in mol.GetBonds()]
    text = "\n".join(["@<TRIPOS>MOLECULE", "amine", f"{len(atoms)} {len(bonds)} 1", "SMALL", "NO_CHARGES", "",
                      "@<TRIPOS>ATOM", *atoms, "@<TRIPOS>BOND", *bonds, ""])
    for name in ("amine.mol2", "amine.mol2.gz"):
        ligand = read_ligand(write(text, name))
        assert (ligand.name, ligand.smiles) == ("amine", "C[C@H]([NH3+])c1ccncc1")
        np.testing.assert_allclose(ligand.pos, mol.GetConformer().GetPositions()[:9], atol=1e-4)


def test_stereo_comes_from_the_pose(write):
    for smiles in ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "C/C=C/Cl", "C/C=C\\Cl"):
        flat = Chem.MolToMolBlock(posed(smiles)).replace("RDKit          3D", "RDKit          2D")  # and a wrong mark
        assert read_ligand(write(flat)).smiles == Chem.CanonSmiles(smiles)


def test_v3000(write):
    assert read_ligand(write(Chem.MolToMolBlock(posed(), forceV3000=True))).smiles == Chem.CanonSmiles(AMIDE)


def test_query_fields_of_the_files_of_pdbbind(write):
    """X-TOOL writes counts of hydrogens and of bonds, and whether a bond is in a ring: to RDKit these are queries."""
    mol = posed("c1ccncc1CC[NH3+]")
    lines = Chem.MolToMolBlock(mol, kekulize=False).splitlines()
    atoms, bonds = mol.GetNumAtoms(), mol.GetNumBonds()
    for i in range(4, 4 + atoms):
        lines[i] = lines[i][:42] + f"  1  0  {mol.GetAtomWithIdx(i - 4).GetDegree()}"
    for i in range(4 + atoms, 4 + atoms + bonds):
        lines[i] = lines[i][:12] + "  0  1"
    text = "\n".join(lines)
    naive = Chem.MolFromMolBlock(text)
    assert not any(atom.GetIsAromatic() for atom in naive.GetAtoms())
    ligand = read_ligand(write(text))
    assert ligand.smiles == Chem.CanonSmiles("c1ccncc1CC[NH3+]")
    assert sum(atom.GetIsAromatic() for atom in ligand.mol.GetAtoms()) == 6
    np.testing.assert_allclose(ligand.charges, read_ligand(write(Chem.MolToMolBlock(mol))).charges, atol=1e-9)


@pytest.mark.parametrize(("smiles", "types"), [
    ("CC(=O)[O-].[Na+]", ["C", "C", "O", "O", "Na"]), ("[Ca+2]", ["Ca"]), ("NCC(=O)NCC(=O)O", list("NCCONCCOO")),
    ("CB(O)O", ["C", "B", "O", "O"]),
])
def test_salts_ions_and_peptides_are_read_as_they_stand(write, smiles, types):
    ligand = read_ligand(write(Chem.MolToMolBlock(posed(smiles))))
    assert [ATOM_TYPES[t] for t in ligand.types] == types
    assert np.isfinite(ligand.charges).all()
    assert len(ligand.pos) == len(types)
    if "." in smiles:
        with pytest.raises(ConformerError, match="2 separate parts"):
            conformer_at(ligand)


def test_deuterium_is_a_hydrogen(write):
    assert read_ligand(write(Chem.MolToMolBlock(posed("[2H]C([2H])([2H])O")))).mol.GetNumAtoms() == 2


def test_a_conformer_at_the_pose(write):
    ligand = read_ligand(write(Chem.MolToMolBlock(posed("CCCCc1ccccc1"))))
    made = conformer_at(ligand, seed=1)
    assert made.shape == ligand.pos.shape
    np.testing.assert_allclose(made.mean(0), ligand.pos.mean(0), atol=1e-6)  # the best superposition has one centre
    ring = [a.GetIdx() for a in ligand.mol.GetAtoms() if a.GetIsAromatic()]
    np.testing.assert_allclose(*(np.linalg.norm(p[ring][:, None] - p[ring], axis=-1) for p in (made, ligand.pos)),
                               atol=0.1)  # a benzene, whatever the chain does
    np.testing.assert_array_equal(made, conformer_at(ligand, seed=1))
    assert not np.array_equal(made, conformer_at(ligand, seed=2))
    rotation, rest = Rotation.align_vectors(ligand.pos - ligand.pos.mean(0), made - made.mean(0))
    assert rotation.magnitude() == pytest.approx(0, abs=1e-3)  # no better rotation exists
    assert rest == pytest.approx(np.linalg.norm(made - ligand.pos), abs=1e-6)


FLAT = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
PENTAVALENT = Chem.MolToMolBlock(posed("CCCCC")).replace("  1  2  1  0", "  1  2  3  0").replace("  2  3  1  0",
                                                                                                 "  2  3  3  0")


ATOM_LINE = "    0.0000    0.0000    1.0000 {:<3} 0  0"
ONE_BOND = "\n\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n{}\n{}\n  1  2  1  0\nM  END\n"


@pytest.mark.parametrize(("text", "name", "message"), [
    ("", "a.sdf", "empty file"), ("\n\n$$$$\n", "a.sdf", "not a valid"), ("junk\n", "a.sdf", "not a valid"),
    ("junk\n", "a.mol2", "not a valid"), ("\0\1\2" * 90, "a.sdf", "not a valid"),
    ("\n\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n", "a.sdf", "it has no atoms"),
    (Chem.MolToMolBlock(posed())[:400], "a.mol", "not a valid"), (FLAT, "a.sdf", "flat drawing"),
    (PENTAVALENT, "a.sdf", "Explicit valence for atom # 0 C, 6"),
    (FLAT, "a.pdb", "of kind .sdf, .mol, .mol2"),
    (Chem.MolToMolBlock(posed("[He]")), "a.sdf", "expected the elements .* got He"),
    (ONE_BOND.format(ATOM_LINE.format("C"), ATOM_LINE.format("Na")), "a.sdf", "parameters for Element: Na"),
    (ONE_BOND.format(ATOM_LINE.format("C"), ATOM_LINE.format("C").replace("1.0000", "   nan")), "a.sdf",
     "not a valid|no numbers"),
    (ONE_BOND.format(ATOM_LINE.format("H"), ATOM_LINE.format("H")), "a.sdf", "hydrogens only"),
])
def test_what_cannot_be_read_is_named(write, capfd, text, name, message):
    path = write(text, name)
    with pytest.raises(PellucidError, match=message) as error:
        read_ligand(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""  # RDKit's own messages are kept quiet


def test_files_that_are_missing_or_cut_short(write, tmp_path):
    with pytest.raises(PellucidError, match="nothing there"):
        read_ligand(tmp_path / "none.sdf")
    path = write(Chem.MolToMolBlock(posed()), "cut.sdf.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(PellucidError, match=r"cut\.sdf\.gz"):
        read_ligand(path)


@pytest.mark.shared
def test_real_ligands():
    if not SHARED.is_dir():
        pytest.skip(f"no complexes in {SHARED}")
    with (SHARED / "index.csv").open() as file:
        rows = list(csv.DictReader(file))[::20]
    for row in rows:
        ligand = read_ligand(SHARED / row["ligand_file"])
        assert len(ligand.pos) == int(row["n_lig_heavy"]), row["id"]
        assert ":" not in ligand.smiles
        assert Chem.MolToSmiles(Chem.MolFromSmiles(ligand.smiles)) == ligand.smiles
        assert -1.1 < ligand.charges.min() < ligand.charges.max() < 1.1
