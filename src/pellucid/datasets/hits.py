"""Your own events: hits from CSV, parquet, ROOT or pickles, with a declared mapping of columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

import pellucid.collisions.fields  # noqa: F401 - declares what hits carry
from pellucid.clouds import PointClouds
from pellucid.collisions.columns import Columns, columns
from pellucid.collisions.tables import TRUTH, hit_files, read_hits
from pellucid.datasets.base import Dataset, datasets, whole_number
from pellucid.errors import PellucidError
from pellucid.files import sha256
from pellucid.targets import Target

SPLIT = (0.70, 0.15)
"""Shares of training and validation events; the rest is the test split."""


@datasets.register("hits")
class Hits(Dataset):
    """Events from the user's own files of hits; the label, and what is known of the truth, are columns.

    Options:
        source_dir: A file, or a folder of files (CSV, parquet, ROOT, pickle).
        columns: What their columns mean: ``"trackml"`` or a YAML file; see :mod:`pellucid.collisions.columns`.
        trust_pickle: Runs whatever a pickle holds; only for files whose source you trust as you would trust a program.
        seed: Of the split (70/15/15 at random by event), where no column has it.
        processes: Not used: files are read one after another.
        progress: Not used.
    """

    name = "hits"
    targets = (Target("signal"),)
    domain = "events"
    unit = "mm"
    precision_at = (12, 24)
    citation = "the user's own data"
    licence = "the user's own"
    defaults = {"source_dir": None, "columns": None, "trust_pickle": False, "seed": 0,  # noqa: RUF012
                "processes": None, "progress": False}

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """See :meth:`Dataset.check`."""
        for name, example in (("source_dir", "hits.csv"), ("columns", "columns.yaml")):
            if options[name] is None:
                raise PellucidError(f"expected the option {name}, got none; set e.g. {name}={example}")
        mapping = columns(options["columns"])
        if mapping.label is None:
            raise PellucidError("expected a column with the label to train on, got none in the mapping; say label: "
                                "followed by its name")
        files = hit_files(Path(options["source_dir"]))
        beside = [f.with_name(TRUTH.sub("-truth", f.name)) for f in files]
        sums = [sha256(f) for f in dict.fromkeys([*files, *beside]) if f.is_file()]
        return {"files": sums, "columns": mapping.model_dump(mode="json"),
                "trust_pickle": bool(options["trust_pickle"]), "seed": whole_number(options, "seed", 0, 2**31 - 1)}

    def build(self, options: dict[str, Any]) -> tuple[PointClouds, dict[str, Any]]:
        """See :meth:`Dataset.build`."""
        files = hit_files(Path(options["source_dir"]))
        clouds = read_hits(Path(options["source_dir"]), columns(options["columns"]), trust=options["trust_pickle"])
        if "split" not in clouds:
            order = np.random.default_rng([options["seed"], 3]).permutation(len(clouds))
            split = np.searchsorted(np.round(np.cumsum(SPLIT) * len(clouds)), order, side="right")
            clouds = clouds.replace(split=torch.from_numpy(split))
        missing = [name for i, name in enumerate(("training", "validation", "test"))
                   if not bool((clouds["split"] == i).any())]
        if missing:
            raise PellucidError(f"expected events for training, validation and test, got none for {missing[0]} among "
                                f"{len(clouds)}; give more events, or a column that says which is which")
        return clouds, {"source": "the user's files", "files": [f.name for f in files],
                        "counts": {"events": len(clouds), "hits": clouds.points,
                                   "positive": int((clouds["y"][:, 0] == 1).sum())}}


def read_events(path: Path, mapping: str | Path | dict[str, Any] | Columns) -> PointClouds:
    """Events to explain; a label is not needed.

    Args:
        path: A file or folder of hits.
        mapping: See :func:`pellucid.collisions.columns.columns`.

    Raises:
        PellucidError: as :func:`pellucid.collisions.tables.read_hits`.
    """
    return read_hits(Path(path), columns(mapping))
