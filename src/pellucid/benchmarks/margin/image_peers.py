"""What else says which pixels a prediction rests on: Grad-CAM, RISE, LIME and chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import LayerAttribution, LayerGradCam, Lime
from numpy.typing import NDArray
from torch import Tensor

from pellucid.benchmarks.margin.photos import PhotoModel
from pellucid.margin.superpixels import Masker, superpixels

Maps = NDArray[np.float64]
Model = Callable[[NDArray[Any]], NDArray[Any]]
_CELLS = 7
"""Cells a side of RISE's masks."""
_KEPT = 0.5
"""Share of cells that RISE's masks keep."""
_BATCH = 4


def grad_cam(model: PhotoModel, photo: NDArray[np.uint8], target: int) -> Maps:
    """(height, width) Grad-CAM (Selvaraju et al., 2017; captum) at the last features before they are averaged.

    Args:
        model: The model, its gradients included.
        photo: (height, width, 3).
        target: The class.
    """
    x = model.inputs(photo[None]).requires_grad_()
    found = LayerGradCam(model.module, model.module._avg_pooling).attribute(
        x, target=target, attribute_to_layer_input=True, relu_attributions=True)
    whole = LayerAttribution.interpolate(found.detach(), photo.shape[:2], "bilinear")
    return whole[0, 0].numpy().astype(np.float64)  # type: ignore[no-any-return]


def rise(model: Model, photo: NDArray[np.uint8], targets: Sequence[int], calls: Sequence[int], *, seed: int
         ) -> dict[tuple[int, int], Maps]:
    """RISE (Petsiuk, Das and Saenko, 2018): the mean of random masks, weighted by the probability under each.

    7 x 7 cells (on the shorter side), each kept with probability .5, enlarged bilinearly and shifted at random; what is
    not kept fades to grey (127, zero for the network), as in their paper.

    Args:
        model: Probabilities of (photos, height, width, 3).
        photo: (height, width, 3).
        targets: Classes.
        calls: Numbers of masks after which to look; the last is the largest.
        seed: Of the masks.

    Returns:
        (target, calls) -> (height, width).
    """
    rng = np.random.default_rng(seed)
    height, width = photo.shape[:2]
    cell = -(-min(height, width) // _CELLS)
    grid = (-(-height // cell) + 1, -(-width // cell) + 1)
    total = np.zeros((len(targets), height, width))
    out: dict[tuple[int, int], Maps] = {}
    done = 0
    for until in calls:
        while done < until:
            some = min(_BATCH, until - done)
            kept = torch.from_numpy((rng.random((some, 1, *grid)) < _KEPT).astype(np.float32))
            large = torch.nn.functional.interpolate(kept, (grid[0] * cell, grid[1] * cell), mode="bilinear",
                                                    align_corners=False).numpy()[:, 0]
            shift = rng.integers(0, cell, (some, 2))
            masks = np.stack([m[a:a + height, b:b + width] for m, (a, b) in zip(large, shift, strict=True)])
            p = model(masks[..., None] * photo + (1 - masks[..., None]) * np.float32(127))[:, list(targets)]
            total += np.tensordot(p.T, masks, 1)
            done += some
        out |= {(t, until): total[i] / (until * _KEPT) for i, t in enumerate(targets)}
    return out


def lime(model: Model, photo: NDArray[np.uint8], target: int, calls: int, *, parts: int, seed: int) -> Maps:
    """LIME (Ribeiro et al., 2016; captum): a linear model of which superpixels are masked.

    As the authors' package for images has it: ridge regression, and weights by the cosine distance to all superpixels
    with a width of .25. Masked superpixels are blurred as ours are.

    Args:
        model: Probabilities of (photos, height, width, 3).
        photo: (height, width, 3).
        target: The class.
        calls: Random sets of superpixels.
        parts: Superpixels, about.
        seed: Of the sets.

    Returns:
        (height, width) coefficients, negative ones among them.
    """
    number = torch.from_numpy(superpixels(photo, parts))
    under = Masker(photo, "blur").copy(np.ones(photo.shape[:2], bool))

    def ask(x: Tensor) -> Tensor:
        said = model(x.permute(0, 2, 3, 1).numpy().astype(np.uint8))
        return torch.from_numpy(np.ascontiguousarray(said[:, target]))

    method = Lime(ask, interpretable_model=SkLearnRidge(alpha=1.0), similarity_func=_nearness)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        found = method.attribute(_planes(photo), baselines=_planes(under), feature_mask=number[None, None].expand(
            1, 3, -1, -1), n_samples=calls, perturbations_per_eval=_BATCH)
    return found[0, 0].numpy().astype(np.float64)  # type: ignore[no-any-return]


def chance(shape: tuple[int, int], *, seed: int) -> Maps:
    """A random map as coarse as RISE's masks: 7 x 7 uniform numbers, enlarged bilinearly.

    Args:
        shape: Height and width.
        seed: Of the numbers.
    """
    coarse = torch.from_numpy(np.random.default_rng(seed).random((1, 1, _CELLS, _CELLS)))
    return LayerAttribution.interpolate(coarse, shape, "bilinear")[0, 0].numpy()  # type: ignore[no-any-return]


def _planes(photo: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(photo.astype(np.float32)).permute(2, 0, 1)[None]


def _nearness(original: Tensor, perturbed: Tensor, kept: Tensor, **_: Any) -> Tensor:
    distance = 1 - kept.float().mean().sqrt()  # the cosine distance of a vector of zeros and ones to all ones
    return torch.exp(-distance**2 / 0.25**2).sqrt()
