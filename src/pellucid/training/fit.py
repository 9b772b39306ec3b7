"""A run: from clouds to a folder that holds the model, its metrics and its explanations."""

from __future__ import annotations

import contextlib
import json
import logging
import platform
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.files import json_ready, read_json, refuse_used, write_json, write_tensors
from pellucid.methods import Method, methods
from pellucid.spec import DataSpec
from pellucid.training.applicability import REFERENCE, Reference
from pellucid.training.batches import Batches
from pellucid.training.checkpoint import LAST, OLD, WARM_UP, SafeCheckpointIO, fitting, load, refuse_pickled, save
from pellucid.training.config import RunConfig
from pellucid.training.data import data_digest
from pellucid.training.devices import pick_device, versions
from pellucid.training.encoders import Pretrained
from pellucid.training.evaluation import evaluate_model
from pellucid.training.model import FORMAT, build, load_model, measured, refuse_old
from pellucid.training.module import TrainingModule
from pellucid.training.objectives.base import Objective, objectives
from pellucid.training.predict import batches_of
from pellucid.training.progress import EpochCheckpoint, Progress


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        folder: Where it lies: ``config.json``, ``provenance.json``, ``model.safetensors``, ``metrics.json``,
            ``history.json``, ``explanations.parquet``.
        model: The trained method in eval mode, with the weights of the best epoch.
        config: Its configuration.
        metrics: As in ``metrics.json``.
        explanation: Of the test split; None for a method without interpretation.
    """

    folder: Path
    model: Method
    config: RunConfig
    metrics: dict[str, Any]
    explanation: Explanation | None = field(repr=False, default=None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advice is about data loaders and loggers that are not used here."""
    loggers = [logging.getLogger(f"lightning.{n}") for n in ("pytorch", "pytorch.utilities.rank_zero", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning.*")
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """As many threads of PyTorch; 0 leaves them as they are."""
    before = torch.get_num_threads()
    try:
        if count:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def train(config: RunConfig, clouds: PointClouds, folder: Path, spec: DataSpec, *, device: str = "auto",
          data_provenance: dict[str, Any] | None = None, progress: bool = True, overwrite: bool = False,
          warm_start: Path | None = None, quick: bool = False) -> Run:
    """Trains, evaluates on the test split and writes the run folder; goes on where an interrupted run stopped.

    Args:
        config: The configuration.
        clouds: All splits, with ``y`` and ``split``.
        folder: The run folder: new, or that of an interrupted run with the same configuration.
        spec: What the data look like, and what is predicted; scales of targets are measured on the training split.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        data_provenance: Kept in ``provenance.json``.
        progress: Whether to show a bar (on stderr).
        overwrite: Whether a finished or different run in the folder may be replaced.
        warm_start: What :func:`warm_up` wrote for a configuration with the same :func:`warm_up_identity`: training
            goes on from there, and ends as if it had done the warm-up itself.
        quick: Leaves out fidelity and stability, which need many passes, and what new samples are compared with
            (:mod:`pellucid.training.applicability`).

    Returns:
        The finished run.

    Raises:
        PellucidError: for a folder in use, an empty split, unfit data, a damaged checkpoint, or a diverged training.
    """
    with _threads(config.training.threads):
        return _train(config, clouds, folder, spec, device, data_provenance, progress, overwrite, warm_start, quick)


def _train(config: RunConfig, clouds: PointClouds, folder: Path, spec: DataSpec, device: str,
           data_provenance: dict[str, Any] | None, progress: bool, overwrite: bool, warm_start: Path | None,
           quick: bool) -> Run:
    target = pick_device(device)
    splits, model, objective, spec, frozen = _start(config, clouds, spec, target)
    digest = data_digest(clouds)
    checkpoint = _claim(folder, config, digest, overwrite)
    provenance = {
        "format": FORMAT, "spec": spec.document(), "data": data_provenance or {}, "data_digest": digest,
        "versions": versions(), "device": str(target), "machine": f"{platform.machine()} {platform.system()}",
        "threads": torch.get_num_threads(), "started": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    if config.encoder is not None:
        provenance["encoder"] = Pretrained.open(Path(config.encoder.source)).provenance(config.encoder.freeze)
    write_json(folder / "provenance.json", provenance)
    fit = _prepare_fit(config, model, objective, splits, target, frozen)
    if checkpoint is None and warm_start is not None:
        checkpoint = folder / LAST
        _continue_from(warm_start, fit, checkpoint)
    _run_lightning(fit, folder, checkpoint, progress, config.total_epochs)
    if not fit.best:
        raise KeyboardInterrupt
    model.load_state_dict(fit.best["weights"])
    model.to(target).eval().requires_grad_(True)
    objective.load_state_dict(fit.best.get("objective", {}))
    objective.to(target).eval()
    write_tensors(folder / "model.safetensors", fit.best["weights"])
    if objective.needs_targets and not quick and (reference := Reference.of(model, splits["train"], config.seed)):
        reference.save(folder / REFERENCE)
    started = time.perf_counter()
    metrics: dict[str, Any] = {}
    explanation: Explanation | None = None
    if objective.needs_targets:
        metrics, explanation = evaluate_model(model, splits["test"].to(target), precision_at_m=spec.precision_at,
                                              validation=splits["val"].to(target), seed=config.seed, quick=quick)
    else:
        metrics[config.objective.name] = objective.measure(model, batches_of(model, splits["test"]))
    metrics = json_ready(metrics)
    if explanation is not None:
        explanation = replace(explanation, clouds=splits["test"],
                              provenance={"config": config.model_dump(mode="json"), **provenance})
        explanation.save(folder / "explanations.parquet")
    seconds = sum(entry["seconds"] for entry in fit.history)
    metrics["selected_epoch"] = fit.best["epoch"]
    metrics["seconds"] = {"training": round(seconds, 1), "evaluation": round(time.perf_counter() - started, 1)}
    write_json(folder / "history.json", json_ready(fit.history))
    write_json(folder / "metrics.json", metrics)
    (folder / LAST).unlink(missing_ok=True)
    return Run(folder, model, config, metrics, explanation)


def _start(config: RunConfig, clouds: PointClouds, spec: DataSpec, target: torch.device
           ) -> tuple[dict[str, PointClouds], Method, Objective, DataSpec, Sequence[nn.Module]]:
    """Checks the data, and makes the splits, a fresh seeded model, what it is to minimise, and what of it is frozen."""
    clouds.check_finite()
    made = objectives[config.objective.name]
    if made.needs_targets:
        spec.refuse(clouds)
    splits = {name: clouds.split(name) for name in ("train", "val", "test")}
    for name, part in splits.items():
        known = int((~part["y"].isnan()).sum()) if spec.targets.level == "point" and "y" in part else len(part)
        if known < 2:
            raise PellucidError(f"expected at least 2 {spec.targets.level}s in the {name} split, got {known}; prepare "
                                "a larger dataset")
    if config.training.swap_partner and (clouds.partner is None or [t.kind for t in spec.targets] != ["binary"]):
        raise PellucidError("expected one binary target of samples of two clouds for training.swap_partner, got "
                            "another; set it to 0")
    if (config.training.rotate or config.training.jitter) and "pos" not in clouds:
        raise PellucidError("expected coordinates for training.rotate and training.jitter, got clouds without; set "
                            "them to false and 0")
    torch.manual_seed(config.seed)
    spec, frozen = measured(spec, splits["train"], config), list[nn.Module]()
    given = None if config.encoder is None else Pretrained.open(Path(config.encoder.source))
    spec = spec if given is None else given.adopt(config, spec)
    model = build(config, spec).to(target)
    if given is not None and config.encoder is not None:
        if config.encoder.freeze and config.training.freeze_classifier:
            raise PellucidError("expected encoder.freeze or training.freeze_classifier, got both, which leaves an "
                                "encoder to the interpreter alone; set one of them to false")
        frozen += given.give(model, config.encoder.freeze)
    model.refuse(clouds)
    if config.training.freeze_classifier:
        build(config, spec).freeze_classifier()  # refuses before any work starts
    if config.training.retries:
        build(config, spec).draw_interpreter()  # likewise
    return splits, model, made.make(model, spec, config).to(target), spec, frozen


def warm_up_identity(config: RunConfig) -> str:
    """What decides the warm-up of a run: runs that share it have the same classifier when the interpreter joins.

    Options of the interpreter do not count, nor does the scale of the coordinates where lengths are divided by the
    mean distance between neighbours.

    Example:
        >>> a = RunConfig.parse({"method": {"name": "lri-bernoulli"}, "training": {"warmup": 3, "epochs": 2}})
        >>> b = RunConfig.parse({"method": {"name": "erm"}, "training": {"warmup": 0, "epochs": 5}})
        >>> warm_up_identity(a) == warm_up_identity(b)
        True
    """
    content = config.model_dump(mode="json")
    for name in ("preset", "dataset"):
        del content[name]
    frozen = config.training.freeze_classifier  # then the warm-up has a schedule of its own
    content["training"]["epochs"] = content["training"].pop("warmup") if frozen else config.total_epochs
    for name in ("warmup", "retries"):
        content["training"].pop(name, None)
    method = content["method"]
    kind = methods[method.pop("name")].warm_up_kind(method.pop("options"))
    del method["reconstruct"]
    if config.backbone.length_scale == "neighbors":
        del method["scale"]
    return json.dumps([kind, content], sort_keys=True)


def warm_up(config: RunConfig, clouds: PointClouds, folder: Path, spec: DataSpec, *, device: str = "auto",
            progress: bool = True) -> Path:
    """The warm-up epochs of a run alone, for the ``warm_start`` of runs that have the same.

    Args:
        config: Any of these runs that has warm-up epochs.
        clouds: All splits.
        folder: Where the checkpoint goes; an interrupted warm-up goes on there.
        spec: As for :func:`train`.
        device: As for :func:`train`.
        progress: Whether to show a bar.

    Returns:
        The checkpoint ``warm-up.safetensors``.

    Raises:
        PellucidError: as :func:`train`.
    """
    done = folder / WARM_UP
    if done.is_file():
        return done
    refuse_pickled(folder)
    if config.training.warmup < 1:
        raise PellucidError("expected a run with warm-up epochs, got none")
    target = pick_device(device)
    splits, model, objective, _, frozen = _start(config, clouds, spec, target)
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / LAST
    _run_lightning(_prepare_fit(config, model, objective, splits, target, frozen), folder,
                   last if last.is_file() else None, progress, config.training.warmup)
    last.replace(done)
    return done


def _continue_from(warm_start: Path, fit: TrainingModule, checkpoint: Path) -> None:
    """Writes the checkpoint with which ``fit`` goes on where another model's warm-up ended.

    Parameters are matched by name. What the warm-up does not train is taken fresh, as it would be after a warm-up of
    its own: Adam has no state for parameters without gradient.
    """
    state = load(warm_start)
    with fitting(warm_start):
        own = fit.state_dict()
        trained = set(state["pellucid"]["trained"])
        for name, value in own.items():
            shared = name in trained or (name in state["state_dict"] and name not in dict(fit.named_parameters()))
            if shared and state["state_dict"][name].shape == value.shape:
                own[name] = state["state_dict"][name]
        state["state_dict"] = own
        (optimizer,) = state["optimizer_states"]
        before = {name: i for i, name in enumerate(state["pellucid"]["parameters"])}
        names = fit.optimized()
        optimizer["state"] = {i: optimizer["state"][before[name]] for i, name in enumerate(names)
                              if name in trained and before[name] in optimizer["state"]}
        optimizer["param_groups"][0]["params"] = list(range(len(names)))
        about = state["pellucid"]
        if fit.config.training.warmup == 0:  # a plain classifier, of which every epoch counts
            best = about["warm_up_best"]
            kept = {name: value for name, value in best["weights"].items() if name in fit.model.state_dict()}
            about |= {"best": {**best, "weights": kept}, "warm_up_best": {},
                      "history": [{**entry, "phase": "joint"} for entry in about["history"]]}
    save(checkpoint, state)


def refuse_taken(folder: Path, overwrite: bool = False) -> None:
    """Raises PellucidError for a run folder that is neither new nor that of an interrupted run.

    Args:
        folder: The run folder; it need not be there.
        overwrite: Whether a run in it may be replaced; what is no run may not.
    """
    if not (folder / "config.json").is_file():
        refuse_used(folder)
    elif not overwrite:
        refuse_old(folder)
        if (folder / "metrics.json").is_file():
            raise PellucidError(f"expected a new folder, got a finished run in {folder}; choose another or pass "
                                "--overwrite")


def _claim(folder: Path, config: RunConfig, data: str, overwrite: bool) -> Path | None:
    """Makes the run folder, or finds the checkpoint to go on from."""
    content = config.model_dump(mode="json")
    known = folder / "config.json"
    refuse_taken(folder, overwrite)
    if overwrite and known.is_file():
        for name in (LAST, *OLD, "model.safetensors", "metrics.json", "history.json", "explanations.parquet",
                     "report.html", "config.json", "provenance.json", REFERENCE):
            (folder / name).unlink(missing_ok=True)
    if not known.is_file():
        write_json(known, content)
        return None
    refuse_pickled(folder)
    if read_json(known) != content:
        raise PellucidError(f"expected the configuration that {folder} was begun with, got another; choose another "
                            "folder or pass --overwrite")
    if (folder / "provenance.json").is_file() and read_json(folder / "provenance.json")["data_digest"] != data:
        raise PellucidError(f"expected the data that {folder} was begun with, got others; choose another folder or "
                            "pass --overwrite")
    checkpoint = folder / LAST
    if not checkpoint.is_file():
        return None
    load(checkpoint)  # refuses a damaged one before any work
    return checkpoint


def _prepare_fit(config: RunConfig, model: Method, objective: Objective, splits: dict[str, PointClouds],
                 target: torch.device, frozen: Sequence[nn.Module] = ()) -> TrainingModule:
    train, val = splits["train"].to(target), splits["val"].to(target)
    size = config.training.batch_size
    return TrainingModule(model, objective, config, Batches(train, model.neighbors(train), size, config.seed),
                          Batches(val, model.neighbors(val), 2 * size), frozen)


def _run_lightning(fit: TrainingModule, folder: Path, checkpoint: Path | None, progress: bool, epochs: int) -> None:
    config, target = fit.config, next(fit.parameters()).device
    saver = EpochCheckpoint(folder / LAST)
    callbacks: list[L.Callback] = [saver]
    if progress:
        callbacks.append(Progress())
    with _quiet():
        trainer = L.Trainer(
            accelerator={"cuda": "gpu"}.get(target.type, target.type), devices=1,
            precision="bf16-mixed" if config.training.precision == "bf16" else "32-true",
            max_epochs=epochs, callbacks=callbacks, logger=False, plugins=[SafeCheckpointIO()],
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
            reload_dataloaders_every_n_epochs=1, deterministic="warn" if target.type == "cuda" else None)
        try:
            with fitting(checkpoint or folder / LAST, lambda: checkpoint is not None and not saver.began):
                trainer.fit(fit, ckpt_path=checkpoint)
        except SIGTERMException:
            raise KeyboardInterrupt from None  # told to stop, as by Ctrl-C: no failure, and its checkpoint is there
        except SystemExit:  # Lightning's answer to Ctrl-C, which no caller expects
            raise KeyboardInterrupt from None
        except FloatingPointError as error:
            raise PellucidError(f"expected a finite training loss, but {error}; lower the learning rate") from error
    if fit.trainer.interrupted:
        raise KeyboardInterrupt


__all__ = ["Run", "load_model", "train", "warm_up", "warm_up_identity"]
