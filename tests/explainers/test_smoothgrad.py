"""SmoothGrad against GradGeo and against the expected gradient of a kink in closed form."""

import pytest
import torch
from torch import nn

from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.neighbors import knn
from pellucid.targets import Targets
from pellucid.testing import small_clouds
from pellucid.testing.explaining import small_model


def test_without_noise_it_is_the_gradient():
    clouds, model = small_clouds(), small_model(Targets.of("binary"))
    expected = explainers["gradgeo"]().explain(model, clouds).importance
    got = explainers["smoothgrad"](noise=0, draws=2).explain(model, clouds).importance
    torch.testing.assert_close(got, expected)
    assert not torch.allclose(explainers["smoothgrad"](draws=2).explain(model, clouds).importance, expected)
    inputs = explainers["smoothgrad"](on="inputs").explain(model, clouds).importance
    assert inputs.shape == (clouds.points,)


class Kink(nn.Module):
    """A sum of relu(w x) over points, whose gradient smoothed by noise sigma is w Phi(w x / (sigma |w|))."""

    targets, can = Targets.of("regression"), frozenset({"pos"})
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)

    def refuse(self, clouds):
        pass

    def neighbors(self, clouds):
        return knn(clouds.pos, clouds.ptr, 1)

    def logits(self, clouds, neighbors, *, pos=None):
        each = torch.relu((clouds.pos if pos is None else pos) @ self.w)
        return each.new_zeros(len(clouds)).index_add(0, clouds.batch, each)[:, None]


def test_a_kink_is_smoothed_as_in_closed_form():
    clouds, model = small_clouds((20,), categories=(), features=0), Kink()
    off = clouds.pos - clouds.pos.mean(0)
    sigma = 0.5 * off.square().sum(1).mean().sqrt()
    got = explainers["smoothgrad"](noise=0.5, draws=4000).explain(model, clouds).importance
    length = model.w.norm()
    expected = length * torch.distributions.Normal(0.0, 1.0).cdf(clouds.pos @ model.w / (sigma * length))
    torch.testing.assert_close(got, expected, atol=0.06, rtol=0)


@pytest.mark.parametrize("options", [{"on": "edge_weight"}, {"noise": -1.0}, {"noise": float("nan")}, {"draws": 0}])
def test_options_are_checked(options):
    with pytest.raises(PellucidError, match="expected on=pos or on=inputs"):
        explainers["smoothgrad"](**options)
