"""Backbones: points with given neighbourhoods in, point embeddings out."""

from pellucid.backbones.base import Backbone, Embedding, Geometry, backbones, geometry

__all__ = ["Backbone", "Embedding", "Geometry", "backbones", "geometry"]
