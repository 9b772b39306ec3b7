"""Predictions: what one or several models say of samples, a row a sample, with those that could not be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.targets import Targets

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Predictions:
    """What is predicted of samples; entries of the input that could not be used have rows of their own.

    Attributes:
        rows: For each entry of the input, in its order: its ``id``, and the columns that came with it, as text.
        targets: What is predicted.
        mean: (entries, outputs) probabilities of classes, values of regressions in the unit of their target; the mean
            over ``members`` models. NaN where an entry could not be used.
        spread: (entries, outputs) standard deviation over the models (divisor members - 1); None for one model.
        members: How many models there are.
        distance: (entries,) to the nearest training sample, 1 = as far as the outermost twentieth of these, see
            :class:`pellucid.training.applicability.Check`; NaN where it is not known.
        nearest: Id of that sample; ``""`` where it is not known.
        outside: Why a sample is unlike what the model was trained on; ``""`` where it is not, or that is not known.
        causes: (entries, 3) bool, in the order of :data:`pellucid.training.applicability.CAUSES`.
        notes: Why an entry has no prediction; ``""`` where it has one.
        types: Of columns of ``rows`` that were no texts, their types: in tables their cells are values again.

    Raises:
        PellucidError: if lengths differ.

    Example:
        >>> from pellucid.targets import Target
        >>> both = Targets((Target("logS", "regression"), Target("colour", "multiclass", classes=("red", "blue"))))
        >>> made = Predictions.of([{"id": "a"}, {"id": "b"}], both, torch.tensor([[-2.0, 0.9, 0.1]] * 2))
        >>> made.table()["logS"], made.table()["colour"]
        ([-2.0, -2.0], ['red', 'red'])
    """

    rows: list[dict[str, str]]
    targets: Targets
    mean: Tensor
    spread: Tensor | None
    members: int
    distance: Tensor
    nearest: list[str]
    outside: list[str]
    causes: Tensor
    notes: list[str] = field(default_factory=list)
    types: Mapping[str, pa.DataType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.rows)
        if self.mean.shape != (count, self.targets.outputs) or {
                len(part) for part in (self.distance, self.nearest, self.outside, self.causes, self.notes)} != {count}:
            raise PellucidError(f"expected {count} rows of {self.targets.outputs} predictions, got "
                                f"{tuple(self.mean.shape)}")

    @staticmethod
    def of(rows: list[dict[str, str]], targets: Targets, mean: Tensor, spread: Tensor | None = None, members: int = 1
           ) -> Predictions:
        """Predictions that were not compared with training samples."""
        count = len(rows)
        return Predictions(rows, targets, mean, spread, members, torch.full((count,), torch.nan), [""] * count,
                           [""] * count, torch.zeros(count, 3, dtype=torch.bool), [""] * count)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> list[str]:
        """Of the entries."""
        return [row.get("id", "") for row in self.rows]

    @property
    def known(self) -> Tensor:
        """(entries,) bool, which have a prediction."""
        return ~self.mean.isnan().any(1)

    def table(self, carried: Sequence[str] | None = None) -> dict[str, list[Any]]:
        """Columns by name: the input's, then for each target its prediction, then the comparison with training samples.

        A prediction is named as its target; of a multi-class one ``target=class`` are probabilities, and ``target`` the
        class that is the most probable. ``<name>_spread`` is the standard deviation over models, ``members`` their
        number. A column of the input with the name of one of ours becomes ``<name>_given``.

        Args:
            carried: Columns of the input to give; None: those of the first row.

        Returns:
            Values by column; None where there is none.
        """
        return self._columns(carried)[0]

    def _columns(self, carried: Sequence[str] | None) -> tuple[dict[str, list[Any]], dict[str, pa.DataType]]:
        """The table, and the types of those of its columns that came typed."""
        own: dict[str, list[Any]] = {}
        for target, start in zip(self.targets, self.targets.starts, strict=True):
            if target.kind == "multiclass":
                chosen = self.mean[:, start:start + target.outputs].nan_to_num(-1).argmax(1).tolist()
                own[target.name] = [target.classes[c] if known else None
                                    for c, known in zip(chosen, self.known.tolist(), strict=True)]
            for output in range(start, start + target.outputs):
                name = self.targets.names[output]
                own[name] = _listed(self.mean[:, output])
                if self.spread is not None:
                    own[f"{name}_spread"] = _listed(self.spread[:, output])
        if self.members > 1:
            own["members"] = [self.members] * len(self)
        own |= {"distance": _listed(self.distance), "nearest": self.nearest, "outside": self.outside,
                "note": self.notes}
        if carried is None:
            carried = list(self.rows[0]) if self.rows else ["id"]
        taken = own.keys() | set(carried)
        columns: dict[str, list[Any]] = {}
        types: dict[str, pa.DataType] = {}
        for name in carried:
            called = name
            while called in own or (called != name and called in taken):
                called += "_given"
            columns[called] = [row.get(name, "") for row in self.rows]
            if name in self.types:
                columns[called], types[called] = _typed(columns[called], self.types[name]), self.types[name]
        return columns | own, types

    def to_arrow(self, carried: Sequence[str] | None = None) -> pa.Table:
        """The :meth:`table` as an Arrow table: text, double and int64, or as it came; empty where there is nothing."""
        import pyarrow as pa

        columns, types = self._columns(carried)
        multiclass = {target.name for target in self.targets if target.kind == "multiclass"}
        numbers = {"distance", *self.targets.names, *(f"{name}_spread" for name in self.targets.names)}
        arrays = []
        for name, values in columns.items():
            kind = (pa.int64() if name == "members" and self.members > 1 else
                    types[name] if name in types else
                    pa.float64() if name in numbers and name not in multiclass else pa.string())
            arrays.append(pa.array([v or None for v in values] if name in ("nearest", "outside", "note") else values,
                                   type=kind))
        return pa.table(dict(zip(columns, arrays, strict=True)))

    def to_pandas(self) -> Any:
        """The :meth:`table` as a data frame of pandas."""
        import pandas as pd

        return pd.DataFrame(self.table())

    @staticmethod
    def cat(parts: Sequence[Predictions]) -> Predictions:
        """Predictions of several pieces of an input, one after the other."""
        first = parts[0]
        spread = None if first.spread is None else torch.cat([p.spread for p in parts if p.spread is not None])
        return Predictions([row for p in parts for row in p.rows], first.targets, torch.cat([p.mean for p in parts]),
                           spread, first.members, torch.cat([p.distance for p in parts]),
                           [n for p in parts for n in p.nearest], [o for p in parts for o in p.outside],
                           torch.cat([p.causes for p in parts]), [n for p in parts for n in p.notes], first.types)


def _typed(cells: list[str], kind: pa.DataType) -> list[Any]:
    """Texts as values of the type that they were written from; None where there is none."""
    import pyarrow as pa

    kind = pa.float64() if pa.types.is_floating(kind) else kind  # a tenth stays a tenth
    return list(pa.array([cell or None for cell in cells], pa.string()).cast(kind).to_pylist())


def _listed(values: Tensor) -> list[float | None]:
    return [None if value != value else value for value in values.double().tolist()]
