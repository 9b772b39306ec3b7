"""What tests of explainers share: small models and clouds, models by hand, and a check that a model stays as it was."""

from __future__ import annotations

import contextlib
import copy

import torch
from torch import nn

from pellucid.backbones import backbones
from pellucid.backbones.kernels import Norm
from pellucid.clouds import PointClouds
from pellucid.methods import NeighborRule, methods
from pellucid.neighbors import knn
from pellucid.targets import Target, Targets

TASKS = {
    "binary": Targets.of("binary"),
    "two binary": Targets.of("binary", 2),
    "multiclass": Targets.of("multiclass", 3),
    "regression": Targets.of("regression", 2),
    "mixed": Targets((Target("logS", "regression", unit="log mol/L", center=-2.0, spread=3.0),
                      Target("colour", "multiclass", classes=("red", "green", "blue")), Target("toxic"))),
    "points": Targets((Target("charge", "regression", spread=0.5, level="point"), Target("acid", level="point"))),
}
"""What is predicted, by a name for the test."""


def tiny_clouds(sizes=(6, 1, 4, 9), *, dtype=torch.float64, seed=0):
    """Normal points with a category out of three and two features."""
    random = torch.Generator().manual_seed(seed)
    points = sum(sizes)
    return PointClouds(torch.tensor([0, *sizes]).cumsum(0), {
        "pos": torch.randn(points, 3, generator=random, dtype=torch.float64).to(dtype),
        "categories": torch.randint(3, (points, 1), generator=random),
        "features": torch.randn(points, 2, generator=random, dtype=torch.float64).to(dtype),
    })


def tiny_model(task="binary", *, backbone="egnn", dtype=torch.float64, seed=0, **options):
    """A plain classifier in eval mode whose normalisations are not at their initial state."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = methods["erm"].make(lambda: backbones[backbone](3, (3,), 2, hidden=8, layers=2),
                                    TASKS[task] if isinstance(task, str) else task, rule=NeighborRule("knn", 4),
                                    **options)
        with torch.no_grad():
            for norm in (m for m in model.modules() if isinstance(m, Norm)):
                norm.running_mean.uniform_(-0.5, 0.5)
                norm.running_var.uniform_(0.5, 1.5)
                norm.weight.uniform_(0.5, 1.5)
    return model.to(dtype).eval()


class ByHand(nn.Module):
    """A predictor that is a formula: ``value(pos, inputs, clouds) -> (clouds,)``, the inputs being the features."""

    def __init__(self, value, can=("pos", "inputs"), targets=None):
        super().__init__()
        self.value, self.can = value, frozenset(can)
        self.targets = targets or Targets.of("regression")

    def refuse(self, clouds):
        pass

    def neighbors(self, clouds):
        return knn(clouds.pos, clouds.ptr, 2)

    def inputs(self, clouds):
        return clouds["features"]

    def logits(self, clouds, neighbors, *, pos=None, inputs=None):
        pos, inputs = clouds.pos if pos is None else pos, clouds["features"] if inputs is None else inputs
        return self.value(pos, inputs, clouds)[:, None]


def total(values, clouds):
    """(points,) -> (clouds,) sums."""
    return values.new_zeros(len(clouds)).index_add(0, clouds.batch, values)


HOOKS = [name for name in vars(nn.Module()) if "hooks" in name]


def _state(model):
    return {
        "state": copy.deepcopy(model.state_dict()),
        "grads": {k: None if p.grad is None else p.grad.clone() for k, p in model.named_parameters()},
        "requires_grad": {k: p.requires_grad for k, p in model.named_parameters()},
        "identity": {k: (id(p), p.data_ptr(), p._version) for k, p in (*model.named_parameters(),
                                                                       *model.named_buffers())},
        "training": {k: m.training for k, m in model.named_modules()},
        "hooks": {(k, name): list(vars(m)[name]) for k, m in model.named_modules() for name in HOOKS},
        "tensor hooks": {k: list(p._backward_hooks or ()) for k, p in model.named_parameters()},
        "attributes": {k: {name: id(v) for name, v in vars(m).items()} for k, m in model.named_modules()},
        "forward": {k: type(m).forward for k, m in model.named_modules()},
    }


@contextlib.contextmanager
def assert_untouched(model):
    """Whatever happens within, the model's values, gradients, hooks, modes, flags and attributes are the same after."""
    before = _state(model)
    yield
    after = _state(model)
    for name in ("state", "grads"):
        assert before[name].keys() == after[name].keys()
        for key, value in before[name].items():
            now = after[name][key]
            assert (value is None) == (now is None), f"{name} of {key}"
            assert value is None or torch.equal(value, now), f"{name} of {key}"
    for name in ("requires_grad", "identity", "training", "hooks", "tensor hooks", "forward"):
        assert before[name] == after[name], name
    for key, attributes in before["attributes"].items():  # modes are put back as equal, not as identical, objects
        same = {k: v for k, v in attributes.items() if k != "training"}
        assert same == {k: v for k, v in after["attributes"][key].items() if k != "training"}, f"attributes of {key}"
