"""Explained complexes as files for PyMOL, ChimeraX, Mol* and spreadsheets."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
from pellucid.files import write_texts
from pellucid.report.colours import COLOUR_MAP, TRUE_COLOUR

if TYPE_CHECKING:
    import gemmi
    from torch import Tensor

    from pellucid.chemistry.complexes import Complex

LABELLED = 20
"""Residues that the scripts show as sticks with their names."""
PALETTE = COLOUR_MAP[::4]
"""Colours of the percentiles 0, 25, 50, 75 and 100: the report's colour map."""
CHUNK = 25  # residues a line of a selection
PDB_ATOMS = 99_999  # that the columns of a PDB file can number
MEANING = ("The B-factors of this file are the percentile, from 0 to 100, of the residue's importance within this "
           "protein: 100 is the most important. Residues that were not explained have 0.")


def write_structures(folder: Path, explanation: Explanation, complexes: Sequence[Complex]) -> list[Path]:
    """Writes what a structural biologist opens, for each complex, all files or none.

    ``<id>_residues.csv``: chain, number, insertion code, residue, importance, rank, whether in the true pocket, contact
    and distance, the most important first. ``<id>_elements.csv``: helices, strands and loops, where the clouds have
    them, by the mean importance of their residues. ``<id>_importance.pdb``: the explained chains, with the percentile
    of the importance in the B-factor column; mmCIF where a chain's name, a residue's name or number, or the count of
    atoms is too long for PDB. ``<id>_ligand.sdf``: the ligand with its pose. ``<id>.pml`` and ``<id>.cxc``: scripts for
    PyMOL and ChimeraX, which open both from the folder that they are in.

    Args:
        folder: Made if it is not there.
        explanation: Of these complexes; see :func:`pellucid.chemistry.complexes.complex_clouds`.
        complexes: In the order of the explanation's clouds.

    Returns:
        The files.

    Raises:
        PellucidError: if the complexes are not those that were explained, or a file cannot be written.

    Source: PyMOL 3 (``load``, ``spectrum``, ``select``, ``label``); ChimeraX's user guide on ``color byattribute``,
    ``name``, ``label`` and the specification of atoms.
    """
    from rdkit import Chem
    from scipy.stats import rankdata

    from pellucid.chemistry.secondary import FIELD

    explanation = explanation.of()
    clouds, strength = explanation.clouds, explanation.strength().numpy()
    sizes = [len(c.protein.number) for c in complexes]
    if clouds.sizes.tolist() != sizes:
        raise PellucidError(f"expected the complexes that were explained, of {clouds.sizes.tolist()} residues, got "
                            f"{sizes}; give them in the same order")
    table = explanation.table()
    elements = explanation.groups(FIELD) if FIELD in clouds else {}
    texts: dict[str, str] = {}
    for i, (name, whole) in enumerate(zip(_names([c.name for c in complexes]), complexes, strict=True)):
        rows = slice(int(clouds.ptr[i]), int(clouds.ptr[i + 1]))
        rank = np.array(table["rank"][rows])
        pocket = clouds["important"][rows].numpy()
        percentile = 100 * rankdata(strength[rows]) / len(rank)
        structure, suffix = _structure(whole, percentile)
        texts |= {
            f"{name}_residues.csv": _table(explanation, rows, whole, rank),
            f"{name}_importance{suffix}": structure,
            f"{name}_ligand.sdf": Chem.MolToMolBlock(whole.ligand.mol_h) + "$$$$\n",
            f"{name}.pml": _pymol(name, suffix, whole, pocket, rank <= LABELLED),
            f"{name}.cxc": _chimerax(name, suffix, whole, pocket, rank <= LABELLED),
        }
        if elements:
            texts[f"{name}_elements.csv"] = _elements(elements, i, clouds[FIELD][rows].numpy(), pocket)
    return write_texts(folder, texts)


def _names(names: list[str]) -> list[str]:
    """Names that are file names anywhere and words of both programs' languages; each its own.

    Example:
        >>> _names(["1abc", "../1abc", "1 a:b", "1a/b", "1A_B"])
        ['1abc', '1abc_2', '1_a_b', '1a_b', '1A_B_2']
    """
    made: list[str] = []
    for name in names:
        base = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "complex"
        taken, count, free = {other.lower() for other in made}, 2, base  # some file systems know no case
        while free.lower() in taken:
            free, count = f"{base}_{count}", count + 1
        made.append(free)
    return made


