"""One entry of a chemist's input: limits that hold before a parser sees it, RDKit's verdict, and a pose's worth."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase

MAX_SMILES = 5_000
"""Characters of a SMILES. :data:`MAX_ATOMS` atoms, most of them with brackets and stereo marks, take about as many."""
MAX_ATOMS = 1_000
"""Heavy atoms of a molecule: far above any drug and near where a V2000 record ends (999). Above it distance geometry
takes minutes a molecule, and a graph of the 16 nearest neighbours as long as a batch of fifty ordinary ones."""

_HEAVY = re.compile(r"\[(?!\d*H[\]+-])[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*]")
_EXTENDED = re.compile(r"(\S+)(?:\s+(\|[^|]*\|))?(?:\s+(.*))?\s*", re.DOTALL)
_NO_BOND = (Chem.BondType.ZERO, Chem.BondType.UNSPECIFIED, Chem.BondType.OTHER)


@dataclass(frozen=True)
class MoleculeRecord:
    """One entry of the input, readable or not.

    Attributes:
        name: Its name in the input, else ``molecule-<place>``, its place among the molecules, from 1.
        number: Line of a text file, record of an ``.sdf`` or ``.mol2`` file, row of a frame or list, counted from 1.
        smiles: As given, with its CXSMILES extension; where the input has none (``.sdf``, RDKit molecules) RDKit's
            canonical one, whose atom order is **not** that of ``mol``.
        mol: The molecule without hydrogens, its atoms in the order of the input; None where it could not be read.
        posed: Whether ``mol`` holds a 3D conformer from the input.
        error: Why it could not be read, one sentence, or None.
        values: Every other column or property as text, in the order of the input, ``""`` where missing.
        notes: What was unusual about this entry, a sentence each.
    """

    name: str
    number: int
    smiles: str
    mol: Chem.Mol | None
    posed: bool = False
    error: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def at(self, counted: str = "entry") -> str:
        """Where it stands, for messages.

        Args:
            counted: What :attr:`number` counts.

        Example:
            >>> MoleculeRecord("aspirin", 3, "", None).at("line")
            'line 3 (aspirin)'
        """
        return f"{counted} {self.number} ({self.name})"

    @property
    def pose(self) -> NDArray[np.float64] | None:
        """(atoms, 3) angstrom as given, not centred; None without a pose."""
        if self.mol is None or not self.posed:
            return None
        return np.asarray(self.mol.GetConformer().GetPositions(), dtype=np.float64)


NO_VALUES: Mapping[str, str] = {}
MADE_UP = re.compile(r"molecule-\d+")
"""The name of a molecule that the input does not name, by its place among the molecules, from 1."""


def parse_smiles(smiles: str) -> tuple[Chem.Mol | None, str]:
    """The molecule of a SMILES and ``""``, or None and the reason, with RDKit's own messages kept quiet.

    Args:
        smiles: Also with a CXSMILES extension in bars.

    Example:
        >>> parse_smiles("CCO |$a;b;c$|")[0].GetNumAtoms(), parse_smiles("C1CC")
        (3, (None, "'C1CC' is not valid SMILES"))
        >>> parse_smiles("C" * 10_000)[1]
        'its SMILES has 10,000 characters, more than 5,000'
    """
    if (reason := _refused(smiles)) is not None:
        return None, reason
    with rdBase.BlockLogs():
        mol: Any = Chem.MolFromSmiles(smiles)
        if mol is not None:
            return (mol, "") if mol.GetNumAtoms() else (None, "its SMILES is empty")
        raw: Any = Chem.MolFromSmiles(smiles, sanitize=False)
        if raw is not None:
            return None, f"{short(smiles)}: {complaint(raw)}"
    for mark, what in ((">", "a reaction, not a molecule"), ("InChI=", "an InChI, not a SMILES")):
        if mark in smiles:
            return None, f"{short(smiles)} is {what}"
    return None, f"{short(smiles)} is not valid SMILES"


def _refused(smiles: str) -> str | None:
    """Why RDKit is not to see a SMILES."""
    if len(smiles) > MAX_SMILES:
        return f"its SMILES has {len(smiles):,} characters, more than {MAX_SMILES:,}"
    if len(smiles) > MAX_ATOMS and (atoms := len(_HEAVY.findall(smiles))) > MAX_ATOMS:
        return too_many(atoms)
    if not smiles.isprintable() and not smiles.replace("\t", " ").isprintable():
        return f"{short(smiles)} has characters that cannot be printed"
    return None


def too_many(atoms: int) -> str:
    """The sentence for a molecule that is too large."""
    return f"it has {atoms:,} heavy atoms, more than {MAX_ATOMS:,}"


def short(text: str, size: int = 80) -> str:
    """A text as Python writes it, cut where it is long."""
    return repr(text if len(text) <= size else text[:size] + "...")


def complaint(raw: Chem.Mol) -> str:
    """What RDKit has against a molecule that it parsed but does not accept."""
    try:
        Chem.SanitizeMol(raw)
    except ValueError as error:  # RDKit's chemistry errors derive from it
        return str(error)
    return "RDKit refuses it"


def smiles_and_name(text: str) -> tuple[str, str]:
    r"""A line of a SMILES file, taken apart; a CXSMILES extension belongs to the SMILES.

    Example:
        >>> smiles_and_name("CCO |$a;b;c$| ethyl alcohol"), smiles_and_name("CCO\tethanol")
        (('CCO |$a;b;c$|', 'ethyl alcohol'), ('CCO', 'ethanol'))
    """
    if (match := _EXTENDED.fullmatch(text.strip())) is None:
        return "", ""
    smiles, extension, name = match.groups()
    return f"{smiles} {extension}" if extension else smiles, (name or "").strip()


def smiles_record(smiles: str, name: str, number: int, values: Mapping[str, str] = NO_VALUES,
                  notes: tuple[str, ...] = ()) -> MoleculeRecord:
    """The record of a SMILES; an extension that RDKit cannot read is left out, with a note."""
    mol, reason = parse_smiles(smiles)
    if mol is None and " |" in smiles:
        mol, _ = parse_smiles(smiles.split(" |", 1)[0])
        if mol is not None:
            notes = (*notes, f"its CXSMILES extension cannot be read and is left out ({short(smiles)})")
            smiles, reason = smiles.split(" |", 1)[0], ""
    shown = smiles if len(smiles) <= MAX_SMILES else smiles[:MAX_SMILES]
    return MoleculeRecord(name or f"molecule-{number}", number, shown, mol, error=reason or None, values=values,
                          notes=notes)


def molecule_record(mol: Chem.Mol | None, reason: str, name: str, number: int, values: Mapping[str, str] = NO_VALUES,
                    notes: tuple[str, ...] = (), zero_bonds: bool = False, ordinary: bool = False) -> MoleculeRecord:
    """The record of a molecule with what coordinates it has.

    Args:
        mol: Without hydrogens, or None.
        reason: Why it is None.
        name: Of the record.
        number: Of the record.
        values: Of the record.
        notes: Of the record.
        zero_bonds: Whether bonds of order zero are meant, as between a metal and its ligands.
        ordinary: Whether all bonds are known to have an order.
    """
    smiles, posed = "", False
    if mol is not None:
        reason = _flaw(mol, zero_bonds, ordinary)
    if mol is not None and not reason:
        try:
            smiles = Chem.MolToSmiles(mol)
        except (ValueError, RuntimeError) as error:
            reason = f"RDKit writes no SMILES of it ({str(error).splitlines()[0]})"
        why = _not_posed(mol)
        posed = why is None
        notes = (*notes, why) if why else notes
    return MoleculeRecord(name, number, smiles, None if reason else mol, posed and not reason, reason or None, values,
                          notes)


def _flaw(mol: Chem.Mol, zero_bonds: bool, ordinary: bool) -> str:
    """Why a molecule that RDKit reads is not one; ``""`` if it is."""
    if not mol.GetNumAtoms():
        return "it has no atoms"
    if mol.GetNumHeavyAtoms() > MAX_ATOMS:
        return too_many(mol.GetNumHeavyAtoms())
    for bond in () if ordinary else mol.GetBonds():
        if bond.HasQuery() or (bond.GetBondType() in _NO_BOND and not zero_bonds):
            kind = "any of several orders" if bond.HasQuery() else "order 0"
            return (f"the bond of its atoms {bond.GetBeginAtomIdx() + 1} and {bond.GetEndAtomIdx() + 1} has {kind}; "
                    "give the bond its order")
    if mol.GetNumConformers() and not np.isfinite(mol.GetConformer().GetPositions()).all():
        return "its coordinates are not finite"
    return ""


def _not_posed(mol: Chem.Mol) -> str | None:
    """Why the coordinates of a molecule are no pose; ``""`` where there are none, None where they are one."""
    if not mol.GetNumConformers():
        return ""
    conformer = mol.GetConformer()
    if not conformer.Is3D():
        return "its coordinates are a flat drawing (2D), no pose"
    pos = conformer.GetPositions()
    if len(pos) > 1 and not pos[:, 2].any():
        return "its coordinates are called 3D but all lie at z = 0: taken as a flat drawing, no pose"
    if len(np.unique(pos, axis=0)) < len(pos):
        return "two of its atoms lie at one place: its coordinates are no pose"
    return None
