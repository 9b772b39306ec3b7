"""Molecules out of files of any kind, frames and lists; contents are written here, with neighbours of each fault."""

import csv
import gzip
import io
import itertools
import pickle
import random
import tracemalloc
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from rdkit import Chem

from pellucid.chemistry import MoleculeRecord, open_molecules, read_molecules
from pellucid.chemistry.tables import SUFFIXES
from pellucid.errors import PellucidError, UnknownNameError

SHARED = Path("../shared/cases/molecules") if Path("../shared/cases").is_dir() else (
    Path(__file__).parents[2] / "../shared/cases/molecules")
THREE = [("CCO", "ethanol"), ("CC(=O)Oc1ccccc1C(=O)O", "aspirin"), ("CCCCCC(=O)Nc1ccc(F)cc1", "hexanamide")]
COUNTS = "  3  2  0  0  0  0  0  0  0  0999 V2000"
ETHANOL = "".join(f"    {x}.0000    0.0000    {x}.5000 {element}   0  0\n" for x, element in enumerate("CCO")) + (
    "  1  2  1  0\n  2  3  1  0\nM  END\n")


@pytest.fixture
def write(tmp_path):
    def write(content, name="a.csv", encoding="utf-8"):
        path = tmp_path / name
        content = content.encode(encoding) if isinstance(content, str) else content
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path
    return write


def pairs(table):
    return [(record.smiles, record.name) for record in table]


def lines(separator, header=("smiles", "name")):
    return "".join(separator.join(row) + "\n" for row in ([header] if header else []) + THREE)


