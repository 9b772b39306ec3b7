import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import AllChem

from pellucid.chemistry import MoleculeRecord, conformer, encode_molecules, molecule_clouds, read_molecules
from pellucid.errors import PellucidError


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
