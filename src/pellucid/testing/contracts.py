"""What every backbone, method, objective, dataset and metric must do, as assertions."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.backbones import backbones
from pellucid.backbones.base import Backbone, Embedding
from pellucid.clouds import PointClouds
from pellucid.datasets.base import Dataset, option_table_of
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.methods.base import Method, NeighborRule
from pellucid.methods.erm import ERM
from pellucid.neighbors import knn
from pellucid.randomness import CloudRandom
from pellucid.spec import DataSpec
from pellucid.targets import Target, Targets
from pellucid.testing.samples import expect, expect_close, expect_described, expect_finite, small_clouds, unsettled
from pellucid.testing.symmetry import assert_symmetry
from pellucid.training.batches import Batches
from pellucid.training.objectives.base import Objective

EDGE_CASES: Mapping[str, tuple[tuple[int, ...], float]] = {
    "one point": ((1,), 1.0), "points in one place": ((6, 3), 0.0), "fewer points than neighbours": ((3, 2), 1.0),
    "empty clouds": ((0, 4, 0, 1, 0), 1.0), "no points": ((0, 0), 1.0)}
"""What a plug-in must stand: sizes of clouds, and by what their coordinates are multiplied."""
TARGETS: Mapping[str, Targets] = {
    "binary": Targets.of("binary", 2), "multiclass": Targets.of("multiclass", 3),
    "regression": Targets.of("regression", 2, center=5.0, spread=2.0)}
MIXED = Targets((Target("a", "regression", unit="m"), Target("b", "multiclass", classes=("x", "y", "z")), Target("c")))


def refuses(call: Callable[[], object], what: str, kind: type[Exception] = PellucidError) -> None:
    """Raises AssertionError unless a call raises an error of the kind."""
    try:
        call()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__} for {what}, got none")


def seeded(make: Callable[[], Any], seed: int = 0) -> Any:
    """What a function makes with PyTorch's random numbers from a seed, which are put back."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return make()


@contextlib.contextmanager
def untouched(module: nn.Module, what: str) -> Iterator[None]:
    """Raises AssertionError if values, gradients, modes, flags or hooks of a module are other ones afterwards."""

    def state() -> dict[str, Any]:
        hooks = [name for name in vars(nn.Module()) if "hooks" in name]
        return {**{f"the mode of {k}": m.training for k, m in module.named_modules()},
                **{f"requires_grad of {k}": p.requires_grad for k, p in module.named_parameters()},
                **{f"{name} of {k}": len(vars(m)[name]) for k, m in module.named_modules() for name in hooks}}

    def tensors() -> dict[str, Tensor]:
        grads = {f"gradient of {k}": p.grad for k, p in module.named_parameters() if p.grad is not None}
        return {**module.state_dict(), **grads}

    values, before = {k: v.detach().clone() for k, v in tensors().items()}, state()
    yield
    after = tensors()
    for name in values.keys() | after.keys():
        same = name in values and name in after and torch.equal(values[name], after[name])
        expect(same, f"expected {what} to leave the model alone, got another {name}")
    changed = [name for name, value in state().items() if before.get(name) != value]
    expect(not changed, f"expected {what} to leave the model alone, got another {', '.join(changed[:1])}")


