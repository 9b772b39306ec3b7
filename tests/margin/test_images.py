"""Explaining an image prediction: against loops over superpixels and pixels, and on models that look at one place."""

import sys

import networkx as nx
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import chelsea, coffee
from sklearn.base import clone

from pellucid.errors import MissingPackageError, PellucidError
from pellucid.margin.image_explanation import ImageExplanation, overlay
from pellucid.margin.images import VARIANTS, ImageExplainer, explain_image
from pellucid.margin.superpixels import FILLS, Masker, as_image, superpixels

PHOTO = coffee()[40:360:8, 100:420:8]  # 40 x 40
BOX = (slice(12, 24), slice(8, 20))
ROOM = np.zeros((32, 32, 3))
ROOM[4:10, 4:10] = (1, 0, 0)
ROOM[20:28, 18:30] = (0, 1, 0)


def looks_at_the_box(batch):
    """How bright the box is, as an odd and an even probability."""
    p = batch[:, BOX[0], BOX[1]].mean((1, 2, 3)) / 255
    return np.stack([p, 1 - p], 1)


def colours(batch):
    """How much red and green there is, and the rest."""
    p = batch.mean((1, 2))[:, :2]
    return np.concatenate([p, 1 - p.sum(1, keepdims=True)], 1)


def by_loops(explainer, target):
    """Saliency, influence and product of section 5.2, pixel by pixel, superpixel by superpixel."""
    image, model, masker = explainer.image_, explainer.model, Masker(explainer.image_, explainer.fill)
    original = model(image[None])[0, target]
    nodes = [(run, m) for run, part in enumerate(explainer.segments_) for m in range(part.max() + 1)]
    masks = [explainer.segments_[run] == m for run, m in nodes]
    change = np.array([original - model(masker.copy(mask)[None])[0, target] for mask in masks])
    s = np.abs(change) if explainer.variant == "paper" else np.maximum(change, 0)
    size = np.array([mask.sum() for mask in masks])
    graph = nx.Graph()
    graph.add_nodes_from(range(len(nodes)))
    for n in range(len(nodes)):
        if explainer.variant == "overlap":
            graph.add_weighted_edges_from((n, m, (masks[n] & masks[m]).sum()) for m in range(len(nodes))
                                          if (masks[n] & masks[m]).any())
        else:  # all differences are different: see the test
            nearest = sorted((m for m in range(len(nodes)) if m != n), key=lambda m: abs(s[n] - s[m]))
            graph.add_weighted_edges_from((n, m, 1) for m in nearest[:explainer.n_neighbors])
    f = s if explainer.variant == "overlap" else size / size.max()
    heard = np.array([sum(e["weight"] * f[m] for m, e in graph[n].items()) / sum(e["weight"] for e in graph[n].values())
                      for n in range(len(nodes))])
    i = {"overlap": heard, "sparse": np.maximum(heard - f, 0), "paper": (f - heard)**2}[explainer.variant]
    maps = np.zeros((2, *image.shape[:2]))
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            holding = [n for n in range(len(nodes)) if masks[n][y, x]]
            for row, values in enumerate((s, i)):
                maps[row, y, x] = np.average([values[n] for n in holding], weights=[1 / size[n] for n in holding])
    return maps[0], maps[1], maps[0] * maps[1], change


@pytest.mark.parametrize(("variant", "target"), [*((variant, 0) for variant in VARIANTS), ("paper", 1)])
@pytest.mark.parametrize("fill", ["mean", "blur"])
def test_maps_are_those_of_the_paper(variant, target, fill):
    image = PHOTO[:16, 10:26]
    weight = np.random.default_rng(0).random(image.shape)
    weight /= weight.sum()

    def everywhere(batch):  # every superpixel takes another amount from the first class
        p = (weight * (batch == image)).sum((1, 2, 3))
        return np.stack([p, 1 - p], 1)

    explainer = ImageExplainer(everywhere, (6, 12), variant=variant, fill=fill, n_neighbors=4).fit(image)
    found = explainer.explain(target)
    s, i, product, change = by_loops(explainer, target)
    assert len(np.unique(change)) == len(change) > 12
    assert (change > 0).all() if target == 0 else (change < 0).all()
    np.testing.assert_allclose(found.saliency, s, atol=1e-12)
    np.testing.assert_allclose(found.influence, i, atol=1e-12)
    np.testing.assert_allclose(found.map, product / product.max(), atol=1e-10)
    np.testing.assert_allclose(found.change, change, atol=1e-12)


