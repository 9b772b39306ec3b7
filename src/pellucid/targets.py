"""What is predicted: named targets, each with its own kind, unit and scale, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import PellucidError, UnknownNameError

Kind = Literal["binary", "multiclass", "regression"]
TargetLevel = Literal["cloud", "point"]


@dataclass(frozen=True)
class Target:
    """One thing that is predicted; a column of ``y``.

    Attributes:
        name: E.g. ``"logS"``.
        kind: ``"binary"`` (0 or 1), ``"multiclass"`` (the number of a class) or ``"regression"``.
        unit: Of a regression's values, e.g. ``"log mol/L"``.
        level: Whether a cloud or each of its points has a value.
        classes: Names of the classes, by number: two or more of a multi-class target; none or two (of 0 and of 1) of a
            binary one.
        center: For regression: the value that an output of 0 means.
        spread: For regression: by how much the value rises with an output; losses and outputs are in this unit.
        weight: In the loss, beside other targets.

    Raises:
        PellucidError: if these do not go together.

    Example:
        >>> Target("logS", "regression", unit="log mol/L").quantity(), Target("toxic").quantity()
        ('logS (log mol/L)', 'P(toxic)')
    """

    name: str = "y"
    kind: Kind = "binary"
    unit: str = ""
    level: TargetLevel = "cloud"
    classes: tuple[str, ...] = ()
    center: float = 0.0
    spread: float = 1.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if self.kind not in get_args(Kind) or self.level not in get_args(TargetLevel):
            raise PellucidError(f"expected a kind out of {', '.join(get_args(Kind))} and a level out of "
                                f"{', '.join(get_args(TargetLevel))}, got {self.kind!r} and {self.level!r}")
        if not self.name or "=" in self.name:
            raise PellucidError(f"expected a target's name without '=', which stands before a class, got {self.name!r}")
        allowed = {"binary": (0, 2), "regression": (0,)}.get(self.kind)
        if (len(self.classes) < 2) if allowed is None else (len(self.classes) not in allowed):
            raise PellucidError(f"expected two or more classes of a multi-class target, none or two of a binary one "
                                f"and none of a regression, got {len(self.classes)} for the {self.kind} {self.name!r}")
        if len(set(self.classes)) < len(self.classes):
            raise PellucidError(f"expected classes of different names, got {', '.join(self.classes)} in {self.name!r}")
        if not self.spread > 0 or (self.kind != "regression" and (self.center, self.spread) != (0.0, 1.0)):
            raise PellucidError(f"expected a positive spread, and center 0 and spread 1 unless the target is a "
                                f"regression, got {self.center} and {self.spread}")
        if not self.weight > 0:
            raise PellucidError(f"expected a positive weight of {self.name!r}, got {self.weight}; leave the target out")

    @property
    def outputs(self) -> int:
        """Numbers that a model gives for it: its classes, or one."""
        return len(self.classes) if self.kind == "multiclass" else 1

    def quantity(self, at: int = 0) -> str:
        """What an output is, as reports call it: ``P(class)``, or the name with its unit.

        Args:
            at: Which of its outputs.
        """
        if self.kind == "regression":
            return f"{self.name} ({self.unit})" if self.unit else self.name
        if self.kind == "multiclass":
            return f"P({self.classes[at]})"
        return f"P({self.classes[1] if self.classes else self.name})"

    def raw_unit(self) -> str:
        """The unit of what adds up to an output before it becomes a probability."""
        return {"regression": self.unit, "binary": "log-odds", "multiclass": "logits"}[self.kind]


@dataclass(frozen=True)
class Explained:
    """The output that is asked about.

    Attributes:
        target: Which target.
        column: Its column of ``y``.
        output: Its column of a model's outputs; None for the class that is predicted of each sample.
    """

    target: Target
    column: int
    output: int | None


def one_sided(off: Tensor, censored: Tensor) -> Tensor:
    """Errors of predictions, 0 where the value is only a bound and the prediction lies beyond it.

    Args:
        off: Prediction minus value.
        censored: Of the same shape: 0 for a known value, +1 where the true value is at least it, -1 where at most.

    Example:
        >>> one_sided(torch.tensor([2.0, 2.0, 2.0]), torch.tensor([0, 1, -1])).tolist()
        [2.0, 0.0, 2.0]
    """
    return torch.where(off * censored > 0, 0, off)


@dataclass(frozen=True)
class Targets(Sequence[Target]):
    """All targets of a model, in the order of the columns of ``y``; a multi-class one has an output for each class.

    Attributes:
        each: The targets; of one level, with different names.

    Raises:
        PellucidError: if there are none, names repeat or levels differ.

    Example:
        >>> both = Targets((Target("logS", "regression"), Target("colour", "multiclass", classes=("red", "blue"))))
        >>> both.outputs, both.names, both.find("colour=blue").output
        (3, ('logS', 'colour=red', 'colour=blue'), 2)
        >>> Targets.of("binary").loss(torch.zeros(2, 1), torch.tensor([[1.0], [float("nan")]])).item()
        0.6931471824645996
    """

    each: tuple[Target, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "each", tuple(self.each))
        names = [target.name for target in self.each]
        if not names or len(set(names)) < len(names):
            raise PellucidError(f"expected at least one target, with different names, got {', '.join(names) or 'none'}")
        if len({target.level for target in self.each}) > 1:
            raise PellucidError("expected targets of clouds or targets of points, got both; train a model for each")

    @staticmethod
    def of(kind: Kind, count: int = 1, *, center: float = 0.0, spread: float = 1.0, level: TargetLevel = "cloud"
           ) -> Targets:
        """Targets without names of their own.

        Args:
            kind: Of all of them.
            count: Targets; classes of one target for ``"multiclass"``.
            center: See :class:`Target`.
            spread: See there.
            level: See there.
        """
        if kind == "multiclass":
            return Targets((Target("y", kind, classes=tuple(map(str, range(count))), level=level),))
        names = ["y"] if count == 1 else [f"y{i}" for i in range(count)]
        return Targets(tuple(Target(name, kind, center=center, spread=spread, level=level) for name in names))

    @staticmethod
    def unlabelled() -> Targets:
        """What stands in the spec of data without any target, e.g. for a pretraining: its readout is never trained."""
        return Targets((Target("unlabelled", "regression"),))

    @overload
    def __getitem__(self, at: int) -> Target: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Target, ...]: ...
    def __getitem__(self, at: int | slice) -> Target | tuple[Target, ...]:
        return self.each[at]

    def __len__(self) -> int:
        return len(self.each)

    def __iter__(self) -> Iterator[Target]:
        return iter(self.each)

    @property
    def level(self) -> TargetLevel:
        """Whether clouds or points have values."""
        return self.each[0].level

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The first output of each target."""
        starts = [0]
        for target in self.each:
            starts.append(starts[-1] + target.outputs)
        return tuple(starts[:-1])

    @cached_property
    def outputs(self) -> int:
        """Outputs of a model."""
        return self.starts[-1] + self.each[-1].outputs

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each output: the target's, for a multi-class one with ``=class``."""
        return tuple(f"{target.name}={name}" if target.kind == "multiclass" else target.name
                     for target in self.each for name in (target.classes if target.kind == "multiclass" else ("",)))

    @property
    def quantities(self) -> tuple[str, ...]:
        """What each output is, as reports call it."""
        return tuple(target.quantity(at) for target in self.each for at in range(target.outputs))

    def owner(self, output: int) -> Target:
        """The target that an output belongs to."""
        return self.each[max(i for i, start in enumerate(self.starts) if start <= output)]

    def find(self, name: str | int | None = None) -> Explained:
        """An output by its name.

        Args:
            name: A target, for a multi-class one also ``target=class``; the number of an output; None for the first
                target.

        Returns:
            The output; of a multi-class target without a class, that of the predicted class of each sample.

        Raises:
            UnknownNameError: for another name, with the near misses.
            PellucidError: for a number out of range.
        """
        if isinstance(name, int):
            if not 0 <= name < self.outputs:
                raise PellucidError(f"expected an output from 0 to {self.outputs - 1} to explain, got {name}")
            column = max(i for i, start in enumerate(self.starts) if start <= name)
            return Explained(self.each[column], column, name)
        for column, (target, start) in enumerate(zip(self.each, self.starts, strict=True)):
            if name is None or name == target.name:
                return Explained(target, column, None if target.kind == "multiclass" else start)
            own, _, chosen = name.partition("=")  # a class may hold another one
            if own == target.name and chosen in target.classes:
                at = target.classes.index(chosen)
                if target.kind == "multiclass" or at == 1:
                    return Explained(target, column, start + (at if target.kind == "multiclass" else 0))
        known = [*(target.name for target in self.each), *(n for n in self.names if "=" in n)]
        raise UnknownNameError("target", str(name), known)

    def explained(self, asked: Explained, logits: Tensor) -> Tensor:
        """(rows,) the output that is explained of each row.

        Args:
            asked: From :meth:`find`.
            logits: (rows, outputs).
        """
        if asked.output is not None:
            return torch.full((len(logits),), asked.output, device=logits.device)
        start = self.starts[asked.column]
        return start + logits[:, start : start + asked.target.outputs].argmax(1)

    # -- tensors --------------------------------------------------------------------------------------------------
    def loss(self, logits: Tensor, y: Tensor, censored: Tensor | None = None) -> Tensor:
        """Weighted mean loss over the values that are there (NaN = missing).

        Args:
            logits: (rows, outputs); a row a cloud, or a point.
            y: (rows, targets).
            censored: (rows, targets) int, which numbers are only bounds: 0 for a known value, +1 where the true value
                is at least it, -1 where at most. A prediction beyond the bound costs nothing.

        Returns:
            Scalar: sum of w_t l_it over known values by the sum of their w_t, with binary cross-entropy, cross-entropy
            or squared error in units of ``spread`` (of a bound, one-sided); 0 if no value is there.

        Example:
            >>> bounds = torch.tensor([[1], [1], [0]])
            >>> Targets.of("regression").loss(torch.tensor([[4.0], [2.0], [4.0]]), torch.full((3, 1), 3.0), bounds) * 3
            tensor(2.)
        """
        self._check(logits, y)
        if censored is not None and censored.shape != y.shape:
            raise PellucidError(f"expected censored of the shape of y, {tuple(y.shape)}, got {tuple(censored.shape)}")
        total, count = logits.new_zeros(()), logits.new_zeros(())
        for kind, columns, outputs in self._blocks:
            own, known = y[:, columns], ~y[:, columns].isnan()
            if kind == "multiclass":
                classes = torch.where(known[:, 0], own[:, 0], 0).long()
                each = F.cross_entropy(logits[:, outputs], classes, reduction="none")[:, None]
            elif kind == "binary":
                each = F.binary_cross_entropy_with_logits(logits[:, outputs], torch.where(known, own, 0),
                                                          reduction="none")
            else:
                center, spread = self._scales(columns, y)
                off = logits[:, outputs] - (torch.where(known, own, 0) - center) / spread
                each = (off if censored is None else one_sided(off, censored[:, columns])).square()
            weight = known.to(each.dtype)
            if any(target.weight != 1 for target in self.each):
                weight = weight * weight.new_tensor([target.weight for target in self.each[columns]])
            total, count = total + (each * weight).sum(), count + weight.sum()
        return total / torch.where(count > 0, count, 1)

    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities in [0, 1] for classes, values for regressions; (rows, outputs)."""
        parts = []
        for kind, columns, outputs in self._blocks:
            own = logits[:, outputs]
            if kind == "regression":
                center, spread = self._scales(columns, logits)
                parts.append(center + spread * own)
            else:
                parts.append(own.sigmoid() if kind == "binary" else own.softmax(-1))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def scale(self) -> list[float]:
        """What an output of one is worth, in the unit of each output: ``spread`` of a regression, else 1."""
        return [target.spread for target in self.each for _ in range(target.outputs)]

    @cached_property
    def _blocks(self) -> list[tuple[Kind, slice, slice]]:
        """Runs of targets of one kind: kind, columns of y, outputs. Multi-class targets stand alone."""
        blocks: list[tuple[Kind, slice, slice]] = []
        for i, (target, start) in enumerate(zip(self.each, self.starts, strict=True)):
            if blocks and blocks[-1][0] == target.kind != "multiclass":
                kind, columns, outputs = blocks.pop()
                blocks.append((kind, slice(columns.start, i + 1), slice(outputs.start, start + 1)))
            else:
                blocks.append((target.kind, slice(i, i + 1), slice(start, start + target.outputs)))
        return blocks

    def _scales(self, columns: slice, like: Tensor) -> tuple[Tensor, Tensor]:
        own = self.each[columns]
        return like.new_tensor([t.center for t in own]), like.new_tensor([t.spread for t in own])

    def _check(self, logits: Tensor, y: Tensor) -> None:
        shape = (len(logits), len(self))
        if y.shape != shape:
            raise PellucidError(f"expected y of shape {shape} for the targets {', '.join(t.name for t in self)}, got "
                                f"{tuple(y.shape)}; a column belongs to each target, a row to each {self.level}")
        if y.device.type != "cpu":  # looking would make the device wait
            return
        for i, target in enumerate(self.each):
            if target.kind == "regression":
                continue
            own, top = y[:, i], target.outputs - 1 if target.kind == "multiclass" else 1
            wrong = (own < 0) | (own > top) | ((own != own.round()) & ~own.isnan() & (target.kind == "multiclass"))
            if bool(wrong.any()):
                raise PellucidError(f"expected values from 0 to {top} of the {target.kind} target {target.name!r}, got "
                                    f"{float(own[wrong][0])}; number the classes from 0")

    def measured(self, y: Tensor) -> Targets:
        """The targets with the center and spread that each regression has in ``y``: its own mean and deviation.

        Values that are only bounds count as they stand: the scale is a unit for the loss, no estimate.

        Args:
            y: (rows, targets) of the training data.

        Example:
            >>> y = torch.tensor([[1.0, 1000.0], [3.0, 3000.0], [2.0, float("nan")]])
            >>> [(t.center, round(t.spread, 3)) for t in Targets.of("regression", 2).measured(y)]
            [(2.0, 1.0), (2000.0, 1414.214)]
        """
        def own(i: int, target: Target) -> Target:
            if target.kind != "regression":
                return target
            known = y[:, i][~y[:, i].isnan()].double()
            spread = float(known.std()) if len(known) > 1 else 0.0
            return replace(target, center=float(known.mean()) if len(known) else 0.0, spread=spread or 1.0)

        return Targets(tuple(own(i, target) for i, target in enumerate(self.each)))

    # -- disk -------------------------------------------------------------------------------------------------------
    def document(self) -> list[dict[str, Any]]:
        """As JSON holds them."""
        return [{**asdict(target), "classes": list(target.classes)} for target in self.each]

    @staticmethod
    def parse(content: Any) -> Targets:
        """Back from :meth:`document`.

        Raises:
            PellucidError: if it is none.
        """
        try:
            return Targets(tuple(Target(**{**entry, "classes": tuple(entry["classes"])}) for entry in content))
        except (TypeError, KeyError) as error:
            raise PellucidError(f"expected the targets of a run, got something else ({error}); train again") from error
