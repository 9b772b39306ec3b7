"""What all studies share: an estimator in scikit-learn's manner that builds a graph and scores its samples."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from pellucid.errors import PellucidError
from pellucid.margin.graph import Graph, graph_of
from pellucid.margin.nearest import nearest
from pellucid.registry import Registry

CITATION = ("Anirudh, Thiagarajan, Sridhar and Bremer, MARGIN: Uncovering Deep Neural Networks using Graph Signal "
            "Analysis, Frontiers in Big Data 4 (2021)")


class Study(BaseEstimator):  # type: ignore[misc]
    """Base of the studies: features in, one score a sample out; the higher, the more the study has to say of it.

    ``fit`` keeps ``graph_`` (:class:`Graph`), ``influence_`` ((samples,) scores) and ``ranking_`` ((samples,) sample
    numbers, highest score first). Parameters are stored as they are given and checked by ``fit``.
    """

    citation: ClassVar[str] = CITATION
    needs_labels: ClassVar[bool] = False
    """Whether ``fit`` needs labels."""

    n_neighbors: int
    metric: Any
    weights: Any
    symmetry: Any
    search: Any
    random_state: int
    n_jobs: int | None
    verbose: bool

    def _build(self, X: Any) -> Graph:
        """The graph over the samples."""
        found = nearest(X, self.n_neighbors, metric=self.metric, search=self.search, seed=self.random_state,
                        threads=self.n_jobs, progress=self.verbose)
        return graph_of(found, symmetry=self.symmetry, weights=self.weights)

    @abstractmethod
    def _score(self, graph: Graph, y: ArrayLike | None) -> NDArray[np.float64]:
        """(samples,) the scores."""

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Builds the graph and scores all samples.

        Args:
            X: (samples, features): an array, a data frame, a sparse matrix or a tensor; or a :class:`Graph`.
            y: (samples,) labels, where the study needs them.

        Raises:
            PellucidError: for features, labels or parameters that cannot be used.
        """
        if self.needs_labels and y is None:
            raise PellucidError(f"expected labels for {type(self).__name__}, got none; call fit(X, y)")
        self.graph_ = X if isinstance(X, Graph) else self._build(X)
        self.influence_ = self._score(self.graph_, y)
        self.ranking_ = np.argsort(-self.influence_, kind="stable")
        if not isinstance(X, Graph):
            self.n_features_in_ = int(np.shape(X)[1])
        return self


studies: Registry[type[Study]] = Registry("study", "pellucid.margin")
"""All studies by name."""
