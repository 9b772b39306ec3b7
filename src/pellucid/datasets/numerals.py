"""Numbers as people write them in tables: bounds, decimal commas, spaces between thousands, units in a title."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

MISSING = frozenset(("", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "None", "NaT"))
"""What stands for a value that is not known. Words such as "n.d." do not: not detected is not the same as not done."""

_SIGN = r"[+\-−]?"
_POINT = re.compile(rf"{_SIGN}(\d+\.?\d*|\.\d+)([eE]{_SIGN}\d+)?")
_COMMA = re.compile(rf"{_SIGN}(\d*),\d+([eE]{_SIGN}\d+)?")
_THOUSANDS = re.compile(rf"{_SIGN}[1-9]\d{{0,2}}([ \u00a0\u2009\u202f]\d{{3}})+([.,]\d+)?")
_EITHER = re.compile(rf"{_SIGN}[1-9]\d{{0,2}},\d{{3}}")
_BOUND = re.compile(r"(>=|=>|=<|<=|>|<|≥|≤|⩾|⩽)\s*(.+)")
_SYMBOL = re.compile(r"[munpfkcdµμ]?(mol|cal|sec|Hz|Pa|bar|eV|Da|Å|ppm|ppb|g|L|l|m|s|h|M)|mV|[mk]?J|min|°C|K|d|a\.u\.|"
                     r"(hour|day|minute|second|angstrom|unit|cell|molecule)s?|protein")
_POWER = re.compile(r"[x×]?\d+([.,]\d+)?(e[-−]?\d+|\^?[-−]\d+|\^\d+)?")
_LOG = re.compile(r"([-−]?(?:log|Log|LOG|lg|ln)(?:10|2)?)(?![a-z])")
_NEGATIVE_LOG = re.compile(r"p(IC|EC|AC|GI|CC|XC|LD|MIC|K[aidb]?)(\d\d)?(?![A-Za-z])")
_NO_UNIT = ("L", "d", "l")
"""Alone in brackets these are forms of a molecule."""


@dataclass(frozen=True)
class Numbers:
    """A column of texts as numbers.

    Attributes:
        values: NaN where missing, or where the text is no number.
        bounds: 0 for a known value, +1 for the smallest that the true one may be (``>5``), -1 for the largest.
        wrong: Places of texts that are no numbers.
        ambiguous: Places of texts such as ``1,200`` in a column that does not tell a decimal from a thousands comma,
            or of commas in a column that has decimal points as well.
        notes: What was read in an unusual way.
    """

    values: list[float]
    bounds: list[int]
    wrong: list[int]
    ambiguous: list[int]
    notes: list[str]


def read_numbers(texts: Sequence[str]) -> Numbers:
    """Reads the cells of a column.

    ``1e-3``, ``+2``, ``.5`` and a typographic minus are numbers; ``1 200`` is 1200; ``3,5`` is 3.5 where the whole
    column writes so and at least one cell shows that the comma is no thousands separator; ``>5``, ``≤ 0.1`` are bounds.
    Infinities are no numbers.

    Args:
        texts: The cells, stripped.

    Example:
        >>> read_numbers(["3,5", "", "> 10", "1 200"]).values
        [3.5, nan, 10.0, 1200.0]
        >>> read_numbers(["1,200", "3,400"]).ambiguous, read_numbers(["5", "n.d."]).wrong
        ([0, 1], [1])
    """
    values, bounds = [math.nan] * len(texts), [0] * len(texts)
    wrong: list[int] = []
    commas: list[int] = []
    spaced = 0
    points = decimal_comma = False
    for i, text in enumerate(texts):
        if text in MISSING:
            continue
        if (bound := _BOUND.fullmatch(text)) is not None:
            bounds[i], text = (1 if set(bound[1]) & set(">≥⩾") else -1), bound[2].strip()
        if _THOUSANDS.fullmatch(text):
            spaced += 1
            text = re.sub(r"\s", "", text)
        if _POINT.fullmatch(text):
            points |= "." in text
        elif _COMMA.fullmatch(text):
            commas.append(i)
            decimal_comma |= not _EITHER.fullmatch(text)
        else:
            wrong.append(i)
            bounds[i] = 0
            continue
        values[i] = float(text.replace("−", "-").replace(",", "."))
        if math.isinf(values[i]):
            wrong.append(i)
            values[i], bounds[i] = math.nan, 0
    notes = [f"{len(commas):,} decimal commas read as points"] if commas else []
    notes += [f"{spaced:,} numbers with spaces between thousands"] if spaced else []
    return Numbers(values, bounds, wrong, commas if commas and (points or not decimal_comma) else [], notes)


def name_and_unit(title: str) -> tuple[str, str]:
    """The title of a column as a name and a unit: ``name [unit]``, or ``name (unit)`` where that can be a unit.

    Where the name says that values are logarithms, their unit is that of the quantity with ``log`` before it, so that
    -0.8 is not read as so many mL/min.

    Example:
        >>> name_and_unit("LOG HLM_CLint (mL/min/kg)"), name_and_unit("pIC50 [M]")
        (('LOG HLM_CLint', 'log mL/min/kg'), ('pIC50', '-log M'))
        >>> name_and_unit("logS [log mol/L]"), name_and_unit("PPB (human) (% unbound)")
        (('logS', 'log mol/L'), ('PPB (human)', '% unbound'))
        >>> name_and_unit("yield (R)"), name_and_unit("(R)-form"), name_and_unit("MDR1-MDCK ER (B-A/A-B)")
        (('yield (R)', ''), ('(R)-form', ''), ('MDR1-MDCK ER (B-A/A-B)', ''))
    """
    title = title.strip()
    if parts := re.fullmatch(r"(.*\S)\s*\[([^\[\]]*)\]", title):
        return parts[1], _logarithmic(parts[1], parts[2].strip())
    for form in (r"(.*\S)\s+\(([^()]*)\)", r"(.*\S)(?:,\s*|\s+/\s+)([^,/\s][^,]*)"):
        parts = re.fullmatch(form, title)
        if parts and _is_unit(parts[2].strip()):
            return parts[1], _logarithmic(parts[1], parts[2].strip())
    return title, ""


def _logarithmic(name: str, unit: str) -> str:
    """The unit of values with a name: of logarithms, that they are such, where the unit itself does not say it."""
    if not unit or re.match(r"[-−]?\s*(log|lg|ln)", unit, re.IGNORECASE):
        return unit
    if _NEGATIVE_LOG.match(name):
        return f"-log {unit}"
    found = _LOG.match(name)
    return f"{found[1].lower()} {unit}" if found else unit


def _is_unit(text: str) -> bool:
    if text.startswith("%"):
        return True
    words = [word for word in re.split(r"[\s/·*]+", text) if word and word not in ("log", "log10", "ln")]
    symbols = [word for word in words if _SYMBOL.fullmatch(re.sub(r"\^?[-−]?\d$", "", word))]
    powers = [word for word in words if _POWER.fullmatch(word)]
    return bool(symbols) and len(symbols) + len(powers) == len(words) and text not in _NO_UNIT
