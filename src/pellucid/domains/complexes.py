"""Proteins with their ligands: read from structures, drawn as a trace with contacts, written for PyMOL and ChimeraX."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.clouds import PointClouds
from pellucid.domains.base import Domain, domains, path_of
from pellucid.domains.given import Given
from pellucid.domains.shown import Shown
from pellucid.explanation import Explanation
from pellucid.report.colours import FALSE_COLOUR
from pellucid.report.columns import Column, register_column
from pellucid.report.content import Sticks
from pellucid.report.words import Look, Words

TRACE = 4.5
"""Neighbouring C-alpha atoms of a chain that are closer than this, in angstrom, are joined; 3.8 is usual."""
TOP = 20
"""Residues whose share in the pocket is told; the smaller m of precision@m on PLBind."""
SHOWN = 3
"""Helices and strands that are told."""
CONTACTS = ("–", "hydrophobic", "H-bond", "H-bond, hydrophobic")
"""Kinds of contact between residue and ligand; a place is 1 if hydrophobic, plus 2 with a hydrogen bond."""
CONTACT_COLOURS = (FALSE_COLOUR, "#b08a00", "#1f77d0", "#0a3f86")

ELEMENTS = {"N": "#2f5bd8", "O": "#d8262c", "S": "#c9a400", "P": "#e07000", "F": "#1f9a3a", "Cl": "#1f9a3a",
            "Br": "#8a2b0e", "I": "#6a0dad"}
"""Colours of the ligand's atoms."""
LOOK: Look = {
    "label": "Residue", "index": False, "sort": "importance", "fold": 30, "radii": None, "colours": ELEMENTS,
    "beside": "sticks in the colours of the elements", "near": "Go to the ligand", "lines": "contact", "tubes": True,
    "true_bonds": False, "switch": "true pocket", "switches": "truth", "symbols_caption": "Names",
    "symbols": [{"text": "10 most important", "top": 10},
                {"text": "{points} in contact", "where": "contact", "top": 60}, {"text": "none", "top": 0}],
    "name": "<Chain>:<label><Number>", "extents": "top", "tall": True,
    "truth": {"column": "Pocket", "yes": "inside", "no": "outside",
              "told": ["outside the true pocket", "in the true pocket"], "first": True},
}  # fmt: skip
"""A tube with names, the ligand beside it, lines of contact, the outline of the pocket."""

register_column("contact", Column("Contact", "How the {point} touches the ligand.", CONTACTS, CONTACT_COLOURS))
register_column("distance", Column("Distance (Å)", "The least distance between heavy atoms of the {point} and of the "
                                   "ligand."))


@domains.register("complexes")
class Complexes(Domain):
    """Proteins with their ligands: points are residues; the ligand is the second cloud of a sample."""

    words, look = Words("residue", "complex"), LOOK
    inputs = "the structure of a protein with its ligand, a table of complexes, or a PointClouds"
    parts = ("ligand",)

    def make(self, source: Any, *, options: Mapping[str, Any], seed: int = 0, progress: bool = False,
             ligand: str | Path | None = None, **more: Any) -> Given:
        """See :meth:`Domain.make`.

        Args:
            source: A structure (PDB or mmCIF), or a ``.csv`` with the columns protein_file and ligand_file.
            options: ``preparation`` in it says how the complexes of the run were prepared.
            seed: Of conformers.
            progress: Whether to show a bar.
            ligand: Of a structure: its ligand's ``.sdf`` or ``.mol2``, with the pose in the protein.
            **more: Not used.
        """
        from pellucid.domains.pairs import read_pairs

        complexes, clouds, skipped = read_pairs(path_of(source, self), None if ligand is None else Path(ligand),
                                                options.get("preparation", {}), seed=seed, progress=progress)
        notes = [f"{whole.name}: {note}" for whole in complexes for note in whole.protein.notes]
        return Given(clouds, skipped, notes, complexes)

    def drawn(self, one: Shown) -> dict[str, Any] | None:
        """The trace of the protein, its ligand, pocket and contacts; see :meth:`Domain.drawn`.

        Raises:
            PellucidError: if a mol block does not fit its ligand's points.
        """
        from pellucid.chemistry.encoding import molecule_of
        from pellucid.chemistry.secondary import FIELD
        from pellucid.report.depiction import depict

        data, pos, partner = one.clouds, one.pos, one.clouds.partner
        if not is_complex(data) or pos is None or partner is None:
            return super().drawn(one)
        chain, residue, number = residue_names(json.loads(data.text["group_names"][one.place]))
        hydrogen_bond, hydrophobic = data["hydrogen_bond"][one.rows].numpy(), data["hydrophobic"][one.rows].numpy()
        distance = data["distance"][one.rows].double().numpy()
        mol, smiles = molecule_of(partner, one.place), data.text["ligand_smiles"][one.place]
        atoms = slice(int(partner.ptr[one.place]), int(partner.ptr[one.place + 1]))
        ligand = Sticks("ligand", partner.pos[atoms].double().numpy(), [a.GetSymbol() for a in mol.GetAtoms()],
                        [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b.GetBondTypeAsDouble()) for b in mol.GetBonds()])
        facts = {
            "Ligand": smiles,
            "Residues": f"{len(pos)} in {_counted(len(set(chain)), 'chain')}",
            "Contacts": f"{_counted(int(hydrogen_bond.sum()), 'residue')} with hydrogen bonds, "
                        f"{int(hydrophobic.sum())} with hydrophobic contacts; the closest at {distance.min():.1f} Å",
        }
        strength = one.explanation.strength()[one.rows].double().numpy()
        if one.important is not None:
            facts |= _pocket(one.important, strength, pos)
        if FIELD in data:
            facts["Most important helices and strands"] = _elements(data[FIELD][one.rows].numpy(), strength,
                                                                    json.loads(data.text[f"{FIELD}_names"][one.place]))
        return {"labels": residue, "bonds": trace(pos, chain), "facts": facts, "sticks": ligand,
                "columns": {"contact": hydrophobic + 2.0 * hydrogen_bond, "distance": distance},
                "views": {"Ligand": depict(mol, title=smiles)}, "texts": {"Chain": chain, "Number": number}}

    def write(self, folder: Path, explanation: Explanation, held: Any) -> list[Path]:
        """Tables of residues, structures with importance as B-factors and scripts; see :meth:`Domain.write`."""
        from pellucid.domains.structures import write_structures

        return write_structures(folder, explanation, held) if held else []


