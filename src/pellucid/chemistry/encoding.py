"""Molecules as point clouds: one point a heavy atom."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Geometry import Point3D

from pellucid.chemistry.conformers import conformers
from pellucid.chemistry.embedding import NOTHING, UFF
from pellucid.chemistry.features import UNLABELLED, MoleculeFeatures, has_axis, molecule_features
from pellucid.chemistry.molecules import MoleculeRecord, atom_types
from pellucid.chemistry.preparation import Note, Prepared, prepare, summarised
from pellucid.clouds import PointClouds, offsets
from pellucid.errors import PellucidError

Features = Literal["elements", "full"]
Geometry = Literal["3d", "graph"]
MOST_CONFORMERS = 100
"""Conformers of a molecule that a recipe may ask for."""
RELAXED = {UFF: "Conformers relaxed by UFF, since MMFF94 has no parameters for an atom",
           NOTHING: "Conformers as ETKDG embedded them, since neither MMFF94 nor UFF has parameters for an atom"}
FLAT = "Flat coordinates, a drawing and no pose, for which a conformer was made"


@dataclass(frozen=True)
class MoleculeRecipe:
    """How molecules become clouds; the defaults are how SynMol is made.

    Attributes:
        features: ``"elements"``: the fourteen of :data:`~pellucid.chemistry.molecules.ATOM_TYPES`, others are refused;
            ``"full"``: all elements, and what :mod:`pellucid.chemistry.features` tells of atoms and bonds.
        geometry: ``"3d"``: coordinates of the given pose or of a conformer; ``"graph"``: bonds, without coordinates.
        conformers: Clouds of a molecule without a pose, each with another conformer.
        fragments: Of salts and mixtures, ``"largest"`` keeps the largest organic part; ``"refuse"`` refuses them,
            unless a pose says how their parts lie.

    Raises:
        PellucidError: for values that are not listed here.

    Example:
        >>> recipe = MoleculeRecipe("full", "graph", fragments="largest")
        >>> MoleculeRecipe.of({"seed": 3, **recipe.document()}) == recipe, MoleculeRecipe.of({}).features
        (True, 'elements')
    """

    features: Features = "elements"
    geometry: Geometry = "3d"
    conformers: int = 1
    fragments: Literal["refuse", "largest"] = "refuse"

    def __post_init__(self) -> None:
        for name, value, known in (("features", self.features, get_args(Features)),
                                   ("geometry", self.geometry, get_args(Geometry)),
                                   ("fragments", self.fragments, ("refuse", "largest"))):
            if value not in known:
                raise PellucidError(f"expected {name} to be one of {', '.join(known)}, got {value!r}; choose one")
        count = self.conformers
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_CONFORMERS:
            raise PellucidError(f"expected a number of conformers from 1 to {MOST_CONFORMERS}, got {count!r}; give "
                                "another")
        if count > 1 and self.geometry == "graph":
            raise PellucidError(f"expected one conformer with geometry graph, which has no coordinates, got {count}; "
                                "choose geometry 3d, or leave them out")

    def document(self) -> dict[str, Any]:
        """As what it is kept among the options of a dataset."""
        return asdict(self)

    @staticmethod
    def of(options: Mapping[str, Any]) -> MoleculeRecipe:
        """The recipe in a dataset's options, where other entries may lie too; what is missing is as SynMol has it."""
        return MoleculeRecipe(**{f.name: options[f.name] for f in fields(MoleculeRecipe) if f.name in options})


@dataclass(frozen=True)
class EncodedMolecules:
    """Point clouds of the molecules that could be encoded, and the others with the reason.

    Attributes:
        clouds: See :func:`encode_molecules`.
        records: The encoded ones; cloud ``i`` is of ``records[clouds["molecule"][i]]``.
        skipped: (record, reason) of the others.
        notes: What was done to molecules, a sentence a kind.
    """

    clouds: PointClouds
    records: list[MoleculeRecord]
    skipped: list[tuple[MoleculeRecord, str]]
    notes: list[str] = field(default_factory=list)


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


