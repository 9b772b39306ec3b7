"""Training: runs, folders, exact resume after a kill, reproducibility, selection, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import roc_auc_score

import pellucid
from pellucid.backbones import backbones
from pellucid.clouds import Field, PointClouds
from pellucid.commands.data import AskedData
from pellucid.commands.explaining import ExplainedRun
from pellucid.errors import DamagedFileError, PellucidError
from pellucid.methods import methods
from pellucid.methods.lri import LRI
from pellucid.neighbors import knn
from pellucid.targets import Target, Targets
from pellucid.training import RunConfig, load_model, train
from pellucid.training.batches import Batches, mix, rotated
from pellucid.training.checkpoint import load
from pellucid.training.data import data_digest
from pellucid.training.explaining import explain_clouds
from pellucid.training.fit import warm_up, warm_up_identity
from pellucid.training.module import TrainingModule

sys.path.insert(0, str(Path(__file__).parent))
from toy import toy_clouds, toy_config, toy_spec

OPTIONS = {"spec": toy_spec(), "progress": False, "device": "cpu"}


@pytest.mark.parametrize("method", sorted(methods))
def test_run_folder_is_complete(method: str, tmp_path: Path) -> None:
    clouds = toy_clouds()
    run = train(toy_config(method), clouds, tmp_path / "run", **OPTIONS)
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert 0 <= metrics["prediction"]["y"]["roc_auc"] <= 1
    assert not (run.folder / "last.safetensors").exists()
    assert not [p for p in run.folder.iterdir() if p.name.startswith(".")]
    history = json.loads((run.folder / "history.json").read_text())
    assert [e["epoch"] for e in history] == [0, 1, 2]
    if methods[method].supports.importance:
        table = pq.read_table(run.folder / "explanations.parquet")
        assert table.num_rows == clouds.split("test").points
        for name in ("roc_auc", "roc_auc_per_cloud", "precision@1", "precision@2"):
            assert 0 <= metrics["interpretation"][name] <= 1
        assert set(metrics["fidelity"]) == {"deletion", "insertion", "plus", "minus", "plus_area", "minus_area",
                                            "characterization", "robust_plus", "robust_minus"}
        assert set(metrics["sanity"]["randomisation"]) == {"value", "low", "high", "random"}
        for name, (low, high) in metrics["interpretation"]["intervals"].items():
            assert low <= metrics["interpretation"][name] <= high
    model, config, _ = load_model(run.folder)
    assert config == run.config
    for name, value in model.state_dict().items():
        assert torch.equal(value, run.model.state_dict()[name])


def test_selected_epoch_has_the_best_validation_score(tmp_path: Path) -> None:
    run = train(toy_config(epochs=4), toy_clouds(), tmp_path / "run", **OPTIONS)
    history = json.loads((run.folder / "history.json").read_text())
    joint = [e for e in history if e["phase"] == "joint"]
    best = max(joint, key=lambda e: (e["val_score"], -e["val_loss"]))
    assert run.metrics["selected_epoch"] == best["epoch"]


def test_metrics_agree_with_scikit_learn(tmp_path: Path) -> None:
    run = train(toy_config(epochs=3), toy_clouds(), tmp_path / "run", **OPTIONS)
    e = run.explanation
    assert e is not None
    y = e.clouds["y"][:, 0]
    assert run.metrics["prediction"]["y"]["roc_auc"] == pytest.approx(roc_auc_score(y, e.prediction[:, 0]))
    positive = y[e.clouds.batch] == 1
    expected = roc_auc_score(e.clouds["important"][positive], e.importance[positive])
    assert run.metrics["interpretation"]["roc_auc"] == pytest.approx(expected)


def test_the_same_seed_gives_the_same_run_bit_for_bit(tmp_path: Path) -> None:
    runs = [train(toy_config(), toy_clouds(), tmp_path / name, **OPTIONS) for name in ("a", "b")]
    first, second = (r.model.state_dict() for r in runs)
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert _figures(runs[0].metrics) == _figures(runs[1].metrics)


def _figures(metrics: dict) -> dict:
    return {k: v for k, v in metrics.items() if k != "seconds"}


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    config = toy_config(epochs=5, schedule="one-cycle")
    whole = train(config, toy_clouds(), tmp_path / "whole", **OPTIONS)
    script = tmp_path / "script.py"
    script.write_text(f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch
torch.set_num_threads(1)
from toy import toy_clouds, toy_config, toy_spec
from pellucid.training import train
from pellucid.training.progress import EpochCheckpoint
save = EpochCheckpoint.on_train_epoch_end
def slowly(self, trainer, module):
    save(self, trainer, module)
    if trainer.current_epoch == 2:
        print("now", flush=True)
        time.sleep(60)
EpochCheckpoint.on_train_epoch_end = slowly
train(toy_config(epochs=5, schedule="one-cycle"), toy_clouds(), Path({str(tmp_path / "killed")!r}), toy_spec(),
      progress=False, device="cpu")
""")
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONWARNINGS": "ignore"})
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "now"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert (tmp_path / "killed" / "last.safetensors").exists()
    with pytest.raises(PellucidError, match="finished run"):
        load_model(tmp_path / "killed")
    threads = torch.get_num_threads()
    resumed = train(config, toy_clouds(), tmp_path / "killed", **OPTIONS)
    assert torch.get_num_threads() == threads
    assert _figures(resumed.metrics) == _figures(whole.metrics)
    strip = [[{k: v for k, v in e.items() if k != "seconds"} for e in json.loads((p / "history.json").read_text())]
             for p in (whole.folder, resumed.folder)]
    assert strip[0] == strip[1]


