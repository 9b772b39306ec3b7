"""Records of SDF, mol and mol2 files: molecules with poses, titles and properties."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rdkit import Chem, rdBase

from pellucid.chemistry.mol2 import molecule_of_mol2
from pellucid.chemistry.records import (
    MAX_ATOMS,
    MoleculeRecord,
    complaint,
    molecule_record,
    too_many,
)
from pellucid.chemistry.text_lines import MAX_LINE, Lines, LongLineError, TextFile

MAX_RECORD = 1 << 23
"""Characters of a record: a molfile of :data:`~pellucid.chemistry.records.MAX_ATOMS` atoms takes about a fiftieth."""
_PROPERTY = re.compile(r">.*?<([^<>]*)>")
_V3000_COUNTS = re.compile(r"M  V30 COUNTS +(\d+)")
_V3000_HYDROGEN = re.compile(r"M  V30 +\d+ +[HDT] ")


@dataclass
class Entry:
    """Text of one record: its lines without their ends, or why it is not read."""

    number: int
    lines: list[str]
    error: str = ""

    @property
    def title(self) -> str:
        """Its first line, or a mol2's name."""
        at = 1 if self.lines and self.lines[0].startswith("@<TRIPOS>MOLECULE") else 0
        return self.lines[at].strip() if len(self.lines) > at else ""

    def block(self) -> tuple[str, int]:
        """The molfile, and where it ends in the lines."""
        end = next((i for i, line in enumerate(self.lines) if line.startswith("M  END")), None)
        if end is not None:
            return "\n".join(self.lines[:end + 1]) + "\n", end + 1
        end = next((i for i, line in enumerate(self.lines) if i > 3 and line.startswith(">")), len(self.lines))
        closed = ["M  END"] if end < len(self.lines) else []  # which a writer may leave out, but no file that is cut
        return "\n".join([*self.lines[:end], *closed]) + "\n", end

    def properties(self, start: int) -> dict[str, str]:
        """Names and values of the properties behind the molfile; lines of a value are joined by line feeds."""
        found: dict[str, str] = {}
        at = start
        while at < len(self.lines):
            match = _PROPERTY.match(self.lines[at])
            at += 1
            if match is None:
                continue
            value = []
            while at < len(self.lines) and self.lines[at].strip():
                value.append(self.lines[at])
                at += 1
            found[match[1].strip()] = "\n".join(value).strip()
        return found


class MoleculeFile:
    """An SDF, mol or mol2 file, scanned once for titles that come more than once and for the names of properties.

    Args:
        text: The file.
        mol2: Whether it is a mol2 file.

    Attributes:
        names: Of the properties, in the order in which they come.
        count: Number of records.
        titled: Whether any record has a title.
    """

    def __init__(self, text: TextFile, mol2: bool) -> None:
        self.text, self.mol2 = text, mol2
        names: dict[str, None] = {}
        titles, self.count = array("q"), 0
        for entry in self.entries():
            self.count += 1
            if entry.title:
                titles.append(hash(entry.title))
            if not mol2:
                names |= dict.fromkeys(entry.properties(entry.block()[1]))
        self.names, self.titled = tuple(names), bool(titles)
        found, times = np.unique(np.frombuffer(titles, np.int64) if titles else np.empty(0, np.int64),
                                 return_counts=True)
        self._repeated = frozenset(found[times > 1].tolist())

    @property
    def repeats(self) -> int:
        """How many titles come more than once."""
        return len(self._repeated)

    def entries(self) -> Iterator[Entry]:
        """Its records' texts one after another."""
        lines = self.text.lines(returns=False)
        try:
            yield from self._entries(lines)
        finally:
            lines.close()

    def _entries(self, lines: Lines) -> Iterator[Entry]:
        number, size, error = 0, 0, ""
        fresh: list[str] = []
        while True:
            try:
                line = next(lines).removesuffix("\n").removesuffix("\r")
            except StopIteration:
                break
            except LongLineError:
                line, error = "", error or f"its line {lines.number} has more than {MAX_LINE:,} characters"
            starts = self.mol2 and line.startswith("@<TRIPOS>MOLECULE") and any(one.strip() for one in fresh)
            ended = not self.mol2 and line.startswith("$$$$")
            if starts or ended:
                number += 1
                yield Entry(number, fresh, error)
                fresh, size, error = [], 0, ""
                if ended:
                    continue
            size += len(line) + 1
            if size > MAX_RECORD:
                error = error or f"its record has more than {MAX_RECORD:,} characters"
            elif not error and not (self.mol2 and not fresh and (not line.strip() or line.startswith("#"))):
                fresh.append(line)
        if error or any(line.strip() for line in fresh):
            yield Entry(number + 1, fresh, error)

    def records(self, id: str | None, alone: str = "") -> Iterator[MoleculeRecord]:
        """Its records one after another.

        Args:
            id: The property that names them; None for their titles.
            alone: Name of a record without a title if it is the only one.
        """
        seen: Counter[str] = Counter()
        columns = [name for name in self.names if name != id]
        for entry in self.entries():
            block, end = entry.block()
            given = {} if self.mol2 else entry.properties(end)
            values = {name: given.get(name, "") for name in columns}
            if id is not None:
                name = given.get(id, "").partition("\n")[0]
            elif (name := entry.title) and hash(name) in self._repeated:
                seen[name] += 1
                name = f"{name}:{seen[name]}"
            name = name or (alone if self.count == 1 and alone else f"molecule-{entry.number}")
            notes: tuple[str, ...] = ()
            mol: Chem.Mol | None = None
            if entry.error:
                reason = entry.error
            elif self.mol2:
                mol, reason, notes = molecule_of_mol2("\n".join(entry.lines) + "\n")
            else:
                mol, reason = molecule_of_block(block)
            yield molecule_record(mol, reason, name, entry.number, values, notes, "M  ZBO" in block,
                                  ordinary=not self.mol2 and _ordinary(block))


