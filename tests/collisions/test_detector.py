import pytest
import yaml

from pellucid.collisions.detector import SILICON_LOSS, detector, packaged
from pellucid.errors import PellucidError

BARRELS = {32: 500, 72: 500, 116: 500, 172: 500, 260: 1080, 360: 1080, 500: 1080, 660: 1080, 820: 1080, 1020: 1080}
DISCS = ({(z, 30, 176) for z in (600, 700, 820, 960, 1100, 1300, 1500)}
         | {(z, *r) for z in (1220, 1500, 1800, 2150, 2550, 2950) for r in ((240, 702), (755, 1018))})


def test_the_generic_tracker_has_the_open_detectors_layers():
    table = [row for row in detector("generic").table() if row["sensitive"]]
    assert {row["r"]: row["half_length"] for row in table if row["kind"] == "barrel"} == BARRELS
    assert {(row["z"], row["r_min"], row["r_max"]) for row in table if row["kind"] == "disc"} == DISCS
    assert len(table) == len(BARRELS) + len(DISCS)


@pytest.mark.parametrize("name", packaged())
def test_packaged_detectors_can_be_built(name):
    plan = detector(name)
    assert plan.name == name
    assert plan.about
    assert detector(plan.model_dump(mode="json")) == plan


def test_energy_loss_follows_from_the_thickness_where_it_is_not_given(tmp_path):
    own = {"name": "own", "surfaces": [
        {"name": "a", "kind": "barrel", "r": 10, "half_length": 5, "thickness": 0.5},
        {"name": "b", "kind": "disc", "z": 10, "r_min": 1, "r_max": 5, "thickness": 0.5, "energy_loss": 0.0}]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    a, b = detector(tmp_path / "own.yaml").surfaces
    assert a.loss == 0.5 * SILICON_LOSS
    assert b.loss == 0


@pytest.mark.parametrize(("surface", "words"), [
    ({"kind": "barrel", "r": 10}, "expected r, half_length for a barrel, got r"),
    ({"kind": "disc", "z": 10, "r_min": 5, "r_max": 5}, "expected r_min < r_max"),
    ({"kind": "cone"}, "'barrel' or 'disc'"),
    ({"kind": "barrel", "r": -1, "half_length": 5}, "greater than 0"),
    ({"kind": "barrel", "r": float("nan"), "half_length": 5}, "finite"),
    ({"kind": "barrel", "r": 1, "half_length": 5, "colour": "red"}, "colour"),
    ({"kind": "barrel", "r": 1, "half_length": 5, "resolution": [-1, 0]}, "at least 0 mm"),
])
def test_a_mistake_names_its_surface(surface, words):
    with pytest.raises(PellucidError, match="'odd'") as error:
        detector({"name": "own", "surfaces": [{"name": "odd", **surface}]})
    assert words in str(error.value)


def test_bad_files(tmp_path):
    with pytest.raises(PellucidError, match="generic"):
        detector("genric")
    with pytest.raises(PellucidError, match="does not exist"):
        detector(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("name: [")
    with pytest.raises(PellucidError, match="expected YAML"):
        detector(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(PellucidError, match="expected name and surfaces"):
        detector(tmp_path / "list.yaml")
    layer = {"name": "a", "kind": "barrel", "r": 1, "half_length": 1}
    with pytest.raises(PellucidError, match="a more than once"):
        detector({"name": "twice", "surfaces": [layer, layer]})
