import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import csv, parquet

from pellucid.collisions.columns import Columns, columns
from pellucid.collisions.tables import read_hits
from pellucid.errors import PellucidError

uproot = pytest.importorskip("uproot", reason="uproot is not installed")

MINE = Columns(event="evt", pos=("x", "y", "z"), momentum=("px", "py", "pz"), label="y", important="signal",
               track="track", layer=("layer",), features=("time",), unit="cm")


def invented(seed=0, events=6):
    rng = np.random.default_rng(seed)
    size = rng.integers(2, 6, events)
    evt = np.repeat(100 + np.arange(events), size)
    n = len(evt)
    table = {"evt": evt, "y": evt % 2, "signal": rng.integers(0, 2, n), "track": rng.integers(-1, 4, n) * 10**16,
             "layer": rng.integers(0, 5, n)}
    return table | {name: rng.normal(size=n) for name in ("x", "y2", "z", "px", "py", "pz", "time")} | {
        "y": evt % 2, "x": rng.normal(size=n)}


@pytest.fixture
def table():
    content = invented()
    content["yy"] = content.pop("y2")
    return content


MAPPING = MINE.model_copy(update={"pos": ("x", "yy", "z")})


def written(table, path):
    if path.suffix == ".root":
        with uproot.recreate(path) as file:
            file["hits"] = table
    elif path.suffix == ".parquet":
        parquet.write_table(pa.table(table), path)
    elif path.suffix == ".gz":
        with pa.CompressedOutputStream(str(path), "gzip") as file:
            csv.write_csv(pa.table(table), file)
    else:
        csv.write_csv(pa.table(table), path)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "a.root"])
def test_a_flat_table_in_any_order_of_rows(name, table, tmp_path):
    order = np.random.default_rng(1).permutation(len(table["evt"]))
    clouds = read_hits(written({k: v[order] for k, v in table.items()}, tmp_path / name), MAPPING)
    assert clouds.text["id"] == [f"a-{e}" for e in np.unique(table["evt"])]
    assert clouds.ptr.diff().tolist() == np.unique(table["evt"], return_counts=True)[1].tolist()
    assert clouds["y"][:, 0].tolist() == [0, 1, 0, 1, 0, 1]
    sort = order[np.argsort(table["evt"][order], kind="stable")]
    assert torch.allclose(clouds.pos, torch.tensor(
        np.stack([table[c][sort] for c in ("x", "yy", "z")], 1) * 10, dtype=torch.float32))
    assert torch.allclose(clouds["momentum"][:, 1], torch.tensor(table["py"][sort], dtype=torch.float32))
    assert clouds["important"].tolist() == (table["signal"][sort] == 1).tolist()
    assert torch.allclose(clouds["features"][:, 0], torch.tensor(table["time"][sort], dtype=torch.float32))
    for n in range(len(clouds)):
        mine = (clouds.batch == n).numpy()
        track, group = table["track"][sort][mine], clouds["group"].numpy()[mine]
        assert (group[track <= 0] == -1).all()
        real = group[track > 0]
        assert set(real) == set(range(len(np.unique(track[track > 0]))))
        assert len(set(zip(real, track[track > 0], strict=True))) == len(set(real))


def test_one_entry_an_event(tmp_path):
    ak = pytest.importorskip("awkward")
    with uproot.recreate(tmp_path / "j.root") as file:
        file["events"] = {"x": ak.Array([[1.0, 2.0], [3.0]]), "y": ak.Array([[0.0, 1.0], [2.0]]),
                          "z": ak.Array([[5.0, 5.0], [5.0]]), "label": np.array([1, 0])}
    clouds = read_hits(tmp_path / "j.root", Columns(pos=("x", "y", "z"), label="label", unit="m"))
    assert clouds.ptr.tolist() == [0, 2, 3]
    assert clouds.pos.tolist() == [[1000, 0, 5000], [2000, 1000, 5000], [3000, 2000, 5000]]
    assert clouds["y"][:, 0].tolist() == [1, 0]


