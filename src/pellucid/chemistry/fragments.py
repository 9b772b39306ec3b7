"""Functional groups by name: SMARTS patterns and the atoms they match."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from rdkit import Chem, rdBase

from pellucid.errors import PellucidError


@dataclass(frozen=True)
class Fragment:
    """A functional group.

    Attributes:
        name: How it is called in options and reports.
        smarts: The pattern.
        about: One line.
    """

    name: str
    smarts: str
    about: str


FRAGMENTS: dict[str, Fragment] = {
    f.name: f
    for f in (
        Fragment("alkane", "[R0;D2,D1][R0;D2][R0;D2,D1]", "unbranched chain of three atoms of any element"),
        Fragment("carbonyl", "[CX3]=O", "carbon with three neighbours, doubly bonded to oxygen"),
    )
}
"""Fragments by name. Source of both: the graph-attribution benchmark (Sanchez-Lengeling et al., NeurIPS 2020)."""


@functools.lru_cache(maxsize=256)
def _pattern(smarts: str) -> Chem.Mol:
    with rdBase.BlockLogs():
        pattern = Chem.MolFromSmarts(smarts)
    if pattern is None or pattern.GetNumAtoms() == 0:
        raise PellucidError(f"expected a SMARTS pattern or one of {', '.join(FRAGMENTS)}, got {smarts!r}; mend the "
                            "pattern")
    return pattern


def matched_atoms(mol: Chem.Mol, smarts: str) -> set[int]:
    """The atoms that belong to any match of a pattern.

    Args:
        mol: RDKit molecule.
        smarts: SMARTS, or the name of one of :data:`FRAGMENTS`.

    Returns:
        Union of all matches, as atom indices of ``mol``; empty where there is no match.

    Raises:
        PellucidError: if the pattern is not SMARTS.

    Example:
        >>> sorted(matched_atoms(Chem.MolFromSmiles("CC(=O)c1ccccc1"), "carbonyl"))
        [1, 2]
    """
    return {atom for match in matches(mol, smarts) for atom in match}


def matches(mol: Chem.Mol, smarts: str, *, chirality: bool = False) -> tuple[tuple[int, ...], ...]:
    """The matches of a pattern one by one, each a tuple of atoms.

    Args:
        mol: As for :func:`matched_atoms`.
        smarts: Likewise.
        chirality: Whether the stereo marks of the pattern count.
    """
    known = FRAGMENTS.get(smarts)
    pattern = _pattern(known.smarts if known else smarts)
    found = _matches(mol, pattern, chirality)
    # RDKit catches Ctrl-C in a search and returns what it has, without a word.
    if found != _matches(mol, pattern, chirality):
        raise KeyboardInterrupt
    return found


def _matches(mol: Chem.Mol, pattern: Chem.Mol, chirality: bool) -> tuple[tuple[int, ...], ...]:
    # RDKit stops at 1,000 matches by default, which can cut a large molecule short.
    return tuple(mol.GetSubstructMatches(pattern, maxMatches=100_000, useChirality=chirality))
