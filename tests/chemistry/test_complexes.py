import json

import numpy as np
import pytest
import torch
from peptides import Peptide, acetone, molecule, unit, write_ligand, write_protein
from rdkit import Chem
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation
from scipy.stats import zscore

from pellucid.chemistry import complexes as module
from pellucid.chemistry.complexes import complex_clouds, read_complex
from pellucid.chemistry.encoding import molecule_of
from pellucid.clouds import FIELDS, PointClouds
from pellucid.errors import PellucidError


def serine(folder, distance=2.8, sequence="GSG", **options):
    """A complex whose serine gives a hydrogen bond to an acetone."""
    peptide = Peptide(sequence)
    return read_complex(write_protein(folder, peptide, **options), write_ligand(folder, acetone(peptide, distance)))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folders = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    return [serine(folders[0], b_factor=lambda place: [10, 20, 60][place]), serine(folders[1], sequence="LSLAG")]


def test_a_complex_is_read(tmp_path, monkeypatch):
    read = []
    for name in ("read_protein", "read_ligand"):
        own = getattr(module, name)
        monkeypatch.setattr(module, name, lambda path, own=own, **rest: (read.append(path.name), own(path, **rest))[1])
    peptide, far = Peptide("GSG"), Peptide("GSG").moved(Rotation.identity(), [0, 0, 80])
    far.labels = [("B", i + 1, " ") for i in range(3)]
    files = write_protein(tmp_path, peptide, far), write_ligand(tmp_path, acetone(peptide, 2.8))
    whole = read_complex(*files)
    assert sorted(read) == ["ligand.sdf", "protein.pdb"]
    assert (whole.name, whole.protein.chain) == ("protein", ["A"] * 3)
    assert whole.contacts.hydrogen_bond.tolist() == [False, True, False]
    whole = read_complex(*files, name="mine", chains="all", interactions=False)
    assert (whole.name, whole.ligand.name) == ("mine", "mine")
    assert whole.protein.chain == ["A"] * 3 + ["B"] * 3
    assert not whole.contacts.hydrogen_bond.any()


@pytest.mark.parametrize(("distance", "options", "away"), [
    (8.0, {}, "8.0 A away"), (60.0, {"chains": "all"}, r"\d\d.\d A away"), (60.0, {}, "A away"),
])
def test_a_ligand_that_is_elsewhere(tmp_path, distance, options, away):
    peptide = Peptide("GSG")
    files = write_protein(tmp_path, peptide), write_ligand(tmp_path, acetone(peptide, distance))
    with pytest.raises(PellucidError, match=f"(?s)frame.*{away}|{away}.*frame"):
        read_complex(*files, **options)


def test_clouds_of_proteins(two):
    clouds = complex_clouds(two, radius=6.0)
    assert clouds.sizes.tolist() == [3, 5]
    assert (clouds.unit("pos"), clouds.unit("distance")) == ("angstrom", "angstrom")
    assert clouds.pos.dtype == clouds["features"].dtype == clouds["distance"].dtype == torch.float32
    for i, whole in enumerate(two):
        protein, ligand, found = whole.protein, whole.ligand, whole.contacts
        one = clouds.select(torch.tensor([i]))
        np.testing.assert_allclose(one.pos, protein.pos - protein.pos.mean(0), atol=1e-5)
        np.testing.assert_array_equal(one["categories"], protein.types[:, None])
        np.testing.assert_allclose(one["features"][:, 0], protein.sasa / 100, rtol=1e-6)
        np.testing.assert_array_equal(one["hydrogen_bond"], found.hydrogen_bond)
        np.testing.assert_array_equal(one["hydrophobic"], found.hydrophobic)
        np.testing.assert_array_equal(one["contact"], found.hydrogen_bond | found.hydrophobic)
        np.testing.assert_allclose(one["distance"], found.distance, rtol=1e-6)
        near = cdist(protein.pos, ligand.pos).min(1) <= 6.0
        np.testing.assert_array_equal(one["important"], near | found.hydrogen_bond | found.hydrophobic)
        assert one["group"].tolist() == list(range(len(protein.pos)))
        assert json.loads(one.text["group_names"][0]) == protein.labels
        assert one.text["ligand_smiles"] == ["CC(C)=O"]
    np.testing.assert_allclose(clouds["features"][:3, 1], zscore([10, 20, 60]), rtol=1e-6)
    assert clouds["features"][3:, 1].tolist() == [0.0] * 5
    assert clouds.text["id"] == ["protein", "protein"]
    assert {"contact", "hydrogen_bond", "hydrophobic", "distance"} <= set(FIELDS)


