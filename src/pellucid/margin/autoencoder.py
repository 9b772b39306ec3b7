"""A graph autoencoder: latents of nodes from their features and edges, without labels (Kipf and Welling, 2016)."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch.nn.functional import softplus

from pellucid.errors import PellucidError
from pellucid.margin.convolution import GraphConvolutions, Inputs, inputs, propagation, reproducible, undirected
from pellucid.margin.graph import Graph, Links
from pellucid.margin.nearest import as_features
from pellucid.progress import waiting


class GraphAutoencoder:
    """Two graph convolutions that learn Z = A relu(A X W0) W1, such that z_i . z_j says whether i and j have an edge.

    Kipf and Welling, Variational Graph Auto-Encoders, 2016, the model GAE with its settings: p(edge) =
    sigmoid(z_i . z_j), learned with Adam. It sees features and edges, no labels. Their loss sums over all pairs of
    nodes; here each epoch draws as many random pairs as there are edges, to stand for those without one: the work is
    of the order of edges and not of nodes squared.

    Args:
        width: Of the latents.
        hidden: Width of the first layer.
        epochs: Steps, each over all edges.
        learning_rate: Of Adam.
        seed: Of the first weights and of the random pairs.
        progress: Whether to show a bar on stderr.

    Attributes:
        latents: Z, (nodes, width).

    Example:
        >>> ring = np.roll(np.eye(12), 1, axis=1)
        >>> GraphAutoencoder(4, epochs=20).fit(Graph.from_matrix(ring + ring.T)).latents.shape
        (12, 4)
    """

    latents: NDArray[np.float64]

    def __init__(self, width: int = 16, *, hidden: int = 32, epochs: int = 200, learning_rate: float = 0.01,
                 seed: int = 0, progress: bool = False) -> None:
        for name, value in (("width", width), ("hidden", hidden), ("epochs", epochs)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise PellucidError(f"expected {name} as a whole number of at least 1, got {value!r}")
        self._widths = [hidden, width]
        self._epochs = epochs
        self._rate = learning_rate
        self._seed = seed
        self._progress = progress

    def fit(self, graph: Graph, features: Any = None) -> Self:
        """Learns the latents of a graph's nodes.

        Args:
            graph: The graph; directions of edges do not matter. A node without edges is told by its features alone.
            features: (nodes, features), dense or sparse; rows are brought to a sum of absolute values of 1. None: each
                node has a feature of its own, so that edges alone count.

        Raises:
            PellucidError: for features that do not fit the graph, or a graph without edges.
        """
        n = graph.nodes
        self._own = features is None
        x = inputs(sp.eye_array(n, format="csr") if features is None else as_features(features))
        if x.shape[0] != n:
            raise PellucidError(f"expected features of the graph's {n} nodes, got {x.shape[0]} rows")
        pairs = sp.triu(undirected(graph), k=1).tocoo()
        if pairs.nnz == 0:
            raise PellucidError("expected a graph with edges, got none; the autoencoder learns from them")
        left, right = (torch.from_numpy(side.astype(np.int64)) for side in (pairs.row, pairs.col))
        operator = propagation(graph)
        with reproducible(self._seed), waiting("embedding the graph", self._progress) as report:
            encoder = GraphConvolutions([x.shape[1], *self._widths], bias=False)
            optimiser = torch.optim.Adam(encoder.parameters(), lr=self._rate)
            for epoch in range(self._epochs):
                optimiser.zero_grad()
                z = encoder(x, operator)
                i, j = torch.randint(n, (2, len(left)))
                loss = softplus(-(z[left] * z[right]).sum(1)).mean() + softplus((z[i] * z[j]).sum(1)).mean()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                report(epoch + 1, self._epochs)
        self._weights = [w.detach().numpy().astype(np.float64) for w in encoder.weights]
        self._degree = np.asarray(undirected(graph).sum(axis=1), dtype=np.float64) + 1
        first = _times(x, self._weights[0])
        second = np.maximum(operator @ first, 0) @ self._weights[1]
        self._messages = [first, second]
        self.latents = operator @ second
        return self

    def extend(self, links: Links, features: Any = None) -> NDArray[np.float64]:
        """(new samples, width) latents of samples that hear nodes of the graph, while those stay as they are.

        Args:
            links: What they hear.
            features: (new samples, features) as in ``fit``; none where ``fit`` was given none.
        """
        degree = np.asarray(links.weights.sum(axis=1), dtype=np.float64) + 1
        hears = sp.diags_array(degree**-0.5) @ links.weights.astype(np.float64) @ sp.diags_array(self._degree**-0.5)
        own = 0 if self._own else _times(inputs(as_features(features, few=True)), self._weights[0]) / degree[:, None]
        hidden = np.maximum(hears @ self._messages[0] + own, 0)
        out: NDArray[np.float64] = hears @ self._messages[1] + hidden @ self._weights[1] / degree[:, None]
        return out


def _times(x: Inputs, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = (x.numpy() if isinstance(x, torch.Tensor) else x).astype(np.float64) @ weights
    return out
