"""Occlusion against a loop that removes one point at a time."""

import pytest
import torch
from explaining import ByHand, tiny_clouds, tiny_model, total

from pellucid.errors import PellucidError
from pellucid.explainers import explainers, occlusion


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def one_by_one(model, clouds, target=0):
    def logit(some):
        return model.logits(some, model.neighbors(some))[:, target]

    with torch.no_grad():
        gone = [logit(clouds)[cloud] - logit(clouds.keep_points(torch.arange(clouds.points) != point))[cloud]
                for point, cloud in enumerate(clouds.batch.tolist())]
    return torch.stack(gone)


@pytest.mark.parametrize("points", [1, 20, 1 << 12])
@pytest.mark.parametrize("backbone", ["egnn", "dgcnn", "point_transformer"])
def test_it_equals_removing_one_point_at_a_time(backbone, points, monkeypatch):
    monkeypatch.setattr(occlusion, "points_a_pass", lambda _: points)
    clouds, model = tiny_clouds((6, 1, 0, 4, 9)), tiny_model("multiclass", backbone=backbone)
    got = explainers["occlusion"]().explain(model, clouds, target=2)
    close(got.importance, one_by_one(model, clouds, target=2))


def test_passes_are_as_large_as_memory_allows(monkeypatch):
    monkeypatch.setattr(occlusion, "points_a_pass", lambda _: 30)
    clouds, model, passes = tiny_clouds((6, 9, 40)), tiny_model(), []
    plain = model.logits
    monkeypatch.setattr(model, "logits", lambda c, *a, **k: passes.append((len(c), c.points)) or plain(c, *a, **k))
    explainers["occlusion"]().explain(model, clouds)
    removed = passes[2:]  # after the prediction and the whole clouds
    assert sum(count for count, _ in removed) == clouds.points
    assert all(points < 30 + 40 for _, points in removed), "a pass is full with the cloud that fills it"
    assert len(removed) < 2 + 3 + 40, "small clouds go together"


def test_an_additive_model_gives_each_points_own_contribution():
    clouds = tiny_clouds((5, 1, 8))
    own = torch.sin(3 * clouds["features"].sum(1)) + clouds.pos.prod(1)
    model = ByHand(lambda pos, inputs, c: 7 + total(torch.sin(3 * inputs.sum(1)) + pos.prod(1), c))
    close(explainers["occlusion"]().explain(model, clouds).importance, own)


def test_a_model_that_cannot_be_differentiated_is_explained():
    model = ByHand(lambda pos, inputs, c: total(pos.detach().round().sum(1), c), can=())
    clouds = tiny_clouds()
    close(explainers["occlusion"]().explain(model, clouds).importance, clouds.pos.round().sum(1))


def fails(pos, inputs, clouds):
    if (clouds.sizes == 0).any():
        raise IndexError("no points")
    return total(inputs.sum(1), clouds)


@pytest.mark.parametrize("name", ["occlusion", "shapley"])
@pytest.mark.parametrize(("value", "said"), [
    (lambda pos, inputs, c: total(inputs.sum(1), c) / c.sizes, "a finite prediction for a cloud without points"),
    (fails, "predicts for a cloud without points, got no points; pool by a sum"),
])
def test_a_model_that_cannot_see_an_empty_cloud_is_refused_where_it_must(name, value, said):
    with pytest.raises(PellucidError, match=said):
        explainers[name]().explain(ByHand(value), tiny_clouds((3, 1)))
    if name == "occlusion":  # no cloud becomes empty
        assert bool(explainers[name]().explain(ByHand(value), tiny_clouds((3, 2))).importance.isfinite().all())
