import pytest

from pellucid.datasets.complex_lists import read_complexes
from pellucid.errors import PellucidError


@pytest.fixture
def files(tmp_path):
    """Empty files of the names that lists point to: they are not read here."""
    for name in ("a.pdb", "b.cif.gz", "a.sdf", "b.mol2"):
        (tmp_path / name).touch()
    return tmp_path


def table(folder, text, name="mine.csv"):
    (folder / name).write_text(text)
    return folder / name


def test_a_users_table(files):
    listed = read_complexes(table(files, "id,protein_file,ligand_file,affinity,year,protein_cluster\n"
                                         "one,a.pdb,a.sdf,12 nM,2001,4\ntwo,b.cif.gz,b.mol2,Ki<3 uM,1999.0,9\n"))
    assert (listed.source, listed.index, listed.failed) == ("csv", "mine.csv", [])
    one, two = listed.listed
    assert (one.name, one.protein, one.ligands) == ("one", files / "a.pdb", (files / "a.sdf",))
    assert [str(c.affinity) for c in (one, two)] == ["K=1.2e-08 M", "Ki<3e-06 M"]
    assert [(c.year, c.cluster) for c in (one, two)] == [(2001, 4), (1999, 9)]


def test_rows_that_cannot_be_used_are_told_by_name_and_reason(files):
    listed = read_complexes(table(files, "\ufeffprotein_file,ligand_file,kd_nM,year,protein_cluster\n"
                                         "a.pdb,a.sdf,5,,1\na.pdb,a.sdf,<5,,1\na.pdb,a.sdf,,,1\nc.pdb,a.sdf,5,,1\n"
                                         "a.pdb,,5,,1\na.pdb,a.sdf,5,soon,1\na.pdb,a.sdf,5,,\na.pdb,a.sdf,-5,,1\n"))
    assert [one.name for one in listed.listed] == ["row-1"]
    assert [(one.name, one.step) for one in listed.failed] == [
        ("row-2", "affinity"), ("row-3", "affinity"), ("row-4", "files"), ("row-5", "files"), ("row-6", "table"),
        ("row-7", "table"), ("row-8", "affinity")]
    for one, words in zip(listed.failed, ("got '<5'", "got ''", "c.pdb", "ligand_file, got none", "year, got 'soon'",
                                          "in every row", "above 0, got -5"), strict=True):
        assert words in one.reason


@pytest.mark.parametrize(("text", "words"), [
    ("protein_file,affinity\na.pdb,5 nM\n", "got no ligand_file among protein_file, affinity"),
    ("protein_file,ligand_file\na.pdb,a.sdf\n", "one column with the affinity"),
    ("id,protein_file,ligand_file,pK\nx,a.pdb,a.sdf,5\nx,a.pdb,a.sdf,6\n", "got 'x' twice"),
    ("", "expected rows"), ("protein_file,ligand_file,pK\n", "expected rows"),
])
def test_tables_that_are_refused(files, text, words):
    with pytest.raises(PellucidError, match=words):
        read_complexes(table(files, text))


def test_a_table_in_another_encoding(files):
    (files / "mine.csv").write_bytes("id,protein_file\ncafé,a.pdb\n".encode("utf-16"))
    with pytest.raises(PellucidError, match="comma-separated UTF-8"):
        read_complexes(files / "mine.csv")


def test_an_index_in_a_folder(files):
    table(files, "id,tier,affinity_type,relation,kd_nM,p_affinity,year,protein_cluster,source_license,ligand_file,"
                 "protein_file\nx,crystal,Ki,=,400,6.4,1998,3,MIT,a.sdf,a.pdb\n"
                 "y,modelled,dG_exp,=,4.5,8.3,,3,MIT,b.mol2,b.cif.gz\nz,crystal,Kd,?,4.5,8.3,,3,MIT,a.sdf,a.pdb\n",
          "index.csv")
    listed = read_complexes(files)
    assert listed.source == "folder"
    assert [(one.name, one.tier, str(one.affinity), one.year, one.licence) for one in listed.listed] == [
        ("x", "crystal", "Ki=4e-07 M", 1998, "MIT"), ("y", "modelled", "dG_exp=4.5e-09 M", None, "MIT")]
    assert [(one.name, one.step) for one in listed.failed] == [("z", "affinity")]


PDBBIND = """\
# PDB code, resolution, release year, -logKd/Ki, Kd/Ki, reference, ligand name
1abc  2.10  1982   8.30  Kd=5nM        // 1abc.pdf (ABC)
2abc  2.10  1983   4.31  Kd=49uM       // 2abc.pdf (2-mer)
3abc  2.10  1983   4.31  Kd=49ug       // 3abc.pdf (2-mer)
4abc  2.10  1983   4.31  Kd=49uM       // 4abc.pdf (2-mer)
5abc   NMR  1983   4.31  Kd<49uM       // 5abc.pdf (2-mer)
"""


@pytest.mark.parametrize("nest", [
    {"index": "index", "1abc": "refined-set/1abc", "2abc": "v2020-other-PL/2abc", "5abc": "v2020-other-PL/5abc"},
    {"index": "v2020-other-PL/index", "1abc": "v2020-other-PL/1abc", "2abc": "v2020-other-PL/2abc",
     "5abc": "refined-set/5abc"},
    {"index": "", "1abc": "P-L/1981-2000/1abc", "2abc": "P-L/1981-2000/2abc", "5abc": "P-L/1981-2000/5abc"},
])
def test_pdbbind_however_it_is_nested(tmp_path, nest):
    for code, folder in nest.items():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        if code == "index":
            (tmp_path / folder / "INDEX_general_PL_data.2020").write_text(PDBBIND)
            (tmp_path / folder / "INDEX_general_PL_name.2020").write_text("1abc  1982  P00000  a protein\n")
        else:
            for suffix in ("protein.pdb", "pocket.pdb", "ligand.mol2", *(["ligand.sdf"] if code == "1abc" else [])):
                if (code, suffix) != ("5abc", "ligand.mol2"):
                    (tmp_path / folder / f"{code}_{suffix}").touch()
    listed = read_complexes(tmp_path)
    assert (listed.source, listed.index) == ("pdbbind", "INDEX_general_PL_data.2020")
    one, two = listed.listed
    assert (one.name, one.year, str(one.affinity)) == ("1abc", 1982, "Kd=5e-09 M")
    assert one.protein == tmp_path / nest["1abc"] / "1abc_protein.pdb"
    assert [path.name for path in one.ligands] == ["1abc_ligand.sdf", "1abc_ligand.mol2"]
    assert [path.name for path in two.ligands] == ["2abc_ligand.mol2"]
    assert [(f.name, f.step) for f in listed.failed] == [("3abc", "affinity"), ("4abc", "files"), ("5abc", "files")]


@pytest.mark.parametrize(("place", "source", "words"), [
    ("nowhere", None, "got nothing there; give the folder that holds the index"),
    ("a.pdb", None, "got another file"), ("", None, "got a folder without either"),
    ("", "folder", r"index\.csv with source='folder', got nothing there; give the folder that holds it"),
    ("mine.csv", "csv", "got nothing there; give the .csv file itself"), ("", "csv", "give the .csv file itself"),
    ("", "pdbbind", "expected PDBbind's index"), ("nowhere", "pdbbind", "expected PDBbind's index"),
])
def test_places_of_another_kind(files, place, source, words):
    with pytest.raises(PellucidError, match=words):
        read_complexes(files / place, source)
