"""``pellucid audit``: a study over the samples of a table, as a ranking and a page to judge it by."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances

from pellucid.errors import PellucidError, UnknownNameError
from pellucid.files import replacing
from pellucid.margin import Study, studies
from pellucid.margin.samples import Samples, read_samples
from pellucid.margin.tables import Source
from pellucid.progress import waiting
from pellucid.report.audit import AuditContent, Gallery, render, signed_number
from pellucid.report.gallery import looks, parse_size

STUDIES = ("labels", "prototypes", "boundary", "outliers")
"""What can be audited."""
METRICS = ("euclidean", "cosine", "correlation")
MAPPED = 5000
"""Samples on the map at most, besides those that are shown."""
NEIGHBOURS = 8
"""Neighbours shown with a sample."""
MOST = 1000
"""Samples that a page can show: it would be too large to open otherwise."""
_NAMED = 100
"""Ids of samples left out that the summary lists."""
_TITLES = {
    "labels": ("Wrong labels", "Most likely wrong", "Labels that the neighbours do not share, most suspicious first."),
    "prototypes": ("Prototypes and criticisms", "Criticisms", "What prototypes do not explain, oddest first."),
    "boundary": ("Decision boundary", "Closest to a boundary", "Where classes meet, closest first."),
    "outliers": ("Outliers", "Oddest", "Least like the samples around them, oddest first."),
}
_MEANING = {
    ("labels", "trusted"): "Score: how many of its neighbours speak for the strongest other label, out of those that "
                           "speak for it or for the sample's own; a neighbour that is doubtful itself has less of a "
                           "vote. 0: nothing speaks against the label; 1: everything does.",
    ("labels", "disagreement"): "Score: the share of a sample's neighbours that have another label.",
    ("boundary", "diffused"): "Score: the share of neighbours that have another label, of the sample itself, of its "
                              "neighbours, of theirs and so on, each step counting half as much as the one before. 0: "
                              "no other label anywhere near.",
    ("boundary", "disagreement"): "Score: the share of a sample's neighbours that have another label.",
    ("outliers", "trusted"): "Score: how much further a sample is from its nearest neighbours than they are from "
                             "theirs, as a difference of logarithms. Near 0: as usual there; 0.7: about twice as far.",
    ("prototypes", "below"): "Score: how much less the sample resembles all others than its neighbours do (mean "
                             "discrepancy). High: a criticism, which prototypes do not explain; below 0: more typical "
                             "than its neighbours.",
}
_CITED = "Score: see the page of this study in the documentation for what this variant measures; higher comes first."


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        study: The fitted study.
        samples: What was read.
        ranking: Columns ``id``, ``score``, ``rank`` (1 = most suspicious) and, where there are labels, ``label`` and
            ``suggested``.
        prototypes: All samples in the order of choice, so that the first m are m prototypes, with ``id``, ``rank`` and,
            where there are labels, ``label``; None for other studies.
        summary: What was asked and found, for machines.
        files: The files written, by name.
    """

    study: Study
    samples: Samples
    ranking: Any
    prototypes: Any
    summary: dict[str, Any]
    files: dict[str, Path]


