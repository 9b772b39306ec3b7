"""Whether learned randomness points along the tracks of particles: angles and axis ratios in x-y (paper, Table 3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.metrics.base import metric


def principal_axes(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviations along the two axes in x-y, and the long axis.

    Args:
        covariance: (points, D, D) with D >= 2; only the block of x and y counts.

    Returns:
        (points, 2) standard deviations, the larger one first, in the unit of the coordinates; (points, 2) unit
        vectors, of either sign.

    Example:
        >>> deviations, axis = principal_axes(torch.diag(torch.tensor([1.0, 9.0, 25.0]))[None])
        >>> deviations.tolist(), axis.abs().tolist()
        ([[3.0, 1.0]], [[0.0, 1.0]])
    """
    if covariance.dim() != 3 or covariance.shape[1] != covariance.shape[2] or covariance.shape[1] < 2:
        raise PellucidError(f"expected covariances of shape (points, D, D) with D >= 2, got {tuple(covariance.shape)}; "
                            "give one matrix a point")
    values, vectors = torch.linalg.eigh(covariance[:, :2, :2].double())
    return values.clamp(min=0).flip(-1).sqrt(), vectors[..., 1]


def axis_angles(axis: Tensor, direction: Tensor) -> Tensor:
    """Angles between axes, which have no sign, and directions.

    Args:
        axis: (points, 2).
        direction: (points, 2).

    Returns:
        (points,) in degrees, in [0, 90]; NaN where either has no length.

    Example:
        >>> axis_angles(torch.tensor([[-1.0, 0.0]]), torch.tensor([[1.0, 1.0]])).round().tolist()
        [45.0]
    """
    a, b = axis.double(), direction.double()
    across = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs()
    along = (a * b).sum(1).abs()
    angle = torch.rad2deg(torch.atan2(across, along))
    return torch.where((across == 0) & (along == 0), torch.nan, angle)


def angle_summary(axis: Tensor, momentum: Tensor, important: Tensor, assisted: Tensor | None = None
                  ) -> dict[str, float]:
    """Angles between axes and the true velocity in x-y at the important hits.

    Args:
        axis: (points, 2).
        momentum: (points, D >= 2) true momentum.
        important: (points,) bool, hits that count.
        assisted: (points,) bool, those whose mean is ``angle_assisted``.

    Returns:
        ``angle``, the median over all hits that count; ``angle_mean``; ``angle_assisted``, the mean over a selection
        that knows the ground truth. Degrees; NaN where nothing is left. An axis without direction counts as 45.
    """
    angles = axis_angles(axis, momentum[:, :2]).nan_to_num(45.0)

    def mean(chosen: Tensor) -> float:
        return float(angles[chosen].mean())
    result = {"angle": float(angles[important].quantile(0.5)) if bool(important.any()) else float("nan"),
              "angle_mean": mean(important)}
    return result if assisted is None else {**result, "angle_assisted": mean(important & assisted)}


def above_largest_gap(importance: Tensor, ptr: Tensor) -> Tensor:
    """Which points lie above the largest gap between neighbours in the ranking of their cloud.

    Args:
        importance: (points,).
        ptr: (clouds + 1,) offsets.

    Returns:
        (points,) bool; of equal gaps the first counts, and all points of a cloud of one.

    Example:
        >>> above_largest_gap(torch.tensor([1.0, 9.0, 8.0, 2.0, 5.0]), torch.tensor([0, 4, 5])).tolist()
        [False, True, True, False, True]
    """
    above = torch.ones(len(importance), dtype=torch.bool)
    for start, end in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        if end - start < 2:
            continue
        ranked, order = importance[start:end].sort(descending=True, stable=True)
        gap = int((ranked[:-1] - ranked[1:]).argmax())
        above[start + order[gap + 1:]] = False
    return above


def median_over_events(values: Tensor, chosen: Tensor, ptr: Tensor) -> float:
    """Median over clouds of the mean over a cloud's chosen points; clouds without any are left out, NaN without clouds.

    Of an even number of clouds it is the lower of the two in the middle, as PyTorch and the paper's release have it.

    Args:
        values: (points,).
        chosen: (points,) bool.
        ptr: (clouds + 1,) offsets.

    Example:
        >>> median_over_events(torch.tensor([1.0, 3.0, 9.0, 4.0]), torch.tensor([True, True, False, True]),
        ...                    torch.tensor([0, 2, 3, 4]))
        2.0
    """
    cloud = torch.repeat_interleave(torch.arange(len(ptr) - 1), ptr.diff())[chosen]
    total = values.new_zeros(len(ptr) - 1).index_add(0, cloud, values[chosen])
    count = torch.bincount(cloud, minlength=len(ptr) - 1)
    means = (total / count)[count > 0]
    return float(means.median()) if len(means) else float("nan")


def _volume(covariance: Tensor) -> Tensor:
    """(points,) det Sigma over the coordinates that noise moves at any point."""
    moved = (covariance.diagonal(dim1=1, dim2=2) > 0).any(0)
    volume: Tensor = torch.linalg.det(covariance[:, moved][:, :, moved].double())
    return volume


