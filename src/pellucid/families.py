"""All registries by the name of their family, without a line of what they hold: importing this costs nothing.

A family is one line here. What it holds registers itself, in modules of the family's package or in a user's own package
(entry points of the group ``pellucid.<family>``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pellucid.registry import Registry

if TYPE_CHECKING:
    from pellucid.backbones.base import Backbone
    from pellucid.benchmarks.margin.protocol import Protocol
    from pellucid.datasets.base import Dataset
    from pellucid.explainers.base import Explainer
    from pellucid.margin.base import Study
    from pellucid.methods.base import Method

backbones: Registry[type[Backbone]] = Registry("backbone", "pellucid.backbones", "backbones")
methods: Registry[type[Method]] = Registry("method", "pellucid.methods", "methods")
explainers: Registry[type[Explainer]] = Registry("explainer", "pellucid.explainers", "explainers")
datasets: Registry[type[Dataset]] = Registry("dataset", "pellucid.datasets", "datasets")
metrics: Registry[Callable[..., Any]] = Registry("metric", "pellucid.metrics", "metrics")
studies: Registry[type[Study]] = Registry("study", "pellucid.margin", "studies")
protocols: Registry[type[Protocol]] = Registry("benchmark", "pellucid.benchmarks.margin", "benchmarks")


def families() -> dict[str, Registry[Any]]:
    """Family -> registry: what ``pellucid list`` shows.

    Example:
        >>> sorted(families())
        ['backbones', 'benchmarks', 'datasets', 'explainers', 'methods', 'metrics', 'studies']
    """
    return {known.family: known for known in globals().values() if isinstance(known, Registry) and known.family}