def audit(study: str, table: Any, *, features: str | Sequence[str], label: str | None = None,
          out: str | Path | None = None, id_column: str | None = None, show: str | None = None,
          image: str | None = None, neighbors: int | None = None, metric: str = "euclidean",
          variant: str | None = None, options: Mapping[str, Any] | None = None, scale: str = "auto",
          missing: str = "error", top: int = 24, seed: int = 0, memory: int | None = None,
          progress: bool = False) -> Audit:
    """Ranks the samples of a table, and writes the ranking with a page that shows the first ones.

    Args:
        study: ``"labels"``, ``"prototypes"``, ``"boundary"`` or ``"outliers"``.
        table: A parquet or CSV file, a folder of parquet files, a pyarrow table or a data frame.
        features: Columns of numbers, or of lists of numbers, by name or glob (``"x*"``).
        label: Column of labels. Prototypes are then chosen within each label (``function="local"``), unless an option
            says otherwise.
        out: Folder for ``ranking.parquet``, ``ranking.csv``, ``report.html`` and, for prototypes,
            ``prototypes.parquet`` and ``.csv``; None writes nothing.
        id_column: Column that names samples; None: ``id`` where that is a column and no feature, else row numbers
            from 0.
        show: Column with what a person looks at: images (bytes, a struct with ``bytes``, or paths) or texts.
        image: Shape of images whose pixels the features are, such as ``"28x28"`` or ``"32x32x3"``.
        neighbors: k; None: the study's own.
        metric: ``"euclidean"``, ``"cosine"`` or ``"correlation"``.
        variant: Of the score; None: the study's own.
        options: Further parameters of the study.
        scale: What is done to columns of different units; see :func:`pellucid.margin.scaling.scaling`.
        missing: What is done about missing or infinite features: ``"error"``, ``"drop"`` or ``"median"``.
        top: Samples that the page shows, up to 1,000.
        seed: Of an approximate search, and of the samples drawn for the map.
        memory: Bytes that the features may take before they go to a temporary file, on the disk of ``out``; None: a
            quarter of what is free.
        progress: Whether to show bars on stderr.

    Raises:
        PellucidError: for a table, columns or settings that cannot be used; nothing has been written then.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> digits = load_digits(as_frame=True).frame
        >>> digits.loc[7, "target"] = 3  # it is a seven
        >>> found = audit("labels", digits, features="pixel*", label="target")
        >>> 7 in found.ranking.column("id").to_pylist()[:2], found.summary["scaling"][0].partition(",")[0]
        (True, 'pixel_#_# (64 numbers): one vector')
    """
    if study not in STUDIES:
        raise UnknownNameError("study for an audit", study, STUDIES)
    kind = studies[study]
    if kind.needs_labels and label is None:
        raise PellucidError(f"expected a column of labels for {study}, got none; pass --label (label=)")
    if not 1 <= top <= MOST:
        raise PellucidError(f"expected to show from 1 to {MOST} samples, got {top}")
    if metric not in METRICS:
        raise PellucidError(f"expected a metric out of {', '.join(METRICS)}, got {metric!r}")
    size = parse_size(image) if image is not None else None
    if size and show is not None:
        raise PellucidError("expected either a column to show or features that are images, got both; leave one out")
    folder = None if out is None else Path(out)
    disk = None if folder is None else _writable(folder)
    given = {"n_neighbors": neighbors, "variant": variant, **(options or {})}
    if study == "prototypes" and label is not None:
        given.setdefault("function", "local")
    model = _make(study, kind, {"metric": metric, "random_state": seed, "verbose": progress,
                                **{name: value for name, value in given.items() if value is not None}})
    source = Source.open(table)
    if show is not None:
        source.check(show, "what is shown")
    samples = read_samples(source, [features] if isinstance(features, str) else features, label=label,
                           id_column=id_column, apart=[] if show is None else [show], scale=scale, missing=missing,
                           one_unit=size is not None, memory=memory, folder=disk,
                           progress=progress)
    if size and int(np.prod(size)) != len(samples.names):
        raise PellucidError(f"expected {int(np.prod(size))} pixels for images of {image}, got {len(samples.names)} "
                            "features; name all pixels and nothing else")
    model.fit(samples.X, samples.label)
    ranking, prototypes = _ranking(model, samples), _prototypes(model, samples)
    files: dict[str, Path] = {}
    if folder is not None:
        files = {name: folder / name for name in ("ranking.parquet", "ranking.csv", *(
            ("prototypes.parquet", "prototypes.csv") if prototypes is not None else ()), "report.html")}
    summary = _summary(study, model, samples, ranking, prototypes, source, label, scale, missing)
    if folder is not None:
        with waiting("writing the report", progress):
            page = render(_content(study, model, samples, prototypes, source, summary, show, size, top, seed))
            with ExitStack() as stack:  # renames only after the last one is written
                parts = {name: stack.enter_context(replacing(path)) for name, path in files.items()}
                for stem, content in (("ranking", ranking), ("prototypes", prototypes)):
                    if content is not None:
                        pa.parquet.write_table(content, parts[f"{stem}.parquet"])
                        pa.csv.write_csv(content, parts[f"{stem}.csv"])
                parts["report.html"].write_text(page, encoding="utf-8")
    summary["files"] = {name: str(path) for name, path in files.items()}
    return Audit(model, samples, ranking, prototypes, summary, files)


def _make(name: str, kind: type[Study], options: dict[str, Any]) -> Study:
    known = sorted(kind().get_params())
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of {name}", option, known)
    return kind(**options)


