"""What every inherently interpretable method is: a model whose training also learns what is important."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from pellucid.backbones.base import Backbone, mlp
from pellucid.backbones.kernels import segment_sum
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.families import methods as methods
from pellucid.methods.tasks import Kind, Task
from pellucid.neighbors import Neighbors, knn, radius
from pellucid.views import View, seen


@dataclass(frozen=True)
class NeighborRule:
    """How neighbourhoods are made.

    Attributes:
        kind: ``"knn"`` or ``"radius"``.
        value: k, or the radius in the unit of the coordinates.
        loop: Whether a point is its own neighbour.
        view: As what coordinates are seen before distances are taken; see :func:`pellucid.views.seen`.
    """

    kind: Literal["knn", "radius"] = "knn"
    value: float = 5
    loop: bool = True
    view: View = "plain"

    def __post_init__(self) -> None:
        if self.kind not in ("knn", "radius") or not self.value > 0:
            raise PellucidError(f"expected a knn or radius rule with a positive value, got {self.kind} {self.value}")

        if self.kind == "knn" and not float(self.value).is_integer():
            raise PellucidError(f"expected a whole number of neighbours, got {self.value}")

    def __call__(self, pos: Tensor, ptr: Tensor) -> Neighbors:
        """Neighbourhoods of points at ``pos``."""
        pos = seen(pos, self.view)
        if self.kind == "knn":
            return knn(pos, ptr, int(self.value), loop=self.loop)
        return radius(pos, ptr, self.value, loop=self.loop)


@dataclass(frozen=True)
class Supports:
    """What a method can be used for; anything else is refused before work starts."""

    tasks: tuple[Kind, ...] = ("binary", "multiclass", "regression")
    importance: bool = True
    directions: bool = False


@dataclass
class Output:
    """What one pass yields.

    Attributes:
        logits: (clouds, outputs).
        penalty: Scalar regulariser, already weighted; None where there is none.
        importance: (points,) or None.
        covariance: (points, D, D) in the squared unit of ``clouds.pos``, or None.
        parts: Named scalars for the progress display.
        columns: More named numbers a point, (points,) each.
    """

    logits: Tensor
    penalty: Tensor | None = None
    importance: Tensor | None = None
    covariance: Tensor | None = None
    parts: dict[str, Tensor] = field(default_factory=dict)
    columns: dict[str, Tensor] = field(default_factory=dict)


class Method(nn.Module, ABC):
    """Base of the methods that train a model: encoder, sum pooling, classifier head.

    Args:
        make_backbone: Makes one encoder; called twice when encoders are not shared.
        task: What is predicted.
        scale: Constant c that multiplies coordinates before anything else (paper, appendix C).
        dropout: Probability in the heads.
        rule: How neighbourhoods are made, in the unit of the unscaled coordinates.
    """

    supports: ClassVar[Supports] = Supports()
    citation: ClassVar[str]
    check: ClassVar[str]
    """The correctness check that the method's tests make."""
    importance_name: ClassVar[str] = "importance"
    can: ClassVar[frozenset[str]] = frozenset({"pos", "inputs", "point_weight", "edge_weight", "embed"})
    """What post-hoc explainers may change or read; see :mod:`pellucid.explainers.base`."""

    def __init__(self, make_backbone: Callable[[], Backbone], task: Task, *, scale: float = 1.0, dropout: float = 0.2,
                 rule: NeighborRule | None = None) -> None:
        super().__init__()
        if task.kind not in self.supports.tasks:
            raise PellucidError(f"expected a task out of {', '.join(self.supports.tasks)}, got {task.kind}; choose "
                                "another method")
        if not scale > 0:
            raise PellucidError(f"expected a positive coordinate scale c, got {scale}")
        self.task, self.scale = task, scale
        self.rule = rule or NeighborRule()
        self.encoder = make_backbone()
        width = self.encoder.hidden
        self.classifier = mlp([width, 2 * width, width, task.outputs], dropout)
        self.partner: nn.Module | None = None

    def add_partner(self, make_partner: Callable[[], nn.Module]) -> None:
        """Makes it a method for samples of two clouds, whose pooled embeddings add up (paper, section 5.4).

        Args:
            make_partner: Makes one :class:`pellucid.methods.partner.PartnerEncoder`; called twice when f and g do not
                share encoders.
        """
        self.partner = make_partner()

    def refuse(self, clouds: PointClouds) -> None:
        """Raises PellucidError if the clouds cannot be used with this method."""
        if (clouds.partner is None) != (self.partner is None):
            expected, got = ("one cloud", "two") if self.partner is None else ("two clouds", "one")
            raise PellucidError(f"expected samples of {expected}, as the model was trained on, got {got}; give samples "
                                "of the same kind")
        if "pos" not in clouds or clouds.pos.shape[1] != self.encoder.dim:
            got = f"{clouds.pos.shape[1]}" if "pos" in clouds else "none"
            raise PellucidError(f"expected coordinates of dimension {self.encoder.dim}, got {got}")
        clouds.check_finite()

    def neighbors(self, clouds: PointClouds) -> Neighbors:
        """The neighbourhoods of unperturbed clouds."""
        return self.rule(clouds.pos, clouds.ptr)

    def classify(self, h: Tensor, clouds: PointClouds) -> Tensor:
        """(points, hidden) -> (clouds, outputs) logits: the head of the sum over points, and over second clouds."""
        pooled = segment_sum(h, clouds.ptr)
        if self.partner is not None:
            pooled = pooled + self.partner(clouds)
        return self.classifier(pooled)  # type: ignore[no-any-return]

    def freeze_classifier(self) -> None:
        """Leaves only what learns importance to be trained.

        Raises:
            PellucidError: if the method has no part of its own for that.
        """
        raise PellucidError(f"expected a method whose interpreter can train alone, got {type(self).__name__}; use "
                            "lri-bernoulli or lri-gaussian with method.options.shared=false")

    @classmethod
    def warm_up_kind(cls, options: dict[str, Any]) -> str:
        """What the warm-up trains: methods with the same answer have the same classifier after it."""
        return "plain"

    def inputs(self, clouds: PointClouds) -> Tensor:
        """(points, hidden) what the layers start from: the embedding of categories and features."""
        return self.encoder.encode(clouds)

    def edge_weight(self, pos: Tensor, neighbors: Neighbors) -> Tensor | None:
        """(points, k) weights of the messages at scaled coordinates, where the method has any."""
        return None

    def embed(self, clouds: PointClouds, neighbors: Neighbors, *, pos: Tensor | None = None,
              inputs: Tensor | None = None, point_weight: Tensor | None = None,
              edge_weight: Tensor | None = None) -> Tensor:
        """What the last layer makes of each point: what :meth:`classify` sums.

        Args:
            clouds: The clouds.
            neighbors: Their neighbourhoods.
            pos: (points, D) in place of ``clouds.pos``, in its unit.
            inputs: (points, hidden) in place of :meth:`inputs`.
            point_weight: (points,) existence of each point in [0, 1].
            edge_weight: (points, k) factor of each message, on top of :meth:`edge_weight`.

        Returns:
            (points, hidden).
        """
        scaled = (clouds.pos if pos is None else pos) * self.scale
        own = self.edge_weight(scaled, neighbors)
        if own is not None:
            edge_weight = own if edge_weight is None else own * neighbors.at_edges(edge_weight)
        return self.encoder(clouds, neighbors, pos=scaled, inputs=inputs,  # type: ignore[no-any-return]
                            edge_weight=edge_weight, point_weight=point_weight)

    def logits(self, clouds: PointClouds, neighbors: Neighbors, *, pos: Tensor | None = None,
               inputs: Tensor | None = None, point_weight: Tensor | None = None,
               edge_weight: Tensor | None = None) -> Tensor:
        """(clouds, outputs) of the classifier without noise; arguments as for :meth:`embed`."""
        h = self.embed(clouds, neighbors, pos=pos, inputs=inputs, point_weight=point_weight, edge_weight=edge_weight)
        return self.classify(h, clouds)

    def plain(self, clouds: PointClouds, neighbors: Neighbors) -> Output:
        """The classifier on unperturbed clouds: what warm-up trains, and what removal of points is judged by."""
        return Output(self.logits(clouds, neighbors))

    @abstractmethod
    def forward(self, clouds: PointClouds, neighbors: Neighbors, *, epoch: int = 0,
                generator: torch.Generator | None = None) -> Output:
        """One pass with randomness injected; in eval mode masks are their expectation, Gaussian noise is still drawn.

        Args:
            clouds: The clouds.
            neighbors: Their neighbourhoods.
            epoch: Number of joint epochs done, for schedules of the prior.
            generator: Source of the noise; None for PyTorch's own.
        """
