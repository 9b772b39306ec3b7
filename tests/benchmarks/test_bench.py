"""``pellucid bench`` from the plan to the files: engines agree, nothing runs twice, failures are told."""

import io
import json
import sqlite3
import warnings
from importlib.util import find_spec

import pytest
import torch
from rich.console import Console
from sklearn.metrics import roc_auc_score
from tiny import same_tables, tiny_data, tiny_experiment
from toy import toy_spec

from pellucid.benchmarks.live import Live, outline_table
from pellucid.benchmarks.plan import BenchPlan
from pellucid.benchmarks.runner import Event
from pellucid.benchmarks.store import Record, Store
from pellucid.benchmarks.work import execute, masked_score
from pellucid.commands import benching as module
from pellucid.commands.benching import bench
from pellucid.datasets import announce_dataset, datasets
from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.training import load_model

FEW = {"backbones": ["egnn"], "preset": "tiny"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def tiny(data, monkeypatch):
    """Puts the tiny experiment and data in place of the real ones; more of a preset can be given."""
    def put(**preset):
        monkeypatch.setattr(module, "experiment", lambda name: tiny_experiment(**preset))
        monkeypatch.setattr(module, "load_dataset", lambda name, **options: data[name])
        monkeypatch.setattr(module, "announce_dataset", lambda name, **options: data[name])

    put()
    return put


def places(folder):
    return {"store": folder / "results.sqlite", "artifacts": folder / "models"}


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A whole tiny table, computed in this process."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "experiment", lambda name: tiny_experiment())
        patch.setattr(module, "load_dataset", lambda name, **options: data[name])
        table = bench("tiny", **FEW, **places(folder), out=folder / "out", command="the command")
    return folder, table


def test_a_table_has_every_cell_and_all_its_files(finished):
    folder, table = finished
    assert all(len(cell.values) == 2 and not cell.failed for cell in table.cells)
    assert len(table.cells) == 6 * 2
    assert {path.name for path in (folder / "out").iterdir()} == {f"results.{e}" for e in ("md", "tex", "csv", "html",
                                                                                         "json")}
    assert "0.7210 ± 0.0966" in (folder / "out" / "results.md").read_text()
    assert table.provenance["command"] == "the command"
    assert table.provenance["runs"]["done"] == 18
    assert table.provenance["seconds"]["saved by shared classifiers"] > 0
    assert table.provenance["seconds"]["saved by shared warm-ups"] > 0
    random = table.cell("synmol", "egnn", "random", "interpretation.roc_auc")
    assert abs(random.mean - 0.5) < 0.3


def test_nothing_is_computed_twice(finished, tiny, monkeypatch):
    folder, table = finished

    def never(content):
        raise AssertionError("computed again")

    monkeypatch.setattr(module, "execute", never)
    again = bench("tiny", **FEW, **places(folder))
    assert same_tables(again, table)
    assert again.provenance["runs"]["from the store"] == 14, "all but the warm-ups, which nobody needs any more"
    more = bench("tiny", **FEW, **places(folder), methods=["gradgeo"], dry_run=True)
    assert more["runs"] == 0


@pytest.mark.slow
def test_processes_give_the_same_to_the_last_bit_and_a_killed_benchmark_goes_on(finished, tiny, tmp_path, monkeypatch):
    _, table = finished
    calls = []

    def interrupted(content):
        calls.append(content["kind"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return execute(content)

    with monkeypatch.context() as patch:
        patch.setattr(module, "execute", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bench("tiny", **FEW, **places(tmp_path))
    with Store(places(tmp_path)["store"]) as store:
        assert store.seconds_of(lambda record: record.status) != {}
    resumed = bench("tiny", **FEW, **places(tmp_path), workers=2)
    assert same_tables(resumed, table)
    assert resumed.provenance["runs"]["from the store"] == 2


@pytest.mark.slow
def test_ray_gives_the_same_to_the_last_bit(finished, tiny, tmp_path):
    if find_spec("ray") is None:  # importing it here would be too early: see ray_engine
        pytest.skip("Ray is not installed")
    _, table = finished
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        ours = bench("tiny", **FEW, **places(tmp_path), ray="local", methods=["random", "gradgeo", "lri-gaussian"])
    for cell in ours.cells:
        assert cell.values == table.cell(cell.dataset, cell.backbone, cell.method, cell.metric).values
    assert "RayEngine" in ours.provenance["workers"]


def test_a_diverged_run_is_recorded_with_its_reason_and_the_others_go_on(tiny, tmp_path):
    tiny(grid={"lri-gaussian": {"training.learning_rate": [1e-3, 1e38]}})
    table = bench("tiny", **FEW, **places(tmp_path), methods=["lri-gaussian"], seeds=[0])
    (cell, _) = table.cells
    assert len(cell.values) == 1
    assert table.chosen["synmol", "egnn", "lri-gaussian"].settings == {"training.learning_rate": 1e-3}
    with Store(places(tmp_path)["store"]) as store:
        plan_keys = store.seconds_of(lambda record: record.status)
        assert set(plan_keys) >= {"done"}
    tiny(over={**tiny_experiment().presets["tiny"].over, "training.learning_rate": 1e38})
    table = bench("tiny", **FEW, **places(tmp_path), methods=["gradgeo", "lri-gaussian"], seeds=[0], out=tmp_path)
    reasons = {cell.method: cell.failed[0][1] for cell in table.cells}
    assert "expected a finite training loss" in reasons["lri-gaussian"]
    assert "needs synmol egnn" in reasons["gradgeo"]
    assert "finite training loss" in (tmp_path / "results.md").read_text()


def test_a_locked_store_is_one_sentence(tiny, tmp_path):
    place = places(tmp_path)["store"]
    with Store(place):
        pass
    holder = sqlite3.connect(place)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(PellucidError, match="locked by another process"):
            Store(place, wait=0.2)
    finally:
        holder.close()


def test_what_does_not_fit_is_refused_before_any_work(tiny, tmp_path):
    for options, message in [({"preset": "standart"}, "expected a known preset"), ({"workers": 0}, "one worker"),
                             ({"seeds": []}, "one seed"), ({"device": "tpu"}, "device"),
                             ({"datasets": ["actstrack"]}, "dataset"), ({"methods": ["gradgoe"]}, "gradgeo")]:
        with pytest.raises(PellucidError, match=message):
            bench("tiny", **{**FEW, **options}, **places(tmp_path))
    assert not (tmp_path / "models").exists()


def test_a_dry_run_tells_the_plan_and_computes_nothing(tiny, tmp_path):
    outline = bench("tiny", **FEW, **places(tmp_path), dry_run=True, workers=2)
    assert outline["runs"] == sum(row["runs"] for row in outline["rows"]) == 18
    assert outline["seconds"] > 0
    assert not (tmp_path / "models").exists()
    text = io.StringIO()
    Console(file=text, width=120).print(outline_table(outline))
    assert "18 runs to do" in text.getvalue()
    assert "lri-bernoulli" in text.getvalue()


@pytest.mark.parametrize(("table", "columns"), [("lri-table2", 3), ("lri-table3", 10), ("lri-table4", 3),
                                                ("lri-table5", 3), ("lri-table6", 2)])
def test_a_dry_run_prepares_no_data(table, columns, tmp_path, monkeypatch):
    def never(self, options):
        raise AssertionError("data were prepared for a dry run")

    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "home"))
    for name in datasets:
        monkeypatch.setattr(datasets[name], "build", never)
    outline = bench(table, **places(tmp_path), seeds=[0, 1], backbones=["dgcnn"], dry_run=True)
    names = list(dict.fromkeys(row["dataset"] for row in outline["rows"]))
    assert outline["unprepared"] == names
    assert len(names) == columns
    assert outline["from the store"] == 0
    runs = [sum(row["runs"] for row in outline["rows"] if row["dataset"] == name) for name in names]
    assert min(runs) > 0, "what is not there yet is not taken for the same as something else that is not"
    assert outline["seconds"] > 60
    assert not (tmp_path / "home").exists()


def test_a_dry_run_counts_the_same_without_the_data(tiny, tmp_path, monkeypatch):
    with_data = bench("tiny", **FEW, **places(tmp_path), dry_run=True)
    monkeypatch.setattr(module, "announce_dataset", announce_dataset)
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "home"))
    without = bench("tiny", **FEW, **places(tmp_path), dry_run=True)
    assert [row["runs"] for row in without["rows"]] == [row["runs"] for row in with_data["rows"]]
    assert (with_data["unprepared"], without["unprepared"]) == ([], ["synmol"])
    small = bench("tiny", **FEW, **places(tmp_path), dry_run=True, dataset_options={"size": 100})
    assert small["seconds"] < without["seconds"], "estimates go by the size that was asked for"
    text = io.StringIO()
    Console(file=text, width=200).print(outline_table(without))
    assert "not prepared yet: synmol" in text.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_people_see_progress(data, terminal):
    plan = BenchPlan(tiny_experiment(), "tiny", data, artifacts="somewhere", chosen_backbones=["egnn"], seeds=[0])
    jobs = {job.label: job for job in plan.next({})}
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=140, color_system=None)
    with Live(plan, {}, 1, console=console) as live:
        before = live.seconds_left()
        first, second = jobs["synmol egnn gradgeo seed 0"], jobs["synmol egnn lri-bernoulli seed 0"]
        live.watch(Event("started", first))
        metrics = {"interpretation": {"roc_auc": 0.7654, "precision@5": 0.5}}
        live.watch(Event("finished", first, record=Record(first.key, first.label, first.content, "done",
                                                          {"metrics": metrics, "validation": None}, seconds=2.0)))
        live.watch(Event("started", second))
        live.watch(Event("failed", second, record=Record(second.key, second.label, second.content, "failed",
                                                         reason="ValueError: broken", seconds=1.0)))
        assert live.seconds_left() < before
        assert live.counts() == {"from the store": 0, "done": 1, "failed": 1, "begun again": 0}
    text = screen.getvalue()
    if terminal:
        assert "76.54" in text
        assert "failed" in text
    else:
        assert "synmol egnn gradgeo seed 0: done in 2 s" in text
        assert "ValueError: broken" in text


