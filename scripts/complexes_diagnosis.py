"""Does a model of complexes look at the protein, at the ligand, or at both? Predictions for exchanged ones.

    python scripts/complexes_diagnosis.py RUN [RUN ...] [--draws 20] [--out FILE.json]

For each run on plbind (plbind-affinity) and a split of it: ROC AUC (Spearman) as it is, with every protein
exchanged for one of another cluster, and with every ligand exchanged so, each a mean over draws with seeds 0, 1, ...
Where an exchange changes nothing, the model does not look at what was exchanged, and no explanation of it can find the
binding site. With --out also written as JSON. The interval is Student's t over the runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import torch

from pellucid.benchmarks.margin.curves import point
from pellucid.clouds import PointClouds
from pellucid.commands.data import data_of
from pellucid.metrics.classification import roc_auc
from pellucid.metrics.regression import spearman
from pellucid.training.model import load_model
from pellucid.training.predict import prediction_of


def others(cluster: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(clouds,) for each cloud one of another cluster, at random."""
    return torch.stack([(where := (cluster != c).nonzero().squeeze(1))[
        torch.randint(len(where), (1,), generator=generator)[0]] for c in cluster])


def with_ligands(clouds: PointClouds, places: torch.Tensor) -> PointClouds:
    return clouds.replace(partner=clouds.partner.select(places))


def measure(run: Path, draws: int, split: str) -> dict[str, float]:
    model, _, _ = load_model(run)
    clouds = data_of(run).split(split).without_text()
    predict, y = prediction_of(model), clouds["y"][:, 0]

    def score(asked: PointClouds) -> float:  # against what was measured, whatever was exchanged
        predicted = predict(asked)
        return spearman(y, predicted) if model.targets[0].kind == "regression" else float(roc_auc(y, predicted))

    proteins, ligands = [], []
    for seed in range(draws):
        places = others(clouds["cluster"], torch.Generator().manual_seed(seed))
        ligands.append(score(with_ligands(clouds, places)))
        foreign = clouds.select(places).replace(partner=clouds.partner)  # the protein of another, the ligand its own
        proteins.append(score(foreign))
    return {"as it is": score(clouds), "proteins exchanged": statistics.mean(proteins),
            "ligands exchanged": statistics.mean(ligands)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--split", default="test", help="train, val or test")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = {str(run): measure(run, args.draws, args.split) for run in args.runs}
    for run, row in rows.items():
        print(Path(run).name, {name: round(value, 3) for name, value in row.items()})
    summary = {}
    for name in next(iter(rows.values())):
        found = point([row[name] for row in rows.values()])
        summary[name] = {"mean": found.mean, "half_width_95": found.half}
        print(f"{name}: {found.mean:.3f} ± {found.half:.3f}")
    if args.out is not None:
        json.dump({"runs": rows, "summary": summary}, args.out.open("w"), indent=2)


if __name__ == "__main__":
    sys.exit(main())
