"""How well explainers find a rule that one plants oneself, in one's own samples."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.api import fit
from pellucid.clouds import PointClouds
from pellucid.commands.explaining import OWN, ExplainedRun, prepare, refuse_unknown
from pellucid.datasets.base import PreparedDataset, load_dataset
from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.explainers.making import make_explainer
from pellucid.explanation import Explanation
from pellucid.files import json_ready, read_json, write_json
from pellucid.metrics.bootstrap import estimate
from pellucid.metrics.contributions import contribution_values
from pellucid.metrics.interpretation import best_explanation_values
from pellucid.metrics.trust import FAIR
from pellucid.progress import say, waiting
from pellucid.training.config import RunConfig
from pellucid.training.devices import pick_device
from pellucid.training.model import build, measured
from pellucid.training.presets import defaults, explainer_options, settings

SKIPPED = ("random", "centroid", "density", "pyg")
"""Explainers that ask nothing of the model; of ``pyg`` the algorithm must be named."""
FEW = 20
"""Molecules up to which a score may be luck."""
NONE_APPLIES = "expected an explainer that applies, got none: "
CHANCE_DRAWS = 20
"""Random importances over which the score of chance is the mean."""


@dataclass(frozen=True)
class Found:
    """How well one explainer found the planted rule.

    Attributes:
        name: Of the explainer; ``own`` is what the model itself says, ``method:own`` that of a further method.
        method: Of the model.
        score: Mean over samples of the ROC AUC of the deciding points within the sample, against the explanation that
            is found best; of a sum the Spearman correlation with the true contributions. What chance has, and what
            is the most: :attr:`Planted.chance`, :attr:`Planted.most`.
        low: Lower end of its 95 % bootstrap interval.
        high: Upper end.
        samples: How many were judged.
        signed: Whether importance has a sign.
        seconds: What fitting and explaining took.
        trouble: Why it could not explain, or nothing.
    """

    name: str
    method: str
    score: float
    low: float
    high: float
    samples: int
    signed: bool
    seconds: float
    trouble: str = ""


@dataclass(frozen=True)
class Planted:
    """What :func:`trust` found.

    Attributes:
        rule: The rule.
        kind: ``"binary"`` or ``"regression"``.
        folder: With the run of each method, and ``trust.json``.
        prediction: Of each method: metrics of the prediction on the test split.
        found: The explainers, best first.
        samples: Of the whole dataset.
        notes: What is to be known of the data.
        chance: Mean score of random importance on the same samples; above 0.5 where several explanations are right.
        most: Score of an importance that makes no mistake and has no ties; of a sum below 1 where many points add the
            same.
        asked: What decides which molecules are judged, and of which models: rule, molecules, preset, seed, how many.
    """

    rule: str
    kind: str
    folder: Path
    prediction: dict[str, dict[str, float]]
    found: tuple[Found, ...]
    samples: int
    notes: tuple[str, ...]
    chance: float
    most: float
    asked: dict[str, Any]

    @property
    def sentence(self) -> str:
        """What came out, in words."""
        known = [one for one in self.found if not one.trouble]
        own = next((one for one in known if one.name == OWN), None)
        best = known[0]
        what = "ROC AUC" if self.kind == "binary" else "Spearman correlation"
        rank = "best " if len(known) > 1 else ""
        over = f"{best.samples} molecule{'s' * (best.samples != 1)}{', which are few' if best.samples < FEW else ''}"
        most = f" of at most {self.most:.3f}" if self.most < 0.9995 else ""
        told = f"({what} {best.score:.3f}{most} over {over}; chance has {self.chance:.3f})"
        if best.score <= self.chance or best.low <= self.chance:  # not the latter where there is no interval
            said = f"None of them surely finds the planted rule better than chance: {best.name} of {best.method} {told}"
        else:
            said = f"{best.name} of {best.method} finds the planted rule {rank}{told}"
            if alike := [one for one in known[1:] if one.high >= best.score]:
                names = ", ".join(f"{one.name} of {one.method}" for one in alike[:3])
                more = f" and {len(alike) - 3} more" if len(alike) > 3 else ""
                said += f", which {names}{more} may do as well"
        if own is not None and own is not best:
            said += f"; what the model says itself finds it with {own.score:.3f}"
            said += ", which is upside down" if own.high < self.chance else ""
        predicted = self.prediction[best.method]
        kind = "r2" if "r2" in predicted else "roc_auc"
        told = f"{'R²' if kind == 'r2' else 'ROC AUC'} {predicted[kind]:.3f}"
        if predicted[kind] < FAIR[kind]:
            return f"{said}. But the model hardly predicts the rule ({told}), so that this says little."
        return f"{said}. The model predicts the rule with {told}."

    def document(self) -> dict[str, Any]:
        """As ``trust.json`` has it."""
        return dict(json_ready({"rule": self.rule, "kind": self.kind, "samples": self.samples,
                                "prediction": self.prediction, "sentence": self.sentence, "chance": self.chance,
                                "most": self.most, "found": [vars(one) for one in self.found],
                                "notes": list(self.notes), "asked": self.asked}))


def trust(rule: str, source: Any = None, *, out: str | Path, graph: bool = False, methods: Sequence[str] = (),
          by: Sequence[str] = (), size: int = 2000, explained: int = 200, smiles: str | None = None,
          id: str | None = None, preset: str = "fast", seed: int = 0, device: str = "auto", progress: bool = False,
          overwrite: bool = False) -> Planted:
    """Plants a rule in molecules, trains on it, and measures how well each explainer finds it.

    What explains a rule that is known says how far explanations of a model can be believed on molecules like these; it
    does not say that the model of a measured property hangs on atoms in the same way.

    Args:
        rule: In the language of :meth:`pellucid.chemistry.rules.Rule.parse`, or the name of a rule that comes along.
        source: Table of your own molecules; None draws real ones from ZINC.
        out: Folder for the runs and ``trust.json``.
        graph: Whether to learn from bonds alone.
        methods: Trained each; empty for the one that suits molecules.
        by: Explainers; empty for all that apply to the models, and what the models say themselves (``own``).
        size: Molecules at most.
        explained: Test molecules that are explained at most.
        smiles: Column of the SMILES; None finds it.
        id: Column of the ids; None finds it.
        preset: As of :func:`pellucid.fit`.
        seed: Of data and models.
        device: Where to compute.
        progress: Whether to show bars.
        overwrite: Whether runs in ``out`` may be replaced.

    Returns:
        What was found; also in ``out/trust.json``.

    Raises:
        PellucidError: if the rule cannot be read or planted, or a name is unknown.

    Example:
        >>> import pellucid
        >>> found = pellucid.trust("amide and not halogen", "mine.csv", out="planted", graph=True)  # doctest: +SKIP
        >>> print(found.sentence)  # doctest: +SKIP
        own of erm finds the planted rule best (ROC AUC 0.981 over 80 molecules). The model predicts ...
    """
    for name in by:
        refuse_unknown(name)
    backbone, usual = defaults("rules", not graph)
    methods = methods or (usual,)
    configs = [settings("rules", name, backbone, preset, coordinates=not graph) for name in methods]  # refuses misfits
    geometry = {"geometry": "graph"} if graph else {}
    given = {name: value for name, value in (("source", source), ("smiles", smiles), ("id", id)) if value is not None}
    data = load_dataset("rules", rule=rule, size=size, seed=seed, progress=progress, **geometry, **given)
    for sentence in (*data.provenance["labels"], *data.provenance["notes"]):
        say(sentence, progress)
    kind, folder = data.recipe.targets[0].kind, Path(out)
    tested = judged(data.clouds.split("test"), explained, seed)
    if not len(tested):
        raise PellucidError(f"expected test molecules in which some atoms decide and others do not, got none for "
                            f"{data.provenance['rule']}; what is absent decides without an atom: plant a rule that "
                            "asks for something, or give more molecules")
    asked = dict(json_ready({"data": data.provenance["key"], "preset": preset, "seed": seed, "explained": explained}))
    found, predicted = ([], {}) if overwrite else _before(folder, asked)
    if by and not found:
        _refuse_inapplicable(by, configs, data, tested)
    where = pick_device(device)
    for method in methods:
        run = folder / method
        if overwrite or not _is_there(run, data, preset, seed):
            fit(data, out=run, method=method, preset=preset, seed=seed, device=device, progress=progress,
                overwrite=overwrite)
        predicted[method] = read_json(run / "metrics.json")["prediction"]["rule"]
        for name in by or (OWN, *(name for name in explainers if name not in SKIPPED)):
            with waiting(f"explaining by {name}", progress):
                one = _found(run, name, method, data.clouds, tested, where, preset, seed)
            found = [other for other in found if (other.name, other.method) != (name, method)]
            if by or not one.trouble:
                found.append(one)
    if not any(not one.trouble for one in found):
        raise PellucidError(NONE_APPLIES + "; ".join(one.trouble for one in found))
    found.sort(key=lambda one: (bool(one.trouble), -one.score))
    chance, most = limits(tested, seed)
    planted = Planted(data.provenance["rule"], kind, folder, predicted, tuple(found), len(data.clouds),
                      (*data.provenance["labels"], *data.provenance["notes"]), chance, most, asked)
    write_json(folder / "trust.json", planted.document())
    return planted


def _refuse_inapplicable(by: Sequence[str], configs: Sequence[RunConfig], data: PreparedDataset, tested: PointClouds
                         ) -> None:
    """Raises PellucidError where none of the named explainers applies to any model, before one is trained."""
    troubles: dict[str, str] = {}
    train, spec = data.clouds.split("train"), data.recipe.spec(data.clouds)
    for config in configs:
        model = build(config, measured(spec, train, config)).eval()
        for name in by:
            if name == OWN:
                if model.explains:
                    return
                troubles[name] = f"{config.method.name} only predicts"
                continue
            try:
                make_explainer(name, explainer_options("rules", name, config.preset) or None).refuse(model, tested)
                return
            except PellucidError as error:
                troubles[name] = str(error)
    raise PellucidError(NONE_APPLIES + "; ".join(troubles.values()))


def _before(folder: Path, asked: dict[str, Any]) -> tuple[list[Found], dict[str, dict[str, float]]]:
    """What was found of the same rule in the same molecules before, which further methods and explainers join.

    Raises:
        PellucidError: if what is there is of another rule, or other molecules or settings.
    """
    path = folder / "trust.json"
    if not path.is_file():
        return [], {}
    before = read_json(path)
    if before.get("asked") != asked:
        raise PellucidError(f"expected a new folder, got what was found of {before.get('rule')} in {folder}, or with "
                            "other molecules or settings; give another one, or allow to overwrite (--overwrite)")
    none = dict.fromkeys(("score", "low", "high"), math.nan)  # JSON has no such number
    known = [Found(**(one | {name: nan for name, nan in none.items() if one[name] is None})) for one in before["found"]]
    return known, before["prediction"]


def _is_there(run: Path, data: PreparedDataset, preset: str, seed: int) -> bool:
    """Whether a run is the finished one of the same rule, molecules and settings, which need not be trained again."""
    if not (run / "metrics.json").is_file() or not (run / "config.json").is_file():
        return False
    config = read_json(run / "config.json")
    asked = {"dataset_options": dict(json_ready(data.provenance["key"])), "preset": preset, "seed": seed}
    return all(config.get(name) == value for name, value in asked.items())


def judged(clouds: PointClouds, most: int, seed: int = 0) -> PointClouds:
    """Test clouds that a rule decides and whose deciding points are known and not all of them, so many at most."""
    marked = torch.zeros(len(clouds), dtype=torch.int64).index_add_(0, clouds.batch, clouds["important"].long())
    decided = (marked > 0) & (marked < clouds.sizes)
    if "contribution" not in clouds:
        decided &= clouds["y"][:, 0] == 1
    places = decided.nonzero().squeeze(1)
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))[:most]
    return clouds.select(places[order.sort().values])


def scores(clouds: PointClouds, importance: Tensor) -> Tensor:
    """(clouds,) how well importance finds the planted rule; see :class:`Found`."""
    if "contribution" in clouds:
        return contribution_values(importance, clouds["contribution"], clouds.ptr)
    return best_explanation_values(importance, clouds["important"], clouds["explanations"], clouds.ptr)


def limits(clouds: PointClouds, seed: int = 0) -> tuple[float, float]:
    """Mean score of random importance, and that of an importance that makes no mistake and has no ties.

    Args:
        clouds: From :func:`judged`.
        seed: Of the random importances.
    """
    random = torch.Generator().manual_seed(seed)
    chance = torch.stack([scores(clouds, torch.rand(clouds.points, generator=random)) for _ in range(CHANCE_DRAWS)])
    truth = clouds["contribution" if "contribution" in clouds else "important"]
    order = torch.empty(clouds.points, dtype=torch.float64)
    order[truth.double().argsort(stable=True)] = torch.arange(clouds.points, dtype=torch.float64)
    return float(chance.nanmean()), float(scores(clouds, order).nanmean())


def _found(run: Path, name: str, method: str, data: PointClouds, tested: PointClouds, device: torch.device,
           preset: str, seed: int) -> Found:
    started = time.perf_counter()
    try:
        options = {} if name == OWN else explainer_options("rules", name, preset)
        source = ExplainedRun.open(run, device, None if name == OWN else name, options or None)
        source.refuse(tested)
        prepare([source], data, seed=seed)
        explanation: Explanation = source.explain(tested, seed=seed).of()
    except PellucidError as error:
        return Found(name, method, math.nan, math.nan, math.nan, 0, False, 0.0, str(error))
    seconds = time.perf_counter() - started
    values = scores(tested, explanation.importance)
    known = estimate(values, 0.0 if "contribution" in tested else 0.5, seed=seed)
    return Found(name, method, known.value, known.low, known.high, int((~values.isnan()).sum()), explanation.signed,
                 round(seconds, 3))
