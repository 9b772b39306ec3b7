"""Tables read and scaled (tables, samples, scaling): against NumPy on the whole table at once."""

import numpy as np
import polars
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler

from pellucid.errors import DamagedFileError, PellucidError
from pellucid.margin import tables
from pellucid.margin.samples import read_samples
from pellucid.margin.scaling import Moments, scaling
from pellucid.margin.tables import Source, choose, matrix

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)) * [1, 10, 100, 0] + [0, 5, -1000, 7]
NAMES = ["height", "width", "mass", "fixed"]


def table(values=X, names=NAMES, **more):
    return pa.table({**dict(zip(names, values.T, strict=True)), **more})


def read(source, features, **options):
    return read_samples(Source.open(source), features, **options)


@pytest.fixture(params=["parquet", "folder", "csv", "csv.gz", "table", "polars", "pandas"])
def stored(request, tmp_path):
    made = table(label=pa.array(["a", "b", "c"] * 100), id=pa.array(range(1000, 1300)))
    path = tmp_path / f"table.{request.param}"
    if request.param == "parquet":
        pq.write_table(made, path, row_group_size=70)
    elif request.param == "folder":
        path.mkdir()
        pq.write_table(made.slice(0, 120), path / "a.parquet")
        pq.write_table(made.slice(120), path / "b.parquet")
    elif request.param.startswith("csv"):
        with pa.CompressedOutputStream(path, "gzip") if request.param.endswith("gz") else path.open("wb") as file:
            pa.csv.write_csv(made, file)
    else:
        return {"table": made, "polars": polars.from_arrow(made), "pandas": made.to_pandas()}[request.param]
    return path


def test_every_kind_of_table_gives_the_same(stored, monkeypatch):
    monkeypatch.setattr(tables, "_CELLS", 4 * 64)  # many pieces
    samples = read(stored, ["h*,width", "mass", "fixed"], label="label")
    expected = StandardScaler().fit_transform(X)
    np.testing.assert_allclose(samples.X, expected, atol=1e-4)
    assert samples.label.tolist() == ["a", "b", "c"] * 100
    assert samples.ids.to_pylist() == list(range(1000, 1300))
    assert samples.names == NAMES
    np.testing.assert_allclose(samples.spread, X.std(0), rtol=1e-6, atol=1e-9)
    assert samples.scaling.about == ["4 single columns: each standardised, 1 of them constant and so left at 0"]
    rows = [0, 69, 70, 119, 120, 299]
    found = Source.open(stored).rows(rows, ["width", "label"])
    np.testing.assert_allclose(found.column("width").to_numpy(), X[rows, 1])
    assert found.column("label").to_pylist() == [("a", "b", "c")[row % 3] for row in rows]


def test_moments_are_those_of_the_whole_without_gaps():
    values = RNG.normal(size=(1000, 3)) * [1, 1e3, 1] + [0, 0, 1e6]
    values[RNG.random(values.shape) < 0.1] = np.nan
    values[:, 0][:400] = np.nan
    moments = Moments(3)
    for part in np.split(values, [0, 1, 300, 700]):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, np.nanmean(values, 0))
    np.testing.assert_allclose(moments.std, np.nanstd(values, 0), rtol=1e-9)
    np.testing.assert_array_equal(moments.count, np.isfinite(values).sum(0))
    np.testing.assert_array_equal([moments.low, moments.high], [np.nanmin(values, 0), np.nanmax(values, 0)])


def scaled(values, names, scale="auto", sizes=None, **options):
    moments = Moments(values.shape[1])
    moments.add(values)
    made = scaling(names, sizes or [1] * len(names), moments, scale, **options)
    return made(values), made.about


