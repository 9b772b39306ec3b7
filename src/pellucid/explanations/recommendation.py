"""Which explainer to take for a model, out of how its own predictions answer: one rule, without any ground truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.metrics.bootstrap import Estimate
from pellucid.metrics.trust import ABOVE_CHANCE, CHANGED

ERRORS = 2.0
"""Standard errors of the mean difference over samples up to which two explainers cannot be told apart."""


@dataclass(frozen=True)
class Row:
    """What was measured of one explainer.

    Attributes:
        name: Of the explainer; ``own`` for what the run learned, ``own:COLUMN`` for a column of it.
        what: What its number is.
        signed: Whether it has a sign; where it has, |value| says how much a point decides.
        asks: Whether it looks at the model at all; baselines do not.
        fidelity: Mean effect of its points when they leave, see :class:`pellucid.metrics.effect.Effects`.
        in_distribution: The same when they are exchanged for those of other samples.
        left: Rank correlation with the importance of shuffled weights: the randomisation test.
        stability: Rank correlation with another seed and, where there are coordinates, slightly moved points.
        agreement: Mean rank correlation with the other explainers that ask the model.
        seconds: That explaining took, fitting included.
        gains: (clouds, 2) both effects in each sample, less those of random points.
        note: What a reader must know of the number; ``""`` for nothing.
        options: That the explainer had.
    """

    name: str
    what: str
    signed: bool
    asks: bool
    fidelity: Estimate
    in_distribution: Estimate
    left: Estimate
    stability: float
    agreement: float
    seconds: float
    gains: Tensor
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON, without the numbers of single samples."""
        return {"what": self.what, "signed": self.signed, "asks_the_model": self.asks,
                "fidelity": self.fidelity.as_dict(), "in_distribution": self.in_distribution.as_dict(),
                "randomisation": self.left.as_dict(), "stability": self.stability, "agreement": self.agreement,
                "seconds": self.seconds, "note": self.note,
                "options": dict(self.options)}


def objection(row: Row) -> str:
    """Why an explainer is not recommended whatever else it does; ``""`` where nothing speaks against it."""
    if not row.asks:
        return "it never asks the model"
    most = max(CHANGED, row.left.random + ABOVE_CHANCE) if math.isfinite(row.left.random) else CHANGED
    if row.left.low >= most:
        return "it hardly changes when the model's weights are shuffled"
    for effect, how in ((row.fidelity, "leave"), (row.in_distribution, "change in distribution")):
        if not effect.low > effect.random:
            return f"the prediction moves no more when its points {how} than when random ones do"
    return ""


def recommend(rows: Sequence[Row], *, regression: bool = False) -> tuple[str | None, str]:
    """The explainer to take, and why.

    1. Out are those with an :func:`objection`: they do not look at the model, or not at its weights, or the prediction
       hangs on their points no more than on random ones.
    2. Of a regression, those with a sign come first, where one is left: what raises and what lowers a number is what is
       asked of it, and importance without a sign cannot say.
    3. The others are compared by the effects of the points that they name beyond those of random ones: of each sample
       the mean of both effects, each as a share of the largest mean among them. Both count, as each has a fault that
       the other has not: taking points away asks of samples that the model never saw, and exchanging them leaves
       their places, and links to their neighbours, as they were.
    4. Those that are within :data:`ERRORS` standard errors of the best one, sample by sample, cannot be told apart by
       it; of them the steadiest is taken (in tenths), then the quickest.

    Args:
        rows: Of explainers of the same samples.
        regression: Whether the target is a number.

    Returns:
        Name, or None where nothing can be recommended; and the reason in a sentence.
    """
    left = [row for row in rows if not objection(row)]
    if not left:
        why = "; ".join(f"{row.name}: {objection(row)}" for row in rows)
        return None, f"None of them can be recommended ({why})." if rows else "Nothing was compared."
    signed = [row for row in left if row.signed] if regression else []
    pool = signed or left
    scores = _scores(pool)
    best = max(range(len(pool)), key=lambda i: float(scores[i].mean()))
    behind = scores[best] - scores
    count = scores.shape[1]
    error = behind.std(1) / math.sqrt(count) if count > 1 else torch.zeros(len(pool))
    ties = [i for i in range(len(pool)) if float(behind[i].mean()) <= ERRORS * float(error[i])]
    chosen = max(ties, key=lambda i: (round(_or(pool[i].stability, 0.0), 1), -pool[i].seconds))
    row = pool[chosen]
    others = [pool[i].name for i in ties if i != chosen]
    sign = "with a sign (which a number asks for) " if signed else ""
    tied = f", steadier or quicker than {', '.join(others)}, which come as close" if others else ""
    which = (f"of {len(pool)} explainers {sign}that stand all checks, its points move the prediction most" if pool[1:]
             else f"the only explainer {sign}that stands all checks; its points move the prediction")
    return row.name, (f"{row.name}: {which} (by {row.fidelity.value:.3g} when they leave, "
                      f"{row.in_distribution.value:.3g} in distribution; random ones by {row.fidelity.random:.3g} and "
                      f"{row.in_distribution.random:.3g}){tied}.")


def _scores(rows: Sequence[Row]) -> Tensor:
    """(rows, clouds) mean of both gains, each as a share of the largest mean among rows."""
    gains = torch.stack([row.gains.double() for row in rows])
    return (gains / gains.mean(1).amax(0).clamp(min=torch.finfo(torch.float64).tiny)).mean(2)


def _or(value: float, other: float) -> float:
    return other if math.isnan(value) else value
