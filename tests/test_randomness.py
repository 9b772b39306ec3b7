"""Random numbers by content: what decides them, what does not, and that they are what they are called."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from pellucid.clouds import Field, PointClouds
from pellucid.randomness import CONTENT, CloudRandom, content_seeds, scrambled

GAMMA = 0x9E3779B97F4A7C15


def of_clouds(seed=0, sizes=(5, 1, 8, 0, 3), dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    points, edges = sum(sizes), [2 * n for n in sizes]
    return PointClouds(torch.tensor([0, *sizes]).cumsum(0), {
        "pos": torch.randn(points, 3, generator=random, dtype=torch.float64).to(dtype),
        "categories": torch.randint(4, (points, 2), generator=random),
        "features": torch.randn(points, 2, generator=random, dtype=torch.float64).to(dtype),
        "edge_index": torch.cat([torch.zeros(0, 2, dtype=torch.int64), *(
            torch.randint(max(n, 1), (2 * n, 2), generator=random) for n in sizes)]),
        "edge_features": torch.randn(sum(edges), 1, generator=random, dtype=torch.float64).to(dtype),
        "y": torch.zeros(len(sizes), 1),
    }, declared={"edge_features": Field("edge", "float", ("F",))}, edge_ptr=torch.tensor([0, *edges]).cumsum(0))


def splitmix64(state):
    """The next number of splitmix64 in Python's whole numbers (Steele et al. 2014)."""
    z = (state + GAMMA) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def unsigned(values):
    return [v % 2**64 for v in values.tolist()]


# -- bits ---------------------------------------------------------------------------------------------------------
@given(st.integers(0, 2**64 - 1))
def test_scrambling_is_that_of_splitmix64(value):
    signed = value - 2**64 if value >= 2**63 else value
    assert unsigned(scrambled(torch.tensor([signed]))) == [splitmix64((value - GAMMA) % 2**64)]


def test_a_known_stream():
    """The first numbers of splitmix64 with seed 1234567, as its reference implementation gives them."""
    states = [(1234567 + (k + 1) * GAMMA) % 2**64 for k in range(3)]
    got = scrambled(torch.tensor([s - 2**64 if s >= 2**63 else s for s in states]))
    assert unsigned(got) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


# -- what decides -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("places", [[0], [4], [2, 0], [4, 3, 2, 1, 0], [1, 1, 2]], ids=str)
def test_neither_the_batch_nor_the_order_matters(places):
    clouds = of_clouds()
    some = clouds.select(torch.tensor(places))
    assert torch.equal(content_seeds(some, 3), content_seeds(clouds, 3)[places])
    whole, part = CloudRandom(clouds, 3), CloudRandom(some, 3)
    rows = torch.cat([torch.arange(clouds.ptr[i], clouds.ptr[i + 1]) for i in places])
    for _ in range(2):  # also the second draws
        assert torch.equal(part.uniform(some.sizes), whole.uniform(clouds.sizes)[rows])
        assert torch.equal(part.normal(some.sizes, 4), whole.normal(clouds.sizes, 4)[rows])
        states = [g.get_state() for g in whole.generators()]
        assert all(torch.equal(g.get_state(), states[i]) for g, i in zip(part.generators(), places, strict=True))


@pytest.mark.parametrize("name", CONTENT)
def test_every_field_that_a_model_sees_decides(name):
    clouds = of_clouds()
    if name not in clouds:
        assert name == "edge_categories"
        level = Field("edge", "int", ("C",))
        clouds = clouds.replace(declared={name: level}, **{name: torch.zeros(34, 1, dtype=torch.int64)})
    before = content_seeds(clouds)
    for row in (0, len(clouds[name]) - 1):
        values = clouds[name].clone()
        values[row, -1] += 1
        changed = content_seeds(clouds.replace(**{name: values})) != before
        assert changed.tolist() == [row == 0, False, False, False, row > 0], "of its own cloud, and of no other"


def test_what_a_model_does_not_see_does_not_decide():
    clouds = of_clouds()
    other = clouds.replace(y=torch.ones(5, 1), important=torch.ones(17, dtype=torch.bool))
    assert torch.equal(content_seeds(other), content_seeds(clouds))


def test_places_and_columns_count():
    """Two points that change places, or two columns, are another sample, though their sums are the same."""
    pos = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    one = PointClouds(torch.tensor([0, 2]), {"pos": pos})
    seeds = [int(content_seeds(one.replace(pos=p))) for p in (pos, pos.flip(0), pos.flip(1), pos.flip(0, 1))]
    assert len(set(seeds)) == 4
    as_features = PointClouds(torch.tensor([0, 2]), {"features": pos})
    assert int(content_seeds(as_features)) not in seeds
    split = PointClouds(torch.tensor([0, 1, 2]), {"pos": pos})
    assert len({*content_seeds(split).tolist(), *seeds}) == 6


def test_the_second_cloud_counts():
    first, second = of_clouds(0), of_clouds(1)
    alone, both = content_seeds(first), content_seeds(first.replace(partner=second))
    assert not bool((alone == both).any())
    pos = second.pos.clone()
    pos[-1] += 1
    other = content_seeds(first.replace(partner=second.replace(pos=pos)))
    assert (other != both).tolist() == [False, False, False, False, True]


