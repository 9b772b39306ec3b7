"""Lists of protein-ligand complexes with measured affinities: PDBbind, an index of a folder, or your own CSV."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pellucid.datasets.affinities import Affinity, affinity_column, molar, read_index
from pellucid.errors import PellucidError

SOURCES = ("folder", "pdbbind", "csv")
INDEX = "index.csv"
PDBBIND_INDEXES = ("INDEX_general_PL_data.*", "INDEX_general_PL.*", "INDEX_refined_data.*", "INDEX_refined_set.*")
"""Index files of PDBbind; the first that is there is read."""
FILES = ("protein_file", "ligand_file")
SHARED_COLUMNS = ("id", "tier", "affinity_type", "relation", "kd_nM", "year", "protein_cluster", "source_license")
"""Columns of a folder's index besides :data:`FILES`."""


@dataclass(frozen=True)
class Listed:
    """A complex before its files are read.

    Attributes:
        name: Its identifier, different from all others.
        protein: Structure file.
        ligands: Files of the same ligand, in the order in which they are tried.
        affinity: As measured.
        cluster: Of the protein, where the list has it.
        year: Of the release, where the list has it.
        tier: ``"crystal"`` or ``"modelled"``, where the list has it.
        licence: Of this complex, where the list has it.
    """

    name: str
    protein: Path
    ligands: tuple[Path, ...]
    affinity: Affinity
    cluster: int | None = None
    year: int | None = None
    tier: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Failed:
    """A complex that cannot be used.

    Attributes:
        name: Its identifier.
        step: Where it failed: ``"table"``, ``"affinity"``, ``"files"``, ``"structure"`` or ``"split"``.
        reason: Why.
    """

    name: str
    step: str
    reason: str


@dataclass
class ComplexList:
    """What a source lists.

    Attributes:
        source: One of :data:`SOURCES`.
        index: Name of the file that was read.
        listed: Complexes whose files are there and whose affinity could be read.
        failed: The others.
    """

    source: str
    index: str
    listed: list[Listed] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)


def read_complexes(place: Path, source: str | None = None) -> ComplexList:
    """Reads the list of complexes of a folder or a file.

    Args:
        place: A folder as PDBbind is unpacked to; a folder with ``index.csv`` (columns :data:`FILES` and
            :data:`SHARED_COLUMNS`); or a ``.csv`` file of one's own with :data:`FILES`, an affinity (see
            :func:`~pellucid.datasets.affinities.affinity_column`) and, if known, ``id``, ``year`` and
            ``protein_cluster``. Paths in a table are relative to its folder.
        source: ``"folder"``, ``"pdbbind"`` or ``"csv"``; None looks at what is there.

    Returns:
        The complexes, and those that are left out, each with its reason.

    Raises:
        PellucidError: if the place is missing or of another kind, or its table lacks a column.
    """
    kind = source or _kind(place)
    if kind == "pdbbind":
        return _read_pdbbind(place)
    path = place / INDEX if kind == "folder" else place
    if not path.is_file():
        raise PellucidError(f"expected the file {path} with source={kind!r}, got nothing there; give the "
                            f"{'folder that holds it' if kind == 'folder' else '.csv file itself'}")
    return _read_table(path, kind)


def _kind(place: Path) -> str:
    if place.is_file() and place.suffix.lower() == ".csv":
        return "csv"
    if place.is_dir() and (place / INDEX).is_file():
        return "folder"
    if place.is_dir() and _pdbbind_index(place) is not None:
        return "pdbbind"
    found = "nothing there" if not place.exists() else "another file" if place.is_file() else "a folder without either"
    raise PellucidError(f"expected a folder with {INDEX}, PDBbind's folder with index/{PDBBIND_INDEXES[0]}, or a .csv "
                        f"file in {place}, got {found}; give the folder that holds the index")


# -- PDBbind ----------------------------------------------------------------------------------------------------------
def _pdbbind_index(place: Path) -> Path | None:
    for pattern in PDBBIND_INDEXES:
        for around in ("", "index/", "*/index/"):
            if found := sorted(place.glob(around + pattern)):
                return found[0]
    return None


