"""Processor time of ``pellucid compare`` against each explainer called by itself, as another checkout does it.

    git worktree add ../base 2447254
    python benches/compare_speed.py --run runs/mine --base ../base

Each side is one process with one thread, on the same validation samples of the same run. The base explains by every
explainer that applies, with its default options, and measures nothing; this checkout explains *and* measures effects,
shuffled weights, steadiness and agreement, with the options that the run's preset has for an explainer (``--presets``
gives them to the base as well). Without ``--base`` explainers are called by themselves in this checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]

ALONE = """
import json, sys, time, torch
from pathlib import Path
from pellucid.commands.data import data_of
from pellucid.commands.explaining import ExplainedRun, explain_with, prepare
from pellucid.errors import PellucidError
from pellucid.explainers.making import make_explainer
from pellucid.training.presets import explainer_options
from pellucid.families import explainers
run, samples, few, presets = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "presets"
config = json.loads((run / "config.json").read_text())
torch.set_num_threads(1)
clouds = data_of(run)
val = clouds.split("val")
val = val.select(torch.arange(min(len(val), samples)) * len(val) // min(len(val), samples))
taken = {}
for name in ["own", *explainers]:
    some, options, epochs = val, None, 1
    if presets and name != "own":
        options = explainer_options(config["dataset"], name, config["preset"])
    if few and name == "pyg":  # a sample after the other
        some = val.select(torch.arange(min(few, len(val))))
    if few and name == "bernmask-p":  # an epoch after the other
        made = make_explainer(name, options)
        epochs, options = made.epochs / min(made.epochs, 3), {**(options or {}), "epochs": min(made.epochs, 3)}
    began = time.process_time()
    try:
        source = ExplainedRun.open(run, torch.device("cpu"), name if name != "own" else None, options)
        source.refuse(some)
    except PellucidError:
        continue
    prepare([source], clouds)
    fitted = time.process_time()
    explain_with([source], some)
    taken[name] = (fitted - began) * epochs + (time.process_time() - fitted) * len(val) / len(some)
    print(name, round(taken[name], 2), file=sys.stderr, flush=True)
print(json.dumps({"samples": len(val), "points": val.points, "explainers": taken}))
"""

TOGETHER = """
import json, sys, time, torch
from pathlib import Path
from pellucid.commands import comparing
from pellucid.commands.data import data_of
run, samples = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
clouds = data_of(run)
time.perf_counter = time.process_time  # rows in processor time too
began = time.process_time()
found = comparing.compare_run(run, torch.device("cpu"), clouds, samples=samples)
print(json.dumps({"all": time.process_time() - began, "samples": found.samples, "recommended": found.recommended,
                  "explainers": {row.name: row.seconds for row in found.rows}}))
"""


def ran(checkout: Path, code: str, *words: str) -> dict:
    env = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code, *words], env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{checkout} failed")
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="run folder")
    parser.add_argument("--base", type=Path, default=HERE, help="another checkout")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--few", type=int, default=0, help="time the base's pyg, which takes a sample after the other, "
                        "on so many alone, and three epochs of its bernmask-p, and scale both up")
    parser.add_argument("--presets", action="store_true", help="the base takes the options that the preset has for "
                        "an explainer, as compare does, in place of its defaults")
    parser.add_argument("--json", type=Path, help="file to write")
    given = parser.parse_args()
    run, samples = str(given.run.resolve()), str(given.samples)
    alone = ran(given.base.resolve(), ALONE, run, samples, str(given.few), "presets" if given.presets else "")
    together = ran(HERE, TOGETHER, run, samples)
    before, after = alone["explainers"], together["explainers"]
    print(f"{together['samples']} samples, {alone['points']} points, processor seconds")
    print(f"{'':22}{'alone':>10}{'compare':>10}")
    for name in before:
        print(f"{name:22}{before[name]:10.1f}{after.get(name, float('nan')):10.1f}")
    explaining, slow = sum(after[name] for name in before), before.get("pyg", 0.0)
    print(f"{'explaining':22}{sum(before.values()):10.1f}{explaining:10.1f}{sum(before.values()) / explaining:8.2f}x")
    print(f"{'with what is measured':22}{sum(before.values()):10.1f}{together['all']:10.1f}"
          f"{sum(before.values()) / together['all']:8.2f}x")
    others, measured = sum(before.values()) - slow, together["all"] - after.get("pyg", 0.0)
    print(f"{'the same without pyg':22}{others:10.1f}{measured:10.1f}{others / measured:8.2f}x")
    if given.json:
        given.json.write_text(json.dumps({"alone": alone, "compare": together}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
