"""Batch-norm statistics taken again with dropout off.

Running statistics are averages of activations under dropout, whose variance differs from that of the network which is
evaluated. In this family of models (sum pooling, residual layers) the mismatch makes the validation AUC jump from epoch
to epoch, and with it the choice of the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

from pellucid.backbones.kernels import Norm
from pellucid.training.batches import Batch


@torch.no_grad()
def reestimate(model: nn.Module, batches: Iterable[Batch], run: Callable[[Batch], object], limit: int,
               frozen: Sequence[nn.Module] = ()) -> None:
    """Sets every batch norm's running statistics to the plain average over some batches, in eval mode otherwise.

    Args:
        model: Left in eval mode.
        batches: Training batches.
        run: One evaluation pass.
        limit: Batches to use.
        frozen: Parts of the model whose statistics stay as they are.
    """
    model.eval()
    kept = {m for part in frozen for m in part.modules()}
    norms = [m for m in model.modules() if isinstance(m, Norm) and m not in kept]
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset()
        norm.momentum = None  # cumulative average
        norm.train()
    for i, batch in enumerate(batches):
        if i == limit:
            break
        run(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
