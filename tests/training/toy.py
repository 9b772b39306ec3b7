"""A toy task that a small model learns in seconds: a cloud is positive if it holds a point of category 1."""

from __future__ import annotations

import torch

from pellucid.clouds import PointClouds
from pellucid.spec import DataSpec
from pellucid.targets import Targets
from pellucid.training import RunConfig


def toy_clouds(count: int = 120, seed: int = 0, dim: int = 3) -> PointClouds:
    random = torch.Generator().manual_seed(seed)
    sizes = torch.randint(6, 12, (count,), generator=random)
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    points = int(ptr[-1])
    batch = torch.repeat_interleave(torch.arange(count), sizes)
    y = (torch.arange(count) % 2).float()
    categories = torch.zeros(points, 1, dtype=torch.int64)
    marked = ptr[:-1] + (torch.rand(count, generator=random) * sizes).long()
    categories[marked[y == 1]] = 1
    return PointClouds(
        ptr,
        {
            "pos": torch.randn(points, dim, generator=random),
            "categories": categories,
            "y": y[:, None],
            "important": (categories[:, 0] == 1) & (y[batch] == 1),
            "split": torch.tensor([0, 0, 0, 1, 2, 2]).repeat(count)[:count],
        },
        text={"id": [f"toy-{i}" for i in range(count)]},
        units={"pos": "angstrom"},
    )


def toy_config(method: str = "lri-gaussian", backbone: str = "egnn", **training: object) -> RunConfig:
    settings = {"warmup": 1, "epochs": 2, "batch_size": 16, "reestimate": 2, "learning_rate": 3e-3} | training
    return RunConfig.parse({
        "dataset": "toy",
        "backbone": {"name": backbone, "hidden": 16, "layers": 2, "length_scale": "neighbors"},
        "method": {"name": method, "scale": 3.0},
        "training": settings,
    })


def toy_spec(targets: Targets | None = None, clouds: PointClouds | None = None, **more: object) -> DataSpec:
    """What the toy clouds look like; a binary target where no other is said."""
    return DataSpec.of(clouds or toy_clouds(4), targets or Targets.of("binary"), category_sizes=(2,),
                       precision_at=(1, 2), **more)
