"""Objectives: what a training minimises, and by what its epochs are compared."""

from pellucid.training.objectives.base import Objective, Step, objectives

__all__ = ["Objective", "Step", "objectives"]
