import csv
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import AllChem

from pellucid.clouds import FIELDS
from pellucid.datasets import announce_dataset, datasets, describe, load_dataset, plbind
from pellucid.datasets.base import option_table
from pellucid.errors import PellucidError

pytest.importorskip("gemmi", reason="gemmi is not installed")

SHARED = Path(__file__).parents[2] / "../shared/data/plbind"
NAMES = dict(zip("ACDEFGHIKLMNPQRSTVWY", ("ALA", "CYS", "ASP", "GLU", "PHE", "GLY", "HIS", "ILE", "LYS", "LEU", "MET",
                                          "ASN", "PRO", "GLN", "ARG", "SER", "THR", "VAL", "TRP", "TYR"), strict=True))
FAMILIES = 5
"""Of the made-up complexes, which have four members each."""


def protein_text(sequence):
    """Backbones in a row; residue n has its C-alpha at x = 3.8 n."""
    lines = []
    for n, letter in enumerate(sequence):
        for name, x, y in (("N", -1.2, 0.8), ("CA", 0, 0), ("C", 1.2, 0.8), ("O", 1.2, 2.0)):
            lines.append(f"ATOM  {len(lines) + 1:5}  {name:<3} {NAMES[letter]} A{n + 1:4}    {3.8 * n + x:8.3f}{y:8.3f}"
                         f"   0.000  1.00 {10 + n:5.2f}           {name[0]}")
    return "\n".join([*lines, "END", ""])


def ligand_at(place):
    """Benzyl alcohol 4 angstrom beside a C-alpha."""
    mol = Chem.AddHs(Chem.MolFromSmiles("OCc1ccccc1"))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    pos = mol.GetConformer().GetPositions()
    pos[:, 2] -= pos[:, 2].min() - 4
    pos[:, :2] -= pos[:, :2].mean(0)
    mol.GetConformer().SetPositions(pos + np.array([3.8 * place, 0, 0]))
    return mol


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    """Twenty complexes in five families: each of its own sequence, with a few changes."""
    folder = tmp_path_factory.mktemp("complexes")
    rng = np.random.default_rng(0)
    letters = np.array(list(NAMES))
    rows = []
    for family in range(FAMILIES):
        start = rng.choice(letters, 30)
        for member in range(4):
            own = start.copy()
            own[rng.integers(0, 30, member % 2)] = "G"
            name = f"f{family}m{member}"
            (folder / f"{name}.pdb").write_text(protein_text("".join(own)))
            (folder / f"{name}.sdf").write_text(Chem.MolToMolBlock(ligand_at(5 + member)))
            rows.append({"id": name, "protein_file": f"{name}.pdb", "ligand_file": f"{name}.sdf",
                         "affinity": f"Kd={2 if member == 0 else 300 * (member + 1)}nM", "year": str(2000 + family)})
    return folder, rows


@pytest.fixture
def table(made_up, tmp_path, house):
    """Writes a table of the complexes; ``edit`` changes its rows."""
    folder, rows = made_up

    def write(edit=None, name="mine.csv"):
        own = [dict(row) for row in rows]
        for row in own:
            row |= {column: str(folder / row[column]) for column in ("protein_file", "ligand_file")}
        if edit is not None:
            edit(own)
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(own[0]))
            writer.writeheader()
            writer.writerows(own)
        return tmp_path / name
    return write


def load(path, name="plbind", **options):
    return load_dataset(name, source_dir=str(path), interactions=False, processes=1, **options)


