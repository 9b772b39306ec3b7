"""The guard that reads pickles of strangers. Nothing here would harm without it, and nothing is read without it."""

import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from pellucid import pickled
from pellucid.pickled import ARRAYS, MAKERS, RECORDS, TABLES, Refused, array_of, load, object_array

_reconstruct, scalar = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]
_frombuffer = np.zeros(1).__reduce_ex__(5)[0]
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


class Says:
    """A pickle that calls something and then sets its state."""

    def __init__(self, function, arguments, state=None):
        self.what = (function, arguments, state)

    def __reduce__(self):
        return self.what


def read(content, protocol=4, **options):
    return load(io.BytesIO(pickle.dumps(content, protocol)), **options)


def array(dtype, data, shape=(0,), columns=False):
    return Says(_reconstruct, (np.ndarray, (0,), b"b"), (1, shape, dtype, columns, data))


def dtype(code, *state):
    return Says(np.dtype, (code, False, True), state)


def fields(size, **named):
    """A dtype of (format, offset) by name."""
    return dtype(f"V{size}", 3, "|", None, tuple(named), named, size, 1, 16)


def same(a, b):
    assert type(a) is (dict if type(b) is OrderedDict else type(b))
    if isinstance(b, (np.ndarray, np.generic)):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if b.dtype == object:
            same(a.ravel().tolist(), b.ravel().tolist())
        else:
            np.testing.assert_array_equal(a, b)
    elif isinstance(b, dict):
        assert list(a) == list(b)
        for key in b:
            same(a[key], b[key])
    elif isinstance(b, (list, tuple)):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            same(one, other)
    else:
        assert a == b


OBJECTS = object_array([1, "a", None, [2.5], {"k": np.arange(2)}, (3, np.float32(4))]).reshape(2, 3)
PLAIN = [
    np.arange(3.0), np.arange(6).reshape(2, 3).T, np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2), np.zeros((0, 4)),
    np.array(5.0), np.arange(3, dtype=">i2"), np.array([1 + 2j]), np.array([True, False]), np.array(["ab", "é"]),
    np.array([b"x", b"yz"]), np.array(["2020"], "M8[D]"), np.array([5], "m8[10ns]"), np.array([1, 2], np.float16),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8", (2,))]),
    np.zeros(2, np.dtype([("a", "i1"), ("b", [("c", ">f4"), ("d", "?")])], align=True)),
    OBJECTS, np.asfortranarray(OBJECTS), np.array(None, dtype=object), np.zeros(0, dtype=object),
    np.float64(2), np.bool_(True), np.str_(""), np.str_("hé"), np.bytes_(b"q"), np.datetime64("2020"),
    {1, 2}, frozenset([1]), b"", b"x", bytearray(b""), bytearray(b"z"), 2j, slice(1, 2), 10**50, (1, (2, [3])),
    OrderedDict(a=1, b=np.int64(2)), {np.int64(3): "a"},
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_come_back(protocol):
    for value in PLAIN:
        same(read(value, protocol), value)


@pytest.mark.parametrize("module", ["numpy.core", "numpy._core"])
def test_so_do_pickles_of_the_old_and_the_new_numpy(module):
    content = pickle.dumps([np.arange(3), np.float32(2)], 2)
    content = content.replace(b"numpy._core.", b"numpy.core.").replace(b"numpy.core.", module.encode() + b".")
    same(load(io.BytesIO(content)), [np.arange(3), np.float32(2)])


def test_what_was_shared_is_shared_and_can_be_written_to():
    one = np.arange(3)
    back = read([one, one, {"a": one}])
    assert back[0] is back[1] is back[2]["a"]
    back[0][0] = 7
    assert back[1][0] == 7


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tables_are_what_pandas_makes_of_them(protocol):
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    frames = [
        pd.DataFrame({"x": [1.0, 2.0], "n": [3, 4], "o": object_array(["a", "b"]), "s": ["p", "é"], "b": [True, False],
                      "hits": [np.arange(2), [1, 2]], "i": np.array([1, 2], np.int32), "y": [0.5, 1.5]}),
        pd.DataFrame({1: [1, 2], 2: ["a", "b"]}, index=[5, 6]), pd.DataFrame({"x": [1.0]}, index=["r"]), pd.DataFrame(),
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])), pd.DataFrame({"x": []}),
        pd.DataFrame({"s": ["a", "bb", "ccc"], "n": [1, 2, 3]}).iloc[1:],
    ]
    for frame in frames:
        same(read(frame, protocol, tables=True), {str(name): frame[name].to_numpy() for name in frame.columns})
    missing = read(pd.DataFrame({"s": ["a", None]}), protocol, tables=True)["s"]
    assert missing[0] == "a"
    assert missing[1] is None or np.isnan(missing[1])
    parts = {"a": pd.Series([1, 2.5]), "b": pd.RangeIndex(2), "c": pd.Index([3, 4])}
    same(read(parts, protocol, tables=True), {name: part.to_numpy() for name, part in parts.items()})


