"""SDF, mol and mol2 files: poses, titles, properties, and records that are not what they should be."""

import gzip
from pathlib import Path

import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from pellucid.chemistry import open_molecules, read_molecules
from pellucid.chemistry.records import MAX_ATOMS
from pellucid.errors import PellucidError

SHARED = Path(__file__).parents[2] / "../shared/cases/structures"


def block(smiles="CCO", name="", seed=1, v3000=False, flat=False):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if flat:
        AllChem.Compute2DCoords(mol)
    else:
        assert AllChem.EmbedMolecule(mol, randomSeed=seed) == 0
    mol.SetProp("_Name", name)
    return Chem.MolToMolBlock(mol, forceV3000=v3000)


def sdf(*entries, **properties):
    text = "".join(f">  <{name}>  (1)\n{value}\n\n" for name, value in properties.items())
    return "".join(f"{entry}{text}$$$$\n" for entry in entries)


@pytest.fixture
def write(tmp_path):
    def write(content, name="a.sdf"):
        path = tmp_path / name
        content = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path
    return write


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["a.sdf", "a.sdf.gz", "a.SDF"])
def test_conformers_of_one_name_get_names_of_their_own(write, name, end):
    blocks = [block("CCCO", "hex", seed) for seed in (1, 2)] + [block("CCN", "other"), block("CCCO", "hex", 3)]
    table = open_molecules(write(sdf(*blocks, pIC50="6.2", series="A, 1").replace("\n", end), name))
    records = list(table)
    assert [r.name for r in records] == ["hex:1", "hex:2", "other", "hex:3"]
    assert all(r.posed for r in records)
    assert [dict(r.values) for r in records] == [{"pIC50": "6.2", "series": "A, 1"}] * 4
    assert (table.columns, table.smiles_column, table.id_column) == (("pIC50", "series"), None, None)
    assert "1 of its titles comes more than once" in table.notes[0]
    assert [r.name for r in table] == [r.name for r in records]


def test_properties_differ_from_record_to_record(write):
    content = "".join([sdf(block(), ID="x1", logS="1"), sdf(block("CCN"), other="two\nlines"),
                       sdf(block("CCC"), ID="x3", logS="")])
    table = open_molecules(write(content))
    assert (table.columns, table.id_column) == (("logS", "other"), "ID")
    assert [(r.name, dict(r.values)) for r in table] == [
        ("x1", {"logS": "1", "other": ""}), ("molecule-2", {"logS": "", "other": "two\nlines"}),
        ("x3", {"logS": "", "other": ""})]
    assert [r.name for r in open_molecules(write(content), id="logs")] == ["1", "molecule-2", "molecule-3"]
    with pytest.raises(PellucidError, match="expected a known property of ids, got 'q'"):
        open_molecules(write(content), id="q")
    with pytest.raises(PellucidError, match="leave it out"):
        open_molecules(write(content), smiles="logS")


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_only_line_feeds_end_a_line(write, mark):
    (record,) = read_molecules(write(sdf(block(name=f"a{mark}b"), note=f"c{mark}d")))
    assert (record.name, record.values["note"], record.smiles) == (f"a{mark}b", f"c{mark}d", "CCO")


def test_latin_1_is_read_as_in_tables(write):
    table = open_molecules(write(sdf(block(name="café"), unit="µM").encode("latin-1")))
    assert [(r.name, dict(r.values)) for r in table] == [("café", {"unit": "µM"})]
    assert "Windows-1252" in table.notes[0]


def test_a_record_without_m_end_and_last_one_without_dollars(write):
    content = sdf(block(name="a").replace("M  END\n", ""), y="1") + block("CCN", "b") + ">  <y>\n2\n"
    assert [(r.name, r.smiles, r.values["y"]) for r in open_molecules(write(content))] == [
        ("a", "CCO", "1"), ("b", "CCN", "2")]


def flattened(text):
    lines = text.split("\n")
    return "\n".join(line[:20] + "    0.0000" + line[30:] if i > 3 and len(line) > 60 else line
                     for i, line in enumerate(lines))


@pytest.mark.parametrize(("content", "posed", "note"), [
    (block(flat=True), False, "flat drawing (2D)"), (block(v3000=True), True, None), (block(), True, None),
    (flattened(block()), False, "all lie at z = 0"), (block("O", "water"), True, None),
])
def test_what_is_a_pose(write, content, posed, note):
    (record,) = read_molecules(write(sdf(content)))
    assert record.posed is posed
    assert (record.notes == ()) if note is None else (note in record.notes[0])
    assert (record.pose is not None) is posed


def test_two_atoms_at_one_place_are_no_pose(write):
    lines = block("CCO").split("\n")
    lines[5] = lines[4][:30] + lines[5][30:]
    (record,) = read_molecules(write(sdf("\n".join(lines))))
    assert (record.posed, record.smiles) == (False, "CCO")
    assert "at one place" in record.notes[0]


def order(text, new):
    """The first bond with another order."""
    lines = text.split("\n")
    at = next(i for i, line in enumerate(lines) if i > 3 and len(line) == 12)
    lines[at] = lines[at][:6] + f"{new:3d}" + lines[at][9:]
    return "\n".join(lines)


def test_bonds_of_no_order_do_not_stop_a_batch(write, capfd):
    content = sdf(order(block(name="zero"), 0), order(block(name="any"), 8), block("CCN", "good"))
    records = read_molecules(write(content))
    assert [(r.name, r.mol is not None) for r in records] == [("zero", False), ("any", False), ("good", True)]
    assert records[0].error == "the bond of its atoms 1 and 2 has order 0; give the bond its order"
    assert "any of several orders" in records[1].error
    assert capfd.readouterr().err == ""


