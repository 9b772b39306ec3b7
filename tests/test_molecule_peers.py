"""The comparison with peers on molecules: what in it could be wrong without a word."""

import importlib
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, rdMolDescriptors
from scipy.stats import spearmanr

BENCHES = Path(__file__).parents[1] / "benches"
SHARED = Path(__file__).parents[1] / "../shared/data"
MODULES = ("cells", "forest", "gin", "jobs", "metrics", "peers", "records", "sets", "tables", "truths")
SMILES = ["CCO", "OC(=O)c1ccccc1", "C[N+](C)(C)CC([O-])=O", "CS(=O)(=O)Nc1ccc(Cl)cc1", "CCOP(=O)(OCC)SCC",
          "FC(F)(F)c1ccncc1", "CC(=O)Nc1ccc(O)cc1", "C#CCN1CCOCC1", "[nH]1cccc1C=O", "NC(=S)N"]


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCHES))
    yield SimpleNamespace(**{name: importlib.import_module(f"peers_molecules.{name}") for name in MODULES})
    sys.path.remove(str(BENCHES))


@pytest.fixture
def data():
    if not SHARED.is_dir():
        pytest.skip(f"no data at {SHARED}")
    return SHARED


@pytest.fixture
def mols():
    return [Chem.MolFromSmiles(smiles) for smiles in SMILES]


# truth


def test_crippen_shares_with_folded_hydrogens_sum_to_the_descriptors(bench, mols):
    for mol in mols:
        assert bench.truths.SHARES["logp"](mol).sum() == pytest.approx(Crippen.MolLogP(mol), abs=1e-9)
        assert bench.truths.SHARES["refractivity"](mol).sum() == pytest.approx(Crippen.MolMR(mol), abs=1e-9)
        assert len(bench.truths.SHARES["logp"](mol)) == mol.GetNumAtoms()
    ethanol = bench.truths.SHARES["logp"](mols[0])
    assert ethanol.sum() == pytest.approx(-0.0014, abs=1e-4)
    assert ethanol[0] > 0 > ethanol[2]


def test_tpsa_shares_sum_to_the_descriptor_with_sulfur_and_phosphorus(bench, mols):
    for mol in mols:
        expected = rdMolDescriptors.CalcTPSA(mol, includeSandP=True)
        assert bench.truths.SHARES["tpsa"](mol).sum() == pytest.approx(expected, abs=1e-9)
    assert bench.truths.SHARES["tpsa"](mols[4]).sum() > rdMolDescriptors.CalcTPSA(mols[4])


@pytest.mark.parametrize(("smiles", "one", "both", "without"), [
    ("CC(=O)NC", [0, 1, 2, 3], None, None), ("Clc1ccncc1", None, None, [4]), ("O=CCCl", None, [0, 1, 3], None),
    ("CC(=O)Nc1cccnc1", [0, 1, 2, 3], None, None), ("CCC", None, None, None),
    ("O=C(C)NC(F)Cl", [0, 1, 2, 3], [0, 1, 5, 6], None), ("c1cnc(Br)nc1", None, None, [2, 5])])
def test_rules_hold_and_name_their_atoms(bench, smiles, one, both, without):
    truths, mol = bench.truths, Chem.MolFromSmiles(smiles)
    rules = {"truth-one-lipo": one, "truth-both-lipo": both, "truth-without-lipo": without}
    for name, atoms in rules.items():
        rule = truths.TASKS[name][1]
        assert rule.holds(mol) == (atoms is not None), name
        if atoms is not None:
            assert np.flatnonzero(rule.atoms(mol)).tolist() == atoms


def test_the_made_up_property_adds_up(bench):
    found = bench.truths.additive(Chem.MolFromSmiles("Oc1ccc(Cl)nc1"))
    assert found.tolist() == pytest.approx([-0.8, 0.3, 0.3, 0.3, 0.3, 0.7, 1.0, 0.3])


def test_development_shares_no_smarts_with_what_is_reported(bench):
    used = {"dev": set(bench.truths.ADDITIVE), "truth": set()}
    for name, (_, rule) in bench.truths.TASKS.items():
        if isinstance(rule, bench.truths.Rule):
            used[name.split("-")[0]] |= {*rule.has, *rule.lacks}
    assert len(used["dev"]) >= 3
    assert not used["dev"] & used["truth"]
    assert sum(name.startswith("dev-") for name in bench.truths.TASKS) >= 2
    assert sum(name.startswith("truth-") for name in bench.truths.TASKS) >= 6