def test_a_trained_model_that_was_not_told_of_is_not_trained_again(finished, tiny, tmp_path):
    folder, _ = finished
    with Store(folder / "results.sqlite") as store:
        plan = BenchPlan(tiny_experiment(), "tiny", {"synmol": module.load_dataset("synmol")},
                         artifacts=str(folder / "models"), chosen_backbones=["egnn"])
        job = next(job for job in plan.next({}) if job.content["kind"] == "train")
        before = store.get(job.key).result
    assert json.loads(json.dumps(execute(job.content))) == before


def test_the_score_of_a_mask_is_that_of_the_masked_prediction(finished, data):
    folder, _ = finished
    plan = BenchPlan(tiny_experiment(), "tiny", data, artifacts=str(folder / "models"), chosen_backbones=["egnn"],
                     chosen_methods=["bernmask"], seeds=[0])
    run = next(job for job in plan.next({}) if job.content["kind"] == "train").content["folder"]
    model, _, _ = load_model(folder / "models" / run)
    clouds = data["synmol"].clouds.split("val")
    explainer = explainers["bernmask"](steps=3)
    mask = explainer.explain(model, clouds).importance
    with torch.no_grad():
        logits = model.logits(clouds, model.neighbors(clouds), point_weight=mask)
    assert masked_score(model, explainer, clouds) == pytest.approx(roc_auc_score(clouds["y"][:, 0], logits[:, 0]))


def test_data_that_changed_or_went_is_told(tiny, tmp_path):
    content = {"kind": "train", "artifacts": str(tmp_path), "folder": "x", "warm_start": None, "config": {},
               "device": "cpu", "data": {"path": str(tmp_path / "gone"), "digest": "0", "spec": toy_spec().document()}}
    with pytest.raises(PellucidError, match="PELLUCID_HOME"):
        execute(content)
    content["data"]["path"] = str(module.load_dataset("synmol").path)
    with pytest.raises(PellucidError, match="got others"):
        execute(content)
