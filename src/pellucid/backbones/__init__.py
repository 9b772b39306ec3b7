"""Backbones: points with given neighbourhoods in, point embeddings out."""

from pellucid.backbones.base import Backbone, Geometry, backbones, geometry

__all__ = ["Backbone", "Geometry", "backbones", "geometry"]
