"""gradgeo, gradgam and random against finite differences and sums that must come out."""

import pytest
import torch
from scipy.spatial.transform import Rotation
from toy import toy_clouds, toy_config

from pellucid.backbones import backbones
from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.explainers.base import gradient
from pellucid.methods import NeighborRule, methods
from pellucid.spec import DataSpec
from pellucid.targets import Targets
from pellucid.testing.samples import unsettled
from pellucid.training import build
from pellucid.training.model import measured


def model_for(clouds, backbone="egnn", dtype=torch.float64):
    torch.manual_seed(0)
    config = toy_config("erm", backbone)
    spec = measured(DataSpec.of(clouds, Targets.of("binary"), category_sizes=(2,)), clouds, config)
    return build(config, spec).to(dtype).eval()


@pytest.mark.parametrize("backbone", ["egnn", "dgcnn", "point_transformer"])
def test_gradgeo_equals_finite_differences(backbone):
    clouds = toy_clouds(2).to(dtype=torch.float64)
    model = model_for(clouds, backbone)
    got = explainers["gradgeo"]().explain(model, clouds).importance
    table = model.neighbors(clouds)
    step, norms = 1e-6, torch.zeros(clouds.points, dtype=torch.float64)
    with torch.no_grad():
        for point in range(clouds.points):
            slopes = []
            for axis in range(3):
                move = torch.zeros_like(clouds.pos)
                move[point, axis] = step
                up = model.logits(clouds, table, pos=clouds.pos + move).sum()
                down = model.logits(clouds, table, pos=clouds.pos - move).sum()
                slopes.append((up - down) / (2 * step))
            norms[point] = torch.stack(slopes).norm()
    torch.testing.assert_close(got, norms, atol=1e-6, rtol=1e-4)


def test_gradgeo_does_not_change_when_an_invariant_model_sees_turned_clouds():
    clouds = toy_clouds(5).to(dtype=torch.float64)
    model = model_for(clouds)
    turn = torch.from_numpy(Rotation.random(random_state=0).as_matrix())
    turned = clouds.replace(pos=clouds.pos @ turn.T)
    explain = explainers["gradgeo"]().explain
    torch.testing.assert_close(explain(model, turned).importance, explain(model, clouds).importance)


def test_gradgam_with_a_linear_head_is_each_points_share_of_the_logit():
    clouds = toy_clouds(5).to(dtype=torch.float64)
    model = model_for(clouds)
    model.readout.head = torch.nn.Sequential(torch.nn.Linear(16, 1)).double()
    explanation = explainers["gradgam"]().explain(model, clouds)
    shares = torch.zeros(5, dtype=torch.float64).index_add(0, clouds.batch, explanation.importance)
    logit = model.logits(clouds, model.neighbors(clouds)).detach()[:, 0]
    torch.testing.assert_close(shares + model.readout.head[0].bias.detach(), logit)


@pytest.mark.parametrize("read_all", [False, True])
@pytest.mark.parametrize(("backbone", "form"), [("dgcnn", "release"), ("dgcnn", "compact"), ("egnn", None),
                                                ("point_transformer", None), ("schnet", None)])
def test_gradgam_at_the_last_convolution_equals_hooks_on_it(backbone, form, read_all):
    """Grad-CAM as its own code has it: the layer's output and its gradient, caught by PyTorch's hooks."""
    clouds = toy_clouds(5).to(dtype=torch.float64)
    torch.manual_seed(0)
    model = methods["erm"].make(
        lambda: backbones[backbone](3, (2,), hidden=8, layers=2, dropout=0.1, read_all=read_all,
                                    **({"form": form} if form else {})),
        Targets.of("binary"), rule=NeighborRule("knn", 4)).double().eval()
    unsettled(model)
    got = explainers["gradgam"](reads="convolution").explain(model, clouds).importance
    layer = model.encoder.layers[-1]
    part = layer.norm if form == "release" else layer.update_out if backbone == "schnet" else layer.update
    caught = {}

    def keep(module, given, out):
        out.retain_grad()
        caught["out"] = out

    handle = part.register_forward_hook(keep)
    pos = clouds.pos.clone().requires_grad_()
    model.logits(clouds, model.neighbors(clouds), pos=pos).sum().backward()
    handle.remove()
    out = caught["out"]
    # where the module caught is before a ReLU, its gradient is that behind it where the ReLU is open; the rest counts 0
    torch.testing.assert_close(got, (torch.relu(out) * out.grad).sum(-1).detach())
    other = explainers["gradgam"]().explain(model, clouds).importance
    assert not torch.allclose(got, other)


def test_gradgam_at_the_last_convolution_refuses_what_has_no_residual_sum():
    clouds = toy_clouds(3)
    model = model_for(clouds, "gcn", dtype=torch.float32)
    with pytest.raises(PellucidError, match="last layer whose part in a residual sum can be read for GradGAM"):
        explainers["gradgam"](reads="convolution").explain(model, clouds)
    assert explainers["gradgam"]().explain(model, clouds).importance.isfinite().all()
    with pytest.raises(PellucidError, match="reads to be embedding or convolution"):
        explainers["gradgam"](reads="input")


def test_a_model_that_does_not_depend_on_positions_is_refused():
    clouds = toy_clouds(3)
    model = model_for(clouds, dtype=torch.float32)
    plain = model.logits
    model.logits = lambda c, n, *, pos=None, **k: plain(c, n, pos=None if pos is None else pos.detach(), **k)
    with pytest.raises(PellucidError, match="depends differentiably on the coordinates"):
        explainers["gradgeo"]().explain(model, clouds)
    with pytest.raises(PellucidError, match="depends differentiably"):
        gradient((torch.ones(2, requires_grad=True) * 2).sum(), torch.ones(1, requires_grad=True), "coordinates")


def test_random_is_seeded_and_uniform():
    clouds = toy_clouds(60)
    model = model_for(clouds, dtype=torch.float32)
    first, again, other = (explainers["random"]().explain(model, clouds, seed=s).importance for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0 <= float(first.min()) < float(first.max()) < 1
    assert float(first.mean()) == pytest.approx(0.5, abs=0.05)
