import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
import torch

from pellucid.clouds import PointClouds
from pellucid.commands.reporting import report_explanation, samples_of
from pellucid.domains import domain_of
from pellucid.domains.events import track_lines
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.report.content import Words

EVENTS = Words("hit", "event")


def event_sample(explanation, i):
    return domain_of("events").sample(explanation, i)


def invented(dim=3, unit="mm", events=2, **more):
    """Straight tracks with INVENTED importance and noise."""
    rng = np.random.default_rng(0)
    n = 3 * 5 * events
    away = rng.normal(size=(3 * events, dim))
    pos = (away[:, None] * np.arange(1, 6)[:, None]).reshape(n, dim) * 100
    root = rng.normal(size=(n, dim, dim))
    fields = {"pos": torch.from_numpy(pos), "y": torch.ones(events, 1),
              "group": torch.arange(3).repeat_interleave(5).repeat(events),
              "important": (torch.arange(3) == 0).repeat_interleave(5).repeat(events), **more}
    clouds = PointClouds(torch.arange(events + 1) * 15, fields, units={"pos": unit})
    return Explanation(clouds, torch.full((events, 1), 0.7), torch.from_numpy(rng.normal(size=n)), "importance",
                       torch.from_numpy(root @ root.transpose(0, 2, 1)), {"spec": {"domain": "events"}}, {})


def drawing(svg):
    return ET.fromstring(svg)


@pytest.mark.parametrize(("dim", "unit", "captions"), [(3, "mm", ["x – y", "r – z"]), (2, "", ["eta – phi (rad)"])])
def test_an_event_has_its_flat_views(dim, unit, captions):
    sample = event_sample(invented(dim, unit), 1)
    assert [caption.partition(";")[0] for caption in sample.views] == captions
    assert sample.words == EVENTS
    assert sample.pos.shape == (15, 3)
    assert len(sample.bonds) == 3 * 4
    for svg in sample.views.values():
        root = drawing(svg)
        marks = [e.get("class") for e in root.iter() if (e.get("class") or "").startswith("point-")]
        assert sorted(marks) == sorted(f"point-{i}" for i in range(15))
        assert sum(e.get("class") == "line" for e in root.iter()) == 3
        assert sum(e.tag.endswith("}g") for e in root.iter()) == 15  # an ellipse each
        assert not re.search(r"nan|inf", svg)


def test_the_long_axis_of_an_ellipse_is_that_of_the_noise():
    explanation = invented()
    flat = torch.zeros(30, 3, 3, dtype=torch.float64)
    flat[:, 0, 0], flat[:, 1, 1] = 1.0, 100.0  # along y
    sample = event_sample(Explanation(explanation.clouds, explanation.prediction, explanation.importance, "importance",
                                      flat, {}, {}), 0)
    angles = {float(re.search(r"rotate\((.*)\)", e.get("transform"))[1]) % 180
              for e in drawing(next(iter(sample.views.values()))).iter() if e.tag.endswith("}g")}
    assert angles == {90.0}


def test_hits_stand_where_they_are():
    sample = event_sample(invented(), 0)
    root = drawing(sample.views[next(iter(sample.views))])
    at = {int(e.get("class")[6:]): (float(e.get("cx")), -float(e.get("cy"))) for e in root.iter()
          if (e.get("class") or "").startswith("point-")}
    seen = np.array([at[i] for i in range(15)])
    fit, *_ = np.linalg.lstsq(np.column_stack([sample.pos[:, :2], np.ones(15)]), seen, rcond=None)
    assert fit[0, 0] == pytest.approx(fit[1, 1], rel=1e-2)  # one scale for x and y
    assert abs(fit[0, 1]) + abs(fit[1, 0]) < 1e-3


def test_lines_run_from_the_inside_out_and_noise_has_none():
    pos = np.array([[3.0, 0, 0], [1, 0, 0], [2, 0, 0], [9, 9, 9]])
    assert [line.tolist() for line in track_lines(pos, np.array([0, 0, 0, -1]))] == [[1, 2, 0]]


def test_more_is_known_of_hits():
    n = 30
    explanation = invented(layer=torch.arange(n), momentum=torch.ones(n, 3) * 3, features=torch.rand(n, 1))
    sample = event_sample(explanation, 0)
    assert list(sample.columns) == ["layer", "p_t", "feature_0"]
    assert sample.columns["p_t"] == pytest.approx(np.full(15, 3 * 2**0.5))
    assert sample.labels[:6] == ["track 0"] * 5 + ["track 1"]


def test_the_page_speaks_of_hits(tmp_path):
    path = report_explanation(tmp_path / "report.html", invented(), [])
    text = path.read_text(encoding="utf-8")
    frame = re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.DOTALL)
    visible = " ".join(re.findall(r">([^<]+)<", frame))
    assert "Which hits decided" in visible
    assert not re.search(r"\b(atom|molecule)s?\b", visible)
    assert samples_of(invented(), [0])[0].words == EVENTS


HITS = """event,x,y,z,signal
1,1,2,3,1
1,2,4,6,1
2,3,0,1,0
"""


def test_hits_are_read_by_their_columns(tmp_path):
    (tmp_path / "hits.csv").write_text(HITS)
    mapping = {"event": "event", "pos": ["x", "y", "z"], "label": "signal", "unit": "cm"}
    events = domain_of("events")
    (tmp_path / "columns.yaml").write_text("event: event\npos: [x, y, z]\nunit: cm\n")
    given = events.read(tmp_path / "hits.csv", columns=tmp_path / "columns.yaml")
    assert given.clouds.sizes.tolist() == [2, 1]
    assert given.clouds.pos[0].tolist() == [10, 20, 30]
    # a run on the user's own hits knows its columns; a label is no part of what is to be explained
    again = events.read(str(tmp_path / "hits.csv"), options={"columns": mapping})
    assert torch.equal(again.clouds.pos, given.clouds.pos)
    assert "y" not in again.clouds
    with pytest.raises(PellucidError, match="expected columns for the hits in"):
        events.read(tmp_path / "hits.csv")
    with pytest.raises(PellucidError, match="a run on events, got list; give its path"):
        events.read([1, 2], columns="trackml")
    with pytest.raises(PellucidError, match="no ligand for a run on events"):
        events.read(tmp_path / "hits.csv", columns="trackml", ligand="l.sdf")


def test_a_radius_is_a_sphere_and_no_ellipse():
    explanation = invented()
    sample = event_sample(replace(explanation, covariance=None, radius=torch.full((30,), 2.0)), 0)
    assert sample.covariance is None
    assert sample.radius.tolist() == [2.0] * 15
    assert "no axes" in sample.noise_note
    assert list(sample.views) == ["x – y", "r – z"]
