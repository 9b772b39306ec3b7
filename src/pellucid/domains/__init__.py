"""Domains: what a kind of sample is read from, called, drawn as and written to."""

from pellucid.domains.base import Domain, Given, domains

__all__ = ["Domain", "Given", "domains"]
