import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from pellucid.chemistry import ATOM_TYPES, atom_types, read_molecules
from pellucid.chemistry.records import parse_smiles
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


@pytest.mark.parametrize("bad", ["C1CC", "CC(C)(C)(C)C", "", "not a molecule", "molecules.mol3", "C" * 5000 + "("])
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
        ("ethanol", 2, True), ("broken", 5, False), ("ethyl amine", 6, True), ("molecule-4", 7, True)]
    assert "'C1CC' is not valid SMILES" in records[1].error
    assert read_molecules(str(path)) != []


def test_csv_finds_its_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfID, SMILES ,other\r\nx1,CCO,1\r\n\r\nx2,,2\r\n,CN,3\r\n")
    records = read_molecules(path)
    assert [(r.name, r.number, r.mol is not None) for r in records] == [
        ("x1", 2, True), ("x2", 4, False), ("molecule-3", 5, True)]
    assert records[1].error == "its SMILES is empty"


def test_csv_without_the_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,text\n1,aspirin\n")
    with pytest.raises(PellucidError, match=r"expected a column of SMILES in .*, got id, text, .* \(--smiles NAME\)"):
        read_molecules(path)


@pytest.mark.parametrize(("name", "content"), [
    ("a.smi", ""), ("a.smi", "\n\n"), ("a.smi", "smiles\n"), ("a.csv", ""), ("a.csv", "\n"), ("a.csv", "smiles\n"),
    ("a.sdf", ""), ("a.sdf", "\n\n"),
])
def test_empty_files(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(PellucidError, match="expected at least one molecule"):
        read_molecules(path)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(PellucidError, match="got nothing there"):
        read_molecules(tmp_path / "none.smi")
    with pytest.raises(PellucidError, match="got nothing there"):
        read_molecules("none.sdf")
    with pytest.raises(PellucidError, match="got a folder"):
        read_molecules(tmp_path)
    for name, content, match in [
            ("a.pdb", b"ATOM", "bond orders; give the molecule as .sdf or SMILES"),
            ("a.xyz", b"1\n\nC 0 0 0\n", "no bonds; give an .sdf, or SMILES"),
            ("a.docx", b"C", "expected a file of kind .csv, .*rename or convert it"),
            ("b.smi", b"\xff\xfe\x00C", "expected at least one readable molecule"),
            ("a.csv", b"PK\x03\x04C", "an Excel workbook or a .zip archive; save or unpack it"),
            ("b.csv", b"smiles\nCC\x00O\n", r"no text \(NUL\); save it as UTF-8"),
            ("c.csv", "smiles\nCCO\n".encode("utf-16-le"), r"no text \(NUL\); save it as UTF-8")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PellucidError, match=match):
            read_molecules(str(tmp_path / name))


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


@pytest.mark.parametrize(("smiles", "reason"), [
    ("C" * 5_001, "5,001 characters, more than 5,000"), ("C" * 1_001, "1,001 heavy atoms, more than 1,000"),
    ("C(Cl)" * 501, "1,002 heavy atoms"), ("C" * 1_000, None), ("[C@@H](N)" * 501, "1,002 heavy atoms"),
    ("C([H])" * 800, None),
    ("[CH2]" * 1_000, None), ("c1ccccc1" * 200, "1,200 heavy"),
])
def test_limits_hold_before_a_parser_sees_anything(smiles, reason, monkeypatch):
    if reason is not None:
        monkeypatch.setattr(Chem, "MolFromSmiles", None)
    mol, told = parse_smiles(smiles)
    assert (mol is None) == (reason is not None)
    assert reason is None or reason in told
    assert len(told) < 200


def test_what_looks_like_a_smiles_is_named():
    assert parse_smiles("CCO>>CC=O") == (None, "'CCO>>CC=O' is a reaction, not a molecule")
    assert "an InChI, not a SMILES" in parse_smiles("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3")[1]
    assert "cannot be printed" in parse_smiles("C\0C")[1]


def test_extensions_belong_to_the_smiles():
    (record,) = read_molecules("CCO |$a;b;c$| ethyl alcohol")
    assert (record.name, record.smiles, record.notes) == ("ethyl alcohol", "CCO |$a;b;c$|", ())
    assert [atom.GetProp("atomLabel") for atom in record.mol.GetAtoms()] == ["a", "b", "c"]
    (record,) = read_molecules("CCO |nonsense| x")
    assert (record.name, record.smiles, record.mol.GetNumAtoms(), len(record.notes)) == ("x", "CCO", 3, 1)
