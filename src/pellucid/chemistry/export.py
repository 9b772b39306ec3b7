"""Explained molecules as files: an SDF with importance at its atoms, a table of atoms, a script for PyMOL."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor
from rdkit.Geometry import Point3D

from pellucid.chemistry.encoding import molecule_of
from pellucid.explanation import Explanation
from pellucid.files import write_texts

SDF, TABLE, SCRIPT = "molecules.sdf", "importance.csv", "importance.pml"
PALETTE = ("0xe7e1d4", "0xedb377", "0xf37646", "0xc22275", "0x5a217c")
"""From the least to the most important atom, as the report has it."""
DIVERGING = ("0x1846a0", "0x679dd1", "0xe8e8e8", "0xca8567", "0x8f1714")
"""From what lowers the prediction most to what raises it most."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Explained:
    """One output of one molecule."""

    target: str
    importance: Floats
    rank: NDArray[np.int64]
    prediction: float
    baseline: float
    unit: str


def write_molecules(folder: Path, explanation: Explanation) -> list[Path]:
    """Writes what chemists open, all files or none.

    ``molecules.sdf``: each molecule with the coordinates it was explained at (drawn in 2D where it has none), an atom
    property list ``atom.dprop.importance`` (of signed importance another one a target, ``atom.dprop.importance:NAME``),
    which RDKit reads back as atom properties, and the properties id, SMILES, ``prediction:NAME`` and the columns of the
    user's own table. ``importance.csv``: a row an atom and target, with the prediction and, where importance adds up to
    it, the baseline that it starts from; ``atom`` counts from 0 as the report's pictures do, in the order of the SDF,
    whose own atom numbers start at 1. ``importance.pml``: opens the SDF in PyMOL from the folder that it is in, an
    object a molecule, with importance as its B-factors and colours.

    Args:
        folder: Made if it is not there.
        explanation: Of clouds with SMILES or mol blocks.

    Returns:
        The files.

    Raises:
        PellucidError: if the molecules are not those that were explained, or a file cannot be written.

    Source: RDKit's book, "Atom Properties and SDF Files"; PyMOL 3 (``read_sdfstr``, ``alter``, ``spectrum``).
    """
    one = explanation.of()
    sdf, table = io.StringIO(), io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("id", "smiles", "atom", "element", "target", "importance", "rank", "prediction", "baseline",
                   "unit"))
    writer = Chem.SDWriter(sdf)
    names = explanation.clouds.text.get("id", [""] * len(one.clouds))
    for i, given in enumerate(names):
        mol, name = placed(one, i), _line(given) or f"molecule {i}"
        outputs = list(_outputs(explanation, one, i))
        smiles = one.clouds.text["smiles"][i] if "smiles" in one.clouds.text else Chem.MolToSmiles(mol)
        writer.write(_with_properties(mol, name, smiles, outputs, one, i))
        for explained in outputs:
            for atom, (value, rank) in enumerate(zip(explained.importance, explained.rank, strict=True)):
                rows.writerow((given or name, smiles, atom, mol.GetAtomWithIdx(atom).GetSymbol(), explained.target,
                               f"{value:.6g}", rank, f"{explained.prediction:.6g}",
                               "" if math.isnan(explained.baseline) else f"{explained.baseline:.6g}", explained.unit))
    writer.close()
    return write_texts(folder, {SDF: sdf.getvalue(), TABLE: table.getvalue(), SCRIPT: _script(one)})


def placed(explanation: Explanation, i: int) -> Chem.Mol:
    """The molecule of a cloud at the coordinates of its points; in 2D where they have none.

    Args:
        explanation: Of molecules.
        i: Place of the cloud.

    Raises:
        PellucidError: as :func:`pellucid.chemistry.encoding.molecule_of`.
    """
    clouds = explanation.clouds
    mol = Chem.Mol(molecule_of(clouds, i))
    if "pos" not in clouds or clouds.pos.shape[1] != 3:
        return flat(mol)
    shape = Chem.Conformer(mol.GetNumAtoms())
    shape.Set3D(True)
    for k, (x, y, z) in enumerate(clouds.pos[int(clouds.ptr[i]):int(clouds.ptr[i + 1])].tolist()):
        shape.SetAtomPosition(k, Point3D(x, y, z))
    mol.RemoveAllConformers()
    mol.AddConformer(shape, assignId=True)
    return mol


def flat(mol: Chem.Mol) -> Chem.Mol:
    """A copy with coordinates in a plane, z = 0, as the structure is drawn.

    Example:
        >>> flat(Chem.MolFromSmiles("CCO")).GetConformer().Is3D()
        False
    """
    copy = Chem.Mol(mol)
    with rdBase.BlockLogs():
        rdDepictor.Compute2DCoords(copy, canonOrient=True)
    return copy


