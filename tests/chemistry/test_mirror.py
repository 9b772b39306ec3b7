"""Mirror images: what untrained models make of them, against what is said of the models."""

import pytest
import torch
from rdkit import Chem

from pellucid.chemistry import MoleculeRecipe, MoleculeRecord, encode_molecules, read_molecules
from pellucid.chemistry.features import ATOM_CATEGORY_SIZES, BOND_CATEGORY_SIZES
from pellucid.chemistry.mirror import mirror_note, tells_mirror_images_apart
from pellucid.chemistry.molecules import ATOM_TYPES
from pellucid.spec import DataSpec, InputSpec
from pellucid.targets import Targets
from pellucid.training.model import build
from pellucid.training.predict import prediction_of
from pellucid.training.presets import settings


def mirrored():
    """A pose of a chiral molecule and its mirror image, as records."""
    from pellucid.chemistry import conformer

    mol = Chem.MolFromSmiles("CCCC(=O)N[C@@H](C)c1ccc(F)cc1")
    pos = conformer(mol, 1)
    records = []
    for name, sign in (("one", 1.0), ("other", -1.0)):
        own = Chem.Mol(mol)
        shape = Chem.Conformer(mol.GetNumAtoms())
        for i, (x, y, z) in enumerate(pos.tolist()):
            shape.SetAtomPosition(i, (sign * x, y, z))
        own.AddConformer(shape)
        Chem.AssignStereochemistryFrom3D(own)
        records.append(MoleculeRecord(name, 1, Chem.MolToSmiles(own), own, True))
    return records


def predictions(recipe, backbone, records):
    clouds = encode_molecules(records, recipe).clouds
    sizes = ATOM_CATEGORY_SIZES if recipe.features == "full" else (len(ATOM_TYPES),)
    edges = BOND_CATEGORY_SIZES if "edge_categories" in clouds else ()
    inputs = InputSpec(3 if "pos" in clouds else 0, sizes, 0, edges)
    spec = DataSpec(Targets.of("regression"), inputs, None, "molecules")
    rule = {"kind": "edges"} if recipe.geometry == "graph" else {"kind": "knn", "value": 5}
    config = settings("synmol", "erm", backbone, "fast", {"method": {"rule": rule}})
    torch.manual_seed(0)
    model = build(config, spec).double().eval()
    for module in model.modules():  # norms that have seen nothing let nothing through
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_var.fill_(0.1)
    as_double = clouds.replace(pos=clouds.pos.double()) if "pos" in clouds else clouds
    return model.encoder.directions, prediction_of(model)(as_double)


@pytest.mark.parametrize(("recipe", "backbone", "apart"), [
    (MoleculeRecipe("elements"), "egnn", False),
    (MoleculeRecipe("elements"), "schnet", False),
    (MoleculeRecipe("elements"), "dgcnn", True),
    (MoleculeRecipe("full"), "egnn", True),
    (MoleculeRecipe("full", "graph"), "gin", True),
    (MoleculeRecipe("elements", "graph"), "gin", False),
])
def test_predictions_are_as_is_said(recipe, backbone, apart):
    directions, (one, other) = predictions(recipe, backbone, mirrored())
    assert tells_mirror_images_apart(recipe, directions) is apart
    assert (abs(float(one - other)) > 1e-6) is apart
    note = mirror_note(recipe, directions)
    assert (note is None) is apart
    assert note is None or note.count(".") == 1


def test_an_equivariant_backbone_sees_no_difference_by_itself():
    assert not tells_mirror_images_apart(MoleculeRecipe(), "equivariant")
    assert "distances" in mirror_note(MoleculeRecipe(), "equivariant")


def test_unspecified_centres_are_one():
    records = [MoleculeRecord(s, 1, s, Chem.MolFromSmiles(s)) for s in ("CC(N)O", "C[C@H](N)O", "C[C@@H](N)O")]
    _, found = predictions(MoleculeRecipe("full", "graph"), "gin", records)
    assert len({round(float(p), 9) for p in found}) == 3
    again = read_molecules("OC(C)N")
    _, same = predictions(MoleculeRecipe("full", "graph"), "gin", [records[0], *again])
    assert float(same[0]) == pytest.approx(float(same[1]), abs=1e-12)
