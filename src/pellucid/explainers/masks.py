"""The paper's mask baselines: BernMask (GNNExplainer for points) and BernMask-P (PGExplainer for points)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.backbones.base import mlp
from pellucid.clouds import Field, PointClouds
from pellucid.errors import PellucidError
from pellucid.explainers.base import Attribution, Explainer, Predictor, device_of, explainers, frozen, of_clouds
from pellucid.methods.lri_bernoulli import concrete
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom
from pellucid.targets import Targets


def agreement_loss(targets: Targets, logits: Tensor, own: Tensor, explained: Tensor) -> Tensor:
    """How far the prediction of a target is from the model's own on the whole cloud.

    Args:
        targets: What is predicted.
        logits: (clouds, outputs) of masked clouds.
        own: (clouds, outputs) of whole clouds.
        explained: (clouds,) the output that is explained; that of a multi-class target stands for all its classes.

    Returns:
        (clouds,) cross-entropy to the model's own probabilities, or squared difference for a regression, in units of
        its spread.
    """
    loss = logits.new_zeros(len(logits))
    for target, start in zip(targets, targets.starts, strict=True):
        asked = (explained >= start) & (explained < start + target.outputs)
        if not bool(asked.any()):
            continue
        mine, whole = (x[:, start : start + target.outputs] for x in (logits, own))
        if target.kind == "binary":
            each = F.binary_cross_entropy_with_logits(mine, whole.sigmoid(), reduction="none").squeeze(1)
        elif target.kind == "multiclass":
            each = F.cross_entropy(mine, whole.softmax(1), reduction="none")
        else:
            each = (mine - whole).square().squeeze(1)
        loss = torch.where(asked, each, loss)
    return loss


def mask_entropy(logit: Tensor) -> Tensor:
    """-p log p - (1 - p) log(1 - p) with p = sigmoid(logit), exact near 0 and 1; any shape."""
    p = logit.sigmoid()
    return -(p * F.logsigmoid(logit) + (1 - p) * F.logsigmoid(-logit))


def mean_per_cloud(values: Tensor, clouds: PointClouds) -> Tensor:
    """(points,) -> (clouds,) means; 0 for an empty cloud."""
    total = values.new_zeros(len(clouds)).index_add(0, clouds.batch, values)
    return total / clouds.sizes.clamp(min=1)


class _MaskLoss(Explainer):
    """What the two have in common: the loss of a mask and its weights."""

    needs = frozenset({"point_weight"})
    mask = True
    importance_name = "existence mask, sigmoid(w)"

    def __init__(self, *, size: float, entropy: float, lr: float) -> None:
        if not (size >= 0 and entropy >= 0 and lr > 0):
            raise PellucidError(f"expected size and entropy of at least 0 and lr above 0, got {size}, {entropy}, {lr}")
        self.size, self.entropy, self.lr = size, entropy, lr

    def loss(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, logit: Tensor, mask: Tensor,
             own: Tensor, explained: Tensor, sized: Tensor | None = None, **given: Tensor) -> Tensor:
        """(clouds,) agreement + size * mean mask (or ``sized``) + entropy * its mean entropy; ``given``: model's."""
        logits = predictor.logits(clouds, neighbors, point_weight=mask, **given)
        cost = self.size * (mask if sized is None else sized) + self.entropy * mask_entropy(logit)
        return agreement_loss(predictor.targets, logits, own, explained) + mean_per_cloud(cost, clouds)


@explainers.register("bernmask")
class BernMask(_MaskLoss):
    """BernMask: fits a soft mask over the points of each cloud that keeps the model's own prediction.

    For each cloud minimises CE(f(masked cloud), f(cloud)) + size * mean_v m_v + entropy * mean_v H(m_v) with m =
    sigmoid(w) by Adam, from w ~ N(1, 2 / N) with N points; a message from u to v is multiplied by m_u m_v. All clouds
    of a batch are fitted at once: the loss is a sum over clouds, Adam acts on each w alone and the model is in eval
    mode, so a cloud's mask does not depend on the others.

    Args:
        size: Weight of the mask's mean.
        entropy: Weight of the mask's mean entropy.
        lr: Adam's learning rate.
        steps: Steps for each cloud.
        start_by: Of what N is the number of points: ``"cloud"``, or ``"batch"`` (as in the authors' release), with
            which w starts closer to 1, and depends on how much else is in the batch.
    """

    citation = "Ying et al., GNNExplainer: Generating Explanations for Graph Neural Networks, NeurIPS 2019"
    check = "a batch gives what each cloud alone gives; the loss falls; it equals Adam on the loss written out by hand"

    def __init__(self, *, size: float = 0.1, entropy: float = 0.1, lr: float = 0.1, steps: int = 500,
                 start_by: str = "cloud") -> None:
        super().__init__(size=size, entropy=entropy, lr=lr)
        if steps < 1:
            raise PellucidError(f"expected at least 1 step, got {steps}")
        if start_by not in ("cloud", "batch"):
            raise PellucidError(f"expected start_by to be cloud or batch, got {start_by!r}")
        self.steps, self.start_by = steps, start_by

    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: Tensor,
                  random: CloudRandom) -> Attribution:
        """Fits the masks of one batch; see :meth:`Explainer.attribute`."""
        with torch.no_grad():
            own = predictor.logits(clouds, neighbors)
            given = {"inputs": predictor.inputs(clouds)} if "inputs" in predictor.can else {}  # the same in all steps
            count = clouds.sizes if self.start_by == "cloud" else torch.full_like(clouds.sizes, clouds.points)
            std = (2.0 / count.clamp(min=1))[clouds.batch].sqrt()
            logit = (1 + std * random.normal(clouds.sizes)).to(own.dtype)
        with torch.enable_grad():
            logit.requires_grad_()
            adam = torch.optim.Adam([logit], lr=self.lr)
            for _ in range(self.steps):
                loss = self.loss(predictor, clouds, neighbors, logit, logit.sigmoid(), own, target, **given).sum()
                (logit.grad,) = torch.autograd.grad(loss, logit)
                adam.step()
        return Attribution(logit.detach().sigmoid())


