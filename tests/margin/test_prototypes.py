"""Prototypes and criticisms: eq. 2 of new samples by loops, the greedy cover by its definition, and what users feed."""

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize

from pellucid.errors import PellucidError
from pellucid.margin import Graph, influence, knn_graph, studies
from pellucid.margin.functions import mean_discrepancy
from pellucid.margin.prototypes import VARIANTS, Prototypes, cover

X, Y = load_digits(return_X_y=True)
X, Y = X[:600], Y[:600]
NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
rng = np.random.default_rng(0)


def greedy(weights, voice, m):
    """Facility location by its definition, computed anew for each candidate."""
    w = weights.copy()
    np.fill_diagonal(w, weights.max())
    chosen, values = [], []
    for _ in range(m):
        worth = [-1.0 if i in chosen else (voice * w[[*chosen, i]].max(0)).sum() for i in range(len(w))]
        chosen.append(int(np.argmax(worth)))
        values.append(max(worth))
    return chosen, values


def test_the_cover_is_the_greedy_choice():
    weights = knn_graph(X[:80], 6, weights="self-tuning").weights.astype(np.float64)
    voice = rng.uniform(0.5, 3, 80)
    order, left = cover(weights, voice)
    expected, values = greedy(weights.toarray(), voice, 80)
    assert order.tolist() == expected
    unsaid = 1 - np.array(values) / (weights.max() * voice.sum())
    new = unsaid > 1e-9  # the last has a neighbour of the largest weight: it adds nothing, and starts over
    np.testing.assert_allclose(left[new], unsaid[new], atol=1e-12)
    assert new.sum() == 78
    assert (left[~new] < 1e-9).all()


def test_the_cover_is_worth_almost_the_best_choice():
    weights = knn_graph(X[:14], 3, weights="gaussian").weights.astype(np.float64).toarray()
    own = weights + np.diag(np.full(14, weights.max()))
    best = max(own[list(some)].max(0).sum() for some in itertools.combinations(range(14), 4))
    order, _ = cover(sp.csr_array(weights))
    assert own[order[:4]].max(0).sum() >= (1 - 1 / np.e) * best


def test_the_cover_starts_over_when_all_are_spoken_for():
    path = np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)  # 0 - 1 - 2 - 3 - 4
    order, left = cover(sp.csr_array(path), tie=[0, 0, 1, 2, 0])
    assert order.tolist() == [3, 0, 2, 1, 4]  # of equal ones the highest tie, then the lowest number
    np.testing.assert_allclose(left, [0.4, 0, -0.6, -0.8, -1])
    order, left = cover(sp.csr_array((3, 3)))
    assert order.tolist() == [0, 1, 2]


@pytest.mark.parametrize("local", [False, True])
def test_new_samples_are_scored_by_equation_2(local):
    y = Y[:500] if local else None
    audit = Prototypes(10, function="local" if local else "global", gamma=0.002, weights="binary").fit(X[:500], y)
    score = audit.score_samples(X[500:], Y[500:] if local else None)
    for i, (new, label) in enumerate(zip(X[500:520], Y[500:520], strict=True)):
        square = np.square(X[:500] - new).sum(1)
        near = np.argsort(square, kind="stable")[:10]
        rest = (Y[:500] == label) if local else np.ones(500, bool)
        rest[near] = False
        kernel = np.exp(-0.002 * square)[rest]
        f = kernel.mean() + (kernel.sum() + 1) / (rest.sum() + 1)
        assert score[i] == pytest.approx(audit.function_[near].mean() - f, abs=1e-6)


def test_the_score_is_how_far_a_sample_is_below_its_neighbours():
    audit = Prototypes().fit(X)
    np.testing.assert_array_equal(audit.function_, mean_discrepancy(audit.graph_, X))
    w = audit.graph_.weights.astype(np.float64).toarray()
    expected = w @ audit.function_ / w.sum(1) - audit.function_
    np.testing.assert_allclose(audit.influence_, expected, atol=1e-12)
    assert (np.diff(audit.influence_[audit.ranking_]) <= 0).all()


