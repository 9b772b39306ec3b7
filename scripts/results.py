"""Prints run folders as the Markdown rows of docs/results.md, the published numbers beside them.

    python scripts/results.py runs/fast-*
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pellucid.training.presets import published

METRICS = ("classification.roc_auc", "interpretation.roc_auc", "interpretation.precision@5",
           "interpretation.precision@8", "interpretation.roc_auc_per_cloud")


def value(metrics: dict, place: str) -> float | None:
    for key in place.split("."):
        metrics = metrics.get(key, {}) if isinstance(metrics, dict) else {}
    return metrics if isinstance(metrics, float) else None


def row(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text())
    metrics = json.loads((folder / "metrics.json").read_text())
    history = json.loads((folder / "history.json").read_text())
    method, backbone = config["method"]["name"], config["backbone"]["name"]
    cells = {c.metric: c for c in published(config["dataset"], method, backbone)}
    best = history[metrics["selected_epoch"]]
    parts = [method, backbone, f"{best['val_roc_auc']:.4f}"]
    for name in METRICS:
        ours = value(metrics, name)
        text = "" if ours is None else f"{ours:.4f}"
        if name in cells and ours is not None:
            text = f"**{text}**" if ours >= cells[name].mean else text
            text += f" ({cells[name].mean:.4f} ± {cells[name].std:.4f})"
        parts.append(text)
    return f"| {' | '.join(parts)} | {metrics['seconds']['training']:.0f} s |"


def main() -> None:
    print("| method | backbone | val. class. AUC | class. AUC (published) | interp. AUC (published) "
          "| precision@5 (published) | precision@8 (published) | interp. AUC per molecule | training |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in sys.argv[1:]:
        print(row(Path(name)))


if __name__ == "__main__":
    main()