@pytest.mark.parametrize("told_by", ["SIGTERM", "SIGTERM as Ctrl-C", "Ctrl-C"])
def test_a_run_that_is_told_to_stop_is_no_failure(told_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                  ) -> None:
    """The second way is that of the command, which takes both alike."""
    validate, calls = TrainingModule.validate_now, []
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL if told_by == "SIGTERM" else signal.default_int_handler)
    interrupt = signal.getsignal(signal.SIGINT)

    def told(self: TrainingModule) -> dict:
        calls.append(self.current_epoch)
        if len(calls) == 2:
            if told_by == "Ctrl-C":
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGTERM)
        return validate(self)

    monkeypatch.setattr(TrainingModule, "validate_now", told)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(toy_config(), toy_clouds(), tmp_path / "run", **OPTIONS)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert signal.getsignal(signal.SIGINT) is interrupt, "Ctrl-C works as before"
    assert (tmp_path / "run" / "last.safetensors").exists()
    train(toy_config(), toy_clouds(), tmp_path / "run", **OPTIONS)
    assert sorted(calls)[-1] == 2
    assert calls.count(0) == 1  # the first epoch was not done again


def test_targets_of_several_kinds_units_and_gaps_in_one_model(tmp_path: Path) -> None:
    clouds = toy_clouds()
    random = torch.Generator().manual_seed(1)
    y = torch.stack([2 + torch.rand(len(clouds), generator=random), 3000 * torch.rand(len(clouds), generator=random),
                     torch.randint(0, 3, (len(clouds),), generator=random).float()], 1)
    y[::7, 0] = float("nan")
    y[::5, 2] = float("nan")
    targets = Targets((Target("logS", "regression", unit="log mol/L"), Target("mass", "regression", unit="Da"),
                       Target("colour", "multiclass", classes=("red", "green", "blue"))))
    run = train(toy_config(), clouds.replace(y=y), tmp_path / "run", **{**OPTIONS, "spec": toy_spec(targets)})
    assert set(run.metrics["prediction"]) == {"logS", "mass", "colour"}
    known = clouds["split"] == 0
    for column, target in ((0, run.model.targets[0]), (1, run.model.targets[1])):
        own = y[known, column][~y[known, column].isnan()].double()
        assert target.center == pytest.approx(float(own.mean()))
        assert target.spread == pytest.approx(float(own.std()))
    e = run.explanation
    assert e is not None
    known = ~e.clouds["y"][:, 1].isnan()
    rmse = float((e.prediction[known, 1] - e.clouds["y"][known, 1]).double().square().mean().sqrt())
    assert run.metrics["prediction"]["mass"]["rmse"] == pytest.approx(rmse)
    table = e.table()
    assert {"prediction:logS", "prediction:mass", "prediction:colour=blue"} <= set(table)
    model, _, spec = load_model(tmp_path / "run")
    assert spec.targets == run.model.targets
    for name in ("mass", "colour", "colour=green"):
        assert explain_clouds(model, e.clouds, target=name).quantity(0).startswith(("mass (Da)", "P("))
    # each target is judged by its own numbers, of the run and of what it explains later
    others = json.loads((run.folder / "metrics.json").read_text())["targets"]
    assert list(others) == ["mass", "colour"]
    assert all(set(one) == {"fidelity", "removal", "sanity", "stability", "trust"} for one in others.values())
    explained = ExplainedRun.open(run.folder, torch.device("cpu"))
    assert explained.trust("mass") == others["mass"]["trust"]
    assert explained.trust("colour=green") == others["colour"]["trust"]
    assert "mass" in others["mass"]["trust"]["sentence"] + " ".join(others["mass"]["trust"]["reasons"])
    assert explained.trust() == run.metrics["trust"]


