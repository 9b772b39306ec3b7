"""Settings of the papers and their published numbers, as YAML beside this file."""

from pellucid.benchmarks.settings import Published, presets, published, settings

__all__ = ["Published", "presets", "published", "settings"]
