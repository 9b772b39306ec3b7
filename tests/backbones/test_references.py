"""Each backbone against a plain version: one edge at a time, whole concatenations, no kernels of ours."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GCNConv, GINConv, GINEConv

from pellucid.backbones import backbones
from pellucid.backbones.dgcnn import LinearEdges
from pellucid.backbones.kernels import Norm
from pellucid.edges import given_edges
from pellucid.errors import PellucidError
from pellucid.neighbors import knn, radius

RULES = {
    "all neighbours there": lambda pos, ptr: knn(pos, ptr, 3),
    "some missing": lambda pos, ptr: knn(pos, ptr, 6, loop=False),
    "some have none": lambda pos, ptr: radius(pos, ptr, 1.5),
}


def plain_norm(norm, values, training):
    """Batch norm by PyTorch on a list of rows, without touching the module's statistics."""
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    return F.batch_norm(values, mean, variance, norm.weight, norm.bias, training, norm.momentum, norm.eps)


def plain_mlp(layers, values, training):
    for layer in layers:
        if isinstance(layer, nn.Linear):
            values = F.linear(values, layer.weight, layer.bias)
        elif isinstance(layer, Norm):
            values = plain_norm(layer, values, training)
        elif isinstance(layer, nn.ReLU):
            values = values.relu()
    return values


class Edges:
    """The real edges one by one: target i, source j, weight, offset r_j - r_i, features of distance and direction."""

    def __init__(self, net, clouds, pos, table, edge_weight, point_weight):
        self.i, self.j, self.weight, self.offset, self.features = [], [], [], [], []
        pos = pos / net.length_scale
        for i in range(len(pos)):
            for place in range(table.k):
                if table.mask is not None and not table.mask[i, place]:
                    continue
                j = int(table.index[i, place])
                weight = torch.ones((), dtype=pos.dtype)
                if edge_weight is not None:
                    weight = weight * edge_weight[i, place]
                if point_weight is not None:
                    weight = weight * point_weight[i] * point_weight[j]
                offset = pos[j] - pos[i]
                apart = bool((offset != 0).any())
                distance = offset.norm(keepdim=True) if apart else torch.zeros(1, dtype=pos.dtype)
                release = isinstance(net.edges, LinearEdges)
                features = [] if net.edges is None or release else [
                    (net.edges.slope * distance + net.edges.bias).relu()]
                if release:
                    first, second = net.edges.maps
                    features.append(second(first(torch.cat([distance, offset / distance if apart else 0 * offset]))))
                elif net.sees_direction:
                    features += [distance, offset / distance if apart else torch.zeros_like(offset)]
                elif net.edges is not None:
                    features.append(distance.square())
                if net.given is not None:
                    row = int(table.edges[i, place])
                    own = net.given.features(clouds["edge_features"][row])
                    for c, given in enumerate(net.given.embeddings):
                        own = own + given.weight[clouds["edge_categories"][row, c]]
                    features.append(own * (row >= 0))
                self.i.append(i)
                self.j.append(j)
                self.weight.append(weight)
                self.offset.append(offset)
                self.features.append(torch.cat(features) if features else None)

    def rows(self, make):
        """make(number of the edge, i, j) for each edge, stacked."""
        return torch.stack([make(e, i, j) for e, (i, j) in enumerate(zip(self.i, self.j, strict=True))])

    def of(self, i):
        return [e for e, target in enumerate(self.i) if target == i]


def dgcnn(layer, h, edges, training):
    linear = edges.rows(lambda e, i, j: layer.message(torch.cat([h[i], h[j] - h[i]])) + layer.edge(edges.features[e]))
    message = plain_norm(layer.norm, linear, training).relu()
    means = []
    for i in range(len(h)):
        mine = edges.of(i)
        total = sum((message[e] * edges.weight[e] for e in mine), torch.zeros_like(h[i]))
        means.append(total / max(len(mine), 1))
    return h + plain_mlp(layer.update, torch.stack(means), training)


def dgcnn_release(layer, h, edges, training):
    """The whole MLP once an edge, and nothing taken out of the mean."""
    linear = edges.rows(lambda e, i, j: layer.message(torch.cat([h[i], h[j] - h[i], edges.features[e]])))
    message = layer.out(plain_norm(layer.inner, linear, training).relu())
    means = torch.stack([sum((message[e] * edges.weight[e] for e in edges.of(i)), torch.zeros_like(h[i]))
                         / max(len(edges.of(i)), 1) for i in range(len(h))])
    return h + plain_norm(layer.norm, layer.post(means), training).relu()


