"""Features of atoms and bonds: right by known labels, the same in every order, and different in the mirror."""

import random
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from pellucid.chemistry import features
from pellucid.chemistry.features import (
    ATOM_CATEGORY_SIZES,
    ATOM_COLUMNS,
    BOND_CATEGORY_SIZES,
    BOND_COLUMNS,
    BOND_ORDERS,
    BOND_STEREO,
    CHIRALITY,
    HYBRIDISATIONS,
    RING_SIZES,
    molecule_features,
)

ZINC = (Path(__file__).parents[1] / "datasets" / "zinc_smiles.txt").read_text(encoding="utf-8").split()[::3]
STEREO = [
    "CC1=CN=C(C(=C1OC)C)C[S@](=O)C2=NC3=C(N2)C=C(C=C3)OC", "C[C@H]1CC[C@@H](C)CC1", "F/C=C/[C@H](C)Cl",
    "C/C=C\\C", "OC[C@H](O)[C@@H](O)[C@H](O)CO", "CC(C)(C)[P@](C)c1ccccc1", "C[C@@H](C(=O)N[C@@H](CS)C(=O)O)N",
    "C/C(=N\\O)c1ccccc1", "[O-][N+](=O)c1ccc([C@@H](O)[C@@H](CO)NC(=O)C(Cl)Cl)cc1",
    "C[C@]12CC[C@H]3[C@H]([C@@H]1CC[C@@H]2O)CCC4=CC(=O)CC[C@]34C",
]  # fmt: skip


def column(smiles, name):
    return molecule_features([Chem.MolFromSmiles(smiles)]).atoms[:, ATOM_COLUMNS.index(name)].tolist()


def labels(mol):
    return [CHIRALITY[c] for c in molecule_features([mol]).atoms[:, ATOM_COLUMNS.index("chirality")]]


def bonds(mol, name):
    """Of each bond, by its two atoms."""
    made = molecule_features([mol])
    return {tuple(ends): value for ends, value in zip(made.edge_index.tolist(),
                                                      made.edges[:, BOND_COLUMNS.index(name)].tolist(), strict=True)}


def test_every_column_of_known_molecules():
    assert column("C[Si](C)(C)[Se]*", "element") == [6, 14, 6, 6, 34, 0]
    assert column("C[N+](C)(C)CC(=O)[O-]", "charge") == [2, 3, 2, 2, 2, 2, 2, 1]
    assert column("[Al+3]", "charge") == [4]  # clipped to +2
    assert column("C[NH3+]", "hydrogens") == [3, 3]
    assert column("CC(C)(C)O", "degree") == [1, 4, 1, 1, 1]
    assert column("Cc1ccccc1", "aromatic") == [0, 1, 1, 1, 1, 1, 1]
    assert [HYBRIDISATIONS[h] for h in column("CC#N", "hybridisation")] == ["SP3", "SP", "SP"]
    assert [HYBRIDISATIONS[h] for h in column("FS(F)(F)(F)(F)F", "hybridisation")][1] == "SP3D2"
    assert [RING_SIZES[r] for r in column("CC1CC1", "ring")] == ["none", "3", "3", "3"]
    assert [RING_SIZES[r] for r in column("C1CCC2(CC1)CCC2", "ring")] == ["6", "6", "6", "4", "6", "6", "4", "4", "4"]
    assert set(column("C1" + "C" * 11 + "1", "ring")) == {RING_SIZES.index("8 or more")}


def test_sizes_hold_every_element():
    ions = [Chem.MolFromSmiles(f"[#{number}]") for number in range(1, 119)]
    made = molecule_features(ions)
    assert made.atoms[:, 0].tolist() == list(range(1, 119))
    assert (made.atoms < np.array(ATOM_CATEGORY_SIZES)).all()
    assert len(ATOM_COLUMNS) == len(ATOM_CATEGORY_SIZES)
    assert len(BOND_COLUMNS) == len(BOND_CATEGORY_SIZES)


@pytest.mark.parametrize(("smiles", "label"), [
    # Esomeprazole is the S enantiomer, by its name; RDKit's older labels call it R.
    ("CC1=CN=C(C(=C1OC)C)C[S@](=O)C2=NC3=C(N2)C=C(C=C3)OC", "S"),
    ("CC1=CN=C(C(=C1OC)C)C[S@@](=O)C2=NC3=C(N2)C=C(C=C3)OC", "R"),
    ("C[C@@H](C(=O)O)N", "S"),  # L-alanine
    ("N[C@@H](CS)C(=O)O", "R"),  # L-cysteine, R for its sulfur
    ("C[C@H](O)C(=O)O", "S"),  # L-lactic acid
    ("CC(C)Cc1ccc([C@H](C)C(=O)O)cc1", "S"),  # dexibuprofen
])
def test_labels_of_known_compounds(smiles, label):
    assert [found for found in labels(Chem.MolFromSmiles(smiles)) if found] == [label]


