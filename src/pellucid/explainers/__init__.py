"""Explainers: importance read from a model that is already trained."""

from pellucid.explainers.base import Explainer, Predictor, explainers

__all__ = ["Explainer", "Predictor", "explainers"]
