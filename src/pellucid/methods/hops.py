"""Noise of a point's surroundings: over hops from neighbourhood to neighbourhood."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.neighbors import Neighbors


def most_random(randomness: Tensor, neighbors: Neighbors, hops: int) -> Tensor:
    """The most random point within some hops of each point (paper, appendix D: the largest determinant).

    Args:
        randomness: (points,) the larger, the more random.
        neighbors: Whom each point hears; it reaches itself in any case.
        hops: How often neighbourhoods are joined.

    Returns:
        (points,) int64.

    Example:
        >>> line = Neighbors(torch.tensor([[1], [0], [1], [2]]))
        >>> most_random(torch.tensor([3.0, 1.0, 0.0, 2.0]), line, 2).tolist()
        [0, 0, 0, 3]
    """
    chosen = torch.arange(len(randomness), device=randomness.device)
    for _ in range(hops):
        reach = torch.cat([chosen[:, None], chosen[neighbors.index]], 1)  # an empty place names the point itself
        chosen = reach.gather(1, randomness[reach].argmax(1, keepdim=True)).squeeze(1)
    return chosen


def mean_over_hops(values: Tensor, neighbors: Neighbors, hops: int) -> Tensor:
    """Averages over each point and whom it hears, repeated.

    Args:
        values: (points, F).
        neighbors: Whom each point hears; it reaches itself in any case, and counts once.
        hops: How often.

    Returns:
        (points, F).

    Example:
        >>> line = Neighbors(torch.tensor([[1], [0], [1], [2]]))
        >>> mean_over_hops(torch.tensor([[3.0], [1.0], [0.0], [2.0]]), line, 1)[:, 0].tolist()
        [2.0, 2.0, 0.5, 1.0]
    """
    own = torch.arange(len(values), device=values.device)[:, None]
    other = neighbors.index != own  # an empty place names the point itself
    count = 1 + other.sum(1, keepdim=True)
    for _ in range(hops):
        values = (values + (values[neighbors.index] * other[..., None]).sum(1)) / count
    return values
