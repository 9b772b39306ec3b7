"""Charged particles through a whole detector: propagations a second on one core, with the generator's time apart.

    python benches/propagation_speed.py [--events 500] [--rounds 7] [--json]

Particles are those of soft collisions at 14 TeV (the card soft_qcd, seed 1) with a transverse momentum above 0.2 GeV,
through the packaged generic tracker, scattering, energy loss and measurement included. The peer integrates the same
Lorentz force numerically, one particle at a time (SciPy's solve_ivp, 1e-6), without any material: what one would write
first.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
from scipy.integrate import solve_ivp

from pellucid.collisions.detector import detector
from pellucid.collisions.generator import card, generate
from pellucid.collisions.propagate import Particles, propagate
from timing import interleaved, machine, summary

FIELDS = (2.0, 8.0, 20.0)
PEER_TRACKS = 20


def peer(particles: Particles, field: float) -> None:
    """Integrates some of the tracks up to the outermost barrel or disc, events at each barrel included."""
    radii = [s.r for s in detector("generic").surfaces if s.kind == "barrel"]
    for n in range(PEER_TRACKS):
        p = particles.momentum[n]
        turn = 0.299792458e-3 * field * particles.charge[n]

        def force(_: float, state: np.ndarray, turn: float = turn, total: float = float(np.linalg.norm(p))) -> list:
            x, y, z = state[3:] / total
            return [x, y, z, turn * y, -turn * x, 0.0]
        crossings = [lambda _, state, r=r: np.hypot(state[0], state[1]) - r for r in radii]
        crossings[-1].terminal = True
        length = min(3000.0, np.pi * np.linalg.norm(p) / abs(turn))
        solve_ivp(force, (0, length), np.concatenate([particles.position[n], p]), rtol=1e-6, atol=1e-6,
                  events=crossings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    started = time.perf_counter()
    events = generate(card("soft_qcd"), args.events, seed=1)
    generator = time.perf_counter() - started
    rows = np.flatnonzero(np.hypot(*events.momentum[:, :2].T) > 0.2)
    particles = Particles(events.vertex[rows], events.momentum[rows], events.charge[rows], events.mass[rows])
    plan = detector("generic")
    works = {}
    for field in FIELDS:
        works[f"{field:g} T"] = lambda field=field: propagate(particles, plan, field, rng=np.random.default_rng(0))
    works[f"SciPy, 2 T, {PEER_TRACKS} tracks"] = lambda: peer(particles, 2.0)
    times = {name: summary(seconds) for name, seconds in interleaved(works, args.rounds).items()}
    results = {}
    for name, took in times.items():
        count = PEER_TRACKS if name.startswith("SciPy") else len(rows)
        results[name] = {"seconds": took, "per_second": count / took["median"]}
    for field in FIELDS:
        made = works[f"{field:g} T"]()
        results[f"{field:g} T"] |= {"hits a particle": len(made.hits.particle) / len(rows), **made.outcomes()}
    made_by = {"events": args.events, "seconds": generator, "events a second": args.events / generator}
    if args.json:
        print(json.dumps({"machine": machine(), "particles": len(rows), "generator": made_by, "results": results},
                         indent=1))
        return
    print(f"{len(rows)} particles of {args.events} soft collisions (generated in {generator:.1f} s, start of the "
          f"generator included)")
    for name, result in results.items():
        took = result["seconds"]
        print(f"{name:24} {result['per_second']:10,.0f} particles/s   {took['median']:.3f} s "
              f"({took['low']:.3f} to {took['high']:.3f})")


if __name__ == "__main__":
    main()
