"""Columns of texts as targets: what kind each is, in which unit, and which of its values are only bounds."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, get_args

import torch
from torch import Tensor

from pellucid.datasets.numerals import MISSING, Numbers, name_and_unit, read_numbers
from pellucid.datasets.target_options import TargetOptions
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.targets import Kind, Target, Targets

MOST_CLASSES = 50
"""Different texts in a column of classes; more are taken for identifiers."""
_BOOLEANS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"})
_YES = ("true", "yes", "t", "y")
_NEGATIVE = ("negative", "neg", "-", "no", "none", "false", "absent", "fail", "failed", "low", "off", "0")
_NEGATIONS = ("in", "im", "un", "non", "non-", "non ", "non_", "not ", "not_", "no ")
_FLOAT32 = 3e38
_BEGINS = re.compile(r"[<>=~≥≤]*\s*[-+−]?\d+([.,]\d+)*(\s|%|±|$)")
"""A text that begins with a number and goes on with a unit, a deviation or thousands; not ``1a``."""
Said = TypeVar("Said", str, float)


@dataclass(frozen=True)
class TargetColumn:
    """One column.

    Attributes:
        target: What it is.
        values: A number each row, NaN where missing.
        bounds: Of each row: 0 for a known value, +1 where the true one is at least it, -1 where at most.
        notes: What a user should know of how it was read.
    """

    target: Target
    values: list[float]
    bounds: list[int]
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line: kind, unit, how many values there are, how many are bounds or missing.

        Example:
            >>> TargetColumn(Target("logS", "regression", unit="M"), [1.0, math.nan, 2.0], [0, 0, 1]).summary()
            'logS: regression in M, 2 values, of which 1 is a bound, 1 missing'
        """
        known = sum(not math.isnan(v) for v in self.values)
        censored = sum(b != 0 for b in self.bounds)
        target, parts = self.target, [f"{known:,} values"]
        if censored:
            parts.append(f"of which {censored:,} {'is a bound' if censored == 1 else 'are bounds'}")
        if target.kind != "regression":
            counts = Counter(self.values)
            names = target.classes or ("0", "1")
            parts.append(", ".join(f"{name}: {counts[float(i)]:,}" for i, name in enumerate(names)))
        if missing := len(self.values) - known:
            parts.append(f"{missing:,} missing")
        return f"{target.name}: {target.kind}{f' in {target.unit}' if target.unit else ''}, {', '.join(parts)}"


@dataclass(frozen=True)
class TargetColumns:
    """All targets of a table.

    Attributes:
        each: The columns, in the order asked for; their names differ.
    """

    each: tuple[TargetColumn, ...]

    @property
    def targets(self) -> Targets:
        """The targets, of a table without any :meth:`Targets.unlabelled`."""
        return Targets(tuple(c.target for c in self.each)) if self.each else Targets.unlabelled()

    @property
    def notes(self) -> list[str]:
        """Of all columns."""
        return [note for column in self.each for note in column.notes]

    def select(self, rows: Sequence[int]) -> TargetColumns:
        """The same of some rows, in their order."""
        return TargetColumns(tuple(replace(column, values=[column.values[i] for i in rows],
                                           bounds=[column.bounds[i] for i in rows]) for column in self.each))

    def fields(self, rows: int) -> dict[str, Tensor]:
        """``y`` (rows, targets) float32, NaN where missing, and ``censored`` int8 where any value is a bound.

        Args:
            rows: How many there are, should there be no column.
        """
        if not self.each:
            return {}
        y = torch.tensor([c.values for c in self.each], dtype=torch.float32).reshape(len(self.each), rows)
        bounds = torch.tensor([c.bounds for c in self.each], dtype=torch.int8).reshape(len(self.each), rows)
        return {"y": y.t().contiguous()} | ({"censored": bounds.t().contiguous()} if bool(bounds.any()) else {})


