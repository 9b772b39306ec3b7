"""Complexes: preparation on one core, training steps on clouds of a few hundred points, and the largest protein.

    python benches/complexes_speed.py FOLDER [--complexes 60] [--rounds 5] [--threads 1] [--peer] [--json]

FOLDER is a source of the dataset plbind (an index.csv, PDBbind, or its own CSV). Complexes are drawn with a fixed
seed. Preparation is timed by part: protein (reading, chains, surface), ligand, contacts, clouds. Steps are those of the
preset `fast` (EGNN, batches of 32) on the drawn complexes; each time is a median over rounds. The largest protein of
the folder is read, explained, and trained on in steps of two copies of it. At last a structure of 10,000 residues is
read: copies of a protein beside each other, since the folder has none of that size. With --peer (pip install biopython)
also what Biopython takes for the part of the preparation that it has: reading, and the surface of each residue by
Shrake & Rupley with as many points (100).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pellucid.chemistry.complexes import complex_clouds, read_complex
from pellucid.chemistry.contacts import contacts
from pellucid.chemistry.ligands import read_ligand
from pellucid.chemistry.proteins import read_protein
from pellucid.clouds import PointClouds
from pellucid.datasets.complex_lists import Listed, read_complexes
from pellucid.datasets.plbind import PLBind
from pellucid.methods import Method
from pellucid.training.config import RunConfig
from pellucid.training.explaining import explain_clouds
from pellucid.training.model import build, measured
from pellucid.training.presets import settings
from timing import machine
from training_speed import Ours

METHODS = ("erm", "lri-bernoulli", "lri-gaussian")


def timed(work: Callable[[], Any], rounds: int = 1) -> tuple[float, Any]:
    """Median seconds, and what the last round gave."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - started)
    return statistics.median(times), result


def preparation(chosen: list[Listed]) -> dict[str, Any]:
    parts: dict[str, list[float]] = {"protein": [], "ligand": [], "contacts": [], "clouds": []}
    residues = []
    for one in chosen:
        seconds, ligand = timed(lambda one=one: read_ligand(one.ligands[0]))
        parts["ligand"].append(seconds)
        seconds, protein = timed(lambda one=one, ligand=ligand: read_protein(one.protein, near=ligand.pos))
        parts["protein"].append(seconds)
        parts["contacts"].append(timed(lambda protein=protein, ligand=ligand: contacts(protein, ligand))[0])
        whole = read_complex(one.protein, one.ligands[0], interactions=False)
        parts["clouds"].append(timed(lambda whole=whole: complex_clouds([whole]))[0])
        residues.append(len(protein.pos))
    total = sum(sum(values) for values in parts.values())
    return {"complexes": len(chosen), "residues_mean": float(np.mean(residues)),
            "complexes_per_second_and_core": len(chosen) / total,
            "seconds_a_complex": {name: float(np.mean(values)) for name, values in parts.items()}}


def against_biopython(chosen: list[Listed]) -> dict[str, Any]:
    """In turns on the same files; the rest that ours does (chains at the ligand, conformers, types) counts as ours."""
    import gzip
    import io

    from Bio.PDB import PDBParser
    from Bio.PDB.SASA import ShrakeRupley

    def peer(one: Listed) -> dict[str, float]:
        data = one.protein.read_bytes()
        text = gzip.decompress(data) if one.protein.suffix == ".gz" else data
        structure = PDBParser(QUIET=True).get_structure("", io.StringIO(text.decode()))
        for residue in structure.get_residues():  # ours has none of them in its surface
            for atom in [atom for atom in residue if atom.element in ("H", "D")]:
                residue.detach_child(atom.id)
        ShrakeRupley(n_points=100).compute(structure, level="R")
        return {str(residue.get_full_id()): residue.sasa for residue in structure.get_residues()}

    rows = []
    for one in chosen:
        if ".pdb" in one.protein.name:
            ours, read = timed(lambda one=one: read_protein(one.protein, chains="all"))
            theirs, _ = timed(lambda one=one: peer(one))
            rows.append((ours, theirs, theirs / ours, len(read.pos)))
    columns = np.array(rows)
    return {"proteins": len(rows), "residues_mean": float(columns[:, 3].mean()), "pellucid_ms": 1e3 * float(
        np.median(columns[:, 0])), "biopython_ms": 1e3 * float(np.median(columns[:, 1])),
        "ratio": float(np.median(columns[:, 2]))}


