"""The baseline that everything must beat."""

from __future__ import annotations

import torch

from pellucid.clouds import PointClouds
from pellucid.explainers.base import Attribution, Explainer, Predictor, explainers
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom


@explainers.register("random")
class Random(Explainer):
    """Random importance, uniform in [0, 1), and random directions: the baseline that everything must beat."""

    needs = frozenset()
    asks = False
    citation = "Miao et al., Interpretable Geometric Deep Learning via Learnable Randomness Injection, ICLR 2023"
    check = "ROC AUC near 0.5; the same seed gives the same numbers"
    importance_name = "random numbers"

    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: torch.Tensor,
                  random: CloudRandom) -> Attribution:
        """Draws; see :meth:`Explainer.attribute`."""
        importance = random.uniform(clouds.sizes, dtype=torch.get_default_dtype())
        angle = 2 * torch.pi * (1024 * importance).frac()  # the lower bits: nothing more is drawn
        return Attribution(importance, {"direction_x": angle.cos(), "direction_y": angle.sin()})
