"""Zero-mean Gaussians with covariance Sigma = a1 U U^T + a2 I, in any dimension, stable in float32."""

from __future__ import annotations

import torch
from torch import Tensor


def covariance(u: Tensor, a1: Tensor, a2: Tensor) -> Tensor:
    """Sigma = a1 U U^T + a2 I (paper, section 4.2).

    Args:
        u: (points, D, D).
        a1: (points,), positive.
        a2: (points,), positive.

    Returns:
        (points, D, D), symmetric positive definite.
    """
    isotropic = a2[:, None, None] * torch.eye(u.shape[-1], device=u.device, dtype=u.dtype)
    return torch.addcmul(isotropic, a1[:, None, None], u @ u.transpose(1, 2))


def sample(u: Tensor, a1: Tensor, a2: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draws eps = sqrt(a1) U s1 + sqrt(a2) s2 with s1, s2 ~ N(0, I), so that E[eps eps^T] = Sigma; no factorisation.

    Returns:
        (points, D).
    """
    shape = (2, *u.shape[:2])
    s1, s2 = torch.randn(shape, generator=generator, device=u.device, dtype=u.dtype).unbind(0)
    return a1.sqrt()[:, None] * (u * s1[:, None]).sum(-1) + a2.sqrt()[:, None] * s2


def log_det(u: Tensor, a1: Tensor, a2: Tensor) -> Tensor:
    """Log det Sigma without forming Sigma.

    Sigma = B^T B with B = [sqrt(a1) U^T; sqrt(a2) I], so det Sigma is the product of the squared diagonal of the R of
    B = QR. Gram-Schmidt on B keeps the small factors that a determinant of Sigma loses to rounding when a1 >> a2.

    Returns:
        (points,).
    """
    dim = u.shape[-1]
    eye = torch.eye(dim, device=u.device, dtype=u.dtype)
    b = torch.cat([a1.sqrt()[:, None, None] * u, a2.sqrt()[:, None, None] * eye], -1)  # rows are the columns of B
    rows = list(b.unbind(1))
    total = torch.zeros_like(a1)
    for i in range(dim):
        squared = rows[i].square().sum(-1)
        total = total + squared.log()
        for j in range(i + 1, dim):
            rows[j] = rows[j] - ((rows[i] * rows[j]).sum(-1) / squared)[:, None] * rows[i]
    return total


def gaussian_kl(u: Tensor, a1: Tensor, a2: Tensor, log_determinant: Tensor | None = None) -> Tensor:
    """KL(N(0, Sigma) || N(0, I)) = (tr Sigma - D - log det Sigma) / 2 (paper, eq. 2, after scaling by c).

    Returns:
        (points,), not negative up to rounding.
    """
    dim = u.shape[-1]
    trace = a1 * u.square().sum((1, 2)) + dim * a2
    return 0.5 * (trace - dim - (log_det(u, a1, a2) if log_determinant is None else log_determinant))
