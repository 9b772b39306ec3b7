"""The papers' tables: every number as printed, the grids as described, nothing unknown let through."""

from __future__ import annotations

import math
import re
from itertools import product
from pathlib import Path

import pytest
import yaml

from pellucid.benchmarks.experiments import LABELS, experiment, experiments, factor, load, published
from pellucid.datasets import datasets
from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.training.presets import presets, settings

SYNMOL = {"source": "zinc"}, ["alkane and carbonyl"]
PAPER = Path(__file__).parents[2] / "../shared/papers/lri.md"
FOLDER = Path(load.__code__.co_filename).parent / "experiments"


def test_what_there_is():
    assert {name: len(experiment(name).cells) for name in experiments()} == {
        "lri-figure3": 0, "lri-table2": 4 * 8 * 9, "lri-table3": 10 * 3, "lri-table3-recipes": 1,
        "lri-table4": 4 * 3 * 3, "lri-table5": 0, "lri-table6": 2 * 9}
    with pytest.raises(PellucidError, match=r"got 'lri-table9'; .*Known: lri-figure3, lri-table2, lri-table3"):
        experiment("lri-table9")


@pytest.mark.parametrize(("name", "place", "mean", "std"), [
    ("lri-table2", ("actstrack", "egnn", "bernmask-p", "interpretation.precision@12"), 0.1738, 0.3208),
    ("lri-table2", ("tau3mu", "point_transformer", "gradgam", "interpretation.roc_auc"), 0.8091, 0.0035),
    ("lri-table2", ("tau3mu", "egnn", "gradgeo", "interpretation.precision@7"), 0.5428, 0.0078),
    ("lri-table2", ("synmol", "dgcnn", "gradgeo", "interpretation.roc_auc"), 0.7210, 0.0966),
    ("lri-table2", ("synmol", "egnn", "lri-bernoulli", "interpretation.precision@5"), 0.7196, 0.0597),
    ("lri-table2", ("plbind", "egnn", "pointmask", "interpretation.precision@20"), 0.4510, 0.0),
    ("lri-table3", ("14T", "dgcnn", "lri-gaussian", "directions.angle_assisted"), 7.50, 2.37),
    ("lri-table4", ("plbind", "dgcnn", "lri-gaussian", "classification.roc_auc"), 0.8434, 0.0532),
    ("lri-table6", ("actstrack", "egnn", "without-reconstruction", "interpretation.precision@40"), 0.5902, 0.0137),
])  # fmt: skip
def test_numbers_as_printed(name, place, mean, std):
    cell = experiment(name).published(*place)
    assert (cell.metric, cell.mean, cell.std) == (place[3], mean, std)


def test_the_source_names_the_cell():
    source = experiment("lri-table2").published("synmol", "dgcnn", "gradgeo", "interpretation.roc_auc").source
    assert source.startswith("Table 2, SynMol, GradGeo, DGCNN, ROC AUC, Miao et al., ")


def test_doubts_are_marked_and_only_they():
    doubtful = {place: cell.doubt for name in experiments() for place, cell in experiment(name).cells.items()
                if cell.doubt}
    assert len(doubtful) == 4
    assert "last digit" in doubtful["actstrack", "egnn", "lri-gaussian", "interpretation.precision@24"]
    assert sum(math.isnan(cell.std) for cell in experiment("lri-table2").cells.values()) == 4 * 9  # the random rows
    table = experiment("lri-table6")
    assert table.published("synmol", "egnn", "with-reconstruction", "interpretation.roc_auc") is None
    assert "not in our text" in table.notes[0]


