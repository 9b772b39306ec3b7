"""Predictions written piece by piece, so that neither the input nor the output need fit into memory."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.commands.predicting import Opened, Piece, Plan, opened, point_schema, work
from pellucid.distributed.ordered import ordered
from pellucid.errors import PellucidError
from pellucid.files import replacing
from pellucid.predictions import Predictions
from pellucid.progress import waiting
from pellucid.training.applicability import CAUSES

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".csv", ".parquet")
SHOWN = 5
"""Reasons that a summary tells at most; the table has all."""


@dataclass
class Summary:
    """What became of an input.

    Attributes:
        entries: Of the input.
        predicted: Entries with a prediction.
        left_out: Entries without; the column ``note`` says why.
        outside: Samples unlike those that the run was trained on, by the column ``outside``; None where the run keeps
            nothing to compare with.
        causes: How many of these for which cause; a sample may have several.
        members: Models.
        seconds: What it took, the start of workers included.
        rate: Entries a second.
        files: What was written.
        reasons: The most frequent reasons of entries that were left out, with their numbers.
        notes: Remarks.
    """

    entries: int = 0
    predicted: int = 0
    left_out: int = 0
    outside: int | None = None
    causes: dict[str, int] = field(default_factory=dict)
    members: int = 1
    seconds: float = 0.0
    rate: float = 0.0
    files: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    def sentences(self, samples: str) -> list[str]:
        """What a user is told.

        Args:
            samples: The domain's word for several samples.

        Example:
            >>> for text in Summary(4, 3, 1, 1, {"size": 1}, rate=8.0).sentences("samples"):
            ...     print(text)
            3 of 4 samples predicted (8/s), 1 left out (see the column note)
            1 of 3 samples are unlike the training samples (see the column outside): 1 by size
        """
        left = f", {self.left_out:,} left out (see the column note)" if self.left_out else ""
        told = [f"{self.predicted:,} of {self.entries:,} {samples} predicted ({self.rate:,.3g}/s){left}"]
        told += [f"left out {count:,}: {reason}" for reason, count in self.reasons.items()]
        if self.outside:
            why = ", ".join(f"{count:,} by {cause}" for cause, count in self.causes.items() if count)
            told.append(f"{self.outside:,} of {self.predicted:,} {samples} are unlike the training {samples} (see the "
                        f"column outside): {why}")
        elif self.outside == 0:
            told.append(f"all {samples} are like the training {samples}")
        return told + self.notes


def refuse_out(out: Path, plan: Plan, overwrite: bool) -> dict[str, Path]:
    """The files that will be written, by what is in them.

    Raises:
        PellucidError: for an unknown suffix, a folder that is not there, or a file that is.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise PellucidError(f"expected a {' or '.join(SUFFIXES)} file for predictions, got {out}; name one")
    if not out.parent.is_dir():
        raise PellucidError(f"expected a folder {out.parent} for predictions, got nothing there; make it first")
    files = {"predictions": out}
    if plan.explain:
        points = opened(plan).domain.points
        files[points] = out.with_name(f"{out.stem}_{points.replace(' ', '_')}.parquet")
    for path in files.values():
        if path.exists() and (path.is_dir() or not overwrite):
            raise PellucidError(f"expected a new file, got {path}, which is there; choose another or pass --overwrite "
                                "(overwrite=True)")
    return files


def pieces_of(plan: Plan, samples: Any, *, size: int, workers: int, ray: str | None, progress: bool
              ) -> Iterator[Piece]:
    """The pieces of an input, in their order, with a bar that counts entries.

    Args:
        plan: What to do.
        samples: What the domain reads.
        size: Entries a piece.
        workers: See :func:`pellucid.distributed.ordered.ordered`.
        ray: See there.
        progress: Whether to show the bar.
    """
    domain = opened(plan).domain

    def tasks() -> Iterable[tuple[Plan, int, Any]]:
        first = 0
        for portion in domain.portions(samples, size, **json.loads(plan.parts)):
            yield plan, first, portion
            first += len(portion) if hasattr(portion, "__len__") else 0

    done = 0
    with waiting(f"predicting {domain.samples}", progress, count=True) as advance:
        for piece in ordered(work, tasks(), workers=workers, ray=ray):
            done += len(piece.predictions)
            advance(done, None)
            yield piece


