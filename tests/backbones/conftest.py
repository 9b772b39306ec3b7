"""Small encoders in a state that is not the initial one."""

import pytest
import torch

from pellucid.backbones import backbones
from pellucid.clouds import PointClouds
from pellucid.testing.samples import unsettled


def build(name, dim=3, category_sizes=(), feature_size=0, *, dtype=torch.float64, seed=0, **options):
    torch.manual_seed(seed)
    options = {"hidden": 8, "layers": 2, "dropout": 0.0, **options}
    net = backbones[name](dim, category_sizes, feature_size, **options)
    unsettled(net)
    return net.to(dtype).eval()


@pytest.fixture(scope="session")
def encoder():
    """Makes an encoder by name, in eval mode and float64 unless told."""
    return build


def graphs_of(sizes=(7, 4, 1, 9), *, pos=True, seed=0, dtype=torch.float64):
    """Random graphs: each edge once, in a random direction, with a category out of three and two real features."""
    random = torch.Generator().manual_seed(seed)
    ends, counts = [], []
    for n in sizes:
        pairs = torch.combinations(torch.arange(n))
        pairs = pairs[torch.rand(len(pairs), generator=random) < 0.5]
        flip = torch.rand(len(pairs), generator=random) < 0.5
        ends.append(torch.where(flip[:, None], pairs.flip(1), pairs))
        counts.append(len(pairs))
    points, edges = sum(sizes), sum(counts)
    fields = {"features": torch.randn(points, 2, generator=random, dtype=torch.float64).to(dtype),
              "edge_index": torch.cat(ends), "edge_categories": torch.randint(3, (edges, 1), generator=random),
              "edge_features": torch.randn(edges, 2, generator=random, dtype=torch.float64).to(dtype)}
    if pos:
        fields["pos"] = torch.randn(points, 3, generator=random, dtype=torch.float64).to(dtype)
    return PointClouds(torch.tensor([0, *sizes]).cumsum(0), fields, edge_ptr=torch.tensor([0, *counts]).cumsum(0))


@pytest.fixture(scope="session")
def random_graphs():
    """Makes random graphs; see :func:`graphs_of`."""
    return graphs_of
