"""Groups of points that share one perturbation: against loops, by hand, and in a training."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest
import torch
from small_models import noisy
from torch.distributions import Bernoulli, MultivariateNormal, kl_divergence

from pellucid.clouds import Field, PointClouds
from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.explanation import Explanation
from pellucid.grouping import Grouping
from pellucid.methods import methods
from pellucid.metrics.groups import group_precision_at
from pellucid.spec import DataSpec
from pellucid.targets import Targets
from pellucid.training import load_model, train
from pellucid.training.explaining import explain_clouds

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from toy import toy_clouds, toy_config

BOTH = {"joint": {"noise": "both"}, "lri-bernoulli": {}, "lri-gaussian": {}}
LRI = list(BOTH)
SPHERES, ELLIPSOIDS = "egnn", "dgcnn"
"""Backbones whose noise has a radius, and whose noise has axes."""
SIZES = (7, 1, 9)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def with_ids(clouds, seed=0, field="group", ids=None):
    """Random groups of about three points, a fifth of the points on their own; ids repeat among clouds."""
    if ids is None:
        ids = torch.randint(0, 3, (clouds.points,), generator=seeded(seed)) * 5
        ids[torch.rand(clouds.points, generator=seeded(seed + 1)) < 0.2] = -1
    return clouds.replace(**{field: ids})


def rows_of(clouds, field="group"):
    """The rows of each group, in the order of the first ones, by a plain loop."""
    found = {}
    for row, (cloud, group) in enumerate(zip(clouds.batch.tolist(), clouds[field].tolist(), strict=True)):
        found.setdefault((cloud, group) if group >= 0 else row, []).append(row)
    return list(found.values())


# -- the index ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", [SIZES, (0, 4, 0, 1), (1,), (0, 0), (40, 30)], ids=str)
def test_index_and_sums_against_a_loop(sizes, seed, random_clouds):
    clouds = with_ids(random_clouds(sizes), seed)
    rows = rows_of(clouds)
    by = Grouping(clouds, "group")
    assert by.count == len(rows)
    assert by.first.tolist() == [r[0] for r in rows]
    assert by.sizes.tolist() == [len(r) for r in rows]
    for group, r in enumerate(rows):
        assert by.index[r].tolist() == [group] * len(r)
    for shape in ((), (3,), (2, 3)):
        values = torch.randn(clouds.points, *shape, generator=seeded(seed), dtype=torch.float64)
        means = [values[r].mean(0) for r in rows]
        torch.testing.assert_close(by.mean(values), torch.stack(means) if means else values)
        torch.testing.assert_close(by.sum(values), torch.stack([values[r].sum(0) for r in rows]) if rows else values)
        each = torch.randn(by.count, *shape, generator=seeded(seed), dtype=torch.float64)
        assert torch.equal(by.spread(each), each[by.index])


def test_gradients(random_clouds):
    by = Grouping(with_ids(random_clouds()), "group")
    values = torch.randn(20, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(by.mean, (values,))
    assert torch.autograd.gradcheck(by.sum, (values,))
    each = torch.randn(by.count, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(by.spread, (each,))


def test_second_derivatives(random_clouds):
    by = Grouping(with_ids(random_clouds((4, 3))), "group")
    values = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    each = torch.randn(by.count, 2, 2, dtype=torch.float64, requires_grad=True)
    for function, inputs in ((by.mean, values), (by.sum, values), (by.spread, each)):
        assert torch.autograd.gradgradcheck(lambda x, f=function: f(x).square(), inputs)


def test_without_a_field_values_pass_untouched(random_clouds):
    clouds = random_clouds()
    by = Grouping(clouds)
    values = torch.randn(20, 2)
    assert by.index is None
    assert by.count == 20
    assert by.first.tolist() == list(range(20))
    assert by.sizes.tolist() == [1] * 20
    assert by.mean(values) is values
    assert by.sum(values) is values
    assert by.spread(values) is values


def test_half_precision_is_summed_in_float32(random_clouds):
    by = Grouping(with_ids(random_clouds((300,)), ids=torch.zeros(300, dtype=torch.int64)), "group")
    values = torch.full((300, 1), 1.0, dtype=torch.bfloat16)  # bfloat16 cannot count beyond 256
    assert by.sum(values).tolist() == [[300.0]]


# -- what is shared -----------------------------------------------------------------------------------------------
def perturbed(model, clouds, seed=0):
    """What the classifier's encoder was given in the perturbed pass: moves (points, D) and mask (points,), or None."""
    seen = []
    hook = model.encoder.register_forward_pre_hook(lambda m, a, kw: seen.append(kw), with_kwargs=True)
    if model.training:
        torch.manual_seed(seed)
        model(clouds, model.neighbors(clouds))
    else:
        noisy(model, clouds, seed)
    hook.remove()
    return seen[-1]["pos"] - clouds.pos * model.scale, seen[-1].get("point_weight")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("backbone", [SPHERES, ELLIPSOIDS])