def test_tables_are_asked_for():
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    with pytest.raises(Refused, match=r"^pandas.*DataFrame$"):
        read(pd.DataFrame({"x": [1]}))
    with pytest.raises(Refused, match="DataFrame as a value"):
        read([pd.DataFrame({"x": [1]})], tables=True)
    with pytest.raises(Refused, match="columns of one name"):
        read(pd.DataFrame([[1, 2]], columns=["a", "a"]), tables=True)
    with pytest.raises(Refused, match="more than"):
        read({"a": pd.RangeIndex(10**9)}, tables=True)
    with pytest.raises(Refused, match="pandas"):
        read(pd.DataFrame({"a": pd.Categorical(["a"])}), tables=True)


PLAIN_OBJECT = (3, "|", None, None, None, -1, -1)
ASKS = {
    "an object array from something else than a list": array(np.dtype(object), b""),
    "an object array from raw bytes": Says(_frombuffer, (b"", np.dtype(object), (0,), "C")),
    "object array from raw": Says(scalar, (np.dtype(object), b"")),
    "the dtype O8 with flags of another one": array(dtype("O8", *PLAIN_OBJECT, 0), []),
    "the dtype i8 with flags": array(dtype("i8", 3, "<", None, None, None, -1, -1, 63), b""),
    "the dtype i8 of 4 bytes": array(dtype("i8", 3, "<", None, None, None, 4, -1, 0), b""),
    "the dtype i8 with fields": array(dtype("i8", 3, "<", None, ("a",), {"a": (np.dtype("i8"), 0)}, -1, -1, 0), b""),
    "the dtype O8 with fields": array(dtype("O8", 3, "|", None, ("a",), {"a": (np.dtype("i8"), 0)}, 8, 1, 63), []),
    "the dtype 'i4,i4'": array(Says(np.dtype, ("i4,i4",)), b""),
    "a dtype without a name": array(Says(np.dtype, ({"names": ["a"], "formats": ["i1"]},)), b""),
    "a dtype of raw memory": array(dtype("V4", 3, "|", None, None, None, 4, 1, 0), b""),
    "fields that overlap": array(fields(4, a=(np.dtype("i2"), 0), b=(np.dtype("i2"), 1)), b""),
    "leave their item": array(fields(4, a=(np.dtype("i4"), 1)), b""),
    "fields that overlap or leave": array(fields(4, a=(np.dtype("i2"), -1)), b""),
    "the field 'a' of object": array(fields(8, a=(np.dtype(object), 0)), b""),
    "an inner array that leaves": array(dtype("V4", 3, "|", (np.dtype("i4"), (2,)), None, None, 4, 1, 0), b""),
    "an inner array": array(dtype("V8", 3, "|", (np.dtype(object), (1,)), None, None, 8, 1, 0), b""),
    "from 1 bytes": array(np.dtype("i1"), b"a", (2,)),
    "of another shape": array(np.dtype(object), [1], (2,)),
    "no known form": array(np.dtype("i1"), b"", (0, -1)),
    "an array of no known form": array(np.dtype("i1"), b"", (0, 2**60)),
    "booleans": array(np.dtype(bool), b"\x02", (1,)),
    "characters": array(np.dtype("<U1"), b"\0\0\x11\0", (1,)),
    "times": array(dtype("M8", 4, "<", None, None, None, -1, -1, 0, (None, ("x", 1, 1, 1))), b""),
    "an array without content": Says(_reconstruct, (np.ndarray, (0,), b"b")),
    "an array of another class": Says(_reconstruct, (np.dtype, (0,), b"b"), (1, (0,), np.dtype("i1"), False, b"")),
    "ndarray as a value": Says(np.ndarray, ((0,), np.dtype("i1"), b"")),
    "dtype itself as a value": np.dtype,
    "list itself": list,
    "bytes of something else": Says(bytearray, (0,)),
    "a container of something else": Says(list, ("",)),
    r"^builtins\.int$": int,
    r"^posix\.system$|^nt\.system$": os.system,
}


