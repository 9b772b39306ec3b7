"""Metrics: pure functions of tensors, registered by name; undefined values are NaN, never a guess."""

from pellucid.metrics.base import metric, metrics

__all__ = ["metric", "metrics"]
