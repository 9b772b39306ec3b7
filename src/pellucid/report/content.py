"""What a report shows, validated before anything is written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.trust import MEANING
from pellucid.report.colours import numbers
from pellucid.report.parts import (
    Answer,
    PublishedCell,
    Side,
    Sticks,
    bond_of,
    is_number,
    places,
    split_unit,
    text_of,
    unit_of,
)
from pellucid.report.words import CLOUD_LOOK, CLOUDS, Look, Words, whole_look

__all__ = ["AXES_NOTE", "CLOUDS", "CLOUD_LOOK", "RADIUS_NOTE", "Answer", "Look", "PublishedCell", "ReportContent",
           "Sample", "Side", "Sticks", "Words", "is_number", "split_unit", "unit_of"]

AXES_NOTE = "The axes are told in the frame of the coordinates: they do not turn with the {sample} when it is turned."
"""Said where samples have a covariance."""
RADIUS_NOTE = "The backbone does not see directions, so that noise has a radius, alike in all directions, and no axes."
"""Said where samples have a radius."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample for the browser of the report.

    Everything that has one row a point is in one and the same order.

    Attributes:
        name: Shown in the list.
        unit: Unit of ``pos``, e.g. ``"angstrom"``.
        pos: (n, 3) coordinates in ``unit``; pad flat clouds with zero.
        labels: n short names.
        importance: (n,) real numbers, large = important; with ``signed``, what raises the output is positive, what
            lowers it negative, and the larger |value|, the more important. NaN is drawn grey.
        prediction: What ``predicts`` names: a probability in [0, 1], or of a regression any number; NaN for none.
        importance_name: What the importance is, e.g. ``"location importance (-log det Σ)"``.
        target: The known answer, 0 or 1 (a probability is fine), or ``None``; for a regression, any number, in the unit
            of the prediction.
        bonds: ``(i, j, order)`` with 1, 2, 3, or 1.5 for one and a half, or ``None``.
        important: (n,) bool ground truth, or ``None``.
        covariance: (n, 3, 3) in ``unit``², symmetric and positive semi-definite: the noise of each point,
            drawn as ellipsoids; or ``None``.
        svg: 2D depiction from :func:`pellucid.report.depict`, or ``None``.
        svg_truth: The same with the ground truth, from :func:`pellucid.report.depict_truth`, or ``None``.
        facts: Shown as they are, e.g. ``{"source": "table 3"}``.
        columns: More named numbers, (n,) each; those that
            :func:`pellucid.report.columns.register_column` knows are explained, and
            ``spread`` is shown as the ± of the importance.
        views: Further drawings (SVG) by caption; point i is an ellipse whose class is one word with ``-i`` behind it.
        words: What points and samples are called.
        predicts: What the prediction is: ``"P(toxic)"`` of a class, else a quantity with its unit in brackets, e.g.
            ``"logS (log mol/L)"``; see :meth:`pellucid.explanation.Explanation.quantity`.
        texts: More named texts, one a point each: columns of the table.
        sticks: What stands beside the points, or ``None``.
        probability: Whether the prediction is a probability; None for what ``predicts`` says.
        signed: Whether importance has a sign.
        importance_unit: Of signed importance, e.g. ``"log-odds"``; ``""`` for what ``predicts`` says.
        radius: (n,) standard deviation of each point's noise, alike in all directions, in ``unit``: drawn as spheres;
            or ``None``.
        frame_note: What is said of the noise's axes, or of why there are none; ``""`` for the usual sentence.
        others: Signed contributions to the model's other outputs, (n,) by the name of the output, as ``predicts``
            writes it.
        level: Whether the prediction is of the sample (``"cloud"``) or of each point (``"point"``).
        values: (n,) predictions of the points; with ``level="point"`` only.
        truths: (n,) the known answers of the points, NaN where unknown; or ``None``.
        look: How it is drawn and tabled; None for plain points.
        answers: What is predicted of each output, the one that is explained first; empty for that one alone.
        explainer: Whose importance it is, where ``sides`` has others.
        sides: What other explainers say of it.

    Raises:
        PellucidError: if shapes disagree, a bond points nowhere, a covariance is none, or parts exclude each other.

    Example:
        >>> sample = Sample("methanol", "angstrom", [[0, 0, 0], [1.4, 0, 0]], ["C", "O"], [0.1, -0.9], -0.8,
        ...                 bonds=[(0, 1, 1.0)], predicts="logS (log mol/L)", signed=True)
        >>> sample.pos.shape, sample.probability, sample.importance_unit
        ((2, 3), False, 'log mol/L')
    """

    name: str
    unit: str
    pos: NDArray[np.float64]
    labels: list[str]
    importance: NDArray[np.float64]
    prediction: float
    importance_name: str = "importance"
    target: float | None = None
    bonds: list[tuple[int, int, float]] | None = None
    important: NDArray[np.bool_] | None = None
    covariance: NDArray[np.float64] | None = None
    svg: str | None = None
    svg_truth: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
    columns: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)
    words: Words = CLOUDS
    predicts: str = "P(1)"
    texts: dict[str, list[str]] = field(default_factory=dict)
    sticks: Sticks | None = None
    probability: bool | None = None
    signed: bool = False
    importance_unit: str = ""
    radius: NDArray[np.float64] | None = None
    frame_note: str = ""
    others: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    level: Literal["cloud", "point"] = "cloud"
    values: NDArray[np.float64] | None = None
    truths: NDArray[np.float64] | None = None
    look: Look | None = None
    answers: list[Answer] = field(default_factory=list)
    explainer: str = ""
    sides: list[Side] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("name", "unit", "importance_name", "predicts", "importance_unit", "frame_note"):
            text_of(getattr(self, name), f"the {name} of a sample")
        if self.probability is None:
            object.__setattr__(self, "probability", self.predicts.startswith("P("))
        if self.signed and not self.importance_unit:
            object.__setattr__(self, "importance_unit", unit_of(self.predicts))
        whole_look(self.look)
        at = f"of sample {self.name!r}"
        pos, n = places(self.pos, self.labels, at)
        object.__setattr__(self, "pos", pos)
        object.__setattr__(self, "importance", numbers(self.importance, f"importance {at}", (n,)))
        object.__setattr__(self, "labels", [str(label) for label in self.labels])
        self._check_answers(at)
        object.__setattr__(self, "bonds", [bond_of(bond, n, at) for bond in self.bonds or ()])
        if self.important is not None:
            truth = numbers(self.important, f"important {at}", (n,))
            if not np.isin(truth, (0, 1)).all():
                raise PellucidError(f"expected booleans in important {at}, got other numbers; pass None if unknown")
            object.__setattr__(self, "important", truth.astype(bool))
        if self.covariance is not None:
            object.__setattr__(self, "covariance", self._covariance(n, at))
        if self.radius is not None:
            object.__setattr__(self, "radius", self._radius(n, at))
        object.__setattr__(self, "others", {str(name): numbers(values, f"contributions to {name} {at}", (n,))
                                            for name, values in self.others.items()})
        for side in self.sides:
            numbers(side.importance, f"importance by {side.name} {at}", (n,))
        self._check_points(n, at)
        for name in ("svg", "svg_truth"):
            svg = getattr(self, name)
            if svg is not None and (not isinstance(svg, str) or "<svg" not in svg):
                raise PellucidError(f"expected an SVG document in {name} {at}, got something else; use "
                                    "pellucid.report.depict, or None")
        if not isinstance(self.facts, dict):
            raise PellucidError(f"expected a dict of facts {at}, got {type(self.facts).__name__}; pass {{}} for none")
        object.__setattr__(self, "facts", {str(key): str(value) for key, value in self.facts.items()})
        object.__setattr__(self, "columns", {str(name): numbers(values, f"{name} {at}", (n,))
                                             for name, values in self.columns.items()})
        object.__setattr__(self, "texts", {str(name): [str(text) for text in texts]
                                           for name, texts in self.texts.items()})
        for name, texts in self.texts.items():
            if len(texts) != n:
                raise PellucidError(f"expected {n} texts of {name} {at}, one a point, got {len(texts)}; pass one for "
                                    "each row of pos")

    @property
    def drawn(self) -> Look:
        """The look with the defaults filled in."""
        return whole_look(self.look)

    @property
    def noise_note(self) -> str:
        """What is said of the noise: ``frame_note`` or the usual sentence, with the words put in; ``""`` without."""
        if self.covariance is None and self.radius is None:
            return ""
        return self.words.of(self.frame_note or (AXES_NOTE if self.radius is None else RADIUS_NOTE))

    def _check_answers(self, at: str) -> None:
        answers: tuple[tuple[str, Any], ...] = (("prediction", self.prediction), ("target", self.target))
        for name, value in answers:
            if value is None and name == "target":
                continue
            if not self.probability:
                if not is_number(value) or math.isinf(value):
                    raise PellucidError(f"expected a number as the {name} {at}, got {value!r}; pass NaN for none")
            elif not is_number(value) or not (math.isnan(value) or 0 <= value <= 1):
                raise PellucidError(f"expected a probability in [0, 1] as the {name} {at}, got {value!r}; apply the "
                                    "sigmoid to a logit first")
            object.__setattr__(self, name, float(value))

    def _check_points(self, n: int, at: str) -> None:
        """Predictions of points, which go with the level of points."""
        if self.level not in ("cloud", "point"):
            raise PellucidError(f"expected cloud or point as the level {at}, got {self.level!r}")
        if (self.values is None) == (self.level == "point") or (self.truths is not None and self.values is None):
            raise PellucidError(f"expected values {at} with level='point', and values and truths with no other, got "
                                f"level={self.level!r} and values {'missing' if self.values is None else 'given'}")
        if self.values is None:
            return
        if math.isfinite(self.prediction):
            raise PellucidError(f"expected NaN as the prediction {at}, since its points have their own, got "
                                f"{self.prediction}; pass float('nan')")
        object.__setattr__(self, "values", numbers(self.values, f"values {at}", (n,)))
        if self.truths is not None:
            object.__setattr__(self, "truths", numbers(self.truths, f"truths {at}", (n,)))
        for name in ("values", "truths") if self.probability else ():
            given = getattr(self, name)
            if given is not None and ((given < 0) | (given > 1)).any():
                raise PellucidError(f"expected probabilities in [0, 1] as {name} {at}, got {given.min():g} to "
                                    f"{given.max():g}; apply the sigmoid to logits first")

    def _radius(self, n: int, at: str) -> NDArray[np.float64]:
        array = numbers(self.radius, f"radius {at}", (n,))  # type: ignore[arg-type]
        if not (np.isfinite(array) & (array >= 0)).all():
            raise PellucidError(f"expected finite radii of 0 or more {at}, got others; pass standard deviations")
        if self.covariance is not None:
            raise PellucidError(f"expected a radius or a covariance {at}, got both; pass the one that the method gave")
        return array

    def _covariance(self, n: int, at: str) -> NDArray[np.float64]:
        array = numbers(self.covariance, f"covariance {at}", (n, 3, 3))  # type: ignore[arg-type]
        if not np.isfinite(array).all():
            raise PellucidError(f"expected finite covariances {at}, got NaN or infinity; pass None if there are none")
        scale = np.abs(array).max(axis=(1, 2), keepdims=True)
        if (np.abs(array - array.transpose(0, 2, 1)) > 1e-4 * scale).any():
            raise PellucidError(f"expected symmetric covariances {at}, got some that are not; pass Σ, not its "
                                "Cholesky factor")
        array = (array + array.transpose(0, 2, 1)) / 2
        if (np.linalg.eigvalsh(array) < -1e-4 * scale[:, :, 0]).any():
            raise PellucidError(f"expected positive semi-definite covariances {at}, got a negative variance; pass Σ")
        return array


@dataclass(frozen=True, eq=False)
class ReportContent:
    """All that a report shows; every part but the title may be empty.

    Attributes:
        title: Headline.
        subtitle: One line below it.
        provenance: Config, seed, versions, data hash, command, machine, date; nested as wished.
        metrics: Numbers, nested as in ``metrics.json``. A key ``random`` in a group (a number, or a group of the same
            names), or ``X_random`` beside ``X``, is shown as the baseline; ``intervals`` as the interval.
        published: Published numbers to compare with.
        history: One dict an epoch, with ``epoch``, ``phase`` and any numbers (nested or flat). Names with ``loss``,
            ``interp`` and ``auc`` find their charts.
        selected_epoch: The ``epoch`` whose weights were kept, or ``None``.
        samples: For the browser.
        notes: Warnings and remarks, in plain text.
        words: What points and samples are called; None for what the samples call them.
        units: Unit of each regression by the name of its target, for the metrics.
        explained: The target that interpretation and fidelity are of; ``""`` for the first one of the metrics.
        read: How the data were read and what was left out, sentences that stand behind the metrics.
        trust: ``level`` (``"good"``, ``"unclear"`` or ``"no"``), ``sentence`` and ``reasons``, as
            :meth:`pellucid.metrics.trust.Trust.document` gives them; empty for nothing. With ``"no"``, samples are
            drawn muted and marked.

    Raises:
        PellucidError: if a part is of the wrong kind, samples differ in words or look, or the selected epoch is not in
            the history.

    Example:
        >>> ReportContent("LRI-Gaussian", metrics={"prediction": {"y": {"roc_auc": 0.99}}}).samples
        []
    """

    title: str
    subtitle: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    published: list[PublishedCell] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    selected_epoch: int | None = None
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    words: Words | None = None
    units: dict[str, str] = field(default_factory=dict)
    explained: str = ""
    trust: dict[str, Any] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        text_of(self.title, "the title")
        text_of(self.subtitle, "the subtitle")
        for name, kind in (("provenance", dict), ("metrics", dict), ("published", list), ("history", list),
                           ("samples", list), ("notes", list), ("read", list)):
            if not isinstance(getattr(self, name), kind):
                raise PellucidError(f"expected a {kind.__name__} as {name}, got {type(getattr(self, name)).__name__}; "
                                    f"pass {kind()!r} for none")
        for name, element in (("published", PublishedCell), ("history", dict), ("samples", Sample), ("notes", str)):
            for index, entry in enumerate(getattr(self, name)):
                if not isinstance(entry, element):
                    raise PellucidError(f"expected a {element.__name__} in {name}, got {type(entry).__name__} at "
                                        f"position {index}; convert it first")
        if len(kinds := {sample.words.samples for sample in self.samples}) > 1 or any(
                sample.drawn != self.samples[0].drawn for sample in self.samples):
            raise PellucidError(f"expected samples of one kind and look, got {' and '.join(sorted(kinds))}; write a "
                                "report for each")
        if self.words is None:
            object.__setattr__(self, "words", self.samples[0].words if self.samples else CLOUDS)
        _check_metrics(self.metrics, "metrics")
        if self.trust and (self.trust.get("level") not in MEANING or "sentence" not in self.trust):
            raise PellucidError(f"expected trust with a level out of {', '.join(MEANING)} and a sentence, got "
                                f"{self.trust!r}; pass {{}} for none")
        epochs = [entry.get("epoch") for entry in self.history]
        if self.selected_epoch is not None and self.selected_epoch not in epochs:
            raise PellucidError("expected selected_epoch among the epochs of the history, got "
                                f"{self.selected_epoch!r}; pass None if there is none")


def _check_metrics(metrics: dict[str, Any], path: str) -> None:
    for key, value in metrics.items():
        if not isinstance(key, str):
            raise PellucidError(f"expected names as keys of {path}, got {key!r}; use text")
        if isinstance(value, dict):
            _check_metrics(value, f"{path}.{key}")
        elif isinstance(value, list | tuple) and all(end is None or is_number(end) for end in value):
            continue  # an interval
        elif value is not None and not is_number(value):
            raise PellucidError(f"expected a number as {path}.{key}, got {type(value).__name__}; put what is not a "
                                "number into provenance or notes")
