"""Methods: models that learn importance together with the prediction."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.methods.base import Method, NeighborRule, Output, Supports, methods
    from pellucid.methods.tasks import Task

lazy(__name__, {"base": ["Method", "NeighborRule", "Output", "Supports", "methods"], "tasks": ["Task"]})

__all__ = ["Method", "NeighborRule", "Output", "Supports", "Task", "methods"]
