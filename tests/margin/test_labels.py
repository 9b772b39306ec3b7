"""The study of wrong labels (labels): against the equation by loops, and on labels flipped in real data."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits

from pellucid.errors import PellucidError
from pellucid.margin import Graph, WrongLabels, disagreement, influence, knn_graph, studies
from pellucid.margin.labels import VARIANTS

X, Y = load_digits(return_X_y=True)
rng = np.random.default_rng(0)
FLIPPED = np.where(rng.random(len(Y)) < 0.1, (Y + rng.integers(1, 10, len(Y))) % 10, Y)
BAD = FLIPPED != Y
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def by_loops(weights, labels, trust):
    f = np.zeros(len(labels))
    vote = np.ones(len(labels))
    for _ in range(trust + 1):
        now = np.zeros(len(labels))
        for i in range(len(labels)):
            who = np.flatnonzero(weights[i])
            total = sum(weights[i, j] * vote[j] for j in who)
            same = sum(weights[i, j] * vote[j] for j in who if labels[j] == labels[i])
            now[i] = 1 - same / total if total > 0 else f[i]
        f = now
        vote = 1 - f
    return f


@pytest.mark.parametrize("trust", [0, 1, 2])
@pytest.mark.parametrize("weights", ["binary", "self-tuning"])
def test_disagreement_is_equation_3(trust, weights):
    graph = knn_graph(X[:60], 5, weights=weights)
    expected = by_loops(graph.weights.toarray().astype(float), FLIPPED[:60], trust)
    np.testing.assert_allclose(disagreement(graph, FLIPPED[:60], trust=trust), expected, atol=1e-12)


def test_neighbours_that_all_lost_their_vote_change_nothing():
    pair = Graph.from_matrix([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    assert disagreement(pair, [0, 1, 1], trust=3).tolist() == [1, 1, 0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_flipped_labels_come_first(variant):
    audit = WrongLabels(variant=variant).fit(X, FLIPPED)
    top = audit.ranking_[:round(0.2 * len(Y))]
    assert BAD[top].sum() > 0.98 * BAD.sum()
    assert (np.diff(audit.influence_[audit.ranking_]) <= 0).all()


def test_the_suggested_label_is_the_true_one():
    audit = WrongLabels().fit(X, FLIPPED)
    assert (audit.suggested_ == Y)[BAD].mean() > 0.95


def test_paper_variants_are_the_filters_of_f():
    audit = WrongLabels(variant="energy").fit(X, FLIPPED)
    doubt = disagreement(audit.graph_, FLIPPED)
    np.testing.assert_array_equal(audit.influence_, influence(audit.graph_, doubt))
    np.testing.assert_array_equal(WrongLabels(variant="disagreement").fit(X, FLIPPED).influence_, doubt)


def test_any_labels_and_features_give_the_same():
    expected = WrongLabels().fit(X, FLIPPED)
    words = np.array([NAMES[i] for i in FLIPPED])
    for features, labels in ((pd.DataFrame(X), pd.Series(words, dtype="category")),
                             (torch.tensor(X), torch.tensor(FLIPPED)), (X.tolist(), FLIPPED.tolist()),
                             (expected.graph_, words.astype(object))):
        audit = WrongLabels().fit(features, labels)
        np.testing.assert_allclose(audit.influence_, expected.influence_)
    assert audit.suggested_[7] == "seven"


def test_it_is_an_estimator():
    audit = WrongLabels(15, metric="cosine")
    assert clone(audit).get_params() == audit.get_params()
    assert audit.set_params(n_neighbors=7).fit(X, Y).n_features_in_ == 64
    assert studies["labels"] is WrongLabels
    assert "n_neighbors=7" in repr(audit)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: WrongLabels().fit(X), "expected labels for WrongLabels, got none"),
    (lambda: WrongLabels().fit(X, np.zeros(len(X))), "expected at least two classes, got only 0.0"),
    (lambda: WrongLabels().fit(X, Y[:5]), r"expected a label for each of the 1797 samples, got shape \(5,\)"),
    (lambda: WrongLabels().fit(X, np.where(Y > 8, np.nan, Y)), "expected a label for each sample, got 180 missing"),
    (lambda: WrongLabels().fit(X, rng.normal(size=len(X))), "expected labels of classes, got 1797 different numbers"),
    (lambda: WrongLabels(variant="best").fit(X, Y), "expected a variant out of trusted"),
    (lambda: WrongLabels(len(X)).fit(X, Y), "expected k from 1 to 1796"),
    (lambda: disagreement(Graph.from_matrix(np.ones((3, 3))), [0, 1, 1], trust=-1), "expected trust as a whole number"),
])
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(PellucidError, match=message):
        call()
