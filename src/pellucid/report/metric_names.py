"""What the metrics are called, what they say, and which way is better."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pellucid.errors import PellucidError

_ABOUT: dict[str, tuple[str, str]] = {
    "roc_auc": ("ROC AUC", "chance that a random positive case is ranked above a random negative one"),
    "average_precision": ("Average precision", "area under the precision-recall curve"),
    "accuracy": ("Accuracy", "share of right answers"),
    "balanced_accuracy": ("Balanced accuracy", "mean share of right answers over the classes"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "brier": ("Brier score", "mean squared error of the probability; lower is better"),
    "ece": ("Calibration error", "gap between stated and observed probability; lower is better"),
    "log_loss": ("Log loss", "negative log-likelihood of the right answers; lower is better"),
    "loss": ("Loss", "what training minimises; lower is better"),
    "mae": ("Mean absolute error", "in the unit of the target; lower is better"),
    "rmse": ("Root mean squared error", "in the unit of the target; lower is better"),
    "rmse_one_sided": (
        "RMSE with bounds", "over known values and bounds, beyond which a prediction is no error; in the unit of the "
        "target; lower is better"),
    "censored": ("Values that are bounds", "they count in the error with bounds alone"),
    "r2": ("R²", "share of the target's variance that the prediction explains; 0: no better than its mean"),
    "spearman": ("Spearman", "rank correlation of prediction and target; 1 is the same order"),
    "interpretation.roc_auc": (
        "Interpretation ROC AUC", "chance that a truly important {point} is ranked above an unimportant one, all "
        "{samples} pooled"),
    "interpretation.roc_auc_per_cloud": (
        "Interpretation ROC AUC, per {sample}", "the same within each {sample}, then averaged: no comparison across "
        "{samples}"),
    "interpretation.average_precision": (
        "Interpretation average precision", "area under the precision-recall curve of finding the important {points}"),
    "deletion.auc": (
        "Deletion", "area under the prediction as the most important {points} are taken away first; lower is better"),
    "insertion.auc": ("Insertion", "area under the prediction as the most important {points} are put in first"),
    "sparsity.gini": ("Gini", "0: all {points} equally important, 1: one {point} alone"),
    "rank_correlation": (
        "Rank correlation", "agreement of the importance when the {points} are moved a little; 1 is the same order"),
    "prediction_std": ("Spread of the prediction", "standard deviation over small moves and draws of the noise"),
    "plus": ("Fidelity+", "how far the prediction falls without the most important fifth of the {points}"),
    "minus": (
        "Fidelity−", "how far the prediction falls with only the most important fifth of the {points}; lower is "
        "better"),
    "plus_area": ("Fidelity+, area", "the same over all fractions"),
    "minus_area": ("Fidelity−, area", "the same over all fractions; lower is better"),
    "characterization": ("Characterization", "harmonic mean of fidelity+ and 1 − fidelity−"),
    "robust_plus": (
        "Robust fidelity+", "a tenth of the important {points} taken away at random, so that {samples} stay like real "
        "ones"),
    "robust_minus": (
        "Robust fidelity−", "a tenth of the unimportant {points} taken away at random; lower is better"),
    "randomisation": (
        "Randomised model", "rank correlation with the importance from a model with shuffled weights; near random is "
        "right: the explanation hangs on what was learned"),
    "comprehensiveness": ("Comprehensiveness", "how far the prediction falls without the important {points}"),
    "sufficiency": (
        "Sufficiency", "how far the prediction falls with only the important {points}; lower is better"),
    "contributions.rank_correlation": (
        "True contributions (Spearman)", "rank correlation of importance with what each {point} truly adds, signs "
        "included; 0 is chance"),
    "removal.agreement": ("Agreement with removal (ROC AUC)", "how well importance finds the {points} whose removal "
                          "changes the prediction most; 0.5 is chance, below it importance is upside down"),
    "removal.share": ("Effect against removal's own", "effect of the most important {points} when they leave, beyond "
                      "that of random ones, as a share of what the {points} have that occlusion names"),
    "removal.samples": ("Agreement with removal, samples", "over so many validation samples"),
}
_CHANGE = "|change of the prediction|, in units of the target's spread, "
_ABOUT_CHANGE: dict[str, str] = {
    "deletion.auc": "area under the " + _CHANGE + "as the most important {points} are taken away first; higher is "
                    "better",
    "insertion.auc": "area under the " + _CHANGE + "as the least important {points} are taken away first; lower is "
                     "better",
    "plus": _CHANGE + "without the most important fifth of the {points}",
    "minus": _CHANGE + "with only the most important fifth of the {points}; lower is better",
    "comprehensiveness": _CHANGE + "without the important {points}",
    "sufficiency": _CHANGE + "with only the important {points}; lower is better",
}
"""Of the fidelity of a regression, where others speak of how far a probability falls."""
_HIGHER = {"roc_auc", "roc_auc_per_cloud", "average_precision", "accuracy", "balanced_accuracy", "f1", "r2", "spearman",
           "insertion", "plus", "plus_area", "robust_plus", "comprehensiveness", "characterization", "rank_correlation",
           "precision", "recall", "hit", "jaccard"}
_LOWER = {"brier", "ece", "log_loss", "loss", "mae", "rmse", "rmse_one_sided", "deletion", "minus", "minus_area",
          "robust_minus", "sufficiency"}
VALUE_KEYS = ("auc", "value", "mean")
"""Keys of a group's number that is named by the group."""
_BETTER: dict[str, str] = {}


