"""Pickles of plain data from strangers: nothing in them is run, and they choose no memory.

A pickle is a program that names functions and calls them. Here a name gives a placeholder of ours, which only notes
what it was called with; NumPy and pandas see nothing of the pickle. From the notes, plain arrays are then built and
checked: raw bytes never become pointers, fields lie inside their item, sizes fit, booleans are 0 or 1.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

ARRAYS = {
    **{("numpy", name): name for name in ("ndarray", "dtype")},
    **{(module, name): name for module in ("numpy.core.multiarray", "numpy._core.multiarray")
       for name in ("_reconstruct", "scalar")},
    **{(module, "_frombuffer"): "_frombuffer" for module in ("numpy.core.numeric", "numpy._core.numeric")},
}
"""Module and name -> what a pickle of arrays may name, besides :data:`MAKERS`: exactly these, no attribute of them."""

TABLES = {
    **{("pandas", name): name for name in ("DataFrame", "Series", "Index", "RangeIndex", "MultiIndex", "StringDtype")},
    ("pandas.core.frame", "DataFrame"): "DataFrame",
    ("pandas.core.series", "Series"): "Series",
    ("pandas.core.internals.managers", "BlockManager"): "BlockManager",
    ("pandas.core.internals.managers", "SingleBlockManager"): "BlockManager",
    ("pandas.core.internals.blocks", "new_block"): "block",
    ("pandas._libs.internals", "_unpickle_block"): "block",
    ("pandas.core.indexes.base", "Index"): "Index",
    ("pandas.core.indexes.base", "_new_Index"): "_new_Index",
    ("pandas.core.indexes.range", "RangeIndex"): "RangeIndex",
    ("pandas.core.indexes.numeric", "Int64Index"): "Index",
    ("pandas.core.indexes.numeric", "Float64Index"): "Index",
    ("pandas.core.indexes.multi", "MultiIndex"): "MultiIndex",
    ("pandas.arrays", "ArrowStringArray"): "ArrowStringArray",  # column names of pandas 3
    **{("pyarrow.lib", name): name for name in ("py_buffer", "_restore_array", "type_for_alias")},
}
"""The same for pickles of pandas tables, besides :data:`ARRAYS`."""

LEAVES = {type(None), bool, int, float, complex, str, bytes, bytearray, slice, Ellipsis.__class__}
DTYPE = re.compile(r"b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SUV](0|[1-9][0-9]{0,8})|[Mm]8|O[48]?")
UNITS = ("generic", "Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as")
LONGEST_RANGE = 10**7
"""A range of a table is a few bytes in the file; longer ones are not made into an array."""


class Refused(pickle.UnpicklingError):
    """What a pickle wants and does not get, in a few words: ``os.system``."""

    def __init__(self, wanted: str) -> None:
        super().__init__("".join(c if c.isprintable() else "?" for c in wanted[:150]))  # words of a stranger


def _need(fits: bool, wanted: str) -> None:
    if not fits:
        raise Refused(wanted)


class _Sealed(type):
    """Classes that a pickle may hold but not change."""

    def __setattr__(cls, name: str, value: Any) -> NoReturn:
        raise Refused(f"to set {name} of {cls.__name__}")

    @property
    def __setstate__(cls) -> Callable[[Any], None]:
        raise Refused(f"to set attributes of {cls.__name__}")


class _Record(metaclass=_Sealed):
    """A call of something that a pickle named, not made, and the state that it would have got."""

    __slots__ = ("args", "state")
    kind = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> _Record:
        self = object.__new__(cls)
        self.args = args
        self.state = None
        return self

    def __setstate__(self, state: Any) -> None:
        _need(self.state is None, f"to set the state of {self.kind} twice")
        self.state = state


class _Maker:
    """A function for plain values, which a pickle may call but not change."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.make, self.name = make, name

    def __call__(self, *args: Any) -> Any:
        try:
            return self.make(*args)
        except (TypeError, ValueError, UnicodeError):
            raise Refused(f"{self.name} of something else than plain values") from None

    def __setstate__(self, state: Any) -> NoReturn:
        raise Refused(f"to set attributes of {self.name}")


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """What old pickles of arrays call: bytes that were written as text."""
    _need(type(text) is str and encoding in ("latin1", "latin-1"), f"the encoding {encoding}")
    return text.encode("latin1")


