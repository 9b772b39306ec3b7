import copy
import itertools
import math

import numpy as np
import pytest
import torch
from ragged_cases import offsets
from scipy.stats import rankdata, spearmanr
from torch import nn

from pellucid.errors import PellucidError
from pellucid.metrics import metrics
from pellucid.metrics.bootstrap import interval
from pellucid.metrics.sanity import randomisation, randomisation_test, shuffled

SIZES = [20] * 12
PTR = offsets(SIZES)


@pytest.fixture
def points():
    return torch.randn(sum(SIZES), 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(6, 64), nn.BatchNorm1d(64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(),
                             nn.Linear(64, 1))


def gradient_times_input(points):
    def explain(model):
        x = points.clone().requires_grad_()
        model(x).sum().backward()  # leaves gradients in the parameters
        return (x.grad * x.detach()).sum(1)

    return explain


def output(points):
    return lambda model: model(points)[:, 0]


def test_against_scipy(points, model):
    explain = output(points)
    before = explain(copy.deepcopy(model)).detach().numpy()
    rho = np.zeros((3, len(SIZES)))
    for i in range(3):
        after = explain(shuffled(model, seed=5 + i)).detach().numpy()
        rho[i] = [abs(spearmanr(before[a:b], after[a:b]).statistic) for a, b in itertools.pairwise(PTR.tolist())]
    result = randomisation_test(explain, model, PTR, seed=5)
    assert result.whole.value == pytest.approx(rho.mean())
    assert (result.whole.low, result.whole.high) == pytest.approx(interval(rho.mean(0), seed=5))
    assert randomisation(explain, model, PTR, seed=5) == pytest.approx(rho.mean())
    some = torch.arange(len(SIZES)) < 4
    assert randomisation(explain, model, PTR, seed=5, clouds=some) == pytest.approx(rho[:, :4].mean())
    assert metrics["sanity.randomisation"] is randomisation


@pytest.mark.parametrize("stochastic", [False, True])
def test_an_explainer_that_ignores_the_model_scores_one(points, model, stochastic):
    def explain(model):
        return points.norm(dim=1) + (torch.rand(len(points)) if stochastic else 0)

    result = randomisation_test(explain, model, PTR, cascade=True)
    assert [result.whole.value, result.whole.low, *(e.value for e in result.cascade.values())] == (
        pytest.approx([1.0] * 6))
    assert not result.passes
    assert randomisation(lambda model: -points[:, 0], model, PTR) == pytest.approx(1.0)


def test_an_explainer_that_needs_the_weights_passes(points, model):
    """Half of the inputs are never looked at by the trained model; the shuffled ones do look."""
    with torch.no_grad():
        model[0].weight[:, 1:] = 0
        model[0].weight[:, 0] = model[0].weight[:, 0].abs() * 20
    result = randomisation_test(gradient_times_input(points), model, PTR, shuffles=4)
    assert result.passes
    assert result.whole.high < 0.5
    assert result.whole.value < 3 * result.whole.random


@pytest.mark.parametrize("training", [True, False])
def test_the_given_model_and_the_random_numbers_stay(points, model, training):
    model.train(training)
    model(points).sum().backward()
    state = copy.deepcopy(model.state_dict())
    gradients = [p.grad.clone() for p in model.parameters()]
    numbers = torch.get_rng_state()
    seen = []

    def explain(other):
        assert other is not model
        assert all(p.grad is None for p in other.parameters())
        seen.append(other)
        other.eval() if training else other.train()
        return gradient_times_input(points)(other)

    randomisation_test(explain, model, PTR, shuffles=2, cascade=True)
    assert len(seen) == 1 + 2 * (4 + 1)
    assert model.training is training
    assert all(torch.equal(a, b) for a, b in zip(state.values(), model.state_dict().values(), strict=True))
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))
    assert torch.equal(torch.get_rng_state(), numbers)


def test_shuffling_permutes_each_tensor_and_leaves_buffers(model):
    other = shuffled(model, seed=3)
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(a.flatten().sort().values, b.flatten().sort().values)
        assert (a.unique().numel() == 1) == torch.equal(a, b), name
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), other.buffers(), strict=True))
    again = shuffled(model, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), again.parameters(), strict=True))
    part = shuffled(model, seed=3, names={"3.weight"})
    assert torch.equal(part[3].weight, other[3].weight)
    assert torch.equal(part[0].weight, model[0].weight)


