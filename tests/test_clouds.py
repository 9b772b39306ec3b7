import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import from_pyg, to_pyg
from pellucid.clouds import FIELDS, Field, PointClouds, ragged_arange
from pellucid.errors import DamagedFileError, PellucidError

with warnings.catch_warnings(action="ignore"):  # PyG scripts a class when it is imported, which torch deprecates
    from torch_geometric.data import Data

DECLARED = {"energy": Field("cloud", "float", (), "eV"), "bond": Field("edge", "int"), "lone": Field("point", "bool")}


def offsets(sizes):
    return torch.tensor([0, *np.cumsum(sizes)], dtype=torch.int64)


def make(sizes, seed=0, partner=False, dtype=torch.float32):
    """Clouds with a field of each level and kind, strings, edges, and perhaps a second point set."""
    random = np.random.default_rng(seed)
    n, c = sum(sizes), len(sizes)
    edges = random.integers(0, 4, c) * (np.array(sizes, dtype=int) > 0)
    index = [random.integers(0, max(s, 1), (e, 2)) for s, e in zip(sizes, edges, strict=True)]
    fields = {
        "pos": torch.tensor(random.normal(size=(n, 3)), dtype=dtype),
        "categories": torch.from_numpy(random.integers(0, 9, (n, 2))),
        "important": torch.from_numpy(random.random(n) < 0.4),
        "y": torch.tensor(random.normal(size=(c, 2)), dtype=torch.float32),
        "split": torch.from_numpy(random.integers(0, 3, c)),
        "edge_index": torch.from_numpy(np.concatenate([np.zeros((0, 2), int), *index]).astype(np.int64)),
        "energy": torch.from_numpy(random.normal(size=c)),
        "bond": torch.from_numpy(random.integers(0, 4, int(edges.sum()))),
        "lone": torch.from_numpy(random.random(n) < 0.5),
    }
    text = {"smiles": [f"C{i}\u00e9" for i in range(c)], "id": [""] * c}
    second = make(random.integers(0, 3, c).tolist(), seed + 1) if partner else None
    return PointClouds(offsets(sizes), fields, text=text, units={"pos": "angstrom"}, declared=DECLARED,
                       edge_ptr=offsets(edges.tolist()), partner=second)


def same(a, b):
    assert len(a) == len(b)
    assert torch.equal(a.ptr, b.ptr)
    assert sorted(a.names) == sorted(b.names)
    for name in a.names:
        assert a[name].dtype == b[name].dtype, name
        assert torch.equal(a[name].nan_to_num(7.25), b[name].nan_to_num(7.25)), name
        assert a.declared[name] == b.declared[name]
    assert set(a.declared) == set(a.names)
    assert a.text == b.text
    assert (a.edge_ptr is None) == (b.edge_ptr is None)
    assert a.edge_ptr is None or torch.equal(a.edge_ptr, b.edge_ptr)
    assert (a.partner is None) == (b.partner is None)
    if a.partner is not None:
        same(a.partner, b.partner)


sizes_lists = st.lists(st.sampled_from([0, 1, 1, 2, 5]), max_size=6)
any_clouds = st.builds(make, sizes_lists, st.integers(0, 99), st.booleans(), st.sampled_from([torch.float32,
                                                                                              torch.float64]))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5))))
def test_ragged_arange_against_a_loop(pairs):
    expected = [i for start, size in pairs for i in range(start, start + size)]
    starts, sizes = (torch.tensor([p[j] for p in pairs], dtype=torch.int64) for j in (0, 1))
    assert ragged_arange(starts, sizes).tolist() == expected


@settings(max_examples=50)
@given(clouds=any_clouds, data=st.data())
def test_select_is_indexing_cloud_by_cloud(clouds, data):
    chosen = data.draw(st.lists(st.integers(0, len(clouds) - 1), max_size=6)) if len(clouds) else []
    some = clouds.select(torch.tensor(chosen, dtype=torch.int64))
    assert some.sizes.tolist() == [clouds.sizes.tolist()[i] for i in chosen]
    assert some.text == {k: [v[i] for i in chosen] for k, v in clouds.text.items()}
    ptrs = {"point": clouds.ptr, "edge": clouds.edge_ptr, "cloud": torch.arange(len(clouds) + 1)}
    for name in clouds.names:
        ptr = ptrs[clouds.declared[name].level]
        rows = [clouds[name][ptr[i] : ptr[i + 1]] for i in chosen]
        assert torch.equal(some[name], torch.cat([clouds[name][:0], *rows]))
    if clouds.partner is not None:
        same(some.partner, clouds.partner.select(torch.tensor(chosen, dtype=torch.int64)))


