"""Reading molecules: a SMILES, or a table of them with or without 3D poses; what cannot be read is told, not fatal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from pellucid.chemistry.records import MAX_ATOMS, MAX_SMILES, MoleculeRecord, parse_smiles
from pellucid.chemistry.tables import KINDS, SUFFIXES, MoleculeTable, open_molecules
from pellucid.errors import PellucidError

__all__ = ["ATOM_TYPES", "MAX_ATOMS", "MAX_SMILES", "SUFFIXES", "MoleculeRecord", "MoleculeTable", "atom_types",
           "open_molecules", "parse_smiles", "read_molecules", "records_of"]

ATOM_TYPES = ("C", "N", "O", "S", "F", "P", "Cl", "Br", "Na", "Ca", "I", "B", "H", "*")
"""Atom categories in their order; ``*`` is a dummy atom, not a place for unlisted elements."""


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


def read_molecules(source: Any, *, smiles: str | None = None, id: str | None = None) -> list[MoleculeRecord]:
    """Reads all molecules of a source into memory; see :func:`~pellucid.chemistry.tables.open_molecules`.

    Salts and mixtures are read as they stand; a conformer is refused to them later, where no pose is given, since the
    relative places of unbonded parts would be arbitrary.

    Args:
        source: See there.
        smiles: See there.
        id: See there.

    Returns:
        One record an entry, also for those that could not be read (``record.error`` says why).

    Raises:
        PellucidError: if the source is missing, empty or of another kind, or nothing in it could be read.

    Example:
        >>> [(r.name, r.mol.GetNumAtoms()) for r in read_molecules("CCO")]
        [('molecule-1', 3)]
    """
    return records_of(open_molecules(source, smiles=smiles, id=id))


def records_of(table: MoleculeTable) -> list[MoleculeRecord]:
    """All records of a table.

    Raises:
        PellucidError: if none of them could be read.
    """
    records = list(table)
    if all(r.mol is None for r in records):
        first = records[0]
        more = f" and {len(records) - 1} more like it" if len(records) > 1 else ""
        raise PellucidError(f"expected at least one readable molecule in {table.source}, got: {first.error} "
                            f"({table.counted} {first.number}){more}; give SMILES or {KINDS}")
    return records
