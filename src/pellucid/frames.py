"""Tables in memory and parquet files, whoever's they are: names of columns, and rows in pieces as Python values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.errors import PellucidError

if TYPE_CHECKING:
    import pyarrow as pa

PIECE = 1024
"""Rows that are turned into Python values at a time."""


@dataclass(frozen=True)
class Frame:
    """A table whose rows may be read again and again.

    Attributes:
        names: Of its columns, as texts.
        kind: Whose it is, for messages.
        source: The table itself; a path of a parquet file, or the file.
    """

    names: tuple[str, ...]
    kind: str
    source: Any

    @staticmethod
    def of(table: Any) -> Frame | None:
        """A frame of pandas or Polars, a table, batch, reader or dataset of Arrow, or a mapping of columns.

        Frames are known by their class, so that neither pandas nor Polars need be there. The index of pandas is no
        column. A reader, which can be read only once, is read whole.

        Args:
            table: Anything.

        Returns:
            None if it is none of these.

        Raises:
            PellucidError: if it is one whose rows cannot be read.

        Example:
            >>> frame = Frame.of({"x": [1, 2.5, None], "on": [True, False, "a"]})
            >>> frame.names, list(frame.rows())
            (('x', 'on'), [('1', 'True'), ('2.5', 'False'), ('', 'a')])
        """
        home, name = type(table).__module__.partition(".")[0], type(table).__name__
        if home == "pandas" and name == "DataFrame":
            return Frame(tuple(map(_name, table.columns)), "pandas", table)
        if home == "polars" and name == "DataFrame":
            return Frame(tuple(table.columns), "polars", table)
        if home == "polars" and name == "LazyFrame":
            raise PellucidError("expected a frame of Polars, got a LazyFrame; call collect() first")
        if home == "pyarrow" and hasattr(table, "read_all"):
            table = table.read_all()
        if home == "pyarrow" and hasattr(table, "schema"):
            return Frame(tuple(table.schema.names), "arrow", table)
        if isinstance(table, Mapping):
            return _of_mapping(table)
        if hasattr(table, "__arrow_c_stream__"):
            import pyarrow as pa

            try:
                return Frame.of(pa.table(table))
            except (pa.ArrowException, TypeError):  # a column has a stream too
                return None
        return None

    @staticmethod
    def of_parquet(file: Any, name: str) -> Frame:
        """A parquet file; only its columns' names are read.

        Args:
            file: Its path, or an open file.
            name: What to call it in errors.

        Raises:
            PellucidError: if it is no parquet file.
        """
        import pyarrow as pa
        from pyarrow import parquet

        try:
            return Frame(tuple(parquet.ParquetFile(file).schema_arrow.names), f"parquet {name}", file)
        except (pa.ArrowException, OSError) as error:
            raise PellucidError(f"expected a parquet file in {name}, got a file that cannot be read "
                                f"({str(error).splitlines()[0]}); export it again") from None

    def types(self) -> tuple[pa.DataType | None, ...]:
        """Of each column of whole numbers, floats, truth values or times its type, so that its texts can go back.

        Example:
            >>> import pyarrow as pa
            >>> Frame.of(pa.table({"x": [1, 2], "name": ["a", "b"]})).types()
            (DataType(int64), None)
        """
        import pyarrow as pa
        from pyarrow import parquet

        if self.kind == "pandas":
            found = [_pandas_type(self.source.iloc[:0, i]) for i in range(len(self.names))]
        elif self.kind == "polars":
            found = [column.to_arrow().type if str(column.dtype) == "Boolean" or column.dtype.is_numeric()
                     or column.dtype.is_temporal() else None for column in self.source.head(0).get_columns()]
        elif self.kind == "mapping":
            found = [None] * len(self.names)
        else:
            schema = self.source.schema if self.kind == "arrow" else parquet.ParquetFile(self.source).schema_arrow
            found = schema.types
        return tuple(kind if kind is not None and (
            pa.types.is_integer(kind) or kind in (pa.float32(), pa.float64(), pa.bool_(), pa.date32())
            or (pa.types.is_timestamp(kind) and kind.tz is None)) else None for kind in found)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Its rows: cells as text, ``""`` where a value is missing; values that are no numbers or texts as they are.

        Raises:
            PellucidError: if a parquet file turns out to be damaged.
        """
        for piece in self._pieces():
            yield from zip(*piece, strict=True)

    def _pieces(self) -> Iterator[list[list[Any]]]:
        table = self.source
        if self.kind == "pandas":
            for at in range(0, len(table), PIECE):
                piece = table.iloc[at:at + PIECE]
                yield [_cells(piece.iloc[:, i].tolist(), piece.dtypes.iloc[i]) for i in range(len(self.names))]
        elif self.kind == "polars":
            for piece in table.iter_slices(PIECE):
                yield [_cells(column.to_list(), column.dtype) for column in piece.get_columns()]
        elif self.kind == "mapping":
            many = len(table[0]) if table else 0
            for at in range(0, many, PIECE):
                yield [_cells(_listed(column[at:at + PIECE]), getattr(column, "dtype", "")) for column in table]
        else:
            for batch in self._batches():
                for at in range(0, len(batch), PIECE):
                    piece = batch.slice(at, PIECE)
                    yield [_cells(column.to_pylist(), column.type) for column in piece.columns]

    def _batches(self) -> Iterator[Any]:
        if not self.kind.startswith("parquet"):
            if hasattr(self.source, "to_batches"):
                yield from self.source.to_batches()
            else:
                yield self.source
            return
        import pyarrow as pa
        from pyarrow import parquet

        try:
            if hasattr(self.source, "seek"):
                self.source.seek(0)
            yield from parquet.ParquetFile(self.source).iter_batches(batch_size=PIECE)
        except (pa.ArrowException, OSError) as error:
            raise PellucidError(f"expected a whole {self.kind}, got one that cannot be read to its end "
                                f"({str(error).splitlines()[0]}); export it again") from None


