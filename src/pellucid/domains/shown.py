"""One sample of an explanation, taken apart for whoever draws it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pellucid.clouds import SPLITS, PointClouds
from pellucid.explanation import Explanation
from pellucid.families import datasets
from pellucid.report.content import Answer
from pellucid.report.plane import plane, tones

Floats = NDArray[np.float64]
AXES = ("x", "y", "z")
MOST_FEATURES = 16
"""Columns of ``features`` that a report shows at most; more are no help to a reader."""


@dataclass(frozen=True)
class Shown:
    """One sample of an explanation, taken apart for whoever draws it.

    Attributes:
        explanation: Of one output.
        place: Of the sample.

    Example:
        >>> import torch
        >>> flat = PointClouds(torch.tensor([0, 1, 3]), {"pos": torch.ones(3, 2)})
        >>> one = Shown(Explanation(flat, torch.rand(2, 1), torch.rand(3)), 1)
        >>> len(one), one.dim, one.pos.tolist(), one.field("group")
        (2, 2, [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]], None)
    """

    explanation: Explanation
    place: int

    @property
    def clouds(self) -> PointClouds:
        """All samples."""
        return self.explanation.clouds

    @property
    def rows(self) -> slice:
        """Where its points are."""
        return slice(int(self.clouds.ptr[self.place]), int(self.clouds.ptr[self.place + 1]))

    def __len__(self) -> int:
        return int(self.clouds.sizes[self.place])

    def field(self, name: str) -> NDArray[Any] | None:
        """A point-level field of its points, floats as float64; None where the clouds lack it."""
        if name not in self.clouds or self.clouds.declared[name].level != "point":
            return None
        return _array(self.clouds[name][self.rows])

    def text(self, name: str) -> str | None:
        """A string of the sample; None where the clouds lack it."""
        return self.clouds.text[name][self.place] if name in self.clouds.text else None

    @property
    def dim(self) -> int:
        """Number of coordinates; 0 where there are none."""
        return int(self.clouds.pos.shape[1]) if "pos" in self.clouds else 0

    @property
    def pos(self) -> Floats | None:
        """(n, 3) coordinates, flat ones padded with zero; None unless there are two or three of each point."""
        return np.pad(_array(self.clouds.pos[self.rows]), ((0, 0), (0, 3 - self.dim))) if self.dim in (2, 3) else None

    @property
    def unit(self) -> str:
        """Of the coordinates."""
        return self.clouds.unit("pos") if self.dim else ""

    @property
    def importance(self) -> Floats:
        """(n,) of the output that is explained."""
        return _array(self.explanation.importance[self.rows])

    @property
    def important(self) -> NDArray[np.bool_] | None:
        """(n,) which points truly decide; None where that is unknown, or none does."""
        truth = self.field("important")
        return truth if truth is not None and bool(truth.any()) else None

    @property
    def directions(self) -> Floats | None:
        """(n, D, D) how far points may move, where that depends on the direction."""
        covariance = self.explanation.covariance
        return None if covariance is None else _array(covariance[self.rows])

    @property
    def covariance(self) -> Floats | None:
        """(n, 3, 3) :attr:`directions`, flat ones padded with zero; None unless there are two or three coordinates."""
        sigma = self.directions
        if sigma is None or self.dim not in (2, 3):
            return None
        return np.pad(sigma, ((0, 0), (0, 3 - self.dim), (0, 3 - self.dim)))

    @property
    def radius(self) -> Floats | None:
        """(n,) how far points may move, where that is alike in all directions; None where the method does not say."""
        radius = self.explanation.radius
        return None if radius is None or self.directions is not None else _array(radius[self.rows])

    @property
    def values(self) -> Floats | None:
        """(n,) predictions of the points; None where the sample has one."""
        if self.explanation.level == "cloud":
            return None
        return _array(self.explanation.prediction[self.rows, int(self.explanation.explained[self.place])])

    @property
    def truths(self) -> Floats | None:
        """(n,) what is known of the points' targets, as :meth:`pellucid.explanation.Explanation.truth` tells it."""
        y, output, targets = self.field("y"), int(self.explanation.explained[self.place]), self.explanation.targets
        target = targets.owner(output)
        column = targets.each.index(target)
        if self.explanation.level == "cloud" or y is None or column >= y.shape[1]:
            return None
        known: Floats = y[:, column]
        if target.kind == "multiclass":
            known = np.where(np.isnan(known), np.nan, known == output - targets.starts[column])
        return None if bool(np.isnan(known).all()) else known

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Pairs of points that a given edge joins, each pair once."""
        if self.clouds.edge_ptr is None or "edge_index" not in self.clouds:
            return []
        rows = slice(int(self.clouds.edge_ptr[self.place]), int(self.clouds.edge_ptr[self.place + 1]))
        ends = self.clouds["edge_index"][rows].sort(1).values.tolist()
        return sorted({(a, b) for a, b in ends if a != b})

    @property
    def columns(self) -> dict[str, Floats]:
        """The further numbers of the explanation, (n,) each."""
        return {name: _array(column[self.rows].double()) for name, column in self.explanation.columns.items()}

    @property
    def features(self) -> dict[str, Floats]:
        """Real features by name, (n,) each; none where there are more than :data:`MOST_FEATURES`."""
        values = self.field("features")
        if values is None or values.shape[1] > MOST_FEATURES:
            return {}
        return {f"feature_{c}": column for c, column in enumerate(values.T)}


def _array(values: Tensor) -> NDArray[Any]:
    return np.asarray((values.double() if values.dtype.is_floating_point else values).cpu().numpy())


def other_contributions(explanation: Explanation, one: Shown) -> dict[str, Floats]:
    """(n,) signed contributions to the outputs that are not the explained one, by their quantity."""
    if not explanation.signed or explanation.importance.ndim == 1:
        return {}
    explained = int(one.explanation.explained[one.place])
    return {name: _array(explanation.importance[one.rows, i]) for i, name in enumerate(_called(explanation))
            if i != explained}


def _called(explanation: Explanation) -> tuple[str, ...]:
    """The outputs' quantities, each its own."""
    targets = explanation.targets
    called = targets.quantities
    if len(set(called)) < len(called):  # classes of two targets have one name
        called = tuple(quantity if targets.owner(i).kind == "regression" else f"P({targets.names[i]})"
                       for i, quantity in enumerate(called))
    return called


