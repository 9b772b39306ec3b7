"""How much of a binding site the middle of a protein gives away, by how wide the site is drawn. No model is asked.

    python scripts/complexes_truths.py --source-dir FOLDER [--split all] [--out FILE.json]

For the positive complexes of plbind: the site's share of the residues, and what ranking the residues at random, by
nearness to the centroid and by density finds of it. Means over complexes that have both kinds of residues.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pellucid.datasets.base import datasets
from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.metrics.interpretation import per_cloud_roc_auc, precision_at
from pellucid.randomness import CloudRandom

WIDTHS = (8, 6, 4)
RANKINGS = ("random", "centroid", "density")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source-dir", required=True)
    parser.add_argument("--split", default="test", choices=["train", "val", "test", "all"])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    try:
        prepared = datasets["plbind"]().prepare(source_dir=args.source_dir, progress=True)
    except PellucidError as error:
        parser.exit(1, f"{error}\n")
    clouds = (prepared.clouds if args.split == "all" else prepared.clouds.split(args.split)).without_text()
    clouds = clouds.select(clouds["y"][:, 0] == 1)
    random = CloudRandom(clouds)
    importance = {name: explainers[name]().attribute(None, clouds, None, None, random).importance
                  for name in RANKINGS}
    truths = {"C-alpha within 15 angstrom, or contact": clouds["important"],
              **{f"an atom within {width} angstrom": clouds["distance"] <= width for width in WIDTHS},
              "contact": clouds["contact"]}
    rows = []
    for title, truth in truths.items():
        row = {"site": title, "share": round(float(truth.double().mean()), 3)}
        for name, values in importance.items():
            row[f"{name} AUC"] = round(per_cloud_roc_auc(values, truth, clouds.ptr), 3)
            row[f"{name} precision@20"] = round(precision_at(values, truth, clouds.ptr, 20), 3)
        rows.append(row)
        print(" | ".join(str(value) for value in row.values()) if rows[1:] else
              " | ".join(row) + "\n" + " | ".join(str(value) for value in row.values()))
    print(f"{len(clouds)} complexes")
    if args.out is not None:
        args.out.write_text(json.dumps({"split": args.split, "complexes": len(clouds), "rows": rows}, indent=2))


if __name__ == "__main__":
    sys.exit(main())
