"""Shapley values of points, estimated from random orders in which points join the cloud."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.clouds import PointClouds, ragged_arange
from pellucid.errors import PellucidError
from pellucid.explainers.base import Attribution, Explainer, Predictor, chosen, explainers
from pellucid.explainers.occlusion import empty_logits, partial_logits
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom

_ROUND = 8
"""Pairs of permutations between looks at the convergence; fewer give no trustworthy standard error."""


@explainers.register("shapley")
class Shapley(Explainer):
    """Shapley: a point's mean gain of logit over random orders in which the points join the cloud.

    Importance of v is the Shapley value of the game v(S) = logit of the cloud of only the points S, in logits: the mean
    over orders of v(those before v, and v) - v(those before v). Orders are drawn in pairs of one and its reverse
    (Castro et al. 2009; Mitchell et al. 2022, section 4.1). Neighbourhoods of S are made anew; v of nothing is the
    logit of a sum over nothing. Values sum to v(cloud) - v(nothing).

    The column ``std_error`` is the standard error over pairs, exactly 0 up to two points. For each cloud the provenance
    has ``permutations`` used, ``max_std_error``, ``converged`` (largest standard error <= tolerance * (largest - least
    value)), after which a cloud is done, and ``efficiency_gap`` (sum of the values less what they must sum to: nothing
    but rounding).

    Args:
        permutations: The most permutations a cloud; even, at least 4.
        tolerance: Relative standard error at which a cloud counts as converged; 0: where only rounding is left.
    """

    needs = frozenset()
    citation = "Castro et al., Polynomial calculation of the Shapley value based on sampling, 2009; Mitchell et al., " \
               "Sampling Permutations for Shapley Value Estimation, JMLR 2022"
    check = "the exact values over all subsets within 4 standard errors; exact on additive models; symmetry and dummy"
    importance_name = "Shapley value of the logit"
    signed = True

    def __init__(self, permutations: int = 64, tolerance: float = 0.1) -> None:
        if permutations < 4 or permutations % 2:
            raise PellucidError(f"expected an even number of permutations, at least 4, got {permutations}")
        if not tolerance >= 0:
            raise PellucidError(f"expected a tolerance of at least 0, got {tolerance}")
        self.permutations, self.tolerance = permutations, tolerance

    @torch.no_grad()
    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: Tensor,
                  random: CloudRandom) -> Attribution:
        """About (n - 1) n / 2 points a permutation for a cloud of n; see :meth:`Explainer.attribute`."""
        whole = chosen(predictor.logits(clouds, neighbors), target)
        nothing = empty_logits(predictor, clouds, target)
        # a generator for each cloud, on the CPU: its permutations depend neither on its batch nor on the device
        own = random.generators()
        sizes = clouds.sizes.cpu()
        inside = torch.arange(max(1, int(sizes.max()))) < sizes[:, None]
        ends = torch.stack([nothing, whole], 1).cpu().double()
        mean = torch.zeros(inside.shape, dtype=torch.float64)
        spread, error = torch.zeros_like(mean), torch.zeros_like(mean)
        pairs = torch.zeros(len(clouds), dtype=torch.int64)
        rounding = 8 * torch.finfo(whole.dtype).eps * ends.abs().amax(1)
        converged = torch.zeros(len(clouds), dtype=torch.bool)
        while len(at := (~converged & (2 * pairs < self.permutations)).nonzero().squeeze(1)):
            new = min(_ROUND, self.permutations // 2 - int(pairs[at[0]]))  # all that are left are equally far
            ranks = _ranks([own[i] for i in at.tolist()], inside[at], new)
            gains = _gains(predictor, clouds, target, at, ranks, ends[at]).view(len(at), new, 2, -1).mean(2)
            had = pairs[at, None]
            change = gains.mean(1) - mean[at]  # Chan et al. 1979: joins means and squared deviations
            spread[at] += (gains - gains.mean(1, keepdim=True)).square().sum(1)
            spread[at] += change.square() * had * new / (had + new)
            mean[at] += change * new / (had + new)
            pairs[at] += new
            error[at] = (spread[at] / ((had + new) * (had + new - 1).clamp(min=1))).sqrt()
            low = mean[at].masked_fill(~inside[at], torch.inf).amin(1)
            high = mean[at].masked_fill(~inside[at], -torch.inf).amax(1)
            converged[at] = error[at].amax(1) <= self.tolerance * (high - low).clamp(min=0) + rounding[at]
        importance = mean[inside].to(whole.dtype)
        total = torch.zeros(len(clouds), dtype=torch.float64).index_add(0, clouds.batch.cpu(), importance.double())
        return Attribution(importance, {"std_error": error[inside].to(whole.dtype)}, {
            "efficiency_gap": (total - ends.diff(dim=1)[:, 0]).tolist(),
            "permutations": (2 * pairs).tolist(),
            "max_std_error": error.amax(1).tolist(),
            "converged": converged.tolist(),
        })


def _ranks(own: list[torch.Generator], inside: Tensor, pairs: int) -> Tensor:
    """(clouds, 2 * pairs, width) when each point joins, in orders and their reverses; padding joins last."""
    keys = torch.full((len(inside), pairs, inside.shape[1]), torch.inf, dtype=torch.float64)
    sizes = inside.sum(1)
    for i, size in enumerate(sizes.tolist()):
        keys[i, :, :size] = torch.rand(pairs, size, generator=own[i], dtype=torch.float64)
    forth = keys.argsort(-1).argsort(-1)
    back = torch.where(inside[:, None], sizes[:, None, None] - 1 - forth, forth)
    return torch.stack([forth, back], 2).flatten(1, 2)


def _gains(predictor: Predictor, clouds: PointClouds, target: Tensor, at: Tensor, ranks: Tensor,
           ends: Tensor) -> Tensor:
    """(clouds, permutations, width) by how much the logit rises when a point joins, on the CPU in float64.

    Args:
        predictor: The model.
        clouds: All clouds of the batch.
        target: (all clouds,) the output that is explained.
        at: (clouds,) which of them take part.
        ranks: (clouds, permutations, width), see :func:`_ranks`.
        ends: (clouds, 2) logits without points and with all.
    """
    permutations, width = ranks.shape[1:]
    joins = ranks.flatten(0, 1)
    whose = at.repeat_interleave(permutations).to(clouds.device)
    cuts = (clouds.sizes[whose] - 1).clamp(min=0)  # of an order into points that are there and points that are not
    order = torch.arange(len(whose), device=clouds.device).repeat_interleave(cuts)
    there = ragged_arange(torch.ones_like(cuts), cuts)
    when = joins.to(clouds.device)

    def keep(trial: Tensor, point: Tensor) -> Tensor:
        of = order[trial]
        return when[of, point - clouds.ptr[whose[of]]] < there[trial]

    value = ends.repeat_interleave(permutations, 0)[:, [0] + [1] * width]
    value[order.cpu(), there.cpu()] = partial_logits(predictor, clouds, target, whose[order], keep).cpu().double()
    return value.diff(dim=1).gather(1, joins).view(ranks.shape)
