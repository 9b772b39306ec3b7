"""pellucid beside its peers on molecules: prediction on measured sets, explanation where the truth is known.

    python benches/molecule_peers.py --data FOLDER --chemprop ENVIRONMENT/bin/python --out results.jsonl
    python benches/molecule_peers.py --out results.jsonl --table

``FOLDER`` holds ``moleculenet/`` and ``adme_fang2023/`` as their projects publish them; nothing of them is shipped.
A cell (task, seed, peer) is one line of ``--out``; one that is there is skipped, so that the same command goes on where
it was stopped. ``--table`` prints the tables of ``docs/results_molecules.md``. All peers get the same rows, the SMILES
as they stand in the files (salts included), the same scaffold split for each seed, and one thread.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers_molecules import records, tables
from peers_molecules.cells import record_of
from peers_molecules.jobs import PeerError
from peers_molecules.peers import peers_of
from peers_molecules.sets import SOURCES, read_set
from peers_molecules.truths import TASKS, read_task

GROUPS = {"sets": list(SOURCES), "dev": [name for name in TASKS if name.startswith("dev-")],
          "truth": [name for name in TASKS if name.startswith("truth-")]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data")
    parser.add_argument("--out", type=Path, required=True, help="the records, a JSON line each")
    parser.add_argument("--tasks", nargs="+", default=["sets"], help=f"sets, dev, truth, or names: "
                        f"{', '.join((*SOURCES, *TASKS))}")
    parser.add_argument("--peers", nargs="+", default=["chemprop", "forest", "gin", "pellucid"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--chemprop", type=Path, help="Python of Chemprop's own environment")
    parser.add_argument("--chemprop-seconds", type=float, default=900,
                        help="processor time of its explanations of a task, at most")
    parser.add_argument("--explained", type=int, default=200, help="test molecules explained at most, of a task")
    parser.add_argument("--train-words", default="", help="further words of pellucid train, for development tasks")
    parser.add_argument("--explain-words", default="", help="instead of --explain own, likewise")
    parser.add_argument("--label", default="pellucid", help="pellucid's name in the records, with other words")
    parser.add_argument("--work", type=Path, help="folder of cells in work; what failed stays there")
    parser.add_argument("--table", action="store_true", help="print the tables of what is recorded and stop")
    given = parser.parse_args()
    if given.table:
        print(tables.tables(records.read(given.out)))
        return
    if given.data is None:
        parser.error("--data is needed: the folder that holds moleculenet/ and adme_fang2023/")
    if (given.train_words or given.explain_words) and given.label == "pellucid":
        parser.error("--label is needed with other words: records named pellucid are of its defaults")
    known = peers_of(given.chemprop, tuple(shlex.split(given.train_words)), tuple(shlex.split(given.explain_words)),
                     given.chemprop_seconds)
    tasks = [name for word in given.tasks for name in GROUPS.get(word, [word])]
    unknown = [*(name for name in tasks if name not in SOURCES and name not in TASKS),
               *(name for name in given.peers if name not in known)]
    if unknown:
        parser.error(f"not known (or --chemprop is missing): {', '.join(unknown)}")
    work = given.work or Path(tempfile.mkdtemp(prefix="molecule-peers-"))
    failed = 0
    for seed in given.seeds:  # all sets once, then again: a table grows evenly
        for name in tasks:
            for peer in given.peers:
                label = given.label if peer == "pellucid" else peer
                if records.has(records.read(given.out), name, seed, label):
                    continue
                task, truth = read_task(given.data, name) if name in TASKS else (read_set(given.data, name), None)
                print(f"{name}, seed {seed}, {label} ...", flush=True)
                try:
                    record = record_of(task, truth, label, known[peer], seed, work.resolve() / f"{name}-{seed}-{label}",
                                       given.explained)
                except PeerError as error:
                    failed += 1
                    print(f"failed: {error}", file=sys.stderr, flush=True)
                    continue
                records.append(given.out, record)
                print(f"  {record['metrics']['score']:.4f}, {sum(record['processor_seconds'].values()):.0f} s of "
                      "processor time", flush=True)
    if failed:
        sys.exit(f"{failed} cells failed and are not recorded; the same command tries them again")


if __name__ == "__main__":
    main()
