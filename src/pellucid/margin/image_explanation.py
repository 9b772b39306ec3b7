"""The explanation of an image's prediction: maps of which pixels it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pellucid.errors import PellucidError
from pellucid.files import replacing

MapName = Literal["map", "saliency", "influence"]
MAPS: tuple[MapName, ...] = ("map", "saliency", "influence")
_HEAT = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=np.float64)
"""Colours from nothing to most, dark to light, that people with weak colour vision can tell apart."""


@dataclass(frozen=True)
class ImageExplanation:
    """Which pixels of an image a class probability rests on; see :class:`pellucid.margin.images.ImageExplainer`.

    Attributes:
        image: (height, width, channels), as it was given.
        target: Number of the class.
        probability: Of the class for the image, in [0, 1].
        saliency: S, (height, width), not negative, in units of probability.
        influence: I, (height, width), not negative.
        map: S * I, (height, width), over its maximum: in [0, 1]; the explanation.
        segments: A (height, width) array of superpixel numbers for each size.
        change: (superpixels,) p(I) - p(I_m), for the superpixels of all sizes one after another.
        calls: Images that the model was asked about.

    Raises:
        PellucidError: if shapes do not fit, or a map is negative or not finite.
    """

    image: NDArray[Any]
    target: int
    probability: float
    saliency: NDArray[np.float64]
    influence: NDArray[np.float64]
    map: NDArray[np.float64]
    segments: tuple[NDArray[np.int64], ...]
    change: NDArray[np.float64]
    calls: int

    def __post_init__(self) -> None:
        shape = self.image.shape[:2]
        for name in MAPS:
            values = getattr(self, name)
            if values.shape != shape:
                raise PellucidError(f"expected {name} of the image's shape {shape}, got {values.shape}")
            if not (np.isfinite(values).all() and (values >= 0).all()):
                raise PellucidError(f"expected {name} without negative or missing values, got some")
        if any(part.shape != shape for part in self.segments):
            raise PellucidError(f"expected segments of the image's shape {shape}, got others")
        if self.change.shape != (nodes := sum(int(part.max()) + 1 for part in self.segments),):
            raise PellucidError(f"expected a change for each of the {nodes} superpixels, got {self.change.shape}")

    def overlay(self, which: MapName = "map") -> NDArray[np.uint8]:
        """(height, width, 3) a map in colours over the image in grey; from black over red to light yellow.

        Args:
            which: ``map``, ``saliency`` or ``influence``.

        Raises:
            PellucidError: for another name.
        """
        if which not in MAPS:
            raise PellucidError(f"expected a map out of {', '.join(MAPS)}, got {which!r}")
        return overlay(self.image, getattr(self, which))

    def save(self, path: str | Path, which: MapName = "map") -> None:
        """Writes the overlay as PNG.

        Args:
            path: File.
            which: See :meth:`overlay`.

        Raises:
            PellucidError: if it cannot be written.
        """
        picture = Image.fromarray(self.overlay(which))
        with replacing(Path(path)) as temporary:
            picture.save(temporary, format="PNG", optimize=True)


def overlay(image: NDArray[Any], values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(height, width, 3) values in colours over an image in grey.

    Args:
        image: (height, width, channels), in any range.
        values: (height, width); the colours end at the 99th percentile, so that single pixels do not hide the rest.

    Example:
        >>> overlay(np.zeros((1, 2, 1)), np.array([[0.0, 1.0]])).tolist()
        [[[0, 0, 3], [164, 166, 107]]]
    """
    grey = image.astype(np.float64).mean(2)
    grey = 255 * (grey - grey.min()) / ((np.ptp(grey)) or 1.0)
    low, top = float(values.min()), float(np.quantile(values, 0.99, method="higher"))
    if top <= low:
        top = float(values.max())
    share = np.clip((values - low) / ((top - low) or 1.0), 0, 1)
    stops = np.linspace(0, 1, len(_HEAT))
    heat = np.stack([np.interp(share, stops, _HEAT[:, c]) for c in range(3)], -1)
    mixed: NDArray[np.uint8] = np.rint(0.35 * grey[..., None] + 0.65 * heat).astype(np.uint8)
    return mixed
