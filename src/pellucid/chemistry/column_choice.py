"""Which column of a table holds the SMILES, and which one names the molecules: by its name, confirmed by its cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rdkit import Chem, rdBase

from pellucid.chemistry.records import MAX_SMILES, smiles_and_name
from pellucid.errors import UnknownNameError

LOOKED_AT = 100
"""Rows that decide; a table may have any number of them."""
_LETTERS = re.compile(r"[A-Za-z0-9@+\-\[\]()=#$:/\\.%*~]+")
_STRUCTURED = re.compile(r"[=#()\[\]/\\@]|[A-Za-z]\d|.{5}", re.DOTALL)
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([ T].*)?")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SMILES_NAMES = ({"smiles"}, {"smi", "cxsmiles", "isosmiles"},
                 {"structure", "structures", "mol", "molecule", "molecules", "romol", "drug", "compound", "ligand",
                  "canonical", "chemical"})
_ID_WORDS = ({"id", "ids", "identifier", "cid", "sid", "index", "key", "chemblid", "zincid", "molid", "cmpdid", "code"},
             {"name", "names", "title", "label", "iupac", "compound", "cas", "casrn", "molecule", "substance", "drug"})


@dataclass(frozen=True)
class Looks:
    """What the cells of one column look like.

    Attributes:
        cells: Number of those that are not empty.
        parsed: Share of them that RDKit reads as SMILES.
        structured: Share of them that are SMILES and more than a word that happens to parse, such as ``CO`` or ``I``.
        numbers: Share of them that are numbers.
        dates: Share of them that are dates.
        different: Whether no two are alike and none is empty.
    """

    cells: int = 0
    parsed: float = 0.0
    structured: float = 0.0
    numbers: float = 0.0
    dates: float = 0.0
    different: bool = False

    @property
    def smiles(self) -> bool:
        """Whether these are SMILES, whatever the column's name."""
        return self.parsed >= (0.5 if self.cells < 4 else 0.7) and self.structured >= 0.3


def looks(cells: Sequence[str]) -> Looks:
    """What cells look like.

    Example:
        >>> looks(["CCO", "c1ccccc1", ""]).parsed, looks(["1", "2.5"]).numbers, looks(["CO", "N"]).smiles
        (1.0, 1.0, False)
    """
    full = [cell.strip() for cell in cells if cell.strip()][:LOOKED_AT]
    if not full:
        return Looks()
    parsed = structured = 0
    for cell in full:
        smiles, name = smiles_and_name(cell)
        smiles = smiles.split(" ", 1)[0]
        if not name and is_smiles(smiles):
            parsed += 1
            structured += bool(_STRUCTURED.search(smiles))
    many = len(full)
    return Looks(many, parsed / many, structured / many, sum(map(is_number, full)) / many,
                 sum(bool(_DATE.fullmatch(cell)) for cell in full) / many,
                 len(set(full)) == many == min(len(cells), LOOKED_AT))


def is_smiles(text: str) -> bool:
    """Whether RDKit reads a text; one that is too long counts by its letters alone."""
    if not _LETTERS.fullmatch(text) or is_number(text):
        return False
    if len(text) > MAX_SMILES:
        return True
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(text, sanitize=False) is not None


def is_number(text: str) -> bool:
    """Whether a text is a number, with a point or a comma, or one above or below a limit."""
    try:
        float(text.lstrip("<>=~ ").replace(",", "."))
    except ValueError:
        return False
    return True


def smiles_rank(name: str) -> int:
    """How much the name of a column says that it holds SMILES: 0 at most, 3 not at all.

    Example:
        >>> [smiles_rank(name) for name in ("SMILES", "canonical_smiles", "Structure", "pIC50")]
        [0, 1, 2, 3]
    """
    plain = re.sub(r"[^a-z]", "", name.lower())
    if plain in _SMILES_NAMES[0]:
        return 0
    if "smiles" in plain or plain in _SMILES_NAMES[1] or "smi" in _words(name):
        return 1
    return 2 if plain in _SMILES_NAMES[2] or _words(name) & {"structure", "canonical", "romol"} else 3


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(name)}


