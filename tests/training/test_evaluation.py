"""Metrics of the prediction out of logits."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from pellucid.targets import Target, Targets
from pellucid.training.evaluation import prediction_metrics, selection_score


def test_a_sure_model_keeps_its_order():
    """Probabilities that are 1 in floating point would all tie."""
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    binary = prediction_metrics(Targets.of("binary", 1), torch.tensor([[50.0], [80.0], [70.0], [60.0]]), y)["y"]
    assert binary["roc_auc"] == binary["average_precision"] == 1
    assert binary["accuracy"] == 0.5
    odds = torch.tensor([[0.0, 50.0], [0.0, 80.0], [0.0, 70.0], [0.0, 60.0]])
    assert prediction_metrics(Targets.of("multiclass", 2), odds, y)["y"]["roc_auc"] == 1


def test_several_classes_are_ranked_as_their_probabilities_are():
    logits = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    y = torch.randint(4, (60, 1), generator=torch.Generator().manual_seed(1)).float()
    expected = roc_auc_score(y[:, 0], logits.double().softmax(-1), multi_class="ovr")
    assert prediction_metrics(Targets.of("multiclass", 4), logits, y)["y"]["roc_auc"] == pytest.approx(expected)


def test_targets_of_different_units_are_never_averaged():
    both = Targets((Target("logS", "regression"), Target("mass", "regression", center=300.0, spread=100.0)))
    logits = torch.tensor([[1.0, 0.5], [2.0, -0.5]])
    y = torch.tensor([[1.5, 350.0], [2.5, 300.0]])
    found = prediction_metrics(both, logits, y)
    assert found["logS"]["rmse"] == pytest.approx(0.5)
    assert found["mass"]["rmse"] == pytest.approx((50**2 / 2) ** 0.5)
    assert selection_score(both, found) == pytest.approx(-(0.5 + 0.5 / 2**0.5) / 2)


def test_a_target_that_is_nowhere_known_does_not_choose():
    both = Targets((Target("a"), Target("b")))
    y = torch.tensor([[0.0, torch.nan], [1.0, torch.nan]])
    found = prediction_metrics(both, torch.tensor([[0.0, 0.0], [1.0, 0.0]]), y)
    assert selection_score(both, found) == found["a"]["roc_auc"] == 1


def test_bounds_are_left_out_of_errors_and_counted_in_one_beside_them():
    targets = Targets((Target("a", "regression"), Target("b", "regression"), Target("c")))
    y = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 0.0], [1.0, 3.0, 1.0], [1.0, 4.0, 0.0]])
    logits = torch.tensor([[3.0, 1.0, 1.0], [3.0, 2.0, -1.0], [-1.0, 3.0, 1.0], [1.0, 5.0, -1.0]])
    censored = torch.tensor([[1, 0, 1], [-1, 0, 1], [0, 0, 0], [0, 0, 0]], dtype=torch.int8)
    found = prediction_metrics(targets, logits, y, censored)
    assert found["a"]["rmse"] == pytest.approx((4 / 2) ** 0.5), "the last two"
    assert found["a"]["mae"] == 1.0
    assert found["a"]["rmse_one_sided"] == pytest.approx((8 / 4) ** 0.5)
    assert found["a"]["censored"] == 2
    assert "rmse_one_sided" not in found["b"], "nothing of it is a bound"
    assert found["b"] == prediction_metrics(targets, logits, y)["b"]
    assert found["c"]["accuracy"] == 1.0, "classes have no bounds"
    expected = (-found["a"]["rmse_one_sided"] - found["b"]["rmse"] + 1) / 3
    assert selection_score(targets, found) == pytest.approx(expected)
