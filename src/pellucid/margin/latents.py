"""Latents out of a user's own model: what one of its layers says of each sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.errors import PellucidError, UnknownNameError


def latents(model: Any, X: Any, layer: str | None = None, *, batch: int = 256, device: str | None = None
            ) -> NDArray[np.float32]:
    """Latents of samples, as features for a study.

    The model is left as it was: it runs in evaluation mode and without gradients, each of its parts gets back its own
    mode, and nothing is left hooked, also if it raises.

    Maps over space, (batch, channels, height, width) or with a depth as well, are averaged over space; other outputs
    with more than two axes are flattened. Of a tuple the first entry counts.

    Args:
        model: Any torch module, or any callable that takes a batch and returns an array or a tensor with a row for each
            sample.
        X: The samples; anything that can be sliced. A module gets tensors, real numbers in the precision of its
            parameters; a callable gets the slices as they are, so that lists of texts or paths will do.
        layer: Name of the layer of a module, as in ``model.named_modules()``, e.g. ``"features.3"``; None: its output.
            Of a layer that is called several times in a pass, the last call counts.
        batch: Samples that are looked at together.
        device: Where a module gets its input; None: where its parameters are.

    Returns:
        (samples, d).

    Raises:
        UnknownNameError: for a layer that the model does not have, with near misses.
        PellucidError: for a model or an output that cannot be used.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
        >>> latents(model, np.zeros((10, 1, 8, 8)), "1").shape, latents(model, np.zeros((10, 1, 8, 8))).shape
        ((10, 4), (10, 2))
        >>> latents(lambda words: [[len(word)] for word in words], ["odd", "even"]).tolist()
        [[3.0], [4.0]]
    """
    n = int(X.shape[0]) if hasattr(X, "shape") else len(X)
    if n < 1:
        raise PellucidError("expected at least one sample, got none")
    if isinstance(batch, bool) or not isinstance(batch, int | np.integer) or batch < 1:
        raise PellucidError(f"expected batch as a whole number of at least 1, got {batch!r}")
    if isinstance(model, torch.nn.Module):
        with _listening(model, layer, device) as look:
            return _gather(look, X, n, int(batch))
    if not callable(model):
        raise PellucidError(f"expected a torch module or a callable, got {type(model).__name__}; for a scikit-learn "
                            "model give one of its methods, e.g. model.decision_function")
    if layer is not None:
        raise PellucidError(f"expected a torch module for the layer {layer!r}, got {type(model).__name__}; a callable "
                            "returns the latents itself")
    return _gather(model, X, n, int(batch))


@contextmanager
def _listening(model: torch.nn.Module, layer: str | None, device: str | None) -> Iterator[Callable[[Any], Any]]:
    """A function from a batch to what a layer made of it."""
    parts = dict(model.named_modules())
    if layer is not None and layer not in parts:
        raise UnknownNameError("layer", layer, [name for name in parts if name])
    first = next(model.parameters(), torch.empty(0))
    heard: list[Any] = []

    def look(rows: Any) -> Any:
        x = rows if isinstance(rows, torch.Tensor) else torch.as_tensor(np.asarray(rows))
        x = x.to(first.device if device is None else device)
        heard.clear()
        out = model(x.to(first.dtype) if x.is_floating_point() else x)
        if layer is None:
            return out
        if not heard:
            raise PellucidError(f"expected a layer that the model uses, got {layer!r}, which its forward never calls; "
                                "choose another")
        return heard[-1]

    modes = [(part, part.training) for part in model.modules()]
    hook = None if layer is None else parts[layer].register_forward_hook(lambda *call: heard.append(call[-1]))
    try:
        model.eval()
        with torch.no_grad():
            yield look
    finally:
        if hook is not None:
            hook.remove()
        for part, mode in modes:
            part.training = mode


def _gather(look: Callable[[Any], Any], X: Any, n: int, batch: int) -> NDArray[np.float32]:
    out: NDArray[np.float32] | None = None
    for start in range(0, n, batch):
        rows = _rows(look(X[start:start + batch]), min(batch, n - start))
        if out is None:
            out = np.empty((n, rows.shape[1]), np.float32)
        if rows.shape[1] != out.shape[1]:
            raise PellucidError(f"expected {out.shape[1]} numbers a sample as before, got {rows.shape[1]} from sample "
                                f"{start}; bring all samples to one size first")
        out[start:start + len(rows)] = rows
    assert out is not None
    return out


def _rows(output: Any, samples: int) -> NDArray[np.float32]:
    if isinstance(output, tuple):
        output = output[0]
    if isinstance(output, torch.Tensor):
        output = output.detach().to("cpu", torch.float32)
    try:
        values = np.asarray(output, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise PellucidError(f"expected an array or a tensor from the model, got {type(output).__name__}; wrap it in a "
                            "function that returns one") from error
    if values.ndim == 0 or len(values) != samples:
        raise PellucidError(f"expected a row for each of {samples} samples from the model, got shape {values.shape}")
    if values.ndim in (4, 5):
        values = values.mean(tuple(range(2, values.ndim)))
    return values.reshape(samples, -1)
