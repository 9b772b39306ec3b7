from __future__ import annotations

import math
import re

import pytest

import pellucid.domains.events  # noqa: F401 - tells what directions are
from pellucid.errors import PellucidError
from pellucid.report import PublishedCell
from pellucid.report.content import Words
from pellucid.report.metric_names import better, describe_metric, readable
from pellucid.report.tables import for_reading, key_numbers, metrics_table, number, provenance_table, rows


def test_baselines_are_found() -> None:
    table = rows({"prediction": {"y": {"roc_auc": 0.9, "accuracy": 0.8}},
                  "interpretation": {"precision@5": 0.7, "precision@5_random": 0.3},
                  "fidelity": {"deletion": {"auc": 0.2, "random": 0.5, "steps": 10}}}, [])
    assert {row.path: row.baseline for row in table} == {
        "prediction.y.roc_auc": 0.5, "prediction.y.accuracy": None, "interpretation.precision@5": 0.3,
        "fidelity.deletion.auc": 0.5, "fidelity.deletion.steps": None}


def test_means_over_seeds_are_one_row() -> None:
    (row,) = rows({"interpretation": {"roc_auc": {"mean": 0.9, "std": 0.02, "seeds": 5}}}, [])
    assert (row.path, row.ours, row.spread) == ("interpretation.roc_auc", 0.9, 0.02)


def test_published_numbers_stand_beside_ours_even_without_ours() -> None:
    cells = [PublishedCell("a.roc_auc", 0.8, 0.05, "Table 2"), PublishedCell("b.other", 0.7, math.nan, "Table 3")]
    table = rows({"a": {"roc_auc": 0.9}}, cells)
    assert [(row.path, row.ours, len(row.published)) for row in table] == [("a.roc_auc", 0.9, 1), ("b.other", None, 1)]
    page = metrics_table(table)
    assert "ours is +0.1000 (2.0 × its std)" in page
    assert "nan" not in page


def test_bars_start_at_zero_and_are_to_scale() -> None:
    page = metrics_table(rows({"x": {"roc_auc": 0.5}}, []))
    assert 'x="6.0" y="3" width="134.0"' in page  # half of the 268 units between the margins


def test_numbers_that_are_no_shares_have_no_misleading_bar() -> None:
    assert "<rect" not in metrics_table(rows({"molecules": 1234, "loss": 2.5}, []))
    assert "<rect" in metrics_table(rows({"loss": 2.5}, [PublishedCell("loss", 3.0, 0.1, "Table 1")]))


def test_nothing_gives_nothing() -> None:
    assert metrics_table(rows({}, [])) == key_numbers(rows({}, [])) == provenance_table({}) == ""
    assert "–" in metrics_table(rows({"a": math.nan, "b": None}, []))


def test_directions_stand_beside_random_axes() -> None:
    angles = {"angle": 2.0, "angle_mean": 9.0}
    shown = for_reading({"directions": {**angles, "eigen_ratio": 0.2, "random": {"angle": 45.0, "angle_mean": 44.0},
                                         "radial": {"angle": 0.1, "angle_mean": 0.3}}})
    assert {row.path: (row.ours, row.baseline) for row in rows(shown, [])} == {
        "directions.angle": (2.0, 45.0), "directions.angle_mean": (9.0, 44.0), "directions.eigen_ratio": (0.2, None),
        "directions.radial.angle": (0.1, 45.0), "directions.radial.angle_mean": (0.3, 44.0)}
    page = metrics_table(rows(shown, []), Words("hit", "event"))
    assert "median over all important hits" in page
    assert "atom" not in page


def test_names() -> None:
    assert readable("test.interpretation.roc_auc")[0] == "Interpretation ROC AUC"
    assert readable("fidelity.deletion.auc")[0] == "Deletion"
    assert readable("precision_at_10")[0] == "Precision @ 10"
    assert readable("odd.thing.auc") == ("Thing, AUC", "")
    assert number(1e-7) == "1e-07"
    assert number(1.0) == "1.0000"


def test_provenance_is_nested_and_escaped() -> None:
    page = provenance_table({"config": {"lr": 0.1, "layers": [64, 32]}, "<b>": "<i>"})
    assert "64, 32" in page
    assert "&lt;b&gt;" in page
    assert "<i>" not in page


