"""Nearest neighbours of all samples of a dataset, exact or approximate with a measured recall."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from pellucid.errors import PellucidError
from pellucid.margin.inverted import exact_among, exact_neighbors, inverted_file
from pellucid.progress import waiting

Metric = Literal["euclidean", "cosine", "correlation", "precomputed"]
METRICS: tuple[Metric, ...] = ("euclidean", "cosine", "correlation", "precomputed")
Search = Literal["auto", "exact", "approximate"]
MANY = 30_000
"""More samples than this are searched approximately by ``auto``."""
JUDGES = 1000
"""Samples whose exact neighbours say how many of them an approximate search finds."""


@dataclass(frozen=True)
class Nearest:
    """The nearest neighbours of each sample, itself left out, nearest first.

    Attributes:
        index: (samples, k) rows of the samples, int32.
        distance: (samples, k), in the metric; between unit vectors for ``cosine`` and ``correlation``, so that its
            square is twice the usual cosine distance.
        about: The metric, which search was used, and ``recall``: the share of true neighbours that were found, over
            a sample (1 for an exact search).
    """

    index: NDArray[np.int32]
    distance: NDArray[np.float32]
    about: dict[str, Any] = field(default_factory=dict)


def as_features(features: Any, *, few: bool = False) -> Any:
    """Features as a (samples, features) array or CSR matrix of real numbers.

    Arrays of single precision, memory-mapped ones among them, are passed on as they are; data frames (pandas, Polars),
    tensors and nested lists become arrays.

    Args:
        features: (samples, features).
        few: Whether one sample is enough.

    Raises:
        PellucidError: if they are not a table of finite numbers.
    """
    if sp.issparse(features):
        x: Any = sp.csr_array(features)
        values = x.data
    else:
        if hasattr(features, "detach"):  # a torch tensor
            features = features.detach().cpu()
        x = np.asarray(features)
        if x.dtype.kind == "c":
            raise PellucidError("expected real features, got complex ones. Complex data not supported; take the real "
                                "and the imaginary part as two features")
        if x.dtype.kind not in "fiub":
            try:
                x = x.astype(np.float64)
            except (TypeError, ValueError) as error:
                raise PellucidError("expected features that are numbers, got others; encode words and categories as "
                                    "numbers first, or leave those columns out") from error
        values = x
    if x.ndim != 2:
        raise PellucidError(f"expected features as (samples, features), got shape {x.shape}; put a row for each sample")
    for what, got, least in (("sample", x.shape[0], 2 - few), ("feature", x.shape[1], 1)):
        if got < least:
            raise PellucidError(f"expected a table of samples and features, got {got} {what}(s) (shape={x.shape}) "
                                f"while a minimum of {least} is required.")
    if x.dtype.kind != "f" or x.dtype.itemsize not in (4, 8):
        x = x.astype(np.float32 if x.dtype == np.float16 else np.float64)
        values = x.data if sp.issparse(x) else x
    rows = max(1, (1 << 24) // max(x.shape[1], 1))
    for first in range(0, len(values), rows):  # in blocks: the input may be larger than memory
        if not np.isfinite(values[first:first + rows]).all():
            bad = int((~np.isfinite(values[first:first + rows])).sum())
            raise PellucidError(f"expected finite features, got {bad} NaN or infinite values from row {first}; fill "
                                "them in or leave those samples out")
    return x


def nearest(features: Any, k: int = 20, *, metric: Metric = "euclidean", search: Search = "auto", seed: int = 0,
            threads: int | None = None, progress: bool = False, **tuning: Any) -> Nearest:
    """The k nearest neighbours of each sample.

    Args:
        features: (samples, features), dense or sparse, in memory or memory-mapped; for ``precomputed``
            (samples, samples) distances.
        k: Neighbours of a sample, itself not counted.
        metric: ``euclidean``; ``cosine``: between vectors brought to unit length; ``correlation``: the same after each
            sample's own mean is taken away; ``precomputed``.
        search: ``exact``; ``approximate``: an inverted file, see :func:`pellucid.margin.inverted.inverted_file`;
            ``auto``: exact up to 30,000 samples, and for sparse and precomputed features, which have no other.
        seed: Of an approximate search.
        threads: None: as many as the machine lets us use.
        progress: Whether to show a bar on stderr.
        tuning: Options of the inverted file.

    Returns:
        Neighbours, distances, and how they were found.

    Raises:
        PellucidError: for features or a k that cannot be used.

    Example:
        >>> nearest([[0.0], [1.0], [2.5]], k=1).index.ravel().tolist()
        [1, 0, 1]
    """
    if metric not in METRICS:
        raise PellucidError(f"expected a metric out of {', '.join(METRICS)}, got {metric!r}")
    if search not in ("auto", "exact", "approximate"):
        raise PellucidError(f"expected a search out of auto, exact, approximate, got {search!r}")
    x = as_features(features)
    n = x.shape[0]
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k < n:
        raise PellucidError(f"expected k from 1 to {n - 1}, one less than the {n} samples, got {k!r}")
    x = _distances(x) if metric == "precomputed" else in_metric(x, metric)
    if search == "auto":
        search = "approximate" if n > MANY and metric != "precomputed" and not sp.issparse(x) else "exact"
    elif search == "approximate" and (metric == "precomputed" or sp.issparse(x)):
        what = "precomputed distances" if metric == "precomputed" else "sparse features"
        raise PellucidError(f"expected dense features for an approximate search, got {what}; use search=\"exact\"")
    about: dict[str, Any] = {"metric": metric, "search": search}
    if search == "exact":
        if tuning:
            raise PellucidError(f"expected {', '.join(tuning)} for an approximate search, got an exact one; leave it "
                                "out or use search=\"approximate\"")
        with waiting(f"neighbours of {n:,} samples", progress), threadpool_limits(threads):
            distance, index = _exact(x, k, metric)
        return Nearest(index.astype(np.int32), distance.astype(np.float32), {**about, "recall": 1.0})
    index, distance, details = inverted_file(x, k, seed=seed, threads=threads, progress=progress, **tuning)
    recall = measured_recall(x, index, seed=seed, threads=threads)
    return Nearest(index, distance, {**about, **details, "recall": recall, "recall_samples": min(JUDGES, n)})


def nearest_in(features: Any, queries: Any, k: int, *, metric: Metric = "euclidean", threads: int | None = None,
               progress: bool = False) -> Nearest:
    """The k nearest of some samples for each of others, by looking at all.

    Args:
        features: (samples, features), in memory or memory-mapped: read block by block.
        queries: (queries, features); for ``precomputed`` (queries, samples) distances.
        k: Neighbours.
        metric: See :func:`nearest`.
        threads: None: as many as the machine lets us use.
        progress: Whether to show a bar on stderr.

    Returns:
        (queries, k) rows of ``features``, nearest first, and their distances.

    Example:
        >>> nearest_in([[0.0], [1.0], [2.5]], [[2.0]], k=2).index.tolist()
        [[2, 1]]
    """
    x, q = as_features(features), as_features(queries, few=True)
    wanted = x.shape[0] if metric == "precomputed" else x.shape[1]
    if q.shape[1] != wanted:
        raise PellucidError(f"expected {wanted} features of new samples as in fit, got {q.shape[1]}")
    with waiting(f"neighbours of {q.shape[0]:,} new samples", progress):
        x, q = in_metric(x, metric), in_metric(q, metric)
        if metric == "precomputed" or sp.issparse(x) or sp.issparse(q):
            kind = "precomputed" if metric == "precomputed" else "minkowski"
            with threadpool_limits(threads):
                search = NearestNeighbors(algorithm="brute", metric=kind).fit(x)
                distance, index = search.kneighbors(q, n_neighbors=k)
        else:
            index, distance = exact_among(x, q, k, threads=threads)
    return Nearest(index.astype(np.int32), distance.astype(np.float32), {"metric": metric, "search": "exact",
                                                                         "recall": 1.0})


def measured_recall(x: NDArray[Any], index: NDArray[np.int32], *, seed: int = 0, threads: int | None = None) -> float:
    """The share of the true k nearest neighbours that ``index`` has, over a random sample of rows.

    Args:
        x: (samples, features).
        index: (samples, k).
        seed: Of the sample.
        threads: None: as many as the machine lets us use.
    """
    n, k = index.shape
    rows = np.random.default_rng(seed).choice(n, min(JUDGES, n), replace=False)
    true = exact_neighbors(x, rows, k, threads=threads)
    return float(np.mean([np.isin(index[row], best).mean() for row, best in zip(rows, true, strict=True)]))


def _exact(x: Any, k: int, metric: Metric) -> tuple[NDArray[Any], NDArray[Any]]:
    if metric == "precomputed":
        search = NearestNeighbors(algorithm="brute", metric="precomputed").fit(x)
        return search.kneighbors(n_neighbors=k)  # type: ignore[no-any-return]
    if not sp.issparse(x):
        x = x - x.mean(0, dtype=np.float64).astype(x.dtype)  # far from the origin a difference of squares rounds away
    return NearestNeighbors(algorithm="brute").fit(x).kneighbors(n_neighbors=k)  # type: ignore[no-any-return]


def _distances(x: Any) -> Any:
    if x.shape[0] != x.shape[1]:
        raise PellucidError(f"expected a square matrix of distances, got shape {x.shape}; a row and a column belong to "
                            "one sample")
    if sp.issparse(x):
        raise PellucidError("expected a dense matrix of distances, got a sparse one; its missing entries say nothing")
    if (x < 0).any():
        raise PellucidError("expected distances that are not negative, got others; similarities must be turned into "
                            "distances first")
    return x


def in_metric(x: Any, metric: Metric) -> Any:
    """The vectors whose Euclidean distance a metric is: of unit length for ``cosine`` and ``correlation``.

    Args:
        x: (samples, features).
        metric: See :func:`nearest`; distances (``precomputed``) stay as they are.
    """
    if metric not in ("cosine", "correlation"):
        return x
    if sp.issparse(x):
        if metric == "correlation":
            raise PellucidError("expected dense features for the metric correlation, got sparse ones; use cosine")
        norm = np.sqrt(np.asarray(x.multiply(x).sum(axis=1), dtype=np.float64).ravel())
        return sp.csr_array(sp.diags_array(1 / np.where(norm > 0, norm, 1)) @ x)
    out: Any = np.array(x, dtype=np.float32 if x.dtype == np.float32 else np.float64)
    if metric == "correlation":
        out -= out.mean(1, keepdims=True)
    norm = np.linalg.norm(out, axis=1, keepdims=True)
    out /= np.where(norm > 0, norm, 1)
    return out
