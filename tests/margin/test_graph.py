"""Graphs against SciPy, NetworkX and hand-computed ones; searches against brute force."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from pellucid.errors import PellucidError
from pellucid.margin import Graph, beta_skeleton, epsilon_graph, knn_graph, nearest

rng = np.random.default_rng(1)
X = rng.normal(size=(80, 5)) + 3


def brute(distance, k):
    distance = distance.copy()
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_and_distances_against_scipy(metric, dtype):
    found = nearest(X.astype(dtype), 6, metric=metric)
    distance = cdist(X, X, metric)
    np.testing.assert_array_equal(found.index, brute(distance, 6))
    expected = np.take_along_axis(distance, found.index, 1)
    np.testing.assert_allclose(found.distance, expected if metric == "euclidean" else np.sqrt(2 * expected), rtol=1e-3,
                               atol=1e-4)
    assert found.about == {"metric": metric, "search": "exact", "recall": 1.0}


def test_precomputed_and_sparse():
    distance = cdist(X, X)
    np.testing.assert_array_equal(nearest(distance, 5, metric="precomputed").index, brute(distance, 5))
    words = sp.random_array((50, 200), density=0.05, rng=rng, format="csr")
    dense = words.toarray()
    for metric in ("euclidean", "cosine"):
        np.testing.assert_allclose(nearest(words, 5, metric=metric).distance, nearest(dense, 5, metric=metric).distance,
                                   atol=1e-5)


def test_frames_tensors_and_lists_are_all_the_same():
    expected = nearest(X, 4).index
    for features in (pd.DataFrame(X), torch.tensor(X), X.tolist(), np.asfortranarray(X)):
        np.testing.assert_array_equal(nearest(features, 4).index, expected)


def test_far_from_the_origin_neighbours_are_the_same():
    np.testing.assert_array_equal(nearest((X + 1000).astype(np.float32), 3).index,
                                  nearest((X + 1000).astype(np.float32).astype(np.float64), 3).index)


def clusters(n=6000, d=10, seed=0):
    random = np.random.default_rng(seed)
    centres = 5 * random.normal(size=(30, d))[random.integers(30, size=n)]
    return (centres + random.normal(size=(n, d))).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_approximate_search_reaches_the_recall_asked_for(threads):
    x = clusters()
    exact = nearest(x, 10, search="exact")
    found = nearest(x, 10, search="approximate", threads=threads, recall=0.95)
    hits = [len(np.intersect1d(a, b)) for a, b in zip(exact.index, found.index, strict=True)]
    assert np.mean(hits) / 10 > 0.93
    assert found.about["recall"] == pytest.approx(np.mean(hits) / 10, abs=0.02)
    assert (found.index != np.arange(len(x))[:, None]).all()
    assert (np.diff(found.distance, axis=1) >= 0).all()
    true = np.linalg.norm(x[:, None] - x[found.index], axis=2)
    np.testing.assert_allclose(found.distance, true, atol=1e-2)
    assert all(len(set(row)) == 10 for row in found.index)


def test_all_lists_probed_is_exact(monkeypatch):
    monkeypatch.setattr("pellucid.margin.inverted._CHUNK", 500)
    monkeypatch.setattr("pellucid.margin.inverted._READ", 700)  # blocks that do not end with a step
    monkeypatch.setattr("pellucid.margin.inverted._TILE", 1000)
    x = clusters(2000)
    found = nearest(x, 7, search="approximate", lists=20, probes=20)
    assert found.about["recall"] == 1
    np.testing.assert_allclose(found.distance, nearest(x, 7).distance, atol=1e-3)


def test_duplicates_by_the_thousand():
    x = np.repeat(clusters(30, 4), 100, axis=0)
    for search in ("exact", "approximate"):
        found = nearest(x, 5, search=search)
        np.testing.assert_allclose(found.distance, 0, atol=2e-2)
        assert (found.index != np.arange(len(x))[:, None]).all()
        assert all(len(set(row)) == 5 for row in found.index)


def test_a_list_of_just_k_members_does_not_count_the_sample_itself():
    x = np.concatenate([np.random.default_rng(i).normal(size=(6, 3)) + 100 * i for i in range(5)]).astype(np.float32)
    found = nearest(x, 6, search="approximate", lists=5, probes=1)
    assert (found.index != np.arange(30)[:, None]).all()
    assert np.isfinite(found.distance).all()


def test_lists_smaller_than_k_are_filled_up():
    x = clusters(400, 3)
    found = nearest(x, 30, search="approximate", lists=50, probes=1)
    assert all(len(set(row)) == 30 for row in found.index)


@pytest.mark.parametrize("symmetry", ["union", "mutual", "directed"])
def test_symmetries(symmetry):
    index = brute(cdist(X, X), 4)
    a = np.zeros((80, 80))
    np.put_along_axis(a, index, 1, 1)
    expected = {"union": np.maximum(a, a.T), "mutual": np.minimum(a, a.T), "directed": a}[symmetry]
    graph = knn_graph(X, 4, symmetry=symmetry)
    np.testing.assert_array_equal(graph.weights.toarray(), expected)
    assert graph.symmetric == (symmetry != "directed")
    assert Graph.from_matrix(graph.weights).symmetric == (symmetry != "directed")
    np.testing.assert_array_equal(graph.degree, expected.sum(1))
    np.testing.assert_array_equal(graph.in_degree, expected.sum(0))


def test_weights():
    distance = cdist(X, X)
    reach = np.sort(distance, axis=1)[:, 4]
    there = knn_graph(X, 4).weights.toarray() > 0
    gaussian = np.where(there, np.exp(-distance**2 / (2 * reach.mean() ** 2)), 0)
    np.testing.assert_allclose(knn_graph(X, 4, weights="gaussian").weights.toarray(), gaussian, atol=1e-5)
    chosen = np.where(there, np.exp(-distance**2 / (2 * 0.7**2)), 0)
    np.testing.assert_allclose(knn_graph(X, 4, weights="gaussian", bandwidth=0.7).weights.toarray(), chosen, atol=1e-5)
    tuned = np.where(there, np.exp(-distance**2 / np.outer(reach, reach)), 0)
    np.testing.assert_allclose(knn_graph(X, 4, weights="self-tuning").weights.toarray(), tuned, atol=1e-5)


def test_epsilon_graph_against_networkx():
    graph = epsilon_graph(X, 1.5)
    expected = nx.to_numpy_array(nx.random_geometric_graph(80, 1.5, dim=5, pos=dict(enumerate(X))))
    np.testing.assert_array_equal(graph.weights.toarray(), expected)
    weighted = epsilon_graph(X, 1.5, weights="gaussian", bandwidth=1.0).weights.toarray()
    np.testing.assert_allclose(weighted, expected * np.exp(-cdist(X, X) ** 2 / 2))


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(1, 2))
def test_beta_skeleton_against_its_definition(seed, beta):
    x = np.random.default_rng(seed).normal(size=(15, 2))
    expected = np.zeros((15, 15))
    for i in range(15):
        for j in range(15):
            if i == j:
                continue
            reach = beta * np.linalg.norm(x[i] - x[j]) / 2
            first, second = x[i] + (x[j] - x[i]) * beta / 2, x[j] + (x[i] - x[j]) * beta / 2
            inside = (np.linalg.norm(x - first, axis=1) < reach) & (np.linalg.norm(x - second, axis=1) < reach)
            inside[[i, j]] = False
            expected[i, j] = not inside.any()
    np.testing.assert_array_equal(beta_skeleton(x, beta).weights.toarray(), expected)


def test_the_minimum_spanning_tree_lies_in_every_skeleton():
    tree = nx.minimum_spanning_tree(nx.from_numpy_array(cdist(X, X)))
    for beta in (1, 1.5, 2):
        weights = beta_skeleton(X, beta).weights.toarray()
        assert all(weights[i, j] == 1 for i, j in tree.edges)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: knn_graph(X, 80), "expected k from 1 to 79, one less than the 80 samples, got 80"),
    (lambda: knn_graph(X, 0), "expected k from 1 to 79"),
    (lambda: knn_graph(X, 2.5), "expected k from 1 to 79"),
    (lambda: knn_graph(np.where(X > 5, np.nan, X), 3), "expected finite features, got"),
    (lambda: knn_graph(X[0], 3), r"expected features as \(samples, features\), got shape \(5,\)"),
    (lambda: knn_graph([["a", "b"], ["c", "d"]], 1), "expected features that are numbers"),
    (lambda: knn_graph(X, 3, metric="hamming"), "expected a metric out of euclidean"),
    (lambda: knn_graph(X, 3, metric="precomputed"), "expected a square matrix of distances, got shape"),
    (lambda: knn_graph(-cdist(X, X), 3, metric="precomputed"), "expected distances that are not negative"),
    (lambda: knn_graph(X, 3, symmetry="both"), "expected symmetry as union, mutual or directed"),
    (lambda: knn_graph(X, 3, weights="cauchy"), "expected weights as binary, gaussian or self-tuning"),
    (lambda: knn_graph(X, 3, weights="gaussian", bandwidth=0), "expected a positive bandwidth, got 0"),
    (lambda: nearest(sp.csr_array(X), 3, search="approximate"), "expected dense features for an approximate search"),
    (lambda: nearest(X, 3, probes=2), "expected probes for an approximate search, got an exact one"),
    (lambda: Graph.from_matrix(np.ones((3, 2))), r"expected a square matrix of weights, got shape \(3, 2\)"),
    (lambda: Graph.from_matrix(-np.ones((3, 3))), "expected weights that are finite and not negative"),
    (lambda: epsilon_graph(X, 0), "expected a positive radius, got 0"),
    (lambda: beta_skeleton(X, 3), "expected beta from 1 to 2, got 3"),
    (lambda: beta_skeleton(np.zeros((3001, 1))), "expected at most 3000 samples"),
])
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(PellucidError, match=message):
        call()
