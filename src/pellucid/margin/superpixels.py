"""Superpixels of an image, and copies of it in which some pixels are masked."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from pellucid.errors import MissingPackageError, PellucidError

Fill = Literal["blur", "mean", "inpaint"]
FILLS: tuple[Fill, ...] = ("blur", "mean", "inpaint")
BLUR = 10 / 224
"""Standard deviation of the blur, in shorter sides: 10 pixels of 224."""


def as_image(image: ArrayLike) -> NDArray[Any]:
    """An image as (height, width, channels), in its own type and range.

    Args:
        image: (height, width) or (height, width, channels) with 1 or 3 channels.

    Raises:
        PellucidError: for another shape, or values that are not finite numbers.
    """
    if hasattr(image, "detach"):  # a torch tensor
        image = image.detach().cpu()
    x = np.asarray(image)
    if x.dtype.kind not in "fiu":
        raise PellucidError(f"expected an image of numbers, got {x.dtype}; convert it with numpy.asarray")
    if x.ndim == 2:
        x = x[..., None]
    if x.ndim != 3 or x.shape[2] not in (1, 3) or min(x.shape) < 1:
        hint = "; move the channels to the end" if x.ndim == 3 and x.shape[0] in (1, 3) else ""
        raise PellucidError(f"expected an image (height, width, channels) with 1 or 3 channels, got shape "
                            f"{np.shape(image)}{hint or '; give one image at a time'}")
    if bad := int((~np.isfinite(x)).sum()):
        raise PellucidError(f"expected an image of finite numbers, got {bad} NaN or infinite ones; fill them in first")
    return x


def superpixels(image: NDArray[Any], count: int, *, compactness: float = 10.0) -> NDArray[np.int64]:
    """Parts of an image with colours that are alike, by SLIC (Achanta et al., 2012; scikit-image).

    Args:
        image: (height, width, channels).
        count: About how many; SLIC finds fewer where it merges small ones.
        compactness: How much nearness weighs against colour; the larger, the squarer the parts.

    Returns:
        (height, width) numbers of parts, from 0 without gaps.

    Raises:
        MissingPackageError: without scikit-image.
    """
    low, high = float(image.min()), float(image.max())
    scaled = (image.astype(np.float64) - low) / ((high - low) or 1.0)
    if scaled.shape[2] == 1:
        scaled = np.repeat(scaled, 3, axis=2)  # SLIC weighs nearness against the lightness and colours that people see
    parts = _skimage("segmentation").slic(scaled, n_segments=count, compactness=compactness, channel_axis=-1,
                                          start_label=0)
    number: NDArray[np.int64] = np.unique(parts, return_inverse=True)[1].reshape(parts.shape).astype(np.int64)
    return number


class Masker:
    """Makes copies of an image in which some pixels are masked.

    Args:
        image: (height, width, channels).
        fill: What masked pixels show: ``blur``: the image under a Gaussian of :data:`BLUR` shorter sides; ``mean``: its
            mean colour; ``inpaint``: what biharmonic equations make of the pixels around (Damelin and Hoang, 2018;
            scikit-image), about 20 ms a mask.

    Raises:
        PellucidError: for an unknown fill.

    Example:
        >>> image = np.zeros((2, 2, 1)); image[0, 0] = 4
        >>> Masker(image, "mean").copy(np.array([[True, False], [False, False]]))[..., 0].tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """

    def __init__(self, image: NDArray[Any], fill: Fill = "blur") -> None:
        if fill not in FILLS:
            raise PellucidError(f"expected a fill out of {', '.join(FILLS)}, got {fill!r}")
        self.image = image
        self._under: NDArray[Any] | None = None
        x = image.astype(np.float64)
        if fill == "mean":
            self._under = self._typed(np.broadcast_to(x.mean((0, 1)), x.shape))
        elif fill == "blur":
            sigma = BLUR * min(x.shape[:2])
            self._under = self._typed(gaussian_filter(x, (sigma, sigma, 0)))

    def copy(self, masked: NDArray[np.bool_]) -> NDArray[Any]:
        """A copy of the image.

        Args:
            masked: (height, width) which pixels show the fill.

        Returns:
            (height, width, channels), of the type of the image.
        """
        under = self._inpainted(masked) if self._under is None else self._under
        return np.where(masked[..., None], under, self.image)

    def _inpainted(self, masked: NDArray[np.bool_]) -> NDArray[Any]:
        low, high = float(self.image.min()), float(self.image.max())
        scaled = (self.image.astype(np.float64) - low) / ((high - low) or 1.0)
        filled = _skimage("restoration").inpaint_biharmonic(scaled, masked, channel_axis=-1)
        return self._typed(filled * (high - low) + low)

    def _typed(self, values: NDArray[np.float64]) -> NDArray[Any]:
        whole = self.image.dtype.kind in "iu"
        return (np.rint(values) if whole else values).astype(self.image.dtype)


def _skimage(part: str) -> ModuleType:
    try:
        return importlib.import_module(f"skimage.{part}")
    except ImportError as error:
        raise MissingPackageError("expected the package scikit-image for superpixels, got none installed; pip install "
                                  "'pellucid[images]'") from error
