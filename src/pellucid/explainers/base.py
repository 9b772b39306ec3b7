"""What every post-hoc explainer is: it reads importance from a model that is already trained, and leaves no trace."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pellucid import families
from pellucid.backbones.kernels import segment_sum
from pellucid.clouds import Field, PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.methods.base import Supports
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom
from pellucid.registry import Registry
from pellucid.targets import Targets

explainers: Registry[type[Explainer]] = families.explainers

Need = Literal["pos", "inputs", "point_weight", "edge_weight", "embed", "added"]
"""What an explainer may change or read: coordinates, input embeddings, existence, messages, last layer, its part."""

WHAT: dict[str, str] = {
    "pos": "a prediction that can be differentiated with respect to coordinates",
    "inputs": "input features or embeddings that can be changed",
    "point_weight": "points whose messages can be weighted",
    "edge_weight": "messages that can be weighted one by one",
    "embed": "a last layer that can be read",
    "added": "a last layer whose part in a residual sum can be read",
}


@runtime_checkable
class Predictor(Protocol):
    """What can be explained: every :class:`pellucid.methods.Method`, and PyG models in a :class:`PyGPredictor`."""

    targets: Targets

    @property
    def can(self) -> frozenset[str]:
        """Which of :data:`Need` it has."""

    def neighbors(self, clouds: PointClouds) -> Neighbors:
        """Neighbourhoods of clouds."""

    def inputs(self, clouds: PointClouds) -> Tensor:
        """(points, width) what the layers start from."""

    def embed(self, clouds: PointClouds, neighbors: Neighbors, *, pos: Tensor | None = None,
              inputs: Tensor | None = None, point_weight: Tensor | None = None,
              edge_weight: Tensor | None = None) -> Tensor:
        """(points, width) of the last layer."""

    def classify(self, h: Tensor, clouds: PointClouds) -> Tensor:
        """(points, width) of the last layer -> logits as :meth:`logits` gives them."""

    def logits(self, clouds: PointClouds, neighbors: Neighbors, *, pos: Tensor | None = None,
               inputs: Tensor | None = None, point_weight: Tensor | None = None,
               edge_weight: Tensor | None = None) -> Tensor:
        """(clouds, outputs) logits, or values for regression; (points, outputs) for targets of points."""

    def refuse(self, clouds: PointClouds) -> None:
        """Raises PellucidError if the clouds cannot be used."""


class ResidualPredictor(Predictor, Protocol):
    """A predictor that has the need ``added``."""

    def added(self, clouds: PointClouds, neighbors: Neighbors) -> Tensor:
        """(points, F) what the last layer adds to the last F columns of :meth:`embed`."""


@dataclass
class Attribution:
    """What an explainer says of one batch.

    Attributes:
        importance: (points,).
        columns: More named numbers a point, (points,) each; of a signed explainer in the unit of its importance.
        facts: Of each cloud, e.g. how far an estimate has converged; lists are joined over batches. Floats of a signed
            explainer are in the unit of its importance.
    """

    importance: Tensor
    columns: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ready:
    """A batch with what every explainer needs of it, so that several can share it; from :func:`ready`.

    Attributes:
        clouds: On the model's device.
        neighbors: Their neighbourhoods.
        prediction: (clouds, outputs) or (points, outputs), on the CPU, as :meth:`pellucid.targets.Targets.predict`.
        explained: (clouds,) the output that is explained.
    """

    clouds: PointClouds
    neighbors: Neighbors
    prediction: Tensor
    explained: Tensor


ASKED = "asked"
"""Field of the points whose predictions are explained, where targets are of points."""


class OfClouds(nn.Module):
    """A predictor of points as one of clouds, so that every explainer works on it: the mean over asked points.

    Args:
        predictor: Whose targets are of points.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor: Any = predictor
        self.targets = predictor.targets

    @property
    def can(self) -> frozenset[str]:
        """As the predictor."""
        return self.predictor.can  # type: ignore[no-any-return]

    def neighbors(self, clouds: PointClouds) -> Neighbors:
        """As the predictor."""
        return self.predictor.neighbors(clouds)  # type: ignore[no-any-return]

    def inputs(self, clouds: PointClouds) -> Tensor:
        """As the predictor."""
        return self.predictor.inputs(clouds)  # type: ignore[no-any-return]

    def embed(self, clouds: PointClouds, neighbors: Neighbors, **changed: Tensor | None) -> Tensor:
        """As the predictor."""
        return self.predictor.embed(clouds, neighbors, **changed)  # type: ignore[no-any-return]

    def added(self, clouds: PointClouds, neighbors: Neighbors) -> Tensor:
        """As the predictor."""
        return self.predictor.added(clouds, neighbors)  # type: ignore[no-any-return]

    def classify(self, h: Tensor, clouds: PointClouds) -> Tensor:
        """(clouds, outputs): mean logits over the points that are asked about; 0 where none of them is there."""
        return self._mean(self.predictor.classify(h, clouds), clouds)

    def logits(self, clouds: PointClouds, neighbors: Neighbors, **changed: Tensor | None) -> Tensor:
        """As :meth:`classify`."""
        return self._mean(self.predictor.logits(clouds, neighbors, **changed), clouds)

    def refuse(self, clouds: PointClouds) -> None:
        """As the predictor."""
        self.predictor.refuse(clouds)

    def _mean(self, logits: Tensor, clouds: PointClouds) -> Tensor:
        asked = clouds[ASKED].to(logits.dtype)[:, None]
        return segment_sum(logits * asked, clouds.ptr) / segment_sum(asked, clouds.ptr).clamp(min=1)


