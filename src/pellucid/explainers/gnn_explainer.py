"""GNNExplainer's node masks for all clouds of a batch at once, as PyG fits them for one cloud after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid.backbones.kernels import segment_sum
from pellucid.clouds import PointClouds


def applies(algorithm: Any) -> bool:
    """Whether an algorithm is PyG's GNNExplainer, none made from it, asked for a mask of one number a node alone."""
    from torch_geometric.explain.algorithm import GNNExplainer

    config = getattr(algorithm, "explainer_config", None)
    return (type(algorithm) is GNNExplainer and config is not None and config.edge_mask_type is None
            and config.node_mask_type is not None and config.node_mask_type.value == "object"
            and algorithm.coeffs["node_feat_reduction"] in ("mean", "sum"))


def node_masks(algorithm: Any, part: Any, clouds: PointClouds, seeds: Sequence[int]) -> Tensor:
    """What the algorithm gives for each cloud alone: its loss of each, summed; Adam acts on each entry by itself.

    From m = sigmoid(w), w ~ 0.1 N(0, 1), ``epochs`` steps of Adam on loss(f(m x), own prediction) + size * mean_v m_v +
    entropy * mean_v H(m_v); the last two from the second step on, and over points that had a gradient in the first.

    Args:
        algorithm: For which :func:`applies` holds, connected.
        part: The wrapped model at the clouds: ``part(x, edge_index) -> (clouds, outputs)``, and its ``label``.
        clouds: The clouds.
        seeds: Of each cloud's first mask.

    Returns:
        (points,) in [0, 1]; 0 where the first gradient was.

    Source: PyG 2.5 and later, ``torch_geometric.explain.algorithm.GNNExplainer``; Ying et al. 2019.
    """
    x, coefficients = part.x, algorithm.coeffs
    first = [torch.randn(size, 1, device=x.device, dtype=torch.get_default_dtype(),
                         generator=torch.Generator(x.device).manual_seed(seed))
             for size, seed in zip(clouds.sizes.tolist(), seeds, strict=True)]
    w = (0.1 * torch.cat(first)).requires_grad_()
    adam = torch.optim.Adam([w], lr=algorithm.lr)
    had = torch.ones_like(w)
    size, entropy, eps = (coefficients[name] for name in ("node_feat_size", "node_feat_ent", "EPS"))
    for step in range(algorithm.epochs):
        m = w.sigmoid()
        # PyG's loss is a mean over graphs
        loss = len(clouds) * algorithm._calculate_base_loss(part(x * m, part.edge_index), part.label)
        if step:
            count = segment_sum(had, clouds.ptr).clamp(min=1)[clouds.batch]
            scale = 1 if coefficients["node_feat_reduction"] == "sum" else count
            unsure = -m * (m + eps).log() - (1 - m) * (1 - m + eps).log()
            loss = loss + (had * (size * m / scale + entropy * unsure / count)).sum()
        (w.grad,) = torch.autograd.grad(loss, w)
        if not step:
            had = (w.grad != 0).to(w.dtype)
        adam.step()
    return (w.detach().sigmoid() * had).squeeze(1)
