"""Training, validation and test: by groups, by a column, by time, or in folds; and nothing on two sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.clouds import SPLITS
from pellucid.errors import PellucidError

SHARES = (0.8, 0.1, 0.1)
"""Of samples for training, validation and test."""
SPELLINGS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2,
             "testing": 2, "holdout": 2}
"""What a column may call the parts, in any case."""


def split_by_groups(groups: Sequence[str], seed: int, shares: Sequence[float] = SHARES) -> Tensor:
    """The usual balanced split by groups (of scaffolds, of copies): the samples of a group stay together.

    Groups larger than half of the smallest part go to training first, so that no part for judging is one series; the
    others fill training, validation and test in an order that the seed decides. What fits nowhere goes to the last
    part. This is the balanced scaffold split as DeepChem and Chemprop describe it, except that a part that would stay
    empty gets the smallest group of the part that has most.

    Args:
        groups: The group of each sample.
        seed: Decides the order of the groups.
        shares: Of the parts; they sum to 1.

    Returns:
        (n,) int64, 0 for the first part (training), 1 for the next, ...

    Raises:
        PellucidError: if there are fewer groups than parts.

    Example:
        >>> split_by_groups(["a"] * 6 + [f"single {i}" for i in range(34)], seed=0).bincount().tolist()
        [32, 4, 4]
    """
    names, group_of, sizes = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True,
                                       return_counts=True)
    if len(names) < len(shares):
        raise PellucidError(f"expected at least {len(shares)} different groups to split by, got {len(names)}; give "
                            "more samples, or split by another rule")
    room = np.array(shares) * len(groups)
    order = np.random.default_rng([seed, 19]).permutation(len(names))
    large = sizes[order] > min(room[1:]) / 2
    part_of = np.empty(len(names), dtype=np.int64)
    filled = np.zeros(len(shares))
    for group in [*order[large], *order[~large]]:
        fits = np.flatnonzero(filled + sizes[group] <= room + 1e-9)
        part = fits[0] if len(fits) else (0 if not filled[0] else len(shares) - 1)
        part_of[group] = part
        filled[part] += sizes[group]
    for part in range(len(shares)):
        if not (part_of == part).any():
            most = np.bincount(part_of, minlength=len(shares)).argmax()
            of_it = np.flatnonzero(part_of == most)
            part_of[of_it[sizes[of_it].argmin()]] = part
    return torch.from_numpy(part_of[group_of.reshape(-1)])


def split_into_folds(groups: Sequence[str], seed: int, folds: int, fold: int) -> Tensor:
    """One of several splits that test each sample once: the test part is a fold, validation a ninth of the rest.

    Args:
        groups: The group of each sample; groups stay together, and folds are as equal in size as groups allow.
        seed: Decides the folds, and in each the validation part.
        folds: How many; at least 2.
        fold: Which one is the test part, from 0.

    Returns:
        (n,) int64 0, 1 or 2 as in :data:`pellucid.clouds.SPLITS`.

    Raises:
        PellucidError: if ``fold`` is no fold, or there are too few groups.

    Example:
        >>> parts = [split_into_folds(list("aabcdefghi"), 0, 5, fold) for fold in range(5)]
        >>> torch.stack(parts).eq(2).sum(0).tolist()
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    if folds < 2 or not 0 <= fold < folds:
        raise PellucidError(f"expected at least 2 folds and a fold from 0 to folds - 1, got folds={folds} and "
                            f"fold={fold}")
    names, group_of, sizes = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True,
                                       return_counts=True)
    if len(names) < folds:
        raise PellucidError(f"expected at least as many different groups as the {folds} folds, got {len(names)}; take "
                            "fewer folds, or split by another rule")
    order = np.random.default_rng([seed, 23]).permutation(len(names))
    filled, fold_of = np.zeros(folds), np.empty(len(names), dtype=np.int64)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    test = torch.from_numpy(fold_of[group_of.reshape(-1)] == fold)
    return _with_validation(torch.where(test, 2, 0), groups, seed + fold)


def read_parts(values: Sequence[str], where: str, row: Callable[[int], str]) -> Tensor:
    """(n,) int64 0, 1 or 2 out of the words of a column.

    Args:
        values: Train, val or test, in any of :data:`SPELLINGS` and in any case.
        where: How to name the column.
        row: How to name a row by its place, for messages.

    Raises:
        PellucidError: if a value is another.

    Example:
        >>> read_parts(["Train", "valid", "TEST"], "the column 'set'", str).tolist()
        [0, 1, 2]
    """
    for place, value in enumerate(values):
        if value.strip().lower() not in SPELLINGS:
            raise PellucidError(f"expected {', '.join(SPLITS)} in {where}, got {value!r} in {row(place)}; mend it, or "
                                "split by another rule")
    return torch.tensor([SPELLINGS[value.strip().lower()] for value in values], dtype=torch.int64)


