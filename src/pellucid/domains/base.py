"""What every domain is: a kind of sample, from a user's file to clouds, and from an explanation to what people see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.families import domains as domains
from pellucid.report.content import Sample, Words


@dataclass(frozen=True)
class Given:
    """What a user's input became.

    Attributes:
        clouds: The samples.
        skipped: A sentence for each entry that could not be used.
        notes: Remarks for the report, e.g. of a file that was read in an unusual way.
        held: What :meth:`Domain.write` needs of the input besides.
    """

    clouds: PointClouds
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    held: Any = None


class Domain:
    """Base of the domains.

    A subclass says what it differs in; this one is of plain clouds.
    """

    words: ClassVar[Words] = Words("point", "sample")
    """What a report calls one point and one sample."""
    inputs: ClassVar[str] = "a PointClouds"
    """What a user may give, for messages."""

    def read(self, source: Any, *, options: Mapping[str, Any], seed: int = 0, progress: bool = False,
             **more: Any) -> Given:
        """A user's input as clouds.

        Args:
            source: A path, or what the domain takes in its place.
            options: How the run's dataset was prepared.
            seed: Of what is random, e.g. conformers.
            progress: Whether to show a bar.
            **more: Further parts of the input that were given, e.g. ``ligand``, ``columns``; None is left out.

        Raises:
            PellucidError: if the input is none of this domain.
        """
        raise PellucidError(f"expected {self.inputs} for this run, got something else; make one from your data, or "
                            "give a dataset that was prepared")

    def sample(self, explanation: Explanation, cloud: int) -> Sample | None:
        """What the report's browser shows of a sample; None where nothing can be drawn.

        Args:
            explanation: Of one output.
            cloud: Place of the sample.
        """
        raise NotImplementedError

    def grouped(self, clouds: PointClouds, field: str) -> PointClouds:
        """Clouds with a field of groups that this domain can make; as they are where it cannot."""
        return clouds

    def write(self, folder: Path, explanation: Explanation, held: Any) -> list[Path]:
        """Writes further files of an explanation, e.g. a structure with importance as its B-factors.

        Args:
            folder: Where to.
            explanation: Of one output.
            held: As in :class:`Given`.

        Returns:
            Their paths.
        """
        return []


def domain_of(name: str) -> Domain:
    """The domain of a name."""
    return domains[name]()


@domains.register("clouds")
class Clouds(Domain):
    """Plain point clouds: points in space without a domain of their own."""
