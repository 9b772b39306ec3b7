"""The paper's gradient baselines: GradGeo on coordinates, GradGAM on the last layer."""

from __future__ import annotations

from typing import cast

import torch

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explainers.base import (
    Attribution,
    Explainer,
    Predictor,
    ResidualPredictor,
    chosen,
    explainers,
    gradient,
)
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


READS = ("embedding", "convolution")
"""Where GradGAM reads."""


@explainers.register("gradgam")
class GradGAM(Explainer):
    """GradGAM: sum over channels of activation times gradient at the last layer (Grad-CAM for points).

    Importance of v is sum_c h_vc * d logit / d h_vc (Miao et al. 2023, section 5). What argues against the output is
    negative.

    Args:
        reads: Which activation h is: ``"embedding"``, the embedding that the readout sees, or ``"convolution"``, what
            the last layer adds to it through its residual connection, rectified (as in the authors' release, whose
            layers end in a ReLU; ours of ``egnn`` and ``dgcnn`` do not). The gradient is the same: the embedding is a
            sum of both.

    Raises:
        PellucidError: for another place.
    """

    needs = frozenset({"embed"})
    citation = "Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks, ICCV 2017"
    check = "equal to a point's share of the logit where the head is linear: the shares and the bias sum to the logit"
    importance_name = "last-layer contribution, sum h * d logit / d h"

    def __init__(self, *, reads: str = "embedding") -> None:
        if reads not in READS:
            raise PellucidError(f"expected reads to be {' or '.join(READS)}, got {reads!r}")
        self.reads = reads
        if reads == "convolution":
            self.needs = frozenset({"embed", "added"})

    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: torch.Tensor,
                  random: CloudRandom) -> Attribution:
        """One backward pass through the head; see :meth:`Explainer.attribute`."""
        with torch.no_grad():
            h = predictor.embed(clouds, neighbors)
        with torch.enable_grad():
            h.requires_grad_()
            grad = gradient(chosen(predictor.classify(h, clouds), target), h, "last layer")
        activation = h.detach()
        if self.reads == "convolution":
            with torch.no_grad():
                activation = cast(ResidualPredictor, predictor).added(clouds, neighbors).relu()
        return Attribution((activation * grad[:, -activation.shape[1]:]).sum(-1))
