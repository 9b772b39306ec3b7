"""Plain clouds, what all domains share, and a domain of one's own in one class."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from pellucid.clouds import Field, PointClouds
from pellucid.commands.data import grouped
from pellucid.commands.reporting import (
    asked,
    choose,
    domain_in,
    fitting,
    report_explanation,
    report_run,
    samples_of,
)
from pellucid.domains import Domain, Given, domain_of, domains
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.explanation import Explanation
from pellucid.report import ReportContent
from pellucid.report.content import Words
from pellucid.report.page import data, embed, weight
from pellucid.targets import Target, Targets
from pellucid.training.config import RunConfig

CLOUDS = domain_of("clouds")


def explained(clouds, **more):
    rows = more.pop("prediction", torch.full((len(clouds), 1), 0.5))
    return Explanation(clouds, rows, torch.linspace(0, 1, clouds.points), "importance", **more)


@pytest.mark.parametrize("name", list(domains))
def test_every_domain_has_words_and_says_what_it_reads(name):
    domain = domain_of(name)
    assert isinstance(domain.words, Words)
    assert domain.points.endswith("s")
    assert domain.samples.endswith("s")
    assert "PointClouds" in domain.inputs
    assert domains.describe()[name].endswith(".")
    with pytest.raises(PellucidError, match=f"expected no nonsense for a run on {domain.samples}"):
        domain.read("somewhere", nonsense=1)
    clouds = PointClouds(torch.tensor([0, 1]), {"pos": torch.zeros(1, 3)})
    assert domain.read(clouds).clouds is clouds
    with pytest.raises(PellucidError, match="beside clouds"):
        domain.read(clouds, nonsense=1)
    assert domain.grouped(clouds, "nonsense") is clouds
    sample = domain.sample(explained(clouds), 0)
    assert (sample.words, sample.look) == (domain.words, domain.look)


def test_the_words_of_all_domains_differ():
    assert len({domain_of(name).words for name in domains}) == len(domains)
    with pytest.raises(UnknownNameError, match="did you mean 'graphs'"):
        domain_of("graph")


def test_clouds_are_read_from_their_file(tmp_path, random_clouds):
    clouds = random_clouds()
    clouds.save(tmp_path / "mine.safetensors")
    for path in (tmp_path / "mine.safetensors", str(tmp_path / "mine.safetensors")):
        assert torch.equal(CLOUDS.read(path).clouds.pos, clouds.pos)
    with pytest.raises(PellucidError, match=r"expected a PointClouds, or .* for a run on samples, got 'mine.csv'"):
        CLOUDS.read("mine.csv")


def test_a_cloud_is_drawn_in_space_and_flat(random_clouds):
    clouds = random_clouds(features=2, categories=(3,), outputs=1)
    sample = CLOUDS.sample(explained(clouds, columns={"extra": torch.ones(20)}), 1)
    assert (sample.name, sample.words, len(sample.labels)) == ("sample 1", Words("point", "sample"), 4)
    np.testing.assert_allclose(sample.pos, clouds.pos[7:11])
    assert list(sample.columns) == ["feature_0", "feature_1", "extra"]
    assert list(sample.views) == ["x – y", "x – z"]
    assert sample.target == float(clouds["y"][1])
    flat = random_clouds(dim=2)
    assert list(CLOUDS.sample(explained(flat), 0).views) == ["x – y"]


def test_what_has_no_places_is_left_out_and_told(random_clouds, tmp_path):
    clouds = random_clouds(dim=5)
    assert samples_of(explained(clouds), [0, 1, 2]) == []
    page = report_explanation(tmp_path / "report.html", explained(clouds), []).read_text(encoding="utf-8")
    assert "Of the 3 samples, 3 have no points or no two or three coordinates to be drawn at" in page


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_flat_drawings_show_all_points_wherever_they_are(random_clouds, offset):
    clouds = random_clouds()
    svg = CLOUDS.sample(explained(clouds.replace(pos=clouds.pos + offset)), 0).views["x – y"]
    at = np.array([[float(v) for v in pair] for pair in re.findall(r'class="point-.*?cx="(.*?)" cy="(.*?)"', svg)])
    assert len(at) == 7
    assert np.ptp(at, axis=0).max() > 250  # of 334
    assert at.min() >= 0
    assert at.max() <= 380


def test_one_point_is_drawn_too():
    clouds = PointClouds(torch.tensor([0, 1]), {"pos": torch.ones(1, 3)})
    assert "nan" not in CLOUDS.sample(explained(clouds), 0).views["x – y"]


def test_samples_of_several_targets_show_the_one_that_is_asked_for(random_clouds):
    colour = Target("colour", "multiclass", classes=("red", "blue"))
    targets = Targets((colour, Target("mass", "regression", unit="kg")))
    clouds = random_clouds((3, 2)).replace(y=torch.tensor([[1.0, 5.0], [float("nan"), 7.0]]))
    prediction = torch.tensor([[0.25, 0.75, 4.0], [0.5, 0.5, 9.0]])
    e = Explanation(clouds, prediction, torch.rand(5, 3), targets=targets, signed=True, explained=torch.tensor([1, 0]),
                    baseline=torch.tensor([0.1, 0.2, 3.0]))
    first = CLOUDS.sample(e, 0)  # of its predicted class
    assert (first.predicts, first.prediction, first.target, first.importance_unit) == ("P(blue)", 0.75, 1.0, "logits")
    assert list(first.others) == ["P(red)", "mass (kg)"]
    assert first.others["mass (kg)"].tolist() == e.importance[:3, 2].double().tolist()
    assert first.facts["Baseline"] == "0.200 logits; with all contributions it sums to the prediction's logits"
    (same,) = samples_of(e, [0])
    assert list(same.others) == list(first.others)
    assert asked(e, CLOUDS) == [
        "Predicted are 2 targets: colour (red, blue), mass (kg).",
        "Explained is colour: of each sample its predicted class. Contributions to the other outputs can be chosen at "
        "Show."]
    assert CLOUDS.sample(e, 1).target is None
    mass = CLOUDS.sample(e.of("mass"), 1)
    assert (mass.predicts, mass.prediction, mass.target) == ("mass (kg)", 9.0, 7.0)
    assert mass.importance.tolist() == e.importance[3:, 2].double().tolist()
    assert mass.others == {}  # of() keeps one output
    assert mass.facts["Baseline"] == "3.000 kg; with all contributions it sums to the prediction"
    twice = Targets((colour, Target("shade", "multiclass", classes=("red", "blue"))))
    e = Explanation(clouds, torch.rand(2, 4), torch.rand(5, 4), targets=twice, signed=True)
    assert list(CLOUDS.sample(e, 0).others) == ["P(colour=blue)", "P(shade=red)", "P(shade=blue)"]


def test_learned_importance_is_shared_by_all_targets(random_clouds, tmp_path):
    clouds, both = random_clouds((3, 2)), Targets((Target("toxic"), Target("active")))
    one = explained(clouds, prediction=torch.rand(2, 2), targets=both)
    shared = "Explained is P(toxic). Importance was learned for all targets at once and is shared by them."
    assert asked(one, CLOUDS) == ["Predicted are 2 targets: P(toxic), P(active).", shared]
    assert asked(replace(one, shared=False), CLOUDS)[1] == "Explained is P(toxic)."
    assert CLOUDS.sample(one, 0).others == {}
    assert shared in report_explanation(tmp_path / "report.html", one, []).read_text(encoding="utf-8")
    assert asked(explained(clouds), CLOUDS) == []


def test_targets_of_points_have_no_prediction_of_the_whole(random_clouds):
    clouds = random_clouds((3, 2))
    y = torch.tensor([[0.0], [1], [float("nan")], [1], [0]])
    fields = {name: clouds[name] for name in clouds.names if name != "y"} | {"y": y}
    clouds = PointClouds(clouds.ptr, fields, declared={"y": Field("point", "float", ("T",))})
    e = explained(clouds, prediction=torch.rand(5, 1), targets=Targets.of("binary", level="point"), provenance={
        "prediction_draws": {"draws": 4, "mean": [[0.5]] * 5, "std": [[0.125]] * 5}})
    sample = CLOUDS.sample(e, 1)
    assert np.isnan(sample.prediction)
    assert (sample.level, sample.target) == ("point", None)
    assert sample.values.tolist() == e.prediction[3:, 0].double().tolist()
    assert sample.truths.tolist() == [1, 0]
    assert np.isnan(CLOUDS.sample(e, 0).truths[2])
    assert sample.facts["Prediction under noise"] == "0.500 ± 0.12 over 4 draws, mean over points"
    assert choose(e, 1) == [0]
    kinds = Targets((Target("kind", "multiclass", level="point", classes=("a", "b")),))
    e = explained(clouds, prediction=torch.rand(5, 2), targets=kinds, explained=torch.tensor([1, 0]))
    assert CLOUDS.sample(e, 1).truths.tolist() == [0, 1]
    assert CLOUDS.sample(e, 0).values.tolist() == e.prediction[:3, 1].double().tolist()


def test_the_prediction_under_noise_is_told(random_clouds):
    mass = Targets((Target("mass", "regression", unit="kg"),))
    e = explained(random_clouds((3, 2)), targets=mass, provenance={
        "prediction_draws": {"draws": 10, "mean": [[7.0], [2.0]], "std": [[0.5], [0.001]]}})
    assert CLOUDS.sample(e, 0).facts["Prediction under noise"] == "7.000 ± 0.5 kg over 10 draws"
    assert CLOUDS.sample(e, 1).facts["Prediction under noise"] == "2.000 ± 0.001 kg over 10 draws"


def test_chosen_are_positives_negatives_and_mistakes(random_clouds):
    y = (torch.arange(12) % 2).float()[:, None]
    p = torch.where(y > 0.5, 0.9, 0.1)
    p[[3, 4]] = torch.tensor([[0.01], [0.7]])  # the surer mistake, and the other
    y[11] = float("nan")
    clouds = random_clouds((1,) * 12).replace(y=y)
    chosen = choose(explained(clouds, prediction=p), 8)
    assert {1, 9, 0, 10, 3, 4} <= set(chosen)
    assert 11 not in chosen
    assert choose(explained(random_clouds((1,) * 12)), 4) == [0, 3, 7, 11]  # nothing is known


def test_all_are_shown_in_their_order_where_there_is_room(random_clouds, monkeypatch):
    e = explained(random_clouds((3,) * 12))
    assert fitting(e) == 12
    assert choose(e) == list(range(12))
    room = sum(map(weight, samples_of(e, list(range(12)))))
    monkeypatch.setattr("pellucid.commands.reporting.BYTES", room // 2)
    assert 4 <= fitting(e) <= 7
    monkeypatch.setattr("pellucid.commands.reporting.BYTES", 1)
    assert fitting(e) == 1
    monkeypatch.setattr("pellucid.commands.reporting.MOST", 5)
    monkeypatch.setattr("pellucid.commands.reporting.BYTES", 10**9)
    assert fitting(e) == 5


def test_answers_of_all_outputs_with_bounds(random_clouds):
    both = Targets((Target("logS", "regression", unit="log mol/L"), Target("toxic")))
    y = torch.tensor([[-2.0, 1.0], [float("nan"), 0.0]])
    clouds = random_clouds((2, 1)).replace(y=y, split=torch.tensor([0, 2]))
    clouds = clouds.with_field("censored", Field("cloud", "int", ("T",)), torch.tensor([[1, 0], [0, 0]]))
    e = explained(clouds, prediction=torch.tensor([[-1.5, 0.75], [0.0, 0.5]]), targets=both).of("toxic")
    first, second = (CLOUDS.sample(e, i) for i in (0, 1))
    assert [(a.name, a.prediction, a.target, a.bound) for a in first.answers] == [
        ("P(toxic)", 0.75, 1.0, 0), ("logS (log mol/L)", -1.5, -2.0, 1)]
    assert [a.target for a in second.answers] == [0.0, None]
    assert (first.facts["Split"], second.facts["Split"]) == ("train", "test")
    folds = replace(e, clouds=clouds.replace(text={"fold": ["1", "2"]}))
    assert [CLOUDS.sample(folds, i).facts["Fold"] for i in (0, 1)] == ["1", "2"]


def test_categories_are_called_as_the_dataset_calls_them(random_clouds):
    clouds = random_clouds((2,)).replace(categories=torch.tensor([[8], [1]]))
    about = {"config": {"dataset": "xyz"}}
    assert CLOUDS.sample(explained(clouds, provenance=about), 0).labels == ["O", "H"]
    assert CLOUDS.sample(explained(clouds), 0).labels == ["8", "1"]


def test_groups_are_made_by_the_domain(random_clouds):
    config = RunConfig.parse({"dataset": "d", "method": {"name": "lri-bernoulli", "options": {"groups": "colour"}}})

    @domains.register("toy-groups")
    class Grouped(Domain):
        """Clouds whose points have colours."""

        def grouped(self, clouds, field):
            return clouds.replace(group=torch.zeros(clouds.points, dtype=torch.int64)) if field == "colour" else clouds

    try:
        assert "group" in grouped(random_clouds(), "toy-groups", config)
        assert "group" not in grouped(random_clouds(), "clouds", config)
    finally:
        domains._entries.pop("toy-groups")


@pytest.fixture
def stars():
    """A domain of one's own: all that is needed."""

    @domains.register("stars")
    class Stars(Domain):
        """Stars of a sky, given as a list of places."""

        words, inputs = Words("star", "sky"), "a list of places"

        def make(self, source, **more):
            pos = torch.tensor(source)
            return Given(PointClouds(torch.tensor([0, len(pos)]), {"pos": pos}), notes=["It was dark."])

        def write(self, folder, explanation, held):
            (folder / "sky.txt").write_text(str(explanation.ranks().tolist()))
            return [folder / "sky.txt"]

    yield
    domains._entries.pop("stars")


