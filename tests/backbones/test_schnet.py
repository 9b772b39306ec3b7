"""SchNet against PyTorch Geometric's own blocks, and what its options do."""

import pytest
import torch
from torch_geometric.nn.models.schnet import GaussianSmearing, InteractionBlock

from pellucid.backbones import backbones
from pellucid.errors import PellucidError
from pellucid.neighbors import knn
from pellucid.testing import small_clouds


def test_a_layer_is_that_of_pyg():
    torch.manual_seed(0)
    net = backbones["schnet"](3, (5,), hidden=8, layers=1, dropout=0.0, radial=12, cutoff=4.0).double().eval()
    clouds = small_clouds(features=0)
    table = knn(clouds.pos, clouds.ptr, 4, loop=False)
    smear, peer = GaussianSmearing(0.0, 4.0, 12).double(), InteractionBlock(8, 12, 8, 4.0).double()
    ours = net.layers[0]
    pairs = {"conv.lin1.weight": ours.alone.weight, "mlp.0.weight": ours.filter.weight, "mlp.0.bias": ours.filter.bias,
             "mlp.2.weight": ours.filter_out.weight, "mlp.2.bias": ours.filter_out.bias,
             "conv.lin2.weight": ours.update.weight, "conv.lin2.bias": ours.update.bias,
             "lin.weight": ours.update_out.weight, "lin.bias": ours.update_out.bias}
    peer.load_state_dict({**pairs, **{f"conv.nn.{k.removeprefix('mlp.')}": v for k, v in pairs.items()
                                      if k.startswith("mlp.")}})
    h, index = net.encode(clouds), table.edge_index()
    length = (clouds.pos[index[0]] - clouds.pos[index[1]]).norm(dim=1)
    near = length <= 4.0  # PyG's radius graph ends there
    expected = h + peer(h, index[:, near], length[near], smear(length[near]))
    torch.testing.assert_close(net(clouds, table).scalars, expected)


def test_messages_end_smoothly_at_the_cutoff():
    net = backbones["schnet"](3, hidden=8, layers=1, dropout=0.0, radial=8, cutoff=2.0).double().eval()
    clouds = small_clouds((2,), categories=(), features=0)
    table = knn(clouds.pos, clouds.ptr, 1, loop=False)

    @torch.no_grad()
    def at(distance):
        pos = torch.tensor([[0.0, 0, 0], [distance, 0, 0]], dtype=torch.float64)
        return net(clouds, table, pos=pos).scalars

    torch.testing.assert_close(at(2.5), at(2.0))
    torch.testing.assert_close(at(2.0 - 1e-4), at(2.0), atol=1e-6, rtol=0)
    assert float((at(1.0) - at(2.0)).abs().max()) > 1e-3


@pytest.mark.parametrize("options", [{"radial": 1}, {"cutoff": 0.0}, {"cutoff": float("inf")}])
def test_options_are_checked(options):
    with pytest.raises(PellucidError, match="radial of at least 2 and a positive cutoff"):
        backbones["schnet"](3, **options)


def test_directions_are_seen_where_asked():
    net = backbones["schnet"](3, edge_directions=True, radial=8)
    assert (net.directions, net.edges.width) == ("coordinates", 11)
    assert backbones["schnet"].option_names() == {"radial", "cutoff"}
