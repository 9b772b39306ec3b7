"""What every dataset recipe has in common: options, a cache with provenance, and a description."""

from __future__ import annotations

import inspect
import platform
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import torch

from pellucid import families
from pellucid.clouds import SPLITS, PointClouds
from pellucid.errors import DamagedFileError, PellucidError, UnknownNameError
from pellucid.files import digest, home
from pellucid.registry import Registry
from pellucid.spec import DataSpec
from pellucid.targets import Target, Targets

datasets: Registry[type[Dataset]] = families.datasets
OF_TABLES = "molecules"
"""The dataset that a table of a user's own is read as."""


@dataclass(frozen=True)
class PreparedDataset:
    """A dataset on disk, opened.

    Attributes:
        clouds: The samples; ``clouds.split("train")`` etc.
        provenance: Where they came from: source, licence, options, versions, counts, failures.
        path: The safetensors file that holds both.
        recipe: The recipe, with the facts a model needs (task, targets, category sizes, ...).
    """

    clouds: PointClouds
    provenance: dict[str, Any]
    path: Path
    recipe: Dataset


@dataclass(frozen=True)
class AnnouncedDataset:
    """A dataset that is not made yet.

    Attributes:
        recipe: The recipe.
        points: About how many points all its samples will have together.
    """

    recipe: Dataset
    points: int


