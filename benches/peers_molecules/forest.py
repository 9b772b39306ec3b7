"""The random forest on Morgan fingerprints, explained by RDKit's SimilarityMaps weights; run as a child process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem.Draw import SimilarityMaps
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from peers_molecules.jobs import Job, part_of_child

TREES, RADIUS, BITS = 200, 2, 2048
FEATURES = 1 / 3
"""Share of the bits that a regression looks at in a split, as Breiman and R have it: on ESOL's validation part it is no
worse than all of them, scikit-learn's default, and takes half the time."""


def fingerprint(mol: Chem.Mol, atom: int = -1) -> Any:
    """SimilarityMaps' Morgan fingerprint (its default: bits), without the environments of ``atom`` if one is given."""
    return SimilarityMaps.GetMorganFingerprint(mol, atom, radius=RADIUS, nBits=BITS)


def table_of(fingerprints: Sequence[Any]) -> NDArray[np.float32]:
    rows = np.zeros((len(fingerprints), BITS), dtype=np.float32)
    for row, bits in zip(rows, fingerprints, strict=True):
        DataStructs.ConvertToNumpyArray(bits, row)
    return rows


def predict(model: Any, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """The value, or the probability of class 1 (all of one class in training: that class)."""
    if not hasattr(model, "predict_proba"):
        return model.predict(features)
    at = np.flatnonzero(model.classes_ == 1)
    return model.predict_proba(features)[:, at[0]] if len(at) else np.zeros(len(features))


def atom_weights(mols: Sequence[Chem.Mol], model: Any) -> list[list[float]]:
    """RDKit's own GetAtomicWeightsForModel for each molecule: prediction minus that without the atom.

    It asks for one prediction at a time, which costs a forest of 200 trees a fiftieth of a second each; so it runs
    twice, first to collect what it asks for, then to be answered.
    """
    asked: list[Any] = []
    for mol in mols:
        SimilarityMaps.GetAtomicWeightsForModel(mol, fingerprint, lambda bits: asked.append(bits) or 0.0)
    answers = iter(predict(model, table_of(asked)).tolist())
    return [SimilarityMaps.GetAtomicWeightsForModel(mol, fingerprint, lambda _: next(answers)) for mol in mols]


def fit(job: Job) -> None:
    smiles, values, parts = job.table()
    with rdBase.BlockLogs():
        features = table_of([fingerprint(Chem.MolFromSmiles(text)) for text in smiles])
    make = (partial(RandomForestRegressor, max_features=FEATURES) if job.kind == "regression"
            else RandomForestClassifier)
    predicted, models = [], []
    for column in values.T:  # a forest for each target, since targets have gaps; nothing is tuned: val is not used
        known = (parts == "train") & ~np.isnan(column)
        model = make(n_estimators=TREES, random_state=job.seed, n_jobs=1).fit(features[known], column[known])
        predicted.append(predict(model, features[parts == "test"]))
        models += [model] if job.explained else []
    job.write_predictions(np.stack(predicted, 1))
    if job.explained:
        joblib.dump(models[0], job.folder / "forest.joblib")


def explain(job: Job) -> None:
    with rdBase.BlockLogs():
        mols = [Chem.MolFromSmiles(row["smiles"]) for row in job.rows("explain.csv")]
        job.write_importance(atom_weights(mols, joblib.load(job.folder / "forest.joblib")))


if __name__ == "__main__":
    part_of_child(fit, explain)
