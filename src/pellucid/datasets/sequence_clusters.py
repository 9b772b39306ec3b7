"""Families of proteins by their sequences, and splits that keep a family on one side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from pellucid.clouds import SPLITS
from pellucid.errors import PellucidError

WORD, CONTAINED = 5, 0.4
"""Residues of a word, and the share of words in common from which two sequences are relatives."""
SHARES = (0.70, 0.15, 0.15)
"""Of the samples, that training, validation and test are to have."""
DEALS = 32
"""Random deals, the most even of which is taken."""
BLOCK = 500


def sequence_clusters(sequences: Sequence[str]) -> NDArray[np.int64]:
    """Clusters of sequences by single linkage over shared words of five residues.

    Two sequences are linked where the words that both have are at least 0.4 of the words of the shorter list. Words are
    counted once. A sequence of fewer than five residues is linked with its equals alone.

    Args:
        sequences: One-letter codes, one a sample.

    Returns:
        (sequences,) cluster numbers; 0 is the largest, and of equally large ones the earlier comes first.

    Example:
        >>> sequence_clusters(["MKVLAAGG", "MKVLAAGW", "PPWYTRSE"]).tolist()
        [0, 0, 1]
    """
    distinct, place = np.unique(np.asarray(sequences, dtype=object).astype(str), return_inverse=True)
    words: dict[str, int] = {}
    columns: list[int] = []
    ends = [0]
    for sequence in distinct.tolist():
        own = {sequence[i : i + WORD] for i in range(len(sequence) - WORD + 1)}
        columns.extend(words.setdefault(word, len(words)) for word in own)
        ends.append(len(columns))
    count = len(distinct)
    has = csr_array((np.ones(len(columns), dtype=np.int32), columns, ends), shape=(count, len(words)))
    sizes, by_word = np.diff(ends), has.T.tocsr()
    links = []
    for start in range(0, count, BLOCK):  # by blocks, for the memory
        shared = coo_array(has[start : start + BLOCK] @ by_word)
        row, column = shared.row + start, shared.col
        near = shared.data >= CONTAINED * np.minimum(sizes[row], sizes[column])
        links.append(np.stack([row[near], column[near]]))
    row, column = np.concatenate(links, axis=1)
    graph = coo_array((np.ones(len(row), dtype=np.int8), (row, column)), shape=(count, count))
    label = connected_components(graph, directed=False)[1][place]
    _, first, number, members = np.unique(label, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.lexsort((first, -members))] = np.arange(len(first))
    return rank[number]


def split_by_cluster(cluster: NDArray[np.int64], positive: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """A split in which no cluster is on two sides, near 70/15/15, with similar shares of positive samples.

    Clusters are shuffled and dealt one after the other to the side that is then closest to its due of positive and of
    negative samples (in the sense of chi-square); of 32 such deals the most even is taken. A cluster of more than half
    of what validation or test is due goes to training, so that no single family makes up a test.

    Args:
        cluster: (samples,) cluster of each sample.
        positive: (samples,) labels.
        seed: Of the shuffling.

    Returns:
        (samples,) 0 = train, 1 = validation, 2 = test.

    Raises:
        PellucidError: if there are fewer than three clusters.

    Example:
        >>> import numpy as np
        >>> side = split_by_cluster(np.arange(20) // 2, np.arange(20) % 4 == 0, seed=1)
        >>> np.bincount(side).tolist(), bool((side[::2] == side[1::2]).all())
        ([12, 4, 4], True)
    """
    _, number = np.unique(cluster, return_inverse=True)
    held = np.stack([np.bincount(number, ~positive), np.bincount(number, positive)], 1)
    sizes = held.sum(1)
    if len(held) < len(SPLITS):
        raise PellucidError(f"expected at least {len(SPLITS)} protein clusters to deal to {', '.join(SPLITS)}, got "
                            f"{len(held)}; give more proteins, or split at random")
    due = np.outer(SHARES, held.sum(0))
    scale = np.where(due > 0, due, 1)
    # Two clusters may go to the small sides in any case: each needs one.
    small = sizes <= max(SHARES[-1] * sizes.sum() / 2, np.sort(sizes)[1])
    rng = np.random.default_rng([seed, 5])
    best, least = np.zeros(len(held), dtype=np.int64), np.inf
    for _ in range(DEALS):
        order = rng.permutation(len(held))
        side = np.zeros(len(held), dtype=np.int64)
        have = np.zeros_like(due)
        opened = order[small[order]][:2]
        side[opened] = [1, 2]
        have[1], have[2] = held[opened]
        for one in order[~np.isin(order, opened)]:
            growth = (((have + held[one] - due) ** 2 - (have - due) ** 2) / scale).sum(1)
            side[one] = int(growth.argmin()) if small[one] else 0
            have[side[one]] += held[one]
        uneven = float(((have - due) ** 2 / scale).sum())
        if uneven < least:
            best, least = side, uneven
    return best[number]
