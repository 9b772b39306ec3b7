"""What muons leave in the first station of an end cap: taus that decay to three of them, segments and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.collisions.detector import Detector
from pellucid.collisions.generator import Events
from pellucid.collisions.kinematics import energy, pseudorapidity
from pellucid.collisions.propagate import Hits

Floats = NDArray[np.float64]
MUON_MASS, TAU_MASS = 0.1056584, 1.77686
"""GeV (Particle Data Group)."""
ANGLE = 0.3
"""Standard deviation with which a chamber measures the direction of a segment in the transverse plane, degrees."""


@dataclass(frozen=True)
class Taus:
    """Taus at their decay, mirrored so that they fly towards positive z.

    Attributes:
        momentum: (n, 3) GeV.
        vertex: (n, 3) where they decay, mm.
        charge: (n,).
    """

    momentum: Floats
    vertex: Floats
    charge: NDArray[np.int64]

    @staticmethod
    def of(events: Events) -> Taus:
        """The taus of events whose three muons are all there."""
        rows = events.ptr[:-1][np.diff(events.ptr) == 3][:, None] + np.arange(3)
        momentum, vertex = events.momentum[rows].sum(1), events.vertex[rows[:, 0]].copy()
        side = np.where(momentum[:, 2] < 0, -1.0, 1.0)
        momentum[:, 2] *= side
        vertex[:, 2] *= side
        return Taus(momentum, vertex, events.charge[rows].sum(1).astype(np.int64))


def three_body(momentum: Floats, mass: float, each: float, rng: np.random.Generator) -> Floats:
    """Decays of particles to three of equal mass by phase space.

    The mass of a pair is drawn with weight p*(M; m12, m) p*(m12; m, m), directions are isotropic in their frames
    (James, Monte Carlo phase space, CERN 68-15).

    Args:
        momentum: (n, 3) of the decaying particles, GeV.
        mass: Theirs, GeV.
        each: Mass of a daughter, GeV.
        rng: Of masses and directions.

    Returns:
        (n, 3, 3) momenta of the daughters, GeV.
    """
    def star(whole: Floats | float, a: Floats | float, b: float) -> Floats:
        whole, a = np.asarray(whole), np.asarray(a)
        inner = (whole**2 - (a + b) ** 2) * (whole**2 - (a - b) ** 2)
        result: Floats = np.sqrt(np.maximum(inner, 0)) / (2 * whole)
        return result
    low, high = 2 * each, mass - each
    grid = np.linspace(low, high, 2001)
    most = 1.01 * (star(mass, grid, each) * star(grid, each, each)).max()
    pair = np.full(len(momentum), np.nan)
    while len(left := np.flatnonzero(np.isnan(pair))):
        drawn = rng.uniform(low, high, len(left))
        good = rng.random(len(left)) * most < star(mass, drawn, each) * star(drawn, each, each)
        pair[left[good]] = drawn[good]
    n = len(momentum)
    inside = star(pair, each, each)[:, None] * _directions(n, rng)
    back = star(mass, pair, each)[:, None] * _directions(n, rng)
    first, second = (boosted(sign * inside, each, back, pair) for sign in (1.0, -1.0))
    return np.stack([boosted(p, each, momentum, np.full(n, mass)) for p in (first, second, -back)], 1)


def boosted(momentum: Floats, mass: float, frame: Floats, whole: Floats) -> Floats:
    """Momenta of particles as seen where their frame, a system of mass ``whole``, has the momentum ``frame``.

    Args:
        momentum: (n, 3) GeV in the system's rest frame.
        mass: Of the particles, GeV.
        frame: (n, 3) momentum of the system, GeV.
        whole: (n,) mass of the system, GeV.

    Example:
        >>> at_rest = np.zeros((1, 3))
        >>> boosted(at_rest, 1.0, np.array([[0.0, 0.0, 6.0]]), np.array([2.0])).tolist()
        [[0.0, 0.0, 3.0]]
    """
    own, system = energy(momentum, mass), energy(frame, whole)
    along = (momentum * frame).sum(1)
    result: Floats = momentum + frame * ((along / (system + whole) + own) / whole)[:, None]
    return result


def _directions(n: int, rng: np.random.Generator) -> Floats:
    v = rng.standard_normal((n, 3))
    unit: Floats = v / np.linalg.norm(v, axis=1, keepdims=True)
    return unit


def turned(vectors: Floats, angle: Floats) -> Floats:
    """(n, ..., 3) vectors, each row turned about the beam by its angle (n,) in rad."""
    shape = (len(angle),) + (1,) * (vectors.ndim - 2)
    c, s = np.cos(angle).reshape(shape), np.sin(angle).reshape(shape)
    x, y = vectors[..., 0], vectors[..., 1]
    return np.stack([c * x - s * y, s * x + c * y, vectors[..., 2]], -1)


def segments(hits: Hits, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """What the station measures of hits.

    Args:
        hits: Of the station.
        rng: Of the measured angle.

    Returns:
        (hits, 2) pseudorapidity and azimuth (rad) of the measured place, seen from the origin; (hits,) local bending
        angle in degrees: from the radial direction to the measured direction of flight, in the transverse plane.
    """
    position, momentum = hits.position, hits.momentum
    phi = np.arctan2(position[:, 1], position[:, 0])
    bend = np.arctan2(momentum[:, 1], momentum[:, 0]) - phi
    bend = np.degrees(np.mod(bend + np.pi, 2 * np.pi) - np.pi) + rng.normal(0, ANGLE, len(phi))
    return np.stack([pseudorapidity(position), phi], 1), bend


def noise(station: Detector, counts: NDArray[np.int64], rng: np.random.Generator, widest: float = 45.0
          ) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Hits of no particle, uniform over the chambers' area, with any bending angle up to the widest.

    Args:
        station: Its sensitive discs are the chambers.
        counts: (samples,) how many each sample has.
        rng: Of places and angles.
        widest: Degrees.

    Returns:
        As :func:`segments`, and (hits,) surfaces; hits stand by sample.
    """
    places = [i for i, s in enumerate(station.surfaces) if s.sensitive and s.kind == "disc"]
    rings = np.array([[s.r_min, s.r_max, s.z] for s in (station.surfaces[i] for i in places)], dtype=float)
    area = rings[:, 1] ** 2 - rings[:, 0] ** 2
    n = int(counts.sum())
    which = rng.choice(len(rings), n, p=area / area.sum())
    r = np.sqrt(rings[which, 0] ** 2 + rng.random(n) * area[which])
    phi = rng.uniform(-np.pi, np.pi, n)
    return (np.stack([np.arcsinh(rings[which, 2] / r), phi], 1), rng.uniform(-widest, widest, n),
            np.array(places)[which])
