"""What every registered explainer must do; a new one is covered by being registered."""

import json

import pytest
import torch
from explaining import TASKS, assert_untouched, tiny_clouds, tiny_model

from pellucid.backbones import backbones
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.explainers import explainers
from pellucid.methods.base import Supports
from pellucid.targets import Target, Targets

OPTIONS = {
    "bernmask": {"steps": 5},
    "bernmask-p": {"epochs": 2, "batch_size": 3},
    "integrated-gradients": {"steps": 5},
    "pyg": {"epochs": 5},
    "shapley": {"permutations": 6},
    "smoothgrad": {"draws": 3},
}
"""Small settings; an explainer that is not named here is made without options."""

NOISY = {"random", "bernmask", "pyg", "shapley", "smoothgrad"}
"""Explainers that draw numbers while they explain: another seed, or another order of points, gives other numbers."""

pytestmark = pytest.mark.parametrize("name", list(explainers))


def ready(name, model, seed=0, target=None):
    """The explainer with small settings, fitted where it must be."""
    explainer = explainers[name](**OPTIONS.get(name, {}))
    if explainer.trains:
        training = tiny_clouds((5, 3, 7, 4), dtype=next(model.parameters()).dtype, seed=1)
        explainer.fit(model, training, target=target, seed=seed)
    return explainer


def close(a, b, tolerance=1e-8):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def test_it_says_what_it_is(name):
    explainer = explainers[name]
    assert explainer.citation
    assert explainer.check
    assert explainers.describe()[name].endswith(".")
    assert isinstance(explainer.needs, frozenset)
    assert set(OPTIONS) <= set(explainers), "settings of an explainer that is gone"
    assert set(explainers) >= NOISY, "an explainer that is gone"


@pytest.mark.parametrize(("task", "backbone"), [*((task, "egnn") for task in TASKS),
                                                *(("binary", other) for other in backbones if other != "egnn")])
def test_importance_is_finite_and_one_number_a_point(name, task, backbone):
    clouds = tiny_clouds()
    model = tiny_model(task, backbone=backbone)
    explainer = ready(name, model)
    try:
        explainer.refuse(model, clouds)
    except PellucidError:  # e.g. for want of coordinates, which gcn does not see
        assert not backbones[backbone](3).sees_coordinates
        with pytest.raises(PellucidError, match="expected a prediction that can be differentiated"):
            explainer.explain(model, clouds)
        return
    explanation = explainer.explain(model, clouds, batch_size=3)
    for values in (explanation.importance, *explanation.columns.values()):
        assert values.shape == (clouds.points,)
        assert not values.requires_grad
        assert bool(values.isfinite().all())
    assert len({float(v) for v in explanation.importance}) > 1, "points differ"
    if explainer.mask:
        assert 0 <= float(explanation.importance.min()) <= float(explanation.importance.max()) <= 1
    with torch.no_grad():
        close(explanation.prediction, model.targets.predict(model.logits(clouds, model.neighbors(clouds))))
    assert explanation.targets == model.targets
    assert explanation.signed == explainer.signed
    assert not explanation.shared
    assert explanation.importance_name == explainer.importance_name
    assert explanation.importance_name not in ("", "importance"), "name the number"
    json.dumps(explanation.provenance)
    for key, values in explanation.provenance.items():
        assert not isinstance(values, list) or len(values) == len(clouds), f"one {key} a cloud"


def test_the_model_stays_as_it_was(name):
    clouds = tiny_clouds()
    model = tiny_model()
    expected = ready(name, model).explain(model, clouds).importance
    model.train()
    model.encoder.layers[0].eval()
    list(model.parameters())[1].requires_grad_(False)
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    model.encoder.register_forward_hook(lambda *_: None)
    with assert_untouched(model):
        explanation = ready(name, model).explain(model, clouds)
    close(explanation.importance, expected)  # what matters is the model, not the state it is in
    with assert_untouched(model), pytest.raises(KeyboardInterrupt):
        ready(name, model).explain(model, clouds, batch_size=1, advance=interrupt)


def interrupt(done, total):
    raise KeyboardInterrupt


def test_the_clouds_stay_as_they_were(name):
    clouds, model = tiny_clouds(), tiny_model()
    before = {key: clouds[key].clone() for key in clouds.names}
    explanation = ready(name, model).explain(model, clouds)
    assert all(torch.equal(clouds[key], before[key]) for key in before)
    assert not any(clouds[key].requires_grad for key in before)
    assert explanation.clouds.names == clouds.names


def test_the_seed_decides(name):
    clouds, model = tiny_clouds(), tiny_model()
    state = torch.get_rng_state()
    first = ready(name, model).explain(model, clouds, seed=3)
    assert torch.equal(torch.get_rng_state(), state), "PyTorch's own random numbers are left alone"
    torch.manual_seed(99)
    again = ready(name, model).explain(model, clouds, seed=3)
    assert torch.equal(first.importance, again.importance)
    assert all(torch.equal(first.columns[key], again.columns[key]) for key in first.columns)
    other = ready(name, model).explain(model, clouds, seed=4).importance
    assert torch.equal(first.importance, other) == (name not in NOISY), "NOISY names all that draw while they explain"


