"""A user's table of molecules: from a file or a frame to clouds with targets and a split; and what is refused."""

import csv
import json
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rdkit import Chem

import pellucid
from pellucid.chemistry.features import ATOM_CATEGORY_SIZES, BOND_CATEGORY_SIZES
from pellucid.datasets import describe, load_dataset
from pellucid.datasets.kinds import read_targets
from pellucid.datasets.molecules import Molecules
from pellucid.datasets.repeats import repeats
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.spec import DataSpec
from pellucid.testing.contracts import assert_dataset

SMILES = (Path(__file__).parent / "zinc_smiles.txt").read_text().split()[:60]
BIOGEN = Path(__file__).parents[3] / "shared" / "data" / "adme_fang2023" / "ADME_public_set_3521.csv"


@pytest.fixture(autouse=True)
def house(tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "home"))


def frame(count=60, **more):
    return {"SMILES": SMILES[:count], "id": [f"m{i}" for i in range(count)],
            "logS [log mol/L]": [str(i / 7) for i in range(count)], **more}


def load(source, targets="logS", **options):
    return pellucid.load_molecules(source, targets, **{"geometry": "graph", **options})


def written(tmp_path, columns, separator=","):
    path = tmp_path / "mine.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def test_a_file_and_a_frame_of_it_are_the_same_data(tmp_path):
    columns = frame(toxic=["yes", "no", ""] * 20, colour=["red", "blue", "green", ""] * 15, batch=["x", "y"] * 30)
    path = written(tmp_path, columns)
    made = load(path, ["logS", "toxic", "colour"])
    other = load(pd.DataFrame(columns), "logS [log mol/L], toxic, colour")
    for name in made.clouds.names:
        assert torch.equal(made.clouds[name].nan_to_num(-9), other.clouds[name].nan_to_num(-9)), name
    assert made.clouds.text == other.clouds.text
    spec = made.recipe.spec(made.clouds)
    assert spec.targets.quantities == ("logS (log mol/L)", "P(toxic)", "P(blue)", "P(green)", "P(red)")
    assert (spec.inputs.dim, spec.inputs.category_sizes, spec.inputs.edge_category_sizes) == (
        0, ATOM_CATEGORY_SIZES, BOND_CATEGORY_SIZES)
    assert spec.domain == "molecules"
    assert DataSpec.parse(spec.document()) == spec
    i = made.clouds.text["id"].index("m5")
    torch.testing.assert_close(made.clouds["y"][i].nan_to_num(-9), torch.tensor([5 / 7, -9, 0]))
    assert json.loads(made.clouds.text["values"][i])["batch"] == "y"
    assert made.provenance["labels"][1] == "toxic: binary, 40 values, 0: 20, 1: 20, 20 missing"
    assert made.provenance["columns"] == {"smiles": "SMILES", "id": "id", "others": [
        "logS [log mol/L]", "toxic", "colour", "batch"]}
    assert made.provenance["counts"]["molecules"] == 60
    json.dumps(describe(made), default=str)


def test_the_contract_of_datasets():
    assert_dataset(Molecules, {"source": frame(24), "targets": "logS", "geometry": "graph"})
    assert_dataset(Molecules, {"source": frame(24), "targets": "logS", "split": "random", "features": "elements",
                               "processes": 1})


def test_the_key_is_the_content_not_the_place(tmp_path):
    one, two = tmp_path / "a", tmp_path / "b"
    one.mkdir()
    two.mkdir()
    first = load(written(one, frame()))
    assert load(written(two, frame())).path == first.path
    assert load(written(two, frame()), processes=1).path == first.path
    assert load(written(two, frame()), split="random").path != first.path
    assert load(written(two, frame(59))).path != first.path


def test_options_make_points_of_another_kind():
    made = load(frame(24), features="elements", geometry="3d", processes=1, split="random")
    spec = made.recipe.spec(made.clouds)
    assert (spec.inputs.dim, spec.inputs.unit, spec.inputs.category_sizes) == (3, "angstrom", (14,))
    assert spec.inputs.edge_category_sizes == ()
    assert made.provenance["recipe"] == {"features": "elements", "geometry": "3d", "conformers": 1,
                                         "fragments": "largest"}
    again = load_dataset("molecules", source=frame(24), targets="logS", features="elements", split="random")
    assert again.recipe.spec(again.clouds) == spec, "an opened dataset knows it without being made again"


def test_whether_there_will_be_coordinates_is_known_before_any_work():
    found = [Molecules.has_coordinates(options) for options in ({}, {"geometry": "3d"}, {"geometry": "graph"})]
    assert found == [True, True, False]