def test_from_a_users_table_to_clouds(table):
    prepared = load(table(), split="random")
    clouds, recipe = prepared.clouds, prepared.recipe
    assert len(clouds) == 20
    assert clouds.text["id"] == [f"f{f}m{m}" for f in range(5) for m in range(4)]
    assert clouds["y"].tolist() == [[float(m == 0)] for _ in range(5) for m in range(4)]
    expected = -np.log10([(2 if m == 0 else 300 * (m + 1)) * 1e-9 for _ in range(5) for m in range(4)])
    np.testing.assert_allclose(clouds["affinity"].numpy(), expected, rtol=1e-6)
    assert clouds.text["measured"][:2] == ["Kd=2e-09 M", "Kd=6e-07 M"]
    assert clouds["cluster"].tolist() == [f for f in range(5) for _ in range(4)]
    assert clouds["split"].bincount().tolist() == [14, 3, 3]
    assert int(clouds["categories"].max()) < recipe.category_sizes[0] == 21
    assert clouds["features"].shape[1] == recipe.feature_size == 2
    assert int(clouds.partner["categories"].max()) < recipe.partner_category_sizes[0] == 14
    assert clouds.partner["features"].shape[1] == 1
    assert clouds.partner.sizes.tolist() == [8] * 20
    assert FIELDS["affinity"].level == "cloud"
    # By hand: the C-alphas are on a line, the ligand stands over residue 5 (counted from 0) of the first.
    truth = clouds["important"].split(clouds.sizes.tolist())[0]
    ligand = Chem.RemoveHs(ligand_at(5)).GetConformer().GetPositions()
    alphas = np.array([[3.8 * n, 0, 0] for n in range(30)])
    away = np.linalg.norm(ligand[None] - alphas[:, None], axis=-1).min(1)
    assert truth.tolist() == (away <= 15).tolist()
    assert 3 < int(truth.sum()) < 15
    names = json.loads(clouds.text["group_names"][0])
    assert (len(names), names[0][:2], names[-1][-2:]) == (30, "A:", "30")


def test_before_any_structure_is_read_its_size_is_told_by_the_table(table, monkeypatch):
    monkeypatch.setattr(plbind, "_prepared", None)
    options = {"source_dir": str(table()), "interactions": False, "seed": 31}
    assert announce_dataset("plbind", **options).points == round(20 * 339.8)
    assert announce_dataset("plbind", **options, size=5).points == round(5 * 339.8)


def test_account(table):
    prepared = load(table(), split="random")
    about = prepared.provenance
    assert about["counts"] == {"listed": 20, "prepared": 20, "failed": 0, "failed at": {}, "kinds": {"Kd": 20},
                               "clusters": 5}
    assert (about["failed"], about["licences"], about["largest cluster"]) == ([], {}, 4)
    means = about["residues a complex"]
    assert means["important"] == pytest.approx(float(prepared.clouds["important"].sum()) / 20, abs=0.01)
    assert means["contact"] == 0  # not looked for
    assert "leak" not in json.dumps(load(table(), split="cluster").provenance["notes"])
    assert "lie on both sides" in about["notes"][0]
    assert about["clusters"].startswith("from the sequences")
    assert "CC0" in about["licence"]
    assert str(prepared.path.parents[3]) not in json.dumps(about["key"])  # contents, not places
    assert describe(prepared)["positive"] == 5


def test_regression_has_the_same_samples(table):
    path = table()
    labels, values = load(path).clouds, load(path, "plbind-affinity").clouds
    assert [t.kind for t in datasets["plbind-affinity"].targets] == ["regression"]
    torch.testing.assert_close(values["y"][:, 0], values["affinity"])
    torch.testing.assert_close(values["affinity"], labels["affinity"])
    assert torch.equal(values["split"], labels["split"])
    assert option_table("plbind-affinity") == option_table("plbind")
    assert option_table("plbind").keys() == plbind.PLBind.defaults.keys()


def test_clusters_stay_together(table):
    clouds = load(table(), seed=3).clouds
    for cluster in range(FAMILIES):
        assert len(clouds["split"][clouds["cluster"] == cluster].unique()) == 1
    assert sorted(clouds["split"].unique().tolist()) == [0, 1, 2]

    def give(rows):
        for row in rows:
            row["protein_cluster"] = 7 + int(row["id"][3])  # by member: across the families
    given = load(table(give), seed=3)
    assert given.clouds["cluster"].tolist() == [7, 8, 9, 10] * 5
    assert given.provenance["clusters"] == "of the list"


def test_by_years_and_by_lists(table, tmp_path):
    path = table()
    by_year = load(path, split="time", years=[2002, 2003]).clouds
    assert by_year["split"].tolist() == [0] * 12 + [1] * 4 + [2] * 4
    for name, codes in zip(plbind.TIME_LISTS, (["f0m0", "f4m1", "zzzz"], ["f1m1"], ["f2m2", "f0m3"]), strict=True):
        (tmp_path / name).write_text("\n".join(codes) + "\n")
    prepared = load(path, split="time", time_lists=str(tmp_path))
    assert dict(zip(prepared.clouds.text["id"], prepared.clouds["split"].tolist(), strict=True)) == {
        "f0m0": 0, "f4m1": 0, "f1m1": 1, "f2m2": 2, "f0m3": 2}
    assert prepared.provenance["counts"]["failed at"] == {"split": 15}
    assert prepared.provenance["failed"][0] == {"id": "f0m1", "step": "split",
                                                "reason": "in none of the lists of the split by time"}
    (tmp_path / plbind.TIME_LISTS[1]).write_text("zzzz\n")
    with pytest.raises(PellucidError, match="got none for val among 4"):
        load(path, split="time", time_lists=str(tmp_path))


