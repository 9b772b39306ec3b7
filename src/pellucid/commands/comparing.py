"""Which explainer to take for a run: all that apply, on its validation data, without any ground truth."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.commands.explaining import COMPARED, MODEL, OWN, Asked, ExplainedRun, output_name, prepare, refuse_unknown
from pellucid.errors import PellucidError
from pellucid.explainers.base import Explainer, Predictor, Ready, explainers, of_clouds, ready
from pellucid.explainers.making import make_explainer
from pellucid.explanation import Explanation, asking
from pellucid.explanations.recommendation import Row, objection, recommend
from pellucid.explanations.side_by_side import SideBySide
from pellucid.files import json_ready, read_json, sha256, write_json
from pellucid.metrics.bootstrap import Estimate, estimate
from pellucid.metrics.effect import Effect, Effects, Exchanged
from pellucid.metrics.sanity import shuffled, what_is_left
from pellucid.metrics.stability import rank_correlation
from pellucid.training.explaining import JITTER, explain_clouds
from pellucid.training.model import mean_neighbor_distance
from pellucid.training.predict import value_of
from pellucid.training.presets import explainer_options

CHECKED = 40
"""Samples at most on which weights are shuffled and points are moved, evenly spaced."""
SHUFFLES = 2
"""Models with shuffled weights."""
REFITTED = 256
"""Training samples at most on which an explainer that learns is fitted anew for shuffled weights."""
BATCH = 256
"""Samples a batch, as where an explainer is called alone."""

Advance = Callable[[float, float], None]


@dataclass(frozen=True)
class Comparison:
    """What was found of the explainers of a run.

    Attributes:
        run: Its folder.
        target: The output that was explained.
        unit: Of fidelity: the target's own, or log-odds.
        samples: How many were explained.
        rows: One an explainer.
        agreement: Of each two, mean Spearman rank correlation within samples.
        left_out: Explainers that do not apply, and why.
        recommended: The one to take; None where none can be recommended.
        reason: Why, in a sentence.
        seconds: That all took.
        seed: Of all that is random.
        explanations: By explainer; not written.
    """

    run: Path
    target: str
    unit: str
    samples: int
    rows: list[Row]
    agreement: dict[str, dict[str, float]]
    left_out: dict[str, str]
    recommended: str | None
    reason: str
    seconds: float
    seed: int
    explanations: Mapping[str, Explanation] = field(repr=False, default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        from pellucid import __version__

        return dict(json_ready({
            "target": self.target, "unit": self.unit, "samples": self.samples, "split": "val", "seed": self.seed,
            "recommended": self.recommended, "reason": self.reason,
            "explainers": {row.name: row.document() for row in self.rows}, "agreement": self.agreement,
            "left_out": self.left_out, "seconds": self.seconds, "version": __version__}))

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Names of the columns, and a row an explainer, the largest effect first; for printing.

        ``leave`` and ``change`` are effects of the points that it names, last those of random ones; ``shuffled`` is the
        rank correlation with shuffled weights.
        """
        head = ["", "±", "leave", "change", "shuffled", "steady", "agrees", "s"]
        rows = [[row.name, "±" if row.signed else "", f"{row.fidelity.value:.3g}", f"{row.in_distribution.value:.3g}",
                 _told(row.left.value), _told(row.stability), _told(row.agreement), f"{row.seconds:.1f}"]
                for row in sorted(self.rows, key=lambda row: -row.fidelity.value)]
        first = self.rows[0]
        return head, [*rows, ["(random points)", "", f"{first.fidelity.random:.3g}",
                              f"{first.in_distribution.random:.3g}", "", "", "", ""]]

    def sentences(self) -> list[str]:
        """What the table means, what stands against explainers, what does not apply, and which one to take."""
        taken = f"Take {self.reason}" if self.recommended else self.reason
        return [f"leave, change: by how much the prediction moves (in {self.unit}) when the 10 to 50 % of the points "
                "that an explainer puts first leave, or look like points of other samples. With a sign (±) the first "
                "are those of the largest |value|, and they must move it the way their sign says.",
                *(f"{row.name}: {text}." for row in self.rows if (text := objection(row))),
                *(f"{row.name}: {row.note}" for row in self.rows if row.note and row.name == OWN),
                *(f"{row.name}: with {', '.join(f'{k}={v}' for k, v in row.options.items())}." for row in self.rows
                  if row.options),
                *(f"Not applicable, {name}: {why}." for name, why in self.left_out.items()), taken]