def molecule_of_block(block: str) -> tuple[Chem.Mol | None, str]:
    """The molecule of a molfile (V2000 or V3000) without its hydrogens and ``""``, or None and the reason."""
    if (atoms := _heavy_atoms(block)) > MAX_ATOMS:
        return None, too_many(atoms)
    return _parsed(_without_queries(block))


def _heavy_atoms(block: str) -> int:
    """How many heavy atoms a V3000 molfile says that it has; a V2000 counts line has three digits for all atoms."""
    said = _V3000_COUNTS.search(block)
    if said is None:
        return 0
    atoms = int(said[1][:12])
    return atoms - len(_V3000_HYDROGEN.findall(block.partition("END ATOM")[0])) if atoms > MAX_ATOMS else atoms


def _ordinary(block: str) -> bool:
    """Whether all bonds of a V2000 molfile have an order; cheaper than to ask RDKit's bonds."""
    lines = block.split("\n")
    try:
        atoms, bonds = int(lines[3][:3]), int(lines[3][3:6])  # none in a V3000 record
    except (IndexError, ValueError):
        return False
    return bonds > 0 and all(line[6:9] in ("  1", "  2", "  3", "  4") for line in lines[4 + atoms:4 + atoms + bonds])


def _without_queries(block: str) -> str:
    """A V2000 molfile without the fields that queries alone use, which some programs fill in for molecules.

    RDKit finds no aromatic rings in a query.
    """
    lines = block.split("\n")
    try:
        atoms, bonds = int(lines[3][:3]), int(lines[3][3:6])
    except (IndexError, ValueError):
        return block
    for at in range(4, min(4 + atoms, len(lines))):  # the hydrogen count; the valence behind it is no query
        lines[at] = lines[at][:42] + ("  0  0" + lines[at][48:51] if len(lines[at]) >= 51 else "")
    for at in range(4 + atoms, min(4 + atoms + bonds, len(lines))):
        lines[at] = lines[at][:12]
    return "\n".join(lines)


def _parsed(block: str, parse: Callable[..., Any] = Chem.MolFromMolBlock) -> tuple[Chem.Mol | None, str]:
    mol: Any
    raw: Any
    with rdBase.BlockLogs():
        try:
            mol = parse(block, sanitize=True, removeHs=True)
            if mol is not None:
                return (mol, "") if mol.GetNumAtoms() else (None, "it has no atoms")
            raw = parse(block, sanitize=False, removeHs=False)
        except (ValueError, RuntimeError):
            raw = None
        return None, "it is not a valid molfile record" if raw is None else complaint(raw)
