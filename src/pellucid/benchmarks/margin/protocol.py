"""What a benchmark of a study is: parts that can be measured one by one, and rows of numbers that come of them."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from pellucid import families
from pellucid.errors import MissingPackageError, PellucidError
from pellucid.files import sha256
from pellucid.registry import Registry

protocols: Registry[type[Protocol]] = families.protocols

Settings = dict[str, Any]
"""How thoroughly: numbers and names, such that JSON can hold them."""


@dataclass(frozen=True)
class Part:
    """A piece of a benchmark that is measured alone: one data set, one repetition.

    Attributes:
        label: For people, e.g. ``"enron, repetition 3"``.
        data: Names of the data that it reads, keys of :attr:`Protocol.files`.
        options: What distinguishes it from other parts, its seed among them; such that JSON can hold it.
    """

    label: str
    data: tuple[str, ...]
    options: Settings


@dataclass(frozen=True)
class Measurement:
    """One number.

    Attributes:
        table: Which table it belongs to, e.g. ``"Enron, k = 20"``.
        metric: What it is, e.g. ``"recall"``.
        method: Whose, e.g. ``"MARGIN, trusted"``.
        x: Where on the axis, e.g. the share of samples that were checked.
        value: The number.
        repetition: Which of several that are averaged.
    """

    table: str
    metric: str
    method: str
    x: float
    value: float
    repetition: int = 0


@dataclass
class Measured:
    """What a part gave.

    Attributes:
        rows: Numbers.
        pictures: Name -> what to draw: ``{"kind": "grid", "title": ..., "columns": [...], "rows": [...], "images":
            [[base64 PNG or None, ...], ...]}`` or ``{"kind": "histogram", "title": ..., "x": ..., "edges": [...],
            "counts": {series: [...]}}``.
        notes: Sentences that the page shows.
    """

    rows: list[Measurement] = field(default_factory=list)
    pictures: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Protocol(ABC):
    """Base of the studies' benchmarks. A new one is a new file in this folder that registers itself.

    A part must give the same result wherever and whenever it is measured: all its random numbers come of its options.
    """

    title: ClassVar[str]
    source: ClassVar[str]
    """Where the paper has it."""
    claim: ClassVar[str]
    """What the paper says of it, in a sentence; published figures are shown as published."""
    axis: ClassVar[str]
    """What x is, with its unit."""
    shown: ClassVar[dict[str, Sequence[float]]] = {}
    """Metric -> the x that tables show; all where it is not named."""
    best: ClassVar[dict[str, str]] = {}
    """Metric -> ``"high"`` or ``"low"``, whichever is better; not named: neither."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Modules of the extra ``studies`` that it imports."""
    files: ClassVar[dict[str, str]] = {}
    """Data -> its file or folder within ``--source-dir``."""
    presets: ClassVar[dict[str, Settings]]
    """``standard``, ``smoke`` and others: settings of :meth:`parts`."""

    @abstractmethod
    def parts(self, settings: Settings) -> list[Part]:
        """What there is to measure, cheapest or most telling first."""

    @abstractmethod
    def measure(self, part: Part, folder: Path | None) -> Measured:
        """Measures a part. ``folder`` is ``--source-dir``; None where it was not given."""

    def findings(self, rows: list[Measurement]) -> list[str]:
        """Sentences with what the numbers say, computed from them: differences with their intervals."""
        return []

    @classmethod
    def place(cls, name: str, folder: Path | None) -> Path:
        """The file or folder of some data.

        Raises:
            PellucidError: if it is not there.
        """
        where = cls.files[name]
        if folder is None:
            raise PellucidError(f"expected --source-dir with {where}, got none; give the folder with the data of the "
                                "studies")
        path = Path(folder) / where
        if not path.exists():
            raise PellucidError(f"expected {where} in {folder}, got nothing there; see docs/margin.md for the data")
        return path

    @classmethod
    def data_digest(cls, names: Sequence[str], folder: Path | None) -> dict[str, str]:
        """Data -> SHA-256, so that results are known to be of other data."""
        out = {}
        for name in names:
            path = cls.place(name, folder)
            files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
            out[name] = " ".join(sha256(file)[:16] for file in files)
        return out


def package(name: str) -> ModuleType:
    """A module of the extra ``studies``.

    Raises:
        MissingPackageError: with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackageError(f"expected the package {name}, got none installed; pip install 'pellucid[studies]'"
                                  ) from error
