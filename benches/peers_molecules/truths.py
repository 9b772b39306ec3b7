"""Tasks whose truth is exact: labels computed on real molecules by a rule that names its atoms.

``dev-...`` tasks are for choosing settings; ``truth-...`` tasks are reported and nothing is chosen on them. The two
share neither molecules nor SMARTS; Crippen's logP is in both, of other molecules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase

from pellucid.chemistry.rules import SHARES
from pellucid.chemistry.scaffolds import identity

from .sets import MoleculeSet, read_set

Array = NDArray[np.float64]
SMALLEST = 5
"""Heavy atoms: in smaller molecules there is next to nothing to rank."""


@dataclass(frozen=True)
class Truth:
    """True importance of the atoms of each molecule of a task."""

    atoms: list[Array]
    explainable: list[bool]
    """Positive molecules of a rule whose atoms are not all of one kind; contributions that differ."""
    shares: tuple[float, float, float] = (0.6, 0.1, 0.3)
    """Of training, validation and test: enough tested molecules to explain a hundred positive ones of a small set."""

    def chosen(self, parts: Sequence[str], seed: int, most: int) -> list[int]:
        """Test molecules to explain, the same for all peers: in an order that the seed decides, so that a peer that
        can only do a few does the first ones."""
        found = [i for i, part in enumerate(parts) if part == "test" and self.explainable[i]]
        return [found[i] for i in np.random.default_rng([seed, 7]).permutation(len(found))[:most]]


def matched(mol: Chem.Mol, smarts: str) -> Array:
    """1 for the atoms of all matches, else 0."""
    found = np.zeros(mol.GetNumAtoms())
    for match in mol.GetSubstructMatches(_pattern(smarts), maxMatches=10_000):
        found[list(match)] = 1
    return found


@cache
def _pattern(smarts: str) -> Chem.Mol:
    return Chem.MolFromSmarts(smarts)


@dataclass(frozen=True)
class Rule:
    """Positive is what holds all fragments of ``has`` and none of ``lacks``; true are the atoms of ``has``."""

    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()

    def holds(self, mol: Chem.Mol) -> bool:
        return (all(mol.HasSubstructMatch(_pattern(each)) for each in self.has)
                and not any(mol.HasSubstructMatch(_pattern(each)) for each in self.lacks))

    def atoms(self, mol: Chem.Mol) -> Array:
        return np.max([matched(mol, each) for each in self.has], axis=0)


def additive(mol: Chem.Mol) -> Array:
    """A made-up property of the development tasks: each atom's share by what it is, of both signs."""
    return sum((worth * matched(mol, smarts) for smarts, worth in ADDITIVE.items()), np.zeros(mol.GetNumAtoms()))


ADDITIVE = {"[N,n]": 1.0, "[#8X2]": -0.8, "[#8X1]": -1.2, "[c]": 0.3, "[CX4;R]": -0.2, "[F]": 0.4,
            "[Cl,Br]": 0.7, "[#16]": 0.9}
AMIDE, CARBONYL, HALOGEN = "[NX3][CX3](=O)[#6]", "[CX3]=[OX1]", "[F,Cl,Br,I]"
NITROGEN, PYRIDINE, METHYL = "[#7]", "[nX2;r6]", "[CH3]"
TERTIARY_AMINE = "[NX3;H0;!$(NC=[O,S,N]);!$(N~S);!$(N-a)]([CX4])([CX4])[CX4]"
ETHER, HYDROXYL, RING_METHYLENE = "[OX2]([#6;!$(C=O)])[#6;!$(C=O)]", "[OX2H]", "[CX4;R;H2]"
LIPO, WATER, BRAIN = ("lipophilicity",), ("esol", "freesolv"), ("bbbp",)

Contributions = Callable[[Chem.Mol], Array]
TASKS: dict[str, tuple[tuple[str, ...], Rule | Contributions]] = {
    "dev-one-bbbp": (BRAIN, Rule((TERTIARY_AMINE,))),
    "dev-both-bbbp": (BRAIN, Rule((TERTIARY_AMINE, RING_METHYLENE))),
    "dev-without-bbbp": (BRAIN, Rule((HYDROXYL,), (ETHER,))),
    "dev-additive-bbbp": (BRAIN, additive),
    "dev-logp-bbbp": (BRAIN, SHARES["logp"]),
    "truth-logp-water": (WATER, SHARES["logp"]),
    "truth-refractivity-water": (WATER, SHARES["refractivity"]),
    "truth-tpsa-water": (WATER, SHARES["tpsa"]),
    "truth-one-water": (WATER, Rule((CARBONYL,))),
    "truth-both-water": (WATER, Rule((CARBONYL, METHYL))),
    "truth-without-water": (WATER, Rule((NITROGEN,), (HALOGEN,))),
    "truth-logp-lipo": (LIPO, SHARES["logp"]),
    "truth-refractivity-lipo": (LIPO, SHARES["refractivity"]),
    "truth-tpsa-lipo": (LIPO, SHARES["tpsa"]),
    "truth-one-lipo": (LIPO, Rule((AMIDE,))),
    "truth-both-lipo": (LIPO, Rule((CARBONYL, HALOGEN))),
    "truth-without-lipo": (LIPO, Rule((PYRIDINE,), (AMIDE,))),
}


@cache
def molecules_of(data: Path, sets: tuple[str, ...]) -> dict[str, str]:
    """Identity -> SMILES of the molecules of sets: one fragment, no explicit hydrogens, no copies, no tiny ones."""
    found: dict[str, str] = {}
    with rdBase.BlockLogs():
        for name in sets:
            for smiles in read_set(data, name).smiles:
                mol = Chem.MolFromSmiles(smiles)
                if (mol.GetNumAtoms() >= SMALLEST and len(Chem.GetMolFrags(mol)) == 1
                        and all(atom.GetAtomicNum() > 1 for atom in mol.GetAtoms())):
                    found.setdefault(identity(mol), smiles)
    return found


def read_task(data: Path, name: str) -> tuple[MoleculeSet, Truth]:
    """A task with truth: its molecules, labels and atoms."""
    sets, rule = TASKS[name]
    chosen = molecules_of(data, sets)
    if name.startswith("dev-"):
        reported = molecules_of(data, (*LIPO, *WATER))
        chosen = {key: smiles for key, smiles in chosen.items() if key not in reported}
    mols = [Chem.MolFromSmiles(smiles) for smiles in chosen.values()]
    if isinstance(rule, Rule):
        labels = [float(rule.holds(mol)) for mol in mols]
        atoms = [rule.atoms(mol) for mol in mols]
        explainable = [bool(label) and np.ptp(each) > 0 for label, each in zip(labels, atoms, strict=True)]
    else:
        atoms = [rule(mol) for mol in mols]
        labels = [float(each.sum()) for each in atoms]
        explainable = [np.ptp(each) > 0 for each in atoms]
    kind = "classification" if isinstance(rule, Rule) else "regression"
    task = MoleculeSet(name, kind, list(chosen.values()), ["label"], np.array(labels)[:, None])
    return task, Truth(atoms, explainable)
