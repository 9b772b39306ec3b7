"""Which samples to label next: the middle of well-connected regions, kept apart (MARGIN paper, section 5.6)."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from pellucid.errors import PellucidError
from pellucid.margin.base import Study, studies
from pellucid.margin.filters import influence
from pellucid.margin.graph import Graph, Links, Symmetry, Weights
from pellucid.margin.nearest import Metric, Search, as_features

Variant = Literal["norm", "signed", "energy", "listing"]
VARIANTS: tuple[Variant, ...] = ("norm", "signed", "energy", "listing")


@studies.register("active")
class LabelNext(Study):
    """Ranks samples by how much it helps to label them next; no labels are needed.

    A graph autoencoder embeds the samples by their features and edges, without labels
    (:class:`pellucid.margin.autoencoder.GraphAutoencoder`); f(i) is the norm of sample i's latent, high in the middle
    of well-connected regions (paper, section 5.6). Variants of the score:

    - ``norm`` (ours, with the spacing below): f.
    - ``signed`` (ours): f - A f: higher than the neighbours, not lower.
    - ``energy``: (f - A f)^2, the paper's Algorithm 1.
    - ``listing``: the code at the end of the paper.

    The ranking keeps its first samples apart (ours): each round takes samples from the highest score down, but none
    that is within ``spacing`` edges of another of its round; those wait for the next. Samples with a label belong to
    the first round before all others, so that their surroundings wait, and are last in the ranking.

    Args:
        n_neighbors: k, where ``fit`` builds the graph.
        variant: See above.
        spacing: Edges; 0: by score alone, as in the paper.
        epochs: Steps of the autoencoder, where ``fit`` is given no latents.
        unlabelled: A label that stands for none, e.g. -1, beside None and NaN, which always do.
        metric: Of the features; see :func:`pellucid.margin.nearest`.
        weights: Of edges; see :func:`pellucid.margin.knn_graph`.
        symmetry: Of the graph.
        search: How neighbours are found.
        random_state: Of the autoencoder and of an approximate search.
        n_jobs: Threads for the search; None: as many as the machine lets us use.
        verbose: Whether to show bars.

    Attributes:
        influence_: (samples,) the score, of labelled samples too.
        ranking_: (samples,) samples, the one to label first at the front.
        round_: (samples,) the round of each, from 0.
        labelled_: (samples,) whether a label is known.
        embedding_: (samples, width) latents.

    Example:
        >>> path = Graph.from_matrix(np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1))
        >>> latents = [[1.0], [3.0], [2.9], [2.0], [1.0]]
        >>> study = LabelNext(spacing=1)
        >>> study.fit(path, embedding=latents).ranking_.tolist()
        [1, 3, 2, 0, 4]
        >>> study.fit(path, [None, "a", None, None, None], embedding=latents).ranking_.tolist()
        [3, 2, 0, 4, 1]
    """

    def __init__(self, n_neighbors: int = 20, *, variant: Variant = "norm", spacing: int = 2, epochs: int = 200,
                 unlabelled: Any = None, metric: Metric = "euclidean", weights: Weights = "binary",
                 symmetry: Symmetry = "union", search: Search = "auto", random_state: int = 0,
                 n_jobs: int | None = None, verbose: bool = False) -> None:
        self.n_neighbors = n_neighbors
        self.variant = variant
        self.spacing = spacing
        self.epochs = epochs
        self.unlabelled = unlabelled
        self.metric = metric
        self.weights = weights
        self.symmetry = symmetry
        self.search = search
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: ArrayLike | None = None, *, embedding: Any = None) -> Self:
        """Builds the graph, embeds, scores and ranks all samples.

        Args:
            X: (samples, features): an array, a data frame, a sparse matrix or a tensor; or a :class:`Graph`.
            y: (samples,) labels, of which some are None, NaN or ``unlabelled``; None: no label is known.
            embedding: (samples, width) latents of your own; None: those of an autoencoder of the graph and of X, or of
                the graph alone where X is that or distances.

        Raises:
            PellucidError: for features, labels, latents or parameters that cannot be used.
        """
        self._given = embedding
        super().fit(X, y)
        del self._given
        self.round_ = spaced(self.graph_, self.influence_, self.spacing, self.labelled_)
        self.ranking_ = np.lexsort((-self.influence_, self.round_, self.labelled_))
        return self

    def score_samples(self, X: Any, y: ArrayLike | None = None, *, embedding: Any = None) -> NDArray[np.float64]:
        """Scores new samples against the fitted ones, which stay as they are; see :meth:`Study.score_samples`.

        Args:
            X: (new samples, features), with the features of ``fit``.
            y: Not looked at.
            embedding: (new samples, width) their latents, where ``fit`` was given any.
        """
        self._given = embedding
        try:
            return super().score_samples(X)
        finally:
            del self._given

    def _score(self, graph: Graph, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        if self.variant not in VARIANTS:
            raise PellucidError(f"expected a variant out of {', '.join(VARIANTS)}, got {self.variant!r}")
        if isinstance(self.spacing, bool) or not isinstance(self.spacing, int | np.integer) or self.spacing < 0:
            raise PellucidError(f"expected spacing as a whole number of edges, got {self.spacing!r}")
        self.labelled_ = _labelled(y, graph.nodes, self.unlabelled)
        self._encoder: Any = None
        if self._given is None:
            from pellucid.margin.autoencoder import GraphAutoencoder

            self._encoder = GraphAutoencoder(epochs=self.epochs, seed=self.random_state, progress=self.verbose)
            self.embedding_ = self._encoder.fit(graph, self._told(X)).latents
        else:
            self.embedding_ = self._latents(graph.nodes)
        self._norm = _norm(self.embedding_)
        return self._norm if self.variant == "norm" else influence(graph, self._norm, mode=self.variant)

    def _score_new(self, links: Links, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        if self.variant == "listing":
            raise PellucidError("expected a variant that scores new samples, got listing, which divides by the maximum "
                                "over all samples; use energy")
        if (self._encoder is None) != (self._given is not None):
            raise PellucidError("expected latents of the new samples if and only if fit was given latents; call "
                                "score_samples(X, embedding=...) after fit(X, embedding=...)")
        new = self._latents(X.shape[0]) if self._encoder is None else self._encoder.extend(links, self._told(X))
        f = _norm(new)
        if self.variant == "norm":
            return f
        above = f - links.mean(self._norm)
        return above if self.variant == "signed" else np.square(above)

    def _told(self, X: Any) -> Any:
        """What the autoencoder sees beside the edges."""
        return None if self.metric == "precomputed" else X

    def _latents(self, samples: int) -> Any:
        z = as_features(self._given, few=True)
        if z.shape[0] != samples:
            raise PellucidError(f"expected an embedding of each of the {samples} samples, got {z.shape[0]} rows")
        return z


def spaced(graph: Graph, score: NDArray[np.float64], spacing: int, labelled: NDArray[np.bool_] | None = None
           ) -> NDArray[np.int64]:
    """(nodes,) the round in which each node is taken: a greedy colouring of the nodes within ``spacing`` edges.

    From the highest score down, a node is taken in the first round that has no node within ``spacing`` edges of it.
    Directions of edges do not matter.

    Args:
        graph: The graph.
        score: (nodes,); -inf: no candidate, taken last and in nobody's way.
        spacing: Edges; 0: all nodes are of round 0.
        labelled: (nodes,) those that are of round 0 before all others.

    Example:
        >>> triangle = Graph.from_matrix([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
        >>> spaced(triangle, np.array([1.0, 3.0, 2.0]), 1).tolist()
        [2, 0, 1]
    """
    rounds = np.zeros(graph.nodes, np.int64)
    if spacing == 0:
        return rounds
    w = graph.weights if graph.symmetric else sp.csr_array(graph.weights.maximum(graph.weights.T))
    rounds[:] = -1
    if labelled is not None:
        rounds[labelled] = 0
    order = np.argsort(-score, kind="stable")
    for node in order[(rounds[order] < 0) & (score[order] > -np.inf)]:
        ball = np.array([node])
        for _ in range(spacing):
            ball = np.unique(np.concatenate([ball, *(w.indices[w.indptr[j]:w.indptr[j + 1]] for j in ball)]))
        others = rounds[ball]
        free = np.ones(len(ball) + 1, dtype=bool)
        free[others[(others >= 0) & (others < len(free))]] = False
        rounds[node] = free.argmax()
    rounds[rounds < 0] = rounds.max() + 1
    return rounds


def _norm(z: Any) -> NDArray[np.float64]:
    square = z.multiply(z).sum(axis=1) if sp.issparse(z) else np.square(z).sum(axis=1, dtype=np.float64)
    out: NDArray[np.float64] = np.sqrt(np.asarray(square, dtype=np.float64))
    return out


def _labelled(y: ArrayLike | None, samples: int, unlabelled: Any) -> NDArray[np.bool_]:
    """(samples,) whether a label is known."""
    if y is None:
        return np.zeros(samples, dtype=bool)
    missing: Any = np.zeros(samples, dtype=bool)
    if hasattr(y, "isna"):  # pandas, whose NA does not compare
        missing = np.asarray(y.isna()).reshape(-1)
    values: Any = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (samples,):
        raise PellucidError(f"expected a label, or None, for each of the {samples} samples, got shape {values.shape}")
    none = [gone or v is None or bool(v != v) or (unlabelled is not None and bool(v == unlabelled))
            for gone, v in zip(missing.tolist(), values.tolist(), strict=True)]
    return ~np.array(none)
