"""What every post-hoc explainer must do, as assertions."""

from __future__ import annotations

import json
from typing import Any

import torch

from pellucid.backbones import backbones
from pellucid.clouds import PointClouds
from pellucid.explainers.base import Explainer
from pellucid.methods.base import Method, NeighborRule
from pellucid.methods.erm import ERM
from pellucid.targets import Targets
from pellucid.testing.contracts import MIXED, TARGETS, refuses, seeded, untouched
from pellucid.testing.samples import expect, expect_close, expect_described, expect_finite, small_clouds, unsettled

SIZES = (6, 1, 4, 9)


def small_model(targets: Targets, backbone: str = "egnn") -> Method:
    """A plain classifier in eval mode and float64 whose normalisations are not at their initial state."""
    model: Method = seeded(lambda: ERM.make(
        lambda: backbones[backbone](3, (5,), 2, hidden=8, layers=2), targets, rule=NeighborRule("knn", 4)))
    unsettled(model)
    return model.double().eval()


def assert_explainer(cls: type[Explainer], **options: Any) -> None:
    """What every post-hoc explainer must do.

    It says what it is; importance and columns are finite, a number a point, for every kind of target that it supports,
    and other kinds are refused; clouds that are empty or of one point will do; importance of a sample is the same
    alone, in a batch and in another order; the same seed gives the same, without PyTorch's own random numbers; model
    and clouds are unchanged afterwards; provenance is JSON.

    Args:
        cls: The class; it need not be registered.
        **options: Small settings, so that it takes seconds.

    Raises:
        AssertionError: one sentence about the first that fails.
    """
    name = cls.__name__
    expect_described(cls, name, "citation", "check", "importance_name")
    expect(isinstance(cls.needs, frozenset), f"expected a frozenset as {name}.needs, got {type(cls.needs).__name__}")

    def ready(model: Method, target: str | None = None) -> Explainer:
        made = cls(**options)
        if made.trains:
            made.fit(model, small_clouds((5, 3, 7, 4), seed=1), target=target)
        return made

    def explained(model: Method, clouds: PointClouds, target: str | None = None, **how: Any) -> Any:
        return ready(model, target).explain(model, clouds, target=target, **how)

    clouds = small_clouds(SIZES)
    for kind, targets in {**TARGETS, "mixed": MIXED}.items():
        model = small_model(targets)
        if not {t.kind for t in targets} <= set(cls.supports.kinds):
            refuses(lambda model=model: cls(**options).explain(model, clouds),  # type: ignore[misc]
                    f"{kind} targets of {name}")
            continue
        for target in [t.name for t in targets] if kind == "mixed" else [targets.names[-1]]:
            found = explained(model, clouds, target)
            for what, values in {"importance": found.importance, **found.columns}.items():
                expect(values.shape == (clouds.points,) and not values.requires_grad,
                       f"expected {what} of {name} of shape ({clouds.points},) without gradient, got "
                       f"{tuple(values.shape)}")
                expect_finite(values, f"{what} of {name} for {kind} targets")
            if cls.mask:
                low, high = (float(v) for v in found.importance.aminmax())
                expect(0 <= low <= high <= 1, f"expected a mask in [0, 1] of {name}, got {low:g} to {high:g}")
            json.dumps(found.provenance)
    kinds = [kind for kind in TARGETS if kind in cls.supports.kinds]
    model = small_model(TARGETS[kinds[0]])
    for sizes in ((1,), (0, 5, 0), (0, 0)):
        found = explained(model, small_clouds(sizes))
        expect(found.importance.shape == (sum(sizes),), f"expected importance of {sum(sizes)} points of {name} for "
               f"clouds of {sizes}, got {tuple(found.importance.shape)}")
    explainer = ready(model)
    before = {field: clouds[field].clone() for field in clouds.names}
    state = torch.get_rng_state()
    with untouched(model, f"explaining by {name}"):
        whole = explainer.explain(model, clouds, seed=3)
    expect(torch.equal(torch.get_rng_state(), state), f"expected {name} to leave PyTorch's random numbers alone, got "
                                                      "some drawn; draw them from random")
    changed = [field for field, value in before.items() if not torch.equal(value, clouds[field])]
    expect(not changed, f"expected {name} to leave clouds alone, got other {', '.join(changed)}")
    with torch.random.fork_rng([]):
        torch.manual_seed(99)
        again = explainer.explain(model, clouds, seed=3)
    expect_close(again.importance, whole.importance, f"importance of {name} with the same seed", 0.0)
    order = torch.tensor([2, 0, 3, 1])
    turned = explainer.explain(model, clouds.select(order), seed=3)
    parts = [turned.importance[turned.clouds.ptr[i] : turned.clouds.ptr[i + 1]] for i in order.argsort().tolist()]
    expect_close(torch.cat(parts), whole.importance, f"importance of {name} for samples in another order", 1e-7)
    apart = explainer.explain(model, clouds, seed=3, batch_size=1)
    expect_close(apart.importance, whole.importance, f"importance of {name} alone and in a batch", 1e-7)
