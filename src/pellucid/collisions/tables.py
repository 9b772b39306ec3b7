"""Hits from files: CSV (TrackML's too), parquet, ROOT, and pickles of the published archives."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pyarrow import ArrowException, csv, parquet

from pellucid.clouds import PointClouds
from pellucid.collisions.columns import MILLIMETRES, Columns
from pellucid.collisions.pickles import read_pickle
from pellucid.errors import MissingPackageError, PellucidError

Table = dict[str, NDArray[np.generic]]
"""Columns of equal length."""
ENTRY = "(entry)"
"""Name of the column that numbers the entries of a jagged table."""
SUFFIXES = (".csv", ".csv.gz", ".parquet", ".root", ".pkl")
TRUTH = re.compile(r"-hits(?=\.csv)")


def hit_files(path: Path) -> list[Path]:
    """The files of hits behind a path, sorted by name: the file itself, or those of a folder.

    Raises:
        PellucidError: if nothing is there, or nothing of a known kind.
    """
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.name.endswith(SUFFIXES) and not f.name.startswith("."))
        hits = [f for f in files if TRUTH.search(f.name)]
        files = hits or files  # beside TrackML's hits stand cells, particles and truth
        if not files:
            raise PellucidError(f"expected files of hits in {path}, got none that end in {', '.join(SUFFIXES)}")
        return files
    if not path.is_file():
        raise PellucidError(f"expected a file or folder of hits, got {path}, which does not exist; check the path")
    if not path.name.endswith(SUFFIXES):
        raise PellucidError(f"expected hits as {', '.join(SUFFIXES)}, got {path.name}; convert the file")
    return [path]


def read_table(path: Path, columns: Columns, *, trust: bool = False) -> Table:
    """The wanted columns of one file, flat: one row a hit.

    A jagged table (ROOT, parquet, pickle: one entry an event, lists of hits in it) is flattened; its numbers an event
    are repeated for each hit, and a column :data:`ENTRY` numbers the entries.

    Args:
        path: The file.
        columns: What to read.
        trust: Load any pickle; see :func:`pellucid.collisions.pickles.read_pickle`.

    Raises:
        PellucidError: if it cannot be read, is empty, or a column is missing.
    """
    wanted = columns.wanted()
    if path.name.endswith(".root"):
        table = _root(path, columns)
    elif path.name.endswith(".pkl"):
        table = read_pickle(path, trust=trust)
    else:
        table = _arrow(path)
        truth = path.with_name(TRUTH.sub("-truth", path.name))
        if truth != path and truth.is_file():
            table = _merged(table, _arrow(truth), path)
    _require(path, wanted, table)
    flat = _flat(path, {name: table[name] for name in wanted})
    if not len(next(iter(flat.values()))):
        raise PellucidError(f"expected hits in {path}, got an empty table")
    return flat


def _require(path: Path, wanted: Iterable[str], found: Iterable[str]) -> None:
    found = list(found)
    missing = [name for name in wanted if name not in found]
    if missing:
        near = difflib.get_close_matches(missing[0], found, n=2)
        raise PellucidError(f"expected the column{'s' if len(missing) > 1 else ''} {', '.join(missing)} in {path}, got "
                            f"{', '.join(found) or 'none'}" + (f"; did you mean {' or '.join(near)}?" if near else
                                                               "; name the columns in a mapping"))


def _arrow(path: Path) -> Table:
    try:
        table = parquet.read_table(path) if path.suffix == ".parquet" else csv.read_csv(path)
    except (ArrowException, OSError) as error:
        raise PellucidError(f"expected a table in {path}, got {' '.join(str(error).split())[:200]}; check the "
                            "file") from None
    return {name: column.to_numpy(zero_copy_only=False) if not hasattr(column, "combine_chunks")
            else column.to_numpy() for name, column in zip(table.column_names, table.columns, strict=True)}


def _merged(hits: Table, truth: Table, path: Path) -> Table:
    """Joins TrackML's truth to its hits by hit_id."""
    _require(path, ["hit_id"], hits)
    order = np.argsort(truth["hit_id"])
    place = np.searchsorted(truth["hit_id"][order], hits["hit_id"])
    if (place >= len(order)).any() or (truth["hit_id"][order][place] != hits["hit_id"]).any():
        raise PellucidError(f"expected the truth of each hit beside {path}, got some hits without; the two files do "
                            "not belong together")
    return {**{name: column[order][place] for name, column in truth.items()}, **hits}