def egnn(layer, h, edges, training):
    linear = edges.rows(lambda e, i, j: layer.message(torch.cat([h[i], h[j]]))
                        + layer.edge(edges.features[e]))
    message = layer.out(plain_norm(layer.norm, linear, training).relu())
    total = torch.stack([sum((message[e] * edges.weight[e] for e in edges.of(i)), torch.zeros_like(h[i]))
                         for i in range(len(h))])
    return h + plain_mlp(layer.update, torch.cat([h, total], 1), training)


def point_transformer(layer, h, edges, training):
    logit = edges.rows(lambda e, i, j: layer.query(h[i]) - layer.key(h[j]) + layer.position_logit(-edges.offset[e]))
    logit = plain_norm(layer.norm, logit, training).relu()
    value = edges.rows(lambda e, i, j: layer.value(h[j]) + layer.position_value(-edges.offset[e])
                       + layer.edge_value(edges.features[e]))
    sums = []
    for i in range(len(h)):
        mine = edges.of(i)
        total = torch.zeros_like(h[i])
        if mine:
            attention = torch.softmax(logit[mine], 0)
            for row, e in enumerate(mine):
                total = total + attention[row] * value[e] * edges.weight[e]
        sums.append(total)
    return h + plain_mlp(layer.update, torch.stack(sums), training)


def gcn(layer, h, edges, training):
    others = [[e for e in edges.of(i) if edges.j[e] != i] for i in range(len(h))]
    degree = [1 + sum(edges.weight[e] for e in mine) for mine in others]
    rows = []
    for i, mine in enumerate(others):
        total = layer.linear(h[i]) / degree[i]
        for e in mine:
            message = layer.linear(h[edges.j[e]])
            if layer.edge is not None:
                message = message + layer.edge(edges.features[e])
            total = total + message * edges.weight[e] / (degree[i] * degree[edges.j[e]]) ** 0.5
        rows.append((total + layer.bias).relu())
    return torch.stack(rows)


def gin(layer, h, edges, training):
    rows = []
    for i in range(len(h)):
        total = (1 + layer.eps) * h[i]
        for e in edges.of(i):
            message = h[edges.j[e]] if layer.edge is None else (h[edges.j[e]] + layer.edge(edges.features[e])).relu()
            total = total + message * edges.weight[e] * (edges.j[e] != i)
        rows.append(total)
    return plain_mlp(layer.update, torch.stack(rows), training)


REFERENCES = {"dgcnn": dgcnn, "dgcnn release": dgcnn_release, "egnn": egnn, "gcn": gcn, "gin": gin,
              "point_transformer": point_transformer}


def reference(name, net, clouds, table, pos, edge_weight, point_weight):
    parts = [F.embedding(clouds["categories"][:, c], e.weight) for c, e in enumerate(net.embeddings)]
    if net.features is not None:
        parts.append(F.linear(clouds["features"], net.features.weight, net.features.bias))
    h = torch.stack(parts).sum(0) if parts else net.constant.repeat(len(pos), 1)
    edges = Edges(net, clouds, pos, table, edge_weight, point_weight)
    for layer in net.layers:
        h = REFERENCES[name](layer, h, edges, net.training)
    return h


ELSEWHERE = {"schnet"}
"""Compared with PyG's own in tests of their own."""
NAMES = [name for name in backbones if name not in ELSEWHERE] + ["dgcnn release"]


def made(encoder, name, *shape, **options):
    """A backbone by its name, or by name and form."""
    name, _, form = name.partition(" ")
    return encoder(name, *shape, **options, **({"form": form} if form else {}))


