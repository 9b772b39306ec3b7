"""Which atoms become points, and when two ways of writing are one molecule."""

import random
from pathlib import Path

import pytest
from rdkit import Chem

from pellucid.chemistry.preparation import HYDROGEN_STEREO, ISOTOPES, SALT, Note, identity, prepare, summarised

ZINC = (Path(__file__).parents[1] / "datasets" / "zinc_smiles.txt").read_text(encoding="utf-8").split()[::6]


def prepared(smiles, fragments="largest"):
    made = prepare(Chem.MolFromSmiles(smiles), fragments)
    return None if made.mol is None else Chem.MolToSmiles(made.mol), made


@pytest.mark.parametrize(("smiles", "kept", "atoms", "removed"), [
    ("[Na+].CC(=O)[O-]", "CC(=O)[O-]", (1, 2, 3, 4), "without [Na+]"),
    ("CCN.Cl.Cl", "CCN", (0, 1, 2), "without Cl"),
    ("OCC.[K+].CCCC", "CCCC", (4, 5, 6, 7), "without CCO.[K+]"),
    ("O[P](O)(O)=O.CC", "CC", (5, 6), "without O=P(O)(O)O"),  # the acid is larger, but not organic
    ("CCO.CCN", "CCO", (0, 1, 2), "without CCN"),  # of equals the heavier
    ("CCN.OCC", "CCO", (3, 4, 5), "without CCN"),  # in whatever order
    ("c1ccccc1.[Fe+2].CCCCC", "c1ccccc1", (0, 1, 2, 3, 4, 5), "without CCCCC.[Fe+2]"),
])
def test_of_a_salt_the_largest_organic_part_stays(smiles, kept, atoms, removed):
    found, made = prepared(smiles)
    assert (found, made.atoms, made.notes, made.error) == (Chem.CanonSmiles(kept), atoms, (Note(SALT, removed),), "")
    given = Chem.MolFromSmiles(smiles)
    assert [given.GetAtomWithIdx(i).GetSymbol() for i in atoms] == [a.GetSymbol() for a in made.mol.GetAtoms()]


@pytest.mark.parametrize(("smiles", "fragments", "reason"), [
    ("[Na+].CC(=O)[O-]", "refuse", "it consists of 2 separate parts (a salt or a mixture); keep the largest"),
    ("[Na+].[Cl-]", "largest", "2 separate parts, none of which has a carbon"),
    ("O.O", "largest", "2 separate parts, none of which has a carbon"),
    ("[H][H]", "largest", "no atoms but hydrogen"),
    ("[2H][2H]", "largest", "no atoms but hydrogen"),
    ("C" * 1001, "largest", "it has 1001 heavy atoms, more than the 1000"),
])
def test_what_is_refused_has_one_sentence(smiles, fragments, reason):
    found, made = prepared(smiles, fragments)
    assert found is None
    assert reason in made.error
    assert "\n" not in made.error


def test_parts_stay_together_where_that_is_asked():
    assert prepared("[Na+].CC(=O)[O-]", "whole")[0] == "CC(=O)[O-].[Na+]"


@pytest.mark.parametrize(("smiles", "kept", "atoms", "what"), [
    ("[2H]OC", "CO", (1, 2), ISOTOPES),
    ("[2H]C([2H])([2H])c1ccccc1", "Cc1ccccc1", (1, 4, 5, 6, 7, 8, 9), ISOTOPES),
    ("[3H]c1ccccc1", "c1ccccc1", (1, 2, 3, 4, 5, 6), ISOTOPES),
    ("C[C@]([2H])(O)F", "C[C@H](O)F", (0, 1, 3, 4), ISOTOPES),  # the centre stays
    ("N[C@@H]([2H])C(=O)O", "NCC(=O)O", (0, 1, 3, 4, 5), ISOTOPES),  # a centre by its deuterium alone
    ("[H]/N=C(\\C)CC", "CCC(C)=N", (1, 2, 3, 4, 5), HYDROGEN_STEREO),
    ("[2H]O[2H]", "O", (1,), ISOTOPES),
])
def test_hydrogens_of_any_isotope_are_no_points(smiles, kept, atoms, what):
    found, made = prepared(smiles)
    assert (found, made.atoms, [note.what for note in made.notes]) == (kept, atoms, [what])
    assert not any(atom.GetAtomicNum() == 1 for atom in made.mol.GetAtoms())


