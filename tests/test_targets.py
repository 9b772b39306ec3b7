"""Targets: losses and predictions against plain PyTorch on the values that are there; names, scales and documents."""

import json

import pytest
import torch
import torch.nn.functional as F

from pellucid.errors import PellucidError, UnknownNameError
from pellucid.targets import Explained, Target, Targets

NAN = float("nan")
MIXED = Targets((
    Target("logS", "regression", unit="log mol/L", center=-2.0, spread=3.0, weight=2.0),
    Target("mass", "regression", center=300.0, spread=100.0),
    Target("colour", "multiclass", classes=("red", "green", "light=blue"), weight=0.5),
    Target("toxic", classes=("no", "yes")),
    Target("soluble", weight=3.0),
    Target("shape", "multiclass", classes=("round", "flat")),
))


def logits(rows, columns):
    random = torch.Generator().manual_seed(0)
    return torch.randn(rows, columns, generator=random, dtype=torch.float64).requires_grad_()


def same(task, x, y, expected):
    got = task.loss(x, y)
    torch.testing.assert_close(got, expected)
    mine, = torch.autograd.grad(got, x)
    plain, = torch.autograd.grad(expected, x)
    torch.testing.assert_close(mine, plain)


def test_binary_loss_leaves_missing_targets_out():
    x = logits(4, 2)
    y = torch.tensor([[1, NAN], [0, 1], [NAN, NAN], [NAN, 0]], dtype=torch.float64)
    known = ~y.isnan()
    same(Targets.of("binary", 2), x, y, F.binary_cross_entropy_with_logits(x[known], y[known]))


def test_regression_loss_leaves_missing_targets_out():
    x = logits(4, 2)
    y = torch.tensor([[1.5, NAN], [-20, 1], [NAN, NAN], [NAN, 0]], dtype=torch.float64)
    known = ~y.isnan()
    same(Targets.of("regression", 2), x, y, F.mse_loss(x[known], y[known]))


def test_multiclass_loss_leaves_missing_targets_out():
    x = logits(4, 3)
    y = torch.tensor([[2], [NAN], [0], [1]], dtype=torch.float64)
    same(Targets.of("multiclass", 3), x, y, F.cross_entropy(x[[0, 2, 3]], torch.tensor([2, 0, 1])))


@pytest.mark.parametrize("task", [Targets.of("binary", 2), Targets.of("regression", 2), Targets.of("multiclass", 2)],
                         ids=lambda t: t[0].kind)
def test_no_target_at_all_costs_nothing(task):
    x = logits(3, 2)
    y = torch.full((3, 1 if task[0].kind == "multiclass" else 2), NAN, dtype=torch.float64)
    loss = task.loss(x, y)
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.any()


def test_predictions():
    x = logits(3, 2)
    assert torch.equal(Targets.of("binary", 2).predict(x), x.sigmoid())
    assert torch.equal(Targets.of("multiclass", 2).predict(x), x.softmax(1))
    assert torch.equal(Targets.of("regression", 2).predict(x), x)


@pytest.mark.parametrize(("kind", "outputs"), [("binary", 0), ("regression", 0), ("multiclass", 1), ("ranking", 1)])
def test_impossible_tasks_are_refused(kind, outputs):
    with pytest.raises(PellucidError):
        Targets.of(kind, outputs)


@pytest.mark.parametrize("task", [Targets.of("binary", 2), Targets.of("regression", 2)], ids=lambda t: t[0].kind)
def test_targets_of_another_width_are_refused(task):
    """They must not be spread over the outputs by broadcasting."""
    with pytest.raises(PellucidError):
        task.loss(logits(3, 2), torch.ones(3, 1, dtype=torch.float64))


@pytest.mark.parametrize("wrong", [3.0, -1.0, -100.0, 0.5])
def test_classes_that_do_not_exist_are_refused(wrong):
    with pytest.raises(PellucidError):
        Targets.of("multiclass", 3).loss(logits(2, 3), torch.tensor([[0.0], [wrong]], dtype=torch.float64))


@pytest.mark.parametrize("wrong", [-1.0, 2.0])
def test_labels_that_are_no_probability_are_refused(wrong):
    """With labels -1 and 1 the cross-entropy has no minimum."""
    with pytest.raises(PellucidError):
        Targets.of("binary").loss(logits(2, 1), torch.tensor([[1.0], [wrong]], dtype=torch.float64))


