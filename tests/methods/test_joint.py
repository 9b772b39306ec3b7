"""Joint noise and PointMask: the parents' parts, put together."""

import numpy as np
import pytest
import torch
from toy import toy_clouds, toy_config

from pellucid.backbones import backbones
from pellucid.errors import PellucidError
from pellucid.methods import NeighborRule, methods
from pellucid.methods.joint import EXISTENCE, LOCATION, NEITHER
from pellucid.methods.lri_bernoulli import bernoulli_kl
from pellucid.methods.point_mask import CoordinateMask
from pellucid.randomness import CloudRandom
from pellucid.spec import DataSpec
from pellucid.targets import Targets
from pellucid.training import train

TASK = Targets.of("binary", 1)
BOTH = pytest.mark.parametrize("backbone", ["egnn", "dgcnn"])
"""Of which one gives spheres, the other ellipsoids."""


def make(name, backbone="egnn", **options):
    torch.manual_seed(0)
    if name == "joint":
        options = {"noise": "both"} | options
    return methods[name].make(lambda: backbones[backbone](3, (2,), 0, hidden=16, layers=2, dropout=0.0), TASK,
                              scale=2.0, dropout=0.0, **options)


@pytest.fixture(scope="module")
def clouds():
    return toy_clouds(12)


@BOTH
def test_the_penalty_is_the_sum_of_both_divergences(backbone, clouds):
    model = make("joint", backbone, alpha=0.6, decay=3, beta=0.02, beta_existence=0.3).train()
    table = model.neighbors(clouds)
    raw = model.interpret(clouds, table).detach()
    noise = model.noise(raw[:, :-1])
    expected = 0.02 * noise.kl(noise.log_det()).mean() + 0.3 * bernoulli_kl(raw[:, -1], 0.8).mean()
    torch.testing.assert_close(model(clouds, table, epoch=3).penalty.detach(), expected)


@BOTH
def test_either_noise_is_the_mean_of_the_parents_objectives(backbone, clouds):
    """Over the coins of single clouds, the expected penalty is half of each divergence, and each cloud bears one."""
    model = make("joint", backbone, noise="either", alpha=0.6, decay=3, beta=0.02, beta_existence=0.3).train()
    table = model.neighbors(clouds)
    with torch.no_grad():
        raw = model.interpret(clouds, table)
        noise = model.noise(raw[:, :-1])
        kl, kl_existence = noise.kl(noise.log_det()), bernoulli_kl(raw[:, -1], 0.8)
        seen = set()
        for seed in range(6):
            torch.manual_seed(seed)
            torch.randn(noise.normals_each, clouds.points, 3)
            torch.rand(clouds.points)
            masked = (torch.rand(len(clouds)) < 0.5)[clouds.batch]
            expected = (torch.where(masked, 0.3 * kl_existence, 0.02 * kl)).mean()
            torch.manual_seed(seed)
            torch.testing.assert_close(model(clouds, table, epoch=3).penalty, expected)
            seen.add(tuple(masked.tolist()))
        assert len(seen) == 6
        quiet = model.eval()(clouds, table, epoch=3)  # which bears neither, and shows what both cost
        raw = model.interpret(clouds, table)
        noise = model.noise(raw[:, :-1])
        expected = 0.02 * noise.kl(noise.log_det()).mean() + 0.3 * bernoulli_kl(raw[:, -1], 0.8).mean()
        torch.testing.assert_close(quiet.penalty, expected)


@BOTH
def test_a_prediction_masks_and_moves_nothing(backbone, clouds):
    for noise in ("either", "both"):
        model = make("joint", backbone, noise=noise).eval()
        table = model.neighbors(clouds)
        torch.testing.assert_close(model(clouds, table).logits, model.logits(clouds, table))


def test_a_cloud_bears_one_noise_only(clouds, monkeypatch):
    model = make("joint", noise="either").train()
    calls = []
    encode = model.encoder.forward
    monkeypatch.setattr(model.encoder, "forward", lambda *a, **k: calls.append(k) or encode(*a, **k))
    model(clouds, model.neighbors(clouds))
    moved = (calls[-1]["pos"] - clouds.pos * 2).abs().sum(1) > 1e-6
    masked = calls[-1]["point_weight"] < 1
    assert bool((moved ^ masked).all())
    for a, b in zip(clouds.ptr, clouds.ptr[1:], strict=False):
        assert len(set(moved[a:b].tolist())) == 1
    assert 0 < int(moved.sum()) < clouds.points


