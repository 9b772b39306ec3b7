"""What each layer knows is read, and a readout in which points interact has shares that add up."""

from __future__ import annotations

import pytest
import torch
from small_models import build
from torch import nn

from pellucid.backbones import Backbone, backbones
from pellucid.errors import PellucidError
from pellucid.methods import NeighborRule, methods
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


def through_network(nodes, backbone="egnn", task="two binary", readout="interacting"):
    model = build("erm", task, backbone=backbone, features=2, readout=readout, through="network", nodes=nodes,
                  encoder={"read_all": True})
    randomised(model.readout)
    return model


@pytest.mark.parametrize("backbone", ["egnn", "dgcnn"])
@pytest.mark.parametrize("readout", ["additive", "interacting"])
def test_a_contribution_through_the_network_is_what_the_points_own_features_add_as_all_fade_in(
        backbone, readout, random_clouds):
    """By finite differences of the prediction itself, one point after the other."""
    clouds = random_clouds((4, 6), features=2)
    model = through_network(128, backbone, readout=readout)
    table = model.neighbors(clouds)

    @torch.no_grad()
    def faded(there):
        h = model.embed(clouds, table, inputs=model.inputs(clouds) * there[:, None])
        if readout == "additive":
            each = model.readout.head(h) / model.readout.points * there[:, None]
            return torch.stack([each[:4].sum(0), each[4:].sum(0)]) + model.readout.bias
        return model.readout.head(torch.stack([(h * there[:, None])[:4].sum(0), (h * there[:, None])[4:].sum(0)]))

    steps, byhand = 60, torch.zeros(10, 2, dtype=torch.float64)
    for k in range(steps):
        for point in range(10):
            there = torch.full((10,), (k + 0.5) / steps, dtype=torch.float64)
            up, down = there.clone(), there.clone()
            up[point] += 1e-5
            down[point] -= 1e-5
            byhand[point] += (faded(up) - faded(down))[0 if point < 4 else 1] / 2e-5 / steps
    found = model.contributions(clouds, table)
    assert torch.allclose(found, byhand, atol=0.02 * float(byhand.abs().max()))
    few = through_network(4, backbone, readout=readout).contributions(clouds, table)
    ends = model.logits(clouds, table) - model.readout.baseline()
    assert torch.allclose(torch.stack([few[:4].sum(0), few[4:].sum(0)]), ends, atol=1e-12)  # whatever the nodes miss


def test_only_what_is_asked_is_computed_and_it_is_the_same(random_clouds):
    clouds = random_clouds((4, 1, 0, 6), features=2)
    model = through_network(3, task="mixed")
    table = model.neighbors(clouds)
    whole = model.contributions(clouds, table)
    assert whole.shape == (11, 6)
    assert torch.equal(model.contributions(clouds, table, [4, 1]), whole[:, [4, 1]])
    with torch.no_grad():
        assert torch.equal(model.contributions(clouds, table), whole)


class Heard(Backbone):
    """Each point knows what its neighbours are, and nothing of itself."""

    citation = "none"

    def layer(self):
        return Listening()


class Listening(nn.Module):
    def forward(self, h, where, neighbors, weight):
        return (neighbors.gather(h) * (neighbors.index != torch.arange(len(h))[:, None])[..., None]).sum(1)


def test_what_a_neighbour_told_is_the_neighbours_as_well(random_clouds):
    """A sum of products e_u e_v of who is told and who tells: half each. The readout alone gives all to who is told."""
    clouds = random_clouds((2,), features=1).replace(features=torch.tensor([[3.0], [0.0]], dtype=torch.float64))
    options = {"rule": NeighborRule("knn", 2), "readout": "additive", "dropout": 0.0}
    found = {}
    for through in ("readout", "network"):
        model = methods["erm"].make(lambda: Heard(3, (), 1, hidden=1, layers=1, dropout=0.0), Targets.of("regression"),
                                    through=through, nodes=1, **options).double().eval()
        model.readout.head = nn.Linear(1, 1, bias=False).double()
        for parameter in (model.encoder.features.weight, model.readout.head.weight):
            nn.init.ones_(parameter)
        nn.init.zeros_(model.encoder.features.bias)
        found[through] = model.contributions(clouds, model.neighbors(clouds))[:, 0].tolist()
    assert found == {"readout": [0.0, 3.0], "network": [1.5, 1.5]}


@pytest.mark.parametrize("options", [{"through": "both"}, {"nodes": 0}])
def test_sharing_that_cannot_be_is_refused(options):
    with pytest.raises(PellucidError, match=r"expected through to be readout or network|expected at least 1 node"):
        methods["erm"].make(lambda: backbones["egnn"](), Targets.of("binary"), **options)


def test_contributions_of_a_method_without_are_refused(random_clouds):
    model, clouds = build("lri-gaussian"), random_clouds((3,))
    with pytest.raises(PellucidError, match="expected a method whose importance is contributions, got LRIGaussian"):
        model.contributions(clouds, model.neighbors(clouds))


@pytest.mark.parametrize("name", [n for n in sorted(methods) if n != "erm"])
def test_every_method_reads_wider_embeddings(name, random_clouds):
    clouds = random_clouds((4, 6), dtype=torch.float32)
    model = methods[name].make(lambda: backbones["egnn"](3, hidden=8, layers=2, read_all=True),
                               Targets.of("binary")).eval()
    output = model(clouds, model.neighbors(clouds))
    assert output.logits.shape == (2, 1)
    assert output.importance.shape == (10,)
