"""The data of a finished run, found again, with the groups that its method wants."""

from __future__ import annotations

from pathlib import Path

from pellucid.clouds import PointClouds
from pellucid.domains.base import domain_of
from pellucid.errors import PellucidError
from pellucid.files import read_json
from pellucid.spec import DataSpec
from pellucid.training.config import RunConfig
from pellucid.training.data import data_digest


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
