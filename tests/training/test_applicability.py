"""What a run keeps of its training samples, and which new samples it calls unlike them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from toy import toy_clouds, toy_config, toy_spec

from pellucid.clouds import PointClouds
from pellucid.domains.base import domain_of
from pellucid.errors import DamagedFileError
from pellucid.training import load_model, train
from pellucid.training.applicability import REFERENCE, Reference, check_clouds, embeddings_of

SPEC = replace(toy_spec(), inputs=replace(toy_spec().inputs, category_sizes=(4,)))  # categories that never occurred


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference") / "run"
    train(toy_config("erm", warmup=0, epochs=6), toy_clouds(600), folder, SPEC, progress=False)
    return folder


def checked(run, clouds):
    return check_clouds(run, load_model(run)[0], clouds, domain_of("clouds"))


def test_training_ends_with_a_small_reference(run):
    reference = Reference.load(run)
    clouds = toy_clouds(600).split("train")
    assert reference.ids == clouds.text["id"]
    assert reference.sizes.tolist() == [6, 11]
    assert [column.tolist() for column in reference.seen["categories"]] == [[0, 1]]
    assert reference.embeddings.shape == (len(clouds), 2 * 16)
    assert (run / REFERENCE).stat().st_size < 4 * 16 * len(clouds) + 20_000


def test_the_scale_is_that_of_the_nearest_neighbours_of_training_samples(run):
    reference = Reference.load(run)
    raw = embeddings_of(load_model(run)[0], toy_clouds(600).split("train")).double().numpy()
    spread = raw.std(0, ddof=1)
    standard = (raw - raw.mean(0))[:, spread > 1e-6] / spread[spread > 1e-6]
    own = NearestNeighbors(n_neighbors=1).fit(standard).kneighbors()[0][:, 0]
    assert reference.scale.numpy() == pytest.approx(np.quantile(own, [0.95, 0.99]), rel=0.01)


def test_training_samples_are_their_own_nearest_and_inside(run):
    clouds = toy_clouds(600).split("train")
    found = checked(run, clouds)
    assert found.sentences == [""] * len(clouds)
    assert found.nearest == clouds.text["id"]
    assert float(found.distance.max()) < 0.05


def test_held_out_samples_of_the_same_kind_are_inside_but_for_about_a_twentieth(run):
    found = checked(run, toy_clouds(2000, seed=7))
    assert float(found.causes.any(1).float().mean()) < 0.12


def test_a_much_larger_cloud_and_an_unknown_category_are_told(run):
    random = torch.Generator().manual_seed(0)
    ptr = torch.tensor([0, 168, 176, 184])
    categories = torch.zeros(184, 1, dtype=torch.int64)
    categories[170] = categories[171] = 3
    clouds = PointClouds(ptr, {"pos": torch.randn(184, 3, generator=random), "categories": categories})
    found = checked(run, clouds)
    assert found.causes[0].tolist() == [True, False, True]
    assert found.sentences[0].startswith("168 points; training had 6 to 11; far from everything in training (distance ")
    assert found.causes[1, 1]
    assert found.sentences[1].startswith("category never seen: 3")
    assert not found.causes[2, :2].any()


def test_several_shapes_of_one_sample_are_one_sample():
    model = load_toy()
    clouds = toy_clouds(60)
    twice = clouds.select(torch.arange(60).repeat_interleave(2))
    one, two = Reference.of(model, clouds), Reference.of(model, twice)
    assert two.ids == one.ids
    assert torch.equal(one.scale, two.scale)


def test_equal_samples_and_few_samples(tmp_path):
    model = load_toy()
    clouds = toy_clouds(8)
    assert Reference.of(model, clouds.select(torch.tensor([0]))) is None
    same = clouds.select(torch.zeros(5, dtype=torch.int64))
    same = PointClouds(same.ptr, {name: same[name] for name in ("pos", "categories")})
    reference = Reference.of(model, same)
    found = reference.check(embeddings_of(model, same), same)
    assert found.sentences == [""] * 5
    assert found.nearest == [""] * 5


def test_runs_without_a_reference_and_damaged_ones(run, tmp_path):
    assert Reference.load(tmp_path) is None
    (tmp_path / REFERENCE).write_bytes(b"nothing")
    with pytest.raises(DamagedFileError):
        Reference.load(tmp_path)


def test_quick_trainings_leave_it_out(tmp_path):
    train(toy_config("erm", warmup=0, epochs=1), toy_clouds(60), tmp_path / "run", SPEC, progress=False, quick=True)
    assert not (tmp_path / "run" / REFERENCE).exists()


def load_toy():
    from pellucid.training import build

    torch.manual_seed(0)
    return build(toy_config("erm"), SPEC).eval()
