import csv
import gzip
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pellucid.chemistry.proteins import FORCE_FIELD_NAMES, RESIDUE_TYPES, read_protein, surface_areas
from pellucid.errors import MissingPackageError, PellucidError

SHARED = Path(__file__).parents[2] / "../shared/data/plbind"


def line(name, residue, number, pos, *, chain="A", record="ATOM", mark="", code="", occupancy=1.0, b=10.0,
         element=None):
    """A record of a PDB file; the name is put where its element says."""
    element = name[0] if element is None else element
    name = name if len(name) == 4 or len(element) == 2 else " " + name
    x, y, z = pos
    return (f"{record:<6}{1:5} {name:<4}{mark:1}{residue:>3}{chain:>2}{number:4}{code:1}   {x:8.3f}{y:8.3f}{z:8.3f}"
            f"{occupancy:6.2f}{b:6.2f}          {element:>2}")


def amino(residue, number, *, at=None, names=("N", "CA", "C", "O", "CB"), **options):
    """The atoms of a residue; those of successive numbers have peptide bonds of 1.3 A."""
    x, y, z = (3.8 * number, 0.0, 0.0) if at is None else at
    places = {"N": (0, 0, 0), "H": (0, -1, 0), "CA": (1.46, 0, 0), "C": (2.6, 0.5, 0), "O": (2.5, 2.2, 0),
              "CB": (1.46, -1.5, 0)}
    return [line(name, residue, number, np.add((x, y, z), places[name]), **options) for name in names]


def chain_of(residues, **options):
    return [row for number, residue in enumerate(residues, 1) for row in amino(residue, number, **options)]


@pytest.fixture
def read(tmp_path):
    """Writes the lines to a file and reads it."""
    def write_and_read(*parts, name="a.pdb", **options):
        rows = [row for part in parts for row in ([part] if isinstance(part, str) else part)]
        (tmp_path / name).write_text("\n".join(rows) + "\n")
        return read_protein(tmp_path / name, **options)
    return write_and_read


def kinds(protein):
    return [RESIDUE_TYPES[i] for i in protein.types]


def test_residue_types():
    assert len(RESIDUE_TYPES) == 21
    assert list(RESIDUE_TYPES[:20]) == sorted(RESIDUE_TYPES[:20])
    codes = {gemmi.find_tabulated_residue(name).one_letter_code for name in RESIDUE_TYPES[:20]}
    assert codes == set("ACDEFGHIKLMNPQRSTVWY")
    assert set(FORCE_FIELD_NAMES.values()) < set(RESIDUE_TYPES)


def test_points_are_the_c_alphas(read):
    protein = read(chain_of(["GLY", "ASP"], b=5.5), amino("TRP", 3, chain="B", code="C", b=7.25))
    assert protein.name == "a"
    np.testing.assert_allclose(protein.pos, [[3.8 * i + 1.46, 0, 0] for i in (1, 2, 3)])
    assert kinds(protein) == ["GLY", "ASP", "TRP"]
    assert protein.types.dtype == np.int64
    assert protein.b_factor.tolist() == [5.5, 5.5, 7.25]
    assert protein.labels == ["A:GLY1", "A:ASP2", "B:TRP3C"]
    assert (protein.chain, protein.number, protein.insertion) == (["A", "A", "B"], [1, 2, 3], ["", "", "C"])
    assert protein.atoms.shape == (15, 3)
    assert protein.atom_residue.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    np.testing.assert_array_equal(protein.atoms[1::5], protein.pos)
    assert protein.notes == []


def test_insertion_codes_are_residues_of_their_own(read):
    protein = read(amino("SER", 27), amino("GLY", 27, code="A", at=(60, 0, 0)),
                   amino("GLY", 27, code="B", at=(90, 0, 0)))
    assert protein.labels == ["A:SER27", "A:GLY27A", "A:GLY27B"]


