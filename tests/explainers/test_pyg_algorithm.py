"""Our explainers inside torch_geometric.explain.Explainer."""

import pickle
import warnings

import pytest
import torch
from pyg_models import GIN, Weighted, batch_of, graphs, same_trace, shaken, trace
from torch import nn

from pellucid import from_pyg
from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.explainers.pyg_algorithm import PellucidAlgorithm, graphs_of
from pellucid.explainers.pyg_predictor import PyGPredictor
from pellucid.targets import Targets

with warnings.catch_warnings(action="ignore"):  # PyG scripts a class when it is imported, which torch deprecates
    from torch_geometric.data import Data
    from torch_geometric.explain import CaptumExplainer, Explainer
    from torch_geometric.nn import GCNConv

MODES = {"binary": (1, "binary_classification", "raw"), "probs": (1, "binary_classification", "probs"),
         "multiclass": (3, "multiclass_classification", "raw"), "regression": (1, "regression", "raw")}


def close(a, b, tolerance=1e-9):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


class Probability(GIN):
    def forward(self, x, edge_index, batch=None):
        return super().forward(x, edge_index, batch).sigmoid()


def model_of(mode):
    outputs = MODES[mode][0]
    model = shaken(Probability() if mode == "probs" else GIN(outputs=outputs))
    with torch.no_grad():
        model.out.bias.zero_()
    return model


def explainer_of(model, mode, algorithm, **changes):
    settings = {"explanation_type": "model", "node_mask_type": "object"} | changes
    _, name, returns = MODES[mode]
    config = {"mode": name, "task_level": "graph", "return_type": returns}
    return Explainer(model, algorithm, model_config=config, **settings)


def batch(pos=False, sizes=(5, 3, 8, 1, 6, 4)):
    data = batch_of(graphs(pos, sizes))
    for key, value in data.to_dict().items():
        if isinstance(value, torch.Tensor) and value.dtype.is_floating_point:
            data[key] = value.double()
    return data


@pytest.mark.parametrize("name", ["bernmask", "saliency", "occlusion", "random", "pyg"])
@pytest.mark.parametrize("mode", MODES)
def test_pyg_explains_with_our_methods(mode, name):
    model, data = model_of(mode).train(), batch()
    before = trace(model)
    options = {"bernmask": {"steps": 5}, "saliency": {"on": "inputs"}, "pyg": {"epochs": 3}}.get(name, {})
    explain = explainer_of(model, mode, PellucidAlgorithm(name, **options))
    explanation = explain(data.x, data.edge_index, batch=data.batch)
    same_trace(before, trace(model))
    assert explanation.node_mask.shape == (len(data.x), 1)
    assert explanation.node_mask.dtype == torch.float64
    assert float(explanation.node_mask.std()) > 0
    alone = explain(data.x, data.edge_index, batch=data.batch)
    assert torch.equal(alone.node_mask, explanation.node_mask)


@pytest.mark.parametrize("mode", MODES)
def test_the_target_is_pygs(mode):
    """Input x gradient of the logit of PyG's target: the class predicted, or the value."""
    model, data = model_of(mode), batch()
    explain = explainer_of(model, mode, PellucidAlgorithm("input-x-gradient", on="inputs"))
    explanation = explain(data.x, data.edge_index, batch=data.batch)
    x = data.x.clone().requires_grad_()
    out = model.eval()(x, data.edge_index, data.batch)
    if mode == "probs":
        out = out.logit()
    if mode == "multiclass":
        picked = out.gather(1, explanation.target[:, None])
        assert len(explanation.target.unique()) > 1
    else:
        picked = out if mode == "regression" else out * (2 * explanation.target[:, None] - 1)
    (grad,) = torch.autograd.grad(picked.sum(), x)
    close(explanation.node_mask[:, 0], (grad * x).sum(1).detach())


