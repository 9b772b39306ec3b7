"""Whether signed importance is what each point truly adds to a sum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pellucid.explanation import Explanation
from pellucid.metrics.base import metric
from pellucid.metrics.bootstrap import estimate
from pellucid.metrics.stability import rank_correlation_values


def contribution_values(importance: Tensor, contribution: Tensor, ptr: Tensor) -> Tensor:
    """Spearman correlation of importance with what each point truly adds, in each cloud, signs included.

    Args:
        importance: (points,).
        contribution: (points,) the truth.
        ptr: (clouds + 1,) offsets.

    Returns:
        (clouds,) float64 in [-1, 1]; 0 where importance orders nothing, as it then finds nothing.

    Raises:
        PellucidError: if shapes do not fit or an importance is not finite.

    Example:
        >>> importance, truth = torch.tensor([1.0, 0.2, -3.0, 1.0, 1.0]), torch.tensor([2.0, 0.0, -1.0, 5.0, 1.0])
        >>> contribution_values(importance, truth, torch.tensor([0, 3, 5])).tolist()
        [1.0, 0.0]
    """
    return rank_correlation_values(torch.stack([importance.double(), contribution.double()]), ptr).nan_to_num(0.0)


@metric("contributions", takes="explanation")
def contributions(explanation: Explanation, *, clouds: Tensor | None = None, m: int = 1, seed: int = 0
                  ) -> dict[str, Any]:
    """Spearman correlation with the true contributions, where clouds have the field ``contribution``.

    Args:
        explanation: Of the sum.
        clouds: (clouds,) bool, those that count; None for all.
        m: Not needed here.
        seed: Of the bootstrap.

    Returns:
        ``rank_correlation`` with ``value``, its 95 % interval ``low``, ``high``, and chance as ``random``; empty where
        nothing is known.
    """
    data = explanation.clouds
    if "contribution" not in data:
        return {}
    values = contribution_values(explanation.of().importance, data["contribution"], data.ptr)
    return {"rank_correlation": estimate(values if clouds is None else values[clouds], 0.0, seed=seed).as_dict()}
