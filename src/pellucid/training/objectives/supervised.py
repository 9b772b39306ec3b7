"""Learning from known targets."""

from __future__ import annotations

from pellucid.clouds import PointClouds
from pellucid.methods.base import Method
from pellucid.metrics.interpretation import pooled_roc_auc
from pellucid.neighbors import Neighbors
from pellucid.training.batches import Batches
from pellucid.training.evaluation import counted, prediction_metrics, selection_score
from pellucid.training.objectives.base import Objective, Step, objectives
from pellucid.training.predict import run_over


@objectives.register("supervised")
class Supervised(Objective):
    """Supervised: the loss of the known targets, and what the method adds to it.

    An epoch is chosen by the mean over targets of the ROC AUC (classes) or minus the RMSE in units of the target's
    spread (numbers; one-sided where some are bounds) of the prediction, which is without noise; labels of
    interpretation never choose.
    """

    citation = "Vapnik, Principles of Risk Minimization for Learning Theory, NeurIPS 1991"
    check = "the loss of the targets written out by hand, plus the method's penalty"

    def step(self, model: Method, clouds: PointClouds, neighbors: Neighbors, *, joint: bool, epoch: int) -> Step:
        """See :meth:`Objective.step`."""
        output = model(clouds, neighbors, epoch=epoch) if joint else model.plain(clouds, neighbors)
        loss = model.targets.loss(output.logits, clouds["y"], clouds.get("censored"))
        return Step(loss if output.penalty is None else loss + output.penalty, output.parts)

    def validate(self, model: Method, batches: Batches, *, joint: bool, epoch: int) -> dict[str, float]:
        """See :meth:`Objective.validate`."""
        clouds, targets = batches.clouds, model.targets
        output = run_over(model, batches, joint=joint, epoch=epoch)
        y, censored = clouds["y"], clouds.get("censored")
        found = prediction_metrics(targets, output.logits, y, censored)
        entry = {"val_loss": float(targets.loss(output.logits, y, censored)),
                 "val_score": selection_score(targets, found)}
        many = len(targets) > 1
        entry |= {f"val_{name}{f':{target}' if many else ''}": value for target, group in found.items()
                  for name, value in group.items()}
        if output.importance is not None and "important" in clouds:
            chosen = counted(targets[0], clouds)
            entry["val_interpretation_roc_auc"] = pooled_roc_auc(
                output.importance.cpu(), clouds["important"].cpu(), clouds.ptr.cpu(),
                clouds=None if chosen is None else chosen.cpu())
        return entry
