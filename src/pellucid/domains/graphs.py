"""Graphs: nodes and given edges, with or without coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pellucid.domains.base import Domain, domains
from pellucid.domains.given import Given
from pellucid.domains.shown import Shown, labels
from pellucid.report.layout import layout
from pellucid.report.plane import plane, tones
from pellucid.report.words import Words


@domains.register("graphs")
class Graphs(Domain):
    """Graphs: points are nodes, drawn in a plane where they have no coordinates."""

    words = Words("node", "graph")
    inputs = "a PointClouds, the .safetensors file of one, or a list of torch_geometric's Data"

    def make(self, source: Any, **more: Any) -> Given:
        """See :meth:`Domain.make`.

        Args:
            source: ``torch_geometric.data.Data`` objects that carry the same attributes, or one of them.
            **more: Not used.
        """
        from torch_geometric.data import Data

        graphs = [source] if isinstance(source, Data) else source
        if not isinstance(graphs, Sequence) or isinstance(graphs, str) or not all(isinstance(g, Data) for g in graphs):
            return super().make(source, **more)
        from pellucid.pyg import from_pyg

        return Given(from_pyg(graphs))

    def drawn(self, one: Shown) -> dict[str, Any]:
        """Nodes where they are, or where a layout puts them, and edges; see :meth:`Domain.drawn`."""
        edges, drawn, named = one.edges, super().drawn(one), labels(one)
        common = {"labels": named if any(name != "–" for name in named) else [str(i) for i in range(len(one))],
                  "bonds": [(a, b, 1.0) for a, b in edges], "columns": one.features,
                  "facts": {"Edges": str(len(edges))}}
        if drawn is not None:
            return {**drawn, **common}
        at = layout(len(one), edges)
        svg, _ = plane(at, None, tones(one.importance, one.explanation.signed), [np.array(edge) for edge in edges],
                       one.important, equal=True)
        return {**common, "unit": "", "pos": np.pad(at, ((0, 0), (0, 1))), "views": {"Nodes and edges": svg}}
