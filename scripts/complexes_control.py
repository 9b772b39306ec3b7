"""A control for plbind: the same proteins, models and settings, but a question whose answer lies in known residues.

    python scripts/complexes_control.py --source-dir FOLDER --out RUN [--method lri-bernoulli] [--seed 0] [--hops 2]

Is there a disulfide bridge? Positive are proteins with two cysteines whose C-alphas are within 6.8 angstrom (bridges
have 4.4 to 6.8; Richardson, Adv. Protein Chem. 34, 167 (1981)); the truth is those cysteines. The split is plbind's, by
protein cluster; no ligand is swapped, since a ligand says nothing here. If importance finds the bridges but not the
binding sites, it is the question that differs, not the machinery.
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
from pellucid.errors import PellucidError
from pellucid.neighbors import radius

BRIDGE = 6.8  # angstrom


def asked_for_bridges(clouds: PointClouds) -> PointClouds:
    """The clouds with ``y`` and ``important`` of this question."""
    near = radius(clouds.pos, clouds.ptr, BRIDGE)
    cysteine = clouds["categories"][:, 0] == RESIDUE_TYPES.index("CYS")
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
    parser.add_argument("--hops", type=int, default=2)
    args = parser.parse_args()
    try:
        prepared = pellucid.load_dataset("plbind", source_dir=args.source_dir, interactions=False, progress=True)
        clouds = asked_for_bridges(prepared.clouds)
        args.out.mkdir(parents=True, exist_ok=True)
        path = args.out / "clouds.safetensors"
        clouds.save(path)
        options = {} if args.method == "erm" else {"options": {"hops": args.hops}}
        run = pellucid.fit(replace(prepared, clouds=clouds, path=path), out=args.out / "run", method=args.method,
                           seed=args.seed, progress=True, report=False,
                           over={"training": {"swap_partner": 0}, "method": options})
    except PellucidError as error:
        parser.exit(1, f"{error}\n")
    print(json.dumps({name: run.metrics[name] for name in ("classification", "interpretation")}, indent=2))


if __name__ == "__main__":
    sys.exit(main())
