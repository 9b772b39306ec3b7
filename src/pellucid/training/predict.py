"""Passes over whole sets: predictions, importances, and the predictor that removal of points is judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.explainers.base import Predictor
from pellucid.explanation import EXPLAINED
from pellucid.methods import Method, Output
from pellucid.randomness import CloudRandom
from pellucid.training.batches import Batch, Batches


@torch.no_grad()
def run_over(model: Method, batches: Iterable[Batch], *, joint: bool = True, epoch: int = 10**6,
             noise: int | None = None, advance: Callable[[], None] | None = None) -> Output:
    """One evaluation pass over all batches.

    Args:
        model: In eval mode.
        batches: What to pass over, in order.
        joint: Whether the interpreter runs; otherwise the plain classifier.
        epoch: For schedules of the prior.
        noise: Seed of noise that is injected all the same; None, as for predictions, for none.
        advance: Called after each batch, for a progress bar.

    Returns:
        Output over all clouds; ``penalty`` is the mean over batches.
    """
    outputs: list[Output] = []
    for clouds, neighbors in batches:
        if joint:
            random = None if noise is None else CloudRandom(clouds, noise)
            outputs.append(model(clouds, neighbors, epoch=epoch, random=random))
        else:
            outputs.append(model.plain(clouds, neighbors))
        if advance is not None:
            advance()

    def join(values: list[Tensor | None]) -> Tensor | None:
        present = [v for v in values if v is not None]
        return torch.cat(present) if present else None

    penalties = [o.penalty for o in outputs if o.penalty is not None]
    return Output(
        torch.cat([o.logits for o in outputs]),
        torch.stack(penalties).mean() if penalties else None,
        join([o.importance for o in outputs]),
        join([o.covariance for o in outputs]),
        join([o.radius for o in outputs]),
        columns={name: torch.cat([o.columns[name] for o in outputs]) for name in outputs[0].columns} if outputs else {},
    )


def batches_of(model: Method, clouds: PointClouds, size: int = 256) -> Batches:
    """Batches of clouds with fresh neighbourhoods, on the model's device."""
    clouds = clouds.without_text().to(next(model.parameters()).device)
    return Batches(clouds, model.neighbors(clouds), size)


def prediction_of(model: Method, output: int = 0) -> Callable[[PointClouds], Tensor]:
    """A function from clouds to the plain classifier's prediction of one output, neighbourhoods rebuilt each time.

    Args:
        model: Whose targets are of clouds.
        output: Which; of clouds from :func:`pellucid.explanation.asking` their own.
    """

    def predict(clouds: PointClouds) -> Tensor:
        logits = run_over(model, batches_of(model, clouds), joint=False).logits
        own = clouds[EXPLAINED] if EXPLAINED in clouds else torch.full_like(clouds.ptr[1:], output)
        return model.targets.predict(logits).gather(1, own[:, None].to(logits.device)).squeeze(1).cpu()

    return predict


def value_of(predictor: Predictor, size: int = 256) -> Callable[[PointClouds], Tensor]:
    """A function from clouds to what is explained of them: a logit, or a regression in its unit; without noise.

    Args:
        predictor: Whose targets are of clouds; see :func:`pellucid.explainers.base.of_clouds`. Clouds are from
            :func:`pellucid.explanation.asking`.
        size: Clouds a pass.
    """
    scale = torch.tensor(predictor.targets.scale(), dtype=torch.float64)

    @torch.no_grad()
    def value(clouds: PointClouds) -> Tensor:
        parts = []
        for start in range(0, len(clouds), size):
            some = clouds.select(torch.arange(start, min(start + size, len(clouds)), device=clouds.device))
            own = some[EXPLAINED]
            logits = predictor.logits(some, predictor.neighbors(some)).gather(1, own[:, None]).squeeze(1)
            parts.append(logits.cpu().double() * scale[own.cpu()])
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)

    return value