def answers(explanation: Explanation, one: Shown) -> list[Answer]:
    """What is predicted and known of each output, the explained one first; of points, nothing."""
    if explanation.level == "point":
        return []
    called, explained, i = _called(explanation), int(one.explanation.explained[one.place]), one.place
    order = [explained, *(k for k in range(len(called)) if k != explained)]
    return [Answer(called[k], explanation.value(i, k), explanation.truth(i, k), _bound(explanation, i, k))
            for k in order]


def _bound(explanation: Explanation, cloud: int, output: int) -> int:
    """1 where the true value is known to be at least the target, -1 where at most, else 0."""
    targets, clouds = explanation.targets, explanation.clouds
    column = targets.each.index(targets.owner(output))
    if "censored" not in clouds or column >= clouds["censored"].shape[1]:
        return 0
    return int(clouds["censored"][cloud, column])


def carried(one: Shown) -> dict[str, str]:
    """The further columns of the user's table, which come as JSON in the text ``values``, and part and fold."""
    try:
        values = json.loads(one.text("values") or "{}")
    except ValueError:
        values = {}
    found = {str(name): str(value) for name, value in values.items() if value not in ("", None)} if isinstance(
        values, dict) else {}
    for name in ("split", "fold"):
        if name in one.clouds and one.clouds.declared[name].level == "cloud":
            given = int(one.clouds[name][one.place])
            if not bool((one.clouds[name] != given).any()):
                continue  # all are of one, which needs no saying
            found[name.capitalize()] = SPLITS[given] if name == "split" and given < len(SPLITS) else str(given)
        elif (told := one.text(name)) is not None:
            found[name.capitalize()] = told
    return found


def told_number(value: float) -> str:
    """A number as people write it, e.g. ``−0.250``."""
    return (f"{value:.3f}" if 0.01 <= abs(value) < 1000 else f"{value:.3g}").replace("-", "−")


def labels(one: Shown) -> list[str]:
    """A short name of each point: its group, else its category, else a dash.

    Example:
        >>> import torch
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"pos": torch.zeros(2, 2), "group": torch.tensor([3, -1])})
        >>> labels(Shown(Explanation(clouds, torch.rand(1, 1), torch.rand(2)), 0))
        ['group 3', '–']
    """
    group, categories = one.field("group"), one.field("categories")
    if group is not None:
        return [f"group {g}" if g >= 0 else "–" for g in group.tolist()]
    if categories is not None and categories.shape[1]:
        names = _category_names(one)
        return [names[c] if c < len(names) else str(c) for c in categories[:, 0].tolist()]
    return ["–"] * len(one)


def _category_names(one: Shown) -> tuple[str, ...]:
    """What the run's dataset calls the categories of points; none where it has no names, or is not known."""
    name = str(one.explanation.provenance.get("config", {}).get("dataset", ""))
    return datasets[name].category_names if name in datasets else ()


def planes(one: Shown, lines: list[NDArray[np.int64]]) -> dict[str, str]:
    """Flat drawings of a sample by caption: x-y, and x-z of three coordinates.

    Args:
        one: A sample with two or three coordinates.
        lines: Points to join, a row of places each.
    """
    pos, sigma = one.pos, one.directions
    assert pos is not None
    drawings = {}
    for a, b in [(0, 1), (0, 2)][: one.dim - 1]:
        names = tuple(AXES[d] + (f" ({one.unit})" if one.unit else "") for d in (a, b))
        svg, note = plane(pos[:, [a, b]], (names[0], names[1]), tones(one.importance, one.explanation.signed), lines,
                          one.important, None if sigma is None else sigma[:, [[a], [b]], [[a, b]]], equal=True)
        drawings[f"{AXES[a]} – {AXES[b]}{note}"] = svg
    return drawings