def steps(clouds: PointClouds, rounds: int) -> dict[str, Any]:
    found: dict[str, Any] = {"points_mean": float(clouds.sizes.double().mean()),
                             "ligand_atoms_mean": float(clouds.partner.sizes.double().mean())}
    for method in METHODS:
        seconds = epoch_seconds(clouds, method, rounds)
        found[method] = {"clouds_per_second": len(clouds) / seconds, "points_per_second": clouds.points / seconds}
    return found


def epoch_seconds(clouds: PointClouds, method: str, rounds: int) -> float:
    ours = Ours(*model_of(clouds, method), clouds)
    ours.epoch()
    return timed(ours.epoch, rounds)[0]


def model_of(clouds: PointClouds, method: str) -> tuple[Method, RunConfig]:
    torch.manual_seed(0)
    config = settings("plbind", method, "egnn", "fast", {"training": {"schedule": "constant"}})  # as Ours steps
    return build(config, measured(PLBind().spec(clouds), clouds, config)), config


def largest(listed: list[Listed]) -> dict[str, Any]:
    by_size = sorted(listed, key=lambda one: one.protein.stat().st_size)[-20:]
    sizes = {one.name: len(read_protein(one.protein).pos) for one in by_size}
    one = max(by_size, key=lambda one: sizes[one.name])
    seconds, whole = timed(lambda: read_complex(one.protein, one.ligands[0], chains="all"))
    clouds = labelled(complex_clouds([whole]))
    model, _ = model_of(clouds, "lri-bernoulli")
    explaining, _ = timed(lambda: explain_clouds(model.eval(), clouds), 3)
    pair = labelled(complex_clouds([whole, whole]))
    return {"name": one.name, "residues": len(whole.protein.pos), "reading_s": seconds, "explaining_s": explaining,
            "step_of_two_s": {method: epoch_seconds(pair, method, 3) for method in METHODS}}


def labelled(clouds: PointClouds) -> PointClouds:
    return clouds.replace(y=(torch.arange(len(clouds)) % 2).float()[:, None])


def ten_thousand(one: Listed) -> dict[str, Any]:
    import gemmi

    protein = read_protein(one.protein)
    copies = -(-10_000 // len(protein.pos))
    structure = gemmi.Structure()
    structure.add_model(gemmi.Model(1))
    width = float(np.ptp(protein.atoms, axis=0).max()) + 10
    for i in range(copies):
        for chain in protein.structure[0]:
            moved = chain.clone()
            moved.name = f"{chain.name}{i}"
            for residue in moved:
                for atom in residue:
                    x, y, z = (place + width * step for place, step in zip(
                        atom.pos.tolist(), (i % 5, i // 5 % 5, i // 25), strict=True))
                    atom.pos = gemmi.Position(x, y, z)
            structure[0].add_chain(moved)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.cif"
        structure.setup_entities()
        structure.make_mmcif_document().write_file(str(path))
        seconds, read = timed(lambda: read_protein(path, chains="all"))
    return {"residues": len(read.pos), "reading_s": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--complexes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    listed = read_complexes(args.folder).listed
    order = np.random.default_rng(0).permutation(len(listed))[: args.complexes]
    chosen = [listed[i] for i in order]
    clouds = labelled(complex_clouds([read_complex(one.protein, one.ligands[0], interactions=False)
                                      for one in chosen]))
    results = {"machine": machine(), "threads": args.threads, "preparation": preparation(chosen),
               "steps": steps(clouds, args.rounds), "largest": largest(listed), "ten_thousand": ten_thousand(chosen[0])}
    if args.peer:
        results["reading_and_surface"] = against_biopython(chosen)
    print(json.dumps(results, indent=None if args.json else 2))


if __name__ == "__main__":
    main()