@pytest.mark.shared
def test_development_shares_no_molecules_with_what_is_reported(bench, data):
    reported = bench.truths.molecules_of(data, (*bench.truths.LIPO, *bench.truths.WATER))
    task, truth = bench.truths.read_task(data, "dev-one-bbbp")
    assert len(task.smiles) == len(truth.atoms) > 1000
    assert not {bench.truths.identity(Chem.MolFromSmiles(smiles)) for smiles in task.smiles} & set(reported)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_tasks_are_balanced_and_leave_a_hundred_molecules_to_explain(bench, data):
    for name in bench.truths.TASKS:
        task, truth = bench.truths.read_task(data, name)
        parts = bench.sets.scaffold_parts(task.smiles, 0, truth.shares)
        chosen = truth.chosen(parts, 0, 200)
        assert len(chosen) >= 100, name
        assert all(parts[i] == "test" for i in chosen)
        assert all(len(truth.atoms[i]) == Chem.MolFromSmiles(task.smiles[i]).GetNumAtoms() for i in chosen)
        if task.kind == "classification":
            assert 0.2 < task.values.mean() < 0.6, name
            assert all(task.values[i, 0] == 1 for i in chosen)


# sets and splits


def test_a_split_is_one_for_all_and_another_for_each_seed(bench):
    smiles = [f"{'C' * i}{ring}" for ring in ("c1ccccc1", "c1ccncc1", "C1CCCC1", "c1ccsc1", "C1CCNCC1", "N", "O")
              for i in range(1, 9)] + ["CN", "NC"]
    parts = bench.sets.scaffold_parts(smiles, 0)
    assert parts == bench.sets.scaffold_parts(smiles, 0)
    assert parts != bench.sets.scaffold_parts(smiles, 1)
    assert set(parts) == {"train", "val", "test"}
    assert parts[smiles.index("CN")] == parts[smiles.index("NC")]
    assert len({part for part, text in zip(parts, smiles, strict=True) if "c1ccccc1" in text}) == 1


def test_a_digest_sees_rows_targets_and_parts(bench):
    values = np.array([[1.0], [2.0]])
    given = [(["C", "N"], values, ["train", "test"]), (["C", "N"], values, ["test", "train"]),
             (["C", "N"], values + 1, ["train", "test"]), (["N", "C"], values, ["train", "test"])]
    assert len({bench.sets.digest(*each) for each in given}) == 4


@pytest.mark.shared
@pytest.mark.parametrize(("name", "rows", "unreadable", "targets"), [
    ("esol", 1128, 0, 1), ("freesolv", 642, 0, 1), ("lipophilicity", 4200, 0, 1), ("bace", 1513, 0, 1),
    ("sider", 1427, 0, 27), ("adme", 3521, 0, 6)])
def test_sets_are_read(bench, data, name, rows, unreadable, targets):
    found = bench.sets.read_set(data, name)
    assert len(found.smiles) + found.unreadable == rows
    assert found.unreadable == unreadable
    assert found.values.shape == (len(found.smiles), targets)
    assert not any("predicted" in target or target in ("calc", "pIC50") for target in found.targets)
    if name == "adme":
        assert [int((found.values[:, found.targets.index(target)] == floor).sum())
                for target, floor in found.floors.items()] == [958, 346]
        assert (~np.isnan(found.values)).sum(0).tolist() == [3087, 3054, 2642, 2173, 194, 168]


# metrics


def test_settings_are_chosen_without_the_test_part(bench, data, tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path))
    settings = importlib.import_module("molecule_settings")
    task = bench.sets.read_set(data, "freesolv")
    parts = np.array(bench.sets.scaffold_parts(task.smiles, 1))
    clouds = settings.without_test(task, 1).clouds
    assert {clouds.text["smiles"][i] for i in (clouds["split"] == 2).nonzero().flatten()} == set(settings.STAND_INS)
    left_out = {smiles for smiles, part in zip(task.smiles, parts, strict=True) if part == "test"}
    assert not left_out & {*clouds.text["smiles"]}
    assert int((clouds["split"] == 1).sum()) == int((parts == "val").sum())


