import csv
import gzip
import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.datasets.sequence_clusters import sequence_clusters, split_by_cluster
from pellucid.errors import PellucidError

SHARED = Path(__file__).parents[2] / "../shared/data/plbind"
LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def by_pairs(sequences):
    """Single linkage over all pairs, by the definition."""
    words = [{s[i:i + 5] for i in range(len(s) - 4)} for s in sequences]
    parent = list(range(len(sequences)))

    def root(i):
        while parent[i] != i:
            i = parent[i]
        return i

    for i, j in itertools.combinations(range(len(sequences)), 2):
        least = min(len(words[i]), len(words[j]))
        if sequences[i] == sequences[j] or (least and len(words[i] & words[j]) / least >= 0.4):
            parent[root(i)] = root(j)
    return [root(i) for i in range(len(sequences))]


def same_partition(a, b):
    return len(set(a)) == len(set(b)) == len(set(zip(a, b, strict=True)))


def family(rng, members, length, changes):
    start = rng.choices(LETTERS, k=length)
    for _ in range(members):
        own = list(start)
        for place in rng.sample(range(length), changes):
            own[place] = rng.choice(LETTERS)
        cut = rng.randrange(length // 3)
        yield "".join(own[cut:])


def test_clusters_are_those_of_all_pairs():
    rng = random.Random(0)
    sequences = [s for changes in (0, 4, 8, 12, 16, 20) for s in family(rng, 25, 90, changes)]
    sequences += ["", "A", "ACDE", "ACDE", "ACDEF", "XXXXXXX", "XXXXXXXX"]
    rng.shuffle(sequences)
    found = sequence_clusters(sequences).tolist()
    assert same_partition(found, by_pairs(sequences))
    sizes = np.bincount(found)
    assert 10 < len(sizes) < len(sequences)  # neither all alone nor all together
    assert (np.diff(sizes) <= 0).all()
    first = [found.index(number) for number in range(len(sizes))]
    assert all(a < b for a, b, m, n in zip(first, first[1:], sizes, sizes[1:], strict=False) if m == n)


@pytest.mark.parametrize(("shared", "linked"), [(8, True), (7, False)])
def test_the_limit_is_four_tenths_of_the_shorter(shared, linked):
    words = 20
    short = LETTERS + "ACDE"  # 20 different words
    longer = short[:shared + 4] + "WWWWW".join(LETTERS[::-1][i:i + 3] for i in range(17))
    both = {short[i:i + 5] for i in range(20)} & {longer[i:i + 5] for i in range(len(longer) - 4)}
    assert (len(both), len({short[i:i + 5] for i in range(20)})) == (shared, words)
    assert (len(set(sequence_clusters([short, longer]).tolist())) == 1) == linked


@pytest.mark.shared
def test_clusters_of_the_shared_table():
    if not SHARED.is_dir():
        pytest.skip(f"no complexes in {SHARED}")
    with (SHARED / "index.csv").open(newline="") as file:
        given = {row["id"]: int(row["protein_cluster"]) for row in csv.DictReader(file)}
    with gzip.open(SHARED / "sequences.csv.gz", "rt", newline="") as file:
        sequences = {row["id"]: row["longest_chain_sequence"] for row in csv.DictReader(file)}
    found = sequence_clusters([sequences[name] for name in given]).tolist()
    assert len(set(found)) == 145
    assert same_partition(found, list(given.values()))


@given(st.lists(st.integers(1, 60), min_size=3, max_size=60), st.integers(0, 2**31 - 1), st.floats(0, 1))
def test_no_cluster_is_on_two_sides(sizes, seed, rate):
    cluster = np.repeat(np.arange(len(sizes)) * 7 + 3, sizes)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(cluster))
    cluster, positive = cluster[order], rng.random(len(cluster)) < rate
    side = split_by_cluster(cluster, positive, seed)
    assert set(side.tolist()) == {0, 1, 2}
    for one in np.unique(cluster):
        assert len(set(side[cluster == one].tolist())) == 1
    np.testing.assert_array_equal(side, split_by_cluster(cluster, positive, seed))


def test_shares_and_the_largest_cluster():
    rng = np.random.default_rng(3)
    # Like the shared table: one family of 12 %, some of 3 to 5 %, many of a few.
    cluster = np.repeat(np.arange(145), [164, *[50] * 9, *[20] * 20, *[4] * 95, *[1] * 20])
    rate = rng.beta(0.5, 2, 145)[cluster]
    positive = rng.random(len(cluster)) < rate
    sides = [split_by_cluster(cluster, positive, seed) for seed in range(8)]
    for side in sides:
        np.testing.assert_allclose(np.bincount(side) / len(side), (0.70, 0.15, 0.15), atol=0.01)
        np.testing.assert_allclose([positive[side == s].mean() for s in range(3)], positive.mean(), atol=0.02)
        assert set(side[cluster == 0]) == {0}
        for s in (1, 2):
            assert np.bincount(cluster[side == s]).max() <= 0.5 * (side == s).sum() + 1
    assert len({tuple(side) for side in sides}) == len(sides)


def test_too_few_clusters():
    with pytest.raises(PellucidError, match=r"at least 3 protein clusters .* got 2"):
        split_by_cluster(np.array([0, 0, 1, 1]), np.array([True, False, True, False]), 0)
