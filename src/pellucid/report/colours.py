"""The one colour map of the report, shared by the 2D depictions (Python) and the 3D scenes (JavaScript)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pellucid.errors import PellucidError

# Equal steps in OKLab along a path whose lightness only falls (0.91 to 0.38), so that it also reads in grey and for
# the colour blind. Pale = unimportant, dark = important. A test holds these anchors to that.
COLOUR_MAP: tuple[str, ...] = (
    "#e7e1d4", "#e8d4b3", "#eac493", "#edb377", "#ef9f5f", "#f28b4e", "#f37646", "#f16049", "#eb4b52",
    "#e1395e", "#d32b6b", "#c22275", "#af1d7d", "#9b1c83", "#851c85", "#701e83", "#5a217c",
)  # fmt: skip
NO_VALUE = "#b9bec7"
TRUE_COLOUR = "#0f8f83"
FALSE_COLOUR = "#dfe2e6"
MARK_COLOUR = "#0b63ce"
"""Of the subgraph: far from all of the colour map and from the ground truth."""

RGB = tuple[float, float, float]


def rgb(colour: str) -> RGB:
    """Red, green and blue in [0, 1] of ``"#rrggbb"``.

    Example:
        >>> rgb("#ff0000")
        (1.0, 0.0, 0.0)
    """
    return int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255


def numbers(values: ArrayLike, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """A float64 copy of ``values``, with the shape checked (``None`` = any size).

    Raises:
        PellucidError: if they are not numbers, or not of that shape.
    """
    if callable(getattr(values, "detach", None)):  # a torch tensor, perhaps on a device or with a gradient
        values = values.detach().cpu().numpy()  # type: ignore[union-attr]
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PellucidError(f"expected numbers as {name}, got {type(values).__name__} ({error}); pass a numpy array "
                            "or a list of numbers") from error
    if array.ndim != len(shape) or any(want is not None and want != got
                                       for want, got in zip(shape, array.shape, strict=True)):
        wanted = "(" + ", ".join("n" if size is None else str(size) for size in shape) + ("," * (len(shape) == 1)) + ")"
        raise PellucidError(f"expected {name} of shape {wanted}, got {array.shape}; pass one row an atom, in the "
                            "order of the atoms")
    return array


def normalise(values: ArrayLike) -> NDArray[np.float64]:
    """Maps the smallest finite value to 0 and the largest to 1; what is not finite stays NaN.

    Where all values are equal there is nothing to tell apart, and all map to 0.5.

    Args:
        values: (n,) real numbers, in any unit.

    Returns:
        (n,) in [0, 1], NaN where ``values`` is not finite.

    Raises:
        PellucidError: if ``values`` is not a row of numbers.

    Example:
        >>> normalise([2.0, 4.0, 3.0]).tolist()
        [0.0, 1.0, 0.5]
    """
    array = numbers(values, "values", (None,))
    finite = np.isfinite(array)
    out = np.full(array.shape, np.nan)
    if finite.any():
        low, high = array[finite].min(), array[finite].max()
        out[finite] = (array[finite] - low) / (high - low) if high > low else 0.5
    return out


def colour(values: ArrayLike, *, normalised: bool = False) -> list[RGB]:
    """Colours of importance values: pale for the least important of them, dark violet for the most.

    Args:
        values: (n,) real numbers. NaN gets a neutral grey.
        normalised: The values are already in [0, 1] and are not stretched.

    Returns:
        n triples (red, green, blue) in [0, 1].

    Raises:
        PellucidError: if ``values`` is not a row of numbers, or is said to be normalised and is not.

    Example:
        >>> [tuple(round(c, 2) for c in rgb) for rgb in colour([0.0, 10.0])]
        [(0.91, 0.88, 0.83), (0.35, 0.13, 0.49)]
    """
    array = numbers(values, "values", (None,)) if normalised else normalise(values)
    finite = np.isfinite(array)
    if ((array[finite] < 0) | (array[finite] > 1)).any():
        raise PellucidError(f"expected normalised values in [0, 1], got {array[finite].min():g} to "
                            f"{array[finite].max():g}; pass normalised=False")
    anchors = np.array([rgb(anchor) for anchor in COLOUR_MAP])
    at = np.linspace(0, 1, len(anchors))
    table = np.stack([np.interp(array, at, anchors[:, channel]) for channel in range(3)], axis=1)
    grey = rgb(NO_VALUE)
    return [(float(r), float(g), float(b)) if ok else grey for (r, g, b), ok in zip(table, finite, strict=True)]


def hexadecimal(triple: Any) -> str:
    """``"#rrggbb"`` of red, green and blue in [0, 1].

    Example:
        >>> hexadecimal((1.0, 0.0, 0.0))
        '#ff0000'
    """
    return "#" + "".join(f"{round(255 * min(max(float(channel), 0.0), 1.0)):02x}" for channel in triple)
