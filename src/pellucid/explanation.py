"""Explanation: the validated result of explaining clouds, whatever method made it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.files import replacing


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
        batch, sizes = clouds.batch, clouds.sizes
        point = torch.arange(clouds.points) - torch.repeat_interleave(clouds.ptr[:-1], sizes)
        order = torch.argsort(-self.importance, stable=True)
        order = order[torch.argsort(batch[order], stable=True)]
        rank = torch.empty_like(point)
        rank[order] = point + 1
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
        for d, axis in zip(range(clouds.pos.shape[1]), "xyzw", strict=False):
            columns[axis] = clouds.pos[:, d].tolist()
        if self.covariance is not None:
            std, axes = self.principal_axes()
            for i in range(std.shape[1]):
                columns[f"std_{i + 1}"] = std[:, i].tolist()
                for d, axis in zip(range(std.shape[1]), "xyzw", strict=False):
                    columns[f"axis_{i + 1}_{axis}"] = axes[:, i, d].tolist()
        return columns

    def save(self, path: Path) -> None:
        """Writes :meth:`table` as parquet, whole or not at all."""
        table = pa.table(self.table())
        with replacing(path) as temporary:
            pq.write_table(table, temporary)