def contributions(run) -> torch.Tensor:
    e = run.explanation
    return torch.zeros(len(e.clouds), e.targets.outputs).index_add(0, e.clouds.batch, e.importance)


def test_an_additive_readout_gives_exact_shares_in_the_target_s_unit(tmp_path: Path) -> None:
    clouds = toy_clouds()
    y = torch.stack([1000 + 500 * clouds["y"][:, 0], clouds["y"][:, 0]], 1)
    targets = Targets((Target("mass", "regression", unit="Da"), Target("toxic")))
    config = toy_config("erm", epochs=3)
    config = config.model_copy(update={"method": config.method.model_copy(update={"readout": "additive"})})
    run = train(config, clouds.replace(y=y), tmp_path / "run", **{**OPTIONS, "spec": toy_spec(targets)})
    e = run.explanation
    assert e.signed
    assert e.importance.shape == (e.clouds.points, 2)
    total = contributions(run) + e.baseline
    torch.testing.assert_close(total[:, 0], e.prediction[:, 0], rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(total[:, 1].sigmoid(), e.prediction[:, 1], rtol=1e-4, atol=1e-5)
    assert e.of("toxic").unit(0) == "log-odds"
    assert e.of("mass").unit(0) == "Da"


def point_targets(count: int = 60) -> PointClouds:
    """Toy clouds whose points have targets: their own category, one of them unknown in each cloud."""
    clouds = toy_clouds(count)
    y = clouds["categories"].float()
    y[clouds.ptr[:-1]] = float("nan")
    kept = {name: clouds[name] for name in ("pos", "categories", "split")}
    return PointClouds(clouds.ptr, {**kept, "y": y}, declared={"y": Field("point", "float", ("T",))})


@pytest.mark.parametrize("method", sorted(methods))
def test_targets_of_points(method: str, tmp_path: Path) -> None:
    clouds = point_targets()
    targets = Targets((Target("marked", level="point"),))
    run = train(toy_config(method, epochs=6, learning_rate=1e-2), clouds, tmp_path / "run",
                **{**OPTIONS, "spec": toy_spec(targets, clouds)})
    assert run.metrics["prediction"]["marked"]["roc_auc"] > (0.9 if method != "pointmask" else 0.0)
    if methods[method].supports.importance:
        assert run.explanation.prediction.shape == (run.explanation.clouds.points, 1)
        assert "fidelity" not in run.metrics
    with pytest.raises(PellucidError, match="a row a cloud"):
        train(toy_config(method), toy_clouds(), tmp_path / "other", **{**OPTIONS, "spec": toy_spec(targets, clouds)})


@pytest.mark.parametrize("backbone", sorted(backbones))
def test_bfloat16_trains(backbone: str, tmp_path: Path) -> None:
    run = train(toy_config(backbone=backbone, precision="bf16"), toy_clouds(), tmp_path / "run", **OPTIONS)
    assert all(v.dtype != torch.bfloat16 for v in run.model.state_dict().values())


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    train(toy_config("erm"), toy_clouds(), tmp_path / "run", **OPTIONS)
    with pytest.raises(PellucidError, match="finished run"):
        train(toy_config("erm"), toy_clouds(), tmp_path / "run", **OPTIONS)
    (tmp_path / "run" / "compare.json").write_text("{}")  # what others wrote beside it is no reason to refuse
    train(toy_config("erm"), toy_clouds(), tmp_path / "run", **OPTIONS, overwrite=True)
    assert (tmp_path / "run" / "metrics.json").is_file()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("keep")
    for overwrite in (False, True):
        with pytest.raises(PellucidError, match="empty folder"):
            train(toy_config("erm"), toy_clouds(), tmp_path / "other", **OPTIONS, overwrite=overwrite)


def test_a_folder_in_use_is_refused_before_a_table_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AskedData, "prepare", lambda *a: pytest.fail("read"))
    (tmp_path / "mine.txt").write_text("keep")
    for begin in (pellucid.fit, partial(pellucid.cross_validate, folds=2)):
        with pytest.raises(PellucidError, match="empty folder"):
            begin({"smiles": ["CO"], "y": [1]}, "y", out=tmp_path)


