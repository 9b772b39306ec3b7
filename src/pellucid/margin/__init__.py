"""MARGIN: which samples of a dataset carry a hypothesis, by the influence of nodes on a signal over a graph."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.margin.active import LabelNext
    from pellucid.margin.base import Study, studies
    from pellucid.margin.boundary import DecisionBoundary
    from pellucid.margin.filters import band, chebyshev, high_pass, influence, shift
    from pellucid.margin.functions import disagreement
    from pellucid.margin.graph import Graph, beta_skeleton, epsilon_graph, graph_of, knn_graph
    from pellucid.margin.image_explanation import ImageExplanation
    from pellucid.margin.images import ImageExplainer, explain_image
    from pellucid.margin.labels import WrongLabels
    from pellucid.margin.nearest import Nearest, nearest
    from pellucid.margin.outliers import Outliers
    from pellucid.margin.prototypes import Prototypes, cover

lazy(__name__, {
    "active": ["LabelNext"],
    "base": ["Study", "studies"],
    "boundary": ["DecisionBoundary"],
    "filters": ["band", "chebyshev", "high_pass", "influence", "shift"],
    "functions": ["disagreement"],
    "graph": ["Graph", "beta_skeleton", "epsilon_graph", "graph_of", "knn_graph"],
    "image_explanation": ["ImageExplanation"],
    "images": ["ImageExplainer", "explain_image"],
    "labels": ["WrongLabels"],
    "nearest": ["Nearest", "nearest"],
    "outliers": ["Outliers"],
    "prototypes": ["Prototypes", "cover"],
})

__all__ = ["DecisionBoundary", "Graph", "ImageExplainer", "ImageExplanation", "LabelNext", "Nearest", "Outliers",
           "Prototypes", "Study", "WrongLabels", "band", "beta_skeleton", "chebyshev", "cover", "disagreement",
           "epsilon_graph", "explain_image", "graph_of", "high_pass", "influence", "knn_graph", "nearest",
           "shift", "studies"]