def _root(path: Path, columns: Columns) -> Table:
    try:
        import uproot
    except ImportError:
        raise MissingPackageError("expected uproot for ROOT files, got none; pip install "
                                  "'pellucid[collisions]'") from None
    try:
        with uproot.open(path) as file:
            trees = {name.split(";")[0] for name, kind in file.classnames().items()
                     if kind in ("TTree", "ROOT::RNTuple")}
            if columns.tree is None and len(trees) != 1:
                raise PellucidError(f"expected one tree in {path}, got {', '.join(sorted(trees)) or 'none'}; say tree: "
                                    "in the mapping")
            name = columns.tree or next(iter(trees))
            if name not in trees:
                raise PellucidError(f"expected the tree {name} in {path}, got {', '.join(sorted(trees)) or 'none'}")
            tree = file[name]
            _require(path, columns.wanted(), tree.keys())
            return dict(tree.arrays(columns.wanted(), library="np"))
    except PellucidError:
        raise
    except Exception as error:  # uproot raises what the bytes of a damaged file happen to cause
        raise PellucidError(f"expected a ROOT file in {path}, got {type(error).__name__}: "
                            f"{' '.join(str(error).split())[:150]}; check the file") from None


def _flat(path: Path, table: Table) -> Table:
    lists = {name for name, column in table.items() if column.dtype == object and len(column)
             and isinstance(column[0], (np.ndarray, list, tuple))}
    if not lists:
        return table
    sizes = {name: np.array([len(entry) for entry in table[name]]) for name in sorted(lists)}
    first, size = next(iter(sizes.items()))
    for name, other in sizes.items():
        if not np.array_equal(size, other):
            entry = int(np.flatnonzero(size != other)[0])
            raise PellucidError(f"expected lists of equal length in each entry of {path}, got {size[entry]} {first} "
                                f"and {other[entry]} {name} in entry {entry}")
    flat = {name: np.concatenate([np.asarray(entry) for entry in column]) if name in lists else np.repeat(column, size)
            for name, column in table.items()}
    return {**flat, ENTRY: np.repeat(np.arange(len(size)), size)}


def read_hits(path: Path, columns: Columns, *, trust: bool = False) -> PointClouds:
    r"""Events as point clouds: one cloud an event, in the order of files and then of their event numbers.

    Args:
        path: A file or a folder of files.
        columns: What their columns mean.
        trust: Load any pickle; see :func:`pellucid.collisions.pickles.read_pickle`.

    Returns:
        Clouds with ``pos`` (mm, or eta and phi in radians) and what else the mapping names: ``momentum``,
        ``important``, ``group`` (track within the event, -1 = none), ``layer``, ``features``, ``y``, ``split``; text
        ``id``.

    Raises:
        PellucidError: one sentence: what cannot be read, which column is missing, where a value is no number, which
            event's label varies.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "hits.csv"
        >>> _ = file.write_text("event,x,y,z,signal\n7,1,0,0,1\n7,2,0,0,1\n9,0,3,1,0\n")
        >>> clouds = read_hits(file, Columns(event="event", pos=("x", "y", "z"), label="signal", unit="cm"))
        >>> clouds.pos[:, 0].tolist(), clouds["y"][:, 0].tolist(), clouds.text["id"]
        ([10.0, 20.0, 0.0], [1.0, 0.0], ['hits-7', 'hits-9'])
    """
    parts: list[Table] = []
    numbers: list[NDArray[np.int64]] = []
    names: list[str] = []
    for file in hit_files(path):
        table = read_table(file, columns, trust=trust)
        rows = len(next(iter(table.values())))
        number = table[columns.event] if columns.event else table.get(ENTRY, np.zeros(rows, dtype=np.int64))
        values, place = np.unique(number, return_inverse=True)
        stem = file.name.removesuffix(".gz").rsplit(".", 1)[0]
        single = columns.event is None and ENTRY not in table
        numbers.append(place.ravel() + len(names))
        names += [stem] if single else [f"{stem}-{value}" for value in values]
        parts.append(table)
    cloud = np.concatenate(numbers)
    order = np.argsort(cloud, kind="stable")
    cloud = cloud[order]
    table = {name: np.concatenate([part[name] for part in parts])[order] for name in columns.wanted()}
    return _clouds(table, cloud, names, columns)


