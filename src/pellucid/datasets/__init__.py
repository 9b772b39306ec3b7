"""Dataset recipes: one file a dataset, from a raw source to point clouds on disk, with provenance."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.datasets.base import (
        AnnouncedDataset,
        Dataset,
        PreparedDataset,
        announce_dataset,
        datasets,
        describe,
        load_dataset,
    )
    from pellucid.datasets.molecules import load_molecules

lazy(__name__, {"base": ["AnnouncedDataset", "Dataset", "PreparedDataset", "announce_dataset", "datasets", "describe",
                         "load_dataset"],
                "molecules": ["load_molecules"]})

__all__ = ["AnnouncedDataset", "Dataset", "PreparedDataset", "announce_dataset", "datasets", "describe", "load_dataset",
           "load_molecules"]
