"""Filters against the listing of the paper re-typed on dense NumPy, dense matrices, pygsp and eigenvectors."""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from pygsp import graphs
from pygsp.filters import Filter

from pellucid.errors import PellucidError
from pellucid.margin import Graph, band, chebyshev, high_pass, influence, knn_graph
from pellucid.margin.filters import OPERATORS

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
F = rng.normal(size=60)
UNION = knn_graph(X, 4)
WEIGHTED = knn_graph(X, 4, weights="self-tuning")
DIRECTED = knn_graph(X, 4, symmetry="directed")


def dense_operator(w, operator):
    inverse = np.diag(1 / np.sqrt(w.sum(1)))
    columns = np.diag(1 / np.sqrt(np.where(w.sum(0) > 0, w.sum(0), np.inf)))
    normalised = inverse @ w @ columns
    return {"adjacency": w, "transition": w / w.sum(1, keepdims=True), "normalised": normalised,
            "laplacian": np.eye(len(w)) - normalised}[operator]


def listing(adj, f, p):
    """The listing at the end of the paper, on dense arrays."""
    degree = dict(nx.Graph(adj).degree())
    d = np.diag([1.0 / degree[i] for i in range(len(adj))])
    power = np.linalg.matrix_power(np.sqrt(d) @ adj @ np.sqrt(d), p)
    out = np.abs(f - power @ f / (power > 0).sum(1))
    return out / out.max()


@pytest.mark.parametrize("graph", [UNION, WEIGHTED, DIRECTED], ids=["union", "weighted", "directed"])
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("hops", [1, 3])
def test_algorithm_1(graph, operator, hops):
    a = np.linalg.matrix_power(dense_operator(graph.weights.toarray().astype(float), operator), hops)
    expected = F - a @ F
    np.testing.assert_allclose(high_pass(graph, F, operator=operator, hops=hops), expected, atol=1e-5)
    np.testing.assert_allclose(influence(graph, F, operator=operator, hops=hops), expected**2, atol=1e-5)
    np.testing.assert_allclose(influence(graph, F, operator=operator, hops=hops, mode="magnitude"), np.abs(expected),
                               atol=1e-5)
    np.testing.assert_allclose(influence(graph, F, operator=operator, hops=hops, mode="signed"), expected, atol=1e-5)


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("graph", [UNION, WEIGHTED], ids=["union", "weighted"])
def test_the_listing_of_the_paper(graph, hops):
    dense = graph.weights.toarray().astype(float)
    np.testing.assert_allclose(influence(graph, F, hops=hops, mode="listing"), listing(dense, F, hops), atol=1e-6)


def test_the_listing_counts_a_loop_twice():
    adj = np.array([[1.0, 1, 0], [1, 0, 1], [0, 1, 0]])
    f = np.array([1.0, 2, 4])
    np.testing.assert_allclose(influence(Graph.from_matrix(adj), f, mode="listing"), listing(adj, f, 1))


def test_vectors_and_batches():
    signal = rng.normal(size=(60, 5))
    apart = np.stack([influence(UNION, column) for column in signal.T], 1)
    np.testing.assert_allclose(influence(UNION, signal, batched=True), apart)
    np.testing.assert_allclose(influence(UNION, signal), apart.sum(1))
    np.testing.assert_allclose(influence(UNION, signal, mode="magnitude"), np.sqrt(apart.sum(1)))
    blocks = signal[:, :4].reshape(60, 2, 2)
    np.testing.assert_allclose(influence(UNION, blocks, batched=True), apart[:, :4].reshape(60, 2, 2).sum(2))
    largest = influence(UNION, signal, mode="listing", batched=True).max(0)
    np.testing.assert_allclose(largest, 1)


def test_signed_says_who_is_above_the_neighbours():
    star = nx.to_numpy_array(nx.star_graph(4))
    up = influence(Graph.from_matrix(star), [1.0, 0, 0, 0, 0], mode="signed")
    assert up[0] == 1
    assert (up[1:] == -1).all()


def test_a_smooth_signal_has_no_influence_and_parts_do_not_mix():
    two = sp.block_diag([UNION.weights, WEIGHTED.weights])
    f = np.repeat([3.0, -1.0], 60)
    np.testing.assert_allclose(influence(Graph.from_matrix(two), f), 0, atol=1e-9)
    mixed = np.concatenate([F, rng.normal(size=60)])
    np.testing.assert_allclose(influence(Graph.from_matrix(two), mixed)[:60], influence(UNION, F), atol=1e-6)


