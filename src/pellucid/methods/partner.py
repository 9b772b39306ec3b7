"""The second cloud of a sample, such as the ligand of a protein: one vector of it."""

from __future__ import annotations

from torch import Tensor, nn

from pellucid.backbones.base import Backbone
from pellucid.backbones.kernels import segment_sum
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.methods.base import NeighborRule


class PartnerEncoder(nn.Module):
    """Encodes the second clouds and sums over their points (Miao et al. 2023, section 5.4).

    Its neighbourhoods are made in each pass: second clouds are small and nothing moves them.

    Args:
        encoder: A backbone for the second clouds.
        rule: How their neighbourhoods are made, in the unit of their coordinates.
    """

    def __init__(self, encoder: Backbone, rule: NeighborRule) -> None:
        super().__init__()
        self.encoder, self.rule = encoder, rule

    def forward(self, clouds: PointClouds) -> Tensor:
        """Clouds with a partner -> (clouds, hidden); zero for an empty second cloud.

        Raises:
            PellucidError: if there is no partner.
        """
        partner = clouds.partner
        if partner is None:
            raise PellucidError("expected samples of two clouds, got one; give the second as partner=")
        return segment_sum(self.encoder(partner, self.rule(partner)).scalars, partner.ptr)
