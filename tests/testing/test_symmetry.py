"""Symmetries are what the classes claim, and a class that breaks its contract is told in one sentence."""

import pytest
import torch

from pellucid.backbones import backbones
from pellucid.backbones.dgcnn import DGCNN
from pellucid.backbones.egnn import EGNN
from pellucid.explainers.gradients import GradGeo
from pellucid.methods import methods
from pellucid.methods.erm import ERM
from pellucid.targets import Targets
from pellucid.testing import assert_backbone, assert_explainer, assert_method, assert_symmetry, small_clouds, symmetry


def model_of(method, backbone, **options):
    torch.manual_seed(0)
    return methods[method].make(lambda: backbones[backbone](3, hidden=8, layers=2, **options), Targets.of("binary"))


def words(found):
    return {name: [change.word for change in changes.values()] for name, changes in found.items()}


@pytest.mark.parametrize("backbone", list(backbones))
@pytest.mark.parametrize("method", list(methods))
def test_every_pair_of_method_and_backbone(method, backbone):
    assert_symmetry(model_of(method, backbone))


def test_lri_gaussian_with_egnn_has_a_radius_and_with_dgcnn_axes_of_the_coordinates():
    same, none = ["unchanged"] * 4, ["absent"] * 4
    found = symmetry(model_of("lri-gaussian", "egnn"))
    assert words(found) == {"scalars": same, "vectors": none, "logits": same, "importance": same, "covariance": none,
                            "radius": same}
    assert max(change.deviation for change in found["radius"].values()) < 1e-9
    seen = ["changes", "changes", "unchanged", "unchanged"]
    found = symmetry(model_of("lri-gaussian", "dgcnn"))
    assert words(found) == {"scalars": seen, "vectors": none, "logits": seen, "importance": seen, "covariance": seen,
                            "radius": none}
    assert found["covariance"]["rotation"].deviation > 1e-3


def test_what_a_view_and_coordinates_change():
    assert words(symmetry(backbones["egnn"](3, coordinates=True)))["scalars"] == ["changes"] * 3 + ["unchanged"]
    turned = words(symmetry(backbones["egnn"](3, edge_directions=True)))["scalars"]
    assert turned == ["changes", "changes", "unchanged", "unchanged"]
    model = model_of("erm", "egnn")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    symmetry(model.train(), small_clouds((4, 3), categories=(), features=0, dtype=torch.float32))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert next(model.parameters()).dtype == torch.float32


class Claims(DGCNN):
    """A backbone that says that it is blind to directions."""

    directions = "none"


class Leaks(EGNN):
    """A backbone whose points see the mean of the whole batch."""

    def encode(self, clouds):
        """As it should not be."""
        return super().encode(clouds) + clouds.pos.mean()


class Silent(EGNN):
    """A backbone without a citation"""

    citation = ""


class Random(ERM):
    """A method whose predictions are random."""

    def forward(self, clouds, neighbors, *, epoch=0, random=None):
        """As it should not be."""
        output = super().forward(clouds, neighbors)
        output.logits = output.logits + torch.rand(())
        return output


class Meddles(GradGeo):
    """An explainer that changes the model."""

    def attribute(self, predictor, clouds, neighbors, target, random):
        """As it should not be."""
        next(predictor.parameters()).add_(1.0)
        return super().attribute(predictor, clouds, neighbors, target, random)


class Forgets(GradGeo):
    """An explainer whose numbers depend on the batch."""

    def attribute(self, predictor, clouds, neighbors, target, random):
        """As it should not be."""
        found = super().attribute(predictor, clouds, neighbors, target, random)
        found.importance = found.importance / (1 + found.importance.sum())
        return found


@pytest.mark.parametrize(("check", "cls", "match"), [
    (assert_backbone, Claims, "expected scalars of Claims with directions='none' to be unchanged under rotation"),
    (assert_backbone, Leaks, "expected scalars of Leaks alone and in a batch"),
    (assert_backbone, Silent, "expected a docstring of Silent whose first line ends with a full stop"),
    (assert_method, Random, "Random to draw no random numbers"),
    (assert_explainer, Meddles, "Meddles to leave the model alone"),
    (assert_explainer, Forgets, "importance of Forgets alone and in a batch"),
])
def test_a_broken_contract_is_told(check, cls, match):
    with pytest.raises(AssertionError, match=match):
        check(cls)
