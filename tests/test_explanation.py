"""Explanations: what is refused, the axes, the table and the file."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation


def explanation(clouds, *, outputs=1, **changes):
    random = torch.Generator().manual_seed(2)
    dim = clouds.pos.shape[1]
    root = torch.randn(clouds.points, dim, dim, generator=random, dtype=torch.float64)
    values = {"clouds": clouds, "prediction": torch.rand(len(clouds), outputs, generator=random),
              "importance": torch.randn(clouds.points, generator=random),
              "covariance": root @ root.transpose(1, 2)}
    return Explanation(**{**values, **changes})


@pytest.mark.parametrize(("changes", "message"), [
    ({"importance": torch.zeros(19)}, r"expected importance of shape \(20,\), got \(19,\)"),
    ({"importance": torch.zeros(20, 1)}, r"expected importance of shape \(20,\), got \(20, 1\)"),
    ({"prediction": torch.zeros(3)}, r"expected prediction of shape \(3, outputs\), got \(3,\)"),
    ({"prediction": torch.zeros(4, 1)}, r"expected prediction of shape \(3, outputs\), got \(4, 1\)"),
    ({"covariance": torch.zeros(20, 2, 2)}, r"expected covariance of shape \(20, 3, 3\), got \(20, 2, 2\)"),
    ({"covariance": torch.zeros(3, 3)}, "expected covariance of shape"),
])
def test_shapes_that_do_not_fit_are_refused(changes, message, random_clouds):
    with pytest.raises(PellucidError, match=message):
        explanation(random_clouds(), **changes)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["importance", "prediction", "covariance"])
def test_values_that_are_not_finite_are_refused(name, bad, random_clouds):
    good = explanation(random_clouds())
    value = getattr(good, name).clone()
    value.view(-1)[-1] = bad
    with pytest.raises(PellucidError, match=f"expected finite {name}"):
        explanation(random_clouds(), **{name: value})


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_principal_axes_against_numpy(dim, random_clouds):
    e = explanation(random_clouds(dim=dim))
    std, axes = e.principal_axes()
    assert std.dtype == axes.dtype == torch.float32
    assert std.shape == (20, dim)
    assert axes.shape == (20, dim, dim)
    assert bool((std.diff(dim=1) <= 0).all()), "largest first"
    torch.testing.assert_close(axes @ axes.transpose(1, 2), torch.eye(dim).expand(20, -1, -1), atol=1e-5, rtol=0)
    for v in range(20):
        values, vectors = np.linalg.eigh(e.covariance[v].numpy())
        np.testing.assert_allclose(std[v], np.sqrt(values[::-1].clip(0)), rtol=1e-4, atol=1e-5)
        along = np.abs(np.sum(axes[v].numpy() * vectors.T[::-1], 1))  # up to the sign
        np.testing.assert_allclose(along, 1, atol=1e-4)
    rebuilt = axes.transpose(1, 2) @ (std.square()[:, :, None] * axes)
    torch.testing.assert_close(rebuilt.double(), e.covariance, atol=1e-3, rtol=1e-3)


def test_axes_of_a_known_ellipse(random_clouds):
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    sigma = turn @ torch.diag(torch.tensor([1.0, 9.0])) @ turn.t()
    std, axes = explanation(random_clouds((1,), 2), covariance=sigma[None]).principal_axes()
    torch.testing.assert_close(std, torch.tensor([[3.0, 1.0]]))
    torch.testing.assert_close(axes[0].abs(), turn.t().flip(0).abs())


def test_without_covariance_there_are_no_axes(random_clouds):
    e = explanation(random_clouds(), covariance=None)
    with pytest.raises(PellucidError, match="lri-gaussian"):
        e.principal_axes()
    assert not [column for column in e.table() if column.startswith(("std", "axis"))]


def test_table_ranks_within_each_cloud():
    clouds = PointClouds(torch.tensor([0, 3, 3, 5, 6]), {
        "pos": torch.arange(18.0).reshape(6, 3),
        "categories": torch.tensor([[7, 0], [8, 0], [9, 0], [1, 0], [2, 0], [3, 0]]),
        "important": torch.tensor([True, False, True, False, False, True]),
    }, text={"id": ["a", "b", "c", "d"], "smiles": ["C"] * 4})
    table = explanation(clouds, importance=torch.tensor([0.1, 0.9, 0.5, -1.0, -1.0, 3.0]),
                        prediction=torch.tensor([[0.25], [0.5], [0.75], [1.0]])).table()
    assert table["cloud"] == [0, 0, 0, 2, 2, 3]
    assert table["point"] == [0, 1, 2, 0, 1, 0]
    assert table["rank"] == [3, 1, 2, 1, 2, 1], "ties keep the order of the points"
    assert table["id"] == ["a", "a", "a", "c", "c", "d"]
    assert "smiles" not in table
    assert table["prediction"] == [0.25, 0.25, 0.25, 0.75, 0.75, 1.0]
    assert table["category"] == [7, 8, 9, 1, 2, 3]
    assert table["important"] == [True, False, True, False, False, True]
    assert table["y"] == [1.0, 4.0, 7.0, 10.0, 13.0, 16.0]
    assert len({len(column) for column in table.values()}) == 1


def test_table_in_two_dimensions_with_several_outputs(random_clouds):
    e = explanation(random_clouds((4, 2), 2), outputs=3)
    table = e.table()
    assert set(table) == {"cloud", "point", "importance", "rank", "prediction_0", "prediction_1", "prediction_2", "x",
                          "y", "std_1", "std_2", "axis_1_x", "axis_1_y", "axis_2_x", "axis_2_y"}
    std, axes = e.principal_axes()
    assert table["std_1"] == std[:, 0].tolist()
    assert table["axis_2_x"] == axes[:, 1, 0].tolist()
    assert table["prediction_2"] == e.prediction[e.clouds.batch, 2].tolist()


def test_ranks_against_a_plain_sort(random_clouds):
    e = explanation(random_clouds((12, 0, 1, 30)))
    table = e.table()
    for a, b in zip(e.clouds.ptr[:-1].tolist(), e.clouds.ptr[1:].tolist(), strict=True):
        values = e.importance[a:b].tolist()
        assert table["rank"][a:b] == [1 + sum(other > v for other in values) for v in values]


@pytest.mark.parametrize("dim", [2, 3])
def test_saved_table_reads_back(dim, random_clouds, tmp_path):
    e = explanation(random_clouds(dim=dim), outputs=2)
    path = tmp_path / "explanation.parquet"
    e.save(path)
    assert pq.read_table(path).to_pydict() == e.table()
    again = explanation(random_clouds(dim=dim), covariance=None)
    again.save(path)
    assert pq.read_table(path).to_pydict() == again.table()
    assert [p.name for p in tmp_path.iterdir()] == ["explanation.parquet"]


def test_no_points_at_all(random_clouds, tmp_path):
    e = explanation(random_clouds((0, 0)))
    assert e.table()["rank"] == []
    e.save(tmp_path / "empty.parquet")
    assert pq.read_table(tmp_path / "empty.parquet").num_rows == 0
