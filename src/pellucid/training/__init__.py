"""Training: configuration, the Lightning module, checkpoints and the run folder."""

from typing import TYPE_CHECKING

from pellucid.lazy import lazy

if TYPE_CHECKING:
    from pellucid.training.config import RunConfig
    from pellucid.training.fit import Run, train
    from pellucid.training.model import build, load_model

lazy(__name__, {"config": ["RunConfig"], "fit": ["Run", "train"], "model": ["build", "load_model"]})

__all__ = ["Run", "RunConfig", "build", "load_model", "train"]