def test_a_begun_folder_takes_only_its_own_configuration_and_data(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(toy_config("erm"), toy_clouds(), folder, **OPTIONS)
    (folder / "metrics.json").unlink()  # as if it had been killed before the end
    with pytest.raises(PellucidError, match="configuration"):
        train(toy_config("lri-bernoulli"), toy_clouds(), folder, **OPTIONS)
    with pytest.raises(PellucidError, match="data"):
        train(toy_config("erm"), toy_clouds(seed=1), folder, **OPTIONS)


def test_a_folder_of_an_older_kind_is_told(tmp_path: Path) -> None:
    folder = train(toy_config("erm"), toy_clouds(), tmp_path / "run", **OPTIONS).folder
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "scheduler": "cosine"}))
    with pytest.raises(PellucidError, match=r"^expected a valid run configuration, got 'cosine' in 'scheduler'"):
        load_model(folder)
    (folder / "metrics.json").unlink()
    (folder / "last.ckpt").write_bytes(b"")
    with pytest.raises(PellucidError, match=r"^expected last.safetensors in .*, got last.ckpt of an older pellucid"):
        train(toy_config("erm"), toy_clouds(), folder, **OPTIONS)
    (folder / "last.ckpt").unlink()
    with pytest.raises(PellucidError, match="configuration"):
        train(toy_config("erm"), toy_clouds(), folder, **OPTIONS)


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(toy_config("erm"), toy_clouds(), folder, **OPTIONS)
    (folder / "metrics.json").unlink()
    (folder / "last.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(DamagedFileError, match="checkpoint"):
        train(toy_config("erm"), toy_clouds(), folder, **OPTIONS)


def test_damaged_weights_are_told(tmp_path: Path) -> None:
    run = train(toy_config("erm"), toy_clouds(), tmp_path / "run", **OPTIONS)
    weights = run.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(DamagedFileError, match=r"model\.safetensors"):
        load_model(run.folder)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    config = toy_config("erm")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(PellucidError, match="No space left"):
        train(config, toy_clouds(), tmp_path / "run", **OPTIONS)
    monkeypatch.undo()
    assert not list((tmp_path / "run").glob(".*"))
    train(config, toy_clouds(), tmp_path / "run", **OPTIONS)


def test_bad_input_is_refused_before_work(tmp_path: Path) -> None:
    clouds = toy_clouds()
    pos = clouds.pos.clone()
    pos[3, 1] = float("nan")
    with pytest.raises(PellucidError, match="NaN"):
        train(toy_config(), clouds.replace(pos=pos), tmp_path / "run", **OPTIONS)
    with pytest.raises(PellucidError, match="val split"):
        train(toy_config(), clouds.replace(split=torch.zeros_like(clouds["split"])), tmp_path / "run", **OPTIONS)
    assert not (tmp_path / "run").exists()


def test_a_diverged_training_is_told(tmp_path: Path) -> None:
    with pytest.raises(PellucidError, match="finite training loss"):
        train(toy_config("erm", learning_rate=1e30), toy_clouds(), tmp_path / "run",
              **{**OPTIONS, "spec": toy_spec(Targets.of("regression"))})


def test_a_regression_far_from_zero_is_learned_in_its_own_unit(tmp_path: Path) -> None:
    clouds = toy_clouds()
    far = clouds.replace(y=1e6 + 100 * clouds["y"])
    options = {**OPTIONS, "spec": toy_spec(Targets.of("regression"))}
    run = train(toy_config("erm", epochs=4), far, tmp_path / "run", **options)
    assert run.metrics["prediction"]["y"]["rmse"] < 100
    again = load_model(tmp_path / "run")[0]
    assert again.targets == run.model.targets
    assert again.targets[0].center == pytest.approx(float(far.split("train")["y"].mean()))


def test_wrong_settings_name_the_near_miss() -> None:
    with pytest.raises(PellucidError, match="did you mean 'epochs'"):
        RunConfig.parse({"training": {"epoch": 3}})


def test_unknown_method_option_names_the_near_miss(tmp_path: Path) -> None:
    config = RunConfig.parse({"method": {"name": "lri-bernoulli", "options": {"alfa": 0.7}}})
    with pytest.raises(PellucidError, match="did you mean 'alpha'"):
        train(config, toy_clouds(), tmp_path / "run", **OPTIONS)


def test_erm_does_not_explain(tmp_path: Path) -> None:
    run = train(toy_config("erm"), toy_clouds(), tmp_path / "run", **OPTIONS)
    with pytest.raises(PellucidError, match="only predicts"):
        explain_clouds(run.model, toy_clouds())


def test_explaining_changes_nothing_in_the_model(tmp_path: Path) -> None:
    run = train(toy_config(), toy_clouds(), tmp_path / "run", **OPTIONS)
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    explain_clouds(run.model, toy_clouds().split("test"))
    after = run.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    for module in run.model.modules():
        assert not module._forward_hooks
        assert not module._backward_hooks
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in run.model.parameters())


