"""Chemprop's own explanation of molecules, one after another until a time is spent; run by Chemprop's Python.

The body of Chemprop's ``--callback myerson``, with its classes and its threshold (exact to 20 atoms, sampled above).
The callback itself writes nothing before its last molecule, so that it cannot be given a time. A molecule that is in
work when the time is spent is given up: an exact one of 20 atoms has a million coalitions.
"""

from __future__ import annotations

import csv
import json
import signal
import sys
import time
from pathlib import Path

import torch
from chemprop.featurizers import SimpleMoleculeMolGraphFeaturizer
from chemprop.models import load_model
from chemprop.utils import make_mol
from myerson.chemprop_explain import MyersonExplainer, MyersonSamplingExplainer

THRESHOLD = 20


class SpentError(Exception):
    """The processor time is over."""


def stop(*_: object) -> None:
    raise SpentError


def main(checkpoint: str, molecules: str, out: str, seconds: float, most: int) -> None:
    model = load_model(checkpoint)
    model.eval()
    featurize = SimpleMoleculeMolGraphFeaturizer()
    with Path(molecules).open(newline="") as file:
        smiles = [row["smiles"] for row in csv.DictReader(file)]
    found: list[list[float]] = []
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        with torch.no_grad():
            for text in smiles[:most]:
                graph = featurize(make_mol(text))
                if graph.V.shape[0] > THRESHOLD:
                    values = MyersonSamplingExplainer(graph, model, seed=0).sample_all_myerson_values()
                else:
                    values = MyersonExplainer(graph, model).calculate_all_myerson_values()
                found.append([float(each) for each in values])
                print(graph.V.shape[0], "atoms", round(time.process_time(), 1), "s", flush=True)
    except SpentError:
        print("time is spent", flush=True)
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5]))
