"""What every post-hoc explainer is: it reads importance from a model that is already trained, and leaves no trace."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.families import explainers as explainers
from pellucid.methods.base import Supports
from pellucid.methods.tasks import Task
from pellucid.neighbors import Neighbors

Need = Literal["pos", "inputs", "point_weight", "edge_weight", "embed"]
"""What an explainer may change or read: coordinates, input embeddings, existence, messages, the last layer."""

WHAT: dict[str, str] = {
    "pos": "a prediction that can be differentiated with respect to coordinates",
    "inputs": "input features or embeddings that can be changed",
    "point_weight": "points whose messages can be weighted",
    "edge_weight": "messages that can be weighted one by one",
    "embed": "a last layer that can be read",
}


@runtime_checkable
class Predictor(Protocol):
    """What can be explained: every :class:`pellucid.methods.Method`, and PyG models in a :class:`PyGPredictor`."""

    task: Task

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
        """(points, width) of the last layer -> (clouds, outputs) logits."""

    def logits(self, clouds: PointClouds, neighbors: Neighbors, *, pos: Tensor | None = None,
               inputs: Tensor | None = None, point_weight: Tensor | None = None,
               edge_weight: Tensor | None = None) -> Tensor:
        """(clouds, outputs) logits, or values for regression."""

    def refuse(self, clouds: PointClouds) -> None:
        """Raises PellucidError if the clouds cannot be used."""


@dataclass
class Attribution:
    """What an explainer says of one batch.

    Attributes:
        importance: (points,).
        columns: More named numbers a point, (points,) each.
        facts: Of the whole batch, e.g. how far an estimate has converged; lists are joined over batches.
    """

    importance: Tensor
    columns: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, list[Any]] = field(default_factory=dict)


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
    needs: ClassVar[frozenset[Need]]
    """What the model must let it do; anything else is refused before work starts."""
    citation: ClassVar[str]
    check: ClassVar[str]
    """The correctness check that its tests make."""
    importance_name: ClassVar[str] = "importance"
    mask: ClassVar[bool] = False
    """Whether importance is a soft mask in [0, 1] that was fitted to keep the prediction."""
    trains: ClassVar[bool] = False
    """Whether :meth:`fit` must be called before."""

    def refuse(self, predictor: Predictor, clouds: PointClouds) -> None:
        """Raises PellucidError where the model or the clouds do not allow this explainer."""
        name = type(self).__name__
        if predictor.task.kind not in self.supports.tasks:
            raise PellucidError(f"expected a task out of {', '.join(self.supports.tasks)} for {name}, got "
                                f"{predictor.task.kind}; choose another explainer")
        for need in sorted(self.needs - predictor.can):
            raise PellucidError(f"expected {WHAT[need]} for {name}, got a model without; choose an explainer that "
                                "does not need it: see pellucid list explainers")
        predictor.refuse(clouds)

    def fit(self, predictor: Predictor, clouds: PointClouds, *, seed: int = 0,  # noqa: B027 - most learn nothing
            advance: Callable[[int, int], None] | None = None) -> None:
        """Learns from training clouds what the explainer needs; nothing for most.

        Args:
            predictor: The trained model, which stays as it is.
            clouds: Training clouds.
            seed: Decides every random number.
            advance: Called with steps done and steps in all.
        """

    @abstractmethod
    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: Tensor,
                  generator: torch.Generator) -> Attribution:
        """Explains one batch; the model is frozen and in eval mode.

        Args:
            predictor: The model.
            clouds: On the model's device.
            neighbors: Their neighbourhoods.
            target: (clouds,) the output that is explained.
            generator: Source of randomness, on the device.
        """

    def explain(self, predictor: Predictor, clouds: PointClouds, *, target: int | None = None, seed: int = 0,
                batch_size: int = 256, advance: Callable[[int, int], None] | None = None,
                provenance: dict[str, Any] | None = None) -> Explanation:
        """Explains clouds.

        Args:
            predictor: The model; unchanged afterwards.
            clouds: What to explain.
            target: The output to explain; None for the predicted class of a multi-class model, else output 0.
            seed: Decides every random number.
            batch_size: Clouds a batch.
            advance: Called with clouds done and clouds in all.
            provenance: Goes into the explanation.

        Returns:
            Explanation of all clouds, on the CPU.

        Raises:
            PellucidError: if the model or the clouds do not allow this explainer, it was not fitted, or an importance
                is not finite.
        """
        self.refuse(predictor, clouds)
        if batch_size < 1:
            raise PellucidError(f"expected at least 1 cloud a batch, got {batch_size}")
        if target is not None and not 0 <= target < predictor.task.outputs:
            raise PellucidError(f"expected an output from 0 to {predictor.task.outputs - 1} to explain, got {target}")
        device = device_of(predictor)
        generator = torch.Generator(device).manual_seed(seed)
        bare = clouds.without_text().to(device)
        parts: list[Attribution] = []
        predictions: list[Tensor] = []
        with frozen(predictor):
            for start in range(0, len(bare), batch_size):
                batch = bare.select(torch.arange(start, min(start + batch_size, len(bare)), device=device))
                neighbors = predictor.neighbors(batch)
                with torch.no_grad():
                    logits = predictor.logits(batch, neighbors)
                predictions.append(predictor.task.predict(logits).cpu())
                parts.append(self.attribute(predictor, batch, neighbors, _target(predictor.task, logits, target),
                                            generator))
                if advance is not None:
                    advance(min(start + batch_size, len(bare)), len(bare))
        facts: dict[str, list[Any]] = {}
        for part in parts:
            for name, values in part.facts.items():
                facts.setdefault(name, []).extend(values)
        about = {"explainer": type(self).__name__, "seed": seed, **facts, **(provenance or {})}
        columns = {name: joined([p.columns[name] for p in parts]) for name in (parts[0].columns if parts else {})}
        prediction = torch.cat(predictions) if predictions else torch.zeros(0, predictor.task.outputs)
        return Explanation(clouds.to("cpu"), prediction, joined([p.importance for p in parts]), self.importance_name,
                           provenance=about, columns=columns)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Batches joined on the CPU."""
    return torch.cat([part.detach().cpu() for part in parts]) if parts else torch.zeros(0)


def device_of(predictor: Predictor) -> torch.device:
    """Where the model is."""
    first = next(predictor.parameters(), None) if isinstance(predictor, nn.Module) else None
    return torch.device("cpu") if first is None else first.device


def _target(task: Task, logits: Tensor, target: int | None) -> Tensor:
    if target is None and task.kind == "multiclass":
        return logits.argmax(1)
    return torch.full((len(logits),), target or 0, device=logits.device)


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
