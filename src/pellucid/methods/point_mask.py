"""PointMask (Taghanaki et al. 2020): a mask on coordinates behind an information bottleneck."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from pellucid.backbones.base import Backbone
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.methods.base import Common, Output, Supports, methods
from pellucid.methods.lri import LRI, Interpreter
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom
from pellucid.targets import Targets


@dataclass(frozen=True)
class CoordinateMask:
    """Options of the mask.

    Attributes:
        alpha: Weight of the KL divergence.
        t: Threshold in [0, 1).
        neighbors: ``"kept"``, the neighbourhoods of the unmasked cloud, or ``"rebuilt"`` from masked coordinates, as in
            the authors' release of LRI.
        kl: ``"mean"`` of the divergence over points, or ``"sum"`` over the points of a cloud and then the mean over
            clouds (release): a factor of the mean number of points.
        deviation: How sigma_v follows from the head's output x: ``"softplus"``, or ``"log_variance"``, exp(x / 2)
            (release).
        start: See :class:`pellucid.methods.lri.Interpreter`.
        own_partner: Likewise.
    """

    alpha: float = 0.1
    t: float = 0.2
    neighbors: str = "rebuilt"
    kl: str = "mean"
    deviation: str = "softplus"
    start: str = "fresh"
    own_partner: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.t < 1:
            raise PellucidError(f"expected a threshold t in [0, 1), got {self.t}")
        for name, known in (("neighbors", ("kept", "rebuilt")), ("kl", ("mean", "sum")),
                            ("deviation", ("softplus", "log_variance"))):
            if getattr(self, name) not in known:
                raise PellucidError(f"expected {name} to be {' or '.join(known)}, got {getattr(self, name)!r}")


@methods.register("pointmask")
class PointMask(LRI):
    """PointMask: learns a mask in [0, 1 - t] that multiplies each point's coordinates.

    z_v ~ N(mu_v, sigma_v) (z = mu in eval mode), mask m_v = ReLU(sigmoid(z_v) - t), coordinates m_v r_v; minimises
    CE + alpha * mean_v KL(N(mu_v, sigma_v^2) || N(0, 1)). The mask has an encoder of its own. Importance is m_v.
    Coordinates are drawn to the origin, so that a prediction depends on where that lies.

    Neighbourhoods are those of the unmasked cloud, or rebuilt from the masked one. Who is whose neighbour has no
    gradient; distances to new neighbours have one. Rebuilt ones put all points with m_v = 0, which lie at the origin,
    among each other, and which of them come first where there are more than k is decided by the order of the points
    (:func:`pellucid.neighbors.knn`): the same in any company, but not for points in another order.

    Args:
        make_backbone: Makes one encoder; called twice.
        targets: What is predicted.
        common: Options of every method.
        mask: Options of the mask.
    """

    supports = Supports(coordinates=True, origin=True)
    citation = "Taghanaki et al., PointMask: Towards Interpretable and Bias-Resilient Point Cloud Processing, 2020"
    check = "KL against torch.distributions; the mask is 0 below the threshold; alpha = 0 leaves cross-entropy alone"
    importance_name = "coordinate mask, ReLU(sigmoid(mu) - t)"

    option_groups: ClassVar[Mapping[str, type]] = {"common": Common, "mask": CoordinateMask}

    def __init__(self, make_backbone: Callable[[], Backbone], targets: Targets, common: Common | None = None,
                 mask: CoordinateMask | None = None) -> None:
        mask = mask or CoordinateMask()
        super().__init__(make_backbone, targets, common, Interpreter(
            beta=mask.alpha, shared=False, start=mask.start, own_partner=mask.own_partner))
        self.t, self.mask = mask.t, mask

    def interpreter_outputs(self) -> int:
        """The mean and the raw deviation of z."""
        return 2

    def forward(self, clouds: PointClouds, neighbors: Neighbors, *, epoch: int = 0,
                random: CloudRandom | None = None) -> Output:
        """One pass over masked coordinates; see :meth:`Method.forward`."""
        mean, raw = self.interpret(clouds, neighbors).unbind(1)
        std = ((raw / 2).exp() if self.mask.deviation == "log_variance" else F.softplus(raw)).clamp(1e-6, 1e6)
        z = mean
        if self.training or random is not None:
            normal = torch.randn_like(mean) if random is None else random.normal(clouds.sizes, dtype=mean.dtype)
            z = mean + std * normal
        mask = F.relu(z.sigmoid() - self.t)
        kl = (0.5 * (mean.square() + std.square() - 1) - std.log()).sum()
        kl = kl / max(len(clouds) if self.mask.kl == "sum" else clouds.points, 1)
        pos = clouds.pos * mask[:, None]
        if self.mask.neighbors == "rebuilt":
            neighbors = self.rule(clouds, pos.detach())
        logits = self.logits(clouds, neighbors, pos=pos)
        importance = F.relu(mean.detach().sigmoid() - self.t)
        return Output(logits, self.beta * kl, importance, parts={"kl": kl.detach()})