# -- backbones ----------------------------------------------------------------------------------------------------
def assert_backbone(cls: type[Backbone], **options: Any) -> None:
    """What every backbone must do.

    It says what it is; embeddings have their shape and dtype; a cloud does not see its batch mates; values, gradients
    and gradients of gradients are finite, also on empty clouds and clouds of one point; weights of one are no weights,
    and a message of weight 0 is none; a pass leaves it alone; the same seed gives the same weights, and its state_dict
    holds all that decides; options that give no numbers are refused; scalars and vectors change under rotation as
    ``directions`` says (:func:`assert_symmetry`).

    Args:
        cls: The class; it need not be registered.
        **options: Its own options.

    Raises:
        AssertionError: one sentence about the first that fails.
    """
    name = cls.__name__
    expect_described(cls, name, "citation")
    expect(set(options) <= cls.option_names(), f"expected keyword arguments {', '.join(options)} of {name}, got only "
                                               f"{', '.join(sorted(cls.option_names())) or 'none'}")

    def make(seed: int = 0, dtype: torch.dtype = torch.float64, **more: Any) -> Backbone:
        given: dict[str, Any] = {"hidden": 8, "layers": 2, "dropout": 0.0, **options, **more}
        made: Backbone = seeded(lambda: cls(3, (5,), 2, **given), seed)
        unsettled(made)
        return made.to(dtype).eval()

    clouds, net = small_clouds(), make()
    table = knn(clouds.pos, clouds.ptr, 4)
    found = net(clouds, table)
    expect(isinstance(found, Embedding), f"expected {name} to give an Embedding, got {type(found).__name__}")
    for dtype in (torch.float32, torch.float64):
        own = make(dtype=dtype)(clouds.to(dtype=dtype), table)
        expect(own.scalars.shape == (clouds.points, net.width) and own.scalars.dtype == dtype,
               f"expected scalars of shape ({clouds.points}, {net.width}) in {dtype} of {name}, got "
               f"{tuple(own.scalars.shape)} in {own.scalars.dtype}")
        expect_close(own.scalars.double(), found.scalars, f"scalars of {name} in {dtype}", 1e-4)
    vectors = None if found.vectors is None else tuple(found.vectors.shape)
    wanted = (clouds.points, net.vector_width, 3) if net.vector_width else None
    expect(vectors == wanted, f"expected vectors of shape {wanted} of {name}, as vector_width says, got {vectors}")
    for i in range(len(clouds)):
        one = clouds.select(torch.tensor([i]))
        rows = slice(int(clouds.ptr[i]), int(clouds.ptr[i + 1]))
        alone = net(one, knn(one.pos, one.ptr, 4))
        expect_close(alone.scalars, found.scalars[rows], f"scalars of {name} alone and in a batch")
        if found.vectors is not None:
            expect_close(alone.vectors, found.vectors[rows], f"vectors of {name} alone and in a batch")
    ones = torch.ones(table.index.shape, dtype=torch.float64)
    expect_close(net(clouds, table, edge_weight=ones).scalars, found.scalars, f"scalars of {name} with edge_weight 1")
    expect_close(net(clouds, table, point_weight=ones[:, 0]).scalars, found.scalars,
                 f"scalars of {name} with point_weight 1")
    none = net(clouds, table, edge_weight=ones * 0).scalars
    moved = net(clouds.replace(pos=clouds.pos * 1.3), table, edge_weight=ones * 0).scalars
    if net.coordinates is None:
        expect_close(moved, none, f"scalars of {name} without messages, whatever the coordinates")
    far = clouds.pos * 1.3
    expect_close(net(clouds, table, pos=far).scalars, net(clouds.replace(pos=far), table).scalars,
                 f"scalars of {name} with pos= and of moved clouds")
    expect_close(net(clouds, table, inputs=net.encode(clouds)).scalars, found.scalars,
                 f"scalars of {name} with inputs=")
    for case, (sizes, spread) in EDGE_CASES.items():
        for training in (False, True):
            _finite_backbone(make().train(training), sizes, spread, f"{name}, {case}, "
                                                                    f"{'training' if training else 'eval'}")
    with untouched(net, f"a pass of {name} in eval mode"):
        net(clouds, table)
    same, other = make(), make(seed=3)
    expect_close(same(clouds, table).scalars, found.scalars, f"scalars of {name} with the same seed", 0.0)
    other.load_state_dict(net.state_dict())
    expect_close(other(clouds, table).scalars, found.scalars, f"scalars of {name} after a round trip by state_dict",
                 0.0)
    for bad in ({"hidden": 0}, {"layers": 0}, {"dropout": 1.0}, {"length_scale": 0.0}):
        refuses(lambda bad=bad: make(**bad), f"{name} with {bad}")  # type: ignore[misc]
    assert_symmetry(net)


def _finite_backbone(net: Backbone, sizes: tuple[int, ...], spread: float, what: str) -> None:
    clouds = small_clouds(sizes)
    clouds = clouds.replace(pos=clouds.pos * spread)
    pos = clouds.pos.clone().requires_grad_()
    with torch.random.fork_rng([]):
        scalars = net(clouds, knn(clouds.pos, clouds.ptr, 4), pos=pos).scalars
    expect_finite(scalars, f"scalars of {what}")
    total = (scalars * torch.arange(1, net.width + 1)).square().sum()
    slope: Tensor | None = None
    if net.sees_coordinates:
        (slope,) = torch.autograd.grad(total, pos, create_graph=True, allow_unused=True)
        expect_finite(slope, f"gradients by coordinates of {what}")
    total.backward(retain_graph=True)
    for name, p in net.named_parameters():
        expect_finite(p.grad, f"gradient of {name} of {what}")
    if slope is not None and slope.requires_grad:  # forces are trained on, and noise is told, by a second derivative
        torch.autograd.backward(slope.square().sum())
        for name, p in net.named_parameters():
            expect_finite(p.grad, f"second gradient of {name} of {what}")


