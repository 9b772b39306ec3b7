"""Reads the YAML of a dataset: presets for training, and the published numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from pellucid.backbones import backbones
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.methods import methods
from pellucid.training.config import RunConfig, merge


@dataclass(frozen=True)
class Published:
    """One cell of a table in the paper.

    Attributes:
        metric: Place in ``metrics.json``, e.g. ``"interpretation.roc_auc"``.
        mean: In [0, 1] (the paper prints percent).
        std: Standard deviation over seeds, same scale.
        source: Where it stands.
    """

    metric: str
    mean: float
    std: float
    source: str


@cache
def _content(dataset: str) -> dict[str, Any]:
    place = files("pellucid.benchmarks") / f"{dataset}.yaml"
    if not place.is_file():
        return {"presets": {}, "published": {"source": "", "cells": []}}
    return dict(yaml.safe_load(place.read_text(encoding="utf-8")))


def presets(dataset: str) -> list[str]:
    """Names of the presets that a dataset has."""
    return list(_content(dataset)["presets"])


def settings(dataset: str, method: str, backbone: str, preset: str = "fast",
             over: dict[str, Any] | None = None) -> RunConfig:
    """The configuration of a preset.

    Args:
        dataset: Dataset name.
        method: Method name.
        backbone: Backbone name.
        preset: A preset of that dataset's YAML; ``"fast"`` falls back to the library's defaults where there is none.
        over: Entries of :class:`RunConfig` that are laid over the preset.

    Raises:
        UnknownNameError: for an unknown name.

    Example:
        >>> settings("synmol", "lri-gaussian", "dgcnn", "paper").training.warmup
        200
    """
    methods[method], backbones[backbone]  # refuses unknown names with the near misses
    content: dict[str, Any] = {"dataset": dataset, "preset": preset}
    known = _content(dataset)["presets"]
    if preset in known:
        chosen = known[preset]
        content = merge(content, chosen["common"])
        if method not in chosen["methods"]:
            raise PellucidError(f"expected a method with settings in preset {preset!r} of {dataset}, got {method!r}; "
                                f"use one of {', '.join(chosen['methods'])}")
        content = merge(content, chosen["methods"][method].get("common", {}))
        content = merge(content, chosen["methods"][method].get(backbone, {}))
    elif preset != "fast":
        raise UnknownNameError(f"preset of {dataset}", preset, known)
    content = merge(content, {"method": {"name": method}, "backbone": {"name": backbone}})
    return RunConfig.parse(merge(content, over or {}))


def published(dataset: str, method: str, backbone: str) -> list[Published]:
    """The published cells for one dataset, method and backbone; empty where the paper has none."""
    content = _content(dataset)["published"]
    return [Published(c["metric"], c["mean"] / 100, c["std"] / 100, f"Table {c['table']}, {content['source']}")
            for c in content["cells"] if c["method"] == method and c["backbone"] == backbone]
