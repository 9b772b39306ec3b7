from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.report import COLOUR_MAP, colour
from pellucid.report.colours import DIVERGING_MAP, NO_VALUE, centre, hexadecimal, normalise, rgb


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


MACHADO = {  # of full severity (Machado et al. 2009), on linear RGB
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def test_the_diverging_map_is_even_and_lightest_in_the_middle() -> None:
    lab = oklab(np.array(colour(np.linspace(-1, 1, len(DIVERGING_MAP)), normalised=True, signed=True)))
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.1
    light, half = lab[:, 0], len(DIVERGING_MAP) // 2
    assert (np.diff(light[half:]) < -0.02).all()
    assert (np.diff(light[: half + 1]) > 0.02).all()
    np.testing.assert_allclose(light, light[::-1], atol=0.01)  # grey tells how strong, alike to both sides
    assert np.linalg.norm(lab[half, 1:]) < 0.01  # 0 leans to neither side


@pytest.mark.parametrize("kind", MACHADO)
def test_the_colour_blind_see_the_sign(kind: str) -> None:
    srgb = np.array(colour(np.linspace(-1, 1, len(DIVERGING_MAP)), normalised=True, signed=True))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.array(MACHADO[kind]).T).clip(0, 1)
    lab = oklab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))
    apart = np.linalg.norm(lab - lab[::-1], axis=1)
    half = len(DIVERGING_MAP) // 2
    assert (apart[half + 1:] > 0.04).all()  # twice what is just seen, at the smallest step
    assert apart[-1] > 0.2


def test_signed_values_span_alike_to_both_sides_of_zero() -> None:
    low, zero, middle, high = (hexadecimal(c) for c in colour([-4.0, 0.0, 1.0, 4.0], signed=True))
    assert (low, zero, high) == (DIVERGING_MAP[0], DIVERGING_MAP[8], DIVERGING_MAP[-1])
    assert middle == DIVERGING_MAP[10]
    assert hexadecimal(colour([-1.0, 4.0], signed=True)[0]) == DIVERGING_MAP[6]  # no stretching to the lowest
    assert colour([0.0, 0.0], signed=True) == [rgb(DIVERGING_MAP[8])] * 2
    assert centre([np.nan, -2.0, np.inf]).tolist()[1:2] == [-1.0]
    assert np.isnan(centre([np.nan, -2.0, np.inf])[[0, 2]]).all()
    with pytest.raises(PellucidError, match=r"in \[-1, 1\]"):
        colour([-2.0], normalised=True, signed=True)
