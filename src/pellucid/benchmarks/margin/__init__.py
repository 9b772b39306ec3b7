"""The MARGIN paper's case studies as benchmarks, one file each, with today's strongest competitors beside ours."""

from pellucid.benchmarks.margin.protocol import Measured, Part, Protocol, Row, package, protocols

__all__ = ["Measured", "Part", "Protocol", "Row", "package", "protocols"]
