"""The benchmark of decision boundaries: its measures against loops, its parts on invented digits."""

import base64
import io
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import entropy

from pellucid.benchmarks.margin import Measurement, protocols
from pellucid.benchmarks.margin.boundary import (
    CORRELATION,
    ENTROPY,
    ERRORS,
    LOW,
    OURS,
    TOP,
    WRONG,
    _entropy,
    judge,
    train_two_digits,
)

Protocol = protocols["margin-boundary"]


def test_measures():
    rng = np.random.default_rng(0)
    margin, score = rng.random(100), rng.random(100)
    wrong = rng.random(100) < 0.2
    found = {(metric, x): value for metric, x, value in judge(score, margin, wrong)}

    def auroc(positive):
        pairs = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
        return np.mean(pairs)

    assert found[LOW, 0.1] == pytest.approx(auroc(np.isin(np.arange(100), np.argsort(margin)[:10])))
    assert found[WRONG, 0.0] == pytest.approx(auroc(wrong))
    ranks = np.argsort(np.argsort(score)), np.argsort(np.argsort(-margin))
    assert found[CORRELATION, 0.0] == pytest.approx(np.corrcoef(*ranks)[0, 1])
    top = np.argsort(-score)[:10]
    assert found[TOP, 0.1] == pytest.approx(np.mean([np.mean(margin <= margin[i]) for i in top]))
    best = {(metric, x): value for metric, x, value in judge(-margin, margin, wrong & False)}
    assert best[LOW, 0.05] == 1
    assert best[CORRELATION, 0.0] == pytest.approx(1)
    assert not any(metric == WRONG for metric, _ in best)


def test_entropy_of_two_classes():
    margin = np.array([0.0, 0.5, 3.0, 20.0])
    p = 1 / (1 + np.exp(-margin))
    np.testing.assert_allclose(_entropy(margin), entropy(np.stack([p, 1 - p])), rtol=1e-6)
    assert (np.diff(_entropy(np.linspace(0, 300, 50))) < 0).all()


@pytest.fixture
def folder(tmp_path):
    """Rings and sixes of a kind: 800 images of two classes among others."""
    rng = np.random.default_rng(0)
    y = rng.choice([0, 3, 6], 1200).astype(np.uint8)
    image = rng.integers(0, 60, (1200, 28, 28))
    for i, digit in enumerate(y):
        a, b = rng.integers(6, 10, 2)
        image[i, a:a + 12, b] = image[i, a:a + 12, b + 8] = image[i, a, b:b + 9] = 200
        if digit == 6:
            image[i, a + 5:a + 8, b:b + 9] = rng.integers(60, 255)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "cats_dogs").mkdir()
    image = image.astype(np.uint8)
    np.savez(tmp_path / "mnist" / "mnist.npz", x_train=image[:700], y_train=y[:700], x_test=image[700:],
             y_test=y[700:])
    side = rng.integers(0, 2, 400)
    features = rng.normal(size=(400, 8)) + side[:, None]
    np.savez(tmp_path / "cats_dogs" / "features_efficientnet_lite0.npz", features=features.astype(np.float16),
             y=side.astype(np.uint8))
    return tmp_path


@pytest.mark.parametrize("index", [0, 1])
def test_a_part_gives_the_same_again(folder, index):
    part = Protocol().parts({**Protocol.presets["smoke"], "train": [400], "judged": 250, "epochs": 4})[index]
    first, again = (Protocol().measure(part, folder) for _ in range(2))
    assert [asdict(row) for row in first.rows] == [asdict(row) for row in again.rows]
    assert first.pictures == again.pictures
    value = {(row.table.rpartition(" ")[2], row.metric, row.method, row.x): row.value for row in first.rows}
    assert value["predictions", LOW, OURS, 0.05] > 0.8
    assert value["predictions", LOW, ENTROPY, 0.05] == 1
    assert value["predictions", CORRELATION, ENTROPY, 0.0] == pytest.approx(1)
    assert value["predictions", LOW, "random", 0.2] == pytest.approx(0.5, abs=0.15)
    assert 0 <= value["predictions", ERRORS, "the model", 0.0] < 0.3
    if index == 0:
        picture, = first.pictures.values()
        assert [len(row) for row in picture["images"]] == [len(picture["columns"])] * len(picture["rows"])
        assert Image.open(io.BytesIO(base64.b64decode(picture["images"][0][0]))).size == (28, 28)


def test_training_is_the_same_and_leaves_the_random_numbers_alone():
    rng = np.random.default_rng(0)
    x, y = rng.random((64, 1, 28, 28), dtype=np.float32), rng.integers(0, 2, 64)
    state = torch.get_rng_state()
    one, two = (train_two_digits(x, y, epochs=1, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(one["0.weight"], train_two_digits(x, y, epochs=1, seed=4).state_dict()["0.weight"])


def test_the_standard_protocol_has_ten_models_of_each_kind():
    labels = [part.label for part in Protocol().parts(Protocol.presets["standard"])]
    assert len(set(labels)) == len(labels) == 30


def test_findings_say_what_entropy_is():
    rows = [Measurement("t", LOW, method, 0.05, value, r) for r in range(2)
            for method, value in ((OURS, 0.9 + 0.01 * r), ("random", 0.5), (ENTROPY, 1.0))]
    said = Protocol().findings([*rows, Measurement("t", ERRORS, "the model", 0.0, 0.1)])
    assert "1 by construction" in said[0]
    assert said[1:] == [f"t: {LOW} (5 %), {OURS} 0.9050, minus others: random +0.4050 (+0.3415 to +0.4685)."]
