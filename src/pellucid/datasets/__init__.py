"""Dataset recipes: one file a dataset, from a raw source to point clouds on disk, with provenance."""

from pellucid.datasets.base import Dataset, PreparedDataset, datasets, describe, load_dataset

__all__ = ["Dataset", "PreparedDataset", "datasets", "describe", "load_dataset"]
