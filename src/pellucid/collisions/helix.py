"""Helices: a charged particle in a uniform magnetic field along z, in closed form.

With B in tesla, p in GeV and lengths in mm, dp/dt = q v x B turns the transverse momentum by the angle k s along a
transverse path s, where k = -0.299792458e-3 q B / p_T: a positive particle in a positive field turns clockwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BEND = 0.299792458e-3
"""GeV / (tesla mm): p_T = BEND B R (Particle Data Group, Review of Particle Physics, particle detectors)."""


def radius(pt: Floats | float, field: float) -> Floats:
    """Radius of the circle in x-y in mm, R = p_T / (0.2998e-3 |B|), of a particle with one unit of charge.

    Args:
        pt: (...) transverse momentum, GeV.
        field: B_z in tesla, not zero.

    Example:
        >>> round(float(radius(0.6, 2.0)))  # mm
        1001
    """
    return np.asarray(pt, dtype=np.float64) / (BEND * abs(field))


def curvature(charge: Floats | NDArray[np.int64], pt: Floats, field: float) -> Floats:
    """(n,) signed angle by which the transverse momentum turns along a mm of transverse path; 1 / mm."""
    return -BEND * field * charge / pt


def advance(position: Floats, momentum: Floats, k: Floats, path: Floats) -> tuple[Floats, Floats]:
    """Position and momentum after a transverse path, stable for straight tracks.

    Args:
        position: (n, 3) mm.
        momentum: (n, 3) GeV, p_T > 0.
        k: (n,) :func:`curvature`.
        path: (n,) length in x-y, mm.
    """
    half = 0.5 * k * path
    chord = path * np.sinc(half / np.pi)  # 2 sin(half) / k
    px, py, pz = momentum[:, 0], momentum[:, 1], momentum[:, 2]
    per_pt = 1 / np.hypot(px, py)
    c, s = np.cos(half), np.sin(half)
    moved = np.empty_like(position)
    moved[:, 0] = position[:, 0] + chord * (px * c - py * s) * per_pt
    moved[:, 1] = position[:, 1] + chord * (py * c + px * s) * per_pt
    moved[:, 2] = position[:, 2] + path * pz * per_pt
    c, s = c * c - s * s, 2 * s * c
    turned = np.empty_like(momentum)
    turned[:, 0], turned[:, 1], turned[:, 2] = px * c - py * s, py * c + px * s, pz
    return moved, turned


def to_cylinder(position: Floats, momentum: Floats, k: Floats, to: Floats) -> Floats:
    """Transverse path at which a particle inside a cylinder around z leaves it; inf where it never does.

    With t the direction and n its left normal in x-y, a = r.t, b = r.n and D = R^2 - r^2, the turn theta satisfies
    (1 + k b - D k^2 / 4) w^2 + 2 a w - D = 0 where w = 2 tan(theta / 2) / k, which a straight line fulfils with k = 0.

    Args:
        position: (n, 3) mm, inside.
        momentum: (n, 3) GeV.
        k: (n,) :func:`curvature`.
        to: (n,) radius of the cylinder, mm; inf for none.

    Returns:
        (n,) mm.
    """
    a, b, r_squared = _along(position, momentum)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = to * to - r_squared
        root = np.sqrt(a * a + (1 + k * b - 0.25 * gap * k * k) * gap)
        x = 0.5 * k * gap / (a + root)
        # A negative root lies more than half a turn ahead.
        path = 2 * (np.arctan(x) + np.where(x * k < 0, np.copysign(np.pi, k), 0.0)) / k
        path = np.where(k == 0, gap / (a + root), path)
    return np.where(np.isfinite(path), path, np.inf)


def to_plane(position: Floats, momentum: Floats, to: Floats) -> Floats:
    """Transverse path to the plane z = ``to``; inf where the particle does not move towards it.

    Args:
        position: (n, 3) mm.
        momentum: (n, 3) GeV.
        to: (n,) mm; inf for none.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        path = (to - position[:, 2]) * np.hypot(momentum[:, 0], momentum[:, 1]) / momentum[:, 2]
    return np.where(np.isfinite(path) & (path > 0), path, np.inf)


def to_outermost(position: Floats, momentum: Floats, k: Floats) -> Floats:
    """(n,) transverse path to the next point of the helix that is farthest from the z axis, mm; inf without field."""
    a, b, _ = _along(position, momentum)
    with np.errstate(invalid="ignore", divide="ignore"):
        path = np.mod(np.arctan2(a * k, -(1 + k * b)) * np.sign(k), 2 * np.pi) / np.abs(k)
    return np.where(np.isfinite(path), path, np.inf)


def _along(position: Floats, momentum: Floats) -> tuple[Floats, Floats, Floats]:
    """Components of the transverse position along the motion and to its left, and its square."""
    x, y, px, py = position[:, 0], position[:, 1], momentum[:, 0], momentum[:, 1]
    per_pt = 1 / np.hypot(px, py)
    return (x * px + y * py) * per_pt, (y * px - x * py) * per_pt, x * x + y * y
