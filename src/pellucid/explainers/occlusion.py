"""Leave a point out and look at the logit; what the Shapley values are estimated with too."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pellucid.clouds import PointClouds, ragged_arange
from pellucid.errors import PellucidError
from pellucid.explainers.base import Attribution, Explainer, Predictor, chosen, explainers
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom

_POINTS = 1 << 17
"""Points of one pass on an accelerator; bounds the memory."""
_CPU_POINTS = 1 << 12
"""The same on the CPU, where passes that stay in its cache are up to half faster."""


@explainers.register("occlusion")
class Occlusion(Explainer):
    """Occlusion: by how much the logit falls when the point leaves the cloud.

    Importance of v is F(cloud) - F(cloud without v), in logits; the neighbourhoods of the points that stay are made
    anew (Zeiler & Fergus 2014, section 4.2). What argues against the output is negative. The only point of a cloud
    leaves an empty one, whose logit is that of a sum over nothing.
    """

    needs = frozenset()
    citation = "Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014"
    check = "equal to a loop that removes one point at a time; on an additive model the point's own contribution"
    importance_name = "occlusion, logit - logit without the point"
    signed = True

    @torch.no_grad()
    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: Tensor,
                  random: CloudRandom) -> Attribution:
        """A pass over n clouds of n - 1 points for each cloud of n; see :meth:`Explainer.attribute`."""
        whole = chosen(predictor.logits(clouds, neighbors), target)
        batch = clouds.batch
        without = torch.empty_like(whole).index_select(0, batch)
        alone = (clouds.sizes == 1)[batch]
        if bool(alone.any()):
            lone = batch[alone]
            without[alone] = empty_logits(predictor, clouds.select(lone), target[lone])
        left_out = (~alone).nonzero().squeeze(1)
        without[~alone] = partial_logits(predictor, clouds, target, batch[left_out],
                                         lambda trial, point: point != left_out[trial]).to(whole)
        return Attribution(whole[batch] - without)


def partial_logits(predictor: Predictor, clouds: PointClouds, target: Tensor, cloud: Tensor,
                   keep: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Logits of clouds of which only some points are there, in as many passes as memory asks for.

    Args:
        predictor: The model.
        clouds: The whole clouds.
        target: (clouds,) the output that is looked at.
        cloud: (trials,) the cloud that a trial takes points from.
        keep: (rows,) numbers of trials and (rows,) points of the whole clouds -> (rows,) bool, whether it stays.

    Returns:
        (trials,) logits.
    """
    sizes = clouds.sizes[cloud]
    parts: list[Tensor] = []
    start = 0
    for end in _ends(sizes, points_a_pass(clouds)):
        of = cloud[start:end]
        trial = torch.repeat_interleave(torch.arange(start, end, device=cloud.device), sizes[start:end])
        stays = keep(trial, ragged_arange(clouds.ptr[of], sizes[start:end]))
        some = clouds.select(of).keep_points(stays)
        parts.append(chosen(predictor.logits(some, predictor.neighbors(some)), target[of]))
        start = end
    return torch.cat(parts) if parts else torch.zeros(0, device=clouds.device)


def points_a_pass(clouds: PointClouds) -> int:
    """How many points one pass should have where clouds are."""
    return _CPU_POINTS if clouds.device.type == "cpu" else _POINTS


def _ends(sizes: Tensor, points: int) -> list[int]:
    """Where passes end so that each has about so many points, and at least one cloud."""
    done = sizes.cumsum(0)
    passes = torch.div(done - sizes, points, rounding_mode="floor")
    return torch.unique_consecutive(passes, return_counts=True)[1].cumsum(0).tolist()  # type: ignore[no-any-return]


def empty_logits(predictor: Predictor, clouds: PointClouds, target: Tensor) -> Tensor:
    """(clouds,) logits of the clouds once all points have left.

    Raises:
        PellucidError: if the model cannot predict for a cloud without points.
    """
    none = clouds.keep_points(torch.zeros(clouds.points, dtype=torch.bool, device=clouds.device))
    try:
        logits = chosen(predictor.logits(none, predictor.neighbors(none)), target)
    except (RuntimeError, ValueError, IndexError, ZeroDivisionError) as error:  # a foreign model may raise anything
        raise PellucidError(f"expected a model that predicts for a cloud without points, got {error}; pool by a sum, "
                            "or choose an explainer that leaves points in, e.g. gradgam") from error
    if not bool(logits.isfinite().all()):
        raise PellucidError("expected a finite prediction for a cloud without points, got NaN or infinity; pool by a "
                            "sum, or choose an explainer that leaves points in, e.g. gradgam")
    return logits
