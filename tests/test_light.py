"""What must not be imported: a user who lists names or explains a molecule does not wait for what others need."""

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import pellucid
from pellucid.chemistry.molecules import ATOM_TYPES
from pellucid.files import write_json, write_tensors
from pellucid.spec import DataSpec, InputSpec
from pellucid.targets import Targets
from pellucid.training.config import RunConfig
from pellucid.training.model import FORMAT, build

HEAVY = ["torch", "torch_geometric", "lightning", "rdkit", "scipy", "sklearn", "pyarrow", "numpy", "yaml"]
NOT_TO_EXPLAIN = [
    "lightning", "torchmetrics", "matplotlib", "torch_geometric", "captum", "sklearn", "scipy", "sqlalchemy", "plotly",
    "pandas", "pyarrow.dataset", "pyarrow.compute", "rich.progress", "torch._dynamo", "pellucid.training.fit",
    "pellucid.training.evaluation", "pellucid.pyg"]
LAZY = ["pellucid", *(f"pellucid.{name}" for name in (
    "backbones", "benchmarks.margin", "chemistry", "datasets", "explainers", "margin", "methods", "metrics", "report",
    "training"))]

COMMAND = """
import sys
from pellucid.cli import main
sys.argv = ["pellucid", *sys.argv[1:]]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print("\\n@" + " ".join(sys.modules))
"""


def imported(*words: str) -> set[str]:
    """The modules that ``pellucid WORDS`` imports, plug-ins of this machine aside."""
    source = str(Path(pellucid.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", COMMAND, *words], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("@")[2].split())


@pytest.mark.parametrize("words", [
    ("--help",), ("list", "backbones"), ("list", "explainers", "--json"), ("list", "studies"), ("list", "benchmarks"),
    ("data", "list"), ("train", "--help"), ("explain", "--help"), ("predict", "--help"), ("audit", "--help"),
    ("bench", "--help"), ("evaluate", "--help"), ("data", "prepare", "--help"), ("version",)])
def test_help_and_lists_import_nothing_heavy(words):
    assert imported(*words) & {*HEAVY} == set()


def test_explaining_a_molecule_imports_only_what_it_needs(tmp_path):
    config = RunConfig.parse({"backbone": {"hidden": 8, "layers": 1}})
    spec = DataSpec(Targets.of("binary"), InputSpec(category_sizes=(len(ATOM_TYPES),), unit="angstrom"),
                    domain="molecules")
    folder, out = tmp_path / "run", tmp_path / "out"
    write_json(folder / "config.json", config.model_dump(mode="json"))
    write_json(folder / "provenance.json", {"format": FORMAT, "spec": spec.document()})
    write_tensors(folder / "model.safetensors", build(config, spec).state_dict())
    modules = imported("explain", str(folder), "CCCCC(=O)NC1CC1", "--out", str(out), "--json")
    assert modules & {*NOT_TO_EXPLAIN} == set()
    assert not {name for name in modules if name.startswith(("pellucid.margin", "pellucid.benchmarks"))}
    table = pq.read_table(out / "explanation.parquet")
    assert len(table) == 10
    assert table.schema.field("importance").type == "double"
    assert table.column("id").to_pylist() == ["molecule-1"] * 10
    assert "Plotly" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("package", LAZY)
def test_lazy_packages_give_what_they_say(package):
    module = importlib.import_module(package)
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))  # what type checkers see
    told = {alias.name: node.module for node in guarded.body for alias in node.names}
    assert {name: f"{package}.{place}" for name, place in module._lazy.items()} == told
    for name in module.__all__:
        if name in told:
            assert getattr(module, name) is getattr(importlib.import_module(told[name]), name)
    assert {*told} <= {*module.__all__} <= {*dir(module)}
    with pytest.raises(AttributeError, match=f"'{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_a_function_with_the_name_of_its_module_stays_the_function():
    import pellucid.chemistry.contacts
    from pellucid.chemistry import conformers, contacts

    assert callable(contacts)
    assert callable(conformers)
    assert pellucid.chemistry.contacts is contacts


def test_importing_pellucid_alone_imports_nothing_of_it():
    code = "import pellucid, sys, json; print(json.dumps(sorted(m for m in sys.modules if 'pellucid' in m)))"
    source = str(Path(pellucid.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": source})
    assert set(json.loads(done.stdout)) == {"pellucid", "pellucid.errors", "pellucid.lazy"}
