"""The peers: for each, the commands that fit and explain, and how its answer is read back."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .jobs import Job, PeerError

HERE = Path(__file__).resolve().parent
Command = list[str | Path]
COLUMNS = ("--smiles", "smiles", "--id", "id")


@dataclass(frozen=True)
class Script:
    """A peer that is a module beside this file."""

    module: str
    packages: tuple[str, ...]
    limit: int | None = None
    """The most molecules it explains."""

    def version(self) -> str:
        return ", ".join(f"{name} {version(name)}" for name in self.packages)

    def fit(self, job: Job) -> list[Command]:
        return [[sys.executable, "-m", f"peers_molecules.{self.module}", "fit", job.folder]]

    def explain(self, job: Job) -> list[Command]:
        return [[sys.executable, "-m", f"peers_molecules.{self.module}", "explain", job.folder]]

    def read_predictions(self, job: Job) -> None:
        """The module has written them."""

    def read_importance(self, job: Job) -> None:
        """The module has written it."""


@dataclass(frozen=True)
class Chemprop:
    """Chemprop's own command line with its defaults, in an environment of its own.

    Explained by its own explainer, Myerson values: exact to 20 atoms, sampled above (its defaults), a molecule at a
    time until ``seconds`` of processor time are spent.
    """

    python: Path
    seconds: float = 900
    limit: int | None = 50

    @cache  # noqa: B019 (one object a run)
    def version(self) -> str:
        code = "from importlib.metadata import version as v; print(f\"chemprop {v('chemprop')}, torch {v('torch')}\")"
        done = subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def fit(self, job: Job) -> list[Command]:
        return [[self.python.parent / "chemprop", "train", "--data-path", job.folder / "table.csv",
                 "--smiles-columns", "smiles", "--target-columns", *job.targets, "--splits-column", "split",
                 "--task-type", job.kind, "--output-dir", job.folder / "chemprop", "--accelerator", "cpu",
                 "--num-workers", "0", "--pytorch-seed", str(job.seed), "--data-seed", str(job.seed)]]

    def read_predictions(self, job: Job) -> None:
        tested = [row["smiles"] for row in job.rows("test.csv")]
        with (job.folder / "chemprop/model_0/test_predictions.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        if [row["smiles"] for row in rows] != tested:
            raise PeerError("Chemprop's test predictions are not of the rows of the test part in their order")
        job.write_predictions(np.array([[float(row[target]) for target in job.targets] for row in rows]))

    def explain(self, job: Job) -> list[Command]:
        return [[self.python, HERE / "myerson_values.py", job.folder / "chemprop/model_0/best.pt",
                 job.folder / "explain.csv", job.folder / "importance.json", str(self.seconds), str(self.limit)]]

    def read_importance(self, job: Job) -> None:
        """The script has written it."""


@dataclass(frozen=True)
class Pellucid:
    """The library's front door with its defaults: ``train --graph``, ``predict``, ``predict --explain``.

    Attributes:
        words: Further words of ``train``, for development tasks; none means the product's defaults.
        explain_words: Which explanation is asked for; ``own`` is what the run itself gives.
    """

    words: tuple[str, ...] = ()
    explain_words: tuple[str, ...] = ("--explain", "own")
    limit: int | None = None

    @cache  # noqa: B019
    def version(self) -> str:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False,
                              cwd=HERE)
        return f"pellucid {version('pellucid')} ({done.stdout.strip() or 'no checkout'}), torch {version('torch')}"

    def _command(self, *words: str | Path) -> Command:
        return [sys.executable, "-c", "from pellucid.cli import main; main()", *words]

    def fit(self, job: Job) -> list[Command]:
        targets = [word for target in job.targets for word in ("--target", target)]
        run = job.folder / "run"
        return [self._command("train", job.folder / "table.csv", "--graph", *COLUMNS, *targets,
                              "--split", "column:split", "--seed", str(job.seed), "--device", "cpu",
                              "--out", run, *self.words),
                self._command("predict", run, job.folder / "test.csv", *COLUMNS, "--device", "cpu", "--out",
                              job.folder / "predictions.csv")]

    def read_predictions(self, job: Job) -> None:
        spec = json.loads((job.folder / "run/provenance.json").read_text(encoding="utf-8"))["spec"]
        names = [target["name"] for target in spec["targets"]]  # titles of columns without their units
        with (job.folder / "predictions.csv").open(newline="") as file:
            rows = {row["id"]: row for row in csv.DictReader(file)}
        if gone := set(names).difference(*(list(row) for row in rows.values())):
            raise PeerError(f"pellucid's predictions lack {', '.join(sorted(gone))}")
        nothing: dict[str, str] = {}
        job.write_predictions(np.array([[float(rows.get(row["id"], nothing).get(name) or "nan") for name in names]
                                        for row in job.rows("test.csv")]))

    def explain(self, job: Job) -> list[Command]:
        return [self._command("predict", job.folder / "run", job.folder / "explain.csv", *COLUMNS, *self.explain_words,
                              "--device", "cpu", "--out", job.folder / "explained.csv")]

    def read_importance(self, job: Job) -> None:
        from pyarrow import parquet

        found: dict[str, dict[int, float]] = {}
        for row in parquet.read_table(job.folder / "explained_atoms.parquet").to_pylist():
            found.setdefault(row["id"], {})[row["atom"]] = row["importance"]
        rows = [found.get(row["id"]) for row in job.rows("explain.csv")]
        job.write_importance([None if row is None else [row[i] for i in sorted(row)] for row in rows])


Peer = Script | Chemprop | Pellucid


def peers_of(chemprop: Path | None, words: tuple[str, ...], explain_words: tuple[str, ...], seconds: float = 900
             ) -> dict[str, Peer]:
    """The peers by name; Chemprop only where its environment is given (its Python, or the folder of that)."""
    found: dict[str, Peer] = {}
    if chemprop is not None:
        python = chemprop / "python" if chemprop.is_dir() else chemprop
        found["chemprop"] = Chemprop(python.absolute(), seconds)
    found["forest"] = Script("forest", ("scikit-learn", "rdkit"))
    found["gin"] = Script("gin", ("torch_geometric", "torch", "captum"))
    found["pellucid"] = Pellucid(words, explain_words) if explain_words else Pellucid(words)
    return found


def said(commands: list[Command], folder: Path) -> str:
    """Commands as one line, without folders of this machine."""
    lines = []
    for command in commands:
        words = []
        for word in command:
            path = Path(word)
            if path.is_absolute() and folder not in (path, *path.parents):
                words.append(path.name)
            elif path.is_absolute():
                words.append("/".join(("CELL", *path.relative_to(folder).parts)))
            else:
                words.append(shlex.quote(str(word)))
        lines.append(" ".join(words))
    return " && ".join(lines)