def _bytes(content: Any = b"", *encoding: str) -> bytes:
    """Of bytes or text, not of a number, which would choose a size."""
    _need(isinstance(content, (bytes, bytearray, str)), "bytes of something else than bytes")
    return _latin1(content, *encoding) if isinstance(content, str) else bytes(content)


def _items(content: Any = ()) -> Any:
    _need(isinstance(content, (list, tuple, set, frozenset, dict)), "a container of something else than one")
    return content


def _slice(*limits: Any) -> slice:
    _need(all(limit is None or type(limit) is int for limit in limits), "a slice between other things than numbers")
    return slice(*limits)


def _complex(real: float, imaginary: float = 0.0) -> complex:
    _need(type(real) in (int, float) and type(imaginary) in (int, float), "complex of something else than numbers")
    return complex(real, imaginary)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "list": lambda *args: list(_items(*args)), "tuple": lambda *args: tuple(_items(*args)),
    "set": lambda *args: set(_items(*args)), "frozenset": lambda *args: frozenset(_items(*args)),
    "dict": lambda *args: dict(_items(*args)), "slice": _slice, "complex": _complex, "bytes": _bytes,
    "bytearray": lambda *args: bytearray(_bytes(*args)),
}
BUILTINS = {name: _Maker(name, make) for name, make in _FUNCTIONS.items()}
"""Name -> what stands for a builtin."""

MAKERS = {
    **{(module, name): maker for module in ("builtins", "__builtin__") for name, maker in BUILTINS.items()},
    ("collections", "OrderedDict"): BUILTINS["dict"],
    ("_codecs", "encode"): _Maker("encode", _latin1),
}
RECORDS = {key: _Sealed(key[1], (_Record,), {"__slots__": (), "kind": kind}) for key, kind in (ARRAYS | TABLES).items()}


class _Notes(pickle.Unpickler):
    def __init__(self, file: IO[bytes], *, tables: bool) -> None:
        super().__init__(file)
        self.tables = tables

    def find_class(self, module: str, name: str) -> Any:
        key = module, name
        if key in MAKERS:
            return MAKERS[key]
        if key in ARRAYS or (self.tables and key in TABLES):
            return RECORDS[key]
        raise Refused(f"{module}.{name}")


def load(file: IO[bytes], *, tables: bool = False) -> Any:
    """A pickle of plain values, containers and NumPy arrays, and of pandas tables where they are asked for.

    Args:
        file: Open for reading; read up to the end of its first pickle.
        tables: Read pandas too (which need not be installed): a DataFrame becomes a dict of its columns, a Series or an
            Index an array; the labels of rows are not kept.

    Returns:
        What it holds, as far as it is plain: an ``OrderedDict`` becomes a dict.

    Raises:
        Refused: if it wants anything that plain data do not need; this was not run.
        pickle.UnpicklingError: if it is damaged.
        EOFError: if it is cut off.

    Example:
        >>> import io
        >>> load(io.BytesIO(pickle.dumps({"x": np.arange(3), "name": "a"})))
        {'x': array([0, 1, 2]), 'name': 'a'}
        >>> load(io.BytesIO(pickle.dumps(print)))
        Traceback (most recent call last):
        ...
        pellucid.pickled.Refused: builtins.print
    """
    try:
        raw = _Notes(file, tables=tables).load()
        plain = _Plain()
        return plain.frame(raw) if isinstance(raw, _Record) and raw.kind == "DataFrame" else plain(raw)
    except (pickle.UnpicklingError, EOFError):
        raise
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to cause
        raise pickle.UnpicklingError(f"{type(error).__name__}: {' '.join(str(error).split())[:150]}") from error


