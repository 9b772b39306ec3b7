"""The original files of SynMol ("logic8" of the graph-attribution benchmark), read without trusting their pickles."""

from __future__ import annotations

import csv
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DamagedFileError, PellucidError
from pellucid.files import sha256
from pellucid.pickled import Refused, array_of, load

FILES = ("logic8_smiles.csv", "logic8_traintest_indices.npz", "true_raw_attribution_datadicts.npz", "x_true.npz",
         "y_true.npz")


@dataclass(frozen=True)
class Logic8:
    """The original release.

    Attributes:
        ids: ZINC identifiers, not all distinct.
        smiles: One a molecule.
        labels: (molecules,) bool.
        types: (atoms,) index of the atom type, for each molecule.
        important: (atoms,) bool, for each molecule.
        train: Rows of the training (and validation) part, as stored.
        test: Rows of the test part.
    """

    ids: list[str]
    smiles: list[str]
    labels: NDArray[np.bool_]
    types: list[NDArray[np.int64]]
    important: list[NDArray[np.bool_]]
    train: NDArray[np.int64]
    test: NDArray[np.int64]


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each original file.

    Raises:
        PellucidError: if one is missing.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise PellucidError(f"expected the file {name} in {folder}, got nothing there; source_dir is the folder "
                                "data/logic8 of the repository google-research/graph-attribution")
    return {name: sha256(folder / name) for name in FILES}


def read_logic8(folder: Path) -> Logic8:
    """Reads the five original files.

    Raises:
        PellucidError: if one is missing.
        DamagedFileError: if one cannot be read or they do not fit together.
    """
    checksums(folder)
    try:
        with (folder / FILES[0]).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))  # its column `label` belongs to another task and is not the truth
        ids, smiles = [row["mol_id"] for row in rows], [row["smiles"] for row in rows]
        train = np.asarray(read_npz(folder / FILES[1], "train_index"), dtype=np.int64)
        test = np.asarray(read_npz(folder / FILES[1], "test_index"), dtype=np.int64)
        truth = [one["nodes"] for one in _dicts(folder / FILES[2])]
        nodes = [one["nodes"] for one in _dicts(folder / FILES[3])]
        y = np.asarray(read_npz(folder / FILES[4], "y")).reshape(-1)
        labels = y == 1
        fits = len(smiles) == len(truth) == len(nodes) == len(labels) == len(train) + len(test)
        if not fits or sorted([*train, *test]) != list(range(len(smiles))) or not np.isin(y, (0, 1)).all():
            raise ValueError("their lengths or values do not fit together")
        # The last column is the union of all matches, the others are alternative explanations.
        important = [np.asarray(one)[:, -1] == 1 for one in truth]
        types = [np.asarray(one).argmax(1) for one in nodes]
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, EOFError, OSError, pickle.UnpicklingError,
            zipfile.BadZipFile) as error:
        raise DamagedFileError(f"expected the original logic8 files in {folder}, got unreadable ones ({error}); fetch "
                               "them again") from error
    return Logic8(ids, smiles, labels, types, important, train, test)


def _dicts(path: Path) -> list[dict[str, Any]]:
    return list(read_npz(path, "datadict_list").reshape(-1))


def read_npz(path: Path, key: str) -> NDArray[Any]:
    """One array of an ``.npz`` file, also of dtype object, without running code that the file might carry.

    Raises:
        KeyError: if there is no such array.
        pickle.UnpicklingError: if the pickle wants anything but NumPy arrays, or is damaged.
        ValueError: if it is damaged in another way.
    """
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        try:
            if not dtype.hasobject:
                return array_of(file.read(), dtype, shape, "F" if fortran else "C")
            array = load(file)
        except Refused as error:
            raise pickle.UnpicklingError(f"expected arrays of plain data in {path}, got one that wants {error}, which "
                                         "is not data; fetch the file again") from None
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{key} is not an array")
        return array.reshape(shape)
