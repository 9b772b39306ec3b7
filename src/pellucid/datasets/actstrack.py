"""ActsTrack: does a collision hold a Z that decays to two muons? Pythia events through a generic tracker."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray

import pellucid.collisions.fields  # noqa: F401 - declares what hits carry
from pellucid.clouds import PointClouds
from pellucid.collisions.detector import Detector, detector
from pellucid.collisions.generator import MUON, Z_BOSON, Events, card, library
from pellucid.collisions.kinematics import Z_MASS, pairs_at_mass
from pellucid.collisions.propagate import Particles, propagate
from pellucid.cores import usable_cores
from pellucid.datasets.base import Dataset, datasets, real_number, whole_number
from pellucid.errors import PellucidError
from pellucid.progress import waiting
from pellucid.targets import Target

PAPER_SIZE, PAPER_POSITIVE = 3241, 0.39
"""Samples and share of positive ones in Table 1 of the paper."""
BEAM_SPREAD = 55.5
"""Standard deviation of collisions along the beam in mm, as in the example scripts of ACTS."""
WINDOW = 2.0
"""Distance in GeV from the Z mass within which the muon pair of a positive sample lies."""
BLOCK = 100
"""Samples that are propagated together, with one stream of random numbers."""
SPLIT = (0.70, 0.15)
"""Shares of training and validation samples; the rest is the test split."""


@datasets.register("actstrack")
class ActsTrack(Dataset):
    """Detector hits of ten tracks; positive where two of them are the muons of a Z, whose hits are the ground truth.

    Options:
        size: Number of samples; 3,241 as in the paper.
        full: Makes the paper's size whatever the default is.
        field: Magnetic field along z, tesla.
        tracks: Tracks a sample.
        val_tracks: The same for the validation split, where it differs (Table 5 of the paper); None as ``tracks``.
        test_tracks: The same for the test split.
        pileup: Soft inelastic collisions a sample.
        spread: Standard deviation of the collisions' place along the beam, mm; 55.5 is what the example scripts of
            ACTS have, with which the paper simulated. 0 puts all collisions at the origin.
        min_hits: Hits that a track has at least.
        min_pt: Transverse momentum that a track has at least, GeV.
        material: Whether particles scatter and lose energy in the detector.
        detector: Name of a packaged detector, or a YAML file.
        seed: Of events, material, measurement, selection and splits.
        processes: Worker processes (None: one for every usable core).
        progress: Show bars on stderr.

    Events come from Pythia 8 at 14 TeV: ``pileup`` soft collisions a sample, and a Z to two muons on top in positive
    ones (39 %, the paper's share). A positive sample has exactly one pair of muons of opposite charge with a mass
    within 2 GeV of 91.19, whose two leave ``min_hits`` hits each when they start at the origin; a negative sample has
    no such pair. All other tracks have ``min_hits`` hits and are drawn at random from those of the pile-up. The same
    seed uses the same events in every field.
    """

    name = "actstrack"
    targets = (Target("Z to two muons"),)
    domain = "events"
    unit = "mm"
    precision_at = (12, 24)
    citation = ("Miao et al., Interpretable Geometric Deep Learning via Learnable Randomness Injection, ICLR 2023; "
                "Bierlich et al., A comprehensive guide to the physics and usage of PYTHIA 8.3, SciPost Phys. "
                "Codebases 8 (2022)")
    licence = "made here; Pythia 8 is GPL-2.0-or-later, its events are free"
    as_published = {"field": (2.0,), "tracks": (10,), "val_tracks": (10,), "test_tracks": (10,),  # noqa: RUF012
                    "pileup": (10,), "spread": (BEAM_SPREAD,)}
    usual = (3_241, 96.0)
    defaults = {"size": None, "full": False, "field": 2.0, "tracks": 10, "val_tracks": None,  # noqa: RUF012
                "test_tracks": None, "pileup": 10, "spread": BEAM_SPREAD, "min_hits": 6, "min_pt": 0.5,
                "material": True, "detector": "generic", "seed": 0, "processes": None, "progress": False}

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """See :meth:`Dataset.check`."""
        if options["full"] and options["size"] is not None:
            raise PellucidError("expected size or full, got both; leave one out")
        if options["size"] is None:
            options["size"] = PAPER_SIZE
        if options["processes"] is not None:
            whole_number(options, "processes", 1, 1024)
        if options["field"] == 0:
            raise PellucidError("expected a magnetic field, got 0 T; without one tracks are straight and nothing tells "
                                "momenta apart: choose e.g. 2")
        plan = detector(options["detector"])
        for name in ("val_tracks", "test_tracks"):
            if options[name] is None:
                options[name] = options["tracks"]
        seed = whole_number(options, "seed", 0, 2**31 - 1)
        return {"size": whole_number(options, "size", 20, 1_000_000), "seed": seed,
                "field": real_number(options, "field", 0.01, 50),
                "tracks": whole_number(options, "tracks", 3, 500),
                "val_tracks": whole_number(options, "val_tracks", 3, 500),
                "test_tracks": whole_number(options, "test_tracks", 3, 500),
                "pileup": whole_number(options, "pileup", 1, 1000),
                "spread": real_number(options, "spread", 0, 1000),
                "min_hits": whole_number(options, "min_hits", 1, 100),
                "min_pt": real_number(options, "min_pt", 0.1, 100), "material": bool(options["material"]),
                "detector": plan.model_dump(mode="json"),
                "cards": [card(name).identity(seed) for name in ("soft_qcd", "z_to_mumu")]}

    def build(self, options: dict[str, Any]) -> tuple[PointClouds, dict[str, Any]]:
        """See :meth:`Dataset.build`."""
        size, seed = options["size"], options["seed"]
        processes = options["processes"] or usable_cores()
        rng = np.random.default_rng([seed, 0])
        positive = np.zeros(size, dtype=bool)
        positive[rng.permutation(size)[: round(PAPER_POSITIVE * size)]] = True
        split = np.searchsorted(np.round(np.cumsum(SPLIT) * size), rng.permutation(size), side="right")
        wanted = np.array([options["tracks"], options["val_tracks"], options["test_tracks"]])[split]

        with waiting("generating pile-up", options["progress"]) as advance:
            soft = library(card("soft_qcd"), size * options["pileup"], seed=seed, processes=processes, advance=advance)
        plan = _Plan(detector(options["detector"]), options["field"], options["min_hits"], options["min_pt"],
                     options["pileup"], options["spread"], options["material"], seed)
        signal, tried = _signal(plan, int(positive.sum()), processes, options["progress"])

        places = np.cumsum(positive) - 1
        blocks = [np.arange(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK)]
        with waiting("propagating tracks", options["progress"]) as advance:
            made = []
            work = Parallel(min(processes, len(blocks)), return_as="generator")(
                delayed(_block)(plan, number, wanted[block], *_of_block(soft, signal, block, positive, places, plan))
                for number, block in enumerate(blocks))
            for part in work:
                made.append(part)
                advance(len(made), len(blocks))
        hits = _Samples.cat(made)
        y = positive.astype(np.float32)
        clouds = PointClouds(
            torch.from_numpy(np.concatenate([[0], hits.sizes.cumsum()])),
            {"pos": torch.from_numpy(hits.position), "momentum": torch.from_numpy(hits.momentum),
             "important": torch.from_numpy(hits.important), "group": torch.from_numpy(hits.track),
             "layer": torch.from_numpy(hits.layer), "y": torch.from_numpy(y)[:, None],
             "split": torch.from_numpy(split)},
            text={"id": [f"event-{i}" for i in range(size)]}, units={"pos": "mm"})
        return clouds, {"source": "generated by Pythia 8, propagated by pellucid.collisions", "seed": seed,
                        "counts": {"samples": size, "positive": int(positive.sum()), "tracks": int(hits.tracks.sum()),
                                   "soft collisions": size * options["pileup"], "Z events tried": tried,
                                   "samples with fewer tracks than asked": int((hits.tracks < wanted).sum())}}


@dataclass(frozen=True)
class _Plan:
    """What decides how a sample is made of its collisions."""

    detector: Detector
    field: float
    min_hits: int
    min_pt: float
    pileup: int
    spread: float
    material: bool
    seed: int


@dataclass(frozen=True)
class _Samples:
    """Hits of samples, flat: one row a hit, one size and number of tracks a sample."""

    sizes: NDArray[np.int64]
    tracks: NDArray[np.int64]
    position: NDArray[np.float32]
    momentum: NDArray[np.float32]
    important: NDArray[np.bool_]
    track: NDArray[np.int64]
    layer: NDArray[np.int64]

    @staticmethod
    def cat(parts: list[_Samples]) -> _Samples:
        return _Samples(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(_Samples)))


def _of_block(soft: Events, signal: Events, block: NDArray[np.int64], positive: NDArray[np.bool_],
              places: NDArray[np.int64], plan: _Plan) -> tuple[Events, Events, NDArray[np.bool_]]:
    """The soft collisions of a block's samples, its signal events, and which samples have one."""
    first, last = block[0] * plan.pileup, (block[-1] + 1) * plan.pileup
    of_signal = places[block[positive[block]]]
    return soft.some(np.arange(first, last)), signal.some(of_signal), positive[block]


def _signal(plan: _Plan, count: int, processes: int, progress: bool) -> tuple[Events, int]:
    """The first ``count`` Z events with a measured pair of muons, and how many events were looked at."""
    wanted = card("z_to_mumu")
    tried = wanted.block * -(-2 * count // wanted.block)
    while True:
        with waiting("generating Z events", progress) as advance:
            events = library(wanted, tried, seed=plan.seed, processes=processes, advance=advance)
        good = np.flatnonzero(_measured(plan, events))
        if len(good) >= count:
            return events.some(good[:count]), int(good[count - 1]) + 1 if count else 0
        if tried >= 50 * max(count, wanted.block):
            raise PellucidError(f"expected muons of the Z with {plan.min_hits} hits at {plan.field} T, got them in "
                                f"{len(good)} of {tried} events; ask for fewer hits")
        tried *= 2


def _measured(plan: _Plan, events: Events) -> NDArray[np.bool_]:
    """(events,) whether exactly one pair of muons of opposite charge has the mass of a Z, and both leave hits."""
    rows = np.flatnonzero(np.abs(events.pdg) == MUON)
    owner = events.event[rows]
    pairs = pairs_at_mass(owner, events.charge[rows], events.momentum[rows], events.mass[rows], Z_MASS, WINDOW)
    rng = np.random.default_rng([plan.seed, 1])
    made = propagate(_particles(events, rows), plan.detector, plan.field, rng=rng, min_pt=plan.min_pt,
                     material=plan.material, resolution=False).hits
    enough = (np.bincount(made.particle, minlength=len(rows)) >= plan.min_hits) & (events.origin[rows] == Z_BOSON)
    fine = np.zeros(len(events), dtype=bool)
    fine[owner[pairs[enough[pairs].all(1), 0]]] = True
    alone: NDArray[np.bool_] = np.bincount(owner[pairs[:, 0]], minlength=len(events)) == 1
    return fine & alone


def _second_pair(events: Events, candidates: NDArray[np.int64], of_z: NDArray[np.bool_], sample: NDArray[np.int64]
                 ) -> NDArray[np.bool_]:
    """(candidates,) muons of the pile-up that would make another pair with the mass of a Z in their sample."""
    muons = np.flatnonzero(np.abs(events.pdg[candidates]) == MUON)
    rows = candidates[muons]
    pairs = pairs_at_mass(sample[rows], events.charge[rows], events.momentum[rows], events.mass[rows], Z_MASS, WINDOW)
    second = np.zeros(len(candidates), dtype=bool)
    second[muons[pairs[~of_z[rows[pairs]].all(1)].ravel()]] = True
    return second & ~of_z[candidates]


def _particles(events: Events, rows: NDArray[np.int64], shift: NDArray[np.float64] | None = None) -> Particles:
    position = events.vertex[rows]
    if shift is not None:
        position = position + np.stack([np.zeros_like(shift), np.zeros_like(shift), shift], 1)
    return Particles(position, events.momentum[rows], events.charge[rows], events.mass[rows])


def _block(plan: _Plan, number: int, wanted: NDArray[np.int64], soft: Events, signal: Events,
           positive: NDArray[np.bool_]) -> _Samples:
    """Propagates the collisions of some samples and keeps the tracks that are asked for."""
    rng = np.random.default_rng([plan.seed, 2, number])
    both = Events.cat([soft, signal])
    sample = np.concatenate([np.arange(len(soft)) // plan.pileup, np.flatnonzero(positive)])  # of each collision
    z = rng.normal(0, plan.spread, len(both)) if plan.spread else np.zeros(len(both))
    event = both.event
    made = propagate(_particles(both, np.arange(len(both.pdg)), z[event]), plan.detector, plan.field, rng=rng,
                     min_pt=plan.min_pt, material=plan.material).hits
    hits = np.bincount(made.particle, minlength=len(both.pdg))
    of_z = (event >= len(soft)) & (np.abs(both.pdg) == MUON) & (both.origin == Z_BOSON)
    candidates = np.flatnonzero((hits >= plan.min_hits) | (of_z & (hits > 0)))
    candidates = candidates[~_second_pair(both, candidates, of_z, sample[event])]

    # In each sample the muons of the Z first, then tracks in random order: the first `wanted` are kept.
    order = np.where(of_z[candidates], -1.0, rng.random(len(candidates)))
    owner = sample[event[candidates]]
    arranged = np.lexsort((order, owner))
    place = np.arange(len(arranged)) - np.searchsorted(owner[arranged], owner[arranged])
    kept = arranged[place < wanted[owner[arranged]]]
    kept = kept[rng.permutation(len(kept))]  # so that track 0 is no muon more often than others
    kept = kept[np.argsort(owner[kept], kind="stable")]
    tracks = np.bincount(owner[kept], minlength=len(wanted))
    track = np.full(len(both.pdg), -1)
    track[candidates[kept]] = np.arange(len(kept)) - np.searchsorted(owner[kept], owner[kept])
    chosen = np.flatnonzero(track[made.particle] >= 0)
    particle = made.particle[chosen]
    # Hits in random order within a sample: the order must not tell tracks apart.
    shuffled = np.lexsort((rng.random(len(chosen)), sample[event[particle]]))
    chosen, particle = chosen[shuffled], particle[shuffled]
    return _Samples(np.bincount(sample[event[particle]], minlength=len(wanted)), tracks,
                    made.position[chosen].astype(np.float32), made.momentum[chosen].astype(np.float32),
                    of_z[particle], track[particle].astype(np.int64), made.surface[chosen].astype(np.int64))
