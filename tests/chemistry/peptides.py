"""Small complexes for tests: peptides of RDKit's and ligands laid where they are wanted."""

import numpy as np
from rdkit import Chem
from rdkit.Chem import AllChem
from scipy.spatial.transform import Rotation

from pellucid.chemistry.ligands import read_ligand
from pellucid.chemistry.proteins import read_protein


class Peptide:
    """A peptide; its residues are numbered from 1 in chain A unless ``labels`` is changed."""

    def __init__(self, sequence, seed=1):
        mol = Chem.AddHs(Chem.MolFromSequence(sequence))
        assert AllChem.EmbedMolecule(mol, randomSeed=seed) == 0
        self.rows = []  # [place, name, element, position]; a hydrogen is called after its heavy atom
        self.names = [""] * len(sequence)
        for atom, position in zip(mol.GetAtoms(), mol.GetConformer().GetPositions(), strict=True):
            hydrogen = atom.GetAtomicNum() == 1
            info = (atom.GetNeighbors()[0] if hydrogen else atom).GetPDBResidueInfo()
            place, name = info.GetResidueNumber() - 1, info.GetName().strip()
            self.names[place] = info.GetResidueName()
            self.rows.append([place, f"H{name[1:]}" if hydrogen else name, atom.GetSymbol(), position])
        self.rows.sort(key=lambda row: row[0])
        self.labels = [("A", i + 1, " ") for i in range(len(sequence))]

    def at(self, place, name):
        return next(row[3] for row in self.rows if row[:2] == [place, name])

    def drop(self, unwanted):
        self.rows = [row for row in self.rows if not unwanted(row)]
        return self

    def without_hydrogens(self):
        return self.drop(lambda row: row[2] == "H")

    def moved(self, rotation, shift):
        for row in self.rows:
            row[3] = rotation.apply(row[3]) + shift
        return self

    def lines(self, b_factor=lambda place: 10.0):
        for i, (place, name, element, (x, y, z)) in enumerate(self.rows, 1):
            chain, number, code = self.labels[place]
            padded = name if len(name) > 3 or len(element) > 1 else f" {name}"
            yield (f"ATOM  {i:5d} {padded:<4} {self.names[place]:>3} {chain}{number:4d}{code}   "
                   f"{x:8.3f}{y:8.3f}{z:8.3f}{1:6.2f}{b_factor(place):6.2f}          {element.upper():>2}")


def write_protein(folder, *peptides, **options):
    path = folder / "protein.pdb"
    path.write_text("\n".join(line for peptide in peptides for line in peptide.lines(**options)) + "\nEND\n")
    return path


def protein(folder, *peptides):
    return read_protein(write_protein(folder, *peptides))


def molecule(smiles, atom, toward, where, direction):
    """A molecule with hydrogens whose ``atom`` lies at ``where``, and ``toward`` from there in a direction."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=1) == 0
    places = mol.GetConformer().GetPositions()
    turn, _ = Rotation.align_vectors([direction], [places[toward] - places[atom]])
    mol.GetConformer().SetPositions(turn.apply(places - places[atom]) + where)
    return mol


def moved(mol, rotation, shift):
    copy = Chem.Mol(mol)
    copy.GetConformer().SetPositions(rotation.apply(mol.GetConformer().GetPositions()) + shift)
    return copy


def write_ligand(folder, mol):
    path = folder / "ligand.sdf"
    path.write_text(Chem.MolToMolBlock(mol))
    return path


def ligand(folder, mol):
    return read_ligand(write_ligand(folder, mol))


def acetone(peptide, distance):
    """With its oxygen on the line of the O-H of a serine in the middle of a tripeptide, at a distance from its oxygen.

    The hydrogen bond is as it is drawn: 180 degrees at the hydrogen, and no other donor near.
    """
    direction = unit(peptide.at(1, "HG") - peptide.at(1, "OG"))
    return molecule("CC(C)=O", 3, 1, peptide.at(1, "OG") + distance * direction, direction)


def unit(vector):
    return vector / np.linalg.norm(vector)
