"""From a configuration to a model, and back from a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pellucid.backbones.base import Backbone, backbones
from pellucid.backbones.edges import geometry
from pellucid.clouds import PointClouds
from pellucid.errors import DamagedFileError, PellucidError, UnknownNameError
from pellucid.families import objectives
from pellucid.files import read_json, read_tensors
from pellucid.methods import Method, NeighborRule, methods
from pellucid.methods.partner import PartnerEncoder
from pellucid.spec import DataSpec, InputSpec
from pellucid.training.config import RuleConfig, RunConfig
from pellucid.views import seen

FORMAT = 2
"""Of run folders; raised when older ones cannot be read any more."""


def rule_of(config: RuleConfig) -> NeighborRule:
    """The rule that a configuration describes."""
    return NeighborRule(config.kind, config.value, config.loop, config.view, config.undirected)


def mean_neighbor_distance(clouds: PointClouds, rule: NeighborRule, view: str = "plain") -> float:
    """Mean distance between different neighbours in coordinates as they are seen; 1 if there are none of either."""
    if "pos" not in clouds:
        return 1.0
    distance = geometry(seen(clouds.pos, view), rule(clouds)).distance
    apart = distance[distance > 0]
    return float(apart.mean()) if len(apart) else 1.0


def measured(spec: DataSpec, clouds: PointClouds, config: RunConfig) -> DataSpec:
    """A spec with what the training split decides: scales of targets, mean distances between neighbours, mean size.

    Args:
        spec: As the dataset declares it.
        clouds: The training split.
        config: The run's configuration, whose rules say who neighbours are.
    """
    own = mean_neighbor_distance(clouds, rule_of(config.method.rule), config.backbone.view)
    partner = 1.0
    if clouds.partner is not None:
        partner = mean_neighbor_distance(clouds.partner, rule_of(config.method.partner_rule or config.method.rule))
    y = clouds["y"] if "y" in clouds else clouds.ptr.new_zeros(0, len(spec.targets)).float()
    return spec.measured(y, own, partner, max(float(clouds.sizes.double().mean()), 1.0))


def build(config: RunConfig, spec: DataSpec) -> Method:
    """A fresh model.

    Args:
        config: The run's configuration.
        spec: What its data look like; see :func:`measured`.

    Raises:
        UnknownNameError: for an unknown backbone, method, or option of either.
        PellucidError: for a value that does not fit.
    """
    method = methods[config.method.name]
    known, options = method.known_options(), dict(config.method.options)
    given: dict[str, Any] = {"scale": config.method.scale, "dropout": config.method.dropout,
                             "rule": rule_of(config.method.rule), "readout": config.method.readout,
                             "points": spec.inputs.points}
    for name in options:
        if name not in known or name in given:
            raise UnknownNameError(f"option of {config.method.name}", name, set(known) - set(given))
    if "neighbor_distance" in known:
        given["neighbor_distance"] = spec.inputs.neighbor_distance
    if "reconstruct" in known and config.method.reconstruct is not None:
        given["reconstruct"] = rule_of(config.method.reconstruct)
    scale = config.method.scale if config.backbone.view == "plain" else 1.0
    try:
        model = method.make(lambda: encoder_of(config, spec.inputs, scale), spec.targets, **{**given, **options})
    except TypeError as error:
        raise PellucidError(f"expected fitting options for {config.method.name}, got {options} ({error})") from error
    if spec.partner is not None:
        rule, partner = rule_of(config.method.partner_rule or config.method.rule), spec.partner
        model.add_partner(lambda: PartnerEncoder(encoder_of(config, partner, 1.0, partner=True), rule))
    return model


def encoder_of(config: RunConfig, inputs: InputSpec, scale: float, *, partner: bool = False) -> Backbone:
    """A fresh encoder.

    Args:
        config: The run's configuration.
        inputs: What its points look like.
        scale: What multiplies coordinates before the encoder sees them.
        partner: Whether it is for second clouds, which have no view and no coordinates as features.
    """
    own = config.backbone
    made, options = backbones[own.name], dict[str, Any](own.options)
    for option in options:
        if option not in (known := made.option_names()):
            raise UnknownNameError(f"option of {own.name}", option, known)
    length = inputs.neighbor_distance * scale if own.length_scale == "neighbors" else own.length_scale
    rule = config.method.partner_rule or config.method.rule if partner else config.method.rule
    more: dict[str, Any] = {} if partner else {"view": own.view, "coordinates": own.coordinates,
                                               "edge_directions": own.edge_directions}
    if rule.kind == "edges" and (inputs.edge_category_sizes or inputs.edge_feature_size):
        more |= {"edge_category_sizes": inputs.edge_category_sizes, "edge_feature_size": inputs.edge_feature_size}
    return made(inputs.dim, inputs.category_sizes, inputs.feature_size, hidden=own.hidden, layers=own.layers,
                dropout=own.dropout, length_scale=float(length), read_all=own.read_all, nested=own.nested,
                **more, **options)


def load_model(run: Path, device: torch.device | str = "cpu") -> tuple[Method, RunConfig, DataSpec]:
    """The trained model of a run folder, in eval mode.

    Args:
        run: Folder that :func:`pellucid.fit` wrote.
        device: Where to put it.

    Returns:
        The model, its configuration, and what it knows of its data.

    Raises:
        PellucidError: if the folder is not a finished run, or one of an older version.
        DamagedFileError: if a file of it is damaged.
    """
    if not (run / "config.json").is_file():
        if (folds := sorted(path.parent.name for path in run.glob("*/config.json"))):
            more = "; where several are taken, name others by --with (with_runs)" if len(folds) > 1 else ""
            raise PellucidError(f"expected a run, got a folder of {len(folds)}, {run}; give one of them, such as "
                                f"{run / folds[0]}{more}")
        raise PellucidError(f"expected a run folder with config.json, got {run}; give the --out folder of a training")
    refuse_old(run)
    if not (run / "model.safetensors").is_file():
        raise PellucidError(f"expected a finished run, got one without model.safetensors in {run}; run the same "
                            "training again and it goes on where it stopped")
    config = RunConfig.parse(read_json(run / "config.json"))
    spec = DataSpec.parse(read_json(run / "provenance.json").get("spec"))
    tensors, _ = read_tensors(run / "model.safetensors")
    try:
        model = build(config, spec)
        model.load_state_dict(tensors)
    except (RuntimeError, KeyError) as error:
        raise DamagedFileError(f"expected weights of {config.method.name} with {config.backbone.name} in {run}, got "
                               f"others ({str(error).splitlines()[0]}); train again") from error
    return model.to(device).eval(), config, spec


def refuse_untaught(run: Path, config: RunConfig) -> None:
    """Raises PellucidError if a run never learned to predict, e.g. a pretraining: its readout means nothing."""
    if config.objective.name != "supervised" and not objectives[config.objective.name].needs_targets:  # a slow import
        raise PellucidError(f"expected a run that learned to predict, got one of {config.objective.name} in {run}, "
                            f"which learned an encoder alone; train another with encoder.from={run}")


def refuse_old(run: Path) -> None:
    """Raises PellucidError if a run folder was written by an older version, before anything of it is read."""
    if not (run / "provenance.json").is_file():
        return
    found = read_json(run / "provenance.json").get("format", 1)
    if found != FORMAT:
        raise PellucidError(f"expected a run of format {FORMAT}, got format {found} in {run}, written by "
                            f"{'an older' if found < FORMAT else 'a newer'} version of pellucid; train again with this "
                            "one, or use that one")
