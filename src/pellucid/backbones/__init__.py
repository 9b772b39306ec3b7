"""Backbones: points with given neighbourhoods in, point embeddings out."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.backbones.base import Backbone, Embedding, Geometry, backbones, geometry

lazy(__name__, {"base": ["Backbone", "Embedding", "Geometry", "backbones", "geometry"]})

__all__ = ["Backbone", "Embedding", "Geometry", "backbones", "geometry"]
