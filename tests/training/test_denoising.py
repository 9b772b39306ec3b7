"""Denoising: what is told is an equivariant gradient, what can be known is learned, and a run without y is sane."""

import json

import pytest
import torch
from toy import toy_clouds, toy_config

from pellucid.backbones import Backbone, Embedding, backbones
from pellucid.clouds import PointClouds
from pellucid.commands.explaining import ExplainedRun
from pellucid.commands.reporting import report_run
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.methods import NeighborRule, methods
from pellucid.spec import DataSpec
from pellucid.targets import Targets
from pellucid.testing import small_clouds
from pellucid.testing.samples import orthogonal
from pellucid.training import RunConfig, train
from pellucid.training.batches import Batches
from pellucid.training.config import merge
from pellucid.training.objectives.denoising import Denoising

SPEC = DataSpec.of(small_clouds(), Targets.unlabelled(), category_sizes=(5,))


def erm(make, k=4):
    torch.manual_seed(0)
    return methods["erm"].make(make, Targets.unlabelled(), rule=NeighborRule("knn", k)).double()


def unlabelled(count=60, seed=0):
    clouds = toy_clouds(count, seed)
    return PointClouds(clouds.ptr, {name: clouds[name] for name in ("pos", "categories", "split")},
                       units={"pos": "angstrom"})


@pytest.mark.parametrize("name", ["egnn", "schnet"])
def test_the_noise_that_is_told_turns_with_the_cloud_and_is_a_gradient(name):
    model = erm(lambda: backbones[name](3, (5,), 2, hidden=8, layers=2, dropout=0.0)).eval()
    objective = Denoising(model, SPEC, sigma=0.1).double()
    clouds, turn = small_clouds(), orthogonal(3, reflect=True)
    told = objective.tell(model, clouds)
    torch.testing.assert_close(objective.tell(model, clouds.rotate(turn)), told @ turn.t())
    table, step = model.neighbors(clouds), 1e-6

    @torch.no_grad()
    def energy(pos):
        return float(objective.energy(model.encode(clouds, table, pos=pos).scalars).sum())

    for point, axis in ((0, 0), (5, 2), (12, 1)):
        off = torch.zeros_like(clouds.pos)
        off[point, axis] = step
        slope = (energy(clouds.pos + off) - energy(clouds.pos - off)) / (2 * step)
        assert slope * objective.length == pytest.approx(float(told[point, axis].detach()), abs=1e-6)


class Steerable(Backbone):
    """Two vectors a point: sums of directions, weighted by what the distance says."""

    citation = "none"
    sees_direction, equivariant, vector_width = False, True, 2

    def layer(self):
        return torch.nn.Linear(self.edges.width, 2)

    def forward(self, clouds, neighbors, *, pos=None, **_):
        from pellucid.backbones import geometry

        where = geometry(clouds.pos if pos is None else pos, neighbors)
        weights = self.layers[0](self.edges(where))
        vectors = weights[..., :, None] * where.direction[..., None, :]
        total = torch.zeros(clouds.points, 2, 3, dtype=vectors.dtype).index_add(0, neighbors.targets,
                                                                              vectors.reshape(-1, 2, 3))
        return Embedding(self.encode(clouds), total)


def test_vectors_are_read_by_a_linear_map():
    model = erm(lambda: Steerable(3, (5,), 2, hidden=8, layers=1)).eval()
    objective = Denoising(model, SPEC).double()
    assert objective.energy is None
    clouds, turn = small_clouds(), orthogonal(3)
    told = objective.tell(model, clouds)
    vectors = model.encode(clouds, model.neighbors(clouds)).vectors
    torch.testing.assert_close(told, torch.einsum("v,pvd->pd", objective.vectors.weight[0], vectors))
    torch.testing.assert_close(objective.tell(model, clouds.rotate(turn)), told @ turn.t())


