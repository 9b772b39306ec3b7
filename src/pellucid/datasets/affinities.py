"""Measured affinities, read by strict rules: text such as ``Ki<10nM``, columns of a table, lines of PDBbind's index."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pellucid.errors import PellucidError

UNITS = {"fM": -15, "pM": -12, "nM": -9, "uM": -6, "mM": -3, "M": 0}
"""Units of concentration and their powers of ten of mol/l. Their case matters: an mM is a million nM."""
KINDS = ("Kd", "Ki", "IC50")
"""Kinds of measurement that text and columns may name, in any case."""
RELATIONS = ("=", "<", "<=", ">", ">=", "~")
USABLE = ("lri", "all")
"""Rules of what may be used: LRI's, and everything that decides a label; see :func:`refusal`."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TEXT = re.compile(r"(?:(?P<kind>[A-Za-z]\w*)\s*(?=[=<>~]))?(?P<relation><=|>=|[=<>~])?\s*"
                   rf"(?P<number>{_NUMBER})\s*(?P<unit>\S*)")
_LINE = re.compile(rf"(?P<code>\w{{4}})\s+(?P<resolution>NMR|\d+\.\d+)\s+(?P<year>\d{{4}})\s+(?:(?P<p>{_NUMBER})\s+)?"
                   r"(?P<affinity>[^\s/]+)\s*(?://(?P<comment>.*))?")
_MOLAR_COLUMN = re.compile(rf"(?:(?P<kind>{'|'.join(KINDS)})|affinity)_(?P<unit>{'|'.join(UNITS)})")
_P_COLUMN = re.compile(rf"p(?:K|_affinity|(?P<kind>{'|'.join(KINDS)}))")
P_RANGE = (-3, 18)
"""Of a -log10 in mol/l: from no binding at all to an attomole."""
ROUNDING = 0.02
"""How far the -log10 of an index line may be from the value beside it; it has two decimals."""


@dataclass(frozen=True)
class Affinity:
    """A measured affinity.

    Attributes:
        kind: ``"Kd"``, ``"Ki"``, ``"IC50"``, another that a data set names (``"dG_exp"``), or ``""`` where it is not
            said.
        relation: One of :data:`RELATIONS`; anything but ``"="`` is no exact value.
        value: Dissociation or inhibition constant in mol/l, above 0.

    Raises:
        PellucidError: if the relation is another or the value is not a positive number.

    Example:
        >>> Affinity("Kd", "=", 1e-8).p
        8.0
    """

    kind: str
    relation: str
    value: float

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS:
            raise PellucidError(f"expected a relation out of {' '.join(RELATIONS)}, got {self.relation!r}; mend it")
        if not 0 < self.value < math.inf:
            raise PellucidError(f"expected a finite affinity above 0, got {self.value:g} mol/l; mend it or leave it "
                                "out")

    @property
    def p(self) -> float:
        """-log10 of the value in mol/l: 8 is 10 nM, a larger one binds more strongly."""
        return -math.log10(self.value)

    @property
    def bound(self) -> bool:
        """Whether only a limit is known."""
        return self.relation not in ("=", "~")

    def below(self, threshold: float) -> bool | None:
        """Whether the constant is below a threshold in mol/l; None where a bound leaves it open.

        Example:
            >>> [Affinity("Ki", "<", 1e-9).below(1e-8), Affinity("Ki", "<", 1e-7).below(1e-8)]
            [True, None]
        """
        if self.relation == "<":
            return True if self.value <= threshold else None
        if self.relation == "<=":
            return True if self.value < threshold else None
        if self.relation in (">", ">="):
            return False if self.value >= threshold else None
        return self.value < threshold

    def __str__(self) -> str:
        return f"{self.kind or 'K'}{self.relation}{self.value:g} M"


def molar(number: str | float, unit: str) -> float:
    """A concentration in mol/l; decimal, so that 0.01 uM and 10 nM are the same number.

    Raises:
        PellucidError: if the unit is missing or unknown, or the number is not above 0.

    Example:
        >>> molar("0.01", "uM") == molar(10, "nM") == 1e-8
        True
    """
    if unit not in UNITS:
        raise PellucidError(f"expected a unit out of {', '.join(UNITS)} (their case matters), got "
                            f"{repr(unit) if unit else 'none'} after {number}; write e.g. 12 nM")
    value = Decimal(str(number))
    if not (value.is_finite() and value > 0):
        raise PellucidError(f"expected an affinity above 0, got {number} {unit}; mend it or leave it out")
    return float(value.scaleb(UNITS[unit]))


