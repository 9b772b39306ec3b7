"""A collider's own directions: azimuth and pseudorapidity, and each hit's axes away from the beam and around it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.views import Frame, View, frames, views

ETA_WEIGHT = 0.1
"""Weight of the pseudorapidity beside the azimuth in ``eta_phi``: where a collision happened along the beam moves the
pseudorapidity of its inner hits by up to several units, and their azimuth not at all."""


def eta_phi(pos: Tensor) -> Tensor:
    """(cos phi, sin phi, 0.1 eta) with azimuth phi and pseudorapidity eta = asinh(z / rho), rho from the z axis.

    It does not change when a cloud is made larger.

    Args:
        pos: (points, 3), the beam along z.

    Example:
        >>> eta_phi(torch.tensor([[0.0, 2.0, 0.0]]))
        tensor([[0., 1., 0.]])
    """
    rho = pos[:, :2].norm(dim=-1, keepdim=True).clamp(min=1e-6)
    return torch.cat([pos[:, :2] / rho, ETA_WEIGHT * torch.asinh(pos[:, 2:] / rho)], -1)


def from_beam(u: Tensor, pos: Tensor) -> Tensor:
    """Matrices told along (away from the beam, around it, along it), in the axes of the coordinates.

    Args:
        u: (points, D', D').
        pos: (points, 3).
    """
    away = F.normalize(pos[:, :2], dim=-1)
    around = torch.stack([-away[:, 1], away[:, 0]], -1)
    flat = away[:, :, None] * u[:, None, 0] + around[:, :, None] * u[:, None, 1]
    return torch.cat([flat, u[:, 2:]], 1)


def beam_distance(pos: Tensor) -> Tensor:
    """(points, 1) distance from the z axis."""
    return pos[:, :2].square().sum(-1, keepdim=True).sqrt()


@views.register("eta_phi")
class EtaPhi(View):
    """The collider's own directions: azimuth and a tenth of the pseudorapidity, the beam along z."""

    turns = False
    dim = 3

    @staticmethod
    def see(pos: Tensor) -> Tensor:
        """See :func:`eta_phi`."""
        return eta_phi(pos)


@frames.register("beam")
class Beam(Frame):
    """Each point's axes away from the beam, around it and along it; its length is its distance from the z axis."""

    measures = True

    @staticmethod
    def turn(u: Tensor, pos: Tensor) -> Tensor:
        """See :func:`from_beam`."""
        return from_beam(u, pos)

    @staticmethod
    def reach(pos: Tensor) -> Tensor:
        """See :func:`beam_distance`."""
        return beam_distance(pos)
