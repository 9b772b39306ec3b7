"""Which column of a file means what: a declared mapping, so that any experiment's hits can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pellucid.errors import PellucidError, UnknownNameError

MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0}


class Columns(BaseModel):
    """Names of columns; what is left out is not read.

    Attributes:
        event: Number of the event that a hit belongs to; left out where each file, or each entry of a jagged table,
            is an event.
        pos: Coordinates: x, y, z, or eta, phi.
        momentum: px, py, pz at the hit in GeV, for evaluation only.
        label: 0 or 1, the same for all hits of an event.
        important: 0 or 1: does this hit decide the label.
        track: The particle that left the hit; 0 and below mean none.
        layer: The surface; of several columns each combination is one.
        features: Numbers that the model sees besides the coordinates.
        split: 0 = training, 1 = validation, 2 = test, the same for all hits of an event.
        unit: Of lengths: mm, cm or m; coordinates are kept in mm. ``""`` for eta, phi.
        angle_unit: Of phi.
        tree: The tree of a ROOT file, where it has several.

    Example:
        >>> Columns(pos=("x", "y", "z"), label="is_signal", unit="cm").dim
        3
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: str | None = None
    pos: tuple[str, ...] = Field(min_length=2, max_length=3)
    momentum: tuple[str, str, str] | None = None
    label: str | None = None
    important: str | None = None
    track: str | None = None
    layer: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    split: str | None = None
    unit: Literal["mm", "cm", "m", ""] = "mm"
    angle_unit: Literal["radian", "degree"] = "radian"
    tree: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Columns:
        if (len(self.pos) == 2) != (self.unit == ""):
            raise ValueError(f"expected three coordinates with a unit or two (eta, phi) with unit '', got "
                             f"{len(self.pos)} with {self.unit!r}")
        return self

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.pos)

    def wanted(self) -> list[str]:
        """All columns that are read."""
        named = [self.event, self.label, self.important, self.track, self.split, *self.pos, *(self.momentum or ()),
                 *self.layer, *self.features]
        return list(dict.fromkeys(name for name in named if name is not None))


TRACKML = Columns(pos=("x", "y", "z"), momentum=("tpx", "tpy", "tpz"), track="particle_id",
                  layer=("volume_id", "layer_id"))
"""The TrackML challenge: eventNNNNNNNNN-hits.csv with eventNNNNNNNNN-truth.csv beside it; an event a file, mm."""
BUILT_IN = {"trackml": TRACKML}


def columns(source: str | Path | dict[str, Any] | Columns) -> Columns:
    """A mapping: a built-in one by name, a YAML file, or its content.

    Args:
        source: ``"trackml"``, a path, a dictionary, or a mapping.

    Raises:
        PellucidError: if it does not exist or has a mistake; the sentence names the entry.

    Example:
        >>> columns("trackml").track
        'particle_id'
    """
    if isinstance(source, Columns):
        return source
    where, content = "columns", source
    if not isinstance(source, dict):
        if str(source) in BUILT_IN:
            return BUILT_IN[str(source)]
        where = str(source)
        if not Path(source).suffix:
            raise UnknownNameError("mapping of columns", str(source), [*BUILT_IN, "or a YAML file"])
        try:
            content = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise PellucidError(f"expected a YAML file that names columns in {source}, got "
                                f"{' '.join(str(error).split())}; check the file") from None
    try:
        return Columns.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise PellucidError(f"expected a mapping of columns in {where}, got a mistake at "
                            f"{'.'.join(map(str, first['loc'])) or 'the top'}: "
                            f"{first['msg'].removeprefix('Value error, ')}; correct that entry") from None
