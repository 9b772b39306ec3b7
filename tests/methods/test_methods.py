"""What every registered method must do; a new one is covered by being registered."""

import pytest
import torch

from pellucid.backbones import backbones
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.methods import NeighborRule, Output, methods
from pellucid.targets import Targets

NAMES = list(methods)
BACKBONES = list(backbones)
TASKS = ["binary", "two binary", "multiclass", "regression"]

pytestmark = pytest.mark.parametrize("name", NAMES)


def close(a, b, tolerance=1e-9):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# -- shapes, losses, gradients ------------------------------------------------------------------------------------
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_task_trains_on_every_backbone(name, backbone, task, training, method, target, random_clouds):
    model = method(name, task, backbone=backbone, categories=(4,)).train(training)
    if model.task.kind not in model.supports.tasks:
        pytest.skip(f"{name} does not take {task}")
    clouds = random_clouds((7, 1, 9, 3), categories=(4,))
    out = model(clouds, model.neighbors(clouds), epoch=3, generator=seeded())
    assert isinstance(out, Output)
    assert out.logits.shape == (4, model.task.outputs)
    loss = model.task.loss(out.logits, target(task, 4))
    if out.penalty is not None:
        assert out.penalty.shape == ()
        loss = loss + out.penalty
    loss.backward()
    assert bool(loss.isfinite())
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert bool(parameter.grad.isfinite().all()), key
    assert not any(part.requires_grad for part in out.parts.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [(1,), (1, 1), (0, 5, 0), (2, 3)], ids=str)
@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize("training", [False, True])
def test_degenerate_clouds_give_finite_losses(name, sizes, spread, training, dtype, method, random_clouds):
    model = method(name, dtype=dtype).train(training)
    clouds = random_clouds(sizes, dtype=dtype)
    clouds = clouds.replace(pos=clouds.pos * spread)
    out = model(clouds, model.neighbors(clouds), generator=seeded())
    loss = out.logits.square().sum() + (0 if out.penalty is None else out.penalty)
    loss.backward()
    assert bool(loss.isfinite())
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())


def test_a_batch_without_any_point_is_no_nan(name, method, random_clouds):
    model = method(name)
    clouds = random_clouds((0, 0))
    out = model(clouds, model.neighbors(clouds), generator=seeded())
    assert bool(out.logits.isfinite().all())
    assert out.penalty is None or bool(out.penalty.isfinite())


def test_what_is_declared_is_given(name, method, random_clouds):
    model = method(name)
    clouds = random_clouds()
    with torch.no_grad():
        out = model(clouds, model.neighbors(clouds), generator=seeded())
    assert (out.importance is not None) == model.supports.importance
    assert (out.covariance is not None) == model.supports.directions
    if out.importance is not None:
        assert out.importance.shape == (clouds.points,)
        assert not out.importance.requires_grad
    if out.covariance is not None:
        assert out.covariance.shape == (clouds.points, 3, 3)
        assert bool((torch.linalg.eigvalsh(out.covariance) > 0).all())
    assert (model.importance_name == "importance") == (not model.supports.importance), "name the number"


# -- symmetries ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("backbone", BACKBONES)
def test_permuted_points_change_no_logit_and_permute_the_importance(name, backbone, method, random_clouds):
    clouds = random_clouds((7, 1, 9), features=2)
    order = torch.cat([torch.randperm(n, generator=seeded(3)) + start
                       for start, n in zip(clouds.ptr.tolist(), clouds.sizes.tolist(), strict=False)])
    shuffled = clouds.replace(**{key: clouds[key][order] for key in clouds.names})
    model = method(name, backbone=backbone, features=2)
    table, new_table = model.neighbors(clouds), model.neighbors(shuffled)
    close(model.plain(shuffled, new_table).logits, model.plain(clouds, table).logits)
    importance = model(clouds, table, generator=seeded()).importance
    if importance is not None:
        close(model(shuffled, new_table, generator=seeded()).importance, importance[order])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_cloud_does_not_see_its_batch_mates(name, backbone, method, random_clouds):
    clouds = random_clouds((7, 3, 9), features=2)
    model = method(name, backbone=backbone, features=2)
    together = model.plain(clouds, model.neighbors(clouds)).logits
    importance = model(clouds, model.neighbors(clouds), generator=seeded()).importance
    for i in range(3):
        one = clouds.select(torch.tensor([i]))
        close(model.plain(one, model.neighbors(one)).logits, together[i : i + 1])
        if importance is not None:
            alone = model(one, model.neighbors(one), generator=seeded()).importance
            close(alone, importance[clouds.ptr[i] : clouds.ptr[i + 1]])


def test_logits_and_importance_do_not_rotate_with_an_invariant_backbone(name, method, random_clouds):
    clouds = random_clouds(features=2)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=seeded(1), dtype=torch.float64))[0]
    moved = clouds.replace(pos=clouds.pos @ rotation + 2.0)
    model = method(name, backbone="egnn", features=2)
    close(model.plain(moved, model.neighbors(moved)).logits, model.plain(clouds, model.neighbors(clouds)).logits)
    importance = model(clouds, model.neighbors(clouds), generator=seeded()).importance
    if importance is not None:
        close(model(moved, model.neighbors(moved), generator=seeded()).importance, importance)


