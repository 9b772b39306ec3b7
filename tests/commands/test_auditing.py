"""``pellucid audit``: the ranking, the page and what goes wrong, as a user meets them."""

import base64
import io
import json
import re
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

from pellucid import cli
from pellucid.commands.auditing import NEIGHBOURS, audit
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.margin import WrongLabels, studies

X, Y = load_digits(return_X_y=True)
X, Y = X[:400], Y[:400]
RNG = np.random.default_rng(0)
FLIPPED = np.where(RNG.random(len(Y)) < 0.1, (Y + RNG.integers(1, 10, len(Y))) % 10, Y)
ORDER = sorted(range(64), key=str)  # x0, x1, x10, ...: as many tools write columns
DIGITS = pa.table({**{f"x{j}": X[:, j] for j in ORDER}, "label": FLIPPED})


def run(*words):
    """Exit status of ``pellucid audit WORDS``."""
    old, sys.argv = sys.argv, ["pellucid", "audit", *map(str, words)]
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = old
    return 0


def content(folder):
    """What the page carries."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)[1])


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("digits") / "digits.parquet"
    pq.write_table(DIGITS, path, row_group_size=150)
    return path


def test_the_command_writes_a_ranking_and_a_page(digits, tmp_path, capsys):
    assert run("labels", digits, "--features", "x*", "--label", "label", "--image", "8x8", "--out", tmp_path / "out",
               "--top", 10, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["ranking.csv", "ranking.parquet", "report.html"]
    ranking = pq.read_table(tmp_path / "out" / "ranking.parquet")
    study = WrongLabels().fit((X[:, ORDER] / np.sqrt(X.var(0).mean())).astype(np.float32), FLIPPED)
    assert ranking.column_names == ["id", "score", "rank", "label", "suggested"]
    assert ranking.column("rank").to_pylist() == list(range(1, 401))
    assert (np.diff(ranking.column("score").to_numpy()) <= 0).all()
    score = np.empty(400)
    score[ranking.column("id").to_numpy()] = ranking.column("score").to_numpy()
    np.testing.assert_allclose(score, study.influence_)
    top = ranking.column("id").to_numpy()[:40]
    assert (FLIPPED[top] != Y[top]).mean() > 0.8
    assert (ranking.column("suggested").to_numpy()[:40] == Y[top]).mean() > 0.8
    assert pa.csv.read_csv(tmp_path / "out" / "ranking.csv").equals(ranking)
    assert summary["first"] == ranking.slice(0, 10).to_pylist()
    assert summary["classes"] == {str(c): int((c == FLIPPED).sum()) for c in range(10)}
    assert summary["search"] == {"metric": "euclidean", "search": "exact", "recall": 1.0}
    assert "one vector" in summary["scaling"][0]
    assert summary["another_label_suggested"] == (study.suggested_ != FLIPPED).sum()
    shown = content(tmp_path / "out")
    (_, _, samples), = shown["galleries"]
    assert samples == top[:10].tolist()
    assert np.sum(shown["histogram"]["counts"]) == 400
    assert shown["map"]["samples"] == list(range(400))


def test_the_page_shows_the_pixels_and_the_nearest_neighbours(digits, tmp_path):
    audit("labels", digits, features="x*", label="label", image="8x8", out=tmp_path, top=5)
    shown = content(tmp_path)
    pixels = [shown["looks"][str(i)] for i in shown["galleries"][0][2]]
    for i, address in zip(shown["galleries"][0][2], pixels, strict=True):
        with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
            np.testing.assert_allclose(np.asarray(image), (X[i].reshape(8, 8) / 16 * 255).round(), atol=1)
        away = np.linalg.norm(X - X[i], axis=1)
        near = shown["neighbours"][str(i)]
        np.testing.assert_allclose(away[near], np.sort(away)[1:NEIGHBOURS + 1], rtol=1e-5)


def test_the_numbers_of_rows_are_told_against_what_is_usual(tmp_path):
    cancer = load_breast_cancer()
    names = cancer.feature_names.tolist()
    table = pa.table({**dict(zip(names, cancer.data.T, strict=True)), "y": cancer.target})
    found = audit("labels", table, features="*", label="y", out=tmp_path / "labels", top=3)
    first = int(found.ranking.column("id")[0].as_py())
    same = cancer.data[cancer.target == cancer.target[first]]
    for name, value, _, usual, away in content(tmp_path / "labels")["looks"][str(first)]:
        j = names.index(name)
        np.testing.assert_allclose([value, usual], [cancer.data[first, j], np.median(same[:, j])], rtol=1e-3)
        np.testing.assert_allclose(away, (value - usual) / cancer.data[:, j].std(), rtol=0.02, atol=1e-3)
    found = audit("outliers", table, features="*", label="y", out=tmp_path / "odd", top=3)
    first = int(found.ranking.column("id")[0].as_py())
    shown = content(tmp_path / "odd")
    near = cancer.data[shown["neighbours"][str(first)]]
    for name, _, middle, _ in shown["looks"][str(first)]:
        np.testing.assert_allclose(middle, np.median(near[:, names.index(name)]), rtol=1e-3)


@pytest.mark.parametrize("study", ["boundary", "outliers", "prototypes"])
def test_the_other_studies(study, digits, tmp_path):
    found = audit(study, digits, features="x*", label="label", image="8x8", out=tmp_path, neighbors=10, top=6)
    expected = studies[study](10, **({"function": "local"} if study == "prototypes" else {})).fit(found.samples.X,
                                                                                               FLIPPED)
    ranking = pq.read_table(tmp_path / "ranking.parquet")
    assert ranking.column_names == ["id", "score", "rank", "label"]
    assert ranking.column("id").to_pylist() == expected.ranking_.tolist()
    galleries = {title: samples for title, _, samples in content(tmp_path)["galleries"]}
    assert expected.ranking_[:6].tolist() in galleries.values()
    if study == "prototypes":
        order = pq.read_table(tmp_path / "prototypes.parquet")
        assert order.column("id").to_pylist() == expected.prototypes_.tolist()
        assert galleries["Prototypes"] == expected.prototypes_[:6].tolist()
        assert pa.csv.read_csv(tmp_path / "prototypes.csv").equals(order)


def jpeg(colour):
    file = io.BytesIO()
    Image.new("RGB", (400, 200), colour).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["bytes", "struct", "paths"])
def test_images_in_a_column(kind, tmp_path):
    values = [jpeg((4 * i, 0, 0)) for i in range(30)]
    values[7] = b"no image"
    if kind == "struct":  # as Hugging Face's parquet has
        values = [{"bytes": v, "path": None} for v in values]
    elif kind == "paths":
        (tmp_path / "pictures").mkdir()
        for i, value in enumerate(values):
            (tmp_path / "pictures" / f"{i}.jpg").write_bytes(value)
        values = [f"pictures/{i}.jpg" for i in range(30)]
    pq.write_table(pa.table({"x": RNG.normal(size=30), "photo": values}), tmp_path / "a.parquet")
    found = audit("outliers", tmp_path / "a.parquet", features="x", show="photo", out=tmp_path / "out", neighbors=3,
                  top=30)
    looks = content(tmp_path / "out")["looks"]
    assert looks["7"] is None
    assert sum(look.startswith("data:image/jpeg") for look in looks.values() if look) == 29
    assert "1 of 30 images do not open" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert found.files["report.html"].stat().st_size < 300_000  # small copies


def test_texts_in_a_column_and_names_that_are_code(tmp_path):
    evil = "</script><script>alert(1)</script>"
    table = pa.table({"x": RNG.normal(size=40), "text": [evil + "word " * 1000] * 40, "y": [evil, "b"] * 20,
                      "id": [f"<b>{i}" for i in range(40)]})
    found = audit("labels", table, features="*", label="y", show="text", out=tmp_path, neighbors=3)
    assert found.samples.columns == ["x"]
    assert "text, y, id" in found.summary["notes"][0]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<b>" not in page
    look = next(iter(content(tmp_path)["looks"].values()))
    assert len(look) < 1600
    assert found.ranking.column("id")[0].as_py().startswith("<b>")


def test_a_large_table_is_drawn_in_part_with_all_that_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.commands.auditing.MAPPED", 50)
    monkeypatch.setattr("pellucid.report.audit.KEPT", 30)
    pages = []
    for name in "ab":
        audit("outliers", DIGITS, features="x*", out=tmp_path / name, memory=1000)
        pages.append((tmp_path / name / "report.html").read_text(encoding="utf-8"))
    assert pages[0] == pages[1]
    shown = content(tmp_path / "a")
    assert set(shown["galleries"][0][2]) <= set(shown["map"]["samples"])
    assert 50 <= len(shown["map"]["samples"]) <= 74
    assert len(shown["ranking"]) == 30


def test_many_classes(tmp_path):
    labels = np.char.add("class ", (np.arange(400) % 40).astype(str))
    audit("boundary", DIGITS.append_column("many", pa.array(labels)), features="x*", label="many", out=tmp_path)
    shown = content(tmp_path)
    assert len(shown["classes"]) == 10
    assert shown["classes"][-1] == "others"
    assert np.sum(shown["histogram"]["counts"][-1]) == 400 - 90
    assert "Shown are 30 of 40" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_missing_values_and_labels_are_told(tmp_path, capsys):
    table = DIGITS.set_column(0, "x0", pa.array([None, *X[1:, 0]]))
    table = table.set_column(64, "label", pa.array([*FLIPPED[:-1], None]))
    pq.write_table(table, tmp_path / "a.parquet")
    words = ["labels", tmp_path / "a.parquet", "--features", "x*", "--label", "label", "--out", tmp_path / "out"]
    assert run(*words) == 2
    assert "in 1 row (column x0: 1)" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
    assert run(*words, "--missing", "drop", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["left_out"] == {"without_label": {"count": 1, "first": [399]},
                                   "incomplete": {"count": 1, "first": [0]}}
    assert summary["samples"] == 398
    assert run(*words, "--missing", "median") == 0
    assert "filled in" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "sentence"), [
    (["labels", "--features", "x*"], "expected a column of labels for labels, got none"),
    (["labels", "--features", "z*", "--label", "label"], "which fits none"),
    (["labels", "--features", "x*", "--label", "lable"], "did you mean 'label'"),
    (["labels", "--features", "x*", "--label", "label", "-k", "400"], "expected k from 1 to 399"),
    (["labels", "--features", "x*", "--label", "x0", "--variant", "none"], "expected a variant out of"),
    (["labels", "--features", "x*", "--label", "label", "--set", "symetry=mutual"], "did you mean 'symmetry'"),
    (["labels", "--features", "x*", "--label", "label", "--metric", "precomputed"], "expected a metric out of"),
    (["labels", "--features", "x*", "--label", "label", "--image", "8"], "expected an image size"),
    (["labels", "--features", "x*", "--label", "label", "--image", "9x9"], "expected 81 pixels"),
    (["labels", "--features", "x*", "--label", "label", "--show", "photo"], "expected a column for what is shown"),
    (["labels", "--features", "x*", "--label", "label", "--image", "8x8", "--show", "x0"], "got both"),
    (["labels", "--features", "x*", "--label", "label", "--top", "5000"], "from 1 to 1000"),
    (["labels", "--features", "x*", "--label", "label", "--id", "name"], "expected a column for ids"),
    (["label", "--features", "x*", "--label", "label"], "did you mean 'labels'"),
    (["active", "--features", "x*"], "expected a known study for an audit"),
    (["outliers", "--features", "x*", "--variant", "best"], "expected a variant out of"),
])
def test_mistakes_are_one_sentence_and_leave_nothing(digits, tmp_path, capsys, words, sentence):
    assert run(words[0], digits, *words[1:], "--out", tmp_path / "out") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert sentence in error
    assert error.startswith("pellucid: expected")
    assert not (tmp_path / "out").exists()


def test_one_class_cannot_be_audited(tmp_path):
    table = DIGITS.set_column(64, "label", pa.array(["a"] * 400))
    with pytest.raises(PellucidError, match="at least two classes"):
        audit("labels", table, features="x*", label="label", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_told_first(digits, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(PellucidError, match="which is a file"):
            audit("outliers", digits, features="x*", out=out)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PellucidError, match="may not be written"):
        audit("outliers", digits, features="x*", out=tmp_path / "out")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_replaces_nothing(digits, tmp_path, monkeypatch):
    audit("outliers", digits, features="x*", out=tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pa.csv, "write_csv", full)
    with pytest.raises(PellucidError, match="No space left"):
        audit("outliers", digits, features="x*", out=tmp_path, neighbors=5)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_unknown_option_is_told():
    with pytest.raises(UnknownNameError, match="n_neighbors"):
        audit("labels", DIGITS, features="x*", label="label", options={"n_neighbours": 3})


def test_the_help_has_an_example(capsys):
    assert run("--help") == 0
    assert "Example: pellucid audit" in capsys.readouterr().out


def test_the_first_are_printed_for_people(digits, tmp_path, capsys):
    assert run("labels", digits, "--features", "x*", "--label", "label", "--out", tmp_path) == 0
    captured = capsys.readouterr()
    assert "the first of 400 samples" in captured.out
    assert "suggested" in captured.out
    assert "report.html" in captured.err
