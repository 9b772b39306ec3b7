"""What all studies share: an estimator in scikit-learn's manner that builds a graph and scores its samples."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from pellucid import families
from pellucid.errors import PellucidError
from pellucid.margin.graph import Graph, Links, graph_of, links_of
from pellucid.margin.nearest import Metric, Search, as_features, nearest, nearest_in
from pellucid.registry import Registry

studies: Registry[type[Study]] = families.studies

CITATION = ("Anirudh, Thiagarajan, Sridhar and Bremer, MARGIN: Uncovering Deep Neural Networks using Graph Signal "
            "Analysis, Frontiers in Big Data 4 (2021)")


class Study(BaseEstimator):  # type: ignore[misc]
    """Base of the studies: features in, one score a sample out; the higher, the more the study has to say of it.

    ``fit`` keeps ``graph_`` (:class:`Graph`), ``influence_`` ((samples,) scores) and ``ranking_`` ((samples,) sample
    numbers, highest score first). ``score_samples`` scores new samples against them without fitting again.
    Parameters are stored as they are given and checked by ``fit``.
    """

    citation: ClassVar[str] = CITATION
    needs_labels: ClassVar[bool] = False
    """Whether ``fit`` needs labels."""

    n_neighbors: int
    metric: Metric
    weights: Any
    symmetry: Any
    search: Search
    random_state: int
    n_jobs: int | None
    verbose: bool

    @abstractmethod
    def _score(self, graph: Graph, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        """(samples,) the scores; X is None where ``fit`` was given a graph."""

    def _score_new(self, links: Links, X: Any, y: ArrayLike | None) -> NDArray[np.float64]:
        """(new samples,) the scores of samples that ``fit`` has not seen, by their links to those that it has."""
        raise PellucidError(f"expected a study that scores new samples, got {type(self).__name__}; fit it on all "
                            "samples together")

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Builds the graph and scores all samples.

        Args:
            X: (samples, features): an array, a data frame, a sparse matrix or a tensor; or a :class:`Graph`.
            y: (samples,) labels, where the study needs them.

        Raises:
            PellucidError: for features, labels or parameters that cannot be used.
        """
        if self.needs_labels and y is None:
            raise PellucidError(f"expected labels for {type(self).__name__}, got none; call fit(X, y). It requires y "
                                "to be passed, but the target y is None")
        self._features, self._reach = None, None
        if isinstance(X, Graph):
            self.graph_ = X
            for name in ("n_features_in_", "feature_names_in_"):
                self.__dict__.pop(name, None)
        else:
            self._features = as_features(X)
            validate_data(self, X, reset=True, skip_check_array=True)
            found = nearest(self._features, self.n_neighbors, metric=self.metric, search=self.search,
                            seed=self.random_state, threads=self.n_jobs, progress=self.verbose)
            self._reach = found.distance[:, -1].copy()
            self.graph_ = graph_of(found, symmetry=self.symmetry, weights=self.weights)
        self.influence_ = self._score(self.graph_, self._features, y)
        self.ranking_ = np.argsort(-self.influence_, kind="stable")
        return self

    def score_samples(self, X: Any, y: ArrayLike | None = None) -> NDArray[np.float64]:
        """Scores new samples against the fitted ones, which stay as they are.

        A new sample hears its nearest fitted neighbours; nobody hears it, so that the scores do not depend on what else
        is new.

        Args:
            X: (new samples, features), with the features of ``fit``; for ``metric="precomputed"`` (new samples, fitted
                samples) distances.
            y: (new samples,) labels, where the study needs them.

        Returns:
            (new samples,), on the scale of ``influence_``.

        Raises:
            PellucidError: for features or labels that cannot be used, or if ``fit`` was given a graph.
        """
        check_is_fitted(self, "influence_")
        if self._features is None or self._reach is None:
            raise PellucidError("expected a study that was fitted on features, got one fitted on a graph; new samples "
                                "have no place in it")
        if self.needs_labels and y is None:
            raise PellucidError(f"expected labels of the new samples for {type(self).__name__}, got none; call "
                                "score_samples(X, y)")
        x = as_features(X, few=True)
        validate_data(self, X, reset=False, skip_check_array=True)
        found = nearest_in(self._features, x, self.n_neighbors, metric=self.metric, threads=self.n_jobs,
                           progress=self.verbose)
        return self._score_new(links_of(found, self._reach, weights=self.weights), x, y)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = self.needs_labels
        return tags
