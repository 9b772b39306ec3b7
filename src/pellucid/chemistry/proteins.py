"""Reading proteins: residues of a PDB or mmCIF file as C-alpha points with type, accessible surface and B-factor."""

from __future__ import annotations

import functools
import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdFreeSASA
from scipy.spatial import cKDTree

from pellucid.errors import MissingPackageError, PellucidError

if TYPE_CHECKING:
    import gemmi

STANDARD = ("ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS", "MET", "PHE", "PRO",
            "SER", "THR", "TRP", "TYR", "VAL")
RESIDUE_TYPES = (*STANDARD, "other")
"""Residue categories in their order: the 20 amino acids, and all that has none of them as its parent."""

FORCE_FIELD_NAMES = {
    "HID": "HIS", "HIE": "HIS", "HIP": "HIS", "HSD": "HIS", "HSE": "HIS", "HSP": "HIS",
    "CYM": "CYS", "CYX": "CYS", "ASH": "ASP", "GLH": "GLU", "LYN": "LYS", "ARN": "ARG", "TYM": "TYR",
}
"""States of protonation that Amber, CHARMM and Schrodinger programs name; no file of the PDB has these names."""

PEPTIDE_BOND = 2.0  # angstrom; C-N is 1.33, the closest that are not bonded are N and C of one residue, 2.45
SAME_PLACE = 0.5  # angstrom; an atom this close to one of the ligand's is that atom
PROBE = 1.4  # angstrom; a water molecule
MAX_EXTENT = 1000.0  # angstrom; FreeSASA's grid fills memory beyond. 9999 stands for "unknown" in some files.
ELEMENTS = frozenset(("H", "D", "C", "N", "O", "S", "Se", "P"))  # of the 20 and their usual modifications


@dataclass(frozen=True)
class Protein:
    """The residues of a protein that have a C-alpha, in the order of the file.

    Attributes:
        name: File name without its suffixes.
        pos: (n, 3) angstrom, C-alpha atoms, as in the file.
        types: (n,) indices into :data:`RESIDUE_TYPES`; a modified residue has its parent's (MSE that of MET).
        sasa: (n,) square angstrom, the solvent-accessible surface of the residue within the kept chains, without
            ligand, water and other hetero groups.
        b_factor: (n,) square angstrom, of the C-alpha.
        chain: Chain of each residue, ``""`` where the file has none.
        number: Residue number in the file (mmCIF: the author's).
        insertion: Insertion code, ``""`` where there is none.
        residue: Residue name in the file.
        atoms: (m, 3) angstrom, all atoms but hydrogens.
        atom_residue: (m,) row of the residue of each atom, ascending.
        structure: The same residues, with their hydrogens where the file has them: one model, one conformer.
        notes: What was chosen or left out, a sentence each.
    """

    name: str
    pos: NDArray[np.float64]
    types: NDArray[np.int64]
    sasa: NDArray[np.float64]
    b_factor: NDArray[np.float64]
    chain: list[str]
    number: list[int]
    insertion: list[str]
    residue: list[str]
    atoms: NDArray[np.float64]
    atom_residue: NDArray[np.int64]
    structure: gemmi.Structure
    notes: list[str]

    @property
    def labels(self) -> list[str]:
        """A name for each residue, such as ``A:ASP25`` or, with an insertion code, ``B:GLY27A``."""
        rows = zip(self.chain, self.residue, self.number, self.insertion, strict=True)
        return [f"{chain}:{name}{number}{code}" for chain, name, number, code in rows]


class _Residue(NamedTuple):
    """An amino acid of the file, one conformer."""

    chain: str
    residue: gemmi.Residue
    parent: str
    split: bool

    @property
    def label(self) -> str:
        return f"{self.chain}:{self.residue.name}{str(self.residue.seqid).strip()}"


