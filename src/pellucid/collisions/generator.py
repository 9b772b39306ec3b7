"""Events from Pythia 8: cards that say what is generated, and a library of blocks on disk that datasets share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from joblib import Parallel, delayed
from numpy.typing import NDArray

from pellucid.errors import MissingPackageError, PellucidError, UnknownNameError
from pellucid.files import digest, home, read_tensors, write_tensors

INSTALL = "pip install 'pellucid[collisions]'"
COMMON = ("Beams:eCM = 14000.", "ParticleDecays:limitTau0 = on", "ParticleDecays:tau0Max = 10.", "Print:quiet = on",
          "Random:setSeed = on")
"""Of every card: 14 TeV, and particles that live longer than 10 mm/c are left to the detector."""
MUON, TAU, Z_BOSON = 13, 15, 23


@dataclass(frozen=True)
class Card:
    """What Pythia is asked for, and what of an event is kept.

    Attributes:
        name: Of its YAML file.
        about: One line.
        settings: Lines as Pythia reads them, after :data:`COMMON`.
        keep: ``"charged"`` final particles, ``"muons"``, or ``"three_muons"`` (the muons of taus that have three).
        min_pt: Transverse momentum that a kept particle has at least, GeV.
        max_eta: Its largest absolute pseudorapidity.
        block: Events that are generated with one seed.
    """

    name: str
    about: str
    settings: tuple[str, ...]
    keep: Literal["charged", "muons", "three_muons"]
    min_pt: float
    max_eta: float
    block: int

    def identity(self, seed: int) -> dict[str, Any]:
        """What decides the events, JSON-able: the card, the seed and the generator's version."""
        return {**asdict(self), "settings": [*COMMON, *self.settings], "about": "", "seed": seed,
                "pythia": pythia_version()}


