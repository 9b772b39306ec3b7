"""Functional groups of a molecule: every atom in one group that a chemist has a name for, or on its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem

from pellucid.chemistry.encoding import molecule_of
from pellucid.chemistry.fragments import matches
from pellucid.clouds import FIELDS, Field, PointClouds
from pellucid.errors import PellucidError

FIELD = "functional_group"
"""The field of the library's own groups; methods that are told ``groups=functional_group`` share noise over it."""

FIELDS.setdefault(FIELD, Field("point", "int", (), "", "functional group; unique within a cloud, -1 = an atom alone"))

FUNCTIONAL_GROUPS: dict[str, str] = {
    # carbonyl compounds
    "acyl halide": "[CX3](=[OX1])[F,Cl,Br,I]",
    "carboxylic acid": "C(=O)[O;H,-]",  # Functional_Group_Hierarchy: CarboxylicAcid
    "anhydride": "[CX3](=[OX1])[OX2][CX3]=[OX1]",
    "imide": "[CX3](=[OX1])[NX3][CX3]=[OX1]",  # fr_imide
    "urea": "[NX3][CX3](=[OX1])[NX3]",  # fr_urea
    "carbamate": "[NX3][CX3](=[OX1])[OX2]",
    "carbonate": "[OX2][CX3](=[OX1])[OX2]",
    "ester": "[CX3](=[OX1])[OX2;$(O([#6])[#6])]",  # fr_ester
    "thioester": "[CX3](=[OX1])[SX2]",
    "hydroxamic acid": "[CX3](=[OX1])[NX3][OX2,OX1-]",
    "hydrazide": "[CX3](=[OX1])[NX3][NX3]",
    "amide": "[CX3](=[OX1])[NX3]",  # fr_amide
    "aldehyde": "[CH;D2;!$(C-[!#6;!#1])]=O",  # Functional_Group_Hierarchy: Aldehyde
    "isocyanate": "N=C=O",  # fr_isocyan
    "ketone": "[CX3;$(C([#6])[#6])]=[OX1]",  # fr_ketone
    "carbonyl": "[CX3]=[OX1]",  # fr_C=O
    # carbon and nitrogen
    "guanidine": "[NX3][CX3](=[N;X2,X3+])[NX3]",  # fr_guanido
    "amidine": "[NX3][CX3]=[N;X2,X3+]",  # fr_amidine
    "isothiocyanate": "N=C=S",  # fr_isothiocyan
    "thiocyanate": "[SX2]C#N",  # fr_thiocyan
    "thiourea": "[NX3][CX3](=[SX1])[NX3]",
    "thioamide": "[CX3](=[SX1])[NX3]",
    "thiocarbonyl": "C=[SX1]",  # fr_C=S
    "nitrile": "[NX1]#[CX2]",  # fr_nitrile
    "nitrate": "[OX2][NX3+](=[OX1])[OX1-]",
    "nitro": "[N;H0;$(N-[#6]);D3](=[O;D1])~[O;D1]",  # Functional_Group_Hierarchy: Nitro
    "azide": "[N;H0;$(N-[#6]);D2]=[N;D2]=[N;D1]",  # Functional_Group_Hierarchy: Azide
    "oxime": "[CX3]=[NX2][OX2]",  # fr_oxime
    "hydrazone": "C=N-[NX3]",  # fr_hdrzone
    "azo": "[NX2]=[NX2]",  # fr_azo
    "nitroso": "[N!$(N-O)]=O",  # fr_nitroso
    "imine": "[Nv3;$(N-[#6]),H1]=C",  # fr_Imine
    "hydrazine": "[NX3]-[NX3]",  # fr_hdrzine
    "hydroxylamine": "[NX3][OX2]",  # fr_N-O
    # sulfur, phosphorus, boron
    "sulfonyl halide": "[SX4](=[OX1])(=[OX1])[F,Cl,Br,I]",
    "sulfonamide": "[NX3,NX2-]-[SX4](=[OX1])=[OX1]",  # fr_sulfonamd
    "sulfonic acid": "[SX4](=[OX1])(=[OX1])[O;H,-]",
    "sulfonate": "[SX4](=[OX1])(=[OX1])[OX2]",
    "sulfone": "[SX4;$(S([#6])[#6])](=[OX1])=[OX1]",  # fr_sulfone
    "sulfonyl": "[SX4](=[OX1])=[OX1]",
    "sulfoxide": "[SX3;$(S([#6])[#6])]~[OX1]",
    "phosphate": "[PX4](=[OX1])([OX2,OX1-])([OX2,OX1-])[OX2,OX1-]",  # fr_phos_acid, fr_phos_ester
    "phosphonate": "[PX4](=[OX1])([OX2,OX1-])[OX2,OX1-]",
    "boronic acid": "[$(B-!@[#6])](O)(O)",  # Functional_Group_Hierarchy: BoronicAcid
    # single bonds
    "epoxide": "[OX2r3]1[#6r3][#6r3]1",  # fr_epoxide
    "peroxide": "[OX2][OX2]",
    "disulfide": "[SX2][SX2]",
    "phenol": "[O;H1;$(O-!@c)]",  # Functional_Group_Hierarchy: Alcohol.Aromatic
    "alcohol": "[O;H1;$(O-!@[C;!$(C=!@[O,N,S])])]",  # Functional_Group_Hierarchy: Alcohol.Aliphatic
    "ether": "[OX2;R0;$(O([#6])[#6])]",  # fr_ether
    "thiol": "[S;H1;$(S-[#6])]",  # fr_SH
    "sulfide": "[SX2;R0;$(S([#6])[#6])]",  # fr_sulfide
    "quaternary ammonium": "[NX4+;R0;$(N([#6])([#6])([#6])[#6])]",  # fr_quatN
    "amine": "[N;R0;$(N-[#6]);!$(N-[!#6;!#1]);!$(N-C=[O,N,S])]",  # Functional_Group_Hierarchy: Amine
    "trifluoromethyl": "[CX4](F)(F)F",
    "halogen": "[#9,#17,#35,#53]",  # fr_halogen
    "alkyne": "[CX2]#[CX2]",
    "alkene": "[C;R0;X3,X2]=[C;R0;X3,X2]",
}
"""Functional groups by name, in order of priority: SMARTS that match the group's own atoms.

Where a comment names it, the definition is RDKit's (``Functional_Group_Hierarchy.txt`` verbatim; ``fr_...`` of
``FragmentDescriptors.csv`` without the neighbouring atoms that it counts); the others follow the same way of writing.
A group's own atoms are the heteroatoms and the carbons that are multiply bonded to them, as with Ertl, An algorithm to
identify functional groups in organic molecules, J. Cheminform. 9, 36 (2017). A single heteroatom in a ring belongs to
the ring.
"""