def test_precision_and_signed_zeros_do_not_matter():
    """What is exactly equal in float32 and float64 draws the same; what was rounded is another sample."""
    single = of_clouds(dtype=torch.float32)
    double = single.to(dtype=torch.float64)
    assert torch.equal(content_seeds(single), content_seeds(double))
    assert torch.equal(CloudRandom(single).uniform(single.sizes), CloudRandom(double).uniform(double.sizes))
    rounded = of_clouds()
    assert not torch.equal(content_seeds(rounded)[[0, 2]], content_seeds(single)[[0, 2]])
    zeros = PointClouds(torch.tensor([0, 2]), {"pos": torch.zeros(2, 3)})
    assert torch.equal(content_seeds(zeros), content_seeds(zeros.replace(pos=-zeros.pos)))
    narrow = single.replace(categories=single["categories"].to(torch.int32))
    assert torch.equal(content_seeds(narrow), content_seeds(single))


def test_seeds_and_calls_give_other_streams():
    clouds = of_clouds(sizes=(50, 50))
    draws = [CloudRandom(clouds, seed).uniform(clouds.sizes) for seed in (0, 1, 2, -1, 2**40)]
    random = CloudRandom(clouds, 0)
    draws += [random.uniform(clouds.sizes) for _ in range(4)][1:]
    for i, one in enumerate(draws):
        for other in draws[:i]:
            assert float((one - other).abs().min()) > 1e-9
            assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.4
    assert torch.equal(draws[0], CloudRandom(clouds, 0).uniform(clouds.sizes))
    assert len(set(content_seeds(clouds).tolist())) == 2


def test_nothing_else_is_drawn_or_changed():
    clouds, state = of_clouds(), torch.get_rng_state()
    torch.manual_seed(4)
    own = torch.get_rng_state()
    random = CloudRandom(clouds, 1)
    random.uniform(clouds.sizes), random.normal(clouds.sizes, 2), random.generators()
    assert torch.equal(torch.get_rng_state(), own)
    torch.set_rng_state(state)


# -- what they are ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_numbers(dtype):
    many = of_clouds(sizes=[1] * 20_000)
    one = of_clouds(sizes=[20_000])
    for clouds in (many, one):  # over clouds, and over the points of one
        random = CloudRandom(clouds, 1)
        first = random.uniform(clouds.sizes, dtype=dtype)
        assert first.dtype == dtype
        assert first.shape == (20_000,)
        assert 0 < float(first.min()) < 1e-3
        assert 1 - 1e-3 < float(first.max()) < 1
        assert kstest(first.double().numpy(), "uniform").pvalue > 1e-3
        second = random.uniform(clouds.sizes, dtype=dtype)
        wide = random.uniform(clouds.sizes, 3, dtype)
        columns = torch.stack([first[:-1], first[1:], second[1:], *wide[1:].T]).double()
        off = torch.corrcoef(columns) - torch.eye(6)
        assert float(off.abs().max()) < 4.5 / math.sqrt(20_000)
        cells = (4 * first).long() * 4 + (4 * second).long()
        assert chisquare(torch.bincount(cells, minlength=16).numpy()).pvalue > 1e-3


def test_normal_numbers():
    clouds = of_clouds(sizes=[100] * 200)
    random = CloudRandom(clouds, 2)
    z = random.normal(clouds.sizes, 3)
    assert z.shape == (20_000, 3)
    for column in z.T:
        assert kstest(column.numpy(), "norm").pvalue > 1e-3
    assert float((torch.corrcoef(z.T) - torch.eye(3)).abs().max()) < 4.5 / math.sqrt(20_000)
    lone = random.normal(clouds.sizes)
    assert lone.shape == (20_000,)
    assert kstest(lone.numpy(), "norm").pvalue > 1e-3
    assert random.normal(clouds.sizes, 2, torch.float32).dtype == torch.float32


def test_every_bit_of_the_fraction_is_drawn():
    u = CloudRandom(of_clouds(sizes=[4000])).uniform(torch.tensor([4000]))
    whole = (u * 2**52 - 0.5).long()
    assert torch.equal((whole.double() + 0.5) * 2.0**-52, u)
    for bit in range(52):
        assert abs(float((whole >> bit & 1).double().mean()) - 0.5) < 4.5 * 0.5 / math.sqrt(4000), bit


def test_float32_never_rounds_to_the_ends(monkeypatch):
    for bits, end in ((-1, 1.0), (0, 0.0)):
        random = CloudRandom(of_clouds())
        monkeypatch.setattr(random, "_bits", lambda rows, width, bits=bits: torch.full((int(rows.sum()), width), bits))
        for dtype in (torch.float16, torch.float32, torch.float64):
            u = random.uniform(torch.tensor([3]), dtype=dtype)
            assert bool(((u > 0) & (u < 1)).all())
            assert float(u[0]) == pytest.approx(end, abs=1e-2)
        assert bool(random.normal(torch.tensor([3]), 2).isfinite().all())


def test_rows_need_not_be_points():
    """As groups of points draw: as many numbers a cloud as are asked for, from the cloud's own stream."""
    clouds = of_clouds(sizes=(5, 1, 8))
    rows = torch.tensor([2, 0, 3])
    got = CloudRandom(clouds, 1).uniform(rows, 2)
    points = CloudRandom(clouds, 1).uniform(clouds.sizes, 2)
    assert torch.equal(got, torch.cat([points[:2], points[6:9]]))
    assert CloudRandom(clouds, 1).uniform(torch.zeros(3, dtype=torch.int64)).shape == (0,)
    none = of_clouds(sizes=())
    assert CloudRandom(none).uniform(none.sizes, 2).shape == (0, 2)


def test_generators_are_those_of_pytorch_and_differ():
    clouds = of_clouds(sizes=(5, 1, 8))
    random = CloudRandom(clouds, 1)
    first, second = random.generators(), random.generators()
    draws = [float(torch.rand((), generator=g)) for g in (*first, *second)]
    assert len(set(draws)) == 6
    assert all(g.device.type == "cpu" for g in first)
