"""What a report shows, validated before anything is written."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.report.colours import numbers


def _text(value: object, name: str) -> None:
    if not isinstance(value, str):
        raise PellucidError(f"expected text as {name}, got {type(value).__name__}; pass a str")


def is_number(value: object) -> bool:
    """A real number that is not a bool; NaN counts."""
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


@dataclass(frozen=True)
class Words:
    """What the page calls a point and a cloud.

    Attributes:
        point: One point, e.g. ``"atom"``.
        cloud: One cloud, e.g. ``"molecule"``.

    Example:
        >>> Words("hit", "event").of("an atom of this molecule, atoms")
        'a hit of this event, hits'
    """

    point: str
    cloud: str

    def of(self, text: str) -> str:
        """A text about atoms and molecules, as one about these points and clouds."""
        if self.point != "atom":
            text = re.sub(r"\ban atom\b", f"a {self.point}", text)
        text = re.sub(r"\batom(?=s?\b)", self.point, text)
        text = re.sub(r"\bmolecules\b", self.cloud + ("es" if self.cloud.endswith("x") else "s"), text)
        return re.sub(r"\bmolecule\b", self.cloud, text)


MOLECULES = Words("atom", "molecule")
EVENTS = Words("hit", "event")
CLOUDS = Words("point", "sample")
COMPLEXES = Words("residue", "complex")


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
        _text(self.metric, "the metric of a published number")
        _text(self.source, "the source of a published number")
        if not is_number(self.mean) or not math.isfinite(self.mean):
            raise PellucidError(f"expected a finite published mean for {self.metric}, got {self.mean!r}; leave the "
                                "cell out")
        if not is_number(self.std) or self.std < 0 or math.isinf(self.std):
            raise PellucidError(f"expected a published standard deviation >= 0 (NaN if none was given) for "
                                f"{self.metric}, got {self.std!r}; check the table")


@dataclass(frozen=True, eq=False)
class Sticks:
    """A molecule beside the points, such as a ligand: drawn as sticks in the colours of its elements.

    Attributes:
        name: What it is, e.g. ``"ligand"``.
        pos: (m, 3) coordinates, in the frame and the unit of the sample's ``pos``.
        labels: m element symbols.
        bonds: ``(i, j, order)``, as those of a :class:`Sample`.

    Raises:
        PellucidError: if shapes disagree or a bond points nowhere.

    Example:
        >>> Sticks("ligand", [[0, 0, 0], [1.4, 0, 0]], ["C", "O"], [(0, 1, 1.0)]).pos.shape
        (2, 3)
    """

    name: str
    pos: NDArray[np.float64]
    labels: list[str]
    bonds: list[tuple[int, int, float]]

    def __post_init__(self) -> None:
        _text(self.name, "the name of a molecule beside the points")
        at = f"of {self.name}"
        pos, n = _places(self.pos, self.labels, at)
        object.__setattr__(self, "pos", pos)
        object.__setattr__(self, "labels", [str(label) for label in self.labels])
        object.__setattr__(self, "bonds", [_bond(bond, n, at) for bond in self.bonds])


@dataclass(frozen=True, eq=False)
class Sample:
    """One molecule (or any bonded point cloud) for the browser of the report.

    Everything that has one row an atom is in one and the same order.

    Attributes:
        name: Shown in the list.
        unit: Unit of ``pos``, e.g. ``"angstrom"``.
        pos: (n, 3) coordinates in ``unit``; pad flat clouds with zero.
        labels: n element symbols, or any short names.
        importance: (n,) real numbers, large = important; NaN is drawn grey.
        prediction: Predicted probability in [0, 1] of the positive class, or NaN; for a regression, any number.
        importance_name: What the importance is, e.g. ``"location importance (-log det Σ)"``.
        target: The known answer, 0 or 1 (a probability is fine), or ``None``; for a regression, any number.
        bonds: ``(i, j, order)`` with 1, 2, 3 or 1.5 for aromatic, or ``None``.
        important: (n,) bool ground truth, or ``None``.
        covariance: (n, 3, 3) in ``unit``², symmetric and positive semi-definite, or ``None``.
        svg: 2D depiction from :func:`pellucid.report.depict`, or ``None``.
        svg_truth: The same with the ground truth, from :func:`pellucid.report.depict_truth`, or ``None``.
        facts: Shown as they are, e.g. ``{"SMILES": "CCO"}``.
        columns: More named numbers, (n,) each; those in :data:`pellucid.report.columns.KNOWN` are explained, and
            ``spread`` is shown as the ± of the importance.
        views: Further drawings (SVG) by caption; a hit is an ellipse of class ``atom-i``.
        words: What points and clouds are called.
        predicts: What the prediction is: ``"P(...)"`` of a class, else a quantity with its unit.
        texts: More named texts, one a point each: columns of the table, e.g. the chain of a residue.
        sticks: A molecule beside the points, or ``None``.

    Raises:
        PellucidError: if shapes disagree, a bond points nowhere, or a covariance is none.

    Example:
        >>> sample = Sample("methanol", "angstrom", [[0, 0, 0], [1.4, 0, 0]], ["C", "O"], [0.1, 0.9], 0.8,
        ...                 bonds=[(0, 1, 1.0)])
        >>> sample.pos.shape
        (2, 3)
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
    words: Words = MOLECULES
    predicts: str = "P(1)"
    texts: dict[str, list[str]] = field(default_factory=dict)
    sticks: Sticks | None = None

    def __post_init__(self) -> None:
        for name in ("name", "unit", "importance_name", "predicts"):
            _text(getattr(self, name), f"the {name} of a sample")
        at = f"of sample {self.name!r}"
        pos, n = _places(self.pos, self.labels, at)
        object.__setattr__(self, "pos", pos)
        object.__setattr__(self, "importance", numbers(self.importance, f"importance {at}", (n,)))
        object.__setattr__(self, "labels", [str(label) for label in self.labels])
        self._check_answers(at)
        object.__setattr__(self, "bonds", [_bond(bond, n, at) for bond in self.bonds or ()])
        if self.important is not None:
            truth = numbers(self.important, f"important {at}", (n,))
            if not np.isin(truth, (0, 1)).all():
                raise PellucidError(f"expected booleans in important {at}, got other numbers; pass None if unknown")
            object.__setattr__(self, "important", truth.astype(bool))
        if self.covariance is not None:
            object.__setattr__(self, "covariance", self._covariance(n, at))
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

    def _check_answers(self, at: str) -> None:
        answers: tuple[tuple[str, Any], ...] = (("prediction", self.prediction), ("target", self.target))
        for name, value in answers:
            if value is None and name == "target":
                continue
            if not self.predicts.startswith("P("):
                if not is_number(value) or math.isinf(value):
                    raise PellucidError(f"expected a number as the {name} {at}, got {value!r}; pass NaN for none")
            elif not is_number(value) or not (math.isnan(value) or 0 <= value <= 1):
                raise PellucidError(f"expected a probability in [0, 1] as the {name} {at}, got {value!r}; apply the "
                                    "sigmoid to a logit first")
            object.__setattr__(self, name, float(value))

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


