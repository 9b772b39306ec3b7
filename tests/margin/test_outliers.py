"""The study of outliers: functions and scores against loops and scikit-learn, and outliers that were planted."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import normalize

from pellucid.errors import PellucidError
from pellucid.margin import Graph, influence, knn_graph, studies
from pellucid.margin.outliers import FUNCTIONS, VARIANTS, Outliers, log_density, trusted_influence

DIGITS, Y = load_digits(return_X_y=True)
rng = np.random.default_rng(0)
X, NEW = rng.normal(size=(80, 3)), 2 * rng.normal(size=(15, 3))
CLASSES, NEW_CLASSES = rng.integers(3, size=80), rng.integers(3, size=15)
K = 6


def neighbours(queries, base, own):
    distance = cdist(queries, base)
    if own:
        np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1)[:, :K], np.sort(distance, axis=1)[:, K - 1]


def discrepancy(x, base, others):
    """Eq. 2 for one sample, the others being those that are neither it nor its neighbours."""
    gamma = 1 / (3 * X.var())
    kernel = [np.exp(-gamma * ((x - base[j]) ** 2).sum()) for j in others]
    return sum(kernel) / len(kernel) + (sum(kernel) + 1) / (len(kernel) + 1)


def trust_of(f):
    return np.array([((f > v).sum() + ((f == v).sum() / 2)) / len(f) for v in f])


def test_trusted_influence_is_its_equation():
    weights = rng.random((30, 30)) * (rng.random((30, 30)) < 0.2)
    weights[4] = 0  # hears nobody
    f = rng.integers(5, size=30).astype(float)
    trust = trust_of(f)
    expected = [f[i] - (weights[i] * trust) @ f / (weights[i] @ trust) for i in range(30) if i != 4]
    found = trusted_influence(Graph.from_matrix(weights), f)
    np.testing.assert_allclose(np.delete(found, 4), expected)
    assert found[4] == pytest.approx(f[4] - trust @ f / trust.sum())


def test_the_density_is_that_of_scikit_learn():
    constant = 3 / 2 * np.log(2 * np.pi * 0.7**2)
    expected = KernelDensity(bandwidth=0.7).fit(X).score_samples(NEW) + constant
    np.testing.assert_allclose(log_density(X, NEW, bandwidth=0.7), expected, atol=1e-6)
    alone = [KernelDensity(bandwidth=0.7).fit(np.delete(X, i, 0)).score_samples(X[i:i + 1])[0] + constant
             for i in range(80)]
    np.testing.assert_allclose(log_density(X, bandwidth=0.7), alone, atol=1e-6)


def test_the_density_of_a_class_knows_no_other():
    own, new = log_density(X, bandwidth=1, labels=CLASSES), log_density(
        X, NEW, bandwidth=1, labels=CLASSES, query_labels=NEW_CLASSES)
    for c in range(3):
        members = X[c == CLASSES]
        np.testing.assert_allclose(own[c == CLASSES], log_density(members, bandwidth=1))
        np.testing.assert_allclose(new[c == NEW_CLASSES], log_density(members, NEW[c == NEW_CLASSES], bandwidth=1))


def test_the_density_is_finite_everywhere():
    far = log_density(X, np.full((1, 3), 1e4), bandwidth=0.1)
    assert np.isfinite(far).all()
    assert far[0] < -1e8
    labels = np.r_[0, np.ones(79, int)]
    only = log_density(X, bandwidth=1, labels=labels)
    assert only[0] == only[1:].min()  # nothing is known of it


def test_functions_are_their_equations():
    near, reach = neighbours(X, X, own=True)
    found, distance = neighbours(NEW, X, own=False)
    study = Outliers(K, variant="function").fit(X)
    np.testing.assert_allclose(study.function_, np.log(reach + np.median(reach)), rtol=1e-5)
    np.testing.assert_allclose(study.score_samples(NEW), np.log(distance + np.median(reach)), rtol=1e-5)
    study = Outliers(K, function="density", variant="function").fit(X)
    np.testing.assert_allclose(study.function_, -log_density(X, bandwidth=np.median(reach)), rtol=1e-4)
    np.testing.assert_allclose(study.score_samples(NEW), -log_density(X, NEW, bandwidth=np.median(reach)), rtol=1e-4)
    study = Outliers(K, function="mmd", variant="function").fit(X)
    rest = [[j for j in range(80) if j != i and j not in near[i]] for i in range(80)]
    np.testing.assert_allclose(study.function_, [-discrepancy(X[i], X, rest[i]) for i in range(80)], rtol=1e-5)
    rest = [[j for j in range(80) if j not in found[i]] for i in range(15)]
    np.testing.assert_allclose(study.score_samples(NEW), [-discrepancy(NEW[i], X, rest[i]) for i in range(15)],
                               rtol=1e-5)


@pytest.mark.parametrize("function", ["density", "mmd"])
def test_classes_keep_to_themselves(function):
    study = Outliers(K, function=function, variant="function").fit(X, CLASSES)
    near = neighbours(X, X, own=True)[0]
    found = neighbours(NEW, X, own=False)[0]
    if function == "density":
        width = np.median(neighbours(X, X, own=True)[1])
        own = -log_density(X, bandwidth=width, labels=CLASSES)
        new = -log_density(X, NEW, bandwidth=width, labels=CLASSES, query_labels=NEW_CLASSES)
    else:
        own = [-discrepancy(X[i], X, [j for j in np.flatnonzero(CLASSES[i] == CLASSES) if j != i and j not in near[i]])
               for i in range(80)]
        new = [-discrepancy(NEW[i], X, [j for j in np.flatnonzero(NEW_CLASSES[i] == CLASSES) if j not in found[i]])
               for i in range(15)]
    np.testing.assert_allclose(study.function_, own, rtol=1e-4)
    np.testing.assert_allclose(study.score_samples(NEW, NEW_CLASSES), new, rtol=1e-4)
    words = np.array(["a", "b", "c"])
    named = clone(study).fit(X, words[CLASSES])
    np.testing.assert_array_equal(named.score_samples(NEW, words[NEW_CLASSES]),
                                  study.score_samples(NEW, NEW_CLASSES))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_are_filters_of_the_function(function, variant):
    study = Outliers(K, function=function, variant=variant).fit(X)
    f, graph = study.function_, knn_graph(X, K)
    expected = {"trusted": lambda: trusted_influence(graph, f), "function": lambda: f}.get(
        variant, lambda: influence(graph, f, mode=variant))()
    np.testing.assert_allclose(study.influence_, expected)
    assert (np.diff(study.influence_[study.ranking_]) <= 0).all()
    if variant == "listing":
        return
    new = clone(study).set_params(variant="function").fit(X).score_samples(NEW)
    near = neighbours(NEW, X, own=False)[0]
    trust = trust_of(f)
    mean = np.array([f[row].mean() for row in near])
    heard = np.array([trust[row] @ f[row] / trust[row].sum() for row in near])
    expected = {"trusted": new - heard, "function": new, "signed": new - mean, "energy": (new - mean) ** 2}[variant]
    np.testing.assert_allclose(study.score_samples(NEW), expected, atol=1e-8)


def planted(kind):
    """Two clusters, one four times as dense as the other, and ten planted samples behind them."""
    make = np.random.default_rng(5)
    base = np.concatenate([make.normal(size=(300, 4)), 12 + 4 * make.normal(size=(300, 4))])
    odd = {"far": 60 * normalize(make.normal(size=(10, 4))), "between": 5 + make.normal(size=(10, 4)) / 2,
           "clump": np.array([-15, 20, 0, 10]) + make.normal(size=(10, 4)) / 2,
           "beside the dense one": [5, -3, 0, 0] * make.uniform(0.9, 1, (10, 4)) * make.choice([-1, 1], (10, 4))}[kind]
    return np.concatenate([base, odd])


@pytest.mark.parametrize("kind", ["far", "between", "clump", "beside the dense one"])
def test_planted_outliers_come_first(kind):
    first = Outliers().fit(planted(kind)).ranking_[:20]
    assert (first >= 600).sum() >= 9
    trusting = Outliers().fit(planted(kind)[:600]).score_samples(planted(kind))
    assert (np.argsort(-trusting)[:20] >= 600).sum() >= 9


def test_the_graph_finds_what_is_odd_for_its_place_alone():
    x = planted("beside the dense one")
    odd = np.arange(610) >= 600
    alone = roc_auc_score(odd, Outliers(variant="function").fit(x).influence_)
    assert roc_auc_score(odd, Outliers().fit(x).influence_) > 0.98 > 0.8 > alone


def test_digits_among_others():
    rows = np.concatenate([np.flatnonzero(Y == 0), np.flatnonzero(Y == 7)[:9]])
    study = Outliers().fit(DIGITS[rows])
    assert (study.ranking_[:9] >= (Y == 0).sum()).all()
    fitted = Outliers().fit(DIGITS[Y == 0][:120])
    assert (fitted.score_samples(DIGITS[Y == 7]).min() > fitted.score_samples(DIGITS[Y == 0][120:])).mean() > 0.9


@pytest.mark.parametrize("function", FUNCTIONS)
def test_duplicates_by_the_thousand_are_not_odd(function):
    x = np.concatenate([planted("far"), np.repeat(planted("far")[:1], 1000, axis=0)])
    study = Outliers(function=function).fit(x)
    assert np.isfinite(study.influence_).all()
    assert not (study.ranking_[:10] >= 610).any()
    if function == "distance":
        assert sorted(study.ranking_[:10]) == list(range(600, 610))
        assert np.isfinite(study.score_samples(x[:5])).all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_equal_samples_are_equally_odd(function):
    study = Outliers(5, function=function).fit(np.ones((50, 2)))
    np.testing.assert_allclose(study.influence_, 0, atol=1e-9)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_cosine_is_the_angle_alone(function):
    study = Outliers(K, function=function, metric="cosine").fit(X)
    scaled = Outliers(K, function=function).fit(normalize(X))
    np.testing.assert_allclose(study.influence_, scaled.influence_, atol=1e-5)
    np.testing.assert_allclose(study.score_samples(7 * NEW), scaled.score_samples(normalize(NEW)), atol=1e-5)


def test_distances_alone_are_enough():
    study = Outliers(K, metric="precomputed").fit(cdist(X, X))
    np.testing.assert_allclose(study.influence_, Outliers(K).fit(X).influence_, atol=1e-5)


def test_classes_are_not_needed_for_distances():
    np.testing.assert_array_equal(Outliers(K).fit(X, np.zeros(80)).influence_, Outliers(K).fit(X).influence_)
    assert studies["outliers"] is Outliers


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Outliers(K, function="best").fit(X), "expected a function out of distance, density, mmd, got 'best'"),
    (lambda: Outliers(K, variant="best").fit(X), "expected a variant out of trusted"),
    (lambda: Outliers(K).fit(knn_graph(X, K)), "expected features for Outliers, got a graph"),
    (lambda: Outliers(K, function="mmd", metric="precomputed").fit(cdist(X, X)), "expected features for the function"),
    (lambda: Outliers(K, function="density", bandwidth=0).fit(X), "expected a positive bandwidth, got 0"),
    (lambda: Outliers(K, variant="listing").fit(X).score_samples(X), "expected a variant that scores new samples"),
    (lambda: Outliers(K, function="density").fit(X, CLASSES).score_samples(X), "expected classes of the new samples"),
    (lambda: Outliers(K, function="mmd").fit(X, CLASSES).score_samples(X, CLASSES + 5), "expected labels that fit has"),
])
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(PellucidError, match=message):
        call()
