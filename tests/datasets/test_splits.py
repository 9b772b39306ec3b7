"""Tests of splits: groups stay together, all parts are there, nothing lies on two sides."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.datasets.splits import (
    split_by_column,
    split_by_groups,
    split_by_time,
    split_into_folds,
    without_copies,
)
from pellucid.errors import PellucidError

GROUPS = st.lists(st.integers(0, 15), min_size=3, max_size=80).map(lambda v: [f"g{i}" for i in v])


def parts_of(groups: list[str], split: torch.Tensor) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for group, part in zip(groups, split.tolist(), strict=True):
        found.setdefault(group, set()).add(part)
    return found


@given(GROUPS, st.integers(0, 5))
def test_groups_stay_together_and_every_part_has_some(groups: list[str], seed: int) -> None:
    if len(set(groups)) < 3:
        with pytest.raises(PellucidError, match="at least 3 different groups"):
            split_by_groups(groups, seed)
        return
    split = split_by_groups(groups, seed)
    assert all(len(parts) == 1 for parts in parts_of(groups, split).values())
    assert set(split.tolist()) == {0, 1, 2}
    assert torch.equal(split, split_by_groups(groups, seed))


@given(GROUPS, st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_split_of_a_group_does_not_depend_on_the_order_of_the_samples(groups: list[str], seed: int, random) -> None:
    if len(set(groups)) < 3:
        return
    places = list(range(len(groups)))
    random.shuffle(places)
    assert torch.equal(split_by_groups(groups, seed)[places], split_by_groups([groups[i] for i in places], seed))


def test_many_small_groups_fill_the_shares_and_large_ones_train() -> None:
    groups = ["big"] * 30 + [f"pair{i // 2}" for i in range(170)]
    for seed in range(5):
        split = split_by_groups(groups, seed)
        assert split.bincount().tolist() == [160, 20, 20]
        assert set(split[:30].tolist()) == {0}
    assert not torch.equal(split_by_groups(groups, 0), split_by_groups(groups, 1))


def test_a_group_larger_than_training_trains_and_the_others_judge() -> None:
    split = split_by_groups(["big"] * 95 + list("abcde"), 0)
    assert set(split[:95].tolist()) == {0}
    assert set(split[95:].tolist()) == {1, 2}


@given(GROUPS, st.integers(3, 6), st.integers(0, 3))
def test_folds_test_each_group_once(groups: list[str], folds: int, seed: int) -> None:
    if len(set(groups)) < folds:
        return
    splits = [split_into_folds(groups, seed, folds, fold) for fold in range(folds)]
    assert bool((torch.stack(splits).eq(2).sum(0) == 1).all())
    for split in splits:
        assert set(split.tolist()) == {0, 1, 2}
        assert all(len(parts) == 1 for parts in parts_of(groups, split).values())


def test_folds_of_single_samples_are_equal_in_size() -> None:
    groups = [f"g{i}" for i in range(100)]
    for fold in range(5):
        assert split_into_folds(groups, 0, 5, fold).bincount().tolist() == [71, 9, 20]


def test_two_folds_are_halves() -> None:
    halves = [split_into_folds([f"g{i}" for i in range(100)], 0, 2, fold) for fold in range(2)]
    assert [half.bincount().tolist() for half in halves] == [[44, 6, 50], [44, 6, 50]]
    assert bool((halves[0].eq(2) ^ halves[1].eq(2)).all())


def test_folds_refuse_what_cannot_be() -> None:
    with pytest.raises(PellucidError, match="a fold from 0 to folds - 1, got folds=5 and fold=5"):
        split_into_folds(list("abcdefg"), 0, 5, 5)
    with pytest.raises(PellucidError, match="take fewer folds"):
        split_into_folds(list("aab"), 0, 5, 0)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("TRAIN", "Valid", "Test"),
                                   ("training", " validation", "holdout")])
def test_a_column_may_spell_its_parts(names: tuple[str, str, str]) -> None:
    assert split_by_column([*names, names[0]], "set", list("abcd"), 0).tolist() == [0, 1, 2, 0]


def test_a_column_without_validation_gets_it_out_of_training_by_groups() -> None:
    groups = [f"g{i // 2}" for i in range(60)]
    values = ["train"] * 54 + ["test"] * 6
    split = split_by_column(values, "set", groups, 0)
    assert split.bincount().tolist() == [48, 6, 6]
    assert split[54:].tolist() == [2] * 6
    assert all(len(parts) == 1 for parts in parts_of(groups, split).values())


def test_a_column_with_another_word_names_it() -> None:
    with pytest.raises(PellucidError, match="got 'maybe' in row 3"):
        split_by_column(["train", "maybe"], "set", ["a", "b"], 0)
    with pytest.raises(PellucidError, match="samples for test in the column 'set', got none"):
        split_by_column(["train", "val"], "set", ["a", "b"], 0)


@given(st.lists(st.integers(1990, 2000), min_size=3, max_size=60))
def test_time_goes_forward_and_ties_stay_together(years: list[int]) -> None:
    if len(set(years)) < 3:
        return
    split = split_by_time([str(y) for y in years], "year").numpy()
    assert set(split) == {0, 1, 2}
    for part in (0, 1):
        assert max(np.array(years)[split == part]) < min(np.array(years)[split == part + 1])


def test_times_may_be_dates() -> None:
    split = split_by_time([f"{day:02d}.01.2024" for day in range(30, 0, -1)], "day")
    assert split.tolist() == [2] * 3 + [1] * 3 + [0] * 24
    assert split_by_time(["2024-05-31", "2024-06-01T10:00:00", "2023/12/24"], "day").tolist() == [1, 2, 0]
    with pytest.raises(PellucidError, match="got 'soon' in row 3"):
        split_by_time(["1", "soon", "3"], "when")
    with pytest.raises(PellucidError, match="got both"):
        split_by_time(["1", "2024-01-01", "3"], "when")


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), min_size=1, max_size=40))
def test_no_molecule_lies_on_two_sides(rows: list[tuple[int, int]]) -> None:
    split, names = torch.tensor([part for part, _ in rows]), [str(name) for _, name in rows]
    keep = without_copies(split, names)
    kept = [(name, part) for name, part, stays in zip(names, split.tolist(), keep.tolist(), strict=True) if stays]
    assert all(len({part for n, part in kept if n == name}) == 1 for name in set(names))
    assert Counter(n for n, p in kept if p == 2) == Counter(n for n, (p, _) in zip(names, rows, strict=True) if p == 2)
