"""Dataset recipes: one file a dataset, from a raw source to point clouds on disk, with provenance."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.datasets.base import Dataset, PreparedDataset, datasets, describe, load_dataset

lazy(__name__, {"base": ["Dataset", "PreparedDataset", "datasets", "describe", "load_dataset"]})

__all__ = ["Dataset", "PreparedDataset", "datasets", "describe", "load_dataset"]
