import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest

from pellucid.collisions.detector import detector
from pellucid.collisions.endcap import MUON_MASS, TAU_MASS, Taus, boosted, noise, segments, three_body, turned
from pellucid.collisions.generator import Events
from pellucid.collisions.kinematics import energy, invariant_mass
from pellucid.collisions.propagate import Hits, Particles, propagate


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0, 300))
def test_a_decay_keeps_momentum_energy_and_mass(seed, size):
    rng = np.random.default_rng(seed)
    parents = rng.normal(size=(50, 3)) * size
    muons = three_body(parents, TAU_MASS, MUON_MASS, rng)
    assert muons.sum(1) == pytest.approx(parents, abs=1e-8 * (1 + size))
    assert energy(muons, MUON_MASS).sum(1) == pytest.approx(energy(parents, TAU_MASS), rel=1e-9)
    assert invariant_mass(muons, np.full((50, 3), MUON_MASS)) == pytest.approx(TAU_MASS, rel=1e-6)


def test_pairs_have_the_mass_of_phase_space():
    """The density of m12 is p*(M; m12, m) p*(m12; m, m), integrated by SciPy; muons are exchangeable."""
    rng = np.random.default_rng(0)
    muons = three_body(np.zeros((20_000, 3)), TAU_MASS, MUON_MASS, rng)

    def density(pair):
        def star(whole, a, b):
            return np.sqrt(max((whole**2 - (a + b) ** 2) * (whole**2 - (a - b) ** 2), 0)) / (2 * whole)
        return star(TAU_MASS, pair, MUON_MASS) * star(pair, MUON_MASS, MUON_MASS)
    low, high = 2 * MUON_MASS, TAU_MASS - MUON_MASS
    grid = np.linspace(low, high, 400)
    whole = quad(density, low, high)[0]
    cumulative = np.concatenate([[0], np.cumsum([quad(density, a, b)[0] for a, b in
                                                 itertools.pairwise(grid)])]) / whole
    for a, b in ((0, 1), (0, 2), (1, 2)):
        masses = invariant_mass(muons[:, [a, b]], np.full((len(muons), 2), MUON_MASS))
        assert kstest(masses, lambda m: np.interp(m, grid, cumulative)).pvalue > 1e-3
    unit = muons[:, 0] / np.linalg.norm(muons[:, 0], axis=1)[:, None]
    assert kstest(unit[:, 2], "uniform", (-1, 2)).pvalue > 1e-3


def test_a_boost_is_that_of_special_relativity():
    p, frame, mass, whole = np.array([[0.3, -0.2, 0.5]]), np.array([[0.0, 0.0, 4.0]]), 0.1, np.array([2.0])
    beta = 4 / np.hypot(4, 2)
    gamma = 1 / np.sqrt(1 - beta**2)
    expected = [0.3, -0.2, gamma * (0.5 + beta * float(energy(p, mass)[0]))]
    assert boosted(p, mass, frame, whole)[0] == pytest.approx(expected)


def test_taus_are_the_sum_of_their_muons_and_fly_forwards():
    momentum = np.array([[1.0, 0, -5], [0, 1, -4], [0, 0, -3], [9, 9, 9]])
    events = Events(np.array([0, 3, 4]), np.full(4, 13, np.int32), np.array([1, 1, -1, 1], np.int32), np.zeros(4),
                    momentum, np.repeat([[0.1, 0.2, -3.0]], 4, 0), np.zeros(4, np.int32))
    taus = Taus.of(events)
    assert taus.momentum.tolist() == [[1, 1, 12]]
    assert taus.vertex.tolist() == [[0.1, 0.2, 3.0]]
    assert taus.charge.tolist() == [1]


def test_turning_about_the_beam():
    assert turned(np.array([[[1.0, 0, 2], [0, 1, 3]]]), np.array([np.pi / 2]))[0] == pytest.approx(
        np.array([[0, 1, 2], [-1, 0, 3]]))


def test_a_segment_bends_by_the_angle_to_the_radius():
    n = 20_000
    position = np.repeat([[300.0, 400, 6000]], n, 0)
    momentum = np.repeat([[0.0, 5, 1]], n, 0)
    none = np.zeros(n, dtype=np.int64)
    place, bend = segments(Hits(none, none, none, position, position, momentum), np.random.default_rng(0))
    assert place[0] == pytest.approx([np.arcsinh(12.0), np.arctan2(4, 3)])
    assert bend.mean() == pytest.approx(90 - np.degrees(np.arctan2(4, 3)), abs=0.02)
    assert bend.std() == pytest.approx(0.3, rel=0.03)


def test_opposite_charges_bend_opposite_ways():
    p = np.array([[4.0, 0, 12], [4.0, 0, 12]])
    made = propagate(Particles(np.zeros((2, 3)), p, np.array([1, -1]), np.full(2, MUON_MASS)), detector("endcap_muons"),
                     3.8, rng=np.random.default_rng(0), material=False)
    bend = segments(made.hits, np.random.default_rng(0))[1]
    assert (bend[made.hits.particle == 0] < -1).all()
    assert (bend[made.hits.particle == 1] > 1).all()


def test_noise_is_uniform_over_the_chambers():
    station = detector("endcap_muons")
    counts = np.array([40_000, 0, 3])
    place, bend, surface = noise(station, counts, np.random.default_rng(0))
    assert len(place) == len(bend) == len(surface) == 40_003
    rings = {i: s for i, s in enumerate(station.surfaces) if s.sensitive}
    whole = sum(s.r_max**2 - s.r_min**2 for s in rings.values())
    for i, s in rings.items():
        mine = surface == i
        assert mine.mean() == pytest.approx((s.r_max**2 - s.r_min**2) / whole, abs=0.01)
        squared = (s.z / np.sinh(place[mine, 0])) ** 2
        assert kstest(squared, "uniform", (s.r_min**2, s.r_max**2 - s.r_min**2)).pvalue > 1e-3
    assert np.abs(bend).max() <= 45