def test_double_bonds_and_the_labels_that_are_their_own_mirror_images():
    for smiles, label in (("C/C=C/C", "E"), ("C/C=C\\C", "Z"), ("CC=CC", ""), ("F/C(Cl)=C(/Br)I", "E"),
                          ("F/C(Cl)=C(\\Br)I", "Z")):
        found = {BOND_STEREO[s] for s in bonds(Chem.MolFromSmiles(smiles), "stereo").values()}
        assert found == {"", label}
    assert labels(Chem.MolFromSmiles("C[C@H]1CC[C@@H](C)CC1"))[1] == "s"
    assert labels(Chem.MolFromSmiles("C[C@H]1CC[C@H](C)CC1"))[1] == "r"
    assert labels(Chem.MolFromSmiles("OC[C@H](O)[C@@H](O)[C@H](O)CO"))[2:7:2] == ["S", "r", "R"]
    assert labels(Chem.MolFromSmiles("CC(N)O")) == [""] * 4  # not specified


def test_bonds_of_known_molecules():
    orders = {ends: BOND_ORDERS[o] for ends, o in bonds(Chem.MolFromSmiles("CC=CC#Cc1ccccc1"), "order").items()}
    assert [orders[i, i + 1] for i in range(6)] == ["single", "double", "single", "triple", "single", "aromatic"]
    assert all(orders[b, a] == order for (a, b), order in orders.items())
    conjugated = bonds(Chem.MolFromSmiles("C=CC=CCC"), "conjugated")
    assert [conjugated[i, i + 1] for i in range(5)] == [1, 1, 1, 0, 0]
    assert bonds(Chem.MolFromSmiles("CC1CC1"), "ring")[0, 1] == 0
    assert bonds(Chem.MolFromSmiles("CC1CC1"), "ring")[1, 2] == 1
    assert BOND_ORDERS[bonds(Chem.MolFromSmiles("CN->[Pd]"), "order")[1, 2]] == "dative"
    assert BOND_ORDERS[bonds(Chem.MolFromSmiles("C~[Pd]"), "order")[0, 1]] == "other"


def test_no_order_of_the_atoms_changes_anything():
    shuffle = random.Random(0)
    for smiles in [*ZINC, *STEREO]:
        mol = Chem.MolFromSmiles(smiles)
        order = list(range(mol.GetNumAtoms()))
        shuffle.shuffle(order)
        again = Chem.MolFromSmiles(Chem.MolToSmiles(mol, doRandom=True))
        written = [int(i) for i in mol.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"]]
        first = molecule_features([mol])
        for other, places in ((Chem.RenumberAtoms(mol, order), order), (again, written)):
            second = molecule_features([other])
            np.testing.assert_array_equal(second.atoms, first.atoms[places], err_msg=smiles)
            for name in BOND_COLUMNS:
                found = {(places[a], places[b]): value for (a, b), value in bonds(other, name).items()}
                assert found == bonds(mol, name), (smiles, name)


def test_mirror_images_differ_in_their_labels_alone():
    swap = {"R": "S", "S": "R"}
    for smiles in STEREO:
        mol = Chem.MolFromSmiles(smiles)
        mirror = Chem.Mol(mol)
        for atom in mirror.GetAtoms():
            atom.InvertChirality()
        one, other = molecule_features([mol]), molecule_features([mirror])
        np.testing.assert_array_equal(one.atoms[:, :-1], other.atoms[:, :-1])
        np.testing.assert_array_equal(one.edges, other.edges)
        assert labels(mirror) == [swap.get(label, label) for label in labels(mol)]


def test_several_molecules_are_as_each_alone():
    mols = [Chem.MolFromSmiles(s) for s in [*STEREO, "C", *ZINC[:5]]]
    together, alone = molecule_features(mols), [molecule_features([mol]) for mol in mols]
    for name in ("sizes", "atoms", "edge_sizes", "edge_index", "edges"):
        np.testing.assert_array_equal(getattr(together, name), np.concatenate([getattr(one, name) for one in alone]))
    written = molecule_features(mols, [Chem.MolToSmiles(mol) for mol in mols])
    np.testing.assert_array_equal(written.atoms, together.atoms)
    assert molecule_features([]).atoms.shape == (0, len(ATOM_COLUMNS))


def test_molecules_are_not_changed():
    mol = Chem.MolFromSmiles(STEREO[0])
    before = [atom.GetPropsAsDict().get("_CIPCode") for atom in mol.GetAtoms()]
    molecule_features([mol])
    assert [atom.GetPropsAsDict().get("_CIPCode") for atom in mol.GetAtoms()] == before


def test_labels_that_take_too_long_are_given_up(monkeypatch):
    inositol, plain = Chem.MolFromSmiles("O[C@H]1[C@H](O)[C@@H](O)[C@H](O)[C@H](O)[C@@H]1O"), Chem.MolFromSmiles("CO")
    assert set(labels(inositol)) > {""}
    assert molecule_features([inositol]).unlabelled == []
    monkeypatch.setattr(features, "CIP_ITERATIONS", 100)
    made = molecule_features([plain, inositol])
    assert made.unlabelled == [1]
    assert not made.atoms[:, -1].any()


def test_an_axis_of_chirality():
    # BINOL: RDKit's own CIP labels of the two are P and M
    found = [bonds(Chem.MolFromSmiles(f"Oc1ccc2ccccc2c1-c1c(O)ccc2ccccc12{given}"), "stereo")[10, 11]
             for given in (" |wU:10.10|", " |wU:10.11|", "")]
    assert [BOND_STEREO[label] for label in found] == ["P", "M", ""]
