"""Training: configuration, the Lightning module, checkpoints and the run folder."""

from pellucid.training.config import RunConfig
from pellucid.training.fit import Run, train
from pellucid.training.model import build, load_model

__all__ = ["Run", "RunConfig", "build", "load_model", "train"]