def read_protein(path: str | Path, *, near: ArrayLike | None = None, chains: str | Sequence[str] = "near",
                 chain_radius: float = 10.0, model: int = 1) -> Protein:
    r"""Reads the residues of a PDB or mmCIF file, plain or gzipped.

    Amino acids are kept: the 20, those that a force field renames (HIE, CYX), modified ones, and unknown residues that
    a peptide bond joins to the chain. Amino acids in HETATM records count if they have such a bond; else they are
    ligands. Of alternate conformers the one of the highest mean occupancy is kept, the first where equal. Waters, ions,
    other hetero groups and nucleic acid are left out, and so are residues without C-alpha and any that are the ligand
    itself.

    Args:
        path: The file.
        near: (k, 3) angstrom, the ligand's atoms in the frame of the file; None without a ligand.
        chains: ``"near"`` keeps the chains with an atom within ``chain_radius`` of the ligand (all without a ligand),
            ``"all"`` keeps all, a list of names keeps those.
        chain_radius: Angstrom, positive.
        model: Which model of the file, counted from 1.

    Returns:
        The protein; its ``notes`` tell what was chosen and left out.

    Raises:
        MissingPackageError: if gemmi is not installed.
        PellucidError: if the file is missing, damaged or no structure, has no protein (nucleic acid only, say), not
            that model or not those chains, no chain near the ligand, or coordinates that are no numbers.

    Source: the chains near the ligand as in EquiBind's preparation of PDBbind (Stark et al., ICML 2022), which LRI
    follows. Surface: Shrake & Rupley, J. Mol. Biol. 79, 351 (1973), with the radii of Tsai et al., J. Mol. Biol. 290,
    253 (1999), by FreeSASA (Mitternacht, F1000Research 5:189, 2016) in RDKit.

    Example:
        >>> import gemmi, tempfile
        >>> lines = [f"ATOM  {i:5}  {name:<3} ASP A  25    {i:8.3f}   0.000   0.000  1.00 12.50" for i, name
        ...          in enumerate(["N", "CA", "C", "O"], 1)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "one.pdb"
        ...     _ = path.write_text("\n".join(lines))
        ...     protein = read_protein(path)
        >>> protein.labels, protein.pos.tolist(), RESIDUE_TYPES[protein.types[0]], protein.b_factor.tolist()
        (['A:ASP25'], [[2.0, 0.0, 0.0]], 'ASP', [12.5])
    """
    path = Path(path)
    ligand = _points(near)
    if not (np.isfinite(chain_radius) and chain_radius > 0):
        raise PellucidError(f"expected a positive chain_radius, got {chain_radius}")
    if isinstance(chains, str) and chains not in ("near", "all"):
        raise PellucidError(f"expected chains to be 'near', 'all' or a list of names, got {chains!r}; write "
                            f"[{chains!r}] for a chain of that name")
    whole = _parse(path)
    notes: list[str] = []
    if not 1 <= model <= len(whole):
        raise PellucidError(f"expected a model from 1 to {len(whole)} of {path}, got {model}")
    if len(whole) > 1:
        notes.append(f"model {model} of {len(whole)} is used")
    found, left_out = _amino_acids(whole, model - 1, notes)
    if not found:
        raise PellucidError(f"expected a protein in {path}, got no amino acid with a C-alpha ({_counts(left_out)}); "
                            "give the file of the protein, with all atoms")
    kept, atoms, atom_residue = _choose(path, found, ligand, chains, chain_radius, notes)
    notes += _about(kept, left_out)
    radii = [_radius(r.parent, a.name, a.element.name) for r in kept for a in r.residue if not a.is_hydrogen()]
    alphas = [residue.residue.find_atom("CA", "*") for residue in kept]
    return Protein(
        name=stem(path),
        pos=np.array([atom.pos.tolist() for atom in alphas]),
        types=np.array([RESIDUE_TYPES.index(residue.parent) for residue in kept]),
        sasa=np.bincount(atom_residue, surface_areas(atoms, radii), len(kept)).astype(np.float64),
        b_factor=np.array([atom.b_iso for atom in alphas]),
        chain=[residue.chain for residue in kept],
        number=[residue.residue.seqid.num or 0 for residue in kept],
        insertion=[residue.residue.seqid.icode.strip() for residue in kept],
        residue=[residue.residue.name for residue in kept],
        atoms=atoms, atom_residue=atom_residue, structure=_structure(stem(path), whole, kept), notes=notes,
    )


def file_bytes(path: Path) -> bytes:
    """What a file holds, unpacked where it is gzipped, whatever its name says.

    Raises:
        PellucidError: if it is missing, unreadable, cut short or empty.
    """
    try:
        data = path.read_bytes()
        content = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except FileNotFoundError:
        raise PellucidError(f"expected a file {path}, got nothing there; check the path") from None
    except (OSError, EOFError, zlib.error) as error:
        raise PellucidError(f"expected a whole file in {path}, got a problem ({error}); download or pack it "
                            "again") from None
    if not content.strip():
        raise PellucidError(f"expected a structure in {path}, got an empty file; download it again")
    return content


