"""Samples of two clouds: their embeddings add up, the second conditions the interpreter, noise goes over hops."""

import copy

import numpy as np
import pytest
import torch
from explaining import tiny_clouds
from small_models import noisy

from pellucid.backbones import backbones
from pellucid.backbones.kernels import segment_sum
from pellucid.clouds import PointClouds, offsets
from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.methods import NeighborRule, methods
from pellucid.methods.hops import mean_over_hops, most_random
from pellucid.methods.partner import PartnerEncoder
from pellucid.neighbors import knn
from pellucid.training.batches import rotated, swapped

SIZES = (6, 1, 4, 9)


def pairs(partner_sizes=(3, 2, 0, 5), **more):
    """Clouds of two point sets, the third without a second one."""
    first, second = tiny_clouds(SIZES), tiny_clouds(partner_sizes, seed=1)
    return first.replace(partner=second, **more)


def partner_encoder():
    return PartnerEncoder(backbones["egnn"](3, (3,), 2, hidden=8, layers=2), NeighborRule("radius", 2.0, False))


def built(name, method, **options):
    model = method(name, categories=(3,), features=2, **options)
    with torch.random.fork_rng([]):
        torch.manual_seed(5)
        model.add_partner(partner_encoder)
    return model.to(torch.float64).eval()


@pytest.mark.parametrize("name", list(methods))
def test_the_head_sees_the_sum_over_both_clouds(name, method):
    model, clouds = built(name, method), pairs()
    neighbors = model.neighbors(clouds)
    h = model.embed(clouds, neighbors)
    second = clouds.partner
    own = model.partner.encoder(second, model.partner.rule(second)).scalars
    pooled = [h[a:b].sum(0) + own[c:d].sum(0) for a, b, c, d in zip(
        clouds.ptr[:-1], clouds.ptr[1:], second.ptr[:-1], second.ptr[1:], strict=True)]
    expected = model.readout.head(torch.stack(pooled))
    torch.testing.assert_close(model.logits(clouds, neighbors), expected)


@pytest.mark.parametrize("name", list(methods))
def test_an_empty_second_cloud_adds_nothing(name, method):
    model, clouds = built(name, method), pairs()
    alone = clouds.select(torch.tensor([2]))
    neighbors = model.neighbors(alone)
    expected = model.readout.head(segment_sum(model.embed(alone, neighbors), alone.ptr))
    torch.testing.assert_close(model.logits(alone, neighbors), expected)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", ["lri-bernoulli", "lri-gaussian", "joint"])
def test_the_interpreter_hears_of_the_second_cloud(name, shared, method):
    model, clouds = built(name, method, shared=shared), pairs()
    other = clouds.replace(partner=clouds.partner.select(torch.tensor([1, 0, 2, 3])))
    before, after = (model(c, model.neighbors(c)).importance for c in (clouds, other))
    changed = (before != after)
    assert changed[:7].all()  # the first two clouds have each other's partner
    assert not changed[7:].any()


@pytest.mark.parametrize("name", ["lri-bernoulli", "lri-gaussian", "joint", "pointmask"])
def test_the_second_cloud_decides_what_is_drawn_too(name, method):
    """The same first cloud with another second one is another sample."""
    model, clouds = built(name, method, shared=False) if name != "pointmask" else built(name, method), pairs()
    alone = clouds.select(torch.tensor([3]))
    torch.testing.assert_close(noisy(model, alone).logits[0], noisy(model, clouds).logits[3])
    assert not torch.allclose(noisy(model, alone).logits, noisy(model, alone, 1).logits)


def test_two_encoders_of_the_second_cloud_where_f_and_g_share_nothing(method):
    model = built("lri-bernoulli", method, shared=False)
    model.freeze_classifier()
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"own_encoder", "own_partner", "interpreter"}
    assert built("lri-bernoulli", method, shared=True).own_partner is None