def test_a_regression_has_its_own_unit():
    task = Targets.of("regression", 1, center=6.0, spread=2.0)
    y = torch.tensor([[4.0], [9.0], [float("nan")]])
    logits = torch.tensor([[-0.5], [1.0], [3.0]])
    torch.testing.assert_close(task.predict(logits), torch.tensor([[5.0], [8.0], [12.0]]))
    torch.testing.assert_close(task.loss(logits, y), torch.tensor((0.5**2 + 0.5**2) / 2))  # 1 / spread off, each


@pytest.mark.parametrize(("kind", "center", "spread"), [("regression", 0.0, 0.0), ("regression", 0.0, -1.0),
                                                        ("binary", 1.0, 1.0), ("multiclass", 0.0, 2.0)])
def test_a_unit_that_makes_no_sense_is_refused(kind, center, spread):
    with pytest.raises(PellucidError, match="expected a positive spread"):
        Target("y", kind, classes=("a", "b") if kind == "multiclass" else (), center=center, spread=spread)


# -- mixed kinds, gaps and weights --------------------------------------------------------------------------------
def by_hand(targets, x, y):
    """The weighted mean over known values, value by value."""
    total, count = 0.0, 0.0
    for row in range(len(y)):
        for column, (target, start) in enumerate(zip(targets, targets.starts, strict=True)):
            value = y[row, column]
            if value.isnan():
                continue
            own = x[row, start : start + target.outputs]
            if target.kind == "binary":
                each = F.binary_cross_entropy_with_logits(own[0], value)
            elif target.kind == "multiclass":
                each = F.cross_entropy(own[None], value[None].long())
            else:
                each = (own[0] - (value - target.center) / target.spread) ** 2
            total, count = total + target.weight * each, count + target.weight
    return total / count


def values(rows=7, gaps=0.3, seed=0):
    random = torch.Generator().manual_seed(seed)
    y = torch.stack([torch.randn(rows, generator=random) * 3, torch.randn(rows, generator=random) * 100 + 300,
                     torch.randint(3, (rows,), generator=random), torch.randint(2, (rows,), generator=random),
                     torch.rand(rows, generator=random), torch.randint(2, (rows,), generator=random)], 1).double()
    y[torch.rand(y.shape, generator=random) < gaps] = NAN
    return y


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gaps", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (3, 0, 4, 1, 5, 2), (2, 5, 4, 3, 1, 0)], ids=str)
def test_mixed_losses_against_a_loop(order, gaps, seed):
    targets = Targets(tuple(MIXED[i] for i in order))
    x, y = logits(7, targets.outputs), values(gaps=gaps, seed=seed)[:, order]
    if bool(y.isnan().all()):
        pytest.skip("nothing is known")
    same(targets, x, y, by_hand(targets, x, y))


def test_equal_weights_of_any_size_are_no_weights():
    x, y = logits(7, 2), values()[:, 3:5]
    plain = Targets((Target("a"), Target("b")))
    heavy = Targets((Target("a", weight=5.0), Target("b", weight=5.0)))
    torch.testing.assert_close(heavy.loss(x, y), plain.loss(x, y))


def test_a_target_of_large_weight_decides():
    x = torch.tensor([[2.0, -2.0]])
    y = torch.tensor([[1.0, 1.0]])
    uneven = Targets((Target("a", weight=1e6), Target("b")))
    torch.testing.assert_close(uneven.loss(x, y), F.binary_cross_entropy_with_logits(x[0, 0], y[0, 0]), atol=1e-4,
                               rtol=0)


def test_a_row_without_any_value_changes_nothing():
    x, y = logits(7, MIXED.outputs), values()
    y[3] = NAN
    keep = torch.arange(7) != 3
    torch.testing.assert_close(MIXED.loss(x, y), MIXED.loss(x[keep], y[keep]))


def test_mixed_predictions_are_each_in_their_own_unit():
    x = logits(5, MIXED.outputs)
    p = MIXED.predict(x)
    torch.testing.assert_close(p[:, 0], -2 + 3 * x[:, 0])
    torch.testing.assert_close(p[:, 1], 300 + 100 * x[:, 1])
    torch.testing.assert_close(p[:, 2:5], x[:, 2:5].softmax(1))
    torch.testing.assert_close(p[:, 5:7], x[:, 5:7].sigmoid())
    torch.testing.assert_close(p[:, 7:9], x[:, 7:9].softmax(1))
    assert MIXED.scale() == [3, 100, 1, 1, 1, 1, 1, 1, 1]
    assert MIXED.predict(torch.zeros(0, 9)).shape == (0, 9)


