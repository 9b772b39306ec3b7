"""The benchmark of adversarial images: gradients, attacks and figures by hand, and the whole of it in small."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pellucid.benchmarks.margin import Measurement, protocols
from pellucid.benchmarks.margin.adversarial import (
    AMONG,
    AUROC,
    CHANGED,
    DETECTED,
    AdversarialProtocol,
    attack_digits,
    class_gradient,
    judge,
)
from pellucid.benchmarks.margin.digits_model import DigitsModel, look, train_digits

SHARED = Path(__file__).parents[2] / "../shared/data"
X, Y = load_digits(return_X_y=True)
IMAGES = np.zeros((1797, 1, 28, 28), np.float32)
IMAGES[:, 0, 2:26, 2:26] = np.kron(X.reshape(-1, 8, 8) / 16, np.ones((3, 3)))


@pytest.fixture(scope="module")
def model():
    return train_digits(IMAGES[:500], Y[:500], epochs=4, seed=1)


def test_training_is_the_same_again_and_leaves_random_numbers_alone(model):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, two, other = (train_digits(IMAGES[:128], Y[:128], epochs=1, seed=seed) for seed in (0, 0, 1))
    assert torch.rand(1) == expected
    same, same_again, different = (look(m, IMAGES[:5])[0] for m in (one, two, other))
    np.testing.assert_array_equal(same, same_again)
    assert not np.array_equal(same, different)
    assert (look(model, IMAGES[600:1000])[1].argmax(1) == Y[600:1000]).mean() > 0.4  # it learns


def test_latents_lead_to_the_probabilities(model):
    latents, shares = look(model, IMAGES[:7])
    logits = latents @ model.classes.weight.detach().numpy().T + model.classes.bias.detach().numpy()
    np.testing.assert_allclose(shares, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), rtol=1e-4, atol=1e-7)
    assert latents.shape == (7, 200)
    assert (latents >= 0).all()


def test_gradients_are_those_of_the_toolbox(model):
    pytest.importorskip("art")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.estimators.classification import PyTorchClassifier
        theirs = PyTorchClassifier(model, torch.nn.CrossEntropyLoss(), (1, 28, 28), 10, device_type="cpu")
        label = np.arange(12) % 10
        expected = theirs.class_gradient(IMAGES[:12], label=label)
    np.testing.assert_allclose(class_gradient(model, IMAGES[:12], label), expected, atol=1e-6)


def test_fgsm_is_one_step_along_the_sign_of_the_gradient(model):
    pytest.importorskip("art")
    images = IMAGES[600:630]
    x = torch.from_numpy(images).requires_grad_()
    logits = model(x)
    torch.nn.functional.cross_entropy(logits, logits.argmax(1)).backward()
    expected = np.clip(images + 0.2 * x.grad.sign().numpy(), 0, 1)
    np.testing.assert_allclose(attack_digits(model, images, "FGSM", epsilon=0.2, searches=1, iterations=1), expected,
                               atol=1e-6)


def test_carlini_wagner_changes_predictions_by_little(model):
    pytest.importorskip("art")
    images = IMAGES[600:612]
    attacked = attack_digits(model, images, "CW", epsilon=0.3, searches=3, iterations=8)
    before, after = (look(model, part)[1].argmax(1) for part in (images, attacked))
    changed = before != after
    size = np.linalg.norm((attacked - images).reshape(12, -1), axis=1)
    assert changed.mean() > 0.7
    assert 0 < size[changed].mean() < 6  # FGSM with 0.3 changes them by up to 8.4
    assert attacked.min() >= 0
    assert attacked.max() <= 1


def test_judging_by_hand():
    attacked, harmless = np.array([5.0, 1.0, 4.0]), np.arange(20.0) / 5
    changed = np.array([True, False, True])
    found = {(metric, x): value for metric, x, value in judge(np.r_[attacked, harmless], changed)}
    pairs = [(a > h) + (a == h) / 2 for a in attacked for h in harmless]
    assert found[AUROC, 0.0] == pytest.approx(np.mean(pairs))
    assert found[CHANGED, 0.0] == 1
    assert found[DETECTED, 0.05] == pytest.approx(2 / 3)
    assert CHANGED not in [metric for metric, _, _ in judge(np.r_[attacked, harmless], changed & False)]


def test_parts_know_all_that_they_need():
    protocol = AdversarialProtocol()
    assert protocols["margin-adversarial"] is AdversarialProtocol
    for preset in protocol.presets.values():
        parts = protocol.parts(preset)
        assert len(parts) == preset["repetitions"]
        assert parts[0].options == {**{k: v for k, v in preset.items() if k != "repetitions"}, "repetition": 0}


def toy_model(*arguments, **options):
    torch.manual_seed(0)
    return DigitsModel().eval()


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "mnist/mnist.npz").is_file(), reason="MNIST is not here")
def test_the_whole_in_small(monkeypatch):
    pytest.importorskip("art")
    monkeypatch.setattr("pellucid.benchmarks.margin.adversarial.train_digits", toy_model)
    protocol = AdversarialProtocol()
    settings = {**protocol.presets["smoke"], "images": 60, "pool": 60, "reference": 150, "searches": 1,
                "iterations": 1, "neighbors": 5}
    measured = [protocol.measure(part, SHARED) for part in protocol.parts({**settings, "repetitions": 1}) * 2]
    assert measured[0].rows == measured[1].rows
    rows = measured[0].rows
    tables = {row.table for row in rows}
    assert len(tables) == 9  # the attacks themselves; two attacks, two settings, two metrics
    for table in tables - {"network and attacks"}:
        methods = {row.method for row in rows if row.table == table}
        assert {"MMD alone", "KDE alone", "MARGIN, energy (paper), KDE", "MARGIN, trusted, distance", "k-NN distance",
                "LocalOutlierFactor", "IsolationForest", "softmax confidence", "random"} <= methods
    assert all(0 <= row.value <= 1 for row in rows if row.metric in (AUROC, CHANGED, DETECTED))
    assert len(measured[0].pictures) == 2 * 2 * 2 * 4
    for picture in measured[0].pictures.values():
        assert [sum(counts) for counts in picture["counts"].values()] == [30, 30]
        assert len(picture["edges"]) == len(picture["counts"]["attacked"]) + 1


def test_findings_tell_differences_of_pairs():
    table = f"FGSM, {AMONG}, cosine"
    rows = []
    for r in range(3):
        for function in ("MMD", "KDE", "distance"):
            rows.append(Measurement(table, AUROC, f"{function} alone", 0.0, 0.6 + r / 10, r))
            rows += [Measurement(table, AUROC, f"{method}, {function}", 0.0, 0.7 + r / 10, r)
                     for method in ("MARGIN, trusted", "MARGIN, signed", "MARGIN, energy (paper)")]
        rows += [Measurement(table, AUROC, method, 0.0, 0.5 + r / 10, r) for method in (
            "k-NN distance", "LocalOutlierFactor", "IsolationForest", "softmax confidence", "random")]
    said = AdversarialProtocol().findings(rows)
    assert len(said) == 4
    assert "AUROC of MMD alone 0.7000" in said[0]
    assert "MARGIN, trusted +0.1000 (+0.1000 to +0.1000)" in said[0]
    assert "k-NN distance +0.2000 (+0.2000 to +0.2000)" in said[3]
