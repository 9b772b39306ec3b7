"""Your own molecules or materials: a folder of .xyz files, and a table with a column for each target."""

from itertools import islice
from pathlib import Path

import torch
from rdkit.Chem import GetPeriodicTable
from torch import Tensor

from pellucid.datasets.base import datasets
from pellucid.datasets.folders import LabelledFolder
from pellucid.errors import PellucidError

ELEMENTS = {name: z for z in range(1, 119) for name in (GetPeriodicTable().GetElementSymbol(z), str(z))}
"""Symbol, or atomic number as text -> category, which is the atomic number."""


@datasets.register("xyz")
class Xyz(LabelledFolder):
    """Structures in .xyz files, one or more a file, with any number of targets; elements are the categories.

    Options:
        source_dir: Folder of the files and the table.
        labels: Name of the table: a CSV with the columns ``file``, perhaps ``split`` (train, val, test), and a target
            each, e.g. ``logS [log mol/L]``; empty where a value is missing. n rows about a file are its n structures.
        kinds: Of targets, where their values do not say: ``phase=multiclass,count=regression``.
        units: Of targets, in place of those in the titles: ``logS=log mol/L``.
        floors: Numbers that mean "at most this", such as an assay's lower limit: ``logS=-8``.
        ceilings: Numbers that mean "at least this".
        seed: Of the split (70/15/15 at random), where no column has it.
    """

    name = "xyz"
    unit = "angstrom"
    category_sizes = (119,)
    category_names = ("–", *(GetPeriodicTable().GetElementSymbol(z) for z in range(1, 119)))

    def read(self, path: Path) -> list[dict[str, Tensor]]:
        """Elements and coordinates about their mean; see :meth:`LabelledFolder.read`."""
        found = []
        try:
            lines = iter(path.read_text(encoding="utf-8").rstrip().splitlines())
            for count in lines:
                rows = [line.split() for line in islice(lines, 1, int(count) + 1)]  # the first one is a comment
                pos = torch.tensor([[float(v) for v in row[1:4]] for row in rows]).reshape(-1, 3)
                if not 0 < int(count) == len(pos) or not bool(pos.isfinite().all()):
                    raise ValueError(f"{len(pos)} atoms in place of {count}, or coordinates that are not finite")
                elements = [[ELEMENTS[row[0].capitalize()]] for row in rows]
                found.append({"categories": torch.tensor(elements), "pos": pos - pos.mean(0)})
        except (OSError, ValueError, RuntimeError, LookupError) as error:
            raise PellucidError(f"expected atoms as element, x, y and z in {path}, got {error}; mend it") from error
        return found
