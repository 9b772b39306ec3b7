"""How far an explanation can be trusted: the same clouds explained several times, brought together as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.metrics.ragged import average_ranks, batch_of, mean_over, sums

Scale = Literal["ranks", "z", "none"]
"""How importances of different members are brought onto one scale; see :func:`ensemble`."""


def ensemble(explanations: Sequence[Explanation], *, scale: Scale = "ranks", m: int = 5) -> Explanation:
    """Several explanations of the same clouds as one, with the disagreement between them.

    Importances of different models are not on one scale, so within each cloud of n points a member's importance x_v
    first becomes, by ``scale``:

    - ``"ranks"``: u_v = (rank_v - 1) / (n - 1) in [0, 1], 1 = most important, ties share the mean of their ranks; a
      cloud of one point, and a member that is constant in a cloud, gives 0.5. For runs of different seeds or methods.
    - ``"z"``: (x_v - mean) / std over the cloud (0 where constant): keeps how far points stand out.
    - ``"none"``: x_v itself. For draws of one model.

    Importance is the mean over members; the covariance is the mean of theirs where all have one (exactly the
    covariance of a draw from a member chosen at random), the radius accordingly the root of the mean square; the
    prediction is the mean. Of a multi-class target without a class, each member explains the one that it predicts.
    Ranks and z-scores of signed importance are those of |value|, with ``"none"`` signs stay.
    Columns:

    - ``spread``: standard deviation over members of the scaled importance (divisor members - 1).
    - ``rank_stability``: 1 - s_v^2 / sigma^2, where s_v^2 is the variance over members of u_v (divisor members - 1) and
      sigma^2 = (n + 1) / (12 (n - 1)) is its expectation under random rankings. So 1 = always the same rank and 0 = as
      if ranked at random, for any number of members and points; the least possible value is
      1 - 3 (n - 1) / (n + 1) * members / (members - 1) for an even number of members, which is above -5. Without ties
      its mean over a cloud is the mean Spearman correlation between pairs of members: it says which points make the
      rankings differ. It is 1 in clouds of one point.

    Columns that all members have become their mean, or the most frequent value where they hold whole numbers or bools.

    Args:
        explanations: At least two, of the same clouds.
        scale: How members are brought onto one scale.
        m: Points of the Jaccard index, as in :func:`pellucid.metrics.stability.jaccard`.

    Returns:
        Explanation. What all members' provenance says alike stays where it is; ``provenance["ensemble"]`` has
        ``scale``, mean ``rank_correlation`` and ``jaccard@m`` between pairs, ``jaccard@m_random`` for random rankings
        (None where undefined), ``rank_correlations`` of each cloud, ``prediction_spread`` ((clouds, outputs) standard
        deviations over members), and ``members``: what differs.

    Raises:
        PellucidError: for fewer than two members, members of different clouds or outputs, or an unknown scale; with
            ``scale="none"``, for members whose importances are different quantities.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 3]), {"pos": torch.zeros(3, 3)})
        >>> members = [Explanation(clouds, torch.tensor([[p]]), torch.tensor(x))
        ...            for p, x in [(0.8, [1.0, 2.0, 9.0]), (0.6, [-2.0, -4.0, 0.0])]]
        >>> e = ensemble(members)
        >>> e.importance.tolist(), e.columns["rank_stability"].tolist()
        ([0.25, 0.25, 1.0], [0.25, 0.25, 1.0])
        >>> round(e.provenance["ensemble"]["rank_correlation"], 6)  # the mean of the column
        0.5
    """
    from pellucid.metrics.stability import expected_jaccard, jaccard_values, rank_correlation_values

    explanations = [e.of() for e in explanations]
    _refuse(explanations, scale)
    first = explanations[0]
    ptr, dtype = first.clouds.ptr, first.importance.dtype
    raw = torch.stack([e.strength() for e in explanations]).double()
    ranks = torch.stack([_scaled(row, ptr, "ranks") for row in raw])
    values = ranks if scale == "ranks" else torch.stack(
        [_scaled((e.importance if scale == "none" else e.strength()).double(), ptr, scale) for e in explanations])
    predictions = torch.stack([e.prediction for e in explanations]).double()
    covariances = [e.covariance for e in explanations if e.covariance is not None]
    covariance = torch.stack(covariances).mean(0) if len(covariances) == len(explanations) else None
    radii = [e.radius for e in explanations if e.radius is not None]
    radius = torch.stack(radii).square().mean(0).sqrt() if len(radii) == len(explanations) else None
    columns = {name: _together([e.columns[name] for e in explanations]) for name in first.columns
               if all(name in e.columns for e in explanations)}
    sizes = ptr.diff()[batch_of(ptr)].double()
    by_chance = (sizes + 1) / (12 * (sizes - 1).clamp(min=1))
    columns["spread"] = _variance(values).sqrt().to(dtype)
    columns["rank_stability"] = (1 - _variance(ranks) / by_chance).to(dtype)
    provenances = [e.provenance for e in explanations]
    shared = _shared(provenances)
    correlations, overlaps = rank_correlation_values(raw, ptr), jaccard_values(raw, ptr, m)
    chance = torch.tensor([expected_jaccard(n, m) for n in ptr.diff().tolist()], dtype=torch.float64)
    about = {
        "scale": scale,
        "rank_correlation": _known(mean_over(correlations, ~correlations.isnan())),
        f"jaccard@{m}": _known(mean_over(overlaps, ~overlaps.isnan())),
        f"jaccard@{m}_random": _known(mean_over(chance, ~overlaps.isnan())),
        "rank_correlations": [_known(r) for r in correlations.tolist()],
        "prediction_spread": _variance(predictions).sqrt().tolist(),
        "members": [_beyond(p, shared) for p in provenances],
    }
    return Explanation(first.clouds, predictions.mean(0).to(first.prediction.dtype), values.mean(0).to(dtype),
                       _named(explanations, scale), covariance, {**shared, "ensemble": about}, columns, radius,
                       first.targets, _explained(explanations, predictions.mean(0)),
                       all(e.shared for e in explanations), scale == "none" and first.signed)


def agreement(explanation: Explanation) -> str | None:
    """What an ensemble is and how well its members agree, in two sentences; None for what is no ensemble."""
    about = explanation.provenance.get("ensemble")
    if about is None:
        return None
    runs, each = about.get("runs", 0), about.get("draws", 1)
    members = (f"{runs} runs" if each == 1 else f"{each} draws" if runs == 1 else f"{each} draws of each of {runs} runs"
               ) if runs else f"{len(about['members'])} explanations"
    what = {"ranks": " of ranks within each sample (0 = least, 1 = most important)", "none": "",
            "z": " of z-scores within each sample"}[about["scale"]]
    text = f"Importance is the mean over {members}{what}; ± is the standard deviation over them."
    if about["rank_correlation"] is not None:
        text += f" Pairs agree with a mean Spearman rank correlation of {about['rank_correlation']:.2f} (random: 0)"
        for name in (n for n in about if f"{n}_random" in about and about[n] is not None):
            text += (f" and share their {name.removeprefix('jaccard@')} most important points with a mean Jaccard "
                     f"index of {about[name]:.2f} (random: {about[name + '_random']:.2f})")
        text += "."
    return text


def draws(explain: Callable[[PointClouds, int], Explanation], clouds: PointClouds, n: int, *, jitter: float,
          seed: int = 0, start: int = 0) -> Iterator[Explanation]:
    """Explains the same clouds again and again, slightly moved, each time with another seed.

    Draw 0 is of the clouds as they are; draw k > 0 moves each coordinate by a normal deviate of standard deviation
    ``jitter``. The importance of the LRI methods does not depend on the injected noise, so without the moves their
    draws would differ in the prediction alone.

    Args:
        explain: Clouds and a seed -> their explanation.
        clouds: What to explain.
        n: Number of draws, at least 1.
        jitter: In the unit of ``pos``; 0 (as without coordinates) changes the seed alone, and no point.
        seed: Of the first draw; draw k has ``seed + k``.
        start: The first draw that is made.

    Yields:
        Explanations of the unmoved clouds, for ``ensemble(..., scale="none")``.

    Raises:
        PellucidError: if ``n`` < 1 or ``jitter`` < 0.

    Example:
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"pos": torch.tensor([[0.0], [3.0]])})
        >>> far = lambda clouds, seed: Explanation(clouds, torch.ones(1, 1), clouds.pos[:, 0])
        >>> e = ensemble(list(draws(far, clouds, 5, jitter=0.1)), scale="none")
        >>> e.clouds is clouds, bool(e.importance[1] > e.importance[0]), bool((e.columns["spread"] < 0.3).all())
        (True, True, True)
    """
    if n < 1 or not jitter >= 0:
        raise PellucidError(f"expected at least 1 draw and a jitter of at least 0, got {n} and {jitter}; raise them")
    for k in range(start, n):
        if k == 0 or jitter == 0 or "pos" not in clouds:
            yield replace(explain(clouds, seed + k), clouds=clouds)
            continue
        noise = torch.randn(clouds.pos.shape, generator=torch.Generator().manual_seed(seed + k)).to(clouds.pos)
        yield replace(explain(clouds.replace(pos=clouds.pos + jitter * noise), seed + k), clouds=clouds)


def _refuse(explanations: Sequence[Explanation], scale: str) -> None:
    if len(explanations) < 2:
        raise PellucidError(f"expected at least two explanations, got {len(explanations)}; explain again with another "
                            "run or seed")
    if scale not in get_args(Scale):
        raise PellucidError(f"expected a scale out of {', '.join(get_args(Scale))}, got {scale!r}")
    first = explanations[0]
    for number, other in enumerate(explanations[1:], 2):
        if not _same(first.clouds, other.clouds):
            raise PellucidError(f"expected explanations of the same clouds, got others in member {number}; explain the "
                                "same input with each run")
        if other.prediction.shape != first.prediction.shape:
            raise PellucidError(f"expected predictions of shape {tuple(first.prediction.shape)}, got "
                                f"{tuple(other.prediction.shape)} in member {number}; take runs of one task")
        if other.targets.names != first.targets.names or _asked(other) != _asked(first):
            raise PellucidError(f"expected explanations of the same target, got another in member {number}; name it "
                                "with each run")
        if scale == "none" and other.importance_name != first.importance_name:
            raise PellucidError(f"expected one kind of importance, got {first.importance_name!r} and "
                                f"{other.importance_name!r}; use scale='ranks'")


def _same(a: PointClouds, b: PointClouds) -> bool:
    """Whether both hold the same points: what a model sees, and what the samples are called."""
    if a is b:
        return True
    names = ("pos", "categories", "features")
    fields = [(a.get(name), b.get(name)) for name in names]
    return (torch.equal(a.ptr, b.ptr) and a.text == b.text
            and all((x is None) == (y is None) and (x is None or y is None or torch.equal(x, y)) for x, y in fields))


def _asked(explanation: Explanation) -> str:
    """Name of the target that is explained."""
    return explanation.targets.owner(int(explanation.explained[0])).name if len(explanation.explained) else ""


def _explained(explanations: Sequence[Explanation], prediction: Tensor) -> Tensor:
    """(clouds,) the output that is explained: where members predict different classes, that of the mean prediction."""
    first = explanations[0]
    same = torch.stack([e.explained == first.explained for e in explanations]).all(0)
    if bool(same.all()):
        return first.explained
    rows = prediction if first.level == "cloud" else prediction[first.clouds.ptr[:-1].clamp(max=len(prediction) - 1)]
    return torch.where(same, first.explained, first.targets.explained(first.targets.find(_asked(first)), rows))


def _scaled(values: Tensor, ptr: Tensor, scale: Scale) -> Tensor:
    """(points,) importance of one member on the common scale."""
    if scale == "none":
        return values
    batch, sizes = batch_of(ptr), ptr.diff()
    if scale == "ranks":
        ranks = average_ranks(values, ptr)
        return torch.where((sizes > 1)[batch], (ranks - 1) / (sizes - 1).clamp(min=1)[batch], 0.5)
    count = sizes.clamp(min=1)
    centred = values - (sums(values, ptr) / count)[batch]
    std = (sums(centred.square(), ptr) / count).sqrt()[batch]
    return torch.where(std > 1e-12 * values.abs(), centred / std.clamp(min=1e-300), 0.0)


def _variance(members: Tensor) -> Tensor:
    """Variance over the first axis, divisor members - 1; torch's own warns where there are no points."""
    return (members - members.mean(0)).square().sum(0) / (len(members) - 1)