def test_regression_is_measured_over_what_was_measured(bench):
    nan = math.nan
    train = np.array([[0.0, 10.0], [2.0, 30.0], [nan, nan]])
    values = np.array([[1.0, nan], [3.0, 20.0], [0.5, 40.0]])
    predicted = np.array([[1.0, 99.0], [1.0, 26.0], [nan, nan]])  # the last row gets the training means 1 and 20
    found = bench.metrics.prediction_metrics("regression", ["a", "b"], predicted, values, train, {"a": 0.5})
    a, b = found["targets"]["a"], found["targets"]["b"]
    assert (a["rmse"], a["mae"], a["spread"], a["tested"]) == pytest.approx((math.sqrt(4.25 / 3), 2.5 / 3, 1.0, 3))
    assert (a["exact"]["rmse"], a["exact"]["tested"]) == pytest.approx((math.sqrt(2), 2))
    assert (b["rmse"], b["mae"], b["spread"], b["tested"]) == pytest.approx((math.sqrt(218), 13, 10, 2))
    assert "exact" not in b
    assert found["missing"] == 1
    assert found["score"] == found["relative_rmse"] == pytest.approx((a["rmse"] + b["rmse"] / 10) / 2)
    assert found["relative_rmse_exact"] == pytest.approx((math.sqrt(2) + b["rmse"] / 10) / 2)


def test_one_regression_target_is_scored_in_its_unit(bench):
    train, values = np.array([[0.0], [4.0]]), np.array([[1.0], [2.0]])
    found = bench.metrics.prediction_metrics("regression", ["a"], values + 3, values, train, {})
    assert found["score"] == found["rmse"] == pytest.approx(3)
    assert found["relative_rmse"] == pytest.approx(1.5)


def test_classes_are_measured_where_there_are_two(bench):
    nan = math.nan
    values = np.array([[0, 1, 1], [1, 1, nan], [1, nan, 0], [0, 1, nan]], dtype=float)
    predicted = np.array([[0.1, 0.5, 0.2], [0.9, 0.5, nan], [0.3, 0.5, 0.9], [0.4, 0.5, 0.5]])
    found = bench.metrics.prediction_metrics("classification", ["a", "b", "c"], predicted, values, values, {})
    assert found["left_out"] == ["b"]
    assert found["targets"]["a"] == {"roc_auc": 0.75, "tested": 4}  # of 4 pairs one is the wrong way round
    assert found["targets"]["c"] == {"roc_auc": 0.0, "tested": 2}
    assert found["score"] == pytest.approx(0.375)


def test_within_molecule_figures(bench):
    rng = np.random.default_rng(0)
    importance, truth = rng.normal(size=20), rng.integers(0, 4, 20).astype(float)
    assert bench.metrics.signed_spearman(importance, truth) == pytest.approx(spearmanr(importance, truth).statistic)
    assert bench.metrics.signed_spearman(-importance, truth) == pytest.approx(-spearmanr(importance, truth).statistic)
    assert bench.metrics.signed_spearman(np.zeros(20), truth) == 0
    assert math.isnan(bench.metrics.signed_spearman(importance, np.ones(20)))
    true, other = importance[truth > 2], importance[truth <= 2]
    assert bench.metrics.atom_auc(importance, truth > 2) == pytest.approx((true[:, None] > other).mean())
    assert bench.metrics.atom_auc(np.zeros(20), truth > 2) == 0.5
    assert math.isnan(bench.metrics.atom_auc(importance, np.ones(20)))


def test_explanations_are_averaged_over_molecules(bench):
    truth = [np.array([1.0, 0, 0]), np.array([0.0, 1, 1]), np.array([1.0, 1, 1]), np.array([0.0, 1])]
    given = [np.array([3.0, 1, 2]), np.array([9.0, 1, 2]), np.array([1.0, 2, 3]), None]
    found = bench.metrics.explanation_metrics("classification", given, truth)
    assert found["roc_auc"]["each"] == [1.0, 0.0, None, None]
    assert (found["roc_auc"]["mean"], found["roc_auc"]["molecules"]) == (0.5, 2)
    assert found["roc_auc"]["error"] == pytest.approx(0.5)
    assert found["missing"] == 1
    assert "roc_auc" not in bench.metrics.explanation_metrics("regression", given, truth)


# peers


def test_weights_of_the_forest_are_those_of_rdkit_one_by_one(bench, mols):
    from rdkit.Chem.Draw import SimilarityMaps
    from sklearn.ensemble import RandomForestClassifier

    forest = bench.forest
    features = forest.table_of([forest.fingerprint(mol) for mol in mols])
    model = RandomForestClassifier(8, random_state=0).fit(features, [0, 1] * 5)
    for mol, weights in zip(mols, forest.atom_weights(mols, model), strict=True):
        expected = SimilarityMaps.GetAtomicWeightsForModel(
            mol, SimilarityMaps.GetMorganFingerprint, lambda bits: forest.predict(model, forest.table_of([bits]))[0])
        assert weights == pytest.approx(expected, abs=1e-12)


