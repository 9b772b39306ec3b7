"""A table runs with any registered backbone that is asked for, not with those of the paper alone."""

import pytest

from pellucid.backbones import backbones
from pellucid.benchmarks.experiments import experiment
from pellucid.benchmarks.plan import picked
from pellucid.errors import UnknownNameError
from pellucid.training.presets import settings


def test_backbones_besides_those_of_the_experiment():
    own = experiment("lri-table2").backbones
    assert picked("backbone", own, None, backbones) == list(own)
    assert picked("backbone", own, ["schnet", "egnn"], backbones) == ["egnn", "schnet"]
    with pytest.raises(UnknownNameError, match="did you mean 'schnet'"):
        picked("backbone", own, ["schnett"], backbones)
    assert settings("synmol", "lri-gaussian", "schnet", "fast").backbone.name == "schnet"
