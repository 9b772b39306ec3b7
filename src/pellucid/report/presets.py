"""Words, looks and columns of the domains that come with the library; a domain of one's own brings its own."""

from __future__ import annotations

from pellucid.report.metric_names import describe_metric
from pellucid.report.words import CLOUD_LOOK, CLOUDS, Look, Words

MOLECULES = Words("atom", "molecule")
EVENTS = Words("hit", "event")
COMPLEXES = Words("residue", "complex")

COVALENT = {"H": 0.31, "B": 0.84, "C": 0.76, "N": 0.71, "O": 0.66, "F": 0.57, "Na": 1.2, "Mg": 1.2, "Si": 1.11,
            "P": 1.07, "S": 1.05, "Cl": 1.02, "K": 1.3, "Ca": 1.3, "Fe": 1.2, "Zn": 1.15, "Se": 1.2, "Br": 1.2,
            "I": 1.39}
"""Covalent radii in angstrom."""
ELEMENTS = {"N": "#2f5bd8", "O": "#d8262c", "S": "#c9a400", "P": "#e07000", "F": "#1f9a3a", "Cl": "#1f9a3a",
            "Br": "#8a2b0e", "I": "#6a0dad"}

MOLECULE_LOOK: Look = {
    "label": "Element", "drawing": "2D structure", "radii": COVALENT, "true_bonds": False,
    "symbols": [{"text": "all but C and H", "without": ["C", "H", ""]},
                {"text": "every {point}, numbered", "numbered": True}, {"text": "none", "top": 0}],
}  # fmt: skip
"""Of molecules: balls by element, sticks between them, symbols on them."""
EVENT_LOOK: Look = {"label": "Track", "switch": "true tracks", "switches": "bonds", "switched": "track"}
"""Of collision events: bonds are true tracks, which can be hidden."""
COMPLEX_LOOK: Look = {
    "label": "Residue", "index": False, "sort": "importance", "fold": 30, "radii": None, "colours": ELEMENTS,
    "beside": "sticks in the colours of the elements", "near": "Go to the ligand", "lines": "contact", "tubes": True,
    "true_bonds": False, "switch": "true pocket", "switches": "truth", "symbols_caption": "Names",
    "symbols": [{"text": "10 most important", "top": 10},
                {"text": "{points} in contact", "where": "contact", "top": 60}, {"text": "none", "top": 0}],
    "name": "<Chain>:<label><Number>", "extents": "top", "tall": True,
    "truth": {"column": "Pocket", "yes": "inside", "no": "outside",
              "told": ["outside the true pocket", "in the true pocket"], "first": True},
}  # fmt: skip
"""Of proteins with a ligand beside them: a tube with names, lines of contact, the outline of the pocket."""

LOOKS: dict[Words, Look] = {MOLECULES: MOLECULE_LOOK, EVENTS: EVENT_LOOK, COMPLEXES: COMPLEX_LOOK, CLOUDS: CLOUD_LOOK}
"""The look that goes with words, where a sample brings none."""

describe_metric("directions.angle", "Angle to the velocity (°)",
                "between the long axis of the noise (or the gradient) and the true velocity in "
                "x-y: median over all important {points}", "lower")
describe_metric("directions.angle_mean", "Angle to the velocity, mean (°)",
                "the same, averaged", "lower")
describe_metric("directions.angle_assisted", "Angle to the velocity, assisted mean (°)",
                "over important {points} that are ranked high: a choice that knows the ground "
                "truth, as the LRI paper makes one", "lower")
describe_metric("directions.eigen_ratio", "Eigen-ratio",
                "short to long axis of the noise in x-y, median over all important {points}; 1 is"
                " round", "")
describe_metric("directions.radial.angle", "Angle of the radius (°)",
                "what the line from the beam to the {point} gives without any model: median", "")
describe_metric("directions.radial.angle_mean", "Angle of the radius, mean (°)",
                "the same, averaged", "")
