"""What a network is told of atoms and bonds beyond the element: categories that no way of writing changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdCIPLabeler

from pellucid.clouds import FIELDS, Field

MOST_CHARGE, MOST_HYDROGENS, MOST_DEGREE, MOST_RING = 2, 4, 8, 8
CHIRALITY = ("", "R", "S", "r", "s")
"""CIP labels of atoms; ``r`` and ``s`` (pseudoasymmetric) are their own mirror images, ``""`` is none."""
BOND_STEREO = ("", "E", "Z", "e", "z", "M", "P", "m", "p")
"""CIP labels of bonds; ``e`` and ``z`` change in the mirror, as ``M`` and ``P`` of axes do."""
BOND_ORDERS = ("single", "double", "triple", "aromatic", "dative", "other")
RING_SIZES = ("none", "3", "4", "5", "6", "7", "8 or more")
HYBRIDISATIONS = tuple(str(name) for _, name in sorted(Chem.HybridizationType.values.items()))

ATOM_COLUMNS = ("element", "charge", "hydrogens", "degree", "aromatic", "hybridisation", "ring", "chirality")
"""Columns of ``categories``: atomic number (0 is a dummy atom); formal charge from -2 to 2, clipped, counted from 0;
hydrogens of any isotope, up to 4; bonds to points, up to 8; aromatic; RDKit's hybridisation; size of the smallest ring
(:data:`RING_SIZES`); CIP label (:data:`CHIRALITY`)."""
ATOM_CATEGORY_SIZES = (119, 2 * MOST_CHARGE + 1, MOST_HYDROGENS + 1, MOST_DEGREE + 1, 2, len(HYBRIDISATIONS),
                       len(RING_SIZES), len(CHIRALITY))
BOND_COLUMNS = ("order", "conjugated", "ring", "stereo")
"""Columns of ``edge_categories``: :data:`BOND_ORDERS`; conjugated; in a ring; CIP label (:data:`BOND_STEREO`)."""
BOND_CATEGORY_SIZES = (len(BOND_ORDERS), 2, 2, len(BOND_STEREO))

CIP_ITERATIONS = 100_000
"""Comparisons after which CIP labels are given up, about a tenth of a second; most molecules need fewer than 10,000."""
UNLABELLED = "No CIP labels (R, S, E, Z), since a molecule is too symmetrical for them or has a bond without an order"

FIELDS.setdefault("atom", Field("point", "int", (), "", "number of the atom in the molecule as given, from 0"))
FIELDS.setdefault("molecule", Field("cloud", "int", (), "", "place of the molecule among what was encoded"))

_ORDER = {1.0: 0, 2.0: 1, 3.0: 2, 1.5: 3}
_OTHER = BOND_ORDERS.index("other")
_DATIVE = {Chem.BondType.DATIVE, Chem.BondType.DATIVEL, Chem.BondType.DATIVER, Chem.BondType.DATIVEONE}
_AXES = {Chem.BondStereo.STEREOATROPCW, Chem.BondStereo.STEREOATROPCCW}
_HYBRID = {kind: i for i, kind in sorted(Chem.HybridizationType.values.items())}


@dataclass(frozen=True)
class MoleculeFeatures:
    """Features of several molecules, one after the other.

    Attributes:
        sizes: (molecules,) number of atoms.
        atoms: (atoms, 8) the columns :data:`ATOM_COLUMNS`.
        edge_sizes: (molecules,) twice the number of bonds.
        edge_index: (edges, 2) ends within the molecule; each bond in both directions, one after the other.
        edges: (edges, 4) the columns :data:`BOND_COLUMNS`.
        unlabelled: Places of the molecules for which RDKit found no CIP labels (see :data:`CIP_ITERATIONS`; nor for
            bonds of order zero); all of theirs are ``""``.
    """

    sizes: NDArray[np.int64]
    atoms: NDArray[np.int64]
    edge_sizes: NDArray[np.int64]
    edge_index: NDArray[np.int64]
    edges: NDArray[np.int64]
    unlabelled: list[int]


def molecule_features(mols: Sequence[Chem.Mol], written: Sequence[str] | None = None) -> MoleculeFeatures:
    """Categories of atoms and bonds; none depends on the order of the atoms.

    Chirality is told by CIP labels from RDKit's ``rdCIPLabeler``, not by the older labels that RDKit gives on reading,
    which are inverted for sulfoxides, phosphines and sulfonium. A centre without a label, because it was not specified
    or is none, is ``""``.

    Args:
        mols: Without hydrogens; they are not changed.
        written: A SMILES of each, where known: it tells which ones have stereo elements.

    Returns:
        Features, all int64.

    Source: Hanson, Musacchio, Mayfield, Vainio, Yerin, Redkin, J. Chem. Inf. Model. 58, 1755 (2018), for the labels.

    Example:
        >>> made = molecule_features([Chem.MolFromSmiles("C[C@H](N)C(=O)[O-]")])
        >>> made.atoms[:, ATOM_COLUMNS.index("element")].tolist()
        [6, 6, 7, 6, 8, 8]
        >>> [CHIRALITY[c] for c in made.atoms[:, ATOM_COLUMNS.index("chirality")].tolist()]
        ['', 'S', '', '', '', '']
        >>> made.edge_index[:2].tolist(), made.edges[:2].tolist()
        ([[0, 1], [1, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]])
    """
    sizes, bond_sizes, unlabelled = [], [], []
    numbers: list[int] = []
    charges: list[int] = []
    hydrogens: list[int] = []
    hybrids: list[int] = []
    rings: list[int] = []
    begins: list[int] = []
    ends: list[int] = []
    orders: list[int] = []
    conjugated: list[bool] = []
    in_ring: list[bool] = []
    centres: list[tuple[int, int]] = []  # (atom, label)
    axes: list[tuple[int, int]] = []
    for i, mol in enumerate(mols):
        n, b = mol.GetNumAtoms(), mol.GetNumBonds()
        text = Chem.MolToSmiles(mol, canonical=False) if written is None else written[i]
        # by number, since RDKit's own iterators take three times as long
        atoms, bonds = list(map(mol.GetAtomWithIdx, range(n))), list(map(mol.GetBondWithIdx, range(b)))
        if "@" in text or "/" in text or "\\" in text or has_axis(mol):
            found = _labels(mol)
            if found is None:
                unlabelled.append(i)
            else:
                centres += [(len(numbers) + atom, label) for atom, label in found[0]]
                axes += [(len(begins) + bond, label) for bond, label in found[1]]
        numbers.extend(map(_NUMBER, atoms))
        charges.extend(map(_CHARGE, atoms))
        hydrogens.extend(map(_HYDROGENS, atoms))
        hybrids.extend(map(_HYBRID.__getitem__, map(_HYBRIDISATION, atoms)))
        rings.extend(map(mol.GetRingInfo().MinAtomRingSize, range(n)))
        begins.extend(map(_BEGIN, bonds))
        ends.extend(map(_END, bonds))
        if "->" in text or "<-" in text:  # of order 1 as a double
            orders.extend(BOND_ORDERS.index("dative") if bond.GetBondType() in _DATIVE
                          else _ORDER.get(bond.GetBondTypeAsDouble(), _OTHER) for bond in bonds)
        else:
            orders.extend(map(_ORDER.get, map(_BOND_ORDER, bonds), repeat(_OTHER)))
        conjugated.extend(map(_CONJUGATED, bonds))
        in_ring.extend(map(_IN_RING, bonds))
        sizes.append(n)
        bond_sizes.append(b)
    return _assembled(np.array(sizes, dtype=np.int64), np.array(bond_sizes, dtype=np.int64), unlabelled,
                      [numbers, charges, hydrogens, hybrids, rings], [begins, ends, orders, conjugated, in_ring],
                      centres, axes)


def atom_category(column: int, value: int) -> str:
    """What a value of a column of :data:`ATOM_COLUMNS` means.

    Example:
        >>> atom_category(0, 34), atom_category(1, 1), atom_category(7, 2)
        ('Se', '-1', 'S')
    """
    name = ATOM_COLUMNS[column]
    if name == "element":
        return Chem.GetPeriodicTable().GetElementSymbol(value) if value else "*"
    if name == "charge":
        return f"{value - MOST_CHARGE:+d}" if value != MOST_CHARGE else "0"
    named = {"hybridisation": HYBRIDISATIONS, "ring": RING_SIZES, "chirality": CHIRALITY}.get(name)
    return str(value) if named is None else named[value] or "none"


def bond_category(column: int, value: int) -> str:
    """What a value of a column of :data:`BOND_COLUMNS` means.

    Example:
        >>> bond_category(0, 3), bond_category(3, 1)
        ('aromatic', 'E')
    """
    named = {"order": BOND_ORDERS, "stereo": BOND_STEREO}.get(BOND_COLUMNS[column])
    return str(value) if named is None else named[value] or "none"


_NUMBER: Callable[[Any], int] = Chem.Atom.GetAtomicNum
_CHARGE: Callable[[Any], int] = Chem.Atom.GetFormalCharge
_HYDROGENS: Callable[[Any], int] = Chem.Atom.GetTotalNumHs
_HYBRIDISATION: Callable[[Any], Any] = Chem.Atom.GetHybridization
_BEGIN: Callable[[Any], int] = Chem.Bond.GetBeginAtomIdx
_END: Callable[[Any], int] = Chem.Bond.GetEndAtomIdx
_BOND_ORDER: Callable[[Any], float] = Chem.Bond.GetBondTypeAsDouble
_CONJUGATED: Callable[[Any], bool] = Chem.Bond.GetIsConjugated
_IN_RING: Callable[[Any], bool] = Chem.Bond.IsInRing


def _assembled(sizes: NDArray[np.int64], bond_sizes: NDArray[np.int64], unlabelled: list[int], of_atoms: list[Any],
               of_bonds: list[Any], centres: list[tuple[int, int]], axes: list[tuple[int, int]]) -> MoleculeFeatures:
    number, charge, hydrogens, hybrid, ring = (np.array(column, dtype=np.int64) for column in of_atoms)
    begin, end, order, conjugated, in_ring = (np.array(column, dtype=np.int64) for column in of_bonds)
    starts = np.repeat(np.cumsum(sizes) - sizes, bond_sizes)
    degree = np.bincount(np.concatenate([begin + starts, end + starts]), minlength=len(number))
    of_aromatic = order == BOND_ORDERS.index("aromatic")
    aromatic = np.zeros_like(number)
    aromatic[(begin + starts)[of_aromatic]] = 1
    aromatic[(end + starts)[of_aromatic]] = 1
    chirality, stereo = np.zeros_like(number), np.zeros_like(begin)
    for column, found in ((chirality, centres), (stereo, axes)):
        if found:
            rows, labels = zip(*found, strict=True)
            column[list(rows)] = labels
    atoms = np.stack([number, charge.clip(-MOST_CHARGE, MOST_CHARGE) + MOST_CHARGE, hydrogens.clip(0, MOST_HYDROGENS),
                      degree.clip(0, MOST_DEGREE), aromatic, hybrid, np.where(ring, ring.clip(3, MOST_RING) - 2, 0),
                      chirality], 1)
    edges = np.repeat(np.stack([order, conjugated, in_ring, stereo], 1), 2, axis=0)
    pairs = np.stack([begin, end, end, begin], 1).reshape(-1, 2)
    return MoleculeFeatures(sizes, atoms, 2 * bond_sizes, pairs, edges, unlabelled)


def has_axis(mol: Chem.Mol) -> bool:
    """Whether a bond is a given axis of chirality (an atropisomer), which drawings and CXSMILES tell, and no SMILES."""
    return ((mol.GetNumConformers() > 0 or bool(mol.HasProp("_CXSMILES_Data")))
            and any(bond.GetStereo() in _AXES for bond in mol.GetBonds()))


def _labels(mol: Chem.Mol) -> tuple[list[tuple[int, int]], list[tuple[int, int]]] | None:
    """(place, label) of atoms and of bonds; None where RDKit finds none: it takes too long, or a bond has no order."""
    copy = Chem.Mol(mol)
    atoms = list(map(copy.GetAtomWithIdx, range(copy.GetNumAtoms())))
    bonds = list(map(copy.GetBondWithIdx, range(copy.GetNumBonds())))
    for atom in compress(atoms, map(Chem.Atom.HasProp, atoms, repeat("_CIPCode"))):
        atom.ClearProp("_CIPCode")  # of the older algorithm, on reading
    with rdBase.BlockLogs():
        try:
            rdCIPLabeler.AssignCIPLabels(copy, maxRecursiveIterations=CIP_ITERATIONS)
        except RuntimeError:
            return None
    return ([(atom.GetIdx(), CHIRALITY.index(atom.GetProp("_CIPCode")))
             for atom in compress(atoms, map(Chem.Atom.HasProp, atoms, repeat("_CIPCode")))],
            [(bond.GetIdx(), BOND_STEREO.index(bond.GetProp("_CIPCode")))
             for bond in compress(bonds, map(Chem.Bond.HasProp, bonds, repeat("_CIPCode")))])
