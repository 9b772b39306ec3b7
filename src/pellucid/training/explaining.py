"""Explains clouds with a model that learned importance; needs nothing of what trains or measures it."""

from __future__ import annotations

from typing import Any

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.methods.base import Method
from pellucid.training.batches import Batches
from pellucid.training.predict import batches_of, run_over

JITTER = 0.05
"""Standard deviation by which stability moves each coordinate, in mean distances between neighbours."""


def explain_clouds(model: Method, clouds: PointClouds, *, seed: int = 0, provenance: dict[str, Any] | None = None,
                   batches: Batches | None = None) -> Explanation:
    """Explains clouds with a model that learned importance.

    Args:
        model: In eval mode.
        clouds: What to explain.
        seed: Of the injected noise that the prediction sees.
        provenance: Goes into the explanation.
        batches: The clouds in batches, where they are there already.

    Raises:
        PellucidError: if the model's method has no interpretation.
    """
    if not model.supports.importance:
        raise PellucidError("expected a method that explains, got one that only predicts (erm); train lri-gaussian or "
                            "lri-bernoulli")
    model.refuse(clouds)
    output = run_over(model, batches or batches_of(model, clouds), seed=seed)
    assert output.importance is not None
    covariance = output.covariance.cpu() if output.covariance is not None else None
    return Explanation(clouds.to("cpu"), model.task.predict(output.logits).cpu(), output.importance.cpu(),
                       model.importance_name, covariance, provenance or {},
                       {name: column.cpu() for name, column in output.columns.items()})
