"""What every registered method must do; a new one is covered by being registered."""

from dataclasses import fields

import pytest
import torch
from small_models import TASKS, build, noisy

from pellucid.backbones import backbones
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.methods import NeighborRule, Output, methods
from pellucid.methods.base import Common
from pellucid.randomness import CloudRandom
from pellucid.targets import Targets

NAMES = list(methods)
BACKBONES = list(backbones)

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
    clouds = random_clouds((7, 1, 9, 3), categories=(4,))
    out = model(clouds, model.neighbors(clouds), epoch=3)
    assert isinstance(out, Output)
    assert out.logits.shape == (4, model.targets.outputs)
    loss = model.targets.loss(out.logits, target(task, 4))
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
    out = model(clouds, model.neighbors(clouds))
    loss = out.logits.square().sum() + (0 if out.penalty is None else out.penalty)
    loss.backward()
    assert bool(loss.isfinite())
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())


def test_a_batch_without_any_point_is_no_nan(name, method, random_clouds):
    model = method(name)
    clouds = random_clouds((0, 0))
    out = model(clouds, model.neighbors(clouds))
    assert bool(out.logits.isfinite().all())
    assert out.penalty is None or bool(out.penalty.isfinite())


@pytest.mark.parametrize("readout", ["pooled", "additive", "interacting"])
@pytest.mark.parametrize("task", ["binary", "mixed"])
def test_targets_of_points_train_and_are_read_at_each_point(name, task, readout, method, random_clouds):
    spec = Targets(tuple(type(t)(**{**vars(t), "level": "point"}) for t in TASKS[task]))
    model = method(name, spec, categories=(4,), readout=readout).train()
    clouds = random_clouds((7, 1, 9, 0), categories=(4,))
    out = model(clouds, model.neighbors(clouds))
    assert out.logits.shape == (17, spec.outputs)
    y = torch.arange(17 * len(spec)).reshape(17, -1).remainder(2).double()
    y[3] = float("nan")
    loss = spec.loss(out.logits, y) + (0 if out.penalty is None else out.penalty)
    loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())
    assert (out.importance is not None) == model.explains
    assert not model.signed, "contributions are shares of a sum, and nothing is summed here"


@pytest.mark.parametrize("readout", ["pooled", "additive", "interacting"])
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("edge_directions", [False, True])
def test_what_is_declared_is_given(name, backbone, edge_directions, readout, method, random_clouds):
    model = method(name, "mixed", backbone=backbone, readout=readout, encoder={"edge_directions": edge_directions})
    clouds = random_clouds()
    with torch.no_grad():
        out = model(clouds, model.neighbors(clouds))
    assert model.explains == (model.supports.importance or readout != "pooled")
    assert model.signed == (name == "erm" and readout != "pooled")
    assert (out.importance is not None) == (model.explains and not model.signed)
    if model.signed:
        assert model.contributions(clouds, model.neighbors(clouds)).shape == (clouds.points, 6)
    sees = model.encoder.directions == "coordinates"
    assert (out.covariance is not None) == (model.supports.directions and sees)
    assert (out.radius is not None) == (model.supports.directions and not sees)
    if out.importance is not None:
        assert out.importance.shape == (clouds.points,)
        assert not out.importance.requires_grad
    if out.covariance is not None:
        assert out.covariance.shape == (clouds.points, 3, 3)
        assert bool((torch.linalg.eigvalsh(out.covariance) > 0).all())
    if out.radius is not None:
        assert out.radius.shape == (clouds.points,)
        assert bool((out.radius > 0).all())
    assert model.importance_name != "importance", "name the number"


def test_flat_options_reach_their_group_and_others_are_refused(name):
    make = methods[name].make
    with pytest.raises(UnknownNameError, match=r"readuot.*did you mean 'readout'"):
        make(lambda: backbones["egnn"](), Targets.of("binary"), readuot="additive")
    with pytest.raises(PellucidError, match="readout out of pooled, additive, interacting, got 'pointwise'"):
        make(lambda: backbones["egnn"](), Targets.of("binary"), readout="pointwise")
    known = methods[name].known_options()
    assert len(known) == sum(len(fields(kind)) for kind in methods[name].option_groups.values()), "names differ"
    flat = make(lambda: backbones["egnn"](), Targets.of("binary"), scale=2.5, readout="additive")
    grouped = methods[name](lambda: backbones["egnn"](), Targets.of("binary"), Common(scale=2.5, readout="additive"))
    for model in (flat, grouped):
        assert model.scale == 2.5
        assert model.readout.kind == "additive"


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
    importance = model(clouds, table).importance
    if importance is not None:
        close(model(shuffled, new_table).importance, importance[order])
        close(model(shuffled, new_table).logits, model(clouds, table).logits)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_cloud_does_not_see_its_batch_mates(name, backbone, method, random_clouds):
    """Nor what noise they draw: the same cloud moves alike alone, in a batch, and in another place of it."""
    clouds = random_clouds((7, 3, 9), features=2)
    model = method(name, "mixed", backbone=backbone, features=2)
    plain = model.plain(clouds, model.neighbors(clouds)).logits
    together, moved = model(clouds, model.neighbors(clouds)), noisy(model, clouds, 3)
    for chosen in ([0], [1], [2], [2, 0], [1, 2, 0]):
        places = torch.tensor(chosen)
        some = clouds.select(places)
        rows = torch.cat([torch.arange(clouds.ptr[i], clouds.ptr[i + 1]) for i in chosen])
        close(model.plain(some, model.neighbors(some)).logits, plain[places])
        out, noise = model(some, model.neighbors(some)), noisy(model, some, 3)
        close(out.logits, together.logits[places])
        close(noise.logits, moved.logits[places])
        if together.importance is not None:
            close(out.importance, together.importance[rows])


