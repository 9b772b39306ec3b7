"""3D conformers for one molecule or many: in parallel, resumable, the same whatever the number of processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

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
BATCH = 16
"""Molecules that a worker gets at once at most."""

Positions = NDArray[np.float64]


class ConformerError(PellucidError):
    """A molecule for which no 3D structure could be made."""


class Conformers(NamedTuple):
    """Conformers of many molecules, in their order.

    Attributes:
        positions: (heavy atoms, 3) angstrom, centred, or (conformers, heavy atoms, 3) where several were asked for;
            None where the molecule failed.
        reasons: Why it failed; ``""`` where it did not.
        relaxed: What each was relaxed by: ``"MMFF94"``, or with a fallback ``"UFF"`` or ``"nothing"``; ``""`` where
            it failed.
    """

    positions: list[Positions | None]
    reasons: list[str]
    relaxed: list[str]


def conformer(molecule: str | Chem.Mol, seed: int = 0, *, retry: bool = True, fallback: bool = False) -> Positions:
    """A 3D structure: hydrogens added, ETKDGv3, MMFF94 up to 1,000 iterations, hydrogens taken off.

    Args:
        molecule: SMILES or RDKit molecule.
        seed: 0 ... 2^31 - 1; the result depends on it, the molecule and RDKit's version alone.
        retry: When embedding fails, try once more from random coordinates.
        fallback: What MMFF94 has no parameters for (boron, dummy atoms, metals) is relaxed by UFF, and where that has
            none either, keeps the geometry of ETKDG; otherwise it is refused.

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
        made, named = embedding.embed_smiles(molecule, seed, retry, fallback), molecule
    else:
        made, named = embedding.embed(molecule, seed, retry, fallback), Chem.MolToSmiles(molecule)
    if made.positions is None:
        raise ConformerError(f"expected a molecule with a 3D structure, got {named!r}, but {made.reason}; give its "
                             "pose in an .sdf file or leave it out")
    first: Positions = made.positions[0]
    return first


