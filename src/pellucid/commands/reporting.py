"""From a run or an explanation to the page that shows it; what a sample looks like is its domain's own affair."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pellucid.commands.data import data_name, told
from pellucid.commands.explaining import OWN
from pellucid.domains.base import Domain, domain_of
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.explanations.ensemble import agreement
from pellucid.explanations.side_by_side import MOST as MOST_SHARED
from pellucid.explanations.side_by_side import SideBySide
from pellucid.families import methods
from pellucid.files import read_json
from pellucid.report.columns import Column, known_columns
from pellucid.report.content import PublishedCell, ReportContent, Sample, Side
from pellucid.report.page import weight, write_report
from pellucid.report.tables import for_reading
from pellucid.targets import Target, Targets
from pellucid.training.config import RunConfig

if TYPE_CHECKING:
    from pellucid.training.fit import Run

MOST = 1000
"""Samples that a page shows at most."""
BYTES = 15_000_000
"""What they may take of the page at most; what it has besides takes 5 MB."""
TRIED = 8
"""Samples whose bytes tell what the others will take."""


def domain_in(explanation: Explanation) -> str:
    """Name of the domain that an explanation's provenance tells; ``"clouds"`` where it tells none."""
    return str(explanation.provenance.get("spec", {}).get("domain", "clouds"))


def samples_of(explanation: Explanation, clouds: list[int], domain: str | None = None) -> list[Sample]:
    """What the report's browser shows of some clouds; those that cannot be drawn are left out.

    Importance that was made of several, as that of ``joint``, has each of them beside it.

    Args:
        explanation: Of all clouds.
        clouds: Places of those to show.
        domain: Name of theirs; None for the one in the explanation's provenance.

    Example:
        >>> import torch
        >>> from pellucid.clouds import PointClouds
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"pos": torch.rand(2, 3)})
        >>> [sample.name for sample in samples_of(Explanation(clouds, torch.rand(1, 1), torch.rand(2)), [0])]
        ['sample 0']
    """
    if parts := _parts(explanation):
        return beside(SideBySide({OWN: explanation} | parts), clouds, domain)
    known = domain_of(domain or domain_in(explanation))
    samples = [known.sample(explanation, i) for i in clouds]
    return [sample for sample in samples if sample is not None]


def _parts(explanation: Explanation) -> dict[str, Explanation]:
    """What a run's own importance was made of, by the names that ``--method`` takes; nothing if of one part."""
    about = explanation.provenance
    name = about.get("config", {}).get("method", {}).get("name")
    if "explainer" in about or about.get("column") or name not in methods:
        return {}
    return {f"{OWN}:{part}": explanation.column(part) for part in methods[name].importance_columns
            if part in explanation.columns}


def beside(given: SideBySide, clouds: list[int], domain: str | None = None) -> list[Sample]:
    """What the browser shows of clouds that several explainers have explained; arguments as of :func:`samples_of`."""
    known = domain_of(domain or domain_in(given.first))
    first, *others = given.explanations
    agreed = {name: given.agreement(first, name) for name in others}
    samples = []
    for i in clouds:
        if (sample := known.sample(given.first, i)) is None:
            continue
        rows = slice(int(given.clouds.ptr[i]), int(given.clouds.ptr[i + 1]))
        sides = [Side(name, one.of().importance[rows].double().numpy(), one.signed, one.unit(i),
                      float(agreed[name].rank_correlation[i]), float(agreed[name].overlap[i]), MOST_SHARED,
                      one.provenance.get("trust", {}).get("level", "unclear"),
                      known_columns().get(name.partition(":")[2], Column("")).about)
                 for name, one in given.explanations.items() if name != first]
        samples.append(replace(sample, sides=sides, explainer=first))
    return samples


def agreeing(given: SideBySide, points: str = "points") -> list[str]:
    """How far each two explainers agree over all clouds, a sentence each; ``points`` is what those are called."""
    found = []
    for one in given.agreements():
        rho, shared = one.means()
        if math.isfinite(rho):
            more = f", and {shared:.0%} of the {MOST_SHARED} most important {points} shared" if shared == shared else ""
            found.append(f"{' and '.join(one.names)}: mean Spearman rank correlation {rho:.2f} (random: 0){more}."
                         .replace("-0.", "−0."))
    return found


