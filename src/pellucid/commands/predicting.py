"""Predicting with trained runs: many samples, piece by piece, by several models, beside the training's samples."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid.clouds import PointClouds, ragged_arange
from pellucid.commands.data import grouped
from pellucid.commands.explaining import AUTO, OWN, Asked, ExplainedRun, explain_with, prepare, recommended
from pellucid.domains.base import Domain, domain_of
from pellucid.errors import PellucidError
from pellucid.methods import Method
from pellucid.predictions import Predictions
from pellucid.spec import DataSpec, InputSpec
from pellucid.training.applicability import Reference, pooled
from pellucid.training.config import RunConfig
from pellucid.training.devices import pick_device
from pellucid.training.model import load_model, refuse_untaught
from pellucid.training.predict import batches_of, run_over

if TYPE_CHECKING:
    import pyarrow as pa

TOGETHER = 256
"""Clouds that a model sees at once."""


@dataclass(frozen=True)
class Plan:
    """All that a worker must know to predict a piece of the input; small, and hashable.

    Attributes:
        runs: Folders; the first one's training samples are what samples are compared with.
        device: Where to compute.
        explain: Explainers, or :data:`OWN`.
        options: Of the explainers, as JSON.
        targets: The outputs that are explained; None for the first.
        seed: Of conformers and explainers.
        parts: Further parts of the input that the domain knows, as JSON.
    """

    runs: tuple[Path, ...]
    device: str = "cpu"
    explain: tuple[str, ...] = ()
    options: str = "{}"
    targets: tuple[str | None, ...] = (None,)
    seed: int = 0
    parts: str = "{}"

    @staticmethod
    def of(runs: Sequence[str | Path], *, explain: Sequence[str] = (), options: Mapping[str, Any] | None = None,
           targets: Sequence[str] = (), device: str = "cpu", seed: int = 0, parts: Mapping[str, Any] | None = None
           ) -> Plan:
        """From what a user gives; arguments as the attributes."""
        if AUTO in explain:
            found = [recommended(Path(runs[0]), target) for target in tuple(targets) or (None,)]
            best, own, _ = found[0]
            if any(name != best for name, _, _ in found):
                raise PellucidError(f"expected one explainer for all targets with auto, got "
                                    f"{', '.join(dict.fromkeys(name for name, _, _ in found))}; name them")
            explain = list(dict.fromkeys(best if name == AUTO else name for name in explain))
            options = options or (own if len(explain) == 1 else None)
        given = {name: str(value) if isinstance(value, Path) else value for name, value in (parts or {}).items()}
        return Plan(tuple(Path(run) for run in runs), device, tuple(explain), json.dumps(dict(options or {})),
                    tuple(targets) or (None,), seed, json.dumps(given))


@dataclass(frozen=True)
class Opened:
    """What a plan needs in memory.

    Attributes:
        models: Of the runs, in eval mode.
        configs: Of the runs.
        spec: Of the first run.
        domain: Of the samples.
        reference: Training samples of the first run; None where it keeps none.
        sources: Explainer -> the runs with it.
    """

    models: list[Method]
    configs: list[RunConfig]
    spec: DataSpec
    domain: Domain
    reference: Reference | None
    sources: dict[str, list[ExplainedRun]]


@functools.lru_cache(maxsize=1)
def opened(plan: Plan) -> Opened:
    """Loads the runs of a plan, once in each process.

    Raises:
        PellucidError: for a folder that is no finished run, or of a run that predicts nothing; for runs of different
            targets or data; for an unknown target or explainer, or one that the run does not allow.
    """
    device = pick_device(plan.device)
    models, configs, specs = [], [], []
    for run in plan.runs:
        model, config, spec = load_model(run, device)
        refuse_untaught(run, config)
        models.append(model)
        configs.append(config)
        specs.append(spec)
    _refuse_mixed(plan.runs, configs, specs)
    if models[0].targets.level == "point":
        raise PellucidError("expected a run whose targets are of whole samples to predict tables with, got targets of "
                            "their points; use pellucid explain, whose table has the prediction of each point")
    for target in plan.targets:
        models[0].targets.find(target)
    sources = {}
    for name in plan.explain:
        method, options = (None, None) if name == OWN else (name, json.loads(plan.options))
        sources[name] = [ExplainedRun.open(run, device, method, options) for run in plan.runs]
        for target in plan.targets:
            prepare(sources[name], asked=Asked(target), seed=plan.seed)
    return Opened(models, configs, specs[0], domain_of(specs[0].domain), Reference.load(plan.runs[0]), sources)


def _refuse_mixed(runs: Sequence[Path], configs: Sequence[RunConfig], specs: Sequence[DataSpec]) -> None:
    def told(spec: DataSpec) -> list[tuple[str, str, str, tuple[str, ...]]]:
        return [(t.name, t.kind, t.unit, t.classes) for t in spec.targets]

    for run, config, spec in zip(runs[1:], configs[1:], specs[1:], strict=True):
        if told(spec) != told(specs[0]):
            raise PellucidError(f"expected runs of the same targets as {runs[0]} ("
                                f"{', '.join(specs[0].targets.names)}), got {', '.join(spec.targets.names)} in {run}; "
                                "predict with each by itself")
        if (config.dataset != configs[0].dataset or spec.domain != specs[0].domain
                or _looks(spec.inputs) != _looks(specs[0].inputs)):
            raise PellucidError(f"expected runs on the same data as {runs[0]} ({configs[0].dataset}), got one on "
                                f"{config.dataset} or on other features in {run}; predict with each by itself")


def _looks(inputs: InputSpec) -> InputSpec:
    return replace(inputs, neighbor_distance=1.0, points=1.0)  # are measured on each run's own training split


@dataclass(frozen=True)
class Piece:
    """What became of a piece of the input.

    Attributes:
        predictions: Of its entries.
        points: A row a point with its importance; None where nothing is explained.
        notes: Remarks on the input.
    """

    predictions: Predictions
    points: pa.Table | None = None
    notes: list[str] = field(default_factory=list)


def work(task: tuple[Plan, int, Any]) -> Piece:
    """Predicts, compares and explains a piece of the input.

    Args:
        task: The plan, the number of the first entry, and what :meth:`Domain.portions` gave.
    """
    plan, first, portion = task
    held = opened(plan)
    config = held.configs[0]
    given = held.domain.read_portion(portion, dataset=config.dataset, options=config.dataset_options, seed=plan.seed,
                                     **json.loads(plan.parts))
    rows, places = given.entries(first)
    notes = [given.reasons.get(i, "") for i in range(len(rows))]
    clouds, entry = given.clouds, torch.tensor(places, dtype=torch.int64)
    if len(clouds):
        fit, reasons = usable(clouds, held.spec.inputs, held.domain)
        for i, reason in reasons.items():
            notes[places[i]] = reason
        clouds, entry = clouds.select(fit), entry[fit]
    there = {*entry.tolist()}
    notes = ["" if i in there else note or "it could not be read" for i, note in enumerate(notes)]
    targets, count = held.spec.targets, len(rows)
    members = len(held.models)
    made = Predictions.of(rows, targets, torch.full((count, targets.outputs), torch.nan),
                          torch.full((count, targets.outputs), torch.nan) if members > 1 else None, members)
    made = replace(made, notes=notes, types=given.types)
    if not len(clouds):
        return Piece(made, _no_points(plan, held) if plan.explain else None, given.notes)
    clouds = grouped(clouds, held.spec.domain, *held.configs)
    values = []
    for i, model in enumerate(held.models):
        model.refuse(clouds)
        answers, embeddings = predicted(model, clouds, i == 0 and held.reference is not None)
        values.append(mean_of_entries(answers, entry, count))
        if embeddings is not None and held.reference is not None:
            made = _compared(made, held.reference, embeddings, clouds, entry, held.domain)
    each = torch.stack(values)
    made = replace(made, mean=each.mean(0), spread=each.std(0) if members > 1 else None)
    points = _points(plan, held, clouds, entry, first, rows) if plan.explain else None
    return Piece(made, points, given.notes)


@torch.no_grad()
def predicted(model: Method, clouds: PointClouds, embed: bool = False) -> tuple[Tensor, Tensor | None]:
    """(clouds, outputs) predictions without noise, as explanations and evaluations tell them; and pooled embeddings.

    Args:
        model: In eval mode.
        clouds: What to predict.
        embed: Whether (clouds, 2 hidden) embeddings are asked for; otherwise None.
    """
    answers, embeddings = [], []
    for batch, neighbors in batches_of(model, clouds, TOGETHER):
        h = model.embed(batch, neighbors) if embed or not model.supports.importance else None
        logits = (model.classify(h, batch) if h is not None and not model.supports.importance  # one pass for both
                  else run_over(model, [(batch, neighbors)]).logits)
        answers.append(model.targets.predict(logits).double().cpu())
        if embed and h is not None:
            embeddings.append(pooled(h, batch).cpu())
    return torch.cat(answers), torch.cat(embeddings) if embed else None


def mean_of_entries(values: Tensor, entry: Tensor, count: int) -> Tensor:
    """(clouds, ...) -> (count, ...) the mean over the clouds of each entry; NaN where there is none.

    Example:
        >>> mean_of_entries(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 2]), 3).tolist()
        [[2.0], [nan], [5.0]]
    """
    total = values.new_zeros(count, *values.shape[1:]).index_add_(0, entry, values)
    number = torch.bincount(entry, minlength=count).to(values.dtype)
    return total / number.view(-1, *[1] * (values.ndim - 1))


def usable(clouds: PointClouds, inputs: InputSpec, domain: Domain) -> tuple[Tensor, dict[int, str]]:
    """Which clouds a model can take, and why it cannot take the others.

    Args:
        clouds: On the CPU.
        inputs: What the model knows.
        domain: Theirs, for its words.

    Returns:
        (clouds,) bool, and cloud -> reason.
    """
    fit, reasons = clouds.sizes > 0, {}
    for i in (~fit).nonzero().squeeze(1).tolist():
        reasons[i] = f"it has no {domain.points}"
    for name in ("pos", "features", "edge_features"):
        if name not in clouds:
            continue
        bad = ~clouds[name].isfinite().flatten(1).all(1)
        for i in _clouds_of(clouds, name, bad):
            fit[i], reasons[i] = False, f"it has NaN or infinity among its {name}"
    for name, sizes in (("categories", inputs.category_sizes), ("edge_categories", inputs.edge_category_sizes)):
        for column, size in enumerate(sizes if name in clouds else ()):
            if column >= clouds[name].shape[1]:
                raise PellucidError(f"expected {len(sizes)} columns of {name}, as the run was trained on, got "
                                    f"{clouds[name].shape[1]}; prepare the samples in the same way")
            values = clouds[name][:, column]
            for i in _clouds_of(clouds, name, bad := (values < 0) | (values >= size)):
                own = (clouds.batch if clouds.declared[name].level == "point" else clouds.edge_batch) == i
                of, called = domain.category(int(values[bad & own][0]), column, len(sizes), name)
                fit[i], reasons[i] = False, f"the model has no {of} {called}"
    return fit, reasons


def _clouds_of(clouds: PointClouds, name: str, rows: Tensor) -> list[int]:
    if not bool(rows.any()):
        return []
    return sorted({*(clouds.batch if clouds.declared[name].level == "point" else clouds.edge_batch)[rows].tolist()})


def _compared(made: Predictions, reference: Reference, embeddings: Tensor, clouds: PointClouds, entry: Tensor,
              domain: Domain) -> Predictions:
    """With the check of each entry: of several clouds, that of the one nearest to training."""
    found = reference.check(embeddings, clouds, points=domain.points, category=domain.category)
    owner = entry.tolist()
    best = {owner[cloud]: cloud for cloud in found.distance.argsort(descending=True, stable=True).tolist()}
    rows, chosen = torch.tensor([*best]), torch.tensor([*best.values()])
    distance = made.distance.index_copy(0, rows, found.distance[chosen])
    causes = made.causes.index_copy(0, rows, found.causes[chosen])
    count = range(len(made))
    return replace(made, distance=distance, causes=causes,
                   nearest=[found.nearest[best[i]] if i in best else "" for i in count],
                   outside=[found.sentences[best[i]] if i in best else "" for i in count])


# -- points ------------------------------------------------------------------------------------------------------------
def importance_columns(plan: Plan) -> dict[str, tuple[str, str | None]]:
    """Column of the table of points -> explainer and output: ``importance``, followed by what differs."""
    columns = {}
    for name in plan.explain:
        for target in plan.targets:
            own = [name] if len(plan.explain) > 1 else []
            own += [str(target)] if len(plan.targets) > 1 else []
            columns[":".join(["importance", *own])] = (name, target)
    return columns


def _label_name(held: Opened) -> str:
    columns = len(held.spec.inputs.category_sizes)
    return held.domain.category(0, 0, columns)[0] if columns else ""


def point_schema(plan: Plan, held: Opened) -> pa.Schema:
    """Of the table of points: entry (its row among the predictions), id, point, its first category, importance."""
    import pyarrow as pa

    columns = {"entry": pa.int64(), "id": pa.string(), held.domain.words.point: pa.int32()}
    if label := _label_name(held):
        columns[label] = pa.string()
    for name in importance_columns(plan):
        columns[name] = pa.float32()
        if len(plan.runs) > 1:
            columns[f"{name}_spread"] = pa.float32()
    return pa.schema(list(columns.items()))


def _no_points(plan: Plan, held: Opened) -> pa.Table:
    return point_schema(plan, held).empty_table()


def _points(plan: Plan, held: Opened, clouds: PointClouds, entry: Tensor, first: int, rows: list[dict[str, str]]
            ) -> pa.Table:
    """A row a point; of entries with several clouds, whose points are the same, the mean over them."""
    import numpy as np
    import pyarrow as pa

    values, kept = {}, clouds
    for column, (name, target) in importance_columns(plan).items():
        explanation = held.domain.gathered(explain_with(held.sources[name], clouds, asked=Asked(target),
                                                        seed=plan.seed)).of(target)
        kept, values[column] = explanation.clouds, explanation.importance
        if len(plan.runs) > 1:
            values[f"{column}_spread"] = explanation.columns["spread"]
    owner = entry if len(kept) == len(clouds) else torch.unique_consecutive(entry)
    each = torch.repeat_interleave(owner, kept.sizes).numpy()
    schema = point_schema(plan, held)
    point = ragged_arange(torch.zeros_like(kept.sizes), kept.sizes)
    arrays = [pa.array(each + first), pa.array(np.array([row["id"] for row in rows], dtype=object)[each]),
              pa.array(point.to(torch.int32).numpy())]
    if _label_name(held):
        kinds, places = np.unique(kept["categories"][:, 0].numpy(), return_inverse=True)
        columns = kept["categories"].shape[1]
        named = np.array([held.domain.category(kind, 0, columns)[1] for kind in kinds.tolist()], dtype=object)
        arrays.append(pa.array(named[places]))
    arrays += [pa.array(column.float().numpy()) for column in values.values()]
    return pa.Table.from_arrays([array.cast(kind) for array, kind in zip(arrays, schema.types, strict=True)],
                                schema=schema)
