"""Domains: what a kind of sample is read from, called, drawn as and written to."""

from pellucid.domains.base import Clouds, Domain, Given, Shown, domain_of, domains

__all__ = ["Clouds", "Domain", "Given", "Shown", "domain_of", "domains"]
