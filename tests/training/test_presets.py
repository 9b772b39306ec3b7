"""Presets and published numbers."""

from __future__ import annotations

import pytest
from toy import toy_clouds, toy_spec

from pellucid.backbones import backbones
from pellucid.benchmarks.experiments import published
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.methods import methods
from pellucid.training import build
from pellucid.training import presets as training_presets
from pellucid.training.model import measured
from pellucid.training.presets import explainer_options, presets, settings

SYNMOL = {"source": "zinc"}, ["alkane and carbonyl"]
PAPER = ("dgcnn", "egnn", "point_transformer")
"""The backbones of the paper: its settings know no other."""


@pytest.mark.parametrize("preset", presets("synmol"))
@pytest.mark.parametrize("method", sorted(methods))
@pytest.mark.parametrize("backbone", sorted(backbones))
def test_every_preset_is_a_valid_configuration(preset, method, backbone):
    try:
        config = settings("synmol", method, backbone, preset)
    except PellucidError as error:
        assert "expected a backbone with settings" in str(error)  # noqa: PT017
        assert backbone not in PAPER
        return
    assert (config.method.name, config.backbone.name, config.preset) == (method, backbone, preset)


def test_the_papers_settings():
    # facts of the authors' release: epochs after warm-up / warm-up, c, beta
    expected = {
        ("lri-gaussian", "dgcnn"): (100, 200, 15, 0.01),
        ("lri-gaussian", "point_transformer"): (300, 0, 10, 0.01),
        ("lri-gaussian", "egnn"): (300, 0, 10, 0.01),
        ("lri-bernoulli", "dgcnn"): (300, 0, 5, 0.1),
        ("lri-bernoulli", "point_transformer"): (100, 200, 5, 1.0),
        ("lri-bernoulli", "egnn"): (300, 0, 5, 0.1),
    }
    for (method, backbone), (epochs, warmup, scale, beta) in expected.items():
        c = settings("synmol", method, backbone, "paper")
        assert (c.training.epochs, c.training.warmup, c.method.scale, c.method.options["beta"]) == (
            epochs, warmup, scale, beta)
        assert (c.training.batch_size, c.training.learning_rate, c.training.weight_decay) == (128, 1e-3, 1e-5)


# Configuration of the authors' release, backbone by backbone (dgcnn, point_transformer, egnn): (alpha, t) of PointMask,
# (size, entropy) of BernMask and of BernMask-P.
RELEASE = {
    "synmol": ([(0.01, 0.2)] * 3, [(0.01, 0.1), (0.1, 1.0), (0.1, 0.01)], [(0.1, 0.1), (0.01, 0.1), (0.01, 0.01)]),
    "actstrack": ([(0.01, 0.2), (1.0, 0.2), (1.0, 0.2)], [(0.1, 0.01), (0.1, 0.01), (0.01, 0.1)],
                  [(0.01, 0.1), (0.01, 1.0), (0.01, 0.1)]),
    "tau3mu": ([(0.01, 0.2)] * 3, [(0.1, 0.01), (0.01, 0.1), (0.1, 0.01)], [(0.01, 1.0), (0.01, 0.1), (0.01, 0.01)]),
    "plbind": ([(0.01, 0.2), (0.01, 0.2), (0.1, 0.8)], [(0.01, 0.01), (1.0, 0.01), (0.1, 0.1)],
               [(0.1, 1.0), (0.1, 0.1), (0.01, 0.1)]),
}


@pytest.mark.parametrize("dataset", RELEASE)
def test_the_baselines_of_the_paper_have_the_values_of_the_release(dataset):
    masks, bern, bern_p = RELEASE[dataset]
    for place, backbone in enumerate(("dgcnn", "point_transformer", "egnn")):
        config = settings(dataset, "pointmask", backbone, "paper")
        options = config.method.options
        assert (options["alpha"], options["t"]) == masks[place]
        assert (options["neighbors"], options["kl"]) == ("rebuilt", "sum")
        assert options["start"] == "copy"
        assert config.training.warmup == 0
        assert config.backbone.options == ({"form": "release"} if backbone == "dgcnn" else {})
        mine = explainer_options(dataset, "bernmask", "paper", backbone)
        assert (mine["size"], mine["entropy"], mine["lr"], mine["steps"]) == (*bern[place], 0.1, 500)
        learned = explainer_options(dataset, "bernmask-p", "paper", backbone)
        assert (learned["size"], learned["entropy"]) == bern_p[place]
        assert learned["epochs"] == (100 if dataset in ("synmol", "actstrack") else 50)
        assert learned["size_of"] == "probability"
        for name in ("gradgam", "bernmask", "bernmask-p"):
            explainers[name](**explainer_options(dataset, name, "paper", backbone))
        assert explainer_options(dataset, "gradgam", "paper", backbone) == {"reads": "convolution"}
    assert "reads" not in explainer_options(dataset, "gradgam", "paper", "gin")  # which has no residual sum