def test_what_cannot_be_used_is_told_and_stops_nothing(table, tmp_path, made_up):
    far = ligand_at(5)
    far.GetConformer().SetPositions(far.GetConformer().GetPositions() + np.array([0, 0, 40]))
    (tmp_path / "far.sdf").write_text(Chem.MolToMolBlock(far))
    (tmp_path / "bad.sdf").write_text("no molecule\n\n\n")
    whole = gzip.compress((made_up[0] / "f0m0.pdb").read_bytes())
    (tmp_path / "cut.pdb.gz").write_bytes(whole[:len(whole) // 2])

    def edit(rows):
        rows[0]["affinity"], rows[1]["affinity"], rows[2]["affinity"] = "Kd<5nM", "IC50=5nM", "12"
        rows[3]["protein_file"] = "nowhere.pdb"
        rows[4]["ligand_file"], rows[5]["ligand_file"], rows[6]["protein_file"] = "far.sdf", "bad.sdf", "cut.pdb.gz"
    prepared = load(table(edit), split="random")
    assert prepared.clouds.text["id"] == ["f1m3", *(f"f{f}m{m}" for f in (2, 3, 4) for m in range(4))]
    failed = {one["id"]: one for one in prepared.provenance["failed"]}
    assert {name: one["step"] for name, one in failed.items()} == {
        "f0m0": "affinity", "f0m1": "affinity", "f0m2": "affinity", "f0m3": "files", "f1m0": "structure",
        "f1m1": "structure", "f1m2": "structure"}
    for name, words in (("f0m0", "is not an exact value"), ("f0m1", "depends on the assay"), ("f0m2", "got none after"),
                        ("f0m3", "nowhere.pdb"), ("f1m0", "A away"), ("f1m1", "bad.sdf"), ("f1m2", "cut.pdb.gz")):
        assert words in failed[name]["reason"]
    assert prepared.provenance["counts"] == {"listed": 20, "prepared": 13, "failed": 7, "failed at": {
        "affinity": 3, "files": 1, "structure": 3}, "kinds": {"Kd": 13}, "clusters": 4}
    everything = load(table(edit), split="random", usable="all")
    assert dict(zip(everything.clouds.text["id"], everything.clouds["y"][:, 0].tolist(), strict=True)).items() >= {
        "f0m0": 1.0, "f0m1": 1.0}.items()
    values = load(table(edit), "plbind-affinity", split="random", usable="all")
    assert "f0m1" in values.clouds.text["id"]
    assert {one["id"]: one["reason"] for one in values.provenance["failed"]}["f0m0"].startswith("Kd<5e-09 M is a bound")


def test_nothing_left_is_an_error(table):
    def no_unit(rows):
        for row in rows:
            row["affinity"] = "12"
    with pytest.raises(PellucidError, match=r"got none \(left out: {'affinity': 20}\); the first: f0m0, .*unit"):
        load(table(no_unit))

    def no_ligand(rows):
        for row in rows:
            row["ligand_file"] = row["protein_file"]
    with pytest.raises(PellucidError, match="can be prepared, got none of 20; the first: f0m0"):
        load(table(no_ligand))


def test_prepared_complexes_are_kept(table, monkeypatch, house):
    path = table()
    first = load(path, split="random").clouds
    monkeypatch.setattr(plbind, "_prepare", lambda *a: pytest.fail("prepared again"))
    assert torch.equal(load(path, split="random", threshold_nM=1000).clouds.pos, first.pos)
    assert load(path, split="random", seed=5).path != load(path, split="random").path
    monkeypatch.undo()
    monkeypatch.setenv("PELLUCID_HOME", str(house))
    parts = sorted((house / "datasets" / "plbind" / "complexes").iterdir())
    assert len(parts) == 20
    parts[3].write_bytes(b"damaged")
    done = []
    real = plbind._prepare
    monkeypatch.setattr(plbind, "_prepare", lambda *a: done.append(a[0].name) or real(*a))
    assert torch.equal(load(path, split="random", threshold_nM=99).clouds.pos, first.pos)
    assert len(done) == 1
    assert load(path, split="random", radius=5).clouds["important"].sum() < first["important"].sum()
    assert len(done) == 21


def test_other_contents_in_the_same_place_are_seen(table, tmp_path, made_up):
    ligand = tmp_path / "own.sdf"
    shutil.copy(made_up[0] / "f0m0.sdf", ligand)

    def edit(rows):
        rows[0]["ligand_file"] = "own.sdf"
    before = load(table(edit), split="random")
    ligand.write_text(Chem.MolToMolBlock(ligand_at(12)))
    after = load(table(edit), split="random")
    assert after.path != before.path
    assert not torch.equal(after.clouds["important"], before.clouds["important"])


def test_a_part_in_two_processes(table):
    one = load(table(), size=8, split="random", seed=4).clouds
    shutil.rmtree(Path(load(table(), size=8, split="random", seed=4).path).parents[2])
    two = load_dataset("plbind", source_dir=str(table()), interactions=False, processes=2, size=8, split="random",
                       seed=4, progress=True).clouds
    assert len(two) == 8
    assert one.text == two.text
    for name in one.names:
        assert torch.equal(one[name], two[name])


def test_a_conformer_in_place_of_the_pose(table):
    pose, made = (load(table(), size=8, split="random", conformer=c).clouds for c in ("pose", "rdkit"))
    assert pose.text["id"] == made.text["id"]
    moved = (pose.partner.pos - made.partner.pos).norm(dim=1)
    assert 0.01 < float(moved.max()) < 3
    assert torch.equal(pose.pos, made.pos)


@pytest.mark.parametrize(("options", "words"), [
    ({"source_dir": None}, "expected source_dir, got none"), ({"source": "zip"}, "source to be one of folder, pdbbind"),
    ({"usable": "most"}, "usable to be one of lri, all"), ({"tier": "gold"}, "tier to be one of"),
    ({"tier": "crystal"}, "expected tier='all' with source='csv'"), ({"split": "scaffold"}, "split to be one of"),
    ({"chains": "A"}, "chains to be one of near, all"), ({"conformer": "best"}, "conformer to be one of"),
    ({"interactions": 1}, "interactions to be true or false"), ({"radius": 0}, "radius to be a number from 1"),
    ({"threshold_nM": 0}, "threshold_nM to be a number"), ({"size": 2}, "size to be a whole number from 3"),
    ({"seed": -1}, "seed to be"), ({"processes": 0}, "processes to be"), ({"years": [2000, 2001]}, "use split='time'"),
    ({"split": "time", "years": 2000}, "two rising years"), ({"split": "time", "years": [2001, 2000]}, "two rising"),
    ({"split": "time"}, "timesplit_no_lig_overlap_train of PDB codes"), ({"source": "folder"}, "expected the file"),
    ({"split": "time", "years": [2000, 2001], "time_lists": "x"}, "years or time_lists, got both"),
])
def test_options_are_checked_before_any_work(table, house, options, words):
    with pytest.raises(PellucidError, match=words):
        load_dataset("plbind", **{"source_dir": str(table()), **options})
    assert not house.exists()


@pytest.fixture(scope="session")
def shared_rows():
    """The index of the shared folder, where this machine has it."""
    if not SHARED.is_dir():
        pytest.skip(f"no complexes in {SHARED}")
    with (SHARED / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.shared
def test_a_part_of_the_shared_folder(shared_rows, house):
    prepared = load_dataset("plbind", source_dir=str(SHARED), size=12, split="random", interactions=False, processes=1)
    by_name = {row["id"]: row for row in shared_rows}
    clouds = prepared.clouds
    assert len(clouds) == 12
    for i, name in enumerate(clouds.text["id"]):
        row = by_name[name]
        assert clouds["y"][i].item() == float(row["label_10nM"])
        assert clouds["affinity"][i].item() == pytest.approx(float(row["p_affinity"]), abs=6e-4)
        assert clouds["cluster"][i].item() == int(row["protein_cluster"])
        assert clouds.text["tier"][i] == row["tier"]
        assert clouds.partner.sizes[i].item() == int(row["n_lig_heavy"])
    counts = prepared.provenance["counts"]
    assert (counts["listed"], counts["failed at"]) == (1403, {"affinity": 1403 - 1086})
    assert set(prepared.provenance["licences"]) <= {"MIT", "BSD-3-Clause", "CC-BY-4.0"}


@pytest.mark.shared
def test_the_shared_table_is_chosen_from(shared_rows):
    recipe = datasets["plbind"]()
    for options, wanted in (({}, {"lri_usable": "1"}), ({"tier": "crystal"}, {"lri_usable": "1", "tier": "crystal"}),
                            ({"usable": "all", "tier": "modelled"}, {"tier": "modelled"})):
        chosen = recipe._choose({**recipe.defaults, "source_dir": str(SHARED), **options})
        assert [one.name for one in chosen.complexes] == [
            row["id"] for row in shared_rows if all(row[k] == v for k, v in wanted.items())]
    with pytest.raises(PellucidError, match="no row of the tier"):
        recipe._choose({**recipe.defaults, "source_dir": str(SHARED), "tier": "gold"})


@pytest.mark.shared
def test_a_miniature_of_pdbbind(shared_rows, house, tmp_path):
    """The names and nesting of PDBbind's v2020 release, with crystal complexes of the shared folder in it."""
    crystal = [row for row in shared_rows if row["tier"] == "crystal" and int(row["n_residues"]) < 160
               and row["affinity_unit"]][:8]
    lines = ["# PDB code, resolution, release year, -logKd/Ki, Kd/Ki, reference, ligand name"]
    for i, row in enumerate(crystal):
        name = row["id"]
        folder = tmp_path / ("refined-set" if i % 2 else "v2020-other-PL") / name
        folder.mkdir(parents=True)
        (folder / f"{name}_protein.pdb").write_bytes(gzip.decompress((SHARED / row["protein_file"]).read_bytes()))
        shutil.copy(SHARED / row["ligand_file"], folder / f"{name}_ligand.sdf")
        lines.append(f"{name}  2.00  {row['year']}   {float(row['p_affinity']):.2f}  {row['affinity_type']}"
                     f"{row['relation']}{row['affinity_value']}{row['affinity_unit']}   // {name}.pdf (LIG)")
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "INDEX_general_PL_data.2020").write_text("\n".join(lines) + "\n")
    first = crystal[0]["id"]
    sdf = next(tmp_path.rglob(f"{first}_ligand.sdf"))
    sdf.with_suffix(".mol2").write_text(methanol(Chem.MolFromMolFile(str(sdf)).GetConformer().GetPositions()[0]))
    sdf.chmod(0o644)
    sdf.write_text("a ligand that RDKit refuses\n\n\n")
    prepared = load_dataset("plbind", source_dir=str(tmp_path), split="random", usable="all", interactions=False,
                            processes=1)
    clouds = prepared.clouds
    assert prepared.provenance["source"] == "pdbbind: INDEX_general_PL_data.2020"
    assert clouds.text["id"] == [row["id"] for row in crystal]
    assert prepared.provenance["other ligand file"] == {first: f"{first}_ligand.mol2"}
    assert clouds.partner.text["smiles"][0] == "CO"
    for i, row in enumerate(crystal):
        assert clouds["y"][i].item() == float(row["label_10nM"])
    by_cluster = {}
    for row, found in zip(crystal, clouds["cluster"].tolist(), strict=True):
        by_cluster.setdefault(row["protein_cluster"], set()).add(found)
    assert all(len(found) == 1 for found in by_cluster.values())
    assert len(by_cluster) == len(set(clouds["cluster"].tolist()))


def methanol(place):
    """A mol2 file of methanol, its carbon at the place."""
    atoms = (("C1", "C.3", 0, 0, 0), ("O1", "O.3", 1.4, 0, 0), ("H1", "H", -0.4, 1, 0), ("H2", "H", -0.4, -0.5, 0.9),
             ("H3", "H", -0.4, -0.5, -0.9), ("H4", "H", 1.7, 0.9, 0))
    lines = [f"{n} {name} {x + place[0]:.3f} {y + place[1]:.3f} {z + place[2]:.3f} {kind} 1 LIG 0.0"
             for n, (name, kind, x, y, z) in enumerate(atoms, 1)]
    bonds = [f"{n} {a} {b} 1" for n, (a, b) in enumerate(((1, 2), (1, 3), (1, 4), (1, 5), (2, 6)), 1)]
    return "\n".join(["@<TRIPOS>MOLECULE", "methanol", " 6 5 0 0 0", "SMALL", "NO_CHARGES", "", "@<TRIPOS>ATOM",
                      *lines, "@<TRIPOS>BOND", *bonds, ""])
