"""Mean discrepancy (eq. 2) by its definition, and random features against exact sums."""

import numpy as np
import pytest

from pellucid.errors import PellucidError
from pellucid.margin import knn_graph
from pellucid.margin.functions import MeanDiscrepancy, mean_discrepancy

rng = np.random.default_rng(2)
X = rng.normal(size=(70, 4))
Y = rng.integers(3, size=70)
GRAPH = knn_graph(X, 5)


@pytest.mark.parametrize("labels", [None, Y], ids=["global", "local"])
def test_mean_discrepancy_is_equation_2(labels, monkeypatch):
    monkeypatch.setattr("pellucid.margin.functions._ROWS", 16)
    weights = GRAPH.weights.toarray()
    expected = np.empty(70)
    for i in range(70):
        kernel = np.exp(-0.3 * np.square(X[i] - X).sum(1))
        own = np.ones(70, bool) if labels is None else labels == labels[i]
        rest = own & (weights[i] == 0)
        rest[i] = False
        with_i = rest.copy()
        with_i[i] = True
        expected[i] = kernel[rest].mean() + kernel[with_i].mean()
    np.testing.assert_allclose(mean_discrepancy(GRAPH, X, labels, gamma=0.3), expected, rtol=1e-5)


def test_the_default_gamma_does_not_depend_on_the_unit():
    np.testing.assert_allclose(mean_discrepancy(GRAPH, X), mean_discrepancy(GRAPH, 1000 * X), rtol=1e-4)


@pytest.mark.parametrize("labels", [None, Y], ids=["global", "local"])
def test_random_features_stand_for_the_kernel(labels):
    number = np.zeros(70, int) if labels is None else labels
    exact = MeanDiscrepancy(X, labels, gamma=0.1).sums(X, number)
    np.testing.assert_allclose(MeanDiscrepancy(X, labels, gamma=0.1, fourier=20_000).sums(X, number), exact, rtol=0.05)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: mean_discrepancy(GRAPH, X[:5]), "expected features of the graph's 70 nodes, got 5 rows"),
    (lambda: mean_discrepancy(GRAPH, X, gamma=0), "expected a positive gamma, got 0"),
    (lambda: mean_discrepancy(GRAPH, X, Y[:4]), "expected a label for each of the 70 samples"),
])
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(PellucidError, match=message):
        call()
