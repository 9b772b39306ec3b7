"""Tables of samples from files: chosen columns, read piece by piece, so that a table may be larger than memory."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pellucid.errors import DamagedFileError, PellucidError

_FORMATS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv"}
_CELLS = 1 << 21
"""Numbers that one piece of a table has at most."""


@dataclass(frozen=True)
class Source:
    """A table that is read when it is needed.

    Attributes:
        dataset: A pyarrow dataset.
        name: What it is called in messages.
        folder: Where paths in it begin.
        csv: The file, if it is CSV.
    """

    dataset: Any
    name: str
    folder: Path
    csv: Path | None = None

    @staticmethod
    def open(table: Any) -> Source:
        """Opens a table; only its columns' names and types are read.

        Args:
            table: A parquet file, a folder of parquet files, a CSV file (``.csv``, ``.csv.gz``), a pyarrow table, or a
                data frame of pandas or Polars.

        Raises:
            PellucidError: if it is not there, is none of these, or cannot be read.

        Example:
            >>> Source.open(pa.table({"x": [1, 2]})).dataset.count_rows()
            2
        """
        import pyarrow.dataset as ds  # half a second, which other commands need not wait

        if not isinstance(table, str | Path):
            try:
                whole = table if isinstance(table, pa.Table) else pa.table(table)
                return Source(ds.dataset(_without_views(whole)), "the table", Path())
            except (TypeError, ValueError) as error:
                raise PellucidError(f"expected a file, a pyarrow table or a data frame, got {type(table).__name__} "
                                    f"({_first_line(error)})") from error
        path = Path(table)
        if not path.exists():
            raise PellucidError(f"expected a table in {path}, got nothing there; check the path")
        if path.is_file() and path.stat().st_size == 0:
            raise PellucidError(f"expected a table in {path}, got an empty file; export it again")
        kind = "parquet" if path.is_dir() else next((f for end, f in _FORMATS.items() if path.name.endswith(end)), None)
        if kind is None:
            raise PellucidError(f"expected a table that ends in {', '.join(_FORMATS)}, got {path.name}; convert it")
        with _readable(path.name):
            dataset = ds.dataset(path, format=kind)
        if not dataset.schema.names:
            raise PellucidError(f"expected a table with columns in {path}, got none; export it again")
        return Source(dataset, path.name, path.parent, path if kind == "csv" else None)

    def typed(self, numbers: Iterable[str], texts: Iterable[str]) -> Source:
        """The same table, where a CSV file's columns are read as real numbers or as texts.

        Otherwise its first block decides the types, and a later number may have decimals, a later label letters.
        """
        if self.csv is None:
            return self
        import pyarrow.dataset as ds
        from pyarrow import csv

        types = {name: pa.float64() for name in numbers} | {name: pa.string() for name in texts}
        with _readable(self.name):
            form = ds.CsvFileFormat(convert_options=csv.ConvertOptions(column_types=types))
            return replace(self, dataset=ds.dataset(self.csv, format=form))

    @property
    def names(self) -> list[str]:
        """All columns."""
        return list(self.dataset.schema.names)

    def type_of(self, name: str) -> Any:
        """The type of a column."""
        return plain_type(self.dataset.schema.field(name).type)

    def check(self, name: str, what: str) -> None:
        """Raises PellucidError unless a column is there, once; near misses are told."""
        count = self.names.count(name)
        if count == 0:
            raise PellucidError(f"expected a column for {what}, got {name!r}, which {self.name} has not; "
                                f"{near(name, self.names)}")
        if count > 1:
            raise PellucidError(f"expected one column {name!r} in {self.name}, got {count}; rename the others")

    def batches(self, columns: Sequence[str], rows: int = 1 << 16, piece: Any = None) -> Iterator[Any]:
        """Record batches of some columns, in the order of the file.

        Args:
            columns: Their names.
            rows: Of a batch at most.
            piece: A part of the dataset; None: all of it.
        """
        with _readable(self.name):
            yield from (self.dataset if piece is None else piece).to_batches(
                columns=list(columns), batch_size=rows, batch_readahead=1, fragment_readahead=1)

    def count(self) -> int | None:
        """Number of rows where it costs nothing to know."""
        with _readable(self.name):
            return None if self.csv else int(self.dataset.count_rows())

    def rows(self, numbers: Iterable[int], columns: Sequence[str]) -> Any:
        """A pyarrow table of some rows; parts of the file that have none of them are skipped.

        Args:
            numbers: Row numbers from 0, rising.
            columns: Their names.
        """
        wanted = np.asarray(list(numbers), np.int64)
        found, first = [], 0
        with _readable(self.name):
            for piece in self._pieces():
                size = sum(group.num_rows for group in piece.row_groups) if hasattr(piece, "row_groups") else None
                if size is not None and not ((wanted >= first) & (wanted < first + size)).any():
                    first += size
                    continue
                for batch in piece.to_batches(columns=list(columns), schema=self.dataset.schema, batch_size=1 << 12,
                                              batch_readahead=1):
                    here = wanted[(wanted >= first) & (wanted < first + len(batch))] - first
                    if len(here):
                        found.append(batch.take(pa.array(here)))
                    first += len(batch)
        return pa.Table.from_batches(found)

    def _pieces(self) -> Iterator[Any]:
        """Parts in order; row groups where it is parquet."""
        for fragment in self.dataset.get_fragments():
            yield from fragment.split_by_row_group() if hasattr(fragment, "split_by_row_group") else [fragment]


def choose(source: Source, patterns: Sequence[str], apart: Sequence[str]) -> tuple[list[str], list[str]]:
    """The columns of features.

    Args:
        source: The table.
        patterns: Names or globs, also several in one text with commas.
        apart: Columns that are no features even where a pattern fits them.

    Returns:
        Names in the order of the patterns, and the columns that a pattern fitted and that are left out: those of
        ``apart``, and a column ``id`` that only a glob fitted.

    Raises:
        PellucidError: if a pattern fits nothing, or a column has no numbers.

    Example:
        >>> source = Source.open(pa.table({"x0": [1, 2], "x1": [3, 4], "y": [0, 1]}))
        >>> choose(source, ["*"], ["y"])
        (['x0', 'x1'], ['y'])
    """
    names = source.names
    wanted = [part.strip() for text in patterns for part in ([text] if text in names else text.split(","))]
    chosen: dict[str, None] = {}
    left: dict[str, None] = {}
    for pattern in filter(None, wanted):
        fits = [pattern] if pattern in names else [n for n in names if fnmatch.fnmatchcase(n, pattern)]
        if not fits:
            raise PellucidError(f"expected a column or a glob of columns of {source.name}, got {pattern!r}, which fits "
                                f"none; {near(pattern, names)}")
        for name in fits:
            (left if name in apart or (name == "id" and pattern != "id") else chosen)[name] = None
    left = {name: None for name in left if name not in chosen}
    if not chosen:
        what = f"only {', '.join(left)}, which is no feature" if left else "none"
        raise PellucidError(f"expected at least one column of features, got {what}; name others")
    for name in chosen:
        source.check(name, "features")
    if words := [name for name in chosen if not is_number(inner_type(source.type_of(name)))]:
        listed = ", ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")
        raise PellucidError(f"expected features that are numbers or lists of numbers, got {listed} "
                            f"({source.type_of(words[0])}); leave those columns out or encode them as numbers")
    return list(chosen), list(left)


def near(name: str, names: Sequence[str]) -> str:
    """What a wrong name may have meant, as a sentence's end.

    Example:
        >>> near("pixle*", ["pixel0", "pixel1", "label"])
        "did you mean 'pixel*'?"
        >>> near("q", ["a", "b"])
        'there are a, b'
    """
    stems = [n.rstrip("0123456789") + "*" for n in names if n[-1:].isdigit()]
    known = list(dict.fromkeys([*names, *stems] if "*" not in name else [*stems, *names]))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if "*" in name and any(c.endswith("*") for c in close):
        close = [c for c in close if c.endswith("*")]
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return "there are " + ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def plain_type(kind: Any) -> Any:
    """A type without the name that an extension gives it."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def is_list(kind: Any) -> bool:
    """Whether a column holds lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def inner_type(kind: Any) -> Any:
    """The type of what is in lists, in whatever depth."""
    while is_list(kind):
        kind = plain_type(kind.value_type)
    return kind


def is_number(kind: Any) -> bool:
    """Whether a type is a number, truth values included; a column of nothing but nulls counts too."""
    t = pa.types
    return bool(t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind) or t.is_decimal(kind)
                or t.is_null(kind))


def matrix(column: Any, name: str, width: int | None = None) -> NDArray[np.float64]:
    """A column of numbers, or of lists that all have one length, as an array; NaN where a value is missing.

    Args:
        column: A pyarrow array of one batch.
        name: Of the column, for messages.
        width: Numbers a row; None: whatever the lists have.

    Returns:
        (rows, width).

    Raises:
        PellucidError: for lists of several lengths.

    Example:
        >>> matrix(pa.array([[1, 2], None, [3, 4]]), "v").tolist()
        [[1.0, 2.0], [nan, nan], [3.0, 4.0]]
    """
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    there = column.is_valid().to_numpy(zero_copy_only=False)
    full, many = column if there.all() else column.drop_null(), 1
    while is_list(full.type):
        lengths = pc.unique(pc.list_value_length(full)).to_pylist()
        if len(lengths) > 1 or None in lengths:
            raise PellucidError(f"expected vectors of one length in {name!r}, got lengths "
                                f"{' and '.join(map(str, lengths[:2]))}; make them equally long")
        many *= lengths[0] if lengths else 0
        full = full.flatten()
    if width is not None and there.any() and many != width:
        raise PellucidError(f"expected vectors of length {width} in {name!r} as in its first row, got {many}; make "
                            "them equally long")
    if not there.any():
        return np.full((len(column), width or 1), np.nan)
    flat = full.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).reshape(int(there.sum()), many)
    if there.all():
        return flat  # type: ignore[no-any-return]
    out = np.full((len(column), many), np.nan)
    out[there] = flat
    return out


def widths(source: Source, names: Sequence[str]) -> list[int]:
    """How many numbers a row has in each column: 1, or the length of its lists.

    Raises:
        PellucidError: if a list is empty or has gaps.
    """
    lists = [name for name in names if is_list(source.type_of(name))]
    found: dict[str, int] = {}
    for batch in source.batches(lists, rows=64) if lists else ():
        for name in lists:
            column = batch.column(name).drop_null()
            if name not in found and len(column):
                found[name] = matrix(column[:1], name).shape[1]
        if len(found) == len(lists):
            break
    if empty := [name for name in lists if not found.get(name)]:
        raise PellucidError(f"expected vectors in {empty[0]!r}, got only empty ones; choose another column")
    return [found.get(name, 1) for name in names]


def blocks(source: Source, names: Sequence[str], sizes: Sequence[int], more: Sequence[str] = ()
           ) -> Iterator[tuple[NDArray[np.float64], Any]]:
    """The table piece by piece: (rows, features) numbers, and the batch, which has the columns ``more`` too.

    Args:
        source: The table.
        names: Columns of features.
        sizes: How many numbers a row each has.
        more: Further columns.
    """
    width = sum(sizes)
    columns = list(dict.fromkeys([*names, *more]))
    for batch in source.batches(columns, rows=int(np.clip(_CELLS // width, 64, 1 << 16))):
        out, at = np.empty((len(batch), width)), 0
        for name, size in zip(names, sizes, strict=True):
            out[:, at:at + size] = matrix(batch.column(name), name, size)
            at += size
        yield out, batch


def _without_views(table: Any) -> Any:
    """Polars' texts as ordinary ones: pyarrow's filters do not take views."""
    for at, field in enumerate(table.schema):
        to = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}.get(field.type)
        if to is not None:
            table = table.set_column(at, field.name, table.column(at).cast(to))
    return table


def _first_line(error: BaseException) -> str:
    """What an error of pyarrow says, without the path that the user knows."""
    text = str(error).strip().split("\n")[0].rstrip(".")
    return re.sub(r"^Error creating dataset.*?: Could not open .*?'[^']*': ", "", text)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Tells what pyarrow raises in one sentence."""
    try:
        yield
    except PellucidError:
        raise
    except PermissionError as error:
        raise PellucidError(f"expected to read {name}, got: permission denied; change its permissions") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DamagedFileError(f"expected a table in {name}, got a file that cannot be read ({_first_line(error)}); "
                               "export it again") from error