def conformers(smiles: Sequence[str], *, seed: int = 0, processes: int = 1, cache: Path | None = None,
               progress: bool = False, retry: bool = True, chunk: int = CHUNK, fallback: bool = False, count: int = 1
               ) -> Conformers:
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
        fallback: See :func:`conformer`.
        count: Conformers of each molecule, out of one embedding call; the first is the one of a count of 1. They are
            not pruned: a rigid molecule has as many, all alike. Where some cannot be embedded there are fewer.

    Returns:
        One entry a molecule; a failure does not stop the others.

    Raises:
        PellucidError: if an option is out of range, a worker dies, or the cache cannot be written.

    Example:
        >>> made = conformers(["CCO", "C1#CC1"], seed=1)
        >>> [p is None for p in made.positions]
        [False, True]
        >>> conformers(["CCO"], seed=1, count=4).positions[0].shape
        (4, 3, 3)
    """
    _check_seed(seed)
    if processes < 1 or chunk < 1 or count < 1:
        raise PellucidError(f"expected at least 1 process, 1 conformer and a chunk of at least 1, got {processes}, "
                            f"{count} and {chunk}")
    how: dict[str, Any] = {"seed": seed, "retry": retry}
    how |= ({"fallback": True} if fallback else {}) | ({"count": count} if count > 1 else {})
    chunks = [list(smiles[i : i + chunk]) for i in range(0, len(smiles), chunk)]
    recipe = {"recipe": embedding.RECIPE, "rdkit": rdkit.__version__, **how}
    paths = [cache / f"{digest({**recipe, 'smiles': part})}.safetensors" if cache else None for part in chunks]
    results = [_read(path, len(part)) if path else None for path, part in zip(paths, chunks, strict=True)]
    missing = [i for i, result in enumerate(results) if result is None]
    done_before = len(smiles) - sum(len(chunks[i]) for i in missing)

    with waiting("conformers", progress, count=True) as advance:
        advance(done_before, len(smiles))

        def finished(i: int, made: list[embedding.Embedded]) -> None:
            results[i] = whole = _together(made, count)
            if (path := paths[i]) is not None:
                _write(path, whole)

        if missing:
            _in_parallel({i: chunks[i] for i in missing}, how, processes, finished,
                         lambda done: advance(done_before + done, len(smiles)))
    done = [result for result in results if result is not None]
    return Conformers([p for r in done for p in r.positions], [s for r in done for s in r.reasons],
                      [s for r in done for s in r.relaxed])


def _together(made: Sequence[embedding.Embedded], count: int) -> Conformers:
    return Conformers([one.positions if one.positions is None or count > 1 else one.positions[0] for one in made],
                      [one.reason for one in made], ["" if one.reason else one.relaxed for one in made])


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

    def embed(self, smiles: Sequence[str], how: Mapping[str, Any]) -> Iterator[embedding.Embedded]:
        stdin, stdout = cast(IO[str], self.process.stdin), cast(IO[str], self.process.stdout)
        with contextlib.suppress(OSError):
            stdin.write(json.dumps({**how, "smiles": smiles}) + "\n")
            stdin.flush()
        for one in smiles:
            try:
                line = stdout.readline()
            except OSError:
                line = ""
            if not line.endswith("\n"):
                raise PellucidError(f"expected a conformer of {one!r}, got a worker process that ended (status "
                                    f"{self.process.wait()}); leave that molecule out or free some memory, and run "
                                    "again: finished chunks are kept")
            answer = json.loads(line)
            if answer["positions"] is not None:
                answer["positions"] = np.array(answer["positions"], dtype=np.float64)
            yield embedding.Embedded(**answer)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # unsent input of a killed worker
                    pipe.close()


def _in_parallel(chunks: Mapping[int, list[str]], how: Mapping[str, Any], processes: int,
                 finished: Callable[[int, list[embedding.Embedded]], None], advance: Callable[[int], None]) -> None:
    """Makes chunks in threads that wait for one worker process each, in small batches, so that all end together."""
    # chunk by chunk, so that the first are stored soon; in each the long ones first, so that short ones fill the end
    waiting = deque((i, k) for i, part in chunks.items() for k in sorted(range(len(part)), key=lambda k: -len(part[k])))
    made: dict[int, dict[int, embedding.Embedded]] = {i: {} for i in chunks}
    left, workers = len(waiting), min(processes, len(waiting))
    lock, stop = threading.Lock(), threading.Event()
    started: list[_Worker] = []

    def loop(worker: _Worker) -> None:
        nonlocal left
        while not stop.is_set():
            with lock:
                size = max(1, min(BATCH, len(waiting) // (4 * workers)))
                batch = [waiting.popleft() for _ in range(min(size, len(waiting)))]
            if not batch:
                return
            answers = worker.embed([chunks[i][k] for i, k in batch], how)
            for (i, k), answer in zip(batch, answers, strict=True):
                with lock:
                    made[i][k] = answer
                    left -= 1
                    whole = len(made[i]) == len(chunks[i])
                    advance(sum(map(len, chunks.values())) - left)
                if whole:
                    finished(i, [made[i].pop(k) for k in range(len(chunks[i]))])

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
    several = [None if p is None else p.reshape(-1, *p.shape[-2:]) for p in made.positions]
    counts = torch.tensor([0 if p is None else len(p) for p in several])
    sizes = torch.tensor([-1 if p is None else p.shape[1] for p in several])
    flat = torch.from_numpy(np.concatenate([np.zeros((0, 3)), *(p.reshape(-1, 3) for p in several if p is not None)]))
    metadata = {"reasons": json.dumps(made.reasons), "relaxed": json.dumps(made.relaxed)}
    tensors = {"positions": flat, "sizes": sizes}
    if any(p is not None and p.ndim == 3 for p in made.positions):
        tensors["counts"] = counts
    write_tensors(path, tensors, metadata | {"sha256": _checksum(tensors)})


def _read(path: Path, count: int) -> Conformers | None:
    """A stored chunk, or None where there is none or it is damaged."""
    if not path.is_file():
        return None
    try:
        tensors, metadata = read_tensors(path)
        flat, sizes, reasons = tensors["positions"], tensors["sizes"], json.loads(metadata["reasons"])
        counts = tensors.get("counts")
        relaxed = json.loads(metadata.get("relaxed", "null"))
        if relaxed is None:  # stored before there was another force field
            relaxed = ["" if reason else embedding.MMFF94 for reason in reasons]
        if metadata["sha256"] != _checksum(tensors) or not len(sizes) == len(reasons) == len(relaxed) == count:
            return None
    except (DamagedFileError, KeyError, ValueError):
        return None
    rows = sizes.clamp(min=0) * (1 if counts is None else counts)
    parts = np.split(flat.numpy().copy(), np.cumsum(rows.numpy())[:-1])
    if counts is not None:
        parts = [part.reshape(-1, max(n, 1), 3) for part, n in zip(parts, sizes.tolist(), strict=True)]
    return Conformers([None if n < 0 else part for n, part in zip(sizes.tolist(), parts, strict=True)], reasons,
                      relaxed)


def _checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    return hashlib.sha256(b"".join(tensors[name].numpy().tobytes() for name in ("sizes", "positions", "counts")
                                   if name in tensors)).hexdigest()
