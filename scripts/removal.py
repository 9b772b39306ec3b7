"""Does a run's check against removal tell importance that is upside down? Of finished runs whose truth is known.

    python scripts/removal.py RUN ... --record benches/records/synmol_removal.jsonl   # adds what is not there
    python scripts/removal.py --record benches/records/synmol_removal.jsonl           # the table

Of each run that learned importance: the interpretation ROC AUC in its metrics.json, which needs the truth, and the
agreement with removal on validation samples, which does not; whether it is told not to read the importance.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pellucid.commands.data import data_of
from pellucid.errors import PellucidError
from pellucid.files import read_json, write_text
from pellucid.metrics.trust import AGAINST
from pellucid.training.evaluation import counted
from pellucid.training.explaining import explain_clouds
from pellucid.training.model import load_model
from pellucid.training.removal_check import removal_check

POOR, GOOD = 0.7, 0.9
RUN = ("dataset", "method", "options", "backbone", "seed")


def measured(run: Path, known: set[tuple[str, ...]]) -> dict[str, Any] | None:
    """A line of the record; None for a run that is known, has no truth or learned no importance."""
    model, config, spec = load_model(run)
    truth = read_json(run / "metrics.json").get("interpretation")
    own = config.method
    row = {"dataset": config.dataset, "method": own.name, "options": json.dumps(own.options, sort_keys=True),
           "backbone": config.backbone.name, "seed": str(config.seed)}
    if not model.explains or truth is None or tuple(row.values()) in known:
        return None
    target, there = spec.targets[0], data_of(run).split("val")
    found = removal_check(model, explain_clouds(model, there, target=target.name).of(), seed=config.seed,
                          chosen=counted(target, there, 0))
    return {**row, "interpretation": round(truth["roc_auc"], 4), "agreement": round(found["agreement"]["value"], 4),
            "share": round(found["share"], 4), "told": found["agreement"]["value"] < AGAINST or found["share"] < 0}


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown, the worst first, and how often it is told."""
    lines = ["| method | backbone | seed | interpretation ROC AUC | agreement with removal | told |", "|---" * 6 + "|"]
    for row in sorted(rows, key=lambda row: row["interpretation"]):
        masks = json.loads(row["options"]).get("masks")
        lines.append(f"| {row['method']}{f', masks {masks}' if masks else ''} | {row['backbone']} | {row['seed']} | "
                     f"{row['interpretation']:.3f} | {row['agreement']:.3f} | {'yes' if row['told'] else ''} |")
    for name, some in ((f"below {POOR}", [r for r in rows if r["interpretation"] < POOR]),
                       (f"above {GOOD}", [r for r in rows if r["interpretation"] > GOOD])):
        lines.append(f"\n{sum(r['told'] for r in some)} of {len(some)} runs {name} are told.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--record", required=True, type=Path)
    given = parser.parse_args()
    lines = given.record.read_text(encoding="utf-8").splitlines() if given.record.is_file() else []
    rows = [json.loads(line) for line in lines]
    for run in given.runs:
        try:
            row = measured(run, {tuple(r[key] for key in RUN) for r in rows})
        except PellucidError as error:
            print(f"left out: {error}")
            continue
        if row is not None:
            rows.append(row)
            write_text(given.record, "".join(json.dumps(r) + "\n" for r in rows))
    print(table(rows))


if __name__ == "__main__":
    main()
