"""The sentence on trust, at each of its branches; metrics are invented."""

from __future__ import annotations

from typing import Any

import pytest

from pellucid.metrics.trust import trust

CLASS: dict[str, Any] = {"prediction": {"y": {"roc_auc": 0.9, "accuracy": 0.8}}}
SHUFFLED = {"randomisation": {"value": 0.3, "low": 0.25, "high": 0.35, "random": 0.2}}
FAITHFUL = {"deletion": {"auc": 0.3, "random": 0.5}, "insertion": {"auc": 0.7, "random": 0.5}}
UNKNOWN = {**CLASS, "sparsity": {"gini": 0.3}, "sanity": SHUFFLED, "fidelity": FAITHFUL,
           "stability": {"rank_correlation": 0.9}}


def known(value: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {**UNKNOWN, "interpretation": {"roc_auc_per_cloud": value, "random": {"roc_auc_per_cloud": 0.49},
                                          "intervals": {"roc_auc_per_cloud": [low, high]}}}


@pytest.mark.parametrize(("metrics", "level", "part"), [
    (known(0.9, 0.85, 0.95), "good", "finds what truly decides (ROC AUC 0.90, 95 % interval 0.85 to 0.95"),
    (known(0.66, 0.6, 0.72), "unclear", "only some"),
    (known(0.53, 0.5, 0.56), "no", "no better than chance"),
    (known(0.4, 0.3, 0.45), "no", "worse than chance"),
    (known(0.9, None, None), "unclear", "too few samples"),
])
def test_where_the_truth_is_known(metrics: dict[str, Any], level: str, part: str) -> None:
    found = trust(metrics)
    assert found.level == level
    assert part in found.sentence


@pytest.mark.parametrize(("value", "level"), [(0.9, "good"), (0.69, "unclear"), (0.6, "no"), (0.5, "no"),
                                              (None, "unclear"), (float("nan"), "unclear")])
def test_a_class_must_be_predicted(value: float | None, level: str) -> None:
    assert trust({**known(0.9, 0.85, 0.95), "prediction": {"y": {"roc_auc": value}}}).level == level


@pytest.mark.parametrize(("r2", "level", "said"), [
    (0.6, "good", "better than the mean"), (0.2, "unclear", "weakly"), (0.05, "no", "hardly better than the mean"),
    (-0.3, "no", "worse than the mean")])
def test_a_number_must_be_predicted(r2: float, level: str, said: str) -> None:
    changed = {"deletion": {"auc": 0.7, "random": 0.5}, "insertion": {"auc": 0.3, "random": 0.5}}
    found = trust({**UNKNOWN, "prediction": {"logS": {"rmse": 1.0, "r2": r2}}, "fidelity": changed})
    assert found.level == level
    assert f"predicts {said}" in " ".join(found.reasons)


def test_the_sign_of_fidelity_is_that_of_the_kind() -> None:
    assert trust(UNKNOWN).level == "good"
    number = {**UNKNOWN, "prediction": {"logS": {"rmse": 1.0, "r2": 0.8}}}
    assert trust(number).level == "no"  # of a regression, deletion should change the prediction more than chance does
    assert "−40 % against a random order" in trust(number).sentence


@pytest.mark.parametrize(("change", "level", "part"), [
    ({"fidelity": {"deletion": {"auc": 0.5, "random": 0.5}, "insertion": {"auc": 0.5, "random": 0.5}}}, "no",
     "no more than on random ones"),
    ({"fidelity": {"deletion": {"auc": 0.49, "random": 0.5}, "insertion": {"auc": 0.51, "random": 0.5}}}, "unclear",
     "hardly more than on random ones (+2 % against a random order)"),
    ({"fidelity": {"deletion": {"auc": None, "random": None}}}, "unclear", "random order was not measured"),
    ({"fidelity": {}}, "unclear", "random order was not measured"),
    ({"stability": {"rank_correlation": 0.6}}, "unclear", "not steady"),
    ({"stability": {"rank_correlation": 0.2}}, "no", "noise"),
    ({"stability": {"rank_correlation": None}}, "unclear", "could not be measured"),
    ({"sanity": {}}, "unclear", "hangs on what was learned could not be measured"),
])
def test_where_the_truth_is_not_known(change: dict[str, Any], level: str, part: str) -> None:
    found = trust({**UNKNOWN, **change})
    assert found.level == level
    assert part in found.sentence


@pytest.mark.parametrize(("low", "high", "chance", "level"), [
    (0.25, 0.35, 0.2, "good"), (0.45, 0.55, 0.2, "unclear"), (0.5, 0.6, 0.2, "no"),
    (0.6, 0.7, 0.67, "good"),  # samples of three points: chance alone is 0.67
    (0.7, 0.8, 0.67, "unclear"), (0.9, 1.0, 0.67, "no"), (0.3, 0.4, None, "good")])
def test_importance_must_change_with_the_weights(low: float, high: float, chance: float | None, level: str) -> None:
    shuffled = {"value": (low + high) / 2, "low": low, "high": high, "random": chance}
    assert trust({**UNKNOWN, "sanity": {"randomisation": shuffled}}).level == level


@pytest.mark.parametrize(("auc", "level", "part"), [
    (0.95, "good", "hangs on the points that are called important (ROC AUC 0.95"),
    (0.78, "unclear", "in part on other points"),
    (0.4, "no", "on other points than those that are called important"), (None, "unclear", "could not be measured")])
def test_importance_must_not_contradict_removal(auc: float | None, level: str, part: str) -> None:
    low, high = (None, None) if auc is None else (auc - 0.05, auc + 0.05)
    found = trust({**UNKNOWN, "removal": {"agreement": {"value": auc, "low": low, "high": high}}})
    assert found.level == level
    assert any(part in reason for reason in found.reasons)
    wrong_sign = {"agreement": {"value": 0.95, "low": 0.9, "high": 0.99}, "share": -0.8}
    assert trust({**UNKNOWN, "removal": wrong_sign}).level == "no"
    upside_down = {"agreement": {"value": 0.1, "low": 0.05, "high": 0.15}}
    known_anyway = trust({**known(0.9, 0.85, 0.95), "removal": upside_down})
    assert known_anyway.level == "good"  # where the truth is known it decides


def test_without_coordinates_there_is_nothing_to_move() -> None:
    metrics = {**UNKNOWN, "sanity": SHUFFLED}
    del metrics["stability"]
    assert trust(metrics).level == "good"


def test_runs_without_importance_and_importance_that_was_not_measured() -> None:
    assert trust(CLASS).level == "unclear"
    assert "only predicts" in trust(CLASS).sentence
    found = trust(known(0.9, 0.85, 0.95), measured=False)
    assert (found.level, found.reasons[-1]) == ("unclear", "The model predicts better than a guess (ROC AUC 0.90).")
    poor = {**CLASS, "prediction": {"y": {"roc_auc": 0.9}, "colour": {"roc_auc": 0.5}}}
    assert trust(poor, target="colour=red", measured=False).level == "no"


def test_the_worst_decides_and_everything_is_told() -> None:
    found = trust({**UNKNOWN, "sanity": SHUFFLED, "stability": {"rank_correlation": 0.1},
                   "prediction": {"y": {"roc_auc": 0.65}}})
    assert found.level == "no"
    assert found.sentence.startswith("Do not read it as an answer: the order of the points is noise")
    assert len(found.reasons) == 4
    assert found.document()["reasons"][0].startswith("The order of the points is noise")
    assert trust({}).level == "unclear"
