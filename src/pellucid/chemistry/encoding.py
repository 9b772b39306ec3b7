"""Molecules as point clouds: one point a heavy atom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Geometry import Point3D

from pellucid.chemistry.conformers import conformers
from pellucid.chemistry.molecules import MoleculeRecord, atom_types
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError


@dataclass(frozen=True)
class EncodedMolecules:
    """Point clouds of the molecules that could be encoded, and the others with the reason.

    Attributes:
        clouds: See :func:`molecule_clouds`; cloud ``i`` is ``records[i]``.
        records: The encoded ones.
        skipped: (record, reason) of the others.
    """

    clouds: PointClouds
    records: list[MoleculeRecord]
    skipped: list[tuple[MoleculeRecord, str]]


def molecule_clouds(mols: Sequence[Chem.Mol], positions: Sequence[NDArray[np.float64]], *, names: Sequence[str],
                    smiles: Sequence[str] | None = None, molblocks: bool = False) -> PointClouds:
    """Point clouds of molecules, one point a heavy atom in the molecule's order.

    Args:
        mols: RDKit molecules without hydrogens.
        positions: (atoms, 3) angstrom each; they are centred here.
        names: Identifiers.
        smiles: SMILES as given; made from the molecules where None.
        molblocks: Also keep a V2000 (V3000 from 1,000 atoms) block with the pose, so that a report can draw bonds.

    Returns:
        PointClouds with ``pos`` (float32, angstrom), ``categories`` (points, 1), the text fields ``id`` and ``smiles``,
        and ``molblock`` if asked for.

    Raises:
        PellucidError: if there are none, the lengths differ, or an element is not in ``ATOM_TYPES``.

    Example:
        >>> from pellucid.chemistry.conformers import conformer
        >>> clouds = molecule_clouds([Chem.MolFromSmiles("CCO")], [conformer("CCO")], names=["ethanol"])
        >>> clouds["categories"].flatten().tolist(), clouds.unit("pos")
        ([0, 0, 2], 'angstrom')
    """
    given = smiles if smiles is not None else [Chem.MolToSmiles(m) for m in mols]
    if not mols or not len(mols) == len(positions) == len(names) == len(given):
        raise PellucidError(f"expected at least one molecule and as many positions, names and SMILES, got {len(mols)}, "
                            f"{len(positions)}, {len(names)} and {len(given)}")
    for mol, pos, name in zip(mols, positions, names, strict=True):
        if pos.shape != (mol.GetNumAtoms(), 3):
            raise PellucidError(f"expected positions of shape ({mol.GetNumAtoms()}, 3) for molecule {name!r}, got "
                                f"{pos.shape}; leave out hydrogens and keep the atom order")
    centred = [pos - pos.mean(0) for pos in positions]
    types = np.concatenate([atom_types(mol, name) for mol, name in zip(mols, names, strict=True)])
    text = {"id": list(names), "smiles": list(given)}
    if molblocks:
        text["molblock"] = [_molblock(m, p, n) for m, p, n in zip(mols, centred, names, strict=True)]
    ptr = torch.tensor(np.cumsum([0, *(len(p) for p in centred)]), dtype=torch.int64)
    fields = {
        "pos": torch.from_numpy(np.concatenate(centred).astype(np.float32)),
        "categories": torch.from_numpy(types)[:, None],
    }
    return PointClouds(ptr, fields, text=text, units={"pos": "angstrom"})


def encode_molecules(records: Sequence[MoleculeRecord], *, seed: int = 0, processes: int = 1,
                     cache: Path | None = None, progress: bool = False, some: bool = True) -> EncodedMolecules:
    """Point clouds of a user's molecules: the given pose, or a conformer where there is none.

    Args:
        records: From :func:`~pellucid.chemistry.molecules.read_molecules`.
        seed: Of the conformers.
        processes: See :func:`~pellucid.chemistry.conformers.conformers`.
        cache: See there.
        progress: See there.
        some: Whether at least one must be encoded; otherwise there may be no clouds.

    Returns:
        What could be encoded, with mol blocks, and what could not, each with its reason.

    Raises:
        PellucidError: if nothing could be encoded.

    Example:
        >>> from pellucid.chemistry.molecules import read_molecules
        >>> len(encode_molecules(read_molecules("CCO")).clouds)
        1
    """
    reasons: dict[int, str] = {}
    poses: dict[int, NDArray[np.float64]] = {}
    flat: list[int] = []
    for i, record in enumerate(records):
        if record.mol is None:
            reasons[i] = record.error or "it could not be read"
            continue
        try:
            atom_types(record.mol, record.name)
        except PellucidError as error:
            reasons[i] = str(error)
            continue
        if (pose := record.pose) is not None:
            poses[i] = pose
        else:
            flat.append(i)
    mols: list[Any] = [r.mol for r in records]
    ordered = [_ordered_smiles(mols[i]) for i in flat]
    made = conformers([s for s, _ in ordered], seed=seed, processes=processes, cache=cache, progress=progress)
    for i, (_, order), positions, reason in zip(flat, ordered, made.positions, made.reasons, strict=True):
        if positions is None:
            reasons[i] = f"no conformer: {reason}"
        else:
            poses[i] = np.empty_like(positions)
            poses[i][order] = positions
    kept = sorted(poses)
    if not kept and not some:
        nothing = PointClouds(torch.zeros(1, dtype=torch.int64), {})
        return EncodedMolecules(nothing, [], [(records[i], reasons[i]) for i in sorted(reasons)])
    if not kept:
        shown = "; ".join(f"{records[i].name}: {reason}" for i, reason in sorted(reasons.items())[:3])
        raise PellucidError(f"expected at least one molecule that can be encoded, got none ({shown or 'no records'}); "
                            "give other molecules, or poses in an .sdf file")
    chosen = [records[i] for i in kept]
    clouds = molecule_clouds([mols[i] for i in kept], [poses[i] for i in kept], names=[r.name for r in chosen],
                             smiles=[r.smiles for r in chosen], molblocks=True)
    return EncodedMolecules(clouds, chosen, [(records[i], reasons[i]) for i in sorted(reasons)])


def _ordered_smiles(mol: Chem.Mol) -> tuple[str, list[int]]:
    """A SMILES that reads back with the same atoms, and for each of its atoms the index in ``mol``."""
    plain = Chem.Mol(mol)
    smiles = Chem.MolToSmiles(plain, canonical=False)
    return smiles, [int(i) for i in plain.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"]]


def _molblock(mol: Chem.Mol, positions: NDArray[np.float64], name: str) -> str:
    copy = Chem.Mol(mol)
    copy.RemoveAllConformers()
    shape = Chem.Conformer(len(positions))
    shape.Set3D(True)
    for i, (x, y, z) in enumerate(positions.tolist()):
        shape.SetAtomPosition(i, Point3D(x, y, z))
    copy.AddConformer(shape, assignId=True)
    copy.SetProp("_Name", name.splitlines()[0] if name else "")
    return str(Chem.MolToMolBlock(copy))


def molecule_of(clouds: PointClouds, i: int) -> Chem.Mol:
    """The RDKit molecule of cloud ``i``, its atoms in the order of the points.

    Args:
        clouds: From :func:`molecule_clouds`, with ``molblock`` or ``smiles``.
        i: Place of the cloud.

    Raises:
        PellucidError: if the clouds carry neither, or it does not fit the points.
    """
    if "molblock" in clouds.text:
        mol = Chem.MolFromMolBlock(clouds.text["molblock"][i], removeHs=False)
    elif "smiles" in clouds.text:
        mol = Chem.MolFromSmiles(clouds.text["smiles"][i])
    else:
        raise PellucidError("expected clouds with SMILES or mol blocks, got neither; these are not molecules")
    if mol is None or mol.GetNumAtoms() != int(clouds.sizes[i]):
        raise PellucidError(f"expected a molecule of {int(clouds.sizes[i])} atoms for cloud {i}, got another; prepare "
                            "the dataset again")
    return mol
