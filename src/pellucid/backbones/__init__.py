"""Backbones: points with given neighbourhoods in, point embeddings out."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.backbones.base import Backbone, Geometry, backbones, geometry

lazy(__name__, {"base": ["Backbone", "Geometry", "backbones", "geometry"]})

__all__ = ["Backbone", "Geometry", "backbones", "geometry"]
