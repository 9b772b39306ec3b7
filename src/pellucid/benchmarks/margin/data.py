"""The data that several benchmarks of the MARGIN studies read, as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

FILES: dict[str, str] = {
    "enron": "enron1/enron1_bow.npz",
    "cats_dogs": "cats_dogs/features_efficientnet_lite0.npz",
    "mnist": "mnist/mnist.npz",
    "usps": "usps/usps.npz",
}
"""Name -> file within ``--source-dir``."""

Labelled = tuple[NDArray[np.float32], NDArray[np.int64]]
"""(samples, ...) features and (samples,) class numbers."""


def enron(path: Path, components: int | None = 100) -> Labelled:
    """Training emails of Enron-Spam, as counts of the 500 most frequent words; 1 = spam (MARGIN paper, section 5.3).

    Args:
        path: ``enron1_bow.npz``.
        components: Principal components that are kept; None: the counts themselves.

    Returns:
        (4138, components or 500) and (4138,).
    """
    with np.load(path) as z:
        counts = sp.csr_array((z["data"].astype(np.float32), z["indices"].astype(np.int32), z["indptr"]),
                              shape=tuple(z["shape"]))
        rows = z["train_idx"].astype(np.int64)
        x = counts[rows][:, z["top500"].astype(np.int64)].toarray()
        y = z["y"][rows].astype(np.int64)
    if components is not None:
        x = PCA(components, svd_solver="full").fit_transform(x.astype(np.float64)).astype(np.float32)
    return x, y


def cats_dogs(path: Path) -> Labelled:
    """Photos of cats (0) and dogs (1), as the (3000, 1280) penultimate features of EfficientNet-Lite0."""
    with np.load(path) as z:
        return z["features"].astype(np.float32), z["y"].astype(np.int64)


def mnist(path: Path, part: str = "train") -> Labelled:
    """MNIST: (samples, 28, 28) in [0, 1], and the digits.

    Args:
        path: ``mnist.npz``.
        part: ``train`` (60,000 images) or ``test`` (10,000).
    """
    with np.load(path) as z:
        return z[f"x_{part}"].astype(np.float32) / 255, z[f"y_{part}"].astype(np.int64)


def usps(path: Path, part: str = "train") -> Labelled:
    """USPS: (samples, 256) in [-1, 1], and the digits.

    Args:
        path: ``usps.npz``.
        part: ``train`` (7,291 images) or ``test`` (2,007).
    """
    with np.load(path) as z:
        return z[f"X_{part}"].astype(np.float32) / 1000, z[f"y_{part}"].astype(np.int64)


def digits() -> Labelled:
    """scikit-learn's bundled digits: (1797, 64) in [0, 1], and the digits."""
    x: Any
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y.astype(np.int64)
