"""A protein and its ligand as one sample of two clouds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.chemistry.contacts import Contacts, contacts, pocket
from pellucid.chemistry.encoding import molecule_clouds
from pellucid.chemistry.ligands import Ligand, conformer_at, read_ligand
from pellucid.chemistry.proteins import Protein, read_protein
from pellucid.clouds import FIELDS, Field, PointClouds, offsets
from pellucid.errors import PellucidError

FIELDS.setdefault("contact", Field("point", "bool", (), "", "a hydrogen bond or a hydrophobic contact with the ligand"))
FIELDS.setdefault("hydrogen_bond", Field("point", "bool", (), "", "a hydrogen bond with the ligand"))
FIELDS.setdefault("hydrophobic", Field("point", "bool", (), "", "a hydrophobic contact with the ligand"))
FIELDS.setdefault("distance", Field("point", "float", (), "angstrom", "of the residue's nearest atom to the ligand"))

TOUCHING = 6.0
"""A ligand whose nearest atom is farther from the protein, in angstrom, is not in the protein's frame."""
SURFACE = 100.0
"""Square angstrom: the unit in which networks see a residue's surface."""


@dataclass(frozen=True)
class Complex:
    """A protein, its ligand and what they have to do with each other.

    Attributes:
        name: Of the complex.
        protein: Residues.
        ligand: With its pose.
        contacts: Of each residue.
    """

    name: str
    protein: Protein
    ligand: Ligand
    contacts: Contacts


def read_complex(protein: str | Path, ligand: str | Path, *, name: str = "", chains: str | Sequence[str] = "near",
                 chain_radius: float = 10.0, interactions: bool = True) -> Complex:
    """Reads a complex from its two files.

    Args:
        protein: See :func:`pellucid.chemistry.proteins.read_protein`.
        ligand: See :func:`pellucid.chemistry.ligands.read_ligand`.
        name: Of the complex; the protein's where empty.
        chains: Which chains; see there.
        chain_radius: Angstrom; see there.
        interactions: Whether hydrogen bonds and hydrophobic contacts are looked for.

    Returns:
        The complex; ``protein.notes`` and ``contacts.notes`` tell what was chosen and left out.

    Raises:
        MissingPackageError: if gemmi or ProLIF is not installed.
        PellucidError: if a file cannot be read, or the ligand does not touch the protein.

    Example:
        >>> import tempfile
        >>> from rdkit import Chem
        >>> from rdkit.Chem import AllChem
        >>> peptide, butane = (Chem.AddHs(m) for m in (Chem.MolFromSequence("GS"), Chem.MolFromSmiles("CCCC")))
        >>> _ = AllChem.EmbedMolecule(peptide, randomSeed=1), AllChem.EmbedMolecule(butane, randomSeed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = Path(folder) / "protein.pdb", Path(folder) / "ligand.sdf"
        ...     _ = files[0].write_text(Chem.MolToPDBBlock(peptide)), files[1].write_text(Chem.MolToMolBlock(butane))
        ...     whole = read_complex(*files, name="tiny")
        >>> whole.protein.labels, whole.ligand.smiles, bool(whole.contacts.distance.min() < 6)
        (['A:GLY1', 'A:SER2'], 'CCCC', True)
    """
    posed = read_ligand(ligand, name=name)
    residues = read_protein(protein, near=posed.pos, chains=chains, chain_radius=chain_radius)
    found = contacts(residues, posed, interactions=interactions)
    if (away := float(found.distance.min())) > TOUCHING:
        raise PellucidError(f"expected the ligand of {ligand} in the frame of {protein} and bound to it, got its "
                            f"nearest atom {away:.1f} A away; superpose them, or give the right pair")
    return Complex(name or residues.name, residues, posed, found)


