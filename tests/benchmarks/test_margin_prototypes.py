"""The benchmark margin-prototypes: MMD-critic against its equations and the package, and the whole of it in small."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsClassifier

from pellucid.benchmarks.margin.protocol import Measurement
from pellucid.benchmarks.margin.prototypes import (
    BELOW,
    COVER,
    CRITICISMS,
    PROTOTYPES,
    Judge,
    PrototypesProtocol,
    critic_criticisms,
    critic_prototypes,
    medoids,
)

SHARED = Path(__file__).parents[2] / "../shared/data"
X, Y = load_digits(return_X_y=True)
X, Y = (X[:120] / 16).astype(np.float32), Y[:120]
KERNEL = rbf_kernel(X.astype(float), gamma=0.05)


def test_prototypes_are_those_of_the_package():
    package = pytest.importorskip("mmd_critic")
    kernels = pytest.importorskip("mmd_critic.kernels")
    theirs = package.MMDCritic(X.astype(float), kernels.RBFKernel(0.05), labels=np.arange(120))
    kernel = theirs.prot_K
    chosen, numbers = theirs.select_prototypes(40)
    assert critic_prototypes(kernel, 40).tolist() == numbers.tolist()
    criticisms = theirs.select_criticisms(30, chosen)[1]  # its determinant is of a single sample: no regulariser
    assert critic_criticisms(kernel, numbers, 30, spread=False).tolist() == criticisms.tolist()


def test_criticisms_are_the_greedy_choice_of_the_paper():
    prototypes = critic_prototypes(KERNEL, 15)
    witness = np.abs(KERNEL.mean(0) - KERNEL[prototypes].mean(0))
    chosen = []
    for _ in range(25):
        worth = np.full(120, -np.inf)
        for i in set(range(120)) - set(prototypes) - set(chosen):
            rows = [*chosen, i]
            worth[i] = witness[rows].sum() + np.linalg.slogdet(KERNEL[np.ix_(rows, rows)])[1]
        chosen.append(int(worth.argmax()))
    assert critic_criticisms(KERNEL, prototypes, 25).tolist() == chosen


def test_the_judge_is_a_1_nn_classifier():
    judge = Judge(X[:80], Y[:80], X[80:], Y[80:])
    rows = np.array([3, 70, 11, 25, 40, 7, 55])
    known = KNeighborsClassifier(1).fit(X[rows], Y[rows])
    assert judge.wrong(rows).tolist() == (known.predict(X[80:]) != Y[80:]).tolist()


def test_medoids_of_each_class():
    pytest.importorskip("kmedoids")
    apart = pairwise_distances(X, metric="sqeuclidean").astype(np.float32)
    rows = medoids(apart, 30, labels=Y)
    assert len(set(rows.tolist())) == 30
    share = np.bincount(Y[rows])
    assert share.min() >= 1
    assert np.abs(share - 30 * np.bincount(Y) / 120).max() <= 1
    assert len(set(medoids(apart, 30).tolist())) == 30


def test_findings_tell_where_the_target_is_missed():
    rows = [Measurement("T", metric, method, m, value + 0.01 * r, r)
            for metric, mine, values in ((PROTOTYPES, COVER, (0.1, 0.3)), (CRITICISMS, BELOW, (0.9, 0.8)))
            for m, own in zip((10, 50), values, strict=True)
            for method, value, repetitions in ((mine, own, 1), ("MMD-critic", 0.21, 1), ("random", 0.24, 3))
            for r in range(repetitions)]
    found = PrototypesProtocol().findings(rows)
    assert "MARGIN, cover is better than the mean of random at 1 of 2 m, at 1 of them" in found[0]
    assert found[0].endswith("not reached at m = 50.")
    assert "MMD-critic -0.0100 (better at 1 of 2 m)" in found[1]
    assert found[2].endswith("target, at every m: reached.")
    assert "random +0.6000 (worse at 2 of 2 m)" in found[3]


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "usps/usps.npz").is_file(), reason="USPS is not here")
def test_a_small_run_says_the_same_twice():
    pytest.importorskip("kmedoids")
    protocol = PrototypesProtocol()
    settings = {**protocol.presets["smoke"], "m": [10, 100], "train": 500, "test": 200, "random": 2}
    parts = protocol.parts(settings)
    assert [part.options["function"] for part in parts] == ["global", "local"]
    first, second = (protocol.measure(parts[1], SHARED) for _ in range(2))
    assert first.rows == second.rows
    value = {(row.metric, row.method, row.x): row.value for row in first.rows if row.repetition == 0}
    assert value[PROTOTYPES, COVER, 100] < value[PROTOTYPES, "random", 100] < value[CRITICISMS, BELOW, 100]
    (picture,) = first.pictures.values()
    assert {len(row) for row in picture["images"]} == {20}
    held = protocol.parts({**settings, "folds": 5, "train": 0})
    assert len(held) == 10
