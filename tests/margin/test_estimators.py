"""All studies as estimators: scikit-learn's own checks, any container of features, streaming, and bad input."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import estimator_checks_generator

from pellucid.errors import PellucidError
from pellucid.margin import studies

NAMES = [name for name in studies if name not in ("images", "active")]
"""Those that take a table: images and active have data of their own."""
X, Y = load_digits(return_X_y=True)
X, Y = X[:300], Y[:300]
rng = np.random.default_rng(0)

SKIPPED = {
    "check_dtype_object": "an error of ours is a ValueError, where this wants a TypeError",
}
UNLABELLED = ("check_methods_sample_order_invariance", "check_methods_subset_invariance")
"""They score samples without labels."""


def small(name):
    study = studies[name]()
    return study.set_params(n_neighbors=2)


def checks():
    for name in NAMES:
        for estimator, check in estimator_checks_generator(small(name), mark=None):
            yield pytest.param(estimator, check, id=f"{name}-{check.func.__name__}")


@pytest.mark.parametrize(("estimator", "check"), list(checks()))
def test_scikit_learns_own_checks(estimator, check):
    if check.func.__name__ in SKIPPED:
        pytest.skip(SKIPPED[check.func.__name__])
    if estimator.needs_labels and check.func.__name__ in UNLABELLED:
        pytest.skip("the check scores samples without the labels that the study needs")
    check(estimator)


@pytest.mark.parametrize("name", NAMES)
def test_any_container_of_features_gives_the_same(name):
    expected = studies[name](5).fit(X, Y)
    columns = [f"x{i}" for i in range(64)]
    for features in (pd.DataFrame(X, columns=columns), pl.DataFrame(X, schema=columns), torch.tensor(X), X.tolist()):
        study = studies[name](5).fit(features, Y)
        np.testing.assert_allclose(study.influence_, expected.influence_)
        assert study.n_features_in_ == 64
    np.testing.assert_allclose(studies[name](5).fit(X, pl.Series(Y)).influence_, expected.influence_)
    assert list(studies[name](5).fit(pd.DataFrame(X, columns=columns), Y).feature_names_in_) == columns


@pytest.mark.parametrize("name", NAMES)
def test_new_samples_do_not_change_what_was_fitted_and_do_not_hear_each_other(name):
    study = studies[name](5).fit(X[:250], Y[:250])
    before = study.influence_.copy()
    together = study.score_samples(X[250:], Y[250:])
    assert together.shape == (50,)
    assert np.isfinite(together).all()
    alone = [study.score_samples(X[i:i + 1], Y[i:i + 1])[0] for i in (250, 280)]
    np.testing.assert_allclose(alone, together[[0, 30]], rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(study.influence_, before)
    assert clone(study).get_params() == study.get_params()


@pytest.mark.parametrize("name", NAMES)
def test_new_samples_are_scored_as_if_they_had_been_there(name):
    """A new copy of a fitted sample's place differs little in score from the sample: ranks agree."""
    study = studies[name](10).fit(X, Y)
    near = study.score_samples(X + 1e-3 * rng.normal(size=X.shape), Y)
    assert np.corrcoef(near.argsort().argsort(), study.influence_.argsort().argsort())[0, 1] > 0.7


@pytest.mark.parametrize("name", NAMES)
def test_duplicates_by_the_thousand_do_no_harm(name):
    many = np.concatenate([np.repeat(X[:2], 500, axis=0), X[:200]])
    study = studies[name](10).fit(many, np.concatenate([np.repeat(Y[:2], 500), Y[:200]]))
    assert np.isfinite(study.influence_).all()
    assert sorted(study.ranking_) == list(range(1200))


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_one_sentence(name):
    study = studies[name](5)
    with pytest.raises(PellucidError, match="expected k from 1 to 4, one less than the 5 samples, got 5"):
        study.fit(X[:5], Y[:5])
    with pytest.raises(PellucidError, match="expected finite features, got 1 NaN or infinite values from row 0"):
        study.fit(np.where(np.arange(64) + 64 * np.arange(300)[:, None] == 70, np.nan, X), Y)
    with pytest.raises(PellucidError, match="expected features that are numbers"):
        study.fit([["a", "b"]] * 20, Y[:20])
    study.fit(X, Y)
    with pytest.raises(ValueError, match="features"):
        study.score_samples(X[:, :5], Y)
    if study.needs_labels:
        with pytest.raises(PellucidError, match="expected labels for"):
            study.fit(X)
        with pytest.raises(PellucidError, match="expected at least two classes, got only 3"):
            study.fit(X, np.full(len(X), 3))


def test_sparse_features_are_scored_as_dense_ones():
    words = sp.random_array((120, 300), density=0.05, rng=np.random.default_rng(1), format="csr")
    labels = rng.integers(2, size=120)
    dense = studies["labels"](5).fit(words.toarray()[:100], labels[:100])
    study = studies["labels"](5).fit(words[:100], labels[:100])
    np.testing.assert_allclose(study.influence_, dense.influence_, atol=1e-6)
    np.testing.assert_allclose(study.score_samples(words[100:], labels[100:]),
                               dense.score_samples(words.toarray()[100:], labels[100:]), atol=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "correlation", "precomputed"])
def test_other_metrics_score_new_samples(metric):
    from scipy.spatial.distance import cdist

    study = studies["labels"](5, metric=metric)
    old, new = (cdist(X[:250], X[:250]), cdist(X[250:], X[:250])) if metric == "precomputed" else (X[:250], X[250:])
    scores = study.fit(old, Y[:250]).score_samples(new, Y[250:])
    share = [(Y[:250][np.argsort(row)[:5]] != label).mean()
             for row, label in zip(cdist(X[250:], X[:250], "euclidean" if metric == "precomputed" else metric), Y[250:],
                                   strict=True)]
    assert np.corrcoef(scores, share)[0, 1] > 0.8


def test_a_study_fitted_on_a_graph_has_no_place_for_new_samples():
    graph = studies["labels"](5).fit(X, Y).graph_
    with pytest.raises(PellucidError, match="expected a study that was fitted on features"):
        studies["labels"](5).fit(graph, Y).score_samples(X, Y)
