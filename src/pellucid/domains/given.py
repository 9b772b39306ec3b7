"""What a user's input became: clouds, and what is told of each entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pellucid.clouds import PointClouds

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Given:
    """What a user's input became.

    Attributes:
        clouds: The samples.
        skipped: A sentence for each entry that could not be used.
        notes: Remarks for the report, e.g. of a file that was read in an unusual way.
        held: What :meth:`Domain.write` needs of the input besides.
        rows: For each entry of the input, in its order, whether it could be used or not: its ``id``, and the columns
            that go with it, as text. Empty where the domain tells nothing: then each cloud is an entry.
        places: The entry of each cloud, ascending, several clouds to one where it has several shapes; empty: cloud i is
            entry i.
        reasons: Entry -> why it has no cloud.
        types: Of those columns of ``rows`` that were no texts, e.g. numbers of a frame: their types.
    """

    clouds: PointClouds
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    held: Any = None
    rows: list[dict[str, str]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)
    types: Mapping[str, pa.DataType] = field(default_factory=dict)

    def entries(self, first: int = 0) -> tuple[list[dict[str, str]], list[int]]:
        """:attr:`rows` and :attr:`places`, filled in where they are empty.

        Args:
            first: Number of the first entry, which stands for the id of clouds that have none.

        Example:
            >>> import torch
            >>> Given(PointClouds(torch.tensor([0, 1, 3]), {"pos": torch.zeros(3, 2)})).entries(7)
            ([{'id': '7'}, {'id': '8'}], [0, 1])
        """
        count = len(self.clouds)
        names = self.clouds.text.get("id", [str(first + i) for i in range(count)])
        return self.rows or [{"id": name} for name in names], self.places or list(range(count))
