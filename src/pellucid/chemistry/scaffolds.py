"""Which molecules are one and which are of one series: what a split keeps on one side."""

from __future__ import annotations

from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold


def identity(mol: Chem.Mol) -> str:
    """One text for all ways of writing a molecule: its canonical SMILES without stereo, isotopes and atom maps.

    Stereoisomers and isotopologues are one here, since a model that saw one of them in training is not tested by the
    other; tautomers and charged forms are not.

    Args:
        mol: The molecule, with or without explicit hydrogens.

    Example:
        >>> identity(Chem.MolFromSmiles("C[C@H](N)C(=O)O")) == identity(Chem.MolFromSmiles("OC(=O)[C@H]([15NH2])C"))
        True
    """
    plain = Chem.Mol(mol)
    for atom in plain.GetAtoms():
        atom.SetIsotope(0)
        atom.SetAtomMapNum(0)
    with rdBase.BlockLogs():  # hydrogens that cannot be folded away (H2, a hydride between two atoms) are no matter
        plain = Chem.RemoveHs(plain, sanitize=False)
    return str(Chem.MolToSmiles(plain, isomericSmiles=False))


def scaffold(mol: Chem.Mol) -> str:
    """The series that a molecule belongs to: its Bemis-Murcko scaffold (rings and what links them) without stereo.

    An acyclic molecule has no scaffold. Others put all of those into one group, which then lies on one side as a whole
    though they have nothing in common; here each is a group of its own, by its :func:`identity`.

    Args:
        mol: The molecule.

    Returns:
        A SMILES. Source: Bemis and Murcko, J. Med. Chem. 39, 2887 (1996), as RDKit has it: atoms with a double bond to
        a ring or a linker stay.

    Example:
        >>> [scaffold(Chem.MolFromSmiles(s)) for s in ("Cc1ccccc1CCN", "OC(=O)c1ccccc1", "CCO", "OCC")]
        ['c1ccccc1', 'c1ccccc1', 'CCO', 'CCO']
    """
    if not mol.GetRingInfo().NumRings():
        return identity(mol)
    core: Chem.Mol = MurckoScaffold.GetScaffoldForMol(mol)  # type: ignore[no-untyped-call]
    return identity(core) if core.GetNumAtoms() else identity(mol)
