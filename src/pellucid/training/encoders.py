"""Encoders out of other runs: weights that were learned once, e.g. by denoising, as the start of another training."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.backbones.base import Backbone
from pellucid.errors import PellucidError
from pellucid.files import read_json, read_tensors
from pellucid.methods import Method
from pellucid.spec import DataSpec
from pellucid.training.config import BackboneConfig, RunConfig
from pellucid.training.model import refuse_old

_ALIKE = ("name", "hidden", "layers", "view", "coordinates", "edge_directions", "options")
"""Settings of a backbone that its weights belong to."""
_KEY = "encoder."


@dataclass(frozen=True)
class Pretrained:
    """The encoder of a finished run.

    Attributes:
        run: Its folder.
        config: The run's configuration.
        spec: What it knows of its data.
        weights: Name within the encoder -> tensor.
    """

    run: Path
    config: RunConfig
    spec: DataSpec
    weights: dict[str, Tensor]

    @staticmethod
    def open(run: Path) -> Pretrained:
        """Reads it.

        Raises:
            PellucidError: if the folder is no finished run, or one of an older version.
            DamagedFileError: if a file of it is damaged.
        """
        if not (run / "config.json").is_file() or not (run / "model.safetensors").is_file():
            raise PellucidError(f"expected encoder.from to be the folder of a finished run, got {run}; train it first")
        refuse_old(run)
        tensors, _ = read_tensors(run / "model.safetensors")
        return Pretrained(run, RunConfig.parse(read_json(run / "config.json")),
                          DataSpec.parse(read_json(run / "provenance.json").get("spec")),
                          {k.removeprefix(_KEY): v for k, v in tensors.items() if k.startswith(_KEY)})

    def adopt(self, config: RunConfig, spec: DataSpec) -> DataSpec:
        """The spec of data that the encoder fits, with the length that it was trained with.

        With ``length_scale: neighbors`` in both, the mean distance between neighbours is taken from the run, so that
        the weights see lengths as they learned them.

        Args:
            config: Of the run that takes the encoder.
            spec: Of its data.

        Raises:
            PellucidError: where backbones, inputs or lengths differ.
        """
        here, there = config.backbone, self.config.backbone
        for name in _ALIKE:
            if getattr(here, name) != getattr(there, name):
                raise PellucidError(f"expected backbone.{name}={getattr(there, name)} of the encoder in {self.run}, "
                                    f"got {getattr(here, name)}; set it so")
        for name in ("dim", "category_sizes", "feature_size", "unit"):
            own, known = getattr(spec.inputs, name), getattr(self.spec.inputs, name)
            if own != known:
                raise PellucidError(f"expected data with {name}={known!r}, which the encoder in {self.run} was trained "
                                    f"on, got {own!r}; prepare them alike")
        if here.length_scale == there.length_scale == "neighbors":
            spec = replace(spec, inputs=replace(spec.inputs, neighbor_distance=self.spec.inputs.neighbor_distance))
        ours, theirs = _length(config, spec), _length(self.config, self.spec)
        if abs(ours - theirs) > 1e-6 * theirs:
            raise PellucidError(f"expected lengths by {theirs:g} {spec.inputs.unit}, as the encoder in {self.run} was "
                                f"trained, got {ours:g}; set backbone.length_scale (and method.scale) as there")
        return spec

    def give(self, model: Method, freeze: bool) -> list[Backbone]:
        """Puts the weights into a model's encoders: that of f, and that of an interpreter that has its own.

        Args:
            model: Fresh; its encoders are like this one.
            freeze: Whether they stay as they are: no gradient, no dropout, and batch norms by what they know.

        Returns:
            The encoders that are frozen.

        Raises:
            PellucidError: if the weights are of another shape.
        """
        encoders = [e for e in (model.encoder, getattr(model, "own_encoder", None)) if isinstance(e, Backbone)]
        for encoder in encoders:
            own = encoder.state_dict()
            given = {name: self.weights.get(name, self.weights.get(name.replace("second_", ""))) for name in own}
            bad = [name for name, value in given.items() if value is None or value.shape != own[name].shape]
            if bad:
                raise PellucidError(f"expected weights of {self.config.backbone.name} in {self.run}, got none that fit "
                                    f"{bad[0]}; train it again with this version")
            encoder.load_state_dict(given)
            if freeze:
                encoder.requires_grad_(False).eval()
        return encoders if freeze else []

    def provenance(self, freeze: bool) -> dict[str, Any]:
        """What a run that takes the encoder keeps of it: where it came from, and a digest of its weights."""
        return {"from": str(self.run), "freeze": freeze, "digest": weights_digest(self.weights),
                "objective": self.config.objective.name, "length": _length(self.config, self.spec)}


def weights_digest(weights: dict[str, Tensor]) -> str:
    """Short hash of names and values.

    Example:
        >>> import torch
        >>> weights_digest({"a": torch.zeros(2)}) == weights_digest({"a": torch.ones(2)})
        False
    """
    content = hashlib.sha256()
    for name in sorted(weights):
        content.update(name.encode() + weights[name].detach().cpu().contiguous().view(-1).numpy().tobytes())
    return content.hexdigest()[:16]


def _length(config: RunConfig, spec: DataSpec) -> float:
    """By what the encoder divides lengths, in the unit of the coordinates as they are."""
    own: BackboneConfig = config.backbone
    if own.length_scale == "neighbors":
        return spec.inputs.neighbor_distance
    return own.length_scale / (config.method.scale if own.view == "plain" else 1.0)


__all__ = ["Pretrained", "weights_digest"]
