"""Charged particles through a detector: helices from surface to surface, all particles at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.collisions.detector import Detector
from pellucid.collisions.helix import Floats, advance, curvature, to_cylinder, to_outermost, to_plane
from pellucid.collisions.material import STEEPEST, highland, mean_loss, scatter, slow_down
from pellucid.errors import PellucidError

Ints = NDArray[np.int64]

OUTCOMES = ("left the detector", "stopped in material", "curls up", "below the momentum cut", "neutral", "at rest")
"""How a particle can end; :attr:`Propagation.outcome` holds places in it."""
LEFT, STOPPED, CURLS, SLOW, NEUTRAL, AT_REST = range(6)
STRONGEST = 100.0
"""Largest field in tesla that is taken for meant."""


@dataclass(frozen=True)
class Particles:
    """Where particles start, and how.

    Attributes:
        position: (n, 3) mm.
        momentum: (n, 3) GeV.
        charge: (n,) in units of the proton's.
        mass: (n,) GeV.
    """

    position: Floats
    momentum: Floats
    charge: NDArray[np.integer[Any]]
    mass: Floats

    def __post_init__(self) -> None:
        n = len(self.charge)
        for name, shape in (("position", (n, 3)), ("momentum", (n, 3)), ("charge", (n,)), ("mass", (n,))):
            values = getattr(self, name)
            if values.shape != shape:
                raise PellucidError(f"expected {name} of shape {shape}, got {values.shape}; give one row a particle")
            if not np.isfinite(values).all():
                bad = int((~np.isfinite(values).reshape(n, -1).all(1)).sum())
                raise PellucidError(f"expected finite {name}, got NaN or infinity in {bad} of {n} particles; remove "
                                    "them")


@dataclass(frozen=True)
class Hits:
    """Crossings of sensitive surfaces, by particle and then along its way.

    Attributes:
        particle: (hits,) place of the particle.
        surface: (hits,) place of the surface in the detector.
        side: (hits,) -1 or 1 for discs, the sign of z; 0 for barrels.
        position: (hits, 3) as measured, mm.
        true_position: (hits, 3) mm.
        momentum: (hits, 3) on arrival at the surface, GeV.
    """

    particle: Ints
    surface: Ints
    side: Ints
    position: Floats
    true_position: Floats
    momentum: Floats


@dataclass(frozen=True)
class Propagation:
    """What became of particles: their hits, and (n,) how each ended, a place in :data:`OUTCOMES`."""

    hits: Hits
    outcome: Ints

    def outcomes(self) -> dict[str, int]:
        """Number of particles with each outcome."""
        return dict(zip(OUTCOMES, np.bincount(self.outcome, minlength=len(OUTCOMES)).tolist(), strict=True))


def propagate(particles: Particles, detector: Detector, field: float, *, rng: np.random.Generator,
              min_pt: float = 0.0, material: bool = True, resolution: bool = True) -> Propagation:
    """Follows particles outwards through a detector in a uniform field along z.

    Between surfaces a particle moves on its helix (:mod:`pellucid.collisions.helix`). At each surface, sensitive or
    not, it loses energy and scatters (:mod:`pellucid.collisions.material`); a thick layer acts at one place. Sensitive
    surfaces record where it crossed. It is followed until it has left all surfaces behind, has stopped, falls below
    ``min_pt``, or **turns back**: a particle whose circle is too small for the next surface ends at its outermost point
    (outcome "curls up"), since the returning arms of loopers are not simulated. Where a detector has discs alone, a
    spiral is followed from disc to disc. Of a particle that starts inside the
    detector and flies inwards, only what it crosses on its way out is seen. Neutral particles and particles at rest
    leave no hits and have an outcome of their own; nuclear interactions and decays in flight are not simulated.

    All particles are one batch: the same ``rng``, particles and options give the same hits.

    Args:
        particles: n of them.
        detector: See :func:`pellucid.collisions.detector.detector`.
        field: B_z in tesla, not zero.
        rng: For scattering and measurement.
        min_pt: Transverse momentum in GeV below which a particle is given up.
        material: Whether particles scatter and lose energy.
        resolution: Whether measured places differ from true ones.

    Raises:
        PellucidError: A field of zero, not finite, or above 100 T; ``min_pt`` below 0.

    Example:
        >>> from pellucid.collisions.detector import detector
        >>> muon = Particles(np.zeros((1, 3)), np.array([[30.0, 0.0, 5.0]]), np.array([-1]), np.array([0.10566]))
        >>> made = propagate(muon, detector("generic"), 2.0, rng=np.random.default_rng(0))
        >>> len(made.hits.particle), OUTCOMES[made.outcome[0]]
        (10, 'left the detector')
    """
    if field == 0:
        raise PellucidError("expected a magnetic field, got 0 T; a straight line has no curvature: give e.g. 2")
    if not np.isfinite(field) or abs(field) > STRONGEST:
        raise PellucidError(f"expected a field between -{STRONGEST:g} and {STRONGEST:g} T, got {field}; give tesla")
    if not min_pt >= 0:
        raise PellucidError(f"expected min_pt of at least 0 GeV, got {min_pt}; leave it out for no cut")
    plan = _layout(detector)
    outcome = np.full(len(particles.charge), LEFT)
    moving = (particles.momentum != 0).any(1)
    pt = np.hypot(particles.momentum[:, 0], particles.momentum[:, 1])
    outcome[pt < min_pt] = SLOW
    outcome[particles.charge == 0] = NEUTRAL
    outcome[~moving] = AT_REST
    # A particle exactly along the beam meets nothing.
    live = np.flatnonzero((outcome == LEFT) & (pt > 0))
    position, momentum = particles.position[live].astype(np.float64), particles.momentum[live].astype(np.float64)
    charge, mass = particles.charge[live].astype(np.float64), particles.mass[live]
    barrel = np.searchsorted(plan.barrel_r, np.hypot(position[:, 0], position[:, 1]) * (1 + 1e-12), side="right")
    forward = momentum[:, 2] >= 0
    plane = np.where(forward, np.searchsorted(plan.plane_z[1], position[:, 2], side="right"),
                     np.searchsorted(plan.plane_z[0], -position[:, 2], side="right"))
    found: list[tuple[Ints, Ints, Ints, Floats, Floats]] = []
    while len(live):
        k = curvature(charge, np.hypot(momentum[:, 0], momentum[:, 1]), field)
        height = np.where(forward, plan.plane_z[1][plane], -plan.plane_z[0][plane])
        to_barrel = to_cylinder(position, momentum, k, plan.barrel_r[barrel])
        to_disc = to_plane(position, momentum, height)
        path = np.minimum(to_barrel, to_disc)
        turn = to_outermost(position, momentum, k) if len(plan.barrel_r) > 1 else np.inf
        gone = _behind(plan, position, barrel, plane, forward)
        ends = gone | (path > turn)
        outcome[live[ends & ~gone]] = CURLS
        if ends.any():
            keep = ~ends
            live, barrel, plane, forward = live[keep], barrel[keep], plane[keep], forward[keep]
            position, momentum, charge, mass = position[keep], momentum[keep], charge[keep], mass[keep]
            k, path, to_barrel, to_disc = k[keep], path[keep], to_barrel[keep], to_disc[keep]
            if not len(live):
                break
        position, momentum = advance(position, momentum, k, path)
        at_barrel = to_barrel <= to_disc
        surface = _met(plan, position, at_barrel, barrel, plane, forward)
        barrel = barrel + at_barrel
        plane = plane + ~at_barrel

        met = np.flatnonzero(surface >= 0)
        seen = met[plan.sensitive[surface[met]]]
        found.append((live[seen], surface[seen], np.where(at_barrel, 0, np.where(forward, 1, -1))[seen],
                      position[seen], momentum[seen]))
        if not material or not len(met):
            continue
        momentum[met], stopped = _interact(plan, momentum[met], position[met], mass[met], charge[met], surface[met],
                                           at_barrel[met], rng)
        turned = np.flatnonzero((momentum[:, 2] >= 0) != forward)  # scattered back along z
        if len(turned):
            forward[turned] = ~forward[turned]
            ahead, behind = position[turned, 2] + 1e-9, -position[turned, 2] + 1e-9
            plane[turned] = np.where(forward[turned], np.searchsorted(plan.plane_z[1], ahead, side="right"),
                                     np.searchsorted(plan.plane_z[0], behind, side="right"))
        slow = np.hypot(momentum[:, 0], momentum[:, 1]) < max(min_pt, 1e-9)
        outcome[live[slow]] = SLOW
        outcome[live[met[stopped]]] = STOPPED
        slow[met[stopped]] = True
        if slow.any():
            keep = ~slow
            live, barrel, plane, forward = live[keep], barrel[keep], plane[keep], forward[keep]
            position, momentum, charge, mass = position[keep], momentum[keep], charge[keep], mass[keep]
    return Propagation(_hits(plan, found, rng if resolution else None), outcome)


@dataclass(frozen=True)
class _Layout:
    """A detector as arrays: radii of barrels and places of planes in order, infinity behind the last."""

    barrel_r: Floats
    barrel_surface: Ints
    plane_z: tuple[Floats, Floats]  # |z| on the negative and on the positive side
    plane_r: tuple[Floats, Floats]  # (planes, rings, 2) inner and outer radius
    plane_surface: tuple[Ints, Ints]  # (planes, rings), -1 for none
    half_length: Floats  # of each surface, inf for discs
    sensitive: NDArray[np.bool_]
    thickness: Floats
    loss: Floats
    resolution: Floats
    reach: tuple[float, float, float]  # largest radius; farthest barrel end; farthest disc's radius


@lru_cache(maxsize=16)
def _layout(detector: Detector) -> _Layout:
    surfaces = detector.surfaces
    barrels = sorted((i for i, s in enumerate(surfaces) if s.kind == "barrel"), key=lambda i: surfaces[i].r or 0)
    radii = [surfaces[i].r or 0.0 for i in barrels]
    if len(set(radii)) < len(radii):
        raise PellucidError("expected barrels of different radii, got two of the same; move one")
    z, r, place = [], [], []
    most = max(len({s.z for s in surfaces if s.kind == "disc" and s.sides in ("both", side)})
               for side in ("negative", "positive"))
    for side in ("negative", "positive"):
        discs = [i for i, s in enumerate(surfaces) if s.kind == "disc" and s.sides in ("both", side)]
        heights = sorted({surfaces[i].z or 0.0 for i in discs})
        rings = max((sum(surfaces[i].z == h for i in discs) for h in heights), default=1)
        extent, index = np.zeros((most + 1, rings, 2)), np.full((most + 1, rings), -1)
        for n, h in enumerate(heights):
            for m, i in enumerate(i for i in discs if surfaces[i].z == h):
                extent[n, m] = surfaces[i].r_min or 0.0, surfaces[i].r_max or 0.0
                index[n, m] = i
        z.append(np.array([*heights, *[np.inf] * (most + 1 - len(heights))]))  # both sides of one length
        r.append(extent)
        place.append(index)
    return _Layout(
        np.array([*radii, np.inf]), np.array([*barrels, -1]), (z[0], z[1]), (r[0], r[1]), (place[0], place[1]),
        np.array([s.half_length or np.inf for s in surfaces]), np.array([s.sensitive for s in surfaces]),
        np.array([s.thickness for s in surfaces]), np.array([s.loss for s in surfaces]),
        np.array([s.resolution for s in surfaces]),
        (max(s.r or s.r_max or 0.0 for s in surfaces), max((s.half_length or 0.0 for s in surfaces), default=0.0),
         max((s.r_max or 0.0 for s in surfaces), default=0.0)))


def _behind(plan: _Layout, position: Floats, barrel: Ints, plane: Ints, forward: NDArray[np.bool_]
            ) -> NDArray[np.bool_]:
    """(n,) whether a particle that flies outwards can meet no surface any more."""
    no_plane = np.isinf(np.where(forward, plan.plane_z[1][plane], plan.plane_z[0][plane]))
    no_barrel = (barrel >= len(plan.barrel_r) - 1) | (
        no_plane & (np.abs(position[:, 2]) > plan.reach[1]) & ((position[:, 2] >= 0) == forward))
    outside = position[:, 0] ** 2 + position[:, 1] ** 2 > plan.reach[2] ** 2
    result: NDArray[np.bool_] = no_barrel & (no_plane | outside)
    return result


def _met(plan: _Layout, position: Floats, at_barrel: NDArray[np.bool_], barrel: Ints, plane: Ints,
         forward: NDArray[np.bool_]) -> Ints:
    """(n,) surface that is really there where a particle crosses a cylinder or plane; -1 for none."""
    surface = np.full(len(position), -1)
    rows = np.flatnonzero(at_barrel)
    on = plan.barrel_surface[barrel[rows]]
    surface[rows] = np.where(np.abs(position[rows, 2]) <= plan.half_length[on], on, -1)
    for side in (0, 1):
        rows = np.flatnonzero(~at_barrel & (forward == bool(side)))
        r = np.hypot(position[rows, 0], position[rows, 1])[:, None]
        extent, index = plan.plane_r[side][plane[rows]], plan.plane_surface[side][plane[rows]]
        inside = (extent[..., 0] <= r) & (r <= extent[..., 1]) & (index >= 0)
        surface[rows] = np.where(inside.any(1), index[np.arange(len(rows)), inside.argmax(1)], -1)
    return surface


def _interact(plan: _Layout, momentum: Floats, position: Floats, mass: Floats, charge: Floats, surface: Ints,
              at_barrel: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
    """Momenta behind a layer, and which particles stopped in it."""
    total = np.sqrt((momentum**2).sum(1))
    radial = (momentum[:, :2] * position[:, :2]).sum(1) / np.hypot(position[:, 0], position[:, 1])
    cosine = np.abs(np.where(at_barrel, radial, momentum[:, 2])) / total
    slant = 1 / np.maximum(cosine, 1 / STEEPEST)
    width = highland(total, mass, charge, plan.thickness[surface] * slant)
    loss = mean_loss(total, mass, charge, plan.loss[surface] * slant)
    return slow_down(scatter(momentum, width, rng), mass, loss)


def _hits(plan: _Layout, found: list[tuple[Ints, Ints, Ints, Floats, Floats]], rng: np.random.Generator | None) -> Hits:
    """Hits of all steps by particle, along its way, with the measured place on the surface."""
    none = np.zeros(0, np.int64)
    found = [*found, (none, none, none, np.zeros((0, 3)), np.zeros((0, 3)))]
    order = np.argsort(np.concatenate([part[0] for part in found]), kind="stable")
    particle, surface, side = (np.concatenate([part[i] for part in found])[order] for i in range(3))
    true, momentum = (np.concatenate([part[i] for part in found])[order] for i in (3, 4))
    measured = true.copy()
    if rng is not None and len(true):
        across, along = (rng.standard_normal((len(true), 2)) * plan.resolution[surface]).T
        r = np.hypot(true[:, 0], true[:, 1])
        disc = side != 0
        phi, r_new = np.arctan2(true[:, 1], true[:, 0]) + across / r, r + along * disc
        measured = np.stack([r_new * np.cos(phi), r_new * np.sin(phi), true[:, 2] + along * ~disc], 1)
    return Hits(particle, surface, side, measured, true, momentum)