@settings(max_examples=50)
@given(clouds=any_clouds)
def test_parts_put_together_are_the_whole(clouds):
    one_by_one = [clouds.select(torch.tensor([i])) for i in range(len(clouds))]
    if one_by_one:
        same(PointClouds.cat(one_by_one), clouds)
    mask = torch.arange(len(clouds)) % 2 == 0
    same(clouds.select(mask), clouds.select(mask.nonzero().squeeze(1)))
    same(clouds.select(torch.arange(len(clouds), dtype=torch.int32)), clouds)


@settings(max_examples=30)
@given(clouds=any_clouds)
def test_splits_share_out_the_clouds(clouds):
    parts = {name: clouds.split(name) for name in ("train", "val", "test")}
    assert sum(len(p) for p in parts.values()) == len(clouds)
    for i, part in enumerate(parts.values()):
        assert part["split"].unique().tolist() in ([], [i])
    with pytest.raises(PellucidError, match="got 'dev'"):
        clouds.split("dev")


@settings(max_examples=50)
@given(clouds=any_clouds, seed=st.integers(0, 99))
def test_keep_points_against_a_loop(clouds, seed):
    keep = torch.from_numpy(np.random.default_rng(seed).random(clouds.points) < 0.5)
    fewer = clouds.keep_points(keep)
    assert fewer.sizes.tolist() == [int(keep[a:b].sum()) for a, b in zip(clouds.ptr[:-1], clouds.ptr[1:], strict=True)]
    assert torch.equal(fewer.pos, clouds.pos[keep])
    assert torch.equal(fewer["y"], clouds["y"])
    assert fewer.text == clouds.text
    for i, (a, b) in enumerate(zip(clouds.ptr.tolist(), clouds.ptr.tolist()[1:], strict=False)):
        new = {old: n for n, old in enumerate(v - a for v in range(a, b) if keep[v])}
        mine = slice(int(clouds.edge_ptr[i]), int(clouds.edge_ptr[i + 1]))
        edges = [([new[u], new[v]], bond) for (u, v), bond in
                 zip(clouds["edge_index"][mine].tolist(), clouds["bond"][mine].tolist(), strict=True)
                 if u in new and v in new]
        rows = slice(int(fewer.edge_ptr[i]), int(fewer.edge_ptr[i + 1]))
        assert edges == list(zip(fewer["edge_index"][rows].tolist(), fewer["bond"][rows].tolist(), strict=True))
    assert set(fewer.declared) == set(fewer.names)
    assert fewer.unit("pos") == "angstrom"
    fewer.replace(y=clouds["y"])  # still passes the checks


def test_edges_are_rows_of_the_flat_tensors():
    clouds = make([3, 0, 2, 5], seed=1)
    owner = torch.repeat_interleave(torch.arange(4), clouds.edge_ptr.diff())
    assert torch.equal(clouds.edges(), (clouds["edge_index"] + clouds.ptr[owner][:, None]).t())
    assert PointClouds(clouds.ptr, {"edge_index": clouds["edge_index"][:0]}).edges().shape == (2, 0)
    for bad in (-1, 2):
        wrong = PointClouds(offsets([9, 2]), {"edge_index": torch.tensor([[0, 8], [1, bad]])}, edge_ptr=offsets([1, 1]))
        with pytest.raises(PellucidError, match=rf"among the 2 points of cloud 1, got \[1, {bad}\]"):
            wrong.edges()
    with pytest.raises(PellucidError, match="expected a field 'edge_index'"):
        PointClouds(offsets([1]), {"important": torch.ones(1, dtype=torch.bool)}).edges()
    lone = PointClouds(offsets([2]), {"bond": torch.zeros(1, dtype=torch.int64)}, declared=DECLARED,
                       edge_ptr=offsets([1]))
    less = lone.keep_points(torch.tensor([True, False]))  # without their ends nobody knows which edges stay
    assert less.names == []
    assert less.edge_ptr is None


