import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from pellucid.chemistry import ATOM_TYPES, atom_types, read_molecules
from pellucid.errors import PellucidError


def posed(smiles, name):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=1) == 0
    mol.SetProp("_Name", name)
    return mol


def test_atom_types_follow_the_order_of_the_paper():
    assert ATOM_TYPES == ("C", "N", "O", "S", "F", "P", "Cl", "Br", "Na", "Ca", "I", "B", "H", "*")
    mol = Chem.MolFromSmiles("C.N.O.S.F.P.Cl.Br.[Na+].[Ca+2].I.B.[H][H].*")
    assert atom_types(mol).tolist() == [*range(13), 12, 13]


def test_an_unlisted_element_is_named_not_taken_for_a_dummy():
    with pytest.raises(PellucidError, match=r"got Si \(atom 1\) in molecule 'odd'"):
        atom_types(Chem.MolFromSmiles("C[SiH3]"), "odd")


def test_a_smiles_string():
    (record,) = read_molecules("OCC")
    assert (record.smiles, record.number, record.posed, record.error) == ("OCC", 1, False, None)
    assert [a.GetSymbol() for a in record.mol.GetAtoms()] == ["O", "C", "C"]
    assert record.pose is None


def test_salts_are_read_as_they_stand():
    assert read_molecules("CC(=O)[O-].[Na+]")[0].mol.GetNumAtoms() == 5


@pytest.mark.parametrize("bad", ["C1CC", "CC(C)(C)(C)C", "", "not a molecule", "molecules.mol2", "C" * 5000 + "("])
def test_an_unreadable_smiles_is_an_error_without_rdkit_noise(bad, capfd):
    with pytest.raises(PellucidError, match="expected at least one readable molecule"):
        read_molecules(bad)
    assert capfd.readouterr().err == ""


def test_the_reason_is_the_chemistry():
    with pytest.raises(PellucidError, match="Explicit valence for atom # 1 C, 5"):
        read_molecules("CC(C)(C)(C)C")


def test_smi_goes_on_after_a_bad_line(tmp_path):
    path = tmp_path / "a.SMI"
    path.write_text("smiles name\nCCO ethanol\n\n# comment\nC1CC broken\nCCN\tethyl amine\nCO\n")
    records = read_molecules(path)
    assert [(r.name, r.number, r.mol is not None) for r in records] == [
        ("ethanol", 2, True), ("broken", 5, False), ("ethyl amine", 6, True), ("molecule-7", 7, True)]
    assert "'C1CC' is not valid SMILES" in records[1].error
    assert read_molecules(str(path)) != []


def test_csv_finds_its_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfID, SMILES ,other\r\nx1,CCO,1\r\n\r\nx2,,2\r\n,CN,3\r\n")
    records = read_molecules(path)
    assert [(r.name, r.number, r.mol is not None) for r in records] == [
        ("x1", 2, True), ("x2", 4, False), ("molecule-5", 5, True)]
    assert "no atoms" in records[1].error


def test_csv_without_the_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,structure\n1,CCO\n")
    with pytest.raises(PellucidError, match=r"expected a column 'smiles' in .* got id, structure"):
        read_molecules(path)


@pytest.mark.parametrize(("name", "content"), [
    ("a.smi", ""), ("a.smi", "\n\n"), ("a.smi", "smiles\n"), ("a.csv", ""), ("a.csv", "\n"), ("a.csv", "smiles\n"),
    ("a.sdf", ""), ("a.sdf", "\n\n"),
])
def test_empty_files(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(PellucidError, match=r"expected (at least one molecule|a column)"):
        read_molecules(path)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(PellucidError, match="got nothing there"):
        read_molecules(tmp_path / "none.smi")
    with pytest.raises(PellucidError, match="got nothing there"):
        read_molecules("none.sdf")
    (tmp_path / "a.pdb").write_text("ATOM")
    with pytest.raises(PellucidError, match="expected a file of kind"):
        read_molecules(str(tmp_path / "a.pdb"))
    (tmp_path / "b.smi").write_bytes(b"\xff\xfe\x00C")
    with pytest.raises(PellucidError, match="expected UTF-8 text"):
        read_molecules(tmp_path / "b.smi")


def test_sdf_keeps_poses_and_order_and_survives_a_bad_record(tmp_path):
    first = posed("OC(C)=O", "acid")
    flat = Chem.MolFromSmiles("CCO")
    AllChem.Compute2DCoords(flat)
    blocks = [Chem.MolToMolBlock(first), "junk\n\n\nnot a counts line\nM  END\n", Chem.MolToMolBlock(flat),
              Chem.MolToMolBlock(posed("NCC", ""), forceV3000=True)]
    path = tmp_path / "a.sdf"
    path.write_text("".join(b + "\n$$$$\n" for b in blocks))
    records = read_molecules(path)
    assert [(r.name, r.number, r.posed, r.mol is not None) for r in records] == [
        ("acid", 1, True, True), ("junk", 2, False, False), ("molecule-3", 3, False, True),
        ("molecule-4", 4, True, True)]
    assert [a.GetSymbol() for a in records[0].mol.GetAtoms()] == ["O", "C", "C", "O"]
    np.testing.assert_allclose(records[0].pose, first.GetConformer().GetPositions()[:4], atol=1e-4)
    assert records[2].pose is None


def test_sdf_cut_short_and_impossible_chemistry(tmp_path, capfd):
    block = Chem.MolToMolBlock(posed("CCO", "good"))
    mol = Chem.MolFromSmiles("CC(C)(C)(C)C", sanitize=False)
    mol.SetProp("_Name", "pentavalent")
    path = tmp_path / "a.sdf"
    path.write_text(block + "$$$$\n" + Chem.MolToMolBlock(mol, kekulize=False) + "$$$$\n" + block[: len(block) // 3])
    records = read_molecules(path)
    assert [r.mol is not None for r in records] == [True, False, False]
    assert "Explicit valence" in records[1].error
    assert capfd.readouterr().err == ""