def direction_metrics(momentum: Tensor, important: Tensor, ptr: Tensor, importance: Tensor, *, pos: Tensor,
                      covariance: Tensor | None = None, axis: Tensor | None = None, m: int = 24, first: int = 12,
                      seed: int = 0) -> dict[str, float | dict[str, float]]:
    """Directions of an explanation beside those of two baselines (paper, section 5.1 and Table 3).

    The median over all important hits is the figure to quote. Two others choose hits with the help of the ground truth.
    ``angle_assisted``, ours, is the mean over those important hits that the model itself ranks among the first m of
    their cloud. ``angle_assisted_events`` is that of the authors' release, behind Table 3: of each cloud the important
    hits among its ``first`` ones that lie above the largest gap in its ranking (of -det Sigma, where there is a
    covariance), their mean, and the median over clouds; clouds whose hits are all important are left out, and hits
    without a momentum in x-y. ``radial`` is the direction from the beam to the hit: for stiff tracks nearly the answer,
    and where a model sees unit-length coordinates nearly free to move by construction.

    Args:
        momentum: (points, D) true momentum at each point.
        important: (points,) bool, the hits that count.
        ptr: (clouds + 1,) offsets.
        importance: (points,).
        pos: (points, D).
        covariance: (points, D, D); its long axis in x-y is the direction.
        axis: (points, 2) directions, where there is no covariance.
        m: Of the assisted selection.
        first: Of the release's selection; 12 on ActsTrack.
        seed: Of the random directions.

    Returns:
        ``angle``, ``angle_mean``, ``angle_assisted``, ``angle_assisted_events`` in degrees; with a covariance
        ``deviation_ratio`` and ``eigen_ratio``, the median ratio of the smaller to the larger standard deviation in
        x-y, and of the smaller to the larger eigenvalue of Sigma, its square, in [0, 1], and ``eigen_ratio_events``,
        the latter over the release's selection, behind Figure 3; ``random`` and ``radial`` baselines.

    Example:
        >>> hits, along = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
        >>> made = direction_metrics(along, torch.tensor([True, True]), torch.tensor([0, 2]), torch.ones(2), pos=hits,
        ...                          axis=hits)
        >>> made["angle"], made["radial"]["angle"]
        (0.0, 0.0)
    """
    if (covariance is None) == (axis is None):
        raise PellucidError("expected either covariances or axes, got both or none; give one of them")
    generator = torch.Generator().manual_seed(seed)
    turned = torch.rand(len(pos), generator=generator, dtype=torch.float64) * torch.pi
    result: dict[str, float | dict[str, float]] = {}
    ratio, ranked = None, importance
    if covariance is not None:
        deviations, axis = principal_axes(covariance)
        ratio, ranked = (deviations[:, 1] / deviations[:, 0]).nan_to_num(1.0), -_volume(covariance)
        own = ratio[important]
        result["deviation_ratio"] = float(own.quantile(0.5)) if len(own) else float("nan")
        result["eigen_ratio"] = float(own.square().quantile(0.5)) if len(own) else float("nan")
    assert axis is not None
    cloud = torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff())

    def top(values: Tensor, count: int) -> Tensor:
        order = torch.argsort(values, descending=True, stable=True)
        order = order[torch.argsort(cloud[order], stable=True)]
        among = torch.zeros(len(pos), dtype=torch.bool)
        among[order[torch.arange(len(pos)) - ptr[cloud[order]] < count]] = True
        return among

    sizes = torch.bincount(cloud, minlength=len(ptr) - 1)
    mixed = (torch.bincount(cloud[important], minlength=len(ptr) - 1) < sizes)[cloud]
    chosen = (important & mixed & top(ranked, first) & above_largest_gap(ranked, ptr)
              & (momentum[:, :2] != 0).any(1))
    angles = axis_angles(axis, momentum[:, :2]).nan_to_num(45.0)
    result["angle_assisted_events"] = median_over_events(angles, chosen, ptr)
    if ratio is not None:
        result["eigen_ratio_events"] = median_over_events(ratio.square(), chosen, ptr)
    return {**angle_summary(axis, momentum, important, top(importance, m)), **result,
            "random": angle_summary(torch.stack([turned.cos(), turned.sin()], 1), momentum, important),
            "radial": angle_summary(pos[:, :2], momentum, important)}


@metric("directions", takes="explanation")
def directions_of(explanation: Explanation, *, clouds: Tensor | None = None, m: int = 1, seed: int = 0
                  ) -> dict[str, Any]:
    """Angles to the true momentum; empty where there is no momentum, no truth or no direction.

    Args:
        explanation: With a covariance, or with columns ``gradient_x``, ``gradient_y`` (or ``direction_``).
        clouds: (clouds,) bool, those that count; None for all.
        m: Points of a cloud among which the assisted selection takes its hits.
        seed: Of the random baseline.
    """
    data, columns = explanation.clouds, explanation.columns
    given = {name: data[name] for name in ("momentum", "important") if name in data}
    known: dict[str, Any] = {}
    if explanation.covariance is not None:
        known = {"covariance": explanation.covariance}
    for kind in ("gradient", "direction"):
        if not known and {f"{kind}_x", f"{kind}_y"} <= set(columns):
            known = {"axis": torch.stack([columns[f"{kind}_x"], columns[f"{kind}_y"]], 1)}
    if len(given) < 2 or not known or data.pos.shape[1] < 3:
        return {}
    important = given["important"]
    if clouds is not None:
        important = important & clouds[data.batch]
    return direction_metrics(given["momentum"], important, data.ptr, explanation.of().importance, pos=data.pos, m=m,
                             seed=seed, **known)