def test_a_forest_that_saw_one_class_predicts_it(bench):
    from sklearn.ensemble import RandomForestClassifier

    features = np.eye(3, dtype=np.float32)
    for only in (0, 1):
        model = RandomForestClassifier(2, random_state=0).fit(features, [only] * 3)
        assert bench.forest.predict(model, features).tolist() == [only] * 3


def test_integrated_gradients_of_the_gin_add_up(bench):
    import torch

    torch.manual_seed(0)
    model = bench.gin.Gin(1).eval()
    for smiles in ("CC(=O)Nc1ccc(O)cc1", "C"):
        graph = bench.gin.graph_of(smiles)
        graph.batch, graph.num_graphs = torch.zeros(graph.num_nodes, dtype=torch.int64), 1
        with torch.no_grad():
            nothing = torch.zeros(graph.num_nodes, bench.gin.WIDTH)
            change = model(graph) - model.from_embedded(nothing, graph.edge_index, graph.edge_attr, graph.batch, 1)
        found = bench.gin.attributions(model, graph)
        assert found.shape == (graph.num_nodes,)
        assert found.sum() == pytest.approx(float(change), abs=0.02 * max(1, abs(float(change))))


def test_a_job_reaches_a_peer_and_comes_back(bench, tmp_path):
    values = np.array([[1.5, math.nan], [0.1, 2.0], [3.0, 4.0]])
    job = bench.jobs.Job.write(tmp_path / "cell", "regression", ["a, with comma", "b"], 3, ["C", "N", "O"], values,
                               ["train", "test", "test"], [2])
    opened = bench.jobs.Job.open(job.folder)
    assert opened == job
    smiles, found, parts = opened.table()
    assert smiles == ["C", "N", "O"]
    np.testing.assert_array_equal(found, values)
    assert parts.tolist() == ["train", "test", "test"]
    assert [row["id"] for row in opened.rows("test.csv")] == ["m1", "m2"]
    assert opened.rows("explain.csv") == [{"id": "m2", "smiles": "O"}]
    opened.write_importance([])
    assert opened.importance() == [None]


def test_chemprop_is_refused_rows_in_another_order(bench, tmp_path):
    job = bench.jobs.Job.write(tmp_path, "regression", ["a"], 0, ["C", "N", "O"], np.ones((3, 1)),
                               ["train", "test", "test"])
    out = tmp_path / "chemprop/model_0"
    out.mkdir(parents=True)
    (out / "test_predictions.csv").write_text("smiles,a\nN,1\nO,2\n")
    peer = bench.peers.Chemprop(Path("python"))
    peer.read_predictions(job)
    assert job.predictions().tolist() == [[1.0], [2.0]]
    (out / "test_predictions.csv").write_text("smiles,a\nO,2\nN,1\n")
    with pytest.raises(bench.jobs.PeerError, match="order"):
        peer.read_predictions(job)


def test_pellucid_is_read_by_the_names_that_it_gives_targets(bench, tmp_path):
    job = bench.jobs.Job.write(tmp_path, "regression", ["logS (mol/L)", "b"], 0, ["C", "N"], np.ones((2, 2)),
                               ["test", "test"])
    (tmp_path / "run").mkdir()
    (tmp_path / "run/provenance.json").write_text(json.dumps({"spec": {"targets": [{"name": "logS"}, {"name": "b"}]}}))
    (tmp_path / "predictions.csv").write_text("id,b,logS\nm1,4,3\nm0,2,1\n")
    peer = bench.peers.Pellucid()
    peer.read_predictions(job)
    assert job.predictions().tolist() == [[1.0, 2.0], [3.0, 4.0]]
    (tmp_path / "predictions.csv").write_text("id,b\nm1,4\nm0,2\n")
    with pytest.raises(bench.jobs.PeerError, match="lack logS"):
        peer.read_predictions(job)


@dataclass(frozen=True)
class Told:
    """A peer that answers what it is told, by commands of its own."""

    code: str
    limit: int | None = None

    def version(self):
        return "1"

    def fit(self, job):
        return [[sys.executable, "-c", self.code]]

    def explain(self, job):
        return [[sys.executable, "-c", "import json; json.dump([[3, 1, 2]], open('importance.json', 'w'))"]]

    def read_predictions(self, job):
        job.write_predictions(np.array([[0.9]] * len(job.rows("test.csv"))))

    def read_importance(self, job):
        pass


