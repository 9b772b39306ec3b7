"""The series that a molecule belongs to: what a split keeps on one side."""

from __future__ import annotations

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from pellucid.chemistry.preparation import identity


def scaffold(mol: Chem.Mol) -> str:
    """The series that a molecule belongs to: its Bemis-Murcko scaffold (rings and what links them) without stereo.

    An acyclic molecule has no scaffold. Others put all of those into one group, which then lies on one side as a whole
    though they have nothing in common; here each is a group of its own, by its
    :func:`~pellucid.chemistry.preparation.identity` without stereo.

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
        return identity(mol, stereo=False)
    core: Chem.Mol = MurckoScaffold.GetScaffoldForMol(mol)  # type: ignore[no-untyped-call]
    return identity(core if core.GetNumAtoms() else mol, stereo=False)
