import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import AllChem

from pellucid.chemistry import (
    MoleculeRecipe,
    MoleculeRecord,
    conformer,
    encode_molecules,
    molecule_clouds,
    molecule_of,
    read_molecules,
)
from pellucid.chemistry.encoding import FLAT, RELAXED
from pellucid.chemistry.features import ATOM_CATEGORY_SIZES, BOND_CATEGORY_SIZES, molecule_features
from pellucid.chemistry.preparation import ISOTOPES, SALT, identity
from pellucid.errors import PellucidError

CASES = Path(__file__).parents[2] / "../shared/cases/molecules"
OLD, FULL = MoleculeRecipe(), MoleculeRecipe("full", "3d", 1, "largest")
GRAPH = MoleculeRecipe("full", "graph", 1, "largest")
RECIPES = [OLD, FULL, GRAPH, MoleculeRecipe("full", "3d", 3, "largest"), MoleculeRecipe("elements", "graph")]
TRICKY = ["CC1=CN=C(C(=C1OC)C)C[S@](=O)C2=NC3=C(N2)C=C(C=C3)OC", "F/C=C/[C@H](C)Cl", "C[C@H]1CC[C@@H](C)CC1", "OC(C)C",
          "Oc1ccc2ccccc2c1-c1c(O)ccc2ccccc12 |wU:10.10|"]  # fmt: skip


def records(*smiles):
    return [MoleculeRecord(f"m{i}", i + 1, s, Chem.MolFromSmiles(s)) for i, s in enumerate(smiles)]


def case(name):
    if not CASES.is_dir():
        pytest.skip(f"no cases in {CASES}")
    return read_molecules(CASES / name)


def test_clouds_hold_the_molecules_in_order():
    smiles = ["CCO", "c1ccccc1F"]
    mols = [Chem.MolFromSmiles(s) for s in smiles]
    positions = [conformer(s, 1) for s in smiles]
    clouds = molecule_clouds(mols, [p + 5 for p in positions], names=["a", "b"], smiles=smiles, molblocks=True)
    assert clouds.sizes.tolist() == [3, 7]
    assert clouds["categories"].flatten().tolist() == [0, 0, 2, *[0] * 6, 4]
    assert clouds.unit("pos") == "angstrom"
    assert clouds.pos.dtype == torch.float32
    np.testing.assert_allclose(clouds.pos.numpy(), np.concatenate(positions), atol=1e-5)
    assert clouds.text["id"] == ["a", "b"]
    assert clouds.text["smiles"] == smiles
    again = Chem.MolFromMolBlock(clouds.text["molblock"][1])
    assert again.GetNumBonds() == 7
    np.testing.assert_allclose(again.GetConformer().GetPositions(), positions[1], atol=1e-4)


def test_wrong_shapes_and_nothing():
    mol = Chem.MolFromSmiles("CCO")
    with pytest.raises(PellucidError, match=r"expected positions of shape \(3, 3\) for molecule 'a'"):
        molecule_clouds([mol], [np.zeros((9, 3))], names=["a"])
    with pytest.raises(PellucidError, match="expected at least one molecule"):
        molecule_clouds([], [], names=[])


def test_user_molecules_are_encoded_and_the_others_told(tmp_path):
    path = tmp_path / "a.smi"
    path.write_text("CCO ethanol\nC1CC broken\nC[SiH3] silane\nC1#CC1 strained\nCC(=O)[O-].[Na+] salt\nCCN amine\n")
    made = encode_molecules(read_molecules(path), seed=3)
    assert made.clouds.text["id"] == ["ethanol", "amine"] == [r.name for r in made.records]
    reasons = {record.name: reason for record, reason in made.skipped}
    assert "not valid SMILES" in reasons["broken"]
    assert "got Si" in reasons["silane"]
    assert "no 3D structure" in reasons["strained"]
    assert "2 separate parts" in reasons["salt"]