@settings(max_examples=40)
@given(clouds=any_clouds, fewer=st.booleans())
def test_disk_round_trip(tmp_path_factory, clouds, fewer):
    path = tmp_path_factory.getbasetemp() / "clouds.safetensors"
    if fewer:
        clouds = clouds.keep_points(clouds["important"])
    clouds.save(path, {"seed": 1, "from": ["here"]})
    back, provenance = PointClouds.load(path)
    same(back, clouds)
    assert provenance == {"seed": 1, "from": ["here"]}


def test_disk_round_trip_of_tensors_that_share_memory(tmp_path):
    pos = torch.randn(3, 3)
    clouds = PointClouds(offsets([3]), {"pos": pos, "direction": pos})
    clouds.save(tmp_path / "a")
    same(PointClouds.load(tmp_path / "a")[0], clouds)


def test_text_of_any_language_and_with_newlines(tmp_path):
    words = ["", "\u6c34\n\t\u0000", "\U0001f9ea", "C(=O)O"]
    PointClouds(offsets([0, 1, 0, 2]), {"pos": torch.zeros(3, 3)}, text={"w": words}).save(tmp_path / "a")
    assert PointClouds.load(tmp_path / "a")[0].text == {"w": words}


def test_damaged_and_foreign_files(tmp_path):
    from pellucid.files import write_tensors

    path = tmp_path / "a"
    make([2, 1]).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedFileError):
        PointClouds.load(path)
    with pytest.raises(PellucidError, match="nothing there"):
        PointClouds.load(tmp_path / "none")
    tensors = {"ptr": torch.tensor([0, 2]), "field.pos": torch.zeros(2, 3)}
    field = {"level": "point", "dtype": "float", "shape": ["D"], "unit": "", "about": "", "layout": "rows"}
    for header in (None, "[]", "{", '{"fields": []}', '{"fields": {"pos": {"level": "point", "shape": []}}}',
                   json.dumps({"fields": {"pos": field, "y": field}}),
                   json.dumps({"fields": {"pos": {**field, "nonsense": 1}}}),
                   json.dumps({"fields": {"pos": {**field, "dtype": "int"}}})):
        write_tensors(path, tensors, {"provenance": "{}", **({"pellucid": header} if header else {})})
        with pytest.raises(DamagedFileError, match="expected point clouds in"):
            PointClouds.load(path)
    write_tensors(path, tensors, {"provenance": "{}", "pellucid": json.dumps({"fields": {"pos": field}})})
    assert len(PointClouds.load(path)[0]) == 1


def test_to_changes_floats_only_and_reaches_the_partner():
    clouds = make([2, 0, 1], partner=True)
    double = clouds.to(dtype=torch.float64)
    assert double.pos.dtype == double.partner.pos.dtype == double["y"].dtype == torch.float64
    assert double["categories"].dtype == double.ptr.dtype == torch.int64
    assert double["important"].dtype == torch.bool
    first, both = torch.tensor([0]), torch.tensor([True, True])
    single = clouds.to(dtype=torch.float32)  # energy was float64
    same(double.to("cpu", torch.float32).select(first).keep_points(both), single.select(first).keep_points(both))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_round_trip():
    clouds = make([2, 0, 3], partner=True)
    there = clouds.to("cuda")
    assert there.device.type == there.partner.device.type == "cuda"
    same(there.select(torch.tensor([2, 0])).to("cpu"), clouds.select(torch.tensor([2, 0])))
    same(there.keep_points(there["important"]).to("cpu"), clouds.keep_points(clouds["important"]))


def test_reading():
    clouds = make([2, 0, 1])
    assert len(clouds) == 3
    assert clouds.points == 3
    assert clouds.batch.tolist() == [0, 0, 2]
    assert clouds.sizes.tolist() == [2, 0, 1]
    assert clouds.get("features") is None
    assert clouds.get("y") is clouds["y"]
    assert clouds.device.type == "cpu"
    assert clouds.unit("energy") == "eV"
    assert "3 clouds, 3 points" in repr(clouds)
    assert clouds.without_text().text == {}
    assert make([1], partner=True).without_text().partner.text == {}
    with pytest.raises(PellucidError, match="this dataset does not carry it"):
        clouds["features"]
    assert PointClouds(offsets([2, 1]), {"y": torch.zeros(2, 1)}).points == 3