def _of_each(given: SideBySide) -> dict[str, Any]:
    """What is said of trust in the first explainer by name, and in the others behind it."""
    said = {name: one.provenance["trust"] for name, one in given.explanations.items() if "trust" in one.provenance}
    if len(said) < len(given.explanations):
        return {}
    first, *others = said
    return {"level": said[first]["level"], "sentence": f"{first} – {said[first]['sentence']}",
            "reasons": [*said[first]["reasons"], *(f"{name} – {said[name]['sentence']}" for name in others)]}


def _of_targets(metrics: dict[str, Any]) -> dict[str, Any]:
    """What is said of trust in a run's first target, and in the others behind it."""
    first: dict[str, Any] = metrics.get("trust", {})
    others = [f"{name} – {one['trust']['sentence']}" for name, one in metrics.get("targets", {}).items()]
    return {**first, "reasons": [*first["reasons"], *others]} if others else first


def _trusted(explanation: Explanation, metrics: dict[str, Any]) -> Explanation:
    """The explanation that knows how far its run's metrics let it be trusted."""
    return replace(explanation, provenance={**explanation.provenance, "trust": metrics.get("trust", {})})


def fitting(explanation: Explanation, domain: str | None = None) -> int:
    """How many clouds of an explanation a page has room for, at least 1.

    Example:
        >>> import torch
        >>> from pellucid.clouds import PointClouds
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"pos": torch.rand(2, 3)})
        >>> fitting(Explanation(clouds, torch.rand(1, 1), torch.rand(2)))
        1
    """
    places, sizes = np.arange(len(explanation.clouds)), explanation.clouds.sizes.numpy()
    tried = sorted({*_spaced(places, TRIED - 1), int(sizes.argmax())})
    taken = sum(map(weight, samples_of(explanation, tried, domain)))
    by_points = taken / max(int(sizes[tried].sum()), 1) * max(float(sizes.mean()), 1)
    return max(min(len(places), MOST, int(BYTES / max(by_points, 1))), 1)


