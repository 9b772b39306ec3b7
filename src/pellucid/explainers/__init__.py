"""Explainers: importance read from a model that is already trained."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.explainers.base import Explainer, Predictor, explainers

lazy(__name__, {"base": ["Explainer", "Predictor", "explainers"]})

__all__ = ["Explainer", "Predictor", "explainers"]
