"""A user's own complexes: a protein's file and a ligand's, or a table of both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.clouds import PointClouds
from pellucid.errors import PellucidError
from pellucid.progress import waiting

if TYPE_CHECKING:
    from pellucid.chemistry.complexes import Complex


def named_pairs(source: Path, ligand: Path | None = None) -> list[tuple[str, Path, Path]]:
    """Name, protein and ligand of each complex.

    Args:
        source: A structure, or a ``.csv`` with the columns protein_file and ligand_file and, if wanted, id; paths in it
            are relative to its folder.
        ligand: The ligand of a structure; None for a table.

    Raises:
        PellucidError: if a structure comes without its ligand, a table with one, or a table lacks a column, a cell or
            rows, or has a name twice.
    """
    from pellucid.chemistry.proteins import stem
    from pellucid.datasets.complex_lists import FILES, check_distinct, table_rows

    if source.suffix.lower() != ".csv":
        if ligand is None:
            raise PellucidError(f"expected a ligand beside {source}, got none; give its .sdf or .mol2 with the pose in "
                                f"the protein, or a .csv with the columns {' and '.join(FILES)}")
        return [(stem(source), source, ligand)]
    if ligand is not None:
        raise PellucidError(f"expected no ligand beside the table {source}, got {ligand}; its column ligand_file names "
                            "them")
    rows = table_rows(source)
    if missing := [name for name in FILES if name not in rows[0]]:
        raise PellucidError(f"expected the columns {', '.join(FILES)} in {source}, got no {', '.join(missing)} among "
                            f"{', '.join(rows[0])}; rename the columns of files")
    for number, row in enumerate(rows, 1):
        if not all(row[name] for name in FILES):
            raise PellucidError(f"expected a protein and a ligand in row {number} of {source}, got an empty cell; fill "
                                "it in or drop the row")
    names = [row.get("id", "") or f"row-{number}" for number, row in enumerate(rows, 1)]
    check_distinct(names, source)
    protein, own = FILES
    return [(name, source.parent / row[protein], source.parent / row[own])
            for name, row in zip(names, rows, strict=True)]


def read_pairs(source: Path, ligand: Path | None, options: Mapping[str, Any], *, seed: int = 0, progress: bool = False
               ) -> tuple[list[Complex], PointClouds, list[str]]:
    """Reads complexes as the data of a run were prepared.

    Args:
        source: See :func:`named_pairs`.
        ligand: See there.
        options: How the run's dataset was prepared: ``chains``, ``radius`` and ``conformer`` count.
        seed: Of conformers.
        progress: Whether to show a bar.

    Returns:
        The complexes, their clouds with secondary structure, and a sentence for each one that cannot be used.

    Raises:
        PellucidError: if none can be used.
    """
    from pellucid.chemistry.complexes import complex_clouds, read_complex
    from pellucid.chemistry.secondary import with_secondary_structure

    reading = {name: options[name] for name in ("chains",) if name in options}
    drawing = {name: options[name] for name in ("radius", "conformer") if name in options}
    complexes: list[Complex] = []
    skipped: list[str] = []
    pairs = named_pairs(source, ligand)
    with waiting("reading complexes", progress) as advance:
        for done, (name, protein, own) in enumerate(pairs, 1):
            try:
                complexes.append(read_complex(protein, own, name=name, **reading))
            except PellucidError as error:
                if len(pairs) == 1:
                    raise
                skipped.append(f"{name}: {error}")
            advance(done, len(pairs))
    if not complexes:
        raise PellucidError(f"expected at least one complex that can be read in {source}, got none (first: "
                            f"{skipped[0]})")
    clouds = complex_clouds(complexes, seed=seed, **drawing)
    return complexes, with_secondary_structure(clouds, [whole.protein for whole in complexes]), skipped
