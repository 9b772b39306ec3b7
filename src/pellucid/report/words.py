"""What a page calls points and samples, and how it draws them: what differs from domain to domain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypedDict

from pellucid.errors import PellucidError


def _plural(word: str) -> str:
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + "es"
    return word[:-1] + "ies" if re.search(r"[^aeiou]y$", word) else word + "s"


def _with_article(word: str) -> str:
    return f"{'an' if word[:1].lower() in tuple('aeiou') else 'a'} {word}"


@dataclass(frozen=True)
class Words:
    """What the page calls a point and a sample.

    Attributes:
        point: One point, e.g. ``"node"``.
        sample: One sample, e.g. ``"graph"``.
        points: Several points; ``""`` for the regular plural.
        samples: Several samples; ``""`` for the regular plural.

    Example:
        >>> Words("node", "graph").of("{a_point} of this {sample}; {points} of {samples}")
        'a node of this graph; nodes of graphs'
        >>> Words("vertex", "mesh", points="vertices").of("{points} of {samples}")
        'vertices of meshes'
    """

    point: str
    sample: str
    points: str = ""
    samples: str = ""

    def __post_init__(self) -> None:
        for one, several in (("point", "points"), ("sample", "samples")):
            if not isinstance(getattr(self, one), str) or not getattr(self, one):
                raise PellucidError(f"expected a word for one {one}, got {getattr(self, one)!r}; pass a noun")
            object.__setattr__(self, several, getattr(self, several) or _plural(getattr(self, one)))

    @property
    def cloud(self) -> str:
        """Another name of ``sample``."""
        return self.sample

    def document(self) -> dict[str, str]:
        """The words by placeholder, as the page's code takes them.

        Example:
            >>> Words("edge", "graph").document()["a_point"]
            'an edge'
        """
        return {"point": self.point, "points": self.points, "sample": self.sample, "samples": self.samples,
                "a_point": _with_article(self.point), "a_sample": _with_article(self.sample)}

    def of(self, text: str) -> str:
        """A text with ``{point}``, ``{points}``, ``{a_point}``, ``{sample}``, ``{samples}`` and ``{a_sample}`` put in.

        Other braces stay as they are.
        """
        own = self.document()
        return re.sub(r"(?<!\{)\{(a_point|a_sample|points?|samples?)\}(?!\})", lambda match: own[match[1]], text)


CLOUDS = Words("point", "sample")


class Look(TypedDict, total=False):
    """How samples are drawn and tabled; what is left out is as in :data:`CLOUD_LOOK`. Texts may have placeholders.

    Attributes:
        label: Heading of the labels in the table.
        index: Whether the table has a column of row numbers.
        sort: The column that the table starts sorted by, ``"index"`` or ``"importance"``.
        fold: Rows of the table before it is unfolded; 0 for all.
        drawing: Caption of a sample's ``svg``.
        radii: Radius of a ball by label, in units of 1.4th of a bond; others have 0.76. None: small balls, all alike.
        colours: Colour by label of what stands beside the points (:class:`~pellucid.report.content.Sticks`).
        beside: What is said of that beside its name.
        near: Text of the button that goes there; ``""`` for none.
        lines: A column whose kinds above 0 are drawn as lines from their points to what stands beside; ``""`` for none.
        tubes: Bonds are thick and have the colours of their points.
        true_bonds: Bonds between important points have the colour of the ground truth.
        switch: Text of a check box; ``""`` for none.
        switches: What it shows or hides: ``"bonds"``, or ``"truth"``, the outline of the important points.
        switched: Class of what the box hides in drawings besides; ``""`` for nothing.
        symbols_caption: Before the choice of symbols.
        symbols: The choices, as dicts: ``text``; ``without``, labels that are not written; ``where``, a column that
            must not be 0; ``top``, only so many of the most important; ``numbered``, with row numbers. The first one
            is the start. Empty: no symbols, no choice.
        name: A symbol that is written above its point, with ``<label>`` and ``<text column>``, e.g.
            ``"<Chain>:<label>"``; ``""`` writes the label on the point.
        extents: Which noise is drawn first: ``"all"``, ``"top"`` (the most important quarter) or ``"none"``.
        tall: Whether the scene is higher and the table wider.
        truth: ``caption`` of the ground truth, ``column`` (its heading in the table), ``yes`` and ``no`` (of its
            cells and its legend), ``told`` (how the two are told in full), ``first`` (whether the column stands before
            those of the noise).
    """

    label: str
    index: bool
    sort: str
    fold: int
    drawing: str
    radii: dict[str, float] | None
    colours: dict[str, str]
    beside: str
    near: str
    lines: str
    tubes: bool
    true_bonds: bool
    switch: str
    switches: str
    switched: str
    symbols_caption: str
    symbols: list[dict[str, Any]]
    name: str
    extents: str
    tall: bool
    truth: dict[str, Any]


CLOUD_LOOK: Look = {
    "label": "Label", "index": True, "sort": "index", "fold": 0, "drawing": "Drawing", "radii": {}, "colours": {},
    "beside": "drawn as sticks", "near": "", "lines": "", "tubes": False, "true_bonds": True, "switch": "",
    "switches": "bonds", "switched": "", "symbols_caption": "Symbols", "symbols": [], "name": "",
    "extents": "all", "tall": False,
    "truth": {"caption": "Ground truth", "column": "Truth", "yes": "important", "no": "not",
              "told": ["truth: not important", "truth: important"], "first": False},
}  # fmt: skip
"""Of points without a domain."""


def whole_look(look: Look | None) -> Look:
    """A look with the defaults filled in.

    Raises:
        PellucidError: for a key that no look has.

    Example:
        >>> whole_look({"label": "Node", "truth": {"column": "Motif"}})["truth"]["yes"]
        'important'
    """
    given = dict(look or {})
    if unknown := set(given) - Look.__annotations__.keys():
        raise PellucidError(f"expected a look with the keys {', '.join(CLOUD_LOOK)}, got {', '.join(sorted(unknown))}; "
                            "drop or rename them")
    made: Any = {**CLOUD_LOOK, **given}
    made["truth"] = {**CLOUD_LOOK["truth"], **made["truth"]}
    if made["switches"] not in ("bonds", "truth") or made["extents"] not in ("all", "top", "none"):
        raise PellucidError(f"expected switches of bonds or truth and extents of all, top or none, got "
                            f"{made['switches']!r} and {made['extents']!r}")
    return made  # type: ignore[no-any-return]
