"""Which labels are wrong: samples whose label their neighbours do not share (MARGIN paper, section 5.3)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pellucid.errors import PellucidError
from pellucid.margin.base import Study, studies
from pellucid.margin.filters import influence
from pellucid.margin.functions import as_labels, disagreement, known_labels
from pellucid.margin.graph import Graph, Links, Symmetry, Weights
from pellucid.margin.nearest import Metric, Search

Variant = Literal["trusted", "disagreement", "signed", "energy", "listing"]
VARIANTS: tuple[Variant, ...] = ("trusted", "disagreement", "signed", "energy", "listing")


@studies.register("labels")
class WrongLabels(Study):
    """Ranks samples by how likely their label is wrong.

    Variants of the score, with f the share of neighbours that have another label (eq. 3):

    - ``trusted`` (ours): v / (v + u), with u the votes for the sample's own label and v those for the strongest other
      one. A neighbour j votes with the weight w_ij (1 - f(j)^2), so that wrong labels have little to say of the right
      ones around them, and one vote more is shared by all classes as they are frequent, so that few or far neighbours
      say less than many near ones.
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
        suggested_: (samples,) the label with most votes by trust; the sample's own where it has no neighbours.
        confidence_: (samples,) share of all votes that this label has, in [0, 1]; 0 where there are no neighbours.

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
        share = np.bincount(number, minlength=len(self.classes_)) / len(number)
        self._spare = share * graph.heaviest
        votes = graph.sums(self._ballots(1 - np.square(doubt))) + self._spare
        votes[graph.isolated] = 0
        best = np.where(graph.isolated, number, votes.argmax(1))
        self.suggested_ = self.classes_[best]
        self.confidence_ = _ratio(votes[np.arange(len(votes)), best], votes.sum(1))
        if self.variant == "trusted":
            return _against(votes, number)
        if self.variant == "disagreement":
            return doubt
        return influence(graph, doubt, mode=self.variant)

    def _score_new(self, links: Links, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        if self.variant == "listing":
            raise PellucidError("expected a variant that scores new samples, got listing, which divides by the maximum "
                                "over all samples; use energy")
        number = known_labels(y, X.shape[0], self.classes_)
        if self.variant == "trusted":
            ballots = self._ballots(1 - np.square(self._doubt))
            return _against(links.weights.astype(np.float64) @ ballots + self._spare, number)
        shares = links.mean(self._ballots(1))
        f: NDArray[np.float64] = 1 - shares[np.arange(len(shares)), number]
        if self.variant == "disagreement":
            return f
        above = f - links.mean(self._doubt)
        return above if self.variant == "signed" else np.square(above)

    def _ballots(self, weight: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """(samples, classes) the weight of a sample where its label is, 0 elsewhere."""
        out = np.zeros((len(self._number), len(self.classes_)))
        out[np.arange(len(out)), self._number] = weight
        return out


def _against(votes: NDArray[np.float64], number: NDArray[np.int64]) -> NDArray[np.float64]:
    """The score ``trusted`` of :class:`WrongLabels`; 0 where nobody votes. Overwrites ``votes``."""
    rows = np.arange(len(votes))
    own = votes[rows, number]
    votes[rows, number] = 0
    other = votes.max(1)
    return _ratio(other, own + other)


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
