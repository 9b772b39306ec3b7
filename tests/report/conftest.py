"""Real molecules with INVENTED importance, covariance, metrics and history: for looking at pages, not at chemistry."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from pellucid.domains import domain_of
from pellucid.report import PublishedCell, ReportContent, Sample, depict, depict_truth

MOLECULES = domain_of("molecules")
DRUGS = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "caffeine": "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "ibuprofen": "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "sulfamethoxazole": "Cc1cc(NS(=O)(=O)c2ccc(N)cc2)no1",
    "imatinib": "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(n1)-c1cccnc1",
    "propargylamine with nitrile": "C#CCNC(=O)CC#N",
}


def invented_sample(name: str, smiles: str, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    mol = Chem.RemoveHs(mol)
    n = mol.GetNumAtoms()
    pattern = Chem.MolFromSmarts("C(=O)[O,N]")
    truth = np.zeros(n, dtype=bool)
    for match in mol.GetSubstructMatches(pattern):
        truth[list(match)] = True
    root = rng.normal(size=(n, 3, 3))
    size = np.where(truth, 0.18, 0.55) * rng.uniform(0.7, 1.3, n)
    axes = np.linalg.qr(root)[0]
    std = size[:, None] * np.array([1.6, 1.0, 0.55])
    covariance = axes @ (np.eye(3) * std[:, None] ** 2) @ axes.transpose(0, 2, 1)
    importance = -np.linalg.slogdet(covariance)[1]
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b.GetBondTypeAsDouble()) for b in mol.GetBonds()]
    target = float(truth.any())
    prediction = float(np.clip((0.03 if name == "ibuprofen" else 0.93 * target + 0.03) + rng.uniform(0, 0.04), 0, 1))
    return Sample(
        name=name, unit="angstrom", pos=mol.GetConformer().GetPositions(),
        labels=[atom.GetSymbol() for atom in mol.GetAtoms()], importance=importance, prediction=prediction,
        importance_name="location importance (-log det Σ)", target=target, bonds=bonds, important=truth,
        covariance=covariance, svg=depict(mol, importance, title=name), svg_truth=depict_truth(mol, truth, title=name),
        facts={"SMILES": smiles, "id": f"invented-{seed}"}, words=MOLECULES.words, look=MOLECULES.look,
    )  # fmt: skip


def invented_history() -> list[dict[str, object]]:
    rng = np.random.default_rng(1)
    out: list[dict[str, object]] = []
    for epoch in range(60):
        rise = 1 - np.exp(-epoch / 9)
        out.append({
            "epoch": epoch, "phase": "warm-up" if epoch < 15 else "train", "seconds": 2.0 + rng.normal() * 0.1,
            "train": {"loss": 0.7 * np.exp(-epoch / 14) + 0.03, "roc_auc": 0.5 + 0.49 * rise},
            "val": {"loss": 0.72 * np.exp(-epoch / 14) + 0.05 + 0.01 * rng.normal(),
                    "classification_roc_auc": 0.5 + 0.48 * rise + 0.006 * rng.normal(),
                    "interpretation_roc_auc": (0.55 if epoch < 15 else 0.95 - 0.35 * np.exp(-(epoch - 15) / 8))
                    + 0.012 * rng.normal()},
        })
    return out


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    return [invented_sample(name, smiles, seed) for seed, (name, smiles) in enumerate(DRUGS.items())]


@pytest.fixture(scope="session")
def content(samples: list[Sample]) -> ReportContent:
    return invented_content(samples)


def invented_content(samples: list[Sample]) -> ReportContent:
    return ReportContent(
        title="Invented example: LRI-Gaussian on seven drugs",
        subtitle="DGCNN backbone; every number on this page is made up to test the page",
        provenance={"command": "pellucid fit synmol --method lri-gaussian --backbone dgcnn --seed 0",
                    "date": "2026-01-01 12:00 UTC", "seed": 0, "machine": {"cpu": "2 cores", "gpu": None},
                    "versions": {"pellucid": "0.1.0", "torch": "2.6.0"}, "data hash": "0123456789abcdef",
                    "config": {"backbone": {"name": "dgcnn", "hidden": 64, "layers": 4}, "lr": 1e-3}},
        metrics={"prediction": {"y": {"roc_auc": 0.9931, "accuracy": 0.962}},
                 "interpretation": {"roc_auc": 0.9468, "roc_auc_per_cloud": 0.9612, "precision@5": 0.8125,
                                    "precision@5_random": 0.31},
                 "fidelity": {"deletion": {"auc": 0.231, "random": 0.482},
                              "insertion": {"auc": 0.871, "random": 0.51}}},
        published=[PublishedCell("interpretation.roc_auc", 0.9295, 0.0189, "Invented table, LRI-Gaussian, DGCNN"),
                   PublishedCell("interpretation.roc_auc", 0.8851, 0.0242, "Invented table, LRI-Bernoulli, DGCNN"),
                   PublishedCell("classification.roc_auc", 0.9947, 0.0021, "Invented table, LRI-Gaussian, DGCNN"),
                   PublishedCell("interpretation.precision@12", 0.71, float("nan"), "Invented table")],
        history=invented_history(), selected_epoch=47, samples=samples,
        notes=["Line 3 of molecules.smi did not parse: 'C1CC'.",
               "LRI-Gaussian learns, for each atom, how far it may move in each direction without "
               "changing the answer."],
    )  # fmt: skip
