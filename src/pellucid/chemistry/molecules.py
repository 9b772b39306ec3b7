"""Reading molecules: a SMILES, or a file of them with or without 3D poses; what cannot be read is told, not fatal."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase

from pellucid.errors import PellucidError

ATOM_TYPES = ("C", "N", "O", "S", "F", "P", "Cl", "Br", "Na", "Ca", "I", "B", "H", "*")
"""Atom categories in their order; ``*`` is a dummy atom, not a place for unlisted elements."""

SUFFIXES = (".smi", ".csv", ".sdf")


@dataclass(frozen=True)
class MoleculeRecord:
    """One entry of the input, readable or not.

    Attributes:
        name: Its name in the input, else ``molecule-<number>``.
        number: Line of a ``.smi`` or ``.csv`` file, record of an ``.sdf`` file, counted from 1.
        smiles: As given; for an ``.sdf`` record RDKit's canonical one, whose atom order is **not** that of ``mol``.
        mol: The molecule without hydrogens, its atoms in the order of the input; None where it could not be read.
        posed: Whether ``mol`` holds a 3D conformer from the input.
        error: Why it could not be read, or None.
        values: Every other column or property as text, ``""`` where missing.
        notes: What is to be told of this record.
    """

    name: str
    number: int
    smiles: str
    mol: Chem.Mol | None
    posed: bool = False
    error: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def pose(self) -> NDArray[np.float64] | None:
        """(atoms, 3) angstrom as given, not centred; None without a pose."""
        if self.mol is None or not self.posed:
            return None
        return np.asarray(self.mol.GetConformer().GetPositions(), dtype=np.float64)


def atom_types(mol: Chem.Mol, name: str = "") -> NDArray[np.int64]:
    """Category of every atom.

    Args:
        mol: RDKit molecule.
        name: What to call it in an error.

    Returns:
        (atoms,) indices into :data:`ATOM_TYPES`.

    Raises:
        PellucidError: if an element is not listed, naming element, atom and molecule.

    Example:
        >>> atom_types(Chem.MolFromSmiles("CCO")).tolist()
        [0, 0, 2]
    """
    types = np.empty(mol.GetNumAtoms(), dtype=np.int64)
    for i, atom in enumerate(mol.GetAtoms()):
        symbol = atom.GetSymbol()
        if symbol not in ATOM_TYPES:
            raise PellucidError(f"expected the elements {' '.join(ATOM_TYPES)}, got {symbol} (atom {i}) in molecule "
                                f"{name or Chem.MolToSmiles(mol)!r}; leave that molecule out")
        types[i] = ATOM_TYPES.index(symbol)
    return types


def read_molecules(source: str | Path) -> list[MoleculeRecord]:
    """Reads molecules from a SMILES string or a file.

    Files: ``.smi`` (SMILES and an optional name on each line; blank lines, ``#`` comments and a header line that starts
    with "smiles" are passed over), ``.csv`` (a column ``smiles``, optionally ``id`` or ``name``, in any case) and
    ``.sdf`` (poses are kept where they are 3D). Salts and mixtures are read as they stand; a conformer is refused to
    them later, where no pose is given, since the relative places of unbonded parts would be arbitrary.

    Args:
        source: SMILES, or path of a file.

    Returns:
        One record an entry, also for those that could not be read (``record.error`` says why).

    Raises:
        PellucidError: if the file is missing, empty or of another kind, or nothing in it could be read.

    Example:
        >>> [(r.name, r.mol.GetNumAtoms()) for r in read_molecules("CCO")]
        [('molecule-1', 3)]
    """
    path = Path(source)
    suffix = path.suffix.lower()
    if isinstance(source, str) and suffix not in SUFFIXES and not _is_file(path):
        records = [_from_smiles(source.strip(), "", 1)]
        shown = f"{source!r}"
    else:
        shown = str(path)
        if not _is_file(path):
            raise PellucidError(f"expected a file {path}, got nothing there; check the path")
        if suffix not in _READERS:
            raise PellucidError(f"expected a file of kind {', '.join(SUFFIXES)}, got {path}; rename or convert it")
        records = list(_READERS[suffix](_text(path), path))
        if not records:
            raise PellucidError(f"expected at least one molecule in {path}, got an empty file; check that it is the "
                                "right one")
    if all(r.mol is None for r in records):
        first = records[0]
        more = f" and {len(records) - 1} more like it" if len(records) > 1 else ""
        raise PellucidError(f"expected at least one readable molecule in {shown}, got: {first.error} (entry "
                            f"{first.number}){more}; give a SMILES or a file of kind {', '.join(SUFFIXES)}")
    return records


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a long SMILES is no file name
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PellucidError(f"expected UTF-8 text in {path}, got a problem ({error}); check or convert it") from error


def parse_smiles(smiles: str) -> tuple[Chem.Mol | None, str]:
    """The molecule of a SMILES and ``""``, or None and the reason, with RDKit's own messages kept quiet."""
    with rdBase.BlockLogs():
        mol: Any = Chem.MolFromSmiles(smiles)
        if mol is not None:
            return (mol, "") if mol.GetNumAtoms() else (None, "it has no atoms")
        raw: Any = Chem.MolFromSmiles(smiles, sanitize=False)
        return None, f"{smiles!r} is not valid SMILES" if raw is None else f"{smiles!r}: {_complaint(raw)}"


