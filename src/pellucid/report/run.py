"""From a run or an explanation to the page that shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pellucid.chemistry.encoding import molecule_of
from pellucid.chemistry.molecules import ATOM_TYPES
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.explanations.ensemble import agreement
from pellucid.files import read_json
from pellucid.report.content import PublishedCell, ReportContent, Sample
from pellucid.report.depiction import depict, depict_truth
from pellucid.report.page import write_report
from pellucid.report.proteins import complex_sample, is_complex

if TYPE_CHECKING:
    from pellucid.training.fit import Run

SAMPLES = 24
"""Clouds that a run's report shows."""
MOST = 500
"""Clouds that the page of an explanation shows at most."""
MOST_POINTS = 200_000
"""Points that it shows at most, of all clouds together: about 20 MB of the page."""


def samples_of(explanation: Explanation, clouds: list[int]) -> list[Sample]:
    """What the report's browser shows of some clouds.

    Args:
        explanation: Of all clouds.
        clouds: Places of those to show.
    """
    data, explanation = explanation.clouds, explanation.of()
    if is_complex(data):
        samples = [complex_sample(explanation, i) for i in clouds]
        return [replace(sample, facts={**sample.facts, **_facts(explanation, i)})
                for sample, i in zip(samples, clouds, strict=True)]
    if "smiles" not in data.text and "molblock" not in data.text:
        from pellucid.report.events import event_sample

        return [replace(event_sample(explanation, i), facts=_facts(explanation, i)) for i in clouds]
    ptr = data.ptr.tolist()
    kept = explanation.columns.get("subgraph")
    samples = []
    for i in clouds:
        rows = slice(ptr[i], ptr[i + 1])
        importance = explanation.importance[rows].double().numpy()
        truth = data["important"][rows].numpy() if "important" in data and bool(data["important"][rows].any()) else None
        mol = molecule_of(data, i)
        labels = [ATOM_TYPES[c] for c in data["categories"][rows, 0].tolist()]
        target = explanation.truth(i)
        covariance = explanation.covariance
        samples.append(Sample(
            name=data.text["id"][i] if "id" in data.text else f"cloud {i}",
            unit=data.unit("pos"),
            pos=data.pos[rows].double().numpy(),
            labels=labels,
            importance=importance,
            prediction=explanation.value(i),
            importance_name=explanation.importance_name,
            target=target,
            bonds=[(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b.GetBondTypeAsDouble()) for b in mol.GetBonds()],
            important=truth,
            covariance=covariance[rows].double().numpy() if covariance is not None else None,
            svg=depict(mol, importance, marked=kept[rows].numpy() if kept is not None else None),
            svg_truth=depict_truth(mol, truth) if truth is not None else None,
            facts={"SMILES": data.text["smiles"][i], **_facts(explanation, i)},
            columns={name: column[rows].double().numpy() for name, column in explanation.columns.items()},
            predicts=explanation.quantity(i),
        ))
    return samples


def _facts(explanation: Explanation, i: int) -> dict[str, str]:
    """What an ensemble and a subgraph say of one cloud."""
    facts = {}
    if (members := explanation.provenance.get("ensemble")) is not None:
        output = int(explanation.explained[i])
        facts["Prediction over members"] = (f"{explanation.prediction[i, output]:.3f} ± "
                                            f"{members['prediction_spread'][i][output]:.3f}")
        if (agreed := members["rank_correlations"][i]) is not None:
            facts["Agreement of members"] = f"mean Spearman rank correlation {agreed:.2f} (random: 0)"
    if (chosen := explanation.provenance.get("subgraph")) is not None:
        size, points = chosen["sizes"][i], int(explanation.clouds.sizes[i])
        clouds = explanation.clouds
        word = "residues" if is_complex(clouds) else "atoms" if "smiles" in clouds.text else "points"
        facts["Subgraph"] = f"{size} of {points} {word}: {chosen['rule']}"
        if chosen.get("alone") and chosen["alone"][i] is not None:
            facts["Subgraph alone"] = f"{explanation.quantity(i)} {chosen['alone'][i]:.3f}"
    return facts