MIXED = {"prediction": {"log.S": {"mae": 0.5, "rmse": 0.6}, "toxic": {"roc_auc": 0.9, "accuracy": 0.8}},
         "fidelity": {"deletion": {"auc": 1.2, "random": 0.6}, "insertion": {"auc": 0.2, "random": 0.6},
                      "plus": {"value": 0.4, "low": 0.3, "high": 0.5, "random": 0.1}},
         "stability": {"rank_correlation": 0.9, "prediction_std": 0.2, "draws": 5, "jitter": 0.1},
         "selected_epoch": 3, "seconds": {"training": 1.0, "evaluation": 2.0}}


def test_targets_are_shown_by_name_and_never_averaged() -> None:
    table = {row.path: row for row in rows(MIXED, [], units={"log.S": "log mol/L"})}
    assert list(table)[:4] == ["prediction.log.S.mae", "prediction.log.S.rmse", "prediction.toxic.roc_auc",
                               "prediction.toxic.accuracy"]
    assert table["prediction.log.S.rmse"].name == "log.S: Root mean squared error (log mol/L)"
    assert not {"stability.prediction_std", "stability.draws", "selected_epoch", "seconds.training"} & set(table)
    cards = key_numbers(list(table.values()))
    assert cards.index("log.S: Root mean squared error") < cards.index("toxic: ROC AUC") < cards.index("Deletion")
    assert "Accuracy" not in cards


def test_what_is_better_hangs_on_what_fidelity_is_of() -> None:
    def way(explained: str) -> dict[str, str]:
        return {row.path.split(".")[1]: row.better for row in rows(MIXED, [], explained=explained)
                if row.path.startswith("fidelity")}
    assert way("") == way("log.S") == {"deletion": "higher", "insertion": "lower", "plus": "higher"}
    assert way("toxic") == {"deletion": "lower", "insertion": "higher", "plus": "higher"}
    page = metrics_table(rows(MIXED, []))
    assert "in units of the target&#x27;s spread" in page
    assert 'title="higher is better">↑' in page
    assert "spread" not in metrics_table(rows({"fidelity": MIXED["fidelity"]}, []))
    assert better("prediction.y.rmse") == "lower"
    assert better("interpretation.precision@5") == better("stability.jaccard@5") == "higher"
    assert better("directions.eigen_ratio") == ""


def test_baselines_and_intervals_of_a_group_stand_beside_its_numbers() -> None:
    (first, second) = rows({"interpretation": {
        "roc_auc": 0.9, "odd": 1.0, "random": {"roc_auc": 0.51}, "intervals": {"roc_auc": [0.8, 0.95]}}}, [])
    assert (first.path, first.ours, first.baseline, first.interval) == ("interpretation.roc_auc", 0.9, 0.51,
                                                                         (0.8, 0.95))
    assert (second.path, second.baseline, second.interval) == ("interpretation.odd", None, None)
    once = for_reading({"directions": {"angle": 2.0, "random": {"angle": 45.0}}})
    assert for_reading(once) == once


def test_published_numbers_of_a_family_stand_beside_the_first_target() -> None:
    cells = [PublishedCell("classification.roc_auc", 0.8, 0.05, "Table 2")]
    (row,) = rows({"prediction": {"y": {"roc_auc": 0.9}}}, cells)
    assert (row.path, row.name, len(row.published)) == ("prediction.y.roc_auc", "ROC AUC", 1)


def test_an_error_alone_has_no_bar() -> None:
    assert "<rect" not in metrics_table(rows({"prediction": {"y": {"rmse": 0.5}}}, []))


def test_a_domain_describes_its_metrics() -> None:
    describe_metric("odd.width", "Width (mm)", "of {a_point}", "lower")
    (row,) = rows({"odd": {"width": 0.1}}, [])
    assert (row.name, row.about, row.better) == ("Width (mm)", "of {a_point}", "lower")
    assert "of a hit" in metrics_table([row], Words("hit", "event"))
    with pytest.raises(PellucidError, match="higher, lower"):
        describe_metric("odd.width", "Width", "", "more")


def test_a_negative_value_is_drawn_from_zero_on_an_axis_to_one() -> None:
    (row,) = rows({"prediction": {"logS": {"r2": -0.25}}}, [])
    svg = metrics_table([row])
    bar = re.search(r'class="bar-ours" x="([\d.]+)" y="3" width="([\d.]+)"', svg)
    assert bar is not None
    left, width = map(float, bar.groups())
    assert (left, width) == pytest.approx((6.0, 268 * 0.2), abs=0.11)
