"""Processor time (user + system, with child processes) of the commands that a user waits for, of two checkouts.

    git worktree add ../base 4ad9d88
    python benches/explain_speed.py --run runs/new --base ../base --base-run runs/old

Each run was trained by its own checkout's code. The two take turns, so that what else the machine does meets both.
Without ``--base`` this checkout is measured alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CLI = "from pellucid.cli import main; main()"
SMILES = "CCCCC(=O)NC1CC1"
HERE = Path(__file__).resolve().parents[1]


def commands(run: Path | None, out: str) -> dict[str, list[str]]:
    cases = {"import pellucid": ["import pellucid"], "--help": [CLI, "--help"],
             "list backbones": [CLI, "list", "backbones"], "import torch (for scale)": ["import torch"]}
    return cases | ({} if run is None else {"explain": [CLI, "explain", str(run), SMILES, "--out", out]})


def seconds(checkout: Path, words: list[str]) -> float:
    """User and system time of one process and its children."""
    env = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", *words], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{checkout}: {' '.join(words)}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="run folder of this checkout; without one nothing is explained")
    parser.add_argument("--base", type=Path, help="another checkout")
    parser.add_argument("--base-run", type=Path, help="its run folder")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    checkouts = [(HERE, given.run)] + ([(given.base.resolve(), given.base_run)] if given.base else [])
    with tempfile.TemporaryDirectory() as out:
        cases = [commands(run and run.resolve(), out) for _, run in checkouts]
        heads = ["this", "base", "ratio"] if given.base else ["this"]
        print(f"{f'median s of {given.repeats}':26}" + "".join(f"{head:>8}" for head in heads))
        for name in (name for name in cases[0] if all(name in case for case in cases)):
            taken: list[list[float]] = [[] for _ in checkouts]
            for repeat in range(given.repeats + 1):  # the first one fills the caches of files
                for place, (checkout, _) in enumerate(checkouts):
                    spent = seconds(checkout, cases[place][name])
                    if repeat:
                        taken[place].append(spent)
            medians = [statistics.median(values) for values in taken]
            ratio = f"{medians[0] / medians[1]:8.2f}" if given.base else ""
            print(f"{name:26}" + "".join(f"{value:8.2f}" for value in medians) + ratio, flush=True)


if __name__ == "__main__":
    main()
