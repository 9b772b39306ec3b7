"""How far new samples are from those that a run was trained on: sizes, categories, and the model's own embedding.

A model answers whatever it is given. What it was taught on bounds what its answers are worth, and that is told here,
without any truth: by how many points a sample has, which categories occur in it, and how near the nearest training
sample is where the model itself places samples. It is the applicability domain of the literature (OECD 2007, principle
3; nearest neighbours as in Sheridan et al., J. Chem. Inf. Comput. Sci. 44, 1912, 2004).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.backbones.kernels import segment_sum
from pellucid.clouds import PointClouds
from pellucid.errors import DamagedFileError
from pellucid.files import read_tensors, write_tensors
from pellucid.methods.base import Method
from pellucid.training.predict import batches_of

REFERENCE = "reference.safetensors"
"""The file in a run folder."""
MOST = 20_000
"""Training samples that are kept at most, drawn by the run's seed."""
FIELDS = ("categories", "edge_categories")
CAUSES = ("size", "category", "embedding")
"""Why a sample may be outside."""

CategoryName = Callable[[int, int, int, str], tuple[str, str]]
"""``Domain.category``: value, column, columns, field -> what it is of, and its name."""


def pooled(h: Tensor, clouds: PointClouds) -> Tensor:
    """(points, hidden) of the last layer -> (clouds, 2 hidden): its mean and its sum over the points of each cloud."""
    total = segment_sum(h, clouds.ptr)
    return torch.cat([total / clouds.sizes.clamp(min=1)[:, None], total], 1)


@dataclass(frozen=True)
class Check:
    """What is known of some samples beside those of the training.

    Attributes:
        distance: (clouds,) to the nearest training sample in the model's embedding, in units of the distance that 95 %
            of the training samples have to their own nearest: 1 is as far as the outermost twentieth of them.
        nearest: Which training sample that is; ``""`` where it has no id.
        causes: (clouds, 3) bool: outside by size, by category, by its place in the embedding; see :data:`CAUSES`.
        sentences: Of each, why it is outside; ``""`` where it is not.
    """

    distance: Tensor
    nearest: list[str]
    causes: Tensor
    sentences: list[str]


