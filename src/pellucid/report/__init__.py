"""The report: one self-contained HTML page with metrics, curves and a browser of explained samples."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.report.colours import COLOUR_MAP, colour
    from pellucid.report.content import PublishedCell, ReportContent, Sample
    from pellucid.report.depiction import depict, depict_truth
    from pellucid.report.page import write_report

lazy(__name__, {
    "colours": ["COLOUR_MAP", "colour"],
    "content": ["PublishedCell", "ReportContent", "Sample"],
    "depiction": ["depict", "depict_truth"],
    "page": ["write_report"],
})

__all__ = ["COLOUR_MAP", "PublishedCell", "ReportContent", "Sample", "colour", "depict", "depict_truth", "write_report"]
