"""Empirical risk minimisation: the plain classifier, without interpretation."""

from __future__ import annotations

import torch

from pellucid.clouds import PointClouds
from pellucid.methods.base import Method, Output, Supports, methods
from pellucid.neighbors import Neighbors


@methods.register("erm")
class ERM(Method):
    """Plain training (empirical risk minimisation): predicts, explains nothing; the base of post-hoc explainers."""

    supports = Supports(importance=False)
    citation = "Vapnik, Principles of Risk Minimization for Learning Theory, NeurIPS 1991"
    check = "the same logits as encoder, pooling and head applied by hand"

    def forward(self, clouds: PointClouds, neighbors: Neighbors, *, epoch: int = 0,
                generator: torch.Generator | None = None) -> Output:
        """The clean pass; see :meth:`Method.forward`."""
        return self.plain(clouds, neighbors)
