import inspect

import pytest
import torch

from pellucid.metrics import metrics
from pellucid.metrics.base import measuring, metric

NAMES = ["classification.accuracy", "classification.average_precision", "classification.roc_auc",
         "fidelity.characterization", "fidelity.deletion", "fidelity.insertion", "fidelity.minus",
         "fidelity.minus_area", "fidelity.plus", "fidelity.plus_area", "fidelity.robust_minus", "fidelity.robust_plus",
         "interpretation.group_precision@m", "interpretation.precision@m", "interpretation.roc_auc",
         "interpretation.roc_auc_per_cloud", "regression.mae", "regression.r2", "regression.rmse",
         "regression.rmse_one_sided", "regression.spearman", "sanity.randomisation", "sparsity.gini",
         "stability.jaccard", "stability.rank_correlation"]


def test_all_metrics_are_listed_with_a_line():
    described = metrics.describe()
    assert set(NAMES) <= set(described)
    assert all(line.endswith(".") and len(line) < 120 for line in described.values())


@pytest.mark.parametrize("name", NAMES)
def test_each_metric_is_documented_and_keeps_its_signature(name):
    text = inspect.getdoc(metrics[name]) or ""
    for part in ("Args:", "Returns:", "Raises:", "Example:"):
        assert part in text
    assert inspect.signature(metrics[name]).return_annotation == "float"


def test_what_measures_a_kind_of_target_and_what_it_takes():
    short = {kind: {name: takes for name, (_, takes) in measuring(kind).items()}
             for kind in ("binary", "multiclass", "regression")}
    assert short["binary"] == {"accuracy": "prediction", "average_precision": "odds", "roc_auc": "odds"}
    assert set(short["multiclass"]) <= set(short["binary"])
    assert "accuracy" in short["multiclass"]
    assert short["regression"] == dict.fromkeys(("mae", "r2", "rmse", "spearman"), "prediction")
    assert all(metrics[f"regression.{name}"] is function for name, (function, _) in measuring("regression").items())
    assert metrics["directions"].takes == "explanation"
    assert metrics["sparsity.gini"].takes == ""
    assert metrics["sparsity.gini"].kinds == ()


def test_a_metric_of_ones_own_measures_the_kinds_it_names():
    @metric("mine.largest_error", kinds=("regression",), takes="prediction")
    def largest_error(y, score):
        """Largest error."""
        return float((torch.as_tensor(y) - torch.as_tensor(score)).abs().max())

    try:
        function, takes = measuring("regression")["largest_error"]
        assert function is largest_error
        assert takes == "prediction"
        assert "largest_error" not in measuring("binary")
    finally:
        metrics._entries.pop("mine.largest_error", None)
    assert "largest_error" not in measuring("regression")
