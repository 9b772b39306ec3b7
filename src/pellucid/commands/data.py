"""The data of a run: what a user asks for, and those of a finished one found again, with the groups that it wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.clouds import PointClouds
from pellucid.datasets.base import OF_TABLES, PreparedDataset, datasets
from pellucid.domains.base import domain_of
from pellucid.errors import PellucidError
from pellucid.files import read_json
from pellucid.progress import say
from pellucid.spec import DataSpec
from pellucid.training.config import RunConfig
from pellucid.training.data import data_digest


@dataclass(frozen=True)
class AskedData:
    """What a training is asked to learn from, before any of it is made.

    Attributes:
        name: Of the dataset.
        options: Of its recipe.
        prepared: The data, where they are there already.
    """

    name: str
    options: dict[str, Any]
    prepared: PreparedDataset | None = None

    @staticmethod
    def of(dataset: Any, target: str | Sequence[str] | None = None, options: Mapping[str, Any] | None = None
           ) -> AskedData:
        """Out of what a user may give.

        Args:
            dataset: A dataset's name, a prepared one, the path of a table, or a table in memory.
            target: Columns of the table that are predicted.
            options: Of the recipe.

        Raises:
            UnknownNameError: if it is neither a known name nor a file.
            PellucidError: if targets or options are given that do not go with it.

        Example:
            >>> AskedData.of("synmol", None, {"size": 400}).coordinates
            True
        """
        own = dict(options or {})
        named = isinstance(dataset, (str, Path)) and (str(dataset) in datasets or not _is_file(dataset))
        if named:
            if str(dataset) not in datasets and Path(dataset).suffix:
                raise PellucidError(f"expected a dataset's name or the file of a table, got {str(dataset)!r}, and no "
                                    "such file is there; check the path")
            datasets[str(dataset)]  # refuses an unknown name with the near misses
        if target is not None and (isinstance(dataset, PreparedDataset) or (named and str(dataset) != OF_TABLES)):
            raise PellucidError(f"expected a target (--target) with a table of your own alone, got {target!r}; leave "
                                "it out: the dataset has its own")
        if isinstance(dataset, PreparedDataset):
            if own:
                raise PellucidError(f"expected no options of a dataset that is prepared already, got {', '.join(own)}; "
                                    "leave them out")
            return AskedData(dataset.recipe.name, {}, dataset)
        if target is not None:
            own["targets"] = [target] if isinstance(target, str) else list(target)
        if named:
            return AskedData(str(dataset), own)
        return AskedData(OF_TABLES, {"source": dataset, **own})

    @property
    def coordinates(self) -> bool:
        """Whether its points will have coordinates."""
        return "pos" in self.prepared.clouds if self.prepared is not None else (
            datasets[self.name].has_coordinates(self.options))

    def prepare(self, progress: bool = False) -> PreparedDataset:
        """Makes the data, or opens those that are there.

        Args:
            progress: Whether to show a bar, and to say how a table was read.
        """
        if self.prepared is not None:
            return self.prepared
        prepared = datasets[self.name]().prepare(progress=progress, **self.options)
        for sentence in told(prepared.provenance):
            say(sentence, progress)
        return prepared


def told(provenance: Mapping[str, Any]) -> list[str]:
    """What a user should know of how a table was read: targets, remarks, and how many entries were left out and why.

    Args:
        provenance: Of prepared data; that of other datasets says nothing.
    """
    failed = list(provenance.get("failed", ())) if "labels" in provenance else []
    first = "; ".join(f"{one['id']}: {one['reason']}" for one in failed[:3])
    return [*(f"target {line}" for line in provenance.get("labels", ())), *provenance.get("notes", ()),
            *([f"{len(failed):,} left out ({first}{'; ...' if len(failed) > 3 else ''}); provenance.json has all"]
              if failed else [])]


def data_name(run: Path) -> str:
    """What people call the data that a run was trained on: the file of a user's own table, else the dataset.

    A rule that labels the samples is told first.

    Args:
        run: Its folder.
    """
    data = read_json(run / "provenance.json").get("data", {})
    if "labels" not in data:
        return str(read_json(run / "config.json").get("dataset", ""))
    planted = f"{data['rule']} in " if "rule" in data else ""
    return planted + Path(data["source"]).name


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def data_of(run: Path) -> PointClouds:
    """All splits of the dataset that a run was trained on.

    Args:
        run: Its folder.

    Raises:
        PellucidError: if the dataset is gone or is not the same any more.
    """
    provenance = read_json(run / "provenance.json")
    config, path = RunConfig.parse(read_json(run / "config.json")), Path(provenance["data"].get("path", ""))
    dataset = config.dataset
    if not path.is_file():
        raise PellucidError(f"expected the dataset of {run} in {path}, got nothing there; prepare {dataset} again and "
                            "pass it")
    clouds = grouped(PointClouds.load(path)[0], DataSpec.parse(provenance.get("spec")).domain, config)
    if data_digest(clouds) != provenance["data_digest"]:
        raise PellucidError(f"expected the data that {run} was trained on in {path}, got others; prepare {dataset} "
                            "again and pass it")
    return clouds


def grouped(clouds: PointClouds, domain: str, *configs: RunConfig) -> PointClouds:
    """Clouds with the fields of groups that the methods of runs share their noise over, where the domain can make them.

    Other clouds, and other fields, are left as they are: the method refuses what it lacks.

    Args:
        clouds: The clouds.
        domain: Name of theirs.
        *configs: Of the runs.
    """
    for field in dict.fromkeys(config.method.options.get("groups") for config in configs):
        if isinstance(field, str) and field not in clouds:
            clouds = domain_of(domain).grouped(clouds, field)
    return clouds
