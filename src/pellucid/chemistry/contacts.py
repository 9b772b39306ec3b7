"""Which residues a ligand touches: distances, and hydrogen bonds and hydrophobic contacts as ProLIF sees them."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from scipy.spatial import cKDTree

from pellucid.chemistry.ligands import Ligand
from pellucid.chemistry.proteins import RESIDUE_TYPES, Protein
from pellucid.errors import MissingPackageError

INTERACTIONS = ("HBDonor", "HBAcceptor", "Hydrophobic")
"""What is asked of ProLIF; the first two as the ligand sees it."""

GIVEN = np.array([False, True, False])
"""Of these, the hydrogen bonds that the residue gives."""

REACH = 4.5
"""The longest distance in angstrom between the heavy atoms of such an interaction: a hydrophobic one."""

CONTEXT = 8.0
"""Residues within this distance are shown to ProLIF: the atoms within reach need what they are bonded to."""


@dataclass(frozen=True)
class Contacts:
    """What each residue of a protein has to do with the ligand.

    Attributes:
        distance: (n,) least distance of a heavy atom of the residue to one of the ligand, angstrom.
        hydrogen_bond: (n,) bool, the ligand gives or takes a hydrogen bond.
        hydrophobic: (n,) bool, hydrophobic atoms of both are within 4.5 angstrom.
        notes: What could not be looked at, a sentence each.
    """

    distance: NDArray[np.float64]
    hydrogen_bond: NDArray[np.bool_]
    hydrophobic: NDArray[np.bool_]
    notes: list[str] = field(default_factory=list)


def contacts(protein: Protein, ligand: Ligand, *, interactions: bool = True) -> Contacts:
    """Finds the contacts between a protein and the pose of a ligand.

    Interactions are those of ProLIF with its own thresholds. Where the file gives a residue its hydrogens, a hydrogen
    bond is a donor and an acceptor within 3.5 angstrom and an angle of at least 130 degrees at the hydrogen. Else the
    angles at the heavy atoms decide, which lets more pass; a backbone amide gets its hydrogen back, since its place is
    known, and a histidine gives at both nitrogens and takes at none. A residue has a distance but no interactions, and
    a note says so, where its chemistry is not known: it derives from no standard amino acid, has atoms that its parent
    does not have and no hydrogens, overlaps with another or lacks atoms in its middle.

    Args:
        protein: With its structure.
        ligand: With its pose in the protein's frame.
        interactions: False for the distances alone, in a tenth of the time.

    Raises:
        MissingPackageError: if ProLIF is not installed.

    Source: Bouysset & Fiorucci, ProLIF: a library to encode molecular interactions as fingerprints, J. Cheminform. 13,
    72 (2021).
    """
    reach, _ = cKDTree(ligand.pos).query(protein.atoms)
    distance = np.full(len(protein.pos), np.inf)
    np.minimum.at(distance, protein.atom_residue, reach)
    found = np.zeros((len(distance), len(INTERACTIONS)), dtype=bool)
    notes = []
    within = set(np.flatnonzero(distance <= REACH).tolist())
    if interactions and within:
        with rdBase.BlockLogs():
            seen = dict(_interactions(protein, ligand, np.flatnonzero(distance <= CONTEXT).tolist(), within))
        for i, bits in seen.items():
            found[i] = bits
        if unseen := [label for i, label in enumerate(protein.labels) if i in within and i not in seen]:
            notes.append("hydrogen bonds and hydrophobic contacts were not looked for at residues whose atoms are not "
                         f"those of a whole amino acid: {', '.join(unseen)}")
    return Contacts(distance, found[:, 0] | found[:, 1], found[:, 2], notes)


def pocket(protein: Protein, ligand: Ligand, radius: float = 15.0) -> NDArray[np.bool_]:
    """The residues around the ligand, as the paper has them.

    Args:
        protein: The protein.
        ligand: With its pose in the protein's frame.
        radius: Angstrom.

    Returns:
        (n,) bool: the C-alpha is within ``radius`` of a heavy atom of the ligand.
    """
    away, _ = cKDTree(ligand.pos).query(protein.pos)
    return np.asarray(away <= radius)


def _interactions(protein: Protein, ligand: Ligand, shown: list[int], within: set[int]
                  ) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Place and :data:`INTERACTIONS` of each residue ``within`` reach that ProLIF can judge."""
    tools = _prolif()
    part, places, explicit = _part(protein, shown)
    whole, small = tools.Molecule(part, residues=[]), Chem.Mol(ligand.mol_h)
    for atom in small.GetAtoms():
        atom.SetUnsignedProp("mapindex", atom.GetIdx())  # as ProLIF's own reader does
    small = tools.Residue(small)
    pieces: dict[int, list[Chem.Mol]] = {}
    for piece in tools.split(whole):
        pieces.setdefault(_number(piece.GetAtomWithIdx(0)), []).append(piece)
    for number, parts in pieces.items():
        i = places[number - 1]
        if i not in within or len(parts) > 1 or RESIDUE_TYPES[protein.types[i]] == "other":
            continue
        residue = tools.Residue(parts[0])
        try:
            bits = tools.explicit.bitvector(small, residue)
            if number not in explicit:
                residue = tools.standardize(tools.Molecule(whole, residues=[residue]))
                if len(Chem.GetMolFrags(residue)) > 1:  # atoms that the amino acid does not have
                    continue
                bits = tools.implicit.bitvector(small, residue) | (bits & GIVEN)
        except ValueError:  # what ProLIF says of an atom without neighbours
            continue
        yield i, bits


