"""Does an importance of residues find the binding site, or only the middle of the protein? For runs on plbind.

    python scripts/complexes_burial.py RUN [RUN ...] [--m 20] [--out FILE.json]

Reads RUN/explanations.parquet (test split; positive complexes count). Each column is a mean over complexes:

precision@m
    of the importance.
towards centroid
    Spearman's correlation of the importance with the nearness to the centroid of the protein's C-alphas.
towards density
    the same with minus the distance to the 20th nearest C-alpha.
AUC in shells
    ROC AUC of pairs of residues that are about as far from the centroid (interpretation.roc_auc_adjusted, five shells
    with equally many residues). 0.5: the importance knows nothing of the site beyond how far out it lies.

With several runs also Pearson's correlation, over runs, of precision@m with the preference for the centroid.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from pellucid.benchmarks.margin.curves import point
from pellucid.commands.data import data_of
from pellucid.explainers import explainers
from pellucid.files import read_json
from pellucid.metrics.interpretation import adjusted_roc_auc, precision_at
from pellucid.randomness import CloudRandom

SHELLS = 5


def measure(run: Path, m: int) -> dict[str, float]:
    clouds = data_of(run).split("test").without_text()
    importance = torch.tensor(pq.read_table(run / "explanations.parquet")["importance"].to_numpy().copy())
    truth, ptr, positive = clouds["important"], clouds.ptr, clouds["y"][:, 0] == 1
    random = CloudRandom(clouds)  # these two draw nothing
    centroid, density = (explainers[name]().attribute(None, clouds, None, None, random).importance
                         for name in ("centroid", "density"))

    def towards(other: Tensor) -> float:
        return float(np.mean([spearmanr(importance[a:b], other[a:b]).statistic for a, b, counts
                              in zip(ptr[:-1].tolist(), ptr[1:].tolist(), positive.tolist(), strict=True) if counts]))

    return {f"precision@{m}": precision_at(importance, truth, ptr, m, clouds=positive),
            "towards centroid": towards(centroid), "towards density": towards(density),
            "AUC in shells": adjusted_roc_auc(importance, truth, ptr, centroid, strata=SHELLS, clouds=positive)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--m", type=int, default=20)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    for run in args.runs:
        if not (run / "explanations.parquet").is_file():
            parser.error(f"expected the folder of a finished run that explains, got no explanations.parquet in {run}")
        if read_json(run / "config.json")["dataset"] != "plbind":
            parser.error(f"expected a run on plbind, got another dataset in {run}; only positive complexes count")
    rows = {str(run): measure(run, args.m) for run in args.runs}
    names = list(next(iter(rows.values())))
    for run, row in rows.items():
        print(Path(run).name, {name: round(value, 3) for name, value in row.items()})
    summary = {}
    for name in names:
        found = point([row[name] for row in rows.values()])
        summary[name] = {"mean": found.mean, "half_width_95": found.half}
        print(f"{name}: {found.mean:.3f} ± {found.half:.3f}")
    if len(rows) > 2:
        across = float(pearsonr([row[names[0]] for row in rows.values()], [row[names[1]] for row in rows.values()])[0])
        summary["correlation over runs"] = across
        print(f"Pearson's correlation over runs of {names[0]} and {names[1]}: {across:.3f}")
    if args.out is not None:
        args.out.write_text(json.dumps({"runs": rows, "summary": summary}, indent=2))


if __name__ == "__main__":
    sys.exit(main())