def array_of(data: Any, dtype: np.dtype[Any], shape: Any, order: Any = "C") -> NDArray[Any]:
    """An array from its raw bytes, where these are what they should be.

    Args:
        data: Bytes of all items.
        dtype: Of no objects.
        shape: Must fit the bytes.
        order: ``"C"``, or ``"F"`` where the first index changes fastest.

    Returns:
        A copy, which can be written to.

    Raises:
        Refused: if they do not fit.

    Example:
        >>> array_of(bytes([1, 0, 2, 0]), np.dtype("<u2"), (2,))
        array([1, 2], dtype=uint16)
    """
    _need(not dtype.hasobject, "an object array from raw bytes")
    _need(dtype.subdtype is None and dtype.itemsize > 0, f"an array of {dtype}")
    _need(isinstance(data, (bytes, bytearray)) and _is_shape(shape) and order in ("C", "F"),
          "an array of no known form")
    _need(math.prod(shape) * dtype.itemsize == len(data),
          f"an array of {dtype} and shape {shape} from {len(data)} bytes")
    array = np.array(np.frombuffer(data, dtype)) if data else np.empty(0, dtype)
    _check(array)
    return array.reshape(shape, order=order)


def object_array(values: list[Any]) -> NDArray[np.object_]:
    """One value an item, whatever they are.

    Example:
        >>> object_array([[1, 2], [3, 4]]).shape
        (2,)
    """
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def _is_shape(shape: Any) -> bool:
    return (isinstance(shape, tuple) and len(shape) <= 32 and all(type(n) is int and n >= 0 for n in shape)
            and math.prod(max(n, 1) for n in shape) < 2**48)  # also where another length is 0: strides must fit


def _check(array: NDArray[Any]) -> None:
    """NumPy takes for granted that a boolean is 0 or 1, and a character one of Unicode."""
    if array.dtype.names is not None:
        for name in array.dtype.names:
            _check(array[name])
    elif array.dtype.kind == "b":
        _need(int(np.ascontiguousarray(array).view(np.uint8).max(initial=0)) <= 1, "booleans beyond 0 and 1")
    elif array.dtype.kind == "U":
        codes = np.ascontiguousarray(array).reshape(-1).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        _need(int(codes.max(initial=0)) <= 0x10FFFF, "characters beyond Unicode")