@pytest.mark.parametrize("mode", ["energy", "magnitude", "signed", "listing"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_node_without_neighbours_has_no_influence_and_harms_nobody(mode, operator):
    weights = sp.block_diag([UNION.weights, sp.csr_array((2, 2))])
    f = np.concatenate([F, [5.0, np.pi]])
    out = influence(Graph.from_matrix(weights), f, mode=mode, operator=operator)
    assert (out[60:] == 0).all()
    np.testing.assert_allclose(out[:60], influence(UNION, F, mode=mode, operator=operator), atol=1e-6)


def test_a_single_precision_graph_gives_the_same(monkeypatch):
    monkeypatch.setattr("pellucid.margin.graph._ROWS", 7)
    exact = Graph(WEIGHTED.weights.astype(np.float64), WEIGHTED.about)
    np.testing.assert_allclose(influence(WEIGHTED, F), influence(exact, F), rtol=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(-100, 100), st.floats(0.1, 10))
def test_influence_ignores_an_offset_and_grows_with_the_square_of_a_factor(seed, offset, factor):
    f = np.random.default_rng(seed).normal(size=60)
    np.testing.assert_allclose(influence(UNION, factor * f + offset), factor**2 * influence(UNION, f), atol=1e-8)
    order = np.random.default_rng(seed).permutation(60)
    shuffled = Graph(sp.csr_array(UNION.weights[order][:, order]), UNION.about)
    np.testing.assert_allclose(influence(shuffled, f[order]), influence(UNION, f)[order], atol=1e-12)


def heat(frequency):
    return np.exp(-3 * frequency)


def test_chebyshev_against_eigenvectors_and_pygsp():
    dense = WEIGHTED.weights.toarray().astype(float)
    laplacian = np.eye(60) - dense_operator(dense, "normalised")
    value, vector = np.linalg.eigh((laplacian + laplacian.T) / 2)
    exact = vector @ (heat(value) * (vector.T @ F))
    np.testing.assert_allclose(chebyshev(WEIGHTED, F, heat, damping=False), exact, atol=1e-9)
    peer = graphs.Graph((dense + dense.T) / 2, lap_type="normalized")
    peer.compute_fourier_basis()
    np.testing.assert_allclose(exact, Filter(peer, heat).filter(F, method="exact"), atol=1e-5)
    peer.compute_laplacian("combinatorial")
    np.testing.assert_allclose(peer.L @ F, dense.sum(1) * high_pass(WEIGHTED, F), atol=1e-5)


def test_a_band_keeps_its_frequencies_and_no_others():
    laplacian = np.eye(60) - dense_operator(UNION.weights.toarray().astype(float), "normalised")
    value, vector = np.linalg.eigh(laplacian)
    low, high = vector[:, 3], vector[:, -1]
    assert value[3] < 0.6 < 1.1 < value[-1]
    passed = chebyshev(UNION, np.stack([low, high], 1), band(0.8, 2), order=80)
    assert np.linalg.norm(passed[:, 0]) < 0.02
    np.testing.assert_allclose(passed[:, 1], high, atol=0.02)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: influence(UNION, F[:-1]), r"expected a signal with a row for each of the 60 nodes, got shape \(59,\)"),
    (lambda: influence(UNION, np.where(F > 2, np.nan, F)), "expected finite numbers as a signal"),
    (lambda: influence(UNION, ["a"] * 60), "expected numbers as a signal"),
    (lambda: influence(UNION, F, operator="fourier"), "expected an operator out of adjacency"),
    (lambda: influence(UNION, F, mode="loud"), "expected a mode out of energy"),
    (lambda: influence(UNION, F, hops=0), "expected hops as a whole number of at least 1, got 0"),
    (lambda: influence(UNION, X, mode="signed"), "expected a scalar signal for the mode signed"),
    (lambda: influence(UNION, F, batched=True), "expected a signal of shape"),
    (lambda: chebyshev(DIRECTED, F, heat), "expected an undirected graph"),
    (lambda: band(1, 3), "expected 0 <= low < high <= 2"),
])
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(PellucidError, match=message):
        call()