@pytest.mark.parametrize("words", ASKS)
def test_what_plain_data_do_not_need_is_refused(words):
    with pytest.raises(Refused, match=words):
        read(ASKS[words])


def test_a_value_that_holds_itself_or_nests_too_deep():
    loop = []
    loop.append(loop)
    with pytest.raises(Refused, match="holds itself"):
        read(loop)
    with pytest.raises(pickle.UnpicklingError, match="RecursionError"):
        load(io.BytesIO(b"\x80\x04" + b"]" * 5000 + b"a" * 4999 + b"."))


NOTE = b"}X\x04\x00\x00\x00noteK\x01s"  # {"note": 1}
STATES = {"dict": NOTE, "slots": b"N" + NOTE + b"\x86", "both": NOTE + NOTE + b"\x86"}


@pytest.mark.parametrize("state", STATES)
def test_no_attribute_of_what_can_be_named_is_set(state):
    for module, name in [*ARRAYS, *TABLES, *MAKERS]:
        content = b"\x80\x04c" + f"{module}\n{name}\n".encode() + STATES[state] + b"b."
        with pytest.raises(Refused, match="to set attributes of"):
            load(io.BytesIO(content), tables=True)
    assert not any("note" in vars(record) for record in RECORDS.values())
    assert not any(hasattr(thing, "note") for thing in (*MAKERS.values(), np.ndarray, np.dtype, list, _reconstruct))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("value", [b"]", b"}", b")", b"\x8f", b"K\x01", b"N", b"C\x01a",
                                   b"ccollections\nOrderedDict\n)R"])
def test_nor_of_a_plain_value(value, state):
    with pytest.raises(pickle.UnpicklingError):
        load(io.BytesIO(b"\x80\x04" + value + STATES[state] + b"b."))


def test_a_state_is_set_once():
    twice = b"\x80\x04cnumpy\ndtype\nX\x02\x00\x00\x00i1\x85R" + NOTE + b"b" + NOTE + b"b."
    with pytest.raises(Refused, match="to set the state of dtype twice"):
        load(io.BytesIO(twice))


def test_text_stays_in_its_buffer():
    def text(offsets, length=1, known=None):
        """Of a buffer of two letters; the notes of a pickle, not one."""
        make = {name: RECORDS["pyarrow.lib", name] for name in ("py_buffer", "_restore_array", "type_for_alias")}
        record = RECORDS["pandas.arrays", "ArrowStringArray"]()
        buffers = [known and make["py_buffer"](known), make["py_buffer"](np.array(offsets, "<i8").tobytes()),
                   make["py_buffer"](b"ab")]
        record.__setstate__({"_pa_array": make["_restore_array"]((make["type_for_alias"]("large_string"), length, 0, 0,
                                                                 buffers, [], None))})
        return pickled._Plain()(record).tolist()

    assert text([0, 1, 2], 2) == ["a", "b"]
    assert text([0, 1, 2], 2, b"\x02")[1] == "b"
    for offsets in ([0, 3], [2, 1], [-1, 1], [0], []):
        with pytest.raises(Refused, match="leaves its buffer"):
            text(offsets)
    with pytest.raises(Refused, match="no known form"):
        text([0, 1], -1)


def test_a_refusal_is_one_printable_line():
    with pytest.raises(Refused) as told:
        load(io.BytesIO(b"\x80\x04X\x04\x00\x00\x00a\n\x1b[X\x01\x00\x00\x00b\x93."))
    assert str(told.value) == "a??[.b"


@pytest.mark.parametrize("content", [b"\x80\x04garbage", b"\x80\x04", b"\x80\x04]P1\n.", b"\x80\x04K\x01K\x01R."])
def test_damaged_ones(content):
    with pytest.raises((pickle.UnpicklingError, EOFError)):
        load(io.BytesIO(content))


def test_arrays_of_raw_bytes():
    same(array_of(b"\1\0\2\0", np.dtype("<u2"), (1, 2)), np.array([[1, 2]], np.uint16))
    with pytest.raises(Refused, match="an object array"):
        array_of(b"", np.dtype([("a", object)]), (0,))
