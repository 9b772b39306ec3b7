import csv
import gzip
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.datasets.affinities import (
    KINDS,
    UNITS,
    Affinity,
    affinity_column,
    molar,
    parse_affinity,
    parse_index_line,
    read_index,
    refusal,
)
from pellucid.errors import PellucidError

SHARED = Path(__file__).parents[2] / "../shared/data/plbind"


@pytest.mark.parametrize(("text", "kind", "relation", "value"), [
    ("Kd=49uM", "Kd", "=", 49e-6), ("Ki<10nM", "Ki", "<", 10e-9), ("IC50~3uM", "IC50", "~", 3e-6),
    ("Ki>=1mM", "Ki", ">=", 1e-3), ("Kd<=0.5fM", "Kd", "<=", 5e-16), ("Kd=1M", "Kd", "=", 1.0),
    ("12 nM", "", "=", 12e-9), ("0.5 uM", "", "=", 5e-7), (" kd = 12 nM ", "Kd", "=", 12e-9),
    ("ic50=3.5e2 pM", "IC50", "=", 350e-12), ("≤ 2 µM", "", "<=", 2e-6), ("> 2 μM", "", ">", 2e-6),
    ("IC50=1nM", "IC50", "=", 1e-9),
])
def test_text(text, kind, relation, value):
    read = parse_affinity(text)
    assert (read.kind, read.relation) == (kind, relation)
    assert read.value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(("text", "words"), [
    ("12", "got none after 12"), ("Kd=12", "got none after 12"), ("12 NM", "got 'NM' after 12"),
    ("12 nm", "got 'nm'"), ("Kd=3ug/ml", "got 'ug/ml'"), ("0 nM", "above 0, got 0 nM"), ("Kd=-3nM", "above 0, got -3"),
    ("", "such as Kd=12nM"), ("strong", "such as Kd=12nM"), ("Kd 12 nM", "such as Kd=12nM"),
    ("12 nM or so", "such as Kd=12nM"), ("1,5 nM", "such as Kd=12nM"), ("Kd=>12nM", "such as Kd=12nM"),
    ("pKd=7.3", "one of Kd, Ki, IC50 before"), ("EC50=3nM", "one of Kd, Ki, IC50 before"), ("nan nM", "such as"),
    ("1e999 M", "finite affinity above 0"),
])
def test_text_that_is_refused(text, words):
    with pytest.raises(PellucidError, match=r"^expected .*got") as caught:
        parse_affinity(text)
    assert words in str(caught.value)


@given(st.sampled_from(["", *KINDS]), st.sampled_from(["=", "<", "<=", ">", ">=", "~"]),
       st.decimals(min_value="0.001", max_value="999", places=3), st.sampled_from(list(UNITS)),
       st.sampled_from(["", " "]))