def test_given_poses_are_kept_and_flat_records_keep_their_atom_order():
    mol = Chem.AddHs(Chem.MolFromSmiles("OC(C)(Cl)CN"))
    AllChem.EmbedMolecule(mol, randomSeed=5)
    mol = Chem.RemoveHs(mol)
    # An order that no SMILES would give.
    mol = Chem.RenumberAtoms(mol, [5, 0, 3, 1, 4, 2])
    flat = Chem.Mol(mol)
    flat.RemoveAllConformers()
    made = encode_molecules([MoleculeRecord("posed", 1, "", mol, True), MoleculeRecord("flat", 2, "", flat)], seed=1)
    pose = mol.GetConformer().GetPositions()
    np.testing.assert_allclose(made.clouds.pos[:6], pose - pose.mean(0), atol=1e-5)
    assert made.clouds["categories"].flatten().tolist() == [1, 2, 6, 0, 0, 0] * 2
    distances = torch.cdist(made.clouds.pos[6:], made.clouds.pos[6:])
    for bond in flat.GetBonds():
        assert distances[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()] < 1.9
    assert (distances < 1.9).sum() == 6 + 2 * flat.GetNumBonds()


def test_nothing_encodable_is_an_error():
    with pytest.raises(PellucidError, match=r"got none .*no 3D structure"):
        encode_molecules(read_molecules("C1#CC1"))


def test_the_recipe_is_kept_among_other_options():
    assert MoleculeRecipe.of({}) == OLD
    for recipe in RECIPES:
        assert MoleculeRecipe.of({"seed": 1, "size": 3, **json.loads(json.dumps(recipe.document()))}) == recipe
    for wrong, message in (({"features": "all"}, "expected features to be one of elements, full, got 'all'"),
                           ({"geometry": "2d"}, "expected geometry"), ({"fragments": "whole"}, "expected fragments"),
                           ({"conformers": 0}, "conformers from 1 to 100"), ({"conformers": True}, "got True"),
                           ({"conformers": 2, "geometry": "graph"}, "expected one conformer with geometry graph")):
        with pytest.raises(PellucidError, match=message):
            MoleculeRecipe(**wrong)


def test_graphs_have_bonds_and_no_coordinates():
    made = encode_molecules(records("CCO", "c1ccccc1F"), GRAPH)
    clouds = made.clouds
    assert "pos" not in clouds
    assert clouds.sizes.tolist() == [3, 7]
    assert clouds.edge_ptr.tolist() == [0, 4, 18]
    assert clouds.edges()[:, :4].tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    expected = molecule_features([r.mol for r in made.records])
    np.testing.assert_array_equal(clouds["categories"], expected.atoms)
    np.testing.assert_array_equal(clouds["edge_categories"], expected.edges)
    assert clouds["categories"].shape[1] == len(ATOM_CATEGORY_SIZES)
    assert clouds["edge_categories"].shape[1] == len(BOND_CATEGORY_SIZES)
    assert clouds["molecule"].tolist() == [0, 1]


def test_elements_are_as_they_were_and_full_has_bonds_in_space_too():
    old, full = (encode_molecules(records("CCO", "CCN"), recipe, seed=4).clouds for recipe in (OLD, FULL))
    assert old["categories"].tolist() == [[0], [0], [2], [0], [0], [1]]
    assert "edge_index" not in old
    assert torch.equal(old.pos, full.pos)
    assert full["categories"][:, 0].tolist() == [6, 6, 8, 6, 6, 7]
    assert full.edge_ptr.tolist() == [0, 4, 8]
    np.testing.assert_allclose(old.pos[:3], conformer("CCO", 4), atol=1e-6)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_molecule_comes_back_in_the_order_of_the_points(recipe):
    given = records(*TRICKY)
    shuffled = [Chem.RenumberAtoms(r.mol, [*range(1, r.mol.GetNumAtoms()), 0][::-1]) for r in given[:-1]]
    given += [MoleculeRecord(f"s{i}", i, "", mol) for i, mol in enumerate(shuffled)]
    if recipe.fragments == "largest":
        given += records("[Na+].C[C@H](F)C(=O)[O-]", "[2H]O[C@@H](C)[C@H](C)N")
    made = encode_molecules(given, recipe, seed=1)
    assert made.skipped == []
    assert len(made.clouds) == len(given) * recipe.conformers
    for i, place in enumerate(made.clouds["molecule"].tolist()):
        mol, rows = molecule_of(made.clouds, i), slice(*made.clouds.ptr[i:i + 2].tolist())
        atoms = made.clouds["atom"][rows].tolist()
        source = given[place].mol
        assert [a.GetSymbol() for a in mol.GetAtoms()] == [source.GetAtomWithIdx(j).GetSymbol() for j in atoms]
        for bond in mol.GetBonds():
            ends = [atoms[bond.GetBeginAtomIdx()], atoms[bond.GetEndAtomIdx()]]
            assert source.GetBondBetweenAtoms(*ends).GetBondType() == bond.GetBondType()
        if recipe.features == "full":  # chirality of atoms and bonds included
            np.testing.assert_array_equal(molecule_features([mol]).atoms, made.clouds["categories"][rows])
            edges = slice(*made.clouds.edge_ptr[i:i + 2].tolist())
            again = molecule_features([mol])
            ours = dict(zip(map(tuple, made.clouds["edge_index"][edges].tolist()),
                            made.clouds["edge_categories"][edges].tolist(), strict=True))
            assert ours == dict(zip(map(tuple, again.edge_index.tolist()), again.edges.tolist(), strict=True))
        elif source.GetNumAtoms() == mol.GetNumAtoms():
            assert identity(mol) == identity(source)
        if recipe.geometry == "3d":
            np.testing.assert_allclose(mol.GetConformer().GetPositions(), made.clouds.pos[rows], atol=1e-6)


