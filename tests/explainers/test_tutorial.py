"""The code that docs/tutorials/pyg_gin.md quotes."""

import importlib.util
import re
import sys
import warnings
from pathlib import Path

import pytest
import torch

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
SMILES = Path(__file__).parents[1] / "datasets" / "zinc_smiles.txt"


@pytest.fixture(scope="module")
def tutorial():
    spec = importlib.util.spec_from_file_location("pyg_gin", TUTORIALS / "pyg_gin.py")
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings(action="ignore"):  # PyG scripts a class when it is imported, which torch deprecates
        spec.loader.exec_module(module)
    return module


def test_the_tutorial_runs(tutorial, tmp_path, monkeypatch, capsys):
    few = {label: (name, {"steps": 5} if name == "bernmask" else {"epochs": 5} if name == "pyg" else options)
           for label, (name, options) in tutorial.METHODS.items()}
    monkeypatch.setattr(tutorial, "METHODS", few)
    smiles = tmp_path / "smiles.txt"
    smiles.write_text("\n".join(SMILES.read_text().split()[:60]))
    picture = tmp_path / "picture.png"
    options = ["--smiles", str(smiles), "--epochs", "2", "--picture", str(picture)]
    monkeypatch.setattr(sys, "argv", ["pyg_gin.py", *options])
    tutorial.main()
    printed = capsys.readouterr().out
    assert all(label in printed for label in few)
    assert "the same to 0e+00" in printed
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_labels_are_those_of_synmol(tutorial):
    both, one = tutorial.graph_of("CCCCC(=O)NC1CC1"), tutorial.graph_of("CCCCc1ccccc1")
    assert (both.y.item(), one.y.item()) == (1.0, 0.0)
    assert both.important.tolist() == [True] * 6 + [False] * 4  # the chain without the nitrogen, and C=O
    assert not bool(one.important.any())
    assert both.edge_index.shape == (2, 20)
    assert torch.equal(both.x[:, :14].sum(1), torch.ones(10))


def test_the_page_quotes_the_script():
    script = "\n".join(line.strip() for line in (TUTORIALS / "pyg_gin.py").read_text(encoding="utf-8").splitlines())
    page = (TUTORIALS / "pyg_gin.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        for line in block.splitlines():
            assert line.strip() in script, line