def test_all_conformers_train_and_the_first_judges():
    made = load(frame(24), geometry="3d", conformers=3, split="random", processes=1)
    clouds = made.clouds
    sizes = {name: clouds.split(name)["molecule"].bincount() for name in ("train", "val", "test")}
    assert int(sizes["train"].max()) > 1
    assert int(sizes["val"].max()) == int(sizes["test"].max()) == 1
    one = clouds.split("train")
    first = one["molecule"] == one["molecule"][0]
    assert len(set(one["y"][first].flatten().tolist())) == 1
    assert made.provenance["counts"]["samples"] == len(clouds) > made.provenance["counts"]["molecules"]


# -- targets ------------------------------------------------------------------------------------------------------
def test_bounds_and_floors_become_a_field():
    columns = frame()
    cells = columns["logS [log mol/L]"]
    cells[3], cells[4], cells[5], cells[6] = ">5", "≤ 0.1", "0.675686709", ""
    made = load(columns, floors="logS=0.675686709", split="random")
    clouds = made.clouds
    of = {name: i for i, name in enumerate(clouds.text["id"])}
    assert clouds["censored"].dtype == torch.int8
    assert [int(clouds["censored"][of[f"m{i}"], 0]) for i in (2, 3, 4, 5)] == [0, 1, -1, -1]
    assert "m6" not in of, "it has no value of any target"
    assert "1 molecules have no value of any target and are left out" in made.provenance["notes"]
    assert made.provenance["labels"] == ["logS: regression in log mol/L, 59 values, of which 3 are bounds"]
    assert "censored" not in load(frame()).clouds


def test_kinds_and_units_may_be_said():
    made = load(frame(grade=[str(1 + i % 3) for i in range(60)]), ["logS", "grade"], units={"logS": "M"},
                kinds="grade=multiclass")
    assert [(t.kind, t.unit, t.classes) for t in made.recipe.targets] == [
        ("regression", "M", ()), ("multiclass", "", ("1", "2", "3"))]


@pytest.mark.parametrize(("options", "words"), [
    ({"targets": "logP"}, "expected a known target in the table, got 'logP'; did you mean 'logS'"),
    ({"targets": ""}, "expected targets, names of columns to predict, got none; choose among logS"),
    ({"targets": 5}, "expected a known target in the table, got '5'"),
    ({"split": "scafold"}, "expected split to be one of scaffold, random, column:NAME, time:NAME, got 'scafold'"),
    ({"split": "column:fold"}, "expected a known column in the table, got 'fold'"),
    ({"floors": "logS=low"}, "expected a number for 'logS' in floors, got 'low'"),
    ({"kinds": {"x": "binary"}}, "expected a known target in the table, got 'x'"),
    ({"folds": 5, "fold": 5}, "expected fold to be a whole number from 0 to 4"),
    ({"folds": 5, "split": "column:logS"}, "expected folds by scaffold or random"),
    ({"geometry": "2d"}, "expected geometry to be one of 3d, graph, got '2d'"),
    ({"source": None}, "expected the option source, got none"),
    ({"source": "nowhere.csv"}, "expected a file nowhere.csv, got nothing there"),
    ({"conformer": 2}, "did you mean 'conformers'")])
def test_options_that_do_not_fit_are_told(options, words):
    with pytest.raises(PellucidError, match=words):
        load_dataset("molecules", **{"source": frame(12), "targets": "logS", "geometry": "graph", **options})


def test_a_line_with_too_many_cells_is_told_as_such_and_not_as_a_gap(tmp_path):
    path = tmp_path / "mine.csv"
    rows = [f"{smiles},{i / 7}" + (",and more" if i == 3 else "") for i, smiles in enumerate(SMILES)]
    path.write_text("\n".join(["SMILES,logS", *rows]))
    provenance = load(path).provenance
    assert [one["place"] for one in provenance["failed"]] == ["line 5"]
    assert provenance["failed"][0]["id"] == "molecule-4"
    assert "has 3 cells, where the first one has 2" in provenance["failed"][0]["reason"]
    assert provenance["counts"]["unlabelled"] == 0


@pytest.mark.parametrize(("columns", "words"), [
    ({"name": ["a", "b", "c"], "logS": ["1", "2", "3"]}, "expected a column of SMILES in .*name, logS"),
    (frame(logS=[""] * 60) | {"logS [log mol/L]": ["NA"] * 60}, "expected a value in the column 'logS"),
    (frame() | {"logS [log mol/L]": ["yes"] * 60}, "got 'yes' in all 60 rows"),
    (frame() | {"logS [log mol/L]": ["1.5", "n.d."] + ["2.5"] * 58},
     r"expected a number in the column 'logS \[log mol/L\]' of .*, got 'n.d.' in (row|line) \d+ \(m1\)"),
    ({"SMILES": ["C" * 10_000, "C" * 4000], "logS [log mol/L]": ["1", "2"]},
     "expected at least one molecule that can be encoded, got none .*10,000 characters, more than 5,000")])