def encode_molecules(records: Sequence[MoleculeRecord], recipe: MoleculeRecipe | None = None, *, seed: int = 0,
                     processes: int = 1, cache: Path | None = None, progress: bool = False, some: bool = True
                     ) -> EncodedMolecules:
    """Point clouds of a user's molecules, one point a heavy atom in the order in which they were given.

    Args:
        records: From :func:`~pellucid.chemistry.molecules.read_molecules`.
        recipe: How; None for the defaults of :class:`MoleculeRecipe`.
        seed: Of the conformers.
        processes: See :func:`~pellucid.chemistry.conformers.conformers`.
        cache: See there.
        progress: See there.
        some: Whether at least one must be encoded; otherwise there may be no clouds.

    Returns:
        What could be encoded, and what could not, each with its reason. Fields: ``pos`` (float32, angstrom, centred;
        not with geometry graph), ``categories``, ``atom`` (number of the atom in the record's molecule), ``molecule``
        (place in ``records``), with features full or geometry graph ``edge_index`` and ``edge_categories``; the texts
        ``id``, ``smiles`` (as given), ``values`` (JSON) and ``structure`` (for :func:`molecule_of`). Several
        conformers of a molecule are clouds one after the other.

    Raises:
        PellucidError: if nothing could be encoded.

    Example:
        >>> from pellucid.chemistry.molecules import read_molecules
        >>> len(encode_molecules(read_molecules("CCO")).clouds)
        1
        >>> made = encode_molecules(read_molecules("[Na+].CC(=O)[O-]"), MoleculeRecipe("full", "graph", 1, "largest"))
        >>> made.clouds.names, made.clouds["atom"].tolist(), made.notes[0].endswith("1 (molecule-1 without [Na+])")
        (['categories', 'atom', 'molecule', 'edge_index', 'edge_categories'], [1, 2, 3, 4], True)
    """
    recipe = recipe or MoleculeRecipe()
    reasons: dict[int, str] = {}
    ready: dict[int, Prepared] = {}
    notes: list[tuple[str, Note]] = []
    for i, record in enumerate(records):
        notes += [(record.name, Note(text)) for text in record.notes]
        made = _prepared(record, recipe)
        if made.mol is None:
            reasons[i] = made.error
            continue
        ready[i] = made
        notes += [(record.name, note) for note in made.notes]
    written = {i: structure(_mol(made)) for i, made in ready.items()}
    poses = {} if recipe.geometry == "graph" else _poses(
        records, ready, written, reasons, notes, seed=seed, processes=processes, cache=cache, progress=progress,
        count=recipe.conformers, fallback=True)
    kept = [i for i in ready if i not in reasons]
    if not kept and not some:
        nothing = PointClouds(torch.zeros(1, dtype=torch.int64), {})
        return EncodedMolecules(nothing, [], [(records[i], reasons[i]) for i in sorted(reasons)], summarised(notes))
    if not kept:
        shown = "; ".join(f"{records[i].name}: {reason}" for i, reason in sorted(reasons.items())[:3])
        raise PellucidError(f"expected at least one molecule that can be encoded, got none ({shown or 'no records'}); "
                            "give other molecules, or poses in an .sdf file")
    mols = [_mol(ready[i]) for i in kept]
    full = recipe.features == "full"
    made_features = molecule_features(mols, [written[i] for i in kept])
    notes += [(records[kept[i]].name, Note(UNLABELLED)) for i in made_features.unlabelled if full]
    clouds = _clouds([records[i] for i in kept], mols, made_features, [ready[i].atoms for i in kept],
                     [written[i] for i in kept], [poses[i] for i in kept] if poses else None, recipe)
    return EncodedMolecules(clouds, [records[i] for i in kept], [(records[i], reasons[i]) for i in sorted(reasons)],
                            summarised(notes))


