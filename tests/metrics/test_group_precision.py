import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged_cases import batches, by_cloud, mean, offsets
from test_interpretation import expected_precision

from pellucid.errors import PellucidError
from pellucid.metrics import metrics
from pellucid.metrics.groups import group_precision_at, group_precision_values, groups_of
from pellucid.metrics.interpretation import precision_at


def by_hand(values, truth, group, share):
    """Mean importance and truth of each group of one cloud, by its number."""
    numbers = sorted(set(group.tolist()) - {-1})
    importance = [np.mean(np.sort(values[group == g].astype(np.float64))) for g in numbers]
    return np.array(importance), np.array([truth[group == g].mean() >= share for g in numbers], dtype=bool)


@settings(max_examples=40)
@given(batches(), st.integers(0, 10**6), st.sampled_from([0.3, 0.5, 1.0]))
def test_against_a_loop_over_clouds_and_groups(batch, seed, share):
    values, truth, ptr, clouds = batch
    group = torch.from_numpy(np.random.default_rng(seed).choice([-1, 0, 3, 4, 10**15], len(values)))
    shares = {m: [] for m in (1, 2, 7)}
    for v, t, g in by_cloud(ptr, clouds, values, truth, group):
        importance, important = by_hand(v, t, g, share)
        if important.any() and not important.all():
            for m, found in shares.items():
                found.append(expected_precision(np.round(importance, 9), important, m))
    for m, found in shares.items():
        ours = group_precision_at(values, truth, group, ptr, m, share=share, clouds=clouds)
        assert ours == pytest.approx(mean(found), nan_ok=True)
        each = group_precision_values(values, truth, group, ptr, m, share=share, clouds=clouds)
        assert len(each) == len(ptr) - 1
        assert each[~each.isnan()].tolist() == pytest.approx(found)


@given(batches(), st.integers(0, 10**6))
def test_neither_the_order_of_points_nor_the_numbers_of_groups_matter(batch, seed):
    values, truth, ptr, _ = batch
    random = np.random.default_rng(seed)
    group = torch.from_numpy(random.integers(-1, 3, len(values)))
    value = group_precision_at(values.double() / 3, truth, group, ptr, 1)
    order = torch.cat([torch.zeros(0, dtype=torch.int64),
                       *(torch.from_numpy(a + random.permutation(n)) for a, n in zip(ptr.tolist(), ptr.diff().tolist(),
                                                                                     strict=False))])
    assert group_precision_at(values[order].double() / 3, truth[order], group[order], ptr, 1) == (
        pytest.approx(value, nan_ok=True))
    renamed = torch.where(group < 0, group, 7 * (5 - group))
    assert group_precision_at(values.double() / 3, truth, renamed, ptr, 1) == pytest.approx(value, nan_ok=True)


@given(batches(), st.integers(1, 4))
def test_groups_of_one_point_are_points(batch, m):
    values, truth, ptr, clouds = batch
    group = torch.arange(len(values)).flip(0)
    assert group_precision_at(values, truth, group, ptr, m, clouds=clouds) == (
        pytest.approx(precision_at(values, truth, ptr, m, clouds=clouds), nan_ok=True))


def test_by_hand():
    importance = torch.tensor([0.9, 0.1, 0.6, 5.0, 0.2, 0.8])
    important = torch.tensor([True, False, False, True, True, False])
    group = torch.tensor([0, 0, 1, -1, 0, 0])  # two clouds of four and two points
    ptr = offsets([4, 2])
    assert [t.tolist() for t in groups_of(importance, important, group, ptr)] == [
        pytest.approx([0.5, 0.6, 0.5]), [True, False, True], [0, 2, 3]]
    # the second cloud has only an important group: skipped
    assert group_precision_at(importance, important, group, ptr, 1) == 0.0
    assert group_precision_at(importance, important, group, ptr, 2) == 0.5
    assert math.isnan(group_precision_at(importance, important, group, ptr, 1, share=0.6))
    assert metrics["interpretation.group_precision@m"] is group_precision_at


def test_equal_means_are_tied_whatever_the_rounding():
    importance = torch.tensor([0.1, 0.1, 0.1, 0.1], dtype=torch.float64)  # 0.1 + 0.1 + 0.1 is not 3 * 0.1
    group, important = torch.tensor([0, 0, 0, 1]), torch.tensor([False, False, False, True])
    assert group_precision_at(importance, important, group, offsets([4]), 1) == 0.5


def test_undefined_is_nan():
    nothing = torch.zeros(0)
    assert math.isnan(group_precision_at(nothing, nothing.bool(), nothing.long(), offsets([]), 1))
    assert math.isnan(group_precision_at(nothing, nothing.bool(), nothing.long(), offsets([0, 0]), 1))
    truth = torch.tensor([True, False])
    assert math.isnan(group_precision_at(torch.arange(2.0), truth, torch.tensor([-1, -1]), offsets([2]), 1))
    assert math.isnan(group_precision_at(torch.arange(2.0), truth, torch.tensor([0, 0]), offsets([2]), 1))


@pytest.mark.parametrize(("change", "message"), [
    ({"group": torch.zeros(3)}, "groups of shape"),
    ({"group": torch.zeros(2, dtype=torch.int64)}, "groups of shape"),
    ({"group": torch.tensor([0, -2, 1])}, "int64 from -1 on"),
    ({"important": torch.zeros(3)}, "ground truth of shape"),
    ({"importance": torch.zeros(2)}, r"importance of shape \(3,\)"),
    ({"share": 0.0}, r"share in \(0, 1\]"),
    ({"m": 0}, "m of at least 1"),
])
def test_mistakes_are_told(change, message):
    arguments = {"importance": torch.zeros(3), "important": torch.tensor([True, False, False]),
                 "group": torch.tensor([0, 1, 1]), "ptr": offsets([3]), "m": 1} | change
    with pytest.raises(PellucidError, match=message):
        group_precision_at(**arguments)
