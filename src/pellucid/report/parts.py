"""The smaller parts of what a report shows: published numbers, answers, other explainers, what stands beside points."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.trust import Level
from pellucid.report.colours import numbers


def text_of(value: object, name: str) -> None:
    """Raises PellucidError unless the value is a str."""
    if not isinstance(value, str):
        raise PellucidError(f"expected text as {name}, got {type(value).__name__}; pass a str")


def is_number(value: object) -> bool:
    """A real number that is not a bool; NaN counts."""
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def unit_of(quantity: str) -> str:
    """Unit of contributions to a quantity: its own, which stands in brackets at its end, or log-odds of a P(class).

    Example:
        >>> unit_of("logS (log mol/L)"), unit_of("P(toxic)"), unit_of("pK")
        ('log mol/L', 'log-odds', '')
    """
    return "log-odds" if quantity.startswith("P(") else split_unit(quantity)[1]


def split_unit(quantity: str) -> tuple[str, str]:
    """Name and unit of a quantity as reports write it.

    Example:
        >>> split_unit("logS (log mol/L)"), split_unit("P(toxic)"), split_unit("k (1/(s m))")
        (('logS', 'log mol/L'), ('P(toxic)', ''), ('k', '1/(s m)'))
    """
    found = re.fullmatch(r"(.+?) \((.*)\)", quantity)
    return (found[1], found[2]) if found else (quantity, "")


def places(pos: Any, labels: list[str], at: str) -> tuple[NDArray[np.float64], int]:
    """Checked coordinates, one row a label."""
    array = numbers(pos, f"pos {at}", (None, 3))
    n = len(array)
    if n == 0 or not np.isfinite(array).all():
        raise PellucidError(f"expected at least one point with finite coordinates in pos {at}, got "
                            f"{'no points' if n == 0 else 'NaN or infinity'}; leave the sample out")
    if len(labels) != n:
        raise PellucidError(f"expected {n} labels {at}, one a point, got {len(labels)}; pass one for each row of pos")
    return array, n


def bond_of(bond: Any, n: int, at: str) -> tuple[int, int, float]:
    """A checked bond between two of n points."""
    try:
        first, second, order = int(bond[0]), int(bond[1]), float(bond[2])
    except (TypeError, ValueError, IndexError) as error:
        raise PellucidError(f"expected bonds (i, j, order) {at}, got {bond!r}; pass three numbers a bond") from error
    if not (0 <= first < n and 0 <= second < n) or first == second or not 0 < order < 10:
        raise PellucidError(f"expected bonds between two of the {n} points {at}, got {bond!r}; count points from "
                            "0, in the order of pos")
    return first, second, order


@dataclass(frozen=True)
class PublishedCell:
    """One published number, to stand beside ours.

    Attributes:
        metric: Dotted path into the metrics, e.g. ``"interpretation.roc_auc"``; same scale as ours.
        mean: Published mean.
        std: Published standard deviation, NaN where none was given.
        source: Where it stands, e.g. ``"Table 2, SynMol, LRI-Gaussian, DGCNN"``.

    Raises:
        PellucidError: if the mean is not finite or the deviation is negative.

    Example:
        >>> PublishedCell("interpretation.roc_auc", 0.9, 0.01, "Table 2").mean
        0.9
    """

    metric: str
    mean: float
    std: float
    source: str

    def __post_init__(self) -> None:
        text_of(self.metric, "the metric of a published number")
        text_of(self.source, "the source of a published number")
        if not is_number(self.mean) or not math.isfinite(self.mean):
            raise PellucidError(f"expected a finite published mean for {self.metric}, got {self.mean!r}; leave the "
                                "cell out")
        if not is_number(self.std) or self.std < 0 or math.isinf(self.std):
            raise PellucidError(f"expected a published standard deviation >= 0 (NaN if none was given) for "
                                f"{self.metric}, got {self.std!r}; check the table")


@dataclass(frozen=True, eq=False)
class Sticks:
    """What stands beside the points and is not explained itself: drawn as sticks, coloured by label.

    Attributes:
        name: What it is, e.g. ``"anchor"``.
        pos: (m, 3) coordinates, in the frame and the unit of the sample's ``pos``.
        labels: m names; the look has a colour for each, see :class:`~pellucid.report.words.Look`.
        bonds: ``(i, j, order)``, as those of a :class:`Sample`.

    Raises:
        PellucidError: if shapes disagree or a bond points nowhere.

    Example:
        >>> Sticks("anchor", [[0, 0, 0], [1.4, 0, 0]], ["C", "O"], [(0, 1, 1.0)]).pos.shape
        (2, 3)
    """

    name: str
    pos: NDArray[np.float64]
    labels: list[str]
    bonds: list[tuple[int, int, float]]

    def __post_init__(self) -> None:
        text_of(self.name, "the name of what stands beside the points")
        at = f"of {self.name}"
        pos, n = places(self.pos, self.labels, at)
        object.__setattr__(self, "pos", pos)
        object.__setattr__(self, "labels", [str(label) for label in self.labels])
        object.__setattr__(self, "bonds", [bond_of(bond, n, at) for bond in self.bonds])


@dataclass(frozen=True)
class Answer:
    """What is predicted of one output, and what is known of it.

    Attributes:
        name: As ``predicts`` of a :class:`~pellucid.report.content.Sample`.
        prediction: A probability or a value in the unit of the output; NaN for none.
        target: The known answer, or None.
        bound: 1 where the true value is known to be at least ``target``, -1 where at most, else 0.

    Example:
        >>> Answer("logS (log mol/L)", -2.5).probability
        False
    """

    name: str
    prediction: float
    target: float | None = None
    bound: int = 0

    def __post_init__(self) -> None:
        text_of(self.name, "the name of an answer")

    @property
    def probability(self) -> bool:
        """Whether the prediction is a probability."""
        return self.name.startswith("P(")


@dataclass(frozen=True, eq=False)
class Side:
    """Another explainer's importance of the same sample.

    Attributes:
        name: Of the explainer.
        importance: (n,) in the order of the sample's points; of its own scale.
        signed: Whether it has a sign.
        unit: Of signed importance.
        rank_correlation: Spearman's, with the sample's own importance; NaN where it is undefined.
        overlap: Share of the ``most`` important points that both have.
        most: Their number.
        level: How far it can be trusted, as :class:`pellucid.metrics.trust.Trust` says; ``"no"`` is drawn muted.
        about: What its numbers say, in one sentence; may have the placeholders of
            :class:`~pellucid.report.words.Words`.

    Example:
        >>> Side("occlusion", [0.5, -1.0], signed=True, unit="log-odds").importance.shape
        (2,)
    """

    name: str
    importance: NDArray[np.float64]
    signed: bool = False
    unit: str = ""
    rank_correlation: float = math.nan
    overlap: float = math.nan
    most: int = 0
    level: Level = "unclear"
    about: str = ""

    def __post_init__(self) -> None:
        text_of(self.name, "the name of an explainer")
        object.__setattr__(self, "importance", numbers(self.importance, f"importance by {self.name}", (None,)))
