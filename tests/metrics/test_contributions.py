"""Importance against what each point truly adds to a sum."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from pellucid.clouds import PointClouds
from pellucid.datasets import rules  # noqa: F401 - it knows the field
from pellucid.explanation import Explanation
from pellucid.metrics.contributions import contribution_values, contributions
from pellucid.report.tables import rows


@pytest.fixture
def explanation():
    ptr, random = torch.tensor([0, 7, 12, 20, 24]), torch.Generator().manual_seed(0)
    clouds = PointClouds(ptr, {"pos": torch.zeros(24, 3), "contribution": torch.randn(24, generator=random)})
    importance = torch.randn(24, generator=random)
    importance[20:] = 1.5
    return Explanation(clouds, torch.zeros(4, 1), importance, signed=True)


def test_it_is_spearman_in_each_cloud_and_nothing_is_found_by_what_orders_nothing(explanation):
    ptr, truth = explanation.clouds.ptr, explanation.clouds["contribution"]
    wanted = [spearmanr(explanation.importance[a:b], truth[a:b]).statistic for a, b in ((0, 7), (7, 12), (12, 20))]
    np.testing.assert_allclose(contribution_values(explanation.importance, truth, ptr), [*wanted, 0.0], atol=1e-12)
    np.testing.assert_allclose(contribution_values(-explanation.importance, truth, ptr), [-w for w in (*wanted, 0.0)],
                               atol=1e-12)
    found = contributions(explanation)["rank_correlation"]
    assert found["value"] == pytest.approx(sum(wanted) / 4)
    assert found["low"] <= found["value"] <= found["high"]
    some = contributions(explanation, clouds=torch.tensor([True, False, False, False]))["rank_correlation"]
    assert some["value"] == pytest.approx(wanted[0])


def test_it_applies_where_contributions_are_known_and_stands_on_the_page(explanation):
    clouds = PointClouds(explanation.clouds.ptr, {"pos": torch.zeros(24, 3)})
    assert contributions(Explanation(clouds, torch.zeros(4, 1), explanation.importance)) == {}
    (line,) = rows({"contributions": contributions(explanation)}, [])
    assert line.name == "True contributions (Spearman)"
    assert line.baseline == 0
