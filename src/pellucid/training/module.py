"""The Lightning module: one epoch after another, the best one kept, every random number owned by (seed, epoch)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import lightning as L
import torch
from torch import Tensor, nn

from pellucid.methods import Method
from pellucid.metrics.trust import AGAINST
from pellucid.training.batches import Batch, Batches, augmented, mix
from pellucid.training.config import RunConfig
from pellucid.training.evaluation import counted
from pellucid.training.objectives.base import Objective
from pellucid.training.statistics import reestimate


def one_cycle(step: int, steps: int) -> float:
    """Share of the largest learning rate in a step of a cycle, as PyTorch's OneCycleLR has it.

    Example:
        >>> [round(one_cycle(step, 11), 2) for step in (0, 3, 10)]
        [0.04, 0.98, 0.0]
    """
    rise = 0.3 * steps - 1
    start, end, part = (0.04, 1.0, step / rise if rise > 0 else 1.0) if step <= rise else (
        1.0, 4e-6, (step - rise) / max(steps - 1 - rise, 1e-9))
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(part, 1.0)))


class TrainingModule(L.LightningModule):
    """Trains a method and remembers the epoch with the best validation prediction.

    Selection: the highest score that the objective gives on the validation split, ties by the lower loss, or the lowest
    loss (``training.select_by``); only epochs in which the interpreter trains, and has settled (``training.settle``),
    count.

    Args:
        model: What to train.
        objective: What to minimise.
        config: The run's configuration.
        train: Training batches.
        val: Validation batches.
        frozen: Parts of the model that stay in eval mode: encoders out of another run.
    """

    def __init__(self, model: Method, objective: Objective, config: RunConfig, train: Batches, val: Batches,
                 frozen: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self._frozen = tuple(frozen)
        self.model, self.objective, self.config = model, objective, config
        self.train_batches, self.val_batches = train, val
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}
        self.warm_up_best: dict[str, Any] = {}
        """For a plain classifier that goes on from this warm-up: its own epochs count from the first."""
        self._sums: dict[str, float | Tensor] = {}

    def train(self, mode: bool = True) -> Self:
        """As every module, but for the frozen parts."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def optimized(self) -> list[str]:
        """Names of the parameters that the optimizer has, in its order: all but those of frozen parts."""
        kept = {id(p) for part in self._frozen for p in part.parameters()}
        return [name for name, p in self.named_parameters() if id(p) not in kept]

    def configure_optimizers(self) -> Any:
        """Adam as in the paper; a one-cycle schedule where the configuration asks for it."""
        c = self.config.training
        own = dict(self.named_parameters())
        optimizer = torch.optim.Adam([own[name] for name in self.optimized()], lr=c.learning_rate,
                                     weight_decay=c.weight_decay,
                                     fused=True if self.device.type in ("cpu", "cuda") else None)
        if c.schedule == "constant":
            return optimizer
        batches = len(self.train_batches)
        steps = self.config.total_epochs * batches
        schedule: torch.optim.lr_scheduler.LRScheduler
        if c.freeze_classifier and c.warmup:  # a cycle for each part, so that what is frozen had its end of training
            cycles = (c.warmup * batches, steps - c.warmup * batches)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (
                one_cycle(step, cycles[0]) if step < cycles[0] else one_cycle(step - cycles[0], cycles[1])))
        else:
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, c.learning_rate, total_steps=steps,
                                                           cycle_momentum=False)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def train_dataloader(self) -> Batches:
        """The training batches, in the order of this epoch."""
        self.train_batches.epoch = self.current_epoch
        return self.train_batches

    @property
    def joint(self) -> bool:
        """Whether the interpreter trains in this epoch."""
        return self.current_epoch >= self.config.training.warmup

    @property
    def joint_epoch(self) -> int:
        """Epochs since the interpreter joined."""
        return max(0, self.current_epoch - self.config.training.warmup)

    def on_train_epoch_start(self) -> None:
        """Gives the epoch its own random stream, so that a resumed run draws what an uninterrupted one draws."""
        torch.manual_seed(mix(self.config.seed, self.current_epoch))
        self._sums = {}
        if self.current_epoch == self.config.training.warmup:
            self.model.join()
        if self.joint and self.config.training.freeze_classifier:
            self.model.freeze_classifier()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Loss of one batch, augmented as the configuration says."""
        clouds, neighbors = augmented(*batch, self.config.training, self.model.neighbors)
        done = self.objective.step(self.model, clouds, neighbors, joint=self.joint, epoch=self.joint_epoch)
        for name, value in {"loss": done.loss.detach(), **done.parts}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        return done.loss

    def on_train_epoch_end(self) -> None:
        """Evaluates on the validation split and keeps the weights if they are the best so far."""
        count = len(self.train_batches)
        entry: dict[str, Any] = {"epoch": self.current_epoch, "phase": "joint" if self.joint else "warm-up"}
        entry |= {f"train_{name}": float(total) / count for name, total in self._sums.items()}
        if not math.isfinite(entry["train_loss"]):
            raise FloatingPointError(f"the training loss is {entry['train_loss']} in epoch {self.current_epoch}")
        entry |= self.validate_now()
        self.history.append(entry)
        tried, own = sum("drawn_anew" in earlier for earlier in self.history), self.config.training
        if self.warm_up_best and self.joint and tried == self.joint_epoch < min(own.retries, own.epochs // 4):
            agreement = self._agreement()
            if agreement < AGAINST:
                entry["drawn_anew"] = agreement
                self._draw_anew()
                return
        score = (entry["val_score"], -entry["val_loss"])
        if self.config.training.select_by == "loss":
            score = (-entry["val_loss"], entry["val_score"])
        best = self.best if self.joint else self.warm_up_best
        settling = self.joint and self.joint_epoch < int(self.config.training.settle * self.config.training.epochs)
        # With a frozen classifier the prediction only says how small the noise still is: the last epoch counts.
        last = self.joint and self.config.training.freeze_classifier
        if not settling and (not best or last or score > tuple(best["score"])):
            best.update(score=score, epoch=self.current_epoch, weights=_copied(self.model))
            if head := _copied(self.objective):
                best["objective"] = head

    @torch.no_grad()
    def _agreement(self) -> float:
        """With which ROC AUC importance finds the points that removal does, on validation samples."""
        from pellucid.training.explaining import explain_clouds
        from pellucid.training.removal_check import removal_check

        clouds, target = self.val_batches.clouds, self.model.targets[0]
        if target.level == "point":
            return 1.0  # removal says nothing there
        self.eval()
        explanation = explain_clouds(self.model, clouds, target=target.name).of()
        chosen = counted(target, explanation.clouds)
        found = removal_check(self.model, explanation, chosen=chosen, seed=self.config.seed)["agreement"]["value"]
        self.train()
        return 1.0 if math.isnan(found) else float(found)

    def _draw_anew(self) -> None:
        """The classifier as the warm-up's best epoch left it, and an interpreter that has learned nothing."""
        self.model.load_state_dict(self.warm_up_best["weights"])
        torch.manual_seed(mix(self.config.seed, self.current_epoch))
        for parameter in self.model.draw_interpreter():
            self.trainer.optimizers[0].state.pop(parameter, None)
        self.model.join()

    def validate_now(self) -> dict[str, float]:
        """What the objective says of the validation split."""
        model, joint = self.model, self.joint
        if self.config.training.reestimate:
            def evaluate(batch: Batch) -> object:
                return self.objective.evaluate(model, batch, joint=joint, epoch=self.joint_epoch)

            reestimate(model, self.train_batches, evaluate, self.config.training.reestimate, self._frozen)
        self.eval()
        entry = self.objective.validate(model, self.val_batches, joint=joint, epoch=self.joint_epoch)
        self.train()
        return entry

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what the choice of the epoch needs."""
        checkpoint["pellucid"] = {
            "history": self.history, "best": self.best, "warm_up_best": self.warm_up_best,
            "parameters": self.optimized(),
            "trained": [name for name, p in self.named_parameters() if p in self.trainer.optimizers[0].state]}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes it back."""
        content = checkpoint["pellucid"]
        self.history, self.best, self.warm_up_best = content["history"], content["best"], content["warm_up_best"]


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