def test_what_can_be_known_of_a_pair_is_learned():
    """Of two points at a known distance noise is seen along their axis alone: a third of it, for small sigma."""
    torch.manual_seed(0)
    axis = torch.nn.functional.normalize(torch.randn(128, 3, dtype=torch.float64), dim=1)
    pairs = PointClouds(torch.arange(0, 257, 2), {"pos": torch.stack([-axis / 2, axis / 2], 1).view(-1, 3)})
    spec = DataSpec.of(pairs, Targets.unlabelled())
    model = erm(lambda: backbones["schnet"](3, hidden=16, layers=1, dropout=0.0, radial=30, cutoff=2.0), k=2)
    objective = Denoising(model, spec, sigma=0.05, unit="length").double()
    optimizer = torch.optim.Adam([*model.encoder.parameters(), *objective.parameters()], 1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        loss = objective.step(model.train(), pairs, model.neighbors(pairs), joint=True, epoch=0).loss
        loss.backward()
        optimizer.step()
    batches = Batches(pairs, model.neighbors(pairs), 50)
    found = objective.measure(model.eval(), batches)
    assert found["explained"] == pytest.approx(1 / 3, abs=0.05)
    assert found["loss"] == pytest.approx(1 / 2 * 2 / 3, abs=0.05)
    moved, eps = objective.noisy(pairs, torch.randn_like(pairs.pos))
    apart = (moved.pos[1::2] - moved.pos[::2]).norm(dim=1, keepdim=True)
    expected = (moved.pos[1::2] - moved.pos[::2]) / apart * (apart - 1) / (2 * 0.05)
    assert float((objective.tell(model, moved).detach()[1::2] - expected).abs().mean()) < 0.2
    assert float(eps.view(-1, 2, 3).sum(1).abs().max()) < 1e-12


def test_a_run_without_targets(tmp_path):
    config = RunConfig.parse(merge(toy_config("erm", warmup=0, epochs=3).model_dump(mode="json"),
                                   {"objective": {"name": "denoising"}, "backbone": {"dropout": 0.0}}))
    data = unlabelled()
    run = train(config, data, tmp_path / "run", DataSpec.of(data, Targets.unlabelled()), progress=False)
    assert set(run.metrics) == {"denoising", "selected_epoch", "seconds"}
    assert 0 < run.metrics["denoising"]["loss"] < 1.2
    assert run.explanation is None
    history = json.loads((run.folder / "history.json").read_text())
    assert run.metrics["selected_epoch"] == min(history, key=lambda entry: entry["val_loss"])["epoch"]
    page = report_run(run).read_text()
    assert "learned an encoder by denoising" in page
    with pytest.raises(PellucidError, match=r"expected a run that learned to predict.*encoder\.from="):
        ExplainedRun.open(run.folder, torch.device("cpu"), "gradgeo")


@pytest.mark.parametrize(("change", "error", "match"), [
    ({"training": {"warmup": 1}}, PellucidError, "training.warmup=0"),
    ({"objective": {"options": {"sigma": 0.0}}}, PellucidError, "positive sigma"),
    ({"objective": {"options": {"unit": "mm"}}}, PellucidError, "unit=neighbors or unit=length"),
    ({"objective": {"options": {"sigmo": 0.1}}}, UnknownNameError, "did you mean 'sigma'"),
    ({"objective": {"name": "denoisin"}}, UnknownNameError, "did you mean 'denoising'"),
    ({"objective": {"name": "supervised"}}, PellucidError, "expected clouds with y"),
])
def test_refusals_before_any_work(tmp_path, change, error, match):
    base = merge(toy_config("erm", warmup=0, epochs=1).model_dump(mode="json"), {"objective": {"name": "denoising"}})
    data = unlabelled(20)
    with pytest.raises(error, match=match):
        train(RunConfig.parse(merge(base, change)), data, tmp_path / "run", DataSpec.of(data, Targets.unlabelled()),
              progress=False)
    assert not (tmp_path / "run").exists()
