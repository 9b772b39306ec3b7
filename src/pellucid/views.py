"""As what the layers and the neighbourhoods see coordinates: as they are, or as directions from the origin."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import PellucidError

View = Literal["plain", "unit_length", "eta_phi"]
"""How coordinates are seen; see :func:`seen`."""
ETA_WEIGHT = 0.1
"""Weight of the pseudorapidity beside the azimuth in ``eta_phi``: where a collision happened along the beam moves the
pseudorapidity of its inner hits by up to several units, and their azimuth not at all."""


def check_view(view: View, dim: int) -> None:
    """Refuses a view that these coordinates cannot have.

    Raises:
        PellucidError: for ``eta_phi`` of anything but three coordinates.
    """
    if view == "eta_phi" and dim != 3:
        raise PellucidError(f"expected three coordinates with the beam along z for the view eta_phi, got {dim}; choose "
                            "plain or unit_length")


def seen(pos: Tensor, view: View) -> Tensor:
    """Coordinates as they are seen.

    ``plain``: as they are. ``unit_length``: r / |r|, as the LRI paper has it on ActsTrack. ``eta_phi``: the collider's
    own directions, (cos phi, sin phi, 0.1 eta) with the azimuth phi and the pseudorapidity eta = asinh(z / rho), where
    rho is the distance from the z axis. The last two do not change when a cloud is made larger.

    Args:
        pos: (points, D); D = 3 for ``eta_phi``.
        view: See above.

    Returns:
        (points, D).

    Example:
        >>> import torch
        >>> seen(torch.tensor([[0.0, 2.0, 0.0]]), "eta_phi")
        tensor([[0., 1., 0.]])
    """
    if view == "unit_length":
        return F.normalize(pos, dim=-1)
    if view == "eta_phi":
        check_view(view, pos.shape[-1])
        rho = pos[:, :2].norm(dim=-1, keepdim=True).clamp(min=1e-6)
        return torch.cat([pos[:, :2] / rho, ETA_WEIGHT * torch.asinh(pos[:, 2:] / rho)], -1)
    return pos
