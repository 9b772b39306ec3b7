"""Joint randomness injection: existence and location noise learned together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pellucid.backbones.base import Backbone
from pellucid.backbones.kernels import perturbed
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.grouping import Grouping
from pellucid.methods.base import Common, Output, Supports, methods
from pellucid.methods.lri import CITATION, Interpreter
from pellucid.methods.lri_bernoulli import Existence, bernoulli_kl, concrete
from pellucid.methods.lri_gaussian import Location, LRIGaussian
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom
from pellucid.targets import Targets

NEITHER, EXISTENCE, LOCATION = 0, 1, 2
"""What the column ``kind`` says of a point."""
KEPT = 0.1
"""Information (nats) that the noise must leave above its prior for a point to count as important at all."""


@dataclass(frozen=True)
class Together:
    """How the two noises share a training.

    Attributes:
        beta_existence: Weight of the Bernoulli KL divergence.
        noise: ``"either"`` (a coin for each cloud) or ``"both"``.
    """

    beta_existence: float = 0.1
    noise: str = "either"

    def __post_init__(self) -> None:
        if not self.beta_existence >= 0:
            raise PellucidError(f"expected beta_existence of at least 0, got {self.beta_existence}")
        if self.noise not in ("either", "both"):
            raise PellucidError(f"expected noise either or both, got {self.noise!r}")


@methods.register("joint")
class Joint(LRIGaussian):
    """Joint LRI: one training learns of each point both how likely it is needed and how far it may move.

    The objectives of Miao et al. 2023 (eq. 1 and 2) in one training, which is ours: in each step a coin gives every
    cloud one of the two noises, and it pays for the one that it bears, so that the loss is an unbiased estimate of

        1/2 [CE(f(masked cloud), y) + beta_existence * mean_v KL(Bern(p_v) || Bern(r))]
        + 1/2 [CE(f(moved cloud), y) + beta * mean_v KL(N(0, Sigma_v) || N(0, I))]

    with one f and one g, at the cost of a single parent. A message from u to v of a masked cloud is multiplied by m_u
    m_v (with ``masks`` also, or instead, what the layers start from by m_v); a moved cloud's neighbourhoods are
    rebuilt. With ``noise="both"`` every cloud bears and pays for both; then the two compete for what a point tells, and
    each finds less than alone (docs/results.md). In eval mode nothing is masked or moved.

    Importance is logit(p) - log det Sigma: minus the logarithm of the noise's volume, where existence counts by its
    noise-to-signal ratio, (1 - p) / p = Var m / (E m)^2 for a Bernoulli mask, as a variance beside those of the D
    coordinates. Columns: ``existence`` (p), ``location`` (-log det Sigma), and ``kind``: 1 where existence keeps more
    information than location, 2 where location keeps more, 0 where neither keeps more than 0.1 nats. Kept information
    is KL to the prior, for existence only where p > r.

    Args:
        make_backbone: Makes one encoder.
        targets: What is predicted.
        common: Options of every method.
        interpreter: Options of g; ``beta`` is the weight of the Gaussian KL divergence.
        location: Options of the Gaussian noise.
        existence: Options of the Bernoulli noise.
        together: How they share the training.
    """

    supports = Supports(directions=True, coordinates=True)
    citation = f"pellucid; after {CITATION}"
    check = "with one noise held at zero it equals the other parent; both KL terms equal those of the parents"
    importance_name = "existence and location importance, logit p - log det Sigma"
    importance_columns = ("existence", "location")
    option_groups: ClassVar[Mapping[str, type]] = {
        "common": Common, "interpreter": Interpreter, "location": Location, "existence": Existence,
        "together": Together}

    def __init__(self, make_backbone: Callable[[], Backbone], targets: Targets, common: Common | None = None,
                 interpreter: Interpreter | None = None, location: Location | None = None,
                 existence: Existence | None = None, together: Together | None = None) -> None:
        super().__init__(make_backbone, targets, common, interpreter, location)
        self.existence, self.together = existence or Existence(), together or Together()

    def interpreter_outputs(self) -> int:
        """What the Gaussian noise needs, and the logit of p."""
        return super().interpreter_outputs() + 1

    def forward(self, clouds: PointClouds, neighbors: Neighbors, *, epoch: int = 0,
                random: CloudRandom | None = None) -> Output:
        """One pass, over masked and moved points in training; see :meth:`Method.forward`."""
        by = Grouping(clouds, self.groups)
        raw = by.mean(self.interpret(clouds, neighbors))
        logit = self.over_hops(raw[:, -1:], lambda own: -own[:, 0], neighbors).squeeze(-1)
        noise = self.noise_of(raw[:, :-1], clouds, neighbors)
        log_determinant = noise.log_det()
        prior = self.existence.prior(epoch)
        exists, placed = bernoulli_kl(logit, prior), noise.kl(log_determinant)
        kl_existence, kl = exists, placed
        weights: dict[str, Tensor | None] = {}
        if self.training or random is not None:
            eps = self.drawn(self.moving(raw[:, :-1], noise, clouds), by, clouds, random)
            uniform = None if random is None else random.uniform(by.of_clouds(clouds), dtype=logit.dtype)
            mask = concrete(logit, self.existence.temperature, uniform=uniform)
            if self.together.noise == "either":
                toss = (torch.rand(len(clouds), device=clouds.device) if random is None
                        else random.uniform(torch.ones_like(clouds.sizes)))
                masked = (toss < 0.5)[clouds.batch[by.first]]
                eps, mask = torch.where(masked[:, None], 0, eps), torch.where(masked, mask, 1)
                kl_existence, kl = torch.where(masked, exists, 0), torch.where(masked, 0, placed)
            pos, rebuilt = self.move(clouds, by.spread(eps))
            weights = self.existence.masked(by.spread(mask), lambda: self.inputs(clouds))
        else:
            pos, rebuilt = self.unmoved(clouds, neighbors)
        kl_existence, kl = kl_existence.sum() / max(by.count, 1), kl.sum() / max(by.count, 1)
        with perturbed(self.encoder):
            h = self.encoder(clouds, rebuilt, pos=pos, edge_weight=self.edge_weight(pos, rebuilt), **weights).scalars
        output = Output(self.classify(h, clouds), self.beta * kl + self.together.beta_existence * kl_existence,
                        by.spread((logit - log_determinant).detach()),
                        parts={"kl": kl.detach(), "kl_existence": kl_existence.detach()})
        if torch.is_grad_enabled():
            return output
        columns = {"existence": logit.sigmoid(), "location": -log_determinant,
                   "kind": _kind(logit, exists, placed, prior)}
        output.columns = {name: by.spread(column) for name, column in columns.items()}
        return self.told(output, clouds, by, noise)


def _kind(logit: Tensor, exists: Tensor, placed: Tensor, prior: float) -> Tensor:
    exists = torch.where(logit.sigmoid() > prior, exists, 0)
    kind = torch.where(exists > placed, EXISTENCE, LOCATION)
    return torch.where(torch.maximum(exists, placed) > KEPT, kind, NEITHER)