# -- methods ------------------------------------------------------------------------------------------------------
def assert_method(cls: type[Method], **options: Any) -> None:
    """What every method must do.

    It says what it is; logits, penalty and importance have their shapes for each kind of target that it supports, and
    others are refused; in eval mode it draws no numbers, and a cloud does not see its batch mates; noise that is asked
    for is each cloud's own; losses and gradients are finite in training, also with empty clouds and clouds of one
    point; the same seed gives the same; a pass leaves it alone, and its state_dict holds all that decides; unknown
    options are refused; what it says changes under rotation as backbone and method say, with every backbone
    (:func:`assert_symmetry`).

    Args:
        cls: The class; it need not be registered.
        **options: Its own options, flat as in a configuration.

    Raises:
        AssertionError: one sentence about the first that fails.
    """
    name = cls.__name__
    expect_described(cls, name, "citation", "check", "importance_name")

    def make(targets: Targets = TARGETS["binary"], backbone: str = "egnn", seed: int = 0) -> Method:
        def build() -> Method:
            return cls.make(lambda: backbones[backbone](3, (5,), 2, hidden=8, layers=2, dropout=0.0), targets,
                            **{"dropout": 0.0, "rule": NeighborRule("knn", 4), **options})

        made: Method = seeded(build, seed)
        unsettled(made)
        return made.double().eval()

    refuses(lambda: cls.make(lambda: backbones["egnn"](), TARGETS["binary"], nonsense=1),
            f"an unknown option of {name}", UnknownNameError)
    for kind, targets in {**TARGETS, "mixed": MIXED}.items():
        if not {t.kind for t in targets} <= set(cls.supports.kinds):
            refuses(lambda targets=targets: make(targets), f"{kind} targets of {name}")  # type: ignore[misc]
            continue
        for case, (sizes, spread) in {"clouds": ((7, 4, 1, 9), 1.0), **EDGE_CASES}.items():
            _finite_method(make(targets), targets, sizes, spread, f"{name}, {kind} targets, {case}")
    clouds, model = small_clouds(), make()
    table = model.neighbors(clouds)
    state = torch.get_rng_state()
    with torch.no_grad(), untouched(model, f"a pass of {name} in eval mode"):
        found, noisy = model(clouds, table), model(clouds, table, random=CloudRandom(clouds, 1))
    expect(torch.equal(torch.get_rng_state(), state), f"expected {name} to draw no random numbers of PyTorch in eval "
                                                      "mode, got some drawn; draw them from random=")
    for i in range(len(clouds)):
        one = clouds.select(torch.tensor([i]))
        rows = slice(int(clouds.ptr[i]), int(clouds.ptr[i + 1]))
        with torch.no_grad():
            alone = model(one, model.neighbors(one))
            own = model(one, model.neighbors(one), random=CloudRandom(one, 1))
        expect_close(alone.logits[0], found.logits[i], f"logits of {name} alone and in a batch")
        expect_close(own.logits[0], noisy.logits[i], f"logits of {name} with noise, alone and in a batch")
        for quantity in ("importance", "covariance", "radius"):
            if (whole := getattr(found, quantity)) is not None:
                expect_close(getattr(alone, quantity), whole[rows], f"{quantity} of {name} alone and in a batch")
        if model.signed:
            expect_close(model.contributions(one, model.neighbors(one)), model.contributions(clouds, table)[rows],
                         f"contributions of {name} alone and in a batch")
    other = make(seed=3)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        expect_close(make()(clouds, table).logits, found.logits, f"logits of {name} with the same seed", 0.0)
        expect_close(other(clouds, table).logits, found.logits, f"logits of {name} after a round trip by state_dict",
                     0.0)

    def trained() -> Tensor:
        logits: Tensor = model.train()(clouds, table).logits
        return logits.detach()

    expect_close(seeded(trained, 4), seeded(trained, 4), f"logits of {name} in training with the same seed", 0.0)
    refuses(lambda: model.refuse(small_clouds(dim=2)), f"clouds of another dimension than {name} has")
    for backbone in backbones:
        assert_symmetry(make(backbone=backbone))


