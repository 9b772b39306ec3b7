"""Explanation: the validated result of explaining clouds, whatever method made it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.clouds import Field, PointClouds
from pellucid.errors import PellucidError
from pellucid.files import replacing
from pellucid.grouping import Grouping, refuse_groups
from pellucid.targets import TargetLevel, Targets

EXPLAINED = "explained"
"""Field of the output that is asked about of each cloud, so that it stays with the cloud when points leave."""


def asking(clouds: PointClouds, explained: Tensor) -> PointClouds:
    """Clouds that carry the output that is asked about of each.

    Args:
        clouds: The clouds.
        explained: (clouds,) int64.
    """
    return clouds.with_field(EXPLAINED, Field("cloud", "int"), explained.to(clouds.device))


NAMELESS = Targets.of("binary")
"""Stands for as many binary targets as a prediction has columns."""


@dataclass(frozen=True)
class Explanation:
    """Which points decided which output, and where they may move.

    Attributes:
        clouds: What was explained.
        prediction: (clouds, outputs) probabilities, or values of regressions; (points, outputs) for targets of points;
            outputs in the order of ``targets.names``. That of the output explained is :meth:`value`.
        importance: (points,) of the output in ``explained``, or (points, outputs) of all; the larger, the more a point
            decided; comparable within a cloud.
        importance_name: What the number is, e.g. ``"location importance, -log det Sigma"``.
        covariance: (points, D, D) how far a point may move, in the squared unit of ``pos``; None if the method
            does not say.
        provenance: Seed, versions, config, data hash.
        columns: More named numbers a point, (points,) each, e.g. the spread over an ensemble.
        radius: (points,) how far a point may move, alike in all directions: standard deviation in the unit of ``pos``;
            None if the method does not say, or ``covariance`` does.
        targets: What is predicted; None for binary targets without names.
        explained: (clouds,) the output that each cloud's importance is of; None for the first.
        shared: Whether importance of shape (points,) is that of all outputs together, as what noise learned; otherwise
            it is of the output in ``explained`` alone.
        signed: Whether importance has a sign: what raises the output is positive, what lowers it negative.
        baseline: (outputs,) what an output is before any point contributes, in the unit of signed importance, where
            contributions and baseline sum to the prediction (of a class: to its logit). That of the output explained is
            :meth:`start`.

    Raises:
        PellucidError: if shapes do not fit or a value is not finite.

    Example:
        >>> from pellucid.targets import Target
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"pos": torch.zeros(2, 3)})
        >>> both = Targets((Target("logS", "regression"), Target("toxic")))
        >>> e = Explanation(clouds, torch.tensor([[-2.0, 0.5]]), torch.tensor([[-3.0, 0.1], [1.0, -0.1]]), targets=both,
        ...                 signed=True)
        >>> e.of("toxic").importance.tolist(), e.of("logS").ranks().tolist(), e.of("toxic").quantity(0)
        ([0.10000000149011612, -0.10000000149011612], [1, 2], 'P(toxic)')
    """

    clouds: PointClouds
    prediction: Tensor
    importance: Tensor
    importance_name: str = "importance"
    covariance: Tensor | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Tensor] = field(default_factory=dict)
    radius: Tensor | None = None
    targets: Targets = NAMELESS
    explained: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    shared: bool = True
    signed: bool = False
    baseline: Tensor | None = None

    def __post_init__(self) -> None:
        points, clouds = self.clouds.points, len(self.clouds)
        if self.targets is NAMELESS:
            object.__setattr__(self, "targets", Targets.of("binary", self.prediction.shape[-1]))
        if not len(self.explained):
            object.__setattr__(self, "explained", torch.zeros(clouds, dtype=torch.int64))
        outputs, rows = self.targets.outputs, points if self.targets.level == "point" else clouds
        if self.importance.shape not in ((points,), (points, outputs)):
            raise PellucidError(f"expected importance of shape ({points},) or ({points}, {outputs}), got "
                                f"{tuple(self.importance.shape)}")
        if self.prediction.shape != (rows, outputs):
            raise PellucidError(f"expected prediction of shape ({rows}, {outputs}), got {tuple(self.prediction.shape)}")
        if self.explained.shape != (clouds,) or (clouds and not 0 <= int(self.explained.min())
                                                 <= int(self.explained.max()) < outputs):
            raise PellucidError(f"expected an output from 0 to {outputs - 1} that is explained of each of {clouds} "
                                f"clouds, got {tuple(self.explained.shape)}")
        if self.covariance is not None:
            dim = self.clouds.pos.shape[1]
            if self.covariance.shape != (points, dim, dim):
                raise PellucidError(f"expected covariance of shape ({points}, {dim}, {dim}), "
                                    f"got {tuple(self.covariance.shape)}")
        if self.baseline is not None and self.baseline.shape != (outputs,):
            raise PellucidError(f"expected baseline of shape ({outputs},), got {tuple(self.baseline.shape)}")
        for name, column in (self.columns | ({} if self.radius is None else {"radius": self.radius})).items():
            if column.shape != (points,):
                raise PellucidError(f"expected the column {name!r} of shape ({points},), got {tuple(column.shape)}")
        values = {"importance": self.importance, "prediction": self.prediction, "covariance": self.covariance,
                  "radius": self.radius, "baseline": self.baseline}
        for name, value in (values | self.columns).items():
            if value is not None and not bool(value.isfinite().all()):
                raise PellucidError(f"expected finite {name}, got NaN or infinity; the model is damaged or diverged")

    @property
    def level(self) -> TargetLevel:
        """Whether predictions are of clouds or of points."""
        return self.targets.level

    def of(self, target: str | int | None = None) -> Explanation:
        """The explanation of one output.

        Args:
            target: As for :meth:`pellucid.targets.Targets.find`; None for the output that is explained already, or
                the first target.

        Returns:
            Explanation with importance of shape (points,). Importance that is one number a point is that of all
            outputs together, or of the one that it was asked of, and stays.

        Raises:
            PellucidError: for an unknown target, or for another output than the one that importance was asked of.
        """
        if target is None:
            if self.importance.ndim == 1:
                return self
            found = self.explained
            rows = found[self.clouds.batch]
        else:
            asked = self.targets.find(target)
            chosen = self.targets.explained(asked, self.prediction)  # the largest probability is the predicted class
            if self.level == "point" and len(chosen):
                rows, found = chosen, chosen[self.clouds.ptr[:-1].clamp(max=len(chosen) - 1)]
            elif self.level == "point":
                rows, found = chosen, self.explained
            else:
                rows, found = chosen[self.clouds.batch], chosen
            if self.importance.ndim == 1 and not self.shared:
                if asked.output is None:  # the class that was asked about, or predicted, when it was explained
                    start = self.targets.starts[asked.column]
                    same = bool(((self.explained >= start) & (self.explained < start + asked.target.outputs)).all())
                else:
                    same = torch.equal(found, self.explained)
                if not same:
                    raise PellucidError(f"expected importance of {target}, got that of another output; explain again "
                                        "and name it")
                return self
            if self.importance.ndim == 1:
                return replace(self, explained=found)
        return replace(self, importance=self.importance.gather(1, rows[:, None]).squeeze(1), explained=found,
                       shared=False)

    def quantity(self, cloud: int) -> str:
        """What is predicted of a cloud, as reports call it: ``P(class)``, or a target with its unit."""
        return self.targets.quantities[int(self.explained[cloud])]

    def unit(self, cloud: int) -> str:
        """Unit of signed importance: the target's own, or ``"log-odds"`` of a class; ``""`` where it has no sign."""
        return self.targets.owner(int(self.explained[cloud])).raw_unit() if self.signed else ""

    def value(self, cloud: int, output: int | None = None) -> float:
        """The prediction of a cloud; NaN where points have predictions of their own.

        Args:
            cloud: Its place.
            output: Which one; None for the one that is explained.
        """
        if self.level == "point":
            return float("nan")
        return float(self.prediction[cloud, int(self.explained[cloud]) if output is None else output])

    def start(self, cloud: int, output: int | None = None) -> float:
        """What an output is before any point contributes; with the importance of a cloud's points it sums to it.

        Args:
            cloud: Its place.
            output: Which one; None for the one that is explained.

        Returns:
            In the unit of signed importance, of classes log-odds; NaN where importance does not add up.
        """
        return float("nan") if self.baseline is None else float(
            self.baseline[int(self.explained[cloud]) if output is None else output])

    def truth(self, cloud: int, output: int | None = None) -> float | None:
        """The known value of an output: of a class 0 or 1, of a regression a number; None where unknown.

        Args:
            cloud: Its place.
            output: Which one; None for the one that is explained.
        """
        if "y" not in self.clouds or self.level == "point":
            return None
        output = int(self.explained[cloud]) if output is None else output
        target = self.targets.owner(output)
        column = self.targets.each.index(target)
        if column >= self.clouds["y"].shape[1]:
            return None
        value = float(self.clouds["y"][cloud, column])
        if value != value:
            return None
        return float(value == output - self.targets.starts[column]) if target.kind == "multiclass" else value

    def strength(self) -> Tensor:
        """(points,) how much each point decided, whatever its sign: importance, of signed importance |value|."""
        one = self.of().importance
        return one.abs() if self.signed else one

    def ranks(self) -> Tensor:
        """(points,) 1 for the most important point of each cloud, ties in order; of signed importance by |value|."""
        return _ranks(self.strength(), self.clouds.batch)

    def caution(self) -> str:
        """What a reader must know of importance without a sign where a number is predicted; ``""`` elsewhere.

        Example:
            >>> clouds = PointClouds(torch.tensor([0, 2]), {"pos": torch.zeros(2, 3)})
            >>> e = Explanation(clouds, torch.rand(1, 1), torch.rand(2), "existence importance, p",
            ...                 targets=Targets.of("regression"))
            >>> e.caution()[:65]
            'Importance (existence importance, p) has no sign: it says how muc'
        """
        if self.signed or not len(self.explained) or self.targets.owner(int(self.explained[0])).kind != "regression":
            return ""
        name = self.targets.owner(int(self.explained[0])).name
        return (f"Importance ({self.importance_name}) has no sign: it says how much a point matters to {name}, not "
                "whether it raises or lowers it; an explainer with a sign says that, e.g. occlusion.")

    def column(self, name: str) -> Explanation:
        """The same with a column in place of the importance, e.g. that of one of two noises.

        Raises:
            PellucidError: if there is no such column.
        """
        if name not in self.columns:
            raise PellucidError(f"expected a column out of {', '.join(self.columns) or 'none'}, got {name!r}; leave "
                                "it out for the importance itself")
        return replace(self, importance=self.columns[name], importance_name=f"{name} of {self.importance_name}")

    def principal_axes(self) -> tuple[Tensor, Tensor]:
        """Directions in which a point may move, and how far.

        The axes are told in the frame of the coordinates: they do not turn with a cloud that is turned.

        Returns:
            std: (points, D) standard deviations in the unit of ``pos``, largest first; axes: (points, D, D), row i is
            the unit vector that belongs to ``std[:, i]``.

        Raises:
            PellucidError: if the method gave none.
        """
        if self.covariance is None:
            if self.radius is not None:
                raise PellucidError("expected a backbone that sees directions, got one whose embeddings do not change "
                                    "when a cloud is turned, so that noise has a radius and no axes; read radius, or "
                                    "train with dgcnn or point_transformer")
            raise PellucidError("expected a method that gives directions, got none; use lri-gaussian with dgcnn or "
                                "point_transformer")
        values, vectors = torch.linalg.eigh(self.covariance.double())
        std = values.clamp(min=0).sqrt().flip(-1)
        return std.to(self.importance.dtype), vectors.flip(-1).transpose(1, 2).to(self.importance.dtype)

    def table(self) -> dict[str, list[Any]]:
        """One row a point: cloud, point, importance, rank within the cloud (1 = most important), place, truth."""
        clouds = self.clouds
        batch = clouds.batch
        point = torch.arange(clouds.points) - clouds.ptr[batch]
        columns: dict[str, list[Any]] = {"cloud": batch.tolist(), "point": point.tolist()}
        for name, values in clouds.text.items():
            if name == "id":
                columns["id"] = [values[i] for i in batch.tolist()]
        names = self.targets.names
        if self.targets.outputs > 1:
            columns["explained"] = [names[i] for i in self.of().explained[batch].tolist()]
        columns["importance"] = self.of().importance.tolist()
        columns["rank"] = self.ranks().tolist()
        if self.importance.ndim == 2 and self.targets.outputs > 1:
            columns |= {f"importance:{name}": self.importance[:, i].tolist() for i, name in enumerate(names)}
        columns |= {name: column.tolist() for name, column in self.columns.items()}
        rows = self.prediction if self.level == "point" else self.prediction[batch]
        for column, name in enumerate(names):
            columns[f"prediction:{name}" if len(names) > 1 else "prediction"] = rows[:, column].tolist()
            if self.baseline is not None:
                start = [float(self.baseline[column])] * len(rows)
                columns[f"baseline:{name}" if len(names) > 1 else "baseline"] = start
        if "categories" in clouds:
            columns["category"] = clouds["categories"][:, 0].tolist()
        if "important" in clouds:
            columns["important"] = clouds["important"].tolist()
        for d, axis in zip(range(clouds.pos.shape[1] if "pos" in clouds else 0), "xyzw", strict=False):
            columns[axis] = clouds.pos[:, d].tolist()
        if self.radius is not None:
            columns["radius"] = self.radius.tolist()
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
        importance = self.of().importance
        mean = by.mean(importance)
        columns: dict[str, list[Any]] = {"cloud": cloud}
        if "id" in clouds.text:
            columns["id"] = [clouds.text["id"][i] for i in cloud]
        return columns | {
            "group": ids,
            "name": [names[i][g] if 0 <= g < len(names[i]) else "" for i, g in zip(cloud, ids, strict=True)],
            "first": (by.first - clouds.ptr[batch]).tolist(),
            "points": by.sizes.tolist(),
            "importance": mean.tolist(),
            "importance_sum": by.sum(importance).tolist(),
            "rank": _ranks(mean.abs() if self.signed else mean, batch).tolist(),
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
