"""What several rooms of tests share."""

import os

import pytest
import torch
from hypothesis import settings

from pellucid.clouds import PointClouds

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # the workers share the cores; threads of tiny operations only wait for each other

settings.register_profile("pellucid", deadline=None, derandomize=True)  # the same everywhere, however busy the machine
settings.load_profile("pellucid")


def clouds_of(sizes=(7, 4, 9), dim=3, *, dtype=torch.float64, categories=(), features=0, outputs=0, seed=0):
    """Normal points; ``categories`` are the sizes of the columns, ``outputs`` the columns of a 0/1 target."""
    random = torch.Generator().manual_seed(seed)
    points = sum(sizes)
    fields = {"pos": torch.randn(points, dim, generator=random, dtype=torch.float64).to(dtype)}
    if categories:
        columns = [torch.randint(size, (points,), generator=random) for size in categories]
        fields["categories"] = torch.stack(columns, 1)
    if features:
        fields["features"] = torch.randn(points, features, generator=random, dtype=torch.float64).to(dtype)
    if outputs:
        fields["y"] = torch.randint(2, (len(sizes), outputs), generator=random).to(dtype)
    return PointClouds(torch.tensor([0, *sizes]).cumsum(0), fields)


@pytest.fixture(scope="session")
def random_clouds():
    """Makes random clouds; see :func:`clouds_of`."""
    return clouds_of
