"""Graph convolutions on the CPU: what embeds the nodes of a graph, and what learns from a few of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from pellucid.margin.graph import Graph

Inputs = Any
"""(nodes, features) of float32: a tensor or a CSR array."""


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: sp.csr_array, x: Tensor) -> Tensor:
        ctx.matrix = matrix
        return torch.from_numpy(matrix @ x.detach().numpy())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, torch.from_numpy(ctx.matrix.T @ gradients[0].contiguous().numpy())


def product(matrix: sp.csr_array, x: Tensor) -> Tensor:
    """M x for a fixed M, with its gradient in x.

    SciPy's product: here it takes a small part of the time of messages along edges.
    """
    return _Product.apply(matrix, x)  # type: ignore[no-untyped-call, no-any-return]


def undirected(graph: Graph) -> sp.csr_array:
    """max(W, W^T) without loops."""
    w = graph.weights.astype(np.float64)
    both = sp.csr_array(w if graph.symmetric else w.maximum(w.T))
    both = both - sp.diags_array(both.diagonal())
    both.eliminate_zeros()
    return sp.csr_array(both)


def propagation(graph: Graph) -> sp.csr_array:
    """D^-1/2 (W + I) D^-1/2 with D the row sums of W + I (Kipf and Welling, 2017, eq. 2); see :func:`undirected`.

    A node without neighbours hears itself alone.

    Example:
        >>> pair = Graph.from_matrix([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
        >>> propagation(pair).toarray().round(2).tolist()
        [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    loops = undirected(graph) + sp.eye_array(graph.nodes)
    root = sp.diags_array(1 / np.sqrt(loops.sum(axis=1)))
    return sp.csr_array((root @ loops @ root).astype(np.float32))


def inputs(x: Any) -> Inputs:
    """Features with rows divided by the sum of their absolute values; rows of zeros stay as they are.

    Example:
        >>> inputs(np.array([[1.0, -3.0], [0.0, 0.0]])).tolist()
        [[0.25, -0.75], [0.0, 0.0]]
    """
    total = np.asarray(abs(x).sum(axis=1), dtype=np.float64)
    scale = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    if sp.issparse(x):
        return sp.csr_array((sp.diags_array(scale) @ x).astype(np.float32))
    return torch.from_numpy((x * scale[:, None]).astype(np.float32))


class GraphConvolutions(nn.Module):
    """Graph convolutional layers: H <- A H W + b, with rectified units between them (Kipf and Welling, 2017).

    Weights begin as Glorot and Bengio (2010) have them, biases at zero.

    Args:
        widths: Features, then the width of each layer.
        bias: Whether there is a b.
        dropout: Share of the inputs of each layer that are dropped while it learns.

    Example:
        >>> path = Graph.from_matrix([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
        >>> GraphConvolutions([4, 8, 2])(torch.ones(3, 4), propagation(path)).shape
        torch.Size([3, 2])
    """

    def __init__(self, widths: Sequence[int], *, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(nn.init.xavier_uniform_(torch.empty(a, b)))
                                        for a, b in pairwise(widths))
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(b)) for b in widths[1:] if bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Inputs, operator: sp.csr_array) -> Tensor:
        """(nodes, last width).

        Args:
            features: (nodes, features); see :func:`inputs`.
            operator: A, (nodes, nodes), float32; see :func:`propagation`.
        """
        hidden = torch.empty(0)
        for layer, weight in enumerate(self.weights):
            if layer:
                hidden = self.dropout(hidden.relu()) @ weight
            elif isinstance(features, Tensor):
                hidden = self.dropout(features) @ weight
            else:  # entries that are zero stay so anyway
                kept = self.dropout(torch.from_numpy(features.data)).numpy()
                hidden = product(sp.csr_array((kept, features.indices, features.indptr), shape=features.shape), weight)
            hidden = product(operator, hidden)
            if len(self.biases):
                hidden = hidden + self.biases[layer]
        return hidden


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Random numbers of their own, and one thread: sums in another order round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
