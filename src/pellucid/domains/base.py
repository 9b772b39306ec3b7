"""What every domain is: a kind of sample, from a user's file to clouds, and from an explanation to what people see."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid import families
from pellucid.clouds import SPLITS, PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.families import datasets
from pellucid.registry import Registry
from pellucid.report.content import Answer, Sample, split_unit
from pellucid.report.plane import plane, tones
from pellucid.report.words import CLOUD_LOOK, CLOUDS, Look, Words

domains: Registry[type[Domain]] = families.domains

Floats = NDArray[np.float64]
AXES = ("x", "y", "z")
MOST_FEATURES = 16
"""Columns of ``features`` that a report shows at most; more are no help to a reader."""


@dataclass(frozen=True)
class Given:
    """What a user's input became.

    Attributes:
        clouds: The samples.
        skipped: A sentence for each entry that could not be used.
        notes: Remarks for the report, e.g. of a file that was read in an unusual way.
        held: What :meth:`Domain.write` needs of the input besides.
        rows: For each entry of the input, in its order, whether it could be used or not: its ``id``, and the columns
            that go with it, as text. Empty where the domain tells nothing: then each cloud is an entry.
        places: The entry of each cloud, ascending, several clouds to one where it has several shapes; empty: cloud i is
            entry i.
        reasons: Entry -> why it has no cloud.
    """

    clouds: PointClouds
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    held: Any = None
    rows: list[dict[str, str]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)

    def entries(self, first: int = 0) -> tuple[list[dict[str, str]], list[int]]:
        """:attr:`rows` and :attr:`places`, filled in where they are empty.

        Args:
            first: Number of the first entry, which stands for the id of clouds that have none.

        Example:
            >>> import torch
            >>> Given(PointClouds(torch.tensor([0, 1, 3]), {"pos": torch.zeros(3, 2)})).entries(7)
            ([{'id': '7'}, {'id': '8'}], [0, 1])
        """
        count = len(self.clouds)
        names = self.clouds.text.get("id", [str(first + i) for i in range(count)])
        return self.rows or [{"id": name} for name in names], self.places or list(range(count))


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


class Domain:
    """Base of the domains: plain clouds, from which a subclass differs where it must.

    A subclass sets :attr:`words` and :attr:`look` and overrides what it knows better: :meth:`make` (its own files),
    :meth:`drawn` (what a sample looks like), :meth:`grouped` and :meth:`write`. What reports say of its columns and
    metrics it tells :func:`pellucid.report.columns.register_column` and
    :func:`pellucid.report.metric_names.describe_metric`. Modules of all domains are imported together, so what is heavy
    is imported in the methods that use it.

    Example:
        >>> import torch
        >>> class Stars(Domain):
        ...     "Stars of a sky, given as a list of places."
        ...     words, inputs = Words("star", "sky"), "a list of places"
        ...     def make(self, source, **more):
        ...         return Given(PointClouds(torch.tensor([0, len(source)]), {"pos": torch.tensor(source)}))
        >>> stars = Stars()
        >>> stars.points, stars.samples, stars.read([[0.0, 1.0], [2.0, 3.0]]).clouds.points
        ('stars', 'skies', 2)
    """

    words: ClassVar[Words] = CLOUDS
    """What a report calls one point and one sample."""
    look: ClassVar[Look] = CLOUD_LOOK
    """How a report draws and tables samples."""
    inputs: ClassVar[str] = "a PointClouds, or the .safetensors file of one"
    """What a user may give, for messages."""
    parts: ClassVar[tuple[str, ...]] = ()
    """Further parts of the input that :meth:`make` takes; others are refused."""

    @property
    def points(self) -> str:
        """The word for several points."""
        return self.words.points

    @property
    def samples(self) -> str:
        """The word for several samples."""
        return self.words.samples

    # -- from a user's input to clouds ---------------------------------------------------------------------------------
    def read(self, source: Any, *, dataset: str = "", options: Mapping[str, Any] | None = None, seed: int = 0,
             progress: bool = False, **parts: Any) -> Given:
        """A user's input as clouds; what all domains take is handled here, the rest by :meth:`make`.

        Args:
            source: Clouds, the ``.safetensors`` file of :meth:`pellucid.clouds.PointClouds.save`, or what the domain
                takes in their place.
            dataset: Name of the run's dataset.
            options: How it was prepared: the key of its provenance.
            seed: Of what is random, e.g. conformers.
            progress: Whether to show a bar.
            **parts: Further parts of the input by name; one that is None was not given.

        Returns:
            The clouds and what is to be told of them.

        Raises:
            PellucidError: if the input is none of this domain, or a part is given that the domain does not know.
        """
        given = self.given(parts, self.ready(source))
        if isinstance(source, PointClouds):
            return Given(source)
        if self.ready(source):
            return Given(PointClouds.load(Path(source))[0])
        return self.make(source, dataset=dataset, options=options or {}, seed=seed, progress=progress, **given)

    @staticmethod
    def ready(source: Any) -> bool:
        """Whether an input is clouds already, or a file of them."""
        return isinstance(source, PointClouds) or (isinstance(source, (str, Path))
                                                   and Path(source).suffix.lower() == ".safetensors")

    def given(self, parts: Mapping[str, Any], ready: bool = False) -> dict[str, Any]:
        """Further parts of the input that were given.

        Args:
            parts: By name; one that is None was not given.
            ready: Whether the input is clouds, beside which there are none.

        Raises:
            PellucidError: for a part that the domain does not know.
        """
        given = {name: value for name, value in parts.items() if value is not None}
        for name, value in given.items():
            if ready or name not in self.parts:
                beside = "beside clouds" if ready else f"for a run on {self.samples}"
                raise PellucidError(f"expected no {name} {beside}, got {value}; leave it out")
        return given

    def portions(self, source: Any, size: int, **parts: Any) -> Iterator[Any]:
        """A user's input in pieces of at most ``size`` entries, so that it need not fit into memory.

        Each piece can be pickled, and becomes clouds by :meth:`read_portion`, in this process or another. Here clouds
        are cut, and any other input is one piece.

        Args:
            source: As for :meth:`read`.
            size: Entries a piece.
            **parts: As for :meth:`read`; those of the input as a whole, e.g. the name of a column, are used here.

        Raises:
            PellucidError: if the input cannot be read, or for a part that the domain does not know.
        """
        self.given(parts, self.ready(source))
        if not self.ready(source):
            yield source
            return
        if not isinstance(source, PointClouds):
            source = PointClouds.load(Path(source))[0]  # its tensors stay on disk
        for start in range(0, len(source), size):
            yield source.select(torch.arange(start, min(start + size, len(source))))

    def read_portion(self, portion: Any, *, dataset: str = "", options: Mapping[str, Any] | None = None, seed: int = 0,
                     progress: bool = False, **parts: Any) -> Given:
        """A piece of :meth:`portions` as clouds; none where no entry of it can be used. Arguments as for :meth:`read`.

        Raises:
            PellucidError: if the input is none of this domain.
        """
        return self.read(portion, dataset=dataset, options=options, seed=seed, progress=progress, **parts)

    def stream(self, source: Any, *, dataset: str = "", options: Mapping[str, Any] | None = None, seed: int = 0,
               size: int = 1000, progress: bool = False, **parts: Any) -> Iterator[Given]:
        """A user's input as clouds, piece by piece; see :meth:`portions`. Arguments as for :meth:`read`.

        Example:
            >>> import torch
            >>> clouds = PointClouds(torch.arange(6), {"pos": torch.zeros(5, 2)})
            >>> [len(given.clouds) for given in Clouds().stream(clouds, size=2)]
            [2, 2, 1]
        """
        for portion in self.portions(source, size, **parts):
            yield self.read_portion(portion, dataset=dataset, options=options, seed=seed, progress=progress, **parts)

    def make(self, source: Any, *, dataset: str, options: Mapping[str, Any], seed: int, progress: bool,
             **parts: Any) -> Given:
        """The domain's own inputs as clouds; arguments as for :meth:`read`, parts only where they were given.

        Here, what the run's dataset opens: :meth:`pellucid.datasets.base.Dataset.opened`.

        Raises:
            PellucidError: if the input is none of this domain.
        """
        if dataset in datasets and isinstance(source, (str, Path)) and Path(source).is_file():
            clouds = datasets[dataset]().opened(Path(source))
            if clouds is not None:
                return Given(clouds)
        raise PellucidError(f"expected {self.inputs} for a run on {self.samples}, got {_told(source)}; convert your "
                            "data with PointClouds or pellucid.from_pyg")

    def category(self, value: int, column: int = 0, columns: int = 1, field: str = "categories") -> tuple[str, str]:
        """What a category is of, and what it is called, e.g. ``("element", "Se")``.

        Args:
            value: Its number.
            column: Its column of the field.
            columns: How many columns the field has.
            field: ``"categories"`` of points or ``"edge_categories"``.

        Example:
            >>> Clouds().category(3), Clouds().category(3, 1, 2)
            (('category', '3'), ('category in column 1', '3'))
        """
        of = "edge category" if field == "edge_categories" else "category"
        return of if columns == 1 else f"{of} in column {column}", str(value)

    def grouped(self, clouds: PointClouds, field: str) -> PointClouds:
        """Clouds with a field of groups that this domain can make; as they are where it cannot, or has no need to."""
        return clouds

    def gathered(self, explanation: Explanation) -> Explanation:
        """One explanation a sample, where :meth:`make` made several clouds of one; here as it is."""
        return explanation

    # -- from an explanation to what people see ------------------------------------------------------------------------
    def sample(self, explanation: Explanation, cloud: int) -> Sample | None:
        """What the report's browser shows of a sample; None where nothing can be drawn.

        Args:
            explanation: Of one output, or of several: then of the one in ``explained``, with contributions to the
                others beside it.
            cloud: Place of the sample.
        """
        one = Shown(explanation.of(), cloud)
        drawn = self.drawn(one) if len(one) else None
        if drawn is None:
            return None
        common: dict[str, Any] = {
            "name": one.text("id") or f"{self.words.sample} {cloud}",
            "unit": one.unit,
            "pos": one.pos,
            "importance": one.importance,
            "importance_name": one.explanation.importance_name,
            "importance_unit": one.explanation.unit(cloud),
            "signed": one.explanation.signed,
            "others": _others(explanation, one),
            "prediction": one.explanation.value(cloud),
            "predicts": one.explanation.quantity(cloud),
            "target": one.explanation.truth(cloud),
            "answers": _answers(explanation, one),
            "important": one.important,
            "level": one.explanation.level,
            "values": one.values,
            "truths": one.truths,
            "covariance": one.covariance,
            "radius": one.radius,
            "words": self.words,
            "look": self.look,
        }
        return Sample(**{**common, **drawn, "columns": {**drawn.get("columns", {}), **one.columns},
                         "facts": {**_carried(one), **drawn.get("facts", {}), **self._facts(one)}})

    def drawn(self, one: Shown) -> dict[str, Any] | None:
        """What a sample of this domain looks like: attributes of :class:`pellucid.report.Sample`.

        Those that all domains share are filled in by :meth:`sample`; ``labels`` is needed, ``pos`` where the clouds
        have no two or three coordinates. ``columns`` and ``facts`` stand before those of the explanation.

        Args:
            one: The sample.

        Returns:
            Attributes by name; None where nothing can be drawn.
        """
        if one.pos is None:
            return None
        edges = one.edges
        return {"labels": labels(one), "bonds": [(a, b, 1.0) for a, b in edges], "columns": one.features,
                "views": planes(one, [np.array(edge) for edge in edges])}

    def caveats(self, options: Mapping[str, Any], directions: str) -> list[str]:
        """What a model cannot know of samples of this domain, for the report of its run.

        Args:
            options: How its data were prepared: the key of their provenance.
            directions: What its backbone knows of directions; see :attr:`pellucid.backbones.base.Backbone.directions`.
        """
        return []

    def write(self, folder: Path, explanation: Explanation, held: Any) -> list[Path]:
        """Writes further files of an explanation, e.g. a structure with importance as its B-factors.

        Args:
            folder: Where to.
            explanation: Of one output, or of several: then of the one in ``explained``, with the others beside it.
            held: As in :class:`Given`.

        Returns:
            Their paths.
        """
        return []

    def _facts(self, one: Shown) -> dict[str, str]:
        """What is known of the prediction, and what training, an ensemble and a subgraph say of one sample."""
        explanation, i = one.explanation, one.place
        facts, output = {}, int(explanation.explained[i])
        unit = split_unit(explanation.quantity(i))[1]
        if explanation.signed and explanation.baseline is not None:
            own = explanation.unit(i)
            facts["Baseline"] = (_told_number(float(explanation.baseline[output])) + (f" {own}" if own else "")
                                 + "; with all contributions it sums to the prediction"
                                 + (f"'s {own}" if own in ("log-odds", "logits") else ""))
        if (noisy := explanation.provenance.get("prediction_draws")) is not None:
            rows = slice(i, i + 1) if explanation.level == "cloud" else one.rows
            mean, std = (np.array(noisy[name][rows])[:, output].mean() for name in ("mean", "std"))
            facts["Prediction under noise"] = (
                f"{_told_number(mean)} ± {std:.2g}{f' {unit}' if unit else ''} over {noisy['draws']} draws"
                + ("" if explanation.level == "cloud" else f", mean over {self.points}"))
        if (members := explanation.provenance.get("ensemble")) is not None:
            if explanation.level == "cloud":
                facts["Prediction over members"] = (f"{explanation.value(i):.3f} ± "
                                                    f"{members['prediction_spread'][i][output]:.3f}")
            if (agreed := members["rank_correlations"][i]) is not None:
                facts["Agreement of members"] = f"mean Spearman rank correlation {agreed:.2f} (random: 0)"
        if (outside := explanation.provenance.get("outside")) and outside[i]:
            facts[f"Unlike the training {self.samples}"] = outside[i]
        if (chosen := explanation.provenance.get("subgraph")) is not None:
            facts["Subgraph"] = f"{chosen['sizes'][i]} of {len(one)} {self.points}: {chosen['rule']}"
            if chosen.get("alone") and chosen["alone"][i] is not None:
                facts["Subgraph alone"] = f"{explanation.quantity(i)} {chosen['alone'][i]:.3f}"
        return facts


def _others(explanation: Explanation, one: Shown) -> dict[str, Floats]:
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


def _answers(explanation: Explanation, one: Shown) -> list[Answer]:
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


def _carried(one: Shown) -> dict[str, str]:
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


def _told_number(value: float) -> str:
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


def _told(source: Any) -> str:
    return repr(str(source)) if isinstance(source, (str, Path)) else type(source).__name__


def path_of(source: Any, domain: Domain) -> Path:
    """The path that a user gave.

    Raises:
        PellucidError: if it is something else.
    """
    if not isinstance(source, (str, Path)):
        raise PellucidError(f"expected {domain.inputs} for a run on {domain.samples}, got {_told(source)}; give its "
                            "path")
    return Path(source)


def domain_of(name: str) -> Domain:
    """The domain of a name.

    Raises:
        UnknownNameError: for an unknown one, with the near misses.
    """
    return domains[name]()


@domains.register("clouds")
class Clouds(Domain):
    """Plain point clouds: points in space without a domain of their own."""
