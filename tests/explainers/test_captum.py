"""The explainers of Captum against autograd without Captum, closed forms, and sums that must come out."""

import pytest
import torch
from explaining import ByHand, tiny_clouds, tiny_model, total

from pellucid.errors import PellucidError
from pellucid.explainers import captum_methods, explainers

NAMES = ["saliency", "input-x-gradient", "integrated-gradients"]
PARTS = {"pos": ("coordinates",), "inputs": ("features",), "both": ("coordinates", "features")}


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def centroid(clouds):
    """The mean of its cloud for each point, the same to the last bit: near is not where directions vanish."""
    return torch.stack([total(c, clouds) for c in clouds.pos.T], 1).div(clouds.sizes[:, None])[clouds.batch]


def centred(clouds):
    return clouds.pos - centroid(clouds)


def by_autograd(model, clouds, on, target=0):
    """What is explained, and its gradients, without padding and copies."""
    given = {"pos": clouds.pos, "inputs": model.inputs(clouds)}
    given = {k: v.detach().clone().requires_grad_() for k, v in given.items() if on in (k, "both")}
    logit = model.logits(clouds, model.neighbors(clouds), **given)[:, target].sum()
    grads = torch.autograd.grad(logit, list(given.values()))
    values = {"pos": centred(clouds), "inputs": model.inputs(clouds).detach()}
    return [values[k] for k in given], grads


@pytest.mark.parametrize("on", PARTS)
@pytest.mark.parametrize("backbone", ["egnn", "dgcnn", "point_transformer"])
def test_saliency_and_input_x_gradient_are_those_of_autograd(backbone, on):
    clouds, model = tiny_clouds(), tiny_model(backbone=backbone)
    values, grads = by_autograd(model, clouds, on)
    expected = {"saliency": [g.abs().sum(1) for g in grads],
                "input-x-gradient": [(v * g).sum(1) for v, g in zip(values, grads, strict=True)]}
    for name, parts in expected.items():
        got = explainers[name](on).explain(model, clouds)
        assert tuple(got.columns) == PARTS[on]
        for column, part in zip(got.columns.values(), parts, strict=True):
            close(column, part)
        close(got.importance, sum(parts))


