"""Detectors as declared tables: cylinders and discs around the beam line, read from YAML."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pellucid.errors import PellucidError, UnknownNameError

SILICON_LOSS = 1.664e-3 * 21.82
"""GeV that a minimum-ionising particle loses on average in one radiation length of silicon: 1.664 MeV cm2/g times
21.82 g/cm2 (Particle Data Group, Atomic and Nuclear Properties of Materials)."""


class Surface(BaseModel):
    """One layer: a cylinder (``barrel``) or a ring (``disc``) around the z axis. Lengths in mm.

    Attributes:
        name: Unique in its detector.
        kind: ``"barrel"`` or ``"disc"``.
        r: Radius of a barrel.
        half_length: A barrel reaches from -half_length to half_length in z.
        z: Distance of a disc from the origin.
        r_min: Inner radius of a disc.
        r_max: Its outer radius.
        sides: A disc stands on ``"both"`` sides, or only where z is ``"positive"``.
        sensitive: Whether a crossing is measured.
        thickness: In radiation lengths, at normal incidence.
        energy_loss: Mean loss of a minimum-ionising particle at normal incidence, GeV; that of as many radiation
            lengths of silicon (:data:`SILICON_LOSS`) where left out.
        resolution: Standard deviation of the measured place along r-phi, and along z (barrel) or r (disc), mm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    kind: Literal["barrel", "disc"]
    r: float | None = Field(None, gt=0)
    half_length: float | None = Field(None, gt=0)
    z: float | None = Field(None, gt=0)
    r_min: float | None = Field(None, ge=0)
    r_max: float | None = Field(None, gt=0)
    sides: Literal["both", "positive"] = "both"
    sensitive: bool = True
    thickness: float = Field(0.0, ge=0)
    energy_loss: float | None = Field(None, ge=0)
    resolution: tuple[float, float] = (0.0, 0.0)

    @model_validator(mode="after")
    def _has_its_place(self) -> Surface:
        wanted = ("r", "half_length") if self.kind == "barrel" else ("z", "r_min", "r_max")
        given = [name for name in ("r", "half_length", "z", "r_min", "r_max") if getattr(self, name) is not None]
        if sorted(given) != sorted(wanted):
            raise ValueError(f"expected {', '.join(wanted)} for a {self.kind}, got {', '.join(given) or 'none'}")
        if self.kind == "disc" and (self.r_min or 0) >= (self.r_max or 0):
            raise ValueError(f"expected r_min < r_max, got {self.r_min} and {self.r_max}")
        if min(self.resolution) < 0:
            raise ValueError(f"expected a resolution of at least 0 mm, got {list(self.resolution)}")
        return self

    @property
    def loss(self) -> float:
        """GeV that a minimum-ionising particle loses at normal incidence."""
        return SILICON_LOSS * self.thickness if self.energy_loss is None else self.energy_loss


class Detector(BaseModel):
    """Surfaces around the beam line, in the order of their file; a hit names its surface by its place in it.

    Example:
        >>> generic = detector("generic")
        >>> len([s for s in generic.surfaces if s.kind == "barrel" and s.sensitive])
        10
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str = ""
    citation: str = ""
    surfaces: tuple[Surface, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Detector:
        names = [surface.name for surface in self.surfaces]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"expected a name for each surface, got {', '.join(twice)} more than once")
        return self

    def table(self) -> list[dict[str, Any]]:
        """One row a surface: what was declared for it, lengths in mm, ``loss`` in GeV."""
        return [{"place": i, **surface.model_dump(exclude_none=True, exclude={"energy_loss"}), "loss": surface.loss}
                for i, surface in enumerate(self.surfaces)]


def packaged() -> list[str]:
    """Names of the detectors that come with the package."""
    folder = files("pellucid.collisions") / "detectors"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def detector(source: str | Path | dict[str, Any]) -> Detector:
    """A packaged detector by name, a user's YAML file by path, or one already read.

    Args:
        source: E.g. ``"generic"``, ``"my_detector.yaml"`` or the dict that such a file holds.

    Raises:
        PellucidError: No such detector, or a mistake in it; the sentence names the surface.
    """
    if isinstance(source, dict):
        return _checked(source, "the detector")
    if str(source) in packaged():
        return _packaged(str(source))
    path = Path(source)
    if not path.suffix:
        raise UnknownNameError("detector", str(source), [*packaged(), "or a YAML file"])
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise PellucidError(f"expected a detector's YAML file, got {path}, which does not exist; check the "
                            "path") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise PellucidError(f"expected YAML in {path}, got {' '.join(str(error).split())}; correct it") from None
    return _checked(content, str(path))


@cache
def _packaged(name: str) -> Detector:
    content = yaml.safe_load((files("pellucid.collisions") / "detectors" / f"{name}.yaml").read_text())
    return _checked(content, name)


def _checked(content: Any, where: str) -> Detector:
    if not isinstance(content, dict):
        raise PellucidError(f"expected name and surfaces in {where}, got {type(content).__name__}; see the packaged "
                            "generic.yaml")
    try:
        return Detector.model_validate({k: v for k, v in content.items() if not k.startswith(".")})
    except ValidationError as error:
        first = error.errors()[0]
        place = list(first["loc"])
        surfaces = content.get("surfaces")
        if len(place) > 1 and isinstance(surfaces, list) and isinstance(place[1], int):
            entry = surfaces[place[1]]
            place[1] = repr(entry.get("name", place[1])) if isinstance(entry, dict) else str(place[1])
        words = first["msg"].removeprefix("Value error, ")
        raise PellucidError(f"expected a detector in {where}, got a mistake at {' '.join(map(str, place)) or 'the top'}"
                            f": {words}; correct that entry") from None
