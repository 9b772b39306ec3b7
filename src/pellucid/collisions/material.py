"""What material does to a charged particle: multiple scattering and mean energy loss.

Source: Particle Data Group, Review of Particle Physics, section "Passage of particles through matter".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEEPEST = 20.0
"""Longest way through a layer, as a multiple of its thickness: a grazing particle leaves a real layer at a module's
edge."""
STOPPED = 1e-3
"""Kinetic energy in GeV below which a particle counts as stopped."""


def highland(momentum: Floats | float, mass: Floats | float, charge: Floats | int, thickness: Floats | float) -> Floats:
    """Width of the scattering angle in a plane: Highland's formula.

    theta_0 = 13.6 MeV / (beta p) |q| sqrt(x) (1 + 0.038 ln(x q^2 / beta^2)), good to 11 % for 1e-3 < x < 100.

    Args:
        momentum: (...) GeV.
        mass: (...) GeV.
        charge: (...) in units of the proton's.
        thickness: (...) x, radiation lengths along the way.

    Returns:
        (...) rad.

    Example:
        >>> round(float(highland(1.0, 0.10566, 1, 0.01)) * 1000, 3)  # mrad
        1.129
    """
    p, q = np.asarray(momentum, dtype=np.float64), np.abs(charge)
    beta = p / np.sqrt(p * p + np.square(mass))
    x = np.asarray(thickness, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.where(x > 0, 1 + 0.038 * np.log(x * q * q / beta**2), 0.0)
    width: Floats = 13.6e-3 / (beta * p) * q * np.sqrt(x) * np.maximum(log, 0)
    return width


def scatter(momentum: Floats, width: Floats, rng: np.random.Generator) -> Floats:
    """Turns momenta by two independent normal angles in perpendicular planes around their direction.

    Args:
        momentum: (n, 3) GeV.
        width: (n,) standard deviation of each angle, rad.
        rng: Source of the angles.

    Returns:
        (n, 3) of the same lengths.
    """
    total = np.sqrt((momentum**2).sum(1))
    unit = momentum / total[:, None]
    # e1 is perpendicular to the direction and to the axis that is farthest from it.
    first = np.where((np.abs(unit[:, 2]) < 0.9)[:, None], np.stack([-unit[:, 1], unit[:, 0], 0 * total], 1),
                     np.stack([0 * total, -unit[:, 2], unit[:, 1]], 1))
    first /= np.sqrt((first**2).sum(1))[:, None]
    second = np.cross(unit, first)
    # 20 beam widths and more only occur in absorbers; a plane angle is kept below a right one there.
    tangent = np.tan(np.clip(rng.standard_normal((len(total), 2)) * width[:, None], -1.5, 1.5))
    turned = unit + tangent[:, :1] * first + tangent[:, 1:] * second
    result: Floats = turned * (total / np.sqrt((turned**2).sum(1)))[:, None]
    return result


def mean_loss(momentum: Floats | float, mass: Floats | float, charge: Floats | int, minimum: Floats | float) -> Floats:
    """Mean energy loss: q^2 times that of a minimum-ionising particle times beta^(-5/3).

    The Bethe equation falls about as beta^(-5/3) towards its minimum; its slow logarithmic rise is left out.

    Args:
        momentum: (...) GeV.
        mass: (...) GeV.
        charge: (...) in units of the proton's.
        minimum: (...) loss of a minimum-ionising particle along the way, GeV.

    Returns:
        (...) GeV.
    """
    p = np.asarray(momentum, dtype=np.float64)
    beta = p / np.sqrt(p * p + np.square(mass))
    loss: Floats = np.square(charge) * np.asarray(minimum) * beta ** (-5 / 3)
    return loss


def slow_down(momentum: Floats, mass: Floats, loss: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Momenta after a loss of energy, and which particles stop.

    Args:
        momentum: (n, 3) GeV.
        mass: (n,) GeV.
        loss: (n,) GeV.

    Returns:
        (n, 3) with the direction kept (zero where stopped), (n,) bool.
    """
    squared = (momentum**2).sum(1)
    left = np.sqrt(squared + mass**2) - loss
    stopped = left <= mass + STOPPED
    after = np.sqrt(np.maximum(left**2 - mass**2, 0)) * ~stopped
    return momentum * (after / np.sqrt(squared))[:, None], stopped
