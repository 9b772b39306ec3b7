"""The fast operations against their plain equivalents."""

import math

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

from pellucid.backbones.base import Dropout, mlp
from pellucid.backbones.edges import geometry
from pellucid.backbones.kernels import (
    Norm,
    attend,
    dropout,
    edge_linear,
    keep_mask,
    norm_relu_dropout_sum,
    perturbed,
    relu_dropout_sum,
    segment_sum,
    sum_neighbors,
)
from pellucid.neighbors import Neighbors, knn, radius, sum_to_sources

RULES = {"knn": lambda pos, ptr: knn(pos, ptr, 3), "radius": lambda pos, ptr: radius(pos, ptr, 1.0)}


def normal(*shape, seed=0, grad=True):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_(grad)


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def same_gradients(a, b, inputs, seed=7):
    """The gradients of two equal outputs along a random direction."""
    close(a, b)
    direction = normal(*a.shape, seed=seed, grad=False)
    for mine, plain in zip(torch.autograd.grad(a, inputs, direction), torch.autograd.grad(b, inputs, direction),
                           strict=True):
        close(mine, plain, 1e-10)


@pytest.fixture(params=RULES)
def table(request, random_clouds):
    clouds = random_clouds((5, 1, 0, 4))
    return RULES[request.param](clouds.pos, clouds.ptr)


def full(points, k):
    """A table without empty places."""
    return Neighbors(torch.arange(points)[:, None].expand(-1, k).contiguous())


def padded(edges, table):
    """(points, k, ...) with zeros in the places that are empty."""
    if table.mask is None:
        return edges
    return edges.new_zeros(*table.mask.shape, *edges.shape[1:]).index_put(table.mask.nonzero(as_tuple=True), edges)


def shape_of(table):
    """Leading dimensions of values of edges."""
    return table.index.shape if table.mask is None else table.sources.shape


# -- edge_linear --------------------------------------------------------------------------------------------------
def test_edge_linear_is_a_linear_layer_on_the_concatenation(table):
    points, _ = table.index.shape
    h, edge = normal(points, 3), normal(*shape_of(table), 2, seed=1)
    weight, bias = normal(4, 8, seed=2), normal(4, seed=3)
    own, other, rest = weight.split([3, 3, 2], 1)
    got = edge_linear(h @ other.t(), h @ (own - other).t() + bias, edge, rest, table)
    mine, theirs = h[table.targets], h[table.sources]
    rows = torch.cat([mine, theirs - mine, edge.flatten(0, -2)], -1)
    same_gradients(got.flatten(0, -2), rows @ weight.t() + bias, [h, edge, weight, bias])


def test_edge_linear_gradcheck(table):
    points, _ = table.index.shape
    edge = normal(*shape_of(table), 3, seed=2)
    inputs = (normal(points, 2), normal(points, 2, seed=1), edge, normal(2, 3, seed=3))
    assert gradcheck(lambda *x: edge_linear(*x, table), inputs)


@pytest.mark.parametrize("wanted", range(4))
def test_edge_linear_with_one_gradient_wanted(table, wanted):
    points, _ = table.index.shape
    shapes = [(points, 2), (points, 2), (*shape_of(table), 3), (2, 3)]
    inputs = [normal(*shape, seed=i, grad=i == wanted) for i, shape in enumerate(shapes)]
    edge_linear(*inputs, table).sum().backward()
    assert [x.grad is not None for x in inputs] == [i == wanted for i in range(4)]


