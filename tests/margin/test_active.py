"""The study of what to label next (active): graph convolutions and rounds by loops, and labels saved on real data."""

import networkx as nx
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from pellucid.errors import PellucidError
from pellucid.margin import Graph, influence, knn_graph, studies
from pellucid.margin.active import VARIANTS, LabelNext, spaced
from pellucid.margin.autoencoder import GraphAutoencoder
from pellucid.margin.convolution import GraphConvolutions, inputs, propagation
from pellucid.margin.graph import links_of
from pellucid.margin.nearest import nearest_in

X, Y = load_digits(return_X_y=True)
X, Y = X[:600], Y[:600]
rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def fitted():
    return LabelNext(epochs=60).fit(X)


def random_graph(nodes=12, share=0.25, seed=0):
    w = np.triu(np.random.default_rng(seed).random((nodes, nodes)) < share, 1).astype(float)
    w[-1] = w[:, -1] = 0  # nobody's neighbour
    return w + w.T


# -- graph convolutions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
def test_convolutions_and_their_gradients_are_those_of_dense_matrices(sparse):
    w = random_graph()
    loops = w + np.eye(12)
    root = np.diag(loops.sum(1) ** -0.5)
    dense = torch.tensor(root @ loops @ root, dtype=torch.float32)
    x = rng.random((12, 5)) * (rng.random((12, 5)) < 0.5)
    scaled = torch.tensor(x / np.maximum(x.sum(1, keepdims=True), 1e-300), dtype=torch.float32)
    layers = GraphConvolutions([5, 4, 3])
    out = layers(inputs(sp.csr_array(x) if sparse else x), propagation(Graph.from_matrix(w)))
    out.square().sum().backward()
    found = [p.grad.clone() for p in layers.parameters()]
    layers.zero_grad()
    (a, b), (c, d) = layers.weights, layers.biases
    expected = dense @ ((dense @ (scaled @ a) + c).relu() @ b) + d
    torch.testing.assert_close(out, expected)
    expected.square().sum().backward()
    for gradient, parameter in zip(found, layers.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def test_directions_weights_and_loops_of_a_graph_in_its_propagation():
    directed = Graph.from_matrix([[5.0, 2, 0], [0, 0, 0], [0, 0, 0]])
    expected = [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0], [0, 0, 1]]
    np.testing.assert_allclose(propagation(directed).toarray(), expected, rtol=1e-6)


def test_dropout_of_sparse_features_keeps_their_mean():
    ones = sp.csr_array(np.ones((2000, 2)))
    layer = GraphConvolutions([2, 1], bias=False, dropout=0.5)
    with torch.no_grad():
        layer.weights[0].fill_(1)
    alone = propagation(Graph.from_matrix(sp.csr_array((2000, 2000))))
    out = layer(inputs(ones), alone).detach().numpy()
    assert set(np.unique(out)) == {0, 1, 2}
    assert out.mean() == pytest.approx(1, abs=0.05)
    assert (layer.eval()(inputs(ones), alone) == 1).all()


# -- the autoencoder -------------------------------------------------------------------------------------------------


def test_latents_say_where_edges_are_without_labels():
    graph = knn_graph(X, 8)
    z = GraphAutoencoder(epochs=100, seed=1).fit(graph, X).latents
    edges = graph.weights.toarray() > 0
    closeness = z @ z.T
    pairs = ~np.eye(len(X), dtype=bool)
    inside = np.sort(closeness[edges & pairs])
    outside = rng.choice(closeness[~edges & pairs], len(inside))
    assert (np.searchsorted(inside, outside) / len(inside)).mean() < 0.1  # an AUC of 0.9


def test_the_same_seed_gives_the_same_and_leaves_other_random_numbers_alone():
    graph = Graph.from_matrix(random_graph())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = GraphAutoencoder(epochs=3).fit(graph).latents
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(first, GraphAutoencoder(epochs=3).fit(graph).latents)
    assert np.abs(first - GraphAutoencoder(epochs=3, seed=2).fit(graph).latents).max() > 0.1


