"""What is predicted: the loss, the prediction and the shape of the output follow from the task alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import PellucidError

Kind = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True)
class Task:
    """A prediction task.

    Attributes:
        kind: ``"binary"`` (one or more yes/no targets), ``"multiclass"`` (one class index) or ``"regression"``.
        outputs: Targets for binary and regression, classes for multiclass.
        center: For regression: the target that an output of 0 means.
        spread: For regression: by how much the target rises with an output; losses and logits are in this unit.

    Example:
        >>> Task("binary", 1).loss(torch.zeros(2, 1), torch.tensor([[1.0], [float("nan")]])).item()
        0.6931471824645996
    """

    kind: Kind
    outputs: int = 1
    center: float = 0.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("binary", "multiclass", "regression"):
            raise PellucidError(f"expected a task out of binary, multiclass, regression, got {self.kind!r}")
        if self.outputs < (2 if self.kind == "multiclass" else 1):
            raise PellucidError(f"expected enough outputs for a {self.kind} task, got {self.outputs}")
        if not self.spread > 0 or (self.kind != "regression" and (self.center, self.spread) != (0.0, 1.0)):
            raise PellucidError(f"expected a positive spread, and center 0 and spread 1 unless the task is regression, "
                                f"got {self.center} and {self.spread}")

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Mean loss over the targets that are there (NaN = missing).

        Args:
            logits: (clouds, outputs).
            y: (clouds, outputs), or (clouds, 1) class indices for multiclass.

        Returns:
            Scalar: binary cross-entropy, cross-entropy, or squared error in units of ``spread``; 0 if no target is
            there.
        """
        self._check(logits, y)
        known = ~y.isnan()
        if self.kind == "multiclass":
            known = known[:, 0]
            target = torch.where(known, y[:, 0], 0).long()
            each = F.cross_entropy(logits, target, reduction="none")
        else:
            target = torch.where(known, y, 0)
            if self.kind == "binary":
                each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
            else:
                each = (logits - (target - self.center) / self.spread).square()
        return (each * known).sum() / known.sum().clamp(min=1)

    def _check(self, logits: Tensor, y: Tensor) -> None:
        shape = (len(logits), 1 if self.kind == "multiclass" else self.outputs)
        if y.shape != shape:
            raise PellucidError(f"expected targets of shape {shape} for a {self.kind} task, got {tuple(y.shape)}; "
                                "choose the columns of y, or another number of outputs")
        if y.device.type != "cpu" or self.kind == "regression":  # elsewhere looking would make the device wait
            return
        top = self.outputs - 1 if self.kind == "multiclass" else 1
        wrong = (y < 0) | (y > top) | ((y != y.round()) & ~y.isnan() & (self.kind == "multiclass"))
        if bool(wrong.any()):
            raise PellucidError(f"expected targets from 0 to {top} for a {self.kind} task, got {float(y[wrong][0])}; "
                                "number the classes from 0")

    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities in [0, 1] for classification, values for regression; (clouds, outputs)."""
        if self.kind == "binary":
            return logits.sigmoid()
        return logits.softmax(-1) if self.kind == "multiclass" else self.center + self.spread * logits
