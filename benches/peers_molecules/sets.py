"""The measured sets, read from a folder that is never shipped, and the one split that all peers get."""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase

from pellucid.chemistry.scaffolds import scaffold
from pellucid.clouds import SPLITS
from pellucid.datasets.splits import SHARES, split_by_groups


@dataclass(frozen=True)
class MoleculeSet:
    """Molecules with targets.

    Attributes:
        name: Of the set or task.
        kind: ``"regression"`` or ``"classification"`` (0 and 1).
        smiles: As they stand in the file, salts included; every peer gets these.
        targets: Names.
        values: (molecules, targets), NaN where nothing was measured.
        floors: Of targets whose smallest value means "at most this".
        unreadable: Rows that RDKit could not read, left out for all.
    """

    name: str
    kind: str
    smiles: list[str]
    targets: list[str]
    values: NDArray[np.float64]
    floors: dict[str, float] = field(default_factory=dict)
    unreadable: int = 0


@dataclass(frozen=True)
class Source:
    """Where a set lies, and which of its columns are measured targets (the others may be models' outputs)."""

    path: str
    kind: str
    targets: tuple[str, ...]
    smiles: str = "smiles"
    floors: dict[str, float] = field(default_factory=dict)


HLM, RLM = "LOG HLM_CLint (mL/min/kg)", "LOG RLM_CLint (mL/min/kg)"
SIDER = ("Hepatobiliary disorders", "Metabolism and nutrition disorders", "Product issues", "Eye disorders",
         "Investigations", "Musculoskeletal and connective tissue disorders", "Gastrointestinal disorders",
         "Social circumstances", "Immune system disorders", "Reproductive system and breast disorders",
         "Neoplasms benign, malignant and unspecified (incl cysts and polyps)",
         "General disorders and administration site conditions", "Endocrine disorders",
         "Surgical and medical procedures", "Vascular disorders", "Blood and lymphatic system disorders",
         "Skin and subcutaneous tissue disorders", "Congenital, familial and genetic disorders",
         "Infections and infestations", "Respiratory, thoracic and mediastinal disorders", "Psychiatric disorders",
         "Renal and urinary disorders", "Pregnancy, puerperium and perinatal conditions",
         "Ear and labyrinth disorders", "Cardiac disorders", "Nervous system disorders",
         "Injury, poisoning and procedural complications")
SOURCES = {  # small ones first: the order in which cells are run
    "freesolv": Source("moleculenet/FreeSolv_SAMPL.csv", "regression", ("expt",)),
    "esol": Source("moleculenet/ESOL_delaney-processed.csv", "regression",
                   ("measured log solubility in mols per litre",)),
    "clintox": Source("moleculenet/clintox.csv", "classification", ("FDA_APPROVED", "CT_TOX")),
    "bace": Source("moleculenet/bace.csv.gz", "classification", ("Class",)),
    "sider": Source("moleculenet/sider.csv", "classification", SIDER),
    "bbbp": Source("moleculenet/BBBP.csv", "classification", ("p_np",)),
    "lipophilicity": Source("moleculenet/Lipophilicity.csv", "regression", ("exp",)),
    "adme": Source("adme_fang2023/ADME_public_set_3521.csv", "regression",
                   (HLM, RLM, "LOG MDR1-MDCK ER (B-A/A-B)", "LOG SOLUBILITY PH 6.8 (ug/mL)",
                    "LOG PLASMA PROTEIN BINDING (HUMAN) (% unbound)", "LOG PLASMA PROTEIN BINDING (RAT) (% unbound)"),
                   "SMILES", {HLM: 0.675686709, RLM: 1.027920136}),
    "tox21": Source("moleculenet/tox21.csv", "classification",
                    ("NR-AR", "NR-AR-LBD", "NR-AhR", "NR-Aromatase", "NR-ER", "NR-ER-LBD", "NR-PPAR-gamma", "SR-ARE",
                     "SR-ATAD5", "SR-HSE", "SR-MMP", "SR-p53")),
}


def read_set(data: Path, name: str) -> MoleculeSet:
    """The rows of a set that RDKit can read and that have at least one measured target, in the file's order."""
    source = SOURCES[name]
    path = data / source.path
    with (gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="")) as file:
        rows = list(csv.DictReader(file))
    smiles, values, unreadable = [], [], 0
    with rdBase.BlockLogs():
        for row in rows:
            text = row[source.smiles].strip()
            mol = Chem.MolFromSmiles(text)
            if mol is None or not mol.GetNumAtoms():
                unreadable += 1
                continue
            found = [float(row[target] or "nan") for target in source.targets]
            if not np.isnan(found).all():
                smiles.append(text)
                values.append(found)
    return MoleculeSet(name, source.kind, smiles, list(source.targets), np.array(values), dict(source.floors),
                       unreadable)


def scaffold_parts(smiles: Sequence[str], seed: int, shares: Sequence[float] = SHARES) -> list[str]:
    """train, val or test of each molecule: the library's scaffold split; each seed is another split."""
    with rdBase.BlockLogs():
        groups = [scaffold(Chem.MolFromSmiles(text)) for text in smiles]
    return [SPLITS[part] for part in split_by_groups(groups, seed, shares).tolist()]


def digest(smiles: Sequence[str], values: NDArray[np.float64], parts: Sequence[str]) -> str:
    """A short hash of the rows, their targets and their parts: what peers are compared on must be one thing."""
    lines = (f"{text}\t{row.tolist()}\t{part}" for text, row, part in zip(smiles, values, parts, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
