"""Files beside explained molecules, read back by RDKit, csv and, line by line, as PyMOL would."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import Chem

from pellucid.chemistry.encoding import encode_molecules
from pellucid.chemistry.export import SCRIPT, SDF, TABLE, flat, write_molecules
from pellucid.chemistry.molecules import read_molecules
from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.targets import Target, Targets

BOTH = Targets((Target("logS <25 C>", "regression", unit="log mol/L"), Target("toxic")))


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> PointClouds:
    table = tmp_path_factory.mktemp("given") / "given.smi"
    table.write_text("OC[C@@H](N)C(=O)[O-] ser/ine\nCCO ../ethanol\n" + "C" * 40 + " wax\n")
    made = encode_molecules(read_molecules(table)).clouds
    return with_text(made, values=['{"lab": "A\\n\\nB", "dose [mg]": "3", "id": "x"}', "{}", ""])


def with_text(clouds: PointClouds, **text: list[str]) -> PointClouds:
    return PointClouds(clouds.ptr, {name: clouds[name] for name in clouds.names}, text={**clouds.text, **text},
                       units={"pos": "angstrom"})


def explained(clouds: PointClouds, signed: bool = True) -> Explanation:
    generator = torch.Generator().manual_seed(0)
    importance = torch.randn(clouds.points, *([2] if signed else []), generator=generator)
    prediction = torch.tensor([[-2.5, 0.25]]).repeat(len(clouds), 1)
    return Explanation(clouds, prediction, importance, targets=BOTH, signed=signed)


def read(folder: Path) -> list[Chem.Mol]:
    return list(Chem.SDMolSupplier(str(folder / SDF)))


def test_an_sdf_has_importance_at_its_atoms(clouds: PointClouds, tmp_path: Path) -> None:
    explanation = explained(clouds)
    assert [path.name for path in write_molecules(tmp_path, explanation)] == [SDF, TABLE, SCRIPT]
    molecules = read(tmp_path)
    assert [mol.GetProp("_Name") for mol in molecules] == ["ser/ine", "../ethanol", "wax"]
    assert [Chem.MolToSmiles(mol) for mol in molecules[:2]] == ["N[C@H](CO)C(=O)[O-]", "CCO"]
    assert molecules[0].GetConformer().Is3D()
    for i, mol in enumerate(molecules):
        rows = slice(int(clouds.ptr[i]), int(clouds.ptr[i + 1]))
        for prop, column in (("importance", 0), ("importance:logS _25 C_", 0), ("importance:toxic", 1)):
            values = [atom.GetDoubleProp(prop) for atom in mol.GetAtoms()]  # of 40 atoms too, over several lines
            np.testing.assert_allclose(values, explanation.importance[rows, column], rtol=1e-5)
        np.testing.assert_allclose(mol.GetConformer().GetPositions(), clouds.pos[rows], atol=1e-4)
    given = molecules[0].GetPropsAsDict()
    assert given["lab"] == "A B"
    assert given["dose [mg]"] == 3
    assert given["id"] == "ser/ine"  # the user's own column of this name does not take its place
    assert (given["prediction:logS _25 C_"], given["prediction:toxic"]) == (-2.5, 0.25)
    assert not molecules[1].HasProp("lab")


def test_the_table_counts_atoms_as_the_pictures_do(clouds: PointClouds, tmp_path: Path) -> None:
    explanation = explained(clouds)
    write_molecules(tmp_path, explanation)
    with (tmp_path / TABLE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * clouds.points
    first = [row for row in rows if row["id"] == "ser/ine" and row["target"] == "toxic"]
    assert [row["atom"] for row in first] == [str(k) for k in range(7)]
    assert [row["element"] for row in first] == list("OCCNCOO")
    assert {(row["unit"], row["prediction"], row["smiles"]) for row in first} == {("log-odds", "0.25",
                                                                                  "OC[C@@H](N)C(=O)[O-]")}
    strongest = min(first, key=lambda row: int(row["rank"]))
    assert abs(float(strongest["importance"])) == max(abs(float(row["importance"])) for row in first)
    assert {row["unit"] for row in rows if row["target"] == "logS <25 C>"} == {"log mol/L"}


def test_unsigned_importance_is_of_one_target(clouds: PointClouds, tmp_path: Path) -> None:
    write_molecules(tmp_path, explained(clouds, signed=False).of("toxic"))
    with (tmp_path / TABLE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["target"], row["unit"]) for row in rows} == {("toxic", "")}
    assert "atom.dprop.importance:toxic" not in read(tmp_path)[0].GetPropNames()
    assert "minimum=0" in (tmp_path / SCRIPT).read_text()


class FakePymol:
    """What the script asks of PyMOL, written down."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: self.said.append((name, *given, named))


@pytest.mark.parametrize("signed", [True, False])
def test_the_script_runs(clouds: PointClouds, tmp_path: Path, signed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    explanation = explained(clouds, signed).of()
    write_molecules(tmp_path, explanation)
    lines = (tmp_path / SCRIPT).read_text(encoding="utf-8")
    block = re.search(r"^python\n(.*?)^python end$", lines, re.M | re.S)
    assert block is not None
    fake = FakePymol()
    module: Any = types.ModuleType("pymol")
    module.cmd, module.stored = fake, types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "pymol", module)
    monkeypatch.chdir(tmp_path)
    exec(block[1], {})
    loaded = [said for said in fake.said if said[0] == "read_sdfstr"]
    assert [said[2] for said in loaded] == ["ser_ine", "ethanol", "wax"]
    assert all(Chem.MolFromMolBlock(said[1]) is not None for said in loaded)
    wax = explanation.importance[int(clouds.ptr[2]):].double()
    expected = wax / wax.abs().max() if signed else (wax - wax.min()) / (wax.max() - wax.min())
    np.testing.assert_allclose(module.stored.importance, expected, atol=1e-4)
    spectrum = next(said for said in fake.said if said[0] == "spectrum")
    assert spectrum[-1] == {"minimum": -1 if signed else 0, "maximum": 1}


def test_without_coordinates_structures_are_flat(clouds: PointClouds, tmp_path: Path) -> None:
    graph = PointClouds(clouds.ptr, {"categories": clouds["categories"]},
                        text={name: clouds.text[name] for name in ("id", "smiles")})
    write_molecules(tmp_path, explained(graph))
    mol = read(tmp_path)[0]
    assert not mol.GetConformer().Is3D()
    assert np.ptp(mol.GetConformer().GetPositions()[:, 0]) > 1
    assert Chem.MolToSmiles(mol) == "N[C@H](CO)C(=O)[O-]"
    assert flat(mol).GetNumAtoms() == 7


def test_all_files_or_none(clouds: PointClouds, tmp_path: Path) -> None:
    (tmp_path / SCRIPT).mkdir()  # in the way of the last one
    (tmp_path / SCRIPT / "x").write_text("")
    with pytest.raises(PellucidError, match=SCRIPT):
        write_molecules(tmp_path, explained(clouds))
    other = with_text(clouds, smiles=["C"] * 3, structure=["C"] * 3)
    with pytest.raises(PellucidError, match="another"):
        write_molecules(tmp_path / "new", explained(other))
    assert not (tmp_path / "new").exists()