def test_both_classes_of_a_binary_task_are_explained():
    model, data = model_of("binary"), batch()
    algorithm = PellucidAlgorithm("input-x-gradient", on="inputs")
    phenomenon = explainer_of(model, "binary", algorithm, explanation_type="phenomenon")
    ones = torch.ones(6, dtype=torch.int64)
    positive = phenomenon(data.x, data.edge_index, batch=data.batch, target=ones).node_mask
    close(phenomenon(data.x, data.edge_index, batch=data.batch, target=0 * ones).node_mask, -positive)
    mixed = torch.tensor([1, 0, 1, 0, 0, 1])
    got = phenomenon(data.x, data.edge_index, batch=data.batch, target=mixed).node_mask
    close(got, torch.where(mixed[data.batch, None] == 1, positive, -positive))
    some = phenomenon(data.x, data.edge_index, batch=data.batch, target=mixed, index=torch.tensor([2, 4])).node_mask
    inside = (data.batch == 2) | (data.batch == 4)
    close(some[inside], got[inside])
    assert not bool(some[~inside].any())
    one = phenomenon(data.x, data.edge_index, batch=data.batch, target=mixed, index=2).node_mask
    close(one[data.batch == 2], got[data.batch == 2])


def test_captum_in_pyg_gives_the_same_saliency():
    pytest.importorskip("captum")
    model, data = model_of("multiclass"), batch()
    ours = explainer_of(model, "multiclass", PellucidAlgorithm("saliency", on="inputs"))
    theirs = explainer_of(model, "multiclass", CaptumExplainer("Saliency"), node_mask_type="attributes")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Input Tensor 0 did not already require gradients")
        expected = theirs(data.x, data.edge_index, batch=data.batch).node_mask
    close(ours(data.x, data.edge_index, batch=data.batch).node_mask[:, 0], expected.sum(1))


def test_it_equals_the_explainer_on_a_predictor():
    model, data = model_of("regression"), batch()
    clouds = from_pyg(Data.from_dict(each.to_dict()) for each in data.to_data_list())
    expected = explainers["bernmask"](steps=5).explain(PyGPredictor(model, Targets.of("regression")), clouds, seed=4)
    explain = explainer_of(model, "regression", PellucidAlgorithm("bernmask", steps=5, seed=4, batch_size=2))
    close(explain(data.x, data.edge_index, batch=data.batch).node_mask[:, 0], expected.importance)


def test_a_graph_alone_needs_no_batch():
    model, data = model_of("binary"), batch(sizes=(6,))
    model_without = nn.Module()
    model_without.inner = model
    model_without.forward = lambda x, edge_index: model(x, edge_index)
    for each in (model, model_without):
        explain = explainer_of(each, "binary", PellucidAlgorithm("occlusion"))
        got = explain(data.x, data.edge_index).node_mask
        expected = explain(data.x, data.edge_index, **({"batch": data.batch} if each is model else {})).node_mask
        close(got, expected)


def test_other_arguments_follow_their_nodes_and_edges():
    """Edges in any order; pos, edge_attr and a flag reach the model, also when graphs are explained in parts."""
    class Flagged(Weighted):
        def forward(self, x, edge_index, batch, pos, edge_attr, edge_weight=None, sign=1.0):
            return sign * super().forward(x, edge_index, batch, pos, edge_attr, edge_weight)

    model, data = shaken(Flagged()), batch(pos=True)
    order = torch.randperm(data.edge_index.shape[1], generator=torch.Generator().manual_seed(0))
    explain = explainer_of(model, "regression", PellucidAlgorithm("gradgeo", batch_size=2))
    got = explain(data.x, data.edge_index[:, order], batch=data.batch, pos=data.pos, edge_attr=data.edge_attr[order],
                  sign=-2.0)
    pos = data.pos.clone().requires_grad_()
    out = model(data.x, data.edge_index[:, order], data.batch, pos, data.edge_attr[order])
    (grad,) = torch.autograd.grad(2 * out.sum(), pos)
    close(got.node_mask[:, 0], grad.norm(dim=1))


def test_point_weights_reach_the_messages_where_the_model_takes_them():
    class Sum(nn.Module):
        """Counts messages alone, so that nothing but their weights can matter."""

        def __init__(self):
            super().__init__()
            self.conv = GCNConv(1, 1, bias=False, normalize=False, add_self_loops=False)

        def forward(self, x, edge_index, edge_weight=None):
            return self.conv(torch.ones_like(x), edge_index, edge_weight).sum().view(1, 1)

    data = batch(sizes=(6,))
    explain = explainer_of(Sum().double(), "regression", PellucidAlgorithm("bernmask", steps=30, size=0.0, entropy=0.0))
    alone = ~torch.isin(torch.arange(6), data.edge_index)
    mask = explain(data.x[:, :1], data.edge_index).node_mask[:, 0]
    assert bool((mask[~alone] > 0.8).all())  # whatever is left out changes the sum