def stem(path: Path) -> str:
    """File name without ``.gz`` and the suffix before it.

    Example:
        >>> stem(Path("a/1abc_protein.pdb.gz")), stem(Path("v1.2.cif"))
        ('1abc_protein', 'v1.2')
    """
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return name.stem


def surface_areas(pos: NDArray[np.float64], radii: Sequence[float]) -> NDArray[np.float64]:
    """Solvent-accessible surface of each sphere of a union, by Shrake and Rupley's 100 points a sphere.

    Args:
        pos: (m, 3) angstrom.
        radii: m of them, angstrom, without the probe's 1.4.

    Returns:
        (m,) square angstrom.

    Example:
        >>> surface_areas(np.array([[0.0, 0, 0], [99, 0, 0]]), [1.6, 1.6]).round(1).tolist()  # 4 pi 3^2
        [113.1, 113.1]
    """
    # Of FreeSASA's two algorithms with their defaults, which RDKit does not let one change, this one is the nearer to
    # exact areas, and several times faster. It reads past its memory for an atom without neighbours: a sphere in the
    # middle of such an atom is a neighbour that covers nothing.
    alone = cKDTree(pos).query(pos, k=2)[0][:, 1] > 2 * (PROBE + min(radii))
    radii = [*radii, *[0.0] * int(alone.sum())]
    mol = Chem.RWMol()
    atom = Chem.Atom(6)  # the radii are given, so the element does not matter
    for _ in radii:
        mol.AddAtom(atom)
    conformer = Chem.Conformer(len(radii))
    conformer.SetPositions(np.concatenate([pos, pos[alone]]).astype(np.float64))
    mol.AddConformer(conformer)
    rdFreeSASA.CalcSASA(mol, radii, opts=rdFreeSASA.SASAOpts(rdFreeSASA.ShrakeRupley, rdFreeSASA.Protor, PROBE))
    return np.array([a.GetDoubleProp("SASA") for a in mol.GetAtoms()][: len(pos)])


def _gemmi() -> Any:
    try:
        import gemmi
    except ImportError:
        raise MissingPackageError("expected gemmi, which reads structures, got none; pip install "
                                  "'pellucid[proteins]'") from None
    return gemmi


def _points(near: ArrayLike | None) -> NDArray[np.float64] | None:
    if near is None:
        return None
    points = np.asarray(near, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points) or not np.isfinite(points).all():
        raise PellucidError(f"expected near to be (k, 3) finite positions of the ligand's atoms, got {points.shape}")
    return points


def _parse(path: Path) -> gemmi.Structure:
    library, content = _gemmi(), file_bytes(path)
    try:
        structure: gemmi.Structure = library.read_structure_string(content)  # PDB or mmCIF, by what it holds
    except (RuntimeError, ValueError, IndexError) as error:
        raise PellucidError(f"expected a PDB or mmCIF file in {path}, got a problem "
                            f"({' '.join(str(error).split())[:150]}); check or download it again") from None
    if not any(model.count_atom_sites() for model in structure):
        raise PellucidError(f"expected a PDB or mmCIF file in {path}, got no atoms; check that it is the right file")
    return structure


@functools.lru_cache(maxsize=4096)
def _parent(name: str) -> str | None:
    """One of :data:`RESIDUE_TYPES`, or None for what gemmi's table does not call an amino acid."""
    library = _gemmi()
    known = library.find_tabulated_residue(FORCE_FIELD_NAMES.get(name, name))
    if not known.is_amino_acid():
        return None
    parent: str = library.expand_one_letter(known.one_letter_code.upper(), library.ResidueKind.AA)
    return parent if parent in STANDARD else "other"


