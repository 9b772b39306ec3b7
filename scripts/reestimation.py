"""Batch-norm statistics taken again before each evaluation, on and off: does validation jump, what is learned?

    python scripts/reestimation.py actstrack [--epochs 14] [--dropout 0.2] [--seed 0] [--out FOLDER] [--json]
    python scripts/reestimation.py synmol

Trains ERM and LRI-Gaussian (DGCNN, the preset fast with dropout as in the paper) both ways. `swing` is the median
change of the validation AUC from one epoch to the next over the second half of the epochs. What is on or off is
`training.reestimate`; statistics of clean and perturbed clouds are apart in both.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from pellucid.commands.settings_text import parse_settings
from pellucid.datasets import load_dataset
from pellucid.files import read_json
from pellucid.training import train
from pellucid.training.presets import settings

COLUMNS = ("method", "re-estimated", "swing", "lowest val. AUC", "val. AUC", "test AUC", "interp. AUC", "seconds")


def measure(dataset: str, options: dict[str, Any], method: str, batches: int, args: argparse.Namespace
            ) -> dict[str, Any]:
    prepared = load_dataset(dataset, progress=True, **options)
    warmup = args.epochs // 2 if method != "erm" else 0
    config = settings(dataset, method, "dgcnn", "fast", {
        "seed": args.seed, "backbone": {"dropout": args.dropout}, "method": {"dropout": args.dropout},
        "training": {"warmup": warmup, "epochs": args.epochs - warmup, "reestimate": batches}})
    folder = args.out / f"{dataset}-{method}-{'on' if batches else 'off'}"
    run = train(config, prepared.clouds, folder, prepared.recipe.spec(prepared.clouds), device="cpu", quick=True)
    scores = [entry["val_roc_auc"] for entry in read_json(folder / "history.json")]
    late = scores[len(scores) // 2:]
    return dict(zip(COLUMNS, (
        method, "on" if batches else "off", median(abs(b - a) for a, b in pairwise(late)), min(late),
        scores[run.metrics["selected_epoch"]], next(iter(run.metrics["prediction"].values()))["roc_auc"],
        run.metrics.get("interpretation", {}).get("roc_auc"), run.metrics["seconds"]["training"]), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=("actstrack", "synmol"))
    parser.add_argument("--epochs", type=int, default=14, help="half of them warm-up for LRI-Gaussian")
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", action="append", default=[], help="an option of the dataset, e.g. source=logic8")
    parser.add_argument("--out", type=Path, default=None, help="keeps the runs there")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.epochs < 4:
        parser.error(f"expected at least 4 epochs, got {args.epochs}")
    with tempfile.TemporaryDirectory() as temporary:
        args.out = args.out or Path(temporary)
        rows = [measure(args.dataset, parse_settings(args.data), method, batches, args)
                for method in ("erm", "lri-gaussian") for batches in (0, 20)]
    if args.json:
        json.dump(rows, sys.stdout, indent=2)
        return
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for row in rows:
        print("| " + " | ".join(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()) + " |")


if __name__ == "__main__":
    main()
