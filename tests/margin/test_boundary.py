"""The study of decision boundaries (boundary): against dense algebra, and on a boundary that is known."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.base import clone

from pellucid.errors import PellucidError
from pellucid.margin import Graph, disagreement, influence, knn_graph, studies
from pellucid.margin.boundary import VARIANTS, DecisionBoundary

rng = np.random.default_rng(0)
X = rng.normal(size=(600, 2))
Y = X[:, 0] + X[:, 1] > 0
AWAY = np.abs(X.sum(1))


def test_diffused_is_the_solution_of_its_equation():
    graph = knn_graph(X[:80], 6, weights="self-tuning")
    w = graph.weights.toarray().astype(float)
    walk = w / w.sum(1, keepdims=True)
    f = 1 - np.array([row[Y[:80] == own].sum() for row, own in zip(walk, Y[:80], strict=True)])
    expected = np.linalg.solve(np.eye(80) - walk / 2, f / 2)
    study = DecisionBoundary().fit(graph, Y[:80])
    np.testing.assert_allclose(study.influence_, expected, atol=1e-8)


def test_the_top_is_near_the_boundary():
    study = DecisionBoundary(10).fit(X, Y)
    assert AWAY[study.ranking_[:30]].mean() < 0.15 * AWAY.mean()
    f = DecisionBoundary(10, variant="disagreement").fit(X, Y).influence_
    assert spearmanr(study.influence_, -AWAY)[0] > 0.8 > spearmanr(f, -AWAY)[0]
    assert (study.influence_[f == 0] > 0).all()  # diffusion tells those apart of which f says nothing


def test_other_variants_are_f_and_its_filters():
    f = disagreement(knn_graph(X, 30, weights="self-tuning"), Y)
    for variant in ("energy", "signed"):
        study = DecisionBoundary(variant=variant).fit(X, Y)
        np.testing.assert_array_equal(study.influence_, influence(study.graph_, f, mode=variant))
    np.testing.assert_array_equal(DecisionBoundary(variant="disagreement").fit(X, Y).influence_, f)


@pytest.mark.parametrize("variant", VARIANTS)
def test_new_samples_hear_those_that_are_known(variant):
    study = DecisionBoundary(8, variant=variant, weights="binary").fit(X[:500], Y[:500])
    before = study.influence_.copy()
    scores = study.score_samples(X[500:], Y[500:])
    np.testing.assert_array_equal(study.influence_, before)
    f = disagreement(study.graph_, Y[:500])
    for i in range(100):
        who = np.argsort(np.linalg.norm(X[:500] - X[500 + i], axis=1), kind="stable")[:8]
        own = np.mean(Y[:500][who] != Y[500 + i])
        above = own - f[who].mean()
        expected = {"diffused": (own + before[who].mean()) / 2, "disagreement": own, "signed": above,
                    "energy": above**2}[variant]
        assert scores[i] == pytest.approx(expected, abs=1e-9)


def test_labels_and_features_of_any_kind():
    expected = DecisionBoundary().fit(X, Y).influence_
    words = np.where(Y, "cat", "dog")
    for features, labels in ((pd.DataFrame(X), pd.Series(words, dtype="category")),
                             (pl.DataFrame(X, schema=["a", "b"]), pl.Series(words)), (X.tolist(), Y.tolist())):
        np.testing.assert_allclose(DecisionBoundary().fit(features, labels).influence_, expected)


def test_those_without_neighbours_are_not_at_a_boundary():
    lone = Graph.from_matrix([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    for variant in VARIANTS:
        assert DecisionBoundary(variant=variant).fit(lone, [0, 1, 1]).influence_[2] == 0


def test_it_is_an_estimator():
    study = DecisionBoundary(7, metric="cosine", variant="energy")
    assert clone(study).get_params() == study.get_params()
    assert studies["boundary"] is DecisionBoundary


@pytest.mark.parametrize(("call", "message"), [
    (lambda: DecisionBoundary().fit(X), "expected labels for DecisionBoundary, got none"),
    (lambda: DecisionBoundary(variant="near").fit(X, Y), "expected a variant out of diffused"),
    (lambda: DecisionBoundary().fit(X, Y * 0), "expected at least two classes"),
    (lambda: DecisionBoundary().fit(X, Y).score_samples(X[:2]), "expected labels of the new samples"),
    (lambda: DecisionBoundary().fit(X, Y + 0).score_samples(X[:1], [2]), "expected labels that fit has seen"),
])
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(PellucidError, match=message):
        call()
