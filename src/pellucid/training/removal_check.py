"""Whether importance names the points that the model itself misses most when they leave."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.explainers.base import of_clouds
from pellucid.explainers.occlusion import Occlusion
from pellucid.explanation import Explanation, asking
from pellucid.methods import Method
from pellucid.metrics.bootstrap import Estimate, estimate
from pellucid.metrics.effect import Effects
from pellucid.metrics.interpretation import roc_auc_values
from pellucid.metrics.ragged import batch_of
from pellucid.training.predict import value_of

MOST = 100
"""Clouds at most, evenly spaced."""
CHANCE = 0.5
LARGE = 0.5
"""Share of the largest effect in a cloud from which a point counts as missed."""


def removal_check(model: Method, explanation: Explanation, *, chosen: Tensor | None = None, seed: int = 0
                  ) -> dict[str, Any]:
    """Importance against removal, which asks the model what it says without a point and cannot be upside down.

    Args:
        model: In eval mode; targets of clouds.
        explanation: Its importance for one output, of validation clouds.
        chosen: (clouds,) bool, those that count; None for all.
        seed: Of what is random.

    Returns:
        ``agreement`` (``value``, its 95 % interval ``low``, ``high``, and chance as ``random``): mean over clouds of
        the ROC AUC with which importance ranks the points whose occlusion has at least half of the largest effect in
        the cloud above the others (of signed importance |value|, and |effect| always); ``share``:
        effect of its most important points beyond that of random ones as a share of what occlusion's have
        (:class:`pellucid.metrics.effect.Effects`; 1: as much, 0: no more than random ones, below: less); ``samples``.
    """
    clouds = explanation.clouds
    places = torch.arange(len(clouds)) if chosen is None else chosen.nonzero().squeeze(1)
    count = min(len(places), MOST)
    if not count:
        return {"agreement": Estimate(math.nan, math.nan, math.nan, CHANCE).as_dict(), "share": math.nan, "samples": 0}
    places = places[torch.arange(count) * len(places) // count]
    kept = torch.zeros(len(clouds), dtype=torch.bool).index_fill(0, places, True)
    some, explained = clouds.select(places), explanation.explained[places]
    importance = explanation.importance[kept[clouds.batch]].double()
    device = next(model.parameters()).device
    predictor, marked = of_clouds(model, some.without_text().to(device))
    marked = asking(marked, explained.to(device))
    removed = _occlusion(model, marked, explained)
    strength = importance.abs() if explanation.signed else importance
    values = _found(strength, removed.abs(), some)
    effects = Effects(value_of(predictor), marked, seed=seed)
    own = float(effects.of(importance, signed=explanation.signed).removed.mean())
    best = float(effects.of(removed if explanation.signed else removed.abs(),
                            signed=explanation.signed).removed.mean())
    random = float(effects.random().removed.mean())
    return {"agreement": estimate(values, CHANCE, seed=seed).as_dict(),
            "share": (own - random) / (best - random) if best > random else math.nan, "samples": count}


def _occlusion(model: Method, clouds: PointClouds, explained: Tensor) -> Tensor:
    """(points,) by how much what is explained falls when a point leaves; of each cloud its own output."""
    found = torch.zeros(clouds.points, dtype=torch.float64)
    for output in torch.unique(explained).tolist():
        own = explained == output
        made = Occlusion().explain(model, clouds.select(own.nonzero().squeeze(1)), target=int(output))
        found[own[batch_of(clouds.ptr.cpu())]] = made.importance.double()
    return found


def _found(strength: Tensor, effect: Tensor, clouds: PointClouds) -> Tensor:
    largest = torch.zeros(len(clouds), dtype=torch.float64).scatter_reduce(0, clouds.batch, effect, "amax")
    return roc_auc_values(strength, effect >= LARGE * largest.clamp(min=1e-12)[clouds.batch], clouds.ptr)
