"""The MARGIN paper's case studies as benchmarks, one file each, with today's strongest competitors beside ours."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.benchmarks.margin.protocol import Measured, Measurement, Part, Protocol, package, protocols

lazy(__name__, {"protocol": ["Measured", "Part", "Protocol", "Measurement", "package", "protocols"]})

__all__ = ["Measured", "Measurement", "Part", "Protocol", "package", "protocols"]
