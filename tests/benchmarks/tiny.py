"""A benchmark that takes seconds: the toy task under the name of a real dataset, two backbones, small networks."""

from pathlib import Path

import torch
from toy import toy_clouds

from pellucid.benchmarks.experiments import Experiment
from pellucid.datasets import PreparedDataset, datasets

SMALL = {"backbone.hidden": 8, "backbone.layers": 1, "training.batch_size": 16, "training.reestimate": 2,
         "training.learning_rate": 3e-3}


def tiny_data(folder: Path, count=60) -> dict[str, PreparedDataset]:
    clouds = toy_clouds(count)
    clouds = clouds.replace(split=torch.tensor([0, 0, 0, 0, 1, 1, 2, 2]).repeat(count)[:count])  # both classes in each
    path = folder / "clouds.safetensors"
    clouds.save(path, {})
    return {"synmol": PreparedDataset(clouds, {"key": {"source": "toy"}}, path, datasets["synmol"]())}


def tiny_experiment(**preset) -> Experiment:
    tiny = {"settings": "smoke", "seeds": [0, 1], "over": SMALL} | preset
    return Experiment.model_validate({
        "name": "tiny", "title": "Tiny", "source": "Nobody 2026, Table 1", "backbones": ["egnn", "dgcnn"],
        "methods": ["random", "gradgeo", "bernmask", "lri-bernoulli"], "extra_methods": ["lri-gaussian", "joint"],
        "variants": {name: {"method": "erm", "explainer": name} for name in ("random", "gradgeo", "bernmask")},
        "datasets": {"synmol": {"metrics": ["interpretation.roc_auc", "interpretation.precision@5"]}},
        "presets": {"tiny": tiny},
        "published": {"synmol": {"gradgeo": {"egnn": ["72.10 ± 9.66", "59.59 ± 11.05"]}}},
    })


def same_tables(one, other):
    """Every number the same, to the last bit."""
    return [(c.dataset, c.backbone, c.method, c.metric, c.seeds, c.values) for c in one.cells] == [
        (c.dataset, c.backbone, c.method, c.metric, c.seeds, c.values) for c in other.cells]


