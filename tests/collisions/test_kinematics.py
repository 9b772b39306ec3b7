import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.collisions.kinematics import energy, invariant_mass, pairs_at_mass, pseudorapidity, transverse


def test_the_papers_equation_for_two_particles():
    rng = np.random.default_rng(0)
    p, m = rng.normal(0, 30, (5, 2, 3)), 0.10566
    e = np.sqrt(m**2 + (p**2).sum(-1))
    half = m**2 + e[:, 0] * e[:, 1] - (p[:, 0] * p[:, 1]).sum(-1)  # eq. 10
    assert invariant_mass(p, m) == pytest.approx(np.sqrt(2 * half))


@given(st.floats(-0.99, 0.99))
def test_the_mass_does_not_change_in_a_boosted_frame(beta):
    p = np.array([[20.0, 3.0, -7.0], [-11.0, 5.0, 40.0], [1.0, 1.0, 2.0]])
    mass = np.array([0.1, 0.5, 0.94])
    gamma = 1 / np.sqrt(1 - beta**2)
    boosted = p.copy()
    boosted[:, 2] = gamma * (p[:, 2] + beta * energy(p, mass))
    assert invariant_mass(boosted, mass) == pytest.approx(invariant_mass(p, mass), rel=1e-6)


@given(st.floats(0.05, 3.09), st.floats(0.1, 100))
def test_pseudorapidity_is_that_of_the_polar_angle(theta, length):
    vector = length * np.array([np.sin(theta), 0.0, np.cos(theta)])
    assert pseudorapidity(vector) == pytest.approx(-np.log(np.tan(theta / 2)), abs=1e-9)
    assert transverse(vector) == pytest.approx(length * np.sin(theta))


@given(st.integers(0, 1000))
def test_pairs_are_those_of_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    n = 12
    owner, charge = rng.integers(0, 3, n), rng.choice([-1, 1], n)
    p, mass = rng.normal(0, 30, (n, 3)), np.full(n, 0.10566)
    wanted = {(i, j) for i, j in itertools.permutations(range(n), 2) if owner[i] == owner[j]
              and charge[i] > 0 > charge[j] and abs(invariant_mass(p[[i, j]], mass[[i, j]]) - 60) < 20}
    assert {tuple(pair) for pair in pairs_at_mass(owner, charge, p, mass, 60, 20).tolist()} == wanted
