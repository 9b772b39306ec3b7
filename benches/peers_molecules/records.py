"""Records of cells: one JSON line each."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """All whole lines; the last one of a killed run may be cut off."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def append(path: Path, record: Record) -> None:
    """A line, written at once and under a lock, since two runs may share a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, 2)
        file.seek(max(end - 1, 0))
        cut = end > 0 and file.read(1) != b"\n"
        file.write((b"\n" if cut else b"") + json.dumps(record).encode() + b"\n")


def has(records: Iterable[Record], task: str, seed: int, peer: str) -> bool:
    return any((each["task"], each["seed"], each["peer"]) == (task, seed, peer) for each in records)
