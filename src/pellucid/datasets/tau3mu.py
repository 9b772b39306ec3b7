"""Tau3Mu: does a bunch crossing hold a tau that decays to three muons? Segments of the first end-cap station."""

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
from pellucid.collisions.endcap import MUON_MASS, TAU_MASS, Taus, noise, segments, three_body, turned
from pellucid.collisions.generator import MUON, Events, card, library
from pellucid.collisions.propagate import Particles, propagate
from pellucid.cores import usable_cores
from pellucid.datasets.base import Dataset, datasets, real_number, whole_number
from pellucid.errors import PellucidError
from pellucid.progress import waiting
from pellucid.targets import Target

PAPER_SIZE, PAPER_POSITIVE = 129_687, 0.24
"""Samples and share of positive ones in Table 1 of the paper."""
LEAST = 3
"""Hits of a sample at least (paper, appendix B)."""
TAUS = {"d_to_tau": 16_000, "b_to_tau": 4_000}
"""Generated events whose taus are decayed anew for each sample."""
BLOCK, TRIALS = 500, 20_000
"""Samples, and decays, that are worked on together, with one stream of random numbers."""
SPLIT = (0.70, 0.15)
"""Shares of training and validation samples; the rest is the test split."""
STATION = "endcap_muons"


@datasets.register("tau3mu")
class Tau3Mu(Dataset):
    """Hits of muons in the first end-cap station; positive where three are of one tau, whose hits are the ground truth.

    Options:
        size: Number of samples; 20,000 unless said, 129,687 in the paper.
        full: Makes the paper's size.
        pileup: Mean number of soft collisions in a bunch crossing.
        field: Magnetic field along z, tesla.
        b_share: Share of the produced taus that come from B mesons; the others come from D_s.
        noise: Mean number of hits of no muon.
        library_size: Generated soft collisions whose muons are drawn, with replacement, for all samples.
        seed: Of events, decays, material, measurement and splits.
        processes: Worker processes (None: one for every usable core).
        progress: Show bars on stderr.

    Taus come from D_s and B mesons of Pythia 8 at 14 TeV. Each positive sample takes one at random, decays it anew to
    three muons by phase space, and is kept if all three leave a hit in the station. Pile-up muons, those of pions and
    kaons that decay in flight included, come from a library of soft collisions, drawn with replacement and each turned
    about the beam and propagated anew: that is what makes 129,687 samples affordable.
    """

    name = "tau3mu"
    targets = (Target("tau to three muons"),)
    domain = "events"
    unit = ""
    dim = 2
    feature_size = 1
    precision_at = (3, 7)
    citation = ("Miao et al., Interpretable Geometric Deep Learning via Learnable Randomness Injection, ICLR 2023; "
                "Bierlich et al., A comprehensive guide to the physics and usage of PYTHIA 8.3, SciPost Phys. "
                "Codebases 8 (2022)")
    licence = "made here; Pythia 8 is GPL-2.0-or-later, its events are free"
    as_published = {"pileup": (200.0,), "field": (3.8,)}  # noqa: RUF012
    usual = (20_000, 16.2)
    defaults = {"size": None, "full": False, "pileup": 200, "field": 3.8, "b_share": 0.27, "noise": 8.0,  # noqa: RUF012
                "library_size": 20_000, "seed": 0, "processes": None, "progress": False}

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """See :meth:`Dataset.check`."""
        if options["full"] and options["size"] is not None:
            raise PellucidError("expected size or full, got both; leave one out")
        if options["size"] is None:
            options["size"] = PAPER_SIZE if options["full"] else 20_000
        if options["processes"] is not None:
            whole_number(options, "processes", 1, 1024)
        if options["field"] == 0:
            raise PellucidError("expected a magnetic field, got 0 T; without one no track bends: choose e.g. 3.8")
        seed = whole_number(options, "seed", 0, 2**31 - 1)
        return {"size": whole_number(options, "size", 20, 1_000_000), "seed": seed,
                "pileup": real_number(options, "pileup", 1, 1000), "field": real_number(options, "field", 0.01, 50),
                "b_share": real_number(options, "b_share", 0, 1), "noise": real_number(options, "noise", 0, 1000),
                "library_size": whole_number(options, "library_size", 100, 10_000_000),
                "taus": dict(TAUS), "station": detector(STATION).model_dump(mode="json"),
                "cards": [card(name).identity(seed) for name in ("minimum_bias_muons", *TAUS)]}

    def build(self, options: dict[str, Any]) -> tuple[PointClouds, dict[str, Any]]:
        """See :meth:`Dataset.build`."""
        size, seed, progress = options["size"], options["seed"], options["progress"]
        processes = options["processes"] or usable_cores()
        rng = np.random.default_rng([seed, 0])
        positive = np.zeros(size, dtype=bool)
        positive[rng.permutation(size)[: round(PAPER_POSITIVE * size)]] = True
        split = np.searchsorted(np.round(np.cumsum(SPLIT) * size), rng.permutation(size), side="right")
        taus = {}
        for name, count in TAUS.items():
            with waiting(f"generating {name.replace('_', ' ')}", progress) as advance:
                taus[name] = Taus.of(library(card(name), count, seed=seed, processes=processes, advance=advance))
        with waiting("generating pile-up muons", progress) as advance:
            soft = library(card("minimum_bias_muons"), options["library_size"], seed=seed, processes=processes,
                           advance=advance)
        plan = _Plan(detector(STATION), options["field"], options["noise"], options["b_share"], TRIALS, seed)
        with waiting("decaying taus", progress) as advance:
            signal, tried = _signal(plan, taus, int(positive.sum()), processes, advance)

        places = np.cumsum(positive) - 1
        blocks = [np.arange(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK)]
        muons = _able(plan, soft)
        mean = options["pileup"] * len(muons.charge) / len(soft) / 2  # half of them fly to this end
        with waiting("making samples", progress) as advance:
            made = []
            work = Parallel(min(processes, len(blocks)), return_as="generator")(
                delayed(_block)(plan, number, positive[block], mean, muons,
                                signal.some(places[block[positive[block]]]))
                for number, block in enumerate(blocks))
            for part in work:
                made.append(part)
                advance(len(made), len(blocks))
        hits = _Samples.cat(made)
        clouds = PointClouds(
            torch.from_numpy(np.concatenate([[0], hits.sizes.cumsum()])),
            {"pos": torch.from_numpy(hits.place.astype(np.float32)),
             "features": torch.from_numpy(hits.bend.astype(np.float32))[:, None],
             "momentum": torch.from_numpy(hits.momentum.astype(np.float32)),
             "important": torch.from_numpy(hits.important), "group": torch.from_numpy(hits.track),
             "layer": torch.from_numpy(hits.layer), "y": torch.from_numpy(positive.astype(np.float32))[:, None],
             "split": torch.from_numpy(split)},
            text={"id": [f"crossing-{i}" for i in range(size)]}, units={"pos": ""})
        return clouds, {"source": "generated by Pythia 8, propagated by pellucid.collisions; pile-up muons and "
                                  "taus are drawn with replacement from libraries", "seed": seed,
                        "counts": {"samples": size, "positive": int(positive.sum()), "decays tried": tried,
                                   "taus in the library": {name: len(t.charge) for name, t in taus.items()},
                                   "soft collisions in the library": len(soft), "pile-up muons": len(soft.pdg)}}