def test_a_contact_is_important_however_far_its_c_alpha(two):
    clouds = complex_clouds(two, radius=0.1)
    assert clouds["contact"].any()
    assert torch.equal(clouds["important"], clouds["contact"])
    assert complex_clouds(two)["important"].all()


def test_clouds_of_ligands_lie_in_the_frame_of_the_protein(two):
    clouds = complex_clouds(two)
    assert clouds.partner.sizes.tolist() == [4, 4]
    assert clouds.partner.text["id"] == clouds.text["id"]
    assert clouds.partner.text["smiles"] == ["CC(C)=O"] * 2
    assert clouds.partner["categories"].flatten().tolist() == [0, 0, 0, 2] * 2
    for i, whole in enumerate(two):
        one = clouds.select(torch.tensor([i]))
        np.testing.assert_allclose(torch.cdist(one.pos, one.partner.pos), cdist(whole.protein.pos, whole.ligand.pos),
                                   atol=1e-4)
        np.testing.assert_allclose(one.partner["features"][:, 0], whole.ligand.charges, rtol=1e-6)
        mol = molecule_of(clouds.partner, i)
        assert [atom.GetSymbol() for atom in mol.GetAtoms()] == ["C", "C", "C", "O"]
        assert mol.GetBondBetweenAtoms(1, 3).GetBondType() == Chem.BondType.DOUBLE


def test_a_conformer_lies_over_the_pose(tmp_path):
    peptide = Peptide("GSG")
    outward = unit(peptide.at(1, "HG") - peptide.at(1, "OG"))
    chain = molecule("CCCCCC(C)=O", 7, 5, peptide.at(1, "OG") + 2.8 * outward, outward)
    whole = read_complex(write_protein(tmp_path, peptide), write_ligand(tmp_path, chain))
    pose = complex_clouds([whole])
    first, same, other = (complex_clouds([whole], conformer="rdkit", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.pos, pose.pos)
    assert torch.equal(first["important"], pose["important"])
    assert torch.equal(first.partner.pos, same.partner.pos)
    assert not torch.allclose(first.partner.pos, other.partner.pos, atol=0.1)
    np.testing.assert_allclose(first.partner.pos.mean(0), pose.partner.pos.mean(0), atol=1e-4)
    assert (first.partner.pos - pose.partner.pos).norm(dim=1).max() > 0.1


def test_clouds_can_be_saved_and_joined(two, tmp_path):
    clouds = complex_clouds(two)
    clouds.save(tmp_path / "clouds.safetensors")
    back, _ = PointClouds.load(tmp_path / "clouds.safetensors")
    apart = PointClouds.cat([complex_clouds([whole]) for whole in two])
    for other in (back, apart):
        for mine, theirs in ((clouds, other), (clouds.partner, other.partner)):
            assert mine.text == theirs.text
            assert all(torch.equal(mine[name], theirs[name]) for name in mine.names)


def test_wrong_requests(two):
    with pytest.raises(PellucidError, match="expected at least one complex"):
        complex_clouds([])
    with pytest.raises(PellucidError, match="expected a positive radius"):
        complex_clouds(two, radius=0.0)
    with pytest.raises(PellucidError, match="pose or rdkit"):
        complex_clouds(two, conformer="best")
