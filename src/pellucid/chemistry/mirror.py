"""Whether a model can tell a molecule from its mirror image, and what a report says where it cannot."""

from __future__ import annotations

from typing import Literal

from pellucid.chemistry.encoding import MoleculeRecipe

Directions = Literal["none", "coordinates", "equivariant"]
"""What a backbone knows of directions: see :attr:`pellucid.backbones.base.Backbone.directions`."""


def tells_mirror_images_apart(recipe: MoleculeRecipe, directions: Directions) -> bool:
    """Whether a model may predict different things of a molecule and its mirror image.

    With features ``full`` it may: the CIP label of a specified centre is R in one and S in the other. With elements
    alone it takes coordinates whose directions are seen; distances are the same in the mirror, as is what an
    equivariant backbone makes of the lengths and products of its vectors.

    Args:
        recipe: How molecules became clouds.
        directions: Of the model's backbone.

    Example:
        >>> [tells_mirror_images_apart(MoleculeRecipe(f), d) for f, d in
        ...  [("full", "none"), ("elements", "none"), ("elements", "coordinates")]]
        [True, False, True]
    """
    return recipe.features == "full" or (recipe.geometry == "3d" and directions == "coordinates")


def mirror_note(recipe: MoleculeRecipe, directions: Directions) -> str | None:
    """The sentence for the report of a run that cannot tell mirror images apart; None where it can.

    Args:
        recipe: As for :func:`tells_mirror_images_apart`.
        directions: As there.

    Example:
        >>> mirror_note(MoleculeRecipe(geometry="graph"), "none")
        'Mirror images (R and S) are one to this model, which sees elements and bonds; features full tells them apart.'
    """
    if tells_mirror_images_apart(recipe, directions):
        return None
    sees = "elements and bonds" if recipe.geometry == "graph" else "elements and distances"
    return f"Mirror images (R and S) are one to this model, which sees {sees}; features full tells them apart."
