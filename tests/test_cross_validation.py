"""Cross-validation: every molecule once, mean and deviation, and the same command goes on."""

from __future__ import annotations

import csv
import json
import math

import pytest

from pellucid.cross_validation import _judged, cross_validate, spread
from pellucid.errors import PellucidError

TAILS = ("O", "N", "F", "Cl", "Br", "S", "C#N", "OC", "NC", "C(=O)O")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "mine.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "smiles", "logS [log mol/L]"])
        for n in range(60):
            chain, tail = n % 6 + 1, TAILS[n % len(TAILS)]
            rows.writerow([f"m{n}", "C" * chain + ("c1ccccc1" if n % 2 else "") + tail, chain / 3 + len(tail)])
    return path


def go(table, out, **more):
    return cross_validate(table, "logS", folds=3, out=out, device="cpu", epochs=1, preset="smoke",
                          dataset_options={"geometry": "graph"}, **more)


def test_every_molecule_is_tested_once(table, tmp_path, monkeypatch):
    found = go(table, tmp_path / "cv")
    errors = [json.loads((run / "metrics.json").read_text())["prediction"]["logS"]["rmse"] for run in found.runs]
    mean = sum(errors) / 3
    told = found.metrics["prediction"]["logS"]["rmse"]
    assert told["mean"] == pytest.approx(mean)
    assert told["std"] == pytest.approx(math.sqrt(sum((e - mean) ** 2 for e in errors) / 2))
    kept = json.loads((tmp_path / "cv" / "folds.json").read_text())
    assert kept["metrics"]["prediction"]["logS"]["rmse"] == told
    page = found.report.read_text(encoding="utf-8")
    names = {f"m{n}" for n in range(60)}
    assert {name for name in names if f'"{name}"' in page} == names
    assert "over 3 folds" in page
    assert found.metrics["trust"]["level"] in ("good", "unclear", "no")
    assert f'class="trust trust-{found.metrics["trust"]["level"]}"' in page

    monkeypatch.setattr("pellucid.cross_validation.fit", lambda *a, **k: pytest.fail("trained a finished fold again"))
    assert go(table, tmp_path / "cv").metrics == found.metrics


def test_what_does_not_go_together_is_refused(table, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(PellucidError, match=r"got .* with other things in it"):
        go(table, other)
    assert (other / "thesis.txt").read_text() == "mine"
    with pytest.raises(PellucidError, match="option of the dataset synmol"):
        cross_validate("synmol", folds=3, out=tmp_path / "cv")


def test_trust_goes_by_the_means_of_each_target():
    def told(value):
        return {"mean": value, "std": 0.1}

    sanity = {"randomisation": {name: told(value) for name, value in
                                (("value", 0.2), ("low", 0.1), ("high", 0.3), ("random", 0.2))}}
    judged = _judged({"prediction": {"a": {"rmse": told(1.0), "r2": told(0.8)}, "b": {"roc_auc": told(0.5)}},
                      "sanity": sanity, "targets": {"b": {"sanity": sanity}}}, "a")
    assert judged["trust"]["level"] == "unclear"  # fidelity was not measured
    assert judged["targets"]["b"]["trust"]["level"] == "no"
    assert "predicts b hardly better than a guess" in judged["targets"]["b"]["trust"]["sentence"]


def test_only_numbers_that_all_have_are_averaged():
    assert spread([{"a": 1, "b": True, "c": math.nan}, {"a": 2, "b": False, "c": math.nan, "d": 1.0}]) == {
        "a": {"mean": 1.5, "std": pytest.approx(math.sqrt(0.5))}}