def _told(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}".replace("-", "−")


@dataclass
class _Held:
    """A model and what explains it, over the same clouds.

    Attributes:
        source: The run with what it learned; its model may be one with shuffled weights.
        clouds: To explain.
        batches: Of them, for all explainers.
        asked: What is asked.
        seed: Decides every random number.
    """

    source: ExplainedRun
    clouds: PointClouds
    batches: list[Ready]
    asked: Asked
    seed: int

    @staticmethod
    def of(source: ExplainedRun, clouds: PointClouds, asked: Asked, seed: int) -> _Held:
        return _Held(source, clouds, list(ready(source.model, clouds, target=asked.target, batch_size=BATCH)), asked,
                     seed)

    def own(self) -> dict[str, Explanation]:
        """What the run learned, and its columns."""
        if not self.source.model.explains:
            return {}
        whole = explain_clouds(self.source.model, self.clouds, target=self.asked.target,
                               provenance={**self.source.about, "seed": self.seed})
        return {OWN: whole.of(), **{f"{OWN}:{name}": whole.column(name) for name in
                                    self.source.model.importance_columns}}

    def by(self, explainer: Explainer) -> Explanation:
        """What an explainer says; what it says alone."""
        return explainer.explain(self.source.model, self.clouds, target=self.asked.target, seed=self.seed,
                                 batches=self.batches, provenance={**self.source.about, "seed": self.seed})


