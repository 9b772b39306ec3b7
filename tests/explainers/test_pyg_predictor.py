"""A user's PyG model as a predictor, against PyG called by hand."""

import pytest
import torch
from pyg_models import GIN, Weighted, batch_of, graph, graphs, same_trace, shaken, trace
from torch import nn

from pellucid import from_pyg
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explainers import Predictor, explainers
from pellucid.explainers.pyg_predictor import PyGPredictor
from pellucid.targets import Target, Targets

OPTIONS = {"bernmask": {"steps": 5}, "bernmask-p": {"epochs": 2}, "pyg": {"epochs": 3}, "shapley": {"permutations": 4},
           **{name: {"on": "inputs"}
              for name in ("saliency", "input-x-gradient", "integrated-gradients", "smoothgrad")}}


def close(a, b, tolerance=1e-9):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def double(data):
    for each in data:
        for key, value in each.items():
            if value.dtype.is_floating_point:
                each[key] = value.double()
    return data


def gin(targets=None, **options):
    targets = targets or Targets.of("binary")
    model = shaken(GIN(outputs=targets.outputs))
    return model, PyGPredictor(model, targets, encoder=model.encode, head=model.head, **options)


def weighted():
    model = shaken(Weighted())
    return model, PyGPredictor(model, Targets.of("binary"))


@pytest.mark.parametrize("task", [Targets.of("binary"), Targets.of("multiclass", 3), Targets.of("regression", 2)])
def test_it_says_what_the_model_says(task):
    model, predictor = gin(task)
    data = double(graphs())
    clouds, batch = from_pyg(data), batch_of(data)
    assert isinstance(predictor, Predictor)
    predictor.refuse(clouds)
    model.eval()
    neighbors = predictor.neighbors(clouds)
    expected = model(batch.x, batch.edge_index, batch.batch)
    close(predictor.logits(clouds, neighbors), expected)
    close(predictor.classify(predictor.embed(clouds, neighbors), clouds), expected)
    close(predictor.logits(clouds.to(dtype=torch.float32), neighbors), expected, 1e-4)  # in the model's own dtype


def test_the_table_holds_the_graphs_own_edges():
    data = double(graphs())
    clouds = from_pyg(data)
    table = gin()[1].neighbors(clouds)
    got = sorted(map(tuple, table.edge_index().t().tolist()))
    assert got == sorted(map(tuple, batch_of(data).edge_index.t().tolist()))
    none = PointClouds(torch.tensor([0, 2]), {"features": torch.zeros(2, 4)})
    assert gin()[1].neighbors(none).degree.tolist() == [0, 0]


def test_weights_of_points_and_messages_are_those_of_the_paper():
    model, predictor = weighted()
    data = double(graphs(pos=True))
    clouds, batch = from_pyg(data), batch_of(data)
    table = predictor.neighbors(clouds)
    w = torch.rand(clouds.points, dtype=torch.float64)
    a = torch.rand(table.index.shape, dtype=torch.float64)
    source, target = batch.edge_index
    column = torch.tensor([int((target[:e] == target[e]).sum()) for e in range(len(target))])
    expected = model(batch.x * w[:, None], batch.edge_index, batch.batch, batch.pos, batch.edge_attr,
                     w[source] * w[target] * a[target, column])
    close(predictor.logits(clouds, table, point_weight=w, edge_weight=a)[:, 0], expected)
    given = [each.clone() for each in data]
    for each in given:
        each.edge_weight = torch.rand(each.num_edges, 1, dtype=torch.float64)
    with_weights = from_pyg(given)
    own = batch_of(given).edge_weight[:, 0]
    model.forward = lambda x, edge_index, batch, edge_weight: Weighted.forward(
        model, x, edge_index, batch, batch_of(data).pos, batch_of(data).edge_attr, edge_weight.squeeze(-1))
    got = PyGPredictor(model, Targets.of("binary")).logits(with_weights, table, edge_weight=a)[:, 0]
    close(got, Weighted.forward(model, batch.x, batch.edge_index, batch.batch, batch.pos, batch.edge_attr,
                                own * a[target, column]))


def test_what_can_be_changed_follows_from_the_signature():
    assert weighted()[1].can == {"inputs", "point_weight", "edge_weight", "pos"}
    assert gin()[1].can == {"inputs", "point_weight", "embed"}
    assert PyGPredictor(GIN(), Targets.of("binary"), x="x").can == set()
    assert PyGPredictor(nn.Module(), Targets.of("binary"), call=lambda pos, batch: pos).can == {"pos"}