@dataclass(frozen=True)
class _Plan:
    """What decides how a sample is made."""

    station: Detector
    field: float
    noise: float
    b_share: float
    trials: int
    seed: int

    @property
    def toll(self) -> float:
        """GeV that the passive layers take from a muon at least."""
        return sum(surface.loss for surface in self.station.surfaces if not surface.sensitive)


@dataclass(frozen=True)
class _Samples:
    """Hits of samples, flat: one row a hit, one size a sample."""

    sizes: NDArray[np.int64]
    place: NDArray[np.float64]
    bend: NDArray[np.float64]
    momentum: NDArray[np.float64]
    important: NDArray[np.bool_]
    track: NDArray[np.int64]
    layer: NDArray[np.int64]

    @staticmethod
    def cat(parts: list[_Samples]) -> _Samples:
        return _Samples(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(_Samples)))

    def some(self, samples: NDArray[np.int64]) -> _Samples:
        """The samples at the given places."""
        sizes = self.sizes[samples]
        start = (self.sizes.cumsum() - self.sizes)[samples]
        rows = np.arange(sizes.sum()) + np.repeat(start - (sizes.cumsum() - sizes), sizes)
        return _Samples(sizes, *(getattr(self, f.name)[rows] for f in fields(_Samples)[1:]))

    def arranged(self, owner: NDArray[np.int64], count: int, rng: np.random.Generator) -> _Samples:
        """Rows by the sample that owns them, in random order within it: the order must not tell tracks apart."""
        order = np.lexsort((rng.random(len(owner)), owner))
        return _Samples(np.bincount(owner, minlength=count), *(getattr(self, f.name)[order]
                                                               for f in fields(_Samples)[1:]))


def _able(plan: _Plan, soft: Events) -> Particles:
    """The library's muons that have the energy to come through the calorimeters, mirrored to fly to positive z."""
    side = np.where(soft.momentum[:, 2] < 0, -1.0, 1.0)[:, None] ** np.array([0, 0, 1])
    able = (np.abs(soft.pdg) == MUON) & (np.linalg.norm(soft.momentum, axis=1) > plan.toll)
    return Particles((soft.vertex * side)[able], (soft.momentum * side)[able], soft.charge[able], soft.mass[able])


def _measured(plan: _Plan, particles: Particles, rng: np.random.Generator) -> tuple[_Samples, NDArray[np.int64]]:
    """Segments of particles, all in one sample, and the particle of each."""
    hits = propagate(particles, plan.station, plan.field, rng=rng).hits
    place, bend = segments(hits, rng)
    n = len(bend)
    return _Samples(np.array([n]), place, bend, hits.momentum, np.zeros(n, dtype=bool), hits.particle,
                    hits.surface), hits.particle