def test_saliency_equals_finite_differences():
    clouds, model = tiny_clouds((5,)), tiny_model()
    table, inputs, step = model.neighbors(clouds), model.inputs(clouds).detach(), 1e-6
    slopes = torch.zeros(5, dtype=torch.float64)
    with torch.no_grad():
        for name, at in (("pos", clouds.pos), ("inputs", inputs)):
            for i, j in torch.cartesian_prod(torch.arange(5), torch.arange(at.shape[1])).tolist():
                move = torch.zeros_like(at)
                move[i, j] = step
                up, down = (model.logits(clouds, table, **{name: at + s * move}).item() for s in (1, -1))
                slopes[i] += abs(up - down) / (2 * step)
    close(explainers["saliency"]().explain(model, clouds).importance, slopes, 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_target_is_explained(name):
    clouds, model = tiny_clouds(), tiny_model("multiclass", seed=1)
    explain = explainers[name]().explain
    each = [explain(model, clouds, target=t).importance for t in range(3)]
    assert not torch.allclose(each[0], each[1])
    with torch.no_grad():
        predicted = model.logits(clouds, model.neighbors(clouds)).argmax(1)[clouds.batch]
    assert len(predicted.unique()) > 1, "or this test says little"
    close(explain(model, clouds).importance, torch.stack(each)[predicted, torch.arange(clouds.points)])


def quadratic(pos, inputs, clouds):
    """Not a sum over points: products of neighbours in the list, which may be of one cloud or not, weigh on both."""
    x = torch.cat([pos, inputs], 1)
    ahead = torch.cat([x[1:], x[:1]]) * (clouds.batch == clouds.batch.roll(-1))[:, None]
    weight = torch.arange(1.0, 6.0, dtype=x.dtype)
    return total((x * weight + x.square() * weight.flip(0) + x * ahead.roll(1, 1)).sum(1), clouds)


@pytest.mark.parametrize("steps", [1, 3, 50])
@pytest.mark.parametrize("baselines", [{}, {"pos_baseline": "zero"}, {"inputs_baseline": "mean"}], ids=str)
@pytest.mark.parametrize("on", PARTS)
def test_integrated_gradients_of_a_quadratic_are_exact(on, baselines, steps):
    clouds, model = tiny_clouds(), ByHand(quadratic)
    start = {"pos": centroid(clouds), "inputs": torch.zeros_like(clouds["features"])}
    if baselines.get("pos_baseline") == "zero":
        start["pos"] = torch.zeros_like(clouds.pos)
    if baselines.get("inputs_baseline") == "mean":
        sizes = clouds.sizes[:, None]
        start["inputs"] = torch.stack([total(c, clouds) for c in clouds["features"].T], 1).div(sizes)[clouds.batch]
    end = {"pos": clouds.pos, "inputs": clouds["features"]}
    start = {k: start[k] if on in (k, "both") else end[k] for k in end}
    middle = {k: ((start[k] + end[k]) / 2).requires_grad_() for k in end}
    # the gradient is linear along the path, so its mean is that in the middle
    grads = torch.autograd.grad(model.value(**middle, clouds=clouds).sum(), list(middle.values()))
    parts = [((end[k] - start[k]) * g).sum(1) for k, g in zip(end, grads, strict=True) if on in (k, "both")]
    got = explainers["integrated-gradients"](on, steps=steps, **baselines).explain(model, clouds)
    for column, part in zip(got.columns.values(), parts, strict=True):
        close(column, part, 2e-6)  # Captum keeps the weights of the quadrature in float32
    close(got.importance, sum(parts), 2e-6)
    moved = model.value(**end, clouds=clouds) - model.value(**start, clouds=clouds)
    close(total(got.importance, clouds), moved, 2e-6)
    close(torch.tensor(got.provenance["convergence_delta"], dtype=torch.float64),
          total(got.importance, clouds) - moved, 1e-10)


def smooth(pos, inputs, clouds):
    far = (pos - (torch.stack([total(c, clouds) for c in pos.T], 1) / clouds.sizes[:, None])[clouds.batch]).square()
    return total(torch.exp(-far.sum(1)) * torch.sigmoid(3 * inputs.sum(1)), clouds).tanh()


def test_completeness_on_a_smooth_model_comes_with_the_steps():
    clouds, model = tiny_clouds(), ByHand(smooth)

    def gap(steps):
        got = explainers["integrated-gradients"](steps=steps).explain(model, clouds)
        end = smooth(clouds.pos, clouds["features"], clouds)
        start = smooth(centroid(clouds), torch.zeros_like(clouds["features"]), clouds)
        delta = total(got.importance, clouds) - (end - start)
        close(torch.tensor(got.provenance["convergence_delta"], dtype=torch.float64), delta)
        return float(delta.abs().max())

    gaps = [gap(steps) for steps in (2, 8, 50)]
    assert gaps[0] > 10 * gaps[1] > 1000 * gaps[2]
    assert gaps[2] < 1e-6


def test_completeness_with_an_invariant_backbone():
    clouds, model = tiny_clouds(), tiny_model()
    deltas = [max(abs(d) for d in explainers["integrated-gradients"](steps=steps).explain(model, clouds)
                  .provenance["convergence_delta"]) for steps in (3, 1000)]
    assert deltas[1] < 2e-3 < 0.2 < deltas[0]  # ReLU has kinks, so it is no faster


def test_a_jump_at_the_baseline_shows_in_the_delta():
    """Directions stay as they are however near points come, and are zero where they meet."""
    clouds, model = tiny_clouds(), tiny_model(backbone="dgcnn", seed=1)
    got = explainers["integrated-gradients"]("pos", steps=1000).explain(model, clouds)
    delta = torch.tensor(got.provenance["convergence_delta"], dtype=torch.float64)
    with torch.no_grad():
        table = model.neighbors(clouds)
        at, near = (model.logits(clouds, table, pos=centroid(clouds) + s * centred(clouds))[:, 0] for s in (0, 1e-9))
    assert float((near - at).abs().max()) > 0.01
    close(delta, at - near, 2e-3)


@pytest.mark.parametrize("points", [1, 30, 45, 10_000])
def test_how_many_steps_go_together_does_not_matter(points, monkeypatch):
    clouds, model = tiny_clouds(), tiny_model()
    explainer = explainers["integrated-gradients"](steps=7)
    expected = explainer.explain(model, clouds)
    monkeypatch.setattr(captum_methods, "points_a_pass", lambda _: points)
    passes, plain = [], model.logits
    monkeypatch.setattr(model, "logits", lambda c, *a, **k: passes.append(len(c) // 4) or plain(c, *a, **k))
    got = explainer.explain(model, clouds)
    close(got.importance, expected.importance, 1e-7)
    assert sum(passes) == 7 + 3, "the steps; the prediction and the two ends"
    assert max(passes) == min(7, max(1, points // clouds.points))


@pytest.mark.parametrize("name", NAMES)
def test_where_the_origin_lies_does_not_matter(name):
    clouds, model = tiny_clouds(), tiny_model(backbone="dgcnn")
    moved = clouds.replace(pos=clouds.pos + torch.tensor([3.0, -1.0, 7.0], dtype=torch.float64))
    explain = explainers[name]().explain
    close(explain(model, moved).importance, explain(model, clouds).importance, 1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_on_decides_what_the_model_must_allow(name):
    clouds = tiny_clouds()
    for can, on in (("pos", "inputs"), ("inputs", "pos"), ("pos", "both"), ("inputs", "both")):
        with pytest.raises(PellucidError, match=rf"on='{on}'\), got a model without; choose another on"):
            explainers[name](on).explain(ByHand(quadratic, can=(can,)), clouds)
        explainers[name](can).explain(ByHand(quadratic, can=(can,)), clouds)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_does_not_depend_on_what_is_explained_is_refused(name):
    clouds = tiny_clouds()
    blind = ByHand(lambda pos, inputs, clouds: total(inputs.sum(1) + pos.detach().sum(1), clouds))
    explainers[name]("inputs").explain(blind, clouds)
    for on in ("pos", "both"):
        with pytest.raises(PellucidError, match=f"differentiably on all of on='{on}'"):
            explainers[name](on).explain(blind, clouds)

    def broken(pos, inputs, clouds):
        if pos.requires_grad:
            raise RuntimeError("out of luck")
        return total(inputs.sum(1), clouds)

    with pytest.raises(RuntimeError, match="out of luck"):
        explainers[name]().explain(ByHand(broken), clouds)


@pytest.mark.parametrize(("name", "options", "said"), [
    ("saliency", {"on": "features"}, "on to be one of pos, inputs, both, got 'features'"),
    ("integrated-gradients", {"steps": 0}, "at least 1 step, got 0"),
    ("integrated-gradients", {"pos_baseline": "mean"}, "out of centroid, zero, got 'mean'"),
    ("integrated-gradients", {"inputs_baseline": "centroid"}, "out of zero, mean, got 'centroid'")])
def test_bad_options_are_refused(name, options, said):
    with pytest.raises(PellucidError, match=said):
        explainers[name](**options)