def test_logits_and_importance_do_not_rotate_with_an_invariant_backbone(name, method, random_clouds):
    clouds = random_clouds(features=2)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=seeded(1), dtype=torch.float64))[0]
    moved = clouds.replace(pos=clouds.pos @ rotation + 2.0)
    model = method(name, backbone="egnn", features=2)
    close(model.plain(moved, model.neighbors(moved)).logits, model.plain(clouds, model.neighbors(clouds)).logits)
    with torch.no_grad():
        before, after = (model(x, model.neighbors(x)) for x in (clouds, moved))
    if name != "pointmask":  # which moves points towards the origin
        close(after.logits, before.logits)
    turned = clouds.replace(pos=clouds.pos @ rotation)
    close(model(turned, model.neighbors(turned)).logits, before.logits)
    assert (before.importance is None) == (not model.explains)
    if before.importance is not None:
        close(after.importance, before.importance)
    assert (before.radius is None) == (not model.supports.directions)
    if before.radius is not None:
        close(after.radius, before.radius)


# -- randomness ---------------------------------------------------------------------------------------------------
def test_in_training_pytorchs_own_numbers_decide_all_the_noise(name, method, random_clouds):
    clouds = random_clouds()
    model = method(name).train()
    table, state = model.neighbors(clouds), {k: v.clone() for k, v in model.state_dict().items()}
    outs = []
    for seed in (5, 5, 6):
        model.load_state_dict(state)
        torch.manual_seed(seed)
        outs.append(model(clouds, table))
    first, second, third = outs
    assert torch.equal(first.logits, second.logits)
    assert (first.penalty is None) == (second.penalty is None) == (not model.supports.importance)
    assert first.penalty is None or torch.equal(first.penalty, second.penalty)
    if first.importance is not None:
        close(third.importance, first.importance)
        assert not torch.allclose(third.logits, first.logits), "noise is injected in training"


def test_a_prediction_draws_nothing(name, method, random_clouds):
    clouds, model = random_clouds(), method(name)
    state = torch.get_rng_state()
    first = model(clouds, model.neighbors(clouds))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(77)
    second = model(clouds, model.neighbors(clouds))
    assert torch.equal(first.logits, second.logits)
    assert first.importance is None or torch.equal(first.importance, second.importance)


def test_noise_can_be_injected_into_a_prediction(name, method, random_clouds):
    """It moves the logits and nothing else, and the seed and the clouds' own content decide it."""
    clouds, model = random_clouds(), method(name)
    state = torch.get_rng_state()
    with torch.no_grad():
        quiet, one, same, other = (model(clouds, model.neighbors(clouds)), noisy(model, clouds, 5),
                                   noisy(model, clouds, 5), noisy(model, clouds, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.logits, same.logits)
    if not model.supports.importance:
        assert torch.equal(one.logits, quiet.logits)
        return
    assert not torch.allclose(one.logits, other.logits)
    assert not torch.allclose(one.logits, quiet.logits)
    close(one.importance, quiet.importance)
    for given in ("covariance", "radius"):
        assert getattr(quiet, given) is None or torch.equal(getattr(one, given), getattr(quiet, given))


def test_a_stream_of_numbers_goes_on(name, method, random_clouds):
    """Two passes over one stream differ; a new stream starts over."""
    clouds, model = random_clouds(), method(name)
    table, random = model.neighbors(clouds), CloudRandom(clouds, 1)
    one, two = (model(clouds, table, random=random).logits for _ in range(2))
    assert torch.equal(one, noisy(model, clouds, 1).logits)
    assert torch.equal(one, two) == (not model.supports.importance)


# -- nothing is injected ------------------------------------------------------------------------------------------
def test_a_pass_in_eval_mode_leaves_model_and_clouds_alone(name, method, random_clouds):
    clouds = random_clouds(features=2)
    model = method(name, features=2)
    table = model.neighbors(clouds)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    copies = {key: clouds[key].clone() for key in clouds.names}
    model(clouds, table)
    noisy(model, clouds)
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
    with pytest.raises(PellucidError, match=r"got (none|clouds without)"):
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
    monkeypatch.setattr(methods[name], "supports", type(methods[name].supports)(kinds=("binary",)))
    with pytest.raises(PellucidError, match="out of binary, got the regression 'y'; choose another method"):
        methods[name].make(lambda: backbones["egnn"](), Targets.of("regression"))
    monkeypatch.setattr(methods[name], "supports", type(methods[name].supports)(levels=("cloud",)))
    with pytest.raises(PellucidError, match="expected targets of a cloud, got targets of a point"):
        build(name, Targets.of("binary", level="point"))


# -- units and neighbourhoods -------------------------------------------------------------------------------------
def test_the_scale_multiplies_the_coordinates(name, method, random_clouds):
    clouds = random_clouds()
    table = NeighborRule("knn", 4)(clouds)
    scaled = clouds.replace(pos=clouds.pos * 3)
    options = {"neighbor_distance": 3.0} if name in ("lri-gaussian", "joint") else {}  # phi knows the unit
    expected = method(name, **options)(scaled, table)
    got = method(name, scale=3.0)(clouds, table)
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
