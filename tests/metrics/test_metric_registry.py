import inspect

import pytest

from pellucid.metrics import metrics

NAMES = ["classification.accuracy", "classification.average_precision", "classification.roc_auc",
         "fidelity.characterization", "fidelity.deletion", "fidelity.insertion", "fidelity.minus",
         "fidelity.minus_area", "fidelity.plus", "fidelity.plus_area", "fidelity.robust_minus", "fidelity.robust_plus",
         "interpretation.group_precision@m", "interpretation.precision@m", "interpretation.roc_auc",
         "interpretation.roc_auc_per_cloud", "regression.mae", "regression.r2", "regression.rmse",
         "regression.spearman", "sanity.randomisation", "sparsity.gini", "stability.jaccard",
         "stability.rank_correlation"]


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
