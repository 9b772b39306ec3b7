"""Labels out of a table of the user's: a column for each target, kinds and units read off it; and a split."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pellucid.clouds import SPLITS
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.targets import Kind, Target, Targets

MISSING = ("", "nan", "NaN", "NA", "N/A", "null", "None")
"""What stands for a value that is not known."""
SHARES = (0.70, 0.15)
"""Of training and validation samples in a random split; the rest is the test split."""


@dataclass(frozen=True)
class Labels:
    """What a table says.

    Attributes:
        keys: Of each row, what it is about, e.g. the name of a file.
        targets: A target for each column of values, in their order.
        y: (rows, targets) float32, NaN where missing; empty of a table without such columns.
        split: (rows,) 0, 1 or 2 as in :data:`pellucid.clouds.SPLITS`; None without a column ``split``.
    """

    keys: list[str]
    targets: Targets
    y: Tensor
    split: Tensor | None

    def unique_keys(self) -> list[str]:
        """A name for each row: its key, with a number where several rows have it."""
        rows, seen = Counter(self.keys), Counter[str]()
        names = []
        for name in self.keys:
            names.append(name if rows[name] == 1 else f"{name}:{seen[name]}")
            seen[name] += 1
        return names

    def fields(self, seed: int) -> dict[str, Tensor]:
        """The fields ``y`` (where there is any) and ``split`` of clouds; a random split where the table has none."""
        split = random_split(len(self.keys), seed) if self.split is None else self.split
        return {"split": split} | ({"y": self.y} if self.y.shape[1] else {})


def read_labels(path: Path, key: str = "file", kinds: str = "") -> Labels:
    """Reads a CSV with a target a column, e.g. ``logS [log mol/L]``: its name, and its unit in brackets.

    The first line names the columns: one says what a row is about; ``split``, where it is there, has train, val, test.

    Args:
        path: The table.
        key: The column that says what a row is about.
        kinds: Of targets whose values do not say what they are: ``"phase=multiclass,count=regression"``. Otherwise 0
            and 1 alone are ``binary``, numbers ``regression``, texts ``multiclass`` with these as classes, in order.

    Raises:
        PellucidError: if the table cannot be read, a column is missing or empty, or a value is not of its kind; the
            message names column and row.
        UnknownNameError: for a kind of a target that is not there.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "labels.csv"
        >>> _ = path.write_text(chr(10).join(["file,logS [log mol/L],colour", "a.xyz,-3.5,red", "b.xyz,,blue"]))
        >>> labels = read_labels(path)
        >>> [target.quantity() for target in labels.targets], labels.y.tolist()
        (['logS (log mol/L)', 'P(blue)'], [[-3.5, 1.0], [nan, 0.0]])
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise PellucidError(f"expected a table of labels in {path}, got {error}; give a CSV file in UTF-8") from error
    header, rows = (table[0], table[1:]) if table else ([], [])
    if key not in header or len(set(header)) < len(header) or "" in header or not rows:
        raise PellucidError(f"expected a line that names a column {key!r} and others, all different, and rows under it "
                            f"in {path}, got {', '.join(header) or 'nothing'} and {len(rows)} rows")
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise PellucidError(f"expected {len(header)} values in row {number} of {path}, got {len(row)}; mend it")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    keys, split = columns.pop(key), columns.pop("split", None)
    wanted = dict(part.partition("=")[::2] for part in kinds.split(",") if part.strip())
    wanted = {name.strip(): kind.strip() for name, kind in wanted.items()}
    found = [_target(name, values, wanted, path) for name, values in columns.items()]
    names = [target.name for target, _ in found]
    for name in wanted:
        if name not in names:
            raise UnknownNameError(f"target in {path}", name, names)
    y = torch.tensor([y for _, y in found], dtype=torch.float32).reshape(len(found), len(keys)).t().contiguous()
    return Labels(keys, Targets(tuple(target for target, _ in found)) if found else Targets.unlabelled(), y,
                  None if split is None else _split(split, path))


def _target(title: str, values: list[str], wanted: dict[str, str], path: Path) -> tuple[Target, list[float]]:
    """A column as a target and its values."""
    parts = re.fullmatch(r"(.*?)\s*\[(.*)\]", title)
    name, unit = (parts[1], parts[2]) if parts else (title, "")
    known = [value for value in values if value not in MISSING]
    if not known:
        raise PellucidError(f"expected a value in the column {title!r} of {path}, got none; leave the column out")
    numbers = [_number(value) for value in known]
    guess: Kind = ("multiclass" if None in numbers else "binary" if set(numbers) <= {0.0, 1.0} else "regression")
    kind = wanted.get(name, guess)
    if kind == "multiclass":
        classes = tuple(sorted(set(known), key=lambda v: (_number(v) is None, _number(v) or 0.0, v)))
        target = Target(name, "multiclass", classes=classes)
        return target, [float("nan") if v in MISSING else float(classes.index(v)) for v in values]
    target = Target(name, kind, unit=unit)  # type: ignore[arg-type]  # refuses an unknown kind
    allowed = {0.0, 1.0} if kind == "binary" else None
    for row, value in enumerate(values, 2):
        number = _number(value)
        if value not in MISSING and (number is None or (allowed and number not in allowed)):
            raise PellucidError(f"expected {'0 or 1' if allowed else 'a number'} in the column {title!r} of {path}, "
                                f"got {value!r} in row {row}; mend it, leave it empty, or say kinds={name}=multiclass")
    return target, [float("nan") if v in MISSING else float(v) for v in values]


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _split(values: list[str], path: Path) -> Tensor:
    for row, value in enumerate(values, 2):
        if value not in SPLITS:
            raise PellucidError(f"expected {', '.join(SPLITS)} in the column 'split' of {path}, got {value!r} in row "
                                f"{row}; mend it")
    return torch.tensor([SPLITS.index(value) for value in values])


def random_split(count: int, seed: int) -> Tensor:
    """(count,) 0, 1 or 2: :data:`SHARES` of samples for training and validation, the rest for the test, at random.

    Args:
        count: Samples.
        seed: Decides it.

    Example:
        >>> random_split(20, 0).bincount().tolist()
        [14, 3, 3]
    """
    order = np.random.default_rng([seed, 3]).permutation(count)
    return torch.from_numpy(np.searchsorted(np.round(np.cumsum(SHARES) * count), order, side="right"))
