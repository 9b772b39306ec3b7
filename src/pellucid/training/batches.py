"""Batches: a vectorised gather from clouds and neighbourhoods that are already there, without worker processes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch

from pellucid.clouds import PointClouds
from pellucid.neighbors import Neighbors
from pellucid.training.config import TrainingConfig

Batch = tuple[PointClouds, Neighbors]


class Batches:
    """Batches of clouds with the neighbourhoods of the unperturbed points, which are made only once.

    Args:
        clouds: All clouds.
        neighbors: Their neighbourhoods.
        size: Clouds a batch. A last batch of one cloud joins the one before it: batch norm needs two.
        seed: Shuffles by (seed, epoch); None keeps the order.
    """

    def __init__(self, clouds: PointClouds, neighbors: Neighbors, size: int, seed: int | None = None) -> None:
        self.clouds, self.neighbors, self.size, self.seed = clouds.without_text(), neighbors, size, seed
        self.epoch = 0

    def _cuts(self) -> list[int]:
        cuts = [*range(0, len(self.clouds), self.size), len(self.clouds)]
        if len(cuts) > 2 and cuts[-1] - cuts[-2] == 1:
            del cuts[-2]
        return cuts

    def __len__(self) -> int:
        return len(self._cuts()) - 1

    def order(self) -> torch.Tensor:
        """(clouds,) places in the order of this epoch."""
        if self.seed is None:
            return torch.arange(len(self.clouds))
        return torch.randperm(len(self.clouds), generator=torch.Generator().manual_seed(mix(self.seed, self.epoch)))

    def __iter__(self) -> Iterator[Batch]:
        order, cuts = self.order(), self._cuts()
        ptr, edge_ptr = self.clouds.ptr, self.clouds.edge_ptr
        for a, b in itertools.pairwise(cuts):
            chosen = order[a:b].to(ptr.device)
            yield self.clouds.select(chosen), self.neighbors.select(ptr, chosen, edge_ptr)


def mix(seed: int, epoch: int) -> int:
    """One 63-bit seed out of two, so that each epoch has its own stream and a resumed run the same one.

    Example:
        >>> mix(0, 1) != mix(1, 0)
        True
    """
    x = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & (2**64 - 1)
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (x ^ (x >> 31)) >> 1


def swapped(clouds: PointClouds, share: float) -> PointClouds:
    """Negatives made of samples of two clouds: some get the second cloud of another sample, and the label 0.

    Args:
        clouds: With a partner and ``y``. Where they have a ``cluster``, partners are taken of other clusters alone: the
            ligands of one series bind to the same protein.
        share: Of the samples that are drawn, independently of each other; they stay as they are where the other
            sample that is drawn for them is of their cluster.
    """
    partner, count = clouds.partner, len(clouds)
    if partner is None or count < 2:
        return clouds
    own = torch.arange(count, device=clouds.device)
    other = (own + torch.randint(1, count, (count,), device=clouds.device)) % count
    moves = torch.rand(count, device=clouds.device) < share
    if "cluster" in clouds:
        moves &= clouds["cluster"] != clouds["cluster"][other]
    if (censored := clouds.get("censored")) is not None:
        clouds = clouds.replace(censored=torch.where(moves[:, None], 0, censored))
    y = torch.where(moves[:, None], 0, clouds["y"])
    return clouds.replace(partner=partner.select(torch.where(moves, other, own)), y=y)


def rotated(clouds: PointClouds) -> PointClouds:
    """Each cloud turned by a random proper rotation about the origin, uniform over SO(D), with its second cloud.

    Args:
        clouds: With ``pos`` (points, D); neighbourhoods stay as they are. Every field turns as its irreps say; see
            :meth:`PointClouds.rotate`.
    """
    pos = clouds.pos
    dim = pos.shape[1]
    q, r = torch.linalg.qr(torch.randn(len(clouds), dim, dim, device=pos.device, dtype=pos.dtype))
    q = q * r.diagonal(dim1=1, dim2=2).sign()[:, None]  # Haar measure on O(D) (Mezzadri 2007)
    q = torch.cat([q[..., :1] * torch.linalg.det(q)[:, None, None], q[..., 1:]], -1)
    return clouds.rotate(q.transpose(1, 2))


def jittered(clouds: PointClouds, size: float) -> PointClouds:
    """Coordinates with normal noise.

    Args:
        clouds: With ``pos``.
        size: Standard deviation, in the unit of ``pos``.
    """
    return clouds.replace(pos=clouds.pos + size * torch.randn_like(clouds.pos))


def augmented(clouds: PointClouds, neighbors: Neighbors, config: TrainingConfig,
              connect: Callable[[PointClouds], Neighbors]) -> Batch:
    """A training batch changed at random, as the configuration says.

    Args:
        clouds: The batch.
        neighbors: Its neighbourhoods.
        config: What to do: ``swap_partner``, ``rotate``, ``jitter``.
        connect: Makes neighbourhoods, where points have moved against each other.
    """
    if config.swap_partner:
        clouds = swapped(clouds, config.swap_partner)
    if config.rotate:
        clouds = rotated(clouds)
    if config.jitter:
        clouds = jittered(clouds, config.jitter)
        neighbors = connect(clouds)
    return clouds, neighbors
