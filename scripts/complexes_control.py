"""A control for plbind: the same proteins, models and settings, but a question whose answer lies in known residues.

    python scripts/complexes_control.py --source-dir FOLDER --out RUN [--method lri-bernoulli] [--seed 0] \
        [--device cpu] [--set method.options.hops=0 ...]

Is there a disulfide bridge? Positive are proteins with two cysteines whose C-alphas are within 6.8 angstrom (bridges
have 4.4 to 6.8; Richardson, Adv. Protein Chem. 34, 167 (1981)); the truth is those cysteines. The split is plbind's, by
protein cluster; no ligand is swapped, since a ligand says nothing here. If importance finds the bridges but not the
binding sites, it is the question that differs, not the machinery.

Prints, for the test split: ROC AUC of the prediction, the same with every cysteine made a serine, and ROC AUC protein
by protein of the importance, and of GradGAM on the same model; precision@20 of the importance, and what random numbers
have.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

import pellucid
from pellucid.chemistry.proteins import RESIDUE_TYPES
from pellucid.clouds import PointClouds
from pellucid.commands.settings_text import parse_settings
from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.metrics.classification import roc_auc
from pellucid.metrics.interpretation import per_cloud_roc_auc
from pellucid.neighbors import radius
from pellucid.training.config import merge
from pellucid.training.predict import prediction_of

BRIDGE = 6.8  # angstrom
CYSTEINE, SERINE = (RESIDUE_TYPES.index(name) for name in ("CYS", "SER"))


def asked_for_bridges(clouds: PointClouds) -> PointClouds:
    """The clouds with ``y`` and ``important`` of this question."""
    near = radius(clouds.pos, clouds.ptr, BRIDGE)
    cysteine = clouds["categories"][:, 0] == CYSTEINE
    pairs = cysteine[near.sources] & cysteine[near.targets]
    bridge = torch.zeros_like(cysteine)
    bridge[near.targets[pairs]] = True
    y = torch.zeros(len(clouds)).index_add(0, clouds.batch, bridge.float()) > 0
    return clouds.replace(important=bridge, y=y.float()[:, None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source-dir", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", default="lri-bernoulli")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="to train on: auto, cpu or cuda")
    parser.add_argument("--set", action="append", default=[], help="any setting, as of pellucid train")
    args = parser.parse_args()
    try:
        over = merge({"training": {"swap_partner": 0}}, parse_settings(args.set))
        prepared = pellucid.load_dataset("plbind", source_dir=args.source_dir, interactions=False, progress=True)
        clouds = asked_for_bridges(prepared.clouds)
        args.out.mkdir(parents=True, exist_ok=True)
        path = args.out / "clouds.safetensors"
        clouds.save(path)
        run = pellucid.fit(replace(prepared, clouds=clouds, path=path), out=args.out / "run", method=args.method,
                           seed=args.seed, progress=True, report=False, device=args.device, over=over)
    except PellucidError as error:
        parser.exit(1, f"{error}\n")
    test = clouds.split("test").without_text()
    residues = test["categories"]
    mutant = test.replace(categories=torch.where(residues == CYSTEINE, SERINE, residues))
    predict, y = prediction_of(run.model), test["y"][:, 0]
    gradient = explainers["gradgam"]().explain(run.model, test, batch_size=32).importance
    found = {"prediction": float(roc_auc(y, predict(test))), "without cysteines": float(roc_auc(y, predict(mutant))),
             "gradgam": per_cloud_roc_auc(gradient, test["important"], test.ptr, clouds=y == 1)}
    if "interpretation" in run.metrics:
        found |= {"importance": run.metrics["interpretation"]["roc_auc_per_cloud"],
                  **{name: run.metrics["interpretation"][name] for name in ("precision@20", "random")}}
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