def column_named(asked: str, titles: Sequence[str], what: str) -> str:
    """The title of the column that is meant: by itself, or by its name without the unit.

    Raises:
        UnknownNameError: if there is none; the message has the near misses.
        PellucidError: if several are meant.

    Example:
        >>> column_named("logS", ["logS [log mol/L]", "logP"], "target")
        'logS [log mol/L]'
    """
    if asked in titles:
        return asked
    found = [title for title in titles if name_and_unit(title)[0] == asked]
    if len(found) > 1:
        raise PellucidError(f"expected one {what} {asked!r}, got {' and '.join(map(repr, found))}; give the title with "
                            "its unit")
    if not found:
        names = Counter(name_and_unit(title)[0] for title in titles)
        raise UnknownNameError(what, asked, [n if names[n := name_and_unit(t)[0]] == 1 else t for t in titles])
    return found[0]


def read_targets(columns: Mapping[str, Sequence[str]], options: TargetOptions | None = None, *,
                 row: Callable[[int], str] = lambda i: f"row {i + 2}", source: str = "the table") -> TargetColumns:
    """Targets out of columns of texts, the one way for all tables.

    Two different values make a binary target (0 and 1, true and false, or two texts, which name the classes), numbers
    a regression (whole ones as well), a few texts a multi-class one; ``name [unit]`` has a unit.

    Args:
        columns: Title -> cells, stripped; see :data:`~pellucid.datasets.numerals.MISSING` for those without a value.
        options: What the user says.
        row: How to name a row by its place, for messages.
        source: How to name the table.

    Raises:
        PellucidError: if a column has no values, one value throughout, texts among numbers (naming the cell), more
            different texts than classes can be, or values that are not of the kind that was said.
        UnknownNameError: if an option is of a target that is not there.

    Example:
        >>> found = read_targets({"logS [log mol/L]": ["-3,5", "<-6", ""], "taste": ["bitter", "sweet", "bitter"]})
        >>> [column.summary() for column in found.each]  # doctest: +NORMALIZE_WHITESPACE
        ['logS: regression in log mol/L, 2 values, of which 1 is a bound, 1 missing',
         'taste: binary, 3 values, bitter: 2, sweet: 1']
        >>> found.fields(3)["censored"].tolist()
        [[0, 0], [-1, 0], [0, 0]]
    """
    options = options or TargetOptions()
    titles = list(columns)
    def by_title(given: Mapping[str, Said]) -> dict[str, Said]:
        return {column_named(asked, titles, f"target in {source}"): value for asked, value in given.items()}

    kinds, units = by_title(options.kinds), by_title(options.units)
    floors, ceilings = by_title(options.floors), by_title(options.ceilings)
    names = Counter(name_and_unit(title)[0] for title in titles)
    found = []
    for title, cells in columns.items():
        name, unit = name_and_unit(title)
        if names[name] > 1:  # the same in two units
            name, unit = title, ""
        one = _Reading(name, f"the column {title!r} of {source}", cells, row)
        found.append(one.read(kinds.get(title), units.get(title, unit), floors.get(title), ceilings.get(title)))
    return TargetColumns(tuple(found))