def _together(columns: list[Tensor]) -> Tensor:
    stacked = torch.stack(columns)
    if stacked.dtype.is_floating_point:
        return stacked.mean(0)
    counts = (stacked[:, None] == stacked).sum(1)
    ordered, order = stacked.to(torch.int64).sort(dim=0)
    best = counts.gather(0, order).argmax(0)  # the smallest of the most frequent
    return ordered.gather(0, best[None])[0].to(stacked.dtype)


def _named(explanations: Sequence[Explanation], scale: Scale) -> str:
    names = list(dict.fromkeys(e.importance_name for e in explanations))
    what = {"ranks": "mean rank (0 to 1)", "z": "mean z-score", "none": "mean"}[scale]
    return f"{what} over {len(explanations)} members of {'; '.join(names)}"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _shared(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What all nested dictionaries say alike."""
    same: dict[str, Any] = {}
    for key, value in entries[0].items():
        values = [entry.get(key) for entry in entries]
        if all(isinstance(v, dict) for v in values):
            if inner := _shared([entry[key] for entry in entries]):
                same[key] = inner
        elif all(key in entry for entry in entries) and all(v == value for v in values):
            same[key] = value
    return same


def _beyond(entry: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """What a nested dictionary says beyond what all say."""
    return {key: _beyond(value, shared[key]) if key in shared and isinstance(value, dict) else value
            for key, value in entry.items() if key not in shared or shared[key] != value}