def describe_metric(path: str, name: str, about: str, better: str = "") -> None:
    """Tells reports what a metric says, such as one of a domain.

    Args:
        path: The end of its dotted path in the metrics, e.g. ``"directions.angle"``.
        name: Readable, with its unit in brackets.
        about: One line; may have the placeholders of :class:`~pellucid.report.words.Words`.
        better: ``"higher"``, ``"lower"`` or ``""`` where neither is better.

    Raises:
        PellucidError: for another ``better``.

    Example:
        >>> describe_metric("odd.angle", "Odd angle (°)", "between {a_point} and the axis", "lower")
        >>> readable("odd.angle")
        ('Odd angle (°)', 'between {a_point} and the axis')
    """
    if better not in ("higher", "lower", ""):
        raise PellucidError(f"expected higher, lower or '' as what is better, got {better!r}")
    _ABOUT[path] = (name, about)
    _BETTER[path] = better


def better(path: str, regression: bool = False) -> str:
    """Which of two values of a metric is the better one: ``"higher"``, ``"lower"``, or ``""`` where neither is.

    Args:
        path: Of the metric.
        regression: Whether fidelity is of a regression: of |change| instead of a probability.

    Example:
        >>> better("fidelity.deletion.auc"), better("fidelity.deletion.auc", regression=True), better("sparsity.gini")
        ('lower', 'higher', '')
    """
    parts = path.split(".")
    for start in range(len(parts)):
        if (tail := ".".join(parts[start:])) in _BETTER:
            return _BETTER[tail]
    own = parts[-2] if parts[-1] in VALUE_KEYS and len(parts) > 1 else re.split("_?@|_at_", parts[-1])[0]
    if regression and own in ("deletion", "insertion"):
        return "higher" if own == "deletion" else "lower"
    return "higher" if own in _HIGHER else "lower" if own in _LOWER else ""


def readable(path: str, *, units: Mapping[str, str] | None = None, regression: bool = False) -> tuple[str, str]:
    """Readable name and one-line explanation of a metric, with the placeholders of words.

    Args:
        path: Dotted; that of a prediction is ``prediction.<target>.<metric>``.
        units: Of regressions, by target.
        regression: Whether fidelity is of a regression.

    Example:
        >>> readable("interpretation.precision@5")[0]
        'Precision @ 5'
        >>> readable("prediction.logS.rmse", units={"logS": "log mol/L"})[0]
        'logS: Root mean squared error (log mol/L)'
        >>> readable("test.odd_number")
        ('Odd number', '')
    """
    if path.startswith("prediction.") and path.count(".") > 1:
        target, metric = path.removeprefix("prediction.").rsplit(".", 1)
        name, about = readable(metric)
        unit = (units or {}).get(target, "")
        if metric in ("mae", "rmse", "rmse_one_sided") and unit:
            name, about = f"{name} ({unit})", about.replace("in the unit of the target; ", "")
        return (name if target == "y" else f"{target}: {name}"), about
    if regression and (tail := next((t for t in _ABOUT_CHANGE if f".{path}".endswith(f".{t}")), None)):
        return _ABOUT[tail][0], _ABOUT_CHANGE[tail]
    parts = path.split(".")
    for start in range(len(parts)):  # the most specific entry wins
        tail = ".".join(parts[start:])
        if tail in _ABOUT:
            return _ABOUT[tail]
    at_k = re.fullmatch(r"(precision|recall|hit|jaccard)_?(?:@|at_)(\w+)", parts[-1])
    if at_k:
        kind, k = at_k.groups()
        about = {"precision": f"share of the {k} most important {{points}} of {{a_sample}} that truly are",
                 "recall": f"share of the truly important {{points}} found among the {k} most important",
                 "hit": f"share of {{samples}} with a truly important {{point}} among the top {k}",
                 "jaccard": f"overlap (Jaccard) of the {k} most important {{points}} when all are moved a little",
                 }[kind]
        return f"{kind.capitalize()} @ {k}", about
    words = parts[-2:] if parts[-1] in VALUE_KEYS and len(parts) > 1 else parts[-1:]
    name = ", ".join(word.replace("_", " ").strip() for word in words)
    name = re.sub(r"\b(auc|roc|mae|rmse|ece)\b", lambda match: match.group().upper(), name)
    return (name[:1].upper() + name[1:]) or path, ""