@pytest.mark.parametrize("name", ["lri-bernoulli", "lri-gaussian", "joint", "pointmask"])
@pytest.mark.parametrize("own_partner", [True, False])
def test_a_second_encoder_starts_as_a_copy_of_the_first(own_partner, name, method):
    options = {} if name == "pointmask" else {"shared": False}
    model = built(name, method, start="copy", own_partner=own_partner, **options)
    clouds = pairs()
    assert (model.own_partner is not None) == own_partner
    fresh = copy.deepcopy(model.own_encoder.state_dict())
    model.join()
    for key, value in model.encoder.state_dict().items():
        assert torch.equal(value, model.own_encoder.state_dict()[key])
    assert any(not torch.equal(value, model.own_encoder.state_dict()[key]) for key, value in fresh.items())
    # what g reads now is the sum of the same embeddings that f reads
    neighbors = model.neighbors(clouds)
    h = model.embed(clouds, neighbors) + model.partner(clouds)[clouds.batch]
    torch.testing.assert_close(model.interpret(clouds, neighbors), model.interpreter(h))
    with torch.no_grad():  # and it goes its own way from there
        next(model.own_encoder.parameters()).add_(1)
    assert not torch.allclose(model.interpret(clouds, neighbors), model.interpreter(h))
    other = built(name, method, own_partner=own_partner, **options)
    before = copy.deepcopy(other.state_dict())
    other.join()
    assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items())


def test_a_shared_encoder_cannot_start_as_a_copy(method):
    with pytest.raises(PellucidError, match=r"set method\.options\.shared=false, or start=fresh"):
        method("lri-bernoulli", start="copy")
    with pytest.raises(PellucidError, match="start to be fresh or copy, got 'warm'"):
        method("lri-bernoulli", shared=False, start="warm")


@pytest.mark.parametrize("name", list(methods))
def test_the_other_kind_of_sample_is_refused(name, method):
    clouds = pairs()
    with pytest.raises(PellucidError, match="expected samples of two clouds, as the model was trained on, got one"):
        built(name, method).refuse(tiny_clouds(SIZES))
    with pytest.raises(PellucidError, match="expected samples of one cloud, as the model was trained on, got two"):
        method(name, categories=(3,), features=2).refuse(clouds)
    assert built(name, method).refuse(clouds) is None


def test_a_partner_encoder_needs_a_partner():
    with pytest.raises(PellucidError, match="two clouds, got one"):
        partner_encoder()(tiny_clouds(SIZES))


@pytest.mark.parametrize("name", list(explainers))
def test_every_explainer_takes_two_clouds_and_leaves_the_model_alone(name, method):
    options = {"bernmask": {"steps": 3}, "bernmask-p": {"epochs": 1}}.get(name, {})
    options |= {"epochs": 2} if name == "pyg" else {}
    clouds, model = pairs((3, 2, 1, 5)), built("erm", method)
    before = copy.deepcopy(model.state_dict())
    explainer = explainers[name](**options)
    if explainer.trains:
        explainer.fit(model, clouds, seed=0)
    explanation = explainer.explain(model, clouds, seed=0, batch_size=3)
    assert explanation.importance.shape == (clouds.points,)
    assert len(explanation.clouds.partner) == 4
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["gradgeo", "gradgam", "occlusion", "shapley", "integrated-gradients"])
def test_an_explanation_is_of_the_pair(name, method):
    clouds, model = pairs((3, 2, 1, 5)), built("erm", method)
    other = clouds.replace(partner=clouds.partner.select(torch.tensor([1, 0, 2, 3])))
    a, b = (explainers[name]().explain(model, c, seed=0).importance for c in (clouds, other))
    assert not torch.equal(a[:6], b[:6])
    torch.testing.assert_close(a[7:], b[7:])


def test_removing_points_keeps_the_second_cloud(method):
    clouds, model = pairs((3, 2, 1, 5)), built("erm", method)
    fewer = clouds.keep_points(torch.arange(clouds.points) % 2 == 0)
    assert fewer.partner.sizes.tolist() == [3, 2, 1, 5]
    assert model.logits(fewer, model.neighbors(fewer)).isfinite().all()


# -- noise over hops ----------------------------------------------------------------------------------------------


