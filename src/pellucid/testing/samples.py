"""What the contract tests share: small clouds, moved and permuted, and how a broken contract is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.backbones.base import Backbone
from pellucid.backbones.kernels import Norm
from pellucid.clouds import PointClouds, offsets
from pellucid.targets import Targets


def small_clouds(sizes: Sequence[int] = (7, 4, 1, 9), dim: int = 3, *, categories: Sequence[int] = (5,),
                 features: int = 2, targets: Targets | None = None, dtype: torch.dtype = torch.float64, seed: int = 0
                 ) -> PointClouds:
    """Clouds of normal points, the same for the same arguments.

    Args:
        sizes: Points of each cloud; 0 for an empty one.
        dim: Coordinates; 0 for none.
        categories: Cardinalities of the columns of ``categories``.
        features: Columns of ``features``.
        targets: What ``y`` has, a value missing; None for no ``y``.
        dtype: Of floating-point fields.
        seed: Another one makes other clouds.

    Example:
        >>> small_clouds((2, 3)).points, small_clouds(targets=Targets.of("multiclass", 3))["y"].shape
        (5, torch.Size([4, 1]))
    """
    random, points = torch.Generator().manual_seed(seed), sum(sizes)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64).to(dtype)

    fields: dict[str, Tensor] = {"pos": normal(points, dim)} if dim else {}
    if categories:
        fields["categories"] = torch.stack([torch.randint(c, (points,), generator=random) for c in categories], 1)
    if features:
        fields["features"] = normal(points, features)
    if targets is not None:
        rows = points if targets.level == "point" else len(sizes)
        columns = []
        for target in targets:
            top = target.outputs if target.kind == "multiclass" else 2
            columns.append(normal(rows) if target.kind == "regression" else
                           torch.randint(top, (rows,), generator=random).to(dtype))
        fields["y"] = torch.stack(columns, 1)
        if rows > 1:
            fields["y"][0, 0] = torch.nan
    return PointClouds(offsets(torch.tensor([*sizes], dtype=torch.int64)), fields)


def clouds_like(encoder: Backbone, sizes: Sequence[int] = (7, 4, 1, 9), *, seed: int = 0) -> PointClouds:
    """Small clouds that an encoder takes, in float64."""
    tables = [table for table in encoder.embeddings if isinstance(table, nn.Embedding)]
    features = encoder.features.in_features if encoder.features is not None else 0
    return small_clouds(sizes, encoder.dim, categories=[table.num_embeddings for table in tables], features=features,
                        seed=seed)


def permuted(clouds: PointClouds, seed: int = 1) -> tuple[PointClouds, Tensor]:
    """Clouds with the points of each in another order, and the place that each row had before."""
    random = torch.Generator().manual_seed(seed)
    parts = [torch.randperm(n, generator=random) + start
             for start, n in zip(clouds.ptr.tolist(), clouds.sizes.tolist(), strict=False)]
    order = torch.cat([*parts, torch.zeros(0, dtype=torch.int64)])
    fields: dict[str, Any] = {name: clouds[name][order] for name in clouds.names
                              if clouds.declared[name].level == "point"}
    return clouds.replace(**fields), order


def orthogonal(dim: int, *, reflect: bool = False, seed: int = 5) -> Tensor:
    """(D, D) a rotation, or one with a reflection, in float64."""
    random = torch.Generator().manual_seed(seed)
    matrix: Tensor = torch.linalg.qr(torch.randn(dim, dim, generator=random, dtype=torch.float64))[0]
    if bool(torch.det(matrix) < 0) != reflect:
        matrix[:, 0] = -matrix[:, 0]
    return matrix


def unsettled(module: nn.Module, seed: int = 1) -> None:
    """Gives all norms statistics and weights that are not 0 and 1, so that a mistake in them is seen."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for norm in (m for m in module.modules() if isinstance(m, Norm)):
            for values, low, high in ((norm.running_mean, -0.5, 0.5), (norm.running_var, 0.5, 1.5),
                                      (norm.weight, 0.5, 1.5), (norm.bias, -0.5, 0.5)):
                values.copy_(low + (high - low) * torch.rand(values.shape, generator=random))


def expect(holds: bool, sentence: str) -> None:
    """Raises AssertionError with the sentence unless something holds."""
    if not holds:
        raise AssertionError(sentence)


def expect_close(got: Tensor, expected: Tensor, what: str, tolerance: float = 1e-8) -> None:
    """Raises AssertionError unless two tensors are of one shape and close, relative to the larger of 1 and them."""
    expect(got.shape == expected.shape, f"expected {what} of shape {tuple(expected.shape)}, got {tuple(got.shape)}")
    if got.numel():
        off = float((got - expected).detach().abs().max() / max(1.0, float(expected.detach().abs().max())))
        expect(off <= tolerance, f"expected {what} within {tolerance:g}, got a difference of {off:.2g}")


def expect_finite(values: Tensor | None, what: str) -> None:
    """Raises AssertionError unless a tensor is there and finite."""
    expect(values is not None and bool(values.isfinite().all()), f"expected finite {what}, got NaN, infinity or none")


def expect_described(entry: object, name: str, *attributes: str) -> None:
    """Raises AssertionError unless an entry says what it is: a first line with a full stop, and attributes."""
    first = (entry.__doc__ or "").strip().split("\n")[0]
    expect(first.endswith("."), f"expected a docstring of {name} whose first line ends with a full stop, got {first!r}")
    for attribute in attributes:
        expect(bool(getattr(entry, attribute, "")), f"expected {name}.{attribute} to say something, got nothing")
