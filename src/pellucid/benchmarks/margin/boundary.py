"""Study IV: samples at a model's decision boundary (MARGIN paper, section 5.4, figure 6)."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata, spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from torch import nn

from pellucid.benchmarks.margin import data
from pellucid.benchmarks.margin.curves import point
from pellucid.benchmarks.margin.protocol import Measured, Measurement, Part, Protocol, Settings, protocols
from pellucid.benchmarks.margin.sentences import difference
from pellucid.margin import knn_graph
from pellucid.margin.boundary import DecisionBoundary, Variant
from pellucid.margin.latents import latents

OURS = "MARGIN, diffused"
VARIANTS: dict[str, Variant] = {OURS: "diffused", "MARGIN, energy (paper)": "energy", "MARGIN, signed": "signed",
                                "disagreement f": "disagreement"}
ENTROPY = "softmax entropy"
WRONG, LOW, CORRELATION, TOP = ("AUROC, misclassified", "AUROC, smallest margins", "rank correlation with the margin",
                                "margin of the top, as a percentile")
ERRORS = "share of samples that the model gets wrong"
NEAR = 0.05
"""Share of samples that count as near to the boundary in the sentences."""
_LATENT = "8"
"""Layer of :func:`train_two_digits` before the last one, after its ReLU."""
_PICTURES = 12

Scores = NDArray[np.float64]


@protocols.register("margin-boundary")
class BoundaryProtocol(Protocol):
    """Whether the samples that come first have the smallest margins of the model."""

    title = "Decision boundaries (MARGIN study IV)"
    source = "MARGIN paper, section 5.4, figure 6"
    claim = ("Published: pictures only. The first samples by disagreement in a latent space, k = 30, are atypical "
             "zeros and sixes, and cats and dogs whose faces are not seen.")
    axis = "share of samples with the smallest margins, or of samples at the top of a ranking"
    shown: ClassVar = {LOW: [0.01, 0.05, 0.1, 0.2], TOP: [0.01, 0.05, 0.1]}
    best: ClassVar = {WRONG: "high", LOW: "high", CORRELATION: "high", TOP: "low"}
    files: ClassVar = {name: data.FILES[name] for name in ("mnist", "cats_dogs")}
    presets: ClassVar = {
        "standard": {"repetitions": 10, "neighbors": 30, "epochs": 4, "train": [1000, 0], "judged": 0},
        "smoke": {"repetitions": 2, "neighbors": 30, "epochs": 2, "train": [500], "judged": 600},
    }

    def parts(self, settings: Settings) -> list[Part]:
        """One a model: data, size of its training part, repetition."""
        common = {"neighbors": settings["neighbors"], "epochs": settings["epochs"], "judged": settings["judged"]}
        out = []
        for repetition in range(settings["repetitions"]):
            for train in settings["train"]:
                out.append(Part(f"MNIST 0 and 6, {_size(train)} training images, repetition {repetition}", ("mnist",),
                                {**common, "data": "mnist", "train": train, "repetition": repetition}))
            out.append(Part(f"cats against dogs, repetition {repetition}", ("cats_dogs",),
                            {**common, "data": "cats_dogs", "train": 0, "repetition": repetition}))
        return out

    def measure(self, part: Part, folder: Path | None) -> Measured:
        """Trains a model on one part of the data, and ranks samples of the other by its latents."""
        o = part.options
        repetition = o["repetition"]
        rng = np.random.default_rng(repetition)
        place = self.place(o["data"], folder)
        images = None
        if o["data"] == "mnist":
            title = f"MNIST 0 and 6, {_size(o['train'])} training images"
            hidden, logits, true, images = _two_digits(place, o, rng)
        else:
            title = "cats against dogs"
            hidden, logits, true = _cats_dogs(place, o, rng)
        guess, margin = logits.argmax(1), np.abs(logits[:, 1] - logits[:, 0])
        entropy = _entropy(margin)
        chance = rng.random(len(true))
        graph = knn_graph(hidden, o["neighbors"], weights="self-tuning")
        plain = knn_graph(hidden, o["neighbors"])
        out = Measured()
        tops: dict[str, Scores] = {}
        for of, labels in (("predictions", guess), ("labels", true)):
            scores = {method: DecisionBoundary(variant=variant).fit(graph, labels).influence_
                      for method, variant in VARIANTS.items()}
            scores["disagreement f, unweighted (eq. 3)"] = DecisionBoundary(variant="disagreement").fit(
                plain, labels).influence_
            scores |= {ENTROPY: entropy, "random": chance}
            for method, score in scores.items():
                out.rows += [Measurement(f"{title}, f of {of}", metric, method, x, value, repetition)
                             for metric, x, value in judge(score, margin, guess != true)]
            out.rows.append(Measurement(f"{title}, f of {of}", ERRORS, "the model", 0.0, float((guess != true).mean()),
                                repetition))
            tops[f"{OURS}, f of {of}"] = scores[OURS]
        if images is not None and repetition == 0:
            tops["smallest margin of the model"] = -margin
            tops["random"] = chance
            out.pictures[f"{title}: first samples"] = {
                "kind": "grid", "title": f"{title}: the first samples (figure 6b)",
                "columns": [str(i + 1) for i in range(_PICTURES)], "rows": list(tops),
                "images": [[_png(images[i]) for i in np.argsort(-score, kind="stable")[:_PICTURES]]
                           for score in tops.values()]}
        return out

    def findings(self, rows: list[Measurement]) -> list[str]:
        """How far the default is above each of the others."""
        out = ["With two classes softmax entropy is a falling function of the margin: its AUROC for small margins and "
               "its rank correlation are 1 by construction. It needs the model's outputs; MARGIN sees latents and "
               "labels."]
        value = {(row.table, row.metric, row.method, row.x, row.repetition): row.value for row in rows}
        for table in dict.fromkeys(row.table for row in rows):
            for metric, x in ((LOW, NEAR), (WRONG, 0.0), (CORRELATION, 0.0)):
                found = {r: v for (t, m, method, at, r), v in value.items()
                         if (t, m, method, at) == (table, metric, OURS, x)}
                if not found:
                    continue
                methods = dict.fromkeys(row.method for row in rows if (row.table, row.metric) == (table, metric))
                parts = [f"{method} {difference([v - value[table, metric, method, x, r] for r, v in found.items()])}"
                         for method in methods if method != OURS and not (method == ENTROPY and metric != WRONG)]
                where = f" ({100 * x:.0f} %)" if x else ""
                mean = point(list(found.values())).mean
                out.append(f"{table}: {metric}{where}, {OURS} {mean:.4f}, minus others: {'; '.join(parts)}.")
        return out


def judge(score: Scores, margin: Scores, wrong: NDArray[np.bool_]) -> list[tuple[str, float, float]]:
    """How well a score finds what is near to the boundary.

    Args:
        score: (samples,), high = near.
        margin: (samples,) of the model, not negative.
        wrong: (samples,) whether the model errs.

    Returns:
        (metric, x, value): AUROC for the share x of samples with the smallest margins; the mean percentile, from 0 to
        1, of the margins of the share x at the top (x / 2 at best, 1/2 by chance); Spearman's correlation with minus
        the margin; AUROC for samples that the model gets wrong, where there are any.
    """
    n = len(score)
    order, first = np.argsort(margin, kind="stable"), np.argsort(-score, kind="stable")
    place = rankdata(margin) / n
    out = []
    for x in (0.01, 0.05, 0.1, 0.2):
        near = np.zeros(n, dtype=bool)
        near[order[:round(x * n)]] = True
        out += [(LOW, x, float(roc_auc_score(near, score))), (TOP, x, float(place[first[:round(x * n)]].mean()))]
    out.append((CORRELATION, 0.0, float(spearmanr(score, -margin)[0])))
    if wrong.any():
        out.append((WRONG, 0.0, float(roc_auc_score(wrong, score))))
    return out


def train_two_digits(images: NDArray[np.float32], y: NDArray[np.int64], *, epochs: int, seed: int) -> nn.Sequential:
    """A small convolutional network, the same for the same arguments: one thread, its own random numbers.

    Args:
        images: (images, 1, 28, 28), from 0 to 1.
        y: (images,) 0 or 1.
        epochs: Passes over the images.
        seed: Of the weights and the order.
    """
    x, target, threads = torch.from_numpy(images), torch.from_numpy(y), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(),
                                  nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 32), nn.ReLU(), nn.Linear(32, 2))
            optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
            for _ in range(epochs):
                order = torch.randperm(len(x))
                for start in range(0, len(x), 32):
                    rows = order[start:start + 32]
                    optimiser.zero_grad()
                    loss = nn.functional.cross_entropy(model(x[rows]), target[rows])
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def _two_digits(place: Path, o: Settings, rng: np.random.Generator) -> tuple[Any, Scores, NDArray[np.int64], Any]:
    """Latents, logits, labels and images of the test part, by a model of the training part."""
    sets = []
    for part, size in (("train", o["train"]), ("test", o["judged"])):
        x, y = data.mnist(place, part)
        rows = rng.permutation(np.flatnonzero(np.isin(y, (0, 6))))[:size or None]
        sets.append((x[rows][:, None], (y[rows] == 6).astype(np.int64)))
    (x, y), (images, true) = sets
    model = train_two_digits(x, y, epochs=o["epochs"], seed=o["repetition"])
    return latents(model, images, _LATENT), latents(model, images).astype(np.float64), true, images[:, 0]


def _cats_dogs(place: Path, o: Settings, rng: np.random.Generator) -> tuple[Any, Scores, NDArray[np.int64]]:
    """Features, logits and labels of one half, by a logistic regression of the other."""
    x, y = data.cats_dogs(place)
    order = rng.permutation(len(y))
    train, judged = order[:len(y) // 2], order[len(y) // 2:][:o["judged"] or None]
    model: Any = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [0.001, 0.01, 0.1]}, scoring="neg_log_loss").fit(
        x[train], y[train])
    logit = model.decision_function(x[judged]).astype(np.float64)
    return x[judged], np.stack([-logit / 2, logit / 2], 1), y[judged]


def _size(train: int) -> str:
    return f"{train:,}" if train else "all"


def _entropy(margin: Scores) -> Scores:
    """(samples,) softmax entropy of two classes, in nats, by the difference of their logits: exact for large ones."""
    p = 1 / (1 + np.exp(-margin))
    out: Scores = np.log1p(np.exp(-margin)) + margin * (1 - p)
    return out


def _png(image: NDArray[np.float32]) -> str:
    file = io.BytesIO()
    Image.fromarray((255 - 255 * image).astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()

