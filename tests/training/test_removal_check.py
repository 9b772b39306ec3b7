"""Importance against removal: right way round, upside down, and of nothing; against a loop."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch
from sklearn.metrics import roc_auc_score

from pellucid.explainers import explainers
from pellucid.explanation import Explanation
from pellucid.testing import small_clouds
from pellucid.training.removal_check import MOST, removal_check

sys.path.insert(0, str(Path(__file__).parents[1] / "methods"))
from small_models import build


@pytest.fixture(scope="module")
def occluded():
    clouds = small_clouds((7, 9, 5, 12, 8, 6))
    model = build("erm", readout="additive", features=clouds["features"].shape[1] if "features" in clouds else 0)
    return model, explainers["occlusion"]().explain(model, clouds)


def said(given: Explanation, importance: torch.Tensor, signed: bool) -> Explanation:
    return Explanation(given.clouds, given.prediction, importance, targets=given.targets, explained=given.explained,
                       signed=signed, shared=False)


def test_occlusion_agrees_with_itself(occluded):
    model, own = occluded
    found = removal_check(model, own)
    assert (found["agreement"]["value"], found["samples"]) == (1.0, 6)
    assert found["share"] == pytest.approx(1)


def test_what_is_upside_down_is_told(occluded):
    model, own = occluded
    found = removal_check(model, said(own, -own.importance.abs(), False))
    assert found["agreement"]["value"] < 0.05
    assert found["agreement"]["high"] < 0.5
    assert found["share"] < 0.2


def test_a_wrong_sign_is_told_by_the_effect(occluded):
    model, own = occluded
    found = removal_check(model, said(own, -own.importance, True))
    assert found["agreement"]["value"] == 1.0  # the right points
    assert found["share"] < -0.5  # in the wrong direction


def test_the_figure_is_that_of_a_loop_over_clouds_that_count(occluded):
    model, own = occluded
    random = torch.rand(own.clouds.points, generator=torch.Generator().manual_seed(3))
    chosen = torch.tensor([True, False, True, True, False, True])
    found = removal_check(model, said(own, random, False), chosen=chosen)
    areas = []
    for i in chosen.nonzero().flatten().tolist():
        rows = slice(int(own.clouds.ptr[i]), int(own.clouds.ptr[i + 1]))
        effect = own.importance[rows].abs().double()
        missed = effect >= 0.5 * effect.max()
        if not bool(missed.all()):
            areas.append(roc_auc_score(missed, random[rows]))
    assert found["agreement"]["value"] == pytest.approx(sum(areas) / len(areas))
    assert found["samples"] == 4


def test_nothing_to_judge_on_is_unknown_and_many_are_thinned(occluded):
    model, own = occluded
    found = removal_check(model, own, chosen=torch.zeros(6, dtype=torch.bool))
    assert found["samples"] == 0
    assert math.isnan(found["agreement"]["value"])
    many = small_clouds((3,) * (MOST + 50))
    assert removal_check(model, explainers["occlusion"]().explain(model, many))["samples"] == MOST