def test_pixels_are_one_vector_and_a_table_of_units_is_not():
    digits = load_digits().data
    names = [f"pixel_{i // 8}_{i % 8}" for i in range(64)]
    out, about = scaled(digits, names)
    np.testing.assert_allclose(out, digits / np.sqrt(digits.var(0).mean()), rtol=1e-5)
    assert len(about) == 1
    assert "one vector" in about[0]
    cancer = load_breast_cancer().data
    numbered = [f"x{i}" for i in range(30)]  # numbered, but of very different ranges
    for out, about in (scaled(cancer, numbered), scaled(cancer, [f"of {n}" for n in "abcdefghijklmnopqrstuvwxyzABCD"]),
                       scaled(digits, names, "standard")):
        whole = cancer if out.shape[1] == 30 else digits
        np.testing.assert_allclose(out, StandardScaler().fit_transform(whole), atol=1e-4)
        assert "each standardised" in about[0]
    assert "one vector" in scaled(cancer, numbered, one_unit=True)[1][0]
    assert "one vector" in scaled(digits, ["v"], sizes=[64])[1][0]
    np.testing.assert_array_equal(scaled(digits, names, "none")[0], digits)
    with pytest.raises(PellucidError, match="scale"):
        scaled(digits, names, "both")


def test_two_numbered_columns_of_different_units_are_no_vector():
    out, about = scaled(np.array([[0.0, 0.0], [1.0, 9.0]]), ["x1", "x2"])
    np.testing.assert_allclose(out, [[-1, -1], [1, 1]])
    assert "9-fold" in about[0]


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.list_(pa.float32(), 4), pa.large_list(pa.float16()),
                                  pa.list_(pa.list_(pa.float64(), 2), 2)])
def test_a_column_of_vectors(kind):
    values = RNG.integers(0, 9, (50, 4)).astype(float)
    column = pa.array([row.reshape(2, 2).tolist() if "list<" in str(kind.value_type) or pa.types.is_fixed_size_list(
        kind.value_type) else np.float16(row) if pa.types.is_large_list(kind) else row.tolist() for row in values],
        type=kind)
    samples = read(pa.table({"v": column}), ["v"], scale="none")
    np.testing.assert_array_equal(samples.X, values)
    assert samples.names == ["v[0]", "v[1]", "v[2]", "v[3]"]


def test_vectors_with_gaps():
    column = pa.array([[1.0, 2.0], None, [3.0, None], [5.0, 6.0]])
    np.testing.assert_array_equal(matrix(column, "v"), [[1, 2], [np.nan] * 2, [3, np.nan], [5, 6]])
    with pytest.raises(PellucidError, match="2 rows"):
        read(pa.table({"v": column}), ["v"])
    assert read(pa.table({"v": column}), ["v"], missing="drop").rows.tolist() == [0, 3]
    with pytest.raises(PellucidError, match="lengths 2 and 1"):
        read(pa.table({"v": [[1, 2], [3]]}), ["v"])
    with pytest.raises(PellucidError, match="only empty"):
        read(pa.table({"v": [[], []]}), ["v"])


def test_missing_features():
    values = X.copy()
    values[3, 1], values[5, 1], values[5, 0], values[9, 2] = np.nan, np.inf, np.nan, -np.inf
    made = table(values, label=[None, "a", "b"] * 100)  # 3 and 9 have no label either
    with pytest.raises(PellucidError, match=r"in 3 rows \(columns width: 2, height: 1, mass: 1\)"):
        read(made, NAMES)
    with pytest.raises(PellucidError, match=r"in 1 row \(columns height: 1, width: 1\)"):
        read(made, NAMES, label="label")
    dropped = read(made, NAMES, missing="drop")
    assert dropped.incomplete == [3, 5, 9]
    assert 5 not in dropped.rows
    kept = np.delete(X, [3, 5, 9], axis=0)
    np.testing.assert_allclose(dropped.X, StandardScaler().fit_transform(kept), atol=1e-4)
    filled = read(made, NAMES, missing="median", scale="none")
    np.testing.assert_allclose(filled.X[[3, 5], 1], np.median(np.delete(X[:, 1], [3, 5])), rtol=1e-6)
    assert "filled in" in filled.notes[0]
    with pytest.raises(PellucidError, match="median of, got none in y"):
        read(pa.table({"x": [1.0, 2.0], "y": pa.array([None, None], pa.float64())}), ["x", "y"], missing="median")


@pytest.mark.parametrize("gap", [None, "", float("nan")])
def test_samples_without_a_label_are_left_out_and_named(gap):
    values = [1.0, 0.0, gap, 1.0] if isinstance(gap, float) else ["b", "a", gap, "b"]
    samples = read(pa.table({"x": [1.0, 2.0, 3.0, 4.0], "y": values, "id": list("pqrs")}), ["x"], label="y")
    assert samples.ids.to_pylist() == ["p", "q", "s"]
    assert samples.label.tolist() == ([1, 0, 1] if isinstance(gap, float) else ["b", "a", "b"])
    assert samples.without_label == ["r"]
    assert "1 without a label left out: r." in samples.notes


