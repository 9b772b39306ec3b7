"""Random numbers that a sample draws by its own content: never by its neighbours in a batch or its place in a file."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pellucid.clouds import PointClouds

_GOLDEN, _A, _B = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
CONTENT = ("pos", "categories", "features", "edge_index", "edge_categories", "edge_features")
"""Fields that decide what a sample draws: what a model may see of it."""


def _signed(value: int) -> int:
    """A 64-bit pattern as int64 holds it."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical shift to the right, which int64 has not."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def scrambled(x: Tensor) -> Tensor:
    """The finalizer of splitmix64 (Steele et al. 2014): int64 -> int64, a bijection whose bits look random.

    Example:
        >>> scrambled(torch.tensor([0, 1])).tolist()
        [0, 6238072747940578789]
    """
    x = (x ^ _shift(x, 30)) * _signed(_A)
    x = (x ^ _shift(x, 27)) * _signed(_B)
    return x ^ _shift(x, 31)


def content_seeds(clouds: PointClouds, seed: int = 0) -> Tensor:
    """(clouds,) int64 seeds that depend on ``seed`` and on the points of each cloud alone, its second cloud included.

    Floating-point numbers count as float64, so that a cloud and its float32 copy that is exactly equal agree.

    Args:
        clouds: The clouds; what else a batch holds does not matter.
        seed: The user's seed.

    Example:
        >>> two = PointClouds(torch.tensor([0, 1, 3]), {"pos": torch.tensor([[1.0], [2.0], [3.0]])})
        >>> bool(content_seeds(two)[1] == content_seeds(two.select(torch.tensor([1])))[0])
        True
    """
    total = scrambled(clouds.sizes + _signed(_GOLDEN * (2 * seed + 1)))
    for number, name in enumerate(CONTENT, 1):
        if name not in clouds:
            continue
        level = clouds.declared[name].level
        ptr = clouds.edge_ptr if level == "edge" else clouds.ptr
        if ptr is None:
            continue
        values = clouds[name]
        values = values[:, None] if values.ndim == 1 else values.flatten(1)
        bits = (values.double() + 0.0).view(torch.int64) if values.dtype.is_floating_point else values.long()
        cloud = torch.repeat_interleave(torch.arange(len(clouds), device=clouds.device), ptr.diff(),
                                        output_size=len(values))
        place = torch.arange(len(values), device=clouds.device) - ptr[cloud]
        salt = torch.arange(1, bits.shape[1] + 1, device=clouds.device) * _signed(_A) + _signed(_GOLDEN * number)
        each = scrambled(scrambled(bits + salt).sum(1) + place * _signed(_B))
        total = scrambled(total + torch.zeros_like(total).index_add(0, cloud, each))
    if clouds.partner is not None:
        total = scrambled(total + content_seeds(clouds.partner, seed))
    return total


class CloudRandom:
    """A stream of random numbers for each cloud of a batch, by its content; every call draws new ones.

    Args:
        clouds: The batch.
        seed: The user's seed.

    Attributes:
        seeds: (clouds,) int64; see :func:`content_seeds`.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"pos": torch.zeros(2, 3)})
        >>> CloudRandom(clouds, 1).uniform(clouds.sizes).shape
        torch.Size([2])
    """

    def __init__(self, clouds: PointClouds, seed: int = 0) -> None:
        self.seeds = content_seeds(clouds, seed)
        self._calls = 0

    def _bits(self, rows: Tensor, width: int) -> Tensor:
        self._calls += 1
        stream = scrambled(self.seeds + _signed(_GOLDEN * self._calls))
        cloud = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), rows)
        starts = rows.cumsum(0) - rows
        place = torch.arange(len(cloud), device=rows.device) - starts[cloud]
        counter = place[:, None] * width + torch.arange(width, device=rows.device) + 1
        return scrambled(stream[cloud, None] + counter * _signed(_GOLDEN))

    def uniform(self, rows: Tensor, width: int | None = None, dtype: torch.dtype = torch.float64) -> Tensor:
        """Uniform numbers in (0, 1), with 52 random bits: the middles of as many cells, which float64 holds exactly.

        Args:
            rows: (clouds,) rows of each cloud.
            width: Columns; None for a number a row.
            dtype: Of the result; what rounds to 0 or 1 is moved to the next number inside.

        Returns:
            (rows, width), or (rows,).
        """
        u = (_shift(self._bits(rows, width or 1), 12).double() + 0.5) * 2.0**-52
        info = torch.finfo(dtype)
        u = u.to(dtype).clamp(info.tiny, 1 - info.eps / 2)
        return u if width is not None else u.squeeze(1)

    def normal(self, rows: Tensor, width: int | None = None, dtype: torch.dtype = torch.float64) -> Tensor:
        """Standard normal numbers (Box and Muller 1958); arguments as for :meth:`uniform`."""
        columns = width or 1
        u = self.uniform(rows, 2 * columns)
        z = (-2 * u[:, :columns].log()).sqrt() * (2 * math.pi * u[:, columns:]).cos()
        return z.to(dtype) if width is not None else z.to(dtype).squeeze(1)

    def generators(self) -> list[torch.Generator]:
        """A generator of PyTorch's own for each cloud, on the CPU."""
        self._calls += 1
        stream = scrambled(self.seeds + _signed(_GOLDEN * self._calls))
        return [torch.Generator().manual_seed(seed) for seed in _shift(stream, 1).tolist()]
