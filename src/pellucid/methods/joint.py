"""Joint randomness injection: existence and location noise learned together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pellucid.backbones.base import Backbone
from pellucid.backbones.kernels import perturbed
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.grouping import Grouping
from pellucid.methods.base import NeighborRule, Output, Supports, methods
from pellucid.methods.gaussian import gaussian_kl, log_det, sample
from pellucid.methods.lri import (
    CITATION,
    LRIGaussian,
    bernoulli_kl,
    check_bernoulli,
    concrete,
    prior_at,
)
from pellucid.methods.tasks import Task
from pellucid.neighbors import Neighbors

NEITHER, EXISTENCE, LOCATION = 0, 1, 2
"""What the column ``kind`` says of a point."""
KEPT = 0.1
"""Information (nats) that the noise must leave above its prior for a point to count as important at all."""


@methods.register("joint")
class Joint(LRIGaussian):
    """Joint LRI: one training learns of each point both how likely it is needed and how far it may move.

    The objectives of Miao et al. 2023 (eq. 1 and 2) in one training, which is ours: in each step a coin gives every
    cloud one of the two noises, and it pays for the one that it bears, so that the loss is an unbiased estimate of

        1/2 [CE(f(masked cloud), y) + beta_existence * mean_v KL(Bern(p_v) || Bern(r))]
        + 1/2 [CE(f(moved cloud), y) + beta * mean_v KL(N(0, Sigma_v) || N(0, I))]

    with one f and one g, at the cost of a single parent. A message from u to v of a masked cloud is multiplied by m_u
    m_v; a moved cloud's neighbourhoods are rebuilt. With ``noise="both"`` every cloud bears and pays for both; then the
    two compete for what a point tells, and each finds less than alone (docs/results.md). Noise is drawn in eval mode
    too: a mask's expectation is an input that f has never seen.

    Importance is logit(p) - log det Sigma: minus the logarithm of the noise's volume, where existence counts by its
    noise-to-signal ratio, (1 - p) / p = Var m / (E m)^2 for a Bernoulli mask, as a variance beside those of the D
    coordinates. Columns: ``existence`` (p), ``location`` (-log det Sigma), and ``kind``: 1 where existence keeps more
    information than location, 2 where location keeps more, 0 where neither keeps more than 0.1 nats. Kept information
    is KL to the prior, for existence only where p > r.

    Args:
        make_backbone: Makes one encoder.
        task: What is predicted.
        alpha: Final Bernoulli prior r, in [0.5, 1).
        decay: r starts at 0.9 and falls by 0.1 every ``decay`` joint epochs down to alpha.
        temperature: Of the concrete relaxation.
        beta_existence: Weight of the Bernoulli KL divergence.
        noise: ``"either"`` (a coin for each cloud) or ``"both"``.
        beta: Weight of the Gaussian KL divergence.
        scale: Constant c: the Gaussian prior's standard deviation is 1/c in the unit of the coordinates.
        graph_reconstruction: Whether messages are weighted by phi.
        reconstruct: How the moved points' neighbourhoods are made.
        neighbor_distance: Mean distance between neighbours in the unit of the coordinates.
        noise_dim: Number of leading coordinates that noise moves; 0 for all.
        relative: Whether noise grows with the distance from the z axis; see :class:`pellucid.methods.lri.LRIGaussian`.
        shared: Whether f and g share one encoder.
        groups: Field whose groups of points share one perturbation; see :class:`pellucid.methods.lri.LRI`.
        hops: Within how many hops a point bears noise of its surroundings, for each noise by itself; see there.
        hop_noise: Which; see there.
        dropout: Probability in the heads.
        rule: How neighbourhoods of unmoved points are made.
    """

    supports = Supports(directions=True)
    citation = f"pellucid; after {CITATION}"
    check = "with one noise held at zero it equals the other parent; both KL terms equal those of the parents"
    importance_name = "existence and location importance, logit p - log det Sigma"

    def __init__(self, make_backbone: Callable[[], Backbone], task: Task, *, alpha: float = 0.7, decay: int = 10,
                 temperature: float = 1.0, beta_existence: float = 0.1, noise: str = "either", beta: float = 0.01,
                 scale: float = 1.0,
                 graph_reconstruction: bool = True, reconstruct: NeighborRule | None = None,
                 neighbor_distance: float = 1.0, noise_dim: int = 0, relative: bool = False,
                 shared: bool = True, groups: str = "", hops: int = 0, hop_noise: str = "most_random",
                 dropout: float = 0.2, rule: NeighborRule | None = None) -> None:
        super().__init__(make_backbone, task, scale=scale, graph_reconstruction=graph_reconstruction,
                         reconstruct=reconstruct, neighbor_distance=neighbor_distance, noise_dim=noise_dim,
                         relative=relative, beta=beta, shared=shared, groups=groups, hops=hops, hop_noise=hop_noise,
                         dropout=dropout, rule=rule)
        check_bernoulli(alpha, decay, temperature)
        if not beta_existence >= 0:
            raise PellucidError(f"expected beta_existence of at least 0, got {beta_existence}")
        if noise not in ("either", "both"):
            raise PellucidError(f"expected noise either or both, got {noise!r}")
        self.alpha, self.decay, self.temperature, self.beta_existence = alpha, decay, temperature, beta_existence
        self.noise = noise

    def interpreter_outputs(self) -> int:
        """U (D x D), a1, a2 and the logit of p."""
        return super().interpreter_outputs() + 1

    def forward(self, clouds: PointClouds, neighbors: Neighbors, *, epoch: int = 0,
                generator: torch.Generator | None = None) -> Output:
        """One pass over masked and moved points; see :meth:`Method.forward`."""
        by = Grouping(clouds, self.groups)
        raw = by.mean(self.interpret(clouds, neighbors))
        logit = self.over_hops(raw[:, -1:], lambda own: -own[:, 0], neighbors).squeeze(-1)
        u, a1, a2 = self.spread(self.over_hops(raw[:, :-1], self.randomness, neighbors))
        eps, mask = sample(u, a1, a2, generator), concrete(logit, self.temperature, generator)
        log_determinant = log_det(u, a1, a2)
        prior = prior_at(epoch, self.alpha, self.decay)
        exists, placed = bernoulli_kl(logit, prior), gaussian_kl(u, a1, a2, log_determinant)
        kl_existence, kl = exists, placed
        if self.noise == "either":
            coin = torch.rand(len(clouds), generator=generator, device=clouds.device) < 0.5
            masked = coin[clouds.batch[by.first]]
            eps, mask = torch.where(masked[:, None], 0, eps), torch.where(masked, mask, 1)
            kl_existence, kl = torch.where(masked, exists, 0), torch.where(masked, 0, placed)
        kl_existence, kl = kl_existence.sum() / max(by.count, 1), kl.sum() / max(by.count, 1)
        moved, rebuilt = self.move(clouds, by.spread(eps))
        with perturbed(self.encoder):
            h = self.encoder(clouds, rebuilt, pos=moved, edge_weight=self.edge_weight(moved, rebuilt),
                             point_weight=by.spread(mask))
        output = Output(self.classify(h, clouds), self.beta * kl + self.beta_existence * kl_existence,
                        by.spread((logit - log_determinant).detach()),
                        parts={"kl": kl.detach(), "kl_existence": kl_existence.detach()})
        if not torch.is_grad_enabled():
            output.covariance = self.sigma(clouds, by, u, a1, a2)
            columns = {"existence": logit.sigmoid(), "location": -log_determinant,
                       "kind": _kind(logit, exists, placed, prior)}
            output.columns = {name: by.spread(column) for name, column in columns.items()}
        return output


def _kind(logit: Tensor, exists: Tensor, placed: Tensor, prior: float) -> Tensor:
    exists = torch.where(logit.sigmoid() > prior, exists, 0)
    kind = torch.where(exists > placed, EXISTENCE, LOCATION)
    return torch.where(torch.maximum(exists, placed) > KEPT, kind, NEITHER)