def test_replace_adds_exchanges_and_declares():
    clouds = make([2, 1])
    moved = clouds.replace(pos=clouds.pos + 1, features=torch.zeros(3, 1))
    assert torch.equal(moved.pos, clouds.pos + 1)
    assert moved.unit("pos") == "angstrom"
    assert moved.text == clouds.text
    assert "features" not in clouds
    new = clouds.replace(declared={"heat": Field("cloud", unit="K")}, heat=torch.zeros(2))
    assert new.unit("heat") == "K"
    with pytest.raises(PellucidError, match="pass declared="):
        clouds.replace(heat=torch.zeros(2))


@pytest.mark.parametrize(("ptr", "fields", "more", "message"), [
    (torch.tensor([0.0, 1.0]), {}, {}, "clouds \\+ 1,\\) int64"),
    (torch.zeros(0, dtype=torch.int64), {}, {}, "clouds \\+ 1,\\) int64"),
    (torch.tensor([1, 3]), {"pos": torch.zeros(3, 3)}, {}, "start at 0"),
    (torch.tensor([0, 3, 2]), {"pos": torch.zeros(2, 3)}, {}, "never to decrease"),
    (offsets([3]), {"pos": torch.zeros(2, 3)}, {}, "expected 3 points as ptr says, got 2 rows"),
    (offsets([2]), {"pos": torch.zeros(2, 3), "features": torch.zeros(3, 1)}, {}, "expected 2 rows in the point-level"),
    (offsets([2]), {"y": torch.zeros(2, 1)}, {}, "expected 1 rows in the cloud-level field 'y'"),
    (offsets([2]), {"y": torch.zeros(1, 1, dtype=torch.int64)}, {}, "expected float values in 'y', got torch.int64"),
    (offsets([2]), {"pos": torch.zeros(2)}, {}, r"'pos' of shape \(rows, D\)"),
    (offsets([2]), {"important": torch.zeros(2, 1, dtype=torch.bool)}, {}, r"'important' of shape \(rows\)"),
    (offsets([2]), {"colour": torch.zeros(2)}, {}, "expected a declared field, got 'colour'"),
    (offsets([2]), {"edge_index": torch.zeros(1, 2, dtype=torch.int64)}, {}, "expected 0 rows in the edge-level"),
    (offsets([2]), {}, {"edge_ptr": torch.tensor([0, 1, 2])}, r"edge_ptr of shape \(2,\)"),
    (offsets([2]), {}, {"text": {"id": ["a", "b"]}}, "expected 1 strings in 'id', got 2"),
    (offsets([2]), {}, {"partner": PointClouds(offsets([]), {})}, "expected 1 partner clouds, got 0"),
])
def test_mistakes_in_the_making_are_told(ptr, fields, more, message):
    with pytest.raises(PellucidError, match=message):
        PointClouds(ptr, fields, **more)


@pytest.mark.parametrize(("places", "message"), [
    (torch.tensor([3]), "from 0 to 2, got 3"),
    (torch.tensor([-1]), "from 0 to 2, got -1"),
    (torch.tensor([True, False]), r"mask of shape \(3,\)"),
    (torch.tensor([0.0]), "int64 or a bool mask"),
    (torch.tensor(1), "int64 or a bool mask"),
])
def test_select_refuses_wrong_places(places, message):
    with pytest.raises(PellucidError, match=message):
        make([2, 0, 1]).select(places)


@pytest.mark.parametrize("keep", [torch.tensor([True]), torch.tensor([1, 1, 1]), torch.ones(3, 1, dtype=torch.bool)])
def test_keep_points_refuses_anything_but_a_mask(keep):
    with pytest.raises(PellucidError, match=r"bool mask of shape \(3,\)"):
        make([2, 0, 1]).keep_points(keep)


def test_cat_refuses_what_does_not_fit():
    clouds = make([2, 1])
    with pytest.raises(PellucidError, match="at least one PointClouds"):
        PointClouds.cat([])
    with pytest.raises(PellucidError, match="the same fields in all parts"):
        PointClouds.cat([clouds, clouds.replace(features=torch.zeros(3, 1))])
    with pytest.raises(PellucidError, match="the same fields in all parts"):
        PointClouds.cat([clouds, clouds.without_text()])
    plain, nano = (PointClouds(offsets([1]), {"pos": torch.zeros(1, 3)}, units={"pos": u}) for u in ("angstrom", "nm"))
    with pytest.raises(PellucidError, match=r"'pos' to be point-level float in 'angstrom' in all parts.* 'nm'"):
        PointClouds.cat([plain, nano])
    paired = PointClouds(offsets([1]), {"pos": torch.zeros(1, 3)}, units={"pos": "angstrom"}, partner=plain)
    for parts in ([plain, paired], [paired, plain]):
        with pytest.raises(PellucidError, match="in all parts or in none"):
            PointClouds.cat(parts)


