import csv
import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import AllChem

from pellucid.chemistry.complexes import Complex, complex_clouds
from pellucid.chemistry.contacts import Contacts
from pellucid.chemistry.ligands import Ligand
from pellucid.chemistry.molecules import ATOM_TYPES
from pellucid.chemistry.proteins import RESIDUE_TYPES, Protein
from pellucid.clouds import PointClouds
from pellucid.domains.structures import write_structures
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation

gemmi = pytest.importorskip("gemmi")

PLACES = [("A", -5, "", "GLY"), ("A", 27, "", "ASP"), ("A", 27, "A", "SER"), ("a", 27, "", "TRP"), ("", 27, "", "LYS"),
          ("", 28, "", "MSE")]


def made(places=tuple(PLACES), name="1abc", extra=()):
    """A complex of residues at (10 k, 0, 0) whose ligand is at the second; ``extra`` are no points of it."""
    structure = gemmi.Structure()
    structure.name = name
    model = gemmi.Model(1)
    atoms, owner = [], []
    for k, (chain, number, code, residue_name) in enumerate([*places, *extra]):
        residue = gemmi.Residue()
        residue.name, residue.seqid = residue_name, gemmi.SeqId(number, code or " ")
        for symbol, atom_name, shift in (("N", "N", -1.4), ("C", "CA", 0.0), ("C", "C", 1.5)):
            atom = gemmi.Atom()
            atom.name, atom.element, atom.pos = atom_name, gemmi.Element(symbol), gemmi.Position(10 * k + shift, 0, 0)
            atom.b_iso, atom.aniso = 33.0, gemmi.SMat33f(0.1, 0.1, 0.1, 0, 0, 0)
            residue.add_atom(atom)
            if k < len(places):
                atoms.append([10 * k + shift, 0, 0])
                owner.append(k)
        if model.find_last_chain(chain) is None:
            model.add_chain(gemmi.Chain(chain))
        model.find_last_chain(chain).add_residue(residue)
    structure.add_model(model)
    structure.setup_entities()
    n = len(places)
    pos = np.array([[10.0 * k, 0, 0] for k in range(n)])
    protein = Protein(name, pos, np.full(n, RESIDUE_TYPES.index("ASP")), np.ones(n), np.full(n, 33.0),
                      *(list(column) for column in zip(*places, strict=True)), np.array(atoms, dtype=float),
                      np.array(owner), structure, [])
    mol_h = Chem.AddHs(Chem.MolFromSmiles("CC(=O)N"))
    assert AllChem.EmbedMolecule(mol_h, randomSeed=1) == 0
    mol_h.GetConformer().SetPositions(mol_h.GetConformer().GetPositions() + np.array([10.0, 4.0, 0]))
    mol = Chem.RemoveHs(mol_h)
    ligand = Ligand("acetamide", mol, mol_h, mol.GetConformer().GetPositions(),
                    np.array([ATOM_TYPES.index(a.GetSymbol()) for a in mol.GetAtoms()]), np.zeros(4), "CC(N)=O")
    distance = np.abs(10.0 * np.arange(n) - 10) + 3.14159
    bond = np.arange(n) == 1
    return Complex(name, protein, ligand, Contacts(distance, bond, bond | (np.arange(n) == 2)))


def explained(*complexes, importance=None):
    clouds = complex_clouds(complexes, radius=15.0)
    if importance is None:
        importance = [float(k * 7 % clouds.points) for k in range(clouds.points)]
    return Explanation(clouds, torch.full((len(complexes), 1), 0.5), torch.tensor(importance), "importance",
                       columns={"spread": torch.full((clouds.points,), 0.25)})


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_is_sorted_and_says_all(tmp_path):
    whole = made()
    write_structures(tmp_path, explained(whole, importance=[0.5, 3.0, 2.0, -1.0, 0.25, 0.125]), [whole])
    rows = read_csv(tmp_path / "1abc_residues.csv")
    assert rows[:2] == [
        {"chain": "A", "number": "27", "insertion": "", "residue": "ASP", "importance": "3", "rank": "1", "pocket": "1",
         "contact": "hydrogen bond; hydrophobic", "distance_angstrom": "3.14", "spread": "0.25"},
        {"chain": "A", "number": "27", "insertion": "A", "residue": "SER", "importance": "2", "rank": "2",
         "pocket": "1", "contact": "hydrophobic", "distance_angstrom": "13.14", "spread": "0.25"}]
    assert [r["rank"] for r in rows] == ["1", "2", "3", "4", "5", "6"]
    assert rows[-1]["residue"] == "TRP"
    assert rows[-1]["contact"] == ""
    assert {r["number"] for r in rows if r["pocket"] == "1"} == {"-5", "27"}  # within 15 of (10, 4, 0): the first three