def test_sum_to_sources_is_an_index_add(table):
    values = normal(len(table.sources), 3, grad=False)
    expected = torch.zeros(len(table.index), 3, dtype=torch.float64).index_add(0, table.sources, values)
    close(sum_to_sources(values, table), expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_sum_neighbors_is_a_sum_over_the_table(table, weighted):
    values = normal(*shape_of(table), 3)
    weight = normal(*shape_of(table), seed=1) if weighted else None
    plain = padded(values if weight is None else values * weight[..., None], table).sum(1)
    close(sum_neighbors(values, weight, table), plain)


@pytest.mark.parametrize("weighted", [False, True])
def test_attend_is_a_softmax_over_the_neighbours(table, weighted):
    logits, values = normal(*shape_of(table), 3), normal(*shape_of(table), 3, seed=1)
    weight = normal(*shape_of(table), seed=2) if weighted else None
    full_logits, rows = padded(logits, table), table.degree > 0
    if table.mask is not None:
        full_logits = full_logits.masked_fill(~table.mask[..., None], -torch.inf)
    share = full_logits[rows].softmax(1) * padded(values, table)[rows]
    plain = (share if weight is None else share * padded(weight, table)[rows][..., None]).sum(1)
    got = attend(logits, values, weight, table)
    assert not got[~rows].any()
    same_gradients(got[rows], plain, [logits, values] if weight is None else [logits, values, weight])
    large = attend(1000 * logits, values, weight, table)  # no overflow, no lost points
    assert bool(large.isfinite().all())


def test_kernels_take_no_points():
    table = knn(torch.zeros(0, 3), torch.tensor([0, 0]), 2)
    h = normal(0, 4)
    out = edge_linear(h, h, normal(0, 2, 3), normal(4, 3, seed=1), table)
    total = relu_dropout_sum(out, None, table, 0.5, True) + relu_dropout_sum(out, normal(0, 2), table, 0.5, True)
    assert total.shape == (0, 4)
    total.sum().backward()
    assert h.grad.shape == (0, 4)
    assert sum_to_sources(torch.zeros(0, 4), table).shape == (0, 4)
    pooled = segment_sum(normal(0, 4), torch.tensor([0, 0, 0]))
    close(pooled.detach(), torch.zeros(2, 4, dtype=torch.float64))
    pooled.sum().backward()


# -- relu_dropout_sum and dropout ---------------------------------------------------------------------------------
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.7, False)])
def test_relu_dropout_sum_without_dropout(table, weighted, p, training):
    values = normal(*shape_of(table), 3)
    weight = normal(*shape_of(table), seed=1) if weighted else None
    got = relu_dropout_sum(values, weight, table, p, training, 0.3)
    plain = 0.3 * padded(values.relu() * (1 if weight is None else weight[..., None]), table).sum(1)
    same_gradients(got, plain, [values] if weight is None else [values, weight])
    assert gradcheck(lambda v, w: relu_dropout_sum(v, w, table, p, training, 0.3), (values, weight))


@pytest.mark.parametrize("weighted", [False, True])
def test_relu_dropout_sum_of_a_view(weighted):
    values = normal(4, 6, 3).transpose(0, 1)
    weight = normal(6, 4, seed=1) if weighted else None
    close(relu_dropout_sum(values, weight, full(6, 4), 0.0, True),
          relu_dropout_sum(values.contiguous(), weight, full(6, 4), 0.0, True))


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
def test_relu_dropout_sum_keeps_the_right_share_and_the_mean(p):
    torch.manual_seed(0)
    values = torch.rand(20_000, 1, 8, dtype=torch.float64).add_(0.1).requires_grad_()
    weight = torch.rand(20_000, 1, dtype=torch.float64).add_(0.5).requires_grad_()
    out = relu_dropout_sum(values, weight, full(20_000, 1), p, True)
    kept = out != 0
    rate = 1 - round(256 * p) / 256
    n = kept.numel()
    assert abs(float(kept.double().mean()) - rate) < 4 * math.sqrt(rate * (1 - rate) / n)
    close(out[kept], (values * weight[..., None] / rate)[:, 0][kept], 1e-12)
    plain = (values * weight[..., None])[:, 0].detach()
    spread = float(plain.square().mean().sqrt()) * math.sqrt((1 - rate) / rate / n)
    assert abs(float((out.detach() - plain).mean())) < 4 * spread
    out.sum().backward()  # what was dropped forward is dropped backward
    close(values.grad[:, 0], torch.where(kept, weight / rate, 0.0).detach())
    close(weight.grad[:, 0], torch.where(kept, values[:, 0] / rate, 0.0).sum(1).detach())


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
def test_dropout_keeps_the_right_share_and_the_mean(p):
    torch.manual_seed(1)
    values = torch.ones(1003, 101, dtype=torch.float64)
    out = dropout(values, p, True)
    rate = 1 - round(256 * p) / 256
    assert set(out.unique().tolist()) == {0.0, 1 / rate}
    sigma = math.sqrt(rate * (1 - rate) / values.numel())
    assert abs(float((out != 0).double().mean()) - rate) < 4 * sigma
    assert abs(float(out.mean()) - 1) < 4 * sigma / rate
    assert abs(rate - (1 - p)) <= 1 / 512
    assert bool((values == 1).all()), "the input stays as it was"


