"""A training step on radius graphs of uneven degree: pellucid against the same model on PyG's edge lists (peer.py).

    python benches/ragged_speed.py [--threads 1] [--rounds 9] [--clouds 256] [--json]

Random clouds of the size of Tau3Mu: 16 points on average in pseudorapidity and azimuth, neighbours within 1. The
largest neighbourhood of a batch is several times the mean one: a padded table would be mostly empty places.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Batch

from peer import from_ours, to_data
from pellucid.backbones import backbones
from pellucid.clouds import PointClouds
from pellucid.methods import NeighborRule, methods
from pellucid.targets import Targets
from timing import interleaved, machine, summary


def synthetic(count: int) -> PointClouds:
    random = torch.Generator().manual_seed(0)
    sizes = torch.poisson(torch.full((count,), 16.0), generator=random).long().clamp(min=3)
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    place = torch.rand(int(ptr[-1]), 2, generator=random)
    return PointClouds(ptr, {
        "pos": torch.stack([1.2 + 1.2 * place[:, 0], torch.pi * (2 * place[:, 1] - 1)], 1),
        "categories": torch.randint(0, 2, (int(ptr[-1]), 1), generator=random),
        "y": torch.randint(0, 2, (count, 1), generator=random).float()})


def step(model: nn.Module, optimizer: torch.optim.Optimizer, logits: Any, y: torch.Tensor) -> float:
    loss = nn.functional.binary_cross_entropy_with_logits(logits, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clouds", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clouds = synthetic(args.clouds)
    rule = NeighborRule("radius", 1.0, False)
    neighbors = rule(clouds)
    batch, y = Batch.from_data_list(to_data(clouds, neighbors)), clouds["y"]
    shape = {"points": clouds.points, "edges": int(neighbors.degree.sum()), "largest degree": neighbors.k,
             "mean degree": round(float(neighbors.degree.double().mean()), 2)}
    results = {}
    for name in sorted(backbones):
        torch.manual_seed(0)
        ours = methods["erm"].make(lambda name=name: backbones[name](2, (2,), dropout=0.0), Targets.of("binary"),
                                   dropout=0.0, rule=rule)
        theirs = from_ours(ours)
        pairs = [(model, torch.optim.Adam(model.parameters(), 1e-3)) for model in (ours.train(), theirs.train())]
        works = {"pellucid": lambda p=pairs[0]: step(*p, p[0].plain(clouds, neighbors).logits, y),
                 "peer": lambda p=pairs[1]: step(*p, p[0](batch).logits, y)}
        first = [work() for work in works.values()]
        assert abs(first[0] - first[1]) < 1e-3 * abs(first[0]), first
        results[name] = {side: summary(times) for side, times in interleaved(works, args.rounds).items()}
    if args.json:
        print(json.dumps({"machine": machine(), "graph": shape, "results": results}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in shape.items()))
    for name, sides in results.items():
        own, other = (sides[side]["median"] for side in ("pellucid", "peer"))
        print(f"{name:20}{own * 1e3:8.1f} ms a step, peer {other * 1e3:8.1f} ms: {other / own:.1f}x")
    print(", ".join(f"{k} {v}" for k, v in machine().items()))


if __name__ == "__main__":
    main()
