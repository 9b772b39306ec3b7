"""Domains: what a kind of sample is read from, called, drawn as and written to."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.domains.base import Clouds, Domain, domain_of, domains
    from pellucid.domains.given import Given
    from pellucid.domains.shown import Shown

lazy(__name__, {"base": ["Clouds", "Domain", "domain_of", "domains"], "given": ["Given"], "shown": ["Shown"]})

__all__ = ["Clouds", "Domain", "Given", "Shown", "domain_of", "domains"]
