"""From features to ranking: neighbours, graph and scores of a million samples and more, on one machine.

    python benches/margin_scale.py DATA [--samples 10000 100000 1000000] [--threads 2] [--peer] [--out FOLDER]

DATA is a folder with ``mnist/mnist.npz`` (x_train, y_train). The samples are its digits under random affine maps
(turned by up to 20 degrees, scaled by up to 20 %, sheared, moved by up to an eighth of the width), projected to 64
principal components: real structure, as many as one likes. A tenth of the labels is flipped. The features are
written to a memory-mapped file first, which is not timed. Each size runs in a process of its own, so that the peak
of memory is its own: what it allocates, pages of the mapped file aside, which the system may drop.

``--peer`` also times faiss's own inverted file (IndexIVFFlat) with the same number of lists and threads in the same
run, with the fewest probes whose recall is not below ours.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import resource
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

K = 20
FEATURES = 64


def deformed(images: Any, generator: Any) -> Any:
    """(images, 784) after random affine maps."""
    import torch
    import torch.nn.functional as F

    n = len(images)
    turn = (2 * torch.rand(n, generator=generator) - 1) * 0.35
    scale = 1 + (2 * torch.rand(n, 2, generator=generator) - 1) * 0.2
    shear = (2 * torch.rand(n, generator=generator) - 1) * 0.2
    move = (2 * torch.rand(n, 2, generator=generator) - 1) * 0.125
    rotation = torch.stack([torch.stack([turn.cos(), -turn.sin()], -1), torch.stack([turn.sin(), turn.cos()], -1)], 1)
    stretch = torch.zeros(n, 2, 2)
    stretch[:, 0, 0], stretch[:, 1, 1], stretch[:, 0, 1] = scale[:, 0], scale[:, 1], shear
    maps = torch.cat([rotation @ stretch, move[:, :, None]], 2)
    images = images[:, None]
    grid = F.affine_grid(maps, images.shape, align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).flatten(1)


def make(data: Path, n: int, folder: Path) -> tuple[Path, Path]:
    """Writes features and flipped labels of n samples, or finds them."""
    import torch

    x_path, y_path = folder / f"x{n}.npy", folder / f"y{n}.npy"
    if not y_path.exists():
        with np.load(data / "mnist" / "mnist.npz") as file:
            images, labels = torch.from_numpy(file["x_train"]).float() / 255, file["y_train"]
        generator = torch.Generator().manual_seed(0)
        some = deformed(images[torch.randint(len(images), (20_000,), generator=generator)], generator)
        mean = some.mean(0)
        axes = torch.linalg.svd(some - mean, full_matrices=False).Vh[:FEATURES].T
        x = np.lib.format.open_memmap(x_path, mode="w+", dtype=np.float32, shape=(n, FEATURES))
        y = np.empty(n, np.uint8)
        for i in range(0, n, 20_000):
            index = torch.randint(len(images), (min(20_000, n - i),), generator=generator)
            x[i:i + len(index)] = ((deformed(images[index], generator) - mean) @ axes).numpy()
            y[i:i + len(index)] = labels[index.numpy()]
        x.flush()
        random = np.random.default_rng(1)
        bad = random.random(n) < 0.1
        y[bad] = (y[bad] + random.integers(1, 10, int(bad.sum()))) % 10
        np.save(y_path, y)
    return x_path, y_path


def rank(x_path: Path, y_path: Path, threads: int) -> dict[str, Any]:
    """Times a whole audit and its parts; meant for a process of its own."""
    from pellucid.margin import WrongLabels, graph_of, nearest

    x, y = np.load(x_path, mmap_mode="r"), np.load(y_path)
    before = peak()
    started = time.perf_counter()
    found = nearest(x, K, threads=threads)
    searched = time.perf_counter()
    graph = graph_of(found, weights="self-tuning")
    built = time.perf_counter()
    ranking = WrongLabels().fit(graph, y).ranking_
    ended = time.perf_counter()
    return {"samples": len(x), "total_s": ended - started, "neighbours_s": searched - started,
             "graph_s": built - searched, "scores_s": ended - built, "peak_gb": peak() / 1e9, "start_gb": before / 1e9,
             "edges": int(graph.weights.nnz), "first": int(ranking[0]), **found.about}


def peak() -> int:
    """Bytes that this process has held at most, without pages of mapped files that the system may drop."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            now = int(line.split()[1]) * 1024
            return max(now, _watched[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


_watched = [0]


def watch() -> None:
    """Looks at the memory ten times a second."""
    while True:
        _watched[0] = peak()
        time.sleep(0.1)


def job(*args: Any) -> dict[str, Any]:
    threading.Thread(target=watch, daemon=True).start()
    return rank(*args)


def peer(x_path: Path, threads: int, recall: float, lists: int) -> dict[str, Any]:
    """faiss's inverted file, with the fewest probes that reach a recall."""
    import faiss

    from pellucid.margin.inverted import exact_neighbors

    faiss.omp_set_num_threads(threads)
    x = np.load(x_path)
    rows = np.random.default_rng(0).choice(len(x), min(1000, len(x)), replace=False)
    true = exact_neighbors(x, rows, K, threads=threads)
    started = time.perf_counter()
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(FEATURES), FEATURES, lists)
    index.train(x[np.random.default_rng(0).choice(len(x), min(64 * lists, len(x)), replace=False)])
    index.add(x)
    trained = time.perf_counter() - started
    for probes in range(1, 97):
        index.nprobe = probes
        got = index.search(x[rows], K + 1)[1]
        share = np.mean([np.isin(best, row[row != i]).mean() for i, row, best in zip(rows, got, true, strict=True)])
        if share >= recall:
            break
    started = time.perf_counter()
    index.search(x, K + 1)
    return {"neighbours_s": trained + time.perf_counter() - started, "recall": float(share), "probes": probes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--out", type=Path, help="Folder that keeps the features; a temporary one otherwise.")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    from timing import machine

    results = []
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for n in args.samples:
            x_path, y_path = make(args.data, n, folder)
            for _ in range(args.rounds):
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    row = pool.submit(job, x_path, y_path, args.threads).result()
                if args.peer:
                    row["peer"] = peer(x_path, args.threads, row["recall"], row.get("lists", round(2 * math.sqrt(n))))
                results.append(row)
                if not args.json:
                    print(json.dumps(row), flush=True)
    if args.json:
        json.dump({"machine": machine(), "threads": args.threads, "k": K, "results": results}, sys.stdout, indent=2)
    else:
        print(machine())


if __name__ == "__main__":
    main()
