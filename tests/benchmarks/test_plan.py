"""From an experiment to jobs: searches, shared work, keys, and the table."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score
from tiny import tiny_data, tiny_experiment

from pellucid.benchmarks.code import closure, code_digest
from pellucid.benchmarks.experiments import Experiment
from pellucid.benchmarks.plan import BenchPlan, cost_group, deciding, judging
from pellucid.benchmarks.store import Record
from pellucid.benchmarks.work import execute
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.explainers import explainers
from pellucid.training import load_model
from pellucid.training.config import RunConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_data(tmp_path_factory.mktemp("data"))


def make(data, experiment=None, **options):
    return BenchPlan(experiment or tiny_experiment(), "tiny", data, artifacts="somewhere", **options)


def done(job, score=0.5, auc=0.7, seconds=10.0):
    metrics = {"interpretation": {"roc_auc": auc, "precision@5": 0.4}}
    result = {"metrics": metrics, "validation": score, "seconds": {"training": seconds - 1, "evaluation": 1}}
    return Record(job.key, job.label, job.content, "done", result, seconds=seconds)


def kinds(jobs):
    return sorted(job.content["kind"] for job in jobs)


def test_post_hoc_explainers_share_the_classifier_of_their_backbone_and_seed(data):
    plan = make(data, chosen_methods=["random", "gradgeo", "bernmask"])
    jobs = plan.next({})
    assert kinds(jobs) == ["explain"] * 12 + ["train"] * 4
    trains = {job.key: job for job in jobs if job.content["kind"] == "train"}
    for job in jobs:
        if job.content["kind"] == "explain":
            (need,) = job.needs
            config = trains[need].content["config"]
            assert config["method"]["name"] == "erm"
            assert config["seed"] == job.content["seed"]
            assert config["backbone"]["name"] == job.content["backbone"]


def with_ensemble():
    """The tiny experiment with GradGeo over seeds as a row of its own."""
    content = tiny_experiment().model_dump(by_alias=True)
    content["extra_methods"] = ["over-seeds"]
    content["variants"]["over-seeds"] = {"method": "erm", "explainer": "gradgeo", "ensemble": True}
    return Experiment.model_validate(content)


def test_an_ensemble_over_seeds_is_one_value_of_the_models_that_are_there(data):
    plan = make(data, with_ensemble(), chosen_methods=["gradgeo", "over-seeds"], chosen_backbones=["egnn"])
    jobs = plan.next({})
    assert kinds(jobs) == ["explain"] * 3 + ["train"] * 2
    trains = {job.key for job in jobs if job.content["kind"] == "train"}
    (over,) = (job for job in jobs if len(job.needs) == 2)
    assert set(over.needs) == trains
    assert over.content["runs"] == [f"runs/{key}" for key in over.needs]
    table = plan.table({job.key: done(job) for job in jobs})
    cells = {cell.method: cell for cell in table.cells if cell.metric == "interpretation.roc_auc"}
    assert (len(cells["over-seeds"].values), cells["over-seeds"].planned) == (1, 1)
    assert (len(cells["gradgeo"].values), cells["gradgeo"].planned) == (2, 2)
    with pytest.raises(ValueError, match="explainer for the ensemble"):
        Experiment.model_validate(with_ensemble().model_dump(by_alias=True) | {
            "variants": {"over-seeds": {"method": "erm", "ensemble": True}}})


def test_an_ensemble_is_judged_as_the_mean_of_ranks(data, tmp_path):
    plan = BenchPlan(with_ensemble(), "tiny", data, artifacts=str(tmp_path), chosen_methods=["over-seeds"],
                     chosen_backbones=["egnn"])
    *trains, over = sorted(plan.next({}), key=lambda job: job.content["kind"] == "explain")
    for job in trains:
        execute(job.content)
    found = execute(over.content)["metrics"]["interpretation"]["roc_auc"]
    test = data["synmol"].clouds.split("test")
    positive = test.select((test["y"][:, 0] == 1).nonzero().squeeze(1))
    ranks = []
    for job in trains:
        importance = explainers["gradgeo"]().explain(load_model(tmp_path / job.content["folder"], "cpu")[0], positive,
                                                     seed=0).of().importance.numpy()
        ranks.append(np.concatenate([(rankdata(part) - 1) / (len(part) - 1) for part in np.split(
            importance, positive.ptr[1:-1].numpy())]))
    assert found == pytest.approx(roc_auc_score(positive["important"].numpy(), np.mean(ranks, 0).round(6)))


def test_trainings_with_the_same_warm_up_share_it(data):
    plan = make(data, chosen_backbones=["egnn"], seeds=[3])
    jobs = {job.label: job for job in plan.next({})}
    warm = {label: job for label, job in jobs.items() if job.content["kind"] == "warm-up"}
    assert sorted(warm) == ["synmol egnn warm-up of lri-bernoulli seed 3", "synmol egnn warm-up of lri-gaussian seed 3"]
    plain, phi = (warm[label].key for label in sorted(warm))
    assert jobs["synmol egnn erm seed 3"].needs == jobs["synmol egnn lri-bernoulli seed 3"].needs == (plain,)
    assert jobs["synmol egnn lri-gaussian seed 3"].needs == jobs["synmol egnn joint seed 3"].needs == (phi,)
    assert jobs["synmol egnn joint seed 3"].content["warm_start"] == f"runs/{phi}"
    alone = make(data, chosen_backbones=["egnn"], chosen_methods=["joint"], seeds=[3]).next({})
    assert [job.needs for job in alone] == [()]
    assert alone[0].key == jobs["synmol egnn joint seed 3"].key, "the result is the same with and without"


def test_a_warm_up_that_nobody_needs_any_more_is_not_made(data):
    plan = make(data, chosen_backbones=["egnn"], chosen_methods=["lri-gaussian", "joint"], seeds=[0])
    trains = [job.key for job in plan.next({}) if job.content["kind"] == "train"]
    plan.stored = set(trains)
    assert sorted(job.key for job in plan.next({})) == sorted(trains)


def test_a_search_goes_by_the_validation_prediction_alone(data):
    grid = {"lri-bernoulli": {"method.options.beta": [1.0, 0.1, 0.01]}}
    plan = make(data, tiny_experiment(grid=grid), chosen_methods=["lri-bernoulli"], chosen_backbones=["egnn"])
    searched = [job for job in plan.next({}) if job.content["kind"] == "train"]
    assert [job.content["config"]["method"]["options"]["beta"] for job in searched] == [1.0, 0.1, 0.01]
    assert {job.content["config"]["seed"] for job in searched} == {0}
    scores = {1.0: (0.8, 0.99), 0.1: (0.9, 0.1), 0.01: (0.7, 0.5)}
    results = {}
    for job in searched[:2]:
        score, auc = scores[job.content["config"]["method"]["options"]["beta"]]
        results[job.key] = done(job, score, auc)
        assert plan.rows[0].chosen is None
        plan.next(results)
    last = searched[2]
    results[last.key] = Record(last.key, last.label, last.content, "failed", reason="NaN")
    final = [job for job in plan.next(results) if job.key not in results and job.content["kind"] == "train"]
    assert [(job.content["config"]["seed"], job.content["config"]["method"]["options"]["beta"]) for job in final] == [
        (1, 0.1)], "the best by validation, not by interpretation; seed 0 is there from the search"
    results[final[0].key] = done(final[0], auc=0.3)
    table = plan.table(results)
    cell = table.cell("synmol", "egnn", "lri-bernoulli", "interpretation.roc_auc")
    assert cell.values == (0.1, 0.3)
    (choice,) = table.chosen.values()
    assert (choice.settings, choice.score, choice.tried) == ({"method.options.beta": 0.1}, 0.9, 3)


def test_a_searched_mask_is_judged_by_its_prediction_on_validation(data):
    grid = {"bernmask": {"explainer.options.size": [1.0, 0.1]}}
    plan = make(data, tiny_experiment(grid=grid), chosen_methods=["bernmask", "gradgeo"], chosen_backbones=["egnn"])
    jobs = [job for job in plan.next({}) if job.content["kind"] == "explain"]
    assert {(job.content["explainer"], job.content["validate"]) for job in jobs} == {("bernmask", True),
                                                                                     ("gradgeo", False)}
    assert sorted(job.content["options"]["size"] for job in jobs if job.content["explainer"] == "bernmask") == [0.1, 1]


def test_keys_change_with_what_decides_a_result_and_with_nothing_else(data, tmp_path):
    def keys(plan):
        return {job.key for job in plan.next({})}

    base = keys(make(data))
    assert base == keys(make(data, device="cuda"))
    assert base.isdisjoint(keys(make(tiny_data(tmp_path, count=66))))
    changed = tiny_experiment(over={**tiny_experiment().presets["tiny"].over, "training.learning_rate": 1e-3})
    assert base.isdisjoint(keys(make(data, changed)))
    only = make(data, seeds=[0], chosen_methods=["gradgeo"])
    assert keys(only) < base


def test_failures_and_missing_seeds_show_in_the_table(data):
    plan = make(data, chosen_methods=["gradgeo"], chosen_backbones=["egnn"])
    jobs = {job.label: job for job in plan.next({})}
    fine, bad = jobs["synmol egnn gradgeo seed 0"], jobs["synmol egnn gradgeo seed 1"]
    results = {fine.key: done(fine), bad.key: Record(bad.key, bad.label, bad.content, "failed", reason="broken")}
    cell = plan.table(results).cell("synmol", "egnn", "gradgeo", "interpretation.roc_auc")
    assert (cell.values, cell.seeds, cell.planned, cell.failed) == ((0.7,), (0,), 2, ((1, "broken"),))
    assert cell.published.mean == 0.721
    assert plan.table({}).cell("synmol", "egnn", "gradgeo", "interpretation.roc_auc").values == ()
    undefined = done(fine, auc=None)
    cell = plan.table({fine.key: undefined}).cell("synmol", "egnn", "gradgeo", "interpretation.roc_auc")
    assert cell.failed == ((0, "the metric is undefined"),)


def test_what_sharing_saves_is_counted(data):
    plan = make(data, chosen_methods=["random", "gradgeo"], chosen_backbones=["egnn"], seeds=[0])
    results = {job.key: done(job, seconds=100.0 if job.content["kind"] == "train" else 1.0) for job in plan.next({})}
    costs = plan.costs(results)
    assert costs == {"computing": 102.0, "saved by shared classifiers": 100.0, "saved by shared warm-ups": 0.0}
    assert plan.times(results) == {"synmol egnn": {"random": 0.0, "gradgeo": 0.0}}


def test_what_is_left_counts_every_job_once(data):
    plan = make(data)
    assert sorted(job.key for jobs in plan.left({}).values() for job in jobs) == sorted(
        job.key for job in plan.next({}))
    everything = {job.key: done(job) for job in plan.next({})}
    assert not any(plan.left(everything).values())


def test_jobs_cost_the_same_but_for_the_seed(data):
    plan = make(data, chosen_methods=["gradgeo"])
    groups = {(job.content["kind"], job.label.split(" seed")[0]): set() for job in plan.next({})}
    for job in plan.next({}):
        groups[job.content["kind"], job.label.split(" seed")[0]].add(cost_group(job.content))
    assert all(len(group) == 1 for group in groups.values())
    assert len(set.union(*groups.values())) == len(groups) == 4


def test_unknown_names_are_refused_before_any_work(data):
    with pytest.raises(UnknownNameError, match="gradgeo"):
        make(data, chosen_methods=["gradgoe"])
    with pytest.raises(UnknownNameError, match="egnn"):
        make(data, chosen_backbones=["egn"])
    with pytest.raises(TypeError):
        make(data, tiny_experiment(over={"explainer.options.size": 1, "explainer.options.sise": 1}))


def test_the_code_that_decides_is_followed_through_imports():
    modules = closure("pellucid.methods.lri_gaussian")
    assert {"pellucid.methods.gaussian", "pellucid.backbones.kernels", "pellucid.clouds"} <= modules
    assert not any(name.startswith(("pellucid.report", "pellucid.explainers.masks")) for name in modules)
    assert code_digest("pellucid.methods.lri_gaussian") != code_digest("pellucid.methods.erm")
    with pytest.raises(PellucidError, match="expected a module"):
        code_digest("pellucid.nowhere")


def test_what_registries_import_by_name_belongs_to_the_code_that_decides():
    config = RunConfig.parse({"backbone": {"name": "dgcnn", "view": "eta_phi"}, "method": {
        "name": "joint", "options": {"relative": "beam"}}, "objective": {"name": "denoising"}})
    assert set(deciding(config)) >= {"pellucid.methods.joint", "pellucid.backbones.dgcnn", "pellucid.collisions.views",
                                     "pellucid.training.objectives.denoising", "pellucid.views"}
    judged = {"pellucid.metrics.classification", "pellucid.metrics.directions", "pellucid.benchmarks.work"}
    assert judged <= {*judging()}
    assert "pellucid.training.evaluation" in closure(*judging())


def test_comments_and_docstrings_do_not_change_the_code(tmp_path, monkeypatch):
    texts = ['"""Doc."""\ndef f(x):\n    """More."""\n    return x + 1\n',
             '"""Other."""\n# why\ndef f(x):\n    return (x + 1)\n', "def f(x):\n    return x + 2\n"]
    digests = []
    for i, text in enumerate(texts):
        folder = tmp_path / str(i)
        (folder / "tinycode").mkdir(parents=True)
        (folder / "tinycode" / "__init__.py").write_text("from tinycode.deep import f\n")
        (folder / "tinycode" / "deep.py").write_text(text)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            from pellucid.benchmarks import code

            for cached in (code._tree, code._imports, code._is_module, code.code_digest):
                cached.cache_clear()
            digests.append(code_digest("tinycode"))
            import sys

            for name in [n for n in sys.modules if n.startswith("tinycode")]:
                del sys.modules[name]
    assert digests[0] == digests[1] != digests[2]


def test_columns_of_one_recipe_have_data_of_their_own(data, tmp_path):
    columns = {name: {"recipe": "synmol", "metrics": ["interpretation.roc_auc"]} for name in ("few", "many")}
    experiment = tiny_experiment().model_copy(update={
        "datasets": {name: type(tiny_experiment().datasets["synmol"])(**column) for name, column in columns.items()}})
    both = {"few": tiny_data(tmp_path / "few", 40)["synmol"], "many": data["synmol"]}
    plan = BenchPlan(experiment, "tiny", both, artifacts="somewhere", chosen_methods=["gradgeo", "lri-gaussian"])
    jobs = plan.next({})
    for name, prepared in both.items():
        mine = [job for job in jobs if job.label.startswith(f"{name} ")]
        assert len(mine) == len(jobs) / 2
        assert {job.content["data"]["path"] for job in mine} == {str(prepared.path)}
        assert {job.content["config"]["dataset"] for job in mine if "config" in job.content} == {"synmol"}


def test_a_part_of_a_study_in_the_same_store_is_no_job_of_a_table():
    assert cost_group({"kind": "part", "benchmark": "margin-labels", "data": {}}) is None
