import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from peptides import Peptide, acetone, ligand, molecule, moved, protein, unit
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from pellucid.chemistry.contacts import _prolif, contacts, pocket
from pellucid.chemistry.ligands import read_ligand
from pellucid.chemistry.proteins import read_protein
from pellucid.errors import MissingPackageError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "plbind"


def butane(peptide, distance):
    """With a middle carbon beyond the CG of a leucine in the middle of a tripeptide."""
    ends = (peptide.at(1, "CB") + peptide.at(1, "CD1") + peptide.at(1, "CD2")) / 3
    direction = unit(peptide.at(1, "CG") - ends)
    return molecule("CCCC", 1, 2, peptide.at(1, "CG") + distance * direction, direction)


def polar_hydrogens_only(peptide):
    heavy = [(row[2], row[3]) for row in peptide.rows if row[2] != "H"]
    return peptide.drop(lambda row: row[2] == "H" and min(heavy, key=lambda h: np.linalg.norm(h[1] - row[3]))[0] == "C")


@pytest.mark.parametrize("change", [lambda p: p, polar_hydrogens_only, Peptide.without_hydrogens])
def test_the_hydroxyl_of_a_serine_gives_a_hydrogen_bond_to_a_carbonyl(tmp_path, change):
    peptide = Peptide("GSG")
    near, far = acetone(peptide, 2.8), acetone(peptide, 6.0)
    change(peptide)
    found = contacts(protein(tmp_path, peptide), ligand(tmp_path, near))
    assert found.hydrogen_bond.tolist() == [False, True, False]
    assert not found.hydrophobic.any()
    assert found.distance[1] == pytest.approx(2.8, abs=2e-3)
    assert found.notes == []
    found = contacts(protein(tmp_path, peptide), ligand(tmp_path, far))
    assert not found.hydrogen_bond.any()
    assert found.distance[1] == pytest.approx(6.0, abs=2e-3)


def test_the_angle_counts_where_there_are_hydrogens(tmp_path):
    peptide = Peptide("GSG")
    oxygen, carbon, hydrogen = (peptide.at(1, name) for name in ("OG", "CB", "HG"))
    # The same distance, but as far to the other side of the C-O bond as the hydrogen is on this one.
    axis = unit(carbon - oxygen)
    direction = unit(2 * (hydrogen - oxygen) @ axis * axis - (hydrogen - oxygen))
    mol = molecule("CC(C)=O", 3, 1, oxygen + 2.8 * direction, direction)
    assert not contacts(protein(tmp_path, peptide), ligand(tmp_path, mol)).hydrogen_bond[1]
    # Without, the hydroxyl may turn.
    peptide.without_hydrogens()
    assert contacts(protein(tmp_path, peptide), ligand(tmp_path, mol)).hydrogen_bond[1]


@pytest.mark.parametrize("change", [lambda p: p, Peptide.without_hydrogens])
def test_leucine_and_butane_are_a_hydrophobic_contact(tmp_path, change):
    peptide = Peptide("GLG", seed=3)
    near, far = butane(peptide, 4.0), butane(peptide, 6.0)
    change(peptide)
    found = contacts(protein(tmp_path, peptide), ligand(tmp_path, near))
    assert found.hydrophobic.tolist() == [False, True, False]
    assert not found.hydrogen_bond.any()
    assert not contacts(protein(tmp_path, peptide), ligand(tmp_path, far)).hydrophobic.any()


