"""The plain classifier and the learnable randomness, each against its definition."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import TASKS, noisy
from torch.distributions import Bernoulli, kl_divergence

from pellucid.backbones.kernels import perturbed
from pellucid.errors import PellucidError
from pellucid.methods import NeighborRule
from pellucid.methods.gaussian import Ellipsoids, Spheres
from pellucid.methods.lri_bernoulli import bernoulli_kl, prior_at
from pellucid.methods.lri_gaussian import DistanceWeight
from pellucid.randomness import CloudRandom
from pellucid.training.evaluation import explain_clouds

LRI = ["lri-bernoulli", "lri-gaussian"]


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# -- erm ----------------------------------------------------------------------------------------------------------
def test_erm_is_encoder_pooling_and_head(method, random_clouds):
    clouds = random_clouds((5, 1, 8), features=2)
    model = method("erm", backbone="dgcnn", features=2, scale=2.0)
    table = model.neighbors(clouds)
    h = model.encoder(clouds, table, pos=clouds.pos * 2.0).scalars
    pooled = torch.stack([h[a:b].sum(0) for a, b in ((0, 5), (5, 6), (6, 14))])
    out = model(clouds, table)
    close(out.logits, model.readout.head(pooled))
    assert out.penalty is None
    assert out.importance is None
    close(model.plain(clouds, table).logits, out.logits)
    weight = torch.rand(14, generator=seeded(), dtype=torch.float64)
    h = model.encoder(clouds, table, pos=clouds.pos * 2.0, point_weight=weight).scalars
    close(model.logits(clouds, table, point_weight=weight), model.classify(h, clouds))


@pytest.mark.parametrize("task", list(TASKS))
def test_additive_erm_is_a_bias_and_a_sum_over_points(task, method, random_clouds):
    clouds = random_clouds((5, 1, 8, 0), features=2)
    model = method("erm", task, backbone="dgcnn", features=2, readout="additive")
    with torch.no_grad():
        model.readout.bias.uniform_(-1, 1)
        table = model.neighbors(clouds)
        each = model.readout.head(model.encoder(clouds, table).scalars)
        out = model(clouds, table)
        close(model.contributions(clouds, table), each)
    sums = torch.stack([each[a:b].sum(0) for a, b in ((0, 5), (5, 6), (6, 14), (14, 14))])
    close(out.logits, sums + model.readout.bias)
    close(out.logits[3], model.readout.bias)
    with pytest.raises(PellucidError, match="pooled readout for samples of two clouds, got additive"):
        model.add_partner(lambda: torch.nn.Identity())


@pytest.mark.parametrize("through", ["readout", "network"])
@pytest.mark.parametrize("readout", ["additive", "interacting"])
@pytest.mark.parametrize("task", list(TASKS))
def test_contributions_and_baseline_sum_to_the_prediction(task, readout, through, method, random_clouds):
    """In the unit of each target: log mol/L for a solubility, log-odds for a class."""
    clouds, spec = random_clouds((5, 1, 8), features=2), TASKS[task]
    model = method("erm", spec, backbone="dgcnn", features=2, readout=readout, through=through, nodes=3)
    with torch.no_grad():
        for parameter in model.readout.parameters():
            parameter.uniform_(-1, 1)
    e = explain_clouds(model, clouds)
    assert e.signed
    assert e.importance.shape == (14, spec.outputs)
    total = e.baseline + torch.zeros(3, spec.outputs, dtype=torch.float64).index_add(0, clouds.batch, e.importance)
    for target, start in zip(spec, spec.starts, strict=True):
        own, predicted = (x[:, start : start + target.outputs] for x in (total, e.prediction))
        if target.kind == "regression":
            close(own, predicted)
        elif target.kind == "binary":
            close(own, predicted.logit())
        else:
            close(own.softmax(1), predicted)
    for number, name in enumerate(spec.names):
        one = explain_clouds(model, clouds, target=name)
        assert torch.equal(one.importance, e.importance[:, number])
        assert torch.equal(one.importance, e.of(name).importance)
        assert one.quantity(0) == spec.quantities[number]
        assert one.unit(0) == spec.owner(number).raw_unit()
    first = e.of()  # of a multi-class target, the class that is predicted
    assert torch.equal(first.explained, spec.explained(spec.find(), e.prediction))


# -- both ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", LRI)
def test_beta_weighs_the_penalty(name, method, random_clouds):
    clouds = random_clouds()
    table = method(name).neighbors(clouds)
    none, one, three = (method(name, beta=b)(clouds, table) for b in (0.0, 1.0, 3.0))
    assert none.penalty.item() == 0
    assert one.penalty.item() > 0
    close(three.penalty, 3 * one.penalty)
    close(one.penalty.detach(), one.parts["kl"])
    close(three.logits, one.logits)


@pytest.mark.parametrize("name", LRI)
@pytest.mark.parametrize("options", [{"beta": -0.1}, {"beta": float("nan")}])
def test_bad_beta_is_refused(name, options, method):
    with pytest.raises(PellucidError, match="beta"):
        method(name, **options)


@pytest.mark.parametrize("name", LRI)
def test_separate_encoders_do_not_touch_each_other(name, method, random_clouds):
    clouds = random_clouds()
    model = method(name, shared=False).train()
    assert model.own_encoder is not None
    assert not {id(p) for p in model.encoder.parameters()} & {id(p) for p in model.own_encoder.parameters()}
    table = model.neighbors(clouds)
    f, g = list(model.encoder.parameters()), list(model.own_encoder.parameters())

    model.plain(clouds, table).logits.sum().backward()  # warm-up trains f alone
    assert all(p.grad is not None for p in f)
    assert all(p.grad is None for p in [*g, *model.interpreter.parameters()])

    model.zero_grad()
    model(clouds, table).penalty.backward()  # and the KL concerns g alone
    assert all(p.grad is None for p in [*f, *model.readout.parameters()])
    assert all(p.grad is not None for p in g)

    model.zero_grad()
    model(clouds, table).logits.sum().backward()  # g learns through the noise
    assert any(bool(p.grad.any()) for p in g)
    assert any(bool(p.grad.any()) for p in f)


@pytest.mark.parametrize("name", LRI)
def test_a_shared_encoder_is_one(name, method):
    model = method(name)
    assert model.own_encoder is None
    other = method(name, shared=False)
    count = sum(p.numel() for p in other.parameters()) - sum(p.numel() for p in model.parameters())
    assert count == sum(p.numel() for p in model.encoder.parameters())


# -- Bernoulli ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("prior", [0.5, 0.7, 0.9, 0.999])
def test_bernoulli_kl_against_pytorch(prior):
    logit = torch.linspace(-30, 30, 61, dtype=torch.float64)
    p = torch.full_like(logit, prior)
    expected = kl_divergence(Bernoulli(logits=logit), Bernoulli(probs=p))
    close(bernoulli_kl(logit, prior), expected, 1e-9)
    at_prior = torch.tensor([math.log(prior / (1 - prior))], dtype=torch.float64)
    close(bernoulli_kl(at_prior, prior), torch.zeros(1, dtype=torch.float64), 1e-12)
    assert torch.autograd.gradcheck(lambda x: bernoulli_kl(x, prior),
                                    (torch.randn(5, generator=seeded(), dtype=torch.float64).requires_grad_(),))


def test_bernoulli_kl_stays_finite_and_right_in_float32():
    logit = torch.tensor([-1e4, -200.0, -30.0, 30.0, 200.0, 1e4], requires_grad=True)
    kl = bernoulli_kl(logit, 0.7)
    kl.sum().backward()
    torch.testing.assert_close(kl.detach(), torch.tensor([-math.log(0.3)] * 3 + [-math.log(0.7)] * 3))
    assert bool(logit.grad.isfinite().all())


def test_prior_falls_from_a_certain_to_the_final_one(method):
    model = method("lri-bernoulli", alpha=0.6, decay=5)
    prior = [model.existence.prior(e) for e in (0, 4, 5, 10, 14, 15, 500)]
    assert prior == pytest.approx([0.9, 0.9, 0.8, 0.7, 0.7, 0.6, 0.6])
    assert prior_at(0, 0.95, 10) == 0.95
    assert prior_at(20, 0.7, 10) == pytest.approx(0.7)


def test_the_epoch_reaches_the_penalty(method, random_clouds):
    clouds = random_clouds()
    model = method("lri-bernoulli", beta=2.0, alpha=0.5)
    table = model.neighbors(clouds)
    logit = model.interpret(clouds, table).squeeze(1)
    for epoch, r in ((0, 0.9), (10, 0.8), (45, 0.5)):
        p = logit.sigmoid()
        kl = (p * (p / r).log() + (1 - p) * ((1 - p) / (1 - r)).log()).mean()
        close(model(clouds, table, epoch=epoch).penalty, 2 * kl)


def spy_on(encoder, monkeypatch):
    """The arguments of every later pass through the encoder."""
    seen = []
    forward = encoder.forward

    def spy(clouds, neighbors, **arguments):
        seen.append({"neighbors": neighbors, **arguments})
        return forward(clouds, neighbors, **arguments)

    monkeypatch.setattr(encoder, "forward", spy)
    return seen


def masks(model, clouds, repeats, monkeypatch, noise=False):
    """(repeats, points) masks that the classifier was given, and p."""
    seen = spy_on(model.encoder, monkeypatch)
    table = model.neighbors(clouds)
    random = CloudRandom(clouds, 1) if noise else None
    torch.manual_seed(1)
    with torch.no_grad():
        for _ in range(repeats):
            out = model(clouds, table, random=random)
    return torch.stack([s["point_weight"] for s in seen if s.get("point_weight") is not None]), out.importance


@pytest.mark.parametrize("noise", ["in training", "by content"])
@pytest.mark.parametrize("temperature", [0.02, 1.0])
def test_the_mask_follows_p_where_noise_is_injected(temperature, noise, method, random_clouds, monkeypatch):
    clouds = random_clouds((60, 60))
    model = method("lri-bernoulli", temperature=temperature).train(noise == "in training")
    if not model.training:  # where no dropout makes points differ: logits about 0, of spread 1
        with torch.no_grad():
            logits = model.interpret(clouds, model.neighbors(clouds))
            model.interpreter[-1].weight /= logits.std()
            model.interpreter[-1].bias.add_(0.1 - model.interpret(clouds, model.neighbors(clouds)).mean())
    drawn, p = masks(model, clouds, 60, monkeypatch, noise=noise == "by content")
    assert bool(((drawn >= 0) & (drawn <= 1)).all())
    assert float(p.std()) > 0.01, "points differ, or this test says little"
    n = drawn.numel()
    # at every temperature a mask exceeds 1/2 with probability p exactly
    z = ((drawn > 0.5).double() - p).sum(0) / (60 * p * (1 - p)).sqrt()
    assert abs(float(z.sum())) / math.sqrt(len(p)) < 4
    assert 0.6 < float(z.square().mean()) < 1.4
    assert abs(float((drawn - p).mean())) < (4 * 0.5 / math.sqrt(n) + 0.01 if temperature < 0.1 else 0.1)
    if temperature == 1.0:  # the concrete density has its quantiles where the logistic has them
        logit = (drawn / (1 - drawn)).log() - (p / (1 - p)).log()
        assert abs(float(logit.mean())) < 4 * 1.814 / math.sqrt(n)
        assert abs(float(logit.std()) / 1.814 - 1) < 0.05


def test_the_mask_is_p_in_eval_mode(method, random_clouds, monkeypatch):
    clouds = random_clouds()
    model = method("lri-bernoulli")
    drawn, p = masks(model, clouds, 2, monkeypatch)
    assert torch.equal(drawn[0], p)
    assert torch.equal(drawn[1], p)
    close(p, model.interpret(clouds, model.neighbors(clouds)).squeeze(1).sigmoid())


@pytest.mark.parametrize(("kept", "heard", "own"), [("messages", False, True), ("features", True, False),
                                                    ("both", False, False)])
def test_what_a_removed_point_still_tells(kept, heard, own, method, random_clouds, monkeypatch):
    clouds = random_clouds((9,), features=2)
    model = method("lri-bernoulli", features=2, masks=kept, shared=False)
    table = model.neighbors(clouds)
    logit = torch.full((9, 1), 40.0, dtype=torch.float64)
    logit[4] = -40.0
    monkeypatch.setattr(model, "interpret", lambda *_: logit)
    before = model(clouds, table).logits
    moved = clouds.pos.clone()
    moved[4] += 0.05  # its place decides messages alone
    assert torch.allclose(model(clouds.replace(pos=moved), table).logits, before, atol=1e-12) != heard
    features = clouds["features"].clone()
    features[4] += 1.0
    assert torch.allclose(model(clouds.replace(features=features), table).logits, before, atol=1e-12) != own
    logit[:] = 40.0  # nothing removed: the plain classifier
    close(model(clouds, table).logits, model.plain(clouds, table).logits)


@pytest.mark.parametrize("masks", ["messages", "both"])
@pytest.mark.parametrize("judged", ["apart", "sampled"])
def test_f_learns_of_masks_that_g_cannot_shape_and_g_of_what_f_says(masks, judged, method, random_clouds):
    clouds = random_clouds((6, 4, 7, 5, 6, 8), features=2)
    model = method("lri-bernoulli", features=2, judged=judged, shared=False, masks=masks).train()
    torch.manual_seed(0)
    output = model(clouds, model.neighbors(clouds))
    f, g = model.readout.head[-1].weight, model.interpreter[-1].weight
    learns = []
    for row in output.logits:
        own = torch.autograd.grad(row.sum(), [f, g, *model.encoder.parameters()], retain_graph=True, allow_unused=True)
        heard = [grad is not None and bool((grad != 0).any()) for grad in own]
        assert heard[0] != heard[1]
        assert any(heard[2:]) == heard[0]
        learns.append(heard[0])
    assert sum(learns) == 3
    assert all(p.requires_grad for p in model.parameters())
    kl = torch.autograd.grad(output.penalty, g)[0]
    assert bool((kl != 0).any())


def test_apart_and_together_are_one_in_eval_mode_and_keep_the_order_of_clouds(method, random_clouds, monkeypatch):
    clouds = random_clouds((6, 4, 7, 5, 6))
    apart, together = (method("lri-bernoulli", judged=judged, shared=False) for judged in ("apart", "together"))
    table = apart.neighbors(clouds)
    close(apart(clouds, table).logits, together(clouds, table).logits)
    apart.train()
    monkeypatch.setattr("pellucid.methods.lri_bernoulli.concrete", lambda logit, *_, **__: torch.ones_like(logit))
    monkeypatch.setattr(apart, "_masked", lambda some, *_: some.sizes[:, None].double())
    assert apart(clouds, table).logits[:, 0].tolist() == [6, 4, 7, 5, 6]


def test_sampled_masks_are_whole_and_as_likely_as_g_says(method, random_clouds, monkeypatch):
    clouds = random_clouds((4000, 4000))
    model = method("lri-bernoulli", judged="sampled", shared=False).train()
    monkeypatch.setattr(model, "interpret", lambda *_: torch.full((8000, 1), 0.3, dtype=torch.float64).logit())
    seen = []
    monkeypatch.setattr(model, "_masked", lambda some, _, weight: (seen.append(weight), some.sizes[:, None])[1])
    torch.manual_seed(0)
    model(clouds, model.neighbors(clouds))
    f, g = seen
    assert set(f.tolist()) == {0.0, 1.0}
    assert f.mean() == pytest.approx(0.3, abs=4 * (0.21 / 4000) ** 0.5)
    assert len(set(g.tolist())) > 3000


@pytest.mark.parametrize("options", [{"judged": "alone"}, {"masks": "nodes"}, {"alpha": 0.4},
                                     {"alpha": 1.0}, {"alpha": float("nan")}, {"decay": 0}, {"temperature": 0.0},
                                     {"temperature": -1.0}])
def test_bad_bernoulli_options_are_refused(options, method):
    with pytest.raises(PellucidError, match=next(iter(options))):
        method("lri-bernoulli", **options)


# -- phi ----------------------------------------------------------------------------------------------------------
def weight_function(seed, length=1.0):
    phi = DistanceWeight(length).double()
    with torch.no_grad():
        for p in phi.parameters():
            p.copy_(torch.randn(p.shape, generator=seeded(seed), dtype=torch.float64))
    return phi


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.floats(0.1, 100), st.lists(st.floats(0, 5), min_size=2, max_size=8, unique=True))
def test_phi_lies_in_the_unit_interval_and_falls_with_the_distance(seed, length, distances):
    phi = weight_function(seed, length)
    distance = torch.tensor(sorted(distances), dtype=torch.float64).requires_grad_()
    weight = phi(distance * length)
    assert weight.shape == distance.shape
    assert bool(((weight > 0) & (weight < 1)).all())
    assert bool((weight.diff() <= 0).all())
    weight.sum().backward()
    assert bool((distance.grad < 0).all())


def test_phi_sees_distances_in_units_of_its_length():
    distance = torch.rand(4, 3, generator=seeded(), dtype=torch.float64)
    close(weight_function(0, 5.0)(5 * distance), weight_function(0)(distance))
    near, far = DistanceWeight()(torch.tensor([0.0, 1.0])).tolist()
    assert near - far > 0.05, "it starts with a slope that can be learned from"
    for length in (0.0, -1.0, float("nan")):
        with pytest.raises(PellucidError, match="length"):
            DistanceWeight(length)


def test_phi_stays_finite_far_away():
    distance = torch.tensor([0.0, 1e3, 1e30], requires_grad=True)
    weight = DistanceWeight()(distance)
    weight.sum().backward()
    assert bool(weight.isfinite().all())
    assert bool(distance.grad.isfinite().all())


# -- Gaussian -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dim", [2, 3])
def test_gaussian_pass_step_by_step(dim, method, random_clouds):
    """Interpreter on the unmoved clouds, noise, new neighbours, phi of the new distances, classifier."""
    clouds = random_clouds((9, 7), dim)
    model = method("lri-gaussian", dim=dim, backbone="dgcnn", scale=2.0, beta=0.5,
                   reconstruct=NeighborRule("knn", 6), neighbor_distance=0.7)
    table = model.neighbors(clouds)
    with torch.no_grad():
        out = model(clouds, table, random=CloudRandom(clouds, 4))
        pos = clouds.pos * 2.0
        length = (pos[table.index] - pos[:, None]).norm(dim=-1)
        raw = model.interpreter(model.encoder(clouds, table, pos=pos, edge_weight=model.phi(length)).scalars)
        u, a = raw[:, : dim * dim].reshape(-1, dim, dim), torch.nn.functional.softplus(raw[:, dim * dim :])
        s1, s2 = CloudRandom(clouds, 4).normal(clouds.sizes, 2 * dim).view(-1, 2, dim).unbind(1)
        moved = pos + torch.stack([a[v, 0].sqrt() * u[v] @ s1[v] + a[v, 1].sqrt() * s2[v] for v in range(len(pos))])
        new = NeighborRule("knn", 6)(clouds, moved)
        length = (moved[new.index] - moved[:, None]).norm(dim=-1)
        with perturbed(model.encoder):
            h = model.encoder(clouds, new, pos=moved, edge_weight=model.phi(length)).scalars
        sigma = a[:, 0, None, None] * u @ u.transpose(1, 2) + a[:, 1, None, None] * torch.eye(dim)
        kl = 0.5 * (sigma.diagonal(dim1=1, dim2=2).sum(1) - dim - torch.linalg.slogdet(sigma)[1])
    close(out.logits, model.classify(h, clouds).detach())
    close(out.penalty, 0.5 * kl.mean())
    close(out.importance, -torch.linalg.slogdet(sigma)[1])
    close(out.covariance, sigma / 4)
    assert out.radius is None


@pytest.mark.parametrize("dim", [2, 3])
def test_a_pass_with_spheres_step_by_step(dim, method, random_clouds):
    """The same where embeddings do not change when a cloud is turned: Sigma = a I."""
    clouds = random_clouds((9, 7), dim)
    model = method("lri-gaussian", dim=dim, backbone="egnn", scale=2.0, beta=0.5, reconstruct=NeighborRule("knn", 6))
    table = model.neighbors(clouds)
    assert model.interpreter_outputs() == 1
    assert not model.directional
    with torch.no_grad():
        out = model(clouds, table, random=CloudRandom(clouds, 4))
        a = torch.nn.functional.softplus(model.interpret(clouds, table)[:, 0])
        normal = CloudRandom(clouds, 4).normal(clouds.sizes, dim)
        moved = clouds.pos * 2.0 + a.sqrt()[:, None] * normal
        new = NeighborRule("knn", 6)(clouds, moved / 2.0)
        length = (moved[new.index] - moved[:, None]).norm(dim=-1)
        with perturbed(model.encoder):
            h = model.encoder(clouds, new, pos=moved, edge_weight=model.phi(length)).scalars
    close(out.logits, model.classify(h, clouds).detach())
    close(out.penalty, 0.5 * (0.5 * (dim * a - dim - dim * a.log())).mean())
    close(out.importance, -dim * a.log())
    close(out.radius, a.sqrt() / 2)
    assert out.covariance is None


@pytest.mark.parametrize("backbone", ["egnn", "dgcnn"])
def test_a_prediction_moves_nothing(backbone, method, random_clouds, monkeypatch):
    clouds = random_clouds((9, 7))
    model = method("lri-gaussian", backbone=backbone, scale=3.0, reconstruct=NeighborRule("knn", 6))
    seen = spy_on(model.encoder, monkeypatch)
    with torch.no_grad():
        model(clouds, model.neighbors(clouds))
    assert torch.equal(seen[1]["pos"], clouds.pos * 3.0)
    assert torch.equal(seen[1]["neighbors"].index, NeighborRule("knn", 6)(clouds).index), "rebuilt as in training"
    seen.clear()
    with torch.no_grad():
        noisy(model, clouds)
    assert float((seen[1]["pos"] - clouds.pos * 3.0).abs().min()) > 0


@pytest.mark.parametrize(("backbone", "encoder", "kind"), [
    ("egnn", {}, Spheres), ("egnn", {"edge_directions": True}, Ellipsoids), ("egnn", {"coordinates": True}, Ellipsoids),
    ("egnn", {"view": "unit_length"}, Spheres), ("egnn", {"view": "eta_phi"}, Ellipsoids), ("dgcnn", {}, Ellipsoids),
    ("point_transformer", {}, Ellipsoids)])
@pytest.mark.parametrize("name", ["lri-gaussian", "joint"])
def test_what_the_backbone_sees_decides_what_the_noise_looks_like(name, backbone, encoder, kind, method, random_clouds):
    import pellucid.collisions.views  # noqa: F401 - registers eta_phi

    model, clouds = method(name, backbone=backbone, encoder=encoder), random_clouds()
    with torch.no_grad():
        raw = model.interpret(clouds, model.neighbors(clouds))
    assert raw.shape[1] == (1 if kind is Spheres else 11) + (name == "joint")
    noise = model.noise(raw[:, :-1] if name == "joint" else raw)
    assert isinstance(noise, kind)
    assert model.directional == (kind is Ellipsoids)


def test_the_neighbours_are_rebuilt_from_the_moved_points(method, random_clouds, monkeypatch):
    """The unmoved neighbourhoods must not leak to f; the radius is in the unit of the unscaled coordinates."""
    clouds = random_clouds((20,))
    model = method("lri-gaussian", scale=10.0, reconstruct=NeighborRule("radius", 1.0))
    seen = spy_on(model.encoder, monkeypatch)
    with torch.no_grad():
        noisy(model, clouds)
    unmoved, moved = seen[0]["pos"], seen[1]["pos"]
    close(unmoved, clouds.pos * 10.0)
    assert torch.equal(seen[0]["neighbors"].index, NeighborRule("knn", 4)(clouds).index)
    assert float((moved - unmoved).abs().min()) > 0
    assert torch.equal(seen[1]["neighbors"].index, NeighborRule("radius", 1.0)(clouds, moved / 10.0).index)


@pytest.mark.parametrize("rules", [("knn", "radius"), ("radius", "knn"), ("knn", "too few")])
@pytest.mark.parametrize("backbone", ["dgcnn", "egnn", "point_transformer"])
def test_one_encoder_takes_full_and_masked_neighbourhoods_in_one_step(backbone, rules, method, random_clouds):
    """The norms see both passes before the backward one."""
    kinds = {"knn": NeighborRule("knn", 3), "radius": NeighborRule("radius", 1.0), "too few": NeighborRule("knn", 12)}
    clouds = random_clouds((7, 9))
    model = method("lri-gaussian", backbone=backbone, rule=kinds[rules[0]], reconstruct=kinds[rules[1]]).train()
    out = model(clouds, model.neighbors(clouds))
    (out.logits.sum() + out.penalty).backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


def test_without_graph_reconstruction_there_is_no_phi(method, random_clouds):
    clouds = random_clouds()
    model = method("lri-gaussian", graph_reconstruction=False)
    table = model.neighbors(clouds)
    assert model.phi is None
    assert not [key for key in model.state_dict() if key.startswith("phi")]
    assert model.edge_weight(clouds.pos, table) is None
    h = model.encoder(clouds, table, pos=clouds.pos).scalars
    close(model.plain(clouds, table).logits, model.classify(h, clouds))
    with_phi = method("lri-gaussian")
    weighted = with_phi.encoder(clouds, table, edge_weight=with_phi.edge_weight(clouds.pos, table)).scalars
    close(with_phi.plain(clouds, table).logits, with_phi.classify(weighted, clouds))


def test_covariance_is_in_the_unit_of_the_coordinates(method, random_clouds):
    clouds = random_clouds()
    model = method("lri-gaussian", backbone="dgcnn", scale=7.0)
    table = model.neighbors(clouds)
    with torch.no_grad():
        out = model(clouds, table)
        noise = model.noise(model.interpret(clouds, table))
    close(out.covariance, noise.covariance() / 49)
    close(out.importance, -noise.log_det())
    close(-torch.linalg.slogdet(out.covariance)[1] - 6 * math.log(7), out.importance)
    assert model(clouds, table).covariance is None, "training does not pay for it"


def test_the_radius_is_in_the_unit_of_the_coordinates(method, random_clouds):
    clouds = random_clouds()
    model = method("lri-gaussian", scale=7.0)
    table = model.neighbors(clouds)
    with torch.no_grad():
        out = model(clouds, table)
        noise = model.noise(model.interpret(clouds, table))
    close(out.radius, noise.radius() / 7)
    close(-6 * (7 * out.radius).log(), out.importance)
    assert model(clouds, table).radius is None, "training does not pay for it"


@pytest.mark.parametrize("backbone", ["egnn", "dgcnn"])
def test_the_logits_have_a_gradient_through_the_noise(backbone, method, random_clouds):
    clouds = random_clouds()
    model = method("lri-gaussian", backbone=backbone, shared=False)
    noisy(model, clouds).logits.sum().backward()
    last = model.interpreter[-1].weight.grad
    assert bool((last.abs().sum(1) > 0).all()), "each number that is emitted moves the points"
    assert all(bool(p.grad.isfinite().all()) and bool(p.grad.any()) for p in model.phi.parameters())


def turned_by(clouds, seed=1):
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=seeded(seed), dtype=torch.float64))[0]
    return clouds.replace(pos=clouds.pos @ rotation), rotation


@pytest.mark.parametrize("name", ["lri-gaussian", "joint"])
def test_where_embeddings_do_not_turn_the_radius_does_not_change(name, method, random_clouds):
    clouds = random_clouds(features=2)
    moved, _ = turned_by(clouds)
    model = method(name, backbone="egnn", features=2)
    with torch.no_grad():
        before, after = (model(x, model.neighbors(x)) for x in (clouds, moved))
    close(after.radius, before.radius)
    close(after.importance, before.importance)
    close(after.logits, before.logits)
    assert float(before.radius.std()) > 1e-3, "points differ, or this test says little"
    assert before.covariance is after.covariance is None


def test_where_layers_see_directions_sigma_changes_with_the_cloud_but_does_not_turn(method, random_clouds):
    clouds = random_clouds(features=2)
    moved, rotation = turned_by(clouds)
    model = method("lri-gaussian", backbone="dgcnn", features=2)
    with torch.no_grad():
        before, after = (model(x, model.neighbors(x)) for x in (clouds, moved))
    assert float((after.covariance - before.covariance).abs().max()) > 1e-3
    assert float((after.covariance - rotation.t() @ before.covariance @ rotation).abs().max()) > 1e-3


@pytest.mark.parametrize("raw", [-1e4, 1e4])
@pytest.mark.parametrize("backbone", ["egnn", "dgcnn"])
def test_spread_is_clamped(backbone, raw, method, random_clouds):
    clouds = random_clouds(dtype=torch.float32)
    model = method("lri-gaussian", backbone=backbone, dtype=torch.float32)
    with torch.no_grad():
        model.interpreter[-1].bias[-2:] = raw * 1e3
    noise = model.noise(model.interpret(clouds, model.neighbors(clouds)))
    limit = torch.tensor(1e-6 if raw < 0 else 1e6)
    for a in ((noise.a,) if backbone == "egnn" else (noise.a1, noise.a2)):
        assert bool((a == limit).all())
    out = noisy(model, clouds)
    assert bool(out.logits.isfinite().all())
    assert bool(out.penalty.isfinite())


@pytest.mark.parametrize("backbone", ["egnn", "dgcnn"])
def test_noise_can_be_kept_to_the_first_coordinates(backbone, method, random_clouds):
    clouds = random_clouds((9, 7))
    model = method("lri-gaussian", backbone=backbone, noise_dim=2, scale=2.0)
    table = model.neighbors(clouds)
    with torch.no_grad():
        out = model(clouds, table)
        noise = model.noise(model.interpret(clouds, table))
        moved, _ = model.move(clouds, torch.ones(clouds.points, 2, dtype=torch.float64))
    assert model.dim == 2
    close(moved - 2 * clouds.pos, torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64).expand(16, 3))
    if backbone == "egnn":
        assert noise.dim == 2
        close(out.radius, noise.radius() / 2)
        close(out.importance, -4 * (2 * out.radius).log())
    else:
        assert noise.u.shape == (16, 2, 2)
        close(out.covariance[:, :2, :2], noise.covariance() / 4)
        assert float(out.covariance[:, 2].abs().max()) == float(out.covariance[:, :, 2].abs().max()) == 0
        close(out.importance, -torch.linalg.slogdet(noise.covariance())[1])
    with pytest.raises(PellucidError, match="noise_dim from 0 to the 3 coordinates, got 4"):
        method("lri-gaussian", noise_dim=4)


@pytest.mark.parametrize("name", ["lri-gaussian", "joint"])
@pytest.mark.parametrize("backbone", ["egnn", "dgcnn"])
@pytest.mark.parametrize("noise_dim", [0, 2])
def test_relative_noise_grows_with_the_distance_from_the_axis(name, backbone, noise_dim, method, random_clouds):
    clouds = random_clouds((9, 7))
    model = method(name, backbone=backbone, relative="beam", noise_dim=noise_dim, scale=4.0)
    unit = clouds.pos[:, :2].norm(dim=1)
    eps = torch.randn(16, noise_dim or 3, dtype=torch.float64, generator=seeded())
    with torch.no_grad():
        moved, _ = model.move(clouds, eps)
        out = model(clouds, model.neighbors(clouds))
        raw = model.interpret(clouds, model.neighbors(clouds))
        noise = model.noise(raw[:, :-1] if name == "joint" else raw)
    close((moved - 4 * clouds.pos)[:, :eps.shape[1]], eps * unit[:, None])
    if backbone == "egnn":
        close(out.radius, noise.radius() * unit / 4)
    else:
        close(out.covariance[:, :eps.shape[1], :eps.shape[1]], noise.covariance() * (unit / 4)[:, None, None]**2)


@pytest.mark.parametrize("relative", ["lab", "sky", True])
def test_relative_names_a_frame_with_a_length(relative, method):
    with pytest.raises(PellucidError, match="beam"):
        method("lri-gaussian", relative=relative)


@pytest.mark.parametrize("noise_dim", [0, 2])
def test_in_the_frame_of_the_beam_noise_turns_with_the_cloud(noise_dim, method, random_clouds, monkeypatch):
    clouds = random_clouds((9, 7))
    c, s = 0.6, 0.8
    turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    turned = clouds.replace(pos=clouds.pos @ turn.T)
    model = method("lri-gaussian", backbone="dgcnn", frame="beam", noise_dim=noise_dim)
    raw = model.interpret(clouds, model.neighbors(clouds)).detach()
    monkeypatch.setattr(model, "interpret", lambda *_: raw)  # as of layers that see no directions
    with torch.no_grad():
        one, other = (model(x, model.neighbors(x)) for x in (clouds, turned))
    close(turn @ one.covariance @ turn.T, other.covariance)
    close(one.importance, other.importance)
    with pytest.raises(PellucidError, match=r"a known frame, got 'sky'"):
        method("lri-gaussian", frame="sky")
    with pytest.raises(PellucidError, match="frame lab for groups"):
        method("lri-gaussian", frame="beam", groups="group")


def test_a_sphere_is_one_in_any_frame(method, random_clouds):
    clouds = random_clouds((9, 7))
    with torch.no_grad():
        lab, beam = (noisy(method("lri-gaussian", frame=frame), clouds) for frame in ("lab", "beam"))
    assert torch.equal(lab.logits, beam.logits)
    assert torch.equal(lab.radius, beam.radius)


@pytest.mark.parametrize("name", ["lri-bernoulli", "lri-gaussian", "joint", "pointmask"])
def test_only_an_interpreter_of_its_own_can_train_alone(name, method):
    model = method(name, **({} if name == "pointmask" else {"shared": False}))
    model.freeze_classifier()
    training = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert training == {"own_encoder", "interpreter"}
    assert {n.split(".")[0] for n, p in model.named_parameters() if not p.requires_grad} >= {"encoder", "readout"}


@pytest.mark.parametrize("name", ["erm", "lri-gaussian"])
def test_without_one_the_classifier_cannot_be_frozen(name, method):
    with pytest.raises(PellucidError, match="shared"):
        method(name).freeze_classifier()


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_bad_neighbour_distance_is_refused(value, method):
    with pytest.raises(PellucidError):
        method("lri-gaussian", neighbor_distance=value)