def test_a_model_without_batch_sees_one_graph_at_a_time():
    model = shaken(Weighted()).eval()
    data = double(graphs(pos=True))
    clouds, batch = from_pyg(data), batch_of(data)
    seen = []

    def call(x, edge_index, pos, edge_attr, edge_weight=None):
        seen.append(len(x))
        return model(x, edge_index, torch.zeros(len(x), dtype=torch.int64), pos, edge_attr, edge_weight)

    predictor = PyGPredictor(model, Targets.of("binary"), call=call)
    table, w = predictor.neighbors(clouds), torch.rand(clouds.points, dtype=torch.float64)
    source, target = batch.edge_index
    close(predictor.logits(clouds, table, point_weight=w)[:, 0],
          model(batch.x * w[:, None], batch.edge_index, batch.batch, batch.pos, batch.edge_attr, w[source] * w[target]))
    assert seen == [5, 3, 8, 1]


@pytest.mark.parametrize(("task", "make"), [(Targets.of("binary"), torch.sigmoid),
                                            (Targets.of("multiclass", 3), lambda out: out.softmax(1)),
                                            (Targets.of("multiclass", 3), lambda out: out.log_softmax(1))])
def test_probabilities_become_logits(task, make):
    model, predictor = gin(task)
    clouds = from_pyg(double(graphs()))
    returns = "log_probs" if make(torch.zeros(1, 3)).max() < 0 else "probs"
    other = PyGPredictor(model, task, returns=returns,
                         call=lambda x, edge_index, batch: make(model(x, edge_index, batch)))
    a, b = (task.predict(p.logits(clouds, p.neighbors(clouds))) for p in (predictor.eval(), other.eval()))
    close(a, b)


def test_graphs_without_nodes_are_pooled_to_nothing():
    model, predictor = gin()
    clouds = from_pyg(double(graphs())).select(torch.tensor([0, 2]))
    model.eval()
    for keep in (torch.arange(13) < 5, torch.zeros(13, dtype=torch.bool)):
        some = clouds.keep_points(keep)
        table = predictor.neighbors(some)
        logits = predictor.logits(some, table)
        close(logits[1], model.out.bias)
        close(predictor.classify(predictor.embed(some, table), some), logits)


@pytest.mark.parametrize("name", list(explainers))
def test_every_explainer_works_and_leaves_no_trace(name):
    model, predictor = gin() if name not in ("gradgeo",) else weighted()
    model.train()
    clouds = from_pyg(double(graphs(pos=name in ("gradgeo", "centroid", "density"))))
    before = trace(model)
    explainer = explainers[name](**OPTIONS.get(name, {}))
    explainer.fit(predictor, clouds)
    explanation = explainer.explain(predictor, clouds)
    assert explanation.importance.shape == (clouds.points,)
    assert float(explanation.importance.std()) > 0
    assert len(explanation.table()["importance"]) == clouds.points
    same_trace(before, trace(model))


def test_gradients_are_those_by_hand():
    model, predictor = gin()
    data = double(graphs())
    clouds, batch = from_pyg(data), batch_of(data)
    model.eval()
    x = batch.x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(model(x, batch.edge_index, batch.batch).sum(), x)
    close(explainers["saliency"](on="inputs").explain(predictor, clouds).importance, grad.abs().sum(1))
    h = model.encode(batch.x, batch.edge_index).detach().requires_grad_()
    (grad,) = torch.autograd.grad(model.head(h, batch.batch).sum(), h)
    close(explainers["gradgam"]().explain(predictor, clouds).importance, (h * grad).sum(1).detach())
    model, predictor = weighted()
    data = double(graphs(pos=True))
    clouds, batch = from_pyg(data), batch_of(data)
    pos = batch.pos.clone().requires_grad_()
    (grad,) = torch.autograd.grad(model(batch.x, batch.edge_index, batch.batch, pos, batch.edge_attr).sum(), pos)
    close(explainers["gradgeo"]().explain(predictor, clouds).importance, grad.norm(dim=1))


def test_occlusion_removes_a_node_and_its_edges():
    model, predictor = gin()
    data = double(graphs())
    clouds = from_pyg(data)
    got = explainers["occlusion"]().explain(predictor, clouds).importance
    model.eval()
    expected = []
    for each in data:
        whole = model(each.x, each.edge_index, torch.zeros(each.num_nodes, dtype=torch.int64))[0, 0]
        for v in range(each.num_nodes):
            rest = each.subgraph(torch.arange(each.num_nodes) != v)
            zeros = torch.zeros(rest.num_nodes, dtype=torch.int64)
            less = model(rest.x, rest.edge_index, zeros) if rest.num_nodes else model.out.bias[None]
            expected.append(whole - less[0, 0])
    close(got, torch.stack(expected).detach())


