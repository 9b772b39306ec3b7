"""The peer: the same models written the usual way, on PyTorch Geometric alone.

Same functions and same parameters as pellucid's backbones with ERM, LRI-Bernoulli and LRI-Gaussian; a test copies
weights over and compares logits, losses and gradients in float64. What differs is how they are computed, which follows
the habits of the LRI paper's public release: ``MessagePassing`` with a linear layer on each edge's concatenated
features, scatter aggregation, ``Data`` objects collated by ``DataLoader``, PyTorch's own dropout and batch norm, and
three passes of the encoder a training step:

1. the interpreter, on the clean cloud;
2. the classifier f, on the perturbed cloud: the only one in the loss besides the interpreter's;
3. f again on the clean cloud, with gradients recorded (no ``no_grad``) but never used: its logits are only logged.
   ``clean_pass=False`` leaves it out, to see what it costs; evaluation never makes it here (the release does).

Kind to the peer: neighbourhoods of perturbed points come from pellucid's own batched kNN, the networks are pellucid's
(the release's messages are wider, DGCNN's ``form: release`` aside), and none of the release's logging of metrics in
each batch is done.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import MessagePassing, global_add_pool
from torch_geometric.utils import softmax

from pellucid.backbones import dgcnn, egnn, point_transformer
from pellucid.backbones.base import Backbone
from pellucid.backbones.edges import Geometry
from pellucid.clouds import PointClouds
from pellucid.methods import Method
from pellucid.methods.erm import ERM
from pellucid.methods.lri import LRI
from pellucid.methods.lri_bernoulli import LRIBernoulli
from pellucid.methods.lri_gaussian import LRIGaussian
from pellucid.neighbors import Neighbors


def to_data(clouds: PointClouds, neighbors: Neighbors) -> list[Data]:
    """One ``Data`` a cloud, with the edges of the unperturbed graph computed beforehand."""
    edges = neighbors.edge_index()
    counts = clouds.ptr.new_zeros(len(clouds)).index_add_(0, clouds.batch[edges[1]], torch.ones_like(edges[1]))
    data = []
    for i, edge_index in enumerate(edges.split(counts.tolist(), 1)):
        a, b = int(clouds.ptr[i]), int(clouds.ptr[i + 1])
        # copies: views would keep the flat tensors alive
        fields = {"x": clouds["categories"][a:b], "pos": clouds.pos[a:b], "y": clouds["y"][i : i + 1]}
        data.append(Data(**{name: value.clone() for name, value in fields.items()},
                         edge_index=(edge_index - a).contiguous()))
    return data


def plain(ours: nn.Sequential) -> nn.Sequential:
    """A fresh MLP of the same widths, out of PyTorch's own modules."""
    layers: list[nn.Module] = []
    for module in ours:
        if isinstance(module, nn.Linear):
            layers.append(nn.Linear(module.in_features, module.out_features))
        elif hasattr(module, "running_mean"):
            layers.append(nn.BatchNorm1d(len(module.weight)))
        else:
            layers.append(nn.Dropout(module.p) if hasattr(module, "p") else nn.ReLU())
    return nn.Sequential(*layers)


def edge_geometry(pos: Tensor, edge_index: Tensor) -> Geometry:
    """r_j - r_i, its length and its direction; one row an edge."""
    source, target = edge_index
    offset = pos[source] - pos[target]
    distance = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
    return Geometry(offset, distance, offset / torch.where(distance > 0, distance, 1))