def test_the_paper_variants_are_its_filters():
    for variant in ("energy", "listing"):
        audit = Prototypes(variant=variant).fit(X)
        np.testing.assert_array_equal(audit.influence_, influence(audit.graph_, audit.function_, mode=variant))
    np.testing.assert_array_equal(Prototypes(variant="function").fit(X).influence_, -audit.function_)
    audit = Prototypes(choice="low-influence", threshold=0.25).fit(X)
    energy, f = influence(audit.graph_, audit.function_), audit.function_
    low = [i for i in range(600) if energy[i] <= np.quantile(energy, 0.25)]
    assert audit.prototypes_[:150].tolist() == sorted(low, key=lambda i: -f[i])
    assert sorted(audit.prototypes_) == list(range(600))


def error(rows):
    known = KNeighborsClassifier(1).fit(X[rows], Y[rows])
    other = np.setdiff1d(np.arange(len(X)), rows)
    return 1 - known.score(X[other], Y[other])


@pytest.mark.parametrize("function", ["global", "local"])
def test_prototypes_teach_more_than_chance_and_criticisms_less(function):
    audit = Prototypes(function=function).fit(X, Y)
    for m in (10, 30, 100):
        chance = np.mean([error(np.random.default_rng(s).permutation(600)[:m]) for s in range(5)])
        assert error(audit.prototypes_[:m]) < chance < error(audit.ranking_[:m])


def test_an_outlier_is_a_criticism_and_centres_are_prototypes():
    x, blob = make_blobs(200, centers=[[0, 0], [8, 0], [0, 8]], random_state=1)
    audit = Prototypes(15).fit(np.vstack([x, [[20.0, 20.0]]]))
    assert audit.ranking_[0] == 200
    first = audit.prototypes_[:3]
    assert sorted(blob[first]) == [0, 1, 2]
    apart = [np.linalg.norm(x[i] - x[blob == blob[i]].mean(0)) for i in first]
    assert max(apart) < 1


def test_copies_by_the_thousand_are_one_prototype():
    x = np.vstack([np.zeros((1500, 2)), -np.zeros((500, 2)), rng.normal(size=(100, 2)) + 5])
    for features in (x, sp.csr_array(x)):
        audit = Prototypes(5).fit(features)
        assert (audit.prototypes_[:101] < 2000).sum() == 1
        assert sorted(audit.prototypes_) == list(range(2100))
        assert np.isfinite(audit.influence_).all()
    labels = np.repeat(["a", "b", "c"], [1000, 1000, 100])
    audit = Prototypes(5, function="local").fit(x, labels)
    assert set(labels[audit.prototypes_[:3]]) == {"a", "b", "c"}


def test_labels_of_any_kind_and_one_class():
    expected = Prototypes(function="local").fit(X, Y)
    words = Prototypes(function="local").fit(pd.DataFrame(X), pd.Series(NAMES[Y]))
    np.testing.assert_allclose(words.influence_, expected.influence_, atol=1e-9)
    assert set(words.classes_) == set(NAMES)
    assert len(set(Y[expected.prototypes_[:10]])) == 10
    plain = Prototypes().fit(X)
    one = Prototypes(function="local").fit(X, ["all"] * 600)
    np.testing.assert_allclose(one.influence_, plain.influence_, atol=1e-9)
    np.testing.assert_array_equal(one.prototypes_, plain.prototypes_)
    np.testing.assert_array_equal(Prototypes().fit(X, ["all"] * 600).prototypes_, plain.prototypes_)


