"""Methods: models that learn importance together with the prediction."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.methods.base import Common, Method, NeighborRule, Output, Supports, methods

lazy(__name__, {"base": ["Common", "Method", "NeighborRule", "Output", "Supports", "methods"]})

__all__ = ["Common", "Method", "NeighborRule", "Output", "Supports", "methods"]
