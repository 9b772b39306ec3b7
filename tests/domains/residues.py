"""Proteins and ligands with INVENTED places and importance: for looking at pages, not at biology."""

import json

import numpy as np
import torch
from rdkit import Chem
from rdkit.Chem import AllChem

import pellucid.chemistry.complexes  # noqa: F401  (declares the fields of complexes)
from pellucid.chemistry.encoding import molecule_clouds
from pellucid.clouds import PointClouds
from pellucid.explanation import Explanation
from pellucid.targets import Target, Targets

LIGAND = "CC(=O)Nc1ccc(O)cc1"


def invented_complexes(sizes=(40, 6), *, covariance=False, task="binary", **more):
    """Random walks with steps of 3.8 as proteins in two chains, a ligand beside each, INVENTED importance."""
    rng = np.random.default_rng(0)
    mol = Chem.AddHs(Chem.MolFromSmiles(LIGAND))
    assert AllChem.EmbedMolecule(mol, randomSeed=3) == 0
    mol = Chem.RemoveHs(mol)
    pose = mol.GetConformer().GetPositions()
    pos, names, poses = [], [], []
    for n in sizes:
        step = rng.normal(size=(n, 3))
        walk = np.cumsum(3.8 * step / np.linalg.norm(step, axis=1, keepdims=True), axis=0)
        walk -= walk.mean(0)
        pos.append(walk)
        names.append([f"{'A' if k < n // 2 else 'B'}:{('ASP', 'GLY', 'MSE')[k % 3]}{k + 1}" for k in range(n)])
        poses.append(pose - pose.mean(0) + walk[n // 3] + [0, 4, 0])
    ligands = molecule_clouds([mol] * len(sizes), poses, names=[f"c{k}" for k in range(len(sizes))],
                              smiles=[LIGAND] * len(sizes), molblocks=True)
    ligands = ligands.replace(pos=torch.from_numpy(np.concatenate(poses)).float())
    distance = np.concatenate([np.linalg.norm(a[:, None] - b[None], axis=2).min(1) for a, b in
                               zip(pos, poses, strict=True)])
    near = torch.from_numpy(distance)
    fields = {"pos": torch.from_numpy(np.concatenate(pos)), "important": near < 12, "hydrogen_bond": near < 4,
              "hydrophobic": (near > 3) & (near < 6), "contact": near < 6, "distance": near,
              "group": torch.cat([torch.arange(n) for n in sizes]), **more}
    clouds = PointClouds(torch.tensor([0, *sizes]).cumsum(0), fields, units={"pos": "angstrom"}, partner=ligands, text={
        "id": [f"c{k}" for k in range(len(sizes))], "ligand_smiles": [LIGAND] * len(sizes),
        "group_names": [json.dumps(n) for n in names]})
    root = torch.from_numpy(rng.normal(size=(sum(sizes), 3, 3)))
    regression = task == "regression"
    target = Target("pK", "regression") if regression else Target("binds")
    prediction = torch.full((len(sizes), 1), 7.25 if regression else 0.75)
    return Explanation(clouds, prediction, torch.from_numpy(-distance), "INVENTED importance",
                       root @ root.transpose(1, 2) if covariance else None,
                       {"spec": {"domain": "complexes"}}, {"spread": torch.full((sum(sizes),), 0.5)},
                       targets=Targets((target,)))