@pytest.mark.parametrize("name", LRI)
def test_a_group_has_one_mask_and_moves_as_one(name, backbone, training, method, random_clouds):
    clouds = with_ids(random_clouds())
    options = {"backbone": backbone, "groups": "group", "scale": 2.0, **BOTH[name]}
    moves, mask = perturbed(method(name, **options).train(training), clouds)
    rows = rows_of(clouds)
    if name != "lri-gaussian":
        assert all(len(set(mask[r].tolist())) == 1 for r in rows), "exactly equal"
        assert len(set(mask.tolist())) == len(rows), "groups differ"
    if name != "lri-bernoulli":
        # up to the rounding of moved coordinates, from which the move is taken
        assert all(float((moves[r] - moves[r[0]]).detach().abs().max()) < 1e-12 for r in rows)
        assert all(float((moves[a[0]] - moves[b[0]]).detach().abs().max()) > 1e-3
                   for a, b in itertools.combinations(rows, 2))
        again, _ = perturbed(method(name, **options).train(training), clouds, seed=1)
        assert not torch.allclose(again, moves)


@pytest.mark.parametrize("backbone", [SPHERES, ELLIPSOIDS])
@pytest.mark.parametrize("name", LRI)
def test_importance_radius_and_covariance_are_those_of_the_group(name, backbone, method, random_clouds):
    clouds = with_ids(random_clouds())
    model = method(name, backbone=backbone, groups="group", scale=2.0)
    table = model.neighbors(clouds)
    with torch.no_grad():
        out = model(clouds, table)
        raw = model.interpret(clouds, table)
    for r in rows_of(clouds):
        mean = raw[r].mean(0, keepdim=True)
        expected, logit = 0.0, mean[0, -1] if name == "joint" else mean[0, 0]
        if name != "lri-bernoulli":
            noise = model.noise(mean[:, :-1] if name == "joint" else mean)
            if backbone == SPHERES:
                torch.testing.assert_close(out.radius[r], (noise.radius() / 2).expand(len(r)))
            else:
                torch.testing.assert_close(out.covariance[r], (noise.covariance() / 4).expand(len(r), -1, -1))
            expected = -noise.log_det()[0]
        if name != "lri-gaussian":
            expected = logit.sigmoid() if name == "lri-bernoulli" else expected + logit
        torch.testing.assert_close(out.importance[r], expected.expand(len(r)))
        assert all(len(set(column[r].tolist())) == 1 for column in out.columns.values())
        assert len(set(out.importance[r].tolist())) == 1


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("backbone", [SPHERES, ELLIPSOIDS])
@pytest.mark.parametrize("name", LRI)
def test_kl_counts_each_group_once(name, backbone, training, method, random_clouds):
    clouds = with_ids(random_clouds())
    weights = {"beta": 0.5, **({"beta_existence": 0.25} if name == "joint" else {})}
    model = method(name, backbone=backbone, groups="group", **weights, **BOTH[name])
    model.train(training)
    table = model.neighbors(clouds)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    raw = model.interpret(clouds, table).detach()
    model.load_state_dict(state)
    exists, placed = [], []
    for r in rows_of(clouds):
        mean = raw[r].mean(0, keepdim=True)
        prior = Bernoulli(probs=torch.tensor(0.9, dtype=torch.float64))
        exists.append(kl_divergence(Bernoulli(logits=mean[0, -1]), prior))
        if name != "lri-bernoulli":
            noise = model.noise(mean[:, :-1] if name == "joint" else mean)
            sigma = noise.covariance()[0] if backbone == ELLIPSOIDS else noise.a[0] * torch.eye(3, dtype=torch.float64)
            zero, eye = torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
            placed.append(kl_divergence(MultivariateNormal(zero, sigma), MultivariateNormal(zero, eye)))
    expected = {"lri-bernoulli": lambda: 0.5 * torch.stack(exists).mean(),
                "lri-gaussian": lambda: 0.5 * torch.stack(placed).mean(),
                "joint": lambda: 0.5 * torch.stack(placed).mean() + 0.25 * torch.stack(exists).mean()}[name]()
    torch.testing.assert_close(model(clouds, table).penalty.detach(), expected)


