"""The benchmark of what to label next: competitors against references, the split as published, its sentences."""

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp

from pellucid.benchmarks.margin import Measurement, protocols
from pellucid.benchmarks.margin.active import ACCURACY, OURS, PAPER, choices, farthest_first, pagerank, resampling
from pellucid.benchmarks.margin.citation import Citations, Learner, citations
from pellucid.margin import Graph
from pellucid.margin.convolution import inputs

PLANETOID = Path(__file__).parents[2] / "../shared/data/planetoid"
Protocol = protocols["margin-active"]


@pytest.fixture(scope="module")
def blocks():
    """Three fields of 40 papers that cite papers of their own field and use its words."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 40)
    near = np.where(y[:, None] == y, 0.12, 0.01)
    w = np.triu(rng.random(near.shape) < near, 1)
    x = rng.random((120, 30)) < np.where(y[:, None] == np.arange(30) % 3, 0.3, 0.1)
    part = rng.permutation(120)
    return Citations(Graph.from_matrix((w + w.T).astype(float)), inputs(sp.csr_array(x.astype(float))), y,
                     np.sort(part[:45]), np.sort(part[60:80]), np.sort(part[80:]), np.sort(part[:60]))


def test_the_network_learns_fields_from_a_few_papers(blocks):
    learner = Learner(blocks, epochs=80)
    few = np.concatenate([blocks.train[blocks.labels[blocks.train] == c][:4] for c in range(3)])
    said = learner.predict(few, 0)
    assert (said == blocks.labels)[blocks.test].mean() > 0.8
    np.testing.assert_array_equal(said, learner.predict(few[::-1], 0))
    assert (said != learner.predict(few, 1)).any()


def test_pagerank_is_that_of_networkx():
    w = sp.random_array((60, 60), density=0.03, random_state=np.random.default_rng(1))
    w = (w + w.T).tocsr()
    graph = Graph.from_matrix(w)
    assert graph.isolated.any()
    expected = nx.pagerank(nx.from_scipy_sparse_array(w), tol=1e-12, max_iter=1000)
    np.testing.assert_allclose(pagerank(graph), [expected[i] for i in range(60)], atol=1e-10)


def test_resampling_draws_in_proportion_to_the_filtered_latents():
    path = Graph.from_matrix(np.diag(np.ones(3), 1) + np.diag(np.ones(3), -1))
    z = np.array([[0.0, 1], [0, 2], [4, 0], [0, 0]])
    mean = np.array([[0.0, 2], [2, 0.5], [0, 1], [4, 0]])
    p = np.linalg.norm(z - mean, axis=1)
    rng = np.random.default_rng(0)
    first = [int(resampling(path, z, rng).argmax()) for _ in range(4000)]
    np.testing.assert_allclose(np.bincount(first, minlength=4) / 4000, p / p.sum(), atol=0.03)
    nothing_filtered = [resampling(Graph.from_matrix(np.zeros((2, 2))), z[:2], rng).argmax() for _ in range(50)]
    assert set(nothing_filtered) == {0, 1}


def test_farthest_first_is_the_greedy_k_centre():
    x = np.random.default_rng(0).normal(size=(30, 3))
    chosen = farthest_first(x, 30)
    assert sorted(chosen) == list(range(30))
    assert chosen[0] == np.linalg.norm(x - x.mean(0), axis=1).argmin()
    for i in range(1, 29):
        distance = [min(np.linalg.norm(x[j] - x[c]) for c in chosen[:i]) if j not in chosen[:i] else -1
                    for j in range(30)]
        assert chosen[i] == np.argmax(distance)
    assert sorted(farthest_first(np.zeros((4, 2)), 4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("setting", ["class", "pool", "wide"])
def test_all_methods_choose_as_many_from_the_same(blocks, setting):
    z = np.random.default_rng(0).normal(size=(120, 4))
    chosen = dict(choices(blocks, z, setting, 2, np.random.default_rng(1)))
    assert {OURS, PAPER, "norm f", "random", "probabilistic resampling", "degree", "PageRank", "k-centre"} < set(chosen)
    allowed = blocks.wide if setting == "wide" else blocks.train
    for nodes in chosen.values():
        assert len(np.unique(nodes)) == 6
        assert np.isin(nodes, allowed).all()
        if setting == "class":
            assert np.bincount(blocks.labels[nodes]).tolist() == [2, 2, 2]
    assert chosen["degree"].tolist() != chosen[OURS].tolist()
    if setting != "class":  # the highest of all come first
        top = allowed[np.argsort(-blocks.graph.degree[allowed], kind="stable")[:6]]
        assert chosen["degree"].tolist() == sorted(top)


def test_the_whole_pool_leaves_nothing_to_choose(blocks):
    z = np.random.default_rng(0).normal(size=(120, 4))
    for nodes in dict(choices(blocks, z, "pool", 15, np.random.default_rng(1))).values():
        np.testing.assert_array_equal(nodes, blocks.train)


def test_findings_are_the_paired_differences_at_few_labels():
    value = {(OURS, 7): [0.5, 0.6], (PAPER, 7): [0.4, 0.4], ("random", 7): [0.3, 0.2],
             (OURS, 140): [0.8, 0.9], (PAPER, 140): [0.8, 0.9], ("random", 140): [0.8, 0.9]}
    rows = [Measurement("Cora, as many of each class", ACCURACY, method, x, v, r)
            for (method, x), values in value.items() for r, v in enumerate(values)]
    ours, paper, full = Protocol().findings(rows)
    assert "mean over up to 7 labels" in ours
    assert f"{OURS} minus others, smallest first: {PAPER} +0.1500 " in ours
    assert "; random +0.3000 " in ours
    assert f"{PAPER} minus others, smallest first: {OURS} -0.1500 " in paper
    assert full.endswith("at 140 labels all methods have the same test accuracy of 0.8500.")
    rows[-1] = Measurement("Cora, as many of each class", ACCURACY, "random", 140, 0.1, 1)
    assert "methods differ" in Protocol().findings(rows)[2]


def test_parts_are_independent_and_complete():
    parts = Protocol().parts(Protocol.presets["standard"])
    assert len(parts) == len({part.label for part in parts}) == 10
    assert {(part.options["data"], part.options["seed"]) for part in parts} == {
        (name, seed) for name in ("cora", "citeseer") for seed in range(5)}


@pytest.mark.shared
@pytest.mark.skipif(not PLANETOID.is_dir(), reason="the citation networks are not here")
@pytest.mark.parametrize(("folder", "edges", "isolated", "counts", "train"), [
    ("Cora", 5278, 0, [351, 217, 418, 818, 426, 298, 180], 140),
    ("CiteSeer", 4552, 48, [264, 590, 668, 701, 596, 508], 120)])
def test_the_networks_are_as_published(folder, edges, isolated, counts, train):
    before = sorted(PLANETOID.rglob("*"))
    data = citations(PLANETOID / folder / "raw", folder.lower())
    assert sorted(PLANETOID.rglob("*")) == before
    assert (data.graph.weights != data.graph.weights.T).nnz == 0
    assert data.graph.weights.nnz == 2 * edges
    assert data.graph.isolated.sum() == isolated
    assert np.bincount(data.labels).tolist() == counts
    assert (len(data.train), len(data.validation), len(data.test)) == (train, 500, 1000)
    assert set(np.bincount(data.labels[data.train])) == {20}
    assert len(np.unique(np.concatenate([data.train, data.validation, data.test]))) == train + 1500
    assert set(data.train) < set(data.wide)
    assert len(data.wide) == len(data.labels) - 1500 - (15 if folder == "CiteSeer" else 0)
    assert (data.features.sum(axis=1)[data.wide] > 0).all()


@pytest.mark.shared
@pytest.mark.skipif(not PLANETOID.is_dir(), reason="the citation networks are not here")
def test_a_part_gives_the_same_rows_again():
    protocol = Protocol()
    part = protocol.parts({"data": ["cora"], "seeds": 1, "per_class": [1, 20], "epochs": 2, "settings": ["class"]})[0]
    first, again = (protocol.measure(part, PLANETOID.parent).rows for _ in range(2))
    assert first == again
    assert {row.x for row in first} == {7, 140}
    assert len({row.value for row in first if row.x == 140}) == 1
    assert len({row.value for row in first if row.x == 7}) > 1