def test_bad_tables_are_refused_in_one_sentence(tmp_path, columns, words):
    columns.pop("logS", None) if "SMILES" in columns else None
    start = time.monotonic()
    for source in (columns, written(tmp_path, columns)):
        with pytest.raises(PellucidError, match=words) as caught:
            load(source)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600
    assert time.monotonic() - start < 5


def test_what_cannot_be_read_or_prepared_is_left_out_and_named():
    columns = frame()
    columns["SMILES"] = [*SMILES[:57], "C1CC", "C" * 10_000, "[Na+].[Cl-]"]
    made = load(columns)
    failed = {entry["id"]: entry["reason"] for entry in made.provenance["failed"]}
    assert set(failed) == {"m57", "m58", "m59"}
    assert made.provenance["counts"]["failed"] == 3
    assert len(made.clouds) == 57
    assert max(len(entry["smiles"]) for entry in made.provenance["failed"]) < 220


def test_a_class_that_fails_in_preparation_is_no_class():
    columns = frame(30, active=["1"] * 29 + ["0"])
    columns["SMILES"][29] = "C1CC"
    with pytest.raises(PellucidError, match="two classes of 'active' among the molecules that are left, got 1"):
        load(columns, "active")


# -- splits -------------------------------------------------------------------------------------------------------
def sides(made):
    found = {}
    for smiles, part in zip(made.clouds.text["smiles"], made.clouds["split"].tolist(), strict=True):
        flat = Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False)
        found.setdefault(flat, set()).add(part)
    return found


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_molecule_is_on_two_sides_whatever_the_split(data):
    """Molecules come up to three times, written anew, some with another stereo."""
    rows = [i for i in range(20) for _ in range(data.draw(st.integers(1, 3)))]
    smiles = []
    for n, i in enumerate(rows):
        mol = Chem.MolFromSmiles(SMILES[i])
        smiles.append(Chem.MolToSmiles(mol, isomericSmiles=bool(n % 2), rootedAtAtom=n % mol.GetNumAtoms()))
    parts = data.draw(st.lists(st.sampled_from(["train", "train", "Valid", "test"]), min_size=len(rows),
                               max_size=len(rows)))
    parts[:3] = ["train", "Valid", "test"]
    columns = {"SMILES": smiles, "id": [f"n{n}" for n in range(len(rows))], "x": [str(n / 3) for n in range(len(rows))],
               "part": parts, "year": [str(1990 + data.draw(st.integers(0, 20))) for _ in rows]}
    rule = data.draw(st.sampled_from(["scaffold", "random", "column:part", "time:year"]))
    folds = rule in ("scaffold", "random") and len(rows) % 2
    fold = {"folds": 3, "fold": data.draw(st.integers(0, 2))} if folds else {}
    try:
        made = load(columns, "x", split=rule, seed=data.draw(st.integers(0, 2)), **fold)
    except PellucidError as error:
        assert "got none; split by another rule" in str(error) or "different times" in str(error)  # noqa: PT017
        return
    assert all(len(parts) == 1 for parts in sides(made).values())
    assert set(made.clouds["split"].tolist()) == {0, 1, 2}
    assert made.provenance["counts"]["copies left out"] == len(rows) - len(made.clouds)
    if rule in ("scaffold", "random"):
        assert len(made.clouds) == len(rows)


def test_copies_that_a_column_puts_on_two_sides_are_left_out_of_training():
    columns = frame(20, part=["train"] * 14 + ["val"] * 3 + ["test"] * 3)
    columns["SMILES"][0] = columns["SMILES"][19]
    columns["SMILES"][14] = columns["SMILES"][18]
    made = load(columns, split="column:part")
    assert {"m0", "m14"} & set(made.clouds.text["id"]) == set()
    assert made.clouds["split"].bincount().tolist() == [13, 2, 3]
    assert any(note.startswith("2 copies of molecules that column:part also puts") for note in made.provenance["notes"])


def test_folds_test_every_molecule_once():
    tested = [name for fold in range(4) for name in load(frame(), folds=4, fold=fold).clouds.split("test").text["id"]]
    assert sorted(tested) == sorted(f"m{i}" for i in range(60))


def test_time_tests_the_newest():
    columns = frame(30, date=[f"20{i:02d}-03-01" for i in range(30)])
    made = load(columns, split="time:date")
    assert set(made.clouds.split("test").text["id"]) == {"m27", "m28", "m29"}


