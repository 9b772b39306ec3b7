"""Which samples lie at a decision boundary: where neighbours in a latent space differ (MARGIN paper, section 5.4)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pellucid.errors import PellucidError
from pellucid.margin.base import Study, studies
from pellucid.margin.filters import influence, shift
from pellucid.margin.functions import as_labels, disagreement, known_labels
from pellucid.margin.graph import Graph, Links, Symmetry, Weights
from pellucid.margin.nearest import Metric, Search

Variant = Literal["diffused", "disagreement", "signed", "energy"]
VARIANTS: tuple[Variant, ...] = ("diffused", "disagreement", "signed", "energy")
_STEPS = 30
"""Steps of diffusion: what more of them would add is below 2^-30."""


@studies.register("boundary")
class DecisionBoundary(Study):
    """Ranks samples by how near they are to a decision boundary of a model.

    Features are the model's latents (see :func:`pellucid.margin.latents.latents`). With y the model's predictions, the
    score says where the model is near to deciding otherwise; with y the true labels, it also says which samples lie on
    the wrong side.

    Variants of the score, with f the share of neighbours that have another label (eq. 3):

    - ``diffused`` (ours): h = (f + A h) / 2 with A = D^-1 W, that is the sum of A^n f / 2^(n+1) over n hops. f is zero
      for all who have no neighbour across the boundary; diffusion tells those apart by how far it is.
    - ``disagreement``: f.
    - ``signed`` (ours): f - A f: more mixed than the neighbours, not less.
    - ``energy``: (f - A f)^2, the paper's Algorithm 1.

    Args:
        n_neighbors: k.
        variant: See above.
        metric: Of the features; see :func:`pellucid.margin.nearest`.
        weights: Of edges; see :func:`pellucid.margin.knn_graph`.
        symmetry: Of the graph.
        search: How neighbours are found.
        random_state: Of an approximate search.
        n_jobs: Threads; None: as many as the machine lets us use.
        verbose: Whether to show bars.

    Attributes:
        influence_: (samples,) the score; in [0, 1] but for ``signed``.
        ranking_: (samples,) samples, nearest to a boundary first.
        classes_: The labels in order.

    Example:
        >>> line = np.linspace(-1, 1, 100)[:, None]
        >>> study = DecisionBoundary(5).fit(line, line[:, 0] > 0)
        >>> sorted(study.ranking_[:4].tolist())
        [48, 49, 50, 51]
    """

    needs_labels = True

    def __init__(self, n_neighbors: int = 30, *, variant: Variant = "diffused", metric: Metric = "euclidean",
                 weights: Weights = "self-tuning", symmetry: Symmetry = "union", search: Search = "auto",
                 random_state: int = 0, n_jobs: int | None = None, verbose: bool = False) -> None:
        self.n_neighbors = n_neighbors
        self.variant = variant
        self.metric = metric
        self.weights = weights
        self.symmetry = symmetry
        self.search = search
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _score(self, graph: Graph, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        if self.variant not in VARIANTS:
            raise PellucidError(f"expected a variant out of {', '.join(VARIANTS)}, got {self.variant!r}")
        assert y is not None
        self._number, self.classes_ = as_labels(y, graph.nodes)
        self._mixed = disagreement(graph, self._number)
        if self.variant == "diffused":
            h = self._mixed[:, None]
            for _ in range(_STEPS):
                h = (self._mixed[:, None] + shift(graph, h)) / 2
            return h[:, 0]
        if self.variant == "disagreement":
            return self._mixed
        return influence(graph, self._mixed, mode=self.variant)

    def _score_new(self, links: Links, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        number = known_labels(y, X.shape[0], self.classes_)
        shares = links.mean((self._number[:, None] == np.arange(len(self.classes_))).astype(np.float64))
        f: NDArray[np.float64] = 1 - shares[np.arange(len(shares)), number]
        if self.variant == "disagreement":
            return f
        if self.variant == "diffused":
            return (f + links.mean(self.influence_)) / 2
        above = f - links.mean(self._mixed)
        return above if self.variant == "signed" else np.square(above)