def test_check_finite_names_the_cloud():
    clouds = make([2, 0, 2], partner=True)
    assert clouds.check_finite() is clouds
    pos = clouds.pos.clone()
    pos[3, 1] = torch.nan
    with pytest.raises(PellucidError, match=r"in 'pos', got NaN or infinity in cloud 2 \(point 1\)"):
        clouds.replace(pos=pos).check_finite()
    partner = PointClouds(offsets([0, 0, 1]), {"features": torch.tensor([[torch.inf]])})
    bad = PointClouds(clouds.ptr, {"pos": clouds.pos}, partner=partner)
    with pytest.raises(PellucidError, match="in 'features', got NaN or infinity in cloud 2"):
        bad.check_finite()


def test_registry_of_fields_is_consistent():
    assert all(f.level in ("point", "edge", "cloud") and f.about for f in FIELDS.values())


# -- PyTorch Geometric ------------------------------------------------------------------------------------------

VALUES = {
    "pos": lambda r, n, e: torch.tensor(r.normal(size=(n, 3)), dtype=torch.float32),
    "pos64": lambda r, n, e: torch.tensor(r.normal(size=(n, 3))),
    "x_float": lambda r, n, e: torch.tensor(r.normal(size=(n, 4)), dtype=torch.float32),
    "x_int": lambda r, n, e: torch.from_numpy(r.integers(0, 9, (n, 2))),
    "x_flat": lambda r, n, e: torch.tensor(r.normal(size=n)),
    "y_scalar": lambda r, n, e: torch.tensor(float(r.normal())),
    "y_flat": lambda r, n, e: torch.tensor([float(r.normal())], dtype=torch.float64),
    "y_row": lambda r, n, e: torch.tensor(r.normal(size=(1, 3))),
    "y_stack": lambda r, n, e: torch.tensor(r.normal(size=3)),
    "y_int": lambda r, n, e: torch.tensor([int(r.integers(5))]),
    "y_number": lambda r, n, e: float(r.normal()),
    "z": lambda r, n, e: torch.from_numpy(r.integers(1, 9, n)),
    "mask": lambda r, n, e: torch.from_numpy(r.random(n) < 0.5),
    "edge_index": lambda r, n, e: torch.from_numpy(r.integers(0, max(n, 1), (2, e))),
    "edge_attr": lambda r, n, e: torch.tensor(r.normal(size=(e, 2))),
    "edge_flag": lambda r, n, e: torch.from_numpy(r.random(e) < 0.5),
    "cell": lambda r, n, e: torch.tensor(r.normal(size=(1, 3, 3))),
    "count": lambda r, n, e: int(r.integers(99)),
    "flag": lambda r, n, e: bool(r.random() < 0.5),
    "smiles": lambda r, n, e: "C" * int(r.integers(3)),
    "group": lambda r, n, e: torch.tensor(r.normal(size=(n, 2))),  # another meaning than the registry's
    "half": lambda r, n, e: torch.tensor(r.normal(size=2)).to(torch.bfloat16),
}


def samples_of(kinds, sizes, seed):
    random = np.random.default_rng(seed)
    samples = []
    for n in sizes:
        edges = int(random.integers(0, 5)) if n else 0
        values = {k.split("_")[0] if k[:2] in ("x_", "y_") else k.removesuffix("64"): VALUES[k](random, n, edges)
                  for k in kinds}
        samples.append(Data(num_nodes=n, **values) if "pos" not in values else Data(**values))
    return samples


