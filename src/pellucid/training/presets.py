"""Reads the YAML of a dataset: its presets for training."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from pellucid.backbones import backbones
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.explainers import explainers
from pellucid.methods import methods
from pellucid.training.config import RunConfig, merge


@cache
def _content(dataset: str) -> dict[str, Any]:
    place = files("pellucid.training") / "settings" / f"{dataset}.yaml"
    if not place.is_file():
        return {"presets": {}}
    content = dict(yaml.safe_load(place.read_text(encoding="utf-8")))
    like = content.pop("like", None)
    return content if like is None else merge(_content(like), content)


def presets(dataset: str) -> list[str]:
    """Names of the presets that a dataset has."""
    return list(_content(dataset)["presets"])


def defaults(dataset: str, coordinates: bool = True) -> tuple[str, str]:
    """The backbone and the method that a dataset is trained with where the user names none.

    Args:
        dataset: Dataset name.
        coordinates: Whether its points have any; graphs without may need others.

    Example:
        >>> defaults("synmol"), defaults("molecules", coordinates=False)
        (('egnn', 'lri-gaussian'), ('gin', 'erm'))
    """
    content = _content(dataset)
    own = {} if coordinates else content.get("graphs", {})
    chosen = {"backbone": "egnn", "method": "lri-gaussian"} | content.get("defaults", {}) | own.get("defaults", {})
    return chosen["backbone"], chosen["method"]


def settings(dataset: str, method: str, backbone: str, preset: str = "fast",
             over: dict[str, Any] | None = None, *, coordinates: bool = True) -> RunConfig:
    """The configuration of a preset.

    Args:
        dataset: Dataset name.
        method: Method name.
        backbone: Backbone name.
        preset: A preset of that dataset's YAML; ``"fast"`` falls back to the library's defaults where there is none.
        over: Entries of :class:`RunConfig` that are laid over the preset.
        coordinates: Whether points have any; a YAML may have settings of its own for graphs without.

    Raises:
        UnknownNameError: for an unknown name.
        PellucidError: if the preset has settings for other methods or backbones alone, or the method needs coordinates
            and there are none.

    Example:
        >>> settings("synmol", "lri-gaussian", "dgcnn", "paper").training.warmup
        200
    """
    backbones[backbone]  # refuses unknown names with the near misses
    if methods[method].supports.coordinates and not coordinates:
        others = ", ".join(name for name in methods if not methods[name].supports.coordinates)
        raise PellucidError(f"expected coordinates for {method}, got graphs without; give some (leave --graph out), or "
                            f"choose a method that needs none: {others}")
    content: dict[str, Any] = {"dataset": dataset, "preset": preset}
    known = _content(dataset)["presets"]
    if preset in known:
        chosen = known[preset]
        content = merge(content, chosen["common"])
        content = merge(content, chosen.get("backbones", {}).get(backbone, {}))
        if not coordinates:
            content = merge(content, _content(dataset).get("graphs", {}).get("common", {}))
        if method not in chosen["methods"]:
            raise PellucidError(f"expected a method with settings in preset {preset!r} of {dataset}, got {method!r}; "
                                f"use one of {', '.join(chosen['methods'])}")
        own = chosen["methods"][method]
        if (tuned := set(own) - {"common"}) and backbone not in tuned:
            raise PellucidError(f"expected a backbone with settings for {method} in preset {preset!r} of {dataset}, "
                                f"got {backbone!r}; use one of {', '.join(sorted(tuned))}, or another preset")
        content = merge(content, own.get("common", {}))
        content = merge(content, own.get(backbone, {}))
        if not coordinates:
            graphs = _content(dataset).get("graphs", {})
            content = merge(content, graphs.get("common", {}))
            content = merge(content, graphs.get("methods", {}).get(method, {}))
    elif preset != "fast":
        raise UnknownNameError(f"preset of {dataset}", preset, known)
    content = merge(content, {"method": {"name": method}, "backbone": {"name": backbone}})
    return RunConfig.parse(merge(content, over or {}))


def explainer_options(dataset: str, explainer: str, preset: str = "fast", backbone: str = "") -> dict[str, Any]:
    """The options of a post-hoc explainer in a preset; empty where the explainer's defaults are meant.

    Args:
        dataset: Dataset name.
        explainer: Explainer name.
        preset: A preset of that dataset's YAML.
        backbone: Of the model, where a preset has options for some; ``""`` for those of all alone.

    Raises:
        UnknownNameError: for an unknown explainer.

    Example:
        >>> explainer_options("synmol", "bernmask", "paper", "dgcnn")["size"]
        0.01
    """
    explainers[explainer]
    own = _content(dataset)["presets"].get(preset, {}).get("explainers", {}).get(explainer, {})
    return {**own["common"], **own.get(backbone, {})} if "common" in own else dict(own)
