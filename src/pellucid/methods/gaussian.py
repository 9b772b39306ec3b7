"""Zero-mean Gaussians with covariance a1 U U^T + a2 I, or a I, in any dimension, stable in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


def sample(u: Tensor, a1: Tensor, a2: Tensor, normals: Tensor | None = None) -> Tensor:
    """Draws eps = sqrt(a1) U s1 + sqrt(a2) s2 with s1, s2 ~ N(0, I), so that E[eps eps^T] = Sigma; no factorisation.

    Args:
        u: (points, D, D).
        a1: (points,), positive.
        a2: (points,), positive.
        normals: (2, points, D) standard normal numbers; None for PyTorch's own.

    Returns:
        (points, D).
    """
    if normals is None:
        normals = torch.randn((2, *u.shape[:2]), device=u.device, dtype=u.dtype)
    s1, s2 = normals.unbind(0)
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


@dataclass(frozen=True)
class Ellipsoids:
    """Noise of covariance a1 U U^T + a2 I a row.

    Attributes:
        u: (rows, D, D).
        a1: (rows,), positive.
        a2: (rows,), positive.
    """

    u: Tensor
    a1: Tensor
    a2: Tensor
    normals_each = 2
    """Standard normal vectors that a draw takes."""

    def sample(self, normals: Tensor | None = None) -> Tensor:
        """(rows, D); see :func:`sample`."""
        return sample(self.u, self.a1, self.a2, normals)

    def log_det(self) -> Tensor:
        """(rows,) log det Sigma."""
        return log_det(self.u, self.a1, self.a2)

    def kl(self, log_determinant: Tensor) -> Tensor:
        """(rows,) KL to N(0, I)."""
        return gaussian_kl(self.u, self.a1, self.a2, log_determinant)

    def covariance(self) -> Tensor:
        """(rows, D, D)."""
        return covariance(self.u, self.a1, self.a2)

    def turned(self, turn: Callable[[Tensor], Tensor]) -> Ellipsoids:
        """The same noise in other axes: U becomes ``turn(U)``."""
        return Ellipsoids(turn(self.u), self.a1, self.a2)


@dataclass(frozen=True)
class Spheres:
    """Noise of covariance a I a row: alike in all directions, whatever the axes.

    Attributes:
        a: (rows,), positive.
        dim: D.
    """

    a: Tensor
    dim: int
    normals_each = 1

    def sample(self, normals: Tensor | None = None) -> Tensor:
        """(rows, D) sqrt(a) s with s ~ N(0, I).

        Args:
            normals: (1, rows, D) standard normal numbers; None for PyTorch's own.
        """
        if normals is None:
            normals = torch.randn((1, len(self.a), self.dim), device=self.a.device, dtype=self.a.dtype)
        return self.a.sqrt()[:, None] * normals[0]

    def log_det(self) -> Tensor:
        """(rows,) D log a."""
        return self.dim * self.a.log()

    def kl(self, log_determinant: Tensor) -> Tensor:
        """(rows,) KL(N(0, a I) || N(0, I)) = (D a - D - D log a) / 2."""
        return 0.5 * (self.dim * (self.a - 1) - log_determinant)

    def radius(self) -> Tensor:
        """(rows,) standard deviation in every direction."""
        return self.a.sqrt()

    def turned(self, turn: Callable[[Tensor], Tensor]) -> Spheres:
        """Itself: a sphere is one in any axes."""
        return self
