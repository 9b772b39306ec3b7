"""All registries by the name of their family, without a line of what they hold: importing this costs nothing.

A family is one line here. What it holds registers itself, in modules of the family's package or in a user's own package
(entry points of the group ``pellucid.<family>``). The module of the family's base has the registry too, with its type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pellucid.registry import Registry

backbones: Registry[type[Any]] = Registry("backbone", "pellucid.backbones", "backbones")
methods: Registry[type[Any]] = Registry("method", "pellucid.methods", "methods")
explainers: Registry[type[Any]] = Registry("explainer", "pellucid.explainers", "explainers")
datasets: Registry[type[Any]] = Registry("dataset", "pellucid.datasets", "datasets")
objectives: Registry[type[Any]] = Registry("objective", "pellucid.training.objectives", "objectives")
domains: Registry[type[Any]] = Registry("domain", "pellucid.domains", "domains")
views: Registry[type[Any]] = Registry("view", "pellucid.domains", "views")
frames: Registry[type[Any]] = Registry("frame", "pellucid.domains", "frames")
metrics: Registry[Callable[..., Any]] = Registry("metric", "pellucid.metrics", "metrics")
studies: Registry[type[Any]] = Registry("study", "pellucid.margin", "studies")
protocols: Registry[type[Any]] = Registry("benchmark", "pellucid.benchmarks.margin", "benchmarks")


def families() -> dict[str, Registry[Any]]:
    """Family -> registry: what ``pellucid list`` shows.

    Example:
        >>> {"backbones", "methods", "domains", "objectives"} <= set(families())
        True
    """
    return {known.family: known for known in globals().values() if isinstance(known, Registry) and known.family}
