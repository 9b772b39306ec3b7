"""Study III: wrong labels, found by MARGIN and by what else finds them (MARGIN paper, section 5.3, figure 5)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict

from pellucid.benchmarks.margin import data
from pellucid.benchmarks.margin.curves import point
from pellucid.benchmarks.margin.influence_functions import self_influence
from pellucid.benchmarks.margin.protocol import Measured, Measurement, Part, Protocol, Settings, package, protocols
from pellucid.benchmarks.margin.sentences import difference
from pellucid.margin import WrongLabels, knn_graph
from pellucid.margin.labels import Variant

OURS = "MARGIN, trusted"
VARIANTS: dict[str, Variant] = {OURS: "trusted", "MARGIN, signed": "signed", "MARGIN, energy (paper)": "energy",
                                "MARGIN, listing (paper)": "listing", "disagreement f": "disagreement"}
TITLES = {"enron": "Enron", "cats_dogs": "cats against dogs", "mnist": "MNIST", "digits": "digits"}
AREA = "mean recall up to 30 % checked"
CHECKED = [round(0.05 * i, 2) for i in range(1, 11)]
STRENGTHS = [0.001, 0.01, 0.1, 1.0, 10.0]
"""C of logistic regression that cross-validation chooses from."""
TARGETS = [("enron", 0.3, 0.97), ("enron", 0.2, 0.92), ("cats_dogs", 0.15, 0.99)]

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


@protocols.register("margin-labels")
class LabelsProtocol(Protocol):
    """Recall of flipped labels against the share of samples that are checked."""

    title = "Wrong labels (MARGIN study III)"
    source = "MARGIN paper, section 5.3, figure 5"
    claim = ("Published: nearly ten points above influence functions, recall of nearly 0.95 on Enron-Spam with 30 % of "
             "the samples checked, more on cats against dogs; stable for k = 20, 30, 40; ten repetitions.")
    axis = "share of samples checked"
    shown: ClassVar = {"recall": [0.05, 0.1, 0.15, 0.2, 0.25, 0.3]}
    best: ClassVar = {"recall": "high", AREA: "high"}
    needs = ("cleanlab",)
    files: ClassVar = {name: data.FILES[name] for name in ("enron", "cats_dogs", "mnist")}
    presets: ClassVar = {
        "standard": {"repetitions": 10, "neighbors": [20, 30, 40], "folds": 5, "rate": 0.1,
                     "data": [["enron", 0], ["digits", 0], ["cats_dogs", 0], ["mnist", 5000]],
                     "once": [["mnist", 60000]]},
        "smoke": {"repetitions": 2, "neighbors": [20], "folds": 3, "rate": 0.1,
                  "data": [["enron", 1000], ["digits", 600]], "once": []},
    }

    def parts(self, settings: Settings) -> list[Part]:
        """One a data set and repetition; the largest last, once."""
        runs = [(*entry, r) for r in range(settings["repetitions"]) for entry in settings["data"]]
        runs += [(*entry, 0) for entry in settings["once"]]
        out = []
        for name, samples, repetition in runs:
            once = [name, samples] in settings["once"]
            label = f"{TITLES[name]}{f', {samples:,} samples' if samples else ''}, repetition {repetition}"
            options = {"data": name, "samples": samples, "repetition": repetition, "folds": settings["folds"],
                       "rate": settings["rate"], "neighbors": settings["neighbors"][:1 if once else None]}
            out.append(Part(label, (name,) if name in self.files else (), options))
        return out

    def measure(self, part: Part, folder: Path | None) -> Measured:
        """Flips labels, scores all samples with every method, and counts the flips among those that come first."""
        o = part.options
        name, repetition = o["data"], o["repetition"]
        rng = np.random.default_rng(repetition)
        place = self.place(name, folder) if name in self.files else None
        x, true, counts = _features(name, place, o["samples"], rng)
        y = flip(true, rng, o["rate"])
        wrong = y != true
        others = competitors(x, y, folds=o["folds"], seed=repetition)
        if counts is not None:
            others |= {f"{method}, log counts of 500 words": score for method, score
                       in competitors(counts, y, folds=o["folds"], seed=repetition).items()}
        others["random"] = rng.random(len(y))
        others["oracle"] = wrong.astype(np.float64)
        out = Measured()
        for k in o["neighbors"]:
            graph = knn_graph(x, k, weights="self-tuning", seed=repetition)
            scores = {method: WrongLabels(variant=variant).fit(graph, y).influence_
                      for method, variant in VARIANTS.items()}
            if graph.about["search"] == "exact":
                plain = knn_graph(x, k)
                scores["disagreement f, unweighted (eq. 3)"] = WrongLabels(variant="disagreement").fit(
                    plain, y).influence_
            else:
                out.notes.append(f"{part.label}: approximate neighbours, recall {graph.about['recall']:.3f}.")
            table = _table(name, o["samples"], k)
            for method, score in {**scores, **others}.items():
                found = recall(score, wrong, rng)
                out.rows += [Measurement(table, "recall", method, at, float(found[round(at * len(y)) - 1]), repetition)
                             for at in CHECKED]
                steps = [round(i / 100 * len(y)) - 1 for i in range(1, 31)]
                out.rows.append(Measurement(table, AREA, method, 0.3, float(found[steps].mean()), repetition))
        return out

    def findings(self, rows: list[Measurement]) -> list[str]:
        """How far the default is above each of the others, and whether the targets are reached."""
        value = {(row.table, row.method, row.repetition): row.value for row in rows if row.metric == AREA}
        tables = list(dict.fromkeys(table for table, _, _ in value))
        numbers = list(dict.fromkeys(table.rpartition("k = ")[2] for table in tables))
        single, average = [], []
        for k in numbers:
            same = [table for table in tables if table.endswith(f", k = {k}")]
            several = [table for table in same if sum(t == table and m == OURS for t, m, _ in value) > 1]
            single += [_against(value, [table], table) for table in same if k == numbers[0]]
            if len(several) > 1:
                average.append(_against(value, several, f"Average over {len(several)} data sets, k = {k}"))
        out = average + single
        for name, at, target in TARGETS:
            for table in dict.fromkeys(row.table for row in rows if row.table.startswith(f"{TITLES[name]}, k")):
                mine = point([row.value for row in rows if row.metric == "recall" and row.table == table
                              and row.method == OURS and row.x == at])
                out.append(f"{table}: mean recall {mine.mean:.4f} at {100 * at:.0f} % checked, target {target}: "
                           f"{'' if mine.mean >= target else 'not '}reached.")
        return out


def flip(y: Labels, rng: np.random.Generator, rate: float) -> Labels:
    """Labels of which a share of each class has become another class, uniformly at random.

    Args:
        y: (samples,) class numbers.
        rng: Random numbers.
        rate: The share, from 0 to 1.

    Example:
        >>> flip(np.zeros(4, int) + [0, 0, 1, 1], np.random.default_rng(0), 0.5).sum()
        np.int64(2)
    """
    out, classes = y.copy(), int(y.max()) + 1
    for c in range(classes):
        rows = np.flatnonzero(y == c)
        rows = rng.choice(rows, round(rate * len(rows)), replace=False)
        out[rows] = (c + rng.integers(1, classes, len(rows))) % classes
    return out


def recall(score: Scores, wrong: NDArray[np.bool_], rng: np.random.Generator) -> Scores:
    """(samples,) share of the wrong ones among the first 1, 2, ... by score; ties in random order."""
    order = rng.permutation(len(score))
    order = order[np.argsort(-score[order], kind="stable")]
    out: Scores = np.cumsum(wrong[order]) / wrong.sum()
    return out


def competitors(x: Features, y: Labels, *, folds: int, seed: int) -> dict[str, Scores]:
    """What others say of each label, on one logistic regression whose C cross-validation chooses on the same labels.

    Args:
        x: (samples, features).
        y: (samples,) class numbers, wrong ones among them.
        folds: Of both cross-validations.
        seed: Of the folds.

    Returns:
        Method -> (samples,) scores, high = suspicious.
    """
    cleanlab = package("cleanlab.filter")
    own, p, strength = _own(x, y, folds, seed)
    issues = cleanlab.find_label_issues(y, p, n_jobs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=strength, max_iter=1000).fit(x, y)
    return {
        "cleanlab": 1 - own + 2 * issues,  # what it calls an issue first, then the rest, by its own label quality
        "self-confidence": 1 - own,
        "influence functions": self_influence(model, x, y),
    }


def _own(x: Features, y: Labels, folds: int, seed: int) -> tuple[Scores, Scores, float]:
    """The probability of each sample's own label when it is held out, all probabilities, and the C that was chosen."""
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a weak penalty that has not converged is not chosen
        search: Any = GridSearchCV(LogisticRegression(max_iter=1000), {"C": STRENGTHS}, cv=split, refit=False,
                                   scoring="neg_log_loss").fit(x, y)
        strength = float(search.best_params_["C"])
        p = cross_val_predict(LogisticRegression(C=strength, max_iter=1000), x, y, cv=split, method="predict_proba")
    return p[np.arange(len(y)), y], p, strength


