import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.collisions.material import STOPPED, highland, mean_loss, scatter, slow_down

MUON, PROTON = 0.1056584, 0.9382721


@given(st.floats(0.1, 100), st.sampled_from([MUON, PROTON]), st.sampled_from([1, 2]), st.floats(1e-3, 100))
def test_highlands_width(p, mass, charge, x):
    beta = p / np.sqrt(p**2 + mass**2)
    expected = 13.6 / (beta * p * 1000) * charge * x**0.5 * (1 + 0.038 * np.log(x * charge**2 / beta**2))
    assert highland(p, mass, charge, x) == pytest.approx(expected, rel=1e-12)


def test_no_material_does_not_scatter():
    assert highland(1.0, MUON, 1, 0.0) == 0


def test_scattering_has_the_width_in_each_plane_and_keeps_the_length():
    rng = np.random.default_rng(0)
    for direction in ([0, 0, 1.0], [1.0, 0, 0], [0.5, -0.7, 0.2]):
        p = np.repeat([direction], 40_000, 0)
        after = scatter(p, np.full(len(p), 0.01), rng)
        assert np.linalg.norm(after, axis=1) == pytest.approx(np.linalg.norm(p, axis=1))
        sideways = after - p * (after @ p[0])[:, None] / (p[0] @ p[0])
        across = np.cross(p[0], [0.3, 0.4, 0.9])
        across /= np.linalg.norm(across)
        angles = sideways @ across / np.linalg.norm(p[0])
        assert angles.std() == pytest.approx(0.01, rel=0.02)
        assert abs(angles.mean()) < 5 * 0.01 / 200


def test_the_loss_rises_for_slow_particles():
    assert mean_loss(1000.0, MUON, 1, 0.001) == pytest.approx(0.001, rel=1e-6)
    beta = 0.5 / np.hypot(0.5, PROTON)
    assert mean_loss(0.5, PROTON, 2, 0.001) == pytest.approx(0.004 * beta ** (-5 / 3))


def test_a_particle_loses_energy_along_its_direction_or_stops():
    p, mass = np.array([[3.0, 0, 4], [0, 0.05, 0]]), np.array([MUON, MUON])
    after, stopped = slow_down(p, mass, np.array([1.0, 0.02]))
    assert stopped.tolist() == [False, True]  # 50 MeV/c of a muon are 11 MeV of kinetic energy
    energy = np.sqrt(25 + MUON**2) - 1
    assert after[0] == pytest.approx(np.sqrt(energy**2 - MUON**2) * np.array([0.6, 0, 0.8]))
    assert after[1].tolist() == [0, 0, 0]
    assert 0 < STOPPED < 0.01