def test_the_eight_entries_of_one_draw_are_independent():
    torch.manual_seed(2)
    kept = keep_mask(torch.Size([40_000, 8]), 0.2, torch.zeros(0, dtype=torch.float64))
    rate = 1 - round(256 * 0.2) / 256
    assert float((kept.mean(0) - rate).abs().max()) < 4 * math.sqrt(rate * (1 - rate) / 40_000)
    correlation = torch.corrcoef(kept.t()) - torch.eye(8)
    assert float(correlation.abs().max()) < 4.5 / math.sqrt(40_000)
    assert keep_mask(torch.Size([]), 0.2, torch.zeros(0)).shape == ()
    assert keep_mask(torch.Size([3, 0, 2]), 0.2, torch.zeros(0)).shape == (3, 0, 2)
    assert keep_mask(torch.Size([13]), 0.2, torch.zeros(0)).dtype == torch.float32


def test_dropout_that_does_nothing_returns_its_input():
    values = normal(4, 3)
    assert dropout(values, 0.5, False) is values
    assert dropout(values, 0.0, True) is values
    module = Dropout(0.5)
    assert bool((module(values) == 0).any())
    assert module.eval()(values) is values


# -- norms --------------------------------------------------------------------------------------------------------
def norms(momentum=0.1):
    ours, plain = Norm(3, momentum=momentum).double(), nn.BatchNorm1d(3, momentum=momentum).double()
    with torch.no_grad():
        for norm in (ours, plain):
            norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
            norm.bias.copy_(torch.tensor([0.1, 0.0, -1.0]))
    return ours, plain


@pytest.mark.parametrize("momentum", [0.1, None])
def test_norm_is_batch_norm(momentum):
    ours, plain = norms(momentum)
    for seed in range(3):
        values = normal(7, 4, 3, seed=seed)
        got, expected = ours(values), plain(values.flatten(0, 1)).view(7, 4, 3)
        close(got, expected)
        direction = normal(*got.shape, seed=9, grad=False)
        mine = torch.autograd.grad(got, [values, *ours.parameters()], direction)
        for a, b in zip(mine, torch.autograd.grad(expected, [values, *plain.parameters()], direction), strict=True):
            close(a, b, 1e-10)
        close(ours.running_mean, plain.running_mean)
        close(ours.running_var, plain.running_var)
    state = {name: value.clone() for name, value in ours.eval().state_dict().items()}
    values = normal(7, 4, 3, seed=5)
    expected = plain.eval()(values.reshape(-1, 3)).view(7, 4, 3)
    same_gradients(ours(values), expected, [values])
    assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())
    ours.reset()
    assert not ours.running_mean.any()
    assert bool((ours.running_var == 1).all())


@pytest.mark.parametrize("weighted", [False, True])
def test_norm_relu_dropout_sum_is_its_parts(table, weighted):
    ours, plain = norms()
    values = normal(*shape_of(table), 3)
    weight = normal(*shape_of(table), seed=1) if weighted else None
    got = norm_relu_dropout_sum(values, ours, table, weight, 0.0, 0.5)
    active = plain(values.flatten(0, -2)).view_as(values).relu()
    expected = 0.5 * padded(active if weight is None else active * weight[..., None], table).sum(1)
    same_gradients(got, expected, [values] if weight is None else [values, weight])
    close(ours.running_var, plain.running_var)


def test_two_passes_go_through_one_backward():
    """As in LRI, where f and g share an encoder."""
    ours, plain = norms()
    first, second = normal(6, 3), normal(5, 3, seed=1)
    got = ours(first).square().sum() + ours(second).square().sum()
    expected = plain(first).square().sum() + plain(second).square().sum()
    for a, b in zip(torch.autograd.grad(got, [first, second]), torch.autograd.grad(expected, [first, second]),
                    strict=True):
        close(a, b, 1e-10)
    close(ours.running_var, plain.running_var)