@pytest.mark.shared
@pytest.mark.skipif(not PAPER.is_file(), reason="the paper is not here")
def test_every_legible_row_of_the_paper():
    names = {readable: name for name, readable in LABELS.items()}
    table = experiment("lri-table2")
    dataset, seen = "", 0
    for line in PAPER.read_text(encoding="utf-8").split("\n"):
        first, *columns = line.split("\t")
        if first == "1445114":  # the second, clean copy of Tau3Mu
            dataset = "tau3mu"
        elif names.get(first) in table.datasets and "DGCNN" in line:
            dataset = names[first]
        elif first == "Tau3Mu":
            dataset = ""
        if dataset in table.datasets and names.get(first) in table.methods and len(columns) == 9:
            numbers = [re.findall(r"\d+\.?\d*", column) for column in columns]
            places = product(table.backbones, table.datasets[dataset].metrics)
            for (backbone, metric), (mean, *std) in zip(places, numbers, strict=True):
                cell = table.published(dataset, backbone, names[first], metric)
                assert (cell.mean, *([cell.std] if std else [])) == tuple(float(f"{n}e-2") for n in (mean, *std))
                seen += 1
        if line.startswith("vious methods"):
            break
    assert seen == 4 * 8 * 9 - 2 * 9  # LRI on SynMol is one merged row


def test_the_papers_grids():
    table = experiment("lri-table2")
    count = {method: len(table.points("paper", "synmol", method)) for method in table.all_methods}
    assert count == {"random": 1, "gradgeo": 1, "bernmask": 18, "bernmask-p": 9, "pointmask": 9, "gradgam": 1,
                     "lri-bernoulli": 12, "lri-gaussian": 12, "joint": 1, "integrated-gradients": 1,
                     "centroid": 1, "density": 1, "gradgeo-seeds": 1, "gradgam-seeds": 1, "bernmask-p-seeds": 1,
                     "lri-bernoulli-release": 1, "lri-bernoulli-apart": 1, "lri-bernoulli-sampled": 1}
    gaussian = table.points("paper", "synmol", "lri-gaussian")
    assert {tuple(point.items()) for point in gaussian} == {
        (("method.scale", c), ("method.options.beta", beta), ("training.warmup", warmup), ("training.epochs", epochs))
        for c in (10, 15) for beta in (1.0, 0.1, 0.01) for warmup, epochs in ((0, 300), (200, 100))}
    assert {point["method.options.alpha"] for point in table.points("paper", "synmol", "lri-bernoulli")} == {0.5, 0.7}
    assert {(p["method.scale"], p["training.warmup"], p["training.epochs"])
            for p in table.points("paper", "plbind", "lri-gaussian")} == {
                (c, *time) for c in (0.9, 1.2) for time in ((0, 100), (50, 50))}
    # The paper's c on ActsTrack is for coordinates divided by 2955.5 mm.
    assert {round(2955.5 * point["method.scale"]) for point in table.points("paper", "actstrack", "lri-gaussian")} == {
        200, 300}
    assert table.points("paper", "tau3mu", "bernmask")[0] == {
        "explainer.options.size": 1.0, "explainer.options.entropy": 1.0, "explainer.options.lr": 0.1}
    assert table.points("standard", "synmol", "lri-gaussian") == [{}]


def test_table_4_searches_what_table_2_searches():
    for method in ("lri-bernoulli", "lri-gaussian"):
        assert experiment("lri-table4").points("paper", "synmol", method) == experiment("lri-table2").points(
            "paper", "synmol", method)
    assert experiment("lri-table4").points("paper", "synmol", "erm") == [{}]


@pytest.mark.parametrize("name", experiments())
def test_every_point_is_a_valid_configuration(name):
    table = experiment(name)
    for preset, method in product(table.presets, table.all_methods):
        variant = table.variant(method)
        column = "synmol" if "synmol" in table.datasets else next(iter(table.datasets))
        recipe = table.recipe(column)
        assert table.preset(preset).settings in presets(recipe)
        for point in table.points(preset, column, method):
            over = table.over(preset, column, method, point)
            options = over.pop("explainer", {}).get("options", {})
            assert bool(options) == (variant.explainer is not None and bool(point))
            assert variant.explainer is None or explainers[variant.explainer](**options)
            config = settings(recipe, variant.method, "egnn", table.preset(preset).settings, over)
            assert config.training.epochs == point.get("training.epochs", config.training.epochs)


