"""From a configuration to a model, and back from a run folder."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch

from pellucid.backbones.base import Backbone, backbones, geometry
from pellucid.clouds import PointClouds
from pellucid.errors import DamagedFileError, PellucidError, UnknownNameError
from pellucid.files import read_json, read_tensors
from pellucid.methods import Method, NeighborRule, Task, methods
from pellucid.methods.partner import PartnerEncoder
from pellucid.training.config import RuleConfig, RunConfig
from pellucid.views import View, seen


def _rule(config: RuleConfig) -> NeighborRule:
    return NeighborRule(config.kind, config.value, config.loop, config.view)


def mean_neighbor_distance(clouds: PointClouds, rule: NeighborRule, view: View = "plain") -> float:
    """Mean distance between different neighbours in coordinates as they are seen; 1 if there are none."""
    distance = geometry(seen(clouds.pos, view), rule(clouds.pos, clouds.ptr)).distance
    apart = distance[distance > 0]
    return float(apart.mean()) if len(apart) else 1.0


def build(config: RunConfig, signature: dict[str, Any]) -> Method:
    """A fresh model.

    Args:
        config: The run's configuration.
        signature: What the data look like; see :func:`signature_of`.

    Raises:
        UnknownNameError: for an unknown backbone, method or option of the method.
    """
    backbone_class, method_class = backbones[config.backbone.name], methods[config.method.name]
    rule = _rule(config.method.rule)
    known = set(inspect.signature(method_class.__init__).parameters) - {"self", "make_backbone", "task", "rule"}
    options: dict[str, Any] = dict(config.method.options)
    for name in options:
        if name not in known:
            raise UnknownNameError(f"option of {config.method.name}", name, known)
    if "neighbor_distance" in known:
        options.setdefault("neighbor_distance", signature["neighbor_distance"])
    if "reconstruct" in known and config.method.reconstruct is not None:
        options["reconstruct"] = _rule(config.method.reconstruct)
    length = config.backbone.length_scale
    if length == "neighbors":
        length = signature["neighbor_distance"] * (config.method.scale if config.backbone.view == "plain" else 1.0)

    def make() -> Backbone:
        return backbone_class(
            signature["dim"], tuple(signature["category_sizes"]), signature["feature_size"],
            hidden=config.backbone.hidden, layers=config.backbone.layers, dropout=config.backbone.dropout,
            length_scale=float(length), view=config.backbone.view,
            coordinates=config.backbone.coordinates, edge_directions=config.backbone.edge_directions,
        )

    task = Task(signature["task"], signature["outputs"], signature.get("center", 0.0), signature.get("spread", 1.0))
    try:
        model = method_class(make, task, scale=config.method.scale, dropout=config.method.dropout, rule=rule, **options)
    except TypeError as error:
        raise PellucidError(f"expected fitting options for {config.method.name}, got {options} ({error})") from error
    if "partner" in signature:
        model.add_partner(lambda: _partner_encoder(config, signature["partner"]))
    return model


def _partner_encoder(config: RunConfig, signature: dict[str, Any]) -> PartnerEncoder:
    length = signature["neighbor_distance"] if config.backbone.length_scale == "neighbors" else (
        config.backbone.length_scale)
    encoder = backbones[config.backbone.name](
        signature["dim"], tuple(signature["category_sizes"]), signature["feature_size"], hidden=config.backbone.hidden,
        layers=config.backbone.layers, dropout=config.backbone.dropout, length_scale=float(length))
    return PartnerEncoder(encoder, _rule(config.method.partner_rule or config.method.rule))


def signature_of(clouds: PointClouds, task: str, outputs: int,
                 category_sizes: tuple[tuple[int, ...], tuple[int, ...]], config: RunConfig) -> dict[str, Any]:
    """What a model must know of its data: kept in the run folder, so that the model can be built again without it.

    Args:
        clouds: The training split.
        task: What is predicted; the unit of a regression is the targets' own mean and spread.
        outputs: Targets, or classes.
        category_sizes: Of the points' categorical features, and of those of the second clouds.
        config: The run's configuration.
    """
    method = config.method
    signature = {"task": task, "outputs": outputs, "unit": clouds.unit("pos"),
                 **_shape_of(clouds, category_sizes[0], method.rule, config.backbone.view)}
    if task == "regression":
        known = clouds["y"][~clouds["y"].isnan()].double()
        spread = float(known.std()) if len(known) > 1 else 0.0
        signature |= {"center": float(known.mean()) if len(known) else 0.0, "spread": spread or 1.0}
    if clouds.partner is not None:
        signature["partner"] = _shape_of(clouds.partner, category_sizes[1], method.partner_rule or method.rule)
    return signature


def _shape_of(clouds: PointClouds, category_sizes: tuple[int, ...], rule: RuleConfig, view: View = "plain"
              ) -> dict[str, Any]:
    return {
        "dim": int(clouds.pos.shape[1]),
        "category_sizes": list(category_sizes),
        "feature_size": int(clouds["features"].shape[1]) if "features" in clouds else 0,
        "neighbor_distance": mean_neighbor_distance(clouds, _rule(rule), view),
    }


def load_model(run: Path, device: torch.device | str = "cpu") -> tuple[Method, RunConfig, dict[str, Any]]:
    """The trained model of a run folder, in eval mode.

    Args:
        run: Folder that :func:`pellucid.fit` wrote.
        device: Where to put it.

    Returns:
        The model, its configuration, and the signature of its data.

    Raises:
        PellucidError: if the folder is not a finished run.
        DamagedFileError: if a file of it is damaged.
    """
    if not (run / "config.json").is_file():
        raise PellucidError(f"expected a run folder with config.json, got {run}; give the --out folder of a training")
    if not (run / "model.safetensors").is_file():
        raise PellucidError(f"expected a finished run, got one without model.safetensors in {run}; run the same "
                            "training again and it goes on where it stopped")
    config = RunConfig.parse(read_json(run / "config.json"))
    tensors, _ = read_tensors(run / "model.safetensors")
    provenance = read_json(run / "provenance.json")
    try:
        model = build(config, provenance["signature"])
        model.load_state_dict(tensors)
    except (RuntimeError, KeyError) as error:
        raise DamagedFileError(f"expected weights of {config.method.name} with {config.backbone.name} in {run}, got "
                               f"others ({str(error).splitlines()[0]}); train again") from error
    return model.to(device).eval(), config, provenance["signature"]