def test_a_domain_of_ones_own_is_one_class(stars, tmp_path):
    given = domain_of("stars").read([[0.0, 0, 1], [1, 1, 1]])
    explanation = explained(given.clouds, provenance={"spec": {"domain": "stars"}})
    assert domain_in(explanation) == "stars"
    (sample,) = samples_of(explanation, [0])
    assert sample.name == "sky 0"
    assert json.loads(embed(data(ReportContent("t", samples=[sample]))))["samples"][0]["name"] == "sky 0"
    page = report_explanation(tmp_path / "report.html", explanation, given.notes).read_text(encoding="utf-8")
    assert "Which stars decided" in page
    assert "It was dark." in page


def test_a_domain_of_ones_own_is_explained_by_a_run(stars, tmp_path, random_clouds):
    from pellucid.api import explain
    from pellucid.spec import DataSpec
    from pellucid.training import train

    split = torch.tensor([0] * 12 + [1] * 4 + [2] * 4)
    clouds = random_clouds((5,) * 20, dtype=torch.float32, outputs=1).replace(split=split)
    clouds = clouds.replace(y=(torch.arange(20) % 2).float()[:, None])
    config = RunConfig.parse({"dataset": "skies", "method": {"name": "lri-bernoulli"},
                              "backbone": {"hidden": 8, "layers": 1}, "training": {"warmup": 1, "epochs": 1}})
    train(config, clouds, tmp_path / "run", DataSpec.of(clouds, Targets.of("binary"), domain="stars"), device="cpu",
          progress=False)
    made = explain(tmp_path / "run", [[0.0, 0, 1], [1, 1, 1], [0, 1, 0]], out=tmp_path / "e", device="cpu")
    assert made.importance.shape == (3,)
    assert {path.name for path in (tmp_path / "e").iterdir()} == {"explanation.parquet", "report.html", "sky.txt"}
    assert "Which stars decided" in (tmp_path / "e" / "report.html").read_text(encoding="utf-8")
    with pytest.raises(PellucidError, match="expected no ligand for a run on skies"):
        explain(tmp_path / "run", [[0.0, 0, 1]], ligand="mine", device="cpu")



