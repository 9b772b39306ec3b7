import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from pellucid.collisions.helix import advance, curvature, radius, to_cylinder, to_outermost, to_plane

LIGHT = 0.299792458e-3  # GeV / (T mm): the momentum that one tesla turns on a circle of a millimetre

fields = st.sampled_from([-20.0, -2.0, 0.5, 2.0, 20.0])
charges = st.sampled_from([-2, -1, 1, 2])
transverse = st.floats(0.2, 200)
angles = st.floats(-3.1, 3.1)
dips = st.floats(-2, 2)
places = st.floats(-25, 25)


def start(pt, phi, dip, x=0.0, y=0.0):
    return np.array([[x, y, 3.0]]), np.array([[pt * np.cos(phi), pt * np.sin(phi), pt * dip]])


def lorentz(position, momentum, charge, field, path, events=None):
    """The Lorentz force dp/dt = q v x B, integrated along the transverse path."""
    def force(_, state):
        p = state[3:]
        pt = np.hypot(p[0], p[1])
        return np.concatenate([p / pt, LIGHT * charge * np.cross(p, [0, 0, field]) / pt])
    return solve_ivp(force, (0, path), np.concatenate([position[0], momentum[0]]), rtol=1e-11, atol=1e-11,
                     method="DOP853", events=events)


@settings(max_examples=30)
@given(transverse, angles, dips, fields, charges, places, places)
def test_advance_is_the_lorentz_force(pt, phi, dip, field, charge, x, y):
    position, momentum = start(pt, phi, dip, x, y)
    k = curvature(np.array([charge]), np.array([pt]), field)
    path = min(1000.0, 6 / abs(k[0]))
    moved, turned = advance(position, momentum, k, np.array([path]))
    end = lorentz(position, momentum, charge, field, path).y[:, -1]
    assert moved[0] == pytest.approx(end[:3], rel=1e-6, abs=1e-6)
    assert turned[0] == pytest.approx(end[3:], rel=1e-6, abs=1e-9 * pt)


@settings(max_examples=30)
@given(transverse, angles, fields, charges, places, places)
def test_the_first_crossing_of_a_cylinder_is_where_the_integrated_track_leaves_it(pt, phi, field, charge, x, y):
    position, momentum = start(pt, phi, 0.3, x, y)
    to = 40.0

    def outside(_, state):
        return np.hypot(state[0], state[1]) - to
    outside.terminal, outside.direction = True, 1.0
    k = curvature(np.array([charge]), np.array([pt]), field)
    once = 2 * np.pi / abs(k[0])
    end = lorentz(position, momentum, charge, field, min(once, 500.0), outside)
    path = to_cylinder(position, momentum, k, np.array([to]))[0]
    if len(end.t_events[0]):
        assert path == pytest.approx(end.t_events[0][0], rel=1e-6, abs=1e-6)
    else:
        assert path == np.inf


@settings(max_examples=30)
@given(st.floats(0.005, 0.1), angles, fields, charges, places, places)
def test_the_outermost_point_of_a_circle(pt, phi, field, charge, x, y):
    position, momentum = start(pt, phi, 0.0, x, y)
    k = curvature(np.array([charge]), np.array([pt]), field)
    steps = np.linspace(0, 2 * np.pi / abs(k[0]), 20001)
    many = advance(np.repeat(position, len(steps), 0), np.repeat(momentum, len(steps), 0),
                   np.repeat(k, len(steps)), steps)[0]
    r = np.hypot(many[:, 0], many[:, 1])
    path = to_outermost(position, momentum, k)
    there = advance(position, momentum, k, path)[0][0]
    assert 0 <= path[0] <= steps[-1] + 1e-9
    assert np.hypot(*there[:2]) == pytest.approx(r.max(), rel=1e-6)


@given(st.floats(0.1, 1000), st.sampled_from([0.5, 2.0, 20.0]))
def test_the_radius_is_p_t_over_three_tenths_of_b(pt, field):
    assert radius(pt, field) == pytest.approx(1000 * pt / (0.3 * field), rel=1e-3)
    # Three points of the track lie on a circle of that radius (its circumradius from the sides of the triangle).
    k = curvature(np.ones(3), np.full(3, pt), field)
    momentum = np.repeat([[pt, 0.0, 0.0]], 3, 0)
    a, b, c = advance(np.zeros((3, 3)), momentum, k, np.array([0.0, 0.5, 1.0]) / abs(k))[0][:, :2]
    sides = np.linalg.norm([b - a, c - b, a - c], axis=1)
    area = 0.5 * abs((b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0])
    assert sides.prod() / (4 * area) == pytest.approx(radius(pt, field), rel=1e-9)


def test_a_positive_particle_turns_clockwise_and_a_straight_one_does_not():
    k = curvature(np.array([1, -1, 0]), np.ones(3), 2.0)
    moved, turned = advance(np.zeros((3, 3)), np.repeat([[1.0, 0, 2]], 3, 0), k, np.full(3, 10.0))
    assert turned[0, 1] < 0 < turned[1, 1]
    assert turned[2, 1] == 0
    assert moved[2] == pytest.approx([10, 0, 20])


def test_planes():
    position, momentum = np.repeat([[0.0, 0, 5]], 3, 0), np.array([[1.0, 0, 2], [1, 0, -2], [1, 0, 0]])
    assert to_plane(position, momentum, np.full(3, 25.0)).tolist() == [10, np.inf, np.inf]
    assert to_plane(position, momentum, np.full(3, -25.0)).tolist() == [np.inf, 15, np.inf]
