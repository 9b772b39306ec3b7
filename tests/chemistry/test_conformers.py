import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from pellucid.chemistry import ConformerError, conformer, conformers, embedding
from pellucid.chemistry.conformers import _Worker
from pellucid.errors import PellucidError
from pellucid.files import read_tensors, write_tensors

SMILES = ["CCO", "c1ccccc1", "C1#CC1", "CC(=O)Nc1ccc(O)cc1", "nonsense", "C", "CC(C)C(=O)O", "OCC(O)CO"]
FAILED = [False, False, True, False, True, False, False, False]


def same(a, b):
    assert a.reasons == b.reasons
    assert a.relaxed == b.relaxed
    for x, y in zip(a.positions, b.positions, strict=True):
        assert (x is None) == (y is None)
        if x is not None:
            np.testing.assert_array_equal(x, y)


def test_heavy_atoms_centred_and_reproducible():
    made = conformer("CC(=O)Nc1ccc(O)cc1", 7)
    assert made.shape == (11, 3)
    assert made.dtype == np.float64
    np.testing.assert_allclose(made.mean(0), 0, atol=1e-12)
    conformer("CCCC", 1)  # no state is left behind
    np.testing.assert_array_equal(made, conformer(Chem.MolFromSmiles("CC(=O)Nc1ccc(O)cc1"), 7))
    assert not np.array_equal(made, conformer("CC(=O)Nc1ccc(O)cc1", 8))
    assert 1.2 < np.linalg.norm(made[1] - made[2]) < 1.25  # C=O in angstrom
    assert 1.48 < np.linalg.norm(made[0] - made[1]) < 1.55


def test_seed_zero_is_a_seed():
    first = conformer("CCCCO", 0)
    conformer("CCCCN", 0)
    np.testing.assert_array_equal(first, conformer("CCCCO", 0))


@pytest.mark.parametrize(("smiles", "reason"), [
    ("C1#CC1", "no 3D structure"),
    ("C[C@H]1[C@@H]2C[C@H]1[C@H]2F", "no 3D structure"),  # impossible stereocentres
    ("CB(O)O", "MMFF94 has no parameters"),
    ("C1CC", "cannot read"),
    ("", "no atoms"),
    ("CC.O", "2 separate parts"),
    ("C" * 300, "300 heavy atoms"),
])
def test_failures_have_a_reason(smiles, reason, capfd):
    with pytest.raises(ConformerError, match=reason):
        conformer(smiles, 1)
    assert capfd.readouterr().err == ""


def test_a_second_start_helps_a_long_chain():
    chain = "NCC(=O)" + "N[C@@H](CCCCN)C(=O)" * 5 + "O"
    with pytest.raises(ConformerError):
        conformer(chain, 1, retry=False)
    assert conformer(chain, 1).shape == (50, 3)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_seed_range(seed):
    with pytest.raises(PellucidError, match="expected a seed from 0"):
        conformer("C", seed)


def test_processes_do_not_change_the_result(tmp_path):
    one = conformers(SMILES, seed=3, chunk=3)
    assert [p is None for p in one.positions] == FAILED
    assert [bool(r) for r in one.reasons] == FAILED
    two = conformers(SMILES, seed=3, chunk=2, processes=2, cache=tmp_path, progress=True)
    same(one, two)
    same(one, conformers(SMILES, seed=3, chunk=2, cache=tmp_path))
    assert conformers([], seed=3).positions == []


def test_stored_chunks_are_used_and_damaged_ones_made_again(tmp_path, monkeypatch):
    made = conformers(SMILES, seed=3, chunk=4, cache=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    calls = []
    real = _Worker.embed
    monkeypatch.setattr(_Worker, "embed", lambda self, *a: calls.extend(a[0]) or real(self, *a))
    same(made, conformers(SMILES, seed=3, chunk=4, cache=tmp_path))
    assert calls == []
    for damage in (lambda b: b[:-10], lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1])):
        files[0].write_bytes(damage(files[0].read_bytes()))
        same(made, conformers(SMILES, seed=3, chunk=4, cache=tmp_path))
        assert len(calls) == 4
        calls.clear()
    conformers(SMILES[:4], seed=4, chunk=4, cache=tmp_path)
    assert len(calls) == 4  # another seed is another chunk


def test_bad_numbers():
    with pytest.raises(PellucidError, match="at least 1 process"):
        conformers(["C"], processes=0)


