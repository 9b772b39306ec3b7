"""What the report says of an explanation's further columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pellucid.errors import PellucidError
from pellucid.report.colours import FALSE_COLOUR, MARK_COLOUR
from pellucid.report.words import CLOUDS, Words


@dataclass(frozen=True)
class Column:
    """A column for its readers.

    Attributes:
        label: Its name.
        about: What its numbers say, in one sentence.
        kinds: What its values 0, 1, ... stand for, where they are no quantity.
        colours: One colour a kind.
    """

    label: str
    about: str = ""
    kinds: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()


_KNOWN: dict[str, Column] = {}


def register_column(name: str, column: Column) -> None:
    """Tells reports what a column of an explanation says; the same name again must say the same.

    Args:
        name: As in :attr:`pellucid.explanation.Explanation.columns`.
        column: Its texts may have the placeholders of :class:`~pellucid.report.words.Words`.

    Raises:
        PellucidError: if there is another column of this name, or not one colour a kind.

    Example:
        >>> register_column("charge", Column("Charge (e)", "Partial charge of the {point}."))
        >>> described(["charge"])["charge"]["about"]
        'Partial charge of the point.'
    """
    if len(column.kinds) != len(column.colours):
        raise PellucidError(f"expected one colour for each of {len(column.kinds)} kinds of {name!r}, got "
                            f"{len(column.colours)}; pass as many")
    if _KNOWN.setdefault(name, column) != column:
        raise PellucidError(f"expected a new name of a column, got {name!r}, which is {_KNOWN[name].label!r} already; "
                            "choose another")


def known_columns() -> dict[str, Column]:
    """The columns that were registered, by name; others are shown under their own names.

    Example:
        >>> known_columns()["rank_stability"].label
        'Rank stability'
    """
    return dict(_KNOWN)


for _name, _column in {
    "spread": Column("Spread", "Standard deviation of the importance over the members of the ensemble: dark {points} "
                     "are uncertain."),
    "rank_stability": Column("Rank stability", "1: every member of the ensemble gives the {point} the same rank; 0: as "
                             "if ranked at random; below 0: members disagree more than chance would."),
    "subgraph": Column("Subgraph", "The {points} that the chosen rule keeps.", ("left out", "kept"),
                       (FALSE_COLOUR, MARK_COLOUR)),
    "existence": Column("Existence", "Probability with which the {point} is kept: near 1, the prediction needs it to "
                        "be there."),
    "location": Column("Location", "−log det Σ: the larger, the less the {point} may move."),
    "kind": Column("Kind", "What the prediction needs of the {point}: that it is there, that it is where it is, or "
                   "neither.", ("neither", "existence", "location"), (FALSE_COLOUR, "#ef7f45", "#4c7bd9")),
}.items():
    register_column(_name, _column)


def described(names: Iterable[str], words: Words = CLOUDS) -> dict[str, dict[str, Any]]:
    """What the page needs to know of columns.

    Example:
        >>> described(["odd_number"])
        {'odd_number': {'label': 'Odd number', 'about': '', 'kinds': [], 'colours': []}}
    """
    known = known_columns()
    columns = {name: known.get(name) or Column(name.replace("_", " ").strip().capitalize() or name) for name in names}
    return {name: {"label": words.of(c.label), "about": words.of(c.about), "kinds": list(c.kinds),
                   "colours": list(c.colours)} for name, c in columns.items()}