@pytest.mark.parametrize(("name", "content", "said"), [
    ("plain.csv", lines(","), None), ("crlf.csv", lines(",").replace("\n", "\r\n"), None),
    ("returns.csv", lines(",").replace("\n", "\r"), None), ("double.csv", lines(",").replace("\n", "\r\r\n"), None),
    ("bom.csv", "\ufeff" + lines(","), None), ("semi.csv", lines(";"), "semicolons"), ("tab.csv", lines("\t"), "tabs"),
    ("bars.csv", lines("|"), "bars"), ("bars2.csv", lines(" | "), "bars"), ("spaces.csv", lines(" "), "spaces"),
    ("tsv.tsv", lines("\t"), None), ("commas.tsv", lines(","), "commas"), ("a.txt", lines("\t"), None),
    ("commas.txt", lines(","), "commas"), ("spaces.txt", lines(" "), "spaces"), ("plain.csv.gz", lines(","), None),
    ("Structure.csv", lines(",", ("Structure", "ID")), "the column 'Structure' is taken"),
    ("upper.csv", lines(",", ("SMILES", "Compound ID")), None), ("head.smi", lines(" "), None),
    ("drug.csv", lines(",", ("Drug", "Drug_ID")), "the column 'Drug' is taken"),
    ("odd.csv", lines(",", ("x", "y")), "the column 'x' is taken"),
    ("head2.smi", lines("\t", ("SMILES", "ID")), "tabs"),
    ("head3.smi", lines(" ", ("canonical_smiles", "name")), None), ("p.smi.gz", lines(" ", None), None),
    ("a.smiles", lines(" ", None), None), ("commas.smi", lines(",", None), "commas"),
    ("nohead.csv", lines(",", None), "no header line"), ("nohead.tsv", lines("\t", None), "no header line"),
    ("excel.csv", "sep=;\n" + lines(";"), None), ("excel2.csv", '"sep=;"\r\n' + lines(";"), None),
    ("remarks.csv", "# exported today\n" + lines(","), None), ("remarks.smi", "# a, b\n" + lines(" ", None), None),
    ("blank.csv", "\n\n" + lines(",").replace("\n", "\n\n"), None),
    ("trailing.csv", lines(",").replace("\n", ",\n"), None),
    ("quoted.csv", "".join(f'"{a}", "{b}"\n' for a, b in [("smiles", "name"), *THREE]), None),
])
def test_tables_of_any_kind(write, name, content, said):
    table = open_molecules(write(content, name))
    assert pairs(table) == THREE
    assert pairs(table) == THREE
    assert table.columns in ((), ("column-3",))
    assert said is None or said in "; ".join(table.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.smi", "a.tsv"])
def test_encodings(write, name, encoding):
    separator = {"smi": " ", "tsv": "\t"}.get(name[2:5], ",")
    table = open_molecules(write(separator.join(("smiles", "name", "µM")) + "\n" + separator.join(
        ("CCO", "éthanol", "5\xb1")) + "\n" + separator.join(("CCN", "b", "6")) + "\n", name, encoding))
    assert [(r.name, dict(r.values)) for r in table] == [("éthanol", {"µM": "5±"}), ("b", {"µM": "6"})]
    odd = [note for note in table.notes if "UTF" in note]
    assert len(odd) == (encoding in ("utf-16", "utf-32", "latin-1", "cp1252"))


def test_a_letter_of_windows_far_into_the_file(write):
    table = open_molecules(write(b"smiles,name\n" + b"CCO,plain\n" * 20_000 + b"CCN,caf\xe9 \x80\x81\n"))
    assert not table.notes
    *_, last = itertools.islice(table, 20_001)
    assert last.name == "café \x80\x81"  # one byte of it means nothing in Windows-1252, so that Latin-1 is taken
    assert "Windows-1252" in table.notes[0]


@pytest.mark.parametrize(("content", "smiles", "id", "columns"), [
    ("id,cls,canonical,y\n1,C,CC(=O)O,0\n2,N,c1ccccc1,1\n3,I,CCO,0\n", "canonical", "id", ("cls", "y")),
    ("code,symbol,x\na1,CO,OCCO\nb2,CO,C1CC1\nc3,N,CC#N\n", "x", "code", ("symbol",)),
    ("canonical_smiles,molecule_chembl_id,pIC50\nCCO,C1,6.1\nCCN,C2,\n", "canonical_smiles", "molecule_chembl_id",
     ("pIC50",)),
    ("num,name,p_np,smiles\n1,Propanolol,1,CCO\n2,b,0,CCN\n", "smiles", "name", ("num", "p_np")),
    ("smiles,y,batch\nCCO,1,a\nCCN,2,a\n", "smiles", None, ("y", "batch")),
    ("smiles,y,what\nCCO,1,first\nCCN,2,second\n", "smiles", "what", ("y",)),
    ("smiles,smiles,y\nCCO,CCN,1\nCCC,CCF,1\n", "smiles", None, ("smiles.2", "y")),
    ("SMILES_name,mol\nethanol,CC(O)C\npropane,CC(C)C\n", "mol", "SMILES_name", ()),
    ("smiles,y,y\nCCO,1,2\nCCN,3,4\n", "smiles", None, ("y", "y.2")),
    (",smiles,y\n0,CCO,1\n1,CCN,2\n", "smiles", None, ("column-1", "y")),
    ("Internal ID,Vendor ID,SMILES,CollectionName\nM1,3,CCO,emolecules\nM2,4,CCN,emolecules\n", "SMILES", "Internal ID",
     ("Vendor ID", "CollectionName")),
    ("smiles,logS id\nCCO,x\nOCC,x\n", "smiles", "logS id", ()),
])
def test_columns_are_found_by_name_and_content(write, content, smiles, id, columns):
    table = open_molecules(write(content))
    assert (table.smiles_column, table.id_column, table.columns) == (smiles, id, columns)


def test_columns_are_what_the_user_says(write):
    path = write("a,b,smiles\nCCO,CCN,CC\nCCC,CCCC,C\n")
    assert pairs(open_molecules(path, smiles="B", id="a")) == [("CCN", "CCO"), ("CCCC", "CCC")]
    with pytest.raises(UnknownNameError, match=r"a known column of SMILES, got 'smile'; did you mean 'smiles'"):
        open_molecules(path, smiles="smile")
    with pytest.raises(UnknownNameError, match=r"expected a known column of ids, got 'q'"):
        open_molecules(path, id="q")


def test_a_first_row_with_a_named_column_is_a_header(write):
    """``b`` and ``C`` are SMILES too."""
    path = write("a,b,C\nCCO,CCN,one\nCCCO,c1ccccc1,two\n")
    assert pairs(open_molecules(path, smiles="b", id="C")) == [("CCN", "one"), ("c1ccccc1", "two")]
    assert pairs(open_molecules(path, smiles="B", id="c")) == [("CCN", "one"), ("c1ccccc1", "two")]
    assert open_molecules(path, smiles="b", id="C").columns == ("a",)


def test_two_columns_of_smiles(write):
    table = open_molecules(write("raw_smiles,smiles,y\nCCO,OCC,1\nCCN.Cl,CCN,2\n"))
    assert (table.smiles_column, table.columns) == ("smiles", ("raw_smiles", "y"))
    assert "SMILES are in 'raw_smiles' too; 'smiles' is taken (--smiles NAME takes another)" in table.notes
    table = open_molecules(write("smiles,structure\nmissing,CC(C)O\nmissing,c1ccccc1\n"))
    assert table.smiles_column == "structure"
    assert any("'smiles' is not taken" in note for note in table.notes)


@pytest.mark.parametrize("content", [
    "id,text\n1,aspirin\n2,water\n", "cls,y\nC,1\nN,2\nC,3\n", "a,b\n1,2\n3,4\n", "name\nethanol\n",
    "id,inchi\n1,InChI=1S/CH4/h1H4\n2,InChI=1S/H2O/h1H2\n",
])
def test_without_a_column_of_smiles(write, content):
    names = content.partition("\n")[0].replace(",", ", ")
    with pytest.raises(PellucidError, match=rf"got {names}, none of which holds SMILES; name it \(--smiles NAME\)"):
        open_molecules(write(content))


@pytest.mark.parametrize(("name", "content", "expected"), [
    ("x.txt", "CCO", [("CCO", "molecule-1")]), ("one.csv", "CCO,ethanol\n", [("CCO", "ethanol")]),
    ("list.csv", "C\nN\nCO", [("C", "molecule-1"), ("N", "molecule-2"), ("CO", "molecule-3")]),
    ("small.smi", "C methane, a gas\nO water, no gas\n", [("C", "methane, a gas"), ("O", "water, no gas")]),
    ("spaces.smi", "CCO ethyl alcohol 99%\n", [("CCO", "ethyl alcohol 99%")]),
    ("smiles.smi", "CCO my smiles\n", [("CCO", "my smiles")]),
    ("first_bad.smi", "C1CC broken\nCCO good\n", [("C1CC", "broken"), ("CCO", "good")]),
    ("first_bad.csv", "C1CC,broken\nCC(=O)O,good\n", [("C1CC", "broken"), ("CC(=O)O", "good")]),
    ("cx.smi", "CCO |$a;b;c$| ethanol\nC[C@H](N)C(=O)O |o1:1| ala nine\n",
     [("CCO |$a;b;c$|", "ethanol"), ("C[C@H](N)C(=O)O |o1:1|", "ala nine")]),
    ("cx.tsv", "smiles\tname\nCCO |$a;b,c;d$|\tethanol\n", [("CCO |$a;b,c;d$|", "ethanol")]),
    ("cx.csv", 'smiles,name\n"CCO |$a;b;c$|",ethanol\nCCN |$a;b;c$|,amine\n',
     [("CCO |$a;b;c$|", "ethanol"), ("CCN |$a;b;c$|", "amine")]),
    ("decimal.csv", "smiles;logS;id\nCCO;1,5;a\nCCN;2,5;b\n", [("CCO", "a"), ("CCN", "b")]),
    ("swapped.smi", "ethanol CC(O)\nacid CC(=O)O\n", [("CC(O)", "ethanol"), ("CC(=O)O", "acid")]),
    ("wide.smi", "smiles id y\nCCO a 1\nCCN b 2\n", [("CCO", "a"), ("CCN", "b")]),
    ("break.csv", 'smiles,name\nCCO,"two\nlines"\nCCN,b\n', [("CCO", "two\nlines"), ("CCN", "b")]),
])
def test_lines_as_people_write_them(write, name, content, expected):
    assert pairs(open_molecules(write(content, name))) == expected


def test_a_quote_that_swallows_lines_is_told(write):
    records = list(open_molecules(write('smiles\tname\nCCO\t5"-thing\nCCN\t"odd\nCCC\tz"\nCN\t"b"\n', "a.tsv")))
    assert [(r.name, len(r.notes)) for r in records] == [('5"-thing', 0), ("odd\nCCC\tz", 1), ("b", 0)]
    assert records[1].notes == ("a cell in quotes goes from line 3 to 4",)


def test_gaps_and_broken_entries_are_records(write):
    table = open_molecules(write("smiles,name,y\nCCO,a,1\n,b,2\nxx,c\nc1ccccc1,d,3,4\nCN,a,\n"))
    records = list(table)
    assert [(r.name, r.number, r.mol is not None, r.values["y"]) for r in records] == [
        ("a", 2, True, "1"), ("b", 3, False, "2"), ("c", 4, False, ""), ("d", 5, False, ""), ("a", 6, True, "")]
    assert records[1].error == "its SMILES is empty"
    assert records[2].error == "'xx' is not valid SMILES"
    assert "its line has 4 cells, where the first one has 3; put cells that hold a ',' in quotes" in records[3].error
    assert table.notes == ["1 of its ids comes more than once (2 molecules)"]


def test_cells_and_lines_of_megabytes_are_told_and_passed_over(write):
    for kind, middle in {"cell": "C" * 200_000, "line": "C" * 3_000_000, "smiles": "C" * 6_000,
                         "quote": '"' + "CCO,x\n" * 30_000}.items():
        records = list(open_molecules(write(f"smiles,name\nCCO,a\n{middle},b\nCCN,c\n")))
        assert [r.name for r in records if r.mol is not None][:1] == ["a"], kind
        assert records[-1].name == "c", kind
        bad = [r for r in records if r.mol is None]
        assert 1 <= len(bad) <= 2, kind
        assert len(bad[0].error) < 120, kind
        assert len(bad[0].smiles) <= 5_000, kind


def test_a_line_without_an_end_is_refused_in_bounded_memory(tmp_path):
    for content in (b"C", b"\n", b" "):
        path = tmp_path / "bomb.csv.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            for _ in range(70):
                file.write(content * (1 << 20))
        tracemalloc.start()
        with pytest.raises(PellucidError, match="expected"):
            read_molecules(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["a.csv.gz", "a.smi.gz", "a.sdf.gz", "a.parquet.gz"])
def test_a_gzipped_file_that_is_cut_short(write, name):
    random.seed(1)
    content = "".join(f"CCO molecule{random.random()}\n" for _ in range(20_000))
    path = write(content, name)
    path.write_bytes(path.read_bytes()[:-2_000])
    with pytest.raises(PellucidError, match=r"cut short or damaged .*; download or pack it again"):
        list(open_molecules(path))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(PellucidError, match="cut short or damaged"):
        open_molecules(path)


@pytest.mark.parametrize("name", ["a.smi", "a.csv", "a.csv.gz", "a.sdf", "a.parquet"])
def test_memory_stays_flat(tmp_path, name, monkeypatch):
    path, many = tmp_path / name, 10_000
    if name.endswith("parquet"):
        parquet.write_table(pa.table({"smiles": ["CCO"] * many, "id": [f"m{i}" for i in range(many)]}), path)
    else:
        separator = " " if name.endswith("smi") else ","
        row = f"{{0}}\n\n\n{COUNTS}\n{ETHANOL}> <y>\n1\n\n$$$$\n" if name.endswith("sdf") else f"CCO{separator}{{0}}\n"
        text = "".join(row.format(f"m{i}") for i in range(many)).encode()
        path.write_bytes(gzip.compress(text, 1) if name.endswith("gz") else text)
    ethanol, table = Chem.MolFromSmiles("CCO"), open_molecules(path)
    monkeypatch.setattr("pellucid.chemistry.records.Chem.MolFromSmiles", lambda smiles, **_: ethanol)
    monkeypatch.setattr("pellucid.chemistry.sdf.molecule_of_block", lambda block: (ethanol, ""))
    tracemalloc.start()
    records = iter(table)
    for number, record in zip(range(1, many // 5), records, strict=False):
        assert record.name == f"m{number - 1}"
    early = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    assert sum(1 for _ in records) == many - number
    late = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert late - early < 1.2e6  # of which eight bytes a molecule are hashes of ids


def test_the_first_comes_before_the_rest_is_read(write):
    path = write(b"smiles,name\n" + b"CCO,a\n" * 30_000)
    records = iter(open_molecules(path))
    assert next(records).name == "a"
    with path.open("r+b") as file:  # what is read later is not there any more
        file.truncate(90_000)
    assert sum(1 for _ in records) < 16_000


FRAMES = {
    "pandas": lambda d: pd.DataFrame(d, index=pd.Index(range(5, 5 + len(d["ID"])), name="where")),
    "pandas objects": lambda d: pd.DataFrame(d).astype(object), "polars": pl.DataFrame, "arrow": pa.table,
    "batch": lambda d: pa.table(d).to_batches()[0], "reader": lambda d: pa.table(d).to_reader(), "dict": dict,
    "dict of series": lambda d: {k: pd.Series(v, index=range(3, 3 + len(v))) for k, v in d.items()},
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames(kind):
    data = {"ID": [7, 8, 9], "Structure": [s for s, _ in THREE], "y": [1.5, None, -2.0], "on": [True, False, None],
            "text": ["a", "", None]}
    table = open_molecules(FRAMES[kind](data))
    for _ in range(2):
        records = list(table)
        assert [(r.name, r.number, r.smiles) for r in records] == [
            (str(i), n, s) for n, (i, (s, _)) in enumerate(zip((7, 8, 9), THREE, strict=True), 1)]
        assert [dict(r.values) for r in records] == [
            {"y": "1.5", "on": "True", "text": "a"}, {"y": "", "on": "False", "text": ""},
            {"y": "-2.0", "on": "", "text": ""}]
    assert (table.smiles_column, table.id_column, table.columns) == ("Structure", "ID", ("y", "on", "text"))


@pytest.mark.parametrize("suffix", [".parquet", ".pq", ".parquet.gz"])
def test_parquet(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    frame = pd.DataFrame({"smiles": [s for s, _ in THREE], "name": [n for _, n in THREE], "x": [0.1, 2, 3],
                          "n": pd.array([1, None, 3], dtype="Int64")}).astype({"x": "float32"})
    content = io.BytesIO()
    frame.to_parquet(content)
    path.write_bytes(gzip.compress(content.getvalue()) if suffix.endswith("gz") else content.getvalue())
    table = open_molecules(path)
    assert pairs(table) == pairs(table) == THREE
    assert [dict(r.values) for r in table] == [{"x": "0.1", "n": "1"}, {"x": "2.0", "n": ""}, {"x": "3.0", "n": "3"}]
    path.write_bytes(b"smiles\nCCO\n")
    with pytest.raises(PellucidError, match="expected a parquet file"):
        open_molecules(path)


def test_frames_of_few_digits_dates_and_categories():
    frame = pd.DataFrame({"smiles": ["CCO", "CCN"], "x": pd.Series([0.1, None], dtype="float32"),
                          "when": pd.to_datetime(["2026-01-02", None]), "kind": pd.Categorical(["a", None]),
                          ("two", "levels"): [1, 2], 3: ["x", pd.NA]})
    expected = [{"x": "0.1", "when": "2026-01-02 00:00:00", "kind": "a", "two/levels": "1", "3": "x"},
                {"x": "", "when": "", "kind": "", "two/levels": "2", "3": ""}]
    assert [dict(r.values) for r in open_molecules(frame)] == expected
    frame = pl.DataFrame({"smiles": ["CCO", "CCN"], "x": pl.Series([0.1, None], dtype=pl.Float32),
                          "kind": pl.Series(["a", None], dtype=pl.Categorical)})
    assert [dict(r.values) for r in open_molecules(frame)] == [{"x": "0.1", "kind": "a"}, {"x": "", "kind": ""}]


def test_a_frame_of_rdkit_molecules():
    mols = [Chem.MolFromSmiles(s) for s, _ in THREE]
    frame = pd.DataFrame({"ID": ["a", "b", "c"], "ROMol": mols, "y": [1, 2, 3]})
    table = open_molecules(frame)
    assert [(r.name, r.mol.GetNumAtoms(), r.values["y"]) for r in table] == [
        ("a", 3, "1"), ("b", 13, "2"), ("c", 15, "3")]
    assert table.smiles_column == "ROMol"
    table = open_molecules(frame.assign(Smiles=[s for s, _ in THREE]))
    assert (table.smiles_column, dict(next(iter(table)).values)) == ("Smiles", {"ROMol": "", "y": "1"})


def test_lists():
    assert pairs(open_molecules([s for s, _ in THREE])) == [(s, f"molecule-{i}") for i, (s, _) in enumerate(THREE, 1)]
    for column in (pd.Series([s for s, _ in THREE]), pl.Series([s for s, _ in THREE]), pa.array([s for s, _ in THREE])):
        assert [r.smiles for r in open_molecules(column)] == [s for s, _ in THREE]
    mol = Chem.AddHs(Chem.MolFromSmiles("CCO"))
    mol.SetProp("_Name", "alcohol")
    mol.SetDoubleProp("logS", 1.5)
    mol.SetProp("kind", "x")
    bad = Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False)
    table = open_molecules([mol, None, Chem.MolFromSmiles("CCN"), bad])
    records = list(table)
    assert [(r.name, r.smiles, dict(r.values)) for r in records] == [
        ("alcohol", "CCO", {"logS": "1.5", "kind": "x"}), ("molecule-2", "", {"logS": "", "kind": ""}),
        ("molecule-3", "CCN", {"logS": "", "kind": ""}), ("molecule-4", "", {"logS": "", "kind": ""})]
    assert "None" in records[1].error
    assert "valence" in records[3].error
    assert mol.GetNumAtoms() == 9
    assert [r.name for r in pickle.loads(pickle.dumps(records))] == [r.name for r in records]
    assert pickle.loads(pickle.dumps(read_molecules("CCO")))[0].smiles == "CCO"
    again = open_molecules(records)
    assert list(again) == records
    assert again.columns == ("logS", "kind")


@pytest.mark.parametrize(("source", "got"), [
    (3, "int"), (None, "NoneType"), ([], "an empty list"), (b"CCO", "bytes"), (["CCO", 3], "int at place 1"),
    ([{"smiles": "CCO"}], "a list of dicts"), ({"smiles": "CCO"}, "got str"),
    ({"smiles": ["C"], "y": [1, 2]}, "1 and 2"),
    (pl.LazyFrame({"smiles": ["CCO"]}), "LazyFrame"), (pd.DataFrame({"smiles": []}), "no rows"), ({}, "no rows"),
    (pd.DataFrame({"y": [1.0]}), "none of which holds SMILES"), (iter(["CCO"]), "iterator"), (object(), "object"),
    ([MoleculeRecord("a", 1, "C", None), "CCO"], "records among others"), (float("nan"), "float"),
])
def test_wrong_types_are_told_in_a_sentence(source, got):
    with pytest.raises(PellucidError, match=f"expected .*{got}"):
        open_molecules(source)


def test_digests_follow_the_content(write):
    path = write(lines(","))
    first = open_molecules(path).digest()
    assert open_molecules(write(lines(","), "b.csv")).digest() == first
    assert open_molecules(write(lines(";"))).digest() != first
    frame = {"smiles": ["CCO"], "y": [1]}
    assert open_molecules(frame).digest() == open_molecules(pd.DataFrame(frame)).digest()
    assert open_molecules(frame).digest() != open_molecules({**frame, "y": [2]}).digest()
    mols = [Chem.MolFromSmiles("CCO"), None]
    assert open_molecules(mols).digest() == open_molecules([Chem.MolFromSmiles("CCO"), None]).digest()
    mols[0].SetProp("y", "2")
    assert open_molecules(mols).digest() != open_molecules([Chem.MolFromSmiles("CCO"), None]).digest()
    assert open_molecules("CCO").digest() != open_molecules("CCN").digest()


CELL = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs"),
                             exclude_characters="\ufeff"), max_size=12)
SMILES = st.sampled_from(["CC(=O)O", "c1ccccc1C", "CCN(C)C", "[NH4+].[Cl-]"])


@settings(max_examples=30)
@given(st.data())
def test_what_is_written_is_read(tmp_path_factory, data):
    cells = data.draw(st.lists(st.tuples(SMILES, CELL, CELL), min_size=2, max_size=8))
    separator = data.draw(st.sampled_from(",;\t|"))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([("smiles", "id", "note"), *cells])
    path = tmp_path_factory.mktemp("round") / data.draw(st.sampled_from(["a.csv", "a.tsv", "a.csv.gz"]))
    content = out.getvalue().encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    records = list(open_molecules(path))
    assert [(r.smiles, r.name, r.values["note"]) for r in records] == [
        (smiles, name.strip() or f"molecule-{i}", note.strip()) for i, (smiles, name, note) in enumerate(cells, 1)]


@pytest.mark.shared
def test_every_case_is_read_or_refused_in_a_sentence():
    if not SHARED.is_dir():
        pytest.skip(f"no cases in {SHARED}")
    refused = {}
    for path in sorted(SHARED.iterdir()):
        try:
            assert read_molecules(path), path
        except PellucidError as error:
            refused[path.name] = str(error)
    assert list(refused) == ["bad_all.csv", "x.pdb", "x.xyz"]
    assert {Path(p.name.removesuffix(".gz")).suffix for p in SHARED.iterdir()} - {".pdb", ".xyz"} <= {*SUFFIXES}


def test_a_column_of_dates_names_no_molecules():
    table = open_molecules({"SMILES": ["CCO", "CCN"], "measured": ["2024-05-31", "2024-06-01 12:00"]})
    assert (table.id_column, table.columns) == (None, ("measured",))
    assert open_molecules({"SMILES": ["CCO", "CCN"], "batch": ["a-1-x", "a-1-y"]}).id_column == "batch"