def test_the_ablation_is_as_in_the_appendix():
    table = experiment("lri-table6")
    for method, on in (("with-reconstruction", True), ("without-reconstruction", False)):
        config = settings("synmol", "lri-gaussian", "egnn", "paper", table.over("paper", "synmol", method))
        assert (config.training.warmup, config.training.epochs, config.method.scale) == (200, 100, 5)
        assert (config.method.options["beta"], config.method.options["graph_reconstruction"]) == (0.01, on)
    scale = table.over("paper", "actstrack", "with-reconstruction")["method"]["scale"]
    assert scale == pytest.approx(200 / 2955.5, abs=1e-4)
    assert "warmup" not in table.over("standard", "synmol", "with-reconstruction").get("training", {})


def test_published_looks_into_every_experiment():
    cells = published("synmol", "lri-gaussian", "egnn", *SYNMOL)
    assert [cell.metric for cell in cells] == ["interpretation.roc_auc", "interpretation.precision@5",
                                               "interpretation.precision@8", "classification.roc_auc"]
    assert len(published("synmol", "gradgeo", "egnn", *SYNMOL)) == 3


@pytest.mark.parametrize(("dataset", "options", "shown"), [
    ("synmol", {"source": "logic8"}, True), ("synmol", {"source": "own"}, False), ("synmol", {}, False),
    ("tau3mu", {"pileup": 200.0, "field": 3.8}, True), ("tau3mu", {"pileup": 200.0, "field": 2.0}, False),
    ("plbind", {"source": "pdbbind", "threshold_nM": 10.0, "usable": "lri"}, True),
    ("plbind", {"source": "csv", "threshold_nM": 10.0, "usable": "lri"}, False),
])
def test_published_numbers_stand_beside_the_papers_data_alone(dataset, options, shown):
    targets = [target.name for target in datasets[dataset]().targets]
    assert bool(published(dataset, "lri-gaussian", "dgcnn", options, targets)) is shown
    assert published(dataset, "lri-gaussian", "dgcnn", options, ["my own label"]) == []


@pytest.mark.parametrize("name", ["actstrack", "tau3mu", "synmol"])
def test_a_recipe_by_default_is_comparable(name):
    recipe = datasets[name]()
    key = recipe.check(dict(recipe.defaults))
    assert set(recipe.as_published) <= set(key)
    assert published(name, "lri-gaussian", "dgcnn", key, [target.name for target in recipe.targets])


def test_datasets_that_can_be_made_here():
    table = experiment("lri-table2")
    assert "synmol" in table.available()
    assert table.available(["synmol", "synmol"]) == ["synmol"]
    with pytest.raises(PellucidError, match="Known: actstrack, plbind, synmol, tau3mu"):
        table.available(["synmoll"])
    assert "plbind" not in table.available()  # it needs a folder of the user's, so it must be asked for
    assert table.available(["plbind"]) == ["plbind"]


def test_a_dataset_without_a_recipe_has_published_numbers_alone(monkeypatch):
    table = experiment("lri-table2")
    monkeypatch.setattr(type(table), "recipe", lambda self, name: "none" if name == "plbind" else name)
    with pytest.raises(PellucidError, match=r"got 'plbind', .* only the published numbers so far; use .*synmol"):
        table.available(["plbind"])


def test_unknown_names():
    table = experiment("lri-table4")
    for call in (lambda: table.variant("gradgeo"), lambda: table.preset("papr"),
                 lambda: table.points("paper", "x", "erm"), lambda: table.over("paper", "x", "erm")):
        with pytest.raises(PellucidError, match="of lri-table4, got"):
            call()


def changed(place, value):
    content = yaml.safe_load((FOLDER / "lri-table6.yaml").read_text(encoding="utf-8"))
    at = content
    for key in place[:-1]:
        at = at.setdefault(key, {})
    at[place[-1]] = value
    return content


