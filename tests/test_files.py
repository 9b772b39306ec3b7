import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest
import safetensors
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import files
from pellucid.errors import DamagedFileError, PellucidError

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_home_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path))
    assert files.home() == tmp_path
    monkeypatch.setenv("PELLUCID_HOME", "~/somewhere")
    assert files.home() == Path.home() / "somewhere"
    monkeypatch.delenv("PELLUCID_HOME")
    assert files.home().name == "pellucid"


def test_a_file_written_is_whole_ordinary_and_alone(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    files.write_text(path, "gr\u00fc\u00df dich")
    assert path.read_text(encoding="utf-8") == "gr\u00fc\u00df dich"
    assert list(path.parent.iterdir()) == [path]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("failure", [RuntimeError("mine"), KeyboardInterrupt()])
def test_after_an_exception_the_old_file_stays_and_nothing_else(tmp_path, failure):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write():
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(type(failure)):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def write_text(self, *args, **kwargs):
        self.write_bytes(b"half")
        raise FULL

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(PellucidError, match=r"got No space left on device; free some space"):
        files.write_json(tmp_path / "a.json", {"a": 1})
    assert list(tmp_path.iterdir()) == []


def test_full_disk_found_by_the_last_sync_leaves_nothing(tmp_path, monkeypatch):
    def fsync(handle):
        raise FULL

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(PellucidError, match="No space left"):
        files.write_text(tmp_path / "a.txt", "a")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_under_safetensors(tmp_path, monkeypatch):
    def save_file(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", save_file)
    with pytest.raises(PellucidError, match="No space left"):
        files.write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(3)})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PellucidError, match="choose another folder"):
        files.write_text(tmp_path / "file" / "a.txt", "a")


@settings(max_examples=50)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]))
                    | st.floats(allow_nan=False, allow_infinity=False),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner)))
def test_json_round_trip(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "round.json"
    files.write_json(path, content)
    assert files.read_json(path) == content


@pytest.mark.parametrize("content", [float("nan"), [float("inf")], {"a": object()}])
def test_json_refuses_what_it_cannot_hold(tmp_path, content):
    with pytest.raises(PellucidError, match="that JSON can hold"):
        files.write_json(tmp_path / "a.json", content)
    assert list(tmp_path.iterdir()) == []


def test_reading_json_that_is_missing_or_damaged(tmp_path):
    with pytest.raises(PellucidError, match="got nothing there"):
        files.read_json(tmp_path / "none.json")
    for content in (b'{"a": ', b"\xff\xfe\x00"):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(DamagedFileError, match="delete it and make it again"):
            files.read_json(tmp_path / "bad.json")


def test_tensors_round_trip_with_shared_memory_views_and_empty_ones(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"base": base, "again": base, "rows": base[1:], "columns": base[:, :2], "t": base.t(),
               "empty": torch.zeros(0, 3),
               "bool": torch.tensor([True, False]), "grad": torch.ones(2, requires_grad=True),
               "double": torch.tensor([0.1], dtype=torch.float64), "scalar": torch.tensor(3)}
    path = tmp_path / "a.safetensors"
    files.write_tensors(path, tensors, {"who": "me"})
    back, metadata = files.read_tensors(path)
    assert metadata == {"who": "me"}
    assert set(back) == set(tensors)
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)


@pytest.mark.parametrize("keep", [0, 4, 8, 40, -1])
def test_truncated_safetensors_are_damaged(tmp_path, keep):
    path = tmp_path / "a.safetensors"
    files.write_tensors(path, {"a": torch.arange(100.0)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedFileError, match="got a damaged file"):
        files.read_tensors(path)


def test_missing_safetensors(tmp_path):
    with pytest.raises(PellucidError, match="check the path"):
        files.read_tensors(tmp_path / "a.safetensors")


def test_hashes(tmp_path):
    assert files.digest({"b": [1, 2], "a": None}) == files.digest({"a": None, "b": [1, 2]})
    assert files.digest([1]) != files.digest(["1"])
    assert len(files.digest({})) == 16
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