@pytest.mark.parametrize(("column", "wrong"), [(2, 3.0), (2, 0.5), (2, -1.0), (3, 2.0), (3, -1.0), (5, 2.0)])
def test_a_wrong_value_is_told_with_the_target_it_is_of(column, wrong):
    y = values(gaps=0)
    y[4, column] = wrong
    with pytest.raises(PellucidError, match=f"target {MIXED[column].name!r}, got {wrong}"):
        MIXED.loss(logits(7, 9), y)


# -- names --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", [0, 1])
def test_bounds_cost_nothing_beyond_them(seed):
    """Against the loss written out: of a bound max(0, bound - prediction)^2 or max(0, prediction - bound)^2."""
    random = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(40, 3, generator=random, dtype=torch.float64) for _ in range(2))
    y[torch.rand(40, 3, generator=random) < 0.2] = float("nan")
    bounds = torch.randint(-1, 2, (40, 3), generator=random, dtype=torch.int8)
    task = Targets((Target("a", "regression", center=1.0, spread=2.0, weight=3.0), Target("b", "regression"),
                    Target("c", "regression", spread=0.5)))
    total = count = 0.0
    for i in range(40):
        for j, target in enumerate(task):
            if y[i, j] != y[i, j]:
                continue
            off = float(x[i, j] - (y[i, j] - target.center) / target.spread)
            off = {0: off, 1: min(off, 0.0), -1: max(off, 0.0)}[int(bounds[i, j])]
            total, count = total + target.weight * off**2, count + target.weight
    assert float(task.loss(x, y, bounds)) == pytest.approx(total / count)
    torch.testing.assert_close(task.loss(x, y, torch.zeros_like(bounds)), task.loss(x, y))
    x.requires_grad_()
    task.loss(x, y, bounds).backward()
    spread = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
    beyond = ((x - (y - torch.tensor([1.0, 0.0, 0.0])) / spread) * bounds > 0)
    assert bool(beyond.any())
    assert float(x.grad[beyond].abs().max()) == 0.0


def test_bounds_of_classes_mean_nothing_and_another_shape_is_refused():
    y = torch.tensor([[1.0], [0.0]])
    task = Targets.of("binary")
    x, y = logits(2, 1), y.double()
    torch.testing.assert_close(task.loss(x, y, torch.ones(2, 1)), task.loss(x, y))
    with pytest.raises(PellucidError, match="expected censored of the shape of y"):
        task.loss(x, y, torch.ones(2))


def test_outputs_and_their_names():
    assert MIXED.outputs == 9
    assert MIXED.starts == (0, 1, 2, 5, 6, 7)
    assert MIXED.names == ("logS", "mass", "colour=red", "colour=green", "colour=light=blue", "toxic", "soluble",
                           "shape=round", "shape=flat")
    assert MIXED.quantities == ("logS (log mol/L)", "mass", "P(red)", "P(green)", "P(light=blue)", "P(yes)",
                                "P(soluble)", "P(round)", "P(flat)")
    assert [MIXED.owner(i).name for i in range(9)] == ["logS", "mass", *["colour"] * 3, "toxic", "soluble",
                                                       *["shape"] * 2]
    assert [t.raw_unit() for t in MIXED] == ["log mol/L", "", "logits", "log-odds", "log-odds", "logits"]
    assert len(MIXED) == 6
    assert MIXED[1:3] == tuple(MIXED)[1:3]
    assert Targets.of("multiclass", 3).names == ("y=0", "y=1", "y=2")
    assert Targets.of("binary", 3).names == ("y0", "y1", "y2")
    assert Targets.of("regression").names == ("y",)


@pytest.mark.parametrize(("name", "column", "output"), [
    (None, 0, 0), ("logS", 0, 0), ("mass", 1, 1), ("colour", 2, None), ("colour=red", 2, 2), ("colour=green", 2, 3),
    ("colour=light=blue", 2, 4), ("toxic", 3, 5), ("toxic=yes", 3, 5), ("soluble", 4, 6), ("shape", 5, None),
    ("shape=flat", 5, 8), (0, 0, 0), (4, 2, 4), (5, 3, 5), (8, 5, 8)])
def test_an_output_is_found_by_name_and_by_number(name, column, output):
    assert MIXED.find(name) == Explained(MIXED[column], column, output)


def test_every_name_of_an_output_finds_it():
    for number, name in enumerate(MIXED.names):
        assert MIXED.find(name).output == MIXED.find(number).output == number


@pytest.mark.parametrize("name", ["logs", "colour=pink", "toxic=no", "toxic=maybe", "logS=1", "", "colour="])
def test_other_names_are_refused_with_the_near_misses(name):
    with pytest.raises(UnknownNameError, match="expected a known target"):
        MIXED.find(name)
    with pytest.raises(UnknownNameError, match="did you mean 'logS'"):
        MIXED.find("logs")