def choose(explanation: Explanation, count: int = MOST) -> list[int]:
    """Which test clouds to show: all, where there is room; else half positive, a quarter negative, and mistakes.

    The mistakes are the most confident ones. Nothing is chosen by how good the explanation looks: positives and
    negatives are taken evenly spaced in the order of the split. Of a regression: three quarters evenly spaced in the
    order of the target, and the largest errors. Where nothing is known of clouds (or points have the targets), all are
    taken evenly spaced.

    Args:
        explanation: Of one output, or of several: then of the one in ``explained``, or the first.
        count: How many at most.
    """
    one = explanation.of()
    places = np.arange(len(one.clouds))
    if len(places) <= count:
        return places.tolist()
    truths = [one.truth(i) for i in places.tolist()]
    y = np.array([math.nan if value is None else value for value in truths], dtype=float)
    p = np.array([one.value(i) for i in places.tolist()], dtype=float)
    known = ~np.isnan(y) & ~np.isnan(p)
    if not known.any():
        return _spaced(places, count)
    if _regression(one):
        order = places[known][np.argsort(y[known], kind="stable")]
        error = np.abs(p - y)[order]
        return list(dict.fromkeys([*_spaced(order, count - count // 4),
                                   *order[np.argsort(-error, kind="stable")][: count // 4].tolist()]))
    wrong = places[known & ((p > 0.5) != (y > 0.5))]
    mistakes = wrong[np.argsort(-np.abs(p[wrong] - 0.5), kind="stable")][: count // 4].tolist()
    return list(dict.fromkeys([*_spaced(places[known & (y > 0.5)], count // 2),
                               *_spaced(places[known & (y <= 0.5)], count // 4), *mistakes]))


def _spaced(places: NDArray[np.int64], count: int) -> list[int]:
    """At most ``count`` of the places, evenly spaced."""
    if len(places) == 0 or count <= 0:
        return []
    chosen: list[int] = places[np.linspace(0, len(places) - 1, min(count, len(places))).astype(int)].tolist()
    return chosen


def _target(explanation: Explanation) -> Target:
    """The one that is explained."""
    return explanation.targets.owner(int(explanation.explained[0]) if len(explanation.explained) else 0)


def _regression(explanation: Explanation) -> bool:
    return _target(explanation).kind == "regression"


def _rule(explanation: Explanation, domain: Domain, shown: int) -> str:
    """How the samples of a run's report were chosen."""
    count = len(explanation.clouds)
    if shown == count:
        return f"Shown are all {count} test {domain.samples}."
    how = " over the split"
    if explanation.level == "cloud":
        how = (" over the range of the target, and the largest errors" if _regression(explanation)
               else " from the positives and the negatives, and the most confident mistakes")
    return (f"Shown are {shown:,} of {count:,} test {domain.samples}, taken evenly{how}, so that "
            "this page stays usable; none was chosen by its explanation. explanations.parquet has all.")


def asked(explanation: Explanation, domain: Domain) -> list[str]:
    """Which of several targets are predicted, which one is explained, and whether the importance is its own.

    Example:
        >>> import torch
        >>> from pellucid.clouds import PointClouds
        >>> from pellucid.targets import Target
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"pos": torch.rand(2, 3)})
        >>> both = Targets((Target("logS", "regression", unit="log mol/L"), Target("toxic")))
        >>> for note in asked(Explanation(clouds, torch.rand(1, 2), torch.rand(2), targets=both), domain_of("clouds")):
        ...     print(note)
        Predicted are 2 targets: logS (log mol/L), P(toxic).
        Explained is logS (log mol/L). Importance was learned for all targets at once and is shared by them.
    """
    targets, outputs = explanation.targets, sorted({*explanation.of().explained.tolist()})
    if targets.outputs == 1 or not outputs:
        return []
    one = targets.quantities[outputs[0]] if len(outputs) == 1 else (
        f"{targets.owner(outputs[0]).name}: of each {domain.words.sample} its predicted class")
    if explanation.importance.ndim == 1:
        more = (" Importance was learned for all targets at once and is shared by them."
                if explanation.shared else "")
    else:
        more = " Contributions to the other outputs can be chosen at Show." if explanation.signed else ""
    return [*_predicted(targets), f"Explained is {one}.{more}"]


def _predicted(targets: Targets) -> list[str]:
    """All targets in one sentence; nothing for one target."""
    named = [f"{t.name} ({', '.join(t.classes)})" if t.kind == "multiclass" else t.quantity() for t in targets]
    return [f"Predicted are {len(targets)} targets: {', '.join(named)}."] if len(targets) > 1 else []


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
    domain = domain_of(provenance["spec"]["domain"])
    cells = published(config.dataset, config.method.name, config.backbone.name, config.dataset_options,
                      [target.name for target in run.model.targets])
    targets = run.model.targets
    notes: list[str] = []
    samples: list[Sample] = []
    if config.objective.name in run.metrics:
        notes.append(f"This run learned an encoder by {config.objective.name}, and predicts nothing; train another "
                     f"with encoder.from={run.folder}.")
    elif run.explanation is None:
        notes += _predicted(targets)
        notes.append("This run only predicts; train lri-gaussian or lri-bernoulli to see what decides.")
    else:
        name = provenance["spec"]["domain"]
        chosen = choose(run.explanation, fitting(run.explanation, name))
        samples = samples_of(_trusted(run.explanation, run.metrics), chosen, name)
        notes += [*([caution] if (caution := run.explanation.of().caution()) else []), *asked(run.explanation, domain)]
        if samples:
            notes.append(_rule(run.explanation, domain, len(chosen)))
    notes += domain.caveats(config.dataset_options, run.model.encoder.directions)
    content = ReportContent(
        title=f"{config.method.name} with {config.backbone.name} on {data_name(run.folder)}",
        subtitle=f"test split, seed {config.seed}, preset {config.preset}",
        provenance={"config": config.model_dump(mode="json"), **provenance},
        metrics=for_reading(run.metrics),
        published=[PublishedCell(c.metric, c.mean, c.std, c.source) for c in cells],
        history=read_json(run.folder / "history.json"),
        selected_epoch=run.metrics["selected_epoch"],
        samples=samples,
        notes=notes,
        words=domain.words,
        units={target.name: target.unit for target in targets if target.unit},
        explained="" if run.explanation is None else _target(run.explanation).name,
        trust=_of_targets(run.metrics),
        read=_read(provenance),
    )
    return write_report(run.folder / "report.html", content)


def _read(provenance: dict[str, Any]) -> list[str]:
    return [sentence + "." for sentence in told(provenance["data"])]


def report_folds(folder: Path, run: Path, explanation: Explanation, metrics: dict[str, Any]) -> Path:
    """Writes the page of a cross-validation: every sample, explained by the run that did not learn from it.

    Args:
        folder: Where ``report.html`` goes.
        run: A fold's run folder.
        explanation: Of the test parts of all folds, with the text ``fold``.
        metrics: Mean and deviation over folds, see :class:`pellucid.cross_validation.Folds`.
    """
    provenance, config = read_json(run / "provenance.json"), RunConfig.parse(read_json(run / "config.json"))
    name = provenance["spec"]["domain"]
    domain, folds = domain_of(name), len(set(explanation.clouds.text["fold"]))
    chosen = choose(explanation, fitting(explanation, name))
    prediction = metrics["prediction"]
    notes = [f"{target}: " + ", ".join(f"{metric} {found['mean']:.3f} ± {found['std']:.3f}"
                                       for metric, found in prediction[target].items()) + f" over {folds} folds."
             for target in prediction]
    content = ReportContent(
        title=f"{config.method.name} with {config.backbone.name} on {data_name(run)}",
        subtitle=f"{folds} folds, seed {config.seed}, preset {config.preset}",
        provenance={"config": config.model_dump(mode="json"), **provenance},
        metrics=for_reading(means(metrics)),
        samples=samples_of(_trusted(explanation, metrics), chosen, name),
        notes=[*notes, *([caution] if (caution := explanation.of().caution()) else []),
               *asked(explanation, domain), _rule(explanation, domain, len(chosen))],
        read=_read(provenance),
        words=domain.words,
        units={target.name: target.unit for target in explanation.targets if target.unit},
        explained=_target(explanation).name,
        trust=_of_targets(metrics),
    )
    return write_report(folder / "report.html", content)


def means(metrics: dict[str, Any]) -> dict[str, Any]:
    """The mean over folds in place of mean and deviation, without what is said of trust.

    Example:
        >>> means({"a": {"b": {"mean": 2.0, "std": 1.4}}, "trust": {"level": "good"}})
        {'a': {'b': 2.0}}
    """
    return {name: value["mean"] if set(value) == {"mean", "std"} else means(value) for name, value in metrics.items()
            if name != "trust"}


def report_explanation(path: Path, given: Explanation | SideBySide, notes: list[str], domain: str | None = None
                       ) -> Path:
    """Writes the page for the samples that a user asked about.

    Args:
        path: Where to write.
        given: Of all of them; of several explainers, what they say is shown side by side.
        notes: Warnings, such as entries that could not be read.
        domain: Name of theirs; None for the one in the explanation's provenance.

    Raises:
        PellucidError: if there is nothing to show.
    """
    explanation = given.first if isinstance(given, SideBySide) else given
    data, name = explanation.clouds, domain or domain_in(explanation)
    known = domain_of(name)
    if len(data) == 0:
        raise PellucidError(f"expected at least one of the {known.samples} to show, got none")
    config = explanation.provenance.get("config", {})
    explainer = (", ".join(given.explanations) if isinstance(given, SideBySide)
                 else explanation.provenance.get("explainer"))
    sentence = agreement(explanation)
    trained = (f"{explainer + ' on ' if explainer else ''}{config.get('method', {}).get('name', '')} with "
               f"{config.get('backbone', {}).get('name', '')}, trained on "
               f"{explanation.provenance.get('data') or config.get('dataset') or 'data of its own'}")
    shown = fitting(explanation, name)
    if isinstance(given, SideBySide):
        samples = beside(given, list(range(shown)), name)
        notes = [*agreeing(given, known.points), *notes]
        trusted = _of_each(given)
    else:
        samples = samples_of(explanation, list(range(shown)), name)
        trusted = explanation.provenance.get("trust", {})
    if len(data) > shown:
        notes = [*notes, f"Shown are the first {shown} of {len(data)}; explanation.parquet has all."]
    if len(samples) < shown:
        notes = [*notes, f"Of the {shown} {known.samples}, {shown - len(samples)} have no {known.points} or no two or "
                         "three coordinates to be drawn at; explanation.parquet has their numbers."]
    content = ReportContent(
        title=f"Which {known.points} decided",
        subtitle=trained if config else "",
        provenance=explanation.provenance,
        samples=samples,
        notes=[*([sentence] if sentence else []), *asked(explanation, known), *notes],
        words=known.words,
        trust=trusted,
    )
    return write_report(path, content)