def test_clouds_out_of_what_pyg_gives():
    data = batch(pos=True)
    order = torch.randperm(data.edge_index.shape[1])
    more = {"batch": data.batch, "edge_attr": data.edge_attr[order], "u": torch.arange(6), "flag": True, "none": None}
    clouds, rest = graphs_of(data.x, data.edge_index[:, order], more)
    assert rest == {"flag": True}
    assert clouds.declared["u"].level == "cloud"
    got = sorted(zip(*clouds.edges().tolist(), clouds["edge_attr"].tolist(), strict=True))
    assert got == sorted(zip(*data.edge_index.tolist(), data.edge_attr.tolist(), strict=True))
    with pytest.raises(PellucidError, match="nodes sorted by graph"):
        graphs_of(data.x, data.edge_index, {"batch": data.batch.flip(0)})
    with pytest.raises(PellucidError, match="edges within a graph"):
        graphs_of(data.x, torch.tensor([[0], [9]]), {"batch": data.batch})


def test_what_is_not_supported_is_refused_before_work_starts():
    model, data = model_of("binary"), batch()
    config = {"mode": "binary_classification", "return_type": "raw"}
    with pytest.raises(PellucidError, match="expected a graph-level prediction, got a node-level one"):
        Explainer(model, PellucidAlgorithm("bernmask"), explanation_type="model", node_mask_type="object",
                  model_config={"task_level": "node", **config})
    for masks in ({"node_mask_type": "attributes"}, {"node_mask_type": None, "edge_mask_type": "object"}):
        with pytest.raises(PellucidError, match="expected node_mask_type='object' and no edge_mask_type"):
            explainer_of(model, "binary", PellucidAlgorithm("bernmask"), **masks)
    with pytest.raises(PellucidError, match="fit one on a PyGPredictor"):
        PellucidAlgorithm("bernmask-p")
    with pytest.raises(PellucidError, match="expected a known explainer"):
        PellucidAlgorithm("bermask")
    with pytest.raises(PellucidError, match="got steps"):
        PellucidAlgorithm(explainers["bernmask"](), steps=3)
    with pytest.raises(PellucidError, match="differentiated with respect to coordinates"):
        explainer_of(model, "binary", PellucidAlgorithm("gradgeo"))(data.x, data.edge_index, batch=data.batch)
    with pytest.raises(PellucidError, match="points whose messages can be weighted"):
        explainer_of(lambda_model(model), "binary", PellucidAlgorithm("bernmask"))(
            data.x.round().long(), data.edge_index, batch=data.batch)
    with pytest.raises(PellucidError, match="expected one output of a regression model, got 3"):
        explainer_of(model_of("multiclass"), "regression", PellucidAlgorithm("occlusion"))(
            data.x, data.edge_index, batch=data.batch)
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        __import__("pellucid.explainers.pyg_algorithm", fromlist=["x"]).Other  # noqa: B018


def lambda_model(model):
    class Rounded(nn.Module):
        def forward(self, x, edge_index, batch):
            return model(x.double(), edge_index, batch)

    return Rounded()


def test_a_fitted_explainer_can_be_used_and_the_class_pickled():
    model, data = model_of("multiclass"), batch()
    clouds = from_pyg(Data.from_dict(each.to_dict()) for each in data.to_data_list())
    assert pickle.loads(pickle.dumps(PellucidAlgorithm)) is PellucidAlgorithm
    predictor = PyGPredictor(model, Targets.of("multiclass", 3), encoder=model.encode, head=model.head)
    explainer = explainers["bernmask-p"](epochs=1)
    explainer.fit(predictor, clouds)
    with pytest.raises(PellucidError, match="a last layer that can be read"):  # PyG has no place for encoder and head
        explainer_of(model, "multiclass", PellucidAlgorithm(explainer))(data.x, data.edge_index, batch=data.batch)
