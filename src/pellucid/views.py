"""As what layers and neighbourhoods see coordinates, and in which axes noise is told; domains add their own of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.registry import Registry


@dataclass(frozen=True)
class View:
    """As what coordinates are seen.

    Attributes:
        see: (points, D) -> (points, D).
        turns: Whether turning a cloud about the origin turns what is seen in the same way.
        dim: Coordinates that it needs; None for any number.
    """

    see: Callable[[Tensor], Tensor]
    turns: bool = True
    dim: int | None = None


@dataclass(frozen=True)
class Frame:
    """Axes and lengths of each point's own, in which noise is told.

    Attributes:
        turn: (rows, D', D') matrices in the points' own axes and (rows, D) coordinates -> the same matrices in the axes
            of the coordinates.
        reach: (points, D) -> (points, 1) a length of each point that relative noise is a share of; None for none.
        own: Whether the axes differ between points, so that points cannot share one noise.
    """

    turn: Callable[[Tensor, Tensor], Tensor]
    reach: Callable[[Tensor], Tensor] | None = None
    own: bool = True


views: Registry[View] = Registry("view", "pellucid.domains")
"""All views by name."""
frames: Registry[Frame] = Registry("frame", "pellucid.domains")
"""All frames by name."""

views.register("plain")(View(lambda pos: pos))
views.register("unit_length")(View(lambda pos: F.normalize(pos, dim=-1)))
frames.register("lab")(Frame(lambda u, pos: u, own=False))


def check_view(view: str, dim: int) -> None:
    """Refuses a view that these coordinates cannot have.

    Raises:
        UnknownNameError: for an unknown view.
        PellucidError: for one that needs another number of coordinates.
    """
    needed = views[view].dim
    if needed is not None and dim != needed:
        raise PellucidError(f"expected {needed} coordinates for the view {view}, got {dim}; choose plain or "
                            "unit_length")


def seen(pos: Tensor, view: str) -> Tensor:
    """Coordinates as they are seen.

    ``plain``: as they are. ``unit_length``: r / |r|, as the LRI paper has it on ActsTrack. Domains add more.

    Args:
        pos: (points, D).
        view: Name of one of :data:`views`.

    Returns:
        (points, D).

    Raises:
        PellucidError: as :func:`check_view`.

    Example:
        >>> seen(torch.tensor([[0.0, 2.0, 0.0]]), "unit_length")
        tensor([[0., 1., 0.]])
    """
    check_view(view, pos.shape[-1])
    return views[view].see(pos)
