"""Study VI: which nodes of a graph to label next (MARGIN paper, section 5.6, figure 8)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pellucid.benchmarks.margin.citation import Citations, Learner, citations
from pellucid.benchmarks.margin.protocol import Measured, Measurement, Part, Protocol, Settings, protocols
from pellucid.benchmarks.margin.sentences import difference
from pellucid.margin import influence
from pellucid.margin.active import LabelNext, spaced
from pellucid.margin.autoencoder import GraphAutoencoder
from pellucid.margin.graph import Graph

OURS = "MARGIN, spaced"
PAPER = "MARGIN, energy (paper)"
TITLES = {"cora": "Cora", "citeseer": "CiteSeer"}
SETTINGS = {"class": "as many of each class", "pool": "classes unknown", "wide": "any paper, classes unknown"}
"""How nodes are chosen: from the training nodes of each class, as in the paper; from all of them; from all nodes but
those of validation and test."""
ACCURACY = "test accuracy"
FOUND = "classes among the labelled"
FEW = 3
"""Most nodes a class that findings call few."""

Scores = NDArray[np.float64]
Nodes = NDArray[np.int64]


@protocols.register("margin-active")
class ActiveProtocol(Protocol):
    """Test accuracy of a graph convolutional network against the number of nodes that were labelled for it."""

    title = "Which nodes to label next (MARGIN study VI)"
    source = "MARGIN paper, section 5.6, figure 8"
    claim = ("Published: around 15 to 20 points higher in accuracy than random sampling and probabilistic resampling, "
             "especially for small training sets; five repetitions.")
    axis = "nodes labelled"
    best: ClassVar = {ACCURACY: "high", FOUND: "high"}
    files: ClassVar = {"cora": "planetoid/Cora/raw", "citeseer": "planetoid/CiteSeer/raw"}
    presets: ClassVar = {
        "standard": {"data": ["cora", "citeseer"], "seeds": 5, "per_class": [1, 2, 3, 5, 8, 12, 20], "epochs": 200,
                     "settings": ["class", "pool", "wide"]},
        "smoke": {"data": ["cora"], "seeds": 2, "per_class": [1, 20], "epochs": 15, "settings": ["class", "wide"]},
    }

    def parts(self, settings: Settings) -> list[Part]:
        """One a data set and seed."""
        return [Part(f"{TITLES[name]}, seed {seed}", (name,), {
            "data": name, "seed": seed, **{key: settings[key] for key in ("per_class", "epochs", "settings")}})
            for seed in range(settings["seeds"]) for name in settings["data"]]

    def measure(self, part: Part, folder: Path | None) -> Measured:
        """Embeds the nodes, lets every method choose some, and trains the network on each choice."""
        o = part.options
        name, seed = o["data"], o["seed"]
        data = citations(self.place(name, folder), name)
        embedding = GraphAutoencoder(epochs=o["epochs"], seed=seed).fit(data.graph, data.features).latents
        learner = Learner(data, epochs=o["epochs"])
        known: dict[bytes, float] = {}
        out = Measured()
        for setting in o["settings"]:
            table = f"{TITLES[name]}, {SETTINGS[setting]}"
            for each in o["per_class"]:
                rng = np.random.default_rng([seed, each])
                for method, nodes in choices(data, embedding, setting, each, rng):
                    key = nodes.tobytes()
                    if key not in known:
                        said = learner.predict(nodes, seed)
                        known[key] = float((said == data.labels)[data.test].mean())
                    out.rows.append(Measurement(table, ACCURACY, method, len(nodes), known[key], seed))
                    if setting != "class":
                        found = len(np.unique(data.labels[nodes]))
                        out.rows.append(Measurement(table, FOUND, method, len(nodes), found, seed))
        return out

    def findings(self, rows: list[Measurement]) -> list[str]:
        """Differences at few labels, and whether all methods agree where they can choose nothing."""
        value = {(row.table, row.method, row.x, row.repetition): row.value for row in rows if row.metric == ACCURACY}
        out = []
        for table in dict.fromkeys(row.table for row in rows):
            here = {key[1:]: v for key, v in value.items() if key[0] == table}
            methods = list(dict.fromkeys(m for m, _, _ in here))
            sizes = sorted({x for _, x, _ in here})
            few = [x for x in sizes if x <= FEW * sizes[0]]  # the first size has one node a class
            seeds = [r for r in sorted({r for _, _, r in here})
                     if all((m, x, r) in here for m in methods for x in few)]
            if not seeds:
                continue
            mean = {(m, r): float(np.mean([here[m, x, r] for x in few])) for m in methods for r in seeds}
            for mine in (OURS, PAPER):
                gains = {m: [mean[mine, r] - mean[m, r] for r in seeds] for m in methods if m != mine}
                ranked = sorted(gains, key=lambda m: float(np.mean(gains[m])))
                told = "; ".join(f"{m} {difference(gains[m])}" for m in ranked)
                out.append(f"{table}, mean over up to {few[-1]:g} labels: {ACCURACY}, {mine} minus others, smallest "
                           f"first: {told}.")
            if SETTINGS["wide"] not in table:
                last = [{v for (m, x, r), v in here.items() if x == sizes[-1] and r == seed} for seed in seeds]
                same = all(len(found) == 1 for found in last)
                level = float(np.mean([v for (_, x, _), v in here.items() if x == sizes[-1]]))
                word = "all methods have the same" if same else "methods differ, with a mean"
                out.append(f"{table}: at {sizes[-1]:g} labels {word} {ACCURACY} of {level:.4f}.")
        return out


def choices(data: Citations, embedding: Scores, setting: str, each: int, rng: np.random.Generator
            ) -> Iterator[tuple[str, Nodes]]:
    """The nodes that each method would have labelled, in the order of their numbers.

    Args:
        data: The network. The setting ``class`` looks at labels, as the paper does; the others do not.
        embedding: (nodes, width) latents.
        setting: Out of :data:`SETTINGS`.
        each: How many a class, or that many times the number of classes in all.
        rng: Of the methods that draw.
    """
    pool = data.wide if setting == "wide" else data.train
    groups, count = [pool], each * data.fields
    if setting == "class":
        groups, count = [pool[data.labels[pool] == c] for c in range(data.fields)], each
    scores = rankings(data.graph, embedding, pool)
    scores["probabilistic resampling"] = resampling(data.graph, embedding, rng)
    scores["random"] = rng.random(data.graph.nodes)
    for method, score in scores.items():
        yield method, np.sort(np.concatenate([group[np.argsort(-score[group], kind="stable")[:count]]
                                              for group in groups]))
    yield "k-centre", np.sort(np.concatenate([group[farthest_first(embedding[group], count)] for group in groups]))


def rankings(graph: Graph, embedding: Scores, pool: Nodes) -> dict[str, Scores]:
    """Method -> (nodes,) scores, high = label it first, of all methods that draw nothing.

    Args:
        graph: The graph.
        embedding: (nodes, width) latents.
        pool: Numbers of the nodes that may be labelled.
    """
    f = np.linalg.norm(embedding, axis=1)
    candidate = np.full(len(f), -np.inf)
    default = LabelNext().fit(graph, embedding=embedding)
    candidate[pool] = default.influence_[pool]
    rounds = spaced(graph, candidate, default.spacing)
    place = np.empty(len(f))
    place[np.lexsort((-candidate, rounds))] = -np.arange(len(f))
    return {
        OURS: place,
        PAPER: influence(graph, f),
        "MARGIN, listing (paper)": influence(graph, f, mode="listing"),
        "MARGIN, signed": influence(graph, f, mode="signed"),
        "norm f": f,
        "degree": graph.degree,
        "PageRank": pagerank(graph),
    }  # fmt: skip


def resampling(graph: Graph, embedding: Scores, rng: np.random.Generator) -> Scores:
    """Scores whose order is a draw without replacement, node i with a probability in proportion to |(z - A z)(i)|.

    Chen et al., Fast Resampling of 3D Point Clouds via Graphs, 2017: the magnitude of the features after a high-pass
    filter, A the transition matrix. With e_i exponential, the order of p_i / e_i is such a draw (Efraimidis and
    Spirakis, 2006); nodes with p = 0 come last, in random order.

    Args:
        graph: The graph.
        embedding: z, (nodes, width).
        rng: Random numbers.
    """
    p = influence(graph, embedding, mode="magnitude")
    out: Scores = np.where(p > 0, p / rng.exponential(size=len(p)), -rng.random(len(p)))
    return out


def farthest_first(x: Scores, count: int) -> Nodes:
    """Greedy k-centre: rows of which each is farthest from all before it; the first is the nearest to the mean.

    Gonzalez, Clustering to minimize the maximum intercluster distance, 1985; for active learning, Sener and Savarese,
    2018.

    Example:
        >>> farthest_first(np.array([[0.0], [1.0], [2.0], [5.0]]), 3).tolist()
        [2, 3, 0]
    """
    nearest = np.full(len(x), np.inf)
    chosen = [int(np.square(x - x.mean(0)).sum(1).argmin())]
    while len(chosen) < count:
        nearest = np.minimum(nearest, np.square(x - x[chosen[-1]]).sum(1))
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


def pagerank(graph: Graph, damping: float = 0.85) -> Scores:
    """(nodes,) PageRank by power iteration; who has no neighbours sends to all alike (Page et al., 1999).

    Args:
        graph: An undirected graph.
        damping: Share that follows edges.
    """
    n = graph.nodes
    rank = np.full(n, 1 / n)
    weight = np.divide(1, graph.degree, out=np.zeros(n), where=graph.degree > 0)
    for _ in range(200):  # 0.85^200 is below rounding
        moved = graph.sums((weight * rank)[:, None])[:, 0] + rank[graph.isolated].sum() / n
        rank = damping * moved + (1 - damping) / n
    return rank