def test_categories_and_truth_values_are_labels():
    for column in (pa.array(["u", "v", "u"]).dictionary_encode(), pa.array([True, False, True])):
        made = read(pa.table({"x": [1.0, 2.0, 3.0], "y": column}), ["x"], label="y").label
        assert len(np.unique(made)) == 2
    with pytest.raises(PellucidError, match="words or numbers"):
        read(pa.table({"x": [1.0, 2.0], "y": [[1], [2]]}), ["x"], label="y")


def test_a_csv_file_that_changes_its_mind(tmp_path):
    path = tmp_path / "long.csv"
    many = 200_000  # more than one block of a CSV file
    path.write_text("id,x,y\n" + "".join(f"{i},1,0\n" for i in range(many)) + "007,2.5,\n008,2.5,seven\n")
    samples = read(path, ["x"], label="y", scale="none")
    assert samples.X[-1, 0] == 2.5
    assert samples.label[-1] == "seven"
    assert samples.ids[many].as_py() == "008"
    assert samples.without_label == ["007"]


def test_columns_are_chosen_by_name_and_glob():
    source = Source.open(table(label=[0] * 300, id=range(300), **{"a, b": [1.0] * 300}))
    assert choose(source, ["*t*", "a, b", "mass"], ["label"]) == (["height", "width", "a, b", "mass"], [])
    assert choose(source, ["*"], ["label"]) == ([*NAMES, "a, b"], ["label", "id"])
    assert choose(source, ["id", "mass"], []) == (["id", "mass"], [])
    for pattern, near in (("widht", "did you mean 'width'"), ("q*", "there are height"), ("hieght", "'height'")):
        with pytest.raises(PellucidError, match=near):
            choose(source, [pattern], [])
    with pytest.raises(PellucidError, match="only label"):
        choose(source, ["label"], ["label"])
    with pytest.raises(PellucidError, match=r"got word \(string\)"):
        choose(Source.open(pa.table({"x": [1], "word": ["a"]})), ["*"], [])
    twice = Source.open(pa.table([[1, 2], [3, 4]], names=["x", "x"]))
    with pytest.raises(PellucidError, match="got 2"):
        choose(twice, ["x"], [])


def test_features_larger_than_the_memory_allowed_go_to_a_file(tmp_path):
    small, large = (read(table(), NAMES, memory=memory, folder=tmp_path) for memory in (10**6, 100))
    assert isinstance(large.X, np.memmap)
    assert not isinstance(small.X, np.memmap)
    np.testing.assert_array_equal(small.X, large.X)
    assert list(tmp_path.iterdir()) == []  # the file has no name


def damaged(path, what):
    if what == "cut":
        pq.write_table(table(), path)
        path.write_bytes(path.read_bytes()[:-100])
    elif what == "inside":
        pq.write_table(table(), path)
        whole = path.read_bytes()
        path.write_bytes(whole[:4] + b"\xff" * 300 + whole[304:])
    else:
        path.write_text(what)


@pytest.mark.parametrize(("name", "content", "error", "match"), [
    ("a.parquet", "cut", DamagedFileError, "magic bytes"),
    ("a.parquet", "inside", DamagedFileError, "cannot be read"),
    ("a.parquet", "", PellucidError, "empty file"),
    ("a.csv", "\n", DamagedFileError, "Empty CSV"),
    ("a.csv", "height,width\n1,2\n3\n", DamagedFileError, "Expected 2 columns, got 1"),
    ("a.csv", "height,width\n", PellucidError, "at least two samples"),
    ("a.csv", "height\n1\nx\n", PellucidError, r"height \(string\)"),
    ("a.txt", "height", PellucidError, "ends in .parquet"),
])
def test_files_that_cannot_be_read(tmp_path, name, content, error, match):
    damaged(tmp_path / name, content)
    with pytest.raises(error, match=match):
        read(tmp_path / name, ["height"])
    with pytest.raises(PellucidError, match="nothing there"):
        read(tmp_path / "other.csv", ["height"])
    with pytest.raises(PellucidError, match="got int"):
        Source.open(3)