@explainers.register("bernmask-p")
class BernMaskP(_MaskLoss):
    """BernMask-P: learns once, on training clouds, a network that gives the mask of any cloud.

    The losses of ``bernmask``, averaged over clouds, with w_v = MLP(h_v) of the last layer's embedding and m_v a
    sample of the binary concrete distribution in training, sigmoid(w_v) afterwards; the model itself stays frozen.

    Args:
        size: Weight of the mask's mean.
        entropy: Weight of the mask's mean entropy.
        lr: Adam's learning rate.
        epochs: Passes over the training clouds (the paper: 100).
        batch_size: Clouds a training step.
        dropout: Probability in the MLP.
        temperature: Of the concrete distribution.
        size_of: Whose mean the size loss is: ``"sample"``, the mask that is drawn, or ``"probability"``, sigmoid(w_v)
            (as in the authors' release). At temperature 1 their expectations differ a little.
    """

    needs = frozenset({"point_weight", "embed"})
    citation = "Luo et al., Parameterized Explainer for Graph Neural Network, NeurIPS 2020"
    check = "only the mask network learns; it finds the marked points of a toy task; seeded"
    trains = True

    def __init__(self, *, size: float = 0.1, entropy: float = 0.1, lr: float = 1e-3, epochs: int = 100,
                 batch_size: int = 128, dropout: float = 0.2, temperature: float = 1.0, size_of: str = "sample"
                 ) -> None:
        super().__init__(size=size, entropy=entropy, lr=lr)
        if epochs < 1 or batch_size < 2 or not temperature > 0:
            raise PellucidError(f"expected epochs >= 1, batch_size >= 2 and temperature > 0, got {epochs}, "
                                f"{batch_size} and {temperature}")
        if size_of not in ("sample", "probability"):
            raise PellucidError(f"expected size_of to be sample or probability, got {size_of!r}")
        self.size_of = size_of
        self.epochs, self.batch_size, self.dropout, self.temperature = epochs, batch_size, dropout, temperature
        self.network: nn.Module | None = None

    def fit(self, predictor: Predictor, clouds: PointClouds, *, target: str | int | None = None, seed: int = 0,
            advance: Callable[[int, int], None] | None = None) -> None:
        """Trains the mask network; see :meth:`Explainer.fit`.

        Raises:
            PellucidError: if there are fewer than 2 clouds, or the loss is not finite.
        """
        self.refuse(predictor, clouds)
        if len(clouds) < 2:
            raise PellucidError(f"expected at least 2 training clouds, got {len(clouds)}")
        device = device_of(predictor)
        asked = predictor.targets.find(target)
        predictor, clouds = of_clouds(predictor, clouds.without_text().to(device))
        order = torch.Generator().manual_seed(seed)
        generator = torch.Generator(device).manual_seed(seed)
        with frozen(predictor), torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            neighbors = predictor.neighbors(clouds)
            with torch.no_grad():  # the model is frozen, so its embeddings and predictions are taken once
                h, own = self._embedded(predictor, clouds, neighbors)
                explained = predictor.targets.explained(asked, own)
            width = h.shape[1]
            carried = clouds.replace(declared={"h": Field("point", shape=("width",))}, h=h)
            network = mlp([width, 2 * width, width, 1], self.dropout).to(device, h.dtype)
            adam = torch.optim.Adam(network.parameters(), lr=self.lr)
            starts = range(0, len(clouds) - 1, self.batch_size)
            total, done = self.epochs * len(starts), 0
            for _ in range(self.epochs):
                places = torch.randperm(len(clouds), generator=order).to(device)
                for start in starts:
                    chosen = places[start : start + self.batch_size]
                    batch = carried.select(chosen)
                    with torch.enable_grad():
                        logit = network(batch["h"]).squeeze(-1)
                        mask = concrete(logit, self.temperature, generator)
                        loss = self.loss(predictor, batch, neighbors.select(clouds.ptr, chosen, clouds.edge_ptr),
                                         logit, mask, own[chosen], explained[chosen],
                                         logit.sigmoid() if self.size_of == "probability" else None).mean()
                        adam.zero_grad()
                        loss.backward()  # type: ignore[no-untyped-call]
                    adam.step()
                    done += 1
                    if advance is not None:
                        advance(done, total)
                if not bool(loss.isfinite()):
                    raise PellucidError(f"expected a finite loss of the mask network, got {float(loss)}; lower lr")
        self.network = network.eval().requires_grad_(False)

    def _embedded(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors) -> tuple[Tensor, Tensor]:
        parts = []
        for start in range(0, len(clouds), 2 * self.batch_size):
            chosen = torch.arange(start, min(start + 2 * self.batch_size, len(clouds)), device=clouds.device)
            parts.append(predictor.embed(clouds.select(chosen), neighbors.select(clouds.ptr, chosen, clouds.edge_ptr)))
        h = torch.cat(parts)
        return h, predictor.classify(h, clouds)

    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: Tensor,
                  random: CloudRandom) -> Attribution:
        """One pass of the mask network; see :meth:`Explainer.attribute`.

        Raises:
            PellucidError: if the network was not trained.
        """
        if self.network is None:
            raise PellucidError("expected a trained mask network, got none; call fit with training clouds first")
        with torch.no_grad():
            return Attribution(self.network(predictor.embed(clouds, neighbors)).squeeze(-1).sigmoid())
