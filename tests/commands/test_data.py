"""What a training is asked to learn from."""

from __future__ import annotations

import pytest

from pellucid.commands.data import AskedData, told
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.training.presets import defaults, settings


def test_a_file_is_a_table_and_a_name_a_dataset(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("smiles,y\nCCO,1\n")
    asked = AskedData.of(path, ["y"], {"geometry": "graph"})
    assert (asked.name, asked.coordinates) == ("molecules", False)
    assert asked.options == {"source": path, "targets": ["y"], "geometry": "graph"}
    assert AskedData.of({"smiles": ["CCO"], "y": [1.0]}, "y").options["targets"] == ["y"]
    assert AskedData.of("synmol").coordinates


def test_what_is_neither_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'synmol'"):
        AskedData.of("synmoll")
    with pytest.raises(PellucidError, match="no such file is there; check the path"):
        AskedData.of(str(tmp_path / "mine.csv"), "y")
    with pytest.raises(PellucidError, match=r"expected a target .* with a table of your own alone"):
        AskedData.of("synmol", "y")


def test_other_datasets_say_nothing_of_tables():
    assert told({"source": "somewhere", "failed": [{"id": 1, "reason": "x"}]}) == []
    assert told({"labels": ["logS: regression"], "notes": ["2 salts"], "failed": [{"id": "a", "reason": "b"}]}) == [
        "target logS: regression", "2 salts", "1 left out (a: b); provenance.json has all"]


def test_graphs_have_settings_of_their_own():
    assert defaults("molecules") == ("egnn", "erm")
    graph = settings("molecules", "erm", "gin", coordinates=False)
    flat = settings("molecules", "erm", "egnn")
    assert (graph.method.rule.kind, flat.method.rule.kind) == ("edges", "knn")
    assert graph.method.readout == flat.method.readout == "interacting"
    assert graph.backbone.read_all
    assert graph.training.threads == 1
