"""Explainers of a run side by side: what each says alone, what is recorded, and what explain makes of it."""

import json

import pytest
import torch
from test_predicting import untrained
from toy import toy_clouds, toy_config, toy_spec

import pellucid
from pellucid.commands.explaining import ExplainedRun, recommended
from pellucid.datasets.base import PreparedDataset
from pellucid.errors import PellucidError
from pellucid.files import read_json
from pellucid.targets import Target, Targets

FEW = {"bernmask": {"steps": 5}, "bernmask-p": {"epochs": 1}, "pyg": {"epochs": 5}, "shapley": {"permutations": 8},
       "smoothgrad": {"draws": 3}, "integrated-gradients": {"steps": 5}}


def given(clouds):
    return PreparedDataset(clouds, {}, None, None)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("compared")
    untrained(root / "joint", toy_config("joint"), toy_spec(), seed=1)
    untrained(root / "number", toy_config("lri-bernoulli"), toy_spec(
        Targets((Target("logS", "regression", unit="log mol/L", spread=2.0),))), seed=2)
    untrained(root / "erm", toy_config("erm"), toy_spec(), seed=3)
    return root


@pytest.fixture(scope="module")
def compared(runs):
    return pellucid.compare(runs / "joint", dataset=given(toy_clouds(60)), options=FEW, samples=8, device="cpu")


def test_all_that_apply_are_compared_and_each_says_what_it_says_alone(runs, compared):
    names = [row.name for row in compared.rows]
    assert names[:3] == ["own", "own:existence", "own:location"]
    assert {*names[3:]} == {*pellucid.families.explainers} - {*compared.left_out}
    assert not compared.left_out
    clouds = toy_clouds(60)
    validation = clouds.split("val")
    chosen = validation.select(torch.arange(8) * len(validation) // 8)
    for name in names:
        source = ExplainedRun.open(runs / "joint", torch.device("cpu"), name, FEW.get(name))
        if source.explainer is not None and source.explainer.trains:
            source.explainer.fit(source.model, clouds.split("train"))
        alone = source.explain(chosen)
        torch.testing.assert_close(compared.explanations[name].importance, alone.importance, msg=name)


def test_what_is_found_is_recorded_and_used(runs, compared):
    document = read_json(runs / "joint" / "compare.json")["targets"]["y"]
    assert set(document["explainers"]) == {row.name for row in compared.rows}
    assert document["recommended"] == compared.recommended
    assert json.dumps(document, allow_nan=False)
    if compared.recommended is None:  # an untrained model may leave none
        with pytest.raises(PellucidError, match="Name one yourself"):
            recommended(runs / "joint")


def test_auto_takes_what_is_recommended(runs, tmp_path):
    with pytest.raises(PellucidError, match=r"run pellucid compare .*erm first"):
        pellucid.explain(runs / "erm", toy_clouds(4), method="auto")
    pellucid.compare(runs / "erm", dataset=given(toy_clouds(60)), explainers=["occlusion"], samples=10)
    path = runs / "erm" / "compare.json"
    known = read_json(path)
    known["targets"]["y"] |= {"recommended": "occlusion", "reason": "occlusion: since it is the only one."}
    path.write_text(json.dumps(known))
    auto, named = (pellucid.explain(runs / "erm", toy_clouds(4), method=method) for method in ("auto", "occlusion"))
    assert torch.equal(auto.importance, named.importance)
    assert auto.provenance["notes"][0].endswith("recommends: occlusion: since it is the only one.")
    with pytest.raises(PellucidError, match="got occlusion and auto, which are the same: pellucid compare recommends"):
        pellucid.explain(runs / "erm", toy_clouds(4), method=["occlusion", "auto"])
    both = pellucid.explain(runs / "erm", toy_clouds(4), method=["gradgeo", "auto"])
    assert list(both.explanations) == ["gradgeo", "occlusion"]
    weights = runs / "erm" / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before + b" ")  # another model than the one that was compared
    with pytest.raises(PellucidError, match="run pellucid compare"):
        recommended(runs / "erm")
    weights.write_bytes(before)


def test_importance_without_a_sign_of_a_number_says_so(runs):
    explained = pellucid.explain(runs / "number", toy_clouds(4))
    (note,) = [text for text in explained.provenance["notes"] if "no sign" in text]
    assert note.startswith("Importance (existence importance, p) has no sign: it says how much a point matters to logS")
    found = pellucid.compare(runs / "number", dataset=given(toy_clouds(60)), explainers=["own", "occlusion"],
                             samples=10)
    assert found.unit == "log mol/L"
    assert {row.name: bool(row.note) for row in found.rows} == {"own": True, "occlusion": False}
    assert any(text.startswith("own: Importance (existence") for text in found.sentences())
    signed = pellucid.explain(runs / "number", toy_clouds(4), method="occlusion")
    assert not any("no sign" in text for text in signed.provenance["notes"])


def test_effects_of_a_number_are_in_its_unit(runs):
    prepared, names = given(toy_clouds(60)), ["occlusion", "saliency"]
    once = pellucid.compare(runs / "number", dataset=prepared, explainers=names, samples=10, write=False)
    provenance = read_json(runs / "number" / "provenance.json")
    before = json.dumps(provenance)
    provenance["spec"]["targets"][0]["spread"] = 4.0  # the same model, another unit
    (runs / "number" / "provenance.json").write_text(json.dumps(provenance))
    twice = pellucid.compare(runs / "number", dataset=prepared, explainers=names, samples=10, write=False)
    (runs / "number" / "provenance.json").write_text(before)
    for one, other in zip(once.rows, twice.rows, strict=True):
        assert other.fidelity.value == pytest.approx(2 * one.fidelity.value, rel=1e-6)
        assert other.in_distribution.value == pytest.approx(2 * one.in_distribution.value, rel=1e-6)


def test_targets_of_points_are_compared_by_their_mean(runs):
    untrained(runs / "points", toy_config("erm"), toy_spec(
        Targets((Target("charge", "regression", spread=0.5, level="point"),))), seed=4)
    found = pellucid.compare(runs / "points", dataset=given(toy_clouds(60)), explainers=["occlusion", "gradgeo"],
                             samples=10, write=False)
    assert {row.name: row.signed for row in found.rows} == {"occlusion": True, "gradgeo": False}
    # of an untrained model, too, leaving out what occlusion names moves the mean more than random points do
    assert found.rows[0].fidelity.value > found.rows[0].fidelity.random > 0


def test_what_cannot_be_compared_is_told(runs):
    prepared = given(toy_clouds(60))
    with pytest.raises(PellucidError, match="only predicts"):
        pellucid.compare(runs / "erm", dataset=prepared, explainers=["own"], write=False)
    with pytest.raises(PellucidError, match="oclusion"):
        pellucid.compare(runs / "erm", dataset=prepared, explainers=["oclusion"], write=False)
    with pytest.raises(PellucidError, match="validation sample"):
        pellucid.compare(runs / "erm", dataset=given(toy_clouds(3)), write=False)
    with pytest.raises(PellucidError, match="existence, location"):
        ExplainedRun.open(runs / "joint", torch.device("cpu"), "own:other")
