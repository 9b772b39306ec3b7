"""Neighbourhoods against SciPy's k-d tree: distances, since duplicates make the indices ambiguous."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from pellucid import neighbors as module
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.neighbors import Neighbors, knn, radius, sum_to_sources

PATHS = {"dense": {}, "rows": {"_CPU_BLOCK": 40, "_TREE": 10**9}, "tree": {"_TREE": 0}}
"""Settings that lead through each of the three implementations, whatever the clouds."""
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    for name, value in PATHS[request.param].items():
        monkeypatch.setattr(module, name, value)
    return request.param


def offsets(sizes):
    return torch.tensor([0, *np.cumsum(sizes)], dtype=torch.int64)


@st.composite
def batches(draw):
    sizes = draw(st.lists(st.sampled_from([0, 1, 1, 2, 3, 5, 8, 13, 40]), max_size=6))
    d = draw(st.integers(1, 4))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    seed = draw(st.integers(0, 10**6))
    random = np.random.default_rng(seed)
    kind = draw(st.sampled_from(["normal", "grid", "duplicates", "far"]))
    pos = random.normal(size=(sum(sizes), d))
    if kind == "grid":
        pos = np.round(pos)  # many equal distances and some duplicates
    elif kind == "duplicates":
        pos = np.zeros_like(pos) + 0.3
    elif kind == "far":
        pos = pos + 100.0
    return torch.tensor(pos, dtype=dtype), offsets(sizes)


def clouds_of(pos, ptr):
    for a, b in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        yield a, b, pos[a:b].double().numpy()


def check_table(table, pos, ptr, loop):
    """Everything that must hold whatever the rule: own cloud, no point twice, masked places, true order."""
    points = torch.arange(len(pos))
    mask = table.mask if table.mask is not None else torch.ones_like(table.index, dtype=torch.bool)
    batch = torch.repeat_interleave(torch.arange(len(ptr) - 1), ptr.diff())
    assert bool((batch[table.index] == batch[:, None]).all())
    assert bool((table.index == points[:, None])[~mask].all())
    assert torch.equal(table.degree, mask.sum(1))
    assert bool((mask.int().diff(dim=1) <= 0).all())  # masked places come last
    for row, valid in zip(table.index.tolist(), mask.tolist(), strict=True):
        named = [i for i, v in zip(row, valid, strict=True) if v]
        assert len(set(named)) == len(named)
    own = (table.index == points[:, None]) & mask
    if loop:
        assert bool(own[:, 0].all())
    else:
        assert not bool(own.any())
    found = (pos[table.index] - pos[:, None]).norm(dim=-1).double()
    return torch.where(mask, found, torch.inf)


@settings(max_examples=60)
@given(batch=batches(), k=st.integers(1, 9), loop=st.booleans(), way=st.sampled_from(sorted(PATHS)))
def test_knn_distances_are_those_of_a_kd_tree(batch, k, loop, way):
    pos, ptr = batch
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PATHS[way].items():
            patch.setattr(module, name, value)
        table = knn(pos, ptr, k, loop=loop)
    assert table.index.shape == (len(pos), k)
    found = check_table(table, pos, ptr, loop)
    for a, b, cloud in clouds_of(pos, ptr):
        if a == b:
            continue
        # a point is at distance 0 from itself, so leaving the first of the k + 1 out leaves the point itself out
        expected = cKDTree(cloud).query(cloud, list(range(1, k + 2)))[0]
        expected = expected[:, :k] if loop else expected[:, 1:]
        np.testing.assert_allclose(found[a:b].numpy(), expected, rtol=0, atol=TOLERANCE[pos.dtype] * 3)


@settings(max_examples=60)
@given(batch=batches(), r=st.sampled_from([0.0, 0.35, 0.97, 3.1, 1e4, float("inf")]), loop=st.booleans(),
       way=st.sampled_from(sorted(PATHS)))
def test_radius_distances_are_those_of_a_kd_tree(batch, r, loop, way):
    pos, ptr = batch
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PATHS[way].items():
            patch.setattr(module, name, value)
        table = radius(pos, ptr, r, loop=loop)
    found = check_table(table, pos, ptr, loop)
    degrees = [0]
    for a, b, cloud in clouds_of(pos, ptr):
        if a == b:
            continue
        distance = np.sqrt(((cloud[:, None] - cloud[None]) ** 2).sum(-1))
        if not loop:
            np.fill_diagonal(distance, np.inf)
        near = np.isfinite(distance) & (distance <= r)
        degrees += near.sum(1).tolist()
        assert table.degree[a:b].tolist() == near.sum(1).tolist()
        expected = np.sort(np.where(near, distance, np.inf), 1)[:, : table.k]
        padded = np.full((b - a, table.k), np.inf)
        padded[:, : expected.shape[1]] = expected
        np.testing.assert_allclose(found[a:b].numpy(), padded, rtol=0, atol=TOLERANCE[pos.dtype] * 3)
    assert table.k == max(1, *degrees)


def test_radius_is_inclusive_in_every_path(path):
    for dtype in (torch.float32, torch.float64):
        pos = torch.tensor([[0.0], [0.1], [0.3]], dtype=dtype)  # float32 rounds 0.1 up
        assert radius(pos, offsets([3]), 0.1).degree.tolist() == [1, 1, 0]


def test_radius_zero_joins_duplicates_only(path):
    pos = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.1]])
    assert radius(pos, offsets([3]), 0.0).edge_index().tolist() == [[1, 0], [0, 1]]
    assert radius(pos, offsets([3]), 0.0, loop=True).degree.tolist() == [2, 2, 1]


def test_huge_radius_does_not_overflow(path):
    assert radius(torch.zeros(3, 2, dtype=torch.float64), offsets([3]), 1e200).degree.tolist() == [2, 2, 2]
    assert radius(torch.zeros(3, 2), offsets([3]), 1e200).degree.tolist() == [2, 2, 2]


def test_empty_cloud_in_the_middle_and_very_different_sizes(path):
    pos = torch.randn(704, 3, generator=torch.Generator().manual_seed(0))
    ptr = offsets([3, 0, 700, 0, 1, 0])
    table = knn(pos, ptr, 5)
    found = check_table(table, pos, ptr, True)
    assert table.degree[[0, 3, 703]].tolist() == [3, 5, 1]
    np.testing.assert_allclose(found[3:703].numpy(), cKDTree(pos[3:703].numpy()).query(pos[3:703].numpy(), 5)[0],
                               atol=1e-5)


def test_many_duplicates_keep_the_point_itself_first(path):
    pos = torch.zeros(60, 3)
    assert knn(pos, offsets([60]), 4).index[:, 0].tolist() == list(range(60))
    assert not bool((knn(pos, offsets([60]), 4, loop=False).index == torch.arange(60)[:, None]).any())


def test_no_points_at_all(path):
    for ptr in (offsets([]), offsets([0, 0])):
        assert knn(torch.zeros(0, 3), ptr, 2).index.shape == (0, 2)
        assert radius(torch.zeros(0, 3), ptr, 1.0).index.shape == (0, 1)


def test_one_point_without_loop_has_no_neighbour(path):
    for table in (knn(torch.zeros(1, 3), offsets([1]), 2, loop=False), radius(torch.zeros(1, 3), offsets([1]), 1.0)):
        assert table.degree.tolist() == [0]
        assert table.index.unique().tolist() == [0]
        assert table.edge_index().shape == (2, 0)


def test_high_dimensions_leave_the_tree_aside():
    pos = torch.randn(500, 12, generator=torch.Generator().manual_seed(0))
    table = knn(pos, offsets([500]), 3)
    expected = cKDTree(pos.numpy()).query(pos.numpy(), 3)[0]
    np.testing.assert_allclose(check_table(table, pos, offsets([500]), True).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: knn(torch.zeros(2, 3), offsets([2]), 0), "k of at least 1, got 0"),
    (lambda: radius(torch.zeros(2, 3), offsets([2]), -1.0), "radius of at least 0, got -1"),
    (lambda: radius(torch.zeros(2, 3), offsets([2]), float("nan")), "radius of at least 0, got nan"),
    (lambda: knn(torch.tensor([[0.0], [torch.nan]]), offsets([2]), 1), "NaN or infinity at point 1"),
    (lambda: knn(torch.tensor([[torch.inf], [0.0]]), offsets([2]), 1), "NaN or infinity at point 0"),
    (lambda: knn(torch.zeros(3, 3), offsets([2]), 1), "expected 2 points as ptr says, got 3 rows"),
    (lambda: knn(torch.zeros(2, 3), offsets([3]), 1), "expected 3 points as ptr says, got 2 rows"),
    (lambda: knn(torch.zeros(2, 3, dtype=torch.int64), offsets([2]), 1), "expected real coordinates"),
    (lambda: knn(torch.zeros(2), offsets([2]), 1), "expected real coordinates"),
])
def test_mistakes_are_told(call, message):
    with pytest.raises(PellucidError, match=message):
        call()


@settings(max_examples=40)
@given(batch=batches(), k=st.integers(1, 5), width=st.integers(1, 4), loop=st.booleans())
def test_gather_and_its_gradient_equal_plain_indexing(batch, k, width, loop):
    pos, ptr = batch
    table = knn(pos, ptr, k, loop=loop)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(len(pos), width, dtype=torch.float64, generator=generator)
    ours, plain = values.clone().requires_grad_(), values.clone().requires_grad_()
    gathered, mask = table.gather(ours), table.mask
    expected = plain[table.index] if mask is None else plain[table.index][mask]
    assert torch.equal(gathered, expected)
    upstream = torch.randn(gathered.shape, dtype=torch.float64, generator=generator)
    gathered.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(ours.grad, plain.grad)
    present = torch.ones_like(table.index, dtype=torch.bool) if mask is None else mask
    points = torch.arange(len(pos))[:, None].expand(-1, k)
    assert torch.equal(table.edge_index(), torch.stack([table.index[present], points[present]]))
    assert torch.equal(table.starts, table.degree.cumsum(0) - table.degree)
    places = torch.arange(len(pos) * k).view(len(pos), k)
    assert table.at_edges(places).flatten().tolist() == (places if mask is None else places[mask]).flatten().tolist()
    heard = table.spread(ours).expand_as(gathered).reshape(-1, width)
    assert torch.equal(heard, ours[table.targets])


def test_gather_passes_gradcheck():
    pos = torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    table = knn(pos, offsets([6, 1, 2]), 3)
    assert torch.autograd.gradcheck(lambda v: table.gather(v).square(), pos.clone().requires_grad_())


def test_gather_gradient_is_the_same_every_time():
    pos = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    table = knn(pos, offsets([200]), 8)
    upstream = torch.randn(200, 8, 5, generator=torch.Generator().manual_seed(1))

    def gradient():
        values = torch.zeros(200, 5, requires_grad=True)
        table.gather(values).backward(upstream)
        return values.grad

    assert torch.equal(gradient(), gradient())


@pytest.mark.parametrize("build", [lambda p, ptr: knn(p, ptr, 2), lambda p, ptr: radius(p, ptr, 1.5)])
def test_gather_and_spread_twice(build):
    pos = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    table = build(pos, offsets([4, 2]))
    values = pos[:, :2].clone().requires_grad_()
    edges = torch.randn(len(table.sources), 2, dtype=torch.float64, requires_grad=True)
    for function, inputs in ((lambda v: table.gather(v).square(), values), (lambda v: table.spread(v).square(), values),
                             (lambda v: sum_to_sources(v, table).square(), edges)):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


@settings(max_examples=40)
@given(batch=batches(), seed=st.integers(0, 1000), rule=st.sampled_from(["knn", "radius"]), as_mask=st.booleans())
def test_select_equals_rebuilding(batch, seed, rule, as_mask):
    pos, ptr = batch
    random = np.random.default_rng(seed)
    chosen = torch.from_numpy(random.permutation(len(ptr) - 1)[: random.integers(0, len(ptr))].astype(np.int64))
    if as_mask:
        chosen = torch.isin(torch.arange(len(ptr) - 1), chosen)

    def build(pos, ptr):
        return knn(pos, ptr, 3, loop=False) if rule == "knn" else radius(pos, ptr, 0.8)

    some = PointClouds(ptr, {"pos": pos}).select(chosen)
    selected, rebuilt = build(pos, ptr).select(ptr, chosen), build(some.pos, some.ptr)
    assert torch.equal(selected.degree, rebuilt.degree)
    width = min(selected.k, rebuilt.k)
    found, expected = (check_table(t, some.pos, some.ptr, False)[:, :width] for t in (selected, rebuilt))
    torch.testing.assert_close(found, expected)


def test_edge_index_and_to():
    table = knn(torch.tensor([[0.0], [1.0], [3.0]]), offsets([3]), 1, loop=False)
    assert table.edge_index().tolist() == [[1, 0, 1], [0, 1, 2]]
    assert torch.equal(table.to("cpu").index, table.index)
    assert Neighbors(table.index).k == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cuda_gives_the_distances_of_the_cpu(dtype, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 1 << 16)  # the cloud of 900 points goes through in blocks of rows
    pos = torch.randn(1000, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    ptr = offsets([50, 0, 900, 1, 49])
    for build in (lambda p, q: knn(p, q, 6), lambda p, q: radius(p, q, 0.7)):
        here, there = build(pos, ptr), build(pos.cuda(), ptr.cuda())
        assert there.index.is_cuda
        assert torch.equal(here.degree, there.degree.cpu())
        torch.testing.assert_close(check_table(there.to("cpu"), pos, ptr, build(pos[:1], offsets([1])).degree[0] == 1),
                                   check_table(here, pos, ptr, build(pos[:1], offsets([1])).degree[0] == 1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gather_gradient():
    pos = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    table = knn(pos, offsets([100]), 4).to("cuda")
    values = torch.randn(100, 5, device="cuda", requires_grad=True)
    plain = values.detach().clone().requires_grad_()
    table.gather(values).square().sum().backward()
    plain[table.index].square().sum().backward()
    torch.testing.assert_close(values.grad, plain.grad)


def test_ties_go_to_the_point_that_comes_first_in_any_company():
    """Masked points share a place, and so do atoms of a lattice: a stable sort of each cloud alone says who is near."""
    g = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 90, (40,), generator=g)
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    pos = torch.randint(-1, 2, (int(ptr[-1]), 3), generator=g).float()
    pos = pos * (torch.rand(len(pos), 1, generator=g) > 0.5)
    for k, loop in ((5, True), (4, False)):
        table = knn(pos, ptr, k, loop=loop)
        for a, b in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
            squared = (pos[a:b, None] - pos[None, a:b]).square().sum(-1).numpy()
            np.fill_diagonal(squared, -1 if loop else np.inf)
            wanted = np.argsort(squared, axis=1, kind="stable")[:, :k]
            for i in range(b - a):
                real = k if table.mask is None else int(table.mask[a + i].sum())
                assert real == min(k, b - a - (not loop))
                assert (table.index[a + i, :real] - a).tolist() == wanted[i, :real].tolist()
