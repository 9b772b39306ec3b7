"""Algorithms of torch_geometric.explain over our models (explainer ``pyg``)."""

import copy
import logging
import warnings

import pytest
import torch
from pyg_models import GIN, Weighted, graphs, same_trace, shaken, trace

from pellucid import from_pyg
from pellucid.backbones import backbones
from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.explainers.base import frozen
from pellucid.explainers.pyg_adapter import _mean_of_edges, _modules
from pellucid.explainers.pyg_predictor import PyGPredictor
from pellucid.randomness import CloudRandom
from pellucid.targets import Targets

with warnings.catch_warnings(action="ignore"):  # PyG scripts a class when it is imported, which torch deprecates
    from torch_geometric.explain import Explanation
    from torch_geometric.explain import algorithm as pyg
    from torch_geometric.explain.algorithm.utils import clear_masks, set_masks
    from torch_geometric.utils import get_embeddings

TASKS = ["binary", "two binary", "multiclass", "regression", "mixed"]


def close(a, b, tolerance=1e-9):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def wrapped(model, clouds, target=0):
    targets = torch.full((len(clouds),), target)
    return _modules()(model, clouds, model.neighbors(clouds), targets, False)


# -- the wrapper --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["erm", "lri-gaussian"])
@pytest.mark.parametrize("backbone", list(backbones))
def test_edge_masks_reach_the_model_as_weights(name, backbone, method, random_clouds):
    model, clouds = method(name, "two binary", backbone=backbone, categories=(4,)), random_clouds((7, 1, 9, 3),
                                                                                                 categories=(4,))
    table = model.neighbors(clouds)
    module = wrapped(model, clouds, 1)
    close(module(module.x, module.edge_index), model.logits(clouds, table)[:, 1:])
    mask = torch.rand(module.edge_index.shape[1], dtype=torch.float64)
    weight = torch.ones(table.index.shape, dtype=torch.float64)
    for e, (source, target) in enumerate(module.edge_index.t().tolist()):
        weight[target, (table.index[target] == source).nonzero()] = mask[e]
    set_masks(module, mask, module.edge_index, apply_sigmoid=False)
    with_masks = module(module.x * 0.5, module.edge_index)
    clear_masks(module)
    expected = model.logits(clouds, table, inputs=model.inputs(clouds) * 0.5, edge_weight=weight)[:, 1:]
    close(with_masks, expected)
    assert not torch.allclose(with_masks, model.logits(clouds, table)[:, 1:])
    close(module(module.x, module.edge_index), model.logits(clouds, table)[:, 1:])


def test_pyg_sees_edges_without_loops_and_the_last_layer(method, random_clouds):
    model, clouds = method("erm", categories=(4,)), random_clouds((7, 1, 9), categories=(4,))
    module = wrapped(model, clouds)
    source, target = module.edge_index
    assert not bool((source == target).any())
    every = model.neighbors(clouds).edge_index()
    assert sorted(map(tuple, module.edge_index.t().tolist())) == sorted(
        (a, b) for a, b in every.t().tolist() if a != b)
    last = get_embeddings(module, module.x, module.edge_index)[-1]
    close(last, model.embed(clouds, model.neighbors(clouds)).detach())
    assert list(module.parameters()) == []  # nothing of the model is inside


def test_edges_that_are_left_out_carry_no_message(method, random_clouds):
    model, clouds = method("erm", categories=(4,)), random_clouds((7, 9), categories=(4,))
    module = wrapped(model, clouds)
    keep = torch.rand(module.edge_index.shape[1], generator=torch.Generator().manual_seed(0)) < 0.5
    set_masks(module, keep.double(), module.edge_index, apply_sigmoid=False)
    expected = module(module.x, module.edge_index)
    clear_masks(module)
    some = module.edge_index[:, keep]
    close(module(module.x, some[:, torch.randperm(some.shape[1])]), expected)
    with pytest.raises(PellucidError, match="only weights or removes edges"):
        module(module.x, torch.tensor([[0], [0]]))


# -- explaining ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("masks", ["auto", "edges", "both"])
@pytest.mark.parametrize("task", TASKS)
def test_gnn_explainer_on_every_task(task, masks, method, random_clouds):
    model, clouds = method("erm", task, categories=(4,)).train(), random_clouds((7, 1, 9), categories=(4,))
    before, state = trace(model), torch.get_rng_state()
    explainer = explainers["pyg"](masks=masks, epochs=4)
    explanation = explainer.explain(model, clouds, target=1 if model.targets.outputs > 1 else None)
    assert torch.equal(torch.get_rng_state(), state)
    same_trace(before, trace(model))
    importance = explanation.importance
    assert 0 <= float(importance.min()) < float(importance.max()) <= 1
    assert set(explanation.columns) == ({"edges"} if masks == "both" else set())
    assert explanation.importance_name == f"{'mean of the edge masks' if masks == 'edges' else 'node mask'} of " \
                                          "GNNExplainer"
    if masks == "edges":
        assert float(importance[7]) == 0  # the only point of its cloud
    again = explainer.explain(model, clouds, target=1 if model.targets.outputs > 1 else None, batch_size=1)
    assert torch.equal(again.importance, importance)
    other = explainer.explain(model, clouds, seed=1, target=1 if model.targets.outputs > 1 else None)
    assert not torch.equal(other.importance, importance)


