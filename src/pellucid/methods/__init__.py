"""Methods: importance that is learned with the prediction, or read from a trained model."""

from pellucid.methods.base import Method, NeighborRule, Output, Supports, methods
from pellucid.methods.explainer import Explainer, Predictor, explainers
from pellucid.methods.tasks import Task

__all__ = ["Explainer", "Method", "NeighborRule", "Output", "Predictor", "Supports", "Task", "explainers", "methods"]