def parse_affinity(text: str) -> Affinity:
    """Reads ``Kd=49uM``, ``Ki<10nM``, ``IC50~3 uM`` or plain ``12 nM``: a unit must be there.

    Args:
        text: Kind (optional, one of :data:`KINDS`), relation (``=`` unless said; needed after a kind), number,
            unit.

    Raises:
        PellucidError: if it is not of this form, names another kind or unit, or its value is not above 0.

    Example:
        >>> parse_affinity("Ki<10nM")
        Affinity(kind='Ki', relation='<', value=1e-08)
        >>> parse_affinity("12")
        Traceback (most recent call last):
        pellucid.errors.PellucidError: expected a unit out of fM, pM, nM, uM, mM, M (their case matters), got none \
after 12; write e.g. 12 nM
    """
    plain = text.strip().replace("≤", "<=").replace("≥", ">=").replace("µ", "u").replace("μ", "u")
    match = _TEXT.fullmatch(plain)
    if match is None:
        raise PellucidError(f"expected an affinity such as Kd=12nM or 0.5 uM, got {text!r}; mend it or leave it out")
    kind = match["kind"] or ""
    if kind:
        named = {known.lower(): known for known in KINDS}
        if kind.lower() not in named:
            raise PellucidError(f"expected one of {', '.join(KINDS)} before the value, got {text!r}; give another "
                                "measurement or leave it out")
        kind = named[kind.lower()]
    return Affinity(kind, match["relation"] or "=", molar(match["number"], match["unit"]))


def affinity_column(columns: Sequence[str]) -> tuple[str, Callable[[str], Affinity]]:
    """Finds the column of a table that holds the affinity, and how its cells are read.

    A column ``affinity`` holds text as :func:`parse_affinity` reads it; ``kd_nM``, ``ki_uM``, ``ic50_nM`` or
    ``affinity_nM`` hold numbers in the unit that the name ends with; ``pK``, ``pKd``, ``pKi``, ``pIC50`` or
    ``p_affinity`` hold -log10 of the value in mol/l.

    Args:
        columns: Names of all columns.

    Returns:
        Name of the column, and a function from a cell's text to :class:`Affinity`, which raises
        :class:`~pellucid.errors.PellucidError` for a cell that it cannot read.

    Raises:
        PellucidError: if there is none, or more than one.

    Example:
        >>> name, read = affinity_column(["protein_file", "kd_nM"])
        >>> name, read("25")
        ('kd_nM', Affinity(kind='Kd', relation='=', value=2.5e-08))
    """
    found = {name: reader for name in columns if (reader := _cell_reader(name)) is not None}
    if len(found) != 1:
        raise PellucidError(f"expected one column with the affinity (affinity with text such as 12 nM; kd_nM, ki_uM, "
                            f"... with numbers; pK or p_affinity), got {', '.join(found) or 'none'} among "
                            f"{', '.join(columns)}; rename or drop columns")
    return found.popitem()


def _cell_reader(column: str) -> Callable[[str], Affinity] | None:
    if column == "affinity":
        return parse_affinity
    kinds = {kind.lower(): kind for kind in KINDS}
    head, sign, unit = column.rpartition("_")
    if match := _MOLAR_COLUMN.fullmatch(f"{kinds.get(head.lower(), head)}{sign}{unit}"):
        kind, unit = match["kind"] or "", match["unit"]
        return lambda text: Affinity(kind, "=", molar(_number(text), unit))
    if match := _P_COLUMN.fullmatch(column):
        kind = match["kind"] or ""
        return lambda text: Affinity(kind, "=", _from_p(_number(text)))
    return None


def _from_p(number: str) -> float:
    low, high = P_RANGE
    if not low <= float(number) <= high:
        raise PellucidError(f"expected -log10 of a value in mol/l, from {low} to {high}, got {number}; name the unit "
                            "in the column (kd_nM) if it is a concentration")
    return float(10.0 ** -float(number))


