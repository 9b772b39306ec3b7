"""Samples of a table as the studies take them: a matrix, labels, and where each stands in the table."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.margin.scaling import SCALES, Moments, Scaling, scaling
from pellucid.margin.tables import Source, blocks, choose, plain_type, widths
from pellucid.progress import waiting

MISSING = ("error", "drop", "median")
_NAMED = 20
"""Samples that a message lists at most."""


@dataclass(frozen=True)
class Samples:
    """What was read.

    Attributes:
        X: (samples, features), scaled, single precision; memory-mapped where it is large.
        label: (samples,), or None.
        ids: (samples,) pyarrow array.
        rows: (samples,) row numbers in the table.
        names: (features,) names of the columns of ``X``.
        spread: (features,) standard deviations before scaling.
        columns: Columns of the table that the features are from.
        scaling: What was done to them.
        without_label: Ids of the samples that were left out because they have none.
        incomplete: Ids of the samples that were left out because a feature is missing.
        notes: What a reader should know, a sentence each.
    """

    X: NDArray[np.float32]
    label: NDArray[Any] | None
    ids: Any
    rows: NDArray[np.int64]
    names: list[str]
    spread: NDArray[np.float64]
    columns: list[str]
    scaling: Scaling
    without_label: list[Any]
    incomplete: list[Any]
    notes: list[str]

    def __len__(self) -> int:
        return len(self.rows)


def read_samples(source: Source, features: Sequence[str], *, label: str | None = None, id_column: str | None = None,
                 apart: Sequence[str] = (), scale: str = "auto", missing: str = "error", one_unit: bool = False,
                 memory: int | None = None, folder: Path | None = None, progress: bool = False) -> Samples:
    """Reads samples in two passes: one measures the columns, one scales them.

    Args:
        source: The table.
        features: Columns by name or glob.
        label: Column of labels. Samples without one are left out.
        id_column: Column that names samples; None: a column ``id`` that is no feature, else row numbers from 0.
        apart: Further columns that are no features.
        scale: See :func:`pellucid.margin.scaling.scaling`.
        missing: What to do about missing or infinite numbers: ``error``; ``drop`` the sample; or put the ``median`` of
            the column in.
        one_unit: Whether all features have one unit, such as pixels.
        memory: Bytes that the features may take; more than that is kept in a temporary file. None: a quarter of what
            is free.
        folder: For that file; None: the system's.
        progress: Whether to show a bar on stderr.

    Raises:
        PellucidError: for columns that are not there, values that are missing, or no samples.

    Example:
        >>> table = pa.table({"x": [1.0, 3.0, 5.0], "label": ["a", "b", None]})
        >>> samples = read_samples(Source.open(table), ["x"], label="label")
        >>> samples.X.ravel().tolist(), samples.label.tolist(), samples.without_label
        ([-1.0, 1.0], ['a', 'b'], [2])
    """
    for given, known, what in ((missing, MISSING, "missing"), (scale, SCALES, "scale")):
        if given not in known:
            raise PellucidError(f"expected {what} as one out of {', '.join(known)}, got {given!r}")
    for column, what in ((label, "labels"), (id_column, "ids")):
        if column is not None:
            source.check(column, what)
    names, left = choose(source, features, [c for c in (label, id_column, *apart) if c is not None])
    notes = [f"Not used as features, although they fit: {', '.join(left)}."] if left else []
    if id_column is None and source.names.count("id") == 1 and "id" not in names:
        id_column = "id"
    source = source.typed(names, [c for c in (label, id_column) if c is not None])
    sizes = widths(source, names)
    known_rows = source.count()
    with waiting(f"reading {source.name}", progress) as advance:

        def seen(rows: float) -> None:
            if known_rows:
                advance(rows, 2 * known_rows)

        first = _measure(source, names, sizes, label, id_column, missing, seen)
        bad = first.labelled & ~first.complete
        if bad.any():
            notes.append(_about_missing(names, sizes, first, int(bad.sum()), missing))
        keep = first.labelled & first.complete if missing == "drop" else first.labelled
        rows = np.flatnonzero(keep)
        without = first.ids.filter(pa.array(~first.labelled)).to_pylist()
        if without:
            listed = ", ".join(map(str, without[:_NAMED])) + (" and more" if len(without) > _NAMED else "")
            notes.append(f"{len(without):,} without a label left out: {listed}.")
        if len(rows) < 2:
            raise PellucidError(f"expected at least two samples in {source.name}, got {len(rows)} of {len(keep)} rows "
                                "that can be used; look at missing values and labels")
        y = None
        if first.labels is not None:
            labels = first.labels.filter(pa.array(keep))
            y = _values(_plain(labels) if source.csv else labels, label)
        made = scaling(names, sizes, first.moments, scale, one_unit=one_unit)
        X = _room((len(rows), sum(sizes)), _allowed() if memory is None else memory, folder)
        at = done = 0
        for block, _ in blocks(source, names, sizes):
            part = block[keep[done:done + len(block)]]
            part[~np.isfinite(part)] = np.nan
            X[at:at + len(part)] = made(part)
            done, at = done + len(block), at + len(part)
            seen(len(keep) + done)
    if missing == "median":
        for j in np.flatnonzero(first.lost):
            there = ~np.isnan(X[:, j])
            X[~there, j] = np.median(X[there, j])
    return Samples(X, y, first.ids.filter(pa.array(keep)), rows, _every(names, sizes), first.moments.std, names, made,
                   without, first.ids.filter(pa.array(bad)).to_pylist() if missing == "drop" else [], notes)


@dataclass(frozen=True)
class _First:
    """What the first pass finds.

    Attributes:
        moments: Of the features of samples that can be used.
        lost: (features,) missing values among samples with a label.
        complete: (rows,) whether no feature is missing.
        labelled: (rows,) whether there is a label, where labels are asked for.
        labels: (rows,) pyarrow, or None.
        ids: (rows,) pyarrow.
    """

    moments: Moments
    lost: NDArray[np.int64]
    complete: NDArray[np.bool_]
    labelled: NDArray[np.bool_]
    labels: Any
    ids: Any


def _measure(source: Source, names: Sequence[str], sizes: Sequence[int], label: str | None, id_column: str | None,
             missing: str, seen: Callable[[float], None]) -> _First:
    wanted = [c for c in (label, id_column) if c is not None]
    pieces: dict[str, list[Any]] = {name: [] for name in wanted}
    moments, lost = Moments(sum(sizes)), np.zeros(sum(sizes), np.int64)
    complete: list[NDArray[np.bool_]] = [np.empty(0, bool)]
    for block, batch in blocks(source, names, sizes, wanted):
        for name in wanted:
            pieces[name].append(batch.column(name))
        finite = np.isfinite(block)
        whole = np.asarray(finite.all(1))
        labelled = _labelled(batch.column(label)) if label is not None else np.ones(len(block), bool)
        lost += (~finite[labelled]).sum(0)
        complete.append(whole)
        moments.add(block[labelled & whole if missing == "drop" else labelled])
        seen(sum(map(len, complete)))
    all_complete = np.concatenate(complete)
    whole_column = {name: pa.chunked_array(parts, source.dataset.schema.field(name).type)
                    for name, parts in pieces.items()}
    labels = None if label is None else whole_column[label]
    ids = pa.array(np.arange(len(all_complete))) if id_column is None else whole_column[id_column]
    labelled = np.ones(len(all_complete), bool) if labels is None else _labelled(labels)
    return _First(moments, lost, all_complete, labelled, labels,
                  _plain(ids) if source.csv and id_column is not None else ids)


def _every(names: Sequence[str], sizes: Sequence[int]) -> list[str]:
    """A name for each number of a row."""
    return [name if size == 1 else f"{name}[{i}]" for name, size in zip(names, sizes, strict=True)
            for i in range(size)]


def _about_missing(names: Sequence[str], sizes: Sequence[int], first: _First, rows: int, missing: str) -> str:
    """What is done about missing values.

    Raises:
        PellucidError: if nothing can be.
    """
    told = _missing(names, sizes, first.lost, rows)
    if missing == "error":
        raise PellucidError(f"expected numbers in all features, got {told}; leave those samples out (missing drop) or "
                            "fill them in (missing median)")
    empty = [name for name, count in zip(_every(names, sizes), first.moments.count, strict=True) if not count]
    if missing == "median" and empty:
        raise PellucidError(f"expected numbers to take a median of, got none in {', '.join(empty[:8])}; leave those "
                            "columns out")
    done = "left out" if missing == "drop" else "filled in with the column's median"
    return f"{told[0].upper()}{told[1:]}: {done}."


def _missing(names: Sequence[str], sizes: Sequence[int], lost: NDArray[np.int64], rows: int) -> str:
    """How many values are missing, and where.

    Example:
        >>> _missing(["a", "b", "c"], [1, 2, 1], np.array([1, 0, 4, 0]), 4)
        'missing or infinite values in 4 rows (columns b: 4, a: 1)'
    """
    ends = np.cumsum(sizes)
    counts = {name: int(lost[end - size:end].sum()) for name, size, end in zip(names, sizes, ends, strict=True)}
    worst = sorted((name for name in names if counts[name]), key=lambda name: -counts[name])
    text = ", ".join(f"{name}: {counts[name]}" for name in worst[:8])
    text += f" and {len(worst) - 8} more" if len(worst) > 8 else ""
    return f"missing or infinite values in {rows} row{'s' * (rows > 1)} (column{'s' * (len(worst) > 1)} {text})"


def _labelled(column: Any) -> NDArray[np.bool_]:
    """Where there is a label: neither null, NaN, nor an empty text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    there = column.is_valid()
    if pa.types.is_floating(column.type):
        there = pc.and_(there, pc.invert(pc.is_nan(column).fill_null(True)))
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        there = pc.and_(there, pc.not_equal(column, pa.scalar("", column.type)).fill_null(False))
    return np.asarray(there)


