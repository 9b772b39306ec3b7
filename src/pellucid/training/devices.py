"""Where a run computes, and with what."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

from pellucid.errors import PellucidError


def pick_device(name: str = "auto") -> torch.device:
    """The device of a name: ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        PellucidError: if the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name not in there:
        raise PellucidError(f"expected a device out of auto, {', '.join(there)}, got {name!r}")
    if not there[name]:
        raise PellucidError(f"expected a machine with {name}, got none; use --device cpu")
    return torch.device(name)


def versions() -> dict[str, str]:
    """Versions of what decides a result."""
    return {name: version(name) for name in ("pellucid", "torch", "lightning", "rdkit", "numpy")} | {
        "python": platform.python_version()}