@pytest.mark.parametrize("nitrogen", ["ND1", "NE2"])
def test_histidine_takes_a_hydrogen_bond_where_it_has_no_hydrogen(tmp_path, nitrogen):
    bare, taken = nitrogen, {"ND1": "NE2", "NE2": "ND1"}[nitrogen]
    peptide = Peptide("GHG", seed=2)
    outward = {name: unit(2 * peptide.at(1, name) - peptide.at(1, "CE1") - peptide.at(1, other))
               for name, other in (("ND1", "CG"), ("NE2", "CD2"))}
    peptide.drop(lambda row: row[0] == 1 and row[1] in ("HD1", "HE2") and row[2] == "H"
                 and np.linalg.norm(row[3] - peptide.at(1, "NE2")) < 1.2)
    peptide.rows.append([1, f"H{taken[1:]}", "H", peptide.at(1, taken) + 1.0 * outward[taken]])
    peptide.rows.sort(key=lambda row: row[0])
    # Of an ammonium, which gives hydrogen bonds and takes none, a hydrogen points at the nitrogen.
    mol = molecule("C[NH3+]", 1, 5, peptide.at(1, bare) + 2.9 * outward[bare], -outward[bare])
    assert mol.GetAtomWithIdx(5).GetNeighbors()[0].GetSymbol() == "N"
    assert contacts(protein(tmp_path, peptide), ligand(tmp_path, mol)).hydrogen_bond[1]
    peptide.rows.insert(-1, [1, f"H{bare[1:]}", "H", peptide.at(1, bare) + 1.0 * outward[bare]])
    peptide.rows.sort(key=lambda row: row[0])
    assert not contacts(protein(tmp_path, peptide), ligand(tmp_path, mol)).hydrogen_bond[1]


@pytest.mark.parametrize(("nitrogen", "other"), [("ND1", "CG"), ("NE2", "CD2")])
def test_histidine_gives_at_both_nitrogens_where_its_hydrogens_are_not_known(tmp_path, nitrogen, other):
    peptide = polar_hydrogens_only(Peptide("GHG", seed=2))
    place = peptide.at(1, nitrogen)
    outward = unit(2 * place - peptide.at(1, "CE1") - peptide.at(1, other))
    peptide.drop(lambda row: row[2] == "H" and np.linalg.norm(row[3] - peptide.at(1, "NE2")) < 1.2)
    mol = molecule("CC(C)=O", 3, 1, place + 2.9 * outward, outward)
    assert contacts(protein(tmp_path, peptide), ligand(tmp_path, mol)).hydrogen_bond[1]


@pytest.mark.parametrize("change", [lambda p: p, polar_hydrogens_only, Peptide.without_hydrogens])
def test_an_amide_gives_a_hydrogen_bond(tmp_path, change):
    peptide = Peptide("GAG", seed=1)
    nitrogen = peptide.at(1, "N")
    outward = unit(2 * nitrogen - peptide.at(1, "CA") - peptide.at(0, "C"))
    mol = molecule("CC(C)=O", 3, 1, nitrogen + 3.0 * outward, outward)
    assert contacts(protein(tmp_path, change(peptide)), ligand(tmp_path, mol)).hydrogen_bond[1]


@pytest.mark.parametrize("change", [lambda p: p, polar_hydrogens_only, Peptide.without_hydrogens])
def test_an_amide_nitrogen_takes_no_hydrogen_bond(tmp_path, change):
    peptide = Peptide("GAG", seed=1)
    nitrogen, alpha, before = peptide.at(1, "N"), peptide.at(1, "CA"), peptide.at(0, "C")
    normal = unit(np.cross(alpha - nitrogen, before - nitrogen))
    found = []
    for side in (normal, -normal):
        mol = molecule("CO", 1, 5, nitrogen + 2.9 * side, -side)
        found.append(contacts(protein(tmp_path, change(peptide)), ligand(tmp_path, mol)))
    assert not any(one.hydrogen_bond[1] for one in found)
    assert all(one.distance[1] < 3.5 for one in found)


def test_contacts_turn_and_move_with_the_complex(tmp_path):
    peptide = Peptide("LSL", seed=4)
    mol = acetone(peptide, 2.9)
    before = contacts(protein(tmp_path, peptide), ligand(tmp_path, mol))
    assert before.hydrogen_bond[1]
    for i, turn in enumerate(Rotation.random(3, random_state=5)):
        shift = np.array([50.0, -20.0, 7.0]) * i
        after = contacts(protein(tmp_path, Peptide("LSL", seed=4).moved(turn, shift)),
                         ligand(tmp_path, moved(mol, turn, shift)))
        np.testing.assert_array_equal(after.hydrogen_bond, before.hydrogen_bond)
        np.testing.assert_array_equal(after.hydrophobic, before.hydrophobic)
        np.testing.assert_allclose(after.distance, before.distance, atol=3e-3)