def _part(protein: Protein, shown: list[int]) -> tuple[Chem.Mol, list[int], set[int]]:
    """Some residues as one molecule.

    Returns:
        The molecule, without the residues that RDKit refuses; ``places``, where its residue number ``k`` is the
        protein's residue ``places[k - 1]``; and the numbers of those that have their hydrogens.
    """
    places = shown
    while True:
        mol = Chem.MolFromPDBBlock(_pdb(protein, places), sanitize=False, removeHs=False)
        bearers = {_key(other) for atom in mol.GetAtoms() if atom.GetAtomicNum() == 1 for other in atom.GetNeighbors()}
        _set_tautomers(mol, bearers)
        refused = {_number(mol.GetAtomWithIdx(i)) for problem in Chem.DetectChemistryProblems(mol)
                   for i in _atoms(problem)}
        if not refused:
            break
        places = [i for number, i in enumerate(places, 1) if number not in refused]
    Chem.SanitizeMol(mol)
    # Some programs give hydrogens to N, O and S only, and none to the ring of histidine, as they do not know where.
    histidines = {number for number, i in enumerate(places, 1) if RESIDUE_TYPES[protein.types[i]] == "HIS"}
    explicit = {number for number, name in bearers if number not in histidines or name in ("ND1", "NE2")}
    lacking = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetTotalNumHs() and (
        atom.GetAtomicNum() == 6 if _number(atom) in explicit else _key(atom)[1] == "N" and atom.GetDegree() > 1)]
    size = mol.GetNumAtoms()
    if lacking:  # an empty list would mean all atoms
        mol = Chem.AddHs(mol, addCoords=True, onlyOnAtoms=lacking)  # addResidueInfo=True may never end
    for atom in list(mol.GetAtoms())[size:]:
        info = atom.GetNeighbors()[0].GetPDBResidueInfo()
        atom.SetMonomerInfo(Chem.AtomPDBResidueInfo(" HX ", residueName=info.GetResidueName(),
                                                    residueNumber=info.GetResidueNumber(), chainId=info.GetChainId()))
    return mol, places, explicit


def _pdb(protein: Protein, places: list[int]) -> str:
    """The residues under the names of their parents, numbered from 1: insertion codes and chains cannot mix them up."""
    import gemmi

    residues = [residue for chain in protein.structure[0] for residue in chain]
    chain = gemmi.Chain("A")
    for number, i in enumerate(places, 1):
        residue = residues[i].clone()
        kind = RESIDUE_TYPES[protein.types[i]]
        residue.name = "GLY" if kind == "other" else kind  # RDKit then knows the backbone, which its neighbours need
        residue.seqid, residue.het_flag = gemmi.SeqId(number, " "), "A"
        for atom in residue:
            atom.charge = 0  # RDKit sets the charges that the hydrogens demand
            if atom.name == "SE" and kind == "MET":
                atom.name, atom.element = "SD", gemmi.Element("S")
        chain.add_residue(residue)
    structure = gemmi.Structure()
    structure.add_model(gemmi.Model(1))
    structure[0].add_chain(chain)
    return structure.make_pdb_string(gemmi.PdbWriteOptions(minimal=True))


def _set_tautomers(mol: Chem.Mol, bearers: set[tuple[int, str]]) -> None:
    """RDKit puts the double bond of every histidine at ND1; where the hydrogen is there alone, it is at NE2."""
    deltas = {number for number, name in bearers if name == "ND1" and (number, "NE2") not in bearers}
    atoms = {_key(atom): atom for atom in mol.GetAtoms() if _number(atom) in deltas}
    for number in deltas:
        ring = [atoms.get((number, name)) for name in ("ND1", "CE1", "NE2")]
        bonds = [mol.GetBondBetweenAtoms(a.GetIdx(), b.GetIdx()) for a, b in itertools.pairwise(ring) if a and b]
        if len(bonds) == 2 and all(bonds):
            bonds[0].SetBondType(Chem.BondType.SINGLE)
            bonds[1].SetBondType(Chem.BondType.DOUBLE)
            atoms[number, "ND1"].SetFormalCharge(0)


def _number(atom: Chem.Atom) -> int:
    return int(atom.GetPDBResidueInfo().GetResidueNumber())


def _key(atom: Chem.Atom) -> tuple[int, str]:
    return _number(atom), str(atom.GetPDBResidueInfo().GetName()).strip()


def _atoms(problem: Any) -> list[int]:
    """Whom a complaint of RDKit is about."""
    return list(problem.GetAtomIndices()) if hasattr(problem, "GetAtomIndices") else [problem.GetAtomIdx()]


@cache
def _prolif() -> SimpleNamespace:
    """What is used of ProLIF."""
    try:
        with warnings.catch_warnings(record=True):  # MDAnalysis complains about itself, past any filter
            warnings.simplefilter("ignore")
            from prolif import Fingerprint, Molecule
            from prolif.io import MoleculeStandardizer
            from prolif.residue import Residue
            from prolif.utils import split_mol_by_residues
    except ImportError:
        raise MissingPackageError("expected ProLIF 2.2 or newer, which finds hydrogen bonds and hydrophobic contacts, "
                                  "got none; pip install 'pellucid[proteins]'") from None
    standardizer = MoleculeStandardizer()

    def standardize(mol: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Could not guess the forcefield")  # which might have charged cysteines
            warnings.filterwarnings("ignore", r"Residue \S+ has a different number of heavy atoms")  # atoms are missing
            return standardizer(mol)[0]

    explicit, implicit = (Fingerprint(INTERACTIONS, implicit_hydrogens=without) for without in (False, True))
    return SimpleNamespace(Molecule=Molecule, Residue=Residue, split=split_mol_by_residues, standardize=standardize,
                           explicit=explicit, implicit=implicit)
