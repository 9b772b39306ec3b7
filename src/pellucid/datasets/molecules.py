"""Your own molecules: any table of SMILES or structures, and what was measured of them."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rdkit
import torch
from rdkit import Chem
from torch import Tensor

from pellucid.chemistry.encoding import EncodedMolecules, MoleculeRecipe, encode_molecules
from pellucid.chemistry.features import ATOM_CATEGORY_SIZES, BOND_CATEGORY_SIZES
from pellucid.chemistry.molecules import ATOM_TYPES
from pellucid.chemistry.preparation import identity, prepare
from pellucid.chemistry.records import MADE_UP, MoleculeRecord, short
from pellucid.chemistry.scaffolds import scaffold
from pellucid.chemistry.tables import MoleculeTable, open_molecules
from pellucid.clouds import SPLITS, PointClouds
from pellucid.cores import usable_cores
from pellucid.datasets.base import Dataset, PreparedDataset, datasets, load_dataset, whole_number
from pellucid.datasets.kinds import TargetColumn, TargetColumns, column_named, read_targets
from pellucid.datasets.repeats import repeats
from pellucid.datasets.splits import (
    split_by_column,
    split_by_groups,
    split_by_time,
    split_into_folds,
    without_copies,
)
from pellucid.datasets.target_options import TargetOptions
from pellucid.errors import PellucidError

RULES = ("scaffold", "random", "column:NAME", "time:NAME")


@datasets.register("molecules")
class Molecules(Dataset):
    """Your own molecules from any table or frame, with any number of measured targets, gaps and bounds among them.

    Options:
        source: A file (.csv, .tsv, .txt, .smi, .sdf, .mol, .mol2, .parquet, each also .gz), or in Python a frame of
            pandas, Polars or Arrow, or a list.
        targets: Columns to predict: a list, or names with commas between; a unit in brackets may be left out, and
            ``LOG*`` stands for all columns that begin so.
        smiles: Column of the SMILES, where it is not found by itself.
        id: Column of the ids, likewise.
        kinds: Of targets whose values do not say: ``grade=multiclass,count=regression``, or a mapping.
        units: Of targets, in place of those in the titles: ``logS=log mol/L``.
        floors: Numbers that mean "at most this", such as an assay's lower limit: ``HLM=0.675686709``; cells such as
            ``<0.1`` and ``>5`` are bounds by themselves.
        ceilings: Numbers that mean "at least this".
        split: ``scaffold`` (80/10/10 by Bemis-Murcko scaffolds), ``random`` (80/10/10), ``column:NAME`` (of train, val,
            test) or ``time:NAME`` (of dates or numbers: the oldest train).
        folds: Instead of one split: how many folds, of which each is the test part once; at least 2.
        fold: Which fold is the test part, from 0.
        geometry: ``3d`` (poses as given, else conformers) or ``graph`` (bonds alone, which needs no conformers).
        conformers: Of each molecule without a pose; all of them train, validation and test take the first.
        features: ``full`` (element, charge, hydrogens, ring, chirality, ... and bonds) or ``elements``.
        fragments: Of salts and mixtures: ``largest`` keeps the largest organic part, ``refuse`` leaves them out.
        seed: Of the split and the conformers.
        processes: Worker processes for the conformers (None: one for every usable core).
        progress: Show a bar on stderr.

    No molecule is on two sides of a split, whatever its stereo and isotopes: where a column or a time puts copies on
    both, those nearer to training are left out. Copies on one side are kept as they are. Molecules without any value,
    and those that cannot be read or prepared, are left out too; the provenance counts and names them.
    """

    name = "molecules"
    targets = ()
    domain = "molecules"
    unit = "angstrom"
    category_sizes = ATOM_CATEGORY_SIZES
    edge_category_sizes = BOND_CATEGORY_SIZES
    citation, licence = "the user's own data", "the user's own"
    defaults = {"source": None, "targets": None, "smiles": None, "id": None, "kinds": None,  # noqa: RUF012
                "units": None, "floors": None, "ceilings": None, "split": "scaffold", "folds": None, "fold": 0,
                "geometry": "3d", "conformers": 1, "features": "full", "fragments": "largest", "seed": 0,
                "processes": None, "progress": False}

    @classmethod
    def has_coordinates(cls, options: Mapping[str, Any]) -> bool:
        """See :meth:`Dataset.has_coordinates`."""
        return bool(options.get("geometry", cls.defaults["geometry"]) != "graph")

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """See :meth:`Dataset.check`."""
        if options["processes"] is not None:
            whole_number(options, "processes", 1, 1024)
        recipe, table = MoleculeRecipe.of(options), _table(options)
        rule, column = _rule(options, table)
        if options["folds"] is not None:
            whole_number(options, "folds", 2, 1000)
            whole_number(options, "fold", 0, options["folds"] - 1)
            if column:
                raise PellucidError(f"expected folds by scaffold or random, got split={options['split']!r}; leave out "
                                    "one of them")
        return {"content": table.digest(), "targets": _titles(options, table), "smiles": table.smiles_column,
                "id": table.id_column, **TargetOptions.of(options).document(),
                "split": f"{rule}:{column}" if column else rule, "folds": options["folds"],
                "fold": options["fold"] if options["folds"] else 0, "seed": whole_number(options, "seed", 0, 2**31 - 1),
                **recipe.document()}

    def build(self, options: dict[str, Any]) -> tuple[PointClouds, dict[str, Any]]:
        """See :meth:`Dataset.build`."""
        recipe, table = MoleculeRecipe.of(options), _table(options)
        read = list(table)
        columns = read_targets({title: [_cell(record, title).strip() for record in read]
                                for title in _titles(options, table)}, TargetOptions.of(options),
                               row=lambda i: read[i].at(table.counted), source=table.source)
        known = columns.fields(len(read))["y"].isfinite().any(1)
        known |= torch.tensor([record.error is not None for record in read])  # which tells why, rather than its gaps
        encoded = encode_molecules([r for r, k in zip(read, known.tolist(), strict=True) if k], recipe,
                                   seed=options["seed"], processes=options["processes"] or usable_cores(),
                                   cache=self.folder / "conformers", progress=options["progress"])
        places = {id(record): i for i, record in enumerate(read)}
        columns = columns.select([places[id(record)] for record in encoded.records])
        divided = _divide(encoded.records, recipe, options, table)
        stay = divided.keep.nonzero().squeeze(1).tolist()
        kept = columns.select(stay)
        _refuse(kept, divided.split[divided.keep])
        clouds = _chosen(encoded, divided, columns.fields(len(encoded.records)))
        notes = [*table.notes, *encoded.notes, *columns.notes,
                 *repeats([divided.exact[i] for i in stay], [encoded.records[i].name for i in stay], kept),
                 *divided.notes, *_gaps(kept, divided.split[divided.keep])]
        unlabelled = int((~known).sum())
        if unlabelled:
            notes.append(f"{unlabelled:,} molecules have no value of any target and are left out")
        return clouds, {
            "source": table.source,
            "targets": columns.targets.document(),
            "points": {"dim": 0 if recipe.geometry == "graph" else 3,
                       "unit": "" if recipe.geometry == "graph" else "angstrom",
                       "category_sizes": list(ATOM_CATEGORY_SIZES if recipe.features == "full" else
                                              (len(ATOM_TYPES),)),
                       "edge_category_sizes": list(BOND_CATEGORY_SIZES if "edge_index" in clouds else ())},
            "labels": [column.summary() for column in kept.each],
            "columns": {"smiles": table.smiles_column, "id": table.id_column, "others": list(table.columns)},
            "recipe": recipe.document(),
            "rdkit": rdkit.__version__,
            "notes": notes,
            "counts": {"rows": len(read), "unlabelled": unlabelled, "failed": len(encoded.skipped),
                       "copies left out": int((~divided.keep).sum()), "molecules": len(stay), "samples": len(clouds)},
            "failed": [{"id": record.name, "place": f"{table.counted} {record.number}", "reason": reason,
                        "smiles": short(record.smiles, 200)} for record, reason in encoded.skipped],
        }


@dataclass(frozen=True)
class _Divided:
    """Sides of molecules.

    Attributes:
        split: (molecules,) 0, 1 or 2.
        keep: (molecules,) bool, False for copies of what is on another side.
        exact: What each molecule is, with its stereo.
        notes: What was left out.
    """

    split: Tensor
    keep: Tensor
    exact: list[str]
    notes: list[str]


def load_molecules(source: Any, targets: str | Sequence[str], **options: Any) -> PreparedDataset:
    """Opens a table of molecules with what was measured of them as a dataset; the first time it is prepared.

    Args:
        source: A file, a frame of pandas, Polars or Arrow, a dict of lists, or a list; see
            :func:`pellucid.chemistry.tables.open_molecules`.
        targets: Names of the columns to predict, a list or a text with commas.
        **options: Of the dataset ``molecules``: ``smiles``, ``id``, ``kinds``, ``units``, ``floors``, ``ceilings``,
            ``split``, ``folds``, ``fold``, ``geometry``, ``conformers``, ``features``, ``fragments``, ``seed``,
            ``processes``, ``progress``; see :class:`Molecules`.

    Returns:
        Clouds with ``y`` (NaN where missing), ``split`` and, where some values are bounds, ``censored``; the provenance
        says what was found, read in an unusual way and left out, under ``labels``, ``notes`` and ``failed``.

    Raises:
        UnknownNameError: if a target or option does not exist; the message has the near misses.
        PellucidError: if the table cannot be read, a column is no target, or too few molecules are left to split.

    Example:
        >>> import os, tempfile
        >>> os.environ["PELLUCID_HOME"] = tempfile.mkdtemp()
        >>> frame = {"SMILES": ["C" * n + "O" for n in range(1, 31)], "logS [log mol/L]": [-n / 9 for n in range(30)]}
        >>> data = load_molecules(frame, "logS", geometry="graph", split="random")
        >>> data.provenance["labels"], [len(data.clouds.split(name)) for name in ("train", "val", "test")]
        (['logS: regression in log mol/L, 30 values'], [24, 3, 3])
    """
    return load_dataset("molecules", source=source, targets=targets, **options)


def _table(options: Mapping[str, Any]) -> MoleculeTable:
    source = options["source"]
    if source is None or (isinstance(source, str) and not source.strip()):
        raise PellucidError("expected the option source, got none; set source=FILE, a table with a column of SMILES")
    if isinstance(source, str):
        source = Path(source).expanduser()  # one SMILES is no dataset: a wrong path is told as one
    table = open_molecules(source, smiles=options["smiles"], id=options["id"])
    next(iter(table))  # refuses a table without rows before its columns are looked for
    return table


def _columns(table: MoleculeTable) -> tuple[str, ...]:
    """All columns but the SMILES; a date or a bound in each row may have been taken for ids."""
    return (*table.columns, *([table.id_column] if table.id_column else []))


def _cell(record: MoleculeRecord, title: str) -> str:
    """What a column says of a molecule; what is not among its values is its id."""
    if title in record.values:
        return record.values[title]
    return "" if MADE_UP.fullmatch(record.name) else record.name


def _titles(options: Mapping[str, Any], table: MoleculeTable) -> list[str]:
    """Titles of the columns that are targets."""
    asked = options["targets"]
    if isinstance(asked, str):
        asked = [asked] if asked in _columns(table) else [name.strip() for name in asked.split(",")]
    names = [str(name) for name in asked if str(name)] if isinstance(asked, (list, tuple)) else (
        [] if asked is None else [str(asked)])  # of a name such as 1 a command line makes a number
    if not names:
        raise PellucidError(f"expected targets, names of columns to predict, got none; choose among "
                            f"{', '.join(table.columns) or 'columns beside the SMILES, of which there are none'}")
    titles = []
    for name in names:
        matching = fnmatch.filter(table.columns, name) if "*" in name else []
        titles += matching or [column_named(name, _columns(table), f"target in {table.source}")]
    return list(dict.fromkeys(titles))


def _rule(options: Mapping[str, Any], table: MoleculeTable) -> tuple[str, str]:
    """How to split, and by which column."""
    rule, _, column = str(options["split"]).partition(":")
    if rule in ("column", "time") and column:
        return rule, column_named(column, _columns(table), f"column in {table.source}")
    if rule in ("scaffold", "random") and not column:
        return rule, ""
    raise PellucidError(f"expected split to be one of {', '.join(RULES)}, got {options['split']!r}")


def _divide(records: list[MoleculeRecord], recipe: MoleculeRecipe, options: Mapping[str, Any],
            table: MoleculeTable) -> _Divided:
    """The sides of molecules, by what is left of them after preparation."""
    name, column = _rule(options, table)
    mols = [_points_of(record, recipe) for record in records]
    same = [identity(mol, stereo=False) for mol in mols]
    values = [_cell(record, column) for record in records] if column else []
    if name == "time":
        split = split_by_time(values, column, row=lambda i: records[i].at(table.counted))
    else:
        groups = same if name == "random" else [scaffold(mol) for mol in mols]
        if name == "column":
            split = split_by_column(values, column, groups, options["seed"],
                                    row=lambda i: records[i].at(table.counted))
        elif options["folds"] is not None:
            split = split_into_folds(groups, options["seed"], options["folds"], options["fold"])
        else:
            split = split_by_groups(groups, options["seed"])
    keep = without_copies(split, same)
    notes = []
    if gone := int((~keep).sum()):
        notes.append(f"{gone:,} copies of molecules that {name}:{column} also puts on a later side (validation or "
                     "test) are left out, stereoisomers among them")
    for part, side in enumerate(SPLITS):
        if not bool((keep & (split == part)).any()):
            raise PellucidError(f"expected molecules for {side} after copies were left out, got none; split by another "
                                "rule")
    times = Counter(same)
    exact = [identity(mol) if times[one] > 1 else one for mol, one in zip(mols, same, strict=True)]
    return _Divided(split, keep, exact, notes)


def _points_of(record: MoleculeRecord, recipe: MoleculeRecipe) -> Chem.Mol:
    """What of an encoded molecule became points."""
    assert record.mol is not None
    mol = prepare(record.mol, "whole" if recipe.fragments == "refuse" else "largest").mol
    assert mol is not None
    return mol


def _chosen(encoded: EncodedMolecules, divided: _Divided, fields: Mapping[str, Tensor]) -> PointClouds:
    """Clouds with their labels, of those that stay; of validation and test the first conformer alone."""
    molecule = encoded.clouds["molecule"]
    first = torch.ones_like(molecule, dtype=torch.bool)
    first[1:] = molecule[1:] != molecule[:-1]
    split = divided.split[molecule]
    stay = divided.keep[molecule] & (first | (split == 0))
    labels: dict[str, Any] = {name: values[molecule] for name, values in fields.items()}
    return encoded.clouds.replace(split=split, **labels).select(stay)


def _refuse(columns: TargetColumns, split: Tensor) -> None:
    """Raises PellucidError for a target of which no model can learn anything."""
    train = (split == 0).tolist()
    for column in columns.each:
        name, all_values = column.target.name, [v for v in column.values if v == v]
        if column.target.kind != "regression" and len(set(all_values)) < 2:
            raise PellucidError(f"expected two classes of {name!r} among the molecules that are left, got "
                                f"{len(set(all_values))}; leave the target out, or see which molecules failed")
        if not any(inside and v == v for inside, v in zip(train, column.values, strict=True)):
            raise PellucidError(f"expected values of {name!r} in the training part, got none; split by another rule, "
                                "or leave the target out")


def _gaps(columns: TargetColumns, split: Tensor) -> list[str]:
    """What cannot be judged, since a side has no value or one class only."""
    notes = []
    for column in columns.each:
        for part, side in enumerate(SPLITS):
            own = _on_side(column, split == part)
            if not own:
                notes.append(f"{column.target.name}: no value in {side}")
            elif column.target.kind != "regression" and len(own) == 1:
                notes.append(f"{column.target.name}: one class only in {side}")
    return notes


def _on_side(column: TargetColumn, side: Tensor) -> set[float]:
    return {v for v, inside in zip(column.values, side.tolist(), strict=True) if inside and v == v}