@pytest.mark.parametrize("number", [-1, 9])
def test_numbers_out_of_range_are_refused(number):
    with pytest.raises(PellucidError, match=f"an output from 0 to 8 to explain, got {number}"):
        MIXED.find(number)


def test_of_a_multiclass_target_the_predicted_class_is_explained():
    x = logits(6, 9).detach()
    assert MIXED.explained(MIXED.find("colour"), x).tolist() == (2 + x[:, 2:5].argmax(1)).tolist()
    assert MIXED.explained(MIXED.find("shape"), x).tolist() == (7 + x[:, 7:9].argmax(1)).tolist()
    assert MIXED.explained(MIXED.find("colour"), MIXED.predict(x)).tolist() == (2 + x[:, 2:5].argmax(1)).tolist()
    assert MIXED.explained(MIXED.find("mass"), x).tolist() == [1] * 6
    assert MIXED.explained(MIXED.find("colour=red"), x).tolist() == [2] * 6


# -- scales -------------------------------------------------------------------------------------------------------
def test_scales_are_measured_on_the_known_values_of_regressions():
    y = values(rows=40)
    measured = MIXED.measured(y)
    for i in (0, 1):
        known = y[:, i][~y[:, i].isnan()]
        assert measured[i].center == pytest.approx(float(known.mean()))
        assert measured[i].spread == pytest.approx(float(known.std()))
        assert (measured[i].unit, measured[i].weight, measured[i].name) == (MIXED[i].unit, MIXED[i].weight,
                                                                           MIXED[i].name)
    assert measured[2:] == MIXED[2:]


@pytest.mark.parametrize(("column", "expected"), [([], (0.0, 1.0)), ([NAN, NAN], (0.0, 1.0)), ([4.0], (4.0, 1.0)),
                                                  ([4.0, NAN], (4.0, 1.0)), ([4.0, 4.0], (4.0, 1.0))])
def test_where_nothing_can_be_measured_the_spread_is_one(column, expected):
    (target,) = Targets.of("regression").measured(torch.tensor(column).reshape(-1, 1))
    assert (target.center, target.spread) == expected


def test_a_measured_target_is_learned_alike_in_any_unit():
    x, y = logits(20, 1), torch.randn(20, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    losses = [Targets.of("regression").measured(u * y + c).loss(x, u * y + c) for u, c in ((1, 0), (1000, -7))]
    torch.testing.assert_close(losses[0], losses[1])


# -- documents and refusals ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("targets", [MIXED, Targets.of("multiclass", 4), Targets.of("regression", 2, level="point",
                                                                                   center=1.5, spread=0.25)],
                         ids=["mixed", "multiclass", "points"])
def test_through_json_and_back(targets):
    again = Targets.parse(json.loads(json.dumps(targets.document())))
    assert again == targets
    assert hash(again) == hash(targets)
    assert again.level == targets.level
    assert all(isinstance(t.classes, tuple) for t in again)


@pytest.mark.parametrize("content", [None, 3, ["y"], [{}], [{"name": "y"}], [{"classes": [], "colour": 1}]])
def test_what_is_no_document_is_refused(content):
    with pytest.raises(PellucidError, match="expected the targets of a run, got something else"):
        Targets.parse(content)


@pytest.mark.parametrize(("entries", "message"), [
    ({"name": ""}, "a target's name"), ({"name": "a=b"}, "without '='"), ({"kind": "ranking"}, "a kind out of binary"),
    ({"level": "edge"}, "a level out of cloud, point"), ({"classes": ("one",)}, "none or two of a binary one"),
    ({"kind": "multiclass", "classes": ("one",)}, "two or more classes"),
    ({"kind": "regression", "classes": ("a", "b")}, "none of a regression"),
    ({"kind": "multiclass", "classes": ("a", "a")}, "classes of different names"), ({"weight": 0.0}, "positive weight"),
    ({"weight": NAN}, "positive weight"), ({"kind": "regression", "spread": NAN}, "positive spread")])
def test_targets_that_make_no_sense_are_refused(entries, message):
    with pytest.raises(PellucidError, match=message):
        Target(**{"name": "y", **entries})


def test_targets_that_do_not_go_together_are_refused():
    for each, message in (((), "at least one target, with different names, got none"),
                          ((Target("a"), Target("a", "regression")), "with different names, got a, a"),
                          ((Target("a"), Target("b", level="point")), "targets of clouds or targets of points")):
        with pytest.raises(PellucidError, match=message):
            Targets(each)
