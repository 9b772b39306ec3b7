"""How far an explanation can be trusted, in one sentence, out of the numbers that were measured of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["good", "unclear", "no"]

GUESS, POOR, FAIR = {"roc_auc": 0.5, "r2": 0.0}, {"roc_auc": 0.6, "r2": 0.05}, {"roc_auc": 0.7, "r2": 0.3}
"""What a guess or the mean reach; a prediction up to the next is of no use, one below the last is weak."""
FOUND = 0.7
"""Interpretation ROC AUC from which the importance finds what decides; below, it finds some of it."""
STEADY, SHAKY = 0.7, 0.3
"""Rank correlation of repeated draws from which ranks are steady, and up to which they are noise."""
CHANGED, ABOVE_CHANCE = 0.5, 0.1
"""Rank correlation after the weights are shuffled below which importance has changed; where samples are so small that
chance comes near it, this far above chance."""
GAIN = 0.05
"""Fidelity's least gain over a random order, as a share of what a random order has."""

AGAINST, APART = 0.75, 0.8
"""ROC AUC with which importance finds the points that occlusion does: up to the first it contradicts what the model
says without them, up to the second the two are far apart. Chosen on development rules (docs/trust.md)."""

MEANING: dict[Level, str] = {"good": "Good", "unclear": "Unclear", "no": "Do not read it as an answer"}
"""What a level is called."""


