"""Explaining with trained runs: by what a run learned or by an explainer, once or often, whole or as a subgraph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.commands.data import data_name, data_of
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.explanation import Explanation, asking
from pellucid.families import explainers
from pellucid.files import read_json, sha256
from pellucid.methods import Method
from pellucid.spec import DataSpec
from pellucid.targets import Targets
from pellucid.training.applicability import check_clouds
from pellucid.training.config import RunConfig
from pellucid.training.explaining import JITTER, explain_clouds
from pellucid.training.model import load_model, mean_neighbor_distance, refuse_untaught
from pellucid.training.predict import prediction_of

if TYPE_CHECKING:
    from pellucid.domains.base import Domain
    from pellucid.explainers.base import Explainer
    from pellucid.explanations.subgraph import Subgraph
    from pellucid.metrics.removal import Predict

MOST_TOLD = 3
"""Remarks on samples unlike those of the training that a page has at most."""
OWN = "own"
"""Stands among explainers for the importance that a run learned; ``own:COLUMN`` for a column of it."""
AUTO = "auto"
"""Stands for the explainer that ``pellucid compare`` recommends."""
COMPARED = "compare.json"
"""File in a run folder with what was compared there."""
MODEL = "model.safetensors"
"""File in a run folder with the model that it was compared for."""
CALIBRATION = 200
"""Validation clouds of predicted class 1 that the rule ``fidelity`` is calibrated on at most, evenly spaced."""

Advance = Callable[[float, float], None]
"""Called with the work done and the work in all."""


@dataclass(frozen=True)
class Asked:
    """What is asked of clouds.

    Attributes:
        target: The output; see :meth:`pellucid.targets.Targets.find`.
        point: Of targets of points: the point whose prediction is explained; None for the mean over all.
        prediction_draws: How often noise is injected to see how far it moves the prediction.
    """

    target: str | int | None = None
    point: int | None = None
    prediction_draws: int = 0


@dataclass(frozen=True)
class ExplainedRun:
    """A trained run and what explains it.

    Attributes:
        run: Its folder.
        model: In eval mode.
        config: The run's configuration.
        spec: What it knows of its data.
        about: Provenance of what it explains.
        explainer: None for the importance that the run learned.
        column: Of the learned importance, the one that stands for it; ``""`` for itself.
    """

    run: Path
    model: Method
    config: RunConfig
    spec: DataSpec
    about: dict[str, Any]
    explainer: Explainer | None
    column: str = ""

    @staticmethod
    def open(run: Path, device: torch.device, method: str | None = None,
             options: Mapping[str, Any] | None = None) -> ExplainedRun:
        """Loads a run.

        Args:
            run: Its folder.
            device: Where to compute.
            method: Name of an explainer; None, ``"own"``, or the name of the run's own method, for the importance it
                learned; ``"own:COLUMN"`` for a column of it, e.g. ``"own:existence"`` of ``joint``.
            options: Of the explainer.

        Raises:
            PellucidError: if the folder is no finished run, it learned no importance and no explainer is named, or the
                options do not fit.
        """
        model, config, spec = load_model(run, device)
        refuse_untaught(run, config)
        about = {"run": str(run), "data": data_name(run), "config": config.model_dump(mode="json"),
                 "spec": spec.document()}
        method = method or OWN
        own, _, column = method.partition(":")
        if own not in (OWN, config.method.name):
            from pellucid.explainers.making import make_explainer

            refuse_unknown(method)
            about |= {"explainer": method, "options": dict(options or {})}
            return ExplainedRun(run, model, config, spec, about, make_explainer(method, options))
        if not model.explains:
            raise PellucidError(f"expected an explainer for {run}, which only predicts ({config.method.name}), got "
                                f"none; pass --method (method=) with one out of {', '.join(explainers)}")
        if options:
            raise PellucidError(f"expected options together with an explainer, got {', '.join(options)} for the "
                                f"importance that {run} learned; pass --method (method=) too")
        if column and column not in model.importance_columns:
            raise PellucidError("expected a column of the importance out of "
                                f"{', '.join(model.importance_columns) or 'none'}, got {column!r} for {run}; leave it "
                                "out")
        if column:
            about["column"] = column
        return ExplainedRun(run, model, config, spec, about, None, column)

    def trust(self, target: str | int | None = None) -> dict[str, Any]:
        """How far its importance can be trusted by the run's own ``metrics.json``, as a document.

        Args:
            target: The output that is explained.
        """
        from pellucid.metrics.trust import trust

        asked = self.model.targets.find(target).target
        metrics = read_json(path) if (path := self.run / "metrics.json").is_file() else {}
        own = metrics if asked == self.model.targets[0] else metrics.get("targets", {}).get(asked.name)
        measured = own is not None and self.explainer is None
        return trust({**(own or {}), "prediction": metrics.get("prediction")}, target=asked.name,
                     measured=measured or not self.model.explains).document()

    def refuse(self, clouds: PointClouds) -> None:
        """Raises PellucidError where the model or the explainer cannot take the clouds."""
        if self.explainer is None:
            self.model.refuse(clouds)
        else:
            self.explainer.refuse(self.model, clouds)

    def explain(self, clouds: PointClouds, seed: int = 0, asked: Asked | None = None,
                advance: Advance | None = None) -> Explanation:
        """Explains clouds once.

        Args:
            clouds: What to explain.
            seed: Of the explainer, and of draws of the prediction.
            asked: What is asked of them.
            advance: Called with the work done and the work in all.
        """
        about, asked = {**self.about, "seed": seed}, asked or Asked()
        if self.explainer is not None:
            if asked.prediction_draws:
                raise PellucidError("expected the importance that the run learned with prediction_draws, got an "
                                    "explainer, which injects no noise; leave one of them out")
            return self.explainer.explain(self.model, clouds, target=asked.target, point=asked.point, seed=seed,
                                          advance=advance, provenance=about)
        if asked.point is not None:
            raise PellucidError("expected an explainer to ask about one point, got the importance that the run "
                                "learned, which is of all points together; pass --method (method=) too")
        found = explain_clouds(self.model, clouds, target=asked.target, provenance=about,
                               prediction_draws=asked.prediction_draws, seed=seed)
        return found.column(self.column) if self.column else found


def refuse_unknown(name: str) -> None:
    """Raises an error for what is neither an explainer nor what the run itself says, with the near misses.

    Raises:
        UnknownNameError: for an unknown name.
    """
    if name != OWN and name not in explainers:
        raise UnknownNameError("explainer", name, [OWN, *explainers])


def output_name(targets: Targets, target: str | int | None = None) -> str:
    """What is compared and explained, by a name that does not depend on how it was asked for.

    Args:
        targets: Of a run.
        target: As for :meth:`pellucid.targets.Targets.find`.

    Example:
        >>> output_name(Targets.of("binary", 2)), output_name(Targets.of("binary", 2), "y1")
        ('y0', 'y1')
    """
    found = targets.find(target)
    return found.target.name if found.output is None else targets.names[found.output]


def recommended(run: Path, target: str | int | None = None) -> tuple[str, dict[str, Any], str]:
    """The explainer that ``pellucid compare`` found for a run, its options, and why.

    Args:
        run: Its folder.
        target: What is explained; a class for which nothing was compared takes what its target does.

    Raises:
        PellucidError: if nothing was compared for it, or none could be recommended.
    """
    spec = DataSpec.parse(read_json(run / "provenance.json").get("spec"))
    found = spec.targets.find(target)
    known = read_json(run / COMPARED)["targets"] if (run / COMPARED).is_file() else {}
    one = known.get(output_name(spec.targets, target)) or known.get(found.target.name)
    more = "" if target is None else f" --target {target}"
    if one is not None and one["model"] != sha256(run / MODEL):
        one = None  # of a model that was there before
    if one is None:
        raise PellucidError(f"expected a comparison of explainers for {found.target.name} in {run}, got none; run "
                            f"pellucid compare {run}{more} first, or name an explainer")
    if one["recommended"] is None:
        raise PellucidError(f"expected an explainer that pellucid compare recommends for {run}, got none: "
                            f"{one['reason']} Name one yourself")
    return one["recommended"], one["explainers"][one["recommended"]]["options"], one["reason"]


def prepare(sources: Sequence[ExplainedRun], clouds: PointClouds | None = None, *, asked: Asked | None = None,
            seed: int = 0, advance: Advance | None = None) -> None:
    """Fits the explainers that learn, each on the training split of its run.

    Args:
        sources: The runs.
        clouds: All splits, where they are not to be read from the place that a run names.
        asked: What will be asked.
        seed: Decides every random number.
        advance: Called with steps done and steps in all.
    """
    for source in sources:
        if source.explainer is not None and source.explainer.trains:
            data = data_of(source.run) if clouds is None else clouds
            source.explainer.fit(source.model, data.split("train"), target=(asked or Asked()).target, seed=seed,
                                 advance=advance)


def explain_with(sources: Sequence[ExplainedRun], clouds: PointClouds, *, asked: Asked | None = None, draws: int = 1,
                 seed: int = 0, advance: Advance | None = None) -> Explanation:
    """Explains clouds with each run and brings the explanations together.

    One run and one draw is explained as it is. Draws of one run are averaged in the unit of its importance; where
    there are several runs, ranks are (see :func:`pellucid.explanations.ensemble.ensemble`). A draw moves the
    coordinates by :data:`pellucid.training.explaining.JITTER` mean distances between neighbours and takes another seed.

    Args:
        sources: At least one run; explainers that learn are fitted.
        clouds: What to explain.
        asked: What is asked of them.
        draws: Draws of each run, at least 1.
        seed: Of the first draw.
        advance: Called with explanations done and explanations in all.

    Returns:
        Explanation; with several, see :func:`pellucid.explanations.ensemble.ensemble` for its columns and provenance.

    Raises:
        PellucidError: if a run cannot take the clouds, or there are fewer than one draw.
    """
    from pellucid.explanations.ensemble import draws as drawn
    from pellucid.explanations.ensemble import ensemble

    members: list[Explanation] = []
    jitter = 0.0

    def part(done: float, whole: float) -> None:
        if advance is not None:
            advance(len(members) + done / max(whole, 1), len(sources) * draws)

    for source in sources:
        source.refuse(clouds)
        if draws > 1:
            jitter = JITTER * mean_neighbor_distance(clouds, source.model.rule)
        explain = partial(source.explain, asked=asked, advance=part)
        for member in drawn(explain, clouds, draws, jitter=jitter, seed=seed):
            members.append(member)
            part(0, 1)
    if len(members) == 1:
        return members[0]
    together = ensemble([member.of() for member in members], scale="ranks" if len(sources) > 1 else "none")
    about = {"runs": len(sources), "draws": draws, "jitter": jitter} | together.provenance["ensemble"]
    return replace(together, provenance={**together.provenance, "ensemble": about})


@dataclass(frozen=True)
class Outside:
    """Which samples are unlike those that a run was trained on.

    Attributes:
        sentences: Why, of each sample; ``""`` where it is not; empty where the run keeps nothing to compare with.
    """

    sentences: list[str]

    def told(self, clouds: PointClouds) -> list[str]:
        """A remark for each sample that is, the first :data:`MOST_TOLD` of them.

        Example:
            >>> clouds = PointClouds(torch.tensor([0, 2]), {"pos": torch.zeros(2, 3)}, text={"id": ["a"]})
            >>> Outside(["168 points; training had 13 to 26"]).told(clouds)
            ['Unlike the training samples: a: 168 points; training had 13 to 26']
        """
        names = clouds.text.get("id", [str(i) for i in range(len(clouds))])
        found = [(name, text) for name, text in zip(names, self.sentences, strict=False) if text]
        more = len(found) - MOST_TOLD
        return [*(f"Unlike the training samples: {name}: {text}" for name, text in found[:MOST_TOLD]),
                *([f"Unlike the training samples: {more} more, each with a warning."] if more > 0 else [])]


def outside_of(source: ExplainedRun, clouds: PointClouds, domain: Domain) -> Outside:
    """Compares samples with those that a run was trained on.

    Args:
        source: The run.
        clouds: The samples.
        domain: Theirs, for its words.
    """
    found = check_clouds(source.run, source.model, clouds, domain)
    return Outside([] if found is None else found.sentences)


def predict_with(sources: Sequence[ExplainedRun]) -> Predict | None:
    """The runs' mean prediction of the output that clouds from :func:`asking` carry; None where points have targets."""
    if any(s.model.targets.level == "point" for s in sources):
        return None
    functions = [prediction_of(source.model) for source in sources]

    def predict(clouds: PointClouds) -> Tensor:
        return torch.stack([f(clouds) for f in functions]).mean(0)

    return predict


