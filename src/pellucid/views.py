"""As what layers and neighbourhoods see coordinates, and in which axes noise is told; domains add their own of both."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from pellucid import families
from pellucid.errors import PellucidError
from pellucid.registry import Registry

frames: Registry[type[Frame]] = families.frames
views: Registry[type[View]] = families.views


class View:
    """Base of the views: as what coordinates are seen."""

    turns: ClassVar[bool] = True
    """Whether turning a cloud about the origin turns what is seen in the same way."""
    dim: ClassVar[int | None] = None
    """Coordinates that it needs; None for any number."""

    @staticmethod
    def see(pos: Tensor) -> Tensor:
        """(points, D) -> (points, D)."""
        return pos


class Frame:
    """Base of the frames: axes and lengths of each point's own, in which noise is told."""

    own: ClassVar[bool] = True
    """Whether the axes differ between points, so that points cannot share one noise."""
    measures: ClassVar[bool] = False
    """Whether :meth:`reach` gives each point a length that relative noise is a share of."""

    @staticmethod
    def turn(u: Tensor, pos: Tensor) -> Tensor:
        """Matrices (rows, D', D') in the points' own axes, at (rows, D), as they are in the axes of the coordinates."""
        return u

    @staticmethod
    def reach(pos: Tensor) -> Tensor:
        """(points, D) -> (points, 1) the length of each point."""
        return pos.new_ones(len(pos), 1)


@views.register("plain")
class Plain(View):
    """Coordinates as they are."""


@views.register("unit_length")
class UnitLength(View):
    """Directions from the origin: r / |r|."""

    @staticmethod
    def see(pos: Tensor) -> Tensor:
        """See :meth:`View.see`."""
        return F.normalize(pos, dim=-1)


@frames.register("lab")
class Lab(Frame):
    """The axes of the coordinates, the same for all points."""

    own = False


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
        >>> import torch
        >>> seen(torch.tensor([[0.0, 2.0, 0.0]]), "unit_length")
        tensor([[0., 1., 0.]])
    """
    check_view(view, pos.shape[-1])
    return views[view].see(pos)
