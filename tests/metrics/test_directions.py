import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.metrics.directions import axis_angles, direction_metrics, principal_axes

angles = st.floats(-3.1, 3.1)


def ellipse(turn, long, short):
    c, s = math.cos(turn), math.sin(turn)
    axes = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return axes @ torch.diag(torch.tensor([long**2, short**2], dtype=torch.float64)) @ axes.T


@given(angles, st.floats(1.1, 50), st.floats(0.01, 1))
def test_axes_of_an_ellipse(turn, long, short):
    matrix = torch.zeros(1, 3, 3, dtype=torch.float64)
    matrix[0, :2, :2] = ellipse(turn, long, short)
    matrix[0, 2, 2] = 1000.0  # z does not count
    deviations, axis = principal_axes(matrix)
    assert deviations[0].tolist() == pytest.approx([long, short], rel=1e-6)
    assert float(axis_angles(axis, torch.tensor([[math.cos(turn), math.sin(turn)]]))) == pytest.approx(0, abs=1e-4)


@given(angles, angles)
def test_the_angle_is_that_of_numpy_folded(a, b):
    u, v = np.array([math.cos(a), math.sin(a)]), 3 * np.array([math.cos(b), math.sin(b)])
    expected = math.degrees(math.acos(min(1.0, abs(float(u @ v)) / 3)))
    got = float(axis_angles(torch.from_numpy(u)[None], torch.from_numpy(v)[None]))
    assert got == pytest.approx(expected, abs=1e-4)


def test_an_axis_without_length_has_no_angle_and_counts_as_a_guess():
    none = torch.zeros(1, 2)
    assert axis_angles(none, torch.ones(1, 2)).isnan().all()
    made = direction_metrics(torch.ones(1, 3), torch.tensor([True]), torch.tensor([0, 1]), torch.ones(1),
                             pos=torch.ones(1, 3), axis=none)
    assert made["angle"] == 45


def sample(n=400, seed=0):
    g = torch.Generator().manual_seed(seed)
    phi = torch.rand(n, generator=g, dtype=torch.float64) * 6.28
    off = torch.rand(n, generator=g, dtype=torch.float64) * 0.5
    covariance = torch.zeros(n, 3, 3, dtype=torch.float64)
    for i in range(n):
        covariance[i, :2, :2] = ellipse(float(phi[i] + off[i]), 4.0, 1.0)
    momentum = torch.stack([phi.cos(), phi.sin(), torch.ones(n, dtype=torch.float64)], 1)
    content = {"momentum": momentum, "important": torch.rand(n, generator=g) < 0.5, "pos": momentum * 10,
               "importance": torch.rand(n, generator=g), "ptr": torch.tensor([0, 100, 400]), "covariance": covariance}
    return content, torch.rad2deg(off)


def test_figures_are_those_of_numpy():
    content, off = sample()
    made = direction_metrics(**content, m=20)
    chosen = content["important"].numpy()
    assert made["angle"] == pytest.approx(np.median(off.numpy()[chosen]), abs=1e-6)
    assert made["angle_mean"] == pytest.approx(off.numpy()[chosen].mean(), abs=1e-6)
    assert made["eigen_ratio"] == pytest.approx(0.25)
    assert made["radial"]["angle"] == pytest.approx(0, abs=1e-6)
    assert made["random"]["angle"] == pytest.approx(45, abs=6)
    first = np.zeros(400, dtype=bool)
    for start, end in ((0, 100), (100, 400)):
        first[start + np.argsort(-content["importance"][start:end].numpy())[:20]] = True
    assert made["angle_assisted"] == pytest.approx(off.numpy()[chosen & first].mean(), abs=1e-6)


@given(angles, st.floats(0.1, 10))
def test_turning_about_the_beam_and_scaling_change_nothing(turn, scale):
    content, _ = sample(50)
    content["ptr"] = torch.tensor([0, 50])
    c, s = math.cos(turn), math.sin(turn)
    r = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    turned = {**content, "momentum": content["momentum"] @ r.T, "pos": content["pos"] @ r.T,
              "covariance": scale**2 * r @ content["covariance"] @ r.T}
    a, b = direction_metrics(**content), direction_metrics(**turned)
    for name in ("angle", "angle_mean", "angle_assisted", "eigen_ratio"):
        assert a[name] == pytest.approx(b[name], abs=1e-5)


def test_bad_input():
    content, _ = sample(10)
    content["ptr"] = torch.tensor([0, 10])
    with pytest.raises(PellucidError, match="either covariances or axes"):
        direction_metrics(**content, axis=torch.ones(10, 2))
    with pytest.raises(PellucidError, match="shape"):
        principal_axes(torch.ones(3, 1, 1))


def test_no_important_hit_is_not_a_number():
    content, _ = sample(10)
    content |= {"ptr": torch.tensor([0, 10]), "important": torch.zeros(10, dtype=torch.bool)}
    assert math.isnan(direction_metrics(**content)["angle"])