class EdgeConv(MessagePassing):
    def __init__(self, ours: nn.Module) -> None:
        super().__init__(aggr="mean")
        hidden, self.p = ours.message.out_features, ours.p
        self.edge_nn = nn.Linear(2 * hidden + ours.edge.in_features, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.node_nn = plain(ours.update)

    def forward(self, x: Tensor, edge_index: Tensor, where: Geometry, weight: Tensor | None) -> Tensor:
        return x + self.node_nn(self.propagate(edge_index, x=x, edge_attr=where.embedding, weight=weight))

    def message(self, x_i: Tensor, x_j: Tensor, edge_attr: Tensor, weight: Tensor | None) -> Tensor:
        message = self.norm(self.edge_nn(torch.cat([x_i, x_j - x_i, edge_attr], -1))).relu()
        message = F.dropout(message, self.p, self.training)
        return message if weight is None else message * weight


class ReleaseConv(MessagePassing):
    """DGCNN's layer in the authors' release: the whole MLP once an edge."""

    def __init__(self, ours: nn.Module) -> None:
        super().__init__(aggr="mean")
        hidden = ours.post.out_features
        self.edge_nn = nn.Linear(ours.message.in_features, 2 * hidden)
        self.inner = nn.BatchNorm1d(2 * hidden)
        self.out = nn.Linear(2 * hidden, hidden)
        self.post = nn.Linear(hidden, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.drop = nn.Dropout(ours.drop.p)

    def forward(self, x: Tensor, edge_index: Tensor, where: Geometry, weight: Tensor | None) -> Tensor:
        mean = self.propagate(edge_index, x=x, edge_attr=where.embedding, weight=weight)
        return self.drop(x + self.norm(self.post(mean)).relu())

    def message(self, x_i: Tensor, x_j: Tensor, edge_attr: Tensor, weight: Tensor | None) -> Tensor:
        message = self.out(self.inner(self.edge_nn(torch.cat([x_i, x_j - x_i, edge_attr], -1))).relu())
        return message if weight is None else message * weight


class EquivariantConv(MessagePassing):
    def __init__(self, ours: nn.Module) -> None:
        super().__init__(aggr="add")
        hidden, self.p = ours.message.out_features, ours.p
        self.edge_nn = nn.Linear(2 * hidden + ours.edge.in_features, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.out = nn.Linear(hidden, hidden)
        self.node_nn = plain(ours.update)

    def forward(self, x: Tensor, edge_index: Tensor, where: Geometry, weight: Tensor | None) -> Tensor:
        total = self.propagate(edge_index, x=x, edge_attr=where.embedding, weight=weight)
        return x + self.node_nn(torch.cat([x, total], -1))

    def message(self, x_i: Tensor, x_j: Tensor, edge_attr: Tensor, weight: Tensor | None) -> Tensor:
        message = self.norm(self.edge_nn(torch.cat([x_i, x_j, edge_attr], -1))).relu()
        message = self.out(F.dropout(message, self.p, self.training))
        return message if weight is None else message * weight


class VectorAttention(MessagePassing):
    """Query, key and value are linear layers of points, as in PyG's PointTransformerConv and in the release."""

    def __init__(self, ours: nn.Module) -> None:
        super().__init__(aggr="add")
        hidden, dim = ours.query.out_features, ours.position_value.in_features
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.value = nn.Linear(hidden, hidden, bias=False)
        self.position_logit = nn.Linear(dim, hidden, bias=False)
        self.position_value = nn.Linear(dim, hidden)
        self.edge_value = nn.Linear(ours.edge_value.in_features, hidden, bias=False)
        self.norm = nn.BatchNorm1d(hidden)
        self.node_nn = plain(ours.update)
        self.p = ours.drop.p

    def forward(self, x: Tensor, edge_index: Tensor, where: Geometry, weight: Tensor | None) -> Tensor:
        out = self.propagate(edge_index, query=self.query(x), key=self.key(x), value=self.value(x),
                             offset=where.offset, edge_attr=where.embedding, weight=weight)
        return x + self.node_nn(out)

    def message(self, query_i: Tensor, key_j: Tensor, value_j: Tensor, offset: Tensor, edge_attr: Tensor,
                weight: Tensor | None, index: Tensor, size_i: int | None) -> Tensor:
        logit = self.norm(query_i - key_j + self.position_logit(-offset)).relu()
        attention = softmax(F.dropout(logit, self.p, self.training), index, num_nodes=size_i)
        message = attention * (value_j + self.position_value(-offset) + self.edge_value(edge_attr))
        return message if weight is None else message * weight


CONVS: dict[type, type[MessagePassing]] = {dgcnn.EdgeConv: EdgeConv, dgcnn.ReleaseEdgeConv: ReleaseConv,
                                           egnn.EquivariantConv: EquivariantConv,
                                           point_transformer.VectorAttention: VectorAttention}
"""Of each layer of pellucid's."""


class Encoder(nn.Module):
    def __init__(self, ours: Backbone) -> None:
        super().__init__()
        self.length_scale = ours.length_scale
        self.embeddings = nn.ModuleList(nn.Embedding(table.num_embeddings, ours.hidden) for table in ours.embeddings)
        self.edges = copy.deepcopy(ours.edges)  # sees each edge on its own: there is no other way to write it
        self.layers = nn.ModuleList(CONVS[type(layer)](layer) for layer in ours.layers)

    def forward(self, categories: Tensor, pos: Tensor, edge_index: Tensor, weight: Tensor | None) -> Tensor:
        where = edge_geometry(pos / self.length_scale, edge_index)
        linear = isinstance(self.edges, dgcnn.LinearEdges)  # which pellucid never writes out once an edge
        where = replace(where, embedding=self.edges.maps(where.features) if linear else self.edges(where))
        x = torch.stack([table(categories[:, c]) for c, table in enumerate(self.embeddings)]).sum(0)
        for layer in self.layers:
            x = layer(x, edge_index, where, weight)
        return x


class DistanceWeight(nn.Module):
    def __init__(self, length: float, hidden: int) -> None:
        super().__init__()
        self.length = length
        self.slope, self.threshold, self.fall = (nn.Parameter(torch.zeros(hidden)) for _ in range(3))
        self.top = nn.Parameter(torch.zeros(()))

    def forward(self, pos: Tensor, edge_index: Tensor) -> Tensor:
        """(edges, 1)."""
        distance = edge_geometry(pos, edge_index).distance
        step = F.softplus(distance / self.length * F.softplus(self.slope) - self.threshold)
        return (self.top - (step * F.softplus(self.fall)).sum(-1, keepdim=True)).sigmoid()


@dataclass
class Result:
    logits: Tensor
    penalty: Tensor | None = None
    importance: Tensor | None = None
    covariance: Tensor | None = None
    clean_logits: Tensor | None = None


class Peer(nn.Module):
    """Plain training (ERM), and the base of both LRI methods.

    Args:
        ours: The model to be a peer of; its structure is taken, its weights are not.
        clean_pass: Whether a training step also runs f on the clean cloud.
    """

    def __init__(self, ours: Method, clean_pass: bool) -> None:
        super().__init__()
        self.scale, self.clean_pass = ours.scale, clean_pass
        self.encoder = Encoder(ours.encoder)
        self.classifier = plain(ours.readout.head)
        if isinstance(ours, LRI):
            self.interpreter, self.beta = plain(ours.interpreter), ours.beta

    def classify(self, h: Tensor, data: Batch) -> Tensor:
        return self.classifier(global_add_pool(h, data.batch, data.num_graphs))

    def edge_weight(self, pos: Tensor, edge_index: Tensor) -> Tensor | None:
        return None

    def embed(self, data: Batch) -> Tensor:
        pos = data.pos * self.scale
        return self.encoder(data.x, pos, data.edge_index, self.edge_weight(pos, data.edge_index))

    def clean(self, data: Batch) -> Tensor | None:
        """The third pass, in training only."""
        if not (self.training and self.clean_pass):
            return None
        return self.classify(self.embed(data), data).detach()

    def forward(self, data: Batch, epoch: int = 0) -> Result:
        return Result(self.classify(self.embed(data), data))

    def loss(self, result: Result, y: Tensor) -> Tensor:
        loss = F.binary_cross_entropy_with_logits(result.logits, y)
        return loss if result.penalty is None else loss + result.penalty


class PeerBernoulli(Peer):
    def __init__(self, ours: LRIBernoulli, clean_pass: bool) -> None:
        super().__init__(ours, clean_pass)
        own = ours.existence
        self.alpha, self.decay, self.temperature = own.alpha, own.decay, own.temperature

    def forward(self, data: Batch, epoch: int = 0) -> Result:
        logit = self.interpreter(self.embed(data)).squeeze(-1)
        mask = p = logit.sigmoid()
        if self.training:
            u = torch.rand(logit.shape, dtype=logit.dtype, device=logit.device).clamp(1e-6, 1 - 1e-6)
            mask = ((logit + u.log() - (-u).log1p()) / self.temperature).sigmoid()
        r = max(self.alpha, 0.9 - 0.1 * (epoch // self.decay))
        kl = p * (F.logsigmoid(logit) - torch.tensor(r, dtype=torch.float64).log().item())
        kl = kl + (1 - p) * (F.logsigmoid(-logit) - torch.tensor(1 - r, dtype=torch.float64).log().item())
        source, target = data.edge_index
        weight = (mask[source] * mask[target])[:, None]
        h = self.encoder(data.x, data.pos * self.scale, data.edge_index, weight)
        return Result(self.classify(h, data), self.beta * kl.mean(), p, clean_logits=self.clean(data))


class PeerGaussian(Peer):
    def __init__(self, ours: LRIGaussian, clean_pass: bool) -> None:
        super().__init__(ours, clean_pass)
        self.reconstruct, self.directional = ours.reconstruct, ours.directional
        self.phi = None if ours.phi is None else DistanceWeight(ours.phi.length, len(ours.phi.slope))

    def edge_weight(self, pos: Tensor, edge_index: Tensor) -> Tensor | None:
        return None if self.phi is None else self.phi(pos, edge_index)

    def forward(self, data: Batch, epoch: int = 0) -> Result:
        raw = self.interpreter(self.embed(data))
        dim, eye = data.pos.shape[1], torch.eye(data.pos.shape[1], dtype=raw.dtype, device=raw.device)
        if self.directional:
            a = F.softplus(raw[:, -2:]).clamp(1e-6, 1e6)
            u, a1, a2 = raw[:, :-2].reshape(-1, dim, dim), a[:, 0, None], a[:, 1, None]
            sigma = a1[..., None] * (u @ u.transpose(1, 2)) + a2[..., None] * eye
            s1, s2 = torch.randn(2, len(u), dim, dtype=u.dtype, device=u.device)
            noise = a1.sqrt() * (u @ s1[..., None]).squeeze(-1) + a2.sqrt() * s2
        else:
            a = F.softplus(raw).clamp(1e-6, 1e6)
            sigma, noise = a[..., None] * eye, a.sqrt() * torch.randn(len(a), dim, dtype=a.dtype, device=a.device)
        moved = data.pos * self.scale + noise if self.training else data.pos * self.scale
        clouds = PointClouds(data.ptr, {"pos": data.pos})
        edge_index = self.reconstruct(clouds, moved.detach() / self.scale).edge_index()
        h = self.encoder(data.x, moved, edge_index, self.edge_weight(moved, edge_index))
        log_det = torch.linalg.slogdet(sigma)[1]
        kl = 0.5 * (sigma.diagonal(dim1=1, dim2=2).sum(-1) - dim - log_det)
        return Result(self.classify(h, data), self.beta * kl.mean(), -log_det.detach(),
                      sigma.detach() / self.scale**2 if self.directional else None, self.clean(data))


PEERS: dict[type, type[Peer]] = {ERM: Peer, LRIBernoulli: PeerBernoulli, LRIGaussian: PeerGaussian}


def from_ours(method: Method, *, clean_pass: bool = True) -> Peer:
    """The peer of one of our models, with a copy of its weights.

    Args:
        method: ERM, LRI-Bernoulli or LRI-Gaussian on categories, one binary target, one shared encoder.
        clean_pass: Whether a training step also runs f on the clean cloud, as the release does.

    Raises:
        ValueError: for anything else.
    """
    ours = method.encoder
    if (type(method) not in PEERS or type(ours.layers[0]) not in CONVS or not len(ours.embeddings)
            or ours.features is not None
            or [t.kind for t in method.targets] != ["binary"] or getattr(method, "own_encoder", None) is not None):
        raise ValueError("expected a known method and backbone on categories, a binary target and a shared encoder")
    peer = PEERS[type(method)](method, clean_pass).to(next(method.parameters()))
    peer.load_state_dict(translate(method.state_dict()))
    return peer.train(method.training)


def translate(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our weights (or their gradients) under the peer's names.

    Ours keeps the columns for the edge features apart from the others; here they are one matrix for the concatenation.
    ``message`` and ``update`` are methods of MessagePassing, so the peer calls them ``edge_nn`` and ``node_nn``; what
    its batch norm calls ``num_batches_tracked`` is ``batches`` in ours.
    """
    theirs = {}
    for name, value in ours.items():
        if name.endswith(".edge.weight") or ".second_" in name:  # the release has one set of running statistics
            continue
        edge = ours.get(name.replace(".message.weight", ".edge.weight")) if ".message.weight" in name else None
        name = name.replace(".message.", ".edge_nn.").replace(".update.", ".node_nn.")
        if name.endswith(".batches"):
            name = name.removesuffix("batches") + "num_batches_tracked"
        name = name.replace("readout.head.", "classifier.")
        theirs[name] = value if edge is None else torch.cat([value, edge], 1)
    return theirs
