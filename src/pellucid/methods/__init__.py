"""Methods: models that learn importance together with the prediction."""

from pellucid.methods.base import Method, NeighborRule, Output, Supports, methods
from pellucid.methods.tasks import Task

__all__ = ["Method", "NeighborRule", "Output", "Supports", "Task", "methods"]