@BOTH
def test_importance_is_the_sum_of_both_log_precisions_and_the_columns_name_them(backbone, clouds):
    model = make("joint", backbone).eval()
    table = model.neighbors(clouds)
    with torch.no_grad():
        raw = model.interpret(clouds, table)
        noise = model.noise(raw[:, :-1])
        output = model(clouds, table)
    torch.testing.assert_close(output.importance, raw[:, -1] - noise.log_det())
    torch.testing.assert_close(output.columns["existence"], raw[:, -1].sigmoid())
    torch.testing.assert_close(output.columns["location"], -noise.log_det())
    if backbone == "egnn":
        assert output.covariance is None
        torch.testing.assert_close(output.radius, noise.radius() / 2)
    else:
        assert output.radius is None
        torch.testing.assert_close(output.covariance, noise.covariance() / 4)


def softplus_inverse(x):
    return torch.tensor(float(x)).expm1().log()


def emitted(logit, variance, backbone="egnn"):
    """What the interpreter must emit for p = sigmoid(logit) and Sigma = variance * I (U = 0)."""
    ellipsoid = [torch.zeros(9), softplus_inverse(1e-3)[None]] if backbone == "dgcnn" else []
    return torch.cat([*ellipsoid, softplus_inverse(variance)[None], torch.tensor([float(logit)])])


@BOTH
def test_with_certain_existence_it_predicts_as_the_moved_cloud_alone(backbone, clouds):
    joint, gaussian = make("joint", backbone).eval(), make("lri-gaussian", backbone).eval()
    final = joint.interpreter[-1]
    with torch.no_grad():
        final.weight.zero_()
        final.bias.copy_(emitted(60, 0.5, backbone))
    shared = {k: v for k, v in joint.state_dict().items() if "interpreter" not in k}
    gaussian.load_state_dict(shared, strict=False)
    with torch.no_grad():
        gaussian.interpreter[-1].weight.zero_()
        gaussian.interpreter[-1].bias.copy_(emitted(60, 0.5, backbone)[:-1])
        draws = [model(clouds, model.neighbors(clouds), random=CloudRandom(clouds, 5)).logits
                 for model in (joint, gaussian)]
        quiet = gaussian(clouds, gaussian.neighbors(clouds)).logits
    torch.testing.assert_close(draws[0], draws[1])
    assert not torch.allclose(draws[0], quiet)


