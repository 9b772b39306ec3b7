"""How fast pellucid fits masks to molecules, against PyG's GNNExplainer called once a graph.

    python benches/bernmask_speed.py                         # EGNN and DGCNN, 1,000 real molecules, 100 steps
    python benches/bernmask_speed.py --synthetic             # random clouds of the same size, needs no data
    python benches/bernmask_speed.py --peer-molecules 1000   # GNNExplainer on all of them, too: takes most of an hour

All sides fit masks of points to the same model for the same number of steps, in turn; medians are reported. PyG
explains a graph a call, so its time is measured on fewer molecules, others in each round; all times are per molecule.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

from pellucid.clouds import PointClouds
from pellucid.datasets import load_dataset
from pellucid.explainers import Explainer, explainers
from pellucid.training.presets import settings
from timing import interleaved, machine, summary
from training_speed import model_of, synthetic

OURS, THEIRS, BATCHED = "pellucid, bernmask", "PyG, a graph a call", "PyG, batches by us"


def each(explain: Callable[[], int]) -> float:
    """Seconds a molecule; ``explain`` says how many it explained."""
    started = time.perf_counter()
    count = explain()
    return (time.perf_counter() - started) / count


def measure(backbone: str, clouds: PointClouds, args: argparse.Namespace) -> dict[str, Any]:
    """Times of each side. The weights are random: they do not change what is computed.

    GNNExplainer's masks are of points alone, the least it can do, and reach the model through the explainer ``pyg``.
    ``BATCHED`` is the same with PyG shown a batch as one graph of many parts, which it does not do by itself.
    """
    model = model_of(settings("synmol", "erm", backbone, "paper"), clouds).eval()
    bernmask = explainers["bernmask"](steps=args.steps)
    single, batched = (explainers["pyg"](epochs=args.steps, masks="nodes", whole_batch=b) for b in (False, True))
    turns = itertools.cycle(torch.arange(len(clouds)).split(args.peer_molecules))

    def explaining(explainer: Explainer, some: PointClouds) -> int:
        explainer.explain(model, some, batch_size=args.batch_size)
        return len(some)

    works = {OURS: lambda: explaining(bernmask, clouds), THEIRS: lambda: explaining(single, clouds.select(next(turns)))}
    if args.batched:
        works[BATCHED] = lambda: explaining(batched, clouds)
    times = interleaved(works, args.rounds, warmup=args.warmup, clock=each)
    return {"backbone": backbone, "points": clouds.points, "molecules": len(clouds),
            "peer_molecules": args.peer_molecules, "steps": args.steps, "batch_size": args.batch_size,
            "times": {name: summary(values) for name, values in times.items()}}


def table(result: dict[str, Any]) -> str:
    lines = [f"{result['backbone']}: {result['molecules']} molecules of {result['points'] / result['molecules']:.1f} "
             f"points, {result['steps']} steps, batches of {result['batch_size']}; PyG a graph a call on "
             f"{result['peer_molecules']} a round"]
    ours = result["times"][OURS]["median"]
    for name, times in result["times"].items():
        cell = f"{times['median'] * 1e3:.2f} ms ({times['low'] * 1e3:.2f}-{times['high'] * 1e3:.2f}) a molecule"
        lines.append(f"  {name:22}{cell:>40}{times['median'] / ours:>10.2f}x")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["egnn", "dgcnn"])
    parser.add_argument("--synthetic", action="store_true", help="random clouds instead of molecules")
    parser.add_argument("--molecules", type=int, default=1000)
    parser.add_argument("--peer-molecules", type=int, default=20, help="of PyG, a graph a call, in each round")
    parser.add_argument("--steps", type=int, default=100, help="of each mask, on all sides")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--batched", action="store_true", help="a third side: GNNExplainer on whole batches")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1, help="rounds before, which are not counted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args()
    if min(args.molecules, args.peer_molecules, args.steps, args.rounds) < 1:
        parser.error("expected at least 1 molecule on each side, 1 step and 1 round")
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore")
    # a few more, as some molecules have no conformer
    clouds = synthetic(args.molecules) if args.synthetic else load_dataset("synmol", size=args.molecules + 40).clouds
    clouds = clouds.without_text().select(torch.arange(min(args.molecules, len(clouds))))
    args.peer_molecules = min(args.peer_molecules, len(clouds))
    results = []
    for backbone in args.backbones:
        results.append(measure(backbone, clouds, args))
        if not args.json:
            print(table(results[-1]), flush=True)
    if args.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=1))
    else:
        print(", ".join(f"{k} {v}" for k, v in machine().items()))


if __name__ == "__main__":
    main()