def test_batches_cover_every_cloud_once_and_none_is_alone() -> None:
    clouds = toy_clouds(33)
    batches = Batches(clouds, knn(clouds.pos, clouds.ptr, 3), 16, seed=0)
    sizes = [len(c) for c, _ in batches]
    assert sizes == [16, 17]
    assert sorted(batches.order().tolist()) == list(range(33))
    first = batches.order()
    batches.epoch = 1
    assert not torch.equal(first, batches.order())
    assert mix(0, 1) != mix(1, 0)


@pytest.mark.parametrize("dim", [2, 3])
def test_rotations_are_proper_and_uniform(dim: int) -> None:
    torch.manual_seed(0)
    clouds = toy_clouds(4000, dim=dim)
    turned = rotated(clouds)
    ptr = clouds.ptr.tolist()
    for i in range(3):
        a, b = clouds.pos[ptr[i]:ptr[i + 1]].double(), turned.pos[ptr[i]:ptr[i + 1]].double()
        assert torch.allclose(torch.cdist(a, a), torch.cdist(b, b), atol=1e-5)
        q = torch.linalg.lstsq(a, b).solution
        assert torch.linalg.det(q).item() == pytest.approx(1, abs=1e-4)
    ones = PointClouds(torch.arange(4001), {"pos": torch.eye(dim)[:1].repeat(4000, 1)})
    assert float(rotated(ones).pos.mean(0).norm()) < 0.05


def test_time_of_an_epoch_is_recorded(tmp_path: Path) -> None:
    started = time.perf_counter()
    run = train(toy_config("erm"), toy_clouds(), tmp_path / "run", **OPTIONS)
    assert 0 < run.metrics["seconds"]["training"] <= time.perf_counter() - started + 0.1


@pytest.mark.parametrize(("first", "second"), [("lri-bernoulli", "erm"), ("lri-bernoulli", "lri-bernoulli"),
                                               ("lri-gaussian", "joint")])