def test_norm_gradcheck():
    norm = Norm(2).double()
    assert gradcheck(lambda v, w, b: torch.func.functional_call(norm, {"weight": w, "bias": b}, (v,)),
                     (normal(4, 3, 2), normal(2, seed=1), normal(2, seed=2)))


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (1, 1, 3), (0, 4, 3)], ids=str)
def test_norm_lets_a_single_row_pass_and_learns_nothing_from_it(shape, momentum):
    norm, _ = norms(momentum)
    norm(normal(8, 3, seed=4))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    values = normal(*shape)
    close(norm(values), values * norm.weight + norm.bias)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    assert norm.eval()(values).shape == shape


@pytest.mark.parametrize("real", [0, 1])
def test_norms_learn_nothing_from_a_single_edge(real):
    """A batch of lone points must not pull the running variance to zero."""
    norm, _ = norms()
    norm(normal(8, 3, seed=4))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    mask = torch.zeros(2, 2, dtype=torch.bool)
    mask[0, :real] = True
    out = norm_relu_dropout_sum(normal(real, 3), norm, Neighbors(torch.zeros(2, 2, dtype=torch.int64), mask), None, 0.0)
    assert bool(out.isfinite().all())
    assert not out[1].any()
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def test_mlp_layers():
    def kinds(net):
        return [type(layer).__name__ for layer in net]

    block = ["Linear", "Norm", "ReLU", "Dropout"]
    assert kinds(mlp([4, 8, 2], 0.2)) == [*block, "Linear"]
    assert kinds(mlp([4, 8, 2], 0.2, plain_last=False)) == [*block, *block]
    assert mlp([4, 8, 2], 0.2)[3].p == 0.2


# -- second derivatives -------------------------------------------------------------------------------------------
def twice(function, *inputs):
    """Whether the second derivatives are right, with the same dropout in every call and for what may be left out."""
    inputs = [x for x in inputs if x is not None]

    def same_draws(*x):
        torch.manual_seed(1)
        return function(*x)

    return gradcheck(same_draws, inputs) and gradgradcheck(same_draws, inputs)


def pair(table, width=2):
    return normal(*shape_of(table), width), normal(*shape_of(table), seed=1)


@pytest.fixture(params=RULES)
def small(request, random_clouds):
    clouds = random_clouds((3, 1, 0, 2) if request.param == "radius" else (5,))
    table = {"radius": radius(clouds.pos, clouds.ptr, 2.0), "knn": knn(clouds.pos, clouds.ptr, 2)}[request.param]
    assert (table.mask is None) == (request.param == "knn")
    return table


def test_linear_kernels_twice(small):
    points = len(small.index)
    edge = normal(*shape_of(small), 3, seed=2)
    assert twice(lambda *x: edge_linear(*x, small), normal(points, 2), normal(points, 2, seed=1), edge, normal(2, 3))
    assert twice(lambda v: segment_sum(v, torch.tensor([0, 2, 2, points])), normal(points, 2))


@pytest.mark.parametrize("weighted", [False, True])
def test_sum_neighbors_and_attend_twice(small, weighted):
    values, weight = pair(small)
    weight = weight if weighted else None
    assert twice(lambda v, w=None: sum_neighbors(v, w, small), values, weight)
    assert twice(lambda s, v, w=None: attend(s, v, w, small), normal(*values.shape, seed=3), values, weight)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.5])
def test_relu_dropout_sum_twice(small, p, weighted):
    values, weight = pair(small)
    assert twice(lambda v, w=None: relu_dropout_sum(v, w, small, p, True, 0.3), values, weight if weighted else None)


class NormReluDropoutSum(nn.Module):
    def __init__(self, table, p):
        super().__init__()
        self.norm, self.table, self.p = Norm(2).double(), table, p

    def forward(self, values, weight):
        return norm_relu_dropout_sum(values, self.norm, self.table, weight, self.p, 0.3)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("training", [False, True])
def test_norm_relu_dropout_sum_twice(small, training, p, weighted):
    values, weight = pair(small)
    layer = NormReluDropoutSum(small, p).train(training)

    def function(v, gamma, beta, w=None):
        return functional_call(layer, {"norm.weight": gamma, "norm.bias": beta}, (v, w))

    assert twice(function, values, normal(2, seed=4), normal(2, seed=5), weight if weighted else None)


