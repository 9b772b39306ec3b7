import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.datasets import wheels
from pellucid.errors import DamagedFileError, PellucidError
from pellucid.files import sha256

NAME = "thing-1.0-py3-none-any.whl"


def pip_that(monkeypatch, write=None, code=0, stderr="", error=None):
    """Puts a stand-in in the place of pip; returns the list of commands it was given."""
    commands = []

    def run(command, **_):
        commands.append(command)
        if error is not None:
            raise error
        if write is not None:
            (Path(command[command.index("-d") + 1]) / NAME).write_bytes(write)
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(wheels.subprocess, "run", run)
    return commands


@pytest.fixture
def checksum(tmp_path):
    (tmp_path / "x").write_bytes(b"right")
    return sha256(tmp_path / "x")


def test_fetched_once_verified_and_kept(house, checksum, monkeypatch):
    commands = pip_that(monkeypatch, write=b"right")
    path = wheels.fetch_wheel("thing==1.0", NAME, checksum)
    assert path == house / "downloads" / NAME
    assert wheels.fetch_wheel("thing==1.0", NAME, checksum).read_bytes() == b"right"
    assert len(commands) == 1
    assert commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in commands[0]


def test_wrong_checksum_keeps_nothing(house, checksum, monkeypatch):
    pip_that(monkeypatch, write=b"wrong")
    with pytest.raises(DamagedFileError, match="expected the SHA-256"):
        wheels.fetch_wheel("thing==1.0", NAME, checksum)
    assert not (house / "downloads").exists()
    (house / "downloads").mkdir(parents=True)
    (house / "downloads" / NAME).write_bytes(b"cut")
    with pytest.raises(DamagedFileError, match=f"delete .*{NAME}"):
        wheels.fetch_wheel("thing==1.0", NAME, checksum)


@pytest.mark.parametrize(("pip", "sentence"), [
    ({"code": 1, "stderr": "noise\nmore\nERROR: No matching distribution"}, "ERROR: No matching distribution"),
    ({"code": 0}, "no such wheel"),
    ({"error": subprocess.TimeoutExpired("pip", 1)}, "nothing within"),
    ({"error": FileNotFoundError(2, "no python")}, "expected to run pip"),
])
def test_failing_pip_is_one_sentence(house, checksum, monkeypatch, pip, sentence):
    pip_that(monkeypatch, **pip)
    with pytest.raises(PellucidError, match=sentence) as caught:
        wheels.fetch_wheel("thing==1.0", NAME, checksum)
    assert "by hand" in str(caught.value)
    assert "\n" not in str(caught.value)