def test_explicit_hydrogens_are_counted_and_nothing_is_said():
    mol = Chem.AddHs(Chem.MolFromSmiles("C[C@H](N)C(=O)[O-]"))
    made = prepare(mol)
    assert (made.atoms, made.notes) == ((0, 1, 2, 3, 4, 5), ())
    assert [atom.GetTotalNumHs() for atom in made.mol.GetAtoms()] == [3, 1, 2, 0, 0, 0]
    assert Chem.MolToSmiles(made.mol) == "C[C@H](N)C(=O)[O-]"
    assert mol.GetNumAtoms() == 12  # not changed


@pytest.mark.parametrize("smiles", ["[13CH3]O", "C[NH3+]", "Oc1ccccn1", "O=c1cccc[nH]1", "*CCO", "C[Si](C)(C)C",
                                    "C/C=C/C", "CN->[Pd]", "[CH3]", "OB(O)c1ccccc1"])
def test_charges_tautomers_isotopes_and_dummies_stay(smiles):
    mol = Chem.MolFromSmiles(smiles)
    made = prepare(mol)
    assert made.mol is mol
    assert made.notes == ()


def test_a_salt_with_deuterium_and_stereo():
    found, made = prepared("Cl.[2H]O[C@@H](C)[C@H](C)N")
    assert found == Chem.CanonSmiles("O[C@@H](C)[C@H](C)N")
    assert made.atoms == (2, 3, 4, 5, 6, 7)
    assert [note.what for note in made.notes] == [ISOTOPES, SALT]


def test_identity_does_not_depend_on_how_a_molecule_is_written():
    shuffle = random.Random(1)
    for smiles in [*ZINC, "C[S@](=O)CC", "C[C@H]1CC[C@@H](C)CC1", "F/C=C/[C@H](C)Cl", "[Na+].CC(=O)[O-]"]:
        mol = Chem.MolFromSmiles(smiles)
        order = list(range(mol.GetNumAtoms()))
        shuffle.shuffle(order)
        mapped = Chem.Mol(mol)
        for atom in mapped.GetAtoms():
            atom.SetAtomMapNum(atom.GetIdx() + 1)
        ways = [Chem.RenumberAtoms(mol, order), Chem.AddHs(mol), mapped,
                Chem.MolFromSmiles(Chem.MolToSmiles(mol, doRandom=True))]
        for stereo in (True, False):
            assert {identity(way, stereo=stereo) for way in ways} == {identity(mol, stereo=stereo)}
        assert mapped.GetAtomWithIdx(0).GetAtomMapNum() == 1  # not changed


def test_identity_tells_apart_what_is_not_the_same():
    def of(*smiles, stereo=True):
        return len({identity(Chem.MolFromSmiles(s), stereo=stereo) for s in smiles})

    mirror, double, labelled = ("C[C@H](N)O", "C[C@@H](N)O"), ("C/C=C/C", "C/C=C\\C"), ("CO", "[2H]CO", "[13CH3]O")
    for stereoisomers in (mirror, double, labelled):
        assert of(*stereoisomers) == len(stereoisomers)
        assert of(*stereoisomers, stereo=False) == 1
    for tautomers in (("Oc1ccccn1", "O=c1cccc[nH]1"), ("CC(=O)O", "CC(=O)[O-]"), ("CC", "CC.Cl")):
        assert of(*tautomers, stereo=False) == 2


def test_notes_become_one_sentence_a_kind():
    notes = [("a", Note(SALT, "without Cl")), ("b", Note(ISOTOPES)), *[(name, Note(SALT, "without [Na+]"))
                                                                       for name in "cde"]]
    assert summarised(notes) == [f"{SALT}: 4 (a without Cl, c without [Na+], d without [Na+] and 1 more)",
                                 f"{ISOTOPES}: 1 (b)"]
    assert summarised([]) == []
