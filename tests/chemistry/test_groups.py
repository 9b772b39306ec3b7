"""Functional groups against molecules that were labelled by hand, and their way into runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem, RDConfig

import pellucid
from pellucid.chemistry import FUNCTIONAL_GROUPS, encode_molecules, functional_groups, read_molecules, with_groups
from pellucid.chemistry.groups import FIELD
from pellucid.clouds import SPLITS, PointClouds
from pellucid.datasets import PreparedDataset, datasets
from pellucid.errors import PellucidError

ZINC = (Path(__file__).parents[1] / "datasets" / "zinc_smiles.txt").read_text().split()

# name: (SMILES, {group: its atoms, counted along the SMILES}), by hand
LABELLED = {
    "aspirin": ("CC(=O)Oc1ccccc1C(=O)O", [
        ("alkyl", [0]), ("ester", [1, 2, 3]), ("aromatic ring", [4, 5, 6, 7, 8, 9]),
        ("carboxylic acid", [10, 11, 12])]),
    "caffeine": ("Cn1c(=O)c2c(ncn2C)n(C)c1=O", [
        ("alkyl", [0]), ("aromatic ring", [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13]), ("alkyl", [9]), ("alkyl", [11])]),
    "ibuprofen": ("CC(C)Cc1ccc(cc1)C(C)C(=O)O", [
        ("alkyl", [0, 1, 2, 3]), ("aromatic ring", [4, 5, 6, 7, 8, 9]), ("alkyl", [10, 11]),
        ("carboxylic acid", [12, 13, 14])]),
    "penicillin G": ("CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O", [
        ("alkyl", [0]), ("ring", [1, 3, 4, 5, 19]), ("alkyl", [2]), ("amide", [6, 7, 8]), ("alkyl", [9]),
        ("aromatic ring", [10, 11, 12, 13, 14, 15]), ("amide", [16, 17, 18]), ("carboxylic acid", [20, 21, 22])]),
    "cholesterol": ("CC(C)CCCC(C)C1CCC2C1(CCC3C2CC=C4C3(CCC(C4)O)C)C", [
        ("alkyl", [0, 1, 2, 3, 4, 5, 6, 7]), ("ring", list(range(8, 25))), ("alcohol", [25]), ("alkyl", [26]),
        ("alkyl", [27])]),
    "paracetamol": ("CC(=O)Nc1ccc(O)cc1", [
        ("alkyl", [0]), ("amide", [1, 2, 3]), ("aromatic ring", [4, 5, 6, 7, 9, 10]), ("phenol", [8])]),
    "sulfamethoxazole": ("Cc1cc(NS(=O)(=O)c2ccc(N)cc2)no1", [
        ("alkyl", [0]), ("aromatic ring", [1, 2, 3, 15, 16]), ("sulfonamide", [4, 5, 6, 7]),
        ("aromatic ring", [8, 9, 10, 11, 13, 14]), ("amine", [12])]),
    "nicotine": ("CN1CCCC1c1cccnc1", [
        ("alkyl", [0]), ("ring", [1, 2, 3, 4, 5]), ("aromatic ring", [6, 7, 8, 9, 10, 11])]),
    "metformin": ("CN(C)C(=N)NC(N)=N", [("alkyl", [0]), ("guanidine", [1, 3, 4, 5, 6, 7, 8]), ("alkyl", [2])]),
    "nitroglycerin": ("C(C(CO[N+](=O)[O-])O[N+](=O)[O-])O[N+](=O)[O-]", [
        ("alkyl", [0, 1, 2]), ("nitrate", [3, 4, 5, 6]), ("nitrate", [7, 8, 9, 10]), ("nitrate", [11, 12, 13, 14])]),
    "phenobarbital": ("CCC1(c2ccccc2)C(=O)NC(=O)NC1=O", [
        ("alkyl", [0, 1]), ("ring", [2]), ("aromatic ring", [3, 4, 5, 6, 7, 8]), ("imide", list(range(9, 17)))]),
    "fluoxetine": ("CNCCC(Oc1ccc(cc1)C(F)(F)F)c1ccccc1", [
        ("alkyl", [0]), ("amine", [1]), ("alkyl", [2, 3, 4]), ("ether", [5]), ("aromatic ring", [6, 7, 8, 9, 10, 11]),
        ("trifluoromethyl", [12, 13, 14, 15]), ("aromatic ring", [16, 17, 18, 19, 20, 21])]),
    "zidovudine": ("Cc1cn(C2CC(N=[N+]=[N-])C(CO)O2)c(=O)[nH]c1=O", [
        ("alkyl", [0]), ("aromatic ring", [1, 2, 3, 14, 15, 16, 17, 18]), ("ring", [4, 5, 6, 10, 13]),
        ("azide", [7, 8, 9]), ("alkyl", [11]), ("alcohol", [12])]),
    "acetylcholine": ("CC(=O)OCC[N+](C)(C)C", [
        ("alkyl", [0]), ("ester", [1, 2, 3]), ("alkyl", [4, 5]), ("quaternary ammonium", [6]), ("alkyl", [7]),
        ("alkyl", [8]), ("alkyl", [9])]),
    "glyphosate": ("OC(=O)CNCP(=O)(O)O", [
        ("carboxylic acid", [0, 1, 2]), ("alkyl", [3]), ("amine", [4]), ("alkyl", [5]), ("phosphonate", [6, 7, 8, 9])]),
}  # fmt: skip

# One molecule for each pattern that is not above: (SMILES, the atoms that it takes).
EXAMPLES = {
    "acyl halide": ("CC(=O)Cl", [1, 2, 3]), "anhydride": ("CC(=O)OC(C)=O", [1, 2, 3, 4, 6]),
    "urea": ("CNC(=O)NC", [1, 2, 3, 4]), "carbamate": ("CNC(=O)OC", [1, 2, 3, 4]),
    "carbonate": ("COC(=O)OC", [1, 2, 3, 4]), "thioester": ("CC(=O)SC", [1, 2, 3]),
    "hydroxamic acid": ("CC(=O)NO", [1, 2, 3, 4]), "hydrazide": ("CC(=O)NN", [1, 2, 3, 4]),
    "aldehyde": ("CC=O", [1, 2]), "isocyanate": ("CN=C=O", [1, 2, 3]), "ketone": ("O=C1CCCC1", [0, 1]),
    "carbonyl": ("O=C(C)[SiH3]", [0, 1]), "amidine": ("CC(=N)N", [1, 2, 3]),
    "isothiocyanate": ("CN=C=S", [1, 2, 3]), "thiocyanate": ("CSC#N", [1, 2, 3]),
    "thiourea": ("CNC(=S)NC", [1, 2, 3, 4]), "thioamide": ("CC(=S)NC", [1, 2, 3]), "thiocarbonyl": ("CC(C)=S", [1, 3]),
    "nitrile": ("CC#N", [1, 2]), "nitro": ("C[N+](=O)[O-]", [1, 2, 3]), "oxime": ("CC=NO", [1, 2, 3]),
    "hydrazone": ("CC=NN", [1, 2, 3]), "azo": ("CN=NC", [1, 2]), "nitroso": ("CN=O", [1, 2]),
    "imine": ("CC=NC", [1, 2]),
    "hydrazine": ("CNNC", [1, 2]), "hydroxylamine": ("CNOC", [1, 2]), "sulfonyl halide": ("CS(=O)(=O)Cl", [1, 2, 3, 4]),
    "sulfonic acid": ("CS(=O)(=O)O", [1, 2, 3, 4]), "sulfonate": ("CS(=O)(=O)OC", [1, 2, 3, 4]),
    "sulfone": ("CS(C)(=O)=O", [1, 3, 4]), "sulfonyl": ("CC(=O)NS(C)(=O)=O", [4, 6, 7]),
    "sulfoxide": ("CS(C)=O", [1, 3]),
    "phosphate": ("COP(=O)(O)OC", [1, 2, 3, 4, 5]), "boronic acid": ("CB(O)O", [1, 2, 3]),
    "epoxide": ("CC1CO1", [1, 2, 3]),
    "peroxide": ("COOC", [1, 2]), "disulfide": ("CSSC", [1, 2]), "thiol": ("CS", [1]), "sulfide": ("CSC", [1]),
    "halogen": ("CCl", [1]), "alkyne": ("CC#CC", [1, 2]), "alkene": ("CC=CC", [1, 2]),
}  # fmt: skip


def labels(smiles, **options):
    """[(name, atoms)] of a molecule."""
    ids, names = functional_groups(Chem.MolFromSmiles(smiles), **options)
    return [(name, np.flatnonzero(ids == i).tolist()) for i, name in enumerate(names)]


@pytest.mark.parametrize("name", LABELLED)
def test_molecules_labelled_by_hand(name):
    smiles, groups = LABELLED[name]
    assert labels(smiles) == groups


def test_the_page_on_trust_has_every_name():
    page = (Path(__file__).parents[2] / "docs" / "trust.md").read_text(encoding="utf-8")
    listed = " ".join(page.rsplit("## Functional groups", 1)[1].split(":", 1)[1].rstrip().rstrip(".").split())
    assert listed.split(", ") == list(FUNCTIONAL_GROUPS)


def test_every_pattern_has_an_example():
    seen = set(EXAMPLES) | {name for _, groups in LABELLED.values() for name, _ in groups}
    assert set(FUNCTIONAL_GROUPS) <= seen
    for name, (smiles, atoms) in EXAMPLES.items():
        assert (name, atoms) in labels(smiles), name


@pytest.mark.parametrize("smiles", [smiles for smiles, _ in LABELLED.values()] + ZINC[:40])
def test_the_order_of_the_atoms_does_not_matter(smiles):
    mol = Chem.MolFromSmiles(smiles)
    ids, names = functional_groups(mol)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(mol.GetNumAtoms())
        other, other_names = functional_groups(Chem.RenumberAtoms(mol, order.tolist()))
        for i in range(mol.GetNumAtoms()):
            assert names[ids[order[i]]] == other_names[other[i]]
        assert all((ids[order] == ids[order[i]]).tolist() == (other == other[i]).tolist() for i in range(len(ids)))


def test_ids_count_from_zero_in_the_order_of_the_first_atoms():
    for smiles in ZINC:
        ids, names = functional_groups(Chem.MolFromSmiles(smiles))
        assert ids.dtype == np.int64
        first = [np.flatnonzero(ids == i)[0] for i in range(len(names))]
        assert first == sorted(first)
        assert set(ids.tolist()) - {-1} == set(range(len(names)))


def test_real_molecules_leave_almost_no_atom_alone_and_agree_with_ertl():
    """Ertl's groups outside rings (RDKit's contributed code) lie within one of ours, but for conjugated neighbours."""
    folder = Path(RDConfig.RDContribDir) / "IFG"
    if not folder.is_dir():
        pytest.skip("this RDKit ships no Contrib/IFG")
    sys.path.insert(0, os.fspath(folder))
    try:
        from ifg import identify_functional_groups
    finally:
        sys.path.remove(os.fspath(folder))
    inside = total = alone = atoms = 0
    for smiles in ZINC:
        mol = Chem.MolFromSmiles(smiles)
        ids, names = functional_groups(mol)
        alone, atoms = alone + int((ids < 0).sum()), atoms + len(ids)
        for group in identify_functional_groups(mol):
            if not any(mol.GetAtomWithIdx(i).IsInRing() for i in group.atomIds):
                found = {int(ids[i]) for i in group.atomIds}
                total += 1
                inside += len(found) == 1
                assert "alkyl" not in {names[i] for i in found if i >= 0}, smiles
    assert total > 100
    assert inside / total > 0.98
    assert alone / atoms < 0.002


def test_overlapping_matches_join_and_bonded_ones_do_not():
    assert labels("NC(=O)C(N)=O") == [("amide", [0, 1, 2]), ("amide", [3, 4, 5])]
    assert labels("C=CC=C") == [("alkene", [0, 1]), ("alkene", [2, 3])]
    assert labels("C=C=C") == [("alkene", [0, 1, 2])]


def test_rings():
    assert labels("C1CC2(C1)CCC2") == [("ring", list(range(7)))], "spiro"
    assert labels("c1ccc2ccccc2c1") == [("aromatic ring", list(range(10)))], "fused"
    assert [name for name, _ in labels("c1ccc(cc1)c1ccccc1")] == ["aromatic ring"] * 2, "biphenyl"
    assert [name for name, _ in labels("O=C1c2ccccc2C(=O)c2ccccc12")] == ["ketone", "aromatic ring"] * 2
    assert labels("C=C1CCCC1") == [("ring", list(range(6)))], "what hangs on a ring by a double bond goes with it"
    assert labels("c1ccc2CCCCc2c1") == [("ring", list(range(10)))], "not aromatic throughout"


def test_atoms_in_no_group_are_alone():
    ids, names = functional_groups(Chem.MolFromSmiles("[Na+].[Cl-].CC[SiH3].O"))
    assert names == ["halogen", "alkyl"]
    assert ids.tolist() == [-1, 0, 1, 1, -1, -1]
    assert functional_groups(Chem.MolFromSmiles(""))[0].shape == (0,)


def test_own_patterns():
    warhead = {"warhead": "C=CC(=O)N"}
    assert labels("CCNC(=O)C=C", patterns=warhead, rest=False) == [("warhead", [2, 3, 4, 5, 6])]
    assert labels("CCNC(=O)C=C", patterns=warhead | FUNCTIONAL_GROUPS) == [
        ("alkyl", [0, 1]), ("warhead", [2, 3, 4, 5, 6])]
    assert labels("CCO", patterns={}, rest=False) == []
    with pytest.raises(PellucidError, match="expected a SMARTS pattern"):
        functional_groups(Chem.MolFromSmiles("C"), {"broken": "[CX3"})


# -- clouds -------------------------------------------------------------------------------------------------------
def encoded(*smiles):
    return encode_molecules([r for s in smiles for r in read_molecules(s)], seed=1).clouds


def test_clouds_get_ids_and_names():
    smiles = ["CC(=O)Nc1ccc(O)cc1", "CCO"]
    clouds = encoded(*smiles)
    grouped = with_groups(clouds)
    assert grouped[FIELD].dtype == torch.int64
    for i, one in enumerate(smiles):
        ids, names = functional_groups(Chem.MolFromSmiles(one))
        assert grouped[FIELD][grouped.ptr[i] : grouped.ptr[i + 1]].tolist() == ids.tolist()
        assert json.loads(grouped.text[f"{FIELD}_names"][i]) == names
    for name in clouds.names:
        assert torch.equal(grouped[name], clouds[name])
    assert grouped.unit("pos") == "angstrom"
    assert FIELD not in clouds
    bare = PointClouds(clouds.ptr, {"pos": clouds.pos}, text={"smiles": smiles})
    assert torch.equal(with_groups(bare)[FIELD], grouped[FIELD]), "SMILES do as well as mol blocks"
    swapped = grouped.select(torch.tensor([1, 0]))
    assert json.loads(swapped.text[f"{FIELD}_names"][0]) == ["alkyl", "alcohol"]


def test_groups_survive_the_disk(tmp_path):
    grouped = with_groups(encoded("CCO"), {"own": "CO"}, field="mine")
    grouped.save(tmp_path / "a.safetensors")
    again, _ = PointClouds.load(tmp_path / "a.safetensors")
    assert again["mine"].tolist() == [0, 1, 1]
    assert again.text["mine_names"] == ['["alkyl", "own"]']


def test_own_patterns_do_not_take_the_library_s_name():
    clouds = encoded("CCO")
    assert with_groups(clouds, {"own": "CO"})["group"].tolist() == [0, 1, 1]
    assert with_groups(clouds, rest=False)["group"].tolist() == [-1, -1, 0]
    with pytest.raises(PellucidError, match="a field of its own"):
        with_groups(clouds, {"own": "CO"}, field=FIELD)


def test_clouds_that_are_no_molecules_are_refused(random_clouds):
    with pytest.raises(PellucidError, match="these are not molecules"):
        with_groups(random_clouds())


# -- runs ---------------------------------------------------------------------------------------------------------
OVER = {"backbone": {"hidden": 8, "layers": 2}, "training": {"batch_size": 16, "reestimate": 0},
        "method": {"options": {"groups": FIELD}}}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """36 real molecules, positive with an oxygen, as if they were SynMol."""
    clouds = encoded(*ZINC[:36])
    oxygen = torch.zeros(36).index_add_(0, clouds.batch, (clouds["categories"][:, 0] == 2).float()) > 0
    clouds = clouds.replace(y=oxygen[:, None].float(), important=clouds["categories"][:, 0] == 2,
                            split=torch.arange(36) % len(SPLITS))
    path = tmp_path_factory.mktemp("data") / "clouds.safetensors"
    clouds.save(path)
    return PreparedDataset(clouds, {}, path, datasets["synmol"]())


def test_a_run_that_asks_for_functional_groups_gets_them(prepared, tmp_path):
    run = pellucid.fit(prepared, out=tmp_path / "run", method="lri-bernoulli", epochs=2, device="cpu", over=OVER)
    table = run.explanation.groups(FIELD)
    assert "aromatic ring" in table["name"]
    assert "groups" in run.config.method.options
    again = pellucid.evaluate(tmp_path / "run", device="cpu")
    assert again["interpretation"] == run.metrics["interpretation"]

    e = pellucid.explain(tmp_path / "run", "CC(=O)Oc1ccccc1C(=O)O", out=tmp_path / "e", device="cpu")
    table = e.groups(FIELD)
    assert table["name"] == ["alkyl", "ester", "aromatic ring", "carboxylic acid"]
    assert table["points"] == [1, 3, 6, 3]
    for group in range(4):
        assert len(set(e.importance[e.clouds[FIELD] == group].tolist())) == 1
    assert (tmp_path / "e" / "report.html").is_file()


def test_clouds_without_molecules_are_refused_where_groups_are_wanted(prepared, tmp_path):
    plain = PreparedDataset(prepared.clouds.without_text(), {}, prepared.path, prepared.recipe)
    with pytest.raises(PellucidError, match=f"expected a field '{FIELD}'"):
        pellucid.fit(plain, out=tmp_path / "run", method="lri-gaussian", epochs=2, device="cpu", over=OVER)
    assert not (tmp_path / "run").exists()