def _places(pos: Any, labels: list[str], at: str) -> tuple[NDArray[np.float64], int]:
    """Checked coordinates, one row a label."""
    array = numbers(pos, f"pos {at}", (None, 3))
    n = len(array)
    if n == 0 or not np.isfinite(array).all():
        raise PellucidError(f"expected at least one atom with finite coordinates in pos {at}, got "
                            f"{'no atoms' if n == 0 else 'NaN or infinity'}; leave the sample out")
    if len(labels) != n:
        raise PellucidError(f"expected {n} labels {at}, one an atom, got {len(labels)}; pass one for each row of pos")
    return array, n


def _bond(bond: Any, n: int, at: str) -> tuple[int, int, float]:
    try:
        first, second, order = int(bond[0]), int(bond[1]), float(bond[2])
    except (TypeError, ValueError, IndexError) as error:
        raise PellucidError(f"expected bonds (i, j, order) {at}, got {bond!r}; pass three numbers a bond") from error
    if not (0 <= first < n and 0 <= second < n) or first == second or not 0 < order < 10:
        raise PellucidError(f"expected bonds between two of the {n} atoms {at}, got {bond!r}; count atoms from 0, "
                            "in the order of pos")
    return first, second, order


@dataclass(frozen=True, eq=False)
class ReportContent:
    """All that a report shows; every part but the title may be empty.

    Attributes:
        title: Headline.
        subtitle: One line below it.
        provenance: Config, seed, versions, data hash, command, machine, date; nested as wished.
        metrics: Numbers, nested as in ``metrics.json``. A key ``random`` in a group, or ``X_random`` beside ``X``,
            is shown as the baseline.
        published: Published numbers to compare with.
        history: One dict an epoch, with ``epoch``, ``phase`` and any numbers (nested or flat). Names with ``loss``,
            ``interp`` and ``auc`` find their charts.
        selected_epoch: The ``epoch`` whose weights were kept, or ``None``.
        samples: For the browser.
        notes: Warnings and remarks, in plain text.
        words: What points and clouds are called; None for what the samples call them.

    Raises:
        PellucidError: if a part is of the wrong kind, samples are of several kinds, or the selected epoch is not in
            the history.

    Example:
        >>> ReportContent("LRI-Gaussian on SynMol", metrics={"classification": {"roc_auc": 0.99}}).samples
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

    def __post_init__(self) -> None:
        _text(self.title, "the title")
        _text(self.subtitle, "the subtitle")
        for name, kind in (("provenance", dict), ("metrics", dict), ("published", list), ("history", list),
                           ("samples", list), ("notes", list)):
            if not isinstance(getattr(self, name), kind):
                raise PellucidError(f"expected a {kind.__name__} as {name}, got {type(getattr(self, name)).__name__}; "
                                    f"pass {kind()!r} for none")
        for name, element in (("published", PublishedCell), ("history", dict), ("samples", Sample), ("notes", str)):
            for index, entry in enumerate(getattr(self, name)):
                if not isinstance(entry, element):
                    raise PellucidError(f"expected a {element.__name__} in {name}, got {type(entry).__name__} at "
                                        f"position {index}; convert it first")
        if len({sample.words for sample in self.samples}) > 1:
            raise PellucidError("expected samples of one kind, got molecules and events; write a report for each")
        if self.words is None:
            object.__setattr__(self, "words", self.samples[0].words if self.samples else MOLECULES)
        _check_metrics(self.metrics, "metrics")
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
        elif value is not None and not is_number(value):
            raise PellucidError(f"expected a number as {path}.{key}, got {type(value).__name__}; put what is not a "
                                "number into provenance or notes")
