"""Whether an explanation depends on what the model has learned: the parameter randomisation test."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.metrics.base import metric
from pellucid.metrics.bootstrap import Estimate, estimate
from pellucid.metrics.ragged import checked
from pellucid.metrics.stability import rank_correlation_values

Model = TypeVar("Model", bound=nn.Module)

THRESHOLD = 0.5
"""Below this absolute rank correlation an explanation counts as changed."""
RANDOM_DRAWS = 200
"""Random rankings that the baseline is averaged over."""


@dataclass(frozen=True)
class Randomisation:
    """How much of an explanation is left after the model's weights are shuffled.

    Attributes:
        whole: Mean absolute rank correlation after all weights are shuffled; lower is better. Its baseline is that of
            an independent ranking, which is not 0: clouds are small, and signs are ignored.
        cascade: The same after each top-level child of the model and all later ones are shuffled, the last one first;
            empty unless asked for.
        threshold: Below which the explanation counts as changed.
        shuffles: Shuffled models that were explained.
    """

    whole: Estimate
    cascade: dict[str, Estimate] = field(default_factory=dict)
    threshold: float = THRESHOLD
    shuffles: int = 1

    @property
    def passes(self) -> bool:
        """Whether the whole interval lies below the threshold; False where it is undefined."""
        return self.whole.high < self.threshold

    def as_dict(self) -> dict[str, Any]:
        """The numbers, as in ``metrics.json``."""
        named = {"cascade": {name: value.as_dict() for name, value in self.cascade.items()}} if self.cascade else {}
        return {"randomisation": self.whole.as_dict(), **named, "threshold": self.threshold, "passes": self.passes,
                "shuffles": self.shuffles}


def randomisation_test(explain: Callable[[Model], Tensor], model: Model, ptr: Tensor, *, shuffles: int = 3,
                       cascade: bool = False, threshold: float = THRESHOLD, clouds: Tensor | None = None,
                       level: float = 0.95, draws: int = 1000, seed: int = 0) -> Randomisation:
    """Compares importance with that of the same model after its weights are shuffled, with interval and baseline.

    The entries of each parameter tensor are permuted, so that their distribution stays; buffers, such as the running
    statistics of batch norms, and tensors of one entry stay as they are. ``explain`` gets copies only, and the random
    numbers of torch start the same for each, so an explainer that ignores the model scores 1.

    Args:
        explain: Model -> (points,) importance of the points that ``ptr`` divides.
        model: The trained model; neither it nor the state of torch's random numbers is changed.
        ptr: (clouds + 1,) offsets.
        shuffles: Shuffled models that are averaged over, at least 1.
        cascade: Whether to shuffle the top-level children one by one too, from the last that the model names to the
            first; parameters of no child go last, as ``"(own)"``.
        threshold: Of :attr:`Randomisation.passes`, in (0, 1]; chance alone leaves 1 in clouds of two points
            and 0.67 in clouds of three.
        clouds: (clouds,) bool, the clouds that count; None for all. Clouds where importance is constant, before or
            after all shuffles, are skipped.
        level: Of the intervals, in (0, 1).
        draws: Resamples of the bootstrap over clouds, at least 1.
        seed: Of all that is random.

    Returns:
        Randomisation; its numbers are NaN where no cloud is left.

    Raises:
        PellucidError: if an importance does not fit or is not finite, or an option is out of its range.

    Example:
        >>> model = nn.Linear(3, 1)
        >>> pos, ptr = torch.randn(40, 3), torch.tensor([0, 20, 40])
        >>> result = randomisation_test(lambda model: pos.norm(dim=1), model, ptr)
        >>> round(result.whole.value, 6), result.passes
        (1.0, False)

    Source: Adebayo et al. 2018, Sanity Checks for Saliency Maps.
    """
    if not 0 < threshold <= 1:
        raise PellucidError(f"expected a threshold in (0, 1], got {threshold}; 0.5 is usual")
    stages = _stages(model) if cascade else []
    original = _explained(explain, copy.deepcopy(model), seed)

    def left(names: set[str] | None) -> Estimate:
        return what_is_left(original, _others(explain, model, shuffles, seed, names), ptr, clouds=clouds, level=level,
                            draws=draws, seed=seed)

    gone: set[str] = set()
    parts = {}
    for name, parameters in stages:
        gone |= parameters
        parts[name] = left(gone)
    return Randomisation(left(None), parts, threshold, shuffles)


def what_is_left(original: Tensor, others: Sequence[Tensor], ptr: Tensor, *, clouds: Tensor | None = None,
                 level: float = 0.95, draws: int = 1000, seed: int = 0) -> Estimate:
    """Mean absolute rank correlation of importance with that after all weights are shuffled: the randomisation test.

    Args:
        original: (points,) importance by the trained model.
        others: (points,) importance by each shuffled model, at least one; see :func:`shuffled`.
        ptr: (clouds + 1,) offsets.
        clouds: (clouds,) bool, the clouds that count; None for all.
        level: Of the interval, in (0, 1).
        draws: Resamples of the bootstrap over clouds, at least 1.
        seed: Of these, and of the rankings that the baseline averages.

    Returns:
        Estimate; its numbers are NaN where no cloud is left, its baseline that of an independent ranking.

    Raises:
        PellucidError: if an importance does not fit or is not finite, or an option is out of its range.

    Example:
        >>> ranks = torch.tensor([1.0, 2.0, 3.0, 1.0, 2.0, 3.0])
        >>> round(what_is_left(ranks, [-ranks], torch.tensor([0, 3, 6])).value, 6)  # upside down is not changed
        1.0
    """
    checked(original, ptr, clouds)
    if not others:
        raise PellucidError("expected at least 1 shuffled model, got none; explain with one")
    values = torch.stack([_rho(original, other, ptr, clouds) for other in others]).nanmean(0)
    return estimate(values, _chance(original, ptr, clouds, seed), level=level, draws=draws, seed=seed)


@metric("sanity.randomisation")
def randomisation(explain: Callable[[Model], Tensor], model: Model, ptr: Tensor, *, shuffles: int = 3,
                  clouds: Tensor | None = None, seed: int = 0) -> float:
    """Mean absolute rank correlation of importance before and after the model's weights are shuffled.

    Args:
        explain: Model -> (points,) importance of the points that ``ptr`` divides.
        model: The trained model; it is not changed.
        ptr: (clouds + 1,) offsets.
        shuffles: Shuffled models that are averaged over, at least 1.
        clouds: (clouds,) bool, the clouds that count; None for all.
        seed: Of all that is random.

    Returns:
        In [0, 1], lower is better, 1 = the explanation does not depend on the weights; compare it with
        ``randomisation_test(...).whole.random``. NaN where no cloud is left.

    Raises:
        PellucidError: as :func:`randomisation_test`, which also gives the interval, the baseline and the cascade.

    Example:
        >>> pos = torch.tensor([[0.0], [1.0], [2.0]])
        >>> round(randomisation(lambda model: pos[:, 0], nn.Linear(1, 1), torch.tensor([0, 3])), 6)
        1.0

    Source: Adebayo et al. 2018, Sanity Checks for Saliency Maps.
    """
    original = _explained(explain, copy.deepcopy(model), seed)
    return what_is_left(original, _others(explain, model, shuffles, seed, None), ptr, clouds=clouds, seed=seed,
                        draws=1).value


def shuffled(model: Model, *, seed: int = 0, names: set[str] | None = None) -> Model:
    """A copy of a model with the entries of each parameter permuted; a tensor shared by layers stays shared.

    Args:
        model: It is not changed.
        seed: Of the permutations; that of a parameter does not depend on ``names``.
        names: Parameters to permute, as ``named_parameters()`` calls them; None for all.

    Example:
        >>> model = nn.Linear(8, 1)
        >>> other = shuffled(model)
        >>> torch.equal(other.weight, model.weight), torch.equal(other.weight.sort().values, model.weight.sort().values)
        (False, True)
    """
    model = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            if names is None or name in names:
                parameter.copy_(parameter.flatten()[order].view(parameter.shape))
    return model


def _stages(model: nn.Module) -> list[tuple[str, set[str]]]:
    """Names of the parameters of each top-level child that has some, the last first; then the model's own."""
    stages: dict[str, set[str]] = {}
    for name, _ in model.named_parameters():
        stages.setdefault(name.split(".")[0] if "." in name else "", set()).add(name)
    own = stages.pop("", set())
    return [*reversed(stages.items()), *([("(own)", own)] if own else [])]


