"""All registries by the name of their family."""

from __future__ import annotations

from typing import Any

from pellucid.registry import Registry


def families() -> dict[str, Registry[Any]]:
    """Family -> registry: what ``pellucid list`` shows.

    Example:
        >>> sorted(families())
        ['backbones', 'benchmarks', 'datasets', 'domains', 'explainers', 'methods', 'metrics', 'studies']
    """
    from pellucid.backbones import backbones
    from pellucid.benchmarks.margin import protocols
    from pellucid.datasets import datasets
    from pellucid.domains import domains
    from pellucid.explainers import explainers
    from pellucid.margin import studies
    from pellucid.methods import methods
    from pellucid.metrics import metrics

    return {"backbones": backbones, "methods": methods, "explainers": explainers, "datasets": datasets,
            "domains": domains, "metrics": metrics, "studies": studies, "benchmarks": protocols}