AROMATIC, RING, ALKYL = "aromatic ring", "ring", "alkyl"


def functional_groups(mol: Chem.Mol, patterns: Mapping[str, str] | None = None, *, rest: bool = True
                      ) -> tuple[NDArray[np.int64], list[str]]:
    """Divides a molecule into functional groups; the result does not depend on the order of the atoms.

    1. Patterns come in their order. A match counts if an earlier pattern took none of its atoms; matches of one
       pattern that overlap are one group, matches that are merely bonded are two.
    2. Free ring atoms that ring bonds connect are one group, fused and spiro rings together; a terminal free atom on a
       double bond to them (the O of a pyridone) goes with them.
    3. Free carbons outside rings that bonds connect are one group.
    4. Any other atom is on its own.

    Args:
        mol: RDKit molecule.
        patterns: Name -> SMARTS in order of priority; None for :data:`FUNCTIONAL_GROUPS`.
        rest: Whether steps 2 and 3 are taken.

    Returns:
        ids: (atoms,) int64, -1 for an atom on its own, else numbered in the order of the first atoms; names: of the
        groups, by id.

    Raises:
        PellucidError: if a pattern is not SMARTS.

    Example:
        >>> functional_groups(Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O"))[1]
        ['alkyl', 'ester', 'aromatic ring', 'carboxylic acid']
    """
    free = set(range(mol.GetNumAtoms()))
    groups: list[tuple[set[int], str]] = []

    def take(atoms: set[int], name: str) -> None:
        free.difference_update(atoms)
        groups.append((atoms, name))

    for name, smarts in (FUNCTIONAL_GROUPS if patterns is None else patterns).items():
        for atoms in _joined({*match} for match in matches(mol, smarts) if free.issuperset(match)):
            take(atoms, name)
    if rest:
        rings = _connected(mol, {i for i in free if mol.GetAtomWithIdx(i).IsInRing()}, lambda bond: bond.IsInRing())
        for ring in rings:
            name = AROMATIC if all(mol.GetAtomWithIdx(i).GetIsAromatic() for i in ring) else RING
            take(ring | (free & {other for i in ring for other in _terminal(mol, i)}), name)
        chains = {i for i in free if mol.GetAtomWithIdx(i).GetAtomicNum() == 6}
        for chain in _connected(mol, chains, lambda bond: True):
            take(chain, ALKYL)
    ids = np.full(mol.GetNumAtoms(), -1, dtype=np.int64)
    groups.sort(key=lambda group: min(group[0]))
    for i, (atoms, _) in enumerate(groups):
        ids[list(atoms)] = i
    return ids, [name for _, name in groups]


