"""Reading ligands: one molecule with its pose in the protein's frame, atom types and partial charges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdMolAlign, rdPartialCharges

from pellucid.chemistry.conformers import conformer
from pellucid.chemistry.molecules import atom_types
from pellucid.chemistry.proteins import file_bytes, stem
from pellucid.chemistry.records import complaint
from pellucid.chemistry.text_lines import decoded
from pellucid.errors import PellucidError


@dataclass(frozen=True)
class Ligand:
    """A small molecule at its place.

    Attributes:
        name: As given, else its title in the file, else the file's name.
        mol: Without hydrogens; atoms in the order of the file, the pose is its conformer.
        mol_h: With all hydrogens: the file's atoms in their order, then those the file lacks, at computed places.
        pos: (n, 3) angstrom, the atoms of ``mol`` as in the file.
        types: (n,) indices into :data:`pellucid.chemistry.molecules.ATOM_TYPES`.
        charges: (n,) Gasteiger partial charges in elementary charges; a hydrogen's is not added to its atom's.
        smiles: RDKit's canonical SMILES; its atom order is not that of ``mol``.
    """

    name: str
    mol: Chem.Mol
    mol_h: Chem.Mol
    pos: NDArray[np.float64]
    types: NDArray[np.int64]
    charges: NDArray[np.float64]
    smiles: str


def read_ligand(path: str | Path, *, name: str = "") -> Ligand:
    """Reads a ligand with its pose; the first record, where the file has several.

    Salts, ions and peptides are read as they stand.

    Args:
        path: ``.sdf``, ``.mol`` or ``.mol2``, plain or gzipped.
        name: What to call it; see :class:`Ligand`.

    Returns:
        The ligand.

    Raises:
        PellucidError: naming file and reason, if the file is missing, damaged, of another kind or without a molecule,
            or if the molecule is one that RDKit refuses, flat, of an element that is not listed, or of one without
            Gasteiger parameters.

    Source: Gasteiger & Marsili, Tetrahedron 36, 3219 (1980), by RDKit.

    Example:
        >>> import tempfile
        >>> from rdkit.Chem import AllChem
        >>> mol = Chem.AddHs(Chem.MolFromSmiles("CO"))
        >>> _ = AllChem.EmbedMolecule(mol, randomSeed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "methanol.sdf").write_text(Chem.MolToMolBlock(mol))
        ...     ligand = read_ligand(Path(folder) / "methanol.sdf")
        >>> ligand.name, ligand.smiles, ligand.types.tolist(), ligand.charges.round(2).tolist()
        ('methanol', 'CO', [0, 2], [0.03, -0.4])
    """
    path = Path(path)
    kind = (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()
    if kind not in _PARSERS:
        raise PellucidError(f"expected a ligand in a file of kind {', '.join(_PARSERS)}, plain or .gz, got {path}; "
                            "convert it")
    full, reason = _parse(decoded(file_bytes(path)), kind)
    if full is None:
        raise PellucidError(f"expected a molecule that RDKit can read in {path}, got one it cannot ({reason}); mend "
                            "it, or convert the ligand from another file")
    title = full.GetProp("_Name").strip() if full.HasProp("_Name") else ""
    name = name or title or stem(path)
    shown = f"{name} ({path})"
    pose = full.GetConformer().GetPositions() if full.GetNumConformers() else np.zeros((0, 3))
    if not np.isfinite(pose).all():
        raise PellucidError(f"expected a pose of {shown}, got coordinates that are no numbers; mend the file")
    if not pose[:, 2].any():
        raise PellucidError(f"expected a pose of {shown} in 3D, in the protein's frame, got a flat drawing; give the "
                            "docked or crystal pose")
    with rdBase.BlockLogs():
        full = Chem.AddHs(full, addCoords=True)
        mol = Chem.RemoveAllHs(full)
    if not mol.GetNumAtoms():
        raise PellucidError(f"expected a ligand in {shown}, got hydrogens only; check the file")
    return Ligand(name, mol, full, np.asarray(mol.GetConformer().GetPositions(), dtype=np.float64),
                  atom_types(mol, shown), _charges(full, shown), Chem.MolToSmiles(mol))


def conformer_at(ligand: Ligand, seed: int = 0) -> NDArray[np.float64]:
    """An RDKit conformer of the ligand laid over its pose with the least root mean square distance, atom by atom.

    A model that is trained on poses may learn the bound shape; this has the place but not the shape.

    Args:
        ligand: The ligand.
        seed: 0 ... 2^31 - 1; see :func:`pellucid.chemistry.conformers.conformer`.

    Returns:
        (n, 3) angstrom, atoms in the order of ``ligand.mol``.

    Raises:
        ConformerError: if RDKit finds no conformer; the message has the reason.

    Source: EquiBind's preparation of PDBbind (Stark et al., ICML 2022), which LRI follows.
    """
    probe = Chem.Mol(ligand.mol)
    probe.GetConformer().SetPositions(conformer(ligand.mol, seed))
    rdMolAlign.AlignMol(probe, ligand.mol, atomMap=[(i, i) for i in range(probe.GetNumAtoms())])
    return np.asarray(probe.GetConformer().GetPositions(), dtype=np.float64)


def _from_molfile(text: str, **options: bool) -> Chem.Mol | None:
    """The first record, without the fields of a V2000 atom and bond that queries alone use.

    The program that wrote PDBbind's files fills them in, and RDKit finds no aromatic rings in a query.
    """
    lines = text.replace("\r\n", "\n").partition("\n$$$$")[0].split("\n")  # nothing else ends a line
    try:
        atoms, bonds = int(lines[3][:3]), int(lines[3][3:6])  # none in a V3000 record
    except (IndexError, ValueError):
        return None
    ends = [None] * 4 + [42] * atoms + [12] * bonds + [None] * len(lines)
    return Chem.MolFromMolBlock("\n".join(line[:end] for line, end in zip(lines, ends, strict=False)) + "\n", **options)


_PARSERS: dict[str, Callable[..., Chem.Mol | None]] = {
    ".sdf": _from_molfile, ".mol": _from_molfile, ".mol2": Chem.MolFromMol2Block,
}


def _parse(text: str, kind: str) -> tuple[Chem.Mol | None, str]:
    """The molecule with the file's hydrogens and ``""``, or None and the reason."""
    raw: Any = None
    with rdBase.BlockLogs():
        try:
            mol = _PARSERS[kind](text, sanitize=True, removeHs=False)
            if mol is not None:
                return (mol, "") if mol.GetNumAtoms() else (None, "it has no atoms")
            raw = _PARSERS[kind](text, sanitize=False, removeHs=False)
        except (ValueError, RuntimeError):
            raw = None
        return None, f"it is not a valid {kind} record" if raw is None else complaint(raw)


def _charges(full: Chem.Mol, shown: str) -> NDArray[np.float64]:
    """Of all atoms but hydrogens, which count in the iteration."""
    rdPartialCharges.ComputeGasteigerCharges(full)
    charges = np.array([atom.GetDoubleProp("_GasteigerCharge") for atom in full.GetAtoms()])
    if not np.isfinite(charges).all():
        reason = "they are not finite"
        try:
            rdPartialCharges.ComputeGasteigerCharges(full, throwOnParamFailure=True)  # which refuses more, but says why
        except ValueError as error:
            reason = str(error).removeprefix("ERROR: ").strip()
        raise PellucidError(f"expected Gasteiger charges of {shown}, got a problem ({reason}); leave it out")
    return charges[[atom.GetAtomicNum() != 1 for atom in full.GetAtoms()]]
