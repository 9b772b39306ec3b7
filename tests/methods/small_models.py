"""Small models of every method, for the tests of methods and of explainers."""

import pytest
import torch

from pellucid.backbones import backbones
from pellucid.backbones.kernels import Norm
from pellucid.methods import NeighborRule, methods
from pellucid.targets import Targets

TASKS = {"binary": Targets.of("binary", 1), "two binary": Targets.of("binary", 2), "multiclass": Targets.of("multiclass", 3),
         "regression": Targets.of("regression", 2)}


def build(name, task="binary", *, backbone="egnn", dim=3, categories=(), features=0, dtype=torch.float64, seed=0,
          **options):
    """A model in eval mode whose heads are not at their initial, nearly constant state."""
    torch.manual_seed(seed)
    options = {"dropout": 0.0, "rule": NeighborRule("knn", 4), **options}
    model = methods[name].make(
        lambda: backbones[backbone](dim, categories, features, hidden=8, layers=2, dropout=0.0), TASKS[task], **options)
    with torch.no_grad():
        for norm in (m for m in model.modules() if isinstance(m, Norm)):
            norm.running_mean.uniform_(-0.5, 0.5)
            norm.running_var.uniform_(0.5, 1.5)
            norm.weight.uniform_(0.5, 1.5)
    return model.to(dtype).eval()


def targets(task, clouds, dtype=torch.float64):
    """Targets of the right shape, one of them missing."""
    outputs = 1 if TASKS[task].kind == "multiclass" else TASKS[task].outputs
    y = torch.arange(clouds * outputs).reshape(clouds, outputs).remainder(2).to(dtype)
    y[0, 0] = float("nan")
    return y


@pytest.fixture(scope="session")
def method():
    """Makes a model by the method's name; see :func:`build`."""
    return build


@pytest.fixture(scope="session")
def target():
    """Makes targets for a task; see :func:`targets`."""
    return targets
