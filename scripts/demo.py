"""The demonstration: real molecules, a trained model, and the atoms that decided, in a few minutes.

    python scripts/demo.py --out demo
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pellucid

UNSEEN = "CCCCCC(=O)Nc1ccc(F)cc1"
"""Hexanoic acid 4-fluoroanilide: a chain of carbons and a carbonyl, written down for this demonstration."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--size", type=int, default=4000, help="molecules to draw from ZINC")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - started:5.0f} s] {text}", flush=True)

    say(f"drawing {options.size} real molecules from ZINC and making their 3D conformers")
    data = pellucid.load_dataset("synmol", size=options.size, progress=True)
    say("training EGNN with LRI-Gaussian: which atoms decide, and how far may each move?")
    run = pellucid.fit(data, out=options.out / "run", seed=options.seed, progress=True, overwrite=True)
    found = run.metrics["interpretation"]
    (predicted,) = run.metrics["prediction"].values()
    say(f"test split: classification AUC {predicted['roc_auc']:.3f}; deciding atoms found with "
        f"AUC {found['roc_auc']:.3f}, precision@5 {found['precision@5']:.3f} "
        f"(random: {found['random']['precision@5']:.3f})")
    explanation = pellucid.explain(run.folder, UNSEEN, out=options.out / "unseen", overwrite=True)
    say(f"a molecule it never saw, {UNSEEN}: P(positive) = {float(explanation.prediction[0, 0]):.3f}")
    say(f"look at the reports:\n    {(options.out / 'run' / 'report.html').resolve()}\n"
        f"    {(options.out / 'unseen' / 'report.html').resolve()}")


if __name__ == "__main__":
    main()
