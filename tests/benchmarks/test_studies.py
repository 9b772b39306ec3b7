"""The frame of the studies' benchmarks, with a toy protocol: engines agree, nothing runs twice, failures are told."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pellucid.benchmarks.margin import Measured, Measurement, Part, Protocol, protocols
from pellucid.benchmarks.margin.curves import Curves, point
from pellucid.commands.benching import bench_study
from pellucid.errors import MissingPackageError, PellucidError
from pellucid.report.lines import colours
from pellucid.report.studies import drawings, html, markdown


class Toy(Protocol):
    """A toy."""

    title, source, claim, axis = "A <toy>", "section 0", "it is a toy", "share"
    best = {"recall": "high"}  # noqa: RUF012
    shown = {"recall": (0.1, 0.3)}  # noqa: RUF012
    presets = {"standard": {"repetitions": 3}, "smoke": {"repetitions": 1}, "broken": {"repetitions": 2, "fail": 1}}  # noqa: RUF012
    files = {"numbers": "numbers.txt"}  # noqa: RUF012

    def parts(self, settings):
        return [Part(f"repetition {i}", ("numbers",), {"seed": i, **settings})
                for i in range(settings["repetitions"])]

    def measure(self, part, folder):
        seed = part.options["seed"]
        if part.options.get("fail") == seed:
            raise ValueError("the part broke")
        add = float(self.place("numbers", folder).read_text())
        rng = np.random.default_rng(seed)
        rows = [Measurement("Toys", "recall", method, x, add + x + 0.01 * rng.normal() + (method == "MARGIN"), seed)
                for method in ("MARGIN", "peer", "random", "oracle") for x in (0.1, 0.2, 0.3)]
        rows.append(Measurement("Toys", "error", "MARGIN", 0, 0.5 + seed, seed))
        counts = {"attacked": [1, 2], "clean": [3, 0]}
        return Measured(rows, {"histo": {"kind": "histogram", "title": "a <b>", "x": "score", "edges": [0, 1, 2],
                                         "counts": counts},
                               "grid": {"kind": "grid", "title": "g", "rows": ["r"], "columns": ["c", "d"],
                                        "images": [["AAAA", None]]}}, ["a note"])

    def findings(self, rows):
        return [f"{len(rows)} numbers"]


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setitem(protocols._entries, "margin-toy", Toy)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers.txt").write_text("2")
    return {"source_dir": tmp_path / "data", "store": tmp_path / "results.sqlite"}


def test_means_intervals_and_files(toy, tmp_path):
    curves = bench_study("margin-toy", out=tmp_path / "out", command="the command", **toy)
    assert isinstance(curves, Curves)
    values = [row.value for row in curves.rows if (row.method, row.x) == ("peer", 0.2)]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    p = curves.points["Toys", "recall", "peer", 0.2]
    assert (p.mean - p.half, p.mean + p.half) == pytest.approx((low, high))
    assert curves.findings == ["39 numbers"]
    assert curves.winners("Toys", "recall") == {0.1: {"MARGIN"}, 0.3: {"MARGIN"}}
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert document["provenance"]["command"] == "the command"
    assert [entry["mean"] for entry in document["points"] if entry["metric"] == "error"] == [1.5]
    with (tmp_path / "out" / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 13
    text = (tmp_path / "out" / "results.md").read_text()
    assert "| Method | 0.1 | 0.3 |" in text
    assert "| MARGIN | **" in text
    assert {"toys-recall.svg", "toys-error.svg", "histo.svg", "grid.svg"} <= {p.name for p in
                                                                             (tmp_path / "out").iterdir()}
    page = (tmp_path / "out" / "results.html").read_text()
    assert "A &lt;toy&gt;" in page
    assert "a &lt;b&gt;" in page
    assert "<b>" in page
    assert "{{" not in page


def test_nothing_runs_twice_and_other_data_are_another_result(toy, monkeypatch):
    first = bench_study("margin-toy", **toy)
    assert set(bench_study("margin-toy", dry_run=True, **toy).values()) == {"done"}
    monkeypatch.setattr(Toy, "measure", lambda *_: pytest.fail("measured again"))
    assert bench_study("margin-toy", **toy).points == first.points
    Path(toy["source_dir"], "numbers.txt").write_text("3")
    assert set(bench_study("margin-toy", dry_run=True, **toy).values()) == {"to do"}


def test_a_part_that_fails_is_told_and_the_others_count(toy):
    curves = bench_study("margin-toy", preset="broken", **toy)
    assert curves.failed == [("margin-toy: repetition 1", "ValueError: the part broke")]
    assert "the part broke" in markdown(curves)
    assert "the part broke" in html(curves)
    assert math.isnan(curves.points["Toys", "error", "MARGIN", 0].half)


def test_bad_input_is_one_sentence(toy, tmp_path, monkeypatch):
    with pytest.raises(PellucidError, match="expected a known benchmark, got 'margin-toi'; did you mean 'margin-toy'"):
        bench_study("margin-toi")
    with pytest.raises(PellucidError, match="expected a known preset of margin-toy, got 'huge'"):
        bench_study("margin-toy", preset="huge", **toy)
    with pytest.raises(PellucidError, match=r"expected --source-dir with numbers\.txt, got none"):
        bench_study("margin-toy", store=toy["store"])
    with pytest.raises(PellucidError, match=r"expected numbers\.txt in .*, got nothing there"):
        bench_study("margin-toy", source_dir=tmp_path)
    monkeypatch.setattr(Toy, "needs", ("no_such_package",))
    with pytest.raises(MissingPackageError, match="expected the package no_such_package, got none installed"):
        bench_study("margin-toy", **toy)


def test_charts_have_a_line_for_each_method_and_colours_tell_ours(toy):
    curves = bench_study("margin-toy", **toy)
    svg = drawings(curves)["toys-recall.svg"]
    for method in ("MARGIN", "peer", "random", "oracle"):
        assert f"<title>{method}</title>" in svg
    paint = colours(["MARGIN", "MARGIN, f", "peer", "other", "random"])
    assert len(set(paint.values())) == 5


def test_an_interval_of_one_value_is_not_known():
    assert math.isnan(point([1.0]).half)
