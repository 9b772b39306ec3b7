"""The study of wrong labels (labels): against the equation by loops, and on labels flipped in real data."""

import numpy as np
import pandas as pd
import polars as pl
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


def by_loops(weights, labels):
    f = np.zeros(len(labels))
    for i in range(len(labels)):
        who = np.flatnonzero(weights[i])
        total = sum(weights[i, j] for j in who)
        f[i] = sum(weights[i, j] for j in who if labels[j] != labels[i]) / total if total > 0 else 0
    return f


@pytest.mark.parametrize("weights", ["binary", "self-tuning"])
def test_disagreement_is_equation_3(weights):
    graph = knn_graph(X[:60], 5, weights=weights)
    expected = by_loops(graph.weights.toarray().astype(float), FLIPPED[:60])
    np.testing.assert_allclose(disagreement(graph, FLIPPED[:60]), expected, atol=1e-12)


def test_a_sample_without_neighbours_does_not_disagree():
    pair = Graph.from_matrix([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    assert disagreement(pair, [0, 1, 1]).tolist() == [1, 1, 0]


def trusted_by_loops(weights, labels):
    f, classes = by_loops(weights, labels), sorted(set(labels))
    score, suggested, confidence = [], [], []
    for i, own in enumerate(labels):
        votes = {c: weights.max() * np.mean(labels == c) for c in classes}
        for j in np.flatnonzero(weights[i]):
            votes[labels[j]] += weights[i, j] * (1 - f[j]**2)
        other = max(v for c, v in votes.items() if c != own)
        score.append(other / (other + votes[own]))
        suggested.append(max(votes, key=votes.get))
        confidence.append(votes[suggested[-1]] / sum(votes.values()))
    return score, suggested, confidence


@pytest.mark.parametrize("weights", ["binary", "self-tuning"])
def test_trusted_is_what_it_says(weights):
    audit = WrongLabels(5, weights=weights).fit(X[:60], FLIPPED[:60])
    score, suggested, confidence = trusted_by_loops(audit.graph_.weights.toarray().astype(float), FLIPPED[:60])
    np.testing.assert_allclose(audit.influence_, score, atol=1e-12)
    np.testing.assert_array_equal(audit.suggested_, suggested)
    np.testing.assert_allclose(audit.confidence_, confidence, atol=1e-12)


def test_the_unit_of_weights_does_not_matter():
    graph = knn_graph(X, 10)
    twice = WrongLabels().fit(Graph.from_matrix(2 * graph.weights), FLIPPED)
    np.testing.assert_allclose(twice.influence_, WrongLabels().fit(graph, FLIPPED).influence_)


def test_nothing_is_said_of_those_without_neighbours():
    audit = WrongLabels().fit(Graph.from_matrix([[0, 1, 0], [1, 0, 0], [0, 0, 0]]), ["a", "b", "b"])
    assert audit.influence_[2] == audit.confidence_[2] == 0
    assert audit.suggested_[2] == "b"
    assert WrongLabels().fit(Graph.from_matrix(np.zeros((3, 3))), [0, 1, 1]).influence_.tolist() == [0, 0, 0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_flipped_labels_come_first(variant):
    audit = WrongLabels(variant=variant).fit(X, FLIPPED)
    top = audit.ranking_[:round(0.2 * len(Y))]
    assert BAD[top].sum() > 0.98 * BAD.sum()
    assert (np.diff(audit.influence_[audit.ranking_]) <= 0).all()


def test_the_suggested_label_is_the_true_one():
    audit = WrongLabels().fit(X, FLIPPED)
    right = audit.suggested_ == Y
    assert right[BAD].mean() > 0.95
    assert audit.confidence_[right].mean() > 0.8 > 0.6 > audit.confidence_[~right].mean()


def test_paper_variants_are_the_filters_of_f():
    audit = WrongLabels(variant="energy").fit(X, FLIPPED)
    doubt = disagreement(audit.graph_, FLIPPED)
    np.testing.assert_array_equal(audit.influence_, influence(audit.graph_, doubt))
    np.testing.assert_array_equal(WrongLabels(variant="disagreement").fit(X, FLIPPED).influence_, doubt)


EXPECTED = WrongLabels().fit(X, FLIPPED)
WORDS = np.array([NAMES[i] for i in FLIPPED])


@pytest.mark.parametrize("features", [
    pd.DataFrame(X, index=rng.permutation(len(X))), pl.DataFrame(X, schema=[f"x{i}" for i in range(64)]),
    torch.tensor(X), X.tolist(), EXPECTED.graph_], ids=["pandas", "polars", "torch", "lists", "graph"])
def test_any_features_give_the_same(features):
    np.testing.assert_allclose(WrongLabels().fit(features, FLIPPED).influence_, EXPECTED.influence_)


@pytest.mark.parametrize("labels", [
    WORDS, WORDS.astype(object), WORDS.tolist(), pd.Series(WORDS), pd.Series(WORDS, dtype="category"),
    pd.Series(WORDS, dtype="string"), pl.Series(WORDS), pl.Series(WORDS, dtype=pl.Categorical),
    pl.Series(WORDS, dtype=pl.Enum(NAMES)), pl.DataFrame({"label": WORDS})])
def test_any_labels_give_the_same(labels):
    audit = WrongLabels().fit(EXPECTED.graph_, labels)
    np.testing.assert_allclose(audit.influence_, EXPECTED.influence_)
    assert audit.suggested_[7] == "seven"


@pytest.mark.parametrize("labels", [FLIPPED > 4, (FLIPPED > 4).tolist(), pd.Series(FLIPPED > 4, dtype="boolean"),
                                    pl.Series(FLIPPED > 4), torch.tensor(FLIPPED > 4)])
def test_booleans_are_labels(labels):
    audit = WrongLabels().fit(EXPECTED.graph_, labels)
    np.testing.assert_allclose(audit.influence_, WrongLabels().fit(EXPECTED.graph_, (FLIPPED > 4) + 0).influence_)
    assert audit.suggested_[7].item() is True


@pytest.mark.parametrize("variant", ["trusted", "disagreement", "signed", "energy"])
def test_new_samples_hear_those_that_are_known(variant):
    x = X + rng.normal(0, 0.01, X.shape)  # no two at the same distance
    old, new = x[:1500], x[1500:]
    audit = WrongLabels(variant=variant, weights="binary", symmetry="directed").fit(old, FLIPPED[:1500])
    before = audit.influence_.copy()
    scores = audit.score_samples(new, FLIPPED[1500:])
    np.testing.assert_array_equal(audit.influence_, before)
    f = disagreement(audit.graph_, FLIPPED[:1500])
    for i in range(0, len(new), 40):
        who = np.argsort(np.linalg.norm(old - new[i], axis=1), kind="stable")[:20]
        same = FLIPPED[who] == FLIPPED[1500 + i]
        if variant == "trusted":
            votes = np.bincount(FLIPPED[who], 1 - f[who]**2, 10) + np.bincount(FLIPPED[:1500]) / 1500
            own = votes[FLIPPED[1500 + i]]
            votes[FLIPPED[1500 + i]] = 0
            expected = votes.max() / (votes.max() + own)
        else:
            above = 1 - same.mean() - f[who].mean()
            expected = {"disagreement": 1 - same.mean(), "signed": above, "energy": above**2}[variant]
        assert scores[i] == pytest.approx(expected, abs=1e-9)
    flagged = np.argsort(-scores)[:round(0.2 * len(new))]
    assert BAD[1500:][flagged].sum() > 0.9 * BAD[1500:].sum()


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
    (lambda: WrongLabels(variant="listing").fit(X, Y).score_samples(X, Y), "expected a variant that scores new"),
    (lambda: WrongLabels().fit(X[:99], Y[:99] % 3).score_samples(X, Y), "expected labels that fit has seen, got"),
    (lambda: WrongLabels(len(X)).fit(X, Y), "expected k from 1 to 1796"),
])
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(PellucidError, match=message):
        call()
