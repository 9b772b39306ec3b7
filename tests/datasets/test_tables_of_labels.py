"""Tests of columns as targets: kinds, units, bounds, and what is refused with which words."""

import csv
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.datasets.kinds import column_named, read_targets
from pellucid.datasets.numerals import MISSING, name_and_unit, read_numbers
from pellucid.datasets.target_options import TargetOptions, assignments
from pellucid.errors import PellucidError, UnknownNameError

BIOGEN = Path(__file__).parents[3] / "shared" / "data" / "adme_fang2023" / "ADME_public_set_3521.csv"


def one(cells, title="x", **options):
    return read_targets({title: cells}, TargetOptions(**options)).each[0]


@pytest.mark.parametrize(("cells", "kind", "classes"), [
    (["0", "1", "", "1"], "binary", ()), (["1.0", "0.0"], "binary", ()), (["True", "False", "NA"], "binary", ()),
    (["YES", "no"], "binary", ()), (["active", "inactive"], "binary", ("inactive", "active")),
    (["soluble", "insoluble"], "binary", ("insoluble", "soluble")), (["toxic", "non-toxic"], "binary",
                                                                     ("non-toxic", "toxic")),
    (["+", "-"], "binary", ("-", "+")), (["red", "blue"], "binary", ("blue", "red")),
    (["-1", "1", "1", "-1"], "binary", ("-1", "1")), (["1", "2", "2", "1"], "binary", ("1", "2")),
    (["1", "2"], "regression", ()), (["1.5", "2.5", "1.5", "2.5"], "regression", ()),
    (["1", "2", "3", "4", "5"], "regression", ()), (["0", "1", "0.5"], "regression", ()),
    (["0", ">1", "0"], "regression", ()), (["low", "mid", "high"], "multiclass", ("high", "low", "mid"))])
def test_the_kind_follows_from_the_values(cells, kind, classes):
    found = one(cells)
    assert (found.target.kind, found.target.classes) == (kind, classes)


def test_which_class_is_positive_is_said():
    found = one(["active", "inactive", "", "active"])
    assert found.values[:2] == [1.0, 0.0]
    assert math.isnan(found.values[2])
    assert found.notes == ("x: P(active) is predicted, 'inactive' is the other class",)
    assert one(["yes", "no"]).values == one(["TRUE", "false"]).values == [1.0, 0.0]


def test_the_kind_may_be_said():
    assert one(["1", "2", "3"], kinds={"x": "multiclass"}).target.classes == ("1", "2", "3")
    assert one(["10", "9", "1"], kinds={"x": "multiclass"}).target.classes == ("1", "9", "10")
    assert one(["0", "1"], kinds={"x": "regression"}).target.kind == "regression"
    assert one(["red", "blue"], kinds={"x": "multiclass"}).target.kind == "multiclass"
    assert one(["3", "7"], kinds={"x": "binary"}).target.classes == ("3", "7")
    assert one(["<5", ">5"], kinds={"x": "binary"}).target.classes == ("<5", ">5")
    with pytest.raises(UnknownNameError, match="expected a known target in the table, got 'X'; Known: x"):
        one(["1", "2"], kinds={"X": "binary"})


def test_whole_numbers_of_few_values_are_numbers_and_that_is_said():
    found = one([str(1 + i % 5) for i in range(40)])
    assert found.target.kind == "regression"
    assert found.notes == ("x: 5 different whole numbers are read as numbers; say --kind 'x=multiclass' if they are "
                           "classes",)


