import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.metrics.classification import accuracy, average_precision, roc_auc

NAN = float("nan")
binary = st.lists(st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.integers(-3, 3)), max_size=30)


def pair_auc(y, s):
    pairs = [(a > b) + 0.5 * (a == b) for a, t in zip(s, y, strict=True) if t == 1
             for b, u in zip(s, y, strict=True) if u == 0]
    return float(np.mean(pairs)) if pairs else NAN


@given(binary)
def test_roc_auc_counts_pairs_and_leaves_missing_targets_out(rows):
    y, score = [r[0] for r in rows], [r[1] for r in rows]
    assert roc_auc(torch.tensor(y), torch.tensor(score)) == pytest.approx(pair_auc(y, score), nan_ok=True)


def test_by_hand():
    y, score = [0, 1, 0, 1], [0.1, 0.4, 0.45, 0.8]
    assert roc_auc(y, score) == pytest.approx(3 / 4)
    assert average_precision(y, score) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert accuracy(y, score) == 0.75
    assert accuracy([1, 0], [0.5, 0.5]) == 0.5


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, list])
@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.float32])
def test_any_kind_of_input(kind, dtype):
    y = np.array([0, 1, 1]).astype(dtype)
    assert roc_auc(kind(y), kind(np.array([0.1, 0.2, 0.05], dtype=np.float32))) == 0.5


def test_bfloat16_and_gradients():
    score = torch.tensor([0.1, 0.9], dtype=torch.bfloat16, requires_grad=True)
    assert roc_auc(torch.tensor([0.0, 1.0]), score) == 1.0


@pytest.mark.parametrize("metric", [roc_auc, average_precision])
@pytest.mark.parametrize("y", [[], [1, 1], [0, 0], [NAN, NAN], [1, NAN]])
def test_one_class_or_none_is_undefined(metric, y):
    assert math.isnan(metric(y, [0.5] * len(y)))


def test_accuracy_of_nothing_is_undefined():
    assert math.isnan(accuracy([NAN], [0.4]))
    assert math.isnan(accuracy([], []))


def test_constant_score_is_chance():
    assert roc_auc([0, 1, 1, 0], [0.3] * 4) == 0.5
    assert average_precision([0, 1, 1, 0], [0.3] * 4) == 0.5


def test_multi_class_is_the_mean_one_against_the_rest():
    y = [0, 1, 2, 2, 1, NAN]
    score = np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.1, 0.2, 0.7], [0.6, 0.1, 0.3], [0.2, 0.2, 0.6], [1, 0, 0]])
    known = np.array(y[:5])
    expected = np.mean([pair_auc((known == c).astype(float), score[:5, c]) for c in range(3)])
    assert roc_auc(y, score) == pytest.approx(expected)
    assert accuracy(y, score) == pytest.approx(3 / 5)
    assert roc_auc([0, 1], [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]) == 1.0  # class 2 has no members: left out
    assert average_precision(y, score) == pytest.approx(np.mean([
        average_precision(known == c, score[:5, c]) for c in range(3)]))


@pytest.mark.parametrize("metric", [roc_auc, average_precision, accuracy])
@pytest.mark.parametrize(("y", "score", "message"), [
    ([0, 1], [0.1], "expected targets of shape"),
    ([[0], [1]], [0.1, 0.2], "expected targets of shape"),
    ([0, 1], [0.1, NAN], "expected finite predictions"),
    ([0, 2], [0.1, 0.2], "expected classes from 0 to 1"),
    ([0, 0.5], [0.1, 0.2], "expected classes from 0 to 1"),
    ([0, 3], [[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]], "expected classes from 0 to 2"),
])
def test_mistakes_are_told(metric, y, score, message):
    with pytest.raises(PellucidError, match=message):
        metric(y, score)


def test_a_prediction_of_a_missing_target_may_be_anything():
    assert roc_auc([0, 1, NAN], [0.1, 0.2, NAN]) == 1.0
