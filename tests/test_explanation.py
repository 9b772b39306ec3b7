"""Explanations: what is refused, the axes, the table and the file."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import EXPLAINED, Explanation, asking
from pellucid.targets import Target, Targets


def explanation(clouds, *, outputs=1, **changes):
    random = torch.Generator().manual_seed(2)
    dim = clouds.pos.shape[1]
    root = torch.randn(clouds.points, dim, dim, generator=random, dtype=torch.float64)
    values = {"clouds": clouds, "prediction": torch.rand(len(clouds), outputs, generator=random),
              "importance": torch.randn(clouds.points, generator=random),
              "covariance": root @ root.transpose(1, 2)}
    return Explanation(**{**values, **changes})


@pytest.mark.parametrize(("changes", "message"), [
    ({"importance": torch.zeros(19)}, r"expected importance of shape \(20,\) or \(20, 1\), got \(19,\)"),
    ({"importance": torch.zeros(20, 2)}, r"expected importance of shape \(20,\) or \(20, 1\), got \(20, 2\)"),
    ({"prediction": torch.zeros(3)}, r"expected prediction of shape \(3, 3\), got \(3,\)"),
    ({"prediction": torch.zeros(4, 1)}, r"expected prediction of shape \(3, 1\), got \(4, 1\)"),
    ({"targets": Targets.of("binary", 2)}, r"expected prediction of shape \(3, 2\), got \(3, 1\)"),
    ({"targets": Targets.of("binary", level="point")}, r"expected prediction of shape \(20, 1\), got \(3, 1\)"),
    ({"explained": torch.tensor([0, 1, 0])}, "expected an output from 0 to 0 that is explained"),
    ({"explained": torch.tensor([0, -1, 0])}, "expected an output from 0 to 0 that is explained"),
    ({"explained": torch.tensor([0, 0])}, "of each of 3 clouds"),
    ({"radius": torch.zeros(3)}, r"column 'radius' of shape \(20,\), got \(3,\)"),
    ({"columns": {"mine": torch.zeros(20, 1)}}, r"column 'mine' of shape \(20,\), got \(20, 1\)"),
    ({"baseline": torch.zeros(2)}, r"expected baseline of shape \(1,\), got \(2,\)"),
    ({"covariance": torch.zeros(20, 2, 2)}, r"expected covariance of shape \(20, 3, 3\), got \(20, 2, 2\)"),
    ({"covariance": torch.zeros(3, 3)}, "expected covariance of shape"),
])
def test_shapes_that_do_not_fit_are_refused(changes, message, random_clouds):
    with pytest.raises(PellucidError, match=message):
        explanation(random_clouds(), **changes)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["importance", "prediction", "covariance", "radius", "baseline"])
def test_values_that_are_not_finite_are_refused(name, bad, random_clouds):
    good = explanation(random_clouds(), radius=torch.ones(20), baseline=torch.zeros(1))
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
    assert set(table) == {"cloud", "point", "explained", "importance", "rank", "prediction:y0", "prediction:y1",
                          "prediction:y2", "x", "y", "std_1", "std_2", "axis_1_x", "axis_1_y", "axis_2_x", "axis_2_y"}
    std, axes = e.principal_axes()
    assert table["std_1"] == std[:, 0].tolist()
    assert table["axis_2_x"] == axes[:, 1, 0].tolist()
    assert table["prediction:y2"] == e.prediction[e.clouds.batch, 2].tolist()


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


# -- targets ------------------------------------------------------------------------------------------------------
MIXED = Targets((Target("logS", "regression", unit="log mol/L", spread=2.0),
                 Target("colour", "multiclass", classes=("red", "green", "blue")), Target("toxic")))
PREDICTION = torch.tensor([[-2.0, 0.7, 0.2, 0.1, 0.9], [3.0, 0.1, 0.1, 0.8, 0.4], [0.5, 0.2, 0.5, 0.3, 0.1]])


def mixed(clouds, *, outputs=True, **changes):
    random = torch.Generator().manual_seed(3)
    shape = (clouds.points, 5) if outputs else (clouds.points,)
    return explanation(clouds, **{"prediction": PREDICTION, "importance": torch.randn(shape, generator=random),
                                  "targets": MIXED, **changes})


def test_one_of_many_outputs_is_picked(random_clouds):
    clouds = random_clouds()
    e = mixed(clouds, signed=True)
    for number, name in enumerate(MIXED.names):
        for asked in (name, number):
            one = e.of(asked)
            assert torch.equal(one.importance, e.importance[:, number])
            assert one.explained.tolist() == [number] * 3
            assert not one.shared
            assert torch.equal(one.of().importance, one.importance)
    colour = e.of("colour")  # the class that is predicted of each cloud
    assert colour.explained.tolist() == [1, 3, 2]
    rows = torch.arange(clouds.points)
    assert torch.equal(colour.importance, e.importance[rows, colour.explained[clouds.batch]])
    assert torch.equal(e.of().importance, e.importance[:, 0])
    third = mixed(clouds, explained=torch.tensor([4, 3, 0]))
    assert torch.equal(third.of().importance, third.importance[rows, third.explained[clouds.batch]])
    assert third.of().explained.tolist() == [4, 3, 0]
    with pytest.raises(PellucidError, match="expected a known target, got 'smell'"):
        e.of("smell")


def test_one_importance_of_all_outputs_is_that_of_each(random_clouds):
    e = mixed(random_clouds(), outputs=False)
    for name, explained in (("toxic", [4] * 3), ("colour=blue", [3] * 3), ("colour", [1, 3, 2]), ("logS", [0] * 3)):
        one = e.of(name)
        assert torch.equal(one.importance, e.importance)
        assert one.explained.tolist() == explained
        assert one.shared
    assert e.of() is e


def test_importance_that_was_asked_of_one_output_is_of_no_other(random_clouds):
    e = mixed(random_clouds(), outputs=False, shared=False, explained=torch.tensor([1, 3, 2]))
    assert torch.equal(e.of().importance, e.importance)
    assert e.of("colour").explained.tolist() == [1, 3, 2]
    for other in ("logS", "toxic", "colour=red", 3):
        with pytest.raises(PellucidError, match=f"expected importance of {other}, got that of another output"):
            e.of(other)
    red = mixed(random_clouds(), outputs=False, shared=False, explained=torch.tensor([1, 1, 1]))
    assert red.of("colour=red").explained.tolist() == red.of("colour").explained.tolist() == [1, 1, 1]
    toxic = mixed(random_clouds(), outputs=False, shared=False, explained=torch.tensor([4, 4, 4]))
    with pytest.raises(PellucidError, match="expected importance of colour"):
        toxic.of("colour")


def test_what_is_told_of_each_cloud(random_clouds):
    y = torch.tensor([[-2.5, 0.0, 1.0], [math.nan, 2.0, 0.0], [1.0, math.nan, math.nan]])
    e = mixed(random_clouds().replace(y=y), signed=True)
    solubility, colour, toxic = (e.of(t) for t in ("logS", "colour", "toxic"))
    assert [solubility.quantity(i) for i in range(3)] == ["logS (log mol/L)"] * 3
    assert [colour.quantity(i) for i in range(3)] == ["P(red)", "P(blue)", "P(green)"]
    assert toxic.quantity(0) == "P(toxic)"
    assert [solubility.value(i) for i in range(3)] == [-2.0, 3.0, 0.5]
    assert [colour.value(i) for i in range(3)] == pytest.approx([0.7, 0.8, 0.5])
    assert [solubility.truth(i) for i in range(3)] == [-2.5, None, 1.0]
    assert [colour.truth(i) for i in range(3)] == [1.0, 1.0, None]
    assert [e.of("colour=red").truth(i) for i in range(3)] == [1.0, 0.0, None]
    assert [toxic.truth(i) for i in range(3)] == [1.0, 0.0, None]
    assert [x.unit(0) for x in (solubility, colour, toxic)] == ["log mol/L", "logits", "log-odds"]
    assert mixed(random_clouds()).unit(0) == "", "importance without a sign has no unit of the target"
    assert mixed(random_clouds()).truth(0) is None
    few = mixed(random_clouds().replace(y=y[:, :1]))
    assert few.of("logS").truth(0) == -2.5
    assert few.of("toxic").truth(0) is None


def test_of_signed_importance_the_size_counts():
    clouds = PointClouds(torch.tensor([0, 3, 5]), {"pos": torch.zeros(5, 3), "group": torch.tensor([0, 1, 1, 0, 1])})
    values = torch.tensor([0.5, -2.0, 1.0, -1.0, 0.2])
    signed, plain = (Explanation(clouds, torch.ones(2, 1), values, signed=s) for s in (True, False))
    assert signed.ranks().tolist() == signed.table()["rank"] == [3, 1, 2, 1, 2]
    assert plain.ranks().tolist() == plain.table()["rank"] == [2, 3, 1, 2, 1]
    assert torch.equal(signed.strength(), values.abs())
    assert torch.equal(plain.strength(), values)
    assert signed.table()["importance"] == values.tolist(), "signs are kept"
    assert signed.groups()["importance"] == pytest.approx([0.5, -0.5, -1.0, 0.2])
    assert signed.groups()["rank"] == [1, 2, 1, 2]
    assert plain.groups()["rank"] == [1, 2, 2, 1]


def test_the_table_names_what_is_explained_and_holds_each_output(random_clouds):
    e = mixed(random_clouds(), signed=True, covariance=None, radius=torch.rand(20)).of("colour")
    table = e.table()
    names = list(MIXED.names)
    assert table["explained"] == [names[e.explained[c]] for c in e.clouds.batch.tolist()]
    assert [f"prediction:{name}" in table for name in names] == [True] * 5
    assert table["prediction:colour=red"] == pytest.approx(PREDICTION[e.clouds.batch, 1].tolist())
    assert table["radius"] == e.radius.tolist()
    assert "std_1" not in table
    assert "importance:logS" not in table
    whole = mixed(random_clouds(), signed=True).table()
    assert whole["importance"] == whole["importance:logS"]
    assert len({len(column) for column in whole.values()}) == 1


def test_a_radius_has_no_axes(random_clouds):
    e = mixed(random_clouds(), covariance=None, radius=torch.rand(20))
    with pytest.raises(PellucidError, match="noise has a radius and no axes; read radius, or train with dgcnn"):
        e.principal_axes()


def test_targets_of_points_have_a_row_a_point(random_clouds):
    clouds = random_clouds((4, 2))
    both = Targets((Target("acid", level="point"), Target("charge", "regression", level="point")))
    prediction = torch.rand(6, 2)
    e = Explanation(clouds, prediction, torch.rand(6), targets=both, explained=torch.tensor([1, 1]), shared=False)
    assert e.level == "point"
    assert math.isnan(e.value(0))
    assert e.truth(0) is None
    assert e.table()["prediction:charge"] == prediction[:, 1].tolist()
    assert e.table()["explained"] == ["charge"] * 6
    each = Explanation(clouds, prediction, torch.rand(6, 2), targets=both)
    assert torch.equal(each.of("charge").importance, each.importance[:, 1])
    none = Explanation(random_clouds((0, 0)), torch.zeros(0, 2), torch.zeros(0, 2), targets=both)
    assert none.of("charge").importance.shape == (0,)


def test_what_is_asked_about_stays_with_the_cloud(random_clouds):
    clouds = asking(random_clouds(), torch.tensor([2, 0, 1]))
    assert clouds.select(torch.tensor([2, 0]))[EXPLAINED].tolist() == [1, 2]
    assert clouds.keep_points(torch.arange(20) % 2 == 0)[EXPLAINED].tolist() == [2, 0, 1]


def test_a_signed_explanation_of_many_outputs_is_saved_and_read_back(random_clouds, tmp_path):
    e = mixed(random_clouds(), signed=True)
    e.save(tmp_path / "e.parquet")
    assert pq.read_table(tmp_path / "e.parquet").to_pydict() == e.table()


def test_what_adds_up_is_told_of_the_output_that_is_explained(random_clouds):
    clouds = random_clouds()
    both = Targets((Target("a", "regression", unit="nM"), Target("b", "regression")))
    one = Explanation(clouds, torch.zeros(len(clouds), 2), torch.zeros(clouds.points, 2), targets=both, signed=True,
                      baseline=torch.tensor([1.0, 5.0]))
    assert (one.start(0), one.of("b").start(0), one.start(0, 1)) == (1.0, 5.0, 5.0)
    assert set(one.table()["baseline:b"]) == {5.0}
    bare = explanation(clouds)
    assert bare.start(0) != bare.start(0), "nothing adds up"
    assert "baseline" not in bare.table()
