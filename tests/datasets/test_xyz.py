"""A user's folder of .xyz files: several targets of different kinds with gaps, from files to explanations of each."""

import pytest
import torch
from xyz_folder import xyz_folder

import pellucid
from pellucid.datasets import load_dataset
from pellucid.datasets.labels import read_labels
from pellucid.datasets.target_options import TargetOptions
from pellucid.datasets.xyz import Xyz
from pellucid.errors import PellucidError, UnknownNameError

WATER = "3\n{}\nO 0 0 0\nH 0.96 0 0\nh -0.24 0.93 0\n"


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "home"))


def folder_of(tmp_path, table, **files):
    folder = tmp_path / "files"
    folder.mkdir(exist_ok=True)
    (folder / "labels.csv").write_text(table)
    for name, text in files.items():
        (folder / f"{name}.xyz").write_text(text)
    return folder


def test_several_structures_a_file_and_numbers_for_symbols(tmp_path, house):
    folder = folder_of(tmp_path, "file,e [eV]\na.xyz,1\nb.xyz,2\na.xyz,\n",
                       a=WATER.format("first") + "1\n\n6 1.0 2.0 3.0 0.5 extra\n\n", b="2\nx\nCl 0 0 0\nNa 0 0 2\n")
    made = load_dataset("xyz", source_dir=folder)
    clouds = made.clouds
    assert clouds.text["id"] == ["a.xyz:0", "b.xyz", "a.xyz:1"]
    assert clouds.sizes.tolist() == [3, 2, 1]
    assert clouds["categories"].flatten().tolist() == [8, 1, 1, 17, 11, 6]
    torch.testing.assert_close(clouds.pos[3:], torch.tensor([[0.0, 0, -1], [0, 0, 1], [0, 0, 0]]))
    assert clouds["y"].flatten().nan_to_num(-1).tolist() == [1, 2, -1]
    assert made.recipe.spec(clouds).targets.quantities == ("e (eV)",)
    (folder / "b.xyz").write_text("1\nx\nCl 0 0 0\n")
    assert load_dataset("xyz", source_dir=folder).path != made.path, "other files, another cache"


@pytest.mark.parametrize(("text", "match"), [
    ("3\nx\nO 0 0 0\n", "1 atoms in place of 3"), ("1\nx\nXx 0 0 0\n", "Xx"), ("1\nx\nO 0 nan 0\n", "not finite"),
    ("1\nx\nO 0 0\n", "expected atoms as element, x, y and z"), ("two\nx\n", "two"), ("0\nx\n", "in place of 0"),
    (WATER.format("a") * 2, "got 1 rows and 2 samples"), ("", "got 1 rows and 0 samples")])
def test_damaged_files_are_told(tmp_path, house, text, match):
    folder = folder_of(tmp_path, "file,e\na.xyz,1\n", a=text)
    with pytest.raises(PellucidError, match=match) as caught:
        load_dataset("xyz", source_dir=folder)
    assert "a.xyz" in str(caught.value)


@pytest.mark.parametrize(("table", "options", "match"), [
    ("name,e\na.xyz,1\n", {}, "a column 'file'"), ("file,e\n", {}, "0 rows"),
    ("file,e,e\na.xyz,1,2\n", {}, "different"), ("file,e\na.xyz\n", {}, "expected 2 values in row 2"),
    ("file,e\na.xyz,\n", {}, "expected a value in the column 'e'"),
    ("file,e\na.xyz,inf\n", {"kinds": "e=regression"}, "a number in the column 'e'.*'inf' in row 2"),
    ("file,e\na.xyz,2\n", {"kinds": "e=binary"}, "0 or 1 in the column 'e'"),
    ("file,e\na.xyz,2\n", {"kinds": "e=ordinal"}, "expected a kind out of"),
    ("file,e\na.xyz,2\n", {"kinds": "f=binary"}, "expected a known target"),
    ("file,split,e\na.xyz,maybe,2\n", {}, "train, val, test in the column 'split'.*'maybe' in row 2"),
    ("file,e\nb.xyz,2\n", {}, "expected the file b.xyz"), ("file,e\na.xyz,2\n", {"seed": -1}, "seed"),
    ("file,e\na.xyz,2\n", {"source_dir": "nowhere"}, "expected source_dir to be the folder of your files, got nowhere"),
])
def test_tables_that_do_not_fit_are_told(tmp_path, house, table, options, match):
    folder = folder_of(tmp_path, table, a=WATER.format(""))
    with pytest.raises(PellucidError, match=match):
        load_dataset("xyz", **{"source_dir": folder, **options})


