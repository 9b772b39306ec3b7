"""Explains clouds with a model that learned importance; needs nothing of what trains or measures it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.methods.base import Method
from pellucid.targets import Explained
from pellucid.training.batches import Batches
from pellucid.training.predict import batches_of, run_over

JITTER = 0.05
"""Standard deviation by which stability moves each coordinate, in mean distances between neighbours."""


def explain_clouds(model: Method, clouds: PointClouds, *, target: str | int | None = None,
                   provenance: dict[str, Any] | None = None, batches: Batches | None = None,
                   prediction_draws: int = 0, seed: int = 0) -> Explanation:
    """Explains clouds with a model that learned importance.

    Args:
        model: In eval mode.
        clouds: What to explain.
        target: The output to explain; see :meth:`pellucid.targets.Targets.find`. None for the first target, and of
            signed contributions for all.
        provenance: Goes into the explanation.
        batches: The clouds in batches, where they are there already.
        prediction_draws: How often noise is injected besides, to see how far it moves the prediction: mean and standard
            deviation over these draws go into the provenance as ``prediction_draws``.
        seed: Of these draws, which every cloud draws by its own content.

    Raises:
        PellucidError: if the model's method has no interpretation.
    """
    if not model.explains:
        raise PellucidError("expected a method that explains, got one that only predicts (erm); train lri-gaussian or "
                            "lri-bernoulli, or erm with method.readout=interacting")
    model.refuse(clouds)
    asked = model.targets.find(target)
    batches = batches or batches_of(model, clouds)
    output = run_over(model, batches)
    about = dict(provenance or {})
    if prediction_draws:
        noisy = torch.stack([model.targets.predict(run_over(model, batches, noise=seed + k).logits).cpu()
                             for k in range(prediction_draws)])
        about["prediction_draws"] = {"draws": prediction_draws, "mean": noisy.mean(0).tolist(),
                                     "std": noisy.std(0, unbiased=prediction_draws > 1).tolist()}
    importance, baseline = output.importance, None
    if model.signed:
        importance = _contributions(model, batches, None if target is None else asked)
    assert importance is not None
    importance = importance.cpu()
    if model.signed:
        scale = importance.new_tensor(model.targets.scale())
        centers = importance.new_tensor([t.center for t in model.targets for _ in range(t.outputs)])
        importance = importance * scale
        if (alone := model.readout.baseline()) is not None:
            baseline = centers + scale * alone.detach().cpu()
    logits = output.logits.cpu()
    rows = model.targets.explained(asked, logits)
    first = clouds.ptr[:-1].cpu().clamp(max=max(len(rows) - 1, 0))
    made = Explanation(clouds.to("cpu"), model.targets.predict(logits), importance, model.importance_name,
                       None if output.covariance is None else output.covariance.cpu(), about,
                       {name: column.cpu() for name, column in output.columns.items()},
                       None if output.radius is None else output.radius.cpu(), model.targets,
                       rows[first] if model.targets.level == "point" else rows, signed=model.signed, baseline=baseline)
    return made if target is None else made.of(target)


@torch.no_grad()
def _contributions(model: Method, batches: Batches, asked: Explained | None) -> Tensor:
    """(points, outputs) contributions to what is asked about, and zeros for other outputs; None asks about all."""
    start = 0 if asked is None else model.targets.starts[asked.column]
    outputs = range(start, start + (model.targets.outputs if asked is None else asked.target.outputs))
    found = [model.contributions(clouds, neighbors, outputs) for clouds, neighbors in batches]
    points = sum(len(each) for each in found)
    whole = next(model.parameters()).new_zeros(points, model.targets.outputs)
    whole[:, outputs] = torch.cat([whole[:0, outputs], *found])
    return whole
