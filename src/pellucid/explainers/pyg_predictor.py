"""A user's own PyTorch Geometric model as a predictor: every explainer works on it, on the graphs' own edges."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from pellucid.clouds import PointClouds
from pellucid.edges import given_edges, places_in_rows
from pellucid.errors import PellucidError
from pellucid.explainers.base import frozen
from pellucid.neighbors import Neighbors
from pellucid.targets import Targets

Returns = Literal["raw", "probs", "log_probs"]
"""What a model returns, as ``torch_geometric.explain.ModelConfig`` names it."""
GIVEN = frozenset({"x", "edge_index", "batch", "batch_size", "edge_weight", "pos"})
"""Arguments of a model that every batch of graphs can fill; others are fields of the graphs."""


class PyGPredictor(nn.Module):
    """A graph-level PyG model that can be explained; nothing is injected into it.

    The model is called as its signature asks: ``x``, ``edge_index``, ``batch``, ``batch_size``, ``edge_weight`` and
    ``pos`` are made from the clouds, any other argument is the field of that name (``edge_attr``, ...). A model
    without ``batch`` sees one graph at a time. The graphs' own edges are used, not nearest neighbours; row v of the
    table of neighbours holds the sources of the edges into v, in the order of ``edge_index``.

    Explainers may change the features, where ``x`` is ``"features"``; coordinates, where the model takes ``pos``;
    messages, where it takes ``edge_weight``; and the last layer, where ``encoder`` and ``head`` are given. The
    existence w_v of a point multiplies its features (Miao et al. 2023, appendix D, first way) and, where the model
    takes ``edge_weight``, a message from u to v by w_u w_v; a point with w_v = 0 is still pooled, with what biases make
    of zeros.

    Args:
        model: Any module; it stays on its device, in its dtype and mode.
        targets: What it predicts; all of one kind.
        x: Field that is passed as ``x``; other names than ``"features"`` (integers) are passed as they are.
        returns: ``"raw"`` logits or values, ``"probs"`` or, for multiclass, ``"log_probs"``.
        call: Function of named arguments in place of ``model.forward``, for models with other names:
            ``call=lambda x, edge_index, batch: model(Data(x=x, edge_index=edge_index), batch)``. Other modules than
            ``model`` that it uses are not put into eval mode.
        encoder: Function of the same arguments that gives the (points, width) last layer.
        head: Function of that layer and ``batch`` that gives what the model returns.

    Raises:
        PellucidError: if an option does not fit the others.

    Example:
        >>> class Sum(nn.Module):
        ...     def forward(self, x, edge_index, batch):
        ...         return x.new_zeros(int(batch.max()) + 1, 1).index_add(0, batch, x)
        >>> clouds = PointClouds(torch.tensor([0, 2]), {"features": torch.tensor([[1.0], [3.0]]),
        ...     "edge_index": torch.tensor([[0, 1]])}, edge_ptr=torch.tensor([0, 1]))
        >>> predictor = PyGPredictor(Sum(), Targets.of("regression"))
        >>> predictor.logits(clouds, predictor.neighbors(clouds)).item()
        4.0
    """

    def __init__(self, model: nn.Module, targets: Targets, *, x: str = "features", returns: Returns = "raw",
                 call: Callable[..., Tensor] | None = None, encoder: Callable[..., Tensor] | None = None,
                 head: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        if returns not in get_args(Returns):
            raise PellucidError(f"expected returns out of {', '.join(get_args(Returns))}, got {returns!r}")
        kinds = {target.kind for target in targets}
        if targets.level != "cloud":
            raise PellucidError("expected targets of graphs, got targets of nodes; only graph-level models are wrapped")
        if len(kinds) > 1 or ("multiclass" in kinds and len(targets) > 1):
            raise PellucidError("expected targets of one kind, or one multi-class target, got several; wrap the model "
                                "once for each")
        kind = targets[0].kind
        if (returns, kind) in (("probs", "regression"), ("log_probs", "regression"), ("log_probs", "binary")):
            raise PellucidError(f"expected raw values of a {kind} target, got {returns}; pass returns='raw'")
        if (encoder is None) != (head is None):
            raise PellucidError("expected an encoder and a head, got one of them; pass both or none")
        self.model, self.targets, self.x, self.returns = model, targets, x, returns
        self._call = call or model  # the module itself, so that the user's hooks run
        self._takes = _parameters(call or model.forward)
        self._encoder, self._head = encoder, head
        self._encoder_takes = _parameters(encoder) if encoder else {}
        if encoder and ("batch" in self._encoder_takes) > ("batch" in self._takes):
            raise PellucidError("expected a model that takes batch, as its encoder does, got one without; add it")

    @property
    def can(self) -> frozenset[str]:
        """Which of :data:`pellucid.explainers.base.Need` it has."""
        inputs = "x" in self._takes and self.x == "features"
        has = {"inputs": inputs, "point_weight": inputs or "edge_weight" in self._takes, "pos": "pos" in self._takes,
               "edge_weight": "edge_weight" in self._takes, "embed": self._encoder is not None}
        return frozenset(name for name, there in has.items() if there)

    def refuse(self, clouds: PointClouds) -> None:
        """Raises PellucidError if the clouds cannot be used; the model is tried on the first one."""
        if clouds.partner is not None:
            raise PellucidError("expected samples of one graph, got two; explain the parts apart")
        if "x" in self._takes and self.x not in clouds:
            got = "an integer x" if self.x == "features" and "x" in clouds else f"no field {self.x!r}"
            raise PellucidError(f"expected real features as x, got {got}; name the field to pass, e.g. x='x': "
                                "explainers that change the inputs then cannot be used")
        for name, parameter in (self._takes | self._encoder_takes).items():
            known = name in clouds or name in GIVEN - {"edge_index", "pos", "edge_weight"}
            if not known and parameter.default is inspect.Parameter.empty and name != "edge_weight":
                raise PellucidError(f"expected graphs with a field {name!r}, which the model takes, got only "
                                    f"{', '.join(clouds.names)}; add it, or pass call=lambda x, edge_index, batch: ...")
        clouds.check_finite()
        if len(clouds):
            device = next((p.device for p in self.model.parameters()), clouds.device)
            self._try(clouds.without_text().select(torch.zeros(1, dtype=torch.int64)).to(device))

    @torch.no_grad()
    def _try(self, one: PointClouds) -> None:
        neighbors = self.neighbors(one)
        with frozen(self):
            try:
                logits = self.logits(one, neighbors)
                again = self.classify(self.embed(one, neighbors), one) if self._encoder is not None else logits
            except PellucidError:
                raise
            except (RuntimeError, TypeError, ValueError, IndexError) as error:
                raise PellucidError(f"expected a model that takes these graphs, got {type(error).__name__} from it: "
                                    f"{str(error).splitlines()[0]}; check its arguments, or pass call=") from error
        if not torch.allclose(again, logits, rtol=1e-3, atol=1e-4):
            raise PellucidError("expected head(encoder(...)) to be the model's output, got another; pass the two parts "
                                "of this model")

    def neighbors(self, clouds: PointClouds) -> Neighbors:
        """The sources of the edges into each point; empty neighbourhoods are fully masked."""
        if "edge_index" not in clouds:
            index = torch.arange(clouds.points, device=clouds.device)[:, None]
            return Neighbors(index, torch.zeros_like(index, dtype=torch.bool))
        return given_edges(clouds, loop=False, undirected=False)

    def inputs(self, clouds: PointClouds) -> Tensor:
        """(points, width) features, in the model's dtype."""
        return self._cast(clouds[self.x])

    def embed(self, clouds: PointClouds, neighbors: Neighbors, *, pos: Tensor | None = None,
              inputs: Tensor | None = None, point_weight: Tensor | None = None,
              edge_weight: Tensor | None = None) -> Tensor:
        """(points, width) of ``encoder``; arguments as for :meth:`logits`."""
        if self._encoder is None:
            raise PellucidError("expected a last layer that can be read, got none; pass encoder= and head=")
        arguments = self._arguments(self._encoder_takes, clouds, pos, inputs, point_weight, edge_weight)
        return torch.cat([self._encoder(**each) for each in arguments])

    def classify(self, h: Tensor, clouds: PointClouds) -> Tensor:
        """(points, width) of the last layer -> (clouds, outputs) logits."""
        if self._head is None:
            raise PellucidError("expected a last layer that can be read, got none; pass encoder= and head=")
        if _ends_empty(clouds):
            h, clouds = _grown(h), _with_node(clouds)
            return self._rows(self._head(h, clouds.batch), len(clouds))[:-1]
        return self._rows(self._head(h, clouds.batch), len(clouds))

    def logits(self, clouds: PointClouds, neighbors: Neighbors, *, pos: Tensor | None = None,
               inputs: Tensor | None = None, point_weight: Tensor | None = None,
               edge_weight: Tensor | None = None) -> Tensor:
        """What the model says, as logits or values.

        Args:
            clouds: The graphs.
            neighbors: Their table, which ``edge_weight`` refers to.
            pos: (points, D) in place of ``clouds.pos``.
            inputs: (points, width) in place of the features.
            point_weight: (points,) existence of each point in [0, 1].
            edge_weight: (points, k) factor of each message, on top of the field ``edge_weight``.

        Returns:
            (clouds, outputs).

        Raises:
            PellucidError: if the model gives anything but a row a graph.
        """
        if "batch" not in self._takes:
            each = self._arguments(self._takes, clouds, pos, inputs, point_weight, edge_weight)
            return torch.cat([self._rows(self._call(**one), 1) for one in each])
        graphs = len(clouds)
        if _ends_empty(clouds):  # PyG's pooling counts graphs by the last node, so that there must be one
            clouds = _with_node(clouds)
            pos, inputs, point_weight, edge_weight = map(_grown, (pos, inputs, point_weight, edge_weight))
        (together,) = self._arguments(self._takes, clouds, pos, inputs, point_weight, edge_weight)
        return self._rows(self._call(**together), len(clouds))[:graphs]

    # -- arguments and results of the model ----------------------------------------------------------------------
    def _cast(self, values: Tensor) -> Tensor:
        if not values.dtype.is_floating_point:
            return values
        return values.to(next((p.dtype for p in self.model.parameters() if p.dtype.is_floating_point), values.dtype))

    def _arguments(self, takes: dict[str, inspect.Parameter], clouds: PointClouds, pos: Tensor | None,
                   inputs: Tensor | None, point_weight: Tensor | None,
                   edge_weight: Tensor | None) -> Iterator[dict[str, Any]]:
        """What the model is called with: once for all graphs, or graph by graph where it does not take ``batch``."""
        clouds = clouds.without_text()
        if "x" in takes:
            inputs = self.inputs(clouds) if inputs is None else inputs
            if point_weight is not None and self.x == "features":
                inputs = inputs * point_weight[:, None]
        if "pos" in takes and "pos" in clouds:
            pos = self._cast(clouds.pos) if pos is None else pos
        weight = self._edge_weight(takes, clouds, point_weight, edge_weight)
        if "batch" in takes:
            yield self._named(takes, clouds, inputs, pos, weight)
            return
        sizes = clouds.sizes.tolist()
        edges = [0] * len(clouds) if clouds.edge_ptr is None else clouds.edge_ptr.diff().tolist()
        for i in range(len(clouds)):
            x, at, factor = (None if values is None else torch.split(values, rows)[i]
                             for values, rows in ((inputs, sizes), (pos, sizes), (weight, edges)))
            yield self._named(takes, clouds.select(torch.tensor([i])), x, at, factor)

    def _edge_weight(self, takes: dict[str, inspect.Parameter], clouds: PointClouds, point_weight: Tensor | None,
                     edge_weight: Tensor | None) -> Tensor | None:
        if "edge_weight" not in takes:
            if edge_weight is not None:
                raise PellucidError("expected a model whose forward takes edge_weight, got one that does not; use an "
                                    "explainer that leaves messages alone")
            return None
        weight = self._cast(clouds["edge_weight"]) if "edge_weight" in clouds else None
        if weight is None and takes["edge_weight"].default is inspect.Parameter.empty:
            weight = self._cast(torch.ones(len(clouds["edge_index"]), device=clouds.device))
        source, target = clouds.edges()
        factors: list[Tensor] = []
        if point_weight is not None:
            factors.append(point_weight[source] * point_weight[target])
        if edge_weight is not None:
            factors.append(edge_weight[target, places_in_rows(target, clouds.points)])
        for factor in factors:
            weight = factor if weight is None else weight * factor.view(-1, *[1] * (weight.ndim - 1))
        return weight

    def _named(self, takes: dict[str, inspect.Parameter], clouds: PointClouds, inputs: Tensor | None,
               pos: Tensor | None, weight: Tensor | None) -> dict[str, Any]:
        given = {"x": inputs, "edge_index": clouds.edges() if "edge_index" in clouds else None, "batch": clouds.batch,
                 "batch_size": len(clouds), "edge_weight": weight, "pos": pos}
        fields = {name: self._cast(clouds[name]) for name in takes if name in clouds and name not in given}
        return {name: value for name, value in (given | fields).items() if name in takes and value is not None}

    def _rows(self, out: Any, graphs: int) -> Tensor:
        outputs = self.targets.outputs
        flat = isinstance(out, Tensor) and out.ndim < 2 and out.numel() == graphs * outputs and 1 in (graphs, outputs)
        logits: Tensor = out.reshape(graphs, outputs) if flat else out
        if not isinstance(logits, Tensor) or logits.shape != (graphs, outputs):
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise PellucidError(f"expected ({graphs}, {outputs}) from the model, a row a graph, got {got}; only "
                                "graph-level predictions are explained: pool the nodes, check the task, or pass call=")
        if self.returns == "probs":
            tiny = torch.finfo(logits.dtype).eps
            logits = logits.clamp(tiny, 1 - tiny)
            logits = logits.logit() if self.targets[0].kind == "binary" else logits.log()
        return logits


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Arguments that can be given by name."""
    return {name: parameter for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)}


def _ends_empty(clouds: PointClouds) -> bool:
    return len(clouds) > 0 and not int(clouds.sizes[-1])


def _grown(values: Tensor | None) -> Any:
    """Values with one more row, of zeros."""
    return None if values is None else torch.cat([values, values.new_zeros(1, *values.shape[1:])])


def _with_node(clouds: PointClouds) -> PointClouds:
    """The clouds and one more, of a single point of zeros without edges."""
    fields = {name: clouds[name] if clouds.declared[name].level == "edge" else _grown(clouds[name])
              for name in clouds.names}
    edge_ptr = None if clouds.edge_ptr is None else torch.cat([clouds.edge_ptr, clouds.edge_ptr[-1:]])
    return PointClouds(torch.cat([clouds.ptr, clouds.ptr[-1:] + 1]), fields, declared=clouds.declared,
                       edge_ptr=edge_ptr)