@pytest.mark.parametrize("variant", ["overlap", "sparse"])
def test_the_map_lies_where_the_model_looks(variant):
    found = explain_image(looks_at_the_box, PHOTO, 0, sizes=(20, 40, 60), fill="mean", variant=variant)
    inside = np.zeros(PHOTO.shape[:2], bool)
    inside[BOX] = True
    assert found.map.max() == 1
    assert found.map[inside].mean() > 5 * found.map[~inside].mean()


def test_each_class_has_its_own_place_without_more_calls():
    asked = []

    def counted(batch):
        asked.append(len(batch))
        return colours(batch)

    explainer = ImageExplainer(counted, (12, 24), fill="mean", batch_size=7).fit(ROOM)
    calls = sum(asked)
    red, green = explainer.explain(0), explainer.explain(1)
    assert sum(asked) == calls == red.calls == green.calls
    assert max(asked) == 7
    assert red.saliency[6, 6] > 0.01 > red.saliency[24, 24]
    assert green.saliency[24, 24] > 0.01 > green.saliency[6, 6]
    assert explainer.explain().target == 2, "the predicted one"


def test_the_same_superpixel_is_asked_about_once():
    explainer = ImageExplainer(colours, (12, 12)).fit(ROOM)
    once = ImageExplainer(colours, (12,)).fit(ROOM)
    assert explainer.calls_ == once.calls_ == len(once.masked_) + 1
    np.testing.assert_array_equal(explainer.masked_, np.tile(once.masked_, (2, 1)))


def test_images_of_any_kind_give_the_same():
    expected = explain_image(colours, ROOM, 0, sizes=(12, 24))
    tensors = ImageExplainer(lambda batch: torch.tensor(colours(batch), requires_grad=True), (12, 24))
    np.testing.assert_allclose(tensors.fit(torch.tensor(ROOM)).explain(0).map, expected.map)
    flat = ROOM.mean(2)
    grey = explain_image(lambda batch: np.stack([batch.mean((1, 2, 3))] * 2, 1), flat, sizes=(12, 24))
    assert grey.image.shape == (32, 32, 1)
    assert grey.map.shape == (32, 32)
    assert len(np.unique(grey.segments[0])) > 4


def test_a_model_that_looks_at_nothing_has_an_empty_map():
    for variant in VARIANTS:
        found = explain_image(lambda batch: np.full((len(batch), 2), 0.5), ROOM, sizes=(12, 24), variant=variant)
        assert found.map.max() == 0
        assert found.overlay().shape == (32, 32, 3)


def test_superpixels_are_connected_colours():
    parts = superpixels(ROOM, 30)
    assert (np.unique(parts) == np.arange(parts.max() + 1)).all()
    for m in range(parts.max() + 1):
        colour = ROOM[parts == m]
        assert (colour == colour[0]).mean() > 0.8
    fine = superpixels(chelsea()[::3, ::3], 200)
    assert 100 < fine.max() < 220


def test_fills():
    where = np.zeros((40, 40), bool)
    where[10:20, 10:20] = True
    for fill in FILLS:
        copy = Masker(PHOTO, fill).copy(where)
        assert copy.dtype == PHOTO.dtype
        np.testing.assert_array_equal(copy[~where], PHOTO[~where])
        assert (copy[where] != PHOTO[where]).mean() > 0.5
    np.testing.assert_array_equal(Masker(PHOTO, "mean").copy(where)[12, 12], np.rint(PHOTO.mean((0, 1))))
    slope = np.tile(np.linspace(0, 1, 40)[:, None, None], (1, 40, 1))
    np.testing.assert_allclose(Masker(slope, "inpaint").copy(where), slope, atol=0.02)  # a plane solves the equation


