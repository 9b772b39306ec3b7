"""Citation networks with their public splits, and the network that learns from the nodes that were labelled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from pellucid.margin.convolution import GraphConvolutions, Inputs, inputs, propagation, reproducible
from pellucid.margin.graph import Graph


@dataclass(frozen=True)
class Citations:
    """Papers and who cites whom.

    Attributes:
        graph: Undirected, without loops.
        features: (papers, words), float32: whether a word is in a paper, brought to a row sum of 1.
        labels: (papers,) number of the field.
        train: Numbers of the papers that may be labelled, 20 a field.
        validation: Numbers of 500 papers.
        test: Numbers of 1,000 papers.
        wide: Numbers of all papers but those of validation and test, ``train`` among them.
    """

    graph: Graph
    features: Inputs
    labels: NDArray[np.int64]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    wide: NDArray[np.int64]

    @property
    def fields(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1


def citations(folder: Path, name: str) -> Citations:
    """Reads a Planetoid folder (Yang et al., 2016); nothing is written.

    CiteSeer's 15 test papers that the split leaves out have no words and no field; they are in no part.

    Args:
        folder: With the files ``ind.NAME.x`` and so on: pickles, so read only what you trust.
        name: ``cora`` or ``citeseer``.
    """
    from torch_geometric.io import read_planetoid_data

    data = read_planetoid_data(str(folder), name)
    nodes = len(data.y)
    row, column = data.edge_index.numpy()
    graph = Graph.from_matrix(sp.csr_array((np.ones(len(row)), (row, column)), shape=(nodes, nodes)), symmetry="union")
    train, validation, test = (np.flatnonzero(data[f"{part}_mask"].numpy()) for part in ("train", "val", "test"))
    wide = np.setdiff1d(np.arange(test.min()), validation)  # the last are those of test and what it leaves out
    return Citations(graph, inputs(sp.csr_array(data.x.numpy())), data.y.numpy(), train, validation, test, wide)


class Learner:
    """A graph convolutional network that learns from labelled nodes and says what all are (Kipf and Welling, 2017).

    Settings of the MARGIN paper, section 5.6: three layers (16, 16, classes), Adam with a learning rate of 0.01; the
    rest as in Kipf's code: dropout of 0.5, weight decay of 5e-4 on the first layer, 200 epochs. His early stopping
    looks at the labels of 500 further nodes, more than are ever labelled here; there is none.

    Args:
        data: The network.
        layers: Graph convolutions.
        filters: Width of all but the last.
        epochs: Steps, each over all nodes.
    """

    def __init__(self, data: Citations, *, layers: int = 3, filters: int = 16, epochs: int = 200) -> None:
        self._data = data
        self._operator = propagation(data.graph)
        self._widths = [data.features.shape[1], *[filters] * (layers - 1), data.fields]
        self._epochs = epochs

    def predict(self, labelled: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        """(nodes,) classes after learning the labels of some nodes.

        Args:
            labelled: Numbers of nodes; their order does not matter.
            seed: Of the first weights and the dropout.
        """
        nodes = np.sort(labelled)
        target, rows = torch.from_numpy(self._data.labels[nodes]), torch.from_numpy(nodes)
        x, operator = self._data.features, self._operator
        with reproducible(seed):
            model = GraphConvolutions(self._widths, dropout=0.5)
            groups: list[dict[str, Any]] = [
                {"params": [model.weights[0], model.biases[0]], "weight_decay": 5e-4},
                {"params": [*model.weights[1:], *model.biases[1:]]}]
            optimiser = torch.optim.Adam(groups, lr=0.01)
            for _ in range(self._epochs):
                optimiser.zero_grad()
                cross_entropy(model(x, operator)[rows], target).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            model.eval()
            with torch.no_grad():
                out: NDArray[np.int64] = model(x, operator).argmax(1).numpy()
        return out