def predict_all(plan: Plan, samples: Any, *, size: int, workers: int, ray: str | None, progress: bool) -> Predictions:
    """Predictions in memory.

    Raises:
        PellucidError: if no entry can be used.
    """
    pieces = [piece.predictions for piece in pieces_of(plan, samples, size=size, workers=workers, ray=ray,
                                                       progress=progress)]
    made = Predictions.cat(pieces) if pieces else None
    if made is None or not bool(made.known.any()):
        raise _nothing(Counter(made.notes) if made else Counter(), opened(plan))
    return made


def predict_to_files(plan: Plan, samples: Any, out: Path, *, size: int, workers: int, ray: str | None,
                     progress: bool, overwrite: bool) -> Summary:
    """Predictions in a file, and points in another where they are explained; both whole or none.

    Raises:
        PellucidError: as :func:`refuse_out`, and if no entry can be used.
    """
    files, held, started = refuse_out(out, plan, overwrite), opened(plan), time.perf_counter()
    summary = Summary(members=len(plan.runs), outside=None if held.reference is None else 0,
                      files={name: str(path) for name, path in files.items()})
    if held.reference is None:
        summary.notes.append(f"{plan.runs[0]} keeps nothing to compare samples with, as runs of older versions; train "
                             "again to see which samples are unlike those of the training")
    causes, reasons, notes = Counter[str](), Counter[str](), dict[str, None]()
    with contextlib.ExitStack() as stack:
        temporary = [stack.enter_context(replacing(path)) for path in files.values()]
        writers = stack.enter_context(contextlib.ExitStack())  # closes files before they are renamed
        write: _Writer | None = None
        write_points = _Writer(temporary[1], ".parquet", point_schema(plan, held), writers) if plan.explain else None
        carried: list[str] = []
        for piece in pieces_of(plan, samples, size=size, workers=workers, ray=ray, progress=progress):
            made = piece.predictions
            carried = carried or list(dict.fromkeys(name for row in made.rows for name in row))
            table = made.to_arrow(carried)
            if write is None:
                write = _Writer(temporary[0], out.suffix.lower(), table.schema.with_metadata(_about(plan, held)),
                                writers)
            write(table)
            if write_points is not None and piece.points is not None:
                write_points(piece.points)
            known = int(made.known.sum())
            summary.entries, summary.predicted = summary.entries + len(made), summary.predicted + known
            for i, cause in enumerate(CAUSES):
                causes[cause] += int(made.causes[:, i].sum())
            if summary.outside is not None:
                summary.outside += int(made.causes.any(1).sum())
            reasons.update(note for note in made.notes if note)
            reasons = Counter(dict(reasons.most_common(1000)))  # flat, however many ways there are to be wrong
            notes |= dict.fromkeys(piece.notes)
        if not summary.predicted:
            raise _nothing(reasons, held)
    summary.left_out = summary.entries - summary.predicted
    summary.causes, summary.reasons = dict(causes), dict(reasons.most_common(SHOWN))
    summary.notes += notes
    summary.seconds = round(time.perf_counter() - started, 3)
    summary.rate = round(summary.entries / max(summary.seconds, 1e-9), 1)
    return summary


def _nothing(reasons: Counter[str], held: Opened) -> PellucidError:
    told = "; ".join(reason for reason, _ in reasons.most_common(3))
    return PellucidError(f"expected at least one of the {held.domain.samples} to be usable, got none"
                         f"{f' ({told})' if told else ''}; give {held.domain.inputs}")


def _about(plan: Plan, held: Opened) -> dict[str, str]:
    """Metadata of the table: units, kinds, runs."""
    targets = [{"name": t.name, "kind": t.kind, "unit": t.unit, "classes": list(t.classes)} for t in held.spec.targets]
    return {"pellucid": json.dumps({"targets": targets, "runs": [str(run) for run in plan.runs], "seed": plan.seed})}


class _Writer:
    """Appends tables of one schema to a CSV or parquet file."""

    def __init__(self, path: Path, suffix: str, schema: pa.Schema, stack: contextlib.ExitStack) -> None:
        if suffix == ".csv":
            from pyarrow.csv import CSVWriter

            self._to: Any = stack.enter_context(CSVWriter(path, schema))
        else:
            from pyarrow.parquet import ParquetWriter

            self._to = stack.enter_context(ParquetWriter(path, schema))
        self._schema = schema

    def __call__(self, table: pa.Table) -> None:
        self._to.write_table(table.cast(self._schema))
