"""Empirical risk minimisation: the plain classifier, without interpretation unless its readout adds up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pellucid.backbones.base import Backbone
from pellucid.backbones.kernels import segment_sum
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.methods.base import Common, Method, Output, Supports, methods
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom
from pellucid.targets import Targets

THROUGH = ("readout", "network")
"""What contributions are followed through; see :class:`Sharing`."""


@dataclass(frozen=True)
class Sharing:
    """How a prediction that adds up is shared among points; nothing that is trained.

    Attributes:
        through: ``"readout"``: what the readout adds for each point's embedding, which knows its neighbours; exact, at
            the price of a prediction. ``"network"``: what each point's own features add on the way from none of them to
            all, through all layers; see :meth:`ERM.contributions`.
        nodes: Points of the quadrature of ``"network"``.
    """

    through: str = "readout"
    nodes: int = 8

    def __post_init__(self) -> None:
        if self.through not in THROUGH:
            raise PellucidError(f"expected through to be {' or '.join(THROUGH)}, got {self.through!r}")
        if self.nodes < 1:
            raise PellucidError(f"expected at least 1 node, got {self.nodes}")


@methods.register("erm")
class ERM(Method):
    """Plain training (empirical risk minimisation): predicts, explains nothing; the base of post-hoc explainers.

    With ``readout="additive"`` or ``"interacting"`` a prediction is a baseline and a sum over points, and importance is
    each point's signed contribution to each output (:meth:`contributions`), and no noise is needed to learn it.
    """

    supports = Supports(importance=False)
    citation = "Vapnik, Principles of Risk Minimization for Learning Theory, NeurIPS 1991"
    check = "the same logits as encoder, pooling and head applied by hand; contributions and bias sum to the logits"
    importance_name = "contribution"
    option_groups: ClassVar[Mapping[str, type]] = {"common": Common, "sharing": Sharing}

    def __init__(self, make_backbone: Callable[[], Backbone], targets: Targets, common: Common | None = None,
                 sharing: Sharing | None = None) -> None:
        super().__init__(make_backbone, targets, common)
        self.sharing = sharing or Sharing()

    @property
    def explains(self) -> bool:
        """Whether the readout adds up."""
        return self.readout.adds_up

    @property
    def signed(self) -> bool:
        """See :meth:`Method.signed`."""
        return self.explains

    def forward(self, clouds: PointClouds, neighbors: Neighbors, *, epoch: int = 0,
                random: CloudRandom | None = None) -> Output:
        """The clean pass; see :meth:`Method.forward`."""
        return self.plain(clouds, neighbors)

    def contributions(self, clouds: PointClouds, neighbors: Neighbors, outputs: Sequence[int] | None = None) -> Tensor:
        """What each point adds to each logit; see :meth:`Method.contributions`.

        Through the readout, they are its :attr:`~pellucid.methods.readout.Answer.contributions`. Through the network,
        let F(e) be the logit where the features x_v of each point are e_v x_v in the first layer and its term in the
        readout is e_v times what it was. Then point v adds

            c_v = int_0^1 dF / de_v at (a, ..., a) da,

        integrated gradients (Sundararajan et al., ICML 2017) on the way from a cloud whose points are but places to the
        cloud, or Aumann and Shapley's values (1974) of points that fade in. They sum to F(1) - F(0), F(0) being the
        baseline of the readout. The integral is by Gauss and Legendre; what its nodes miss of that sum goes to
        points in proportion to |c_v|.
        """
        chosen = list(range(self.targets.outputs) if outputs is None else outputs)
        if self.sharing.through == "network":
            return self._through_network(clouds, neighbors, chosen)
        answer = self.answer(self.embed(clouds, neighbors), clouds, shares=True)
        assert answer.contributions is not None
        return answer.contributions[:, chosen]

    def _through_network(self, clouds: PointClouds, neighbors: Neighbors, outputs: list[int]) -> Tensor:
        inputs = self.inputs(clouds).detach()
        found = inputs.new_zeros(clouds.points, len(outputs))
        nodes, weights = np.polynomial.legendre.leggauss(self.sharing.nodes)
        for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
            with torch.enable_grad():
                there = inputs.new_full((clouds.points,), (1 + node) / 2).requires_grad_()
                h = self.embed(clouds, neighbors, inputs=inputs * there[:, None])
                logits = self.answer(h, clouds, weight=there).logits
                for place, output in enumerate(outputs):
                    slope, = torch.autograd.grad(logits[:, output].sum(), there, retain_graph=output != outputs[-1])
                    found[:, place] += weight / 2 * slope
        with torch.no_grad():
            baseline = self.readout.baseline()
            assert baseline is not None
            missing = (self.logits(clouds, neighbors) - baseline)[:, outputs] - segment_sum(found, clouds.ptr)
            size = found.abs() + torch.finfo(found.dtype).tiny  # where nothing adds anything, all alike
            part = size / segment_sum(size, clouds.ptr)[clouds.batch]
            return found + part * missing[clouds.batch]
