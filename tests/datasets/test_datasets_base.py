from typing import ClassVar

import pytest
import torch

from pellucid.clouds import PointClouds
from pellucid.cores import usable_cores
from pellucid.datasets import Dataset, datasets, describe, load_dataset
from pellucid.datasets.base import whole_number
from pellucid.errors import DamagedFileError, PellucidError, UnknownNameError
from pellucid.targets import Target


class Toy(Dataset):
    """Three small clouds."""

    name = "toy"
    targets = (Target("heavy"),)
    defaults: ClassVar = {"size": 3, "progress": False}
    built = 0

    def check(self, options):
        return {"size": whole_number(options, "size", 1, 9)}

    def build(self, options):
        type(self).built += 1
        clouds = PointClouds(torch.tensor([0, 2, 3, 6]), {
            "pos": torch.zeros(6, 3),
            "y": torch.tensor([[1.0], [0.0], [float("nan")]]),
            "important": torch.tensor([True, True, False, False, False, False]),
            "split": torch.tensor([0, 1, 2]),
        })
        return clouds, {"source": "made up", "seed": 4}


def test_made_once_and_opened_again(house):
    Toy.built = 0
    made = Toy().prepare(size=2)
    assert made.path.is_relative_to(house / "datasets" / "toy")
    again = Toy().prepare(size=2, progress=True)  # progress changes nothing, so it is no part of the key
    assert (Toy.built, again.path) == (1, made.path)
    assert torch.equal(again.clouds["important"], made.clouds["important"])
    assert again.provenance["source"] == "made up"
    assert again.provenance["key"] == {"dataset": "toy", "version": 1, "size": 2}
    assert set(again.provenance["versions"]) == {"python", "pellucid", "torch", "numpy"}
    assert Toy().prepare(size=3).path != made.path
    assert Toy.built == 2


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * len(b)])
def test_a_damaged_file_says_what_to_delete(house, damage):
    path = Toy().prepare().path
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedFileError, match=r"delete the folder .* and load it again") as caught:
        Toy().prepare()
    assert str(path.parent) in str(caught.value)


def test_a_failing_build_leaves_nothing(house, monkeypatch):
    monkeypatch.setattr(Toy, "build", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Toy().prepare()
    assert not list(house.rglob("*.safetensors"))


def test_description(house):
    report = describe(Toy().prepare())
    assert report["targets"] == {"heavy": "binary"}
    assert report["clouds"] == 3
    assert report["positive"] == 1
    assert report["class_ratio"] == 0.5  # of the two with a label
    assert report["important_mean"] == 2
    assert (report["points_mean"], report["points_min"], report["points_max"]) == (2, 1, 3)
    assert report["splits"]["train"] == {"clouds": 1, "positive": 1, "class_ratio": 1, "important_mean": 2}
    assert report["splits"]["test"] == {"clouds": 1, "positive": 0, "class_ratio": None}
    assert report["size_bytes"] > 100
    assert report["provenance"]["seed"] == 4


def test_near_misses():
    with pytest.raises(UnknownNameError, match="did you mean 'synmol'"):
        load_dataset("synmo")
    with pytest.raises(UnknownNameError, match=r"expected a known option of the dataset toy.* did you mean 'size'"):
        Toy().prepare(sise=3)


@pytest.mark.parametrize("value", [0, 10, 2.0, "3", True, None])
def test_whole_numbers(value):
    with pytest.raises(PellucidError, match="expected size to be a whole number from 1 to 9"):
        Toy().prepare(size=value)


def test_every_registered_recipe_states_its_facts():
    for name in datasets:
        recipe = datasets[name]
        assert recipe.name == name
        assert recipe.targets or name in ("molecules", "rules", "xyz"), "only the table knows them"
        assert recipe.citation
        assert recipe.licence
        assert recipe.__doc__
        assert set(recipe.unkeyed) - {"processes", "progress"} <= set(recipe.defaults)
    assert usable_cores() >= 1