# -- no groups ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", ["all -1", "ids in any order"])
@pytest.mark.parametrize("name", LRI)
def test_groups_of_single_points_change_no_bit(name, kind, training, dtype, method, random_clouds):
    clouds = random_clouds((7, 1, 9, 30), dtype=dtype)
    ids = torch.full((47,), -1) if kind == "all -1" else torch.randperm(47, generator=seeded())
    results = []
    for model, data in ((method(name, dtype=dtype), clouds),
                        (method(name, dtype=dtype, groups="group"), with_ids(clouds, ids=ids))):
        model.train(training)
        torch.manual_seed(7)
        out = model(data, model.neighbors(data), epoch=3) if training else noisy(model, data, 7, epoch=3)
        (out.logits.sum() + out.penalty).backward()
        results.append([out.logits, out.penalty, out.importance, *out.parts.values(),
                        *(p.grad for p in model.parameters() if p.grad is not None)])
    assert len(results[0]) == len(results[1])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


# -- symmetries ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", LRI)
def test_names_of_the_groups_do_not_matter(name, method, random_clouds):
    clouds = with_ids(random_clouds())
    renamed = with_ids(clouds, ids=torch.where(clouds["group"] < 0, -1, 100 - clouds["group"]))
    model = method(name, groups="group").train()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(0)
    first = model(clouds, model.neighbors(clouds))
    model.load_state_dict(state)
    torch.manual_seed(0)
    second = model(renamed, model.neighbors(renamed))
    assert torch.equal(first.logits, second.logits)
    assert torch.equal(first.penalty, second.penalty)
    model.eval()
    assert torch.equal(noisy(model, clouds).logits, noisy(model, renamed).logits)


@pytest.mark.parametrize("name", LRI)
def test_permuted_points_permute_the_importance(name, method, random_clouds):
    clouds = with_ids(random_clouds(SIZES, features=2))
    order = torch.cat([torch.randperm(n, generator=seeded(3)) + start
                       for start, n in zip(clouds.ptr.tolist(), clouds.sizes.tolist(), strict=False)])
    shuffled = clouds.replace(**{key: clouds[key][order] for key in clouds.names})
    model = method(name, features=2, groups="group")
    out = model(clouds, model.neighbors(clouds))
    other = model(shuffled, model.neighbors(shuffled))
    torch.testing.assert_close(other.importance, out.importance[order])
    torch.testing.assert_close(other.penalty, out.penalty)
    torch.testing.assert_close(other.logits, out.logits)


@pytest.mark.parametrize("name", LRI)
def test_equal_ids_in_two_clouds_are_two_groups(name, method, random_clouds):
    clouds = with_ids(random_clouds((5, 4)), ids=torch.zeros(9, dtype=torch.int64))
    model = method(name, groups="group")
    together, moved = model(clouds, model.neighbors(clouds)).importance, noisy(model, clouds).logits
    assert len(set(together.tolist())) == 2
    for i, rows in ((0, slice(0, 5)), (1, slice(5, 9))):
        one = clouds.select(torch.tensor([i]))
        alone = model(one, model.neighbors(one)).importance
        torch.testing.assert_close(alone, together[rows])
        torch.testing.assert_close(noisy(model, one).logits[0], moved[i])


