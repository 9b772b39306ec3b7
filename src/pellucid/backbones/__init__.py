"""Backbones: points with given neighbourhoods in, point embeddings out."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.backbones.base import Backbone, Embedding, backbones
    from pellucid.backbones.edges import Geometry, geometry

lazy(__name__, {"base": ["Backbone", "Embedding", "backbones"], "edges": ["Geometry", "geometry"]})

__all__ = ["Backbone", "Embedding", "Geometry", "backbones", "geometry"]
