"""Readouts of several levels: what each layer knows is read by itself, and adds up."""

from __future__ import annotations

import pytest
import torch

from pellucid.backbones import backbones
from pellucid.methods import methods
from pellucid.methods.readout import Readout
from pellucid.spec import DataSpec
from pellucid.targets import Targets
from pellucid.training.objectives.base import objectives


def randomised(module: torch.nn.Module) -> None:
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)


@pytest.mark.parametrize("name", sorted(backbones))
def test_levels_lie_side_by_side(name, random_clouds):
    clouds = random_clouds((4, 6))
    torch.manual_seed(0)
    deep = backbones[name](3, hidden=8, layers=2, dropout=0.0, read_all=True).double().eval()
    torch.manual_seed(0)
    last = backbones[name](3, hidden=8, layers=2, dropout=0.0).double().eval()
    last.load_state_dict(deep.state_dict())
    rule = methods["erm"](lambda: backbones["egnn"](), Targets.of("binary")).rule
    scalars = deep(clouds, rule(clouds)).scalars
    assert (deep.width, deep.levels, last.width) == (24, 3, 8)
    assert torch.equal(scalars[:, :8], deep.encode(clouds))
    assert torch.equal(scalars[:, 16:], last(clouds, rule(clouds)).scalars)


def test_contributions_are_sums_over_levels_and_add_up(random_clouds):
    clouds = random_clouds((3, 5))
    torch.manual_seed(1)
    readout = Readout(12, 2, 0.0, "additive", points=4.0, levels=3).double().eval()
    randomised(readout)
    h = torch.randn(clouds.points, 12, dtype=torch.float64)
    answer = readout(h, clouds)
    shares = [readout.head[level](h[:, 4 * level:4 * level + 4]) / 4 for level in range(3)]
    assert torch.allclose(answer.contributions, sum(shares))
    for upto, logits in enumerate((*answer.partial, answer.logits), 1):
        each = sum(shares[:upto])
        byhand = torch.stack([each[:3].sum(0), each[3:].sum(0)]) + readout.bias
        assert torch.allclose(logits, byhand)
    assert len(answer.partial) == 2


def test_nothing_is_said_before_anything_was_learned(random_clouds):
    clouds = random_clouds((3, 5))
    answer = Readout(12, 1, 0.0, "additive", levels=3).double().eval()(
        torch.randn(clouds.points, 12, dtype=torch.float64), clouds)
    assert not answer.contributions.any()
    assert not answer.logits.any()


def test_shallow_predictions_are_trained_beside_the_whole(random_clouds):
    clouds = random_clouds((4, 4, 5), outputs=1)
    clouds = clouds.replace(y=torch.tensor([[1.0], [0.0], [1.0]], dtype=torch.float64))
    targets = Targets.of("binary")
    torch.manual_seed(2)
    model = methods["erm"].make(lambda: backbones["egnn"](3, hidden=8, layers=2, dropout=0.0, read_all=True),
                                targets, readout="additive", dropout=0.0, points=4.3).double().eval()
    randomised(model.readout)
    output = model(clouds, model.neighbors(clouds))
    losses = [targets.loss(logits, clouds["y"]) for logits in (*output.partial, output.logits)]
    objective = objectives["supervised"](model, DataSpec.of(clouds, targets))
    step = objective.step(model, clouds, model.neighbors(clouds), joint=True, epoch=0)
    assert len(losses) == 3
    assert step.loss.item() == pytest.approx(sum(loss.item() for loss in losses) / 3)


@pytest.mark.parametrize("name", [n for n in sorted(methods) if n != "erm"])
def test_every_method_reads_wider_embeddings(name, random_clouds):
    clouds = random_clouds((4, 6), dtype=torch.float32)
    model = methods[name].make(lambda: backbones["egnn"](3, hidden=8, layers=2, read_all=True),
                               Targets.of("binary")).eval()
    output = model(clouds, model.neighbors(clouds))
    assert output.logits.shape == (2, 1)
    assert output.importance.shape == (10,)