def test_a_shared_warm_up_ends_as_a_training_of_its_own(tmp_path: Path, first: str, second: str) -> None:
    clouds = toy_clouds()
    schedule = {"schedule": "one-cycle", "weight_decay": 1e-2}
    begun = toy_config(first, warmup=2, epochs=2, **schedule)
    goal = toy_config(second, **({"warmup": 0, "epochs": 4} if second == "erm" else {"warmup": 2, "epochs": 2}),
                      **schedule)
    assert warm_up_identity(begun) == warm_up_identity(goal)
    checkpoint = warm_up(begun, clouds, tmp_path / "warm", **OPTIONS)
    assert warm_up(begun, clouds, tmp_path / "warm", **OPTIONS) == checkpoint  # at once
    shared = train(goal, clouds, tmp_path / "shared", warm_start=checkpoint, quick=True, **OPTIONS)
    alone = train(goal, clouds, tmp_path / "alone", quick=True, **OPTIONS)
    for name, value in alone.model.state_dict().items():
        assert torch.equal(shared.model.state_dict()[name], value), name
    drop = ("seconds",)
    assert {k: v for k, v in shared.metrics.items() if k not in drop} == {
        k: v for k, v in alone.metrics.items() if k not in drop}
    histories = [json.loads((run.folder / "history.json").read_text()) for run in (shared, alone)]
    for a, b in zip(*histories, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


def test_warm_ups_differ_where_the_classifier_would() -> None:
    base = warm_up_identity(toy_config("lri-bernoulli"))
    assert warm_up_identity(toy_config("lri-bernoulli", warmup=2, epochs=1)) == base
    assert warm_up_identity(toy_config("lri-gaussian")) != base  # phi trains as well
    for changed in (toy_config("lri-bernoulli", backbone="dgcnn"), toy_config("lri-bernoulli", learning_rate=1e-2),
                    toy_config("lri-bernoulli", epochs=3), toy_config("lri-bernoulli").model_copy(update={"seed": 1})):
        assert warm_up_identity(changed) != base
    assert warm_up_identity(toy_config("lri-bernoulli", retries=2)) == base
    with pytest.raises(PellucidError, match="warm-up epochs"):
        warm_up(toy_config("erm", warmup=0), toy_clouds(), Path("never"), toy_spec())


def test_a_frozen_classifier_stays_as_warm_up_left_it(tmp_path: Path) -> None:
    clouds = toy_clouds()
    frozen = toy_config(warmup=1, epochs=2, freeze_classifier=True)
    with pytest.raises(PellucidError, match="shared=false"):
        train(frozen, clouds, tmp_path / "shared", quick=True, **OPTIONS)
    assert not (tmp_path / "shared" / "model.safetensors").exists()
    method = frozen.method.model_copy(update={"options": {"shared": False}})
    config = frozen.model_copy(update={"method": method})
    checkpoint = warm_up(config, clouds, tmp_path / "warm", **OPTIONS)
    before = {k.removeprefix("model."): v for k, v in load(checkpoint)["state_dict"].items()}
    run = train(config, clouds, tmp_path / "run", quick=True, **OPTIONS)
    assert run.metrics["selected_epoch"] == 2  # the last: the classifier cannot become better
    names = {n for n, _ in run.model.named_parameters()}
    same = {n for n in names if torch.equal(run.model.state_dict()[n], before[n])}
    assert {n.split(".")[0] for n in names - same} == {"own_encoder", "interpreter"}
    assert {n.split(".")[0] for n in same} >= {"encoder", "readout", "phi"}
    assert all(p.requires_grad for p in run.model.parameters())


@pytest.mark.parametrize("own", [{}, {"shared": False, "start": "copy"}], ids=["shared", "own encoder"])
def test_an_interpreter_that_contradicts_removal_at_first_is_drawn_anew(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, object]) -> None:
    plain = toy_config("lri-bernoulli", warmup=2, epochs=8, retries=2)
    config = plain.model_copy(update={"method": plain.method.model_copy(update={"options": own})})
    found, seen, draw = iter([0.3, 0.9]), [], TrainingModule._draw_anew

    def watched(module: TrainingModule) -> None:
        before = {k: v.clone() for k, v in module.model.state_dict().items()}
        draw(module)
        seen.append((before, {k: v.clone() for k, v in module.model.state_dict().items()}, module.warm_up_best))

    monkeypatch.setattr(TrainingModule, "_agreement", lambda module: next(found))  # asked twice, and not a third time
    monkeypatch.setattr(TrainingModule, "_draw_anew", watched)
    run = train(config, toy_clouds(), tmp_path / "run", quick=True, **OPTIONS)
    history = json.loads((run.folder / "history.json").read_text())
    assert [entry.get("drawn_anew") for entry in history] == [None, None, 0.3, *[None] * 7]
    assert run.metrics["selected_epoch"] > 2
    (before, after, best), = seen
    for name, value in after.items():
        if name.startswith(("encoder.", "readout.")):
            assert torch.equal(value, best["weights"][name]), name
        if name.startswith("own_encoder."):
            assert torch.equal(value, after[name.removeprefix("own_")]), name
        if name.startswith("interpreter.") and value.ndim == 2:
            assert not torch.equal(value, before[name]), name
    with pytest.raises(PellucidError, match=r"interpreter for training\.retries, got ERM"):
        train(toy_config("erm", retries=1), toy_clouds(), tmp_path / "erm", **OPTIONS)
    none = train(toy_config("lri-bernoulli", warmup=0, epochs=8, retries=1), toy_clouds(), tmp_path / "none",
                 quick=True, **OPTIONS)  # no classifier to go back to
    assert "drawn_anew" not in (none.folder / "history.json").read_text()


