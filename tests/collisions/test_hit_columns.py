import pytest
import yaml

from pellucid.collisions.columns import Columns, columns
from pellucid.errors import PellucidError


def test_a_mapping_by_name_file_and_content(tmp_path):
    content = {"event": "evt", "pos": ["eta", "phi"], "unit": "", "features": ["bend"], "layer": ["chamber"]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    mine = columns(tmp_path / "mine.yaml")
    assert mine == columns(content) == columns(mine)
    assert mine.wanted() == ["evt", "eta", "phi", "chamber", "bend"]
    assert columns("trackml").pos == ("x", "y", "z")


@pytest.mark.parametrize(("content", "words"), [
    ({"pos": ["x"]}, "pos"), ({"pos": ["eta", "phi"]}, "unit ''"), ({"pos": ["x", "y", "z"], "unit": "km"}, "unit"),
    ({"pos": ["x", "y", "z"], "labels": "y"}, "labels"), ([1], "mapping"),
])
def test_mistakes_are_named(content, words, tmp_path):
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(PellucidError, match=words):
        columns(tmp_path / "bad.yaml")


def test_what_is_not_there(tmp_path):
    with pytest.raises(PellucidError, match="trackml"):
        columns("trackm")
    with pytest.raises(PellucidError, match=r"none\.yaml"):
        columns(tmp_path / "none.yaml")
    (tmp_path / "odd.yaml").write_text("pos: [")
    with pytest.raises(PellucidError, match="expected a YAML"):
        columns(tmp_path / "odd.yaml")
    assert Columns(pos=("x", "y", "z")).unit == "mm"