def test_the_table_of_elements(tmp_path):
    whole = made()
    one = explained(whole, whole, importance=[0.5, 3.0, 2.0, -1.0, 0.25, 0.125, 1.0, 0, 0, 0, 0, 2.0])
    clouds = one.clouds
    element = torch.tensor([0, 0, 1, 2, 3, 3] * 2)
    fields = {name: clouds[name] for name in clouds.names} | {"secondary_structure": element}
    names = json.dumps(["A:loop -5-27", "A:helix 27A", "a:loop 27", ":strand 27-28"])
    clouds = PointClouds(clouds.ptr, fields, text=clouds.text | {"secondary_structure_names": [names] * 2},
                         partner=clouds.partner)
    write_structures(tmp_path, replace(one, clouds=clouds), [whole, whole])
    assert read_csv(tmp_path / "1abc_elements.csv") == [
        {"chain": "A", "element": "helix 27A", "residues": "1", "importance": "2", "rank": "1", "in_pocket": "1"},
        {"chain": "A", "element": "loop -5-27", "residues": "2", "importance": "1.75", "rank": "2", "in_pocket": "2"},
        {"chain": "", "element": "strand 27-28", "residues": "2", "importance": "0.1875", "rank": "3",
         "in_pocket": "0"},
        {"chain": "a", "element": "loop 27", "residues": "1", "importance": "-1", "rank": "4", "in_pocket": "0"}]
    assert [r["element"] for r in read_csv(tmp_path / "1abc_2_elements.csv")[:2]] == ["strand 27-28", "loop -5-27"]


def b_factors(path):
    structure = gemmi.read_structure(str(path))
    return {(chain.name, str(r.seqid).strip(), r.name): {round(a.b_iso, 2) for a in r}
            for chain in structure[0] for r in chain}


def test_percentiles_stand_in_the_b_factor_column(tmp_path):
    whole = made(extra=[("a", 99, "", "ALA")])
    write_structures(tmp_path, explained(whole, importance=[0.5, 3.0, 0.5, -1.0, 7.0, 0.125]), [whole])
    found = b_factors(tmp_path / "1abc_importance.pdb")
    expected = [3.5, 5, 3.5, 1, 6, 2]  # ranks, ties shared, of 6
    assert found == {**{(chain, f"{number}{code}", name): {round(100 * rank / 6, 2)}
                        for (chain, number, code, name), rank in zip(PLACES, expected, strict=True)},
                     ("a", "99", "ALA"): {0.0}}
    text = (tmp_path / "1abc_importance.pdb").read_text()
    remarks = " ".join(line[11:] for line in text.splitlines() if line.startswith("REMARK 999"))
    assert "percentile, from 0 to 100, of the residue's importance" in remarks
    assert "ANISOU" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert {a.b_iso for chain in whole.protein.structure[0] for r in chain for a in r} == {33.0}  # the user's own


@pytest.mark.parametrize("places", [
    [("AAA", 25, "", "ASP"), ("A-2", 25, "B", "GLY")], [("A", 12345, "", "ASP")], [("A", 1, "", "A1B2C")]])
def test_what_pdb_cannot_hold_is_mmcif(tmp_path, places):
    whole = made(places)
    files = write_structures(tmp_path, explained(whole), [whole])
    assert tmp_path / "1abc_importance.cif" in files
    assert set(b_factors(tmp_path / "1abc_importance.cif")) == {(c, f"{n}{i}", r) for c, n, i, r in places}
    assert "percentile" in (tmp_path / "1abc_importance.cif").read_text().splitlines()[0]
    for script in ("1abc.pml", "1abc.cxc"):
        assert "1abc_importance.cif" in (tmp_path / script).read_text()