def test_trackml_files(tmp_path):
    for event in (21000, 21001):
        (tmp_path / f"event{event:09d}-hits.csv").write_text(
            "hit_id,x,y,z,volume_id,layer_id,module_id\n1,30,0,1,8,2,1\n2,70,1,2,8,4,1\n3,-30,0,9,8,2,5\n")
        (tmp_path / f"event{event:09d}-truth.csv").write_text(
            "hit_id,particle_id,tx,ty,tz,tpx,tpy,tpz,weight\n2,4503668346847232,70,1,2,1,0,3,1e-5\n"
            "1,4503668346847232,30,0,1,1,0.1,3,1e-5\n3,0,-30,0,9,0,0,0,0\n")
    (tmp_path / "event000021000-cells.csv").write_text("hit_id\n1\n")
    clouds = read_hits(tmp_path, columns("trackml"))
    assert clouds.text["id"] == ["event000021000-hits", "event000021001-hits"]
    assert clouds["group"].tolist() == [0, 0, -1] * 2
    assert clouds["layer"].tolist() == [0, 1, 0] * 2
    assert clouds["momentum"][0].tolist() == pytest.approx([1, 0.1, 3])


def test_degrees_become_radians(tmp_path):
    (tmp_path / "m.csv").write_text("eta,phi\n1.5,180\n2.0,-90\n")
    clouds = read_hits(tmp_path / "m.csv", Columns(pos=("eta", "phi"), unit="", angle_unit="degree"))
    assert clouds.pos[:, 1].tolist() == pytest.approx([math.pi, -math.pi / 2])


@pytest.mark.parametrize(("text", "words"), [
    ("evt,x,y,zz\n1,1,1,1\n", "column z .*did you mean zz"),
    ("evt,x,y,z\n1,1,1,1\n2,1,nan,1\n2,1,inf,1\n", "y, got NaN or infinity in 2 of 3 hits, first in event bad-2"),
    ("evt,x,y,z\n1,a,1,1\n", "numbers in the column x"),
    ("evt,x,y,z\n", "empty table"),
    ("", "expected a table"),
])
def test_bad_tables(text, words, tmp_path):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(PellucidError, match=words):
        read_hits(tmp_path / "bad.csv", Columns(event="evt", pos=("x", "y", "z")))


def test_a_label_that_varies_or_is_not_one(tmp_path):
    mapping = Columns(event="evt", pos=("x", "y", "z"), label="s")
    (tmp_path / "bad.csv").write_text("evt,x,y,z,s\n1,1,1,1,0\n1,1,1,1,1\n")
    with pytest.raises(PellucidError, match="one s for each event, got several in event bad-1"):
        read_hits(tmp_path / "bad.csv", mapping)
    (tmp_path / "bad.csv").write_text("evt,x,y,z,s\n1,1,1,1,3\n")
    with pytest.raises(PellucidError, match="0 or 1 in the column s, got 3"):
        read_hits(tmp_path / "bad.csv", mapping)


def test_what_cannot_be_read(tmp_path):
    mapping = Columns(pos=("x", "y", "z"))
    for name, words in (("none.csv", "does not exist"), ("a.txt", "convert"), ("a.root", "ROOT file"),
                        ("a.parquet", "table"), (".", "none that end in")):
        if name.startswith("a."):
            (tmp_path / name).write_bytes(b"not what it says")
        if name == ".":
            for file in tmp_path.iterdir():
                file.unlink()
        with pytest.raises(PellucidError, match=words):
            read_hits(tmp_path / name, mapping)


def test_a_truth_that_does_not_belong(tmp_path):
    (tmp_path / "e-hits.csv").write_text("hit_id,x,y,z,volume_id,layer_id\n1,1,1,1,1,1\n5,1,1,1,1,1\n")
    (tmp_path / "e-truth.csv").write_text("hit_id,particle_id,tpx,tpy,tpz\n1,7,1,1,1\n")
    with pytest.raises(PellucidError, match="do not belong together"):
        read_hits(tmp_path / "e-hits.csv", columns("trackml"))