@contextlib.contextmanager
def frozen(predictor: Predictor | nn.Module) -> Iterator[None]:
    """Eval mode, and parameters without gradient, while explaining; everything is as before afterwards."""
    if not isinstance(predictor, nn.Module):
        yield
        return
    modes = [(module, module.training) for module in predictor.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in predictor.parameters()]
    try:
        predictor.eval()
        for parameter, _ in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires in wanted:
            parameter.requires_grad_(requires)


class Explainer(ABC):
    """Base of the post-hoc explainers.

    Nothing is injected into the model: coordinates, input embeddings and weights are arguments, gradients are asked
    for these alone, and modes and flags are put back.
    """

    supports: ClassVar[Supports] = Supports()
    needs: frozenset[Need]
    """What the model must let it do, of the class or as its options say; anything else is refused first."""
    needs_one_of: frozenset[Need] = frozenset()
    """Of which any one will do."""
    citation: ClassVar[str]
    check: ClassVar[str]
    """The correctness check that its tests make."""
    importance_name: ClassVar[str] = "importance"
    signed: ClassVar[bool] = False
    """Whether importance is a share of the logit: what raises it positive, what lowers it negative."""
    mask: ClassVar[bool] = False
    """Whether importance is a soft mask in [0, 1] that was fitted to keep the prediction."""
    asks: ClassVar[bool] = True
    """Whether it looks at the model at all; a baseline does not."""
    trains: ClassVar[bool] = False
    """Whether :meth:`fit` must be called before."""

    def refuse(self, predictor: Predictor, clouds: PointClouds) -> None:
        """Raises PellucidError where the model or the clouds do not allow this explainer."""
        name = type(self).__name__
        for target in predictor.targets:
            if target.kind not in self.supports.kinds:
                raise PellucidError(f"expected targets out of {', '.join(self.supports.kinds)} for {name}, got the "
                                    f"{target.kind} {target.name!r}; choose another explainer")
        missing = self.needs - predictor.can
        if self.needs_one_of and not self.needs_one_of & predictor.can:
            missing |= self.needs_one_of
        for need in sorted(missing):
            raise PellucidError(f"expected {WHAT[need]} for {name}, got a model without; choose an explainer that "
                                "does not need it: see pellucid list explainers")
        predictor.refuse(clouds)

    def fit(self, predictor: Predictor, clouds: PointClouds, *,  # noqa: B027 - most learn nothing
            target: str | int | None = None, seed: int = 0, advance: Callable[[int, int], None] | None = None) -> None:
        """Learns from training clouds what the explainer needs; nothing for most.

        Args:
            predictor: The trained model, which stays as it is.
            clouds: Training clouds.
            target: The output that will be explained; see :meth:`explain`.
            seed: Decides every random number.
            advance: Called with steps done and steps in all.
        """

    @abstractmethod
    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: Tensor,
                  random: CloudRandom) -> Attribution:
        """Explains one batch; the model is frozen and in eval mode.

        Args:
            predictor: The model.
            clouds: On the model's device.
            neighbors: Their neighbourhoods.
            target: (clouds,) the output that is explained.
            random: Source of randomness: each cloud's own, by its content, so that what else is in the batch does not
                matter.
        """

    def explain(self, predictor: Predictor, clouds: PointClouds, *, target: str | int | None = None,
                point: int | None = None, seed: int = 0, batch_size: int = 256,
                advance: Callable[[int, int], None] | None = None, provenance: dict[str, Any] | None = None,
                batches: Sequence[Ready] | None = None) -> Explanation:
        """Explains clouds.

        Args:
            predictor: The model; unchanged afterwards.
            clouds: What to explain.
            target: The output to explain, by name or number; see :meth:`pellucid.targets.Targets.find`. None for the
                first target; a multi-class target without a class means the one predicted.
            point: Where targets are of points: the place in its cloud of the point whose prediction is explained; None
                for the mean over all points.
            seed: Decides every random number.
            batch_size: Clouds a batch.
            advance: Called with clouds done and clouds in all.
            provenance: Goes into the explanation.
            batches: The clouds from :func:`ready`, with the same target and point, where they are there already.

        Returns:
            Explanation of all clouds, on the CPU.

        Raises:
            PellucidError: if the model or the clouds do not allow this explainer, it was not fitted, or an importance
                is not finite.
        """
        self.refuse(predictor, clouds)
        if batch_size < 1:
            raise PellucidError(f"expected at least 1 cloud a batch, got {batch_size}")
        targets = predictor.targets
        model = OfClouds(predictor) if targets.level == "point" else predictor
        parts: list[Attribution] = []
        predictions, found = [clouds.ptr.new_zeros(0, targets.outputs).float().cpu()], [clouds.ptr.new_zeros(0).cpu()]
        done = 0
        with frozen(predictor):
            for batch in ready(predictor, clouds, target=target, point=point,
                               batch_size=batch_size) if batches is None else batches:
                predictions.append(batch.prediction)
                found.append(batch.explained.cpu())
                parts.append(self.attribute(model, batch.clouds, batch.neighbors, batch.explained,
                                            CloudRandom(batch.clouds, seed)))
                done += len(batch.clouds)
                if advance is not None:
                    advance(done, len(clouds))
        explained, importance = torch.cat(found), joined([p.importance for p in parts])
        columns = {name: joined([p.columns[name] for p in parts]) for name in (parts[0].columns if parts else {})}
        facts: dict[str, list[Any]] = {}
        for part in parts:
            for name, values in part.facts.items():
                facts.setdefault(name, []).extend(values)
        if self.signed:  # what the explainer gives is in logits; a regression's logit is in units of its spread
            unit = torch.tensor(targets.scale(), dtype=torch.float64)[explained]
            each = unit[clouds.batch.cpu()].to(importance.dtype)
            importance, columns = importance * each, {name: column * each for name, column in columns.items()}
            facts = {name: [v * u if isinstance(v, float) else v for v, u in zip(values, unit.tolist(), strict=True)]
                     for name, values in facts.items()}
        about = {"explainer": type(self).__name__, "seed": seed, **facts, **(provenance or {})}
        return Explanation(clouds.to("cpu"), torch.cat(predictions[1:] or predictions), importance,
                           self.importance_name, provenance=about, columns=columns, targets=targets,
                           explained=explained, shared=False, signed=self.signed)