@pytest.mark.parametrize("sizes", [(9,), (9, 4, 7)])
def test_it_is_gnn_explainer_as_pyg_runs_it(sizes, method, random_clouds):
    model, clouds = method("erm", "multiclass", categories=(4,)), random_clouds(sizes, categories=(4,))
    explainer = explainers["pyg"](epochs=6, lr=0.05, whole_batch=len(sizes) > 1)
    got = explainer.explain(model, clouds, target=2, seed=3).importance
    x, table = model.inputs(clouds).detach(), model.neighbors(clouds)
    seed = CloudRandom(clouds, 3).generators()[0].initial_seed()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        mask = (0.1 * torch.randn(sum(sizes), 1)).requires_grad_()
    adam = torch.optim.Adam([mask], lr=0.05)
    with frozen(model):
        for step in range(6):  # GNNExplainer's loss, written out; regularised only from the second step on
            loss = torch.nn.functional.cross_entropy(model.logits(clouds, table, inputs=x * mask.sigmoid()),
                                                     torch.full((len(sizes),), 2))
            m = mask.sigmoid()
            if step > 0:
                entropy = -m * (m + 1e-15).log() - (1 - m) * (1 - m + 1e-15).log()
                loss = loss + m.mean() + 0.1 * entropy.mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
    close(got, mask.detach().sigmoid()[:, 0].double(), 1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_all_clouds_at_once_are_what_pyg_makes_of_each_alone(task, method, random_clouds):
    class Alone(pyg.GNNExplainer):
        """PyG's algorithm, which is not taken for itself, and so called for one cloud after the other."""

    model, clouds = method("erm", task, categories=(4,)), random_clouds((7, 1, 9, 5), categories=(4,))
    options = {"epochs": 7, "lr": 0.05, "node_feat_ent": 0.3, "node_feat_size": 2.0}
    for reduction in ("mean", "sum"):
        together, alone = (explainers["pyg"](algorithm(**options, node_feat_reduction=reduction)).explain(
            model, clouds, seed=4).importance for algorithm in (pyg.GNNExplainer, Alone))
        close(together, alone, 1e-6)


def test_a_whole_batch_is_one_call(method, random_clouds):
    class Counting(pyg.DummyExplainer):
        calls = 0

        def forward(self, model, x, edge_index, *, target, batch=None, **_):
            Counting.calls += 1
            assert model(x, edge_index, batch).shape == (len(target), 1)
            assert batch is None or len(batch) == len(x)
            return super().forward(model, x, edge_index)

    model, clouds = method("erm", categories=(4,)), random_clouds((7, 1, 9), categories=(4,))
    for whole, calls in ((False, 3), (True, 1)):
        Counting.calls = 0
        explainers["pyg"](Counting(), whole_batch=whole).explain(model, clouds)
        assert Counting.calls == calls


@pytest.mark.parametrize("whole_batch", [False, True])
def test_pg_explainer_learns_on_training_clouds(whole_batch, method, random_clouds):
    model, clouds = method("erm", categories=(4,)).train(), random_clouds((7, 1, 9), categories=(4,))
    before, state, coeffs = trace(model), torch.get_rng_state(), copy.deepcopy(pyg.PGExplainer.coeffs)
    explainer = explainers["pyg"]("PGExplainer", epochs=3, lr=0.01, edge_size=0.2, whole_batch=whole_batch)
    assert explainer.trains
    assert explainer.algorithm.coeffs["edge_size"] == 0.2
    assert pyg.PGExplainer.coeffs == coeffs
    with pytest.raises(PellucidError, match="call fit with training clouds first"):
        explainer.explain(model, clouds)
    steps = []
    explainer.fit(model, clouds, advance=lambda done, total: steps.append((done, total)))
    assert steps[-1] == ((3, 3) if whole_batch else (6, 6))  # the cloud of one point has no edges
    explanation = explainer.explain(model, clouds)
    same_trace(before, trace(model))
    assert torch.equal(torch.get_rng_state(), state)
    other = explainers["pyg"]("PGExplainer", epochs=3, lr=0.01, edge_size=0.2, whole_batch=whole_batch)
    other.fit(model, clouds)
    close(other.explain(model, clouds, batch_size=1).importance, explanation.importance)
    table = model.neighbors(clouds)
    mlp, h = explainer.algorithm.mlp, model.eval().embed(clouds, table).detach()
    source, target = wrapped(model, clouds).edge_index
    mask = mlp(torch.cat([h[source], h[target]], 1)).sigmoid().flatten().detach()
    by_hand = [mask[(source == v) | (target == v)].mean() if bool(((source == v) | (target == v)).any())
               else torch.zeros((), dtype=mask.dtype) for v in range(clouds.points)]
    close(explanation.importance, torch.stack(by_hand))


def test_edges_count_for_both_of_their_ends():
    mask, edges = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([[0, 1, 0], [1, 0, 2]])
    assert _mean_of_edges(mask, edges, 4).tolist() == [3.0, 1.5, 6.0, 0.0]


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_captum_through_pyg_equals_our_saliency(task, method, random_clouds):
    pytest.importorskip("captum")
    model, clouds = method("erm", task, categories=(4,)), random_clouds((7, 1, 9), categories=(4,))
    theirs = explainers["pyg"](pyg.CaptumExplainer("Saliency")).explain(model, clouds, target=1)
    close(theirs.importance, explainers["saliency"](on="inputs").explain(model, clouds, target=1).importance)


def test_captum_of_a_binary_task_explains_the_probability(method, random_clouds):
    pytest.importorskip("captum")
    model, clouds = method("erm", categories=(4,)), random_clouds((7, 9), categories=(4,))
    theirs = explainers["pyg"](pyg.CaptumExplainer("Saliency")).explain(model, clouds)
    p = theirs.prediction[clouds.batch, 0]
    ours = explainers["saliency"](on="inputs").explain(model, clouds).importance
    close(theirs.importance, p * (1 - p) * ours)


def test_a_users_pyg_model_is_not_touched_either():
    model = shaken(Weighted())
    clouds = from_pyg(graphs(pos=True)).to(dtype=torch.float64)
    before = trace(model)
    predictor = PyGPredictor(model, Targets.of("binary"))
    for masks in ("auto", "edges", "both"):
        importance = explainers["pyg"](masks=masks, epochs=3).explain(predictor, clouds).importance
        assert float(importance.std()) > 0
    same_trace(before, trace(model))
    plain = PyGPredictor(GIN(), Targets.of("binary"))
    with pytest.raises(PellucidError, match="messages that can be weighted one by one"):
        explainers["pyg"](masks="edges").explain(plain, clouds)
    with pytest.raises(PellucidError, match="a last layer that can be read"):
        explainers["pyg"]("PGExplainer", epochs=1).explain(predictor, clouds)


def test_what_pyg_cannot_do_is_said_in_one_sentence(method, random_clouds, caplog):
    model, clouds = method("erm", categories=(4,)), random_clouds((7, 9), categories=(4,))
    with pytest.raises(PellucidError, match="did you mean 'GNNExplainer'"):
        explainers["pyg"]("GNNExplaner")
    with pytest.raises(PellucidError, match="expected a known option of GNNExplainer, got 'epoch'"):
        explainers["pyg"](epoch=3)
    with pytest.raises(PellucidError, match="expected options of PGExplainer"):
        explainers["pyg"]("PGExplainer")
    with pytest.raises(PellucidError, match="give them to the algorithm"):
        explainers["pyg"](pyg.DummyExplainer(), epochs=3)
    with pytest.raises(PellucidError, match="or an instance, got int"):
        explainers["pyg"](3)
    with pytest.raises(PellucidError, match="masks out of auto"):
        explainers["pyg"](masks="points")
    with pytest.raises(PellucidError, match="the inside of PyG's own layers"):
        explainers["pyg"]("AttentionExplainer")
    with caplog.at_level(logging.ERROR), pytest.raises(PellucidError, match="makes masks of nodes for a binary target"):
        explainers["pyg"]("PGExplainer", epochs=1, masks="nodes").explain(model, clouds)
    assert not caplog.records
    with pytest.raises(PellucidError, match="expected a node_mask or an edge_mask from Nothing"):
        explainers["pyg"](Nothing()).explain(model, clouds)
    with pytest.raises(PellucidError, match="to explain the model, got: not this one"):
        explainers["pyg"](Nothing("not this one")).explain(model, clouds)


class Nothing(pyg.DummyExplainer):
    def __init__(self, problem=""):
        super().__init__()
        self.problem = problem

    def forward(self, *_, **__):
        if self.problem:
            raise ValueError(self.problem)
        return Explanation()
