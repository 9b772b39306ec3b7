"""The data of a finished run, found again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.files import read_json
from pellucid.training.config import RunConfig


def data_digest(clouds: PointClouds) -> str:
    """Short hash of the data that a run sees."""
    content = hashlib.sha256()
    for name in sorted(clouds.names):
        content.update(name.encode() + clouds[name].cpu().contiguous().view(-1).numpy().tobytes())
    if clouds.partner is not None:
        content.update(data_digest(clouds.partner).encode())
    return content.hexdigest()[:16]


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
    clouds = grouped(PointClouds.load(path)[0], config)
    if data_digest(clouds) != provenance["data_digest"]:
        raise PellucidError(f"expected the data that {run} was trained on in {path}, got others; prepare {dataset} "
                            "again and pass it")
    return clouds


def grouped(clouds: PointClouds, *configs: RunConfig) -> PointClouds:
    """Molecules with their functional groups, where the method of one of the runs shares its noise over them.

    Other clouds, and other fields of groups, are left as they are: the method refuses what it lacks.
    """
    if not any("groups" in config.method.options for config in configs):
        return clouds
    from pellucid.chemistry.groups import FIELD, with_groups

    wanted = any(config.method.options.get("groups") == FIELD for config in configs)
    return with_groups(clouds) if wanted and FIELD not in clouds and "smiles" in clouds.text else clouds
