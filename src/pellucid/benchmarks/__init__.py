"""Settings of the papers, their experiments and published numbers (YAML beside this file), and tables of results."""

from pellucid.benchmarks.experiments import Experiment, Published, experiment, experiments
from pellucid.benchmarks.settings import presets, published, settings

__all__ = ["Experiment", "Published", "experiment", "experiments", "presets", "published", "settings"]