@pytest.mark.parametrize(("cells", "options", "words"), [
    (["", "NA", "nan"], {}, "expected a value in the column 'x' of the table, got none; leave the column out"),
    (["1", "1", "1"], {}, "expected different values .* got '1' in all 3 rows"),
    (["2.5", "2.50"], {}, "expected different values .* got '2.5' in all 2 rows"),
    (["yes", "yes", ""], {}, "got 'yes' in all 2 rows"),
    (["1", "2", "n.d.", "3"], {}, "expected a number in the column 'x' of the table, got 'n.d.' in row 4; mend it"),
    (["1", "?", "2", "?", "5"], {}, "got '\\?' in row 3 and 1 more texts"),
    (["1", "inf", "2"], {}, "got 'inf' in row 3"), (["1", "1e999", "2"], {}, "got '1e999' in row 3"),
    (["1", "1e39", "2"], {}, "numbers up to 3e\\+38 .* got 1e39 in row 3"),
    (["1", "1_000", "2"], {}, "got '1_000' in row 3"), (["1", "12%", "2"], {}, "got '12%' in row 3"),
    ([f"id{i}" for i in range(300)], {}, "got 300 different texts in 300 rows, which are identifiers"),
    ([f"c{i}" for i in range(60)] * 9, {}, "got 60 different texts in 540 rows"),
    (["1,200", "2,300"], {}, "decimal point .* got '1,200' in row 2, whose comma may stand for a point or for"),
    (["1,5", "2.5"], {}, "got '1,5' in row 2"),
    (["1", "2", "3"], {"kinds": {"x": "binary"}}, "expected 0 or 1 in the column 'x'.* 3 different ones"),
    (["a", "b"], {"kinds": {"x": "regression"}}, "expected a number .* got 'a' in row 2"),
    (["a", "b"], {"kinds": {"x": "ordinal"}}, "expected a kind out of binary, multiclass, regression"),
    (["<1", "<2", ">3"], {}, "got bounds alone; leave the column out, or say --kind 'x=binary'"),
    (["1", "2"], {"floors": {"x": 0.5}}, "equal to the floor 0.5 .* the smallest is 1, the largest 2"),
    (["0", "1"], {"floors": {"x": 0.0}}, "expected a regression where a floor or ceiling is named, got the binary"),
])
def test_what_no_target_can_be_is_refused_in_one_sentence(cells, options, words):
    with pytest.raises(PellucidError, match=words) as caught:
        one(cells, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("cell", "value", "bound"), [
    ("1e-3", 0.001, 0), ("-3.5", -3.5, 0), ("−3.5", -3.5, 0), ("+2", 2, 0), (".5", 0.5, 0), ("5.", 5, 0),
    ("1 200", 1200, 0), ("12 345 678.5", 12345678.5, 0), (">5", 5, 1), (">= 5", 5, 1), ("≥5", 5, 1),
    ("<0.1", 0.1, -1), ("≤ 2", 2, -1), ("=< 2", 2, -1), ("<-1e-2", -0.01, -1)])
def test_numbers_as_people_write_them(cell, value, bound):
    found = read_numbers([cell])
    assert (found.values, found.bounds, found.wrong) == ([value], [bound], [])


@pytest.mark.parametrize("cell", ["12 34", "1 2", "5 mg", "~5", "5±1", "n.d.", "0x10", "1-2", ">", "> x", "--1",
                                  "infinity", "1e", "e5", ".", "-"])
def test_what_is_no_number(cell):
    found = read_numbers([cell])
    assert found.wrong == [0]
    assert math.isnan(found.values[0])
    assert found.bounds == [0]


@given(st.lists(st.floats(-1e30, 1e30), min_size=1))
def test_every_number_that_python_writes_is_read(values):
    assert read_numbers([repr(v) for v in values]).values == values
    assert read_numbers([f"{v:.3f}" for v in values]).values == [float(f"{v:.3f}") for v in values]


def test_decimal_commas_are_read_with_a_note():
    found = one(["3,5", "0,125", "7", "1e2"])
    assert found.values == [3.5, 0.125, 7.0, 100.0]
    assert found.notes == ("x: 2 decimal commas read as points",)


def test_words_for_missing_are_missing_and_a_class_that_looks_so_is_told():
    assert all(math.isnan(v) for v in read_numbers(sorted(MISSING)).values)
    found = one(["NA", "DNA", "RNA", "PNA", "DNA"])
    assert found.target.classes == ("DNA", "PNA", "RNA")
    assert found.notes == ("x: 'NA' (1 times) is read as missing, not as a class",)


@pytest.mark.parametrize("form", ["{}.5 nM", "{}.5 %", "{}.5%", "1,{:03d}.5", "{} ± 0.2"])
def test_numbers_with_something_behind_are_told_as_such(form):
    with pytest.raises(PellucidError, match=r"expected numbers alone in the column 'x' .*, got .* in row 2 and such"):
        one([form.format(i) for i in range(60)])
    with pytest.raises(PellucidError, match="which are identifiers"):
        one([f"{i}a" for i in range(60)])


def test_bounds_and_floors():
    found = one(["0.675686709", "1.5", ">3", "", "0.67568671", "2"], floors={"x": 0.675686709})
    assert found.bounds == [-1, 0, 1, 0, -1, 0]
    assert found.summary() == "x: regression, 5 values, of which 3 are bounds, 1 missing"
    assert one(["1", "2", "9", "9"], ceilings={"x": 9.0}).bounds == [0, 0, 1, 1]
    fields = read_targets({"x": ["1", "<2", "3"], "t": ["0", "1", ""]}).fields(3)
    assert fields["censored"].dtype == torch.int8
    assert fields["censored"].tolist() == [[0, 0], [-1, 0], [0, 0]]
    assert "censored" not in read_targets({"x": ["1", "2"]}).fields(2)


