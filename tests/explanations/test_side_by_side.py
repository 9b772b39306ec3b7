"""Explainers side by side: agreement against SciPy, one table, and the command that shows them."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from scipy.stats import spearmanr

from pellucid.clouds import PointClouds
from pellucid.commands.reporting import agreeing, beside, report_explanation
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.explanations.side_by_side import SideBySide


def explained(values: torch.Tensor, sizes: tuple[int, ...] = (8, 3), signed: bool = False) -> Explanation:
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    pos = torch.arange(3.0 * sum(sizes)).reshape(-1, 3).sin()
    return Explanation(PointClouds(ptr, {"pos": pos}), torch.full((len(sizes), 1), 0.5), values, signed=signed)


@pytest.fixture
def both() -> SideBySide:
    generator = torch.Generator().manual_seed(0)
    return SideBySide({"own": explained(torch.rand(11, generator=generator)),
                       "occlusion": explained(torch.randn(11, generator=generator), signed=True)})


def test_agreement_is_that_of_scipy(both: SideBySide) -> None:
    own, occlusion = (e.strength().double().numpy() for e in both.explanations.values())
    found = both.agreement("own", "occlusion", most=3)
    for i, rows in enumerate((slice(0, 8), slice(8, 11))):
        assert float(found.rank_correlation[i]) == pytest.approx(spearmanr(own[rows], occlusion[rows]).statistic)
    shared = {*own[:8].argsort()[-3:].tolist()} & {*occlusion[:8].argsort()[-3:].tolist()}
    assert float(found.overlap[0]) == pytest.approx(len(shared) / 3)
    assert math.isnan(found.overlap[1])  # of three points, three are always shared
    rho, overlap = found.means()
    assert rho == pytest.approx(float(found.rank_correlation.mean()))
    assert overlap == pytest.approx(len(shared) / 3)


def test_one_table_has_all(both: SideBySide, tmp_path: Path) -> None:
    both.save(tmp_path / "explanation.parquet")
    table = pq.read_table(tmp_path / "explanation.parquet").to_pydict()
    assert table["importance"] == table["importance:own"]
    assert table["importance:occlusion"] == both.explanations["occlusion"].importance.tolist()
    assert table["rank:occlusion"] == both.explanations["occlusion"].ranks().tolist()


def test_samples_carry_the_others(both: SideBySide, tmp_path: Path) -> None:
    first, _ = beside(both, [0, 1], "clouds")
    assert (first.explainer, [side.name for side in first.sides]) == ("own", ["occlusion"])
    assert first.sides[0].unit == "log-odds"
    assert first.sides[0].importance.tolist() == both.explanations["occlusion"].importance[:8].double().tolist()
    page = report_explanation(tmp_path / "report.html", both, [], "clouds").read_text(encoding="utf-8")
    assert agreeing(both)[0] in page
    assert "own and occlusion: mean Spearman rank correlation" in agreeing(both)[0]


def test_what_does_not_stand_side_by_side_is_refused(both: SideBySide) -> None:
    with pytest.raises(PellucidError, match="at least two explainers"):
        SideBySide({"own": both.first})
    with pytest.raises(PellucidError, match="the same clouds, got others by b"):
        SideBySide({"a": both.first, "b": explained(torch.rand(5), (5,))})
