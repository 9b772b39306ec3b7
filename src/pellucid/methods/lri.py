"""Learnable randomness injection (LRI): models that learn how much randomness each point bears."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.backbones.base import Backbone, geometry, mlp
from pellucid.backbones.kernels import Norm, perturbed
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.grouping import Grouping, refuse_groups
from pellucid.methods.base import Method, NeighborRule, Output, Supports, methods
from pellucid.methods.gaussian import covariance, gaussian_kl, log_det, sample
from pellucid.methods.tasks import Task
from pellucid.neighbors import Neighbors

CITATION = "Miao et al., Interpretable Geometric Deep Learning via Learnable Randomness Injection, ICLR 2023"


class LRI(Method):
    """Base of the LRI methods: an interpreter g beside the classifier f.

    Of samples of two clouds (a protein and its ligand) the points of the first bear noise; the pooled embedding of the
    second is added to each of them before the interpreter's head.

    Args:
        make_backbone: Makes one encoder.
        task: What is predicted.
        beta: Weight of the KL divergence (mean over points, or groups).
        shared: Whether f and g share one encoder (SynMol, ActsTrack, Tau3Mu) or have their own (PLBind).
        groups: Field whose groups of points share one perturbation (paper, appendix D): g's outputs are averaged over
            each group, and one draw serves all its points; ``""`` perturbs each point on its own.
        hops: Each point bears noise of its surroundings within so many hops over neighbourhoods, so that whole regions
            are perturbed or left alone (paper, appendix D; 2 on PLBind); 0 for its own.
        hop_noise: Which noise that is: ``"most_random"``, that of the most random point (paper), through which g hears
            of that one point alone; ``"mean"``, g's outputs averaged over neighbourhoods, once a hop.
        scale: Constant c that multiplies coordinates.
        dropout: Probability in the heads.
        rule: How neighbourhoods are made.
    """

    def __init__(self, make_backbone: Callable[[], Backbone], task: Task, *, beta: float = 0.1, shared: bool = True,
                 groups: str = "", hops: int = 0, hop_noise: str = "most_random", scale: float = 1.0,
                 dropout: float = 0.2, rule: NeighborRule | None = None) -> None:
        super().__init__(make_backbone, task, scale=scale, dropout=dropout, rule=rule)
        if not beta >= 0:
            raise PellucidError(f"expected beta of at least 0, got {beta}")
        if not isinstance(groups, str):
            raise PellucidError(f"expected the name of a field as groups, got {groups!r}; an empty name means none")
        if isinstance(hops, bool) or not isinstance(hops, int) or hops < 0 or (hops and groups):
            raise PellucidError(f"expected hops as a whole number of at least 0, and either hops or groups, got hops="
                                f"{hops!r} and groups={groups!r}; leave one of them out")
        if hop_noise not in HOP_NOISE:
            raise PellucidError(f"expected hop_noise to be {' or '.join(HOP_NOISE)}, got {hop_noise!r}")
        self.beta, self.groups, self.hops, self.hop_noise = beta, groups, hops, hop_noise
        self.own_encoder = None if shared else make_backbone()
        self.own_partner: nn.Module | None = None
        if shared:  # clean clouds pass through it for g, perturbed ones for f
            for module in self.encoder.modules():
                if isinstance(module, Norm):
                    module.split()
        width = self.encoder.hidden
        self.interpreter = mlp([width, 2 * width, width, self.interpreter_outputs()], dropout)

    @abstractmethod
    def interpreter_outputs(self) -> int:
        """Numbers a point that the interpreter head emits."""

    def add_partner(self, make_partner: Callable[[], nn.Module]) -> None:
        """See :meth:`Method.add_partner`."""
        super().add_partner(make_partner)
        if self.own_encoder is not None:
            self.own_partner = make_partner()

    def refuse(self, clouds: PointClouds) -> None:
        """See :meth:`Method.refuse`."""
        super().refuse(clouds)
        if self.groups:
            refuse_groups(clouds, self.groups)

    def interpret(self, clouds: PointClouds, neighbors: Neighbors) -> Tensor:
        """(points, outputs) of the interpreter g on unperturbed clouds."""
        if self.own_encoder is None:
            h, partner = self.embed(clouds, neighbors), self.partner
        else:
            h, partner = self.own_encoder(clouds, neighbors, pos=clouds.pos * self.scale), self.own_partner
        if partner is not None:
            h = h + partner(clouds)[clouds.batch]
        return self.interpreter(h)  # type: ignore[no-any-return]

    def over_hops(self, raw: Tensor, randomness: Callable[[Tensor], Tensor], neighbors: Neighbors) -> Tensor:
        """(points, F) of the interpreter as they are, or with hops what each point bears of its surroundings.

        Args:
            raw: (points, F).
            randomness: Of such rows: (points,), the larger, the more random.
            neighbors: Over which hops go.
        """
        if not self.hops:
            return raw
        if self.hop_noise == "mean":
            return mean_over_hops(raw, neighbors, self.hops)
        with torch.no_grad():
            chosen = most_random(randomness(raw), neighbors, self.hops)
        return raw[chosen]

    def freeze_classifier(self) -> None:
        """Leaves only the interpreter to be trained; batch norms of the classifier go on taking statistics.

        Raises:
            PellucidError: if both share one encoder.
        """
        if self.own_encoder is None:
            raise PellucidError("expected an interpreter with an encoder of its own to freeze the classifier, got a "
                                "shared one; set method.options.shared=false")
        self.requires_grad_(False)
        for own in (self.own_encoder, self.own_partner, self.interpreter):
            if own is not None:
                own.requires_grad_(True)


def most_random(randomness: Tensor, neighbors: Neighbors, hops: int) -> Tensor:
    """The most random point within some hops of each point (paper, appendix D: the largest determinant).

    Args:
        randomness: (points,) the larger, the more random.
        neighbors: Whom each point hears; it reaches itself in any case.
        hops: How often neighbourhoods are joined.

    Returns:
        (points,) int64.

    Example:
        >>> line = Neighbors(torch.tensor([[1], [0], [1], [2]]))
        >>> most_random(torch.tensor([3.0, 1.0, 0.0, 2.0]), line, 2).tolist()
        [0, 0, 0, 3]
    """
    chosen = torch.arange(len(randomness), device=randomness.device)
    for _ in range(hops):
        reach = torch.cat([chosen[:, None], chosen[neighbors.index]], 1)  # an empty place names the point itself
        chosen = reach.gather(1, randomness[reach].argmax(1, keepdim=True)).squeeze(1)
    return chosen


def mean_over_hops(values: Tensor, neighbors: Neighbors, hops: int) -> Tensor:
    """Averages over each point and whom it hears, repeated.

    Args:
        values: (points, F).
        neighbors: Whom each point hears; it reaches itself in any case, and counts once.
        hops: How often.

    Returns:
        (points, F).

    Example:
        >>> line = Neighbors(torch.tensor([[1], [0], [1], [2]]))
        >>> mean_over_hops(torch.tensor([[3.0], [1.0], [0.0], [2.0]]), line, 1)[:, 0].tolist()
        [2.0, 2.0, 0.5, 1.0]
    """
    own = torch.arange(len(values), device=values.device)[:, None]
    other = neighbors.index != own  # an empty place names the point itself
    count = 1 + other.sum(1, keepdim=True)
    for _ in range(hops):
        values = (values + (values[neighbors.index] * other[..., None]).sum(1)) / count
    return values


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


def concrete(logit: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Samples of the binary concrete distribution: a mask in (0, 1) that can be differentiated.

    sigmoid((logit + log u - log(1 - u)) / temperature) with u uniform (Maddison et al. 2017; Jang et al. 2017).

    Args:
        logit: Of the probability; any shape.
        temperature: The lower, the closer to 0 and 1.
        generator: Source of u.
    """
    u = torch.rand(logit.shape, generator=generator, device=logit.device, dtype=logit.dtype).clamp(1e-6, 1 - 1e-6)
    return ((logit + u.log() - (-u).log1p()) / temperature).sigmoid()