def test_a_new_sample_gets_the_latent_of_one_more_node_that_nobody_hears():
    graph = knn_graph(X, 8, symmetry="directed")
    encoder = GraphAutoencoder(epochs=40).fit(graph, X)
    found = nearest_in(X, X[:50] + 0.01, 8)
    links = links_of(found, np.ones(len(X), np.float32))
    z = encoder.extend(links, X[:50] + 0.01)
    w, old = links.weights.toarray(), np.maximum(graph.weights.toarray(), graph.weights.toarray().T)
    share = old + np.eye(len(X))
    for i in (0, 7):
        s = np.r_[share.sum(1), w[i].sum() + 1]
        full = np.zeros((len(X) + 1, len(X) + 1))
        full[:-1, :-1], full[-1, :-1], full[-1, -1] = share, w[i], 1
        full /= np.sqrt(np.outer(s, s))
        x = np.vstack([X, X[i] + 0.01])
        x = x / x.sum(1, keepdims=True)
        w0, w1 = encoder._weights
        expected = full @ (np.maximum(full @ (x @ w0), 0) @ w1)
        np.testing.assert_allclose(z[i], expected[-1], atol=1e-5)
        np.testing.assert_allclose(encoder.latents, expected[:-1], atol=1e-5)


# -- rounds ----------------------------------------------------------------------------------------------------------


def by_rounds(w, score, spacing, first=()):
    """Round after round over all that are left, with distances by NetworkX."""
    graph = nx.from_numpy_array(w)
    near = dict(nx.all_pairs_shortest_path_length(graph, cutoff=spacing))
    out = np.full(len(w), -1)
    left = sorted((i for i in range(len(w)) if i not in first), key=lambda i: -score[i])
    taken, number = list(first), 0
    out[list(first)] = 0
    while left:
        later = []
        for i in left:
            if any(j in near[i] for j in taken):
                later.append(i)
            else:
                taken.append(i)
                out[i] = number
        left, taken, number = later, [], number + 1
    return out


@pytest.mark.parametrize("spacing", [1, 2, 3])
@pytest.mark.parametrize("first", [(), (3, 4, 11)])
def test_rounds_are_those_of_picking_one_after_the_other(spacing, first):
    w = random_graph(40, 0.06, seed=3)
    score = np.random.default_rng(1).random(40)
    known = np.isin(np.arange(40), first)
    expected = by_rounds(w, score, spacing, first)
    np.testing.assert_array_equal(spaced(Graph.from_matrix(w), score, spacing, known), expected)


def test_no_candidates_come_last_and_directions_do_not_matter():
    w = np.diag(np.ones(3), 1)
    assert spaced(Graph.from_matrix(w), np.array([1, 2, -np.inf, 1.5]), 1).tolist() == [1, 0, 2, 0]


# -- the study -------------------------------------------------------------------------------------------------------


def accuracy(rows):
    return (KNeighborsClassifier(1).fit(X[rows], Y[rows]).predict(X) == Y).mean()


def test_it_saves_labels(fitted):
    by_chance = [accuracy(rng.choice(len(X), 20, replace=False)) for _ in range(20)]
    assert accuracy(fitted.ranking_[:20]) > np.mean(by_chance) + 0.1
    assert len(np.unique(Y[fitted.ranking_[:20]])) == 10


def test_variants_are_filters_of_the_norm_of_the_latents(fitted):
    z = fitted.embedding_
    f = np.sqrt((z * z).sum(1))
    scores = {"norm": f, "signed": influence(fitted.graph_, f, mode="signed"), "energy": influence(fitted.graph_, f),
              "listing": influence(fitted.graph_, f, mode="listing")}
    assert set(scores) == set(VARIANTS)
    for variant, expected in scores.items():
        study = LabelNext(variant=variant, spacing=0).fit(fitted.graph_, embedding=z)
        np.testing.assert_allclose(study.influence_, expected, atol=1e-12)
        assert (np.diff(study.influence_[study.ranking_]) <= 0).all()