def test_a_crowded_end_is_told_not_changed():
    cells = ["0.675686709"] * 30 + [str(1 + i / 7) for i in range(70)]
    found = one(cells)
    assert not any(found.bounds)
    assert found.notes == ("x: 30 of 100 values are exactly 0.675686709, the smallest one; if it is a limit of the "
                           "measurement, name it: --floor NAME=0.675686709",)
    assert one(cells, floors={"x": 0.675686709}).notes == ()
    assert one([str(round(i / 50)) for i in range(2000)]).notes == (), "rounded values are all crowded"


@pytest.mark.parametrize(("title", "expected"), [
    ("logS [log mol/L]", ("logS", "log mol/L")), ("IC50 (nM)", ("IC50", "nM")), ("IC50 (µM)", ("IC50", "µM")),
    ("CL (mL/min/kg)", ("CL", "mL/min/kg")), ("Papp (10-6 cm/s)", ("Papp", "10-6 cm/s")),
    ("PPB (HUMAN) (% unbound)", ("PPB (HUMAN)", "% unbound")), ("t1/2 (h)", ("t1/2", "h")),
    ("Tm (°C)", ("Tm", "°C")), ("k (s^-1)", ("k", "s^-1")), ("dG (kcal/mol)", ("dG", "kcal/mol")),
    ("yield (R)", ("yield (R)", "")), ("(R)-form", ("(R)-form", "")), ("MDR1 ER (B-A/A-B)", ("MDR1 ER (B-A/A-B)", "")),
    ("Fe (II)", ("Fe (II)", "")), ("x (mean)", ("x (mean)", "")), ("alanine (L)", ("alanine (L)", "")),
    ("f(x)", ("f(x)", "")), ("(nM)", ("(nM)", "")), ("plain", ("plain", "")), ("run (2)", ("run (2)", "")),
    ("LOG HLM (mL/min/kg)", ("LOG HLM", "log mL/min/kg")), ("logS [mol/L]", ("logS", "log mol/L")),
    ("-log10 Kd [M]", ("-log10 Kd", "-log10 M")), ("pIC50 [M]", ("pIC50", "-log M")), ("pO2 (kPa)", ("pO2", "kPa")),
    ("logistics (h)", ("logistics", "h")), ("IC50, µM", ("IC50", "µM")), ("Tm / °C", ("Tm", "°C")),
    ("ratio A / B", ("ratio A / B", "")), ("D, L", ("D, L", ""))])
def test_units_in_titles(title, expected):
    assert name_and_unit(title) == expected


def test_a_unit_may_be_given_and_two_units_of_one_name_stay_apart():
    assert one(["1", "2"], "x [nM]", units={"x": "pM"}).target.unit == "pM"
    found = read_targets({"Ki [nM]": ["1", "2"], "Ki [uM]": ["3", "4"]})
    assert [(c.target.name, c.target.unit) for c in found.each] == [("Ki [nM]", ""), ("Ki [uM]", "")]


def test_columns_are_found_with_and_without_their_unit():
    titles = ["logS [log mol/L]", "Ki [nM]", "Ki [uM]"]
    assert column_named("logS", titles, "target") == column_named("logS [log mol/L]", titles, "target") == titles[0]
    with pytest.raises(PellucidError, match=r"got 'Ki \[nM\]' and 'Ki \[uM\]'; give the title with its unit"):
        column_named("Ki", titles, "target")
    with pytest.raises(UnknownNameError, match="expected a known target, got 'logs'"):
        column_named("logs", titles, "target")


def test_assignments():
    assert assignments("a b=1, c=x", "kinds") == {"a b": "1", "c": "x"}
    assert assignments({"a": 1.5}, "floors") == {"a": "1.5"}
    assert assignments(None, "floors") == assignments("", "floors") == {}
    for wrong in ("a", "=1", "a=", 5):
        with pytest.raises(PellucidError, match="expected floors as"):
            assignments(wrong, "floors")


@pytest.mark.shared
@pytest.mark.skipif(not BIOGEN.is_file(), reason="the data are not here")
def test_the_floors_of_the_biogen_assays_are_noticed():
    with BIOGEN.open(newline="") as file:
        rows = list(csv.DictReader(file))
    titles = [title for title in rows[0] if title.startswith("LOG")]
    found = read_targets({title: [row[title].strip() for row in rows] for title in titles})
    assert [c.target.unit for c in found.each] == [
        "log mL/min/kg", "", "log ug/mL", "log % unbound", "log % unbound", "log mL/min/kg"]
    assert all(c.target.kind == "regression" for c in found.each)
    told = [note for note in found.notes if "limit of the measurement" in note]
    assert told[0].startswith("LOG HLM_CLint: 958 of 3,087 values are exactly 0.675686709, the smallest one")
    assert told[1].startswith("LOG RLM_CLint: 346 of 3,054 values are exactly 1.027920136, the smallest one")
    assert len(told) == 2
