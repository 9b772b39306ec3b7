from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.report import COLOUR_MAP, colour
from pellucid.report.colours import NO_VALUE, hexadecimal, normalise, rgb


def oklab(colours: np.ndarray) -> np.ndarray:
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    cone = np.cbrt(linear @ np.array([[0.4122214708, 0.5363325363, 0.0514459929],
                                      [0.2119034982, 0.6806995451, 0.1073969566],
                                      [0.0883024619, 0.2817188376, 0.6299787005]]).T)
    return cone @ np.array([[0.2104542553, 0.7936177850, -0.0040720468],
                            [1.9779984951, -2.4285922050, 0.4505937099],
                            [0.0259040371, 0.7827717662, -0.8086757660]]).T


def test_the_colour_map_is_perceptually_uniform() -> None:
    lab = oklab(np.array(colour(np.linspace(0, 1, len(COLOUR_MAP)))))
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.1
    assert (np.diff(lab[:, 0]) < -0.02).all()  # lightness alone orders the colours: grey prints, colour blindness


def test_ends_and_missing_values() -> None:
    assert [hexadecimal(c) for c in colour([3.0, float("nan"), 7.0])] == [COLOUR_MAP[0], NO_VALUE, COLOUR_MAP[-1]]
    assert colour([]) == []
    assert colour([np.nan, np.inf]) == [rgb(NO_VALUE)] * 2
    assert colour([5.0, 5.0]) == [rgb(COLOUR_MAP[8])] * 2  # nothing to tell apart: the middle, not an extreme
    assert colour(torch.tensor([0.0, 1.0], requires_grad=True)) == colour([0.0, 1.0])


def test_normalised_values_are_not_stretched() -> None:
    assert hexadecimal(colour([0.5], normalised=True)[0]) == COLOUR_MAP[8]
    with pytest.raises(PellucidError, match=r"in \[0, 1\]"):
        colour([2.0], normalised=True)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_normalise_keeps_the_order(values: list[float]) -> None:
    out = normalise(values)
    assert ((out >= 0) & (out <= 1)).all()
    assert (np.diff(out[np.argsort(values, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("values", [["a"], [[1.0]], None, 3.0])
def test_what_is_not_a_row_of_numbers_is_refused(values: object) -> None:
    with pytest.raises(PellucidError, match="expected"):
        colour(values)  # type: ignore[arg-type]
