"""What settings of own molecules are worth on validation parts, which is what their defaults are chosen by.

    python benches/molecule_settings.py --data FOLDER                                   # the defaults
    python benches/molecule_settings.py --data FOLDER --set method.readout=additive     # another setting
    python benches/molecule_settings.py --data FOLDER --set backbone.hidden=128 --tasks esol --seeds 0 1 2

``FOLDER`` is that of ``molecule_peers.py``, and the splits are the same. Rows of the test part are thrown away before
anything is encoded, so that nothing can be chosen on them; four alcohols and their like stand in for it. Told are the
best validation score of a run (what an epoch is chosen by: ROC AUC, or minus RMSE over the spread of training), the
mean over its last five epochs, and processor time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers_molecules.sets import MoleculeSet, read_set, scaffold_parts
from pellucid.commands.settings_text import parse_settings
from pellucid.datasets.base import PreparedDataset
from pellucid.datasets.molecules import load_molecules
from pellucid.training.config import merge
from pellucid.training.fit import train
from pellucid.training.presets import defaults, settings

STAND_INS = ("C" * 20 + "O", "C" * 20 + "N", "C" * 20 + "S", "C" * 20 + "F")


def without_test(task: MoleculeSet, seed: int) -> PreparedDataset:
    """A set's training and validation parts as a dataset."""
    parts = np.array(scaffold_parts(task.smiles, seed))
    stay = np.flatnonzero(parts != "test")
    names = [f"t{j}" for j in range(len(task.targets))]
    frame: dict[str, list[Any]] = {
        "smiles": [*(task.smiles[i] for i in stay), *STAND_INS],
        "id": [str(i) for i in range(len(stay) + len(STAND_INS))],
        "split": [*parts[stay].tolist(), *["test"] * len(STAND_INS)]}
    for name, column in zip(names, task.values[stay].T, strict=True):
        frame[name] = [*(None if np.isnan(v) else float(v) for v in column), *(float(i % 2) for i in range(4))]
    kinds = dict.fromkeys(names, "binary") if task.kind == "classification" else None
    return load_molecules(frame, names, smiles="smiles", id="id", geometry="graph", split="column:split", kinds=kinds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=["esol", "freesolv", "bace", "bbbp"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--set", action="append", default=[], help="as of pellucid train")
    given = parser.parse_args()
    torch.set_num_threads(1)
    backbone, method = defaults("molecules", coordinates=False)
    for seed in given.seeds:
        for name in given.tasks:
            data = without_test(read_set(given.data, name), seed)
            config = settings("molecules", method, backbone, "fast", merge(parse_settings(given.set), {"seed": seed}),
                              coordinates=False)
            before = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                run = train(config, data.clouds, Path(folder) / "run", data.recipe.spec(data.clouds), progress=False,
                            quick=True, device="cpu")
                scores = [entry["val_score"] for entry in json.loads((run.folder / "history.json").read_text())]
            print(json.dumps({"task": name, "seed": seed, "set": given.set, "best": round(max(scores), 4),
                              "last five": round(fmean(scores[-5:]), 4), "epoch": run.metrics["selected_epoch"],
                              "seconds": round(time.process_time() - before, 1)}), flush=True)


if __name__ == "__main__":
    main()