@pytest.mark.parametrize(("method", "told"), [
    ({"name": "erm", "readout": "additive"}, "Contributions to the other outputs can be chosen at Show."),
    ({"name": "lri-bernoulli"}, "Importance was learned for all targets at once and is shared by them."),
    ({"name": "erm"}, "This run only predicts")])
def test_the_page_of_a_run_lists_its_targets(method, told, tmp_path, random_clouds):
    from pellucid.spec import DataSpec
    from pellucid.training import train

    split = torch.tensor([0] * 12 + [1] * 4 + [2] * 4)
    clouds = random_clouds((5,) * 20, dtype=torch.float32, outputs=2).replace(split=split)
    clouds = clouds.replace(y=torch.stack([torch.linspace(0, 9, 20), (torch.arange(20) % 2).float()], 1))
    targets = Targets((Target("mass", "regression", unit="kg"), Target("toxic")))
    config = RunConfig.parse({"dataset": "d", "method": method, "backbone": {"hidden": 8, "layers": 1},
                              "training": {"warmup": 1, "epochs": 1}})
    run = train(config, clouds, tmp_path / "run", DataSpec.of(clouds, targets), device="cpu", progress=False)
    page = report_run(run).read_text(encoding="utf-8").split("<script")[0]
    assert "Predicted are 2 targets: mass (kg), P(toxic)." in page
    assert told in page
    assert "mass: Root mean squared error (kg)" in page
    assert "toxic: ROC AUC" in page
    if run.explanation is not None:
        assert "Explained is mass (kg)." in page
        (sample, *_) = samples_of(run.explanation, [0])
        assert sample.signed == ("additive" in method.values())
        assert list(sample.others) == (["P(toxic)"] if sample.signed else [])