class Dataset(ABC):
    """A recipe from a raw source to :class:`~pellucid.clouds.PointClouds` on disk.

    A subclass sets the class attributes, checks its options in :meth:`check` and does the work in :meth:`build`.

    Attributes:
        name: Registered name.
        targets: What the columns of ``y`` are; where that depends on the source, empty, and :meth:`build` gives them
            under ``targets`` in the provenance, as :meth:`Targets.document` has them.
        domain: What kind of sample it is; see :mod:`pellucid.domains`.
        unit: Unit of ``pos``.
        dim: Number of coordinates.
        category_sizes: Cardinality of each column of ``categories``.
        edge_category_sizes: The same of ``edge_categories``; None for the categories that occur. Where these four
            depend on options, :meth:`build` gives them under ``points`` in the provenance, and an opened dataset has
            its own.
        category_names: What the first column's categories are called, for people; empty for their numbers.
        feature_size: Number of columns of ``features``.
        partner_category_sizes: Cardinalities of the second clouds, where samples have any.
        precision_at: The m of precision@m.
        usual: About how many samples there are where the option ``size`` does not say, and points a sample: for what
            is told before any work.
        from_folder: Whether the data must come from a folder that the user names.
        citation: Whom to cite.
        licence: Of the data, for each source if there are several.
        version: Raised when the recipe changes, so that old caches are not taken for new ones.
        defaults: Options and their default values.
        as_published: Values of the key with which the data are those of a paper, or made as those, so that published
            numbers may stand beside a run's own.
        unkeyed: Options that do not change the result, such as the number of processes.
    """

    name: ClassVar[str]
    targets: tuple[Target, ...]
    domain: ClassVar[str] = "clouds"
    unit: str = ""
    dim: int = 3
    category_sizes: tuple[int, ...] = ()
    category_names: ClassVar[tuple[str, ...]] = ()
    edge_category_sizes: tuple[int, ...] | None = None
    feature_size: ClassVar[int] = 0
    partner_category_sizes: ClassVar[tuple[int, ...]] = ()
    precision_at: ClassVar[tuple[int, ...]] = (5, 8)
    usual: ClassVar[tuple[int, float]] = (10_000, 25.0)
    from_folder: ClassVar[bool] = False
    citation: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    version: ClassVar[int] = 1
    defaults: ClassVar[Mapping[str, Any]] = {}
    as_published: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    unkeyed: ClassVar[tuple[str, ...]] = ("processes", "progress")

    @abstractmethod
    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """Validates the complete options before any work.

        Args:
            options: All of :attr:`defaults`, with the user's values.

        Returns:
            What the result depends on, JSON-able: the cache key. It names contents (a checksum), not places (a path).

        Raises:
            PellucidError: if a value is out of range or does not go with the others.
        """

    @abstractmethod
    def build(self, options: dict[str, Any]) -> tuple[PointClouds, dict[str, Any]]:
        """Does the work: the clouds and the recipe's own part of the provenance."""

    @classmethod
    def has_coordinates(cls, options: Mapping[str, Any]) -> bool:
        """Whether points will have coordinates, by the options that a user gives; known before any work."""
        return cls.dim > 0

    def opened(self, path: Path) -> PointClouds | None:
        """New samples out of a file as those of this dataset, to be explained; None where the domain reads them.

        Raises:
            PellucidError: if the file is damaged, or something else.
        """
        return None

    def spec(self, clouds: PointClouds) -> DataSpec:
        """What a model must know of the data.

        Args:
            clouds: The prepared ones.
        """
        return DataSpec.of(clouds, Targets(self.targets), category_sizes=self.category_sizes,
                           edge_category_sizes=self.edge_category_sizes,
                           partner_category_sizes=self.partner_category_sizes, domain=self.domain,
                           precision_at=self.precision_at)

    def more_counts(self, clouds: PointClouds) -> dict[str, Any]:
        """Further numbers of a split that :func:`describe` shows."""
        return {}

    @property
    def folder(self) -> Path:
        """Where this dataset keeps its files."""
        return home() / "datasets" / self.name

    def prepare(self, **options: Any) -> PreparedDataset:
        """Opens the dataset; makes it first where it is not there yet.

        Args:
            **options: See :attr:`defaults`.

        Returns:
            The opened dataset.

        Raises:
            UnknownNameError: if an option does not exist.
            PellucidError: if an option's value does not fit, or the source cannot be had.
            DamagedFileError: if the stored file cannot be read; the message says what to delete.
        """
        complete, key, path = self._place(options)
        if not path.exists():
            clouds, own = self.build(complete)
            clouds.save(path, {**self._provenance(key), **own})
        return self._open(path)

    def announce(self, **options: Any) -> PreparedDataset | AnnouncedDataset:
        """Opens the dataset if it is there; else says how large it will be. Makes nothing.

        Args:
            **options: See :attr:`defaults`.

        Raises:
            PellucidError: as :meth:`prepare`.
        """
        complete, _, path = self._place(options)
        if path.exists():
            return self._open(path)
        return AnnouncedDataset(self, round(self.expected(complete) * self.usual[1]))

    def expected(self, options: Mapping[str, Any]) -> int:
        """About how many samples there will be.

        Args:
            options: Complete and checked.
        """
        return int(options.get("size") or self.usual[0])

    def _place(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Path]:
        """The complete options, the key, and the file of the result."""
        options = {name: value for name, value in options.items()
                   if name in self.defaults or name not in self.unkeyed}  # a recipe need not take these
        for given in options:
            if given not in self.defaults:
                raise UnknownNameError(f"option of the dataset {self.name}", given, self.defaults)
        complete = {**self.defaults, **options}
        key = {"dataset": self.name, "version": self.version, **self.check(complete)}
        return complete, key, self.folder / digest(key) / "clouds.safetensors"

    def _open(self, path: Path) -> PreparedDataset:
        try:
            clouds, provenance = PointClouds.load(path)
        except DamagedFileError as error:
            raise DamagedFileError(f"expected the dataset {self.name} in {path}, got a damaged file; delete the folder "
                                   f"{path.parent} and load it again, it will be made anew") from error
        if "targets" in provenance:
            self.targets = tuple(Targets.parse(provenance["targets"]))
        if "points" in provenance:
            points = provenance["points"]
            self.dim, self.unit = points["dim"], points["unit"]
            self.category_sizes, self.edge_category_sizes = map(tuple, (points["category_sizes"],
                                                                        points["edge_category_sizes"]))
        return PreparedDataset(clouds, provenance, path, self)

    def _provenance(self, key: Mapping[str, Any]) -> dict[str, Any]:
        versions = {"python": platform.python_version()}
        for package in ("pellucid", "torch", "numpy"):
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:  # run from a source tree
                versions[package] = "not installed"
        return {"dataset": self.name, "version": self.version, "key": dict(key), "licence": self.licence,
                "citation": self.citation, "versions": versions,
                "made": datetime.now(UTC).isoformat(timespec="seconds")}


def load_dataset(name: str, **options: Any) -> PreparedDataset:
    """Opens a dataset by name; the first time it is made, with provenance, under the library's home folder.

    Args:
        name: One of :data:`datasets`.
        **options: The recipe's options.

    Returns:
        Clouds, provenance, path and recipe.

    Raises:
        UnknownNameError: if the name or an option is unknown; the message has the near misses.
        PellucidError: see the recipe.

    Example:
        >>> load_dataset("synmoll")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        pellucid.errors.UnknownNameError: expected a known dataset, got 'synmoll'; did you mean 'synmol'? Known: ...
    """
    return datasets[name]().prepare(**options)


