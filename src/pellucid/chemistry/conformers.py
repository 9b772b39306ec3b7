"""3D conformers for one molecule or many: in parallel, resumable, the same whatever the number of processes."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
import rdkit
import torch
from numpy.typing import NDArray
from rdkit import Chem

from pellucid.chemistry import embedding
from pellucid.errors import DamagedFileError, PellucidError
from pellucid.files import digest, read_tensors, write_tensors
from pellucid.progress import waiting

CHUNK = 200

Positions = NDArray[np.float64]


class ConformerError(PellucidError):
    """A molecule for which no 3D structure could be made."""


class Conformers(NamedTuple):
    """Conformers of many molecules, in their order.

    Attributes:
        positions: (heavy atoms, 3) angstrom, centred; None where the molecule failed.
        reasons: Why it failed; ``""`` where it did not.
    """

    positions: list[Positions | None]
    reasons: list[str]


def conformer(molecule: str | Chem.Mol, seed: int = 0, *, retry: bool = True) -> Positions:
    """A 3D structure: hydrogens added, ETKDGv3, MMFF94 up to 1,000 iterations, hydrogens taken off.

    Args:
        molecule: SMILES or RDKit molecule.
        seed: 0 ... 2^31 - 1; the result depends on it, the molecule and RDKit's version alone.
        retry: When embedding fails, try once more from random coordinates.

    Returns:
        (heavy atoms, 3) angstrom in the molecule's atom order, the mean at the origin.

    Raises:
        ConformerError: if the SMILES cannot be read or no structure is found; the message has the reason.

    Source: ETKDG, Riniker & Landrum 2015; MMFF94, Halgren 1996; the recipe of LRI's SynMol.

    Example:
        >>> conformer("CCO", seed=1).shape
        (3, 3)
    """
    _check_seed(seed)
    if isinstance(molecule, str):
        positions, reason = embedding.embed_smiles(molecule, seed, retry)
        named = molecule
    else:
        positions, reason = embedding.embed(molecule, seed, retry)
        named = Chem.MolToSmiles(molecule)
    if positions is None:
        raise ConformerError(f"expected a molecule with a 3D structure, got {named!r}, but {reason}; give its pose in "
                             "an .sdf file or leave it out")
    return positions


def conformers(smiles: Sequence[str], *, seed: int = 0, processes: int = 1, cache: Path | None = None,
               progress: bool = False, retry: bool = True, chunk: int = CHUNK) -> Conformers:
    """3D structures of many molecules.

    Finished chunks are stored, so that a rerun after an interrupt goes on where it stopped; a damaged chunk is made
    again. No worker outlives the call.

    Args:
        smiles: Molecules.
        seed: See :func:`conformer`.
        processes: Worker processes of one thread each; the result does not depend on their number.
        cache: Folder of finished chunks; None stores nothing.
        progress: Show a bar on stderr.
        retry: See :func:`conformer`.
        chunk: Molecules that are stored together.

    Returns:
        One entry a molecule; a failure does not stop the others.

    Raises:
        PellucidError: if an option is out of range, a worker dies, or the cache cannot be written.

    Example:
        >>> made = conformers(["CCO", "C1#CC1"], seed=1)
        >>> [p is None for p in made.positions]
        [False, True]
    """
    _check_seed(seed)
    if processes < 1 or chunk < 1:
        raise PellucidError(f"expected at least 1 process and a chunk of at least 1, got {processes} and {chunk}")
    chunks = [list(smiles[i : i + chunk]) for i in range(0, len(smiles), chunk)]
    recipe = {"recipe": embedding.RECIPE, "rdkit": rdkit.__version__, "seed": seed, "retry": retry}
    paths = [cache / f"{digest({**recipe, 'smiles': part})}.safetensors" if cache else None for part in chunks]
    results = [_read(path, len(part)) if path else None for path, part in zip(paths, chunks, strict=True)]
    missing = [i for i, result in enumerate(results) if result is None]

    done_before = sum(len(part) for part, result in zip(chunks, results, strict=True) if result is not None)
    made_now = itertools.count(1)  # counted by several threads

    with waiting("conformers", progress, count=True) as advance:
        advance(done_before, len(smiles))

        def work(i: int, embed: Embed) -> None:
            positions, reasons = [], []
            for one in chunks[i]:
                made, reason = embed(one, seed, retry)
                positions.append(made)
                reasons.append(reason)
                advance(done_before + next(made_now), len(smiles))
            results[i] = Conformers(positions, reasons)
            if (path := paths[i]) is not None:
                _write(path, Conformers(positions, reasons))

        if missing:
            _in_parallel(missing, work, min(processes, len(missing)))
    done = [result for result in results if result is not None]
    return Conformers([p for r in done for p in r.positions], [s for r in done for s in r.reasons])


Embed = Callable[[str, int, bool], tuple[Positions | None, str]]


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**31:
        raise PellucidError(f"expected a seed from 0 to 2147483647, got {seed}")


class _Worker:
    """A process that runs ``embedding.py``, and a line-by-line talk with it."""

    def __init__(self) -> None:
        # RDKit catches Ctrl-C itself and then reports a failure, or a structure from half-known torsions, as if all
        # were well. So workers are kept out of the terminal's reach, and the parent ends them.
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
        self.process = subprocess.Popen(
            [sys.executable, "-P", embedding.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, encoding="utf-8", env={**os.environ, **threads},
            start_new_session=True, creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )

    def embed(self, smiles: str, seed: int, retry: bool) -> tuple[Positions | None, str]:
        stdin, stdout = cast(IO[str], self.process.stdin), cast(IO[str], self.process.stdout)
        try:
            stdin.write(json.dumps({"smiles": smiles, "seed": seed, "retry": retry}) + "\n")
            stdin.flush()
            line = stdout.readline()
        except OSError:
            line = ""
        if not line.endswith("\n"):
            raise PellucidError(f"expected a conformer of {smiles!r}, got a worker process that ended (status "
                                f"{self.process.wait()}); leave that molecule out or free some memory, and run again: "
                                "finished chunks are kept")
        answer = json.loads(line)
        made = answer["positions"]
        return None if made is None else np.array(made, dtype=np.float64).reshape(-1, 3), answer["reason"]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # unsent input of a killed worker
                    pipe.close()


def _in_parallel(tasks: Sequence[int], work: Callable[[int, Embed], None], workers: int) -> None:
    """Runs the tasks in threads that wait for one worker process each."""
    waiting = deque(tasks)
    stop = threading.Event()
    started: list[_Worker] = []

    def loop(worker: _Worker) -> None:
        while not stop.is_set():
            try:
                task = waiting.popleft()
            except IndexError:
                return
            work(task, worker.embed)

    pool = ThreadPoolExecutor(workers)
    try:
        futures = []
        for _ in range(workers):
            started.append(_Worker())
            futures.append(pool.submit(loop, started[-1]))
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:  # on an interrupt too: killed workers end the threads' waiting
        stop.set()
        for worker in started:
            worker.process.kill()
        pool.shutdown(wait=True, cancel_futures=True)
        for worker in started:
            worker.end()


def _write(path: Path, made: Conformers) -> None:
    kept = [p for p in made.positions if p is not None]
    sizes = torch.tensor([-1 if p is None else len(p) for p in made.positions])
    flat = torch.from_numpy(np.concatenate([np.zeros((0, 3)), *kept]))
    metadata = {"reasons": json.dumps(made.reasons), "sha256": _checksum(sizes, flat)}
    write_tensors(path, {"positions": flat, "sizes": sizes}, metadata)


def _read(path: Path, count: int) -> Conformers | None:
    """A stored chunk, or None where there is none or it is damaged."""
    if not path.is_file():
        return None
    try:
        tensors, metadata = read_tensors(path)
        flat, sizes, reasons = tensors["positions"], tensors["sizes"], json.loads(metadata["reasons"])
        if metadata["sha256"] != _checksum(sizes, flat) or not len(sizes) == len(reasons) == count:
            return None
    except (DamagedFileError, KeyError, ValueError):
        return None
    parts = iter(np.split(flat.numpy().copy(), np.cumsum(sizes[sizes >= 0].numpy())[:-1]))
    return Conformers([None if n < 0 else next(parts) for n in sizes.tolist()], reasons)


def _checksum(sizes: torch.Tensor, flat: torch.Tensor) -> str:
    return hashlib.sha256(sizes.numpy().tobytes() + flat.numpy().tobytes()).hexdigest()