def ready(predictor: Predictor, clouds: PointClouds, *, target: str | int | None = None, point: int | None = None,
          batch_size: int = 256) -> Iterator[Ready]:
    """Batches of clouds with their neighbourhoods and predictions; arguments as of :meth:`Explainer.explain`."""
    targets, device = predictor.targets, device_of(predictor)
    asked = targets.find(target)
    model, bare = of_clouds(predictor, clouds.without_text().to(device), point)
    for start in range(0, len(bare), batch_size):
        batch = bare.select(torch.arange(start, min(start + batch_size, len(bare)), device=device))
        with torch.no_grad(), frozen(predictor):
            neighbors = predictor.neighbors(batch)
            logits = predictor.logits(batch, neighbors)
            explained = targets.explained(asked, logits if model is predictor else model.logits(batch, neighbors))
        yield Ready(batch, neighbors, targets.predict(logits).cpu(), explained)


def of_clouds(predictor: Predictor, clouds: PointClouds, point: int | None = None
              ) -> tuple[Predictor, PointClouds]:
    """A predictor whose targets are of points, with its clouds, as explainers take them; others as they are.

    Args:
        predictor: The model.
        clouds: What is explained.
        point: See :meth:`Explainer.explain`.

    Raises:
        PellucidError: for a point where targets are of clouds, or one that a cloud does not have.
    """
    if predictor.targets.level == "point":
        marked = clouds.with_field(ASKED, Field("point", "bool"), _asked(clouds, point))
        return OfClouds(predictor), marked
    if point is not None:
        raise PellucidError(f"expected a model whose targets are of points to explain point {point}, got targets of "
                            "clouds; leave the point out")
    return predictor, clouds