def prior_at(epoch: int, alpha: float, decay: int) -> float:
    """The Bernoulli prior r = max(alpha, 0.9 - 0.1 * floor(epoch / decay)) of a joint epoch."""
    return max(alpha, 0.9 - 0.1 * (epoch // decay))


def check_bernoulli(alpha: float, decay: int, temperature: float) -> None:
    """Refuses options of the Bernoulli noise that make no sense."""
    if not 0.5 <= alpha < 1:
        raise PellucidError(f"expected alpha in [0.5, 1), got {alpha}; Bern(0.5) is the most random prior")
    if decay < 1 or not temperature > 0:
        raise PellucidError(f"expected decay >= 1 and temperature > 0, got {decay} and {temperature}")


HOP_NOISE = ("most_random", "mean")
"""What a point bears of its surroundings; see :class:`LRI`."""
MASKS = ("messages", "features", "both")
"""What the mask of LRI-Bernoulli multiplies."""


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
        task: What is predicted.
        masks: What m multiplies: ``"messages"``, ``"features"`` or ``"both"``.
        alpha: Final prior r, in [0.5, 1).
        decay: The prior starts at 0.9 and falls by 0.1 every ``decay`` joint epochs down to alpha.
        temperature: Of the concrete relaxation.
        beta: Weight of the KL divergence.
        shared: Whether f and g share one encoder.
        groups: Field whose groups of points share one perturbation; see :class:`LRI`.
        hops: Within how many hops a point bears noise of its surroundings; see :class:`LRI`.
        hop_noise: Which; see there.
        scale: Constant c that multiplies coordinates.
        dropout: Probability in the heads.
        rule: How neighbourhoods are made.
    """

    supports = Supports()
    citation = CITATION
    check = "KL against torch.distributions; the mask's mean equals p; beta = 0 leaves the cross-entropy alone"
    importance_name = "existence importance, p"

    def __init__(self, make_backbone: Callable[[], Backbone], task: Task, *, masks: str = "messages",
                 alpha: float = 0.7, decay: int = 10, temperature: float = 1.0, beta: float = 0.1, shared: bool = True,
                 groups: str = "", hops: int = 0, hop_noise: str = "most_random", scale: float = 1.0,
                 dropout: float = 0.2, rule: NeighborRule | None = None) -> None:
        super().__init__(make_backbone, task, beta=beta, shared=shared, groups=groups, hops=hops, hop_noise=hop_noise,
                         scale=scale, dropout=dropout, rule=rule)
        check_bernoulli(alpha, decay, temperature)
        if masks not in MASKS:
            raise PellucidError(f"expected masks to be {', '.join(MASKS[:-1])} or {MASKS[-1]}, got {masks!r}")
        self.masks, self.alpha, self.decay, self.temperature = masks, alpha, decay, temperature

    def interpreter_outputs(self) -> int:
        """One logit a point."""
        return 1

    def forward(self, clouds: PointClouds, neighbors: Neighbors, *, epoch: int = 0,
                generator: torch.Generator | None = None) -> Output:
        """One masked pass; see :meth:`Method.forward`."""
        by = Grouping(clouds, self.groups)
        raw = by.mean(self.interpret(clouds, neighbors))
        logit = self.over_hops(raw, lambda own: -own[:, 0], neighbors).squeeze(-1)
        mask = concrete(logit, self.temperature, generator) if self.training else logit.sigmoid()
        kl = bernoulli_kl(logit, prior_at(epoch, self.alpha, self.decay)).sum() / max(by.count, 1)
        weight = by.spread(mask)
        with perturbed(self.encoder):
            logits = self.logits(clouds, neighbors, point_weight=None if self.masks == "features" else weight,
                                 inputs=None if self.masks == "messages" else self.inputs(clouds) * weight[:, None])
        return Output(logits, self.beta * kl, by.spread(logit.sigmoid()), parts={"kl": kl.detach()})


class DistanceWeight(nn.Module):
    """The paper's phi: an edge weight in (0, 1) that falls with the distance (section 4.2, graph reconstruction).

    distance -> 8 -> 1 -> sigmoid. The weights of both layers are kept of one sign by a softplus, so that phi falls
    monotonically by construction, which the paper states and a free MLP does not guarantee.

    Args:
        length: Typical distance between neighbours: phi sees distance / length.
        hidden: Width of the hidden layer.
    """

    def __init__(self, length: float = 1.0, hidden: int = 8) -> None:
        super().__init__()
        if not length > 0:
            raise PellucidError(f"expected a positive length, got {length}")
        self.length = length
        self.slope = nn.Parameter(torch.zeros(hidden))
        self.threshold = nn.Parameter(torch.linspace(0, 2, hidden))
        self.fall = nn.Parameter(torch.full((hidden,), -1.0))
        self.top = nn.Parameter(torch.tensor(2.0))

    def forward(self, distance: Tensor) -> Tensor:
        """Distances of any shape -> weights in (0, 1)."""
        step = F.softplus(distance[..., None] / self.length * F.softplus(self.slope) - self.threshold)
        return (self.top - step @ F.softplus(self.fall)).sigmoid()


@methods.register("lri-gaussian")
class LRIGaussian(LRI):
    """LRI-Gaussian: learns for each point how far it may move, and in which directions (paper, section 4.2).

    Minimises CE(f(cloud moved by eps), y) + beta * mean_v KL(N(0, Sigma_v) || N(0, I)), in coordinates multiplied by
    c. Sigma = a1 U U^T + a2 I; the neighbourhoods are rebuilt from the moved points, and messages are weighted by
    phi(distance) so that the rebuilt graph has a gradient. Importance is -log det Sigma.

    Args:
        make_backbone: Makes one encoder.
        task: What is predicted.
        scale: Constant c: the prior's standard deviation is 1/c in the unit of the coordinates.
        graph_reconstruction: Whether messages are weighted by phi.
        reconstruct: How the moved points' neighbourhoods are made; in the unit of unscaled coordinates.
        neighbor_distance: Mean distance between neighbours in the unit of the coordinates; phi is scaled by it.
        noise_dim: Number of leading coordinates that noise moves, e.g. 2 for x and y alone; 0 for all.
        frame: ``"lab"``: U is in the axes of the coordinates, as in the paper; ``"beam"``: in each point's own axes,
            away from the z axis and around it, so that a cloud turned about z has its noise turned with it.
        relative: Whether noise grows with a point's distance from the z axis: the prior's standard deviation is 1/c of
            that distance, an angle. For layers that see directions (``view``), which the same length harms the more the
            nearer to the axis.
        beta: Weight of the KL divergence.
        shared: Whether f and g share one encoder.
        groups: Field whose groups of points share one perturbation; see :class:`LRI`.
        hops: Within how many hops a point bears noise of its surroundings; see :class:`LRI`.
        hop_noise: Which; see there.
        dropout: Probability in the heads.
        rule: How neighbourhoods of unmoved points are made.
    """

    supports = Supports(directions=True)
    citation = CITATION
    check = "KL and determinant against torch.distributions in float64; sampled covariance equals Sigma"
    importance_name = "location importance, -log det Sigma"

    def __init__(self, make_backbone: Callable[[], Backbone], task: Task, *, scale: float = 1.0,
                 graph_reconstruction: bool = True, reconstruct: NeighborRule | None = None,
                 neighbor_distance: float = 1.0, noise_dim: int = 0, frame: str = "lab", relative: bool = False,
                 beta: float = 0.01, shared: bool = True, groups: str = "", hops: int = 0,
                 hop_noise: str = "most_random", dropout: float = 0.2,
                 rule: NeighborRule | None = None) -> None:
        if frame not in ("lab", "beam"):
            raise PellucidError(f"expected the frame lab or beam, got {frame!r}")
        if frame == "beam" and (groups or hops):
            raise PellucidError("expected the frame lab for groups or hops, whose points share one noise, got beam")
        self._dim, self._noise_dim, self.frame, self.relative = 0, noise_dim, frame, relative
        super().__init__(self._remember(make_backbone), task, beta=beta, shared=shared, groups=groups, hops=hops,
                         hop_noise=hop_noise, scale=scale, dropout=dropout, rule=rule)
        self.reconstruct = reconstruct or self.rule
        length = neighbor_distance * (scale if self.encoder.view == "plain" else 1.0)
        self.phi = DistanceWeight(length) if graph_reconstruction else None

    def _remember(self, make_backbone: Callable[[], Backbone]) -> Callable[[], Backbone]:
        def make() -> Backbone:
            backbone = make_backbone()
            if not 0 <= self._noise_dim <= backbone.dim:
                raise PellucidError(f"expected noise_dim from 0 to the {backbone.dim} coordinates, got "
                                    f"{self._noise_dim}")
            self._dim = self._noise_dim or backbone.dim
            return backbone

        return make

    @classmethod
    def warm_up_kind(cls, options: dict[str, Any]) -> str:
        """With graph reconstruction phi trains as well; see :meth:`Method.warm_up_kind`."""
        return "phi" if options.get("graph_reconstruction", True) else "plain"

    def interpreter_outputs(self) -> int:
        """U (D x D), a1 and a2, with D the number of coordinates that noise moves."""
        return self._dim**2 + 2

    def edge_weight(self, pos: Tensor, neighbors: Neighbors) -> Tensor | None:
        """The weights phi of the distances, (points, k); None with graph reconstruction off."""
        if self.phi is None:
            return None
        return self.phi(geometry(self.encoder.place(pos), neighbors).distance.squeeze(-1))  # type: ignore[no-any-return]

    def randomness(self, raw: Tensor) -> Tensor:
        """(points,) log det Sigma of (points, D^2 + 2) in scaled coordinates."""
        return log_det(*self.spread(raw))

    def spread(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """U (rows, D, D), a1 and a2 (rows,) in scaled coordinates, out of (rows, D^2 + 2): a row a point or group."""
        a = F.softplus(raw[:, -2:]).clamp(1e-6, 1e6)
        return raw[:, :-2].reshape(-1, self._dim, self._dim), a[:, 0], a[:, 1]

    def turned(self, u: Tensor, pos: Tensor) -> Tensor:
        """U (points, D, D) in the axes of the coordinates."""
        if self.frame == "lab":
            return u
        away = F.normalize(pos[:, :2], dim=-1)
        around = torch.stack([-away[:, 1], away[:, 0]], -1)
        flat = away[:, :, None] * u[:, None, 0] + around[:, :, None] * u[:, None, 1]
        return torch.cat([flat, u[:, 2:]], 1)

    def move(self, clouds: PointClouds, noise: Tensor) -> tuple[Tensor, Neighbors]:
        """Scaled coordinates with noise (points, D) added, and the neighbourhoods of the moved points."""
        moved = clouds.pos * self.scale + F.pad(noise * self._unit(clouds), (0, self.encoder.dim - self._dim))
        return moved, self.reconstruct(moved.detach() / self.scale, clouds.ptr)

    def sigma(self, clouds: PointClouds, by: Grouping, u: Tensor, a1: Tensor, a2: Tensor) -> Tensor:
        """(points, D, D) covariance in the squared unit of the coordinates; zero where noise moves nothing."""
        rest = self.encoder.dim - self._dim
        unit = self._unit(clouds)[:, :, None] / self.scale
        return F.pad(by.spread(covariance(u, a1, a2)) * unit**2, (0, rest, 0, rest))

    def _unit(self, clouds: PointClouds) -> Tensor:
        """(points, 1) what a noise of one moves, in scaled coordinates."""
        if self.relative:
            return clouds.pos[:, :2].square().sum(-1, keepdim=True).sqrt()
        return clouds.pos.new_ones(1, 1)

    def forward(self, clouds: PointClouds, neighbors: Neighbors, *, epoch: int = 0,
                generator: torch.Generator | None = None) -> Output:
        """One pass over moved points; see :meth:`Method.forward`."""
        by = Grouping(clouds, self.groups)
        u, a1, a2 = self.spread(self.over_hops(by.mean(self.interpret(clouds, neighbors)), self.randomness, neighbors))
        u = self.turned(u, clouds.pos)
        moved, rebuilt = self.move(clouds, by.spread(sample(u, a1, a2, generator)))
        with perturbed(self.encoder):
            h = self.encoder(clouds, rebuilt, pos=moved, edge_weight=self.edge_weight(moved, rebuilt))
        log_determinant = log_det(u, a1, a2)
        kl = gaussian_kl(u, a1, a2, log_determinant).sum() / max(by.count, 1)
        sigma = self.sigma(clouds, by, u, a1, a2) if not torch.is_grad_enabled() else None
        return Output(self.classify(h, clouds), self.beta * kl, -by.spread(log_determinant.detach()), sigma,
                      parts={"kl": kl.detach()})