def split_by_column(values: Sequence[str], column: str, groups: Sequence[str], seed: int,
                    row: Callable[[int], str] = lambda i: f"row {i + 2}") -> Tensor:
    """The split that a table itself has; validation comes out of training by groups where the table names none.

    Args:
        values: Of each sample, see :func:`read_parts`.
        column: Its name, for messages.
        groups: The group of each sample, see :func:`split_by_groups`.
        seed: Of a validation part that the table does not have.
        row: How to name a row by its place, for messages.

    Returns:
        (n,) int64 0, 1 or 2.

    Raises:
        PellucidError: if a value is another, or there are none for training or test.

    Example:
        >>> split_by_column(["Train", "valid", "TEST"], "set", ["a", "b", "c"], seed=0).tolist()
        [0, 1, 2]
    """
    split = read_parts(values, f"the column {column!r}", row)
    for part in (0, 2):
        if not bool((split == part).any()):
            raise PellucidError(f"expected samples for {SPLITS[part]} in the column {column!r}, got none; split by "
                                "another rule")
    return split if bool((split == 1).any()) else _with_validation(split, groups, seed)


def split_by_time(values: Sequence[str], column: str, shares: Sequence[float] = SHARES,
                  row: Callable[[int], str] = lambda i: f"row {i + 2}") -> Tensor:
    """The oldest samples train, the newest test; samples of one time stay together.

    Args:
        values: Of each sample: a number, or a date as ``2024-05-31`` (a time may follow), ``2024/05/31`` or
            ``31.05.2024``.
        column: Its name, for messages.
        shares: Of the parts.
        row: How to name a row by its place, for messages.

    Returns:
        (n,) int64 0, 1 or 2.

    Raises:
        PellucidError: if a value is neither, or there are fewer times than parts.

    Example:
        >>> split_by_time(["2019", "2022", "2020", "2020", "2021"], "year").tolist()
        [0, 2, 0, 0, 1]
    """
    times = _times(values, column, row)
    moments, place, counts = np.unique(times, return_inverse=True, return_counts=True)
    if len(moments) < len(shares):
        raise PellucidError(f"expected at least {len(shares)} different times in the column {column!r}, got "
                            f"{len(moments)}; split by another rule")
    cuts = np.searchsorted(counts.cumsum(), np.cumsum(shares)[:-1] * len(times) + 1e-9, side="right")
    part = np.zeros(len(moments), dtype=np.int64)
    for at, cut in enumerate(cuts, 1):  # moments before it are older than part `at`; each part has one at least
        part[max(int(np.flatnonzero(part == at - 1)[0]) + 1, min(cut, len(moments) - (len(shares) - at))):] = at
    return torch.from_numpy(part[place.reshape(-1)])


def without_copies(split: Tensor, identities: Sequence[str]) -> Tensor:
    """(n,) bool, which samples stay so that nothing is on two sides: what is tested is neither validated nor trained.

    Args:
        split: (n,) 0, 1 or 2.
        identities: What each sample is.

    Example:
        >>> without_copies(torch.tensor([0, 0, 1, 2]), ["a", "b", "a", "b"]).tolist()
        [False, False, True, True]
    """
    last: dict[str, int] = {}
    for part, name in zip(split.tolist(), identities, strict=True):
        last[name] = max(part, last.get(name, 0))
    return torch.tensor([last[name] == part for part, name in zip(split.tolist(), identities, strict=True)])


def _with_validation(split: Tensor, groups: Sequence[str], seed: int) -> Tensor:
    """The split with a ninth of its training part, by groups, as its validation part."""
    train = (split == 0).nonzero().squeeze(1)
    total = SHARES[0] + SHARES[1]
    inner = split_by_groups([groups[i] for i in train.tolist()], seed, (SHARES[0] / total, SHARES[1] / total))
    return split.index_put((train,), inner)


def _times(values: Sequence[str], column: str, row: Callable[[int], str]) -> NDArray[np.float64]:
    found = np.empty(len(values))
    kinds = set()
    for place, value in enumerate(values):
        number, date = _number(value.strip()), _date(value.strip())
        if number is None and date is None:
            raise PellucidError(f"expected a number or a date such as 2024-05-31 in the column {column!r}, got "
                                f"{value!r} in {row(place)}; mend it, or split by another rule")
        kinds.add("number" if number is not None else "date")
        found[place] = number if number is not None else date
    if len(kinds) > 1:
        raise PellucidError(f"expected numbers or dates in the column {column!r}, got both; write all of them alike")
    return found


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _date(value: str) -> float | None:
    for form in (None, "%Y/%m/%d", "%d.%m.%Y"):
        try:
            moment = datetime.fromisoformat(value) if form is None else datetime.strptime(value, form)
        except ValueError:
            continue
        return (moment.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()
    return None
