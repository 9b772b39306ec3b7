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
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.families import explainers
from pellucid.methods import Method
from pellucid.training.config import RunConfig
from pellucid.training.data import data_of
from pellucid.training.explaining import JITTER, explain_clouds
from pellucid.training.model import load_model, mean_neighbor_distance
from pellucid.training.predict import probability_of

if TYPE_CHECKING:
    from pellucid.explainers.base import Explainer
    from pellucid.explanations.subgraph import Subgraph
    from pellucid.metrics.removal import Predict

CALIBRATION = 200
"""Validation clouds of predicted class 1 that the rule ``fidelity`` is calibrated on at most, evenly spaced."""

Advance = Callable[[float, float], None]
"""Called with the work done and the work in all."""


@dataclass(frozen=True)
class Source:
    """A trained run and what explains it.

    Attributes:
        run: Its folder.
        model: In eval mode.
        config: The run's configuration.
        about: Provenance of what it explains.
        explainer: None for the importance that the run learned.
    """

    run: Path
    model: Method
    config: RunConfig
    about: dict[str, Any]
    explainer: Explainer | None

    @staticmethod
    def open(run: Path, device: torch.device, method: str | None = None,
             options: Mapping[str, Any] | None = None) -> Source:
        """Loads a run.

        Args:
            run: Its folder.
            device: Where to compute.
            method: Name of an explainer; None, or the name of the run's own method, for the importance it learned.
            options: Of the explainer.

        Raises:
            PellucidError: if the folder is no finished run, it learned no importance and no explainer is named, or the
                options do not fit.
        """
        model, config, signature = load_model(run, device)
        about = {"run": str(run), "config": config.model_dump(mode="json"), "signature": signature}
        if method not in (None, config.method.name):
            assert method is not None
            from pellucid.explainers.making import make_explainer

            about |= {"explainer": method, "options": dict(options or {})}
            return Source(run, model, config, about, make_explainer(method, options))
        if not model.supports.importance:
            raise PellucidError(f"expected an explainer for {run}, which only predicts ({config.method.name}), got "
                                f"none; pass --method (method=) with one out of {', '.join(explainers)}")
        if options:
            raise PellucidError(f"expected options together with an explainer, got {', '.join(options)} for the "
                                f"importance that {run} learned; pass --method (method=) too")
        return Source(run, model, config, about, None)

    def refuse(self, clouds: PointClouds) -> None:
        """Raises PellucidError where the model or the explainer cannot take the clouds."""
        if self.explainer is None:
            self.model.refuse(clouds)
        else:
            self.explainer.refuse(self.model, clouds)

    def explain(self, clouds: PointClouds, seed: int = 0, advance: Advance | None = None) -> Explanation:
        """Explains clouds once."""
        about = {**self.about, "seed": seed}
        if self.explainer is None:
            return explain_clouds(self.model, clouds, seed=seed, provenance=about)
        return self.explainer.explain(self.model, clouds, seed=seed, advance=advance, provenance=about)


def prepare(sources: Sequence[Source], clouds: PointClouds | None = None, *, seed: int = 0,
            advance: Advance | None = None) -> None:
    """Fits the explainers that learn, each on the training split of its run.

    Args:
        sources: The runs.
        clouds: All splits, where they are not to be read from the place that a run names.
        seed: Decides every random number.
        advance: Called with steps done and steps in all.
    """
    for source in sources:
        if source.explainer is not None and source.explainer.trains:
            data = data_of(source.run) if clouds is None else clouds
            source.explainer.fit(source.model, data.split("train"), seed=seed, advance=advance)


def explain_with(sources: Sequence[Source], clouds: PointClouds, *, draws: int = 1, seed: int = 0,
                 advance: Advance | None = None) -> Explanation:
    """Explains clouds with each run and brings the explanations together.

    One run and one draw is explained as it is. Draws of one run are averaged in the unit of its importance; where
    there are several runs, ranks are (see :func:`pellucid.explanations.ensemble.ensemble`). A draw moves the
    coordinates by :data:`pellucid.training.explaining.JITTER` mean distances between neighbours and takes another seed.

    Args:
        sources: At least one run; explainers that learn are fitted.
        clouds: What to explain.
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
        for member in drawn(partial(source.explain, advance=part), clouds, draws, jitter=jitter, seed=seed):
            members.append(member)
            part(0, 1)
    if len(members) == 1:
        return members[0]
    together = ensemble(members, scale="ranks" if len(sources) > 1 else "none")
    about = {"runs": len(sources), "draws": draws, "jitter": jitter} | together.provenance["ensemble"]
    return replace(together, provenance={**together.provenance, "ensemble": about})


def predict_with(sources: Sequence[Source]) -> Predict | None:
    """The runs' mean probability of class 1; None unless all are binary with one output."""
    if any(s.model.task.kind != "binary" or s.model.task.outputs != 1 for s in sources):
        return None
    functions = [probability_of(source.model) for source in sources]

    def predict(clouds: PointClouds) -> Tensor:
        return torch.stack([f(clouds) for f in functions]).mean(0)

    return predict


def subgraph_of(explanation: Explanation, sources: Sequence[Source], rule: str, clouds: PointClouds | None = None, *,
           draws: int = 1, seed: int = 0, advance: Advance | None = None) -> Subgraph:
    """The subgraph of an explanation by a rule given as text, and what the runs predict from it alone.

    Args:
        explanation: From :func:`explain_with`.
        sources: The same runs.
        rule: As for :func:`pellucid.explanations.subgraph.parse_rule`; ``fidelity`` is calibrated on
            :data:`CALIBRATION` validation clouds of the first run, explained in the same way.
        clouds: All splits, where they are not to be read from the place that the run names.
        draws: As for :func:`explain_with`.
        seed: As for :func:`explain_with`.
        advance: Called while validation clouds are explained.

    Raises:
        PellucidError: for an unknown rule, or ``fidelity`` with a task that is not binary with one output.
    """
    from pellucid.explanations.subgraph import NO_ONES, calibrate, parse_rule, subgraph

    name, given = parse_rule(rule)
    predict = predict_with(sources)
    if name != "fidelity":
        return subgraph(explanation, name, predict=predict, **given)
    if predict is None:
        raise PellucidError("expected a binary task with one output for the rule fidelity, got another; use top or gap")
    validation = (data_of(sources[0].run) if clouds is None else clouds).split("val")
    ones = (predict(validation) >= 0.5).nonzero().squeeze(1)  # the others do not count: do not explain them
    if not len(ones):
        raise PellucidError(NO_ONES)
    count = min(len(ones), CALIBRATION)
    validation = validation.select(ones[torch.arange(count) * len(ones) // count])
    explained = explain_with(sources, validation, draws=draws, seed=seed, advance=advance)
    return subgraph(explanation, name, predict=predict, calibration=calibrate(predict, explained, **given))