# -- randomness ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("training", [False, True])
def test_the_generator_decides_all_the_noise(name, training, method, random_clouds):
    clouds = random_clouds()
    model = method(name).train(training)
    table = model.neighbors(clouds)
    torch.manual_seed(1)
    first = model(clouds, table, generator=seeded(5))
    torch.manual_seed(2)
    second = model(clouds, table, generator=seeded(5))
    assert torch.equal(first.logits, second.logits)
    assert (first.penalty is None) == (second.penalty is None)
    assert first.penalty is None or torch.equal(first.penalty, second.penalty)
    third = model(clouds, table, generator=seeded(6))
    if first.importance is not None:
        close(third.importance, first.importance)
        assert training is False or not torch.allclose(third.logits, first.logits), "noise is injected in training"


# -- nothing is injected ------------------------------------------------------------------------------------------
def test_a_pass_in_eval_mode_leaves_model_and_clouds_alone(name, method, random_clouds):
    clouds = random_clouds(features=2)
    model = method(name, features=2)
    table = model.neighbors(clouds)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    copies = {key: clouds[key].clone() for key in clouds.names}
    model(clouds, table, generator=seeded())
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(torch.equal(clouds[key], copies[key]) for key in copies)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())


# -- refusals -----------------------------------------------------------------------------------------------------
def test_clouds_that_cannot_be_used_are_refused(name, method, random_clouds):
    model = method(name)
    clouds = random_clouds()
    assert model.refuse(clouds) is None
    with pytest.raises(PellucidError, match="dimension 3, got 2"):
        model.refuse(random_clouds(dim=2))
    with pytest.raises(PellucidError, match="got none"):
        model.refuse(PointClouds(clouds.ptr, {"features": torch.zeros(clouds.points, 1)}))
    for bad in (float("nan"), float("inf")):
        pos = clouds.pos.clone()
        pos[8, 1] = bad
        with pytest.raises(PellucidError, match="cloud 1"):
            model.refuse(clouds.replace(pos=pos))
    two = PointClouds(clouds.ptr, {"pos": clouds.pos}, partner=random_clouds(seed=1))
    with pytest.raises(PellucidError, match="expected samples of one cloud, as the model was trained on, got two"):
        model.refuse(two)


@pytest.mark.parametrize("options", [{"scale": 0.0}, {"scale": -1.0}, {"scale": float("nan")}, {"dropout": 1.0},
                                     {"dropout": -0.1}])
def test_bad_options_are_refused(name, options, method):
    with pytest.raises(PellucidError, match=next(iter(options))):
        method(name, **options)


@pytest.mark.parametrize(("kind", "value"), [("knn", 0), ("knn", -1), ("radius", 0.0), ("radius", float("nan")),
                                             ("grid", 3), ("knn", 0.5), ("knn", 2.5),
                                             ("knn", float("inf"))])
def test_bad_neighbour_rules_are_refused(name, kind, value, method):
    with pytest.raises(PellucidError):
        method(name, rule=NeighborRule(kind, value))


def test_tasks_that_are_not_supported_are_refused(name, monkeypatch):
    monkeypatch.setattr(methods[name], "supports", type(methods[name].supports)(tasks=("binary",)))
    with pytest.raises(PellucidError, match="out of binary, got regression"):
        methods[name].make(lambda: backbones["egnn"](), Targets.of("regression"))


# -- units and neighbourhoods -------------------------------------------------------------------------------------
def test_the_scale_multiplies_the_coordinates(name, method, random_clouds):
    clouds = random_clouds()
    table = NeighborRule("knn", 4)(clouds)
    scaled = clouds.replace(pos=clouds.pos * 3)
    options = {"neighbor_distance": 3.0} if name in ("lri-gaussian", "joint") else {}  # phi knows the unit
    expected = method(name, **options)(scaled, table, generator=seeded())
    got = method(name, scale=3.0)(clouds, table, generator=seeded())
    close(got.logits, expected.logits)
    if got.importance is not None:
        close(got.importance, expected.importance)


def test_neighbour_rules_reach_the_table(name, method, random_clouds):
    clouds = random_clouds()
    knn_table = method(name, rule=NeighborRule("knn", 3, loop=False)).neighbors(clouds)
    assert knn_table.k == 3
    assert not bool((knn_table.index == torch.arange(clouds.points)[:, None]).any())
    table = method(name, rule=NeighborRule("radius", 1.5)).neighbors(clouds)
    assert bool((table.index[:, 0] == torch.arange(clouds.points)).all())
    length = (clouds.pos[table.index] - clouds.pos[:, None]).norm(dim=-1)
    assert bool((length <= 1.5).all())