def _table(explanation: Explanation, rows: slice, whole: Complex, rank: NDArray[np.int64]) -> str:
    clouds, protein = explanation.clouds, whole.protein
    bond, greasy = clouds["hydrogen_bond"][rows].tolist(), clouds["hydrophobic"][rows].tolist()
    columns: dict[str, list[Any]] = {
        "chain": protein.chain, "number": protein.number, "insertion": protein.insertion, "residue": protein.residue,
        "importance": _short(explanation.importance[rows]), "rank": rank.tolist(),
        "pocket": clouds["important"][rows].int().tolist(),
        "contact": ["; ".join(kind for kind, there in (("hydrogen bond", b), ("hydrophobic", g)) if there)
                    for b, g in zip(bond, greasy, strict=True)],
        "distance_angstrom": [f"{d:.2f}" for d in clouds["distance"][rows].tolist()],
        **{name: _short(column[rows]) for name, column in explanation.columns.items()},
    }
    return _csv(columns, rank)


def _elements(elements: dict[str, list[Any]], cloud: int, element: NDArray[np.int64], pocket: NDArray[np.bool_]) -> str:
    """Helices, strands and loops of one complex; ``element`` and ``pocket`` are of its residues."""
    mine = [k for k, c in enumerate(elements["cloud"]) if c == cloud]
    inside = np.bincount(element[pocket], minlength=len(mine))
    names = [elements["name"][k].rsplit(":", 1) for k in mine]
    rank = np.array([elements["rank"][k] for k in mine])
    return _csv({
        "chain": [chain for chain, _ in names], "element": [span for _, span in names],
        "residues": [elements["points"][k] for k in mine],
        "importance": [f"{elements['importance'][k]:.6g}" for k in mine], "rank": rank.tolist(),
        "in_pocket": [int(inside[elements["group"][k]]) for k in mine],
    }, rank)


