"""What the shape of a cloud says without a model: baselines for truths that lie in the middle or where it is dense."""

from __future__ import annotations

import torch

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explainers.base import Attribution, Explainer, Predictor, explainers
from pellucid.neighbors import Neighbors, knn
from pellucid.randomness import CloudRandom


class PlacesAlone(Explainer):
    """Base of explainers that look at nothing but where points are."""

    needs = frozenset()
    asks = False

    def refuse(self, predictor: Predictor, clouds: PointClouds) -> None:
        """See :meth:`Explainer.refuse`."""
        super().refuse(predictor, clouds)
        if "pos" not in clouds:
            raise PellucidError(f"expected coordinates for {type(self).__name__}, got graphs without; choose another "
                                "explainer")


@explainers.register("centroid")
class Centroid(PlacesAlone):
    """Nearness to the centroid: minus the distance of a point to the mean of its cloud, in the unit of ``pos``.

    Importance of v is -||r_v - mean_u r_u||. It never asks the model: an explanation that finds no more of the truth
    than this one has shown nothing about the model. Catalytic sites lie near the centroid of an enzyme (Ben-Shimon &
    Eisenstein 2005), and so do the residues within 15 angstrom of a ligand.
    """

    citation = ("Ben-Shimon & Eisenstein, Looking at Enzymes from the Inside out: The Proximity of Catalytic Residues "
                "to the Molecular Centroid, Journal of Molecular Biology 351, 2005")
    check = "distances that SciPy measures; the same for a turned and moved cloud, and for every model"
    importance_name = "nearness to the centroid, -||r - mean r||"

    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: torch.Tensor,
                  random: CloudRandom) -> Attribution:
        """One mean a cloud; see :meth:`Explainer.attribute`."""
        pos = clouds.pos.detach()
        total = pos.new_zeros(len(clouds), pos.shape[1]).index_add(0, clouds.batch, pos)
        centroid = total / clouds.ptr.diff()[:, None].clamp(min=1)
        return Attribution(-(pos - centroid[clouds.batch]).norm(dim=1))


@explainers.register("density")
class Density(PlacesAlone):
    """Density around a point: minus the distance to its k-th nearest other point, in the unit of ``pos``.

    A monotone function of the k-nearest-neighbour estimate of density (Loftsgaarden & Quesenberry 1965). It never asks
    the model. In a protein it ranks buried residues first, which tend to be near ligands.

    Args:
        k: Which neighbour, at least 1; in clouds with fewer other points, the farthest one. 20 is about what a C-alpha
            has within 10 angstrom.
    """

    citation = ("Loftsgaarden & Quesenberry, A Nonparametric Estimate of a Multivariate Density Function, Annals of "
                "Mathematical Statistics 36, 1965")
    check = "distances of SciPy's k-d tree; the same for a turned and moved cloud, and for every model"
    importance_name = "density, minus the distance to the k-th neighbour"

    def __init__(self, k: int = 20) -> None:
        if k < 1:
            raise PellucidError(f"expected k of at least 1, got {k}; ask for a farther neighbour")
        self.k = k

    def attribute(self, predictor: Predictor, clouds: PointClouds, neighbors: Neighbors, target: torch.Tensor,
                  random: CloudRandom) -> Attribution:
        """One search of neighbours; see :meth:`Explainer.attribute`."""
        pos = clouds.pos.detach()
        near = knn(pos, clouds.ptr, self.k, loop=False)
        last = (near.degree - 1).clamp(min=0)[:, None]
        farthest = near.index.gather(1, last).squeeze(1)  # the point itself where it is alone
        return Attribution(-(pos - pos[farthest]).norm(dim=1))