def test_many_atoms_are_mmcif(tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.domains.structures.PDB_ATOMS", 17)
    whole = made()
    assert tmp_path / "1abc_importance.cif" in write_structures(tmp_path, explained(whole), [whole])


def test_the_ligand_keeps_its_pose(tmp_path):
    whole = made()
    write_structures(tmp_path, explained(whole), [whole])
    mol = next(Chem.SDMolSupplier(str(tmp_path / "1abc_ligand.sdf")))
    np.testing.assert_allclose(mol.GetConformer().GetPositions(), whole.ligand.pos, atol=1e-4)
    assert Chem.MolToSmiles(mol) == "CC(N)=O"


MANY = [(chain, number, "", "ALA") for chain in ("A", "B") for number in range(1, 41)] + [("B", 40, "C", "ALA")]


@pytest.mark.parametrize("places", [PLACES, MANY, [("AAA", 25, "", "ASP"), ("A-2", -25, "B", "GLY")],
                                    [("", 1, "", "GLY"), ("", 2, "", "ASP")]])
def test_both_scripts_select_the_same_residues_as_the_table(tmp_path, places):
    whole = made(places)
    explanation = explained(whole)
    write_structures(tmp_path, explanation, [whole])
    rows = read_csv(tmp_path / "1abc_residues.csv")

    def of(chosen):
        return {(r["chain"], r["number"] + r["insertion"]) for r in rows if chosen(r)}
    pocket, top = of(lambda r: r["pocket"] == "1"), of(lambda r: int(r["rank"]) <= 20)
    assert len(top) == min(20, len(places))
    assert len(pocket) > 0
    pml, cxc = (tmp_path / "1abc.pml").read_text(), (tmp_path / "1abc.cxc").read_text()
    for name, expected in (("pocket", pocket), ("top", top)):
        assert in_pymol(pml, f"1abc_{name}") == expected
        assert in_chimerax(cxc, f"{name}_1abc", {place[0] for place in places}) == expected


def in_pymol(script, name):
    """What PyMOL's select commands add up to; each has a chain in quotes and numbers with escaped signs."""
    first, *more = re.findall(rf"^select {name}, (.*)$", script, re.M)
    assert first == "none"
    found = set()
    for line in more:
        chain, numbers = re.fullmatch(rf"{name} or \(1abc_protein and chain '([^']*)' and resi ([\w\\+-]+)\)",
                                      line).groups()
        assert not re.search(r"(?<!\\)-", numbers)
        found |= {(chain, number.replace("\\", "")) for number in numbers.split("+")}
    return found


def in_chimerax(script, name, chains):
    """What a specifier of ChimeraX stands for: a model's name, then /chain, //chain_id="...", or all but some."""
    model, found = "##name=1abc_protein", set()
    for part in re.search(rf"^name frozen {name} (.*)$", script, re.M)[1].split(" | "):
        blank = re.fullmatch(rf"\({model}:(.*?)((?: & ~{model}/\w+)+)\)", part)
        named = re.fullmatch(rf"{model}/(\w+):(.*)", part)
        quoted = re.fullmatch(rf'{model}//chain_id="([^"]+)":(.*)', part)
        if blank:
            assert set(re.findall(r"/(\w+)", blank[2])) == chains - {""}
            chain, numbers = "", blank[1]
        elif named or quoted:
            chain, numbers = (named or quoted).groups()
        else:
            assert chains == {""}
            chain, numbers = "", re.fullmatch(rf"{model}:(.*)", part)[1]
        for number in numbers.split(","):
            assert re.fullmatch(r"-?\d+[A-Z]?", number)
            found.add((chain, number))
    return found


def test_scripts_open_what_lies_beside_them(tmp_path):
    whole = made(name="7xyz model/1")
    files = write_structures(tmp_path, explained(whole), [whole])
    assert sorted(p.name for p in files) == sorted(p.name for p in tmp_path.iterdir())
    for script in ("7xyz_model_1.pml", "7xyz_model_1.cxc"):
        text = (tmp_path / script).read_text()
        opened = re.findall(r"^(?:load|open) ([^ ,]+)", text, re.M)
        assert len(opened) == 2
        assert all((tmp_path / name).is_file() for name in opened)
        colours = re.findall(r"(?:#|0x)([0-9a-f]{6})", next(line for line in text.splitlines() if "bfactor" in line
                                                          or line.startswith("spectrum b")))
        assert colours == ["e7e1d4", "ef9f5f", "eb4b52", "af1d7d", "5a217c"]  # pale to dark
        assert all(";" not in line for line in text.splitlines() if line.startswith("#"))  # it would end a comment


def test_each_complex_has_its_own_files(tmp_path):
    two = [made(name="1abc"), made(places=PLACES[:3], name="1ABC")]
    files = write_structures(tmp_path, explained(*two), two)
    assert len({p.name.lower() for p in files}) == 10
    assert len(read_csv(tmp_path / "1ABC_2_residues.csv")) == 3
    ranks = [[int(r["rank"]) for r in read_csv(tmp_path / f"{name}_residues.csv")] for name in ("1abc", "1ABC_2")]
    assert ranks == [[1, 2, 3, 4, 5, 6], [1, 2, 3]]


def test_other_complexes_are_refused_and_nothing_is_half_written(tmp_path):
    whole, other = made(), made(places=PLACES[:3])
    with pytest.raises(PellucidError, match=r"of \[6\] residues, got \[3\]"):
        write_structures(tmp_path / "out", explained(whole), [other])
    assert not (tmp_path / "out").exists()
    (tmp_path / "taken" / "1abc.cxc").mkdir(parents=True)  # the last of the files cannot be written
    with pytest.raises(PellucidError, match="expected to write"):
        write_structures(tmp_path / "taken", explained(whole), [whole])
    assert [p.name for p in itertools.chain((tmp_path / "taken").iterdir())] == ["1abc.cxc"]