@dataclass(frozen=True)
class Events:
    """Particles of many collisions, flat, one row a particle.

    Attributes:
        ptr: (events + 1,) int64 offsets.
        pdg: (particles,) int32 identity in the numbering of the Particle Data Group.
        charge: (particles,) int32 in units of the proton's.
        mass: (particles,) GeV.
        momentum: (particles, 3) GeV.
        vertex: (particles, 3) where it was produced, mm.
        origin: (particles,) int32 identity of what a muon comes from; 0 for other particles.
    """

    ptr: NDArray[np.int64]
    pdg: NDArray[np.int32]
    charge: NDArray[np.int32]
    mass: NDArray[np.float64]
    momentum: NDArray[np.float64]
    vertex: NDArray[np.float64]
    origin: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ptr) - 1

    @property
    def event(self) -> NDArray[np.int64]:
        """(particles,) the event that each particle belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.ptr))

    def some(self, events: NDArray[np.int64]) -> Events:
        """The events at the given places, in that order."""
        sizes = np.diff(self.ptr)[events]
        ends = sizes.cumsum()
        rows = np.arange(sizes.sum()) + np.repeat(self.ptr[events] - (ends - sizes), sizes)
        rest = {f.name: getattr(self, f.name)[rows] for f in fields(Events)[1:]}
        return Events(np.concatenate([[0], ends]).astype(np.int64), **rest)

    def kept(self, keep: NDArray[np.bool_]) -> Events:
        """The same events with some of their particles: ``keep`` is (particles,) bool."""
        sizes = np.bincount(self.event[keep], minlength=len(self))
        rest = {f.name: getattr(self, f.name)[keep] for f in fields(Events)[1:]}
        return Events(np.concatenate([[0], sizes.cumsum()]).astype(np.int64), **rest)

    @staticmethod
    def cat(parts: Iterable[Events]) -> Events:
        """Events of several blocks one after the other."""
        parts = list(parts)
        sizes = np.concatenate([np.diff(part.ptr) for part in parts])
        rest = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Events)[1:]}
        return Events(np.concatenate([[0], sizes.cumsum()]).astype(np.int64), **rest)


def pythia_version() -> str:
    """Version of the installed generator.

    Raises:
        MissingPackageError: if it is not installed; the message has the command.
    """
    try:
        return metadata.version("pythia8mc")
    except metadata.PackageNotFoundError:
        raise MissingPackageError(f"expected the event generator pythia8mc, got none; {INSTALL} (it has wheels for "
                                  "CPython 3.11 to 3.13 on Linux and macOS; on another Python make one of these)"
                                  ) from None


@cache
def card(name: str) -> Card:
    """A card by name.

    Raises:
        UnknownNameError: for an unknown name.

    Example:
        >>> card("soft_qcd").settings
        ('SoftQCD:inelastic = on',)
    """
    folder = files("pellucid.collisions") / "cards"
    known = sorted(place.name.removesuffix(".yaml") for place in folder.iterdir() if place.name.endswith(".yaml"))
    if name not in known:
        raise UnknownNameError("card", name, known)
    content = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    return Card(**{**content, "name": name, "settings": tuple(content["settings"])})


def generate(wanted: Card, count: int, seed: int) -> Events:
    """Generates events with one seed.

    Args:
        wanted: The card.
        count: Number of events.
        seed: From 1 to 900,000,000, as Pythia takes them.

    Raises:
        MissingPackageError: without the generator.
        PellucidError: if Pythia refuses the card, or the seed is out of range (Pythia takes 0 for the time of day).
    """
    if not 1 <= seed <= 900_000_000:
        raise PellucidError(f"expected a seed from 1 to 900,000,000, got {seed}")
    pythia_version()
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    for line in (*COMMON, f"Random:seed = {seed}", *wanted.settings):
        if not pythia.readString(line):
            raise PellucidError(f"expected a setting that Pythia knows in card {wanted.name}, got {line!r}; mend it")
    if not pythia.init():
        raise PellucidError(f"expected a card that Pythia can run, got {wanted.name}, which it refuses; mend it")
    kept, sizes = [], []
    for _ in range(count):
        while not pythia.next():  # Pythia gives up on a few events in a million
            pass
        rows = _CHOOSE[wanted.keep](pythia.event)
        rows = [row for row in rows if row[3] ** 2 + row[4] ** 2 >= wanted.min_pt**2]
        kept += rows
        sizes.append(len(rows))
    table = np.array(kept, dtype=np.float64).reshape(-1, 10)
    ptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    events = Events(ptr, table[:, 0].astype(np.int32), np.rint(table[:, 1]).astype(np.int32), table[:, 2],
                    table[:, 3:6], table[:, 6:9], table[:, 9].astype(np.int32))
    momentum = events.momentum
    central = np.abs(momentum[:, 2]) < np.hypot(momentum[:, 0], momentum[:, 1]) * np.sinh(wanted.max_eta)
    return events.kept(central)


ParticleRow = tuple[float, ...]


def _row(particle: Any, origin: int) -> ParticleRow:
    return (particle.id(), particle.charge(), particle.m(), particle.px(), particle.py(), particle.pz(),
            particle.xProd(), particle.yProd(), particle.zProd(), origin)


def _origin(event: Any, particle: Any) -> int:
    """Identity of what a particle comes from, its own copies (after radiation) passed over."""
    mother = event[event[particle.iTopCopyId()].mother1()]
    return int(mother.id())


def _charged(event: Any) -> list[ParticleRow]:
    return [_row(p, _origin(event, p) if p.idAbs() == MUON else 0) for p in event if p.isFinal() and p.isCharged()]


def _muons(event: Any) -> list[ParticleRow]:
    return [_row(p, _origin(event, p)) for p in event if p.idAbs() == MUON and p.isFinal()]


def _three_muons(event: Any) -> list[ParticleRow]:
    """The muons of the first tau that has three, which stand together; none if there is no such tau."""
    for tau in event:
        if tau.idAbs() == TAU:
            daughters = [event[i] for i in range(tau.daughter1(), tau.daughter2() + 1)]
            if len(daughters) == 3 and all(d.idAbs() == MUON for d in daughters):
                return [_row(event[d.iBotCopyId()], tau.id()) for d in daughters]
    return []


_CHOOSE: dict[str, Callable[[Any], list[ParticleRow]]] = {
    "charged": _charged, "muons": _muons, "three_muons": _three_muons}


def library(wanted: Card, count: int, *, seed: int = 0, processes: int = 1,
            advance: Callable[[float, float], None] | None = None) -> Events:
    """The first events of a card and seed; what is not on disk yet is generated, block by block, in parallel.

    Block ``i`` has a seed of its own, so that the events do not depend on the number of processes, nor on how many are
    asked for; a finished block is on disk, so that an interrupted generation goes on where it stopped.

    Args:
        wanted: The card.
        count: Number of events.
        seed: Of the whole library.
        processes: Worker processes.
        advance: Called with the blocks done and the blocks in all.

    Raises:
        MissingPackageError: without the generator, also where all blocks are on disk: its version names them.
    """
    folder = home() / "collisions" / f"{wanted.name}-{digest(wanted.identity(seed))}"
    blocks = -(-count // wanted.block)
    paths = [folder / f"{i:05d}.safetensors" for i in range(blocks)]
    missing = [i for i in range(blocks) if not paths[i].is_file()]
    # loky workers: they do not import the caller's script, and each has one thread
    work = Parallel(min(processes, max(len(missing), 1)), return_as="generator_unordered")(
        delayed(_block)(wanted, seed, i, paths[i]) for i in missing)
    for done, _ in enumerate(work, blocks - len(missing) + 1):
        if advance is not None:
            advance(done, blocks)
    return Events.cat(_read(path) for path in paths).some(np.arange(count))


def _block(wanted: Card, seed: int, number: int, path: Path) -> None:
    drawn = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0]
    events = generate(wanted, wanted.block, 1 + int(drawn % 900_000_000))
    write_tensors(path, {f.name: torch.from_numpy(getattr(events, f.name)) for f in fields(Events)})


def _read(path: Path) -> Events:
    tensors, _ = read_tensors(path)
    return Events(**{name: tensor.numpy() for name, tensor in tensors.items()})
