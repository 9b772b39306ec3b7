"""Any algorithm of ``torch_geometric.explain`` over our backbones."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.explainers.base import Attribution, Explainer, Predictor, chosen, device_of, explainers, frozen, of_clouds
from pellucid.explainers.gnn_explainer import applies, node_masks
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom
from pellucid.targets import Kind

Masks = Literal["auto", "nodes", "edges", "both"]
MODES = {"binary": "binary_classification", "multiclass": "multiclass_classification", "regression": "regression"}
"""Kind of a task -> ``torch_geometric.explain.config.ModelMode``."""
_TYPES: dict[Masks, list[tuple[str | None, str | None]]] = {
    "auto": [("object", None), ("attributes", None), (None, "object")],
    "nodes": [("object", None), ("attributes", None)],
    "edges": [(None, "object")],
    "both": [("object", "object"), ("attributes", "object")],
}
"""PyG's types of node and edge masks, in the order they are tried."""
_KNOWN_WARNINGS = ("Converting a tensor with requires_grad", "Input Tensor 0 did not already require gradients")
"""What PGExplainer's ``float(loss)`` and Captum warn of whatever they are given."""


@explainers.register("pyg")
class PyGExplainer(Explainer):
    """Any algorithm of torch_geometric.explain, e.g. GNNExplainer or PGExplainer, over our backbones.

    The model is wrapped in a small PyG module: PyG's node masks multiply the input embeddings, and its edge masks pass
    through a message-passing gate that turns them into weights of the messages. The gate is the only place PyG ever
    touches; loops of a point to itself are no edges, and keep their weight of 1. PyG explains the predicted label of a
    binary task, the target class of a multiclass task, and the predicted value for regression.

    Importance of v is its node mask, summed over features where it has any; without a node mask the mean of the edge
    masks of all edges into and out of v (0 where there are none). With both, the latter is the column ``edges``.

    Args:
        algorithm: A name out of ``torch_geometric.explain.algorithm``, or an instance, which is used (connected,
            trained) as it is.
        masks: What is asked of the algorithm: masks of ``"nodes"``, ``"edges"`` or ``"both"``; ``"auto"`` is nodes
            where it has them, else edges.
        whole_batch: Explain all clouds of a batch in one call, as one graph of many parts, instead of one after the
            other. PyG's loss then is a mean over clouds. For masks of nodes that changes little besides their first
            values (a factor that Adam does not see; the penalty is the mean over the points of all clouds), but the
            penalty on edges in GNNExplainer and PGExplainer is a sum and weighs as many times more as there are clouds.
        **options: Options of the algorithm, where it is given by name (``epochs``, ``lr``, ...).

    Raises:
        PellucidError: for an unknown algorithm or option.

    Example:
        >>> PyGExplainer("GNNExplainer", epochs=200, lr=0.05).algorithm.epochs
        200
    """

    needs = frozenset({"inputs"})
    citation = ("Fey and Lenssen, Fast Graph Representation Learning with PyTorch Geometric, 2019; Ying et al., "
                "GNNExplainer, NeurIPS 2019")
    check = "the wrapper with edge masks equals the model with these weights; PyG leaves the model as it was"

    def __init__(self, algorithm: Any = "GNNExplainer", *, masks: Masks = "auto", whole_batch: bool = False,
                 **options: Any) -> None:
        if masks not in get_args(Masks):
            raise PellucidError(f"expected masks out of {', '.join(get_args(Masks))}, got {masks!r}")
        if options and not isinstance(algorithm, str):
            raise PellucidError(f"expected no options beside an algorithm that is ready, got {', '.join(options)}; "
                                "give them to the algorithm")
        self.masks, self.whole_batch = masks, whole_batch
        self._make = functools.partial(_make, algorithm, options)
        with _seeded(0, torch.device("cpu")):
            self.algorithm = self._make()
        name = type(self.algorithm).__name__
        if name in ("AttentionExplainer", "GraphMaskExplainer"):
            raise PellucidError(f"expected an algorithm with masks on nodes or edges, got {name}, which reads the "
                                "inside of PyG's own layers; use it on a model of such layers")
        self.trains = type(self.algorithm).train is not nn.Module.train  # type: ignore[misc]
        self.mask = name in ("GNNExplainer", "PGExplainer")  # type: ignore[misc]
        self._fitted = False

    # -- what is asked of PyG -------------------------------------------------------------------------------------
    def refuse(self, predictor: Predictor, clouds: PointClouds) -> None:
        """See :meth:`Explainer.refuse`; also connects the algorithm to the first target."""
        nodes, edges = self._connect(predictor.targets[0].kind)
        needs = {"inputs": nodes, "edge_weight": edges, "embed": self.trains}
        self.needs = frozenset(name for name, there in needs.items() if there)  # type: ignore[misc]
        what = "node mask" if nodes else "mean of the edge masks"
        self.importance_name = f"{what} of {type(self.algorithm).__name__}"  # type: ignore[misc]
        super().refuse(predictor, clouds)

    def _connect(self, kind: Kind) -> tuple[bool, bool]:
        from torch_geometric.explain.config import ExplainerConfig, ModelConfig

        returns = ("raw",) if kind == "regression" else ("raw", "probs")
        for node_mask, edge_mask in _TYPES[self.masks]:
            for output in returns:
                for explained in ("model", "phenomenon"):  # the target is given in either case
                    config = ExplainerConfig(explained, node_mask, edge_mask)
                    with contextlib.suppress(ValueError), _quiet():
                        self.algorithm.connect(config, ModelConfig(MODES[kind], "graph", output))
                        self._probs = output == "probs"
                        return node_mask is not None, edge_mask is not None
        raise PellucidError(f"expected an algorithm that makes masks of {self.masks} for a {kind} target, got "
                            f"{type(self.algorithm).__name__}, which does not; choose other masks or another algorithm")

    # -- explaining -------------------------------------------------------------------------------------------------
    def fit(self, predictor: Predictor, clouds: PointClouds, *, target: str | int | None = None, seed: int = 0,
            advance: Callable[[int, int], None] | None = None) -> None:
        """Trains an algorithm that has something to learn (PGExplainer): ``epochs`` passes, a cloud a step.

        With ``whole_batch`` a step is all clouds at once. See :meth:`Explainer.fit`.
        """
        if not self.trains:
            return
        device = device_of(predictor)
        asked = predictor.targets.find(target)
        predictor, clouds = of_clouds(predictor, clouds.without_text().to(device))
        with _seeded(seed, device), frozen(predictor), torch.enable_grad():
            self.algorithm = self._make()
            self.refuse(predictor, clouds)
            self._connect(asked.target.kind)
            neighbors = predictor.neighbors(clouds)
            with torch.no_grad():
                logits = predictor.logits(clouds, neighbors)
            self.algorithm.to(device, logits.dtype)
            explained = predictor.targets.explained(asked, logits)
            parts = [part for part in self._parts(predictor, clouds, neighbors, explained) if len(part.edge_index.t())]
            epochs = self.algorithm.epochs
            for epoch in range(epochs):
                for i, part in enumerate(parts):
                    self._told(self.algorithm.train, epoch, part, part.x, part.edge_index, target=part.label)
                    if advance is not None:
                        advance(epoch * len(parts) + i + 1, epochs * len(parts))
        self._fitted = True

    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: Tensor,
                  random: CloudRandom) -> Attribution:
        """One call of PyG's algorithm for each cloud, or for all; see :meth:`Explainer.attribute`.

        GNNExplainer's node masks of all clouds are fitted in one go; each is what PyG gives for the cloud alone.

        Raises:
            PellucidError: if the algorithm was not trained, or refuses the model.
        """
        ready = self._fitted or getattr(self.algorithm, "_curr_epoch", -1) + 1 >= getattr(self.algorithm, "epochs", 1)
        if self.trains and not ready:
            raise PellucidError(f"expected a trained {type(self.algorithm).__name__}, got a new one; call fit with "
                                "training clouds first")
        if len(target):
            self._connect(predictor.targets.owner(int(target[0])).kind)
        seeds = [generator.initial_seed() for generator in random.generators()]
        if not self.whole_batch and len(target) and applies(self.algorithm):
            wrapped = _modules()(predictor, clouds, neighbors, target, self._probs)
            with torch.enable_grad():
                masks = self._told(node_masks, self.algorithm, wrapped, clouds, seeds)
            return Attribution(masks.to(wrapped.x))
        done = [self._attribute(part, seed) for part, seed in
                zip(self._parts(predictor, clouds, neighbors, target), seeds, strict=False)]
        columns = {name: torch.cat([d.columns[name] for d in done]) for name in done[0].columns}
        return Attribution(torch.cat([d.importance for d in done]), columns)

    def _parts(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors,
               target: Tensor) -> Iterator[Any]:
        wrapped = _modules()
        if self.whole_batch:
            yield wrapped(predictor, clouds, neighbors, target, self._probs)
            return
        for i in torch.arange(len(clouds), device=clouds.device)[:, None]:
            own = neighbors.select(clouds.ptr, i, clouds.edge_ptr)
            yield wrapped(predictor, clouds.select(i), own, target[i], self._probs)

    def _attribute(self, part: Any, seed: int) -> Attribution:
        config = self.algorithm.explainer_config
        points, zero = len(part.x), part.x.new_zeros(len(part.x))
        nodes, edges = config.node_mask_type is not None, config.edge_mask_type is not None
        if not points or (edges and not len(part.edge_index.t())):  # nothing to mask
            return Attribution(zero, {"edges": zero} if nodes and edges else {})
        more = {"batch": part.clouds.batch} if self.whole_batch else {}
        with _seeded(seed, part.x.device), torch.enable_grad():
            made = self._told(self.algorithm, part, part.x, part.edge_index, target=part.label, **more)
        node_mask, edge_mask = made.get("node_mask"), made.get("edge_mask")
        if node_mask is None and edge_mask is None:
            raise PellucidError(f"expected a node_mask or an edge_mask from {type(self.algorithm).__name__}, got "
                                f"{', '.join(made.keys()) or 'nothing'}; write the explanation as PyG's do")
        mean = None if edge_mask is None else _mean_of_edges(edge_mask.detach().to(zero), part.edge_index, points)
        if node_mask is None:
            assert mean is not None
            return Attribution(mean)
        importance = node_mask.detach().to(zero).expand(points, -1).sum(1)
        return Attribution(importance, {} if mean is None else {"edges": mean})

    def _told(self, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        try:
            with warnings.catch_warnings():
                for message in _KNOWN_WARNINGS:
                    warnings.filterwarnings("ignore", message)
                return function(*args, **more)
        except PellucidError:
            raise
        except ValueError as error:
            raise PellucidError(f"expected {type(self.algorithm).__name__} to explain the model, got: "
                                f"{str(error).splitlines()[0]}; choose other masks or another algorithm") from error


def _make(algorithm: Any, options: dict[str, Any]) -> Any:
    """An algorithm by name, with options that it knows; an instance as it is."""
    from torch_geometric.explain import algorithm as family

    if not isinstance(algorithm, str):
        if not isinstance(algorithm, family.ExplainerAlgorithm):
            raise PellucidError("expected the name of an algorithm of torch_geometric.explain or an instance, got "
                                f"{type(algorithm).__name__}")
        return algorithm
    known = [name for name in family.classes if name != "ExplainerAlgorithm"]
    if algorithm not in known:
        raise UnknownNameError("PyG algorithm", algorithm, known)
    kind = getattr(family, algorithm)
    weights = getattr(kind, "default_coeffs", None) or getattr(kind, "coeffs", None)
    if weights is not None:  # PyG takes any name for a weight of the loss, and then never reads it
        allowed = {*inspect.signature(kind).parameters, *weights} - {"kwargs"}
        for name in sorted(options.keys() - allowed):
            raise UnknownNameError(f"option of {algorithm}", name, allowed)
    before = dict(weights or {})
    try:
        made = kind(**options)
    except TypeError as error:
        raise PellucidError(f"expected options of {algorithm}, got: {error}") from error
    if "coeffs" in vars(kind):  # PGExplainer writes its options into the class, for every instance to come
        made.coeffs = dict(kind.coeffs)
        kind.coeffs.clear()
        kind.coeffs.update(before)
    return made


@functools.cache
def _modules() -> Callable[..., Any]:
    """The PyG modules, made on first use: importing PyG takes longer than importing torch."""
    from torch_geometric.nn import MessagePassing

    class Gate(MessagePassing):  # type: ignore[misc]
        """Propagates ones and does not sum them: what PyG does to messages comes out, an (edges,) weight."""

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.propagate(edge_index, x=x.new_ones(len(x), 1)).squeeze(-1)  # type: ignore[no-any-return]

        def message(self, x_j: Tensor) -> Tensor:
            return x_j

        def aggregate(self, inputs: Tensor) -> Tensor:
            return inputs

    class Last(MessagePassing):  # type: ignore[misc]
        """Passes the last layer on, where PyG's ``get_embeddings`` reads it."""

        def __init__(self) -> None:
            super().__init__()
            self.explain = False

        def forward(self, h: Tensor) -> Tensor:
            return h

    class Wrapped(nn.Module):
        """A predictor at some clouds, as PyG calls a model: ``forward(x, edge_index, batch)``."""

        def __init__(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: Tensor,
                     probs: bool) -> None:
            super().__init__()
            self._held = (predictor,)  # in a tuple it is no submodule, so that PyG never walks into the model
            self.clouds, self.neighbors, self.target, self.probs = clouds, neighbors, target, probs
            self.gate, self.last = Gate(), Last()
            index = neighbors.index
            own = torch.arange(len(index), device=index.device)[:, None]
            self.places = (index != own).flatten().nonzero().squeeze(1)  # masked places hold the point itself, too
            self.edge_index = torch.stack([index.flatten()[self.places], self.places // neighbors.k])
            with torch.no_grad():
                self.x = predictor.inputs(clouds) if "inputs" in predictor.can else clouds.ptr.new_ones(
                    clouds.points, 1, dtype=torch.get_default_dtype())
                logits = predictor.logits(clouds, neighbors)
            owner, one = predictor.targets.owner(int(target[0])), chosen(logits, target)
            start = predictor.targets.starts[predictor.targets.each.index(owner)]
            self.kind, self.own = owner.kind, slice(start, start + owner.outputs)
            self.label = (target - start if owner.kind == "multiclass" else one[:, None] if owner.kind == "regression"
                          else (one > 0).long())

        def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
            (predictor,) = self._held
            same = edge_index is self.edge_index or torch.equal(edge_index, self.edge_index)
            weight = None
            if self.gate.explain or not same:
                at = self.places if same else self._places_of(edge_index)
                weight = x.new_ones(self.neighbors.index.numel()).index_fill(0, self.places, 0)
                weight = weight.index_copy(0, at, self.gate(x, edge_index).to(x.dtype)).view_as(self.neighbors.index)
            inputs = x if "inputs" in predictor.can else None
            if "embed" in predictor.can:
                h = predictor.embed(self.clouds, self.neighbors, inputs=inputs, edge_weight=weight)
                logits = predictor.classify(self.last(h), self.clouds)
            else:
                logits = predictor.logits(self.clouds, self.neighbors, inputs=inputs, edge_weight=weight)
            if self.kind == "multiclass":
                own = logits[:, self.own]
                return own.softmax(1) if self.probs else own
            logits = chosen(logits, self.target)[:, None]
            return logits.sigmoid() if self.probs else logits

        def _places_of(self, edge_index: Tensor) -> Tensor:
            """Places of some of the edges, for algorithms that leave edges out."""
            ours, theirs = (ends[0] * len(self.neighbors.index) + ends[1] for ends in (self.edge_index, edge_index))
            order = torch.argsort(ours)
            at = torch.searchsorted(ours[order], theirs).clamp(max=max(len(ours) - 1, 0))
            if len(theirs) and not (len(ours) and torch.equal(ours[order][at], theirs)):
                raise PellucidError("expected some of the edges the model was given, got others; use an algorithm that "
                                    "only weights or removes edges")
            return self.places[order[at]]

    return Wrapped


def _mean_of_edges(mask: Tensor, edge_index: Tensor, points: int) -> Tensor:
    """(edges,) -> (points,) mean over the edges into and out of each point; 0 where there are none."""
    ends = edge_index.flatten()
    count = torch.bincount(ends, minlength=points).clamp(min=1)
    return mask.new_zeros(points).index_add(0, ends, mask.repeat(2)) / count


@contextlib.contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """PyG draws from PyTorch's own generator, which is put back afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """PyG logs what an algorithm does not support, which is only being tried here."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