def announce_dataset(name: str, **options: Any) -> PreparedDataset | AnnouncedDataset:
    """Opens a dataset by name if it was made, and else says about how large it will be: nothing is made or fetched.

    Args:
        name: One of :data:`datasets`.
        **options: The recipe's options.

    Raises:
        PellucidError: as :func:`load_dataset`.

    Example:
        >>> announce_dataset("synmol", size=1000, seed=123456).points
        21400
    """
    return datasets[name]().announce(**options)


def option_table(name: str) -> dict[str, str]:
    """The options of a dataset: name -> default and meaning, out of the recipe's docstring.

    Raises:
        UnknownNameError: for an unknown dataset.

    Example:
        >>> option_table("synmol")["size"]
        '8671. Number of molecules before conformers (8,671 as the original); fewer of logic8 are drawn at random.'
    """
    return option_table_of(datasets[name])


def option_table_of(recipe: type[Dataset]) -> dict[str, str]:
    """The same of a recipe that need not be registered; options that its docstring does not explain are left out."""
    text = inspect.cleandoc(recipe.__doc__ or "").partition("Options:\n")[2].partition("\n\n")[0]
    meaning: dict[str, str] = {}
    for line in text.splitlines():
        start = re.match(r"    (\w+): (.*)", line)
        if start is not None:
            meaning[start[1]] = start[2]
        elif meaning:
            meaning[next(reversed(meaning))] += " " + line.strip()
    return {option: f"{default}. {meaning[option]}" for option, default in recipe.defaults.items() if option in meaning}


def describe(prepared: PreparedDataset) -> dict[str, Any]:
    """The numbers one wants to see before training, JSON-able.

    Args:
        prepared: From :func:`load_dataset`.

    Returns:
        ``name``, ``targets``, ``clouds``, ``points``, ``points_mean``/``_min``/``_max``, ``size_bytes``, ``path``,
        ``provenance``, ``splits`` (name -> ``clouds``, and what follows where it applies), and for a binary target
        ``positive`` (count), ``class_ratio`` (positive share of those with a label) and ``important_mean`` (important
        points a positive cloud).
    """
    clouds, recipe = prepared.clouds, prepared.recipe
    sizes = clouds.sizes
    report: dict[str, Any] = {
        "name": recipe.name,
        "targets": {target.name: target.kind for target in recipe.targets},
        **_counts(clouds, recipe),
        "points": clouds.points,
        "points_mean": float(sizes.double().mean()),
        "points_min": int(sizes.min()),
        "points_max": int(sizes.max()),
    }
    if "split" in clouds:
        report["splits"] = {name: _counts(clouds.split(name), recipe) for name in SPLITS}
    report |= {"size_bytes": prepared.path.stat().st_size, "path": str(prepared.path),
               "provenance": prepared.provenance}
    return report


def _counts(clouds: PointClouds, recipe: Dataset) -> dict[str, Any]:
    counts: dict[str, Any] = {"clouds": len(clouds)}
    first = recipe.targets[0]
    if first.kind == "binary" and first.level == "cloud" and "y" in clouds:
        y = clouds["y"][:, 0]
        known = int(y.isfinite().sum())
        positive = y == 1
        counts |= {"positive": int(positive.sum()), "class_ratio": int(positive.sum()) / known if known else None}
        if "important" in clouds and bool(positive.any()):
            marked = torch.zeros(len(clouds), dtype=torch.int64).index_add_(0, clouds.batch, clouds["important"].long())
            counts["important_mean"] = float(marked[positive].double().mean())
    return counts | recipe.more_counts(clouds)


def whole_number(options: Mapping[str, Any], name: str, least: int, most: int) -> int:
    """The option as an int.

    Raises:
        PellucidError: if it is not a whole number in the range.
    """
    value = options[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise PellucidError(f"expected {name} to be a whole number from {least} to {most}, got {value!r}")
    return value


def folder_of(options: Mapping[str, Any]) -> Path:
    """The folder that the option ``source_dir`` names.

    Raises:
        PellucidError: if none is named, or it is not there.
    """
    if options["source_dir"] is None or not (folder := Path(options["source_dir"]).expanduser()).is_dir():
        raise PellucidError(f"expected source_dir to be the folder of your files, got {options['source_dir']}; set "
                            "source_dir=FOLDER")
    return folder


def real_number(options: Mapping[str, Any], name: str, least: float, most: float) -> float:
    """The option as a float.

    Raises:
        PellucidError: if it is not a number in the range.
    """
    value = options[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise PellucidError(f"expected {name} to be a number from {least:g} to {most:g}, got {value!r}")
    return float(value)