def subgraph_of(explanation: Explanation, sources: Sequence[ExplainedRun], rule: str,
                clouds: PointClouds | None = None, *, asked: Asked | None = None, draws: int = 1, seed: int = 0,
                advance: Advance | None = None) -> Subgraph:
    """The subgraph of an explanation by a rule given as text, and what the runs predict from it alone.

    Args:
        explanation: From :func:`explain_with`, of one output.
        sources: The same runs.
        rule: As for :func:`pellucid.explanations.subgraph.parse_rule`; ``fidelity`` is calibrated on
            :data:`CALIBRATION` validation clouds of the first run, explained in the same way: of a class, those where
            it is predicted.
        clouds: All splits, where they are not to be read from the place that the run names.
        asked: What was asked.
        draws: As for :func:`explain_with`.
        seed: As for :func:`explain_with`.
        advance: Called while validation clouds are explained.

    Raises:
        PellucidError: for an unknown rule, or ``fidelity`` with targets of points.
    """
    from pellucid.explanations.subgraph import NO_ONES, calibrate, parse_rule, subgraph

    name, given = parse_rule(rule)
    predict, asked = predict_with(sources), asked or Asked()
    explanation = explanation.of()
    if name != "fidelity":
        return subgraph(explanation, name, predict=predict, **given)
    if predict is None:
        raise PellucidError("expected targets of clouds for the rule fidelity, got targets of points; use top or gap")
    validation = (data_of(sources[0].run) if clouds is None else clouds).split("val")
    found = sources[0].model.targets.find(asked.target)
    if found.target.kind != "regression":  # clouds of another class do not count: do not explain them
        output = sources[0].model.targets.starts[found.column] if found.output is None else found.output
        own = validation if found.output is None else asking(validation, torch.full_like(validation.ptr[1:], output))
        count = len(validation)
        ones = (torch.arange(count) if found.output is None else (predict(own) >= 0.5).nonzero().squeeze(1))
    else:
        ones = torch.arange(len(validation))
    if not len(ones):
        raise PellucidError(NO_ONES)
    count = min(len(ones), CALIBRATION)
    validation = validation.select(ones[torch.arange(count) * len(ones) // count])
    explained = explain_with(sources, validation, asked=asked, draws=draws, seed=seed, advance=advance).of()
    return subgraph(explanation, name, predict=predict, calibration=calibrate(predict, explained, **given))


def other_targets(explanation: Explanation) -> str | None:
    """Which target is shown and which others there are, as a sentence; None where there is one output.

    Args:
        explanation: Of a run.

    Example:
        >>> from pellucid.targets import Targets
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"pos": torch.zeros(2, 3)})
        >>> other_targets(Explanation(clouds, torch.rand(1, 2), torch.rand(2), targets=Targets.of("binary", 2)))
        'shown is the target y0; others: y1; choose with --target'
    """
    targets, one = explanation.targets, explanation.of()
    if targets.outputs == 1:
        return None
    shown = targets.owner(int(one.explained[0])) if len(one.explained) else targets[0]
    whole = f"the predicted class of {shown.name}" if shown.kind == "multiclass" else f"the target {shown.name}"
    own = {target.name: [name for name in targets.names if name.startswith(f"{target.name}=")] for target in targets}
    others = [*own[shown.name], *(name for target in targets if target != shown
                                  for name in (target.name, *own[target.name]))]
    return f"shown is {whole}; others: {', '.join(others)}; choose with --target"


def prediction_table(explanation: Explanation) -> tuple[list[str], list[list[str]]]:
    """What is predicted of each sample, for printing.

    Args:
        explanation: Of a run.

    Returns:
        Names of the columns: ``""`` (of samples) and the quantity, or where samples have several a column for it and
        one for its value; and the rows. Where points have predictions, those of a sample are counted and averaged.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"pos": torch.zeros(2, 3)}, text={"id": ["first"]})
        >>> prediction_table(Explanation(clouds, torch.tensor([[0.25]]), torch.rand(2)))
        (['', 'P(y)'], [['first', '0.250']])
    """
    one = explanation.of()
    clouds = one.clouds
    places = range(len(clouds))
    names = clouds.text.get("id", [str(i) for i in places])
    quantities = [one.quantity(i) for i in places]
    if one.level == "point":
        ptr = clouds.ptr.tolist()
        own = [one.prediction[ptr[i]:ptr[i + 1], int(one.explained[i])] for i in places]
        values = [f"mean {float(rows.mean()):.3f} of {len(rows)}" if len(rows) else "none" for rows in own]
    else:
        values = [f"{one.value(i):.3f}" for i in places]
    if len(set(quantities)) == 1:
        return ["", quantities[0]], [[name, value] for name, value in zip(names, values, strict=True)]
    return ["", "quantity", "value"], [list(row) for row in zip(names, quantities, values, strict=True)]
