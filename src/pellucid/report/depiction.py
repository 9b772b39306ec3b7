"""2D depictions of molecules, atoms coloured by importance or by ground truth."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from pellucid.errors import PellucidError
from pellucid.report.colours import FALSE_COLOUR, MARK_COLOUR, RGB, TRUE_COLOUR, colour, numbers, rgb

INK = "#10151f"
"""Outlines where colours may be blue themselves."""


def depict(molecule: Any, importance: ArrayLike | None = None, *, colours: Sequence[RGB] | None = None,
           marked: ArrayLike | None = None, title: str = "", size: tuple[int, int] = (420, 300),
           signed: bool = False) -> str:
    """Draws a molecule in 2D with its atoms on coloured discs.

    With ``importance`` the colours span this molecule's least to most important atom, as the report's 3D view does
    by default, and the report recolours the drawing when its reader chooses another scale.

    Args:
        molecule: A SMILES, or an RDKit molecule; it is not changed. Atoms keep their order.
        importance: (n,) real numbers, one an atom in the molecule's order. NaN is drawn grey.
        colours: n triples (red, green, blue) in [0, 1], instead of ``importance``.
        marked: (n,) bool: these atoms' discs get an outline, and the bonds between them are thick.
        title: Accessible name of the drawing.
        size: Width and height in pixels; the drawing scales with the page.
        signed: Importance has a sign: red where positive, blue where negative, pale at 0; outlines are black.

    Returns:
        An SVG document. Discs carry the class ``atom-i``, those of marked atoms ``data-kept`` too.

    Raises:
        PellucidError: if the SMILES does not parse, or the numbers are not one an atom.

    Example:
        >>> svg = depict("CCO", [0.0, 0.5, 1.0], title="ethanol")
        >>> svg.startswith("<svg"), svg.count("<ellipse")
        (True, 3)
    """
    if importance is not None and colours is not None:
        raise PellucidError("expected importance or colours, got both; pass one of them")
    mol = _molecule(molecule)
    n = mol.GetNumAtoms()
    table: list[RGB] | None = None
    if importance is not None:
        table = colour(numbers(importance, f"importance (the molecule has {n} atoms)", (n,)), signed=signed)
    elif colours is not None:
        rows = numbers(colours, f"colours (the molecule has {n} atoms)", (n, 3))
        table = [(float(r), float(g), float(b)) for r, g, b in rows.clip(0, 1)]
    svg = _draw(mol, table, title, size, "importance" if importance is not None else "fixed")
    if marked is None:
        return svg
    kept = numbers(marked, f"marked (the molecule has {n} atoms)", (n,)).astype(bool)
    return _mark(svg, set(kept.nonzero()[0].tolist()), INK if signed else MARK_COLOUR)


def depict_truth(molecule: Any, important: ArrayLike, *, title: str = "", size: tuple[int, int] = (420, 300)) -> str:
    """Draws a molecule in 2D with the atoms that decide the label marked.

    Args:
        molecule: A SMILES, or an RDKit molecule; it is not changed.
        important: (n,) bool, in the molecule's order.
        title: Accessible name of the drawing.
        size: Width and height in pixels.

    Returns:
        An SVG document.

    Raises:
        PellucidError: as :func:`depict`.

    Example:
        >>> "#0F8F83" in depict_truth("CCO", [False, False, True])
        True
    """
    mol = _molecule(molecule)
    truth = numbers(important, f"important (the molecule has {mol.GetNumAtoms()} atoms)", (mol.GetNumAtoms(),))
    return _draw(mol, [rgb(TRUE_COLOUR) if true else rgb(FALSE_COLOUR) for true in truth], title, size, "fixed")


def _molecule(molecule: Any) -> Any:
    if isinstance(molecule, str):
        with rdBase.BlockLogs():
            mol = Chem.MolFromSmiles(molecule)
        if mol is None:
            raise PellucidError(f"expected a SMILES, got {molecule!r}, which does not parse; check it")
    elif isinstance(molecule, Chem.Mol):
        mol = Chem.Mol(molecule)
    else:
        raise PellucidError(f"expected a SMILES or an RDKit molecule, got {type(molecule).__name__}; convert it first")
    if mol.GetNumAtoms() == 0:
        raise PellucidError("expected a molecule with atoms, got an empty one; leave the depiction out")
    return mol


def _draw(mol: Any, colours: list[RGB] | None, title: str, size: tuple[int, int], kind: str) -> str:
    with rdBase.BlockLogs():
        rdDepictor.Compute2DCoords(mol, canonOrient=True)
        try:  # alternating double bonds read better on coloured discs than a dashed ring
            mol = rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=True, addChiralHs=False, forceCoords=False)
        except (ValueError, RuntimeError):  # a fragment that cannot be kekulised is drawn as it is
            mol = rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=False, addChiralHs=False, forceCoords=False)
        drawer = rdMolDraw2D.MolDraw2DSVG(*size)
        options: Any = drawer.drawOptions()
        options.useBWAtomPalette()
        options.clearBackground = False
        options.highlightRadius = 0.38
        options.atomHighlightsAreCircles = False  # so that a disc covers all of "OH", which may be white
        options.fillHighlights = True
        options.bondLineWidth = 1.6
        options.scaleBondWidth = False
        options.padding = 0.06
        options.fixedBondLength = 42
        options.prepareMolsBeforeDrawing = False
        atoms = list(range(mol.GetNumAtoms())) if colours is not None else []
        # RDKit cuts off where the page rounds; a quarter step makes both write the same colour.
        fills = {i: tuple(min((round(255 * channel) + 0.25) / 255, 1.0) for channel in colours[i])
                 for i in atoms} if colours is not None else {}
        drawer.DrawMolecule(mol, highlightAtoms=atoms, highlightBonds=[], highlightAtomColors=fills)
        drawer.FinishDrawing()
    return _tidy(str(drawer.GetDrawingText()), colours, title, kind)


def _mark(svg: str, kept: set[int], tone: str) -> str:
    """Outlines discs, and thickens the bonds between them."""

    def outline(match: re.Match[str]) -> str:
        if int(match.group(1)) not in kept:
            return match.group(0)
        return re.sub(r"stroke:#\w{6};stroke-width:[\d.]+px", f"stroke:{tone};stroke-width:2.6px",
                      match.group(0)).replace("<ellipse", "<ellipse data-kept='1'", 1)

    def thicken(match: re.Match[str]) -> str:
        both = {int(match.group(1)), int(match.group(2))} <= kept
        return re.sub(r"stroke-width:[\d.]+px", "stroke-width:3.4px", match.group(0)) if both else match.group(0)

    svg = re.sub(r"<ellipse[^>]*class='atom-(\d+)'[^>]*>", outline, svg)
    return re.sub(r"<path class='bond-\d+ atom-(\d+) atom-(\d+)'[^>]*>", thicken, svg)


def _tidy(svg: str, colours: list[RGB] | None, title: str, kind: str) -> str:
    """Drops the XML header, gives the drawing a name, and whitens symbols that stand on dark discs."""
    body = svg[svg.index("<svg"):]
    name = html.escape(title or "2D structure")
    body = re.sub(r"<svg", f"<svg role='img' data-colours='{kind}'", body, count=1)
    body = body.replace("<!-- END OF HEADER -->", f"<title>{name}</title>", 1)
    dark = {i for i, (r, g, b) in enumerate(colours or ()) if 0.299 * r + 0.587 * g + 0.114 * b < 0.5}

    def whiten(match: re.Match[str]) -> str:
        if int(match.group(1)) not in dark:
            return match.group(0)
        return match.group(0).replace("#000000", "#FFFFFF").replace("fill='black'", "fill='#FFFFFF'")

    return _short(re.sub(r"<path class='atom-(\d+)'[^>]*>", whiten, body).strip())


def _short(svg: str) -> str:
    """The same drawing in under half of the letters: a page may hold a thousand of them.

    What goes are values that SVG has by default, ``evenodd`` on shapes that do not cross themselves, and breaks.
    """
    svg = re.sub(r"fill-rule:evenodd;|;stroke-linecap:butt|;stroke-linejoin:miter|;stroke-opacity:1(?=[;'])", "", svg)
    svg = re.sub(r"\s+(version|baseProfile|xmlns:rdkit|xmlns:xlink|xml:space)='[^']*'", "", svg)
    svg = re.sub(r" d='([^']*)'", lambda match: " d='" + re.sub(r"\s*([MLQCZ])\s*", r"\1", match[1].replace(", ", " ")
                                                                ).strip() + "'", svg)
    return re.sub(r"\s*\n\s*", " ", svg).replace("> <", "><").replace(" />", "/>").replace(";'", "'").replace("  ", " ")
