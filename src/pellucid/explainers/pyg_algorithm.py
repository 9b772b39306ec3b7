"""Our explainers inside ``torch_geometric.explain.Explainer``, on a user's own PyG model.

Example:
    >>> from torch_geometric.explain import Explainer
    >>> from pellucid.explainers.pyg_algorithm import PellucidAlgorithm
    >>> class Sum(torch.nn.Module):
    ...     def forward(self, x, edge_index, batch):
    ...         return x.new_zeros(int(batch.max()) + 1, 1).index_add(0, batch, 2 * x)
    >>> explain = Explainer(Sum(), PellucidAlgorithm("saliency", on="inputs"), explanation_type="model",
    ...     node_mask_type="object", model_config=dict(mode="regression", task_level="graph", return_type="raw"))
    >>> edges = torch.tensor([[0, 1], [1, 0]])
    >>> explain(torch.ones(2, 1), edges, batch=torch.tensor([0, 0])).node_mask.tolist()
    [[2.0], [2.0]]
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.clouds import Field, PointClouds, kind_of, offsets, ragged_arange
from pellucid.errors import PellucidError
from pellucid.explainers.base import Explainer, explainers, frozen
from pellucid.explainers.pyg_adapter import MODES
from pellucid.explainers.pyg_predictor import PyGPredictor
from pellucid.targets import Kind, Targets

_KINDS: dict[str, Kind] = {"binary_classification": "binary", "multiclass_classification": "multiclass",
                           "regression": "regression"}
assert set(_KINDS) == set(MODES.values())


class _Other(PyGPredictor):
    """The same model, asked for class 0 of a binary task."""

    def _rows(self, out: Any, graphs: int) -> Tensor:
        return -super()._rows(out, graphs)


def graphs_of(x: Tensor, edge_index: Tensor, more: dict[str, Any]) -> tuple[PointClouds, dict[str, Any]]:
    """What PyG gives a model, as clouds.

    Args:
        x: (nodes, width), or integers of any shape.
        edge_index: (2, edges) among all nodes.
        more: Further arguments of the model; ``batch`` says which graph a node belongs to.

    Returns:
        The graphs, with ``x`` as ``features`` where it is real, tensors with a row a node, an edge or a graph as
        fields, and edges sorted by graph; and what is no such tensor.

    Raises:
        PellucidError: if nodes are not sorted by graph, or an edge joins two graphs.
    """
    batch = more.get("batch")
    batch = torch.zeros(len(x), dtype=torch.int64, device=x.device) if batch is None else batch
    if bool((batch.diff() < 0).any()):
        raise PellucidError("expected nodes sorted by graph, got a batch that decreases; sort it")
    sizes = torch.bincount(batch, minlength=int(more.get("batch_size") or 1))
    ptr = offsets(sizes)
    graph = batch[edge_index]
    if not torch.equal(graph[0], graph[1]):
        raise PellucidError("expected edges within a graph, got one between two; check edge_index and batch")
    order = torch.argsort(graph[0], stable=True)
    name = "features" if x.dtype.is_floating_point and x.ndim == 2 else "x"
    fields = {name: x.detach(), "edge_index": (edge_index - ptr[graph[0]])[:, order].t()}
    declared = {name: _field("point", x)}
    constants: dict[str, Any] = {}
    for key, value in more.items():
        rows = len(value) if isinstance(value, Tensor) and value.ndim else -1
        if key in ("batch", "batch_size") or value is None:
            continue
        if rows == edge_index.shape[1] and (key.startswith("edge_") or rows != len(x)):
            fields[key], declared[key] = value.detach()[order], _field("edge", value)
        elif rows == len(x):
            fields[key], declared[key] = value.detach(), _field("point", value)
        elif rows == len(sizes):
            fields[key], declared[key] = value.detach(), _field("cloud", value)
        else:
            constants[key] = value
    return PointClouds(ptr, fields, declared=declared, edge_ptr=offsets(torch.bincount(graph[0], minlength=len(sizes)))
                       ), constants


def _field(level: Any, values: Tensor) -> Field:
    return Field(level, kind_of(values), tuple(f"d{i}" for i in range(1, values.ndim)))


def _calling(model: nn.Module, clouds: PointClouds, more: dict[str, Any],
             constants: dict[str, Any]) -> Callable[..., Tensor]:
    """The model as PyG calls it, with the names it is given; and ``batch`` and ``edge_weight`` where it takes them."""
    own = {"batch", "batch_size", "edge_weight"} & inspect.signature(model.forward).parameters.keys()
    given = {key for key in more if key in clouds or key in ("batch", "batch_size")}
    named = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
             for name in sorted(given | own)]

    def call(**values: Any) -> Tensor:
        return model(values.pop("x"), values.pop("edge_index"), **values, **constants)  # type: ignore[no-any-return]

    first = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ("x", "edge_index")]
    call.__signature__ = inspect.Signature(first + named)  # type: ignore[attr-defined]
    return call


@functools.cache
def _algorithm() -> Any:
    """The class, made when it is asked for: importing PyG takes longer than importing torch."""
    from torch_geometric.explain import Explanation
    from torch_geometric.explain.algorithm import ExplainerAlgorithm

    class PellucidAlgorithm(ExplainerAlgorithm):  # type: ignore[misc]
        """One of our explainers as an algorithm of ``torch_geometric.explain``.

        It explains graph-level predictions with a node mask of type ``"object"``, (nodes, 1): the importance, as the
        explainer defines it, of each node for PyG's target of its graph: the logit of the target class, which for
        class 0 of a binary task is minus the logit; the value for regression. Nothing is injected into the model; see
        :class:`pellucid.explainers.pyg_predictor.PyGPredictor` for what explainers may change.

        Args:
            explainer: A name out of :data:`pellucid.explainers`, or an explainer that is ready.
            seed: Decides every random number.
            batch_size: Graphs explained at a time.
            **options: Options of the explainer, where it is given by name.

        Raises:
            PellucidError: for an unknown name, or an explainer that has to be fitted first.
        """

        def __init__(self, explainer: str | Explainer, *, seed: int = 0, batch_size: int = 256, **options: Any) -> None:
            super().__init__()
            if isinstance(explainer, str):
                explainer = explainers[explainer](**options)
                if explainer.trains:
                    raise PellucidError(f"expected an explainer that is ready, got {type(explainer).__name__}, which "
                                        "learns; fit one on a PyGPredictor and pass it")
            elif options:
                raise PellucidError(f"expected no options beside an explainer that is ready, got {', '.join(options)}")
            self.explainer, self.seed, self.batch_size = explainer, seed, batch_size

        def supports(self) -> bool:
            """Refuses settings that cannot be explained, in a sentence, when PyG connects the algorithm."""
            asked, model = self.explainer_config, self.model_config
            if model.task_level.value != "graph":
                raise PellucidError(f"expected a graph-level prediction, got a {model.task_level.value}-level one; "
                                    "explain a model that pools")
            if asked.edge_mask_type is not None or asked.node_mask_type.value != "object":
                raise PellucidError("expected node_mask_type='object' and no edge_mask_type, got others; our "
                                    "explainers give each node one number")
            kind = _KINDS[model.mode.value]
            if kind not in self.explainer.supports.kinds:
                raise PellucidError(f"expected targets out of {', '.join(self.explainer.supports.kinds)} for "
                                    f"{type(self.explainer).__name__}, got {kind}; choose another explainer")
            return True

        def forward(self, model: nn.Module, x: Tensor, edge_index: Tensor, *, target: Tensor,
                    index: int | Tensor | None = None, **kwargs: Any) -> Any:
            """Explains the target of each graph, or of the graphs ``index``; the others get zeros.

            Args:
                model: The user's model.
                x: (nodes, width).
                edge_index: (2, edges).
                target: (graphs,) class, or the values for regression.
                index: Which graphs to explain.
                **kwargs: What else the model takes, e.g. ``batch``.

            Returns:
                ``torch_geometric.explain.Explanation`` with ``node_mask`` (nodes, 1).
            """
            kind = _KINDS[self.model_config.mode.value]
            clouds, constants = graphs_of(x, edge_index, kwargs)
            with frozen(model), torch.no_grad():
                out = model(x, edge_index, **kwargs)
            outputs = out.shape[1] if out.ndim > 1 else 1
            if kind != "multiclass" and outputs != 1:
                raise PellucidError(f"expected one output of a {kind} model, got {outputs}; PyG names graphs, not "
                                    "outputs, so explain a model that returns one of them")
            places = torch.arange(len(clouds), device=x.device)
            places = places if index is None else places[index].view(-1)
            wanted = target.view(-1)[places] if kind != "regression" else torch.ones_like(places)
            mask = torch.zeros(len(x), 1, dtype=out.dtype, device=x.device)
            call = _calling(model, clouds, kwargs, constants)
            for value in sorted(set(wanted.tolist())):
                some = places[wanted == value]
                maker = _Other if kind == "binary" and value == 0 else PyGPredictor
                predictor = maker(model, Targets.of(kind, outputs), call=call,
                                  x="features" if "features" in clouds else "x",
                                  returns=self.model_config.return_type.value)
                done = self.explainer.explain(predictor, clouds.select(some), seed=self.seed,
                                              target=value if kind == "multiclass" else 0, batch_size=self.batch_size)
                rows = ragged_arange(clouds.ptr[some], clouds.sizes[some])
                mask[rows, 0] = done.importance.to(mask)
            return Explanation(node_mask=mask)

    PellucidAlgorithm.__qualname__ = "PellucidAlgorithm"  # where it is found, also by pickle
    return PellucidAlgorithm


def __getattr__(name: str) -> Any:
    if name != "PellucidAlgorithm":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _algorithm()
