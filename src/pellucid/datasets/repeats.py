"""Samples that come more than once, and whether their labels agree."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pellucid.datasets.kinds import TargetColumn, TargetColumns

APART = 0.5
"""Difference of two numbers about one sample, in standard deviations of the target, from which it is told."""
MOST_NAMES = 3
"""Names that a sentence gives."""


def repeats(identities: Sequence[str], names: Sequence[str], columns: TargetColumns) -> list[str]:
    """What a user should know of samples that come more than once.

    They are kept as they are: the squared error of several values about one sample is that of their mean, but for a
    constant, and none of their other columns is lost.

    Args:
        identities: What each sample is.
        names: What it is called.
        columns: Its targets.

    Returns:
        A sentence that counts them, and one for the targets whose values contradict each other most: other classes, or
        known numbers more than half a standard deviation apart.

    Example:
        >>> from pellucid.datasets.kinds import read_targets
        >>> values = read_targets({"logS": ["1", "5", "2", "2.1"]})
        >>> repeats(["CCO", "CCO", "CCN", "CCN"], ["a", "b", "c", "d"], values)[1]
        'logS: 1 of them has values that contradict each other (a and b: 1 and 5)'
    """
    groups: dict[str, list[int]] = {}
    for i, one in enumerate(identities):
        groups.setdefault(one, []).append(i)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return []
    rows = sum(map(len, several))
    found = [f"{len(several):,} {'samples come' if len(several) > 1 else 'sample comes'} more than once ({rows:,} "
             "rows); they are kept, on one side of the split"]
    against = {column.target.name: [pair for group in several if (pair := _contradiction(column, group)) is not None]
               for column in columns.each}
    worst = sorted((name for name in against if against[name]), key=lambda name: -len(against[name]))
    for column in columns.each:
        if column.target.name in worst[:MOST_NAMES]:
            told = against[column.target.name]
            shown = "; ".join(f"{names[a]} and {names[b]}: {_value(column, a)} and {_value(column, b)}"
                              for a, b in told[:MOST_NAMES])
            more = f"; and {len(told) - MOST_NAMES:,} more" if len(told) > MOST_NAMES else ""
            have = "have" if len(told) > 1 else "has"
            found.append(f"{column.target.name}: {len(told):,} of them {have} values that contradict each other "
                         f"({shown}{more})")
    if others := worst[MOST_NAMES:]:
        found.append(f"values that contradict each other also of {', '.join(others)}")
    return found


def _contradiction(column: TargetColumn, group: Sequence[int]) -> tuple[int, int] | None:
    """The two that differ most, where that is too far."""
    known = [i for i in group if not math.isnan(column.values[i]) and column.bounds[i] == 0]
    if len(known) < 2:
        return None
    low, high = (pick(known, key=column.values.__getitem__) for pick in (min, max))
    apart = column.values[high] - column.values[low]
    if column.target.kind != "regression":
        return tuple(sorted((low, high))) if apart else None  # type: ignore[return-value]
    exact = [v for v, b in zip(column.values, column.bounds, strict=True) if not math.isnan(v) and b == 0]
    return (min(low, high), max(low, high)) if apart > APART * statistics.stdev(exact) else None


def _value(column: TargetColumn, i: int) -> str:
    value, target = column.values[i], column.target
    if target.kind == "regression":
        return f"{value:.6g}"
    return target.classes[int(value)] if target.classes else f"{value:.0f}"
