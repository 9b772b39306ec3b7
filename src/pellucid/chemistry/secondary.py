"""Helices, strands and loops of proteins: groups of residues that a structural biologist has a name for."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.chemistry.proteins import PEPTIDE_BOND, Protein
from pellucid.clouds import FIELDS, Field, PointClouds
from pellucid.errors import MissingPackageError

FIELD = "secondary_structure"
"""The field of these groups; see :meth:`pellucid.explanation.Explanation.groups`."""
FIELDS.setdefault(FIELD, Field("point", "int", (), "", "helix, strand or loop; unique within a cloud"))

KINDS = ("loop", "helix", "strand")
_BACKBONE = ("N", "CA", "C", "O")
_APART = 5
"""Rows at a gap: the longest turn of DSSP spans five residues."""
_NOBODY = np.array([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [2.0, 1.4, 0.0], [1.3, 2.4, 0.0]])  # angstrom, as _BACKBONE
_AT_ONCE = 1500
"""Residues whose pairs are looked at together, some 10 bytes each; larger proteins go chain by chain."""


def secondary_structure(protein: Protein) -> tuple[NDArray[np.int64], list[str]]:
    """Divides a protein into helices, strands and the loops between them, along its chains.

    An element ends where the kind changes, at the end of a chain and at a gap (no peptide bond). A residue without all
    of N, CA, C and O makes no hydrogen bond. In proteins of more than 1,500 residues strands that pair with another
    chain's are not found.

    Args:
        protein: Residues.

    Returns:
        (n,) element of each residue, numbered in the order of the residues from 0; names of the elements, such as
        ``A:helix 83-109``.

    Raises:
        MissingPackageError: if MDAnalysis, which ProLIF brings, is not installed.

    Source: DSSP's rules (Kabsch & Sander, Biopolymers 22, 2577 (1983)) in three states, by MDAnalysis' pydssp.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rdkit import Chem
        >>> from rdkit.Chem import AllChem
        >>> peptide = Chem.AddHs(Chem.MolFromSequence("GSG"))
        >>> _ = AllChem.EmbedMolecule(peptide, randomSeed=1)
        >>> from pellucid.chemistry.proteins import read_protein
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "tiny.pdb"
        ...     _ = path.write_text(Chem.MolToPDBBlock(peptide))
        ...     secondary_structure(read_protein(path))
        (array([0, 0, 0]), ['A:loop 1-3'])
    """
    backbone = _backbone(protein)
    joined = _joined(protein, backbone)
    rows = np.arange(len(backbone))
    chains = [np.array(list(own)) for _, own in groupby(rows.tolist(), key=lambda row: protein.chain[row])]
    parts = [rows] if len(rows) <= _AT_ONCE else chains
    kinds = np.concatenate([_kinds(protein, backbone, joined, part) for part in parts])
    starts = np.ones(len(kinds), dtype=bool)
    starts[1:] = (kinds[1:] != kinds[:-1]) | ~joined[1:]
    places = [f"{number}{code}" for number, code in zip(protein.number, protein.insertion, strict=True)]
    names = []
    for first, end in pairwise([*np.flatnonzero(starts).tolist(), len(kinds)]):
        span = places[first] if end == first + 1 else f"{places[first]}-{places[end - 1]}"
        names.append(f"{protein.chain[first]}:{KINDS[kinds[first]]} {span}")
    return np.cumsum(starts) - 1, names


def with_secondary_structure(clouds: PointClouds, proteins: Sequence[Protein]) -> PointClouds:
    """The clouds with the field ``secondary_structure`` and the names of its elements.

    Args:
        clouds: Of these proteins, a residue a point.
        proteins: In the order of the clouds.

    Raises:
        MissingPackageError: see :func:`secondary_structure`.
    """
    found = [secondary_structure(protein) for protein in proteins]
    elements = torch.from_numpy(np.concatenate([element for element, _ in found]))
    names = [json.dumps(names) for _, names in found]
    return PointClouds(clouds.ptr, {name: clouds[name] for name in clouds.names} | {FIELD: elements},
                       text=clouds.text | {f"{FIELD}_names": names}, declared=clouds.declared,
                       edge_ptr=clouds.edge_ptr, partner=clouds.partner)


def _backbone(protein: Protein) -> NDArray[np.float64]:
    """(n, 4, 3) of each residue, not a number where an atom is missing."""
    residues = (residue for chain in protein.structure[0] for residue in chain)
    return np.array([[atom.pos.tolist() if (atom := residue.find_atom(name, "*")) else [np.nan] * 3
                      for name in _BACKBONE] for residue in residues])


def _joined(protein: Protein, backbone: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) whether a peptide bond joins a residue to the one before it."""
    joined = np.zeros(len(backbone), dtype=bool)
    apart = np.linalg.norm(backbone[1:, 0] - backbone[:-1, 2], axis=1)
    joined[1:] = (apart < PEPTIDE_BOND) & (np.array(protein.chain[1:]) == np.array(protein.chain[:-1]))
    return joined


def _kinds(protein: Protein, backbone: NDArray[np.float64], joined: NDArray[np.bool_], rows: NDArray[np.int64]
           ) -> NDArray[np.int64]:
    """(rows,) places in :data:`KINDS`."""
    # The library takes neighbouring rows for neighbours in the chain. Rows that nothing is near, and that give no
    # hydrogen, stand at each gap, so that no turn leads over it, and for incomplete residues.
    place = np.arange(len(rows)) + _APART * np.cumsum(~joined[rows])
    size = int(place[-1]) + 1
    complete = np.isfinite(backbone[rows].sum((1, 2)))
    coordinates = np.tile(protein.pos.max(0) + 30 + _NOBODY, (size, 1, 1))
    coordinates[place[complete]] = backbone[rows[complete]]
    donors = np.zeros(size, dtype=bool)  # the amide hydrogen is placed by the residue before; proline has none
    donors[place] = joined[rows] & np.array([protein.residue[row] != "PRO" for row in rows])
    states: NDArray[np.int64] = _assign()(coordinates, donor_mask=donors).argmax(1)  # where both hold, a helix, as DSSP
    return states[place]


def _assign() -> Callable[..., NDArray[np.bool_]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from MDAnalysis.analysis.dssp.pydssp_numpy import assign
    except ImportError:
        raise MissingPackageError("expected MDAnalysis, which finds helices and strands, got none; pip install "
                                  "'pellucid[proteins]'") from None
    return assign  # type: ignore[no-any-return]