def test_second_derivatives_count_no_batch_again(small):
    values, _ = pair(small)
    norm = Norm(2).double()
    out = norm_relu_dropout_sum(values, norm, small, None, 0.0)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    (force,) = torch.autograd.grad(out.square().sum(), values, create_graph=True)
    force.square().sum().backward()
    assert bool(values.grad.isfinite().all())
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def test_geometry_twice(small):
    pos = normal(len(small.index), 3, seed=2)
    assert twice(lambda x: (geometry(x, small).offset, geometry(x, small).features), pos)


def test_second_derivatives_of_points_in_one_place_are_finite():
    pos = torch.zeros(3, 3, requires_grad=True)
    where = geometry(pos, knn(pos, torch.tensor([0, 3]), 2))
    (force,) = torch.autograd.grad((where.features * torch.arange(4)).square().sum(), pos, create_graph=True)
    (force.square().sum() + force.sum()).backward()
    assert bool(pos.grad.isfinite().all())


# -- pooling and geometry -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("sizes", [[3, 2], [0, 3, 0, 2, 0], [5], [1, 1, 1]])
def test_segment_sum(sizes):
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    values = normal(sum(sizes), 3)
    plain = torch.stack([values[a:b].sum(0) for a, b in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True)])
    same_gradients(segment_sum(values, ptr), plain, [values])
    assert gradcheck(lambda v: segment_sum(v, ptr), (values,))


def test_geometry_lengths_and_unit_directions(random_clouds):
    clouds = random_clouds((6, 1, 4))
    pos = clouds.pos.clone()
    pos[1] = pos[0]
    table = knn(pos, clouds.ptr, 3)
    where = geometry(pos, table)
    offset = pos[table.sources] - pos[table.targets]
    close(where.offset, offset)
    close(where.distance[..., 0], offset.norm(dim=-1))
    apart = where.distance[..., 0] > 0
    close(where.direction[apart].norm(dim=-1), torch.ones(int(apart.sum()), dtype=torch.float64))
    assert not where.direction[~apart].any()
    apart = padded(apart, table)
    assert not apart[:, 0].any(), "a point is its own first neighbour"
    assert not apart[0, 1], "and a duplicate is as near"
    assert where.features.shape == (len(table.sources), 4)
    assert torch.equal(where.features, torch.cat([where.distance, where.direction], -1))
    assert geometry(pos, knn(pos, torch.tensor([0, 11]), 3)).features.shape == (11, 3, 4)


def test_geometry_gradcheck_and_finite_gradients_in_one_place(random_clouds):
    clouds = random_clouds((4, 3))
    table = knn(clouds.pos, clouds.ptr, 2)
    pos = clouds.pos.clone().requires_grad_()
    assert gradcheck(lambda p: (geometry(p, table).features, geometry(p, table).offset), (pos,))
    for tiny in (0.0, 1e-30, 1e-18):
        points = (tiny * clouds.pos.float()).requires_grad_()
        where = geometry(points, table)
        (where.distance.sum() + (where.direction * torch.arange(3)).sum()).backward()
        assert bool(where.features.isfinite().all())
        assert bool(points.grad.isfinite().all())


def test_split_norms_keep_statistics_of_perturbed_clouds_apart():
    ours, clean = norms()
    _, noisy = norms()
    ours.split()
    model = torch.nn.Sequential(ours)
    for seed in range(3):
        values, moved = normal(7, 4, 3, seed=seed), normal(7, 4, 3, seed=seed + 10) * 3 + 1
        ours(values)
        clean(values.flatten(0, 1))
        with perturbed(model):
            ours(moved)
            norm_relu_dropout_sum(moved, ours, full(7, 4), None, 0.0)
        for _ in range(2):
            noisy(moved.flatten(0, 1))
    model.eval()
    clean.eval()
    noisy.eval()
    values = normal(5, 3, seed=50)
    close(ours(values), clean(values))
    with perturbed(model):
        close(ours(values), noisy(values))
    close(ours(values), clean(values))
    with pytest.raises(ZeroDivisionError), perturbed(model):
        raise ZeroDivisionError
    close(ours(values), clean(values))
    ours.reset()
    assert not ours.second_running_mean.any()
    assert bool((ours.second_running_var == 1).all())
    assert int(ours.second_batches) == 0
