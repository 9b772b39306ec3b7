"""Methods: models that learn importance together with the prediction."""

from pellucid.methods.base import Common, Method, NeighborRule, Output, Supports, methods

__all__ = ["Common", "Method", "NeighborRule", "Output", "Supports", "methods"]
