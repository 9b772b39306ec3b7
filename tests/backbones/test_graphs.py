"""Graphs through every backbone: given edges, their features, and no coordinates."""

import pytest
import torch

from pellucid.backbones import backbones
from pellucid.edges import given_edges
from pellucid.errors import PellucidError
from pellucid.neighbors import knn

NAMES = list(backbones)
PLACELESS = [name for name in NAMES if not backbones[name].needs_coordinates]


def close(a, b):
    torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def featured(encoder, name, dim=3, **options):
    return encoder(name, dim, (), 2, edge_category_sizes=(3,), edge_feature_size=2, **options)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_permuted_points_and_edges_give_permuted_embeddings(name, training, encoder, random_graphs):
    graphs = random_graphs()
    random = torch.Generator().manual_seed(1)
    order = torch.cat([torch.randperm(n, generator=random) + start
                       for start, n in zip(graphs.ptr.tolist(), graphs.sizes.tolist(), strict=False)])
    edges = torch.cat([torch.randperm(n, generator=random) + start
                       for start, n in zip(graphs.edge_ptr.tolist(), graphs.edge_ptr.diff().tolist(), strict=False)])
    new = torch.argsort(order)  # what was row v is row new[v]
    ends = new[graphs.edges()[:, edges]].t() - graphs.ptr[graphs.edge_batch][:, None]
    shuffled = graphs.replace(**{key: graphs[key][order] for key in ("pos", "features")},
                              **{key: graphs[key][edges] for key in ("edge_categories", "edge_features")},
                              edge_index=ends)
    net = featured(encoder, name).train(training)
    close(net(shuffled, given_edges(shuffled)).scalars, net(graphs, given_edges(graphs)).scalars[order])


@pytest.mark.parametrize("name", NAMES)
def test_features_of_edges_are_heard_and_loops_have_none(name, encoder, random_graphs):
    graphs = random_graphs((5,))
    table, net = given_edges(graphs), featured(encoder, name)
    before = net(graphs, table).scalars
    turned = graphs.replace(edge_categories=(graphs["edge_categories"] + 1) % 3)
    assert float((net(turned, table).scalars - before).abs().max().detach()) > 1e-3
    assert float((net(graphs.replace(edge_features=graphs["edge_features"] + 1), table).scalars - before).abs().max()
                 .detach()) > 1e-3
    own = table.edge_rows == -1
    features = net.given(graphs, table)[own]
    assert features.shape == (5, 16)
    assert not features.any()
    with pytest.raises(PellucidError, match="neighbourhoods of given edges"):
        net(graphs, knn(graphs.pos, graphs.ptr, 3))


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("name", PLACELESS)
def test_graphs_need_no_coordinates(name, features, encoder, random_graphs):
    graphs = random_graphs(pos=False)
    net = (featured(encoder, name, 0) if features else encoder(name, 0, (), 2)).train()
    assert not net.sees_coordinates
    assert net.directions in ("none", "equivariant")
    table = given_edges(graphs)
    out = net(graphs, table).scalars
    assert out.shape == (graphs.points, 8)
    out.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())
    for i in range(len(graphs)):
        one, net = graphs.select(torch.tensor([i])), net.eval()
        whole = net(graphs, table).scalars[graphs.ptr[i] : graphs.ptr[i + 1]]
        close(net(one, given_edges(one)).scalars, whole)
        close(net(one, table.select(graphs.ptr, torch.tensor([i]), graphs.edge_ptr)).scalars, whole)


@pytest.mark.parametrize("name", NAMES)
def test_what_needs_coordinates_is_refused_without(name):
    if name not in PLACELESS:
        with pytest.raises(PellucidError, match="choose a backbone that needs none"):
            backbones[name](0, (), 2)
        return
    for options in ({"coordinates": True}, {"edge_directions": True}, {"view": "unit_length"}):
        with pytest.raises(PellucidError, match="expected coordinates to see"):
            backbones[name](0, (), 2, **options)


@pytest.mark.parametrize("name", PLACELESS)
def test_weights_act_without_coordinates(name, encoder, random_graphs):
    graphs = random_graphs(pos=False)
    net, table = featured(encoder, name, 0), given_edges(graphs)
    point = torch.rand(graphs.points, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pair = point[:, None] * point[table.index]
    close(net(graphs, table, point_weight=point).scalars, net(graphs, table, edge_weight=pair).scalars)
    close(net(graphs, table, point_weight=torch.ones_like(point)).scalars, net(graphs, table).scalars)
