"""Study V: adversarial images, told from harmless ones (MARGIN paper, section 5.5, figure 7)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import normalize

from pellucid.benchmarks.margin import data
from pellucid.benchmarks.margin.curves import point
from pellucid.benchmarks.margin.digits_model import DigitsModel, look, one_thread, train_digits
from pellucid.benchmarks.margin.protocol import Measured, Measurement, Part, Protocol, Settings, package, protocols
from pellucid.benchmarks.margin.sentences import difference
from pellucid.margin import influence, knn_graph, shift
from pellucid.margin.nearest import nearest, nearest_in
from pellucid.margin.outliers import Function, Outliers, Variant, trusted_influence

Scores = NDArray[np.float64]
Images = NDArray[np.float32]

FUNCTIONS: dict[str, Function] = {"MMD": "mmd", "KDE": "density", "distance": "distance"}
VARIANTS: dict[str, Variant] = {"MARGIN, trusted": "trusted", "MARGIN, signed": "signed",
                                "MARGIN, energy (paper)": "energy"}
AUROC, CHANGED, DETECTED = "AUROC", "AUROC, attacks that changed the prediction", "attacks detected"
ATTACKS = {"FGSM": "FGSM", "CW": "Carlini-Wagner L2"}
AMONG, AGAINST = "images among themselves", "against training images"
SMOOTH = "low-pass on the graph (ours)"
METRICS: dict[str, Callable[[Images], Images]] = {"cosine": normalize, "Euclidean": np.asarray}
"""Metric -> what to do with latents so that Euclidean distances are it."""
FALSE_ALARMS = (0.01, 0.05, 0.1)
_BATCH = 200
"""Images that are attacked together."""
_BINS = 40


@protocols.register("margin-adversarial")
class AdversarialProtocol(Protocol):
    """How well scores of single images tell attacked images from harmless ones, in the attacked network's latents."""

    title = "Adversarial samples (MARGIN study V)"
    source = "MARGIN paper, section 5.5, figure 7"
    claim = ("Published: histograms only. Scores by MARGIN separate adversarial from harmless images much better than "
             "the functions without the graph (MMD-global, KDE), less so for the Carlini-Wagner attack than for FGSM.")
    axis = "share of harmless images that are flagged"
    shown: ClassVar = {DETECTED: [0.05]}
    best: ClassVar = {AUROC: "high", CHANGED: "high", DETECTED: "high"}
    needs = ("art",)
    files: ClassVar = {"mnist": data.FILES["mnist"]}
    presets: ClassVar = {
        "standard": {"repetitions": 4, "images": 2000, "pool": 10000, "train": 60000, "epochs": 2, "reference": 10000,
                     "neighbors": 20, "epsilon": 0.3, "searches": 5, "iterations": 20},
        "smoke": {"repetitions": 1, "images": 200, "pool": 1000, "train": 6000, "epochs": 1, "reference": 1000,
                  "neighbors": 20, "epsilon": 0.3, "searches": 3, "iterations": 4},
    }

    def parts(self, settings: Settings) -> list[Part]:
        """One a repetition: a network of its own, images of its own, both attacks."""
        common = {name: value for name, value in settings.items() if name != "repetitions"}
        return [Part(f"MNIST, repetition {r}", ("mnist",), {**common, "repetition": r})
                for r in range(settings["repetitions"])]

    def measure(self, part: Part, folder: Path | None) -> Measured:
        """Trains the network, attacks half of the images, and scores all of them with every method."""
        o = part.options
        repetition, k = o["repetition"], o["neighbors"]
        rng = np.random.default_rng(repetition)
        place = self.place("mnist", folder)
        x, y = data.mnist(place)
        rows = rng.permutation(len(x))[:o["train"]]
        x, y = x[rows][:, None], y[rows]
        model = train_digits(x, y, epochs=o["epochs"], seed=repetition)
        test, true = data.mnist(place, "test")
        pool = rng.permutation(len(test))[:o["pool"]]
        test, true = test[pool][:, None], true[pool]
        guess = look(model, test)[1].argmax(1)
        images, before = test[:o["images"]], guess[:o["images"]]
        half = len(images) // 2
        out = Measured()
        out.rows.append(Measurement("network and attacks", "test accuracy", "network", 0.0,
                                    float((guess == true).mean()), repetition))
        reference, labels = look(model, x[:o["reference"]])[0], y[:o["reference"]]
        chance = rng.random(len(images))
        judges = {metric: _Judges(of(reference), labels, k, repetition) for metric, of in METRICS.items()}
        for name, attack in ATTACKS.items():
            attacked = attack_digits(model, images[:half], name, epsilon=o["epsilon"], searches=o["searches"],
                                     iterations=o["iterations"])
            latents, shares = look(model, np.concatenate([attacked, images[half:]]))
            guess = shares.argmax(1)
            changed = guess[:half] != before[:half]
            distance = np.linalg.norm((attacked - images[:half]).reshape(half, -1), axis=1)
            out.rows += [Measurement("network and attacks", metric, attack, 0.0, float(value), repetition)
                         for metric, value in (("attacks that changed the prediction", changed.mean()),
                                               ("mean L2 of the change", distance.mean()))]
            for metric, of in METRICS.items():
                results = judges[metric].scores(of(latents), guess)
                for setting, scores in results.items():
                    scores |= {"softmax confidence": 1 - shares.max(1).astype(np.float64), "random": chance}
                    out.rows += [Measurement(f"{attack}, {setting}, {metric}", measure, method, at, value, repetition)
                                 for method, score in scores.items() for measure, at, value in judge(score, changed)]
                if repetition == 0:
                    out.pictures |= _histograms(f"{attack}, {metric}", results[AMONG], half)
        out.notes.append(
            f"{part.label}: {len(images):,} test images, {half:,} of them attacked, untargeted, against what the "
            f"network says of them; FGSM with epsilon = {o['epsilon']}; Carlini-Wagner L2 without confidence, "
            f"{o['searches']} binary search steps of {o['iterations']} iterations. All attacked images count as "
            f"attacked under {AUROC}, whether or not the prediction changed; under {CHANGED} those where it did not "
            "are left out.")
        return out

    def findings(self, rows: list[Measurement]) -> list[str]:
        """What the graph adds to each function, and how far the default is above the competitors."""
        value = {(row.table, row.method, row.repetition): row.value for row in rows if row.metric == AUROC}
        repetitions = sorted({r for _, _, r in value})

        def minus(table: str, one: str, other: str) -> str:
            return difference([value[table, one, r] - value[table, other, r] for r in repetitions])

        out = []
        for table in dict.fromkeys(table for table, _, _ in value):
            for function in FUNCTIONS:
                gains = "; ".join(f"{method} {minus(table, f'{method}, {function}', f'{function} alone')}"
                                  for method in (*VARIANTS, SMOOTH)
                                  if (table, f"{method}, {function}", repetitions[0]) in value)
                mean = point([value[table, f"{function} alone", r] for r in repetitions]).mean
                out.append(f"{table}: AUROC of {function} alone {mean:.4f}; with the graph, minus alone: {gains}.")
            ours = "MARGIN, trusted, distance"
            mean = point([value[table, ours, r] for r in repetitions]).mean
            others = "; ".join(f"{method} {minus(table, ours, method)}" for method in (
                "k-NN distance", "LocalOutlierFactor", "IsolationForest", "softmax confidence", "random"))
            out.append(f"{table}: AUROC of the default, {ours}, {mean:.4f}; minus others: {others}.")
        return out


