"""What every objective is: the loss of a batch, and a score of the validation split to choose an epoch by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from pellucid.clouds import PointClouds
from pellucid.families import objectives as objectives
from pellucid.methods.base import Method
from pellucid.neighbors import Neighbors
from pellucid.spec import DataSpec
from pellucid.training.batches import Batches


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