def test_fields_of_queries_do_not_make_a_query(write):
    lines = block("c1ccccc1O").split("\n")
    lines = [line[:42] + "  1  0" + line[48:] if i > 3 and len(line) > 60 else line for i, line in enumerate(lines)]
    assert read_molecules(write(sdf("\n".join(lines))))[0].smiles == "Oc1ccccc1"


def test_valences_are_kept(write):
    radical = "\n\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n" + "".join(
        f"    {x}.0000    0.0000    {x}.0000 C   0  0  0  0  0{valence:3d}  0  0  0  0  0  0\n"
        for x, valence in ((0, 3), (1, 0))) + "  1  2  1  0\nM  END\n"
    assert read_molecules(write(sdf(radical)))[0].smiles == "[CH2]C"


def v3000(atoms, said=None):
    lines = "".join(f"M  V30 {i} C {i}.0 0 {i % 7}.5 0\n" for i in range(1, atoms + 1))
    return ("big\n\n\n  0  0  0  0  0  0  0  0  0  0999 V3000\nM  V30 BEGIN CTAB\n"
            f"M  V30 COUNTS {said or atoms} 0 0 0 0\nM  V30 BEGIN ATOM\n{lines}M  V30 END ATOM\n"
            "M  V30 END CTAB\nM  END\n")


def test_limits_hold_before_rdkit_sees_a_record(write):
    long = sdf(block(name="x"), big=("x" * 1_000 + "\n") * 9_000)
    content = sdf(v3000(MAX_ATOMS + 1)) + sdf(v3000(1, 999_999_999)) + long
    records = list(open_molecules(write(content + sdf(block("CCN", "good")))))
    assert [r.mol is not None for r in records] == [False, False, False, True]
    assert records[0].error == "it has 1,001 heavy atoms, more than 1,000"
    assert "999,999,999" in records[1].error
    assert "more than 8,388,608 characters" in records[2].error
    mol = Chem.AddHs(Chem.MolFromSmiles("C" * 400))  # many hydrogens are no hindrance
    mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))
    assert next(iter(open_molecules(write(sdf(Chem.MolToMolBlock(mol)))))).mol.GetNumAtoms() == 400


def test_a_mol_file_is_called_as_it_is_or_as_its_file(write):
    assert [r.name for r in read_molecules(write(block(), "penicillin.mol"))] == ["penicillin"]
    assert [r.name for r in read_molecules(write(block(name="x"), "penicillin.mol.gz"))] == ["x"]


MOL2 = """@<TRIPOS>MOLECULE
{name}
 {atoms} {bonds} 0 0 0
SMALL
NO_CHARGES

@<TRIPOS>ATOM
{lines}@<TRIPOS>BOND
{pairs}"""


def mol2(atoms, bonds, name="x"):
    lines = "".join(f" {i} {kind[0]}{i} {i}.0 {i % 2}.5 {i % 3}.0 {kind} 1 LIG 0\n" for i, kind in enumerate(atoms, 1))
    pairs = "".join(f" {i} {a} {b} {kind}\n" for i, (a, b, kind) in enumerate(bonds, 1))
    return MOL2.format(name=name, atoms=len(atoms), bonds=len(bonds), lines=lines, pairs=pairs)


@pytest.mark.parametrize(("atoms", "bonds", "smiles", "notes"), [
    (["C.3", "C.3"], [(1, 2, 1)], "CC", 1), (["C.3", "C.2", "O.2", "N.am"], [(1, 2, 1), (2, 3, 2), (2, 4, "am")],
                                             "CC(N)=O", 1),
    (["C.3", "O.3", "H"], [(1, 2, 1), (2, 3, 1)], "CO", 1),
    (["C.3", "C.2", "O.co2", "O.co2"], [(1, 2, 1), (2, 3, "ar"), (2, 4, "ar")], "CC(=O)[O-]", 1),
    (["C.3", "O.3", "H", "H", "H", "H"], [(1, 2, 1), (2, 3, 1), (1, 4, 1), (1, 5, 1), (1, 6, 1)], "CO", 0),
])
def test_mol2_without_its_hydrogens_is_filled_in(write, atoms, bonds, smiles, notes):
    (record,) = read_molecules(write(mol2(atoms, bonds), "a.mol2"))
    assert (record.name, record.smiles, record.posed) == ("x", smiles, True)
    assert len(record.notes) == notes


def test_mol2_of_several_records_and_other_types(write):
    content = "# made by hand\n" + mol2(["C.3", "C.3"], [(1, 2, 1)], "a") + "\n" + mol2(["ca", "oh"], [(1, 2, 1)], "b")
    records = read_molecules(write(content + mol2(["C.3", "N.3"], [(1, 2, 1)], "a"), "a.mol2.gz"))
    assert [(r.name, r.smiles) for r in records] == [("a:1", "CC"), ("b", ""), ("a:2", "CN")]
    assert "SYBYL atom types, which are needed; convert it to .sdf" in records[1].error


@pytest.mark.shared
def test_molfiles_of_the_structures_are_read():
    if not SHARED.is_dir():
        pytest.skip(f"no cases in {SHARED}")
    smiles = {path.stem: read_molecules(path)[0].smiles for path in SHARED.glob("s_*.sdf")}
    assert smiles["s_open_vvv"] == "[CH2]C(N)=O"
    assert {smiles[f"s_{mark}"] for mark in ("LSEP", "NEL", "VT", "FF", "FS", "latin1")} == {"CC(=O)NCCO"}
    assert not any(read_molecules(SHARED / f"s_{kind}.sdf")[0].posed for kind in ("zero_3D", "chemdraw_3D"))
    assert {read_molecules(SHARED / f"mol2_{kind}.mol2")[0].smiles for kind in ("noH", "polarH")} == {"CC(=O)NCCO"}