def _pandas_type(column: Any) -> pa.DataType | None:
    import pyarrow as pa

    try:
        return pa.array(column, from_pandas=True).type
    except (pa.ArrowException, TypeError, ValueError):  # complex numbers, and what Arrow has no type for
        return None


def _of_mapping(table: Mapping[Any, Any]) -> Frame:
    columns = []
    for name, column in table.items():
        if isinstance(column, (str, bytes)) or not (hasattr(column, "__len__") and hasattr(column, "__getitem__")):
            raise PellucidError(f"expected a list of values for the column {name!r}, got {type(column).__name__}; give "
                                "lists of one length")
        columns.append(column.reset_index(drop=True) if hasattr(column, "reset_index") else column)
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise PellucidError(f"expected columns of one length, got {' and '.join(map(str, sorted(lengths)[:3]))}; make "
                            "them equally long")
    return Frame(tuple(map(_name, table)), "mapping", columns)


def _name(name: Any) -> str:
    """Of a column; several levels of pandas are joined."""
    return "/".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _listed(values: Any) -> Sequence[Any]:
    for way in ("tolist", "to_list", "to_pylist"):
        if hasattr(values, way):
            return list(getattr(values, way)())
    return list(values)


def _cells(values: Sequence[Any], kind: Any) -> list[Any]:
    """Values as texts; those of few digits are not written with more of them."""
    if str(kind).lower() in ("float", "halffloat", "float16", "float32"):
        kind = np.float16 if str(kind).lower() in ("halffloat", "float16") else np.float32
        if not str(kind).startswith("f"):
            return ["" if value is None or value != value else str(kind(value)) for value in values]
    return [cell(value) for value in values]


def cell(value: Any) -> Any:
    """A value as text; what is no number, text, truth value, date or list stays as it is.

    Example:
        >>> [cell(value) for value in ("a ", 3, 0.1, float("nan"), None, True, [1, 2])]
        ['a', '3', '0.1', '', '', 'True', '[1, 2]']
    """
    if isinstance(value, str):
        return value.strip()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, (float, np.floating)):
        return "" if value != value else str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    home = type(value).__module__.partition(".")[0]
    return value if home not in ("builtins", "numpy", "datetime", "decimal", "uuid", "pandas") else str(value)