def reached(neighbors, v, hops):
    """By breadth-first search in Python: what v reaches in so many hops, itself included."""
    seen = {v}
    for _ in range(hops):
        seen |= {int(u) for w in seen for u in neighbors.index[w]}
    return seen


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
def test_the_most_random_point_in_reach(hops):
    random = np.random.default_rng(hops)
    pos = torch.from_numpy(random.normal(size=(30, 3)))
    neighbors = knn(pos, torch.tensor([0, 12, 12, 13, 30]), 4)
    value = torch.from_numpy(random.normal(size=30))
    chosen = most_random(value, neighbors, hops).tolist()
    assert chosen == [max(reached(neighbors, v, hops), key=lambda u: value[u]) for v in range(30)]


@pytest.mark.parametrize(("name", "backbone"), [("lri-bernoulli", "egnn"), ("lri-gaussian", "egnn"),
                                                ("lri-gaussian", "dgcnn")])
def test_importance_over_hops_is_the_least_of_the_neighbourhood(name, backbone, method):
    clouds = pairs()
    plain, wide = (built(name, method, backbone=backbone, hops=hops) for hops in (0, 2))
    wide.load_state_dict(plain.state_dict())
    neighbors = plain.neighbors(clouds)
    with torch.no_grad():
        own, over = (m(clouds, neighbors) for m in (plain, wide))
    least = torch.stack([own.importance[list(reached(neighbors, v, 2))].min() for v in range(clouds.points)])
    torch.testing.assert_close(over.importance, least)
    place = [min(reached(neighbors, v, 2), key=lambda u: own.importance[u]) for v in range(clouds.points)]
    assert [over.covariance is not None, over.radius is not None] == [backbone == "dgcnn", name == "lri-gaussian"
                                                                      and backbone == "egnn"]
    if over.covariance is not None:
        torch.testing.assert_close(over.covariance, own.covariance[place])
    if over.radius is not None:
        torch.testing.assert_close(over.radius, own.radius[place])


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_the_mean_over_hops_is_a_power_of_a_matrix(hops):
    random = np.random.default_rng(hops)
    neighbors = knn(torch.from_numpy(random.normal(size=(30, 3))), torch.tensor([0, 12, 12, 13, 15, 30]), 4)
    values = random.normal(size=(30, 2))
    dense = np.stack([np.isin(np.arange(30), list(reached(neighbors, v, 1))) for v in range(30)]).astype(float)
    step = dense / dense.sum(1, keepdims=True)
    got = mean_over_hops(torch.from_numpy(values), neighbors, hops)
    np.testing.assert_allclose(got.numpy(), np.linalg.matrix_power(step, hops) @ values, atol=1e-12)


def test_with_the_mean_a_point_bears_its_surroundings(method):
    clouds = pairs()
    plain, wide = (built("lri-bernoulli", method, hops=hops, hop_noise="mean") for hops in (0, 2))
    wide.load_state_dict(plain.state_dict())
    neighbors = plain.neighbors(clouds)
    with torch.no_grad():
        own, over = (m(clouds, neighbors).importance.logit() for m in (plain, wide))
    torch.testing.assert_close(over, mean_over_hops(own[:, None], neighbors, 2)[:, 0])
    with pytest.raises(PellucidError, match="hop_noise to be most_random or mean, got 'median'"):
        method("lri-gaussian", hop_noise="median")


@pytest.mark.parametrize("hop_noise", ["most_random", "mean"])
@pytest.mark.parametrize("name", ["lri-bernoulli", "lri-gaussian", "joint"])
def test_gradients_reach_the_interpreter_over_hops(name, hop_noise, method):
    model, clouds = built(name, method, hops=2, hop_noise=hop_noise).train(), pairs()
    output = model(clouds, model.neighbors(clouds))
    (output.logits.sum() + output.penalty).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.interpreter.parameters())
    assert any(bool(p.grad.abs().sum() > 0) for p in model.partner.parameters())