def test_shared_weights_stay_shared():
    model = nn.ModuleDict({"a": nn.Linear(5, 5), "b": nn.Linear(5, 5)})
    model["b"].weight = model["a"].weight
    other = shuffled(model)
    assert other["a"].weight is other["b"].weight
    assert not torch.equal(other["a"].weight, model["a"].weight)


def test_the_cascade_goes_from_the_last_child_to_the_first(points):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.first = nn.Linear(6, 8)
            self.nothing = nn.Tanh()
            self.last = nn.Linear(8, 1)

    net, seen = Net(), []

    def explain(other):
        seen.append([name for name in ("first", "last") if not torch.equal(getattr(other, name).weight,
                                                                           getattr(net, name).weight)])
        return other.last(other.first(points).tanh())[:, 0]

    result = randomisation_test(explain, net, PTR, shuffles=1, cascade=True)
    assert list(result.cascade) == ["last", "first", "(own)"]
    assert seen == [[], ["last"], ["first", "last"], ["first", "last"], ["first", "last"]]
    assert result.cascade["(own)"] == result.whole
    assert list(result.as_dict()) == ["randomisation", "cascade", "threshold", "passes", "shuffles"]
    assert "cascade" not in randomisation_test(explain, net, PTR, shuffles=1).as_dict()


@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_the_baseline_is_the_mean_over_all_rankings(n):
    ranks = np.array(list(itertools.permutations(range(n))))
    centred = ranks - (n - 1) / 2
    exact = np.abs(centred @ centred[0] / (centred[0] @ centred[0])).mean()
    values = torch.arange(n * 50.0)
    result = randomisation_test(lambda model: values, nn.Linear(1, 1), offsets([n] * 50))
    assert result.whole.random == pytest.approx(exact, abs=0.01)


def test_the_baseline_of_large_and_of_tied_clouds():
    values = torch.arange(4000.0)
    result = randomisation_test(lambda model: values, nn.Linear(1, 1), offsets([400] * 10))
    assert result.whole.random == pytest.approx(math.sqrt(2 / (math.pi * 399)), rel=0.05)
    tied = torch.tensor([1.0, 0.0, 0.0]).repeat(100)  # rank correlation with a ranking: 0.866 or 0, by hand
    result = randomisation_test(lambda model: tied, nn.Linear(1, 1), offsets([3] * 100))
    rho = [abs(np.corrcoef(rankdata([1, 0, 0]), order)[0, 1]) for order in itertools.permutations([1, 2, 3])]
    assert result.whole.random == pytest.approx(np.mean(rho), abs=0.01)


def test_undefined_is_nan_and_does_not_pass():
    for values, sizes in ((torch.zeros(0), []), (torch.ones(2), [1, 1]), (torch.ones(4), [4])):
        result = randomisation_test(lambda model, v=values: v, nn.Linear(1, 1), offsets(sizes))
        assert all(math.isnan(v) for v in result.whole.as_dict().values())
        assert not result.passes
        assert math.isnan(randomisation(lambda model, v=values: v, nn.Linear(1, 1), offsets(sizes)))


@pytest.mark.parametrize(("explain", "options", "message"), [
    (lambda model: torch.zeros(3), {}, r"importance of shape \(4,\)"),
    (lambda model: torch.full((4,), torch.nan), {}, "finite importance"),
    (lambda model: torch.arange(4.0), {"shuffles": 0}, "at least 1 shuffle"),
    (lambda model: torch.arange(4.0), {"threshold": 0}, r"threshold in \(0, 1\]"),
    (lambda model: torch.arange(4.0), {"level": 0}, "level in"),
    (lambda model: torch.arange(4.0), {"clouds": torch.ones(2)}, "bool mask"),
])
def test_mistakes_are_told(explain, options, message):
    with pytest.raises(PellucidError, match=message):
        randomisation_test(explain, nn.Linear(1, 1), offsets([4]), **options)