def _read_pdbbind(place: Path) -> ComplexList:
    index = _pdbbind_index(place)
    if index is None:
        raise PellucidError(f"expected PDBbind's index/{PDBBIND_INDEXES[0]} in {place}, got none; unpack the index "
                            "archive of the same release there")
    result = ComplexList("pdbbind", index.name)
    # The folders of complexes are nested differently in each release (refined-set, v2020-other-PL, P-L/2001-2010).
    proteins = {path.name.removesuffix("_protein.pdb"): path for path in sorted(place.rglob("*_protein.pdb"))}
    lines = read_index(index)
    check_distinct([line.code for line in lines], index)
    for line in lines:
        protein = proteins.get(line.code)
        if line.affinity is None:
            result.failed.append(Failed(line.code, "affinity", line.reason))
        elif protein is None:
            result.failed.append(Failed(line.code, "files", f"no {line.code}_protein.pdb"))
        else:
            ligands = tuple(path for suffix in ("sdf", "mol2")
                            if (path := protein.with_name(f"{line.code}_ligand.{suffix}")).is_file())
            if ligands:
                result.listed.append(Listed(line.code, protein, ligands, line.affinity, year=line.year))
            else:
                result.failed.append(Failed(line.code, "files", f"no {line.code}_ligand.sdf or .mol2"))
    return result


# -- tables -----------------------------------------------------------------------------------------------------------
def _read_table(path: Path, source: str) -> ComplexList:
    rows = table_rows(path)
    columns = list(rows[0])
    needed = FILES if source == "csv" else (*FILES, *SHARED_COLUMNS)
    if missing := [name for name in needed if name not in columns]:
        raise PellucidError(f"expected the columns {', '.join(needed)} in {path}, got no {', '.join(missing)} among "
                            f"{', '.join(columns)}; rename or add columns")
    if source == "csv":
        column, read = affinity_column(columns)

        def affinity(row: dict[str, str]) -> Affinity:
            return read(row[column])
    else:
        def affinity(row: dict[str, str]) -> Affinity:
            return Affinity(row["affinity_type"], row["relation"], molar(row["kd_nM"], "nM"))

    result = ComplexList(source, path.name)
    names = [row.get("id", "") or f"row-{number}" for number, row in enumerate(rows, 1)]
    check_distinct(names, path)
    for name, row in zip(names, rows, strict=True):
        files = [path.parent / row[column] for column in FILES]
        absent = [column for column, file in zip(FILES, files, strict=True) if not (row[column] and file.is_file())]
        step = "files"
        try:
            if absent:
                raise PellucidError(f"expected a file in {absent[0]}, got {row[absent[0]] or 'none'}")
            step = "affinity"
            measured = affinity(row)
            step = "table"
            cluster = _whole(row, "protein_cluster")
            if "protein_cluster" in columns and cluster is None:
                raise PellucidError("expected a protein_cluster in every row or no such column, got none")
            result.listed.append(Listed(
                name, files[0], (files[1],), measured, cluster, _whole(row, "year"), row.get("tier", ""),
                row.get("source_license", "")))
        except PellucidError as error:
            result.failed.append(Failed(name, step, str(error)))
    return result


def table_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a table in CSV, column -> cell, without spaces around them.

    Raises:
        PellucidError: if it cannot be read or has no rows.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            rows = [{str(name).strip(): str(cell).strip() for name, cell in row.items()} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PellucidError(f"expected comma-separated UTF-8 text in {path}, got a problem ({error}); convert "
                            "it") from error
    if not rows:
        raise PellucidError(f"expected rows of complexes in {path}, got none; check that it is the right file")
    return rows


def _whole(row: dict[str, str], column: str) -> int | None:
    text = row.get(column, "")
    if not text:
        return None
    try:
        value = float(text)  # tables with gaps write 1998.0
    except ValueError:
        value = float("nan")
    if not value.is_integer():
        raise PellucidError(f"expected a whole number in {column}, got {text!r}")
    return int(value)


def check_distinct(names: list[str], path: Path) -> None:
    """Raises PellucidError where two complexes have one name."""
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise PellucidError(f"expected different names of complexes in {path}, got {twice!r} twice; keep one of them")