@pytest.mark.parametrize("weighted", ["nothing weighted", "edges", "points", "both"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_gradients_equal_the_plain_version(name, rule, training, weighted, encoder, random_clouds):
    assert name in REFERENCES, f"write a plain version of {name} above"
    clouds = random_clouds((6, 3, 5), categories=(4, 2), features=2)
    table = RULES[rule](clouds.pos, clouds.ptr)
    net = made(encoder, name, 3, (4, 2), 2, length_scale=1.7).train(training)
    pos = clouds.pos.clone().requires_grad_()
    random = torch.Generator().manual_seed(3)
    edge_weight = torch.rand(table.index.shape, generator=random, dtype=torch.float64).requires_grad_()
    point_weight = torch.rand(clouds.points, generator=random, dtype=torch.float64).requires_grad_()
    edge_weight = edge_weight if weighted in ("edges", "both") else None
    point_weight = point_weight if weighted in ("points", "both") else None

    wanted = reference(name, net, clouds, table, pos, edge_weight, point_weight)  # before statistics move
    got = net(clouds, table, pos=pos, edge_weight=edge_weight, point_weight=point_weight).scalars
    torch.testing.assert_close(got, wanted, atol=1e-10, rtol=1e-10)

    places = pos if net.sees_coordinates else None
    inputs = [v for v in (places, edge_weight, point_weight) if v is not None] + list(net.parameters())
    direction = torch.randn(got.shape, generator=random, dtype=torch.float64)
    gradients = torch.autograd.grad((got * direction).sum(), inputs)
    for mine, plain in zip(gradients, torch.autograd.grad((wanted * direction).sum(), inputs), strict=True):
        torch.testing.assert_close(mine, plain, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_duplicates_and_the_constant_feature_equal_the_plain_version(name, encoder, random_clouds):
    """Without features every point starts the same; offsets of zero have distance and direction zero."""
    clouds = random_clouds((4, 3))
    clouds = clouds.replace(pos=clouds.pos[[0, 1, 0, 2, 3, 3, 3]])
    table = knn(clouds.pos, clouds.ptr, 3)
    net = made(encoder, name)
    wanted = reference(name, net, clouds, table, clouds.pos, None, None)
    torch.testing.assert_close(net(clouds, table).scalars, wanted, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_given_edges_and_their_features_equal_the_plain_version(name, loop, weighted, training, encoder, random_graphs):
    graphs = random_graphs((6, 3, 1, 5))
    table = given_edges(graphs, loop=loop)
    net = made(encoder, name, 3, (), 2, edge_category_sizes=(3,), edge_feature_size=2).train(training)
    random = torch.Generator().manual_seed(3)
    edge_weight = torch.rand(table.index.shape, generator=random, dtype=torch.float64) if weighted else None
    point_weight = torch.rand(graphs.points, generator=random, dtype=torch.float64) if weighted else None
    wanted = reference(name, net, graphs, table, graphs.pos, edge_weight, point_weight)
    got = net(graphs, table, edge_weight=edge_weight, point_weight=point_weight).scalars
    torch.testing.assert_close(got, wanted, atol=1e-10, rtol=1e-10)
    direction, parameters = torch.randn(got.shape, generator=random, dtype=torch.float64), list(net.parameters())
    gradients = torch.autograd.grad((got * direction).sum(), parameters)
    for mine, plain in zip(gradients, torch.autograd.grad((wanted * direction).sum(), parameters), strict=True):
        torch.testing.assert_close(mine, plain, atol=1e-8, rtol=1e-8)


def edges_of(graphs):
    """What PyG's layers take: both directions of every edge, and the row of each."""
    table = given_edges(graphs, loop=False)
    return table.edge_index(), table.edge_rows


def test_gcn_equals_that_of_pyg(encoder, random_graphs):
    graphs = random_graphs((6, 3, 1, 5))
    net = encoder("gcn", 3, (), 2)
    edge_index, _ = edges_of(graphs)
    h = net.encode(graphs)
    for layer in net.layers:
        conv = GCNConv(8, 8).double()
        conv.lin.weight, conv.bias = layer.linear.weight, layer.bias
        h = conv(h, edge_index).relu()
    for loop in (False, True):
        torch.testing.assert_close(net(graphs, given_edges(graphs, loop=loop)).scalars, h, atol=1e-12, rtol=1e-12)
    weight = torch.rand(given_edges(graphs, loop=False).index.shape, dtype=torch.float64,
                        generator=torch.Generator().manual_seed(1))
    table = given_edges(graphs, loop=False)
    h = net.encode(graphs)
    for layer in net.layers:
        conv = GCNConv(8, 8).double()
        conv.lin.weight, conv.bias = layer.linear.weight, layer.bias
        h = conv(h, edge_index, table.at_edges(weight)).relu()
    torch.testing.assert_close(net(graphs, table, edge_weight=weight).scalars, h, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("featured", [False, True])
def test_gin_equals_that_of_pyg(featured, encoder, random_graphs):
    graphs = random_graphs((6, 3, 1, 5))
    net = encoder("gin", 3, (), 2, edge_feature_size=2 if featured else 0)
    edge_index, rows = edges_of(graphs)
    h = net.encode(graphs)
    for number, layer in enumerate(net.layers):
        with torch.no_grad():
            layer.eps.fill_(0.25 * (number + 1))  # exact in float32 too, as PyG keeps it
        if featured:
            conv = GINEConv(layer.update, eps=layer.eps.item())
            h = conv(h, edge_index, layer.edge(net.given.features(graphs["edge_features"]))[rows])
        else:
            h = GINConv(layer.update, eps=layer.eps.item())(h, edge_index)
    for loop in (False, True):
        torch.testing.assert_close(net(graphs, given_edges(graphs, loop=loop)).scalars, h, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(("form", "count"), [("compact", 71_424), ("release", 150_016)])
def test_the_layers_of_dgcnn_have_as_many_parameters_as_told(form, count):
    """The release's: four of linear 192-128, norm, linear 128-64, linear 64-64, norm."""
    net = backbones["dgcnn"](3, (14,), 0, form=form)
    assert sum(p.numel() for p in net.layers.parameters()) == count


def test_the_release_drops_out_what_goes_on(encoder, random_clouds):
    """In training each entry of the stream is 0 or scaled; within the layers nothing is dropped."""
    clouds = random_clouds((40, 30), categories=(4, 2), features=2)
    net = encoder("dgcnn", 3, (4, 2), 2, form="release", dropout=0.25, layers=1).train()
    table = knn(clouds.pos, clouds.ptr, 5)
    whole = made(encoder, "dgcnn release", 3, (4, 2), 2, layers=1).train()
    whole.load_state_dict(net.state_dict())
    torch.manual_seed(0)
    got, kept = net(clouds, table).scalars, whole(clouds, table).scalars
    dropped = got == 0
    torch.testing.assert_close(got[~dropped], kept[~dropped] / 0.75)
    assert 0.15 < float(dropped.double().mean()) < 0.35


def test_an_unknown_form_is_refused():
    with pytest.raises(PellucidError, match="form to be compact or release"):
        backbones["dgcnn"](3, form="wide")


@pytest.mark.parametrize("name", NAMES)
def test_what_the_last_layer_adds_is_the_difference_it_makes(name, encoder, random_clouds):
    clouds = random_clouds((6, 3, 5), categories=(4, 2), features=2)
    table = knn(clouds.pos, clouds.ptr, 3)
    net = made(encoder, name, 3, (4, 2), 2, read_all=True)
    embedding = net(clouds, table)
    assert net.residual == (name not in ("gcn", "gin"))
    if not net.residual:
        assert embedding.added is None
        return
    before, after = embedding.scalars[:, -16:].chunk(2, 1)
    torch.testing.assert_close(embedding.added, after - before, atol=1e-10, rtol=1e-10)
    assert bool((embedding.added >= 0).all()) == (name in ("dgcnn release", "point_transformer"))


@pytest.mark.parametrize("name", ["gin", "egnn"])
def test_nested_levels_are_read_to_a_depth_in_training_and_wholly_afterwards(name, encoder, random_clouds):
    clouds = random_clouds((6, 3, 5) * 20, categories=(4, 2), features=2)
    table = knn(clouds.pos, clouds.ptr, 3)
    net = made(encoder, name, 3, (4, 2), 2, read_all=True, nested=0.5)
    assert net.levels == len(net.layers) + 2
    whole = net(clouds, table).scalars
    assert torch.equal(whole, net(clouds, table).scalars)
    own, alone = whole.split(net.hidden, 1)[:2]
    torch.testing.assert_close(alone, net.alone(own))  # each point by itself
    torch.manual_seed(0)
    levels = net.train()(clouds, table).scalars.view(clouds.points, net.levels, -1)
    heard = torch.zeros(len(clouds), net.levels).index_add(0, clouds.batch, levels.abs().sum(2).float()) > 0
    assert heard[:, :2].all()
    first = heard[:, 2:].sum(1)
    assert torch.equal(heard[:, 2:], torch.arange(len(net.layers)) < first[:, None])
    share = (first < len(net.layers)).double().mean()
    assert 0.3 < float(share) < 0.7
    assert set(first.tolist()) == set(range(len(net.layers) + 1))


@pytest.mark.parametrize("options", [{"nested": 0.5}, {"nested": 1.5, "read_all": True},
                                     {"nested": -0.1, "read_all": True}])
def test_nested_goes_with_read_all(options):
    with pytest.raises(PellucidError, match="expected nested from 0 to 1"):
        backbones["gin"](0, (4,), **options)
