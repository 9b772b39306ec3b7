"""Latents of a user's own model: right, and the model as it was before."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from pellucid.errors import PellucidError, UnknownNameError
from pellucid.margin.latents import latents


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(4 * 36, 5)
        self.spare = nn.Linear(2, 2)
        self.broken = False

    def forward(self, x):
        if self.broken and len(x) < 4:
            raise RuntimeError("out of order")
        return self.head(self.features(x).flatten(1))


torch.manual_seed(0)
IMAGES = torch.rand(10, 3, 8, 8)


@pytest.fixture
def net():
    torch.manual_seed(1)
    model = Net().train()
    model.features[1].eval()  # as one does in fine-tuning
    model(IMAGES).sum().backward()
    return model


def picture(model):
    return ({name: value.clone() for name, value in model.state_dict().items()}, [m.training for m in model.modules()],
            [None if p.grad is None else p.grad.clone() for p in model.parameters()],
            [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()], torch.is_grad_enabled())


def same(before, after):
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1] == after[1]
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(before[2], after[2], strict=True))
    assert before[3:] == after[3:]


@pytest.mark.parametrize("batch", [1, 3, 256])
def test_a_layer_and_the_output(net, batch):
    before = picture(net)
    maps, out = latents(net, IMAGES, "features.2", batch=batch), latents(net, IMAGES, batch=batch)
    same(before, picture(net))
    assert maps.dtype == out.dtype == np.float32
    with torch.no_grad():
        net.eval()
        expected = net.features[:3](IMAGES)
        np.testing.assert_allclose(maps, expected.numpy().mean((2, 3)), atol=1e-6)
        np.testing.assert_allclose(out, net.head(expected.flatten(1)).numpy(), atol=1e-6)


def test_the_model_is_as_before_when_it_raises(net):
    before = picture(net)
    net.broken = True
    with pytest.raises(RuntimeError, match="out of order"):
        latents(net, IMAGES, "head", batch=4)
    same(before, picture(net))


def test_inputs_of_any_kind(net):
    expected = latents(net, IMAGES)
    for images in (IMAGES.numpy(), IMAGES.double(), IMAGES.numpy().astype(np.float64), IMAGES.tolist()):
        np.testing.assert_allclose(latents(net, images), expected, atol=1e-5)
    assert latents(net.double(), IMAGES).dtype == np.float32


def test_shapes():
    torch.manual_seed(0)
    recurrent = nn.LSTM(3, 2, batch_first=True)
    x = torch.rand(4, 5, 3)
    assert latents(recurrent, x).shape == (4, 10)
    assert latents(nn.Sequential(recurrent), x, "0").shape == (4, 10)
    assert latents(nn.Conv3d(1, 2, 2), torch.rand(3, 1, 4, 4, 4)).shape == (3, 2)
    assert latents(nn.Embedding(9, 3), np.arange(4)).shape == (4, 3)
    assert latents(nn.Flatten(0), torch.rand(4, 1)).shape == (4, 1)


def test_callables_get_the_slices_as_they_are():
    words = ["a", "to", "the"]
    seen = []

    def embed(part):
        seen.append(part)
        return torch.tensor([[len(word), 1.0] for word in part], requires_grad=True)

    assert latents(embed, words, batch=2).tolist() == [[1, 1], [2, 1], [3, 1]]
    assert seen == [["a", "to"], ["the"]]
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 2)), columns=["a", "b"])
    model = LogisticRegression().fit(x, x["a"] > 0)
    logits = latents(model.decision_function, x, batch=7)
    np.testing.assert_allclose(logits[:, 0], model.decision_function(x), rtol=1e-5)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: latents(Net(), IMAGES, "feature.3"), "expected a known layer, got 'feature.3'; did you mean 'features"),
    (lambda: latents(Net(), IMAGES, "spare"), "expected a layer that the model uses, got 'spare'"),
    (lambda: latents(len, IMAGES, "head"), "expected a torch module for the layer 'head'"),
    (lambda: latents(LogisticRegression(), IMAGES), "expected a torch module or a callable, got LogisticRegression"),
    (lambda: latents(lambda x: [[1.0]], IMAGES), r"expected a row for each of 10 samples from the model, got"),
    (lambda: latents(lambda x: ["word"] * len(x), IMAGES), "expected an array or a tensor from the model, got list"),
    (lambda: latents(lambda x: np.ones((len(x), len(x))), IMAGES, batch=6), "expected 6 numbers a sample as before"),
    (lambda: latents(Net(), IMAGES[:0]), "expected at least one sample"),
    (lambda: latents(Net(), IMAGES, batch=0), "expected batch as a whole number"),
])
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(PellucidError, match=message):
        call()


def test_an_unknown_layer_leaves_no_hook(net):
    before = picture(net)
    with pytest.raises(UnknownNameError):
        latents(net, IMAGES, "heed")
    same(before, picture(net))
