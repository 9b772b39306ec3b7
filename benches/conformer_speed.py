"""How fast pellucid prepares conformers on two processes, against a plain RDKit loop in one.

    python benches/conformer_speed.py                            # the ZINC molecules of the tests
    python benches/conformer_speed.py --file Lipophilicity.csv   # the first 200 molecules of a table

Both embed with ETKDGv3 (seed 0, at most 100 attempts) and relax with MMFF94 (at most 1,000 iterations), and their
coordinates are compared, so that both did the same. They run in turn; medians of wall time are reported, and processor
time, which other work on the machine moves less. The start of the worker processes is part of our time. Beside them is
what the machine can do at best: as many plain loops side by side, each with its share of the molecules.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from pellucid.chemistry import conformers, read_molecules
from timing import interleaved, machine, summary

SMILES = Path(__file__).parents[1] / "tests" / "datasets" / "zinc_smiles.txt"


def plain(smiles: list[str]) -> list[Any]:
    """What one writes by hand."""
    made: list[Any] = []
    for one in smiles:
        mol = Chem.AddHs(Chem.MolFromSmiles(one))
        parameters: Any = rdDistGeom.ETKDGv3()
        parameters.randomSeed, parameters.maxIterations, parameters.numThreads = 0, 100, 1
        if rdDistGeom.EmbedMolecule(mol, parameters) < 0:
            made.append(None)
            continue
        rdForceFieldHelpers.MMFFOptimizeMolecule(mol, maxIters=1000)
        heavy = mol.GetConformer().GetPositions()[: mol.GetNumHeavyAtoms()]
        made.append(heavy - heavy.mean(0))
    return made


def side_by_side(smiles: list[str], processes: int) -> list[Any]:
    """Plain loops in processes of their own; long and short molecules are spread evenly."""
    ordered = sorted(range(len(smiles)), key=lambda i: len(smiles[i]))
    parts = [ordered[k::processes] for k in range(processes)]
    made: list[Any] = [None] * len(smiles)
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        for part, results in zip(parts, pool.map(plain, [[smiles[i] for i in part] for part in parts]), strict=True):
            for i, result in zip(part, results, strict=True):
                made[i] = result
    return made


def processor() -> float:
    """Processor seconds of this process and its ended children."""
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF,
                                                                         resource.RUSAGE_CHILDREN)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, help="a file that read_molecules reads")
    parser.add_argument("--molecules", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    given = ([record.smiles for record in read_molecules(args.file) if record.mol is not None] if args.file
             else SMILES.read_text(encoding="utf-8").split())
    smiles = [one for one in given if "." not in one][: args.molecules]
    results: dict[str, Any] = {}
    used: dict[str, list[float]] = {"pellucid": [], "plain": [], "side by side": []}

    def timed(name: str, work: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> None:
            before = processor()
            results[name] = work()
            used[name].append(processor() - before)
        return run

    rdBase.DisableLog("rdApp.*")
    works = {"pellucid": timed("pellucid", lambda: conformers(smiles, processes=args.processes, retry=False).positions),
             "plain": timed("plain", lambda: plain(smiles)),
             "side by side": timed("side by side", lambda: side_by_side(smiles, args.processes))}
    times = {name: summary(values) for name, values in interleaved(works, args.rounds, warmup=0).items()}
    same = sum(a is not None and b is not None and np.array_equal(a, b)
               for a, b in zip(results["pellucid"], results["plain"], strict=True))
    result = {"molecules": len(smiles), "processes": args.processes, "same_coordinates": same, "wall": times,
              "processor": {name: summary(values) for name, values in used.items()}, "machine": machine(),
              "when": time.strftime("%Y-%m-%d")}
    if args.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{len(smiles)} molecules, {same} with the same coordinates to the last bit, {args.rounds} rounds in turn")
    for what, table in (("wall", result["wall"]), ("processor", result["processor"])):
        theirs = table["plain"]["median"]
        print(f"  {what:10} plain RDKit loop {theirs:7.2f} s   " + "   ".join(
            f"{name} {table[key]['median']:7.2f} s, ratio {theirs / table[key]['median']:.2f}"
            for key, name in (("pellucid", f"pellucid, {args.processes} processes"),
                              ("side by side", f"{args.processes} plain loops side by side"))))
    print(f"  {json.dumps(result['machine'])}")


if __name__ == "__main__":
    main()
