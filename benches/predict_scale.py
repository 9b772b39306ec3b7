"""Predicting and explaining many molecules with one command: seconds, molecules a second, peak memory.

    python benches/predict_scale.py --sizes 10000 100000 --explain saliency input-x-gradient

Molecules are real ones of the ZINC list (``pellucid.datasets.zinc``); the model is a graph network on features of atoms
and bonds that learned their logP (Crippen, by RDKit) from 2,000 others. For each explainer and size the command
``pellucid predict RUN FILE --explain METHOD --out FILE`` runs in a process of its own. Memory is the largest resident
set of that process (from /proc, on Linux); where it is flat, its ratio between the sizes is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rdkit import Chem
from rdkit.Chem import Crippen

from pellucid.chemistry.encoding import MoleculeRecipe, encode_molecules
from pellucid.chemistry.molecules import read_molecules
from pellucid.datasets.zinc import zinc_smiles
from pellucid.spec import DataSpec
from pellucid.targets import Target, Targets
from pellucid.training import RunConfig, train

CLI = """
import atexit, os
from pathlib import Path
from pellucid.cli import main

# not ru_maxrss, which begins with that of the process that started this one
peak = lambda: next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
atexit.register(lambda: Path(os.environ["PEAK"]).write_text(peak()))
main()
"""
TRAINING = 2000


def trained(smiles: list[str], folder: Path, backbone: str) -> Path:
    """A run that learned logP."""
    recipe = MoleculeRecipe("full", "graph")
    listed = folder / "training.smi"
    listed.write_text("".join(f"{s} t{i}\n" for i, s in enumerate(smiles)), encoding="utf-8")
    made = encode_molecules(read_molecules(listed), recipe)
    y = [Crippen.MolLogP(Chem.MolFromSmiles(record.smiles)) for record in made.records]
    clouds = made.clouds.replace(y=torch.tensor(y)[:, None].float(),
                                 split=torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 1, 2]).repeat(len(y))[:len(y)])
    from pellucid.chemistry.features import ATOM_CATEGORY_SIZES, BOND_CATEGORY_SIZES

    spec = DataSpec.of(clouds, Targets((Target("logP", "regression"),)), category_sizes=ATOM_CATEGORY_SIZES,
                       domain="molecules")
    spec = DataSpec.parse({**spec.document(), "inputs": {**spec.document()["inputs"],
                                                         "edge_category_sizes": list(BOND_CATEGORY_SIZES)}})
    config = RunConfig.parse({
        "dataset": "molecules", "dataset_options": recipe.document(),
        "backbone": {"name": backbone, "hidden": 64, "layers": 4, "dropout": 0.0},
        "method": {"name": "erm", "rule": {"kind": "edges"}, "dropout": 0.0},
        "training": {"warmup": 0, "epochs": 10, "batch_size": 64, "learning_rate": 1e-3}})
    run = train(config, clouds, folder / "run", spec, progress=False)
    print(f"model: {backbone}, 64 x 4; test {json.dumps(run.metrics['prediction'], default=str)[:160]}")
    return run.folder


def measured(run: Path, file: Path, out: Path, words: list[str]) -> tuple[float, float, float, dict[str, object]]:
    """Wall seconds, processor seconds, peak MB, and the summary of one command."""
    for path in out.parent.glob(f"{out.stem}*.parquet"):
        path.unlink()
    told = out.with_name("peak")
    source = Path(__file__).resolve().parents[1] / "src"
    env = {**os.environ, "PEAK": str(told), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(source)}
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", CLI, "predict", str(run), str(file), "--out", str(out), "--json",
                                *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    summary = json.loads(process.stdout.read())
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"predict ended with {process.returncode}")
    return time.perf_counter() - started, used.ru_utime + used.ru_stime, int(told.read_text()) / 1024, summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--explain", nargs="*", default=["none", "saliency", "input-x-gradient",
                                                         "integrated-gradients", "smoothgrad"],
                        help="each in a command of its own; none predicts alone")
    parser.add_argument("--steps", type=int, default=20, help="of integrated gradients")
    parser.add_argument("--draws", type=int, default=10, help="of smoothgrad")
    parser.add_argument("--backbone", default="gin")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--run", type=Path, help="a finished run instead of training one")
    given = parser.parse_args()
    smiles = zinc_smiles()
    rows = np.random.default_rng(0).permutation(len(smiles))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = given.run or trained([smiles[i] for i in rows[-TRAINING:]], folder, given.backbone)
        print(f"{'explainer':22}{'molecules':>10}{'seconds':>9}{'CPU s':>8}{'a second':>9}{'peak MB':>9}{'outside':>9}")
        for method in given.explain:
            peaks = []
            for size in given.sizes:
                file = folder / f"{size}.smi"
                file.write_text("".join(f"{smiles[i]} z{i}\n" for i in rows[:size]), encoding="utf-8")
                words = [] if method == "none" else ["--explain", method]
                words += {"integrated-gradients": ["--set", f"options.steps={given.steps}"],
                          "smoothgrad": ["--set", f"options.draws={given.draws}"]}.get(method, [])
                wall, cpu, peak, summary = measured(run, file, folder / "out.parquet",
                                                    [*words, "--workers", str(given.workers)])
                peaks.append(peak)
                print(f"{method:22}{size:>10,}{wall:>9.1f}{cpu:>8.1f}{size / wall:>9.0f}{peak:>9.0f}"
                      f"{summary['outside']:>9,}", flush=True)
            print(f"{'':22}memory {peaks[-1] / peaks[0]:.2f} times as much")


if __name__ == "__main__":
    main()
