"""A user's own complexes: files that belong together, and what is told where they do not."""

from pathlib import Path

import gemmi
import numpy as np
import pytest
from peptides import Peptide, molecule, moved, unit
from rdkit import Chem
from scipy.spatial.transform import Rotation

from pellucid.api import explain, fit
from pellucid.chemistry import encode_molecules, read_molecules
from pellucid.datasets import load_dataset
from pellucid.domains.pairs import named_pairs, read_pairs
from pellucid.errors import PellucidError


def write_pair(protein: Path, ligand: Path, residues: int, shift: float = 0.0) -> None:
    """A peptide, and butane that starts 4 angstrom from the C-beta of its third residue."""
    peptide = Peptide("A" * residues)
    protein.write_text("\n".join(peptide.lines()))
    beta = peptide.at(2, "CB")
    away = unit(beta - peptide.at(2, "CA"))
    mol = molecule("CCCC", 1, 2, beta + 4 * away, away)
    ligand.write_text(Chem.MolToMolBlock(moved(mol, Rotation.identity(), shift)) + "$$$$\n")


@pytest.fixture
def files(tmp_path):
    write_pair(tmp_path / "peptide.pdb", tmp_path / "butane.sdf", 8)
    write_pair(tmp_path / "peptide.pdb", tmp_path / "far.sdf", 8, shift=60)
    return tmp_path


def test_one_complex_from_two_files(files):
    complexes, clouds, skipped = read_pairs(files / "peptide.pdb", files / "butane.sdf", {"radius": 6.0})
    assert [whole.name for whole in complexes] == clouds.text["id"] == ["peptide"]
    assert skipped == []
    assert clouds.sizes.tolist() == [8]
    assert clouds.partner.sizes.tolist() == [4]
    near = np.linalg.norm(clouds.pos[:, None] - clouds.partner.pos[None], axis=-1).min(1)
    assert clouds["important"].tolist() == (near <= 6.0).tolist()
    assert 0 < int(clouds["important"].sum()) < 8


def test_a_table_of_complexes_tells_what_it_leaves_out(files):
    table = files / "mine.csv"
    table.write_text("id,protein_file,ligand_file\ngood,peptide.pdb,butane.sdf\n,peptide.pdb,far.sdf\n")
    assert [name for name, _, _ in named_pairs(table)] == ["good", "row-2"]
    complexes, clouds, skipped = read_pairs(table, None, {})
    assert [whole.name for whole in complexes] == ["good"]
    assert len(clouds) == 1
    assert len(skipped) == 1
    assert skipped[0].startswith("row-2: expected")


def test_a_ligand_far_away_is_refused(files):
    with pytest.raises(PellucidError, match="within 10 A of the ligand"):
        read_pairs(files / "peptide.pdb", files / "far.sdf", {})
    with pytest.raises(PellucidError, match="in the frame of"):
        read_pairs(files / "peptide.pdb", files / "far.sdf", {"chains": "all"})


@pytest.mark.parametrize(("content", "message"), [
    ("protein_file\npeptide.pdb\n", "got no ligand_file"),
    ("protein_file,ligand_file\npeptide.pdb,\n", "row 1"),
    ("protein_file,ligand_file\n", "expected rows"),
    ("", "expected rows"),
    ("id,protein_file,ligand_file\na,peptide.pdb,far.sdf\na,peptide.pdb,butane.sdf\n", "'a' twice"),
    ("protein_file,ligand_file\npeptide.pdb,far.sdf\npeptide.pdb,none.sdf\n", "at least one complex"),
])
def test_tables_that_cannot_be_used(files, content, message):
    table = files / "bad.csv"
    table.write_text(content)
    with pytest.raises(PellucidError, match=message):
        read_pairs(table, None, {})


def test_files_that_do_not_belong_together(files):
    with pytest.raises(PellucidError, match="a ligand beside"):
        named_pairs(files / "peptide.pdb")
    (files / "t.csv").write_text("protein_file,ligand_file\n")
    with pytest.raises(PellucidError, match="no ligand beside the table"):
        named_pairs(files / "t.csv", files / "butane.sdf")
    with pytest.raises(PellucidError, match="got a problem"):
        named_pairs(files / "gone.csv")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A home, twelve complexes with affinities, and a run on them."""
    root = tmp_path_factory.mktemp("complexes")
    patch = pytest.MonkeyPatch()
    patch.setenv("PELLUCID_HOME", str(root / "home"))
    rows = ["protein_file,ligand_file,affinity"]
    for i in range(12):
        write_pair(root / f"p{i}.pdb", root / f"l{i}.sdf", 4 + i % 4)
        rows.append(f"p{i}.pdb,l{i}.sdf,Kd={'2nM' if i % 2 else '3uM'}")
    (root / "mine.csv").write_text("\n".join(rows))
    for name, dataset in (("run", "plbind"), ("pk", "plbind-affinity")):
        prepared = load_dataset(dataset, source_dir=str(root / "mine.csv"), split="random", processes=1)
        fit(prepared, out=root / name, method="lri-bernoulli", preset="smoke", device="cpu")
    yield root
    patch.undo()


def test_from_two_files_to_the_pictures(world, tmp_path):
    out = tmp_path / "explained"
    explanation = explain(world / "run", world / "p3.pdb", ligand=world / "l3.sdf", out=out, device="cpu")
    assert explanation.importance.shape == (7,)
    names = {path.name for path in out.iterdir()}
    assert {"explanation.parquet", "report.html", "p3_residues.csv", "p3_importance.pdb", "p3.pml", "p3.cxc",
            "p3_elements.csv"} <= names
    rows = (out / "p3_residues.csv").read_text().splitlines()
    assert len(rows) == 8
    assert explanation.groups("secondary_structure")["name"] == ["A:loop 1-7"]
    read = gemmi.read_structure(str(out / "p3_importance.pdb"))
    shown = [residue[0].b_iso for residue in read[0]["A"]]
    assert int(np.argmax(shown)) == int(explanation.importance.argmax())


def test_a_table_is_explained_by_an_explainer_too(world, tmp_path):
    explanation = explain(world / "run", world / "mine.csv", method="gradgam", out=tmp_path / "e", device="cpu")
    assert len(explanation.clouds) == 12
    assert len(list((tmp_path / "e").glob("*_residues.csv"))) == 12


def test_affinities_are_explained_in_their_own_unit(world, tmp_path):
    explanation = explain(world / "pk", world / "p3.pdb", ligand=world / "l3.sdf", out=tmp_path / "e", device="cpu")
    assert 4 < float(explanation.prediction) < 10
    assert "report.html" in {path.name for path in (tmp_path / "e").iterdir()}


def test_runs_and_inputs_that_do_not_go_together(world, tmp_path):
    with pytest.raises(PellucidError, match="a ligand beside"):
        explain(world / "run", world / "p3.pdb", out=tmp_path / "e", device="cpu")
    with pytest.raises(PellucidError, match="a ligand beside"):
        explain(world / "run", "CCO", out=tmp_path / "e", device="cpu")
    with pytest.raises(PellucidError, match="two clouds, as the model was trained on, got one"):
        explain(world / "run", encode_molecules(read_molecules("CCO")).clouds, device="cpu")
    assert not (tmp_path / "e").exists()