def attack_digits(model: DigitsModel, images: Images, attack: str, *, epsilon: float, searches: int, iterations: int
                  ) -> Images:
    """Untargeted attacks on what a model says of images, by the Adversarial Robustness Toolbox.

    Args:
        model: The network.
        images: (images, 1, 28, 28), from 0 to 1.
        attack: ``FGSM`` (Goodfellow et al., 2014) or ``CW`` (Carlini and Wagner, 2017: L2, no confidence).
        epsilon: Change of each pixel by FGSM.
        searches: Binary search steps of CW for its constant, from 10.
        iterations: Of CW in each.

    Returns:
        (images, 1, 28, 28) attacked images, from 0 to 1; CW leaves an image as it is where it fails.
    """
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the toolbox uses what others have deprecated
        estimators, evasion = package("art.estimators.classification"), package("art.attacks.evasion")
        target: Any = estimators.PyTorchClassifier(model, torch.nn.CrossEntropyLoss(), (1, 28, 28), 10,
                                                   clip_values=(0.0, 1.0), device_type="cpu")
        target.class_gradient = lambda x, label: class_gradient(model, x, label)
        if attack == "FGSM":
            method = evasion.FastGradientMethod(target, eps=epsilon, batch_size=_BATCH)
        else:
            method = evasion.CarliniL2Method(target, binary_search_steps=searches, max_iter=iterations,
                                             initial_const=10.0, batch_size=_BATCH, verbose=False)
        attacked: Images = method.generate(images)
    return attacked


def class_gradient(model: DigitsModel, images: Images, label: NDArray[Any]) -> Images:
    """(images, 1, 1, 28, 28) gradient of one logit of each image, in one pass; the toolbox takes one a class.

    Args:
        model: The network.
        images: (images, 1, 28, 28).
        label: (images,) which logit.
    """
    x = torch.from_numpy(np.asarray(images, dtype=np.float32)).requires_grad_()
    logits = model(x)[torch.arange(len(x)), torch.from_numpy(np.asarray(label))]
    gradient: Images = torch.autograd.grad(logits.sum(), x)[0].numpy()[:, None]
    return gradient