# -- refusals -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", LRI)
def test_clouds_without_fitting_groups_are_refused(name, method, random_clouds):
    clouds = random_clouds()
    model = method(name, groups="residue")
    with pytest.raises(PellucidError, match="expected a field 'residue' that groups the points, got only pos"):
        model.refuse(clouds)
    assert method(name).refuse(clouds) is None
    for level, values in (("point", torch.zeros(20)), ("cloud", torch.zeros(3, dtype=torch.int64))):
        kind = "float" if values.dtype.is_floating_point else "int"
        wrong = clouds.replace(residue=values, declared={"residue": Field(level, kind)})
        with pytest.raises(PellucidError, match=f"expected a whole number a point in 'residue', got a {level}-level"):
            model.refuse(wrong)
    low = clouds.replace(residue=torch.full((20,), -2), declared={"residue": Field("point", "int")})
    with pytest.raises(PellucidError, match="from -1"):
        model.refuse(low)
    with pytest.raises(PellucidError, match="name of a field as groups, got True"):
        method(name, groups=True)


OPTIONS = {"progress": False, "device": "cpu"}


def spec_of(clouds):
    return DataSpec.of(clouds, Targets.of("binary"), category_sizes=(2,), precision_at=(1, 2))


def grouped_config(method="lri-bernoulli", options=None, scale=3.0, **training):
    content = toy_config(method, **training).model_dump()
    content["method"]["scale"] = scale
    content["method"]["options"] = {"groups": "group", "beta": 0.1, **(options or {})}
    content["method"]["dropout"] = content["backbone"]["dropout"] = 0.0
    return type(toy_config()).parse(content)


def test_training_without_the_field_is_refused_before_it_starts(tmp_path):
    with pytest.raises(PellucidError, match="expected a field 'group'"):
        train(grouped_config(), toy_clouds(), tmp_path / "run", spec_of(toy_clouds()), **OPTIONS)
    assert not (tmp_path / "run").exists()


# -- in a training ------------------------------------------------------------------------------------------------
def toy_groups(count=240, seed=0):
    """The toy task with groups of about three points in any order; the deciding group holds the deciding point."""
    clouds = toy_clouds(count, seed)
    place = torch.arange(clouds.points) - clouds.ptr[clouds.batch]
    shift = torch.randint(0, 7, (count,), generator=seeded(seed))[clouds.batch]
    clouds = with_ids(clouds, ids=(place * 5 + shift) % (clouds.sizes[clouds.batch] + 2) // 3)
    by = Grouping(clouds, "group")
    return clouds.replace(important=by.spread(by.sum(clouds["important"].float())) > 0)


def toy_contacts(count=240, seed=0):
    """Four rigid triangles far apart; positive where two of them touch, and these decide by where they are."""
    random = seeded(seed)
    centre = torch.randn(count, 1, 3, generator=random) * 0.3 + torch.tensor(
        [[0.0, 0, 0], [6, 0, 0], [0, 6, 0], [0, 0, 6]])
    order = torch.rand(count, 4, generator=random).argsort(1)
    y = torch.arange(count) % 2
    away = torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=1)
    each, (one, other) = torch.arange(count), order.t()[:2]
    centre[each, one] = torch.where(y[:, None] == 1, centre[each, other] + away, centre[each, one])
    corner = torch.nn.functional.normalize(torch.randn(count, 4, 3, 3, generator=random), dim=-1) * 0.4
    important = torch.zeros(count, 4, 3, dtype=torch.bool)
    for which in (one, other):
        important[each, which] = (y == 1)[:, None]
    return PointClouds(torch.arange(count + 1) * 12, {
        "pos": (centre[:, :, None] + corner).reshape(-1, 3), "y": y[:, None].float(), "important": important.flatten(),
        "categories": torch.zeros(12 * count, 1, dtype=torch.int64),
        "group": torch.arange(4).repeat_interleave(3).repeat(count),
        "split": torch.tensor([0, 0, 0, 1, 2, 2]).repeat_interleave(2).repeat(count)[:count]})


