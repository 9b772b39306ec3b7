"""Bars on stderr: one over a whole training, one for other long work; and a checkpoint that is whole or absent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from pellucid.progress import console


class EpochCheckpoint(Checkpoint):
    """Writes the whole state after every epoch; the trainer's plugin sees to it that the file is whole or absent.

    Args:
        path: The file; the newest state replaces the one before.

    Attributes:
        began: Whether training began: what an older state restores was restored then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.began = False
        self._started = time.perf_counter()

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Notes that training began."""
        self.began = True

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Starts the clock of the epoch."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Runs after the module's own hook, since Lightning calls checkpoint callbacks last."""
        pl_module.history[-1]["seconds"] = time.perf_counter() - self._started
        trainer.save_checkpoint(self.path)


class Progress(L.Callback):
    """A Rich bar with the loss, the validation score and the interpretation AUC."""

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Opens the bar."""
        self._bar = Bar(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                        TimeRemainingColumn(), TextColumn("{task.fields[figures]}"), console=console())
        self._bar.start()
        steps = len(pl_module.train_batches)
        self._task = self._bar.add_task("training", total=steps * (trainer.max_epochs or 0), figures="",
                                        completed=trainer.current_epoch * steps)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Moves on."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Names the epoch and shows the newest figures."""
        if self._bar is not None:
            phase = "joint" if pl_module.joint else "warm-up"
            self._bar.update(self._task, description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs} {phase}")
            if pl_module.history:
                self._bar.update(self._task, figures=figures(pl_module.history[-1]))

    def on_fit_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Closes the bar."""
        self.teardown(trainer, pl_module, "fit")

    def on_exception(self, trainer: L.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Closes the bar."""
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: L.Trainer, pl_module: Any, stage: str) -> None:
        """Closes the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def figures(entry: dict[str, Any]) -> str:
    """Loss and validation figures of an epoch in one short text."""
    parts = [f"loss {entry['train_loss']:.4f}"]
    names = {"val_roc_auc": "AUC", "val_rmse": "RMSE", "val_interpretation_roc_auc": "interpretation AUC"}
    parts += [f"{label} {entry[name]:.4f}" for name, label in names.items() if name in entry]
    return "  ".join(parts)