def choose(explanation: Explanation, count: int = SAMPLES) -> list[int]:
    """Which test clouds to show: half positive, a quarter negative, and the most confident mistakes, by a fixed rule.

    Nothing is chosen by how good the explanation looks: positives and negatives are taken evenly spaced in the order
    of the split. Of a regression: three quarters evenly spaced in the order of the target, and the largest errors.
    """
    y, p = explanation.clouds["y"][:, 0], explanation.prediction[:, 0]
    if explanation.targets[0].kind == "regression":
        order = torch.argsort(y, stable=True)  # NaN last
        order = order[: int((~y.isnan()).sum())]
        even = order[torch.linspace(0, len(order) - 1, min(count - count // 4, len(order))).long()].tolist()
        error = (p - y).abs()[order]
        return list(dict.fromkeys(even + order[torch.argsort(-error, stable=True)][: count // 4].tolist()))
    wrong = ((p > 0.5) != (y > 0.5)).nonzero().squeeze(1)
    mistakes = wrong[torch.argsort(-(p[wrong] - 0.5).abs(), stable=True)][: count // 4].tolist()

    def spaced(mask: torch.Tensor, n: int) -> list[int]:
        places = mask.nonzero().squeeze(1)
        if len(places) == 0 or n <= 0:
            return []
        chosen: list[int] = places[torch.linspace(0, len(places) - 1, min(n, len(places))).long()].tolist()
        return chosen

    chosen = [*spaced(y > 0.5, count // 2), *spaced(y <= 0.5, count // 4), *mistakes]
    return list(dict.fromkeys(chosen))


def report_run(run: Run) -> Path:
    """Writes ``report.html`` into a run's folder.

    Args:
        run: A finished run.

    Returns:
        The page.
    """
    from pellucid.benchmarks.experiments import published

    config = run.config
    provenance: dict[str, Any] = read_json(run.folder / "provenance.json")
    cells = published(config.dataset, config.method.name, config.backbone.name)
    notes = []
    samples: list[Sample] = []
    if config.objective.name in run.metrics:
        notes.append(f"This run learned an encoder by {config.objective.name}, and predicts nothing; train another "
                     f"with encoder.from={run.folder}.")
    elif run.explanation is None:
        notes.append("This run only predicts; train lri-gaussian or lri-bernoulli to see what decides.")
    elif run.explanation.clouds.pos.shape[1] in (2, 3):
        samples = samples_of(run.explanation, choose(run.explanation))
        if samples:
            rule = ("from the positives and the negatives, and the most confident mistakes"
                    if samples[0].predicts.startswith("P(") else "over the range of the target, and the largest errors")
            notes.append(samples[0].words.of(f"Shown are test molecules taken evenly {rule}; none was chosen by its "
                                             "explanation."))
    metrics = _for_reading(run.metrics)
    content = ReportContent(
        title=f"{config.method.name} with {config.backbone.name} on {config.dataset}",
        subtitle=f"test split, seed {config.seed}, preset {config.preset}",
        provenance={"config": config.model_dump(mode="json"), **provenance},
        metrics=metrics,
        published=[PublishedCell(c.metric, c.mean, c.std, c.source) for c in cells],
        history=read_json(run.folder / "history.json"),
        selected_epoch=run.metrics["selected_epoch"],
        samples=samples,
        notes=notes,
    )
    return write_report(run.folder / "report.html", content)


def _for_reading(metrics: dict[str, Any]) -> dict[str, Any]:
    """Without what is no metric, and each random baseline beside the number that it belongs to."""
    shown = {k: dict(v) for k, v in metrics.items() if k not in ("selected_epoch", "seconds")}
    if "interpretation" in shown:
        group = shown["interpretation"]
        random, intervals = group.pop("random"), group.pop("intervals", {})
        shown["interpretation"] = {
            name: {"value": value, "low": low, "high": high, "random": random[name]}
            for name, value in group.items() for low, high in [intervals.get(name, (None, None))]}
    if "directions" in shown:
        group = shown["directions"]
        random, radial = group.pop("random"), group.pop("radial")

        def beside(values: dict[str, float]) -> dict[str, Any]:
            return {name: {"value": value, "low": None, "high": None, "random": random[name]} if name in random
                    else value for name, value in values.items()}
        shown["directions"] = {**beside(group), "radial": beside(radial)}
    if "stability" in shown:
        shown["stability"] = {k: v for k, v in shown["stability"].items() if k not in ("draws", "jitter")}
    return shown


def report_explanation(path: Path, explanation: Explanation, notes: list[str]) -> Path:
    """Writes the page for molecules, events or complexes that a user asked about.

    Args:
        path: Where to write.
        explanation: Of all of them.
        notes: Warnings, such as records that did not parse.

    Raises:
        PellucidError: if there is nothing to show.
    """
    data: PointClouds = explanation.clouds
    if len(data) == 0:
        raise PellucidError("expected at least one molecule to show, got none")
    config = explanation.provenance.get("config", {})
    explainer = explanation.provenance.get("explainer")
    sentence = agreement(explanation)
    shown = max(min(int((data.ptr[1:] <= MOST_POINTS).sum()), MOST), 1)
    samples = samples_of(explanation, list(range(shown)))
    if len(data) > shown:
        notes = [*notes, f"Shown are the first {shown} of {len(data)}; explanation.parquet has all."]
    content = ReportContent(
        title=f"Which {samples[0].words.point}s decided",
        subtitle=f"{explainer + ' on ' if explainer else ''}{config.get('method', {}).get('name', '')} with "
                 f"{config.get('backbone', {}).get('name', '')}, trained on {config.get('dataset', '')}",
        provenance=explanation.provenance,
        samples=samples,
        notes=[*([sentence] if sentence else []), *notes],
    )
    return write_report(path, content)
