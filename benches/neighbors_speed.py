"""Exact k nearest neighbours of many small clouds: pellucid against a loop over clouds with SciPy or scikit-learn.

    python benches/neighbors_speed.py [--threads 2] [--rounds 15] [--json]

All give the neighbours of every point, itself included, as places in the flat tensors. Above a few hundred points on
the CPU pellucid uses SciPy's k-d tree itself, so that the last case shows what its own work around it costs.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise

import numpy as np
import torch
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from pellucid.neighbors import knn
from timing import interleaved, machine, summary

CASES = {"128 clouds x 21 points": (128, 21), "1000 clouds x 100 points": (1000, 100),
         "1 cloud x 20000 points": (1, 20000)}


def scipy_loop(pos: torch.Tensor, ptr: torch.Tensor, k: int) -> torch.Tensor:
    points = pos.double().numpy()
    parts = [cKDTree(points[a:b]).query(points[a:b], k)[1] + a for a, b in pairwise(ptr.tolist())]
    return torch.from_numpy(np.concatenate(parts))


def sklearn_loop(pos: torch.Tensor, ptr: torch.Tensor, k: int) -> torch.Tensor:
    points = pos.double().numpy()
    parts = [NearestNeighbors(n_neighbors=k).fit(points[a:b]).kneighbors(points[a:b], return_distance=False) + a
             for a, b in pairwise(ptr.tolist())]
    return torch.from_numpy(np.concatenate(parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("-k", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = {}
    for name, (clouds, size) in CASES.items():
        pos = torch.randn(clouds * size, 3, generator=torch.Generator().manual_seed(0))
        ptr = torch.arange(clouds + 1) * size
        works = {"pellucid": lambda pos=pos, ptr=ptr: knn(pos, ptr, args.k).index,
                 "SciPy": lambda pos=pos, ptr=ptr: scipy_loop(pos, ptr, args.k),
                 "scikit-learn": lambda pos=pos, ptr=ptr: sklearn_loop(pos, ptr, args.k)}
        distances = [(pos[work()] - pos[:, None]).norm(dim=-1) for work in works.values()]
        for other in distances[1:]:
            torch.testing.assert_close(distances[0], other)
        results[name] = {side: summary(times) for side, times in interleaved(works, args.rounds, warmup=2).items()}
    if args.json:
        print(json.dumps({"machine": machine(), "k": args.k, "results": results}, indent=1))
        return
    print(f"{f'k = {args.k}, medians':28}{'pellucid':>14}{'SciPy loop':>24}{'scikit-learn loop':>24}")
    for name, sides in results.items():
        own = sides["pellucid"]["median"]
        others = "".join(f"{f'''{sides[s]['median'] * 1e3:.2f} ms ({sides[s]['median'] / own:.1f}x)''':>24}"
                         for s in ("SciPy", "scikit-learn"))
        print(f"{name:28}{f'{own * 1e3:.2f} ms':>14}{others}")
    print(", ".join(f"{k} {v}" for k, v in machine().items()))


if __name__ == "__main__":
    main()
