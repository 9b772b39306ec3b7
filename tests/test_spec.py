"""DataSpec: made from clouds, measured, refused and read back."""

import json

import pytest
import torch

from pellucid.clouds import Field, PointClouds
from pellucid.errors import PellucidError
from pellucid.spec import DataSpec, InputSpec
from pellucid.targets import Target, Targets

MIXED = Targets((Target("logS", "regression", unit="log mol/L", weight=2.0),
                 Target("colour", "multiclass", classes=("red", "blue")), Target("toxic", classes=("no", "yes"))))


def clouds(**more):
    return PointClouds(torch.tensor([0, 2, 3]), {
        "pos": torch.zeros(3, 2), "categories": torch.tensor([[0, 3], [1, 0], [0, 0]]), "features": torch.zeros(3, 5),
        "edge_index": torch.tensor([[0, 1]]), "edge_features": torch.zeros(1, 4),
        "edge_categories": torch.tensor([[6]]), "y": torch.tensor([[1.0, 0, 1], [3.0, 1, 0]]), **more},
        declared={"edge_features": Field("edge", "float", ("F",)), "edge_categories": Field("edge", "int", ("C",))},
        edge_ptr=torch.tensor([0, 1, 1]), units={"pos": "angstrom"})


def test_inputs_are_read_off_the_clouds():
    assert InputSpec.of(clouds()) == InputSpec(2, (2, 4), 5, (7,), 4, "angstrom", 1.0)
    assert InputSpec.of(clouds(), (9, 9)).category_sizes == (9, 9)
    bare = PointClouds(torch.tensor([0, 1]), {"features": torch.zeros(1, 1)})
    assert InputSpec.of(bare) == InputSpec(0, (), 1)
    empty = PointClouds(torch.tensor([0, 0]), {"categories": torch.zeros(0, 2, dtype=torch.int64)})
    assert InputSpec.of(empty).category_sizes == ()


@pytest.mark.parametrize("second", [False, True])
def test_through_json_and_back(second):
    data = clouds()
    if second:
        data = data.replace(partner=PointClouds(torch.tensor([0, 1, 1]), {
            "pos": torch.zeros(1, 3), "categories": torch.tensor([[5]])}))
    spec = DataSpec.of(data, MIXED, partner_category_sizes=(8,), domain="molecules", precision_at=(1, 3))
    assert (spec.partner is not None) == second
    assert spec.partner is None or spec.partner.category_sizes == (8,)
    spec = spec.measured(data["y"], 1.5, 2.5)
    assert spec.inputs.neighbor_distance == 1.5
    assert spec.partner is None or spec.partner.neighbor_distance == 2.5
    assert (spec.targets[0].center, spec.targets[0].spread) == (2.0, pytest.approx(2**0.5))
    assert spec.targets[1:] == MIXED[1:]
    again = DataSpec.parse(json.loads(json.dumps(spec.document())))
    assert again == spec
    assert isinstance(again.precision_at, tuple)
    assert isinstance(again.inputs.category_sizes, tuple)


@pytest.mark.parametrize("content", [None, [], {}, {"targets": 3}, {"targets": [{"name": "y"}]}])
def test_what_is_no_spec_is_refused(content):
    with pytest.raises(PellucidError, match="got something else"):
        DataSpec.parse(content)


def test_unknown_entries_are_refused():
    document = DataSpec.of(clouds(), MIXED).document()
    for place in (document["inputs"], document["targets"][0]):
        place["colour"] = 1
        with pytest.raises(PellucidError, match=r"got something else .*colour"):
            DataSpec.parse(document)
        del place["colour"]
    assert DataSpec.parse(document) == DataSpec.of(clouds(), MIXED)


def test_y_must_be_as_the_targets_say():
    spec = DataSpec.of(clouds(), MIXED)
    assert spec.refuse(clouds()) is None
    with pytest.raises(PellucidError, match="y with 3 columns and a row a cloud, got 2 columns"):
        spec.refuse(clouds(y=torch.zeros(2, 2)))
    with pytest.raises(PellucidError, match="clouds with y to learn from, got none"):
        spec.refuse(PointClouds(torch.tensor([0, 1]), {"pos": torch.zeros(1, 3)}))
    of_points = DataSpec.of(clouds(), Targets.of("binary", 3, level="point"))
    with pytest.raises(PellucidError, match="a row a point, got 3 columns and a row a cloud"):
        of_points.refuse(clouds())
    each = clouds().replace(declared={"y": Field("point", "float", ("T",))}, y=torch.zeros(3, 3))
    assert of_points.refuse(each) is None
