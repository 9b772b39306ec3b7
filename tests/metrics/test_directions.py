import itertools
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
        covariance[i, :2, :2] = (1 + 0.01 * i) * ellipse(float(phi[i] + off[i]), 4.0, 1.0)
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
    assert made["deviation_ratio"] == pytest.approx(0.25)
    assert made["eigen_ratio"] == pytest.approx(0.0625)
    assert made["radial"]["angle"] == pytest.approx(0, abs=1e-6)
    assert made["random"]["angle"] == pytest.approx(45, abs=6)
    first = np.zeros(400, dtype=bool)
    for start, end in ((0, 100), (100, 400)):
        first[start + np.argsort(-content["importance"][start:end].numpy())[:20]] = True
    assert made["angle_assisted"] == pytest.approx(off.numpy()[chosen & first].mean(), abs=1e-6)


def events(seed, clouds=7, axes=2):
    """Clouds of hits with noise of many shapes, some hits without momentum, one cloud of signal alone."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(3, 60, clouds)
    ptr, n = np.concatenate([[0], sizes.cumsum()]), sizes.sum()
    root = rng.normal(size=(n, axes, axes)) * np.exp(rng.normal(size=(n, 1, 1)))
    covariance = np.zeros((n, 3, 3))
    covariance[:, :axes, :axes] = root @ root.transpose(0, 2, 1)
    momentum = rng.normal(size=(n, 3))
    momentum[rng.random(n) < 0.1, :2] = 0
    important = rng.random(n) < 0.4
    important[ptr[1]:ptr[2]] = True
    important[ptr[2]:ptr[3]] = False
    return ptr, covariance, momentum, important


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_the_choice_of_events_is_that_of_numpy(seed, axes):
    """Event by event: the ranking by -det Sigma, its largest gap, its first hits, and singular values in x-y."""
    ptr, covariance, momentum, important = events(seed, axes=axes)
    angle_means, ratio_means = [], []
    for start, end in itertools.pairwise(ptr):
        truth, sigma = important[start:end], covariance[start:end, :axes, :axes]
        if truth.all() or not truth.any():
            continue
        rank = np.argsort(np.linalg.det(sigma))
        gap = np.argmax(np.diff(np.linalg.det(sigma)[rank]))
        kept = [i for i in rank[: gap + 1] if truth[i] and i in rank[:5] and momentum[start + i, :2].any()]
        if kept:
            u, s, _ = np.linalg.svd(sigma[kept][:, :2, :2])
            true = momentum[start:end][kept, :2]
            cosine = np.abs((u[:, :, 0] * true).sum(1)) / np.linalg.norm(true, axis=1)
            angle_means.append(np.degrees(np.arccos(np.minimum(cosine, 1))).mean())
            ratio_means.append((s[:, 1] / s[:, 0]).mean())
    made = direction_metrics(torch.from_numpy(momentum), torch.from_numpy(important), torch.from_numpy(ptr),
                             torch.from_numpy(-np.linalg.slogdet(covariance[:, :axes, :axes])[1]), first=5,
                             pos=torch.ones(len(momentum), 3), covariance=torch.from_numpy(covariance))
    assert angle_means
    middle = (len(angle_means) - 1) // 2
    assert made["angle_assisted_events"] == pytest.approx(np.sort(angle_means)[middle], abs=1e-5)
    assert made["eigen_ratio_events"] == pytest.approx(np.sort(ratio_means)[middle], abs=1e-9)


@given(angles, st.floats(0.1, 10))
def test_turning_about_the_beam_and_scaling_change_nothing(turn, scale):
    content, _ = sample(50)
    content["ptr"] = torch.tensor([0, 50])
    c, s = math.cos(turn), math.sin(turn)
    r = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    turned = {**content, "momentum": content["momentum"] @ r.T, "pos": content["pos"] @ r.T,
              "covariance": scale**2 * r @ content["covariance"] @ r.T}
    a, b = direction_metrics(**content), direction_metrics(**turned)
    for name in ("angle", "angle_mean", "angle_assisted", "angle_assisted_events", "deviation_ratio",
                 "eigen_ratio", "eigen_ratio_events"):
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
    made = direction_metrics(**content)
    assert all(math.isnan(made[name]) for name in ("angle", "angle_assisted_events", "eigen_ratio",
                                                   "eigen_ratio_events"))
