"""Proteins with their ligands, for the browser of the report."""

from __future__ import annotations

import json
import re

import numpy as np
from numpy.typing import NDArray

from pellucid.chemistry.encoding import molecule_of
from pellucid.clouds import PointClouds
from pellucid.explanation import Explanation
from pellucid.report.content import COMPLEXES, Sample, Sticks
from pellucid.report.depiction import depict

TRACE = 4.5
"""Neighbouring C-alpha atoms of a chain that are closer than this, in angstrom, are joined; 3.8 is usual."""
TOP = 20
"""Residues whose share in the pocket is told; the smaller m of precision@m on PLBind."""
SHOWN = 3
"""Helices and strands that are told."""


def is_complex(clouds: PointClouds) -> bool:
    """Whether the clouds are residues with ligands, as :mod:`pellucid.chemistry.complexes` makes them."""
    return clouds.partner is not None and "group_names" in clouds.text and "molblock" in clouds.partner.text


def complex_sample(explanation: Explanation, i: int) -> Sample:
    """What the browser shows of one complex: the trace of the protein, its ligand, pocket and contacts.

    Args:
        explanation: Of complexes; see :func:`is_complex`.
        i: Place of the complex.

    Raises:
        PellucidError: if a mol block does not fit its ligand's points.
    """
    from pellucid.chemistry.secondary import FIELD  # brings SciPy

    data = explanation.clouds
    assert data.partner is not None
    rows = slice(int(data.ptr[i]), int(data.ptr[i + 1]))
    atoms = slice(int(data.partner.ptr[i]), int(data.partner.ptr[i + 1]))
    pos = data.pos[rows].double().numpy()
    chain, residue, number = residue_names(json.loads(data.text["group_names"][i]))
    importance = explanation.importance[rows].double().numpy()
    truth = data["important"][rows].numpy() if "important" in data and bool(data["important"][rows].any()) else None
    hydrogen_bond, hydrophobic = data["hydrogen_bond"][rows].numpy(), data["hydrophobic"][rows].numpy()
    distance = data["distance"][rows].double().numpy()
    target = explanation.truth(i)
    mol = molecule_of(data.partner, i)
    ligand = Sticks("ligand", data.partner.pos[atoms].double().numpy(), [a.GetSymbol() for a in mol.GetAtoms()],
                    [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b.GetBondTypeAsDouble()) for b in mol.GetBonds()])
    facts = {
        "Ligand": data.text["ligand_smiles"][i],
        "Residues": f"{len(pos)} in {_counted(len(set(chain)), 'chain')}",
        "Contacts": f"{_counted(int(hydrogen_bond.sum()), 'residue')} with hydrogen bonds, {int(hydrophobic.sum())} "
                    f"with hydrophobic contacts; the closest at {distance.min():.1f} Å",
    }
    if truth is not None:
        top = np.argsort(-importance, kind="stable")[:TOP]
        facts["Pocket"] = f"{_counted(int(truth.sum()), 'residue')}, {truth.mean():.0%} of all"
        middle = np.argsort(np.linalg.norm(pos - pos.mean(0), axis=1), kind="stable")[:TOP]
        facts[f"{len(top)} most important"] = (
            f"{int(truth[top].sum())} in the pocket (by chance {len(top) * truth.mean():.1f}; of the {len(top)} "
            f"nearest to the protein's centroid {int(truth[middle].sum())})")
    if FIELD in data:
        facts["Most important helices and strands"] = _elements(data[FIELD][rows].numpy(), importance,
                                                                json.loads(data.text[f"{FIELD}_names"][i]))
    return Sample(
        name=data.text["id"][i] if "id" in data.text else f"complex {i}",
        unit=data.unit("pos"), pos=pos, labels=residue,
        importance=importance, prediction=explanation.value(i),
        importance_name=explanation.importance_name,
        target=target,
        bonds=trace(pos, chain), important=truth,
        covariance=explanation.covariance[rows].double().numpy() if explanation.covariance is not None else None,
        facts=facts,
        columns={"contact": hydrophobic + 2.0 * hydrogen_bond, "distance": distance,
                 **{name: column[rows].double().numpy() for name, column in explanation.columns.items()}},
        views={"Ligand": depict(mol, title=data.text["ligand_smiles"][i])},
        words=COMPLEXES, predicts=explanation.quantity(i),
        texts={"Chain": chain, "Number": number}, sticks=ligand)


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
