"""Records of cells as JSON lines, and the Markdown tables made of them."""

from __future__ import annotations

import fcntl
import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """All whole lines; the last one of a killed run may be cut off."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def append(path: Path, record: Record) -> None:
    """One line, in one write under a lock: two runs may share a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0, 2)
        cut = False
        if file.tell():
            file.seek(-1, 2)
            cut = file.read(1) != b"\n"
        file.write((b"\n" if cut else b"") + json.dumps(record).encode() + b"\n")


def has(records: Iterable[Record], task: str, seed: int, peer: str) -> bool:
    return any((each["task"], each["seed"], each["peer"]) == (task, seed, peer) for each in records)


def tables(records: Sequence[Record]) -> str:
    return ""
