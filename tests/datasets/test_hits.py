import numpy as np
import pytest
import yaml

from pellucid.datasets import load_dataset
from pellucid.datasets.hits import read_events
from pellucid.errors import PellucidError

MAPPING = {"event": "event", "pos": ["x", "y", "z"], "label": "label", "important": "signal"}


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    rows = ["event,x,y,z,label,signal"]
    for event in range(40):
        rows += [f"{event},{a:.3f},{b:.3f},{c:.3f},{event % 2},{n % 2}" for n, (a, b, c) in
                 enumerate(rng.normal(size=(5, 3)))]
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    (tmp_path / "columns.yaml").write_text(yaml.safe_dump(MAPPING))
    return {"source_dir": str(tmp_path / "mine.csv"), "columns": str(tmp_path / "columns.yaml")}


def test_own_events_become_a_dataset(own, tmp_path):
    made = load_dataset("hits", **own)
    assert made.clouds["split"].bincount().tolist() == [28, 6, 6]
    assert made.provenance["counts"] == {"events": 40, "hits": 200, "positive": 20}
    assert load_dataset("hits", **own).path == made.path
    assert load_dataset("hits", seed=1, **own).path != made.path
    (tmp_path / "mine.csv").write_text((tmp_path / "mine.csv").read_text() + "\n0,9,9,9,0,0\n")
    assert load_dataset("hits", **own).path != made.path  # by content, not by name


def test_events_to_explain_need_no_label(own):
    assert len(read_events(own["source_dir"], {"event": "event", "pos": ["x", "y", "z"]})) == 40


def test_bad_options(own, tmp_path):
    with pytest.raises(PellucidError, match="source_dir"):
        load_dataset("hits")
    with pytest.raises(PellucidError, match="the option columns"):
        load_dataset("hits", source_dir=own["source_dir"])
    with pytest.raises(PellucidError, match="column with the label"):
        load_dataset("hits", source_dir=own["source_dir"], columns="trackml")
    (tmp_path / "few.csv").write_text("event,x,y,z,label,signal\n1,0,0,0,1,1\n")
    with pytest.raises(PellucidError, match="got none for"):
        load_dataset("hits", **{**own, "source_dir": str(tmp_path / "few.csv")})
