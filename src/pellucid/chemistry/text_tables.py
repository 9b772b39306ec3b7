"""Tables in text: which separator, which header, and their rows one after another."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pellucid.chemistry.column_choice import LOOKED_AT, Looks, id_rank, is_number, is_smiles, looks, smiles_rank
from pellucid.chemistry.records import smiles_and_name
from pellucid.chemistry.text_lines import MAX_LINE, LongLineError, TextFile

SPACE = " "
"""The separator of SMILES files: the SMILES ends at the first space or tab, and the rest is the name."""
SPACED = ("smiles", "name")
"""What its columns are called without a header."""
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", SPACE: "spaces"}
_FIRST = {".csv": ",;\t| ", ".tsv": "\t,;| ", ".txt": "\t,;| ", ".smi": " \t,;|", ".smiles": " \t,;|"}
_SAID = re.compile(r'"?sep=(.)"?\s*')
_EXTENSION = re.compile(r"\s\|(?! )[^|]*\|")
_NEARLY = re.compile(r"(?:\[[^\]]+\]|Br|Cl|[BCNOPSFIbcnops*=#()\d@/\\.+:%$~-])+")
_SAMPLE_CHARACTERS = 1 << 18


@dataclass(frozen=True)
class Row:
    """One row: its cells without the spaces around them, why it cannot be read, what is unusual about it."""

    number: int
    cells: list[str]
    error: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """How a text holds a table.

    Attributes:
        separator: A character; :data:`SPACE` for SMILES files.
        names: Of the columns.
        header: Whether the first row has them.
        sample: The first rows without the header.
        notes: What was found, a sentence each.
    """

    separator: str
    names: tuple[str, ...]
    header: bool
    sample: list[Row]
    notes: tuple[str, ...]


class TextTable:
    """A table in a text file.

    Args:
        text: The file.
        kind: Its suffix.
        named: Columns that the user named: a first row that has them is a header, whatever else it looks like.

    Attributes:
        layout: How it holds the table.
    """

    def __init__(self, text: TextFile, kind: str, named: Collection[str] = ()) -> None:
        self.text = text
        start = list(itertools.islice(_sampled(text), 2 * LOOKED_AT))
        said = _SAID.fullmatch(start[0]) if start else None
        tried = said[1] if said else _FIRST[kind]
        if not said and 2 * sum(bool(_EXTENSION.search(line)) for line in start) >= len(start) - 1:
            tried = tried.replace("|", "")  # its bars are those of CXSMILES
        found = [_layout(separator, start, named) for separator in tried]
        best = max(range(len(found)), key=lambda i: (*_worth(found[i]), -i))
        self.layout = found[best]
        if best and not said:
            note = f"its cells are separated by {_NAMES[tried[best]]}"
            self.layout = Layout(self.layout.separator, self.layout.names, self.layout.header, self.layout.sample,
                                 (note, *self.layout.notes))

    def rows(self) -> Iterator[Row]:
        """Its rows one after another, the header left out."""
        lines = self.text.lines()
        try:
            rows = _rows(lines, self.layout.separator, len(self.layout.names))
            yield from itertools.islice(rows, int(self.layout.header), None)
        finally:
            lines.close()


def _sampled(text: TextFile) -> Iterator[str]:
    """The first lines of a file; those that are too long are left out."""
    lines, size = text.lines(), 0
    try:
        while size < _SAMPLE_CHARACTERS:
            try:
                line = next(lines)
            except LongLineError:
                size += MAX_LINE
                continue
            except StopIteration:
                break
            size += len(line)
            yield line
    finally:
        lines.close()


def _rows(lines: Iterable[str], separator: str, width: int | None = None) -> Iterator[Row]:
    """Rows that hold something and are no remarks; ``width`` of them is checked where it is given."""
    counted = _Counted(lines)
    reader = _Spaced(counted, width or 2) if separator == SPACE else csv.reader(
        counted, delimiter=separator, skipinitialspace=True)
    while True:
        error, row, first = "", [], counted.number + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except LongLineError:
            error = f"its line has more than {MAX_LINE:,} characters"
        except csv.Error as problem:
            error = ("a cell has more than 131,072 characters; a quote may have been opened and not closed"
                     if "field larger" in str(problem) else f"its line is not what a table has ({problem})")
        cells = [cell.strip() for cell in row]
        if not error and (not any(cells) or (len(cells) == 1 and cells[0].startswith("#")) or (
                counted.number == 1 and len(cells) <= 2 and _SAID.fullmatch(separator.join(row)))):
            continue
        if width is not None and any(cells[width:]):
            error = (f"its line has {len(cells)} cells, where the first one has {width}; put cells that hold a "
                     f"{'space' if separator == SPACE else repr(separator)} in quotes")
        spanned = counted.number > first and separator != SPACE and any("\n" in one or "\r" in one for one in cells)
        yield Row(counted.number, cells, error, (f"a cell in quotes goes from line {first} to {counted.number}",
                                                 ) if spanned else ())


class _Counted(Iterator[str]):
    """Lines that know their number."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self._number = iter(lines), 0

    @property
    def number(self) -> int:
        """Of the last line, from 1."""
        return getattr(self._lines, "number", self._number)

    def __next__(self) -> str:
        self._number += 1
        return next(self._lines)


