"""Neighbourhoods of given edges, against a loop over them."""

import pytest
import torch

from pellucid.clouds import FIELDS, Field, PointClouds
from pellucid.edges import given_edges
from pellucid.errors import PellucidError
from pellucid.methods import NeighborRule


def graphs(sizes, ends, counts):
    return PointClouds(torch.tensor([0, *sizes]).cumsum(0), {
        "features": torch.zeros(sum(sizes), 1), "edge_index": torch.tensor(ends, dtype=torch.int64).reshape(-1, 2),
        "edge_features": torch.arange(float(len(ends)))[:, None]},
        edge_ptr=torch.tensor([0, *counts]).cumsum(0))


def heard(table):
    """For each point the (neighbour, row of the edge) that it hears, in order."""
    return [[(int(table.index[v, c]), int(table.edges[v, c])) for c in range(table.k)
             if table.mask is None or bool(table.mask[v, c])] for v in range(len(table.index))]


def by_loop(clouds, loop, undirected):
    pairs = clouds.edges().t().tolist()
    more = [(v, u, row) for row, (u, v) in enumerate(pairs) if undirected and [v, u] not in pairs]
    every = [(u, v, row) for row, (u, v) in enumerate(pairs)] + more
    return [[(v, -1)] * (loop and [v, v] not in pairs) + [(u, row) for u, w, row in every if w == v]
            for v in range(clouds.points)]


CASES = {
    "once": graphs((3, 0, 2), [[0, 1], [2, 1], [1, 0]], (2, 0, 1)),
    "both directions": graphs((2, 3), [[0, 1], [1, 0], [0, 2], [2, 0]], (2, 2)),
    "twice, and to itself": graphs((3,), [[0, 1], [0, 1], [2, 2]], (3,)),
    "none": graphs((2, 1), [], (0, 0)),
    "no points": graphs((0, 0), [], (0, 0)),
}


@pytest.mark.parametrize("undirected", [False, True])
@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_edges_become_a_table(case, loop, undirected):
    clouds = CASES[case]
    table = given_edges(clouds, loop=loop, undirected=undirected)
    assert heard(table) == by_loop(clouds, loop, undirected)
    empty = torch.zeros_like(table.index, dtype=torch.bool) if table.mask is None else ~table.mask
    assert bool((table.edges[empty] == -1).all())
    assert torch.equal(table.index[empty], torch.arange(clouds.points)[:, None].expand_as(table.index)[empty])
    assert table.edge_rows.tolist() == [row for mine in heard(table) for _, row in mine]
    assert table.sources.tolist() == [u for mine in heard(table) for u, _ in mine]


@pytest.mark.parametrize("places", [[1], [1, 0, 1], []])
def test_selected_neighbourhoods_are_those_of_selected_clouds(places):
    clouds = CASES["both directions"]
    places = torch.tensor(places, dtype=torch.int64)
    table, some = given_edges(clouds), clouds.select(places)
    chosen, made = table.select(clouds.ptr, places, clouds.edge_ptr), given_edges(some)
    assert heard(chosen) == heard(made)
    assert heard(chosen.to("cpu")) == heard(made)
    mask = torch.tensor([False, True])
    assert heard(table.select(clouds.ptr, mask, clouds.edge_ptr)) == heard(given_edges(clouds.select(mask)))
    with pytest.raises(PellucidError, match="edge_ptr"):
        table.select(clouds.ptr, places)


def test_the_rule_says_what_is_missing():
    rule = NeighborRule("edges")
    assert heard(rule(CASES["once"])) == heard(given_edges(CASES["once"]))
    with pytest.raises(PellucidError, match="edge_index"):
        rule(PointClouds(torch.tensor([0, 1]), {"pos": torch.zeros(1, 3)}))
    with pytest.raises(PellucidError, match=r"method\.rule\.kind to edges"):
        NeighborRule("knn", 3)(CASES["once"])
    with pytest.raises(PellucidError, match="among the 2 points"):
        rule(graphs((2,), [[0, 2]], (1,)))


def test_edge_fields_are_known_and_finite():
    assert FIELDS["edge_features"].level == FIELDS["edge_categories"].level == "edge"
    bad = CASES["once"].replace(edge_features=torch.tensor([[0.0], [1.0], [float("nan")]]))
    with pytest.raises(PellucidError, match=r"'edge_features', got NaN or infinity in cloud 2 \(edge 0\)"):
        bad.check_finite()


def test_a_split_of_points_keeps_the_graph_and_hides_other_targets():
    declared = {"y": Field("point", shape=("T",)), "split": Field("point", "int")}
    graph = PointClouds(torch.tensor([0, 4]), {"y": torch.arange(4.0)[:, None], "split": torch.tensor([0, 1, 2, -1])},
                        declared=declared)
    for name, place in (("train", 0), ("val", 1), ("test", 2)):
        part = graph.split(name)
        assert part.points == 4
        assert part["y"].isfinite().flatten().tolist() == [i == place for i in range(4)]
    labels = PointClouds(torch.tensor([0, 1]), {"y": torch.ones(1, 1), "split": torch.tensor([0])},
                         declared={"split": declared["split"]})
    with pytest.raises(PellucidError, match="float y a point"):
        labels.split("train")
