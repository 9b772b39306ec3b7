"""The network for MNIST that Carlini and Wagner attack, trained the same way wherever it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_BATCH = 64
"""Images a training step."""
_LOOK = 500
"""Images that are looked at together."""


class DigitsModel(nn.Module):
    """Two times two convolutions of 32 and of 64 filters, two dense layers of 200, ten classes.

    Carlini and Wagner, Towards Evaluating the Robustness of Neural Networks, 2017, table I.

    Example:
        >>> model = DigitsModel()
        >>> model(torch.zeros(2, 1, 28, 28)).shape, model.latent(torch.zeros(2, 1, 28, 28)).shape
        (torch.Size([2, 10]), torch.Size([2, 200]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(1024, 200), nn.ReLU(), nn.Dropout(0.5), nn.Linear(200, 200), nn.ReLU())
        self.classes = nn.Linear(200, 10)

    def latent(self, images: Tensor) -> Tensor:
        """(images, 200) the last hidden layer.

        Args:
            images: (images, 1, 28, 28), from 0 to 1.
        """
        return self.features(images)  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """(images, 10) logits."""
        return self.classes(self.latent(images))  # type: ignore[no-any-return]


def train_digits(images: NDArray[np.float32], digits: NDArray[Any], *, epochs: int, seed: int) -> DigitsModel:
    """A trained model, the same for the same arguments: one thread, its own random numbers.

    Args:
        images: (images, 1, 28, 28), from 0 to 1.
        digits: (images,) from 0 to 9.
        epochs: Passes over the images, with Adam at a rate that falls from 0.001 to 0 along a cosine.
        seed: Of the weights, the order and the dropout.
    """
    x, y = torch.from_numpy(images), torch.from_numpy(digits.astype(np.int64))
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DigitsModel().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
        steps = epochs * -(-len(x) // _BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(epochs):
            order = torch.randperm(len(x))
            for first in range(0, len(x), _BATCH):
                rows = order[first:first + _BATCH]
                optimiser.zero_grad()
                loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
    return model.eval()  # type: ignore[no-any-return]


def look(model: DigitsModel, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(images, 200) the last hidden layer, and (images, 10) probabilities of the classes.

    Args:
        model: The network.
        images: (images, 1, 28, 28), from 0 to 1.
    """
    latents, shares = [], []
    with one_thread(), torch.no_grad():
        for first in range(0, len(images), _LOOK):
            latent = model.latent(torch.from_numpy(images[first:first + _LOOK]))
            latents.append(latent.numpy())
            shares.append(model.classes(latent).softmax(1).numpy())
    return np.concatenate(latents), np.concatenate(shares)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread: sums in another order round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
