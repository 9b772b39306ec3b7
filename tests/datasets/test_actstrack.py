from importlib import metadata

import numpy as np
import pytest
import torch

from pellucid.datasets import actstrack, datasets
from pellucid.errors import PellucidError


def has_pythia():
    try:
        metadata.version("pythia8mc")
    except metadata.PackageNotFoundError:
        return False
    return True


needs_pythia = pytest.mark.skipif(not has_pythia(), reason="pythia8mc is not installed")
SIZE = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small ActsTrack of real events, as clouds by their options."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PELLUCID_HOME", str(tmp_path_factory.mktemp("home")))
        small = {card: _smaller(card) for card in ("soft_qcd", "z_to_mumu")}
        patch.setattr(actstrack, "card", small.__getitem__)
        patch.setattr(actstrack, "BLOCK", 16)
        done = {}

        def make(**options):
            key = tuple(sorted(options.items()))
            if key not in done:
                recipe = datasets["actstrack"]()
                options = {**recipe.defaults, "size": SIZE, "processes": 1, **options}
                checked = recipe.check(dict(options))
                done[key] = recipe.build({**options, **checked})
            return done[key]
        yield make


def _smaller(name):
    from dataclasses import replace

    from pellucid.collisions.generator import card
    return replace(card(name), block=100)


@pytest.mark.slow
@needs_pythia
def test_samples_are_what_the_paper_says(made):
    clouds, about = made()
    assert len(clouds) == SIZE
    positive = clouds["y"][:, 0] == 1
    assert int(positive.sum()) == round(0.39 * SIZE)
    cloud = clouds.batch.numpy()
    pt = clouds["momentum"][:, :2].norm(dim=1)
    for n in range(SIZE):
        mine = cloud == n
        tracks = clouds["group"][mine]
        assert tracks.unique().tolist() == list(range(10))
        signal = clouds["important"][mine]
        assert bool(signal.any()) == bool(positive[n])
        if positive[n]:
            assert len(tracks[signal].unique()) == 2  # the two muons, whole
            assert set(tracks[signal].tolist()).isdisjoint(tracks[~signal].tolist())
            first = [np.flatnonzero(mine)[(tracks == t).numpy()] for t in tracks[signal].unique()]
            # The Z's mass from the first hit of each muon, before much of the material.
            inner = [rows[clouds.pos[rows].norm(dim=1).argmin()] for rows in first]
            p = clouds["momentum"][inner].double()
            energy = (0.1056584**2 + p.square().sum(1)).sqrt().sum()
            assert float((energy**2 - p.sum(0).square().sum()).sqrt()) == pytest.approx(91.19, abs=2.2)
    assert float(pt.min()) >= 0.5
    sizes = torch.bincount(clouds["group"] + 10 * clouds.batch)
    assert int(sizes.min()) >= 6
    assert about["counts"]["samples with fewer tracks than asked"] == 0
    assert clouds["split"].bincount().tolist() == [28, 6, 6]


def places_along_the_beam(clouds):
    """Where the straight line through the two innermost hits of each muon of a Z crosses the beam: (positives, 2)."""
    places = []
    for n in torch.unique(clouds.batch[clouds["important"]]).tolist():
        mine = (clouds.batch == n) & clouds["important"]
        for track in clouds["group"][mine].unique():
            pos = clouds.pos[mine & (clouds["group"] == track)].double()
            pos = pos[pos.norm(dim=1).argsort()[:2]]
            r, z = pos[:, :2].norm(dim=1), pos[:, 2]
            places.append(float(z[0] - r[0] * (z[1] - z[0]) / (r[1] - r[0])))
    return np.array(places).reshape(-1, 2)


@needs_pythia
def test_collisions_are_spread_along_the_beam(made):
    real, point = places_along_the_beam(made()[0]), places_along_the_beam(made(spread=0)[0])
    assert np.median(np.abs(real[:, 0] - real[:, 1])) < 1  # both muons come from one place
    assert 35 < real.mean(1).std() < 85  # 55.5 mm, with as many as 16 positive samples
    assert np.median(np.abs(point)) < 0.5


@needs_pythia
def test_hits_lie_on_the_declared_layers(made):
    clouds, _ = made()
    from pellucid.collisions.detector import detector
    surfaces = detector("generic").surfaces
    pos, layer = clouds.pos.double(), clouds["layer"]
    for i in layer.unique().tolist():
        mine = layer == i
        if surfaces[i].kind == "barrel":
            assert (pos[mine, :2].norm(dim=1) - surfaces[i].r).abs().max() < 1e-3
        else:
            assert (pos[mine, 2].abs() - surfaces[i].z).abs().max() < 1e-3


@pytest.mark.slow
@needs_pythia
def test_one_seed_gives_one_dataset_whatever_the_processes(made):
    a, b, other = made()[0], made(processes=2)[0], made(seed=1)[0]
    assert torch.equal(a.pos, b.pos)
    assert torch.equal(a["important"], b["important"])
    assert not torch.equal(a["y"], other["y"]) or len(a.pos) != len(other.pos)


@needs_pythia
def test_the_field_bends_and_the_tracks_can_differ_by_split(made):
    strong = made(field=8.0)[0]
    assert torch.equal(strong["y"], made()[0]["y"])
    shifted = made(tracks=5, val_tracks=8, test_tracks=12)[0]
    most = torch.zeros(SIZE, dtype=torch.long).scatter_reduce(0, shifted.batch, shifted["group"], "amax") + 1
    assert {int(s): sorted(set(most[shifted["split"] == s].tolist())) for s in range(3)} == {0: [5], 1: [8], 2: [12]}


@needs_pythia
def test_the_order_of_hits_tells_nothing(made):
    clouds, _ = made()
    positive = (clouds["y"][clouds.batch, 0] == 1)
    place = torch.arange(len(clouds.pos)) - clouds.ptr[clouds.batch]
    share = place.double() / clouds.ptr.diff()[clouds.batch]
    signal, rest = share[positive & clouds["important"]], share[positive & ~clouds["important"]]
    assert abs(float(signal.mean() - rest.mean())) < 5 * 0.29 / len(signal) ** 0.5
    assert not bool((clouds["group"].diff() >= 0).all())


@pytest.mark.parametrize(("options", "words"), [
    ({"field": 0}, "got 0 T"), ({"field": float("nan")}, "field"), ({"size": 3}, "size"), ({"tracks": 1}, "tracks"),
    ({"size": 100, "full": True}, "size or full"), ({"detector": "genric"}, "generic"), ({"min_pt": -1}, "min_pt"),
])
def test_bad_options(options, words):
    recipe = datasets["actstrack"]()
    with pytest.raises(PellucidError, match=words):
        recipe.check({**recipe.defaults, **options})