def _csv(columns: dict[str, list[Any]], rank: NDArray[np.int64]) -> str:
    """The columns as text, the best rank first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    lines = list(zip(*columns.values(), strict=True))
    writer.writerows(lines[k] for k in np.argsort(rank, kind="stable"))
    return text.getvalue()


def _short(values: Tensor) -> list[str]:
    return [f"{value:.6g}" for value in values.tolist()]


def _structure(whole: Complex, percentile: NDArray[np.float64]) -> tuple[str, str]:
    """The protein with percentiles as B-factors, as text, and the suffix of its format."""
    protein, structure = whole.protein, whole.protein.structure.clone()
    places = zip(protein.chain, _numbers(whole), protein.residue, strict=True)
    value = dict(zip(places, percentile.tolist(), strict=True))
    for chain in structure[0]:
        for residue in chain:
            b = value.get((chain.name, str(residue.seqid).strip(), residue.name), 0.0)
            for atom in residue:
                atom.b_iso = b
                atom.aniso = type(atom.aniso)(0, 0, 0, 0, 0, 0)
    if _fits_pdb(structure):
        structure.raw_remarks = [f"REMARK 999 {line}" for line in textwrap.wrap(MEANING, 68)]
        return structure.make_pdb_string(), ".pdb"
    return f"# {MEANING}\n{structure.make_mmcif_document().as_string()}", ".cif"


def _fits_pdb(structure: gemmi.Structure) -> bool:
    model = structure[0]
    return model.count_atom_sites() <= PDB_ATOMS and all(
        len(chain.name) <= 1 and all(len(r.name) <= 3 and -999 <= (r.seqid.num or 0) <= 9999 for r in chain)
        for chain in model)


def _numbers(whole: Complex) -> list[str]:
    """Residue numbers with their insertion codes."""
    return [f"{number}{code}" for number, code in zip(whole.protein.number, whole.protein.insertion, strict=True)]


def _by_chain(whole: Complex, chosen: NDArray[np.bool_]) -> list[tuple[str, list[str]]]:
    """Chosen residues by chain, as numbers with their insertion codes, at most :data:`CHUNK` together."""
    chain, number = whole.protein.chain, _numbers(whole)
    parts = []
    for name, rows in groupby(np.flatnonzero(chosen).tolist(), key=lambda row: chain[row]):
        numbers = [number[row] for row in rows]
        parts += [(name, numbers[k:k + CHUNK]) for k in range(0, len(numbers), CHUNK)]
    return parts


def _pymol(name: str, suffix: str, whole: Complex, pocket: NDArray[np.bool_], top: NDArray[np.bool_]) -> str:
    """A script for PyMOL."""
    protein, ligand = f"{name}_protein", f"{name}_ligand"

    def select(what: str, chosen: NDArray[np.bool_]) -> list[str]:
        lines = [f"select {name}_{what}, none"]
        for chain, numbers in _by_chain(whole, chosen):
            listed = "+".join(number.replace("-", "\\-") for number in numbers)
            lines.append(f"select {name}_{what}, {name}_{what} or ({protein} and chain '{chain}' and resi {listed})")
        return lines

    return "\n".join([
        f"# PyMOL: colours {name} by the importance of its residues. Palette, from the least to the most important:",
        f"# {' '.join(PALETTE)}. The B-factor is the percentile of the importance.",
        "# The next line goes to this script's folder, where the files are.",
        "/import os; os.chdir(os.path.dirname(os.path.abspath(__script__)))",
        f"load {name}_importance{suffix}, {protein}",
        f"load {name}_ligand.sdf, {ligand}",
        f"hide everything, {protein} or {ligand}",
        f"show cartoon, {protein}",
        f"spectrum b, {' '.join(c.replace('#', '0x') for c in PALETTE)}, {protein}, minimum=0, maximum=100",
        *select("pocket", pocket),
        *select("top", top),
        f"show sticks, {name}_top and not hydrogens",
        f"util.cnc {name}_top",
        f'label {name}_top and name CA, "%s%s" % (resn, resi)',
        f"show sticks, {ligand}",
        f"color {TRUE_COLOUR.replace('#', '0x')}, {ligand} and elem C",
        f"util.cnc {ligand}",
        "set label_color, black",
        "set label_outline_color, white",
        "set float_labels, on",
        "bg_color white",
        "deselect",
        f"orient {ligand} or {name}_top",
        "",
    ])


def _chimerax(name: str, suffix: str, whole: Complex, pocket: NDArray[np.bool_], top: NDArray[np.bool_]) -> str:
    """A script for ChimeraX; models are named, since their numbers depend on what else is open."""
    protein, ligand = f"##name={name}_protein", f"##name={name}_ligand"
    named = sorted({chain for chain in whole.protein.chain if chain})

    def choose(what: str, chosen: NDArray[np.bool_]) -> list[str]:
        parts = []
        for chain, numbers in _by_chain(whole, chosen):
            listed = ",".join(numbers)
            if re.fullmatch(r"\w+", chain):
                parts.append(f"{protein}/{chain}:{listed}")
            elif chain:
                parts.append(f'{protein}//chain_id="{chain}":{listed}')
            else:  # no specifier stands for a chain without a name: it is what the others are not
                others = "".join(f" & ~{protein}/{other}" for other in named)
                parts.append(f"({protein}:{listed}{others})" if others else f"{protein}:{listed}")
        return [f"name frozen {what}_{name} {' | '.join(parts)}"] if parts else []

    palette = ":".join(f"{100 * k // (len(PALETTE) - 1)},{c}" for k, c in enumerate(PALETTE))
    return "\n".join([
        f"# ChimeraX: colours {name} by the importance of its residues. Palette, from the least to the most important:",
        f"# {' '.join(PALETTE)}. The B-factor is the percentile of the importance.",
        f"open {name}_importance{suffix} name {name}_protein",
        f"open {name}_ligand.sdf name {name}_ligand",
        f"hide {protein} atoms",
        f"show {protein} cartoons",
        f"color byattribute bfactor {protein} target abcs palette {palette}",
        *choose("pocket", pocket),
        *choose("top", top),
        f"show top_{name} atoms",
        f"hide top_{name} & H atoms",
        f"style top_{name} stick",
        f"color top_{name} byhetero",
        f"label top_{name} residues",
        f"show {ligand} atoms",
        f"style {ligand} stick",
        f"color {ligand} {TRUE_COLOUR}",
        f"color {ligand} byhetero",
        "set bgColor white",
        f"view {ligand} | top_{name}",
        "",
    ])