@pytest.mark.parametrize("masks", ["messages", "features", "both"])
@BOTH
def test_with_hardly_any_movement_it_predicts_as_the_masked_cloud(backbone, masks, clouds):
    model = make("joint", backbone, masks=masks).eval()
    final = model.interpreter[-1]
    with torch.no_grad():
        final.weight.zero_()
        final.bias.copy_(emitted(-1, 1e-6, backbone))
        if backbone == "dgcnn":
            final.bias[9] = -30.0
        table = model.neighbors(clouds)
        got = model(clouds, table, random=CloudRandom(clouds, 2)).logits
        random = CloudRandom(clouds, 2)
        random.normal(clouds.sizes, 3)  # the movement
        u = random.uniform(clouds.sizes, dtype=torch.float32)
        mask = (-1 + u.logit()).sigmoid()  # the binary concrete distribution at temperature 1
        kept = {} if masks == "messages" else {"inputs": model.inputs(clouds) * mask[:, None]}
        kept |= {} if masks == "features" else {"point_weight": mask}
        torch.testing.assert_close(got, model.logits(clouds, table, **kept), atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize(("logit", "variance", "kind"), [
    (8, 1.0, EXISTENCE), (0.8472979, 1e-3, LOCATION), (-8, 1.0, NEITHER), (0.8472979, 1.0, NEITHER)])
@BOTH
def test_the_kind_says_which_noise_was_kept_small(backbone, clouds, logit, variance, kind):
    model = make("joint", backbone).eval()
    final = model.interpreter[-1]
    with torch.no_grad():
        final.weight.zero_()
        final.bias.copy_(emitted(logit, variance, backbone))
        output = model(clouds, model.neighbors(clouds), epoch=10**6)
    assert output.columns["kind"].unique().tolist() == [kind]


def test_both_heads_and_the_encoder_learn(clouds):
    model = make("joint").train()
    output = model(clouds, model.neighbors(clouds))
    (TASK.loss(output.logits, clouds["y"]) + output.penalty).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    assert bool((model.interpreter[-1].weight.grad.abs().sum(1) > 0).all())


def test_joint_refuses_what_makes_no_sense():
    with pytest.raises(PellucidError, match="alpha in"):
        make("joint", alpha=0.2)
    with pytest.raises(PellucidError, match="either or both"):
        make("joint", noise="neither")
    with pytest.raises(PellucidError, match="beta_existence"):
        make("joint", beta_existence=-1)


def test_the_options_of_both_parents_are_there_but_for_the_judging():
    known = methods["joint"].known_options()
    for parent in ("lri-gaussian", "lri-bernoulli"):
        own = methods[parent].known_options()
        assert {name: known.get(name) for name in own if own[name] != "judging"} == {
            name: group for name, group in own.items() if group != "judging"}
    assert {name for name, group in known.items() if group == "together"} == {"beta_existence", "noise"}
    model = make("joint", beta_existence=0.25, alpha=0.6, decay=3, temperature=0.5, beta=0.125, noise_dim=2, hops=1)
    assert (model.together.beta_existence, model.beta, model.dim, model.hops) == (0.25, 0.125, 2, 1)
    assert (model.existence.alpha, model.existence.decay, model.existence.temperature) == (0.6, 3, 0.5)
    assert make("joint", noise="either").together.noise == "either"


def test_a_joint_run_keeps_its_columns(tmp_path):
    clouds = toy_clouds()
    spec = DataSpec.of(clouds, TASK, category_sizes=(2,))
    run = train(toy_config("joint"), clouds, tmp_path / "egnn", spec, device="cpu", progress=False, quick=True)
    table = run.explanation.table()
    assert set(table) >= {"existence", "location", "kind", "radius"}
    assert "std_1" not in table
    assert min(table["radius"]) > 0
    other = train(toy_config("joint", "dgcnn"), clouds, tmp_path / "dgcnn", spec, device="cpu", progress=False,
                  quick=True)
    assert set(other.explanation.table()) >= {"existence", "location", "kind", "std_1", "axis_1_x"}
    assert 0 <= min(table["existence"]) <= max(table["existence"]) <= 1


def test_pointmask_penalty_is_the_divergence_of_torch(clouds):
    model = make("pointmask", alpha=0.5).train()
    table = model.neighbors(clouds)
    mean, raw = model.interpret(clouds, table).detach().unbind(1)
    normal = torch.distributions.Normal(mean, torch.nn.functional.softplus(raw))
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(model(clouds, table).penalty.detach(), 0.5 * expected)


def test_pointmask_multiplies_the_coordinates_by_a_thresholded_mask(clouds):
    model = make("pointmask", t=0.3, neighbors="kept").eval()
    table = model.neighbors(clouds)
    with torch.no_grad():
        output = model(clouds, table)
        mean = model.interpret(clouds, table)[:, 0]
        mask = (mean.sigmoid() - 0.3).clamp(min=0)
        torch.testing.assert_close(output.importance, mask)
        moved = clouds.replace(pos=clouds.pos * mask[:, None])
        torch.testing.assert_close(output.logits, model.logits(moved, table))
        model.interpreter[-1].bias[0] = -50.0
        model.interpreter[-1].weight.zero_()
        assert float(model(clouds, table).importance.abs().max()) == 0


def brute(pos, ptr, k):
    """k nearest by NumPy: the point itself first, ties by the order of the points."""
    rows = []
    for a, b in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        distance = np.linalg.norm(pos[a:b, None] - pos[None, a:b], axis=-1)
        np.fill_diagonal(distance, -1)
        rows += [set((a + np.argsort(row, kind="stable")[:k]).tolist()) for row in distance]
    return rows


def spread(model):
    """With masks of many sizes, which a fresh head does not give."""
    with torch.no_grad():
        model.interpreter[-1].weight.mul_(20)
    return model


@pytest.mark.parametrize("training", [False, True])
def test_pointmask_rebuilds_neighbourhoods_from_masked_coordinates(training, clouds, monkeypatch):
    model = spread(make("pointmask", t=0.0, neighbors="rebuilt", rule=NeighborRule("knn", 3))).double().train(training)
    clouds = clouds.to(dtype=torch.float64)
    asked = {}
    plain = model.logits
    monkeypatch.setattr(model, "logits", lambda c, n, *, pos: asked.update(n=n, pos=pos) or plain(c, n, pos=pos))
    output = model(clouds, model.neighbors(clouds))
    masked = asked["pos"].detach()
    assert bool((masked != 0).any(1).all())  # no ties, so that the answer is one
    wanted = brute(masked.numpy(), clouds.ptr, 3)
    table = asked["n"]
    got = [set(row[mask].tolist()) for row, mask in zip(table.index, table.index >= 0 if table.mask is None else
                                                        table.mask, strict=True)]
    assert got == wanted
    assert got != brute(clouds.pos.numpy(), clouds.ptr, 3)
    if not training:
        torch.testing.assert_close(output.logits, plain(clouds, table, pos=masked))


def test_the_distances_of_rebuilt_neighbourhoods_have_a_gradient(clouds):
    """Finite differences of the logit by the raw mean of one point, where no neighbour changes."""
    model = spread(make("pointmask", t=0.0, neighbors="rebuilt", rule=NeighborRule("knn", 3))).double().eval()
    one = clouds.to(dtype=torch.float64).select(torch.tensor([0]))
    table = model.neighbors(one)
    shift = torch.zeros(one.points, dtype=torch.float64, requires_grad=True)
    raw = model.interpret(one, table).detach()
    model.interpret = lambda *_: raw + torch.stack([shift, torch.zeros_like(shift)], 1)
    (got,) = torch.autograd.grad(model(one, table).logits.sum(), shift)
    assert bool((got != 0).any())
    for v in range(one.points):
        ends = []
        for sign in (1, -1):
            step = torch.zeros_like(raw)
            step[v, 0] = sign * 1e-6
            model.interpret = lambda *_, step=step: raw + step
            with torch.no_grad():
                ends.append(float(model(one, table).logits.sum()))
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(float(got[v]), abs=1e-6, rel=1e-4)


@pytest.mark.parametrize("backbone", ["dgcnn", "egnn", "point_transformer"])
def test_where_the_mask_takes_all_points_to_the_origin_nothing_breaks(backbone, clouds):
    """All distances are 0: gradients are finite, and the same clouds give the same answer in any company."""
    model = make("pointmask", backbone, neighbors="rebuilt").train()
    with torch.no_grad():
        model.interpreter[-1].weight.zero_()
        model.interpreter[-1].bias[0] = -50.0
    output = model(clouds, model.neighbors(clouds))
    (output.logits.sum() + output.penalty).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    model.eval()
    with torch.no_grad():
        together, again = (model(clouds, model.neighbors(clouds)).logits for _ in range(2))
        assert torch.equal(together, again)
        for place in range(len(clouds)):
            one = clouds.select(torch.tensor([place]))
            torch.testing.assert_close(model(one, model.neighbors(one)).logits[0], together[place])


@pytest.mark.parametrize("neighbors", ["kept", "rebuilt"])
def test_turning_a_cloud_about_the_origin_changes_no_invariant_prediction(neighbors, clouds):
    model = make("pointmask", t=0.1, neighbors=neighbors).double().eval()
    clouds = clouds.to(dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4)))[0]
    turned = clouds.replace(pos=clouds.pos @ turn.T)
    with torch.no_grad():
        a, b = (model(c, model.neighbors(c)) for c in (clouds, turned))
    torch.testing.assert_close(a.logits, b.logits)
    torch.testing.assert_close(a.importance, b.importance)