def _amino_acids(whole: gemmi.Structure, index: int, notes: list[str]) -> tuple[list[_Residue], Counter[str]]:
    """The amino acids of a model, with one conformer each, and what else there is: a count for each kind."""
    library = _gemmi()
    modified = {m.res_id.name: m.parent_comp_id for m in whole.mod_residues}  # what the file itself says
    found: list[_Residue] = []
    sure: list[bool] = []
    left_out: Counter[str] = Counter()
    for chain in whole[index]:
        for residue, split in _conformers(chain):
            name = residue.name
            parent = _parent(name) or _parent(modified.get(name, ""))
            if parent is not None or all(residue.find_atom(a, "*") is not None for a in ("N", "CA", "C")):
                found.append(_Residue(chain.name, residue, parent or "other", split))
                sure.append(parent is not None and residue.het_flag != "H")
                for atom in residue if name in STANDARD else ():
                    if atom.element.name not in ELEMENTS:  # without element column a misplaced CA reads as calcium
                        atom.element = library.Element(atom.name.lstrip("0123456789")[:1])
            else:
                known = library.find_tabulated_residue(name)
                left_out["nucleic acid" if known.is_nucleic_acid() else "water" if known.is_water() else name] += 1
    keep = np.array(sure, dtype=bool)
    if not keep.all():
        keep |= _bonded(found)
    left_out.update(residue.residue.name for residue in compress(found, ~keep))
    found = list(compress(found, keep))
    pointless = np.array([residue.residue.find_atom("CA", "*") is None for residue in found], dtype=bool)
    if pointless.any():
        notes.append(f"without C-alpha and left out: {_list(r.label for r in compress(found, pointless))}")
    return list(compress(found, ~pointless)), left_out


def _conformers(chain: gemmi.Chain) -> Iterator[tuple[gemmi.Residue, bool]]:
    """Copies of a chain's residues with the conformer of the highest mean occupancy; whether there were more."""
    first: dict[tuple[str, str], gemmi.Residue] = {}
    residues = []
    for residue in chain:
        before = first.setdefault((str(residue.seqid), residue.name), residue)
        if before is residue or {(a.name, a.altloc) for a in before} & {(a.name, a.altloc) for a in residue}:
            residues.append(residue)
            first[str(residue.seqid), residue.name] = residue
        else:  # the rest of it: some programs write hydrogens after the chain, or added atoms as another segment
            for atom in residue:
                before.add_atom(atom)
    group: list[gemmi.Residue] = []
    for residue in residues:
        if group and residue.seqid != group[0].seqid:
            yield from _conformer(group)
            group = []
        group.append(residue)  # several at one place are alternatives too, if the file marks them so
    if group:
        yield from _conformer(group)


def _conformer(group: list[gemmi.Residue]) -> Iterator[tuple[gemmi.Residue, bool]]:
    if not any(atom.has_altloc() for residue in group for atom in residue):
        yield from ((residue.clone(), False) for residue in group)
        return
    occupancy: dict[tuple[int, str], list[float]] = {}
    for place, residue in enumerate(group):
        marks = {atom.altloc for atom in residue} - {"\0"}
        for atom in residue:
            if atom.has_altloc() or not marks:
                occupancy.setdefault((place, atom.altloc), []).append(atom.occ)
    place, mark = max(occupancy, key=lambda key: round(float(np.mean(occupancy[key])), 3))  # the first of equal ones
    kept = group[place].clone()
    for i in reversed(range(len(kept))):
        if kept[i].altloc in ("\0", mark):
            kept[i].altloc = "\0"
        else:
            del kept[i]
    yield kept, len(occupancy) > 1


def _bonded(found: list[_Residue]) -> NDArray[np.bool_]:
    """Whether a peptide bond joins each to another one."""
    ends = [(residue.residue.find_atom("N", "*"), residue.residue.find_atom("C", "*")) for residue in found]
    far = [np.inf] * 3
    nitrogen, carbon = (np.array([far if atom is None else atom.pos.tolist() for atom in column])
                        for column in zip(*ends, strict=True))
    bonded = np.zeros(len(found), dtype=bool)
    n, c = (np.flatnonzero(np.isfinite(p).all(1)) for p in (nitrogen, carbon))
    if len(n) and len(c):
        distance, nearest = cKDTree(carbon[c]).query(nitrogen[n], distance_upper_bound=PEPTIDE_BOND)
        close = np.isfinite(distance)
        bonded[n[close]] = True
        bonded[c[nearest[close]]] = True
    return bonded


