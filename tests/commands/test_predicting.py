"""Tables of predictions: rows, ensembles, files that are whole or absent, points, workers."""

import csv
import gzip
import json
import pickle
import signal
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import AllChem
from toy import toy_clouds, toy_config, toy_spec

import pellucid
from pellucid.chemistry.encoding import MoleculeRecipe, encode_molecules
from pellucid.chemistry.features import ATOM_CATEGORY_SIZES, BOND_CATEGORY_SIZES
from pellucid.chemistry.molecules import read_molecules
from pellucid.clouds import PointClouds
from pellucid.commands.predicting import _looks
from pellucid.domains.base import domain_of
from pellucid.errors import PellucidError
from pellucid.files import write_json, write_tensors
from pellucid.predictions import Predictions
from pellucid.spec import DataSpec, InputSpec
from pellucid.targets import Target, Targets
from pellucid.training import RunConfig, build, train
from pellucid.training.applicability import Reference
from pellucid.training.model import FORMAT

SMILES = ["CCO", "CCN", "c1ccccc1O", "CC(=O)NC", "C1CCCCC1", "CCCCO", "OCC(N)C", "c1ccncc1", "CC(C)C(=O)O", "CCOCC"]


def untrained(folder, config, spec, clouds=None, seed=0):
    """A run folder without the training, which predictions do not need."""
    torch.manual_seed(seed)
    model = build(config, spec).eval()
    write_json(folder / "config.json", config.model_dump(mode="json"))
    write_json(folder / "provenance.json", {"format": FORMAT, "spec": spec.document()})
    write_tensors(folder / "model.safetensors", model.state_dict())
    if clouds is not None:
        Reference.of(model, clouds).save(folder / "reference.safetensors")
    return folder


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Three runs of other seeds, one of which explains itself."""
    root = tmp_path_factory.mktemp("toys")
    for name, method, seed in (("a", "erm", 0), ("b", "erm", 1), ("c", "lri-gaussian", 2)):
        untrained(root / name, toy_config(method), toy_spec(), toy_clouds(60), seed)
    return root


@pytest.fixture(scope="module")
def chemist(tmp_path_factory):
    """A run on molecular graphs with two targets, and a table of molecules."""
    root = tmp_path_factory.mktemp("chemist")
    recipe = MoleculeRecipe("full", "graph")
    targets = Targets((Target("logS", "regression", unit="log mol/L", center=-2, spread=1.5),
                       Target("class", "multiclass", classes=("low", "mid", "high"))))
    spec = DataSpec(targets, InputSpec(0, ATOM_CATEGORY_SIZES, 0, BOND_CATEGORY_SIZES), domain="molecules")
    config = RunConfig.parse({"dataset": "molecules", "dataset_options": recipe.document(),
                              "backbone": {"name": "gin", "hidden": 16, "layers": 2},
                              "method": {"name": "erm", "rule": {"kind": "edges"}}})
    clouds = encode_molecules(read_molecules(SMILES), recipe).clouds
    for seed in (0, 1):
        untrained(root / f"run{seed}", config, spec, clouds, seed)
    (root / "table.csv").write_text("id,smiles,batch,logS\nx1,CCO,7,-0.2\nx2,not one,8,\nx3,c1ccccc1O,9,-0.7\n"
                                    f"x4,{'C' * 40},10,\nx5,CC[Se]C,11,\n")
    return root


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_entry_has_a_row_in_its_place_with_its_columns(chemist, tmp_path):
    out = tmp_path / "out.csv"
    summary = pellucid.predict(chemist / "run0", chemist / "table.csv", out=out, size=2)
    found = rows(out)
    assert list(found[0]) == ["id", "smiles", "batch", "logS_given", "logS", "class", "class=low", "class=mid",
                              "class=high", "distance", "nearest", "outside", "note"]
    assert [row["id"] for row in found] == ["x1", "x2", "x3", "x4", "x5"]
    assert [row["batch"] for row in found] == ["7", "8", "9", "10", "11"]
    assert (found[0]["smiles"], found[0]["logS_given"]) == ("CCO", "-0.2")
    assert found[1]["logS"] == found[1]["class"] == ""
    assert "not valid SMILES" in found[1]["note"]
    assert all(row["note"] == "" for i, row in enumerate(found) if i != 1)
    best = max(("low", "mid", "high"), key=lambda name: float(found[2][f"class={name}"]))
    assert found[2]["class"] == best
    assert sum(float(found[2][f"class={name}"]) for name in ("low", "mid", "high")) == pytest.approx(1, abs=1e-6)
    assert (summary.entries, summary.predicted, summary.left_out) == (5, 4, 1)


def test_what_training_did_not_have_is_told_in_the_words_of_the_domain(chemist):
    made = pellucid.predict(chemist / "run0", chemist / "table.csv")
    assert made.outside[0] == ""
    assert made.nearest[0] == "molecule-1"
    assert made.distance[0] < 0.05
    assert made.outside[3].startswith("40 atoms; training had 3 to 7; ")
    assert "element never seen: Se" in made.outside[4]


def test_predictions_are_those_of_explain_and_of_a_batch(chemist, toys):
    clouds = toy_clouds(40, seed=3)
    for run in (toys / "a", toys / "c"):
        made = pellucid.predict(run, clouds)
        options = {"method": "saliency"} if run.name == "a" else {}
        explained = pellucid.explain(run, clouds, **options)
        assert made.mean.numpy() == pytest.approx(explained.prediction.double().numpy(), abs=1e-5)
        assert made.ids == clouds.text["id"]


def test_an_ensemble_gives_mean_spread_and_number(toys, tmp_path):
    clouds = toy_clouds(12, seed=4)
    single = [pellucid.predict(toys / name, clouds) for name in ("a", "b", "c")]
    together = pellucid.predict(toys / "a", clouds, with_runs=[toys / "b", toys / "c"])
    each = torch.stack([made.mean for made in single])
    assert torch.allclose(together.mean, each.mean(0))
    assert torch.allclose(together.spread, each.std(0))
    assert single[0].spread is None
    assert "y_spread" not in single[0].table()
    table = together.table()
    assert list(table)[:4] == ["id", "y", "y_spread", "members"]
    assert table["members"] == [3] * 12


def test_runs_that_do_not_go_together_are_refused(toys, chemist, tmp_path):
    untrained(tmp_path / "named", toy_config("erm"), toy_spec(Targets((Target("other"),))))
    other = toy_config("erm").model_copy(update={"dataset": "another"})
    untrained(tmp_path / "data", other, toy_spec())
    for run, told in ((tmp_path / "named", r"runs of the same targets as .* \(y\), got other in"),
                      (tmp_path / "data", r"runs on the same data as .* \(toy\), got one on another"),
                      (chemist / "run0", "runs of the same targets")):
        with pytest.raises(PellucidError, match=told):
            pellucid.predict(toys / "a", toy_clouds(4), with_runs=[run])
    with pytest.raises(PellucidError, match=r"expected a run, got a folder of \d+, .*; give one of them, such as .*a;"):
        pellucid.predict(toys, toy_clouds(4))


def test_runs_of_other_parts_of_the_data_go_together():
    one = toy_spec()
    assert _looks(one.measured(torch.tensor([[0.0], [1.0]]), 1.5, points=13.6).inputs) == _looks(one.inputs)


def test_points_are_explained_beside(chemist, tmp_path):
    out = tmp_path / "out.parquet"
    summary = pellucid.predict(chemist / "run0", chemist / "table.csv", out=out, size=2,
                               explain=["saliency", "input-x-gradient"], target=["logS", "class=high"])
    points = pq.read_table(tmp_path / "out_atoms.parquet")
    assert summary.files == {"predictions": str(out), "atoms": str(tmp_path / "out_atoms.parquet")}
    assert points.column_names == [
        "entry", "id", "atom", "element", "importance:saliency:logS", "importance:saliency:class=high",
        "importance:input-x-gradient:logS", "importance:input-x-gradient:class=high"]
    assert points["entry"].to_pylist()[:10] == [0] * 3 + [2] * 7
    assert points["element"].to_pylist()[:3] == ["C", "C", "O"]
    assert points["id"].to_pylist()[-1] == "x5"
    assert points["element"].to_pylist()[-2] == "Se"
    expected = pellucid.explain(chemist / "run0", "c1ccccc1O", method="saliency", target="class=high")
    assert points["importance:saliency:class=high"].to_pylist()[3:10] == pytest.approx(
        expected.importance.tolist(), rel=1e-4)


def test_what_a_run_learned_and_an_ensemble_are_explained_too(toys, tmp_path):
    clouds = toy_clouds(6, seed=4)
    pellucid.predict(toys / "c", clouds, out=tmp_path / "own.csv", explain="own")
    points = pq.read_table(tmp_path / "own_points.parquet")
    assert points.column_names == ["entry", "id", "point", "category", "importance"]
    explained = pellucid.explain(toys / "c", clouds).of()
    assert points["importance"].to_pylist() == pytest.approx(explained.importance.tolist())
    pellucid.predict(toys / "a", clouds, out=tmp_path / "two.csv", explain="saliency", with_runs=[toys / "b"])
    points = pq.read_table(tmp_path / "two_points.parquet")
    assert points.column_names[-2:] == ["importance", "importance_spread"]


def test_several_shapes_of_an_entry_are_one_row(tmp_path):
    recipe = MoleculeRecipe(conformers=3)
    spec = DataSpec(Targets.of("binary"), InputSpec(3, (14,), unit="angstrom"), domain="molecules")
    config = RunConfig.parse({"dataset": "molecules", "dataset_options": recipe.document(),
                              "backbone": {"hidden": 8, "layers": 1}, "method": {"name": "erm"}})
    run = untrained(tmp_path / "run", config, spec, encode_molecules(read_molecules(SMILES), recipe).clouds)
    clouds = encode_molecules(read_molecules(["CCCCO", "CC(C)C(=O)O"]), recipe).clouds
    each = pellucid.predict(run, clouds).mean
    made = pellucid.predict(run, ["CCCCO", "CC(C)C(=O)O"])
    assert len(each) == 6
    assert torch.allclose(made.mean, each.view(2, 3, 1).mean(1))
    pellucid.predict(run, ["CCCCO", "CC(C)C(=O)O"], out=tmp_path / "o.csv", explain="saliency")
    points = pq.read_table(tmp_path / "o_atoms.parquet")
    assert points["entry"].to_pylist() == [0] * 5 + [1] * 6


def test_pieces_and_formats_make_no_difference(chemist, tmp_path):
    table = pellucid.predict(chemist / "run0", chemist / "table.csv").to_arrow()
    pellucid.predict(chemist / "run0", chemist / "table.csv", out=tmp_path / "o.parquet", size=2)
    read = pq.read_table(tmp_path / "o.parquet")
    assert read.column_names == table.column_names
    assert read["note"].to_pylist()[1] is not None
    for name in ("logS", "class=low", "distance"):
        assert read[name].to_pylist() == pytest.approx(table[name].to_pylist(), abs=1e-5)
    about = json.loads(read.schema.metadata[b"pellucid"])
    assert about["targets"][0] == {"name": "logS", "kind": "regression", "unit": "log mol/L", "classes": []}


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_workers(chemist, tmp_path):
    options = {"size": 2, "explain": "integrated-gradients", "options": {"steps": 5}}
    table = tmp_path / "table.csv"
    table.write_text("smiles\n" + "\n".join(SMILES * 2) + "\n")
    for workers in (1, 2):
        pellucid.predict(chemist / "run0", table, out=tmp_path / f"{workers}.parquet", workers=workers, **options)
    for name in ("1", "1_atoms"):
        one, two = pq.read_table(tmp_path / f"{name}.parquet"), pq.read_table(tmp_path / f"2{name[1:]}.parquet")
        assert one.equals(two)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_same(chemist, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("smiles\n" + "\n".join(SMILES) + "\n")
    for name, ray in (("one", None), ("two", "local")):
        pellucid.predict(chemist / "run0", table, out=tmp_path / f"{name}.parquet", size=3, ray=ray)
    assert pq.read_table(tmp_path / "one.parquet").equals(pq.read_table(tmp_path / "two.parquet"))


def test_poses_keep_all_digits_on_the_way_to_a_worker():
    mol = Chem.AddHs(Chem.MolFromSmiles("CCO"))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    (portion,) = domain_of("molecules").portions([mol], 10)
    again = pickle.loads(pickle.dumps(portion))
    assert again[0].pose.tolist() == portion[0].pose.tolist()
    assert again[0].posed
    assert again.notes == portion.notes


@pytest.mark.parametrize(("out", "told"), [
    ("out.xlsx", r"expected a \.csv or \.parquet file for predictions, got"),
    ("none/out.csv", "expected a folder .*none for predictions, got nothing there"),
    ("there.csv", "expected a new file, got .*there.csv, which is there"),
])
def test_where_nothing_can_be_written_nothing_is(chemist, tmp_path, out, told):
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(PellucidError, match=told):
        pellucid.predict(chemist / "run0", chemist / "table.csv", out=tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_overwrite_replaces(chemist, tmp_path):
    (tmp_path / "there.csv").write_text("mine")
    pellucid.predict(chemist / "run0", chemist / "table.csv", out=tmp_path / "there.csv", overwrite=True)
    assert len(rows(tmp_path / "there.csv")) == 5


def test_an_input_without_a_usable_entry_writes_nothing(chemist, tmp_path):
    (tmp_path / "bad.csv").write_text("smiles\nC1CC\nCCX\n")
    out = tmp_path / "out.parquet"
    with pytest.raises(PellucidError, match="expected at least one of the molecules to be usable, got none"):
        pellucid.predict(chemist / "run0", tmp_path / "bad.csv", out=out, explain="saliency", smiles="smiles")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def test_an_interrupt_leaves_nothing_behind(chemist, tmp_path, monkeypatch):
    from pellucid.commands import prediction_files

    calls = []

    def work(task, plain=prediction_files.work):
        calls.append(task)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return plain(task)

    monkeypatch.setattr(prediction_files, "work", work)
    with pytest.raises(KeyboardInterrupt):
        pellucid.predict(chemist / "run0", chemist / "table.csv", out=tmp_path / "o.csv", size=2, explain="saliency")
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_is_told_to_stop_leaves_nothing_behind(chemist, tmp_path, monkeypatch):
    from pellucid import cli
    from pellucid.commands import prediction_files

    seen = []

    def work(task):
        seen.extend(path.suffix for path in tmp_path.iterdir())
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(prediction_files, "work", work)
    monkeypatch.setattr(sys, "argv", ["pellucid", "predict", str(chemist / "run0"), str(chemist / "table.csv"), "--out",
                                      str(tmp_path / "o.csv"), "--device", "cpu"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (stopped.value.code, seen, list(tmp_path.iterdir())) == (130, [".part"], [])


def test_samples_that_a_model_cannot_take_are_rows_with_a_reason(toys):
    ptr = torch.tensor([0, 6, 6, 12, 18])
    pos = torch.randn(18, 3, generator=torch.Generator().manual_seed(0))
    categories = torch.zeros(18, 1, dtype=torch.int64)
    categories[8] = 5
    pos[15] = torch.nan
    made = pellucid.predict(toys / "a", PointClouds(ptr, {"pos": pos, "categories": categories}))
    assert made.notes == ["", "it has no points", "the model has no category 5", "it has NaN or infinity among its pos"]
    assert made.known.tolist() == [True, False, False, False]
    assert made.ids == ["0", "1", "2", "3"]


def test_a_run_without_a_reference_says_so_once(toys, tmp_path):
    run = untrained(tmp_path / "old", toy_config("erm"), toy_spec())
    summary = pellucid.predict(run, toy_clouds(20), out=tmp_path / "o.csv", size=5)
    assert summary.outside is None
    assert [note for note in summary.notes if "keeps nothing to compare" in note] == summary.notes
    assert {row["outside"] for row in rows(tmp_path / "o.csv")} == {""}


def test_a_run_that_predicts_nothing_or_points_is_refused(toys, tmp_path):
    config = toy_config("erm").model_dump(mode="json")
    config["objective"]["name"] = "denoising"
    run = untrained(tmp_path / "pretrained", toy_config("erm"), toy_spec())
    write_json(run / "config.json", config)
    with pytest.raises(PellucidError, match="expected a run that learned to predict, got one of denoising"):
        pellucid.predict(run, toy_clouds(4))
    of_points = Targets.of("binary", level="point")
    untrained(tmp_path / "points", toy_config("erm"), replace(toy_spec(), targets=of_points))
    with pytest.raises(PellucidError, match="got targets of their points; use pellucid explain"):
        pellucid.predict(tmp_path / "points", toy_clouds(4))


def test_explain_tells_the_same_of_each_sample(toys, tmp_path):
    ptr = torch.tensor([0, 8, 68])
    pos = torch.randn(68, 3, generator=torch.Generator().manual_seed(0))
    clouds = PointClouds(ptr, {"pos": pos, "categories": torch.zeros(68, 1, dtype=torch.int64)},
                         text={"id": ["small", "large"]})
    made = pellucid.explain(toys / "c", clouds, out=tmp_path / "e")
    assert made.provenance["outside"] == pellucid.predict(toys / "c", clouds).outside
    assert made.provenance["outside"][1].startswith("60 points; training had 6 to 11")
    page = (tmp_path / "e" / "report.html").read_text(encoding="utf-8")
    assert "Unlike the training samples: large: 60 points; training had 6 to 11" in page


def test_explain_tells_what_was_done_to_a_molecule(chemist, tmp_path):
    made = pellucid.explain(chemist / "run0", "[2H]OCC", method="saliency", out=tmp_path / "e")
    assert "molecule-1" in " ".join(made.provenance["notes"])
    assert made.provenance["notes"][0] in (tmp_path / "e" / "report.html").read_text(encoding="utf-8")


def test_a_training_ends_with_what_predictions_need(tmp_path):
    train(toy_config("erm", warmup=0, epochs=1), toy_clouds(60), tmp_path / "run", toy_spec(), progress=False)
    clouds = toy_clouds(60).split("train")
    made = pellucid.predict(tmp_path / "run", clouds)
    assert not made.causes.any()
    assert made.nearest == clouds.text["id"]


def test_values_of_other_lengths_are_refused():
    with pytest.raises(PellucidError, match="expected 2 rows of 1 predictions, got"):
        Predictions.of([{"id": "a"}, {"id": "b"}], Targets.of("binary"), torch.zeros(3, 1))


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "parquet", "reader", "parquet.gz"])
def test_numbers_and_dates_of_a_frame_come_back_as_such(chemist, kind, tmp_path):
    frame = pd.DataFrame({"id": [7, 8], "smiles": ["CCO", "CCN"], "dose": [1.5, None], "n": [1, 2], "on": [True, False],
                          "when": pd.to_datetime(["2020-01-01", "2021-05-05"]), "text": ["x", ""],
                          "small": np.array([0.1, 0.2], np.float32)})
    path = tmp_path / "mine.parquet"
    frame.to_parquet(path)
    packed = tmp_path / "mine.parquet.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    arrow = pa.Table.from_pandas(frame)

    def source():
        return {"pandas": frame, "polars": pl.from_pandas(frame), "arrow": arrow, "parquet": path,
                "reader": arrow.to_reader(), "parquet.gz": packed}[kind]

    table = pellucid.predict(chemist / "run0", source()).table()
    assert (table["dose"], table["n"], table["on"], table["text"]) == ([1.5, None], [1, 2], [True, False], ["x", ""])
    assert (table["id"], table["small"]) == (["7", "8"], [0.1, 0.2])
    assert [moment.isoformat()[:10] for moment in table["when"]] == ["2020-01-01", "2021-05-05"]
    pellucid.predict(chemist / "run0", source(), out=tmp_path / "out.parquet", size=1, workers=2)
    written = pq.read_table(tmp_path / "out.parquet")
    assert [str(written.schema.field(name).type) for name in ("id", "dose", "n", "on", "small")] == [
        "string", "double", "int64", "bool", "float"]
    assert written["dose"].to_pylist() == [1.5, None]
    assert pa.types.is_timestamp(written.schema.field("when").type)


def test_columns_of_one_name_and_with_our_names_are_kept(chemist):
    frame = pd.DataFrame([[1, "x", "CCO", "m1", 2.5, "t"], [2, "y", "CCN", "m2", 3.5, "u"]],
                         columns=["id", "id", "smiles", "name", "logS", "logS_given"])
    table = pellucid.predict(chemist / "run0", frame, id="name").to_arrow().to_pydict()
    assert (table["id"], table["id_given"], table["id.2"]) == (["m1", "m2"], [1, 2], ["x", "y"])
    assert (table["logS_given_given"], table["logS_given"]) == ([2.5, 3.5], ["t", "u"])
    assert all(isinstance(value, float) for value in table["logS"])