def _features(name: str, place: Path | None, samples: int, rng: np.random.Generator
              ) -> tuple[Features, Labels, Features | None]:
    """Features for all methods, labels, and for emails the words themselves, by the logarithm of their counts."""
    counts = None
    if place is None:
        x, y = data.digits()
    elif name == "enron":
        x, y = data.enron(place)
        counts = np.log1p(data.enron(place, None)[0])
    elif name == "mnist":
        x, y = data.mnist(place)
        x = x.reshape(len(x), -1)
    else:
        x, y = data.cats_dogs(place)
    if 0 < samples < len(y):
        rows = rng.choice(len(y), samples, replace=False)
        x, y, counts = x[rows], y[rows], None if counts is None else counts[rows]
    if name == "mnist":
        x = PCA(100, svd_solver="covariance_eigh").fit_transform(x.astype(np.float64)).astype(np.float32)
    return x, y, counts


def _table(name: str, samples: int, k: int) -> str:
    return f"{TITLES[name]}{f', {samples:,} samples' if samples else ''}, k = {k}"


def _against(value: dict[tuple[str, str, int], float], tables: list[str], where: str) -> str:
    """Ours minus the others, paired by repetition and averaged over tables, for all that have been measured in all."""
    repetitions = [r for t, m, r in value if (t, m) == (tables[0], OURS)
                   and all((table, OURS, r) in value for table in tables)]
    parts = {}
    for method in dict.fromkeys(m for t, m, _ in value if t == tables[0]):
        if method not in (OURS, "oracle", "random") and all((table, method, r) in value for table in tables
                                                            for r in repetitions):
            gains = [float(np.mean([value[t, OURS, r] - value[t, method, r] for t in tables])) for r in repetitions]
            parts[f"{method} {difference(gains)}"] = float(np.mean(gains))
    if not parts:
        return f"{where}: nothing to compare with."
    verdict = "above all others" if min(parts.values()) > 0 else "not above all others"
    ranked = "; ".join(sorted(parts, key=parts.__getitem__))
    return f"{where}: {AREA}, {OURS} minus others, smallest first: {ranked}; {verdict}."
