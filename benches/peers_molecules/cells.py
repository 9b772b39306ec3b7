"""One cell: a peer on a task with a seed, from data to record."""

from __future__ import annotations

import datetime
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.datasets.splits import SHARES

from .jobs import Job, PeerError, run
from .metrics import explanation_metrics, prediction_metrics
from .peers import Command, Peer, said
from .sets import MoleculeSet, digest, scaffold_parts
from .truths import Truth


def record_of(task: MoleculeSet, truth: Truth | None, peer_name: str, peer: Peer, seed: int, folder: Path,
              explained: int) -> dict[str, Any]:
    """Runs a peer on a task and says how it did.

    Args:
        task: Molecules and targets.
        truth: Of its atoms, where they are to be explained.
        peer_name: As it is recorded.
        peer: Which.
        seed: Of the split and of the peer.
        folder: New; removed when the cell is done.
        explained: The most molecules of the test part that are explained.

    Raises:
        PeerError: if a command fails; the folder stays.
    """
    shutil.rmtree(folder, ignore_errors=True)
    parts = scaffold_parts(task.smiles, seed, SHARES if truth is None else truth.shares)
    chosen = [] if truth is None else truth.chosen(parts, seed, explained)
    job = Job.write(folder, task.kind, task.targets, seed, task.smiles, task.values, parts, chosen)
    commands = peer.fit(job)
    seconds = {"fit": _run_all(commands, folder)}
    peer.read_predictions(job)
    of = {part: np.array(parts) == part for part in ("train", "val", "test")}
    metrics = prediction_metrics(task.kind, task.targets, job.predictions(), task.values[of["test"]],
                                 task.values[of["train"]], task.floors)
    if truth is not None:
        asking = peer.explain(job)
        seconds["explain"] = _run_all(asking, folder)
        commands = commands + asking
        peer.read_importance(job)
        importance = job.importance()
        sizes = [(len(given), len(truth.atoms[i])) for given, i in zip(importance, chosen, strict=True)
                 if given is not None]
        if any(given != expected for given, expected in sizes):
            raise PeerError(f"{peer_name} explained other atoms than the molecules have: {sizes}")
        metrics["explanation"] = explanation_metrics(task.kind, importance, [truth.atoms[i] for i in chosen])
        metrics["explanation"]["limit"] = peer.limit
    shutil.rmtree(folder)
    return {"task": task.name, "kind": task.kind, "seed": seed, "peer": peer_name, "version": peer.version(),
            "metrics": metrics, "processor_seconds": {name: round(each["processor"], 2) for name, each in
                                                      seconds.items()},
            "wall_seconds": {name: round(each["wall"], 2) for name, each in seconds.items()},
            "rows": {part: int(members.sum()) for part, members in of.items()}, "unreadable": task.unreadable,
            "data": digest(task.smiles, task.values, parts), "cores": os.cpu_count(), "cpu": _cpu(),
            "python": platform.python_version(), "date": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
            "command": said(commands, folder)}


def _run_all(commands: Sequence[Command], folder: Path) -> dict[str, float]:
    spent = [run(command, folder / "log.txt") for command in commands]
    return {name: sum(each[name] for each in spent) for name in ("processor", "wall")}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
