import os
import pickle
import shutil

import numpy as np
import pytest

from pellucid.datasets import logic8
from pellucid.errors import DamagedFileError, PellucidError


class Attack:
    def __reduce__(self):
        return os.system, ("echo run > attacked",)


def test_pickles_may_hold_arrays_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = np.empty(2, dtype=object)
    good[:] = [{"nodes": np.arange(6.0).reshape(3, 2), "n": np.float64(2)}, {"nodes": np.ones((1, 1), np.int32)}]
    bad = np.empty(1, dtype=object)
    bad[0] = Attack()
    np.savez(tmp_path / "a.npz", good=good, bad=bad, plain=np.asfortranarray(np.arange(6).reshape(2, 3)))
    back = logic8.read_npz(tmp_path / "a.npz", "good")
    np.testing.assert_array_equal(back[0]["nodes"], good[0]["nodes"])
    assert back[0]["n"] == 2
    np.testing.assert_array_equal(logic8.read_npz(tmp_path / "a.npz", "plain"), np.arange(6).reshape(2, 3))
    with pytest.raises(pickle.UnpicklingError, match="system, which is not data"):
        logic8.read_npz(tmp_path / "a.npz", "bad")
    assert not (tmp_path / "attacked").exists()
    with pytest.raises(KeyError):
        logic8.read_npz(tmp_path / "a.npz", "none")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(PellucidError, match=r"expected the file logic8_smiles\.csv"):
        logic8.read_logic8(tmp_path)


@pytest.mark.shared
def test_the_release(logic8_folder):
    release = logic8.read_logic8(logic8_folder)
    assert len(release.smiles) == 8671
    assert int(release.labels.sum()) == 1527
    assert (len(release.train), len(release.test)) == (7753, 918)
    assert all(len(a) == len(b) for a, b in zip(release.types, release.important, strict=True))


@pytest.mark.shared
@pytest.mark.parametrize("name", ["y_true.npz", "true_raw_attribution_datadicts.npz", "logic8_smiles.csv"])
def test_damaged_files(logic8_folder, tmp_path, name):
    for file in logic8.FILES:
        shutil.copy(logic8_folder / file, tmp_path)
        (tmp_path / file).chmod(0o644)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(DamagedFileError, match="expected the original logic8 files"):
        logic8.read_logic8(tmp_path)
