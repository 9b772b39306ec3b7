"""LRI-Bernoulli: how likely the existence of each point is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.backbones.base import Backbone
from pellucid.backbones.kernels import perturbed
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.grouping import Grouping
from pellucid.methods.base import Common, Output, Supports, methods
from pellucid.methods.lri import CITATION, LRI, Interpreter
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom
from pellucid.targets import Targets

MASKS = ("messages", "features", "both")
"""What the mask of existence multiplies; see :class:`Existence`."""
JUDGED = ("together", "apart", "sampled")
"""Whose masks the classifier learns from; see :class:`Judging`."""


@dataclass(frozen=True)
class Existence:
    """Options of the Bernoulli noise.

    Attributes:
        alpha: Final prior r, in [0.5, 1).
        decay: r starts at 0.9 and falls by 0.1 every ``decay`` joint epochs down to alpha.
        temperature: Of the concrete relaxation.
        masks: What m multiplies: ``"messages"``, ``"features"`` or ``"both"``.
    """

    alpha: float = 0.7
    decay: int = 10
    temperature: float = 1.0
    masks: str = "messages"

    def __post_init__(self) -> None:
        if self.masks not in MASKS:
            raise PellucidError(f"expected masks to be {', '.join(MASKS[:-1])} or {MASKS[-1]}, got {self.masks!r}")
        if not 0.5 <= self.alpha < 1:
            raise PellucidError(f"expected alpha in [0.5, 1), got {self.alpha}; Bern(0.5) is the most random prior")
        if self.decay < 1 or not self.temperature > 0:
            raise PellucidError(f"expected decay >= 1 and temperature > 0, got {self.decay} and {self.temperature}")

    def prior(self, epoch: int) -> float:
        """The prior r of a joint epoch; see :func:`prior_at`."""
        return prior_at(epoch, self.alpha, self.decay)

    def masked(self, weight: Tensor, inputs: Callable[[], Tensor]) -> dict[str, Tensor | None]:
        """What an encoder is given so that points exist by so much.

        Args:
            weight: (points,) the mask.
            inputs: (points, hidden) embedding of their features.
        """
        return {"point_weight": None if self.masks == "features" else weight,
                "inputs": None if self.masks == "messages" else inputs() * weight[:, None]}


@dataclass(frozen=True)
class Judging:
    """Whose masks the classifier learns from.

    Attributes:
        judged: ``"together"``, f learns from g's masks (paper). Then both can agree on a code: to silence what decides
            tells f as much as to keep it. ``"apart"``, f learns from masks that are drawn without
            g, on half of the clouds, and judges g's masks on the others without learning from them, so that silence
            means nothing but that a point is gone (REAL-X: Jethani et al., Have We Learned to Explain?, AISTATS 2021).
            ``"sampled"``, likewise, but f's masks are whole subsets out of g's distribution, each point in it with
            probability p or not at all (after Chen et al., How Interpretable Are Interpretable Graph Neural Networks?,
            ICML 2024, who train f on them at the end, with g fixed; in each step, beside g, is ours).
    """

    judged: str = "together"

    def __post_init__(self) -> None:
        if self.judged not in JUDGED:
            raise PellucidError(f"expected judged to be {', '.join(JUDGED[:-1])} or {JUDGED[-1]}, got {self.judged!r}")


def bernoulli_kl(logit: Tensor, prior: float) -> Tensor:
    """KL(Bern(p) || Bern(r)) with p = sigmoid(logit) (paper, eq. 1).

    p log(p / r) + (1 - p) log((1 - p) / (1 - r)), from log-sigmoids so that p near 0 or 1 stays exact.

    Args:
        logit: (points,).
        prior: r, in (0, 1).

    Returns:
        (points,), not negative.
    """
    p = logit.sigmoid()
    log_prior = torch.log(torch.tensor([prior, 1 - prior], dtype=torch.float64)).tolist()
    kl: Tensor = p * (F.logsigmoid(logit) - log_prior[0]) + (1 - p) * (F.logsigmoid(-logit) - log_prior[1])
    return kl


def concrete(logit: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None,
             uniform: Tensor | None = None) -> Tensor:
    """Samples of the binary concrete distribution: a mask in (0, 1) that can be differentiated.

    sigmoid((logit + log u - log(1 - u)) / temperature) with u uniform (Maddison et al. 2017; Jang et al. 2017).

    Args:
        logit: Of the probability; any shape.
        temperature: The lower, the closer to 0 and 1.
        generator: Source of u.
        uniform: u itself, of the shape of ``logit``.
    """
    u = torch.rand(logit.shape, generator=generator, device=logit.device, dtype=logit.dtype) if uniform is None else (
        uniform)
    u = u.clamp(1e-6, 1 - 1e-6)
    return ((logit + u.log() - (-u).log1p()) / temperature).sigmoid()


def prior_at(epoch: int, alpha: float, decay: int) -> float:
    """The Bernoulli prior r = max(alpha, 0.9 - 0.1 * floor(epoch / decay)) of a joint epoch."""
    return max(alpha, 0.9 - 0.1 * (epoch // decay))


@methods.register("lri-bernoulli")
class LRIBernoulli(LRI):
    """LRI-Bernoulli: learns for each point how likely its existence is needed (paper, section 4.1).

    Minimises CE(f(masked cloud), y) + beta * mean_v KL(Bern(p_v) || Bern(r)); the mask m_v is a concrete relaxation
    in training and p_v in eval mode. Importance is p_v.

    Of the paper's two ways to remove a point (appendix D) the authors took messages: one from u to v is multiplied by
    m_u m_v. What a point's own features say then reaches the pooled sum past the mask, through the residual connections
    of the layers; where that is enough to predict, no noise harms and importance says nothing. The other way multiplies
    the embedding of the point's features by m_v; both together leave nothing of a removed point but its place.

    Args:
        make_backbone: Makes one encoder.
        targets: What is predicted.
        common: Options of every method.
        interpreter: Options of g.
        existence: Options of the noise.
        judging: Whose masks f learns from.
    """

    supports = Supports()
    citation = CITATION
    check = "KL against torch.distributions; the mask's mean equals p; beta = 0 leaves the cross-entropy alone"
    importance_name = "existence importance, p"
    option_groups: ClassVar[Mapping[str, type]] = {"common": Common, "interpreter": Interpreter,
                                                   "existence": Existence, "judging": Judging}

    def __init__(self, make_backbone: Callable[[], Backbone], targets: Targets, common: Common | None = None,
                 interpreter: Interpreter | None = None, existence: Existence | None = None,
                 judging: Judging | None = None) -> None:
        super().__init__(make_backbone, targets, common, interpreter)
        self.existence, self.judged = existence or Existence(), (judging or Judging()).judged

    def interpreter_outputs(self) -> int:
        """One logit a point."""
        return 1

    def forward(self, clouds: PointClouds, neighbors: Neighbors, *, epoch: int = 0,
                random: CloudRandom | None = None) -> Output:
        """One masked pass, in eval mode with the mask's expectation; see :meth:`Method.forward`."""
        by = Grouping(clouds, self.groups)
        raw = by.mean(self.interpret(clouds, neighbors))
        logit = self.over_hops(raw, lambda own: -own[:, 0], neighbors).squeeze(-1)
        mask = logit.sigmoid()
        if self.training or random is not None:
            uniform = None if random is None else random.uniform(by.of_clouds(clouds), dtype=logit.dtype)
            mask = concrete(logit, self.existence.temperature, uniform=uniform)
        kl = bernoulli_kl(logit, self.existence.prior(epoch)).sum() / max(by.count, 1)
        if self.training and self.judged != "together" and len(clouds) > 1:  # one alone has no other half
            logits = self._apart(clouds, neighbors, by, mask)
        else:
            logits = self._masked(clouds, neighbors, by.spread(mask))
        return Output(logits, self.beta * kl, by.spread(logit.sigmoid()), parts={"kl": kl.detach()})

    def _masked(self, clouds: PointClouds, neighbors: Neighbors, weight: Tensor) -> Tensor:
        """Logits of clouds whose points exist by so much."""
        with perturbed(self.encoder):
            return self.logits(clouds, neighbors, **self.existence.masked(weight, lambda: self.inputs(clouds)))

    def _apart(self, clouds: PointClouds, neighbors: Neighbors, by: Grouping, mask: Tensor) -> Tensor:
        """Logits of half of the clouds with masks that g cannot shape, and of the others with g's, f held fixed."""
        order = torch.randperm(len(clouds), device=clouds.device)
        if self.judged == "sampled":
            free = (mask.detach() > 0.5).to(mask.dtype)  # of the concrete distribution: Bernoulli(p)
        else:
            shares = torch.rand(len(clouds), device=mask.device).logit(1e-2)[clouds.batch[by.first]]  # each uniform
            free = concrete(shares + torch.randn_like(mask), self.existence.temperature)
        free = by.spread(free)
        f = [p for part in (self.encoder, self.readout, self.partner) if part is not None for p in part.parameters()]
        wanted = [p.requires_grad for p in f]
        parts = []
        for chosen, weight, learns in ((order[::2], free, True), (order[1::2], by.spread(mask), False)):
            chosen = chosen.sort().values
            rows = torch.zeros(len(clouds), dtype=torch.bool, device=clouds.device)
            rows[chosen] = True
            try:
                for parameter, was in zip(f, wanted, strict=True):
                    parameter.requires_grad_(was and learns)
                parts.append(self._masked(clouds.select(chosen), neighbors.select(clouds.ptr, chosen, clouds.edge_ptr),
                                          weight[rows[clouds.batch]]))
            finally:
                for parameter, was in zip(f, wanted, strict=True):
                    parameter.requires_grad_(was)
        places = torch.cat([order[::2].sort().values, order[1::2].sort().values])
        return torch.cat(parts)[places.argsort()]
