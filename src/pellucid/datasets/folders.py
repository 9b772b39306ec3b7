"""Recipes of the user's own files: a folder, and a table in it with a column for each target."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.clouds import PointClouds, offsets
from pellucid.datasets.base import Dataset, folder_of, whole_number
from pellucid.datasets.labels import Labels, read_labels
from pellucid.datasets.target_options import TargetOptions
from pellucid.errors import PellucidError
from pellucid.files import sha256


class LabelledFolder(Dataset):
    """Base of recipes of a folder of files and a CSV of labels; a subclass says how one file is read.

    Several rows about one file are its samples, in order. The targets, their kinds and units follow from the table; see
    :func:`pellucid.datasets.labels.read_labels`. A table without targets makes clouds without ``y``, for a pretraining.
    """

    targets = ()
    version = 2
    from_folder = True
    citation, licence = "the user's own data", "the user's own"
    defaults = {"source_dir": None, "labels": "labels.csv", "kinds": "", "units": "",  # noqa: RUF012
                "floors": "", "ceilings": "", "seed": 0}

    @abstractmethod
    def read(self, path: Path) -> list[dict[str, Tensor]]:
        """The samples of a file, one or more: the point-level fields of each.

        Raises:
            PellucidError: if it is damaged, or something else.
        """

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """See :meth:`Dataset.check`."""
        folder, labels = folder_of(options), self._labels(options)
        for name in (files := list(dict.fromkeys(labels.keys))):
            if not (folder / name).is_file():
                raise PellucidError(f"expected the file {name} of {options['labels']} in {folder}, got nothing there")
        return {"files": [sha256(folder / name) for name in (options["labels"], *files)],
                **TargetOptions.of(options).document(), "seed": whole_number(options, "seed", 0, 2**31 - 1)}

    def build(self, options: dict[str, Any]) -> tuple[PointClouds, dict[str, Any]]:
        """See :meth:`Dataset.build`."""
        folder, labels = folder_of(options), self._labels(options)
        rows, found = Counter(labels.keys), dict[str, list[dict[str, Tensor]]]()
        samples = []
        for name in labels.keys:
            if name not in found:
                found[name] = self.read(folder / name)
                if len(found[name]) != rows[name]:
                    raise PellucidError(f"expected as many rows as samples about {name} in {options['labels']}, got "
                                        f"{rows[name]} rows and {len(found[name])} samples; give each a row, in order")
            samples.append(found[name].pop(0))
        clouds = self._clouds(samples, labels.unique_keys(), labels.fields(options["seed"]))
        return clouds, {"source": "the user's files", "targets": labels.columns.targets.document(),
                        "notes": labels.columns.notes}

    def opened(self, path: Path) -> PointClouds:
        """See :meth:`Dataset.opened`."""
        samples = self.read(path)
        if not samples:
            raise PellucidError(f"expected at least one sample in {path}, got none")
        names = [path.name] if len(samples) == 1 else [f"{path.name}:{i}" for i in range(len(samples))]
        return self._clouds(samples, names, {})

    def _clouds(self, samples: list[dict[str, Tensor]], names: list[str], more: dict[str, Tensor]) -> PointClouds:
        sizes = torch.tensor([len(next(iter(sample.values()))) for sample in samples])
        fields = {field: torch.cat([sample[field] for sample in samples]) for field in samples[0]}
        return PointClouds(offsets(sizes), fields | more, text={"id": names}, units={"pos": self.unit})

    def _labels(self, options: dict[str, Any]) -> Labels:
        return read_labels(folder_of(options) / options["labels"], "file", TargetOptions.of(options))