def _finite_method(model: Method, targets: Targets, sizes: tuple[int, ...], spread: float, what: str) -> None:
    clouds = small_clouds(sizes, targets=targets)
    clouds = clouds.replace(pos=clouds.pos * spread)
    table = model.neighbors(clouds)
    with torch.no_grad():
        output = model(clouds, table)
    expect(output.logits.shape == (len(clouds), targets.outputs), f"expected logits of shape ({len(clouds)}, "
           f"{targets.outputs}) of {what}, got {tuple(output.logits.shape)}")
    expect_finite(output.logits, f"logits of {what}")
    if model.explains:
        importance = model.contributions(clouds, table) if model.signed else output.importance
        shape = None if importance is None else tuple(importance.shape)
        wanted = (clouds.points, targets.outputs) if model.signed else (clouds.points,)
        expect(shape == wanted, f"expected importance of shape {wanted} of {what}, got {shape}")
        expect_finite(importance, f"importance of {what}")
    with torch.random.fork_rng([]):
        output = model.train()(clouds, table, epoch=1)
    loss = targets.loss(output.logits, clouds["y"]) + (0 if output.penalty is None else output.penalty)
    expect(loss.ndim == 0, f"expected a scalar penalty of {what}, got shape {tuple(loss.shape)}")
    expect_finite(loss, f"loss of {what}")
    torch.autograd.backward(loss)
    for name, p in model.named_parameters():
        if p.grad is not None:
            expect_finite(p.grad, f"gradient of {name} of {what}")
    plain = model.eval().plain(clouds, table).logits
    expect(plain.shape == (len(clouds), targets.outputs), f"expected logits of the same shape without noise of {what}")


# -- objectives ---------------------------------------------------------------------------------------------------
def assert_objective(cls: type[Objective], **options: Any) -> None:
    """What every objective must do.

    It says what it is; a step is a finite scalar with finite gradients for the encoder; validation is the same each
    time and whatever the size of the batches, has ``val_score`` and ``val_loss``, draws no numbers of PyTorch and
    leaves the model alone; clouds without ``y`` will do where it needs no targets.

    Args:
        cls: The class; it need not be registered.
        **options: Its own options.

    Raises:
        AssertionError: one sentence about the first that fails.
    """
    name, targets = cls.__name__, MIXED
    expect_described(cls, name, "citation", "check")
    clouds = small_clouds((7, 4, 1, 9, 0, 6), targets=targets if cls.needs_targets else None, dtype=torch.float32)
    spec = DataSpec.of(clouds, targets, category_sizes=(5,))
    model: Method = seeded(lambda: ERM.make(lambda: backbones["egnn"](3, (5,), 2, hidden=8, layers=2), targets))
    unsettled(model)
    objective = seeded(lambda: cls(model, spec, **options))
    table = model.neighbors(clouds)
    with torch.random.fork_rng([]):
        step = objective.train().step(model.train(), clouds, table, joint=True, epoch=0)
    expect(step.loss.ndim == 0, f"expected a scalar loss of {name}, got shape {tuple(step.loss.shape)}")
    expect_finite(step.loss, f"loss of {name}")
    step.loss.backward()
    grads = [p.grad for p in model.encoder.parameters() if p.grad is not None]
    expect(bool(grads), f"expected gradients for the encoder of {name}, got none")
    for grad in grads:
        expect_finite(grad, f"gradients of {name}")
    model.eval()
    objective.eval()
    state = torch.get_rng_state()
    with untouched(model, f"validation by {name}"):
        found = [objective.validate(model, Batches(clouds, table, size), joint=True, epoch=0) for size in (100, 2)]
    expect(torch.equal(torch.get_rng_state(), state), f"expected {name} to validate without random numbers of PyTorch, "
                                                      "got some drawn; use CloudRandom")
    expect({"val_score", "val_loss"} <= set(found[0]), f"expected val_score and val_loss of {name}, got "
                                                       f"{', '.join(found[0])}")
    for key, value in found[0].items():
        expect_close(torch.tensor(found[1][key]).nan_to_num(0), torch.tensor(value).nan_to_num(0),
                     f"{key} of {name} in batches of another size", 1e-4)


