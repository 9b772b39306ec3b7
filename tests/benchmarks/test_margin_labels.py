"""The benchmark of wrong labels: its parts, its competitors against what they are defined as, its sentences."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pellucid.benchmarks.margin import Measurement, data, protocols
from pellucid.benchmarks.margin.influence_functions import self_influence
from pellucid.benchmarks.margin.labels import AREA, CHECKED, OURS, flip, recall
from pellucid.errors import PellucidError
from pellucid.margin import WrongLabels

Protocol = protocols["margin-labels"]
DATA = Path(__file__).parents[3] / "shared" / "data"


def log_loss(model, x, y):
    p = model.predict_proba(x)
    return -np.log(p[np.arange(len(y)), y])


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_self_influence_is_the_slope_of_the_loss_when_a_sample_weighs_more(load):
    x, y = load(return_X_y=True)
    keep = np.random.default_rng(0).choice(len(x), 100, replace=False)
    x, y = StandardScaler().fit_transform(x[keep]), y[keep]
    y = y.copy()
    y[:5] = (y[:5] + 1) % (y.max() + 1)

    def fit(weight):
        return LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000, solver="newton-cg").fit(x, y, sample_weight=weight)

    found = self_influence(fit(np.ones(100)), x, y)
    for i in (0, 3, 50):
        up, down = np.ones(100), np.ones(100)
        up[i], down[i] = 1.01, 0.99
        slope = (log_loss(fit(up), x, y)[i] - log_loss(fit(down), x, y)[i]) / 0.02
        assert found[i] == pytest.approx(-slope, rel=1e-3)


def test_a_share_of_each_class_becomes_another_class():
    y = np.repeat([0, 1, 2], [100, 50, 300])
    flipped = flip(y, np.random.default_rng(0), 0.1)
    bad = flipped != y
    assert np.bincount(y[bad]).tolist() == [10, 5, 30]
    assert min(np.bincount(flipped[bad & (y == 2)], minlength=2)[:2]) > 5
    assert (y == np.repeat([0, 1, 2], [100, 50, 300])).all()


def test_recall_counts_from_the_top_and_breaks_ties_by_chance():
    rng = np.random.default_rng(0)
    wrong = np.array([True, False, True, False])
    assert recall(np.array([3.0, 2.0, 1.0, 0.0]), wrong, rng).tolist() == [0.5, 0.5, 1, 1]
    firsts = [recall(np.zeros(4), wrong, rng)[0] for _ in range(400)]
    assert np.mean(firsts) == pytest.approx(0.25, abs=0.05)


def test_a_part_gives_the_same_again():
    part = next(part for part in Protocol().parts(Protocol.presets["smoke"]) if not part.data)
    first, again = (Protocol().measure(part, None).rows for _ in range(2))
    assert [asdict(row) for row in first] == [asdict(row) for row in again]
    value = {(row.metric, row.method, row.x): row.value for row in first}
    samples = part.options["samples"]
    assert value["recall", "oracle", 0.1] == pytest.approx(1, abs=0.05)
    assert value["recall", "random", 0.5] == pytest.approx(0.5, abs=0.2)
    assert value["recall", OURS, 0.3] > 0.95
    assert {x for metric, _, x in value if metric == "recall"} == set(CHECKED)
    steps = [value["recall", "oracle", x] for x in CHECKED[:6]]
    assert value[AREA, "oracle", 0.3] <= max(steps)
    assert {row.table for row in first} == {f"digits, {samples} samples, k = 20"}
    assert {"cleanlab", "self-confidence", "influence functions", "disagreement f"} <= {row.method for row in first}


def test_emails_are_read_from_the_folder(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    counts = rng.poisson(0.3 + 2 * (y[:, None] == (np.arange(600) % 2)) * (np.arange(600) < 60))
    rows, columns = np.nonzero(counts)
    (tmp_path / "enron1").mkdir()
    np.savez(tmp_path / "enron1" / "enron1_bow.npz", data=counts[rows, columns].astype(np.uint16),
             indices=columns.astype(np.uint16), indptr=np.searchsorted(rows, np.arange(301)).astype(np.int32),
             shape=counts.shape, y=y.astype(np.uint8), train_idx=np.arange(10, 300).astype(np.int16),
             top500=np.arange(500).astype(np.int16))
    part = next(part for part in Protocol().parts(Protocol.presets["smoke"]) if part.data == ("enron",))
    rows = Protocol().measure(part, tmp_path).rows
    value = {(row.metric, row.method, row.x): row.value for row in rows}
    assert value["recall", OURS, 0.2] > value["recall", "random", 0.2] + 0.3
    assert "self-confidence, log counts of 500 words" in {row.method for row in rows}
    with pytest.raises(PellucidError, match="expected --source-dir with enron1"):
        Protocol().measure(part, None)


def test_the_standard_protocol_is_the_papers():
    parts = Protocol().parts(Protocol.presets["standard"])
    assert len(parts) == 41
    assert len({part.label for part in parts}) == 41
    assert parts[0].options == {"data": "enron", "samples": 0, "repetition": 0, "folds": 5, "rate": 0.1,
                                "neighbors": [20, 30, 40]}
    assert parts[-1].label == "MNIST, 60,000 samples, repetition 0"
    assert parts[-1].options["neighbors"] == [20]


def test_findings_are_paired_differences():
    rng = np.random.default_rng(0)
    rows, differences = [], {}
    for table in ("Enron, k = 20", "digits, k = 20"):
        base, gain = rng.random(10), rng.normal(0.01, 0.01, 10)
        differences[table] = gain
        for r in range(10):
            rows += [Measurement(table, AREA, OURS, 0.3, base[r] + gain[r], r),
                     Measurement(table, AREA, "cleanlab", 0.3, base[r], r),
                     Measurement(table, "recall", OURS, 0.2, 0.93, r), Measurement(table, "recall", OURS, 0.3, 0.96, r)]
    said = Protocol().findings(rows)
    both = np.mean(list(differences.values()), 0)
    for start, gain in (("Enron, k = 20", differences["Enron, k = 20"]), ("Average over 2 data sets, k = 20", both)):
        low, high = ttest_1samp(gain, 0).confidence_interval()
        sentence = next(s for s in said if s.startswith(start))
        assert f"cleanlab {gain.mean():+.4f} ({low:+.4f} to {high:+.4f})" in sentence
    assert "Enron, k = 20: mean recall 0.9300 at 20 % checked, target 0.92: reached." in said
    assert "Enron, k = 20: mean recall 0.9600 at 30 % checked, target 0.97: not reached." in said


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data of the studies in {DATA}")
def test_targets_on_real_data():
    for name, targets in (("enron", {0.2: 0.92, 0.3: 0.97}), ("cats_dogs", {0.15: 0.99})):
        x, true = getattr(data, name)(DATA / data.FILES[name])
        found = []
        for seed in (20, 21, 22):
            rng = np.random.default_rng(seed)
            y = flip(true, rng, 0.1)
            found.append(recall(WrongLabels().fit(x, y).influence_, y != true, rng))
        for at, target in targets.items():
            assert np.mean(found, 0)[round(at * len(true)) - 1] >= target
    assert data.enron(DATA / data.FILES["enron"], None)[0].shape == (4138, 500)
    assert data.mnist(DATA / data.FILES["mnist"], "test")[0].shape == (10_000, 28, 28)
    assert np.bincount(data.usps(DATA / data.FILES["usps"])[1])[0] == 1194
