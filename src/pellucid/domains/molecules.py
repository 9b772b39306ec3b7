"""Molecules: from SMILES, tables and poses, drawn with their bonds in 3D and 2D."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.clouds import PointClouds
from pellucid.cores import usable_cores
from pellucid.domains.base import Domain, domains
from pellucid.domains.given import Given
from pellucid.domains.shown import Shown
from pellucid.explanation import Explanation
from pellucid.report.words import Look, Words

if TYPE_CHECKING:
    import pyarrow as pa

    from pellucid.chemistry.encoding import EncodedMolecules
    from pellucid.chemistry.molecules import MoleculeRecord

COVALENT = {"H": 0.31, "B": 0.84, "C": 0.76, "N": 0.71, "O": 0.66, "F": 0.57, "Na": 1.2, "Mg": 1.2, "Si": 1.11,
            "P": 1.07, "S": 1.05, "Cl": 1.02, "K": 1.3, "Ca": 1.3, "Fe": 1.2, "Zn": 1.15, "Se": 1.2, "Br": 1.2,
            "I": 1.39}
"""Covalent radii in angstrom."""
LOOK: Look = {
    "label": "Element", "drawing": "2D structure", "radii": COVALENT, "true_bonds": False,
    "symbols": [{"text": "all but C and H", "without": ["C", "H", ""]},
                {"text": "every {point}, numbered", "numbered": True}, {"text": "none", "top": 0}],
}  # fmt: skip
"""Balls by element, sticks between them, symbols on them."""


@domains.register("molecules")
class Molecules(Domain):
    """Molecules: points are heavy atoms, read from SMILES, tables of them or molfiles (poses are kept)."""

    words, look = Words("atom", "molecule"), LOOK
    inputs = ("a SMILES, a .smi, .csv, .tsv, .parquet, .sdf or .mol2 file, a frame, a list of SMILES or RDKit "
              "molecules, records of read_molecules, or a PointClouds")
    parts = ("smiles", "id")

    def make(self, source: Any, *, options: Mapping[str, Any] | None = None, seed: int = 0, progress: bool = False,
             smiles: str | None = None, id: str | None = None, **more: Any) -> Given:
        """See :meth:`Domain.make`.

        Args:
            source: Whatever :func:`pellucid.chemistry.tables.open_molecules` opens.
            options: How the run's molecules were made: :class:`pellucid.chemistry.encoding.MoleculeRecipe`.
            seed: Of conformers.
            progress: Whether to show a bar.
            smiles: Column of the SMILES; None: found.
            id: Column of the ids; None: found.
            **more: Not used.
        """
        from pellucid.chemistry.encoding import MoleculeRecipe, encode_molecules
        from pellucid.chemistry.molecules import open_molecules, records_of

        table = open_molecules(source, smiles=smiles, id=id)
        records, recipe = records_of(table), MoleculeRecipe.of(options or {})
        encoded = encode_molecules(records, recipe, seed=seed, progress=progress,
                                   processes=max(1, min(usable_cores(), len(records) // 10)))
        notes = [f"{table.source}: {note}." for note in table.notes]
        if len(encoded.clouds) > len(encoded.records):
            notes.append(f"Importance and prediction of a molecule are means over {recipe.conformers} conformers, ± is "
                         "the standard deviation over them; the first one is drawn.")
        return _given(records, encoded, notes, table.counted)

    def portions(self, source: Any, size: int, **parts: Any) -> Iterator[Any]:
        """Records, as they are read; see :meth:`Domain.portions`."""
        from pellucid.chemistry.molecules import open_molecules

        if self.ready(source):
            yield from super().portions(source, size, **parts)
            return
        table = open_molecules(source, **self.given(parts))
        records = iter(table)
        portion = _Portion(itertools.islice(records, size))
        while portion:
            following = _Portion(itertools.islice(records, size))  # first, since some remarks come with the last record
            portion.notes, portion.types = [f"{table.source}: {note}." for note in table.notes], table.types
            yield portion
            portion = following

    def read_portion(self, portion: Any, *, options: Mapping[str, Any] | None = None, seed: int = 0,
                     progress: bool = False, **more: Any) -> Given:
        """See :meth:`Domain.read_portion`."""
        from pellucid.chemistry.encoding import MoleculeRecipe, encode_molecules

        if isinstance(portion, PointClouds):
            return self.read(portion)
        return _given(portion, encode_molecules(portion, MoleculeRecipe.of(options or {}), seed=seed,
                                                progress=progress, some=False), portion.notes,
                      types=portion.types)

    def category(self, value: int, column: int = 0, columns: int = 1, field: str = "categories") -> tuple[str, str]:
        """The element, or another feature of an atom or bond by its name; see :meth:`Domain.category`."""
        from pellucid.chemistry import features
        from pellucid.chemistry.molecules import ATOM_TYPES

        if field == "categories" and columns == 1 and 0 <= value < len(ATOM_TYPES):
            return "element", ATOM_TYPES[value]
        if field == "categories" and columns == len(features.ATOM_COLUMNS):
            return features.ATOM_COLUMNS[column], features.atom_category(column, value)
        if field == "edge_categories" and columns == len(features.BOND_COLUMNS):
            return f"bond {features.BOND_COLUMNS[column]}", features.bond_category(column, value)
        return super().category(value, column, columns, field)

    def gathered(self, explanation: Explanation) -> Explanation:
        """Conformers of a molecule as one; see :meth:`Domain.gathered`."""
        from pellucid.explanations.gathered import gather

        return gather(explanation, by="molecule") if "molecule" in explanation.clouds else explanation

    def grouped(self, clouds: PointClouds, field: str) -> PointClouds:
        """Molecules with their functional groups; see :meth:`Domain.grouped`."""
        from pellucid.chemistry.groups import FIELD, with_groups

        return with_groups(clouds) if field == FIELD and FIELD not in clouds and "smiles" in clouds.text else clouds

    def drawn(self, one: Shown) -> dict[str, Any] | None:
        """Bonds in space, and the structural formula; see :meth:`Domain.drawn`."""
        if not {"smiles", "molblock", "structure"} & set(one.clouds.text):
            return super().drawn(one)
        from pellucid.chemistry.encoding import molecule_of
        from pellucid.chemistry.export import flat
        from pellucid.report.depiction import depict

        mol, smiles = molecule_of(one.clouds, one.place), one.text("smiles")
        return {"labels": [atom.GetSymbol() for atom in mol.GetAtoms()],
                "bonds": [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b.GetBondTypeAsDouble()) for b in mol.GetBonds()],
                "svg": depict(mol, one.importance, marked=one.columns.get("subgraph"), signed=one.explanation.signed,
                              title=one.text("id") or ""),
                **({"pos": flat(mol).GetConformer().GetPositions(), "unit": "angstrom"} if one.pos is None else {}),
                "facts": {} if smiles is None else {"SMILES": smiles}}

    def caveats(self, options: Mapping[str, Any], directions: str) -> list[str]:
        """Whether mirror images are one to a model; see :meth:`Domain.caveats`."""
        from pellucid.chemistry.encoding import MoleculeRecipe
        from pellucid.chemistry.mirror import mirror_note

        note = mirror_note(MoleculeRecipe.of(options), directions)  # type: ignore[arg-type]  # one of the three
        return [] if note is None else [note]

    def write(self, folder: Path, explanation: Explanation, held: Any) -> list[Path]:
        """An SDF with importance at its atoms, a table of atoms and a script for PyMOL; see :meth:`Domain.write`."""
        from pellucid.chemistry.export import write_molecules

        texts = explanation.clouds.text
        return write_molecules(folder, explanation) if {"smiles", "molblock", "structure"} & set(texts) else []


class _Portion(list["MoleculeRecord"]):
    """Records, and what was remarked on reading; pickled with all digits of poses, which RDKit itself rounds to single.

    Attributes:
        notes: See above.
        types: Of columns that were no texts.
    """

    notes: list[str]
    types: Mapping[str, pa.DataType]

    def __reduce__(self) -> tuple[Any, ...]:
        from rdkit import Chem

        how = Chem.PropertyPickleOptions.AllProps | Chem.PropertyPickleOptions.CoordsAsDouble
        return _unpacked, ([replace(record, mol=None, values=dict(record.values)) for record in self],
                           [None if record.mol is None else record.mol.ToBinary(int(how)) for record in self],
                           self.notes, self.types)


def _unpacked(records: list[MoleculeRecord], mols: list[Any], notes: list[str], types: Mapping[str, pa.DataType]
              ) -> _Portion:
    from rdkit import Chem

    portion = _Portion(record if mol is None else replace(record, mol=Chem.Mol(mol))
                       for record, mol in zip(records, mols, strict=True))
    portion.notes, portion.types = notes, types
    return portion


def _given(records: Sequence[MoleculeRecord], encoded: EncodedMolecules, notes: Sequence[str] = (),
           counted: str = "entry", types: Mapping[str, pa.DataType] | None = None) -> Given:
    """Encoded records with what belongs to each entry."""
    places = {id(record): i for i, record in enumerate(records)}
    own = [places[id(record)] for record in encoded.records]
    return Given(encoded.clouds, [f"{record.at(counted)}: {reason}" for record, reason in encoded.skipped],
                 [*notes, *(f"{note}." for note in encoded.notes)],
                 rows=[{"id": record.name, "smiles": record.smiles,
                        **{_besides(name): value for name, value in record.values.items()}} for record in records],
                 types={_besides(name): kind for name, kind in (types or {}).items()},
                 places=[own[i] for i in encoded.clouds["molecule"].tolist()] if len(encoded.clouds) else [],
                 reasons={places[id(record)]: reason for record, reason in encoded.skipped})


def _besides(name: str) -> str:
    """What a column of the user's is called beside ours."""
    return f"{name}_given" if name in ("id", "smiles") else name
