import os
import pickle

import numpy as np
import pytest

from pellucid.collisions.columns import Columns
from pellucid.collisions.pickles import read_pickle
from pellucid.collisions.tables import read_hits
from pellucid.errors import PellucidError


class Runs:
    """A pickle that calls something when it is loaded."""

    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


def stored(content, path, protocol=pickle.HIGHEST_PROTOCOL):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def by_name(module, name, argument):
    """A pickle that calls module.name(argument); the name may have dots, as protocol 4 allows."""
    return (b"\x80\x04" + b"\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(name)])
            + name.encode() + b"\x93\x8c" + bytes([len(argument)]) + argument.encode() + b"\x85R.")


def test_a_malicious_pickle_is_not_run(tmp_path):
    witness = tmp_path / "witness"
    file = stored(Runs(os.system, f"touch {witness}"), tmp_path / "bad.pkl")
    with pytest.raises(PellucidError, match=r"system, which was not run"):
        read_pickle(file)
    assert not witness.exists()
    assert pickle.loads(file.read_bytes()) == 0  # without the restriction it does run
    assert witness.exists()


@pytest.mark.parametrize(("module", "name"), [
    ("builtins", "eval"), ("builtins", "exec"), ("builtins", "getattr"), ("builtins", "__import__"),
    ("numpy", "load"), ("numpy.testing", "rundocs"), ("pandas", "eval"), ("pandas", "read_pickle"),
    ("pandas.core.frame", "DataFrame.eval"), ("numpy", "dtype.__class__"), ("pandas.core.frame", "pd"),
    ("subprocess", "Popen"), ("pellucid.collisions.pickles", "pickle.loads"),
])
def test_nothing_else_can_be_named(module, name, tmp_path):
    (tmp_path / "bad.pkl").write_bytes(by_name(module, name, "1+1"))
    with pytest.raises(PellucidError, match="which was not run"):
        read_pickle(tmp_path / "bad.pkl")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_lists_come_back(protocol, tmp_path):
    content = {"x": np.arange(3.0), "id": ["a", "b", "c"], "flag": np.array([True, False, True]),
               "hits": [np.arange(2), np.arange(3), np.arange(1)]}
    back = read_pickle(stored(content, tmp_path / "a.pkl", protocol))
    assert list(back) == list(content)
    assert back["x"].tolist() == [0, 1, 2]
    assert [v.tolist() for v in back["hits"]] == [[0, 1], [0, 1, 2], [0]]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_data_frame_comes_back(protocol, tmp_path):
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pd.DataFrame({"x": [1.0, 2.0], "n": [3, 4], "name": np.array(["a", "b"], dtype=object)})
    back = read_pickle(stored(frame, tmp_path / "a.pkl", protocol))
    assert back["x"].tolist() == [1, 2]
    assert back["n"].tolist() == [3, 4]
    assert back["name"].tolist() == ["a", "b"]


def test_what_a_table_does_not_need_is_told_in_one_sentence(tmp_path):
    reconstruct, arguments, _ = np.zeros(0).__reduce__()
    content = {"x": Runs(reconstruct, *arguments)}
    content["x"].what += ((1, (0,), np.dtype(object), False, b""),)
    with pytest.raises(PellucidError, match=r"got one that wants an object array from .* not run; convert the file"):
        read_pickle(stored(content, tmp_path / "a.pkl"))


def test_a_pickle_cannot_set_attributes(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04cpandas\nDataFrame\nN}X\x04\x00\x00\x00noteK\x01s\x86b.")
    with pytest.raises(PellucidError, match="wants to set attributes of DataFrame"):
        read_pickle(tmp_path / "a.pkl")
    assert not hasattr(pytest.importorskip("pandas", reason="pandas is not installed").DataFrame, "note")


def test_lists_of_one_length_stay_one_an_event(tmp_path):
    back = read_pickle(stored({"x": [[1.0, 2.0], [3.0, 4.0]]}, tmp_path / "a.pkl"))
    assert [v.tolist() for v in back["x"]] == [[1, 2], [3, 4]]


def test_jagged_events_are_hits(tmp_path):
    content = {"x": [[1.0, 2.0], [3.0]], "y": [[0.0, 0.0], [0.0]], "z": [[0.0, 1.0], [2.0]], "label": [1, 0]}
    clouds = read_hits(stored(content, tmp_path / "raw.pkl"), Columns(pos=("x", "y", "z"), label="label"))
    assert clouds.ptr.tolist() == [0, 2, 3]
    assert clouds["y"][:, 0].tolist() == [1, 0]


def test_trust_is_asked_for(tmp_path):
    file = stored(Runs(dict, [("x", [1, 2])]), tmp_path / "a.pkl")
    assert read_pickle(file, trust=True)["x"].tolist() == [1, 2]


@pytest.mark.parametrize(("content", "words"), [
    (b"", "EOFError"), (b"\x80\x04garbage", "expected a pickle"), (pickle.dumps([1]), "got list"),
    (pickle.dumps({"a": [1], "b": [1, 2]}), "one length"),
])
def test_what_is_no_table(content, words, tmp_path):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(PellucidError, match=words):
        read_pickle(tmp_path / "a.pkl")