def _prepared(record: MoleculeRecord, recipe: MoleculeRecipe) -> Prepared:
    if record.mol is None:
        return Prepared(None, error=record.error or "it could not be read")
    posed = recipe.geometry == "3d" and record.posed
    made = prepare(record.mol, "whole" if posed and recipe.fragments == "refuse" else recipe.fragments)
    if made.mol is not None and recipe.features == "elements":
        try:
            atom_types(made.mol, record.name)
        except PellucidError as error:
            return Prepared(None, error=str(error))
    return made


def _mol(made: Prepared) -> Chem.Mol:
    assert made.mol is not None
    return made.mol


def _poses(records: Sequence[MoleculeRecord], ready: Mapping[int, Prepared], written: Mapping[int, str],
           reasons: dict[int, str], notes: list[tuple[str, Note]], **how: Any) -> dict[int, list[NDArray[np.float64]]]:
    """(atoms, 3) coordinates of each molecule, one array a conformer; why there are none goes to ``reasons``."""
    poses: dict[int, list[NDArray[np.float64]]] = {}
    flat = []
    for i, made in ready.items():
        mol = _mol(made)
        if records[i].posed:
            poses[i] = [np.asarray(mol.GetConformer().GetPositions(), dtype=np.float64)]
        else:
            flat.append(i)
            if mol.GetNumConformers():
                notes.append((records[i].name, Note(FLAT)))
    parted = [_taken_apart(written[i]) for i in flat]
    found = conformers([smiles for smiles, _ in parted], **how)
    for i, (_, order), positions, reason, relaxed in zip(flat, parted, *found, strict=True):
        if positions is None:
            reasons[i] = f"no conformer: {reason}"
            continue
        own = np.empty_like(positions)
        own[..., order or slice(None), :] = positions
        poses[i] = list(own) if own.ndim == 3 else [own]
        if relaxed in RELAXED:
            notes.append((records[i].name, Note(RELAXED[relaxed])))
    return poses


def _clouds(records: list[MoleculeRecord], mols: list[Chem.Mol], made: MoleculeFeatures,
            atoms: list[tuple[int, ...]], written: list[str], poses: list[list[NDArray[np.float64]]] | None,
            recipe: MoleculeRecipe) -> PointClouds:
    full = recipe.features == "full"
    categories = made.atoms if full else np.concatenate(
        [atom_types(mol, record.name) for mol, record in zip(mols, records, strict=True)])[:, None]
    tensors = {"categories": torch.from_numpy(categories), "atom": torch.tensor([a for own in atoms for a in own]),
               "molecule": torch.arange(len(records))}
    edge_ptr = None
    if full or poses is None:
        edge_ptr = offsets(torch.from_numpy(made.edge_sizes))
        tensors["edge_index"] = torch.from_numpy(made.edge_index)
        tensors["edge_categories"] = torch.from_numpy(made.edges)
    text = {"id": [record.name for record in records], "smiles": [record.smiles for record in records],
            "values": [json.dumps(dict(record.values), ensure_ascii=False) if record.values else "{}"
                       for record in records], "structure": written}
    clouds = PointClouds(offsets(torch.from_numpy(made.sizes)), tensors, text=text, edge_ptr=edge_ptr)
    if poses is None:
        return clouds
    clouds = clouds.select(torch.repeat_interleave(torch.arange(len(records)), torch.tensor([len(p) for p in poses])))
    pos = np.concatenate([one - one.mean(0) for own in poses for one in own]).astype(np.float32)
    return PointClouds(clouds.ptr, {"pos": torch.from_numpy(pos), **{name: clouds[name] for name in clouds.names}},
                       text=clouds.text, units={"pos": "angstrom"}, edge_ptr=clouds.edge_ptr)