def test_what_an_interpreter_says_at_first_is_asked_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                                  ) -> None:
    seen, agreement = [], TrainingModule._agreement
    monkeypatch.setattr(TrainingModule, "_agreement", lambda module: seen.append(agreement(module)) or seen[-1])
    config = toy_config("lri-bernoulli", warmup=1, epochs=4, retries=1)
    train(config, toy_clouds(), tmp_path / "run", quick=True, **OPTIONS)
    assert len(seen) == 1
    assert 0 <= seen[0] <= 1


def test_a_run_that_was_interrupted_after_a_new_draw_ends_as_an_uninterrupted_one(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, clouds = toy_config("lri-bernoulli", warmup=1, epochs=8, retries=2), toy_clouds()
    monkeypatch.setattr(TrainingModule, "_agreement", lambda module: 0.2 if module.current_epoch == 1 else 0.9)
    whole = train(config, clouds, tmp_path / "whole", quick=True, **OPTIONS)
    start = TrainingModule.on_train_epoch_start

    def stopped(module: TrainingModule) -> None:
        start(module)
        if module.current_epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "on_train_epoch_start", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(config, clouds, tmp_path / "again", quick=True, **OPTIONS)
    again = train(config, clouds, tmp_path / "again", quick=True, **OPTIONS)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    histories = [json.loads((run.folder / "history.json").read_text()) for run in (whole, again)]
    assert [[entry.get("drawn_anew") for entry in history] for history in histories] == [[None, 0.2, *[None] * 7]] * 2


@pytest.mark.parametrize("epochs", [1, 3, 9])
def test_epochs_are_left_however_often_an_interpreter_may_be_drawn_anew(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    monkeypatch.setattr(TrainingModule, "_agreement", lambda module: 0.0)
    run = train(toy_config("lri-bernoulli", epochs=epochs, retries=99), toy_clouds(), tmp_path / "run", quick=True,
                **OPTIONS)
    history = json.loads((run.folder / "history.json").read_text())
    assert sum("drawn_anew" in entry for entry in history) == epochs // 4
    assert run.metrics["selected_epoch"] > epochs // 4


@pytest.mark.parametrize("warmup", [0, 2])
def test_an_interpreter_that_starts_as_a_copy_is_copied_once_after_the_warm_up(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warmup: int) -> None:
    """Also where training goes on from a warm-up that was done before, which is the same run."""
    plain = toy_config("lri-bernoulli", warmup=warmup, epochs=2)
    config = plain.model_copy(update={"method": plain.method.model_copy(update={"options": {
        "shared": False, "start": "copy"}})})
    clouds, seen, join = toy_clouds(), [], LRI.join

    def watched(model: LRI) -> None:
        state = model.encoder.state_dict()
        before = all(torch.equal(v, state[k]) for k, v in model.own_encoder.state_dict().items())
        join(model)
        seen.append((before, all(torch.equal(v, state[k]) for k, v in model.own_encoder.state_dict().items()),
                     {k: v.clone() for k, v in state.items()}))

    monkeypatch.setattr(LRI, "join", watched)
    whole = train(config, clouds, tmp_path / "whole", quick=True, **OPTIONS)
    assert [entry[:2] for entry in seen] == [(False, True)]
    if not warmup:
        return
    checkpoint = warm_up(plain, clouds, tmp_path / "warm", **OPTIONS)
    left = load(checkpoint)["state_dict"]
    assert len(seen) == 1
    assert all(torch.equal(v, left[f"model.encoder.{k}"]) for k, v in seen[0][2].items())
    again = train(config, clouds, tmp_path / "again", warm_start=checkpoint, quick=True, **OPTIONS)
    assert len(seen) == 2
    for name, value in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name


def pairs(count: int = 120) -> PointClouds:
    """Toy clouds with a second cloud that says the label: the first ones do not any more."""
    clouds, second = toy_clouds(count), toy_clouds(count, seed=1)
    blind = clouds.replace(categories=torch.zeros_like(clouds["categories"]), cluster=torch.arange(count))
    return blind.replace(partner=PointClouds(second.ptr, {"pos": second.pos, "categories": second["categories"]}))


PAIR_SPEC = toy_spec(clouds=pairs(4), partner_category_sizes=(2,))


def pair_config(method: str, **training: object) -> RunConfig:
    config = toy_config(method, **training).model_dump()
    config["method"]["partner_rule"] = {"kind": "radius", "value": 1.5, "loop": False}
    return RunConfig.parse(config)


def test_samples_of_two_clouds_train_and_open_again(tmp_path: Path) -> None:
    config = pair_config("lri-bernoulli", epochs=8, learning_rate=1e-2, swap_partner=0.1)
    run = train(config, pairs(), tmp_path / "run", **{**OPTIONS, "spec": PAIR_SPEC})
    assert run.metrics["prediction"]["y"]["roc_auc"] > 0.95  # only the second cloud knows
    model, _, spec = load_model(tmp_path / "run")
    assert spec.partner.category_sizes == (2,)
    assert model.partner.rule.kind == "radius"
    test = pairs().split("test")
    assert torch.equal(explain_clouds(model, test).importance, run.explanation.importance)


def test_the_second_clouds_belong_to_the_data(tmp_path: Path) -> None:
    clouds = pairs()
    partner = clouds.partner
    assert partner is not None
    other = clouds.replace(partner=partner.replace(pos=partner.pos + 1))
    assert data_digest(other) != data_digest(clouds)
    assert data_digest(pairs()) == data_digest(clouds)


def test_partners_are_swapped_for_a_binary_task_alone(tmp_path: Path) -> None:
    config = pair_config("erm", swap_partner=0.1)
    for clouds, spec in ((pairs(), toy_spec(Targets.of("regression"), pairs(4), partner_category_sizes=(2,))),
                         (toy_clouds(), toy_spec())):
        with pytest.raises(PellucidError, match="swap_partner, got another"):
            train(config, clouds, tmp_path / "run", **{**OPTIONS, "spec": spec})


@pytest.mark.parametrize(("settle", "first"), [(0.0, 1), (0.5, 3), (0.99, 4)])
def test_epochs_before_the_interpreter_has_settled_are_not_chosen(settle: float, first: int, tmp_path: Path) -> None:
    run = train(toy_config("lri-bernoulli", warmup=1, epochs=4, settle=settle), toy_clouds(), tmp_path / "run",
                **OPTIONS)
    known = {e["epoch"]: (e["val_score"], -e["val_loss"]) for e in run_history(run.folder) if e["epoch"] >= first}
    assert run.metrics["selected_epoch"] == max(known, key=lambda epoch: (known[epoch], -epoch))


@pytest.mark.parametrize("select_by", ["score", "loss"])
def test_the_epoch_is_the_best_by_what_was_asked(select_by: str, tmp_path: Path, monkeypatch) -> None:
    said = [(0.9, 0.3), (1.0, 0.5), (1.0, 0.4), (0.8, 0.2), (0.7, 0.2)]  # score and loss of each epoch
    left = iter(said)
    monkeypatch.setattr(TrainingModule, "validate_now", lambda self: dict(
        zip(("val_score", "val_loss"), next(left), strict=True)))
    run = train(toy_config("erm", warmup=0, epochs=5, select_by=select_by), toy_clouds(), tmp_path / "run", **OPTIONS)
    assert run.metrics["selected_epoch"] == {"score": 2, "loss": 3}[select_by]  # of equal ones the other decides


def run_history(folder: Path) -> list[dict]:
    return json.loads((folder / "history.json").read_text())
