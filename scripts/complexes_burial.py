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
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import pearsonr, spearmanr, t

from pellucid.metrics.interpretation import adjusted_roc_auc
from pellucid.training.data import data_of

SHELLS, NEIGHBOR = 5, 20
Array = NDArray[np.float64]


def complexes(run: Path) -> Iterator[tuple[Array, Array, NDArray[np.bool_]]]:
    """Importance, coordinates and truth of each positive complex that has both kinds of residues."""
    clouds = data_of(run).split("test")
    importance = pq.read_table(run / "explanations.parquet")["importance"].to_numpy()
    pos, truth, ptr = clouds.pos.double().numpy(), clouds["important"].numpy(), clouds.ptr.tolist()
    for i in (clouds["y"][:, 0] == 1).nonzero().flatten().tolist():
        mine = slice(ptr[i], ptr[i + 1])
        if 0 < truth[mine].sum() < len(truth[mine]):
            yield importance[mine], pos[mine], truth[mine]


def measure(run: Path, m: int) -> dict[str, float]:
    rows = []
    for importance, pos, truth in complexes(run):
        nearness = -np.linalg.norm(pos - pos.mean(0), axis=1)
        density = -cKDTree(pos).query(pos, [min(NEIGHBOR + 1, len(pos))])[0][:, 0]
        best = np.argsort(-importance, kind="stable")[:m]
        rows.append([truth[best].mean(), spearmanr(importance, nearness).statistic,
                     spearmanr(importance, density).statistic,
                     adjusted_roc_auc(*(torch.tensor(a) for a in (importance, truth, [0, len(truth)], nearness)),
                                      strata=SHELLS)])
    names = (f"precision@{m}", "towards centroid", "towards density", "AUC in shells")
    return dict(zip(names, np.nanmean(rows, 0).tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--m", type=int, default=20)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    for run in args.runs:
        if not (run / "explanations.parquet").is_file():
            parser.error(f"expected the folder of a finished run that explains, got no explanations.parquet in {run}")
    rows = {str(run): measure(run, args.m) for run in args.runs}
    names = list(next(iter(rows.values())))
    for run, row in rows.items():
        print(Path(run).name, {name: round(value, 3) for name, value in row.items()})
    summary = {}
    for name in names:
        values = np.array([row[name] for row in rows.values()])
        half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
        summary[name] = {"mean": float(values.mean()), "half_width_95": float(half)}
        print(f"{name}: {values.mean():.3f} ± {half:.3f}")
    if len(rows) > 2:
        across = float(pearsonr([row[names[0]] for row in rows.values()], [row[names[1]] for row in rows.values()])[0])
        summary["correlation over runs"] = across
        print(f"Pearson's correlation over runs of {names[0]} and {names[1]}: {across:.3f}")
    if args.out is not None:
        args.out.write_text(json.dumps({"runs": rows, "summary": summary}, indent=2))


if __name__ == "__main__":
    sys.exit(main())