def is_complex(clouds: PointClouds) -> bool:
    """Whether the clouds are residues with ligands, as :mod:`pellucid.chemistry.complexes` makes them."""
    return clouds.partner is not None and "group_names" in clouds.text and "molblock" in clouds.partner.text


def _pocket(truth: NDArray[np.bool_], strength: NDArray[np.float64], pos: NDArray[np.float64]) -> dict[str, str]:
    """What is told of a known pocket."""
    top = np.argsort(-strength, kind="stable")[:TOP]
    middle = np.argsort(np.linalg.norm(pos - pos.mean(0), axis=1), kind="stable")[:TOP]
    return {"Pocket": f"{_counted(int(truth.sum()), 'residue')}, {truth.mean():.0%} of all",
            f"{len(top)} most important": (
                f"{int(truth[top].sum())} in the pocket (by chance {len(top) * truth.mean():.1f}; of the {len(top)} "
                f"nearest to the protein's centroid {int(truth[middle].sum())})")}


def _elements(element: NDArray[np.int64], importance: NDArray[np.float64], names: list[str]) -> str:
    """The helices and strands of the largest mean importance."""
    mean = np.bincount(element, importance) / np.bincount(element)
    named = [k for k in np.argsort(-mean, kind="stable").tolist() if ":loop " not in names[k]]
    return ", ".join(f"{names[k]} ({mean[k]:.3g})" for k in named[:SHOWN]) or "none"


def residue_names(labels: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Chain, residue name and number (with its insertion code) of labels as :class:`Protein` gives them.

    Example:
        >>> residue_names(["A:ASP25", "B:GLY27A", ":MSE-5"])
        (['A', 'B', ''], ['ASP', 'GLY', 'MSE'], ['25', '27A', '-5'])
    """
    chains, names, numbers = [], [], []
    for label in labels:
        chain, _, rest = label.rpartition(":")
        found = re.fullmatch(r"(\w{3})(-?\d+[A-Za-z]?)", rest) or re.fullmatch(r"(\w*?)(-?\d+[A-Za-z]?)", rest)
        chains.append(chain)
        names.append(found[1] if found else rest)
        numbers.append(found[2] if found else "")
    return chains, names, numbers


def trace(pos: NDArray[np.float64], chain: list[str]) -> list[tuple[int, int, float]]:
    """Bonds of the C-alpha trace: residues that follow one another in a chain, but not over a gap.

    Args:
        pos: (n, 3) C-alpha atoms, angstrom.
        chain: n names.

    Example:
        >>> trace(np.array([[0.0, 0, 0], [3.8, 0, 0], [7.6, 0, 0], [20, 0, 0]]), ["A", "A", "B", "B"])
        [(0, 1, 1.0)]
    """
    apart = np.linalg.norm(np.diff(pos, axis=0), axis=1)
    same = np.array(chain[1:]) == np.array(chain[:-1])
    return [(int(a), int(a) + 1, 1.0) for a in np.flatnonzero(same & (apart < TRACE))]


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