def _signal(plan: _Plan, taus: dict[str, Taus], count: int, processes: int, advance: Any) -> tuple[_Samples, int]:
    """``count`` taus whose three muons are all seen, a sample each, and how many decays were looked at."""
    parts: list[_Samples] = []
    found = start = 0
    while found < count:
        more = Parallel(processes)(delayed(_decays)(plan, taus, start + i) for i in range(4 * processes))
        parts += more
        start += len(more)
        found += sum(len(part.sizes) for part in more)
        advance(min(found, count), max(count, 1))
        if start * TRIALS >= 10_000 * max(count, 1000):
            raise PellucidError(f"expected taus whose three muons reach the station at {plan.field} T, got {found} in "
                                f"{start * TRIALS} decays; choose a weaker field")
    return _Samples.cat(parts).some(np.arange(count)) if parts else _empty(), start * TRIALS


def _decays(plan: _Plan, taus: dict[str, Taus], number: int) -> _Samples:
    rng = np.random.default_rng([plan.seed, 1, number])
    from_b = rng.random(plan.trials) < plan.b_share
    momentum, vertex = np.empty((plan.trials, 3)), np.empty((plan.trials, 3))
    charge = np.empty(plan.trials, dtype=np.int64)
    for chosen, name in ((from_b, "b_to_tau"), (~from_b, "d_to_tau")):
        pick = rng.integers(0, len(taus[name].charge), int(chosen.sum()))
        momentum[chosen], vertex[chosen] = taus[name].momentum[pick], taus[name].vertex[pick]
        charge[chosen] = taus[name].charge[pick]
    angle = rng.uniform(-np.pi, np.pi, plan.trials)
    muons = turned(three_body(momentum, TAU_MASS, MUON_MASS, rng), angle)
    vertex = turned(vertex, angle)
    able = np.flatnonzero(((np.linalg.norm(muons, axis=2) > plan.toll) & (muons[..., 2] > 0)).all(1))
    n = len(able)
    made, muon = _measured(plan, Particles(np.repeat(vertex[able], 3, 0), muons[able].reshape(-1, 3),
                                           (charge[able, None] * np.array([1, 1, -1])).ravel(),
                                           np.full(3 * n, MUON_MASS)), rng)
    seen: NDArray[np.bool_] = np.bincount(muon, minlength=3 * n).reshape(n, 3).min(1, initial=1) > 0
    rows = seen[muon // 3]
    owner = (np.cumsum(seen) - 1)[muon[rows] // 3]
    return _Samples(np.bincount(owner, minlength=int(seen.sum())), made.place[rows], made.bend[rows],
                    made.momentum[rows], np.ones(int(rows.sum()), dtype=bool), muon[rows] % 3, made.layer[rows])


def _block(plan: _Plan, number: int, positive: NDArray[np.bool_], mean: float, muons: Particles, signal: _Samples
           ) -> _Samples:
    """Some samples: pile-up and noise, and the signal of the positive ones."""
    rng = np.random.default_rng([plan.seed, 2, number])
    count = len(positive)
    owner_of_signal = np.repeat(np.flatnonzero(positive), signal.sizes)
    parts, owners = [signal], [owner_of_signal]
    short = np.arange(count)
    while len(short):
        drawn = np.repeat(short, rng.poisson(mean, len(short)))
        pick = rng.integers(0, max(len(muons.charge), 1), len(drawn))
        angle = rng.uniform(-np.pi, np.pi, len(pick))
        made, muon = _measured(plan, Particles(turned(muons.position[pick], angle), turned(muons.momentum[pick], angle),
                                               muons.charge[pick], muons.mass[pick]), rng)
        parts.append(_Samples(made.sizes, made.place, made.bend, made.momentum, made.important, muon + 3, made.layer))
        owners.append(drawn[muon])
        counts = rng.poisson(plan.noise, len(short))
        place, bend, layer = noise(plan.station, counts, rng)
        n = len(bend)
        parts.append(_Samples(np.array([n]), place, bend, np.zeros((n, 3)), np.zeros(n, dtype=bool), np.full(n, -1),
                              layer))
        owners.append(np.repeat(short, counts))
        short = np.flatnonzero(np.bincount(np.concatenate(owners), minlength=count) < LEAST)
    made = _Samples.cat(parts).arranged(np.concatenate(owners), count, rng)
    return _Samples(made.sizes, made.place, made.bend, made.momentum, made.important, _numbered(made.sizes, made.track),
                    made.layer)


def _numbered(sizes: NDArray[np.int64], track: NDArray[np.int64]) -> NDArray[np.int64]:
    """(hits,) tracks counted 0, 1, ... within each sample; -1 stays."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    real = np.flatnonzero(track >= 0)
    pairs, place = np.unique(np.stack([owner[real], track[real]], 1), axis=0, return_inverse=True)
    result = np.full(len(track), -1)
    result[real] = (np.arange(len(pairs)) - np.searchsorted(pairs[:, 0], pairs[:, 0]))[place.ravel()]
    return result


def _empty() -> _Samples:
    none = np.zeros(0)
    return _Samples(none.astype(np.int64), np.zeros((0, 2)), none, np.zeros((0, 3)), none.astype(bool),
                    none.astype(np.int64), none.astype(np.int64))
