"""The Gaussians against torch.distributions, and at the edges of float32."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import MultivariateNormal, kl_divergence

from pellucid.methods.gaussian import Ellipsoids, Spheres, covariance, gaussian_kl, log_det, sample

DIMENSIONS = [1, 2, 3, 5]
EXTREMES = [1e-6, 1.0, 1e6]


def parameters(dim, points=40, seed=0, grad=False):
    random = torch.Generator().manual_seed(seed)
    u = torch.randn(points, dim, dim, generator=random, dtype=torch.float64)
    a = torch.randn(2, points, generator=random, dtype=torch.float64).exp()
    return tuple(v.requires_grad_(grad) for v in (u, a[0].clone(), a[1].clone()))


def normals(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def shape_of(kind, dim, points=200):
    random = torch.Generator().manual_seed(1)
    column = torch.randn(points, dim, 1, generator=random)
    full = torch.randn(points, dim, dim, generator=random)
    return {"full": full, "rank one": column @ full[:, :1], "zero": torch.zeros_like(full),
            "nearly rank one": column @ full[:, :1] + 1e-4 * full}[kind]


def exact_log_det(u, a1, a2):
    """sum log(a1 s^2 + a2) over the singular values s of U, in float64."""
    s = torch.linalg.svdvals(u.double())
    return (a1.double()[:, None] * s.square() + a2.double()[:, None]).log().sum(1)


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_covariance_and_log_det_against_pytorch(dim):
    u, a1, a2 = parameters(dim)
    sigma = covariance(u, a1, a2)
    for i in range(len(u)):
        expected = float(a1[i]) * u[i] @ u[i].t() + float(a2[i]) * torch.eye(dim, dtype=torch.float64)
        torch.testing.assert_close(sigma[i], expected)
    assert torch.equal(sigma, sigma.transpose(1, 2))
    assert bool((torch.linalg.eigvalsh(sigma) >= a2[:, None] * (1 - 1e-9)).all())
    entropy = MultivariateNormal(torch.zeros(dim, dtype=torch.float64), sigma).entropy()
    torch.testing.assert_close(log_det(u, a1, a2), 2 * entropy - dim * (1 + math.log(2 * math.pi)))
    torch.testing.assert_close(log_det(u, a1, a2), exact_log_det(u, a1, a2))


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_kl_against_pytorch(dim):
    u, a1, a2 = parameters(dim)
    zero, eye = torch.zeros(dim, dtype=torch.float64), torch.eye(dim, dtype=torch.float64)
    expected = kl_divergence(MultivariateNormal(zero, covariance(u, a1, a2)), MultivariateNormal(zero, eye))
    kl = gaussian_kl(u, a1, a2)
    torch.testing.assert_close(kl, expected)
    assert bool((kl > 0).all())
    torch.testing.assert_close(gaussian_kl(u, a1, a2, log_det(u, a1, a2)), kl)
    nothing = gaussian_kl(torch.zeros_like(u), a1, torch.ones_like(a2))
    torch.testing.assert_close(nothing, torch.zeros_like(a1))


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_gradients(dim):
    values = parameters(dim, points=3, grad=True)
    assert gradcheck(log_det, values)
    assert gradcheck(gaussian_kl, values)
    assert gradcheck(covariance, values)
    assert gradcheck(lambda *v: sample(*v, normals(2, 3, dim, seed=3)), values)


@pytest.mark.parametrize("a2", EXTREMES)
@pytest.mark.parametrize("a1", EXTREMES)
@pytest.mark.parametrize("kind", ["full", "rank one", "nearly rank one", "zero"])
@pytest.mark.parametrize("dim", DIMENSIONS)
def test_float32_at_the_clamps(dim, kind, a1, a2):
    u = shape_of(kind, dim).requires_grad_()
    a1, a2 = (torch.full((len(u),), a).requires_grad_() for a in (a1, a2))
    got = log_det(u, a1, a2)
    exact = exact_log_det(u, a1, a2)
    # above 1e11 the singular values of [sqrt(a1) U^T; sqrt(a2) I] lie further apart than float32 can tell
    ratio = float((a1 / a2).detach().max())
    error = (got.detach().double() - exact.detach()).abs()
    assert float(error.mean()) < (0.2 if ratio > 1e11 else 1e-4)
    kl = gaussian_kl(u, a1, a2)
    expected = 0.5 * (a1.double() * u.double().square().sum((1, 2)) + dim * a2.double() - dim - exact)
    torch.testing.assert_close(kl.double().detach(), expected.detach(), rtol=1e-4, atol=0.5 if ratio > 1e11 else 1e-3)
    (kl.sum() + got.sum() + sample(u, a1, a2, normals(2, len(u), dim, dtype=torch.float32)).sum()).backward()
    assert all(bool(v.grad.isfinite().all()) for v in (u, a1, a2))


def test_float32_log_det_is_better_than_a_determinant_of_sigma():
    u = shape_of("rank one", 3)
    a1, a2 = torch.full((200,), 1e4), torch.full((200,), 1e-4)
    exact = exact_log_det(u, a1, a2)
    ours = (log_det(u, a1, a2).double() - exact).abs()
    naive = (torch.linalg.slogdet(covariance(u, a1, a2))[1].double() - exact).abs()
    assert float(ours.max()) < 0.01
    assert not float(naive.max()) < 0.1


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_samples_have_the_covariance(dim):
    u, a1, a2 = parameters(dim, points=1)
    n = 200_000
    eps = sample(u.expand(n, -1, -1), a1.expand(n), a2.expand(n), normals(2, n, dim, seed=5))
    sigma = covariance(u, a1, a2)[0]
    scale = sigma.diagonal().sqrt()
    assert float((eps.mean(0) / scale).abs().max()) < 4.5 / math.sqrt(n)
    empirical = eps.t() @ eps / n
    # the standard error of an entry is at most sqrt(2 S_ii S_jj / n)
    assert float(((empirical - sigma) / (scale[:, None] * scale)).abs().max()) < 4.5 * math.sqrt(2 / n)


def test_samples_of_different_points_are_independent_and_follow_the_normals():
    u, a1, a2 = parameters(2, points=1)
    n = 50_000
    wide = [v.expand(n, *v.shape[1:]) for v in (u, a1, a2)]
    first = sample(*wide, normals(2, n, 2, seed=1))
    assert torch.equal(first, sample(*wide, normals(2, n, 2, seed=1)))
    assert not torch.equal(first, sample(*wide, normals(2, n, 2, seed=2)))
    neighbours = (first[:-1] * first[1:]).mean(0) / first.square().mean(0)
    assert float(neighbours.abs().max()) < 4.5 / math.sqrt(n)
    torch.manual_seed(7)
    again = sample(*wide)
    torch.manual_seed(7)
    assert torch.equal(again, sample(*wide))


# -- spheres ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dim", DIMENSIONS)
def test_spheres_against_pytorch(dim):
    a = parameters(dim)[1]
    spheres, zero, eye = Spheres(a, dim), torch.zeros(dim, dtype=torch.float64), torch.eye(dim, dtype=torch.float64)
    normal = MultivariateNormal(zero, a[:, None, None] * eye)
    torch.testing.assert_close(spheres.log_det(), 2 * normal.entropy() - dim * (1 + math.log(2 * math.pi)))
    kl = spheres.kl(spheres.log_det())
    torch.testing.assert_close(kl, kl_divergence(normal, MultivariateNormal(zero, eye)))
    torch.testing.assert_close(spheres.radius(), normal.stddev[:, 0])
    assert bool((kl >= 0).all())
    one = Spheres(torch.ones(3, dtype=torch.float64), dim)
    assert one.kl(one.log_det()).tolist() == [0.0] * 3
    assert spheres.turned(lambda u: u * 7) is spheres


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_spheres_are_ellipsoids_without_a_shape(dim):
    a = parameters(dim)[1]
    spheres, other = Spheres(a, dim), Ellipsoids(torch.zeros(len(a), dim, dim, dtype=torch.float64), a, a)
    torch.testing.assert_close(spheres.log_det(), other.log_det())
    torch.testing.assert_close(spheres.kl(spheres.log_det()), other.kl(other.log_det()))
    torch.testing.assert_close(torch.diag_embed(spheres.radius().square()[:, None].expand(-1, dim)), other.covariance())
    draw = normals(2, len(a), dim)
    torch.testing.assert_close(spheres.sample(draw[1:]), other.sample(draw))


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_samples_of_spheres(dim):
    n = 200_000
    a = torch.tensor([2.5], dtype=torch.float64)
    torch.manual_seed(4)
    eps = Spheres(a.expand(n), dim).sample()
    assert eps.shape == (n, dim)
    assert eps.dtype == torch.float64
    assert float(eps.mean(0).abs().max()) < 4.5 * math.sqrt(2.5 / n)
    off = eps.t() @ eps / n - 2.5 * torch.eye(dim)
    assert float(off.abs().max()) < 4.5 * 2.5 * math.sqrt(2 / n)
    assert gradcheck(lambda a: Spheres(a, dim).sample(normals(1, 3, dim)), (a.expand(3).clone().requires_grad_(),))
    assert gradcheck(lambda a: Spheres(a, dim).kl(Spheres(a, dim).log_det()), (a.clone().requires_grad_(),))


@pytest.mark.parametrize("a", EXTREMES)
def test_spheres_in_float32_at_the_clamps(a):
    value = torch.full((5,), a).requires_grad_()
    spheres = Spheres(value, 3)
    expected = 0.5 * (3 * (a - 1) - 3 * math.log(a))
    torch.testing.assert_close(spheres.kl(spheres.log_det()), torch.full((5,), expected))
    (spheres.kl(spheres.log_det()).sum() + spheres.sample().sum() + spheres.radius().sum()).backward()
    assert bool(value.grad.isfinite().all())


def test_turning_an_ellipsoid_turns_its_covariance_alone():
    u, a1, a2 = parameters(3)
    turn = torch.linalg.qr(normals(3, 3))[0]
    one = Ellipsoids(u, a1, a2)
    turned = one.turned(lambda u: turn @ u)
    torch.testing.assert_close(turned.covariance(), turn @ one.covariance() @ turn.t())
    torch.testing.assert_close(turned.log_det(), one.log_det())
    torch.testing.assert_close(turned.kl(turned.log_det()), one.kl(one.log_det()))
