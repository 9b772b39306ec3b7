"""The rule by which an explainer is recommended."""

from dataclasses import replace

import pytest
import torch

from pellucid.explanations.recommendation import Row, objection, recommend
from pellucid.metrics.bootstrap import Estimate

CLOUDS = 40


def row(name, removed=2.0, changed=1.0, *, signed=False, asks=True, left=0.2, stability=1.0, seconds=1.0, noise=0.0):
    """Effects alike in all samples but for noise; random points have 0.5."""
    random = torch.Generator().manual_seed(len(name))
    gains = torch.tensor([removed - 0.5, changed - 0.5]).expand(CLOUDS, 2) + noise * torch.randn(
        CLOUDS, 2, generator=random)
    effect = [Estimate(value, value - 0.1, value + 0.1, 0.5) for value in (removed, changed)]
    return Row(name, name, signed, asks, *effect, Estimate(left, left - 0.05, left + 0.05, 0.15), stability, 0.3,
               seconds, gains.double())


def test_the_largest_effect_is_taken():
    name, reason = recommend([row("weak", 1.5, 0.9), row("strong", 2.5, 1.2), row("middle", 2.4, 1.0)])
    assert name == "strong"
    assert reason.startswith("strong: of 3 explainers that stand all checks")


def test_both_effects_count():
    assert recommend([row("surprise", 3.0, 0.7), row("both", 2.5, 1.5)])[0] == "both"


@pytest.mark.parametrize(("bad", "why"), [
    ({"asks": False}, "never asks the model"),
    ({"left": 0.9}, "hardly changes"),
    ({"removed": 0.55}, "when its points leave"),
    ({"changed": 0.4}, "when its points change in distribution"),
])
def test_what_does_not_stand_a_check_is_out_whatever_else_it_does(bad, why):
    spoiled = row("spoiled", **{"removed": 9.0, "changed": 9.0, **bad})
    assert why in objection(spoiled)
    assert recommend([spoiled, row("plain")])[0] == "plain"
    name, reason = recommend([spoiled])
    assert name is None
    assert why in reason


def test_an_undefined_check_is_no_objection():
    nan = float("nan")
    assert objection(replace(row("graph"), left=Estimate(nan, nan, nan, nan))) == ""


def test_of_a_number_signs_come_first_where_there_are_any():
    rows = [row("unsigned", 3.0, 2.0), row("signed", 2.0, 1.0, signed=True)]
    assert recommend(rows)[0] == "unsigned"
    assert recommend(rows, regression=True)[0] == "signed"
    assert recommend(rows[:1], regression=True)[0] == "unsigned"


def test_what_cannot_be_told_apart_goes_by_steadiness_and_then_by_time():
    near = {"noise": 0.5}
    slow, shaky, quick = row("slow", **near, seconds=9), row("shaky", **near, stability=0.4), row("quick", **near)
    assert recommend([slow, shaky, quick])[0] == "quick"
    assert recommend([slow, shaky])[0] == "slow"
    # a difference of the same size that is there in every sample is told apart
    assert recommend([row("slow", 2.1, 1.05, seconds=9), row("quick")])[0] == "slow"


def test_nothing_and_the_order_of_rows():
    assert recommend([]) == (None, "Nothing was compared.")
    rows = [row("a", 2.0), row("b", 2.5), row("c", 1.5)]
    assert recommend(rows)[0] == recommend(rows[::-1])[0] == "b"
