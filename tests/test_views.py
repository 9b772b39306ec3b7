"""How coordinates are seen: against NumPy, and turns about the beam."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.views import ETA_WEIGHT, seen

POINTS = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 3)))


def test_plain_is_untouched_and_unit_length_is_r_over_its_norm():
    assert seen(POINTS, "plain") is POINTS
    r = POINTS.numpy()
    np.testing.assert_allclose(seen(POINTS, "unit_length"), r / np.linalg.norm(r, axis=1, keepdims=True))


def test_eta_phi_is_azimuth_and_pseudorapidity():
    """Pseudorapidity by its other definition, -log tan(theta / 2)."""
    x, y, z = POINTS.numpy().T
    theta = np.arccos(z / np.sqrt(x**2 + y**2 + z**2))
    phi = np.arctan2(y, x)
    expected = np.stack([np.cos(phi), np.sin(phi), -ETA_WEIGHT * np.log(np.tan(theta / 2))], 1)
    np.testing.assert_allclose(seen(POINTS, "eta_phi"), expected, rtol=1e-10, atol=1e-12)


@given(st.floats(-math.pi, math.pi), st.floats(0.01, 1000))
def test_a_turn_about_the_beam_turns_what_is_seen_and_size_does_not_matter(angle, factor):
    turn = torch.eye(3, dtype=torch.float64)
    turn[0, 0] = turn[1, 1] = math.cos(angle)
    turn[0, 1], turn[1, 0] = -math.sin(angle), math.sin(angle)
    for view in ("unit_length", "eta_phi"):
        torch.testing.assert_close(seen(factor * POINTS @ turn.T, view), seen(POINTS, view) @ turn.T)


def test_points_on_the_beam_stay_finite():
    pos = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 3.0]], requires_grad=True)
    out = seen(pos, "eta_phi")
    assert out.isfinite().all()
    out.sum().backward()
    assert pos.grad.isfinite().all()


def test_eta_phi_of_two_coordinates_is_refused():
    with pytest.raises(PellucidError, match=r"expected three coordinates .* for the view eta_phi, got 2"):
        seen(torch.zeros(4, 2), "eta_phi")
