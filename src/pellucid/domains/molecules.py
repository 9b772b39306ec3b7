"""Molecules: from SMILES, tables and poses, drawn with their bonds in 3D and 2D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.clouds import PointClouds
from pellucid.cores import usable_cores
from pellucid.domains.base import Domain, Given, Shown, domains
from pellucid.errors import PellucidError
from pellucid.explanation import Explanation
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


@domains.register("molecules")
class Molecules(Domain):
    """Molecules: points are heavy atoms, read from SMILES, .smi, .csv or .sdf files (poses are kept)."""

    words, look = Words("atom", "molecule"), LOOK
    inputs = "a SMILES, a .smi, .csv or .sdf file, records of read_molecules, or a PointClouds"

    def make(self, source: Any, *, options: Mapping[str, Any] | None = None, seed: int = 0, progress: bool = False,
             **more: Any) -> Given:
        """See :meth:`Domain.make`.

        Args:
            source: A SMILES, a file, or records of :func:`pellucid.chemistry.molecules.read_molecules`.
            options: How the run's molecules were made: :class:`pellucid.chemistry.encoding.MoleculeRecipe`.
            seed: Of conformers.
            progress: Whether to show a bar.
            **more: Not used.
        """
        from pathlib import Path

        from pellucid.chemistry.encoding import MoleculeRecipe, encode_molecules
        from pellucid.chemistry.molecules import MoleculeRecord, read_molecules

        if isinstance(source, (str, Path)):
            records = read_molecules(source)
        elif isinstance(source, Sequence) and all(isinstance(one, MoleculeRecord) for one in source):
            records = list(source)
        else:
            raise PellucidError(f"expected {self.inputs} for a run on {self.samples}, got {type(source).__name__}; "
                                "read_molecules makes records of SMILES")
        recipe = MoleculeRecipe.of(options or {})
        encoded = encode_molecules(records, recipe, seed=seed, progress=progress,
                                   processes=max(1, min(usable_cores(), len(records) // 10)))
        notes = [*encoded.notes]
        if len(encoded.clouds) > len(encoded.records):
            notes.append(f"Importance and prediction of a molecule are means over {recipe.conformers} conformers, ± is "
                         "the standard deviation over them; the first one is drawn.")
        return Given(encoded.clouds, [f"entry {record.number} ({record.name}): {reason}"
                                      for record, reason in encoded.skipped], notes)

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
        from pellucid.report.depiction import depict, depict_truth

        mol, kept, truth = molecule_of(one.clouds, one.place), one.columns.get("subgraph"), one.important
        smiles = one.text("smiles")
        place: dict[str, Any] = {}
        if one.pos is None:
            from rdkit.Chem import rdDepictor

            rdDepictor.Compute2DCoords(mol)
            place = {"unit": "", "pos": mol.GetConformer().GetPositions()}
        return {**place, "labels": [atom.GetSymbol() for atom in mol.GetAtoms()],
                "bonds": [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b.GetBondTypeAsDouble()) for b in mol.GetBonds()],
                "svg": depict(mol, one.importance, marked=kept, signed=one.explanation.signed),
                "svg_truth": None if truth is None else depict_truth(mol, truth),
                "facts": {} if smiles is None else {"SMILES": smiles}}