class NodeLevel(nn.Module):
    def forward(self, x, edge_index, batch):
        return x[:, :1]


class Nearest(nn.Module):
    """Uses coordinates, but only to compare them."""

    def forward(self, x, pos, batch):
        near = (pos.norm(dim=1, keepdim=True) < 1).to(x)
        return x.new_zeros(int(batch.max()) + 1, 1).index_add(0, batch, near * x[:, :1])


def test_what_cannot_be_explained_is_said_in_one_sentence():
    clouds = from_pyg(graphs(pos=True))
    model = GIN()
    with pytest.raises(PellucidError, match="only graph-level predictions are explained"):
        explainers["occlusion"]().explain(PyGPredictor(NodeLevel(), Targets.of("binary")), clouds)
    with pytest.raises(PellucidError, match="depends differentiably on the coordinates"):
        explainers["gradgeo"]().explain(PyGPredictor(Nearest(), Targets.of("binary")), clouds)
    with pytest.raises(PellucidError, match="differentiated with respect to coordinates"):
        explainers["gradgeo"]().explain(PyGPredictor(model, Targets.of("binary")), clouds)
    for name in ("centroid", "density"):
        with pytest.raises(PellucidError, match=r"coordinates for (Centroid|Density), got graphs without"):
            explainers[name]().explain(PyGPredictor(model, Targets.of("binary")), from_pyg(graphs()))
    with pytest.raises(PellucidError, match="a last layer that can be read"):
        explainers["gradgam"]().explain(PyGPredictor(model, Targets.of("binary")), clouds)
    integers = [graph(4) for _ in range(2)]
    for each in integers:
        each.x = each.x.round().long()
    whole = from_pyg(integers)
    with pytest.raises(PellucidError, match="got an integer x"):
        explainers["occlusion"]().explain(PyGPredictor(model, Targets.of("binary")), whole)
    looked = nn.Embedding(9, 4)
    embedded = PyGPredictor(model, Targets.of("binary"), x="x", call=lambda x, edge_index, batch: model(
        looked(x[:, 0].abs()), edge_index, batch))
    assert explainers["occlusion"]().explain(embedded, whole).importance.shape == (8,)
    with pytest.raises(PellucidError, match="points whose messages can be weighted"):
        explainers["bernmask"]().explain(embedded, whole)
    with pytest.raises(PellucidError, match="got RuntimeError from it"):
        explainers["occlusion"]().explain(PyGPredictor(GIN(width=7), Targets.of("binary")), clouds)
    with pytest.raises(PellucidError, match="a field 'pos', which the model takes"):
        explainers["occlusion"]().explain(PyGPredictor(Weighted(), Targets.of("binary")),
                                          from_pyg(graphs()))
    other = PyGPredictor(model, Targets.of("binary"), encoder=model.encode,
                         head=lambda h, batch: model.head(h, batch) + 1)
    with pytest.raises(PellucidError, match="to be the model's output"):
        explainers["gradgam"]().explain(other, clouds)
    with pytest.raises(PellucidError, match="pass both or none"):
        PyGPredictor(model, Targets.of("binary"), encoder=model.encode)
    with pytest.raises(PellucidError, match="pass returns='raw'"):
        PyGPredictor(model, Targets.of("regression"), returns="probs")
    with pytest.raises(PellucidError, match="only graph-level models are wrapped"):
        PyGPredictor(model, Targets.of("binary", level="point"))
    classes = {"kind": "multiclass", "classes": ("x", "y")}
    for several in (Targets((Target("a"), Target("b", "regression"))),
                    Targets((Target("a", **classes), Target("b", **classes)))):
        with pytest.raises(PellucidError, match="expected targets of one kind, or one multi-class target"):
            PyGPredictor(model, several)
    with pytest.raises(PellucidError, match="expected returns out of"):
        PyGPredictor(model, Targets.of("binary"), returns="logits")
    predictor = PyGPredictor(model, Targets.of("binary"))
    with pytest.raises(PellucidError, match="whose forward takes edge_weight"):
        predictor.logits(clouds, predictor.neighbors(clouds), edge_weight=torch.ones(1))