def compare_run(run: Path, device: torch.device, clouds: PointClouds, *, samples: int = 500,
                target: str | int | None = None, names: Sequence[str] = (), options: Mapping[str, Any] | None = None,
                seed: int = 0, advance: Advance | None = None) -> Comparison:
    """Compares the explainers of a run on its validation data; writes nothing.

    Args:
        run: Its folder.
        device: Where to compute.
        clouds: All splits.
        samples: Validation samples at most, evenly spaced, at least 1.
        target: The output to explain.
        names: Explainers, ``"own"`` among them for what the run learned; empty for all that apply.
        options: Of explainers by name; None, and for those that are not there, what the preset of the run says for
            them (see :func:`pellucid.training.presets.explainer_options`).
        seed: Decides every random number.
        advance: Called with work done and work in all.

    Raises:
        PellucidError: if a named explainer does not apply, none does, or there are no validation samples.
    """
    began = time.perf_counter()
    wanted = list(dict.fromkeys(names)) or [OWN, *explainers]
    for name in wanted:
        refuse_unknown(name)
    source, asked = _opened(run, device), Asked(target)
    targets = source.model.targets
    name, validation = output_name(targets, target), clouds.split("val")
    if samples < 1 or not len(validation):
        raise PellucidError(f"expected at least 1 validation sample of {run} to compare explainers on, got "
                            f"{min(samples, len(validation))}")
    chosen = _spaced(validation, samples)
    source.model.refuse(chosen)
    held, left_out = _Held.of(source, chosen, asked, seed), {}
    made: dict[str, Explainer] = {}
    used: dict[str, dict[str, Any]] = {}
    config = source.config
    for one in wanted:
        try:
            if one == OWN:
                if not source.model.explains:
                    raise PellucidError(f"expected a method with importance of its own, got {source.config.method.name}"
                                        ", which only predicts")
                continue
            used[one] = dict((options or {}).get(one, explainer_options(config.dataset, one, config.preset)))
            made[one] = make_explainer(one, used[one])
            made[one].refuse(source.model, chosen)
        except PellucidError as error:
            if names:
                raise
            made.pop(one, None)
            left_out[one] = str(error)
    steps = len(made) + (OWN in wanted)

    def tell(done: float) -> None:
        if advance is not None:
            advance(done, 3 * steps + 1)

    found: dict[str, Explanation] = {}
    seconds: dict[str, float] = {}
    if OWN in wanted and OWN not in left_out:
        start = time.perf_counter()
        found |= held.own()
        seconds |= dict.fromkeys(found, time.perf_counter() - start)
    for one, explainer in list(made.items()):
        start = time.perf_counter()
        try:
            prepare([replace(source, explainer=explainer)], clouds, asked=asked, seed=seed)
            found[one] = held.by(explainer)
        except PellucidError as error:  # e.g. a model that cannot predict without points
            if names:
                raise
            del made[one]
            left_out[one] = str(error)
        seconds[one] = time.perf_counter() - start
        tell(len(found))
    if not found:
        raise PellucidError(f"expected an explainer that applies to {run}, got none: "
                            f"{'; '.join(left_out.values())}")
    left, steady = _checks(held, made, found, clouds, lambda done: tell(steps + done))
    effects = _effects(held, found, lambda done: tell(2 * steps + done * steps))
    agreement = _agreement(found)
    asking_names = [one for one in found if _asks(made.get(one))]
    chance = effects.pop("")
    rows = []
    for one, explanation in found.items():
        own = effects[one]
        others = [agreement[one][other] for other in asking_names if other != one]
        known = [value for value in others if not math.isnan(value)]
        rows.append(Row(
            one, explanation.importance_name, explanation.signed, _asks(made.get(one)),
            estimate(own.removed, chance.removed, seed=seed),
            estimate(own.in_distribution, chance.in_distribution, seed=seed),
            left[one], steady[one], sum(known) / len(known) if known else math.nan, seconds[one],
            torch.stack([own.removed - chance.removed, own.in_distribution - chance.in_distribution], 1),
            explanation.caution(), used.get(one, {})))
    regression = targets.find(target).target.kind == "regression"
    best, reason = recommend(rows, regression=regression)
    unit = targets.find(target).target.raw_unit() or f"the unit of {name}"
    tell(3 * steps + 1)
    return Comparison(run, name, unit, len(chosen), rows, agreement, left_out, best, reason,
                      time.perf_counter() - began, seed, found)


def record(comparison: Comparison) -> Path:
    """Writes what was found into the run's folder, whole or not at all, beside what was found for other targets.

    Returns:
        The file, :data:`pellucid.commands.explaining.COMPARED`.
    """
    path = comparison.run / COMPARED
    before = read_json(path)["targets"] if path.is_file() else {}
    own = {**comparison.document(), "model": sha256(comparison.run / MODEL)}
    write_json(path, {"format": 1, "targets": {**before, comparison.target: own}})
    return path


def _opened(run: Path, device: torch.device) -> ExplainedRun:
    """The run, also one that only predicts."""
    return replace(ExplainedRun.open(run, device, "random"), explainer=None)


def _asks(explainer: Explainer | None) -> bool:
    return explainer is None or explainer.asks


