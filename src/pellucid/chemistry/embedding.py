"""One molecule -> one 3D conformer. Imports RDKit and NumPy only, since it is also the worker process.

Run as a script, it reads one JSON request a line (``{"smiles": ..., "seed": ..., "retry": ...}``) and answers each with
one JSON line, until its input ends. Workers are started from this file's path, so that they neither import the rest of
the library nor run the caller's main script again, as multiprocessing's safe start methods would.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

RECIPE = 1  # raise it when coordinates change, so that stored conformers are not taken for new ones
ATTEMPTS = 100
MMFF_ITERATIONS = 1000
MAX_ATOMS = 250


def embed(mol: Chem.Mol, seed: int, retry: bool = True) -> tuple[NDArray[np.float64] | None, str]:
    """Hydrogens added, ETKDGv3 with a fixed seed, MMFF94, hydrogens taken off again, centred.

    Args:
        mol: Heavy-atom molecule; it is not changed.
        seed: 0 ... 2^31 - 1; the result depends on it and the molecule alone.
        retry: Start once more from random coordinates when the first embedding fails.

    Returns:
        ((atoms, 3) angstrom, ""), or (None, the reason).
    """
    atoms = mol.GetNumAtoms()
    if atoms == 0:
        return None, "it has no atoms"
    if atoms > MAX_ATOMS:
        return None, f"it has {atoms} heavy atoms, more than the {MAX_ATOMS} that embedding can do in reasonable time"
    parts = len(Chem.GetMolFrags(mol))
    if parts > 1:
        return None, f"it consists of {parts} separate parts (a salt or a mixture), whose relative places are arbitrary"
    with rdBase.BlockLogs():
        full = Chem.AddHs(mol)
        if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(full):
            return None, "MMFF94 has no parameters for one of its atoms"
        parameters: Any = rdDistGeom.ETKDGv3()
        parameters.randomSeed = seed
        parameters.maxIterations = ATTEMPTS  # the default grows with the molecule, to minutes
        parameters.numThreads = 1
        status = rdDistGeom.EmbedMolecule(full, parameters)
        if status < 0 and retry:
            parameters.useRandomCoords = True
            status = rdDistGeom.EmbedMolecule(full, parameters)
        if status < 0:
            return None, f"no 3D structure satisfied its bonds and stereocentres in {ATTEMPTS} attempts"
        if rdForceFieldHelpers.MMFFOptimizeMolecule(full, maxIters=MMFF_ITERATIONS) < 0:
            return None, "MMFF94 could not be set up"
    positions = np.asarray(full.GetConformer().GetPositions(), dtype=np.float64)[:atoms]  # AddHs appends hydrogens
    if not np.isfinite(positions).all():
        return None, "MMFF94 did not give finite coordinates"
    return positions - positions.mean(0), ""


def embed_smiles(smiles: str, seed: int, retry: bool = True) -> tuple[NDArray[np.float64] | None, str]:
    """Like :func:`embed`, for a SMILES; rows are in the order of its heavy atoms."""
    with rdBase.BlockLogs():
        mol: Any = Chem.MolFromSmiles(smiles)
    if mol is None:
        return None, "RDKit cannot read its SMILES"
    return embed(mol, seed, retry)


def _serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        positions, reason = embed_smiles(request["smiles"], request["seed"], request["retry"])
        answer = {"positions": None if positions is None else positions.tolist(), "reason": reason}
        try:
            sys.stdout.write(json.dumps(answer) + "\n")  # repr of a double is exact, so nothing is lost on the way
            sys.stdout.flush()
        except BrokenPipeError:  # the parent is gone
            sys.stderr.close()
            return


if __name__ == "__main__":
    _serve()