def test_kinds_are_read_off_the_values_or_said(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,toxic,phase,level,logS [log mol/L]\na,1,solid,3,-1\nb,,gas,1,NA\nc,0,,10,2e-1\n")
    labels = read_labels(path)
    assert [(t.name, t.kind, t.unit, t.classes) for t in labels.columns.targets] == [
        ("toxic", "binary", "", ()), ("phase", "binary", "", ("gas", "solid")), ("level", "regression", "", ()),
        ("logS", "regression", "log mol/L", ())]
    y = labels.fields(0)["y"].nan_to_num(-9).tolist()
    assert y == [[1, 1, 3, -1], [-9, 0, 1, -9], [0, -9, 10, pytest.approx(0.2)]]
    said = read_labels(path, options=TargetOptions({"level": "multiclass", "toxic": "regression"})).columns.targets
    assert (said[2].classes, said[0].kind) == (("1", "3", "10"), "regression")
    with pytest.raises(UnknownNameError, match="did you mean 'logS'"):
        read_labels(path, options=TargetOptions({"logs": "regression"}))


def test_from_files_to_an_explanation_of_each_target(tmp_path, house):
    made = load_dataset("xyz", source_dir=xyz_folder(tmp_path / "files", 30))
    assert isinstance(made.recipe, Xyz)
    assert made.recipe.spec(made.clouds).targets.quantities == (
        "logP (log units)", "mass (g/mol)", "P(halogen)")
    assert 0 < int(made.clouds["y"].isnan().sum()) < 30
    run = pellucid.fit(made, out=tmp_path / "run", backbone="schnet", method="lri-gaussian", epochs=3, over={
        "backbone": {"hidden": 16, "layers": 2, "length_scale": "neighbors", "options": {"radial": 16, "cutoff": 4.0}},
        "training": {"batch_size": 8, "reestimate": 2}})
    assert set(run.metrics["prediction"]) == {"logP", "mass", "kind"}
    assert (run.folder / "report.html").is_file()
    spread = run.model.targets[1].spread
    assert spread == pytest.approx(float(made.clouds.split("train")["y"][:, 1].double().std()), rel=1e-5)
    test, learned = made.clouds.split("test"), []
    for target, quantity in (("logP", "logP (log units)"), ("mass", "mass (g/mol)"), ("kind=halogen", "P(halogen)")):
        own = pellucid.explain(run.folder, test, target=target)
        smooth = pellucid.explain(run.folder, test, target=target, method="smoothgrad", options={"draws": 3},
                                  out=tmp_path / target)
        assert own.quantity(0) == smooth.quantity(0) == quantity
        torch.testing.assert_close(own.prediction, smooth.prediction)
        assert own.radius is not None
        learned.append((own.importance, smooth.importance))
    assert torch.equal(learned[0][0], learned[1][0]), "noise is learned for all targets together"
    assert not torch.allclose(learned[0][1], learned[1][1]), "a gradient is a target's own"
    assert 200 < float(own.prediction[:, 1].mean()) < 350, "in g/mol"
    new = xyz_folder(tmp_path / "new", 2) / "m000.xyz"
    one = pellucid.explain(run.folder, new, target="mass", method="smoothgrad", options={"draws": 3},
                           out=tmp_path / "one")
    assert one.clouds.text["id"] == ["m000.xyz"]
    assert (tmp_path / "one" / "report.html").is_file()
    (tmp_path / "two.xyz").write_text(new.read_text() * 2)
    two = pellucid.explain(run.folder, str(tmp_path / "two.xyz"), target="mass", method="smoothgrad",
                           options={"draws": 3})
    assert two.clouds.text["id"] == ["two.xyz:0", "two.xyz:1"]
    torch.testing.assert_close(two.importance[:one.clouds.points], one.importance)
    (tmp_path / "none.xyz").write_text("\n")
    for name, match in (("none.xyz", "at least one sample"), ("gone.xyz", "expected a PointClouds")):
        with pytest.raises(PellucidError, match=match):
            pellucid.explain(run.folder, tmp_path / name, target="mass", method="smoothgrad")
