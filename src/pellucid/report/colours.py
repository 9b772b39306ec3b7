"""The colour maps of the report, of importance and of signed values, shared by drawings (Python) and scenes."""

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
# Of signed values: two arms of equal steps in OKLab from a pale middle, blue below 0 and red above, as light as each
# other at the same distance from it, so that grey and the colour blind read how strong, and blue-red which way.
DIVERGING_MAP: tuple[str, ...] = (
    "#1846a0", "#255caf", "#3773bc", "#4e88c7", "#679dd1", "#84b1d8", "#a3c5df", "#c4d7e4", "#e8e8e8",
    "#e2d0c3", "#dcb7a1", "#d49e83", "#ca8567", "#be6b4e", "#b05138", "#a03724", "#8f1714",
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
        raise PellucidError(f"expected {name} of shape {wanted}, got {array.shape}; pass one row a point, in the "
                            "order of the points")
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


def centre(values: ArrayLike) -> NDArray[np.float64]:
    """Maps 0 to 0 and the largest finite absolute value to 1 or -1; what is not finite stays NaN.

    Args:
        values: (n,) real numbers with a sign, in any unit.

    Returns:
        (n,) in [-1, 1], NaN where ``values`` is not finite.

    Raises:
        PellucidError: if ``values`` is not a row of numbers.

    Example:
        >>> centre([-2.0, 1.0, 0.0]).tolist()
        [-1.0, 0.5, 0.0]
    """
    array = numbers(values, "values", (None,))
    array[~np.isfinite(array)] = np.nan
    most = np.nanmax(np.abs(array)) if np.isfinite(array).any() else 0.0
    return array / most if most > 0 else array


def colour(values: ArrayLike, *, normalised: bool = False, signed: bool = False) -> list[RGB]:
    """Colours of importance values: pale for the least important of them, dark violet for the most.

    Args:
        values: (n,) real numbers. NaN gets a neutral grey.
        normalised: The values are already in [0, 1], or [-1, 1] with a sign, and are not stretched.
        signed: The values have a sign: pale grey is 0, red above and blue below, over a range alike to both sides.

    Returns:
        n triples (red, green, blue) in [0, 1].

    Raises:
        PellucidError: if ``values`` is not a row of numbers, or is said to be normalised and is not.

    Example:
        >>> [tuple(round(c, 2) for c in rgb) for rgb in colour([0.0, 10.0])]
        [(0.91, 0.88, 0.83), (0.35, 0.13, 0.49)]
        >>> [hexadecimal(rgb) for rgb in colour([-3.0, 0.0, 3.0], signed=True)]
        ['#1846a0', '#e8e8e8', '#8f1714']
    """
    low = -1.0 if signed else 0.0
    array = numbers(values, "values", (None,)) if normalised else centre(values) if signed else normalise(values)
    finite = np.isfinite(array)
    if ((array[finite] < low) | (array[finite] > 1)).any():
        raise PellucidError(f"expected normalised values in [{low:g}, 1], got {array[finite].min():g} to "
                            f"{array[finite].max():g}; pass normalised=False")
    anchors = np.array([rgb(anchor) for anchor in (DIVERGING_MAP if signed else COLOUR_MAP)])
    at = np.linspace(low, 1, len(anchors))
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
