"""Graphs: read from PyG's Data, laid out in a plane where nodes have no coordinates."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pellucid.domains import domain_of
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.pyg import from_pyg
from pellucid.report.content import Words
from pellucid.report.layout import MOST_REFINED, layout

GRAPHS = domain_of("graphs")
SQUARE = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 0, 1], [1, 0, 2, 1, 3, 2, 0, 3, 1]])  # both directions, and a loop


def explained(clouds):
    return Explanation(clouds, torch.full((len(clouds), 1), 0.5), torch.arange(clouds.points) / 10, "importance")


def test_pyg_graphs_become_clouds():
    data = [Data(x=torch.rand(4, 2), edge_index=SQUARE), Data(x=torch.rand(2, 2), edge_index=SQUARE[:, :2])]
    assert GRAPHS.read(data).clouds.sizes.tolist() == [4, 2]
    assert len(GRAPHS.read(data[0]).clouds) == 1
    clouds = from_pyg(data)
    assert GRAPHS.read(clouds).clouds is clouds
    for other in ("graphs.json", [1], 3):
        with pytest.raises(PellucidError, match="list of torch_geometric's Data for a run on graphs, got"):
            GRAPHS.read(other)


def test_a_graph_without_coordinates_is_laid_out():
    sample = GRAPHS.sample(explained(GRAPHS.read([Data(x=torch.rand(4, 2), edge_index=SQUARE)]).clouds), 0)
    assert GRAPHS.words == sample.words == Words("node", "graph")
    assert sample.bonds == [(0, 1, 1.0), (0, 3, 1.0), (1, 2, 1.0), (2, 3, 1.0)]
    assert (sample.name, sample.unit, sample.labels) == ("graph 0", "", ["0", "1", "2", "3"])
    assert sample.pos[:, 2].tolist() == [0] * 4
    sides = [np.linalg.norm(sample.pos[a] - sample.pos[b]) for a, b, _ in sample.bonds]
    np.testing.assert_allclose(sides, np.mean(sides), rtol=0.02)
    svg = sample.views["Nodes and edges"]
    assert svg.count('class="point-') == 4
    assert svg.count('class="line"') == 4
    assert list(sample.columns) == ["feature_0", "feature_1"]
    assert sample.facts == {"Edges": "4"}


def test_coordinates_are_used_where_there_are_some():
    pos = torch.tensor([[0.0, 0], [1, 0], [1, 2], [0, 2]])
    sample = GRAPHS.sample(explained(from_pyg([Data(pos=pos, edge_index=SQUARE)])), 0)
    assert sample.pos[:, :2].tolist() == pos.tolist()
    assert list(sample.views) == ["x – y"]


def test_many_features_are_no_columns():
    data = Data(x=torch.rand(4, 100), edge_index=SQUARE)
    assert GRAPHS.sample(explained(from_pyg([data])), 0).columns == {}


def test_a_layout_is_near_the_distances_of_the_graph():
    path = layout(6, [(k, k + 1) for k in range(5)])
    np.testing.assert_allclose(np.linalg.norm(np.diff(path, axis=0), axis=1), 1, atol=0.05)
    assert np.linalg.norm(path[0] - path[5]) == pytest.approx(5, abs=0.1)
    star = layout(7, [(0, k) for k in range(1, 7)])
    apart = np.linalg.norm(star[1:, None] - star[None, 1:], axis=2)[np.triu_indices(6, 1)]
    assert apart.min() > 0.5  # leaves that are alike do not lie on each other
    assert np.array_equal(star, layout(7, [(0, k) for k in range(1, 7)]))


def test_components_stand_side_by_side():
    triangles = [(3 * t + a, 3 * t + b) for t in range(4) for a, b in ((0, 1), (1, 2), (0, 2))]
    at = layout(14, triangles)  # and two nodes alone
    apart = np.linalg.norm(at[:, None] - at[None], axis=2) + 9 * np.eye(14)
    assert apart.min() > 0.5
    assert np.isfinite(at).all()
    assert layout(0, []).shape == (0, 2)
    assert layout(1, []).tolist() == [[0, 0]]


def test_a_large_graph_is_laid_out_by_pivots():
    side = 25
    assert side * side > MOST_REFINED
    grid = [(r * side + c, r * side + c + 1) for r in range(side) for c in range(side - 1)]
    grid += [(r * side + c, (r + 1) * side + c) for r in range(side - 1) for c in range(side)]
    at = layout(side * side, grid)
    ends = np.array(grid)
    lengths = np.linalg.norm(at[ends[:, 0]] - at[ends[:, 1]], axis=1)
    assert 0.3 < np.median(lengths) < 2
    assert np.ptp(at, axis=0).min() > side / 2
