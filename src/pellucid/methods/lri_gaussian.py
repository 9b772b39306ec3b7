"""LRI-Gaussian: how far each point may move, and in which directions where the backbone sees any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.backbones.base import Backbone
from pellucid.backbones.edges import geometry
from pellucid.backbones.kernels import perturbed
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.grouping import Grouping
from pellucid.methods.base import Common, NeighborRule, Output, Supports, methods
from pellucid.methods.gaussian import Ellipsoids, Spheres
from pellucid.methods.lri import CITATION, LRI, Interpreter
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom
from pellucid.targets import Targets
from pellucid.views import frames

MOVED_BY = ("surroundings", "own")
"""By which noise a point is moved; see :class:`Location`."""


@dataclass(frozen=True)
class Location:
    """Options of the Gaussian noise.

    Attributes:
        graph_reconstruction: Whether messages are weighted by phi.
        reconstruct: How the moved points' neighbourhoods are made; in the unit of unscaled coordinates. None for the
            rule of the unmoved ones.
        neighbor_distance: Mean distance between neighbours in the unit of the coordinates; phi is scaled by it.
        noise_dim: Number of leading coordinates that noise moves, e.g. 2 for x and y alone; 0 for all.
        frame: The axes that U is told in: ``"lab"``, those of the coordinates, as in the paper; others give each point
            its own (see :data:`pellucid.views.frames`).
        relative: Name of a frame with a length of each point: the prior's standard deviation is 1/c of that length, an
            angle. For layers that see directions (``view``), which the same length harms the more the nearer a point
            is. ``""``: 1/c is a length.
        moved_by: With hops, by which noise a point is moved: ``"surroundings"``, that which it bears of them, or
            ``"own"``, so that only KL and importance are of the surroundings (as in the authors' release).
    """

    graph_reconstruction: bool = True
    reconstruct: NeighborRule | None = None
    neighbor_distance: float = 1.0
    noise_dim: int = 0
    frame: str = "lab"
    relative: str = ""
    moved_by: str = "surroundings"

    def __post_init__(self) -> None:
        if self.moved_by not in MOVED_BY:
            raise PellucidError(f"expected moved_by to be {' or '.join(MOVED_BY)}, got {self.moved_by!r}")
        frames[self.frame]  # refuses an unknown name
        if not isinstance(self.relative, str) or (self.relative and not frames[self.relative].measures):
            having = [name for name in frames if frames[name].measures]
            raise PellucidError(f"expected relative to name a frame with a length ({', '.join(having)}), or nothing, "
                                f"got {self.relative!r}")


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
    c. The neighbourhoods are rebuilt from the moved points, and messages are weighted by phi(distance) so that the
    rebuilt graph has a gradient. Importance is -log det Sigma. In eval mode nothing moves: the prediction is f's of the
    cloud as it is.

    Sigma is only as directional as the backbone. Where layers see directions, Sigma = a1 U U^T + a2 I in the axes of
    the coordinates: turn a cloud, and its axes do not turn with it. Where embeddings do not change when a cloud is
    turned, they cannot tell one direction from another, and Sigma = a I: a radius, and no axes. (The paper has the
    first form in both cases; U then has no relation to the cloud.)

    Args:
        make_backbone: Makes one encoder.
        targets: What is predicted.
        common: Options of every method; ``scale`` is c: the prior's standard deviation is 1/c in the unit of the
            coordinates.
        interpreter: Options of g.
        location: Options of the noise.
    """

    supports = Supports(directions=True, coordinates=True)
    citation = CITATION
    check = "KL and determinant against torch.distributions in float64; sampled covariance equals Sigma"
    importance_name = "location importance, -log det Sigma"
    option_groups: ClassVar[Mapping[str, type]] = {"common": Common, "interpreter": Interpreter,
                                                   "location": Location}
    beta_default = 0.01

    def __init__(self, make_backbone: Callable[[], Backbone], targets: Targets, common: Common | None = None,
                 interpreter: Interpreter | None = None, location: Location | None = None) -> None:
        self.location = location = location or Location()
        if frames[location.frame].own and interpreter is not None and (interpreter.groups or interpreter.hops):
            raise PellucidError("expected the frame lab for groups or hops, whose points share one noise, got "
                                f"{location.frame}")
        self.dim, self.directional = 0, False
        super().__init__(self._remember(make_backbone), targets, common, interpreter)
        self.reconstruct = location.reconstruct or self.rule
        if self.rule.kind == "edges" != self.reconstruct.kind and self.encoder.given is not None:
            raise PellucidError(f"expected the rule edges for moved points too, as edges have features, got "
                                f"{self.reconstruct.kind}; leave method.reconstruct out")
        length = location.neighbor_distance * (self.scale if self.encoder.view == "plain" else 1.0)
        self.phi = DistanceWeight(length) if location.graph_reconstruction else None

    @property
    def sees_coordinates(self) -> bool:
        """See :meth:`Method.sees_coordinates`; phi sees distances, whatever the backbone sees."""
        return self.encoder.sees_coordinates or (self.phi is not None and self.encoder.dim > 0)

    def _remember(self, make_backbone: Callable[[], Backbone]) -> Callable[[], Backbone]:
        """What the noise looks like follows from the backbone, and is needed before the head is made."""
        def make() -> Backbone:
            backbone, wanted = make_backbone(), self.location.noise_dim
            if not 0 <= wanted <= backbone.dim:
                raise PellucidError(f"expected noise_dim from 0 to the {backbone.dim} coordinates, got {wanted}")
            self.dim, self.directional = wanted or backbone.dim, backbone.directions == "coordinates"
            return backbone

        return make

    @classmethod
    def warm_up_kind(cls, options: dict[str, Any]) -> str:
        """With graph reconstruction phi trains as well; see :meth:`Method.warm_up_kind`."""
        return "phi" if options.get("graph_reconstruction", True) else "plain"

    def interpreter_outputs(self) -> int:
        """U (D x D), a1 and a2, or a alone, with D the number of coordinates that noise moves."""
        return self.dim**2 + 2 if self.directional else 1

    def edge_weight(self, pos: Tensor, neighbors: Neighbors) -> Tensor | None:
        """The weights phi of the distances, (points, k); None with graph reconstruction off."""
        if self.phi is None:
            return None
        return self.phi(geometry(self.encoder.place(pos), neighbors).distance.squeeze(-1))  # type: ignore[no-any-return]

    def noise(self, raw: Tensor) -> Ellipsoids | Spheres:
        """The noise of (rows, :meth:`interpreter_outputs`) in scaled coordinates: a row a point or group."""
        if not self.directional:
            return Spheres(F.softplus(raw[:, 0]).clamp(1e-6, 1e6), self.dim)
        a = F.softplus(raw[:, -2:]).clamp(1e-6, 1e6)
        return Ellipsoids(raw[:, :-2].reshape(-1, self.dim, self.dim), a[:, 0], a[:, 1])

    def noise_of(self, raw: Tensor, clouds: PointClouds, neighbors: Neighbors) -> Ellipsoids | Spheres:
        """The noise that the rows bear, over hops and in the axes of the coordinates."""
        return self._framed(self.noise(self.over_hops(raw, lambda rows: self.noise(rows).log_det(), neighbors)), clouds)

    def moving(self, raw: Tensor, borne: Ellipsoids | Spheres, clouds: PointClouds) -> Ellipsoids | Spheres:
        """The noise that moves the rows: ``borne``, or each row's own without hops."""
        if not self.hops or self.location.moved_by == "surroundings":
            return borne
        return self._framed(self.noise(raw), clouds)

    def _framed(self, noise: Ellipsoids | Spheres, clouds: PointClouds) -> Ellipsoids | Spheres:
        frame = frames[self.location.frame]
        return noise.turned(lambda u: frame.turn(u, clouds.pos)) if frame.own else noise

    def move(self, clouds: PointClouds, noise: Tensor) -> tuple[Tensor, Neighbors]:
        """Scaled coordinates with noise (points, D) added, and the neighbourhoods of the moved points."""
        moved = clouds.pos * self.scale + F.pad(noise * self._unit(clouds), (0, self.encoder.dim - self.dim))
        return moved, self.reconstruct(clouds, moved.detach() / self.scale)

    def unmoved(self, clouds: PointClouds, neighbors: Neighbors) -> tuple[Tensor, Neighbors]:
        """As :meth:`move` without noise."""
        same = self.reconstruct == self.rule
        return clouds.pos * self.scale, neighbors if same else self.reconstruct(clouds)

    def drawn(self, noise: Ellipsoids | Spheres, by: Grouping, clouds: PointClouds, random: CloudRandom | None
              ) -> Tensor:
        """(rows, D) a draw; of PyTorch's own numbers, or of each cloud's."""
        if random is None:
            return noise.sample()
        rows, like = by.of_clouds(clouds), clouds.pos
        numbers = random.normal(rows, noise.normals_each * self.dim, like.dtype)
        return noise.sample(numbers.view(-1, noise.normals_each, self.dim).transpose(0, 1))

    def told(self, output: Output, clouds: PointClouds, by: Grouping, noise: Ellipsoids | Spheres) -> Output:
        """The output with where points may move, in the unit of the coordinates; zero where noise moves nothing."""
        unit = self._unit(clouds) / self.scale
        if isinstance(noise, Ellipsoids):
            rest = self.encoder.dim - self.dim
            output.covariance = F.pad(by.spread(noise.covariance()) * unit[:, :, None]**2, (0, rest, 0, rest))
        else:
            output.radius = by.spread(noise.radius()) * unit[:, 0]
        return output

    def _unit(self, clouds: PointClouds) -> Tensor:
        """(points, 1) what a noise of one moves, in scaled coordinates."""
        if not self.location.relative:
            return clouds.pos.new_ones(1, 1)
        return frames[self.location.relative].reach(clouds.pos)

    def forward(self, clouds: PointClouds, neighbors: Neighbors, *, epoch: int = 0,
                random: CloudRandom | None = None) -> Output:
        """One pass, over moved points in training; see :meth:`Method.forward`."""
        by = Grouping(clouds, self.groups)
        raw = by.mean(self.interpret(clouds, neighbors))
        noise = self.noise_of(raw, clouds, neighbors)
        if self.training or random is not None:
            pos, rebuilt = self.move(clouds, by.spread(self.drawn(self.moving(raw, noise, clouds), by, clouds, random)))
        else:
            pos, rebuilt = self.unmoved(clouds, neighbors)
        with perturbed(self.encoder):
            h = self.encoder(clouds, rebuilt, pos=pos, edge_weight=self.edge_weight(pos, rebuilt)).scalars
        log_determinant = noise.log_det()
        kl = noise.kl(log_determinant).sum() / max(by.count, 1)
        output = Output(self.classify(h, clouds), self.beta * kl, -by.spread(log_determinant.detach()),
                        parts={"kl": kl.detach()})
        return output if torch.is_grad_enabled() else self.told(output, clouds, by, noise)