def structure(mol: Chem.Mol) -> str:
    """A SMILES that reads back with the same atoms, and where their order differs, for each the number in ``mol``.

    Example:
        >>> structure(Chem.MolFromSmiles("CCO")), structure(Chem.MolFromSmiles("C(O)C"))
        ('CCO', 'C(O)C')
        >>> structure(Chem.RenumberAtoms(Chem.MolFromSmiles("CCO"), [0, 2, 1]))
        'CCO [0,2,1]'
    """
    smiles = str(Chem.MolToSmiles(mol, canonical=False))
    order = mol.GetProp("_smilesAtomOutputOrder").replace(",]", "]")
    if has_axis(mol):
        options: Any = Chem.SmilesWriteParams()
        options.canonical = False
        extended = str(Chem.MolToCXSmiles(mol, options, Chem.CXSmilesFields.CX_BOND_ATROPISOMER))
        smiles = extended if extended.startswith(f"{smiles} ") else smiles
    return smiles if order == _in_order(mol.GetNumAtoms()) else f"{smiles} {order}"


def _taken_apart(text: str) -> tuple[str, list[int]]:
    """The SMILES of a structure, and for each of its atoms the point; no list where the order is the same."""
    smiles, found, order = text.rpartition(" [")
    return (smiles, json.loads(f"[{order}")) if found else (text, [])


@lru_cache(2048)
def _in_order(atoms: int) -> str:
    return f"[{','.join(map(str, range(atoms)))}]"


def _molblock(mol: Chem.Mol, positions: NDArray[np.float64], name: str) -> str:
    copy = Chem.Mol(mol)
    copy.RemoveAllConformers()
    copy.AddConformer(_shape(positions.tolist()), assignId=True)
    copy.SetProp("_Name", name.splitlines()[0] if name else "")
    return str(Chem.MolToMolBlock(copy))


def molecule_of(clouds: PointClouds, i: int) -> Chem.Mol:
    """The RDKit molecule of cloud ``i``, its atoms in the order of the points, its stereo as it was given.

    Args:
        clouds: From :func:`encode_molecules`, or from :func:`molecule_clouds` with ``molblock`` or ``smiles``.
        i: Place of the cloud.

    Returns:
        The molecule; with coordinates, where the clouds have three, as its conformer.

    Raises:
        PellucidError: if the clouds carry no structure, or it does not fit the points.

    Example:
        >>> from pellucid.chemistry.molecules import read_molecules
        >>> made = encode_molecules(read_molecules("[Na+].[O-]C(=O)C"), MoleculeRecipe("full", "graph", 1, "largest"))
        >>> [atom.GetSymbol() for atom in molecule_of(made.clouds, 0).GetAtoms()]
        ['O', 'C', 'O', 'C']
    """
    text, mol = clouds.text, None
    if "structure" in text:
        smiles, order = _taken_apart(text["structure"][i])
        mol = Chem.MolFromSmiles(smiles)
        if mol is not None and order:
            mol = Chem.RenumberAtoms(mol, np.argsort(order).tolist())
    elif "molblock" in text:
        mol = Chem.MolFromMolBlock(text["molblock"][i], removeHs=False)
    elif "smiles" in text:
        mol = Chem.MolFromSmiles(text["smiles"][i])
    else:
        raise PellucidError("expected clouds with SMILES or mol blocks, got neither; these are not molecules")
    if mol is None or mol.GetNumAtoms() != int(clouds.sizes[i]):
        raise PellucidError(f"expected a molecule of {int(clouds.sizes[i])} atoms for cloud {i}, got another; prepare "
                            "the dataset again")
    if "structure" in text and "pos" in clouds:
        mol.AddConformer(_shape(clouds.pos[int(clouds.ptr[i]):int(clouds.ptr[i + 1])].double().tolist()), assignId=True)
    return mol


def _shape(positions: list[list[float]]) -> Chem.Conformer:
    shape = Chem.Conformer(len(positions))
    shape.Set3D(True)
    for i, (x, y, z) in enumerate(positions):
        shape.SetAtomPosition(i, Point3D(x, y, z))
    return shape
