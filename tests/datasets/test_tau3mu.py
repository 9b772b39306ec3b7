from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest
import torch

from pellucid.collisions.generator import card
from pellucid.datasets import datasets, tau3mu
from pellucid.errors import PellucidError


def has_pythia():
    try:
        metadata.version("pythia8mc")
    except metadata.PackageNotFoundError:
        return False
    return True


needs_pythia = pytest.mark.skipif(not has_pythia(), reason="pythia8mc is not installed")
SIZE = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small Tau3Mu of real events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PELLUCID_HOME", str(tmp_path_factory.mktemp("home")))
        small = {name: replace(card(name), block=100) for name in ("d_to_tau", "b_to_tau", "minimum_bias_muons")}
        patch.setattr(tau3mu, "card", small.__getitem__)
        patch.setattr(tau3mu, "TAUS", {"d_to_tau": 100, "b_to_tau": 100})
        patch.setattr(tau3mu, "TRIALS", 2000)
        patch.setattr(tau3mu, "BLOCK", 25)
        done = {}

        def make(**options):
            key = tuple(sorted(options.items()))
            if key not in done:
                recipe = datasets["tau3mu"]()
                options = {**recipe.defaults, "size": SIZE, "library_size": 100, "processes": 1, **options}
                checked = recipe.check(dict(options))
                done[key] = recipe.build({**options, **checked})
            return done[key]
        yield make


@pytest.mark.slow
@needs_pythia
def test_samples_are_what_the_paper_says(made):
    clouds, about = made()
    assert len(clouds) == SIZE
    positive = clouds["y"][:, 0] == 1
    assert int(positive.sum()) == round(0.24 * SIZE)
    assert int(clouds.ptr.diff().min()) >= 3
    assert clouds["split"].bincount().tolist() == [42, 9, 9]
    for n in range(SIZE):
        mine = clouds.batch == n
        signal = clouds["important"][mine]
        tracks = clouds["group"][mine]
        assert bool(signal.any()) == bool(positive[n])
        if positive[n]:
            assert len(tracks[signal].unique()) == 3  # all three muons are seen
            assert set(tracks[signal].tolist()).isdisjoint(tracks[~signal].tolist())
    assert float(clouds.pos[:, 0].min()) > 0.5
    assert float(clouds.pos[:, 1].abs().max()) <= np.pi + 1e-6
    assert clouds["features"].shape == (clouds.points, 1)
    noise = clouds["group"] == -1
    assert not bool((clouds["momentum"][noise] != 0).any())
    assert int(noise.sum()) == pytest.approx(8 * SIZE, abs=5 * (8 * SIZE) ** 0.5)
    assert about["counts"]["decays tried"] > int(positive.sum())


@needs_pythia
def test_one_seed_gives_one_dataset_whatever_the_processes(made):
    a, b = made()[0], made(processes=2)[0]
    assert torch.equal(a.pos, b.pos)
    assert torch.equal(a["important"], b["important"])


@needs_pythia
def test_more_pile_up_and_no_noise(made):
    quiet, busy = made(noise=0.0)[0], made(pileup=600)[0]
    assert not bool((quiet["group"] == -1).any())
    assert busy.points > made()[0].points


@pytest.mark.parametrize(("options", "words"), [
    ({"field": 0}, "got 0 T"), ({"size": 3}, "size"), ({"size": 100, "full": True}, "size or full"),
    ({"b_share": 1.5}, "b_share"), ({"noise": -1}, "noise"), ({"pileup": 0}, "pileup"),
])
def test_bad_options(options, words):
    recipe = datasets["tau3mu"]()
    with pytest.raises(PellucidError, match=words):
        recipe.check({**recipe.defaults, **options})