class _Spaced(Iterator[list[str]]):
    """Rows of a SMILES file: the SMILES, and the rest in as many cells as the table has columns."""

    def __init__(self, lines: Iterator[str], width: int) -> None:
        self._lines, self._width = lines, width

    def __next__(self) -> list[str]:
        line = next(self._lines)
        if line.lstrip().startswith("#"):
            return []
        smiles, name = smiles_and_name(line)
        return [smiles, *name.split(None, self._width - 2)] if self._width > 2 else [smiles, name]


def _layout(separator: str, start: Sequence[str], named: Collection[str]) -> Layout:
    """How the first lines of a file look with a separator."""
    rows = [row for row in _rows(start, separator) if not row.error]
    if separator == SPACE:
        rows = _widened(rows)
    if not rows:
        return Layout(separator, ("column-1",), False, [], ())
    wanted = {name.strip().casefold() for name in named}
    header = any(cell.strip().casefold() in wanted for cell in rows[0].cells) or _has_header(rows, separator)
    first = rows[0].cells
    width = len(first) if header else Counter(len(row.cells) for row in rows).most_common(1)[0][0]
    while header and width > 1 and not first[width - 1] and not any(row.cells[width - 1:width] != [""]
                                                                    for row in rows[1:] if len(row.cells) >= width):
        width -= 1  # a separator at the end of each line
    notes: list[str] = []
    if header:
        names = distinct([name or f"column-{i}" for i, name in enumerate(first[:width], 1)], notes)
    else:
        names = SPACED[:width] if separator == SPACE else tuple(f"column-{i + 1}" for i in range(width))
        if separator != SPACE:
            notes.append("it has no header line: its first line is a molecule")
    return Layout(separator, tuple(names), header, rows[1:] if header else rows, tuple(notes))


def _widened(rows: list[Row]) -> list[Row]:
    """Rows of a SMILES file as a table of more than two columns, if its header and all of its lines have as many."""
    split = [[row.cells[0], *row.cells[1].split()] for row in rows]
    same = len({len(cells) for cells in split}) == 1 and len(split) > 1 and len(split[0]) > 2
    if same and smiles_rank(split[0][0]) < 2:
        return [Row(row.number, cells) for row, cells in zip(rows, split, strict=True)]
    return rows


def _has_header(rows: Sequence[Row], separator: str) -> bool:
    """Whether the first row names the columns: it holds no SMILES, nor a broken one, where there are some below it."""
    first = rows[0].cells
    named = any(smiles_rank(cell) < 2 for cell in first)
    if separator == SPACE:
        return smiles_rank(first[0]) < 3 or (named and not is_smiles(first[0].split(" ", 1)[0]))
    if named:
        return True
    found = [looks([row.cells[i] for row in rows[1:LOOKED_AT] if i < len(row.cells)]) for i in range(len(first))]
    numbers = any(one.numbers == 1 and one.cells > 1 and cell and not is_number(cell)
                  for one, cell in zip(found, first, strict=True))
    for cell, one in sorted(zip(first, found, strict=True), key=lambda pair: -pair[1].structured):
        smiles = smiles_and_name(cell)[0].split(" ", 1)[0]
        if (is_smiles(smiles) and (one.parsed >= 0.5 or not one.cells)) or (one.smiles and _NEARLY.fullmatch(smiles)):
            return numbers and not one.smiles
    return any(one.smiles for one in found) or numbers or any(id_rank(cell) < 2 for cell in first) or len(rows) > 1


def distinct(names: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    """Names of which no two are alike: the second ``x`` becomes ``x.2``."""
    times: Counter[str] = Counter()
    out: list[str] = []
    for name in names:
        times[name] += 1
        new = name if times[name] == 1 else f"{name}.{times[name]}"
        while new in out or (times[name] > 1 and new in names):
            times[name] += 1
            new = f"{name}.{times[name]}"
        if new != name:
            notes.append(f"the column {name!r} comes more than once; a later one is called {new!r}")
        out.append(new)
    return tuple(out)


def column_looks(layout: Layout) -> list[Looks]:
    """What each column of a layout looks like."""
    return [looks([row.cells[i] for row in layout.sample[:LOOKED_AT] if i < len(row.cells)])
            for i in range(len(layout.names))]


def _worth(layout: Layout) -> tuple[bool, float, float, int]:
    """How well a separator fits: is there a column of SMILES, are rows alike, how many columns."""
    found = column_looks(layout)
    named = [layout.header and smiles_rank(name) < 2 for name in layout.names]
    smiles = max((one.parsed * (1.0 if one.structured or sure else 0.6)
                  for one, sure in zip(found, named, strict=True)), default=0.0)
    width = len(layout.names)
    alike = sum(len(row.cells) == width for row in layout.sample) / len(layout.sample) if layout.sample else 0.0
    many = width > 1 and layout.separator != SPACE
    return (smiles >= 0.5 or any(named), round(smiles, 1), round(alike if many else 0.5, 1),
            width if many and alike == 1 else 1)