def _outputs(whole: Explanation, one: Explanation, i: int) -> Iterator[_Explained]:
    """What is explained of a molecule: the output that was asked about first, the others where each has its own."""
    rows = slice(int(one.clouds.ptr[i]), int(one.clouds.ptr[i + 1]))
    first = int(one.explained[i])
    several = whole.signed and whole.importance.ndim == 2
    for k in [first, *(k for k in range(whole.targets.outputs) if several and k != first)]:
        values = (whole.importance[rows, k] if several else one.importance[rows]).double().numpy()
        target, strength = whole.targets.owner(k), np.abs(values) if whole.signed else values
        rank = np.empty(len(values), dtype=np.int64)
        rank[np.argsort(-strength, kind="stable")] = np.arange(1, len(values) + 1)
        yield _Explained(whole.targets.names[k], values, rank, whole.value(i, k), whole.start(i, k),
                         target.raw_unit() if whole.signed else "")


def _with_properties(mol: Chem.Mol, name: str, smiles: str, outputs: list[_Explained], one: Explanation, i: int
                     ) -> Chem.Mol:
    for prop in list(mol.GetPropNames()):
        mol.ClearProp(prop)
    for k, explained in enumerate(outputs):
        for prop in ["importance"] * (k == 0) + [_property(f"importance:{explained.target}")] * (len(outputs) > 1):
            # as Chem.CreateAtomDoublePropertyList writes it, but with six digits in place of seventeen
            mol.SetProp(f"atom.dprop.{prop}", textwrap.fill(" ".join(f"{v:.6g}" for v in explained.importance), 190))
    mol.SetProp("_Name", name)
    mol.SetProp("id", name)
    mol.SetProp("SMILES", _line(smiles))
    mol.SetProp("explained", _line(outputs[0].target))
    for k, target in enumerate(one.targets.names):
        if one.level == "cloud":
            mol.SetProp(_property(f"prediction:{target}"), f"{one.value(i, k):.6g}")
    for column, text in _values(one, i).items():
        if (own := _property(str(column))) and not mol.HasProp(own) and _line(str(text)):
            mol.SetProp(own, _line(str(text)))
    return mol


def _values(one: Explanation, i: int) -> dict[str, Any]:
    """The further columns of the user's table."""
    found = json.loads(one.clouds.text["values"][i] or "{}") if "values" in one.clouds.text else {}
    return found if isinstance(found, dict) else {}


def _property(name: str) -> str:
    """A name that may stand between the brackets of an SDF's data header.

    Example:
        >>> _property("logS <mol/L>")
        'logS _mol/L_'
    """
    return re.sub(r"[<>\r\n\t]", "_", name).strip()


def _line(text: str) -> str:
    """A text on one line, since an empty or a second line would end an SDF's value or its name."""
    return " ".join(text.split())


def _script(one: Explanation) -> str:
    palette = DIVERGING if one.signed else PALETTE
    scale = ("its share of the molecule's largest |importance|, from -1 (lowers the prediction) to 1 (raises it)"
             if one.signed else "the atom's importance within its molecule, from 0 (least) to 1 (most)")
    shown = """    most = max(map(abs, values)) or 1.0
    return [v / most for v in values]""" if one.signed else """    low, high = min(values), max(values)
    return [(v - low) / (high - low) if high > low else .5 for v in values]"""
    return f"""# PyMOL: colours the molecules of {SDF} by importance, an object a molecule; a click shows another.
# The B-factor is {scale}.
# The next line goes to this script's folder, where the file is.
/import os; os.chdir(os.path.dirname(os.path.abspath(__script__)))
python
import re
from pymol import cmd, stored

def share(values):
{shown}

taken = set()
with open("{SDF}", encoding="utf-8") as file:
    records = file.read().split("$$$$\\n")
for record in records:
    found = re.search(r"^>  <atom\\.dprop\\.importance>.*\\n((?:.+\\n)+)", record, re.M)
    if not found:
        continue
    name = re.sub(r"[^A-Za-z0-9_]+", "_", record.split("\\n", 1)[0]).strip("_") or "molecule"
    free, count = name, 2
    while free.lower() in taken:
        free, count = name + "_" + str(count), count + 1
    taken.add(free.lower())
    cmd.read_sdfstr(record + "$$$$\\n", free)
    stored.importance = share([float(word) for word in found.group(1).split()])
    cmd.alter(free, "b = stored.importance[rank]")
    cmd.show_as("sticks", free)
    cmd.show("spheres", free)
    cmd.spectrum("b", "{' '.join(palette)}", free, minimum={-1 if one.signed else 0}, maximum=1)
    if len(taken) > 1:
        cmd.disable(free)
python end
set sphere_scale, 0.25
set stick_radius, 0.12
bg_color white
orient
"""
