"""Explanation: the validated result of explaining clouds, whatever method made it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.files import replacing
from pellucid.grouping import Grouping, refuse_groups


@dataclass(frozen=True)
class Explanation:
    """Which points decided, and in which directions they may move.

    Attributes:
        clouds: What was explained.
        prediction: (clouds, outputs) probabilities, or values for regression.
        importance: (points,) the larger, the more a point decided; comparable within a cloud.
        importance_name: What the number is, e.g. ``"location importance, -log det Sigma"``.
        covariance: (points, D, D) how far a point may move, in the squared unit of ``pos``; None if the method
            does not say.
        provenance: Seed, versions, config, data hash.
        columns: More named numbers a point, (points,) each, e.g. the spread over an ensemble.

    Raises:
        PellucidError: if shapes do not fit or a value is not finite.
    """

    clouds: PointClouds
    prediction: Tensor
    importance: Tensor
    importance_name: str = "importance"
    covariance: Tensor | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        points, clouds = self.clouds.points, len(self.clouds)
        if self.importance.shape != (points,):
            raise PellucidError(f"expected importance of shape ({points},), got {tuple(self.importance.shape)}")
        if self.prediction.ndim != 2 or len(self.prediction) != clouds:
            raise PellucidError(f"expected prediction of shape ({clouds}, outputs), got {tuple(self.prediction.shape)}")
        if self.covariance is not None:
            dim = self.clouds.pos.shape[1]
            if self.covariance.shape != (points, dim, dim):
                raise PellucidError(f"expected covariance of shape ({points}, {dim}, {dim}), "
                                    f"got {tuple(self.covariance.shape)}")
        for name, column in self.columns.items():
            if column.shape != (points,):
                raise PellucidError(f"expected the column {name!r} of shape ({points},), got {tuple(column.shape)}")
        values = {"importance": self.importance, "prediction": self.prediction, "covariance": self.covariance}
        for name, value in (values | self.columns).items():
            if value is not None and not bool(value.isfinite().all()):
                raise PellucidError(f"expected finite {name}, got NaN or infinity; the model is damaged or diverged")

    def principal_axes(self) -> tuple[Tensor, Tensor]:
        """Directions in which a point may move, and how far.

        Returns:
            std: (points, D) standard deviations in the unit of ``pos``, largest first; axes: (points, D, D), row i is
            the unit vector that belongs to ``std[:, i]``.

        Raises:
            PellucidError: if the method gave no covariance.
        """
        if self.covariance is None:
            raise PellucidError("expected a method that gives directions, got none; use lri-gaussian")
        values, vectors = torch.linalg.eigh(self.covariance.double())
        std = values.clamp(min=0).sqrt().flip(-1)
        return std.to(self.importance.dtype), vectors.flip(-1).transpose(1, 2).to(self.importance.dtype)

    def table(self) -> dict[str, list[Any]]:
        """One row a point: cloud, point, importance, rank within the cloud (1 = most important), place, truth."""
        clouds = self.clouds
        batch = clouds.batch
        point = torch.arange(clouds.points) - clouds.ptr[batch]
        rank = _ranks(self.importance, batch)
        columns: dict[str, list[Any]] = {"cloud": batch.tolist(), "point": point.tolist()}
        for name, values in clouds.text.items():
            if name == "id":
                columns["id"] = [values[i] for i in batch.tolist()]
        columns["importance"] = self.importance.tolist()
        columns["rank"] = rank.tolist()
        columns |= {name: column.tolist() for name, column in self.columns.items()}
        for column in range(self.prediction.shape[1]):
            suffix = f"_{column}" if self.prediction.shape[1] > 1 else ""
            columns[f"prediction{suffix}"] = self.prediction[batch, column].tolist()
        if "categories" in clouds:
            columns["category"] = clouds["categories"][:, 0].tolist()
        if "important" in clouds:
            columns["important"] = clouds["important"].tolist()
        for d, axis in zip(range(clouds.pos.shape[1] if "pos" in clouds else 0), "xyzw", strict=False):
            columns[axis] = clouds.pos[:, d].tolist()
        if self.covariance is not None:
            std, axes = self.principal_axes()
            for i in range(std.shape[1]):
                columns[f"std_{i + 1}"] = std[:, i].tolist()
                for d, axis in zip(range(std.shape[1]), "xyzw", strict=False):
                    columns[f"axis_{i + 1}_{axis}"] = axes[:, i, d].tolist()
        return columns

    def groups(self, field: str = "group") -> dict[str, list[Any]]:
        """One row a group: how much its points decided, whatever method made the explanation.

        Args:
            field: Field whose ids group the points; a point with -1 is a group by itself. Names are read from the text
                ``<field>_names`` (one JSON list a cloud, by id), where there is one.

        Returns:
            Columns cloud, id, group, name, first (place of its first point in the cloud), points (their number),
            importance (mean over its points), importance_sum, rank of the mean within the cloud (1 = most important).

        Raises:
            PellucidError: if the clouds do not carry the field.

        Example:
            >>> clouds = PointClouds(torch.tensor([0, 3]), {"pos": torch.zeros(3, 3), "group": torch.tensor([0, 1, 0])})
            >>> table = Explanation(clouds, torch.ones(1, 1), torch.tensor([1.0, 4.0, 5.0])).groups()
            >>> table["importance"], table["importance_sum"], table["rank"]
            ([3.0, 4.0], [6.0, 4.0], [2, 1])
        """
        clouds = self.clouds
        refuse_groups(clouds, field)
        by = Grouping(clouds, field)
        batch = clouds.batch[by.first]
        cloud, ids = batch.tolist(), clouds[field][by.first].tolist()
        names = [json.loads(text) for text in clouds.text.get(f"{field}_names", ["[]"] * len(clouds))]
        mean = by.mean(self.importance)
        columns: dict[str, list[Any]] = {"cloud": cloud}
        if "id" in clouds.text:
            columns["id"] = [clouds.text["id"][i] for i in cloud]
        return columns | {
            "group": ids,
            "name": [names[i][g] if 0 <= g < len(names[i]) else "" for i, g in zip(cloud, ids, strict=True)],
            "first": (by.first - clouds.ptr[batch]).tolist(),
            "points": by.sizes.tolist(),
            "importance": mean.tolist(),
            "importance_sum": by.sum(self.importance).tolist(),
            "rank": _ranks(mean, batch).tolist(),
        }

    def save(self, path: Path) -> None:
        """Writes :meth:`table` as parquet, whole or not at all."""
        import pyarrow.parquet as pq  # slow to import, and not every explanation is saved

        from pellucid.arrow import arrow_table

        table = arrow_table(self.table())
        with replacing(path) as temporary:
            pq.write_table(table, temporary)


def _ranks(values: Tensor, batch: Tensor) -> Tensor:
    """(rows,) 1 for the largest value of each cloud; ties keep their order. The clouds in ``batch`` must ascend."""
    order = torch.argsort(-values, stable=True)
    order = order[torch.argsort(batch[order], stable=True)]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(batch)) - torch.searchsorted(batch, batch) + 1
    return rank
