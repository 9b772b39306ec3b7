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
    from pellucid.domains.base import Domain
    from pellucid.explainers.base import Explainer
    from pellucid.margin.base import Study
    from pellucid.methods.base import Method
    from pellucid.training.objectives.base import Objective
    from pellucid.views import Frame, View

backbones: Registry[type[Backbone]] = Registry("backbone", "pellucid.backbones", "backbones")
methods: Registry[type[Method]] = Registry("method", "pellucid.methods", "methods")
explainers: Registry[type[Explainer]] = Registry("explainer", "pellucid.explainers", "explainers")
datasets: Registry[type[Dataset]] = Registry("dataset", "pellucid.datasets", "datasets")
objectives: Registry[type[Objective]] = Registry("objective", "pellucid.training.objectives", "objectives")
domains: Registry[type[Domain]] = Registry("domain", "pellucid.domains", "domains")
views: Registry[type[View]] = Registry("view", "pellucid.domains", "views")
frames: Registry[type[Frame]] = Registry("frame", "pellucid.domains", "frames")
metrics: Registry[Callable[..., Any]] = Registry("metric", "pellucid.metrics", "metrics")
studies: Registry[type[Study]] = Registry("study", "pellucid.margin", "studies")
protocols: Registry[type[Protocol]] = Registry("benchmark", "pellucid.benchmarks.margin", "benchmarks")


def families() -> dict[str, Registry[Any]]:
    """Family -> registry: what ``pellucid list`` shows.

    Example:
        >>> {"backbones", "methods", "domains", "objectives"} <= set(families())
        True
    """
    return {known.family: known for known in globals().values() if isinstance(known, Registry) and known.family}