def _plain(column: Any) -> Any:
    """Texts of a CSV file as whole numbers, if all are written as such.

    Example:
        >>> _plain(pa.array(["10", "2"])).to_pylist(), _plain(pa.array(["07", "2"])).to_pylist()
        ([10, 2], ['07', '2'])
    """
    try:
        whole = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
    return whole if whole.cast(pa.string()).equals(column) else column


def _values(labels: Any, name: str | None) -> NDArray[Any]:
    """Labels without gaps as numbers, truth values or texts."""
    kind = plain_type(labels.type)
    if pa.types.is_dictionary(kind):
        labels = labels.cast(kind.value_type)
        kind = labels.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise PellucidError(f"expected labels that are words or numbers in {name!r}, got {kind}; choose another column")
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return np.array(labels.cast(pa.string()).to_pylist(), dtype=str)
    values: NDArray[Any] = labels.to_numpy()
    if values.dtype.kind == "f" and (values == np.round(values)).all():
        return values.astype(np.int64)  # gaps make whole numbers real ones
    return values


def _room(shape: tuple[int, int], memory: int, folder: Path | None) -> NDArray[np.float32]:
    """An array in memory, or in a file that goes away with it."""
    size = shape[0] * shape[1] * 4
    if size <= memory:
        return np.empty(shape, np.float32)
    try:
        with tempfile.TemporaryFile(prefix=".features.", dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk is told now, not by a crash later
            return np.memmap(file, np.float32, "w+", shape=shape)
    except OSError as error:
        raise PellucidError(f"expected room for {size / 1e9:.1f} GB of features in {folder or tempfile.gettempdir()}, "
                            f"got {error.strerror or error}; free some space") from error


def _allowed() -> int:
    """A quarter of the memory that is free, in bytes; of 4 GiB where that is not known."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        try:
            free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        except (AttributeError, ValueError, OSError):
            free = 1 << 32
    return free // 4
