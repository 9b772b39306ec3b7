"""Molecules and proteins: reading them, functional groups, 3D conformers, contacts and point clouds."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.chemistry.complexes import Complex, complex_clouds, read_complex
    from pellucid.chemistry.conformers import ConformerError, Conformers, conformer, conformers
    from pellucid.chemistry.contacts import Contacts, contacts, pocket
    from pellucid.chemistry.encoding import (
        EncodedMolecules,
        MoleculeRecipe,
        encode_molecules,
        molecule_clouds,
        molecule_of,
    )
    from pellucid.chemistry.fragments import FRAGMENTS, Fragment, matched_atoms
    from pellucid.chemistry.groups import FUNCTIONAL_GROUPS, functional_groups, with_groups
    from pellucid.chemistry.ligands import Ligand, read_ligand
    from pellucid.chemistry.molecules import ATOM_TYPES, MoleculeRecord, atom_types, read_molecules
    from pellucid.chemistry.proteins import RESIDUE_TYPES, Protein, read_protein
    from pellucid.chemistry.tables import MoleculeTable, open_molecules

lazy(__name__, {
    "complexes": ["Complex", "complex_clouds", "read_complex"],
    "conformers": ["ConformerError", "Conformers", "conformer", "conformers"],
    "contacts": ["Contacts", "contacts", "pocket"],
    "encoding": ["EncodedMolecules", "MoleculeRecipe", "encode_molecules", "molecule_clouds", "molecule_of"],
    "fragments": ["FRAGMENTS", "Fragment", "matched_atoms"],
    "groups": ["FUNCTIONAL_GROUPS", "functional_groups", "with_groups"],
    "ligands": ["Ligand", "read_ligand"],
    "molecules": ["ATOM_TYPES", "MoleculeRecord", "atom_types", "read_molecules"],
    "proteins": ["RESIDUE_TYPES", "Protein", "read_protein"],
    "tables": ["MoleculeTable", "open_molecules"],
})

__all__ = [
    "ATOM_TYPES",
    "FRAGMENTS",
    "FUNCTIONAL_GROUPS",
    "RESIDUE_TYPES",
    "Complex",
    "ConformerError",
    "Conformers",
    "Contacts",
    "EncodedMolecules",
    "Fragment",
    "Ligand",
    "MoleculeRecipe",
    "MoleculeRecord",
    "MoleculeTable",
    "Protein",
    "atom_types",
    "complex_clouds",
    "conformer",
    "conformers",
    "contacts",
    "encode_molecules",
    "functional_groups",
    "matched_atoms",
    "molecule_clouds",
    "molecule_of",
    "open_molecules",
    "pocket",
    "read_complex",
    "read_ligand",
    "read_molecules",
    "read_protein",
    "with_groups",
]
