"""Study I: prototypes and criticisms, judged by what 1-NN learns of them (MARGIN paper, section 5.1, figure 2)."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel

from pellucid.benchmarks.margin import data
from pellucid.benchmarks.margin.curves import point
from pellucid.benchmarks.margin.protocol import Measured, Measurement, Part, Protocol, Settings, package, protocols
from pellucid.margin import influence
from pellucid.margin.prototypes import FOURIER, Prototypes

PROTOTYPES, CRITICISMS = "1-NN error, trained on m prototypes", "1-NN error, trained on m criticisms"
COVER, BELOW = "MARGIN, cover", "MARGIN, below"
CRITIC = "MMD-critic"
GAMMA = 0.026
"""Of MMD-critic's kernel on USPS: chosen by its authors by cross-validation, as the code of Kim et al. (2016) says."""
SHOWN = 20
"""Images a row of the picture."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@protocols.register("margin-prototypes")
class PrototypesProtocol(Protocol):
    """Error of 1-NN classifiers that know m prototypes, or m criticisms, and nothing else."""

    title = "Prototypes and criticisms (MARGIN study I)"
    source = "MARGIN paper, section 5.1, figure 2"
    claim = ("Published, as curves without figures: prototypes are competitive with MMD-critic, \"particularly "
             "superior\" without labels; criticisms have a \"significantly higher\" test error than MMD-critic's.")
    axis = "m, samples that the classifier knows"
    shown: ClassVar = {metric: [10, 50, 100, 200, 500, 1000, 2000, 4000] for metric in (PROTOTYPES, CRITICISMS)}
    best: ClassVar = {PROTOTYPES: "low", CRITICISMS: "high"}
    needs = ("kmedoids",)
    files: ClassVar = {"usps": data.FILES["usps"]}
    presets: ClassVar = {
        "standard": {"neighbors": 25, "m": [10, 50, 100, 200, 500, 1000, 2000, 4000], "random": 20, "medoids": 3,
                     "train": 0, "test": 0, "folds": 0, "gammas": []},
        "validation": {"neighbors": 25, "m": [10, 50, 100, 200, 500, 1000, 2000, 3200], "random": 5, "medoids": 1,
                       "train": 0, "test": 0, "folds": 5, "gammas": [GAMMA]},
        "smoke": {"neighbors": 25, "m": [10, 50, 200, 500], "random": 3, "medoids": 1, "train": 1500, "test": 500,
                  "folds": 0, "gammas": []},
    }

    def parts(self, settings: Settings) -> list[Part]:
        """Without labels and with; ``folds`` judges on held-out parts of the training samples in place of the test."""
        common = {key: value for key, value in settings.items() if key != "folds"}
        folds = settings["folds"]
        return [Part(f"USPS, {function}" + (f", fold {fold + 1} of {folds}" if folds else ""), ("usps",),
                     {**common, "function": function, "fold": fold, "folds": folds})
                for fold in range(max(1, folds)) for function in ("global", "local")]

    def measure(self, part: Part, folder: Path | None) -> Measured:
        """Picks m samples with every method and counts what 1-NN gets wrong."""
        o = part.options
        x, y, test, true = _split(self.place("usps", folder), o)
        local = o["function"] == "local"
        table = (f"USPS{', held-out part of the training samples' if o['folds'] else ''}, "
                 f"{'local (labels)' if local else 'global (no labels)'}")
        judge = Judge(x, y, test, true)
        out = Measured()
        wrong: dict[tuple[str, str], list[NDArray[np.bool_]]] = {}

        def add(metric: str, method: str, m: int, rows: Rows, repetition: int = 0) -> None:
            miss = judge.wrong(rows[:m])
            if repetition == 0:
                wrong.setdefault((metric, method), []).append(miss)
            out.rows.append(Measurement(table, metric, method, m, float(miss.mean()), o["fold"] * 1000 + repetition))

        audit = Prototypes(o["neighbors"], function=o["function"], n_jobs=1).fit(x, y)
        plain = Prototypes(o["neighbors"], function=o["function"], variant="energy", choice="low-influence",
                           weights="binary", n_jobs=1).fit(x, y)
        listing = influence(plain.graph_, plain.function_, mode="listing")
        prototypes = {COVER: audit.prototypes_, "MARGIN, low influence (paper)": plain.prototypes_,
                      "function f alone": np.argsort(-plain.function_, kind="stable")}
        criticisms = {BELOW: audit.ranking_, "MARGIN, energy (paper)": plain.ranking_,
                      "MARGIN, listing (paper)": np.argsort(-listing, kind="stable"),
                      "function f alone": np.argsort(plain.function_, kind="stable")}
        for gamma in o["gammas"]:
            other = Prototypes(o["neighbors"], function=o["function"], gamma=gamma, n_jobs=1).fit(x, y)
            criticisms[f"{BELOW}, gamma {gamma}"] = other.ranking_
            other = Prototypes(o["neighbors"], function=o["function"], gamma=gamma, variant="energy",
                               weights="binary", n_jobs=1).fit(x, y)
            criticisms[f"MARGIN, energy (paper), gamma {gamma}"] = other.ranking_
        kernel = rbf_kernel(x.astype(np.float64), gamma=GAMMA)
        if local:
            kernel *= y[:, None] == y
        most = max(o["m"])
        prototypes[CRITIC] = critic_prototypes(kernel, most)
        for m in o["m"]:
            for method, order in prototypes.items():
                add(PROTOTYPES, method, m, order)
            for method, order in criticisms.items():
                add(CRITICISMS, method, m, order)
            known = prototypes[CRITIC][:min(m, (len(x) - m) // 2)]
            for method, spread in ((CRITIC, True), (f"{CRITIC}, no regulariser", False)):
                add(CRITICISMS, method, m, critic_criticisms(kernel, known, m, spread=spread))
        pictured = {"MARGIN, cover": prototypes[COVER], "MARGIN, below": criticisms[BELOW],
                    "paper's prototypes": plain.prototypes_, "paper's criticisms": plain.ranking_,
                    "MMD-critic's": prototypes[CRITIC], "its criticisms": critic_criticisms(
                        kernel, prototypes[CRITIC][:SHOWN], SHOWN)}
        del kernel
        apart = euclidean_distances(x, squared=True).astype(np.float32)
        for m in o["m"]:
            for seed in range(o["medoids"]):
                add(PROTOTYPES, "k-medoids", m, medoids(apart, m, seed=seed), seed)
                if local:
                    add(PROTOTYPES, "k-medoids in each class", m, medoids(apart, m, labels=y, seed=seed), seed)
            for seed in range(o["random"]):
                chosen = np.random.default_rng(seed).permutation(len(x))
                add(PROTOTYPES, "random", m, chosen, seed)
                add(CRITICISMS, "random", m, chosen, seed)
        del apart
        if not o["folds"]:
            out.notes += [f"{table}: 1-NN that knows all {len(x):,} samples errs on "
                          f"{judge.wrong(np.arange(len(x))).mean():.4f}.", *_paired(table, wrong),
                          _fourier(table, audit, x, y)]
            out.pictures[f"{table}: first samples"] = {
                "kind": "grid", "title": f"{table}: the first {SHOWN} samples (figure 2c)", "size": 40,
                "columns": [str(i + 1) for i in range(SHOWN)], "rows": list(pictured),
                "images": [[_png(x[i]) for i in order[:SHOWN]] for order in pictured.values()]}
        return out

    def findings(self, rows: list[Measurement]) -> list[str]:
        """At which m the target is reached, and how far from MMD-critic the errors are."""
        out = []
        for table in dict.fromkeys(row.table for row in rows):
            for metric, mine, sign, word in ((PROTOTYPES, COVER, -1, "better"), (CRITICISMS, BELOW, 1, "worse")):
                values: dict[str, dict[float, list[float]]] = {}
                for row in rows:
                    if (row.table, row.metric) == (table, metric):
                        values.setdefault(row.method, {}).setdefault(row.x, []).append(row.value)
                ours = {x: point(v).mean for x, v in values[mine].items()}
                chance = {x: point(v) for x, v in values["random"].items()}
                met = [x for x in ours if sign * (ours[x] - chance[x].mean) > 0]
                clear = [x for x in met if abs(ours[x] - chance[x].mean) > chance[x].half]
                missed = ", ".join(f"{x:.0f}" for x in ours if x not in met)
                out.append(f"{table}: {mine} is {word} than the mean of random at {len(met)} of {len(ours)} m, at "
                           f"{len(clear)} of them beyond its 95 % interval; target, at every m: "
                           + ("reached." if not missed else f"not reached at m = {missed}."))
                against = []
                for method in values:
                    if method != mine:
                        apart = [ours[x] - point(values[method][x]).mean for x in ours]
                        wins = sum(sign * d > 0 for d in apart)
                        against.append(f"{method} {float(np.mean(apart)):+.4f} ({word} at {wins} of {len(apart)} m)")
                out.append(f"{table}: {metric}, {mine} minus others, mean over m: {'; '.join(against)}.")
        return out


class Judge:
    """A 1-NN classifier on any subset of the training samples.

    Args:
        x: (samples, features).
        y: (samples,) class numbers.
        test: (test samples, features).
        true: (test samples,) class numbers.
    """

    def __init__(self, x: NDArray[np.float32], y: Rows, test: NDArray[np.float32], true: Rows) -> None:
        self._apart = euclidean_distances(test, x, squared=True)
        self._y, self._true = y, true

    def wrong(self, rows: Rows) -> NDArray[np.bool_]:
        """(test samples,) whether each gets a wrong label where only some samples are known."""
        out: NDArray[np.bool_] = self._y[rows][self._apart[:, rows].argmin(1)] != self._true
        return out


def critic_prototypes(kernel: Floats, m: int) -> Rows:
    """MMD-critic's prototypes: greedy choice of the samples whose distribution is closest to that of all.

    Each step takes the sample that most increases J_b(S) = 2/(n|S|) sum_i sum_{j in S} k_ij - 1/|S|^2 sum_{i,j in S}
    k_ij, by the surrogate of the authors' code: 2 mean_j k_ij - (2 sum_{j in S} k_ij + k_ii) / (|S| + 1). Kim, Khanna
    and Koyejo, Examples are not Enough, Learn to Criticize!, 2016, section 3.1. A running sum makes a step linear in
    the samples.

    Args:
        kernel: (samples, samples).
        m: How many.

    Returns:
        (m,) samples in order of choice.
    """
    mean, own = 2 * kernel.mean(0), kernel.diagonal()
    said = np.zeros(len(kernel))
    free = np.ones(len(kernel), bool)
    out = []
    for size in range(m):
        gain = mean - ((2 * said + own) / (size + 1) if size else np.abs(own))
        best = int(np.where(free, gain, -np.inf).argmax())
        out.append(best)
        free[best] = False
        said += kernel[best]
    return np.array(out, dtype=np.int64)


def critic_criticisms(kernel: Floats, prototypes: Rows, m: int, *, spread: bool = True) -> Rows:
    """MMD-critic's criticisms: greedy choice where prototypes and data differ most.

    Each step takes the sample with the largest |mean_j k_ij - mean over prototypes of k_ij|, plus, with ``spread``,
    what it adds to log det of the kernel of the criticisms (Kim et al., 2016, section 3.2), so that they differ from
    each other. That gain is the logarithm of the pivot of a Cholesky decomposition, which a step extends by a row.

    Args:
        kernel: (samples, samples).
        prototypes: Samples that are not taken.
        m: How many.
        spread: Whether the determinant counts.

    Returns:
        (m,) samples in order of choice.
    """
    others = np.setdiff1d(np.arange(len(kernel)), prototypes)
    witness = np.abs(kernel.mean(0) - kernel[prototypes].mean(0))[others]
    if not spread:
        out: Rows = others[np.argsort(-witness, kind="stable")[:m]]
        return out
    pivot = kernel.diagonal()[others].copy()
    root = np.empty((m, len(others)))
    free = np.ones(len(others), bool)
    tiny = np.finfo(np.float64).eps
    chosen = []
    for step in range(m):
        score = witness + np.log(np.maximum(pivot, tiny))
        best = int(np.where(free, score, -np.inf).argmax())
        chosen.append(best)
        free[best] = False
        row = kernel[others[best], others] - root[:step, best] @ root[:step]
        root[step] = row / np.sqrt(max(pivot[best], tiny))
        pivot -= np.square(root[step])
    taken: Rows = others[chosen]
    return taken


def medoids(apart: NDArray[np.float32], m: int, *, labels: Rows | None = None, seed: int = 0) -> Rows:
    """FasterPAM's medoids of squared distances (Schubert and Rousseeuw, 2021).

    Args:
        apart: (samples, samples).
        m: How many.
        labels: (samples,) class numbers: each class has its own, in proportion to its size, at least one.
        seed: Of the random start.

    Returns:
        (m,) samples.
    """
    if labels is None:
        found = package("kmedoids").fasterpam(apart, m, init="random", random_state=seed, n_cpu=1)
        return np.asarray(found.medoids, dtype=np.int64)
    size = np.bincount(labels)
    share = np.ones(len(size), np.int64)
    while share.sum() < m:  # Sainte-Lague: the class that is furthest behind
        share[np.argmax(np.where(share < size, size / (2 * share + 1), 0))] += 1
    every = [np.flatnonzero(labels == c) for c in range(len(size))]
    return np.concatenate([rows[medoids(apart[np.ix_(rows, rows)], int(k), seed=seed)]
                           for rows, k in zip(every, share, strict=True)])


def _split(place: Path, o: Settings) -> tuple[NDArray[np.float32], Rows, NDArray[np.float32], Rows]:
    """Training samples, their labels, test samples, their labels."""
    x, y = data.usps(place)
    test, true = data.usps(place, "test")
    rng = np.random.default_rng(0)
    if o["folds"]:
        held = np.array_split(rng.permutation(len(x)), o["folds"])[o["fold"]]
        rest = np.setdiff1d(np.arange(len(x)), held)
        return x[rest], y[rest], x[held], y[held]
    if o["train"]:
        rows = rng.choice(len(x), o["train"], replace=False)
        x, y = x[rows], y[rows]
    if o["test"]:
        rows = rng.choice(len(test), o["test"], replace=False)
        test, true = test[rows], true[rows]
    return x, y, test, true


def _paired(table: str, wrong: dict[tuple[str, str], list[NDArray[np.bool_]]]) -> list[str]:
    """How far MARGIN is from MMD-critic, with an interval over the test images: of each, the mean over all m."""
    out = []
    for metric, mine in ((PROTOTYPES, COVER), (CRITICISMS, BELOW)):
        apart = np.mean(np.stack(wrong[metric, mine]).astype(float) - np.stack(wrong[metric, CRITIC]), axis=0)
        found = point(apart.tolist())
        out.append(f"{table}: {metric}: {mine} minus {CRITIC} {found.mean:+.4f} on average over m, 95 % interval over "
                   f"test images {found.mean - found.half:+.4f} to {found.mean + found.half:+.4f}.")
    return out


def _fourier(table: str, audit: Prototypes, x: NDArray[np.float32], y: Rows) -> str:
    """How near the random features that large data get are to exact sums."""
    other = Prototypes(**{**audit.get_params(), "fourier": FOURIER}).fit(x, y)
    kept = np.isin(other.ranking_[:500], audit.ranking_[:500]).mean()
    return (f"{table}: with {FOURIER:,} random features in place of exact sums the scores have a rank correlation "
            f"of {spearmanr(other.influence_, audit.influence_)[0]:.3f} with the exact ones, and {100 * kept:.0f} % of "
            "the first 500 criticisms are the same.")


def _png(image: Any) -> str:
    file = io.BytesIO()
    grey = np.clip((1 - image.reshape(16, 16)) * 127.5, 0, 255).astype(np.uint8)
    Image.fromarray(grey).resize((48, 48), Image.Resampling.NEAREST).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