def test_permuted_points_permute_the_importance(name):
    clouds, model = tiny_clouds(), tiny_model(backbone="dgcnn")
    random = torch.Generator().manual_seed(3)
    order = torch.cat([torch.randperm(n, generator=random) + start
                       for start, n in zip(clouds.ptr.tolist(), clouds.sizes.tolist(), strict=False)])
    explainer = ready(name, model)
    expected = explainer.explain(model, clouds)
    got = explainer.explain(model, clouds.replace(**{key: clouds[key][order] for key in clouds.names}))
    close(got.prediction, expected.prediction)
    if name not in NOISY:  # of those that draw, test_the_seed_decides makes sure that they do
        close(got.importance, expected.importance[order])


def same_sample(got, expected, places):
    """What is said of clouds is what was said of the same ones, at these places of another explanation."""
    rows = torch.cat([torch.arange(expected.clouds.ptr[i], expected.clouds.ptr[i + 1]) for i in places])
    close(got.prediction, expected.prediction[rows if expected.level == "point" else torch.tensor(places)])
    close(got.importance, expected.importance[rows])
    assert got.columns.keys() == expected.columns.keys()
    for key, column in expected.columns.items():
        close(got.columns[key], column[rows])
    for key, values in expected.provenance.items():
        if isinstance(values, list):
            assert got.provenance[key] == pytest.approx([values[i] for i in places], abs=1e-8), key


@pytest.mark.parametrize("task", ["binary", "mixed", "points"])
def test_a_sample_gets_the_same_alone_in_another_batch_and_in_another_order(name, task):
    clouds, model = tiny_clouds(), tiny_model(task, backbone="point_transformer")
    explainer = ready(name, model)
    together = explainer.explain(model, clouds, seed=5)
    for batch_size in (1, 3):
        same_sample(explainer.explain(model, clouds, seed=5, batch_size=batch_size), together, [0, 1, 2, 3])
    for places in ([2], [3, 0], [3, 2, 1, 0], [1, 3, 0, 2]):
        some = clouds.select(torch.tensor(places))
        same_sample(explainer.explain(model, some, seed=5), together, places)
    twice = explainer.explain(model, clouds.select(torch.tensor([3, 0, 3])), seed=5)
    same_sample(twice, together, [3, 0, 3])


def test_a_target_is_found_by_its_name_and_by_its_number(name):
    clouds, model = tiny_clouds(), tiny_model("mixed")
    each = [ready(name, model, target=number).explain(model, clouds, target=number) for number in range(5)]
    for number, text in enumerate(model.targets.names):
        named = ready(name, model, target=text).explain(model, clouds, target=text)
        assert torch.equal(named.importance, each[number].importance)
        assert named.explained.tolist() == [number] * 4
        assert named.quantity(0) == model.targets.quantities[number]
    default = ready(name, model).explain(model, clouds)
    assert torch.equal(default.importance, each[0].importance), "the first target"
    predicted = ready(name, model, target="colour").explain(model, clouds, target="colour")
    with torch.no_grad():
        logits = model.logits(clouds, model.neighbors(clouds))
    assert predicted.explained.tolist() == (1 + logits[:, 1:4].argmax(1)).tolist()
    if not explainers[name].trains:
        for i, output in enumerate(predicted.explained.tolist()):
            rows = slice(int(clouds.ptr[i]), int(clouds.ptr[i + 1]))
            close(predicted.importance[rows], each[output].importance[rows])


def scaled_targets(spread):
    return Targets((Target("mass", "regression", unit="g", center=5.0, spread=spread), Target("toxic")))


def test_of_a_regression_signed_importance_is_in_its_unit(name):
    """A logit is the value in units of the target's spread; everything but signed explainers is told in logits."""
    clouds = tiny_clouds()
    one, ten = (ready(name, model).explain(model, clouds, target="mass") for model in (
        tiny_model(scaled_targets(spread)) for spread in (1.0, 10.0)))
    factor = 10 if explainers[name].signed else 1
    close(ten.importance, factor * one.importance)
    for key, column in one.columns.items():
        close(ten.columns[key], factor * column)
    for key, values in one.provenance.items():
        if isinstance(values, list):
            scaled = [factor * v if isinstance(v, float) else v for v in values]
            assert ten.provenance[key] == pytest.approx(scaled, abs=1e-6), key
    assert one.unit(0) == ("g" if explainers[name].signed else "")
    toxic = [ready(name, model, target="toxic").explain(model, clouds, target="toxic") for model in (
        tiny_model(scaled_targets(1.0)), tiny_model(scaled_targets(10.0)))]
    if name != "bernmask-p":
        close(toxic[0].importance, toxic[1].importance)


