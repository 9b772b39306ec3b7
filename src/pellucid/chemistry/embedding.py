"""One molecule -> its 3D conformers. Imports RDKit and NumPy only, since it is also the worker process.

Run as a script, it reads one JSON request a line (``{"smiles": [...], "seed": ..., "retry": ..., ...}``) and answers
with one JSON line a molecule, until its input ends. Workers are started from this file's path, so that they neither
import the rest of the library nor run the caller's main script again, as multiprocessing's safe start methods would.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

RECIPE = 1  # raise it when coordinates change, so that stored conformers are not taken for new ones
ATTEMPTS = 100
ITERATIONS = 1000
MAX_ATOMS = 250
MMFF94, UFF, NOTHING = "MMFF94", "UFF", "nothing"


@dataclass(frozen=True)
class Embedded:
    """What became of one molecule.

    Attributes:
        positions: (conformers, atoms, 3) angstrom, each centred; None where there are none.
        reason: Why there are none, or ``""``.
        relaxed: What brought bond lengths and angles to rest: :data:`MMFF94`, :data:`UFF`, or :data:`NOTHING`.
    """

    positions: NDArray[np.float64] | None
    reason: str = ""
    relaxed: str = MMFF94


def embed(mol: Chem.Mol, seed: int, retry: bool = True, fallback: bool = False, count: int = 1) -> Embedded:
    """Hydrogens added, ETKDGv3 with a fixed seed, MMFF94, hydrogens taken off again, centred.

    Args:
        mol: Heavy-atom molecule; it is not changed.
        seed: 0 ... 2^31 - 1; the result depends on it and the molecule alone.
        retry: Start once more from random coordinates when the first embedding fails.
        fallback: Where MMFF94 has no parameters, relax by UFF, and where that has none, keep the geometry of ETKDG;
            otherwise the molecule is refused.
        count: Conformers, of one embedding call; the first is the one of a count of 1. Conformers that are alike are
            not left out, so that each molecule has as many; one that cannot be embedded is.
    """
    atoms = mol.GetNumAtoms()
    if atoms == 0:
        return Embedded(None, "it has no atoms")
    if atoms > MAX_ATOMS:
        return Embedded(None, f"it has {atoms} heavy atoms, more than the {MAX_ATOMS} that embedding can do in "
                              "reasonable time, which a model of graphs (--graph) does not need")
    parts = len(Chem.GetMolFrags(mol))
    if parts > 1:
        return Embedded(None, f"it consists of {parts} separate parts (a salt or a mixture), whose relative places are "
                              "arbitrary")
    with rdBase.BlockLogs():
        full = Chem.AddHs(mol)
        relaxed = MMFF94 if rdForceFieldHelpers.MMFFHasAllMoleculeParams(full) else NOTHING
        if relaxed == NOTHING and not fallback:
            return Embedded(None, "MMFF94 has no parameters for one of its atoms")
        try:
            made = _embedded(full, seed, retry, count)
            if not made:
                return Embedded(None, f"no 3D structure satisfied its bonds and stereocentres in {ATTEMPTS} attempts")
            if relaxed == NOTHING and rdForceFieldHelpers.UFFHasAllMoleculeParams(full):
                relaxed = UFF
            optimise: Any = {MMFF94: rdForceFieldHelpers.MMFFOptimizeMolecule,
                             UFF: rdForceFieldHelpers.UFFOptimizeMolecule}.get(relaxed)
            if optimise is not None and min(optimise(full, maxIters=ITERATIONS, confId=i) for i in made) < 0:
                return Embedded(None, f"{relaxed} could not be set up")
        except (RuntimeError, ValueError):
            return Embedded(None, "RDKit cannot embed such a molecule")
    positions = np.stack([np.asarray(full.GetConformer(i).GetPositions(), dtype=np.float64)[:atoms]  # hydrogens last
                          for i in made])
    if not np.isfinite(positions).all():
        return Embedded(None, f"{relaxed} did not give finite coordinates")
    return Embedded(positions - positions.mean(1, keepdims=True), "", relaxed)


def _embedded(full: Chem.Mol, seed: int, retry: bool, count: int) -> list[int]:
    """The ids of the conformers."""
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed
    parameters.maxIterations = ATTEMPTS  # the default grows with the molecule, to minutes
    parameters.numThreads = 1
    for again in (False, True)[: 1 + retry]:
        parameters.useRandomCoords = again
        if count == 1:
            status = rdDistGeom.EmbedMolecule(full, parameters)
            made = [] if status < 0 else [status]
        else:
            made = list(rdDistGeom.EmbedMultipleConfs(full, count, parameters))
        if made:
            return made
    return []


def embed_smiles(smiles: str, seed: int, retry: bool = True, fallback: bool = False, count: int = 1) -> Embedded:
    """Like :func:`embed`, for a SMILES; rows are in the order of its heavy atoms."""
    with rdBase.BlockLogs():
        mol: Any = Chem.MolFromSmiles(smiles)
    if mol is None:
        return Embedded(None, "RDKit cannot read its SMILES")
    return embed(mol, seed, retry, fallback, count)


def _serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        for smiles in request.pop("smiles"):
            made = embed_smiles(smiles, **request)
            answer = {"positions": None if made.positions is None else made.positions.tolist(), "reason": made.reason,
                      "relaxed": made.relaxed}
            try:
                sys.stdout.write(json.dumps(answer) + "\n")  # repr of a double is exact: nothing is lost on the way
                sys.stdout.flush()
            except BrokenPipeError:  # the parent is gone
                sys.stderr.close()
                return


if __name__ == "__main__":
    _serve()
