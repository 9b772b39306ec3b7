"""What every domain is: a kind of sample, from a user's file to clouds, and from an explanation to what people see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from pellucid import families
from pellucid.clouds import PointClouds
from pellucid.domains.given import Given
from pellucid.domains.shown import Shown, answers, carried, labels, other_contributions, planes, told_number
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.families import datasets
from pellucid.registry import Registry
from pellucid.report.content import Sample, split_unit
from pellucid.report.words import CLOUD_LOOK, CLOUDS, Look, Words

domains: Registry[type[Domain]] = families.domains


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
            "others": other_contributions(explanation, one),
            "prediction": one.explanation.value(cloud),
            "predicts": one.explanation.quantity(cloud),
            "target": one.explanation.truth(cloud),
            "answers": answers(explanation, one),
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
                         "facts": {**carried(one), **drawn.get("facts", {}), **self._facts(one)}})

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
            facts["Baseline"] = (told_number(float(explanation.baseline[output])) + (f" {own}" if own else "")
                                 + "; with all contributions it sums to the prediction"
                                 + (f"'s {own}" if own in ("log-odds", "logits") else ""))
        if (noisy := explanation.provenance.get("prediction_draws")) is not None:
            rows = slice(i, i + 1) if explanation.level == "cloud" else one.rows
            mean, std = (np.array(noisy[name][rows])[:, output].mean() for name in ("mean", "std"))
            facts["Prediction under noise"] = (
                f"{told_number(mean)} ± {std:.2g}{f' {unit}' if unit else ''} over {noisy['draws']} draws"
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
