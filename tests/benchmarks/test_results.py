"""Cells, tables, and the agreement of orders."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from invented import invented_table

from pellucid.benchmarks.experiments import Published
from pellucid.benchmarks.results import RANDOM, Cell, ResultTable, order_agreement
from pellucid.errors import PellucidError

METRIC = "interpretation.roc_auc"


def cell(method="gradgeo", values=(0.5,), published=None, std=0.01, planned=5, failed=(), metric=METRIC):
    there = None if published is None else Published(metric, published, std, "Table 2")
    return Cell("synmol", "egnn", method, metric, tuple(values), tuple(range(len(values))), planned, there, failed)


def table(*cells):
    methods = tuple(dict.fromkeys(c.method for c in cells))
    return ResultTable("t", "T", "S", "paper", cells, methods, ("egnn",), (METRIC,))


def test_mean_and_deviation():
    values = (0.91, 0.94, 0.905)
    assert cell(values=values).mean == pytest.approx(np.mean(values))
    assert cell(values=values).std == pytest.approx(np.std(values, ddof=1))
    assert math.isnan(cell(values=(0.9,)).std)
    assert math.isnan(cell(values=()).mean)


@pytest.mark.parametrize(("ours", "published", "std", "within", "mark"), [
    (0.95, 0.94, 0.01, True, "≈"), (0.93, 0.94, 0.01, True, "≈"), (0.9501, 0.94, 0.01, False, "↑"),
    (0.92, 0.94, 0.01, False, "↓"), (0.5, 0.5, 0.0, True, "≈"), (0.5, 0.5, math.nan, None, ""),
    (0.5, None, 0, None, ""),
])  # fmt: skip
def test_within_one_published_deviation(ours, published, std, within, mark):
    one = cell(values=(ours,), published=published, std=std)
    assert (one.within, one.mark) == (within, mark)
    assert math.isnan(one.difference) if published is None else one.difference == pytest.approx(ours - published)
    assert cell(values=(), published=0.5).within is None


def test_cells_that_cannot_be():
    with pytest.raises(PellucidError, match="one finite value a seed"):
        cell(values=(math.nan,))
    with pytest.raises(PellucidError, match="one finite value a seed"):
        Cell("synmol", "egnn", "erm", METRIC, (0.5,), (), 5)
    with pytest.raises(PellucidError, match="at most 5 different seeds"):
        cell(failed=((0, "lost"),))
    with pytest.raises(PellucidError, match="at most 1 different seeds"):
        cell(values=(0.5, 0.6), planned=1)
    with pytest.raises(PellucidError, match="each cell of t once"):
        table(cell(), cell())
    with pytest.raises(PellucidError, match=r"classification\.f1; add it"):
        table(cell(metric="classification.f1"))


def test_the_same_order_and_its_reverse():
    means = {"a": 0.9, "b": 0.8, "c": 0.7}
    same = table(*(cell(m, (v - 0.2,), v) for m, v in means.items()), cell(RANDOM, (0.99,), 0.5))
    (agreement,) = order_agreement(same)
    assert (agreement.methods, agreement.tau, agreement.discordant) == (3, pytest.approx(1), ())
    (agreement,) = order_agreement(table(*(cell(m, (1 - v,), v) for m, v in means.items())))
    assert agreement.tau == pytest.approx(-1)
    assert (agreement.discordant[0].better, agreement.discordant[0].worse) == ("a", "c")  # the largest gap first
    assert {(d.better, d.worse) for d in agreement.discordant[1:]} == {("a", "b"), ("b", "c")}
    assert agreement.discordant[0].published == pytest.approx(0.2)
    assert agreement.discordant[0].ours == pytest.approx(-0.2)


def test_pairs_that_the_published_deviations_explain_are_not_listed():
    swapped = [cell("a", (0.7,), 0.80, 0.01), cell("b", (0.8,), 0.75, 0.06), cell("c", (0.1,), 0.2)]
    (agreement,) = order_agreement(table(*swapped))
    assert agreement.tau == pytest.approx(1 / 3)
    assert agreement.discordant == ()  # a gap of .05, and b's deviation is .06


def test_orders_need_two_methods_with_both_numbers():
    assert order_agreement(table(cell("a", (0.7,), 0.8), cell("b", (0.7,)), cell("c", (), 0.7))) == []
    (tied,) = order_agreement(table(cell("a", (0.7,), 0.8), cell("b", (0.7,), 0.6)))
    assert math.isnan(tied.tau)
    assert tied.discordant[0].ours == 0


def test_the_document_is_json_and_whole():
    made = invented_table(done=1)
    document = json.loads(json.dumps(made.document(), allow_nan=False))
    assert len(document["cells"]) == len(made.cells)
    assert len(document["chosen"]) == len(made.chosen)
    assert len(document["order"]) == len(order_agreement(made))
    one = next(c for c in document["cells"] if c["backbone"] == "point_transformer" and c["method"] == "joint")
    assert (one["std"], one["published"], one["planned"], len(one["values"])) == (None, None, 5, 1)
    assert document["labels"]["point_transformer"] == "Point Transformer"