def _joined(sets: Iterable[set[int]]) -> list[set[int]]:
    """Sets that overlap, directly or over others, become one."""
    result: list[set[int]] = []
    for one in sets:
        apart = [other for other in result if not other & one]
        result = [*apart, one.union(*(other for other in result if other & one))]
    return result


def _connected(mol: Chem.Mol, atoms: set[int], along: Callable[[Chem.Bond], bool]) -> list[set[int]]:
    """Atoms that bonds among them connect."""
    pairs = [{bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()} for bond in mol.GetBonds() if along(bond)]
    return _joined([*({i} for i in sorted(atoms)), *(pair for pair in pairs if pair <= atoms)])


def _terminal(mol: Chem.Mol, i: int) -> list[int]:
    """Neighbours of an atom that hang on it by a double bond and have no other."""
    bonds = mol.GetAtomWithIdx(i).GetBonds()
    return [bond.GetOtherAtomIdx(i) for bond in bonds
            if bond.GetBondType() == Chem.BondType.DOUBLE and bond.GetOtherAtom(mol.GetAtomWithIdx(i)).GetDegree() == 1]


def with_groups(clouds: PointClouds, patterns: Mapping[str, str] | None = None, *, rest: bool = True,
                field: str = "") -> PointClouds:
    """Molecules with the functional group of each atom.

    Args:
        clouds: Molecules with ``smiles`` or ``molblock`` (see :func:`pellucid.chemistry.encoding.molecule_clouds`).
        patterns: See :func:`functional_groups`.
        rest: See there.
        field: Field to write; ``""`` for :data:`FIELD`, or for ``"group"`` where patterns are given.

    Returns:
        The clouds with the field, and ``<field>_names`` beside it: for each cloud a JSON list of the names by id.

    Raises:
        PellucidError: if the clouds are no molecules, a pattern is not SMARTS, or own patterns are to be written to
            :data:`FIELD`, where new molecules would get the library's.

    Example:
        >>> from pellucid.chemistry import encode_molecules, read_molecules
        >>> acid = with_groups(encode_molecules(read_molecules("CCC(=O)O")).clouds)
        >>> acid["functional_group"].tolist(), acid.text["functional_group_names"]
        ([0, 0, 1, 1, 1], ['["alkyl", "carboxylic acid"]'])
    """
    own = patterns is not None or not rest
    field = field or ("group" if own else FIELD)
    if own and field == FIELD:
        raise PellucidError(f"expected a field of its own for other groups than the library's, got {FIELD!r}; name it "
                            "group")
    made = [functional_groups(molecule_of(clouds, i), patterns, rest=rest) for i in range(len(clouds))]
    ids = torch.from_numpy(np.concatenate([np.empty(0, dtype=np.int64), *(ids for ids, _ in made)]))
    declared = {field: FIELDS.get(field) or Field("point", "int", (), "", "functional group by own patterns")}
    tensors = {name: clouds[name] for name in clouds.names} | {field: ids.to(clouds.device)}
    text = clouds.text | {f"{field}_names": [json.dumps(names) for _, names in made]}
    return PointClouds(clouds.ptr, tensors, text=text, declared=clouds.declared | declared, edge_ptr=clouds.edge_ptr,
                       partner=clouds.partner)