def _explained(explain: Callable[[Model], Tensor], copied: Model, seed: int) -> Tensor:
    """Importance by a copy that the explainer may do with as it likes; the caller's random numbers go on unharmed."""
    for parameter in copied.parameters():
        parameter.grad = None
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        torch.manual_seed(seed)
        return explain(copied).detach().cpu()


def _others(explain: Callable[[Model], Tensor], model: Model, shuffles: int, seed: int,
            names: set[str] | None) -> list[Tensor]:
    """Importance by each shuffled model."""
    if shuffles < 1:
        raise PellucidError(f"expected at least 1 shuffle, got {shuffles}; raise it")
    return [_explained(explain, shuffled(model, seed=seed + i, names=names), seed) for i in range(shuffles)]


def _chance(original: Tensor, ptr: Tensor, clouds: Tensor | None, seed: int) -> Tensor:
    """(clouds,) expected absolute rank correlation with an independent ranking, by simulation."""
    generator = torch.Generator().manual_seed(seed)
    random = (torch.rand(original.shape, generator=generator) for _ in range(RANDOM_DRAWS))
    return torch.stack([_rho(original, ranking, ptr, clouds) for ranking in random]).nanmean(0)


def _rho(original: Tensor, other: Tensor, ptr: Tensor, clouds: Tensor | None) -> Tensor:
    checked(other, ptr, clouds)  # both are told of before they are stacked
    return rank_correlation_values(torch.stack([original.double(), other.double()]), ptr, clouds=clouds).abs()
