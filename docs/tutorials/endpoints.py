"""Measured endpoints of molecules as a folder for ``pellucid train xyz``.

python endpoints.py ADME_public_set_3521.csv FOLDER [COUNT], with pandas installed. The table is of Fang et al. 2023,
https://github.com/molecularinformatics/Computational-ADME.
"""

import sys
from pathlib import Path

import pandas as pd
from rdkit import Chem
from rdkit.Chem import rdDistGeom

table, folder = pd.read_csv(sys.argv[1]), Path(sys.argv[2])
count = int(sys.argv[3]) if len(sys.argv) > 3 else len(table)
folder.mkdir(parents=True, exist_ok=True)
efflux = table["LOG MDR1-MDCK ER (B-A/A-B)"]
targets = pd.DataFrame({
    "file": table["Internal ID"] + ".xyz",
    "clearance [log mL/min/kg]": table["LOG HLM_CLint (mL/min/kg)"],
    "solubility [log ug/mL]": table["LOG SOLUBILITY PH 6.8 (ug/mL)"],
    "efflux": efflux.map(lambda log_ratio: "pumped out" if 10**log_ratio > 2.5 else "kept").where(efflux.notna()),
})
made = []
for row, smiles in table["SMILES"].head(count).items():
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if rdDistGeom.EmbedMolecule(molecule, randomSeed=0) == 0:
        Path(folder / targets["file"][row]).write_text(Chem.MolToXYZBlock(Chem.RemoveHs(molecule)))
        made.append(row)
targets.loc[made].to_csv(folder / "labels.csv", index=False)
print(f"{len(made)} molecules;", targets.loc[made].notna().sum().to_dict())