@pytest.mark.parametrize("backbone", ["egnn", "dgcnn"])
@pytest.mark.parametrize("name", ["lri-gaussian", "joint"])
def test_points_may_be_moved_by_their_own_noise_alone(name, backbone, method):
    """The draw is that of a model without hops; KL, importance and what is told are those of one that has them."""
    more = {"noise": "both"} if name == "joint" else {}
    plain, smooth, own = (built(name, method, backbone=backbone, **options, **more) for options in (
        {}, {"hops": 2}, {"hops": 2, "moved_by": "own"}))
    for model in (smooth, own):
        model.load_state_dict(plain.state_dict())
    clouds, seen = pairs(), {}
    for label, model in (("plain", plain), ("smooth", smooth), ("own", own)):
        move = model.move
        model.move = lambda c, eps, label=label, move=move: seen.update({label: eps}) or move(c, eps)
        seen[label, "out"] = noisy(model, clouds)
    assert torch.equal(seen["own"], seen["plain"])
    assert not torch.allclose(seen["own"], seen["smooth"])
    mine, wide = seen["own", "out"], seen["smooth", "out"]
    for part in ("penalty", "importance"):
        torch.testing.assert_close(getattr(mine, part), getattr(wide, part))
    with torch.no_grad():
        mine, wide = (m(clouds, m.neighbors(clouds)) for m in (own, smooth))
    torch.testing.assert_close(mine.logits, wide.logits)
    torch.testing.assert_close(mine.covariance if backbone == "dgcnn" else mine.radius,
                               wide.covariance if backbone == "dgcnn" else wide.radius)
    with pytest.raises(PellucidError, match="moved_by to be surroundings or own"):
        method(name, moved_by="others")


@pytest.mark.parametrize("options", [{"hops": -1}, {"hops": 1.5}, {"hops": True}, {"hops": 1, "groups": "group"}])
def test_bad_hops_are_refused(options, method):
    with pytest.raises(PellucidError, match="expected hops as a whole number"):
        method("lri-bernoulli", **options)


def test_hops_have_no_frame_of_their_own(method):
    with pytest.raises(PellucidError, match="lab for groups or hops"):
        method("lri-gaussian", frame="beam", hops=1)


# -- negatives by swapped partners --------------------------------------------------------------------------------


def many(count=400, clusters=4):
    sizes = torch.full((count,), 2)
    partner = PointClouds(offsets(torch.arange(count) % 3), {
        "pos": torch.repeat_interleave(torch.arange(count).double(), torch.arange(count) % 3)[:, None].repeat(1, 3)})
    return PointClouds(offsets(sizes), {"pos": torch.zeros(2 * count, 3, dtype=torch.float64),
                                        "y": torch.ones(count, 1), "cluster": torch.arange(count) % clusters},
                       partner=partner)


def origin(clouds):
    """Which sample each second cloud came from; -1 where it is empty."""
    return [int(clouds.partner.pos[a, 0]) if b > a else -1
            for a, b in zip(clouds.partner.ptr[:-1], clouds.partner.ptr[1:], strict=True)]


def test_swapped_partners_are_negatives_of_other_clusters():
    clouds = many()
    torch.manual_seed(0)
    new = swapped(clouds, 0.4)
    negative = new["y"][:, 0] == 0
    share = float(negative.double().mean())
    assert 0.2 < share < 0.4  # 0.4, less the quarter drawn of their own cluster
    for i, source in enumerate(origin(new)):
        if source >= 0:
            assert (source != i) == bool(negative[i])
            if negative[i]:
                assert source % 4 != i % 4
    assert torch.equal(new.pos, clouds.pos)
    assert clouds["y"].all()  # the clouds that were given stay as they are


def test_nothing_is_swapped_within_one_cluster_or_with_nobody():
    torch.manual_seed(0)
    assert swapped(many(clusters=1), 0.9)["y"].all()
    one = many(count=1)
    assert swapped(one, 0.9) is one
    plain = tiny_clouds(SIZES)
    assert swapped(plain, 0.9) is plain


def test_both_clouds_of_a_sample_are_turned_together():
    clouds = pairs((3, 2, 1, 5))
    torch.manual_seed(0)
    turned = rotated(clouds)
    for i in range(4):
        before, after = (torch.cat([c.pos[c.ptr[i]:c.ptr[i + 1]], c.partner.pos[c.partner.ptr[i]:c.partner.ptr[i + 1]]])
                         for c in (clouds, turned))
        torch.testing.assert_close(torch.cdist(before, before), torch.cdist(after, after))
        assert not torch.allclose(before, after)