@pytest.mark.parametrize("form", ["none", "nan", "minus", "pandas", "polars", "words"])
def test_labelled_samples_come_last_and_their_surroundings_wait(fitted, form):
    known = np.zeros(len(X), dtype=bool)
    known[fitted.ranking_[:3]] = True
    words = np.where(known, np.array([f"c{i}" for i in Y]), None)
    y = {"none": [int(a) if k else None for a, k in zip(Y, known, strict=True)], "nan": np.where(known, Y, np.nan),
         "minus": np.where(known, Y, -1), "pandas": pd.Series(Y, dtype="Int64").where(known), "words": words,
         "polars": pl.Series(words.tolist())}[form]
    study = LabelNext(unlabelled=-1 if form == "minus" else None).fit(fitted.graph_, y, embedding=fitted.embedding_)
    np.testing.assert_array_equal(study.labelled_, known)
    assert sorted(study.ranking_[-3:]) == sorted(fitted.ranking_[:3])
    near = fitted.graph_.weights[fitted.ranking_[:3]].sum(0) > 0
    assert (study.round_[near & ~known] > 0).all()
    np.testing.assert_array_equal(study.ranking_[:5], fitted.ranking_[3:8])  # as if one had labelled and gone on


def test_any_features_give_the_same(fitted):
    for features in (pd.DataFrame(X), torch.tensor(X), X.tolist()):
        np.testing.assert_allclose(LabelNext(epochs=60).fit(features).influence_, fitted.influence_)
    # another order of sums
    sparse = LabelNext(epochs=60).fit(sp.csr_array(X))
    assert np.corrcoef(sparse.influence_, fitted.influence_)[0, 1] > 0.99


def test_a_graph_or_distances_alone_are_enough(fitted):
    distances = np.linalg.norm(X[:, None] - X[None], axis=2)
    study = LabelNext(epochs=40, metric="precomputed").fit(distances)
    by_edges = LabelNext(epochs=40).fit(study.graph_)
    np.testing.assert_array_equal(study.influence_, by_edges.influence_)
    assert study.score_samples(distances[:4]).shape == (4,)
    assert accuracy(by_edges.ranking_[:20]) > 0.7


def test_new_samples_are_scored_without_fitting_again(fitted):
    signed = LabelNext(variant="signed").fit(X, embedding=fitted.embedding_)
    links = knn_graph(np.vstack([X, X[:1]]), 20, symmetry="directed").weights[[-1]].toarray()[0, :-1] > 0
    new = signed.score_samples(X[:1], embedding=[[3.0, 4.0] + [0.0] * 14])
    norm = np.linalg.norm(fitted.embedding_, axis=1)
    np.testing.assert_allclose(new, 5 - norm[links].mean(), rtol=1e-6)
    many = fitted.score_samples(X[:30])
    np.testing.assert_allclose(many[4:5], fitted.score_samples(X[4:5]))
    assert np.corrcoef(many, fitted.influence_[:30])[0, 1] > 0.3


def test_it_is_an_estimator():
    study = LabelNext(15, metric="cosine", variant="signed")
    assert clone(study).get_params() == study.get_params()
    assert study.set_params(n_neighbors=7, epochs=3).fit(X).n_features_in_ == 64
    assert studies["active"] is LabelNext


PAIR = Graph.from_matrix([[0, 1], [1, 0]])


@pytest.mark.parametrize(("call", "message"), [
    (lambda: LabelNext(variant="best").fit(X), "expected a variant out of norm"),
    (lambda: LabelNext(spacing=-1).fit(X), "expected spacing as a whole number"),
    (lambda: LabelNext(epochs=0).fit(X), "expected epochs as a whole number"),
    (lambda: LabelNext(epochs=1).fit(X, Y[:5]), r"expected a label, or None, for each of the 600 samples, got shape"),
    (lambda: LabelNext().fit(PAIR, embedding=np.ones((3, 2))), "expected an embedding of each of the 2 samples, got 3"),
    (lambda: LabelNext().fit(Graph.from_matrix(np.zeros((3, 3)))), "expected a graph with edges, got none"),
    (lambda: GraphAutoencoder().fit(PAIR, np.ones((3, 2))), "expected features of the graph's 2 nodes, got 3 rows"),
    (lambda: LabelNext().fit(X, embedding=X).score_samples(X), "expected latents of the new samples if and only if"),
    (lambda: LabelNext(epochs=1, variant="listing").fit(X).score_samples(X), "expected a variant that scores new"),
    (lambda: LabelNext().fit(PAIR, embedding=np.ones((2, 2))).score_samples(X), "fitted on features, got one fitted"),
])
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(PellucidError, match=message):
        call()
