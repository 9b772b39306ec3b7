"""What every registered backbone must do; a new one is covered by being registered."""

import pytest
import torch

from pellucid.backbones import backbones, geometry
from pellucid.errors import PellucidError
from pellucid.methods import NeighborRule
from pellucid.neighbors import Neighbors, knn, radius
from pellucid.views import seen

NAMES = list(backbones)
DTYPES = [torch.float32, torch.float64]
RULES = {
    "knn": lambda pos, ptr: knn(pos, ptr, 3),
    "knn, some too small": lambda pos, ptr: knn(pos, ptr, 6, loop=False),
    "radius": lambda pos, ptr: radius(pos, ptr, 1.3),
}
NORMALISED = {"point_transformer"}
"""Backbones whose messages share a normaliser: a point of weight 0 sends nothing, but its logit still counts."""

BLIND = {name for name in NAMES if not backbones[name](3).sees_coordinates}
"""Backbones that see who is linked and no place."""

pytestmark = pytest.mark.parametrize("name", NAMES)


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def weights(table, seed=3, dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    edge = torch.rand(table.index.shape, generator=random, dtype=torch.float64)
    return edge.to(dtype), torch.rand(len(table.index), generator=random, dtype=torch.float64).to(dtype)


def farthest(a, b):
    return float((a - b).detach().abs().max())


def orthogonal(dim, reflect, seed=5):
    random = torch.Generator().manual_seed(seed)
    matrix = torch.linalg.qr(torch.randn(dim, dim, generator=random, dtype=torch.float64))[0]
    if bool(torch.det(matrix) < 0) != reflect:
        matrix[:, 0] = -matrix[:, 0]
    return matrix


# -- symmetries ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rule", RULES)
def test_permuted_points_give_permuted_embeddings(name, rule, encoder, random_clouds):
    clouds = random_clouds((7, 4, 1, 9), categories=(5,), features=2)
    random = torch.Generator().manual_seed(1)
    order = torch.cat([torch.randperm(n, generator=random) + start
                       for start, n in zip(clouds.ptr.tolist(), clouds.sizes.tolist(), strict=False)])
    shuffled = clouds.replace(**{key: clouds[key][order] for key in clouds.names})
    net = encoder(name, 3, (5,), 2)
    expected = net(clouds, RULES[rule](clouds.pos, clouds.ptr)).scalars[order]
    close(net(shuffled, RULES[rule](shuffled.pos, shuffled.ptr)).scalars, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_a_cloud_does_not_see_its_batch_mates(name, rule, dtype, encoder, random_clouds):
    clouds = random_clouds((7, 4, 1, 9), features=2, dtype=dtype)
    net = encoder(name, 3, (), 2, dtype=dtype)
    together = net(clouds, RULES[rule](clouds.pos, clouds.ptr)).scalars
    for i in range(len(clouds)):
        one = clouds.select(torch.tensor([i]))
        alone = net(one, RULES[rule](one.pos, one.ptr)).scalars
        close(alone, together[clouds.ptr[i] : clouds.ptr[i + 1]], 1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_embeddings_move_as_the_class_states(name, dim, encoder, random_clouds):
    clouds = random_clouds((7, 4, 9), dim, features=2)
    net = encoder(name, dim, (), 2)

    def embed(pos):
        return net(clouds, knn(pos, clouds.ptr, 4), pos=pos).scalars

    expected = embed(clouds.pos)
    shift = torch.arange(1, dim + 1, dtype=torch.float64)
    close(embed(clouds.pos + shift), expected)
    for reflect in (False, True):
        moved = embed(clouds.pos @ orthogonal(dim, reflect) + shift)
        if net.directions in ("none", "equivariant"):
            close(moved, expected)
        else:
            assert farthest(moved, expected) > 1e-3
    assert (farthest(embed(clouds.pos * 1.5), expected) > 1e-3) == net.sees_coordinates


def test_the_unit_of_length_does_not_matter_with_a_length_scale(name, encoder, random_clouds):
    clouds = random_clouds()
    table = knn(clouds.pos, clouds.ptr, 3)
    in_millimetres = clouds.replace(pos=clouds.pos * 1000)
    close(encoder(name, length_scale=2000.0)(in_millimetres, table).scalars,
          encoder(name, length_scale=2.0)(clouds, table).scalars)


# -- degenerate clouds --------------------------------------------------------------------------------------------
DEGENERATE = {
    "one point": ((1,), 1.0, lambda pos, ptr: knn(pos, ptr, 3)),
    "one point, no loop": ((1,), 1.0, lambda pos, ptr: knn(pos, ptr, 3, loop=False)),
    "one point, one edge": ((1,), 1.0, lambda pos, ptr: knn(pos, ptr, 1)),
    "all in one place": ((6, 3), 0.0, lambda pos, ptr: knn(pos, ptr, 3)),
    "all in one place, no loop": ((6, 3), 0.0, lambda pos, ptr: knn(pos, ptr, 3, loop=False)),
    "too few points": ((3, 2), 1.0, lambda pos, ptr: knn(pos, ptr, 5)),
    "too few points, no loop": ((3, 1), 1.0, lambda pos, ptr: knn(pos, ptr, 5, loop=False)),
    "nobody near": ((6, 3), 1.0, lambda pos, ptr: radius(pos, ptr, 1e-6)),
    "somebody near": ((9, 3), 0.6, lambda pos, ptr: radius(pos, ptr, 0.5)),
    "empty clouds": ((0, 4, 0, 1, 0), 1.0, lambda pos, ptr: knn(pos, ptr, 3)),
    "no points": ((0, 0), 1.0, lambda pos, ptr: knn(pos, ptr, 3)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", DEGENERATE)
def test_values_and_gradients_stay_finite_on_degenerate_clouds(name, case, training, dtype, encoder, random_clouds):
    sizes, spread, rule = DEGENERATE[case]
    clouds = random_clouds(sizes, categories=(4,), dtype=dtype)
    clouds = clouds.replace(pos=clouds.pos * spread)
    table = rule(clouds.pos, clouds.ptr)
    net = encoder(name, 3, (4,), dtype=dtype).train(training)
    inputs = [clouds.pos.clone(), *weights(table, dtype=dtype)]
    for value in inputs:
        value.requires_grad_()
    out = net(clouds, table, pos=inputs[0], edge_weight=inputs[1], point_weight=inputs[2]).scalars
    assert out.shape == (clouds.points, net.hidden)
    assert bool(out.isfinite().all())
    (out * torch.arange(1, net.hidden + 1)).sum().backward()
    for value in (*(inputs[1:] if name in BLIND else inputs), *net.parameters()):
        assert value.grad is not None
        assert bool(value.grad.isfinite().all())
    assert all(bool(b.isfinite().all()) for b in net.buffers())


# -- arguments ----------------------------------------------------------------------------------------------------
def test_float32_and_float64_agree(name, encoder, random_clouds):
    clouds = random_clouds((7, 2, 9), categories=(4,), features=2)
    table = knn(clouds.pos, clouds.ptr, 4)
    edge, point = weights(table)
    exact = encoder(name, 3, (4,), 2)
    short = encoder(name, 3, (4,), 2, dtype=torch.float32)
    for training in (False, True):
        expected = exact.train(training)(clouds, table, edge_weight=edge, point_weight=point).scalars
        got = short.train(training)(clouds.to(dtype=torch.float32), table, edge_weight=edge.float(),
                                    point_weight=point.float()).scalars
        assert got.dtype == torch.float32
        close(got.double(), expected, 1e-4)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("k", [3, 6])
def test_weights_of_one_are_no_weights(name, k, training, encoder, random_clouds):
    clouds = random_clouds((7, 4, 9))
    table = knn(clouds.pos, clouds.ptr, k)
    net = encoder(name).train(training)
    expected = net(clouds, table).scalars
    close(net(clouds, table, edge_weight=torch.ones(table.index.shape, dtype=torch.float64)).scalars, expected)
    close(net(clouds, table, point_weight=torch.ones(clouds.points, dtype=torch.float64)).scalars, expected)


@pytest.mark.parametrize("rule", RULES)
def test_a_point_weight_multiplies_both_ends_of_a_message(name, rule, encoder, random_clouds):
    clouds = random_clouds()
    table = RULES[rule](clouds.pos, clouds.ptr)
    net = encoder(name)
    edge, point = weights(table)
    pair = point[:, None] * point[table.index]
    close(net(clouds, table, point_weight=point).scalars, net(clouds, table, edge_weight=pair).scalars)
    both = net(clouds, table, point_weight=point, edge_weight=edge).scalars
    close(both, net(clouds, table, edge_weight=pair * edge).scalars)
    assert farthest(both, net(clouds, table).scalars) > 1e-3


def test_a_point_of_weight_zero_hears_and_tells_nothing(name, encoder, random_clouds):
    clouds = random_clouds((8, 5), features=2)
    table = knn(clouds.pos, clouds.ptr, 4)
    net = encoder(name, 3, (), 2)
    gone = 2
    point = torch.ones(clouds.points, dtype=torch.float64)
    point[gone] = 0
    here = torch.arange(clouds.points) != gone
    before = net(clouds, table, point_weight=point).scalars
    assert farthest(before[gone], net(clouds, table).scalars[gone]) > 1e-3

    others = clouds.replace(features=torch.where(here[:, None], clouds["features"] + 1, clouds["features"]),
                            pos=torch.where(here[:, None], clouds.pos * 1.1, clouds.pos))
    close(net(others, table, point_weight=point).scalars[gone], before[gone])
    changed = clouds.replace(features=torch.where(here[:, None], clouds["features"], 3.0),
                             pos=torch.where(here[:, None], clouds.pos, 3.0))
    after = net(changed, table, point_weight=point).scalars
    if name not in NORMALISED:
        close(after[here], before[here])
    assert farthest(net(changed, table).scalars[here], net(clouds, table).scalars[here]) > 1e-3


@pytest.mark.parametrize("training", [False, True])
def test_masked_places_do_not_count(name, training, encoder, random_clouds):
    clouds = random_clouds((6, 8))
    table = knn(clouds.pos, clouds.ptr, 3)
    own = torch.arange(clouds.points)[:, None].expand(-1, 2)
    padded = Neighbors(torch.cat([table.index, own], 1),
                       torch.tensor([True, True, True, False, False]).expand(clouds.points, 5))
    net = encoder(name).train(training)
    close(net(clouds, padded).scalars, net(clouds, table).scalars)
    edge = weights(padded)[0]
    fewer = edge[:, :3].contiguous()
    close(net(clouds, padded, edge_weight=edge).scalars, net(clouds, table, edge_weight=fewer).scalars)


def test_given_coordinates_replace_those_of_the_clouds(name, encoder, random_clouds):
    clouds = random_clouds()
    table = knn(clouds.pos, clouds.ptr, 3)
    net = encoder(name)
    assert torch.equal(net(clouds, table, pos=clouds.pos.clone()).scalars, net(clouds, table).scalars)
    moved = clouds.pos + random_clouds(seed=9).pos
    assert torch.equal(net(clouds, table, pos=moved).scalars, net(clouds.replace(pos=moved), table).scalars)


@pytest.mark.parametrize("training", [False, True])
def test_nothing_is_injected(name, training, encoder, random_clouds):
    clouds = random_clouds((7, 4), categories=(4,), features=2)
    table = knn(clouds.pos, clouds.ptr, 5)
    net = encoder(name, 3, (4,), 2, dropout=0.2).train(training)
    edge, point = weights(table)
    inputs = {"ptr": clouds.ptr, "edge": edge, "point": point, "index": table.index, "mask": table.mask,
              **{key: clouds[key] for key in clouds.names}}
    copies = {key: value.clone() for key, value in inputs.items()}
    state = {key: value.clone() for key, value in net.state_dict().items()}
    frozen = next(net.parameters())
    frozen.requires_grad_(False)
    wanted = {key: value.requires_grad for key, value in net.named_parameters()}

    net(clouds, table, edge_weight=edge, point_weight=point).scalars.sum().backward()

    assert all(torch.equal(value, copies[key]) for key, value in inputs.items())
    assert not any(value.requires_grad for value in inputs.values())
    assert {key: value.requires_grad for key, value in net.named_parameters()} == wanted
    assert frozen.grad is None
    assert net.training == training
    after = net.state_dict()
    assert list(after) == list(state)
    if not training:  # in training the norms count
        assert all(torch.equal(value, state[key]) for key, value in after.items())
    for module in net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    assert not any(p._backward_hooks for p in net.parameters())


@pytest.mark.parametrize("dim", [1, 2, 4])
@pytest.mark.parametrize(("categories", "features"), [((), 0), ((4,), 0), ((4, 3, 2), 0), ((), 3), ((4, 3), 3)])
def test_any_dimension_and_any_features(name, dim, categories, features, encoder, random_clouds):
    clouds = random_clouds((6, 3), dim, categories=categories, features=features)
    net = encoder(name, dim, categories, features)
    table = knn(clouds.pos, clouds.ptr, 3)
    out = net(clouds, table).scalars
    assert out.shape == (9, 8)
    out.square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    for column in range(len(categories)):
        turned = clouds["categories"].clone()
        turned[:, column] = (turned[:, column] + 1) % categories[column]
        assert farthest(net(clouds.replace(categories=turned), table).scalars, out) > 1e-3
    if features:
        assert farthest(net(clouds.replace(features=clouds["features"] + 1), table).scalars, out) > 1e-3


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_categories_of_any_width(name, dtype, encoder, random_clouds):
    clouds = random_clouds(categories=(4,))
    table = knn(clouds.pos, clouds.ptr, 3)
    net = encoder(name, 3, (4,))
    narrow = clouds.replace(categories=clouds["categories"].to(dtype))
    assert torch.equal(net(narrow, table).scalars, net(clouds, table).scalars)


def test_missing_fields_and_bad_sizes_are_told(name, encoder, random_clouds):
    clouds = random_clouds()
    table = knn(clouds.pos, clouds.ptr, 3)
    with pytest.raises(PellucidError, match="categories"):
        encoder(name, 3, (4,))(clouds, table)
    with pytest.raises(PellucidError, match="features"):
        encoder(name, 3, (), 2)(clouds, table)
    for options in ({"hidden": 0}, {"layers": 0}):
        with pytest.raises(PellucidError, match="at least one layer"):
            backbones[name](**options)


@pytest.mark.parametrize("options", [{"dropout": 1.0}, {"dropout": -0.1}, {"dropout": 0.999}, {"length_scale": 0.0},
                                     {"length_scale": -1.0}, {"length_scale": float("nan")}])
def test_options_that_give_no_numbers_are_refused(name, options):
    with pytest.raises(PellucidError, match=next(iter(options))):
        backbones[name](**options)


def test_dropout_acts_in_training_only_and_follows_the_seed(name, encoder, random_clouds):
    clouds = random_clouds()
    table = knn(clouds.pos, clouds.ptr, 3)
    net = encoder(name, dropout=0.5)
    assert torch.equal(net(clouds, table).scalars, net(clouds, table).scalars)
    net.train()
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outs.append(net(clouds, table).scalars)
    assert torch.equal(outs[0], outs[1])
    assert not torch.allclose(outs[0], outs[2])


def test_trains_on_a_task_that_needs_the_geometry(name, encoder, random_clouds):
    """A few steps must fit the mean distance to the neighbours; of those that see none, a feature's mean."""
    clouds = random_clouds((12, 12, 12), features=1)
    table = knn(clouds.pos, clouds.ptr, 4, loop=False)
    blind = name in BLIND
    near = knn(clouds.pos, clouds.ptr, 5).gather(clouds["features"])
    target = (near if blind else geometry(clouds.pos, table).distance).mean(1)
    net = encoder(name, 3, (), int(blind), layers=2 - blind).train()
    head = torch.nn.Linear(net.hidden, 1, dtype=torch.float64)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (head(net(clouds, table).scalars) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * float(target.var())


@pytest.mark.parametrize("view", ["unit_length", "eta_phi"])
def test_points_as_directions_from_the_origin(name, encoder, random_clouds, view):
    """Only the direction of a point counts, and the gradient along it is zero."""
    clouds = random_clouds((6, 5))
    rule, place = NeighborRule("knn", 4, view=view), name in BLIND  # which see no place but as a feature
    model = encoder(name, view=view, coordinates=place)
    table = rule(clouds)
    stretched = clouds.pos * torch.rand(11, 1, dtype=torch.float64).add(0.5)
    assert torch.equal(rule(clouds, stretched).index, table.index)
    torch.testing.assert_close(model(clouds, table, pos=stretched).scalars, model(clouds, table).scalars)
    torch.testing.assert_close(encoder(name, coordinates=place)(clouds, table, pos=seen(clouds.pos, view)).scalars,
                               model(clouds, table).scalars)
    pos = clouds.pos.clone().requires_grad_()
    model(clouds, table, pos=pos).scalars.square().sum().backward()
    assert float((pos.grad * clouds.pos).sum(1).abs().max()) < 1e-9
    assert float(pos.grad.abs().max()) > 1e-6


def test_directions_to_neighbours_can_be_seen_by_all(name, encoder, random_clouds):
    clouds = random_clouds((6, 5))
    table = NeighborRule("knn", 4)(clouds)
    model = encoder(name, edge_directions=True)
    turned = clouds.pos[:, [1, 2, 0]]  # a rotation
    assert not torch.allclose(model(clouds, table, pos=turned).scalars, model(clouds, table).scalars)
    more = model.edge_width if name in BLIND else 0 if model.sees_direction else 3
    assert encoder(name).edge_width == model.edge_width - more


def test_coordinates_can_be_features(name, encoder, random_clouds):
    clouds = random_clouds((6, 5))
    table = NeighborRule("knn", 4)(clouds)
    model = encoder(name, coordinates=True)
    moved = clouds.pos + 1.0
    here = model(clouds, table).scalars
    assert not torch.allclose(model(clouds, table, pos=moved).scalars, here)  # no translation invariance
    with torch.no_grad():
        model.coordinates.weight.zero_()
    torch.testing.assert_close(model(clouds, table, pos=moved).scalars, model(clouds, table).scalars)


# -- forces -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rule", ["knn", "knn, some too small"])
def test_an_energy_is_twice_differentiable(name, rule, encoder, random_clouds):
    clouds = random_clouds((4, 3))
    net, table = encoder(name, hidden=4), RULES[rule](clouds.pos, clouds.ptr)
    readout = torch.linspace(-1, 1, 4, dtype=torch.float64)
    pos = clouds.pos.clone().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda p: (net(clouds, table, pos=p).scalars @ readout).sum(), (pos,))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_of_a_force_matching_loss(name, weighted, training, encoder, random_clouds):
    """Along a random direction of all parameters, against central differences; dropout is the same in all passes."""
    if name in BLIND:
        pytest.skip("its energy exerts no force: it sees no coordinates")
    clouds = random_clouds((7, 4))
    net, table = encoder(name, dropout=0.3).train(training), RULES["knn, some too small"](clouds.pos, clouds.ptr)
    readout = torch.linspace(-1, 1, 8, dtype=torch.float64)
    point_weight = weights(table)[1].requires_grad_() if weighted else None
    true = torch.randn(11, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(8))

    def loss():
        torch.manual_seed(2)
        pos = clouds.pos.clone().requires_grad_()
        energy = (net(clouds, table, pos=pos, point_weight=point_weight).scalars @ readout).sum()
        (gradient,) = torch.autograd.grad(energy, pos, create_graph=True)
        return (true + gradient).square().mean() + 0.1 * energy.square()

    parameters = [*net.parameters(), *([] if point_weight is None else [point_weight])]
    gradients = torch.autograd.grad(loss(), parameters, allow_unused=True)
    found = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    assert len(found) > len(parameters) / 2
    assert all(bool(g.isfinite().all()) for _, g in found)
    random = torch.Generator().manual_seed(9)
    ways = [torch.randn(p.shape, dtype=p.dtype, generator=random) for p, _ in found]
    step, values = 1e-6, []
    for sign in (1, -2):
        with torch.no_grad():
            for (p, _), way in zip(found, ways, strict=True):
                p.add_(way, alpha=sign * step)
        values.append(float(loss().detach()))
    expected = (values[0] - values[1]) / (2 * step)
    slope = sum(float((g * way).sum()) for (_, g), way in zip(found, ways, strict=True))
    assert slope == pytest.approx(expected, rel=1e-5, abs=1e-6)
