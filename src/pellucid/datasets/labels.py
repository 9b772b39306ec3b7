"""Labels out of a table of the user's: a column for each target, kinds and units read off it; and a split."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pellucid.datasets.kinds import TargetColumns, read_targets
from pellucid.datasets.splits import read_parts
from pellucid.datasets.target_options import TargetOptions
from pellucid.errors import PellucidError

SHARES = (0.70, 0.15)
"""Of training and validation samples in a random split; the rest is the test split."""


@dataclass(frozen=True)
class Labels:
    """What a table says.

    Attributes:
        keys: Of each row, what it is about, e.g. the name of a file.
        columns: A target for each column of values, in their order; none of a table without such columns.
        split: (rows,) 0, 1 or 2 as in :data:`pellucid.clouds.SPLITS`; None without a column ``split``.
    """

    keys: list[str]
    columns: TargetColumns
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
        """The fields ``split`` (random, where the table has none) and, of targets, ``y`` and ``censored``."""
        split = random_split(len(self.keys), seed) if self.split is None else self.split
        return {"split": split} | self.columns.fields(len(self.keys))


def read_labels(path: Path, key: str = "file", options: TargetOptions | None = None) -> Labels:
    """Reads a CSV with a target a column, e.g. ``logS [log mol/L]``: its name, and its unit in brackets.

    The first line names the columns: one says what a row is about; ``split``, where it is there, has train, val, test.

    Args:
        path: The table.
        key: The column that says what a row is about.
        options: What the user says of targets; the rest is as :func:`pellucid.datasets.kinds.read_targets` reads it.

    Raises:
        PellucidError: if the table cannot be read, a column is missing or empty, or a value is not of its kind; the
            message names column and row.
        UnknownNameError: for a kind of a target that is not there.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "labels.csv"
        >>> _ = path.write_text(chr(10).join(["file,logS [log mol/L],colour", "a.xyz,-3.5,red", "b.xyz,,blue"]))
        >>> labels = read_labels(path)
        >>> [column.target.quantity() for column in labels.columns.each], labels.fields(seed=0)["y"].tolist()
        (['logS (log mol/L)', 'P(red)'], [[-3.5, 1.0], [nan, 0.0]])
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
    targets = read_targets(columns, options, row=_row, source=str(path))
    return Labels(keys, targets,
                  None if split is None else read_parts(split, f"the column 'split' of {path}", _row))


def _row(place: int) -> str:
    return f"row {place + 2}"


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