def complex_clouds(complexes: Sequence[Complex], *, radius: float = 15.0,
                   conformer: Literal["pose", "rdkit"] = "pose", seed: int = 0) -> PointClouds:
    """Point clouds of complexes: residues, with the ligand's atoms as partner (paper, appendix B).

    Args:
        complexes: At least one.
        radius: A residue whose C-alpha is within so many angstrom of a heavy atom of the ligand is of the binding
            site.
        conformer: ``"pose"``, or ``"rdkit"``: a conformer laid over the pose, what is known before a pose is.
        seed: Of conformers.

    Returns:
        PointClouds. Of the protein: ``pos`` (angstrom, centred), ``categories`` (residue type), ``features`` (surface
        in 100 square angstrom; B-factor in standard deviations over the protein, since its scale differs from one
        structure to the next), ``important`` (of the binding site or in contact), ``contact``, ``hydrogen_bond``,
        ``hydrophobic``, ``distance``, ``group`` (a residue's number in its cloud), the text ``id``, ``ligand_smiles``
        and ``group_names`` (a JSON list of labels such as A:ASP25). The partner: ``pos`` in the protein's centred
        frame, ``categories`` (atom type), ``features`` (Gasteiger charge), the text ``id``, ``smiles``, ``molblock``.

    Raises:
        PellucidError: if there are no complexes, or a conformer cannot be made.
    """
    if not complexes:
        raise PellucidError("expected at least one complex, got none; check what was read")
    if not radius > 0 or conformer not in ("pose", "rdkit"):
        raise PellucidError(f"expected a positive radius and the conformer pose or rdkit, got {radius} and "
                            f"{conformer!r}")
    proteins = [whole.protein for whole in complexes]
    centres = [protein.pos.mean(0) for protein in proteins]
    sites = [pocket(whole.protein, whole.ligand, radius) for whole in complexes]
    bonds = _joined([whole.contacts.hydrogen_bond for whole in complexes])
    greasy = _joined([whole.contacts.hydrophobic for whole in complexes])
    fields = {
        "pos": torch.from_numpy(_joined([p.pos - c for p, c in zip(proteins, centres, strict=True)])).float(),
        "categories": torch.from_numpy(_joined([p.types for p in proteins]))[:, None],
        "features": torch.from_numpy(np.stack([_joined([p.sasa for p in proteins]) / SURFACE,
                                               _joined([_standard(p.b_factor) for p in proteins])], 1)).float(),
        "important": torch.from_numpy(_joined(sites) | bonds | greasy),
        "contact": torch.from_numpy(bonds | greasy),
        "hydrogen_bond": torch.from_numpy(bonds),
        "hydrophobic": torch.from_numpy(greasy),
        "distance": torch.from_numpy(_joined([whole.contacts.distance for whole in complexes])).float(),
        "group": torch.cat([torch.arange(len(p.pos)) for p in proteins]),
    }
    text = {"id": [whole.name for whole in complexes], "ligand_smiles": [whole.ligand.smiles for whole in complexes],
            "group_names": [json.dumps(p.labels) for p in proteins]}
    return PointClouds(offsets(torch.tensor([len(p.pos) for p in proteins])), fields, text=text,
                       units={"pos": "angstrom"}, partner=_ligand_clouds(complexes, centres, conformer, seed))


def _ligand_clouds(complexes: Sequence[Complex], centres: list[NDArray[np.float64]], conformer: str, seed: int
                   ) -> PointClouds:
    ligands = [whole.ligand for whole in complexes]
    poses = [(ligand.pos if conformer == "pose" else conformer_at(ligand, seed)) - centre
             for ligand, centre in zip(ligands, centres, strict=True)]
    clouds = molecule_clouds([ligand.mol for ligand in ligands], poses, names=[whole.name for whole in complexes],
                             smiles=[ligand.smiles for ligand in ligands], molblocks=True)
    return clouds.replace(pos=torch.from_numpy(_joined(poses)).float(),  # not centred on itself
                          features=torch.from_numpy(_joined([ligand.charges for ligand in ligands])[:, None]).float())


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts)


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """In standard deviations from the mean; zero where all are the same."""
    spread = values.std()
    return (values - values.mean()) / spread if spread > 1e-6 else np.zeros_like(values)
