"""Subgraphs against plain Python, a cloud at a time."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.explanation import EXPLAINED, Explanation
from pellucid.explanations.subgraph import STEPS, Calibration, calibrate, parse_rule, subgraph
from pellucid.targets import Target, Targets


def explained(sizes, values, **fields):
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    fields = {"pos": torch.zeros(sum(sizes), 3), **fields}
    return Explanation(PointClouds(ptr, fields), torch.zeros(len(sizes), 1), torch.as_tensor(values).float())


@st.composite
def cases(draw):
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=5))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    whole = draw(st.booleans())
    return sizes, random.integers(0, 6, sum(sizes)) if whole else random.normal(size=sum(sizes))


def ordered(values):
    """Places of the points, most important first, ties in their order."""
    return sorted(range(len(values)), key=lambda v: (-values[v], v))


def check(s, sizes, values, count):
    """The mask keeps ``count(values of a cloud, most important first)`` points of each cloud."""
    ends = np.cumsum([0, *sizes])
    for i, (a, b) in enumerate(itertools.pairwise(ends.tolist())):
        own = s.explanation.importance[a:b].tolist()
        order = ordered(own)
        kept = order[:count([own[v] for v in order])] if own else []
        assert s.mask[a:b].nonzero().squeeze(1).tolist() == sorted(kept)
        assert int(s.sizes[i]) == len(kept)
        assert s.threshold[i] == min(own[v] for v in kept) if kept else math.isnan(s.threshold[i])


@given(case=cases(), m=st.integers(1, 8))
def test_top_m_against_sorting(case, m):
    sizes, values = case
    check(subgraph(explained(sizes, values), "top", m=m), sizes, values, lambda own: m)


@given(case=cases(), hundredths=st.integers(1, 100))
def test_top_fraction_rounds_up(case, hundredths):
    sizes, values = case
    check(subgraph(explained(sizes, values), "top", fraction=hundredths / 100), sizes, values,
          lambda own: -(-hundredths * len(own) // 100))


@given(case=cases(), most=st.sampled_from([0.1, 0.3, 0.5, 1.0]))
def test_gap_against_a_loop(case, most):
    sizes, values = case

    def count(own):
        gaps = [own[k - 1] - own[k] for k in range(1, len(own)) if k <= int(round(most * len(own), 9))]
        return 1 + gaps.index(max(gaps)) if gaps else 1

    check(subgraph(explained(sizes, values), "gap", most=most), sizes, values, count)


def test_gap_in_special_clouds():
    def kept(values, **options):
        return subgraph(explained([len(values)], values), "gap", **options).mask.int().tolist()

    assert kept([5.0]) == [1]
    assert kept([1.0, 2.0]) == [0, 1]
    assert kept([3.0, 3.0, 3.0, 3.0]) == [1, 0, 0, 0], "no gap: one point, the first"
    assert kept([9.0, 8.0, 3.0, 2.0, 1.0]) == [1, 1, 0, 0, 0]
    assert kept([9.0, 8.0, 7.0, 6.0, 0.0]) == [1, 0, 0, 0, 0], "the largest gap keeps more than half"
    assert kept([9.0, 8.0, 7.0, 6.0, 0.0], most=1.0) == [1, 1, 1, 1, 0]
    assert kept([]) == []


def has_mark(clouds):
    """Probability of class 1: 0.9 with all marked points there, less with fewer; 0.2 where a cloud has none."""
    marked = torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
    return 0.2 + 0.7 * (marked / 2).clamp(max=1)


def marked_clouds():
    random = torch.Generator().manual_seed(0)
    sizes = torch.randint(3, 11, (30,), generator=random).tolist()
    features = torch.zeros(sum(sizes), 1)
    starts = np.cumsum([0, *sizes])
    for i in range(10):
        features[starts[i] : starts[i] + 2] = 1
    importance = features[:, 0] + 0.8 * torch.randn(sum(sizes), generator=random)
    return explained(sizes, importance, features=features)


@pytest.mark.parametrize("tolerance", [0.0, 0.05, 0.2, 0.5])
def test_calibration_against_a_loop(tolerance):
    e = marked_clouds()
    shares = {}
    for step in range(1, STEPS + 1):
        pairs = []
        for i in range(len(e.clouds)):
            rows = slice(int(e.clouds.ptr[i]), int(e.clouds.ptr[i + 1]))
            own, marks = e.importance[rows].tolist(), e.clouds["features"][rows, 0].tolist()
            order = ordered(own)[: -(-step * len(own) // STEPS)]
            whole, left = (0.2 + 0.7 * min(sum(marks[v] for v in chosen) / 2, 1) for chosen in (range(len(own)), order))
            pairs += [(whole, left)] * (whole >= 0.5)
        shares[step / STEPS] = sum(left for _, left in pairs) / sum(whole for whole, _ in pairs)
    found = calibrate(has_mark, e, tolerance=tolerance)
    expected = next(f for f, share in shares.items() if share >= 1 - tolerance - 1e-6)
    assert found.fraction == expected
    assert found.kept == pytest.approx(shares[expected], rel=1e-5)
    assert (found.tolerance, found.clouds) == (tolerance, 10)
    s = subgraph(e, "fidelity", calibration=found, predict=has_mark)
    assert torch.equal(s.mask, subgraph(e, "top", fraction=expected).mask)
    assert f"10 validation clouds of the predicted class (it keeps {100 * found.kept:.1f} %)" in s.rule
    assert float(s.alone[:10].mean()) == pytest.approx(found.kept * 0.9, rel=1e-5)


def test_calibration_refuses():
    e = marked_clouds()
    with pytest.raises(PellucidError, match="tolerance in"):
        calibrate(has_mark, e, tolerance=1.0)
    for without in (explained([0], []), explained([2], [1.0, 2.0], features=torch.zeros(2, 1))):
        with pytest.raises(PellucidError, match="clouds with points and predicted class 1"):
            calibrate(has_mark, without)
    with pytest.raises(PellucidError, match="probabilities in"):
        calibrate(lambda clouds: 3 * has_mark(clouds), e)


def mass(clouds):
    """A number that is a sum over points, in a unit of its own."""
    return 500 + 20 * torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("tolerance", [0.0, 0.05, 0.3, 0.9])
def test_calibration_of_a_regression_against_a_loop(tolerance, signed):
    """A change is a loss whatever its sign, in units of the target's spread."""
    e = marked_clouds()
    random = torch.Generator().manual_seed(5)
    features = torch.randn(e.clouds.points, 1, generator=random)
    clouds = e.clouds.replace(features=features)
    importance = features[:, 0] + 0.3 * torch.randn(clouds.points, generator=random)
    target = Target("mass", "regression", unit="g", center=500.0, spread=40.0)
    e = Explanation(clouds, mass(clouds)[:, None], importance, targets=Targets((target,)), signed=signed)
    changes = {}
    for step in range(1, STEPS + 1):
        each = []
        for a, b in itertools.pairwise(clouds.ptr.tolist()):
            own, x = importance[a:b].tolist(), features[a:b, 0].tolist()
            kept = ordered([abs(v) for v in own] if signed else own)[: -(-step * len(own) // STEPS)]
            each.append(abs(20 * (sum(x[v] for v in kept) - sum(x))) / 40)
        changes[step / STEPS] = sum(each) / len(each)
    found = calibrate(mass, e, tolerance=tolerance)
    expected = next(f for f, change in changes.items() if change <= tolerance + 1e-6)
    assert found.fraction == expected
    assert found.of == "change"
    assert 1 - found.kept == pytest.approx(changes[expected], abs=1e-5)
    assert found.clouds == 30
    s = subgraph(e, "fidelity", calibration=found, predict=mass)
    assert "the least that changes the prediction of 30 validation clouds by at most" in s.rule
    assert float((s.alone - mass(clouds)).abs().mean() / 40) == pytest.approx(changes[expected], abs=1e-4)


def test_calibration_of_a_multiclass_target_is_of_the_class_that_is_explained():
    """Class by class: a cloud's own class keeps its probability where its marked points stay."""
    e = marked_clouds()
    colour = Targets((Target("colour", "multiclass", classes=("none", "marked")),))
    p = has_mark(e.clouds)
    prediction = torch.stack([1 - p, p], 1)
    explained = prediction.argmax(1)

    def predict(clouds):
        p = has_mark(clouds)
        return torch.stack([1 - p, p], 1).gather(1, clouds[EXPLAINED][:, None]).squeeze(1)

    e = Explanation(e.clouds, prediction, e.importance, targets=colour, explained=explained, shared=False)
    found = calibrate(predict, e, tolerance=0.05)
    assert (found.clouds, found.of) == (30, "probability"), "every cloud has a predicted class"
    s = subgraph(e, "fidelity", calibration=found, predict=predict)
    whole = prediction.gather(1, explained[:, None]).squeeze(1)
    assert float(s.alone.mean()) / float(whole.mean()) == pytest.approx(found.kept, rel=1e-5)
    assert found.kept >= 0.95
    if found.fraction > 1 / STEPS:
        less = subgraph(e, "top", fraction=found.fraction - 1 / STEPS, predict=predict)
        assert float(less.alone.mean()) / float(whole.mean()) < 0.95


@pytest.mark.parametrize(("rule", "options"), [("top", {"m": 2}), ("gap", {})])
def test_of_signed_importance_the_size_decides_what_is_kept(rule, options):
    values = [0.1, -5.0, 0.3, 4.0]
    kept = subgraph(Explanation(explained([4], values).clouds, torch.zeros(1, 1), torch.tensor(values), signed=True),
                    rule, **options)
    assert kept.mask.tolist() == [False, True, False, True]
    assert kept.threshold.tolist() == [4.0]


def test_what_the_model_says_of_the_kept_points_alone():
    e = explained([3, 0, 2], [0.1, 0.9, 0.8, 1.0, 2.0], features=torch.tensor([[1.0], [1], [0], [1], [1]]))
    s = subgraph(e, "top", m=1, predict=has_mark)
    assert s.alone[[0, 2]].tolist() == pytest.approx([0.55, 0.55])
    assert math.isnan(s.alone[1])
    assert s.clouds().sizes.tolist() == [1, 0, 1]
    marked = s.marked()
    assert marked.provenance["subgraph"] == {"rule": "the most important point of each cloud", "sizes": [1, 0, 1],
                                             "alone": [pytest.approx(0.55), None, pytest.approx(0.55)]}
    assert marked.table()["subgraph"] == [False, True, False, False, True]
    assert "subgraph" not in e.columns
    assert subgraph(explained([0], []), "gap", predict=has_mark).mask.tolist() == []


def test_save_carries_the_mask(tmp_path):
    import pyarrow.parquet as pq

    e = subgraph(explained([3], [1.0, 3.0, 2.0]), "top", m=2).marked()
    e.save(tmp_path / "e.parquet")
    assert pq.read_table(tmp_path / "e.parquet").to_pydict()["subgraph"] == [False, True, True]


CALIBRATED = Calibration(0.5, 0.05, 0.97, 10)


@pytest.mark.parametrize(("rule", "options", "message"), [
    ("top", {}, "expected m or fraction for the rule 'top', got nothing"),
    ("top", {"m": 2, "fraction": 0.5}, "got m and fraction"),
    ("top", {"m": 0}, "m of at least 1"),
    ("top", {"fraction": 0.0}, r"a fraction in \(0, 1\]"),
    ("top", {"calibration": CALIBRATED}, "got calibration"),
    ("gap", {"m": 2}, "expected no option for the rule 'gap'"),
    ("gap", {"most": 0.0}, "expected most in"),
    ("fidelity", {}, "expected calibration"),
    ("fidelity", {"m": 3, "calibration": CALIBRATED}, "got m and calibration"),
    ("tops", {}, "did you mean 'top'"),
])
def test_mistakes_are_told(rule, options, message):
    with pytest.raises(PellucidError, match=message):
        subgraph(explained([2], [1.0, 2.0]), rule, **options)


@pytest.mark.parametrize(("text", "expected"), [
    ("top:5", ("top", {"m": 5})), ("top:0.25", ("top", {"fraction": 0.25})), ("top:1", ("top", {"m": 1})),
    ("top:1.0", ("top", {"fraction": 1.0})), ("gap", ("gap", {})), ("fidelity", ("fidelity", {"tolerance": 0.05})),
    ("fidelity:0.1", ("fidelity", {"tolerance": 0.1})),
])
def test_rules_as_text(text, expected):
    assert parse_rule(text) == expected


@pytest.mark.parametrize("text", ["top", "top:", "top:x", "top:2.5", "gap:3", "fidelity:x", "top:-1"])
def test_bad_rules_as_text(text):
    with pytest.raises(PellucidError, match="expected"):
        parse_rule(text)


def test_unknown_rules_have_near_misses():
    with pytest.raises(UnknownNameError, match="did you mean 'fidelity'"):
        parse_rule("fidelty:0.1")
