"""SynMol: molecules whose label and deciding atoms are known by construction (two functional groups, both present)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rdkit
import torch
from numpy.typing import NDArray
from rdkit import Chem

from pellucid.chemistry.conformers import conformers
from pellucid.chemistry.encoding import molecule_clouds
from pellucid.chemistry.fragments import FRAGMENTS, matched_atoms
from pellucid.chemistry.molecules import ATOM_TYPES, atom_types, parse_smiles
from pellucid.clouds import FIELDS, SPLITS, Field, PointClouds
from pellucid.cores import usable_cores
from pellucid.datasets import logic8, zinc
from pellucid.datasets.base import Dataset, datasets, whole_number
from pellucid.errors import PellucidError
from pellucid.targets import Target

FIELDS.setdefault("fragments", Field("cloud", "bool", ("G",), "", "functional groups present: alkane, carbonyl"))

SOURCES = ("zinc", "logic8")
TESTS = {"equal": zinc.TEST_EQUAL, "original": zinc.TEST_ORIGINAL}
LICENCES = {
    "zinc": "MIT (molsets 0.3.1), a selection of ZINC",
    "logic8": "Apache-2.0 (graph-attribution), a selection of ZINC12 by permission of John Irwin",
}
MAX_SIZE = 100_000


@dataclass(frozen=True)
class _Raw:
    """Molecules of either source, before conformers; ``truth`` is the given ground truth, where there is one."""

    ids: list[str]
    smiles: list[str]
    split: NDArray[np.int64]
    truth: logic8.Logic8 | None
    chosen: NDArray[np.int64]
    account: dict[str, Any]


@datasets.register("synmol")
class SynMol(Dataset):
    """Molecules; positive where an unbranched alkane and a carbonyl are both present, whose atoms are the ground truth.

    Options:
        source: ``"zinc"`` draws real ZINC molecules from a package registry; ``"logic8"`` reads the original release.
        source_dir: Folder of the five original files, for ``"logic8"``.
        size: Number of molecules before conformers (8,671 as the original); fewer of logic8 are drawn at random.
        seed: Of the draw, the validation split and the conformers. With logic8, 42 gives the authors' own split.
        test: For ``"zinc"``: ``"equal"`` makes the four combinations of the fragments equally frequent in the test
            split, ``"original"`` keeps the release's test composition (184 both, 89 alkane only, 440 carbonyl only, 205
            neither). Training and validation have the release's composition in either case.
        processes: Worker processes for the conformers (None: one for every usable core).
        progress: Show a bar on stderr.

    The test split is 918 of 8,671, the validation split 1,000 of the other 7,753, at random. Molecules without a
    conformer are left out and listed in the provenance under ``failed``.
    """

    name = "synmol"
    targets = (Target("alkane and carbonyl"),)
    domain = "molecules"
    unit = "angstrom"
    category_sizes = (len(ATOM_TYPES),)
    precision_at = (5, 8)
    citation = ("Miao et al., Interpretable Geometric Deep Learning via Learnable Randomness Injection, ICLR 2023; "
                "McCloskey et al., PNAS 116, 11624 (2019); Sanchez-Lengeling et al., NeurIPS 2020")
    licence = "; ".join(f"{source}: {licence}" for source, licence in LICENCES.items())
    as_published = {"source": ("zinc", "logic8")}  # noqa: RUF012
    usual = (8_671, 21.4)
    defaults = {"source": "zinc", "source_dir": None, "size": zinc.ORIGINAL_SIZE, "seed": 0,  # noqa: RUF012
                "test": "equal", "processes": None, "progress": False}

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """See :meth:`Dataset.check`."""
        source = options["source"]
        if source not in SOURCES:
            raise PellucidError(f"expected source to be one of {', '.join(SOURCES)}, got {source!r}")
        if options["test"] not in TESTS:
            raise PellucidError(f"expected test to be one of {', '.join(TESTS)}, got {options['test']!r}")
        if options["processes"] is not None:
            whole_number(options, "processes", 1, 1024)
        key: dict[str, Any] = {"source": source, "seed": whole_number(options, "seed", 0, 2**31 - 1)}
        if source == "zinc":
            if options["source_dir"] is not None:
                raise PellucidError("expected no source_dir with source='zinc', got one; use source='logic8' to read "
                                    "the original files")
            return {**key, "size": whole_number(options, "size", 40, MAX_SIZE), "test": options["test"],
                    "wheel": zinc.CHECKSUM}
        if options["test"] != self.defaults["test"]:
            raise PellucidError("expected no option test with source='logic8', got one; its test split is the "
                                "original's")
        if options["source_dir"] is None:
            raise PellucidError("expected source_dir with source='logic8', got none; give the folder data/logic8 of "
                                "the repository google-research/graph-attribution")
        return {**key, "size": whole_number(options, "size", 40, zinc.ORIGINAL_SIZE),
                "files": logic8.checksums(Path(options["source_dir"]))}

    def more_counts(self, clouds: PointClouds) -> dict[str, Any]:
        """How many molecules have which of the two groups."""
        if "fragments" not in clouds:
            return {}
        alkane, carbonyl = clouds["fragments"].T
        return {"fragments": {
            "both": int((alkane & carbonyl).sum()), "alkane": int((alkane & ~carbonyl).sum()),
            "carbonyl": int((~alkane & carbonyl).sum()), "neither": int((~alkane & ~carbonyl).sum())}}

    def build(self, options: dict[str, Any]) -> tuple[PointClouds, dict[str, Any]]:
        """See :meth:`Dataset.build`."""
        raw = _from_zinc(options) if options["source"] == "zinc" else _from_logic8(options)
        mols = [_molecule(name, smiles) for name, smiles in zip(raw.ids, raw.smiles, strict=True)]
        alkane = [matched_atoms(mol, "alkane") for mol in mols]
        carbonyl = [matched_atoms(mol, "carbonyl") for mol in mols]
        fragments = np.array([(bool(a), bool(b)) for a, b in zip(alkane, carbonyl, strict=True)])
        positive: NDArray[np.bool_] = fragments[:, 0] & fragments[:, 1]
        important = [_mark(mol.GetNumAtoms(), a | b if p else set())
                     for mol, a, b, p in zip(mols, alkane, carbonyl, positive, strict=True)]
        if raw.truth is not None:
            _compare(raw, mols, positive, important)

        processes = options["processes"] or usable_cores()
        made = conformers(raw.smiles, seed=options["seed"], processes=processes, cache=self.folder / "conformers",
                          progress=options["progress"], retry=False)
        keep = [i for i, positions in enumerate(made.positions) if positions is not None]
        if not keep:
            raise PellucidError("expected conformers, got none for any molecule; check the RDKit installation")
        failed = [{"id": raw.ids[i], "smiles": raw.smiles[i], "reason": reason}
                  for i, reason in enumerate(made.reasons) if reason]
        clouds = molecule_clouds([mols[i] for i in keep], [p for p in made.positions if p is not None],
                                 names=[raw.ids[i] for i in keep], smiles=[raw.smiles[i] for i in keep]).replace(
            y=torch.from_numpy(positive[keep].astype(np.float32))[:, None],
            important=torch.from_numpy(np.concatenate([important[i] for i in keep])),
            split=torch.from_numpy(raw.split[keep]),
            fragments=torch.from_numpy(fragments[keep]),
        )
        return clouds, {
            **raw.account,
            "licence": LICENCES[options["source"]],
            "seed": options["seed"],
            "fragments": {name: fragment.smarts for name, fragment in FRAGMENTS.items()},
            "conformers": "hydrogens added, ETKDGv3, MMFF94 up to 1000 iterations, hydrogens removed, centred",
            "rdkit": rdkit.__version__,
            "counts": {"requested": len(mols), "prepared": len(keep), "failed": len(failed)},
            "failed": failed,
        }


def _from_zinc(options: dict[str, Any]) -> _Raw:
    sample = zinc.draw(zinc.zinc_smiles(), options["size"], TESTS[options["test"]], options["seed"])
    test = np.array(sample.test)
    split = np.where(test, SPLITS.index("test"), SPLITS.index("train"))
    split[_validation(np.flatnonzero(~test), options["seed"])] = SPLITS.index("val")
    account = {"source": f"{zinc.MEMBER} of the wheel {zinc.REQUIREMENT}; ids are its rows, counted from 0",
               "inputs": {zinc.WHEEL: zinc.CHECKSUM}, "scanned": sample.scanned, "test": options["test"]}
    ids = [f"moses-train-{row}" for row in sample.rows]
    return _Raw(ids, sample.smiles, split, None, np.arange(len(test)), account)


def _from_logic8(options: dict[str, Any]) -> _Raw:
    folder = Path(options["source_dir"])
    truth = logic8.read_logic8(folder)
    split = np.full(len(truth.smiles), SPLITS.index("train"))
    split[truth.test] = SPLITS.index("test")
    split[_validation(truth.train, options["seed"])] = SPLITS.index("val")
    chosen = np.arange(len(split))
    if options["size"] < len(split):
        chosen = np.sort(np.random.default_rng(options["seed"]).choice(len(split), options["size"], replace=False))
    account = {"source": "logic8 of google-research/graph-attribution (SMILES, split and ground truth as released; the "
                         "ground truth agrees with the SMARTS on every label and atom)",
               "inputs": logic8.checksums(folder)}
    ids, smiles = [truth.ids[i] for i in chosen], [truth.smiles[i] for i in chosen]
    return _Raw(ids, smiles, split[chosen], truth, chosen, account)


def _validation(train: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """1,000 of 7,753, rounded: the last ones of the shuffled training rows."""
    # The legacy generator on purpose: with seed 42 and the original files it gives the split of the paper's authors.
    order = np.random.RandomState(seed).permutation(len(train))
    return train[order[len(train) - round(len(train) * 1000 / 7753) :]]


def _molecule(name: str, smiles: str) -> Chem.Mol:
    mol, reason = parse_smiles(smiles)
    if mol is None:
        raise PellucidError(f"expected a molecule {name}, got: {reason}; fetch the raw files again")
    return mol


def _mark(atoms: int, marked: set[int]) -> NDArray[np.bool_]:
    flags = np.zeros(atoms, dtype=bool)
    flags[list(marked)] = True
    return flags


def _compare(raw: _Raw, mols: list[Chem.Mol], positive: NDArray[np.bool_], important: list[NDArray[np.bool_]]) -> None:
    """Raises unless label, atom types and deciding atoms of every molecule are the released ones."""
    truth = raw.truth
    assert truth is not None
    for i, row in enumerate(raw.chosen):
        types = atom_types(mols[i], raw.ids[i])
        problem = ("label" if positive[i] != truth.labels[row]
                   else "atom types" if not np.array_equal(types, truth.types[row])
                   else "deciding atoms" if not np.array_equal(important[i], truth.important[row]) else "")
        if problem:
            raise PellucidError(f"expected the {problem} of {raw.ids[i]} ({raw.smiles[i]}) as released, got others "
                                "from the SMARTS; the raw files may be damaged or this RDKit reads SMILES differently")
