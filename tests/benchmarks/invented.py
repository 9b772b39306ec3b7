"""Tables of INVENTED results beside the real published numbers: for looking at pages, not at methods."""

from __future__ import annotations

import numpy as np

from pellucid.benchmarks.experiments import experiment
from pellucid.benchmarks.results import Cell, Choice, ResultTable

DATASETS = ("synmol",)
REASON = "PellucidError: expected a finite loss | got nan; lower learning_rate <50 %"


def invented_table(name: str = "lri-table2", preset: str = "paper", *, done: int | None = None,
                   datasets: tuple[str, ...] = DATASETS) -> ResultTable:
    """Results near the published ones; BernMask of DGCNN fails once, Point Transformer is in progress if ``done``."""
    what = experiment(name)
    planned = what.preset(preset).seeds
    rng = np.random.default_rng(3)
    cells, chosen = [], {}
    for dataset in datasets:
        for backbone in what.backbones:
            for method in what.all_methods:
                seeds = planned if backbone != "point_transformer" or done is None else planned[:done]
                failed: tuple[tuple[int, str], ...] = ()
                if (backbone, method) == ("dgcnn", "bernmask"):
                    seeds, failed = planned[:-1], ((planned[-1], REASON),)
                if (backbone, method, done is None) == ("egnn", "joint", False):
                    seeds = ()
                for metric in what.datasets[dataset].metrics:
                    published = what.published(dataset, backbone, method, metric)
                    mean, std = (published.mean, published.std) if published else (0.9, 0.02)
                    std = 0.002 if np.isnan(std) else std
                    values = np.clip(rng.normal(mean + rng.normal(0, std), std, len(seeds)), 0, 1)
                    cells.append(Cell(dataset, backbone, method, metric, tuple(values.tolist()), tuple(seeds),
                                      len(planned), published, failed))
                points = what.points(preset, dataset, method)
                if len(points) > 1:
                    score = float(rng.uniform(0.98, 1))
                    chosen[dataset, backbone, method] = Choice(points[rng.integers(len(points))], score, len(points))
    metrics = dict.fromkeys(m for dataset in datasets for m in what.datasets[dataset].metrics)
    return ResultTable(
        name, what.title, what.source, preset, tuple(cells), what.all_methods, what.backbones,
        tuple(metrics), chosen,
        {"command": f"pellucid bench {name} --preset {preset}", "machine": {"cpu": "2 cores", "gpu": None},
         "date": "2026-01-01 12:00 UTC", "versions": {"pellucid": "0.1.0", "torch": "2.6.0"},
         "data": {"synmol": "0123456789abcdef"}, "seconds computed": 5123.4, "seconds saved by sharing": 1200.0,
         "runs": {"done": 128, "failed": 1, "from the store": 17}},
        ["INVENTED results, to look at the page.", *what.notes], what.labels)  # fmt: skip
