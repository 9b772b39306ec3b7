"""Ragged batches with ties for the tests of this folder."""

import numpy as np
import torch
from hypothesis import strategies as st


def offsets(sizes):
    return torch.tensor([0, *np.cumsum(sizes)], dtype=torch.int64)


@st.composite
def batches(draw):
    """Importance (with many ties or none), ground truth, offsets and a mask of clouds."""
    sizes = draw(st.lists(st.sampled_from([0, 1, 2, 3, 6, 11]), max_size=6))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    n = sum(sizes)
    tied = draw(st.booleans())
    values = random.integers(-2, 3, n).astype(np.float32) if tied else random.normal(size=n).astype(np.float32)
    truth = random.random(n) < draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))
    clouds = draw(st.sampled_from([None, torch.from_numpy(random.random(len(sizes)) < 0.6)]))
    return torch.from_numpy(values), torch.from_numpy(truth), offsets(sizes), clouds


def by_cloud(ptr, clouds, *tensors):
    """The arrays of each cloud that counts."""
    for i in range(len(ptr) - 1):
        if clouds is None or clouds[i]:
            yield tuple(t[..., ptr[i] : ptr[i + 1]].numpy() for t in tensors)


def mean(values):
    return float(np.mean(values)) if len(values) else float("nan")