@pytest.mark.parametrize("dataset", RELEASE)
def test_every_point_is_its_own_neighbour_in_the_paper(dataset):
    wide = {"synmol": 5, "actstrack": 10, "tau3mu": 1.5, "plbind": 7}[dataset]
    for backbone in PAPER:
        for method in ("erm", "lri-bernoulli", "lri-gaussian", "pointmask"):
            own = settings(dataset, method, backbone, "paper").method
            assert own.rule.loop
            assert own.partner_rule is None or own.partner_rule.loop
            assert own.rule.value == (wide if method == "lri-gaussian" else 1.0 if dataset == "tau3mu" else 5)
            assert method != "lri-gaussian" or own.reconstruct == own.rule


@pytest.mark.parametrize("backbone", PAPER)
@pytest.mark.parametrize("dataset", RELEASE)
def test_every_model_of_the_paper_can_be_made_and_takes_a_step(dataset, backbone):
    clouds = toy_clouds(6)
    more = {"partner_category_sizes": (2,)} if dataset == "plbind" else {}
    if more:
        second = toy_clouds(6, seed=1)
        fields = {"pos": second.pos, "categories": second["categories"]}
        clouds = clouds.replace(partner=PointClouds(second.ptr, fields))
    for method in ("erm", "lri-bernoulli", "lri-gaussian", "joint", "pointmask"):
        config = settings(dataset, method, backbone, "paper", {"backbone": {"hidden": 8, "layers": 2}})
        model = build(config, measured(toy_spec(clouds=clouds, **more), clouds, config))
        model.join()
        output = model.train()(clouds, model.neighbors(clouds))
        loss = model.targets.loss(output.logits, clouds["y"])
        (loss if output.penalty is None else loss + output.penalty).backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_two_encoders_in_the_paper_as_in_the_release():
    for method in ("lri-bernoulli", "lri-gaussian"):
        options = settings("plbind", method, "egnn", "paper").method.options
        assert (options["shared"], options["start"], options["own_partner"], options["hops"]) == (
            False, "copy", False, 2)
        assert options.get("moved_by") == ("own" if method == "lri-gaussian" else None)
        assert "start" not in settings("synmol", method, "egnn", "paper").method.options


def test_fast_is_one_setting_for_all_backbones_at_a_tenth_of_the_papers_epochs():
    for method in methods:
        dumps = [settings("synmol", method, b, "fast").model_dump() for b in backbones]
        for dump in dumps:
            dump["backbone"].pop("name")
            dump["backbone"].pop("options")  # the form of its layers, which no other backbone has
        assert all(d == dumps[0] for d in dumps)
        assert settings("synmol", method, "egnn", "fast").total_epochs <= 30


def test_a_preset_that_lacks_a_backbone_is_refused_not_replaced(monkeypatch):
    content = {"presets": {"paper": {"common": {}, "methods": {"erm": {"common": {}, "dgcnn": {}}}}}}
    monkeypatch.setattr(training_presets, "_content", lambda dataset: content)
    assert settings("any", "erm", "dgcnn", "paper").backbone.name == "dgcnn"
    with pytest.raises(PellucidError, match=r"with settings for erm in preset 'paper' of any, got 'egnn'; use one of "
                                            "dgcnn"):
        settings("any", "erm", "egnn", "paper")


def test_published_numbers_as_printed():
    cells = {c.metric: c for c in published("synmol", "lri-gaussian", "dgcnn", *SYNMOL)}
    assert cells["interpretation.roc_auc"].mean == pytest.approx(0.9902)
    assert cells["interpretation.precision@5"].std == pytest.approx(0.0094)
    assert cells["classification.roc_auc"].mean == pytest.approx(0.9998)
    assert "Table 4" in cells["classification.roc_auc"].source
    assert published("synmol", "erm", "egnn", *SYNMOL)[0].mean == pytest.approx(0.9987)


def test_unknown_presets_and_datasets_without_settings():
    with pytest.raises(PellucidError, match="preset"):
        settings("synmol", "erm", "egnn", "fastest")
    assert settings("another", "erm", "egnn").training.epochs > 0
    assert published("another", "erm", "egnn", *SYNMOL) == []
