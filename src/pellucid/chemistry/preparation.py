"""From a molecule as it was written to the atoms that become points: salts, hydrogens, isotopes, limits, identity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from rdkit import Chem, rdBase

from pellucid.chemistry.records import MAX_ATOMS

Fragments = Literal["refuse", "largest", "whole"]
"""What is done with salts and mixtures: see :func:`prepare`."""
MOST_NAMES = 3
"""Names that a sentence about several molecules gives."""


class Note(NamedTuple):
    """Something to be told of a molecule.

    Attributes:
        what: The same words for all molecules of which it is true, so that they become one sentence.
        detail: What is different for this one.
    """

    what: str
    detail: str = ""


SALT = "Salts and mixtures, of which the largest organic fragment was kept"
ISOTOPES = "Isotopic hydrogens (deuterium), counted with the other hydrogens of their atom, without points of their own"
HYDROGEN_STEREO = "E/Z marks at the hydrogen of a double bond, left out with the hydrogen"


@dataclass(frozen=True)
class Prepared:
    """A molecule whose atoms are to be points.

    Attributes:
        mol: Its atoms in the order in which they were given; None where it is refused.
        atoms: For each of its atoms the number in the molecule as given.
        notes: What was done.
        error: Why it is refused, or ``""``.
    """

    mol: Chem.Mol | None
    atoms: tuple[int, ...] = ()
    notes: tuple[Note, ...] = ()
    error: str = ""


def prepare(mol: Chem.Mol, fragments: Fragments = "largest") -> Prepared:
    """Chooses the atoms that become points.

    Explicit hydrogens, isotopic ones included, are folded into the atom that carries them; one that bridges two atoms
    stays. Of a salt or mixture the part with most heavy atoms among those with a carbon is kept (of equals the heavier,
    then the one whose SMILES comes first). Stereo, isotopes of heavy atoms, charges and tautomers stay as they are.

    Args:
        mol: RDKit molecule; it is not changed.
        fragments: ``"largest"``; ``"refuse"``: salts and mixtures are refused; ``"whole"``: their parts stay together,
            where a pose says how they lie.

    Returns:
        The prepared molecule, or why there is none.

    Example:
        >>> made = prepare(Chem.MolFromSmiles("[Na+].CC(=O)[O-]"))
        >>> Chem.MolToSmiles(made.mol), made.atoms, made.notes[0].detail
        ('CC(=O)[O-]', (1, 2, 3, 4), 'without [Na+]')
        >>> prepare(Chem.MolFromSmiles("[2H]OC")).mol.GetNumAtoms()
        2
    """
    notes: list[Note] = []
    atoms: tuple[int, ...] = tuple(range(mol.GetNumAtoms()))
    if _has_hydrogens(mol):
        mol, atoms = _folded(mol, notes)
    parts = Chem.GetMolFrags(mol)
    if len(parts) > 1 and fragments != "whole":
        if fragments == "refuse":
            return Prepared(None, error=f"it consists of {len(parts)} separate parts (a salt or a mixture); keep the "
                                        "largest organic one (fragments: largest)")
        chosen = _largest(mol, parts)
        if chosen is None:
            return Prepared(None, error=f"it consists of {len(parts)} separate parts, none of which has a carbon; give "
                                        "the part that is meant")
        mol, atoms = chosen[0], tuple(atoms[i] for i in chosen[1])
        notes.append(Note(SALT, f"without {chosen[2]}"))
    heavy = mol.GetNumHeavyAtoms()
    if heavy > MAX_ATOMS:
        return Prepared(None, error=f"it has {heavy} heavy atoms, more than the {MAX_ATOMS} that a molecule may have; "
                                    "leave it out")
    if all(atom.GetAtomicNum() == 1 for atom in mol.GetAtoms()):
        return Prepared(None, error="it has no atoms but hydrogen; leave it out")
    return Prepared(mol, atoms, tuple(notes))


def identity(mol: Chem.Mol, *, stereo: bool = True) -> str:
    """A string that is the same however a molecule is written: order of atoms, explicit hydrogens, atom maps.

    It is RDKit's canonical SMILES of the whole molecule, salts included; tautomers and charges are as given. It may
    change with RDKit's version.

    Args:
        mol: RDKit molecule; it is not changed.
        stereo: Whether stereo and isotopes tell molecules apart; without them, what must stay on one side of a split
            (mirror images, E and Z, a centre that is given in one row only) is one molecule.

    Example:
        >>> identity(Chem.MolFromSmiles("OC")) == identity(Chem.MolFromSmiles("[CH3:7][OH]"))
        True
        >>> [identity(Chem.MolFromSmiles("C[C@H](N)O"), stereo=s) for s in (True, False)]
        ['C[C@H](N)O', 'CC(N)O']
    """
    mapped = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomMapNum()]
    if mapped or _has_hydrogens(mol):
        mol = Chem.Mol(mol)
        for i in mapped:
            mol.GetAtomWithIdx(i).SetAtomMapNum(0)
        if not stereo:
            for atom in mol.GetAtoms():
                atom.SetIsotope(0)
        with rdBase.BlockLogs():
            mol = Chem.RemoveHs(mol)
    return str(Chem.MolToSmiles(mol, isomericSmiles=stereo))


def summarised(notes: Iterable[tuple[str, Note]]) -> list[str]:
    """One sentence for each kind of note.

    Args:
        notes: (name of the molecule, note) in any number.

    Example:
        >>> summarised([(name, Note("Salts", "without Cl")) for name in "abcd"])
        ['Salts: 4 (a without Cl, b without Cl, c without Cl and 1 more)']
    """
    kinds: dict[str, list[str]] = {}
    for name, note in notes:
        kinds.setdefault(note.what, []).append(f"{name} {note.detail}".strip())
    sentences = []
    for what, told in kinds.items():
        more = f" and {len(told) - MOST_NAMES} more" if len(told) > MOST_NAMES else ""
        sentences.append(f"{what}: {len(told)} ({', '.join(told[:MOST_NAMES])}{more})")
    return sentences


def _has_hydrogens(mol: Chem.Mol) -> bool:
    n = mol.GetNumAtoms()  # dummy atoms are not heavy either
    return mol.GetNumHeavyAtoms() < n and any(atom.GetAtomicNum() == 1 for atom in mol.GetAtoms())


def _folded(mol: Chem.Mol, notes: list[Note]) -> tuple[Chem.Mol, tuple[int, ...]]:
    """Without the hydrogens that one atom carries, and the atoms that are left."""
    hydrogens = [atom for atom in mol.GetAtoms() if atom.GetAtomicNum() == 1]
    carried = [h for h in hydrogens if h.GetDegree() == 1]
    isotopes = sorted({h.GetIsotope() for h in carried if h.GetIsotope()})
    if isotopes:
        notes.append(Note(ISOTOPES))
    if any(bond.GetBondType() == Chem.BondType.DOUBLE and bond.GetStereo() > Chem.BondStereo.STEREOANY
           and any(mol.GetAtomWithIdx(i).GetAtomicNum() == 1 for i in bond.GetStereoAtoms())
           for bond in mol.GetBonds()):
        notes.append(Note(HYDROGEN_STEREO))
    marked = Chem.Mol(mol)
    for atom in marked.GetAtoms():
        atom.SetIntProp("_given", atom.GetIdx())
    options: Any = Chem.RemoveHsParameters()
    for name in ("removeIsotopes", "removeDefiningBondStereo", "removeHydrides", "removeNontetrahedralNeighbors",
                 "removeWithWedgedBond", "removeDummyNeighbors", "removeInSGroups", "removeMapped",
                 "removeNonimplicit"):
        setattr(options, name, True)
    for name in ("removeDegreeZero", "removeHigherDegrees", "removeOnlyHNeighbors", "removeWithQuery"):
        setattr(options, name, False)
    with rdBase.BlockLogs():
        bare: Any = Chem.RemoveHs(marked, options)
        Chem.AssignStereochemistry(bare, cleanIt=True, force=True)
    atoms = tuple(atom.GetIntProp("_given") for atom in bare.GetAtoms())
    for atom in bare.GetAtoms():
        atom.ClearProp("_given")
    return bare, atoms


def _largest(mol: Chem.Mol, parts: Any) -> tuple[Chem.Mol, tuple[int, ...], str] | None:
    """The largest organic part, its atoms and the SMILES of the others; None where no part has a carbon."""
    numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    mols = Chem.GetMolFrags(mol, asMols=True, sanitizeFrags=True)
    written = [Chem.MolToSmiles(part) for part in mols]
    organic = [k for k, part in enumerate(parts) if any(numbers[i] == 6 for i in part)]
    if not organic:
        return None
    best = min(organic, key=lambda k: (-sum(numbers[i] != 1 for i in parts[k]), -sum(numbers[i] for i in parts[k]),
                                       written[k], k))
    others = [text for k, text in enumerate(written) if k != best]
    return mols[best], tuple(parts[best]), ".".join(dict.fromkeys(sorted(others)))