def judge(score: Scores, changed: NDArray[np.bool_]) -> list[tuple[str, float, float]]:
    """How well a score tells attacked images from harmless ones.

    Args:
        score: (images,), high = attacked; the attacked ones come first.
        changed: (attacked images,) whether the attack changed the prediction.

    Returns:
        (metric, x, value): AUROC for all attacked images, and for those where the prediction changed; the share of the
        attacked images above the score that a share x of the harmless ones exceeds.
    """
    half = len(changed)
    attacked, harmless = score[:half], score[half:]
    out = [(AUROC, 0.0, _auroc(attacked, harmless))]
    if changed.any():
        out.append((CHANGED, 0.0, _auroc(attacked[changed], harmless)))
    out += [(DETECTED, at, float((attacked > np.quantile(harmless, 1 - at)).mean())) for at in FALSE_ALARMS]
    return out


def _auroc(attacked: Scores, harmless: Scores) -> float:
    truth = np.repeat([1, 0], [len(attacked), len(harmless)])
    return float(roc_auc_score(truth, np.concatenate([attacked, harmless])))


def _methods(function: str) -> dict[str, Variant]:
    alone: dict[str, Variant] = {f"{function} alone": "function"}
    return alone | {f"{method}, {function}": variant for method, variant in VARIANTS.items()}


class _Judges:
    """All methods, those that are fitted on training images once for both attacks."""

    def __init__(self, reference: Images, labels: NDArray[np.int64], k: int, seed: int) -> None:
        self._reference, self._k, self._seed = reference, k, seed
        self._fitted = {name: Outliers(k, function=function, variant="function").fit(reference, labels)
                        for name, function in FUNCTIONS.items()}
        self._factor = LocalOutlierFactor(k, novelty=True).fit(reference)
        self._forest = IsolationForest(random_state=seed).fit(reference)

    def scores(self, latents: Images, guess: NDArray[np.int64]) -> dict[str, dict[str, Scores]]:
        """Setting -> method -> (images,) scores, high = odd."""
        k = self._k
        against: dict[str, Scores] = {}
        for function, study in self._fitted.items():
            against |= {method: study.set_params(variant=variant).score_samples(latents, guess)
                        for method, variant in _methods(function).items()}
        graph = knn_graph(latents, k)  # over the images themselves, as in the paper
        alone = {"MMD": Outliers(k, function="mmd", variant="function").fit(latents).influence_,
                 "KDE": against["KDE alone"], "distance": Outliers(k, variant="function").fit(latents).influence_}
        among: dict[str, Scores] = {}
        for function, f in alone.items():
            among |= {f"{function} alone": f, f"{SMOOTH}, {function}": f + shift(graph, f[:, None])[:, 0]}
            for name, variant in VARIANTS.items():
                among[f"{name}, {function}"] = (trusted_influence(graph, f) if variant == "trusted" else
                                                influence(graph, f, mode="signed" if variant == "signed" else "energy"))
        among |= {
            "k-NN distance": nearest(latents, k).distance.mean(1).astype(np.float64),
            "LocalOutlierFactor": -LocalOutlierFactor(k).fit(latents).negative_outlier_factor_,
            "IsolationForest": -IsolationForest(random_state=self._seed).fit(latents).score_samples(latents)}
        against |= {
            "k-NN distance": nearest_in(self._reference, latents, k).distance.mean(1).astype(np.float64),
            "LocalOutlierFactor": -self._factor.score_samples(latents),
            "IsolationForest": -self._forest.score_samples(latents)}
        return {AMONG: among, AGAINST: against}


def _histograms(attack: str, scores: dict[str, Scores], half: int) -> dict[str, dict[str, Any]]:
    """Figure 7: both kinds of images by each function, without the graph and with it."""
    out = {}
    for function in ("MMD", "KDE"):
        for method in _methods(function):
            energy = "energy" in method
            score = np.sqrt(scores[method]) if energy else scores[method]
            low, high = np.quantile(score, [0.005, 0.995])
            edges = np.linspace(low, max(high, low + 1e-9), _BINS + 1)
            inside = np.clip(score, edges[0], edges[-1])
            out[f"{attack}: {method}"] = {
                "kind": "histogram", "title": f"{attack}: {method} (figure 7)",
                "x": "root of the energy" if energy else "score", "edges": edges.tolist(),
                "counts": {"harmless": np.histogram(inside[half:], edges)[0].tolist(),
                           "attacked": np.histogram(inside[:half], edges)[0].tolist()}}
    return out
