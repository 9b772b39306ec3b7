"""Plain columns as an Arrow table, without pandas, which pyarrow imports to convert lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def arrow_table(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """A table of columns that hold numbers, bools or strings; any others are left to pyarrow.

    Args:
        columns: Name -> values, all of one length.

    Example:
        >>> table = arrow_table({"id": ["a", "bä"], "n": [1, 2], "x": [0.5, float("nan")], "on": [True, False]})
        >>> [str(kind) for kind in table.schema.types], table.column("id").to_pylist()
        (['string', 'int64', 'double', 'bool'], ['a', 'bä'])
    """
    return pa.Table.from_arrays([_array(values) for values in columns.values()], names=list(columns))


def _array(values: Sequence[Any]) -> Any:
    kinds = {type(value) for value in values}
    if kinds == {str}:
        texts = [value.encode() for value in values]
        ends = np.cumsum([0, *map(len, texts)])
        if ends[-1] < 2**31:
            places = _buffer(ends.astype(np.int32))
            return pa.StringArray.from_buffers(len(texts), places, pa.py_buffer(b"".join(texts)))
    if kinds == {bool}:
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, _buffer(np.packbits(values, bitorder="little"))])
    if kinds == {int} and min(values) >= -(2**63) and max(values) < 2**63:
        return pa.Array.from_buffers(pa.int64(), len(values), [None, _buffer(np.array(values, dtype=np.int64))])
    if kinds == {float}:
        return pa.Array.from_buffers(pa.float64(), len(values), [None, _buffer(np.array(values, dtype=np.float64))])
    return pa.array(values)


def _buffer(values: Any) -> Any:
    return pa.py_buffer(np.ascontiguousarray(values))
