"""Kinematics of particles: energies, invariant masses, pseudorapidity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Z_MASS = 91.19
"""Mass of the Z boson in GeV, as the LRI paper has it (section B)."""

Floats = NDArray[np.float64]


def energy(momentum: Floats, mass: Floats | float) -> Floats:
    """E = sqrt(m^2 + |p|^2).

    Args:
        momentum: (..., 3) GeV.
        mass: (...) GeV.

    Returns:
        (...) GeV.
    """
    total: Floats = np.sqrt(np.asarray(mass) ** 2 + (momentum**2).sum(-1))
    return total


def invariant_mass(momentum: Floats, mass: Floats | float) -> Floats:
    """Mass of systems of particles: m^2 = (sum E)^2 - |sum p|^2, of two equal ones the paper's eq. 10.

    Args:
        momentum: (..., particles, 3) GeV.
        mass: (..., particles) GeV.

    Returns:
        (...) GeV.

    Example:
        >>> back_to_back = np.array([[45.0, 0.0, 0.0], [-45.0, 0.0, 0.0]])
        >>> round(float(invariant_mass(back_to_back, 0.10566)), 4)
        90.0002
    """
    squared = energy(momentum, mass).sum(-1) ** 2 - (momentum.sum(-2) ** 2).sum(-1)
    result: Floats = np.sqrt(np.maximum(squared, 0))  # rounding of light systems
    return result


def transverse(momentum: Floats) -> Floats:
    """(..., 3) momentum -> (...) transverse momentum in its unit."""
    return np.hypot(momentum[..., 0], momentum[..., 1])


def pseudorapidity(vector: Floats) -> Floats:
    """Eta = asinh(z / rho) of positions or momenta, (..., 3) -> (...).

    Example:
        >>> pseudorapidity(np.array([1.0, 0.0, 0.0]))
        np.float64(0.0)
    """
    eta: Floats = np.arcsinh(vector[..., 2] / transverse(vector))
    return eta


def pairs_at_mass(owner: NDArray[np.int64], charge: NDArray[np.int32], momentum: Floats, mass: Floats, at: float,
                  window: float) -> NDArray[np.int64]:
    """Pairs of particles of opposite charge and one owner whose invariant mass is near a given one.

    Args:
        owner: (n,) the event that each particle belongs to.
        charge: (n,) not zero.
        momentum: (n, 3) GeV.
        mass: (n,) GeV.
        at: Mass, GeV.
        window: Largest distance from it, GeV.

    Returns:
        (pairs, 2) places, the positive particle first.
    """
    order = np.argsort(owner, kind="stable")
    plus, minus = order[charge[order] > 0], order[charge[order] < 0]
    start = np.searchsorted(owner[minus], owner[plus], side="left")  # those of one owner stand together
    sizes = np.searchsorted(owner[minus], owner[plus], side="right") - start
    shift = np.repeat(start - (sizes.cumsum() - sizes), sizes)
    both = np.stack([np.repeat(plus, sizes), minus[np.arange(len(shift)) + shift]], 1)
    near: NDArray[np.int64] = both[np.abs(invariant_mass(momentum[both], mass[both]) - at) < window]
    return near
