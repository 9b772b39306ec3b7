"""From importance to a subgraph: which points to keep, by a rule that can be said in one sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.explanation import Explanation, asking
from pellucid.metrics.ragged import ascending, batch_of
from pellucid.metrics.removal import Predict, Removal

Rule = Literal["top", "gap", "fidelity"]
"""How points are chosen; see :func:`subgraph`."""

STEPS = 20
"""Fractions that calibration tries: 1/20, 2/20, ..., 1."""
NO_ONES = "expected validation clouds with points and predicted class 1, got none; use the rule top or gap"
CHUNK = 512
"""Clouds given to the model at a time."""


@dataclass(frozen=True)
class Calibration:
    """The one fraction of points that keeps the prediction on validation clouds.

    Attributes:
        fraction: Of each cloud's points, rounded up; a multiple of 1 / :data:`STEPS`.
        tolerance: Share of the mean probability that may be lost; of a regression, the mean |change| in units of the
            target's spread.
        kept: Share that is kept on the validation clouds; of a regression, 1 - mean |change|.
        clouds: Validation clouds it was measured on: of a binary target those where it is predicted.
        of: ``"probability"`` or ``"change"``.
    """

    fraction: float
    tolerance: float
    kept: float
    clouds: int
    of: str = "probability"


@dataclass(frozen=True)
class Subgraph:
    """The points of each cloud that an explanation calls the reason.

    Attributes:
        explanation: What it was taken from.
        mask: (points,) bool, the points that are kept; at least one of each cloud that has any.
        rule: How they were chosen, in words.
        alone: (clouds,) prediction (first output) on only the kept points, NaN for clouds without points; None where
            no model was asked.
        calibration: Where the rule was calibrated.
    """

    explanation: Explanation
    mask: Tensor
    rule: str
    alone: Tensor | None = None
    calibration: Calibration | None = None

    @property
    def sizes(self) -> Tensor:
        """(clouds,) points kept."""
        return self.clouds().sizes

    @property
    def threshold(self) -> Tensor:
        """(clouds,) the smallest importance that is kept; NaN for clouds without points."""
        importance, ptr = self.explanation.strength(), self.explanation.clouds.ptr
        start = torch.full((len(ptr) - 1,), torch.inf, dtype=importance.dtype)
        least = start.scatter_reduce(0, batch_of(ptr)[self.mask], importance[self.mask], "amin")
        return torch.where(ptr.diff() > 0, least, torch.nan)

    def clouds(self) -> PointClouds:
        """The clouds with only the kept points (edges are dropped)."""
        return self.explanation.clouds.keep_points(self.mask)

    def marked(self) -> Explanation:
        """The explanation with a bool column ``subgraph``, and the rule and sizes in its provenance."""
        about: dict[str, Any] = {"rule": self.rule, "sizes": self.sizes.tolist()}
        if self.alone is not None:
            about["alone"] = [None if p != p else p for p in self.alone.tolist()]
        if self.calibration is not None:
            about["calibration"] = asdict(self.calibration)
        return replace(self.explanation, columns={**self.explanation.columns, "subgraph": self.mask},
                       provenance={**self.explanation.provenance, "subgraph": about})


def subgraph(explanation: Explanation, rule: Rule = "gap", *, m: int | None = None, fraction: float | None = None,
             most: float = 0.5, calibration: Calibration | None = None, predict: Predict | None = None) -> Subgraph:
    """The points of each cloud to keep.

    Points of equal importance are taken in the order of the points. Kept points need not be connected: a reason may
    have two parts, and leaving one out would lose it.

    Args:
        explanation: Whose importance decides; ground truth is never looked at.
        rule: ``"top"``: the ``m`` most important points, or the ``fraction`` of them (rounded up). ``"gap"``: the most
            important points down to the largest gap between successive importances, the first of equal gaps.
            ``"fidelity"``: the fraction that :func:`calibrate` found.
        m: Points a cloud, at least 1, for ``"top"``; clouds with fewer keep all.
        fraction: In (0, 1], for ``"top"``.
        most: For ``"gap"``: largest fraction of a cloud that may be kept (rounded down, but at least one point), in
            (0, 1].
        calibration: For ``"fidelity"``.
        predict: Clouds -> (clouds,) prediction, as for :func:`pellucid.metrics.faithfulness.fidelity`; asked what it
            says of the kept points alone.

    Returns:
        Subgraph.

    Raises:
        PellucidError: for an unknown rule, or options that the rule does not take or that are out of their range.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 4, 5]), {"pos": torch.zeros(5, 3)})
        >>> e = Explanation(clouds, torch.ones(2, 1), torch.tensor([0.1, 0.9, 0.8, 0.2, 7.0]))
        >>> s = subgraph(e, "gap")
        >>> s.mask.tolist(), s.sizes.tolist(), s.clouds().points
        ([False, True, True, False, True], [2, 1], 3)
        >>> subgraph(e, "top", m=1).threshold.tolist()
        [0.8999999761581421, 7.0]
    """
    if rule not in get_args(Rule):
        raise UnknownNameError("rule", rule, get_args(Rule))
    options = {"m": m, "fraction": fraction, "calibration": calibration}
    given = [name for name, value in options.items() if value is not None]
    takes = {"top": (["m"], ["fraction"]), "gap": ([],), "fidelity": (["calibration"],)}[rule]
    if given not in takes:
        raise PellucidError(f"expected {' or '.join(t[0] if t else 'no option' for t in takes)} for the rule "
                            f"{rule!r}, got {' and '.join(given) or 'nothing'}")
    ptr = explanation.clouds.ptr
    sizes = ptr.diff()
    if rule == "gap":
        if not 0 < most <= 1:
            raise PellucidError(f"expected most in (0, 1], got {most}; 0.5 is half of a cloud")
        count = _above_gap(explanation.strength(), ptr, most)
        words = f"the most important points down to the largest gap, at most {100 * most:.3g} % of a cloud"
    elif m is not None:
        if m < 1:
            raise PellucidError(f"expected m of at least 1, got {m}; take more points")
        count = sizes.clamp(max=m)
        words = f"the {m} most important points of each cloud" if m > 1 else "the most important point of each cloud"
    else:
        share = calibration.fraction if calibration is not None else fraction
        assert share is not None
        count = _share(sizes, share)
        words = f"the most important {100 * share:.3g} % of each cloud, rounded up"
        if calibration is not None:
            least, kept = 100 * (1 - calibration.tolerance), 100 * calibration.kept
            many = calibration.clouds
            words += (f": the least that keeps {least:.3g} % of the mean probability of {many} validation clouds of "
                      f"the predicted class (it keeps {kept:.1f} %)" if calibration.of == "probability" else
                      f": the least that changes the prediction of {many} validation clouds by at most "
                      f"{calibration.tolerance:.3g} of its spread on average (it changes it by {1 - kept / 100:.3g})")
    mask = _place(explanation.strength(), ptr) < count[batch_of(ptr)]
    alone = None
    if predict is not None:
        there = sizes > 0
        alone = torch.full((len(sizes),), torch.nan, dtype=torch.float64)
        if bool(there.any()):
            left = asking(explanation.clouds, explanation.explained).keep_points(mask).without_text().select(there)
            alone[there] = Removal(predict, left, chunk=CHUNK, probability=False).whole
    return Subgraph(explanation, mask, words, alone, calibration)


def calibrate(predict: Predict, explanation: Explanation, *, tolerance: float = 0.05) -> Calibration:
    """The smallest fraction of points that keeps the prediction of validation clouds.

    At a fraction f only the ceil(f n) most important of a cloud's n points stay, and neighbourhoods are built anew (the
    rule of :class:`pellucid.metrics.removal.Removal`). The fraction is the first of 1/20, 2/20, ... at which
    mean p(kept points) >= (1 - tolerance) * mean p(whole cloud), p being the probability that is explained. Of a binary
    target clouds where it is not predicted do not count: what is absent has no points to keep, and a single point is
    often enough to predict that. Of a regression, mean |f(kept points) - f(whole cloud)| / spread <= tolerance. Neither
    labels nor ground truth are looked at.

    Args:
        predict: Clouds -> (clouds,) prediction that is explained.
        explanation: Of validation clouds, made in the way that will be used later.
        tolerance: In [0, 1).

    Returns:
        Calibration.

    Raises:
        PellucidError: if no cloud with points is predicted to be of class 1, a prediction is no probability, or the
            tolerance is out of its range.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 4]), {"features": torch.tensor([[0.0], [1.0], [0.0], [0.0]])})
        >>> def predict(clouds):  # is there a point with feature 1?
        ...     return torch.zeros(len(clouds)).index_add(0, clouds.batch, clouds["features"][:, 0])
        >>> calibrate(predict, Explanation(clouds, torch.ones(1, 1), torch.tensor([0.5, 0.4, 0.1, 0.2]))).fraction
        0.3
    """
    if not 0 <= tolerance < 1:
        raise PellucidError(f"expected a tolerance in [0, 1), got {tolerance}; 0.05 lets 5 % be lost")
    there = explanation.clouds.sizes > 0
    if not bool(there.any()):
        raise PellucidError(NO_ONES)
    clouds = asking(explanation.clouds, explanation.explained).without_text().select(there)  # points stay in place
    target = explanation.targets.owner(int(explanation.explained[there][0]))
    change = target.kind == "regression"
    removal = Removal(predict, clouds, chunk=CHUNK, probability=False, spread=target.spread if change else None)
    whole = removal.whole
    if bool(((whole < 0) | (whole > 1)).any()):
        raise PellucidError("expected probabilities in [0, 1] to calibrate on, got other numbers; use the rule top or "
                            "gap")
    ones = whole >= 0.5 if target.kind == "binary" else torch.ones_like(whole, dtype=torch.bool)
    if not bool(ones.any()):
        raise PellucidError(NO_ONES)
    place, batch = _place(explanation.strength(), clouds.ptr), batch_of(clouds.ptr)
    fraction, kept = 1.0, 1.0
    for step in range(1, STEPS):
        after = removal.after(place < _share(clouds.sizes, step / STEPS)[batch])
        share = 1 + float(after.mean()) if change else float(after[ones].mean() / whole[ones].mean())
        if share >= 1 - tolerance:
            fraction, kept = step / STEPS, share
            break
    return Calibration(fraction, tolerance, kept, int(ones.sum()), "change" if change else "probability")


def parse_rule(text: str) -> tuple[Rule, dict[str, Any]]:
    """A rule given as text: ``top:5`` (points), ``top:0.2`` (fraction), ``gap``, ``fidelity:0.05`` (tolerance).

    Args:
        text: The rule.

    Returns:
        Its name and what was given with it: ``m``, ``fraction`` or ``tolerance``.

    Raises:
        UnknownNameError: for an unknown rule.
        PellucidError: for a number that the rule does not take.

    Example:
        >>> parse_rule("top:5"), parse_rule("gap"), parse_rule("fidelity")
        (('top', {'m': 5}), ('gap', {}), ('fidelity', {'tolerance': 0.05}))
    """
    name, _, value = text.partition(":")
    known: dict[str, Rule] = {rule: rule for rule in get_args(Rule)}
    if name not in known:
        raise UnknownNameError("rule", name, known)
    try:
        if name == "top":
            return "top", {"m": int(value)} if value.isdigit() else {"fraction": _checked(float(value))}
        if name == "fidelity":
            return "fidelity", {"tolerance": float(value) if value else 0.05}
        if not value:
            return "gap", {}
    except ValueError as error:
        if isinstance(error, PellucidError):
            raise
    raise PellucidError(f"expected top:5, top:0.2, gap or fidelity:0.05, got {text!r}")


def _checked(fraction: float) -> float:
    if not 0 < fraction <= 1:
        raise PellucidError(f"expected a fraction in (0, 1], got {fraction}; for a number of points write e.g. top:5")
    return fraction


def _share(sizes: Tensor, fraction: float) -> Tensor:
    """(clouds,) points that a fraction stands for, rounded up."""
    # the small subtraction keeps products such as 0.07 * 100 from being rounded up to 8
    return (sizes.double() * _checked(fraction) - 1e-9).ceil().long()


def _place(importance: Tensor, ptr: Tensor) -> Tensor:
    """(points,) places within each cloud, 0 = most important; ties keep the order of the points."""
    place = torch.empty(len(importance), dtype=torch.int64)
    place[ascending(-importance, ptr)] = torch.arange(len(importance)) - ptr[batch_of(ptr)]
    return place


def _above_gap(importance: Tensor, ptr: Tensor, most: float) -> Tensor:
    """(clouds,) points above the largest gap; 1 where there is none."""
    sizes, batch = ptr.diff(), batch_of(ptr)
    falling = importance.double()[ascending(-importance, ptr)]
    above = torch.arange(1, len(falling) + 1) - ptr[batch]  # points down to and with this one
    limit = torch.minimum((sizes.double() * most + 1e-9).floor().long(), sizes - 1)[batch]
    gap = torch.where(above <= limit, falling - torch.cat([falling[1:], falling[-1:]]), -1.0)
    largest = torch.full((len(sizes),), -1.0, dtype=torch.float64).scatter_reduce(0, batch, gap, "amax")
    first = torch.where((gap == largest[batch]) & (gap >= 0), above, len(falling))
    count = torch.full((len(sizes),), len(falling)).scatter_reduce(0, batch, first, "amin")
    return torch.where(largest >= 0, count, sizes.clamp(max=1))


__all__ = ["Calibration", "Rule", "Subgraph", "calibrate", "parse_rule", "subgraph"]
