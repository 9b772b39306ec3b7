"""Molecules: reading them, functional groups, 3D conformers and point clouds."""

from pellucid.chemistry.conformers import ConformerError, Conformers, conformer, conformers
from pellucid.chemistry.encoding import EncodedMolecules, encode_molecules, molecule_clouds
from pellucid.chemistry.fragments import FRAGMENTS, Fragment, matched_atoms
from pellucid.chemistry.groups import FUNCTIONAL_GROUPS, functional_groups, with_groups
from pellucid.chemistry.molecules import ATOM_TYPES, MoleculeRecord, atom_types, read_molecules

__all__ = [
    "ATOM_TYPES",
    "FRAGMENTS",
    "FUNCTIONAL_GROUPS",
    "ConformerError",
    "Conformers",
    "EncodedMolecules",
    "Fragment",
    "MoleculeRecord",
    "atom_types",
    "conformer",
    "conformers",
    "encode_molecules",
    "functional_groups",
    "matched_atoms",
    "molecule_clouds",
    "read_molecules",
    "with_groups",
]
