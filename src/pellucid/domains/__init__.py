"""Domains: what a kind of sample is read from, called, drawn as and written to."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.domains.base import Clouds, Domain, Given, Shown, domain_of, domains

lazy(__name__, {"base": ["Clouds", "Domain", "Given", "Shown", "domain_of", "domains"]})

__all__ = ["Clouds", "Domain", "Given", "Shown", "domain_of", "domains"]