def test_a_metric_of_the_graph_is_that_of_the_kernel():
    cosine = Prototypes(metric="cosine").fit(X)
    unit = Prototypes().fit(normalize(X))
    np.testing.assert_allclose(cosine.influence_, unit.influence_, atol=1e-6)
    np.testing.assert_allclose(cosine.score_samples(3 * X[:5]), unit.score_samples(normalize(X[:5])), atol=1e-5)


def test_sparse_features_give_the_same():
    x = np.maximum(rng.normal(size=(300, 20)), 0)  # without ties
    dense, sparse = Prototypes().fit(x), Prototypes().fit(sp.csr_matrix(x))
    np.testing.assert_allclose(sparse.influence_, dense.influence_, atol=1e-6)
    np.testing.assert_allclose(sparse.score_samples(sp.csr_matrix(x[:9])), dense.score_samples(x[:9]), atol=1e-6)


@pytest.mark.parametrize("function", ["global", "local"])
def test_random_features_give_nearly_the_same(function):
    exact = Prototypes(function=function).fit(X[:500], Y[:500])
    near = Prototypes(function=function, fourier=20_000).fit(X[:500], Y[:500])
    assert np.corrcoef(exact.influence_, near.influence_)[0, 1] > 0.97
    new = [audit.score_samples(X[500:], Y[500:]) for audit in (exact, near)]
    assert np.corrcoef(*new)[0, 1] > 0.97


def test_random_features_are_taken_for_many_samples(monkeypatch):
    monkeypatch.setattr("pellucid.margin.prototypes.MANY", 599)
    auto = Prototypes().fit(X)
    np.testing.assert_array_equal(auto.function_, Prototypes(fourier=4096).fit(X).function_)
    assert (auto.function_ != Prototypes(fourier=0).fit(X).function_).any()


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant != "listing"])
def test_new_samples_that_are_odd_score_high(variant):
    audit = Prototypes(variant=variant).fit(X)
    score = audit.score_samples(np.vstack([X[:50], rng.permutation(X[:50].ravel()).reshape(50, 64)]))
    assert np.median(score[50:]) > np.median(score[:50])


def test_it_is_an_estimator():
    audit = Prototypes(15, function="local", fourier=128)
    assert clone(audit).get_params() == audit.get_params()
    assert studies["prototypes"] is Prototypes
    again = Prototypes(15, fourier=128)
    np.testing.assert_array_equal(again.fit(X).influence_, again.fit(X).influence_)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Prototypes(function="local").fit(X), "expected labels for the local function, got none"),
    (lambda: Prototypes(function="both").fit(X), "expected a function out of global, local, got 'both'"),
    (lambda: Prototypes(variant="best").fit(X), "expected a variant out of below"),
    (lambda: Prototypes(choice="best").fit(X), "expected a choice out of cover"),
    (lambda: Prototypes(threshold=0).fit(X), "expected a threshold above 0 and up to 1, got 0"),
    (lambda: Prototypes(fourier=-1).fit(X), "expected fourier as a number of random features"),
    (lambda: Prototypes(gamma=-1).fit(X), "expected a positive gamma, got -1"),
    (lambda: Prototypes().fit(Graph.from_matrix(np.ones((30, 30)))), "expected features, got a graph alone"),
    (lambda: Prototypes(metric="precomputed").fit(1 - np.eye(30)), "expected features, got distances"),
    (lambda: Prototypes(function="local").fit(X, Y[:4]), "expected a label for each of the 600 samples"),
    (lambda: Prototypes(600).fit(X), "expected k from 1 to 599"),
    (lambda: Prototypes().fit(np.where(X > 15, np.nan, X)), "expected finite features"),
    (lambda: Prototypes(function="local").fit(X, Y).score_samples(X), "expected labels of the new samples"),
    (lambda: Prototypes(function="local").fit(X, Y).score_samples(X[:2], [1, 77]), "labels that fit has seen, got 77"),
    (lambda: Prototypes(variant="listing").fit(X).score_samples(X), "expected a variant that scores new samples"),
])
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(PellucidError, match=message):
        call()