class _Plain:
    """Builds plain values from what was noted."""

    def __init__(self) -> None:
        self.done: dict[int, Any] = {}  # by id: all of them are held by the root while this works
        self.open: set[int] = set()
        self.makers: dict[str, Callable[[_Record], Any]] = {
            "dtype": self.dtype, "_reconstruct": self.array, "_frombuffer": self.buffered, "scalar": self.scalar,
            "Series": self.series, "_new_Index": self.index, "ArrowStringArray": self.strings,
        }

    def __call__(self, raw: Any) -> Any:
        kind = type(raw)
        if kind in LEAVES:
            return raw
        key = id(raw)
        if key not in self.done:
            _need(key not in self.open, "a value that holds itself")
            self.open.add(key)
            self.done[key] = self._made(raw, kind)
            self.open.discard(key)
        return self.done[key]

    def _made(self, raw: Any, kind: type) -> Any:
        if kind is dict:
            return {self(k): self(v) for k, v in raw.items()}
        if kind in (list, tuple, set, frozenset):
            return kind(self(v) for v in raw)
        if isinstance(raw, _Record):
            _need(raw.kind in self.makers, f"{raw.kind} as a value")
            return self.makers[raw.kind](raw)
        name = raw.name if isinstance(raw, _Maker) else getattr(raw, "__name__", kind.__name__)
        raise Refused(f"{name} itself as a value")

    # -- arrays
    def dtype(self, raw: _Record) -> np.dtype[Any]:
        code: Any = raw.args[0] if raw.args else None
        _need(isinstance(code, str) and len(raw.args) <= 3, "a dtype without a name")
        _need(DTYPE.fullmatch(code) is not None, f"the dtype {code!r}")
        state: Any = (3, "|", None, None, None, -1, -1, 63 if code[0] == "O" else 0) if raw.state is None else raw.state
        _need(isinstance(state, tuple) and len(state) in (8, 9) and state[0] in (3, 4),
              f"the dtype {code} of no known form")
        order, inner, names, fields, size, _, flags = state[1:8]
        _need(order in ("<", ">", "=", "|") and type(size) is int and type(flags) is int,
              f"the dtype {code} of no known form")
        _need((flags & 1 == 1) == (code[0] == "O"), f"the dtype {code} with flags of another one")
        if code[0] == "V":
            _need(size == int(code[1:]), f"the dtype {code} of {size} bytes")
            return self._fields(names, fields, size) if inner is None else self._inner(inner, size)
        _need(inner is None and names is None and fields is None, f"the dtype {code} with fields")
        if code[0] == "O":
            return np.dtype(object)
        unit = _unit(state[8]) if code[0] in "Mm" and len(state) == 9 else ""
        dtype: np.dtype[Any] = np.dtype(code + unit)
        _need(size in (-1, dtype.itemsize), f"the dtype {code} of {size} bytes")
        return dtype if order in ("|", "=") else dtype.newbyteorder(order)

    def _plain_dtype(self, raw: Any) -> np.dtype[Any]:
        _need(isinstance(raw, _Record) and raw.kind == "dtype", "an array of no dtype")
        dtype: np.dtype[Any] = self(raw)
        return dtype

    def _fields(self, names: Any, fields: Any, size: int) -> np.dtype[Any]:
        _need(isinstance(names, tuple) and isinstance(fields, dict) and all(type(n) is str for n in names)
              and len(names) == len(fields) and set(names) == set(fields) and len(names) > 0, "a dtype of raw memory")
        formats, offsets, spans = [], [], []
        for name in names:
            field = fields[name]
            _need(isinstance(field, tuple) and len(field) == 2 and type(field[1]) is int,
                  f"the field {name!r} of no known form")
            dtype = self._plain_dtype(field[0])
            _need(not dtype.hasobject and dtype.itemsize > 0, f"the field {name!r} of {dtype}")
            formats.append(dtype)
            offsets.append(field[1])
            spans.append((field[1], field[1] + dtype.itemsize))
        edges = [0, *(edge for span in sorted(spans) for edge in span), size]
        _need(edges == sorted(edges), "fields that overlap or leave their item")
        return np.dtype({"names": list(names), "formats": formats, "offsets": offsets, "itemsize": size})

    def _inner(self, inner: Any, size: int) -> np.dtype[Any]:
        _need(isinstance(inner, tuple) and len(inner) == 2, "a dtype of no known form")
        dtype, shape = self._plain_dtype(inner[0]), inner[1] if isinstance(inner[1], tuple) else (inner[1],)
        _need(not dtype.hasobject and dtype.subdtype is None and _is_shape(shape)
              and math.prod(shape) * dtype.itemsize == size > 0, "an inner array that leaves its item")
        return np.dtype((dtype, shape))

    def array(self, raw: _Record) -> NDArray[Any]:
        kind = raw.args[0] if raw.args else None
        _need(isinstance(kind, _Sealed) and getattr(kind, "kind", "") == "ndarray", "an array of another class")
        state = raw.state
        _need(isinstance(state, tuple) and len(state) == 5 and state[0] == 1, "an array without content")
        _, shape, dtype, columns, data = state
        dtype = self._plain_dtype(dtype)
        if not dtype.hasobject:
            data = data.encode("latin1") if isinstance(data, str) else data  # of Python 2
            return array_of(data, dtype, shape, "F" if columns else "C")
        _need(isinstance(data, list), "an object array from something else than a list")
        _need(_is_shape(shape) and math.prod(shape) == len(data), "an object array of another shape than its list")
        return object_array([self(v) for v in data]).reshape(shape)  # listed row by row, also where stored by columns

    def buffered(self, raw: _Record) -> NDArray[Any]:
        _need(len(raw.args) in (4, 5), "an array of no known form")
        data, dtype, shape, order = raw.args[:4]
        if order != "K":
            return array_of(data, self._plain_dtype(dtype), shape, order)
        array, axes = array_of(data, self._plain_dtype(dtype), shape), raw.args[-1]
        _need(isinstance(axes, tuple) and all(type(a) is int for a in axes) and sorted(axes) == list(range(array.ndim)),
              "an array of no known order")
        return array.transpose(axes)

    def scalar(self, raw: _Record) -> Any:
        _need(len(raw.args) == 2, "a number of no known form")
        dtype, data = self._plain_dtype(raw.args[0]), raw.args[1]
        if dtype.kind in "SU" and dtype.itemsize == 0 and not data:
            return dtype.type()
        return array_of(data.encode("latin1") if isinstance(data, str) else data, dtype, (1,))[0]

    # -- tables
    def frame(self, raw: _Record) -> dict[str, NDArray[Any]]:
        axes, blocks = self._manager(raw)
        _need(len(axes) == 2, "a table of other than two axes")
        labels = self.labels(axes[0])
        columns: dict[int, NDArray[Any]] = {}
        for values, place in blocks:
            where: Any = range(len(labels))[place] if isinstance(place, slice) else np.asarray(self(place)).tolist()
            rows = self._rows(values)
            _need(rows.ndim == 2 and isinstance(where, (list, range)) and len(rows) == len(where)
                  and all(type(i) is int and 0 <= i < len(labels) for i in where), "a table whose parts do not fit")
            columns |= dict(zip(where, rows, strict=True))
        _need(len(columns) == len(labels) == sum(len(self._rows(values)) for values, _ in blocks),
              "a table with a column twice or not at all")
        _need(len({len(column) for column in columns.values()}) <= 1, "a table with columns of several lengths")
        named = {str(label): columns[i] for i, label in enumerate(labels)}
        _need(len(named) == len(columns), "a table with columns of one name")
        return named

    def _rows(self, values: Any) -> NDArray[Any]:
        """One row a column of the table, as pandas stores them."""
        array: NDArray[Any] = np.asarray(self(values))
        return array[None] if array.ndim == 1 else array

    def series(self, raw: _Record) -> NDArray[Any]:
        _, blocks = self._manager(raw)
        _need(len(blocks) == 1, "a series of several parts")
        array: NDArray[Any] = np.asarray(self(blocks[0][0]))
        return array

    def _manager(self, raw: _Record) -> tuple[list[Any], list[tuple[Any, Any]]]:
        """Axes and (values, places) of each block."""
        state = raw.state if isinstance(raw.state, dict) else {}
        manager = state.get("_mgr", state.get("_data"))
        _need(isinstance(manager, _Record) and manager.kind == "BlockManager", "a table of no known form")
        assert isinstance(manager, _Record)
        if isinstance(manager.state, tuple):  # (axes, values, labels, {version: all of it again})
            whole = manager.state[3] if len(manager.state) >= 4 else None
            content: Any = whole.get("0.14.1") if isinstance(whole, dict) else None
            _need(isinstance(content, dict), "a table of no known form")
            axes, parts = content.get("axes"), content.get("blocks")
            _need(isinstance(parts, (list, tuple)) and all(isinstance(p, dict) and {"values", "mgr_locs"} <= set(p)
                                                          for p in parts), "a table of no known form")
            blocks = [(part["values"], part["mgr_locs"]) for part in parts]
        else:
            _need(len(manager.args) == 2 and isinstance(manager.args[0], (tuple, list)), "a table of no known form")
            parts, axes = manager.args
            _need(all(isinstance(p, _Record) and p.kind == "block" and len(p.args) >= 2 for p in parts),
                  "a table of no known form")
            blocks = [part.args[:2] for part in parts]
        _need(isinstance(axes, (list, tuple)), "a table of no known form")
        return list(axes), blocks

    def labels(self, raw: Any) -> list[Any] | range:
        """What an index holds."""
        _need(isinstance(raw, _Record) and raw.kind == "_new_Index" and len(raw.args) == 2
              and isinstance(raw.args[0], _Sealed) and isinstance(raw.args[1], dict), "an index of no known form")
        kind, state = getattr(raw.args[0], "kind", ""), raw.args[1]
        if kind == "RangeIndex":
            numbers: Any = [state.get(word) for word in ("start", "stop", "step")]
            _need(all(type(n) is int and abs(n) < 2**62 for n in numbers) and numbers[2] != 0,
                  "an index of no known form")
            _need(len(range(*numbers)) <= LONGEST_RANGE, f"an index of more than {LONGEST_RANGE} labels")
            return range(*numbers)
        if kind == "Index":
            array = self(state.get("data"))
            _need(isinstance(array, np.ndarray) and array.ndim == 1, "an index of no known form")
            return list(array.tolist())
        levels, codes = state.get("levels"), state.get("codes")
        _need(kind == "MultiIndex" and isinstance(levels, (list, tuple)) and isinstance(codes, (list, tuple))
              and 0 < len(levels) == len(codes), "an index of no known form")
        parts = []
        for level, code in zip(levels, codes, strict=True):
            words, places = self.labels(level), np.asarray(self(code)).tolist()
            _need(isinstance(places, list) and all(type(i) is int and -1 <= i < len(words) for i in places),
                  "an index of no known form")
            parts.append([math.nan if i < 0 else words[i] for i in places])
        return list(zip(*parts, strict=True))

    def index(self, raw: _Record) -> NDArray[Any]:
        labels = self.labels(raw)
        if isinstance(labels, range):
            return np.arange(labels.start, labels.stop, labels.step)
        if labels and isinstance(labels[0], tuple):
            return object_array(labels)
        return np.asarray(self(raw.args[1].get("data", [])))

    def strings(self, raw: _Record) -> NDArray[np.object_]:
        """Text in Arrow's layout: all of it in one buffer, with where each one starts."""
        made = raw.state.get("_pa_array") if isinstance(raw.state, dict) else None
        content: Any = made.args[0] if isinstance(made, _Record) and made.kind == "_restore_array" and made.args else ()
        _need(isinstance(content, tuple) and len(content) >= 5 and isinstance(content[4], list)
              and len(content[4]) == 3, "text of no known form")
        alias, length, _, start, buffers = content[:5]
        _need(isinstance(alias, _Record) and alias.kind == "type_for_alias" and len(alias.args) == 1
              and alias.args[0] in ("string", "large_string"), "an Arrow array of something else than text")
        _need(type(length) is int and type(start) is int and 0 <= start < 2**62 and 0 <= length < 2**62,
              "text of no known form")
        if length == 0:
            return object_array([])
        known, offsets, text = (_buffer(buffer) for buffer in buffers)
        wide = np.dtype("<i4" if alias.args[0] == "string" else "<i8")
        count = len(offsets) // wide.itemsize
        numbers = np.frombuffer(offsets, wide, count)[start:start + length + 1] if count else np.empty(0, wide)
        _need(len(numbers) == length + 1 and numbers[0] >= 0 and bool((numbers[:-1] <= numbers[1:]).all())
              and numbers[-1] <= len(text), "text that leaves its buffer")
        _need(not known or len(known) * 8 >= start + length, "text that leaves its buffer")
        present = np.unpackbits(np.frombuffer(known, np.uint8), bitorder="little")[start:start + length] if known else (
            np.ones(length, np.uint8))
        edges = numbers.tolist()
        return object_array([bytes(text[a:b]).decode("utf-8") if there else math.nan
                             for a, b, there in zip(edges[:-1], edges[1:], present, strict=True)])


def _buffer(raw: Any) -> bytes:
    if raw is None:
        return b""
    _need(isinstance(raw, _Record) and raw.kind == "py_buffer" and len(raw.args) == 1
          and isinstance(raw.args[0], (bytes, bytearray)), "an Arrow buffer of something else than bytes")
    return bytes(raw.args[0])


def _unit(metadata: Any) -> str:
    """As NumPy writes it behind the name of a type of times: ``[ns]``."""
    _need(isinstance(metadata, tuple) and len(metadata) == 2 and isinstance(metadata[1], tuple)
          and len(metadata[1]) == 4, "times of no known unit")
    unit, number, *rest = metadata[1]
    unit = unit.decode("latin1") if isinstance(unit, bytes) else unit
    _need(unit in UNITS and type(number) is int and 0 < number < 2**31 and rest == [1, 1], "times of no known unit")
    return "" if unit == "generic" else f"[{number}{unit}]"