def _choose(path: Path, found: list[_Residue], ligand: NDArray[np.float64] | None, chains: str | Sequence[str],
            radius: float, notes: list[str]) -> tuple[list[_Residue], NDArray[np.float64], NDArray[np.int64]]:
    """The residues of the wanted chains but the ligand's own, their heavy atoms, and the row of each atom's residue."""
    heavy = [[atom.pos.tolist() for atom in residue.residue if not atom.is_hydrogen()] for residue in found]
    owner = np.repeat(np.arange(len(found)), [len(atoms) for atoms in heavy])
    pos = np.array([p for atoms in heavy for p in atoms]).reshape(-1, 3)
    if not np.isfinite(pos).all() or np.ptp(pos, axis=0).max(initial=0) > MAX_EXTENT:
        raise PellucidError(f"expected coordinates of one protein in {path}, got some that are no numbers or more than "
                            f"{MAX_EXTENT:.0f} A apart; mend the file")
    names = list(dict.fromkeys(residue.chain for residue in found))
    keep = np.ones(len(found), dtype=bool)
    wanted = set(names)
    if not isinstance(chains, str):
        wanted = set(chains)
        if (missing := [name for name in chains if name not in names]) or not wanted:
            raise PellucidError(f"expected protein chains of {path} ({_list(names)}), got {_list(missing) or 'none'}")
    if ligand is not None:
        distance = cKDTree(ligand).query(pos)[0]
        nearest = np.full(len(found), np.inf)
        np.minimum.at(nearest, owner, distance)
        # A peptide that is the ligand would be the nearest "residues" of all, and give the pocket away.
        same = 2 * np.bincount(owner, distance < SAME_PLACE, len(found)) > np.bincount(owner, minlength=len(found))
        if same.any():
            keep &= ~same
            notes.append(f"left out, since it is the ligand: {_list(r.label for r in compress(found, same))}")
        if chains == "near":
            wanted = {found[i].chain for i in np.flatnonzero(keep & (nearest <= radius))}
            if not wanted:
                raise PellucidError(f"expected a protein chain within {radius:g} A of the ligand, got the nearest "
                                    f"{nearest[keep].min(initial=np.inf):.1f} A away in {path}; check that both files "
                                    "have one frame")
    if others := [name for name in names if name not in wanted]:
        why = f"no atom within {radius:g} A of the ligand" if chains == "near" else "not asked for"
        notes.append(f"chain {_list(others)} left out: {why}")
    keep &= np.array([residue.chain in wanted for residue in found])
    rows = np.cumsum(keep) - 1
    return list(compress(found, keep)), pos[keep[owner]], rows[owner[keep[owner]]]


def _about(kept: list[_Residue], left_out: Counter[str]) -> list[str]:
    notes = []
    if split := [residue.label for residue in kept if residue.split]:
        notes.append(f"alternate conformers: the one of the highest occupancy is kept in {_list(split)}")
    renamed = Counter((residue.residue.name, residue.parent) for residue in kept if residue.parent !=
                      FORCE_FIELD_NAMES.get(residue.residue.name, residue.residue.name))
    notes += [f"{count} {name} taken as {parent}" for (name, parent), count in sorted(renamed.items())]
    places = Counter((residue.chain, str(residue.residue.seqid)) for residue in kept)
    if twice := [residue.label for residue in kept if places[residue.chain, str(residue.residue.seqid)] > 1]:
        notes.append(f"residues of one chain share a number, so that names do not tell them apart: {_list(twice)}")
    if left_out:
        notes.append(f"left out: {_counts(left_out)}")
    return notes


def _structure(name: str, whole: gemmi.Structure, residues: list[_Residue]) -> gemmi.Structure:
    library = _gemmi()
    structure: gemmi.Structure = library.Structure()
    structure.name, structure.cell, structure.spacegroup_hm = name, whole.cell, whole.spacegroup_hm
    model = library.Model(1)
    chains = {residue.chain: library.Chain(residue.chain) for residue in residues}
    for residue in residues:
        chains[residue.chain].add_residue(residue.residue)
    for chain in chains.values():
        model.add_chain(chain)
    structure.add_model(model)
    structure.setup_entities()
    return structure


@functools.lru_cache(maxsize=4096)
def _radius(residue: str, atom: str, element: str) -> float:
    """ProtOr's radius where it knows the atom, which includes its hydrogens; else the element's van der Waals one."""
    known = "ALA" if residue == "other" else residue  # for the backbone, whose radii all residues share
    mol, one = Chem.RWMol(), Chem.Atom(6)
    one.SetMonomerInfo(Chem.AtomPDBResidueInfo(atom, residueName=known))
    mol.AddAtom(one)
    with rdBase.BlockLogs():
        radii = rdFreeSASA.classifyAtoms(mol, rdFreeSASA.SASAOpts(rdFreeSASA.ShrakeRupley, rdFreeSASA.Protor))
    return float(radii[0] if radii else _gemmi().Element(element).vdw_r)


def _list(labels: Iterable[str]) -> str:
    labels = [label or "''" for label in labels]  # a chain may have no name
    return ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")


def _counts(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