def test_a_dying_worker_is_an_error_and_finished_chunks_stay(tmp_path, monkeypatch):
    script = tmp_path / "worker.py"
    script.write_text(Path(embedding.__file__).read_text().replace(
        "made = embed_smiles", 'if "P" in smiles: raise SystemExit(3)\n            made = embed_smiles'))
    monkeypatch.setattr(embedding, "__file__", str(script))
    with pytest.raises(PellucidError, match=r"got a worker process that ended \(status 3\)"):
        conformers(["CCO", "CCN", "CP", "CC", "CO", "CN"], processes=2, chunk=1, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.part"))


def test_what_mmff94_cannot_do_is_relaxed_by_uff_or_stays_if_that_is_asked():
    smiles = ["CCO", "CB(O)O", "*CCO", "CC.O"]
    refused = conformers(smiles, seed=1)
    assert [p is None for p in refused.positions] == [False, True, True, True]
    assert refused.relaxed == ["MMFF94", "", "", ""]
    made = conformers(smiles, seed=1, fallback=True)
    assert made.relaxed == ["MMFF94", "UFF", "nothing", ""]
    assert [bool(reason) for reason in made.reasons] == [False, False, False, True]
    np.testing.assert_array_equal(made.positions[0], refused.positions[0])
    np.testing.assert_array_equal(made.positions[1], conformer("CB(O)O", 1, fallback=True))
    assert np.linalg.norm(made.positions[1][1] - made.positions[1][2]) == pytest.approx(1.36, abs=0.12)


def test_several_conformers_begin_with_the_one(tmp_path):
    one, three = conformers(SMILES, seed=3), conformers(SMILES, seed=3, count=3, processes=2, chunk=3, cache=tmp_path)
    assert [p is None for p in three.positions] == FAILED
    for alone, several in zip(one.positions, three.positions, strict=True):
        if alone is not None:
            assert several.shape == (3, *alone.shape)
            np.testing.assert_array_equal(several[0], alone)
            np.testing.assert_allclose(several.mean(1), 0, atol=1e-12)
    same(three, conformers(SMILES, seed=3, count=3, chunk=3, cache=tmp_path))
    with pytest.raises(PellucidError, match="1 conformer"):
        conformers(["C"], count=0)


def test_chunks_of_older_versions_are_read(tmp_path):
    made = conformers(SMILES[:4], seed=3, chunk=4, cache=tmp_path)
    path, = tmp_path.iterdir()
    tensors, metadata = read_tensors(path)
    assert set(tensors) == {"positions", "sizes"}
    write_tensors(path, tensors, {name: metadata[name] for name in ("reasons", "sha256")})
    same(made, conformers(SMILES[:4], seed=3, chunk=4, cache=tmp_path))


CHILD = """
import sys
from pathlib import Path
from pellucid.chemistry import conformers
smiles = ["C" * n + "(=O)NCCOc1ccccc1" for n in range(5, 21)]
conformers(smiles, seed=1, processes=int(sys.argv[2]), cache=Path(sys.argv[1]), chunk=1)
"""


def start(folder, processes):
    # a shell's background job begins with SIGINT ignored, and children inherit that
    child = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + CHILD
    return subprocess.Popen([sys.executable, "-c", child, str(folder), str(processes)], start_new_session=True,
                            env={**os.environ, "PELLUCID_TEST": str(folder)}, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def until(condition, seconds=40.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def workers(folder):
    """Processes that carry this folder in their environment."""
    mark, found = f"PELLUCID_TEST={folder}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:  # ended meanwhile, or another user's
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds workers through /proc")
@pytest.mark.parametrize(("sent", "processes"), [(signal.SIGINT, 2), (signal.SIGINT, 1), (signal.SIGKILL, 2)])
def test_interrupted_and_resumed(tmp_path, sent, processes):
    child = start(tmp_path, processes)
    try:
        until(lambda: any(tmp_path.glob("[!.]*.safetensors")) or child.poll() is not None)
        assert len(workers(tmp_path)) == 1 + processes
        (os.killpg if sent == signal.SIGINT else os.kill)(child.pid, sent)
        _, err = child.communicate(timeout=60)
        until(lambda: not workers(tmp_path))  # no orphan
    finally:
        for process in workers(tmp_path):
            os.kill(process, signal.SIGKILL)
    if sent == signal.SIGINT:
        assert "KeyboardInterrupt" in err
        assert not list(tmp_path.glob(".*.part"))
    done = {p: p.stat().st_mtime_ns for p in tmp_path.glob("[!.]*.safetensors")}
    assert 0 < len(done) < 16
    smiles = ["C" * n + "(=O)NCCOc1ccccc1" for n in range(5, 21)]
    resumed = conformers(smiles, seed=1, processes=2, cache=tmp_path, chunk=1)
    assert all(p.stat().st_mtime_ns == t for p, t in done.items())
    same(conformers(smiles[:4], seed=1), type(resumed)(*(part[:4] for part in resumed)))
    assert len(list(tmp_path.glob("[!.]*.safetensors"))) == 16