def _complaint(raw: Chem.Mol) -> str:
    try:
        Chem.SanitizeMol(raw)
    except ValueError as error:  # RDKit's chemistry errors derive from it
        return str(error)
    return "RDKit refuses it"


def _from_smiles(smiles: str, name: str, number: int) -> MoleculeRecord:
    mol, reason = parse_smiles(smiles)
    return MoleculeRecord(name or f"molecule-{number}", number, smiles, mol, error=reason or None)


def _from_smi(text: str, path: Path) -> Iterator[MoleculeRecord]:
    for number, line in enumerate(text.splitlines(), 1):
        smiles, _, name = line.strip().replace("\t", " ").partition(" ")
        if not smiles or smiles.startswith("#") or (number == 1 and smiles.lower() == "smiles"):
            continue
        yield _from_smiles(smiles, name.strip(), number)


def _from_csv(text: str, path: Path) -> Iterator[MoleculeRecord]:
    rows = csv.reader(text.splitlines(keepends=True))
    try:
        header = [cell.strip().lower() for cell in next(rows, [])]
        if not header:
            return
        if "smiles" not in header:
            raise PellucidError(f"expected a column 'smiles' in {path}, got {', '.join(header)}; rename the column of "
                                "SMILES")
        column = header.index("smiles")
        named = next((header.index(n) for n in ("id", "name", "mol_id") if n in header), None)
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            name = row[named].strip() if named is not None and named < len(row) else ""
            yield _from_smiles(row[column].strip() if column < len(row) else "", name, rows.line_num)
    except csv.Error as error:
        raise PellucidError(f"expected comma-separated values in {path}, got {error} (line {rows.line_num}); mend the "
                            "file") from error


def _from_sdf(text: str, path: Path) -> Iterator[MoleculeRecord]:
    # Split by hand: after a damaged record RDKit's own reader may lose its place.
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("$$$$"):
            blocks.append([])
        else:
            blocks[-1].append(line)
    if not "".join(blocks[-1]).strip():
        blocks.pop()
    for number, block in enumerate(blocks, 1):
        name = (block[0].strip() if block else "") or f"molecule-{number}"
        mol, error = _parse_block("\n".join(itertools.chain(block, [""])))
        if mol is None:
            yield MoleculeRecord(name, number, "", None, error=error)
            continue
        posed = bool(mol.GetNumConformers() and mol.GetConformer().Is3D())
        if posed and not np.isfinite(mol.GetConformer().GetPositions()).all():
            yield MoleculeRecord(name, number, "", None, error="its coordinates are not finite")
            continue
        yield MoleculeRecord(name, number, Chem.MolToSmiles(mol), mol, posed)


def _parse_block(block: str) -> tuple[Chem.Mol | None, str]:
    mol: Any
    raw: Any
    with rdBase.BlockLogs():
        try:
            mol = Chem.MolFromMolBlock(block, sanitize=True, removeHs=True)
            if mol is not None:
                return (mol, "") if mol.GetNumAtoms() else (None, "it has no atoms")
            raw = Chem.MolFromMolBlock(block, sanitize=False, removeHs=False)
        except (ValueError, RuntimeError):
            raw = None
        return None, "it is not a valid molfile record" if raw is None else _complaint(raw)


_READERS: dict[str, Callable[[str, Path], Iterator[MoleculeRecord]]] = {
    ".smi": _from_smi, ".csv": _from_csv, ".sdf": _from_sdf,
}