# -- datasets -----------------------------------------------------------------------------------------------------
def assert_dataset(cls: type[Dataset], options: Mapping[str, Any] | None = None) -> PointClouds | None:
    """What every dataset must do.

    It says what it is, whom to cite, and what each option means; unknown options are refused. With options it is made,
    in a home folder that is gone afterwards: made again it is the same; points, categories, targets and splits are as
    the recipe says; the provenance is JSON.

    Args:
        cls: The class; it need not be registered.
        options: With which it can be made on this machine in seconds; None checks what it says alone.

    Returns:
        The clouds, where they were made.

    Raises:
        AssertionError: one sentence about the first that fails.
    """
    name = cls.__name__
    expect_described(cls, name, "name", "citation", "licence")
    documented = option_table_of(cls)
    silent = [option for option in cls.defaults if option not in documented]
    expect(not silent, f"expected a line about each option under 'Options:' of {name}, got none about "
                       f"{', '.join(silent)}")
    refuses(lambda: cls().prepare(nonsense=1), f"an unknown option of {name}", UnknownNameError)
    if options is None:
        return None
    with _home():
        first = cls().prepare(**options)
        where = first.path
        clouds = first.clouds.to(torch.device("cpu"))
        where.unlink()
        again = cls().prepare(**options)
        expect(again.path == where, f"expected {name} in the same place each time, got {again.path} and {where}")
        for field in clouds.names:
            expect(torch.equal(clouds[field].nan_to_num(0), again.clouds[field].nan_to_num(0)),
                   f"expected the same {field!r} of {name} made twice, got others; draw by a seed")
        spec = first.recipe.spec(clouds)
        expect(spec == DataSpec.parse(spec.document()), f"expected a spec of {name} that JSON keeps, got another back")
        json.dumps(first.provenance)
    clouds.check_finite()
    if "y" in clouds:
        spec.refuse(clouds)
        spec.targets.loss(torch.zeros(len(clouds["y"]), spec.targets.outputs), clouds["y"],
                          clouds.get("censored"))  # refuses foreign values
    if "pos" in clouds:
        expect(clouds.pos.shape[1] == spec.inputs.dim == cls.dim, f"expected {cls.dim} coordinates of {name}, as dim "
                                                                  f"says, got {clouds.pos.shape[1]}")
        expect(clouds.unit("pos") == cls.unit, f"expected pos of {name} in {cls.unit!r}, as unit says, got "
                                               f"{clouds.unit('pos')!r}")
    for column, size in enumerate(spec.inputs.category_sizes):
        top = int(clouds["categories"][:, column].max())
        expect(top < size, f"expected categories below {size} in column {column} of {name}, got {top}")
    expect("split" in clouds and sorted(set(clouds["split"].tolist())) == [0, 1, 2],
           f"expected training, validation and test samples of {name} in 'split', got others")
    return clouds


@contextlib.contextmanager
def _home() -> Iterator[None]:
    before = os.environ.get("PELLUCID_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PELLUCID_HOME"] = folder
        try:
            yield
        finally:
            del os.environ["PELLUCID_HOME"]
            if before is not None:
                os.environ["PELLUCID_HOME"] = before


# -- metrics ------------------------------------------------------------------------------------------------------
def assert_metric(function: Callable[..., Any]) -> None:
    """What every metric must do.

    It says what it is. One of predictions (``kinds``) gives a number, the same whatever the order of the samples and
    with samples of unknown target, and NaN rather than an error for targets of one value or none.

    Args:
        function: Registered by :func:`pellucid.metrics.base.metric`.

    Raises:
        AssertionError: one sentence about the first that fails.
    """
    name = getattr(function, "__name__", repr(function))
    expect_described(function, name)
    random = np.random.default_rng(0)
    for kind in getattr(function, "kinds", ()):
        classes = 3
        y = random.normal(size=20) if kind == "regression" else random.integers(
            classes if kind == "multiclass" else 2, size=20).astype(float)
        score = random.random((20, classes) if kind == "multiclass" else 20)
        value = float(function(y, score))
        expect(np.isfinite(value), f"expected a number of {name} for {kind} targets, got {value}")
        order = random.permutation(20)
        expect(abs(float(function(y[order], score[order])) - value) < 1e-9, f"expected the same of {name} for {kind} "
               "samples in another order, got another")
        gaps = np.concatenate([y, [np.nan]]), np.concatenate([score, score[:1]])
        expect(abs(float(function(*gaps)) - value) < 1e-9, f"expected {name} to leave out samples of unknown target, "
                                                           "got another number with one")
        for few in (np.zeros(4), np.zeros(0)):
            try:
                float(function(few, score[: len(few)]))
            except Exception as error:
                raise AssertionError(f"expected a number or NaN of {name} for {len(few)} equal {kind} targets, got "
                                     f"{type(error).__name__}: {error}") from error
    if getattr(function, "takes", "") == "explanation":
        known = set(inspect.signature(function).parameters)
        expect({"clouds", "m", "seed"} <= known, f"expected the arguments clouds, m and seed of {name}, got "
                                                 f"{', '.join(known)}")