def test_a_column_that_was_taken_for_ids_may_still_be_a_time_or_a_target():
    columns = {"SMILES": SMILES[:30], "date": [f"20{29 - i:02d}-03-01" for i in range(30)], "x": list(range(30))}
    assert load(columns, "x", split="random").provenance["columns"]["id"] is None, "dates name nothing"
    made = load(columns, "x", split="time:date", id="date")
    assert made.provenance["columns"]["id"] == "date"
    assert made.clouds.split("test")["y"].flatten().tolist() == [0, 1, 2]
    columns = {"SMILES": SMILES[:30], "x": [f"<{i},5" for i in range(15)] + [f"{i},5" for i in range(15, 29)] + [""]}
    made = load(columns, "x", split="random")
    assert made.provenance["labels"] == ["x: regression, 29 values, of which 15 are bounds"]


def test_a_side_without_values_is_told_and_without_training_values_refused():
    columns = frame(20, rare=[""] * 18 + ["1", "2"], part=["train"] * 14 + ["val"] * 3 + ["test"] * 3)
    with pytest.raises(PellucidError, match="expected values of 'rare' in the training part, got none"):
        load(columns, ["logS", "rare"], split="column:part")
    columns["rare"] = ["1", "2"] + [""] * 18
    made = load(columns, ["logS", "rare"], split="column:part")
    assert {"rare: no value in val", "rare: no value in test"} <= set(made.provenance["notes"])


# -- repeats ------------------------------------------------------------------------------------------------------
def test_repeats_and_contradictions_are_told():
    columns = frame(30, toxic=["0", "1"] * 15)
    columns["SMILES"][1] = Chem.MolToSmiles(Chem.MolFromSmiles(SMILES[0]), rootedAtAtom=3)
    columns["SMILES"][29] = columns["SMILES"][2]
    notes = load(columns, ["logS", "toxic"], split="random").provenance["notes"]
    assert notes[-3:] == [
        "2 samples come more than once (4 rows); they are kept, on one side of the split",
        "logS: 1 of them has values that contradict each other (m2 and m29: 0.285714 and 4.14286)",
        "toxic: 2 of them have values that contradict each other (m0 and m1: 0 and 1; m2 and m29: 0 and 1)"]


def test_bounds_and_near_numbers_are_no_contradiction():
    columns = read_targets({"x": ["1", "1.2", "<1", "9", "5", ""]})
    assert repeats(["a", "a", "b", "b", "c", "c"], list("uvwxyz"), columns) == [
        "3 samples come more than once (6 rows); they are kept, on one side of the split"]
    assert repeats(list("abcdef"), list("uvwxyz"), columns) == []


def test_contradictions_of_many_targets_stay_short():
    columns = read_targets({f"t{i}": ["0", "1", "0", "1" if i > 2 else "0"] for i in range(6)})
    assert [note.partition(":")[0] for note in repeats(["a", "a", "b", "b"], list("wxyz"), columns)[1:]] == [
        "t3", "t4", "t5", "values that contradict each other also of t0, t1, t2"]


# -- the front door -----------------------------------------------------------------------------------------------
def test_describe_from_the_command_line(tmp_path):
    from typer.testing import CliRunner

    from pellucid.cli import app

    path = written(tmp_path, frame(30, toxic=["0", "1"] * 15), ";")
    result = CliRunner().invoke(app, ["data", "describe", "molecules", "--source", str(path), "--targets",
                                      "logS, toxic", "--geometry", "graph", "--split", "random", "--floors.logS", "0",
                                      "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["targets"] == {"logS": "regression", "toxic": "binary"}
    assert told["splits"]["train"]["clouds"] == 24
    assert told["provenance"]["labels"][0] == "logS: regression in log mol/L, 30 values, of which 1 is a bound"


def test_near_misses_of_targets():
    with pytest.raises(UnknownNameError, match="did you mean 'logS'"):
        load(frame(12), "logs")


@pytest.mark.shared
@pytest.mark.skipif(not BIOGEN.is_file(), reason="the data are not here")
def test_six_endpoints_with_gaps_and_floors_prepare_in_seconds():
    start = time.monotonic()
    targets = ["LOG HLM_CLint", "LOG RLM_CLint", "LOG MDR1-MDCK ER (B-A/A-B)", "LOG SOLUBILITY PH 6.8",
               "LOG PLASMA PROTEIN BINDING (HUMAN)", "LOG PLASMA PROTEIN BINDING (RAT)"]
    made = load(BIOGEN, targets, floors={targets[0]: 0.675686709, targets[1]: 1.027920136})
    assert time.monotonic() - start < 60, "5 s on an idle core"
    known = made.clouds["y"].isfinite()
    assert known.sum(0).tolist() == [3087, 3054, 2642, 2173, 194, 168]
    assert (made.clouds["censored"] == -1).sum(0).tolist() == [958, 346, 0, 0, 0, 0]
    assert len(made.clouds) == 3521
    assert made.clouds["split"].bincount().tolist() == pytest.approx([2817, 352, 352], abs=3)


def test_a_header_without_rows_is_told(tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("smiles,y\n")
    with pytest.raises(PellucidError, match="no entries behind the header"):
        pellucid.load_molecules(path, "y")