@dataclass(frozen=True)
class _Reading:
    """A column while it is read."""

    name: str
    where: str
    cells: Sequence[str]
    row: Callable[[int], str]

    def read(self, kind: str | None, unit: str, floor: float | None, ceiling: float | None) -> TargetColumn:
        if kind is not None and kind not in get_args(Kind):
            Target(self.name, kind)  # type: ignore[arg-type]  # refuses it, in its own words
        known = Counter(cell for cell in self.cells if cell not in MISSING)
        if not known:
            raise PellucidError(f"expected a value in {self.where}, got none; leave the column out")
        numbers = read_numbers(self.cells)
        pairs = {(v, b) for v, b in zip(numbers.values, numbers.bounds, strict=True) if not math.isnan(v)}
        if known.total() > 1 and len(known if numbers.wrong else pairs) == 1:
            raise PellucidError(f"expected different values in {self.where}, got {next(iter(known))!r} in all "
                                f"{known.total():,} rows that have one; leave the column out")
        kind = kind or self._guess(known, numbers)
        if (floor, ceiling) != (None, None) and kind != "regression":
            raise PellucidError(f"expected a regression where a floor or ceiling is named, got the {kind} "
                                f"{self.name!r}; leave the bound out, or say --kind '{self.name}=regression'")
        if kind == "regression":
            return self._regression(numbers, unit, floor, ceiling)
        if kind == "binary" and any({cell.lower() for cell in known} <= pair for pair in _BOOLEANS):
            return self._classes("binary", {cell: float(cell.lower() in _YES) for cell in known}, ())
        if kind == "binary" and not numbers.wrong and pairs <= {(0.0, 0), (1.0, 0)}:
            return TargetColumn(Target(self.name), numbers.values, [0] * len(self.cells))
        names = sorted(known, key=lambda cell: (math.isnan(v := read_numbers([cell]).values[0]), 0 if math.isnan(v)
                                                else v, cell))
        if kind == "binary":
            if len(names) != 2:
                raise PellucidError(f"expected 0 or 1 in {self.where}, or two other values, got "
                                    f"{len(names)} different ones such as {names[-1]!r} in {self._first(names[-1])}; "
                                    f"mend it, or say --kind '{self.name}=multiclass'")
            names = _negative_first(names[0], names[1])
        return self._classes("binary" if kind == "binary" else "multiclass",
                             {cell: float(i) for i, cell in enumerate(names)}, tuple(names))

    def _guess(self, known: Counter[str], numbers: Numbers) -> Kind:
        """The kind, where the user does not say."""
        if any({cell.lower() for cell in known} == pair for pair in _BOOLEANS):
            return "binary"
        if not numbers.wrong:
            distinct, bounded = Counter(self._exact(numbers)), any(numbers.bounds)
            repeated = len(distinct) == 2 and min(distinct.values()) > 1 and all(v == round(v) for v in distinct)
            return "binary" if not bounded and (set(distinct) <= {0.0, 1.0} or repeated) else "regression"
        if len(numbers.wrong) < known.total() / 2:
            self._refuse_texts(numbers)
        if len(known) > MOST_CLASSES or (len(known) > 2 and known.total() >= 10 and len(known) > known.total() / 2):
            if all(_BEGINS.match(cell) for cell in known):
                at = numbers.wrong[0]
                raise PellucidError(f"expected numbers alone in {self.where}, got {self.cells[at]!r} in {self.row(at)} "
                                    "and such texts throughout; put a unit into the title, and write neither "
                                    "thousands separators nor deviations")
            raise PellucidError(f"expected a target in {self.where}, got {len(known):,} different texts in "
                                f"{known.total():,} rows, which are identifiers or remarks, no classes; leave the "
                                f"column out, or say --kind '{self.name}=multiclass'")
        return "binary" if len(known) == 2 else "multiclass"

    def _exact(self, numbers: Numbers) -> list[float]:
        return [v for v, b in zip(numbers.values, numbers.bounds, strict=True) if not math.isnan(v) and b == 0]

    def _first(self, cell: str) -> str:
        return self.row(list(self.cells).index(cell))

    def _refuse_texts(self, numbers: Numbers) -> None:
        if numbers.wrong:
            at, more = numbers.wrong[0], len(numbers.wrong) - 1
            raise PellucidError(f"expected a number in {self.where}, got {self.cells[at]!r} in {self.row(at)}"
                                f"{f' and {more:,} more texts' if more else ''}; mend it, leave it empty, or say "
                                f"--kind '{self.name}=multiclass'")
        if numbers.ambiguous:
            at = numbers.ambiguous[0]
            raise PellucidError(f"expected numbers with a decimal point in {self.where}, got {self.cells[at]!r} in "
                                f"{self.row(at)}, whose comma may stand for a point or for thousands; write a point")

    def _classes(self, kind: Kind, number_of: Mapping[str, float], classes: tuple[str, ...]) -> TargetColumn:
        values = [math.nan if cell in MISSING else number_of[cell] for cell in self.cells]
        notes = []
        words = Counter(cell for cell in self.cells if cell in MISSING and cell)
        if words and classes:
            notes.append(f"{self.name}: {', '.join(f'{cell!r} ({count:,} times)' for cell, count in words.items())} "
                         "is read as missing, not as a class")
        if ones := " and ".join(repr(cell) for cell, number in number_of.items() if number and not classes):
            notes.append(f"{self.name}: {ones} is read as 1")
        if kind == "binary" and classes:
            notes.append(f"{self.name}: P({classes[1]}) is predicted, {classes[0]!r} is the other class")
        if len({name.casefold() for name in classes}) < len(classes):
            notes.append(f"{self.name}: some of the classes {', '.join(classes)} differ in case alone and are "
                         "different ones here")
        return TargetColumn(Target(self.name, kind, classes=classes), values, [0] * len(values), tuple(notes))

    def _regression(self, numbers: Numbers, unit: str, floor: float | None, ceiling: float | None
                    ) -> TargetColumn:
        self._refuse_texts(numbers)
        values, bounds = numbers.values, list(numbers.bounds)
        notes = [f"{self.name}: {note}" for note in numbers.notes]
        for i, value in enumerate(values):
            if abs(value) > _FLOAT32:
                raise PellucidError(f"expected numbers up to {_FLOAT32:g} in {self.where}, got {self.cells[i]} in "
                                    f"{self.row(i)}; mend it, or give logarithms")
        for bound, sign, word in ((floor, -1, "floor"), (ceiling, 1, "ceiling")):
            if bound is None:
                continue
            at = [i for i, v in enumerate(values) if bounds[i] == 0 and math.isclose(v, bound, rel_tol=1e-6)]
            if not at:
                known = [v for v in values if not math.isnan(v)]
                raise PellucidError(f"expected values equal to the {word} {bound:.10g} in {self.where}, got none: the "
                                    f"smallest is {min(known):.10g}, the largest {max(known):.10g}; name one that is "
                                    "there")
            for i in at:
                bounds[i] = sign
        exact = Counter(v for v, b in zip(values, bounds, strict=True) if not math.isnan(v) and b == 0)
        if not exact:
            raise PellucidError(f"expected values in {self.where}, got bounds alone; leave the column out, or say "
                                f"--kind '{self.name}=binary'")
        notes += [f"{self.name}: {sentence}" for sentence in _crowded(exact, floor is None, ceiling is None)]
        whole = all(v == round(v) for v in exact)
        if whole and 2 < len(exact) <= 10 and exact.total() > 3 * len(exact) and not any(bounds):
            notes.append(f"{self.name}: {len(exact)} different whole numbers are read as numbers; say "
                         f"--kind '{self.name}=multiclass' if they are classes")
        return TargetColumn(Target(self.name, "regression", unit=unit), values, bounds, tuple(notes))


def _negative_first(one: str, other: str) -> list[str]:
    """Two classes, the negative one first; by their names, else in order."""
    def negates(a: str, b: str) -> bool:
        return a.lower() in [f"{prefix}{b.lower()}" for prefix in _NEGATIONS] or (
            a.lower() in _NEGATIVE and b.lower() not in _NEGATIVE)

    return [other, one] if negates(other, one) and not negates(one, other) else [one, other]


def _crowded(exact: Counter[float], low: bool, high: bool) -> list[str]:
    """What looks like a limit of an assay that nobody named: one number at an end, far more often than any other."""
    if len(exact) < 3:
        return []
    sentences = []
    for end, wanted, word, option in ((min(exact), low, "smallest", "--floor"), (max(exact), high, "largest",
                                                                                 "--ceiling")):
        others = max(count for value, count in exact.items() if value != end)
        count, total = exact[end], exact.total()
        if wanted and count >= max(10, 0.01 * total) and count >= 3 * others:
            sentences.append(f"{count:,} of {total:,} values are exactly {end:.10g}, the {word} one; if it is a limit "
                             f"of the measurement, name it: {option} NAME={end:.10g}")
    return sentences