def find_smiles(names: Sequence[str], columns: Sequence[Looks], wanted: str | None) -> tuple[int | None, list[str]]:
    """Place of the column of SMILES, and what to say about the choice.

    Args:
        names: Of the columns.
        columns: What they look like.
        wanted: The name that the user gave.

    Returns:
        The place, None where no column will do, and sentences.

    Raises:
        UnknownNameError: if the user's column is not there.
    """
    if wanted is not None:
        return place_of(wanted, names, "column of SMILES"), []
    fit = [i for i, one in enumerate(columns)
           if one.smiles or (one.parsed >= 0.5 and smiles_rank(names[i]) < 3)]
    if not fit:
        named = [i for i, name in enumerate(names) if smiles_rank(name) < 2]
        return (named[0] if named else None), []
    best = min(fit, key=lambda i: (smiles_rank(names[i]) if columns[i].parsed >= 0.7 else 3, -columns[i].parsed,
                                   -columns[i].structured, i))
    notes = []
    if smiles_rank(names[best]) > 1:
        notes.append(f"the column {names[best]!r} is taken for the SMILES, since its cells are such")
    if ignored := [names[i] for i, name in enumerate(names) if smiles_rank(name) < 2 and i not in fit and i != best]:
        notes.append(f"the column {ignored[0]!r} is not taken for the SMILES: most of its cells are none")
    if others := [repr(names[i]) for i in fit if i != best and (columns[i].smiles or smiles_rank(names[i]) < 2)]:
        notes.append(f"SMILES are in {', '.join(others)} too; {names[best]!r} is taken (--smiles NAME takes another)")
    return best, notes


def find_id(names: Sequence[str], columns: Sequence[Looks], smiles: int | None, wanted: str | None) -> int | None:
    """Place of the column that names the molecules; None where there is none.

    Args:
        names: Of the columns.
        columns: What they look like.
        smiles: Place of the column of SMILES.
        wanted: The name that the user gave.

    Raises:
        UnknownNameError: if the user's column is not there.
    """
    if wanted is not None:
        return place_of(wanted, names, "column of ids")
    rest = [i for i, one in enumerate(columns)
            if i != smiles and not one.smiles and (one.parsed < 0.5 or smiles_rank(names[i]) > 1)]
    named = [i for i in rest if id_rank(names[i]) < 2 and not (columns[i].numbers == 1 and not _whole(names[i]))]
    if named:
        return min(named, key=lambda i: (not columns[i].different, id_rank(names[i]), i))
    texts = [i for i in rest if columns[i].numbers < 0.5 and columns[i].dates < 0.5 and columns[i].different
             and (columns[i].cells > 1 or names[i].startswith("column-"))]
    return texts[0] if texts else None


def id_rank(name: str) -> int:
    """0 where a column's name says id, 1 name, 2 neither.

    Example:
        >>> [id_rank(name) for name in ("Compound ID", "molecule_chembl_id", "name", "CMPD_CHEMBLID", "pIC50")]
        [0, 0, 1, 0, 2]
    """
    words = _words(name)
    return next((rank for rank, some in enumerate(_ID_WORDS) if words & some), 2)


def _whole(name: str) -> bool:
    """Whether a column of nothing but numbers is one of ids by its name."""
    return bool(_words(name) & {"id", "ids", "cid", "sid", "identifier", "index", "molid", "cas", "code", "key"})


def place_of(wanted: str, names: Sequence[str], what: str) -> int:
    """Place of a column by its name, else by its name in any case.

    Raises:
        UnknownNameError: if it is not there.
    """
    if wanted in names:
        return list(names).index(wanted)
    like = [i for i, name in enumerate(names) if name.strip().lower() == wanted.strip().lower()]
    if len(like) != 1:
        raise UnknownNameError(what, wanted, names)
    return like[0]