def test_values_and_smiles_are_carried_as_given():
    given = [MoleculeRecord("a", 1, "OCC.Cl", Chem.MolFromSmiles("OCC.Cl"), values={"logS": "-1.5", "Ort": "Köln"},
                            notes=("its header is odd",)), *records("CC")]
    made = encode_molecules(given, GRAPH)
    assert made.clouds.text["smiles"] == ["OCC.Cl", "CC"]
    assert [json.loads(text) for text in made.clouds.text["values"]] == [{"logS": "-1.5", "Ort": "Köln"}, {}]
    assert made.notes == ["its header is odd: 1 (a)", f"{SALT}: 1 (a without Cl)"]


def test_salts_are_refused_by_the_old_recipe_but_for_poses():
    assert "2 separate parts" in encode_molecules(records("CC(=O)[O-].[Na+]", "CC")).skipped[0][1]
    mol = Chem.MolFromSmiles("CC.O")
    shape = Chem.Conformer(3)
    for i, place in enumerate([(0.0, 0.0, 0.1), (1.5, 0.0, 0.0), (4.0, 0.0, 0.0)]):
        shape.SetAtomPosition(i, place)
    mol.AddConformer(shape)
    posed = MoleculeRecord("posed", 1, "CC.O", mol, True)
    assert encode_molecules([posed]).clouds.sizes.tolist() == [3]
    kept = encode_molecules([posed], FULL)
    assert kept.clouds["atom"].tolist() == [0, 1]
    np.testing.assert_allclose(kept.clouds.pos[:, 0], [-0.75, 0.75], atol=1e-6)


def test_what_was_done_is_told_in_a_handful_of_sentences():
    smiles = ["CC.Cl", "CCC.Cl", "CN.Cl", "CCO.[K+]", "[2H]OC", "CB(O)O", "*CCO", "C1#CC1", "CCCC"]
    made = encode_molecules(records(*smiles), FULL)
    assert made.notes == [f"{SALT}: 4 (m0 without Cl, m1 without Cl, m2 without Cl and 1 more)", f"{ISOTOPES}: 1 (m4)",
                          f"{RELAXED['UFF']}: 1 (m5)", f"{RELAXED['nothing']}: 1 (m6)"]
    assert [record.name for record, _ in made.skipped] == ["m7"]
    assert [r.name for r in made.records] == ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m8"]


# What MMFF94 cannot do, with bonds as known (B-O 1.36, Se-C 1.95 angstrom; a fifth off is as good as UFF is).
@pytest.mark.parametrize(("smiles", "bond", "length"), [
    ("OB(O)c1ccccc1", (0, 1), 1.36), ("CB1OC(C)(C)C(C)(C)O1", (1, 2), 1.36), ("C[Se]C", (0, 1), 1.95),
    ("*CCO", (1, 2), 1.53), ("c1ccccc1*", (0, 1), 1.39), ("C[Sn](C)(C)C", (0, 1), 2.15),
])
def test_boron_dummies_and_metals_get_a_geometry(smiles, bond, length):
    recipe = OLD if "B" in smiles or "*" in smiles else FULL
    made = encode_molecules(records(smiles), recipe)
    a, b = made.clouds.pos[list(bond)]
    assert float((a - b).norm()) == pytest.approx(length, rel=0.2)
    assert len(made.notes) == 1


def test_elements_beyond_the_fourteen_need_full_features():
    smiles = ["C[Si](C)(C)C", "C[Se]C", "CN->[Pd]"]
    assert len(encode_molecules(records("CC", *smiles)).skipped) == 3
    assert encode_molecules(records("CC", *smiles), GRAPH).clouds["categories"][:, 0].unique().tolist() == [6, 7, 14,
                                                                                                            34, 46]


