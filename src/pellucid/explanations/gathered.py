"""Several clouds of one sample, e.g. its shapes, explained as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pellucid.clouds import ragged_arange
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation


def gather(explanation: Explanation, by: str = "sample_of") -> Explanation:
    """One explanation a sample where several clouds are of one, point by point in the same order.

    Importance and predictions are means over the clouds of a sample, as are columns of real numbers; of whole numbers
    and bools the first is kept. The column ``spread`` is the standard deviation over the clouds of the explained
    importance (divisor clouds - 1; 0 where there is one). Where it was there before, as an ensemble has it, it becomes
    the root of the mean of its square plus the square of the deviation over clouds. Coordinates are those of the first
    cloud, and with them the covariance, which is told in their axes; the radius is the root of the mean square.

    Args:
        explanation: Of clouds, e.g. of several conformers of each molecule.
        by: Cloud field of whole numbers: the sample that a cloud is of; clouds of a sample lie one after the other.

    Returns:
        Explanation with a cloud a sample, in the order of their first clouds; ``provenance["gathered"]`` has ``by``,
        the number of ``clouds`` of each sample, and ``prediction_spread``: (samples, outputs) standard deviations, or
        of the points. As given where each sample has one cloud.

    Raises:
        PellucidError: if the field is not there, or clouds of a sample differ in their number of points.

    Example:
        >>> from pellucid.clouds import Field, PointClouds
        >>> twice = PointClouds(torch.tensor([0, 2, 4]), {"pos": torch.zeros(4, 3), "sample_of": torch.tensor([7, 7])},
        ...                     declared={"sample_of": Field("cloud", "int")})
        >>> one = gather(Explanation(twice, torch.tensor([[0.2], [0.4]]), torch.tensor([1.0, 5.0, 3.0, 5.0])))
        >>> one.importance.tolist(), [round(s, 3) for s in one.columns["spread"].tolist()], len(one.clouds)
        ([2.0, 5.0], [1.414, 0.0], 1)
    """
    clouds = explanation.clouds
    sample, first, counts = _samples(clouds[by])
    if len(first) == len(clouds):
        return explanation
    if not torch.equal(clouds.sizes, clouds.sizes[first][sample]):
        raise PellucidError(f"expected as many points in all clouds of a sample ({by}), got others; explain them apart")
    kept = clouds.select(first)
    to_point = ragged_arange(kept.ptr[sample], clouds.sizes)
    per_point = counts[kept.batch]
    rows, per_row = (to_point, per_point) if explanation.level == "point" else (sample, counts)
    first_points = ragged_arange(clouds.ptr[first], kept.sizes)
    prediction, deviation = _mean(explanation.prediction, rows, per_row)
    _, spread = _mean(explanation.of().importance, to_point, per_point)
    columns = {name: _mean(column, to_point, per_point)[0] if column.dtype.is_floating_point else column[first_points]
               for name, column in explanation.columns.items()}
    if "spread" in explanation.columns:
        within = _mean(explanation.columns["spread"].square(), to_point, per_point)[0]
        spread = (within + spread.square()).sqrt()
    columns["spread"] = spread
    radius = explanation.radius
    provenance = _told(explanation.provenance, sample, counts, rows, per_row)
    provenance["gathered"] = {"by": by, "clouds": counts.tolist(), "prediction_spread": deviation.tolist()}
    gathered = replace(
        explanation, clouds=kept, prediction=prediction, columns=columns, provenance=provenance,
        importance=_mean(explanation.importance, to_point, per_point)[0],
        covariance=None if explanation.covariance is None else explanation.covariance[first_points],
        radius=None if radius is None else _mean(radius.square(), to_point, per_point)[0].sqrt(),
        explained=explanation.explained[first])
    return replace(gathered, explained=_explained(explanation, gathered, sample))


def _samples(ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(clouds,) place of each cloud's sample, (samples,) place of the first cloud of each and number of its clouds."""
    starts = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    starts[1:] = ids[1:] != ids[:-1]
    sample, first = starts.cumsum(0) - 1, starts.nonzero().squeeze(1)
    return sample, first, sample.bincount(minlength=len(first))


def _mean(values: Tensor, to: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (divisor n - 1) of the rows that go ``to`` each of ``counts`` rows."""
    shape = (-1, *[1] * (values.ndim - 1))
    counts, exact = counts.view(shape), values.double()
    empty = exact.new_zeros((len(counts), *values.shape[1:]))
    mean = empty.index_add(0, to, exact) / counts
    variance = empty.index_add(0, to, (exact - mean[to]).square()) / (counts - 1).clamp(min=1)
    return mean.to(values.dtype), variance.sqrt().to(values.dtype)


def _explained(before: Explanation, after: Explanation, sample: Tensor) -> Tensor:
    """(samples,) the explained output; where clouds of a sample predict different classes, that of the mean."""
    same = torch.ones(len(after.clouds), dtype=torch.bool)
    same[sample[before.explained != after.explained[sample]]] = False
    if bool(same.all()) or before.level == "point":
        return after.explained
    asked = before.targets.find(before.targets.owner(int(after.explained[0])).name)
    return torch.where(same, after.explained, before.targets.explained(asked, after.prediction))


def _told(provenance: dict[str, Any], sample: Tensor, counts: Tensor, rows: Tensor, per_row: Tensor
          ) -> dict[str, Any]:
    """Provenance whose numbers of each cloud or row have become means over those of a sample."""
    told = dict(provenance)
    if "ensemble" in told:
        about = told["ensemble"] = dict(told["ensemble"])
        about["prediction_spread"] = _means(about["prediction_spread"], rows, per_row)
        about["rank_correlations"] = _means(about["rank_correlations"], sample, counts)
    if "prediction_draws" in told:
        draws = told["prediction_draws"] = dict(told["prediction_draws"])
        draws |= {name: _means(draws[name], rows, per_row) for name in ("mean", "std")}
    return told


def _means(values: Sequence[Any], to: Tensor, counts: Tensor) -> list[Any]:
    """Means of numbers or rows of them; of those that are known, None where none is."""
    table = torch.tensor([float("nan") if value is None else value for value in values], dtype=torch.float64)
    known = ~table.isnan()
    total = table.new_zeros((len(counts), *table.shape[1:]))
    means = total.index_add(0, to, table.nan_to_num()) / total.index_add(0, to, known.double())
    return [None if value != value else value for value in means.tolist()] if means.ndim == 1 else list(means.tolist())
