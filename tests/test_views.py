"""How coordinates are seen: against NumPy, and turns about the beam."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.backbones import backbones
from pellucid.collisions.views import ETA_WEIGHT, beam_distance, from_beam
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.views import Frame, View, check_view, frames, seen, views

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
    with pytest.raises(PellucidError, match="expected 3 coordinates for the view eta_phi, got 2"):
        seen(torch.zeros(4, 2), "eta_phi")


# -- registries ---------------------------------------------------------------------------------------------------
def test_what_is_there_and_what_it_says_of_itself():
    assert set(views) >= {"plain", "unit_length", "eta_phi"}
    assert set(frames) >= {"lab", "beam"}
    for name in ("plain", "unit_length", "eta_phi"):
        assert issubclass(views[name], View)
        assert views[name].dim == (3 if name == "eta_phi" else None)
        check_view(name, 3)
    assert issubclass(frames["beam"], Frame)
    assert not frames["lab"].own
    assert torch.equal(frames["lab"].reach(POINTS), torch.ones(len(POINTS), 1, dtype=POINTS.dtype))
    assert frames["beam"].own
    with pytest.raises(UnknownNameError, match="did you mean 'eta_phi'"):
        seen(POINTS, "eta_fi")
    with pytest.raises(UnknownNameError):
        frames["sky"]


@pytest.mark.parametrize("name", ["plain", "unit_length", "eta_phi"])
def test_a_view_says_whether_turning_a_cloud_turns_what_is_seen(name):
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    same = torch.allclose(seen(POINTS @ turn.T, name), seen(POINTS, name) @ turn.T)
    assert same == views[name].turns
    encoder = backbones["egnn"](3, view=name)
    assert encoder.directions == ("none" if same else "coordinates")


def test_a_view_of_ones_own_can_be_used_by_a_backbone():
    @views.register("flat")
    class Flat(View):
        """From above."""

        turns, dim = False, 3

        @staticmethod
        def see(pos):
            return pos[:, :2]

    try:
        torch.testing.assert_close(backbones["egnn"](3, view="flat").place(POINTS), POINTS[:, :2])
        with pytest.raises(PellucidError, match="expected 3 coordinates for the view flat, got 2"):
            backbones["egnn"](2, view="flat")
    finally:
        views._entries.pop("flat", None)


def test_the_frame_of_the_beam_is_away_from_it_around_it_and_along_it():
    eye = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    axes = from_beam(eye, POINTS)
    x, y, _ = POINTS.T
    rho = (x**2 + y**2).sqrt()
    torch.testing.assert_close(beam_distance(POINTS)[:, 0], rho)
    torch.testing.assert_close(axes[:, :2, 0], POINTS[:, :2] / rho[:, None])
    torch.testing.assert_close(axes[:, :2, 1], torch.stack([-y, x], 1) / rho[:, None])
    torch.testing.assert_close(axes[:, :, 2], torch.tensor([0.0, 0, 1], dtype=torch.float64).expand(50, 3))
    torch.testing.assert_close(axes @ axes.transpose(1, 2), eye)
    flat = from_beam(torch.eye(2, dtype=torch.float64).expand(50, 2, 2), POINTS)
    torch.testing.assert_close(flat, axes[:, :2, :2])
    assert torch.equal(frames["lab"].turn(eye, POINTS), eye)
