"""Losses and predictions of the tasks against plain PyTorch on the targets that are there."""

import pytest
import torch
import torch.nn.functional as F

from pellucid.errors import PellucidError
from pellucid.targets import Targets

NAN = float("nan")


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


@pytest.mark.parametrize("task", [Targets.of("binary", 2), Targets.of("regression", 2), Targets.of("multiclass", 2)], ids=str)
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
        Task(kind, outputs)


@pytest.mark.parametrize("task", [Targets.of("binary", 2), Targets.of("regression", 2)], ids=str)
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
        Task(kind, 3, center, spread)
