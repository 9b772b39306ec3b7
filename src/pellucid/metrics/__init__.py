"""Metrics: pure functions of tensors, registered by name; undefined values are NaN, never a guess."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.metrics.base import metric, metrics

lazy(__name__, {"base": ["metric", "metrics"]})

__all__ = ["metric", "metrics"]
