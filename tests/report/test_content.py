from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pellucid.errors import PellucidError
from pellucid.report import PublishedCell, ReportContent, Sample

GOOD: dict[str, Any] = {"name": "CO", "unit": "angstrom", "pos": [[0, 0, 0], [1.4, 0, 0]], "labels": ["C", "O"],
                        "importance": [0.1, 0.9], "prediction": 0.8}
EYE = np.eye(3)


def test_everything_optional_may_be_left_out() -> None:
    sample = Sample(**GOOD)
    assert sample.bonds == []
    assert sample.importance.dtype == float


@pytest.mark.parametrize(("changes", "message"), [
    ({"pos": [[0, 0], [1, 1]]}, r"\(n, 3\), got \(2, 2\)"),
    ({"pos": np.empty((0, 3))}, "at least one point"),
    ({"pos": [[0, 0, np.nan], [0, 0, 0]]}, "finite coordinates"),
    ({"labels": ["C"]}, "2 labels"),
    ({"importance": [0.1]}, r"\(2,\), got \(1,\)"),
    ({"prediction": 3.2}, "sigmoid"),
    ({"prediction": None}, "probability"),
    ({"target": "yes"}, "probability"),
    ({"bonds": [(0, 2, 1.0)]}, "two of the 2 points"),
    ({"bonds": [(0, 0, 1.0)]}, "two of the 2 points"),
    ({"bonds": [(0, 1)]}, r"\(i, j, order\)"),
    ({"important": [0.2, 1]}, "booleans"),
    ({"covariance": [EYE]}, r"\(2, 3, 3\)"),
    ({"covariance": [EYE, -EYE]}, "positive semi-definite"),
    ({"covariance": [EYE, np.triu(np.ones((3, 3)))]}, "symmetric"),
    ({"covariance": [EYE, np.full((3, 3), np.nan)]}, "finite covariances"),
    ({"svg": "no drawing"}, "SVG"),
    ({"name": 3}, "text"),
    ({"facts": ["SMILES"]}, "dict of facts"),
    ({"columns": {"spread": [0.1]}}, r"spread of sample 'CO' .*\(2,\), got \(1,\)"),
])
def test_bad_samples_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PellucidError, match=message):
        Sample(**{**GOOD, **changes})


@pytest.mark.parametrize(("changes", "message"), [
    ({"title": None}, "title"),
    ({"metrics": {"a": "b"}}, r"number as metrics\.a"),
    ({"metrics": {"a": {"b": True}}}, r"metrics\.a\.b"),
    ({"metrics": {1: 1.0}}, "names as keys"),
    ({"samples": [GOOD]}, "Sample in samples, got dict at position 0"),
    ({"notes": "one"}, "list as notes"),
    ({"history": [{"epoch": 1}], "selected_epoch": 2}, "selected_epoch"),
])
def test_bad_content_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PellucidError, match=message):
        ReportContent(**{"title": "t", **changes})


@pytest.mark.parametrize(("mean", "std"), [(float("nan"), 0.1), (0.9, -0.1), ("0.9", 0.1)])
def test_bad_published_numbers_are_refused(mean: Any, std: Any) -> None:
    with pytest.raises(PellucidError, match="published"):
        PublishedCell("a", mean, std, "Table 1")
