"""SmoothGrad (Smilkov et al. 2017): the gradient averaged over noisy copies of a sample."""

import torch
from torch import Tensor

from pellucid.backbones.kernels import segment_sum
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explainers.base import Attribution, Explainer, Need, Predictor, chosen, explainers, gradient
from pellucid.neighbors import Neighbors
from pellucid.randomness import CloudRandom


@explainers.register("smoothgrad")
class SmoothGrad(Explainer):
    """SmoothGrad: length of a point's gradient, averaged over coordinates or input embeddings with normal noise.

    Importance of v is ||1/n sum_k d logit / d x_v (x + eps_k)||_2 with eps_k ~ N(0, sigma^2), and sigma = noise times
    the root mean square deviation of x from its mean over the cloud. Neighbourhoods stay those of the unmoved cloud.

    Args:
        on: ``"pos"`` (coordinates; logits per their unit) or ``"inputs"`` (embeddings of categories and features); None
            for coordinates where the model sees any, else for embeddings.
        noise: Size of the noise, by that deviation; 0 gives the plain gradient.
        draws: Noisy copies n, at least 1.
    """

    needs, needs_one_of = frozenset(), frozenset({"pos", "inputs"})
    citation = "Smilkov et al., SmoothGrad: removing noise by adding noise, 2017"
    check = "GradGeo where noise is 0; for a kinked logit relu(w x) the expected gradient w Phi(w x / sigma |w|)"
    importance_name = "smoothed sensitivity, ||mean d logit / d x||"

    def __init__(self, on: Need | None = None, noise: float = 0.1, draws: int = 25) -> None:
        if on not in (None, "pos", "inputs") or not 0 <= noise < float("inf") or draws < 1:
            raise PellucidError(f"expected on=pos or on=inputs, noise of at least 0 and draws of at least 1, got "
                                f"{on!r}, {noise} and {draws}")
        self.on, self.noise, self.draws, self.needs = on, noise, draws, frozenset({on} if on else ())

    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: Tensor,
                  random: CloudRandom) -> Attribution:
        """One backward pass a draw; see :meth:`Explainer.attribute`."""
        on: Need = self.on or ("pos" if "pos" in predictor.can else "inputs")
        with torch.no_grad():
            x, batch = (clouds.pos if on == "pos" else predictor.inputs(clouds)).detach(), clouds.batch
            count = clouds.sizes.clamp(min=1)[:, None]
            off = x - (segment_sum(x, clouds.ptr) / count)[batch]
            sigma = self.noise * (segment_sum(off.square().sum(1, keepdim=True), clouds.ptr) / count).sqrt()[batch]
        total = torch.zeros_like(x)
        for _ in range(self.draws):
            with torch.enable_grad():
                moved = (x + sigma * random.normal(clouds.sizes, x.shape[1], x.dtype)).requires_grad_()
                logit = chosen(predictor.logits(clouds, neighbors, **{on: moved}), target)
                total += gradient(logit, moved, on)
        return Attribution((total / self.draws).norm(dim=1))
