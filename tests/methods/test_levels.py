"""What each layer knows is read, and a readout in which points interact has shares that add up."""

from __future__ import annotations

import pytest
import torch

from pellucid.backbones import backbones
from pellucid.methods import methods
from pellucid.methods.readout import Readout
from pellucid.targets import Targets


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


def interacting(outputs=2):
    """A readout whose batch norm has seen something, so that it is no identity."""
    torch.manual_seed(1)
    readout = Readout(12, outputs, 0.0, "interacting", points=4.0).double()
    randomised(readout)
    for _ in range(3):
        readout.head(torch.randn(8, 12, dtype=torch.float64) * 3 + 1)
    return readout.eval()


def test_shares_of_interactions_add_up(random_clouds):
    clouds = random_clouds((3, 5, 0))
    h = torch.randn(clouds.points, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    readout = interacting()
    answer, head = readout(h, clouds, shares=True), readout.head
    pooled = torch.stack([h[:3].sum(0), h[3:].sum(0), torch.zeros(12)])
    norm = head.middle[0]
    hidden = (head.first(pooled) - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    byhand = head.linear(pooled) / 4 + head.last(hidden.clamp(min=0))
    assert torch.allclose(answer.logits, byhand)
    sums = torch.stack([answer.contributions[:3].sum(0), answer.contributions[3:].sum(0)])
    assert torch.allclose(sums + readout.baseline(), answer.logits[:2], atol=1e-12)
    assert torch.allclose(answer.logits[2], readout.baseline())
    assert readout(h, clouds).contributions is None  # nothing is computed that nobody asked for


def test_a_share_of_interactions_is_the_integrated_gradient(random_clouds):
    clouds = random_clouds((4, 3))
    h = torch.randn(clouds.points, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    g = interacting().head
    found = g.shares(h, clouds.ptr)
    for members in (range(4), range(4, 7)):
        pooled = h[list(members)].sum(0)
        steps = ((torch.arange(20_000) + 0.5) / 20_000).double()
        way = (steps[:, None] * pooled).requires_grad_()
        for output in range(2):
            (slopes,) = torch.autograd.grad(g(way)[:, output].sum(), way)
            byhand = h[list(members)] @ slopes.mean(0)
            assert torch.allclose(found[list(members), output], byhand, atol=1e-3)


def test_points_that_are_alike_share_alike_and_one_without_effect_gets_nothing(random_clouds):
    clouds = random_clouds((4,))
    h = torch.randn(4, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    h[1], h[3] = h[0], 0
    found = interacting().head.shares(h, clouds.ptr)
    assert torch.allclose(found[0], found[1])
    assert not found[3].any()


def test_nothing_is_said_before_anything_was_learned(random_clouds):
    clouds = random_clouds((3, 5))
    answer = Readout(12, 1, 0.0, "interacting").double().eval()(
        torch.randn(clouds.points, 12, dtype=torch.float64), clouds, shares=True)
    assert not answer.contributions.any()
    assert not answer.logits.any()


@pytest.mark.parametrize("name", [n for n in sorted(methods) if n != "erm"])
def test_every_method_reads_wider_embeddings(name, random_clouds):
    clouds = random_clouds((4, 6), dtype=torch.float32)
    model = methods[name].make(lambda: backbones["egnn"](3, hidden=8, layers=2, read_all=True),
                               Targets.of("binary")).eval()
    output = model(clouds, model.neighbors(clouds))
    assert output.logits.shape == (2, 1)
    assert output.importance.shape == (10,)
