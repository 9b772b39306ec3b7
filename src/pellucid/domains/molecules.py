"""Molecules: from SMILES, tables and poses, drawn with their bonds in 3D and 2D."""

from __future__ import annotations

from typing import Any

from pellucid.clouds import PointClouds
from pellucid.domains.base import Domain, Given, Shown, domains
from pellucid.report.words import Look, Words

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
MOST_REMARKS = 20
"""Remarks on single entries that a report shows."""


@domains.register("molecules")
class Molecules(Domain):
    """Molecules: points are heavy atoms, read from SMILES, tables of them or molfiles (poses are kept)."""

    words, look = Words("atom", "molecule"), LOOK
    inputs = ("a SMILES, a .smi, .csv, .tsv, .parquet, .sdf or .mol2 file, a frame, a list of SMILES or RDKit "
              "molecules, records of read_molecules, or a PointClouds")

    def make(self, source: Any, *, seed: int = 0, progress: bool = False, **more: Any) -> Given:
        """See :meth:`Domain.make`.

        Args:
            source: Whatever :func:`pellucid.chemistry.tables.open_molecules` opens.
            seed: Of conformers.
            progress: Whether to show a bar.
            **more: Not used.
        """
        from pellucid.chemistry.encoding import encode_molecules
        from pellucid.chemistry.molecules import open_molecules, records_of

        table = open_molecules(source)
        records = records_of(table)
        encoded = encode_molecules(records, seed=seed, progress=progress)
        remarks = [f"Entry {record.number} ({record.name}): {note}." for record in records for note in record.notes]
        rest = [f"And {len(remarks) - MOST_REMARKS:,} more remarks."] if len(remarks) > MOST_REMARKS else []
        notes = [f"{table.source}: {note}." for note in table.notes]
        return Given(encoded.clouds, [f"entry {record.number} ({record.name}): {reason}"
                                      for record, reason in encoded.skipped], [*notes, *remarks[:MOST_REMARKS], *rest])

    def grouped(self, clouds: PointClouds, field: str) -> PointClouds:
        """Molecules with their functional groups; see :meth:`Domain.grouped`."""
        from pellucid.chemistry.groups import FIELD, with_groups

        return with_groups(clouds) if field == FIELD and FIELD not in clouds and "smiles" in clouds.text else clouds

    def drawn(self, one: Shown) -> dict[str, Any] | None:
        """Bonds in space, and the structural formula; see :meth:`Domain.drawn`."""
        if "smiles" not in one.clouds.text and "molblock" not in one.clouds.text:
            return super().drawn(one)
        from pellucid.chemistry.encoding import molecule_of
        from pellucid.report.depiction import depict, depict_truth

        mol, kept, truth = molecule_of(one.clouds, one.place), one.columns.get("subgraph"), one.important
        smiles = one.text("smiles")
        return {"labels": [atom.GetSymbol() for atom in mol.GetAtoms()],
                "bonds": [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b.GetBondTypeAsDouble()) for b in mol.GetBonds()],
                "svg": depict(mol, one.importance, marked=kept, signed=one.explanation.signed),
                "svg_truth": None if truth is None else depict_truth(mol, truth),
                "facts": {} if smiles is None else {"SMILES": smiles}}