def _asked(clouds: PointClouds, point: int | None) -> Tensor:
    """(points,) bool, the points whose predictions are explained."""
    if point is None:
        return torch.ones(clouds.points, dtype=torch.bool, device=clouds.device)
    least = int(clouds.sizes.min()) if len(clouds) else 0
    if not 0 <= point < least:
        raise PellucidError(f"expected a point from 0 to {least - 1}, which all clouds have, got {point}" if least else
                            f"expected clouds that all have points to explain point {point}, got one without or none")
    asked = torch.zeros(clouds.points, dtype=torch.bool, device=clouds.device)
    asked[clouds.ptr[:-1] + point] = True
    return asked


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Batches joined on the CPU."""
    return torch.cat([part.detach().cpu() for part in parts]) if parts else torch.zeros(0)


def device_of(predictor: Predictor) -> torch.device:
    """Where the model is."""
    first = next(predictor.parameters(), None) if isinstance(predictor, nn.Module) else None
    return torch.device("cpu") if first is None else first.device


def chosen(logits: Tensor, target: Tensor) -> Tensor:
    """(clouds,) the logit that is explained."""
    return logits.gather(1, target[:, None]).squeeze(1)


def gradient(output: Tensor, of: Tensor, what: str) -> Tensor:
    """Gradient of the sum of ``output``, zero where nothing depends.

    Raises:
        PellucidError: if the output cannot be differentiated with respect to ``of``.
    """
    if not output.requires_grad:
        raise PellucidError(f"expected a prediction that depends differentiably on the {what}, got one that does not; "
                            "use an explainer without gradients, e.g. occlusion")
    (grad,) = torch.autograd.grad(output.sum(), of, allow_unused=True)
    if grad is None:
        raise PellucidError(f"expected a prediction that depends differentiably on the {what}, got one that does not; "
                            "use an explainer without gradients, e.g. occlusion")
    return grad