def test_insertion_codes_and_chains_are_kept_apart(tmp_path):
    peptide, other = Peptide("GSG"), Peptide("GSG").moved(Rotation.identity(), [0, 0, 40])
    peptide.labels = [("B", 52, " "), ("B", 52, "A"), ("B", 52, "B")]
    other.labels = [("A", 52, " "), ("A", 52, "A"), ("A", 52, "B")]
    whole = protein(tmp_path, other, peptide)
    found = contacts(whole, ligand(tmp_path, acetone(peptide, 2.8)))
    assert [whole.labels[i] for i in np.flatnonzero(found.hydrogen_bond)] == ["B:SER52A"]


def test_chains_whose_parts_are_apart_in_the_file(tmp_path):
    first, second, third = (Peptide("GSG").moved(Rotation.identity(), [0, 0, 40 * i]) for i in range(3))
    for peptide, chain, start in ((first, "A", 1), (second, "B", 1), (third, "A", 11)):
        peptide.labels = [(chain, start + i, " ") for i in range(3)]
    whole = protein(tmp_path, first, second, third)
    for peptide, label in ((first, "A:SER2"), (second, "B:SER2"), (third, "A:SER12")):
        found = contacts(whole, ligand(tmp_path, acetone(peptide, 2.8)))
        assert [whole.labels[i] for i in np.flatnonzero(found.hydrogen_bond)] == [label]


def test_an_unknown_residue_has_a_distance_and_a_note(tmp_path):
    peptide = Peptide("GSG")
    mol = acetone(peptide, 2.8)
    peptide.names[1] = "XYZ"
    found = contacts(protein(tmp_path, peptide), ligand(tmp_path, mol))
    assert found.distance[1] == pytest.approx(2.8, abs=2e-3)
    assert not found.hydrogen_bond.any()
    assert len(found.notes) == 1
    assert "A:XYZ2" in found.notes[0]


def test_residues_that_rdkit_refuses_do_not_lose_the_others(tmp_path):
    peptide = Peptide("GSGG", seed=2)
    mol = acetone(peptide, 2.8)
    # A glycine of another chain lies upon the last one of this.
    on_top = Peptide("GSGG", seed=2).moved(Rotation.identity(), [0.4, 0.4, 0.4]).drop(lambda row: row[0] != 3)
    on_top.labels = [("B", i, " ") for i in range(4)]
    found = contacts(protein(tmp_path, peptide, on_top), ligand(tmp_path, mol))
    assert found.hydrogen_bond.tolist() == [False, True, False, False, False]
    # All of them upon each other: nothing is left to look at.
    all_on_top = Peptide("GSGG", seed=2).moved(Rotation.identity(), [0.4, 0.4, 0.4])
    all_on_top.labels = [("B", i, " ") for i in range(4)]
    found = contacts(protein(tmp_path, peptide, all_on_top), ligand(tmp_path, mol))
    assert not found.hydrogen_bond.any()
    assert "A:SER2, B:SER1" in found.notes[0]


def test_residues_with_holes_or_further_atoms_have_a_note(tmp_path):
    peptide = Peptide("GLG", seed=3)
    mol = butane(peptide, 4.0)
    holed = Peptide("GLG", seed=3).drop(lambda row: row[:2] == [1, "CB"])
    assert "A:LEU2" in contacts(protein(tmp_path, holed), ligand(tmp_path, mol)).notes[0]
    phosphorylated = Peptide("GSG")
    mol = acetone(phosphorylated, 2.8)
    oxygen, carbon = phosphorylated.at(1, "OG"), phosphorylated.at(1, "CB")
    phosphorylated.without_hydrogens().names[1] = "SEP"
    phosphorylated.rows.insert(10, [1, "P", "P", oxygen + 1.6 * unit(oxygen - carbon)])
    found = contacts(protein(tmp_path, phosphorylated), ligand(tmp_path, mol))
    assert not found.hydrogen_bond.any()
    assert "A:SEP2" in found.notes[0]


def test_selenomethionine_is_looked_at_as_methionine(tmp_path):
    peptide = Peptide("GMG", seed=2)
    direction = unit(2 * peptide.at(1, "SD") - peptide.at(1, "CG") - peptide.at(1, "CE"))
    mol = molecule("CCCC", 1, 2, peptide.at(1, "SD") + 4.0 * direction, direction)
    expected = contacts(protein(tmp_path, peptide.without_hydrogens()), ligand(tmp_path, mol))
    peptide.names[1] = "MSE"
    for row in peptide.rows:
        if row[1] == "SD":
            row[1:3] = "SE", "Se"
    found = contacts(protein(tmp_path, peptide), ligand(tmp_path, mol))
    assert found.notes == []
    assert found.hydrophobic[1]
    np.testing.assert_array_equal(found.hydrophobic, expected.hydrophobic)