@pytest.mark.parametrize(("place", "value", "message"), [
    (("sedes",), [0], "'sedes'"),
    (("presets", "paper", "epochs"), 3, "epochs"),
    (("presets", "paper", "seeds"), [], "seeds"),
    (("presets", "paper", "seeds"), [1, 1], "different seeds"),
    (("presets", "paper", "over"), {"training.wramup": 3}, "did you mean 'warmup'"),
    (("presets", "paper", "over"), {"training.epochs": 0}, "training.epochs"),
    (("presets", "paper", "over"), {"method.scale": {"synmol": 5}}, "for each of actstrack, synmol, got it for synmol"),
    (("presets", "paper", "grid"), {"lri-gaussian": {"method.scale": [5]}}, "expected a known method of lri-table6"),
    (("presets", "paper", "grid"), {"with-reconstruction": {"method.scale": []}}, "got none"),
    (("presets", "paper", "grid"), {"with-reconstruction": {"time": [5]}}, "'time'"),
    (("presets", "paper", "grid"), {"with-reconstruction": {"explainer.size": [5]}}, "explainer"),
    (("presets", "paper", "grid"), {"with-reconstruction": {"time": [{"training.x": 5}]}}, "training.x"),
    (("presets", "paper", "grid"), {"with-reconstruction": {"method.scale": {"synmol": [5]}}}, "for each of"),
    (("variants", "other"), {"method": "erm"}, "did you mean|Known: with-reconstruction"),
    (("published", "zinc"), {}, "expected a known dataset of lri-table6"),
    (("published", "actstrack", "x"), {}, "expected a known method of lri-table6"),
    (("published", "actstrack", "with-reconstruction", "x"), [], "expected a known backbone of lri-table6"),
    (("published", "actstrack", "with-reconstruction", "egnn"), [50], "expected 3 published numbers"),
    (("published", "actstrack", "with-reconstruction", "egnn"), [50, 40, "3O ± 1"], "got '3O ± 1'"),
    (("doubts",), {"synmol x y z": "?"}, "expected a doubt about a published cell"),
])  # fmt: skip
def test_mistakes_in_a_file_are_told_in_one_sentence(tmp_path, place, value, message):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(changed(place, value)), encoding="utf-8")
    with pytest.raises(PellucidError, match=message) as error:
        load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["name: [", "- a\n- b", "", "name: x"])
def test_files_that_are_no_experiment(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(PellucidError, match=r"mine\.yaml"):
        load(tmp_path / "mine.yaml")
    with pytest.raises(PellucidError, match=r"none\.yaml"):
        load(tmp_path / "none.yaml")


def test_a_column_can_be_a_recipe_with_options():
    table = experiment("lri-table5")
    assert {table.recipe(name) for name in table.datasets} == {"actstrack"}
    assert table.datasets["20-30"].options == {"tracks": 10, "val_tracks": 20, "test_tracks": 30}
    assert table.available(None, "standard") == ["10-10", "15-20", "20-30"]
    assert table.available(None, "paper") == list(table.datasets)
    assert table.available(["40-70"], "standard") == ["40-70"]
    for name in table.datasets:
        checked = datasets["actstrack"]().check({**datasets["actstrack"].defaults, **table.datasets[name].options})
        assert checked["tracks"] == 10


def test_figure_3_has_the_runs_of_table_3():
    one, other = experiment("lri-table3"), experiment("lri-figure3")
    assert {name: column.options for name, column in one.datasets.items()} == {
        name: column.options for name, column in other.datasets.items()}
    assert one.presets == other.presets
    assert other.axis.option == "field"


def test_angles_are_no_percent():
    cell = experiment("lri-table3").published("2T", "dgcnn", "random", "directions.angle_assisted")
    assert (cell.mean, cell.source.split(", ")[1]) == (45, "2 T")
    assert factor("directions.eigen_ratio") == 1
