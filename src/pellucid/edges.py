"""Neighbourhoods that are given with the data: bonds of a molecule, links of a network."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.clouds import PointClouds
from pellucid.neighbors import Neighbors


def given_edges(clouds: PointClouds, *, loop: bool = True, undirected: bool = True) -> Neighbors:
    """The given edges as neighbourhoods: along an edge from u to v, v hears u.

    Args:
        clouds: With ``edge_index``; it may hold an edge in one direction or in both, and no edge at all.
        loop: Whether a point hears itself too, first of all; an edge from it to itself that is given stays as it is.
        undirected: Whether an edge that is given in one direction alone is heard in both, with the same features.

    Returns:
        Neighbors with k = the largest degree (at least 1); the edges into a point lie in the order of ``edge_index``,
        behind them those that were added. :attr:`Neighbors.edges` says which row of the edge-level fields each is.

    Raises:
        PellucidError: if the clouds do not carry ``edge_index``, or an end is no point of its cloud.

    Example:
        >>> bonds = {"edge_index": torch.tensor([[0, 1], [1, 2]]), "features": torch.zeros(3, 1)}
        >>> chain = PointClouds(torch.tensor([0, 3]), bonds, edge_ptr=torch.tensor([0, 2]))
        >>> table = given_edges(chain, loop=False)
        >>> table.edge_index().tolist(), table.edge_rows.tolist()
        ([[1, 0, 2, 1], [0, 1, 1, 2]], [0, 0, 1, 1])
    """
    points, (source, target) = clouds.points, clouds.edges().long()
    row = torch.arange(len(source), device=source.device)
    if undirected:
        missing = ~torch.isin(target * points + source, source * points + target)
        source, target, row = (torch.cat([source, target[missing]]), torch.cat([target, source[missing]]),
                               torch.cat([row, row[missing]]))
    if loop:
        own = torch.ones(points, dtype=torch.bool, device=source.device)
        own[source[source == target]] = False
        alone = own.nonzero().squeeze(1)
        source, target, row = (torch.cat([alone, source]), torch.cat([alone, target]),
                               torch.cat([torch.full_like(alone, -1), row]))
    column = places_in_rows(target, points)
    width = int(column.max()) + 1 if len(column) else 1
    index = torch.arange(points, device=source.device)[:, None].repeat(1, width)
    edges = torch.full_like(index, -1)
    mask = torch.zeros_like(index, dtype=torch.bool)
    index[target, column], edges[target, column], mask[target, column] = source, row, True
    return Neighbors(index, None if bool(mask.all()) else mask, edges)


def places_in_rows(row: Tensor, rows: int) -> Tensor:
    """(n,) place of each entry among those of the same row, in order.

    Args:
        row: (n,) int64.
        rows: Number of rows.

    Example:
        >>> places_in_rows(torch.tensor([2, 0, 2, 2]), 3).tolist()
        [0, 0, 1, 2]
    """
    order = torch.argsort(row, stable=True)
    counts = torch.bincount(row, minlength=rows)
    place = torch.empty_like(row)
    place[order] = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row[order]]
    return place
