"""Small models of every method, for the tests of methods and of explainers; and noise in eval mode."""

import pytest
import torch

from pellucid.backbones import backbones
from pellucid.backbones.kernels import Norm
from pellucid.methods import NeighborRule, methods
from pellucid.randomness import CloudRandom
from pellucid.targets import Target, Targets

TASKS = {
    "binary": Targets.of("binary"),
    "two binary": Targets.of("binary", 2),
    "multiclass": Targets.of("multiclass", 3),
    "regression": Targets.of("regression", 2),
    "mixed": Targets((Target("logS", "regression", unit="log mol/L", center=-2.0, spread=3.0),
                      Target("colour", "multiclass", classes=("red", "green", "blue")),
                      Target("toxic", weight=0.5), Target("mass", "regression", spread=10.0))),
}
"""What is predicted, by a name for the test."""


def build(name, task="binary", *, backbone="egnn", dim=3, categories=(), features=0, dtype=torch.float64, seed=0,
          encoder=None, **options):
    """A model in eval mode whose heads are not at their initial, nearly constant state.

    ``task`` is a name out of TASKS or targets, ``encoder`` holds options of the backbone.
    """
    torch.manual_seed(seed)
    options = {"dropout": 0.0, "rule": NeighborRule("knn", 4), **options}
    model = methods[name].make(
        lambda: backbones[backbone](dim, categories, features, hidden=8, layers=2, dropout=0.0, **(encoder or {})),
        TASKS[task] if isinstance(task, str) else task, **options)
    with torch.no_grad():
        for norm in (m for m in model.modules() if isinstance(m, Norm)):
            norm.running_mean.uniform_(-0.5, 0.5)
            norm.running_var.uniform_(0.5, 1.5)
            norm.weight.uniform_(0.5, 1.5)
    return model.to(dtype).eval()


def targets(task, rows, dtype=torch.float64):
    """Values of the right shape for each target of a task, one of them missing."""
    count = len(TASKS[task])
    y = torch.arange(rows * count).reshape(rows, count).remainder(2).to(dtype)
    y[0, 0] = float("nan")
    return y


def noisy(model, clouds, seed=0, *, neighbors=None, epoch=0):
    """One pass with noise that the clouds draw by their own content, also in eval mode."""
    neighbors = model.neighbors(clouds) if neighbors is None else neighbors
    return model(clouds, neighbors, epoch=epoch, random=CloudRandom(clouds, seed))


@pytest.fixture(scope="session")
def method():
    """Makes a model by the method's name; see :func:`build`."""
    return build


@pytest.fixture(scope="session")
def target():
    """Makes targets for a task; see :func:`targets`."""
    return targets
