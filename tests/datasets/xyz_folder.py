"""A folder of .xyz files of real molecules with a table: regressions in two units, a class, gaps."""

from __future__ import annotations

import csv
from pathlib import Path

from rdkit import Chem
from rdkit.Chem import AllChem, Crippen, Descriptors

SMILES = Path(__file__).parent / "zinc_smiles.txt"


def xyz_folder(folder: Path, count: int = 40, *, labelled: bool = True, start: int = 0) -> Path:
    """Conformers of RDKit (hydrogens left out); logP, the molar mass, and whether a ring is aromatic, in words."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, smiles in enumerate(SMILES.read_text().split()[start : start + count]):
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        if AllChem.EmbedMolecule(mol, randomSeed=7) != 0:
            continue
        bare = Chem.RemoveHs(mol)
        name = f"m{number:03}.xyz"
        (folder / name).write_text(Chem.MolToXYZBlock(bare))
        halogen = any(atom.GetSymbol() in ("F", "Cl", "Br", "I") for atom in bare.GetAtoms())
        rows.append([name, f"{Crippen.MolLogP(bare):.4f}" if number % 7 else "", f"{Descriptors.MolWt(mol):.2f}",
                     ("halogen" if halogen else "none") if number % 5 else "",
                     ("train", "train", "train", "val", "test")[number % 5]])
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        if labelled:
            writer.writerow(["file", "logP [log units]", "mass [g/mol]", "kind", "split"])
            writer.writerows(rows)
        else:
            writer.writerow(["file"])
            writer.writerows([row[:1] for row in rows])
    return folder
