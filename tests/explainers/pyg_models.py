"""A user's plain PyG models and graphs, and what must not change in them."""

import copy
import warnings

import torch
from torch import nn

with warnings.catch_warnings(action="ignore"):  # PyG scripts a class when it is imported, which torch deprecates
    from torch_geometric.data import Batch, Data
    from torch_geometric.nn import GCNConv, GINConv, MessagePassing, global_add_pool


class GIN(nn.Module):
    def __init__(self, width=4, outputs=1):
        super().__init__()
        self.convs = nn.ModuleList(GINConv(nn.Sequential(nn.Linear(w, 8), nn.BatchNorm1d(8), nn.ReLU(),
                                                         nn.Linear(8, 8))) for w in (width, 8))
        self.out = nn.Linear(8, outputs)

    def encode(self, x, edge_index):
        for conv in self.convs:
            x = conv(x, edge_index).relu()
        return x

    def head(self, h, batch):
        return self.out(global_add_pool(h, batch))

    def forward(self, x, edge_index, batch=None):
        return self.head(self.encode(x, edge_index), batch)


class Weighted(nn.Module):
    """Edge weights, coordinates and an edge attribute; one output of shape (graphs,)."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([GCNConv(4, 8), GCNConv(8, 8)])
        self.at, self.out = nn.Linear(3, 8), nn.Linear(8, 1)

    def forward(self, x, edge_index, batch, pos, edge_attr, edge_weight=None):
        weight = edge_attr if edge_weight is None else edge_attr * edge_weight
        for conv in self.convs:
            x = conv(x, edge_index, weight).tanh()
        return self.out(global_add_pool(x * self.at(pos).tanh(), batch)).squeeze(-1)


def graph(nodes, seed=0, pos=False):
    """A random graph with ``2 * nodes`` edges, loops and double edges among them."""
    random = torch.Generator().manual_seed(seed)
    edges = 2 * nodes
    data = Data(x=torch.randn(nodes, 4, generator=random), y=torch.zeros(1),
                edge_index=torch.randint(0, nodes, (2, edges), generator=random))
    if pos:
        data.pos, data.edge_attr = torch.randn(nodes, 3, generator=random), torch.rand(edges, generator=random)
    return data


def graphs(pos=False, sizes=(5, 3, 8, 1)):
    return [graph(n, n, pos) for n in sizes]


def batch_of(data):
    return Batch.from_data_list(data)


def shaken(model, dtype=torch.float64, seed=0):
    """Weights and running statistics that are not those of a new model."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
    return model.to(dtype)


def trace(model):
    """All that an explainer could leave behind in a model."""
    return copy.deepcopy({
        "state": {name: value.clone() for name, value in model.state_dict().items()},
        "wanted": [(p.requires_grad, p.grad is None) for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [{name: len(value) for name, value in vars(module).items() if name.endswith("_hooks")}
                  for module in model.modules()],
        "explain": [(module._explain, module._edge_mask, module._loop_mask, module._apply_sigmoid)
                    for module in model.modules() if isinstance(module, MessagePassing)],
        "own": [sorted(vars(module)) for module in model.modules()],
    })


def same_trace(before, after):
    for name, value in before.pop("state").items():
        assert torch.equal(value, after["state"][name]), name
    after.pop("state")
    assert before == after
