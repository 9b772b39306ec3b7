"""What every objective is: the loss of a batch, and a score of the validation split to choose an epoch by."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from pellucid import families
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.methods.base import Method
from pellucid.neighbors import Neighbors
from pellucid.registry import Registry
from pellucid.spec import DataSpec
from pellucid.training.batches import Batch, Batches
from pellucid.training.config import RunConfig

objectives: Registry[type[Objective]] = families.objectives


@dataclass
class Step:
    """What one training step yields.

    Attributes:
        loss: Scalar to minimise.
        parts: Named scalars for the progress display.
    """

    loss: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)


class Objective(nn.Module, ABC):
    """Base of the objectives; parts that only training needs (heads) are its own submodules.

    Args:
        model: What is trained.
        spec: What its data look like.
    """

    citation: ClassVar[str]
    check: ClassVar[str]
    """The correctness check that its tests make."""
    needs_targets: ClassVar[bool] = True
    """Whether clouds must carry ``y``."""

    def __init__(self, model: Method, spec: DataSpec) -> None:
        super().__init__()
        self.spec = spec

    @classmethod
    def make(cls, model: Method, spec: DataSpec, config: RunConfig) -> Objective:
        """An objective as a configuration has it.

        Args:
            model: What is trained.
            spec: What its data look like.
            config: The run's configuration.

        Raises:
            UnknownNameError: for an option that it does not have.
            PellucidError: for a value that does not fit, or settings of an interpreter that it does not train.
        """
        known = [name for name, p in inspect.signature(cls).parameters.items() if p.kind is p.KEYWORD_ONLY]
        for option in config.objective.options:
            if option not in known:
                raise UnknownNameError(f"option of the objective {config.objective.name}", option, known)
        own = config.training
        if not cls.needs_targets and (own.warmup or own.freeze_classifier or own.retries):
            raise PellucidError("expected training.warmup=0, training.freeze_classifier=false and training.retries=0 "
                                f"for the objective {config.objective.name}, which trains no interpreter, got "
                                f"{own.warmup}, {own.freeze_classifier} and {own.retries}; change them")
        try:
            return cls(model, spec, **dict[str, Any](config.objective.options))
        except TypeError as error:
            raise PellucidError(f"expected fitting options of the objective {config.objective.name}, got "
                                f"{config.objective.options} ({error})") from error

    def evaluate(self, model: Method, batch: Batch, *, joint: bool, epoch: int) -> object:
        """One pass as in validation, from which batch norms take their statistics; see :meth:`step`."""
        return model(*batch, epoch=epoch) if joint else model.plain(*batch)

    def measure(self, model: Method, batches: Batches) -> dict[str, float]:
        """What a split says of a finished model, where there are no targets to measure by."""
        found = self.validate(model, batches, joint=True, epoch=10**6)
        return {name.removeprefix("val_"): value for name, value in found.items() if name != "val_score"}

    @abstractmethod
    def step(self, model: Method, clouds: PointClouds, neighbors: Neighbors, *, joint: bool, epoch: int) -> Step:
        """The loss of one training batch.

        Args:
            model: In training mode.
            clouds: The batch.
            neighbors: Its neighbourhoods.
            joint: Whether the interpreter trains; otherwise the plain classifier.
            epoch: Epochs since the interpreter joined.
        """

    @abstractmethod
    def validate(self, model: Method, batches: Batches, *, joint: bool, epoch: int) -> dict[str, float]:
        """What the validation split says; the model is in eval mode.

        Returns:
            ``val_score``, the higher, the better, by which the epoch is chosen; ``val_loss``, which decides between
            equal scores; and further numbers for the eye.
        """
