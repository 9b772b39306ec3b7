"""Learning without targets: where were the points before noise moved them?"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pellucid.backbones.kernels import segment_sum
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.methods.base import Method
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom
from pellucid.spec import DataSpec
from pellucid.training.batches import Batch, Batches
from pellucid.training.objectives.base import Objective, Step, objectives

SEED = 0
"""Of the noise that validation and test are measured with: the same in every epoch and run."""


@objectives.register("denoising")
class Denoising(Objective):
    """Denoising: coordinates get Gaussian noise, and the model tells it; needs no targets, trains the encoder.

    r' = r + sigma eps with eps ~ N(0, I), less its mean over the cloud, which no model that is blind to shifts could
    tell. The loss is the mean of (eps_hat - eps)^2, so that 1 is a model that knows nothing. Least squares makes
    -eps_hat / sigma the score of the noisy density, d log p / d r' (Vincent 2011): the force by which points are drawn
    back. So for scalars that do not point anywhere eps_hat = l de / dr' with e = sum_v MLP(h_v) and l the mean distance
    between neighbours: minus the force of the energy e l / sigma = -log p. It turns with the cloud if e does not
    change. Of backbones with vectors, eps_hat is a linear map of these (Zaidi et al. 2023). The loss' gradient passes
    through de/dr', so that all layers are differentiated twice.

    Args:
        model: Whose encoder is trained; readout and interpreter stay as they are.
        spec: What the data look like.
        sigma: Standard deviation of the noise.
        unit: ``"neighbors"``: sigma is in mean distances between neighbours; ``"length"``: in the unit of ``pos``.

    Raises:
        PellucidError: for another unit or a sigma that is not positive.
    """

    citation = "Zaidi et al., Pre-training via Denoising for Molecular Property Prediction, ICLR 2023"
    check = "a pair of points, whose posterior mean is known in closed form; the noise told turns with the cloud"
    needs_targets = False

    def __init__(self, model: Method, spec: DataSpec, *, sigma: float = 0.1, unit: str = "neighbors") -> None:
        super().__init__(model, spec)
        if unit not in ("neighbors", "length") or not 0 < sigma < math.inf:
            raise PellucidError(f"expected a positive sigma and unit=neighbors or unit=length, got {sigma} and "
                                f"{unit!r}")
        if not model.encoder.sees_coordinates:
            raise PellucidError("expected a backbone that sees coordinates to denoise them, got "
                                f"{type(model.encoder).__name__}; choose another, e.g. schnet")
        self.length = spec.inputs.neighbor_distance
        self.sigma = sigma * (self.length if unit == "neighbors" else 1.0)
        width, vectors = model.encoder.width, model.encoder.vector_width
        self.energy = None if vectors else nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        self.vectors = nn.Linear(vectors, 1, bias=False) if vectors else None

    def tell(self, model: Method, clouds: PointClouds) -> Tensor:
        """(points, D) the noise that noisy clouds have, in units of sigma; differentiable by the weights.

        Args:
            model: Its encoder is asked.
            clouds: With noisy coordinates, from which neighbourhoods are made.
        """
        with torch.enable_grad():  # also where only the answer is wanted
            pos = clouds.pos.detach().requires_grad_()
            found = model.encode(clouds, model.neighbors(clouds), pos=pos)
            if self.energy is None:
                assert self.vectors is not None
                assert found.vectors is not None
                return self.vectors(found.vectors.transpose(1, 2)).squeeze(-1)  # type: ignore[no-any-return]
            (slope,) = torch.autograd.grad(self.energy(found.scalars).sum(), pos, create_graph=True)
            return slope * self.length

    def noisy(self, clouds: PointClouds, eps: Tensor) -> tuple[PointClouds, Tensor]:
        """Clouds with noise (points, D) of mean 0 in each, and that noise in units of sigma."""
        eps = eps - (segment_sum(eps, clouds.ptr) / clouds.sizes.clamp(min=1)[:, None])[clouds.batch]
        return clouds.replace(pos=clouds.pos + self.sigma * eps), eps

    def step(self, model: Method, clouds: PointClouds, neighbors: Neighbors, *, joint: bool, epoch: int) -> Step:
        """See :meth:`Objective.step`."""
        moved, eps = self.noisy(clouds, torch.randn_like(clouds.pos))
        return Step((self.tell(model, moved) - eps).square().mean())

    def evaluate(self, model: Method, batch: Batch, *, joint: bool, epoch: int) -> object:
        """See :meth:`Objective.evaluate`."""
        moved, _ = self.noisy(batch[0], torch.randn_like(batch[0].pos))
        return model.encode(moved, model.neighbors(moved))

    def validate(self, model: Method, batches: Batches, *, joint: bool, epoch: int) -> dict[str, float]:
        """See :meth:`Objective.validate`; the noise is each cloud's own, by its content."""
        missed = total = count = 0.0
        for clouds, _ in batches:
            drawn = CloudRandom(clouds, SEED).normal(clouds.sizes, clouds.pos.shape[1], clouds.pos.dtype)
            moved, eps = self.noisy(clouds, drawn)
            missed += float((self.tell(model, moved).detach() - eps).square().sum())
            total, count = total + float(eps.square().sum()), count + eps.numel()
        loss = missed / max(count, 1)
        return {"val_score": -loss, "val_loss": loss, "val_explained": 1 - missed / total if total else 0.0}
