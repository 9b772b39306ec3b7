"""Joins results of `pellucid bench` that were computed in parts, by seeds or methods, into one record and its tables.

    python scripts/results.py benches/records/synmol.jsonl --add PART/results.json ...  # of any tables
    python scripts/results.py benches/records/synmol.jsonl [--out FOLDER]               # Markdown, published beside

A line of the record is one run in one table: dataset, backbone, method and seed, with its metrics, the day, the machine
and the code (what `pellucid bench` calls so). A run that is there already is left as it is. With --out each table also
gets the folder that `pellucid bench` writes: FOLDER/TABLE-PRESET/results.html and the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pellucid.benchmarks.experiments import experiment
from pellucid.benchmarks.results import Cell, ResultTable
from pellucid.files import write_text
from pellucid.report.benchmark import markdown, write

RUN = ("table", "preset", "dataset", "backbone", "method", "seed")


def runs(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of a results.json."""
    made = results["provenance"]
    about = {"date": made["date"], "machine": made["machine"], "code": made["code"]}
    found: dict[tuple[Any, ...], dict[str, float]] = {}
    for cell in results["cells"]:
        for seed, value in zip(cell["seeds"], cell["values"], strict=True):
            place = (results["name"], results["preset"], cell["dataset"], cell["backbone"], cell["method"], seed)
            found.setdefault(place, {})[cell["metric"]] = round(value, 6)
    return [{**dict(zip(RUN, place, strict=True)), "metrics": metrics, **about} for place, metrics in found.items()]


def joined(records: Iterable[dict[str, Any]], added: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Both, each run once, in the order of their tables."""
    known = {tuple(one[key] for key in RUN): one for one in added} | {
        tuple(one[key] for key in RUN): one for one in records}
    return [known[place] for place in sorted(known)]


def table(records: list[dict[str, Any]]) -> ResultTable:
    """The runs of one table, with the published numbers."""
    first = records[0]
    known = experiment(first["table"])
    values: dict[tuple[str, str, str, str], dict[int, float]] = {}
    for one in records:
        for metric, value in one["metrics"].items():
            values.setdefault((one["dataset"], one["backbone"], one["method"], metric), {})[one["seed"]] = value
    cells = tuple(Cell(*place, tuple(own.values()), tuple(own), len(own), known.published(*place))
                  for place, own in values.items())
    metrics = tuple(dict.fromkeys(metric for column in known.datasets.values() for metric in column.all_metrics))
    made = {key: ", ".join(sorted({one[key] for one in records})) for key in ("date", "machine", "code")}
    return ResultTable(known.name, known.title, known.source, first["preset"], cells, known.all_methods,
                       tuple(known.backbones), metrics, provenance=made, labels=known.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path)
    parser.add_argument("--add", nargs="+", type=Path, default=[], help="results.json of parts")
    parser.add_argument("--out", type=Path, help="folder for a page of each table")
    given = parser.parse_args()
    text = given.record.read_text(encoding="utf-8") if given.record.is_file() else ""
    records = joined((json.loads(line) for line in text.splitlines()),
                     (run for part in given.add for run in runs(json.loads(part.read_text(encoding="utf-8")))))
    if given.add:
        write_text(given.record, "".join(json.dumps(one) + "\n" for one in records))
    for name in dict.fromkeys((one["table"], one["preset"]) for one in records):
        made = table([one for one in records if (one["table"], one["preset"]) == name])
        print(markdown(made))
        if given.out is not None:
            write(made, given.out / "-".join(name))


if __name__ == "__main__":
    main()
