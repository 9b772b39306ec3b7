"""What the report says of an explanation's further columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pellucid.report.colours import FALSE_COLOUR, MARK_COLOUR
from pellucid.report.content import MOLECULES, Words


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


CONTACTS = ("–", "hydrophobic", "H-bond", "H-bond, hydrophobic")
"""Kinds of contact between residue and ligand; a place is 1 if hydrophobic, plus 2 with a hydrogen bond."""
CONTACT_COLOURS = (FALSE_COLOUR, "#b08a00", "#1f77d0", "#0a3f86")

KNOWN: dict[str, Column] = {
    "spread": Column("Spread", "Standard deviation of the importance over the members of the ensemble: dark atoms are "
                     "uncertain."),
    "rank_stability": Column("Rank stability", "1: every member of the ensemble gives the atom the same rank; 0: as if "
                             "ranked at random; below 0: members disagree more than chance would."),
    "subgraph": Column("Subgraph", "The atoms that the chosen rule keeps.", ("left out", "kept"),
                       (FALSE_COLOUR, MARK_COLOUR)),
    "existence": Column("Existence", "Probability with which the atom is kept: near 1, the prediction needs it to be "
                        "there."),
    "location": Column("Location", "−log det Σ: the larger, the less the atom may move."),
    "layer": Column("Layer", "The detector surface that measured the hit."),
    "contact": Column("Contact", "How the residue touches the ligand.", CONTACTS, CONTACT_COLOURS),
    "distance": Column("Distance (Å)", "The least distance between heavy atoms of the residue and of the ligand."),
    "p_t": Column("p_T (GeV)", "True transverse momentum at the hit; the model does not see it."),
    "kind": Column("Kind", "What the prediction needs of the atom: that it is there, that it is where it is, or "
                   "neither.", ("neither", "existence", "location"), (FALSE_COLOUR, "#ef7f45", "#4c7bd9")),
}
"""The columns that the library makes; others are shown under their own names."""


def described(names: Iterable[str], words: Words = MOLECULES) -> dict[str, dict[str, Any]]:
    """What the page needs to know of columns.

    Example:
        >>> described(["odd_number"])
        {'odd_number': {'label': 'Odd number', 'about': '', 'kinds': [], 'colours': []}}
    """
    columns = {name: KNOWN.get(name) or Column(name.replace("_", " ").strip().capitalize() or name) for name in names}
    return {name: {"label": c.label, "about": words.of(c.about), "kinds": list(c.kinds), "colours": list(c.colours)}
            for name, c in columns.items()}
