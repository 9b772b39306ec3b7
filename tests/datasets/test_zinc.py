from collections import Counter

import pytest
from rdkit import Chem

from pellucid.chemistry import matched_atoms
from pellucid.datasets import zinc
from pellucid.errors import DamagedFileError, PellucidError


def combination(smiles):
    mol = Chem.MolFromSmiles(smiles)
    return zinc.COMBINATIONS[bool(matched_atoms(mol, "alkane")), bool(matched_atoms(mol, "carbonyl"))]


def test_shares_keep_the_total():
    for total in range(50):
        assert sum(zinc.shares(total, zinc.TRAIN).values()) == total
    assert zinc.shares(7753, zinc.TRAIN) == zinc.TRAIN
    assert zinc.shares(918, zinc.TEST_ORIGINAL) == zinc.TEST_ORIGINAL
    assert sorted(zinc.shares(918, zinc.TEST_EQUAL).values()) == [229, 229, 230, 230]


def test_the_list_is_read_out_of_the_wheel(tiny_wheel, short_list):
    assert zinc.zinc_smiles() == short_list


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_an_unreadable_wheel(tmp_path, tiny_wheel, content):
    data = tiny_wheel.read_bytes()
    damaged = tmp_path / "a.whl"
    damaged.write_bytes(data[:-40] if content is None else content)
    with pytest.raises(DamagedFileError, match="delete it and fetch it again"):
        zinc.smiles_in(damaged)


def test_the_draw_fills_its_quotas_and_no_more(short_list):
    sample = zinc.draw(short_list, 100, zinc.TEST_EQUAL, 5)
    assert len(set(sample.rows)) == len(sample.rows) == 100
    assert sample.smiles == [short_list[i] for i in sample.rows]
    assert sample.scanned < len(short_list)
    test = Counter(combination(s) for s, t in zip(sample.smiles, sample.test, strict=True) if t)
    train = Counter(combination(s) for s, t in zip(sample.smiles, sample.test, strict=True) if not t)
    assert dict(test) == zinc.shares(11, zinc.TEST_EQUAL)
    assert dict(train) == zinc.shares(89, zinc.TRAIN)
    assert zinc.draw(short_list, 100, zinc.TEST_EQUAL, 5) == sample
    assert zinc.draw(short_list, 100, zinc.TEST_EQUAL, 6) != sample


def test_unreadable_and_foreign_molecules_are_passed_over(short_list):
    mixed = [s for smiles in short_list for s in (smiles, "C1CC", "CCC[SiH2]C")]
    sample = zinc.draw(mixed, 60, zinc.TEST_EQUAL, 1)
    assert set(sample.smiles) <= set(short_list)


def test_too_short_a_list_says_what_is_missing(short_list):
    with pytest.raises(PellucidError, match=r"expected 2000 molecules .* of \d+ both.* ask for a smaller size"):
        zinc.draw(short_list, 2000, zinc.TEST_EQUAL, 0)