@settings(max_examples=120)
@given(pos=st.sampled_from([None, "pos", "pos64"]), x=st.sampled_from([None, "x_float", "x_int", "x_flat"]),
       y=st.sampled_from([None, "y_scalar", "y_flat", "y_row", "y_stack", "y_int", "y_number"]),
       more=st.sets(st.sampled_from(["z", "mask", "cell", "count", "flag", "smiles", "group", "half"])),
       edges=st.sampled_from([(), ("edge_index",), ("edge_index", "edge_attr", "edge_flag")]),
       sizes=st.lists(st.sampled_from([0, 1, 1, 2, 3, 6]), min_size=1, max_size=4), seed=st.integers(0, 999))
def test_pyg_round_trip_loses_nothing(pos, x, y, more, edges, sizes, seed):
    samples = samples_of([k for k in (pos, x, y, *sorted(more), *edges) if k], sizes, seed)
    clouds = from_pyg(samples)
    assert clouds.sizes.tolist() == sizes
    back = to_pyg(clouds)
    same(from_pyg(back), clouds)
    for before, after in zip(samples, back, strict=True):
        assert after.num_nodes == before.num_nodes
        assert set(after.keys()) - {"num_nodes"} == set(before.keys()) - {"num_nodes"}
        for key in set(before.keys()) - {"num_nodes"}:
            a, b = before[key], after[key]
            assert type(a) is type(b), key
            if isinstance(a, torch.Tensor):
                assert a.dtype == b.dtype, key
                assert a.shape == b.shape, key
                assert torch.equal(a, b), key
            else:
                assert a == b, key
    clouds.replace()  # what PyG brought also passes the checks of a new PointClouds


def test_pyg_attributes_get_their_levels():
    samples = [Data(x=torch.zeros(n, 2), z=torch.zeros(n), edge_index=torch.zeros(2, e, dtype=torch.int64),
                    edge_attr=torch.zeros(e, 1), y=torch.tensor([1.0]), u=torch.zeros(1, 4))
               for n, e in ((1, 1), (3, 3))]
    clouds = from_pyg(samples)
    assert {k: f.level for k, f in clouds.declared.items()} == {
        "features": "point", "z": "point", "edge_index": "edge", "edge_attr": "edge", "y": "cloud", "u": "cloud"}
    assert clouds["y"].shape == (2, 1)
    assert clouds["edge_index"].shape == (4, 2)


def test_pyg_of_loaded_clouds_is_the_same(tmp_path):
    samples = samples_of(["pos", "x_float", "y_flat", "edge_index", "edge_attr", "smiles", "count"], [2, 1, 3], 0)
    clouds = from_pyg(samples)
    clouds.save(tmp_path / "a")
    back = PointClouds.load(tmp_path / "a")[0]
    same(back, clouds)
    same(from_pyg(to_pyg(back)), clouds)


@pytest.mark.parametrize(("samples", "message"), [
    ([], "at least one Data"),
    ([Data(pos=torch.zeros(1, 3)), Data(x=torch.zeros(1, 3))], "the attributes pos in every Data object, got x"),
    ([Data(pos=torch.zeros(1, 3), a=[1])], "in 'a', got list"),
    ([Data(pos=torch.zeros(1, 3), a=1), Data(pos=torch.zeros(1, 3), a=2.0)], "in 'a', got float, int"),
    ([Data(pos=torch.zeros(1, 3), a=torch.zeros(1)), Data(pos=torch.zeros(1, 3), a=torch.zeros(1).double())],
     "in 'a', got torch.float32, torch.float64"),
    ([Data(pos=torch.zeros(1, 3), a=torch.zeros(2, 4)), Data(pos=torch.zeros(1, 3), a=torch.zeros(2, 5))],
     r"'a' with one row a node.*got \(2, 4\), \(2, 5\)"),
    ([Data(pos=torch.zeros(2, 3), y=torch.zeros(2)), Data(pos=torch.zeros(3, 3), y=torch.zeros(3))], "'y' with"),
    ([Data(pos=torch.zeros(2, 3), z=torch.zeros(2, 1)), Data(pos=torch.zeros(3, 3), z=torch.zeros(3, 2))], "'z' with"),
    ([Data(pos=torch.zeros(1, 3), features=torch.zeros(1, 3))], "no attribute 'features'"),
])
def test_pyg_mistakes_are_told(samples, message):
    with pytest.raises(PellucidError, match=message):
        from_pyg(samples)


def test_pyg_has_no_place_for_a_partner():
    with pytest.raises(PellucidError, match="without partner"):
        to_pyg(make([1], partner=True))