def _clouds(table: Table, cloud: NDArray[np.int64], names: list[str], columns: Columns) -> PointClouds:
    def numbers(name: str) -> NDArray[np.float64]:
        try:
            values = table[name].astype(np.float64)
        except (TypeError, ValueError):
            raise PellucidError(f"expected numbers in the column {name}, got {table[name].dtype} values such as "
                                f"{table[name][0]!r}") from None
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise PellucidError(f"expected numbers in the column {name}, got NaN or infinity in {len(bad)} of "
                                f"{len(values)} hits, first in event {names[cloud[bad[0]]]}; remove those hits")
        return values

    def whole(name: str, allowed: tuple[int, ...]) -> NDArray[np.float64]:
        values = numbers(name)
        bad = np.flatnonzero(~np.isin(values, allowed))
        if len(bad):
            raise PellucidError(f"expected {' or '.join(map(str, allowed))} in the column {name}, got "
                                f"{values[bad[0]]:g} in event {names[cloud[bad[0]]]}")
        return values

    def of_event(name: str, allowed: tuple[int, ...]) -> NDArray[np.float64]:
        values = whole(name, allowed)
        first = values[np.searchsorted(cloud, np.arange(len(names)))]
        vary = np.flatnonzero(values != first[cloud])
        if len(vary):
            raise PellucidError(f"expected one {name} for each event, got several in event {names[cloud[vary[0]]]}")
        return first

    def stacked(wanted: Iterable[str]) -> torch.Tensor:
        return torch.from_numpy(np.stack([numbers(name) for name in wanted], 1).astype(np.float32))

    pos = np.stack([numbers(name) for name in columns.pos], 1) * MILLIMETRES.get(columns.unit, 1.0)
    if columns.dim == 2 and columns.angle_unit == "degree":
        pos[:, 1] = np.radians(pos[:, 1])
    fields = {"pos": torch.from_numpy(pos.astype(np.float32))}
    if columns.momentum:
        fields["momentum"] = stacked(columns.momentum)
    if columns.important:
        fields["important"] = torch.from_numpy(whole(columns.important, (0, 1)) == 1)
    if columns.track:
        fields["group"] = torch.from_numpy(_track_numbers(table[columns.track], cloud))
    if columns.layer:
        keys = np.stack([numbers(name) for name in columns.layer], 1)
        fields["layer"] = torch.from_numpy(np.unique(keys, axis=0, return_inverse=True)[1].ravel())
    if columns.features:
        fields["features"] = stacked(columns.features)
    if columns.label:
        fields["y"] = torch.from_numpy(of_event(columns.label, (0, 1)).astype(np.float32))[:, None]
    if columns.split:
        fields["split"] = torch.from_numpy(of_event(columns.split, (0, 1, 2)).astype(np.int64))
    ptr = np.searchsorted(cloud, np.arange(len(names) + 1))
    return PointClouds(torch.from_numpy(ptr), fields, text={"id": names}, units={"pos": columns.unit})


def _track_numbers(track: NDArray[np.generic], cloud: NDArray[np.int64]) -> NDArray[np.int64]:
    """(hits,) 0, 1, ... within each event; -1 where the number is not positive."""
    code = np.unique(track, return_inverse=True)[1].ravel()
    real = np.ones(len(track), dtype=bool)
    if np.issubdtype(track.dtype, np.number):
        real = np.asarray(track, dtype=np.float64) > 0
    pairs, place = np.unique(np.stack([cloud[real], code[real]], 1), axis=0, return_inverse=True)
    first = np.searchsorted(pairs[:, 0], pairs[:, 0])
    result = np.full(len(track), -1)
    result[real] = (np.arange(len(pairs)) - first)[place.ravel()]
    return result