def test_pdb_mmcif_and_gzip_are_one(read, tmp_path):
    protein = read(chain_of(["GLY", "MSE", "HIS"]), amino("GLY", 4, code="A"), amino("LYS", 5, chain="B"),
                   line("O", "HOH", 9, (0, 9, 0), record="HETATM"))
    structure = gemmi.read_structure(str(tmp_path / "a.pdb"))
    structure.setup_entities()
    text = structure.make_mmcif_document().as_string()
    (tmp_path / "b.cif").write_text(text)
    (tmp_path / "c.cif.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "d.pdb.gz").write_bytes(gzip.compress((tmp_path / "a.pdb").read_bytes()))
    (tmp_path / "e.ent").write_bytes((tmp_path / "d.pdb.gz").read_bytes())  # gzipped, whatever its name says
    for name in ("b.cif", "c.cif.gz", "d.pdb.gz", "e.ent"):
        other = read_protein(tmp_path / name)
        assert other.name == name[0]
        assert (other.labels, other.notes) == (protein.labels, protein.notes)
        for field in ("pos", "types", "sasa", "b_factor", "atoms", "atom_residue"):
            np.testing.assert_allclose(getattr(other, field), getattr(protein, field), atol=1e-6)


def test_the_conformer_of_the_highest_occupancy(read):
    atoms = [("CB", "A", 0.4, 1), ("CB", "B", 0.6, 2), ("SG", "A", 0.4, 1), ("SG", "B", 0.6, 2), ("OXT", "B", 0.6, 2)]
    split = [line(name, "CYS", 2, (10 + place, -2, len(name)), mark=mark, occupancy=occupancy)
             for name, mark, occupancy, place in atoms]
    protein = read(amino("GLY", 1), amino("CYS", 2, names=("N", "CA", "C", "O")), split, amino("GLY", 3))
    assert protein.labels == ["A:GLY1", "A:CYS2", "A:GLY3"]
    here = protein.atoms[protein.atom_residue == 1]
    assert len(here) == 7
    assert here[4:, 0].tolist() == [12, 12, 12]
    assert protein.notes == ["alternate conformers: the one of the highest occupancy is kept in A:CYS2"]
    assert not any(atom.has_altloc() for atom in protein.structure[0]["A"][1])


def test_of_equal_conformers_the_first(read):
    halves = [line("CA", "SER", 1, (i, 0, 0), mark=mark, occupancy=0.5) for i, mark in enumerate("BA")]
    protein = read(halves, line("CB", "SER", 1, (0, 1.5, 0), mark="A", occupancy=0.5), amino("GLY", 2))
    assert protein.pos[0].tolist() == [0, 0, 0]
    assert (protein.atom_residue == 0).sum() == 1


def test_two_residues_at_one_place(read):
    pair = [*amino("PRO", 2, mark="A", occupancy=0.3), *amino("SER", 2, mark="B", occupancy=0.7)]
    protein = read(amino("GLY", 1), pair, amino("GLY", 3))
    assert protein.labels == ["A:GLY1", "A:SER2", "A:GLY3"]
    assert protein.notes[0].endswith("kept in A:SER2")


def test_modified_residues_have_their_parents_type(read):
    protein = read("MODRES 1ABC XX1 A    4  LYS  OWN KIND OF LYSINE",
                   amino("GLY", 1), amino("MSE", 2, record="HETATM"), amino("SEP", 3, record="HETATM"),
                   amino("XX1", 4, record="HETATM"), amino("XX2", 5), amino("SEC", 6), amino("DAL", 7, record="HETATM"),
                   amino("GLY", 8))
    assert kinds(protein) == ["GLY", "MET", "SER", "LYS", "other", "other", "ALA", "GLY"]
    assert protein.residue == ["GLY", "MSE", "SEP", "XX1", "XX2", "SEC", "DAL", "GLY"]
    assert protein.notes == ["1 DAL taken as ALA", "1 MSE taken as MET", "1 SEC taken as other", "1 SEP taken as SER",
                             "1 XX1 taken as LYS", "1 XX2 taken as other"]


def test_force_field_names(read):
    protein = read(chain_of(list(FORCE_FIELD_NAMES)))
    assert kinds(protein) == list(FORCE_FIELD_NAMES.values())
    assert protein.notes == []


def test_what_is_no_residue_of_the_chain_is_left_out(read):
    rest = [amino("GLU", 90, at=(10, 9, 0), record="HETATM"),  # a free amino acid is a ligand
            amino("LIG", 91, at=(10, -9, 0)),  # and so is what merely has the names of a backbone
            line("ZN", "ZN", 92, (0, 5, 5), record="HETATM", element="ZN"),
            [line("O", "HOH", 93 + i, (i, 5, 9), record="HETATM") for i in range(3)],
            line("C1'", "DA", 99, (3, 3, 12), chain="D"), line("CH3", "ACE", 0, (1, 1, 0)),
            amino("ALA", 4, names=("N", "C", "O"))]
    alone = read(chain_of(["GLY", "ALA", "SER"]))
    protein = read(chain_of(["GLY", "ALA", "SER"]), *rest)
    assert protein.labels == alone.labels
    np.testing.assert_array_equal(protein.sasa, alone.sasa)  # the ligand's contact must not show in the surface
    assert protein.notes == ["without C-alpha and left out: A:ALA4",
                             "left out: 1 ACE, 1 GLU, 1 LIG, 1 ZN, 1 nucleic acid, 3 water"]


def test_hydrogens_are_in_the_structure_only(read):
    protein = read(chain_of(["GLY", "CYS"], names=("N", "H", "CA", "C", "O")))
    assert protein.atoms.shape == (8, 3)
    assert [atom.name for atom in protein.structure[0]["A"][0]] == ["N", "H", "CA", "C", "O"]
    np.testing.assert_array_equal(protein.sasa, read(chain_of(["GLY", "CYS"], names=("N", "CA", "C", "O"))).sasa)


def test_a_residue_in_two_parts_is_one(read):
    late = [row for names in (("N", "CA", "C", "O"), ("H",)) for row in chain_of(["GLY", "SER"], names=names)]
    added = [row[:72] + f"{segment:<4}" + row[76:] for number, residue in enumerate(["GLY", "SER"], 1)
             for names, segment in ((("N", "CA", "C", "O"), "PROA"), (("H",), ""))
             for row in amino(residue, number, names=names)]
    for rows in (late, added):
        protein = read(rows)
        assert protein.labels == ["A:GLY1", "A:SER2"]
        assert [atom.name for atom in protein.structure[0]["A"][1]] == ["N", "CA", "C", "O", "H"]
        assert protein.notes == []


def test_names_in_the_wrong_columns_without_elements(read):
    rows = [row[:12] + f"{row[12:16].strip():<4}" + row[16:76].rstrip()
            for row in [*amino("GLY", 1), *amino("SER", 2, names=("N", "CA", "C", "O", "CB")),
                        line("HG", "SER", 2, (9, -3, 0), element="H"), line("CD", "SER", 2, (9, -4, 0))]]
    protein = read(rows)
    assert protein.labels == ["A:GLY1", "A:SER2"]
    elements = [atom.element.name for atom in protein.structure[0]["A"][1]]
    assert elements == ["N", "C", "C", "O", "C", "H", "C"]
    assert protein.atoms.shape == (11, 3)


def test_models(read):
    def models(count):
        return [row for i in range(count) for row in
                [f"MODEL     {i + 1:4}", *amino("GLY", 1, at=(i, 0, 0)), *amino("ALA", 2, at=(i + 3.8, 0, 0)),
                 "ENDMDL"]]
    first = read(models(20))
    assert first.notes == ["model 1 of 20 is used"]
    assert len(first.structure) == 1
    third = read(models(20), model=3)
    assert third.pos[0, 0] - first.pos[0, 0] == pytest.approx(2)
    for wrong in (0, 21):
        with pytest.raises(PellucidError, match=f"expected a model from 1 to 20 of .*, got {wrong}"):
            read(models(20), model=wrong)


def three_chains():
    return [row for i, chain in enumerate("ABC") for number in (1, 2, 3)
            for row in amino("GLY", number, chain=chain, at=(3.8 * number, 20.0 * i, 0))]


def test_the_chains_at_the_ligand(read):
    ligand = [[7.0, 8.0, 0.0], [7.0, 9.0, 0.0]]  # from y = 2.2 and 18.5 the nearer ends are 5.8 and 9.5 A away
    near = read(three_chains(), near=ligand)
    assert set(near.chain) == {"A", "B"}
    assert near.notes == ["chain C left out: no atom within 10 A of the ligand"]
    np.testing.assert_array_equal(near.sasa, read(three_chains(), chains=["A", "B"]).sasa)
    assert set(read(three_chains(), near=ligand, chain_radius=8).chain) == {"A"}
    assert set(read(three_chains(), near=ligand, chains="all").chain) == {"A", "B", "C"}
    assert set(read(three_chains()).chain) == {"A", "B", "C"}
    assert [chain.name for chain in near.structure[0]] == ["A", "B"]


def test_named_chains(read):
    protein = read(three_chains(), chains=["C", "A"])
    assert protein.labels[::3] == ["A:GLY1", "C:GLY1"]
    assert protein.notes == ["chain B left out: not asked for"]
    with pytest.raises(PellucidError, match=r"expected protein chains of .*a\.pdb \(A, B, C\), got X, Y"):
        read(three_chains(), chains=["X", "A", "Y"])
    with pytest.raises(PellucidError, match=r"\(A, B, C\), got none"):
        read(three_chains(), chains=[])
    with pytest.raises(PellucidError, match=r"got 'A'; write \['A'\]"):
        read(three_chains(), chains="A")


def test_chains_without_a_name(read):
    protein = read(chain_of(["GLY", "ALA"], chain=""))
    assert protein.labels == [":GLY1", ":ALA2"]
    with pytest.raises(PellucidError, match=r"\(''\), got A"):
        read(chain_of(["GLY", "ALA"], chain=""), chains=["A"])


def test_copies_whose_names_do_not_tell_them_apart(read):
    copy = [row for number in (1, 2) for row in amino("GLY", number, at=(3.8 * number, 30, 0), chain=" ")]
    protein = read(chain_of(["ALA", "SER"], chain=" "), "TER", copy, "TER")
    assert protein.labels == [":ALA1", ":SER2", ":GLY1", ":GLY2"]
    assert protein.notes == ["residues of one chain share a number, so that names do not tell them apart: :ALA1, "
                             ":SER2, :GLY1, :GLY2"]


def test_no_chain_at_the_ligand(read):
    with pytest.raises(PellucidError, match=r"within 10 A of the ligand, got the nearest 50\.0 A"):
        read(three_chains(), near=[[3.8 + 1.46, -1.5 - 50.0, 0]])  # below a CB


def test_a_peptide_that_is_the_ligand_is_no_residue(read):
    peptide = [*amino("ALA", 1, chain="L", at=(3.8, 6, 0)), *amino("SER", 2, chain="L", at=(7.6, 6, 0))]
    ligand = [[float(row[30:38]), float(row[38:46]), float(row[46:54])] for row in peptide]
    protein = read(chain_of(["GLY"] * 4), peptide, near=ligand)
    assert set(protein.chain) == {"A"}
    assert "left out, since it is the ligand: L:ALA1, L:SER2" in protein.notes
    # a covalent ligand whose file repeats one of the protein's atoms takes no residue away
    assert len(read(chain_of(["GLY"] * 4), near=[[3.8 + 1.46, -1.5, 0]]).pos) == 4


@pytest.mark.parametrize("near", [[], [[0, 0]], [[0, 0, np.nan]], [1.0, 2.0, 3.0]])
def test_a_ligand_without_positions(read, near):
    with pytest.raises(PellucidError, match="expected near to be"):
        read(three_chains(), near=near)


@pytest.mark.parametrize("radius", [0, -1, np.nan, np.inf])
def test_a_radius_that_is_none(read, radius):
    with pytest.raises(PellucidError, match="expected a positive chain_radius"):
        read(three_chains(), near=[[0, 0, 0]], chain_radius=radius)


def test_nucleic_acid_only(read):
    rows = [line(name, base, i, (i, 0, 0)) for i, base in enumerate(["DA", "DT", "G"]) for name in ("P", "C1'")]
    with pytest.raises(PellucidError, match=r"expected a protein in .*a\.pdb, got no amino acid .*\(3 nucleic acid\)"):
        read(rows)


def test_no_c_alpha_at_all(read):
    with pytest.raises(PellucidError, match="got no amino acid with a C-alpha"):
        read(amino("GLY", 1, names=("N", "C", "O")), line("O", "HOH", 2, (0, 0, 9), record="HETATM"))


def packed(content):
    return gzip.compress(content.encode(), mtime=0)


GOOD = "\n".join(chain_of(["GLY", "ALA", "SER"] * 20)) + "\n"


@pytest.mark.parametrize(("name", "content", "reason"), [
    ("cut.pdb.gz", packed(GOOD)[:-20], "expected a whole file"),
    ("junk.pdb.gz", b"\x1f\x8b" + bytes(range(256)), "expected a whole file"),
    ("empty.pdb", b"", "got an empty file"), ("empty.pdb.gz", packed(""), "got an empty file"),
    ("blank.cif", b"\n \n", "got an empty file"),
    ("junk.pdb", bytes(range(256)) * 9, "got no atoms"), ("text.pdb", b"REMARK nothing here\n", "got no atoms"),
    ("line.pdb", GOOD[: GOOD.rindex("ATOM") + 40].encode(), "expected a PDB or mmCIF file"),
    ("other.cif", b"data_x\n_cell.length_a 5\n", "got no atoms"),
    ("cut.cif", b"data_x\nloop_\n_atom_site.id\n_atom_site.type_symbol\n1\n", "expected a PDB or mmCIF file"),
])
def test_files_that_are_no_structure(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PellucidError, match=f"{reason}.*") as caught:
        read_protein(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files(tmp_path):
    with pytest.raises(PellucidError, match=r"expected a file .*none\.pdb, got nothing there"):
        read_protein(tmp_path / "none.pdb")
    with pytest.raises(PellucidError, match="expected a whole file"):
        read_protein(tmp_path)


@pytest.mark.parametrize("x", ["     nan", "9999.999"])
def test_coordinates_that_are_none(read, x):
    rows = chain_of(["GLY", "ALA"])
    with pytest.raises(PellucidError, match="no numbers or more than 1000 A apart"):
        read(rows[:-1], rows[-1][:30] + x + rows[-1][38:])


def test_without_gemmi(tmp_path, monkeypatch):
    (tmp_path / "a.pdb").write_text(GOOD)
    monkeypatch.setitem(sys.modules, "gemmi", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'pellucid\[proteins\]'"):
        read_protein(tmp_path / "a.pdb")


def test_the_structure_can_be_written_and_read_again(read, tmp_path):
    protein = read(chain_of(["GLY", "MSE", "HIE"]), amino("GLY", 3, code="A", chain="B"),
                   line("O", "HOH", 9, (0, 9, 0), record="HETATM"))
    protein.structure.write_pdb(str(tmp_path / "b.pdb"))
    again = read_protein(tmp_path / "b.pdb")
    assert again.labels == protein.labels
    np.testing.assert_allclose(again.atoms, protein.atoms, atol=1e-3)
    assert again.notes == protein.notes[:1] == ["1 MSE taken as MET"]


def test_ten_thousand_residues(read):
    names = list(RESIDUE_TYPES[:20])
    rows = [row for i in range(10_000) for row in
            amino(names[i % 20], i % 2500 + 1, chain="ABCD"[i // 2500], at=(3.8 * (i % 100), 7.0 * (i // 100), 0))]
    protein = read(rows, near=[[0, 0, 3.0]])
    assert set(protein.chain) == {"A"}
    assert len(protein.pos) == 2500
    protein = read(rows)
    assert len(protein.pos) == 10_000
    assert len(protein.atoms) == 50_000
    assert np.isfinite(protein.sasa).all()


def cap(radius, height):
    return 2 * np.pi * radius * height


def test_surface_of_spheres():
    pos = np.array([[0.0, 0, 0], [2.0, 0, 0]])
    one = 4 * np.pi * 3.0**2
    np.testing.assert_allclose(surface_areas(pos[:1], [1.6]), [one])
    # the plane of the common circle is halfway: each loses a cap of height 3 - 1
    np.testing.assert_allclose(surface_areas(pos, [1.6, 1.6]), one - cap(3, 2), rtol=0.03)  # 100 points: one is 1 %
    # atoms without neighbours, alone and beside others
    lonely = np.array([[0.0, 0, 0], [2.0, 0, 0], [50, 0, 0], [0, 50, 0]])
    areas = surface_areas(lonely, [1.6, 1.6, 1.6, 2.6])
    np.testing.assert_allclose(areas[2:], [one, 4 * np.pi * 4.0**2])
    np.testing.assert_array_equal(areas[:2], surface_areas(pos, [1.6, 1.6]))


def exact_areas(pos, radii, points=2000):
    """Shrake and Rupley on a golden spiral, all pairs."""
    k = np.arange(points) + 0.5
    polar, around = np.arccos(1 - 2 * k / points), np.pi * (1 + 5**0.5) * k
    unit = np.stack([np.cos(around) * np.sin(polar), np.sin(around) * np.sin(polar), np.cos(polar)], 1)
    reach = np.asarray(radii) + 1.4
    areas = np.empty(len(pos))
    for i in range(len(pos)):
        distance = np.linalg.norm((pos[i] + reach[i] * unit)[:, None] - pos, axis=2)
        distance[:, i] = np.inf
        areas[i] = 4 * np.pi * reach[i] ** 2 * (distance >= reach).all(1).mean()
    return areas


def test_surface_against_brute_force(read):
    protein = read(chain_of(["GLY", "MSE", "SER", "ALA", "CYS"]),
                   [row for n in (1, 2, 3) for row in amino("LEU", n, chain="B", at=(3.8 * n + 2, 5.5, 1.0))])
    # Tsai et al. 1999: N 1.64, C with four bonds 1.88, carbonyl C 1.61, O 1.42
    radii = [{"N": 1.64, "CA": 1.88, "C": 1.61, "O": 1.42, "CB": 1.88}[atom.name]
             for chain in protein.structure[0] for residue in chain for atom in residue]
    exact = exact_areas(protein.atoms, radii)
    # The 100 points of a sphere always lie the same way: turned, their errors are others, and average out.
    turns = Rotation.random(60, random_state=0)
    areas = np.mean([surface_areas(turn.apply(protein.atoms), radii) for turn in turns], axis=0)
    np.testing.assert_allclose(areas, exact, atol=1.0)
    once = surface_areas(protein.atoms, radii)
    np.testing.assert_allclose(once, exact, atol=4 * 1.35)  # four of the points of the largest sphere
    np.testing.assert_allclose(protein.sasa, np.bincount(protein.atom_residue, once), rtol=0.01)


def test_radii_of_modified_residues(read):
    def area(element, name, **options):
        far = line(name, "MSE", 1, (40, 40, 40), element=element, **options)
        protein = read(amino("MSE", 1, record="HETATM"), far, amino("GLY", 2))
        return protein.sasa[0] - read(amino("MSE", 1, record="HETATM"), amino("GLY", 2)).sasa[0]
    assert area("SE", "SE") == pytest.approx(4 * np.pi * (1.90 + 1.4) ** 2)  # van der Waals radius of selenium
    assert area("C", "CG") == pytest.approx(4 * np.pi * (1.88 + 1.4) ** 2)  # methionine's CG


@pytest.mark.shared
def test_real_complexes():
    if not SHARED.is_dir():
        pytest.skip(f"no complexes in {SHARED}")
    with (SHARED / "index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["tier"] == "crystal"][::40]
    for row in rows:
        protein = read_protein(SHARED / row["protein_file"], chains="all")
        assert abs(len(protein.pos) - int(row["n_residues"])) <= 1, row["id"]
        reference = gemmi.read_structure(str(SHARED / row["protein_file"]))
        reference.remove_hydrogens()
        alphas = np.array([a.pos.tolist() for chain in reference[0] for r in chain for a in r if a.name == "CA"
                           and a.element.name == "C" and gemmi.find_tabulated_residue(r.name).is_amino_acid()])
        assert len(alphas) == len(protein.pos)
        np.testing.assert_allclose(protein.pos, alphas)
        assert 0 < protein.sasa.mean() < 150
