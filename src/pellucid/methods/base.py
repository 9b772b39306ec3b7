"""What every inherently interpretable method is: a model whose training also learns what is important."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor, nn

from pellucid import families
from pellucid.backbones.base import Backbone, Embedding
from pellucid.clouds import PointClouds
from pellucid.edges import given_edges
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.methods.readout import Answer, CloudReadoutKind, Readout
from pellucid.neighbors import Neighbors, knn, radius
from pellucid.randomness import CloudRandom
from pellucid.registry import Registry
from pellucid.targets import Kind, Targets
from pellucid.views import seen

methods: Registry[type[Method]] = families.methods


@dataclass(frozen=True)
class NeighborRule:
    """How neighbourhoods are made.

    Attributes:
        kind: ``"knn"``, ``"radius"``, or ``"edges"``: those that clouds give in ``edge_index``, wherever points are.
        value: k, or the radius in the unit of the coordinates; nothing for given edges.
        loop: Whether a point is its own neighbour.
        view: As what coordinates are seen before distances are taken; see :func:`pellucid.views.seen`.
        undirected: Whether a given edge is heard in both directions; see :func:`pellucid.edges.given_edges`.
    """

    kind: Literal["knn", "radius", "edges"] = "knn"
    value: float = 5
    loop: bool = True
    view: str = "plain"
    undirected: bool = True

    def __post_init__(self) -> None:
        if self.kind not in ("knn", "radius", "edges") or not self.value > 0:
            raise PellucidError(f"expected a knn, radius or edges rule with a positive value, got {self.kind} "
                                f"{self.value}")
        if self.kind == "knn" and not float(self.value).is_integer():
            raise PellucidError(f"expected a whole number of neighbours, got {self.value}")

    def refuse(self, clouds: PointClouds) -> None:
        """Raises PellucidError if the clouds lack what neighbourhoods are made from."""
        if self.kind == "edges" and "edge_index" not in clouds:
            raise PellucidError(f"expected given edges (a field edge_index) for the rule edges, got only "
                                f"{', '.join(clouds.names)}; add them, or choose the rule knn or radius")
        if self.kind != "edges" and "pos" not in clouds:
            raise PellucidError(f"expected coordinates for the rule {self.kind}, got clouds without; set "
                                "method.rule.kind to edges, or add a field pos")

    def __call__(self, clouds: PointClouds, pos: Tensor | None = None) -> Neighbors:
        """Neighbourhoods of the points of clouds.

        Args:
            clouds: The clouds.
            pos: (points, D) in place of ``clouds.pos``, e.g. moved; nothing for given edges.

        Raises:
            PellucidError: as :meth:`refuse`.
        """
        if pos is None or self.kind == "edges":
            self.refuse(clouds)
        if self.kind == "edges":
            return given_edges(clouds, loop=self.loop, undirected=self.undirected)
        at = seen(clouds.pos if pos is None else pos, self.view)
        if self.kind == "knn":
            return knn(at, clouds.ptr, int(self.value), loop=self.loop)
        return radius(at, clouds.ptr, self.value, loop=self.loop)


@dataclass(frozen=True)
class Supports:
    """What a method can be used for; anything else is refused before work starts.

    Attributes:
        kinds: Of targets.
        levels: Of targets.
        importance: Whether it learns importance, whatever the readout.
        directions: Whether it says in which directions a point may move, where the backbone sees any.
        coordinates: Whether it needs coordinates, and a backbone that sees them.
        origin: Whether its predictions depend on where the origin lies, even if the backbone's embeddings do not.
    """

    kinds: tuple[Kind, ...] = ("binary", "multiclass", "regression")
    levels: tuple[str, ...] = ("cloud", "point")
    importance: bool = True
    directions: bool = False
    coordinates: bool = False
    origin: bool = False


@dataclass
class Output:
    """What one pass yields.

    Attributes:
        logits: (clouds, outputs), or (points, outputs) for targets of points.
        penalty: Scalar regulariser, already weighted; None where there is none.
        importance: (points,); None where there is none, or where it is :meth:`Method.contributions`.
        covariance: (points, D, D) in the squared unit of ``clouds.pos``, or None.
        radius: (points,) standard deviation in every direction that noise moves, in the unit of ``clouds.pos``, where a
            point may move alike in all of them; else None.
        parts: Named scalars for the progress display.
        columns: More named numbers a point, (points,) each.
    """

    logits: Tensor
    penalty: Tensor | None = None
    importance: Tensor | None = None
    covariance: Tensor | None = None
    radius: Tensor | None = None
    parts: dict[str, Tensor] = field(default_factory=dict)
    columns: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Common:
    """Options of every method.

    Attributes:
        scale: Constant c that multiplies coordinates before anything else (paper, appendix C).
        dropout: Probability in the heads.
        rule: How neighbourhoods are made, in the unit of the unscaled coordinates.
        readout: ``"pooled"``, ``"additive"`` or ``"interacting"``; see :class:`pellucid.methods.readout.Readout`.
            Targets of points are read at each point in any case.
        points: How many points a sample has on average; see there.
    """

    scale: float = 1.0
    dropout: float = 0.2
    rule: NeighborRule = NeighborRule()
    readout: CloudReadoutKind = "pooled"
    points: float = 1.0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise PellucidError(f"expected a positive coordinate scale c, got {self.scale}")
        if not self.points > 0:
            raise PellucidError(f"expected a positive mean number of points, got {self.points}")
        if self.readout not in get_args(CloudReadoutKind):
            raise PellucidError(f"expected a readout out of {', '.join(get_args(CloudReadoutKind))}, got "
                                f"{self.readout!r}")


class Method(nn.Module, ABC):
    """Base of the methods that train a model: an encoder and a readout.

    Args:
        make_backbone: Makes one encoder; called twice when encoders are not shared.
        targets: What is predicted.
        common: Options of every method.
    """

    supports: ClassVar[Supports] = Supports()
    citation: ClassVar[str]
    check: ClassVar[str]
    """The correctness check that the method's tests make."""
    importance_name: str = "importance"
    importance_columns: ClassVar[tuple[str, ...]] = ()
    """Columns of :class:`Output` that are importances of their own, the larger, the more important."""
    option_groups: ClassVar[Mapping[str, type]] = {"common": Common}
    """Argument of the class -> dataclass of its options. Names of options differ between all groups of a method."""

    def __init__(self, make_backbone: Callable[[], Backbone], targets: Targets, common: Common | None = None) -> None:
        super().__init__()
        common = common or Common()
        for target in targets:
            if target.kind not in self.supports.kinds:
                raise PellucidError(f"expected targets out of {', '.join(self.supports.kinds)}, got the {target.kind} "
                                    f"{target.name!r}; choose another method")
        if targets.level not in self.supports.levels:
            raise PellucidError(f"expected targets of a {' or '.join(self.supports.levels)}, got targets of a "
                                f"{targets.level}; choose another method")
        self.targets, self.scale, self.rule = targets, common.scale, common.rule
        self.encoder = make_backbone()
        self.readout = Readout(self.encoder.width, targets.outputs, common.dropout,
                               "pointwise" if targets.level == "point" else common.readout, common.points)
        self.partner: nn.Module | None = None

    @classmethod
    def make(cls, make_backbone: Callable[[], Backbone], targets: Targets, **options: Any) -> Method:
        """A method from flat options, as configurations have them.

        Args:
            make_backbone: See above.
            targets: See above.
            **options: Fields of the dataclasses in :attr:`option_groups`.

        Raises:
            UnknownNameError: for an option that none of them has.
            PellucidError: for a value that does not fit.
        """
        places = cls.known_options()
        given: dict[str, dict[str, Any]] = {}
        for name, value in options.items():
            if name not in places:
                raise UnknownNameError(f"option of {cls.__name__}", name, places)
            given.setdefault(places[name], {})[name] = value
        return cls(make_backbone, targets, **{group: cls.option_groups[group](**own) for group, own in given.items()})

    @classmethod
    def known_options(cls) -> dict[str, str]:
        """Option -> the group that has it."""
        return {entry.name: group for group, kind in cls.option_groups.items() for entry in fields(kind)}

    @property
    def can(self) -> frozenset[str]:
        """What post-hoc explainers may change or read; see :mod:`pellucid.explainers.base`."""
        every = frozenset({"inputs", "point_weight", "edge_weight", "embed"})
        more = {"pos": self.sees_coordinates, "added": self.encoder.residual}
        return every | {name for name, there in more.items() if there}

    @property
    def sees_coordinates(self) -> bool:
        """Whether a prediction depends on coordinates in other ways than through who neighbours are."""
        return self.encoder.sees_coordinates

    @property
    def explains(self) -> bool:
        """Whether a pass yields importance."""
        return self.supports.importance

    @property
    def signed(self) -> bool:
        """Whether importance is a signed contribution to each output; :meth:`contributions` gives it."""
        return False

    def contributions(self, clouds: PointClouds, neighbors: Neighbors, outputs: Sequence[int] | None = None) -> Tensor:
        """What each point adds to each logit, signs included, of a method that is :attr:`signed`.

        Args:
            clouds: The clouds.
            neighbors: Their neighbourhoods.
            outputs: Which outputs, one at least; None for all.

        Returns:
            (points, outputs), which with :meth:`Readout.baseline` sum to the logits of each cloud.

        Raises:
            PellucidError: of a method that is not signed.
        """
        raise PellucidError(f"expected a method whose importance is contributions, got {type(self).__name__}; choose "
                            "erm with method.readout=interacting")

    def add_partner(self, make_partner: Callable[[], nn.Module]) -> None:
        """Makes it a method for samples of two clouds, whose pooled embeddings add up (paper, section 5.4).

        Args:
            make_partner: Makes one :class:`pellucid.methods.partner.PartnerEncoder`; called twice when f and g do not
                share encoders.

        Raises:
            PellucidError: for a readout that does not pool.
        """
        if self.readout.kind != "pooled":
            raise PellucidError(f"expected a pooled readout for samples of two clouds, got {self.readout.kind}")
        self.partner = make_partner()

    def refuse(self, clouds: PointClouds) -> None:
        """Raises PellucidError if the clouds cannot be used with this method."""
        if (clouds.partner is None) != (self.partner is None):
            expected, got = ("one cloud", "two") if self.partner is None else ("two clouds", "one")
            raise PellucidError(f"expected samples of {expected}, as the model was trained on, got {got}; give samples "
                                "of the same kind")
        dim = self.encoder.dim
        if self.supports.coordinates and not (dim and "pos" in clouds):
            others = ", ".join(name for name in methods if not methods[name].supports.coordinates)
            raise PellucidError(f"expected clouds with coordinates for {type(self).__name__}, got clouds without; "
                                f"choose a method that needs none: {others}")
        if self.supports.coordinates and not self.sees_coordinates:
            raise PellucidError(f"expected a backbone that sees coordinates for {type(self).__name__}, got "
                                f"{type(self.encoder).__name__}; choose another backbone, or another method")
        if dim and ("pos" not in clouds or clouds.pos.shape[1] != dim):
            got = f"{clouds.pos.shape[1]}" if "pos" in clouds else "none"
            raise PellucidError(f"expected coordinates of dimension {dim}, got {got}")
        self.rule.refuse(clouds)
        clouds.check_finite()

    def neighbors(self, clouds: PointClouds) -> Neighbors:
        """The neighbourhoods of unperturbed clouds."""
        return self.rule(clouds)

    def answer(self, h: Tensor, clouds: PointClouds, *, shares: bool = False, weight: Tensor | None = None) -> Answer:
        """(points, hidden) -> what the readout says of them and of second clouds; see :meth:`Readout.forward`."""
        partner = None if self.partner is None else self.partner(clouds)
        return self.readout(h, clouds, partner, shares=shares, weight=weight)  # type: ignore[no-any-return]

    def classify(self, h: Tensor, clouds: PointClouds) -> Tensor:
        """(points, hidden) -> logits, as in :class:`Output`."""
        return self.answer(h, clouds).logits

    def freeze_classifier(self) -> None:
        """Leaves only what learns importance to be trained.

        Raises:
            PellucidError: if the method has no part of its own for that.
        """
        raise PellucidError(f"expected a method whose interpreter can train alone, got {type(self).__name__}; use "
                            "lri-bernoulli or lri-gaussian with method.options.shared=false")

    def draw_interpreter(self) -> list[nn.Parameter]:
        """Draws what learns importance anew, from torch's generator.

        Returns:
            Its parameters.

        Raises:
            PellucidError: if the method has no part of its own for that.
        """
        raise PellucidError(f"expected a method with an interpreter for training.retries, got {type(self).__name__}; "
                            "set it to 0")

    def join(self) -> None:
        """What happens once, after the warm-up and before the interpreter trains; nothing for most.

        A training that goes on from a checkpoint calls it only if the interpreter had not joined before.
        """

    @classmethod
    def warm_up_kind(cls, options: dict[str, Any]) -> str:
        """What the warm-up trains: methods with the same answer have the same classifier after it."""
        return "plain"

    def inputs(self, clouds: PointClouds) -> Tensor:
        """(points, hidden) what the layers start from: the embedding of categories and features."""
        return self.encoder.encode(clouds)

    def scaled(self, clouds: PointClouds, pos: Tensor | None = None) -> Tensor | None:
        """(points, D) coordinates multiplied by c; None for clouds without.

        Args:
            clouds: The clouds.
            pos: (points, D) in place of ``clouds.pos``.
        """
        if self.encoder.dim == 0:
            return None
        return (clouds.pos if pos is None else pos) * self.scale

    def edge_weight(self, pos: Tensor, neighbors: Neighbors) -> Tensor | None:
        """(points, k) weights of the messages at scaled coordinates, where the method has any."""
        return None

    def encode(self, clouds: PointClouds, neighbors: Neighbors, *, pos: Tensor | None = None,
               inputs: Tensor | None = None, point_weight: Tensor | None = None,
               edge_weight: Tensor | None = None) -> Embedding:
        """What the encoder makes of each point.

        Args:
            clouds: The clouds.
            neighbors: Their neighbourhoods.
            pos: (points, D) in place of ``clouds.pos``, in its unit.
            inputs: (points, hidden) in place of :meth:`inputs`.
            point_weight: (points,) existence of each point in [0, 1].
            edge_weight: (points, k) factor of each message, on top of :meth:`edge_weight`.
        """
        scaled = self.scaled(clouds, pos)
        own = None if scaled is None else self.edge_weight(scaled, neighbors)
        if own is not None:
            edge_weight = own if edge_weight is None else own * neighbors.at_edges(edge_weight)
        return self.encoder(clouds, neighbors, pos=scaled, inputs=inputs,  # type: ignore[no-any-return]
                            edge_weight=edge_weight, point_weight=point_weight)

    def embed(self, clouds: PointClouds, neighbors: Neighbors, *, pos: Tensor | None = None,
              inputs: Tensor | None = None, point_weight: Tensor | None = None,
              edge_weight: Tensor | None = None) -> Tensor:
        """(points, hidden) scalars of the last layer: what :meth:`classify` reads; arguments as for :meth:`encode`."""
        return self.encode(clouds, neighbors, pos=pos, inputs=inputs, point_weight=point_weight,
                           edge_weight=edge_weight).scalars

    def added(self, clouds: PointClouds, neighbors: Neighbors) -> Tensor:
        """(points, hidden) what the last layer adds, the last columns of :meth:`embed` being what comes of it."""
        added = self.encode(clouds, neighbors).added
        if added is None:
            raise PellucidError(f"expected a backbone whose last layer adds to what comes before it, got "
                                f"{type(self.encoder).__name__}; choose another backbone")
        return added

    def logits(self, clouds: PointClouds, neighbors: Neighbors, *, pos: Tensor | None = None,
               inputs: Tensor | None = None, point_weight: Tensor | None = None,
               edge_weight: Tensor | None = None) -> Tensor:
        """Logits of the classifier without noise, as in :class:`Output`; arguments as for :meth:`encode`."""
        h = self.embed(clouds, neighbors, pos=pos, inputs=inputs, point_weight=point_weight, edge_weight=edge_weight)
        return self.classify(h, clouds)

    def plain(self, clouds: PointClouds, neighbors: Neighbors) -> Output:
        """The classifier on unperturbed clouds: what warm-up trains, and what removal of points is judged by."""
        return Output(self.logits(clouds, neighbors))

    @abstractmethod
    def forward(self, clouds: PointClouds, neighbors: Neighbors, *, epoch: int = 0,
                random: CloudRandom | None = None) -> Output:
        """One pass: with randomness injected in training; in eval mode without, which is the prediction.

        Args:
            clouds: The clouds.
            neighbors: Their neighbourhoods.
            epoch: Number of joint epochs done, for schedules of the prior.
            random: In eval mode: injects noise all the same, drawn from here, to see how far it moves the prediction.
        """
