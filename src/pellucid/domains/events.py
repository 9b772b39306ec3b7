"""Collision events."""

from pellucid.collisions import fields, views

__all__ = ["fields", "views"]