def _writable(folder: Path) -> Path:
    """The folder, or the one above that is there: what cannot be written is told before the work starts."""
    there = next((parent for parent in (folder, *folder.absolute().parents) if parent.exists()), Path())
    if not there.is_dir():
        raise PellucidError(f"expected a folder to write to, got {there}, which is a file; choose another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PellucidError(f"expected a folder to write to, got {there}, which may not be written; choose another")
    return there


def _ranking(model: Study, samples: Samples) -> Any:
    """The table of all samples, highest score first."""
    order = model.ranking_
    columns = {"id": samples.ids.take(pa.array(order)), "score": model.influence_[order],
               "rank": np.arange(1, len(order) + 1)}
    if samples.label is not None:
        columns["label"] = samples.label[order]
        if (suggested := getattr(model, "suggested_", None)) is not None:
            columns["suggested"] = suggested[order]
    return pa.table(columns)


def _prototypes(model: Study, samples: Samples) -> Any:
    chosen = getattr(model, "prototypes_", None)
    if chosen is None:
        return None
    columns = {"id": samples.ids.take(pa.array(chosen)), "rank": np.arange(1, len(chosen) + 1)}
    return pa.table(columns | ({} if samples.label is None else {"label": samples.label[chosen]}))


def _summary(study: str, model: Study, samples: Samples, ranking: Any, prototypes: Any, source: Source,
             label: str | None, scale: str, missing: str) -> dict[str, Any]:
    about, score = model.graph_.about, model.influence_
    out: dict[str, Any] = {"study": study, "table": source.name, "samples": len(samples),
                           "features": len(samples.names), "columns": samples.columns, "label": label}
    if samples.label is not None:
        names, counts = np.unique(samples.label, return_counts=True)
        out["classes"] = dict(zip(map(str, names), map(int, counts), strict=True))
    out |= {"neighbors": int(about.get("k", model.n_neighbors)),
            "search": {name: about[name] for name in ("metric", "search", "recall", "recall_samples") if name in about},
            "options": model.get_params(), "scale": scale, "scaling": samples.scaling.about, "missing": missing,
            "left_out": {"without_label": _named(samples.without_label), "incomplete": _named(samples.incomplete)},
            "notes": samples.notes,
            "score": {"lowest": float(score.min()), "median": float(np.median(score)), "highest": float(score.max())}}
    if "suggested" in ranking.column_names:
        out["another_label_suggested"] = int((samples.label != model.suggested_).sum())
    if prototypes is not None:
        out["prototypes"] = [str(i) for i in prototypes.column("id").to_pylist()[:_NAMED]]
    return out | {"first": ranking.slice(0, 10).to_pylist(), "version": version("pellucid")}


def _named(ids: list[Any]) -> dict[str, Any]:
    return {"count": len(ids), "first": ids[:_NAMED]}


def _content(study: str, model: Study, samples: Samples, prototypes: Any, source: Source, summary: dict[str, Any],
             show: str | None, size: tuple[int, ...] | None, top: int, seed: int) -> AuditContent:
    title, first, lead = _TITLES[study]
    beside = " Beside each its nearest neighbours" + (", with their labels; red: another label than the sample's."
                                                      if samples.label is not None else ".")
    galleries = [Gallery(first, lead + beside, model.ranking_[:top].tolist())]
    if prototypes is not None:
        chosen = model.prototypes_[:top].tolist()
        galleries.insert(0, Gallery("Prototypes", f"The first {len(chosen)} in the order in which they were chosen."
                                    + beside, chosen))
    shown = list(dict.fromkeys(i for gallery in galleries for i in gallery.samples))
    near = {i: _nearest(model, samples.X, i) for i in shown}
    typical = _typical(samples, shown, seed) if study == "labels" and show is None and size is None else None
    kind, seen, notes = looks(source, samples, shown, near, show=show, size=size, typical=typical)
    mapped, places, map_about = _map(samples.X, shown, seed)
    k, found = summary["neighbors"], summary["search"]
    recall = f"approximate, recall {found['recall']:.3f}" if found["search"] == "approximate" else "exact"
    subtitle = (f"{len(samples):,} samples, {len(samples.names):,} features"
                + (f", {len(summary['classes']):,} classes" if samples.label is not None else "")
                + f"; each beside its {k} nearest neighbours ({found['metric']}, {recall}).")
    score = summary["score"]
    cards = [("Samples", f"{len(samples):,}", f"{len(samples.names):,} features")]
    if "another_label_suggested" in summary:
        count = summary["another_label_suggested"]
        cards.append(("Another label suggested", f"{count:,}", f"{count / len(samples):.1%} of the samples"))
    cards += [("Highest score", signed_number(score["highest"]), f"median {signed_number(score['median'])}"),
              ("Neighbours", str(k), f"{found['metric']}, {recall}")]
    options = summary["options"]
    key = options.get("variant", "")
    plain = study != "outliers" or options.get("function") == "distance"
    return AuditContent(
        title=f"{title} in {source.name}", subtitle=subtitle, cards=cards,
        meaning=_MEANING.get((study, key), _CITED) if plain else _CITED, ids=_Texts(samples.ids),
        score=model.influence_, ranking=model.ranking_, label=samples.label,
        suggested=getattr(model, "suggested_", None), galleries=galleries, neighbours=near, kind=kind, looks=seen,
        typical=typical is not None, mapped=mapped, places=places, map_about=map_about, notes=[*samples.notes, *notes],
        provenance={"table": source.name, "columns of features": _shortly(samples.columns), "scaling":
                    samples.scaling.about, "missing values": "none" if summary["missing"] == "error" else
                    summary["missing"], "label": summary["label"] or "none",
                    "study": {"name": study, **options}, "search": found, "seed": seed,
                    "pellucid": summary["version"]})


class _Texts(Sequence[str]):
    """Ids as texts, made when they are asked for."""

    def __init__(self, ids: Any) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, at: Any) -> Any:
        return str(self._ids[int(at)].as_py())