def test_a_cell_becomes_a_record(bench, tmp_path):
    smiles = [f"CC{x}" for x in "NOFIS"] + ["CCCl", "CCBr", "CCC", "CCCC", "CCCN"]
    task = bench.sets.MoleculeSet("mine", "classification", smiles, ["y"], np.array([[0.0, 1] * 5]).T)
    truth = bench.truths.Truth([np.array([1.0, 0, 0])] * 10, [True] * 10, (0.4, 0.2, 0.4))
    record = bench.cells.record_of(task, truth, "told", Told("sum(range(10**6))"), 0, tmp_path / "cell", 2)
    assert not (tmp_path / "cell").exists()
    assert sum(record["rows"].values()) == 10
    assert record["metrics"]["explanation"]["spearman"]["molecules"] == 1  # told one of two
    assert record["metrics"]["explanation"]["missing"] == 1
    assert set(record["processor_seconds"]) == set(record["wall_seconds"]) == {"fit", "explain"}
    assert record["processor_seconds"]["fit"] > 0
    assert str(tmp_path) not in json.dumps(record)
    assert sys.executable not in json.dumps(record)
    with pytest.raises(bench.jobs.PeerError, match="no luck"):
        bench.cells.record_of(task, None, "told", Told("import sys; sys.exit('no luck')"), 0, tmp_path / "cell", 2)


# records and tables


def test_records_go_on_after_a_cut_line(bench, tmp_path):
    path, first = tmp_path / "deep/results.jsonl", {"task": "a", "seed": 0, "peer": "x"}
    bench.records.append(path, first)
    with path.open("a") as file:
        file.write('{"task": "a", "se')
    bench.records.append(path, {**first, "seed": 1})
    found = bench.records.read(path)
    assert found == [first, {**first, "seed": 1}]
    assert bench.records.has(found, "a", 1, "x")
    assert not bench.records.has(found, "a", 2, "x")


def record(task, seed, peer, score, seconds, kind="regression", **metrics):
    return {"task": task, "kind": kind, "seed": seed, "peer": peer, "version": "1", "data": f"{task}{seed}",
            "metrics": {"targets": {"t": {"rmse": score, "mae": score, "roc_auc": score}}, "missing": 0, "score": score,
                        **metrics},
            "processor_seconds": {"fit": seconds, "explain": seconds}, "cores": 2, "cpu": "x", "python": "3",
            "date": "2026-01-01T00:00:00+00:00", "command": "do"}


def test_tables_rank_and_compare_what_all_have(bench):
    kind = "classification"
    rows = [record("a", 0, "pellucid", 1.0, 10), record("a", 0, "chemprop", 2.0, 40),
            record("a", 1, "pellucid", 3.0, 10), record("b", 0, "pellucid", 0.8, 20, kind),
            record("b", 0, "chemprop", 0.7, 20, kind), record("c", 0, "chemprop", 0.5, 99)]
    text = bench.tables.tables(rows)
    assert "| a | RMSE | **2.000 ± 1.414** | 2.000 (1) |" not in text  # equal means: both are best
    assert "| a | RMSE | **2.000 ± 1.414** | **2.000** (1) |" in text
    assert "| b | ROC AUC | **0.800** | 0.700 |" in text
    assert "| **mean rank** | 1 is best | 1.00 | 2.00 |" in text  # the second seed of a is not common
    assert "| **total / Chemprop's** | 0.50 (2 cells) | 1.00 (3 cells) |" in text
    with pytest.raises(ValueError, match="rows differ"):
        bench.tables.tables([*rows, {**record("c", 0, "pellucid", 1.0, 1), "data": "other"}])


def test_explanations_are_also_compared_on_the_molecules_that_chemprop_explained(bench):
    def scores(*each):
        known = [x for x in each if x is not None]
        return {"spearman": {"mean": sum(known) / len(known), "molecules": len(known), "error": 0.1,
                             "each": list(each)}, "missing": 0}

    rows = [record("truth-a", 0, "pellucid", 1.0, 1, explanation=scores(0.2, 0.4, 0.9)),
            record("truth-a", 0, "chemprop", 1.0, 9, explanation=scores(0.5, 0.7, None))]
    text = bench.tables.tables(rows)
    assert "| truth-a | 0.500 | **0.600** |" in text
    assert "| truth-a | 0.300 | **0.600** |" in text
    assert "mean over all" not in text
    more = [*rows, record("truth-b", 0, "pellucid", 1.0, 1, explanation=scores(0.1, 0.1))]
    text = bench.tables.tables(more)
    assert "| **mean over tasks that all have** | 0.500 | 0.600 |" in text
    assert "| **mean over all 2 tasks** | 0.300 |  |" in text


def test_the_tables_say_when_there_is_nothing(bench):
    assert bench.tables.tables([]) == "No records.\n"