def test_large_molecules():
    chain = records("C" * 300, "C" * 1001, "CC")
    spatial, graph = encode_molecules(chain, FULL), encode_molecules(chain, GRAPH)
    assert graph.clouds.sizes.tolist() == [300, 2]
    assert "300 heavy atoms, more than the 250" in spatial.skipped[0][1]
    assert "--graph" in spatial.skipped[0][1]
    for made in (spatial, graph):
        assert "1001 heavy atoms, more than the 1000" in made.skipped[-1][1]


def test_conformers_of_a_molecule_lie_one_after_the_other():
    smiles = ["CCCCO", "c1ccccc1", "OC(C)CN"]
    three = encode_molecules(records(*smiles), MoleculeRecipe("full", conformers=3), seed=2).clouds
    one = encode_molecules(records(*smiles), MoleculeRecipe("full"), seed=2).clouds
    assert three["molecule"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert torch.equal(three.select(torch.tensor([0, 3, 6])).pos, one.pos)
    assert torch.equal(three["categories"], one.select(three["molecule"])["categories"])
    chains = [three.pos[three.batch == i] for i in range(3)]
    ends = [float((chain[0] - chain[-1]).norm()) for chain in chains]
    assert len({round(end, 2) for end in ends}) > 1
    assert three.edge_ptr.diff().tolist() == [8] * 3 + [12] * 3 + [8] * 3


# -- cases of users ----------------------------------------------------------------------------------------------------
@pytest.mark.shared
def test_flat_drawings_are_no_poses():
    for name in ("2d.sdf", "zero.sdf"):
        made = encode_molecules(case(name), FULL)
        assert any(note.startswith(FLAT) for note in made.notes)
        assert float(made.clouds.pos[:, 2].abs().max()) > 0.01
        assert not any(FLAT in note for note in encode_molecules(case(name), GRAPH).notes)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["noH3d.sdf", "confs3.sdf", "R.sdf", "S.sdf"])
def test_poses_are_used_as_they_are(name):
    given = case(name)
    made = encode_molecules(given, MoleculeRecipe("full", conformers=4))
    assert len(made.clouds) == len(given)
    assert made.notes == []
    for i, record in enumerate(given):
        rows = slice(*made.clouds.ptr[i:i + 2].tolist())
        np.testing.assert_allclose(made.clouds.pos[rows], record.pose - record.pose.mean(0), atol=1e-5)


@pytest.mark.shared
def test_mirror_images_in_files_have_the_labels_of_their_coordinates():
    # Of the centre (atom 7) nitrogen (6) goes before the ring (9) and the methyl (8); seen with the hydrogen behind,
    # they run counterclockwise where their triple product is positive, which is S. The names of the files are swapped.
    for name, label in (("R.sdf", 2), ("S.sdf", 1)):
        given = case(name)
        nitrogen, ring, methyl = (given[0].pose[[6, 9, 8]] - given[0].pose[7])
        assert (np.dot(nitrogen, np.cross(ring, methyl)) > 0) == (label == 2)
        chirality = encode_molecules(given, GRAPH).clouds["categories"][:, -1]
        assert chirality.nonzero().flatten().tolist() == [7]
        assert int(chirality[7]) == label


@pytest.mark.shared
def test_silicon_and_a_mixture_in_a_file():
    made = encode_molecules(case("mix.sdf"), FULL)
    assert made.clouds.sizes.tolist() == [3, 5, 3]
    assert made.notes == [f"{SALT}: 1 (molecule-3 without CCN)"]
    old = encode_molecules(case("mix.sdf"))
    assert old.skipped[0][1].startswith("expected the elements")


@pytest.mark.shared
def test_a_bond_without_an_order_stops_nothing():
    if not CASES.is_dir():
        pytest.skip(f"no cases in {CASES}")
    block = (CASES / "bond_order_zero.sdf").read_text().split("$$$$")[0]
    mol = Chem.MolFromMolBlock(block)
    for recipe in (FULL, GRAPH):
        made = encode_molecules([MoleculeRecord("a", 1, "", mol, True), *records("CC")], recipe)
        assert len(made.clouds) == 2
        assert made.notes[0].startswith("No CIP labels")
        assert molecule_of(made.clouds, 0).GetNumBonds() == mol.GetNumBonds()
