"""DataSpec: what a model must know of its data, in one value that is made from data and recipe and kept in the run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.targets import Targets


@dataclass(frozen=True)
class InputSpec:
    """What the points of a cloud look like.

    Attributes:
        dim: Coordinates a point; 0 for graphs without coordinates.
        category_sizes: Cardinality of each column of ``categories``.
        feature_size: Columns of ``features``.
        edge_category_sizes: Cardinality of each column of ``edge_categories``.
        edge_feature_size: Columns of ``edge_features``.
        unit: Of the coordinates.
        neighbor_distance: Mean distance between neighbours, in that unit.
    """

    dim: int = 3
    category_sizes: tuple[int, ...] = ()
    feature_size: int = 0
    edge_category_sizes: tuple[int, ...] = ()
    edge_feature_size: int = 0
    unit: str = ""
    neighbor_distance: float = 1.0

    @staticmethod
    def of(clouds: PointClouds, category_sizes: tuple[int, ...] | None = None,
           edge_category_sizes: tuple[int, ...] | None = None) -> InputSpec:
        """Of some clouds.

        Args:
            clouds: The clouds.
            category_sizes: Where they are known; None for the categories that occur.
            edge_category_sizes: The same of edges.
        """
        def width(name: str) -> int:
            return int(clouds[name].shape[1]) if name in clouds else 0

        sizes = _sizes(clouds.get("categories")) if category_sizes is None else tuple(category_sizes)
        edge_sizes = (_sizes(clouds.get("edge_categories")) if edge_category_sizes is None
                      else tuple(edge_category_sizes))
        return InputSpec(width("pos"), sizes, width("features"), edge_sizes,
                         width("edge_features"), clouds.unit("pos") if "pos" in clouds else "")


def _sizes(categories: Tensor | None) -> tuple[int, ...]:
    if categories is None or not len(categories):
        return ()
    return tuple(int(top) + 1 for top in categories.amax(0).tolist())


@dataclass(frozen=True)
class DataSpec:
    """What a model must know of its data.

    Attributes:
        targets: What is predicted.
        inputs: What it is predicted from.
        partner: The same of the second clouds, where samples have any.
        domain: Which domain the samples are of; see :mod:`pellucid.domains`.
        precision_at: The m of precision@m.

    Example:
        >>> import torch
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"pos": torch.zeros(2, 3), "y": torch.ones(1, 1)})
        >>> spec = DataSpec.of(clouds, Targets.of("binary"))
        >>> spec.inputs.dim, DataSpec.parse(spec.document()) == spec
        (3, True)
    """

    targets: Targets
    inputs: InputSpec
    partner: InputSpec | None = None
    domain: str = "clouds"
    precision_at: tuple[int, ...] = (5, 8)

    @staticmethod
    def of(clouds: PointClouds, targets: Targets, *, category_sizes: tuple[int, ...] | None = None,
           edge_category_sizes: tuple[int, ...] | None = None, partner_category_sizes: tuple[int, ...] | None = None,
           domain: str = "clouds", precision_at: tuple[int, ...] = (5, 8)) -> DataSpec:
        """Of some clouds.

        Args:
            clouds: All of them, or the training split.
            targets: The columns of their ``y``.
            category_sizes: Where they are known; None for the categories that occur.
            edge_category_sizes: The same of edges.
            partner_category_sizes: The same of the second clouds.
            domain: See above.
            precision_at: See above.
        """
        partner = None if clouds.partner is None else InputSpec.of(clouds.partner, partner_category_sizes)
        inputs = InputSpec.of(clouds, category_sizes, edge_category_sizes)
        return DataSpec(targets, inputs, partner, domain, tuple(precision_at))

    def refuse(self, clouds: PointClouds) -> None:
        """Raises PellucidError unless the clouds carry ``y`` as the targets say."""
        if "y" not in clouds:
            raise PellucidError("expected clouds with y to learn from, got none; add a column for each target")
        y, level = clouds["y"], clouds.declared["y"].level
        if level != self.targets.level or y.shape[1] != len(self.targets):
            raise PellucidError(f"expected y with {len(self.targets)} columns and a row a {self.targets.level}, got "
                                f"{y.shape[1]} columns and a row a {level}; name the targets of these data")

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"targets": self.targets.document(), "inputs": _document(self.inputs),
                "partner": None if self.partner is None else _document(self.partner), "domain": self.domain,
                "precision_at": list(self.precision_at)}

    @staticmethod
    def parse(content: Any) -> DataSpec:
        """Back from :meth:`document`.

        Raises:
            PellucidError: if it is none.
        """
        try:
            partner = content["partner"]
            return DataSpec(Targets.parse(content["targets"]), _inputs(content["inputs"]),
                            None if partner is None else _inputs(partner), content["domain"],
                            tuple(content["precision_at"]))
        except (TypeError, KeyError) as error:
            raise PellucidError(f"expected what a run keeps of its data, got something else ({error}); it may be a run "
                                "of an older version: train again") from error

    def measured(self, y: Tensor, distance: float, partner_distance: float = 1.0) -> DataSpec:
        """The same with what the training data decide: scales of the targets, and mean distances of neighbours."""
        partner = None if self.partner is None else replace(self.partner, neighbor_distance=partner_distance)
        return replace(self, targets=self.targets.measured(y), partner=partner,
                       inputs=replace(self.inputs, neighbor_distance=distance))


def _document(inputs: InputSpec) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(inputs).items()}


def _inputs(content: dict[str, Any]) -> InputSpec:
    values: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in content.items()}
    return InputSpec(**values)