def test_it_is_an_estimator(tmp_path):
    explainer = ImageExplainer(colours, (12, 24), fill="inpaint")
    assert clone(explainer).get_params() == explainer.get_params()
    found = explainer.fit(ROOM).explain(1)
    found.save(tmp_path / "green.png", "saliency")
    picture = np.asarray(Image.open(tmp_path / "green.png"))
    np.testing.assert_array_equal(picture, overlay(ROOM, found.saliency))
    assert picture[24, 24].astype(int).sum() > picture[2, 2].astype(int).sum() + 100


@pytest.mark.parametrize(("call", "message"), [
    (lambda: explain_image(colours, ROOM.transpose(2, 0, 1)), r"got shape \(3, 32, 32\); move the channels to the end"),
    (lambda: explain_image(colours, ROOM[None]), r"got shape \(1, 32, 32, 3\); give one image at a time"),
    (lambda: explain_image(colours, np.where(ROOM > 0.5, np.nan, ROOM)), "an image of finite numbers, got 132"),
    (lambda: explain_image(colours, ROOM > 0.5), "expected an image of numbers, got bool"),
    (lambda: explain_image(lambda b: b.mean((1, 2)) * 9 - 1, ROOM), r"probabilities in \[0, 1\], got others; put a"),
    (lambda: explain_image(lambda b: b[:, 0, 0, 0] * np.nan, ROOM), r"gives \(1, classes\) probabilities.*\(1,\)"),
    (lambda: explain_image(lambda b: colours(b)[:, :1 + len(b)], ROOM), r"gives \(4, 2\) probabilities for 4 images"),
    (lambda: explain_image(lambda b: colours(b) * np.nan, ROOM), "expected a model that gives probabilities"),
    (lambda: explain_image("model", ROOM), "expected a model that can be called"),
    (lambda: explain_image(colours, ROOM, 3, sizes=(30,)), "expected a target from 0 to 2, got 3"),
    (lambda: explain_image(colours, ROOM, -1, sizes=(30,)), "expected a target from 0 to 2, got -1"),
    (lambda: explain_image(colours, ROOM, 0.5, sizes=(30,)), "expected a target from 0 to 2, got 0.5"),
    (lambda: explain_image(colours, ROOM, sizes=()), "expected sizes as whole numbers from 2 to the 1024 pixels"),
    (lambda: explain_image(colours, ROOM, sizes=(1, 5)), "expected sizes as whole numbers from 2"),
    (lambda: explain_image(colours, ROOM, fill="black"), "expected a fill out of blur, mean, inpaint, got 'black'"),
    (lambda: explain_image(colours, ROOM, variant="best", sizes=(9,)), "expected a variant out of overlap"),
    (lambda: explain_image(colours, ROOM, batch_size=0), "expected batch_size as a whole number"),
    (lambda: explain_image(colours, ROOM, compactness=0), "expected a positive compactness"),
    (lambda: explain_image(colours, ROOM, sizes=(9,), variant="paper"), "expected k from 1 to"),
    (lambda: as_image([["a"]]), "expected an image of numbers"),
])
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(PellucidError, match=message):
        call()


def test_a_wrong_explanation_cannot_be_made():
    good = explain_image(colours, ROOM, 0, sizes=(12,))
    fields = {name: getattr(good, name) for name in ImageExplanation.__dataclass_fields__}
    for name, value, message in (("saliency", good.saliency[1:], "expected saliency of the image's shape"),
                                 ("influence", good.influence - 1, "expected influence without negative"),
                                 ("segments", (good.segments[0][1:],), "expected segments of the image's shape"),
                                 ("change", good.change[1:], "expected a change for each of the")):
        with pytest.raises(PellucidError, match=message):
            ImageExplanation(**{**fields, name: value})
    with pytest.raises(PellucidError, match="expected a map out of map, saliency, influence, got 'S'"):
        good.overlay("S")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'pellucid\[images\]'"):
        explain_image(colours, ROOM)
