"""The paper's gradient baselines: GradGeo on coordinates, GradGAM on the last layer."""

from __future__ import annotations

import torch

from pellucid.clouds import PointClouds
from pellucid.explainers.base import Attribution, Explainer, Predictor, chosen, explainers, gradient
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom


@explainers.register("gradgeo")
class GradGeo(Explainer):
    """GradGeo: length of the gradient of the logit with respect to a point's coordinates.

    Importance of v is ||d logit / d r_v||_2, in logits per unit of ``pos`` (Miao et al. 2023, section 5). The columns
    ``gradient_x``, ``gradient_y``, ... hold the gradient itself.
    """

    needs = frozenset({"pos"})
    citation = "Shrikumar et al., Learning Important Features Through Propagating Activation Differences, ICML 2017"
    check = "finite differences of the logit in float64; the same for a rotated cloud where the backbone is invariant"
    importance_name = "location sensitivity, ||d logit / d r||"

    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: torch.Tensor,
                  random: CloudRandom) -> Attribution:
        """One backward pass; see :meth:`Explainer.attribute`."""
        with torch.enable_grad():
            pos = clouds.pos.detach().clone().requires_grad_()
            logit = chosen(predictor.logits(clouds, neighbors, pos=pos), target)
            grad = gradient(logit, pos, "coordinates")
        return Attribution(grad.norm(dim=-1), {f"gradient_{axis}": grad[:, i].detach()
                                                for i, axis in enumerate("xyzw"[: grad.shape[1]])})


@explainers.register("gradgam")
class GradGAM(Explainer):
    """GradGAM: sum over channels of activation times gradient at the last layer (Grad-CAM for points).

    Importance of v is sum_c h_vc * d logit / d h_vc (Miao et al. 2023, section 5). What argues against the output is
    negative.
    """

    needs = frozenset({"embed"})
    citation = "Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks, ICCV 2017"
    check = "equal to a point's share of the logit where the head is linear: the shares and the bias sum to the logit"
    importance_name = "last-layer contribution, sum h * d logit / d h"

    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: torch.Tensor,
                  random: CloudRandom) -> Attribution:
        """One backward pass through the head; see :meth:`Explainer.attribute`."""
        with torch.no_grad():
            h = predictor.embed(clouds, neighbors)
        with torch.enable_grad():
            h.requires_grad_()
            grad = gradient(chosen(predictor.classify(h, clouds), target), h, "last layer")
        return Attribution((h.detach() * grad).sum(-1))