def _spaced(clouds: PointClouds, most: int) -> PointClouds:
    count = min(len(clouds), most)
    return clouds.select(torch.arange(count) * len(clouds) // max(count, 1))


def _checks(held: _Held, made: Mapping[str, Explainer], found: Mapping[str, Explanation], data: PointClouds,
            tell: Callable[[float], None]) -> tuple[dict[str, Estimate], dict[str, float]]:
    """Of each explainer what is left after weights are shuffled, and how steady it is, on some of the samples."""
    count = min(len(held.clouds), CHECKED)
    places = torch.arange(count) * len(held.clouds) // count
    some = held.clouds.select(places)
    rows = torch.zeros(len(held.clouds), dtype=torch.bool).index_fill(0, places, True)[held.clouds.batch]
    original = {name: one.importance[rows] for name, one in found.items()}
    others: dict[str, list[Tensor]] = {name: [] for name in found}
    for i in range(SHUFFLES):
        other = shuffled(held.source.model, seed=held.seed + i)
        again = _Held.of(replace(held.source, model=other), some, held.asked, held.seed)
        for name, one in _explained(again, made, found, data, fit=True).items():
            others[name].append(one.importance)
        tell(len(found) * (i + 1) / (SHUFFLES + 1))
    left = {name: what_is_left(original[name], others[name], some.ptr, seed=held.seed) for name in found}
    moved = some
    if "pos" in some:
        jitter = JITTER * mean_neighbor_distance(some, held.source.model.rule)
        noise = torch.randn(some.pos.shape, generator=torch.Generator().manual_seed(held.seed + 1)).to(some.pos)
        moved = some.replace(pos=some.pos + jitter * noise)
    again = _Held.of(held.source, moved, held.asked, held.seed + 1)
    steady = {name: rank_correlation(torch.stack([original[name], one.importance]), some.ptr)
              for name, one in _explained(again, made, found, data, fit=False).items()}
    return left, steady


def _explained(held: _Held, made: Mapping[str, Explainer], found: Mapping[str, Explanation], data: PointClouds, *,
               fit: bool) -> dict[str, Explanation]:
    again = held.own() if OWN in found else {}
    for name, explainer in made.items():
        if explainer.trains and fit:
            explainer = copy.deepcopy(explainer)
            explainer.fit(held.source.model, _spaced(data.split("train"), REFITTED), target=held.asked.target,
                          seed=held.seed)
        again[name] = held.by(explainer)
    return again


def _effects(held: _Held, found: Mapping[str, Explanation], tell: Callable[[float], None]) -> dict[str, Effect]:
    """Effects of the points that each explainer names, and of random ones under ``""``."""
    predictor, marked = of_clouds(held.source.model, held.clouds.without_text().to(held.batches[0].clouds.device))
    explained = torch.cat([batch.explained for batch in held.batches])
    predict = value_of(predictor, BATCH)
    effects = Effects(predict, asking(marked, explained), _exchanged(held, predictor), seed=held.seed)
    measured = {"": effects.random()}
    for i, (name, one) in enumerate(found.items()):
        measured[name] = effects.of(one.importance, signed=one.signed)
        tell((i + 1) / len(found))
    return measured


@torch.no_grad()
def _exchanged(held: _Held, predictor: Predictor) -> Exchanged | None:
    """Predictions with the input embeddings of some points exchanged; None where all points have the same one.

    Batches, neighbourhoods and embeddings are those that the explainers had.
    """
    if "inputs" not in predictor.can:
        return None
    parts = [predictor.inputs(batch.clouds) for batch in held.batches]
    inputs = torch.cat(parts)
    if not len(inputs) or bool((inputs == inputs[0]).all()):
        return None
    scale = torch.tensor(predictor.targets.scale(), dtype=torch.float64)

    @torch.no_grad()
    def exchanged(chosen: Tensor, donors: Tensor) -> Tensor:
        values, start = [], 0
        mixed = torch.where(chosen.to(inputs.device)[:, None], inputs[donors.to(inputs.device)], inputs)
        for batch in held.batches:
            end = start + batch.clouds.points
            logits = predictor.logits(batch.clouds, batch.neighbors, inputs=mixed[start:end])
            values.append(logits.gather(1, batch.explained[:, None]).squeeze(1).cpu().double()
                          * scale[batch.explained.cpu()])
            start = end
        return torch.cat(values)

    return exchanged


def _agreement(found: Mapping[str, Explanation]) -> dict[str, dict[str, float]]:
    """Mean Spearman rank correlation within samples of each two, both ways round."""
    table: dict[str, dict[str, float]] = {name: {} for name in found}
    if len(found) > 1:
        for one in SideBySide(found).agreements():
            a, b = one.names
            table[a][b] = table[b][a] = one.means()[0]
    return table