@pytest.mark.parametrize("deviation", ["softplus", "log_variance"])
def test_pointmask_sums_the_divergence_over_a_cloud(deviation, clouds):
    """With PyTorch's distributions: the sum over the points of a cloud, the mean over clouds."""
    model = make("pointmask", alpha=0.01, kl="sum", deviation=deviation).train()
    table = model.neighbors(clouds)
    mean, raw = model.interpret(clouds, table).detach().unbind(1)
    std = torch.nn.functional.softplus(raw) if deviation == "softplus" else raw.exp().sqrt()
    own, prior = torch.distributions.Normal(mean, std), torch.distributions.Normal(0.0, 1.0)
    each = torch.distributions.kl_divergence(own, prior)
    sums = [each[a:b].sum() for a, b in zip(clouds.ptr[:-1], clouds.ptr[1:], strict=True)]
    torch.testing.assert_close(model(clouds, table).penalty.detach(), 0.01 * torch.stack(sums).mean())
    model.mask = CoordinateMask(kl="mean", deviation=deviation)
    torch.testing.assert_close(model(clouds, table).penalty.detach(), 0.01 * each.mean())


@pytest.mark.parametrize("options", [{"neighbors": "new"}, {"kl": "max"}, {"deviation": "exp"}, {"start": "warm"}])
def test_unknown_choices_of_pointmask_are_refused(options):
    with pytest.raises(PellucidError, match=f"expected {next(iter(options))} to be"):
        make("pointmask", **options)


def test_pointmask_has_an_encoder_of_its_own_and_learns(clouds):
    model = make("pointmask", alpha=0.0).train()
    assert model.own_encoder is not None
    output = model(clouds, model.neighbors(clouds))
    assert float(output.penalty.detach()) == 0
    TASK.loss(output.logits, clouds["y"]).backward()
    assert bool((model.interpreter[-1].weight.grad.abs().sum() > 0).all())
    with pytest.raises(PellucidError, match="threshold t"):
        make("pointmask", t=1.0)
