"""How what a model says changes when a sample is turned, mirrored, shifted, or its points are put in another order."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.backbones.base import Backbone
from pellucid.clouds import PointClouds
from pellucid.methods.base import Method
from pellucid.neighbors import knn
from pellucid.testing.samples import clouds_like, expect, orthogonal, permuted

Word = Literal["unchanged", "turns", "changes", "absent"]
TRANSFORMS = ("rotation", "reflection", "translation", "permutation")
TOLERANCE = 1e-6
"""Relative deviation, in float64, up to which a quantity counts as unchanged, or as turned."""


@dataclass(frozen=True)
class Change:
    """What a transformation of samples does to a quantity.

    Attributes:
        word: ``"unchanged"`` (for a permutation: each point keeps its value), ``"turns"`` with the sample,
            ``"changes"`` in no simple way, or ``"absent"``.
        deviation: The largest one from what the word says, by the largest value; of what changes, from unchanged; NaN
            of what is absent.
    """

    word: Word
    deviation: float

    def __str__(self) -> str:
        return self.word


Symmetries = dict[str, dict[str, Change]]
"""Quantity -> transformation -> what it does."""


def symmetry(model: Method | Backbone, clouds: PointClouds | None = None) -> Symmetries:
    """What turning, mirroring, shifting and permuting samples does to what a model says of them.

    Args:
        model: A method, or a backbone; it is copied to float64 and eval mode, and stays as it is.
        clouds: Samples; None for small random ones.

    Returns:
        ``scalars``, ``vectors``, and of a method ``logits``, ``importance``, ``covariance`` and ``radius`` (Sigma: how
        far points may move) -> ``rotation``, ``reflection``, ``translation``, ``permutation`` -> what they do.

    Example:
        >>> from pellucid.backbones import backbones
        >>> found = symmetry(backbones["dgcnn"](3, hidden=8, layers=2))
        >>> found["scalars"]["rotation"].word, found["scalars"]["translation"].word, found["vectors"]["rotation"].word
        ('changes', 'unchanged', 'absent')
    """
    model = copy.deepcopy(model).double().eval()
    encoder = model.encoder if isinstance(model, Method) else model
    clouds = clouds_like(encoder) if clouds is None else clouds.to(dtype=torch.float64)
    dim = clouds.pos.shape[1]
    same = torch.arange(clouds.points)
    span = clouds.pos.std() if clouds.points > 1 else clouds.pos.new_ones(())
    shift = span * torch.arange(1, dim + 1, dtype=torch.float64)
    eye = torch.eye(dim, dtype=torch.float64)
    turn, mirror = orthogonal(dim), orthogonal(dim, reflect=True)
    moved = {"rotation": (clouds.rotate(turn), same, turn), "reflection": (clouds.rotate(mirror), same, mirror),
             "translation": (clouds.replace(pos=clouds.pos + shift), same, eye),
             "permutation": (*permuted(clouds), eye)}
    before = said(model, clouds)
    found: Symmetries = {name: {} for name in before}
    for transform, (other, order, matrix) in moved.items():
        after = said(model, other)
        for name, value in before.items():
            whole = name == "logits" and isinstance(model, Method) and model.targets.level == "cloud"
            rows = torch.arange(len(clouds)) if whole else order
            found[name][transform] = _change(name, value, after[name], rows, matrix)
    return found


def said(model: Method | Backbone, clouds: PointClouds) -> dict[str, Tensor | None]:
    """Everything that a model says of clouds; None where it says nothing."""
    with torch.no_grad():
        if not isinstance(model, Method):
            embedding = model(clouds, knn(clouds.pos, clouds.ptr, 4))
            return {"scalars": embedding.scalars, "vectors": embedding.vectors}
        neighbors = model.neighbors(clouds)
        embedding, output = model.encode(clouds, neighbors), model(clouds, neighbors)
        return {"scalars": embedding.scalars, "vectors": embedding.vectors, "logits": output.logits,
                "importance": output.importance, "covariance": output.covariance, "radius": output.radius}


def _change(name: str, before: Tensor | None, after: Tensor | None, rows: Tensor, matrix: Tensor) -> Change:
    if before is None or after is None:
        return Change("absent", float("nan"))
    expected = before[rows]
    size = max(float(before.abs().max()), torch.finfo(before.dtype).tiny) if before.numel() else 1.0

    def off(other: Tensor) -> float:
        return float((after - other).abs().max()) / size if after.numel() else 0.0

    if (kept := off(expected)) <= TOLERANCE:
        return Change("unchanged", kept)
    turned: dict[str, Any] = {"vectors": lambda: expected @ matrix.t(),
                              "covariance": lambda: matrix @ expected @ matrix.t()}
    if name in turned and (with_it := off(turned[name]())) <= TOLERANCE:
        return Change("turns", with_it)
    return Change("changes", kept)


def assert_symmetry(model: Method | Backbone, clouds: PointClouds | None = None) -> Symmetries:
    """Compares :func:`symmetry` with what a backbone (``directions``) and a method (``supports.directions``) claim.

    Returns:
        What was found.

    Raises:
        AssertionError: with the quantity, the transformation, the claim and what was found.
    """
    found, method = symmetry(model, clouds), model if isinstance(model, Method) else None
    encoder = model.encoder if isinstance(model, Method) else model
    name, knows = type(model).__name__, encoder.directions
    placed = encoder.view == "plain" and encoder.coordinates is None  # shifts do not matter then

    def claim(quantity: str, transform: str, *words: Word) -> None:
        got = found[quantity][transform]
        expect(got.word in words, f"expected {quantity} of {name} with directions={knows!r} to be {' or '.join(words)} "
                                  f"under {transform}, got {got.word} (by {got.deviation:.2g})")

    for quantity in found:
        claim(quantity, "permutation", "unchanged", "absent")
        if placed and not (method is not None and method.supports.origin and quantity == "logits"):
            claim(quantity, "translation", "unchanged", "absent")
    for transform in ("rotation", "reflection"):
        claim("scalars", transform, *(("changes",) if knows == "coordinates" else ("unchanged",)))
        if knows != "coordinates" and method is not None:
            for quantity in ("logits", "importance", "radius"):
                claim(quantity, transform, "unchanged", "absent")
    claim("vectors", "rotation", *(("turns",) if encoder.equivariant else ("absent",)))
    if method is None:
        return found
    told = {quantity: found[quantity]["rotation"].word != "absent" for quantity in ("covariance", "radius")}
    if not method.supports.directions:
        expect(not any(told.values()), f"expected no covariance and no radius of {name}, which claims no directions, "
                                       f"got {', '.join(q for q, there in told.items() if there)}")
        return found
    expect(told["covariance"] != told["radius"], f"expected a covariance or a radius of {name}, got {told}")
    if knows == "none":
        claim("covariance", "rotation", "absent")
    elif knows == "coordinates":
        claim("covariance", "rotation", "changes")
    else:
        claim("covariance", "rotation", "turns", "absent")
    return found