@dataclass(frozen=True)
class Reference:
    """What a run keeps of its training samples.

    Attributes:
        sizes: (2,) the least and the most points of one.
        seen: Field -> for each of its columns the categories that occurred, ascending.
        center: (width,) mean of the pooled embeddings.
        spread: (width,) their standard deviation; 1 where it is 0.
        embeddings: (samples, width) pooled embeddings of at most :data:`MOST` samples, less ``center``, by ``spread``.
        scale: Distance that 95 %, and 99 %, of the samples have at most to the nearest of the others: Euclidean, of
            the standardised embeddings.
        ids: Of these samples; empty where they have none.
    """

    sizes: Tensor
    seen: dict[str, list[Tensor]]
    center: Tensor
    spread: Tensor
    embeddings: Tensor
    scale: Tensor
    ids: list[str] = field(default_factory=list)

    @staticmethod
    def of(model: Method, clouds: PointClouds, seed: int = 0) -> Reference | None:
        """Of the training samples.

        Several clouds of one id are one sample in several shapes, of which the first is kept: each would otherwise be
        the nearest to the other.

        Args:
            model: Trained, in eval mode.
            clouds: The training split.
            seed: Of the draw where there are more than :data:`MOST`.

        Returns:
            None where there are fewer than two samples: distances between them would mean nothing.
        """
        ids = clouds.text.get("id", [])
        kept = torch.arange(len(clouds))
        if len(distinct := list({name: i for i, name in reversed(list(enumerate(ids)))}.values())) > 1:
            kept = torch.tensor(sorted(distinct))
        if len(kept) < 2 or clouds.points == 0:
            return None
        if len(kept) > MOST:
            chosen = torch.randperm(len(kept), generator=torch.Generator().manual_seed(seed))[:MOST]
            kept = kept[chosen.sort().values]
        drawn = clouds.select(kept)
        raw = embeddings_of(model, drawn).double()
        center, spread = raw.mean(0), raw.std(0)
        spread = torch.where(spread > 1e-6 * (1 + center.abs()), spread, torch.inf)  # a constant says nothing
        values = ((raw - center) / spread).to(torch.float16).float()
        own = _nearest(values, values, 2)[0][:, 1]
        scale = torch.quantile(own, torch.tensor([0.95, 0.99]))
        seen = {name: [_distinct(clouds[name][:, c]) for c in range(clouds[name].shape[1])]
                for name in FIELDS if name in clouds}
        sizes = torch.stack([clouds.sizes.min(), clouds.sizes.max()]).cpu()
        scale = torch.where(scale > 0, scale, 1.0)  # all alike
        return Reference(sizes, seen, center.float(), spread.float(), values, scale,
                         [ids[i] for i in kept.tolist()] if ids else [])

    def check(self, embeddings: Tensor, clouds: PointClouds, *, points: str = "points",
              category: CategoryName | None = None) -> Check:
        """Compares samples with those of the training.

        Args:
            embeddings: (clouds, width) from :func:`pooled`, of the same model.
            clouds: The samples, on the CPU.
            points: The domain's word for several points.
            category: How the domain calls categories.
        """
        values = (embeddings.detach().cpu().float() - self.center) / self.spread
        distance, place = _nearest(self.embeddings, values.clamp(-1e4, 1e4), 1)
        distance = distance[:, 0] / self.scale[0]
        size = (clouds.sizes < self.sizes[0]) | (clouds.sizes > self.sizes[1])
        new = self._new(clouds)
        strange = torch.zeros(len(clouds), dtype=torch.bool)
        for found in new:
            strange[found[0]] = True
        causes = torch.stack([size, strange, distance > 1], 1)
        sentences = [""] * len(clouds)
        for i in causes.any(1).nonzero().squeeze(1).tolist():
            told = []
            if causes[i, 0]:
                told.append(f"{int(clouds.sizes[i])} {points}; training had {_range(self.sizes)}")
            if causes[i, 1]:
                told += _told_categories([entry[1:] for entry in new if entry[0] == i], category)
            if causes[i, 2]:
                told.append(f"far from everything in training (distance {float(distance[i]):.2g})")
            sentences[i] = "; ".join(told)
        return Check(distance, [self.ids[i] for i in place[:, 0].tolist()] if self.ids else [""] * len(clouds), causes,
                     sentences)

    def _new(self, clouds: PointClouds) -> list[tuple[int, str, int, int, int]]:
        """(cloud, field, column, columns, value) of each category that training did not have, once a cloud."""
        found = []
        for name, columns in self.seen.items():
            if name not in clouds:
                continue
            of = clouds.batch if clouds.declared[name].level == "point" else clouds.edge_batch
            for column, known in enumerate(columns[: clouds[name].shape[1]]):
                values = clouds[name][:, column].to(torch.int64)
                table = torch.ones(max(int(values.max()), int(known[-1])) + 1 if len(values) else 0, dtype=torch.bool)
                new = table.index_fill_(0, known[known < len(table)], False)[values]  # faster than isin
                if bool(new.any()):
                    pairs = sorted({*zip(of[new].tolist(), values[new].tolist(), strict=True)})
                    found += [(cloud, name, column, len(columns), value) for cloud, value in pairs]
        return found

    def save(self, path: Path) -> None:
        """Writes one safetensors file of about ``4 * hidden * samples`` bytes."""
        tensors = {"sizes": self.sizes, "center": self.center, "spread": self.spread, "scale": self.scale,
                   "embeddings": self.embeddings.to(torch.float16),
                   **{f"{name}.{c}": values for name, columns in self.seen.items() for c, values in enumerate(columns)}}
        write_tensors(path, tensors, {"ids": json.dumps(self.ids),
                                      "seen": json.dumps({name: len(columns) for name, columns in self.seen.items()})})

    @staticmethod
    def load(run: Path) -> Reference | None:
        """What a run folder holds; None where it holds none, as those of older versions.

        Raises:
            DamagedFileError: if the file is damaged.
        """
        if not (run / REFERENCE).is_file():
            return None
        tensors, metadata = read_tensors(run / REFERENCE)
        try:
            seen = {name: [tensors[f"{name}.{c}"] for c in range(count)]
                    for name, count in json.loads(metadata["seen"]).items()}
            return Reference(tensors["sizes"], seen, tensors["center"], tensors["spread"],
                             tensors["embeddings"].float(), tensors["scale"], json.loads(metadata["ids"]))
        except (KeyError, ValueError, TypeError) as error:
            raise DamagedFileError(f"expected a run's reference samples in {run / REFERENCE}, got a damaged file "
                                   f"({error}); delete it, and samples are no more compared with the training's"
                                   ) from error


@torch.no_grad()
def embeddings_of(model: Method, clouds: PointClouds) -> Tensor:
    """(clouds, 2 hidden) pooled embeddings, on the CPU.

    Args:
        model: In eval mode.
        clouds: What to embed.
    """
    return torch.cat([pooled(model.embed(batch, neighbors), batch).cpu() for batch, neighbors in
                      batches_of(model, clouds)])


def check_clouds(run: Path, model: Method, clouds: PointClouds, domain: Any) -> Check | None:
    """Samples beside those that a run was trained on; None where its folder holds no reference.

    Args:
        run: Its folder.
        model: Its model.
        clouds: The samples.
        domain: Theirs, for its words.
    """
    reference = Reference.load(run)
    if reference is None or not len(clouds):
        return None
    return reference.check(embeddings_of(model, clouds), clouds, points=domain.points, category=domain.category)


def _nearest(base: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(queries, k) Euclidean distances to the nearest of the base, and their rows."""
    import faiss  # slow to import, and only runs with a reference need it

    squared, rows = faiss.knn(queries.contiguous().numpy(), base.contiguous().numpy(), k)
    return torch.from_numpy(squared).clamp(min=0).sqrt(), torch.from_numpy(rows)


def _distinct(values: Tensor) -> Tensor:
    return torch.from_numpy(np.unique(values.cpu().numpy())).to(torch.int64)


def _range(sizes: Tensor) -> str:
    low, high = sizes.tolist()
    return str(low) if low == high else f"{low} to {high}"


def _told_categories(new: list[tuple[str, int, int, int]], category: CategoryName | None) -> list[str]:
    named: dict[str, list[str]] = {}
    for name, column, columns, value in new:
        of, called = category(value, column, columns, name) if category else ("category", str(value))
        named.setdefault(of, []).append(called)
    return [f"{of} never seen: {', '.join(names)}" for of, names in named.items()]
