"""Empirical risk minimisation: the plain classifier, without interpretation unless its readout adds up."""

from __future__ import annotations

from pellucid.clouds import PointClouds
from pellucid.methods.base import Method, Output, Supports, methods
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom


@methods.register("erm")
class ERM(Method):
    """Plain training (empirical risk minimisation): predicts, explains nothing; the base of post-hoc explainers.

    With ``readout="additive"`` or ``"interacting"`` a prediction is a baseline and a sum over points, and importance is
    each point's signed contribution to each output: exact, and no noise is needed to learn it.
    """

    supports = Supports(importance=False)
    citation = "Vapnik, Principles of Risk Minimization for Learning Theory, NeurIPS 1991"
    check = "the same logits as encoder, pooling and head applied by hand; contributions and bias sum to the logits"
    importance_name = "contribution"

    @property
    def explains(self) -> bool:
        """Whether the readout adds up."""
        return self.readout.adds_up

    @property
    def signed(self) -> bool:
        """See :meth:`Method.signed`."""
        return self.explains

    def plain(self, clouds: PointClouds, neighbors: Neighbors) -> Output:
        """The clean pass."""
        return self._pass(clouds, neighbors, shares=False)

    def forward(self, clouds: PointClouds, neighbors: Neighbors, *, epoch: int = 0,
                random: CloudRandom | None = None) -> Output:
        """The clean pass, in eval mode with contributions where the readout has any; see :meth:`Method.forward`."""
        return self._pass(clouds, neighbors, shares=not self.training)

    def _pass(self, clouds: PointClouds, neighbors: Neighbors, *, shares: bool) -> Output:
        answer = self.answer(self.embed(clouds, neighbors), clouds, shares=shares)
        return Output(answer.logits, importance=answer.contributions)
