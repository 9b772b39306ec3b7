"""Every registered class keeps its contract; a new one is covered by being registered."""

from pathlib import Path

import pytest
from xyz_folder import xyz_folder

from pellucid.backbones import backbones
from pellucid.datasets import datasets
from pellucid.explainers import explainers
from pellucid.methods import methods
from pellucid.metrics.base import metrics
from pellucid.testing import (
    assert_backbone,
    assert_dataset,
    assert_explainer,
    assert_method,
    assert_metric,
    assert_objective,
)
from pellucid.training.objectives import objectives

SMALL = {
    "bernmask": {"steps": 5}, "bernmask-p": {"epochs": 2, "batch_size": 3}, "integrated-gradients": {"steps": 5},
    "pyg": {"epochs": 5}, "shapley": {"permutations": 6}, "smoothgrad": {"draws": 3},
}
"""Small settings of explainers; one that is not named here is made without options."""


@pytest.mark.parametrize("name", list(backbones))
def test_backbones(name):
    assert_backbone(backbones[name])


@pytest.mark.parametrize("name", list(methods))
def test_methods(name):
    assert_method(methods[name])


@pytest.mark.parametrize("name", list(objectives))
def test_objectives(name):
    assert_objective(objectives[name])


@pytest.mark.parametrize("name", list(explainers))
def test_explainers(name):
    assert_explainer(explainers[name], **SMALL.get(name, {}))


@pytest.mark.parametrize("name", list(metrics))
def test_metrics(name):
    assert_metric(metrics[name])


@pytest.mark.parametrize("name", list(datasets))
def test_what_datasets_say(name):
    assert_dataset(datasets[name])
    assert datasets[name].name == name


@pytest.mark.parametrize("labelled", [True, False])
def test_a_dataset_that_can_be_made(tmp_path: Path, labelled):
    folder = xyz_folder(tmp_path / "files", 12, labelled=labelled)
    clouds = assert_dataset(datasets["xyz"], {"source_dir": str(folder)})
    assert ("y" in clouds) == labelled


def test_settings_of_an_explainer_that_is_gone():
    assert set(SMALL) <= set(explainers)
