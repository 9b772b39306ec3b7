"""Learnable randomness injection (LRI): models that learn how much randomness each point bears."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pellucid.backbones.base import Backbone, mlp
from pellucid.backbones.kernels import Norm
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.grouping import refuse_groups
from pellucid.methods.base import Common, Method
from pellucid.methods.hops import mean_over_hops, most_random
from pellucid.neighbors import Neighbors
from pellucid.targets import Targets

CITATION = "Miao et al., Interpretable Geometric Deep Learning via Learnable Randomness Injection, ICLR 2023"
HOP_NOISE = ("most_random", "mean")
"""What a point bears of its surroundings; see :class:`Interpreter`."""
STARTS = ("fresh", "copy")
"""Where an encoder of g's own starts; see :class:`Interpreter`."""


@dataclass(frozen=True)
class Interpreter:
    """Options of the interpreter g beside the classifier f.

    Attributes:
        beta: Weight of the KL divergence (mean over points, or groups); None for the method's own.
        shared: Whether f and g share one encoder (SynMol, ActsTrack, Tau3Mu) or have their own (PLBind).
        groups: Field whose groups of points share one perturbation (paper, appendix D): g's outputs are averaged over
            each group, and one draw serves all its points; ``""`` perturbs each point on its own.
        hops: Each point bears noise of its surroundings within so many hops over neighbourhoods, so that whole regions
            are perturbed or left alone (paper, appendix D; 2 on PLBind); 0 for its own.
        hop_noise: Which noise that is: ``"most_random"``, that of the most random point (paper), through which g hears
            of that one point alone; ``"mean"``, g's outputs averaged over neighbourhoods, once a hop.
        start: Where the encoder of g starts that is its own: ``"fresh"`` weights, or those of f when g joins
            (``"copy"``, the authors' release), after the warm-up; messages of a copy are weighted as those of f are.
        own_partner: Whether such a g has an encoder of second clouds of its own too; in the authors' release f and g
            share that one.
    """

    beta: float | None = None
    shared: bool = True
    groups: str = ""
    hops: int = 0
    hop_noise: str = "most_random"
    start: str = "fresh"
    own_partner: bool = True

    def __post_init__(self) -> None:
        if self.beta is not None and not self.beta >= 0:
            raise PellucidError(f"expected beta of at least 0, got {self.beta}")
        if not isinstance(self.groups, str):
            raise PellucidError(f"expected the name of a field as groups, got {self.groups!r}; an empty name means "
                                "none")
        if isinstance(self.hops, bool) or not isinstance(self.hops, int) or self.hops < 0 or (self.hops and
                                                                                               self.groups):
            raise PellucidError(f"expected hops as a whole number of at least 0, and either hops or groups, got hops="
                                f"{self.hops!r} and groups={self.groups!r}; leave one of them out")
        if self.hop_noise not in HOP_NOISE:
            raise PellucidError(f"expected hop_noise to be {' or '.join(HOP_NOISE)}, got {self.hop_noise!r}")
        if self.start not in STARTS:
            raise PellucidError(f"expected start to be {' or '.join(STARTS)}, got {self.start!r}")
        if self.shared and self.start == "copy":
            raise PellucidError("expected an encoder of the interpreter's own to copy into, got a shared one; set "
                                "method.options.shared=false, or start=fresh")


class LRI(Method):
    """Base of the LRI methods: an interpreter g beside the classifier f.

    Of samples of two clouds (a protein and its ligand) the points of the first bear noise; the pooled embedding of the
    second is added to each of them before the interpreter's head.

    Args:
        make_backbone: Makes one encoder.
        targets: What is predicted.
        common: Options of every method.
        interpreter: Options of g.
    """

    option_groups: ClassVar[Mapping[str, type]] = {"common": Common, "interpreter": Interpreter}
    beta_default: ClassVar[float] = 0.1

    def __init__(self, make_backbone: Callable[[], Backbone], targets: Targets, common: Common | None = None,
                 interpreter: Interpreter | None = None) -> None:
        common, own = common or Common(), interpreter or Interpreter()
        super().__init__(make_backbone, targets, common)
        self.beta = self.beta_default if own.beta is None else own.beta
        self.groups, self.hops, self.hop_noise = own.groups, own.hops, own.hop_noise
        self.own_encoder = None if own.shared else make_backbone()
        self.start, self.wants_own_partner = own.start, own.own_partner
        self.own_partner: nn.Module | None = None
        if own.shared:  # clean clouds pass through it for g, perturbed ones for f
            for module in self.encoder.modules():
                if isinstance(module, Norm):
                    module.split()
        width = self.encoder.width
        self.interpreter = mlp([width, 2 * width, width, self.interpreter_outputs()], common.dropout)

    @abstractmethod
    def interpreter_outputs(self) -> int:
        """Numbers a point that the interpreter head emits."""

    def add_partner(self, make_partner: Callable[[], nn.Module]) -> None:
        """See :meth:`Method.add_partner`."""
        super().add_partner(make_partner)
        if self.own_encoder is not None and self.wants_own_partner:
            self.own_partner = make_partner()

    def join(self) -> None:
        """See :meth:`Method.join`."""
        if self.own_encoder is not None and self.start == "copy":
            self.own_encoder.load_state_dict(self.encoder.state_dict())
            if self.own_partner is not None and self.partner is not None:
                self.own_partner.load_state_dict(self.partner.state_dict())

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
            pos = self.scaled(clouds)
            # a copy hears messages as what it was copied from does
            weight = self.edge_weight(pos, neighbors) if self.start == "copy" and pos is not None else None
            h = self.own_encoder(clouds, neighbors, pos=pos, edge_weight=weight).scalars
            partner = self.partner if self.own_partner is None else self.own_partner
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

    def draw_interpreter(self) -> list[nn.Parameter]:
        """The interpreter's head, and encoders of its own; see :meth:`Method.draw_interpreter`."""
        parts = [own for own in (self.own_encoder, self.own_partner, self.interpreter) if own is not None]
        for module in (module for part in parts for module in part.modules()):
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        return [parameter for part in parts for parameter in part.parameters()]

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