def _shortly(names: list[str]) -> list[str]:
    return names if len(names) <= 40 else [*names[:39], f"and {len(names) - 39} more"]


def _nearest(model: Study, X: NDArray[np.float32], i: int) -> list[int]:
    """The neighbours of a sample in the graph, nearest first."""
    w = model.graph_.weights
    index = w.indices[w.indptr[i]:w.indptr[i + 1]]
    if not len(index):
        return []
    distance = pairwise_distances(np.asarray(X[i:i + 1]), np.asarray(X[index]), metric=model.metric)[0]
    return [int(j) for j in index[np.argsort(distance, kind="stable")[:NEIGHBOURS]]]


def _typical(samples: Samples, shown: Sequence[int], seed: int) -> dict[int, NDArray[np.float64]]:
    """By shown sample the median of its label in the table's units, over a part of the samples where they are many."""
    assert samples.label is not None
    rng, out = np.random.default_rng(seed), {}
    middle: dict[Any, NDArray[np.float64]] = {}
    for i in shown:
        name = samples.label[i]
        if name not in middle:
            rows = np.flatnonzero(samples.label == name)
            rows = rows if len(rows) <= MAPPED else np.sort(rng.choice(rows, MAPPED, replace=False))
            scaled = np.median(samples.X[rows], axis=0).astype(np.float64)
            middle[name] = scaled * samples.scaling.unit + samples.scaling.shift
        out[i] = middle[name]
    return out


def _map(X: NDArray[np.float32], shown: Sequence[int], seed: int
         ) -> tuple[NDArray[np.int64], NDArray[np.float64], str]:
    """Two principal components of the features, of a random part of the samples and all that are shown."""
    n = len(X)
    drawn = np.arange(n) if n <= MAPPED else np.random.default_rng(seed).choice(n, MAPPED, replace=False)
    mapped = np.union1d(drawn, np.asarray(shown, np.int64))
    points = np.asarray(X[mapped])
    places = np.zeros((len(mapped), 2))
    axes = min(2, *points.shape)
    pca = PCA(axes, svd_solver="randomized" if min(points.shape) > 10 else "full", random_state=seed)
    places[:, :axes] = pca.fit_transform(points)
    share = np.nan_to_num(pca.explained_variance_ratio_).sum()
    which = f"all {n:,} samples" if n <= MAPPED else f"{len(mapped):,} of {n:,} samples, drawn at random, and all below"
    return mapped, places, (f"Two principal components of the scaled features ({share:.0%} of the variance) for "
                            f"{which}. Neighbours were found in all features: near on the map need not be near.")
