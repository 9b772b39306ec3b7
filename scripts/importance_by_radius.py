"""How well a run's importance finds the signal hits, by their distance from the origin.

    python scripts/importance_by_radius.py RUN [--json]

Reads RUN/explanations.parquet (test split; positive events count, as in Table 2 of the LRI paper).
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score

EDGES = (0, 100, 300, 600, 1000, 1500, 2200, 4000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    place = args.run / "explanations.parquet"
    if not place.is_file():
        parser.error(f"expected the folder of a finished run that explains, got no {place}")
    table = {name: column.to_numpy() for name, column in zip(*_columns(place), strict=True)}
    positive = np.isin(table["cloud"], np.unique(table["cloud"][table["important"]]))
    radius = np.sqrt(table["x"]**2 + table["y"]**2 + table["z"]**2)
    rows = []
    for low, high in pairwise(EDGES):
        chosen = positive & (radius > low) & (radius <= high)
        truth, score = table["important"][chosen], table["importance"][chosen]
        if 0 < truth.sum() < len(truth):
            rows.append({"distance (mm)": f"{low} to {high}", "hits": len(truth), "signal": int(truth.sum()),
                         "ROC AUC": round(float(roc_auc_score(truth, score)), 3),
                         "importance, signal": round(float(np.median(score[truth])), 2),
                         "importance, others": round(float(np.median(score[~truth])), 2)})
    if args.json:
        json.dump(rows, sys.stdout, indent=2)
        return
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")


def _columns(place: Path) -> tuple[list[str], list[np.ndarray]]:
    table = pq.read_table(place, columns=["cloud", "x", "y", "z", "importance", "important"])
    return table.column_names, table.columns


if __name__ == "__main__":
    main()