def test_distances_alone_and_the_pocket(tmp_path):
    peptide = Peptide("GSGLAG", seed=3)
    whole, small = protein(tmp_path, peptide), ligand(tmp_path, acetone(peptide, 2.8))
    found = contacts(whole, small, interactions=False)
    assert not found.hydrogen_bond.any()
    assert not found.hydrophobic.any()
    atoms = cdist(whole.atoms, small.pos).min(1)
    np.testing.assert_allclose(found.distance, [atoms[whole.atom_residue == i].min() for i in range(6)])
    alphas = cdist(whole.pos, small.pos).min(1)
    radius = float(np.sort(alphas)[2])
    assert pocket(whole, small, radius).sum() == 3
    np.testing.assert_array_equal(pocket(whole, small, radius - 1e-6), alphas < radius)
    assert pocket(whole, small).all()


def test_a_ligand_out_of_reach(tmp_path):
    peptide = Peptide("GSG")
    found = contacts(protein(tmp_path, peptide), ligand(tmp_path, acetone(peptide, 30.0)))
    assert found.distance.min() > 20
    assert found.notes == []


def test_without_prolif(tmp_path, monkeypatch):
    peptide = Peptide("GSG")
    whole, small = protein(tmp_path, peptide), ligand(tmp_path, acetone(peptide, 2.8))
    _prolif.cache_clear()
    monkeypatch.setitem(sys.modules, "prolif", None)
    with pytest.raises(MissingPackageError, match=r"expected ProLIF .*pip install 'pellucid\[proteins\]'"):
        contacts(whole, small)
    assert contacts(whole, small, interactions=False).distance[1] < 3


def test_prolif_is_loaded_without_a_word():
    code = "from pellucid.chemistry.contacts import _prolif; _prolif()"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.shared
@pytest.mark.parametrize("name", ["10gs", "1a30", "3ov1", "6wtn", "plb_thrombin_lig_3a"])
def test_real_complexes(name):
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED}")
    with (SHARED / "index.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row["id"] == name)
    small = read_ligand(SHARED / row["ligand_file"])
    whole = read_protein(SHARED / row["protein_file"], near=small.pos, chains="all")
    found = contacts(whole, small)
    assert (found.distance <= 4.5).sum() == int(row["n_contact_res_4p5A"])
    assert pocket(whole, small, 10.0).sum() == int(row["n_pocket_res_ca10A"])
    assert found.hydrogen_bond.any()
    assert found.notes == []
    symbols = np.array([atom.GetSymbol() for atom in small.mol.GetAtoms()])
    elements = np.array([a.element.name for c in whole.structure[0] for r in c for a in r if not a.is_hydrogen()])
    polar, greasy = np.isin(symbols, ["N", "O", "S", "F"]), np.isin(symbols, ["C", "S", "Br", "I"])
    for i in np.flatnonzero(found.hydrogen_bond):
        own = (whole.atom_residue == i) & np.isin(elements, ["N", "O", "S"])
        assert cdist(whole.atoms[own], small.pos[polar]).min() <= 3.501
    for i in np.flatnonzero(found.hydrophobic):
        own = (whole.atom_residue == i) & np.isin(elements, ["C", "S"])
        assert cdist(whole.atoms[own], small.pos[greasy]).min() <= 4.501


@pytest.mark.shared
def test_hydrogen_bonds_hardly_depend_on_whether_the_file_has_hydrogens():
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED}")
    with (SHARED / "index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["tier"] == "modelled"][::120]
    both = either = 0
    for row in rows:
        small = read_ligand(SHARED / row["ligand_file"])
        whole = read_protein(SHARED / row["protein_file"], near=small.pos)
        bare = whole.structure.clone()
        bare.remove_hydrogens()
        a, b = (contacts(one, small).hydrogen_bond for one in (whole, replace(whole, structure=bare)))
        both += (a & b).sum()
        either += (a | b).sum()
    assert both / either > 0.7
