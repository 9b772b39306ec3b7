"""One cell's folder: what a peer is given, what it writes, and what it cost."""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
BENCHES = Path(__file__).resolve().parents[1]


class PeerError(Exception):
    """A peer's command failed; its output is in the message."""


@dataclass(frozen=True)
class Job:
    """What a peer must do.

    ``table.csv`` holds ``id``, ``smiles``, the targets (empty where not measured) and ``split``; ``test.csv`` and
    ``explain.csv`` hold ``id`` and ``smiles`` of the test part and of those of it that are to be explained.
    """

    folder: Path
    kind: str
    targets: list[str]
    seed: int
    explained: int = 0

    @classmethod
    def write(cls, folder: Path, kind: str, targets: Sequence[str], seed: int, smiles: Sequence[str],
              values: NDArray[np.float64], parts: Sequence[str], explained: Sequence[int] = ()) -> Job:
        job = cls(folder, kind, list(targets), seed, len(explained))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "job.json").write_text(json.dumps({**asdict(job), "folder": None}))
        with (folder / "table.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "smiles", *targets, "split"])
            for i, (text, row, part) in enumerate(zip(smiles, values, parts, strict=True)):
                cells = ["" if np.isnan(x) else int(x) if kind == "classification" else repr(float(x)) for x in row]
                writer.writerow([f"m{i}", text, *cells, part])
        tested = [i for i, part in enumerate(parts) if part == "test"]
        for name, places in {"test.csv": tested, "explain.csv": explained}.items():
            with (folder / name).open("w", newline="") as file:
                csv.writer(file).writerows([("id", "smiles"), *((f"m{i}", smiles[i]) for i in places)])
        return job

    @classmethod
    def open(cls, folder: Path) -> Job:
        return cls(**{**json.loads((folder / "job.json").read_text()), "folder": folder})

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(newline="") as file:
            return list(csv.DictReader(file))

    def table(self) -> tuple[list[str], NDArray[np.float64], NDArray[np.str_]]:
        """SMILES, values (molecules, targets) and parts."""
        rows = self.rows("table.csv")
        values = np.array([[float(row[target] or "nan") for target in self.targets] for row in rows])
        return [row["smiles"] for row in rows], values, np.array([row["split"] for row in rows])

    def write_predictions(self, predicted: NDArray[np.float64]) -> None:
        """Of the test part, in the table's order: (tested, targets)."""
        np.save(self.folder / "predictions.npy", predicted)

    def predictions(self) -> NDArray[np.float64]:
        return np.load(self.folder / "predictions.npy")

    def write_importance(self, importance: Sequence[Sequence[float] | None]) -> None:
        """Of the atoms of each molecule of ``explain.csv``; None, or nothing at the end, where there is none."""
        rows = [None if each is None else [float(x) for x in each] for each in importance]
        (self.folder / "importance.json").write_text(json.dumps(rows))

    def importance(self) -> list[NDArray[np.float64] | None]:
        rows = json.loads((self.folder / "importance.json").read_text())
        rows += [None] * (self.explained - len(rows))
        return [None if row is None else np.array(row) for row in rows]


def run(command: Sequence[str | Path], log: Path) -> dict[str, float]:
    """Runs a command on one thread; its output goes to the log.

    Returns:
        ``processor``: user and system seconds of it and its children; ``wall``: seconds.

    Raises:
        PeerError: if it fails.
    """
    found = [str(BENCHES), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, **ONE_THREAD, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(found)}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with log.open("a") as file:
        done = subprocess.run([str(word) for word in command], stdout=file, stderr=subprocess.STDOUT,
                              env=environment, cwd=log.parent, check=False)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise PeerError(f"{command[0]} gave {done.returncode}: {log.read_text()[-2000:]}")
    return {"processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "wall": wall}


def part_of_child(fit: Any, explain: Any) -> None:
    """The main function of a peer's own script: ``fit FOLDER`` or ``explain FOLDER``."""
    {"fit": fit, "explain": explain}[sys.argv[1]](Job.open(Path(sys.argv[2])))
