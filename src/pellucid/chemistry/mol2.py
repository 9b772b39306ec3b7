"""Molecules of mol2 files, which have SYBYL's atom types, often lack hydrogens, and have no formal charges."""

from __future__ import annotations

import re
from typing import Any

from rdkit import Chem, rdBase

from pellucid.chemistry.records import MAX_ATOMS, complaint, too_many

_COUNTS = re.compile(r"@<TRIPOS>MOLECULE\n[^\n]*\n\s*(\d+)")
_NOTE = "its .mol2 record lacks hydrogens: valences are filled up, and charges that only hydrogens tell are lost"


def molecule_of_mol2(text: str) -> tuple[Chem.Mol | None, str, tuple[str, ...]]:
    """The molecule of a mol2 record without its hydrogens, why it could not be read, and notes.

    Hydrogens that the record lacks are filled in: RDKit by itself makes radicals and anions of such atoms.

    Args:
        text: From ``@<TRIPOS>MOLECULE`` on.

    Example:
        >>> ethane = '''@<TRIPOS>MOLECULE
        ... ethane
        ...  2 1
        ... SMALL
        ... NO_CHARGES
        ... @<TRIPOS>ATOM
        ...  1 C1 0.0 0.0 0.0 C.3
        ...  2 C2 1.5 0.0 0.0 C.3
        ... @<TRIPOS>BOND
        ...  1 1 2 1
        ... '''
        >>> mol, _, notes = molecule_of_mol2(ethane)
        >>> Chem.MolToSmiles(mol), len(notes)
        ('CC', 1)
    """
    counts = _COUNTS.search(text)
    if counts is None:
        return None, "it is not a valid .mol2 record", ()
    if len(counts[1]) > 6 or int(counts[1]) > 4 * MAX_ATOMS:  # a heavy atom has three hydrogens at most, all but always
        return None, too_many(int(counts[1][:9])).replace("heavy atoms", "atoms"), ()
    with rdBase.BlockLogs():
        try:
            mol: Any = Chem.MolFromMol2Block(text, sanitize=True, removeHs=False)
            if mol is None:
                raw: Any = Chem.MolFromMol2Block(text, sanitize=False, removeHs=False)
                return None, _sybyl() if raw is None else complaint(raw), ()
            filled = _filled(mol)
            return Chem.RemoveHs(mol if filled is None else filled), "", () if filled is None else (_NOTE,)
        except (ValueError, RuntimeError) as error:
            return None, f"RDKit refuses it ({str(error).splitlines()[0] if str(error) else _sybyl()})", ()


def _sybyl() -> str:
    return "it is not a valid .mol2 record with SYBYL atom types, which are needed; convert it to .sdf"


def _filled(mol: Chem.Mol) -> Chem.Mol | None:
    """The molecule with the hydrogens that its record lacks, as implicit ones; None where it lacks none."""
    bare = [atom for atom in mol.GetAtoms() if atom.GetNumRadicalElectrons()]
    polar = any(one.GetAtomicNum() == 1 and other.GetAtomicNum() in (7, 8, 16) for bond in mol.GetBonds()
                for one, other in ((bond.GetBeginAtom(), bond.GetEndAtom()), (bond.GetEndAtom(), bond.GetBeginAtom())))
    hydrogens = any(atom.GetAtomicNum() == 1 for atom in mol.GetAtoms())
    anions = [] if polar or (hydrogens and not bare) else [
        atom for atom in mol.GetAtoms()
        if atom.GetFormalCharge() < 0 and atom.GetAtomicNum() in (7, 8, 16)
        and not (atom.HasProp("_TriposAtomType") and atom.GetProp("_TriposAtomType") == "O.co2")
        and not any(other.GetFormalCharge() > 0 for other in atom.GetNeighbors())]
    if not bare and not anions:
        return None
    out = Chem.RWMol(mol)
    for atom in (*bare, *anions):
        atom = out.GetAtomWithIdx(atom.GetIdx())
        atom.SetNoImplicit(False)
        atom.SetNumRadicalElectrons(0)
        atom.SetFormalCharge(max(atom.GetFormalCharge(), 0))
    Chem.SanitizeMol(out)
    return out.GetMol()