def _number(text: str) -> str:
    if not re.fullmatch(_NUMBER, text.strip()):
        raise PellucidError(f"expected a number, got {text!r}; mend it or leave it out")
    return text.strip()


@dataclass(frozen=True)
class IndexLine:
    """A line of PDBbind's index.

    Attributes:
        code: PDB code, in lower case.
        resolution: Angstrom; None for NMR.
        year: Of the release.
        affinity: None where it cannot be used.
        reason: Why not; ``""`` otherwise.
        ligand: Name in the parentheses of the comment, e.g. ``"2-mer"``; ``""`` without one.
        comment: What follows ``//``, e.g. ``"2tpi.pdf (2-mer)"``.
    """

    code: str
    resolution: float | None
    year: int
    affinity: Affinity | None
    reason: str
    ligand: str
    comment: str


def parse_index_line(line: str) -> IndexLine:
    """Reads one line of ``INDEX_general_PL_data.2020`` or, without the column of -log10, ``INDEX_general_PL.2020``.

    An affinity that cannot be read, or that contradicts the -log10 beside it by more than :data:`ROUNDING`, is no
    error: its reason is told.

    Raises:
        PellucidError: if the line has another form.

    Example:
        >>> line = parse_index_line("2tpi  2.10  1982   4.31  Kd=49uM       // 2tpi.pdf (2-mer)")
        >>> line.code, line.year, str(line.affinity), line.ligand
        ('2tpi', 1982, 'Kd=4.9e-05 M', '2-mer')
    """
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise PellucidError("expected a line of PDBbind's index (PDB code, resolution or NMR, year, perhaps -logKd/Ki, "
                            f"affinity, // comment), got {line.strip()[:80]!r}; fetch the index again")
    affinity, reason = None, ""
    try:
        affinity = parse_affinity(match["affinity"])
        if match["p"] is not None and abs(affinity.p - float(match["p"])) > ROUNDING:
            raise PellucidError(f"expected -log10 of {match['affinity']} to be {affinity.p:.2f}, got {match['p']}; the "
                                "index contradicts itself")
    except PellucidError as error:
        affinity, reason = None, str(error)
    comment = (match["comment"] or "").strip()
    named = re.search(r"\(([^)]*)\)", comment)
    return IndexLine(match["code"].lower(), None if match["resolution"] == "NMR" else float(match["resolution"]),
                     int(match["year"]), affinity, reason, named[1].strip() if named else "", comment)


def read_index(path: Path) -> list[IndexLine]:
    """Reads an index file of PDBbind; lines that start with ``#`` are passed over.

    Raises:
        PellucidError: if the file is missing, empty or not of this form.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")  # comments may hold a name in an old encoding
    except OSError as error:
        raise PellucidError(f"expected PDBbind's index in {path}, got {error.strerror}; check the path") from error
    lines = [parse_index_line(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise PellucidError(f"expected lines of complexes in {path}, got none; fetch the index again")
    return lines


def refusal(affinity: Affinity, usable: str, threshold: float | None) -> str:
    """Why an affinity may not be used; ``""`` where it may.

    Args:
        affinity: What was measured.
        usable: ``"lri"``, the rule of LRI: an exact value, not an IC50. ``"all"``: IC50 and approximate values too, and
            bounds that decide the label.
        threshold: In mol/l, where a label is asked for; None where the value is, for which no bound will do.

    Example:
        >>> refusal(parse_affinity("Ki<1uM"), "all", 1e-8)
        'Ki<1e-06 M leaves open on which side of 1e-08 M it is'
    """
    if usable == "lri" and affinity.kind == "IC50":
        return f"{affinity} depends on the assay; usable='all' takes it"
    if usable == "lri" and affinity.relation != "=":
        return f"{affinity} is not an exact value"
    if threshold is None and affinity.bound:
        return f"{affinity} is a bound, and the value itself is asked for"
    if threshold is not None and affinity.below(threshold) is None:
        return f"{affinity} leaves open on which side of {threshold:g} M it is"
    return ""