@dataclass(frozen=True)
class Trust:
    """How far an explanation can be trusted.

    Attributes:
        level: ``"good"``, ``"unclear"``, or ``"no"``: not to be read as an answer.
        sentence: Says so, and why.
        reasons: All that was considered, a sentence each, what decided first.
    """

    level: Level
    sentence: str
    reasons: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As ``metrics.json`` has it.

        Example:
            >>> Trust("good", "It can be trusted.").document()
            {'level': 'good', 'sentence': 'It can be trusted.', 'reasons': []}
        """
        return {"level": self.level, "sentence": self.sentence, "reasons": list(self.reasons)}


def trust(metrics: Mapping[str, Any], *, target: str | None = None, measured: bool = True) -> Trust:
    """How far the importance of a run can be trusted.

    A prediction of no use explains nothing. Beyond that, where it is known which points decide, the interpretation
    ROC AUC within samples is judged by its confidence interval against 0.5. Where it is not: the change of importance
    when weights are shuffled, fidelity against a random order, and stability where there are coordinates to move. The
    worst of them decides. The thresholds, and why, stand in ``docs/explaining.md``.

    Args:
        metrics: As in ``metrics.json``.
        target: Whose prediction is judged; None for the first target.
        measured: Whether interpretation, fidelity, stability and sanity are of this importance; not so for another
            explainer than the run's own, or another target than the one that was measured.

    Example:
        >>> found = {"roc_auc_per_cloud": 0.52, "intervals": {"roc_auc_per_cloud": [0.47, 0.57]}}
        >>> trust({"prediction": {"y": {"roc_auc": 0.95}}, "interpretation": found}).sentence[:90]
        'Do not read it as an answer: the importance finds what truly decides no better than chance'
    """
    predicted = metrics.get("prediction") or {}
    name = next(iter(predicted), "") if target is None else target
    own = predicted.get(name) or predicted.get(name.rpartition("=")[0]) or {}
    found = [_prediction(own, name if len(predicted) > 1 else "")]
    if not measured:
        found.append(("unclear", "nothing was measured of this importance, since it is another than that which the "
                                 "run's metrics are of"))
    elif (truth := _truth(metrics.get("interpretation") or {})) is not None:
        found.append(truth)
    elif "sparsity" in metrics or "sanity" in metrics or "fidelity" in metrics:
        found += _without_truth(metrics, regression="rmse" in own)
    else:
        found.append(("unclear", "nothing was measured of any importance, since the run only predicts"))
    order: dict[Level, int] = {"no": 0, "unclear": 1, "good": 2}
    level: Level = min((verdict for verdict, _ in found), key=order.__getitem__)
    reasons = [text for _, text in sorted(found, key=lambda one: order[one[0]])]
    decisive = [text for verdict, text in found if verdict == level]
    return Trust(level, f"{MEANING[level]}: {'; '.join(decisive)}.", tuple(_sentence(text) for text in reasons))


def _prediction(own: Mapping[str, Any], target: str) -> tuple[Level, str]:
    """Whether the model predicts better than the mean or a guess."""
    kind = "r2" if "rmse" in own else "roc_auc"
    value, named = _real(own.get(kind)), {"r2": "R²", "roc_auc": "ROC AUC"}[kind]
    guess = "the mean" if kind == "r2" else "a guess"
    if math.isnan(value):
        return "unclear", "whether the model predicts could not be measured"
    told, predicts = f"({named} {_told(value)})", f"the model predicts {target} ".rstrip()
    if value <= POOR[kind]:
        compared = "worse" if value < GUESS[kind] else "hardly better"
        return "no", f"{predicts} {compared} than {guess} {told}, so that there is nothing to explain"
    if value < FAIR[kind]:
        return "unclear", f"{predicts} weakly {told}"
    return "good", f"{predicts} better than {guess} {told}"


def _truth(interpretation: Mapping[str, Any]) -> tuple[Level, str] | None:
    """Against the points that are known to decide; None where nothing is known of them."""
    value = _real(interpretation.get("roc_auc_per_cloud"))
    if math.isnan(value):
        return None
    ends = (interpretation.get("intervals") or {}).get("roc_auc_per_cloud") or (None, None)
    low, high = map(_real, ends)
    if math.isnan(low) or math.isnan(high):
        return "unclear", f"the importance finds what truly decides with ROC AUC {_told(value)}, but on too few samples"
    told = f"(ROC AUC {_told(value)}, 95 % interval {_told(low)} to {_told(high)}; chance is 0.5)"
    if high < 0.5:
        return "no", f"the importance finds what truly decides worse than chance {told}"
    if low <= 0.5:
        return "no", f"the importance finds what truly decides no better than chance {told}"
    if value < FOUND:
        return "unclear", f"the importance finds only some of what truly decides {told}"
    return "good", f"the importance finds what truly decides {told}"


def _without_truth(metrics: Mapping[str, Any], regression: bool) -> list[tuple[Level, str]]:
    """What can be said of importance where nobody knows which points decide."""
    found = [_shuffled((metrics.get("sanity") or {}).get("randomisation") or {})]
    if "removal" in metrics:
        found.append(_removal(metrics["removal"]))
    if (gain := _gain(metrics.get("fidelity") or {}, regression)) is not None:
        told = f"({_told(100 * gain, 0)} % against a random order)"
        moves = "the prediction hangs on the important points"
        found.append(("no", f"the prediction hangs on the important points no more than on random ones {told}")
                     if gain <= 0 else ("unclear", f"{moves} hardly more than on random ones {told}")
                     if gain < GAIN else ("good", f"{moves} more than on random ones {told}"))
    else:
        found.append(("unclear", "whether the prediction hangs on the important points more than on a random order was "
                                 "not measured"))
    if "stability" in metrics:
        steady = _real(metrics["stability"].get("rank_correlation"))
        told = f"(rank correlation {_told(steady)})"
        found.append(("unclear", "whether the order of the points is steady could not be measured")
                     if math.isnan(steady) else ("no", f"the order of the points is noise: it changes when they are "
                                                 f"moved a little {told}")
                     if steady <= SHAKY else ("unclear", f"the order of the points is not steady {told}")
                     if steady < STEADY else ("good", f"the order of the points is steady {told}"))
    return found


def _removal(removal: Mapping[str, Any]) -> tuple[Level, str]:
    """Whether importance and occlusion name the same points."""
    value, low, high = (_real((removal.get("agreement") or {}).get(key)) for key in ("value", "low", "high"))
    if math.isnan(value) or math.isnan(low) or math.isnan(high):
        return "unclear", "whether the model misses the important points when they leave could not be measured"
    told = f"(ROC AUC {_told(value)} for the points whose removal changes the prediction most; chance is 0.5)"
    if _real(removal.get("share")) < 0:  # the right points with the wrong sign have an agreement as good
        return "no", f"the prediction moves against what the importance says, or less than by random points {told}"
    if value < AGAINST:
        return "no", f"the prediction hangs on other points than those that are called important {told}"
    if value < APART:
        return "unclear", f"the prediction hangs in part on other points than those that are called important {told}"
    return "good", f"the prediction hangs on the points that are called important {told}"


def _shuffled(randomisation: Mapping[str, Any]) -> tuple[Level, str]:
    value, low, high, chance = (_real(randomisation.get(key)) for key in ("value", "low", "high", "random"))
    if math.isnan(low) or math.isnan(high):
        return "unclear", "whether the importance hangs on what was learned could not be measured"
    told = f"(rank correlation {_told(value)} with that of shuffled weights)"
    most = max(CHANGED, chance + ABOVE_CHANCE) if math.isfinite(chance) else CHANGED
    if high < most:
        return "good", f"the importance hangs on what was learned {told}"
    if low >= most:
        return "no", f"the importance hardly changes when the model's weights are shuffled {told}"
    return "unclear", f"the importance may not hang on what was learned {told}"


def _gain(fidelity: Mapping[str, Any], regression: bool) -> float | None:
    """Mean of deletion's and insertion's gain over a random order, as a share of it; None where it is unknown.

    Of a class the probability should fall early and stay up, of a regression |change| the other way round.
    """
    gains = []
    for name, better in (("deletion", 1 if regression else -1), ("insertion", -1 if regression else 1)):
        one = fidelity.get(name) or {}
        value, random = _real(one.get("auc")), _real(one.get("random"))
        if math.isnan(value) or math.isnan(random) or random <= 0:
            return None
        gains.append(better * (value - random) / random)
    return sum(gains) / 2


def _real(value: Any) -> float:
    """A number; NaN for none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def _told(value: float, digits: int = 2) -> str:
    value = round(value, digits) + 0.0  # no negative zero
    return ("+" if digits == 0 and value > 0 else "") + f"{value:.{digits}f}".replace("-", "−")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