@pytest.mark.slow
@pytest.mark.parametrize(("method", "task", "options"), [
    ("lri-bernoulli", toy_groups, {"masks": "both", "decay": 2}), ("lri-gaussian", toy_contacts, {})])
def test_a_training_finds_the_groups_that_decide(method, task, options, tmp_path):
    """With noise that harms: a mask that hides what points say of themselves, and moves of about two distances."""
    clouds = task()
    config = grouped_config(method, options, 0.5, epochs=14, warmup=6, learning_rate=1e-2, reestimate=20,
                            schedule="one-cycle", settle=0.7)
    run = train(config, clouds, tmp_path / "run", spec_of(clouds), quick=True, **OPTIONS)
    assert run.metrics["prediction"]["y"]["roc_auc"] > 0.95
    e = run.explanation
    positive = e.clouds["y"][:, 0] == 1
    learned, random = (
        group_precision_at(importance, e.clouds["important"], e.clouds["group"], e.clouds.ptr, 1, clouds=positive)
        for importance in (e.importance, torch.rand(e.importance.shape, generator=seeded())))
    assert learned > 0.9
    assert random < 0.7

    model, loaded, _ = load_model(run.folder)
    assert loaded.method.options["groups"] == "group"
    again = explain_clouds(model, clouds.split("test"))
    assert torch.equal(again.importance, e.importance)


def test_bfloat16_trains_with_groups(tmp_path):
    clouds = toy_groups(60)
    run = train(grouped_config("joint", precision="bf16"), clouds, tmp_path / "run", spec_of(clouds), quick=True,
                **OPTIONS)
    assert bool(run.explanation.importance.isfinite().all())


# -- the table of groups ------------------------------------------------------------------------------------------
def explained(importance=(0.1, 0.9, 0.5, -1.0, -2.0, 3.0), **text):
    clouds = PointClouds(torch.tensor([0, 4, 4, 6]), {
        "pos": torch.zeros(6, 3), "group": torch.tensor([1, 0, 1, -1, -1, 0])}, text=text)
    return Explanation(clouds, torch.ones(3, 1), torch.tensor(importance))


def test_table_of_groups_by_hand():
    table = explained(id=["a", "b", "c"], group_names=['["ring", "acid"]', "[]", '["acid"]']).groups()
    assert table["cloud"] == [0, 0, 0, 2, 2]
    assert table["id"] == ["a", "a", "a", "c", "c"]
    assert table["group"] == [1, 0, -1, -1, 0]
    assert table["name"] == ["acid", "ring", "", "", "acid"]
    assert table["first"] == [0, 1, 3, 0, 1]
    assert table["points"] == [2, 1, 1, 1, 1]
    assert table["importance"] == pytest.approx([0.3, 0.9, -1.0, -2.0, 3.0])
    assert table["importance_sum"] == pytest.approx([0.6, 0.9, -1.0, -2.0, 3.0])
    assert table["rank"] == [2, 1, 3, 2, 1]
    assert set(explained().groups()["name"]) == {""}


def test_table_needs_the_field():
    with pytest.raises(PellucidError, match="expected a field 'track'"):
        explained().groups("track")


def test_every_explanation_has_a_table_of_groups(method, random_clouds):
    clouds = with_ids(random_clouds(dtype=torch.float32))
    e = explainers["random"]().explain(method("erm", dtype=torch.float32), clouds)
    table = e.groups()
    for r, mean in zip(rows_of(clouds), table["importance"], strict=True):
        assert mean == pytest.approx(float(e.importance[r].mean()))


def test_only_noise_that_can_be_shared_has_the_option():
    having = {n for n in methods if "groups" in methods[n].known_options()}
    assert having == set(LRI)
