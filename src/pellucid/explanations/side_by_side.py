"""The same clouds by several explainers: each as it is, and how far they agree."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.files import replacing
from pellucid.metrics.ragged import mean_over, sums, top
from pellucid.metrics.stability import rank_correlation_values

MOST = 5
"""Most important points that are compared."""


@dataclass(frozen=True)
class Agreement:
    """How far two explainers agree.

    Attributes:
        names: Of the two.
        rank_correlation: (clouds,) Spearman's, of signed importance that of |value|; NaN where it is undefined.
        overlap: (clouds,) share of the :data:`MOST` most important points that both have, in [0, 1]; NaN for clouds
            with no more points than that.
    """

    names: tuple[str, str]
    rank_correlation: Tensor
    overlap: Tensor

    def means(self) -> tuple[float, float]:
        """Of both over the clouds where they are defined; NaN where they are nowhere."""
        return (mean_over(self.rank_correlation, ~self.rank_correlation.isnan()),
                mean_over(self.overlap, ~self.overlap.isnan()))


@dataclass(frozen=True)
class SideBySide:
    """Explanations of the same clouds by several explainers, none of them averaged or brought onto one scale.

    Attributes:
        explanations: By the name of the explainer, at least two; the first is the one that others are compared with.

    Raises:
        PellucidError: if there are fewer than two, or their clouds differ.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 3]), {"pos": torch.zeros(3, 3)})
        >>> both = SideBySide({name: Explanation(clouds, torch.ones(1, 1), torch.tensor(x)) for name, x in [
        ...     ("occlusion", [0.1, 0.5, 0.2]), ("saliency", [9.0, 1.0, 2.0])]})
        >>> both.table()["importance:saliency"], both.first.importance.tolist()[1]
        ([9.0, 1.0, 2.0], 0.5)
        >>> round(both.agreements()[0].means()[0], 2)
        -1.0
    """

    explanations: Mapping[str, Explanation]

    def __post_init__(self) -> None:
        if len(self.explanations) < 2:
            raise PellucidError(f"expected at least two explainers side by side, got {len(self.explanations)}; name "
                                "another one")
        for name, one in self.explanations.items():
            if not torch.equal(one.clouds.ptr, self.clouds.ptr):
                raise PellucidError(f"expected explanations of the same clouds, got others by {name}; explain them "
                                    "together")

    @property
    def first(self) -> Explanation:
        """The one that others are compared with."""
        return next(iter(self.explanations.values()))

    @property
    def clouds(self) -> PointClouds:
        """What was explained."""
        return self.first.clouds

    @property
    def provenance(self) -> dict[str, Any]:
        """That of the first."""
        return self.first.provenance

    def table(self) -> dict[str, list[Any]]:
        """The table of the first, with columns ``importance:NAME`` and ``rank:NAME`` of each explainer."""
        columns = self.first.of().table()
        for name, one in self.explanations.items():
            columns |= {f"importance:{name}": one.of().importance.tolist(), f"rank:{name}": one.ranks().tolist()}
        return columns

    def agreements(self, most: int = MOST) -> list[Agreement]:
        """How far each two agree, in their order.

        Args:
            most: Most important points that are compared, at least 1.
        """
        return [self.agreement(a, b, most) for a, b in itertools.combinations(self.explanations, 2)]

    def agreement(self, a: str, b: str, most: int = MOST) -> Agreement:
        """How far two agree.

        Args:
            a: Name of an explainer.
            b: Another one.
            most: Most important points that are compared, at least 1.
        """
        ptr, (first, second) = self.clouds.ptr, (self.explanations[name].strength().double() for name in (a, b))
        both = sums(torch.minimum(top(first, ptr, most), top(second, ptr, most)), ptr) / most
        return Agreement((a, b), rank_correlation_values(torch.stack([first, second]), ptr),
                         both.where(ptr.diff() > most, float("nan")))

    def save(self, path: Path) -> None:
        """Writes :meth:`table` as parquet, whole or not at all."""
        import pyarrow.parquet as pq

        from pellucid.arrow import arrow_table

        with replacing(path) as temporary:
            pq.write_table(arrow_table(self.table()), temporary)
