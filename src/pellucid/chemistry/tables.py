"""A chemist's molecules out of whatever they come in: files, frames and lists, read one after another."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem, rdBase

from pellucid.chemistry.column_choice import LOOKED_AT, find_id, find_smiles, id_rank, looks, place_of
from pellucid.chemistry.records import MoleculeRecord, molecule_record, short, smiles_and_name, smiles_record
from pellucid.chemistry.sdf import MoleculeFile
from pellucid.chemistry.text_lines import TextFile, told
from pellucid.chemistry.text_tables import SPACED, Row, TextTable, column_looks, distinct
from pellucid.errors import PellucidError
from pellucid.files import sha256
from pellucid.frames import Frame, cell

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = (".csv", ".tsv", ".txt", ".smi", ".smiles")
MOLFILES = (".sdf", ".sd", ".mol", ".mdl", ".mol2")
SUFFIXES = (*TABLES, ".sdf", ".mol", ".mol2", ".parquet")
"""Kinds of files that are read, each also gzipped (``.gz``)."""
KINDS = "a file of kind " + ", ".join(SUFFIXES) + " (each also .gz)"
_PARQUET = (".parquet", ".pq")
_OTHER = {
    ".xyz": "which has no bonds; give an .sdf, or SMILES",
    ".pdb": "which has no bond orders; give the molecule as .sdf or SMILES",
    ".ent": "which has no bond orders; give the molecule as .sdf or SMILES",
    ".cif": "which has no bond orders; give the molecule as .sdf or SMILES",
    ".pdbqt": "which has no bond orders; give the molecule as .sdf or SMILES",
    ".xlsx": "an Excel workbook; save its sheet as .csv", ".xls": "an Excel workbook; save its sheet as .csv",
    ".json": "JSON; write a .csv of it", ".feather": "Feather; write a .parquet of it",
    ".inchi": "InChI; convert it to SMILES", ".rxn": "a reaction, not molecules", ".zip": "an archive; unpack it",
    ".cdx": "ChemDraw; save it as .sdf", ".cdxml": "ChemDraw; save it as .sdf", ".mae": "Maestro; save it as .sdf",
}
_UNPACKED = 1 << 32

Entries = Callable[[], Iterator[MoleculeRecord]]


class MoleculeTable(Iterable[MoleculeRecord]):
    """Molecules that are read when they are asked for, one after another and as often as one likes.

    Memory does not grow with the file, but for eight bytes a molecule with which ids are compared.

    Attributes:
        source: What it is called in messages.
        columns: Names of what records hold in ``values``, in the order of the input.
        smiles_column: Name of the column of SMILES; None where the input has none, e.g. of an SDF file.
        id_column: Name of the column or property that names the molecules; None where titles do, or nothing does.
        counted: What the numbers of records count, from 1: ``line`` of a text file, ``record`` of an SDF, ``row`` of a
            frame, or ``entry`` of a list.
        types: Of those of ``columns`` that were no texts, e.g. numbers of a frame: their types.

    Example:
        >>> table = open_molecules({"Structure": ["CCO", "c1ccccc1"], "ID": ["a", "b"], "logS": [1.1, None]})
        >>> table.columns, table.smiles_column, table.id_column
        (('logS',), 'Structure', 'ID')
        >>> [(r.name, r.mol.GetNumAtoms(), dict(r.values)) for r in table]
        [('a', 3, {'logS': '1.1'}), ('b', 6, {'logS': ''})]
    """

    def __init__(self, source: str, entries: Entries, digest: Callable[[], str], *, columns: Sequence[str] = (),
                 smiles_column: str | None = None, id_column: str | None = None, notes: Sequence[str] = (),
                 read: Mapping[str, None] | None = None, counted: str = "entry",
                 types: Mapping[str, pa.DataType] | None = None) -> None:
        self.source, self.columns, self.counted = source, tuple(columns), counted
        self.smiles_column, self.id_column = smiles_column, id_column
        self.types = {name: kind for name, kind in (types or {}).items() if name in self.columns}
        self._entries, self._digest, self._notes = entries, digest, list(notes)
        self._read = {} if read is None else read  # which grows while a file is read
        self._seen: str | None = None

    @property
    def notes(self) -> list[str]:
        """What was found and chosen, a sentence each; repeated ids are told once all was read."""
        return [*self._read, *self._notes, *([self._seen] if self._seen else [])]

    def digest(self) -> str:
        """SHA-256 of the content as hex, for the keys of caches."""
        return self._digest()

    def __iter__(self) -> Iterator[MoleculeRecord]:
        names = array("q")
        for record in self._entries():
            names.append(hash(record.name))
            yield record
        if not names:
            raise PellucidError(f"expected at least one molecule in {self.source}, got none (no entries behind the "
                                "header); check that it is the right one")
        _, times = np.unique(np.frombuffer(names, np.int64), return_counts=True)
        if more := int((times > 1).sum()):
            self._seen = (f"{more:,} of its ids {'come' if more > 1 else 'comes'} more than once "
                          f"({int(times[times > 1].sum()):,} molecules)")


def open_molecules(source: Any, *, smiles: str | None = None, id: str | None = None) -> MoleculeTable:
    """Opens molecules of any source; only the start of a file is read, all of it when it is iterated.

    Separator (comma, semicolon, tab, bar), encoding, a header that is missing, the column of SMILES and the one of ids
    are found; what was chosen is in ``notes``. An SDF file is scanned once for the names of its properties and for
    titles that come more than once, which become ``title:1``, ``title:2``.

    Args:
        source: Path of a file (:data:`SUFFIXES`, each also ``.gz``), a SMILES, a frame of pandas or Polars, a table of
            Arrow, a dict of lists, a list of SMILES, of RDKit molecules or of :class:`MoleculeRecord`.
        smiles: Column of the SMILES; None: found by its name and content.
        id: Column of the ids; None: found by its name, else the first column of texts that all differ.

    Raises:
        PellucidError: if it is none of these, missing, empty or damaged, or no column has SMILES.

    Example:
        >>> [record.name for record in open_molecules(["CCO", "CCN"])]
        ['molecule-1', 'molecule-2']
    """
    if isinstance(source, MoleculeTable):
        return source
    if isinstance(source, str) and not _means_file(source):
        return _one_smiles(source)
    if isinstance(source, (str, Path)):
        return _of_file(Path(source), smiles, id)
    frame = Frame.of(source)
    if frame is not None:
        return _of_frame(frame, "the table", smiles, id, lambda: _digest_of(frame.rows(), frame.names))
    return _of_list(source)


def _means_file(text: str) -> bool:
    path = Path(text)
    return bool(text.strip()) and (_kind(path) in (*SUFFIXES, *MOLFILES, *_PARQUET, *_OTHER) or _is_there(path))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a long SMILES is no file name
        return False


def _kind(path: Path) -> str:
    """Its suffix, that before ``.gz`` where it is packed, in lower case."""
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def _of_file(path: Path, smiles: str | None, id: str | None) -> MoleculeTable:
    kind = _kind(path)
    if not _is_there(path):
        raise PellucidError(f"expected a file {path}, got nothing there; check the path")
    if path.is_dir():
        raise PellucidError(f"expected a file {path}, got a folder; give a file in it")
    if kind in _OTHER:
        raise PellucidError(f"expected molecules in {path}, got {kind}, {_OTHER[kind]}")
    if kind in _PARQUET:
        return _of_frame(_parquet(path), str(path), smiles, id, lambda: sha256(path))
    if kind not in (*TABLES, *MOLFILES):
        raise PellucidError(f"expected {KINDS}, got {path}; rename or convert it")
    text = TextFile(path)
    if kind in MOLFILES:
        return _of_molfile(MoleculeFile(text, kind == ".mol2"), kind, smiles, id)
    table = TextTable(text, kind, [name for name in (smiles, id) if name])
    rows = table.rows
    return _of_rows(str(path), table.layout.names, column_looks(table.layout), rows, smiles, id,
                    notes=table.layout.notes, read=text.notes, digest=lambda: sha256(path),
                    headless=not table.layout.header, counted="line")


def _parquet(path: Path) -> Frame:
    """The frame of a parquet file; a gzipped one is unpacked, since parquet is not read from its start to its end."""
    with told(path), path.open("rb") as packed:
        if packed.read(2) != b"\x1f\x8b":
            return Frame.of_parquet(path, str(path))
    with contextlib.ExitStack() as stack, told(path):
        out = stack.enter_context(tempfile.TemporaryFile())
        file = stack.enter_context(gzip.open(path))
        while piece := file.read(1 << 20):
            out.write(piece)
            if out.tell() > _UNPACKED:
                raise PellucidError(f"expected at most 4 GiB in {path}, got more; unpack it yourself")
        out.seek(0)
        frame = Frame.of_parquet(out, str(path))
        file.close()
        weakref.finalize(frame, stack.pop_all().close)
        return frame


def _one_smiles(text: str) -> MoleculeTable:
    smiles, name = smiles_and_name(text)
    return MoleculeTable(short(text, 60), lambda: iter([smiles_record(smiles, name, 1)]),
                         lambda: hashlib.sha256(text.encode()).hexdigest())


def _of_molfile(file: MoleculeFile, kind: str, smiles: str | None, id: str | None) -> MoleculeTable:
    path = file.text.path
    if smiles is not None:
        raise PellucidError(f"expected no column of SMILES for {path}, got {smiles!r}: its molecules are drawn; leave "
                            "it out")
    if id is not None:
        id = file.names[place_of(id, file.names, "property of ids")]
    elif not file.titled:
        id = next((name for name in file.names if id_rank(name) == 0), None)
    notes = []
    if id is None and file.repeats:
        notes.append(f"{file.repeats:,} of its titles {'come' if file.repeats > 1 else 'comes'} more than once: such "
                     "molecules are called title:1, title:2 and so on")
    alone = _stem(path) if kind not in (".sdf", ".sd") else ""
    return MoleculeTable(str(path), lambda: file.records(id, alone), lambda: sha256(path), id_column=id, notes=notes,
                         columns=[name for name in file.names if name != id], read=file.text.notes, counted="record")


def _stem(path: Path) -> str:
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).stem


def _of_frame(frame: Frame, source: str, smiles: str | None, id: str | None,
              digest: Callable[[], str]) -> MoleculeTable:
    start = list(itertools.islice(frame.rows(), LOOKED_AT))
    if not start:
        raise PellucidError(f"expected at least one molecule in {source}, got no rows; check that it is the right one")
    notes: list[str] = []
    names = distinct(frame.names, notes)
    drawn = [i for i in range(len(names)) if any(isinstance(row[i], Chem.Mol) for row in start)]
    found = [looks([row[i] if isinstance(row[i], str) else "" for row in start]) for i in range(len(names))]

    def rows() -> Iterator[Row]:
        return (Row(number, list(row)) for number, row in enumerate(frame.rows(), 1))

    if drawn and (names[drawn[0]] == smiles or (smiles is None and not any(one.smiles for one in found))):
        smiles = names[drawn[0]]
        notes.append(f"the column {smiles!r} holds RDKit molecules, which are taken")
    types = {name: kind for name, kind in zip(names, frame.types(), strict=True) if kind is not None}
    return _of_rows(source, names, found, rows, smiles, id, notes=notes, digest=digest, counted="row", types=types)


def _of_rows(source: str, names: Sequence[str], found: Sequence[Any], rows: Callable[[], Iterator[Row]],
             smiles: str | None, id: str | None, *, notes: Sequence[str], digest: Callable[[], str],
             read: Mapping[str, None] | None = None, headless: bool = False, counted: str,
             types: Mapping[str, pa.DataType] | None = None) -> MoleculeTable:
    """The table of rows whose columns look as ``found``; ``headless``: the names of columns are ours."""
    at, said = find_smiles(names, found, smiles)
    spaced = headless and tuple(names) == SPACED
    if at is None and (spaced or (len(names) <= 2 and found[0].parsed == 1 and (headless or found[0].different))):
        at = 0  # small molecules, whose SMILES are no more than words
    if at is None:
        raise PellucidError(f"expected a column of SMILES in {source}, got {', '.join(names[:12])}"
                            + (f" and {len(names) - 12} more" if len(names) > 12 else "")
                            + ", none of which holds SMILES; name it (--smiles NAME)")
    named = 1 if spaced and at == 0 and id is None else find_id(names, found, at, id)
    kept = [i for i in range(len(names)) if i not in (at, named)]
    keys, ends = [names[i] for i in kept], len(names)

    def entries() -> Iterator[MoleculeRecord]:
        for place, row in enumerate(rows(), 1):
            cells = row.cells if len(row.cells) >= ends else [*row.cells, *[""] * (ends - len(row.cells))]
            given = "" if named is None else str(cells[named])
            name = given or f"molecule-{place}"
            if row.error:
                yield MoleculeRecord(name, row.number, "", None, error=row.error, values=dict.fromkeys(keys, ""))
                continue
            values = {key: _text(cells[i]) for key, i in zip(keys, kept, strict=True)}
            if isinstance(cells[at], str):
                yield smiles_record(cells[at], name, row.number, values, row.notes)
            else:
                yield _of_mol(cells[at], given, row.number, values)

    return MoleculeTable(source, entries, digest, columns=keys, smiles_column=names[at], notes=[*notes, *said],
                         id_column=None if named is None else names[named], read=read, counted=counted, types=types)


def _text(value: Any) -> str:
    """A cell as text; a drawn molecule that is not the one asked for is left out."""
    return value if isinstance(value, str) else "" if isinstance(value, Chem.Mol) else str(value)


def _of_list(source: Any) -> MoleculeTable:
    for way in ("tolist", "to_list", "to_pylist"):  # a column of pandas, NumPy, Polars or Arrow
        if hasattr(source, way):
            source = getattr(source, way)()
            break
    if isinstance(source, Chem.Mol):
        source = [source]
    wanted = "a SMILES, a file, a frame, or a list of SMILES, RDKit molecules or MoleculeRecord"
    if isinstance(source, (str, bytes)) or not isinstance(source, Sequence):
        raise PellucidError(f"expected {wanted}, got {type(source).__name__}")
    if not source:
        raise PellucidError(f"expected {wanted}, got an empty list")
    if isinstance(source[0], Mapping):
        raise PellucidError("expected a dict of lists, got a list of dicts; turn it round")
    entries = list(source)
    for at, one in enumerate(entries):
        if not isinstance(one, (str, Chem.Mol, MoleculeRecord)) and cell(one) != "":
            raise PellucidError(f"expected {wanted}, got {type(one).__name__} at place {at}")
    if all(isinstance(one, MoleculeRecord) for one in entries):
        columns = list(dict.fromkeys(name for record in entries for name in record.values))
        filled = [record if list(record.values) == columns else replace(
            record, values={name: record.values.get(name, "") for name in columns}) for record in entries]
        return MoleculeTable("the list of records", lambda: iter(filled), lambda: _digest_of(filled), columns=columns)
    if any(isinstance(one, MoleculeRecord) for one in entries):
        raise PellucidError(f"expected {wanted}, got records among others")
    props = [_props(one) if isinstance(one, Chem.Mol) else {} for one in entries]
    columns = list(dict.fromkeys(itertools.chain.from_iterable(props)))

    def records() -> Iterator[MoleculeRecord]:
        for number, (one, given) in enumerate(zip(entries, props, strict=True), 1):
            values = {name: given.get(name, "") for name in columns}
            if isinstance(one, str):
                smiles, name = smiles_and_name(one)
                yield smiles_record(smiles, name, number, values)
            else:
                yield _of_mol(one, "", number, values)

    return MoleculeTable("the list", records, lambda: _digest_of(entries), columns=columns)


def _props(mol: Chem.Mol) -> dict[str, str]:
    """What a user wrote on a molecule, its title left out."""
    return {name: str(cell(value)) for name, value in mol.GetPropsAsDict(False, False).items()}


def _of_mol(mol: Any, name: str, number: int, values: Mapping[str, str]) -> MoleculeRecord:
    """The record of a user's RDKit molecule, which stays as it is."""
    if not isinstance(mol, Chem.Mol):
        return MoleculeRecord(name or f"molecule-{number}", number, "", None, values=values,
                              error="it is no molecule (None), as RDKit gives for what it cannot read")
    name = name or (mol.GetProp("_Name").strip() if mol.HasProp("_Name") else "") or f"molecule-{number}"
    notes = (f"it has {mol.GetNumConformers()} conformers, of which the first is taken",
             ) if mol.GetNumConformers() > 1 else ()
    made, reason = None, ""
    with rdBase.BlockLogs():
        try:
            made = Chem.RemoveHs(mol)
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else "RDKit refuses it"
    return molecule_record(made, reason, name, number, values, notes, zero_bonds=True)


def _digest_of(entries: Iterable[Any], names: Sequence[str] = ()) -> str:
    """SHA-256 of rows, SMILES, molecules or records."""
    found = hashlib.sha256(repr(tuple(names)).encode())
    for entry in entries:
        parts = entry if isinstance(entry, tuple) else (entry,)
        if isinstance(entry, MoleculeRecord):
            parts = (entry.name, entry.smiles, entry.mol, entry.posed, *itertools.chain(*entry.values.items()))
        for part in parts:
            found.update(part.ToBinary(Chem.PropertyPickleOptions.AllProps) if isinstance(part, Chem.Mol)
                         else repr(part).encode())
            found.update(b"\0")
    return found.hexdigest()