def test_targets_of_points_are_explained(name):
    clouds, model = tiny_clouds((6, 4, 9)), tiny_model("points")
    explainer = ready(name, model, target="acid")
    explanation = explainer.explain(model, clouds, target="acid")
    assert explanation.level == "point"
    assert explanation.prediction.shape == (19, 2)
    assert explanation.importance.shape == (19,)
    assert explanation.explained.tolist() == [1, 1, 1]
    with torch.no_grad():
        close(explanation.prediction, model.targets.predict(model.logits(clouds, model.neighbors(clouds))))
    if "pos" in clouds and explainers[name].needs and not explainers[name].trains:
        second = explainer.explain(model, clouds, target="acid", point=1).importance
        assert not torch.equal(second, explainer.explain(model, clouds, target="acid", point=2).importance)
    for point in (4, -1):
        with pytest.raises(PellucidError, match=f"a point from 0 to 3, which all clouds have, got {point}"):
            explainer.explain(model, clouds, point=point)
    with pytest.raises(PellucidError, match="clouds that all have points"):
        explainer.explain(model, tiny_clouds(()), point=0)


def test_float32_is_close_to_float64(name):
    results = {}
    for dtype in (torch.float32, torch.float64):
        model = tiny_model(dtype=dtype)
        explainer = ready(name, tiny_model(dtype=torch.float64))  # fitted alike
        if explainer.trains:
            explainer = ready(name, model)
        # the same numbers in both, since what was rounded is another sample, which draws anew
        results[dtype] = explainer.explain(model, tiny_clouds(dtype=torch.float32).to(dtype=dtype)).importance
    assert results[torch.float32].dtype == torch.float32
    # what is trained, or found by many steps, drifts further apart than one pass does
    close(results[torch.float32].double(), results[torch.float64].double(), 2e-2 if explainer.trains else 1e-3)


@pytest.mark.parametrize("sizes", [(1,), (1, 1), (2,), (0, 5, 0), (0,), (0, 0)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_smallest_clouds(name, sizes, dtype):
    model, clouds = tiny_model(dtype=dtype), tiny_clouds(sizes, dtype=dtype)
    explanation = ready(name, model).explain(model, clouds)
    assert explanation.importance.shape == (sum(sizes),)
    assert explanation.prediction.shape == (len(sizes), 1)


def test_points_in_one_place(name):
    model, clouds = tiny_model(backbone="dgcnn"), tiny_clouds()
    clouds = clouds.replace(pos=torch.zeros_like(clouds.pos))
    assert bool(ready(name, model).explain(model, clouds).importance.isfinite().all())


def test_no_clouds_at_all(name):
    model, clouds = tiny_model("multiclass"), tiny_clouds(())
    explanation = ready(name, model).explain(model, clouds)
    assert explanation.importance.shape == (0,)
    assert explanation.prediction.shape == (0, 3)


def test_what_cannot_be_explained_is_refused_before_work_starts(name, monkeypatch):
    model, clouds = tiny_model(), tiny_clouds()
    explainer = explainers[name](**OPTIONS.get(name, {}))
    monkeypatch.setattr(model, "logits", lambda *_, **__: pytest.fail("work started"))
    monkeypatch.setattr(model, "embed", lambda *_, **__: pytest.fail("work started"))
    explain = explainer.explain
    bad = clouds.pos.clone()
    bad[2, 1] = torch.nan
    with pytest.raises(PellucidError, match="cloud 0"):
        explain(model, clouds.replace(pos=bad))
    two = PointClouds(clouds.ptr, {key: clouds[key] for key in clouds.names}, partner=tiny_clouds(seed=1))
    with pytest.raises(PellucidError, match="got two"):
        explain(model, two)
    with pytest.raises(PellucidError, match="at least 1 cloud a batch"):
        explain(model, clouds, batch_size=0)
    for target in (-1, 1):
        with pytest.raises(PellucidError, match="an output from 0 to 0"):
            explain(model, clouds, target=target)
    for target in ("toxic", "y=1"):
        with pytest.raises(UnknownNameError, match=f"expected a known target, got '{target}'"):
            explain(model, clouds, target=target)
    with pytest.raises(PellucidError, match="a model whose targets are of points to explain point 0"):
        explain(model, clouds, point=0)
    monkeypatch.setattr(type(explainer), "supports", Supports(kinds=("regression",)))
    with pytest.raises(PellucidError, match=r"out of regression for .*, got the binary 'y'"):
        explain(model, clouds)


def test_a_model_without_what_it_needs_is_refused(name, monkeypatch):
    model, clouds = tiny_model(), tiny_clouds()
    explainer = ready(name, model)
    plain = model.logits

    def logits(clouds, neighbors, **more):
        assert not more, "the model was said not to take this"
        return plain(clouds, neighbors)

    monkeypatch.setattr(type(model), "can", frozenset())
    monkeypatch.setattr(model, "logits", logits)
    try:
        explainer.refuse(model, clouds)
        said = ""
    except PellucidError as error:
        said = str(error)
    if said:
        assert "got a model without" in said
        with pytest.raises(PellucidError, match="got a model without"):
            explainer.explain(model, clouds)
    else:
        assert not explainer.needs
        assert explainer.explain(model, clouds).importance.shape == (clouds.points,)


def test_progress_is_told(name):
    model, clouds, told = tiny_model(), tiny_clouds(), []
    ready(name, model).explain(model, clouds, batch_size=3, advance=lambda done, of: told.append((done, of)))
    assert told == [(3, 4), (4, 4)]
