"""Which labels are wrong: samples whose label their neighbours do not share (MARGIN paper, section 5.3)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pellucid.errors import PellucidError
from pellucid.margin.base import Study, studies
from pellucid.margin.filters import influence
from pellucid.margin.functions import as_labels, disagreement, known_labels, votes
from pellucid.margin.graph import Graph, Links, Symmetry, Weights
from pellucid.margin.nearest import Metric, Search

Variant = Literal["trusted", "disagreement", "signed", "energy", "listing"]
VARIANTS: tuple[Variant, ...] = ("trusted", "disagreement", "signed", "energy", "listing")


@studies.register("labels")
class WrongLabels(Study):
    """Ranks samples by how likely their label is wrong.

    Variants of the score, with f the share of neighbours that have another label (eq. 3):

    - ``trusted`` (ours): f again, where a neighbour votes with the weight 1 - f of its own. The labels' own high-pass
      filter, blind to neighbours that are themselves wrong.
    - ``disagreement``: f.
    - ``signed`` (ours): f - A f: more doubtful than the neighbours, not less.
    - ``energy``: (f - A f)^2, the paper's Algorithm 1.
    - ``listing``: the code at the end of the paper.

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
        ranking_: (samples,) samples, most suspicious first.
        classes_: The labels in order.
        suggested_: (samples,) the label that most neighbours have, by trust.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> y[7] = 3  # it is a seven
        >>> audit = WrongLabels().fit(X, y)
        >>> 7 in audit.ranking_[:2], int(audit.suggested_[7])
        (True, 7)
    """

    needs_labels = True

    def __init__(self, n_neighbors: int = 20, *, variant: Variant = "trusted", metric: Metric = "euclidean",
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
        number, self.classes_ = as_labels(y, graph.nodes)
        doubt = disagreement(graph, number)
        self._number, self._doubt = number, doubt
        share = votes(graph, number, len(self.classes_), 1 - doubt)
        self.suggested_ = self.classes_[np.where(share.sum(1) > 0, share.argmax(1), number)]
        if self.variant == "trusted":
            return disagreement(graph, number, trust=1)
        if self.variant == "disagreement":
            return doubt
        return influence(graph, doubt, mode=self.variant)

    def _score_new(self, links: Links, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        if self.variant == "listing":
            raise PellucidError("expected a variant that scores new samples, got listing, which divides by the maximum "
                                "over all samples; use energy")
        number = known_labels(y, X.shape[0], self.classes_)
        trust = 1 - self._doubt if self.variant == "trusted" else np.ones(len(self._number))
        votes = links.weights @ (trust[:, None] * (self._number[:, None] == np.arange(len(self.classes_))))
        total = votes.sum(1)
        own = np.divide(votes[np.arange(len(votes)), number], total, out=np.ones(len(votes)), where=total > 0)
        f: NDArray[np.float64] = 1 - own
        if self.variant in ("trusted", "disagreement"):
            return f
        above = f - links.mean(self._doubt)
        return above if self.variant == "signed" else np.square(above)