def test_what_is_written_is_read(kind, relation, number, unit, gap):
    read = parse_affinity(f"{kind}{relation}{gap}{number}{gap}{unit}")
    power = {"f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "M": 0}[unit[0]]
    assert (read.kind, read.relation) == (kind, relation)
    assert read.p == pytest.approx(-math.log10(float(number)) - power, abs=1e-9)


def test_equal_concentrations_are_equal_numbers():
    # In binary 0.01 * 1e-6 is not 10 * 1e-9, and a label would depend on how it was written.
    assert molar("0.01", "uM") == molar("10", "nM") == molar(10, "nM") == molar("10000", "pM") == 1e-8
    assert not parse_affinity("0.01uM").below(molar(10, "nM"))
    assert affinity_column(["pK"])[1]("8").below(molar(10, "nM")) is False
    assert affinity_column(["pK"])[1]("7").below(molar(100, "nM")) is False


@pytest.mark.parametrize(("relation", "value", "below"), [
    ("=", 9, True), ("=", 10, False), ("=", 11, False), ("~", 9, True),
    ("<", 9, True), ("<", 10, True), ("<", 11, None), ("<=", 9, True), ("<=", 10, None),
    (">", 9, None), (">", 10, False), (">=", 10, False), (">=", 11, False), (">=", 9, None),
])
def test_bounds_decide_a_label_only_on_their_side(relation, value, below):
    assert Affinity("Kd", relation, value).below(10) is below


@pytest.mark.parametrize(("text", "lri", "everything", "regression"), [
    ("Kd=3nM", True, True, True), ("Ki=3nM", True, True, True), ("3nM", True, True, True), ("IC50=3nM", False, True,
    True), ("Kd~3nM", False, True, True), ("Kd<3nM", False, True, False), ("Kd<30nM", False, False, False),
    ("Ki>3uM", False, True, False), ("IC50>3nM", False, False, False),
])
def test_what_may_be_used(text, lri, everything, regression):
    affinity = parse_affinity(text)
    assert (refusal(affinity, "lri", 1e-8) == "") == lri
    assert (refusal(affinity, "all", 1e-8) == "") == everything
    assert (refusal(affinity, "all", None) == "") == regression
    assert (refusal(affinity, "lri", None) == "") == lri


def test_affinities_must_be_positive():
    assert Affinity("dG_exp", "=", 1e-7).p == 7
    for value in (0.0, -1e-9, float("nan"), float("inf")):
        with pytest.raises(PellucidError, match="finite affinity above 0"):
            Affinity("Kd", "=", value)
    with pytest.raises(PellucidError, match="got '≈'"):
        Affinity("Kd", "≈", 1e-9)


@pytest.mark.parametrize(("column", "cell", "kind", "p"), [
    ("affinity", "Ki=100nM", "Ki", 7), ("kd_nM", "100", "Kd", 7), ("ki_uM", " 0.1 ", "Ki", 7),
    ("IC50_pM", "1e5", "IC50", 7), ("affinity_nM", "100", "", 7), ("pK", "7.0", "", 7), ("p_affinity", "7", "", 7),
    ("pIC50", "7", "IC50", 7), ("Kd_M", "1e-7", "Kd", 7), ("pK", "-0.5", "", -0.5),
])
def test_columns(column, cell, kind, p):
    name, read = affinity_column(["protein_file", column, "year", "kd", "nM"])
    assert name == column
    assert read(cell).p == pytest.approx(p)
    assert (read(cell).kind, read(cell).relation) == (kind, "=")


@pytest.mark.parametrize(("columns", "words"), [
    (["kd"], "got none among kd"), (["kd_NM"], "got none"), (["kd_nm"], "got none"), (["binding_nM"], "got none"),
    (["pk"], "got none"), (["kd_nM", "pK"], "got kd_nM, pK"),
])
def test_columns_that_are_no_affinity(columns, words):
    with pytest.raises(PellucidError, match=words):
        affinity_column(columns)


@pytest.mark.parametrize(("column", "cell"), [
    ("kd_nM", ""), ("kd_nM", "<5"), ("kd_nM", "nan"), ("kd_nM", "0"), ("kd_nM", "5 nM"), ("pK", "250"), ("pK", ""),
])
def test_cells_that_are_refused(column, cell):
    with pytest.raises(PellucidError, match=r"^expected"):
        affinity_column([column])[1](cell)


INDEX = """\
# ==============================================================================
# PDB code, resolution, release year, -logKd/Ki, Kd/Ki, reference, ligand name
# ==============================================================================
2tpi  2.10  1982  4.31    Kd=49uM      // 2tpi.pdf (2-mer)
6rsa   NMR  1986  4.40    Ki=40uM       // 6rsa.pdf (UVC)
4cts  2.90  1984  5.00    Kd<10uM       // 4cts.pdf (OAA)
5TLN  2.30  1982  6.37    Ki=0.43uM     // 5tln.pdf (BAN) incomplete ligand structure
3fqa  2.35  2009  0.49  IC50=320mM    // 3fq7.pdf (GAB&PMP)
"""


def test_index_lines(tmp_path):
    (tmp_path / "index").write_text(INDEX)
    lines = read_index(tmp_path / "index")
    assert [line.code for line in lines] == ["2tpi", "6rsa", "4cts", "5tln", "3fqa"]
    assert [line.resolution for line in lines] == [2.10, None, 2.90, 2.30, 2.35]
    assert [line.year for line in lines] == [1982, 1986, 1984, 1982, 2009]
    assert [str(line.affinity) for line in lines] == ["Kd=4.9e-05 M", "Ki=4e-05 M", "Kd<1e-05 M", "Ki=4.3e-07 M",
                                                      "IC50=0.32 M"]
    assert [line.ligand for line in lines] == ["2-mer", "UVC", "OAA", "BAN", "GAB&PMP"]
    assert lines[3].comment == "5tln.pdf (BAN) incomplete ligand structure"
    # The index without the column of -log10, sorted by year, has the same entries.
    (tmp_path / "plain").write_text(re.sub(r" \d\.\d\d +(?=[KI])", " ", INDEX))
    assert read_index(tmp_path / "plain") == lines


@pytest.mark.parametrize(("affinity", "words"), [
    ("Kd=49", "got none after 49"), ("Kd=0uM", "above 0"), ("Kd=49ug", "got 'ug'"), ("4.31 Kd=4.9uM", "contradicts"),
])
def test_an_affinity_that_cannot_be_used_is_told(affinity, words):
    line = parse_index_line(f"2tpi  2.10  1982  {affinity}      // 2tpi.pdf (2-mer)")
    assert line.affinity is None
    assert words in line.reason


@pytest.mark.parametrize("text", ["", "# nothing\n", "<html>404</html>\n", "2tpi 2.10 Kd=49uM\n"])
def test_a_file_that_is_no_index(tmp_path, text):
    (tmp_path / "index").write_text(text)
    with pytest.raises(PellucidError, match=r"^expected .*; fetch the index again"):
        read_index(tmp_path / "index")
    with pytest.raises(PellucidError, match="No such file"):
        read_index(tmp_path / "none")


@pytest.mark.shared
def test_the_shared_table_agrees():
    if not SHARED.is_dir():
        pytest.skip(f"no complexes in {SHARED}")
    with (SHARED / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    measured = [row for row in rows if row["affinity_unit"] in UNITS]
    assert len(measured) == 629
    for row in measured:
        text = f"{row['affinity_type']}{row['relation']}{row['affinity_value']}{row['affinity_unit']}"
        read = parse_affinity(text)
        assert read.p == pytest.approx(float(row["p_affinity"]), abs=6e-4)
        assert (row["lri_usable"] == "1") == (refusal(read, "lri", 1e-8) == "")
        assert (row["label_10nM"] == "1") == (read.value < molar(10, "nM"))
    assert all(row["lri_usable"] == "1" and refusal(Affinity("dG_exp", "=", molar(row["kd_nM"], "nM")), "lri", 1) == ""
               for row in rows if row["affinity_unit"] == "kcal/mol")
    with gzip.open(SHARED / "splits/gign_affinity_list.csv.gz", "rt", newline="") as file:
        other = {row["pdbid"]: float(row["neg_log_kd_ki"]) for row in csv.DictReader(file)}
    crystal = [row for row in measured if row["tier"] == "crystal" and row["id"] in other]
    assert len(crystal) > 240
    for row in crystal:  # an independent list, of two decimals
        assert -math.log10(molar(row["kd_nM"], "nM")) == pytest.approx(other[row["id"]], abs=0.011)
